from __future__ import annotations

import csv
import io
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from seccheck.errors import InputError
from seccheck.importers import import_table
from seccheck.registry import Registry, load_registry

AUTHORISED = [
    ["Người phê duyệt", "Nguyễn Văn A"],
    ["Văn bản cho phép", "12/QĐ"],
    ["Hiệu lực từ", "1/11/2026"],
    ["Hiệu lực đến", "31.12.2026"],
    ["Khung giờ", "22:00-05:00"],
    ["Dải mạng được phép", "203.0.113.0/24; 2001:db8::/32"],
    ["Tên đợt rà soát", "Rà soát quý IV"],
]
HEAD = ["Đơn vị", "Tên hệ thống", "Cấp độ", "Địa chỉ truy cập", "Dịch vụ", "Cổng", "Địa chỉ IP"]
ROW = ["Bộ Y tế", "Một cửa", "3", "a.vn"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def as_csv(rows: list[list[str]], delimiter: str = ";", encoding: str = "utf-8-sig") -> Path:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    Path("a.csv").write_bytes(text.getvalue().encode(encoding, "replace"))
    return Path("a.csv")


def as_xlsx(*sheets: tuple[str, list[list[Any]]], merge: str = "") -> Path:
    book = Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets:
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
        if merge:
            sheet.merge_cells(merge)
    book.save("a.xlsx")
    return Path("a.xlsx")


def loaded(path: Path) -> Registry:
    Path("r.yaml").write_text(import_table(path), encoding="utf-8")
    return load_registry("r.yaml", authorised=False)


def targets(rows: list[list[str]]) -> list[tuple[str, int, str, str]]:
    (system,) = loaded(as_csv(rows)).systems
    return [(one.host, one.port, one.service, one.address) for one in system.targets]


def mistakes(path: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        import_table(path)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8", "utf-16"])
def test_a_whole_table_becomes_a_registry(delimiter: str, encoding: str) -> None:
    rows = [
        ["BỘ Y TẾ"],
        ["DANH SÁCH HỆ THỐNG THÔNG TIN"],
        [],
        *AUTHORISED,
        ["TT", *HEAD, "Ghi chú", "Liên hệ", "Nhãn", "Tên miền DNS", "Cổng được phép", "Nhạy cảm", "Vận hành"],
        [f"({number})" for number in range(1, 16)],
        [
            "1", "Bộ Y tế", "Một cửa", "Cấp độ 3", "https://mot-cua.vn/vi\nhttps://api.vn:8443", "", "",
            "203.0.113.7", "cũ", "soc@moh.vn\n0123", "Thủ tục hành chính; npd", "moh.vn",
            "443, 8443", "x", "VNPT",
        ],
        [],
        ["2", "ha noi", "Cổng", "V", "[2001:db8::7]:8080", "http"],
    ]  # fmt: skip
    path = as_csv(rows, delimiter, encoding)

    Path("r.yaml").write_text(import_table(path), encoding="utf-8")
    registry = load_registry("r.yaml")

    assert registry.name.vi == registry.name.en == "Rà soát quý IV"
    assert registry.unit_list == "vn-2025"
    assert registry.networks == ("203.0.113.0/24", "2001:db8::/32")
    assert registry.authorisation is not None
    assert registry.authorisation.valid.since == date(2026, 11, 1)
    assert registry.authorisation.valid.until == date(2026, 12, 31)
    assert registry.authorisation.hours == "22:00-05:00 Asia/Ho_Chi_Minh"
    first, second = registry.systems
    assert (first.id, first.unit, first.level, first.name.vi) == ("moh-mot-cua", "moh", 3, "Một cửa")
    assert [(one.host, one.port, one.address) for one in first.targets] == [
        ("mot-cua.vn", 443, "203.0.113.7"),
        ("api.vn", 8443, "203.0.113.7"),
    ]
    assert first.tags == ("thu-tuc-hanh-chinh", "npd")
    assert first.domains == ("moh.vn",)
    assert first.approved_ports == {"mot-cua.vn": (443, 8443), "api.vn": (443, 8443)}
    assert (first.fragile, first.operated_by, first.contact) == (True, "VNPT", "soc@moh.vn; 0123")
    assert (second.id, second.unit, second.level) == ("ha-noi-cong", "ha-noi", 5)
    assert [(one.host, one.port, one.service) for one in second.targets] == [("2001:db8::7", 8080, "http")]


def test_the_text_is_what_a_person_would_write() -> None:
    assert import_table(as_csv([[*HEAD, "Ghi chú"], ROW])) == (
        "# Made by `seccheck registry import` from a.csv.\n"
        "# Columns that were not read: Ghi chú.\n"
        "seccheck: registry/1\n"
        'name: {vi: "Rà soát an toàn thông tin", en: "Information security review"}\n'
        'units: {use: "vn-2025"}\n'
        "# The networks that may be touched. Without them, only the addresses written below.\n"
        "# networks: [203.0.113.0/24]\n"
        "# Nothing but loopback is scanned before this says who allowed it.\n"
        "# authorisation:\n"
        '#   {approved_by: "…", document: "…", valid: {from: 2026-01-01, until: 2026-12-31}}\n'
        "systems:\n"
        '  - id: "moh-mot-cua"\n'
        '    unit: "moh"\n'
        '    name: {vi: "Một cửa", en: "Một cửa"}\n'
        "    level: 3\n"
        "    targets:\n"
        '      - "https://a.vn/"\n'
    )


def test_without_authorisation_only_that_is_missing() -> None:
    Path("r.yaml").write_text(import_table(as_csv([HEAD, ROW])), encoding="utf-8")

    with pytest.raises(InputError, match="expected an authorisation") as caught:
        load_registry("r.yaml")
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["a.vn"], [("a.vn", 443, "https", "")]),
        (["A.vn."], [("a.vn", 443, "https", "")]),
        (["cổng.vn"], [("xn--cng-qmz.vn", 443, "https", "")]),
        (["a.vn/trang-chu?x=1"], [("a.vn", 443, "https", "")]),
        (["a.vn:8443", "https"], [("a.vn", 8443, "https", "")]),
        (["a.vn:22"], [("a.vn", 22, "ssh", "")]),
        (["203.0.113.7:3306"], [("203.0.113.7", 3306, "mysql", "")]),
        (["::1", "ssh"], [("::1", 22, "ssh", "")]),
        (["http://a.vn"], [("a.vn", 80, "http", "")]),
        (["https://a.vn/x; b.vn"], [("a.vn", 443, "https", ""), ("b.vn", 443, "https", "")]),
        (["https://a.vn https://b.vn"], [("a.vn", 443, "https", ""), ("b.vn", 443, "https", "")]),
        (["a.vn\nb.vn", "https; ssh"], [("a.vn", 443, "https", ""), ("b.vn", 22, "ssh", "")]),
        (["a.vn\nb.vn", "https", "8443"], [("a.vn", 8443, "https", ""), ("b.vn", 8443, "https", "")]),
        (["a.vn", "", "80, 443"], [("a.vn", 80, "http", ""), ("a.vn", 443, "https", "")]),
        (["a.vn", "SSH; HTTPS", "2222; 8443"], [("a.vn", 2222, "ssh", ""), ("a.vn", 8443, "https", "")]),
        (["a.vn", "", "TCP/22"], [("a.vn", 22, "ssh", "")]),
        (["https://a.vn", "https", "8443"], [("a.vn", 8443, "https", "")]),
        (["a.vn", "", "", "203.0.113.7"], [("a.vn", 443, "https", "203.0.113.7")]),
        (
            ["a.vn; b.vn", "", "", "203.0.113.7; 203.0.113.8"],
            [("a.vn", 443, "https", "203.0.113.7"), ("b.vn", 443, "https", "203.0.113.8")],
        ),
        (["203.0.113.9", "ssh", "", "203.0.113.9"], [("203.0.113.9", 22, "ssh", "")]),
        (["", "ssh", "", "203.0.113.9"], [("203.0.113.9", 22, "ssh", "")]),
        (["a.vn; a.vn; https://a.vn"], [("a.vn", 443, "https", "")]),
        ([""], []),
    ],
)
def test_targets_as_offices_write_them(cells: list[str], expected: list[tuple[str, int, str, str]]) -> None:
    assert targets([HEAD, [*ROW[:3], *cells]]) == expected


