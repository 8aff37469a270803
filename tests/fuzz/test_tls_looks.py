# ruff: noqa: E501 (samples stand as they are sent)
"""Whole looks at servers that answer some hellos and mangle others: nothing false comes out, only doubt."""

from __future__ import annotations

from itertools import chain
from typing import NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seccheck.demo.oldtls import ClientHello, read_hello
from seccheck.probes import ProbeFailed
from seccheck.probes.tls import hello as h
from seccheck.probes.tls import suites
from seccheck.probes.tls.answer import Outcome, Reply
from seccheck.probes.tls.conclude import FIELDS, conclude
from seccheck.probes.tls.facts import TlsFacts, TlsParams
from seccheck.probes.tls.questions import Offer
from seccheck.probes.tls.talk import HelloTalk
from seccheck.probes.tls.trust import Anchors
from seccheck.probes.tls.visit import MAX_CONNECTIONS, Visit
from tests.fuzz.properties import NOW, SLOW, bounded, damaged, sound
from tests.probes.tls.pki import issue
from tests.probes.tls.servers import flight, record, retry

pytestmark = pytest.mark.fuzz
HOST = "portal.example.vn"
ROOT = issue("Root", ca=True)
LEAF = issue("leaf", ROOT, names=(HOST,))
ANCHORS = Anchors([ROOT.pem.encode()])
OLD = ("SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2")


class Server(NamedTuple):
    """What a server really speaks."""

    versions: frozenset[str]
    suites: frozenset[int]
    groups: frozenset[int]

    def answer(self, hello: ClientHello) -> bytes:
        """What an honest server answers."""
        if hello.highest == h.TLS13:
            common = sorted(set(hello.groups) & self.groups - {0x15})
            tls13 = sorted(set(hello.suites) & {0x1301, 0x1302})
            if "TLSv1.3" in self.versions and common and tls13:
                return retry(hello, common[0], tls13[0])
            return _alert(40 if "TLSv1.3" in self.versions else 70)
        spoken = [v for v in OLD if v in self.versions and h.NUMBERS[v] <= hello.highest]
        if not spoken or hello.highest == h.SSL2:
            return _alert(70)
        for suite in sorted(set(hello.suites) & self.suites):
            if suites.is_ephemeral_ec(suite):
                common = sorted((set(hello.groups) or {0x17}) & self.groups)
                if not common:
                    continue
                exchange = b"\x03" + common[0].to_bytes(2, "big") + b"\x20" + bytes(32)
            elif suites.is_ephemeral_dh(suite):
                exchange = b"\1\0" + (1 << 2047).to_bytes(256, "big") + b"\0\x01\x02\0\x01\x05"
            else:
                exchange = b""
            return flight(hello, h.NUMBERS[spoken[-1]], suite, (LEAF.der, ROOT.der), exchange=exchange)
        return _alert(40)


def _alert(number: int) -> bytes:
    return record(21, 0x0303, bytes((2, number)))


SERVERS = st.builds(
    Server,
    st.frozensets(st.sampled_from((*OLD, "TLSv1.3")), min_size=1),
    st.frozensets(st.sampled_from((0x000A, 0x002F, 0x009C, 0x009E, 0xC013, 0xC02F, 0x0005, 0x0003)), min_size=1),
    st.frozensets(st.sampled_from((0x15, 0x17, 0x18, 0x1D, 0x0100)), min_size=1),
)  # fmt: skip


def replied(offer: Offer, server: Server, data: st.DataObject, noise: st.SearchStrategy[object]) -> Reply:
    """What becomes of one offer. Talks past the hello find nobody: theirs are other tests."""
    talk = offer.talk()
    if not isinstance(talk, HelloTalk):
        talk.reply.outcome = Outcome.TIMEOUT
        return talk.reply
    hello = read_hello(talk.opening())
    assert hello
    said = server.answer(hello)
    kind = data.draw(noise)
    if kind == "mangled":
        said = data.draw(damaged(said))
    elif isinstance(kind, Outcome):
        said = said[: data.draw(st.integers(0, len(said) - 1))]
    talk.feed(said)
    if not talk.done:
        talk.lost(kind if isinstance(kind, Outcome) else Outcome.CLOSED)
    return talk.reply


