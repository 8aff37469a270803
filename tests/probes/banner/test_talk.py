"""The banner probe against greetings that no server of Debian sends, honest and hostile."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seccheck.model import Reason, canonical
from seccheck.probes import Endpoint, ProbeFailed
from seccheck.probes.banner import PROBE, facts
from seccheck.probes.banner.facts import BannerFacts, BannerParams
from seccheck.probes.banner.stores import decode, encode
from seccheck.probes.banner.talk import Heard, http_request, refuse_options
from seccheck.probes.banner.web import read_answer
from seccheck.scope import Context
from tests.probes.banner.conftest import Look
from tests.tools import free_port

Says = Callable[..., int]
Serve = Callable[..., int]


def named(found: BannerFacts) -> list[tuple[str, str]]:
    assert found.products is not None
    return [(product.name, product.version) for product in found.products]


def failure(look: Look, port: int, service: str) -> ProbeFailed:
    with pytest.raises(ProbeFailed) as caught:
        look(port, service)
    return caught.value


# ----------------------------------------------------------------------------------------- greetings in lines


@pytest.mark.parametrize(
    ("service", "greeting", "expected", "discloses"),
    [
        ("ssh", b"SSH-2.0-OpenSSH_9.9\r\n", [("openssh", "9.9")], ()),
        ("ssh", b"hello\r\nSSH-2.0-dropbear_2022.83\r\n", [("dropbear", "2022.83")], ()),
        ("smtp", b"220 m ESMTP Exim 4.96 Sun, 22 Nov 2026\r\n", [("exim", "4.96")], ("exim 4.96",)),
        ("smtp", b"220-m first line\r\n220 ESMTP Postfix (Debian/GNU)\r\n", [("postfix", "")], ()),
        ("submission", b"220 m ESMTP ready\r\n", [("unknown", "")], ()),
        (
            "ftp",
            b"220-Welcome\r\n Look around\r\n220 (vsFTPd 3.0.5)\r\n",
            [("vsftpd", "3.0.5")],
            ("vsftpd 3.0.5",),
        ),
        ("ftp", b"220 ProFTPD Server (Debian) [192.0.2.1]\n", [("proftpd", "")], ()),
        ("telnet", b"\xff\xfd\x18\xff\xfb\x01MikroTik v6.42.1\r\nLogin: ", [("routeros", "6.42.1")], ()),
    ],
)
def test_greetings(
    service: str,
    greeting: bytes,
    expected: list[tuple[str, str]],
    discloses: tuple[str, ...],
    look: Look,
    says: Says,
) -> None:
    found = look(says(greeting), service)
    assert named(found) == expected
    assert found.discloses == discloses


@pytest.mark.parametrize("service", ["smtps", "ftps", "imaps", "pop3s"])
def test_over_tls(service: str, look: Look, says: Says) -> None:
    greeting = {
        "smtps": b"220 m ESMTP Exim 4.99.1 now\r\n",
        "ftps": b"220 (vsFTPd 3.0.5)\r\n",
        "imaps": b"* OK Cyrus IMAP 3.6.1-4+deb12u4 Debian-3.6.1-4+deb12u4 server ready\r\n",
        "pop3s": b"+OK Microsoft Exchange POP3 service is ready.\r\n",
    }[service]
    found = look(says(greeting, secure=True), service)
    assert named(found)[0][0] in {"exim", "vsftpd", "cyrus-imapd", "exchange"}
    assert found.plain_login is None


@pytest.mark.parametrize(
    ("greeting", "answer", "expected"),
    [
        (b"* OK ready\r\n", b"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na1 OK\r\n", False),
        (b"* OK ready\r\n", b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\na1 OK\r\n", True),
        (b"* PREAUTH ready\r\n", b"", True),
        (b"* OK ready\r\n", b"a1 BAD what?\r\n", None),
        (b"* OK ready\r\n", b"", None),
    ],
)
def test_imap_login(
    greeting: bytes, answer: bytes, expected: bool | None, look: Look, says: Says, hurried: None
) -> None:
    found = look(says(greeting, answer), "imap")
    assert found.plain_login is expected
    assert [doubt.fact for doubt in found.undecided] == ([] if expected is not None else ["plain_login"])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"+OK\r\nTOP\r\nSTLS\r\n.\r\n", False),
        (b"+OK\r\nUSER\r\nSTLS\r\n.\r\n", True),
        (b"+OK\r\nSASL CRAM-MD5 PLAIN\r\n.\r\n", True),
        (b"+OK\r\nSASL CRAM-MD5\r\n.\r\n", False),
        (b"-ERR unknown\r\n", None),
    ],
)
def test_pop3_login(answer: bytes, expected: bool | None, look: Look, says: Says) -> None:
    found = look(says(b"+OK Dovecot (Ubuntu) ready.\r\n", answer), "pop3")
    assert found.plain_login is expected
    assert named(found) == [("dovecot", "")]


@pytest.mark.parametrize(
    ("service", "greeting", "reason"),
    [
        ("smtp", b"421 too many connections\r\n", Reason.RATE_LIMITED),
        ("smtp", b"554 no service for you\r\n", Reason.ACCESS),
        ("ftp", b"421 try later\r\n", Reason.RATE_LIMITED),
        ("ssh", b"Not allowed at this time\r\n", Reason.RATE_LIMITED),
        ("ssh", b"HTTP/1.1 200 OK\r\n", Reason.UNREACHABLE),
        ("imap", b"* BYE overloaded\r\n", Reason.RATE_LIMITED),
        ("imap", b"220 not imap\r\n", Reason.CONTRADICTORY),
        ("pop3", b"-ERR busy\r\n", Reason.RATE_LIMITED),
        ("ssh", b"", Reason.UNREACHABLE),
        ("ssh", b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u1", Reason.UNREACHABLE),
        ("smtp", b"220-m\r\n220 ESMTP Exim 4.9", Reason.UNREACHABLE),
        ("http", b"", Reason.UNREACHABLE),
        ("http", b"SSH-2.0-OpenSSH_9.9\r\n", Reason.CONTRADICTORY),
        ("http", b"HTTP/1.1 200 OK\r\nServer: nginx/1.2", Reason.CONTRADICTORY),
        ("mysql", b"\x00\x00\x00\x00", Reason.CONTRADICTORY),
        ("mysql", b"J\x00\x00\x00\x0a8.0", Reason.UNREACHABLE),
        ("mysql", b"\x20\x00\x00\x00\xff\x10\x04Too many connections, so leave.", Reason.RATE_LIMITED),
        ("postgresql", b"N", Reason.CONTRADICTORY),
        ("redis", b"hello\r\n", Reason.CONTRADICTORY),
        ("mongodb", b"\x00" * 64, Reason.CONTRADICTORY),
        ("dns", b"\x00\x04abcd", Reason.CONTRADICTORY),
        ("tcp", b"", Reason.UNREACHABLE),
    ],
)
def test_what_is_no_greeting_is_no_fact(
    service: str, greeting: bytes, reason: Reason, look: Look, says: Says, serve: Serve, hurried: None
) -> None:
    """A refusal, half a line or another protocol: nothing is told about the product."""
    if service in {"http", "postgresql", "redis", "mongodb", "dns"}:

        def answer(connection: socket.socket) -> None:
            connection.recv(65536)
            connection.sendall(greeting)

        port = serve(answer)
    else:
        port = says(greeting)
    assert failure(look, port, service).reason is reason


def test_nobody_there(look: Look) -> None:
    assert failure(look, free_port(), "ssh").reason is Reason.UNREACHABLE


def test_out_of_scope(context: Context) -> None:
    assert PROBE.collect
    with pytest.raises(ProbeFailed) as caught:
        PROBE.collect(Endpoint(address="192.0.2.1", port=22, service="ssh"), BannerParams(), context)
    assert caught.value.reason is Reason.OUT_OF_SCOPE


# -------------------------------------------------------------------------------------------------- hostility


@pytest.mark.parametrize("service", ["ssh", "smtp", "ftp", "imap", "pop3", "telnet", "http", "mysql", "tcp"])
@pytest.mark.parametrize(
    "endless", [b"A" * 65536, b"220-more\r\n" * 6000, b"\x00" * 65536, b"\xff\xfd\x18" * 20000]
)
def test_endless_greetings(service: str, endless: bytes, look: Look, serve: Serve, hurried: None) -> None:
    def flood(connection: socket.socket) -> None:
        for _ in range(100):
            connection.sendall(endless)

    began = time.monotonic()
    try:
        found = look(serve(flood), service)
    except ProbeFailed:
        pass
    else:
        assert all(not product.version for product in found.products or ())
        assert len(canonical(found)) < 10_000
    assert time.monotonic() - began < 8


@pytest.mark.parametrize("service", ["ssh", "http", "mysql", "telnet", "tcp"])
def test_a_byte_now_and_then(service: str, look: Look, serve: Serve, hurried: None) -> None:
    def drip(connection: socket.socket) -> None:
        for byte in b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10\r\n":
            connection.sendall(bytes([byte]))
            time.sleep(0.2)

    began = time.monotonic()
    try:
        found = look(serve(drip), service)
    except ProbeFailed as failed:
        assert failed.reason in {Reason.TIMEOUT, Reason.CONTRADICTORY}  # noqa: PT017 (either outcome is right)
    else:
        assert all(not product.version for product in found.products or ())
    assert time.monotonic() - began < 8


@pytest.mark.parametrize(
    "line",
    [
        b"SSH-2.0-OpenSSH_9.2p1 \x1b[2J\x07\x9b31m",
        b"SSH-2.0-OpenSSH_9.2p1 \xe2\x80\xaeabc",
        b"SSH-2.0-OpenSSH_9.2p1\rDebian-2+deb12u10",
        b"SSH-2.0-\xff\xfe\x00\x01",
    ],
)
def test_control_characters_stay_visible(line: bytes, look: Look, says: Says) -> None:
    found = look(says(line + b"\r\n"), "ssh")
    shown = canonical(found).decode()
    assert not set(shown) & {"\x1b", "\x9b", "\u202e", "\r", "\x00", "\x07"}
    assert "deb12" not in (found.products or ())[0].distribution


def test_a_late_greeting_is_read(look: Look, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that keeps silent longer than we wait, and answers the GET with its greeting."""
    monkeypatch.setattr("seccheck.probes.banner.talk.QUIET", 0.3)

    def late(connection: socket.socket) -> None:
        time.sleep(0.8)
        connection.sendall(b"220 m ESMTP Exim 4.99.1 now\r\n")

    assert named(look(serve(late), "tcp")) == [("exim", "4.99.1")]