def test_rows_below_may_bring_more_targets() -> None:
    rows = [
        HEAD,
        ROW,
        ["", "", "", "b.vn"],
        ["Bộ Y tế", "", "", "c.vn:22"],
        ["", "", "3", "", "ssh", "", "203.0.113.7"],
    ]

    assert targets(rows) == [
        ("a.vn", 443, "https", ""),
        ("b.vn", 443, "https", ""),
        ("c.vn", 22, "ssh", ""),
        ("203.0.113.7", 22, "ssh", ""),
    ]


def test_cells_merged_downwards_describe_one_system() -> None:
    path = as_xlsx(
        ("S", [HEAD, ["Bộ Y tế", "Một cửa", 3, "a.vn"], [None, None, None, "b.vn"]]), merge="B2:B3"
    )

    (system,) = loaded(path).systems

    assert [one.host for one in system.targets] == ["a.vn", "b.vn"]


def test_two_columns_of_targets_are_joined() -> None:
    rows = [["Đơn vị", "Tên hệ thống", "Cấp độ", "Tên miền", "URL"], [*ROW, "https://a.vn:8443/x"]]

    assert targets(rows) == [("a.vn", 443, "https", ""), ("a.vn", 8443, "https", "")]


def test_every_sheet_with_a_header_is_read() -> None:
    settings = [[label, value] for label, value in AUTHORISED]
    settings[2][1] = date(2026, 11, 1)  # type: ignore[call-overload]
    path = as_xlsx(
        ("Bộ", [HEAD, ["moh", "A", 3.0, "a.vn"]]),
        ("Ghi chú", [["x", "y"]]),
        ("Tỉnh", [["Sở"], HEAD, ["Hà Nội", "B", "4", "b.vn"]]),
        ("Thông tin chung", settings),
    )
    Path("r.yaml").write_text(import_table(path), encoding="utf-8")

    registry = load_registry("r.yaml")

    assert [(one.unit, one.level) for one in registry.systems] == [("moh", 3), ("ha-noi", 4)]
    assert registry.authorisation is not None
    assert registry.authorisation.valid.since == date(2026, 11, 1)


