"""JUnit XML, as build servers read it: a suite for each system, a test case for each finding.

A fail is a failure, an inconclusive an error. What is advised, waived or not applicable is skipped, and says
why. The elements are those that Jenkins, GitLab and junitparser agree on; there is no standard.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET
from xml.sax.saxutils import quoteattr

from seccheck.reports import Options, Report
from seccheck.reports.listing import Entry, Listing
from seccheck.reports.run import RunFolder, SystemResult


def write(run: RunFolder, out: Path, options: Options) -> None:
    """Write `run` to the file `out`, a system at a time."""
    with out.open("w", encoding="utf-8") as file:
        file.writelines(_document(Listing(run, options)))


def _document(listing: Listing) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f"<testsuites name={quoteattr(listing.title)}>\n"
    for system in listing.systems():
        suite = _suite(listing, system)
        ET.indent(suite)
        yield ET.tostring(suite, encoding="unicode") + "\n"
    yield "</testsuites>\n"


def _suite(listing: Listing, system: SystemResult) -> ET.Element:
    declared, scan = listing.declared(system), listing.run.scan
    suite = ET.Element("testsuite", name=system.id)
    said = {
        "system": listing.system_name(declared),
        "unit": system.unit,
        "level": str(system.level),
        "status": system.status,
        "criteria": f"{scan.criteria.set} {scan.criteria.version} {scan.criteria.profile}",
        "run": scan.id,
    }
    properties = ET.SubElement(suite, "properties")
    for name, value in said.items():
        ET.SubElement(properties, "property", name=name, value=value)
    counts = {"failure": 0, "error": 0, "skipped": 0}
    for entry in listing.entries(system):
        case = _case(listing, entry)
        suite.append(case)
        if len(case):
            counts[case[0].tag] += 1
    suite.set("tests", str(len(suite) - 1))
    suite.set("failures", str(counts["failure"]))
    suite.set("errors", str(counts["error"]))
    suite.set("skipped", str(counts["skipped"]))
    suite.set("timestamp", scan.started.removesuffix("Z"))
    return suite


def _case(listing: Listing, entry: Entry) -> ET.Element:
    place = f" [{entry.endpoint}]" if entry.endpoint else ""
    case = ET.Element(
        "testcase",
        classname=f"{entry.system.unit}.{entry.system.id}",
        name=f"{entry.finding.criterion} {listing.statement(entry)}{place}",
        file=listing.file,
        line=str(listing.line(entry)),
    )
    if (kind := _kind(entry)) is None:
        return case
    words, finding = listing.words, entry.finding
    because = listing.because(entry)
    verdict = words.verdicts.get(finding.verdict, finding.verdict)
    child = ET.SubElement(case, kind, message=": ".join([verdict, *because[:1]]))
    if kind != "skipped":
        child.set("type", finding.reason or finding.severity)
    if finding.verdict != "not-applicable":
        child.text = "\n".join([*because, listing.help_text(entry.criterion)])
    return case


def _kind(entry: Entry) -> str | None:
    match entry.finding.verdict:
        case "pass":
            return None
        case "fail" if entry.finding.counted:
            return "failure"
        case "inconclusive" if entry.finding.counted:
            return "error"
        case _:
            return "skipped"


REPORT = Report(id="junit", extension="xml", kind="file", write=write)
