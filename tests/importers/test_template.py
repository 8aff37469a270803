from __future__ import annotations

import io
from pathlib import Path

import pytest
from openpyxl import load_workbook

from seccheck.errors import InputError
from seccheck.importers import import_table, template_csv, template_xlsx
from seccheck.importers.columns import COLUMNS, SETTINGS
from seccheck.importers.template import EXAMPLE_ROW
from seccheck.registry import load_registry

FILLED = {
    "number": "1",
    "unit": "Tỉnh Tuyên Quang",
    "name_vi": "Một cửa",
    "level": "3",
    "targets": "https://a.vn",
    "address": "203.0.113.7",
}
REVIEW = {"approved_by": "A", "document": "1/QĐ", "valid_from": "2026-11-01", "valid_until": "2026-12-31"}


def filled_xlsx(path: Path, row: dict[str, str]) -> Path:
    book = load_workbook(io.BytesIO(template_xlsx()))
    book["Hệ thống"].append([row.get(column.field) for column in COLUMNS])
    for number, setting in enumerate(SETTINGS, 1):
        if setting.field in REVIEW:
            book["Thông tin chung"].cell(number, 2, REVIEW[setting.field])
    book.save(path)
    return path


def filled_csv(path: Path, row: dict[str, str]) -> Path:
    lines = template_csv().decode("utf-8-sig").split("\r\n")
    for number, setting in enumerate(SETTINGS):
        if setting.field in REVIEW:
            lines[number] += REVIEW[setting.field]
    text = "\r\n".join(lines) + ";".join(f'"{row.get(column.field, "")}"' for column in COLUMNS)
    path.write_text(text, encoding="utf-8-sig", newline="")
    return path


@pytest.mark.parametrize("fill", [filled_xlsx, filled_csv])
def test_a_filled_template_becomes_a_registry(tmp_path: Path, fill: object) -> None:
    table = fill(tmp_path / "systems", FILLED)  # type: ignore[operator]
    (tmp_path / "r.yaml").write_text(import_table(table), encoding="utf-8")

    registry = load_registry(tmp_path / "r.yaml")

    assert [(one.unit, one.name.vi, one.level) for one in registry.systems] == [("tuyen-quang", "Một cửa", 3)]
    assert registry.systems[0].addresses() == ("203.0.113.7",)
    assert registry.authorisation is not None


@pytest.mark.parametrize("fill", [filled_xlsx, filled_csv])
def test_the_example_is_a_valid_row(tmp_path: Path, fill: object) -> None:
    table = fill(tmp_path / "systems", {**EXAMPLE_ROW, "number": "1"})  # type: ignore[operator]
    (tmp_path / "r.yaml").write_text(import_table(table), encoding="utf-8")

    (system,) = load_registry(tmp_path / "r.yaml").systems

    assert (system.id, system.name.en) == ("cong-dich-vu-cong", "Public service portal")


@pytest.mark.parametrize("template", [template_xlsx, template_csv])
def test_the_example_is_not_imported(tmp_path: Path, template: object) -> None:
    (tmp_path / "systems").write_bytes(template())  # type: ignore[operator]

    with pytest.raises(InputError, match="expected systems below the header, found none"):
        import_table(tmp_path / "systems")


def test_the_workbook_offers_lists_and_a_guide() -> None:
    book = load_workbook(io.BytesIO(template_xlsx()))

    assert book.sheetnames == ["Hệ thống", "Thông tin chung", "Hướng dẫn", "Đơn vị"]
    table = book["Hệ thống"]
    assert [cell.value for cell in table[1]] == [column.heading for column in COLUMNS]
    offered = {
        str(choice.sqref).split("2:")[0]: choice.formula1 for choice in table.data_validations.dataValidation
    }
    letters = {column.field: cell.column_letter for column, cell in zip(COLUMNS, table[1], strict=True)}
    assert offered[letters["level"]] == '"1,2,3,4,5"'
    assert offered[letters["service"]].startswith('"http,https,tls,')
    assert offered[letters["unit"]] == "'Đơn vị'!$B$2:$B$57"
    assert book["Đơn vị"]["B57"].value is not None
    assert book["Đơn vị"]["B58"].value is None
    assert all(len(formula) <= 257 for formula in offered.values())
