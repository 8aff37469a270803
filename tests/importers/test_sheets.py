from __future__ import annotations

import io
import unicodedata
import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from seccheck.errors import InputError
from seccheck.importers import sheets
from seccheck.importers.sheets import Sheet, read_sheets

VIETNAMESE = "Tỉnh Đắk Lắk"


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_sheets(path)
    return str(caught.value)


def workbook(path: Path, *rows: list[Any]) -> Path:
    book = Workbook()
    sheet = book.worksheets[0]
    sheet.title = "Bảng"
    for row in rows:
        sheet.append(row)
    book.save(path)
    return path


def repacked(path: Path, changes: dict[str, bytes]) -> Path:
    """The workbook with some of its parts replaced or added."""
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()} | changes
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in parts.items():
            new.writestr(name, data)
    return path


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1258"])
def test_csv_in_the_encodings_of_vietnamese_offices(tmp_path: Path, encoding: str, delimiter: str) -> None:
    text = f"Tên{delimiter}Level\r\n{VIETNAMESE}{delimiter}3\r\n"
    if encoding == "cp1258":  # which has letters with their mark, and tones that follow
        text = text.replace("ỉ", "i\u0309").replace("ắ", "ă\u0301")
    file = write(tmp_path / "a.csv", text.encode(encoding))

    readings = read_sheets(file)

    assert {1: {1: "Tên", 2: "Level"}, 2: {1: VIETNAMESE, 2: "3"}} in [one.cells for (one,) in readings]


def test_decomposed_letters_are_composed(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", unicodedata.normalize("NFD", VIETNAMESE).encode())

    assert read_sheets(file)[0][0].cells == {1: {1: VIETNAMESE}}


def test_a_cell_of_several_lines_is_one_cell(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", b'sep=;\r\n"a\r\nb";c\r\n;;\r\n;d')

    assert read_sheets(file)[0][0].cells == {2: {1: "a\nb", 2: "c"}, 4: {2: "d"}}


def test_invisible_characters_are_left_out(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "\u200b https://a.vn\u00a0 \u202e;\x07".encode())

    assert read_sheets(file)[0][0].cells == {1: {1: "https://a.vn"}}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"a;\xff\xd2\x81b",
            (
                "a.csv: expected text in UTF-8, UTF-16 or Windows-1258\n"
                "  next: save it as CSV UTF-8, or as .xlsx"
            ),
        ),
        (
            b'a;"' + b"x" * 140_000,
            (
                "a.csv:1: expected CSV: field larger than field limit (131072)\n"
                "  next: check the quotes around this line"
            ),
        ),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            (
                "a.csv: expected .xlsx or .csv, found an old or encrypted Excel file\n"
                "  next: save it as .xlsx, without a password"
            ),
        ),
        (b"x" * 8_000_001, "a.csv: expected at most 8,000,000 bytes, found more\n  next: split the file"),
        (b"a;" * 500_001, "a.csv: expected at most 500,000 cells, found more\n  next: split the file"),
        (
            b"PK\x03\x04junk",
            (
                "a.csv: expected an Excel file, found a damaged one (BadZipFile)\n"
                "  next: open it, and save it as .xlsx again"
            ),
        ),
    ],
    ids=["encoding", "field", "old", "bytes", "cells", "zip"],
)
def test_what_is_no_table_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sheets, "MAX_COLUMNS", 1_000_000)

    assert refused(write(Path("a.csv"), data)) == message


def test_a_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert (
        refused(Path("a.csv")) == "a.csv: cannot be read: No such file or directory\n  next: check the path"
    )


def test_xlsx_values_become_text(tmp_path: Path) -> None:
    file = workbook(
        tmp_path / "a.xlsx",
        ["x", 3, 3.0, 2.5, True, None, date(2026, 11, 30), datetime(2026, 11, 30, 8, 30)],  # noqa: DTZ001 (spreadsheets know no zones)
        [],
        [None, " y "],
    )

    ((sheet,),) = read_sheets(file)

    assert sheet.name == "Bảng"
    assert sheet.cells == {
        1: {1: "x", 2: "3", 3: "3", 4: "2.5", 5: "TRUE", 7: "2026-11-30", 8: "2026-11-30T08:30:00"},
        3: {2: "y"},
    }
    assert [sheet.place(7, column) for column in (2, 26, 27, 703)] == [
        "Bảng!B7",
        "Bảng!Z7",
        "Bảng!AA7",
        "Bảng!AAA7",
    ]
    assert Sheet("").place(7, 2) == "B7"


