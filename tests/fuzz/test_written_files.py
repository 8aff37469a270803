# ruff: noqa: E501 (samples stand as they are written)
"""Files that people write: registries, criteria, sets, waivers, thresholds; and the offices' spreadsheets."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seccheck.criteria import load_criteria
from seccheck.gate import load_threshold
from seccheck.importers import import_table, template_csv, template_xlsx
from seccheck.keys import generate, read_key
from seccheck.probes import load_probes
from seccheck.registry import load_registry
from seccheck.waivers import load_waivers
from seccheck.yamlfile import read_yaml
from tests.fuzz.properties import SLOW, damaged, hostile, read, words
from tests.small import CRITERIA, REGISTRY, SET

pytestmark = pytest.mark.fuzz
MORE = """
seccheck: registry/1
name: {en: "N", vi: "Đ"}
units: {use: vn-2024}
networks: [127.0.0.0/8, "::1/128"]
resolvers: [{address: 127.0.0.1, port: 53}]
revocation: staple
authorisation: {approved_by: A, document: B, valid: {from: 2026-11-01, until: 2026-12-31}, hours: "22:00-05:00 Asia/Ho_Chi_Minh"}
limits: {connections_per_second: 10, connections_at_once: 4, ports_per_second: 100}
systems:
- &one
  id: portal
  unit: mic
  name: {en: P, vi: P}
  level: 3
  tags: [a]
  zone: internet
  targets: ["https://127.0.0.1:8443/", {id: ssh, host: "[::1]", port: 22, service: ssh}]
  approved_ports: {127.0.0.1: [22, 443]}
  domains: [example.gov.vn]
  evidence: {LVL-01: {file: a.pdf, sha256: "00", issued: 2026-01-02, issuer: "x", states: met}}
  fragile: true
  client_certificate: {certificate: a.pem, key: env:NAME}
