"""The table of all findings, a system at a time: nothing of a run is held but where its systems stand."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from seccheck.errors import SeccheckError
from seccheck.reports import Options
from seccheck.reports.overview import redacted
from seccheck.reports.run import Evidence, Finding, RunFolder, SystemEntry, SystemResult
from seccheck.reports.words import Words

Cell = str | int
Part = tuple[Cell, ...]
"""Some cells beside each other; equal parts come again in many rows."""


@dataclass(frozen=True)
class Column:
    """One column: its heading and how wide it is, in characters."""

    title: str
    width: int = 14


class Findings:
    """The findings of a run as one reader may see them."""

    def __init__(self, run: RunFolder, options: Options) -> None:
        self.run = run
        self.options = options
        self.words = Words(options.language, narrowed=run.scan.selection.narrowed)
        self._units = {unit.id: unit.name.get(options.language) for unit in run.registry_head.units}
        if options.unit and options.unit not in self._units:
            raise SeccheckError(
                f"the run has no unit {options.unit!r}",
                next_step="`seccheck registry list` shows the units of a registry",
            )
        self._criteria = {one.id: one for one in run.criteria.criteria}
        self._verdict_part = lru_cache(maxsize=4096)(self._made_verdict_part)
        self._evidence_part = lru_cache(maxsize=4096)(self._made_evidence_part)

    @cached_property
    def _declared(self) -> tuple[list[str], list[tuple[int, int]]]:
        """The ids of the registered systems in order, and where each stands in the registry."""
        places = sorted(self.run.declared.ids())
        return [one[0] for one in places], [one[1:] for one in places]

    def _entry(self, system: SystemResult) -> SystemEntry:
        ids, places = self._declared
        at = bisect_left(ids, system.id)
        if at == len(ids) or ids[at] != system.id:
            return SystemEntry(id=system.id, unit=system.unit)
        return self.run.declared.at(*places[at])

    def places(self) -> list[tuple[int, int]]:
        """Where each system stands in `results.json`; for `rows_at`, in other processes as well."""
        _ = self._declared
        return [(offset, len(line.rstrip(b",\n"))) for offset, line in self.run.lines()]

    def systems(self) -> Iterator[SystemResult]:
        """The systems with their findings, one at a time."""
        for place in self.places():
            if system := self._at(place):
                yield system

    def _at(self, place: tuple[int, int]) -> SystemResult | None:
        system = self.run.results.at(*place)
        if self.options.unit not in {"", system.unit}:
            return None
        return redacted(system) if self.options.public else system

    # ------------------------------------------------------------------------------------------- columns

    def columns(self) -> list[Column]:
        """The columns of the table."""
        say = self.words.gettext
        columns = [
            Column(say("System id"), 24),
            Column(say("System"), 44),
            Column(say("Unit"), 32),
            Column(say("Level"), 8),
            Column(say("Status"), 20),
            Column(say("Criterion"), 11),
            Column(say("Statement"), 60),
            Column(say("Verdict"), 16),
            Column(say("Severity"), 13),
            Column(say("Counted"), 10),
            Column(say("Reason"), 40),
        ]
        if self.options.public:
            return columns
        return [
            *columns,
            Column(say("Target"), 36),
            Column(say("Expected"), 40),
            Column(say("Observed"), 40),
            Column(say("Found"), 16),
            Column(say("Waived until"), 14),
            Column(say("Decided by"), 14),
        ]

    # ---------------------------------------------------------------------------------------------- rows

    def rows(self, *, passes: bool = True) -> Iterator[list[Cell]]:
        """A row for each finding, or for each that is neither passed nor without application."""
        for place in self.places():
            for parts in self.rows_at(place, passes=passes):
                yield [cell for part in parts for cell in part]

    def rows_at(self, place: tuple[int, int], *, passes: bool = True) -> Iterator[list[Part]]:
        """The rows of the system that stands at `place`, in parts."""
        system = self._at(place)
        if system is None:
            return
        entry = self._entry(system)
        name = entry.name.get(self.options.language) or system.id
        unit = self._units.get(system.unit) or system.unit
        status = self.words.statuses.get(system.status, system.status)
        own = (system.id, name, unit, system.level, status)
        targets: dict[str | None, str] = {target.id: target.place for target in entry.targets}
        for one in system.findings:
            if not passes and one.verdict in {"pass", "not-applicable"}:
                continue
            verdict = self._verdict_part(
                one.criterion, system.level, one.verdict, one.severity, one.counted, one.reason
            )
            if self.options.public:
                yield [own, verdict]
            else:
                yield [own, verdict, (targets.get(one.target, one.target or ""),), self._detail(one)]

    def _made_verdict_part(
        self, criterion: str, level: int, verdict: str, severity: str, counted: bool, reason: str | None
    ) -> Part:
        words, entry = self.words, self._criteria.get(criterion)
        return (
            criterion,
            entry.said(self.options.language, level) if entry else "",
            words.verdicts.get(verdict, verdict),
            words.severities.get(severity, severity),
            words.gettext("yes") if counted else words.gettext("no"),
            words.reasons.get(reason, reason) if reason else "",
        )

    def _detail(self, one: Finding) -> Part:
        until = (one.waiver.until or "") if one.waiver else ""
        return self._evidence_part(one.evidence, one.observed_verdict, until, one.decided_by)

    def _made_evidence_part(self, rows: tuple[Evidence, ...], verdict: str, until: str, decider: str) -> Part:
        words = self.words
        return (
            _joined([f"{row.fact} {words.expected(row.expected)}" for row in rows]),
            _joined([words.value(row.observed) for row in rows]),
            words.verdicts.get(verdict, verdict),
            until,
            words.deciders.get(decider, decider),
        )


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else "; ".join(dict.fromkeys(parts))