def looked(server: Server, data: st.DataObject, noise: st.SearchStrategy[object]) -> TlsFacts | None:
    """The facts of one look, both visits; None where nothing could be told."""
    visit = Visit(HOST, TlsParams(ask=tuple(sorted(FIELDS))))
    number = 0
    for wave in chain(visit.waves(), _again(visit)):
        for strand in wave:
            offer = next(strand, None)
            while offer is not None:
                number += 1
                reply = (
                    replied(offer, server, data, noise)
                    if number <= MAX_CONNECTIONS and not visit.over
                    else Reply(outcome=Outcome.NOT_ASKED, asked=False)
                )
                visit.connections += 1
                visit.answered(number, offer, reply)
                try:
                    offer = strand.send(reply)
                except StopIteration:
                    offer = None
    assert number < 400
    try:
        return conclude(visit, HOST, starttls=False, anchors=ANCHORS, now=NOW)
    except ProbeFailed:
        return None


def _again(visit: Visit):  # type: ignore[no-untyped-def]
    if visit.worth_a_second_visit():
        yield from visit.second_visit()


def open_members(facts: TlsFacts, fact: str) -> set[str | None]:
    return {one.member for one in facts.undecided if one.fact == fact}


def judged(facts: TlsFacts, server: Server) -> None:
    """Nothing is said to be there that is not, nor to be absent that is there."""
    if facts.offered is False:
        assert not any(_reachable(server, version) for version in server.versions)
    if facts.versions is not None and None not in open_members(facts, "versions"):
        assert set(facts.versions) <= server.versions
        spoken = {v for v in server.versions if _reachable(server, v)}
        assert spoken <= set(facts.versions) | {str(m) for m in open_members(facts, "versions")}
    if facts.suites is not None:
        numbers = {one for one in server.suites if one != "TLSv1.3"} | {0x1301, 0x1302}
        assert {one.name for one in facts.suites} <= {suites.name(number) for number in numbers}
    if facts.suite_classes is not None and None not in open_members(facts, "suite_classes"):
        there = {name for suite in server.suites for name in suites.classes(suite)}
        assert set(facts.suite_classes) <= there


def _reachable(server: Server, version: str) -> bool:
    """Whether the model's server can be brought to speak `version` at all."""
    if version == "TLSv1.3":
        return bool(server.groups - {0x15})
    curves = {0x17} if version == "SSLv3" else {0x15, 0x17, 0x18, 0x1D}
    named = [suite for suite in server.suites if suite in suites.of_version(version)]
    return any(not suites.is_ephemeral_ec(s) or server.groups & curves for s in named)


QUIET = st.just("well")
LOSSES = st.sampled_from(("well",) * 6 + (Outcome.TIMEOUT, Outcome.TIMEOUT, Outcome.UNREACHABLE))
NOISE = st.sampled_from(("well", "mangled", "mangled", Outcome.RESET, Outcome.CLOSED, Outcome.TIMEOUT))


@pytest.mark.parametrize("curve", [0x13, 0x15, 0x16, 0x17])
def test_old_versions_show_themselves_by_every_curve(curve: int) -> None:
    server = Server(frozenset({"TLSv1.0", "TLSv1.2"}), frozenset({0xC013}), frozenset({curve}))
    facts = looked(server, cast("st.DataObject", _Well()), QUIET)
    assert facts
    assert facts.versions == ("TLSv1.0", "TLSv1.2")


class _Well:
    def draw(self, _strategy: object) -> str:
        return "well"


@given(SERVERS, st.data())
def test_an_honest_server_is_told_as_it_is(server: Server, data: st.DataObject) -> None:
    facts = looked(server, data, QUIET)
    if facts is not None:
        sound(facts)
        judged(facts, server)


@SLOW
@given(SERVERS, st.data())
def test_what_is_lost_is_never_a_refusal(server: Server, data: st.DataObject) -> None:
    facts = looked(server, data, LOSSES)
    if facts is not None:
        sound(facts)
        judged(facts, server)


@SLOW
@given(SERVERS, st.data())
def test_whatever_is_said_ends_in_facts_or_doubt(server: Server, data: st.DataObject) -> None:
    with bounded(5.0):
        facts = looked(server, data, NOISE)
        if facts is not None:
            sound(facts)
