"""The plan: which questions are put to which system, and the least looking that answers them all.

Planning is pure: it reads the registry, the criteria and the addresses that names resolved to, and sends
nothing. Equal looks are one job whoever asks, criteria that ask the same probe about the same endpoint
share one look with their parameters joined, and what the registry decides by itself is not looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import msgspec

from seccheck.criteria import CriteriaSet, Criterion, make_params
from seccheck.judgement import Evidence, Failure
from seccheck.model import Reason, Record, Verdict, as_dict, digest, timestamp
from seccheck.probes import Endpoint, Params, Probe, covers, merge_params
from seccheck.registry import (
    Registry,
    address_facts,
    domain_facts,
    system_facts,
    target_facts,
)
from seccheck.resolution import Resolution
from seccheck.system import System, Target

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
    except (OSError, msgspec.MsgspecError) as error:
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


Want = tuple[str, Endpoint, Params]


@dataclass(frozen=True)
class Look:
    """One place that a question is put to: the facts the registry declares there, and the looks wanted."""

    label: str
    """The address or domain, where a finding covers several; empty otherwise."""
    facts: Mapping[str, Mapping[str, Any]]
    wants: Mapping[str, Want | Failure]


@dataclass(frozen=True)
class Question:
    """One criterion put to one system, or to one target of it."""

    criterion: Criterion
    system: System
    target: Target | None
    looks: tuple[Look, ...] = ()
    document: Want | None = None
    """The document that may decide it where looking does not."""


@dataclass
class Planner:
    """Puts criteria to systems. The same questions come out when planning and when judging."""

    registry: Registry
    criteria: CriteriaSet
    probes: Mapping[str, Probe[Any, Any]]
    names: Mapping[str, Resolution]
    zone: str
    made: datetime
    _units: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self._units = {unit.id: unit for unit in self.registry.units}

    def questions(self, system: System) -> Iterator[Question]:
        """Every question to `system`, by criterion; one that does not apply is a question without looks."""
        facts = {"system": as_dict(system_facts(system, self._units[system.unit]))}
        for criterion in self.criteria.criteria:
            asked = list(self._put(criterion, system, facts))
            yield from asked or [Question(criterion, system, None)]

    def _put(self, criterion: Criterion, system: System, facts: Mapping[str, Any]) -> Iterator[Question]:
        if system.level < criterion.text.from_level:
            return
        document = self._document(criterion, system)
        if criterion.subject == "target":
            for target in system.targets:
                own = {**facts, "target": as_dict(target_facts(system, target))}
                if self._applies(criterion, own, system.level):
                    looks = tuple(self._target_looks(criterion, system, target, own))
                    yield Question(criterion, system, target, looks, document)
            return
        placed = self._system_looks(criterion, system, facts)
        looks = tuple(look for look in placed if self._applies(criterion, look.facts, system.level))
        if looks:
            yield Question(criterion, system, None, looks, document)

    def _applies(self, criterion: Criterion, facts: Mapping[str, Any], level: int) -> bool:
        if criterion.applies is None:
            return True
        evidence = Evidence(facts, self.made, criterion.at_level(level))
        return criterion.applies(evidence).verdict is Verdict.PASS

    def _document(self, criterion: Criterion, system: System) -> Want | None:
        entry = system.evidence.get(criterion.id)
        if entry is None or criterion.months(system.level) is None or "evidence" not in self.probes:
            return None
        return "evidence", Endpoint(host=entry.file), self.probes["evidence"].params()

    def _target_looks(
        self, criterion: Criterion, system: System, target: Target, facts: Mapping[str, Any]
    ) -> Iterator[Look]:
        found, failed = self._addresses(target)
        for address in found:
            own = {**facts, "address": as_dict(address_facts(system, address, self._on(system, address)))}
            label = address if len(found) > 1 or failed else ""
            yield Look(label, own, self._wants(criterion, system, own, target, address))
        if failed:
            yield Look(target.host, facts, dict.fromkeys(criterion.probes, failed))

    def _system_looks(self, criterion: Criterion, system: System, facts: Mapping[str, Any]) -> Iterator[Look]:
        if criterion.subject == "address":
            found = {address for target in system.targets for address in self._addresses(target)[0]}
            for address in sorted(found):
                own = {**facts, "address": as_dict(address_facts(system, address, self._on(system, address)))}
                yield Look(address, own, self._wants(criterion, system, own, None, address))
            for target in system.targets:
                if failed := self._addresses(target)[1]:
                    yield Look(target.host, facts, dict.fromkeys(criterion.probes, failed))
        elif criterion.subject == "domain":
            for domain in system.domains:
                own = {**facts, "domain": as_dict(domain_facts(system, domain))}
                yield Look(domain, own, self._wants(criterion, system, own, None, "", domain))
        else:
            yield Look("", facts, {})

    def _addresses(self, target: Target) -> tuple[tuple[str, ...], Failure | None]:
        """The addresses of a target, and why they may not be all."""
        if target.literal_address:
            return (target.literal_address,), None
        resolution = self.names.get(target.host)
        if resolution is None:
            return (), Failure(Reason.NOT_PROBED, "the name was not resolved")
        if resolution.failed or not resolution.addresses:
            reason = resolution.failed or Reason.RESOLVER
            return resolution.addresses, Failure(reason, resolution.detail or "the name has no address")
        return resolution.addresses, None

    def _on(self, system: System, address: str) -> list[Target]:
        return [target for target in system.targets if address in self._addresses(target)[0]]

    def _wants(
        self,
        criterion: Criterion,
        system: System,
        facts: Mapping[str, Any],
        target: Target | None,
        address: str,
        domain: str = "",
    ) -> dict[str, Want | Failure]:
        """The looks that `criterion` needs at one place; none where the registry decides it already."""
        if elsewhere := self._out_of_sight(criterion, system):
            return dict.fromkeys(criterion.probes, elsewhere)
        parameters = criterion.at_level(system.level)
        decided = criterion.judge(Evidence(facts, self.made, parameters))
        if decided.verdict is not Verdict.INCONCLUSIVE:
            return {}
        wants: dict[str, Want | Failure] = {}
        for name, written in criterion.text.collect.items():
            if name == "evidence":
                continue
            probe = self.probes[name]
            endpoint = _endpoint(probe, target, address, domain)
            wants[name] = (name, endpoint, make_params(probe, written, parameters, facts))
        return wants

    def _out_of_sight(self, criterion: Criterion, system: System) -> Failure | None:
        needed = [system.zone, criterion.text.requires.vantage if criterion.text.requires else ""]
        elsewhere = next((zone for zone in needed if zone and zone != self.zone), None)
        if elsewhere is None:
            return None
        return Failure(
            Reason.NOT_PROBED, f"to be looked at from the zone {elsewhere!r}; this is {self.zone!r}"
        )


def _endpoint(probe: Probe[Any, Any], target: Target | None, address: str, domain: str) -> Endpoint:
    """The fields of an endpoint that `probe` depends on, so that equal looks are one job."""
    match probe.subject:
        case "domain":
            return Endpoint(host=domain or (target.host if target else ""))
        case "address":
            return Endpoint(address=address)
    if target is None:
        raise ValueError(f"the probe {probe.id} needs a target")
    if probe.subject == "endpoint":
        return Endpoint(address=address, port=target.port, service=target.service)
    return Endpoint(host=target.host, address=address, port=target.port, service=target.service)


@dataclass
class Jobs:
    """The jobs of a plan, found by what was wanted."""

    jobs: Iterable[Job]
    probes: Mapping[str, Probe[Any, Any]]
    _index: dict[tuple[str, Endpoint], list[tuple[Params, str]]] = field(init=False)

    def __post_init__(self) -> None:
        index = defaultdict(list)
        for job in self.jobs:
            probe = self.probes.get(job.probe)
            if probe and probe.version == job.version:
                index[job.probe, job.endpoint].append((msgspec.convert(job.params, probe.params), job.key))
        self._index = dict(index)

    def key(self, want: Want) -> str | None:
        """The job that answers `want`, or None when none does."""
        name, endpoint, params = want
        return next(
            (key for given, key in self._index.get((name, endpoint), ()) if covers(given, params)), None
        )


def make_plan(planner: Planner) -> Plan:
    """The least looking that answers every question of `planner`."""
    wanted: defaultdict[tuple[str, Endpoint], list[Params]] = defaultdict(list)
    for system in planner.registry.systems:
        for question in planner.questions(system):
            wants = [want for look in question.looks for want in look.wants.values()]
            for want in [*wants, question.document]:
                if want is None or isinstance(want, Failure):
                    continue
                name, endpoint, params = want
                if params not in wanted[name, endpoint]:
                    wanted[name, endpoint].append(params)
    zones = {target.host: system.zone for system in planner.registry.systems for target in system.targets}
    jobs = [
        _job(planner.probes[name], endpoint, params, zones.get(endpoint.host, planner.zone))
        for (name, endpoint), asked in wanted.items()
        for params in merge_params(planner.probes[name], asked)
    ]
    return Plan(
        made=timestamp(planner.made),
        zone=planner.zone,
        names=tuple(sorted(planner.names.values(), key=lambda one: one.name)),
        jobs=tuple(sorted(jobs, key=lambda job: (job.endpoint.address, job.probe, job.key))),
    )


def _job(probe: Probe[Any, Any], endpoint: Endpoint, params: Params, zone: str) -> Job:
    written = msgspec.to_builtins(params)
    return Job(
        key=digest({"probe": probe.id, "version": probe.version, "endpoint": endpoint, "params": written}),
        probe=probe.id,
        version=probe.version,
        endpoint=endpoint,
        params=written,
        zone=zone,
        connections=probe.connections(endpoint, params),
        seconds=int(probe.seconds(endpoint, params)),
    )


def connections_by_address(plan: Plan) -> dict[str, dict[str, int]]:
    """How many connections each address may expect, by probe."""
    counts: dict[str, dict[str, int]] = {}
    for job in plan.jobs:
        if job.endpoint.address:
            own = counts.setdefault(job.endpoint.address, {})
            own[job.probe] = own.get(job.probe, 0) + job.connections
    return counts
