"""Which job may begin now: how several addresses share a network, and how one is left in peace.

An address that is to be treated gently is a lane: its jobs run one at a time, whatever the probe, so the
budget of `scope` holds across workers. Lanes of one network go a few at a time, so the network's budget is
that many times an address's. A lane rests after each job, longer after each sign of strain, and begins
nothing while its authorised hours are over. Everything else (loopback, documents, domains) runs freely.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from seccheck.model import Reason
from seccheck.observation import Observation
from seccheck.permission import UNLIMITED, Permission, Scope, Window, network_of, permission_for
from seccheck.plan import Job

REST = 1.0
"""Seconds an address rests after a job that showed strain; twice as long after each further one."""
LONGEST_REST = 8.0
_STRAIN = {Reason.TIMEOUT, Reason.RATE_LIMITED}


@dataclass
class _Lane:
    """The jobs of one address, one at a time."""

    permission: Permission
    network: str
    jobs: deque[Job] = field(default_factory=deque)
    busy: bool = False
    rest_until: float = 0.0
    strain: int = 0

    def rest(self, observation: Observation) -> None:
        rate = self.permission.limits.connections_per_second
        pause = 1 / rate if rate else 0.0
        self.strain = self.strain + 1 if shows_strain(observation) else 0
        if self.strain:
            pause = max(pause, min(REST * 2 ** (self.strain - 1), LONGEST_REST))
        self.rest_until = time.monotonic() + pause


class Lanes:
    """The jobs that wait, by address; gives those that may begin."""

    def __init__(
        self,
        jobs: Sequence[Job],
        scope: Scope,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._scope = scope
        self._now = now
        self._free: deque[Job] = deque()
        self._lanes: dict[str, _Lane] = {}
        self._at_once: dict[str, int] = {}
        self._busy: Counter[str] = Counter()
        self.pause = float("inf")
        """Seconds from the last call of `ready` until an address has rested enough."""
        for job in jobs:
            self.add(job)

    def add(self, job: Job) -> None:
        """Let one more job wait for its turn."""
        address = job.endpoint.address
        permission = permission_for(self._scope, address) if address else None
        if permission is None or (
            permission.limits == UNLIMITED and permission.window is permission.also is None
        ):
            self._free.append(job)
            return
        if address not in self._lanes:
            network = network_of(address)
            self._lanes[address] = _Lane(permission, network)
            if (most := permission.limits.addresses_at_once) is not None:
                self._at_once[network] = min(most, self._at_once.get(network, most))
        self._lanes[address].jobs.append(job)

    def ready(self) -> Iterator[Job]:
        """The jobs that may begin now; each counts as begun until `done`."""
        while self._free:
            yield self._free.popleft()
        moment = time.monotonic()
        self.pause = float("inf")
        shut: dict[tuple[Window | None, Window | None], bool] = {}
        for lane in self._lanes.values():
            if lane.busy or not lane.jobs:
                continue
            if lane.rest_until > moment:
                self.pause = min(self.pause, lane.rest_until - moment)
                continue
            if self._busy[lane.network] >= self._at_once.get(lane.network, len(self._lanes)):
                continue
            windows = (lane.permission.window, lane.permission.also)
            if windows not in shut:
                shut[windows] = self._shut(lane.permission)
            if shut[windows]:
                continue
            lane.busy = True
            self._busy[lane.network] += 1
            yield lane.jobs.popleft()

    def done(self, observation: Observation) -> None:
        """Let the address of `observation` rest, then go on."""
        lane = self._lanes.get(observation.endpoint.address)
        if lane is None or not lane.busy:
            return
        lane.busy = False
        self._busy[lane.network] -= 1
        lane.rest(observation)
        if not lane.jobs:
            del self._lanes[observation.endpoint.address]

    def cut_short(self, observation: Observation) -> bool:
        """Whether the authorised hours ended before the look did: it is then left for another time."""
        permission = permission_for(self._scope, observation.endpoint.address)
        return bool(permission and self._shut(permission) and _not_probed(observation))

    @property
    def stuck(self) -> bool:
        """Whether all that waits, waits for authorised hours."""
        waiting = [lane for lane in self._lanes.values() if lane.jobs]
        return not self._free and all(self._shut(lane.permission) for lane in waiting)

    def withdraw(self) -> list[Job]:
        """What waits, which then waits no more."""
        waiting = [*self._free, *(job for lane in self._lanes.values() for job in lane.jobs)]
        self._free.clear()
        self._lanes = {address: lane for address, lane in self._lanes.items() if lane.busy}
        for lane in self._lanes.values():
            lane.jobs.clear()
        return waiting

    def _shut(self, permission: Permission) -> bool:
        """Closed now, to open again: once the last day is over, "not probed" is the final word."""
        now = self._now()
        return not permission.open_at(now) and permission.opens_later(now)


def _doubts(observation: Observation) -> Iterator[Any]:
    yield observation.failed
    for doubt in (observation.facts or {}).get("undecided", ()):
        yield doubt.get("reason")


def _not_probed(observation: Observation) -> bool:
    return any(reason == Reason.NOT_PROBED for reason in _doubts(observation))


def shows_strain(observation: Observation) -> bool:
    """Whether the target was slow, or asked to be left alone."""
    return any(reason in _STRAIN for reason in _doubts(observation))
