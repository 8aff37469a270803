"""What the tests of several probes share: a server made of a function, with TLS or without."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tools import tool

Handler = Callable[[socket.socket], None]


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
    command += ["-keyout", str(key), "-out", str(cert), "-subj", "/CN=localhost", "-days", "30"]
    subprocess.run(command, check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    return both


@pytest.fixture
def serve(certificate: Path) -> Iterator[Callable[..., int]]:
    """Start a server that hands each connection to a function; returns its port."""
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
