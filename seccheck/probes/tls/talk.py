"""One connection's talk with a server: what to send, what to make of what comes, when it is done."""

from __future__ import annotations

from typing import Protocol

from seccheck.probes.tls.answer import Outcome, Reader, Reply
from seccheck.probes.tls.hello import SSL2, Hello

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
