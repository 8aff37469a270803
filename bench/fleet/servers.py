"""What the fleet is made of: programs that run in the foreground, and small servers of our own."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.tools import tool

_PLACES = "/usr/sbin:/usr/local/sbin:/sbin"


def there_is(program: str) -> bool:
    """Whether a program that the fleet can do without is installed."""
    return bool(shutil.which(program) or shutil.which(program, path=_PLACES))


def ready(
    address: str, port: int, process: subprocess.Popen[bytes] | None = None, log: Path | None = None
) -> None:
    """Wait until something listens; raises with the end of the log when nothing does in time."""
    give_up = time.monotonic() + 20
    while True:
        try:
            socket.create_connection((address, port), timeout=1).close()
            return
        except OSError:
            dead = process is not None and process.poll() is not None
            if dead or time.monotonic() > give_up:
                said = log.read_text(errors="replace")[-2000:] if log else ""
                raise RuntimeError(f"nothing listens on {address} port {port}: {said}") from None
            time.sleep(0.05)


def run(
    stack: contextlib.ExitStack,
    folder: Path,
    *command: str | Path,
    listens: Sequence[tuple[str, int]] = (),
    environment: dict[str, str] | None = None,
    cwd: Path | None = None,
    found: bool = True,
) -> subprocess.Popen[bytes]:
    """Start a program, which ends with `stack`; ready when it listens."""
    first, *rest = map(str, command)
    log = folder / f"{Path(first).name}-{time.monotonic_ns()}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [tool(first) if found and "/" not in first else first, *rest],
            stdin=subprocess.PIPE,  # s_server ends when its input does
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=cwd,
            start_new_session=True,
        )
    stack.callback(_end, process)
    for address, port in listens:
        ready(address, port, process, log)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin:
        process.stdin.close()


Handler = Callable[[socket.socket, int], None]
"""What is done on one connection; the number counts them from 0."""


class Listener:
    """A server of our own: one thread for each connection, all gone with the stack."""

    def __init__(self, stack: contextlib.ExitStack, address: str, port: int, handler: Handler) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, port))
        self.socket.listen(256)
        self.port = self.socket.getsockname()[1]
        self.handler = handler
        self.count = 0
        self.open: set[socket.socket] = set()
        threading.Thread(target=self._serve, daemon=True).start()
        stack.callback(self._stop)

    def _stop(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for peer in list(self.open):
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            self.open.add(peer)
            number, self.count = self.count, self.count + 1
            threading.Thread(target=self._one, args=(peer, number), daemon=True).start()

    def _one(self, peer: socket.socket, number: int) -> None:
        peer.settimeout(120)
        try:
            self.handler(peer, number)
        except (OSError, ValueError):
            pass
        finally:
            self.open.discard(peer)
            with contextlib.suppress(OSError):
                peer.close()


# ------------------------------------------------------------------------------------------------ web servers

GOOD_HEADERS = {
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def answer(
    status: str = "200 OK",
    headers: dict[str, str] | str | None = None,
    body: bytes = b"<html><title>x</title><p>Xin chao</p></html>",
    *,
    start: str = "HTTP/1.1",
    content_type: str = "text/html; charset=utf-8",
    length: bool = True,
) -> bytes:
    """An answer as bytes; `headers` as written out or by name."""
    fields = GOOD_HEADERS if headers is None else headers
    text = fields if isinstance(fields, str) else "".join(f"{k}: {v}\r\n" for k, v in fields.items())
    counted = f"Content-Length: {len(body)}\r\n" if length else ""
    head = f"{start} {status}\r\nContent-Type: {content_type}\r\n{counted}Connection: close\r\n{text}\r\n"
    return head.encode("latin-1") + body


NOT_FOUND = answer("404 Not Found", body=b"<html><title>404</title></html>")


@dataclass
class Request:
    """What was asked."""

    method: str
    path: str
    fields: dict[str, str]
    number: int
    """Of this connection."""


@dataclass
class Site:
    """A web server: a path has an answer, given as bytes or made for the request; others have `elsewhere`."""

    pages: dict[str, bytes | Callable[[Request], bytes]] = field(default_factory=dict)
    elsewhere: bytes | Callable[[Request], bytes] = NOT_FOUND
    tls: ssl.SSLContext | None = None
    farewell: bool = True
    """Whether a close_notify ends a TLS connection."""
    piece: int = 0
    pause: float = 0.0
    """With `piece`: the answer goes out so many bytes at a time, with this pause between them."""
    kept: bool = False
    """Whether the connection is kept for further questions."""
    traces: bool = False
    """Whether TRACE is answered with what was asked."""

    def __call__(self, peer: socket.socket, number: int) -> None:
        if self.tls:
            peer = self.tls.wrap_socket(peer, server_side=True)
        try:
            while self._one(peer, number) and self.kept:
                pass
            if self.farewell and isinstance(peer, ssl.SSLSocket):
                peer.settimeout(1)
                peer.unwrap()
        finally:
            peer.close()

    def _one(self, peer: socket.socket, number: int) -> bool:
        data = b""
        while b"\r\n\r\n" not in data:
            more = peer.recv(65536)
            if not more:
                return False
            data += more
        lines = data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        method, path, _ = (*lines[0].split(" "), "", "")[:3]
        fields = {}
        for line in lines[1:]:
            key, _, value = line.partition(":")
            fields[key.strip().lower()] = value.strip()
        found = self.pages.get(path, self.elsewhere)
        if method == "TRACE" and self.traces:
            found = answer(body=data, content_type="message/http")
        elif method not in {"GET", "HEAD"}:
            found = answer("405 Method Not Allowed", body=b"no")
        said = found(Request(method, path, fields, number)) if callable(found) else found
        if self.piece:
            for at in range(0, len(said), self.piece):
                peer.sendall(said[at : at + self.piece])
                time.sleep(self.pause)
        else:
            peer.sendall(said)
        return True


def tls_context(
    file: Path,
    *,
    lowest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    highest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED,
    ciphers: str = "ECDHE+AESGCM:ECDHE+CHACHA20",
    clients: Path | None = None,
    required: bool = False,
) -> ssl.SSLContext:
    """A server's TLS, modern unless told otherwise."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(ciphers)
    context.minimum_version = lowest
    context.maximum_version = highest
    context.load_cert_chain(file)
    context.options |= ssl.OP_NO_RENEGOTIATION
    if clients:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context
