"""Old runs go when they are told to, and nothing else goes."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from tests import small
from tests.tools import free_port, seccheck


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = tmp_path_factory.mktemp("made")
    registry, criteria = small.write_inputs(place, free_port(), free_port(), free_port())
    return small.assess(place / "run", registry, criteria).path


def aged(made, path, days, name="Small nation"):
    """A copy of a finished run, begun so many days ago."""
    shutil.copytree(made, path)
    summary = json.loads((path / "summary.json").read_text())
    summary["scan"]["started"] = f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"
    summary["scan"]["registry"]["name"] = {"en": name, "vi": name}
    (path / "summary.json").write_text(json.dumps(summary))
    return path


@pytest.fixture
def runs(made, tmp_path):
    runs, elsewhere = tmp_path / "runs", tmp_path / "elsewhere"
    runs.mkdir()
    for name, days in (("old", 200), ("older", 300), ("new", 5)):
        aged(made, runs / name, days)
    aged(made, runs / "only", 400, "Another")
    (aged(made, runs / "unfinished", 400) / "MANIFEST.json").unlink()
    (runs / "unfinished/results.json").unlink()
    (runs / "papers").mkdir()
    (runs / "papers/summary.json").write_text("{}")
    aged(made, elsewhere, 400)
    (runs / "link").symlink_to(elsewhere)
    (runs / "old/link").symlink_to(elsewhere)
    return runs


def there(runs):
    return {path.name for path in runs.iterdir()}


def test_it_says_what_it_would_delete_and_deletes_it_when_told(runs):
    before = there(runs)
    done = seccheck("history", "prune", "runs", "--older-than", "90d", cwd=runs.parent)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["runs/older", "runs/old"]
    assert "2 runs would be deleted; --yes" in done.stderr
    assert there(runs) == before
    done = seccheck(
        "history", "prune", "runs", "--older-than", "90d", "--yes", "--lang", "vi", cwd=runs.parent
    )
    assert done.returncode == 0, done.stderr
    assert "đã xóa 2 lượt quét" in done.stderr
    assert there(runs) == before - {"old", "older"}
    assert (runs.parent / "elsewhere/journal.jsonl").exists()


def test_the_newest_of_a_registry_goes_only_when_told(runs):
    done = seccheck("history", "prune", "runs", "--older-than", "90", "--newest", "--yes", cwd=runs.parent)
    assert done.returncode == 0, done.stderr
    assert there(runs) == {"new", "unfinished", "papers", "link"}


def test_bad_words_delete_nothing(runs):
    before = there(runs)
    for words in (("runs", "--older-than", "soon"), ("absent", "--older-than", "90d"), ("runs",)):
        assert seccheck("history", "prune", *words, "--yes", cwd=runs.parent).returncode == 2
    assert there(runs) == before


def test_history_still_shows_a_folder(runs):
    (runs / "papers/summary.json").unlink()
    done = seccheck("history", "runs", cwd=runs.parent)
    assert done.returncode == 0, done.stderr
    assert "runs/new" in done.stdout
