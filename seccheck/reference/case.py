"""What is asked about one product: whose build it is, which branch, and how an answer is worded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

import msgspec

from seccheck.model import Reason, Record, Verdict
from seccheck.reference.product import GUESSED, Product, packager
from seccheck.reference.snapshot import Cycle, Entry, PackageLevel, Reference
from seccheck.reference.versions import compare, compare_packages, parts, upstream, within

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
ANCESTOR = {
    "raspbian": "debian", "centos": "rhel", "centos-stream": "rhel", "rocky-linux": "rhel",
    "almalinux": "rhel", "oracle-linux": "rhel",
}  # fmt: skip
"""Whose packages a distribution rebuilds."""
UPSTREAM_BUILDERS = {"mariadb.org", "nginx.org", "postgresql.org"}
"""Package sources of the projects themselves: the upstream number is the patch level."""


class Ruling(Record):
    """What a product came to under one question, and what the answer rests on."""

    verdict: Verdict
    reason: Reason | None = None
    expected: str = ""
    observed: str = ""
    candidates: tuple[str, ...] = ()
    """Flaws that the version has, or may have when nothing shows whether its builder repaired them."""
    next_step: str = ""
    """What evidence would settle an inconclusive ruling."""


_OWN_BUILD = ("apache-http-server", "unix")
"""Apache names its builder: "(Unix)" is what upstream's sources say, no distribution's package."""
Kind = Literal["package", "follows", "distribution", "shipped", "upstream"]


@dataclass(frozen=True)
class Build:
    """Whose build a product is, and so what its version can show."""

    kind: Kind
    """package: a package revision of a known release; follows: of a distribution that moves with upstream;
    distribution: patched unseen; shipped: a bare number that distributions ship; upstream: its own."""
    release: str = ""
    version: str = ""
    """The package version, without epoch."""
    shippers: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Case:
    """One product under one question at one time, and the words for its answer."""

    product: Product
    name: str
    entry: Entry
    build: Build
    reference: Reference
    at: datetime

    @property
    def today(self) -> str:
        """The day of the question, as the data writes days."""
        return self.at.date().isoformat()

    @property
    def label(self) -> str:
        """The product in words."""
        words = [self.product.name, self.product.version]
        if self.product.distribution:
            words.append(f"({' '.join(filter(None, (self.product.distribution, self.product.revision)))})")
        if self.product.confidence == GUESSED:
            words.append(f"(by {self.product.source} alone)")
        return " ".join(filter(None, words))

    def passed(self, expected: str, observed: str) -> Ruling:
        """The ruling that it holds."""
        if self.product.confidence == GUESSED:
            return self._guessed(expected, observed)
        return Ruling(verdict=PASS, expected=expected, observed=f"{self.label}: {observed}")

    def failed(self, expected: str, observed: str, candidates: Iterable[str] = ()) -> Ruling:
        """The ruling that it does not hold."""
        if self.product.confidence == GUESSED:
            return self._guessed(expected, observed, candidates)
        return Ruling(
            verdict=FAIL,
            expected=expected,
            observed=f"{self.label}: {observed}",
            candidates=tuple(candidates),
        )

    def open(
        self, reason: Reason, expected: str, observed: str, candidates: Iterable[str] = (), step: str = ""
    ) -> Ruling:
        """The ruling that it cannot be told, why, and what would settle it."""
        return Ruling(
            verdict=INCONCLUSIVE,
            reason=reason,
            expected=expected,
            observed=f"{self.label}: {observed}",
            candidates=tuple(candidates),
            next_step=step or _NEXT_STEPS.get(reason, ""),
        )

    def _guessed(self, expected: str, observed: str, candidates: Iterable[str] = ()) -> Ruling:
        """What only another program says of a service: a lead, and no ruling either way."""
        return self.open(Reason.UNDISCLOSED, expected, f"{observed}, were it so", candidates)

    def unseen(self, expected: str, candidates: Iterable[str] = ()) -> Ruling:
        """The patch level of a distribution's build that the banner does not carry."""
        return self.open(
            Reason.BACKPORT_POSSIBLE, expected, self.build.note, candidates, self._package_step()
        )

    def levels_step(self) -> str:
        """What would tell whether a package revision is the newest of its release."""
        if self.build.release.startswith("ubuntu ") and not self.reference.ubuntu:
            return "fetch Ubuntu's package levels (`seccheck feeds update`, or `import` off line)"
        return _NEXT_STEPS[Reason.NO_DATA]

    def _package_step(self) -> str:
        binary = self.entry.binaries[0] if self.entry.binaries else self.name
        return f"give the package list of the host as evidence (`dpkg -l {binary}` or `rpm -q {binary}`)"

    def old(self, feed: str) -> str:
        """How old a feed is, in words."""
        return f"the data on {feed} is {self.reference.age(feed, self.at)} days old"


