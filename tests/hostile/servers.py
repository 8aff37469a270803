"""Servers that are out to do harm: each a few lines, by name, with the services it pretends to be.

python -m tests.hostile.servers     serves all until its input ends; prints {name: [port, services]}
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.hostile import certificates

MARK = "OWNED"
"""Stands in everything that would run if somebody believed it."""
HTML = f"<script>{MARK}()</script><img src=x onerror={MARK}()>\"'><svg/onload={MARK}()>"
FORMULAE = (f"=cmd|' /C {MARK}'!A0", f"@SUM({MARK})", f"+{MARK}", f"-{MARK}", f"\t={MARK}")
ESCAPES = f"\x1b]0;{MARK}\x07\x1b[31m\x1b[2J\x9b31m\x1bP{MARK}\x1b\\\r\x08\u202e{MARK}"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TEXT = ("ssh", "smtp", "imap", "pop3", "ftp", "tcp", "http", "redis", "mysql", "telnet")
WEB = ("http",)
BINARY = ("https", "postgresql", "mysql", "mongodb", "ldap", "ssh", "redis")


@dataclass(frozen=True)
class Hostile:
    """One kind of server."""

    name: str
    talk: Talk
    services: tuple[str, ...]
    tls: bool = False
    """Whether it says what it says behind a sound TLS handshake."""


CORPUS: dict[str, Hostile] = {}


def hostile(*services: str, tls: bool = False) -> Callable[[Talk], Talk]:
    def register(talk: Talk) -> Talk:
        name = talk.__name__.replace("_", "-")
        CORPUS[name] = Hostile(name, talk, services)
        if tls:
            CORPUS[f"{name}-tls"] = Hostile(f"{name}-tls", talk, ("https",), tls=True)
        return talk

    return register


async def forever(writer: asyncio.StreamWriter, data: bytes, pause: float = 0.0) -> None:
    """Say `data` until the other side is gone."""
    while True:
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(pause)


async def asked(reader: asyncio.StreamReader) -> bytes:
    """What comes first, at most a little."""
    return await reader.read(8192)


# --------------------------------------------------------------------------------------- slow and long


@hostile("http", "https", "ssh", "smtp", "postgresql", "tcp", tls=True)
async def tarpit(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


@hostile("http", "ssh", "smtp", "tcp", tls=True)
async def a_byte_a_second(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nServer: slow\r\n" * 1000:
        writer.write(bytes((byte,)))
        await writer.drain()
        await asyncio.sleep(1.0)


@hostile("https")
async def a_tls_byte_a_second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asked(reader)
    for byte in certificates.flight([b"\x30\x00"]):
        writer.write(bytes((byte,)))
        await writer.drain()
        await asyncio.sleep(1.0)


@hostile(*TEXT)
async def endless_banner(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await forever(writer, b"220-one more line\r\n" * 4096)


@hostile(*TEXT)
async def ten_megabyte_line(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 " + b"A" * 10_000_000)
    await writer.drain()


@hostile("smtp", "imap", "pop3", "ftp")
async def endless_capabilities(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail ESMTP\r\n")
    await asked(reader)
    await forever(writer, b"250-ONE-MORE\r\n* CAPABILITY MORE\r\n" * 2048)


# ------------------------------------------------------------------------------------ what is not text


@hostile(*TEXT)
async def nul(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\0" * 4096 + b"220 \0\0\r\n")
    await writer.drain()


@hostile(*TEXT)
async def invalid_utf8(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 \xff\xfe\xc0\x80\xed\xa0\x80\xf8\x88\x80\x80\x80\r\n" * 20)
    await writer.drain()


@hostile(*TEXT)
async def escapes(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    text = ESCAPES.encode()
    writer.write(b"SSH-2.0-" + text + b"\r\n220 " + text + b" ESMTP Postfix/1.0" + text + b"\r\n")
    await writer.drain()


@hostile("ssh", "smtp", "ftp", "imap", "pop3", "tcp")
async def html(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    text = HTML.encode()
    writer.write(b"SSH-2.0-OpenSSH_9.6" + text + b"\r\n220 " + text + b" ESMTP Exim 4.1" + text + b"\r\n")
    await writer.drain()


@hostile("ftp", "smtp", "tcp")
async def formulae(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for text in FORMULAE:
        writer.write(b"220-" + text.encode() + b"\r\n")
    writer.write(b"220 =1+1\r\n")
    await writer.drain()


@hostile(*BINARY)
async def random_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    chance = random.Random(await asked(reader))
    writer.write(chance.randbytes(4096))
    await writer.drain()


@hostile(*BINARY)
async def huge_lengths(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-x\r\n" + b"\xff" * 64)
    await asked(reader)
    await forever(writer, b"\xff\xff\xff\x7f" * 4096 + b"$999999999\r\n" + b"*99999999\r\n")


@hostile("ssh")
async def ssh_lists(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A KEXINIT (RFC 4253, 7.1) whose lists are long, hostile and contradict their lengths."""
    names = ",".join([ESCAPES, HTML, *FORMULAE] + ["x" * 60] * 400).encode()
    body = b"\x14" + bytes(16) + b"".join(struct.pack(">I", len(names)) + names for _ in range(10)) + bytes(5)
    packet = struct.pack(">IB", len(body) + 1 + 8, 8) + body + bytes(8)
    writer.write(b"SSH-2.0-lists\r\n" + packet)
    await writer.drain()
    await asked(reader)
    await forever(writer, packet)


