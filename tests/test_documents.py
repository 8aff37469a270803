"""Documents: when one decides, when it runs out, what is still to be sent in, and adding one in place."""

import hashlib
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import pytest

from seccheck.assessment import conclude, prepare
from seccheck.criteria import load_criteria
from seccheck.documents import expires, problem, work_list
from seccheck.dossier import Paper, add_document
from seccheck.errors import InputError
from seccheck.probes import load_probes
from seccheck.registry import load_registry
from seccheck.system import Evidence
from tests import small
from tests.test_assessment import by_system

DAY = date(2026, 11, 23)
ENTRY = Evidence(file="plan.pdf", sha256="a" * 64, issued=date(2026, 1, 31), states="met")
FACTS = {"present": True, "sha256": "a" * 64}


@pytest.mark.parametrize(
    ("issued", "months", "last"),
    [
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2024, 2, 29), 12, date(2025, 2, 28)),
        (date(2026, 11, 30), 3, date(2027, 2, 28)),
        (date(2026, 8, 31), 1, date(2026, 9, 30)),
        (date(2026, 1, 15), 24, date(2028, 1, 15)),
    ],
)
def test_a_lifetime_ends_on_the_same_day_or_the_months_last(issued, months, last):
    assert expires(issued, months) == last


@pytest.mark.parametrize(
    ("facts", "months", "day", "said"),
    [
        (FACTS, 12, DAY, ""),
        (FACTS, 12, date(2027, 1, 31), ""),
        (FACTS, 12, date(2027, 2, 1), "older than 12 months"),
        (FACTS, 6, DAY, "older than 6 months"),
        (FACTS, 12, date(2026, 1, 30), "after it was looked at"),
        ({"present": True, "sha256": "b" * 64}, 12, DAY, "not the one whose digest"),
        ({"present": False}, 12, DAY, "missing"),
        (None, 12, DAY, "missing"),
    ],
)
def test_only_a_present_unchanged_fresh_document_decides(facts, months, day, said):
    found = problem(facts, ENTRY, months, day)
    assert said in found
    assert bool(found) == bool(said)


