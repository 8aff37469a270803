"""The gate as a pipeline meets it: exit status, words and files, and that no mistake is ever green."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest

from seccheck.assessment import Narrowing
from seccheck.cli import main
from seccheck.reports import Options, Report
from seccheck.reports.run import RunFolder
from tests import small
from tests.tools import free_port, seccheck


def gate(*words, cwd=None, **environment):
    return seccheck("gate", *words, cwd=cwd, **environment)


@pytest.fixture
def here(monkeypatch, capfd):
    """The same command line within this process, for what is asked many times."""

    def run(*words, cwd):
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["seccheck", "gate", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return subprocess.CompletedProcess(words, ended.value.code or 0, *capfd.readouterr())

    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each system of a small nation, a run of all, and a later run of all."""
    place = tmp_path_factory.mktemp("gate")
    with small.web(nosniff=True) as good, small.web(nosniff=False) as bad:
        inputs = small.write_inputs(place, good, bad, free_port())
        for name in ("good", "bad", "silent", "bare"):
            small.assess(place / name, *inputs, narrowing=Narrowing(system=(name,)))
        for name in ("all", "later"):
            small.assess(place / name, *inputs)
    return place


@pytest.mark.parametrize(
    ("run", "status", "said"),
    [
        ("good", 0, "gate met: 0 block, 0 open, 0 warn, 1 pass, 1 ignored"),
        ("bad", 1, "gate not met: 1 block"),
        ("silent", 3, "gate not concluded: 0 block, 1 open"),
        ("bare", 3, "nothing within the threshold was measured, so nothing is met"),
        ("all", 1, "gate not met: 1 block, 1 open, 0 warn, 1 pass"),
    ],
)
def test_the_exit_status_says_what_the_run_came_to(runs, run, status, said):
    done = gate(run, cwd=runs)
    assert done.returncode == status, done.stdout + done.stderr
    assert said in done.stdout


def test_the_table_says_where_what_and_why(runs):
    lines = gate("all", cwd=runs).stdout.splitlines()
    assert [line.split()[:5] for line in lines if line.startswith(("BLOCK", "OPEN"))] == [
        ["BLOCK", "low", "SNIFF-01", "fail", "bad"],
        ["OPEN", "low", "SNIFF-01", "inconclusive,", "unreachable"],
    ]
    assert "why: http.nosniff – Expected: true; Observed: false" in lines[1]
    assert gate("all", "--lang", "vi", cwd=runs).stdout.startswith("BLOCK")


# ------------------------------------------------------------------------------------ threshold and baseline


def written(place, name, text):
    (place / name).write_text(text, encoding="utf-8")
    return name


def test_a_threshold_asks_for_less_and_never_for_nothing(runs, here):
    low = written(runs, "low.yaml", "seccheck: gate/1\nseverities: [critical]\n")
    nothing = here("bad", "--threshold", low, cwd=runs)
    assert nothing.returncode == 3
    assert "threshold: severities critical" in nothing.stdout
    warn = written(runs, "warn.yaml", "seccheck: gate/1\ninconclusive: warn\n")
    assert here("silent", "--threshold", warn, cwd=runs).returncode == 3, "nothing was measured"
    done = here("all", "--threshold", warn, "--baseline", "later", cwd=runs)
    assert done.returncode == 0
    assert "WARN" in done.stdout
    assert "what is not concluded does not stop the pipeline" in done.stdout


def test_with_a_baseline_only_what_is_worse_blocks(runs, here):
    same = here("all", "--baseline", "later", cwd=runs)
    assert same.returncode == 3, "the silent system is still not concluded"
    assert "WARN" in same.stdout
    assert here("bad", "--baseline", "good", cwd=runs).returncode == 1, "that finding is new"
    new = written(runs, "new.yaml", "seccheck: gate/1\nfail_on: [regressed]\n")
    assert here("bad", "--baseline", "good", "--threshold", new, cwd=runs).returncode == 0
    doubt = written(runs, "doubt.yaml", "seccheck: gate/1\nfail_on: [inconclusive]\n")
    assert here("silent", "--threshold", doubt, cwd=runs).returncode == 1


# ------------------------------------------------------------------------------------ waivers


def waiver(runs, **changes):
    today = datetime.now(UTC).date()
    entry = {
        "criterion": "SNIFF-01",
        "system": "bad",
        "reason": "moving",
        "requested_by": "A",
        "approved_by": "B",
        "from": today - timedelta(days=30),
        "until": today + timedelta(days=30),
        **changes,
    }
    text = "\n  ".join(f"{key}: {value}" for key, value in entry.items())
    return written(runs, "waivers.yaml", f"seccheck: waivers/1\nwaivers:\n- {text}\n")


