"""OSCAL assessment results (NIST, model 1.1.3, JSON): a result for each system, with what was observed.

OSCAL knows only "satisfied" and "not-satisfied": what is not concluded is not satisfied for the reason
"other", and carries the verdict as a property. What does not apply is left out of the reviewed controls. A
waived finding stays not satisfied, beside a risk whose deviation is approved until the waiver ends. Controls
and objectives carry the ids of criteria.
"""

from __future__ import annotations

import re
import uuid
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec

from seccheck.errors import SeccheckError
from seccheck.model import safe_text
from seccheck.reports import Options, Report
from seccheck.reports.listing import Entry, Listing
from seccheck.reports.run import Reader, RunFolder, Seen, SystemResult, TargetEntry

VERSION = "1.1.3"
NAMESPACE = "https://seccheck.invalid/ns/oscal"
"""Names our properties and resolves to nothing (RFC 2606)."""
_SPACE = uuid.UUID("6d0d3ef1-5f5c-5c0e-9a52-0a3e1c1f7f6e")
"""The name space of every identifier here (RFC 4122, version 5): the same run gives the same file."""


def write(run: RunFolder, out: Path, options: Options) -> None:
    """Write `run` to the file `out`, a system at a time.

    Raises `SeccheckError` when the reader may see no system: OSCAL has no document without a result.
    """
    listing = Listing(run, options)
    reader = run.reader()
    written = 0
    try:
        with out.open("wb") as file:
            file.write(_head(listing))
            for system in listing.systems():
                file.write(b",\n" if written else b"")
                file.write(msgspec.json.encode(_Result(listing, reader, system).data()))
                written += 1
            file.write(b"\n]" + _tail(listing))
    finally:
        reader.close()
    if not written:
        raise SeccheckError(
            "there is no system to report on", next_step="choose a unit that has systems in this run"
        )


def identifier(*parts: str) -> str:
    """A stable UUID for what `parts` name."""
    return str(uuid.uuid5(_SPACE, "\0".join(parts)))


@lru_cache(maxsize=4096)
def line(text: str) -> str:
    """`text` as OSCAL's StringDatatype: one line, not empty, no space at its ends."""
    return re.sub(r"\s+", " ", safe_text(text)).strip() or "–"


def prop(name: str, value: str) -> dict[str, str]:
    """A property in our own name space."""
    return {"name": name, "ns": NAMESPACE, "value": line(value)}


def _head(listing: Listing) -> bytes:
    scan, encode = listing.run.scan, msgspec.json.encode
    document = {
        "uuid": identifier("document", scan.id, listing.options.unit, str(listing.options.public)),
        "metadata": {
            "title": line(listing.title),
            "last-modified": scan.finished or scan.started,
            "version": line(scan.id),
            "oscal-version": VERSION,
            "props": [
                prop("criteria-set", f"{scan.criteria.set} {scan.criteria.version}"),
                prop("criteria-profile", scan.criteria.profile),
                prop("criteria-digest", scan.criteria.digest),
                prop("registry-digest", scan.registry.digest),
                prop("demonstration", str(scan.demonstration).lower()),
            ],
        },
        "import-ap": {"href": f"#{identifier('plan', scan.id)}"},
    }
    return b'{"assessment-results":' + encode(document)[:-1] + b',"results":[\n'


def _tail(listing: Listing) -> bytes:
    """The back matter: the plan that was carried out, which is ours and not an OSCAL document."""
    resource = {
        "uuid": identifier("plan", listing.run.scan.id),
        "title": "plan.json",
        "description": "The plan of this run, in the run folder: which probe looked where, and what for.",
        "rlinks": [{"href": "plan.json", "media-type": "application/json"}],
    }
    return b',"back-matter":' + msgspec.json.encode({"resources": [resource]}) + b"}}\n"


