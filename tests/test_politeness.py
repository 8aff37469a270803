"""How gently a target is treated: pace, pauses under strain, shared networks, authorised hours."""

import json
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from seccheck.assessment import collect, prepare
from seccheck.criteria import load_criteria
from seccheck.demo import Fleet
from seccheck.executors import lanes
from seccheck.executors.lanes import Lanes
from seccheck.executors.local import LocalExecutor
from seccheck.model import Reason, digest
from seccheck.observation import Observation
from seccheck.permission import Limits, Permission, Scope, Window, network_of
from seccheck.plan import Job
from seccheck.probes import Endpoint, ProbeFailed, load_probes
from seccheck.registry import load_registry, scope_of
from seccheck.resolve import resolve
from seccheck.runfolder import RunFolder
from seccheck.scope import Context, source_address
from seccheck.touched import notice
from tests import counting
from tests.test_resume import SCAN, run


def job(address, number=0):
    endpoint = Endpoint(address=address, port=443, service="https")
    return Job(key=digest([address, number]), probe="http", version=1, endpoint=endpoint, params={})


def seen(one, failed=None, **facts):
    return Observation(
        job=one.key,
        probe=one.probe,
        version=1,
        endpoint=one.endpoint,
        params={},
        started="2026-11-23T06:00:00Z",
        finished="2026-11-23T06:00:01Z",
        facts=None if failed else facts,
        failed=failed,
    )


DEFAULT = Limits()


def scope(limits=DEFAULT, window=None, network="10.0.0.0/8"):
    return Scope(permissions=(Permission(network=network, limits=limits, window=window),))


# ------------------------------------------------------------------------------------ whose turn it is


def test_few_addresses_of_one_network_are_looked_at_together():
    jobs = [job(f"10.0.{net}.{host}", number) for net in (0, 1) for host in range(30) for number in (0, 1)]
    waiting = Lanes(jobs, scope(Limits(addresses_at_once=4)))
    first = list(waiting.ready())
    assert (
        sorted(network_of(one.endpoint.address) for one in first) == ["10.0.0.0/24"] * 4 + ["10.0.1.0/24"] * 4
    )
    assert len({one.endpoint.address for one in first}) == 8
    assert list(waiting.ready()) == []
    waiting.done(seen(first[0]))
    (following,) = waiting.ready()
    assert network_of(following.endpoint.address) == network_of(first[0].endpoint.address)


def test_every_job_has_its_turn(monkeypatch):
    monkeypatch.setattr(lanes, "REST", 0.001)
    jobs = [job(f"10.0.0.{host}", number) for host in range(25) for number in range(4)]
    jobs += [job("127.0.0.1", number) for number in range(3)]
    waiting = Lanes(jobs, scope(Limits(connections_per_second=1000)))
    done = []
    while len(done) < len(jobs):
        for one in list(waiting.ready()):
            done.append(one)
            waiting.done(seen(one))
        time.sleep(0.001)
    assert {one.key for one in done} == {one.key for one in jobs}
    assert waiting.stuck


def test_an_address_rests_longer_with_each_sign_of_strain(monkeypatch):
    monkeypatch.setattr(lanes, "REST", 0.05)
    waiting = Lanes(
        [job("10.0.0.1", number) for number in range(9)], scope(Limits(connections_per_second=1000))
    )
    pauses = []
    for failed in (None, Reason.TIMEOUT, Reason.RATE_LIMITED, Reason.TIMEOUT, None, None):
        began = time.monotonic()
        while not (ready := list(waiting.ready())):
            time.sleep(0.001)
        pauses.append(time.monotonic() - began)
        waiting.done(seen(ready[0], failed))
    assert pauses[1] < 0.05 <= pauses[2] < pauses[3] < pauses[4]
    assert pauses[5] < 0.05


def test_a_doubt_about_the_pace_is_a_sign_of_strain_too():
    doubtful = seen(job("10.0.0.1"), undecided=[{"fact": "versions", "reason": "rate-limited"}])
    assert lanes.shows_strain(doubtful)
    assert not lanes.shows_strain(
        seen(job("10.0.0.1"), undecided=[{"fact": "hsts", "reason": "not-offered"}])
    )


# ------------------------------------------------------------------------------------ authorised hours

NIGHT = Window(since=date(2026, 11, 1), until=date(2026, 11, 30), hours="22:00-05:00")


def at(text):
    return datetime.fromisoformat(text).astimezone(UTC)


