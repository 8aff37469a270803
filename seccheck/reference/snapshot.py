"""The reference data of a run: dated feeds, loaded once, packed into the run folder as one file."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from seccheck.errors import UNREADABLE, SeccheckError
from seccheck.model import Record, canonical, digest_bytes
from seccheck.reference.versions import compare, parts, upstream, within

BUNDLED = Path(__file__).parent.parent / "_reference"
"""The snapshot that ships with seccheck."""
FORMAT = "reference/1"
_MAX_UNPACKED = 128_000_000


class FeedInfo(Record):
    """One feed of the reference data: where it is from, and as of when."""

    id: str
    source: str
    date: str
    digest: str
    """SHA-256 of the feed's file."""
    licence: str
    entries: int


class Cycle(Record):
    """One branch of a product and how long its vendor maintains it."""

    name: str
    released: str = ""
    ended: str | bool | None = None
    """The day maintenance ends; True: over; False: no end announced; None: unknown."""
    extended: str | bool | None = None
    """The end of long-term or paid support, in the same form."""
    latest: str = ""
    latest_date: str = ""


class Affected(Record):
    """A range of affected versions: exactly one, or from the first (included) to where it was fixed."""

    since: str = msgspec.field(default="", name="from")
    fixed: str = ""
    """The first version without the flaw."""
    through: str = ""
    """The last version with it, all of its builds included."""
    exact: str = ""
    after: str = ""
    """In place of `from`: the last version before the flaw."""


class Flaw(Record):
    """The versions that a flaw is in, and what a version alone can say about it."""

    cve: str
    product: str
    affected: tuple[Affected, ...] = ()
    decisive: str = "version"
    """version, config, os, edge, hidden-patch or train: how far a version in range proves the flaw."""
    condition: str = ""
    requires_os: str = ""
    edge_version: str = ""
    hotfixes: tuple[str, ...] = ()
    """Builds that carry the fix below the end of the range, one per train."""
    in_kev: bool = True
    name: str = ""
    visible: str = ""
    source: str = ""


class Exploited(Record):
    """An entry of the catalogue of known exploited vulnerabilities, for a product that we name."""

    cve: str
    product: str
    name: str = ""
    added: str = ""
    ransomware: bool = False


class PackageLevel(Record):
    """How far one distribution release has come with one source package."""

    newest: str
    newest_date: str = ""
    history: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    """Uploads, newest first: version, date, flaws it names."""
    fixed: dict[str, str] = {}
    """The first package version without the flaw."""
    not_affected: tuple[str, ...] = ()
    seen: str = ""
    """The highest version known, where those later than `newest` repair no flaw."""
    extended: PackageLevel | None = None
    """The same with the packages of paid maintenance (Ubuntu Pro: `+esm1`)."""


class Follows(Record):
    """A package that moves to new upstream releases inside a stable distribution."""

    package: str
    distribution: str
    since: str = ""


class Frozen(Record):
    """An upstream number that distributions keep while they backport fixes."""

    product: str
    version: str
    shippers: tuple[str, ...]
    source: str = ""


class Opening(Record):
    """How a version and revision begin in one distribution release."""

    product: str
    prefix: str
    release: str


class KnownFix(Record):
    """A fix in a distribution whose package levels are not in the data."""

    product: str
    cve: str
    release: str
    fixed: str
    date: str
    source: str = ""


class Renamed(Record):
    """A package whose banner writes another upstream number than its version."""

    product: str
    banner: str
    package: str