# --------------------------------------------------------------------------------------------- the web


def answered(head: str, body: bytes = b"") -> BannerFacts:
    return facts(read_answer([head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body]))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("Server: nginx/1.22.1", [("nginx", "1.22.1")]),
        ("Server: Apache/2\nServer: nginx", [("apache-http-server", "2"), ("nginx", "")]),
        ("X-Jenkins: 2.426.2", [("jenkins", "2.426.2")]),
        ("Server: Microsoft-IIS/10.0\nX-Powered-By: ASP.NET", [("iis", "10.0"), ("asp-net", "")]),
        ("X-Powered-By: Express", [("express", "")]),
        ("X-Powered-By: Something", []),
        ("Via: 1.1 proxy (squid/5.7)", [("squid", "5.7")]),
        ("", []),
    ],
)
def test_headers(headers: str, expected: list[tuple[str, str]]) -> None:
    assert named(answered(f"HTTP/1.1 200 OK\nConnection: close\n{headers}".rstrip("\n"))) == expected


def test_windows_is_seen_across_headers() -> None:
    found = answered("HTTP/1.1 200 OK\nServer: Microsoft-IIS/10.0\nX-Powered-By: PHP/8.2.12")
    assert {product.os for product in found.products or ()} == {"windows"}


def test_first_pages() -> None:
    elastic = (
        b'{"name":"n","version":{"number":"1.4.2","lucene_version":"4.10"},"tagline":"You Know, for Search"}'
    )
    head = "HTTP/1.1 200 OK\nContent-Type: application/json\nConnection: close"
    found = answered(head, elastic)
    assert named(found) == [("elasticsearch", "1.4.2")]
    assert found.unauthenticated is True
    fork = elastic.replace(b'"number"', b'"distribution":"opensearch","number"')
    assert named(answered(head, fork))[0] == ("opensearch", "1.4.2")
    html = "HTTP/1.1 404 Not Found\nContent-Type: text/html\nConnection: close"
    assert named(answered(html, b"<h3>Apache Tomcat/9.0.98</h3>")) == [("tomcat", "9.0.98")]
    page = b'<meta name="generator" content="Drupal 10 (https://www.drupal.org)">'
    assert named(answered(html, page)) == [("drupal", "10")]
    assert named(answered(html.replace("text/html", "image/png"), page)) == []


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\nServer: nginx/1.22.1\n\nbody",
        b"HTTP/1.1 200 OK\r\nServer : nginx/1.22.1\r\n\r\nbody",
        b"HTTP/1.1 200\r\nServer: nginx/1.22.1\r\nBroken header line\r\n\r\n",
        b"HTTP/1.0 999 What\r\nServer: nginx/1.22.1\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_answers_that_bend_the_rules(raw: bytes) -> None:
    assert named(facts(read_answer([raw]))) == [("nginx", "1.22.1")]


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_no_bytes_break_the_reader(pieces: list[bytes]) -> None:
    try:
        found = facts(read_answer([b"HTTP/1.1 200 OK\r\n", *pieces]))
    except ProbeFailed:
        return
    assert isinstance(found, BannerFacts)


