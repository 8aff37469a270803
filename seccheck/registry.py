"""The registry: which unit owns which systems, where they are, who allowed looking, and how gently."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr, ValidationError, model_validator

from seccheck.boundary import scope_of as scope_of
from seccheck.declared import AddressFacts as AddressFacts
from seccheck.declared import DomainFacts as DomainFacts
from seccheck.declared import SystemFacts as SystemFacts
from seccheck.declared import TargetFacts as TargetFacts
from seccheck.declared import address_facts as address_facts
from seccheck.declared import domain_facts as domain_facts
from seccheck.declared import system_facts as system_facts
from seccheck.declared import target_facts as target_facts
from seccheck.errors import InputError, Problem
from seccheck.hosts import check_network
from seccheck.lines import lined, without
from seccheck.model import Model, Text, canonical, digest_of
from seccheck.system import Address, Authorisation, LimitSettings, Port, System
from seccheck.system import ClientCertificate as ClientCertificate
from seccheck.system import Evidence as Evidence
from seccheck.system import Target as Target
from seccheck.units import Listed, Unit, load_units, unit_hint
from seccheck.yamlfile import Document, did_you_mean, read_parts, shown, validate

REGISTRY_MAX_BYTES = 512_000_000
MAX_PROBLEMS = 100
"""How many mistakes are told at once."""

Network = Annotated[
    str,
    AfterValidator(check_network),
    Field(json_schema_extra={"expected": "a network such as 203.0.113.0/24"}),
]


class NameServer(Model):
    """A resolver to ask instead of the machine's own."""

    address: Address
    port: Port = 53


class Header(Model):
    """Everything in a registry but its units and systems."""

    name: Text
    language: Literal["vi", "en"] = "vi"
    networks: Listed[Network] = ()
    resolvers: Listed[NameServer] = ()
    trust_anchor: str = ""
    """A file with the DNSSEC trust anchor of a private root."""
    revocation: Literal["staple", "fetch"] = "staple"
    authorisation: Authorisation | None = None
    limits: LimitSettings | None = None
    trust: Listed[str] = ()
    """Files with certificate roots, beside the public ones."""
    demonstration: bool = False
    """Whether the systems are for demonstration; every page of a report then says so."""


class UnitList(Model):
    """The name of a bundled unit list."""

    use: str

    @model_validator(mode="after")
    def _exists(self) -> Self:
        load_units(self.use)
        return self


class _Head(Header):
    """A registry file without its systems."""

    seccheck: Literal["registry/1"]
    units: UnitList | Listed[Unit]


class Registry(Header):
    """Units and their systems, checked and complete."""

    format: Literal["seccheck.registry/1"] = Field(default="seccheck.registry/1", alias="schema")
    units: Listed[Unit]
    unit_list: str = ""
    """The bundled list the units come from; empty when the registry brought its own."""
    systems: Listed[System] = ()
    file: str = "registry.yaml"
    """The file as it was named; SARIF points into it."""
    folder: str = Field(default=".", exclude=True)
    """Where the files are that it names."""
    _lines: dict[str, int] = PrivateAttr(default_factory=dict)

    def line(self, key: str) -> int:
        """The line of a key of the head such as `trust[0]`; 0 once read back from JSON."""
        return self._lines.get(key, 0)

    @property
    def digest(self) -> str:
        """Digest of the registry's JSON form."""
        return digest_of(registry_pieces(self))


def load_registry(
    path: Path | str, *, max_bytes: int = REGISTRY_MAX_BYTES, authorised: bool = True
) -> Registry:
    """The registry in a file. Raises `InputError` with every mistake in it.

    `authorised=False` also accepts one that does not say yet who allowed scanning, to work on.
    """
    reader = RegistryReader(path, max_bytes=max_bytes, authorised=authorised)
    systems = tuple(reader)
    return reader.registry(systems)


def iter_systems(
    path: Path | str, *, max_bytes: int = REGISTRY_MAX_BYTES, authorised: bool = True
) -> Iterator[System]:
    """The systems of a registry file, one at a time, none kept.

    Raises `InputError` after the last one with every mistake: mistaken systems are left out until then.
    """
    yield from RegistryReader(path, max_bytes=max_bytes, authorised=authorised)


