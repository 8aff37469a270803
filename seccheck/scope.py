"""What may be touched, when, and how fast: the one door to the network, through which every probe dials.

A `Scope` is plain data (see `permission`); a `Context` enforces it. Every connection goes through `dial`,
or through `admit` for probes that run their own event loop. Addresses are checked at connect time on the
very address that is used, so neither a name that resolves elsewhere nor a redirect leads outside.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from copy import copy
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from seccheck import __version__
from seccheck.encrypted import Encrypted
from seccheck.model import ProbeFailed, Reason
from seccheck.permission import UNLIMITED as UNLIMITED
from seccheck.permission import Limits as Limits
from seccheck.permission import Permission as Permission
from seccheck.permission import Resolver as Resolver
from seccheck.permission import Scope as Scope
from seccheck.permission import Window as Window
from seccheck.permission import parse_address as parse_address
from seccheck.permission import permission_for as permission_for

USER_AGENT = f"seccheck/{__version__}"
"""How HTTP requests and SMTP greetings name themselves (`contracts`: User-Agent and EHLO)."""


_COME_BACK_LATER = re.compile(rb"421[ -]|HTTP/1\.[01] (?:429|503) ")
"""Answers that ask for less, whatever the probe: RFC 5321 3.8, RFC 6585 4, RFC 9110 15.6.4."""
PAUSE = 0.1
"""Seconds added between connections to an address after a sign of strain; twice as long after each further
one, gone with the next good answer. Not where nothing is limited (loopback)."""
LONGEST_PAUSE = 1.6


def source_address(address: str) -> str:
    """This machine's own address on the way to `address`, empty when there is no way; sends nothing."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((address, 9))  # of a datagram socket: chooses the way, without a packet
            return str(sock.getsockname()[0])
    except (OSError, ValueError):
        return ""