def test_the_host_is_asked_for_by_name() -> None:
    asked = http_request(
        Endpoint(host="www.example", address="192.0.2.1", port=8443, service="https")
    ).decode()
    assert asked.startswith("GET / HTTP/1.1\r\nHost: www.example:8443\r\nUser-Agent: seccheck/")
    assert b"Host: [2001:db8::1]\r\n" in http_request(Endpoint(address="2001:db8::1", port=443))
    assert b"Host: www.example\r\n" in http_request(Endpoint(host="www.example", port=80))


# ----------------------------------------------------------------------------------------- data stores


def mongo(document: dict[str, str | int]) -> bytes:
    body = struct.pack("<IB", 0, 0) + encode(document)
    return struct.pack("<iiii", 16 + len(body), 7, 1, 2013) + body


@pytest.mark.parametrize(
    ("second", "expected"),
    [({"ok": 1}, True), ({"ok": 0, "code": 13}, False), ({"ok": 0, "code": 59}, None)],
)
def test_mongodb(second: dict[str, str | int], expected: bool | None, look: Look, says: Says) -> None:
    port = says(b"", mongo({"version": "7.0.14", "ok": 1}), mongo(second))
    found = look(port, "mongodb")
    assert named(found) == [("mongodb", "7.0.14")]
    assert found.unauthenticated is expected
    assert found.discloses == ()


