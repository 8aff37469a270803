"""What every reader of a publisher's file raises."""

from __future__ import annotations

from datetime import date


class Malformed(ValueError):  # noqa: N818 (named as FetchFailed is)
    """A file that is not in its publisher's format."""


def day_of(text: str) -> str:
    """The day at the beginning of a date or time, as `2026-08-22`; raises `Malformed` when there is none."""
    try:
        return date.fromisoformat(text[:10]).isoformat()
    except ValueError:
        raise Malformed(f"{text[:40]!r} is no date") from None