class Entry(Record):
    """What is known about a product besides its support table."""

    title: str = ""
    aliases: tuple[str, ...] = ()
    """Its names in the support table and in the list of releases."""
    packages: tuple[str, ...] = ()
    """Debian source packages."""
    binaries: tuple[str, ...] = ()
    """Binary packages of any distribution."""
    cpe: tuple[str, ...] = ()
    kev: tuple[tuple[str, str], ...] = ()
    """Vendor and product in the catalogue of exploited vulnerabilities."""
    support: tuple[Cycle, ...] = ()
    support_source: str = ""
    releases: dict[str, str] = {}
    """The date of every release, for a product that the feed `releases` lacks."""
    as_of: str = ""
    """The day when `support` and `releases` were complete; empty: they may lack the newest."""
    policy: str = ""
    """`newest-only`: upstream maintains its newest release alone."""
    drop: str = ""
    """A regular expression for the tail of a version that its banner leaves out."""
    unsupported_below: str = ""
    branches: tuple[tuple[str, str], ...] = ()
    """Version prefix and branch name, where branches are not named by number."""
    os: str = ""
    no_build: bool = False
    """The banner never carries the patch level."""


class SupportedProduct(Record):
    """A product and its branches."""

    title: str = ""
    cycles: tuple[Cycle, ...] = ()


class Support(Record):
    """Content of the feed `eol`."""

    products: dict[str, SupportedProduct]


class Releases(Record):
    """Content of the feed `releases`: the date of each version of a product."""

    products: dict[str, dict[str, str]]


class Catalogue(Record):
    """Content of the feed `kev`."""

    flaws: tuple[Exploited, ...]
    ids: dict[str, str]
    """Every identifier of the catalogue and the day it was added, whatever the product."""


class Ranges(Record):
    """Content of the feed `ranges`."""

    flaws: tuple[Flaw, ...]


class Packages(Record):
    """Content of the feed `debian`: source package → release (`debian 12`) → level."""

    packages: dict[str, dict[str, PackageLevel]]


class Builds(Record):
    """Content of the feed `builds`: who ships what."""

    follows: tuple[Follows, ...]
    frozen: tuple[Frozen, ...]
    openings: tuple[Opening, ...]
    fixes: tuple[KnownFix, ...]
    renamed: tuple[Renamed, ...]


class Products(Record):
    """Content of the feed `products`."""

    products: dict[str, Entry]


CONTENTS: dict[str, Any] = {
    "eol": Support,
    "releases": Releases,
    "kev": Catalogue,
    "ranges": Ranges,
    "debian": Packages,
    "ubuntu": Packages,
    "builds": Builds,
    "products": Products,
}
"""Every feed and the form of its content."""


class Document(Record):
    """A feed's file."""

    feed: str
    date: str
    source: str
    licence: str = ""
    note: str = ""
    entries: int = 0
    content: msgspec.Raw


class ManifestFeed(Record):
    """One line of the manifest."""

    id: str
    file: str
    date: str
    sha256: str


class Manifest(Record):
    """What a folder of reference data holds."""

    seccheck: str
    feeds: tuple[ManifestFeed, ...]


def read_document(data: bytes, where: str) -> Document:
    """The feed file `data`, its form checked down to the last field.

    Raises `SeccheckError` naming `where` when it is not what it should be.
    """
    try:
        document = msgspec.json.decode(data, type=Document)
        date.fromisoformat(document.date)
        msgspec.json.decode(document.content, type=CONTENTS[document.feed])
    except (*UNREADABLE, ValueError, KeyError) as error:
        raise SeccheckError(
            f"{where} is not a feed of reference data: {error}",
            next_step="fetch it again with `seccheck feeds update`, or remove it to use what ships",
        ) from error
    return document


