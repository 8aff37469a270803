"""The command line as its users meet it: exit statuses, clear errors, quick help, clean output."""

import json
import shutil
import subprocess
import sys

import pytest

from tests import small
from tests.tools import seccheck


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with small.scanned(tmp_path_factory.mktemp("cli")) as place:
        yield place


# pydantic is not in the list: typer itself looks for it when it reads the types of options.
HEAVY = (
    "sslyze",
    "nassl",
    "jinja2",
    "cryptography",
    "openpyxl",
    "dns",
    "nmap",
    "rich.progress",
)


@pytest.mark.parametrize("words", [["--help"], ["scan", "--help"], ["--version"], ["--show-completion"]])
def test_help_loads_nothing_heavy(words):
    code = (
        f"import sys\nsys.argv = ['seccheck', *{words!r}]\nfrom seccheck.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "[]"


def test_scan_prints_the_tally_alone_on_standard_output(place):
    done = seccheck("rejudge", "run", "--out", "again", "--format", "", cwd=place)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "1/4 systems meet all criteria; 3 do not (1 fail, 2 not concluded).",
        "Reports from 1/1 central bodies, 1/2 localities.",
        "If every system not concluded were to pass, the figure would be 3/4.",
    ]


def test_the_tally_speaks_vietnamese(place):
    done = seccheck("rejudge", "run", "--out", "viet", "--format", "", "--lang", "vi", cwd=place)
    assert done.stdout.splitlines()[0].startswith("1/4 hệ thống đáp ứng toàn bộ tiêu chí")


def test_explain_of_a_whole_system_shows_what_is_not_met(place):
    done = seccheck("explain", "run", "bad", "--lang", "vi", cwd=place)
    assert done.returncode == 0
    assert "SNIFF-01" in done.stdout
    assert "yêu cầu có, thực tế không" in done.stdout
    assert "Send it." not in done.stdout
    good = seccheck("explain", "run", "good", cwd=place)
    assert good.stdout.splitlines()[1:] == []


def test_explain_shows_evidence_rule_and_remedy(place):
    done = seccheck("explain", "run", "bad", "SNIFF-01", cwd=place)
    assert done.returncode == 0
    for part in (
        "Bad (level 1, does not meet all)",
        "fail",
        "expected true, observed false",
        "choice of this project",
        "Send it.",
    ):
        assert part in done.stdout


def test_list_finds_who_has_a_finding(place):
    done = seccheck("list", "run", "--criterion", "SNIFF-01", "--verdict", "fail", cwd=place)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["bad"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scan", "-r", "none.yaml"], "none.yaml"),
        (["scan", "-r", "registry.yaml", "-c", "project06-2042"], "did you mean 'project06-202"),
        (["scan", "-r", "registry.yaml", "-c", "set.yaml", "--select", "SNUFF-*"], "matches none"),
        (["scan", "-r", "registry.yaml", "-c", "set.yaml", "--profile", "techical"], "technical or full"),
        (["scan", "-r", "registry.yaml", "-c", "set.yaml", "--system", "god"], "'good'"),
        (["scan", "-r", "registry.yaml", "-c", "set.yaml", "--unit", "rad"], "'red'"),
        (["scan", "-r", "registry.yaml", "-c", "set.yaml", "--out", "run"], "new or empty"),
        (["scan", "-r", "registry.yaml", "-c", "set.yaml", "--format", "htlm"], "'htlm'"),
        (["scan", "-r", "registry.yaml", "-c", "set.yaml", "--waivers", "none.yaml"], "none.yaml"),
        (["scan", "--frmat", "html"], "--frmat"),
        (["report", "nowhere"], "expected a run folder"),
        (["explain", "run", "god", "SNIFF-01"], "'good'"),
        (["explain", "run", "good", "SNIF-01"], "SNIFF-01"),
        (["list", "run", "--verdict", "failed"], "'fail'"),
        (["gate"], "either a run folder or --target"),
        (["gate", "run", "--threshold", "none.yaml"], "none.yaml"),
        (["gate", "--target", "ftp//x"], "--target"),
        (["gate", "--target", "https://192.88.99.1/"], "--i-am-authorised"),
        (["registry", "check", "set.yaml"], "registry/1"),
        (["criteria", "check", "registry.yaml"], "set/1"),
        (["criteria", "show", "TLS-99"], "TLS-"),
    ],
)
def test_a_mistake_is_one_clear_error_and_status_2(place, words, message):
    done = seccheck(*words, cwd=place)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_diff_tells_what_changed(place):
    (place / "waivers.yaml").write_text(
        "seccheck: waivers/1\nwaivers:\n"
        "- {criterion: SNIFF-01, system: bad, reason: r, requested_by: a, approved_by: b, "
        "from: 2020-01-01, until: 2020-06-01}\n"
    )
    seccheck("rejudge", "run", "--out", "expired", "--waivers", "waivers.yaml", "--format", "", cwd=place)
    same = seccheck("diff", "run", "expired", "--json", cwd=place)
    assert json.loads(same.stdout) == {"systems": [], "findings": []}


def test_doctor_and_probes_answer():
    assert "tls" in seccheck("probes").stdout
    doctor = seccheck("doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert "Python" in doctor.stdout


def test_criteria_kept_in_another_form_end_what_reads_them_before_it_writes(place, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(place / "run", run)
    file = run / "inputs" / "criteria.json"
    kept = json.loads(file.read_text())
    del kept["criteria"][0]["grace_until"]
    file.write_text(json.dumps(kept))
    for words in (("explain", "run", "bad"), ("rejudge", "run", "--out", "again")):
        done = seccheck(*words, cwd=tmp_path)
        assert done.returncode == 2
        assert "criteria.json: damaged, or of another version of seccheck" in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
    assert not (tmp_path / "again").exists()
