"""Heartbleed, CCS injection and ROBOT: found on servers that have them, not on those that have not.

No OpenSSL of today has these flaws. The servers here are made by hand after the published descriptions;
sslyze is asked about the same servers, so that two independent tests agree on what they are.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import select
import socket
import struct
import subprocess
import sys
import time
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from seccheck.demo.oldtls import alert, read_hello
from seccheck.model import Reason
from tests.probes.tls.conftest import Papers, Ports
from tests.probes.tls.looks import answer_of, doubts, facts_of
from tests.probes.tls.servers import Behaviour, behaving, flight, hello_of, message, record, s_server

TLS12, AES128_GCM = 0x0303, 0x009C
UNEXPECTED, BAD_MAC, DECRYPT = 10, 20, 51


class _Records:
    """Records as a client sends them."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.data = b""

    def next(self) -> tuple[int, bytes] | None:
        while len(self.data) < 5 or len(self.data) < 5 + int.from_bytes(self.data[3:5], "big"):
            more = self.sock.recv(65536)
            if not more:
                return None
            self.data += more
        length = int.from_bytes(self.data[3:5], "big")
        kind, body = self.data[0], self.data[5 : 5 + length]
        self.data = self.data[5 + length :]
        return kind, body


class Session:
    """The key schedule of TLS 1.2 with AES-128-GCM and a static RSA key (RFC 5246 8, RFC 5288)."""

    def __init__(self, private: Any, hello: bytes, answer: bytes) -> None:
        self.private = private
        self.numbers = private.private_numbers()
        self.transcript = hello[5:] + answer[5:]
        self.randoms = answer[11:43], hello[11:43]
        self.master = b""

    def open(self, exchange: bytes) -> bytes:
        """Take a ClientKeyExchange; the padded secret in it."""
        self.transcript += exchange
        number = pow(int.from_bytes(exchange[6:], "big"), self.numbers.d, self.numbers.public_numbers.n)
        padded = number.to_bytes(256, "big")
        server, client = self.randoms
        self.master = _prf(padded[-48:], b"master secret", client + server, 48)
        block = _prf(self.master, b"key expansion", server + client, 40)
        self.client_key, self.server_key = block[:16], block[16:32]
        self.client_salt, self.server_salt = block[32:36], block[36:40]
        return padded

    def finish(self, sealed: bytes) -> bytes:
        """Take the client's Finished; ours. Raises InvalidTag when it is not right."""
        more = struct.pack(">QBHH", 0, 22, TLS12, len(sealed) - 24)
        message = AESGCM(self.client_key).decrypt(self.client_salt + sealed[:8], sealed[8:], more)
        self.transcript += message
        digest = hashlib.sha256(self.transcript).digest()
        ours = b"\x14\0\0\x0c" + _prf(self.master, b"server finished", digest, 12)
        more = struct.pack(">QBHH", 0, 22, TLS12, len(ours))
        sealed = bytes(8) + AESGCM(self.server_key).encrypt(self.server_salt + bytes(8), ours, more)
        return record(20, TLS12, b"\x01") + record(22, TLS12, sealed)


def _prf(secret: bytes, label: bytes, seed: bytes, size: int) -> bytes:
    out, at = b"", label + seed
    while len(out) < size:
        at = hmac.digest(secret, at, "sha256")
        out += hmac.digest(secret, at + label + seed, "sha256")
    return out[:size]


CERTIFICATE_REQUEST = message(13, bytes.fromhex("01 01 0002 0401 0000"))


def flawed(
    papers: Papers, *, heartbeat: bool = False, ccs: bool = False, oracle: str = "", request: bytes = b""
) -> Behaviour:
    """A server of TLS 1.2 with one static RSA suite, and the flaws asked for."""

    def behave(sock: socket.socket) -> None:
        records = _Records(sock)
        kind, body = records.next() or (0, b"")
        raw = record(kind, 0x0301, body)
        hello = read_hello(raw) if kind == 22 else None
        if hello is None or hello.highest < TLS12 or AES128_GCM not in hello.suites:
            sock.sendall(alert(40 if hello and hello.highest >= TLS12 else 70, TLS12))
            return
        answer = flight(hello, TLS12, AES128_GCM, (papers.rsa.der,), more=request)
        sock.sendall(answer)
        session = Session(papers.rsa.key, raw, answer)
        padded = b""
        while (came := records.next()) is not None:
            kind, body = came
            if kind == 24 and heartbeat:
                claimed = int.from_bytes(body[1:3], "big")
                leak = (body[3:] + bytes(claimed))[:claimed]
                sock.sendall(record(24, TLS12, b"\x02" + body[1:3] + leak + bytes(16)))
            elif kind == 22 and not padded:
                if body[0] == 11:  # the client's Certificate, empty
                    session.transcript, body = session.transcript + body[:7], body[7:]
                padded = session.open(body) if body else b""
            elif kind == 20 and (ccs or padded):
                continue  # takes the change of cipher, key or no key
            elif padded:
                sock.sendall(_last_word(session, padded, body, oracle, sock))
                sock.recv(1000)
                return
            else:
                sock.sendall(alert(BAD_MAC if ccs else UNEXPECTED, TLS12))
                return

    return behave