class RegistryReader:
    """Reads a registry file system by system: its head first, wherever in the file that stands."""

    def __init__(
        self, path: Path | str, *, max_bytes: int = REGISTRY_MAX_BYTES, authorised: bool = True
    ) -> None:
        self._path = Path(path)
        self._name = self._path.name if self._path.is_absolute() else self._path.as_posix()
        self._max_bytes = max_bytes
        self._authorised = authorised
        self._problems: list[Problem] = []
        self._parts: dict[str, Document] = {}
        self._lines: dict[str, int] = {}
        self._listed = self._checked = False
        self._head: _Head | None = None
        self._units: dict[str, Unit] = {}
        self._networks: list[Any] = []
        self._ids: dict[str, int] = {}

    def __iter__(self) -> Iterator[System]:
        """The systems, each checked. Raises `InputError` after the last one when there were mistakes."""
        if not _systems_come_last(self._path):
            self._read_head()
        for key, part in read_parts(self._path, self._name, "systems", max_bytes=self._max_bytes):
            if key != "systems":
                self._parts[key] = part
                continue
            self._listed = True
            if part.prefix == ("systems",):
                if part.data not in (None, []):
                    self._tell(part.problem((), f"expected a list of systems, found {shown(part.data)}"))
                continue
            if not self._checked:
                self._check_head()
            if (system := self._system(part)) and not self._problems:
                yield system
            if len(self._problems) >= MAX_PROBLEMS:
                break
        if not self._checked:
            self._check_head()
        if not self._listed:
            self._tell(Problem(self._name, 1, "systems", "missing: expected a list of systems"))
        if self._problems:
            raise InputError(self._problems)

    def registry(self, systems: tuple[System, ...]) -> Registry:
        """The registry of this head and `systems`, after they were read."""
        if self._head is None:
            raise RuntimeError("read the systems first")
        head = {name: getattr(self._head, name) for name in Header.model_fields}
        units = self._head.units
        registry = Registry(
            **head,
            units=tuple(self._units.values()),
            unit_list=units.use if isinstance(units, UnitList) else "",
            systems=systems,
            file=self._name,
            folder=str(self._path.parent),
        )
        registry._lines.update(self._lines)  # noqa: SLF001
        return registry

    def _tell(self, *problems: Problem) -> None:
        self._problems += problems

    def _read_head(self) -> None:
        for key, part in read_parts(self._path, self._name, "systems", max_bytes=self._max_bytes):
            if key != "systems":
                self._parts[key] = part

    def _check_head(self) -> None:
        self._checked = True
        document = Document.join(self._name, self._parts)
        self._lines["seccheck"] = document.line(("seccheck",))
        self._lines["trust_anchor"] = document.line(("trust_anchor",))
        try:
            head = validate(document, _Head)
        except InputError as error:
            hints = [_systems_too(problem) for problem in error.problems]
            self._tell(*hints)
            return
        self._head = head
        for index in range(len(head.trust)):
            self._lines[f"trust[{index}]"] = document.line(("trust", index))
        units = load_units(head.units.use) if isinstance(head.units, UnitList) else head.units
        for index, unit in enumerate(units):
            if unit.id in self._units:
                path = ("units", index, "id")
                self._tell(document.problem(path, f"expected a unique id, found {unit.id!r} twice"))
            self._units[unit.id] = unit
        self._networks = [ip_network(network) for network in head.networks]

    def _system(self, part: Document) -> System | None:
        """The system in `part`, or None when something is wrong with it."""
        before = len(self._problems)
        if isinstance(part.data, dict) and "line" in part.data:
            self._tell(part.problem(("line",), "unknown key"))
        try:
            system = validate(part, System)
        except InputError as error:
            self._tell(*error.problems)
            return None
        system = system.model_copy(update={"line": part.line()})
        if first := self._ids.setdefault(system.id, part.line()) - part.line():
            message = (
                f"expected a unique id, found {system.id!r}, which stands in line {part.line() + first} too"
            )
            self._tell(part.problem(("id",), message))
        if self._head is not None:
            self._tell(*self._misfits(system, part, self._head))
        return system if len(self._problems) == before else None

    def _misfits(self, system: System, part: Document, head: _Head) -> Iterator[Problem]:
        """What in `system` does not fit the rest of the registry."""
        if system.unit not in self._units:
            hint = unit_hint(system.unit, tuple(self._units.values()))
            yield part.problem(("unit",), f"expected a unit of the registry, found {system.unit!r}", hint)
        yield from _wrong_ports(system, part)
        yield from self._outside(system, part)
        own = [name for name in ("authorisation", "limits", "fragile") if getattr(system, name)]
        named = [t for t in system.targets if not t.literal_address and not t.loopback]
        if own and named:
            index = system.targets.index(named[0])
            yield part.problem(
                ("targets", index),
                f"expected an address, for {own[0]} of a system holds by address; found only a name",
                "write {host: …, address: …, port: …, service: …}",
            )
        away = next((index for index, target in enumerate(system.targets) if not target.loopback), None)
        if self._authorised and away is not None and not (system.authorisation or head.authorisation):
            yield part.problem(
                ("targets", away),
                "expected an authorisation: this target is not loopback, and nobody has allowed scanning it",
                "write authorisation: {approved_by: …, document: …, valid: {from: …, until: …}}"
                " for the registry or the system",
            )

    def _outside(self, system: System, part: Document) -> Iterator[Problem]:
        """Targets whose declared address is in none of the networks."""
        if not self._networks:
            return
        for index, target in enumerate(system.targets):
            if not target.literal_address:
                continue
            address = ip_address(target.literal_address)
            if not any(address.version == one.version and address in one for one in self._networks):
                yield part.problem(
                    ("targets", index),
                    f"expected an address inside `networks`, found {target.literal_address}",
                    "correct the address, or add its network",
                )