def test_a_waiver_in_force_excuses_a_fail(runs, here):
    done = here("bad", "--waivers", waiver(runs), cwd=runs)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "waivers:" not in done.stderr


def test_a_waived_doubt_is_not_concluded_for_all_that(runs, here):
    done = here("silent", "--waivers", waiver(runs, system="silent"), cwd=runs)
    assert done.returncode == 3
    assert "nothing within the threshold was measured" in done.stdout


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"until": datetime.now(UTC).date() - timedelta(days=2)}, "expired on"),
        ({"from": datetime.now(UTC).date() + timedelta(days=2)}, "is not valid before"),
        ({"system": "god"}, "matches nothing that was found wanting"),
        ({"target": "nowhere-1"}, "matches nothing that was found wanting"),
        ({"criterion": "SNIF-01"}, "names no criterion of this run; did you mean 'SNIFF-01'?"),
    ],
)
def test_a_waiver_that_does_nothing_is_said_and_excuses_nothing(runs, here, changes, said):
    done = here("bad", "--waivers", waiver(runs, **changes), cwd=runs)
    assert done.returncode == 1
    assert said in done.stderr
    assert ("waiver ran out" in done.stdout) == ("until" in changes)


def test_an_expired_waiver_blocks_what_a_baseline_would_excuse(runs, here):
    past = waiver(runs, until=datetime.now(UTC).date() - timedelta(days=2))
    assert here("bad", "--baseline", "all", cwd=runs).returncode == 0
    assert here("bad", "--baseline", "all", "--waivers", past, cwd=runs).returncode == 1


# ------------------------------------------------------------------------------------ fails closed


GATE = "seccheck: gate/1\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "either a run folder or --target"),
        (["good", "--target", "https://127.0.0.1"], "either a run folder or --target"),
        (["nowhere"], "expected a run folder"),
        (["good", "--level", "3"], "--level"),
        (["good", "--as-level", "3"], "belongs to --target"),
        (["good", "-c", "small"], "belongs to --target"),
        (["good", "--select", "SNIFF-*"], "belongs to --target"),
        (["good", "--trust", "x.pem"], "belongs to --target"),
        (["good", "--wait", "5s"], "belongs to --target"),
        (["good", "--i-am-authorised", "me"], "belongs to --target"),
        (["good", "--lang", "fr"], "vi or en"),
        (["good", "--format", "junt"], "'junit'"),
        (["good", "--format", "junit="], "junit=FILE"),
        (["good", "--format", "junit", "--sarif-fails-only"], "--format sarif"),
        (["good", "--baseline", "good"], "the run itself"),
        (["good", "--baseline", "nowhere"], "expected a run folder"),
        (["good", "--threshold", "nowhere.yaml"], "nowhere.yaml"),
        (["good", "--waivers", "nowhere.yaml"], "nowhere.yaml"),
        (["good", "--format", "junit=criteria.yaml/x.xml"], "criteria.yaml"),
        (["--target", "ftp//x"], "--target"),
        (["--target", "https://127.0.0.1", "--wait", "soon"], "60s or 2m"),
        (["--target", "https://127.0.0.1", "--as-level", "9"], "--as-level"),
        (["--target", "https://127.0.0.1", "-c", "nowhere"], "nowhere"),
        (["--target", "https://127.0.0.1", "--select", "TSL-*"], "TSL-*"),
        (["--target", "https://127.0.0.1", "--trust", "nowhere.pem"], "nowhere.pem"),
        (["--target", "https://127.0.0.1", "--out", "good"], "new or empty"),
        (["--target", "https://192.88.99.1/"], "--i-am-authorised"),
        (["--target", "https://[2606:4700::1]/", "--wait", "1s"], "--i-am-authorised"),
    ],
)
def test_a_mistake_on_the_command_line_is_never_green(runs, here, words, message):
    refused(here(*words, cwd=runs), message)


