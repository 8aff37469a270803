"""What is written down about the fleet: the registry, the root certificate, documents, waivers."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from seccheck.demo.certificates import Authority
from seccheck.demo.defects import DEFECTS
from seccheck.demo.layout import Layout, Place
from seccheck.demo.machine import Machine
from seccheck.demo.systems import DemoSystem, demo_units
from seccheck.demo.zones import ZoneKey
from seccheck.model import Text

_PATCHES = ("PAT-01", "PAT-02", "PAT-03")
"""What can seldom be told from outside, because servers hide their versions as they are advised to."""
_NAME = Text(
    vi="Rà soát an toàn thông tin Đề án 06: DỮ LIỆU TRÌNH DIỄN, không phải kết quả thật",
    en="Project 06 security review: DEMONSTRATION DATA, not real findings",
)
_ISSUER = "đơn vị vận hành / the operator"
_DOSSIER = """DỮ LIỆU TRÌNH DIỄN / DEMONSTRATION DATA
Hồ sơ an toàn thông tin: {vi}
Security dossier: {en}
Ngày / date: {day}

Tập hợp các quyết định, quy chế, biên bản của đơn vị cho những tiêu chí mà máy kiểm tra không thể thấy.
The decisions, rules and records of the body, for the criteria that no machine can see.

{lines}
"""


def write(folder: Path, layout: Layout, authority: Authority, zone_key: ZoneKey) -> Path:
    """Write everything into `folder`; gives the path of the registry."""
    today = datetime.now(UTC).date()
    (folder / "ca.pem").write_bytes(authority.root_pem())
    (folder / "names.ds").write_text(zone_key.anchor())
    registry = folder / "registry.yaml"
    registry.write_text("\n".join(_registry(folder, layout, today)) + "\n", encoding="utf-8")
    waivers = list(_waivers(layout, today))
    if waivers:
        lines = ["seccheck: waivers/1", "waivers:", *waivers]
        (folder / "waivers.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return registry


def _registry(folder: Path, layout: Layout, today: date) -> Iterator[str]:
    yield "# The registry of the demonstration fleet, written at its start. The units are real bodies;"
    yield "# the systems, their names and everything that is found about them are invented."
    if layout.machine.tcp:
        yield "#"
        yield f"# This machine itself has open, on every loopback address: {_listed(layout.machine.tcp)}."
        yield "# No system is to blame for these ports, so they are approved for every one."
    yield "seccheck: registry/1"
    yield "demonstration: true"
    yield f"name: {_text(_NAME)}"
    yield "language: vi"
    yield "units: {use: vn-2024}"
    ipv6 = ['"::1/128"'] if any(place.ipv6 for place in layout.places) else []
    yield f"networks: [{', '.join([layout.network, *ipv6])}]"
    address, port = layout.name_server
    yield f"resolvers: [{{address: {address}, port: {port}}}]"
    yield "trust: [ca.pem]"
    yield "trust_anchor: names.ds"
    yield "systems:"
    issued = today - timedelta(days=7)
    dossiers = _write_dossiers(folder, layout, issued)
    for place in layout.places:
        yield from _system(layout, place)
        said = f"{dossiers[place.system.unit]}, issued: {issued}, issuer: {_ISSUER}"
        yield "  evidence:"
        for criterion in _documented(place.system.level):
            states = "not-met" if criterion in place.system.conduct.not_met else "met"
            yield f"    {criterion}: {{{said}, states: {states}}}"


def _system(layout: Layout, place: Place) -> Iterator[str]:
    system = place.system
    yield f"- id: {system.id}"
    yield f"  unit: {system.unit}"
    yield f"  name: {_text(system.name)}"
    yield f"  level: {system.level}"
    if system.tags:
        yield f"  tags: [{', '.join(system.tags)}]"
    yield "  targets:"
    for kind, port in place.ports.items():
        where = f"host: {system.host}, address: {place.address}, port: {port}"
        yield f"  - {{id: {kind}, {where}, service: {kind}}}"
    if layout.approved(place) != sorted(place.ports.values()):
        yield f"  approved_ports: {{{place.address}: [{_listed(layout.approved(place))}]}}"
    yield f"  domains: [{system.domain}]"


@cache
def _documented(level: int) -> tuple[str, ...]:
    """The criteria that a document of a system of `level` has to speak of."""
    from seccheck.criteria import catalogue_files, read_criteria

    texts = [written.text for _, written in sorted(read_criteria(catalogue_files()).items())]
    return tuple(
        one.id
        for one in texts
        if one.from_level <= level and ("evidence" in one.collect or one.id in _PATCHES)
    )


def _write_dossiers(folder: Path, layout: Layout, issued: date) -> dict[str, str]:
    """Write a dossier for each unit; gives what a registry says of its file, by unit."""
    (folder / "evidence").mkdir(exist_ok=True)
    units: defaultdict[str, list[DemoSystem]] = defaultdict(list)
    for place in layout.places:
        units[place.system.unit].append(place.system)
    said = {}
    for unit, systems in units.items():
        name = demo_units()[unit]
        lines = "\n".join(line for system in systems for line in _stated(system))
        content = _DOSSIER.format(vi=name.vi, en=name.en, day=issued, lines=lines).encode()
        file = f"evidence/{unit}.txt"
        (folder / file).write_bytes(content)
        said[unit] = f"file: {file}, sha256: {hashlib.sha256(content).hexdigest()}"
    return said


def _stated(system: DemoSystem) -> Iterator[str]:
    """What the dossier says of one system."""
    unmet = set(system.conduct.not_met)
    yield f"{system.name.vi} / {system.name.en}:"
    met = ", ".join(one for one in _documented(system.level) if one not in unmet)
    yield f"  đáp ứng / met: {met}"
    if unmet:
        yield f"  chưa đáp ứng / not met: {', '.join(sorted(unmet))}"


def _waivers(layout: Layout, today: date) -> Iterator[str]:
    """A waiver for each criterion that the machine, not a system, is to blame for."""
    for criterion, ports in machine_breaks(layout.machine).items():
        reason = Text(
            vi=f"Máy chạy trình diễn đã mở sẵn {ports} trên mọi địa chỉ loopback.",
            en=f"The machine of the demonstration itself had {ports} open on every loopback address.",
        )
        for place in layout.places:
            if criterion not in place.system.fails():
                yield from _waiver(criterion, place, reason, today)
    reason = Text(
        vi="Máy chạy trình diễn không có IPv6 loopback.",
        en="The machine of the demonstration has no IPv6 loopback address.",
    )
    for place in layout.places:
        asked = "https" in place.ports and DEFECTS["no-ipv6"].breaks(place.system.level)
        if asked and place.system.conduct.ipv6 and not place.ipv6:
            yield from _waiver("DNS-06", place, reason, today)


def _waiver(criterion: str, place: Place, reason: Text, today: date) -> Iterator[str]:
    yield f"- criterion: {criterion}"
    yield f"  system: {place.system.id}"
    yield f"  reason: {json.dumps(f'{reason.vi} / {reason.en}', ensure_ascii=False)}"
    yield "  requested_by: seccheck demo"
    yield "  approved_by: người chạy trình diễn / whoever runs the demonstration"
    yield f"  from: {today - timedelta(days=1)}"
    yield f"  until: {today + timedelta(days=30)}"


def machine_breaks(machine: Machine) -> dict[str, str]:
    """The criteria that the machine's own ports break on every address, and which ports those are."""
    if not machine.tcp and not machine.udp:
        return {}
    from seccheck.criteria import catalogue_files, read_criteria

    broken = {}
    network = [file for file in catalogue_files() if file.stem == "NET"]
    for id_, written in sorted(read_criteria(network).items()):
        leaves = [
            leaf for leaf in _leaves(written.text.expect) if isinstance(leaf.get("disjoint_from"), dict)
        ]
        shown: set[str] = set()
        for leaf in leaves:
            refused = written.text.parameters.get(leaf["disjoint_from"].get("parameter"), ())
            shown |= _shown(machine, leaf["fact"], refused)
        if shown:
            broken[id_] = ", ".join(sorted(shown))
    return broken