def _systems_too(problem: Problem) -> Problem:
    """`problem` as it reads where `systems` is a key as well."""
    if problem.message != "unknown key" or "." in problem.key:
        return problem
    known = ["systems", *(key for key in _Head.model_fields)]
    hint = did_you_mean(problem.key, known, "the keys here")
    return Problem(problem.file, problem.line, problem.key, problem.message, hint)


def _wrong_ports(system: System, part: Document) -> Iterator[Problem]:
    known = {host for target in system.targets for host in (target.host, target.literal_address) if host}
    for host in system.approved_ports:
        if host not in known:
            yield part.problem(
                ("approved_ports", host),
                f"expected an address or host of a declared target, found {host!r}",
                did_you_mean(host, sorted(known), "declared"),
            )


def _systems_come_last(path: Path) -> bool:
    """Whether `systems` is plainly the last key, so that one pass over the file is enough."""
    seen = False
    try:
        with path.open("rb") as file:
            for line in file:
                if line.startswith(b"systems:"):
                    seen = True
                elif seen and not re.match(rb"[ \t#\r\n-]", line):
                    return False
    except OSError:
        return True  # reading it says what is wrong
    return seen


def registry_json(registry: Registry) -> bytes:
    """The registry as the run folder keeps it: canonical JSON, its units written out, a system per line."""
    return b"".join(registry_pieces(registry))


def registry_pieces(registry: Registry) -> Iterator[bytes]:
    """The same in pieces, so that it need not be held."""
    rest = registry.model_dump(mode="json", by_alias=True, exclude={"systems"})
    systems = (canonical(one.model_dump(mode="json", by_alias=True)) for one in registry.systems)
    return lined(rest, "systems", systems)


def registry_head(path: Path) -> Registry:
    """The registry that `registry_pieces` wrote to a file, without its systems."""
    return registry_from_json(without(path, "systems"))


def registry_from_json(data: bytes, file: str = "registry.json") -> Registry:
    """The registry that `registry_json` wrote. Raises `InputError` when it is none."""
    try:
        return Registry.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError.at(
            file,
            f"expected a registry that seccheck wrote: {place}: {first['msg']}",
            hint="take the file from the run folder again",
        ) from None
