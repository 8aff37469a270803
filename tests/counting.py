"""A fleet of slow little web servers that count who asks them, to see what a scan asks twice."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests import small

ANSWER = (
    b"HTTP/1.1 200 OK\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


@dataclass
class Counted:
    """What was asked of which port, and how many connections an address had at once."""

    ports: list[int] = field(default_factory=list)
    connections: Counter[int] = field(default_factory=Counter)
    now: int = 0
    most: int = 0
    hold: threading.Event = field(default_factory=threading.Event)
    """Until it is set nobody is answered."""
    told: Callable[[], None] = lambda: None
    """Called at each connection."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
        port = writer.get_extra_info("sockname")[1]
        self.connections[port] += 1
        self.told()
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await reader.readuntil(b"\r\n\r\n")
            while not self.hold.is_set():
                await asyncio.sleep(0.01)
            await asyncio.sleep(delay)
            writer.write(ANSWER)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.now -= 1
            writer.close()


@contextmanager
def fleet(count: int, delay: float = 0.05, address: str = "127.0.0.1") -> Iterator[Counted]:
    """`count` web servers, each of which takes `delay` seconds for an answer."""
    counted = Counted()
    counted.hold.set()
    loop = asyncio.new_event_loop()
    ready, done = threading.Event(), asyncio.Event()

    async def run() -> None:
        servers = [
            await asyncio.start_server(lambda r, w: counted.serve(r, w, delay), address, 0)
            for _ in range(count)
        ]
        counted.ports += [server.sockets[0].getsockname()[1] for server in servers]
        ready.set()
        await done.wait()
        for server in servers:
            server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)

    thread = threading.Thread(target=_run, args=(loop, run()))
    thread.start()
    ready.wait(10)
    try:
        yield counted
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(10)


def _run(loop: asyncio.AbstractEventLoop, work: object) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(work)  # type: ignore[arg-type]
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def write_registry(place: Path, ports: list[int], terms: str = "") -> Path:
    """A registry with one system for each port, and the small set beside it; `terms` go into each system."""
    (place / "criteria.yaml").write_text(small.CRITERIA, encoding="utf-8")
    (place / "set.yaml").write_text(small.SET, encoding="utf-8")
    head = small.REGISTRY.partition("systems:")[0].format()
    systems = "".join(
        f"- id: s{number:03}\n  unit: red\n  name: {{en: S{number}, vi: S{number}}}\n  level: 1\n"
        f'  targets: ["http://127.0.0.1:{port}/"]\n{terms}'
        for number, port in enumerate(ports)
    )
    (place / "registry.yaml").write_text(f"{head}systems:\n{systems}", encoding="utf-8")
    return place / "registry.yaml"
