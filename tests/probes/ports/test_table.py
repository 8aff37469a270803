"""The table of ports, the thousand, and what may be asked for."""

from __future__ import annotations

import msgspec
import pytest

from seccheck.probes import covers, load_probes, merge_params
from seccheck.probes.ports import PROBE
from seccheck.probes.ports.facts import PortsParams, udp_service
from seccheck.probes.ports.table import PORT_LISTS, TABLE, TOP_1000, UDP_SERVICES, USUAL, ports_of, ranges


def test_the_thousand_are_a_thousand_and_hold_the_table() -> None:
    assert len(TOP_1000) == 1000 == len(set(TOP_1000))
    assert set(TABLE) <= set(TOP_1000)
    assert set(USUAL) <= set(TABLE)
    assert all(1 <= port <= 65535 for port in TOP_1000)


@pytest.mark.parametrize(
    ("port", "service", "kind"),
    [
        (21, "ftp", "cleartext"),
        (23, "telnet", "cleartext"),
        (514, "rsh", "cleartext"),
        (3306, "mysql", "database"),
        (27017, "mongodb", "database"),
        (3389, "rdp", "remote-administration"),
        (5985, "winrm", "remote-administration"),
        (445, "smb", "file-sharing"),
        (873, "rsync", "file-sharing"),
        (2375, "docker", "cluster-management"),
        (6443, "kubernetes", "cluster-management"),
        (143, "imap", "mailbox"),
        (22, "ssh", "ssh"),
        (8291, "mikrotik-winbox", "device-management"),
    ],
)
def test_what_the_criteria_name_is_in_the_table(port: int, service: str, kind: str) -> None:
    entry = TABLE[port]
    assert (entry.service, entry.kind) == (service, kind)
    assert entry.why
    assert port in PORT_LISTS[kind]


def test_every_kind_has_a_list_and_every_port_one_kind() -> None:
    kinds = {entry.kind for entry in TABLE.values()}
    assert sum(len(PORT_LISTS[kind]) for kind in kinds) == len(TABLE) == len(PORT_LISTS["table"])


def test_the_sets() -> None:
    assert ports_of(["table", "top-1000"]) == set(TOP_1000)
    assert len(ports_of(["all"])) == 65535
    assert ranges("7, 1-3\n5") == (1, 2, 3, 5, 7)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tcp": [0]}, {"tcp": [65536]}, {"declared": [70000]}, {"udp": ["gopher"]}, {"udp": ["dns:0"]},
        {"udp": ["dns:x"]}, {"tcp_sets": ["top-10"]}, {"ports": [1]},
    ],
)  # fmt: skip
def test_what_is_no_port_is_refused_before_anything_is_sent(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, PortsParams)


def test_udp_services_may_stand_on_another_port() -> None:
    assert udp_service("dns") == ("dns", UDP_SERVICES["dns"])
    assert udp_service("dns:5353") == ("dns", 5353)


def test_two_criteria_share_one_look() -> None:
    wide = PortsParams(tcp_sets=("top-1000",), declared=(443,))
    narrow = PortsParams(tcp=(3306,), udp=("ntp",), declared=(22,))
    (merged,) = merge_params(PROBE, [wide, narrow])
    assert covers(merged, wide)
    assert covers(merged, narrow)


def test_the_probe_is_found_and_says_what_it_costs() -> None:
    probe = load_probes()["ports"]
    params = PortsParams(tcp_sets=("top-1000",), declared=(443, 9), udp=("dns",))
    assert probe.connections(None, params) == 1000 + 2 + 1
    assert probe.seconds(None, params) >= 300
