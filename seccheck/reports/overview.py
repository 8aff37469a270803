"""What a reader may see of a run, counted in one pass: systems, units, criteria, coverage, change, ways up.

Every number in every report comes from here, and everything here from the lines of `results.json`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from seccheck.errors import SeccheckError
from seccheck.model import Status, Verdict
from seccheck.reports import Options
from seccheck.reports.run import (
    CriterionEntry,
    Finding,
    FindingHead,
    Name,
    RunFolder,
    SystemEntry,
    SystemHead,
    SystemResult,
    UnitEntry,
    check_id,
)

VERDICTS = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WAIVED, Verdict.PASS, Verdict.NOT_APPLICABLE)
"""Worst first: a system counts under a criterion by its worst target."""
RANK = {verdict.value: rank for rank, verdict in enumerate(VERDICTS)}
STATUSES = (Status.MEETS, Status.DOES_NOT_MEET, Status.NOT_CONCLUDED, Status.UNASSESSED)
KINDS = ("ministry", "locality", "enterprise", "other")
SEVERITIES = ("critical", "high", "medium", "low")
DOCUMENT_REASONS = ("undisclosed", "backport-possible")
"""What no probe can decide, and a document could (contract: "needs a document")."""


class Blocker(NamedTuple):
    """A counted criterion that keeps a system from meeting all, by its worst target."""

    criterion: str
    verdict: str
    target: str | None
    reason: str | None


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
    advised: tuple[Blocker, ...]
    waived: tuple[Blocker, ...]


@dataclass
class Counts:
    """How many systems have each status."""

    meets: int = 0
    does_not_meet: int = 0
    not_concluded: int = 0
    unassessed: int = 0
    with_waivers: int = 0

    def add(self, row: Row) -> None:
        """Count one system."""
        name = row.status.value.replace("-", "_")
        setattr(self, name, getattr(self, name) + 1)
        self.with_waivers += bool(row.waived)

    @property
    def reported(self) -> int:
        """All systems."""
        return self.meets + self.does_not_meet + self.not_concluded + self.unassessed

    @property
    def best(self) -> int:
        """How many would meet all if everything undecided turned out well."""
        return self.meets + self.not_concluded

    @property
    def rest(self) -> int:
        """All that do not meet, whatever the cause."""
        return self.reported - self.meets

    @property
    def parts(self) -> list[tuple[Status, int]]:
        """Each status with its number, in reading order."""
        return [(status, getattr(self, status.value.replace("-", "_"))) for status in STATUSES]


@dataclass
class VerdictCounts:
    """How many systems have each verdict under one criterion."""

    numbers: list[int] = field(default_factory=lambda: [0] * len(VERDICTS))

    def of(self, verdict: str) -> int:
        """The number of systems with `verdict`."""
        return self.numbers[RANK[verdict]]

    @property
    def applicable(self) -> int:
        """The systems it was judged for."""
        return sum(self.numbers) - self.numbers[RANK["not-applicable"]]

    @property
    def parts(self) -> list[tuple[str, int]]:
        """Each verdict with its number, in reading order."""
        return [(one, self.of(one)) for one in ("pass", "fail", "inconclusive", "waived", "not-applicable")]

    @property
    def open(self) -> int:
        """Failed or not concluded."""
        return self.numbers[RANK["fail"]] + self.numbers[RANK["inconclusive"]]


class Step(NamedTuple):
    """One step of the way up: what to mend or make clear, and the figure before and after."""

    criteria: tuple[tuple[str, str], ...]
    """(criterion, "fail" or "inconclusive")."""
    before: int
    after: int
    systems: tuple[Row, ...]
    """The systems that then meet all criteria."""
    touched: int
    """All systems that have one of these findings."""
    units: int
    """The units of those systems."""


@dataclass
class Coverage:
    """Which units of one kind have reported."""

    kind: str
    reported: int
    total: int
    missing: list[UnitEntry]


@dataclass
class Change:
    """What changed since an earlier run, by system."""

    scan_id: str
    finished: str
    meets: int
    reported: int
    improved: list[Row]
    regressed: list[Row]
    new: list[Row]
    gone: list[str]
    same_criteria: bool


class Point(NamedTuple):
    """One run of the trend."""

    scan_id: str
    finished: str
    meets: int
    reported: int


class Overview:
    """One run, restricted to what `options` lets the reader see."""

    def __init__(self, run: RunFolder, options: Options) -> None:
        self.run = run
        self.options = options
        self.scan = run.scan
        self.systems: dict[str, SystemEntry] = {
            system.id: system
            for system in run.registry.systems
            if not options.unit or system.unit == options.unit
        }
        self.units: dict[str, UnitEntry] = {
            unit.id: unit
            for unit in run.registry.units
            if not options.unit or unit.id == options.unit
        }  # fmt: skip
        if options.unit and options.unit not in self.units:
            raise SeccheckError(
                f"the run has no unit {options.unit!r}",
                next_step="`seccheck registry list` shows the units of a registry",
            )
        for unit in self.units:
            check_id(unit, run.path / "inputs/registry.json")
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
        for offset, length, head in run.heads():
            if not options.unit or head.unit == options.unit:
                self._add(offset, length, head)
        self.rows_by_id = {row.id: row for row in self.rows}

    def _add(self, offset: int, length: int, head: SystemHead) -> None:
        counted: dict[str, tuple[int, FindingHead]] = {}
        advised: dict[str, tuple[int, FindingHead]] = {}
        for finding in head.findings:
            rank = RANK[finding.verdict]
            worst = counted if finding.counted else advised
            seen = worst.get(finding.criterion)
            if seen is None or rank < seen[0]:
                worst[finding.criterion] = rank, finding
        unit = self.units.get(head.unit)
        kind = unit.kind if unit else "other"
        for criterion in counted | advised:
            rank = min(worst[criterion][0] for worst in (counted, advised) if criterion in worst)
            self.by_criterion.setdefault(criterion, VerdictCounts()).numbers[rank] += 1
            self.by_criterion_level[criterion, head.level].numbers[rank] += 1
            self.by_criterion_kind[criterion, kind].numbers[rank] += 1
            if rank <= RANK["inconclusive"]:
                self.by_criterion_unit[criterion, head.unit].numbers[rank] += 1
        blockers = _blockers(counted, "fail", "inconclusive")
        for one in blockers:
            self.blocking[one.criterion].numbers[RANK[one.verdict]] += 1
        row = Row(
            id=head.id,
            unit=head.unit,
            level=head.level,
            status=Status(head.status),
            offset=offset,
            length=length,
            blockers=blockers,
            advised=_blockers(advised, "fail", "inconclusive"),
            waived=_blockers(counted | advised, "waived"),
        )
        self.rows.append(row)
        self.counts.add(row)
        self.by_unit[head.unit].add(row)
        self.by_level[head.level].add(row)
        self.by_kind[kind].add(row)

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
        name: Name = self.run.registry.name
        return name.get(language) or self.scan.id

    # ------------------------------------------------------------------------------------------ lists

    def of_unit(self, unit: str) -> list[Row]:
        """The systems of a unit, those that ask for work first."""
        return sorted((row for row in self.rows if row.unit == unit), key=_work_first)

    def with_status(self, status: Status | None) -> list[Row]:
        """The systems with a status (all when None), by unit and id."""
        return sorted(
            (row for row in self.rows if status is None or row.status is status),
            key=lambda row: (row.unit, row.id),
        )

    def kinds(self) -> list[str]:
        """The kinds of unit that occur, in reading order."""
        present = {unit.kind for unit in self.units.values()}
        return [kind for kind in KINDS if kind in present] + sorted(present - set(KINDS))

    def units_of(self, kind: str) -> list[UnitEntry]:
        """The units of a kind, in the order of the list they come from."""
        return [unit for unit in self.units.values() if unit.kind == kind]

    def coverage(self) -> list[Coverage]:
        """Which units have reported, by kind; units outside the usual kinds only when they reported."""
        rows = []
        for kind in self.kinds():
            units = self.units_of(kind)
            missing = [unit for unit in units if unit.id not in self.by_unit]
            if kind == "other" and len(missing) == len(units):
                continue
            rows.append(Coverage(kind, len(units) - len(missing), len(units), missing))
        return rows

    def open_criteria(self) -> list[str]:
        """The criteria that hold systems back, most failures first; advised ones hold nothing back."""
        order = list(self.criteria)
        return sorted(
            (one for one, number in self.blocking.items() if number.open),
            key=lambda one: (
                -self.blocking[one].of("fail"),
                -self.blocking[one].open,
                order.index(one) if one in self.criteria else len(order),
            ),
        )

    def severity(self, criterion: str) -> int:
        """How grave a criterion is, 0 gravest."""
        entry = self.criteria.get(criterion)
        return SEVERITIES.index(entry.severity) if entry and entry.severity in SEVERITIES else 9

    # ------------------------------------------------------------------------------------------ ways up

    def way_up(self, unit: str = "") -> list[Step]:
        """Which repairs, in which order, bring most systems to meet all criteria.

        Systems that are one criterion away come first; among equals the repair that serves most systems.
        """
        rows = [row for row in self.rows if row.blockers and (not unit or row.unit == unit)]
        figure = (self.by_unit[unit] if unit else self.counts).meets
        left = {row.id: frozenset((one.criterion, one.verdict) for one in row.blockers) for row in rows}
        by_id = {row.id: row for row in rows}
        touched: dict[tuple[str, str], set[str]] = defaultdict(set)
        for row in rows:
            for one in row.blockers:
                touched[one.criterion, one.verdict].add(row.id)
        steps: list[Step] = []
        while left:
            nearest = min(map(len, left.values()))
            choices = Counter(lacks for lacks in left.values() if len(lacks) == nearest)
            best = min(choices, key=lambda lacks: (-choices[lacks], self._grave(lacks), sorted(lacks)))
            gained = [by_id[name] for name, lacks in left.items() if lacks <= best]
            affected = set().union(*(touched[one] for one in best))
            steps.append(
                Step(
                    criteria=tuple(sorted(best, key=lambda one: (self.severity(one[0]), one))),
                    before=figure,
                    after=figure + len(gained),
                    systems=tuple(sorted(gained, key=lambda row: row.id)),
                    touched=len(affected),
                    units=len({by_id[name].unit for name in affected}),
                )
            )
            figure += len(gained)
            left = {name: lacks - best for name, lacks in left.items() if not lacks <= best}
        return steps

    def _grave(self, lacks: frozenset[tuple[str, str]]) -> int:
        return min(self.severity(criterion) for criterion, _ in lacks)

    # ------------------------------------------------------------------------------------------ time

    def change(self) -> Change | None:
        """What changed since the last of the earlier runs, or None when none was named."""
        if not self.options.previous:
            return None
        earlier = RunFolder(self.options.previous[-1])
        before = {
            head.id: head.status
            for _, _, head in earlier.heads()
            if not self.options.unit or head.unit == self.options.unit
        }
        improved, regressed, new = [], [], []
        for row in self.rows:
            status = before.get(row.id)
            if status is None:
                new.append(row)
            elif row.status is Status.MEETS and status != Status.MEETS:
                improved.append(row)
            elif row.status is not Status.MEETS and status == Status.MEETS:
                regressed.append(row)
        return Change(
            scan_id=earlier.scan.id,
            finished=earlier.scan.finished,
            meets=sum(status == Status.MEETS for status in before.values()),
            reported=len(before),
            improved=improved,
            regressed=regressed,
            new=new,
            gone=sorted(before.keys() - self.rows_by_id.keys()),
            same_criteria=earlier.scan.criteria.digest == self.scan.criteria.digest,
        )

    def trend(self) -> list[Point]:
        """The figure of every earlier run and of this one, oldest first."""
        points = [self._point(path) for path in self.options.previous]
        points.append(Point(self.scan.id, self.scan.finished, self.counts.meets, self.counts.reported))
        return sorted(points, key=lambda point: point.finished)

    def _point(self, path: Path) -> Point:
        run = RunFolder(path)
        if not self.options.unit:
            systems = run.tally["systems"]
            return Point(run.scan.id, run.scan.finished, systems["meets"], systems["reported"])
        statuses = [head.status for _, _, head in run.heads() if head.unit == self.options.unit]
        return Point(run.scan.id, run.scan.finished, statuses.count(Status.MEETS), len(statuses))


def _blockers(worst: dict[str, tuple[int, FindingHead]], *verdicts: str) -> tuple[Blocker, ...]:
    return tuple(
        Blocker(one.criterion, one.verdict, one.target, one.reason)
        for _, one in worst.values()
        if one.verdict in verdicts
    )


def _work_first(row: Row) -> tuple[int, int, str]:
    order = (Status.DOES_NOT_MEET, Status.NOT_CONCLUDED, Status.UNASSESSED, Status.MEETS)
    return order.index(row.status), -len(row.blockers), row.id


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
    return SystemResult(
        id=system.id, unit=system.unit, level=system.level, status=system.status, findings=findings
    )
