"""What a reader may see of a run, counted in one pass: systems, units, criteria, coverage.

Every number in every report comes from here, and everything here from the lines of `results.json`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import msgspec

from seccheck.errors import SeccheckError
from seccheck.model import Status
from seccheck.reports import Options
from seccheck.reports.counts import RANK, Counts, VerdictCounts
from seccheck.reports.run import (
    CriterionEntry,
    Finding,
    FindingHead,
    RunFolder,
    SystemEntry,
    SystemHead,
    SystemResult,
    UnitEntry,
    check_id,
)
from seccheck.reports.ways import Step, way_up

RANK_WAIVED = RANK["waived"]
KINDS = ("ministry", "locality", "enterprise", "other")
SEVERITIES = ("critical", "high", "medium", "low")
LIST_PASSES = 500
"""Up to this many systems, those that pass a criterion are kept and listed as well."""
DOCUMENT_REASONS = ("undisclosed", "backport-possible")
"""What no probe can decide, and a document could (contract: "needs a document")."""


class Blocker(NamedTuple):
    """A criterion that is not passed, by the worst target of a system."""

    criterion: str
    verdict: str
    target: str | None
    reason: str | None
    counted: bool


@dataclass(slots=True)
class Row:
    """One system in brief, and where its line stands in `results.json`."""

    id: str
    unit: str
    level: int
    status: Status
    offset: int
    length: int
    blockers: tuple[Blocker, ...]
    """Counted criteria that fail or are not concluded."""
    advised: tuple[Blocker, ...]
    """What fails or is not concluded without counting."""
    waived: tuple[Blocker, ...]
    """Criteria that a waiver covers."""
    unfit: int
    """How many of its findings are neither passed nor without application."""

    @property
    def has_work(self) -> bool:
        """Whether there is anything to say beyond that it passes."""
        return bool(self.blockers or self.advised or self.waived)

    @property
    def meets_by_waiver(self) -> bool:
        """Whether it would not meet all criteria without a waiver."""
        return self.status is Status.MEETS and any(one.counted for one in self.waived)


@dataclass(frozen=True)
class Coverage:
    """Which units of one kind have reported."""

    kind: str
    units: list[UnitEntry]
    missing: list[UnitEntry]

    @property
    def total(self) -> int:
        """All units of the kind."""
        return len(self.units)

    @property
    def reported(self) -> int:
        """Those with a registered system."""
        return len(self.units) - len(self.missing)


class Overview:
    """One run, restricted to what `options` lets the reader see."""

    def __init__(self, run: RunFolder, options: Options) -> None:
        self.run = run
        self.options = options
        self.scan = run.scan
        self.units: dict[str, UnitEntry] = {
            unit.id: unit for unit in run.registry.units if options.unit in {"", unit.id}
        }
        if options.unit and options.unit not in self.units:
            raise SeccheckError(
                f"the run has no unit {options.unit!r}",
                next_step="`seccheck registry list` shows the units of a registry",
            )
        for unit in self.units:
            check_id(unit, run.path / "inputs/registry.json")
        self.systems: dict[str, SystemEntry] = {
            system.id: _published(system) if options.public else system
            for system in run.registry.systems
            if options.unit in {"", system.unit}
        }
        self.criteria: dict[str, CriterionEntry] = {one.id: one for one in run.criteria.criteria}
        self.rows: list[Row] = []
        self.counts = Counts()
        self.by_unit: dict[str, Counts] = defaultdict(Counts)
        self.by_level: dict[int, Counts] = defaultdict(Counts)
        self.by_kind: dict[str, Counts] = defaultdict(Counts)
        self.by_criterion: dict[str, VerdictCounts] = {one: VerdictCounts() for one in self.criteria}
        self.blocking: dict[str, VerdictCounts] = defaultdict(VerdictCounts)
        """As `by_criterion`, but only what counts and is open."""
        self.by_criterion_level: dict[tuple[str, int], VerdictCounts] = defaultdict(VerdictCounts)
        self.by_criterion_kind: dict[tuple[str, str], VerdictCounts] = defaultdict(VerdictCounts)
        self.by_criterion_unit: dict[tuple[str, str], VerdictCounts] = defaultdict(VerdictCounts)
        self.passes: dict[str, list[str]] = defaultdict(list)
        """The systems that pass each criterion, in a run of moderate size."""
        self.few = len(self.systems) <= LIST_PASSES
        groups: dict[tuple[int, str], Counter[tuple[str, int]]] = defaultdict(Counter)
        for offset, length, head in run.heads():
            if options.unit in {"", head.unit}:
                self._add(offset, length, head, groups)
        self._fold(groups)
        self.rows_by_id = {row.id: row for row in self.rows}
        self.reporting = run.reporting | self.by_unit.keys()

    def _add(
        self,
        offset: int,
        length: int,
        head: SystemHead,
        groups: dict[tuple[int, str], Counter[tuple[str, int]]],
    ) -> None:
        """Count one system. Runs for every finding of the run, so it does little for each."""
        worst: dict[str, int] = {}
        unfit: list[FindingHead] = []
        for finding in head.findings:
            rank = RANK[finding.verdict]
            if rank <= RANK_WAIVED:
                unfit.append(finding)
            if worst.get(finding.criterion, 9) > rank:
                worst[finding.criterion] = rank
        unit = self.units.get(head.unit)
        kind = unit.kind if unit else "other"
        groups[head.level, kind].update(worst.items())
        counted = _worst(one for one in unfit if one.counted)
        advised = _worst(one for one in unfit if not one.counted)
        row = Row(
            id=head.id,
            unit=head.unit,
            level=head.level,
            status=Status(head.status),
            offset=offset,
            length=length,
            blockers=tuple(one for one in counted if one.verdict != "waived"),
            advised=tuple(one for one in advised if one.verdict != "waived"),
            waived=tuple(one for one in (*counted, *advised) if one.verdict == "waived"),
            unfit=len({one.criterion for one in unfit}) if self.options.public else len(unfit),
        )
        self.rows.append(row)
        for counts in (self.counts, self.by_unit[row.unit], self.by_level[row.level], self.by_kind[kind]):
            counts.add(row.status, waived=row.meets_by_waiver)
        for one in row.blockers:
            self.blocking[one.criterion].numbers[RANK[one.verdict]] += 1
        for criterion in {one.criterion for one in (*row.blockers, *row.advised)}:
            self.by_criterion_unit[criterion, row.unit].numbers[worst[criterion]] += 1
        if self.few:
            for criterion, rank in worst.items():
                if rank == RANK["pass"]:
                    self.passes[criterion].append(head.id)

    def _fold(self, groups: dict[tuple[int, str], Counter[tuple[str, int]]]) -> None:
        """Add up the verdicts of all systems by criterion, by level and by kind of unit."""
        for (level, kind), counter in groups.items():
            for (criterion, rank), number in counter.items():
                self.by_criterion.setdefault(criterion, VerdictCounts()).numbers[rank] += number
                self.by_criterion_level[criterion, level].numbers[rank] += number
                self.by_criterion_kind[criterion, kind].numbers[rank] += number

    # ------------------------------------------------------------------------------------------ names

    def system_name(self, system: str, language: str) -> str:
        """The name of a system, or its id where the registry has none."""
        entry = self.systems.get(system)
        return (entry.name.get(language) if entry else "") or system

    def unit_name(self, unit: str, language: str) -> str:
        """The name of a unit, or its id where the registry has none."""
        entry = self.units.get(unit)
        return (entry.name.get(language) if entry else "") or unit

    def registry_name(self, language: str) -> str:
        """The name of the review."""
        return self.run.registry.name.get(language) or self.scan.id

    # ------------------------------------------------------------------------------------------ lists

    def of_unit(self, unit: str) -> list[Row]:
        """The systems of a unit, those that ask for work first."""
        return sorted(self._rows_by_unit().get(unit, []), key=_work_first)

    def _rows_by_unit(self) -> dict[str, list[Row]]:
        if not hasattr(self, "_grouped"):
            self._grouped: dict[str, list[Row]] = defaultdict(list)
            for row in self.rows:
                self._grouped[row.unit].append(row)
        return self._grouped

    def with_status(self, status: Status | None) -> list[Row]:
        """The systems with a status (all when None), by unit and id."""
        rows = (row for row in self.rows if status is None or row.status is status)
        return sorted(rows, key=lambda row: (row.unit, row.id))

    def with_waiver(self) -> list[Row]:
        """The systems that meet all criteria under a waiver."""
        return [row for row in self.with_status(Status.MEETS) if row.meets_by_waiver]

    def kinds(self) -> list[str]:
        """The kinds of unit that occur, in reading order."""
        present = {unit.kind for unit in self.units.values()}
        return [kind for kind in KINDS if kind in present] + sorted(present - set(KINDS))

    def coverage(self) -> list[Coverage]:
        """Which units have reported, by kind; other bodies owe no report and stand in only when they did."""
        rows = []
        for kind in self.kinds():
            units = [unit for unit in self.units.values() if unit.kind == kind]
            missing = [unit for unit in units if unit.id not in self.reporting]
            if kind != "other" or len(missing) < len(units):
                rows.append(Coverage(kind, units, missing))
        return rows

    def open_criteria(self) -> list[str]:
        """The criteria that hold systems back, most failures first; advised ones hold nothing back."""
        order = {one: place for place, one in enumerate(self.criteria)}
        return sorted(
            self.blocking,
            key=lambda one: (-self.blocking[one].of("fail"), -self.blocking[one].open, order.get(one, 0)),
        )

    def severity(self, criterion: str) -> int:
        """How grave a criterion is, 0 gravest."""
        entry = self.criteria.get(criterion)
        return SEVERITIES.index(entry.severity) if entry and entry.severity in SEVERITIES else 9

    def way_up(self, unit: str = "") -> list[Step]:
        """The shortest way up, of all systems or of one unit's."""
        rows = self.of_unit(unit) if unit else self.rows
        figure = self.by_unit[unit].meets if unit in self.by_unit else 0 if unit else self.counts.meets
        lacking = (
            (row.id, row.unit, [(one.criterion, one.verdict) for one in row.blockers])
            for row in rows
            if row.blockers
        )
        return way_up(lacking, figure, self.severity)