def test_midnight_in_the_middle_changes_nothing_and_the_end_of_the_night_does():
    clock = ["2026-11-10T23:59:59+07:00"]
    waiting = Lanes([job("10.0.0.1", n) for n in range(4)], scope(window=NIGHT), lambda: at(clock[0]))
    (first,) = waiting.ready()
    clock[0] = "2026-11-11T00:00:01+07:00"
    waiting.done(seen(first))
    time.sleep(0.11)
    (second,) = waiting.ready()
    clock[0] = "2026-11-11T05:00:00+07:00"
    half_done = seen(second, undecided=[{"fact": "paths", "reason": "not-probed"}])
    assert waiting.cut_short(half_done)
    assert waiting.cut_short(seen(second, Reason.NOT_PROBED))
    assert not waiting.cut_short(seen(second, Reason.TIMEOUT))
    assert not waiting.cut_short(seen(second))
    waiting.done(half_done)
    time.sleep(0.11)
    assert list(waiting.ready()) == []
    assert waiting.stuck
    clock[0] = "2026-11-11T22:00:00+07:00"
    assert not waiting.stuck
    assert len(list(waiting.ready())) == 1


@pytest.mark.parametrize(
    ("moment", "hours", "later"),
    [
        ("2026-10-01T12:00:00+07:00", "", True),
        ("2026-12-01T00:00:00+07:00", "", False),
        ("2026-11-30T21:59:00+07:00", "22:00-05:00", True),
        ("2026-12-01T05:00:00+07:00", "22:00-05:00", False),
        ("2026-11-30T09:00:00+07:00", "08:00-09:00", False),
        ("2026-11-29T09:00:00+07:00", "08:00-09:00", True),
    ],
)
def test_whether_the_hours_come_again(moment, hours, later):
    window = Window(since=NIGHT.since, until=NIGHT.until, hours=hours)
    assert not window.open_at(at(moment))
    assert window.opens_later(at(moment)) is later


def test_when_the_last_day_is_over_not_probed_is_the_final_word():
    waiting = Lanes([job("10.0.0.1")], scope(window=NIGHT), lambda: at("2026-12-02T00:00:00+07:00"))
    assert not waiting.stuck
    (only,) = waiting.ready()
    assert not waiting.cut_short(seen(only, Reason.NOT_PROBED))


def test_what_the_hours_leave_is_looked_at_when_they_begin(tmp_path):
    """From the command line: nothing is touched outside the hours; a resumption inside them finishes."""
    now = datetime.now(UTC)
    tomorrow = date.fromordinal(now.date().toordinal() + 2)
    days = f"{{from: {tomorrow}, until: {tomorrow}}}"
    closed = f"  authorisation: {{approved_by: A, document: B, valid: {days}, hours: 01:00-02:00 UTC}}\n"
    with counting.fleet(4) as fleet:
        counting.write_registry(tmp_path, fleet.ports, closed)
        _, err = run(*SCAN, "--notice", "notice.txt", cwd=tmp_path, status=130)
        assert "outside the authorised hours for what is left" in err
        assert not fleet.connections
        assert f"from {tomorrow} to {tomorrow} 01:00-02:00 UTC" in (tmp_path / "notice.txt").read_text()
        path = tmp_path / "run/inputs/scope.json"
        path.write_text(path.read_text().replace(str(tomorrow), str(now.date())).replace("01:00-02:00", ""))
        run("scan", "--resume", "run", "--format", "", cwd=tmp_path)
        assert set(fleet.connections.values()) == {1}


# ------------------------------------------------------------------------------------ pace and strain


def accepting(listener, answer, times):
    while True:
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        times.append(time.monotonic())
        with peer:
            if answer == "reset":
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            elif answer != "silence":
                peer.sendall(answer)
            else:
                time.sleep(0.12)


