"""Deadlines, slow takers, cancellation, broken insides: one look never costs another."""

from __future__ import annotations

import resource
import socket
import threading
import time
from pathlib import Path

import pytest

from seccheck.model import Reason
from seccheck.probes import Answer, Look
from seccheck.probes.tls import engine
from seccheck.probes.tls.facts import TlsParams
from seccheck.probes.tls.visit import Visit
from tests.probes.tls.conftest import Papers, Ports
from tests.probes.tls.looks import EVERYTHING, Queue, answer_of, context, endpoint, look_at
from tests.probes.tls.servers import behaving, block, nginx

VERSIONS = TlsParams(ask=("versions",))


def silent(sock: socket.socket) -> None:
    sock.recv(1000)
    time.sleep(30)


def dribble(sock: socket.socket) -> None:
    """A flight that never ends: one true byte at a time."""
    sock.recv(1000)
    for byte in b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03" + bytes(500):
        sock.sendall(bytes((byte,)))
        time.sleep(0.05)


def flood(sock: socket.socket) -> None:
    sock.recv(1000)
    while True:
        sock.sendall(b"\x16\x03\x03\x40\x00" + b"\0\0\0\0" * 4096)


@pytest.mark.parametrize("behaviour", [silent, dribble, flood])
def test_hostile_servers_end_in_time_and_hold_up_nobody(
    behaviour: object, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CONNECTION_SECONDS", 1.5)
    with behaving(behaviour) as port:  # type: ignore[arg-type]
        looks = [
            Look(key=key, endpoint=endpoint(at), params=VERSIONS)
            for key, at in (("hostile", port), ("good", ports.good))
        ]
        answers: dict[str, Answer] = {}

        def emit(answer: Answer) -> None:
            answers[answer.key] = answer

        began = time.monotonic()
        engine.collect_many(Queue(looks), emit, context())
        seconds = time.monotonic() - began

    assert answers["good"].facts.versions == ("TLSv1.2", "TLSv1.3")
    if behaviour is not flood:  # which is given up at once
        assert list(answers) == ["good", "hostile"]
    assert answers["hostile"].failed in {Reason.TIMEOUT, Reason.CONTRADICTORY}
    assert seconds < 20  # of themselves they go on for half a minute
    assert answers["hostile"].connections <= 6


def test_the_deadline_of_a_visit_covers_all_its_connections(
    ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "FIRST_VISIT_SECONDS", 0.05)
    monkeypatch.setattr(engine, "SECOND_VISIT_SECONDS", 0.05)
    monkeypatch.setattr(engine, "PAUSE_SECONDS", 0.05)

    def slow(sock: socket.socket) -> None:
        hello = sock.recv(4000)
        time.sleep(0.02)
        with socket.create_connection(("127.0.0.1", ports.good)) as far:
            far.sendall(hello)
            sock.sendall(far.recv(65536))
            sock.recv(100)

    with behaving(slow) as port:
        answer = answer_of(port, "versions")

    assert answer.failed or answer.facts.undecided
    assert answer.connections < 16  # what it takes without a deadline


def test_a_slow_taker_does_not_stop_the_clock(ports: Ports) -> None:
    looks = [Look(key=str(i), endpoint=endpoint(ports.good), params=VERSIONS) for i in range(8)]
    answers: list[Answer] = []

    def slow(answer: Answer) -> None:
        time.sleep(0.15)
        answers.append(answer)

    engine.collect_many(Queue(looks), slow, context())

    assert len(answers) == 8
    assert all(answer.facts.versions == ("TLSv1.2", "TLSv1.3") for answer in answers)


def test_looks_come_as_a_stream(ports: Ports) -> None:
    class Trickle(Queue):
        """Gives one look every 50 ms, and closes a while after the last."""

        def __init__(self, looks: list[Look]) -> None:
            super().__init__(looks)
            self.next = time.monotonic()
            self.end = self.next + 0.05 * len(looks) + 0.3

        def take(self, wait: float) -> Look | None:
            if not self.looks or time.monotonic() < self.next:
                time.sleep(min(wait, 0.02))
                return None
            self.next += 0.05
            return super().take(wait)

        @property
        def closed(self) -> bool:
            return time.monotonic() > self.end

    looks = [Look(key=str(i), endpoint=endpoint(ports.good), params=VERSIONS) for i in range(5)]
    answers: list[Answer] = []
    engine.collect_many(Trickle(looks), answers.append, context())

    assert sorted(answer.key for answer in answers) == ["0", "1", "2", "3", "4"]


def test_an_error_of_the_taker_ends_the_loop_and_leaves_no_socket(ports: Ports) -> None:
    def broken(_answer: Answer) -> None:
        raise KeyboardInterrupt

    looks = [Look(key=str(i), endpoint=endpoint(ports.good), params=VERSIONS) for i in range(300)]
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        engine.collect_many(Queue(looks), broken, context())
    assert threading.active_count() <= before


def test_a_bug_costs_one_look(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = Visit.answered

    def stumble(self: Visit, number: int, offer: object, reply: object) -> None:
        if self.ask.name == "stumble.example.vn":
            raise ZeroDivisionError("on purpose")
        answered(self, number, offer, reply)  # type: ignore[arg-type]

    monkeypatch.setattr(Visit, "answered", stumble)
    bad, good = look_at(
        [endpoint(ports.good, host="stumble.example.vn"), endpoint(ports.good)], VERSIONS, context()
    )

    assert (bad.failed, bad.detail.startswith("ZeroDivisionError: on purpose")) == (Reason.BUG, True)
    assert good.facts.versions == ("TLSv1.2", "TLSv1.3")


def test_few_descriptors_are_enough(ports: Ports) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, hard))
    try:
        answers = look_at([endpoint(ports.good)] * 60, VERSIONS)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert {answer.facts.versions for answer in answers if answer.facts} == {("TLSv1.2", "TLSv1.3")}
    assert all(answer.failed is None for answer in answers)


def test_a_second_visit_finds_what_a_limiter_hid(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten connections, then resets until half a second has passed: one slower retry decides the rest."""
    monkeypatch.setattr(engine, "PAUSE_SECONDS", 0.6)
    count, blocked_until = 0, 0.0
    lock = threading.Lock()

    def limiter(sock: socket.socket) -> None:
        nonlocal count, blocked_until
        with lock:
            count += 1
            if count == 10:
                blocked_until = time.monotonic() + 0.5
        if time.monotonic() < blocked_until:
            import struct

            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        with socket.create_connection(("127.0.0.1", ports.old)) as far:
            far.sendall(sock.recv(4000))
            while data := far.recv(65536):
                sock.sendall(data)
                if data.endswith(b"\x0e\0\0\0") or len(data) == 7:
                    break
            sock.recv(100)

    with behaving(limiter) as port:
        answer = answer_of(port, "versions")

    assert answer.facts.versions == ("TLSv1.0", "TLSv1.1")
    assert {entry.member for entry in answer.facts.undecided} <= {"SSLv2", "SSLv3", "TLSv1.2", "TLSv1.3"}
    assert answer.connections <= 40


def test_memory_stays_flat(papers: Papers, tmp_path: Path) -> None:
    """Three hundred looks leave no more behind than thirty."""
    with nginx(tmp_path, block(papers.ec_chain, papers.ec_key)) as (port,):
        params = TlsParams(ask=EVERYTHING)
        look_at([endpoint(port)] * 60, params)
        before = _resident()
        look_at([endpoint(port)] * 300, params)

    assert _resident() - before < 6_000


def _resident() -> int:
    """Kilobytes of memory in use."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
