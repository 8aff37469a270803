"""A criterion and a set of them: as people write them, and compiled, ready to judge with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from difflib import get_close_matches
from functools import cached_property
from typing import Any, Literal

from pydantic import Field

from seccheck.errors import InputError
from seccheck.expect import Expectation
from seccheck.model import Model, Reason, Record, Text, digest

LEVELS = (1, 2, 3, 4, 5)
Severity = Literal["critical", "high", "medium", "low"]


class DocumentFacts(Record):
    """What an evidence document says, once it is found valid: the root `evidence` of a document criterion."""

    states: Literal["met", "not-met"]


class Basis(Model):
    """Where a criterion comes from, and how binding that is. `source` is a key of sources.yaml."""

    kind: Literal["binding", "by-analogy", "interpretation", "project-choice"]
    source: str
    clause: str = ""
    note: Text | str = ""


class Remedy(Text):
    """How to mend: a sentence in both languages, then concrete settings by product."""

    model_config = {"extra": "allow"}
    __pydantic_extra__: dict[str, str]


class Example(Model):
    """A case that the criterion decides: facts given, verdict expected. Run as a test."""

    given: dict[str, dict[str, Any]]
    then: Literal["pass", "fail", "inconclusive", "not-applicable"]
    reason: Reason | None = Field(default=None, strict=False)


class Requires(Model):
    """What a look needs to mean anything."""

    vantage: str


class FromParameter(Model):
    """A value that is a parameter, so that a set can set it."""

    parameter: str


class CriterionText(Model):
    """A criterion as it is written."""

    id: str = Field(pattern=r"^[A-Z][A-Z0-9]*-[0-9]{2,3}$")
    statement: Text
    rationale: Text
    remedy: Remedy
    basis: list[Basis] = Field(min_length=1)
    comparable: list[str] = []
    severity: Severity
    from_level: int = Field(ge=1, le=5)
    requires: Requires | None = None
    parameters: dict[str, Any] = {}
    applies_if: dict[str, Any] | None = None
    collect: dict[str, dict[str, Any]] = {}
    expect: dict[str, Any]
    evidence_months: dict[int, int] | FromParameter | int | None = None
    note: Text | str | None = None
    examples: list[Example]


class CriteriaFile(Model):
    """A file of the catalogue."""

    seccheck: Literal["criteria/1"]
    criteria: list[CriterionText]


class SetEntry(Model):
    """One line of a set: criteria selected (`use`) or left out (`drop`), by id or glob."""

    use: str = ""
    drop: str = ""
    reason: str | Text = ""
    weight: Literal["counted", "advised"] | None = None
    parameters: dict[str, Any] = {}
    effective_from: date | None = None
    grace_until: date | None = None
    until_then: dict[str, Any] = {}
    """The values that hold until `grace_until`; the criterion then counts all along."""
    grace_for: str = ""
    """The tag of the systems that the grace is for; empty: all."""


class SetFile(Model):
    """A criteria set as it is written."""

    seccheck: Literal["set/1"]
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: str
    name: Text
    note: Text | None = None
    basis: list[Basis] = []
    extends: str = ""
    catalogue: list[str] = []
    criteria: list[str | SetEntry]


def is_by_level(value: Any) -> bool:
    """Whether a parameter is written as a map by level."""
    return isinstance(value, dict) and bool(value) and all(isinstance(key, int) for key in value)


def by_level(value: Any) -> dict[int, Any]:
    """A parameter's value at each level: a map gives the entry of the highest level at or below it."""
    if not is_by_level(value):
        return dict.fromkeys(LEVELS, value)
    return {level: value[max([at for at in value if at <= level] or [min(value)])] for level in LEVELS}


def plain_levels(parameters: Mapping[str, Mapping[int, Any]]) -> dict[str, dict[str, Any]]:
    """Parameters as plain data, with the levels as text."""
    return {name: {str(at): value for at, value in values.items()} for name, values in parameters.items()}


