"""Where each service of the fleet listens: an address to each system, or a port to each service."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from seccheck.demo.conduct import Door
from seccheck.demo.machine import UNUSED, Machine
from seccheck.demo.systems import DemoSystem, ServiceKind
from seccheck.errors import SeccheckError

PORTS: dict[ServiceKind, tuple[int, ...]] = {
    "https": (8443, 9443, 7443, 5443, 4443, 3443, 2443, 1443, 12443, 18443),
    "http": (8080, 8081, 8880, 9080),
    "ssh": (2222, 22222, 2022, 8022),
    "smtp": (2525, 2526, 5025),
    "imaps": (9993, 9994, 1993),
    "tcp": (7070, 7071, 7272),
}
"""The ports a service is looked for on; the first that this machine does not use itself is taken."""

_NAME_SERVER_PORTS = (5300, 5301, 5302, 5303)
_SECOND_OCTETS = range(6, 56)
_FIRST_SHARED_PORT = 21000
_MEMCACHED = 11211
_IPV6 = "::1"


@dataclass(frozen=True)
class Place:
    """Where one system is served."""

    system: DemoSystem
    address: str
    ports: dict[ServiceKind, int]
    doors: tuple[tuple[Door, int], ...] = ()
    """What stands open beside the services, with its port."""
    ipv6: bool = False
    """Whether its https service is served on `::1` as well."""


@dataclass(frozen=True)
class Layout:
    """The whole fleet, bound and listening."""

    places: tuple[Place, ...]
    streams: dict[tuple[str, int], socket.socket]
    """TCP listeners by address and port."""
    datagrams: dict[tuple[str, int], socket.socket]
    name_server: tuple[str, int]
    machine: Machine
    one_address: bool
    network: str
    """The addresses that the fleet uses, as a CIDR block."""

    def approved(self, place: Place) -> list[int]:
        """The ports that the registry approves on the address of `place`."""
        near = self.places if self.one_address else (place,)
        own = {port for one in near for port in one.ports.values()}
        doors = {port for one in near for door, port in one.doors if door.approved}
        names = {self.name_server[1]} if self.one_address else set()
        return sorted(own | doors | names | set(self.machine.tcp))

    def close(self) -> None:
        """Close every socket."""
        for sock in (*self.streams.values(), *self.datagrams.values()):
            sock.close()


def bind(systems: list[DemoSystem], machine: Machine, *, one_address: bool) -> Layout:
    """Find places for `systems` beside what `machine` has, and listen on all of them.

    Raises `SeccheckError` when there are none.
    """
    for octet in _SECOND_OCTETS:
        with ExitStack() as undo:
            builder = _Builder(undo, machine)
            layout = builder.on_one_address(systems) if one_address else builder.on_many(systems, octet)
            if layout:
                undo.pop_all()
                return layout
    raise SeccheckError(
        "no free loopback addresses for the demonstration fleet",
        next_step="end other demonstrations that still run (`seccheck demo --keep`)",
    )


class _Builder:
    def __init__(self, undo: ExitStack, machine: Machine) -> None:
        self.undo = undo
        self.machine = machine
        self.streams: dict[tuple[str, int], socket.socket] = {}
        self.datagrams: dict[tuple[str, int], socket.socket] = {}

    def on_many(self, systems: list[DemoSystem], octet: int) -> Layout | None:
        """Every system on an address of its own, or None when another fleet is there already."""
        name_server = (f"127.{octet}.255.53", self.name_server_port())
        if not (self.listen(*name_server) and self.listen_datagrams(*name_server)):
            return None
        usual = {kind: self.first_free(ports, kind) for kind, ports in PORTS.items()}
        shared = self.port_of_both_families(PORTS["https"])
        usual["https"] = shared or usual["https"]
        places = []
        for system, address in _addresses(systems, octet):
            ports = {kind: usual[kind] for kind in system.services}
            doors = tuple((door, self.first_free(door.ports, door.speaks)) for door in system.conduct.doors)
            wanted = (*ports.values(), *(port for _door, port in doors))
            if not all(self.listen(address, port) for port in wanted):
                return None
            if system.conduct.memcached and not self.listen_datagrams(address, _MEMCACHED):
                return None
            places.append(Place(system, address, ports, doors, bool(shared) and _wants_ipv6(system)))
        return self.layout(places, name_server, f"127.{octet}.0.0/16", one_address=False)

    def on_one_address(self, systems: list[DemoSystem]) -> Layout:
        """Every service on a port of its own of 127.0.0.1."""
        address = "127.0.0.1"
        free = (port for port in range(_FIRST_SHARED_PORT, 32768) if port not in self.machine.tcp)
        name_server = (
            address,
            next(
                port for port in free if self.listen_datagrams(address, port) and self.listen(address, port)
            ),
        )
        places = []
        for system in systems:
            ports = {
                kind: next(port for port in free if self.listen(address, port)) for kind in system.services
            }
            ipv6 = _wants_ipv6(system) and self.listen(_IPV6, ports["https"])
            places.append(Place(system, address, ports, ipv6=ipv6))
        return self.layout(places, name_server, f"{address}/32", one_address=True)

    def layout(
        self, places: list[Place], name_server: tuple[str, int], network: str, *, one_address: bool
    ) -> Layout:
        """What has been bound so far."""
        return Layout(
            tuple(places), self.streams, self.datagrams, name_server, self.machine, one_address, network
        )

    def listen(self, address: str, port: int) -> bool:
        """Listen there, unless it is taken."""
        sock = self.bound(address, port, socket.SOCK_STREAM)
        if sock is None:
            return False
        sock.listen(512)
        self.streams[address, port] = sock
        return True

    def listen_datagrams(self, address: str, port: int) -> bool:
        """Listen for datagrams there, unless it is taken."""
        sock = self.bound(address, port, socket.SOCK_DGRAM)
        if sock is None:
            return False
        self.datagrams[address, port] = sock
        return True

    def bound(self, address: str, port: int, kind: socket.SocketKind) -> socket.socket | None:
        """A socket of that address and port; None when they cannot be had."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with ExitStack() as unless_bound:
            try:
                sock = unless_bound.enter_context(socket.socket(family, kind))
                if kind == socket.SOCK_STREAM:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((address, port))
            except OSError as error:
                if error.errno in _NOT_TO_BE_HAD:
                    return None
                raise
            unless_bound.pop_all()
        return self.undo.enter_context(sock)

    def first_free(self, ports: Iterable[int], what: str) -> int:
        """The first port that the machine does not use itself."""
        for port in ports:
            if port not in self.machine.tcp:
                return port
        raise SeccheckError(
            f"this machine itself uses every port that {what} could have in the demonstration",
            next_step="stop the services that listen on all addresses, or run the demonstration elsewhere",
        )

    def port_of_both_families(self, ports: Iterable[int]) -> int | None:
        """The first port free in IPv4 and bound in IPv6; None on a machine without IPv6."""
        return next(
            (port for port in ports if port not in self.machine.tcp and self.listen(_IPV6, port)), None
        )

    def name_server_port(self) -> int:
        """A port on which nothing of this machine listens, for streams or datagrams."""
        for port in _NAME_SERVER_PORTS:
            if port not in self.machine.tcp:
                sock = self.bound(UNUSED, port, socket.SOCK_DGRAM)
                if sock:
                    sock.close()
                    return port
        return self.first_free((), "a name server")


_NOT_TO_BE_HAD = {errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def _wants_ipv6(system: DemoSystem) -> bool:
    return "https" in system.services and system.conduct.ipv6


def _addresses(systems: list[DemoSystem], octet: int) -> Iterator[tuple[DemoSystem, str]]:
    """An address to each system: the third number is its unit's, the fourth its own within the unit."""
    units: dict[str, int] = {}
    count: dict[str, int] = {}
    for system in systems:
        unit = units.setdefault(system.unit, len(units) + 1)
        count[system.unit] = count.get(system.unit, 0) + 1
        yield system, f"127.{octet}.{unit}.{count[system.unit]}"
