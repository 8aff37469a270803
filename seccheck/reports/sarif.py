"""SARIF 2.1.0 (OASIS): the criteria as rules, the findings as results at the line of their system.

`sarif` holds every finding with its kind; `sarif-fails` only counted fails, for readers that take any result
for an alert (GitHub's code scanning looks at neither `kind` nor `suppressions`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from seccheck.reports import Options, Report
from seccheck.reports.listing import Entry, Listing
from seccheck.reports.run import CriterionEntry, RunFolder

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVEL = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}
GITHUB_SCORE = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.0"}
"""Only names the severity on GitHub's scale (the middle of each band); no figure of ours depends on it."""
KIND = {"pass": "pass", "fail": "fail", "inconclusive": "review", "not-applicable": "notApplicable"}
"""SARIF 3.27.9; a waived finding keeps the kind of what was found, under a suppression (3.35)."""


def write(run: RunFolder, out: Path, options: Options) -> None:
    """Write every finding of `run` to the file `out`, a result a line."""
    with out.open("wb") as file:
        file.writelines(_document(Listing(run, options), fails_only=False))


def write_fails(run: RunFolder, out: Path, options: Options) -> None:
    """SARIF 2.1.0 with counted fails alone, for readers that take any result for an alert."""
    with out.open("wb") as file:
        file.writelines(_document(Listing(run, options), fails_only=True))


def _document(listing: Listing, *, fails_only: bool) -> Iterator[bytes]:
    encode = msgspec.json.encode
    rules = {one: number for number, one in enumerate(listing.criteria)}
    yield b'{"$schema":' + encode(SCHEMA) + b',"version":"2.1.0","runs":[\n'
    yield encode(_run(listing))[:-1] + b',"results":[\n'
    separator = b""
    for system in listing.systems():
        for entry in listing.entries(system):
            if fails_only and not (entry.finding.verdict == "fail" and entry.finding.counted):
                continue
            yield separator + encode(_result(listing, entry, rules))
            separator = b",\n"
    yield b"\n]}\n]}\n"


def _run(listing: Listing) -> dict[str, Any]:
    scan = listing.run.scan
    return {
        "tool": {
            "driver": {
                "name": "seccheck",
                "version": scan.seccheck,
                "semanticVersion": scan.seccheck,
                "language": listing.language,
                "rules": [_rule(listing, one) for one in listing.criteria.values()],
            }
        },
        "language": listing.language,
        "automationDetails": {"id": f"seccheck/{scan.criteria.set}/{scan.id}"},
        "invocations": [
            {"executionSuccessful": True, "startTimeUtc": scan.started, "endTimeUtc": scan.finished}
        ],
        "columnKind": "unicodeCodePoints",
        "properties": {"review": listing.title, "profile": scan.criteria.profile},
    }


def _rule(listing: Listing, criterion: CriterionEntry) -> dict[str, Any]:
    statement = criterion.said(listing.language)
    return {
        "id": criterion.id,
        "shortDescription": {"text": statement},
        "fullDescription": {"text": listing.rationale(criterion) or statement},
        "help": {"text": listing.help_text(criterion), "markdown": listing.help_markdown(criterion)},
        "defaultConfiguration": {"level": LEVEL.get(criterion.severity, "warning")},
        "properties": {
            "tags": ["security", criterion.group or criterion.id.partition("-")[0]],
            "precision": "very-high",
            "problem.severity": {"error": "error", "warning": "warning"}.get(
                LEVEL.get(criterion.severity, "warning"), "recommendation"
            ),
            "security-severity": GITHUB_SCORE.get(criterion.severity, "5.5"),
        },
    }


def _result(listing: Listing, entry: Entry, rules: dict[str, int]) -> dict[str, Any]:
    finding = entry.finding
    kind = KIND.get(finding.observed_verdict or finding.verdict, "review")
    level = LEVEL.get(finding.severity, "warning") if finding.counted else "note"
    result: dict[str, Any] = {
        "ruleId": finding.criterion,
        "kind": kind,
        "level": level if kind == "fail" else "none",
        "message": {"text": escaped(f"{listing.title_of(entry)}: {listing.message(entry)}")},
        "locations": [_location(listing, entry)],
        "partialFingerprints": {
            "seccheckFinding/v1": entry.fingerprint,
            # The one that GitHub compares; without it, every moved line would open a new alert.
            "primaryLocationLineHash": f"{entry.fingerprint}:1",
        },
        "properties": {
            "system": entry.system.id,
            "unit": entry.system.unit,
            "severity": finding.severity,
            "counted": finding.counted,
            "verdict": finding.verdict,
            **({"reason": finding.reason} if finding.reason else {}),
        },
    }
    if finding.criterion in rules:
        result["ruleIndex"] = rules[finding.criterion]
    if finding.verdict == "waived":
        why = {"justification": listing.waiver(entry)} if finding.waiver else {}
        result["suppressions"] = [{"kind": "external", "status": "accepted", **why}]
    return result


def _location(listing: Listing, entry: Entry) -> dict[str, Any]:
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": listing.file},
            "region": {"startLine": listing.line(entry)},
        },
        "logicalLocations": [
            {
                "name": entry.endpoint or entry.system.id,
                "fullyQualifiedName": f"{entry.system.unit}/{entry.place}",
                "kind": "resource",
            }
        ],
    }


def escaped(text: str) -> str:
    """`text` as a message that means only itself: no placeholder (3.11.5), no embedded link (3.11.6)."""
    return text.replace("{", "{{").replace("}", "}}").replace("](", "] (")


REPORT = Report(id="sarif", extension="sarif", kind="file", write=write)
FAILS = Report(id="sarif-fails", extension="sarif", kind="file", write=write_fails)
