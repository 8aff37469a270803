"""What every reader of a publisher's file raises."""

from __future__ import annotations


class Malformed(ValueError):  # noqa: N818 (named as FetchFailed is)
    """A file that is not in its publisher's format."""
