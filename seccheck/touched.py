"""What a run touches: the notice beforehand, when and from where it was at work, and the account afterwards.

The account (`touched.json`) is for the target's security operations centre, which sees connections and
wants to know whose they are: every address, when first and last, by which probe, how many connections.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import groupby

import msgspec

from seccheck.errors import UNREADABLE
from seccheck.journal import Glance
from seccheck.lines import damaged, listed
from seccheck.model import Record, timestamp
from seccheck.permission import Scope, permission_for
from seccheck.plan import connections_by_address
from seccheck.runfolder import SESSIONS, RunFolder
from seccheck.scope import USER_AGENT, source_address

TOUCHED = "touched.json"
_encode = msgspec.json.Encoder(order="sorted").encode
_SAMPLE = 256
"""Addresses that are asked for the way to them; a machine has few ways out."""


class Worker(Record):
    """A worker in a zone that took part."""

    name: str
    zone: str
    sources: tuple[str, ...]


class Session(Record):
    """One time that a run was at work: a scan, or its resumption."""

    started: str
    ended: str = ""
    """Empty when it was killed, or is still at work."""
    machine: str
    sources: tuple[str, ...]
    """This machine's own addresses, as targets see them unless they are translated on the way."""
    workers: tuple[Worker, ...] = ()
    """The workers in zones that looked."""


class Looked(Record):
    """What one probe did at one address."""

    probe: str
    looks: int = 0
    connections: int = 0


class Address(Record):
    """What one address was asked."""

    address: str
    first: str
    last: str
    connections: int
    probes: tuple[Looked, ...]


@contextmanager
def session(folder: RunFolder) -> Iterator[None]:
    """Note in the run folder that it is being worked on from here, and until when."""
    before = sessions(folder)
    own = Session(
        started=timestamp(datetime.now(UTC)),
        machine=socket.gethostname(),
        sources=_sources({job.endpoint.address for job in folder.plan.jobs} - {""}),
    )
    folder.write_json(SESSIONS, [*before, own])
    try:
        yield
    finally:
        ended = msgspec.structs.replace(own, ended=timestamp(datetime.now(UTC)))  # type: ignore[type-var]
        with suppress(OSError):  # a full disk: why it ended is already being told
            folder.write_json(SESSIONS, [*before, ended])


def note_workers(folder: RunFolder, machines: Mapping[str, tuple[str, tuple[str, ...]]]) -> None:
    """Add to the last session the workers that took part in it: name, zone, own addresses."""
    known = sessions(folder)
    if not known or not machines:
        return
    workers = tuple(Worker(name=name, zone=one[0], sources=one[1]) for name, one in sorted(machines.items()))
    last = msgspec.structs.replace(known[-1], workers=workers)  # type: ignore[type-var]
    folder.write_json(SESSIONS, [*known[:-1], last])


def sessions(folder: RunFolder) -> tuple[Session, ...]:
    """When the run was at work, from where."""
    path = folder.path / SESSIONS
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Session, ...]) if path.exists() else ()
    except UNREADABLE as error:
        raise damaged(path, str(error)) from None


def _sources(addresses: Iterable[str]) -> tuple[str, ...]:
    ways = {source_address(address) for address in sorted(addresses)[:_SAMPLE]}
    return tuple(sorted(ways - {""}))


def write_touched(folder: RunFolder) -> None:
    """Write the account of what was looked at so far, an address a line, one held at a time."""
    folder.write_pieces(TOUCHED, _account(folder))


def _account(folder: RunFolder) -> Iterator[bytes]:
    connections = 0

    def lines() -> Iterator[bytes]:
        nonlocal connections
        for address in _addresses(folder):
            connections += address.connections
            yield _encode(address)

    yield b'{"addresses":'
    yield from listed(lines())
    rest = {
        "connections": connections,
        "run": folder.info.id,
        "schema": "seccheck.touched/1",
        "sessions": sessions(folder),
        "user_agent": USER_AGENT,
        "zone": folder.info.zone,
    }
    yield b"," + _encode(rest)[1:] + b"\n"


