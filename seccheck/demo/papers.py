"""What is written down about the fleet: the registry, the root certificate, documents, waivers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from seccheck.demo.certificates import Authority
from seccheck.demo.defects import DEFECTS
from seccheck.demo.layout import Layout, Place
from seccheck.demo.machine import Machine
from seccheck.model import Text

_DOCUMENTED = ("PAT-01", "PAT-02", "PAT-03")
_NAME = Text(
    vi="Rà soát an toàn thông tin Đề án 06: DỮ LIỆU TRÌNH DIỄN, không phải kết quả thật",
    en="Project 06 security review: DEMONSTRATION DATA, not real findings",
)
_ISSUER = "Đơn vị vận hành (trình diễn) / the operator (demonstration)"
_PATCHES = """DỮ LIỆU TRÌNH DIỄN / DEMONSTRATION DATA
Biên bản rà soát bản vá: {vi}
Patch review record: {en}
Ngày / date: {day}

Toàn bộ gói phần mềm trên máy chủ là bản vá mới nhất của bản phân phối còn hỗ trợ; không gói nào thuộc
phạm vi lỗ hổng đã biết đang bị khai thác. Danh sách gói (dpkg-query -W) lưu kèm tại đơn vị.
Every package on the servers is at the newest patch level of a supported distribution release; none is
within reach of a known exploited vulnerability. The package list (dpkg-query -W) is kept by the operator.
"""


def write(folder: Path, layout: Layout, authority: Authority) -> Path:
    """Write everything into `folder`; gives the path of the registry."""
    today = datetime.now(UTC).date()
    (folder / "ca.pem").write_bytes(authority.root_pem())
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
    yield f"networks: [{layout.network}]"
    address, port = layout.name_server
    yield f"resolvers: [{{address: {address}, port: {port}}}]"
    yield "trust: [ca.pem]"
    yield "systems:"
    for place in layout.places:
        yield from _system(folder, layout, place, today)


def _system(folder: Path, layout: Layout, place: Place, today: date) -> Iterator[str]:
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
    if system.documented:
        file = f"evidence/{system.id}-patches.txt"
        digest = _document(folder / file, system.name, today)
        issued = (today - timedelta(days=7)).isoformat()
        yield "  evidence:"
        for criterion in _DOCUMENTED:
            said = f"issued: {issued}, issuer: {json.dumps(_ISSUER, ensure_ascii=False)}, states: met"
            yield f"    {criterion}: {{file: {file}, sha256: {digest}, {said}}}"


def _document(path: Path, name: Text, today: date) -> str:
    """Write a patch review record; gives its SHA-256."""
    content = _PATCHES.format(vi=name.vi, en=name.en, day=today.isoformat()).encode()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


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
