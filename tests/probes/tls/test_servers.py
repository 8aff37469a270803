"""What real servers are is what is said of them."""

from __future__ import annotations

import socket
import time
from itertools import combinations
from pathlib import Path

import pytest

from seccheck.model import Reason
from seccheck.probes.tls import PROBE
from seccheck.probes.tls.facts import TlsParams
from seccheck.scope import Limits, Permission
from tests.probes.tls.conftest import Papers, Ports, accepted
from tests.probes.tls.looks import (
    EVERYTHING,
    answer_of,
    context,
    doubts,
    endpoint,
    facts_of,
    look_at,
)
from tests.probes.tls.servers import (
    Behaviour,
    answering,
    behaving,
    block,
    flight,
    hello_of,
    nginx,
    only,
    retry,
    s_server,
    ssl2,
)
from tests.tools import free_port

OLD = 0x0005, 0x000A, 0x002F  # RC4, 3DES, AES-CBC with static RSA


def test_a_sound_server_is_fully_told(ports: Ports, papers: Papers) -> None:
    answer = answer_of(ports.good, door=context(papers.root.pem))
    facts = answer.facts

    assert answer.failed is None
    assert facts.undecided == ()
    assert facts.offered is True
    assert facts.starttls is None
    assert facts.versions == ("TLSv1.2", "TLSv1.3")
    assert facts.suite_classes == ("fs-aead",)
    assert {suite.version for suite in facts.suites} == {"TLSv1.2", "TLSv1.3"}
    assert {"x25519", "secp256r1"} <= set(facts.groups)
    assert facts.dh_bits == ()
    assert (facts.compression, facts.extended_master_secret) == (False, True)
    assert (facts.secure_renegotiation, facts.client_renegotiation) == (True, False)
    assert facts.fallback_scsv is True
    assert (facts.heartbleed, facts.ccs_injection, facts.robot) == (False, False, False)
    assert (facts.client_certificate, facts.needs_name) == ("none", False)
    (chain,) = facts.chains
    assert chain.seen_with == ("TLSv1.2", "TLSv1.3", "no-name")
    assert (chain.judged, chain.names_host, chain.trusted, chain.complete) == (True, True, True, True)
    assert chain.anchor == "CN=Test Root"
    assert [cert.subject for cert in chain.path] == ["CN=rsa", "CN=Test Intermediate"]


def test_a_weak_server_is_fully_told(ports: Ports) -> None:
    facts = facts_of(ports.bad, "versions", "suites", "groups", "features")

    assert facts.undecided == ()
    assert facts.versions == ("TLSv1.0", "TLSv1.2", "TLSv1.3")
    assert set(facts.suite_classes) == {"null", "anon", "md5", "cbc", "static-rsa", "fs-aead", "other-aead"}
    assert facts.dh_bits == (1024,)
    assert {"secp224r1", "secp256r1"} <= set(facts.groups)
    assert facts.client_renegotiation is False


def test_old_versions_alone_are_told(ports: Ports) -> None:
    facts = facts_of(ports.old)

    assert facts.versions == ("TLSv1.0", "TLSv1.1")
    assert doubts(facts, "versions") == {}
    assert "cbc" in facts.suite_classes
    assert "fs-aead" not in facts.suite_classes
    assert facts.chains[0].seen_with == ("TLSv1.0", "TLSv1.1", "no-name")


def test_a_server_that_needs_the_name(ports: Ports) -> None:
    facts = facts_of(ports.named, "certificates", "versions")

    assert facts.versions == ("TLSv1.2", "TLSv1.3")
    assert facts.needs_name is True
    assert [chain.judged for chain in facts.chains] == [True]


def test_a_name_the_server_does_not_know_is_no_access(ports: Ports) -> None:
    answer = answer_of(ports.named, "versions", host="other.example.vn")

    assert answer.failed is Reason.ACCESS


