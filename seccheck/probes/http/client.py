"""An HTTP/1.1 client that asks one origin politely and believes nothing: bounded, patient with sloppy heads.

The framing of bodies is h11's. The head is read and tidied first (RFC 9112, section 2.2, lets a client be
lenient), because what a server gets slightly wrong must not keep us from seeing its headers.
"""

from __future__ import annotations

import re
import time
import zlib
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import h11

from seccheck.model import Reason
from seccheck.probes import ProbeFailed
from seccheck.scope import USER_AGENT, Connection, Context

HEAD_BYTES = 64 * 1024
BODY_BYTES = 256 * 1024
_MAX_FIELDS = 200
_MAX_INTERIM = 5
SECONDS = 10.0
"""The deadline of one question."""
_BREATH = 0.3
"""Seconds before a lost connection is tried again."""
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/(\d)(?:\.(\d))?[ \t]+(\d{3})(?!\d)")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Origin:
    """One place to ask: the name to call it by, and the address and port that are really dialled."""

    host: str
    address: str
    port: int
    secure: bool

    @property
    def authority(self) -> str:
        """Host and port as in a URL, the scheme's own port left out."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == (443 if self.secure else 80) else f"{name}:{self.port}"

    def url(self, target: str) -> str:
        """The address of `target` (path and query) at this origin."""
        return f"{'https' if self.secure else 'http'}://{self.authority}{target}"


@dataclass(frozen=True)
class Answer:
    """One answer, its body read up to a bound."""

    url: str
    target: str
    status: int
    fields: Fields
    """Names in lower case; values as ISO 8859-1, which loses nothing."""
    body: bytes
    """As transferred, content codings not undone: see `content`."""
    complete: bool
    """Whether the body ended, rather than the bound or the connection."""

    def first(self, name: str) -> str:
        """The first field called `name` (lower case); empty when there is none."""
        return next((value for key, value in self.fields if key == name), "")

    def every(self, name: str) -> list[str]:
        """All fields called `name`, in order."""
        return [value for key, value in self.fields if key == name]

    @property
    def content_type(self) -> str:
        """The media type alone, in lower case."""
        return self.first("content-type").partition(";")[0].strip().lower()

    def content(self) -> bytes:
        """The body with gzip or deflate undone, never to more than the bound on bodies."""
        coding = self.first("content-encoding").strip().lower()
        if coding not in {"gzip", "x-gzip", "deflate"}:
            return self.body
        for window in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # gzip or zlib by its header; else raw deflate
            try:
                return zlib.decompressobj(window).decompress(self.body, BODY_BYTES)
            except zlib.error:
                continue
        return b""


class Client:
    """Asks one origin, one question after the other, on a connection kept while the server keeps it."""

    def __init__(self, context: Context, origin: Origin) -> None:
        self.origin = origin
        self._context = context
        self._connection: Connection | None = None
        self._state = h11.Connection(h11.CLIENT)
        self._pause = _pause(context, origin.address)
        """Seconds from one question to the next: those on one connection keep the pace of connections."""
        self._next = 0.0

    def ask(
        self,
        target: str,
        *,
        method: str = "GET",
        fields: Fields = (),
        seconds: float | None = None,
        body_bytes: int = BODY_BYTES,
    ) -> Answer:
        """The answer to one request.

        A connection that was lost, or was kept and turns out closed, is opened anew once: GET, HEAD and TRACE
        are safe to repeat (RFC 9110, 9.2). Raises `ProbeFailed`; reason not-offered when what answers is not
        HTTP.
        """
        seconds = SECONDS if seconds is None else seconds
        try:
            return self._ask(target, method, fields, seconds, body_bytes)
        except ProbeFailed as failure:
            was_open = self.close()
            if failure.reason is not Reason.UNREACHABLE or not was_open:
                raise
        time.sleep(_BREATH)
        try:
            return self._ask(target, method, fields, seconds, body_bytes)
        except ProbeFailed:
            self.close()
            raise

    def _ask(self, target: str, method: str, fields: Fields, seconds: float, body_bytes: int) -> Answer:
        wait = self._next - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        # Room for the head and for chunked framing, whose overhead the body bound does not count.
        connection = self._open(seconds, HEAD_BYTES + 4 * body_bytes)
        headers = [
            ("Host", self.origin.authority),
            ("User-Agent", USER_AGENT),
            ("Accept", "*/*"),
            ("Accept-Encoding", "identity"),
            *fields,
        ]
        self._next = time.monotonic() + self._pause
        state = self._state
        question = state.send(h11.Request(method=method, target=target, headers=headers))
        connection.send((question or b"") + (state.send(h11.EndOfMessage()) or b""))
        status, seen = self._head(connection)
        body, complete = self._body(connection, body_bytes)
        done = complete and state.our_state is h11.DONE and state.their_state is h11.DONE
        if done and not state.trailing_data[0]:
            state.start_next_cycle()
        else:
            self.close()
        return Answer(self.origin.url(target), target, status, seen, body, complete)

    def _open(self, seconds: float, max_bytes: int) -> Connection:
        if self._connection is not None:
            self._connection.renew(seconds, max_bytes)
            return self._connection
        origin = self.origin
        connection = self._context.dial(origin.address, origin.port, seconds=seconds, max_bytes=max_bytes)
        self._connection = connection
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=2 * HEAD_BYTES)
        if origin.secure:
            connection.start_tls(origin.host)
        return connection

    def _head(self, connection: Connection) -> tuple[int, Fields]:
        """Read heads until one is final, and hand it to h11 in tidy form."""
        pending = b""
        for _ in range(_MAX_INTERIM):
            start = 0
            while not (end := _END_OF_HEAD.search(pending, start)):
                if len(pending) > HEAD_BYTES:
                    raise ProbeFailed(Reason.NOT_OFFERED, f"no end of the header within {HEAD_BYTES} bytes")
                more = connection.receive()
                if not more:
                    raise _cut_off(pending)
                start = max(0, len(pending) - 3)
                pending = (pending + more).lstrip(b"\r\n")
            head, pending = pending[: end.start()], pending[end.end() :]
            status, tidy, seen = tidy_head(head)
            if status >= 200:
                return self._accept(tidy + pending, status, seen)
            pending = pending.lstrip(b"\r\n")
        raise ProbeFailed(Reason.NOT_OFFERED, f"more than {_MAX_INTERIM} interim answers")

    def _accept(self, data: bytes, status: int, seen: Fields) -> tuple[int, Fields]:
        try:
            self._state.receive_data(data)
            event = self._state.next_event()
        except h11.RemoteProtocolError as error:
            raise ProbeFailed(Reason.NOT_OFFERED, f"not an HTTP answer: {error}") from None
        if not isinstance(event, h11.Response):
            raise ProbeFailed(Reason.NOT_OFFERED, f"status {status} where an answer was due")
        return status, seen

    def _body(self, connection: Connection, bound: int) -> tuple[bytes, bool]:
        """The body up to `bound`, and whether it ended. What was read stays good when the rest is lost."""
        parts: list[bytes] = []
        size = 0
        while size < bound:
            try:
                event = self._state.next_event()
                if event is h11.NEED_DATA:
                    self._state.receive_data(connection.receive())
                    continue
            except (h11.RemoteProtocolError, ProbeFailed):
                break
            if not isinstance(event, h11.Data):
                return b"".join(parts), True
            parts.append(bytes(event.data))
            size += len(event.data)
        return b"".join(parts)[:bound], False

    def close(self) -> bool:
        """Close the connection; whether one was open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        return connection is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _pause(context: Context, address: str) -> float:
    rate = context.permit(address).limits.connections_per_second
    return 1 / rate if rate else 0.0