@dataclass(frozen=True, eq=False)
class Reference:
    """Everything that versions are judged by, as of the dates of its feeds."""

    files: Mapping[str, bytes]
    """Each feed's file, by feed id."""

    def _document(self, feed: str) -> Document:
        return msgspec.json.decode(self.files[feed], type=Document)

    def _content(self, feed: str) -> Any:
        return msgspec.json.decode(self._document(feed).content, type=CONTENTS[feed])

    @cached_property
    def feeds(self) -> tuple[FeedInfo, ...]:
        """Every feed with its source, date and digest, in the order of their ids."""
        found = []
        for feed, data in sorted(self.files.items()):
            document = self._document(feed)
            found.append(
                FeedInfo(
                    id=feed,
                    source=document.source,
                    date=document.date,
                    digest=digest_bytes(data),
                    licence=document.licence,
                    entries=document.entries,
                )
            )
        return tuple(found)

    def feed_date(self, feed: str) -> str:
        """The date of `feed`, as `2026-08-22`; "" when it is not there (only `ubuntu` does not ship)."""
        return next((info.date for info in self.feeds if info.id == feed), "")

    def age(self, feed: str, at: datetime) -> int:
        """How many days old `feed` is at `at`."""
        return (at.date() - date.fromisoformat(self.feed_date(feed))).days

    # --- names

    @cached_property
    def products(self) -> dict[str, Entry]:
        """What is known about each product, by its name."""
        content: Products = self._content("products")
        return content.products

    @cached_property
    def _names(self) -> dict[str, str]:
        return {alias: name for name, entry in self.products.items() for alias in entry.aliases}

    def canonical_name(self, name: str) -> str:
        """The name that the data is kept under, for any of a product's names."""
        return self._names.get(name, name)

    def entry(self, name: str) -> Entry:
        """What is known about the product `name`; an empty entry for an unknown one."""
        return self.products.get(name, Entry())

    def knows(self, name: str) -> bool:
        """Whether anything at all is known about the product `name`."""
        return name in self.products or name in self._support.products or name in self._releases.products

    # --- support

    @cached_property
    def _support(self) -> Support:
        content: Support = self._content("eol")
        return content

    @cached_property
    def _releases(self) -> Releases:
        content: Releases = self._content("releases")
        return content

    def cycles(self, name: str) -> tuple[Cycle, ...]:
        """The branches of the product `name`, newest first."""
        entry = self.entry(name)
        for slug in (name, *entry.aliases):
            if slug in self._support.products:
                return self._support.products[slug].cycles
        return entry.support

    def releases(self, name: str) -> dict[str, str]:
        """The date of every known release of the product `name`."""
        for slug in (name, *self.entry(name).aliases):
            if slug in self._releases.products:
                return self._releases.products[slug]
        return self.entry(name).releases

    def listed_releases(self) -> tuple[str, ...]:
        """The products whose releases the feed `releases` lists."""
        return tuple(sorted(self._releases.products))

    def complete_as_of(self, name: str) -> str:
        """The day when the list of the product's releases was complete; "" when it may lack some."""
        entry = self.entry(name)
        slugs = (name, *entry.aliases)
        dates = [
            self.feed_date(feed)
            for feed, products in (("eol", self._support.products), ("releases", self._releases.products))
            if any(slug in products for slug in slugs)
        ]
        return max(dates, default=entry.as_of)

    def numbers(self, name: str) -> dict[str, str]:
        """Every number of the product that is known to exist, with the day it was first seen (or "")."""
        if name not in self.memo:
            self.memo[name] = _numbers(self, name)
        found: dict[str, str] = self.memo[name]
        return found

    @cached_property
    def memo(self) -> dict[Any, Any]:
        """What was worked out from the data once; every answer is a function of the data alone."""
        return {}

    def support_ends(self, release: str, *, extended: bool = False) -> str | bool | None:
        """When the distribution release (`debian 12`) stops being maintained, as in `Cycle.ended`.

        Debian's volunteers' long-term support counts as support; paid extensions only with `extended`.
        """
        distribution, _, number = release.partition(" ")
        for cycle in self.cycles(distribution):
            if cycle.name == number:
                longer = cycle.extended if extended or distribution == "debian" else None
                return cycle.ended if longer is None else longer
        return None

    # --- flaws

    @cached_property
    def _catalogue(self) -> Catalogue:
        content: Catalogue = self._content("kev")
        return content

    @cached_property
    def exploited_ids(self) -> dict[str, str]:
        """Every identifier in the catalogue of exploited flaws, and the day it was added."""
        return self._catalogue.ids

    @cached_property
    def _flaws(self) -> dict[str, list[Flaw]]:
        found: dict[str, list[Flaw]] = {}
        content: Ranges = self._content("ranges")
        for flaw in content.flaws:
            found.setdefault(flaw.product, []).append(flaw)
        return found

    def exploited(self, name: str) -> tuple[Flaw, ...]:
        """The flaws of the product that are exploited; without ranges where no range is known."""
        return self._exploited.get(name, ())

    @cached_property
    def _exploited(self) -> dict[str, tuple[Flaw, ...]]:
        found: dict[str, dict[str, Flaw]] = {}
        for known in self._catalogue.flaws:
            found.setdefault(known.product, {})[known.cve] = Flaw(cve=known.cve, product=known.product)
        for product, flaws in self._flaws.items():
            for flaw in flaws:
                if flaw.in_kev or flaw.cve in self._catalogue.ids:
                    found.setdefault(product, {})[flaw.cve] = flaw
        return {product: tuple(flaws.values()) for product, flaws in found.items()}

    def all_ranges(self) -> tuple[Flaw, ...]:
        """Every flaw whose versions are known."""
        return tuple(flaw for flaws in self._flaws.values() for flaw in flaws)

    def catalogue(self) -> tuple[Exploited, ...]:
        """The entries of the catalogue of exploited flaws that are of products we name."""
        return self._catalogue.flaws

    def products_by_flaw(self) -> dict[str, str]:
        """Which product a flaw in the catalogue is of, by its identifier."""
        return {flaw.cve: flaw.product for flaw in self._catalogue.flaws}

    def flaw_ids(self, name: str) -> set[str]:
        """The identifiers of every flaw that is known of the product."""
        return {flaw.cve for flaw in (*self.exploited(name), *self.notable(name))}

    def notable(self, name: str) -> tuple[Flaw, ...]:
        """Well-known flaws of the product that are not in the catalogue of exploited ones."""
        return tuple(
            flaw
            for flaw in self._flaws.get(name, ())
            if not flaw.in_kev and flaw.cve not in self._catalogue.ids
        )

    # --- packages

    @cached_property
    def packages(self) -> dict[str, dict[str, PackageLevel]]:
        """Levels by source package and distribution release."""
        content: Packages = self._content("debian")
        found = dict(content.packages)
        for source, releases in self.ubuntu.items():
            found[source] = {**found.get(source, {}), **releases}
        return found

    @cached_property
    def ubuntu(self) -> dict[str, dict[str, PackageLevel]]:
        """Those of Ubuntu alone; none until they were fetched."""
        content: Packages = self._content("ubuntu") if "ubuntu" in self.files else Packages(packages={})
        return content.packages

    def packages_date(self, release: str) -> str:
        """The date of the package levels of a distribution release; "" when there are none."""
        return self.feed_date("ubuntu" if release.startswith("ubuntu ") else "debian")

    @cached_property
    def builds(self) -> Builds:
        """Which distribution ships what."""
        content: Builds = self._content("builds")
        return content

    def package_levels(self, name: str, distribution: str = "") -> dict[str, tuple[str, PackageLevel]]:
        """By release, the source package and level of the product in each release of `distribution`."""
        return {
            release: (source, level)
            for source in self.entry(name).packages
            for release, level in self.packages.get(source, {}).items()
            if release.startswith(distribution)
        }

    def follows_upstream(self, source: str, release: str) -> bool:
        """Whether the source package moves with upstream in that release, so that its number is its level."""
        distribution, _, number = release.partition(" ")
        stem = source.split("-", maxsplit=1)[0] if source.startswith("postgresql-") else source
        return any(
            rule.package == stem
            and rule.distribution == distribution
            and (not rule.since or compare(number, rule.since) >= 0)
            for rule in self.builds.follows
        )

    def shippers(self, name: str, version: str) -> tuple[str, ...]:
        """The distribution releases that ship this very number and patch it without changing it."""
        return tuple(
            release
            for row in self._frozen.get(name, ())
            if _same_number(version, row.version)
            for release in row.shippers
        )

    @cached_property
    def _frozen(self) -> dict[str, list[Frozen]]:
        found: dict[str, list[Frozen]] = {}
        for row in self.builds.frozen:
            found.setdefault(row.product, []).append(row)
        return found


