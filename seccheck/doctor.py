"""What this machine has and lacks for scanning."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime


def examine() -> Iterator[tuple[str, bool | None]]:
    """One line each with whether it is in order; None: good to have, and missing."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield f"Python {version} (3.11 or newer)", sys.version_info >= (3, 11)
    yield from _libraries()
    nmap = shutil.which("nmap")
    yield (
        f"nmap: {nmap or 'not installed; the built-in prober is used (apt install nmap)'}",
        True if nmap else None,
    )
    yield (
        f"IPv6 on this machine: {'yes' if _has_ipv6() else 'no; IPv6 addresses will be inconclusive'}",
        _has_ipv6() or None,
    )
    yield _descriptors()
    yield from _reference()


def _libraries() -> Iterator[tuple[str, bool | None]]:
    import yaml

    yield "libyaml behind PyYAML", yaml.__with_libyaml__
    for module in ("nassl", "sslyze", "cryptography", "h11", "dns", "nmap"):
        yield f"library {module}", importlib.util.find_spec(module) is not None


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def _descriptors() -> tuple[str, bool | None]:
    if not hasattr(os, "sysconf"):
        return "open files: not known", None
    limit = int(os.sysconf("SC_OPEN_MAX"))
    return f"open files allowed: {limit} (1024 or more)", limit >= 1024


def _reference() -> Iterator[tuple[str, bool | None]]:
    from seccheck.reference import load_reference

    today = datetime.now(UTC).date()
    for feed in load_reference().feeds:
        day = date.fromisoformat(str(feed.date)[:10])
        age = (today - day).days
        advice = "" if age <= 30 else "; older than 30 days: `seccheck feeds update`"
        yield f"reference data {feed.id}: {day}, {age} days old{advice}", True if age <= 30 else None
