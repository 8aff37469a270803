"""Facts that need no probe: what the registry declares, for `applies_if` and expectations to read."""

from __future__ import annotations

from collections.abc import Iterable

from seccheck.hosts import is_address, is_loopback
from seccheck.model import Record
from seccheck.system import System, Target, ports_of
from seccheck.units import Unit


class SystemFacts(Record):
    """The root `system`."""

    id: str
    unit: str
    unit_kind: str
    level: int
    tags: tuple[str, ...]
    zone: str
    domains: tuple[str, ...]
    fragile: bool
    operated_by: str
    services: tuple[str, ...]
    """The services of all its targets."""


class TargetFacts(Record):
    """The root `target`."""

    id: str
    host: str
    port: int
    service: str
    tls: bool
    """Whether the service can speak TLS, STARTTLS included."""
    starttls: bool
    web: bool
    has_https: bool
    """Whether the system declares an https target with the same host."""
    is_name: bool


class AddressFacts(Record):
    """The root `address`."""

    address: str
    loopback: bool
    approved_ports: tuple[int, ...]
    """As the registry approves them for the address or its hosts; by default the declared ones."""
    declared_ports: tuple[int, ...]
    services: tuple[str, ...]


class DomainFacts(Record):
    """The root `domain`."""

    name: str


def system_facts(system: System, unit: Unit) -> SystemFacts:
    """What the registry declares of `system`, a system of `unit`."""
    return SystemFacts(
        id=system.id,
        unit=system.unit,
        unit_kind=unit.kind,
        level=system.level,
        tags=tuple(sorted(set(system.tags))),
        zone=system.zone,
        domains=tuple(sorted(set(system.domains))),
        fragile=system.fragile,
        operated_by=system.operated_by,
        services=tuple(sorted({target.service for target in system.targets})),
    )


def target_facts(system: System, target: Target) -> TargetFacts:
    """What the registry declares of `target`, a target of `system`."""
    return TargetFacts(
        id=target.id,
        host=target.host,
        port=target.port,
        service=target.service,
        tls=target.tls,
        starttls=target.starttls,
        web=target.service in {"http", "https"},
        has_https=any(one.service == "https" and one.host == target.host for one in system.targets),
        is_name=not is_address(target.host),
    )


def address_facts(system: System, address: str, targets_on_it: Iterable[Target]) -> AddressFacts:
    """What the registry declares of `address`, on which `targets_on_it` of `system` are."""
    targets = tuple(targets_on_it)
    declared = ports_of(targets)
    named = {address, *(target.host for target in targets)} & system.approved_ports.keys()
    approved = {port for name in named for port in system.approved_ports[name]}
    return AddressFacts(
        address=address,
        loopback=is_loopback(address),
        approved_ports=tuple(sorted(approved)) if named else declared,
        declared_ports=declared,
        services=tuple(sorted({target.service for target in targets})),
    )


def domain_facts(system: System, domain: str) -> DomainFacts:  # noqa: ARG001 (like its siblings)
    """What the registry declares of `domain`, a domain of `system`."""
    return DomainFacts(name=domain)
