"""What must hold of everything that was read from somebody else's bytes, and ways to make such bytes."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st

from seccheck.errors import SeccheckError
from seccheck.model import ProbeFailed, safe_text
from seccheck.probes import Endpoint
from seccheck.scope import UNLIMITED, Connection, Context, Permission, Scope

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
SCOPE = Scope(permissions=(Permission(network="127.0.0.0/8", limits=UNLIMITED),))
HERE = "127.0.0.1"
SECONDS = 2.0
"""Of the processor's time: what any one input may take. A busy machine does not change it."""
LARGEST = 400_000
"""Bytes of facts that any one input may become."""
_EXAMPLES = settings().max_examples
SLOW = settings(max_examples=_EXAMPLES if _EXAMPLES >= 1000 else 8)
"""For what takes a tenth of a second each: fewer examples where there are few anyway."""
UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufdd0-\ufdef\ud800-\udfff"
    + "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
    + "]"
)


@contextmanager
def bounded(seconds: float = SECONDS) -> Iterator[None]:
    """What is done in here may take so much of this thread's processor time."""
    begun = time.thread_time()
    yield
    assert time.thread_time() - begun < seconds


def texts(value: Any) -> Iterator[str]:
    """Every text in plain data, keys too."""
    match value:
        case str():
            yield value
        case dict():
            for key, one in value.items():
                yield from texts(key)
                yield from texts(one)
        case list() | tuple() | set() | frozenset():
            for one in value:
                yield from texts(one)


def sound(value: Any, largest: int = LARGEST) -> None:
    """Facts, or any record: it can be written, is not large, and its texts are safe to show."""
    assert len(msgspec.json.encode(value)) <= largest
    for text in texts(msgspec.to_builtins(value)):
        assert not UNSAFE.search(text), repr(text)


def looked(look: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """The facts of a look at hostile bytes, sound; None where it raised `ProbeFailed`, as it may."""
    with bounded(seconds):
        try:
            facts = look()
        except ProbeFailed as failure:
            facts = failure
    if isinstance(facts, ProbeFailed):
        sound(safe_text(facts.detail, 500))
        assert len(facts.detail) < 10_000
        return None
    sound(facts)
    return facts


def read(reading: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """What was read of a person's file; None where it raised `SeccheckError`, with words to act on."""
    with bounded(seconds):
        try:
            return reading()
        except SeccheckError as error:
            said = str(error)
    assert said.strip()
    assert not UNSAFE.search(said.replace("\n", "")), repr(said)
    assert len(said) < 100_000
    return None


class Recorded(Context):
    """A door behind which every server has said its bytes already, one answer for each connection."""

    def __init__(self, *answers: bytes) -> None:
        super().__init__(SCOPE, now=lambda: NOW)
        self._answers = answers
        self.count = 0

    def dial(
        self, address: str, port: int, *, seconds: float = 10.0, max_bytes: int = 1_000_000
    ) -> Connection:
        self.permit(address)
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        theirs.send(self._answers[self.count % len(self._answers)])
        theirs.shutdown(socket.SHUT_WR)
        self.count += 1
        # A side that does not read stops whoever writes on: not for long here.
        return Connection(ours, time.monotonic() + min(seconds, 1.0), max_bytes, theirs.close)


@contextmanager
def heard(data: bytes) -> Iterator[Connection]:
    """A connection whose other side has said `data`."""
    with Recorded(data).dial(HERE, 1) as connection:
        yield connection


def endpoint(service: str, host: str = "www.example.vn", port: int = 8080) -> Endpoint:
    return Endpoint(host=host, address=HERE, port=port, service=service)


# -------------------------------------------------------------------------------------------------- bytes

_TELLING = (
    0,
    1,
    2,
    9,
    10,
    13,
    27,
    32,
    34,
    39,
    44,
    45,
    46,
    48,
    58,
    59,
    60,
    61,
    91,
    92,
    123,
    127,
    128,
    155,
    255,
)
_NUMBERS = st.sampled_from(_TELLING) | st.integers(0, 255)
_PIECES = st.sampled_from(
    (b"\r\n", b"\n", b"\0", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\x1b]0;x\x07", b"\xe2\x80\xae")
) | st.binary(max_size=12)


@st.composite
def damaged(draw: st.DrawFn, *samples: bytes, most: int = 5) -> bytes:
    """One of `samples` after a few injuries: bytes changed, cut out, repeated, put in; the end cut off."""
    data = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 5)):
            case 0 | 1:
                if at < len(data):
                    data[at] = draw(_NUMBERS)
            case 2:
                del data[at : at + draw(st.integers(1, 24))]
            case 3:
                piece = data[at : at + draw(st.integers(1, 48))]
                data[at:at] = piece * draw(st.integers(1, 6))
            case 4:
                data[at:at] = draw(_PIECES)
            case _:
                del data[at:]
    return bytes(data[:60_000])


def hostile(*samples: bytes) -> st.SearchStrategy[bytes]:
    """Bytes of all kinds: damaged samples for the most part, the samples cut and mixed, and noise."""
    noise = st.binary(max_size=300)
    joined = st.lists(damaged(*samples, most=2) | noise | _PIECES, max_size=6).map(b"".join)
    return damaged(*samples) | joined | noise


def words(*known: str) -> st.SearchStrategy[str]:
    """Text made of known words, the marks between them, and whatever else text may hold."""
    marks = (
        "=",
        ";",
        ",",
        ":",
        " ",
        "\t",
        '"',
        "'",
        "/",
        "*",
        "-",
        ".",
        "%",
        "(",
        ")",
        "0",
        "9" * 30,
        "\u00a0",
    )
    one = st.sampled_from((*known, *marks)) | st.text(max_size=6)
    return st.lists(one, max_size=24).map("".join)
