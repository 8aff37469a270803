"""Short conversations: what to say to a service so that it names itself, and how much of it to believe.

Every text is bounded in length and time. A line that was cut off names nothing: half a version would be
another version.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from seccheck.model import Reason, safe_text
from seccheck.probes import Endpoint, ProbeFailed, Undecided
from seccheck.scope import USER_AGENT, Connection, Context

SECONDS = 10.0
"""What a service may take to name itself."""
QUIET = 3.0
"""How long a service of unknown protocol may keep silent before it is asked something."""
MAX_BYTES = 65536
LONGEST_LINE = 8192
MAX_LINES = 64


@dataclass(frozen=True)
class Heard:
    """What a service said: the greeting as shown, and the texts to read products from."""

    greeting: str
    texts: tuple[tuple[str, str], ...] = ()
    """Source and text, such as ("server", "nginx/1.22.1")."""
    discloses: bool = True
    """Whether versions in it count as disclosed: SSH's do not (RFC 4253, 4.2)."""
    unauthenticated: bool | None = None
    plain_login: bool | None = None
    undecided: tuple[Undecided, ...] = ()


def text_of(data: bytes) -> str:
    """`data` as text for matching; what is not UTF-8 stays visible as an escape."""
    return data.decode("utf-8", "backslashreplace")


def heard(source: str, text: str) -> Heard:
    """One greeting read as one kind of text."""
    return Heard(safe_text(text), ((source, text),))


def part(connection: Connection, farewell: bytes) -> None:
    """Take leave, which a server that has closed already does not hear."""
    with suppress(ProbeFailed):
        connection.send(farewell)