@hostile("http", "https", "ssh", "smtp", "tcp")
async def hang_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    return


@hostile("http", "https", "ssh", "smtp", "tcp")
async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# --------------------------------------------------------------------------------------------- the web


def page(*fields: str, body: bytes = b"<title>x</title>", status: str = "200 OK") -> bytes:
    head = "\r\n".join((f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "Connection: close"))
    return head.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes) -> None:
    await asked(reader)
    writer.write(answer)
    await writer.drain()


@cache
def bomb() -> bytes:
    return gzip.compress(bytes(200_000_000), 1)


@hostile(*WEB, tls=True)
async def gzip_bomb(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    fields = ("Content-Type: text/html", "Content-Encoding: gzip")
    await answering(reader, writer, page(*fields, body=bomb()))


@hostile(*WEB, tls=True)
async def redirect_loop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await answering(reader, writer, page("Location: /", status="302 Found"))


@hostile(*WEB)
async def redirect_for_ever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    where = random.Random(await asked(reader)).randrange(10**12)
    writer.write(page(f"Location: /{where}/{'x' * 5000}", status="302 Found"))
    await writer.drain()


@hostile(*WEB, tls=True)
async def header_flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asked(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    await forever(writer, b"X-More: y\r\nSet-Cookie: a=b\r\n" * 1024)


@hostile(*WEB, tls=True)
async def chunked_for_ever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asked(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await forever(writer, b"1;x=" + b"y" * 100 + b"\r\nz\r\n")


@hostile(*WEB)
async def a_chunk_too_large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asked(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n")
    await forever(writer, b"x" * 65536)


@hostile(*WEB)
async def interim_for_ever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asked(reader)
    await forever(writer, b"HTTP/1.1 100 Continue\r\n\r\n" * 64)


@hostile(*WEB, tls=True)
async def odd_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Values that a parser may choke on, and that a report may show."""
    fields = (
        f"Server: nginx/1.25.3{HTML}{ESCAPES}".replace("\r", "").replace("\n", ""),
        f"X-Powered-By: {FORMULAE[0]}",
        f"Strict-Transport-Security: max-age={'9' * 5000}; includeSubDomains; max-age=1",
        "Content-Security-Policy: " + "default-src 'self' *; " * 1500,
        f"X-Frame-Options: {HTML}",
        *(f"Set-Cookie: s{number}={HTML}; Path=/; SameSite={ESCAPES[:6]}" for number in range(50)),
        "Date: Mon, 99 Foo 99999 99:99:99 GMT",
        "Content-Length: -1",
        "Content-Length: 99999999999999999999",
        f"Location: javascript:{MARK}()",
        "no colon here",
        ": no name",
        "Ünïcödé: ÿ",
    )
    await answering(reader, writer, page(*fields, body=HTML.encode() * 100))


@hostile(*WEB)
async def pages_that_take_long_to_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What makes regular expressions slow: long runs, deep nesting, numbers without end."""
    body = (
        b"<" * 40_000
        + b"a href='" * 10_000
        + b" " * 60_000
        + b"1" * 60_000
        + b"&#" * 20_000
        + b"<!--" * 9_000
    )
    await answering(reader, writer, page("Content-Type: text/html; charset=utf-7", body=body))


@hostile(*WEB)
async def everything_exists(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says yes to every path, with what an exposed file would hold."""
    body = (
        b"[core]\nDB_PASSWORD=" + HTML.encode() + b"\nphpinfo() Index of / " + b"Contact: mailto:x\n" * 9000
    )
    await answering(reader, writer, page("Content-Type: text/plain", body=body))


# ------------------------------------------------------------------------------------------------- TLS


@hostile("https", "smtps", "imaps")
async def tls_fuzz(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A sound flight with a few bytes changed, another few each time."""
    chance = random.Random(await asked(reader))
    flight = bytearray(certificates.flight(certificates.sound()))
    for _ in range(chance.randrange(1, 30)):
        flight[chance.randrange(len(flight))] = chance.randrange(256)
    writer.write(bytes(flight[: chance.randrange(1, len(flight) + 1)]))
    await writer.drain()


@hostile("https")
async def records_for_ever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asked(reader)
    await forever(writer, b"\x16\x03\x03\x00\x04\x00\x00\x00\x00" * 4096)


@hostile("https")
async def one_long_handshake_message(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asked(reader)
    writer.write(b"\x16\x03\x03\x40\x00\x0b\xff\xff\xff" + bytes(0x4000 - 4))
    await forever(writer, b"\x16\x03\x03\x40\x00" + bytes(0x4000))


@hostile("https")
async def warnings_for_ever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asked(reader)
    await forever(writer, b"\x15\x03\x03\x00\x02\x01\x5a" * 4096)


def served(name: str, chain: Callable[[], list[bytes]]) -> None:
    """A server that sends a chain in clear, as TLS 1.2 does, and goes no further."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(certificates.flight(chain()))
        await writer.drain()
        await asyncio.sleep(2)

    CORPUS[name] = Hostile(name, talk, ("https",))


served("a-thousand-names", certificates.a_thousand_names)
served("cyclic-chain", certificates.cyclic)
served("names-that-bite", lambda: certificates.names_that_bite(HTML, ESCAPES, FORMULAE[0]))
served("a-hundred-certificates", certificates.a_hundred)
for _number in range(8):
    served(f"odd-asn1-{_number}", lambda number=_number: certificates.odd(number))  # type: ignore[misc]


# ------------------------------------------------------------------------------------------- the fleet


def _quietly(talk: Talk) -> Talk:
    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (OSError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            with suppress(RuntimeError):
                writer.close()

    return run


@asynccontextmanager
async def _listening(names: tuple[str, ...]) -> AsyncIterator[dict[str, tuple[int, tuple[str, ...]]]]:
    with tempfile.TemporaryDirectory() as place:
        pem = Path(place) / "server.pem"
        pem.write_bytes(certificates.pem())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
    servers, ports = [], {}
    for name in names:
        kind = CORPUS[name]
        server = await asyncio.start_server(
            _quietly(kind.talk), "127.0.0.1", 0, ssl=context if kind.tls else None, backlog=1024
        )
        servers.append(server)
        ports[name] = (server.sockets[0].getsockname()[1], kind.services)
    yield ports
    for server in servers:
        server.close()


async def _serve(names: tuple[str, ...]) -> None:
    bomb()
    async with _listening(names) as ports:
        print(json.dumps(ports), flush=True)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, sys.stdin.buffer.read)
        os._exit(0)


@contextmanager
def fleet(*names: str) -> Iterator[dict[str, tuple[int, tuple[str, ...]]]]:
    """The servers of the corpus (or those named) in a process of their own: port and services, by name."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.hostile.servers", *(names or CORPUS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin
    assert process.stdout
    try:
        line = process.stdout.readline()
        yield {name: (port, tuple(services)) for name, (port, services) in json.loads(line).items()}
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(_serve(tuple(sys.argv[1:])))
