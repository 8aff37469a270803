"""What judging is made of: the evidence that facts give, the judgement on it, and its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from seccheck.model import Reason, Record, Verdict, negation
from seccheck.reference import Papers, Reference

MAX_ROWS = 12
"""Evidence rows kept with a finding, failing ones first; the number left out is said."""


class Row(Record):
    """One line of evidence: which fact was held against what, and what was seen."""

    fact: str
    operator: str
    expected: str
    observed: str
    verdict: Verdict


class Judgement(Record):
    """What an expectation came to. `reason` is set when it is inconclusive."""

    verdict: Verdict
    reason: Reason | None = None
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Failure:
    """A look that told nothing: stands in the evidence where a probe's facts would."""

    reason: Reason
    detail: str = ""


class Evidence(msgspec.Struct, frozen=True):
    """What an expectation is held against: facts by root (`tls`, `target`, …), and when they were seen."""

    facts: Mapping[str, Mapping[str, Any] | Failure]
    recorded: datetime
    """When the facts were seen; judging never reads the clock."""
    parameters: Mapping[str, Any] = {}
    reference: Reference | None = None
    papers: Papers | None = None
    """Package lists and VEX statements that may settle what a banner leaves open."""

    def with_item(self, item: Any, label: str) -> Evidence:
        """The same evidence with `item` bound to one record of a list, called `label` in the rows."""
        facts = {**self.facts, "item": {"": item, "label": label}}
        return Evidence(facts, self.recorded, self.parameters, self.reference, self.papers)


NEEDS_DOCUMENT = (Reason.UNDISCLOSED, Reason.BACKPORT_POSSIBLE)
"""What no probe can decide: not counted in the profile `technical` (contracts: PAT findings)."""


def reason_of(verdict: Verdict, judged: Iterable[Judgement]) -> Reason | None:
    """Why a join of `judged` is inconclusive; None when it is not.

    A doubt that looking again could settle goes before one that only a document can, which may not count:
    what was not looked at must never hide behind what cannot be seen.
    """
    if verdict is not Verdict.INCONCLUSIVE:
        return None
    reasons = [one.reason for one in judged if one.verdict is Verdict.INCONCLUSIVE and one.reason]
    return next((one for one in reasons if one not in NEEDS_DOCUMENT), next(iter(reasons), Reason.NOT_PROBED))


def trim(rows: tuple[Row, ...], limit: int = MAX_ROWS) -> tuple[tuple[Row, ...], int]:
    """At most `limit` rows, the failing first, then the inconclusive; and how many were left out."""
    if len(rows) < 2:
        return rows, 0
    order = {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1}
    ranked = sorted(rows, key=lambda row: order.get(row.verdict, 2))
    return tuple(ranked[:limit]), max(0, len(ranked) - limit)


def negated(row: Row) -> Row:
    """The row of a "not"."""
    return Row(
        fact=row.fact,
        operator=f"not {row.operator}",
        expected=f"not {row.expected}",
        observed=row.observed,
        verdict=negation(row.verdict),
    )
