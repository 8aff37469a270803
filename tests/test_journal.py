"""The journal: nothing finished is lost, nothing damaged is believed."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seccheck.errors import JournalError
from seccheck.journal import Journal
from seccheck.observation import Observation
from seccheck.probes import Endpoint

IMPORTS = "from pathlib import Path; from seccheck.journal import Journal;"
PLAN = "sha256:" + "0" * 64


def observation(number, **facts):
    return Observation(
        job=f"job-{number}",
        probe="tls",
        version=1,
        endpoint=Endpoint(host="a.example", address="127.0.0.1", port=443, service="https"),
        params={"ask": ["versions"]},
        started="2026-11-23T06:00:00Z",
        finished="2026-11-23T06:00:01Z",
        facts=facts,
    )


def filled(path, count):
    with Journal(path, PLAN) as journal:
        for number in range(count):
            journal.append(observation(number, banner="x" * number))
    return path.read_bytes()


def test_what_was_written_is_read_back(tmp_path):
    filled(tmp_path / "journal.jsonl", 5)
    with Journal(tmp_path / "journal.jsonl", PLAN, write=False) as journal:
        assert len(journal) == 5
        assert journal.read("job-3").observation == observation(3, banner="xxx")
        assert journal.read("job-9") is None


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_journal_cut_anywhere_keeps_every_whole_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "journal.jsonl"
    whole = filled(path, 4)
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    kept = max(0, whole[:cut].count(b"\n") - 1)
    with Journal(path, PLAN) as journal:
        assert len(journal) == kept
        journal.append(observation(9))
    with Journal(path, PLAN, write=False) as journal:
        assert len(journal) == kept + 1


def test_zeros_at_the_end_are_a_torn_tail(tmp_path):
    path = tmp_path / "journal.jsonl"
    whole = filled(path, 3)
    path.write_bytes(whole + b"\0" * 4096)
    with Journal(path, PLAN) as journal:
        assert len(journal) == 3
    assert path.read_bytes() == whole


def test_a_damaged_line_in_the_middle_is_refused(tmp_path):
    path = tmp_path / "journal.jsonl"
    lines = filled(path, 4).splitlines(keepends=True)
    lines[2] = lines[2][: len(lines[2]) // 2] + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(JournalError, match=r"journal.jsonl:3: this line is damaged"):
        Journal(path, PLAN)


def test_a_changed_record_is_noticed_when_read(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(filled(path, 4).replace(b'"banner":"xx"', b'"banner":"xy"'))
    with Journal(path, PLAN, write=False) as journal, pytest.raises(JournalError, match="was changed after"):
        journal.read("job-2")


def test_another_plan_is_refused(tmp_path):
    filled(tmp_path / "journal.jsonl", 1)
    with pytest.raises(JournalError, match="another plan"):
        Journal(tmp_path / "journal.jsonl", "sha256:" + "1" * 64)


def test_only_one_process_writes(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path, PLAN):
        code = f"{IMPORTS} Journal(Path({str(path)!r}), {PLAN!r})"
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert second.returncode != 0
    assert "another scan is writing" in second.stderr


def test_the_lock_dies_with_its_process(tmp_path):
    path = tmp_path / "journal.jsonl"
    code = (
        f"import os, signal; {IMPORTS} Journal(Path({str(path)!r}), {PLAN!r});"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    Journal(path, PLAN).close()


def test_the_journal_is_for_its_owner_alone(tmp_path):
    filled(tmp_path / "journal.jsonl", 1)
    assert (tmp_path / "journal.jsonl").stat().st_mode & 0o777 == 0o600
