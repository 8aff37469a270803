"""The numbers of a report are those of results.json, counted again here by other means."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter

import pytest

from seccheck.errors import InputError, SeccheckError
from seccheck.reports import Options
from seccheck.reports.change import change_of, trend_of
from seccheck.reports.overview import Overview
from seccheck.reports.run import RunFolder
from seccheck.reports.ways import way_up
from tests.reports.sample import Sample, write_run

WORST = ("fail", "inconclusive", "waived", "pass", "not-applicable")


def results(folder):
    return json.loads((folder / "results.json").read_bytes())


@pytest.mark.parametrize("unit", ["", "ha-noi", "an-giang"])
def test_counts_are_those_of_the_systems(run_folder, unit):
    overview = Overview(RunFolder(run_folder), Options(unit=unit))
    systems = [one for one in results(run_folder)["systems"] if unit in ("", one["unit"])]
    statuses = Counter(one["status"] for one in systems)
    assert overview.counts.reported == len(systems)
    assert dict(overview.counts.parts) == {one: statuses[one] for one in dict(overview.counts.parts)}
    for level, counts in overview.by_level.items():
        assert counts.meets == sum(one["level"] == level and one["status"] == "meets" for one in systems)
    assert sum(counts.meets for counts in overview.by_unit.values()) == overview.counts.meets
    assert sum(counts.reported for counts in overview.by_kind.values()) == overview.counts.reported


def test_counts_are_those_of_the_tally(run_folder):
    overview = Overview(RunFolder(run_folder), Options())
    tally = json.loads((run_folder / "summary.json").read_bytes())["tally"]
    assert {"reported": overview.counts.reported, **vars(overview.counts)} == tally["systems"]
    for criterion, numbers in tally["by_criterion"].items():
        counts = overview.by_criterion[criterion]
        assert {name.replace("-", "_"): number for name, number in counts.parts} == numbers


def test_a_system_counts_under_a_criterion_by_its_worst_target(run_folder):
    overview = Overview(RunFolder(run_folder), Options())
    expected = Counter()
    for system in results(run_folder)["systems"]:
        by_criterion = {}
        for finding in system["findings"]:
            by_criterion.setdefault(finding["criterion"], []).append(finding["verdict"])
        for criterion, verdicts in by_criterion.items():
            expected[criterion, min(verdicts, key=WORST.index)] += 1
    for criterion, counts in overview.by_criterion.items():
        assert [number for _, number in counts.parts] == [expected[criterion, one] for one, _ in counts.parts]
        parts = [counts for (one, _), counts in overview.by_criterion_level.items() if one == criterion]
        assert sum(part.applicable for part in parts) == counts.applicable


def test_only_counted_findings_hold_a_system_back(run_folder):
    overview = Overview(RunFolder(run_folder), Options())
    assert "PAT-04" not in overview.open_criteria()
    for row in overview.rows:
        assert (row.status.value == "meets") == (not row.blockers)


def test_coverage_names_who_is_missing(run_folder):
    parts = {part.kind: part for part in Overview(RunFolder(run_folder), Options()).coverage()}
    assert (parts["locality"].reported, parts["locality"].total) == (62, 63)
    assert (parts["ministry"].reported, parts["ministry"].total) == (22, 28)
    assert [unit.id for unit in parts["locality"].missing] == ["bac-lieu"]
    assert "other" not in parts


def test_a_unit_outside_a_narrowed_run_is_not_missing(tmp_path):
    folder = write_run(tmp_path / "run", Sample(systems=10))
    (folder / "inputs/run.json").write_text(json.dumps({"reporting": ["ca-mau"], "id": "x"}))
    overview = Overview(RunFolder(folder), Options())
    assert "ca-mau" in overview.reporting
    missing = [unit.id for part in overview.coverage() for unit in part.missing]
    assert "ca-mau" not in missing
    assert "bac-lieu" in missing


def test_the_way_up_reaches_everything_in_steps_that_add_up(run_folder):
    overview = Overview(RunFolder(run_folder), Options())
    steps = overview.way_up()
    assert steps[0].before == overview.counts.meets
    assert steps[-1].after == overview.counts.reported
    assert all(one.after == two.before for one, two in itertools.pairwise(steps))
    assert all(len(step.systems) == step.after - step.before > 0 for step in steps)
    assert steps[0].criteria == (("CRT-03", "fail"),)
    assert sorted(name for step in steps for name in step.systems) == sorted(
        row.id for row in overview.rows if row.blockers
    )


def test_each_step_up_is_what_mending_it_would_bring():
    draw = random.Random(1)
    for _ in range(200):
        systems = {
            f"s{n}": frozenset((f"C-{draw.randrange(5)}", "fail") for _ in range(draw.randrange(1, 4)))
            for n in range(draw.randrange(1, 9))
        }
        mended = set()
        for step in way_up([(one, "u", lacks) for one, lacks in systems.items()], 0, lambda _: 0):
            left = {one: lacks - mended for one, lacks in systems.items() if not lacks <= mended}
            nearest = min(map(len, left.values()))
            assert len(step.criteria) == nearest
            best = max(
                sum(lacks <= set(choice) for lacks in left.values())
                for choice in left.values()
                if len(choice) == nearest
            )
            assert step.after - step.before == best
            mended |= set(step.criteria)
        assert all(lacks <= mended for lacks in systems.values())


def test_change_is_by_system(run_folder, later_run):
    overview = Overview(RunFolder(later_run), Options(previous=(run_folder,)))
    change = change_of(overview)
    before = {one["id"]: one["status"] for one in results(run_folder)["systems"]}
    after = {one["id"]: one["status"] for one in results(later_run)["systems"]}
    improved = [one for one in after if after[one] == "meets" != before[one]]
    assert sorted(row.id for row in change.improved) == sorted(improved)
    assert len(improved) == 14
    assert (change.regressed, change.new, change.gone) == ([], [], [])
    assert [(point.meets, point.reported) for point in trend_of(overview)] == [(96, 124), (110, 124)]


def test_what_cannot_be_read_is_an_error_that_says_so(tmp_path, run_folder):
    with pytest.raises(SeccheckError, match=r"summary\.json"):
        RunFolder(tmp_path)
    with pytest.raises(SeccheckError, match="no unit"):
        Overview(RunFolder(run_folder), Options(unit="atlantis"))


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", "a\u202eb", "x" * 200])
def test_an_id_that_is_no_file_name_is_refused(tmp_path, name):
    folder = write_run(tmp_path / "run", Sample(systems=2))
    text = (folder / "results.json").read_text("utf-8")
    first = json.loads(text)["systems"][0]["id"]
    (folder / "results.json").write_text(text.replace(f'"id":"{first}"', f'"id":{json.dumps(name)}'), "utf-8")
    with pytest.raises(InputError):
        Overview(RunFolder(folder), Options())


def test_results_that_do_not_stream_are_refused(tmp_path):
    folder = write_run(tmp_path / "run", Sample(systems=2))
    document = json.loads((folder / "results.json").read_bytes())
    (folder / "results.json").write_text(json.dumps(document, indent=1))
    with pytest.raises(InputError, match="one system per line"):
        Overview(RunFolder(folder), Options())
