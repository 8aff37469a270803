"""Web servers on loopback: nginx for the regular cases, raw sockets for servers that misbehave."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seccheck.scope import UNLIMITED, Context, Permission, Scope
from tests.tools import running, tool


@pytest.fixture
def context() -> Context:
    return Context(
        Scope(
            permissions=(
                Permission(network="127.0.0.0/8", limits=UNLIMITED),
                Permission(network="::1/128", limits=UNLIMITED),
            )
        )
    )


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEM file with a key and a self-signed certificate: what it is worth is the tls probe's matter."""
    folder = tmp_path_factory.mktemp("certificate")
    key, cert, both = folder / "key.pem", folder / "cert.pem", folder / "both.pem"
    command = [
        tool("openssl"),
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]
    command += ["-keyout", key, "-out", cert, "-days", "30", "-subj", "/CN=localhost"]
    subprocess.run(command, check=True, capture_output=True)
    both.write_text(key.read_text() + cert.read_text())
    return both


Handler = Callable[[socket.socket], None]


@pytest.fixture
def serve(certificate: Path) -> Iterator[Callable[..., int]]:
    """Start a server that hands every connection to a function; returns its port."""
    with contextlib.ExitStack() as stack:

        def start(handle: Handler, *, secure: bool = False) -> int:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            thread = threading.Thread(
                target=_accept, args=(listener, handle, certificate if secure else None)
            )
            thread.start()
            stack.callback(thread.join, 10)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            return int(listener.getsockname()[1])

        yield start


def _accept(listener: socket.socket, handle: Handler, certificate: Path | None) -> None:
    threads = []
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            thread = threading.Thread(target=_run, args=(connection, handle, certificate))
            thread.start()
            threads.append(thread)
    for thread in threads:
        thread.join(10)


def _run(connection: socket.socket, handle: Handler, certificate: Path | None) -> None:
    with contextlib.suppress(OSError), connection:
        connection.settimeout(10)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            with context.wrap_socket(connection, server_side=True) as secured:
                handle(secured)
        else:
            handle(connection)


def read_request(connection: socket.socket) -> bytes:
    """One request head."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            break
        data += more
    return data


@pytest.fixture
def answers(serve: Callable[..., int]) -> Callable[..., int]:
    """Start a server that answers every request with the same bytes, then closes."""

    def start(*parts: bytes, secure: bool = False) -> int:
        def handle(connection: socket.socket) -> None:
            if read_request(connection):
                for part in parts:
                    connection.sendall(part)

        return serve(handle, secure=secure)

    return start


@pytest.fixture
def nginx(tmp_path: Path, certificate: Path) -> Iterator[Callable[..., None]]:
    """Start nginx with `server` blocks; `CERTIFICATE` in them stands for the two certificate lines."""
    with contextlib.ExitStack() as stack:

        def start(servers: str, *ports: int) -> None:
            lines = f"ssl_certificate {certificate}; ssl_certificate_key {certificate};"
            places = "".join(
                f"{name}_temp_path {tmp_path / name};"
                for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            configuration = tmp_path / "nginx.conf"
            configuration.write_text(
                f"daemon off; master_process off; pid {tmp_path / 'pid'}; error_log stderr crit;"
                f"events {{}} http {{ access_log off; {places} {servers.replace('CERTIFICATE', lines)} }}"
            )
            command = [tool("nginx"), "-p", tmp_path, "-e", "stderr", "-c", configuration]
            stack.enter_context(running(*command, ports=ports))

        yield start
