"""How a web server names itself: the headers of one answer, and what its first page says of its software."""

from __future__ import annotations

import re
from collections.abc import Iterable

import h11

from seccheck.model import Reason, safe_text
from seccheck.probes import Endpoint, ProbeFailed
from seccheck.probes.banner.fingerprints import LONGEST_BODY, sources
from seccheck.probes.banner.talk import MAX_BYTES, Heard, http_request, pieces, text_of
from seccheck.scope import Connection

_GENERATOR = re.compile(
    r"""<meta\s+name=["']generator["']\s+content=["']([^"'<>]{1,200})["']""", re.IGNORECASE
)
_READABLE = re.compile(r"^(?:text/|application/(?:json|xhtml))", re.IGNORECASE)
_HEADER = re.compile(rb"^([!#$%&'*+.^_`|~\w-]+)[ \t]*:[ \t]*(.*?)[ \t]*$")


def http(connection: Connection, endpoint: Endpoint) -> Heard:
    """The headers that name software, in the answer to one GET."""
    connection.send(http_request(endpoint))
    return read_answer(pieces(connection))


def read_answer(data: Iterable[bytes]) -> Heard:
    """What an HTTP answer, given piece by piece, names.

    Raises `ProbeFailed` when it is none, or breaks off before the end of its headers.
    """
    headers, body = _strict(data)
    kept = [(name, value) for name, value in headers if name in sources()]
    content = next((value for name, value in headers if name == "content-type"), "")
    texts = list(kept)
    if _READABLE.match(content):
        page = text_of(body)
        texts.append(("http-body", page))
        texts += [("generator", found) for found in _GENERATOR.findall(page)[:2]]
    shown = "; ".join(f"{name}: {value}" for name, value in kept)
    return Heard(safe_text(shown), tuple(texts))


def _strict(data: Iterable[bytes]) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and the beginning of the body, read by the standard; leniently where a server falls short."""
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_BYTES)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "x"), ("Connection", "close")]))
    client.send(h11.EndOfMessage())
    headers: list[tuple[str, str]] | None = None
    body = b""
    raw = b""
    try:
        for piece in data:
            raw = (raw + piece)[:MAX_BYTES]
            client.receive_data(piece)
            while (event := client.next_event()) is not h11.NEED_DATA and event is not h11.PAUSED:
                if isinstance(event, h11.Response):
                    headers = [(text_of(name), text_of(value)) for name, value in event.headers]
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    return headers or [], body
            if len(body) >= LONGEST_BODY:
                break
    except h11.RemoteProtocolError:
        return _lenient(raw)
    except ProbeFailed:
        if headers is None:
            raise
    if headers is None:
        return _lenient(raw)
    return headers, body


def _lenient(raw: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """The same from an answer that breaks the rules of HTTP but has a status line and whole headers."""
    head, blank, body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")
    lines = head.split(b"\n")
    if not raw:
        raise ProbeFailed(Reason.UNREACHABLE, "the connection was closed without a word")
    if not lines[0].startswith(b"HTTP/") or not blank:
        raise ProbeFailed(Reason.CONTRADICTORY, f"not an HTTP answer: {safe_text(lines[0], 80)}")
    fields = [found for line in lines[1:] if (found := _HEADER.match(line))]
    return [(text_of(field[1]).lower(), text_of(field[2])) for field in fields], body
