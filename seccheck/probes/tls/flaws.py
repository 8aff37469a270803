"""Three known flaws that show from outside: Heartbleed, CCS injection, ROBOT. Each test harms nothing.

A test begins with an ordinary flight of the server and goes one step further. `reply.verdict` says what
came of it: True or False, None when it cannot be told; for ROBOT a short text to compare.
"""

from __future__ import annotations

import os

from seccheck.probes.tls import hello as h
from seccheck.probes.tls import suites
from seccheck.probes.tls.answer import Outcome, Reader
from seccheck.probes.tls.certificates import parse
from seccheck.probes.tls.hello import Hello

_SECONDS = 3.0
CLOSES = 2
"""How many times a connection must be closed on a provocation to be taken for the server's own answer."""
_LARGEST_MODULUS, _LARGEST_EXPONENT = 16384, 64
_CURVES = (*(group for group in h.STRONG_CURVES if group <= 0x1E),)


def _record(kind: int, version: int, body: bytes) -> bytes:
    return bytes((kind, version >> 8, version & 0xFF)) + len(body).to_bytes(2, "big") + body


class _Beyond:
    """Reads the server's flight, sends a provocation, and hears the answer to that."""

    def __init__(self, hello: Hello) -> None:
        self.reader = Reader(hello)
        self.reply = self.reader.reply
        self.done = False
        self._sent = False
        self._heard = bytearray()

    def opening(self) -> bytes:
        """The hello."""
        return self.reader.hello.build()

    def feed(self, data: bytes) -> bytes:
        """The flight first, then the answer to what was sent after it."""
        if not self._sent:
            self.reader.feed(data)
            if self.reply.outcome is None:
                return b""
            if not self.reply.whole:
                self.done = True
                return b""
            self._sent = True
            provocation = self.provoke()
            self.done = not provocation
            return provocation
        self._heard += data
        while not self.done and len(self._heard) >= 5:
            length = self._heard[3] << 8 | self._heard[4]
            kind = self._heard[0]
            if kind != 24 and len(self._heard) < 5 + length:
                break
            body = bytes(self._heard[5 : 5 + length])
            del self._heard[: 5 + length]
            self.hear(kind, body)
        if len(self._heard) > 100_000:
            self.done = True
        return b""

    def provoke(self) -> bytes:
        """What to send after the flight; nothing ends the talk."""
        raise NotImplementedError

    def hear(self, kind: int, body: bytes) -> None:
        """Take one record of the answer."""
        raise NotImplementedError

    def lost(self, outcome: Outcome, detail: str = "") -> None:
        """The connection ended, or its time."""
        if not self._sent:
            self.reader.lost(outcome, detail)
        elif outcome in {Outcome.CLOSED, Outcome.RESET}:
            self.hung_up(outcome)
        else:
            self.silent()

    def hung_up(self, outcome: Outcome) -> None:
        """How the connection ended on the provocation: by whom is not known, so one time decides nothing."""
        self.reply.verdict = str(outcome)

    def silent(self) -> None:
        """The server said nothing."""
        self.reply.verdict = None

    def patience(self) -> float | None:
        """A short while for the answer."""
        return _SECONDS if self._sent else None

    def _says(self, verdict: bool | str | None) -> None:
        self.reply.verdict = verdict
        self.done = True


class Heartbleed(_Beyond):
    """CVE-2014-0160. Asks for its own bytes back without the padding RFC 6520 4 requires.

    A sound server drops such a request; an unpatched OpenSSL answers it. A second one claims a few bytes
    more than it has, which are dropped unread when they come. A record that no server may take in clear
    ends the talk, so that silence is told from a path that went dead.

    A reset may swallow an answer that was on its way, because something of ours was left unread: then the
    first request is sent once more, `alone`.
    """

    def __init__(self, version: int, name: str, *, alone: bool = False) -> None:
        super().__init__(_ordinary(version, name, heartbeat=True))
        self._alone = alone

    def provoke(self) -> bytes:
        """Two heartbeat requests, and application data in clear."""
        version = self.reply.version or h.TLS12
        unpadded = b"\x01\x00\x10" + os.urandom(16)
        if self._alone:
            return _record(24, version, unpadded)
        overreach = b"\x01\x00\x20\x00"
        return (
            _record(24, version, unpadded) + _record(24, version, overreach) + _record(23, version, b"\0\0")
        )

    def hear(self, kind: int, body: bytes) -> None:
        """A heartbeat answer is the flaw; an alert is its absence."""
        del body
        if kind == 24:
            self._says(verdict=True)
        elif kind == 21:
            self._says(verdict=False)