def _addresses(folder: RunFolder) -> Iterator[Address]:
    """What each address was asked, in order of address, as the jobs of a plan are."""
    with folder.journal() as journal:
        for address, jobs in groupby(folder.plan.jobs, lambda job: job.endpoint.address):
            seen = [one for one in (journal.glance(job.key) for job in jobs) if one]
            if address and seen:
                yield _asked(address, seen)


def _asked(address: str, seen: Sequence[Glance]) -> Address:
    looks = Counter(one.probe for one in seen)
    connections: Counter[str] = Counter()
    for one in seen:
        connections[one.probe] += one.connections
    return Address(
        address=address,
        first=min(one.started for one in seen),
        last=max(one.finished for one in seen),
        connections=connections.total(),
        probes=tuple(
            Looked(probe=probe, looks=looks[probe], connections=connections[probe]) for probe in sorted(looks)
        ),
    )


_NOTICE = {
    "vi": {
        "who": "{agent}, lượt rà soát {run} lúc {started}, từ máy {machine} (địa chỉ {sources}, vùng {zone})",
        "approved": "theo {document}, người phê duyệt {by}",
        "address": "{address}: khoảng {count} kết nối, {terms}",
        "pace": "tối đa {at_once} kết nối cùng lúc",
        "rate": ", {rate} kết nối mỗi giây",
        "outside": "ngoài phạm vi cho phép, sẽ không kết nối",
        "hours": ", từ {since} đến {until} {clock}",
        "stop": "Dừng ngay: liên hệ người quét; lệnh dừng là tạo tệp {stop}",
    },
    "en": {
        "who": "{agent}, run {run} begun {started}, from {machine} (address {sources}, zone {zone})",
        "approved": "by {document}, approved by {by}",
        "address": "{address}: about {count} connections, {terms}",
        "pace": "at most {at_once} at once",
        "rate": ", {rate} a second",
        "outside": "outside the registered networks, will not be touched",
        "hours": ", from {since} to {until} {clock}",
        "stop": "To have it stopped, ask whoever scans; it stops when the file {stop} appears",
    },
}


def notice(folder: RunFolder, language: str) -> str:
    """What the target's security operations centre should know beforehand: a line for each address."""
    say, info = _NOTICE[language], folder.info
    counts = connections_by_address(folder.plan.jobs)
    lines = [
        say["who"].format(
            agent=USER_AGENT,
            run=info.id,
            started=info.started,
            machine=socket.gethostname(),
            sources=", ".join(_sources(counts)) or "?",
            zone=info.zone,
        )
    ]
    general = folder.registry_head.authorisation
    approvals = {general, *(system.authorisation for system in folder.systems)} - {None}
    lines += sorted(
        say["approved"].format(document=one.document, by=one.approved_by) for one in approvals if one
    )
    for address, own in sorted(counts.items()):
        pace = terms(folder.scope, address, language)
        lines.append(say["address"].format(address=address, count=sum(own.values()), terms=pace))
    lines.append(say["stop"].format(stop=folder.path / "STOP"))
    return "\n".join(lines) + "\n"


def terms(scope: Scope, address: str, language: str = "en") -> str:
    """How gently, and when, `address` may be looked at."""
    say = _NOTICE[language]
    permission = permission_for(scope, address)
    if permission is None:
        return say["outside"]
    limits, window = permission.limits, permission.window
    pace = say["pace"].format(at_once=limits.connections_at_once)
    if limits.connections_per_second:
        pace += say["rate"].format(rate=limits.connections_per_second)
    if not window:
        return pace
    clock = f"{window.hours} {window.zone}" if window.hours else ""
    return pace + say["hours"].format(since=window.since, until=window.until, clock=clock).rstrip()
