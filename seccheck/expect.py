"""The expectation language: operators over recorded facts give a verdict and expected/observed rows.

    expectation = {all: [...]} | {any: [...]} | {not: e}
                | {each|some|none: PATH, if_none: VERDICT, where: e, expect: e}
                | {fact: PATH, OPERATOR: operand}

A path leads through records by name; `.first` is the first member of a list, such as the leaf of a chain.
Everything is checked when it is compiled: paths against the probe's fact types, operands against the
fact's type. A compiled expectation is a pure function of the evidence. Its logic is three-valued
(Kleene): what could not be told makes a part inconclusive only where it could change the answer, so one
weak suite seen is a fail whatever else was lost, and a pass needs everything it rests on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Literal

import msgspec

from seccheck import facttypes
from seccheck.model import Reason, Record, Verdict, all_of, any_of, moment, negation
from seccheck.reference import Papers, Product, Reference, settle

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
MAX_ROWS = 12
"""Evidence rows kept with a finding, failing ones first; the number left out is said."""
_MAX_TEXT = 400
_MAX_DEPTH = 12


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


@dataclass(frozen=True)
class Evidence:
    """What an expectation is held against: facts by root (`tls`, `target`, …), and when they were seen."""

    facts: Mapping[str, Mapping[str, Any] | Failure]
    recorded: datetime
    """When the facts were seen; judging never reads the clock."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    reference: Reference | None = None
    papers: Papers | None = None
    """Package lists and VEX statements that may settle what a banner leaves open."""

    def with_item(self, item: Any, label: str) -> Evidence:
        """The same evidence with `item` bound to one record of a list, called `label` in the rows."""
        return replace(self, facts={**self.facts, "item": {"": item, "label": label}})


Expectation = Callable[[Evidence], Judgement]
Schema = Mapping[str, Any]
"""The type behind each root a path may start with: a record class."""


@dataclass(frozen=True)
class Fault:
    """A mistake in an expectation: where (a path of keys inside it), what was expected, what to try."""

    path: tuple[str | int, ...]
    message: str
    hint: str = ""


# ---------------------------------------------------------------------------------------------- looking up


@dataclass(frozen=True)
class _Value:
    """A fact with what is in doubt about it: single members, or (`open`) anything."""

    value: Any
    label: str
    members: Mapping[str, Reason] = field(default_factory=dict)
    open: Reason | None = None


def _look_up(evidence: Evidence, path: tuple[str, ...]) -> _Value:
    root, *keys = path
    source = evidence.facts.get(root)
    if root == "item" and isinstance(source, Mapping):
        return _Value(_descend(source[""], keys), ".".join((source["label"], *keys)))
    label = ".".join(path)
    if source is None:
        return _Value(None, label, open=Reason.NOT_PROBED)
    if isinstance(source, Failure):
        return _Value(None, label, open=source.reason)
    value = _descend(source, keys)
    members: dict[str, Reason] = {}
    doubt: Reason | None = None
    for entry in source.get("undecided", ()):
        if entry["fact"] in {keys[0] if keys else "", ".".join(keys)}:
            if entry.get("member") is None:
                doubt = doubt or Reason(entry["reason"])
            else:
                members[entry["member"]] = Reason(entry["reason"])
    if value is None:
        doubt = doubt or next(iter(members.values()), Reason.NOT_PROBED)
    return _Value(value, label, members, doubt)


def _descend(value: Any, keys: Iterable[str]) -> Any:
    for key in keys:
        if key == "first" and isinstance(value, list | tuple):
            value = value[0] if value else None
        elif isinstance(value, Mapping):
            value = value.get(key)
        else:
            return None
    return value


def _text(value: Any) -> str:
    """A value as a reader sees it: lists joined, booleans lower-case, bounded."""
    if value is None:
        return "?"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        text = ", ".join(_text(part) for part in value) or "–"
    elif isinstance(value, Mapping):
        text = " ".join(str(value.get(key)) for key in ("raw", "name", "version") if value.get(key)) or str(
            dict(value)
        )
    else:
        text = str(value)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}… ({len(text)})"


# ------------------------------------------------------------------------------------------------ operators

_Outcome = tuple[Verdict, Reason | None]


def _known(holds: bool) -> _Outcome:
    return (PASS, None) if holds else (FAIL, None)