class CcsInjection(_Beyond):
    """CVE-2014-0224. Changes the cipher before there is a key: a sound server calls that unexpected.

    `alone`, as with Heartbleed: a sound server says so at once, with nothing left unread; others wait.
    """

    def __init__(self, version: int, name: str, *, alone: bool = False) -> None:
        super().__init__(_ordinary(version, name))
        self._alone = alone

    def provoke(self) -> bytes:
        """An early ChangeCipherSpec, and something to decrypt with no key."""
        version = self.reply.version or h.TLS12
        early = _record(20, version, b"\x01")
        return early if self._alone else early + _record(23, version, b"\0\0")

    def hear(self, kind: int, body: bytes) -> None:
        """bad_record_mac or decryption_failed: it did decrypt."""
        if kind == 21 and len(body) == 2:
            self._says(verdict=body[1] in {20, 21})


def _ordinary(version: int, name: str, *, heartbeat: bool = False) -> Hello:
    offered = suites.all_tls12() if version == h.TLS12 else suites.weak_old()
    if version == h.SSL3:
        return Hello(version, suites.old())
    return Hello(version, offered, _CURVES, name, heartbeat=heartbeat)


# ROBOT (CVE-2017-13099 and others): RSA key exchanges, one well padded and four badly (RFC 8017 7.2.2).
# A server that answers them differently tells an attacker which is which.
_SECRET = bytes.fromhex("aa" + "1122334455667788" * 6)[:46]


def _padded(version: int, size: int) -> dict[str, bytes]:
    fill = (b"\xab\xcd" * size)[: size - 51]
    number = version.to_bytes(2, "big")
    return {
        "well padded": b"\x00\x02" + fill + b"\x00" + number + _SECRET,
        "wrong first bytes": b"\x41\x17" + fill + b"\x00" + number + _SECRET,
        "zero in the wrong place": b"\x00\x02" + fill + b"\x11" + _SECRET + b"\x00\x11",
        "no zero": b"\x00\x02" + fill + b"\x11\x11\x11" + _SECRET,
        "wrong version": b"\x00\x02" + fill + b"\x00\x02\x02" + _SECRET,
    }


_NO_CERTIFICATE = bytes.fromhex("0b 000003 000000")
"""The empty Certificate of a client that has none (RFC 5246 7.4.6)."""
PADDINGS = tuple(_padded(h.TLS12, 256))


class Robot(_Beyond):
    """One key exchange with one padding; `reply.verdict` is how the server took it."""

    def __init__(self, version: int, name: str, padding: str) -> None:
        offered = suites.static_rsa(tls12=version == h.TLS12)
        super().__init__(Hello(version, offered, _CURVES, "" if version == h.SSL3 else name))
        self._padding = padding

    def provoke(self) -> bytes:
        """ClientKeyExchange, ChangeCipherSpec, and a Finished that cannot be right."""
        key = _rsa_key(self.reply.certificates)
        if key is None:
            return b""
        version = self.reply.version or h.TLS12
        modulus, exponent = key
        size = (modulus.bit_length() + 7) // 8
        secret = int.from_bytes(_padded(version, size)[self._padding], "big")
        sealed = pow(secret, exponent, modulus).to_bytes(size, "big")
        if version != h.SSL3:
            sealed = size.to_bytes(2, "big") + sealed
        exchange = b"\x10" + len(sealed).to_bytes(3, "big") + sealed
        if self.reply.wants_certificate:
            exchange = _NO_CERTIFICATE + exchange
        return (
            _record(22, version, exchange)
            + _record(20, version, b"\x01")
            + _record(22, version, os.urandom(80))
        )

    def hear(self, kind: int, body: bytes) -> None:
        """The first record of the answer."""
        self._says(f"alert {body[1]}" if kind == 21 and len(body) == 2 else f"record {kind}")

    def silent(self) -> None:
        """So is silence."""
        self.reply.verdict = "silence"


def _rsa_key(certificates: tuple[bytes, ...]) -> tuple[int, int] | None:
    """The modulus and exponent of the leaf, in the bounds of OpenSSL: larger ones take minutes to compute."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    leaf = parse(certificates[0]) if certificates else None
    if leaf is None or not isinstance(leaf.key, RSAPublicKey):
        return None
    numbers = leaf.key.public_numbers()
    usual = 512 <= numbers.n.bit_length() <= _LARGEST_MODULUS and numbers.e.bit_length() <= _LARGEST_EXPONENT
    return (numbers.n, numbers.e) if usual else None
