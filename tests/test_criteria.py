"""Criteria and sets: every mistake with file, line and a hint, all of them at once; every example holds."""

import textwrap

import pytest

from seccheck.authoring import check, try_examples
from seccheck.criteria import bundled_sets, by_level, criteria_from_data, load_criteria
from seccheck.errors import InputError
from seccheck.probes import load_probes

CRITERION = """\
seccheck: criteria/1
criteria:
- id: OWN-01
  statement: {en: "At least {bits} bits", vi: "Tối thiểu {bits} bit"}
  rationale: {en: Because, vi: Vì vậy}
  remedy: {en: Do it, vi: Hãy làm, nginx: "ssl on;"}
  basis: [{kind: project-choice, source: seccheck}]
  severity: high
  from_level: 2
  parameters: {bits: {1: 2048, 4: 3072}}
  applies_if: {fact: target.tls, equals: true}
  collect: {tls: {ask: [certificates]}}
  expect: {each: tls.chains, if_none: fail, expect: {each: item.certificates, if_none: fail, expect: {
    fact: item.key_bits, at_least: {parameter: bits}}}}
  examples:
  - {given: {tls: {chains: [{certificates: [{key_bits: 2048}]}]}}, then: pass}
  - {given: {system: {level: 4}, tls: {chains: [{certificates: [{key_bits: 2048}]}]}}, then: fail}
  - {given: {tls: {failed: timeout}}, then: inconclusive, reason: timeout}
  - {given: {target: {service: ssh}}, then: not-applicable}
  - {given: {system: {level: 1}}, then: not-applicable}
"""
SET = """\
seccheck: set/1
id: own
version: "1"
name: {en: Own, vi: Riêng}
catalogue: [own.yaml]
criteria:
- OWN-01
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "own.yaml").write_text(CRITERION)
    (tmp_path / "set.yaml").write_text(SET)
    return tmp_path


def load(place, **options):
    return load_criteria(str(place / "set.yaml"), load_probes(), **options)


def problems(place):
    with pytest.raises(InputError) as caught:
        load(place)
    return [(problem.line, problem.key, problem.message, problem.hint) for problem in caught.value.problems]


@pytest.mark.parametrize("name", bundled_sets())
def test_every_example_of_every_shipped_criterion_holds(name):
    criteria = load_criteria(name, load_probes())
    broken = [trial for one in criteria.criteria for trial in try_examples(one) if not trial.holds]
    assert broken == []
    assert len(criteria.criteria) > 30


def test_a_file_of_criteria_checks_itself(place):
    assert check(str(place / "own.yaml")).endswith("1 criteria, 5 examples hold")


def test_a_broken_promise_is_told(place):
    path = place / "own.yaml"
    path.write_text(CRITERION.replace("key_bits: 2048}]}]}}, then: pass", "key_bits: 1024}]}]}}, then: pass"))
    with pytest.raises(
        InputError, match=r"OWN-01: examples\[0\]: expected pass, but the criterion says fail"
    ):
        check(str(path))


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "hint"),
    [
        ("tls.chains", "tls.chain", 13, "found 'chain'", "chains"),
        ("item.key_bits", "item.keybits", 14, "found 'keybits'", "key_bits"),
        ("at_least: {parameter: bits}", "at_least: {parameter: bit}", 14, "a parameter", "bits"),
        ("collect: {tls: {ask: [certificates]}}", "collect: {tsl: {}}", 12, "an installed probe", "tls"),
        ("ask: [certificates]", "asked: [certificates]", 12, "parameters of the tls probe", ""),
        ("severity: high", "severity: hihg", 8, "hihg", "high"),
        ("from_level: 2", "from_level: 9", 9, "", ""),
        ("source: seccheck", "source: secchek", 7, "sources.yaml", "seccheck"),
        ("fact: target.tls", "fact: tls.offered", 11, "starts with one of", ""),
        ("then: inconclusive, reason: timeout", "then: pass", 15, "missing: inconclusive", ""),
        ("rationale:", "rational:", 5, "unknown key", "rationale"),
    ],
)
def test_mistakes_in_a_criterion(place, old, new, line, message, hint):
    (place / "own.yaml").write_text(CRITERION.replace(old, new))
    found = problems(place)
    assert any(at == line and message in told and hint in tip for at, _, told, tip in found), found


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "hint"),
    [
        ("- OWN-01", "- OWN-02", 7, "'OWN-02' matches none", "OWN-01"),
        ("- OWN-01", "- {use: OWN-01, parameters: {bit: 1}}", 7, "found 'bit'", ""),
        ("- OWN-01", "- {use: OWN-01, wieght: advised}", 7, "", "weight"),
        ("- OWN-01", "- OWN-01\n- {drop: OWN-01}", 8, "a `reason`", ""),
        ("- OWN-01", "- OWN-01\n- {drop: TLS-01, reason: x}", 8, "that this set has", ""),
        ("id: own", "id: own\nextends: project06-2023", 0, "project06-2023", "project06-202"),
        ("version:", "verson:", 3, "", "version"),
    ],
)
def test_mistakes_in_a_set(place, old, new, line, message, hint):
    (place / "set.yaml").write_text(SET.replace(old, new))
    found = problems(place)
    assert any(at == line and message in told and hint in tip for at, _, told, tip in found), found


def test_all_mistakes_are_told_in_one_pass(place):
    wrong = (
        CRITERION.replace("tls.chains", "tls.chain")
        .replace("source: seccheck", "source: x")
        .replace("tls: {ask", "tsl: {ask")
    )
    (place / "own.yaml").write_text(wrong)
    assert {line for line, *_ in problems(place)} == {7, 12, 13}


def test_a_set_extends_drops_and_tightens(tmp_path):
    (tmp_path / "set.yaml").write_text(
        textwrap.dedent("""\
        seccheck: set/1
        id: ours
        version: "1"
        name: {en: Ours, vi: Của ta}
        extends: project06-2024
        criteria:
        - {use: TLS-03, weight: advised, effective_from: 2027-01-01}
        - {drop: "WEB-*", reason: no web servers}
        """)
    )
    base = load_criteria("project06-2024", load_probes())
    ours = load(tmp_path)
    assert {one.id for one in base.criteria} - {one.id for one in ours.criteria} == {
        one.id for one in base.criteria if one.group == "WEB"
    }
    assert ours.by_id("TLS-03").weight == "advised"
    assert ours.dropped["WEB-02"] == "no web servers"


def test_selection_is_by_glob_and_must_match(place):
    assert [one.id for one in load(place, select="OWN-*").criteria] == ["OWN-01"]
    with pytest.raises(InputError, match=r"--select.*'OWM-\*' matches none"):
        load(place, select="OWM-*")
    with pytest.raises(InputError, match="technical or full"):
        load(place, profile="technial")


def test_a_set_is_the_same_after_a_round_through_the_run_folder(place):
    criteria = load(place)
    again = criteria_from_data(criteria.as_data(), load_probes())
    assert again.as_data() == criteria.as_data()
    assert again.digest == criteria.digest


def test_parameters_grow_with_the_level():
    assert by_level({1: 12, 3: 6, 5: 3}) == {1: 12, 2: 12, 3: 6, 4: 6, 5: 3}
    assert by_level(7) == dict.fromkeys(range(1, 6), 7)
    assert by_level([22, 80])[5] == [22, 80]


def test_a_statement_shows_the_values_of_the_level(place):
    one = load(place).by_id("OWN-01")
    assert one.statement("en", 4) == "At least 3072 bits"
    assert one.statement("vi") == "Tối thiểu 2048/3072 bit"
