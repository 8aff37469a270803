"""What may be touched, when, and how fast: the one door to the network, through which every probe dials.

A `Scope` is plain data (it crosses to workers as JSON). A `Context` enforces it: every connection goes
through `dial`, or through `admit` for probes that run their own event loop. Addresses are checked at
connect time on the very address that is used, so neither a name that resolves elsewhere nor a redirect
leads outside.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache
from types import TracebackType
from typing import Literal, Self
from zoneinfo import ZoneInfo

from seccheck import __version__
from seccheck.model import Reason, Record
from seccheck.probes import ProbeFailed

USER_AGENT = f"seccheck/{__version__}"
"""How HTTP requests and SMTP greetings name themselves (`contracts`: User-Agent and EHLO)."""

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class Limits(Record):
    """How gently one address is treated. None: unlimited (loopback)."""

    connections_per_second: int | None = 10
    connections_at_once: int = 4
    ports_per_second: int | None = 100


UNLIMITED = Limits(connections_per_second=None, connections_at_once=64, ports_per_second=None)


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


class Resolver(Record):
    """One name server to ask, instead of the machine's own."""

    address: str
    port: int = 53


class Permission(Record):
    """What one network (CIDR) may be asked, and when."""

    network: str
    window: Window | None = None
    """None: loopback, which needs no authorisation."""
    limits: Limits = Limits()


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


@lru_cache(maxsize=65536)
def permission_for(scope: Scope, address: str) -> Permission | None:
    """The permission that covers `address`, or None when it is out of scope."""
    try:
        wanted = parse_address(address)
    except ValueError:
        return None
    best: tuple[int, Permission] | None = None
    for permission in scope.permissions:
        network = ipaddress.ip_network(permission.network)
        if (
            wanted.version == network.version
            and wanted in network
            and (not best or network.prefixlen > best[0])
        ):
            best = (network.prefixlen, permission)
    return best[1] if best else None


class Connection:
    """A TCP connection with one deadline that also covers slow progress, and a cap on bytes read."""

    def __init__(
        self, sock: socket.socket, deadline: float, max_bytes: int, done: Callable[[], None]
    ) -> None:
        self.socket = sock
        self._deadline = deadline
        self._left = max_bytes
        self._done = done

    def _arm(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise ProbeFailed(Reason.TIMEOUT, "the deadline for this connection passed")
        self.socket.settimeout(left)

    def receive(self, size: int = 65536) -> bytes:
        """The next bytes, at most `size`; empty when the peer closed, or when the cap is reached."""
        self._arm()
        size = min(size, self._left)
        if size <= 0:
            return b""
        try:
            data = self.socket.recv(size)
        except TimeoutError:
            raise ProbeFailed(Reason.TIMEOUT, "no answer before the deadline") from None
        except (ConnectionError, ssl.SSLError, OSError) as error:
            raise ProbeFailed(Reason.UNREACHABLE, f"connection lost: {error}") from None
        self._left -= len(data)
        return data

    def send(self, data: bytes) -> None:
        """Send all of `data`."""
        self._arm()
        try:
            self.socket.sendall(data)
        except TimeoutError:
            raise ProbeFailed(Reason.TIMEOUT, "could not send before the deadline") from None
        except OSError as error:
            raise ProbeFailed(Reason.UNREACHABLE, f"connection lost: {error}") from None

    def start_tls(self, name: str) -> None:
        """Continue over TLS of any version this OpenSSL speaks, unverified (trust is the tls probe's).

        `name` is sent as SNI unless it is an address. Raises `ProbeFailed` when no handshake comes about.
        """
        self._arm()
        try:
            self.socket = _tls().wrap_socket(
                self.socket, server_hostname=None if _is_address(name) else name or None
            )
        except TimeoutError:
            raise ProbeFailed(Reason.TIMEOUT, "TLS handshake not finished before the deadline") from None
        except ssl.SSLError as error:
            raise ProbeFailed(Reason.NOT_OFFERED, f"TLS handshake failed: {error.reason or error}") from None
        except (OSError, ValueError) as error:
            raise ProbeFailed(Reason.UNREACHABLE, f"connection lost in the TLS handshake: {error}") from None

    def close(self) -> None:
        """Close, whatever state the connection is in."""
        self.socket.close()
        self._done()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.options |= 0x4  # SSL_OP_LEGACY_SERVER_CONNECT: servers without RFC 5746 are what we look for
    return context


class _Pace:
    """The budget of one address: a generic cell rate and a number of connections at once."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.slots = threading.BoundedSemaphore(limits.connections_at_once)
        self.next = 0.0


class Context:
    """The door: what a probe is given to reach the network, its clock, and the settings of this run."""

    def __init__(self, scope: Scope, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.scope = scope
        self.now = now
        self._lock = threading.Lock()
        self._paces: dict[str, _Pace] = {}
        self.counts: defaultdict[str, int] = defaultdict(int)
        """Connections made so far, by address."""

    def permit(self, address: str) -> Permission:
        """The permission for `address` at this moment; raises `ProbeFailed` when there is none."""
        permission = permission_for(self.scope, address)
        if permission is None:
            raise ProbeFailed(Reason.OUT_OF_SCOPE, f"{address} is outside the registered networks")
        if permission.window and not permission.window.open_at(self.now()):
            raise ProbeFailed(Reason.NOT_PROBED, f"outside the authorised dates or hours for {address}")
        return permission

    def _pace(self, address: str, limits: Limits) -> _Pace:
        with self._lock:
            return self._paces.setdefault(address, _Pace(limits))

    def admit(self, address: str) -> float:
        """Ask to open one connection to `address`: 0.0 means now, and it is counted; else seconds to wait.

        For event loops, which also hold themselves to `permit(address).limits.connections_at_once`.
        Raises `ProbeFailed` when the address may not be touched at all.
        """
        permission = self.permit(address)
        pace = self._pace(address, permission.limits)
        rate = permission.limits.connections_per_second
        now = time.monotonic()
        with self._lock:
            if rate is not None:
                if pace.next > now:
                    return pace.next - now
                pace.next = now + 1 / rate
            self.counts[address] += 1
        return 0.0

    def dial(
        self, address: str, port: int, *, seconds: float = 10.0, max_bytes: int = 1_000_000
    ) -> Connection:
        """Open a TCP connection within the budget of `address`, to be finished within `seconds`.

        Raises `ProbeFailed`: out-of-scope, not-probed, timeout, or unreachable (the detail says if refused).
        """
        permission = self.permit(address)
        pace = self._pace(address, permission.limits)
        pace.slots.acquire()
        try:
            while wait := self.admit(address):
                time.sleep(wait)
            deadline = time.monotonic() + seconds
            sock = socket.create_connection((address, port), timeout=min(seconds, 10.0))
        except TimeoutError:
            pace.slots.release()
            raise ProbeFailed(Reason.TIMEOUT, f"no answer to the connection to port {port}") from None
        except ConnectionRefusedError:
            pace.slots.release()
            raise ProbeFailed(Reason.UNREACHABLE, f"port {port} refused the connection") from None
        except OSError as error:
            pace.slots.release()
            raise ProbeFailed(Reason.UNREACHABLE, f"port {port}: {error.strerror or error}") from None
        except BaseException:
            pace.slots.release()
            raise
        return Connection(sock, deadline, max_bytes, pace.slots.release)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