class _Result:
    """One system: its targets, its observations, its findings."""

    def __init__(self, listing: Listing, reader: Reader, system: SystemResult) -> None:
        self.listing = listing
        self.system = system
        self.declared = listing.declared(system)
        self.scan = listing.run.scan
        self.entries = list(listing.entries(system))
        self.applicable = [one for one in self.entries if one.finding.verdict != "not-applicable"]
        digests = sorted({digest for one in self.applicable for digest in one.finding.observations})
        self.seen = {digest: seen for digest in digests if (seen := reader.observation(digest))}

    def id(self, *parts: str) -> str:
        """An identifier within this result."""
        return identifier(self.scan.id, self.system.id, *parts)

    def data(self) -> dict[str, Any]:
        """The result as OSCAL has it."""
        system, listing = self.system, self.listing
        result: dict[str, Any] = {
            "uuid": self.id("result"),
            "title": line(listing.system_name(self.declared)),
            "description": line(listing.words.statuses.get(system.status, system.status)),
            "start": self.scan.started,
            "end": self.scan.finished or self.scan.started,
            "props": [
                prop("system", system.id),
                prop("unit", system.unit),
                prop("level", str(system.level)),
                prop("status", system.status),
            ],
            "local-definitions": self._definitions(),
            "reviewed-controls": {"control-selections": [self._selection()]},
        }
        parts = {
            "observations": [self._observation(digest, seen) for digest, seen in self.seen.items()],
            "risks": [self._risk(one) for one in self.applicable if one.finding.waiver],
            "findings": [self._finding(one) for one in self.applicable],
        }
        return result | {name: part for name, part in parts.items() if part}

    def _definitions(self) -> dict[str, Any]:
        definitions: dict[str, Any] = {
            "components": [
                {
                    "uuid": self.id("system"),
                    "type": "this-system",
                    "title": line(self.listing.system_name(self.declared)),
                    "description": line(self.system.id),
                    "status": {"state": "operational"},
                }
            ],
            "assessment-assets": {
                "components": [
                    {
                        "uuid": self.id("seccheck"),
                        "type": "software",
                        "title": "seccheck",
                        "description": "The scanner that made these observations.",
                        "props": [{"name": "version", "value": line(self.scan.seccheck)}],
                        "status": {"state": "operational"},
                    }
                ],
                "assessment-platforms": [
                    {
                        "uuid": self.id("platform"),
                        "title": line(f"zone {self.scan.zone}"),
                        "uses-components": [{"component-uuid": self.id("seccheck")}],
                    }
                ],
            },
        }
        if self.declared.targets:
            definitions["inventory-items"] = [self._item(target) for target in self.declared.targets]
        return definitions

    def _item(self, target: TargetEntry) -> dict[str, Any]:
        props = [prop("target", target.id)]
        names = dict.fromkeys(name for name in (target.host, target.address) if name)
        props += [{"name": _address_kind(name), "value": line(name)} for name in names]
        if target.port:
            props.append(prop("port", str(target.port)))
        if target.service:
            props.append(prop("service", target.service))
        return {
            "uuid": self.id("target", target.id),
            "description": line(target.place or target.id),
            "props": props,
            "implemented-components": [{"component-uuid": self.id("system")}],
        }

    def _selection(self) -> dict[str, Any]:
        reviewed = dict.fromkeys(one.finding.criterion for one in self.applicable)
        every = dict.fromkeys(one.finding.criterion for one in self.entries)
        absent = [one for one in every if one not in reviewed]
        selection: dict[str, Any] = {}
        if reviewed:
            selection["include-controls"] = [{"control-id": one} for one in reviewed]
        if absent:
            selection["exclude-controls"] = [{"control-id": one} for one in absent]
        return selection

    def _observation(self, digest: str, seen: Seen) -> dict[str, Any]:
        place = seen.endpoint
        where = f"{place.host or place.address}:{place.port}" if place.port else place.host or place.address
        props = [prop("probe", seen.probe), prop("digest", digest)]
        if seen.failed:
            props.append(prop("failed", seen.failed))
        return {
            "uuid": self.id("observation", digest),
            "title": line(f"{seen.probe} {where}"),
            "description": line(seen.detail or f"{seen.probe} {where}"),
            "props": props,
            "methods": ["EXAMINE" if seen.probe == "evidence" else "TEST"],
            "origins": [{"actors": [{"type": "tool", "actor-uuid": self.id("seccheck")}]}],
            "subjects": [{"subject-uuid": self.id("system"), "type": "component"}],
            "relevant-evidence": [{"href": "journal.jsonl", "description": line(digest)}],
            "collected": seen.finished or seen.started or self.scan.started,
        }

    def _finding(self, entry: Entry) -> dict[str, Any]:
        finding, listing = entry.finding, self.listing
        because = listing.because(entry)
        passed = finding.observed_verdict == "pass"
        status: dict[str, Any] = {
            "state": "satisfied" if passed else "not-satisfied",
            "reason": {"pass": "pass", "fail": "fail"}.get(finding.observed_verdict, "other"),
        }
        if because:
            status["remarks"] = "\n\n".join(because)
        props = [
            prop("verdict", finding.verdict),
            prop("severity", finding.severity),
            prop("counted", str(finding.counted).lower()),
            prop("decided-by", finding.decided_by),
            prop("fingerprint", entry.fingerprint),
        ]
        if finding.reason:
            props.append(prop("reason", finding.reason))
        if finding.target:
            props.append(prop("target", finding.target))
        data: dict[str, Any] = {
            "uuid": self.id("finding", entry.fingerprint),
            "title": line(listing.title_of(entry)),
            "description": line(listing.statement(entry)),
            "props": props,
            "target": {
                "type": "objective-id",
                "target-id": finding.criterion,
                "status": status,
            },
        }
        seen = [digest for digest in finding.observations if digest in self.seen]
        if seen:
            data["related-observations"] = [
                {"observation-uuid": self.id("observation", digest)} for digest in seen
            ]
        if finding.waiver:
            data["related-risks"] = [{"risk-uuid": self.id("risk", entry.fingerprint)}]
        return data

    def _risk(self, entry: Entry) -> dict[str, Any]:
        waiver = entry.finding.waiver
        assert waiver is not None  # noqa: S101  (only waived findings come here)
        props = [prop("approved-by", waiver.approved_by)]
        if waiver.ticket:
            props.append(prop("ticket", waiver.ticket))
        risk: dict[str, Any] = {
            "uuid": self.id("risk", entry.fingerprint),
            "title": line(self.listing.title_of(entry)),
            "description": line(self.listing.statement(entry)),
            "statement": line(waiver.reason),
            "props": props,
            "status": "deviation-approved",
        }
        if waiver.until:
            risk["deadline"] = f"{waiver.until}T23:59:59Z"
        return risk


def _address_kind(text: str) -> str:
    try:
        return f"ipv{ip_address(text).version}-address"
    except ValueError:
        return "fqdn"


REPORT = Report(id="oscal", extension="json", kind="file", write=write)