def test_a_setting_may_stand_in_one_cell() -> None:
    registry = loaded(
        as_csv([["Danh sách đơn vị: vn-2024"], HEAD, ["Bộ Thông tin và Truyền thông", *ROW[1:]]])
    )

    assert (registry.unit_list, registry.systems[0].unit) == ("vn-2024", "mic")


def test_ids_are_made_safe_and_unique() -> None:
    rows = [
        ["Mã", *HEAD],
        ["HT 01/Đ", *ROW],
        ["", *ROW],
        ["", *ROW],
        ["moh-mot-cua-2", *ROW],
    ]

    registry = loaded(as_csv(rows))

    assert [one.id for one in registry.systems] == [
        "ht-01-d",
        "moh-mot-cua",
        "moh-mot-cua-3",
        "moh-mot-cua-2",
    ]


def test_example_and_number_rows_are_not_read() -> None:
    rows = [["STT", *HEAD], ["Ví dụ", *ROW], ["Example:", *ROW], ["7"], ["1", *ROW]]

    assert len(loaded(as_csv(rows)).systems) == 1


def test_text_that_yaml_could_take_for_something_else_stays_text() -> None:
    rows = [[*HEAD, "Contact"], ["moh", 'true: "x" #', *ROW[2:], "", "", "", "- &a *b"]]

    (system,) = loaded(as_csv(rows)).systems

    assert (system.name.vi, system.contact) == ('true: "x" #', "- &a *b")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            ["Bộ Tư phát", "x", "3"],
            "A2: expected a reporting unit, found 'Bộ Tư phát'\n  next: did you mean 'Bộ Tư pháp' (id moj)?",
        ),
        (["", "x", "3"], "A2: expected a value for 'Đơn vị / Unit', found an empty cell"),
        (["moh", "", "3"], "B2: expected a value for 'Tên hệ thống / System name', found an empty cell"),
        (["moh", "x", ""], "C2: expected a value for 'Cấp độ / Level', found an empty cell"),
        (["moh", "x", "6"], 'C2: expected a level from 1 to 5, found "6"'),
        (["moh", "x", "#REF!"], "C2: expected a value, found the spreadsheet's error #REF!"),
        (["moh", "x", "3", "a b.vn"], "D2: expected a host name or an address, found \"a b.vn\" with ' '"),
        (
            ["moh", "x", "3", "htps://a.vn"],
            "D2: expected a known service before ://, found \"htps\"\n  next: did you mean 'https'?",
        ),
        (
            ["moh", "x", "3", "a.vn:9999"],
            "D2: expected a service for port 9999 of a.vn, found none\n  next: write https://host:port",
        ),
        (["moh", "x", "3", "a.vn", "tcp"], "D2: expected a port for tcp of a.vn, found none"),
        (
            ["moh", "x", "3", "a.vn", "htttps"],
            "E2: expected a known service, found \"htttps\"\n  next: did you mean 'https'?",
        ),
        (["moh", "x", "3", "https://a.vn", "ssh"], 'E2: expected https, as the target says, found "ssh"'),
        (["moh", "x", "3", "a.vn", "", "70000"], 'F2: expected a port from 1 to 65535, found "70000"'),
        (
            ["moh", "x", "3", "https://a.vn:8443", "", "443"],
            "F2: expected 8443, as the target says, found 443",
        ),
        (
            ["moh", "x", "3", "a.vn; b.vn; c.vn", "https; ssh"],
            "E2: expected one value, or one for each of 3 targets; found 2",
        ),
        (
            ["moh", "x", "3", "a.vn", "", "", "203.0.113.300"],
            'G2: expected an address, found "203.0.113.300"\n  next: such as 203.0.113.7 or 2001:db8::7',
        ),
        (
            ["moh", "x", "3", "a.vn", "", "", "203.0.113.7; 203.0.113.8"],
            "G2: expected one value, or one for each of 1 targets; found 2",
        ),
        (["moh", "x", "3", "a.vn", "", "", "", "maybe"], 'H2: expected có or không, found "maybe"'),
        (
            ["moh", "x", "3", "a.vn", "", "", "", "", "x@10.0.0.1"],
            "I2: expected a domain, found the address 10.0.0.1",
        ),
        (
            ["moh", "x", "3", "a.vn", "", "", "", "", "", "http"],
            'J2: expected a port from 1 to 65535, found "http"',
        ),
    ],
)
def test_each_mistake_is_told_with_its_cell(row: list[str], message: str) -> None:
    header = [*HEAD, "Dễ quá tải", "Domains", "Approved ports"]

    assert mistakes(as_csv([header, row])) == [f"a.csv:2: {message}"]


