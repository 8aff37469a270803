"""The coordinator: sends jobs to workers in zones, and takes their observations.

It alone decides who looks at what. A group of jobs (the jobs of one address; where addresses share a budget,
of one network) is with one worker at a time. A worker that falls silent has stopped by itself before it is
taken for lost, and what it had is sent again. Zones without a worker are left for another time.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from seccheck.errors import ExecutorError
from seccheck.executors.broker import Broker
from seccheck.executors.line import Line, Lost
from seccheck.executors.local import LocalExecutor
from seccheck.executors.wire import (
    CALL_SECONDS,
    LOST_SECONDS,
    MAX_JOBS,
    ORDER_SECONDS,
    Call,
    Order,
    Told,
    WireError,
    closed,
    fault_of_answer,
    opened,
    queue_of_run,
)
from seccheck.model import moment, safe_text, timestamp
from seccheck.observation import Observation
from seccheck.permission import UNLIMITED, Scope, network_of, permission_for
from seccheck.plan import Job
from seccheck.probes import Probe

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

    from seccheck.keys import PublicKey

CALL_EVERY = 1.0
FIRST = 2.0
"""Seconds in which workers are waited for at first, so that the work is shared from the start."""
USUAL_JOBS = 32
"""In one order; fewer towards the end, so that all workers end together, more where a group is larger."""
LEAST_JOBS = 16
MAX_TRIES = 4
"""How often a job is sent; one that comes back without an answer each time is left."""
_POLL = 0.02


@dataclass
class _Worker:
    """A worker that was heard of."""

    zone: str
    heard: float
    slots: int = 0
    held: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    key: str = ""


@dataclass
class _Open:
    """An order that is out."""

    zone: str
    jobs: dict[str, Job]
    groups: list[_Group]
    sent: float
    worker: str = ""


@dataclass
class _Group:
    """Jobs that are never with two workers at once."""

    zone: str
    jobs: deque[Job] = field(default_factory=deque)


class CeleryExecutor:
    """Runs jobs on workers in zones; documents are read here."""

    def __init__(
        self,
        broker: Broker,
        probes: Mapping[str, Probe[Any, Any]],
        *,
        plan: str,
        made: str,
        signer: CryptoSigner,
        workers: Mapping[str, PublicKey] | None,
        again: bool,
        patience: float = 30.0,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Make ready to run the jobs of the plan with the digest `plan`.

        `workers`: the keys whose answers are believed, each for the zones it names as units; None: any.
        `again`: the plan may be at work already, from a coordinator that was killed. `patience`: seconds that
        a zone may be without a worker.
        """
        self.broker = broker
        self.probes = probes
        self.plan = plan
        self.made = moment(made)
        self.signer = signer
        self.keys = workers
        self.again = again
        self.patience = patience
        self.tell = tell
        self.unreached: Counter[str] = Counter()
        """How many jobs of which zones were left, for want of a worker, when `run` ended."""
        self.machines: dict[str, tuple[str, tuple[str, ...]]] = {}
        """The workers that took part: zone, and their own addresses."""
        self.status = ""
        """Workers and zones, in a few words."""

    def run(self, jobs: Sequence[Job], scope: Scope, stopping: Callable[[], bool]) -> Iterator[Observation]:
        """Observations as they arrive; see `Executor.run`. Raises `ExecutorError` without a broker."""
        here = [job for job in jobs if self.probes[job.probe].subject == "document"]
        yield from LocalExecutor(self.probes).run(here, scope, stopping)
        away = [job for job in jobs if self.probes[job.probe].subject != "document"]
        if not away or stopping():
            return
        run = _Run(self, away, scope)
        try:
            yield from run.observations(stopping)
        finally:
            run.end()


