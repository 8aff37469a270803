"""A question answered: criterion × observations → finding. Pure; waivers last, and they hide nothing."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal

import msgspec

from seccheck.criteria import Criterion
from seccheck.documents import problem
from seccheck.journal import Observed
from seccheck.judgement import NEEDS_DOCUMENT, Evidence, Failure, Judgement, Row, reason_of, trim
from seccheck.model import Reason, Record, Status, Verdict, all_of
from seccheck.operators import descend
from seccheck.questions import Look, Question
from seccheck.reference import Papers, Reference
from seccheck.system import System
from seccheck.waivers import Waiver, covering


class WaiverNote(Record):
    """The waiver that covers a finding, as reports show it."""

    reason: str
    ticket: str
    approved_by: str
    until: str


class Finding(Record):
    """What one criterion came to for one system, or for one target of it."""

    criterion: str
    target: str | None
    verdict: Verdict
    observed_verdict: Verdict
    """What the evidence says; differs from `verdict` only under a waiver."""
    reason: Reason | None
    severity: str
    counted: bool
    decided_by: Literal["probe", "document", "registry"]
    evidence: tuple[Row, ...] = ()
    evidence_omitted: int = 0
    detail: str = ""
    observations: tuple[str, ...] = ()
    """Digests of the observations it rests on."""
    waiver: WaiverNote | None = None
    fingerprint: str


_NEVER = Failure(Reason.NOT_PROBED, "never looked at")
_MOST_KNOWN = 10_000


def likeness(
    criterion: Criterion, level: int, facts: Mapping[str, Mapping[str, Any] | Failure], wants: Iterable[str]
) -> tuple[Hashable, ...] | None:
    """What `facts` share with all others that `criterion` judges alike; None when that is unknown."""
    if criterion.depends_on is None:
        return None
    key: list[Hashable] = [criterion.id, level]
    for name in wants:
        source = facts[name]
        if isinstance(source, Failure):
            key.append((name, source))
        elif doubts := source.get("undecided"):
            key.append((name, *(tuple(doubt.values()) for doubt in doubts)))
    for root, *keys in criterion.depends_on:
        value = descend(facts.get(root), keys)
        if isinstance(value, list | tuple):
            value = tuple(value)
            if value and isinstance(value[0], dict):
                return None
        key.append(value)
    return None if any(isinstance(one, dict) for one in key) else tuple(key)


def _rows(failure: Failure) -> tuple[Row, ...]:
    return (
        Row(
            fact="evidence",
            operator="",
            expected="a valid document",
            observed=failure.detail or failure.reason,
            verdict=Verdict.INCONCLUSIVE,
        ),
    )


_NOT_APPLICABLE = Judgement(verdict=Verdict.NOT_APPLICABLE)
_NO_DOCUMENT = Judgement(
    verdict=Verdict.INCONCLUSIVE,
    reason=Reason.NO_VALID_EVIDENCE,
    rows=_rows(Failure(Reason.NO_VALID_EVIDENCE, "no document is named under evidence")),
)


@dataclass(frozen=True)
class Judge:
    """What findings are made with: observations, reference data, the moment of the run, waivers."""

    observed: Observed
    reference: Reference | None
    made: datetime
    profile: str
    waivers: Sequence[Waiver] = ()
    known: dict[tuple[Hashable, ...], Judgement] = field(default_factory=dict)
    """What like evidence came to."""

    @cached_property
    def day(self) -> date:
        """The day that decides what counts."""
        return self.made.date()

    def evaluate(self, question: Question) -> Finding:
        """The finding for `question`, from what was observed."""
        criterion = question.criterion
        if not question.looks:
            return self._finding(question, _NOT_APPLICABLE, "registry", ())
        seen: list[str] = []
        joined = _join([self._at(look, question, seen) for look in question.looks])
        by: Literal["probe", "document", "registry"] = "probe" if seen else "registry"
        if joined.verdict is Verdict.INCONCLUSIVE and question.document:
            document = self._by_document(question, seen)
            if isinstance(document, Judgement):
                return self._finding(question, _with_rows(document, joined), "document", seen)
            if criterion.needs_document:
                joined = Judgement(verdict=Verdict.INCONCLUSIVE, reason=document.reason, rows=_rows(document))
        elif criterion.needs_document and joined.verdict is Verdict.INCONCLUSIVE:
            joined = _NO_DOCUMENT
        return self._finding(question, joined, by, seen)

    def _at(self, look: Look, question: Question, seen: list[str], papers: Papers | None = None) -> Judgement:
        """Judge one look, on the facts of the registry and of the observations it wanted."""
        facts: dict[str, Mapping[str, Any] | Failure] = {**look.facts}
        observations = []
        for name, want in look.wants.items():
            if isinstance(want, Failure):
                facts[name] = want
            elif one := self.observed.seen(want):
                facts[name] = one.facts
                seen.append(one.digest)
                observations.append(one.observation)
            else:
                facts[name] = _NEVER
        criterion, level = question.criterion, question.system.level
        key = likeness(criterion, level, facts, look.wants)
        judged = self.known.get(key) if key else None
        if judged is None:
            recorded = max((one.at for one in observations), default=self.made)
            parameters = criterion.at_level(level)
            judged = _judged(criterion, Evidence(facts, recorded, parameters, self.reference, papers), level)
            if key and len(self.known) < _MOST_KNOWN:
                self.known[key] = judged
        return _labelled(judged, look.label) if look.label else judged

    def _by_document(self, question: Question, seen: list[str]) -> Judgement | Failure:
        """What a valid document says, or why it is none."""
        assert question.document is not None  # noqa: S101
        entry = question.system.evidence[question.criterion.id]
        one = self.observed.seen(question.document)
        if one is None:
            return Failure(Reason.NOT_PROBED, "the document was not looked at")
        seen.append(one.digest)
        months = question.criterion.months(question.system.level) or 0
        seen_on = one.observation
        wrong = seen_on.detail or problem(seen_on.facts, entry, months, seen_on.at.date())
        if wrong:
            return Failure(Reason.NO_VALID_EVIDENCE, f"{entry.file}: {wrong}")
        settled = self._settled(question, seen_on.facts or {})
        if settled.verdict is not Verdict.INCONCLUSIVE or settled.reason is Reason.CONTRADICTORY:
            return settled
        verdict = Verdict.PASS if entry.states == "met" else Verdict.FAIL
        observed = f"{entry.states} ({entry.file}, {entry.issuer or '–'}, {entry.issued.isoformat()})"
        row = Row(
            fact="evidence.states", operator="equals", expected="met", observed=observed, verdict=verdict
        )
        return Judgement(verdict=verdict, rows=(row,))

    def _settled(self, question: Question, facts: Mapping[str, Any]) -> Judgement:
        """What the looks come to once a package list or VEX document is added to them."""
        papers = msgspec.convert(
            {"packages": facts.get("packages", ()), "statements": facts.get("statements", ())}, Papers
        )
        if not papers.packages and not papers.statements:
            return Judgement(verdict=Verdict.INCONCLUSIVE)
        return _join([self._at(look, question, [], papers) for look in question.looks])

    def _finding(
        self,
        question: Question,
        judged: Judgement,
        by: Literal["probe", "document", "registry"],
        observations: Sequence[str],
    ) -> Finding:
        criterion, system = question.criterion, question.system
        target = question.target.id if question.target else None
        waiver = None
        if self.waivers and judged.verdict in {Verdict.FAIL, Verdict.INCONCLUSIVE}:
            waiver = covering(self.waivers, criterion.id, system.id, target, self.day)
        rows, omitted = trim(judged.rows)
        return Finding(
            criterion=criterion.id,
            target=target,
            verdict=Verdict.WAIVED if waiver else judged.verdict,
            observed_verdict=judged.verdict,
            reason=judged.reason,
            severity=criterion.text.severity,
            counted=self._counted(criterion, system, judged),
            decided_by=by,
            evidence=rows,
            evidence_omitted=omitted,
            observations=tuple(sorted(set(observations)) if len(observations) > 1 else observations),
            waiver=_note(waiver) if waiver else None,
            fingerprint=fingerprint(criterion.id, system.id, target),
        )

    def _counted(self, criterion: Criterion, system: System, judged: Judgement) -> bool:
        if self.profile == "technical" and criterion.group == "PAT" and judged.reason in NEEDS_DOCUMENT:
            return False
        return criterion.counts_on(self.day, system.tags)


def fingerprint(criterion: str, system: str, target: str | None) -> str:
    """What stays the same for a system, criterion and target in every run: half a SHA-256, hexadecimal."""
    named = f'"{target}"' if target is not None else "null"  # ids need no escape in JSON
    whole = f'{{"criterion":"{criterion}","system":"{system}","target":{named}}}'
    return sha256(whole.encode()).hexdigest()[:32]


def _join(judged: Sequence[Judgement]) -> Judgement:
    """The worst of several looks: any fail, else any inconclusive, else pass."""
    if len(judged) == 1:
        return judged[0]
    verdict = all_of(one.verdict for one in judged)
    reason = reason_of(verdict, judged)
    return Judgement(verdict=verdict, reason=reason, rows=tuple(row for one in judged for row in one.rows))


def _judged(criterion: Criterion, evidence: Evidence, level: int) -> Judgement:
    judged = criterion.judge(evidence)
    if judged.verdict is Verdict.PASS and criterion.coming:
        return _with_rows(
            judged, Judgement(verdict=judged.verdict, rows=_foreseen(criterion, evidence, level))
        )
    if judged.verdict is not Verdict.INCONCLUSIVE:
        return judged
    rows = tuple(_failures(evidence.facts))
    return _with_rows(judged, Judgement(verdict=judged.verdict, rows=rows))


def _foreseen(criterion: Criterion, evidence: Evidence, level: int) -> tuple[Row, ...]:
    """What will not be met by the values that hold once the grace has ended."""
    assert criterion.coming is not None  # noqa: S101
    coming = msgspec.structs.replace(evidence, parameters=criterion.coming.at_level(level))
    rows = (row for row in criterion.judge(coming).rows if row.verdict is not Verdict.PASS)
    return _relabelled(rows, lambda fact: f"{fact} ({criterion.after_grace})")


def _labelled(judged: Judgement, label: str) -> Judgement:
    rows = _relabelled(judged.rows, lambda fact: f"{label} {fact}")
    return Judgement(verdict=judged.verdict, reason=judged.reason, rows=rows)


def _relabelled(rows: Iterable[Row], name: Callable[[str], str]) -> tuple[Row, ...]:
    """The rows with another name for each fact."""
    return tuple(
        Row(
            fact=name(row.fact),
            operator=row.operator,
            expected=row.expected,
            observed=row.observed,
            verdict=row.verdict,
        )
        for row in rows
    )


def _with_rows(judged: Judgement, other: Judgement) -> Judgement:
    return Judgement(verdict=judged.verdict, reason=judged.reason, rows=(*judged.rows, *other.rows))


def _failures(facts: Mapping[str, Any]) -> Iterator[Row]:
    """The "because" of an inconclusive: a row for each look that told nothing and each doubt explained."""
    for name, value in facts.items():
        if isinstance(value, Failure):
            detail = f"{value.reason}: {value.detail}" if value.detail else value.reason.value
            yield Row(fact=name, operator="", expected="", observed=detail, verdict=Verdict.INCONCLUSIVE)
            continue
        for entry in value.get("undecided", ()) if name != "address" else ():
            if entry.get("detail"):
                subject = f"{name}.{entry['fact']}" + (f" {entry['member']}" if entry.get("member") else "")
                observed = f"{entry['reason']}: {entry['detail']}"
                yield Row(
                    fact=subject, operator="", expected="", observed=observed, verdict=Verdict.INCONCLUSIVE
                )


def _note(waiver: Waiver) -> WaiverNote:
    return WaiverNote(
        reason=waiver.reason,
        ticket=waiver.ticket,
        approved_by=waiver.approved_by,
        until=waiver.until.isoformat(),
    )


def system_status(findings: Sequence[Finding]) -> Status:
    """Where a system stands: by its counted findings; nothing applicable is never compliant."""
    applicable = [one for one in findings if one.counted and one.verdict is not Verdict.NOT_APPLICABLE]
    if not applicable:
        return Status.UNASSESSED
    match all_of(one.verdict for one in applicable):
        case Verdict.FAIL:
            return Status.DOES_NOT_MEET
        case Verdict.INCONCLUSIVE:
            return Status.NOT_CONCLUDED
        case _:
            return Status.MEETS
