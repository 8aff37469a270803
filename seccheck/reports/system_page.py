"""What the page of one system says: each finding with what was expected, seen, when, and what to do about it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
from markupsafe import Markup, escape

from seccheck.reports.overview import Overview, Row, redacted
from seccheck.reports.run import CriterionEntry, Evidence, Finding, Reader, Seen, SystemEntry, TargetEntry
from seccheck.reports.words import Words

if TYPE_CHECKING:
    from seccheck.reports.site import Links

ORDER = {"fail": 0, "inconclusive": 1, "waived": 2}
URLS = {"http", "https"}
STARTTLS = {"smtp": "smtp", "smtps": "", "submission": "smtp", "imap": "imap", "pop3": "pop3", "ftp": "ftp", "ldap": "ldap", "postgresql": "postgres", "mysql": "mysql"}  # fmt: skip


def remedy_text(criterion: CriterionEntry, language: str, level: int = 0) -> Markup:
    """How to mend: the sentence, then the settings of each product."""
    other = "en" if language == "vi" else "vi"
    sentence = criterion.remedy.get(language) or criterion.remedy.get(other, "")
    if level:
        for name, value in criterion.at_level(level).items():
            sentence = sentence.replace(f"{{{name}}}", value)
    text = Markup("<p>{}</p>").format(sentence) if sentence else Markup("")
    for product, setting in criterion.remedy.items():
        if product not in {"vi", "en"}:
            text += Markup('<p class="note">{}</p><pre>{}</pre>').format(product, setting)
    return text


@dataclass(slots=True)
class Shown:
    """One finding as its page shows it; every text not marked safe is escaped by the template."""

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
    remedy: Markup | str
    repeat: list[str]


@dataclass(slots=True)
class Brief:
    """One finding in a row of a table."""

    criterion: str
    criterion_link: str
    anchor: str
    statement: Markup
    brief: str
    looks: Markup


@dataclass(slots=True)
class Look:
    """One observation a system's findings rest on."""

    mark: int
    anchor: str
    probe: str
    where: str
    when: str
    connections: int
    digest: str


