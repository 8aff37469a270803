"""What this machine itself shows on loopback before the fleet is there, and which addresses it has."""

from __future__ import annotations

import errno
import socket
import struct
import sys
import time
from dataclasses import dataclass, field

UNUSED = "127.255.6.254"
"""A loopback address on which nobody listens who does not listen on all of them."""
_LINUX = sys.platform == "linux"
_SECONDS = 5.0
_LISTED_UDP = (53, 69, 123, 161, 389, 1900, 11211)
"""UDP ports that the ports probe may ask on."""


@dataclass(frozen=True)
class Machine:
    """What stood open on an unused loopback address."""

    tcp: tuple[int, ...] = ()
    udp: tuple[int, ...] = ()
    unsettled: bool = field(default=False, compare=False)
    """Whether there was no time to ask every port."""


def many_addresses() -> bool:
    """Whether all of 127.0.0.0/8 can be used, as on Linux, and not 127.0.0.1 alone, as on macOS."""
    with socket.socket() as sock:
        try:
            sock.bind((UNUSED, 0))
        except OSError:
            return False
    return True


def look_at_machine(*, one_address: bool) -> Machine:
    """What this machine shows where the fleet will be."""
    return look("127.0.0.1" if one_address else UNUSED)


def look(address: str) -> Machine:
    """The ports that are open on `address`: services of this machine that listen on every address."""
    deadline = time.monotonic() + _SECONDS
    found = []
    port = 0
    sock = _socket()
    try:
        for port in range(1, 65536):
            if time.monotonic() > deadline:
                break
            result = sock.connect_ex((address, port))
            if result == errno.ECONNREFUSED and _LINUX:
                continue  # there the same socket may try again
            if result == 0 and not _met_itself(sock):
                found.append(port)
            sock.close()
            sock = _socket()
    finally:
        sock.close()
    return Machine(tuple(found), _udp(address), unsettled=port < 65535)


def _met_itself(sock: socket.socket) -> bool:
    """Whether a connection found its own end: the source port happened to be the one asked for."""
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:  # the listener has closed it already
        return False


def _socket() -> socket.socket:
    """A socket that waits a moment for a port that stays silent, as behind a local firewall."""
    sock = socket.socket()
    if _LINUX:
        # Another source than the target, or a port that is asked for could be our own source port.
        sock.bind(("127.0.0.2", 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 0, 200_000))
    else:
        sock.settimeout(0.2)
    return sock


def _udp(address: str) -> tuple[int, ...]:
    """The listed UDP ports on which something listens: the kernel refuses for the others at once."""
    found = []
    for port in _LISTED_UDP:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.05)
            sock.connect((address, port))
            try:
                sock.send(b"\0")
                sock.recv(1)
                found.append(port)
            except ConnectionRefusedError:
                pass
            except OSError:  # silence: somebody listens and has nothing to say to this
                found.append(port)
    return tuple(found)
