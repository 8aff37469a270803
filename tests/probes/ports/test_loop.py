"""The built-in engine on loopback: real sockets, open, closed, silent, slow and hostile."""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from seccheck.model import Reason
from seccheck.permission import Limits, Permission, Scope, Window
from seccheck.probes import Answer, Endpoint, Look, ProbeFailed
from seccheck.probes.ports import PROBE
from seccheck.probes.ports.facts import PortsFacts, PortsParams
from seccheck.probes.ports.look import SILENT, Knock
from seccheck.probes.ports.loop import Host, Knocking, Loop, met_itself
from seccheck.scope import Context
from tests.probes.ports.servers import Listed, Place, answers, context, doubts, facts, some_address
from tests.tools import free_port

GENTLE = Limits(connections_per_second=50, connections_at_once=2, ports_per_second=200)


def reset(client: socket.socket) -> None:
    """End a connection with a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


class Crowd:
    """Many hosts looked at together, so that their silences pass side by side."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        self.params: dict[str, PortsParams] = {}
        self.ports: dict[str, tuple[int, ...]] = {}
        self.found: dict[str, Answer] = {}
        self.order: list[str] = []
        self.threads: list[threading.Thread] = []

    def add(self, name: str, build: Callable[[Place], tuple[PortsParams, tuple[int, ...]]]) -> None:
        self.places[name] = Place(some_address())
        self.params[name], self.ports[name] = build(self.places[name])

    def begin(self, target: Callable[[], None]) -> None:
        self.threads.append(threading.Thread(target=target, daemon=True))
        self.threads[-1].start()

    def look(self) -> None:
        looks = Listed(
            Look(key=name, endpoint=Endpoint(address=place.address), params=self.params[name])
            for name, place in self.places.items()
        )

        def note(answer: Answer) -> None:
            self.order.append(answer.key)
            self.found[answer.key] = answer

        PROBE.collect_many(looks, note, context())

    def facts(self, name: str) -> PortsFacts:
        answer = self.found[name]
        assert isinstance(answer.facts, PortsFacts), f"{answer.failed}: {answer.detail}"
        return answer.facts

    def close(self) -> None:
        for thread in self.threads:
            thread.join()
        for place in self.places.values():
            place.close()


@pytest.fixture(scope="module")
def crowd() -> Iterator[Crowd]:
    made = Crowd()

    def three_states(place: Place) -> tuple[PortsParams, tuple[int, ...]]:
        declared, another = place.tcp(), place.tcp()
        closed, (silent, _) = free_port(place.address), place.silent()
        params = PortsParams(tcp=(another, closed, silent), declared=(declared,))
        return params, (declared, another, closed, silent)

    def no_reference(place: Place) -> tuple[PortsParams, tuple[int, ...]]:
        silent, closed = place.silent()[0], free_port(place.address)
        return PortsParams(tcp=(silent, closed)), (silent, closed)

    def all_silent(place: Place) -> tuple[PortsParams, tuple[int, ...]]:
        silent = tuple(place.silent()[0] for _ in range(4))
        return PortsParams(tcp=silent[1:], declared=silent[:1]), silent

    def slow(place: Place) -> tuple[PortsParams, tuple[int, ...]]:
        declared, (late, listener) = place.tcp(), place.silent()

        def open_late() -> None:
            time.sleep(2.8)
            listener.settimeout(8)
            with contextlib.suppress(TimeoutError):
                while True:
                    listener.accept()[0].close()

        made.begin(open_late)
        return PortsParams(tcp=(late,), declared=(declared,)), (declared, late)

    def resetting(place: Place) -> tuple[PortsParams, tuple[int, ...]]:
        declared, resets = place.tcp(), place.tcp(0, reset)
        return PortsParams(tcp=(resets,), declared=(declared,)), (declared, resets)

    def refusing(place: Place) -> tuple[PortsParams, tuple[int, ...]]:
        ports = tuple(free_port(place.address) for _ in range(3))
        return PortsParams(tcp=ports[1:], declared=ports[:1]), ports

    def mostly_open(place: Place) -> tuple[PortsParams, tuple[int, ...]]:
        ports = tuple(place.tcp() for _ in range(40))
        return PortsParams(tcp=ports, declared=ports[:1]), ports

    def banning(place: Place) -> tuple[PortsParams, tuple[int, ...]]:
        """After the first connection the declared service is gone, as with a ban that resets."""
        listener = socket.socket()
        listener.bind((place.address, 0))
        listener.listen()

        def ban() -> None:
            listener.accept()[0].close()
            listener.close()

        made.begin(ban)
        declared, other = int(listener.getsockname()[1]), place.tcp()
        params = PortsParams(tcp=(other, free_port(place.address)), declared=(declared,))
        return params, (declared, other)

    builders = (three_states, no_reference, all_silent, slow, resetting, refusing, mostly_open, banning)
    try:
        for build in builders:
            made.add(build.__name__, build)
        made.look()
        yield made
    finally:
        made.close()


