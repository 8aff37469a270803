"""GitHub Actions: an annotation for what is open, and a step summary when running there.

The report itself is lines of workflow commands (`::error file=…,line=…::…`), which annotate when printed in a
step. GitHub shows ten of each kind in a step, so the gravest come first and the rest are counted.
"""

from __future__ import annotations

import heapq
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from seccheck.reports import Options, Report
from seccheck.reports.listing import Entry, Listing
from seccheck.reports.run import RunFolder

Kind = Literal["error", "warning"]
SHOWN = 10
"""Annotations of one kind that GitHub shows for a step."""
ROWS = 100
"""Rows of the step summary; GitHub takes at most 1 MiB."""
SUMMARY = "GITHUB_STEP_SUMMARY"


def by_verdict(entry: Entry) -> Kind | None:
    """How a finding is told when no gate decides: a counted fail is an error, a doubt a warning."""
    if not entry.finding.counted:
        return None
    kinds: dict[str, Kind] = {"fail": "error", "inconclusive": "warning"}
    return kinds.get(entry.finding.verdict)


@dataclass
class Open:
    """What is open in a run: how much of each kind, and the gravest."""

    counts: Counter[Kind] = field(default_factory=Counter)
    gravest: list[tuple[Kind, Entry]] = field(default_factory=list)

    @classmethod
    def of(cls, listing: Listing, kind_of: Callable[[Entry], Kind | None]) -> Open:
        """One pass over the findings; only the gravest are kept."""
        found = cls()

        def told() -> Iterator[tuple[tuple[bool, int, int], Kind, Entry]]:
            for system in listing.systems():
                for entry in listing.entries(system):
                    if kind := kind_of(entry):
                        found.counts[kind] += 1
                        order = (kind != "error", entry.severity_rank, found.counts.total())
                        yield order, kind, entry

        gravest = heapq.nsmallest(ROWS, told(), key=lambda one: one[0])
        found.gravest = [(kind, entry) for _, kind, entry in gravest]
        return found


def commands(listing: Listing, found: Open) -> Iterator[str]:
    """The workflow commands, gravest first."""
    told: Counter[Kind] = Counter()
    for kind, entry in found.gravest:
        if told[kind] == SHOWN - 1 and found.counts[kind] > SHOWN:
            more = _more(listing, found.counts[kind] - told[kind])
            yield command(kind, more, {"title": "seccheck"})
        elif told[kind] < SHOWN:
            place = {} if listing.ad_hoc else {"file": listing.file, "line": str(listing.line(entry))}
            yield command(kind, listing.message(entry), {**place, "title": listing.title_of(entry)})
        told[kind] += 1


def command(kind: Kind, message: str, properties: dict[str, str]) -> str:
    """One workflow command; nothing in it can end it early or begin another."""
    data = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    said = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{kind} {said}::{data}\n"


def _property(value: str) -> str:
    for character in "%\r\n:,":
        value = value.replace(character, f"%{ord(character):02X}")
    return value


def summary(listing: Listing, found: Open, headline: str) -> Iterator[str]:
    """The step summary in Markdown: a headline, and a table of what is open."""
    words = listing.words
    say = words.gettext
    yield f"## {literal(headline)}\n\n"
    if not found.gravest:
        return
    heads = [
        say(name) for name in ("Severity", "Criterion", "Verdict", "System", "Target", "Statement", "Why")
    ]
    yield f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}\n"
    for _, entry in found.gravest:
        finding = entry.finding
        cells = [
            words.severities.get(finding.severity, finding.severity),
            finding.criterion,
            words.verdicts.get(finding.verdict, finding.verdict),
            entry.system.id,
            entry.endpoint,
            listing.statement(entry),
            " ".join(listing.because(entry)[:2]),
        ]
        yield f"| {' | '.join(map(literal, cells))} |\n"
    if (more := found.counts.total() - len(found.gravest)) > 0:
        yield f"\n{literal(_more(listing, more))}\n"


def _more(listing: Listing, number: int) -> str:
    text = listing.words.ngettext("and %(num)s more row", "and %(num)s more rows", number)
    return text % {"num": listing.words.number(number)}


def literal(text: str) -> str:
    """`text` as Markdown that means only itself: punctuation becomes entities, which mark up nothing."""
    return "".join(
        one if one.isalnum() or one in " .-–…" or ord(one) > 0x7F else f"&#{ord(one)};" for one in text
    )


def append_summary(lines: Iterator[str]) -> None:
    """Add to the summary of the step that this runs in; elsewhere, do nothing."""
    if path := os.environ.get(SUMMARY):
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(lines)


def write(run: RunFolder, out: Path, options: Options) -> None:
    """Write the workflow commands to the file `out`, and the summary where GitHub asks for it."""
    listing = Listing(run, options)
    found = Open.of(listing, by_verdict)
    with out.open("w", encoding="utf-8") as file:
        file.writelines(commands(listing, found))
    append_summary(summary(listing, found, listing.title))


REPORT = Report(id="github", extension="txt", kind="file", write=write)
