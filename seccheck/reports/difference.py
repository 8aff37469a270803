"""What changed between two runs, as one self-contained page: systems first, then findings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from seccheck.comparison import Comparison, FindingChange, SystemChange, compare
from seccheck.reports import Options, Report
from seccheck.reports.overview import Overview
from seccheck.reports.run import RunFolder, SystemEntry
from seccheck.reports.site import Page, Site

MOST = 5000
"""Findings that the page lists; of more it says how to have them all."""
ORDER = ("regressed", "new", "gone", "improved")
"""What a reader should see first."""


@dataclass(frozen=True)
class Changed:
    """A system, with what changed about it."""

    id: str
    name: str
    unit: str
    change: SystemChange | None
    findings: list[FindingChange]


def write(run: RunFolder, out: Path, options: Options) -> None:
    """Write to `out` how `run` differs from the last of `options.previous`."""
    old = RunFolder(options.previous[-1])
    comparison = compare(*((msgspec.to_builtins(one) for one in each.systems()) for each in (old, run)))
    site = Site(Overview(run, options), single=True)
    site.environment.globals["menu"] = []  # the page stands alone
    site.environment.globals["split"] = ""
    page = _page(site, old, comparison)
    with out.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        file.writelines(site.stream(page))


def _page(site: Site, old: RunFolder, comparison: Comparison) -> Page:
    say, words, scan = site.words.gettext, site.words, site.scan
    titles = {
        "regressed": say("Regressed"),
        "new": say("New"),
        "gone": say("Gone"),
        "improved": say("Improved"),
    }
    changed = _changed(site, old, comparison)
    before, after = old.tally["systems"], site.overview.counts
    return Page(
        key="difference",
        template="difference",
        title=say("What has changed"),
        data={
            "old": old.scan,
            "before": f"{words.number(before['meets'])}/{words.number(before['reported'])}",
            "after": f"{words.number(after.meets)}/{words.number(after.reported)}",
            "same_criteria": old.scan.criteria.digest == scan.criteria.digest,
            "titles": titles,
            "systems": [
                (
                    kind,
                    [one for one in changed if one.change and one.change.change == kind],
                    sum(one.change == kind for one in comparison.findings),
                )
                for kind in ORDER
            ],
            "detailed": _cut([one for one in changed if one.findings]),
            "left": max(0, len(comparison.findings) - MOST),
        },
    )


def _changed(site: Site, old: RunFolder, comparison: Comparison) -> list[Changed]:
    """Every system about which something changed, by unit and id."""
    earlier = {one.id: one for one in old.registry.systems}
    systems = {one.system: one for one in comparison.systems}
    findings: dict[str, list[FindingChange]] = {}
    for one in comparison.findings:
        findings.setdefault(one.system, []).append(one)
    changed = []
    for name in systems.keys() | findings.keys():
        entry: Any = site.overview.systems.get(name) or earlier.get(name) or SystemEntry(id=name)
        changed.append(
            Changed(
                id=name,
                name=entry.name.get(site.language) or name,
                unit=site.unit_name(entry.unit),
                change=systems.get(name),
                findings=sorted(findings.get(name, []), key=lambda one: ORDER.index(one.change)),
            )
        )
    return sorted(changed, key=lambda one: (one.unit, one.id))


def _cut(changed: list[Changed]) -> list[Changed]:
    """As many systems as hold at most `MOST` findings."""
    kept, count = [], 0
    for one in changed:
        count += len(one.findings)
        if count > MOST:
            break
        kept.append(one)
    return kept


REPORT = Report(id="difference", extension="html", kind="file", write=write)
"""Not one of the formats of a single run: `seccheck diff --html` writes it."""
