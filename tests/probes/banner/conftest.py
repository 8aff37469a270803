"""Servers on loopback: those of Debian, and raw sockets for greetings that no server of Debian sends."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable

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
