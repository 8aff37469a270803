"""Every finding as CSV: UTF-8 with a byte order mark, so that spreadsheet programs read Vietnamese."""

from __future__ import annotations

import csv
import io
from codecs import BOM_UTF8
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from seccheck.parallel import batches, in_order, processors
from seccheck.reports import Options, Report
from seccheck.reports.findings import Findings, Part
from seccheck.reports.run import RunFolder
from seccheck.reports.tables import inert


def write(run: RunFolder, out: Path, options: Options) -> None:
    """Write every finding of `run` to the file `out`; no cell can be taken for a formula."""
    findings = Findings(run, options)

    def lines(places: Sequence[tuple[int, int]]) -> bytes:
        rows = (parts for place in places for parts in findings.rows_at(place))
        text = "".join([",".join([_fields(part) for part in parts]) + "\r\n" for parts in rows])
        return text.encode("utf-8", "backslashreplace")

    work = batches(findings.places())
    with out.open("wb") as file:
        title = tuple(column.title for column in findings.columns())
        file.write(BOM_UTF8 + f"{_fields(title)}\r\n".encode())
        for piece in in_order(lines, work, processors()):
            file.write(piece)


@lru_cache(maxsize=8192)
def _fields(part: Part) -> str:
    """Some cells of a row; remembered, for most come again."""
    line = io.StringIO()
    writer = csv.writer(line, quoting=csv.QUOTE_NONNUMERIC, lineterminator="")
    writer.writerow([inert(cell) if isinstance(cell, str) else cell for cell in part])
    return line.getvalue()


REPORT = Report(id="csv", extension="csv", kind="file", write=write)