_NEXT_STEPS = {
    Reason.UNDISCLOSED: "give a document that states version and patches as evidence (a package list)",
    Reason.STALE: "bring the reference data up to date (`seccheck feeds update`, or `import` off line)",
    Reason.NO_DATA: "give a document that states the support and patch level as evidence",
}


def product_of(value: Product | Mapping[str, Any]) -> Product:
    """The product that a recorded fact describes."""
    return value if isinstance(value, Product) else msgspec.convert(value, Product)


def case_of(value: Product | Mapping[str, Any], reference: Reference, at: datetime) -> Case:
    """What is asked about the product at `at`."""
    product = product_of(value)
    name = reference.canonical_name(product.name)
    entry = reference.entry(name)
    return Case(product, name, entry, _build(product, name, entry, reference), reference, at)


def _build(product: Product, name: str, entry: Entry, reference: Reference) -> Build:
    distribution = ANCESTOR.get(product.distribution, product.distribution)
    if not product.version or distribution in UPSTREAM_BUILDERS:
        return Build("upstream")
    if product.revision and (release := release_of(product, name, reference)):
        return Build("package", release, f"{_package_number(product, name, reference)}-{product.revision}")
    if distribution or product.revision:
        return _distributed(product, name, distribution, reference)
    if product.os == "windows" or entry.os == "windows" or (name, product.os) == _OWN_BUILD:
        return Build("upstream")
    if shippers := reference.shippers(name, product.version):
        shown = ", ".join(shippers)
        return Build("shipped", shippers=shippers, note=f"a number that {shown} keep while patching it")
    if entry.policy == "newest-only":
        return _newest_or_unseen(product, name, entry, reference)
    return Build("upstream")


def _distributed(product: Product, name: str, distribution: str, reference: Reference) -> Build:
    if product.revision and not distribution:
        return Build("distribution", note=f"somebody's own build ({product.revision!r}), patched unseen")
    levels = reference.package_levels(name, distribution)
    follows = {
        release for release, (source, _) in levels.items() if reference.follows_upstream(source, release)
    }
    shippers = tuple(
        release
        for release in reference.shippers(name, product.version)
        if release.partition(" ")[0] == distribution
    )
    # a number that only releases before the rule kept tells the release (Apache 2.4.38 on Debian 10)
    if follows and not product.revision and (not shippers or follows & set(shippers)):
        return Build("follows", note=f"a build of {product.distribution} whose release is not shown")
    return Build("distribution", shippers=shippers, note=f"a build of {product.distribution}, patched unseen")


def _newest_or_unseen(product: Product, name: str, entry: Entry, reference: Reference) -> Build:
    """An OpenSSH without comment: upstream sends no patch number, Debian's builds do (Debian bug 562048)."""
    if entry.drop and re.search(entry.drop, product.version):
        return Build("distribution", note="written as distributions build it, with the package suffix off")
    numbers = [number for number in reference.numbers(name) if order(entry, product.version, number) < 0]
    if numbers:
        return Build(
            "distribution", note="not the newest release, as distributions ship it while patching it"
        )
    return Build("upstream")


def order(entry: Entry, left: str, right: str) -> int:
    """The order of two versions of a product, without the tail that its banner leaves out."""
    return compare(_without_tail(entry, left), _without_tail(entry, right))


def _without_tail(entry: Entry, version: str) -> str:
    return re.sub(entry.drop, "", version) if entry.drop else version


