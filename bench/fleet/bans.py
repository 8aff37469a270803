"""Servers that have enough of us: after some connections they reset, close or stall; some do so now and then.

Of such a server much may stay open, and nothing may be wrong: every truth here is "so, or not told".
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable

from bench.fleet.servers import Handler, Site, answer, tls_context
from bench.fleet.yard import Yard
from tests.hostile import servers as hostile

PORT = 8443
ANYTHING = "TLS-* CRT-* WEB-* ADM-* DAT-01 PAT-* NET-*"
OLD = {"lowest": ssl.TLSVersion.TLSv1, "ciphers": "ECDHE+AESGCM:ECDHE-RSA-AES128-SHA:@SECLEVEL=0"}
KINDS: dict[str, tuple[dict[str, object], str]] = {"strong": ({}, ""), "old": (OLD, "TLS-03 TLS-06")}


def reset(peer: socket.socket) -> None:
    """End with a reset."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def close(peer: socket.socket) -> None:
    """End without a word, at once."""
    peer.shutdown(socket.SHUT_RDWR)


def stall(peer: socket.socket) -> None:
    """Say nothing more until the other side goes."""
    while peer.recv(4096):
        pass


def alert(peer: socket.socket) -> None:
    """Refuse as if nothing of the hello were spoken: a refusal that is none."""
    peer.recv(4096)
    peer.sendall(b"\x15\x03\x01\x00\x02\x02\x28")


def busy(peer: socket.socket) -> None:
    """Say so in the words of HTTP."""
    peer.recv(4096)
    peer.sendall(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


HOWS: dict[str, Callable[[socket.socket], None]] = {
    "reset": reset,
    "close": close,
    "stall": stall,
    "alert": alert,
    "busy": busy,
}


def after(inner: Handler, count: int, how: Callable[[socket.socket], None]) -> Handler:
    """A ban from the connection numbered `count` on."""
    return lambda peer, number: inner(peer, number) if number < count else how(peer)


def every(inner: Handler, nth: int, how: Callable[[socket.socket], None]) -> Handler:
    """Every `nth` connection is broken."""
    return lambda peer, number: how(peer) if number % nth == nth - 1 else inner(peer, number)


def within(inner: Handler, count: int, seconds: float, how: Callable[[socket.socket], None]) -> Handler:
    """No more than `count` connections in so many seconds."""
    lock, seen = threading.Lock(), list[float]()

    def handler(peer: socket.socket, number: int) -> None:
        now = time.monotonic()
        with lock:
            seen[:] = [moment for moment in seen if now - moment < seconds] + [now]
            many = len(seen) > count
        if many:
            how(peer)
        else:
            inner(peer, number)

    return handler


def cases(yard: Yard) -> None:
    """Bans of every kind, and the corpus of servers that are out to do harm."""

    def server(name: str, kind: str, make: Callable[[Handler], Handler]) -> None:
        address = yard.address()
        tls, fails = KINDS[kind]
        context = tls_context(yard.good.leaf(f"ban-{name}-{kind}", address), **tls)  # type: ignore[arg-type]
        yard.serve(address, PORT, make(Site({"/": answer()}, tls=context)))
        yard.one(f"ban-{name}-{kind}", address, PORT, "https", fails=fails, unsure=ANYTHING)

    for kind in KINDS:
        for how, end in HOWS.items():
            for count in (2, 12, 40):
                server(f"after-{count}-{how}", kind, lambda inner, n=count, end=end: after(inner, n, end))  # type: ignore[misc]
            for nth in (2, 3):
                server(f"every-{nth}-{how}", kind, lambda inner, n=nth, end=end: every(inner, n, end))  # type: ignore[misc]
            server(f"rate-{how}", kind, lambda inner, end=end: within(inner, 10, 2.0, end))  # type: ignore[misc]
    harmful(yard)


_TELLS_NOTHING = (
    "TLS-03 TLS-04 TLS-05 TLS-06 TLS-07 TLS-09 TLS-10 TLS-08 MAI-03 MAI-04 ADM-02 ADM-03 WEB-01 WEB-02 WEB-03"
)


def harmful(yard: Yard) -> None:
    """Each server of the hostile corpus, as the first service it fits: nothing about it is ever met."""
    ports = yard.stack.enter_context(hostile.fleet())
    for name, (port, services) in sorted(ports.items()):
        real = name.endswith("-tls")  # behind a sound handshake: of TLS the truth is that of Python
        doubtful = " ".join(one for one in _TELLS_NOTHING.split() if not real or one[:3] != "TLS")
        for service in services[:1]:
            # odd-headers does send three of the headers
            free = f"{ANYTHING} MAI-* NET-*"
            yard.one(
                f"harm-{name}-{service}", "127.0.0.1", port, service, free=free,
                fails="", never="" if name.startswith("odd-headers") else doubtful,
            )  # fmt: skip
