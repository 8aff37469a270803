"""The dns probe on NSD, Knot and BIND, with zones that are signed, unsigned and broken."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from seccheck.model import Reason
from seccheck.probes import Endpoint, ProbeFailed
from seccheck.probes.dns import PROBE, DnsFacts, DnsParams
from seccheck.scope import Context, Resolver, Scope
from tests.tools import free_port

Contexts = Callable[..., Context]


def look(context: Context, host: str, *ask: str) -> DnsFacts:
    assert PROBE.collect
    return PROBE.collect(Endpoint(host=host), DnsParams(ask=ask), context)  # type: ignore[arg-type]


def doubts(facts: DnsFacts) -> dict[str, Reason]:
    return {entry.fact: entry.reason for entry in facts.undecided}


def status(context: Context, host: str) -> tuple[str, bool]:
    facts = look(context, host, "dnssec")
    assert facts.dnssec is not None, facts.undecided
    return facts.dnssec.status, facts.dnssec.signed


# ---------------------------------------------------------------------------------------------------- DNSSEC

EXPECTED = {
    "signed.vn": ("secure", True),
    "www.signed.vn": ("secure", True),
    "deep.empty.signed.vn": ("secure", True),
    "any.wild.signed.vn": ("secure", True),
    "alias.signed.vn": ("secure", True),
    "away.signed.vn": ("secure", True),
    "nsec3.vn": ("secure", True),
    "www.nsec3.vn": ("secure", True),
    "deep.empty.nsec3.vn": ("secure", True),
    "unsigned.vn": ("insecure", False),
    "www.unsigned.vn": ("insecure", False),
    "island.vn": ("insecure", True),
    "strange.vn": ("insecure", True),
    "expired.vn": ("bogus", True),
    "early.vn": ("bogus", True),
    "mismatch.vn": ("bogus", True),
    "stripped.vn": ("bogus", False),
    "www.changed.vn": ("bogus", True),
}


@pytest.mark.parametrize("server", ["nsd", "knot", "named", "validator"])
def test_the_chain_of_trust(server: str, context_for: Contexts, request: pytest.FixtureRequest) -> None:
    context = context_for(request.getfixturevalue(server))
    assert {host: status(context, host) for host in EXPECTED} == EXPECTED


def test_the_words_say_what_is_wrong(nsd: int, context_for: Contexts) -> None:
    context = context_for(nsd)
    words = {
        host: look(context, host, "dnssec").dnssec
        for host in ("expired.vn", "early.vn", "mismatch.vn", "stripped.vn", "www.changed.vn", "unsigned.vn")
    }
    details = {host: dnssec.detail for host, dnssec in words.items() if dnssec}
    assert details == {
        "expired.vn": "expired.vn. DNSKEY: expired",
        "early.vn": "early.vn. DNSKEY: not yet valid",
        "mismatch.vn": "no key of mismatch.vn. is the one that the zone above names",
        "stripped.vn": "vn. has a DS record for stripped.vn., which has no DNSKEY",
        "www.changed.vn": "www.changed.vn. A: verify failure",
        "unsigned.vn": "vn. says that unsigned.vn. is not signed",
    }
    facts = look(context, "www.signed.vn", "dnssec")
    assert facts.dnssec is not None
    assert (facts.dnssec.zone, facts.dnssec.algorithms) == ("signed.vn.", ("ECDSAP256SHA256",))


def test_the_time_is_that_of_the_look(nsd: int, context_for: Contexts) -> None:
    context = context_for(nsd)
    context.now = lambda: datetime(2020, 1, 15, tzinfo=UTC)
    facts = look(context, "expired.vn", "dnssec")
    assert doubts(facts) == {"dnssec": Reason.RESOLVER}  # in 2020 the anchor's own signatures did not hold
    assert "not yet valid" in facts.undecided[0].detail


def test_a_name_that_does_not_exist(nsd: int, context_for: Contexts) -> None:
    facts = look(context_for(nsd), "nobody.signed.vn", "dnssec", "addresses")
    assert doubts(facts) == {"dnssec": Reason.NO_DATA}
    assert facts.exists is False
    assert facts.addresses == ()


def test_anchors(nsd: int, tree: object, context_for: Contexts) -> None:
    other = ". IN DS 1 13 2 " + "AB" * 32
    assert doubts(look(context_for(nsd, anchor=other), "signed.vn", "dnssec")) == {"dnssec": Reason.RESOLVER}
    assert doubts(look(context_for(nsd, anchor=""), "signed.vn", "dnssec")) == {"dnssec": Reason.RESOLVER}
    assert doubts(look(context_for(nsd, anchor="nonsense"), "signed.vn", "dnssec")) == {
        "dnssec": Reason.NO_DATA
    }
    elsewhere = "other.test. IN DS 1 13 2 " + "AB" * 32
    assert doubts(look(context_for(nsd, anchor=elsewhere), "signed.vn", "dnssec")) == {
        "dnssec": Reason.NO_DATA
    }
    # without keys a zone can't be signed, whatever the anchor
    assert status(context_for(nsd, anchor=elsewhere), "unsigned.vn") == ("insecure", False)
    assert status(context_for(nsd, anchor=""), "unsigned.vn") == ("insecure", False)


def test_an_anchor_in_the_middle(nsd: int, tree: object, context_for: Contexts) -> None:
    """The keys of the zone itself, as DNSKEY: the tree above is not asked."""
    path = tree.files["island.vn."]  # type: ignore[attr-defined]
    included = next(line.split()[1] for line in (path.parent / "zoneisland.vn.").read_text().splitlines()
                    if line.startswith("$INCLUDE"))  # fmt: skip
    with open(included) as key:  # noqa: PTH123
        anchor = "".join(line for line in key if not line.startswith(";"))
    assert status(context_for(nsd, anchor=anchor), "www.island.vn") == ("secure", True)


# --------------------------------------------------------------------------------------------------- records


def test_addresses(nsd: int, context_for: Contexts) -> None:
    context = context_for(nsd)
    facts = look(context, "away.signed.vn", "addresses")  # the chain crosses zones
    assert facts.addresses == ("127.0.0.9", "::1")
    assert (facts.ipv4, facts.ipv6) == (("127.0.0.9",), ("::1",))
    assert facts.aliases == ("www.unsigned.vn",)
    assert facts.exists is True
    facts = look(context, "dangle.signed.vn", "addresses", "dangling")
    assert facts.exists is True
    assert facts.addresses == ()
    assert facts.dangling is not None
    assert [(one.kind, one.target) for one in facts.dangling] == [("CNAME", "gone.unsigned.vn")]
    assert facts.undecided == ()
    assert context.connections == 0


def test_dangling_targets(nsd: int, context_for: Contexts) -> None:
    context = context_for(nsd)
    facts = look(context, "signed.vn", "dangling")
    assert facts.dangling is not None
    assert [(one.kind, one.target) for one in facts.dangling] == [("MX", "gone.signed.vn")]
    assert look(context, "unsigned.vn", "dangling").dangling == ()  # a null MX points nowhere on purpose
    facts = look(context, "lame.vn", "dangling")
    assert facts.dangling is not None
    assert [(one.kind, one.target) for one in facts.dangling] == [("NS", "ns.gone.vn")]


def test_caa(nsd: int, context_for: Contexts) -> None:
    context = context_for(nsd)
    found = look(context, "www.signed.vn", "caa").caa
    assert found is not None
    assert (found.present, found.at, found.issuers, found.wildcard_issuers, found.limits) == (
        True, "signed.vn", ("ca.example",), (), True,
    )  # fmt: skip
    nobody = look(context, "nsec3.vn", "caa").caa
    assert nobody is not None
    assert (nobody.limits, nobody.issuers) == (True, ())
    contact = look(context, "island.vn", "caa").caa
    assert contact is not None
    assert (contact.present, contact.limits) == (True, False)
    none = look(context, "unsigned.vn", "caa").caa
    assert none is not None
    assert not none.present


@pytest.mark.parametrize("server", ["nsd", "named"])
def test_zone_transfer(server: str, context_for: Contexts, request: pytest.FixtureRequest) -> None:
    context = context_for(request.getfixturevalue(server))
    facts = look(context, "www.given.vn", "transfer")
    assert facts.zone == "given.vn"
    assert facts.transfer_allowed == ("ns.given.vn",)
    facts = look(context, "signed.vn", "transfer")
    assert facts.transfer_allowed == ()
    assert facts.servers is not None
    assert [(one.name, one.asked, one.transfer) for one in facts.servers] == [
        ("ns.signed.vn", "127.0.0.1", "refused")
    ]
    assert facts.undecided == ()
    assert context.connections == 2


def test_name_servers_outside_the_networks_are_not_asked(nsd: int, context_for: Contexts) -> None:
    context = context_for(nsd, network="192.0.2.0/24")
    facts = look(context, "signed.vn", "transfer")
    assert facts.transfer_allowed == ()
    assert [(one.fact, one.member, one.reason) for one in facts.undecided] == [
        ("transfer_allowed", "ns.signed.vn", Reason.OUT_OF_SCOPE)
    ]
    assert context.connections == 0


def test_an_address_is_no_name(nsd: int, context_for: Contexts) -> None:
    for host in ("127.0.0.1", "[::1]", "::1"):
        with pytest.raises(ProbeFailed):
            look(context_for(nsd), host, "addresses")


# ------------------------------------------------------------------------------------------ bad name servers


def pair() -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on one port."""
    while True:
        listener = socket.create_server(("127.0.0.1", 0))
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            datagrams.bind(listener.getsockname())
        except OSError:
            listener.close()
            datagrams.close()
            continue
        return datagrams, listener


