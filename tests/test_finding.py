"""Findings: what is judged alike really is alike, and no doubt hides behind one that does not count."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from seccheck.authoring import compile_alone
from seccheck.criteria import load_criteria
from seccheck.finding import Judge, likeness
from seccheck.judgement import Failure
from seccheck.model import Reason, Verdict
from seccheck.probes import load_probes
from seccheck.questions import Look, Question

OWN = """
seccheck: criteria/1
criteria:
- id: OWN-01
  statement: {en: a, vi: a}
  rationale: {en: a, vi: a}
  remedy: {en: a, vi: a}
  basis: [{kind: project-choice, source: seccheck}]
  severity: high
  from_level: 1
  collect: {tls: {ask: [certificates]}}
  expect: {fact: tls.chains.first.trusted, equals: true}
  examples:
  - {given: {tls: {chains: [{trusted: true}]}}, then: pass}
  - {given: {tls: {chains: [{trusted: false}]}}, then: fail}
  - {given: {tls: {failed: timeout}}, then: inconclusive}
"""
SYSTEM = SimpleNamespace(id="one", level=3, evidence={}, tags=())


class Seen:
    """Observations by what was wanted: the records that a journal would give."""

    def __init__(self, facts):
        self.facts = facts

    def seen(self, want):
        at = datetime(2026, 11, 23, tzinfo=UTC)
        return SimpleNamespace(
            facts=self.facts[want], digest=f"sha256:{want}", observation=SimpleNamespace(at=at)
        )


def judge(criterion, *facts, profile="technical"):
    looks = tuple(
        Look(f"192.0.2.{number}", {}, {criterion.probes[0]: number}) for number in range(len(facts))
    )
    court = Judge(Seen(dict(enumerate(facts))), None, datetime(2026, 11, 23, tzinfo=UTC), profile)
    return court.evaluate(Question(criterion, SYSTEM, None, looks))


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own.yaml").write_text(OWN)
    (criterion,) = compile_alone(tmp_path / "own.yaml", load_probes())
    return criterion


def test_facts_that_differ_below_a_first_member_are_not_judged_alike(own):
    good, bad = ({"chains": [{"trusted": trusted}]} for trusted in (True, False))
    assert likeness(own, 3, {"tls": good}, ["tls"]) != likeness(own, 3, {"tls": bad}, ["tls"])
    assert judge(own, good, bad).verdict is Verdict.FAIL
    assert judge(own, bad, good).verdict is Verdict.FAIL
    assert judge(own, good, good).verdict is Verdict.PASS


def test_the_same_failure_of_another_probe_is_not_alike(own):
    lost, told = Failure(Reason.TIMEOUT), {}
    first = likeness(own, 3, {"tls": lost, "http": told}, ["tls", "http"])
    assert first != likeness(own, 3, {"tls": told, "http": lost}, ["tls", "http"])


UNDISCLOSED = {"products": [{"name": "nginx", "version": "", "source": "server", "raw": "nginx"}]}
LOST = Failure(Reason.TIMEOUT)


@pytest.mark.parametrize("facts", [(UNDISCLOSED, LOST), (LOST, UNDISCLOSED)])
@pytest.mark.parametrize("name", ["PAT-01", "PAT-02", "PAT-03"])
def test_an_undisclosed_version_never_hides_another_doubt(name, facts):
    """What needs a document is not counted in `technical`; what was not looked at is."""
    criterion = load_criteria("project06-2024", load_probes(), profile="technical", select=name).by_id(name)
    finding = judge(criterion, *facts)
    assert (finding.verdict, finding.reason, finding.counted) == (Verdict.INCONCLUSIVE, Reason.TIMEOUT, True)
    alone = judge(criterion, UNDISCLOSED)
    assert (alone.verdict, alone.reason, alone.counted) == (Verdict.INCONCLUSIVE, Reason.UNDISCLOSED, False)
