"""The expectation language: three-valued, type-checked, and never vacuous."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seccheck.expect import Compiler
from seccheck.judgement import Evidence, Failure, trim
from seccheck.model import Reason, Record, Verdict
from seccheck.probes import Facts

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


class Item(Record):
    name: str
    bits: int | None = None


class Sample(Facts):
    versions: tuple[str, ...] | None = None
    ports: tuple[int, ...] | None = None
    bits: int | None = None
    offered: bool | None = None
    until: str | None = None
    items: tuple[Item, ...] | None = None


class Target(Record):
    service: str
    approved: tuple[int, ...] = ()


SCHEMA = {"probe": Sample, "target": Target}


def judge(node, probe, *, target=None, parameters=None):
    compiler = Compiler(SCHEMA, parameters or {})
    function = compiler.compile(node)
    assert compiler.faults == []
    facts = {"target": {"service": "https", "approved": [443], **(target or {})}}
    if probe is not None:
        facts["probe"] = probe
    judged = function(Evidence(facts, NOW, parameters or {}))
    return judged.verdict.value, judged.reason and judged.reason.value


def faults(node, parameters=None):
    compiler = Compiler(SCHEMA, parameters or {})
    compiler.compile(node)
    return [(".".join(map(str, fault.path)), fault.message, fault.hint) for fault in compiler.faults]


OLD_REFUSED = {"fact": "probe.versions", "subset_of": ["TLSv1.2", "TLSv1.3"]}


def doubt(member, reason="timeout", fact="versions"):
    return [{"fact": fact, "member": member, "reason": reason, "detail": ""}]


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        ({"versions": ["TLSv1.3"]}, ("pass", None)),
        ({"versions": ["TLSv1.3", "TLSv1.0"]}, ("fail", None)),
        ({"versions": ["TLSv1.3"], "undecided": doubt("TLSv1.0")}, ("inconclusive", "timeout")),
        ({"versions": ["TLSv1.3"], "undecided": doubt("TLSv1.2")}, ("pass", None)),
        ({"versions": ["TLSv1.0"], "undecided": doubt("SSLv3")}, ("fail", None)),
        (
            {"versions": ["TLSv1.3"], "undecided": doubt(None, "contradictory")},
            ("inconclusive", "contradictory"),
        ),
        ({"versions": None, "undecided": doubt(None, "not-offered")}, ("inconclusive", "not-offered")),
        ({"versions": None}, ("inconclusive", "not-probed")),
        (None, ("inconclusive", "not-probed")),
        (Failure(Reason.RATE_LIMITED), ("inconclusive", "rate-limited")),
    ],
)
def test_doubt_matters_only_where_it_could_change_the_answer(probe, expected):
    assert judge(OLD_REFUSED, probe) == expected


def test_a_doubtful_number_is_compared_as_a_number():
    closed = {"fact": "probe.ports", "disjoint_from": [3306]}
    assert judge(closed, {"ports": [], "undecided": doubt("3306", fact="ports")}) == (
        "inconclusive",
        "timeout",
    )
    assert judge(closed, {"ports": [], "undecided": doubt("80", fact="ports")}) == ("pass", None)


def test_an_operand_may_be_a_fact_or_a_parameter():
    approved = {"fact": "probe.ports", "subset_of": {"fact": "target.approved"}}
    assert judge(approved, {"ports": [443]})[0] == "pass"
    assert judge(approved, {"ports": [443, 22]})[0] == "fail"
    strong = {"fact": "probe.bits", "at_least": {"parameter": "bits"}}
    assert judge(strong, {"bits": 2048}, parameters={"bits": 3072})[0] == "fail"


@pytest.mark.parametrize(
    ("probe", "each", "some", "none"),
    [
        ([], "inconclusive", "inconclusive", "inconclusive"),
        ([{"name": "a", "bits": 2048}], "pass", "pass", "fail"),
        ([{"name": "a", "bits": 1024}], "fail", "fail", "pass"),
        ([{"name": "a", "bits": None}], "inconclusive", "inconclusive", "inconclusive"),
        ([{"name": "a", "bits": None}, {"name": "b", "bits": 1024}], "fail", "inconclusive", "inconclusive"),
        ([{"name": "a", "bits": None}, {"name": "b", "bits": 2048}], "inconclusive", "pass", "fail"),
    ],
)
def test_quantifiers_follow_kleene(probe, each, some, none):
    inner = {"if_none": "inconclusive", "expect": {"fact": "item.bits", "at_least": 2048}}
    for kind, expected in (("each", each), ("some", some), ("none", none)):
        assert judge({kind: "probe.items", **inner}, {"items": probe})[0] == expected


def test_a_list_that_may_be_longer_never_passes_each():
    node = {"each": "probe.items", "if_none": "pass", "expect": {"fact": "item.bits", "at_least": 2048}}
    probe = {"items": [{"name": "a", "bits": 2048}], "undecided": doubt(None, fact="items")}
    assert judge(node, probe) == ("inconclusive", "timeout")


def test_where_leaves_records_out():
    node = {
        "each": "probe.items",
        "if_none": "fail",
        "where": {"fact": "item.name", "equals": "leaf"},
        "expect": {"fact": "item.bits", "at_least": 2048},
    }
    items = [{"name": "leaf", "bits": 2048}, {"name": "root", "bits": 1024}]
    assert judge(node, {"items": items})[0] == "pass"
    assert judge(node, {"items": items[1:]})[0] == "fail"


def test_times_are_held_against_the_moment_of_the_look():
    node = {"fact": "probe.until", "after": "recorded"}
    assert judge(node, {"until": "2026-11-23T06:00:01Z"})[0] == "pass"
    assert judge(node, {"until": "2026-11-23T05:59:59Z"})[0] == "fail"


@pytest.mark.parametrize(
    ("node", "place", "message", "hint"),
    [
        ({"fact": "probe.version", "subset_of": ["x"]}, "fact", "found 'version'", "'versions'"),
        ({"fact": "prob.versions", "subset_of": ["x"]}, "fact", "starts with one of", "'probe'"),
        ({"fact": "probe.versions", "subsetof": ["x"]}, "", "one operator", "'subset_of'"),
        ({"fact": "probe.versions", "equals": "x"}, "equals", "single value", "subset_of"),
        ({"fact": "probe.bits", "at_least": "2048"}, "at_least", "whole number", ""),
        ({"fact": "probe.offered", "equals": "true"}, "equals", "true or false", ""),
        ({"fact": "probe.ports", "disjoint_from": ["22"]}, "disjoint_from", "whole number", ""),
        ({"fact": "probe.bits", "at_least": {"parameter": "bit"}}, "at_least", "a parameter", "'bits'"),
        ({"fact": "target.service", "matches": "("}, "matches", "regular expression", ""),
        ({"each": "probe.items", "expect": {"fact": "item.bits", "at_least": 1}}, "", "if_none", ""),
        ({"each": "probe.bits", "if_none": "pass", "expect": {}}, "each", "a list fact", ""),
        ({"all": []}, "all", "one or more", ""),
        ({"every": []}, "", "exactly one of", ""),
        ({"fact": "probe.until", "after": "now"}, "after", "recorded", ""),
        ({"fact": "probe.bits", "supported": True}, "supported", "product record", ""),
    ],
)
def test_mistakes_are_found_when_compiling(node, place, message, hint):
    (found,) = faults(node, {"bits": 2048})
    assert found[0] == place
    assert message in found[1]
    assert hint in found[2]


def test_all_mistakes_are_reported_at_once():
    node = {"all": [{"fact": "probe.a", "equals": 1}, {"not": {"fact": "probe.b", "equals": 1}}]}
    assert [place for place, *_ in faults(node)] == ["all.0.fact", "all.1.not.fact"]


def test_evidence_rows_put_failures_first_and_say_what_was_left_out():
    node = {"each": "probe.items", "if_none": "pass", "expect": {"fact": "item.bits", "at_least": 2048}}
    items = [{"name": str(n), "bits": 4096} for n in range(30)] + [{"name": "weak", "bits": 512}]
    compiler = Compiler(SCHEMA, {})
    judged = compiler.compile(node)(Evidence({"probe": {"items": items}}, NOW))
    rows, omitted = trim(judged.rows)
    assert rows[0].observed == "512"
    assert rows[0].fact == "probe.items[30].bits"
    assert rows[0].expected == "≥ 2048"
    assert omitted == 31 - len(rows)


VERSIONS = ["SSLv3", "TLSv1.0", "TLSv1.2", "TLSv1.3"]


@given(st.sets(st.sampled_from(VERSIONS)), st.sets(st.sampled_from(VERSIONS)))
def test_whatever_doubt_turns_out_to_be_a_decided_verdict_holds(seen, unsure):
    """A pass or fail under doubt is the verdict of every world the doubt allows."""
    unsure -= seen
    undecided = [doubt(member)[0] for member in sorted(unsure)]
    verdict, _ = judge(OLD_REFUSED, {"versions": sorted(seen), "undecided": undecided})
    worlds = {
        judge(OLD_REFUSED, {"versions": sorted(seen | extra)})[0]
        for extra in (set(), unsure, *({one} for one in unsure))
    }
    if verdict == "inconclusive":
        assert worlds == {"pass", "fail"}
    else:
        assert worlds == {verdict}


def test_not_turns_pass_and_fail_only():
    node = {"not": OLD_REFUSED}
    assert judge(node, {"versions": ["TLSv1.0"]})[0] == "pass"
    assert judge(node, {"versions": ["TLSv1.3"]})[0] == "fail"
    assert judge(node, None)[0] == "inconclusive"
    assert Verdict.FAIL == "fail"
