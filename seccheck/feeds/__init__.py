"""Bring reference data up to date from its publishers, or from a file on an air-gapped machine.

What is already there stays whenever something newer cannot be had whole: every feed is fetched, checked
against its publisher's format and compared with what it replaces before it takes its place.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from seccheck.errors import UNREADABLE, SeccheckError
from seccheck.feeds import publishers
from seccheck.feeds.fetch import Fetched, FetchFailed, NotThere, get
from seccheck.feeds.publishers import PUBLISHERS, Content, Malformed
from seccheck.feeds.store import Seen, keep, locked, read_seen
from seccheck.model import Record, canonical
from seccheck.reference.exploited import EXPLOITED_DAYS
from seccheck.reference.snapshot import (
    BUNDLED,
    CONTENTS,
    Document,
    Reference,
    load_reference,
    load_reference_bytes,
    newest,
    read_document,
    read_folder,
    user_folder,
)

__all__ = ["PUBLISHERS", "FeedStatus", "Outcome", "import_file", "status", "update"]

MAX_IMPORT = 512 << 20
_XZ = b"\xfd7zXZ\0"
PAUSE_BETWEEN_PAGES = 6.0
"""NVD asks for at most five requests in 30 s without a key."""
Clock = Callable[[], datetime]


class FeedStatus(Record):
    """One feed: as of when, how old, and where this copy of it is."""

    id: str
    date: str
    age_days: int
    old: bool
    """Older than 30 days: reports warn, and "no match" is no longer believed."""
    entries: int
    source: str
    licence: str
    digest: str
    origin: Literal["shipped", "fetched"]
    updatable: bool
    """Whether `update` can bring a newer one; the others come with releases of seccheck."""


class Outcome(Record):
    """What became of one feed in an update or import."""

    feed: str
    state: Literal["updated", "unchanged", "failed"]
    """unchanged: the publisher has nothing newer; failed: what was there stays."""
    date: str
    """The date of the data that is now in use."""
    detail: str = ""


def _now() -> datetime:
    return datetime.now(UTC)


def status(folder: Path | None = None, *, now: Clock = _now) -> tuple[FeedStatus, ...]:
    """Every feed in use, in the order of their ids."""
    reference = load_reference() if folder is None else _in_use(folder)
    fetched = read_folder(folder or user_folder())
    at = now()
    return tuple(
        FeedStatus(
            id=info.id,
            date=info.date,
            age_days=reference.age(info.id, at),
            old=reference.age(info.id, at) > EXPLOITED_DAYS,
            entries=info.entries,
            source=info.source,
            licence=info.licence,
            digest=info.digest,
            origin="fetched" if fetched.get(info.id) == reference.files[info.id] else "shipped",
            updatable=info.id in PUBLISHERS,
        )
        for info in reference.feeds
    )


def update(
    only: Iterable[str] = (),
    base_urls: Mapping[str, str] | None = None,
    folder: Path | None = None,
    *,
    now: Clock = _now,
) -> tuple[Outcome, ...]:
    """Fetch what is newer, feed by feed; `only` names the feeds, all by default.

    `base_urls` gives, by feed, another scheme and host (a mirror) for the publisher's.
    Raises `SeccheckError` for a feed that does not exist.
    """
    wanted = tuple(only) or tuple(PUBLISHERS)
    for feed in wanted:
        if feed not in PUBLISHERS:
            raise SeccheckError(
                f"there is no feed {feed!r} to update", next_step=f"name one of: {', '.join(PUBLISHERS)}"
            )
    folder = folder or user_folder()
    with locked(folder):
        return tuple(_update(feed, base_urls or {}, folder, now) for feed in wanted)


def _update(feed: str, base_urls: Mapping[str, str], folder: Path, now: Clock) -> Outcome:
    reference = _in_use(folder)
    visit = _Visit(feed, base_urls, folder)
    try:
        content, day = _FETCHERS[feed](visit, reference)
        return _take(feed, content, day, reference, folder, now, visit.seen)
    except _Unchanged:
        return Outcome(feed=feed, state="unchanged", date=reference.feed_date(feed))
    except (FetchFailed, Malformed) as error:
        return Outcome(feed=feed, state="failed", date=reference.feed_date(feed), detail=str(error))


def _in_use(folder: Path) -> Reference:
    return Reference(newest([read_folder(BUNDLED), read_folder(folder)]))


class _Unchanged(Exception):  # noqa: N818 (no error)
    """The publisher has nothing newer."""


class _Visit:
    """The requests to one publisher, conditional on what we have."""

    def __init__(self, feed: str, base_urls: Mapping[str, str], folder: Path) -> None:
        self.publisher = PUBLISHERS[feed]
        self.base = base_urls.get(feed, "")
        self.before = read_seen(folder) if feed in read_folder(folder) else {}
        self.seen: dict[str, Seen] = {}

    def get(self, *, conditional: bool = True, **fields: object) -> Fetched:
        url = self.publisher.url.format(**fields)
        if self.base:
            parts = urlsplit(url)
            url = self.base.rstrip("/") + parts.path + (f"?{parts.query}" if parts.query else "")
        seen = self.before.get(url, Seen()) if conditional else Seen()
        answer = get(
            url,
            limit=self.publisher.limit,
            etag=seen.etag,
            modified=seen.modified,
            key=os.environ.get("NVD_API_KEY", "") if "nvd.nist.gov" in self.publisher.url else "",
        )
        self.seen[url] = Seen(etag=answer.etag, modified=answer.modified)
        return answer


def _whole(visit: _Visit) -> tuple[bytes, str]:
    answer = visit.get()
    if answer.data is None:
        raise _Unchanged
    return answer.data, answer.day


def _fetch_support(visit: _Visit, reference: Reference) -> tuple[Content, str]:
    data, day = _whole(visit)
    return publishers.support(data, reference), day


def _fetch_exploited(visit: _Visit, reference: Reference) -> tuple[Content, str]:
    data, day = _whole(visit)
    return publishers.exploited(data, reference), day


def _fetch_packages(visit: _Visit, reference: Reference) -> tuple[Content, str]:
    data, day = _whole(visit)
    if not day:
        raise Malformed("the publisher does not say of which day it is")
    return publishers.packages(data, reference, day), day


def _fetch_ubuntu(visit: _Visit, reference: Reference) -> tuple[Content, str]:
    data, day = _whole(visit)
    return publishers.ubuntu_packages(data, reference), day


def _fetch_releases(visit: _Visit, reference: Reference) -> tuple[Content, str]:
    """Every file is asked for anew: the feed's date is the day all of them were read together."""
    files: dict[str, bytes] = {}
    day = ""
    for slug in reference.listed_releases():
        try:
            answer = visit.get(slug=slug, conditional=False)
        except NotThere:  # no longer listed: its newest release is still in the support table
            continue
        files[slug] = answer.data or b""
        day = max(day, answer.day)
    return publishers.releases(files, reference), day