def test_open_closed_and_filtered_are_three_facts(crowd: Crowd) -> None:
    found = crowd.facts("three_states")
    declared, another, _, silent = crowd.ports["three_states"]
    assert found.open == tuple(sorted((declared, another)))
    assert (found.looked_at, found.closed_count, found.filtered_count) == (4, 1, 1)
    states = {port.port: (port.state, port.reason) for port in found.tcp or ()}
    assert states == {
        declared: ("open", "syn-ack"), another: ("open", "syn-ack"), silent: ("filtered", "no-response")
    }  # fmt: skip
    assert found.undecided == ()
    assert (found.engine, found.reference_answered) == ("connect", True)


def test_a_silent_port_without_a_reference_is_in_doubt(crowd: Crowd) -> None:
    found = crowd.facts("no_reference")
    assert found.open == ()
    assert doubts(found) == {(str(crowd.ports["no_reference"][0]), "timeout")}


def test_a_host_silent_on_everything_tells_nothing(crowd: Crowd) -> None:
    answer = crowd.found["all_silent"]
    assert (answer.facts, answer.failed) == (None, Reason.TIMEOUT)


def test_a_port_that_answers_after_three_seconds_is_open(crowd: Crowd) -> None:
    found = crowd.facts("slow")
    assert found.open == tuple(sorted(crowd.ports["slow"]))
    assert found.undecided == ()


def test_a_port_that_accepts_and_resets_is_open(crowd: Crowd) -> None:
    assert crowd.facts("resetting").open == tuple(sorted(crowd.ports["resetting"]))


def test_a_host_that_refuses_even_its_declared_service_has_closed_nothing(crowd: Crowd) -> None:
    found = crowd.facts("refusing")
    assert found.open == ()
    assert (None, "unreachable") in doubts(found)


def test_a_host_that_is_open_on_most_ports_tells_nothing(crowd: Crowd) -> None:
    found = crowd.facts("mostly_open")
    assert found.open is None
    assert (None, "contradictory") in doubts(found)


def test_a_service_that_shuts_us_out_leaves_everything_in_doubt(crowd: Crowd) -> None:
    found = crowd.facts("banning")
    assert (None, "rate-limited") in doubts(found)
    assert found.reference_answered is False


def test_a_slow_address_holds_nobody(crowd: Crowd) -> None:
    """Those that answer at once are answered while the first ones are still in their silence."""
    quick, patient = (
        {"refusing", "mostly_open", "banning"},
        {"three_states", "no_reference", "all_silent", "slow"},
    )
    assert max(crowd.order.index(name) for name in quick) < min(crowd.order.index(name) for name in patient)


def test_ipv6(place6: Place) -> None:
    declared = place6.tcp()
    closed = free_port("::1")
    found = facts("::1", PortsParams(tcp=(closed,), declared=(declared,), udp=(f"dns:{closed}",)))
    assert found.open == (declared,)
    assert found.closed_count == 1
    assert [answer.state for answer in found.udp or ()] == ["closed"]


def test_no_address_outside_the_scope_is_touched() -> None:
    params = PortsParams(tcp=(8080,))
    for address in ("192.0.2.1", "127.0.0.1 -oX x", "localhost", "0177.0.0.1", ""):
        answer = answers({address: params})[address]
        assert (answer.facts, answer.failed) == (None, Reason.OUT_OF_SCOPE)
        assert answer.connections == 0


def test_many_addresses_at_once_and_each_its_own_answer() -> None:
    addresses = [some_address() for _ in range(300)]
    places = [Place(address) for address in addresses]
    try:
        listening = {place.address: place.tcp() for place in places[::10]}
        params = PortsParams(tcp=tuple(sorted(set(listening.values()))))
        found = answers(dict.fromkeys(addresses, params))
    finally:
        for place in places:
            place.close()
    assert {address: found[address].facts.open for address in addresses} == {
        address: (listening[address],) if address in listening else () for address in addresses
    }


