"""One connection's talk with a server: what to send, what to make of what comes, when it is done."""

from __future__ import annotations

import re
from typing import Protocol

from seccheck.probes.tls.answer import Outcome, Reader, Reply
from seccheck.probes.tls.hello import SSL2, Hello
from seccheck.scope import USER_AGENT

_FAREWELL = bytes.fromhex("15 0301 0002 015a 15 0301 0002 0100")
"""user_canceled and close_notify (RFC 8446 6.1): we leave politely where we have seen enough."""


class Talk(Protocol):
    """What the loop carries bytes for. `done` ends the connection; `reply` says what came of it."""

    reply: Reply
    done: bool

    def opening(self) -> bytes:
        """What to send once connected; empty where the server speaks first."""

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the server; give what to send."""

    def lost(self, outcome: Outcome, detail: str = "") -> None:
        """The connection ended, or its time."""

    def patience(self) -> float | None:
        """Seconds to wait from now on, where less than usual; asked after each `feed`."""


class HelloTalk:
    """Sends one hello, reads the answer, leaves."""

    def __init__(self, hello: Hello) -> None:
        self.reader = Reader(hello)
        self.reply = self.reader.reply
        self.done = False

    def opening(self) -> bytes:
        """The hello."""
        return self.reader.hello.build()

    def feed(self, data: bytes) -> bytes:
        """Read on until the answer is known."""
        self.reader.feed(data)
        if self.reply.outcome is None:
            return b""
        self.done = True
        return _FAREWELL if self.reply.whole and self.reply.version != SSL2 else b""

    def lost(self, outcome: Outcome, detail: str = "") -> None:
        """The connection ended before the answer was whole."""
        self.reader.lost(outcome, detail)

    def patience(self) -> float | None:
        """As long as usual."""
        return None


_HEAD = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r\n]")
_SERVED = re.compile(rb"2..|3..|401|404|405")
_AWAY = re.compile(rb"\r?\nlocation:\s*(https?:)?//", re.IGNORECASE)
_MAX_HEAD = 16_384


class PlainGet:
    """Asks for the front page in clear, where no hello was answered.

    A server of TLS may answer that as well, to say that it wants TLS: a bad request (400, 426), or a redirect
    to https. A box in between that swallows hellos may answer too: forbidden (403), or a redirect to a page
    of its own. Only a page, a redirect on the site or another plain "no" shows that the port is one of HTTP.
    """

    def __init__(self, name: str) -> None:
        self.reply = Reply()
        self.done = False
        self._name = name
        self._data = b""

    def opening(self) -> bytes:
        """The request; of HTTP/1.0, which may go without a name."""
        host = f"Host: {self._name}\r\n" if self._name else ""
        return f"GET / HTTP/1.0\r\n{host}User-Agent: {USER_AGENT}\r\n\r\n".encode("ascii")

    def feed(self, data: bytes) -> bytes:
        """Read on to the end of the header."""
        self._data += data
        if b"\r\n\r\n" in self._data or b"\n\n" in self._data or len(self._data) > _MAX_HEAD:
            self._conclude(Outcome.GARBAGE)
        return b""

    def _conclude(self, outcome: Outcome, detail: str = "no answer of HTTP") -> None:
        self.done = True
        head = self._data[:_MAX_HEAD].partition(b"\r\n\r\n")[0]
        status = _HEAD.match(head)
        if status and _SERVED.fullmatch(status[1]) and not _AWAY.search(head):
            self.reply.outcome, self.reply.detail = Outcome.PLAIN, head[:80].decode("latin-1")
        else:
            self.reply.outcome, self.reply.detail = outcome, detail

    def lost(self, outcome: Outcome, detail: str = "") -> None:
        """The connection ended, perhaps with the answer."""
        self._conclude(outcome, detail)

    def patience(self) -> float | None:
        """As long as usual."""
        return None