def _fetch_ranges(visit: _Visit, reference: Reference) -> tuple[Content, str]:
    pages = [publishers.nvd_page(visit.get(start=0, conditional=False).data or b"")]
    read = len(pages[0].vulnerabilities)
    while pages[-1].vulnerabilities and read < pages[0].total_results:
        if not visit.base:
            time.sleep(PAUSE_BETWEEN_PAGES)
        pages.append(publishers.nvd_page(visit.get(start=read, conditional=False).data or b""))
        read += len(pages[-1].vulnerabilities)
    return publishers.ranges(pages, reference), ""


_FETCHERS: dict[str, Callable[[_Visit, Reference], tuple[Content, str]]] = {
    "eol": _fetch_support,
    "releases": _fetch_releases,
    "kev": _fetch_exploited,
    "ranges": _fetch_ranges,
    "debian": _fetch_packages,
    "ubuntu": _fetch_ubuntu,
}


def _take(
    feed: str,
    content: Content,
    served: str,
    reference: Reference,
    folder: Path,
    now: Clock,
    seen: Mapping[str, Seen],
) -> Outcome:
    """Put new content into use if it is as new and as large as what it replaces.

    Raises `Malformed` when it is not, `_Unchanged` when it is the same.
    """
    today = now().date()
    day = content.day or served or today.isoformat()
    before = reference.feed_date(feed)
    if date.fromisoformat(day) > today + timedelta(days=1):
        raise Malformed(f"it is dated {day}, which is yet to come")
    if day < before:
        raise Malformed(f"it is of {day}, older than ours of {before}")
    if not content.entries:
        raise Malformed("it has no entries")
    publisher = PUBLISHERS[feed]
    document = Document(
        feed=feed,
        date=day,
        source=f"https://{urlsplit(publisher.url).netloc}",
        licence=publisher.licence,
        note=f"fetched {today.isoformat()}",
        entries=content.entries,
        content=msgspec.Raw(canonical(content.content)),
    )
    data = canonical(document)
    read_document(data, f"feed {feed!r}")
    same = read_document(reference.files[feed], feed) if before else None
    if same and same.date == day and canonical(msgspec.json.decode(same.content)) == bytes(document.content):
        raise _Unchanged
    keep(folder, {feed: data}, seen)
    return Outcome(
        feed=feed, state="updated", date=day, detail=f"{content.entries} entries, was {before or 'missing'}"
    )


