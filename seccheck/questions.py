"""Which criteria are put to which places of a system, and what must be looked at to answer them.

Pure: it reads the registry, the criteria and the addresses that names resolved to. The same questions come
out when planning and when judging. What the registry decides by itself is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

import msgspec

from seccheck.criteria import CriteriaSet, Criterion, make_params
from seccheck.judgement import Evidence, Failure
from seccheck.model import Reason, Verdict, as_dict
from seccheck.probes import Endpoint, Params, Probe
from seccheck.registry import address_facts, domain_facts, system_facts, target_facts
from seccheck.resolution import Resolution
from seccheck.system import System, Target
from seccheck.units import Unit

T = TypeVar("T")
Want = tuple[str, Endpoint, Params]
Declared = Mapping[str, Mapping[str, Any]]
"""What the registry says about a place, by root (`system`, `target`, `address`, `domain`)."""
_MOST_KNOWN = 100_000


class Look(msgspec.Struct, frozen=True):
    """One place that a question is put to: the facts the registry declares there, and the looks wanted."""

    label: str
    """The address or domain, where a finding covers several; empty otherwise."""
    facts: Declared
    wants: Mapping[str, Want | Failure]


class Question(msgspec.Struct, frozen=True):
    """One criterion put to one system, or to one target of it."""

    criterion: Criterion
    system: System
    target: Target | None
    looks: tuple[Look, ...] = ()
    document: Want | None = None
    """The document that may decide it where looking does not."""


class _Place(msgspec.Struct, frozen=True):
    """Somewhere to look: what the registry says about it, and the endpoint for each subject of probes."""

    label: str
    facts: Declared
    endpoints: Mapping[str, Endpoint] = {}
    failed: Failure | None = None
    """Why there is nowhere to look."""


_Asked = tuple[tuple[str, str, Params | Failure], ...]
"""What a criterion asks of each probe and its subject, or why it cannot be asked."""


def _unanswerable(criterion: Criterion, failure: Failure) -> _Asked:
    return tuple((name, "", failure) for name in criterion.probes)


class _Group(msgspec.Struct, frozen=True):
    """Criteria that depend on the same facts of the registry."""

    number: int
    criteria: tuple[Criterion, ...]

    @property
    def subject(self) -> str:
        return self.criteria[0].subject

    @property
    def applies_reads(self) -> tuple[tuple[str, ...], ...]:
        return self.criteria[0].applies_reads

    @property
    def place_reads(self) -> tuple[tuple[str, ...], ...]:
        return self.criteria[0].place_reads


@dataclass
class Planner:
    """Puts criteria to systems."""

    units: Sequence[Unit]
    criteria: CriteriaSet
    probes: Mapping[str, Probe[Any, Any]]
    names: Mapping[str, Resolution]
    zone: str
    """Where systems are looked at from that name no zone."""
    zones: tuple[str, ...]
    """Every zone that is looked from."""
    made: datetime
    _known: dict[Hashable, Any] = field(default_factory=dict)

    @cached_property
    def units_by_id(self) -> dict[str, Unit]:
        """The units, by id."""
        return {unit.id: unit for unit in self.units}

    @cached_property
    def _groups(self) -> list[_Group]:
        """The criteria by what they read of the registry: those of a group are put alike."""
        groups: dict[Hashable, list[Criterion]] = {}
        for one in self.criteria.criteria:
            groups.setdefault((one.subject, one.applies_reads, one.place_reads), []).append(one)
        return [_Group(number, tuple(criteria)) for number, criteria in enumerate(groups.values())]

    def questions(self, system: System) -> Iterator[Question]:
        """Every question to `system`; a criterion that does not apply is a question without looks."""
        places = _Places(system, self)
        for group in self._groups:
            asked = self._to_targets if group.subject == "target" else self._to_system
            put = list(asked(group, places))
            yield from put
            if len(put) < len(group.criteria) or len(places.system.targets) > 1:
                met = {question.criterion.id for question in put}
                for criterion in group.criteria:
                    if criterion.id not in met:
                        yield Question(criterion, system, None)

    def _to_targets(self, group: _Group, places: _Places) -> Iterator[Question]:
        system = places.system
        for target, facts, found in places.targets:
            applying = self._applying(group, facts, system.level)
            if not applying:
                continue
            at = [(place, self._asked_at(group, system, place)) for place in found]
            for criterion in applying:
                looks = tuple([self._look(criterion, place, asked) for place, asked in at])
                yield Question(criterion, system, target, looks, self._document(criterion, system))

    def _to_system(self, group: _Group, places: _Places) -> Iterator[Question]:
        system = places.system
        looks: dict[str, list[Look]] = {}
        for place in places.of_system(group.subject):
            asked = self._asked_at(group, system, place)
            for criterion in self._applying(group, place.facts, system.level):
                looks.setdefault(criterion.id, []).append(self._look(criterion, place, asked))
        for criterion in group.criteria:
            if own := looks.get(criterion.id):
                yield Question(criterion, system, None, tuple(own), self._document(criterion, system))

    def _document(self, criterion: Criterion, system: System) -> Want | None:
        entry = system.evidence.get(criterion.id)
        if entry is None or criterion.months(system.level) is None or "evidence" not in self.probes:
            return None
        return "evidence", Endpoint(host=entry.file), self.probes["evidence"].params()

    def _remembered(self, key: tuple[Hashable, ...], make: Callable[[], T]) -> T:
        """What `make` gives, made once for each `key`: systems that are declared alike are asked alike."""
        known: T | None = self._known.get(key)
        if known is None:
            if len(self._known) > _MOST_KNOWN:
                self._known.clear()
            known = self._known[key] = make()
        return known

    def _applying(self, group: _Group, facts: Declared, level: int) -> tuple[Criterion, ...]:
        """Those of a group that apply to a place."""

        def applies(criterion: Criterion) -> bool:
            if level < criterion.text.from_level:
                return False
            if criterion.applies is None:
                return True
            evidence = Evidence(facts, self.made, criterion.at_level(level))
            return criterion.applies(evidence).verdict is Verdict.PASS

        key = (group.number, level, *_values(facts, group.applies_reads))
        return self._remembered(key, lambda: tuple(filter(applies, group.criteria)))

    def _asked_at(self, group: _Group, system: System, place: _Place) -> Mapping[str, _Asked]:
        """What the criteria of a group ask at a place, by id."""

        def asked(criterion: Criterion) -> _Asked:
            return self._asked(criterion, system, place.facts)

        key = (
            group.number,
            system.level,
            system.zone,
            place.failed,
            *_values(place.facts, group.place_reads),
        )
        return self._remembered(
            key,
            lambda: {
                one.id: _unanswerable(one, place.failed) if place.failed else asked(one)
                for one in group.criteria
                if system.level >= one.text.from_level
            },
        )

    def _look(self, criterion: Criterion, place: _Place, asked: Mapping[str, _Asked]) -> Look:
        wants: dict[str, Want | Failure] = {
            name: one if isinstance(one, Failure) else (name, place.endpoints[subject], one)
            for name, subject, one in asked[criterion.id]
        }
        return Look(place.label, place.facts, wants)

    def _asked(self, criterion: Criterion, system: System, facts: Declared) -> _Asked:
        """What `criterion` asks of its probes at one place; nothing where the registry decides it already."""
        if elsewhere := self._out_of_sight(criterion, system):
            return _unanswerable(criterion, elsewhere)
        parameters = criterion.at_level(system.level)
        decided = criterion.judge(Evidence(facts, self.made, parameters))
        if decided.verdict is not Verdict.INCONCLUSIVE:
            return ()
        return tuple(
            (name, self.probes[name].subject, make_params(self.probes[name], written, parameters, facts))
            for name, written in criterion.text.collect.items()
            if name != "evidence"
        )

    def _out_of_sight(self, criterion: Criterion, system: System) -> Failure | None:
        own = system.zone or self.zone
        if own in self.zones and criterion.vantage in {"", own}:
            return None
        wanted, here = (criterion.vantage, own) if own in self.zones else (own, self.zone)
        return Failure(Reason.NOT_PROBED, f"to be looked at from the zone {wanted!r}; this is {here!r}")


def _values(facts: Declared, paths: Iterable[Sequence[str]]) -> list[Any]:
    """The declared facts at `paths`."""
    return [facts[root].get(key) if root in facts else None for root, key, *_ in paths]


class _Places:
    """The places of one system, made once for all criteria."""

    def __init__(self, system: System, planner: Planner) -> None:
        self.system = system
        self._names = planner.names
        self._zone = system.zone if system.zone != planner.zone else ""
        self._own: Declared = {"system": as_dict(system_facts(system, planner.units_by_id[system.unit]))}

    @cached_property
    def targets(self) -> list[tuple[Target, Declared, list[_Place]]]:
        """Each target, what the registry says about it, and where it is."""
        return [
            (target, facts, list(self._of_target(target, facts)))
            for target in self.system.targets
            for facts in [{**self._own, "target": as_dict(target_facts(self.system, target))}]
        ]

    def _of_target(self, target: Target, facts: Declared) -> Iterator[_Place]:
        found, failed = self._addresses(target)
        for address in found:
            label = address if len(found) > 1 or failed else ""
            yield _Place(label, {**facts, "address": self._on(address)}, self._endpoints(target, address))
        if failed:
            yield _Place(target.host, facts, failed=failed)

    def of_system(self, subject: str) -> list[_Place]:
        """Where a criterion about the system is put: its addresses, its domains, or the system itself."""
        match subject:
            case "address":
                return self._at_addresses
            case "domain":
                return self._at_domains
        return self._itself

    @cached_property
    def _itself(self) -> list[_Place]:
        return [_Place("", self._own)]

    @cached_property
    def _at_addresses(self) -> list[_Place]:
        found = {address for target in self.system.targets for address in self._addresses(target)[0]}
        places = [
            _Place(
                address,
                {**self._own, "address": self._on(address)},
                {"address": Endpoint(address=address, zone=self._zone)},
            )
            for address in sorted(found)
        ]
        return places + [
            _Place(target.host, self._own, failed=failed)
            for target in self.system.targets
            if (failed := self._addresses(target)[1])
        ]

    @cached_property
    def _at_domains(self) -> list[_Place]:
        return [
            _Place(
                domain,
                {**self._own, "domain": as_dict(domain_facts(self.system, domain))},
                {"domain": Endpoint(host=domain, zone=self._zone)},
            )
            for domain in self.system.domains
        ]

    def _endpoints(self, target: Target, address: str) -> dict[str, Endpoint]:
        """The fields of an endpoint that each subject depends on, so that equal looks are one job."""
        port, service, zone = target.port, target.service, self._zone
        return {
            "domain": Endpoint(host=target.host, zone=zone),
            "address": Endpoint(address=address, zone=zone),
            "endpoint": Endpoint(address=address, port=port, service=service, zone=zone),
            "name": Endpoint(host=target.host, address=address, port=port, service=service, zone=zone),
        }

    def _addresses(self, target: Target) -> tuple[tuple[str, ...], Failure | None]:
        """The addresses of a target, and why they may not be all."""
        if target.literal_address:
            return (target.literal_address,), None
        resolution = self._names.get(target.host)
        if resolution is None:
            return (), Failure(Reason.NOT_PROBED, "the name was not resolved")
        if resolution.failed or not resolution.addresses:
            reason = resolution.failed or Reason.RESOLVER
            return resolution.addresses, Failure(reason, resolution.detail or "the name has no address")
        return resolution.addresses, None

    def _on(self, address: str) -> dict[str, Any]:
        targets = [one for one in self.system.targets if address in self._addresses(one)[0]]
        return as_dict(address_facts(self.system, address, targets))