"""
REGISTRIES = (REGISTRY.format(good=8001, bad=8002, silent=8003).encode(), MORE.encode())
WAIVERS = (
    b"seccheck: waivers/1\nwaivers:\n- {criterion: TLS-03, system: 'p*', target: web, reason: r, ticket: t, "
    b"requested_by: A, approved_by: B, from: 2026-01-01, until: 2026-03-01}\n"
)
GATE = b"seccheck: gate/1\nseverities: [critical, high]\ncriteria: ['TLS-*']\ninconclusive: warn\nfail_on: [new]\n"
YAML = (
    b"&a [*a]", b"a: &b [1, 2]\nc: [*b, *b]", b"? {x: y}\n: z", b"!!python/object:os.system x", b"<<: {a: b}",
    b"a: |\n  x\n   y", b"- 1e999\n- .inf\n- 0x1f\n- 2026-99-99\n- '\\x1b'\n- \"\\e\\0\"", b"\xef\xbb\xbfa: b\r\n", b"--- a\n--- b\n",
    "a: \u2028\u202e\ud7ff".encode(), b"a: 99999999999999999999999999\n", b"{" * 60,
)  # fmt: skip
PARTS = (
    b"\n- ", b"\n  ", b": ", b"{", b"}", b"[", b"]", b"*one", b"&x ", b"&x [*x]", b"<<: *one", b"!!str ", b"null", b"-1", b"6",
    b"\n? ", b"'", b'"', b"# ", b"|", b">", b"2026-02-30", b"https://[::1/", b"0177.0.0.1", b"127.0.0.1%lo", b"...", b"env:",
)  # fmt: skip


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        (Path(folder) / "criteria.yaml").write_text(CRITERIA, encoding="utf-8")
        (Path(folder) / "set.yaml").write_text(SET, encoding="utf-8")
        yield Path(folder)


def edited(*samples: bytes) -> st.SearchStrategy[bytes]:
    """Samples with words of YAML put in, and other injuries."""

    @st.composite
    def made(draw: st.DrawFn) -> bytes:
        data = draw(damaged(*samples, most=2))
        for _ in range(draw(st.integers(0, 3))):
            at = draw(st.integers(0, len(data)))
            data = data[:at] + draw(st.sampled_from(PARTS)) + data[at + draw(st.integers(0, 8)) :]
        return data

    return made() | hostile(*samples)


def written(place: Path, name: str, data: bytes) -> Path:
    path = place / name
    path.write_bytes(data)
    return path


@given(edited(*YAML, *REGISTRIES))
@example(b"[" * 5000)
@example(b"- " * 5000)
@example(b"a: &a [x]\n" + b"".join(b"b%d: *a\n" % n for n in range(200)))
@example(b"? " * 200)
@example(b"- \xff")
@example(b"\xff\xfe")
@example(b"x" * 70_000 + b": y")
def test_yaml(data: bytes) -> None:
    read(lambda: read_yaml(data))


@given(edited(*REGISTRIES))
def test_registries(place: Path, data: bytes) -> None:
    path = written(place, "registry.yaml", data)
    read(lambda: load_registry(path))
    read(lambda: load_registry(path, authorised=False))


@SLOW
@given(edited(CRITERIA.encode()), edited(SET.encode()))
def test_criteria_and_sets(place: Path, criteria: bytes, chosen: bytes) -> None:
    written(place, "one.yaml", criteria)
    path = written(place, "one-set.yaml", chosen.replace(b"criteria.yaml", b"one.yaml"))
    read(lambda: load_criteria(str(path), load_probes()))


@SLOW
@given(edited(CRITERIA.encode()))
def test_criteria_in_a_sound_set(place: Path, criteria: bytes) -> None:
    written(place, "two.yaml", criteria)
    path = written(place, "two-set.yaml", SET.replace("criteria.yaml", "two.yaml").encode())
    read(lambda: load_criteria(str(path), load_probes()))


@given(edited(WAIVERS))
def test_waivers(place: Path, data: bytes) -> None:
    path = written(place, "waivers.yaml", data)
    read(lambda: load_waivers(path))


@given(edited(GATE))
def test_thresholds(place: Path, data: bytes) -> None:
    path = written(place, "gate.yaml", data)
    read(lambda: load_threshold(path, ["TLS-01", "TLS-03"]))


@pytest.fixture(scope="module")
def public_key(place: Path) -> bytes:
    from datetime import date

    generate(place / "mic", ("mic",), date(2026, 1, 1), date(2027, 1, 1), b"correct horse battery")
    return next(path for path in place.glob("mic.*") if path.suffix != ".key").read_bytes()


@given(st.data())
def test_public_keys(place: Path, public_key: bytes, data: st.DataObject) -> None:
    path = written(place, "other.pub", data.draw(edited(public_key)))
    read(lambda: read_key(path))


# ----------------------------------------------------------------------------------------- spreadsheets

CSV = template_csv()
TABLE = (
    "STT;Mã hệ thống;Tên hệ thống;Đơn vị;Cấp độ;Địa chỉ\n1;portal;Cổng;Bộ Thông tin và Truyền thông;3;https://127.0.0.1/\n"
    "2;mail;Thư;UBND tỉnh Hà Giang;2;mx.example.gov.vn:25\n"
).encode()
CELLS = words(
    "https://",
    "127.0.0.1",
    "[::1]",
    ":8443",
    "/",
    ";",
    ",",
    "\n",
    "Bộ",
    "3",
    "III",
    "=1+1",
    "smtp",
    "01/02/2026",
    "\u202e",
)


@given(edited(CSV, TABLE, TABLE.decode().encode("utf-16"), TABLE.replace(b";", b",")))
@example(b'"' + b"x" * 200_000)
@example(b";" * 60_000)
@example(b"a;b\n" * 15_000)
@example("Mã hệ thống;Tên hệ thống\n".encode() + b"\0;x\n")
def test_csv_tables(place: Path, data: bytes) -> None:
    imported(place, written(place, "systems.csv", data))


@given(st.lists(CELLS, min_size=6, max_size=6))
def test_cells(place: Path, cells: list[str]) -> None:
    row = ";".join('"' + cell.replace('"', '""') + '"' for cell in cells)
    imported(place, written(place, "cells.csv", TABLE + row.encode("utf-8", "replace") + b"\n"))


def imported(place: Path, path: Path) -> None:
    """What is imported is a registry."""
    text = read(lambda: import_table(path))
    if text is not None:
        made = written(place, "made.yaml", text.encode())
        assert read(lambda: load_registry(made, authorised=False)) is not None


def _small_book() -> dict[str, bytes]:
    """The members of a small workbook with one system."""
    from openpyxl import Workbook

    book = Workbook()
    for line in TABLE.decode().splitlines():
        book.worksheets[0].append(line.split(";"))
    out = io.BytesIO()
    book.save(out)
    with zipfile.ZipFile(out) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


BOOK = _small_book()


def packed(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


_XML = (
    b"<row r='9999999'/>", b"<c r='ZZZZ1'/>", b"<c r='A1' t='s'><v>99999</v></c>", b"<v>1e309</v>", b"<c t='e'><v>x</v></c>",
    b"<c t='d'><v>2026-99-99</v></c>", b"&amp;", b"<!DOCTYPE x>", b"<mergeCell ref='A1:XFD1048576'/>", b"xml:space=''",
)  # fmt: skip


@st.composite
def books(draw: st.DrawFn) -> bytes:
    members = dict(BOOK)
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(members)))
        data = draw(damaged(members[name], most=3))
        at = draw(st.integers(0, len(data)))
        members[name] = data[:at] + draw(st.sampled_from((b"", *_XML))) + data[at:]
        if draw(st.integers(0, 9)) == 0:
            del members[name]
    return packed(members)


@SLOW
@given(books() | damaged(packed(BOOK)))
def test_workbooks(place: Path, data: bytes) -> None:
    imported(place, written(place, "systems.xlsx", data))


def test_the_templates_are_read(place: Path) -> None:
    for name, data in (("t.csv", CSV), ("t.xlsx", template_xlsx())):
        path = written(place, name, data)
        read(lambda path=path: import_table(path))
