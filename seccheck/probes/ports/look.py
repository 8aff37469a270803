"""The order of looks at one address, and what they come to. Opens no socket: it asks, and is answered.

`look` is a generator: it yields a question (`Knock`, `Ask`, `Introduce`), is sent the answer, and returns
the facts. So one piece of logic serves every engine, and the looks of a thousand addresses interleave.

The rules that keep a fact from being wrong (nmap #1508 and #1298, naabu #549: fast scans miss and vary):
a port is open when it completed the handshake twice; filtered when it was silent for a second and for
several; silence counts only while a declared service answers, before and after; who answers on ports that
nobody uses, or on most of those asked, tells nothing; a declared service that falls silent in between
means that we were shut out, and what was seen meanwhile is in doubt.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias, TypeVar

from seccheck.model import Reason
from seccheck.probes import ProbeFailed, Undecided
from seccheck.probes.ports.facts import Port, PortsFacts, PortsParams, Service, State, UdpService, udp_service
from seccheck.probes.ports.identify import Identity, askable, expected
from seccheck.probes.ports.table import TABLE, TOP_1000, USUAL, ports_of
from seccheck.probes.ports.udp import Reply

FIRST = 1.5
"""Seconds of the first look: time for one lost packet to be sent again (RFC 6298: after one second)."""
SECOND = 4.5
"""Seconds of a second look: two packets lost, or an answer after three seconds."""
BUILT_IN = "connect"
CHUNK = 1000
"""Ports between two looks at the declared services, by the built-in engine."""
SAMPLE = 32
"""Ports after which an address that has not answered at all is given up."""
CANARIES = 8
FEW_OPEN = 16
"""Up to here open ports are believed; beyond, not when they are more than a quarter of those looked at."""
MAX_OPEN = 1000
"""More open ports than this at one address are no services."""
MAX_LISTED = 50
"""Filtered ports listed one by one; more are counted."""
MAX_DOUBTS = 200
"""Ports in doubt listed one by one; with more, the whole fact is in doubt."""
MAX_INTRODUCED = 64
"""Open ports that are asked what they are; with more, what the others are is in doubt."""


class Seen(NamedTuple):
    """What one look at one port saw."""

    state: State
    reason: str


SYN_ACK = Seen("open", "syn-ack")
REFUSED = Seen("closed", "conn-refused")
SILENT = Seen("filtered", "no-response")
UNREACHABLE = Seen("filtered", "unreachable")
"""The network refused on the way (ICMP, or no route)."""


@dataclass(frozen=True)
class Knock:
    """Look once at each of `ports`; the answer maps those that are not closed to what was seen."""

    ports: tuple[int, ...]
    seconds: float
    outside: bool = False
    """Whether the other engine is to do it."""


@dataclass(frozen=True)
class Ask:
    """Ask UDP services; the answer maps each (service, port) to what came back."""

    services: tuple[tuple[str, int], ...]


class Heard(NamedTuple):
    """What came back from a UDP service: a reply, a refusal, or nothing."""

    reply: Reply | None = None
    refused: bool = False
    problem: str = ""
    """Why it could not be asked at all."""


@dataclass(frozen=True)
class Introduce:
    """Let open ports say what they are; the answer maps each port to its identity."""

    ports: tuple[int, ...]
    declared: tuple[int, ...] = ()
    """Those that may be spoken to, since a service is known to be there."""


Question: TypeAlias = Knock | Ask | Introduce
Knocked: TypeAlias = Mapping[int, Seen]
Asked: TypeAlias = Mapping[tuple[str, int], Heard]
Introduced: TypeAlias = Mapping[int, Identity]
T = TypeVar("T")
Asking: TypeAlias = Generator[Question, Any, T]
"""Yields questions, is sent their answers, returns a T."""


def look(
    params: PortsParams, *, engine: str = BUILT_IN, chunk: int = CHUNK, canaries: tuple[int, ...] = ()
) -> Asking[PortsFacts]:
    """Look at one address as `params` say; raises `ProbeFailed` when nothing at all could be told."""
    tcp = _Tcp(params)
    tcp.begin((yield Knock(params.declared, SECOND)))
    yield from _look_first(tcp, chunk, engine != BUILT_IN)
    yield from _look_again(tcp, canaries)
    services = tuple(sorted({udp_service(text) for text in params.udp}))
    udp: Asked = (yield Ask(services)) if services else {}
    if not tcp.silent():
        tcp.check((yield Knock(params.declared, SECOND)))
    elif not any(heard.reply or heard.refused for heard in udp.values()):
        raise ProbeFailed(tcp.why_silent(), f"no answer from any of {len(tcp.looks) + len(udp)} ports")
    undecided: list[Undecided] = []
    facts: dict[str, Any] = {"reference_answered": tcp.reference if params.declared else None}
    if params.tcp or params.tcp_sets:
        told = yield Introduce(tcp.strangers()[:MAX_INTRODUCED], params.declared)
        facts |= {"engine": engine, **_tcp_facts(tcp, told, undecided)}
    if services:
        # who answers for every TCP port may be a box in between, which says nothing of the host's UDP
        facts |= _udp_facts(udp, tcp.reference and not tcp.everything_open, undecided)
    return PortsFacts(**facts, undecided=tuple(undecided))


@lru_cache(maxsize=256)
def ports_to_look_at(params: PortsParams) -> tuple[int, ...]:
    """The TCP ports that `params` name besides the declared ones, the usual and those of the table first."""
    if not params.tcp and not params.tcp_sets:
        return ()
    ports = ports_of(params.tcp_sets).union(params.tcp).difference(params.declared)
    return tuple(sorted(ports, key=lambda port: (port not in USUAL, port not in TABLE, port)))


def pick_canaries(params: PortsParams) -> tuple[int, ...]:
    """Ports that no one has a reason to use, low and high ones, none of them asked about otherwise."""
    taken = {*ports_to_look_at(params), *params.declared, *TOP_1000}
    free = [
        [port for port in area if port not in taken] for area in (range(2048, 32768), range(50000, 65536))
    ]
    pick = random.SystemRandom().sample
    return tuple(port for area in free if len(area) > 1000 for port in pick(area, CANARIES // 2))


# ------------------------------------------------------------------------------------------------------- tcp


class _Tcp:
    """What was seen of the TCP ports so far."""

    def __init__(self, params: PortsParams) -> None:
        self.declared = params.declared
        self.ports = ports_to_look_at(params)
        self.looked = len(self.declared)
        self.looks: dict[int, list[Seen]] = {}
        """What each look saw, of the ports that were not closed at the first one."""
        self.alive: set[int] = set()
        """Declared ports that answered at every look so far."""
        self.shut_out = False
        """Whether declared services answered at first, and then none did."""
        self.everything_open = False

    @property
    def reference(self) -> bool:
        """Whether a declared service answered before and after, so that silence has a meaning."""
        return bool(self.alive)

    def begin(self, seen: Knocked) -> None:
        """Note which declared services answer before anything else is asked."""
        self.looks.update((port, [look]) for port, look in seen.items())
        self.alive = {port for port, look in seen.items() if look.state == "open"}

    def first(self, ports: Sequence[int], seen: Knocked) -> None:
        """Note a first look at `ports`."""
        self.looked += len(ports)
        self.looks.update((port, [look]) for port, look in seen.items())
        opened = sum(look[0].state == "open" for look in self.looks.values())
        self.everything_open = opened > MAX_OPEN or (opened >= FEW_OPEN and 4 * opened > self.looked)

    def again(self, ports: Iterable[int], seen: Knocked) -> None:
        """Note one more look at `ports`."""
        for port in ports:
            if port in seen or port in self.looks:
                self.looks.setdefault(port, [REFUSED]).append(seen.get(port, REFUSED))

    def check(self, seen: Knocked) -> None:
        """Note whether the declared services still answer."""
        self.again(self.declared, seen)
        still = {port for port in self.alive if port in seen and seen[port].state == "open"}
        self.shut_out = self.shut_out or bool(self.alive and not still)
        self.alive = still

    def silent(self) -> bool:
        """Whether nothing at all has answered yet, not even with a refusal."""
        return len(self.looks) == self.looked and all(
            seen.state == "filtered" for looks in self.looks.values() for seen in looks
        )

    def why_silent(self) -> Reason:
        """`unreachable` when the network said so of every port, else `timeout`."""
        said = all(seen is not SILENT for looks in self.looks.values() for seen in looks)
        return Reason.UNREACHABLE if said and self.looks else Reason.TIMEOUT

    def opened(self) -> list[int]:
        """The open ports, sorted."""
        return sorted(port for port, looks in self.looks.items() if settle(looks) == SYN_ACK)

    def strangers(self) -> tuple[int, ...]:
        """The open ports that are to say what they are."""
        return () if self.everything_open else tuple(filter(askable, self.opened()))


def _look_first(tcp: _Tcp, chunk: int, outside: bool) -> Asking[None]:
    """Look once at every port, and after each chunk see whether the declared services still answer."""
    start = 0
    if tcp.silent():
        start = min(SAMPLE, len(tcp.ports))
        tcp.first(tcp.ports[:start], (yield Knock(tcp.ports[:start], SECOND)))
        if tcp.silent():
            return
    for at in range(start, len(tcp.ports), chunk):
        if at > start:
            tcp.check((yield Knock(tcp.declared, SECOND)))
        if tcp.shut_out or tcp.everything_open:
            return
        ports = tcp.ports[at : at + chunk]
        tcp.first(ports, (yield Knock(ports, FIRST, outside)))


def _look_again(tcp: _Tcp, canaries: tuple[int, ...]) -> Asking[None]:
    """A second look at what is not closed, and a third where the two differ about an open port."""
    if tcp.silent() or tcp.everything_open or tcp.shut_out:
        return
    doubtful = tuple(port for port in tcp.looks if port not in tcp.declared)
    if any(tcp.looks[port][0].state == "open" for port in doubtful):
        seen = yield Knock((*doubtful, *canaries), SECOND)
        answering = sum(port in seen and seen[port].state == "open" for port in canaries)
        tcp.everything_open = bool(canaries) and 2 * answering >= len(canaries)
    else:
        seen = yield Knock(doubtful, SECOND)
    tcp.again(doubtful, seen)
    differing = tuple(port for port in doubtful if _times_open(tcp.looks[port]) == 1)
    if not tcp.everything_open:
        tcp.again(differing, (yield Knock(differing, SECOND)))


def _times_open(looks: Iterable[Seen]) -> int:
    return sum(seen.state == "open" for seen in looks)


def settle(looks: Sequence[Seen]) -> Seen | None:
    """What several looks at a port come to; None when they contradict each other.

    Open needs two handshakes. A refusal is an answer and outweighs silence.
    """
    opened = _times_open(looks)
    if opened >= 2:
        return SYN_ACK
    if opened:
        return None
    return next((seen for seen in reversed(looks) if seen.state == "closed"), looks[-1])


def _tcp_facts(tcp: _Tcp, told: Introduced, undecided: list[Undecided]) -> dict[str, Any]:
    """The facts about TCP; what is in doubt goes to `undecided`."""
    states = {port: settle(looks) for port, looks in sorted(tcp.looks.items())}
    opened = tcp.opened()
    filtered = [port for port, seen in states.items() if seen and seen.state == "filtered"]
    doubts = {port: Reason.CONTRADICTORY for port, seen in states.items() if seen is None}
    if not tcp.reference:
        doubts |= {port: _why_filtered(tcp.looks[port]) for port in filtered}
    names = {told[port].confirmed for port in told} - {""}
    kinds = {TABLE[port].kind for port in opened if port in TABLE}
    counts = {"looked_at": tcp.looked, "filtered_count": len(filtered)}
    if tcp.everything_open:
        _all_in_doubt(undecided, Reason.CONTRADICTORY, "answers on ports that nobody uses, or on most ports")
        return counts
    if whole := _whole_doubt(tcp, opened, doubts):
        _all_in_doubt(undecided, *whole)
    else:
        undecided += _single_doubts(doubts, opened, told, names, kinds)
        if unasked := len(tcp.strangers()[MAX_INTRODUCED:]):
            detail = f"{unasked} more ports are open, and were not asked what they are"
            undecided.append(Undecided(fact="identified", reason=Reason.NOT_PROBED, detail=detail))
    listed = filtered if len(filtered) <= MAX_LISTED else []
    return counts | {
        "closed_count": tcp.looked - len(opened) - len(filtered) - len(doubts.keys() - set(filtered)),
        "tcp": tuple(_port(port, states[port]) for port in sorted((*opened, *listed))),
        "open": tuple(opened),
        "kinds": tuple(sorted(kinds)),
        "services": tuple(_service(port, told) for port in opened),
        "identified": tuple(sorted(names)),
    }


def _why_filtered(looks: Sequence[Seen]) -> Reason:
    return Reason.TIMEOUT if looks[-1] is SILENT else Reason.UNREACHABLE


def _whole_doubt(tcp: _Tcp, opened: list[int], doubts: Mapping[int, Reason]) -> tuple[Reason, str] | None:
    """Why no port can be called closed at all, if so; the open ones remain what they are."""
    if tcp.shut_out:
        return Reason.RATE_LIMITED, "the declared services stopped answering while we looked"
    if tcp.declared and not opened:
        refused = any(
            seen.state == "closed" for port in tcp.declared for seen in tcp.looks.get(port, (REFUSED,))
        )
        reason = Reason.UNREACHABLE if refused else Reason.TIMEOUT
        return reason, "no port answers, the declared ones neither"
    if len(doubts) > MAX_DOUBTS:
        return (
            Reason.TIMEOUT,
            f"{len(doubts)} ports are silent, and no declared service shows what that means",
        )
    return None


_TCP_FACTS = ("tcp", "open", "kinds", "services", "identified")


def _all_in_doubt(undecided: list[Undecided], reason: Reason, detail: str) -> None:
    undecided += [Undecided(fact=fact, reason=reason, detail=detail) for fact in _TCP_FACTS]


def _single_doubts(
    doubts: Mapping[int, Reason], opened: Iterable[int], told: Introduced, names: set[str], kinds: set[str]
) -> Iterable[Undecided]:
    """What single ports in doubt leave open: the port, its kind, and what might identify itself there."""
    unnamed: dict[str, Reason] = {}
    unkinded: dict[str, Reason] = {}
    for port, reason in doubts.items():
        yield Undecided(fact="open", member=str(port), reason=reason)
        yield Undecided(fact="services", member=str(port), reason=reason)
        unnamed.setdefault(expected(port), reason)
        if port in TABLE:
            unkinded.setdefault(TABLE[port].kind, reason)
    for port in opened:
        identity = told.get(port, Identity("", Reason.NOT_PROBED))
        if not identity.confirmed:
            unnamed.setdefault(expected(port), identity.reason)
    for fact, members, known in (("identified", unnamed, names), ("kinds", unkinded, kinds)):
        for member in sorted(members.keys() - known - {""}):
            yield Undecided(fact=fact, member=member, reason=members[member])


def _port(port: int, seen: Seen | None) -> Port:
    state, reason = seen or SILENT
    return Port(port=port, state=state, service=TABLE[port].service if port in TABLE else "", reason=reason)


def _service(port: int, told: Introduced) -> Service:
    entry = TABLE.get(port)
    return Service(
        port=port,
        service=entry.service if entry else "",
        kind=entry.kind if entry else "",
        confirmed=told[port].confirmed if port in told else "",
    )


# ------------------------------------------------------------------------------------------------------- udp


def _udp_facts(asked: Asked, reference: bool, undecided: list[Undecided]) -> dict[str, Any]:
    """The facts about UDP; silence without a reference, and an answer that leaves doubt, to `undecided`."""
    found = {service for (service, _), heard in asked.items() if heard.reply and heard.reply.yes}
    doubts: dict[str, tuple[Reason, str]] = {}
    for (service, port), heard in asked.items():
        if heard.reply and heard.reply.doubt:
            doubts.setdefault(service, (heard.reply.doubt, heard.reply.detail))
        elif heard.problem:
            doubts.setdefault(service, (Reason.UNREACHABLE, heard.problem))
        elif not heard.reply and not heard.refused and not reference:
            doubts.setdefault(service, (Reason.TIMEOUT, f"port {port} is silent"))
    for service in sorted(doubts.keys() - found):
        reason, detail = doubts[service]
        undecided.append(Undecided(fact="udp_services", member=service, reason=reason, detail=detail))
    return {
        "udp": tuple(_udp_service(service, port, heard) for (service, port), heard in sorted(asked.items())),
        "udp_services": tuple(sorted(found)),
    }


def _udp_service(service: str, port: int, heard: Heard) -> UdpService:
    if heard.reply:
        return UdpService(service=service, port=port, state="answered", detail=heard.reply.detail)
    return UdpService(service=service, port=port, state="closed" if heard.refused else "silent")
