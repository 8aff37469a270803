"""The report as one file and as PDF; the family of report plugins."""

from __future__ import annotations

import re

import pytest

from seccheck.errors import PluginError
from seccheck.reports import Options, html_single, load_reports, pdf
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
    pdf.write(RunFolder(small_run), tmp_path / "a.pdf", Options(language="vi"))
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "a.pdf").read_bytes())) > 5


def test_without_a_browser_the_next_step_is_named(tmp_path, small_run, monkeypatch):
    monkeypatch.setattr(pdf, "BROWSERS", ("no-such-browser",))
    with pytest.raises(PluginError, match=r"html-single"):
        pdf.write(RunFolder(small_run), tmp_path / "a.pdf", Options())


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