def test_all_mistakes_come_in_one_pass_with_their_sheets() -> None:
    path = as_xlsx(
        ("Bộ", [HEAD, ["moh", "A", 9, "a.vn"], ["mohh", "B", 3, "a.vn"]]),
        ("Tỉnh", [[], HEAD, ["Hà Nội", "B", "4", "-x"]]),
    )

    assert mistakes(path) == [
        'a.xlsx:2: Bộ!C2: expected a level from 1 to 5, found "9"',
        "a.xlsx:3: Bộ!A3: expected a reporting unit, found 'mohh'\n  next: did you mean 'Bộ Y tế' (id moh)?",
        'a.xlsx:3: Tỉnh!D3: expected a host name or an address, found "-x", which looks like an option',
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            [["Unit list", "vn-2023"]],
            (
                "a.csv:1: B1: expected a bundled unit list (vn-2024, vn-2025), found 'vn-2023'\n"
                "  next: did you mean 'vn-2025'?"
            ),
        ),
        (
            [["Networks", "203.0.113.7/24"]],
            'a.csv:1: B1: expected a network, found "203.0.113.7/24"\n  next: write 203.0.113.0/24',
        ),
        (
            [*AUTHORISED[:2], AUTHORISED[2]],
            (
                "a.csv: expected 'Hiệu lực đến / Valid until' as well, since an authorisation was begun; "
                "found none"
            ),
        ),
        (
            [*AUTHORISED[:3], ["Valid until", "31/2/2026"]],
            'a.csv:4: B4: expected a date such as 30/11/2026, found "31/2/2026"',
        ),
        (
            [*AUTHORISED[:3], ["Valid until", "2026-01-01"]],
            "a.csv:4: B4: expected an end on or after 2026-11-01, found 2026-01-01",
        ),
        (
            [*AUTHORISED[:4], ["Hours", "at night"]],
            (
                'a.csv:5: B5: expected hours HH:MM-HH:MM and a time zone, found "at night"\n'
                "  next: such as 22:00-05:00 Asia/Ho_Chi_Minh"
            ),
        ),
    ],
)
def test_each_mistake_about_the_review_is_told(settings: list[list[str]], message: str) -> None:
    assert mistakes(as_csv([*settings, HEAD, ROW])) == [message]


