"""What the tables for spreadsheets hold: the same rows for CSV and XLSX."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from seccheck.reports import Options
from seccheck.reports.overview import Overview, redacted
from seccheck.reports.run import Finding, Reader, RunFolder, SystemResult
from seccheck.reports.words import Words, visible

Cell = str | int
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}",
           "\N{FULLWIDTH HYPHEN-MINUS}", "\N{FULLWIDTH COMMERCIAL AT}")  # fmt: skip


def inert(text: str) -> str:
    """`text` that no spreadsheet program takes for a formula: with an apostrophe before what could be one.

    OWASP, CSV Injection; the full-width forms are taken for formulas by East Asian editions.
    """
    shown = visible(text)
    if shown[:1].isalnum() or not text.lstrip(" \N{NO-BREAK SPACE}").startswith(FORMULA):
        return shown
    return f"'{shown}"


@dataclass(frozen=True)
class Column:
    """One column: its heading and how wide it is, in characters."""

    title: str
    width: int = 14


class Tables:
    """The tables of a run as one reader may see it."""

    def __init__(self, run: RunFolder, options: Options) -> None:
        self.overview = Overview(run, options)
        self.options = options
        self.words = Words(options.language, narrowed=run.scan.selection.narrowed)
        self.language = options.language
        self._verdicts: dict[tuple[object, ...], list[Cell]] = {}

    def results(self) -> Iterator[SystemResult]:
        """The systems with their findings, one at a time."""
        reader: Reader = self.overview.run.reader()
        try:
            for row in self.overview.rows:
                system = reader.system(row.offset, row.length)
                yield redacted(system) if self.options.public else system
        finally:
            reader.close()

    # ------------------------------------------------------------------------------------------ findings

    def finding_columns(self) -> list[Column]:
        """The columns of a table of findings."""
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

    def finding_rows(self, *, passes: bool = True) -> Iterator[list[Cell]]:
        """A row for each finding, or for each that is neither passed nor without application."""
        for system in self.results():
            shared = self._system_cells(system)
            targets = self._targets(system.id)
            for one in system.findings:
                if passes or one.verdict not in {"pass", "not-applicable"}:
                    yield [
                        *shared,
                        *self._verdict_cells(one, system.level),
                        *self._detail_cells(one, targets),
                    ]

    def _system_cells(self, system: SystemResult) -> list[Cell]:
        return [
            system.id,
            self.overview.system_name(system.id, self.language),
            self.overview.unit_name(system.unit, self.language),
            system.level,
            self.words.statuses.get(system.status, system.status),
        ]

    def _targets(self, system: str) -> dict[str | None, str]:
        entry = self.overview.systems.get(system)
        return {target.id: target.place for target in entry.targets} if entry else {}

    def _verdict_cells(self, one: Finding, level: int) -> list[Cell]:
        """What depends on the criterion and the verdict alone, made once for each."""
        key = one.criterion, level, one.verdict, one.severity, one.counted, one.reason
        if key not in self._verdicts:
            words, entry = self.words, self.overview.criteria.get(one.criterion)
            self._verdicts[key] = [
                one.criterion,
                entry.said(self.language, level) if entry else "",
                words.verdicts.get(one.verdict, one.verdict),
                words.severities.get(one.severity, one.severity),
                words.gettext("yes") if one.counted else words.gettext("no"),
                words.reasons.get(one.reason, one.reason) if one.reason else "",
            ]
        return self._verdicts[key]

    def _detail_cells(self, one: Finding, targets: dict[str | None, str]) -> list[Cell]:
        if self.options.public:
            return []
        words, rows = self.words, one.evidence
        expected = [f"{row.fact} {words.expected(row.expected)}" for row in rows]
        observed = [words.value(row.observed) for row in rows]
        return [
            targets.get(one.target, one.target or ""),
            _joined(expected),
            _joined(observed),
            words.verdicts.get(one.observed_verdict, one.observed_verdict),
            (one.waiver.until or "") if one.waiver else "",
            words.deciders.get(one.decided_by, one.decided_by),
        ]

    # ------------------------------------------------------------------------------------------ the rest

    def system_columns(self) -> list[Column]:
        """The columns of the table of systems."""
        say = self.words.gettext
        columns = [
            Column(say("System id"), 24),
            Column(say("System"), 52),
            Column(say("Unit"), 36),
            Column(say("Level"), 8),
            Column(say("Status"), 22),
            Column(say("Failed"), 10),
            Column(say("Not concluded"), 14),
            Column(say("Held back by"), 40),
        ]
        extra = [Column(say("Operated by"), 30), Column(say("Contact"), 30)]
        return columns if self.options.public else columns + extra

    def system_rows(self) -> Iterator[list[Cell]]:
        """A row for each system."""
        for row in self.overview.rows:
            entry = self.overview.systems.get(row.id)
            verdicts = [one.verdict for one in row.blockers]
            cells: list[Cell] = [
                row.id,
                self.overview.system_name(row.id, self.language),
                self.overview.unit_name(row.unit, self.language),
                row.level,
                self.words.statuses[row.status.value],
                verdicts.count("fail"),
                verdicts.count("inconclusive"),
                ", ".join(one.criterion for one in row.blockers),
            ]
            if not self.options.public:
                cells += [(entry and entry.operated_by) or "", (entry and entry.contact) or ""]
            yield cells

    def unit_columns(self) -> list[Column]:
        """The columns of the table of units."""
        say = self.words.gettext
        return [
            Column(say("Unit id"), 20),
            Column(say("Unit"), 44),
            Column(say("Kind"), 28),
            Column(say("Has reported"), 14),
            Column(say("Systems"), 10),
            Column(say("Meet"), 10),
            Column(say("Do not meet"), 16),
            Column(say("Not concluded"), 16),
            Column(say("Not assessed"), 14),
        ]

    def unit_rows(self) -> Iterator[list[Cell]]:
        """A row for each unit of the list."""
        say = self.words.gettext
        for unit in self.overview.units.values():
            counts = self.overview.by_unit.get(unit.id)
            yield [
                unit.id,
                unit.name.get(self.language),
                self.words.kind_titles.get(unit.kind, unit.kind),
                say("yes") if unit.id in self.overview.reporting else say("no"),
                counts.reported if counts else 0,
                counts.meets if counts else 0,
                counts.does_not_meet if counts else 0,
                counts.not_concluded if counts else 0,
                counts.unassessed if counts else 0,
            ]

    def work_columns(self) -> list[Column]:
        """The columns of the work list."""
        say = self.words.gettext
        return [
            Column(say("Step"), 8),
            Column(say("What to do"), 14),
            Column(say("Criterion"), 11),
            Column(say("Statement"), 60),
            Column(say("Severity"), 13),
            Column(say("System id"), 24),
            Column(say("System"), 52),
            Column(say("Unit"), 36),
            Column(say("Figure before"), 14),
            Column(say("Figure after"), 14),
            Column(say("Remedy"), 80),
        ]

    def work_rows(self) -> Iterator[list[Cell]]:
        """The shortest way up: a row for each system and criterion of each step."""
        overview, words = self.overview, self.words
        lacking: dict[tuple[str, str], list[str]] = {}
        for row in overview.rows:
            for one in row.blockers:
                lacking.setdefault((one.criterion, one.verdict), []).append(row.id)
        for number, step in enumerate(overview.way_up(), 1):
            for criterion, verdict in step.criteria:
                entry = overview.criteria.get(criterion)
                action = words.gettext("fix") if verdict == "fail" else words.gettext("settle")
                for system in lacking[criterion, verdict]:
                    yield [
                        number,
                        action,
                        criterion,
                        entry.said(self.language, overview.rows_by_id[system].level) if entry else "",
                        words.severities.get(entry.severity, entry.severity) if entry else "",
                        system,
                        overview.system_name(system, self.language),
                        overview.unit_name(overview.rows_by_id[system].unit, self.language),
                        step.before,
                        step.after,
                        entry.remedy.get(self.language, "") if entry else "",
                    ]


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else "; ".join(dict.fromkeys(parts))
