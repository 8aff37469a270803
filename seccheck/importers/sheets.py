"""Reading spreadsheets into plain text cells: CSV as Excel and its kin write it in Viet Nam, and XLSX.

Nothing is evaluated: of a formula, the value that was saved with it is read. What is too large, or would
grow too large when unpacked, is refused before it is.
"""

from __future__ import annotations

import csv
import io
import unicodedata
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from seccheck.errors import InputError

MAX_BYTES = 8_000_000
MAX_UNPACKED = 64_000_000
MAX_RATIO = 200
"""How many times larger than packed a part of an XLSX file may be; real ones stay under 100."""
MAX_PARTS = 1_000
MAX_CELLS = 500_000
MAX_COLUMNS = 200


@dataclass
class Sheet:
    """A table of text cells. Row and column numbers begin at 1; what is empty is not there."""

    name: str
    cells: dict[int, dict[int, str]] = field(default_factory=dict)
    """By row, then by column."""

    def place(self, row: int, column: int) -> str:
        """How users call a cell: `Sheet1!B7`, or `B7` in a CSV file."""
        letters = ""
        while column:
            column, rest = divmod(column - 1, 26)
            letters = chr(ord("A") + rest) + letters
        return f"{self.name}!{letters}{row}" if self.name else f"{letters}{row}"


def read_sheets(path: Path) -> list[list[Sheet]]:
    """The ways to read a spreadsheet file: one for XLSX, one for each delimiter for CSV.

    Raises `InputError` for what is neither, too large, or damaged.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError.at(path, f"cannot be read: {error.strerror}", hint="check the path") from None
    if len(data) > MAX_BYTES:
        raise InputError.at(path, f"expected at most {MAX_BYTES:,} bytes, found more", hint="split the file")
    if data.startswith(b"PK\x03\x04"):
        return [_read_xlsx(path, data)]
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        hint = "save it as .xlsx, without a password"
        raise InputError.at(path, "expected .xlsx or .csv, found an old or encrypted Excel file", hint=hint)
    return [[_read_csv(path, _decode(path, data), delimiter)] for delimiter in ";,\t"]


def _decode(path: Path, data: bytes) -> str:
    """The text of a CSV file: UTF-8 or UTF-16 with or without its mark, else Windows-1258."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif b"\0" in data[:200]:
        high_first = data[0:200:2].count(0) > data[1:200:2].count(0)
        encodings = ["utf-16-be" if high_first else "utf-16-le"]
    else:
        encodings = ["utf-8-sig", "cp1258"]
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InputError.at(
        path, "expected text in UTF-8, UTF-16 or Windows-1258", hint="save it as CSV UTF-8, or as .xlsx"
    )


def _read_csv(path: Path, text: str, delimiter: str) -> Sheet:
    sheet = Sheet("")
    cells = 0
    # A first line "sep=;" is Excel's own note on the delimiter.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for number, row in enumerate(reader, 1):
            if number == 1 and len(text) > 4 and text[:4] == "sep=":
                continue
            cells += _keep(sheet, number, row)
            _bound(path, cells)
    except csv.Error as error:
        raise InputError.at(
            path, f"expected CSV: {error}", line=reader.line_num, hint="check the quotes around this line"
        ) from None
    return sheet


def _keep(sheet: Sheet, number: int, row: Iterable[Any]) -> int:
    """Put the cells of a row that say something into `sheet`; how many there were."""
    kept = {}
    for column, value in enumerate(row, 1):
        if column > MAX_COLUMNS:
            break
        if text := _text(value):
            kept[column] = text
    if kept:
        sheet.cells[number] = kept
    return len(kept)


def _bound(path: Path, cells: int) -> None:
    if cells > MAX_CELLS:
        raise InputError.at(path, f"expected at most {MAX_CELLS:,} cells, found more", hint="split the file")


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "TRUE" if value else "FALSE"
        case float() if value.is_integer():
            return str(int(value))
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case datetime() | date():
            return value.isoformat()
    text = unicodedata.normalize("NFC", str(value)).replace("\r\n", "\n").replace("\r", "\n")
    visible = (c for c in text if c == "\n" or unicodedata.category(c) not in {"Cc", "Cf"})
    return "".join(visible).replace("\u00a0", " ").strip()


def _read_xlsx(path: Path, data: bytes) -> list[Sheet]:
    from openpyxl import load_workbook

    try:
        _check_parts(path, data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of styles and extensions that it drops
            book = load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
            try:
                return list(_sheets(path, book))
            finally:
                book.close()
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 (zipfile and openpyxl raise nearly anything on a damaged file)
        raise InputError.at(
            path,
            f"expected an Excel file, found a damaged one ({type(error).__name__})",
            hint="open it, and save it as .xlsx again",
        ) from None


def _check_parts(path: Path, data: bytes) -> None:
    """Refuse what would grow when unpacked, and documents types, which Excel never writes."""
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        parts = package.infolist()
        if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED:
            raise InputError.at(path, "expected a smaller workbook", hint="keep only the table of systems")
        for part in parts:
            if part.file_size > 1_000_000 and part.file_size > MAX_RATIO * part.compress_size:
                raise InputError.at(
                    path,
                    f"expected a workbook, found {part.filename!r} that grows {MAX_RATIO}-fold or more",
                    hint="open it, and save it as .xlsx again",
                )
            if part.filename.endswith((".xml", ".rels")) and b"<!DOCTYPE" in package.read(part):
                raise InputError.at(
                    path,
                    f"expected a workbook, found a document type in {part.filename!r}",
                    hint="open it, and save it as .xlsx again",
                )


def _sheets(path: Path, book: Any) -> Iterator[Sheet]:
    cells = 0
    for worksheet in book.worksheets:
        if worksheet.sheet_state != "visible":
            continue
        # The size a sheet states of itself may be false; the rows tell the true one.
        worksheet.reset_dimensions()
        sheet = Sheet(worksheet.title)
        for number, row in enumerate(worksheet.iter_rows(max_col=MAX_COLUMNS, values_only=True), 1):
            # Rows left out of the file come as rows of nothing, perhaps a million of them.
            if row.count(None) < len(row):
                cells += _keep(sheet, number, row)
            _bound(path, cells)
        yield sheet
