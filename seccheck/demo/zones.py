"""What the zones of the demonstration hold, and their signatures: one zone to each unit, one above them."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from seccheck.demo.conduct import Publishing
from seccheck.demo.layout import Place
from seccheck.demo.systems import ZONE

if TYPE_CHECKING:
    from dns.rdtypes.ANY.DNSKEY import DNSKEY
    from dns.zone import Zone

_TTL = 60
_HEAD = (f"@ SOA ns.{ZONE}. soc.{ZONE}. 1 3600 600 86400 {_TTL}", f"@ NS ns.{ZONE}.")
_DAY = timedelta(days=1)
_NOWHERE = "127.255.0.1"
"""An address of nobody."""


@dataclass(frozen=True)
class Served:
    """A zone, and whether it is given to whoever asks for all of it."""

    zone: Zone
    transfer: bool = False


class ZoneKey:
    """The one key that signs every zone, made anew at each start; the registry's trust anchor names it."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._now = datetime.now(UTC).replace(microsecond=0)

    @cached_property
    def public(self) -> DNSKEY:
        """The DNSKEY record."""
        import dns.dnssec

        return dns.dnssec.make_dnskey(self._key.public_key(), "ECDSAP256SHA256", flags=257)

    def ds(self, zone: str) -> str:
        """The DS record that stands for the key in `zone`, without its owner."""
        import dns.dnssec

        return f"DS {dns.dnssec.make_ds(zone + '.', self.public, 'SHA256')}"

    def anchor(self) -> str:
        """The trust anchor of the whole demonstration, as a line of a zone file."""
        return f"{ZONE}. IN {self.ds(ZONE)}\n"

    def sign(self, zone: Zone, *, expired: bool = False) -> None:
        """Sign all of `zone` (RFC 4034), absence by NSEC."""
        import dns.dnssec

        since = self._now - (60 if expired else 1) * _DAY
        dns.dnssec.sign_zone(
            zone, keys=[(self._key, self.public)], inception=since, expiration=since + 30 * _DAY
        )


def zones(places: Iterable[Place], name_server: str, key: ZoneKey) -> list[Served]:
    """The zone above, then that of each unit."""
    units: defaultdict[str, list[Place]] = defaultdict(list)
    for place in places:
        units[place.system.domain].append(place)
    # Defects of a domain are for units with one system, so the first speaks for all.
    published = {domain: own[0].system.conduct.domain for domain, own in units.items()}
    signature = _dkim()
    below = [
        _zone(domain, _of_unit(own, published[domain], signature), key, published[domain])
        for domain, own in units.items()
    ]
    return [_zone(ZONE, _above(published, name_server, key), key, Publishing()), *below]


def _zone(origin: str, records: Iterable[str], key: ZoneKey, how: Publishing) -> Served:
    import dns.zone

    lines = (f"{owner} {_TTL} IN {record}" for owner, record in (line.split(" ", 1) for line in records))
    zone = dns.zone.from_text("\n".join((*lines, "")), f"{origin}.", relativize=False)
    if how.signatures != "none":
        key.sign(zone, expired=how.signatures == "expired")
    return Served(zone, how.transfer)


def _above(published: Mapping[str, Publishing], name_server: str, key: ZoneKey) -> Iterator[str]:
    yield from _HEAD
    yield f"ns A {name_server}"
    for domain, how in published.items():
        yield f"{domain}. NS ns.{ZONE}."
        if how.signatures != "none":
            yield f"{domain}. {key.ds(domain)}"


def _of_unit(places: list[Place], how: Publishing, signature: str) -> Iterator[str]:
    yield from _HEAD
    servers = [place.system.host for place in places if "smtp" in place.system.services]
    for server in servers:
        yield f"@ MX 10 {server}."
    if servers:
        yield f'mail._domainkey TXT "v=DKIM1; k=ed25519; p={signature}"'
    elif not how.dead_exchanger:
        yield "@ MX 0 ."
    if how.dead_exchanger:
        yield "@ MX 20 mx-cu"
    yield f'@ TXT "v=spf1 {"mx " if servers else ""}-all"'
    if how.dmarc:
        yield f'_dmarc TXT "v=DMARC1; p={how.dmarc}; rua=mailto:dmarc@{ZONE}"'
    yield f'@ CAA 0 iodef "mailto:soc@{ZONE}"'
    if how.issuer:
        yield f'@ CAA 0 issue "ca.{ZONE}"'
    for place in places:
        yield f"{place.system.host}. A {_NOWHERE if place.system.conduct.other_address else place.address}"
        if place.ipv6:
            yield f"{place.system.host}. AAAA ::1"


def _dkim() -> str:
    """A key that would sign mail (RFC 8463), if any were sent."""
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    return base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
