"""The tally: counts of systems, units and the nation that can be re-added by hand. No weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any

from seccheck.finding import Finding, system_status
from seccheck.model import Record, Status, Verdict
from seccheck.system import System
from seccheck.units import Unit

_WORST_FIRST = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WAIVED, Verdict.PASS, Verdict.NOT_APPLICABLE)


class SystemResult(Record):
    """One system's line in results.json."""

    id: str
    unit: str
    level: int
    status: Status
    findings: tuple[Finding, ...]


def result_of(system: System, findings: Sequence[Finding]) -> SystemResult:
    """The result of `system`: its findings in order of criterion and target, and where it stands."""
    ordered = sorted(findings, key=lambda one: (one.criterion, one.target or ""))
    return SystemResult(
        id=system.id,
        unit=system.unit,
        level=system.level,
        status=system_status(ordered),
        findings=tuple(ordered),
    )


def worst(findings: Iterable[Finding]) -> Verdict:
    """The verdict of a criterion for a system: its worst target's."""
    seen = {finding.verdict for finding in findings}
    if len(seen) == 1:
        return seen.pop()
    return next(verdict for verdict in _WORST_FIRST if verdict in seen)


@dataclass
class Counts:
    """Counts of systems and of verdicts, added up one system at a time."""

    systems: Counter[str] = field(default_factory=Counter)
    by_criterion: dict[str, Counter[str]] = field(default_factory=dict)
    by_unit: dict[str, Counter[str]] = field(default_factory=dict)
    by_level: dict[str, Counter[str]] = field(default_factory=dict)
    needs_document: int = 0

    def add(self, result: SystemResult) -> None:
        """Count one system."""
        for criterion, findings in groupby(result.findings, attrgetter("criterion")):
            self.by_criterion.setdefault(criterion, Counter())[worst(findings)] += 1
        waived = any(one.counted and one.verdict is Verdict.WAIVED for one in result.findings)
        self.needs_document += any(_needs_document(one) for one in result.findings)
        unit = self.by_unit.setdefault(result.unit, Counter())
        level = self.by_level.setdefault(str(result.level), Counter())
        for counter in (self.systems, unit, level):
            counter["reported"] += 1
            counter[result.status] += 1
            if waived and result.status is Status.MEETS:
                counter["with_waivers"] += 1

    def join(self, other: Counts) -> None:
        """Add what was counted elsewhere."""
        self.systems.update(other.systems)
        self.needs_document += other.needs_document
        for own, more in (
            (self.by_criterion, other.by_criterion),
            (self.by_unit, other.by_unit),
            (self.by_level, other.by_level),
        ):
            for key, counter in more.items():
                own.setdefault(key, Counter()).update(counter)


@dataclass
class Score:
    """The counts of a run, and who owed it a report."""

    units: Sequence[Unit]
    reporting: frozenset[str]
    """The units that have registered systems, whether or not this run looked at them."""
    counts: Counts = field(default_factory=Counts)

    def tally(self) -> dict[str, Any]:
        """The counts as results.json holds them."""
        return {
            "systems": {**_counts(self.counts.systems), "needs_document": self.counts.needs_document},
            "units": self._coverage(),
            "by_criterion": {
                criterion: {verdict.value.replace("-", "_"): counter[verdict] for verdict in Verdict}
                for criterion, counter in sorted(self.counts.by_criterion.items())
            },
            "by_unit": {unit: _counts(counter) for unit, counter in sorted(self.counts.by_unit.items())},
            "by_level": {level: _counts(counter) for level, counter in sorted(self.counts.by_level.items())},
        }

    def _coverage(self) -> dict[str, Any]:
        coverage: dict[str, Any] = {}
        for unit in self.units:
            kind = coverage.setdefault(unit.kind, {"reported": 0, "total": 0, "missing": []})
            kind["total"] += 1
            if unit.id in self.reporting:
                kind["reported"] += 1
            else:
                kind["missing"].append(unit.id)
        return coverage


def _needs_document(finding: Finding) -> bool:
    return (
        finding.verdict is Verdict.INCONCLUSIVE
        and not finding.counted
        and finding.criterion.startswith("PAT-")
    )


def _counts(counter: Counter[str]) -> dict[str, int]:
    return {
        "reported": counter["reported"],
        "meets": counter[Status.MEETS],
        "does_not_meet": counter[Status.DOES_NOT_MEET],
        "not_concluded": counter[Status.NOT_CONCLUDED],
        "unassessed": counter[Status.UNASSESSED],
        "with_waivers": counter["with_waivers"],
    }
