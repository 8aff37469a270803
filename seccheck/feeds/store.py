"""The folder of fetched feeds: replaced as a whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from seccheck.errors import UNREADABLE
from seccheck.model import Record
from seccheck.reference.snapshot import FORMAT, Manifest, ManifestFeed, read_document, read_folder


class Seen(Record):
    """What a publisher said of the copy we have, to ask only for something newer."""

    etag: str = ""
    modified: str = ""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One writer at a time; the lock dies with its process."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def keep(folder: Path, changed: Mapping[str, bytes], seen: Mapping[str, Seen]) -> None:
    """Put the feed files `changed` (by feed id) into `folder` beside those that are there.

    A file is named after its digest and the manifest is replaced last, so that a reader finds either
    the old data or the new.
    """
    files = {**read_folder(folder), **changed}
    feeds = []
    for feed, data in sorted(files.items()):
        sha256 = hashlib.sha256(data).hexdigest()
        name = f"{feed}-{sha256[:16]}.json"
        if not (folder / name).exists():
            _replace(folder / name, data)
        day = read_document(data, name).date
        feeds.append(ManifestFeed(id=feed, file=name, date=day, sha256=sha256))
    manifest = Manifest(seccheck=FORMAT, feeds=tuple(feeds))
    _replace(folder / "manifest.json", msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    _replace(folder / "seen.json", msgspec.json.encode({**read_seen(folder), **seen}))
    named = {feed.file for feed in feeds}
    for path in folder.glob("*-*.json"):
        if path.name not in named:
            path.unlink(missing_ok=True)


def read_seen(folder: Path) -> dict[str, Seen]:
    """What publishers said, by address; nothing when the note of it is missing or damaged."""
    try:
        return msgspec.json.decode((folder / "seen.json").read_bytes(), type=dict[str, Seen])
    except (OSError, *UNREADABLE):
        return {}


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
