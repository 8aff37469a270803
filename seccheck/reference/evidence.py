"""What a package list or a VEX document adds to a banner: the revision that it does not show.

A document settles what is inconclusive. It never turns a fail round, and a list whose upstream number is
not the one that was observed is about something else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from urllib.parse import unquote

import msgspec

from seccheck.model import Reason, Record, Verdict, as_dict
from seccheck.reference.case import Ruling, product_of
from seccheck.reference.exploited import free_of_known_exploited
from seccheck.reference.newest import at_newest_patch
from seccheck.reference.product import Product, packager
from seccheck.reference.snapshot import Reference
from seccheck.reference.support import supported
from seccheck.reference.versions import compare, revision, upstream

MAX_BYTES = 64 << 20
MAX_PACKAGES = 100_000
Question = Literal["supported", "exploited", "newest"]


class Package(Record):
    """An installed package, as its package manager lists it."""

    name: str
    version: str
    distribution: str = ""
    release: str = ""


class Statement(Record):
    """What a VEX document says of one flaw."""

    cve: str
    status: Literal["not_affected", "fixed", "affected", "under_investigation"]
    product: str = ""
    """The package or product it speaks of, as written there; empty: of all."""


class Evidence(Record):
    """What a document says about a host."""

    packages: tuple[Package, ...] = ()
    statements: tuple[Statement, ...] = ()


def read_evidence(data: bytes) -> Evidence:
    """What is in a package list (`dpkg -l`, `dpkg-query -W`, `rpm -qa`), a CycloneDX or an OpenVEX document.

    Lines that list no package are passed over; a document of another kind gives nothing.
    """
    text = data[:MAX_BYTES].decode("utf-8", "replace").lstrip("\ufeff")
    if text.lstrip()[:1] != "{":
        return Evidence(packages=_with_release(_listed(text)))
    try:
        document = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return Evidence()
    if not isinstance(document, dict):
        return Evidence()
    if document.get("bomFormat") == "CycloneDX":
        return Evidence(packages=_with_release(_components(document)), statements=_analyses(document))
    if "openvex" in str(document.get("@context", "")):
        return Evidence(statements=_statements(document))
    return Evidence()


def packages_from(data: bytes) -> tuple[Package, ...]:
    """The packages that a document lists."""
    return read_evidence(data).packages


# --------------------------------------------------------------------------------- reading documents

_DPKG_LIST = re.compile(r"^[a-z][a-z]\s+(\S+)\s+(\d\S*)\s+\S+", re.IGNORECASE)
_DPKG_QUERY = re.compile(r"^([a-z0-9][a-z0-9+.-]*)(?::[a-z0-9]+)?[\t ]+(\d\S*)$")
_RPM = re.compile(
    r"^([A-Za-z0-9][\w+.-]*)-((?:\d+:)?[^\s-]+-[^\s-]+)\.(?:x86_64|aarch64|noarch|i\d86|s390x|ppc64le)$"
)


def _listed(text: str) -> list[Package]:
    found: list[Package] = []
    for line in text.splitlines():
        match = _DPKG_LIST.match(line) or _DPKG_QUERY.match(line) or _RPM.match(line.strip())
        removed = match and match.re is _DPKG_LIST and line[1].lower() != "i"
        if match and not removed and len(found) < MAX_PACKAGES:
            found.append(_package(match[1].partition(":")[0], match[2]))
    return found


def _package(name: str, version: str, distro: str = "") -> Package:
    distribution, release = packager(revision(version))
    if not release and (told := re.match(r"(debian|ubuntu|rhel)-(\d[\d.]*)", distro)):
        distribution, release = told[1], told[2]
    return Package(name=name, version=version, distribution=distribution, release=release)


def _with_release(packages: list[Package]) -> tuple[Package, ...]:
    """Packages that do not name their release take that of their neighbours, if these agree."""
    told = Counter((package.distribution, package.release) for package in packages if package.release)
    if len(told) != 1:
        return tuple(packages)
    ((distribution, release),) = told
    return tuple(
        package
        if package.release or package.distribution not in {"", distribution}
        else Package(name=package.name, version=package.version, distribution=distribution, release=release)
        for package in packages
    )


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


_PURL = re.compile(r"^pkg:(deb|rpm)/(?:[^/@]+/)?([^/@?]+)@([^?#]+)(?:\?([^#]*))?")


def _components(document: Mapping[str, Any]) -> list[Package]:
    found = []
    for component in _dicts(document.get("components"))[:MAX_PACKAGES]:
        if purl := _PURL.match(str(component.get("purl", ""))):
            distro = re.search(r"(?:^|&)distro=([^&]+)", purl[4] or "")
            found.append(_package(unquote(purl[2]), unquote(purl[3]), unquote(distro[1]) if distro else ""))
    return found


_CYCLONE = {
    "not_affected": "not_affected",
    "false_positive": "not_affected",
    "resolved": "fixed",
    "resolved_with_pedigree": "fixed",
    "exploitable": "affected",
    "in_triage": "under_investigation",
}


def _analyses(document: Mapping[str, Any]) -> tuple[Statement, ...]:
    named = {
        str(component.get("bom-ref", "")): str(component.get("purl") or component.get("name") or "")
        for component in _dicts(document.get("components"))
    }
    found = []
    for flaw in _dicts(document.get("vulnerabilities"))[:MAX_PACKAGES]:
        analysis = flaw.get("analysis")
        state = _CYCLONE.get(str(analysis.get("state", ""))) if isinstance(analysis, dict) else None
        for affected in _dicts(flaw.get("affects")) or [{}]:
            reference = str(affected.get("ref", ""))
            if state:
                found.append(_statement(str(flaw.get("id", "")), state, named.get(reference, reference)))
    return tuple(found)


def _statements(document: Mapping[str, Any]) -> tuple[Statement, ...]:
    found = []
    for statement in _dicts(document.get("statements"))[:MAX_PACKAGES]:
        flaw = statement.get("vulnerability")
        name = str(flaw.get("name", "")) if isinstance(flaw, dict) else str(flaw or "")
        status = str(statement.get("status", ""))
        if status in {"not_affected", "fixed", "affected", "under_investigation"}:
            products = statement.get("products")
            for product in products if isinstance(products, list) and products else [""]:
                identity = product.get("@id", "") if isinstance(product, dict) else product
                found.append(_statement(name, status, str(identity)))
    return tuple(found)


def _statement(cve: str, status: Any, product: str) -> Statement:
    return Statement(cve=cve, status=status, product=product)


# ---------------------------------------------------------------------------------- settling rulings


def settle(
    question: Question,
    product: Product | Mapping[str, Any],
    evidence: Evidence,
    reference: Reference,
    at: datetime,
    days: int = 30,
) -> Ruling:
    """The ruling on `product` when `evidence` is added; that of the banner alone wherever it decides."""
    observed = product_of(product)
    alone = _ask(question, observed, reference, at, days)
    if alone.verdict is not Verdict.INCONCLUSIVE:
        return alone
    package = _package_of(observed, evidence, reference)
    if package is None:
        return _with_statements(question, alone, observed, evidence, reference, at)
    number = upstream(package.version)
    if observed.version and compare(_plain(observed.version), _plain(number)) != 0:
        detail = f"{observed.name} {observed.version} was observed, the package list has {package.version}"
        return Ruling(**{**as_dict(alone), "reason": Reason.CONTRADICTORY, "observed": detail})
    known = Product(
        **{
            **as_dict(observed),
            "version": number,
            "distribution": package.distribution or observed.distribution,
            "release": package.release,
            "revision": revision(package.version),
            "confidence": "certain",
        }
    )
    ruling = _ask(question, known, reference, at, days)
    if ruling.verdict is Verdict.INCONCLUSIVE:
        return _with_statements(question, ruling, known, evidence, reference, at)
    return Ruling(**{**as_dict(ruling), "observed": f"{ruling.observed} (by the package list)"})


def _ask(question: Question, product: Product, reference: Reference, at: datetime, days: int) -> Ruling:
    match question:
        case "supported":
            return supported(product, reference, at)
        case "exploited":
            return free_of_known_exploited(product, reference, at)
        case _:
            return at_newest_patch(product, reference, at, days)


def _plain(version: str) -> str:
    """A version without the patch number that some banners leave out (`9.2` for `9.2p1`)."""
    return re.sub(r"p\d+$", "", version)


def _package_of(product: Product, evidence: Evidence, reference: Reference) -> Package | None:
    name = reference.canonical_name(product.name)
    entry = reference.entry(name)
    for binary in (*entry.binaries, *entry.packages, name):
        for package in evidence.packages:
            if package.name == binary:
                return package
    return None


def _with_statements(
    question: Question,
    ruling: Ruling,
    product: Product,
    evidence: Evidence,
    reference: Reference,
    at: datetime,
) -> Ruling:
    """`ruling` without the flaws of which a VEX document says that they are absent or repaired."""
    if question != "exploited" or not ruling.candidates:
        return ruling
    entry = reference.entry(reference.canonical_name(product.name))
    names = {product.name, *entry.aliases, *entry.packages, *entry.binaries}
    said: dict[str, set[str]] = {}
    for statement in evidence.statements:
        if not statement.product or names & set(re.split(r"[/@?:]", unquote(statement.product))):
            said.setdefault(statement.cve, set()).add(statement.status)
    if worst := [cve for cve in ruling.candidates if "affected" in said.get(cve, ())]:
        detail = f"{ruling.observed}; the VEX document says affected: {', '.join(worst)}"
        return Ruling(**{**as_dict(ruling), "verdict": Verdict.FAIL, "reason": None, "observed": detail})
    settled = {cve for cve, statuses in said.items() if statuses <= {"not_affected", "fixed"}}
    if not settled & set(ruling.candidates):
        return ruling
    again = free_of_known_exploited(product, reference, at, settled)
    return Ruling(**{**as_dict(again), "observed": f"{again.observed} (beside the VEX document)"})
