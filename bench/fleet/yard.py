# ruff: noqa: E501 (server configurations and truths stand as they are written)
"""Where the fleet stands: a folder, addresses on loopback, an authority that is registered and one that is not."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.fleet.pki import Authority
from bench.fleet.servers import Handler, Listener, run
from bench.fleet.truth import At, Case


@dataclass
class Yard:
    """Everything that the parts of the fleet share."""

    folder: Path
    stack: contextlib.ExitStack
    good: Authority
    bad: Authority
    net: str = field(default_factory=lambda: f"127.{20 + os.getpid() % 75}")
    """So that two fleets may stand at the same time."""
    cases: list[Case] = field(default_factory=list)
    records: dict[str, list[str]] = field(default_factory=dict)
    """Names and the addresses that the name server of the fleet gives for them."""
    head: dict[str, object] = field(default_factory=dict)
    """Further keys of the registry."""
    _taken: int = 0

    def address(self) -> str:
        """A loopback address of its own."""
        self._taken += 1
        return f"{self.net}.{self._taken // 250}.{self._taken % 250 + 1}"

    def file(self, name: str, text: str | bytes) -> Path:
        """A file with `text`."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def run(self, *command: str | Path, listens: list[tuple[str, int]], **more: object) -> None:
        """Start a program; it ends with the yard."""
        run(self.stack, self.folder, *command, listens=listens, **more)  # type: ignore[arg-type]

    def serve(self, address: str, port: int, handler: Handler) -> Listener:
        """Start a server of our own."""
        return Listener(self.stack, address, port, handler)

    def add(self, case: Case) -> Case:
        """Take a system into the fleet."""
        self.cases.append(case)
        return case

    def one(self, name: str, address: str, port: int, service: str, host: str = "", **truth: object) -> Case:
        """A system with one target."""
        level = truth.pop("level", 3)
        target = At(host or address, port, service, address if host else "")
        return self.add(Case(name, [target], level=level, **truth))  # type: ignore[arg-type]


Part = Callable[[Yard], None]


def everywhere() -> list[int]:
    """The ports on which this machine listens on every address, which are none of the fleet's."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, port = local.rpartition(":")
            if state == "0A" and not address.strip("0"):
                found.add(int(port, 16))
    return sorted(found)
