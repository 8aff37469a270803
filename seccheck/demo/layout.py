"""Where each service of the fleet listens: an address to each system, or a port to each service."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from seccheck.demo.conduct import Door
from seccheck.demo.machine import Machine
from seccheck.demo.systems import DemoSystem, ServiceKind
from seccheck.errors import SeccheckError

PORTS: dict[ServiceKind, tuple[int, ...]] = {
    "https": (8443, 9443, 7443, 5443),
    "http": (8080, 8081, 8880, 9080),
    "ssh": (2222, 22222, 2022, 8022),
    "smtp": (2525, 2526, 5025),
    "imaps": (9993, 9994, 1993),
    "tcp": (7070, 7071, 7272),
}
"""The ports a service is looked for on; the first that this machine does not use itself is taken."""

_SECOND_OCTETS = range(6, 56)
_FIRST_SHARED_PORT = 21000
_MEMCACHED = 11211


@dataclass(frozen=True)
class Place:
    """Where one system is served."""

    system: DemoSystem
    address: str
    ports: dict[ServiceKind, int]
    doors: tuple[tuple[Door, int], ...]
    """What stands open beside the services, with its port."""


@dataclass(frozen=True)
class Layout:
    """The whole fleet, bound and listening."""

    places: tuple[Place, ...]
    sockets: dict[tuple[str, int], socket.socket]
    datagrams: dict[str, socket.socket]
    """UDP sockets by address, for memcached."""
    machine: Machine
    one_address: bool
    network: str
    """The addresses that the fleet uses, as a CIDR block."""

    def approved(self, place: Place) -> list[int]:
        """The ports that the registry approves on the address of `place`."""
        near = self.places if self.one_address else (place,)
        own = {port for one in near for port in one.ports.values()}
        doors = {port for one in near for door, port in one.doors if door.approved}
        return sorted(own | doors | set(self.machine.tcp))

    def close(self) -> None:
        """Close every socket."""
        for sock in (*self.sockets.values(), *self.datagrams.values()):
            sock.close()


def bind(systems: list[DemoSystem], machine: Machine, *, one_address: bool) -> Layout:
    """Find places for `systems` beside what `machine` has, and listen on all of them.

    Raises `SeccheckError` when there are none.
    """
    if one_address:
        return _on_one_address(systems, machine)
    for octet in _SECOND_OCTETS:
        with ExitStack() as undo:
            layout = _Builder(undo, machine).on_addresses(systems, octet)
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
        self.sockets: dict[tuple[str, int], socket.socket] = {}
        self.datagrams: dict[str, socket.socket] = {}

    def listen(self, address: str, port: int) -> bool:
        """Listen there, unless it is taken."""
        sock = self.undo.enter_context(socket.socket())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not _bound(sock, address, port):
            return False
        sock.listen(512)
        self.sockets[address, port] = sock
        return True

    def answer_datagrams(self, address: str) -> bool:
        sock = self.undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        if not _bound(sock, address, _MEMCACHED):
            return False
        self.datagrams[address] = sock
        return True

    def first_free(self, ports: Iterable[int], what: str) -> int:
        for port in ports:
            if port not in self.machine.tcp:
                return port
        raise SeccheckError(
            f"this machine itself uses every port that {what} could have in the demonstration",
            next_step="stop the services that listen on all addresses, or run the demonstration elsewhere",
        )

    def on_addresses(self, systems: list[DemoSystem], octet: int) -> Layout | None:
        """Every system on an address of its own, or None when another fleet is there already."""
        usual = {kind: self.first_free(ports, kind) for kind, ports in PORTS.items()}
        places = []
        for system, address in _addresses(systems, octet):
            ports = {kind: usual[kind] for kind in system.services}
            doors = tuple((door, self.first_free(door.ports, door.speaks)) for door in system.conduct.doors)
            wanted = (*ports.values(), *(port for _door, port in doors))
            if not all(self.listen(address, port) for port in wanted):
                return None
            if system.conduct.memcached and not self.answer_datagrams(address):
                return None
            places.append(Place(system, address, ports, doors))
        return Layout(
            tuple(places),
            self.sockets,
            self.datagrams,
            self.machine,
            one_address=False,
            network=f"127.{octet}.0.0/16",
        )


def _addresses(systems: list[DemoSystem], octet: int) -> Iterator[tuple[DemoSystem, str]]:
    """An address to each system: the third number is its unit's, the fourth its own within the unit."""
    units: dict[str, int] = {}
    count: dict[str, int] = {}
    for system in systems:
        unit = units.setdefault(system.unit, len(units) + 1)
        count[system.unit] = count.get(system.unit, 0) + 1
        yield system, f"127.{octet}.{unit}.{count[system.unit]}"


def _on_one_address(systems: list[DemoSystem], machine: Machine) -> Layout:
    address = "127.0.0.1"
    candidates = iter(port for port in range(_FIRST_SHARED_PORT, 32768) if port not in machine.tcp)
    with ExitStack() as undo:
        builder = _Builder(undo, machine)
        places = []
        for system in systems:
            ports = {
                kind: next(port for port in candidates if builder.listen(address, port))
                for kind in system.services
            }
            places.append(Place(system, address, ports, ()))
        undo.pop_all()
    return Layout(tuple(places), builder.sockets, {}, machine, one_address=True, network=f"{address}/32")


def _bound(sock: socket.socket, address: str, port: int) -> bool:
    try:
        sock.bind((address, port))
    except OSError as error:
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            return False
        raise
    return True
