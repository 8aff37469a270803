"""Real TLS servers on loopback, and hand-made ones for what no current OpenSSL serves."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from seccheck.demo.oldtls import ClientHello, alert, read_hello
from tests.tools import free_port, running, tool

NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{ access_log off; {temporary} {servers} }}
"""
_TEMPORARY = " ".join(
    f"{kind}_temp_path {{folder}};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)
STRONG = "ECDHE+AESGCM:ECDHE+CHACHA20"


@contextmanager
def nginx(folder: Path, *blocks: str) -> Iterator[list[int]]:
    """One nginx with a server block for each of `blocks`, in which {port} stands for its port."""
    ports = _free_ports(len(blocks))
    servers = "".join(
        "server {" + block.replace("{port}", str(port)) + " location / { return 200 ok; } }"
        for block, port in zip(blocks, ports, strict=True)
    )
    config = folder / "nginx.conf"
    config.write_text(
        NGINX.format(folder=folder, temporary=_TEMPORARY.format(folder=folder), servers=servers)
    )
    with running(tool("nginx"), "-p", folder, "-c", config, ports=tuple(ports)):
        yield ports


def _free_ports(number: int) -> list[int]:
    """Ports that nobody listens on, no two the same."""
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.socket()) for _ in range(number)]
        for sock in socks:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in socks]


def block(
    chain: Path,
    key: Path,
    *,
    protocols: str = "TLSv1.2 TLSv1.3",
    ciphers: str = STRONG,
    listen: str = "127.0.0.1:{port}",
    more: str = "",
) -> str:
    """A server block of nginx."""
    return (
        f"listen {listen} ssl; ssl_certificate {chain}; ssl_certificate_key {key};"
        f"ssl_protocols {protocols}; ssl_ciphers '{ciphers}'; {more}"
    )


@contextmanager
def s_server(chain: Path, key: Path, *options: str) -> Iterator[int]:
    """`openssl s_server` with `options`, on a port of its own."""
    port = free_port()
    command = (tool("openssl"), "s_server", "-accept", f"127.0.0.1:{port}", "-cert", chain, "-key", key)
    with running(*command, "-quiet", "-www", *options, ports=(port,)):
        yield port


Behaviour = Callable[[socket.socket], None]


@contextmanager
def behaving(behaviour: Behaviour, address: str = "127.0.0.1") -> Iterator[int]:
    """A server that does `behaviour` on every connection, each in a thread of its own."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((address, 0))
        listener.listen(128)
        ending = threading.Event()
        threads: list[threading.Thread] = []

        def one(sock: socket.socket) -> None:
            with sock:
                sock.settimeout(20)
                try:
                    behaviour(sock)
                except OSError:
                    return

        def serve() -> None:
            while not ending.is_set():
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                thread = threading.Thread(target=one, args=(sock,), daemon=True)
                thread.start()
                threads.append(thread)

        acceptor = threading.Thread(target=serve, daemon=True)
        acceptor.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ending.set()
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join(5)


def hello_of(sock: socket.socket) -> ClientHello:
    """The hello that a client sends."""
    data = b""
    while (hello := read_hello(data)) is None:
        more = sock.recv(65536)
        if not more:
            raise OSError("closed")
        data += more
    return hello


def flight(
    hello: ClientHello,
    version: int,
    suite: int,
    certificates: tuple[bytes, ...] = (),
    *,
    extensions: bytes = b"",
    compression: int = 0,
    exchange: bytes = b"",
    more: bytes = b"",
) -> bytes:
    """A ServerHello flight up to TLS 1.2: what a server shows before the client must answer."""
    body = struct.pack(">H32sBHB", version, os.urandom(32), 0, suite, compression)
    if extensions:
        body += struct.pack(">H", len(extensions)) + extensions
    chain = b"".join(len(der).to_bytes(3, "big") + der for der in certificates)
    messages = message(2, body) + (message(11, len(chain).to_bytes(3, "big") + chain) if chain else b"")
    if exchange:
        messages += message(12, exchange)
    return record(22, version, messages + more + message(14, b""))


def retry(hello: ClientHello, group: int, suite: int = 0x1301) -> bytes:
    """A HelloRetryRequest that asks for `group`."""
    magic = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
    extensions = struct.pack(">HHHHHH", 43, 2, 0x0304, 51, 2, group)
    body = (
        struct.pack(">H32sBHB", 0x0303, magic, 0, suite, 0) + struct.pack(">H", len(extensions)) + extensions
    )
    return record(22, 0x0303, message(2, body))


def message(kind: int, body: bytes) -> bytes:
    return bytes((kind,)) + len(body).to_bytes(3, "big") + body


def record(kind: int, version: int, payload: bytes) -> bytes:
    head = struct.pack(">BH", kind, version)
    parts = [payload[at : at + 16384] for at in range(0, len(payload), 16384)]
    return b"".join(head + len(part).to_bytes(2, "big") + part for part in parts)


def answering(answer: Callable[[ClientHello], bytes]) -> Behaviour:
    """A behaviour that answers each hello by `answer`, then waits for the client to go."""

    def behave(sock: socket.socket) -> None:
        sock.sendall(answer(hello_of(sock)))
        sock.recv(100)

    return behave


def only(version: int, suites: tuple[int, ...], certificates: tuple[bytes, ...], **parts: bytes) -> Behaviour:
    """A server that speaks `version` with `suites` and refuses everything else with an alert."""

    def answer(hello: ClientHello) -> bytes:
        common = [suite for suite in suites if suite in hello.suites]
        if hello.highest < version or not common:
            return alert(70 if hello.highest < version else 40, max(version, 0x0300))
        return flight(hello, version, common[0], certificates, **parts)  # type: ignore[arg-type]

    return answering(answer)


def ssl2(certificate: bytes, kinds: tuple[int, ...] = (0x0700C0, 0x010080)) -> Behaviour:
    """A server that speaks SSL 2.0 and nothing else."""

    def behave(sock: socket.socket) -> None:
        data = sock.recv(65536)
        if not data or not data[0] & 0x80:
            return
        specs = b"".join(kind.to_bytes(3, "big") for kind in kinds)
        head = struct.pack(">BBBHHHH", 4, 0, 1, 2, len(certificate), len(specs), 16)
        body = head + certificate + specs + os.urandom(16)
        sock.sendall(struct.pack(">H", 0x8000 | len(body)) + body)
        sock.recv(100)

    return behave
