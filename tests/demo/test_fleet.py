"""Starting and ending the fleet: what is written, what other layouts look like, what is left behind."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from seccheck.criteria import load_criteria
from seccheck.demo.certificates import Authority
from seccheck.demo.fleet import Fleet
from seccheck.demo.layout import bind
from seccheck.demo.machine import UNUSED, Machine, look
from seccheck.demo.papers import machine_breaks, write
from seccheck.demo.systems import systems
from seccheck.demo.zones import ZoneKey
from seccheck.errors import SeccheckError
from seccheck.probes import load_probes
from seccheck.registry import load_registry
from seccheck.waivers import load_waivers
from tests.demo.conftest import Running
from tests.tools import wait_for

PARENT = """
import sys, time
from pathlib import Path
from seccheck.demo.fleet import Fleet
with Fleet() as fleet:
    print(fleet.start(Path(sys.argv[1])), fleet.pid, flush=True)
    time.sleep(60)
"""


def listening(registry: Path) -> list[tuple[str, int]]:
    systems = load_registry(registry).systems
    return [(target.address, target.port) for system in systems for target in system.targets]


def answers(place: tuple[str, int]) -> bool:
    try:
        socket.create_connection(place, timeout=2).close()
    except ConnectionRefusedError:
        return False
    return True


def gone(pid: int) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_the_registry_names_every_service_and_each_answers(running: Running) -> None:
    assert len(running.registered) == 124
    targets = [target for system in running.registered.values() for target in system.targets]
    assert len(targets) > 200
    assert all(target.port >= 1024 and target.loopback for target in targets)
    assert all(answers((target.address, target.port)) for target in targets)
    assert len({system.targets[0].address for system in running.registered.values()}) == 124


def test_the_registry_says_that_it_is_a_demonstration(running: Running) -> None:
    text = (running.folder / "registry.yaml").read_text(encoding="utf-8")
    assert "demonstration: true" in text
    registry = load_registry(running.folder / "registry.yaml")
    assert "TRÌNH DIỄN" in registry.name.vi
    assert "DEMONSTRATION" in registry.name.en


def test_only_the_declared_ports_and_the_doors_are_open(running: Running) -> None:
    machine = set(look(UNUSED).tcp)
    for id_ in ("nghe-an-mail", "mard-dichvucong"):
        system = running.registered[id_]
        doors = {port for door in running.systems[id_].conduct.doors for port in door.ports}
        found = set(look(running.address(id_)).tcp) - machine
        assert found >= {target.port for target in system.targets}
        assert found - {target.port for target in system.targets} <= doors


def test_ports_of_the_machine_itself_are_approved_and_said_so(tmp_path: Path) -> None:
    with socket.socket() as own:
        own.bind(("0.0.0.0", 0))
        own.listen()
        port = own.getsockname()[1]
        with Fleet() as fleet:
            registry = fleet.start(tmp_path)
            assert port in fleet.machine_ports
            for system in load_registry(registry).systems:
                assert port in system.approved_ports[system.targets[0].address]
            assert "no system is to blame" in registry.read_text(encoding="utf-8").lower()


def test_a_port_that_a_service_wants_is_left_to_the_machine(tmp_path: Path) -> None:
    layout = bind(systems(), Machine(tcp=(6379, 8443)), one_address=False)
    try:
        registry = load_registry(write(tmp_path, layout, Authority(), ZoneKey()))
        assert 8443 not in {target.port for system in registry.systems for target in system.targets}
        place = next(one for one in layout.places if one.system.id == "ninh-binh-dichvucong")
        assert [port for _door, port in place.doors] == [27017]
    finally:
        layout.close()
    # A database port that is open on every address is no system's finding: waived, and by name.
    waivers = load_waivers(tmp_path / "waivers.yaml")
    waived = [
        one for one in waivers if one.criterion != "DNS-06"
    ]  # that one is written where IPv6 is missing
    assert {one.criterion for one in waived} == {"NET-02"}
    assert {one.system for one in waived} == {one.id for one in systems() if "NET-02" not in one.fails()}
    assert "6379/tcp" in waived[0].reason


def test_no_waiver_is_written_without_need(running: Running) -> None:
    waived = load_waivers(running.fleet.waivers) if running.fleet.waivers else ()
    blamed = set(machine_breaks(Machine(running.fleet.machine_ports, udp=(53, 123, 1900))))
    assert {one.criterion for one in waived} <= blamed | {"DNS-06"}


def test_a_machine_without_ipv6_is_excused_openly(tmp_path: Path) -> None:
    layout = bind(systems(), Machine(), one_address=False)
    layout = replace(layout, places=tuple(replace(place, ipv6=False) for place in layout.places))
    try:
        write(tmp_path, layout, Authority(), ZoneKey())
    finally:
        layout.close()
    waived = load_waivers(tmp_path / "waivers.yaml")
    assert {one.criterion for one in waived} == {"DNS-06"}
    assert {one.system for one in waived} == {
        one.id for one in systems() if "https" in one.services and one.level >= 2
    }


def test_a_machine_that_uses_every_port_is_told_so() -> None:
    with pytest.raises(SeccheckError) as caught:
        bind(systems(), Machine(tcp=tuple(range(1024, 65536))), one_address=False)
    assert "every port" in caught.value.message


def test_what_the_machine_breaks_by_itself_is_read_from_the_catalogue() -> None:
    assert machine_breaks(Machine()) == {}
    assert machine_breaks(Machine(tcp=(2024, 8080))) == {}
    assert machine_breaks(Machine(tcp=(2376, 3389), udp=(53,))) == {
        "NET-03": "3389/tcp",
        "NET-05": "2376/tcp",
        "NET-06": "53/udp",
    }


def test_documents_are_there_and_are_what_the_registry_says(running: Running) -> None:
    criteria = load_criteria("project06-2024", load_probes()).criteria
    today = datetime.now(UTC).date()
    units = {}
    asked_for = [one for one in criteria if one.needs_document or one.id in {"PAT-01", "PAT-02", "PAT-03"}]
    for system in running.registered.values():
        assert set(system.evidence) == {one.id for one in asked_for if one.text.from_level <= system.level}
        for criterion, document in system.evidence.items():
            content = (running.folder / document.file).read_bytes()
            assert hashlib.sha256(content).hexdigest() == document.sha256
            assert 0 < (today - document.issued).days < 28
            assert (document.states == "not-met") == (criterion in running.systems[system.id].conduct.not_met)
            assert system.unit in document.file
            units[system.unit] = content.decode()
    assert len(units) == 84
    assert "chưa đáp ứng / not met: BAK-03" in units["tay-ninh"]


def test_the_registry_stays_of_a_size_to_be_read(running: Running) -> None:
    assert (running.folder / "registry.yaml").stat().st_size < 1_100_000


def test_all_systems_share_one_address_where_there_is_but_one(tmp_path: Path) -> None:
    with Fleet(one_address=True) as fleet:
        registry = fleet.start(tmp_path)
        assert fleet.one_address
        loaded = load_registry(registry)
        assert loaded.networks[0] == "127.0.0.1/32"
        places = listening(registry)
        assert {address for address, _port in places} == {"127.0.0.1"}
        assert len(set(places)) == len(places)
        assert all(answers(place) for place in places)
        [server] = loaded.resolvers
        open_now = {port for _address, port in places} | {server.port, *fleet.machine_ports}
        for system in loaded.systems:
            assert set(system.approved_ports["127.0.0.1"]) == open_now
        truth = fleet.expected()
        assert sum(bool(broken) for broken in truth.values()) == 28
        assert not any(criterion.startswith("NET") for broken in truth.values() for criterion in broken)


def test_two_fleets_do_not_meet(running: Running, tmp_path: Path) -> None:
    with Fleet() as other:
        places = set(listening(other.start(tmp_path)))
        assert not places & set(listening(running.folder / "registry.yaml"))
        assert all(answers(place) for place in places)


def test_it_starts_in_a_few_seconds(tmp_path: Path) -> None:
    """Of a processor to itself: what else runs here is not the fleet's to answer for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with Fleet() as fleet:
        fleet.start(tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5


def test_stopping_leaves_nothing(tmp_path: Path) -> None:
    with Fleet() as fleet:
        places = listening(fleet.start(tmp_path))
        pid = fleet.pid
        assert pid
    assert gone(pid)
    assert not any(answers(place) for place in places[:10])
    fleet.stop()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_fleet_dies_with_its_parent(tmp_path: Path, how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        registry, pid = parent.stdout.readline().split()
        assert answers(listening(Path(registry))[0])
        parent.send_signal(how)
        parent.wait(10)
    wait_for(lambda: gone(int(pid)), 10, "the end of the fleet")
    assert not answers(listening(Path(registry))[0])


def test_ctrl_c_ends_the_parent_first_and_then_the_fleet(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout
        assert parent.stderr
        _registry, pid = parent.stdout.readline().split()
        os.killpg(parent.pid, signal.SIGINT)  # as a terminal does: the helper gets it as well
        assert parent.stderr.read().count("Traceback") == 1
    assert gone(int(pid))


def test_a_defect_that_does_not_exist_is_refused_with_what_was_meant(tmp_path: Path) -> None:
    with Fleet(extra_defects={"ha-noi-dichvucong": ("tsl10",)}) as fleet:
        with pytest.raises(SeccheckError) as caught:
            fleet.start(tmp_path)
        assert "did you mean 'tls10'" in caught.value.next_step
    assert fleet.pid is None
