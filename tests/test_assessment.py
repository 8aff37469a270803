"""The pipeline, end to end on real sockets: results, tally, waivers, resume, and judging again."""

import json
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest

from seccheck.assessment import Narrowing, collect, conclude, prepare, rejudge
from seccheck.authoring import json_schema
from seccheck.criteria import load_criteria
from seccheck.errors import InputError, JournalError
from seccheck.executors.local import LocalExecutor
from seccheck.probes import load_probes
from seccheck.registry import load_registry
from seccheck.runfolder import RunFolder
from tests import small
from tests.tools import free_port


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    place = tmp_path_factory.mktemp("inputs")
    with small.web(nosniff=True) as good, small.web(nosniff=False) as bad:
        yield small.write_inputs(place, good, bad, free_port())


@pytest.fixture(scope="module")
def run(inputs, tmp_path_factory) -> RunFolder:
    return small.assess(tmp_path_factory.mktemp("runs") / "first", *inputs)


def results(folder):
    return json.loads((folder.path / "results.json").read_text())


def by_system(folder):
    return {system["id"]: system for system in results(folder)["systems"]}


def test_every_system_gets_the_status_its_evidence_supports(run):
    assert {name: system["status"] for name, system in by_system(run).items()} == {
        "good": "meets",
        "bad": "does-not-meet",
        "silent": "not-concluded",
        "bare": "unassessed",
    }


def test_nothing_applicable_is_never_compliant(run):
    assert by_system(run)["bare"]["status"] == "unassessed"


def test_the_tally_adds_up(run):
    tally = results(run)["tally"]
    assert tally["systems"] == {
        "reported": 4,
        "meets": 1,
        "does_not_meet": 1,
        "not_concluded": 1,
        "unassessed": 1,
        "with_waivers": 0,
        "needs_document": 0,
    }
    assert tally["units"] == {
        "ministry": {"reported": 1, "total": 1, "missing": []},
        "locality": {"reported": 1, "total": 2, "missing": ["grey"]},
    }
    assert tally["by_criterion"]["SNIFF-01"] == {
        "pass": 1,
        "fail": 1,
        "inconclusive": 1,
        "not_applicable": 1,
        "waived": 0,
    }
    assert {key: sum(unit[key] for unit in tally["by_unit"].values()) for key in ("reported", "meets")} == {
        "reported": 4,
        "meets": 1,
    }


