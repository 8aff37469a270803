"""One event loop for every listener of the fleet, and the conversations it carries."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import IO

_IDLE_SECONDS = 30.0
_FAREWELL_SECONDS = 2.0
_SWEEP_SECONDS = 1.0


class Talk:
    """One conversation from the server's side, without sockets: bytes come in, bytes go out."""

    over = False
    """Set once the server has said its last word; the connection is then closed."""

    def greet(self) -> bytes:
        """What the server says before it has heard anything."""
        return b""

    def hear(self, data: bytes) -> bytes:
        """What the server answers to `data`."""
        raise NotImplementedError


class _Connection:
    __slots__ = ("heard", "leaving", "socket", "talk", "unsent")

    def __init__(self, sock: socket.socket, talk: Talk) -> None:
        self.socket = sock
        self.talk = talk
        self.unsent = b""
        self.heard = time.monotonic()
        self.leaving = False
        """The server has closed its half and waits for the client's: a reset would swallow its last words."""


class Loop:
    """Serves TCP listeners and UDP sockets until the stream it watches ends."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._connections: set[_Connection] = set()
        self._running = False
        self._parent = os.getppid()

    def listen(self, sock: socket.socket, talk: Callable[[], Talk]) -> None:
        """Serve every connection to the listening `sock` with a fresh `talk()`."""
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, lambda _mask: self._accept(sock, talk))

    def listen_datagrams(self, sock: socket.socket, answer: Callable[[bytes], bytes]) -> None:
        """Answer every datagram to `sock` with one of `answer`'s, or not at all when that is empty."""
        sock.setblocking(False)

        def read(_mask: int) -> None:
            with contextlib.suppress(OSError):
                datagram, peer = sock.recvfrom(65536)
                if reply := answer(datagram):
                    sock.sendto(reply, peer)

        self._selector.register(sock, selectors.EVENT_READ, read)

    def stop_at_end_of(self, stream: IO[bytes]) -> None:
        """Stop when `stream` ends, as standard input does when the parent process is gone."""

        def read(_mask: int) -> None:
            if not stream.read(4096):
                self._running = False

        self._selector.register(stream, selectors.EVENT_READ, read)

    def run(self) -> None:
        """Serve until told to stop or the parent process is gone, then close everything."""
        self._running = True
        swept = time.monotonic()
        while self._running:
            for key, mask in self._selector.select(_SWEEP_SECONDS):
                key.data(mask)
            now = time.monotonic()
            if now - swept >= _SWEEP_SECONDS:
                swept = now
                self._sweep(now)
                if os.getppid() != self._parent:
                    self._running = False
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()

    def _accept(self, listener: socket.socket, talk: Callable[[], Talk]) -> None:
        while True:
            try:
                sock, _peer = listener.accept()
            except OSError:  # nobody waits any more, or the client was gone before we came
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(sock, talk())
            self._connections.add(connection)
            self._selector.register(
                sock, selectors.EVENT_READ, lambda mask, c=connection: self._event(c, mask)
            )
            connection.unsent = connection.talk.greet()
            self._send(connection)

    def _event(self, connection: _Connection, mask: int) -> None:
        if mask & selectors.EVENT_READ:
            try:
                data = connection.socket.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._close(connection)
                return
            connection.heard = time.monotonic()
            if not connection.leaving:
                self._answer(connection, data)
        self._send(connection)

    def _answer(self, connection: _Connection, data: bytes) -> None:
        try:
            connection.unsent += connection.talk.hear(data)
        except Exception:  # noqa: BLE001 - one broken conversation must not end the other systems'
            traceback.print_exc(file=sys.stderr)
            connection.talk.over = True

    def _send(self, connection: _Connection) -> None:
        if connection.socket.fileno() < 0:
            return
        if connection.unsent:
            try:
                sent = connection.socket.send(connection.unsent)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._close(connection)
                return
            connection.unsent = connection.unsent[sent:]
            self._watch(connection, writable=bool(connection.unsent))
        if connection.talk.over and not connection.unsent and not connection.leaving:
            connection.leaving = True
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_WR)

    def _watch(self, connection: _Connection, *, writable: bool) -> None:
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if writable else 0)
        key = self._selector.get_key(connection.socket)
        if key.events != wanted:
            self._selector.modify(connection.socket, wanted, key.data)

    def _close(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        self._selector.unregister(connection.socket)
        connection.socket.close()

    def _sweep(self, now: float) -> None:
        for connection in list(self._connections):
            patience = _FAREWELL_SECONDS if connection.leaving else _IDLE_SECONDS
            if now - connection.heard > patience:
                self._close(connection)