class _Run:
    """One session of a plan."""

    def __init__(self, executor: CeleryExecutor, jobs: Sequence[Job], scope: Scope) -> None:
        self.own = executor
        self.scope = scope
        self.session = os.urandom(16).hex()
        self.queue = queue_of_run(executor.plan)
        self.wanted = {job.key: job for job in jobs}
        self.ready: dict[str, deque[_Group]] = {}
        for group in _groups(jobs, scope):
            self.ready.setdefault(group.zone, deque()).append(group)
        self.open: dict[str, _Open] = {}
        self.workers: dict[str, _Worker] = {}
        self.tries: Counter[str] = Counter()
        self.since = dict.fromkeys(self.ready, time.monotonic())
        """Since when a zone has no worker."""
        self.told_unreached: set[str] = set()
        self.waits_for_hours = 0
        self.refused: Counter[str] = Counter()
        self.line: Line | None = None
        self.up = self.began = time.monotonic()
        self.called = float("-inf")
        self.described = 0.0
        self.quiet = False
        """Whether everything that was in the queue has been read."""
        try:
            self._connect()
        except Lost as error:
            raise ExecutorError(
                f"the broker {executor.broker.name} cannot be reached: {error}",
                next_step="check --broker, its password and its certificate; nothing was looked at",
            ) from None

    # ------------------------------------------------------------------------------------------ the loop

    def observations(self, stopping: Callable[[], bool]) -> Iterator[Observation]:
        """Observations until everything is answered, or nobody is left to ask."""
        stopped = False
        held_since = 0.0
        while self.wanted:
            if not stopped and stopping():
                stopped, held_since = True, time.monotonic()
                self.called = float("-inf")
            try:
                if self.line is None:
                    self._connect()
                self._call(hold=stopped)
                yield from self._read()
                self._watch()
                if not stopped:
                    self._send()
            except Lost:
                self._disconnect()
                time.sleep(0.5)
            self._describe()
            if stopped and self._at_rest(time.monotonic() - held_since):
                return
            if not stopped and self._nobody_left():
                return
            if self.quiet:
                time.sleep(_POLL)

    def _at_rest(self, seconds: float) -> bool:
        """Whether nobody looks any more: no worker that is there holds an order."""
        if self.line is None:
            return seconds > LOST_SECONDS
        busy = any(worker.held for worker in self.workers.values())
        return seconds > 3 * CALL_EVERY and self.quiet and not busy

    def _nobody_left(self) -> bool:
        """Whether nothing is out, and what waits is in zones that have been without a worker for long."""
        if self.line is None:
            return time.monotonic() - self.up > LOST_SECONDS + self.own.patience
        waiting = [zone for zone, groups in self.ready.items() if groups]
        return self.quiet and not self.open and all(self._deserted(zone) for zone in waiting)

    def _deserted(self, zone: str) -> bool:
        if any(worker.zone == zone for worker in self.workers.values()):
            return False
        return time.monotonic() - max(self.since[zone], self.up) > self.own.patience

    # ------------------------------------------------------------------------------------------ the broker

    def _connect(self) -> None:
        line = Line(self.own.broker)
        try:
            line.open_queue(self.queue)
        except Lost:
            line.close()
            raise
        if time.monotonic() - self.began > 1:
            self.own.tell(f"broker {self.own.broker.name}: found again")
        self.line, self.up, self.called = line, time.monotonic(), float("-inf")
        for worker in self.workers.values():
            worker.heard = self.up

    def _disconnect(self) -> None:
        if self.line is not None:
            self.line.close()
            self.line, self.up = None, time.monotonic()
            self.own.tell(f"broker {self.own.broker.name}: lost; trying again, nothing that arrived is lost")
        self.quiet = False

    def _call(self, *, hold: bool) -> None:
        now = time.monotonic()
        if self.line and now - self.called >= CALL_EVERY:
            call = Call(
                plan=self.own.plan, session=self.session, signed=timestamp(datetime.now(UTC)), hold=hold
            )
            self.line.call(closed(call, self.own.signer))
            self.called = now

    def _read(self) -> Iterator[Observation]:
        """What arrived, some of it."""
        assert self.line  # noqa: S101
        for _ in range(200):
            raw = self.line.take(self.queue)
            self.quiet = raw is None
            if raw is None:
                return
            try:
                told, key = opened(raw, Told, self.own.keys)
                yield from self._hear(told, key)
            except WireError as error:
                self._refuse(str(error))

    def _refuse(self, why: str) -> None:
        """Say once, and count, why something that came is not believed."""
        self.refused[why] += 1
        if self.refused[why] == 1 and len(self.refused) < 50:
            self.own.tell(f"an answer was thrown away: {why}")

    # ------------------------------------------------------------------------------------------ what is heard

    def _hear(self, told: Told, key: PublicKey | None) -> Iterator[Observation]:
        if told.plan != self.own.plan:
            raise WireError("it is for another run")
        if key and told.zone not in key.units:
            raise WireError(
                f"{key.file.name} speaks for {', '.join(key.units)}, not for {safe_text(told.zone, 60)!r}"
            )
        name = safe_text(told.worker, 120)
        known = self.workers.get(name)
        if known and (known.zone != told.zone or known.key != (key.id if key else "")):
            raise WireError(f"there is another worker of the name {name}")
        if not told.order:
            self._beat(name, told, key.id if key else "")
            return
        order = self.open.get(told.order)
        if order:
            if order.zone != told.zone or order.worker not in {"", name}:
                raise WireError(f"{name} answers for a job that it was not asked")
            order.worker = name
        if told.observation is not None:
            yield from self._answered(told, order)
        if told.ended and order:
            self._over(told, order)

    def _beat(self, name: str, told: Told, key: str) -> None:
        new = name not in self.workers
        worker = self.workers.setdefault(name, _Worker(told.zone, 0.0, key=key))
        worker.heard, worker.slots, worker.held = time.monotonic(), min(max(told.slots, 0), 256), told.held
        worker.sources = tuple(safe_text(one, 60) for one in told.sources[:16])
        self.own.machines[name] = (told.zone, worker.sources)
        if new:
            self.own.tell(f"worker {name} of zone {safe_text(told.zone, 60)}: there")
            self.told_unreached.discard(told.zone)
        for identifier in told.held:
            if (order := self.open.get(identifier)) and not order.worker and order.zone == told.zone:
                order.worker = name
        for identifier, order in list(self.open.items()):
            # Its end was told before this sign of life, or was lost with the broker.
            if order.worker == name and identifier not in told.held:
                self._reopen(identifier)

    def _answered(self, told: Told, order: _Open | None) -> Iterator[Observation]:
        seen = told.observation
        assert seen is not None  # noqa: S101
        job = self.wanted.get(seen.job)
        if job is None:
            return  # answered before
        if job.zone != told.zone:
            raise WireError(f"{safe_text(told.worker, 120)} answers for the zone {job.zone!r}")
        if (order is None or seen.job not in order.jobs) and any(
            seen.job in other.jobs for other in self.open.values()
        ):
            raise WireError(f"{safe_text(told.worker, 120)} answers for a job that another has")
        fault = fault_of_answer(job, seen, self.own.probes[job.probe], self.own.made, datetime.now(UTC))
        if fault:
            raise WireError(f"{safe_text(told.worker, 120)}: {job.probe} at {job.endpoint.address}: {fault}")
        del self.wanted[seen.job]
        if order:
            order.jobs.pop(seen.job, None)
        yield seen

    def _over(self, told: Told, order: _Open) -> None:
        if told.ended == "hours":
            for job in order.jobs.values():
                self.waits_for_hours += 1
                self.wanted.pop(job.key, None)
            order.jobs.clear()
        if told.ended == "refused":
            why = safe_text(told.why, 300)
            self._refuse(f"{safe_text(told.worker, 120)} refused an order: {why}")
        if told.ended == "stopped":
            self.tries.subtract(order.jobs.keys())
        self._reopen(told.order)

    def _reopen(self, identifier: str) -> None:
        """An order is over: what it did not answer waits again, with the rest of its groups."""
        order = self.open.pop(identifier)
        for group in order.groups:
            for job in group.jobs.copy():
                if job.key not in self.wanted or self.tries[job.key] >= MAX_TRIES:
                    group.jobs.remove(job)
                    if self.wanted.pop(job.key, None):
                        self._refuse(
                            f"{job.probe} at {job.endpoint.address}: no answer in {MAX_TRIES} orders"
                        )
            if group.jobs:
                self.ready[group.zone].append(group)

    # ------------------------------------------------------------------------------------------ who is there

    def _watch(self) -> None:
        """Take workers that fell silent for lost, and orders that nobody took up in time for void."""
        now = time.monotonic()
        if not self.quiet or now - self.up < LOST_SECONDS:
            return
        for name, worker in list(self.workers.items()):
            if now - worker.heard > LOST_SECONDS:
                del self.workers[name]
                self.own.tell(f"worker {name} of zone {worker.zone}: lost; its looks go to others")
                if not any(one.zone == worker.zone for one in self.workers.values()):
                    self.since[worker.zone] = now
                for identifier, order in list(self.open.items()):
                    if order.worker == name:
                        self._reopen(identifier)
        for identifier, order in list(self.open.items()):
            if not order.worker and now - order.sent > ORDER_SECONDS + CALL_SECONDS:
                self._reopen(identifier)
        for zone, groups in self.ready.items():
            if groups and zone not in self.told_unreached and self._deserted(zone):
                self.told_unreached.add(zone)
                self.own.tell(f"zone {zone}: no worker; {_count(groups)} looks wait")

    def _send(self) -> None:
        """Give every free worker something to do."""
        now = time.monotonic()
        settle = CALL_SECONDS + 1.0 if self.own.again else FIRST
        foreign = any(one not in self.open for worker in self.workers.values() for one in worker.held)
        if self.line is None or now - self.began < settle or foreign:
            return
        for zone, groups in self.ready.items():
            present = [worker for worker in self.workers.values() if worker.zone == zone]
            out = sum(order.zone == zone for order in self.open.values())
            slots = sum(worker.slots + len(worker.held) for worker in present)
            free = sum(worker.slots for worker in present) and slots - out
            size = max(LEAST_JOBS, min(USUAL_JOBS, _count(groups) // max(1, slots)))
            while groups and free > 0:
                self._order(zone, groups, size)
                free -= 1

    def _order(self, zone: str, groups: deque[_Group], size: int) -> None:
        """Send one order of about `size` jobs, of whole groups where they fit."""
        assert self.line  # noqa: S101
        taken: list[_Group] = []
        jobs: dict[str, Job] = {}
        while groups and len(jobs) < size:
            if jobs and len(jobs) + len(groups[0].jobs) > MAX_JOBS:
                break
            group = groups.popleft()
            taken.append(group)
            room = MAX_JOBS - len(jobs)
            jobs.update((job.key, job) for job in list(group.jobs)[:room])
        now = datetime.now(UTC)
        order = Order(
            id=os.urandom(16).hex(),
            plan=self.own.plan,
            session=self.session,
            zone=zone,
            signed=timestamp(now),
            expires=timestamp(now + timedelta(seconds=ORDER_SECONDS)),
            scope=self.scope,
            jobs=tuple(jobs.values()),
        )
        self.tries.update(jobs.keys())
        self.open[order.id] = _Open(zone, jobs, taken, time.monotonic())
        self.line.order(zone, closed(order, self.own.signer))

    # ------------------------------------------------------------------------------------------ the end

    def _describe(self) -> None:
        """Who is there, and what is left."""
        if time.monotonic() - self.described < CALL_EVERY:
            return
        self.described = time.monotonic()
        left = Counter(job.zone for job in self.wanted.values())
        parts = []
        for zone in sorted(left):
            there = sum(worker.zone == zone for worker in self.workers.values())
            parts.append(f"{zone}: {there or 'no'} worker{'s' * (there > 1)}, {left[zone]} left")
        self.own.status = "; ".join(parts)

    def end(self) -> None:
        """Say goodbye; count what was left in zones that nobody looks from."""
        self.own.unreached = Counter(job.zone for job in self.wanted.values())
        if self.line is None:
            return
        try:
            self.called = float("-inf")
            self._call(hold=True)
            if not self.wanted:
                self._hear_the_last()
                self.line.drop(self.queue)
        except Lost:
            pass
        self.line.close()

    def _hear_the_last(self) -> None:
        """Read until every worker has said that it holds nothing, so that nothing comes afterwards."""
        said = self.called
        while time.monotonic() - said < 2 * CALL_EVERY:
            list(self._read())
            if all(one.heard > said and not one.held for one in self.workers.values()):
                return
            time.sleep(_POLL)


def _count(groups: Sequence[_Group] | deque[_Group]) -> int:
    return sum(len(group.jobs) for group in groups)


def _groups(jobs: Sequence[Job], scope: Scope) -> list[_Group]:
    """The jobs by zone and by what shares a budget: a network, an address, or else nothing."""
    groups: dict[tuple[str, str], _Group] = {}
    for job in jobs:
        address = job.endpoint.address
        permission = permission_for(scope, address) if address else None
        place = address or job.key
        if permission and permission.limits != UNLIMITED:
            place = network_of(address)
        groups.setdefault((job.zone, place), _Group(job.zone)).jobs.append(job)
    return list(groups.values())
