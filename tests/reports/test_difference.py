"""What changed between two runs, as one page."""

from __future__ import annotations

import json
import re

import pytest

from seccheck.comparison import compare
from seccheck.reports import Options, difference
from seccheck.reports.run import RunFolder
from tests.reports.sample import Sample, write_run
from tests.reports.test_html import Page, numbers


def page_of(old, new, out, language="vi"):
    difference.REPORT.save(RunFolder(new), out, Options(language=language, previous=(old,)))
    return Page(out)


def results(folder):
    return json.loads((folder / "results.json").read_bytes())["systems"]


@pytest.mark.parametrize("language", ["vi", "en"])
def test_the_page_says_what_the_comparison_says(tmp_path, run_folder, later_run, language):
    page = page_of(run_folder, later_run, tmp_path / "diff.html", language)
    comparison = compare(results(run_folder), results(later_run))
    table = re.search(r"<table.*?</table>", page.source, re.DOTALL)[0]
    rows = [numbers(re.sub("<[^>]*>", " ", row)) for row in re.findall(r"<tr>.*?</tr>", table)[1:]]
    kinds = ("regressed", "new", "gone", "improved")
    assert rows == [
        [comparison.count(kind), sum(one.change == kind for one in comparison.findings)] for kind in kinds
    ]
    assert comparison.count("improved") == 14
    for one in comparison.systems:
        assert one.system in page.text
    assert "96/124 → 110/124" in page.text
    assert {link[1:] for link in page.links} <= set(page.ids)


def test_what_is_worse_new_and_gone_is_named_even_where_only_the_earlier_run_knows_it(tmp_path, run_folder):
    few = write_run(tmp_path / "few", Sample(systems=100, seed=7))
    page = page_of(run_folder, few, tmp_path / "back.html")
    gone = {one["id"] for one in results(run_folder)} - {one["id"] for one in results(few)}
    assert len(gone) == 24
    assert all(system in page.text for system in gone)
    assert page.source.index('id="systems-regressed"') < page.source.index('id="systems-improved"')


def test_hostile_names_stay_text_and_nothing_runs(tmp_path, hostile_run, run_folder):
    page = page_of(run_folder, hostile_run, tmp_path / "diff.html")
    assert page.elements["script"] == page.elements["img"] == 0
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "style"]
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page.source)[1]
    assert policy.startswith("default-src &#39;none&#39;; style-src &#39;sha256-")


def test_a_page_that_cannot_hold_every_finding_says_so(tmp_path, monkeypatch, run_folder, later_run):
    monkeypatch.setattr(difference, "MOST", 3)
    assert "seccheck diff --json" in page_of(run_folder, later_run, tmp_path / "diff.html").text
