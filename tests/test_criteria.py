"""Criteria and sets: every mistake with file, line and a hint, all of them at once; every example holds."""

import textwrap
from datetime import date

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
        ("id: own", "id: own\nextends: project06-2023", 3, "project06-2023", "project06-202"),
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
        - {use: TLS-03, weight: advised, effective_from: 2027-01-01, reason: being replaced}
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


EXTENDED = """\
seccheck: set/1
id: ours
version: "1"
name: {{en: Ours, vi: Của ta}}
extends: {base}
criteria:
{lines}
"""


def extended(place, lines, base="set.yaml"):
    (place / "ours.yaml").write_text(EXTENDED.format(base=base, lines=lines))
    return load_criteria(str(place / "ours.yaml"), load_probes())


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{use: OWN-01, parameters: {bits: 1024}}", "bits: 1024 at level 1 (there: 2048)"),
        ("{use: OWN-01, parameters: {bits: 2048}}", "bits: 2048 at level 4 (there: 3072)"),
        ("{use: OWN-01, weight: advised}", "weight: advised"),
        ("{use: OWN-01, effective_from: 2030-01-01}", "effective_from: 2030-01-01"),
        ("{use: OWN-01, grace_until: 2030-01-01}", "grace_until: 2030-01-01"),
    ],
)
def test_less_than_the_extended_set_asks_needs_a_reason(place, line, found):
    with pytest.raises(InputError) as caught:
        extended(place, f"- {line}")
    (problem,) = caught.value.problems
    assert found in problem.message
    assert problem.line == 7
    assert "reason" in problem.hint
    ours = extended(place, f"- {line[:-1]}, reason: an old device}}")
    assert ours.eased == {"OWN-01": "an old device"}


@pytest.mark.parametrize("bits", ["4096", "{1: 2048, 3: 3072}"])
def test_more_than_the_extended_set_asks_needs_none(place, bits):
    assert extended(place, f"- {{use: OWN-01, parameters: {{bits: {bits}}}}}").eased == {}


@pytest.mark.parametrize(
    ("entry", "line", "message"),
    [
        (
            "{use: OWN-01, parameters: {bits: many}}",
            7,
            "expected a whole number such as 2048 for bits of OWN-01",
        ),
        ("{use: OWN-01, parameters: {bits: {1: 2048, 9: 4096}}}", 7, "levels from 1 to 5"),
        ("{use: OWN-01, until_then: {bits: 1024}}", 7, "expected `grace_until` beside `until_then`"),
        (
            "{use: OWN-01, effective_from: 2027-02-01, grace_until: 2027-01-01}",
            7,
            "ends after it takes effect",
        ),
        ("{drop: OWN-01, reason: x, weight: advised}", 7, "expected only `reason` beside `drop`"),
        ("{use: OWN-01, drop: OWN-01}", 7, "either `use` or `drop`"),
    ],
)
def test_lines_of_a_set_that_make_no_sense(place, entry, line, message):
    with pytest.raises(InputError) as caught:
        extended(place, f"- {entry}")
    assert {one.line for one in caught.value.problems} == {line}
    assert any(message in one.message for one in caught.value.problems), caught.value


def test_a_set_does_not_extend_itself(place):
    (place / "set.yaml").write_text(SET.replace("id: own", "id: own\nextends: ours.yaml"))
    with pytest.raises(InputError, match=r"ours.yaml extends set.yaml extends ours.yaml") as caught:
        extended(place, "- OWN-01")
    assert caught.value.problems[0].line == 3


def test_a_grace_with_earlier_values_excuses_only_what_is_new(place):
    ours = extended(
        place,
        "- {use: OWN-01, parameters: {bits: 4096}, grace_until: 2027-06-30,"
        " until_then: {bits: {1: 2048, 4: 3072}}}",
    )
    one = ours.by_id("OWN-01")
    during, after = one.on(date(2027, 6, 30)), one.on(date(2027, 7, 1))
    assert (during.at_level(4)["bits"], after.at_level(4)["bits"]) == (3072, 4096)
    assert during.statement("en", 4) == "At least 3072 bits"
    assert during.counts_on(date(2027, 6, 30))
    assert during.coming is one
    assert after.coming is None
    again = criteria_from_data(ours.as_data(), load_probes())
    assert again.digest == ours.digest
    assert again.on(date(2027, 6, 30)).by_id("OWN-01").at_level(4)["bits"] == 3072


def test_a_grace_may_be_for_systems_with_a_tag(place):
    one = extended(
        place, "- {use: OWN-01, grace_until: 2027-06-30, grace_for: old, reason: Art. 39.1}"
    ).by_id("OWN-01")
    assert one.counts_on(date(2027, 6, 30), ("new",))
    assert not one.counts_on(date(2027, 6, 30), ("old",))
    assert one.counts_on(date(2027, 7, 1), ("old",))