@pytest.fixture
def dns_server() -> Iterator[Callable[..., int]]:
    """A name server on UDP and TCP whose answers a function makes."""
    with contextlib.ExitStack() as stack:

        def start(udp: Callable[[bytes], bytes], tcp: Callable[[bytes], bytes] = lambda _: b"") -> int:
            datagrams, listener = pair()
            stack.enter_context(datagrams)
            stack.enter_context(listener)
            port = int(datagrams.getsockname()[1])

            def serve_udp() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        data, peer = datagrams.recvfrom(4096)
                        if data == b"stop":
                            return
                        if answer := udp(data):
                            datagrams.sendto(answer, peer)

            def serve_tcp() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        connection, _ = listener.accept()
                        with connection, contextlib.suppress(OSError):
                            connection.settimeout(5)
                            data = connection.recv(4096)
                            connection.sendall(tcp(data[2:]))

            for work in (serve_udp, serve_tcp):
                thread = threading.Thread(target=work)
                thread.start()
                stack.callback(thread.join, 10)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            stack.callback(datagrams.sendto, b"stop", ("127.0.0.1", port))
            return port

        yield start


def rcode(code: dns.rcode.Rcode) -> Callable[[bytes], bytes]:
    def answer(data: bytes) -> bytes:
        response = dns.message.make_response(dns.message.from_wire(data))
        response.set_rcode(code)
        return response.to_wire()

    return answer


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP, dns.rcode.FORMERR])
def test_a_resolver_that_does_not_say(
    dns_server: Callable[..., int], context_for: Contexts, code: dns.rcode.Rcode
) -> None:
    context = context_for(dns_server(rcode(code)))
    facts = look(context, "example.vn", "addresses", "caa", "dnssec", "transfer", "dangling")
    asked = "exists aliases ipv4 ipv6 addresses caa dnssec zone servers transfer_allowed dangling"
    assert set(doubts(facts)) == set(asked.split())
    assert set(doubts(facts).values()) == {Reason.RESOLVER}
    assert facts.exists is None


