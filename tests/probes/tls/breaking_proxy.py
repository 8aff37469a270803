"""A proxy that breaks paths on purpose: bans, limiters, flaky links, invented alerts, silence.

Run as a program: reads a JSON list of cases on standard input, opens a port for each, prints the ports as
JSON, and serves until standard input closes. What it does not break it relays to the case's backend, or,
where the case says `replay`, answers with what the backend answered to the same hello before: thousands of
connections then cost the backend a few dozen. The argument is the address to listen on.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import socket
import struct
import sys
from typing import Any

STYLES = ("reset-at-accept", "reset", "close", "close-notify", "alert-40", "alert-70", "alert-80", "silence")
_LINGER = struct.pack("ii", 1, 0)
_recorded: dict[tuple[int, bytes], bytes] = {}


class Case:
    """One broken path: `style`, and `when` a connection is broken."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.style: str = spec["style"]
        self.when: dict[str, Any] = spec["when"]
        self.backend: int = spec["backend"]
        self.replay: bool = spec.get("replay", False)
        self.random = random.Random(spec["seed"])
        self.count = 0

    def breaks(self) -> bool:
        """Whether the next connection is broken."""
        number, self.count = self.count, self.count + 1
        match self.when["kind"]:
            case "window":
                first = self.when["after"]
                return first <= number < first + self.when["for"]
            case "every":
                return number % self.when["every"] == self.when["offset"]
            case _:
                return self.random.random() < self.when["share"]


class Near(asyncio.Protocol):
    """One connection of the client."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.far: asyncio.Transport | None = None
        self.broken = self.done = False
        self.data = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.broken = self.case.breaks()
        if self.broken and self.case.style == "reset-at-accept":
            self._reset()
        elif not self.broken and not self.case.replay:
            asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: Far(self), "127.0.0.1", self.case.backend
            )
        except OSError:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self.done:
            return
        if self.broken:
            self._break()
        elif not self.case.replay:
            self.data += data
            if self.far:
                self.far.write(self.data)
                self.data = b""
        else:
            self._replay(data)

    def _break(self) -> None:
        self.done = True
        style = self.case.style
        if style == "silence":
            return
        if style == "reset":
            self._reset()
            return
        if style == "close-notify":
            self.transport.write(bytes.fromhex("15030100020100"))
        elif style.startswith("alert"):
            self.transport.write(bytes.fromhex("1503010002 02") + bytes((int(style[6:]),)))
        self.transport.close()

    def _reset(self) -> None:
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self.transport.abort()

    def _replay(self, hello: bytes) -> None:
        self.done = True
        key = self.case.backend, _without_random(hello)
        if key not in _recorded:
            _recorded[key] = _ask(self.case.backend, hello)
        self.transport.write(_recorded[key])
        if len(_recorded[key]) <= 7:  # an alert, after which a server closes
            self.transport.close()

    def eof_received(self) -> bool:
        if self.far:
            self.far.close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self.far:
            self.far.close()


class Far(asyncio.Protocol):
    """The connection to the backend behind a client's."""

    def __init__(self, near: Near) -> None:
        self.near = near

    def connection_made(self, transport: Any) -> None:
        self.near.far = transport
        if self.near.data:
            transport.write(self.near.data)
            self.near.data = b""

    def data_received(self, data: bytes) -> None:
        self.near.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.near.transport.close()


def _without_random(hello: bytes) -> bytes:
    if hello[0] & 0x80:  # SSL 2.0: the challenge comes last
        return hello[:-16]
    return hello[:11] + hello[43:44] + hello[44 + hello[43] :] if len(hello) > 44 else hello


def _ask(port: int, hello: bytes) -> bytes:
    """What the backend answers, up to the end of its flight."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        sock.sendall(hello)
        while not _whole(answer) and (data := sock.recv(65536)):
            answer += data
    return answer


def _whole(answer: bytes) -> bool:
    """Whether a flight (up to ServerHelloDone), a HelloRetryRequest or an alert is there."""
    length = 5 + int.from_bytes(answer[3:5], "big")
    if len(answer) < max(length, 7):
        return False
    return answer[0] == 21 or answer[11:15] == b"\xcf\x21\xad\x74" or answer.endswith(b"\x0e\0\0\0")


async def _main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    loop = asyncio.get_running_loop()
    cases = [Case(spec) for spec in json.loads(sys.stdin.readline())]
    servers = [
        await loop.create_server(lambda case=case: Near(case), sys.argv[1], 0, backlog=64) for case in cases
    ]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main())