def test_the_pace_of_an_address_is_held() -> None:
    address = some_address()
    ports = tuple(range(20000, 20200))
    started = time.monotonic()
    answer = answers({address: PortsParams(tcp=ports)}, GENTLE)[address]
    taken = time.monotonic() - started
    assert answer.facts.closed_count == 200
    assert answer.connections == 200
    assert 0.8 < taken < 4
    # A second address has a budget of its own.
    both = {address: PortsParams(tcp=ports), some_address(): PortsParams(tcp=ports)}
    started = time.monotonic()
    answers(both, GENTLE)
    assert time.monotonic() - started < 1.7 * taken


def test_a_closing_window_ends_the_look() -> None:
    address = some_address()
    opened = time.monotonic()
    day = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def now() -> datetime:
        return day if time.monotonic() - opened < 0.5 else day.replace(year=2027)

    window = Window(since=day.date(), until=day.date(), zone="UTC")
    scope = Scope(permissions=(Permission(network="127.0.0.0/8", window=window, limits=GENTLE),))
    found: list[Answer] = []
    look = Look(
        key="x", endpoint=Endpoint(address=address), params=PortsParams(tcp=tuple(range(20000, 21000)))
    )
    PROBE.collect_many(Listed([look]), found.append, Context(scope, now=now))
    assert (found[0].failed, found[0].facts) == (Reason.NOT_PROBED, None)
    assert 0 < found[0].connections < 300


@pytest.fixture
def few_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_few_files_slow_us_down_and_nothing_else(few_files: None) -> None:
    wanted = {some_address(): PortsParams(tcp=tuple(range(20000, 20100)), udp=("dns",)) for _ in range(100)}
    found = answers(wanted)
    assert all(found[address].facts.closed_count == 100 for address in wanted)
    assert all(found[address].facts.udp[0].state == "closed" for address in wanted)


@pytest.mark.parametrize("at_once", [1, 3])
def test_few_handshakes_are_open_at_once(at_once: int, place: Place) -> None:
    silent = tuple(place.silent()[0] for _ in range(6))
    limits = Limits(connections_per_second=None, connections_at_once=at_once, ports_per_second=None)
    ended: list[object] = []
    busy: list[int] = []

    def knock() -> Iterator[Knock]:
        seen = yield Knock(silent, 0.4)
        assert seen == dict.fromkeys(silent, SILENT)
        return PortsFacts()

    loop = Loop()
    host = Host(loop, place.address, knock(), context(limits), 60, lambda _host, end: ended.append(end))
    loop.add(host)
    while loop.hosts:
        loop.run_once(0.05)
        if isinstance(host.task, Knocking):
            busy.append(len(host.task.flying))
    loop.close()
    assert ended == [PortsFacts()]
    assert max(busy) == at_once


def test_a_connection_that_met_itself_is_no_open_port() -> None:
    """On loopback the source port may be the very port that is asked (RFC 9293, 3.5: simultaneous open)."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        assert met_itself(sock)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as sock,
    ):
        assert not met_itself(sock)


def test_a_mistake_of_ours_costs_one_address(place: Place) -> None:
    ended: dict[str, object] = {}

    def broken() -> Iterator[Knock]:
        yield Knock((1,), 1.0)
        raise ZeroDivisionError

    def sound() -> Iterator[Knock]:
        yield Knock((place.tcp(),), 1.0)
        return PortsFacts()

    def note(name: str, _host: Host, end: object) -> None:
        ended[name] = end

    loop = Loop()
    for name, looking in (("broken", broken()), ("sound", sound())):
        loop.add(
            Host(
                loop,
                place.address,
                looking,
                context(),
                60,
                lambda _h, end, name=name: ended.update({name: end}),
            )
        )
    while loop.hosts:
        loop.run_once(0.05)
    loop.close()
    assert isinstance(ended["broken"], ProbeFailed)
    assert ended["broken"].reason is Reason.BUG
    assert ended["sound"] == PortsFacts()


def test_an_address_that_takes_too_long_is_ended_by_its_own_deadline(place: Place) -> None:
    ended: list[object] = []

    def endless() -> Iterator[Knock]:
        while True:
            yield Knock((place.silent()[0],), 5.0)

    loop = Loop()
    loop.add(Host(loop, place.address, endless(), context(), 0.3, lambda _host, end: ended.append(end)))
    while loop.hosts:
        loop.run_once(0.05)
    loop.close()
    assert isinstance(ended[0], ProbeFailed)
    assert ended[0].reason is Reason.TIMEOUT