def _same_number(version: str, row: str) -> bool:
    return within(version, row[:-2]) if row.endswith(".*") else compare(version, row) == 0


def _numbers(reference: Reference, name: str) -> dict[str, str]:
    """Releases, the newest of each branch, and what distributions that follow upstream ship already."""
    found = dict(reference.releases(name))
    for cycle in reference.cycles(name):
        if cycle.latest:
            found.setdefault(cycle.latest, cycle.latest_date)
    for release, (source, level) in reference.package_levels(name).items():
        if level.newest and reference.follows_upstream(source, release):
            for version, day, _ in (*level.history, (level.newest, level.newest_date, ())):
                number = upstream(version)
                if day and (not found.get(number) or day < found[number]):
                    found[number] = day
                found.setdefault(number, day)
    return {number: day for number, day in found.items() if all(part[0] for part in parts(number))}


def user_folder() -> Path:
    """Where fetched reference data is kept: `$XDG_DATA_HOME/seccheck/reference`."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "seccheck" / "reference"


def read_folder(folder: Path) -> dict[str, bytes]:
    """The feed files of `folder` by id, each checked against the manifest; none without a manifest.

    Raises `SeccheckError` when a file is missing, damaged or of another format.
    """
    path = folder / "manifest.json"
    if not path.exists():
        return {}
    advice = "fetch it again with `seccheck feeds update`, or remove the folder to use what ships"
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        files = {feed.id: (folder / feed.file).read_bytes() for feed in manifest.feeds}
    except (*UNREADABLE, OSError) as error:
        raise SeccheckError(f"{path}: {error}", next_step=advice) from error
    if manifest.seccheck != FORMAT:
        raise SeccheckError(f"{path} has the format {manifest.seccheck!r}, not {FORMAT!r}", next_step=advice)
    for feed in manifest.feeds:
        if digest_bytes(files[feed.id]) != f"sha256:{feed.sha256}":
            raise SeccheckError(f"{folder / feed.file} is not what its manifest says", next_step=advice)
    return files


def newest(candidates: Iterable[Mapping[str, bytes]]) -> dict[str, bytes]:
    """Of each feed the latest by the date inside it; of two with the same date the later candidate."""
    best: dict[str, bytes] = {}
    dates: dict[str, str] = {}
    for files in candidates:
        for feed, data in files.items():
            if feed not in CONTENTS:
                continue
            document = read_document(data, f"feed {feed!r}")
            if feed not in best or document.date >= dates[feed]:
                best[feed], dates[feed] = data, document.date
    return best


def load_reference(folder: Path | None = None) -> Reference:
    """The reference data in `folder`; by default the newest of what ships and what was fetched since.

    Feeds that `folder` lacks are taken from what ships. Raises `SeccheckError` for damaged data.
    """
    bundled = read_folder(BUNDLED)
    if folder is not None:
        return Reference({**bundled, **newest([read_folder(folder)])})
    return Reference(newest([bundled, read_folder(user_folder())]))


def load_reference_bytes(data: bytes) -> Reference:
    """The reference data that `pack` wrote.

    Raises `SeccheckError` when it is damaged.
    """
    try:
        text = zlib.decompressobj(wbits=31).decompress(data, _MAX_UNPACKED)
        files = msgspec.json.decode(text, type=dict[str, str])
    except (zlib.error, *UNREADABLE) as error:
        raise SeccheckError(
            f"the run's reference data is damaged: {error}",
            next_step="take the run folder from its source again",
        ) from error
    documents = {feed: text.encode() for feed, text in files.items()}
    for feed, document in documents.items():
        read_document(document, f"feed {feed!r}")
    return Reference(documents)


def pack(reference: Reference) -> bytes:
    """`reference` as one compressed file; the same data gives the same bytes."""
    return gzip.compress(canonical({feed: data.decode() for feed, data in reference.files.items()}), mtime=0)
