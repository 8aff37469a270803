"""The publishers of reference data: where each file is, and how its form becomes ours.

A file is refused as a whole when a part of it is not what its publisher's format says: half a catalogue
would make "no match" wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from seccheck.errors import UNREADABLE
from seccheck.feeds import ubuntu
from seccheck.feeds.malformed import Malformed as Malformed
from seccheck.feeds.malformed import day_of
from seccheck.model import Record, as_dict
from seccheck.reference.snapshot import (
    Affected,
    Catalogue,
    Cycle,
    Exploited,
    Flaw,
    PackageLevel,
    Packages,
    Ranges,
    Reference,
    Releases,
    Support,
    SupportedProduct,
)
from seccheck.reference.versions import compare_packages

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Publisher:
    """Where a feed comes from."""

    url: str
    limit: int
    licence: str


PUBLISHERS = {
    "eol": Publisher(
        "https://endoflife.date/api/v1/products/full", 64 * MEGABYTE, "MIT, endoflife.date contributors"
    ),
    "releases": Publisher(
        "https://raw.githubusercontent.com/endoflife-date/release-data/main/releases/{slug}.json",
        8 * MEGABYTE,
        "MIT, endoflife.date contributors",
    ),
    "kev": Publisher(
        "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json",
        32 * MEGABYTE,
        "CC0-1.0, CISA",
    ),
    "ranges": Publisher(
        "https://services.nvd.nist.gov/rest/json/cves/2.0?hasKev&resultsPerPage=2000&startIndex={start}",
        256 * MEGABYTE,
        "NVD: public domain; CVE Terms of Use; own compilation",
    ),
    "debian": Publisher(
        "https://security-tracker.debian.org/tracker/data/json",
        512 * MEGABYTE,
        "facts; Debian security tracker",
    ),
    "ubuntu": Publisher(
        "https://security-metadata.canonical.com/osv/osv-all.tar.xz",
        512 * MEGABYTE,
        "CC-BY-SA-4.0, Canonical",
    ),
}
"""By feed. The feeds `builds` and `products` are compiled by this project and come with its releases."""


@dataclass(frozen=True)
class Content:
    """A feed's new content."""

    content: Record
    entries: int
    day: str = ""
    """The day the publisher writes into the file; empty when it writes none."""


