"""What may be touched, when, and how fast, as plain data that crosses to workers as JSON.

`scope.Context` enforces it. This module opens nothing: the planner and the judges may read it.
"""

from __future__ import annotations

import ipaddress
from datetime import date, datetime
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from seccheck.model import Record

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class Limits(Record):
    """How gently one address is treated. None: unlimited (loopback)."""

    connections_per_second: int | None = 10
    connections_at_once: int = 4
    ports_per_second: int | None = 100
    addresses_at_once: int | None = 10
    """How many addresses of one network are looked at together: a network's budget is so many times that
    of an address, and no address waits for another one's connections while its own deadlines run."""


UNLIMITED = Limits(
    connections_per_second=None, connections_at_once=64, ports_per_second=None, addresses_at_once=None
)


class Window(Record):
    """When an authorisation holds: whole days, and optionally daily hours in a time zone."""

    since: date
    until: date
    hours: str = ""
    """`22:00-05:00`, may pass midnight; empty: all day."""
    zone: str = "Asia/Ho_Chi_Minh"

    def open_at(self, now: datetime) -> bool:
        """Whether `now` lies in the window. A night that began inside the dates counts to its end."""
        local = now.astimezone(ZoneInfo(self.zone))
        if not self.hours:
            return self.since <= local.date() <= self.until
        start, _, end = self.hours.partition("-")
        clock = local.strftime("%H:%M")
        if start <= end:
            return self.since <= local.date() <= self.until and start <= clock < end
        if clock >= start:
            return self.since <= local.date() <= self.until
        started = date.fromordinal(local.date().toordinal() - 1)
        return clock < end and self.since <= started <= self.until

    def opens_later(self, now: datetime) -> bool:
        """Whether there is still a moment after `now` at which it is open, should it be closed now."""
        local = now.astimezone(ZoneInfo(self.zone))
        start = self.hours.partition("-")[0] or "00:00"
        return local.date() < self.until or (local.date() == self.until and local.strftime("%H:%M") < start)


class Resolver(Record):
    """One name server to ask, instead of the machine's own."""

    address: str
    port: int = 53


class Permission(Record):
    """What one network (CIDR) may be asked, and when."""

    network: str
    window: Window | None = None
    """None: loopback, which needs no authorisation."""
    also: Window | None = None
    """When the owner of the machine that looks allows it: both must be open."""
    limits: Limits = Limits()

    def open_at(self, now: datetime) -> bool:
        """Whether it may be looked at now."""
        return all(one.open_at(now) for one in (self.window, self.also) if one)

    def opens_later(self, now: datetime) -> bool:
        """Whether there may still come a moment at which it is open, should it be closed now."""
        return all(one.open_at(now) or one.opens_later(now) for one in (self.window, self.also) if one)


class Scope(Record):
    """Everything a worker must know to look only where, when and as gently as it may."""

    permissions: tuple[Permission, ...] = ()
    """The narrowest network that holds an address decides; an address in none is out of scope."""
    resolvers: tuple[Resolver, ...] = ()
    trust_anchor: str = ""
    """DNSSEC trust anchor in zone-file form, for a private root; empty: the public root."""
    trust: tuple[str, ...] = ()
    """PEM texts of the registry's own certificate roots."""
    revocation: Literal["staple", "fetch"] = "staple"
    revocation_urls: tuple[str, ...] = ()
    zone: str = "internet"
    """Where this machine looks from."""
    documents: str = ""
    """The folder that evidence files are relative to."""


def parse_address(text: str) -> IPAddress:
    """The address `text` writes in its one plain form, IPv4-mapped IPv6 taken as IPv4.

    Raises ValueError for anything else: names, octal or decimal tricks, zone ids.
    """
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            raise ValueError(f"{text!r} carries a zone id")
        return address.ipv4_mapped or address
    return address


def network_of(address: str) -> str:
    """The network that shares a budget with `address`: its /24 (IPv4) or /48 (IPv6)."""
    parsed = parse_address(address)
    return str(ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))


@lru_cache(maxsize=16)
def _by_prefix(permissions: tuple[Permission, ...]) -> dict[tuple[int, int], dict[int, Permission]]:
    """The permissions by version and prefix length, the narrowest first, then by network number.

    A registry without `networks` gives one for each address: ten thousand are not gone through one by one.
    """
    found: dict[tuple[int, int], dict[int, Permission]] = {}
    for permission in permissions:
        network = ipaddress.ip_network(permission.network)
        number = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
        found.setdefault((network.version, network.prefixlen), {}).setdefault(number, permission)
    return dict(sorted(found.items(), key=lambda item: -item[0][1]))


@lru_cache(maxsize=65536)
def permission_for(scope: Scope, address: str) -> Permission | None:
    """The permission that covers `address`, or None when it is out of scope."""
    try:
        wanted = parse_address(address)
    except ValueError:
        return None
    for (version, length), permissions in _by_prefix(scope.permissions).items():
        if version == wanted.version:
            number = int(wanted) >> (wanted.max_prefixlen - length)
            if number in permissions:
                return permissions[number]
    return None


def narrowed(scope: Scope, own: tuple[Permission, ...], zone: str) -> Scope:
    """`scope` as the machine in `zone` may use it whose owner allows `own` alone, the gentler limits holding.

    Its resolvers are left out unless `own` holds them, and it names no folder of documents.
    """
    ours = Scope(permissions=own)
    networks: dict[str, None] = {}
    for one in scope.permissions:
        for other in own:
            both = _common(one.network, other.network)
            if both:
                networks[both] = None
    permissions = []
    for network in networks:
        theirs, mine = _holding(scope, network), _holding(ours, network)
        if theirs and mine:
            permissions.append(
                Permission(
                    network=network,
                    window=theirs.window,
                    also=mine.window,
                    limits=_gentler(theirs.limits, mine.limits),
                )
            )
    return Scope(
        permissions=tuple(permissions),
        resolvers=tuple(one for one in scope.resolvers if permission_for(ours, one.address)),
        trust_anchor=scope.trust_anchor,
        trust=scope.trust,
        revocation=scope.revocation,
        revocation_urls=scope.revocation_urls,
        zone=zone,
    )


def _common(one: str, other: str) -> str:
    """The smaller of two networks when the other holds it, else nothing."""
    a, b = ipaddress.ip_network(one), ipaddress.ip_network(other)
    if a.version != b.version or not a.overlaps(b):
        return ""
    return one if a.prefixlen >= b.prefixlen else other


def _holding(scope: Scope, network: str) -> Permission | None:
    """The narrowest permission that holds all of `network`."""
    wanted = ipaddress.ip_network(network)
    for (version, length), permissions in _by_prefix(scope.permissions).items():
        if version == wanted.version and length <= wanted.prefixlen:
            number = int(wanted.network_address) >> (wanted.max_prefixlen - length)
            if number in permissions:
                return permissions[number]
    return None


def _gentler(one: Limits, other: Limits) -> Limits:
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in Limits.__struct_fields__}  # type: ignore[attr-defined]
    least: dict[str, int | None] = {
        name: min((value for value in pair if value is not None), default=None)
        for name, pair in pairs.items()
    }
    return Limits(**least)  # type: ignore[arg-type]
