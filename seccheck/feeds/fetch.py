"""One careful HTTP GET: bounded in size and time, conditional, over HTTPS, complete or not at all."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import IO
from urllib.parse import urlsplit

from seccheck import __version__

SECONDS = 300.0
"""What one file may take."""
PAUSE = 30.0
"""How long a publisher may keep silent."""
CHUNK = 1 << 18


class FetchFailed(Exception):  # noqa: N818 (named as ProbeFailed is)
    """The publisher's answer cannot be used: unreachable, refused, truncated, too large, too slow."""


class NotThere(FetchFailed):
    """The publisher has no such file."""


@dataclass(frozen=True)
class Fetched:
    """A publisher's answer. `data` is None when nothing has changed since."""

    data: bytes | None
    etag: str = ""
    modified: str = ""
    day: str = ""
    """The day the publisher says the file is of, else the day it was served; empty when it says neither."""


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from HTTPS to anything else."""

    max_redirections = 5

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != urlsplit(req.full_url).scheme:
            raise FetchFailed(f"{req.full_url} redirects to {newurl}, another protocol")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


_OPENER = urllib.request.build_opener(_SameScheme)


def get(url: str, *, limit: int, etag: str = "", modified: str = "", key: str = "") -> Fetched:
    """The file at `url`, at most `limit` bytes; `etag` and `modified` are those of the copy at hand.

    Raises `FetchFailed`.
    """
    headers = {"User-Agent": f"seccheck/{__version__}", "Accept-Encoding": "gzip", "Accept": "*/*"}
    headers |= {"If-None-Match": etag} if etag else {}
    headers |= {"If-Modified-Since": modified} if modified else {}
    headers |= {"apiKey": key} if key else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (the publishers' addresses, or the operator's)
    try:
        with _OPENER.open(request, timeout=PAUSE) as response:
            return Fetched(
                _read(response, limit, url),
                response.headers.get("ETag", ""),
                response.headers.get("Last-Modified", ""),
                _day(response.headers),
            )
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.client.NOT_MODIFIED:
                return Fetched(None, etag, modified, _day(error.headers))
            kind = NotThere if error.code == http.client.NOT_FOUND else FetchFailed
            raise kind(f"{url} answers {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise FetchFailed(f"{url}: {reason}") from None


def _read(response: http.client.HTTPResponse, limit: int, url: str) -> bytes:
    give_up = time.monotonic() + SECONDS
    announced = response.headers.get("Content-Length")
    unpack = zlib.decompressobj(wbits=31) if response.headers.get("Content-Encoding") == "gzip" else None
    data = bytearray()
    received = 0
    while chunk := response.read(CHUNK):
        received += len(chunk)
        try:
            data += unpack.decompress(chunk, limit + 1 - len(data)) if unpack else chunk
        except zlib.error as error:
            raise FetchFailed(f"{url}: damaged: {error}") from None
        if len(data) > limit or received > limit:
            raise FetchFailed(f"{url} is larger than {limit} bytes")
        if time.monotonic() > give_up:
            raise FetchFailed(f"{url} was not complete within {SECONDS:.0f} s")
    if announced is not None and int(announced) != received:
        raise FetchFailed(f"{url} broke off after {received} of {announced} bytes")
    if unpack and not unpack.eof:
        raise FetchFailed(f"{url} broke off")
    return bytes(data)


def _day(headers: Message) -> str:
    for name in ("Last-Modified", "Date"):
        try:
            return parsedate_to_datetime(headers.get(name, "")).date().isoformat()
        except ValueError:
            continue
    return ""
