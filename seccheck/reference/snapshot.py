"""The reference data of a run: dated feeds, loaded once, packed into the run folder as one file."""

from __future__ import annotations

from pathlib import Path

from seccheck.model import Record


class FeedInfo(Record):
    """One feed of the reference data: where it is from, and as of when."""

    id: str
    source: str
    date: str
    digest: str
    licence: str
    entries: int


class Reference(Record):
    """Everything that versions are judged by, as of the dates of its feeds."""

    feeds: tuple[FeedInfo, ...] = ()


def load_reference(folder: Path | None = None) -> Reference:
    """The reference data in `folder`; by default the newest of what ships and what was fetched since."""
    return Reference()


def load_reference_bytes(data: bytes) -> Reference:
    """The reference data that `pack` wrote."""
    return Reference()


def pack(reference: Reference) -> bytes:
    """`reference` as one compressed file; the same data gives the same bytes."""
    return b""
