"""UDP services: real name servers and memcached, peers that speak the other protocols, and hostile ones."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import dns.message
import dns.query
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seccheck.probes.ports.facts import PortsFacts, PortsParams
from seccheck.probes.ports.udp import Reply, question, read
from tests.probes.ports.servers import Place, answers, doubts, facts, some_address
from tests.tools import free_port, running, tool, wait_for

SERVICES = ("dns", "ntp", "snmp", "memcached", "cldap", "ssdp", "tftp")
NAMED = """
options {{
  directory "{folder}"; pid-file none; session-keyfile none; listen-on port {port} {{ {address}; }};
  listen-on-v6 {{ none; }}; recursion {recursion}; allow-query {{ any; }}; allow-recursion {{ any; }};
  allow-query-cache {{ any; }}; dnssec-validation no; max-cache-size 4m; empty-zones-enable no;
}};
controls {{ }};
zone "." {{ type primary; file "root.zone"; }};
"""
ROOT = """$TTL 60
@ SOA ns.test. admin.test. 1 60 60 60 60
@ NS ns.test.
ns.test. A 127.0.0.1
example.com. A 192.0.2.1
"""


def name_server(folder: Path, recursion: str) -> tuple[list[str], int]:
    """The command of a BIND that knows a world of its own, and its port at 127.0.0.1.

    BIND listens only on addresses that an interface bears.
    """
    port = free_port()
    conf = NAMED.format(folder=folder, port=port, address="127.0.0.1", recursion=recursion)
    (folder / "named.conf").write_text(conf)
    (folder / "root.zone").write_text(ROOT)
    return [tool("named"), "-g", "-c", str(folder / "named.conf"), "-p", str(port)], port


def resolves(port: int) -> bool:
    """Whether the name server has loaded its world."""
    try:
        answer = dns.query.udp(dns.message.make_query("ns.test", "A"), "127.0.0.1", port=port, timeout=1)
    except dns.exception.Timeout:
        return False
    return bool(answer.answer)


def asked(address: str, *services: str, declared: tuple[int, ...] = ()) -> PortsFacts:
    return facts(address, PortsParams(udp=services, declared=declared))


def test_an_open_resolver_is_found(tmp_path: Path) -> None:
    command, port = name_server(tmp_path, "yes")
    with running(*command, ports=(port,)):
        wait_for(lambda: resolves(port))
        found = asked("127.0.0.1", f"dns:{port}", declared=(port,))
    assert found.udp_services == ("dns",)
    (answer,) = found.udp or ()
    assert (answer.state, answer.port) == ("answered", port)
    assert answer.detail == "recursion available, rcode 0, 1 answers"
    assert found.undecided == ()


def test_a_name_server_for_its_own_names_is_no_open_resolver(tmp_path: Path) -> None:
    command, port = name_server(tmp_path, "no")
    with running(*command, ports=(port,)):
        wait_for(lambda: resolves(port))
        found = asked("127.0.0.1", f"dns:{port}", declared=(port,))
    assert found.udp_services == ()
    assert found.undecided == ()
    assert [answer.state for answer in found.udp or ()] == ["answered"]


def test_nsd_that_refuses_strangers_is_no_open_resolver(tmp_path: Path) -> None:
    address = some_address()
    port = free_port(address)
    (tmp_path / "test.zone").write_text("$TTL 60\n@ SOA ns.test. a.test. 1 60 60 60 60\n@ NS ns.test.\n")
    (tmp_path / "nsd.conf").write_text(
        f'server:\n  ip-address: {address}@{port}\n  username: ""\n  chroot: ""\n  pidfile: ""\n'
        f'  zonesdir: "{tmp_path}"\n  xfrdfile: "{tmp_path}/xfrd"\n  zonelistfile: "{tmp_path}/zones"\n'
        f'  xfrdir: "{tmp_path}"\nremote-control:\n  control-enable: no\n'
        'zone:\n  name: test\n  zonefile: "test.zone"\n'
    )
    command = [tool("nsd"), "-d", "-c", str(tmp_path / "nsd.conf")]
    with running(*command, ports=(port,), address=address):
        found = asked(address, f"dns:{port}", declared=(port,))
    assert found.udp_services == ()
    assert found.undecided == ()


@pytest.mark.parametrize("switch", ["on", "off"])
def test_memcached(switch: str, place: Place) -> None:
    port = free_port(place.address)
    udp_port = str(port if switch == "on" else 0)
    command = [tool("memcached"), "-u", "nobody", "-l", place.address, "-p", str(port), "-U", udp_port]
    with running(*command, ports=(port,), address=place.address):
        found = asked(place.address, f"memcached:{port}", declared=(port,))
    (answer,) = found.udp or ()
    if switch == "on":
        assert found.udp_services == ("memcached",)
        assert answer.detail.startswith("VERSION 1.")
    else:
        assert found.udp_services == ()
        assert answer.state == "closed"
    assert found.undecided == ()


def test_snmpd(tmp_path: Path) -> None:
    """Net-SNMP with the community that everybody knows, and with another one."""
    for community, expected in (("public", ("snmp",)), ("of-our-own", ())):
        port = free_port(kind=socket.SOCK_DGRAM)
        declared = Place("127.0.0.1")
        (tmp_path / "snmpd.conf").write_text(f"rocommunity {community}\n")
        command = [tool("snmpd"), "-f", "-C", "-c", str(tmp_path / "snmpd.conf"), "-Lo"]
        try:
            with running(*command, "-I", "-smux", "-p", str(tmp_path / "pid"), f"udp:127.0.0.1:{port}"):
                wait_for(lambda port=port: not _is_free(port))  # type: ignore[misc]
                found = asked("127.0.0.1", f"snmp:{port}", declared=(declared.tcp(),))
        finally:
            declared.close()
        assert found.udp_services == expected
        assert found.undecided == ()


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def ntp_control(data: bytes) -> bytes | None:
    """As RFC 9327 says: a variable, asked by name."""
    if data[0] & 7 != 6:
        return None
    return bytes([data[0], data[1] | 0x80]) + data[2:10] + struct.pack("!H", 8) + b"leap=0\r\n"


def ntp_private(data: bytes) -> bytes | None:
    """As ntpd before 4.2.7: an unknown private request is answered by an error of the same size."""
    return bytes([data[0] | 0x80, 0, 3, 255, 0x30, 0, 0, 0]) if data[0] & 7 == 7 and len(data) == 8 else None


def snmp(version: int, community: bytes = b"public") -> object:
    """An agent of one version: sysDescr.0 with the number of the question."""

    def answer(data: bytes) -> bytes | None:
        if data[4] != version or community not in data:
            return None
        number = data[data.index(b"\xa0") + 2 : data.index(b"\xa0") + 6]
        value = b"\x04\x0eLinux server 5"
        oid = b"\x06\x08\x2b\x06\x01\x02\x01\x01\x01\x00"
        bind = bytes([0x30, len(oid + value)]) + oid + value
        binds = bytes([0x30, len(bind)]) + bind
        pdu = number + b"\x02\x01\x00\x02\x01\x00" + binds
        body = b"\x02\x01" + bytes([version]) + b"\x04\x06public" + bytes([0xA2, len(pdu)]) + pdu
        return bytes([0x30, len(body)]) + body

    return answer


def cldap(data: bytes) -> bytes:
    """A domain controller: the entry, then done."""
    number = data[2:6]
    entry = b"\x64\x04\x04\x00\x30\x00"
    done = b"\x65\x07\x0a\x01\x00\x04\x00\x04\x00"
    return b"".join(bytes([0x30, 4 + len(part)]) + number + part for part in (entry, done))


def ssdp(data: bytes) -> bytes | None:
    if not data.startswith(b"M-SEARCH * HTTP/1.1\r\n") or b'MAN: "ssdp:discover"' not in data:
        return None
    return b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nUSN: uuid:1\r\nSERVER: Linux UPnP/1.1 x/2\r\n\r\n"


def tftp_error(data: bytes) -> bytes:
    assert data.startswith(b"\0\1seccheck-")
    return b"\0\5\0\1File not found\0"


def tftp_data(data: bytes) -> bytes | None:
    return b"\0\3\0\1whatever" if data.startswith(b"\0\1") else None


@pytest.mark.parametrize(
    ("service", "peer", "moves", "detail"),
    [
        ("ntp", ntp_control, False, "control queries (mode 6) are answered"),
        ("ntp", ntp_private, False, "private queries (mode 7, monlist) are answered"),
        ("snmp", snmp(0), False, "SNMP 1, community public: Linux server 5"),
        ("snmp", snmp(1), False, "SNMP 2c, community public: Linux server 5"),
        ("cldap", cldap, False, "the root entry is answered"),
        ("ssdp", ssdp, False, "Linux UPnP/1.1 x/2"),
        ("ssdp", ssdp, True, "Linux UPnP/1.1 x/2"),
        ("tftp", tftp_error, True, "File not found"),
        ("tftp", tftp_data, True, "a file that should not exist"),
    ],
)
def test_each_service_is_known_by_its_own_answer(
    service: str, peer: object, moves: bool, detail: str, place: Place
) -> None:
    port = place.udp(peer, other_port=moves)
    found = asked(place.address, f"{service}:{port}", declared=(place.tcp(),))
    assert found.udp_services == (service,)
    assert [(answer.state, answer.detail) for answer in found.udp or ()] == [("answered", detail)]
    assert found.undecided == ()


def test_closed_silent_and_strange_are_three_things() -> None:
    """Closed where the host says so, silent where a server keeps quiet, in doubt where it talks nonsense."""
    both, alone, strange = places = [Place(some_address()) for _ in range(3)]
    closed = [f"{service}:{free_port(both.address)}" for service in SERVICES]
    quiet = [f"{service}:{both.udp(lambda _data: None)}" for service in SERVICES]
    unproven = (f"ntp:{alone.udp(lambda _data: None)}", f"dns:{free_port(alone.address)}")
    nonsense = strange.udp(lambda _data: b"hello")
    looks = {
        both.address: PortsParams(udp=(*closed, *quiet), declared=(both.tcp(),)),
        alone.address: PortsParams(udp=unproven),
        strange.address: PortsParams(
            udp=tuple(f"{service}:{nonsense}" for service in SERVICES), declared=(strange.tcp(),)
        ),
    }
    try:
        found = {address: answer.facts for address, answer in answers(looks).items()}
    finally:
        for place in places:
            place.close()
    states = {f"{one.service}:{one.port}": one.state for one in found[both.address].udp}
    assert states == {**dict.fromkeys(closed, "closed"), **dict.fromkeys(quiet, "silent")}
    assert found[both.address].udp_services == ()
    assert found[both.address].undecided == ()
    assert doubts(found[alone.address], "udp_services") == {("ntp", "timeout")}
    assert found[strange.address].udp_services == ()
    assert doubts(found[strange.address], "udp_services") == {
        (service, "contradictory") for service in SERVICES
    }


def test_a_second_packet_makes_up_for_a_lost_one(place: Place) -> None:
    seen = 0

    def answer(data: bytes) -> bytes | None:
        nonlocal seen
        seen += 1
        return (
            struct.pack("!H", int.from_bytes(data[:2], "big")) + data[2:8] + b"VERSION 1.6.18\r\n"
            if seen > 1
            else None
        )

    port = place.udp(answer)
    assert asked(place.address, f"memcached:{port}", declared=(place.tcp(),)).udp_services == ("memcached",)
    assert seen == 2


def dns_reply(flags: int, answers: int) -> Reply | None:
    asking = question("dns", "127.0.0.1", 53)
    header = struct.pack("!6H", asking.number, 0x8000 | flags, 1, answers, 0, 0)
    return read(asking, header + asking.packets[0][12:])


@pytest.mark.parametrize(
    ("flags", "answers", "yes", "doubt"),
    [
        (0x0180, 1, True, None),  # recursion, answered
        (0x0183, 0, True, None),  # recursion, the name does not exist
        (0x0185, 0, False, None),  # refused, though the flag is set
        (0x0100, 1, False, None),  # answered for itself, no recursion
        (0x0105, 0, False, None),  # refused
        (0x0182, 0, False, "resolver"),  # would, but could not
        (0x0180, 0, False, "contradictory"),  # says it recurses, and gives nothing
        (0x0380, 0, False, "rate-limited"),  # cut off: response rate limiting
    ],
)
def test_what_makes_an_open_resolver(flags: int, answers: int, yes: bool, doubt: str | None) -> None:
    reply = dns_reply(flags, answers)
    assert reply is not None
    assert (reply.yes, reply.doubt) == (yes, doubt)


@pytest.mark.parametrize("service", SERVICES)
def test_questions_are_small_and_few(service: str) -> None:
    packets = question(service, "192.0.2.1", 1).packets
    assert 1 <= len(packets) <= 2
    assert all(len(packet) < 130 for packet in packets)


@pytest.mark.parametrize("service", SERVICES)
def test_our_own_question_sent_back_is_no_answer(service: str) -> None:
    asking = question(service, "192.0.2.1", 1)
    assert [read(asking, packet) for packet in asking.packets] == [None] * len(asking.packets)


@given(st.sampled_from(SERVICES), st.binary(max_size=200))
def test_no_packet_breaks_a_reader(service: str, data: bytes) -> None:
    asking = question(service, "192.0.2.1", 1)
    read(asking, data)
    for packet in asking.packets:
        read(asking, packet[: len(data)] + data)
