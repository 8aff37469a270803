"""A product as a service names itself: what a banner says, and nothing added."""

from __future__ import annotations

import re

from seccheck.model import Record

GUESSED = "guessed"
"""The confidence of what another program takes a service for: it is shown, and decides nothing."""


class Product(Record):
    """One software that a banner names; one banner may name several."""

    name: str
    """Slug of the reference data (`apache-http-server`, `openssh`), or `unknown`."""
    version: str = ""
    """As the banner writes it (`9.2p1`, `2.4.71`); empty when it is not disclosed."""
    distribution: str = ""
    """Who built the package, when the banner says so: debian, raspbian, ubuntu, rhel, centos, freebsd …"""
    release: str = ""
    """The release of that distribution, when the package revision spells it out: `12`, `22.04`."""
    revision: str = ""
    """The distribution's package revision (`2+deb12u10`), without the upstream version."""
    os: str = ""
    """The family of operating systems that the banner proves: windows, linux, freebsd; empty when silent."""
    source: str = ""
    """Where it was read: ssh, server, x-powered-by, smtp, ftp, mysql …"""
    raw: str = ""
    """The text that names it, made safe."""
    confidence: str = "certain"
    """`certain`: the form names the product; `likely`: the form is the product's, but others imitate it;
    `guessed`: another program's word for a service that we don't know."""


_REVISIONS = (
    (re.compile(r"deb\.sury\.org"), "sury", False),
    (re.compile(r"maria[~.]|^ubu\d{4}$"), "mariadb.org", False),
    (re.compile(r"~bpo\d+"), "debian", False),
    (re.compile(r"(?:^|[\d+~])deb(\d+)u\d+"), "debian", True),
    (re.compile(r"ubuntu\d+\.(\d\d\.\d\d)(?=\.|$|\+|~)"), "ubuntu", True),
    (re.compile(r"ubuntu"), "ubuntu", False),
    (re.compile(r"(?:^|\.)el(\d+)(?:_\d+)*(?=\.|$)"), "rhel", True),
    (re.compile(r"(?:^|\.)amzn(\d+)"), "amazon-linux", True),
    (re.compile(r"(?:^|\.)fc(\d+)"), "fedora", True),
)


def packager(revision: str) -> tuple[str, str]:
    """The distribution and its release that a package revision spells out; "" for what it does not."""
    for pattern, distribution, tells_release in _REVISIONS:
        if found := pattern.search(revision):
            return distribution, found[1] if tells_release else ""
    return "", ""
