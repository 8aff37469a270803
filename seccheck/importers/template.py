"""The spreadsheet that an office begins with: bilingual headers, lists to choose from, one example."""

from __future__ import annotations

import csv
import io
from typing import Any

from seccheck.hosts import SERVICES
from seccheck.importers.columns import COLUMNS, SETTINGS
from seccheck.importers.table import DEFAULT_LIST
from seccheck.units import bundled_lists, load_units

EXAMPLE_ROW = {
    "number": "Ví dụ / Example",
    "unit": "Bộ Tư pháp",
    "name_vi": "Cổng dịch vụ công",
    "name_en": "Public service portal",
    "id": "cong-dich-vu-cong",
    "level": "3",
    "targets": "https://dichvucong.example.gov.vn\nhttps://api.example.gov.vn:8443",
    "address": "203.0.113.7",
    "approved_ports": "443; 8443",
    "domains": "example.gov.vn",
    "tags": "administrative-procedures",
    "zone": "internet",
    "operated_by": "Trung tâm CNTT",
    "contact": "soc@example.gov.vn",
    "fragile": "không",
}

GUIDE = (
    ("Mỗi hệ thống một dòng, bên dưới dòng tiêu đề của trang 'Hệ thống'.",
     "One system a row, below the header of the sheet 'Hệ thống'."),
    ("Bắt buộc: Đơn vị, Tên hệ thống, Cấp độ (1-5), Địa chỉ truy cập. Các cột khác có thể bỏ trống hoặc xóa.",
     "Required: Unit, System name, Level (1-5), Targets. Other columns may stay empty or be deleted."),
    ("Nhiều địa chỉ trong một ô: mỗi địa chỉ một dòng, hoặc cách nhau bằng dấu chấm phẩy.",
     "Several targets in one cell: one a line, or separated by semicolons."),
    ("Địa chỉ là https://tên-miền, tên-miền, hoặc địa chỉ IP; khi không phải web thì ghi Dịch vụ và Cổng.",
     "A target is https://host, a host, or an IP address; where it is not the web, give Service and Port."),
    ("Đơn vị ghi bằng tên hoặc mã trong trang 'Đơn vị'.",
     "The unit is a name or an id of the sheet 'Đơn vị'."),
    ("Trang 'Thông tin chung' ghi ai cho phép rà soát: chưa ghi thì không quét được.",
     "The sheet 'Thông tin chung' says who allowed the review: nothing is scanned before it does."),
    ("Dòng bắt đầu bằng 'Ví dụ' không được đọc.",
     "A row that begins with 'Ví dụ' is not read."),
    ("Xong thì chạy: seccheck registry import systems.xlsx --out registry.yaml",
     "Then run: seccheck registry import systems.xlsx --out registry.yaml"),
)  # fmt: skip

LAST_ROW = 2000
"""How far down the lists to choose from reach."""


def template_csv() -> bytes:
    """The template as CSV: UTF-8 with a byte order mark and semicolons, as Excel expects it in Viet Nam."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";", lineterminator="\r\n")
    for setting in SETTINGS:
        writer.writerow([setting.heading, DEFAULT_LIST if setting.field == "unit_list" else ""])
    writer.writerow([])
    writer.writerow([column.heading for column in COLUMNS])
    writer.writerow([EXAMPLE_ROW.get(column.field, "") for column in COLUMNS])
    return text.getvalue().encode("utf-8-sig")


def template_xlsx() -> bytes:
    """The template as a workbook: the table, the review's own data, the guide, and the units."""
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.worksheets[0])
    _fill_table(book.create_sheet("Hệ thống"))
    _fill_settings(book.create_sheet("Thông tin chung"))
    _fill_guide(book.create_sheet("Hướng dẫn"))
    _fill_units(book.create_sheet("Đơn vị"))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _fill_table(sheet: Any) -> None:
    from openpyxl.styles import Alignment, Font, PatternFill
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    units = len(load_units(DEFAULT_LIST))
    lists = {
        "level": '"1,2,3,4,5"',
        "service": f'"{",".join(SERVICES)}"',
        "unit": f"'Đơn vị'!$B$2:$B${units + 1}",
        "fragile": '"có,không"',
    }
    for number, column in enumerate(COLUMNS, 1):
        letter = get_column_letter(number)
        head = sheet.cell(1, number, column.heading)
        head.font = Font(bold=True)
        head.fill = PatternFill("solid", fgColor="DDE6F0")
        head.alignment = Alignment(wrap_text=True, vertical="top")
        example = sheet.cell(2, number, EXAMPLE_ROW.get(column.field))
        example.font = Font(italic=True, color="808080")
        example.alignment = Alignment(wrap_text=True, vertical="top")
        sheet.column_dimensions[letter].width = 42 if column.field in {"name_vi", "targets", "unit"} else 20
        if column.field in lists:
            choice = DataValidation(type="list", formula1=lists[column.field], allow_blank=True)
            # A name not on the list may still be right: an id, or a name without diacritics.
            choice.showErrorMessage = column.field == "level"
            sheet.add_data_validation(choice)
            choice.add(f"{letter}2:{letter}{LAST_ROW}")
    sheet.freeze_panes = "A2"


def _fill_settings(sheet: Any) -> None:
    from openpyxl.styles import Font
    from openpyxl.worksheet.datavalidation import DataValidation

    for number, setting in enumerate(SETTINGS, 1):
        sheet.cell(number, 1, setting.heading).font = Font(bold=True)
        if setting.field == "unit_list":
            sheet.cell(number, 2, DEFAULT_LIST)
            choice = DataValidation(type="list", formula1=f'"{",".join(bundled_lists())}"')
            sheet.add_data_validation(choice)
            choice.add(f"B{number}")
    sheet.column_dimensions["A"].width = 48
    sheet.column_dimensions["B"].width = 60


def _fill_guide(sheet: Any) -> None:
    from openpyxl.styles import Alignment

    sheet.append(["Hướng dẫn", "Guide"])
    for vi, en in GUIDE:
        sheet.append([vi, en])
    for letter in "AB":
        sheet.column_dimensions[letter].width = 80
    for row in sheet.iter_rows():
        for cell in row:
            cell.alignment = Alignment(wrap_text=True, vertical="top")


def _fill_units(sheet: Any) -> None:
    sheet.append(["id", "Đơn vị", "Unit"])
    for unit in load_units(DEFAULT_LIST):
        sheet.append([unit.id, unit.name.vi, unit.name.en])
    for letter in "ABC":
        sheet.column_dimensions[letter].width = 48
