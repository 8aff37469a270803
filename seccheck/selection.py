"""What the lines of a set choose, one set on top of another, and what asks less than the set extended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from fnmatch import fnmatchcase
from typing import Any, Literal

from seccheck.criterion import LEVELS, Criterion, CriterionText, SetEntry, SetFile, by_level
from seccheck.errors import Problem
from seccheck.yamlfile import Document, did_you_mean, shown

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """A line of a set."""

    document: Document
    path: Key

    def problem(self, message: str, hint: str = "") -> Problem:
        """The problem `message` at this place."""
        return self.document.problem(self.path, message, hint)


@dataclass(frozen=True)
class Choice:
    """What sets chose for one criterion."""

    weight: Literal["counted", "advised"] = "counted"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    effective_from: date | None = None
    grace_until: date | None = None
    until_then: Mapping[str, Any] = field(default_factory=dict)
    grace_for: str = ""
    places: Mapping[tuple[str, str], Place] = field(default_factory=dict)
    """Where a value of `parameters` or `until_then` was given."""


@dataclass(frozen=True)
class _Change:
    """A line that refines what the extended set chose."""

    criterion: str
    place: Place
    reason: str
    before: Choice
    after: Choice


@dataclass
class Assembly:
    """Carries out the lines of sets, in the order in which they extend each other."""

    written: Mapping[str, CriterionText]
    chosen: dict[str, Choice] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    eased: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _changes: list[_Change] = field(default_factory=list)

    def add(self, document: Document, parsed: SetFile) -> None:
        """Carry out the lines of the next set."""
        inherited = dict(self.chosen)
        for index, line in enumerate(parsed.criteria):
            place = Place(document, ("criteria", index))
            entry = SetEntry(use=line) if isinstance(line, str) else line
            if bool(entry.use) == bool(entry.drop):
                message = "expected either `use` or `drop`"
                self.problems.append(place.problem(message, "split the line in two, or name a criterion"))
            elif entry.drop:
                self._drop(entry, place)
            else:
                self._use(entry, place, inherited)

    def _matching(self, glob: str, among: Mapping[str, Any], what: str, place: Place) -> list[str]:
        matching = [one for one in among if fnmatchcase(one, glob)]
        if not matching:
            hint = did_you_mean(glob, among) or "`seccheck criteria list` shows the ids"
            self.problems.append(place.problem(f"expected {what}, but {glob!r} matches none", hint))
        return matching

    def _drop(self, entry: SetEntry, place: Place) -> None:
        extra = entry.model_fields_set - {"drop", "reason"}
        if extra:
            message = f"expected only `reason` beside `drop`, found {', '.join(sorted(extra))}"
            self.problems.append(place.problem(message, "drop it, or refine it with `use`"))
        if not _said(entry.reason):
            hint = f'{{drop: "{entry.drop}", reason: "why it does not fit here"}}'
            self.problems.append(place.problem("expected a `reason` beside `drop`", hint))
        matching = self._matching(entry.drop, self.chosen, "a criterion that this set has", place)
        for one in matching:
            del self.chosen[one]
            self.eased.pop(one, None)
            self.dropped[one] = _said(entry.reason)

    def _use(self, entry: SetEntry, place: Place, inherited: Mapping[str, Choice]) -> None:
        for one in self._matching(entry.use, self.written, "a criterion", place):
            if unknown := self._unknown(one, entry, place):
                self.problems += unknown
                continue
            before = self.chosen.get(one, Choice())
            after = _refined(before, entry, place)
            self.problems += _contradictions(one, entry, after, place)
            self.chosen[one] = after
            self.dropped.pop(one, None)
            if one in inherited:
                reason = _said(entry.reason)
                self._changes.append(_Change(one, place, reason, before, after))

    def _unknown(self, criterion: str, entry: SetEntry, place: Place) -> list[Problem]:
        """Parameters that the criterion does not have."""
        known = self.written[criterion].parameters
        return [
            Place(place.document, (*place.path, key, name)).problem(
                f"expected parameters of {criterion} ({', '.join(known) or 'it has none'}), found {name!r}",
                did_you_mean(name, known),
            )
            for key, values in (("parameters", entry.parameters), ("until_then", entry.until_then))
            for name in values
            if name not in known
        ]

    def eased_in_silence(self, criteria: Mapping[str, Criterion]) -> Iterator[Problem]:
        """The lines that ask less than the extended set without a reason; those with one are kept."""
        for change in self._changes:
            criterion = criteria.get(change.criterion)
            less = next(_less(change, criterion), None) if criterion else None
            if less and change.reason:
                self.eased[change.criterion] = change.reason
            elif less:
                yield change.place.problem(
                    f"{change.criterion}: expected no less than the extended set asks, found {less}",
                    "tighten it, or say why beside `reason`",
                )


def _said(reason: Any) -> str:
    return str(reason if isinstance(reason, str) else reason.en).strip()


def _refined(before: Choice, entry: SetEntry, place: Place) -> Choice:
    """What was chosen `before`, refined by a line."""
    places = dict(before.places)
    for key, values in (("parameters", entry.parameters), ("until_then", entry.until_then)):
        places |= {(key, name): Place(place.document, (*place.path, key, name)) for name in values}
    return replace(
        before,
        weight=entry.weight or before.weight,
        parameters={**before.parameters, **entry.parameters},
        effective_from=entry.effective_from or before.effective_from,
        grace_until=entry.grace_until or before.grace_until,
        until_then={**before.until_then, **entry.until_then},
        grace_for=entry.grace_for or before.grace_for,
        places=places,
    )


def _contradictions(criterion: str, entry: SetEntry, chosen: Choice, place: Place) -> Iterator[Problem]:
    """Dates and graces of a line that do not fit together."""
    starts, ends = chosen.effective_from, chosen.grace_until
    if starts and ends and ends < starts and entry.grace_until:
        yield place.problem(
            f"{criterion}: expected a grace that ends after it takes effect on {starts}, found {ends}",
            "leave out `grace_until`, or set a later day",
        )
    for key in ("until_then", "grace_for"):
        if getattr(entry, key) and not ends:
            yield place.problem(
                f"{criterion}: expected `grace_until` beside `{key}`", "grace_until: 2027-07-01"
            )
    if chosen.until_then and chosen.grace_for:
        yield place.problem(
            f"{criterion}: expected `until_then` or `grace_for`, found both",
            "values hold for all systems until the grace ends",
        )


def _less(change: _Change, criterion: Criterion) -> Iterator[str]:
    """What `change` asks less, in words."""
    before, after = change.before, change.after
    if before.weight == "counted" and after.weight == "advised":
        yield "weight: advised"
    for key in ("effective_from", "grace_until"):
        was, now = getattr(before, key), getattr(after, key)
        excuses = key == "effective_from" or not after.until_then
        if now and excuses and now > (was or date.min):
            yield f"{key}: {now}"
    if before.grace_for and after.grace_for != before.grace_for:
        yield f"grace_for: {after.grace_for}"
    own = criterion.text.parameters
    for name, value in [*after.parameters.items(), *after.until_then.items()]:
        was = by_level(before.parameters.get(name, own[name]))
        now = by_level(value)
        for level in LEVELS:
            if looser(criterion.uses.get(name, frozenset()), was[level], now[level]):
                yield f"{name}: {shown_value(now[level])} at level {level} (there: {shown_value(was[level])})"
                break


def shown_value(value: Any) -> str:
    """A parameter's value in a message."""
    return ", ".join(map(str, value)) if isinstance(value, list) else shown(value)


_STRICT: dict[str, Callable[[Any, Any], bool]] = {
    "at_least": lambda was, now: now >= was,
    "at_most": lambda was, now: now <= was,
    "newest_within_days": lambda was, now: now <= was,
    "in": lambda was, now: set(now) <= set(was),
    "subset_of": lambda was, now: set(now) <= set(was),
    "disjoint_from": lambda was, now: set(now) >= set(was),
    "looks_at": lambda was, now: not isinstance(now, list) or set(now) >= set(was),
}
"""For each operator beside a parameter, whether the value `now` asks no less than the one that `was`."""


def looser(uses: frozenset[tuple[str, int]], was: Any, now: Any) -> bool:
    """Whether `now` asks less than `was`, as far as the operators beside the parameter tell."""
    told = [
        _STRICT[operator](was, now) if sense > 0 else _STRICT[operator](now, was)
        for operator, sense in uses
        if operator in _STRICT and sense
    ]
    return not all(told)
