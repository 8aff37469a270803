"""What the dns probe can be asked, and what it answers."""

from __future__ import annotations

from typing import Literal

from seccheck.model import Record
from seccheck.probes import Facts, Params


class DnsParams(Params):
    """What to look at: a tuple of "addresses", "dnssec", "caa", "transfer", "dangling"."""

    ask: tuple[Literal["addresses", "dnssec", "caa", "transfer", "dangling"], ...] = ("addresses",)


class Dangling(Record):
    """A record that points at a name that does not exist, or has no address."""

    name: str
    kind: Literal["CNAME", "MX", "NS"]
    target: str
    detail: str = ""


class Caa(Record):
    """The certificate issuers that CAA allows (RFC 8659); absent: all empty."""

    present: bool = False
    at: str = ""
    """The name that holds the records, found by climbing from the domain."""
    issuers: tuple[str, ...] = ()
    """Who may issue; empty with `limits`: nobody."""
    wildcard_issuers: tuple[str, ...] = ()
    """Who may issue for wildcards, where that is said apart."""
    limits: bool = False
    """Whether issuance is limited: an `issue` property is there (RFC 8659, 4.2)."""


class Dnssec(Record):
    """How the chain of trust from the anchor to the name ends (RFC 4035, 4.3)."""

    status: Literal["secure", "insecure", "bogus"]
    """"insecure": not signed, or not so that one can check; "bogus": it should validate and does not."""
    signed: bool
    """Whether the zone carries keys (DNSKEY records)."""
    zone: str = ""
    """The zone that holds the name."""
    detail: str = ""
    algorithms: tuple[str, ...] = ()
    """Of the zone's keys, such as "ECDSAP256SHA256"."""


class NameServer(Record):
    """One name server of the zone, asked once for the whole of it."""

    name: str
    addresses: tuple[str, ...] = ()
    asked: str = ""
    """The address that answered the AXFR question."""
    transfer: Literal["refused", "allowed"] | None = None
    """None: not told."""


class DnsFacts(Facts):
    """What the domain name system says of a name: a registered domain, or the host of a target."""

    exists: bool | None = None
    """False: the name does not exist (NXDOMAIN)."""
    aliases: tuple[str, ...] | None = None
    """The names a chain of CNAME leads over, in order."""
    ipv4: tuple[str, ...] | None = None
    ipv6: tuple[str, ...] | None = None
    addresses: tuple[str, ...] | None = None
    """Both kinds together, sorted."""
    dnssec: Dnssec | None = None
    caa: Caa | None = None
    zone: str | None = None
    """The zone that holds the name."""
    servers: tuple[NameServer, ...] | None = None
    transfer_allowed: tuple[str, ...] | None = None
    """The name servers that gave the zone away."""
    dangling: tuple[Dangling, ...] | None = None
