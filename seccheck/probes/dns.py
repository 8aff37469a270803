"""The dns probe: what the domain name system publishes for a domain or a name, and whether it proves it."""

from __future__ import annotations

from typing import Literal

from seccheck.model import Reason, Record
from seccheck.probes import Endpoint, Facts, Params, Probe, ProbeFailed
from seccheck.scope import Context


class DnsParams(Params):
    """What to look at: a tuple of "addresses", "dnssec", "caa", "servers", "transfer", "dangling"."""

    ask: tuple[Literal["addresses", "dnssec", "caa", "servers", "transfer", "dangling"], ...] = ("addresses",)


class Dangling(Record):
    """A record that points at a name that does not exist."""

    name: str
    kind: Literal["CNAME", "MX", "NS", "SRV"]
    target: str
    detail: str = ""


class Caa(Record):
    """The certificate issuers that CAA allows (RFC 8659); absent: all empty."""

    present: bool = False
    at: str = ""
    """The name that holds the records, found by climbing from the domain."""
    issuers: tuple[str, ...] = ()
    """Who may issue; empty with `present`: nobody."""
    wildcard_issuers: tuple[str, ...] = ()
    limits: bool = False
    """Whether issuance is limited: an `issue` property is there (RFC 8659, 4.2)."""


class Dnssec(Record):
    """How the chain of trust from the anchor to the domain ends (RFC 4035, 4.3)."""

    status: Literal["secure", "insecure", "bogus"]
    """"insecure": proven to be unsigned; "bogus": it should validate and does not."""
    signed: bool
    """Whether the zone carries DNSKEY records."""
    zone: str = ""
    """The zone the answer stands in, or the delegation where the chain ends."""
    detail: str = ""
    algorithms: tuple[str, ...] = ()


class NameServer(Record):
    """One name server address of the domain's zone."""

    name: str
    address: str
    transfer: Literal["refused", "allowed"] | None = None
    """What it answered to one AXFR question from here; None: not asked, or not told."""


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
    """The name server addresses that gave the zone away."""
    dangling: tuple[Dangling, ...] | None = None


def collect(endpoint: Endpoint, params: DnsParams, context: Context) -> DnsFacts:
    """What the domain name system publishes for the host of `endpoint`."""
    raise ProbeFailed(Reason.BUG, "not written yet")


PROBE = Probe(id="dns", version=1, subject="domain", params=DnsParams, facts=DnsFacts, collect=collect)
