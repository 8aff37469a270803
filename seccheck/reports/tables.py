"""What the tables for spreadsheets hold: the same rows for CSV and XLSX."""

from __future__ import annotations

from collections.abc import Iterator

from seccheck.reports import Options
from seccheck.reports.findings import Cell as Cell
from seccheck.reports.findings import Column as Column
from seccheck.reports.findings import Findings
from seccheck.reports.overview import Overview
from seccheck.reports.run import RunFolder
from seccheck.reports.words import visible

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


class Tables:
    """The tables of a run as one reader may see it."""

    def __init__(self, run: RunFolder, options: Options) -> None:
        self.overview = Overview(run, options)
        self.findings = Findings(run, options)
        self.options = options
        self.words = self.findings.words
        self.language = options.language

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
