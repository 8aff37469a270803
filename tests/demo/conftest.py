"""One fleet for all tests of it: as it is shipped, with the defects it does not use added to good systems."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from seccheck.demo.defects import DEFECTS
from seccheck.demo.fleet import Fleet
from seccheck.demo.systems import DemoSystem, systems
from seccheck.registry import load_registry
from seccheck.system import System


@dataclass(frozen=True)
class Spot:
    """Where one service is."""

    address: str
    port: int
    host: str

    def connect(self) -> socket.socket:
        return socket.create_connection((self.address, self.port), timeout=5)


@dataclass(frozen=True)
class Running:
    """The running fleet and its papers."""

    fleet: Fleet
    folder: Path
    registered: dict[str, System]
    systems: dict[str, DemoSystem]

    def spot(self, system: str, service: str) -> Spot:
        targets = self.registered[system].targets
        target = next(one for one in targets if one.service == service)
        return Spot(target.address, target.port, target.host)

    def address(self, system: str) -> str:
        return self.registered[system].targets[0].address

    def having(self, defect: str) -> DemoSystem:
        return next(one for one in self.systems.values() if defect in one.defects)

    def good(self, service: str = "https") -> DemoSystem:
        """A system without any defect that has `service`."""
        return next(one for one in self.systems.values() if not one.defects and service in one.services)


def unused_defects() -> dict[str, tuple[str, ...]]:
    """Defects that no shipped system has, each on a good system where it shows."""
    shipped = systems()
    used = {defect for one in shipped for defect in one.defects}
    free = [one for one in shipped if not one.defects]
    chosen: dict[str, tuple[str, ...]] = {}
    for defect in sorted(set(DEFECTS) - used):
        needs = DEFECTS[defect].needs if DEFECTS[defect].needs in {"http", "ssh"} else "https"
        where = next(one for one in free if needs in one.services and one.id not in chosen)
        chosen[where.id] = (defect,)
    return chosen


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The fleet with every defect there is."""
    folder = tmp_path_factory.mktemp("fleet")
    extra = unused_defects()
    with Fleet(extra_defects=extra) as fleet:
        registry = load_registry(fleet.start(folder))
        registered = {one.id: one for one in registry.systems}
        yield Running(fleet, folder, registered, {one.id: one for one in systems(extra_defects=extra)})