def test_results_follow_their_schema_and_stream_by_line(run):
    schema = json.loads(json_schema("results"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(results(run), schema)
    lines = (run.path / "results.json").read_text().splitlines()
    assert [json.loads(line.rstrip(","))["id"] for line in lines[1:-1]] == ["bad", "bare", "good", "silent"]


def test_a_finding_shows_its_evidence(run):
    (finding,) = (one for one in by_system(run)["bad"]["findings"] if one["criterion"] == "SNIFF-01")
    assert finding["verdict"] == "fail"
    assert finding["evidence"][0] == {
        "fact": "http.nosniff",
        "operator": "equals",
        "expected": "true",
        "observed": "false",
        "verdict": "fail",
    }
    with run.journal() as journal:
        digests = {journal.read(job.key).digest for job in run.plan.jobs}
    assert set(finding["observations"]) <= digests


def test_an_unreachable_target_is_inconclusive_because(run):
    (finding,) = (one for one in by_system(run)["silent"]["findings"] if one["criterion"] == "SNIFF-01")
    assert (finding["verdict"], finding["reason"]) == ("inconclusive", "unreachable")
    assert any("refused the connection" in row["observed"] for row in finding["evidence"])


def test_judging_again_gives_the_same_bytes(run, tmp_path):
    again = rejudge(run, tmp_path / "again", None, None, "seccheck rejudge")
    conclude(again)
    first, second = results(run), results(again)
    for one in (first, second):
        for key in ("id", "started", "finished", "command"):
            one["scan"].pop(key)
    assert first == second
    assert (run.path / "results.json").read_bytes().splitlines()[1:] == (
        again.path / "results.json"
    ).read_bytes().splitlines()[1:]


def test_other_criteria_that_were_never_looked_for_are_not_probed(run, tmp_path):
    other = load_criteria("project06-2024", load_probes(), profile="technical", select="TLS-01,WEB-02")
    again = rejudge(run, tmp_path / "again", other, None, "seccheck rejudge")
    conclude(again)
    found = {
        one["criterion"]: (one["verdict"], one["reason"]) for one in by_system(again)["good"]["findings"]
    }
    assert found["TLS-01"] == ("fail", None)
    assert found["WEB-02"][0] in {"pass", "inconclusive"}


def test_a_waiver_counts_as_met_and_stays_visible(run, tmp_path):
    today = datetime.now(UTC).date()
    waivers = tmp_path / "waivers.yaml"
    waivers.write_text(
        f"""
seccheck: waivers/1
waivers:
- criterion: SNIFF-01
  system: bad
  reason: moving next month
  requested_by: A
  approved_by: B
  from: {today - timedelta(days=1)}
  until: {today + timedelta(days=30)}
- criterion: SNIFF-01
  system: silent
  reason: too late
  requested_by: A
  approved_by: B
  from: {today - timedelta(days=30)}
  until: {today - timedelta(days=1)}
"""
    )
    again = rejudge(run, tmp_path / "again", None, waivers, "seccheck rejudge")
    conclude(again)
    systems = by_system(again)
    (waived,) = (one for one in systems["bad"]["findings"] if one["criterion"] == "SNIFF-01")
    assert (waived["verdict"], waived["observed_verdict"]) == ("waived", "fail")
    assert waived["waiver"]["approved_by"] == "B"
    assert systems["bad"]["status"] == "meets"
    assert systems["silent"]["status"] == "not-concluded"
    assert results(again)["tally"]["systems"]["with_waivers"] == 1


def test_an_interrupted_run_goes_on_where_it_stopped(inputs, run, tmp_path):
    registry, criteria = inputs
    folder = prepare(
        tmp_path / "run",
        load_registry(registry),
        load_criteria(str(criteria), load_probes()),
        lambda _names: {},
    )
    (folder.path / "STOP").touch()
    executor = LocalExecutor(load_probes())
    assert not collect(folder, executor, lambda *_: None)
    (folder.path / "STOP").unlink()
    reopened = RunFolder.open(tmp_path / "run")
    assert collect(reopened, executor, lambda *_: None)
    asked_again = []
    assert collect(reopened, executor, lambda *told: asked_again.append(told))
    assert asked_again == []
    conclude(reopened)
    statuses = {name: system["status"] for name, system in by_system(reopened).items()}
    assert statuses == {name: system["status"] for name, system in by_system(run).items()}


def test_planning_touches_nothing(inputs, tmp_path):
    registry, criteria = inputs
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        text = registry.read_text().replace("127.0.0.1:", f"127.0.0.1:{port}#").split("#")
        (tmp_path / "registry.yaml").write_text(
            text[0] + "/" + text[1].split("/", 1)[1].split("- id: bad")[0]
        )
        folder = prepare(
            tmp_path / "run",
            load_registry(tmp_path / "registry.yaml"),
            load_criteria(str(criteria), load_probes()),
            lambda _names: {},
        )
        assert len(folder.plan.jobs) == 1
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_run_folder_is_private_and_listed(run):
    for path in [run.path, *run.path.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    manifest = json.loads((run.path / "MANIFEST.json").read_text())
    listed = {entry["name"] for entry in manifest["files"]}
    assert {
        "plan.json",
        "journal.jsonl",
        "results.json",
        "summary.json",
        "inputs/registry.json",
        "inputs/criteria.json",
    } <= listed


def test_a_folder_in_use_is_refused(inputs, run):
    registry, criteria = inputs
    with pytest.raises(InputError, match="new or empty folder"):
        prepare(
            run.path, load_registry(registry), load_criteria(str(criteria), load_probes()), lambda _names: {}
        )


def test_a_narrowed_run_says_so_and_keeps_the_coverage(inputs, tmp_path):
    narrowing = Narrowing(system=("good",))
    folder = small.assess(tmp_path / "run", *inputs, narrowing=narrowing)
    document = results(folder)
    assert document["scan"]["selection"]["systems"] == 1
    assert document["scan"]["selection"]["systems_of"] == 4
    assert document["tally"]["units"]["ministry"]["reported"] == 1
    assert document["tally"]["units"]["locality"]["reported"] == 1
    with pytest.raises(InputError, match="expected an id of the registry, found 'god'"):
        Narrowing(system=("god",)).apply(load_registry(inputs[0]))


def test_a_changed_plan_is_refused(inputs, tmp_path):
    folder = small.assess(tmp_path / "run", *inputs)
    plan = Path(folder.path / "plan.json")
    plan.write_bytes(plan.read_bytes().replace(b'"zone":"internet"', b'"zone":"intranet"'))
    with pytest.raises(JournalError, match="another plan"):
        conclude(RunFolder.open(folder.path))