@pytest.mark.parametrize(
    "answer",
    [
        lambda data: b"",
        lambda data: b"\0" * 12,
        lambda data: data[:2] + b"\x80\0" + b"\xff" * 40,
        lambda data: b"\x12\x34" + rcode(dns.rcode.NOERROR)(data)[2:],
    ],
)
def test_a_resolver_that_talks_nonsense(
    dns_server: Callable[..., int],
    context_for: Contexts,
    answer: Callable[[bytes], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("seccheck.resolve._PACKET_SECONDS", 0.2)
    facts = look(context_for(dns_server(answer)), "example.vn", "caa")
    assert doubts(facts) == {"caa": Reason.RESOLVER}


def test_nobody_there(context_for: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seccheck.resolve._PACKET_SECONDS", 0.2)
    facts = look(context_for(free_port(kind=socket.SOCK_DGRAM)), "example.vn", "addresses")
    assert set(doubts(facts).values()) == {Reason.RESOLVER}


def test_a_resolver_that_strips_signatures(
    nsd: int, dns_server: Callable[..., int], context_for: Contexts
) -> None:
    """An old forwarder: what it passes on carries no DNSSEC records. That is no fault of the domain."""

    def strip(data: bytes) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
            upstream.settimeout(5)
            upstream.sendto(data, ("127.0.0.1", nsd))
            response = dns.message.from_wire(upstream.recv(65535))
        for section in (response.answer, response.authority):
            section[:] = [rrset for rrset in section if rrset.rdtype in {1, 2, 5, 6, 15, 28}]
        response.flags &= ~dns.flags.TC
        return response.to_wire()

    facts = look(context_for(dns_server(strip)), "signed.vn", "dnssec")
    assert facts.dnssec is None
    assert doubts(facts) == {"dnssec": Reason.RESOLVER}


def ns_answers(data: bytes) -> bytes:
    """A zone example.vn whose one name server is 127.0.0.1, where this server is."""
    question = dns.message.from_wire(data)
    response = dns.message.make_response(question)
    kind = question.question[0].rdtype.name
    name = question.question[0].name
    texts = {"SOA": "ns.example.vn. h.example.vn. 1 2 3 4 5", "NS": "ns.example.vn.", "A": "127.0.0.1"}
    owner = "ns.example.vn." if kind == "A" else "example.vn."
    if kind in texts and name.to_text() == owner:
        response.answer.append(dns.rrset.from_text(name, 60, "IN", kind, texts[kind]))
    return response.to_wire()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda data: b"", "refused"),
        (lambda data: framed(rcode(dns.rcode.REFUSED)(data)), "refused"),
        (lambda data: framed(rcode(dns.rcode.NOTAUTH)(data)), "refused"),
        (lambda data: framed(rcode(dns.rcode.NOERROR)(data)), "refused"),
        (lambda data: framed(rcode(dns.rcode.SERVFAIL)(data)), Reason.CONTRADICTORY),
        (lambda data: framed(b"nonsense"), Reason.CONTRADICTORY),
        (lambda data: framed(soa(data)), "refused"),
        (lambda data: framed(soa(data)) + framed(soa(data)), "allowed"),
    ],
)
def test_what_name_servers_answer_to_axfr(
    dns_server: Callable[..., int],
    context_for: Contexts,
    answer: Callable[[bytes], bytes],
    expected: str | Reason,
) -> None:
    facts = look(context_for(dns_server(ns_answers, answer)), "example.vn", "transfer")
    assert facts.servers is not None
    if isinstance(expected, Reason):
        assert doubts(facts) == {"transfer_allowed": expected}
    else:
        assert [one.transfer for one in facts.servers] == [expected]
        assert facts.undecided == ()