def _last_word(session: Session, padded: bytes, finished: bytes, oracle: str, sock: socket.socket) -> bytes:
    """What the server says to a Finished; an oracle says more than that it was wrong."""
    well = padded[:2] == b"\0\2" and b"\0" not in padded[2:-49] and padded[-49:-46] == b"\0\3\3"
    if well:
        try:
            return session.finish(finished)
        except InvalidTag:
            pass
    elif oracle == "alert":
        return alert(DECRYPT, TLS12)
    elif oracle == "silence":
        sock.recv(100)
        return b""
    return alert(_mood() if oracle == "moody" else BAD_MAC, TLS12)


_moods = iter(range(10**9))


def _mood() -> int:
    return (20, 51, 50, 20, 40, 51, 20)[next(_moods) % 7]


def sslyze_says(port: int) -> dict[str, Any]:
    """What sslyze's own scan commands find, in a process of its own."""
    code = """
import json, sys
from sslyze import ScanCommand, Scanner, ServerNetworkLocation, ServerScanRequest
where = ServerNetworkLocation("portal.example.vn", int(sys.argv[1]), ip_address="127.0.0.1")
def ask(command):
    scanner = Scanner(per_server_concurrent_connections_limit=1)
    scanner.queue_scans([ServerScanRequest(where, scan_commands={command})])
    (result,) = scanner.get_results()
    return getattr(result.scan_result, command.value).result
print(json.dumps({
    "heartbleed": ask(ScanCommand.HEARTBLEED).is_vulnerable_to_heartbleed,
    "ccs_injection": ask(ScanCommand.OPENSSL_CCS_INJECTION).is_vulnerable_to_ccs_injection,
    "robot": ask(ScanCommand.ROBOT).robot_result.value.startswith("VULNERABLE"),
}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(port)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout))


FLAWS = ("heartbleed", "ccs_injection", "robot")


@pytest.mark.parametrize(
    ("flaw", "options"),
    [
        (None, {}),
        ("heartbleed", {"heartbeat": True}),
        ("ccs_injection", {"ccs": True}),
        ("robot", {"oracle": "alert"}),
    ],
)
def test_a_flaw_is_found_and_only_that(papers: Papers, flaw: str | None, options: dict[str, Any]) -> None:
    with behaving(flawed(papers, **options)) as port:
        facts = facts_of(port, "flaws")

    assert {name: getattr(facts, name) for name in FLAWS} == {name: name == flaw for name in FLAWS}
    assert facts.undecided == ()


def test_a_reset_that_swallows_the_answer_is_seen_through(papers: Papers) -> None:
    """A server that answers the first heartbeat and closes with the rest unread: the close is a reset."""

    def behave(sock: socket.socket) -> None:
        hello = hello_of(sock)
        if hello.highest < TLS12 or AES128_GCM not in hello.suites:
            sock.sendall(alert(70 if hello.highest < TLS12 else 40, TLS12))
            return
        sock.sendall(flight(hello, TLS12, AES128_GCM, (papers.rsa.der,)))
        head = sock.recv(5)
        if head[:1] != b"\x18":
            sock.sendall(alert(UNEXPECTED, TLS12))
            return
        body = sock.recv(int.from_bytes(head[3:5], "big"))
        if not _more(sock):  # else the close that follows is a reset, with or without the answer
            sock.sendall(record(24, TLS12, b"\x02" + body[1:] + bytes(16)))
            sock.recv(10)

    with behaving(behave) as port:
        assert facts_of(port, "flaws").heartbleed is True


class _BrokenOff:
    """A connection that something in between ends at the first `times` provocations."""

    def __init__(self, behave: Behaviour, how: str, times: int) -> None:
        self.behave, self.how, self.left = behave, how, {b"\x18": times, b"\x14": times}

    def __call__(self, sock: socket.socket) -> None:
        self.behave(_Wire(sock, self))  # type: ignore[arg-type]


class _Wire:
    def __init__(self, sock: socket.socket, path: _BrokenOff) -> None:
        self.sock, self.path = sock, path
        self.sendall = sock.sendall

    def recv(self, size: int) -> bytes:
        data = self.sock.recv(size)
        if self.path.left.get(data[:1], 0):
            self.path.left[data[:1]] -= 1
            if _more(self.sock):  # unread, it would make a reset of any close
                self.sock.recv(size)
            if self.path.how == "reset":
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise OSError("broken off")
        return data


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_path_that_breaks_off_once_hides_no_flaw(papers: Papers, how: str) -> None:
    path = _BrokenOff(flawed(papers, heartbeat=True, ccs=how == "close"), how, 1)
    with behaving(path) as port:
        facts = facts_of(port, "flaws")

    assert facts.heartbleed is True
    if how == "close":
        assert facts.ccs_injection is True


def test_a_path_that_resets_every_test_of_a_flaw_leaves_it_open(papers: Papers) -> None:
    with behaving(_BrokenOff(flawed(papers, heartbeat=True, ccs=True), "reset", 100)) as port:
        facts = facts_of(port, "flaws")

    assert (facts.heartbleed, facts.ccs_injection) == (None, None)
    assert {one.fact: one.reason for one in facts.undecided} == {
        "heartbleed": Reason.RATE_LIMITED,
        "ccs_injection": Reason.RATE_LIMITED,
    }


def _more(sock: socket.socket) -> bool:
    """Whether something more has come."""
    time.sleep(0.05)
    return bool(select.select([sock], [], [], 0)[0])


def test_a_silent_oracle_is_one_too(papers: Papers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seccheck.probes.tls.flaws._SECONDS", 0.5)
    with behaving(flawed(papers, oracle="silence")) as port:
        assert facts_of(port, "flaws").robot is True


@pytest.mark.parametrize("oracle", ["", "alert"])
def test_an_oracle_is_found_where_a_client_certificate_is_welcome(papers: Papers, oracle: str) -> None:
    with behaving(flawed(papers, oracle=oracle, request=CERTIFICATE_REQUEST)) as port:
        facts = facts_of(port, "flaws", "certificates")

    assert facts.client_certificate == "optional"
    assert facts.robot is bool(oracle)


def test_where_a_client_certificate_is_a_must_there_is_no_telling(papers: Papers) -> None:
    options = "-Verify", "1", "-tls1_2", "-cipher", "AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
    with s_server(papers.rsa_chain, papers.rsa_key, *options) as port:
        facts = facts_of(port, "flaws", "features", "certificates")

    assert (facts.robot, facts.client_renegotiation) == (None, None)
    assert doubts(facts, "robot") == doubts(facts, "client_renegotiation") == {None: Reason.ACCESS}


def test_moods_are_no_oracle(papers: Papers) -> None:
    with behaving(flawed(papers, oracle="moody")) as port:
        facts = facts_of(port, "flaws")

    assert facts.robot is None
    assert doubts(facts, "robot") == {None: Reason.CONTRADICTORY}


def test_sound_servers_have_none(ports: Ports) -> None:
    for port in (ports.good, ports.old):
        facts = facts_of(port, "flaws")
        assert [getattr(facts, name) for name in FLAWS] == [False, False, False]


def test_robot_fits_into_the_budget_of_a_common_weak_server(ports: Ports) -> None:
    answer = answer_of(ports.common, "versions", "suites", "groups", "certificates", "features", "flaws")

    assert answer.connections <= 40
    assert answer.facts.undecided == ()
    assert set(answer.facts.suite_classes) == {"cbc", "static-rsa", "fs-aead", "other-aead"}
    assert answer.facts.robot is False


@pytest.mark.parametrize("options", [{}, {"heartbeat": True}, {"ccs": True}, {"oracle": "alert"}])
def test_sslyze_agrees(papers: Papers, options: dict[str, Any]) -> None:
    with behaving(flawed(papers, **options)) as port:
        facts = facts_of(port, "flaws")
        theirs = sslyze_says(port)

    assert {name: getattr(facts, name) for name in FLAWS} == theirs
