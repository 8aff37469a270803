"""GitLab's code quality report: what is counted and open, at the line of its system in the registry.

Of the Code Climate issue it has what GitLab reads: description, check_name, fingerprint, severity, location.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from seccheck.reports import Options, Report
from seccheck.reports.listing import Entry, Listing
from seccheck.reports.run import RunFolder

SEVERITY = {"critical": "blocker", "high": "critical", "medium": "major", "low": "minor"}
"""GitLab's scale is ours, one name higher; what is not concluded is `info`, for nothing was found wrong."""


def write(run: RunFolder, out: Path, options: Options) -> None:
    """Write `run` to the file `out`, an issue a line."""
    listing = Listing(run, options)
    separator = b""
    with out.open("wb") as file:
        file.write(b"[\n")
        for system in listing.systems():
            for entry in listing.entries(system):
                if entry.finding.counted and entry.finding.verdict in {"fail", "inconclusive"}:
                    file.write(separator + msgspec.json.encode(_issue(listing, entry)))
                    separator = b",\n"
        file.write(b"\n]\n")


def _issue(listing: Listing, entry: Entry) -> dict[str, Any]:
    finding = entry.finding
    failed = finding.verdict == "fail"
    verdict = listing.words.verdicts[finding.verdict]
    return {
        "description": f"{listing.title_of(entry)}: {verdict}. {listing.message(entry)}",
        "check_name": finding.criterion,
        "fingerprint": entry.fingerprint,
        "severity": SEVERITY.get(finding.severity, "major") if failed else "info",
        "location": {"path": listing.file, "lines": {"begin": listing.line(entry)}},
    }


REPORT = Report(id="gitlab", extension="json", kind="file", write=write)
