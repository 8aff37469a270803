"""TLS on top of a conversation: OpenSSL between two memory buffers, so that its alerts reach the wire."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping

from seccheck.demo.loop import Talk
from seccheck.demo.oldtls import (
    HANDSHAKE_FAILURE,
    TLS12,
    UNRECOGNIZED_NAME,
    ClientHello,
    alert,
    read_hello,
)

_LONGEST_HELLO = 65536

Choice = Callable[[ClientHello], ssl.SSLContext | bytes]
"""Who answers a ClientHello: a context of OpenSSL, or a flight made by hand."""


class TlsTalk(Talk):
    """Serves `inner` over TLS."""

    def __init__(
        self, context: ssl.SSLContext, inner: Callable[[], Talk], choose: Choice | None = None
    ) -> None:
        self._context = context
        self._make_inner = inner
        self._choose = choose
        self._hello = b""
        self._by_hand = False
        self._tls: ssl.SSLObject | None = None
        self._inner: Talk | None = None

    def hear(self, data: bytes) -> bytes:
        """Passes records to OpenSSL and what it makes of them to the inner conversation."""
        if self._by_hand:
            self.over = True
            return b"" if data[:1] == b"\x15" else alert(HANDSHAKE_FAILURE, TLS12)
        if self._tls is None:
            if self._choose:
                self._hello += data
                flight = self._chosen(self._choose)
                if flight is not None:
                    return flight
                data = self._hello
            self._in = ssl.MemoryBIO()
            self._out = ssl.MemoryBIO()
            self._tls = self._context.wrap_bio(self._in, self._out, server_side=True)
        self._in.write(data)
        try:
            self._continue(self._tls)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except ssl.SSLError:  # OpenSSL has written its alert to the buffer, where it lies ready
            self.over = True
        return self._out.read()

    def _chosen(self, choose: Choice) -> bytes | None:
        """The bytes to answer with while OpenSSL has no part in it; None once it has."""
        try:
            hello = read_hello(self._hello)
        except ValueError:
            return None  # OpenSSL says what is wrong with it
        if hello is None:
            return b"" if len(self._hello) < _LONGEST_HELLO else None
        choice = choose(hello)
        if isinstance(choice, bytes):
            self._by_hand = True
            self.over = choice[:1] == b"\x15"
            return choice
        self._context = choice
        return None

    def _continue(self, tls: ssl.SSLObject) -> None:
        if self._inner is None:
            tls.do_handshake()
            self._inner = self._make_inner()
            tls.write(self._inner.greet())
        while not self._inner.over:
            text = tls.read(65536)
            if not text:
                self.over = True
                return
            tls.write(self._inner.hear(text))
        self.over = True
        tls.unwrap()


class ByName(Talk):
    """One port for many systems: the name in the ClientHello says whose conversation it is (RFC 6066 3)."""

    def __init__(self, talks: Mapping[str, Callable[[], Talk]]) -> None:
        self._talks = talks
        self._hello = b""
        self._talk: Talk | None = None

    def hear(self, data: bytes) -> bytes:
        """Waits for the whole hello, then is the conversation that it asks for."""
        if self._talk is None:
            self._hello += data
            try:
                hello = read_hello(self._hello)
            except ValueError:
                hello = ClientHello(b"", TLS12, ())
            if hello is None:
                self.over = len(self._hello) > _LONGEST_HELLO
                return b""
            if hello.server_name not in self._talks:
                self.over = True
                return alert(UNRECOGNIZED_NAME, TLS12)
            self._talk, data = self._talks[hello.server_name](), self._hello
        answer = self._talk.hear(data)
        self.over = self._talk.over
        return answer


class StartTls(Talk):
    """A plain conversation that turns into TLS once it says so (`upgraded`)."""

    def __init__(self, plain: Talk, encrypted: Callable[[], Talk]) -> None:
        self._talk = plain
        self._encrypted = encrypted

    def greet(self) -> bytes:
        """The greeting of the plain conversation."""
        return self._talk.greet()

    def hear(self, data: bytes) -> bytes:
        """Answers in the clear, then over TLS."""
        answer = self._talk.hear(data)
        if getattr(self._talk, "upgraded", False):
            self._talk = self._encrypted()
        self.over = self._talk.over
        return answer
