"""The report as one self-contained file: everything but what merely passed, to mail or to print."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seccheck.reports import Options, Report
from seccheck.reports.overview import Overview, Row
from seccheck.reports.pages import Pages
from seccheck.reports.run import RunFolder
from seccheck.reports.site import Page, Site
from seccheck.reports.system_page import SystemPages

SPLIT = "\N{REPLACEMENT CHARACTER}pages\N{REPLACEMENT CHARACTER}"
"""Stands where the pages go while the frame around them is rendered; no page text can hold it twice."""


def write(run: RunFolder, out: Path, options: Options) -> None:
    """Write the report of `run` as the file `out`, page after page; systems that merely pass have a line."""
    site = Site(Overview(run, options), single=True)
    site.environment.globals["split"] = SPLIT
    pages = Pages(site)
    first = next(pages.all())()
    before, _, after = site.render(first, "single.html").partition(SPLIT)
    with out.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        file.write(before)
        for page in _in_order(site, pages):
            file.writelines(site.stream(page, "section.html"))
        file.write(after)


def _in_order(site: Site, pages: Pages) -> Iterator[Page]:
    """Pages in the order of reading, the systems of a unit after it. The list of all is the units' pages."""
    systems = SystemPages(site)
    reader = site.overview.run.reader()
    try:
        for make in pages.all():
            page = make()
            if page.key == "systems/all":
                continue
            yield page
            rows: list[Row] = page.data["rows"] if page.template == "unit" else []
            for row in rows:
                if row.has_work:
                    yield systems.page(row, reader)
    finally:
        reader.close()


REPORT = Report(id="html-single", extension="html", kind="file", write=write)
