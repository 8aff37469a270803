"""The plain-text talk before STARTTLS, protocol by protocol.

A prologue is a generator: it is sent the server's bytes, yields what to send, and returns when TLS may
begin. It raises `Refused` when the server says in its own protocol that it has no TLS, `Busy` when it says
to come back later, and `Strange` when the bytes are no answer of the protocol.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator

from seccheck.probes.tls.answer import Outcome, Reply
from seccheck.probes.tls.talk import Talk
from seccheck.scope import USER_AGENT

Prologue = Generator[bytes, bytes, bytes]
"""Returns what must go out right before the hello: nothing, for all but MySQL."""
_MAX = 64_000
_EHLO = USER_AGENT.replace("/", "-")


class Refused(Exception):  # noqa: N818
    """The server has no STARTTLS."""


class Busy(Exception):  # noqa: N818
    """The server has no time for us now."""


class Strange(Exception):  # noqa: N818
    """Not an answer of this protocol."""


def smtp() -> Prologue:
    """SMTP and submission (RFC 3207)."""
    lines = _Lines()
    _smtp_status((yield from lines.status(b"")), b"220", greeting=True)
    offered = yield from lines.status(f"EHLO {_EHLO}.invalid\r\n".encode())
    _smtp_status(offered, b"250")
    if not any(line[4:].strip().upper().startswith(b"STARTTLS") for line in offered):
        raise Refused("EHLO lists no STARTTLS")
    _smtp_status((yield from lines.status(b"STARTTLS\r\n")), b"220")
    return b""


def _smtp_status(lines: list[bytes], wanted: bytes, *, greeting: bool = False) -> None:
    code = lines[-1][:3]
    if code == wanted:
        return
    if code.startswith(b"4") or (greeting and code.startswith(b"5")):
        raise Busy(_text(lines[-1]))
    if code.startswith(b"5"):
        raise Refused(_text(lines[-1]))
    raise Strange(_text(lines[-1]))


def ftp() -> Prologue:
    """FTP (RFC 4217)."""
    lines = _Lines()
    _smtp_status((yield from lines.status(b"")), b"220", greeting=True)
    _smtp_status((yield from lines.status(b"AUTH TLS\r\n")), b"234")
    return b""


def imap() -> Prologue:
    """IMAP (RFC 9051 6.2.1)."""
    lines = _Lines()
    greeting = yield from lines.line(b"")
    if greeting.upper().startswith(b"* BYE"):
        raise Busy(_text(greeting))
    if not greeting.upper().startswith((b"* OK", b"* PREAUTH")):
        raise Strange(_text(greeting))
    answer = yield from lines.line(b"a1 STARTTLS\r\n")
    while answer.startswith(b"* "):
        answer = yield from lines.line(b"")
    if answer.upper().startswith((b"A1 NO", b"A1 BAD")):
        raise Refused(_text(answer))
    if not answer.upper().startswith(b"A1 OK"):
        raise Strange(_text(answer))
    return b""


def pop3() -> Prologue:
    """POP3 (RFC 2595 4)."""
    lines = _Lines()
    greeting = yield from lines.line(b"")
    if greeting.startswith(b"-ERR"):
        raise Busy(_text(greeting))
    if not greeting.startswith(b"+OK"):
        raise Strange(_text(greeting))
    answer = yield from lines.line(b"STLS\r\n")
    if answer.startswith(b"-ERR"):
        raise Refused(_text(answer))
    if not answer.startswith(b"+OK"):
        raise Strange(_text(answer))
    return b""


_LDAP_REQUEST = bytes.fromhex("301d02010177188016") + b"1.3.6.1.4.1.1466.20037"


def ldap() -> Prologue:
    """LDAP (RFC 4511 4.14): the StartTLS extended operation."""
    data = yield _LDAP_REQUEST
    while len(data) < 2 or len(data) < _ber_length(data):
        data += yield b""
    if data[0] != 0x30:
        raise Strange(data[:16].hex())
    at = data.find(b"\x02\x01\x01\x78")  # messageID 1, ExtendedResponse
    code = data.find(b"\x0a\x01", at)  # its resultCode
    if at < 0 or code < 0 or code + 2 >= len(data):
        raise Strange(data[:16].hex())
    result = data[code + 2]
    if result in {51, 52}:
        raise Busy(f"LDAP result {result}")
    if result:
        raise Refused(f"LDAP result {result}")
    return b""


def _ber_length(data: bytes) -> int:
    if data[1] < 0x80:
        return 2 + data[1]
    size = data[1] & 0x7F
    if size > 4:
        raise Strange(data[:16].hex())
    return 2 + size + int.from_bytes(data[2 : 2 + size], "big") if len(data) >= 2 + size else _MAX


def postgresql() -> Prologue:
    """PostgreSQL: SSLRequest (protocol 3, message flow of SSL session encryption)."""
    data = yield bytes.fromhex("0000000804d2162f")
    if data[:1] == b"N":
        raise Refused("SSLRequest answered N")
    if data != b"S":  # nothing may follow in clear (CVE-2021-23222)
        raise Strange(data[:16].hex())
    return b""


def mysql() -> Prologue:
    """MySQL and MariaDB: the SSLRequest packet after the handshake packet."""
    data = yield b""
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:3], "little"):
        data += yield b""
    if data[4:5] == b"\xff":
        raise Busy(_text(data[7:80]))
    if data[4:5] != b"\x0a" or b"\0" not in data[5:]:
        raise Strange(data[:16].hex())
    capabilities = data.index(b"\0", 5) + 1 + 4 + 8 + 1
    if not int.from_bytes(data[capabilities : capabilities + 2], "little") & 0x0800:
        raise Refused("the server's capabilities lack SSL")
    body = (0x0000AA05 | 0x0800).to_bytes(4, "little") + (1 << 24).to_bytes(4, "little") + b"\x21" + bytes(23)
    return len(body).to_bytes(3, "little") + b"\x01" + body


PROLOGUES: dict[str, Callable[[], Prologue]] = {
    "smtp": smtp,
    "submission": smtp,
    "imap": imap,
    "pop3": pop3,
    "ftp": ftp,
    "ldap": ldap,
    "postgresql": postgresql,
    "mysql": mysql,
}
"""By service: those that begin in clear."""
GREET_FIRST = frozenset({"smtps", "imaps", "pop3s", "ftps"})
"""Services that speak first as soon as TLS is up."""


class _Lines:
    """Lines out of the bytes that come; `StartTls` bounds how many these are."""

    def __init__(self) -> None:
        self._whole: deque[bytes] = deque()
        self._begun = b""

    def line(self, send: bytes) -> Generator[bytes, bytes, bytes]:
        while not self._whole:
            *whole, self._begun = (self._begun + (yield send)).split(b"\n")
            self._whole.extend(whole)
            send = b""
        return self._whole.popleft().rstrip(b"\r")

    def status(self, send: bytes) -> Generator[bytes, bytes, list[bytes]]:
        """A reply of SMTP or FTP, which may have several lines (RFC 5321 4.2.1)."""
        lines = [(yield from self.line(send))]
        while lines[-1][3:4] == b"-" or not lines[-1][:3].isdigit():
            if not lines[0][:3].isdigit():
                raise Strange(_text(lines[0]))
            lines.append((yield from self.line(b"")))
        return lines


class StartTls:
    """A talk that begins in clear: the prologue first, then `inner`."""

    def __init__(self, prologue: Prologue, inner: Talk) -> None:
        self.inner = inner
        self.reply: Reply = inner.reply
        self.reply.asked = False
        self.done = False
        self._prologue: Prologue | None = prologue
        self._taken = 0

    def opening(self) -> bytes:
        """The first words, where the client speaks first."""
        assert self._prologue is not None  # noqa: S101
        return next(self._prologue)

    def feed(self, data: bytes) -> bytes:
        """The prologue's next words, or the inner talk's."""
        if self._prologue is None:
            out = self.inner.feed(data)
            self.done = self.inner.done
            return out
        self._taken += len(data)
        if self._taken > _MAX:
            return self._end(Outcome.GARBAGE, "endless greeting")
        try:
            return self._prologue.send(data)
        except StopIteration as ready:
            self._prologue = None
            self.reply.asked = True
            before: bytes = ready.value
            return before + self.inner.opening()
        except Refused as error:
            return self._end(Outcome.NO_STARTTLS, str(error))
        except Busy as error:
            return self._end(Outcome.BUSY, str(error))
        except (Strange, IndexError, ValueError) as error:
            return self._end(Outcome.GARBAGE, str(error))

    def _end(self, outcome: Outcome, detail: str) -> bytes:
        self.reply.outcome, self.reply.detail = outcome, detail
        self.done = True
        return b""

    def lost(self, outcome: Outcome, detail: str = "") -> None:
        """The connection ended, before or after STARTTLS."""
        if self._prologue is None:
            self.inner.lost(outcome, detail)
        else:
            self._end(outcome, "before STARTTLS")

    def patience(self) -> float | None:
        """What the inner talk says."""
        return None if self._prologue else self.inner.patience()


def _text(line: bytes) -> str:
    return line[:200].decode("latin-1")
