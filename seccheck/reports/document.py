"""The report as a document to print: what a ministry reads on paper, with contents and page numbers.

The nation, the way up, the units, the criteria, the work of each unit that has some, and the remedies. What
passed, every observation and the pages of systems are left to the HTML report and to editions for one unit;
the page of contents says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from seccheck.reports import Options
from seccheck.reports.html_single import SPLIT
from seccheck.reports.overview import LIST_PASSES, Overview
from seccheck.reports.pages import Pages
from seccheck.reports.run import RunFolder
from seccheck.reports.site import Page, Site, unit_key
from seccheck.reports.system_page import SystemPages

CONTENTS = "contents"
_LINK = re.compile(r' href="#([^"]*)"')
_NAME = re.compile(r' id="([^"]*)"')


def write(run: RunFolder, out: Path, options: Options, places: Mapping[str, int]) -> None:
    """Write the document as the HTML file `out`; `places`: on which sheet each page begins, once known."""
    overview = Overview(run, options)
    site = Site(overview, single=True, margins=_margins(overview, options.language))
    site.environment.globals["split"] = SPLIT
    document = Document(site, places)
    first, *rest = document.pages()
    before, _, after = site.render(first, "single.html").partition(SPLIT)
    contents = document.contents([first, *rest])
    parts = [before]
    for page in (first, contents, *rest):
        parts.extend(site.stream(page, "section.html"))
    parts.append(after)
    out.write_text(_without_dead_links("".join(parts)), "utf-8", errors="backslashreplace")


class Document:
    """Which pages a printed report has, and their contents."""

    def __init__(self, site: Site, places: Mapping[str, int]) -> None:
        self.site = site
        self.places = places
        self._pages = Pages(site)

    def pages(self) -> list[Page]:
        """The pages in the order of reading, without the contents."""
        return list(self._of_unit() if self.site.options.unit else self._of_nation())

    def _of_nation(self) -> Iterator[Page]:
        pages, overview = self._pages, self.site.overview
        yield pages.nation()
        if pages.change:
            yield pages.changed(pages.change)
        if pages.steps:
            yield pages.way()
        yield pages.units()
        yield pages.criteria()
        if overview.blocking:
            yield pages.matrix()
        if not self.shortened:
            for part in overview.coverage():
                for unit in part.units:
                    if any(row.blockers for row in overview.of_unit(unit.id)):
                        yield pages.unit(unit.id)
        for criterion in overview.criteria:
            if criterion in overview.blocking:
                yield pages.criterion(criterion)
        if not self.shortened:
            yield pages.systems("all")
        yield pages.about()

    def _of_unit(self) -> Iterator[Page]:
        pages, overview = self._pages, self.site.overview
        unit = self.site.options.unit
        yield pages.unit(unit)
        if pages.change:
            yield pages.changed(pages.change)
        systems, reader = SystemPages(self.site), overview.run.reader()
        try:
            for row in overview.of_unit(unit):
                if row.blockers:
                    yield systems.page(row, reader)
        finally:
            reader.close()
        yield pages.about()

    @property
    def shortened(self) -> bool:
        """Whether the run is so large that the work of single units is left to their own editions."""
        return len(self.site.overview.rows) > LIST_PASSES

    def contents(self, pages: list[Page]) -> Page:
        """The page of contents, with what is left out."""
        say = self.site.words.gettext
        entries = [
            (page.key, page.title if page.key != "index" else page.heading, self.places.get(page.key))
            for page in pages
        ]
        left = [
            say("Criteria that were passed, each with what was observed"),
            say("Observations one by one, and the commands that repeat them"),
        ]
        if self.shortened:
            left.append(say("The work of each unit, and the list of all systems, in a run of this size"))
        return Page(
            key=CONTENTS,
            template="contents",
            title=say("Contents"),
            data={
                "entries": entries,
                "left": left,
                "nested": [unit_key(unit) for unit in self.site.overview.units],
            },
        )


def _margins(overview: Overview, language: str) -> str:
    """The running header and the page numbers, as a style sheet (CSS Paged Media, margin boxes)."""
    site_name = overview.registry_name(language)
    day = overview.scan.finished[:10]
    font = 'font: 8pt "Be Vietnam Pro", sans-serif; color: #515d6d'
    return (
        f"@page {{ margin: 20mm 14mm 16mm; @top-left {{ content: {_quoted(site_name)}; {font}; }} "
        f"@top-right {{ content: {_quoted(f'{overview.scan.id} · {day}')}; {font}; }} "
        f'@bottom-right {{ content: counter(page) " / " counter(pages); {font}; }} }}\n'
    )


def _quoted(text: str) -> str:
    """`text` as a CSS string: every sign that could end it, or the style element, is escaped."""
    return '"' + "".join(f"\\{ord(one):x} " if one in '"\\<>\n\r\f' else one for one in text) + '"'


def _without_dead_links(text: str) -> str:
    """The document without links to pages that it leaves out."""
    names = set(_NAME.findall(text))
    return _LINK.sub(lambda link: link[0] if link[1] in names else "", text)
