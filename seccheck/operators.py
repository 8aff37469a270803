"""The operators of the expectation language: a fact, with what is in doubt about it, held against an operand.

A list operator fails by what was seen, is inconclusive where a doubtful member would break it, and passes
otherwise; a single value in doubt is inconclusive.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Any, Literal

import msgspec

from seccheck import facttypes
from seccheck.judgement import Evidence, Failure, Judgement, Row
from seccheck.model import Reason, Verdict
from seccheck.reference import Papers, Product, Reference, Ruling, settle

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
_MAX_TEXT = 400


class Value(msgspec.Struct):
    """A fact with what is in doubt about it: single members, or (`open`) anything."""

    value: Any
    label: str
    members: Mapping[str, Reason]
    open: Reason | None = None


_NO_MEMBERS: Mapping[str, Reason] = {}


def reader(path: tuple[str, ...]) -> Callable[[Evidence], Value]:
    """The function that gives the fact at `path`, with every doubt that is recorded about it."""
    root, *keys = path
    label = ".".join(path)
    names = {keys[0] if keys else "", ".".join(keys)}

    def read_item(evidence: Evidence) -> Value:
        source: Any = evidence.facts["item"]
        return Value(descend(source[""], keys), ".".join((source["label"], *keys)), _NO_MEMBERS)

    def read(evidence: Evidence) -> Value:
        source = evidence.facts.get(root)
        if source is None:
            return Value(None, label, _NO_MEMBERS, Reason.NOT_PROBED)
        if isinstance(source, Failure):
            return Value(None, label, _NO_MEMBERS, source.reason)
        value = descend(source, keys)
        members: dict[str, Reason] = {}
        doubt: Reason | None = None
        for entry in source.get("undecided", ()):
            if entry["fact"] in names:
                if entry.get("member") is None:
                    doubt = doubt or Reason(entry["reason"])
                else:
                    members[entry["member"]] = Reason(entry["reason"])
        if value is None:
            doubt = doubt or next(iter(members.values()), Reason.NOT_PROBED)
        return Value(value, label, members, doubt)

    return read_item if root == "item" else read


def descend(value: Any, keys: Iterable[str]) -> Any:
    """What lies at `keys` inside a fact (`first`: the first member of a list); None where nothing does."""
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key)
        elif key == "first" and isinstance(value, list | tuple):
            value = value[0] if value else None
        elif isinstance(value, Mapping):
            value = value.get(key)
        else:
            return None
    return value


def text_of(value: Any) -> str:
    """A value as a reader sees it: lists joined, booleans lower-case, bounded."""
    if isinstance(value, str):
        text = str(value)
    elif value is None:
        return "?"
    elif isinstance(value, bool):
        return "true" if value else "false"
    elif isinstance(value, list | tuple):
        text = ", ".join([text_of(part) for part in value]) or "–"
    elif isinstance(value, Mapping):
        text = " ".join(str(value.get(key)) for key in ("raw", "name", "version") if value.get(key)) or str(
            dict(value)
        )
    else:
        text = str(value)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}… ({len(text)})"


Outcome = tuple[Verdict, Reason | None]


def known(holds: bool) -> Outcome:
    """The outcome of what was seen without doubt."""
    return (PASS, None) if holds else (FAIL, None)


def _scalar(test: Callable[[Any, Any], bool]) -> Callable[[Value, Any], Outcome]:
    def judge(fact: Value, operand: Any) -> Outcome:
        if fact.value is None or fact.open:
            return INCONCLUSIVE, fact.open or Reason.NOT_PROBED
        return known(test(fact.value, operand))

    return judge


def _over_members(
    bad: Callable[[Any, Any], bool],
) -> Callable[[Value, Any], Outcome]:
    """A list operator that one bad member breaks: a fail by what was seen, a pass only without doubt."""

    def judge(fact: Value, operand: Any) -> Outcome:
        if any(bad(member, operand) for member in fact.value or ()):
            return FAIL, None
        doubtful = next(
            (reason for member, reason in fact.members.items() if bad(_like(member, operand), operand)), None
        )
        if doubtful or fact.open or fact.value is None:
            return INCONCLUSIVE, doubtful or fact.open or Reason.NOT_PROBED
        return PASS, None

    return judge


def _like(member: str, operand: Any) -> Any:
    """A doubtful member (always text) in the type of the operand's members."""
    sample = next(iter(operand), "") if isinstance(operand, list | tuple) else operand
    return (
        int(member)
        if isinstance(sample, int) and not isinstance(sample, bool) and member.isdigit()
        else member
    )


