"""Which pages an HTML report has, and what each shows; the systems' own pages are in `system_page`."""

from __future__ import annotations

import calendar
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from functools import cached_property, partial
from typing import Any

from seccheck.model import Status
from seccheck.reports.change import Change, change_of, trend_of
from seccheck.reports.counts import STATUSES, Counts
from seccheck.reports.overview import DOCUMENT_REASONS, Blocker, Coverage, Row
from seccheck.reports.pictures import shade, tiles_of
from seccheck.reports.run import Finding
from seccheck.reports.site import Page, Site, unit_key
from seccheck.reports.ways import Step

WAFFLE_MOST = 500
"""Above this many systems, bars tell more than squares."""
FINDINGS_MOST = 400
"""Up to so many open findings, the page of a unit shows the evidence of each."""
EVIDENCE_MOST = 3
"""Rows of evidence that it shows of one finding; the rest stands on the system's page."""
SOON = 3
"""Months before it expires that a document is marked."""
UNIT_ROWS = 40
"""So many units of a kind stand on the first page; the rest only on the page of all units."""


class Pages:
    """Makes every page of a site but the systems' own."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.overview = site.overview
        self.words = site.words
        self.language = site.language
        self.public = site.options.public

    def all(self) -> Iterator[Callable[[], Page]]:
        """What makes each page, the first one first: pages are large, and made where they are written."""
        if self.site.options.unit:
            yield partial(self.unit, self.site.options.unit)
        else:
            yield from (self.nation, self.way, self.units)
            for name, number in self.system_lists().items():
                if number:
                    yield partial(self.systems, name)
            yield self.matrix
            listed = {unit.id for part in self.overview.coverage() for unit in part.units}
            for unit in sorted(listed | self.overview.by_unit.keys()):
                yield partial(self.unit, unit)
        if self.change:
            yield partial(self.changed, self.change)
        yield self.criteria
        for criterion in self.overview.criteria:
            yield partial(self.criterion, criterion)
        yield self.about

    # ------------------------------------------------------------------------------------------ nation

    def nation(self) -> Page:
        """The first page: the figure, who has reported, what to do first, where the trouble lies."""
        overview = self.overview
        rows = sorted(overview.rows, key=lambda row: (STATUSES.index(row.status), row.unit, row.id))
        tiles = tiles_of(overview, self.words)
        hardest = overview.open_criteria()
        tables = []
        for part in overview.coverage():
            if part.kind != "locality" or not tiles:
                units = self._unit_rows(part)
                tables.append((part.kind, units[:UNIT_ROWS], max(0, len(units) - UNIT_ROWS)))
        return Page(
            key="index",
            template="nation",
            title=f"{self._number(overview.counts.meets)}/{self._number(overview.counts.reported)}",
            heading=self.site.first_name(),
            lead=self._nation_lead(),
            data={
                "counts": overview.counts,
                "bounds": self.bounds(overview.counts),
                "missing": sum(len(part.missing) for part in overview.coverage()),
                "papers": sum(any(one.reason in DOCUMENT_REASONS for one in row.advised) for row in rows),
                "waffle": rows if len(rows) <= WAFFLE_MOST else [],
                "coverage": overview.coverage(),
                "change": self.change,
                "change_line": self._change_line(),
                "steps": self.steps,
                "tiles": tiles,
                "hardest": hardest,
                "blocking": overview.blocking,
                "most": max((overview.blocking[one].open for one in hardest), default=1),
                "unit_tables": tables,
                "level_rows": [
                    ("", self._say("Level %(level)s") % {"level": level}, counts, "")
                    for level, counts in sorted(overview.by_level.items())
                ],
                "points": trend_of(overview),
            },
        )

    @cached_property
    def steps(self) -> list[Step]:
        """The shortest way up of all systems."""
        return self.overview.way_up()

    def way(self) -> Page:
        """All steps of the shortest way up."""
        return Page(
            key="way-up",
            template="way",
            title=self._say("The shortest way up"),
            crumbs=self._crumbs(),
            data={"steps": self.steps, "counts": self.overview.counts},
        )

    def units(self) -> Page:
        """Every unit with its figure, those that have not reported included."""
        tables = [(part, self._unit_rows(part)) for part in self.overview.coverage()]
        return Page("units", "units", self._say("Units"), crumbs=self._crumbs(), data={"tables": tables})

    def system_lists(self) -> dict[str, int]:
        """The lists behind the figures; 0 for those that are not written, as nothing leads there."""
        counts = self.overview.counts
        always = {"all": 1, "meets": 1, "does-not-meet": 1, "not-concluded": 1}
        return {**always, "unassessed": counts.unassessed, "waived": counts.with_waivers}

    def systems(self, name: str) -> Page:
        """One of the lists behind the figures: a status, all systems, or those that meet under a waiver."""
        say, overview = self._say, self.overview
        match name:
            case "all":
                title, lead = say("All systems"), say("Every system reported, by unit.")
                rows = overview.with_status(None)
            case "waived":
                title, lead = say("Systems that meet under a waiver"), self._waiver_lead()
                rows = overview.with_waiver()
            case _:
                title, lead = self.words.statuses[name], self._status_meanings()[name]
                rows = overview.with_status(Status(name))
        return Page(
            key=f"systems/{name}",
            template="systems",
            title=title,
            lead=lead,
            menu="systems/all",
            crumbs=self._crumbs(),
            data={"rows": rows},
        )

    def matrix(self) -> Page:
        """Criteria by unit: where the same trouble sits."""
        overview = self.overview
        columns = [one for one in overview.criteria if one in overview.blocking]
        lines = [
            (
                unit,
                self.site.unit_name(unit),
                [shade(overview.by_criterion_unit.get((one, unit)), counts.reported) for one in columns],
            )
            for part in overview.coverage()
            for unit in (entry.id for entry in part.units)
            if (counts := overview.by_unit.get(unit))
        ]
        return Page(
            key="matrix",
            template="matrix",
            title=self._say("Criteria by unit"),
            menu="criteria",
            lead=self._say(
                "Each number counts a unit's systems that fail or are not concluded; "
                "the darker, the greater their share. Criteria that are only advised are left out."
            ),
            crumbs=self._crumbs(("criteria", self._say("Criteria"))),
            data={"columns": columns, "lines": lines},
        )

    def changed(self, change: Change) -> Page:
        """What changed since the last of the earlier runs."""
        say = self._say
        return Page(
            key="change",
            template="change",
            title=say("What has changed"),
            crumbs=self._crumbs(),
            data={
                "change": change,
                "counts": self.overview.counts,
                "lists": [
                    (say("Meet now, did not before"), change.improved),
                    (say("Met before, do not now"), change.regressed),
                    (say("New systems"), change.new),
                ],
                "points": trend_of(self.overview),
            },
        )

    # ------------------------------------------------------------------------------------------ unit

    def unit(self, unit: str) -> Page:
        """The page of a unit: its figure, its systems, its work, its documents."""
        overview = self.overview
        rows = overview.of_unit(unit)
        counts = overview.by_unit.get(unit, Counts())
        steps = overview.way_up(unit)
        only = bool(self.site.options.unit)
        return Page(
            key=unit_key(unit),
            template="unit",
            title=self.site.unit_name(unit),
            menu=unit_key(unit) if only else "units",
            crumbs=[] if only else self._crumbs(("units", self._say("Units"))),
            data={
                "absence": "" if rows else self._absence(unit),
                "counts": counts,
                "bounds": self.bounds(counts),
                "rows": rows,
                "contact": self._contact(unit, rows),
                "steps": steps,
                "works": self._works(rows, [one for step in steps for one, _ in step.criteria]),
                "papers": [
                    (row, one) for row in rows for one in row.advised if one.reason in DOCUMENT_REASONS
                ],
                "documents": self._documents(rows),
                "change": self.change if only else None,
                "change_line": self._change_line() if only else "",
            },
        )

    def _absence(self, unit: str) -> str:
        if unit in self.overview.reporting:
            return self._say("This run did not look at the systems of this unit.")
        return self._say("This unit has not reported any system.")

    def _contact(self, unit: str, rows: list[Row]) -> str:
        if self.public:
            return ""
        entries = [self.overview.units.get(unit), *(self.overview.systems.get(row.id) for row in rows)]
        return ", ".join(dict.fromkeys(entry.contact for entry in entries if entry and entry.contact))

    def _works(self, rows: list[Row], order: list[str]) -> list[dict[str, Any]]:
        """The criteria to work on, in order of the steps, each with its systems."""
        by_criterion: dict[str, list[tuple[Row, Blocker]]] = {}
        for row in rows:
            for one in row.blockers:
                by_criterion.setdefault(one.criterion, []).append((row, one))
        seen = self._findings(rows)
        works = []
        for criterion in dict.fromkeys(order):
            if entry := self.overview.criteria.get(criterion):
                found = by_criterion[criterion]
                works.append(
                    {
                        "id": criterion,
                        "severity": self.words.severity(entry.severity),
                        "failed": any(one.verdict == "fail" for _, one in found),
                        "rows": [
                            (row, one, self._seen(row, one, seen.get((row.id, criterion), [])))
                            for row, one in found
                        ],
                        "remedy": self.site.remedy(entry, settings=not self._settings_apart),
                    }
                )
        return works

    @property
    def _settings_apart(self) -> bool:
        """Whether the settings of products stand once, with their criterion: in print, for many units."""
        return bool(self.site.margins) and not self.site.options.unit

    def _findings(self, rows: list[Row]) -> dict[tuple[str, str], list[Finding]]:
        """What holds the systems back, target by target, where it is few enough to stand on one page."""
        if self.public or sum(row.unfit for row in rows) > FINDINGS_MOST:
            return {}
        found: dict[tuple[str, str], list[Finding]] = {}
        reader = self.overview.run.reader()
        try:
            for row in rows:
                for one in reader.system(row.offset, row.length).findings if row.blockers else ():
                    if one.counted and one.verdict in {"fail", "inconclusive"}:
                        found.setdefault((row.id, one.criterion), []).append(one)
        finally:
            reader.close()
        return found

    def _seen(self, row: Row, blocker: Blocker, findings: list[Finding]) -> list[tuple[str, list[Any], str]]:
        """Where each finding is, its telling evidence, and why it is open."""
        entry = self.overview.systems.get(row.id)
        targets = {target.id: target.place for target in entry.targets} if entry else {}
        words = self.words
        if not findings:
            return [("", [], words.reasons.get(blocker.reason or "", ""))]
        return [
            (
                targets.get(one.target or "", one.target or ""),
                [
                    (row.fact, words.expected(row.expected), words.value(row.observed))
                    for row in one.evidence
                    if row.verdict == one.verdict and one.verdict == "fail"
                ][:EVIDENCE_MOST],
                words.reasons.get(one.reason or "", ""),
            )
            for one in findings
        ]

    def _documents(self, rows: list[Row]) -> list[dict[str, Any]]:
        """The documents of a unit's systems and what each answers, those that expire first at the top."""
        today = self.overview.scan.finished[:10]
        documents: dict[tuple[str, ...], dict[str, Any]] = {}
        for row in rows:
            entry = self.overview.systems.get(row.id)
            for criterion, document in entry.evidence.items() if entry else ():
                listed = self.overview.criteria.get(criterion)
                months = listed.months(row.level) if listed else None
                ends = months_after(document.issued, months) if document.issued and months else ""
                same = row.id, document.file, document.issued or "", ends
                one = documents.setdefault(
                    same,
                    {
                        "row": row,
                        "criteria": [],
                        "file": document.file,
                        "issuer": document.issuer,
                        "issued": document.issued,
                        "ends": ends,
                        "over": bool(ends) and ends < today,
                        "soon": bool(ends) and today <= ends < months_after(today, SOON),
                    },
                )
                one["criteria"].append((criterion, bool(listed)))
        return sorted(documents.values(), key=lambda one: (one["ends"] or "9", one["row"].id, one["file"]))

    # ------------------------------------------------------------------------------------------ criteria

    def criteria(self) -> Page:
        """All criteria, by level and kind of unit."""
        overview = self.overview
        levels = sorted(overview.by_level)
        kinds = [kind for kind in overview.kinds() if kind in overview.by_kind]
        lines = []
        for criterion in overview.criteria:
            cells = [overview.by_criterion_level.get((criterion, level)) for level in levels]
            cells += [overview.by_criterion_kind.get((criterion, kind)) for kind in kinds]
            lines.append(
                {
                    "id": criterion,
                    "advised": overview.criteria[criterion].advised,
                    "counts": overview.by_criterion[criterion],
                    "cells": [shade(counts) for counts in cells],
                }
            )
        applied = self._say("%(n)s of %(m)s criteria applied") % {
            "n": self._number(overview.scan.selection.criteria),
            "m": self._number(overview.scan.selection.of),
        }
        return Page(
            key="criteria",
            template="criteria",
            title=self._say("Criteria"),
            lead=f"{overview.run.criteria.set.name.get(self.language)}. {applied}.",
            crumbs=self._crumbs(),
            data={
                "levels": levels,
                "kinds": kinds,
                "parts": [
                    (name, title, [one for one in lines if one["advised"] is advised])
                    for name, title, advised in (
                        ("counted", self._say("Counted"), False),
                        ("advised", self._say("Advised: judged and shown, outside the tally"), True),
                    )
                ],
            },
        )

    def criterion(self, criterion: str) -> Page:
        """The page of a criterion: what it asks and why, how to mend, and who has it open."""
        overview = self.overview
        entry = overview.criteria[criterion]
        counts = overview.by_criterion[criterion]
        said = entry.said(self.language)
        return Page(
            key=f"criterion/{criterion}",
            template="criterion",
            title=f"{criterion} · {said}",
            menu="criteria",
            crumbs=self._crumbs(("criteria", self._say("Criteria"))),
            data={
                "criterion": entry,
                "row": counts,
                "sources": overview.run.criteria.sources,
                "remedy": self.site.remedy(entry),
                "values": [
                    (name, [entry.at_level(level)[name] for level in range(1, 6)])
                    for name in entry.parameters
                ],
                "lists": self._lists(criterion, passes=overview.few and not self.site.single),
                "unlisted": bool(counts.of("pass")) and not overview.few and not self.public,
            },
        )

    @cached_property
    def found(self) -> dict[str, dict[Blocker, list[Row]]]:
        """By criterion, the systems that do not simply pass."""
        found: dict[str, dict[Blocker, list[Row]]] = {}
        for row in self.overview.rows:
            seen = set()
            for one in (*row.blockers, *row.advised, *row.waived):
                if one.criterion not in seen:
                    seen.add(one.criterion)
                    found.setdefault(one.criterion, {}).setdefault(one, []).append(row)
        return found

    def _lists(self, criterion: str, *, passes: bool) -> list[tuple[str, list[Any], int]]:
        """The systems under each verdict, by unit; those that pass only in a run of moderate size."""
        found: dict[str, list[tuple[Row, Blocker | None]]] = {}
        for one, rows in self.found.get(criterion, {}).items():
            found.setdefault(one.verdict, []).extend((row, one) for row in rows)
        if passes and self.overview.by_criterion[criterion].of("pass"):
            passing = self.overview.passes[criterion]
            found["pass"] = [(self.overview.rows_by_id[system], None) for system in passing]
        return [
            (verdict, self._grouped(found[verdict]), len(found[verdict]))
            for verdict in ("fail", "inconclusive", "waived", "pass")
            if verdict in found
        ]

    def _grouped(
        self, found: Iterable[tuple[Row, Blocker | None]]
    ) -> list[tuple[str, list[tuple[Row, Blocker | None]]]]:
        groups: dict[str, list[tuple[Row, Blocker | None]]] = {}
        for row, one in found:
            groups.setdefault(row.unit, []).append((row, one))
        return [
            (self.site.unit_name(unit), sorted(rows, key=lambda found: found[0].id))
            for unit, rows in sorted(groups.items())
        ]

    # ------------------------------------------------------------------------------------------ words

    def about(self) -> Page:
        """How to read the report, and how it came about."""
        say = self._say
        verdicts = {
            "pass": say("Every part of the requirement held, on evidence that can be trusted."),
            "fail": say("A part did not hold, on evidence that can be trusted."),
            "inconclusive": say(
                "A part could not be decided. Not being able to look says nothing about the system."
            ),
            "waived": say("A waiver in force covers it; what was found stays visible."),
            "not-applicable": say(
                "By what the registry declares about the system, the criterion does not concern it."
            ),
        }
        hidden = self.public or self.site.options.unit
        return Page(
            key="about",
            template="about",
            title=say("How to read this report"),
            crumbs=self._crumbs(),
            data={
                "set_name": self.overview.run.criteria.set.name.get(self.language),
                "statuses": self._status_meanings(),
                "verdicts": verdicts,
                "command": "" if hidden else self.overview.scan.command,
            },
        )

    def bounds(self, counts: Counts) -> str:
        """How many do not meet, how many of them are open, and what that leaves the figure to be."""
        words = self.words
        if not counts.rest:
            return (
                self._say("All systems meet.") if counts.reported else self._say("No system was looked at.")
            )
        parts = [
            words.ngettext(
                "%(rest)s system does not meet all criteria.",
                "%(rest)s systems do not meet all criteria.",
                counts.rest,
            )
        ]
        if counts.not_concluded:
            parts.append(
                words.ngettext(
                    "%(doubt)s of them could not be concluded, because it could not be observed fully; "
                    "if it meets all, the figure is %(best)s.",
                    "%(doubt)s of them could not be concluded, because they could not be observed fully; "
                    "if all of those meet all, the figure is %(best)s.",
                    counts.not_concluded,
                )
            )
        elif not counts.unassessed:
            parts.append(self._say("Every system could be concluded."))
        if counts.unassessed:
            parts.append(
                words.ngettext(
                    "No criterion applied to %(none)s system.",
                    "No criterion applied to %(none)s systems.",
                    counts.unassessed,
                )
            )
        return " ".join(parts) % {
            "rest": self._number(counts.rest),
            "doubt": self._number(counts.not_concluded),
            "none": self._number(counts.unassessed),
            "best": f"{self._number(counts.best)}/{self._number(counts.reported)}",
        }

    @cached_property
    def change(self) -> Change | None:
        """What changed since the run before, or None."""
        return change_of(self.overview)

    def _change_line(self) -> str:
        change = self.change
        if not change:
            return ""
        return self._say(
            "%(difference)s systems meeting: %(improved)s now meet, %(regressed)s no longer do; "
            "%(new)s new, %(gone)s gone"
        ) % {
            "difference": self.words.signed(self.overview.counts.meets - change.meets),
            "improved": self._number(len(change.improved)),
            "regressed": self._number(len(change.regressed)),
            "new": self._number(len(change.new)),
            "gone": self._number(len(change.gone)),
        }

    def _nation_lead(self) -> str:
        if len(self.overview.rows) <= WAFFLE_MOST:
            return self._say("Each square is one registered system; it leads to the evidence.")
        return self._say("Every figure leads to the list behind it, and every list to the evidence.")

    def _status_meanings(self) -> dict[str, str]:
        say = self._say
        return {
            "meets": say("Every counted criterion that applies is passed; a waived one counts as met."),
            "does-not-meet": say("At least one counted criterion failed."),
            "not-concluded": say("Nothing failed, but at least one counted criterion could not be decided."),
            "unassessed": say("No counted criterion applies; such a system is never called compliant."),
        }

    def _waiver_lead(self) -> str:
        return self._say(
            "Somebody entitled to do so accepts a finding for a while; it counts as met until then."
        )

    def _crumbs(self, *more: tuple[str, str]) -> list[tuple[str, str]]:
        return [(self.site.first, self.site.first_name()), *more]

    def _unit_rows(self, part: Coverage) -> list[tuple[str, str, Counts | None, str]]:
        """(page, name, counts or None, why there are none) of each unit."""
        rows: list[tuple[str, str, Counts | None, str]] = []
        for unit in part.units:
            counts = self.overview.by_unit.get(unit.id)
            absence = self._say("has not reported")
            if unit.id in self.overview.reporting:
                absence = self._say("not looked at in this run")
            rows.append((unit_key(unit.id), self.site.unit_name(unit.id), counts, absence))
        return rows

    def _number(self, number: int) -> str:
        return self.words.number(number)

    def _say(self, text: str) -> str:
        return self.words.gettext(text)


def months_after(day: str, months: int) -> str:
    """The day `months` after `day`, the last of its month where the day is missing there."""
    try:
        start = date.fromisoformat(day)
    except ValueError:
        return ""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(start.day, last)).isoformat()