def _cut_off(pending: bytes) -> ProbeFailed:
    if not pending:
        return ProbeFailed(Reason.UNREACHABLE, "connection lost: closed without an answer")
    if pending.startswith(b"HTTP/"):
        return ProbeFailed(Reason.UNREACHABLE, "connection lost: closed within the header")
    return ProbeFailed(Reason.NOT_OFFERED, "what answers is not HTTP")


def tidy_head(head: bytes) -> tuple[int, bytes, Fields]:
    """The status, the head as h11 accepts it, and all fields as sent.

    Lines without a colon, names that are none and contradictory lengths are left out of the tidy form; a body
    whose length is so unknown ends with the connection (RFC 9112, 6.3). Raises `ProbeFailed` when there is no
    status line.
    """
    lines = re.split(rb"\r?\n", head)
    status_line = _STATUS_LINE.match(lines[0])
    if not status_line:
        raise ProbeFailed(Reason.NOT_OFFERED, "what answers is not HTTP")
    status = int(status_line[3])
    fields = _fields(lines[1:])
    lengths = {value.strip() for name, value in fields if name == b"content-length"}
    codings = b",".join(value for name, value in fields if name == b"transfer-encoding").lower()
    tidy = [(name, value) for name, value in fields if name not in {b"content-length", b"transfer-encoding"}]
    if codings.rpartition(b",")[2].strip() == b"chunked":
        tidy.append((b"transfer-encoding", b"chunked"))
    elif not codings and len(lengths) == 1 and (length := lengths.pop()).isdigit() and len(length) < 19:
        tidy.append((b"content-length", length))
    minor = b"0" if (status_line[1], status_line[2]) == (b"1", b"0") else b"1"
    start = b"HTTP/1." + minor + b" " + status_line[3] + b" \r\n"
    text = start + b"".join(name + b": " + value + b"\r\n" for name, value in tidy) + b"\r\n"
    return status, text, tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in fields)


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    fields: list[tuple[bytes, bytes]] = []
    for line in lines:
        if line[:1] in {b" ", b"\t"} and fields:  # a folded line (RFC 9112, 5.2)
            name, value = fields[-1]
            fields[-1] = (name, (value + b" " + _CONTROLS.sub(b" ", line).strip())[:HEAD_BYTES])
            continue
        name, colon, value = line.partition(b":")
        name = name.strip()
        if colon and _TOKEN.fullmatch(name) and len(fields) < _MAX_FIELDS:
            fields.append((name.lower(), _CONTROLS.sub(b" ", value).strip(b" \t")))
    return fields