@lru_cache(maxsize=65536)
def _blocker(criterion: str, verdict: str, target: str | None, reason: str | None, counted: bool) -> Blocker:
    """One blocker for all systems that have it: a run may have a million of them."""
    return Blocker(criterion, verdict, target, reason, counted)


def _worst(findings: Iterable[FindingHead]) -> list[Blocker]:
    """The worst finding of each criterion."""
    worst: dict[str, FindingHead] = {}
    for one in findings:
        seen = worst.get(one.criterion)
        if seen is None or RANK[one.verdict] < RANK[seen.verdict]:
            worst[one.criterion] = one
    return [
        _blocker(one.criterion, one.verdict, one.target, one.reason, one.counted) for one in worst.values()
    ]


def _work_first(row: Row) -> tuple[int, int, str]:
    order = (Status.DOES_NOT_MEET, Status.NOT_CONCLUDED, Status.UNASSESSED, Status.MEETS)
    return order.index(row.status), -len(row.blockers), row.id


def _published(system: SystemEntry) -> SystemEntry:
    """A system's entry as the public may see it."""
    return SystemEntry(id=system.id, unit=system.unit, name=system.name, level=system.level)


def redacted(system: SystemResult) -> SystemResult:
    """A system as the public may see it: one verdict for each criterion, no target, no evidence."""
    worst: dict[str, Finding] = {}
    for finding in system.findings:
        seen = worst.get(finding.criterion)
        if seen is None or RANK[finding.verdict] < RANK[seen.verdict]:
            worst[finding.criterion] = finding
    findings = tuple(
        Finding(
            criterion=one.criterion,
            verdict=one.verdict,
            observed_verdict=one.observed_verdict,
            reason=one.reason,
            severity=one.severity,
            counted=one.counted,
            decided_by=one.decided_by,
        )
        for one in worst.values()
    )
    return msgspec.structs.replace(system, findings=findings)  # type: ignore[type-var]