REGISTRY = """\
# kept by hand
seccheck: registry/1
name: {{en: Small, vi: Nhỏ}}
units:
- {{id: red, kind: ministry, name: {{en: Red, vi: Đỏ}}}}
systems:
- id: one   # the first
  unit: red
  name: {{en: One, vi: Một}}
  level: 2
  targets: ["http://127.0.0.1:{port}/"]
- id: two
  unit: red
  name: {{en: Two, vi: Hai}}
  level: 2
  evidence:
    # papers
    SNIFF-01: {{file: papers/old.txt, sha256: "{digest}", issued: 2020-01-01, states: met}}
  tags: [late]
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "old.txt").write_text("old")
    (tmp_path / "papers" / 'plan "A".txt').write_text("plan")
    digest = hashlib.sha256(b"old").hexdigest()
    small.write_inputs(tmp_path, 1, 2, 3)
    (tmp_path / "registry.yaml").write_text(
        REGISTRY.format(port=small_port(), digest=digest), encoding="utf-8"
    )
    return tmp_path


def small_port():
    from tests.tools import free_port

    return free_port()


def paper(place, **other):
    return Paper(
        place / "papers" / 'plan "A".txt',
        datetime.now(UTC).date() - timedelta(days=3),
        'The "Board"',
        **{"states": "met", **other},
    )


@pytest.mark.parametrize("system", ["one", "two"])
def test_a_document_is_added_in_place(place, system):
    before = (place / "registry.yaml").read_text()
    add_document(place / "registry.yaml", system, "PAPER-01", paper(place))
    after = (place / "registry.yaml").read_text()
    entry = next(one for one in load_registry(place / "registry.yaml").systems if one.id == system).evidence[
        "PAPER-01"
    ]
    assert entry.issuer == 'The "Board"'
    assert entry.sha256 == hashlib.sha256(b"plan").hexdigest()
    added = [line for line in after.splitlines() if line not in before.splitlines()]
    assert len(added) <= 2
    assert "# kept by hand" in after
    assert "# papers" in after
    assert sorted(path.name for path in place.iterdir() if path.name.startswith(".")) == []


def test_what_cannot_be_added_leaves_the_file_alone(place):
    before = (place / "registry.yaml").read_bytes()
    for system, criterion, file, message in (
        ("three", "PAPER-01", place / "papers" / "old.txt", "expected a system of this registry"),
        ("two", "SNIFF-01", place / "papers" / "old.txt", "has a document for SNIFF-01 already"),
        ("one", "PAPER-01", place / "papers" / "none.txt", "expected a file"),
        ("one", "PAPER-01", place.parent, "expected a file"),
    ):
        with pytest.raises(InputError, match=message):
            add_document(place / "registry.yaml", system, criterion, Paper(file, DAY, "x", "met"))
    assert (place / "registry.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("states", "status", "decided_by"),
    [("met", "not-concluded", "document"), ("not-met", "does-not-meet", "document")],
)
def test_a_document_decides_what_no_probe_can_see(place, states, status, decided_by):
    add_document(place / "registry.yaml", "one", "PAPER-01", paper(place, states=states))
    registry, criteria = (
        load_registry(place / "registry.yaml"),
        load_criteria(str(place / "set.yaml"), load_probes()),
    )
    folder = prepare(place / "run", registry, criteria, lambda _names: {})
    small.collect(folder, small.LocalExecutor(load_probes()), lambda *_: None)
    conclude(folder)
    systems = by_system(folder)
    (finding,) = (one for one in systems["one"]["findings"] if one["criterion"] == "PAPER-01")
    assert finding["decided_by"] == decided_by
    assert systems["one"]["status"] == status
    (missing,) = (one for one in systems["two"]["findings"] if one["criterion"] == "PAPER-01")
    assert (missing["verdict"], missing["reason"]) == ("inconclusive", "no-valid-evidence")


def test_a_document_never_overrides_a_fail(place):
    with small.web(nosniff=False) as bad:
        text = (place / "registry.yaml").read_text()
        start = text.index("http://127.0.0.1:")
        (place / "registry.yaml").write_text(
            text[:start] + f"http://127.0.0.1:{bad}" + text[text.index("/", start + 10) :]
        )
        add_document(place / "registry.yaml", "one", "SNIFF-01", paper(place))
        folder = small.assess(place / "run", place / "registry.yaml", place / "set.yaml")
    (finding,) = (one for one in by_system(folder)["one"]["findings"] if one["criterion"] == "SNIFF-01")
    assert (finding["verdict"], finding["decided_by"]) == ("fail", "probe")


def test_the_work_list_names_what_is_to_be_sent_in(place):
    add_document(place / "registry.yaml", "one", "PAPER-01", paper(place))
    registry, criteria = (
        load_registry(place / "registry.yaml"),
        load_criteria(str(place / "set.yaml"), load_probes()),
    )

    def look(entry):
        data = (place / entry.file).read_bytes()
        return {"present": True, "sha256": hashlib.sha256(data).hexdigest()}

    today = datetime.now(UTC).date()
    items = {(item.system, item.criterion): item.state for item in work_list(registry, criteria, look, today)}
    assert items == {
        ("one", "PAPER-01"): "valid",
        ("two", "PAPER-01"): "missing",
        ("two", "SNIFF-01"): "expired",
    }
    later = {
        (item.system, item.criterion): item.state
        for item in work_list(registry, criteria, look, today, within_days=400)
    }
    assert later["one", "PAPER-01"] == "expiring"


def test_the_work_list_can_be_sent_out(place):
    words = [sys.executable, "-m", "seccheck", "evidence", "status", "-r", "registry.yaml", "-c", "set.yaml"]
    done = subprocess.run(
        [*words, "--out", "work.csv"], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = (place / "work.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].startswith("Đơn vị,Hệ thống,Tiêu chí")
    assert len(lines) == 4
    done = subprocess.run(
        [*words, "--out", "work.xlsx"], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    from openpyxl import load_workbook

    assert load_workbook(place / "work.xlsx").active.max_row == 4


@pytest.mark.parametrize(
    ("packages", "verdict", "reason"),
    [
        ("ii  nginx  1.22.1-9+deb12u11  amd64  small web server\n", "pass", None),
        ("ii  nginx  1.22.1-9+deb12u1  amd64  small web server\n", "fail", None),
        ("ii  nginx  1.18.0-6+deb11u3  amd64  small web server\n", "inconclusive", "contradictory"),
    ],
)
def test_a_package_list_settles_what_a_banner_leaves_open(tmp_path, packages, verdict, reason):
    (tmp_path / "packages.txt").write_text(packages)
    digest = hashlib.sha256(packages.encode()).hexdigest()
    paper = f"{{file: packages.txt, sha256: '{digest}', issued: {datetime.now(UTC).date()}, states: met}}"
    with small.web(nosniff=True, server="nginx/1.22.1") as port:
        (tmp_path / "registry.yaml").write_text(
            "seccheck: registry/1\nname: {en: A, vi: A}\n"
            "units: [{id: u, kind: other, name: {en: U, vi: U}}]\nsystems:\n"
            f"- {{id: one, unit: u, level: 2, name: {{en: A, vi: A}}, targets: ['http://127.0.0.1:{port}/'],\n"
            f"   evidence: {{PAT-03: {paper}}}}}\n"
        )
        criteria = load_criteria("project06-2024", load_probes(), select="PAT-03")
        folder = prepare(
            tmp_path / "run", load_registry(tmp_path / "registry.yaml"), criteria, lambda _names: {}
        )
        small.collect(folder, small.LocalExecutor(load_probes()), lambda *_: None)
    conclude(folder)
    (finding,) = by_system(folder)["one"]["findings"]
    assert (finding["verdict"], finding["reason"], finding["decided_by"]) == (verdict, reason, "document"), (
        finding["evidence"]
    )


@pytest.mark.parametrize(
    ("criterion", "issued", "said"),
    [
        ("LVL-1", "2026-10-01", "did you mean 'LVL-01'"),
        ("LVL-01", "2099-10-01", "a day that has come"),
        ("LVL-01", "1/10/2026", "a date such as 2026-11-02"),
    ],
)
def test_a_slip_when_adding_a_document_changes_nothing(place, criterion, issued, said):
    before = (place / "registry.yaml").read_bytes()
    words = ("evidence", "add", "one", criterion, "papers/old.txt", "--issued", issued, "--issuer", "UBND")
    done = subprocess.run(
        [sys.executable, "-m", "seccheck", *words], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert (place / "registry.yaml").read_bytes() == before


def test_the_work_list_says_in_the_language_of_its_readers_why_a_document_does_not_count(place):
    (place / "papers" / "old.txt").write_text("changed")
    words = ("evidence", "status", "-r", "registry.yaml", "-c", "set.yaml", "--lang", "vi")
    done = subprocess.run(
        [sys.executable, "-m", "seccheck", *words], cwd=place, capture_output=True, text=True, check=False
    )
    assert "tệp không khớp mã băm (SHA-256) đã đăng ký" in done.stdout
