from __future__ import annotations

import pytest

from seccheck.importers.columns import COLUMNS, SETTINGS, find_header, recognise
from seccheck.importers.sheets import Sheet


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.field)
def test_every_column_is_recognised_under_all_its_headings(column: object) -> None:
    for heading in (column.heading, column.vi, column.en, column.vi.upper(), *column.others):  # type: ignore[attr-defined]
        assert recognise(heading) == column.field  # type: ignore[attr-defined]


@pytest.mark.parametrize("column", SETTINGS, ids=lambda column: column.field)
def test_every_setting_is_recognised_under_all_its_labels(column: object) -> None:
    for heading in (column.heading, column.vi, column.en, *column.others):  # type: ignore[attr-defined]
        assert recognise(heading, SETTINGS) == column.field  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("heading", "field"),
    [
        ("Ten he thong", "name_vi"),
        ("TÊN HỆ THỐNG (*)", "name_vi"),
        ("Cấp độ\n(1-5)", "level"),
        ("Đơn vị chủ quản / Owner", "unit"),
        ("Owner / Đơn vị", "unit"),
        ("Tên miền/URL", "targets"),
        ("Cổng", "port"),
        ("Đơn vị vận hành", "operated_by"),
        ("No.", "number"),
        ("Ghi chú", ""),
        ("", ""),
        ("Ngày phê duyệt cấp độ", ""),
    ],
)
def test_headings_as_offices_write_them(heading: str, field: str) -> None:
    assert recognise(heading) == field


def sheet(*rows: list[str]) -> Sheet:
    return Sheet(
        "S",
        {
            number: {column: text for column, text in enumerate(row, 1) if text}
            for number, row in enumerate(rows, 1)
            if any(row)
        },
    )


def test_the_header_stands_below_titles() -> None:
    header = find_header(
        sheet(
            ["DANH SÁCH HỆ THỐNG"],
            [],
            ["Đơn vị:", "Bộ Y tế"],
            ["", "Đơn vị", "Tên hệ thống", "Ghi chú", "URL"],
        )
    )

    assert header is not None
    assert header.row == 4
    assert dict(header.columns) == {2: "unit", 3: "name_vi", 5: "targets"}
    assert header.unread == ("Ghi chú",)
    assert (header.column_of("targets"), header.column_of("level")) == (5, 0)


def test_two_columns_may_hold_targets_but_not_levels() -> None:
    header = find_header(sheet(["Đơn vị", "Tên miền", "URL", "Cấp độ", "Cấp"]))

    assert header is not None
    assert dict(header.columns) == {1: "unit", 2: "targets", 3: "targets", 4: "level"}
    assert header.unread == ("Cấp",)


def test_a_sheet_may_have_no_header() -> None:
    assert find_header(sheet(["Hướng dẫn", "Guide"], ["Tên hệ thống", "x"])) is None
    assert find_header(sheet(*[["x"]] * 60, ["Đơn vị", "Tên hệ thống"])) is None
