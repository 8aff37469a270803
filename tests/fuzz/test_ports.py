# ruff: noqa: E501 (samples stand as they are sent)
"""What open ports say of themselves, answers to UDP questions, and nmap's XML."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seccheck.probes.ports.identify import identify, recognise
from seccheck.probes.ports.look import Seen
from seccheck.probes.ports.nmap import read as read_nmap
from seccheck.probes.ports.table import TABLE, ranges
from seccheck.probes.ports.udp import _ASK, question
from seccheck.probes.ports.udp import read as read_udp
from tests.fuzz.properties import HERE, Recorded, bounded, hostile, looked, sound, words

pytestmark = pytest.mark.fuzz
SAID = (
    b"SSH-2.0-x\r\n", b"220 ftp ready\r\n215 UNIX\r\n", b"220-a\r\n220 mail ESMTP\r\n", b"\xff\xfd\x18login: ", b"RFB 003.008\n",
    b'HTTP/1.1 200 OK\r\nServer: Docker/20\r\n\r\n{"ApiVersion":"1.4","MinAPIVersion":"1.1"}',
    b'HTTP/1.1 403 Forbidden\r\n\r\n{"kind":"Status","apiVersion":"v1","status":"Failure"}',
    b"HTTP/1.1 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.",
    b"+OK x\r\n", b"* OK x\r\n", b"@RSYNCD: 31.0\n", b"\x4a\0\0\0\x0a8.0.36\0", b"",
)  # fmt: skip
PORTS = st.sampled_from((*sorted(TABLE), 2222, 8081))


@given(hostile(*SAID), hostile(*SAID), PORTS, st.booleans())
@example(b"220-\r\n" * 2700, b"", 21, True)
@example(b"220-" + b"x" * 16000, b"", 21, True)
@example(b"\t" * 16000, b"", 23, False)
def test_what_a_port_says(data: bytes, again: bytes, port: int, declared: bool) -> None:
    looked(lambda: identify(Recorded(data, again), HERE, port, declared=declared))
    with bounded():
        recognise(data)


def ber(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes((tag, len(body))) + body


def answers(service: str, number: int) -> tuple[bytes, ...]:
    """Honest answers to a question with that number."""
    identity = ber(2, number.to_bytes(2, "big"))
    oid = ber(6, bytes.fromhex("2b06010201010100"))
    return {
        "dns": (struct.pack("!6H", number, 0x8180, 1, 1, 0, 0) + bytes(20), struct.pack("!6H", number, 0x8383, 1, 0, 0, 0)),
        "ntp": (struct.pack("!BB5H", 0x16, 0x82, number, 0, 0, 0, 4) + b"leap=0", b"\x97\0\x03\xff" + bytes(4)),
        "snmp": (ber(0x30, ber(2, b"\1"), ber(4, b"public"), ber(0xA2, identity, ber(2, b"\0"), ber(2, b"\0"), ber(0x30, ber(0x30, oid, ber(4, b"Linux x"))))),),
        "cldap": (ber(0x30, identity, ber(0x64, ber(4), b"x")),),
        "memcached": (struct.pack("!4H", number, 0, 1, 0) + b"VERSION 1.6\r\n",),
        "ssdp": (b"HTTP/1.1 200 OK\r\nUSN: x\r\nSERVER: Linux UPnP/1.0\r\n\r\n",),
        "tftp": (b"\0\5\0\1File not found\0", b"\0\3\0\1abc", b"\0\6blksize\0"),
    }[service]  # fmt: skip


@given(st.sampled_from(sorted(_ASK)), st.data())
def test_datagrams(service: str, data: st.DataObject) -> None:
    asked = question(service, HERE, 9)
    number = asked.number
    datagram = data.draw(hostile(*answers(service, number)))
    with bounded():
        reply = read_udp(asked, datagram)
    if reply is not None:
        assert not (reply.yes and reply.doubt)
        sound(reply.detail)
        assert len(reply.detail) < 400


@given(st.sampled_from(sorted(_ASK)), st.sampled_from(sorted(_ASK)), st.data())
def test_an_answer_to_another_question_is_none(service: str, other: str, data: st.DataObject) -> None:
    """Where a question has a number, an answer without it says nothing."""
    asked = question(service, HERE, 9)
    if service in {"dns", "snmp", "cldap", "memcached"}:
        wrong = (asked.number + data.draw(st.integers(1, 0x70))) & 0x7FFF
        for datagram in answers(service, wrong):
            assert read_udp(asked, datagram) is None


XML = (
    b'<?xml version="1.0"?><!DOCTYPE nmaprun><nmaprun><host timedout="false">'
    b'<address addr="127.0.0.1" addrtype="ipv4"/><ports><extraports state="closed" count="2">'
    b'<extrareasons reason="conn-refused" count="2" proto="tcp" ports="80,443"/></extraports>'
    b'<port protocol="tcp" portid="22"><state state="open" reason="syn-ack"/></port>'
    b'<port protocol="tcp" portid="25"><state state="filtered" reason="no-response"/></port></ports></host>'
    b'<host timedout="true"><address addr="::1" addrtype="ipv6"/></host></nmaprun>'
)
ENTITIES = b'<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><nmaprun>&c;</nmaprun>'
COUNTED = (
    b'<nmaprun><host><address addr="127.0.0.1" addrtype="ipv4"/>'
    b'<ports><extraports state="filtered" count="65000"/></ports></host></nmaprun>'
)
ASKED = (22, 25, 80, 443, 3306)


@given(hostile(XML, ENTITIES, COUNTED))
@example(b"<a>" * 20_000)
@example(XML.replace(b"80,443", b"0-99999999999"))
@example(XML.replace(b'portid="22"', b'portid="x"'))
@example(XML.replace(b' addr="127.0.0.1"', b""))
@example(XML.replace(b"127.0.0.1", b"nowhere"))
def test_nmaps_xml(xml: bytes) -> None:
    with bounded():
        try:
            hosts = read_nmap(xml, ASKED)
        except (KeyError, ValueError):  # which ends the run with a reason for every look that waits for it
            return
    for host in hosts.values():
        assert set(host.ports) <= set(ASKED)
        assert all(isinstance(seen, Seen) for seen in host.ports.values())


@given(words("1", "-", ",", "65535", " ", "\n", "99999999999", "\u0661"))
def test_ranges(text: str) -> None:
    with bounded(), contextlib.suppress(ValueError):
        assert len(ranges(text)) <= 65536
