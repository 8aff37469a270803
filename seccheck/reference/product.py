"""A product as a service names itself: what a banner says, and nothing added."""

from __future__ import annotations

from seccheck.model import Record


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
    """`certain`: the form names the product; `likely`: the form is the product's, but others imitate it."""
