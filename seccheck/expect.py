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

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from seccheck import facttypes
from seccheck.judgement import Evidence, Judgement, negated, reason_of
from seccheck.model import Reason, Verdict, all_of, any_of, moment, negation
from seccheck.operators import (
    FAIL,
    INCONCLUSIVE,
    ON_TIMES,
    ON_VALUES,
    OPERATORS,
    PASS,
    PREFIX,
    known,
    reader,
    row_of,
    rule_version,
    text_of,
)

_MAX_DEPTH = 12

Expectation = Callable[[Evidence], Judgement]
Schema = Mapping[str, Any]
"""The type behind each root a path may start with: a record class."""


@dataclass(frozen=True)
class Fault:
    """A mistake in an expectation: where (a path of keys inside it), what was expected, what to try."""

    path: tuple[str | int, ...]
    message: str
    hint: str = ""


@dataclass
class Compiler:
    """Turns expectations into functions; mistakes gather in `faults`, so that all are reported at once."""

    schema: Schema
    parameters: Mapping[str, Any]
    """A sample value of each parameter, for type checks."""
    faults: list[Fault] = field(default_factory=list)
    roots: set[str] = field(default_factory=set)
    """The roots that were used: which probes the expectation reads."""
    paths: set[tuple[str, ...]] = field(default_factory=set)
    """The facts that are read."""
    operators: set[str] = field(default_factory=set)
    sense: int = 1
    """1 where a part that holds helps the whole to hold, -1 under a negation, 0 where it only chooses."""
    uses: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    """For each parameter the operators it stands beside, and the sense there."""

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
                return _not(replace(self, sense=-self.sense).compile(node["not"], (*path, "not")))
            case "fact":
                return self._comparison(node, path)
            case _:
                return self._quantified(kind, node, path)

    @property
    def depends_on(self) -> tuple[tuple[str, ...], ...] | None:
        """The facts that alone decide; None where the time of the look or the reference data matter, too."""
        if self.operators & {*ON_TIMES, *facttypes.VERSION_OPERATORS}:
            return None
        return tuple(sorted(path for path in self.paths if path[0] != "item"))

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
        schema = {**self.schema, "item": item}
        inner = replace(self, schema=schema, sense=-self.sense if kind == "none" else self.sense)
        choice = replace(self, schema=schema, sense=0)
        where = choice.compile(node["where"], (*path, "where")) if "where" in node else None
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
        self.paths.add(keys)
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
        self.operators.add(operator)
        if isinstance(operand, dict) and "parameter" in operand:
            self.uses.setdefault(operand["parameter"], set()).add((operator, self.sense))
        if operator in facttypes.VERSION_OPERATORS:
            read = reader(keys)
            return lambda evidence: rule_version(operator, resolve(evidence), read(evidence), evidence)
        if operator in ON_TIMES:
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
            read = reader(parsed[0])
            return lambda evidence: read(evidence).value
        if isinstance(operand, dict):
            self._fault(path, "a value, {parameter: NAME} or {fact: PATH}")
            return None
        return lambda _evidence: operand

    def _sample(self, operand: Any) -> Any:
        """A value to check the operand's type with; None when it comes from another fact."""
        if isinstance(operand, dict):
            return self.parameters[operand["parameter"]] if "parameter" in operand else None
        return operand


def _not(inner: Expectation) -> Expectation:
    def judge(evidence: Evidence) -> Judgement:
        judged = inner(evidence)
        rows = tuple(negated(row) for row in judged.rows)
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
            reason=reason_of(verdict, judged),
            rows=tuple(row for one in telling for row in one.rows),
        )

    return judge


def _wording(operator: str) -> Callable[[Any], str]:
    """The function that puts an operand into words; the last is remembered, for most never change."""
    last: tuple[Any, str] = (None, "")

    def words(operand: Any) -> str:
        nonlocal last
        if last[0] is not operand or operand is None:
            empty = "empty" if operand else "not empty"
            last = operand, empty if operator == "empty" else f"{PREFIX[operator]}{text_of(operand)}"
        return last[1]

    return words


def _compare(operator: str, keys: tuple[str, ...], resolve: Callable[[Evidence], Any]) -> Expectation:
    judge_value, read, words = ON_VALUES[operator], reader(keys), _wording(operator)

    def judge(evidence: Evidence) -> Judgement:
        fact, operand = read(evidence), resolve(evidence)
        verdict, reason = (
            judge_value(fact, operand) if operand is not None else (INCONCLUSIVE, Reason.NOT_PROBED)
        )
        row = row_of(fact, operator, words(operand), verdict)
        return Judgement(verdict=verdict, reason=reason, rows=(row,))

    return judge


def _time_comparison(operator: str, keys: tuple[str, ...]) -> Expectation:
    holds, read = ON_TIMES[operator], reader(keys)

    def judge(evidence: Evidence) -> Judgement:
        fact = read(evidence)
        expected = f"{PREFIX[operator]}{evidence.recorded:%Y-%m-%d %H:%M}Z"
        unknown = fact.value is None or fact.open
        outcome = (INCONCLUSIVE, fact.open or Reason.NOT_PROBED)
        verdict, reason = outcome if unknown else known(holds(moment(fact.value), evidence.recorded))
        return Judgement(verdict=verdict, reason=reason, rows=(row_of(fact, operator, expected, verdict),))

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
    read = reader(keys)

    def judge_item(bound: Evidence) -> Judgement | None:
        chosen = where(bound) if where else Judgement(verdict=PASS)
        if chosen.verdict is FAIL:
            return None
        judged = expect(bound)
        if chosen.verdict is INCONCLUSIVE and judged.verdict is not counts_for_nothing:
            return Judgement(verdict=INCONCLUSIVE, reason=chosen.reason, rows=judged.rows)
        return judged

    def judge(evidence: Evidence) -> Judgement:
        fact = read(evidence)
        items = enumerate(fact.value or ())
        each = (judge_item(evidence.with_item(item, f"{fact.label}[{index}]")) for index, item in items)
        judged = [one for one in each if one is not None]
        doubt = fact.open or next(iter(fact.members.values()), None)
        if doubt:
            judged.append(
                Judgement(verdict=INCONCLUSIVE, reason=doubt, rows=(row_of(fact, kind, "", INCONCLUSIVE),))
            )
        elif not judged:
            reason = if_none_reason if if_none is INCONCLUSIVE else None
            return Judgement(verdict=if_none, reason=reason, rows=(row_of(fact, kind, "", if_none),))
        verdict = (all_of if kind == "each" else any_of)(one.verdict for one in judged)
        rows = [row for one in judged for row in one.rows]
        if kind == "none":
            verdict, rows = negation(verdict), [negated(row) for row in rows]
        return Judgement(verdict=verdict, reason=reason_of(verdict, judged), rows=tuple(rows))

    return judge
