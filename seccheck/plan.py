"""The plan: the least looking that answers every question.

Planning is pure and sends nothing. Equal looks are one job whoever asks, and criteria that ask the same probe
about the same endpoint share one look with their parameters joined. Jobs are sorted on disk, and read one at
a time: a plan may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from seccheck.errors import UNREADABLE, JournalError
from seccheck.judgement import Failure
from seccheck.lines import Lines, listed
from seccheck.model import Record, canonical, digest, timestamp
from seccheck.probes import Endpoint, Params, Probe, merge_params
from seccheck.questions import Planner, Question, Want
from seccheck.resolution import Resolution
from seccheck.sorting import Sorted
from seccheck.system import System

FORMAT: Literal["seccheck.plan/1"] = "seccheck.plan/1"


class Job(Record):
    """One look to be made: a probe, an endpoint, parameters. Its key is the digest of these."""

    key: str
    probe: str
    version: int
    endpoint: Endpoint
    params: Any
    zone: str = "internet"
    connections: int = 1
    """How many connections it is expected to make."""
    besides: int = 0
    """How many it may make besides, by `nmap -sV`, where a service stays unknown."""
    seconds: int = 30
    """Its wall-clock deadline."""


@dataclass(frozen=True)
class Plan:
    """All the looking of one run, with the addresses it was planned for."""

    made: str
    """When it was made: the moment that decides what counts and what is in grace."""
    zone: str
    zones: tuple[str, ...]
    """Where it is looked from: `zone`, and the zones whose workers take part."""
    names: Collection[Resolution]
    jobs: Collection[Job]

    def document(self) -> Iterator[bytes]:
        """The plan as JSON in pieces: its head first, a name and a job a line."""
        head = PlanHead(made=self.made, zone=self.zone, zones=self.zones)
        yield msgspec.json.encode(head)[:-1] + b',"names":'
        yield from listed(map(canonical, self.names))
        yield b',"jobs":'
        yield from listed(map(canonical, self.jobs))
        yield b"}\n"


class PlanHead(Record):
    """The first line of a plan."""

    schema: Literal["seccheck.plan/1"] = FORMAT
    made: str
    zone: str
    zones: tuple[str, ...]


def read_plan(path: Path) -> Plan:
    """The plan in a file, its jobs read as they are needed. Raises `JournalError` when it is damaged."""
    try:
        with path.open("rb") as file:
            head = msgspec.json.decode(file.readline().partition(b',"names":[')[0] + b"}", type=PlanHead)
    except (OSError, *UNREADABLE) as error:
        raise JournalError(
            f"{path}: damaged: {error}", next_step="restore the run folder from a copy"
        ) from None
    return Plan(
        made=head.made,
        zone=head.zone,
        zones=head.zones,
        names=Lines(path, "names", msgspec.json.Decoder(Resolution).decode),
        jobs=Lines(path, "jobs", msgspec.json.Decoder(Job).decode),
    )


def make_plan(planner: Planner, systems: Iterable[System]) -> Plan:
    """The least looking that answers every question of `planner` to `systems`."""
    wanted = Sorted()
    for system in systems:
        wanted.add(
            (_place(name, endpoint), canonical(params))
            for question in planner.questions(system)
            for name, endpoint, params in _wants(question)
        )
    return Plan(
        made=timestamp(planner.made),
        zone=planner.zone,
        zones=planner.zones,
        names=sorted(planner.names.values(), key=lambda one: one.name),
        jobs=_Jobs(planner, wanted),
    )


def _wants(question: Question) -> Iterator[Want]:
    for look in question.looks:
        for want in look.wants.values():
            if not isinstance(want, Failure):
                yield want
    if question.document:
        yield question.document


def _place(probe: str, endpoint: Endpoint) -> bytes:
    """What jobs are ordered by: address, probe, the rest of the endpoint."""
    return b"\0".join((endpoint.address.encode(), probe.encode(), canonical(endpoint)))


class _Jobs(Collection[Job]):
    """The jobs that cover all that is wanted, joined place by place."""

    def __init__(self, planner: Planner, wanted: Sorted) -> None:
        self._planner = planner
        self._wanted = wanted

    def __iter__(self) -> Iterator[Job]:
        for place, asked in self._wanted.groups():
            _, name, endpoint = place.split(b"\0", 2)
            probe = self._planner.probes[name.decode()]
            params = (msgspec.json.decode(one, type=probe.params) for one in asked)
            jobs = [
                job_for(probe, msgspec.json.decode(endpoint, type=Endpoint), one, self._planner.zone)
                for one in merge_params(probe, params)
            ]
            yield from sorted(jobs, key=lambda job: job.key)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, job: object) -> bool:
        return any(one == job for one in self)


def job_for(probe: Probe[Any, Any], endpoint: Endpoint, params: Params, zone: str) -> Job:
    """The job of looking at `endpoint`, from `zone` where the endpoint names none."""
    written = msgspec.to_builtins(params)
    return Job(
        key=digest({"probe": probe.id, "version": probe.version, "endpoint": endpoint, "params": written}),
        probe=probe.id,
        version=probe.version,
        endpoint=endpoint,
        params=written,
        zone=endpoint.zone or zone,
        connections=probe.connections(endpoint, params),
        besides=probe.besides(endpoint, params),
        seconds=int(probe.seconds(endpoint, params)),
    )


BESIDES = "nmap -sV"
"""What may come besides, in `connections_by_address`."""


def connections_by_address(jobs: Iterable[Job]) -> dict[str, dict[str, int]]:
    """How many connections each address may expect, by probe, and apart what `BESIDES` may add."""
    counts: dict[str, dict[str, int]] = {}
    for job in jobs:
        if job.endpoint.address:
            own = counts.setdefault(job.endpoint.address, {})
            own[job.probe] = own.get(job.probe, 0) + job.connections
            if job.besides:
                own[BESIDES] = own.get(BESIDES, 0) + job.besides
    return counts
