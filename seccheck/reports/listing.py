"""What the formats for pipelines share: findings one by one, as one reader may see them, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import starmap
from urllib.parse import quote

from seccheck.model import digest, safe_text
from seccheck.reports import Options
from seccheck.reports.overview import redacted
from seccheck.reports.run import (
    BasisEntry,
    CriterionEntry,
    Finding,
    RunFolder,
    SystemEntry,
    SystemResult,
    TargetEntry,
)
from seccheck.reports.words import Words

SEVERITIES = ("critical", "high", "medium", "low")
"""Gravest first."""
AD_HOC = "seccheck-gate-target"
"""What findings point into when there is no registry file: a gate on a --target."""


@dataclass(frozen=True)
class Entry:
    """One finding, with what the registry and the criteria say about it."""

    system: SystemResult
    declared: SystemEntry
    target: TargetEntry | None
    finding: Finding
    criterion: CriterionEntry

    @property
    def place(self) -> str:
        """`portal/portal-443`: the system, and the target where there is one."""
        return f"{self.system.id}/{self.finding.target}" if self.finding.target else self.system.id

    @property
    def endpoint(self) -> str:
        """`portal.example:443`; empty for a finding about the whole system."""
        if not self.target or not self.target.port:
            return self.finding.target or ""
        host = self.target.host or self.target.address or ""
        return f"[{host}]:{self.target.port}" if ":" in host else f"{host}:{self.target.port}"

    @property
    def fingerprint(self) -> str:
        """The same for the same system, criterion and target in every run."""
        return (
            self.finding.fingerprint
            or digest({"system": self.system.id, "criterion": self.finding.criterion, "target": None})[7:39]
        )

    @property
    def severity_rank(self) -> int:
        """0 for the gravest."""
        severity = self.finding.severity
        return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


class Listing:
    """A run as one reader may see it: a system at a time, never the whole of the results."""

    def __init__(self, run: RunFolder, options: Options) -> None:
        self.run = run
        self.options = options
        self.language = options.language
        self.words = Words(options.language, narrowed=run.scan.selection.narrowed)
        self.criteria = {one.id: one for one in run.criteria.criteria}
        self._declared = {one.id: one for one in run.registry.systems}

    @cached_property
    def ad_hoc(self) -> bool:
        """Whether there is no registry file, because a gate was given its targets on the command line."""
        return self.run.registry.file.startswith("--")

    @cached_property
    def file(self) -> str:
        """The registry file as a relative reference (RFC 3986), for formats that point into a repository."""
        return AD_HOC if self.ad_hoc else quote(self.run.registry.file.removeprefix("./"))

    def line(self, entry: Entry) -> int:
        """The line of the system in the registry file, from 1."""
        return 1 if self.ad_hoc else max(entry.declared.line, 1)

    @cached_property
    def title(self) -> str:
        """The name of the review."""
        return safe_text(self.run.registry.name.get(self.language) or self.run.scan.id)

    def systems(self) -> Iterator[SystemResult]:
        """The systems with their findings, one at a time."""
        for system in self.run.systems():
            if self.options.unit in {"", system.unit}:
                yield redacted(system) if self.options.public else system

    def entries(self, system: SystemResult) -> Iterator[Entry]:
        """The findings of a system, with what belongs to them."""
        declared = self.declared(system)
        targets = {one.id: one for one in declared.targets}
        for finding in system.findings:
            criterion = self.criteria.get(finding.criterion) or CriterionEntry(id=finding.criterion)
            yield Entry(system, declared, targets.get(finding.target or ""), finding, criterion)

    def declared(self, system: SystemResult) -> SystemEntry:
        """What the registry says about a system, as far as this reader may see it."""
        entry = self._declared.get(system.id) or SystemEntry(id=system.id, unit=system.unit)
        if not self.options.public:
            return entry
        return SystemEntry(id=entry.id, unit=entry.unit, name=entry.name, level=entry.level, line=entry.line)

    # ------------------------------------------------------------------------------------------ words

    def system_name(self, system: SystemEntry) -> str:
        """The name of a system, or its id where it has none."""
        return safe_text(system.name.get(self.language) or system.id)

    def statement(self, entry: Entry) -> str:
        """What the criterion asks of a system of this level."""
        return safe_text(entry.criterion.said(self.language, entry.system.level))

    def title_of(self, entry: Entry) -> str:
        """`TLS-03 portal.example:443`."""
        return f"{entry.finding.criterion} {entry.endpoint or entry.system.id}"

    def message(self, entry: Entry) -> str:
        """The statement and why it is not met, in one line."""
        return " ".join([self.statement(entry).rstrip(".") + ".", *self.because(entry)[:2]])

    def because(self, entry: Entry) -> list[str]:
        """Why the verdict is what it is: the reason, what was expected and seen, the waiver."""
        finding, words = entry.finding, self.words
        lines = []
        if not finding.counted:
            lines.append(f"({words.gettext('advised: outside the tally')})")
        if finding.reason:
            lines.append(words.reasons.get(finding.reason, finding.reason))
        telling = [row for row in finding.evidence if row.verdict == finding.observed_verdict]
        lines += starmap(self._seen, dict.fromkeys((row.fact, row.expected, row.observed) for row in telling))
        if finding.waiver:
            lines.append(self.waiver(entry))
        return [safe_text(line) for line in lines]

    def _seen(self, fact: str, expected: str, observed: str) -> str:
        say, words = self.words.gettext, self.words
        asked = f"{say('Expected')}: {words.expected(expected)}; " if expected else ""
        return f"{fact} – {asked}{say('Observed')}: {words.value(observed)}"

    def waiver(self, entry: Entry) -> str:
        """Who accepts the finding until when, and why."""
        note = entry.finding.waiver
        if note is None:
            return ""
        text = self.words.gettext("%(reason)s (approved by %(who)s, until %(until)s)") % {
            "reason": note.reason,
            "who": note.approved_by,
            "until": note.until or "–",
        }
        return safe_text(f"{text} {note.ticket or ''}".strip())

    # ------------------------------------------------------------------------------------------ help

    def rationale(self, criterion: CriterionEntry) -> str:
        """Why the criterion matters."""
        return criterion.filled(criterion.rationale.get(self.language))

    def help_text(self, criterion: CriterionEntry) -> str:
        """How to meet it, in a sentence."""
        remedy = criterion.remedy.get(self.language) or criterion.remedy.get("en", "")
        return criterion.filled(remedy) or criterion.said(self.language)

    def help_markdown(self, criterion: CriterionEntry) -> str:
        """Why it matters, how to meet it on each product, and what it rests on, in Markdown."""
        say = self.words.gettext
        parts = []
        if rationale := self.rationale(criterion):
            parts.append(f"**{say('Why')}:** {rationale}")
        parts.append(f"**{say('Remedy')}:** {self.help_text(criterion)}")
        for product, setting in criterion.remedy.items():
            if product not in {"vi", "en"}:
                code = "\n".join(f"    {line}" for line in setting.strip().splitlines())
                parts.append(f"{product}:\n\n{code}")
        if criterion.basis:
            rows = "\n".join(f"- {self.basis(one)}" for one in criterion.basis)
            parts.append(f"**{say('Basis')}:**\n\n{rows}")
        return "\n\n".join(parts)

    def basis(self, basis: BasisEntry) -> str:
        """The clause that a criterion rests on, and how binding it is."""
        source = self.run.criteria.sources.get(basis.source)
        title = (source.title.get(self.language) or basis.source) if source else basis.source
        cited = self.words.cited(title, source.number if source else "", basis.clause)
        kind = self.words.bases.get(basis.kind, basis.kind)
        return ", ".join(part for part in (f"{kind}: {cited}", basis.remark(self.language)) if part)
