"""Servers on loopback: those of Debian, and raw sockets for greetings that no server of Debian sends."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seccheck.probes import Endpoint
from seccheck.probes.banner import PROBE, talk
from seccheck.probes.banner.facts import BannerFacts, BannerParams
from seccheck.scope import UNLIMITED, Context, Permission, Scope
from tests.tools import tool

Handler = Callable[[socket.socket], None]
Look = Callable[..., BannerFacts]


@pytest.fixture(autouse=True)
def without_nmap(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stays unknown is left so, but where a test says otherwise."""
    monkeypatch.setenv("SECCHECK_PORTS_ENGINE", "connect")


@pytest.fixture
def context() -> Context:
    return Context(Scope(permissions=(Permission(network="127.0.0.0/8", limits=UNLIMITED),)))


@pytest.fixture
def look(context: Context) -> Look:
    """What the probe says of a port on 127.0.0.1."""

    def ask(port: int, service: str) -> BannerFacts:
        assert PROBE.collect
        endpoint = Endpoint(address="127.0.0.1", host="www.example", port=port, service=service)
        return PROBE.collect(endpoint, BannerParams(), context)

    return ask


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe with less patience for silence."""
    monkeypatch.setattr(talk, "QUIET", 0.4)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch, impatient: None) -> None:
    """The probe with less patience for everything."""
    monkeypatch.setattr(talk, "SECONDS", 1.5)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEM file with a key and a self-signed certificate."""
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
    command += ["-keyout", str(key), "-out", str(cert), "-subj", "/CN=www.example", "-days", "30"]
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


@pytest.fixture
def says(serve: Callable[..., int]) -> Callable[..., int]:
    """Start a server that greets with bytes, then answers each thing it hears with the next ones."""

    def start(*turns: bytes, secure: bool = False) -> int:
        def handle(connection: socket.socket) -> None:
            for number, turn in enumerate(turns):
                if number and not connection.recv(65536):
                    return
                connection.sendall(turn)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass

        return serve(handle, secure=secure)

    return start


def as_user(name: str) -> list[str]:
    """What precedes a command so that it does not run as root."""
    return (
        [tool("setpriv"), f"--reuid={name}", f"--regid={name}", "--clear-groups"] if os.geteuid() == 0 else []
    )
