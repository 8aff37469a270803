"""The shipped criteria as text: complete, in both languages, resting on what was really found."""

import re
import unicodedata
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from seccheck.authoring import check
from seccheck.criteria import load_criteria
from seccheck.probes import load_probes
from seccheck.probes.ports.table import PORT_LISTS, TABLE

CRITERIA = Path(__file__).parents[1] / "criteria"
GROUPS = {
    "TLS": 10, "CRT": 6, "NET": 10, "PAT": 6, "WEB": 10, "DNS": 6, "MAI": 5,
    "ADM": 6, "MON": 5, "BAK": 4, "INC": 4, "LVL": 9, "DAT": 6, "HUM": 4,
}  # fmt: skip
IDS = [f"{group}-{number:02}" for group, count in GROUPS.items() for number in range(1, count + 1)]
ADVISED = {"PAT-04", "ADM-01", "CRT-06", "MAI-01", "WEB-10"}
FROM_INTERNET = {"NET-02", "NET-03", "NET-05", "ADM-01", "ADM-04", "WEB-08"}
# What only Vietnamese writes; a sentence without any of it was left in English, or lost its marks on the way.
VIETNAMESE = re.compile(
    r"[àáảãạăằắẳẵặâầấẩẫậđèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵ]", re.IGNORECASE
)


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


SOURCES = read(CRITERIA / "sources.yaml")["sources"]
CATALOGUE = {
    criterion["id"]: criterion
    for path in sorted((CRITERIA / "catalogue").glob("*.yaml"))
    for criterion in read(path)["criteria"]
}


