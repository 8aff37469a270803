"""The pages of an HTML report: what each one shows, and how they link, in a folder or in one file."""

from __future__ import annotations

import base64
import calendar
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from seccheck.model import Status
from seccheck.reports.overview import (
    DOCUMENT_REASONS,
    STATUSES,
    Blocker,
    Counts,
    Coverage,
    Overview,
    Row,
    VerdictCounts,
)
from seccheck.reports.system_page import SystemPages, remedy_text
from seccheck.reports.words import Words
from seccheck.resources import bundled

if TYPE_CHECKING:
    from jinja2 import Environment

WAFFLE_MOST = 500
"""Above this many systems, bars tell more than squares."""
LIST_PASSES = 500
"""Up to this many systems, a criterion's page lists those that pass as well."""
UNIT_ROWS = 40
SHAPES = {
    "meets": "meets", "does-not-meet": "does-not-meet", "not-concluded": "not-concluded", "unassessed": "unassessed",
    "pass": "meets", "fail": "does-not-meet", "inconclusive": "not-concluded", "waived": "unassessed",
}  # fmt: skip
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)


def file_name(name: str) -> str:
    """An id as a file name that every system accepts (Windows keeps `con`, `nul` and others for itself)."""
    return f"{name}~" if _RESERVED.match(name) or name.endswith(".") else name


@dataclass(frozen=True)
class Links:
    """Where pages lie, seen from one of them."""

    root: str = ""
    extension: str = ".html"
    single: bool = False
    index: str = ""
    """The page that stands first instead of the nation's, in an edition for one unit."""

    def to(self, page: str, name: str = "") -> str:
        """The address of `page`, or of a place in it."""
        page = "index" if page == self.index else page
        if self.single:
            return f"#{self.anchor(page, name)}"
        extension = ".html" if page == "index" else self.extension
        return f"{self.root}{page}{extension}{'#' if name else ''}{name}"

    def anchor(self, page: str, name: str = "") -> str:
        """What a place in a page is called."""
        if not self.single:
            return name
        return f"{page}--{name}" if name else page

    def key(self, row: Row) -> str:
        """The page of a system."""
        return f"system/{file_name(row.unit)}/{file_name(row.id)}"

    def system(self, row: Row, name: str = "") -> str:
        """The address of a system's page, or of a finding on it."""
        return self.to(self.key(row), name)

    def finding(self, one: Blocker) -> str:
        """What a finding is called on its system's page."""
        return finding_name(one.criterion, one.target)


def finding_name(criterion: str, target: str | None) -> str:
    """What the finding of a criterion and target is called on its system's page."""
    return f"{criterion}.{re.sub(r'[^A-Za-z0-9._-]', '_', target)}" if target else criterion


@dataclass
class Page:
    """One page: which template, under which title, with what."""

    key: str
    template: str
    title: str
    menu: str = ""
    crumbs: list[tuple[str, str]] = field(default_factory=list)
    heading: str = ""
    lead: str = ""
    bounds: str = ""
    change: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.heading = self.heading or self.title
        self.menu = self.menu or self.key


class Tile(NamedTuple):
    """A locality on the map."""

    unit: str
    column: int
    row: int
    lines: list[str]
    value: str
    shape: str
    name: str
    title: str


class Tiles(NamedTuple):
    """The map."""

    width: int
    height: int
    tiles: list[Tile]


