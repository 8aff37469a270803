"""The report as one file and as PDF; the family of report plugins."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from seccheck.errors import PluginError
from seccheck.reports import Options, document, html_single, load_reports
from seccheck.reports import pdf as pdf_report
from seccheck.reports.run import RunFolder
from tests.reports.sample import Sample, write_run
from tests.tools import tool


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("small") / "run", Sample(systems=12))


def single(run, path, **options):
    html_single.write(RunFolder(run), path, Options(**options))
    return path.read_text("utf-8")


def test_one_file_holds_every_page_and_all_its_links(tmp_path, later_run, run_folder):
    text = single(later_run, tmp_path / "a.html", language="vi", previous=(run_folder,))
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    links = re.findall(r' href="([^"]*)"', text)
    assert {link[1:] for link in links if link != "data:,"} - set(ids) == set()
    assert all(link.startswith("#") or link == "data:," for link in links)
    assert text.count("<!doctype") == text.count("<main") == text.count("</html>") == 1
    assert "110" in re.search(r'<div class="figure">.*?</div>', text)[0]


def test_one_file_for_one_unit_holds_nothing_of_others(tmp_path, run_folder):
    text = single(run_folder, tmp_path / "a.html", language="vi", unit="ha-noi")
    links = {link[1:] for link in re.findall(r' href="(#[^"]*)"', text)}
    assert links - set(re.findall(r' id="([^"]*)"', text)) == set()
    assert "ha-noi-tthc" in text
    assert "an-giang" not in text
    assert "An Giang" not in text


def test_one_public_file_holds_no_address(tmp_path, run_folder):
    text = single(run_folder, tmp_path / "a.html", public=True)
    assert "example.gov.vn" not in text.replace("portal.example", "")
    assert "ATTT-118" not in text


def test_pdf_is_printed_by_chromium(tmp_path, small_run):
    tool("chromium")
    pdf_report.write(RunFolder(small_run), tmp_path / "a.pdf", Options(language="vi"))
    data = (tmp_path / "a.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert b"/Outlines" in data
    text = subprocess.run(
        [tool("pdftotext"), "-layout", tmp_path / "a.pdf", "-"], check=True, capture_output=True, text=True
    ).stdout
    sheets = text.split("\f")[:-1]
    assert all(sheet.rstrip().endswith(f"{n} / {len(sheets)}") for n, sheet in enumerate(sheets, 1))
    contents = next(sheet for sheet in sheets if "Mục lục" in sheet).partition("Mục lục")[2]
    listed = re.findall(r"^ *(\S.*?)  +(\d+)$", contents, re.MULTILINE)
    assert len(listed) > 5
    for title, number in listed:
        assert title[:24] in sheets[int(number) - 1], title


def test_the_document_to_print_says_what_it_leaves_out(tmp_path, run_folder):
    document.write(RunFolder(run_folder), tmp_path / "a.html", Options(language="vi"), {})
    text = (tmp_path / "a.html").read_text("utf-8")
    assert "Nội dung không in trong tài liệu này" in text
    assert "Lần quan sát" not in text
    links = set(re.findall(r' href="#([^"]*)"', text))
    assert links <= set(re.findall(r' id="([^"]*)"', text))
    open_units = {
        one["unit"]
        for one in json.loads((run_folder / "results.json").read_bytes())["systems"]
        if one["status"] != "meets"
    }
    assert set(re.findall(r'<section class="page[^"]*" id="unit/([^"]*)"', text)) == open_units


def test_the_document_for_one_unit_has_its_findings_and_nothing_of_others(tmp_path, run_folder):
    document.write(RunFolder(run_folder), tmp_path / "a.html", Options(language="vi", unit="ha-noi"), {})
    text = (tmp_path / "a.html").read_text("utf-8")
    assert "An Giang" not in text
    assert "an-giang" not in text


def test_sheets_are_found_in_any_tree_of_pages():
    pdf = (
        b"%PDF-1.4\n1 0 obj\n<</Type /Catalog /Dests 9 0 R>>\nendobj\n"
        b"2 0 obj\n<</Type /Pages /Kids [3 0 R 6 0 R]>>\nendobj\n"
        b"3 0 obj\n<</Type /Pages /Parent 2 0 R /Kids [5 0 R 4 0 R]>>\nendobj\n"
        b"4 0 obj\n<</Type /Page /Parent 3 0 R>>\nendobj\n5 0 obj\n<</Type /Page /Parent 3 0 R>>\nendobj\n"
        b"6 0 obj\n<</Type /Page /Parent 2 0 R>>\nendobj\n"
        b"9 0 obj\n<</units [4 0 R /XYZ 0 1 0]\n/unit#2Fx [6 0 R /XYZ 0 1 0]>>\nendobj\n"
    )
    assert pdf_report.sheets(pdf) == {"units": 2, "unit/x": 3}
    assert pdf_report.sheets(b"%PDF-1.4 something else") == {}


def test_without_a_browser_the_next_step_is_named(tmp_path, small_run, monkeypatch):
    monkeypatch.setattr(pdf_report, "BROWSERS", ("no-such-browser",))
    with pytest.raises(PluginError, match=r"html-single"):
        pdf_report.write(RunFolder(small_run), tmp_path / "a.pdf", Options())


def test_reports_are_found_as_plugins():
    assert {"csv", "html", "html-single", "json", "pdf", "xlsx"} <= load_reports().keys()
    assert all(report.id == name for name, report in load_reports().items())


def test_file_names_say_whose_data_it_is(small_run):
    run = RunFolder(small_run)
    report = load_reports()["csv"]
    assert report.file_name(run, Options(language="vi")) == "2024-06-08-quy-2-vi-demo.csv"
    assert (
        report.file_name(run, Options(unit="mic", public=True)) == "2024-06-08-quy-2-mic-public-vi-demo.csv"
    )
    assert load_reports()["html"].file_name(run, Options()) == "2024-06-08-quy-2-vi-demo"
