"""Ubuntu's package levels and fixes, from the archive of OSV records that Canonical publishes.

`osv/usn/…/USN-6859-1.json` says which version of a source package brought which fixes to which release, and
when; `osv/cve/…/UBUNTU-CVE-2024-6387.json` says of each release the version with the fix. Records list what
is affected, so a flaw that a release lacks, and one that nobody has looked at, are both absent: of neither
is anything concluded (documentation.ubuntu.com/security/security-updates/osv; OSV schema 1.7).
"""

from __future__ import annotations

import io
import lzma
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cmp_to_key

import msgspec

from seccheck.errors import UNREADABLE
from seccheck.feeds.malformed import Malformed, day_of
from seccheck.model import Record
from seccheck.reference.snapshot import PackageLevel, Packages, Reference
from seccheck.reference.versions import compare_packages

MAX_RECORD = 64 << 20
MAX_UNPACKED = 16 << 30
_RENAMED = re.compile(r"(php|tomcat|mariadb|mysql)-?\d+(?:\.\d+)*")
_ECOSYSTEM = re.compile(r"Ubuntu(?P<extended>:Pro)?:(?P<release>\d\d\.\d\d)(?::LTS)?")
"""Of the paid repositories only plain Pro: what FIPS and real-time builds lack says nothing of the others."""
_CVE = re.compile(r"CVE-\d{4}-\d{4,}")
_order = cmp_to_key(compare_packages)
_versions = msgspec.json.Decoder(tuple[str, ...])


class _Package(Record):
    ecosystem: str
    name: str


class _Event(Record):
    fixed: str = ""


class _Range(Record):
    type: str
    events: tuple[_Event, ...]


class _Affected(Record):
    package: _Package
    ranges: tuple[_Range, ...] = ()
    versions: msgspec.Raw = msgspec.Raw(b"[]")
    """Every version that is affected: long for kernels, and read only of packages we know."""


class _Osv(Record):
    id: str
    modified: str
    published: str = ""
    withdrawn: str = ""
    upstream: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    affected: tuple[_Affected, ...] = ()


@dataclass
class _Line:
    """What is known of one source package in one release, in the free or in the paid repository."""

    uploads: dict[str, tuple[str, set[str]]] = field(default_factory=dict)
    """By version that a notice announced: its day, and the flaws it repairs."""
    fixed: dict[str, str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    """Every version that any record names."""

    def add(self, other: _Line) -> None:
        for version, (day, flaws) in other.uploads.items():
            self.upload(version, day, flaws)
        for cve, version in other.fixed.items():
            self.repair(cve, version)
        self.seen |= other.seen

    def upload(self, version: str, day: str, flaws: set[str]) -> None:
        before, known = self.uploads.get(version, (day, set()))
        self.uploads[version] = (min(before, day), known | flaws)

    def repair(self, cve: str, version: str) -> None:
        before = self.fixed.get(cve)
        if before is None or compare_packages(version, before) > 0:
            self.fixed[cve] = version

    def level(self, keep: set[str], extended: PackageLevel | None = None) -> PackageLevel:
        versions = sorted(self.uploads, key=_order, reverse=True)
        uploads = {version: self.uploads[version] for version in versions}
        return PackageLevel(
            newest=versions[0] if versions else "",
            newest_date=uploads[versions[0]][0] if versions else "",
            history=tuple(
                (version, day, tuple(sorted(flaws & keep))) for version, (day, flaws) in uploads.items()
            ),
            fixed={cve: version for cve, version in sorted(self.fixed.items()) if cve in keep},
            seen=max(self.seen, key=_order, default=""),
            extended=extended,
        )


def packages(data: bytes, reference: Reference) -> tuple[Packages, str]:
    """The levels in Canonical's `osv-all.tar.xz`, and the day of its latest record.

    Of a release that is no longer published, what we have stays. Raises `Malformed`.
    """
    wanted = {source: name for name, entry in reference.products.items() for source in entry.packages}
    lines: dict[tuple[str, str, bool], _Line] = {}
    latest = ""
    try:
        for record in _records(data):
            latest = max(latest, day_of(record.modified))
            if not record.withdrawn:
                _note(record, wanted, lines)
    except (lzma.LZMAError, tarfile.TarError, EOFError, *UNREADABLE) as error:
        raise Malformed(f"not an archive of OSV records: {error}") from None
    if not lines:
        raise Malformed("none of the packages we know is in it")
    found: dict[str, dict[str, PackageLevel]] = {}
    for source, release in sorted({(source, release) for source, release, _ in lines}):
        keep = reference.flaw_ids(wanted[source])
        free, paid = (lines.get((source, release, extended), _Line()) for extended in (False, True))
        paid_level = None
        if paid.seen:
            paid.add(free)
            paid_level = paid.level(keep)
        found.setdefault(source, {})[release] = free.level(keep, paid_level)
    before = reference.ubuntu
    entries, ours = sum(map(len, found.values())), sum(map(len, before.values()))
    if entries * 2 < ours:
        raise Malformed(f"{entries} package levels where ours has {ours}")
    for source, releases in before.items():
        found[source] = {**releases, **found.get(source, {})}
    return Packages(packages=found), latest


def _records(data: bytes) -> Iterator[_Osv]:
    decoder = msgspec.json.Decoder(_Osv)
    unpacked = 0
    with (
        lzma.open(io.BytesIO(data)) as stream,
        tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as archive,
    ):
        for member in archive:
            unpacked += member.size
            if member.size > MAX_RECORD or unpacked > MAX_UNPACKED:
                raise Malformed(f"{member.name[:80]!r} is too large")
            file = archive.extractfile(member) if member.name.endswith(".json") else None
            if file is not None:
                yield decoder.decode(file.read())


def _note(record: _Osv, wanted: dict[str, str], lines: dict[tuple[str, str, bool], _Line]) -> None:
    notice = record.id.startswith("USN-")
    flaws = {cve for text in (record.id, *record.upstream, *record.related) for cve in _CVE.findall(text)}
    for affected in record.affected:
        place = _ECOSYSTEM.fullmatch(affected.package.ecosystem)
        renamed = _RENAMED.fullmatch(affected.package.name)
        source = renamed[1] if renamed else affected.package.name
        if not place or source not in wanted:
            continue
        line = lines.setdefault((source, f"ubuntu {place['release']}", bool(place["extended"])), _Line())
        ranges = (one for one in affected.ranges if one.type == "ECOSYSTEM")
        repairs = [event.fixed for one in ranges for event in one.events if event.fixed]
        line.seen.update(_versions.decode(affected.versions), repairs)
        for version in repairs:
            for cve in flaws:
                line.repair(cve, version)
            if notice:
                line.upload(version, day_of(record.published), flaws)