def test_an_address_is_never_sent_as_name(papers: Papers) -> None:
    seen: list[frozenset[int]] = []

    def answer(hello):  # type: ignore[no-untyped-def]
        seen.append(hello.extensions)
        return retry(hello, hello.groups[0]) if hello.highest == 0x0304 else b"\x15\x03\x01\0\2\2\x46"

    with behaving(answering(answer)) as port:
        facts = facts_of(port, "versions", host="127.0.0.1")
        assert facts.versions == ("TLSv1.3",)
        assert not any(0 in extensions for extensions in seen)
        seen.clear()
        facts_of(port, "versions")
        assert all(0 in extensions for extensions in seen if extensions)


def test_the_certificate_of_an_address(ports: Ports) -> None:
    facts = facts_of(ports.good, "certificates", host="127.0.0.1")

    assert facts.chains[0].names_host is True
    assert facts.needs_name is None


def test_tls_1_3_alone(papers: Papers) -> None:
    with s_server(papers.ec_chain, papers.ec_key, "-tls1_3") as port:
        facts = facts_of(port)

    assert facts.undecided == ()
    assert facts.versions == ("TLSv1.3",)
    assert facts.suite_classes == ()
    assert (facts.compression, facts.secure_renegotiation, facts.client_renegotiation) == (False, True, False)
    assert (facts.heartbleed, facts.ccs_injection, facts.robot) == (False, False, False)
    assert facts.chains[0].seen_with == ("TLSv1.3",)


def test_tls_1_2_alone(papers: Papers) -> None:
    with s_server(papers.ec_chain, papers.ec_key, "-tls1_2", "-cipher", "ECDHE+AESGCM") as port:
        facts = facts_of(port)

    assert facts.undecided == ()
    assert facts.versions == ("TLSv1.2",)
    assert facts.suite_classes == ("fs-aead",)
    assert {"x25519", "secp256r1", "x448", "secp384r1", "secp521r1"} <= set(facts.groups)


@pytest.mark.parametrize(("verify", "expected"), [("-verify", "optional"), ("-Verify", "required")])
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_client_certificate_is_wanted(papers: Papers, verify: str, expected: str, version: str) -> None:
    with s_server(papers.ec_chain, papers.ec_key, verify, "1", version) as port:
        facts = facts_of(port, "certificates", "versions")

    assert facts.client_certificate == expected
    assert facts.versions == (("TLSv1.2",) if version == "-tls1_2" else ("TLSv1.3",))
    assert facts.chains[0].certificates[0].subject == "CN=ec"


def test_a_second_certificate_is_found(papers: Papers, tmp_path: Path) -> None:
    second = f"ssl_certificate {papers.ec_chain}; ssl_certificate_key {papers.ec_key};"
    with nginx(tmp_path, block(papers.rsa_chain, papers.rsa_key, more=second)) as (port,):
        facts = facts_of(port, "certificates")

    assert {chain.certificates[0].key_type for chain in facts.chains} == {"rsa", "ec"}
    assert all(chain.judged for chain in facts.chains)
    assert doubts(facts, "chains") == {}


def test_client_renegotiation_is_found(papers: Papers) -> None:
    with s_server(papers.rsa_chain, papers.rsa_key, "-tls1_2", "-client_renegotiation") as port:
        assert facts_of(port, "features").client_renegotiation is True


def test_ipv6(papers: Papers, tmp_path: Path) -> None:
    port = free_port("::1")
    listen = f"[::1]:{port}"
    with nginx(tmp_path, block(papers.rsa_chain, papers.rsa_key) + f"listen {listen} ssl;"):
        facts = facts_of(port, "versions", "certificates", address="::1")

    assert facts.versions == ("TLSv1.2", "TLSv1.3")


# ---------------------------------------------------------------- what no current OpenSSL serves, by hand


def test_ssl_2_alone_is_said_and_no_error(papers: Papers) -> None:
    with behaving(ssl2(papers.rsa.der)) as port:
        facts = facts_of(port)

    assert facts.offered is True
    assert facts.versions == ("SSLv2",)
    assert {"rc4", "3des", "md5"} <= set(facts.suite_classes)
    assert facts.chains[0].seen_with == ("SSLv2",)
    assert facts.chains[0].judged is True


