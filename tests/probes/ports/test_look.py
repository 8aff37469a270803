"""The order of looks and what they come to, for hosts that are but a rule: port, time asked, answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seccheck.model import Reason
from seccheck.probes import ProbeFailed
from seccheck.probes.ports.facts import PortsFacts, PortsParams
from seccheck.probes.ports.identify import Identity
from seccheck.probes.ports.look import (
    CANARIES,
    REFUSED,
    SILENT,
    SYN_ACK,
    UNREACHABLE,
    Ask,
    Heard,
    Introduce,
    Knock,
    Seen,
    look,
    pick_canaries,
    ports_to_look_at,
    settle,
)
from seccheck.probes.ports.udp import Reply
from tests.probes.ports.servers import doubts

Rule = Callable[[int, int], Seen]
"""What a port answers when it is asked for the nth time (from 1)."""
TABLE = PortsParams(tcp_sets=("table",), declared=(443,))


def world(
    rule: Rule,
    params: PortsParams = TABLE,
    *,
    told: dict[int, Identity] | None = None,
    heard: dict[tuple[str, int], Heard] | None = None,
    chunk: int = 1000,
) -> tuple[PortsFacts, Counter[int]]:
    """The facts about a host that answers by `rule`, and how often each port was asked."""
    asked: Counter[int] = Counter()
    looking = look(params, chunk=chunk, canaries=pick_canaries(params))
    answer: Any = None
    while True:
        try:
            question = looking.send(answer)
        except StopIteration as stop:
            return stop.value, asked
        match question:
            case Knock(ports=ports):
                asked.update(ports)
                seen = {port: rule(port, asked[port]) for port in ports}
                answer = {port: one for port, one in seen.items() if one != REFUSED}
            case Ask(services=services):
                answer = {service: (heard or {}).get(service, Heard()) for service in services}
            case Introduce(ports=ports):
                answer = {port: (told or {}).get(port, Identity()) for port in ports}


def listening(*ports: int, otherwise: Seen = REFUSED) -> Rule:
    return lambda port, _time: SYN_ACK if port in ports else otherwise


def whole_doubts(found: PortsFacts) -> set[tuple[str, str]]:
    return {(doubt.fact, doubt.reason.value) for doubt in found.undecided if doubt.member is None}


def in_doubt(reason: str) -> set[tuple[str, str]]:
    return {(fact, reason) for fact in ("tcp", "open", "kinds", "services", "identified")}


def test_open_closed_and_the_kinds() -> None:
    found, asked = world(listening(443, 3306, 21), told={21: Identity("ftp")})
    assert found.open == (21, 443, 3306)
    assert found.kinds == ("cleartext", "database", "web")
    assert found.identified == ("ftp",)
    assert [(service.port, service.confirmed) for service in found.services or ()] == [
        (21, "ftp"), (443, ""), (3306, "")
    ]  # fmt: skip
    assert found.looked_at == 419
    assert (found.closed_count, found.filtered_count) == (416, 0)
    assert found.reference_answered is True
    assert found.undecided == ()
    assert asked[3306] == 2
    assert asked[5432] == 1


def test_what_stands_on_too_many_open_ports_is_in_doubt() -> None:
    ports = tuple(range(7000, 7070))
    params = PortsParams(tcp_sets=("top-1000",), tcp=ports, declared=(443,))
    found, _ = world(listening(443, *ports), params, told={7000: Identity("http")})
    assert found.open == (443, *ports)
    assert found.identified == ("http",)
    assert whole_doubts(found) == {("identified", "not-probed")}
    fewer, _ = world(listening(443, *ports[:63]), params)
    assert whole_doubts(fewer) == set()


def test_silence_is_not_reachable_while_a_declared_service_answers() -> None:
    found, asked = world(listening(443, otherwise=SILENT))
    assert found.open == (443,)
    assert found.filtered_count == 418
    assert found.undecided == ()
    assert asked[3306] == 2


def test_silence_means_nothing_without_a_declared_service_that_answers() -> None:
    params = PortsParams(tcp=(3306, 8080, 5432), declared=())
    found, _ = world(lambda port, _: SILENT if port == 3306 else REFUSED, params)
    assert found.open == ()
    assert doubts(found) == {("3306", "timeout")}
    assert doubts(found, "kinds") == {("database", "timeout")}
    assert found.reference_answered is None


def test_a_network_that_refuses_on_the_way_is_no_proof_either() -> None:
    params = PortsParams(tcp=(3306, 8080))
    found, _ = world(lambda port, _: UNREACHABLE if port == 3306 else REFUSED, params)
    assert doubts(found) == {("3306", "unreachable")}


def test_a_host_that_drops_everything_is_given_up_after_a_sample() -> None:
    asked: Counter[int] = Counter()

    def rule(port: int, _time: int) -> Seen:
        asked[port] += 1
        return SILENT

    with pytest.raises(ProbeFailed) as failed:
        world(rule, PortsParams(tcp_sets=("all",), declared=(443,)))
    assert failed.value.reason is Reason.TIMEOUT
    assert len(asked) < 40


def test_no_route_is_said_to_be_unreachable() -> None:
    with pytest.raises(ProbeFailed) as failed:
        world(lambda *_: UNREACHABLE)
    assert failed.value.reason is Reason.UNREACHABLE


def test_a_declared_service_that_is_silent_hides_no_open_port() -> None:
    found, _ = world(lambda port, _: SYN_ACK if port == 3306 else SILENT)
    assert found.open == (3306,)
    assert found.reference_answered is False
    assert ("open", "timeout") in whole_doubts(found)


def test_a_host_that_resets_everything_has_not_closed_its_ports() -> None:
    found, _ = world(lambda *_: REFUSED)
    assert found.open == ()
    assert whole_doubts(found) == in_doubt("unreachable")


def test_refusals_are_facts_where_nothing_is_declared() -> None:
    found, _ = world(lambda *_: REFUSED, PortsParams(tcp=(3306, 5432)))
    assert found.open == ()
    assert found.undecided == ()


def test_a_host_that_answers_on_every_port_tells_nothing() -> None:
    found, asked = world(lambda *_: SYN_ACK)
    assert found.open is None
    assert found.services is None
    assert whole_doubts(found) == in_doubt("contradictory")
    assert max(asked.values()) <= 2


def test_a_host_that_answers_on_every_port_leaves_silent_udp_in_doubt() -> None:
    found, _ = world(lambda *_: SYN_ACK, PortsParams(tcp_sets=("table",), udp=("snmp",), declared=(443,)))
    assert found.udp_services == ()
    assert doubts(found, "udp_services") == {("snmp", "timeout")}


def test_canaries_give_a_tarpit_away_that_few_ports_would_not() -> None:
    params = PortsParams(tcp=(3306, 5432, 6379), declared=(443,))
    found, _ = world(lambda *_: SYN_ACK, params)
    assert whole_doubts(found) == in_doubt("contradictory")


def test_canaries_are_asked_only_where_a_port_is_open_and_are_nobodys() -> None:
    params = PortsParams(tcp_sets=("top-1000",), declared=(443, 50505))
    canaries = pick_canaries(params)
    assert len(set(canaries)) == CANARIES
    assert not {*canaries} & {*ports_to_look_at(params), 443, 50505}
    _, asked = world(listening(443), params)
    assert len(asked) == 1001
    assert pick_canaries(PortsParams(tcp_sets=("all",))) == ()


def test_a_lucky_canary_condemns_nobody() -> None:
    canary = 0

    def rule(port: int, _time: int) -> Seen:
        nonlocal canary
        if port >= 50000 and port != 54321 and not canary:
            canary = port
        return SYN_ACK if port in {443, 3306, canary} else REFUSED

    found, _ = world(rule, PortsParams(tcp=(3306, 5432), declared=(443,)))
    assert found.open == (443, 3306)


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ((SYN_ACK, SYN_ACK), "open"),
        ((SILENT, SYN_ACK, SYN_ACK), "open"),
        ((SYN_ACK, REFUSED, SYN_ACK), "open"),
        ((SYN_ACK, REFUSED, REFUSED), "doubt"),
        ((SYN_ACK, SILENT, SILENT), "doubt"),
        ((SILENT, SYN_ACK, SILENT), "doubt"),
        ((SILENT, REFUSED), "closed"),
        ((SILENT, SILENT), "filtered"),
    ],
)
def test_a_second_differing_look_settles_or_leaves_a_doubt(answers: tuple[Seen, ...], state: str) -> None:
    def rule(port: int, time: int) -> Seen:
        if port == 443:
            return SYN_ACK
        return answers[time - 1] if port == 3306 else REFUSED

    found, asked = world(rule)
    assert asked[3306] == len(answers)
    if state == "doubt":
        assert doubts(found) == {("3306", "contradictory")}
        assert doubts(found, "kinds") == {("database", "contradictory")}
        assert found.open == (443,)
    else:
        assert found.undecided == ()
        assert found.open == ((443, 3306) if state == "open" else (443,))
        assert found.filtered_count == (state == "filtered")


@pytest.mark.parametrize("after", [SILENT, REFUSED])
def test_being_shut_out_leaves_what_was_seen_meanwhile_in_doubt(after: Seen) -> None:
    count = 0

    def rule(port: int, _time: int) -> Seen:
        nonlocal count
        count += 1
        if count > 200:
            return after
        return SYN_ACK if port in {443, 3306} else REFUSED

    found, _ = world(rule)
    assert whole_doubts(found) == in_doubt("rate-limited")
    assert found.reference_answered is False


def test_being_shut_out_in_the_middle_of_many_ports_ends_the_look() -> None:
    count = 0

    def rule(port: int, _time: int) -> Seen:
        nonlocal count
        count += 1
        return SYN_ACK if port == 443 and count < 3000 else REFUSED

    found, asked = world(rule, PortsParams(tcp_sets=("all",), declared=(443,)), chunk=1000)
    assert whole_doubts(found) == in_doubt("rate-limited")
    assert len(asked) < 5000


def test_many_silent_ports_without_a_reference_are_one_doubt() -> None:
    found, _ = world(lambda port, _: SYN_ACK if port == 80 else SILENT, PortsParams(tcp_sets=("top-1000",)))
    assert found.open == (80,)
    assert whole_doubts(found) == in_doubt("timeout")


def test_an_open_port_that_does_not_say_what_it_is_leaves_its_usual_service_in_doubt() -> None:
    told = {21: Identity("ssh"), 23: Identity("", Reason.TIMEOUT), 2375: Identity()}
    found, _ = world(listening(443, 21, 23, 2375), told=told)
    assert found.identified == ("ssh",)
    assert doubts(found, "identified") == {("telnet", "timeout"), ("docker-api", "undisclosed")}


def test_udp_silence_needs_a_reference_and_doubts_are_told() -> None:
    services = ("dns", "ntp", "snmp", "memcached", "tftp")
    params = PortsParams(udp=services, declared=(443,))
    heard = {
        ("dns", 53): Heard(Reply("recursion available", yes=True)),
        ("ntp", 123): Heard(Reply("odd", doubt=Reason.CONTRADICTORY)),
        ("snmp", 161): Heard(refused=True),
        ("memcached", 11211): Heard(problem="Network is unreachable"),
    }
    found, _ = world(listening(443), params, heard=heard)
    assert found.udp_services == ("dns",)
    assert doubts(found, "udp_services") == {("ntp", "contradictory"), ("memcached", "unreachable")}
    assert {answer.service: answer.state for answer in found.udp or ()} == {
        "dns": "answered", "ntp": "answered", "snmp": "closed", "memcached": "silent", "tftp": "silent"
    }  # fmt: skip
    assert found.tcp is None
    assert found.open is None
    found, _ = world(lambda *_: REFUSED, params, heard=heard)
    assert ("tftp", "timeout") in doubts(found, "udp_services")


def test_udp_alone_can_tell_of_a_host_silent_otherwise() -> None:
    params = PortsParams(udp=("dns",), declared=(443,))
    heard = {("dns", 53): Heard(Reply("recursion available", yes=True))}
    found, _ = world(lambda *_: SILENT, params, heard=heard)
    assert found.udp_services == ("dns",)
    with pytest.raises(ProbeFailed):
        world(lambda *_: SILENT, params)


ANSWERS = st.sampled_from([SYN_ACK, REFUSED, SILENT, UNREACHABLE])


@given(st.dictionaries(st.sampled_from([443, 22, 3306, 5432, 6379, 8080]), st.lists(ANSWERS, min_size=1)))
def test_no_answers_make_a_wrong_fact(script: dict[int, list[Seen]]) -> None:
    """Whatever a host does: open needs two handshakes, and a clean "not open" needs a live reference."""

    def rule(port: int, time: int) -> Seen:
        answers = script.get(port, [REFUSED])
        return answers[min(time, len(answers)) - 1]

    given_answers: dict[int, list[Seen]] = {}

    def noted(port: int, time: int) -> Seen:
        answer = rule(port, time)
        given_answers.setdefault(port, []).append(answer)
        return answer

    params = PortsParams(tcp=(22, 3306, 5432, 6379, 8080), declared=(443,))
    try:
        found, _ = world(noted, params)
    except ProbeFailed:
        assert all(one in {SILENT, UNREACHABLE} for ones in given_answers.values() for one in ones)
        return
    whole = {fact for fact, _ in whole_doubts(found)}
    members = {member for member, _ in doubts(found)}
    for port in (22, 3306, 5432, 6379, 8080):
        times = given_answers.get(port, []).count(SYN_ACK)
        if port in (found.open or ()):
            assert times >= 2
        elif "open" not in whole and str(port) not in members:
            assert times == 0
            assert REFUSED in given_answers[port] or found.reference_answered


@given(st.lists(ANSWERS, min_size=1, max_size=4))
def test_settling_never_makes_open_of_one_handshake(looks: list[Seen]) -> None:
    settled = settle(looks)
    opened = looks.count(SYN_ACK)
    assert (settled == SYN_ACK) == (opened >= 2)
    assert (settled is None) == (opened == 1)