def test_mongodb_before_op_msg(look: Look, serve: Serve) -> None:
    def old(connection: socket.socket) -> None:
        asked = connection.recv(65536)
        if asked[12:16] != struct.pack("<i", 2004):
            return
        body = struct.pack("<iqii", 8, 0, 0, 1) + encode({"version": "3.2.11", "ok": 1})
        connection.sendall(struct.pack("<iiii", 16 + len(body), 7, 1, 1) + body)

    assert named(look(serve(old), "mongodb")) == [("mongodb", "3.2.11")]


def test_mongodb_found_by_its_answer_to_http(look: Look, serve: Serve, impatient: None) -> None:
    def server(connection: socket.socket) -> None:
        asked = connection.recv(65536)
        if asked.startswith(b"GET"):
            connection.sendall(
                b"It looks like you are trying to access MongoDB over HTTP on the native driver port.\r\n"
            )
        else:
            connection.sendall(mongo({"version": "8.0.1", "ok": 1}))
            connection.recv(65536)
            connection.sendall(mongo({"ok": 0, "code": 13}))

    found = look(serve(server), "tcp")
    assert named(found) == [("mongodb", "8.0.1")]
    assert found.unauthenticated is False


def test_bson() -> None:
    document = {"a": "text", "n": 5, "$db": "admin"}
    assert decode(encode(document)) == document


@given(st.binary(max_size=300))
def test_no_bytes_break_bson(data: bytes) -> None:
    decode(data)
    plain, answer = refuse_options(data)
    assert len(plain) <= len(data)
    assert len(answer) <= len(data)


def test_mysql_refusal_names_the_product(look: Look, says: Says) -> None:
    text = b"Host '192.0.2.9' is not allowed to connect to this MariaDB server"
    packet = b"\xff" + struct.pack("<H", 1130) + text
    found = look(says(struct.pack("<I", len(packet)) + packet), "mysql")
    assert named(found) == [("mariadb", "")]
    assert found.discloses == ()


def test_valkey_names_itself(look: Look, says: Says) -> None:
    lines = b"# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n"
    port = says(b"", b"$%d\r\n%s\r\n" % (len(lines), lines))
    assert named(look(port, "redis")) == [("valkey", "8.0.1")]


def test_what_names_nothing() -> None:
    assert facts(Heard("")).products == ()
    assert facts(Heard("x", (("smtp", "220 ready"),))).products != ()