def test_twice_the_same_id_is_told() -> None:
    assert mistakes(as_csv([["Mã", *HEAD], ["a", *ROW], ["A", *ROW]])) == [
        'a.csv:3: A3: expected a unique id, found "A", which stands in A2 too'
    ]


def test_a_fragile_system_needs_addresses() -> None:
    header = [*HEAD, "Fragile"]

    (system,) = loaded(as_csv([header, [*ROW, "", "", "203.0.113.7", "có"]])).systems

    assert system.fragile
    assert mistakes(as_csv([header, [*ROW, "", "", "", "có"]])) == [
        (
            "a.csv:2: H2: expected an IP address for a.vn, since it is fragile; found only a name\n"
            "  next: fill in the column 'Địa chỉ IP / IP address'"
        )
    ]


def test_an_address_outside_the_networks_is_told() -> None:
    rows = [["Networks", "203.0.113.0/24"], HEAD, [*ROW, "", "", "203.0.114.7"], [*ROW[:3], "198.51.100.1"]]

    assert mistakes(as_csv(rows)) == [
        "a.csv:3: G3: expected an address inside the networks of B1, found 203.0.114.7",
        "a.csv:4: D4: expected an address inside the networks of B1, found 198.51.100.1",
    ]


def test_a_missing_column_is_told_once() -> None:
    rows = [["Đơn vị", "Tên hệ thống"], ["moh", "x"], ["moh", "y"]]

    assert mistakes(as_csv(rows)) == [
        "a.csv:1: A1: expected a column 'Cấp độ / Level' in the header row, found none"
    ]


def test_a_table_without_header_is_told() -> None:
    assert mistakes(as_csv([["x", "y"], ["a", "b"]])) == [
        (
            "a.csv: expected a header row with such columns as Đơn vị, Tên hệ thống, Cấp độ, "
            "Địa chỉ truy cập, found none\n  next: seccheck registry template writes a table to fill in"
        )
    ]


def test_a_table_without_systems_is_told() -> None:
    assert mistakes(as_csv([HEAD])) == ["a.csv:1: expected systems below the header, found none"]


def test_a_mistake_that_only_the_registry_sees_is_told_with_its_cell() -> None:
    rows = [[*HEAD, "Operated by"], [*ROW, "", "", "", "x" * 501]]

    assert mistakes(as_csv(rows)) == ["a.csv:2: H2: expected text of at most 500 characters"]


_WORDS = st.sampled_from(
    ["moh", "Hà Nội", "3", "cấp 2", "a.vn", "https://b.vn:8443/x", "203.0.113.7", "::1", "ssh", "22; 443",
     "x y", "true", "- a", "{b: c}", "'", '"', "#", "&a", "có", "", "", "", "Ví dụ", "1"]
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(_WORDS | st.text(max_size=8), max_size=9), max_size=5))
def test_any_table_is_refused_or_becomes_a_registry(rows: list[list[str]]) -> None:
    header = [*HEAD, "Fragile", "Approved ports"]
    path = as_csv([["Networks", "203.0.113.0/24"], header, *rows], encoding="utf-16")

    try:
        text = import_table(path)
    except InputError:
        return
    Path("r.yaml").write_text(text, encoding="utf-8")
    assert load_registry("r.yaml", authorised=False).systems