def framed(wire: bytes) -> bytes:
    return struct.pack(">H", len(wire)) + wire


def soa(data: bytes) -> bytes:

    question = dns.message.from_wire(data)
    response = dns.message.make_response(question)
    text = "ns.example.vn. h.example.vn. 1 2 3 4 5"
    response.answer.append(dns.rrset.from_text("example.vn.", 60, "IN", "SOA", text))
    return response.to_wire()


def test_a_port_that_refuses_tcp_refuses_transfers(context_for: Contexts) -> None:
    """Answers on UDP alone: transfers go over TCP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                data, peer = datagrams.recvfrom(4096)
                if data == b"stop":
                    return
                datagrams.sendto(ns_answers(data), peer)

        thread = threading.Thread(target=serve)
        thread.start()
        port = datagrams.getsockname()[1]
        try:
            facts = look(context_for(port), "example.vn", "transfer")
        finally:
            datagrams.sendto(b"stop", ("127.0.0.1", port))
            thread.join(5)
    assert facts.transfer_allowed == ()
    assert facts.undecided == ()


def test_an_address_without_a_name_server_tells_nothing(
    dns_server: Callable[..., int], context_for: Contexts
) -> None:
    def elsewhere(data: bytes) -> bytes:
        return ns_answers(data).replace(socket.inet_aton("127.0.0.1"), socket.inet_aton("127.77.66.55"))

    closed = Resolver(address="127.77.66.55", port=free_port("127.77.66.55"))
    scope = context_for(dns_server(elsewhere)).scope
    fields = {name: getattr(scope, name) for name in scope.__struct_fields__}
    context = Context(Scope(**{**fields, "resolvers": (*scope.resolvers, closed)}))
    facts = look(context, "example.vn", "transfer")
    assert facts.transfer_allowed == ()
    assert [(one.member, one.reason) for one in facts.undecided] == [("ns.example.vn", Reason.UNREACHABLE)]
