"""Waivers: dated, reasoned, approved exemptions. They cover a verdict; they never change what was seen."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import Field

from seccheck.errors import InputError, Problem
from seccheck.model import Model
from seccheck.yamlfile import did_you_mean, read_yaml, validate

LONGEST = timedelta(days=366)
"""No exemption outlives a year: it must be asked for, and approved, again."""


class Waiver(Model):
    """One exemption of a criterion for a system (id or glob), and optionally for one target of it."""

    criterion: str
    system: str
    target: str | None = None
    reason: str = Field(min_length=1)
    ticket: str = ""
    requested_by: str = Field(min_length=1)
    approved_by: str = Field(min_length=1)
    since: date = Field(alias="from")
    until: date

    def state(self, day: date) -> Literal["live", "expired", "not-yet-valid"]:
        """Whether it holds on `day`; both its days are included."""
        if day > self.until:
            return "expired"
        return "not-yet-valid" if day < self.since else "live"

    def matches(self, criterion: str, system: str, target: str | None) -> bool:
        """Whether it speaks of this finding."""
        if self.criterion != criterion or not fnmatchcase(system, self.system):
            return False
        return self.target is None or self.target == target


class WaiverFile(Model):
    """A waiver file as it is written."""

    seccheck: Literal["waivers/1"]
    waivers: list[Waiver]


def load_waivers(path: Path) -> tuple[Waiver, ...]:
    """The waivers in `path`; raises `InputError` with every mistake."""
    document = read_yaml(path)
    parsed = validate(document, WaiverFile)
    problems: list[Problem] = []

    def problem(index: int, key: str, message: str) -> None:
        place = ("waivers", index, key)
        problems.append(Problem(document.name, document.line(place), f"waivers[{index}].{key}", message))

    for index, waiver in enumerate(parsed.waivers):
        if _person(waiver.requested_by) == _person(waiver.approved_by):
            problem(index, "approved_by", "expected another person than requested_by")
        if waiver.until < waiver.since:
            problem(index, "until", f"expected a day on or after {waiver.since}")
        elif waiver.until - waiver.since > LONGEST:
            problem(index, "until", f"expected at most {LONGEST.days} days after `from`")
    if problems:
        raise InputError(problems)
    return tuple(parsed.waivers)


def _person(name: str) -> str:
    """`name` however it is typed: case, spaces and composed accents make nobody another person."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def covering(
    waivers: Sequence[Waiver], criterion: str, system: str, target: str | None, day: date
) -> Waiver | None:
    """The live waiver that covers a finding, the one that holds longest first."""
    live = [one for one in waivers if one.matches(criterion, system, target) and one.state(day) == "live"]
    return max(live, key=lambda one: one.until, default=None)


def remarks(
    waivers: Iterable[Waiver],
    wanting: Iterable[tuple[str, str, str | None]],
    day: date,
    criteria: Sequence[str] = (),
) -> list[str]:
    """What a reader must know of waivers that do nothing: expired, not yet valid, or matching nothing.

    `wanting` are the findings that are not met, as (criterion, system, target), whatever waiver covers them;
    `criteria` are the ids that the run knows.
    """
    known = list(wanting)
    lines = []
    for waiver in waivers:
        name = f"waiver of {waiver.criterion} for {waiver.system}"
        name += f", target {waiver.target}" if waiver.target else ""
        if criteria and waiver.criterion not in criteria:
            hint = did_you_mean(waiver.criterion, criteria)
            lines.append(f"{name} names no criterion of this run{'; ' if hint else ''}{hint}")
        elif not any(waiver.matches(*one) for one in known):
            lines.append(f"{name} matches nothing that was found wanting")
        elif waiver.state(day) == "expired":
            lines.append(f"{name} expired on {waiver.until}")
        elif waiver.state(day) == "not-yet-valid":
            lines.append(f"{name} is not valid before {waiver.since}")
    return lines