class SystemPages:
    """Makes what the pages of systems show. Texts of criteria are escaped once, not for every system."""

    def __init__(self, overview: Overview, words: Words, *, brief: bool = False) -> None:
        self.overview = overview
        self.words = words
        self.brief = brief
        """Leave out what passed: in one file there is no room for it."""
        self.public = overview.options.public
        self._statements: dict[tuple[str, int], Markup] = {}
        self._remedies: dict[tuple[str, int], Markup] = {}
        say = words.gettext
        self.say = SimpleNamespace(
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
        self._badges = {
            verdict: Markup('<span class="badge b-{}">{}</span>').format(verdict, name)
            for verdict, name in words.verdicts.items()
        }
        self._severities = {
            name: escape(say("severity: %(severity)s") % {"severity": text})
            for name, text in words.severities.items()
        }
        self._reasons = {name: escape(text) for name, text in words.reasons.items()}

    def data(self, row: Row, links: Links, reader: Reader) -> dict[str, Any]:
        """Everything the template of a system's page needs."""
        system = reader.system(row.offset, row.length)
        if self.public:
            system = redacted(system)
        entry = self.overview.systems.get(row.id)
        targets = {target.id: target for target in entry.targets} if entry else {}
        marks = self._marks(system.findings)
        seen = {} if self.public else {digest: reader.observation(digest) for digest in marks}
        key = links.key(row)
        opened, passed, absent = [], [], []
        for one in system.findings:
            if one.verdict in ORDER:
                opened.append(self._shown(one, row, key, links, entry, targets, seen))
            elif one.verdict == "pass":
                if not self.brief:
                    passed.append(self._brief(one, row, key, links, marks))
            else:
                absent.append(one)
        opened.sort(
            key=lambda one: (ORDER[one.verdict], not one.counted, self._grave(one.criterion), one.criterion)
        )
        return {
            "row": row,
            "entry": entry,
            "summary": self._summary(row, system.findings),
            "open": opened,
            "passed": passed,
            "absent": [
                {"criterion": one.criterion, "criterion_link": links.to(f"criterion/{one.criterion}")}
                for one in absent
            ],
            "looks": [] if self.brief else self._looks(marks, seen, key, links),
            "say": self.say,
        }

    # ------------------------------------------------------------------------------------------ parts

    def _grave(self, criterion: str) -> int:
        return self.overview.severity(criterion)

    def _summary(self, row: Row, findings: tuple[Finding, ...]) -> str:
        words = self.words
        if row.blockers:
            return words.ngettext(
                "%(num)s criterion stands in the way.",
                "%(num)s criteria stand in the way.",
                len(row.blockers),
            ) % {"num": words.number(len(row.blockers))}
        if not any(one.verdict in {"pass", "waived"} for one in findings):
            return ""
        return words.gettext("Every counted criterion that applies is passed or waived.")

    def _marks(self, findings: tuple[Finding, ...]) -> dict[str, int]:
        """The observations of a system, numbered in the order in which findings name them."""
        marks: dict[str, int] = {}
        for finding in findings:
            for digest in finding.observations:
                marks.setdefault(digest, len(marks) + 1)
        return marks

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

    def _shown(
        self,
        one: Finding,
        row: Row,
        key: str,
        links: Links,
        entry: SystemEntry | None,
        targets: dict[str, TargetEntry],
        seen: dict[str, Seen | None],
    ) -> Shown:
        target = targets.get(one.target) if one.target and not self.public else None
        looks = [look for look in (seen.get(digest) for digest in one.observations) if look]
        return Shown(
            criterion=one.criterion,
            criterion_link=links.to(f"criterion/{one.criterion}"),
            anchor=links.anchor(key, anchor_of(one)),
            statement=self._statement(one.criterion, row.level),
            verdict=one.verdict,
            counted=one.counted,
            badge=self._badges[one.verdict],
            severity=self._severities.get(one.severity, escape(one.severity)),
            place=target.place if target else "" if self.public else one.target or "",
            by_document=one.decided_by == "document",
            reason=self._reasons.get(one.reason, escape(one.reason)) if one.reason else "",
            details=sorted({look.detail for look in looks if look.detail}),
            waiver=self._waiver(one),
            evidence=[_row(evidence) for evidence in one.evidence],
            omitted=self._omitted(one.evidence_omitted),
            when=self._when(looks),
            remedy=self._remedy(one.criterion, row.level),
            repeat=[] if self.public else self._repeat(one, row, target, looks),
        )

    def _brief(self, one: Finding, row: Row, key: str, links: Links, marks: dict[str, int]) -> Brief:
        looks = Markup(", ").join(
            Markup('<a href="#{}">{}</a>').format(links.anchor(key, f"look-{marks[digest]}"), marks[digest])
            for digest in one.observations
        )
        return Brief(
            criterion=one.criterion,
            criterion_link=links.to(f"criterion/{one.criterion}"),
            anchor=links.anchor(key, anchor_of(one)),
            statement=self._statement(one.criterion, row.level),
            brief="; ".join(_said(evidence.observed) for evidence in one.evidence[:3]),
            looks=looks,
        )

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
        return "; ".join(
            self.words.gettext("%(time)s, by the probe %(probe)s at %(where)s")
            % {
                "time": self.words.time(look.finished or look.started),
                "probe": look.probe,
                "where": where(look),
            }
            for look in looks[:3]
        )

    def _looks(
        self, marks: dict[str, int], seen: dict[str, Seen | None], key: str, links: Links
    ) -> list[Look]:
        rows = []
        for digest, mark in marks.items():
            look = seen.get(digest)
            if look:
                rows.append(
                    Look(
                        mark=mark,
                        anchor=links.anchor(key, f"look-{mark}"),
                        probe=look.probe,
                        where=where(look),
                        when=self.words.time(look.finished or look.started),
                        connections=look.connections,
                        digest=digest[7:19],
                    )
                )
        return rows

    def _repeat(self, one: Finding, row: Row, target: TargetEntry | None, looks: list[Seen]) -> list[str]:
        """Commands that look again: by hand, and with seccheck."""
        commands = [command for look in looks[:1] if (command := by_hand(look, target))]
        if target and target.port:
            host = target.host or target.address or ""
            host = f"[{host}]" if ":" in host else host
            place = f"{target.service or 'https'}://{host}:{target.port}"
            commands.append(
                f"seccheck gate --target {shlex.quote(place)} --as-level {row.level} "
                f"-c {shlex.quote(self.overview.scan.criteria.set)} --select {one.criterion}"
            )
        commands.append(
            f"seccheck explain {shlex.quote('runs/' + self.overview.scan.id)} {row.id} {one.criterion}"
        )
        return commands


def anchor_of(one: Finding) -> str:
    """What a finding is called on its page: as `site.finding_name`."""
    return f"{one.criterion}.{re.sub(r'[^A-Za-z0-9._-]', '_', one.target)}" if one.target else one.criterion


def where(look: Seen) -> str:
    """Where an observation looked, as people write it."""
    place = look.endpoint
    host = place.host or place.address
    host = f"[{host}]" if ":" in host else host
    text = f"{place.service} {host}:{place.port}".strip() if place.port else host
    return (
        f"{text} ({place.address})" if place.address and place.host and place.address != place.host else text
    )


def by_hand(look: Seen, target: TargetEntry | None) -> str:
    """A command every administrator has that shows much the same, or nothing."""
    place = look.endpoint
    name = place.host or (target.host if target else None) or place.address
    at = place.address or name
    port = place.port or (target.port if target else 0) or 0
    match look.probe:
        case "tls" if port:
            connect = f"[{at}]:{port}" if ":" in at else f"{at}:{port}"
            starttls = STARTTLS.get(place.service, "")
            extra = f" -starttls {starttls}" if starttls else ""
            return f"openssl s_client -connect {shlex.quote(connect)} -servername {shlex.quote(name)}{extra} </dev/null"
        case "http" | "banner" if place.service in URLS:
            return f"curl -sSIk {shlex.quote(f'{place.service}://{name}:{port}/')}"
        case "ssh" if port:
            return f"nmap -Pn -p {port} --script ssh2-enum-algos,ssh-auth-methods {shlex.quote(at)}"
        case "ports":
            return f"nmap -Pn --top-ports 1000 {shlex.quote(at)}"
        case "dns":
            return f"dig +dnssec {shlex.quote(name)}"
        case "mail":
            return f"dig TXT {shlex.quote(name)}"
        case _:
            return ""


def _row(evidence: Evidence) -> tuple[str, str, str, bool]:
    return evidence.fact, _said(evidence.expected), _said(evidence.observed), evidence.verdict == "fail"


def _said(value: Any) -> str:
    """A value of the evidence as text."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