def _contains(fact: Value, operand: Any) -> Outcome:
    if operand in (fact.value or ()):
        return PASS, None
    doubtful = fact.members.get(str(operand)) or fact.open
    return (INCONCLUSIVE, doubtful) if doubtful else (FAIL, None)


def _empty(fact: Value, operand: Any) -> Outcome:
    if fact.value:
        return known(not operand)
    doubtful = fact.open or next(iter(fact.members.values()), None)
    return (INCONCLUSIVE, doubtful) if doubtful else known(bool(operand))


_SCALARS: dict[str, Callable[[Any, Any], bool]] = {
    "equals": lambda value, operand: bool(value == operand),
    "in": lambda value, operand: value in operand,
    "at_least": lambda value, operand: bool(value >= operand),
    "at_most": lambda value, operand: bool(value <= operand),
    "matches": lambda value, operand: bool(re.fullmatch(operand, value)),
}
ON_VALUES: dict[str, Callable[[Value, Any], Outcome]] = {
    **{name: _scalar(test) for name, test in _SCALARS.items()},
    "subset_of": _over_members(lambda member, allowed: member not in allowed),
    "disjoint_from": _over_members(lambda member, forbidden: member in forbidden),
    "contains": _contains,
    "empty": _empty,
}
_QUESTIONS: dict[str, Literal["supported", "exploited", "newest"]] = {
    "supported": "supported",
    "free_of_known_exploited": "exploited",
    "newest_within_days": "newest",
}
ON_TIMES: dict[str, Callable[[datetime, datetime], bool]] = {
    "after": lambda when, recorded: when > recorded,
    "before": lambda when, recorded: when < recorded,
}
OPERATORS = (*ON_VALUES, *ON_TIMES, *facttypes.VERSION_OPERATORS)
"""Every operator an expectation may use."""
PREFIX = {
    "equals": "", "in": "one of: ", "at_least": "≥ ", "at_most": "≤ ", "matches": "matches ",
    "subset_of": "only: ", "disjoint_from": "none of: ", "contains": "includes ",
    "after": "after ", "before": "before ",
}  # fmt: skip


def rule_version(operator: str, operand: Any, fact: Value, evidence: Evidence) -> Judgement:
    """Judge a product by the reference data named in the run."""
    if fact.value is None or fact.open:
        reason = fact.open or Reason.NOT_PROBED
        return Judgement(
            verdict=INCONCLUSIVE, reason=reason, rows=(row_of(fact, operator, "", INCONCLUSIVE),)
        )
    if evidence.reference is None:
        return Judgement(verdict=INCONCLUSIVE, reason=Reason.NO_DATA)
    product = msgspec.convert(fact.value, Product)
    days = operand if operator == "newest_within_days" else 0
    papers = evidence.papers or Papers()
    ruling = _ruling(operator, product, papers, evidence.reference, evidence.recorded.date(), days)
    row = Row(
        fact=fact.label,
        operator=operator,
        expected=ruling.expected,
        observed=f"{ruling.observed}; next: {ruling.next_step}" if ruling.next_step else ruling.observed,
        verdict=ruling.verdict,
    )
    return Judgement(verdict=ruling.verdict, reason=ruling.reason, rows=(row,))


@lru_cache(maxsize=4096)
def _ruling(
    operator: str, product: Product, papers: Papers, reference: Reference, day: date, days: int
) -> Ruling:
    """The ruling on a day, remembered: a nation runs the same few hundred products."""
    at = datetime.combine(day, time(), UTC)
    return settle(_QUESTIONS[operator], product, papers, reference, at, days)


def row_of(fact: Value, operator: str, expected: str, verdict: Verdict) -> Row:
    """The row of evidence for one fact, with its doubts where they decided."""
    observed = text_of(fact.value)
    if verdict is INCONCLUSIVE:
        doubts = [f"{member}: {reason}" for member, reason in fact.members.items()]
        if fact.open:
            doubts.append(fact.open.value)
        if doubts:
            observed = f"{observed} ({'; '.join(doubts[:8])})"
    return Row(fact=fact.label, operator=operator, expected=expected, observed=observed, verdict=verdict)
