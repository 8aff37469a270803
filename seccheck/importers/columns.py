"""Which column is which: the headers that offices write, in Vietnamese and English, in any order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from seccheck.importers.sheets import Sheet
from seccheck.units import plain


@dataclass(frozen=True)
class Column:
    """One thing that a table says of a system, under the headings it may have. The first two are ours."""

    field: str
    vi: str
    en: str
    others: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """The bilingual heading of the template."""
        return f"{self.vi} / {self.en}"


COLUMNS = (
    Column("number", "STT", "No.", ("TT", "Số thứ tự", "No", "Number")),
    Column(
        "unit", "Đơn vị", "Unit",
        ("Đơn vị chủ quản", "Cơ quan chủ quản", "Chủ quản", "Chủ quản hệ thống", "Tên đơn vị", "Tên cơ quan",
         "Cơ quan", "Bộ, ngành, địa phương", "Bộ ngành", "Địa phương", "Tỉnh", "Tỉnh thành", "Owner",
         "Organisation", "Organization", "Agency", "Ministry", "Locality", "Province"),
    ),
    Column(
        "name_vi", "Tên hệ thống", "System name",
        ("Hệ thống", "Hệ thống thông tin", "Tên hệ thống thông tin", "Tên HTTT", "HTTT", "Tên phần mềm",
         "Tên ứng dụng", "Tên", "Name", "System", "Information system", "Application"),
    ),
    Column("name_en", "Tên tiếng Anh", "English name", ("Name in English", "System name (English)")),
    Column("id", "Mã hệ thống", "System id", ("Mã", "Mã số", "Mã HTTT", "ID", "Code", "System code")),
    Column(
        "level", "Cấp độ", "Level",
        ("Cấp", "Cấp độ an toàn", "Cấp độ ATTT", "Cấp độ an toàn thông tin", "Cấp độ HTTT", "Mức",
         "Security level"),
    ),
    Column(
        "targets", "Địa chỉ truy cập", "Targets",
        ("URL", "Website", "Trang web", "Đường dẫn", "Đường link", "Link", "Tên miền", "Tên miền truy cập",
         "Địa chỉ web", "Địa chỉ website", "Địa chỉ URL", "Domain", "Domain name", "Host", "Hostname",
         "Máy chủ", "Tên máy chủ", "Target", "Web address", "Mục tiêu"),
    ),
    Column(
        "service", "Dịch vụ", "Service", ("Giao thức", "Loại dịch vụ", "Protocol", "Services")
    ),
    Column("port", "Cổng", "Port", ("Số cổng", "Cổng dịch vụ", "Cổng kết nối", "Ports", "TCP port")),
    Column(
        "address", "Địa chỉ IP", "IP address",
        ("IP", "IP public", "IP công cộng", "Địa chỉ IP public", "Địa chỉ IP công cộng", "Public IP",
         "IP addresses"),
    ),
    Column(
        "approved_ports", "Cổng được phép mở", "Approved ports",
        ("Cổng được phép", "Cổng cho phép", "Allowed ports", "Open ports allowed"),
    ),
    Column(
        "domains", "Tên miền thư điện tử", "Mail and DNS domains",
        ("Tên miền email", "Tên miền thư", "Tên miền DNS", "Domains", "Email domain", "Mail domain",
         "DNS domain"),
    ),
    Column("tags", "Nhãn", "Tags", ("Phân loại", "Tag", "Labels")),
    Column("zone", "Vùng mạng", "Zone", ("Vùng", "Network zone")),
    Column(
        "operated_by", "Đơn vị vận hành", "Operated by",
        ("Vận hành", "Nhà cung cấp", "Đơn vị cung cấp dịch vụ", "Operator", "Hosting", "Provider"),
    ),
    Column(
        "contact", "Đầu mối liên hệ", "Contact",
        ("Liên hệ", "Đầu mối", "Email", "Thư điện tử", "Người liên hệ", "Điện thoại", "Cán bộ đầu mối"),
    ),
    Column("fragile", "Dễ quá tải", "Fragile", ("Hệ thống nhạy cảm", "Nhạy cảm", "Sensitive")),
)  # fmt: skip

SETTINGS = (
    Column("registry_vi", "Tên đợt rà soát", "Review (Vietnamese)", ("Tên đợt", "Đợt rà soát")),
    Column("registry_en", "Tên đợt rà soát (tiếng Anh)", "Review (English)", ("Review",)),
    Column("unit_list", "Danh mục đơn vị", "Unit list", ("Danh sách đơn vị",)),
    Column("networks", "Dải mạng được phép", "Networks", ("Dải mạng", "Dải địa chỉ IP", "Network")),
    Column("approved_by", "Người phê duyệt", "Approved by", ("Người ký", "Phê duyệt")),
    Column("document", "Văn bản cho phép", "Authorising document", ("Văn bản", "Số văn bản", "Document")),
    Column("valid_from", "Hiệu lực từ", "Valid from", ("Từ ngày", "From")),
    Column("valid_until", "Hiệu lực đến", "Valid until", ("Đến ngày", "Until")),
    Column("hours", "Khung giờ", "Hours", ("Giờ quét",)),
)
"""What a table says once, for the whole review: label and value, above the header or on another sheet."""

BY_FIELD = {column.field: column for column in (*COLUMNS, *SETTINGS)}


@cache
def _known(columns: tuple[Column, ...]) -> Mapping[str, str]:
    return {
        plain(heading): column.field
        for column in reversed(columns)
        for heading in (column.heading, column.vi, column.en, *column.others)
    }


def recognise(heading: str, columns: tuple[Column, ...] = COLUMNS) -> str:
    """The field that a heading means; empty when it means none.

    Notes in brackets, stars and the other language after a slash may stand beside it.
    """
    known = _known(columns)
    bare = re.sub(r"\([^)]*\)|\[[^\]]*\]", " ", heading)
    candidates = [heading, bare, *re.split(r"[/\n|]", bare)]
    return next((known[key] for key in map(plain, candidates) if key in known), "")


@dataclass(frozen=True)
class Header:
    """The header row of a sheet, and what its columns mean."""

    row: int
    columns: Mapping[int, str]
    """Field by column number."""
    unread: tuple[str, ...]
    """Headings that mean nothing to us."""

    def column_of(self, wanted: str) -> int:
        """The number of a field's first column; 0 when there is none."""
        return next((number for number, name in self.columns.items() if name == wanted), 0)


HEADER_ROWS = 50
"""How far down a header may stand."""


def find_header(sheet: Sheet) -> Header | None:
    """The row of `sheet` that best serves as a header, or None when none does."""
    best: Header | None = None
    for row, cells in sorted(sheet.cells.items()):
        if row > HEADER_ROWS:
            break
        header = _header(row, cells)
        fields = set(header.columns.values())
        serves = {"name_vi", "targets", "address", "name_en"} & fields and {"unit", "level"} & fields
        if serves and (best is None or len(fields) > len(set(best.columns.values()))):
            best = header
    return best


def _header(row: int, cells: Mapping[int, str]) -> Header:
    columns: dict[int, str] = {}
    unread: list[str] = []
    for number, text in sorted(cells.items()):
        name = recognise(text)
        # A table may have a column of names and one of URLs: both are targets. Else the first one counts.
        if name and (name == "targets" or name not in columns.values()):
            columns[number] = name
        else:
            unread.append(text)
    return Header(row, columns, tuple(unread))
