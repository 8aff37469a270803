"""What the page of a system says: each finding, what was expected and seen, when, and what to do."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from markupsafe import Markup, escape

from seccheck.reports.overview import Row, redacted
from seccheck.reports.repeat import by_hand, host_of, where
from seccheck.reports.run import CriterionEntry, Evidence, Finding, Reader, Seen, TargetEntry
from seccheck.reports.site import Links, Page, Site, finding_name, system_key, unit_key

ORDER = {"fail": 0, "inconclusive": 1, "waived": 2}
BRIEF = 160
"""How much of what was seen stands beside a criterion that passed."""


def remedy_text(criterion: CriterionEntry, language: str, level: int = 0) -> Markup:
    """How to mend: the sentence, then the settings of each product."""
    sentence = criterion.remedy.get(language) or criterion.remedy.get("en", "")
    if level:
        for name, value in criterion.at_level(level).items():
            sentence = sentence.replace(f"{{{name}}}", value)
    text = Markup("<p>{}</p>").format(sentence) if sentence else Markup("")
    for product, setting in criterion.remedy.items():
        if product not in {"vi", "en"}:
            text += Markup('<p class="product">{}</p><pre>{}</pre>').format(product, setting)
    return text


@dataclass(slots=True)
class Shown:
    """One open finding as its page shows it. Text that is not `Markup` is escaped by the template."""

    criterion: str
    criterion_link: str
    anchor: str
    statement: Markup
    verdict: str
    counted: bool
    badge: Markup
    severity: Markup
    place: str
    by_document: bool
    reason: Markup | str
    details: list[str]
    waiver: str
    evidence: list[tuple[str, str, str, bool]]
    omitted: str
    when: str
    remedy: Markup
    repeat: list[str]


Brief = tuple[str, Markup, str, Markup]
"""A criterion that passed, in a row of a table: anchor, id and statement as cells, what was seen, looks."""


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


class SystemPages:
    """Makes the pages of systems. Texts of criteria are escaped once, not for every system."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.overview = site.overview
        self.words = site.words
        self.public = site.options.public
        self._statements: dict[tuple[str, int], Markup] = {}
        self._remedies: dict[tuple[str, int], Markup] = {}
        self._rows: dict[tuple[str, int], Markup] = {}
        self._looked: dict[tuple[int, ...], Markup] = {}
        words = site.words
        self._badges = {
            verdict: Markup('<span class="badge b-{}">{}</span>').format(verdict, name)
            for verdict, name in words.verdicts.items()
        }
        self._severities = {name: escape(words.severity(name)) for name in words.severities}
        self._reasons = {name: escape(text) for name, text in words.reasons.items()}
        say = words.gettext
        self._say = SimpleNamespace(
            why=escape(say("Why")),
            waiver=escape(say("Waiver")),
            seen=escape(say("Evidence")),
            fact=escape(say("Fact")),
            expected=escape(say("Expected")),
            observed=escape(say("Observed")),
            when=escape(say("When")),
            remedy=escape(say("Remedy")),
            repeat=escape(say("How to repeat")),
            advised=escape(say("advised: outside the tally")),
            document=escape(say("decided by a document")),
            id=escape(say("Id")),
            criterion=escape(say("Criterion")),
            look=escape(say("Observation")),
        )

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
        )
        opened = [self._shown(one, at) for one in system.findings if one.verdict in ORDER]
        opened.sort(key=self._order)
        passed = [one for one in system.findings if one.verdict == "pass"]
        brief = self.site.single
        return {
            "row": row,
            "entry": entry,
            "summary": self._summary(row, system.findings),
            "open": opened,
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

    def _order(self, one: Shown) -> tuple[Any, ...]:
        return ORDER[one.verdict], not one.counted, self.overview.severity(one.criterion), one.criterion

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

    def _statement(self, criterion: str, level: int) -> Markup:
        key = criterion, level
        if key not in self._statements:
            entry = self.overview.criteria.get(criterion)
            self._statements[key] = escape(entry.said(self.words.language, level) if entry else "")
        return self._statements[key]

    def _remedy(self, criterion: str, level: int) -> Markup:
        key = criterion, level
        if key not in self._remedies:
            entry = self.overview.criteria.get(criterion)
            self._remedies[key] = remedy_text(entry, self.words.language, level) if entry else Markup("")
        return self._remedies[key]

    def _shown(self, one: Finding, at: Place) -> Shown:
        target = at.targets.get(one.target or "")
        looks = [look for digest in one.observations if (look := at.seen.get(digest))]
        return Shown(
            criterion=one.criterion,
            criterion_link=at.links.criterion(one.criterion),
            anchor=at.links.anchor(at.key, finding_name(one)),
            statement=self._statement(one.criterion, at.row.level),
            verdict=one.verdict,
            counted=one.counted,
            badge=self._badges[one.verdict],
            severity=self._severities.get(one.severity, escape(one.severity)),
            place=target.place if target else one.target or "",
            by_document=one.decided_by == "document",
            reason=self._reasons.get(one.reason, escape(one.reason)) if one.reason else "",
            details=sorted({text for text in (one.detail, *(look.detail for look in looks)) if text}),
            waiver=self._waiver(one),
            evidence=[self._row(evidence) for evidence in one.evidence],
            omitted=self._omitted(one.evidence_omitted),
            when=self._when(looks),
            remedy=self._remedy(one.criterion, at.row.level),
            repeat=[] if self.public else self._repeat(one, at.row, target, looks),
        )

    def _brief(self, one: Finding, at: Place) -> Brief:
        seen = "; ".join(dict.fromkeys(row.observed for row in one.evidence[:3]))
        return (
            finding_name(one),
            self._cells(one.criterion, at),
            f"{seen[:BRIEF]}…" if len(seen) > BRIEF else self.words.value(seen),
            self._look_links(tuple(at.marks[digest] for digest in one.observations)),
        )

    def _cells(self, criterion: str, at: Place) -> Markup:
        key = criterion, at.row.level
        if key not in self._rows:
            self._rows[key] = Markup('<td class="id"><a href="{}">{}</a></td><td>{}</td>').format(
                at.links.criterion(criterion), criterion, self._statement(criterion, at.row.level)
            )
        return self._rows[key]

    def _look_links(self, marks: tuple[int, ...]) -> Markup:
        if marks not in self._looked:
            links = [Markup('<a href="#look-{}">{}</a>').format(mark, mark) for mark in marks]
            self._looked[marks] = Markup(", ").join(links)
        return self._looked[marks]

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

    def _when(self, looks: list[Seen]) -> str:
        said = [
            self.words.gettext("%(time)s, by the probe %(probe)s at %(where)s")
            % {
                "time": self.words.time(look.finished or look.started),
                "probe": look.probe,
                "where": where(look),
            }
            for look in looks[:3]
        ]
        return "; ".join(dict.fromkeys(said))

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


def _marks(findings: tuple[Finding, ...]) -> dict[str, int]:
    """The observations of a system, numbered in the order in which findings name them."""
    marks: dict[str, int] = {}
    for finding in findings:
        for digest in finding.observations:
            marks.setdefault(digest, len(marks) + 1)
    return marks