def _leaves(expectation: Any) -> Iterator[dict[str, Any]]:
    """Every comparison of a fact in an expectation."""
    if isinstance(expectation, list):
        for part in expectation:
            yield from _leaves(part)
    elif isinstance(expectation, dict):
        if isinstance(expectation.get("fact"), str):
            yield expectation
        for part in expectation.values():
            yield from _leaves(part)


def _shown(machine: Machine, fact: str, refused: Iterable[Any]) -> set[str]:
    """The machine's own ports that make `fact` hold what is refused, or leave that in doubt."""
    from seccheck.probes.ports.identify import expected
    from seccheck.probes.ports.table import UDP_SERVICES

    match fact:
        case "ports.open":
            return {f"{port}/tcp" for port in set(refused) & set(machine.tcp)}
        case "ports.identified":
            return {f"{port}/tcp" for port in machine.tcp if expected(port) in refused}
        case "ports.udp_services":
            return {f"{UDP_SERVICES[one]}/udp" for one in refused if UDP_SERVICES[one] in machine.udp}
        case _:
            return set()


def _text(text: Text) -> str:
    vi, en = (json.dumps(one, ensure_ascii=False) for one in (text.vi, text.en))
    return f"{{vi: {vi}, en: {en}}}"


def _listed(ports: list[int] | tuple[int, ...]) -> str:
    return ", ".join(map(str, ports))
