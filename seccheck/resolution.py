"""What names resolved to before the scan: data that the plan keeps."""

from __future__ import annotations

from seccheck.model import Reason, Record


class Resolution(Record):
    """The addresses of one name, or why there are none."""

    name: str
    addresses: tuple[str, ...] = ()
    """Every A and AAAA address, sorted."""
    failed: Reason | None = None
    detail: str = ""
