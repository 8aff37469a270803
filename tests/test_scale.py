"""What carries large runs: lists of a record a line, work over processes, the index of a journal."""

import gzip
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.synthetic import observation, resolve, write_registry
from seccheck.assessment import conclude, prepare, rejudge
from seccheck.criteria import load_criteria
from seccheck.errors import JournalError, SeccheckError
from seccheck.index import Index, entry
from seccheck.lines import Lines, lined, without
from seccheck.parallel import batches, in_order
from seccheck.probes import Endpoint, load_probes
from seccheck.registry import load_registry
from seccheck.runfolder import RunFolder
from seccheck.touched import write_touched

PLACE = Endpoint(host="a.example", address="127.0.0.1", port=443, service="https")


def written(path, names):
    records = (msgspec.json.encode({"a": {"id": f"no-{name}"}, "id": name}) for name in names)
    path.write_bytes(b"".join(lined({"before": 1, "zone": "last"}, "systems", records)))
    return Lines(path, "systems", msgspec.json.decode)


NAMES = st.lists(st.text(st.sampled_from("abz09.-"), min_size=1, max_size=9), unique=True, max_size=40)


@given(names=NAMES, other=st.text(st.sampled_from("abz09.-"), min_size=1, max_size=9))
def test_a_record_is_found_by_its_id_in_any_list_and_by_halving_in_a_sorted_one(
    tmp_path_factory, names, other
):
    path = tmp_path_factory.mktemp("lines") / "list.json"
    listed = written(path, names)
    assert [one["id"] for one in listed] == names
    assert msgspec.json.decode(path.read_bytes())["zone"] == "last"
    assert msgspec.json.decode(without(path, "systems")) == {"before": 1, "systems": [], "zone": "last"}
    for name in (*names, other):
        found = listed.named(name)
        assert (found["id"] if found else None) == (name if name in names else None)
    ordered = written(path, sorted(names))
    for name in (*names, other):
        found = ordered.named_in_order(name)
        assert (found["id"] if found else None) == (name if name in names else None)


@pytest.mark.parametrize("cut", [0, 10, 60, 150])
def test_a_list_that_was_cut_off_is_refused(tmp_path, cut):
    listed = written(tmp_path / "list.json", [f"s{number}" for number in range(5)])
    listed.path.write_bytes(listed.path.read_bytes()[:cut])
    with pytest.raises(SeccheckError, match="damaged"):
        list(listed)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_results_come_in_the_order_of_the_work_whoever_does_it(processes):
    work = batches(range(1000), 7)
    done = in_order(lambda part: (list(part), os.getpid()), work, processes)
    parts, who = zip(*done, strict=True)
    assert [one for part in parts for one in part] == list(range(1000))
    assert len(set(who)) == processes


def test_an_error_in_a_process_is_raised_here_and_leaves_none_behind():
    def work(number):
        if number == 50:
            raise JournalError("the record at byte 7 is damaged")
        return number

    before = children()
    with pytest.raises(JournalError, match="byte 7"):
        list(in_order(work, range(100), 2))
    assert children() == before


def children():
    """The processes that are ours, ended ones that nobody has waited for included."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {child for task in tasks for child in task.read_text().split()}


def test_the_index_tells_the_last_line_of_a_job_and_nothing_of_a_file_that_was_there(tmp_path):
    path = tmp_path / ".journal.jsonl.1.part"
    path.write_bytes(b"what another process left, or no database at all")
    index = Index(path)
    index.fill([entry("a", "tls", PLACE, (10, 5)), entry("a", "tls", PLACE, (30, 6))])
    index.add(entry("b", "http", PLACE, (40, 7)))
    assert (index.of_job("a"), index.of_job("b"), index.of_job("c"), len(index)) == (
        (30, 6),
        (40, 7),
        None,
        2,
    )
    assert index.of_look("tls", PLACE) == [(30, 6)]
    assert list(in_order(lambda _: index.of_job("a"), range(16), 2)) == [(30, 6)] * 16
    index.close()
    assert not path.exists()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A synthetic run of 300 systems, all observed and judged."""
    place = tmp_path_factory.mktemp("scale")
    write_registry(place / "registry.yaml", 300)
    criteria = load_criteria("project06-2026", load_probes(), select="TLS-*,NET-*,LVL-*,INC-*")
    folder = prepare(place / "run", load_registry(place / "registry.yaml"), criteria, resolve)
    with folder.journal(write=True) as journal:
        for job in folder.plan.jobs:
            journal.append(observation(job))
    conclude(folder)
    return folder


def test_one_process_and_many_write_the_same_bytes(run, tmp_path):
    lines = []
    for processes in (1, 2, 3):
        folder = rejudge(run, tmp_path / str(processes), None, None, "seccheck rejudge")
        conclude(folder, processes)
        lines.append((folder.path / "results.json").read_bytes().splitlines()[1:])
    assert lines[0] == lines[1] == lines[2]
    names = [one[0] for one in Lines(run.path / "results.json", "systems", msgspec.json.decode).ids()]
    assert names == sorted(names)
    assert len(names) == 300


def test_the_account_adds_up(run):
    write_touched(run)
    account = msgspec.json.decode((run.path / "touched.json").read_bytes())
    addresses = [one["address"] for one in account["addresses"]]
    assert addresses == sorted({job.endpoint.address for job in run.plan.jobs} - {""})
    assert account["connections"] == sum(one["connections"] for one in account["addresses"])
    assert account["connections"] == sum(job.connections for job in run.plan.jobs if job.endpoint.address)


def test_a_compressed_journal_is_never_taken_for_an_empty_one(run, tmp_path):
    rejudge(run, tmp_path / "run", None, None, "seccheck rejudge")
    journal = tmp_path / "run/journal.jsonl"
    (tmp_path / "run/journal.jsonl.gz").write_bytes(gzip.compress(journal.read_bytes(), 1))
    journal.unlink()
    folder = RunFolder.open(tmp_path / "run")
    with pytest.raises(JournalError, match="found it compressed"):
        folder.journal(write=True)
    with pytest.raises(JournalError, match="found it compressed"):
        rejudge(folder, tmp_path / "again", None, None, "seccheck rejudge")
    assert not journal.exists()
    assert not (tmp_path / "again").exists()
