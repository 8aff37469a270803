"""A workbook of four sheets: systems, findings that are not passes, units, work list."""

from __future__ import annotations

from pathlib import Path

from seccheck.reports import Options, Report
from seccheck.reports.run import RunFolder
from seccheck.reports.tables import Cell, Tables
from seccheck.reports.workbook import Sheet, write_workbook


def write(run: RunFolder, out: Path, options: Options) -> None:
    """Write the workbook of `run` to the file `out`. Text stays text: a cell is never a formula."""
    tables = Tables(run, options)
    overview, say = tables.overview, tables.words.gettext
    names = [say("Systems"), say("Findings"), say("Units"), say("Work list")]
    if run.scan.demonstration:
        mark = say("demonstration")
        names = [f"{name} ({mark})" for name in names]
    to_system: dict[Cell, str] = {
        row.id: f"'{names[0]}'!A{number}" for number, row in enumerate(overview.rows, 2)
    }
    to_findings: dict[Cell, str] = {}
    place = 2
    for row in overview.rows:
        if row.unfit:
            to_findings[row.id] = f"'{names[1]}'!A{place}"
        place += row.unfit
    sheets = [
        Sheet(names[0], tables.system_columns(), tables.system_rows(), {0: to_findings}),
        Sheet(names[1], tables.findings.columns(), tables.findings.rows(passes=False), {0: to_system}),
        Sheet(names[2], tables.unit_columns(), tables.unit_rows()),
        Sheet(names[3], tables.work_columns(), tables.work_rows(), {5: to_system}),
    ]
    write_workbook(out, sheets, overview.registry_name(options.language))


REPORT = Report(id="xlsx", extension="xlsx", kind="file", write=write)