def texts(value: Any, place: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    """Every text in both languages inside `value`, with where it stands."""
    if isinstance(value, dict):
        if {"vi", "en"} & value.keys():
            yield place, value
        else:
            for key, part in value.items():
                yield from texts(part, f"{place}.{key}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from texts(part, f"{place}[{index}]")


def test_the_catalogue_has_every_criterion_in_the_file_of_its_group():
    assert sorted(CATALOGUE) == sorted(IDS)
    assert len(IDS) == 91
    for path in (CRITERIA / "catalogue").glob("*.yaml"):
        ids = [criterion["id"] for criterion in read(path)["criteria"]]
        assert ids == [f"{path.stem}-{number:02}" for number in range(1, GROUPS[path.stem] + 1)]


@pytest.mark.parametrize("name", IDS)
def test_a_criterion_is_whole_and_in_both_languages(name):
    criterion = CATALOGUE[name]
    for key in ("statement", "rationale", "remedy"):
        assert {"vi", "en"} <= criterion[key].keys(), key
    for place, text in texts(criterion):
        assert text.keys() >= {"vi", "en"}, place
        assert VIETNAMESE.search(text["vi"]), f"{place}: {text['vi']}"
        assert not VIETNAMESE.search(text["en"].replace("CĐ-TTg", "").replace("NĐ-CP", "")), place
        for words in text.values():
            assert words == unicodedata.normalize("NFC", words).strip(), place
        assert "  " not in text["vi"] + text["en"], place


@pytest.mark.parametrize("name", IDS)
def test_a_statement_names_only_parameters_and_the_same_in_both_languages(name):
    criterion = CATALOGUE[name]
    named = {key: set(re.findall(r"\{(\w+)\}", criterion["statement"][key])) for key in ("vi", "en")}
    assert named["vi"] == named["en"] <= criterion.get("parameters", {}).keys()


@pytest.mark.parametrize("name", IDS)
def test_a_basis_rests_on_a_known_source_and_claims_no_more_than_was_found(name):
    for basis in CATALOGUE[name]["basis"]:
        source = SOURCES[basis["source"]]
        assert source["cite"], f"{basis['source']} was not read and may not be cited"
        if source["found"] == "second-hand":
            assert basis["kind"] == "interpretation"
            assert basis.get("note"), "what is known second-hand is marked so"
        if basis["source"] == "qcvn-12-2026-bca":
            assert basis["kind"] == "by-analogy", "it binds archives only"
        if basis["source"] == "tcvn-11930-2017":
            assert basis["kind"] == "interpretation", "its wording was not read"
        assert (basis["kind"] == "project-choice") == (basis["source"] == "seccheck")


@pytest.mark.parametrize("name", IDS)
def test_a_criterion_shows_when_it_is_met_not_met_and_undecided(name):
    assert {"pass", "fail", "inconclusive"} <= {one["then"] for one in CATALOGUE[name]["examples"]}


def test_the_lifetime_of_documents_is_owned_up_to():
    """Where the months are no parameter with a basis of its own, the basis says whose choice they are."""
    for name, criterion in CATALOGUE.items():
        if (
            not isinstance(criterion["evidence_months"], dict)
            or "parameter" not in criterion["evidence_months"]
        ):
            chosen = {basis.get("clause") for basis in criterion["basis"] if basis["source"] == "seccheck"}
            assert chosen & {"evidence_months", "people"}, name


def test_sources_say_how_well_they_are_known():
    for key, source in SOURCES.items():
        assert source["found"] in {"first-hand", "second-hand"}, key
        assert isinstance(source["cite"], bool), key
        assert source["number"], key
        assert all(isinstance(day, date) for day in source.get("in_force", {}).values()), key
        for place, text in texts(source):
            assert VIETNAMESE.search(text["vi"]), f"{key}{place}"
            assert text["en"], f"{key}{place}"
    assert not SOURCES["letter-708-2024"]["cite"]
    assert not SOURCES["letter-1552-2022"]["cite"]


def test_a_look_that_means_something_only_from_outside_says_so():
    assert {name for name, one in CATALOGUE.items() if "requires" in one} == FROM_INTERNET


@pytest.mark.parametrize("name", ["project06-2024", "project06-2026"])
def test_a_set_selects_all_and_says_that_it_is_our_reading(name):
    criteria = load_criteria(name, load_probes())
    assert [one.id for one in criteria.criteria] == sorted(IDS)
    assert {one.id for one in criteria.criteria if one.weight == "advised"} == ADVISED
    assert criteria.note
    assert "708" in criteria.note.vi
    assert "cách hiểu của dự án" in criteria.note.vi
    assert "reading" in criteria.name.en
    assert read(CRITERIA / f"{name}.yaml")["version"] == "1.0"


def test_the_sets_differ_where_the_rules_do():
    older, newer = (load_criteria(name, load_probes()) for name in ("project06-2024", "project06-2026"))
    assert older.by_id("INC-02").at_level(3)["notice_hours"] == 120
    assert newer.by_id("INC-02").at_level(3)["notice_hours"] == 24
    assert older.by_id("DAT-06").at_level(3)["physical_from"] == 4
    assert newer.by_id("DAT-06").at_level(3)["physical_from"] == 5
    assert [older.by_id("LVL-05").months(level) for level in (2, 3, 4, 5)] == [24, 12, 12, 6]
    assert newer.by_id("CRT-04").at_level(4)["rsa_bits"] == 3072
    assert older.by_id("TLS-03").counts_on(date(2024, 6, 10))
    assert not newer.by_id("TLS-03").counts_on(date(2026, 8, 18))
    assert newer.by_id("TLS-03").counts_on(date(2026, 8, 19))
    assert not newer.by_id("MAI-02").counts_on(date(2027, 7, 1))
    assert newer.by_id("MAI-02").counts_on(date(2027, 7, 2))


def test_the_port_lists_are_those_of_the_port_table():
    assert CATALOGUE["NET-02"]["parameters"]["ports"] == list(PORT_LISTS["database"])
    shares = {"rdp", "vnc", "vnc-http", "winrm", "winrm-tls", "smb", "netbios-ssn", "nfs", "rsync"}
    assert CATALOGUE["NET-03"]["parameters"]["ports"] == [
        port for port, entry in TABLE.items() if entry.service in shares
    ]
    assert CATALOGUE["ADM-01"]["parameters"]["ports"] == list(PORT_LISTS["ssh"])


def test_the_examples_of_the_readme_work_as_printed(tmp_path):
    readme = (CRITERIA / "README.md").read_text(encoding="utf-8")
    examples = dict(re.findall(r"<!-- example: (\S+) -->\n```yaml\n(.*?)```", readme, re.DOTALL))
    assert set(examples) == {"own.yaml", "our-set.yaml"}
    for name, text in examples.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert "1 criteria" in check(str(tmp_path / "own.yaml"))
    assert "91 criteria" in check(str(tmp_path / "our-set.yaml"))
    ours = load_criteria(str(tmp_path / "our-set.yaml"), load_probes())
    assert "OWN-01" in [one.id for one in ours.criteria]
    assert set(ours.dropped) == {"HUM-04"}
    assert ours.by_id("PAT-03").at_level(3)["days"] == 14