def sheet_xml(body: str, dimension: str = "A1") -> dict[str, bytes]:
    return {
        "xl/worksheets/sheet1.xml": (
            '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
            f'<dimension ref="{dimension}"/><sheetData>{body}</sheetData></worksheet>'
        ).encode()
    }


def test_of_a_formula_the_saved_value_is_read(tmp_path: Path) -> None:
    body = '<row r="1"><c r="A1" t="str"><f>CONCAT("a","b")</f><v>ab</v></c><c r="B1"><f>1+1</f></c></row>'
    file = repacked(workbook(tmp_path / "a.xlsx", ["x"]), sheet_xml(body))

    assert read_sheets(file)[0][0].cells == {1: {1: "ab"}}


def test_numbers_are_whole_where_they_can_be(tmp_path: Path) -> None:
    body = '<row r="1"><c r="A1"><v>3.0</v></c><c r="B1"><v>3.5</v></c><c r="C1"><v>443</v></c></row>'
    file = repacked(workbook(tmp_path / "a.xlsx", ["x"]), sheet_xml(body))

    assert read_sheets(file)[0][0].cells == {1: {1: "3", 2: "3.5", 3: "443"}}


def test_columns_far_to_the_right_are_not_read(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", b"a" + b";" * 200 + b"b\n")

    assert read_sheets(file)[0][0].cells == {1: {1: "a"}}


def test_a_false_size_of_a_sheet_is_not_believed(tmp_path: Path) -> None:
    body = '<row r="7"><c r="C7"><v>5</v></c></row>'
    for dimension in ("A1", "A1:XFD1048576"):
        file = repacked(workbook(tmp_path / "a.xlsx", ["x"]), sheet_xml(body, dimension))

        assert read_sheets(file)[0][0].cells == {7: {3: "5"}}


def test_a_cell_at_the_far_end_costs_little(tmp_path: Path) -> None:
    body = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>'
    file = repacked(workbook(tmp_path / "a.xlsx", ["x"]), sheet_xml(body))

    assert read_sheets(file)[0][0].cells == {1: {1: "1"}}


def test_hidden_sheets_are_not_read(tmp_path: Path) -> None:
    book = Workbook()
    book.worksheets[0].append(["seen"])
    hidden = book.create_sheet("hidden")
    hidden.append(["unseen"])
    hidden.sheet_state = "hidden"
    book.save(tmp_path / "a.xlsx")

    ((sheet,),) = read_sheets(tmp_path / "a.xlsx")

    assert sheet.cells == {1: {1: "seen"}}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"xl/media/x.bin": bytes(5_000_000)},
            (
                "a.xlsx: expected a workbook, found 'xl/media/x.bin' that grows 200-fold or more\n"
                "  next: open it, and save it as .xlsx again"
            ),
        ),
        (
            {f"xl/{number}.bin": bytes(900_000) for number in range(80)},
            "a.xlsx: expected a smaller workbook\n  next: keep only the table of systems",
        ),
        (
            {f"xl/{number}.bin": b"" for number in range(1001)},
            "a.xlsx: expected a smaller workbook\n  next: keep only the table of systems",
        ),
        (
            {"xl/workbook.xml": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'},
            (
                "a.xlsx: expected a workbook, found a document type in 'xl/workbook.xml'\n"
                "  next: open it, and save it as .xlsx again"
            ),
        ),
        (
            {"xl/workbook.xml": b"<x"},
            (
                "a.xlsx: expected an Excel file, found a damaged one (ParseError)\n"
                "  next: open it, and save it as .xlsx again"
            ),
        ),
    ],
    ids=["ratio", "size", "parts", "document type", "damaged"],
)
def test_workbooks_that_harm_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: dict[str, bytes], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = repacked(workbook(Path("a.xlsx"), ["x"]), parts)

    assert refused(file) == message


def test_too_many_cells_of_a_workbook_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sheets, "MAX_CELLS", 3)
    file = workbook(Path("a.xlsx"), ["a", "b"], ["c", "d"])

    assert refused(file) == "a.xlsx: expected at most 3 cells, found more\n  next: split the file"


def test_a_zip_that_is_no_workbook_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as package:
        package.writestr("hello.txt", "hello")

    assert "expected an Excel file, found a damaged one" in refused(
        write(tmp_path / "a.xlsx", out.getvalue())
    )
