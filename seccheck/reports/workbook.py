"""A small writer of XLSX workbooks that streams: rows go to the file as they come, whatever their number.

Office Open XML, ECMA-376 part 1: inline strings, one bold style, a frozen and filtered header, links within
the workbook. General writers keep every cell or spend ten times as long on each.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO
from xml.sax.saxutils import escape, quoteattr

from seccheck.reports.tables import Cell, Column
from seccheck.reports.words import visible

MOST_ROWS = 1_048_576
"""Rows of a sheet, its header included."""
MOST_LINKS = 65_000
"""Links of a sheet that spreadsheet programs still open (they give up at 65,530)."""
MOST_TEXT = 32_000
"""Characters of a cell (the limit is 32,767)."""
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ESCAPE = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
"""The beginning of what would be read as an escaped character (ECMA-376 part 1, 22.9.2.19)."""
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"


_LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Sheet:
    """One sheet: its name, its columns, and its rows as they come."""

    def __init__(
        self,
        name: str,
        columns: list[Column],
        rows: Iterable[list[Cell]],
        links: Mapping[int, Mapping[Cell, str]] | None = None,
    ) -> None:
        self.name = name
        self.columns = columns
        self.rows = rows
        self.links = links or {}
        """Per column: where a cell with this value leads, as `Sheet!A5`."""


def write_workbook(path: Path, sheets: list[Sheet], title: str) -> None:
    """Write `sheets` to the file `path`. Rows beyond what a sheet holds are left out."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
        for name, text in _frame(sheets, title).items():
            archive.writestr(_entry(name), text)
        rows = []
        for number, sheet in enumerate(sheets, 1):
            with archive.open(_entry(f"xl/worksheets/sheet{number}.xml"), "w", force_zip64=True) as file:
                rows.append(_write_sheet(file, sheet))
        archive.writestr(_entry("xl/workbook.xml"), _book(sheets, rows))


def _entry(name: str) -> zipfile.ZipInfo:
    """A file of the archive without a date of its own: same input, same bytes."""
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _write_sheet(file: IO[bytes], sheet: Sheet) -> int:
    """The number of rows written."""
    last = _LETTERS[len(sheet.columns) - 1]
    widths = "".join(
        f'<col min="{number}" max="{number}" width="{column.width}" customWidth="1"/>'
        for number, column in enumerate(sheet.columns, 1)
    )
    header: list[Cell] = [column.title for column in sheet.columns]
    file.write(
        f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">'
        '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
        f"<cols>{widths}</cols><sheetData>{_row(1, header, 1)}".encode()
    )
    links: list[str] = []
    count = 1
    chunk: list[str] = []
    for row in sheet.rows:
        if count == MOST_ROWS:
            break
        count += 1
        chunk.append(_row(count, row, 0))
        if len(links) < MOST_LINKS:
            links.extend(_links(sheet, row, count))
        if len(chunk) == 500:
            file.write("".join(chunk).encode())
            chunk.clear()
    file.write("".join(chunk).encode())
    file.write(f'</sheetData><autoFilter ref="A1:{last}{count}"/>'.encode())
    if links:
        file.write(f"<hyperlinks>{''.join(links)}</hyperlinks>".encode())
    file.write(b"</worksheet>")
    return count


def _row(number: int, cells: list[Cell], style: int) -> str:
    shown = f' s="{style}"' if style else ""
    parts = []
    for name, cell in zip(_LETTERS, cells, strict=False):
        if isinstance(cell, int):
            parts.append(f'<c r="{name}{number}"{shown}><v>{cell}</v></c>')
        elif cell:
            text = _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", visible(cell[:MOST_TEXT]))
            text = escape(_ESCAPE.sub("_x005F_", text))
            parts.append(
                f'<c r="{name}{number}" t="inlineStr"{shown}><is><t xml:space="preserve">{text}</t></is></c>'
            )
    return f'<row r="{number}">{"".join(parts)}</row>'


def _links(sheet: Sheet, row: list[Cell], number: int) -> Iterator[str]:
    for column, places in sheet.links.items():
        if place := places.get(row[column]):
            yield f'<hyperlink ref="{_LETTERS[column]}{number}" location={quoteattr(place)}/>'


def _book(sheets: list[Sheet], rows: list[int]) -> str:
    """The list of sheets, and the range that each is filtered by: LibreOffice drops filters that lack it."""
    listed = "".join(
        f'<sheet name={quoteattr(sheet.name)} sheetId="{n}" r:id="r{n}"/>'
        for n, sheet in enumerate(sheets, 1)
    )
    ranges = "".join(
        f'<definedName name="_xlnm._FilterDatabase" localSheetId="{n}" hidden="1">'
        + escape(
            f"'{sheet.name.replace(chr(39), chr(39) * 2)}'!$A$1:${_LETTERS[len(sheet.columns) - 1]}${count}"
        )
        + "</definedName>"
        for n, (sheet, count) in enumerate(zip(sheets, rows, strict=True))
    )
    return (
        f'{_HEAD}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">'
        f"<sheets>{listed}</sheets><definedNames>{ranges}</definedNames></workbook>"
    )


def _frame(sheets: list[Sheet], title: str) -> dict[str, str]:
    """Everything of the archive but the sheets and their list."""
    numbers = range(1, len(sheets) + 1)
    overrides = "".join(
        f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{_TYPE}.worksheet+xml"/>'
        for n in numbers
    )
    related = "".join(
        f'<Relationship Id="r{n}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n in numbers
    )
    core = f"{_PACKAGE}/metadata/core-properties"
    return {
        "[Content_Types].xml": f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/>'
        '<Override PartName="/docProps/core.xml" '
        'ContentType="application/vnd.openxmlformats-package.core-properties+xml"/>'
        f"{overrides}</Types>",
        "_rels/.rels": f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="r1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
        f'<Relationship Id="r2" Type="{_PACKAGE}/relationships/metadata/core-properties" '
        'Target="docProps/core.xml"/></Relationships>',
        "docProps/core.xml": f'{_HEAD}<cp:coreProperties xmlns:cp="{core}" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>{escape(_ILLEGAL.sub('', title))}</dc:title></cp:coreProperties>",
        "xl/_rels/workbook.xml.rels": f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">{related}'
        f'<Relationship Id="styles" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": f'{_HEAD}<styleSheet xmlns="{_MAIN}">'
        '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
        '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
        '<fills count="2"><fill><patternFill patternType="none"/></fill>'
        '<fill><patternFill patternType="gray125"/></fill></fills>'
        '<borders count="1"><border/></borders>'
        '<cellStyleXfs count="1"><xf/></cellStyleXfs>'
        '<cellXfs count="2"><xf/><xf fontId="1" applyFont="1">'
        '<alignment vertical="top" wrapText="1"/></xf></cellXfs>'
        '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles>'
        "</styleSheet>",
    }