def refused(done, message):
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "gate met" not in done.stdout


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("--threshold", "severities: [high]\n", "gate/1"),
        ("--threshold", "seccheck: gate/2\n", "gate/1"),
        ("--threshold", f"{GATE}severity: [high]\n", "severities"),
        ("--threshold", f"{GATE}severities: [hihg]\n", "high"),
        ("--threshold", f"{GATE}severities: []\n", "severities"),
        ("--threshold", f"{GATE}criteria: [SNUFF-*]\n", "SNUFF-*"),
        ("--threshold", f"{GATE}inconclusive: ignore\n", "inconclusive"),
        ("--threshold", f"{GATE}fail_on: [new]\n", "needs a --baseline"),
        ("--threshold", f"{GATE}fail_on: [never]\n", "fail_on"),
        ("--threshold", "", "gate/1"),
        ("--threshold", "[1", "file"),
        ("--waivers", "waivers: []\n", "seccheck"),
        ("--waivers", "seccheck: waivers/1\nwaiver: []\n", "waivers"),
        ("--waivers", "seccheck: waivers/1\nwaivers:\n- {criterion: SNIFF-01, system: bad}\n", "until"),
    ],
)
def test_a_mistake_in_a_file_is_never_green(runs, here, option, text, message):
    refused(here("good", option, written(runs, "file", text), cwd=runs), message)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("results.json", lambda data: data[: data.rindex(b"\n]")], "not the file that MANIFEST.json lists"),
        ("results.json", lambda data: data.replace(b'"fail"', b'"pass"'), "not the file that MANIFEST.json"),
        ("results.json", None, "results.json"),
        ("MANIFEST.json", None, "MANIFEST.json"),
        ("MANIFEST.json", lambda _: b"{}", "MANIFEST.json"),
        ("summary.json", None, "not a finished run"),
        ("inputs/run.json", lambda _: b"{", "run.json"),
        ("inputs/criteria.json", lambda _: b"{", "criteria.json"),
        ("inputs/registry.json", lambda _: b"\xff", "registry.json"),
    ],
)
def test_a_damaged_run_is_never_green(runs, here, tmp_path, name, damage, message):
    run = shutil.copytree(runs / "bad", tmp_path / "run")
    if damage is None:
        (run / name).unlink()
    else:
        (run / name).write_bytes(damage((run / name).read_bytes()))
    refused(here(run, "--threshold", written(tmp_path, "gate.yaml", GATE), cwd=tmp_path), message)


def test_a_damaged_baseline_is_never_green(runs, here, tmp_path):
    baseline = shutil.copytree(runs / "all", tmp_path / "baseline")
    results = baseline / "results.json"
    results.write_bytes(results.read_bytes().replace(b'"verdict":"pass"', b'"verdict":"fail"'))
    refused(here(runs / "bad", "--baseline", baseline, cwd=tmp_path), "MANIFEST.json")


def test_what_nobody_foresaw_is_status_2_and_not_the_1_of_a_verdict(runs, here, tmp_path):
    run = shutil.copytree(runs / "good", tmp_path / "run")
    (run / "inputs/criteria.json").write_text('{"criteria": 5, "set": [], "profile": {}, "sources": 1}')
    done = here(run, cwd=tmp_path)
    assert done.returncode == 2
    assert "gate met" not in done.stdout


# ------------------------------------------------------------------------------------ formats