def test_ssl_3_alone_is_said_and_no_error(papers: Papers) -> None:
    with behaving(only(0x0300, OLD, (papers.rsa.der,))) as port:
        facts = facts_of(port, "versions", "suites", "certificates")

    assert facts.versions == ("SSLv3",)
    assert doubts(facts, "versions") == {}
    assert facts.suite_classes == ("rc4", "3des", "cbc", "static-rsa")
    assert facts.chains[0].judged is True


def test_every_weak_class_is_told_apart(papers: Papers) -> None:
    suites = 0x003C, 0x009C, 0x0004, 0x0008, 0x0007, 0x0062  # a strong-looking one first, the worst behind it
    with behaving(only(0x0303, suites, (papers.rsa.der,))) as port:
        facts = facts_of(port, "versions", "suites")

    assert facts.suite_classes == ("export", "rc4", "des", "md5", "idea", "cbc", "static-rsa", "other-aead")
    assert facts.undecided == ()


def test_compression_is_found(papers: Papers) -> None:
    def answer(hello):  # type: ignore[no-untyped-def]
        if hello.highest != 0x0303 or 0x009C not in hello.suites:
            return b"\x15\x03\x01\0\2\2\x28"
        return flight(hello, 0x0303, 0x009C, (papers.rsa.der,), compression=1)

    with behaving(answering(answer)) as port:
        facts = facts_of(port, "features")

    assert facts.compression is True
    assert (facts.secure_renegotiation, facts.extended_master_secret) == (False, False)


def test_post_quantum_groups_are_named() -> None:
    offered = [0x11EC, 0x001D]

    def answer(hello):  # type: ignore[no-untyped-def]
        common = [group for group in offered if group in hello.groups]
        if hello.highest != 0x0304 or not common:
            return b"\x15\x03\x01\0\2\2" + (b"\x28" if hello.highest == 0x0304 else b"\x46")
        return retry(hello, common[0])

    with behaving(answering(answer)) as port:
        facts = facts_of(port, "groups")

    assert facts.groups == ("x25519", "x25519mlkem768")
    assert facts.undecided == ()


def test_an_answer_outside_the_offer_is_no_evidence() -> None:
    def answer(hello):  # type: ignore[no-untyped-def]
        return flight(hello, 0x0303, 0xC0FF)

    with behaving(answering(answer)) as port:
        assert answer_of(port, "versions").failed is Reason.CONTRADICTORY


# ---------------------------------------------------------------------------------- no TLS, no answer


@pytest.mark.parametrize(
    "text", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2p1\r\n", b"220 mail ready\r\n"]
)
def test_plain_text_is_no_offer(text: bytes) -> None:
    def talk(sock: socket.socket) -> None:
        sock.recv(100)
        sock.sendall(text)

    with behaving(talk) as port:
        facts = facts_of(port)

    assert facts.offered is False
    assert facts.versions is None
    assert set(doubts(facts, "versions").values()) == {Reason.NOT_OFFERED}
    assert set(doubts(facts, "chains").values()) == {Reason.NOT_OFFERED}


PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def in_clear(answer: bytes, *, patient: bool) -> Behaviour:
    """A site that answers a request in clear, and a hello not at all."""

    def talk(sock: socket.socket) -> None:
        if sock.recv(4000).startswith(b"GET / HTTP/1.0\r\nHost: portal.example.vn\r\n"):
            sock.sendall(answer)
        elif patient:
            sock.recv(4000)

    return talk


