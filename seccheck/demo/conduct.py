"""How a demonstration system is run: the defaults are what the criteria ask for, a defect changes some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ssl import TLSVersion
from typing import Literal

from seccheck.demo.certificates import Flaw, KeyKind
from seccheck.demo.lines import PostgresTalk, RdpTalk, VncTalk, ftp, redis, telnet
from seccheck.demo.loop import Talk
from seccheck.demo.oldtls import NOTHING_MORE, Accepted
from seccheck.demo.ssh import MODERN_SSH, SshOffer
from seccheck.demo.web import Site, WebTalk

DOORS: dict[str, Callable[[], Talk]] = {
    "web": lambda: WebTalk(Site("ứng dụng nội bộ / internal application")),
    "docker": lambda: WebTalk(Site("docker", docker=True)),
    "postgresql": PostgresTalk,
    "redis": redis,
    "rdp": RdpTalk,
    "vnc": VncTalk,
    "ftp": ftp,
    "telnet": telnet,
}
"""What may stand open beside the declared services, by name."""


@dataclass(frozen=True)
class Door:
    """A TCP port that stands open although it should not."""

    speaks: str
    """A key of `DOORS`."""
    ports: tuple[int, ...]
    """The first of them that is free is taken."""
    approved: bool = False
    """Whether the registry approves it all the same."""


@dataclass(frozen=True)
class Publishing:
    """What a unit publishes about its domain."""

    signatures: Literal["good", "expired", "none"] = "good"
    transfer: bool = False
    """Whether the whole zone is given to strangers."""
    issuer: bool = True
    """Whether CAA names one, and not only whom to report to."""
    dmarc: Literal["reject", "none", ""] = "reject"
    """The policy; empty: no record."""
    dead_exchanger: bool = False
    """Whether mail is sent to a host that is gone."""


@dataclass(frozen=True)
class Conduct:
    """How a system is run."""

    oldest: TLSVersion = TLSVersion.TLSv1_2
    newest: TLSVersion = TLSVersion.TLSv1_3
    weak_suites: tuple[str, ...] = ()
    """Suites that OpenSSL serves beside the forward-secret AEAD ones, by its own names."""
    accepted: Accepted = NOTHING_MORE
    """What is accepted by a handshake made by hand."""
    short_dh: bool = False
    """Diffie-Hellman over a prime of 1024 bits (RFC 2409, group 2)."""
    short_curve: bool = False
    """P-224 beside the usual curves."""
    renegotiation: bool = False
    certificate: frozenset[Flaw] = frozenset()
    key: KeyKind = "ec"
    https: bool = True
    """False: the system has no https service at all."""
    plain_on_https: bool = False
    """Plain HTTP is spoken on the port of the https service."""
    content_on_http: bool = False
    hsts: str = "max-age=31536000; includeSubDomains"
    csp: str = "default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    nosniff: bool = True
    framing: str = "DENY"
    cookie: str = "JSESSIONID=6b1f0c3a; Path=/; Secure; HttpOnly; SameSite=Lax"
    server: str = ""
    powered_by: str = ""
    ssh: SshOffer = MODERN_SSH
    doors: tuple[Door, ...] = ()
    ipv6: bool = True
    """Whether the https service is published and served over IPv6 as well, where the machine has it."""
    other_address: bool = False
    """DNS gives another address than the registry."""
    memcached: bool = False
    """memcached answers over UDP."""
    domain: Publishing = Publishing()
    not_met: tuple[str, ...] = ()
    """Criteria of which its own documents say that they are not met."""

    def headers(self) -> tuple[tuple[str, str], ...]:
        """The header fields of every web answer."""
        fields = (
            ("Server", self.server),
            ("X-Powered-By", self.powered_by),
            ("Strict-Transport-Security", self.hsts),
            ("Content-Security-Policy", self.csp),
            ("X-Content-Type-Options", "nosniff" if self.nosniff else ""),
            ("X-Frame-Options", self.framing),
            ("Referrer-Policy", "strict-origin-when-cross-origin"),
            ("Cache-Control", "no-store"),
        )
        return tuple((name, value) for name, value in fields if value)
