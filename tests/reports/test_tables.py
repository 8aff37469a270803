"""CSV, XLSX and JSON: every finding is there, nothing is a formula, nobody sees more than he may."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile

import msgspec
import openpyxl
import pytest

from seccheck.reports import Options, xlsx
from seccheck.reports import csv as csv_report
from seccheck.reports import json as json_report
from seccheck.reports.run import RunFolder
from seccheck.reports.tables import Column, inert
from seccheck.reports.words import visible
from seccheck.reports.workbook import MOST_TEXT, Sheet, write_workbook
from tests.reports.sample import HOSTILE

FORMULAS = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    " =1",
    "\u00a0=1",
    "＝1+1",
    "＋1",
    "－1",
    "＠x",
    "\n=1",
)


def made(report, run, path, **options):
    report.write(RunFolder(run), path, Options(**options))
    return path


def rows_of(path):
    return list(csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline="")))


def results(run):
    return json.loads((run / "results.json").read_bytes())


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_taken_for_a_formula(text):
    assert inert(text) == f"'{visible(text)}"


@pytest.mark.parametrize("text", ["portal.example", "TLSv1.2", "3", "'", "", "Ủy ban", "(=1)", "a=b"])
def test_other_text_stays_as_it_is(text):
    assert inert(text) == text


def test_csv_holds_every_finding(tmp_path, run_folder):
    path = made(csv_report, run_folder, tmp_path / "out.csv", language="en")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    header, *rows = rows_of(path)
    findings = [(one["id"], each) for one in results(run_folder)["systems"] for each in one["findings"]]
    assert len(rows) == len(findings)
    assert all(len(row) == len(header) for row in rows)
    for row, (system, finding) in zip(rows, findings, strict=True):
        record = dict(zip(header, row, strict=True))
        assert (record["System id"], record["Criterion"]) == (system, finding["criterion"])
        assert record["Verdict"].lower().replace(" ", "-") in (finding["verdict"], "not-concluded")


def test_csv_of_hostile_servers_holds_no_formula(tmp_path, hostile_run):
    text = (hostile_run / "results.json").read_text("utf-8")
    evil = '=HYPERLINK(\\"http://evil.example\\")'
    (hostile_run.parent / "formulas").mkdir()
    run = hostile_run.parent / "formulas"
    for name in ("inputs",):
        (run / name).symlink_to(hostile_run / name)
    (run / "summary.json").write_bytes((hostile_run / "summary.json").read_bytes())
    (run / "results.json").write_text(
        text.replace(msgspec.json.encode(HOSTILE).decode()[1:-1], evil), "utf-8"
    )
    rows = rows_of(made(csv_report, run, tmp_path / "out.csv"))
    cells = [cell for row in rows for cell in row]
    assert any(cell.startswith("'=HYPERLINK") for cell in cells)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    text = made(csv_report, hostile_run, tmp_path / "raw.csv").read_text("utf-8-sig")
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def test_the_workbook_has_its_four_sheets(tmp_path, run_folder):
    path = made(xlsx, run_folder, tmp_path / "out.xlsx", language="vi")
    book = openpyxl.load_workbook(path)
    names = ["Hệ thống", "Phát hiện", "Đơn vị", "Việc cần làm"]
    assert book.sheetnames == [f"{name} (trình diễn)" for name in names]
    systems, findings, units, work = book.worksheets
    listed = zipfile.ZipFile(path).read("xl/workbook.xml").decode()
    for sheet in book:
        last = f"{sheet.cell(1, sheet.max_column).column_letter}${sheet.max_row}"
        assert f"'{sheet.title}'!$A$1:${last}</definedName>" in listed  # LibreOffice asks for it
        assert sheet.freeze_panes == "A2"
        assert sheet.auto_filter.ref == f"A1:{sheet.cell(1, sheet.max_column).column_letter}{sheet.max_row}"
        assert all(cell.font.bold for cell in sheet[1])
        assert all(cell.data_type != "f" for row in sheet for cell in row)
    data = results(run_folder)["systems"]
    unfit = [
        one
        for system in data
        for one in system["findings"]
        if one["verdict"] not in ("pass", "not-applicable")
    ]
    assert systems.max_row == len(data) + 1
    assert findings.max_row == len(unfit) + 1
    assert units.max_row == 93 + 1
    assert work.max_row > 28


def test_links_of_the_workbook_lead_to_the_same_system(tmp_path, run_folder):
    book = openpyxl.load_workbook(made(xlsx, run_folder, tmp_path / "out.xlsx", language="en"))
    for sheet, column in ((book.worksheets[0], 1), (book.worksheets[1], 1), (book.worksheets[3], 6)):
        linked = [cell for (cell,) in sheet.iter_rows(2, None, column, column) if cell.hyperlink]
        assert linked
        for cell in linked:
            name, place = cell.hyperlink.location.rsplit("!", 1)
            assert book[name.strip("'")][place].value == cell.value


def test_public_tables_hold_no_address_version_or_evidence(tmp_path, run_folder):
    public = {"public": True, "language": "en"}
    text = made(csv_report, run_folder, tmp_path / "out.csv", **public).read_text("utf-8-sig")
    text += made(json_report, run_folder, tmp_path / "out.json", **public).read_text("utf-8")
    book = openpyxl.load_workbook(made(xlsx, run_folder, tmp_path / "out.xlsx", **public))
    text += "\n".join(str(cell.value) for sheet in book for row in sheet for cell in row)
    assert "ha-noi-tthc" in text
    for secret in (
        "example.gov.vn",
        "10.0.0.",
        "TLSv1.0,",
        "Apache httpd 2.2.15",
        "ATTT-118",
        "sha256-etm",
        "Trung tâm",
    ):
        assert secret not in text


def test_tables_for_one_unit_hold_nothing_of_others(tmp_path, run_folder):
    own = {"unit": "ha-noi", "language": "vi"}
    text = made(csv_report, run_folder, tmp_path / "out.csv", **own).read_text("utf-8-sig")
    text += made(json_report, run_folder, tmp_path / "out.json", **own).read_text("utf-8")
    book = openpyxl.load_workbook(made(xlsx, run_folder, tmp_path / "out.xlsx", **own))
    text += "\n".join(str(cell.value) for sheet in book for row in sheet for cell in row)
    registry = json.loads((run_folder / "inputs/registry.json").read_bytes())
    for system in registry["systems"]:
        assert (system["id"] in text) == (system["unit"] == "ha-noi")
        assert (system["targets"][0]["host"] in text) == (system["unit"] == "ha-noi")


def test_json_is_the_results_themselves(tmp_path, run_folder):
    path = made(json_report, run_folder, tmp_path / "out.json")
    assert path.read_bytes() == (run_folder / "results.json").read_bytes()


@pytest.mark.parametrize("options", [{"unit": "ha-noi"}, {"public": True}])
def test_a_narrower_json_re_adds(tmp_path, run_folder, options):
    path = made(json_report, run_folder, tmp_path / "out.json", **options)
    document = json.loads(path.read_bytes())
    statuses = [one["status"] for one in document["systems"]]
    assert document["tally"]["systems"]["reported"] == len(statuses)
    assert document["tally"]["systems"]["meets"] == statuses.count("meets")
    for criterion, numbers in document["tally"]["by_criterion"].items():
        judged = [
            each for one in document["systems"] for each in one["findings"] if each["criterion"] == criterion
        ]
        assert sum(numbers.values()) == len(judged)


def test_rows_that_no_sheet_holds_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr("seccheck.reports.workbook.MOST_ROWS", 4)
    rows = ([f"row {n}", n] for n in range(10))
    write_workbook(tmp_path / "out.xlsx", [Sheet("a", [Column("x"), Column("y")], rows)], "t")
    sheet = openpyxl.load_workbook(tmp_path / "out.xlsx").active
    assert [row[1].value for row in sheet.iter_rows(min_row=2)] == [0, 1, 2]


def test_any_text_makes_a_workbook_that_opens(tmp_path):
    texts = [
        "\x00\x1b[31m",
        "<b>&\"'",
        "\ud800",
        "\ufffe",
        "_x0041_",
        "a\nb",
        "=1+1",
        "x" * 40_000,
        "🜁",
        " s ",
    ]
    write_workbook(tmp_path / "out.xlsx", [Sheet("a", [Column("x")], ([text] for text in texts))], "<&>")
    sheet = openpyxl.load_workbook(tmp_path / "out.xlsx").active
    values = [row[0].value for row in sheet.iter_rows(min_row=2)]
    assert values[1] == "<b>&\"'"
    assert values[4] == "_x005F_x0041_"
    assert values[6] == "=1+1"
    assert len(values[7]) == MOST_TEXT
    assert values[8:] == ["🜁", " s "]


def test_the_same_run_gives_the_same_workbook(tmp_path, run_folder):
    first, second = (made(xlsx, run_folder, tmp_path / name) for name in ("a.xlsx", "b.xlsx"))
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}