def _scalar(test: Callable[[Any, Any], bool]) -> Callable[[_Value, Any], _Outcome]:
    def judge(fact: _Value, operand: Any) -> _Outcome:
        if fact.value is None or fact.open:
            return INCONCLUSIVE, fact.open or Reason.NOT_PROBED
        return _known(test(fact.value, operand))

    return judge


def _over_members(
    bad: Callable[[Any, Any], bool],
) -> Callable[[_Value, Any], _Outcome]:
    """A list operator that one bad member breaks: a fail by what was seen, a pass only without doubt."""

    def judge(fact: _Value, operand: Any) -> _Outcome:
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


def _contains(fact: _Value, operand: Any) -> _Outcome:
    if operand in (fact.value or ()):
        return PASS, None
    doubtful = fact.members.get(str(operand)) or fact.open
    return (INCONCLUSIVE, doubtful) if doubtful else (FAIL, None)


def _empty(fact: _Value, operand: Any) -> _Outcome:
    if fact.value:
        return _known(not operand)
    doubtful = fact.open or next(iter(fact.members.values()), None)
    return (INCONCLUSIVE, doubtful) if doubtful else _known(bool(operand))


_SCALARS: dict[str, Callable[[Any, Any], bool]] = {
    "equals": lambda value, operand: bool(value == operand),
    "in": lambda value, operand: value in operand,
    "at_least": lambda value, operand: bool(value >= operand),
    "at_most": lambda value, operand: bool(value <= operand),
    "matches": lambda value, operand: bool(re.fullmatch(operand, value)),
}
_OPERATORS: dict[str, Callable[[_Value, Any], _Outcome]] = {
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
_TIMES: dict[str, Callable[[datetime, datetime], bool]] = {
    "after": lambda when, recorded: when > recorded,
    "before": lambda when, recorded: when < recorded,
}
OPERATORS = (*_OPERATORS, *_TIMES, *facttypes.VERSION_OPERATORS)
"""Every operator an expectation may use."""
_PREFIX = {
    "equals": "", "in": "one of: ", "at_least": "≥ ", "at_most": "≤ ", "matches": "matches ",
    "subset_of": "only: ", "disjoint_from": "none of: ", "contains": "includes ",
    "after": "after ", "before": "before ",
}  # fmt: skip


def _rule_version(operator: str, operand: Any, fact: _Value, evidence: Evidence) -> Judgement:
    """Judge a product by the reference data named in the run."""
    if fact.value is None or fact.open:
        reason = fact.open or Reason.NOT_PROBED
        return Judgement(verdict=INCONCLUSIVE, reason=reason, rows=(_row(fact, operator, "", INCONCLUSIVE),))
    if evidence.reference is None:
        return Judgement(verdict=INCONCLUSIVE, reason=Reason.NO_DATA)
    product = msgspec.convert(fact.value, Product)
    days = operand if operator == "newest_within_days" else 0
    papers = evidence.papers or Papers()
    ruling = settle(_QUESTIONS[operator], product, papers, evidence.reference, evidence.recorded, days)
    row = Row(
        fact=fact.label,
        operator=operator,
        expected=ruling.expected,
        observed=ruling.observed,
        verdict=ruling.verdict,
    )
    return Judgement(verdict=ruling.verdict, reason=ruling.reason, rows=(row,))


def _row(fact: _Value, operator: str, expected: str, verdict: Verdict) -> Row:
    observed = _text(fact.value) if fact.value is not None else "?"
    doubts = [f"{member}: {reason}" for member, reason in fact.members.items()]
    if fact.open:
        doubts.append(fact.open.value)
    if verdict is INCONCLUSIVE and doubts:
        observed = f"{observed} ({'; '.join(doubts[:8])})"
    return Row(fact=fact.label, operator=operator, expected=expected, observed=observed, verdict=verdict)


# ------------------------------------------------------------------------------------------------- compiling


@dataclass
class Compiler:
    """Turns expectations into functions; mistakes gather in `faults`, so that all are reported at once."""

    schema: Schema
    parameters: Mapping[str, Any]
    """A sample value of each parameter, for type checks."""
    faults: list[Fault] = field(default_factory=list)
    roots: set[str] = field(default_factory=set)
    """The roots that were used: which probes the expectation reads."""

    def compile(self, node: Any, path: tuple[str | int, ...] = ()) -> Expectation:
        """The function for `node`; a mistake is noted as a fault, and the function must not be called."""
        if len(path) > _MAX_DEPTH * 2:
            return self._fault(path, f"an expectation at most {_MAX_DEPTH} levels deep")
        if not isinstance(node, dict):
            return self._fault(path, "an expectation such as {fact: tls.versions, subset_of: [TLSv1.3]}")
        kinds = [key for key in ("all", "any", "not", "each", "some", "none", "fact") if key in node]
        if len(kinds) != 1:
            return self._fault(
                path, "exactly one of: all, any, not, each, some, none, fact", self._near(node)
            )
        kind = kinds[0]
        match kind:
            case "all" | "any":
                return self._join(kind, node, path)
            case "not":
                self._only(node, {"not"}, path)
                return _not(self.compile(node["not"], (*path, "not")))
            case "fact":
                return self._comparison(node, path)
            case _:
                return self._quantified(kind, node, path)

    def _near(self, node: Mapping[str, Any]) -> str:
        words = ("all", "any", "not", "each", "some", "none", "fact", *OPERATORS)
        for key in node:
            if near := get_close_matches(str(key), words, 1):
                return f"did you mean {near[0]!r} for {key!r}?"
        return ""

    def _fault(self, path: tuple[str | int, ...], expected: str, hint: str = "") -> Expectation:
        self.faults.append(Fault(path, f"expected {expected}", hint))
        return lambda _evidence: Judgement(verdict=INCONCLUSIVE, reason=Reason.BUG)

    def _only(self, node: Mapping[str, Any], allowed: set[str], path: tuple[str | int, ...]) -> None:
        for key in node:
            if key not in allowed:
                near = get_close_matches(str(key), allowed, 1)
                hint = f"did you mean {near[0]!r}?" if near else ""
                self._fault(
                    (*path, key), f"only the keys {', '.join(sorted(allowed))} here, found {key!r}", hint
                )

    def _join(self, kind: str, node: dict[str, Any], path: tuple[str | int, ...]) -> Expectation:
        self._only(node, {kind}, path)
        parts = node[kind]
        if not isinstance(parts, list) or not parts:
            return self._fault((*path, kind), "a list of one or more expectations")
        return _join(kind, [self.compile(part, (*path, kind, index)) for index, part in enumerate(parts)])

    def _quantified(self, kind: str, node: dict[str, Any], path: tuple[str | int, ...]) -> Expectation:
        self._only(node, {kind, "if_none", "if_none_reason", "where", "expect"}, path)
        if node.get("if_none") not in {"pass", "fail", "inconclusive"}:
            return self._fault(path, "if_none: pass, fail or inconclusive (what an empty list means)")
        try:
            reason = Reason(node.get("if_none_reason", "no-data"))
        except ValueError:
            return self._fault((*path, "if_none_reason"), f"one of {', '.join(Reason)}")
        if "expect" not in node:
            return self._fault(path, "an `expect` for the records of the list")
        parsed = self._path(node[kind], (*path, kind))
        if parsed is None:
            return lambda _evidence: Judgement(verdict=INCONCLUSIVE, reason=Reason.BUG)
        keys, kind_of_list = parsed
        item = facttypes.member_type(kind_of_list)
        if item is None:
            return self._fault((*path, kind), f"a list fact; {node[kind]} is {facttypes.name(kind_of_list)}")
        inner = Compiler({**self.schema, "item": item}, self.parameters, self.faults, self.roots)
        where = inner.compile(node["where"], (*path, "where")) if "where" in node else None
        expect = inner.compile(node["expect"], (*path, "expect"))
        return _quantifier(kind, keys, where, expect, Verdict(node["if_none"]), reason)

    def _path(self, text: Any, path: tuple[str | int, ...]) -> tuple[tuple[str, ...], Any] | None:
        """The keys of a fact path and the type it leads to."""
        if not isinstance(text, str) or not text:
            self._fault(path, "a fact path such as tls.versions")
            return None
        keys = tuple(text.split("."))
        if keys[0] not in self.schema:
            near = get_close_matches(keys[0], list(self.schema), 1)
            known = ", ".join(sorted(self.schema))
            self._fault(
                path, f"a path that starts with one of: {known}", f"did you mean {near[0]!r}?" if near else ""
            )
            return None
        self.roots.add(keys[0])
        current = self.schema[keys[0]]
        for depth, key in enumerate(keys[1:], 1):
            if key == "first" and (member := facttypes.member_type(current)) is not None:
                current = member
                continue
            fields = facttypes.fields(current)
            if key not in fields:
                near = get_close_matches(key, fields, 1)
                place = ".".join(keys[:depth])
                if fields:
                    message = f"a fact of {place} ({', '.join(sorted(fields))})"
                else:
                    message = f"nothing below {place}, which is {facttypes.name(current)}"
                self._fault(path, f"{message}, found {key!r}", f"did you mean {near[0]!r}?" if near else "")
                return None
            current = facttypes.plain(fields[key])
        return keys, current

    def _comparison(self, node: dict[str, Any], path: tuple[str | int, ...]) -> Expectation:
        operators = [key for key in node if key != "fact"]
        if len(operators) != 1 or operators[0] not in OPERATORS:
            expected = f"one operator beside `fact` ({', '.join(OPERATORS)})"
            return self._fault(path, expected, self._near_operator(operators))
        operator = operators[0]
        parsed = self._path(node["fact"], (*path, "fact"))
        if parsed is None:
            return lambda _evidence: Judgement(verdict=INCONCLUSIVE, reason=Reason.BUG)
        keys, fact_type = parsed
        place = (*path, operator)
        operand = node[operator]
        resolve = self._operand(operand, place)
        if resolve is None:
            return lambda _evidence: Judgement(verdict=INCONCLUSIVE, reason=Reason.BUG)
        sample = self._sample(operand)
        if complaint := facttypes.mismatch(operator, fact_type, sample):
            return self._fault(place, *complaint)
        if operator in facttypes.VERSION_OPERATORS:
            return lambda evidence: _rule_version(
                operator, resolve(evidence), _look_up(evidence, keys), evidence
            )
        if operator in _TIMES:
            return _time_comparison(operator, keys)
        return _compare(operator, keys, resolve)

    def _near_operator(self, operators: list[str]) -> str:
        for name in operators:
            if near := get_close_matches(str(name), OPERATORS, 1):
                return f"did you mean {near[0]!r} for {name!r}?"
        return ""

    def _operand(self, operand: Any, path: tuple[str | int, ...]) -> Callable[[Evidence], Any] | None:
        if isinstance(operand, dict) and set(operand) == {"parameter"}:
            name = operand["parameter"]
            if name not in self.parameters:
                near = get_close_matches(str(name), list(self.parameters), 1)
                hint = f"did you mean {near[0]!r}?" if near else "declare it under `parameters`"
                self._fault(path, f"a parameter of this criterion, found {name!r}", hint)
                return None
            return lambda evidence: evidence.parameters[name]
        if isinstance(operand, dict) and set(operand) == {"fact"}:
            parsed = self._path(operand["fact"], (*path, "fact"))
            if parsed is None:
                return None
            keys = parsed[0]
            return lambda evidence: _look_up(evidence, keys).value
        if isinstance(operand, dict):
            self._fault(path, "a value, {parameter: NAME} or {fact: PATH}")
            return None
        return lambda _evidence: operand

    def _sample(self, operand: Any) -> Any:
        """A value to check the operand's type with; None when it comes from another fact."""
        if isinstance(operand, dict):
            return self.parameters[operand["parameter"]] if "parameter" in operand else None
        return operand


def _negated(row: Row) -> Row:
    return Row(
        fact=row.fact,
        operator=f"not {row.operator}",
        expected=f"not {row.expected}",
        observed=row.observed,
        verdict=negation(row.verdict),
    )


def _not(inner: Expectation) -> Expectation:
    def judge(evidence: Evidence) -> Judgement:
        judged = inner(evidence)
        rows = tuple(_negated(row) for row in judged.rows)
        return Judgement(verdict=negation(judged.verdict), reason=judged.reason, rows=rows)

    return judge


def _join(kind: str, parts: list[Expectation]) -> Expectation:
    combine = all_of if kind == "all" else any_of

    def judge(evidence: Evidence) -> Judgement:
        judged = [part(evidence) for part in parts]
        verdict = combine(one.verdict for one in judged)
        # What did not matter to an "any" that held is no evidence of anything.
        telling = (
            [one for one in judged if one.verdict is verdict] if kind == "any" and verdict is PASS else judged
        )
        return Judgement(
            verdict=verdict,
            reason=_reason(verdict, judged),
            rows=tuple(row for one in telling for row in one.rows),
        )

    return judge


def _reason(verdict: Verdict, judged: Iterable[Judgement]) -> Reason | None:
    if verdict is not INCONCLUSIVE:
        return None
    return next(
        (one.reason for one in judged if one.verdict is INCONCLUSIVE and one.reason), Reason.NOT_PROBED
    )


def _compare(operator: str, keys: tuple[str, ...], resolve: Callable[[Evidence], Any]) -> Expectation:
    judge_value = _OPERATORS[operator]

    def judge(evidence: Evidence) -> Judgement:
        fact, operand = _look_up(evidence, keys), resolve(evidence)
        verdict, reason = (
            judge_value(fact, operand) if operand is not None else (INCONCLUSIVE, Reason.NOT_PROBED)
        )
        expected = (
            ("empty" if operand else "not empty")
            if operator == "empty"
            else f"{_PREFIX[operator]}{_text(operand)}"
        )
        return Judgement(verdict=verdict, reason=reason, rows=(_row(fact, operator, expected, verdict),))

    return judge


def _time_comparison(operator: str, keys: tuple[str, ...]) -> Expectation:
    holds = _TIMES[operator]

    def judge(evidence: Evidence) -> Judgement:
        fact = _look_up(evidence, keys)
        expected = f"{_PREFIX[operator]}{evidence.recorded:%Y-%m-%d %H:%M}Z"
        unknown = fact.value is None or fact.open
        outcome = (INCONCLUSIVE, fact.open or Reason.NOT_PROBED)
        verdict, reason = outcome if unknown else _known(holds(moment(fact.value), evidence.recorded))
        return Judgement(verdict=verdict, reason=reason, rows=(_row(fact, operator, expected, verdict),))

    return judge


def _quantifier(
    kind: str,
    keys: tuple[str, ...],
    where: Expectation | None,
    expect: Expectation,
    if_none: Verdict,
    if_none_reason: Reason,
) -> Expectation:
    counts_for_nothing = PASS if kind == "each" else FAIL

    def judge_item(bound: Evidence) -> Judgement | None:
        chosen = where(bound) if where else Judgement(verdict=PASS)
        if chosen.verdict is FAIL:
            return None
        judged = expect(bound)
        if chosen.verdict is INCONCLUSIVE and judged.verdict is not counts_for_nothing:
            return Judgement(verdict=INCONCLUSIVE, reason=chosen.reason, rows=judged.rows)
        return judged

    def judge(evidence: Evidence) -> Judgement:
        fact = _look_up(evidence, keys)
        items = enumerate(fact.value or ())
        each = (judge_item(evidence.with_item(item, f"{fact.label}[{index}]")) for index, item in items)
        judged = [one for one in each if one is not None]
        doubt = fact.open or next(iter(fact.members.values()), None)
        if doubt:
            judged.append(
                Judgement(verdict=INCONCLUSIVE, reason=doubt, rows=(_row(fact, kind, "", INCONCLUSIVE),))
            )
        elif not judged:
            reason = if_none_reason if if_none is INCONCLUSIVE else None
            return Judgement(verdict=if_none, reason=reason, rows=(_row(fact, kind, "", if_none),))
        verdict = (all_of if kind == "each" else any_of)(one.verdict for one in judged)
        rows = [row for one in judged for row in one.rows]
        if kind == "none":
            verdict, rows = negation(verdict), [_negated(row) for row in rows]
        return Judgement(verdict=verdict, reason=_reason(verdict, judged), rows=tuple(rows))

    return judge


def trim(rows: tuple[Row, ...], limit: int = MAX_ROWS) -> tuple[tuple[Row, ...], int]:
    """At most `limit` rows, the failing first, then the inconclusive; and how many were left out."""
    order = {FAIL: 0, INCONCLUSIVE: 1}
    ranked = sorted(rows, key=lambda row: order.get(row.verdict, 2))
    return tuple(ranked[:limit]), max(0, len(ranked) - limit)
