"""Hosts on loopback; each test has addresses of its own, so fixed ports never collide."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable

from seccheck.permission import Limits, Permission, Scope
from seccheck.probes import Answer, Endpoint, Look
from seccheck.probes.ports import PROBE
from seccheck.probes.ports.facts import PortsFacts, PortsParams
from seccheck.scope import UNLIMITED, Context

Handler = Callable[[socket.socket], None]


class Listed:
    """A finished list of looks, as `collect_many` takes them."""

    def __init__(self, looks: Iterable[Look]) -> None:
        self._left = deque(looks)

    def take(self, wait: float) -> Look | None:
        return self._left.popleft() if self._left else None

    @property
    def closed(self) -> bool:
        return not self._left


def context(limits: Limits = UNLIMITED) -> Context:
    networks = ("127.0.0.0/8", "::1/128")
    return Context(Scope(permissions=tuple(Permission(network=net, limits=limits) for net in networks)))


def answers(looks: dict[str, PortsParams], limits: Limits = UNLIMITED) -> dict[str, Answer]:
    """What the probe answers about several addresses at once."""
    found: dict[str, Answer] = {}
    stream = Listed(
        Look(key=address, endpoint=Endpoint(address=address), params=params)
        for address, params in looks.items()
    )
    PROBE.collect_many(stream, lambda answer: found.update({answer.key: answer}), context(limits))
    return found


def facts(address: str, params: PortsParams, limits: Limits = UNLIMITED) -> PortsFacts:
    """The facts about one address."""
    answer = answers({address: params}, limits)[address]
    assert isinstance(answer.facts, PortsFacts), f"{answer.failed}: {answer.detail}"
    return answer.facts


def doubts(found: PortsFacts, fact: str = "open") -> set[tuple[str | None, str]]:
    return {(doubt.member, doubt.reason.value) for doubt in found.undecided if doubt.fact == fact}


def some_address() -> str:
    """An address of loopback that nothing else uses."""
    pick = random.SystemRandom().randint
    return f"127.{pick(16, 250)}.{pick(1, 250)}.{pick(1, 250)}"


class Place:
    """One address and the servers on it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._sockets: list[socket.socket] = []
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def tcp(self, port: int = 0, handle: Handler | None = None, *, backlog: int = 128) -> int:
        """Listen, and hand each connection to `handle`, by default closing it."""
        listener = self._listener(port, backlog)
        self._serve(listener, handle or (lambda _client: None))
        return int(listener.getsockname()[1])

    def greeting(self, text: bytes, port: int = 0) -> int:
        """A server that says `text` and then answers every line with an error."""

        def handle(client: socket.socket) -> None:
            client.sendall(text)
            while client.recv(512):
                client.sendall(b"530 Please login first\r\n")

        return self.tcp(port, handle)

    def page(self, answer: bytes, port: int = 0) -> int:
        """A server that gives `answer` to whatever comes first."""

        def handle(client: socket.socket) -> None:
            client.recv(4096)
            client.sendall(answer)

        return self.tcp(port, handle)

    def silent(self, port: int = 0) -> tuple[int, socket.socket]:
        """A port that answers no handshake, for its queue is full: what a firewall that drops looks like.

        Accepting from the listener opens it.
        """
        listener = self._listener(port, 0)
        target = listener.getsockname()
        for _ in range(3):
            filler = socket.socket(listener.family)
            filler.setblocking(False)
            filler.connect_ex(target)
            self._sockets.append(filler)
        return int(target[1]), listener

    def udp(self, answer: Callable[[bytes], bytes | None], *, other_port: bool = False) -> int:
        """A UDP server that answers each packet with `answer(packet)`, if need be from another port."""
        sock = socket.socket(self._family, socket.SOCK_DGRAM)
        sock.bind((self.address, 0))
        sender = sock
        if other_port:
            sender = socket.socket(self._family, socket.SOCK_DGRAM)
            sender.bind((self.address, 0))
            self._sockets.append(sender)
        self._sockets.append(sock)

        def serve() -> None:
            while not self._stop.is_set():
                if select.select([sock], [], [], 0.1)[0]:
                    data, client = sock.recvfrom(4096)
                    if reply := answer(data):
                        sender.sendto(reply, client)

        self._start(serve)
        return int(sock.getsockname()[1])

    @property
    def _family(self) -> int:
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET

    def _listener(self, port: int, backlog: int) -> socket.socket:
        listener = socket.socket(self._family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.address, port))
        listener.listen(backlog)
        self._sockets.append(listener)
        return listener

    def _serve(self, listener: socket.socket, handle: Handler) -> None:
        def one(client: socket.socket) -> None:
            with client:
                client.settimeout(10)
                with contextlib.suppress(OSError):
                    handle(client)

        def serve() -> None:
            while not self._stop.is_set():
                if select.select([listener], [], [], 0.1)[0]:
                    client, _ = listener.accept()
                    threading.Thread(target=one, args=(client,), daemon=True).start()

        self._start(serve)

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        self._threads.append(thread)

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for sock in self._sockets:
            sock.close()
