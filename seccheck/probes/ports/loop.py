"""The built-in engine: one selectors loop that carries out the looks of many addresses at once.

asyncio was measured four times slower. What makes the difference is that a refused socket is used again,
and that an answer which is there at once (loopback, a refusal by this machine) never enters the selector.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import itertools
import logging
import os
import resource
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from seccheck.model import Reason
from seccheck.probes import Facts, ProbeFailed
from seccheck.probes.ports import udp
from seccheck.probes.ports.identify import Identity, identify
from seccheck.probes.ports.look import (
    SILENT,
    SYN_ACK,
    UNREACHABLE,
    Ask,
    Asking,
    Heard,
    Introduce,
    Knock,
    Seen,
)
from seccheck.scope import Context

log = logging.getLogger("seccheck")

AT_ONCE = 256
"""Addresses in flight."""
BURST = 64
"""Looks at one address before the next address has its turn."""
ROUND_TRIPS = 4
"""A look that has been silent for so many round trips (at least 0.1 s) holds no connection of the address."""
UDP_AGAIN = 1.5
"""Seconds until a UDP question is asked a second time, for the last time."""
UDP_SECONDS = 5.0
IDENTIFIERS = 64
"""Threads in which open ports say what they are."""
PATIENCE = 10.0
"""Seconds to wait for this machine to have sockets or ports of its own again."""

_IN_PROGRESS = {errno.EINPROGRESS, errno.EALREADY}
_CONNECTED = {0, errno.EISCONN, errno.ECONNRESET}
"""ECONNRESET as well: a reset can only follow a handshake (before it, a reset is ECONNREFUSED)."""
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN}
_IP_RECVERR, _IPV6_RECVERR = 11, 25  # Linux: an unconnected socket hears of ICMP errors too


class Task(Protocol):
    """What a host is doing: it starts what it may, and calls `Host.resume` when all is answered."""

    def start(self) -> float | None:
        """Start as much as may be; seconds until it wants to start more (0: at once), None: when woken."""

    def close(self) -> None:
        """Give up whatever is open."""


class Host:
    """One address that is being looked at: its generator, its task of the moment, its budget."""

    def __init__(
        self,
        loop: Loop,
        address: str,
        looking: Asking[Any],
        context: Context,
        seconds: float,
        done: Callable[[Host, Facts | ProbeFailed], None],
    ) -> None:
        self.loop = loop
        self.address = address
        self.looking = looking
        self.context = context
        self.done = done
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.round_trip: float | None = None
        """The quickest answer so far; None while nothing has answered."""
        self.task: Task | None = None
        self.waiting = False
        """Whether the loop has it on a list already."""
        loop.call_at(time.monotonic() + seconds, self._overdue)

    def resume(self, answer: Any = None) -> None:
        """Hand the answer to the generator and take up what it asks next."""
        if self.task:
            self.task.close()
            self.task = None
        try:
            question = self.looking.send(answer)
            self.task = self._task_for(question)
        except StopIteration as stop:
            self._finish(stop.value)
        except ProbeFailed as failure:
            self._finish(failure)
        except Exception as error:
            # A mistake of ours costs this address and not the others in flight.
            log.warning("the ports probe broke on %s", self.address, exc_info=True)
            self._finish(ProbeFailed(Reason.BUG, f"{type(error).__name__}: {error}"))
        else:
            self.loop.wake(self)

    def fail(self, failure: ProbeFailed) -> None:
        """End the look with `failure`."""
        if self.task:
            self.task.close()
            self.task = None
        self.looking.close()
        self._finish(failure)

    def _task_for(self, question: Any) -> Task:
        match question:
            case Knock(outside=True):
                return Outside(self, question)
            case Knock():
                return Knocking(self, question)
            case Ask():
                return AskingUdp(self, question)
            case Introduce():
                return Introducing(self, question)
        raise TypeError(f"no task for {question!r}")

    def _finish(self, outcome: Facts | ProbeFailed) -> None:
        self.loop.hosts.discard(self)
        self.done(self, outcome)

    def _overdue(self) -> None:
        if self in self.loop.hosts:
            self.fail(ProbeFailed(Reason.TIMEOUT, "the address was not looked through before the deadline"))


class Engine(Protocol):
    """Takes first looks at many ports, in its own time."""

    name: str

    def look(self, address: str, ports: tuple[int, ...], context: Context) -> Future[dict[int, Seen]]:
        """What a `Knock` sees; the future may bear a `ProbeFailed`."""

    def close(self) -> None:
        """Begin nothing new."""


class Loop:
    """Selector, timers, and the hosts in turn. `run_once` does a little of everything."""

    def __init__(self, outside: Engine | None = None) -> None:
        self.outside = outside
        self.hosts: set[Host] = set()
        self.selector = selectors.DefaultSelector()
        self.pool = ThreadPoolExecutor(IDENTIFIERS, "identify")
        limit = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 16384)
        self.free = max(64, limit - AT_ONCE - IDENTIFIERS - 64)
        """How many more sockets may be opened: what the system allows, less one a host, and other files."""
        self._ready: deque[Host] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._finished: deque[Callable[[], None]] = deque()
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self.selector.register(self._bell, selectors.EVENT_READ, self._answer_bell)

    def add(self, host: Host) -> None:
        """Begin to look at `host`."""
        self.hosts.add(host)
        host.resume()

    def wake(self, host: Host) -> None:
        """Let `host` start what it wants, in its turn."""
        if not host.waiting and host.task:
            host.waiting = True
            self._ready.append(host)

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        """Call `call` at the monotonic time `when`."""
        heapq.heappush(self._timers, (when, next(self._order), call))

    def when_done(self, future: Future[Any], call: Callable[[Future[Any]], None]) -> None:
        """Call `call` in this thread once `future` is done."""

        def ring(done: Future[Any]) -> None:
            self._finished.append(lambda: call(done))
            with contextlib.suppress(OSError):  # the loop may be closed by now
                self._ringer.send(b"!")

        future.add_done_callback(ring)

    def _answer_bell(self, _mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._bell.recv(4096)
        while self._finished:
            self._finished.popleft()()

    def run_once(self, wait: float) -> None:
        """Start what may be started, then take answers, waiting for one at most `wait` seconds."""
        for _ in range(len(self._ready)):
            self._start(self._ready.popleft())
        now = time.monotonic()
        if self._ready:
            wait = 0.0
        elif self._timers:
            wait = max(0.0, min(wait, self._timers[0][0] - now))
        for key, mask in self.selector.select(wait):
            key.data(mask)
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def _start(self, host: Host) -> None:
        host.waiting = False
        if not host.task:
            return
        try:
            again = host.task.start()
        except ProbeFailed as failure:
            host.fail(failure)
            return
        if again == 0:
            self.wake(host)
        elif again:
            self.call_at(time.monotonic() + again, lambda: self.wake(host))

    def close(self) -> None:
        """Close every socket; threads that still wait for an answer are left to their deadlines."""
        for host in self.hosts:
            if host.task:
                host.task.close()
        self.selector.close()
        self._bell.close()
        self._ringer.close()
        self.pool.shutdown(wait=False, cancel_futures=True)
        if self.outside:
            self.outside.close()


class Knocking:
    """TCP handshakes with many ports of one host."""

    def __init__(self, host: Host, knock: Knock) -> None:
        self.host = host
        self.ports = knock.ports
        self.seconds = knock.seconds
        self.next = 0
        self.seen: dict[int, Seen] = {}
        self.flying: dict[int, tuple[socket.socket, float]] = {}
        """By port, in the order of departure: the socket, and when it departed."""
        self.returned: list[int] = []
        """Ports to be looked at again, because this machine had no socket for them."""
        self.spare: socket.socket | None = None
        self.stuck_since: float | None = None

    def start(self) -> float | None:
        """Send what may be sent; done when every port was answered for."""
        left = len(self.ports) - self.next + len(self.returned)
        if not left:
            if not self.flying:
                self.host.resume(self.seen)
            return None
        room = min(self._room(), self.host.loop.free, left, BURST)
        if room <= 0:
            # Woken by the next answer or silence; polled where time alone makes room.
            strict = self.host.round_trip is None and self.flying
            return None if strict else 0.02
        granted, wait = self.host.context.admit_ports(self.host.address, room)
        for _ in range(granted):
            if self._depart() is False:
                return 0.1
        return wait if wait and not granted else 0.0

    def _room(self) -> int:
        """How many more looks may be under way: `connections_at_once`, those long silent not counted."""
        limits = self.host.context.permit(self.host.address).limits
        if self.host.round_trip is None:
            return limits.connections_at_once - len(self.flying)
        recent = time.monotonic() - max(0.1, ROUND_TRIPS * self.host.round_trip)
        busy = sum(1 for _ in itertools.takewhile(lambda flight: flight[1] > recent, self._latest()))
        return limits.connections_at_once - busy

    def _latest(self) -> Iterable[tuple[socket.socket, float]]:
        return reversed(self.flying.values())

    def _depart(self) -> bool:
        """Send one handshake; False when this machine cannot now."""
        if self.returned:
            port = self.returned.pop()
        else:
            port = self.ports[self.next]
            self.next += 1
        target = (self.host.address, port)
        try:
            sock, self.spare = self.spare or _tcp_socket(self.host.family), None
            code = sock.connect_ex(target)
            if code == errno.EINPROGRESS:
                # Asking once more brings the answer if it is there already.
                code = sock.connect_ex(target)
        except OSError as error:
            return self._stuck(port, error.errno or 0)
        if code == errno.ECONNREFUSED:
            self.spare = sock
        elif code in _IN_PROGRESS:
            self._fly(port, sock)
        elif code in _EXHAUSTED:
            sock.close()
            return self._stuck(port, code)
        else:
            self._note(port, sock, code)
            sock.close()
        self.stuck_since = None
        return True

    def _stuck(self, port: int, code: int) -> bool:
        """Keep `port` for later; raises when this machine has been out of sockets for too long."""
        now = time.monotonic()
        self.stuck_since = self.stuck_since or now
        if code not in _EXHAUSTED or now - self.stuck_since > PATIENCE:
            reason = Reason.CRASHED if code in _EXHAUSTED else Reason.UNREACHABLE
            raise ProbeFailed(reason, f"this machine has no socket for it: {os.strerror(code)}")
        self.returned.append(port)
        return False

    def _fly(self, port: int, sock: socket.socket) -> None:
        now = time.monotonic()
        self.flying[port] = (sock, now)
        loop = self.host.loop
        loop.free -= 1
        loop.selector.register(sock, selectors.EVENT_WRITE, lambda _mask: self._landed(port))
        loop.call_at(now + self.seconds, lambda: self._late(port, sock))

    def _landed(self, port: int) -> None:
        sock, departed = self.flying[port]
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code in _CONNECTED or code == errno.ECONNREFUSED:
            taken = time.monotonic() - departed
            self.host.round_trip = min(taken, self.host.round_trip or taken)
        self._note(port, sock, code)
        self._take_down(port)

    def _late(self, port: int, sock: socket.socket) -> None:
        if port in self.flying and self.flying[port][0] is sock:
            self.seen[port] = SILENT
            self._take_down(port)

    def _take_down(self, port: int) -> None:
        sock, _ = self.flying.pop(port)
        self.host.loop.selector.unregister(sock)
        self.host.loop.free += 1
        sock.close()
        self.host.loop.wake(self.host)

    def _note(self, port: int, sock: socket.socket, code: int) -> None:
        if code in _CONNECTED:
            if not met_itself(sock):
                self.seen[port] = SYN_ACK
        elif code != errno.ECONNREFUSED:
            self.seen[port] = UNREACHABLE

    def close(self) -> None:
        """Close every socket."""
        if self.spare:
            self.spare.close()
            self.spare = None
        for port in list(self.flying):
            self._take_down(port)


def _tcp_socket(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock


def met_itself(sock: socket.socket) -> bool:
    """Whether the socket met itself: on loopback, source and destination may be the same port (RFC 9293)."""
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:
        return False


Key = tuple[str, int]
"""A UDP service and its port."""


class AskingUdp:
    """Questions to UDP services of one host, each from a socket of its own."""

    def __init__(self, host: Host, ask: Ask) -> None:
        self.host = host
        self.questions = {key: udp.question(key[0], host.address, key[1]) for key in ask.services}
        self.heard: dict[Key, Heard] = {}
        self.unanswered = set(ask.services)
        self.sockets: dict[Key, socket.socket] = {}
        self.to_send = deque((key, packet) for key in ask.services for packet in self.questions[key].packets)

    def start(self) -> float | None:
        """Send what may be sent; done when every service has answered or had its time."""
        if not self.unanswered:
            self.host.resume({key: self.heard.get(key, Heard()) for key in self.questions})
            return None
        while self.to_send:
            key, packet = self.to_send[0]
            if key in self.unanswered:
                if self.host.loop.free <= 0:
                    return 0.05
                granted, wait = self.host.context.admit_ports(self.host.address, 1)
                if not granted:
                    return wait
                self._send(key, packet)
            self.to_send.popleft()
        return None

    def _send(self, key: Key, packet: bytes) -> None:
        try:
            sock = self.sockets.get(key) or self._open(key)
            sock.sendto(packet, (self.host.address, key[1])) if key[0] in udp.LOOSE else sock.send(packet)
        except ConnectionRefusedError:
            self._settle(key, Heard(refused=True))
        except OSError as error:
            # Not asked is not silent: this machine, or its network, kept the question.
            self._settle(key, Heard(problem=error.strerror or str(error)))

    def _open(self, key: Key) -> socket.socket:
        """A socket for one service, unconnected where the answer may come from another port."""
        family, loop, now = self.host.family, self.host.loop, time.monotonic()
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        self.sockets[key] = sock
        loop.free -= 1
        loop.selector.register(sock, selectors.EVENT_READ, lambda _mask: self._receive(key))
        if key[0] not in udp.LOOSE:
            sock.connect((self.host.address, key[1]))
        elif family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        loop.call_at(now + UDP_AGAIN, lambda: self._repeat(key))
        loop.call_at(now + UDP_SECONDS, lambda: self._settle(key, None))
        return sock

    def _receive(self, key: Key) -> None:
        sock = self.sockets[key]
        try:
            data, sender = sock.recvfrom(4096)
        except ConnectionRefusedError:
            self._settle(key, Heard(refused=True))
            return
        except OSError:
            return
        if sender[0] != self.host.address:
            return
        reply = udp.read(self.questions[key], data)
        if reply is None:
            # Kept in case nothing better comes: something answers there, though not as this service.
            strange = udp.Reply("an answer of another kind", doubt=Reason.CONTRADICTORY)
            self.heard.setdefault(key, Heard(strange))
            return
        if key[0] == "tftp" and data[:2] != b"\0\5":
            with contextlib.suppress(OSError):
                sock.sendto(udp.TFTP_STOP, sender)
        self._settle(key, Heard(reply))

    def _repeat(self, key: Key) -> None:
        if key in self.unanswered and self.host.task is self:
            self.to_send.extend((key, packet) for packet in self.questions[key].packets)
            self.host.loop.wake(self.host)

    def _settle(self, key: Key, heard: Heard | None) -> None:
        """Note what was heard of a service (None: no more than before) and close its socket."""
        if key in self.unanswered and self.host.task is self:
            self.unanswered.discard(key)
            if heard:
                self.heard[key] = heard
            self._close(key)
            self.host.loop.wake(self.host)

    def _close(self, key: Key) -> None:
        if sock := self.sockets.pop(key, None):
            self.host.loop.selector.unregister(sock)
            self.host.loop.free += 1
            sock.close()

    def close(self) -> None:
        """Close every socket."""
        for key in list(self.sockets):
            self._close(key)


class Introducing:
    """Open ports of one host that say what they are, each in a thread of its own."""

    def __init__(self, host: Host, introduce: Introduce) -> None:
        self.host = host
        self.told: dict[int, Any] = {}
        self.left = set(introduce.ports)
        for port in introduce.ports:
            known = port in introduce.declared
            future = host.loop.pool.submit(identify, host.context, host.address, port, declared=known)
            host.loop.when_done(future, lambda done, port=port: self._told(port, done))  # type: ignore[misc]

    def start(self) -> float | None:
        """Done when every port was heard."""
        if not self.left:
            self.host.resume(self.told)
        return None

    def _told(self, port: int, done: Future[Any]) -> None:
        if self.host.task is self:
            self.told[port] = Identity("", Reason.BUG) if done.exception() else done.result()
            self.left.discard(port)
            self.host.loop.wake(self.host)

    def close(self) -> None:
        """Nothing is open here: the threads close what they opened."""


class Outside:
    """A first look that another engine takes."""

    def __init__(self, host: Host, knock: Knock) -> None:
        assert host.loop.outside  # noqa: S101
        self.host = host
        future = host.loop.outside.look(host.address, knock.ports, host.context)
        host.loop.when_done(future, self._done)

    def start(self) -> float | None:
        """The engine has started by itself."""
        return None

    def _done(self, future: Future[Any]) -> None:
        if self.host.task is not self:
            return
        error = future.exception()
        if isinstance(error, ProbeFailed):
            self.host.fail(error)
        else:
            self.host.resume(future.result())

    def close(self) -> None:
        """The engine ends by itself."""
