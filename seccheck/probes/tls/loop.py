"""One event loop that carries many talks at once: non-blocking sockets, one heap of deadlines, no threads."""

from __future__ import annotations

import errno
import heapq
import os
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count

from seccheck.probes.tls.answer import Outcome
from seccheck.probes.tls.talk import Talk

_RESETS = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_CHUNK = 65536
Done = Callable[[Exception | None], None]
"""Called when a talk is over; with the exception when our own code failed on it."""


class _Wire:
    """One connection under way."""

    __slots__ = ("connected", "deadline", "done", "lost", "out", "sock", "talk")

    def __init__(self, sock: socket.socket, talk: Talk, deadline: float, done: Done) -> None:
        self.sock = sock
        self.talk = talk
        self.deadline = deadline
        self.done: Done | None = done
        self.out = b""
        self.connected = False
        self.lost = False
        """Whether it failed at once; that is told by a timer."""


class Loop:
    """Carries talks and calls back when one is over. Deadlines are absolute: slow progress moves none."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, _Wire | Callable[[], None]]] = []
        self._number = count()
        self.open = 0

    def at(self, moment: float, call: Callable[[], None]) -> None:
        """Call `call` at `moment` of the monotonic clock."""
        heapq.heappush(self._timers, (moment, next(self._number), call))

    def start(self, address: str, port: int, talk: Talk, deadline: float, done: Done) -> bool:
        """Begin `talk` with a connection; `done` is called when it is over, never from here.

        False when this process has no socket left: try again later.
        """
        try:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                return False
            raise
        sock.setblocking(False)
        wire = _Wire(sock, talk, deadline, done)
        self.open += 1
        self.at_deadline(wire)
        status = sock.connect_ex((address, port))
        if status not in {0, errno.EINPROGRESS, errno.EWOULDBLOCK}:
            wire.lost = True
            self.at(0.0, lambda: self._lose(wire, Outcome.UNREACHABLE, os.strerror(status)))
            self._selector.register(sock, _WRITE, wire)
            return True
        wire.out = talk.opening()
        try:
            if wire.out:
                wire.out = wire.out[sock.send(wire.out) :]
                wire.connected = True
        except BlockingIOError:
            pass  # as nearly always, but for loopback, where the connection is there at once
        except OSError as error:
            wire.lost, detail = True, error.strerror or ""
            self.at(0.0, lambda: self._lose(wire, Outcome.UNREACHABLE, detail))
        self._selector.register(sock, _READ if wire.connected and not wire.out else _READ | _WRITE, wire)
        return True

    def at_deadline(self, wire: _Wire) -> None:
        """Watch over `wire`'s deadline."""
        heapq.heappush(self._timers, (wire.deadline, next(self._number), wire))

    def step(self, wait: float) -> None:
        """Carry bytes for what is ready, waiting at most `wait` seconds; then run what is due."""
        if self._timers:
            wait = max(0.0, min(wait, self._timers[0][0] - time.monotonic()))
        if self.open:
            for key, events in self._selector.select(wait):
                wire = key.data
                if wire.done is not None and not wire.lost:
                    self._serve(wire, events)
        elif wait:
            time.sleep(wait)
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, _, due = heapq.heappop(self._timers)
            if not isinstance(due, _Wire):
                due()
            elif due.done is not None and due.deadline <= now:
                self._lose(due, Outcome.TIMEOUT)

    def close(self) -> None:
        """Drop every connection."""
        for key in list(self._selector.get_map().values()):
            key.data.sock.close()
        self._selector.close()

    def _serve(self, wire: _Wire, events: int) -> None:
        try:
            if events & _WRITE:
                self._write(wire)
            if events & _READ:
                self._read(wire)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            if wire.connected and error.errno in _RESETS:
                self._lose(wire, Outcome.RESET)
            else:
                self._lose(wire, Outcome.UNREACHABLE, error.strerror or "")
        except Exception as error:  # noqa: BLE001  # one target's surprise must not end the others'
            self._finish(wire, error)

    def _lose(self, wire: _Wire, outcome: Outcome, detail: str = "") -> None:
        if wire.done is None:
            return
        wire.talk.lost(outcome, detail)
        self._finish(wire)

    def _write(self, wire: _Wire) -> None:
        if not wire.connected:
            status = wire.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if status:
                raise OSError(status, os.strerror(status))
            wire.connected = True
        self._send(wire)

    def _send(self, wire: _Wire) -> None:
        if wire.out:
            with suppress(BlockingIOError):
                sent = wire.sock.send(wire.out)
                wire.out = wire.out[sent:]
        self._selector.modify(wire.sock, _READ | _WRITE if wire.out else _READ, wire)

    def _read(self, wire: _Wire) -> None:
        data = wire.sock.recv(_CHUNK)
        wire.connected = True
        if not data:
            self._lose(wire, Outcome.CLOSED)
            return
        out = wire.talk.feed(data)
        if wire.talk.done:
            if out:
                with suppress(OSError):
                    wire.sock.send(out)
            self._finish(wire)
            return
        if out:
            wire.out += out
            self._send(wire)
        patience = wire.talk.patience()
        if patience is not None:
            self._hurry(wire, time.monotonic() + patience)

    def _hurry(self, wire: _Wire, deadline: float) -> None:
        if deadline < wire.deadline:
            wire.deadline = deadline
            self.at_deadline(wire)

    def _finish(self, wire: _Wire, error: Exception | None = None) -> None:
        done, wire.done = wire.done, None
        if done is None:
            return
        self._selector.unregister(wire.sock)
        wire.sock.close()
        del wire.talk  # the heap of deadlines keeps the wire a while; not what was said on it
        self.open -= 1
        done(error)