@pytest.mark.parametrize("patient", [True, False])
@pytest.mark.parametrize("page", [PAGE, b"HTTP/1.0 302 Found\r\nLocation: /login\r\n\r\n"])
def test_a_site_in_clear_is_no_offer(page: bytes, patient: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seccheck.probes.tls.engine.CONNECTION_SECONDS", 0.5)
    with behaving(in_clear(page, patient=patient)) as port:
        answer = answer_of(port, "versions", "certificates")

    assert answer.facts.offered is False
    assert set(doubts(answer.facts, "versions").values()) == {Reason.NOT_OFFERED}
    assert answer.connections <= (4 if patient else 9)


@pytest.mark.parametrize(
    ("page", "service"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\nThe plain HTTP request was sent to HTTPS port", "https"),
        (b"HTTP/1.1 301 Moved\r\nLocation: https://portal.example.vn/\r\n\r\n", "https"),
        (b"HTTP/1.1 503 Busy\r\n\r\n", "https"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\nYou are blocked", "https"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://blocked.example/\r\n\r\n", "https"),
        (b"HTTP/1.1 302 Found\r\nLocation: //blocked.example/\r\n\r\n", "https"),
        (b"what?\r\n", "https"),
        (PAGE, "tls"),
    ],
)
def test_a_site_that_asks_for_tls_or_is_shut_off_may_offer_it(
    page: bytes, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seccheck.probes.tls.engine.CONNECTION_SECONDS", 0.4)
    with behaving(in_clear(page, patient=True)) as port:
        answer = answer_of(port, "versions", service=service)

    assert answer.failed is Reason.TIMEOUT


def test_an_alert_to_a_hello_of_ssl_2_refuses_that(papers: Papers) -> None:
    """NSS calls it unexpected; whoever speaks SSL 2.0 answers in its words."""

    def talk(sock: socket.socket) -> None:
        hello = hello_of(sock)
        modern = hello.highest == 0x0304 and 0x1D in hello.groups
        alert = bytes((21, 3, 1, 0, 2, 2, 10 if hello.highest == 2 else 70 if hello.highest < 0x0304 else 40))
        sock.sendall(retry(hello, 0x1D) if modern else alert)
        sock.recv(100)

    with behaving(talk) as port:
        facts = facts_of(port, "versions", "suites", "groups", "flaws")

    assert facts.versions == ("TLSv1.3",)
    assert facts.undecided == ()


def test_silence_to_ssl_2_hides_ssl_2_only(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seccheck.probes.tls.engine.CONNECTION_SECONDS", 0.4)
    monkeypatch.setattr("seccheck.probes.tls.engine.PAUSE_SECONDS", 0.1)

    def talk(sock: socket.socket) -> None:
        hello = sock.recv(4000)
        if hello[0] & 0x80:
            sock.recv(100)
            return
        with socket.create_connection(("127.0.0.1", ports.good)) as far:
            far.sendall(hello)
            sock.sendall(far.recv(65536))
            sock.recv(100)

    with behaving(talk) as port:
        facts = facts_of(port, "versions", "suites", "groups")

    assert doubts(facts, "versions") == {"SSLv2": Reason.TIMEOUT}
    assert set(doubts(facts, "suite_classes")) == {
        "export",
        "rc4",
        "des",
        "3des",
        "md5",
        "rc2",
        "idea",
        "cbc",
        "static-rsa",
    }
    assert doubts(facts, "groups") == doubts(facts, "dh_bits") == {}


def test_a_clean_refusal_of_every_version_is_no_offer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seccheck.probes.tls.engine.PAUSE_SECONDS", 0.1)
    with behaving(answering(lambda _hello: b"\x15\x03\x01\0\2\2\x28")) as port:
        facts = facts_of(port, "versions", "suites")

    assert facts.offered is False
    assert set(doubts(facts, "suite_classes").values()) == {Reason.NOT_OFFERED}


def test_garbage_says_nothing() -> None:
    def talk(sock: socket.socket) -> None:
        sock.recv(100)
        sock.sendall(bytes(range(1, 200)))

    with behaving(talk) as port:
        assert answer_of(port).failed is Reason.CONTRADICTORY


def test_a_refused_connection_is_unreachable_at_once() -> None:
    answer = answer_of(free_port())

    assert answer.failed is Reason.UNREACHABLE
    assert answer.connections <= 2


def test_outside_the_scope_nothing_is_sent() -> None:
    door = context(permissions=(Permission(network="10.0.0.0/8"),))
    answer = answer_of(free_port(), door=door)

    assert answer.failed is Reason.OUT_OF_SCOPE
    assert answer.connections == 0


# ---------------------------------------------------------------------------------- connections


@pytest.mark.parametrize(
    ("ask", "thorough", "expected"),
    [
        (("offered",), True, 2),
        (("versions", "suites", "certificates"), False, 7),
        (("versions",), True, 16),
        (("certificates",), True, 8),
        (("versions", "suites", "groups", "certificates", "features", "flaws"), True, 31),
        (EVERYTHING, True, 32),
    ],
)
def test_connections_are_as_planned(
    ports: Ports, ask: tuple[str, ...], thorough: bool, expected: int
) -> None:
    params = TlsParams(ask=ask, thorough=thorough)  # type: ignore[arg-type]
    before = accepted(ports)
    (answer,) = look_at([endpoint(ports.good)], params)

    assert accepted(ports) - before - 1 == expected
    assert answer.connections == expected
    assert PROBE.connections(endpoint(ports.good), params) == expected


@pytest.mark.parametrize("thorough", [True, False])
def test_every_combination_is_planned_right(ports: Ports, thorough: bool) -> None:
    asks = [ask for ask in EVERYTHING if ask != "offered"]
    chosen = [
        TlsParams(ask=some, thorough=thorough) for size in range(8) for some in combinations(asks, size)
    ]
    made = [look_at([endpoint(ports.good)], params)[0].connections for params in chosen]

    assert made == [PROBE.connections(endpoint(ports.good), params) for params in chosen]


def test_never_more_than_forty(ports: Ports) -> None:
    answer = answer_of(ports.bad)

    assert answer.connections <= 40
    assert answer.facts.versions == ("TLSv1.0", "TLSv1.2", "TLSv1.3")


def test_the_pace_of_the_scope_is_kept(ports: Ports) -> None:
    limits = Limits(connections_per_second=20, connections_at_once=1)
    door = context(permissions=(Permission(network="127.0.0.0/8", limits=limits),))
    began = time.monotonic()
    (answer,) = look_at([endpoint(ports.good)], TlsParams(ask=("versions",)), door)

    assert answer.facts.versions == ("TLSv1.2", "TLSv1.3")
    assert time.monotonic() - began >= (answer.connections - 1) / 20


def test_sni_is_the_idna_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seccheck.probes.tls.engine.PAUSE_SECONDS", 0.1)
    names: list[bytes] = []

    def talk(sock: socket.socket) -> None:
        names.append(sock.recv(4000))

    with behaving(talk) as port:
        answer_of(port, "offered", host="cổng.example.vn")

    assert b"\x00\x16xn--cng-qmz.example.vn" in names[0]


def closing(port: int) -> Behaviour:
    """What stands on `port`, with a close in place of every alert."""

    def talk(sock: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as far:
            far.sendall(sock.recv(4000))
            while (data := far.recv(65536)) and data[0] != 21:
                sock.sendall(data)
                sock.settimeout(0.01)
                try:
                    if not (more := sock.recv(4000)):
                        return
                    far.sendall(more)
                except TimeoutError:
                    continue

    return talk


@pytest.mark.parametrize("server", ["good", "common"])
@pytest.mark.parametrize("ask", [("versions",), ("versions", "suites", "groups", "certificates")])
def test_a_server_that_closes_on_every_refusal_is_told_in_one_visit(
    ports: Ports, server: str, ask: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some do, without an alert."""
    monkeypatch.setattr("seccheck.probes.tls.engine.PAUSE_SECONDS", 1e6)  # too long for a second visit
    with behaving(closing(getattr(ports, server))) as port:
        answer = answer_of(port, *ask)

    assert answer.facts.versions == ("TLSv1.2", "TLSv1.3")
    assert answer.facts.undecided == ()
    assert answer.connections <= 40
