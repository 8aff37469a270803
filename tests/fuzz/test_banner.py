# ruff: noqa: E501 (samples stand as they are sent)
"""Greetings and answers by which services name themselves, and the versions read from them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seccheck.probes.banner import _TALKS, collect
from seccheck.probes.banner.facts import BannerParams
from seccheck.probes.banner.fingerprints import beyond_major, disclosed, parse, sources
from seccheck.probes.banner.stores import decode, encode, memcached, mongodb_before_3_6
from seccheck.probes.banner.talk import refuse_options
from seccheck.probes.banner.versions import product
from seccheck.probes.banner.versions import read as read_leads
from seccheck.reference.evidence import read_evidence
from seccheck.reference.versions import compare, compare_packages, parts, reaches, revision, upstream, within
from tests.fuzz.properties import SLOW, Recorded, bounded, endpoint, heard, hostile, looked, sound, words

pytestmark = pytest.mark.fuzz


def bson(code: int, document: bytes, prefix: bytes = bytes(5)) -> bytes:
    return struct.pack("<iiii", 16 + len(prefix) + len(document), 1, 1, code) + prefix + document


def dns(body: bytes) -> bytes:
    return struct.pack("!H", len(body)) + body


_BUILD = encode({"version": "6.0.1", "ok": 1, "code": 13})
_TXT = b"\x07version\x04bind\0\0\x10\0\x03"
_RECORD = b"\xc0\x0c\0\x10\0\x03\0\0\0\0\0\x07\x069.18.4"
_UPDATE = b"\xc0\x0c\0\x10\0\xff\0\0\0\0\0\0"
SAID = {
    "ssh": (b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", b"Not allowed at this time\r\n"),
    "smtp": (b"220 mx ESMTP Postfix (Debian/GNU)\r\n", b"220-x\r\n220 y Exim 4.96\r\n", b"421 busy\r\n", b"554 no\r\n"),
    "ftp": (b"220 (vsFTPd 3.0.3)\r\n", b"220 ProFTPD 1.3.8 Server (Debian)\r\n", b"120 x\r\n"),
    "imap": (b"* OK [CAPABILITY IMAP4rev1] Dovecot ready.\r\n* CAPABILITY LOGINDISABLED\r\na1 OK\r\n", b"* BYE\r\n"),
    "pop3": (b"+OK Dovecot ready.\r\n+OK\r\nUSER\r\nSASL PLAIN\r\n.\r\n", b"-ERR x\r\n"),
    "telnet": (b"\xff\xfd\x18\xff\xfa\x18\x01\xff\xf0Ubuntu 22.04 LTS\r\nlogin:", b"\xff"),
    "http": (b"HTTP/1.1 200 OK\r\nServer: Apache/2.4.57 (Debian) PHP/8.2.7 OpenSSL/3.0.9\r\n\r\n",),
    "dns": (
        dns(b"\0\0\x84\0\0\1\0\1\0\0\0\0" + _TXT + _RECORD),
        dns(b"\0\0\xa8\0\0\1\0\1\0\0\0\0" + _TXT + _UPDATE),
        dns(b"\0\0\x84\2\0\0\0\0\0\0\0\0"),
    ),
    "postgresql": (b"E\0\0\0\x20SFATAL\0C0A000\0Munsupported\0\0", b"N"),
    "mysql": (
        b"\x4a\0\0\0\x0a8.0.36-0ubuntu0\0" + bytes(60),
        b"\x1c\0\0\0\xff\x6a\x04Host is not allowed, sorry",
        b"\x10\0\0\0\x0a5.5.5-10.11\0" + bytes(20),
    ),
    "redis": (b"$60\r\n# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n\r\n", b"-NOAUTH x\r\n"),
    "mongodb": (bson(2013, _BUILD) * 2, bson(1, _BUILD, bytes(20))),
    "tcp": (b"RFB 003.008\n", b"ERROR\r\n", b"VERSION 1.6.18\r\n", b"It looks like you are trying to access MongoDB"),
}  # fmt: skip
ALL = tuple(said for several in SAID.values() for said in several)
TEXTS = (
    "Apache", "nginx", "OpenSSH_", "OpenSSH", "for_Windows_", "PHP", "Microsoft-IIS", "(Debian)", "(Ubuntu)",
    "(Red Hat Enterprise Linux)", "mod_ssl", "OpenSSL", "Postfix", "Exim", "Dovecot", "vsFTPd", "ProFTPD",
    "MariaDB", "5.5.5-", "+deb12u3", "~bpo", "1.22.1", "8.2", "p1", "Tomcat", "Coyote", "WebLogic", "Citrix",
    "Debian-2", "-0ubuntu0.22.04.3", "dnsmasq-", "unbound ", "PowerDNS", "BIND", "ESMTP", "Build", "NS13.1: ",
)  # fmt: skip


@SLOW
@given(st.sampled_from(sorted(SAID)), st.data())
def test_a_whole_look(service: str, data: st.DataObject) -> None:
    answers = data.draw(st.lists(hostile(*SAID[service]) | hostile(*ALL), min_size=1, max_size=4))
    looked(lambda: collect(endpoint(service), BannerParams(), Recorded(*answers)))


@pytest.mark.parametrize(("service", "data"), [
    ("dns", SAID["dns"][1]),
    ("smtp", b"220-" + b"x" * 8000 + b"\r\n"),
    ("ssh", b"\n" * 60_000),
    ("ftp", b"220-\n" * 12_000),
    ("telnet", b"\xff\xfa" * 30_000),
    ("telnet", b"\xff\xfd\x18" * 20_000),
    ("redis", b"$999999\r\n" + b"redis_version:1\r\n" * 4000),
    ("mongodb", bson(2013, struct.pack("<i", 60_000) + b"\x10\0\0\0\0\0" * 9000)),
    ("http", b"HTTP/1.1 200 OK\r\nServer: " + b"a/1.1 " * 9000 + b"\r\n\r\n"),
    ("http", b"HTTP/1.1 200 OK\r\nServer: " + b"(" * 50_000 + b"\r\n\r\n"),
    ("http", b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + b"<meta name=generator content=" * 2000),
])  # fmt: skip
def test_long_ones(service: str, data: bytes) -> None:
    looked(lambda: collect(endpoint(service), BannerParams(), Recorded(data)))


def test_every_talk_has_its_samples() -> None:
    assert {name for name in _TALKS if name not in SAID} <= {
        "submission", "smtps", "imaps", "pop3s", "ftps", "https", "ldap", "ldaps",
    }  # fmt: skip


@given(hostile(*SAID["mongodb"], *SAID["tcp"]))
def test_stores_that_are_asked_later(data: bytes) -> None:
    with heard(data) as one, heard(data) as other:
        looked(lambda: memcached(one, endpoint("tcp")).greeting)
        looked(lambda: mongodb_before_3_6(other, endpoint("mongodb")).greeting)
    with bounded():
        decode(data)


@given(hostile(*SAID["telnet"]))
def test_telnet_options(data: bytes) -> None:
    with bounded():
        plain, told = refuse_options(data)
        assert len(plain) <= len(data)
        assert len(told) <= len(data)


@given(st.sampled_from(sorted(sources())), words(*TEXTS))
@example("server", "a" * 4096)
@example("server", "Apache/" + "1." * 2000)
@example("http-body", "<" * 32768)
@example("smtp", " " * 4096 + "x")
@example("ssh", "SSH-2.0-" + "-" * 4000)
def test_products(source: str, text: str) -> None:
    with bounded():
        sound(parse(source, text))
        sound(disclosed(source, text))


@given(
    st.sampled_from(sorted(sources())), st.sampled_from(TEXTS), st.sampled_from(TEXTS), st.integers(1, 1500)
)
def test_repeated_words(source: str, one: str, other: str, times: int) -> None:
    with bounded():
        parse(source, (one + other) * times)
        disclosed(source, f"{one} " * times + other)


LEADS = (
    b'<nmaprun><host><address addr="127.0.0.1" addrtype="ipv4"/><ports><port protocol="tcp" portid="22">'
    b'<state state="open"/><service name="ssh" product="OpenSSH" version="9.2p1" extrainfo="x" ostype="Linux" '
    b'method="probed" servicefp="SF-Port22"><cpe>cpe:/a:openbsd:openssh:9.2p1</cpe></service></port></ports></host>'
    b'<host timedout="true"><address addr="::1" addrtype="ipv6"/></host></nmaprun>'
)


@given(hostile(LEADS, LEADS.replace(b"OpenSSH", b"&#x202e;&lt;&#10;" * 200)))
def test_what_nmap_calls_a_service(xml: bytes) -> None:
    with bounded():
        try:
            hosts = read_leads(xml, (22,))
        except (KeyError, ValueError):  # which ends the run with a reason for every look that waits for it
            return
    for host in hosts.values():
        for lead in host.ports.values():
            sound(product(lead))


VERSIONS = words(
    "1", ".", "22", "-", "+", "~", ":", "p1", "rc", "alpha", "deb12u3", "0ubuntu", "\u0661", "\u00b2", "a"
)


@given(VERSIONS, VERSIONS)
@example("9" * 5000, "1" + "0" * 5000)
@example("\u00b2", "\u0661")
def test_versions(one: str, other: str) -> None:
    with bounded():
        parts(one)
        beyond_major(one)
        assert compare(one, other) == -compare(other, one)
        assert compare(one, one) == 0
        assert compare_packages(one, other) == -compare_packages(other, one)
        reaches(one, other), within(one, other), upstream(one), revision(one)


LISTS = (
    b"ii  openssh-server  1:9.2p1-2+deb12u3  amd64  secure shell\nrc  x  1.0  all\n",
    b"nginx\t1.22.1-9+deb12u3\nlibc6:amd64 2.36-9\n",
    b"openssl-3.0.7-27.el9.x86_64\n",
    (
        b'{"bomFormat":"CycloneDX","specVersion":"1.5","components":[{"name":"nginx","version":"1.22","purl":'
        b'"pkg:deb/debian/nginx@1.22?distro=debian-12"}],"vulnerabilities":[{"id":"CVE-2023-44487","analysis":'
        b'{"state":"not_affected"},"affects":[{"ref":"x"}]}]}'
    ),
    (
        b'{"@context":"https://openvex.dev/ns/v0.2.0","statements":[{"vulnerability":{"name":"CVE-2023-44487"},'
        b'"products":[{"@id":"pkg:deb/debian/nginx@1.22"}],"status":"fixed"}]}'
    ),
)


@given(hostile(*LISTS))
@example(b'{"components":' + b"[" * 20_000)
@example(b"a" * 60_000)
@example(b"ii " + b" " * 50_000)
def test_lists_of_packages(data: bytes) -> None:
    with bounded():
        read_evidence(data)
