"""What a server answers to a hello, read from its bytes as they come, in clear, and never trusted.

Up to TLS 1.2 everything to ServerHelloDone is in clear (RFC 5246 7.3); of TLS 1.3 the HelloRetryRequest or
the ServerHello is (RFC 8446 4.1.3). Nothing is signed or decrypted here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from seccheck.probes.tls import hello as h
from seccheck.probes.tls import suites

MAX_ANSWER = 400_000
"""Bytes read of one answer: a certificate with 1,500 names needs 60 kB."""
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
_TEXT = re.compile(rb"[\t\r\n\x20-\x7e\x80-\xff]{4,}")


class Outcome(StrEnum):
    """How an offer ended."""

    FLIGHT = "flight"
    """A whole flight came: the offer was accepted."""
    ALERT = "alert"
    CLOSED = "closed"
    RESET = "reset"
    TIMEOUT = "timeout"
    GARBAGE = "garbage"
    PLAIN = "plain"
    """Readable text where TLS was expected."""
    UNREACHABLE = "unreachable"
    """No TCP connection."""
    NO_STARTTLS = "no-starttls"
    """The server said in its own protocol that it has no TLS."""
    BUSY = "busy"
    """The server said in its own protocol to come back later."""
    NOT_ASKED = "not-asked"
    """We did not ask: the look was over."""


class Broken(Exception):  # noqa: N818
    """The bytes are no answer of the protocol."""


@dataclass(slots=True)
class Reply:
    """The answer to one offer; `outcome` is set when it is known."""

    outcome: Outcome | None = None
    detail: str = ""
    asked: bool = True
    """Whether the hello was sent; False when the connection ended in the talk before STARTTLS."""
    alert: int | None = None
    version: int | None = None
    suite: int | None = None
    compression: int = 0
    extensions: dict[int, bytes] = field(default_factory=dict)
    group: int | None = None
    dh_bits: int | None = None
    certificates: tuple[bytes, ...] = ()
    staple: bytes = b""
    wants_certificate: bool = False
    needs_certificate: bool | None = None
    """Whether the handshake fails without a client certificate; None: not told."""
    kinds: tuple[int, ...] = ()
    """The cipher kinds of an SSL 2.0 server."""
    verdict: bool | str | None = None
    """What a test after the flight showed (renegotiation, heartbeat, ...)."""
    cut: bool = False
    """Whether the connection ended in the middle of a record or message."""

    @property
    def whole(self) -> bool:
        """Whether a whole flight came."""
        return self.outcome is Outcome.FLIGHT

    @property
    def partial(self) -> bool:
        """Whether an answer began, but is not whole."""
        return (self.version is not None or self.cut) and not self.whole


class Reader:
    """Reads the answer to one hello into `reply`."""

    def __init__(self, hello: h.Hello) -> None:
        self.hello = hello
        self.reply = Reply()
        self._raw = bytearray()
        self._messages = bytearray()
        self._taken = 0

    def feed(self, data: bytes) -> None:
        """Read on. Sets the outcome as soon as the answer is known."""
        self._taken += len(data)
        self._raw += data
        if self._taken > MAX_ANSWER:
            self._end(Outcome.GARBAGE, f"more than {MAX_ANSWER} bytes")
            return
        try:
            self._read()
        except (Broken, IndexError) as error:
            self._end(Outcome.GARBAGE, str(error) or "truncated message")

    def lost(self, outcome: Outcome, detail: str = "") -> None:
        """The connection ended, or time ran out, before the answer was whole."""
        if self.reply.outcome is None:
            self.reply.cut = bool(self._raw or self._messages)
            self._end(outcome, "after a ServerHello" if self._hello_seen else detail)

    @property
    def rest(self) -> bytes:
        """What came after the flight."""
        return bytes(self._raw)

    @property
    def _hello_seen(self) -> bool:
        return self.reply.version is not None

    def _end(self, outcome: Outcome, detail: str = "") -> None:
        self.reply.outcome, self.reply.detail = outcome, detail

    def _read(self) -> None:
        raw = self._raw
        if not self._hello_seen and len(raw) >= 3 and raw[0] & 0x80 and raw[2] in {0, 4}:
            self._read_ssl2()
            return
        while self.reply.outcome is None and len(raw) >= 5:
            kind, length = raw[0], raw[3] << 8 | raw[4]
            if not 20 <= kind <= 24 or raw[1] != 3 or length > 18432:
                self._not_tls()
                return
            if len(raw) < 5 + length:
                return
            body = bytes(raw[5 : 5 + length])
            del raw[: 5 + length]
            self._record(kind, body)
        if self.reply.outcome is None and raw and not 20 <= raw[0] <= 24 and not raw[0] & 0x80:
            self._not_tls()

    def _not_tls(self) -> None:
        text = not self._hello_seen and _TEXT.fullmatch(bytes(self._raw[:64]))
        if text:
            self._end(Outcome.PLAIN, bytes(self._raw[:80]).decode("latin-1"))
        elif self._hello_seen or len(self._raw) >= 4:
            raise Broken("no TLS record: " + bytes(self._raw[:8]).hex())

    def _record(self, kind: int, body: bytes) -> None:
        if kind == 21:
            self._alert(body)
        elif kind == 22:
            self._messages += body
            while self.reply.outcome is None and len(self._messages) >= 4:
                length = int.from_bytes(self._messages[1:4], "big")
                if length > MAX_ANSWER:
                    raise Broken("handshake message too long")
                if len(self._messages) < 4 + length:
                    break
                message = bytes(self._messages[4 : 4 + length])
                number = self._messages[0]
                del self._messages[: 4 + length]
                self._message(number, message)
        if (
            self.reply.outcome is None
            and self._hello_seen
            and self.reply.version == h.TLS13
            and kind in {20, 23}
        ):
            self._end(Outcome.FLIGHT)

    def _alert(self, body: bytes) -> None:
        if len(body) != 2:
            raise Broken("malformed alert")
        level, number = body
        if level == 1 and number not in {0, 90}:
            return  # a warning, such as unrecognized_name(112): the handshake goes on
        self.reply.alert = number
        self._end(Outcome.ALERT)

    def _message(self, number: int, body: bytes) -> None:
        if number == 2:
            if self._hello_seen:
                raise Broken("a second ServerHello")
            self._server_hello(body)
            return
        if number == 0:
            return
        if not self._hello_seen:
            raise Broken(f"handshake message {number} before a ServerHello")
        match number:
            case 11:
                self.reply.certificates = _certificates(body)
            case 22:
                if body[:1] == b"\x01":
                    self.reply.staple = body[4 : 4 + int.from_bytes(body[1:4], "big")]
            case 12:
                self._key_exchange(body)
            case 13:
                self.reply.wants_certificate = True
            case 14:
                self._end(Outcome.FLIGHT)
            case 4:
                pass
            case _:
                raise Broken(f"unexpected handshake message {number}")

    def _server_hello(self, body: bytes) -> None:
        reply = self.reply
        at = 35 + body[34]
        extensions = _extensions(body[at + 3 :])
        version = int.from_bytes(extensions.get(h.VERSIONS, body[:2]), "big")
        suite = body[at] << 8 | body[at + 1]
        self._check_choice(version, suite)
        reply.version, reply.suite = version, suite
        reply.compression, reply.extensions = body[at + 2], extensions
        if version == h.TLS13:
            share = extensions.get(h.KEY_SHARE, b"")
            reply.group = share[0] << 8 | share[1] if len(share) >= 2 else None
            if reply.group is not None and reply.group not in self.hello.groups:
                raise Broken("chose a group that was not offered")
            if body[2:34] == _RETRY:
                self._end(Outcome.FLIGHT)

    def _check_choice(self, version: int, suite: int) -> None:
        """Refuse choices outside the offer: such an answer is no evidence of anything."""
        if version not in h.NAMES or version > self.hello.version:
            raise Broken(f"chose version 0x{version:04x}")
        if suite not in self.hello.suites:
            raise Broken(f"chose suite 0x{suite:04x}, which was not offered")
        if (version == h.TLS13) != (suite in suites.TLS13):
            raise Broken("chose a suite of another version")

    def _key_exchange(self, body: bytes) -> None:
        suite = self.reply.suite or 0
        if suites.is_ephemeral_ec(suite):
            if body[0] == 3:
                self.reply.group = body[1] << 8 | body[2]
        elif suites.is_ephemeral_dh(suite):
            length = body[0] << 8 | body[1]
            prime = body[2 : 2 + length]
            if len(prime) != length:
                raise Broken("truncated ServerKeyExchange")
            self.reply.dh_bits = int.from_bytes(prime, "big").bit_length()

    def _read_ssl2(self) -> None:
        raw = self._raw
        length = (raw[0] & 0x7F) << 8 | raw[1]
        if len(raw) < 2 + length:
            return
        body = bytes(raw[2 : 2 + length])
        if body[0] != 4:
            self._end(Outcome.CLOSED, "SSL 2.0 error message")
            return
        certificate, specs = body[5] << 8 | body[6], body[7] << 8 | body[8]
        if body[3] << 8 | body[4] != h.SSL2 or len(body) < 11 + certificate + specs or specs % 3:
            raise Broken("malformed SSL 2.0 SERVER-HELLO")
        kinds = body[11 + certificate : 11 + certificate + specs]
        self.reply.version = h.SSL2
        self.reply.certificates = (body[11 : 11 + certificate],) if certificate else ()
        numbers = (int.from_bytes(kinds[i : i + 3], "big") for i in range(0, specs, 3))
        self.reply.kinds = tuple(kind for kind in numbers if kind in self.hello.suites)
        if self.reply.kinds:
            self._end(Outcome.FLIGHT)
        else:
            self._end(Outcome.CLOSED, "SSL 2.0 SERVER-HELLO without a common cipher")


def _certificates(body: bytes) -> tuple[bytes, ...]:
    total = int.from_bytes(body[:3], "big")
    if total + 3 != len(body):
        raise Broken("malformed Certificate message")
    found, at = [], 3
    while at < len(body):
        length = int.from_bytes(body[at : at + 3], "big")
        if not length or at + 3 + length > len(body):
            raise Broken("malformed Certificate message")
        found.append(body[at + 3 : at + 3 + length])
        at += 3 + length
    return tuple(found)


def _extensions(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    if not data:
        return found
    if int.from_bytes(data[:2], "big") + 2 != len(data):
        raise Broken("malformed extensions")
    at = 2
    while at < len(data):
        kind, length = data[at] << 8 | data[at + 1], data[at + 2] << 8 | data[at + 3]
        if at + 4 + length > len(data):
            raise Broken("malformed extensions")
        found[kind] = data[at + 4 : at + 4 + length]
        at += 4 + length
    return found