@pytest.mark.parametrize(
    "answer",
    ["reset", "silence", b"421 4.3.2 come back later\r\n", b"HTTP/1.1 429 Too Many Requests\r\n\r\n"],
)
def test_pauses_grow_while_a_target_shows_strain(answer):
    times: list[float] = []
    context = Context(scope(Limits(connections_per_second=1000), network="127.0.0.1/32"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accepting, args=(listener, answer, times))
        thread.start()
        for _ in range(5):
            with (
                suppress(ProbeFailed),
                context.dial("127.0.0.1", listener.getsockname()[1], seconds=0.1) as connection,
            ):
                connection.receive()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    pauses = [after - before for before, after in pairwise(times)]
    assert pauses[1] >= 0.15
    assert pauses[2] >= 0.35
    assert pauses[3] >= 0.75


def test_a_good_answer_ends_the_pauses():
    context = Context(scope(Limits(connections_per_second=1000), network="127.0.0.1/32"))
    context.admit("127.0.0.1")
    for _ in range(4):
        context.strained("127.0.0.1")
    assert context.admit("127.0.0.1") > 0.5
    context.strained("127.0.0.1", sign=False)
    time.sleep(0.002)
    assert context.admit("127.0.0.1") == 0


def test_pace_is_kept_over_all_names_probes_and_criteria_of_an_address(tmp_path):
    """Twelve systems on one address, two probes each: never more than the budget in any second."""
    times: list[float] = []
    with counting.fleet(12, delay=0.0) as fleet:
        fleet.told = lambda: times.append(time.monotonic())
        counting.write_registry(tmp_path, fleet.ports, "  limits: {connections_per_second: 10}\n")
        registry = load_registry(tmp_path / "registry.yaml")
        criteria = load_criteria("project06-2026", load_probes(), profile="technical", select="WEB-02,PAT-01")
        folder = prepare(tmp_path / "run", registry, criteria, lambda _names: {})
        assert {one.probe for one in folder.plan.jobs} >= {"http", "banner"}
        assert collect(folder, LocalExecutor(load_probes()), lambda *_: None)
    assert len(times) >= 24
    gaps = [after - before for before, after in pairwise(times)]
    assert min(gaps) > 0.08
    assert fleet.most == 1


# ------------------------------------------------------------------------------------ fragile systems


def _little_endian(address):
    return socket.inet_aton(address)[::-1].hex().upper()


def watch(address, stop, scans):
    """Readings of the kernel's table: which connections to `address` are begun and not ended."""
    wanted = _little_endian(address)
    while not stop.is_set():
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        mine = (row for row in rows if row[2].startswith(wanted) and row[3] in {"01", "02"})
        scans.append({(row[1], row[2], row[9]) for row in mine})


def at_once(scans):
    """How many there were at one moment, for certain.

    The table is read piece by piece, so connections that followed each other may both be in it. One that was
    there before and after a reading was there during all of it, beside whatever else was read.
    """
    readings = zip(scans, scans[1:], scans[2:], strict=False)
    return max((len(now) for before, now, after in readings if before & now & after), default=0)


@pytest.mark.parametrize("is_fragile", [True, False])
def test_a_fragile_system_gets_one_connection_at_a_time_whatever_the_probe(tmp_path, is_fragile):
    """And any other gets more, which shows that more would have been seen."""
    with Fleet(tmp_path / "fleet") as fleet:
        registry = load_registry(fleet.registry)
        chosen = max(registry.systems, key=lambda one: len({target.service for target in one.targets}))
        fragile = registry.model_copy(
            update={"systems": (chosen.model_copy(update={"fragile": is_fragile}),)}
        )
        scoped = scope_of(fragile)
        criteria = load_criteria("project06-2026", load_probes(), profile="technical")
        folder = prepare(tmp_path / "run", fragile, criteria, lambda names: resolve(names, scoped))
        (address,) = {target.literal_address for target in chosen.targets}
        stop, scans = threading.Event(), []
        thread = threading.Thread(target=watch, args=(address, stop, scans))
        thread.start()
        try:
            probes = set()
            assert collect(folder, LocalExecutor(load_probes()), lambda one, *_: probes.add(one.probe))
        finally:
            stop.set()
            thread.join()
    assert probes >= {"tls", "http", "banner", "ports"}
    assert at_once(scans) == 1 if is_fragile else at_once(scans) > 1


# ------------------------------------------------------------------------------------ who was there


def test_the_account_and_the_notice_say_who_touched_what_from_where(tmp_path):
    with counting.fleet(3) as fleet:
        counting.write_registry(tmp_path, fleet.ports, "  limits: {connections_per_second: 50}\n")
        run(*SCAN, "--notice", "notice.txt", cwd=tmp_path)
    account = json.loads((tmp_path / "run/touched.json").read_text())
    assert account["schema"] == "seccheck.touched/1"
    (address,) = account["addresses"]
    assert address["address"] == "127.0.0.1"
    assert address["connections"] == account["connections"] == 3 == sum(fleet.connections.values())
    assert address["probes"] == [{"probe": "http", "looks": 3, "connections": 3}]
    assert address["first"] <= address["last"]
    (session,) = account["sessions"]
    assert session["machine"] == socket.gethostname()
    assert session["sources"] == ["127.0.0.1"]
    assert session["started"] <= session["ended"]
    text = (tmp_path / "notice.txt").read_text()
    assert "127.0.0.1: about 6 connections, at most 64 at once, 50 a second" in text
    assert socket.gethostname() in text
    vietnamese = notice(RunFolder.open(tmp_path / "run"), "vi")
    assert "127.0.0.1: khoảng 6 kết nối, tối đa 64 kết nối cùng lúc, 50 kết nối mỗi giây" in vietnamese


def test_the_way_to_an_address_is_asked_without_a_packet():
    assert source_address("127.0.0.1") == "127.0.0.1"
    assert source_address("::1") in {"::1", ""}
    assert source_address("no address") == ""