class Lines:
    """Complete lines from a connection, within bounds."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._buffer = b""
        self._count = 0

    def next(self) -> bytes:
        """The next line without its end.

        Raises `ProbeFailed`: the peer closed before the end of the line, or never ends it.
        """
        self._count += 1
        if self._count > MAX_LINES:
            raise ProbeFailed(Reason.CONTRADICTORY, f"a greeting of more than {MAX_LINES} lines")
        while b"\n" not in self._buffer:
            if len(self._buffer) > LONGEST_LINE:
                raise ProbeFailed(Reason.CONTRADICTORY, f"a line of more than {LONGEST_LINE} bytes")
            data = self.connection.receive(4096)
            if not data:
                begun = "in the middle of a line" if self._buffer else "without a word"
                raise ProbeFailed(Reason.UNREACHABLE, f"the connection was closed {begun}")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        if len(line) > LONGEST_LINE:
            raise ProbeFailed(Reason.CONTRADICTORY, f"a line of more than {LONGEST_LINE} bytes")
        return line.rstrip(b"\r")

    def reply(self) -> list[bytes]:
        """The lines of one reply of SMTP or FTP: `220-…` up to `220 …` (RFC 5321, 4.2.1; RFC 959, 4.2)."""
        lines = [self.next()]
        code = lines[0][:3]
        if not (len(code) == 3 and code.isdigit()):
            raise ProbeFailed(Reason.CONTRADICTORY, f"not a reply: {safe_text(lines[0], 80)}")
        while lines[-1][:4] != code + b" " and lines[-1] != code:
            if len(lines) == 1 and lines[0][3:4] != b"-":
                break
            lines.append(self.next())
        return lines


# --------------------------------------------------------------------------------- greeted by the server


def ssh(connection: Connection, _endpoint: Endpoint) -> Heard:
    """The identification string of an SSH server (RFC 4253, 4.2), which other lines may precede."""
    lines = Lines(connection)
    while not (line := lines.next()).upper().startswith(b"SSH-"):
        if b"Not allowed at this time" in line or b"Exceeded MaxStartups" in line:
            raise ProbeFailed(Reason.RATE_LIMITED, safe_text(line, 80))
    return replace(heard("ssh", text_of(line).strip()), discloses=False)


def _greeted(
    source: str, codes: tuple[bytes, ...], farewell: bytes
) -> Callable[[Connection, Endpoint], Heard]:
    def talk(connection: Connection, _endpoint: Endpoint) -> Heard:
        lines = Lines(connection).reply()
        if lines[0][:3] == b"421":
            raise ProbeFailed(Reason.RATE_LIMITED, safe_text(lines[0], 80))
        if lines[0][:3] not in codes:
            raise ProbeFailed(Reason.ACCESS, safe_text(lines[0], 80))
        part(connection, farewell)
        return heard(source, text_of(b" ".join(lines)))

    return talk


smtp = _greeted("smtp", (b"220",), b"QUIT\r\n")
ftp = _greeted("ftp", (b"220", b"120"), b"QUIT\r\n")


def imap(connection: Connection, endpoint: Endpoint) -> Heard:
    """The greeting of an IMAP server, and whether it takes a login in clear (RFC 9051, 6.2.3 and 7.1)."""
    lines = Lines(connection)
    greeting = lines.next()
    if greeting[:6].upper() == b"* BYE ":
        raise ProbeFailed(Reason.RATE_LIMITED, safe_text(greeting, 80))
    if not greeting.startswith(b"* "):
        raise ProbeFailed(Reason.CONTRADICTORY, f"not an IMAP greeting: {safe_text(greeting, 80)}")
    told = heard("imap", text_of(greeting))
    if endpoint.service != "imap":
        return told
    if greeting[:10].upper() == b"* PREAUTH ":
        return replace(told, plain_login=True)

    def ask() -> bool:
        connection.send(b"a1 CAPABILITY\r\n")
        words: set[bytes] = set()
        while not (line := lines.next()).startswith(b"a1 "):
            if line.upper().startswith(b"* CAPABILITY "):
                words |= set(line.upper().split())
        if not words:
            raise ProbeFailed(Reason.CONTRADICTORY, "no capabilities were told")
        part(connection, b"a2 LOGOUT\r\n")
        return b"LOGINDISABLED" not in words

    return _plain_login(told, ask)


def pop3(connection: Connection, endpoint: Endpoint) -> Heard:
    """The greeting of a POP3 server, and whether it takes a login in clear (RFC 2449, 5; RFC 2595, 2.1)."""
    lines = Lines(connection)
    greeting = lines.next()
    if greeting.startswith(b"-ERR"):
        raise ProbeFailed(Reason.RATE_LIMITED, safe_text(greeting, 80))
    if not greeting.startswith(b"+OK"):
        raise ProbeFailed(Reason.CONTRADICTORY, f"not a POP3 greeting: {safe_text(greeting, 80)}")
    told = heard("pop3", text_of(greeting))
    if endpoint.service != "pop3":
        return told

    def ask() -> bool:
        connection.send(b"CAPA\r\n")
        if not lines.next().startswith(b"+OK"):
            raise ProbeFailed(Reason.NO_DATA, "the server does not list its capabilities")
        offered = False
        while (line := lines.next()) != b".":
            words = line.upper().split()
            offered |= words[:1] == [b"USER"] or (
                words[:1] == [b"SASL"] and bool({b"PLAIN", b"LOGIN"} & set(words))
            )
        part(connection, b"QUIT\r\n")
        return offered

    return _plain_login(told, ask)


def _plain_login(told: Heard, ask: Callable[[], bool]) -> Heard:
    """`told` with the answer to `ask`; when that fails the greeting still stands."""
    try:
        return replace(told, plain_login=ask())
    except ProbeFailed as failure:
        doubt = Undecided(fact="plain_login", reason=failure.reason, detail=failure.detail)
        return replace(told, undecided=(doubt,))


_IAC, _DONT, _DO, _WONT, _WILL, _SB, _SE = 255, 254, 253, 252, 251, 250, 240


def telnet(connection: Connection, _endpoint: Endpoint) -> Heard:
    """What a telnet server shows up to its prompt, every option refused (RFC 854, RFC 1143)."""
    shown = bytearray()
    try:
        while len(shown) < LONGEST_LINE and (data := connection.receive(4096)):
            plain, answer = refuse_options(data)
            shown += plain
            if answer:
                connection.send(answer)
            if bytes(shown).rstrip().endswith((b":", b">", b"#", b"$")):
                break
    except ProbeFailed:
        if not shown.strip():
            raise
    if not shown.strip():
        raise ProbeFailed(Reason.UNREACHABLE, "the connection was closed without a word")
    return heard("telnet", text_of(bytes(shown)).strip())


def refuse_options(data: bytes) -> tuple[bytes, bytes]:
    """The text in `data` without telnet commands, and the answer that refuses every option."""
    plain, answer = bytearray(), bytearray()
    at = 0
    while at < len(data):
        if data[at] != _IAC:
            plain.append(data[at])
            at += 1
            continue
        command = data[at + 1] if at + 1 < len(data) else _SE
        if command in {_DO, _DONT, _WILL, _WONT}:
            if at + 2 < len(data) and command in {_DO, _WILL}:
                answer += bytes([_IAC, _WONT if command == _DO else _DONT, data[at + 2]])
            at += 3
        elif command == _SB:
            end = data.find(bytes([_IAC, _SE]), at)
            at = end + 2 if end >= 0 else len(data)
        else:
            at += 2
    return bytes(plain), bytes(answer)


def exactly(connection: Connection, size: int, begun: bytes = b"") -> bytes:
    """The next `size` bytes, those of `begun` counted.

    Raises `ProbeFailed` when the peer closes before.
    """
    data = begun
    while len(data) < size:
        more = connection.receive(size - len(data))
        if not more:
            begun_words = "in the middle of a message" if data else "without a word"
            raise ProbeFailed(Reason.UNREACHABLE, f"the connection was closed {begun_words}")
        data += more
    return data


# ------------------------------------------------------------------------------------------ the others


def silent(_connection: Connection, _endpoint: Endpoint) -> Heard:
    """A protocol whose servers name themselves to nobody who is not logged in (LDAP)."""
    return Heard("")


def dns(connection: Connection, _endpoint: Endpoint) -> Heard:
    """The answer to version.bind, class CHAOS (RFC 4892, 3.1)."""
    import dns.exception
    import dns.message
    import dns.rcode
    import dns.rdatatype

    query = dns.message.make_query("version.bind", "TXT", "CH")
    wire = query.to_wire()
    connection.send(struct.pack("!H", len(wire)) + wire)
    (size,) = struct.unpack("!H", exactly(connection, 2))
    try:
        answer = dns.message.from_wire(exactly(connection, size))
    except (dns.exception.DNSException, ValueError) as error:
        raise ProbeFailed(Reason.CONTRADICTORY, f"not a DNS message: {error}") from None
    if answer.rcode() == dns.rcode.SERVFAIL:
        raise ProbeFailed(Reason.UNREACHABLE, "the name server could not answer (SERVFAIL)")
    for record in answer.answer:
        if record.rdtype == dns.rdatatype.TXT:
            return replace(heard("dns", text_of(b"".join(record[0].strings))), discloses=False)
    return Heard("", (("dns", ""),))


def http_request(endpoint: Endpoint) -> bytes:
    """One GET of the first page, with the host as its client would write it (RFC 9110, 7.2)."""
    host = endpoint.host or endpoint.address
    host = f"[{host}]" if ":" in host else host
    if endpoint.port not in {80, 443}:
        host = f"{host}:{endpoint.port}"
    lines = (
        "GET / HTTP/1.1",
        f"Host: {host}",
        f"User-Agent: {USER_AGENT}",
        "Accept: */*",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode("ascii", "replace")


def pieces(connection: Connection) -> Iterator[bytes]:
    """What comes, piece by piece, until the peer closes or the bound is reached."""
    while data := connection.receive(16384):
        yield data


def dialled(endpoint: Endpoint, context: Context, *, tls: bool, seconds: float | None = None) -> Connection:
    """A connection to `endpoint` that lasts `seconds` (default: `SECONDS`), over TLS when asked."""
    connection = context.dial(
        endpoint.address, endpoint.port, seconds=seconds or SECONDS, max_bytes=MAX_BYTES
    )
    if tls:
        try:
            connection.start_tls(endpoint.host)
        except BaseException:
            connection.close()
            raise
    return connection