def _decode(data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except UNREADABLE as error:
        raise Malformed(str(error)) from None


# ---------------------------------------------------------------------------- endoflife.date, API v1


class _Latest(Record):
    name: str
    date: str | None = None


class _EolRelease(Record, rename="camel"):
    name: str
    release_date: str | None = None
    is_eol: bool | None = None
    eol_from: str | None = None
    is_eoes: bool | None = None
    eoes_from: str | None = None
    latest: _Latest | None = None


class _EolProduct(Record):
    name: str
    label: str
    releases: tuple[_EolRelease, ...]


class _EolAnswer(Record):
    schema_version: str
    generated_at: str = ""
    total: int | None = None
    result: tuple[_EolProduct, ...]


def support(data: bytes, _reference: Reference) -> Content:
    """The answer of endoflife.date's `/api/v1/products/full`, whole.

    Raises `Malformed`.
    """
    answer: _EolAnswer = _decode(data, _EolAnswer)
    if answer.total not in {None, len(answer.result)}:
        raise Malformed(f"{len(answer.result)} products where {answer.total} are announced")
    products = {
        product.name: SupportedProduct(title=product.label, cycles=tuple(map(_cycle, product.releases)))
        for product in answer.result
    }
    entries = sum(len(product.cycles) for product in products.values())
    return Content(
        Support(products=products), entries, day_of(answer.generated_at) if answer.generated_at else ""
    )


def _cycle(release: _EolRelease) -> Cycle:
    latest = release.latest
    return Cycle(
        name=release.name,
        released=day_of(release.release_date) if release.release_date else "",
        ended=day_of(release.eol_from) if release.eol_from else release.is_eol,
        extended=day_of(release.eoes_from) if release.eoes_from else release.is_eoes,
        latest=latest.name if latest else "",
        latest_date=day_of(latest.date) if latest and latest.date else "",
    )


# ---------------------------------------------------------------------- endoflife.date, release-data


class _Release(Record):
    name: str
    date: str


class _ReleaseFile(Record):
    releases: dict[str, _Release] | None = None
    versions: dict[str, _Release] | None = None


def releases(files: Mapping[str, bytes], reference: Reference) -> Content:
    """The files of release-data by product; versions from before our first one are left out.

    Raises `Malformed`.
    """
    products = {}
    for slug, data in files.items():
        answer: _ReleaseFile = _decode(data, _ReleaseFile)
        # `releases` names branches in some files and versions in others; `versions` is what we want if there
        listed = answer.versions if answer.versions is not None else answer.releases
        if not listed:
            raise Malformed(f"{slug}: no release is listed")
        dated = {name: day_of(release.date) for name, release in listed.items()}
        since = min(reference.releases(slug).values(), default="2016-01-01")
        products[slug] = {name: day for name, day in dated.items() if day >= since}
    if not products:
        raise Malformed("no product is listed")
    return Content(Releases(products=products), sum(map(len, products.values())))


# ------------------------------------------------------------------------------------------ CISA KEV


class _KevEntry(Record, rename="camel"):
    vendor_project: str
    product: str
    vulnerability_name: str
    date_added: str
    cve_id: str = msgspec.field(name="cveID")
    known_ransomware_campaign_use: str = "Unknown"


class _KevAnswer(Record, rename="camel"):
    catalog_version: str
    date_released: str
    count: int | None = None
    vulnerabilities: tuple[_KevEntry, ...]


def exploited(data: bytes, reference: Reference) -> Content:
    """CISA's catalogue of known exploited vulnerabilities, whole.

    Entries are hardly ever withdrawn: of a file that lacks most of what we have, only what is new is taken.

    Raises `Malformed`.
    """
    answer: _KevAnswer = _decode(data, _KevAnswer)
    if answer.count not in {None, len(answer.vulnerabilities)}:
        raise Malformed(f"{len(answer.vulnerabilities)} entries where {answer.count} are announced")
    by_pair = {pair: name for name, entry in reference.products.items() for pair in entry.kev}
    by_cve = reference.products_by_flaw()
    flaws = []
    for entry in answer.vulnerabilities:
        named = by_cve.get(entry.cve_id) or by_pair.get((entry.vendor_project, entry.product), "")
        if named:
            flaws.append(
                Exploited(
                    cve=entry.cve_id,
                    product=named,
                    name=entry.vulnerability_name,
                    added=day_of(entry.date_added),
                    ransomware=entry.known_ransomware_campaign_use == "Known",
                )
            )
    ids = {entry.cve_id: day_of(entry.date_added) for entry in answer.vulnerabilities}
    if not ids:
        raise Malformed("it has no entries")
    if len(ids) * 2 < len(reference.exploited_ids):
        flaws += [flaw for flaw in reference.catalogue() if flaw.cve not in ids]
        ids = {**reference.exploited_ids, **ids}
    ordered = tuple(sorted(flaws, key=lambda flaw: (flaw.product, flaw.cve)))
    content = Catalogue(flaws=ordered, ids=dict(sorted(ids.items())))
    return Content(content, len(ids), day_of(answer.date_released))


# -------------------------------------------------------------------------------------- NVD, API 2.0


class _Match(Record, rename="camel"):
    vulnerable: bool
    criteria: str
    version_start_including: str = ""
    version_start_excluding: str = ""
    version_end_including: str = ""
    version_end_excluding: str = ""


class _Node(Record, rename="camel"):
    cpe_match: tuple[_Match, ...] = ()
    negate: bool = False


class _Configuration(Record):
    nodes: tuple[_Node, ...] = ()
    operator: str = "OR"


class _Cve(Record):
    id: str
    configurations: tuple[_Configuration, ...] = ()


class _Vulnerability(Record):
    cve: _Cve


class NvdPage(Record, rename="camel"):
    """One page of NVD's answer."""

    start_index: int
    total_results: int
    format: str
    timestamp: str
    vulnerabilities: tuple[_Vulnerability, ...]


def nvd_page(data: bytes) -> NvdPage:
    """One page, its form checked.

    Raises `Malformed`.
    """
    page: NvdPage = _decode(data, NvdPage)
    if page.format != "NVD_CVE":
        raise Malformed(f"the format is {page.format!r}, not NVD_CVE")
    return page


def ranges(pages: Iterable[NvdPage], reference: Reference) -> Content:
    """The version ranges of exploited flaws in NVD's pages, beside what was compiled by hand.

    What was compiled from vendors' notes without a record gives way to NVD; its remarks (hotfixes, the
    system it needs) stay. Products whose versions NVD writes otherwise than banners keep our ranges.

    Raises `Malformed` when pages are missing.
    """
    pages = tuple(pages)
    found = sum(len(page.vulnerabilities) for page in pages)
    if not pages or found != pages[0].total_results:
        raise Malformed(f"{found} flaws where {pages[0].total_results if pages else 'some'} are announced")
    by_cpe = {cpe: name for name, entry in reference.products.items() for cpe in entry.cpe}
    ours = {(flaw.cve, flaw.product): flaw for flaw in reference.all_ranges()}
    merged = dict(ours)
    for page in pages:
        for item in page.vulnerabilities:
            for product, (rows, system) in _nvd_rows(item.cve, by_cpe).items():
                known = ours.get((item.cve.id, product))
                entry = reference.entry(product)
                if entry.no_build or entry.branches or (known and known.source != "public"):
                    continue
                merged[item.cve.id, product] = _merged(item.cve.id, product, rows, system, known)
    flaws = tuple(merged[key] for key in sorted(merged, key=lambda key: (key[1], key[0])))
    return Content(Ranges(flaws=flaws), len(flaws), day_of(pages[0].timestamp))


def _merged(cve: str, product: str, rows: tuple[Affected, ...], system: str, known: Flaw | None) -> Flaw:
    if known:
        return Flaw(**{**as_dict(known), "affected": rows, "source": "nvd"})
    decisive = "os" if system else "version"
    return Flaw(cve=cve, product=product, affected=rows, decisive=decisive, requires_os=system, source="nvd")


def _nvd_rows(cve: _Cve, by_cpe: Mapping[str, str]) -> dict[str, tuple[tuple[Affected, ...], str]]:
    found: dict[str, tuple[tuple[Affected, ...], str]] = {}
    for configuration in cve.configurations:
        matches = [match for node in configuration.nodes if not node.negate for match in node.cpe_match]
        system = ""
        if configuration.operator == "AND":
            others = {":".join(match.criteria.split(":")[2:5]) for match in matches if not match.vulnerable}
            system = "windows" if "o:microsoft:windows" in others else ""
        for match in matches:
            fields = re.split(r"(?<!\\):", match.criteria)
            product = by_cpe.get(":".join(fields[3:5])) if len(fields) == 13 and match.vulnerable else None
            row = _affected(match, fields) if product else None
            if product and row:
                rows, before = found.get(product, ((), system))
                found[product] = ((*rows, row), before if before == system else "")
    return found


def _affected(match: _Match, fields: list[str]) -> Affected | None:
    version, update = (field.replace("\\", "") for field in fields[5:7])
    if version not in {"*", "-"}:
        return Affected(exact=version if update in {"*", "-"} else f"{version}-{update}")
    if not (match.version_end_including or match.version_end_excluding):
        return None  # "any version" proves nothing about this one
    return Affected(
        since=match.version_start_including,
        after=match.version_start_excluding,
        through=match.version_end_including,
        fixed=match.version_end_excluding,
    )


# --------------------------------------------------------------------------- Debian security tracker


class _DebianRelease(Record):
    status: str
    repositories: dict[str, str] = {}
    fixed_version: str = ""


class _DebianFlaw(Record):
    releases: dict[str, _DebianRelease] = {}


CODENAMES = {"bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14"}
_RENAMED = ((re.compile(r"php\d+\.\d+"), "php"), (re.compile(r"tomcat\d+"), "tomcat"))


def packages(data: bytes, reference: Reference, day: str) -> Content:
    """Package levels and fixes in the Debian security tracker's JSON, as of `day`.

    The tracker has no dates of uploads: a package newer than ours counts from the day it was first seen.

    Raises `Malformed`.
    """
    tracker: dict[str, dict[str, _DebianFlaw]] = _decode(data, dict[str, dict[str, _DebianFlaw]])
    wanted = {source: name for name, entry in reference.products.items() for source in entry.packages}
    found: dict[str, dict[str, PackageLevel]] = {}
    for source, flaws in tracker.items():
        stem = next((stem for pattern, stem in _RENAMED if pattern.fullmatch(source)), source)
        if stem not in wanted:
            continue
        keep = reference.flaw_ids(wanted[stem])
        for codename, number in CODENAMES.items():
            release = f"debian {number}"
            before = reference.packages.get(stem, {}).get(release)
            level = _level(flaws, codename, keep, before, day)
            other = found.get(stem, {}).get(release)
            if level and (not other or compare_packages(level.newest, other.newest) > 0):
                found.setdefault(stem, {})[release] = level
    if not found:
        raise Malformed("none of the packages we know is in it")
    return Content(Packages(packages=found), sum(map(len, found.values())))


def _level(
    flaws: Mapping[str, _DebianFlaw], codename: str, keep: set[str], before: PackageLevel | None, day: str
) -> PackageLevel | None:
    newest, fixed, unaffected = "", {}, []
    for cve, flaw in flaws.items():
        release = flaw.releases.get(codename)
        if not release:
            continue
        for version in release.repositories.values():
            newest = version if not newest or compare_packages(version, newest) > 0 else newest
        if cve in keep and release.status == "resolved" and release.fixed_version == "0":
            unaffected.append(cve)
        elif cve in keep and release.status == "resolved" and release.fixed_version:
            fixed[cve] = release.fixed_version
    if not newest:
        return None
    if before and compare_packages(newest, before.newest) <= 0:
        newest, seen, history = before.newest, before.newest_date, before.history
    else:
        seen = day
        history = ((newest, day, ()), *(before.history if before else ()))
    return PackageLevel(
        newest=newest,
        newest_date=seen,
        history=history,
        fixed=dict(sorted(fixed.items())),
        not_affected=tuple(sorted(unaffected)),
    )


# ----------------------------------------------------------------------------------------- Ubuntu OSV


def ubuntu_packages(data: bytes, reference: Reference) -> Content:
    """Canonical's archive of OSV records (see `feeds.ubuntu`).

    Raises `Malformed`.
    """
    found, day = ubuntu.packages(data, reference)
    return Content(found, sum(map(len, found.packages.values())), day)