class Connection:
    """A TCP connection with one deadline that also covers slow progress, and a cap on bytes read."""

    def __init__(
        self,
        sock: socket.socket,
        deadline: float,
        max_bytes: int,
        done: Callable[[], None],
        strained: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self.socket: socket.socket | Encrypted = sock
        self._plain = sock
        self._deadline = deadline
        self._left = max_bytes
        self._done = done
        self._strained = strained
        self._open = True

    def renew(self, seconds: float, max_bytes: int) -> None:
        """Set a new deadline and a new cap, for the next question on a connection that is kept open."""
        self._deadline = time.monotonic() + seconds
        self._left = max_bytes

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
            self._strained(True)
            raise ProbeFailed(Reason.TIMEOUT, "no answer before the deadline") from None
        except OSError as error:
            if isinstance(error, ConnectionResetError):
                self._strained(True)
            reason = Reason.ACCESS if _wants_certificate(error) else Reason.UNREACHABLE
            raise ProbeFailed(reason, f"connection lost: {error}") from None
        self._left -= len(data)
        if data:
            self._strained(bool(_COME_BACK_LATER.match(data)))
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

        `name` is sent as SNI unless it is an address. Raises `ProbeFailed` when no handshake comes about;
        reason access when the server wants a client certificate (in TLS 1.3 that shows at the first read).
        """
        self._arm()
        server_name = None if _is_address(name) else name or None
        try:
            self.socket = Encrypted(self._plain, _tls(), server_name, self._arm)
            self.socket.do_handshake()
        except TimeoutError:
            raise ProbeFailed(Reason.TIMEOUT, "TLS handshake not finished before the deadline") from None
        except ssl.SSLEOFError:  # as a ban ends it, too
            raise ProbeFailed(Reason.UNREACHABLE, "connection closed in the TLS handshake") from None
        except ssl.SSLError as error:
            # handshake_failure after the suite was agreed on answers our empty Certificate (RFC 5246, 7.4.6)
            agreed = isinstance(self.socket, Encrypted) and self.socket.cipher() is not None
            refused = agreed and error.reason == "SSLV3_ALERT_HANDSHAKE_FAILURE"
            reason = Reason.ACCESS if refused or _wants_certificate(error) else Reason.NOT_OFFERED
            raise ProbeFailed(reason, f"TLS handshake failed: {error.reason or error}") from None
        except (OSError, ValueError) as error:
            raise ProbeFailed(Reason.UNREACHABLE, f"connection lost in the TLS handshake: {error}") from None

    def close(self) -> None:
        """Close, whatever state the connection is in."""
        self.socket.close()
        if self._open:
            self._open = False
            self._done()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _wants_certificate(error: OSError) -> bool:
    return "CERTIFICATE_REQUIRED" in str(getattr(error, "reason", ""))


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
        self.last = float("-inf")
        self.next_port = 0.0
        self.strain = 0

    def wait(self, now: float) -> float:
        """Seconds until the next connection may be opened; not above zero: now."""
        rate = self.limits.connections_per_second
        interval = 1 / rate if rate else 0.0
        if self.strain:
            interval += min(PAUSE * 2 ** (self.strain - 1), LONGEST_PAUSE)
        return self.last + interval - now


class Context:
    """The door: what a probe is given to reach the network, its clock, and the settings of this run."""

    def __init__(self, scope: Scope, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.scope = scope
        self.now = now
        self._lock = threading.Lock()
        self._paces: dict[str, _Pace] = {}
        self.connections = 0
        """Connections made so far through this context."""

    def for_one_job(self) -> Context:
        """The same door and the same budgets, with a count of connections of its own."""
        own = copy(self)
        own.connections = 0
        return own

    def permit(self, address: str) -> Permission:
        """The permission for `address` at this moment; raises `ProbeFailed` when there is none."""
        permission = permission_for(self.scope, address)
        if permission is None:
            raise ProbeFailed(Reason.OUT_OF_SCOPE, f"{address} is outside the registered networks")
        if not permission.open_at(self.now()):
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
        now = time.monotonic()
        with self._lock:
            if (wait := pace.wait(now)) > 0:
                return wait
            pace.last = now
            self.connections += 1
        return 0.0

    def strained(self, address: str, sign: bool = True) -> None:
        """Take note that `address` showed strain (a reset, no answer in time, "come back later") or did not.

        The pauses between connections to it grow with each sign, and end with a good answer.
        """
        pace = self._paces.get(address)
        if pace is not None and pace.limits != UNLIMITED:
            with self._lock:
                pace.strain = pace.strain + 1 if sign else 0

    def admit_ports(self, address: str, wanted: int) -> tuple[int, float]:
        """Ask to look at `wanted` ports of `address`: how many now, which are counted, or seconds to wait.

        The budget of port scans (`ports_per_second`); connections that talk ask `admit` or `dial`. A caller
        that comes late may catch up on a tenth of a second, so the rate holds on a busy machine too.
        """
        permission = self.permit(address)
        rate = permission.limits.ports_per_second
        if rate is None:
            self.connections += wanted
            return wanted, 0.0
        pace = self._pace(address, permission.limits)
        now = time.monotonic()
        with self._lock:
            start = max(pace.next_port, now - 0.1)
            granted = min(wanted, int((now - start) * rate) + 1) if start <= now else 0
            pace.next_port = start + granted / rate
            self.connections += granted
            return granted, pace.next_port - now if not granted else 0.0

    def reserve(self, address: str, wanted: int) -> bool:
        """Set aside `wanted` connections to `address`, for a program that opens them one after the other.

        Waits for its turn, counts them all, and nobody else connects until the pace allows that many more.
        False, without any, where so many within one second are not allowed, or no two at once: another
        program's can't be held to one. Raises `ProbeFailed` as `dial`.
        """
        limits = self.permit(address).limits
        rate = limits.connections_per_second
        if limits.connections_at_once == 1 or (rate is not None and rate < wanted):
            return False
        while wait := self.admit(address):
            time.sleep(wait)
        with self._lock:
            self.connections += wanted - 1
            if rate is not None:
                self._paces[address].last += (wanted - 1) / rate
        return True

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
            self.strained(address)
            raise ProbeFailed(Reason.TIMEOUT, f"no answer to the connection to port {port}") from None
        except ConnectionRefusedError:
            pace.slots.release()
            raise ProbeFailed(Reason.UNREACHABLE, f"port {port} refused the connection") from None
        except OSError as error:
            pace.slots.release()
            if isinstance(error, ConnectionResetError):
                self.strained(address)
            raise ProbeFailed(Reason.UNREACHABLE, f"port {port}: {error.strerror or error}") from None
        except BaseException:
            pace.slots.release()
            raise
        return Connection(
            sock, deadline, max_bytes, pace.slots.release, lambda sign: self.strained(address, sign)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