def release_of(product: Product, name: str, reference: Reference) -> str:
    """The distribution release (`debian 12`) that a package revision belongs to, or "" when it shows none."""
    distribution = ANCESTOR.get(product.distribution, product.distribution)
    told, release = packager(product.revision)
    if product.release or release:
        return f"{distribution or told} {product.release or release}"
    if "~bpo" in product.revision:
        return ""
    written = f"{product.version}-{product.revision}"
    for opening in reference.builds.openings:
        rest = written.removeprefix(opening.prefix)
        ends = not rest[:1].isdigit() or opening.prefix[-1:].isalpha()
        if opening.product == name and rest != written and ends and opening.release.startswith(distribution):
            return opening.release
    return ""


def _package_number(product: Product, name: str, reference: Reference) -> str:
    for row in reference.builds.renamed:
        if row.product == name and row.banner == product.version:
            return row.package
    for release, (_, level) in reference.package_levels(name).items():
        mark = bare(level.newest).rpartition("-")[0].removeprefix(upstream(level.newest))
        if mark.startswith("+") and release == release_of(product, name, reference):
            return product.version + mark  # repacked sources: 1.3.8+dfsg, which no banner shows
    return product.version


def cycles_of(case: Case) -> tuple[Cycle, ...]:
    """The branch of the version; several when the version is too short to tell them apart."""
    version = case.product.version
    cycles = case.reference.cycles(case.name)
    if case.entry.branches:
        for prefix, name in case.entry.branches:
            if within(version, prefix):
                return tuple(cycle for cycle in cycles if cycle.name == name)
        return ()
    own = [cycle for cycle in cycles if within(version, cycle.name)]
    if own:
        return (max(own, key=lambda cycle: len(parts(cycle.name))),)
    return tuple(cycle for cycle in cycles if within(cycle.name, version))


def too_short(case: Case) -> bool:
    """Whether the version names a branch rather than a release (`Apache/2.4`): every release is longer."""
    version = _without_tail(case.entry, case.product.version)
    releases = [_without_tail(case.entry, number) for number in case.reference.numbers(case.name)]
    lengths = [len(parts(number)) for number in releases if within(number, version)]
    return bool(lengths) and len(parts(version)) < min(lengths)


def level_of(case: Case) -> PackageLevel | None:
    """How far the packages of the release have come, by those that the host can have."""
    for release, (_, level) in case.reference.package_levels(case.name).items():
        if release == case.build.release:
            return level.extended if level.extended and "+esm" in case.product.revision else level
    return None


def repaired(case: Case, cve: str) -> bool | None:
    """Whether the package carries the fix of `cve`; None when the data does not say."""
    if level := level_of(case):
        fixed = (
            level.extended.fixed if level.extended else level.fixed
        )  # a fix that only payers get is lacking
        if cve in level.not_affected:
            return True
        if cve in fixed:
            return compare_packages(case.build.version, bare(fixed[cve])) >= 0
    for fix in case.reference.builds.fixes:
        if (fix.product, fix.cve, fix.release) == (case.name, cve, case.build.release):
            return compare_packages(case.build.version, bare(fix.fixed)) >= 0
    return None


def bare(package_version: str) -> str:
    """A package version as a banner could show it: without epoch, and without the number of a rebuild."""
    return re.sub(r"\+b\d+$", "", package_version.split(":", 1)[-1])


def releases_with(case: Case) -> tuple[str, ...]:
    """The releases that a build which moves with upstream can be of: those that have come to its number."""
    distribution = ANCESTOR.get(case.product.distribution, case.product.distribution)
    names = [cycle.name for cycle in cycles_of(case)]
    found = []
    for release, (source, level) in case.reference.package_levels(case.name, distribution).items():
        number = upstream(level.newest)
        same_branch = not names or any(within(number, name) for name in names)
        follows = case.reference.follows_upstream(source, release)
        if level.newest and follows and same_branch and compare(case.product.version, number) <= 0:
            found.append(release)
    return tuple(found)


def days_since(case: Case, day: str) -> int:
    """How many days `day` lies before the question."""
    return (case.at.date() - date.fromisoformat(day)).days