class Site:
    """All pages of one report but the systems' own, which `SystemPages` makes."""

    def __init__(self, overview: Overview, *, single: bool = False) -> None:
        self.overview = overview
        self.options = overview.options
        self.scan = overview.scan
        self.language = overview.options.language
        self.words = Words(self.language, narrowed=self.scan.selection.narrowed)
        self.say = self.words.gettext
        self.single = single
        self.extension = ".demo.html" if self.scan.demonstration else ".html"
        self.first = f"unit/{file_name(self.options.unit)}" if self.options.unit else ""
        self.systems = SystemPages(overview, self.words, brief=single)

    # ------------------------------------------------------------------------------------------ rendering

    @cached_property
    def environment(self) -> Environment:
        """The templates, autoescaping, with everything that is the same on every page."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        environment = Environment(
            loader=FileSystemLoader(bundled("report_templates")),
            autoescape=True,
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            trim_blocks=True,
            lstrip_blocks=True,
            cache_size=100,
        )
        environment.install_gettext_callables(  # type: ignore[attr-defined]
            self.words.gettext, self.words.ngettext, newstyle=True
        )
        overview, words = self.overview, self.words
        environment.globals.update(
            words=words,
            scan=self.scan,
            public=self.options.public,
            unit=self.options.unit,
            review=overview.registry_name(self.language),
            set_line=self._set_line(),
            set_name=overview.run.criteria.set.name.get(self.language),
            menu=self._menu(),
            reference=self._reference(),
            results_digest=overview.run.results_digest,
            signature=self.options.signature,
            short=short_digest,
            shape=SHAPES,
            plain=plain,
            statement=self.statement,
            names=lambda system: overview.system_name(system, self.language),
            unit_names=lambda unit: overview.unit_name(unit, self.language),
            policy=self.policy,
        )
        if self.single:
            environment.globals["style"] = Markup(self.style)  # noqa: S704 - our own style sheet
        return environment

    @cached_property
    def style(self) -> str:
        """The style sheet with both faces of the font inside."""
        folder = bundled("report_templates")
        faces = "".join(
            f'@font-face{{font-family:"Be Vietnam Pro";font-weight:{weight};font-display:swap;'
            f"src:url(data:font/woff2;base64,{_base64(folder / 'fonts' / f'be-vietnam-pro-{weight}.woff2')}) "
            'format("woff2")}\n'
            for weight in (400, 600)
        )
        return faces + (folder / "report.css").read_text("utf-8")

    @cached_property
    def policy(self) -> str:
        """The content security policy: no script, nothing from elsewhere.

        `file:` stands beside 'self' because some browsers never match 'self' on pages opened from a disk.
        """
        if self.single:
            digest = hashlib.sha256(self.style.encode()).digest()
            style = f"'sha256-{base64.b64encode(digest).decode()}'"
        else:
            style = "'self' file:"
        return (
            f"default-src 'none'; style-src {style}; font-src data:; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        )

    def links(self, key: str) -> Links:
        """The links as seen from the page `key`."""
        return Links("../" * key.count("/"), self.extension, self.single, self.first)

    def path(self, key: str) -> str:
        """The file of the page `key`, below the report's folder."""
        return Links("", self.extension, index=self.first).to(key)

    def render(self, page: Page) -> str:
        """The whole page."""
        key = "index" if page.key == self.first else page.key
        template = self.environment.get_template("base.html")
        return template.render(page=page, links=self.links(key), **page.data)

    def render_system(self, row: Row, reader: Any) -> str:
        """The whole page of a system."""
        return self.render(self.system_page(row, reader))

    def system_page(self, row: Row, reader: Any) -> Page:
        """The page of a system."""
        key = Links().key(row)
        name = self.overview.system_name(row.id, self.language)
        unit = f"unit/{file_name(row.unit)}"
        crumbs = [("index", self._first_name()), (unit, self.overview.unit_name(row.unit, self.language))]
        return Page(
            key=key,
            template="system",
            title=name,
            crumbs=crumbs[1:] if self.options.unit else crumbs,
            data=self.systems.data(row, self.links(key), reader),
        )

    # ------------------------------------------------------------------------------------------ pages

    def pages(self) -> Iterator[Page]:
        """Every page but the systems' own."""
        if self.options.unit:
            yield self.unit_page(self.options.unit)
        else:
            yield self._nation()
            yield self._units()
            yield from self._system_lists()
            for unit in sorted(self.overview.units.keys() | self.overview.by_unit.keys()):
                yield self.unit_page(unit)
            yield self._way()
            yield self._matrix()
        if self.change:
            yield self._change()
        yield self._criteria()
        for criterion in self.overview.criteria:
            yield self.criterion_page(criterion)
        yield self._about()

    def _nation(self) -> Page:
        overview, words = self.overview, self.words
        rows = sorted(overview.rows, key=lambda row: (STATUSES.index(row.status), row.unit, row.id))
        tiles = self._tiles()
        steps = overview.way_up()
        hardest = overview.open_criteria()
        links = self.links("index")
        tables = []
        for part in overview.coverage():
            if part.kind == "locality" and tiles:
                continue
            rows_of_kind = self._unit_rows(part, links)
            tables.append((part.kind, rows_of_kind[:UNIT_ROWS], max(0, len(rows_of_kind) - UNIT_ROWS)))
        return Page(
            key="index",
            template="nation",
            title=f"{words.number(overview.counts.meets)}/{words.number(overview.counts.reported)}",
            heading=self._first_name(),
            lead=self._nation_lead(),
            bounds=self.bounds(overview.counts),
            change=self._change_line(),
            data={
                "counts": overview.counts,
                "waffle": rows if len(rows) <= WAFFLE_MOST else [],
                "coverage": overview.coverage(),
                "change": self.change,
                "steps": steps,
                "tiles": tiles,
                "hardest": hardest,
                "blocking": overview.blocking,
                "most": max((overview.blocking[one].open for one in hardest), default=1),
                "unit_tables": tables,
                "level_rows": [
                    ("", self.say("Level %(level)s") % {"level": level}, overview.by_level[level])
                    for level in sorted(overview.by_level)
                ],
                "points": overview.trend(),
            },
        )

    def _units(self) -> Page:
        links = self.links("units")
        tables = [(part, self._unit_rows(part, links)) for part in self._all_coverage()]
        return Page("units", "units", self.say("Units"), crumbs=self._crumbs(), data={"tables": tables})

    def _system_lists(self) -> Iterator[Page]:
        overview = self.overview
        for status in (*STATUSES, None, "waived"):
            if status == "waived":
                rows = [row for row in overview.with_status(None) if row.waived]
                title, lead = (
                    self.say("Systems with a waiver"),
                    self.say(
                        "Somebody entitled to do so accepts a finding for a while; it counts as met until then."
                    ),
                )
            elif status is None:
                rows, title = overview.with_status(None), self.say("All systems")
                lead = self.say("Every system reported, by unit.")
            else:
                rows, title = overview.with_status(Status(status)), self.words.statuses[status]
                lead = self.status_meanings()[status]
            name = status or "all"
            yield Page(
                f"systems/{name}", "systems", title, lead=lead, crumbs=self._crumbs(), data={"rows": rows}
            )

    def unit_page(self, unit: str) -> Page:
        """The page of a unit: its figure, its systems, its work."""
        overview = self.overview
        rows = overview.of_unit(unit)
        entry = overview.units.get(unit)
        contacts = {overview.systems[row.id].contact for row in rows if row.id in overview.systems}
        contacts.add(entry.contact if entry else None)
        steps = overview.way_up(unit)
        name = overview.unit_name(unit, self.language)
        papers = [(row, one) for row in rows for one in row.advised if one.reason in DOCUMENT_REASONS]
        return Page(
            key=f"unit/{file_name(unit)}",
            template="unit",
            title=name,
            menu="units",
            crumbs=[] if self.options.unit else self._crumbs(("units", self.say("Units"))),
            bounds=self.bounds(overview.by_unit.get(unit, Counts())),
            data={
                "counts": overview.by_unit.get(unit, Counts()),
                "rows": rows,
                "contact": "" if self.options.public else ", ".join(sorted(filter(None, contacts))),
                "steps": steps,
                "works": self._works(rows, [one for step in steps for one, _ in step.criteria]),
                "papers": papers,
                "documents": [] if self.options.public else self._documents(rows),
            },
        )

    def criterion_page(self, criterion: str) -> Page:
        """The page of a criterion: what it asks and why, how to mend, and who has it open."""
        overview = self.overview
        entry = overview.criteria[criterion]
        counts = overview.by_criterion[criterion]
        unlisted = len(overview.rows) > LIST_PASSES
        return Page(
            key=f"criterion/{criterion}",
            template="criterion",
            title=f"{criterion} {entry.said(self.language)}",
            heading=entry.said(self.language),
            menu="criteria",
            crumbs=self._crumbs(("criteria", self.say("Criteria"))),
            data={
                "criterion": entry,
                "row": counts,
                "sources": overview.run.criteria.sources,
                "remedy": remedy_text(entry, self.language),
                "values": [
                    (name, [entry.at_level(level)[name] for level in range(1, 6)])
                    for name in entry.parameters
                ],
                "lists": self._lists(criterion, unlisted=unlisted),
                "unlisted": unlisted and counts.of("pass") and not self.options.public,
            },
        )

    def _criteria(self) -> Page:
        overview = self.overview
        levels, kinds = (
            sorted(overview.by_level),
            [kind for kind in overview.kinds() if kind in overview.by_kind],
        )
        lines = []
        for criterion in overview.criteria:
            cells = [overview.by_criterion_level.get((criterion, level)) for level in levels]
            cells += [overview.by_criterion_kind.get((criterion, kind)) for kind in kinds]
            lines.append(
                {
                    "id": criterion,
                    "advised": overview.criteria[criterion].advised,
                    "counts": overview.by_criterion[criterion],
                    "cells": [_shade(counts) for counts in cells],
                }
            )
        lead = self.say("%(n)s of %(m)s criteria applied") % {
            "n": self.words.number(self.scan.selection.criteria),
            "m": self.words.number(self.scan.selection.of),
        }
        return Page(
            "criteria",
            "criteria",
            self.say("Criteria"),
            lead=f"{overview.run.criteria.set.name.get(self.language)}. {lead}.",
            crumbs=self._crumbs(),
            data={"levels": levels, "kinds": kinds, "lines": lines},
        )

    def _matrix(self) -> Page:
        overview = self.overview
        columns = [one for one in overview.criteria if overview.by_criterion[one].open]
        lines = []
        for part in self._all_coverage():
            for unit in overview.units_of(part.kind):
                counts = overview.by_unit.get(unit.id)
                if counts:
                    cells = [
                        _shade(overview.by_criterion_unit.get((one, unit.id)), counts.reported)
                        for one in columns
                    ]
                    lines.append((unit.id, unit.name.get(self.language), cells))
        return Page(
            "matrix",
            "matrix",
            self.say("Criteria by unit"),
            menu="criteria",
            lead=self.say(
                "Each number counts a unit's systems that fail or are not concluded; the darker, the greater their share."
            ),
            crumbs=self._crumbs(("criteria", self.say("Criteria"))),
            data={"columns": columns, "lines": lines},
        )

    def _way(self) -> Page:
        return Page(
            "way-up",
            "way",
            self.say("The shortest way up"),
            crumbs=self._crumbs(),
            data={"steps": self.overview.way_up(), "counts": self.overview.counts},
        )

    def _change(self) -> Page:
        change = self.change
        assert change  # noqa: S101 - the caller asked
        lists = [
            (self.say("Meet now, did not before"), change.improved),
            (self.say("Met before, do not now"), change.regressed),
            (self.say("New systems"), change.new),
        ]
        return Page(
            "change",
            "change",
            self.say("What has changed"),
            crumbs=self._crumbs(),
            data={
                "change": change,
                "counts": self.overview.counts,
                "lists": lists,
                "points": self.overview.trend(),
            },
        )

    def _about(self) -> Page:
        say = self.say
        verdicts = [
            ("pass", say("Every part of the requirement held, on evidence that can be trusted.")),
            ("fail", say("A part did not hold, on evidence that can be trusted.")),
            ("inconclusive", say("A part could not be decided. Not being able to look says nothing about the system.")),
            ("waived", say("A waiver in force covers it; what was found stays visible.")),
            ("not-applicable", say("By what the registry declares about the system, the criterion does not concern it.")),
        ]  # fmt: skip
        return Page(
            "about",
            "about",
            say("How to read this report"),
            crumbs=self._crumbs(),
            data={
                "statuses": list(self.status_meanings().items()),
                "verdicts": verdicts,
                "command": "" if self.options.public or self.options.unit else self.scan.command,
            },
        )

    # ------------------------------------------------------------------------------------------ parts

    def statement(self, criterion: str) -> str:
        """What a criterion asks, with the values of all levels."""
        entry = self.overview.criteria.get(criterion)
        return entry.said(self.language) if entry else criterion

    def status_meanings(self) -> dict[str, str]:
        """What each status of a system means."""
        say = self.say
        return {
            "meets": say("Every counted criterion that applies is passed; a waived one counts as met."),
            "does-not-meet": say("At least one counted criterion failed."),
            "not-concluded": say("Nothing failed, but at least one counted criterion could not be decided."),
            "unassessed": say("No counted criterion applies; such a system is never called compliant."),
        }

    def bounds(self, counts: Counts) -> str:
        """How many do not meet, how many of them are open, and what that leaves the figure to be."""
        words, parts = self.words, []
        if not counts.rest:
            return (
                self.say("All systems meet.") if counts.reported else self.say("No system has been reported.")
            )
        parts.append(
            words.ngettext(
                "%(rest)s system does not meet all criteria.",
                "%(rest)s systems do not meet all criteria.",
                counts.rest,
            )
            % {"rest": words.number(counts.rest)}
        )
        if counts.not_concluded:
            parts.append(
                words.ngettext(
                    "%(doubt)s of them could not be concluded, because it could not be observed fully; if it meets all, the figure is %(best)s.",
                    "%(doubt)s of them could not be concluded, because they could not be observed fully; if all of those meet all, the figure is %(best)s.",
                    counts.not_concluded,
                )
                % {
                    "doubt": words.number(counts.not_concluded),
                    "best": f"{words.number(counts.best)}/{words.number(counts.reported)}",
                }
            )
        if counts.unassessed:
            parts.append(
                words.ngettext(
                    "No criterion applied to %(num)s system.",
                    "No criterion applied to %(num)s systems.",
                    counts.unassessed,
                )
                % {"num": words.number(counts.unassessed)}
            )
        return " ".join(parts)

    @cached_property
    def change(self) -> Any:
        """What changed since the run before, or None."""
        return self.overview.change()

    def _change_line(self) -> str:
        change = self.change
        if not change:
            return ""
        return self.say(
            "%(difference)s systems meeting; %(improved)s improved, %(regressed)s fell back, %(new)s new, %(gone)s gone"
        ) % {
            "difference": self.words.signed(self.overview.counts.meets - change.meets),
            "improved": self.words.number(len(change.improved)),
            "regressed": self.words.number(len(change.regressed)),
            "new": self.words.number(len(change.new)),
            "gone": self.words.number(len(change.gone)),
        }

    def _first_name(self) -> str:
        national = (self.overview.run.registry.unit_list or "").startswith("vn-")
        return self.say("National summary") if national else self.say("Summary")

    def _nation_lead(self) -> str:
        if len(self.overview.rows) <= WAFFLE_MOST:
            return self.say("Each square is one registered system; it leads to the evidence.")
        return self.say("Every figure leads to the list behind it, and every list to the evidence.")

    def _set_line(self) -> str:
        profile = {"technical": self.say("technical profile"), "full": self.say("full profile")}
        name = self.scan.criteria.profile
        return f"{self.overview.run.criteria.set.name.get(self.language)} · {profile.get(name, name)}"

    def _menu(self) -> list[tuple[str, str]]:
        say = self.say
        if self.options.unit:
            first = (self.first, say("Summary"))
            return [first, ("criteria", say("Criteria")), ("about", say("How to read this report"))]
        return [
            ("index", self._first_name()),
            ("units", say("Units")),
            ("systems/all", say("Systems")),
            ("criteria", say("Criteria")),
            ("way-up", say("The shortest way up")),
            ("about", say("How to read this report")),
        ]

    def _crumbs(self, *more: tuple[str, str]) -> list[tuple[str, str]]:
        if self.options.unit:
            return [(self.first, self.overview.unit_name(self.options.unit, self.language)), *more]
        return [("index", self._first_name()), *more]

    def _reference(self) -> list[tuple[str, str]]:
        reference = self.scan.reference if isinstance(self.scan.reference, dict) else {}
        rows = []
        for name, value in sorted(reference.items()):
            day = value.get("date") if isinstance(value, dict) else value
            if isinstance(day, str) and re.match(r"\d{4}-\d\d-\d\d", day):
                rows.append((self.words.reference(name), day))
        return rows

    def _all_coverage(self) -> list[Coverage]:
        listed = {part.kind: part for part in self.overview.coverage()}
        return [listed[kind] for kind in self.overview.kinds() if kind in listed]

    def _unit_rows(self, part: Coverage, links: Links) -> list[tuple[str, str, Counts | None]]:
        overview = self.overview
        return [
            (
                links.to(f"unit/{file_name(unit.id)}"),
                unit.name.get(self.language) or unit.id,
                overview.by_unit.get(unit.id),
            )
            for unit in overview.units_of(part.kind)
        ]

    def _tiles(self) -> Tiles | None:
        layouts = json.loads((bundled("report_templates") / "tiles.json").read_text("utf-8"))
        layout = layouts.get(self.overview.run.registry.unit_list or "")
        if not layout:
            return None
        tiles = []
        for unit in self.overview.units_of("locality"):
            if unit.id in layout:
                column, row = layout[unit.id]
                counts = self.overview.by_unit.get(unit.id)
                name = unit.name.get(self.language)
                short = layouts["short"].get(unit.id, {}).get(self.language)
                lines = [short] if short else _two_lines(name)
                shape, value, title = "missing", "–", self.say("has not reported")
                if counts:
                    shape, value = _unit_shape(counts), f"{counts.meets}/{counts.reported}"
                    title = value
                tiles.append(Tile(unit.id, column, row, lines, value, shape, name, title))
        if not tiles:
            return None
        return Tiles(max(tile.column for tile in tiles) + 1, max(tile.row for tile in tiles) + 1, tiles)

    def _works(self, rows: list[Row], order: list[str]) -> list[dict[str, Any]]:
        works = []
        for criterion in dict.fromkeys(order):
            entry = self.overview.criteria.get(criterion)
            found = [(row, one) for row in rows for one in row.blockers if one.criterion == criterion]
            if entry:
                works.append(
                    {
                        "id": criterion,
                        "severity": entry.severity,
                        "failed": any(one.verdict == "fail" for _, one in found),
                        "rows": found,
                        "remedy": remedy_text(entry, self.language),
                    }
                )
        return works

    def _documents(self, rows: list[Row]) -> list[dict[str, Any]]:
        documents = []
        today = self.scan.finished[:10]
        for row in rows:
            entry = self.overview.systems.get(row.id)
            for criterion, document in entry.evidence.items() if entry else ():
                listed = self.overview.criteria.get(criterion)
                months = listed.months(row.level) if listed else None
                ends = _months_after(document.issued, months) if document.issued and months else ""
                documents.append(
                    {
                        "row": row,
                        "criterion": criterion,
                        "file": document.file,
                        "issuer": document.issuer,
                        "issued": document.issued,
                        "ends": ends,
                        "over": bool(ends) and ends < today,
                    }
                )
        return sorted(documents, key=lambda one: (one["ends"] or "9", one["criterion"], one["row"].id))

    def _lists(self, criterion: str, *, unlisted: bool) -> list[tuple[str, list[Any], int]]:
        """The systems under each verdict worth listing, by unit."""
        found: dict[str, list[tuple[Row, Blocker]]] = {}
        for row in self.overview.rows:
            for one in (*row.blockers, *row.advised, *row.waived):
                if one.criterion == criterion:
                    found.setdefault(one.verdict, []).append((row, one))
        return [
            (verdict, self._grouped(found[verdict]), len(found[verdict]))
            for verdict in ("fail", "inconclusive", "waived")
            if verdict in found
        ]

    def _grouped(self, found: Iterable[tuple[Row, Blocker]]) -> list[tuple[str, str, list[Any]]]:
        groups: dict[str, list[tuple[Row, Blocker]]] = {}
        for row, one in found:
            groups.setdefault(row.unit, []).append((row, one))
        return [
            (unit, self.overview.unit_name(unit, self.language), rows)
            for unit, rows in sorted(groups.items())
        ]


