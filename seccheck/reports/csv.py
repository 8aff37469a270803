"""Every finding as CSV: UTF-8 with a byte order mark, so that spreadsheet programs read Vietnamese."""

from __future__ import annotations

import csv
from pathlib import Path

from seccheck.reports import Options, Report
from seccheck.reports.run import RunFolder
from seccheck.reports.tables import Tables, inert


def write(run: RunFolder, out: Path, options: Options) -> None:
    """Write every finding of `run` to the file `out`; no cell can be taken for a formula."""
    tables = Tables(run, options)
    with out.open("w", encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(column.title for column in tables.finding_columns())
        for row in tables.finding_rows():
            writer.writerow([inert(cell) if isinstance(cell, str) else cell for cell in row])


REPORT = Report(id="csv", extension="csv", kind="file", write=write)