def test_all_formats_in_one_pass(runs, tmp_path):
    formats = "junit,sarif,gitlab,oscal,csv,json,github"
    done = gate(runs / "all", "--format", formats, "--sarif-fails-only", cwd=tmp_path)
    assert done.returncode == 1
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "seccheck.junit.xml",
        "seccheck.sarif",
        "seccheck.gitlab.json",
        "seccheck.oscal.json",
        "seccheck.csv",
        "seccheck.json",
    }
    suites = ET.parse(tmp_path / "seccheck.junit.xml").getroot()
    assert [suite.get("name") for suite in suites] == ["bad", "bare", "good", "silent"]
    sarif = json.loads((tmp_path / "seccheck.sarif").read_bytes())
    (result,) = sarif["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    registry = (runs / "registry.yaml").read_text().splitlines()
    assert place["artifactLocation"]["uri"] == "registry.yaml"
    assert registry[place["region"]["startLine"] - 1] == "- id: bad"
    assert "::error file=registry.yaml,line=" in done.stdout


def test_a_report_goes_where_it_is_told(runs, tmp_path):
    done = gate(runs / "good", "--format", "junit=build/tests.xml,sarif", "--out", "reports", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "build/tests.xml").is_file()
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["seccheck.sarif"]


def test_a_report_that_breaks_off_leaves_the_old_file(runs, tmp_path):
    def write(_run, out, _options):
        out.write_text("half")
        raise KeyboardInterrupt

    (tmp_path / "out.xml").write_text("old")
    report = Report(id="x", extension="xml", kind="file", write=write)
    with pytest.raises(KeyboardInterrupt):
        report.save(RunFolder(runs / "good"), tmp_path / "out.xml", Options())
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out.xml", "old")]


def test_a_report_can_go_to_a_device(runs, tmp_path):
    done = gate(runs / "good", "--format", "gitlab=/dev/stdout", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "[\n\n]" in done.stdout


def test_on_github_annotations_and_summary_come_by_themselves(runs, tmp_path):
    summary = tmp_path / "summary.md"
    done = gate(runs / "all", cwd=tmp_path, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if line.startswith("::")]
    assert [line.split(" ")[0] for line in lines] == ["::error", "::error"]
    assert summary.read_text("utf-8").startswith("## seccheck&#58; gate not met")
    warn = written(tmp_path, "warn.yaml", f"{GATE}inconclusive: warn\n")
    done = gate(runs / "all", "--threshold", warn, cwd=tmp_path, GITHUB_ACTIONS="true")
    assert "::warning" in done.stdout


# ------------------------------------------------------------------------------------ explain


def test_explain_prints_the_table_of_all_gates_or_of_one(runs, here):
    done = here("explain", cwd=runs)
    assert done.returncode == 0
    header, *rows = (line.split("\t") for line in done.stdout.splitlines())
    assert header == ["found", "within", "waiver", "baseline", "fail_on", "inconclusive", "effect"]
    assert {row[-1] for row in rows} == {"block", "open", "warn", "pass", "ignored"}
    warn = written(runs, "warn.yaml", f"{GATE}inconclusive: warn\nseverities: [high]\n")
    one = here("explain", "--threshold", warn, cwd=runs)
    assert "open" not in {line.split("\t")[-1] for line in one.stdout.splitlines()}
    assert "severities high" in one.stderr
    new = written(runs, "new.yaml", f"{GATE}fail_on: [new]\n")
    refused(here("explain", "--threshold", new, cwd=runs), "needs a --baseline")


# ------------------------------------------------------------------------------------ targets


def at(port, *words, cwd, select="WEB-02"):
    url = f"http://127.0.0.1:{port}/"
    chosen = ("--as-level", "1", "-c", "project06-2024", "--select", select)
    return gate("--target", url, *chosen, *words, cwd=cwd)


def test_a_target_needs_no_registry_and_leaves_nothing_behind(tmp_path):
    with small.web(nosniff=True) as port:
        met = at(port, cwd=tmp_path)
        assert met.returncode == 0, met.stdout + met.stderr
        assert at(port, cwd=tmp_path, select="WEB-03").returncode == 1
    gone = at(port, cwd=tmp_path)
    assert gone.returncode == 3
    assert "OPEN  low  WEB-02  inconclusive, unreachable  127.0.0.1:" in gone.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_kept_run_is_the_baseline_of_the_next(tmp_path):
    with small.web(nosniff=True) as port:
        assert at(port, "--out", "first", "--format", "junit", cwd=tmp_path).returncode == 0
        assert (tmp_path / "first/seccheck.junit.xml").is_file()
        manifest = json.loads((tmp_path / "first/MANIFEST.json").read_bytes())
        assert "seccheck.junit.xml" in {one["name"] for one in manifest["files"]}
        same = at(port, "--baseline", "first", cwd=tmp_path)
        assert same.returncode == 0, same.stdout + same.stderr


def test_findings_of_a_target_point_into_no_registry(tmp_path):
    with small.web(nosniff=False) as port:
        done = at(port, "--format", "sarif,github", cwd=tmp_path)
    assert done.returncode == 1
    sarif = json.loads((tmp_path / "seccheck.sarif").read_bytes())
    place = next(one for one in sarif["runs"][0]["results"] if one["kind"] == "fail")["locations"][0]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "seccheck-gate-target"
    assert place["logicalLocations"][0]["name"] == f"127.0.0.1:{port}"
    assert "::error title=WEB-02 127.0.0.1%3A" in done.stdout


def test_a_target_that_starts_late_is_waited_for(tmp_path):
    port, result = free_port(), []
    asked = threading.Thread(target=lambda: result.append(at(port, "--wait", "60s", cwd=tmp_path)))
    asked.start()
    time.sleep(6)
    with small.web(nosniff=True, port=port):
        asked.join()
    assert result[0].returncode == 0, result[0].stdout + result[0].stderr


def test_waiting_has_an_end(tmp_path):
    began = time.monotonic()
    assert at(free_port(), "--wait", "2s", cwd=tmp_path).returncode == 3
    assert time.monotonic() - began < 55


def test_an_interrupt_is_130_and_leaves_nothing(tmp_path):
    """SIGINT while it waits for a target that never starts."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    url = f"http://127.0.0.1:{free_port()}/"
    command = [sys.executable, "-m", "seccheck", "gate", "--target", url, "--wait", "60s"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        time.sleep(4)
        process.send_signal(2)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []
