"""The other engine: the same facts as ours, its raw XML read honestly, nothing but addresses passed on."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path

import msgspec
import pytest

from seccheck.model import Reason
from seccheck.permission import Limits
from seccheck.probes.ports import PROBE
from seccheck.probes.ports.facts import PortsParams
from seccheck.probes.ports.look import REFUSED, SAMPLE, SILENT, SYN_ACK, UNREACHABLE
from seccheck.probes.ports.nmap import arguments, host_seconds, port_list, read
from seccheck.scope import UNLIMITED
from tests.probes.ports.servers import Place, answers, facts, some_address
from tests.tools import free_port, tool

ENGINE = "SECCHECK_PORTS_ENGINE"
ASKED = (80, 443, 3306, 5432)
ALL_SILENT = dict.fromkeys(ASKED, SILENT)
MANY = tuple(range(21000, 21060))
"""More than the sample that our own engine takes of an address without declared services."""


@pytest.fixture(autouse=True)
def with_nmap(monkeypatch: pytest.MonkeyPatch) -> None:
    tool("nmap")
    monkeypatch.setenv(ENGINE, "nmap")


def test_both_engines_see_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open, closed, filtered, a tarpit, a refusing host and a silent one, IPv6: but for the engine's name."""
    monkeypatch.setattr("seccheck.probes.ports.look.SECOND", 1.6)
    places = [Place(some_address()) for _ in range(4)] + [Place("::1")]
    mixed, tarpit, refusing, silent, six = places
    try:
        listening = (mixed.tcp(), mixed.greeting(b"220 FTP\r\n"), mixed.tcp())
        others = (free_port(mixed.address), mixed.silent()[0])
        looks = {
            mixed.address: PortsParams(
                tcp=(*listening, *others), tcp_sets=("top-1000",), declared=listening[:1]
            ),
            tarpit.address: PortsParams(tcp=tuple(tarpit.tcp() for _ in range(40)), declared=(tarpit.tcp(),)),
            refusing.address: PortsParams(tcp_sets=("table",), declared=(free_port(refusing.address),)),
            silent.address: PortsParams(tcp=(silent.silent()[0],), declared=(silent.silent()[0],)),
            six.address: PortsParams(tcp=(six.tcp(), free_port("::1")), declared=(six.tcp(),)),
        }
        by_nmap = answers(looks)
        monkeypatch.setenv(ENGINE, "connect")
        by_us = answers(looks)
    finally:
        for place in places:
            place.close()
    assert by_nmap.keys() == by_us.keys() == looks.keys()
    for address in looks:
        assert by_nmap[address].failed == by_us[address].failed
        assert by_nmap[address].detail == by_us[address].detail
        if by_us[address].facts:
            theirs = msgspec.to_builtins(by_nmap[address].facts)
            ours = msgspec.to_builtins(by_us[address].facts)
            assert re.fullmatch(r"nmap [\d.]+", theirs.pop("engine"))
            assert ours.pop("engine") == "connect"
            assert theirs == ours
    assert by_us[mixed.address].facts.filtered_count == 1
    assert set(listening) <= set(by_us[mixed.address].facts.open)
    assert by_us[silent.address].failed is Reason.TIMEOUT


def fake_nmap(folder: Path, script: str) -> Path:
    """An nmap in front of the real one, which `$REAL` names."""
    folder.mkdir(exist_ok=True)
    path = folder / "nmap"
    path.write_text(f"#!/bin/sh\nREAL={tool('nmap')}\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_an_nmap_that_dies_costs_the_one_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    """It dies by a signal in the middle of its output whenever a certain address is among those asked."""
    poison, log = some_address(), tmp_path / "log"
    script = (
        f'echo "$@" >> {log}\ncase "$*" in *{poison}*) "$REAL" "$@" | head -c 900; kill -SEGV $$;; esac\n'
        'exec "$REAL" "$@"'
    )
    fake_nmap(tmp_path / "bin", script)
    real_path = "/usr/bin:/bin:/usr/sbin"
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{real_path}")
    others = [some_address() for _ in range(6)]
    port = place.tcp()
    params = PortsParams(tcp=(*MANY, port))
    found = answers(dict.fromkeys([*others[:3], poison, *others[3:], place.address], params))
    assert found[poison].failed is Reason.CRASHED
    assert found[place.address].facts.open == (port,)
    assert all(found[address].facts.closed_count == len(MANY) + 1 for address in others)
    runs = [line for line in log.read_text().splitlines() if "-sT" in line]
    assert 1 < len(runs) <= 9
    assert sum(len(re.findall(r"127\.\d+\.\d+\.\d+", line)) for line in runs[:1]) == 8


def test_an_nmap_that_says_nothing_is_no_closed_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nmap(tmp_path / "bin", 'case "$*" in *-sT*) exit 0;; esac\nexec "$REAL" "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    address = some_address()
    assert answers({address: PortsParams(tcp=MANY)})[address].failed is Reason.CRASHED


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command lines that reach nmap."""
    log = tmp_path / "calls"
    fake_nmap(
        tmp_path / "bin", f'for part in "$@"; do printf "%s\\n" "$part"; done >> {log}\nexec "$REAL" "$@"'
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return log


@pytest.mark.parametrize(
    "name",
    [
        "127.0.0.1 --script-help=banner", "--script=exec", "127.0.0.1/8", "127.0.0.1-9", "-oN=/tmp/x",
        "localhost", "127.0.0.1;id", "$(id)", "fe80::1%lo", "\n127.0.0.1",
    ],
)  # fmt: skip
def test_no_name_becomes_an_option(name: str, calls: Path) -> None:
    answer = answers({name: PortsParams(tcp=(80,))})[name]
    assert answer.failed is Reason.OUT_OF_SCOPE
    assert not calls.exists()


def test_only_addresses_ports_and_our_options_are_passed(calls: Path) -> None:
    address = some_address()
    facts(address, PortsParams(tcp=MANY))
    words = calls.read_text().splitlines()
    run = words[words.index("-oX") :]
    left = MANY[SAMPLE:]
    assert run[:5] == ["-oX", "-", address, "-p", f"{left[0]}-{left[-1]}"]
    assert run[5:] == arguments([address], UNLIMITED, host_seconds(len(left), UNLIMITED)).split()


def test_the_pace_holds_for_nmap_too(calls: Path) -> None:
    gentle = Limits(connections_per_second=10, connections_at_once=4, ports_per_second=100)
    address = some_address()
    facts(address, PortsParams(tcp=MANY), gentle)
    words = calls.read_text().split()
    assert words[words.index("--scan-delay") + 1] == "10ms"
    assert words[words.index("--max-rate") + 1] == "100"
    slow = arguments(["127.0.0.1", "127.0.0.2"], Limits(ports_per_second=5, connections_at_once=1), 60)
    assert "--scan-delay 200ms --max-rate 10 --max-parallelism 2" in slow
    assert arguments(["::1"], UNLIMITED, 60).endswith("-6")


def test_which_engine_is_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: Place) -> None:
    declared = place.tcp()
    large = PortsParams(tcp_sets=("top-1000",), declared=(declared,))
    small = PortsParams(tcp_sets=("table",), declared=(declared,))
    monkeypatch.delenv(ENGINE)
    assert facts(place.address, small).engine == "connect"
    assert facts(place.address, large).engine.startswith("nmap ")
    assert (
        facts(place.address, large, Limits(ports_per_second=10_000, connections_at_once=9)).engine
        == "connect"
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    assert facts(place.address, large).engine == "connect"
    for wish in ("nmap", "masscan"):
        monkeypatch.setenv(ENGINE, wish)
        assert answers({place.address: small})[place.address].failed is Reason.NOT_PROBED


def host(inner: str, attributes: str = "", address: str = "127.0.0.9") -> str:
    return (
        f'<host {attributes}><status state="up"/><address addr="{address}" addrtype="ipv4"/>{inner}'
        '<times srtt="1"/></host>'
    )


def document(*hosts: str, end: str = '<runstats><finished exit="success"/></runstats></nmaprun>') -> bytes:
    return f'<?xml version="1.0"?><!DOCTYPE nmaprun><nmaprun>{"".join(hosts)}{end}'.encode()


PORT = '<port protocol="tcp" portid="{}"><state state="{}" reason="{}"/><service name="x"/></port>'


def test_states_and_reasons_are_read() -> None:
    given = (
        ("open", "syn-ack"),
        ("closed", "conn-refused"),
        ("filtered", "no-response"),
        ("filtered", "admin"),
    )
    rows = "".join(PORT.format(port, *told) for port, told in zip(ASKED, given, strict=True))
    seen = read(document(host(f"<ports>{rows}</ports>")), ASKED)["127.0.0.9"]
    assert seen.ports == {80: SYN_ACK, 3306: SILENT, 5432: UNREACHABLE}
    assert not seen.timed_out


EXTRA = '<extraports state="{0}" count="{1}"><extrareasons reason="{2}" count="{1}" {3}/></extraports>'


def test_ports_that_are_only_counted_are_not_lost() -> None:
    """python-nmap drops `extraports`: a host of a thousand filtered ports looks like one without any."""
    named = EXTRA.format("filtered", 4, "no-response", 'proto="tcp" ports="80,443,3306,5432"')
    assert read(document(host(f"<ports>{named}</ports>")), ASKED)["127.0.0.9"].ports == dict.fromkeys(
        ASKED, SILENT
    )
    counted = EXTRA.format("filtered", 4, "no-responses", "")
    assert read(document(host(f"<ports>{counted}</ports>")), ASKED)["127.0.0.9"].ports == dict.fromkeys(
        ASKED, SILENT
    )
    closed = EXTRA.format("closed", 4, "conn-refused", "")
    assert read(document(host(f"<ports>{closed}</ports>")), ASKED)["127.0.0.9"].ports == {}


def test_what_nmap_does_not_account_for_is_looked_at_again() -> None:
    """Two kinds of counted ports without their numbers (older versions), and a host without any ports."""
    both = EXTRA.format("closed", 2, "conn-refused", "") + EXTRA.format("filtered", 2, "no-response", "")
    assert read(document(host(f"<ports>{both}</ports>")), ASKED)["127.0.0.9"].ports == dict.fromkeys(
        ASKED, SILENT
    )
    assert read(document(host("")), ASKED)["127.0.0.9"].ports == ALL_SILENT


def test_a_host_that_timed_out_is_known() -> None:
    assert read(document(host("", 'timedout="true"')), ASKED)["127.0.0.9"].timed_out


def test_of_xml_that_is_cut_short_the_complete_hosts_count() -> None:
    whole = document(
        host(f"<ports>{PORT.format(80, 'open', 'syn-ack')}</ports>"), host("", address="127.0.0.10")
    )
    for length in range(0, len(whole), 7):
        seen = read(whole[:length], (80,))
        assert set(seen) <= {"127.0.0.9", "127.0.0.10"}
        if "127.0.0.9" in seen:
            assert seen["127.0.0.9"].ports == {80: SYN_ACK}
    assert len(read(whole, (80,))) == 2
    assert read(b"", (80,)) == {}


def test_xml_that_declares_entities_is_refused() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE n [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><nmaprun>&b;</nmaprun>'
    with pytest.raises(ValueError, match="entities"):
        read(bomb, ASKED)


def test_a_real_run_names_what_it_counts(place: Place) -> None:
    """Of 1000 closed ports nmap lists none; its XML accounts for every one of them."""
    port = place.tcp()
    ports = (*range(20000, 21000), port)
    command = [tool("nmap"), "-sT", "-n", "-Pn", "-oX", "-", "-p", port_list(ports), place.address]
    xml = subprocess.run(command, check=True, capture_output=True).stdout
    assert read(xml, ports)[place.address].ports == {port: SYN_ACK}
    assert REFUSED.state == "closed"


def test_port_lists() -> None:
    assert port_list((5, 1, 2, 3, 7)) == "1-3,5,7"
    assert port_list(()) == ""
    assert PROBE.id == "ports"
