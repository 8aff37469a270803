"""What the page of a system says: each finding, what was expected and seen, when, and what to do."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from markupsafe import Markup, escape

from seccheck.reports.overview import Row, redacted
from seccheck.reports.repeat import by_hand, host_of, where
from seccheck.reports.run import Evidence, Finding, Reader, Seen, TargetEntry
from seccheck.reports.site import Links, Page, Site, finding_name, system_key, unit_key

ORDER = {"fail": 0, "inconclusive": 1, "waived": 2}
ALIKE = 4
"""From so many criteria on, a common reason is said once."""
BRIEF = 160
"""How much of what was seen stands beside a criterion that passed."""


@dataclass(slots=True)
class Shown:
    """One open finding as its page shows it. Text that is not `Markup` is escaped by the template."""

    rank: tuple[Any, ...]
    blocks: bool
    """Whether it keeps its system from meeting all criteria."""
    look: str
    anchor: str
    head: Markup
    place: str
    why: Markup
    waiver: str
    evidence: list[tuple[str, str, str, bool]]
    omitted: str
    when: Markup
    remedy: Markup
    repeat: list[str]


@dataclass(slots=True)
class Alike:
    """Criteria of one target that are not concluded for one and the same reason: said once."""

    blocks: bool
    look: str
    title: str
    place: str
    why: Markup
    when: Markup
    repeat: list[str]
    criteria: list[tuple[str, Markup]]
    """Anchor, and the cells of id and statement."""


Brief = tuple[str, Markup, str, str, Markup]
"""A criterion that passed, in a row: anchor, id and statement as cells, target, what was seen, looks."""


@dataclass(slots=True)
class Look:
    """One observation that findings of a system rest on."""

    mark: int
    anchor: str
    probe: str
    where: str
    when: str
    connections: int
    digest: str


@dataclass(slots=True)
class Place:
    """What the parts of one page share: the system, how to link, what was seen."""

    row: Row
    key: str
    links: Links
    targets: dict[str, TargetEntry]
    marks: dict[str, int]
    seen: dict[str, Seen | None]
    whens: dict[tuple[str, ...], Markup]


class SystemPages:
    """Makes the pages of systems. What many systems share is rendered once and kept."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.overview = site.overview
        self.words = site.words
        self.public = site.options.public
        self._blocks: Any = site.environment.get_template("blocks.html").module
        self._kept: dict[tuple[Any, ...], Markup] = {}
        say = site.words.gettext
        self._say = SimpleNamespace(
            evidence=escape(say("Evidence")),
            fact=escape(say("Fact")),
            expected=escape(say("Expected")),
            observed=escape(say("Observed")),
            repeat=escape(say("How to repeat")),
        )

    def _once(self, key: tuple[Any, ...], make: Callable[[], Markup]) -> Markup:
        """What `make` gave the first time it was asked for `key`."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def page(self, row: Row, reader: Reader) -> Page:
        """The page of a system."""
        site = self.site
        crumbs = [(site.first, site.first_name())]
        if not site.options.unit:
            crumbs.append((unit_key(row.unit), site.unit_name(row.unit)))
        return Page(
            key=system_key(row),
            template="system",
            title=site.name(row.id),
            menu="systems/all",
            crumbs=crumbs,
            data=self._data(row, reader),
        )

    def _data(self, row: Row, reader: Reader) -> dict[str, Any]:
        system = reader.system(row.offset, row.length)
        if self.public:
            system = redacted(system)
        entry = self.overview.systems.get(row.id)
        marks = _marks(system.findings)
        at = Place(
            row=row,
            key=system_key(row),
            links=self.site.links(system_key(row)),
            targets={target.id: target for target in entry.targets} if entry else {},
            marks=marks,
            seen={digest: reader.observation(digest) for digest in marks},
            whens={},
        )
        like = _alike(system.findings)
        together = {id(one) for findings in like for one in findings}
        opened = [
            self._shown(one, at)
            for one in system.findings
            if one.verdict in ORDER and id(one) not in together
        ]
        opened.sort(key=lambda one: one.rank)
        alike = [self._alike(findings, at) for findings in like]
        say = self.words.gettext
        passed = [one for one in system.findings if one.verdict == "pass"]
        brief = self.site.single
        return {
            "row": row,
            "entry": entry,
            "summary": self._summary(row, system.findings),
            "groups": [
                (
                    title,
                    [one for one in opened if one.blocks is blocks],
                    [one for one in alike if one.blocks is blocks],
                )
                for title, blocks in ((say("Open findings"), True), (say("Advised and waived"), False))
            ],
            "passed_count": len(passed),
            "passed": [] if brief else [self._brief(one, at) for one in passed],
            "absent": [
                (one.criterion, at.links.criterion(one.criterion))
                for one in system.findings
                if one.verdict == "not-applicable"
            ],
            "looks": [] if brief else self._looks(at),
            "say": self._say,
        }

    # ------------------------------------------------------------------------------------------ parts

    def _summary(self, row: Row, findings: tuple[Finding, ...]) -> str:
        words = self.words
        if row.blockers:
            return words.ngettext(
                "%(num)s criterion stands in the way.",
                "%(num)s criteria stand in the way.",
                len(row.blockers),
            ) % {"num": words.number(len(row.blockers))}
        if not any(one.verdict in {"pass", "waived"} for one in findings):
            return words.gettext("No counted criterion applies; such a system is never called compliant.")
        return words.gettext("Every counted criterion that applies is passed or waived.")

    def _shown(self, one: Finding, at: Place) -> Shown:
        target = at.targets.get(one.target or "")
        looks = [look for digest in one.observations if (look := at.seen.get(digest))]
        advised = "" if one.counted else " advised"
        rank = ORDER[one.verdict], self.overview.severity(one.criterion), one.criterion
        return Shown(
            rank=(*rank, one.target or ""),
            blocks=one.counted and one.verdict != "waived",
            look=f"finding v-{one.verdict}{advised}",
            anchor=at.links.anchor(at.key, finding_name(one)),
            head=self._head(one, at),
            place=target.place if target else one.target or "",
            why=self._why(one, looks),
            waiver=self._waiver(one),
            evidence=[self._row(evidence) for evidence in one.evidence],
            omitted=self._omitted(one.evidence_omitted),
            when=self._when(one.observations, looks, at),
            remedy=self._remedy(one.criterion, at.row.level),
            repeat=[] if self.public else self._repeat(one, at.row, target, looks),
        )

    def _alike(self, findings: list[Finding], at: Place) -> Alike:
        first, words = findings[0], self.words
        target = at.targets.get(first.target or "")
        looks = [look for digest in first.observations if (look := at.seen.get(digest))]
        return Alike(
            blocks=first.counted,
            look=f"finding v-inconclusive{'' if first.counted else ' advised'}",
            title=words.gettext("%(num)s criteria are not concluded, for one and the same reason")
            % {"num": words.number(len(findings))},
            place=target.place if target else first.target or "",
            why=self._why(first, looks),
            when=self._when(first.observations, looks, at),
            repeat=[] if self.public else self._repeat(first, at.row, target, looks),
            criteria=[
                (at.links.anchor(at.key, finding_name(one)), self._cells(one.criterion, at))
                for one in findings
            ],
        )

    def _cells(self, criterion: str, at: Place) -> Markup:
        """The id, linked, and the statement of a criterion, as cells."""
        level = at.row.level
        return self._once(
            ("cells", criterion, level),
            lambda: self._blocks.passed(
                criterion, at.links.criterion(criterion), self._statement(criterion, level)
            ),
        )

    def _statement(self, criterion: str, level: int) -> str:
        entry = self.overview.criteria.get(criterion)
        return entry.said(self.words.language, level) if entry else ""

    def _head(self, one: Finding, at: Place) -> Markup:
        by_document = one.decided_by == "document"
        key = "head", one.criterion, at.row.level, one.verdict, one.severity, one.counted, by_document
        return self._once(
            key,
            lambda: self._blocks.head(
                one.criterion,
                at.links.criterion(one.criterion),
                self._statement(one.criterion, at.row.level),
                one.verdict,
                one.severity,
                one.counted,
                by_document,
            ),
        )

    def _why(self, one: Finding, looks: list[Seen]) -> Markup:
        if not one.reason:
            return Markup("")
        details = sorted({text for text in (one.detail, *(look.detail for look in looks)) if text})
        if details:
            why: Markup = self._blocks.why(one.reason, details)
            return why
        return self._once(("why", one.reason), lambda: self._blocks.why(one.reason, ()))

    def _when(self, observations: tuple[str, ...], looks: list[Seen], at: Place) -> Markup:
        if not looks:
            return Markup("")
        if observations not in at.whens:
            at.whens[observations] = self._blocks.when(looks[:3])
        return at.whens[observations]

    def _remedy(self, criterion: str, level: int) -> Markup:
        entry = self.overview.criteria.get(criterion)
        if not entry:
            return Markup("")
        return self._once(
            ("remedy", criterion, level), lambda: self._blocks.remedy(self.site.remedy(entry, level))
        )

    def _brief(self, one: Finding, at: Place) -> Brief:
        marks = tuple(at.marks[digest] for digest in one.observations)
        held = [self.words.value(row.observed) for row in one.evidence if row.verdict == "pass"][:3]
        seen = held[0] if len(held) == 1 else "; ".join(dict.fromkeys(held))
        return (
            finding_name(one),
            self._cells(one.criterion, at),
            "" if self.public else one.target or "",
            f"{seen[:BRIEF]}…" if len(seen) > BRIEF else seen,
            self._once(("marks", marks), lambda: self._blocks.marks(marks)),
        )

    def _row(self, evidence: Evidence) -> tuple[str, str, str, bool]:
        expected = self.words.expected(evidence.expected)
        return evidence.fact, expected, self.words.value(evidence.observed), evidence.verdict == "fail"

    def _waiver(self, one: Finding) -> str:
        if not one.waiver:
            return ""
        say, note = self.words.gettext, one.waiver
        text = say("%(reason)s (approved by %(who)s, until %(until)s)") % {
            "reason": note.reason,
            "who": note.approved_by,
            "until": self.words.day(note.until or "–"),
        }
        verdict = self.words.verdicts.get(one.observed_verdict, one.observed_verdict)
        found = say("found: %(verdict)s") % {"verdict": verdict}
        return " · ".join(part for part in (text, note.ticket, found) if part)

    def _omitted(self, number: int) -> str:
        if not number:
            return ""
        return self.words.ngettext("and %(num)s more row", "and %(num)s more rows", number) % {
            "num": self.words.number(number)
        }

    def _looks(self, at: Place) -> list[Look]:
        return [
            Look(
                mark=mark,
                anchor=at.links.anchor(at.key, f"look-{mark}"),
                probe=look.probe,
                where=where(look),
                when=self.words.time(look.finished or look.started),
                connections=look.connections,
                digest=digest.removeprefix("sha256:")[:12],
            )
            for digest, mark in at.marks.items()
            if (look := at.seen.get(digest))
        ]

    def _repeat(self, one: Finding, row: Row, target: TargetEntry | None, looks: list[Seen]) -> list[str]:
        """Commands that look again: by hand, and with seccheck."""
        scan = self.overview.scan
        commands = [command for look in looks[:1] if (command := by_hand(look, target))]
        if target and target.port:
            place = shlex.quote(f"{target.service or 'https'}://{host_of(target)}:{target.port}")
            chosen = f"-c {shlex.quote(scan.criteria.set)} --select {one.criterion}"
            commands.append(f"seccheck gate --target {place} --as-level {row.level} {chosen}")
        commands.append(f"seccheck explain {shlex.quote('runs/' + scan.id)} {row.id} {one.criterion}")
        return commands


def _alike(findings: tuple[Finding, ...]) -> list[list[Finding]]:
    """What is not concluded about one target for one reason, where it is more than a few."""
    groups: dict[tuple[Any, ...], list[Finding]] = {}
    for one in findings:
        if one.verdict == "inconclusive" and one.reason:
            same = one.counted, one.target, one.reason, one.detail, one.observations
            groups.setdefault(same, []).append(one)
    return [group for group in groups.values() if len(group) >= ALIKE]


def _marks(findings: tuple[Finding, ...]) -> dict[str, int]:
    """The observations of a system, numbered in the order in which findings name them."""
    marks: dict[str, int] = {}
    for finding in findings:
        for digest in finding.observations:
            marks.setdefault(digest, len(marks) + 1)
    return marks
