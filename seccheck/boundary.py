"""From the registry to the scope: which addresses may be touched, when, and how gently."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from seccheck.errors import InputError
from seccheck.hosts import check_network
from seccheck.model import Model, as_dict
from seccheck.permission import UNLIMITED, Limits, Permission, Resolver, Scope, Window, parse_address
from seccheck.system import Authorisation, LimitSettings, System
from seccheck.units import Listed
from seccheck.yamlfile import read_yaml, validate

if TYPE_CHECKING:
    from seccheck.registry import Registry

_Network = Annotated[
    str,
    AfterValidator(check_network),
    Field(json_schema_extra={"expected": "a network such as 203.0.113.0/24"}),
]
LOOPBACK = ("127.0.0.0/8", "::1/128")


def scope_of(registry: Registry, folder: Path | None = None, *, zone: str = "internet") -> Scope:
    """The scope that `registry` grants, seen from `zone`.

    Loopback is unlimited and always open, except for systems that have terms of their own.

    Files are read relative to `folder`, by default that of the registry file. Raises `InputError` for a
    trust file that is missing or holds no certificate, and for an address under two authorisations.
    """
    folder = folder or Path(registry.folder)
    return Scope(
        # Of two permissions for the very same network, the later and more particular one stands.
        permissions=tuple({one.network: one for one in _permissions(registry)}.values()),
        resolvers=tuple(Resolver(address=one.address, port=one.port) for one in registry.resolvers),
        trust_anchor=_anchor(registry, folder),
        trust=tuple(
            _certificates(registry, folder / file, f"trust[{index}]")
            for index, file in enumerate(registry.trust)
        ),
        revocation=registry.revocation,
        zone=zone,
        documents=str(folder),
    )


def _permissions(registry: Registry) -> Iterator[Permission]:
    """Wide ones first: the registered networks, then the addresses that are treated in their own way."""
    usual = (_window(registry.authorisation), _limited(Limits(), registry.limits))
    networks: dict[str, None] = dict.fromkeys(registry.networks)
    if not networks and any(
        target.loopback and not target.literal_address
        for system in registry.systems
        for target in system.targets
    ):
        networks = dict.fromkeys(LOOPBACK)
    for network in networks:
        if ip_network(network).is_loopback:
            yield Permission(network=network, window=None, limits=UNLIMITED)
        elif usual[0]:
            yield Permission(network=network, window=usual[0], limits=usual[1])
    by_address: defaultdict[str, list[System]] = defaultdict(list)
    for system in registry.systems:
        for address in _places(system):
            by_address[address].append(system)
    for address in sorted(by_address, key=lambda text: (":" in text, parse_address(text).packed)):
        systems = by_address[address]
        if registry.networks and not any(map(has_own_terms, systems)):
            continue
        window, limits = _terms(registry, address, systems, usual)
        if window or parse_address(address).is_loopback:
            bits = 128 if ":" in address else 32
            yield Permission(network=f"{address}/{bits}", window=window, limits=limits)


def has_own_terms(system: System) -> bool:
    """Whether `system` is treated in its own way: authorisation, limits, or fragile."""
    return bool(system.authorisation or system.limits or system.fragile)


def _places(system: System) -> Iterator[str]:
    yield from system.addresses()
    if has_own_terms(system) and any(t.loopback and not t.literal_address for t in system.targets):
        yield from ("127.0.0.1", "::1")


def _terms(
    registry: Registry, address: str, systems: list[System], usual: tuple[Window | None, Limits]
) -> tuple[Window | None, Limits]:
    """The terms for an address on which `systems` are: the gentlest limits, and the one window of all."""
    loopback = parse_address(address).is_loopback
    windows = {_window(system.authorisation) or (None if loopback else usual[0]) for system in systems}
    if loopback and len(windows) > 1:
        windows.discard(None)
    if len(windows) > 1:
        names = " and ".join(system.id for system in systems[:3])
        raise InputError.at(
            registry.file,
            f"expected one authorisation for {address}, found different ones in {names}",
            line=systems[-1].line,
            hint="give the systems on one address the same authorisation",
        )
    usual_limits = UNLIMITED if loopback else usual[1]
    limits = [_limited(usual_limits, system.limits, fragile=system.fragile) for system in systems]
    gentlest: dict[str, Any] = {
        name: min((value for one in limits if (value := getattr(one, name)) is not None), default=None)
        for name in as_dict(usual_limits)
    }
    return windows.pop(), Limits(**gentlest)


def _window(authorisation: Authorisation | None) -> Window | None:
    if authorisation is None:
        return None
    valid = authorisation.valid
    hours, _, zone = authorisation.hours.partition(" ")
    if not hours:
        return Window(since=valid.since, until=valid.until)
    return Window(since=valid.since, until=valid.until, hours=hours, zone=zone)


def _limited(usual: Limits, own: LimitSettings | None, *, fragile: bool = False) -> Limits:
    settings = as_dict(usual)
    if own:
        settings.update(own.model_dump(exclude_none=True))
    if fragile:
        settings["connections_at_once"] = 1
    return Limits(**settings)


def _read(registry: Registry, path: Path, key: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "") or "it is not text"
        raise InputError.at(
            registry.file,
            f"cannot read {path.name}: {reason}",
            line=registry.line(key),
            key=key,
            hint="the file is looked for relative to the registry file",
        ) from None


def _anchor(registry: Registry, folder: Path) -> str:
    return _read(registry, folder / registry.trust_anchor, "trust_anchor") if registry.trust_anchor else ""


def _certificates(registry: Registry, path: Path, key: str) -> str:
    from cryptography.x509 import load_pem_x509_certificates

    text = _read(registry, path, key)
    try:
        load_pem_x509_certificates(text.encode())
    except ValueError:
        raise InputError.at(
            registry.file,
            f"expected certificates in PEM form (-----BEGIN CERTIFICATE-----) in {path.name}",
            line=registry.line(key),
            key=key,
            hint="convert DER with: openssl x509 -inform DER -in FILE -out FILE.pem",
        ) from None
    return text


class Networks(Model):
    """What the owner of a worker allows it to touch: these keys of a registry, in a file of their own."""

    seccheck: Literal["networks/1"]
    networks: Annotated[Listed[_Network], Field(min_length=1)]
    authorisation: Authorisation | None = None
    limits: LimitSettings | None = None


def load_networks(path: Path) -> tuple[Permission, ...]:
    """The permissions in a `networks/1` file. Raises `InputError` for a mistake in it.

    As in a registry: loopback needs no authorisation and is unlimited, unless the file says limits.
    """
    document = read_yaml(path)
    written = validate(document, Networks)
    window = _window(written.authorisation)
    permissions = []
    for index, network in enumerate(written.networks):
        loopback = ip_network(network).is_loopback
        if not loopback and window is None:
            raise InputError.at(
                path,
                f"expected an authorisation: {network} is not loopback, and nobody has allowed looking there",
                line=document.line(("networks", index)),
                key=f"networks[{index}]",
                hint="write authorisation: {approved_by: …, document: …, valid: {from: …, until: …}}",
            )
        usual = UNLIMITED if loopback else Limits()
        permissions.append(Permission(network=network, window=window, limits=_limited(usual, written.limits)))
    return tuple(permissions)
