"""Runs in a database: the same figures as in the files, once, in SQLite and in a real PostgreSQL."""

import json
import os
import pwd
import re
import shutil
import subprocess
import tracemalloc
from contextlib import contextmanager
from glob import glob
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from seccheck.errors import ExecutorError, InputError
from seccheck.export import Database, schema
from tests import small
from tests.tools import free_port, running, seccheck

ROOT = Path(__file__).parent.parent
WORD = "a word that nobody sees"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with small.scanned(tmp_path_factory.mktemp("export")) as place:
        return place / "run"


def contents(url, password=""):
    """Every row of every table, in order."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {
            table.name: sorted(map(repr, connection.execute(table.select()).mappings().all()))
            for table in schema().sorted_tables
        }
    engine.dispose()
    return found


def check(url, run):
    """The figures of the database are those of the files."""
    results = json.loads((run / "results.json").read_text())
    engine = create_engine(url)
    with engine.connect() as connection:
        tally = connection.execute(
            text("select systems, meets, does_not_meet, not_concluded from runs")
        ).one()
        verdicts = dict(
            connection.execute(text("select verdict, count(*) from findings group by verdict")).all()
        )
        statuses = connection.execute(text("select id, status, name_vi from systems order by id")).all()
        rows = connection.execute(text("select count(*) from evidence")).scalar()
    engine.dispose()
    of = results["tally"]["systems"]
    assert tuple(tally) == (of["reported"], of["meets"], of["does_not_meet"], of["not_concluded"])
    found = [finding for system in results["systems"] for finding in system["findings"]]
    assert verdicts == {one: sum(f["verdict"] == one for f in found) for one in {f["verdict"] for f in found}}
    assert [(one.id, one.status) for one in statuses] == [(s["id"], s["status"]) for s in results["systems"]]
    assert rows == sum(len(f["evidence"]) for f in found)
    assert all(one.name_vi for one in statuses)


def test_the_figures_are_those_of_the_files_and_again_changes_nothing(run, tmp_path):
    url = f"sqlite:///{tmp_path}/runs.db"
    done = seccheck("export", "run", "--to", url, cwd=run.parent)
    assert done.returncode == 0, done.stderr
    check(url, run)
    before = contents(url)
    assert seccheck("export", "run", "run", "--to", url, cwd=run.parent).returncode == 0
    assert contents(url) == before


@contextmanager
def postgres(place):
    """A PostgreSQL of our own with a user who needs a password; as root it runs as nobody."""
    binaries = Path(max(glob("/usr/lib/postgresql/*/bin")))  # noqa: PTH207
    port, data = free_port(), place / "data"
    place.chmod(0o777)
    as_user = []
    if os.geteuid() == 0:
        for folder in [place, *place.parents]:
            if folder.owner() == "root" and folder != Path("/") and not folder.stat().st_mode & 0o001:
                folder.chmod(folder.stat().st_mode | 0o011)
        nobody = pwd.getpwnam("nobody")
        as_user = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    word = place / "word"
    word.write_text(WORD)
    word.chmod(0o644)
    subprocess.run(
        [*as_user, binaries / "initdb", "-D", data, "-U", "analyst", "-A", "scram-sha-256", "--pwfile", word,
         "--no-sync"],
        check=True, capture_output=True,
    )  # fmt: skip
    with running(
        *as_user, binaries / "postgres", "-D", data, "-p", port, "-h", "127.0.0.1", "-k", place,
        "-c", "fsync=off", ports=(port,),
    ):  # fmt: skip
        yield f"127.0.0.1:{port}/postgres"


def test_postgresql_gets_the_same_and_its_password_is_shown_nowhere(run, tmp_path):
    with postgres(tmp_path) as place:
        words = ("export", "run", "--to", f"postgresql://analyst@{place}", "--password", "env:WORD")
        for _ in range(2):
            done = seccheck(*words, cwd=run.parent, WORD=WORD)
            assert done.returncode == 0, done.stderr
            assert WORD not in done.stdout + done.stderr
        check(f"postgresql+psycopg://analyst:{WORD}@{place}", run)
        done = seccheck(*words, cwd=run.parent, WORD="wrong")
        assert done.returncode == 2
        assert "authentication failed" in done.stderr
        assert "wrong" not in done.stderr
    shutil.rmtree(tmp_path / "data", ignore_errors=True)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite", "expected a database such as"),
        ("nothing://here", "expected a database such as"),
        ("postgresql://a:secret@127.0.0.1/x", "without a password"),
    ],
)
def test_a_mistaken_database_is_told(url, said):
    with pytest.raises(InputError, match=said):
        Database(url)


def test_another_version_of_the_schema_is_left_alone(tmp_path):
    url = f"sqlite:///{tmp_path}/old.db"
    Database(url).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("update schema_version set version = 99"))
    engine.dispose()
    with pytest.raises(ExecutorError, match="version 99"):
        Database(url)


def test_an_unfinished_run_is_refused_and_nothing_is_written(run, tmp_path):
    shutil.copytree(run, tmp_path / "half")
    (tmp_path / "half/results.json").unlink()
    with Database(f"sqlite:///{tmp_path}/x.db") as database, pytest.raises(InputError, match="finished run"):
        database.export(tmp_path / "half")


def test_a_damaged_run_leaves_the_rows_of_before(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    url = f"sqlite:///{tmp_path}/x.db"
    with Database(url) as database:
        database.export(tmp_path / "run")
        before = contents(url)
        file = tmp_path / "run/results.json"
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(Exception, match="damaged"):
            database.export(tmp_path / "run")
    assert contents(url) == before


def test_memory_does_not_grow_with_the_systems(run, tmp_path):
    """Fifty times the systems, and not fifty times the memory."""
    shutil.copytree(run, tmp_path / "large")
    for name in ("results.json", "inputs/registry.json"):
        lines = (run / name).read_bytes().split(b"\n")
        first = next(at for at, line in enumerate(lines) if line.endswith(b'"systems":[')) + 1
        last = next(at for at, line in enumerate(lines) if at >= first and line.startswith(b"]"))
        systems = [line.rstrip(b",") for line in lines[first:last]]
        copies = []
        for number in range(600):
            for line in systems:
                one = json.loads(line)
                one["id"] = f"{one['id']}-{number}"
                for finding in one.get("findings", ()):
                    finding["fingerprint"] = f"{number:04}{finding['fingerprint'][4:]}"
                copies.append(json.dumps(one, ensure_ascii=False).encode())
        (tmp_path / "large" / name).write_bytes(
            b"\n".join([*lines[:first], b",\n".join(copies), *lines[last:]])
        )
    with Database(f"sqlite:///{tmp_path}/x.db") as database:
        tracemalloc.start()
        try:
            systems, _ = database.export(tmp_path / "large")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert systems == 600 * 4
    assert peak < 20_000_000


def test_the_documented_schema_is_the_one_written():
    """docs/export.md names every table and every column, and none else."""
    page = (ROOT / "docs/export.md").read_text("utf-8")
    described = {
        match["table"]: set(re.findall(r"^\| `(\w+)` \|", match["rows"], re.MULTILINE))
        for match in re.finditer(
            r"^### `(?P<table>\w+)`\n(?P<rows>.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL
        )
    }
    assert described == {
        table.name: {column.name for column in table.columns} for table in schema().sorted_tables
    }