def plain(counts: Counts) -> list[tuple[str, int]]:
    """Counts by status, as the bars take them."""
    return [(status.value, number) for status, number in counts.parts]


def short_digest(digest: str) -> str:
    """The beginning and end of a digest."""
    return f"{digest[:15]}…{digest[-6:]}" if len(digest) > 24 else digest


def _base64(path: Any) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _shade(counts: VerdictCounts | None, whole: int = 0) -> tuple[int, int]:
    """How dark a cell is (0 to 4) by the share that does not pass, and the number in it."""
    if counts is None or not counts.open:
        return 0, 0
    share = counts.open / (whole or counts.applicable)
    return (1 if share <= 0.1 else 2 if share <= 0.25 else 3 if share <= 0.5 else 4), counts.open


def _unit_shape(counts: Counts) -> str:
    if counts.does_not_meet:
        return "does-not-meet"
    return "not-concluded" if counts.not_concluded else "meets" if counts.meets else "unassessed"


def _two_lines(name: str) -> list[str]:
    """The bare name of a locality in at most two lines."""
    bare = re.sub(r"^(Tỉnh|Thành phố) | (Province|City)$", "", name)
    words = bare.split()
    if len(words) < 2:
        return [bare]
    half = (len(words) + 1) // 2
    return [" ".join(words[:half]), " ".join(words[half:])]


def _months_after(day: str, months: int) -> str:
    """The day `months` after `day`, the last of its month where the day is missing there."""
    try:
        start = date.fromisoformat(day)
    except ValueError:
        return ""
    count = start.year * 12 + start.month - 1 + months
    year, month = divmod(count, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(start.day, last)).isoformat()
