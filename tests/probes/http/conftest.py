"""Web servers on loopback: nginx for the regular cases, raw sockets for servers that misbehave."""

from __future__ import annotations

import contextlib
import socket
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
