"""TLS as a client, fed piece by piece: every native call is given a bounded number of bytes.

A TLS socket of the standard library reads by itself, and some records make OpenSSL read on without end
(HelloRequests within a handshake, tickets after it): no deadline and no signal reaches it then.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from socket import socket
from typing import TypeVar

_PIECE = 16_384
_MAX_FOR_NOTHING = 1_000_000
"""Bytes taken without one of use: a handshake with a thousand names in its certificate needs 60 kB."""
T = TypeVar("T")


class Encrypted:
    """A socket with TLS on it. `arm` is called before each wait: it sets the time left, or raises."""

    def __init__(
        self, sock: socket, context: ssl.SSLContext, name: str | None, arm: Callable[[], None]
    ) -> None:
        self._sock, self._arm = sock, arm
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=name)

    def do_handshake(self) -> None:
        """Shake hands; raises `ssl.SSLError` or `OSError` as a TLS socket does."""
        self._carry(self._tls.do_handshake)

    def cipher(self) -> tuple[str, str, int] | None:
        """The suite that was agreed on."""
        return self._tls.cipher()

    def recv(self, size: int) -> bytes:
        """The next bytes; empty when the peer closed, with or without a word."""
        try:
            return self._carry(lambda: self._tls.read(size))
        except ssl.SSLEOFError:
            return b""

    def sendall(self, data: bytes) -> None:
        """Send all of `data`."""
        if data:
            self._carry(lambda: self._tls.write(data))

    def settimeout(self, seconds: float | None) -> None:
        """Wait no longer than this."""
        self._sock.settimeout(seconds)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def _carry(self, step: Callable[[], T]) -> T:
        taken = 0
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush()
                taken += self._fill()
                if taken > _MAX_FOR_NOTHING:
                    raise OSError("endless TLS records") from None
            except ssl.SSLError:
                with suppress(OSError):
                    self._flush()  # the alert that says so
                raise
            else:
                self._flush()
                return result

    def _fill(self) -> int:
        self._arm()
        data = self._sock.recv(_PIECE)
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()
        return len(data)

    def _flush(self) -> None:
        if self._out.pending:
            self._arm()
            self._sock.sendall(self._out.read())