# -------------------------------------------------------------------------------------------- import


def import_file(
    path: Path, folder: Path | None = None, *, as_of: date | None = None, now: Clock = _now
) -> tuple[Outcome, ...]:
    """Take feeds from a file: as a publisher serves it, a feed of ours, or the reference data of a run.

    `as_of` is the day of a publisher's file that bears no date (the Debian security tracker's).
    Raises `SeccheckError` when the file is none of these, or older than what is in use.
    """
    try:
        if path.stat().st_size > MAX_IMPORT:
            raise SeccheckError(f"{path} is larger than {MAX_IMPORT} bytes", next_step="name another file")
        data = path.read_bytes()
    except OSError as error:
        raise SeccheckError(f"{path}: {error.strerror or error}", next_step="name another file") from error
    folder = folder or user_folder()
    with locked(folder):
        try:
            outcomes = tuple(_import(data, folder, as_of, now))
        except Malformed as error:
            raise SeccheckError(
                f"{path}: {error}", next_step="fetch the file from its publisher again"
            ) from None
    return outcomes


def _import(data: bytes, folder: Path, as_of: date | None, now: Clock) -> Iterator[Outcome]:
    if data[:2] == b"\x1f\x8b":
        for feed, document in load_reference_bytes(data).files.items():
            yield _import_document(feed, document, folder)
        return
    if data.startswith(_XZ):
        yield _import_content("ubuntu", publishers.ubuntu_packages(data, _in_use(folder)), "", folder, now)
        return
    head = _head(data)
    if "feed" in head and "content" in head:
        yield _import_document(read_document(data, "the file").feed, data, folder)
        return
    reference = _in_use(folder)
    served = as_of.isoformat() if as_of else ""
    if "catalogVersion" in head:
        feed, content = "kev", publishers.exploited(data, reference)
    elif "schema_version" in head:
        feed, content = "eol", publishers.support(data, reference)
    elif "vulnerabilities" in head:
        feed, content = "ranges", publishers.ranges([publishers.nvd_page(data)], reference)
    elif not as_of:
        raise Malformed("the file bears no date; say of which day it is")
    else:
        feed, content = "debian", publishers.packages(data, reference, served)
    yield _import_content(feed, content, served, folder, now)


def _import_content(feed: str, content: Content, served: str, folder: Path, now: Clock) -> Outcome:
    reference = _in_use(folder)
    try:
        return _take(feed, content, served, reference, folder, now, {})
    except _Unchanged:
        return Outcome(feed=feed, state="unchanged", date=reference.feed_date(feed))


def _head(data: bytes) -> dict[str, msgspec.Raw]:
    try:
        return msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except UNREADABLE as error:
        raise Malformed(f"not a JSON object: {error}") from None


def _import_document(feed: str, data: bytes, folder: Path) -> Outcome:
    if feed not in CONTENTS:
        raise Malformed(f"there is no feed {feed!r}")
    document = read_document(data, f"feed {feed!r}")
    before = _in_use(folder).feed_date(feed)
    if document.date <= before:
        return Outcome(feed=feed, state="unchanged", date=before, detail=f"the file's is of {document.date}")
    keep(folder, {feed: data}, {})
    return Outcome(feed=feed, state="updated", date=document.date, detail=f"was {before}")
