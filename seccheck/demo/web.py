"""The web servers of the fleet: one page, the headers a system is set to send, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from seccheck.demo.loop import Talk

_LONGEST_HEAD = 16384
_PAGE = """<!doctype html>
<html lang="vi"><meta charset="utf-8"><title>{name}</title>
<h1>{name}</h1>
<p>Máy chủ trình diễn của seccheck trên máy này; không phải hệ thống thật, không có dữ liệu thật.</p>
<p lang="en">A demonstration server of seccheck on this machine; not a real system, no real data.</p>
</html>
"""


@dataclass(frozen=True)
class Site:
    """How one web service answers."""

    name: str
    headers: tuple[tuple[str, str], ...] = ()
    """Sent with every answer."""
    cookie: str = ""
    """Set by the page at `/`."""
    redirect: str = ""
    """Everything is sent there instead."""
    docker: bool = False
    """Answers as the Docker engine does."""


class WebTalk(Talk):
    """One HTTP/1.1 connection, kept alive as the client wishes (RFC 9112)."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._buffer = b""
        self._skip = 0
        """Bytes of a request's body still to be thrown away."""

    def hear(self, data: bytes) -> bytes:
        """Answers every whole request that came."""
        self._buffer += data
        answer = b""
        if not self._buffer[:1].isalpha() and not self._skip:  # no method begins so; a TLS hello does
            return self._respond("GET", HTTPStatus.BAD_REQUEST, keep=False)
        while not self.over:
            dropped = min(self._skip, len(self._buffer))
            self._buffer, self._skip = self._buffer[dropped:], self._skip - dropped
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                if len(head) > _LONGEST_HEAD:
                    answer += self._respond("GET", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, keep=False)
                break
            self._buffer = rest
            answer += self._request(head)
        return answer

    def _request(self, head: bytes) -> bytes:
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return self._respond("GET", HTTPStatus.BAD_REQUEST, keep=False)
        method, path, version = words
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }
        keep = version == "HTTP/1.1" and fields.get("connection", "").lower() != "close"
        length = fields.get("content-length", "0")
        if "transfer-encoding" in fields or not (length.isascii() and length.isdigit()):
            return self._respond(method, HTTPStatus.BAD_REQUEST, keep=False)
        self._skip = int(length)
        if method not in {"GET", "HEAD"}:
            return self._respond(
                method, HTTPStatus.METHOD_NOT_ALLOWED, keep=keep, extra=(("Allow", "GET, HEAD"),)
            )
        if self._site.redirect:
            where = self._site.redirect + path.lstrip("/") if path.startswith("/") else self._site.redirect
            return self._respond(
                method, HTTPStatus.MOVED_PERMANENTLY, keep=keep, extra=(("Location", where),)
            )
        return self._page(method, path.partition("?")[0], keep=keep)

    def _page(self, method: str, path: str, *, keep: bool) -> bytes:
        if self._site.docker and path in {"/_ping", "/version"}:
            body = "OK" if path == "/_ping" else '{"ApiVersion":"1.47","MinAPIVersion":"1.24","Os":"linux"}\n'
            kind = "text/plain" if path == "/_ping" else "application/json"
            return self._respond(
                method, HTTPStatus.OK, body=body, kind=kind, keep=keep, extra=(("Api-Version", "1.47"),)
            )
        if self._site.docker:
            return self._respond(
                method,
                HTTPStatus.NOT_FOUND,
                body='{"message":"page not found"}\n',
                kind="application/json",
                keep=keep,
            )
        if path == "/.well-known/security.txt":
            expires = (datetime.now(UTC) + timedelta(days=180)).strftime("%Y-%m-%dT%H:%M:%SZ")
            body = f"Contact: mailto:soc@seccheck-demo.gov.vn\nExpires: {expires}\n"
            return self._respond(
                method, HTTPStatus.OK, body=body, kind="text/plain; charset=utf-8", keep=keep
            )
        if path != "/":
            return self._respond(method, HTTPStatus.NOT_FOUND, body="404\n", kind="text/plain", keep=keep)
        cookie = (("Set-Cookie", self._site.cookie),) if self._site.cookie else ()
        return self._respond(
            method,
            HTTPStatus.OK,
            body=_PAGE.format(name=self._site.name),
            kind="text/html; charset=utf-8",
            keep=keep,
            extra=cookie,
        )

    def _respond(
        self,
        method: str,
        status: HTTPStatus,
        *,
        keep: bool,
        body: str = "",
        kind: str = "",
        extra: tuple[tuple[str, str], ...] = (),
    ) -> bytes:
        self.over = not keep
        content = body.encode()
        fields = [
            ("Date", datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")),
            *self._site.headers,
            *extra,
            *([("Content-Type", kind)] if kind else []),
            ("Content-Length", str(len(content))),
            ("Connection", "keep-alive" if keep else "close"),
        ]
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields)
        return head.encode("latin-1") + b"\r\n" + (b"" if method == "HEAD" else content)