@dataclass(frozen=True)
class Criterion:
    """One testable requirement, compiled, with the weight and parameters that its set gives it."""

    text: CriterionText
    parameters: Mapping[str, Mapping[int, Any]]
    applies: Expectation | None
    judge: Expectation
    subject: Literal["system", "target", "address", "domain"]
    weight: Literal["counted", "advised"] = "counted"
    effective_from: date | None = None
    grace_until: date | None = None
    until_then: Mapping[str, Mapping[int, Any]] = field(default_factory=dict)
    """The values of parameters that hold until `grace_until`."""
    grace_for: str = ""
    """The tag of the systems that the grace is for; empty: all."""
    coming: Criterion | None = None
    """The same criterion with the values that hold once the grace has ended."""
    uses: Mapping[str, frozenset[tuple[str, int]]] = field(default_factory=dict)
    """How `judge` uses each parameter: the operator, and 1, -1 under a negation, 0 where it only chooses."""
    applies_reads: tuple[tuple[str, ...], ...] = ()
    """The facts of the registry that `applies` depends on."""
    reads: tuple[tuple[str, ...], ...] = ()
    """The facts of the registry that `judge` depends on."""
    depends_on: tuple[tuple[str, ...], ...] | None = None
    """All the facts that `judge` depends on; None when the time or the reference data matter as well."""

    @cached_property
    def id(self) -> str:
        """Its id, such as TLS-03."""
        return self.text.id

    @cached_property
    def group(self) -> str:
        """The group its id begins with."""
        return self.text.id.partition("-")[0]

    @cached_property
    def probes(self) -> tuple[str, ...]:
        """The probes it needs; `evidence` stands for a document."""
        return tuple(self.text.collect)

    @cached_property
    def needs_document(self) -> bool:
        """Whether only a document can answer it."""
        return "evidence" in self.text.collect

    def counts_on(self, day: date, tags: Iterable[str] = ()) -> bool:
        """Whether it enters status, tally and gate on `day`, for a system with these tags.

        It does when it is counted, in effect, and not excused by a grace.
        """
        if self.weight != "counted" or (self.effective_from and day < self.effective_from):
            return False
        return not self.in_grace(day) or bool(self.until_then) or bool(self.grace_for not in {"", *tags})

    def in_grace(self, day: date) -> bool:
        """Whether its grace has not ended on `day`."""
        return self.grace_until is not None and day <= self.grace_until

    def on(self, day: date) -> Criterion:
        """The criterion with the values that hold on `day`."""
        if not self.until_then or not self.in_grace(day):
            return self
        return replace(self, parameters={**self.parameters, **self.until_then}, coming=self)

    @property
    def after_grace(self) -> date | None:
        """The first day after its grace."""
        return self.grace_until + timedelta(days=1) if self.grace_until else None

    @cached_property
    def place_reads(self) -> tuple[tuple[str, ...], ...]:
        """The facts of the registry that decide what is asked at a place."""
        written = [value for params in self.text.collect.values() for value in params.values()]
        named = {tuple(one["fact"].split(".")) for one in written if isinstance(one, dict) and "fact" in one}
        return tuple(sorted({*self.reads, *named}))

    @cached_property
    def vantage(self) -> str:
        """The zone it must be looked at from; empty: any."""
        return self.text.requires.vantage if self.text.requires else ""

    def at_level(self, level: int) -> Mapping[str, Any]:
        """Its parameters for a system of `level`."""
        return self._at_levels[level]

    @cached_property
    def _at_levels(self) -> dict[int, Mapping[str, Any]]:
        return {level: {name: values[level] for name, values in self.parameters.items()} for level in LEVELS}

    def statement(self, language: str, level: int | None = None) -> str:
        """The statement with the values of its parameters in place, at `level` or for all levels."""
        text = self.text.statement.in_language(language)
        for name, values in self.parameters.items():
            shown = [values[level]] if level else list(dict.fromkeys(str(value) for value in values.values()))
            text = text.replace(f"{{{name}}}", "/".join(str(value) for value in shown))
        return text

    def months(self, level: int) -> int | None:
        """How long a document may decide it for a system of `level`, in months; None: no document may."""
        match self.text.evidence_months:
            case None:
                return None
            case FromParameter(parameter=name):
                months: int = self.parameters[name][level]
                return months
            case _:
                return self._months[level]

    @cached_property
    def _months(self) -> dict[int, int]:
        return by_level(self.text.evidence_months)


@dataclass(frozen=True)
class CriteriaSet:
    """A named, versioned selection of criteria, ready to judge with."""

    id: str
    version: str
    name: Text
    profile: str
    criteria: tuple[Criterion, ...]
    sources: Mapping[str, Any]
    note: Text | None = None
    dropped: Mapping[str, str] = field(default_factory=dict)
    """Why criteria of the extended set were left out."""
    eased: Mapping[str, str] = field(default_factory=dict)
    """Why less is asked than by the extended set."""
    of: int = 0
    """How many criteria the set has in this profile, before `--select`."""

    @cached_property
    def digest(self) -> str:
        """Digest over everything that bears on a verdict or its explanation."""
        return digest(self.as_data())

    def by_id(self, criterion: str) -> Criterion:
        """The criterion with this id; raises `InputError` with a did-you-mean."""
        for one in self.criteria:
            if one.id == criterion:
                return one
        near = get_close_matches(criterion, [one.id for one in self.criteria], 1)
        raise InputError.at(
            self.id,
            f"expected a criterion of this set, found {criterion!r}",
            hint=f"did you mean {near[0]}?" if near else "`seccheck criteria list` shows them",
        )

    def on(self, day: date) -> CriteriaSet:
        """The set with the values that hold on `day`."""
        return replace(self, criteria=tuple(one.on(day) for one in self.criteria))

    def as_data(self) -> dict[str, Any]:
        """The set as plain data: what the run folder keeps, and `criteria_from_data` reads back."""
        return {
            "set": {
                "id": self.id,
                "version": self.version,
                "name": self.name.model_dump(),
                "note": self.note.model_dump() if self.note else None,
                "dropped": dict(self.dropped),
                "eased": dict(self.eased),
                "of": self.of,
            },
            "profile": self.profile,
            "criteria": [
                {
                    **one.text.model_dump(mode="json", exclude_none=True),
                    "group": one.group,
                    "parameters": plain_levels(one.parameters),
                    "weight": one.weight,
                    "effective_from": one.effective_from.isoformat() if one.effective_from else None,
                    "grace_until": one.grace_until.isoformat() if one.grace_until else None,
                    "until_then": plain_levels(one.until_then),
                    "grace_for": one.grace_for,
                }
                for one in self.criteria
            ],
            "sources": dict(self.sources),
        }
