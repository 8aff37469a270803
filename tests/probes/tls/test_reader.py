"""Hellos as they are sent, answers as they are read; whatever bytes come, reading ends and raises nothing."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seccheck.demo.oldtls import read_hello
from seccheck.probes.tls import hello as h
from seccheck.probes.tls import suites
from seccheck.probes.tls.answer import MAX_ANSWER, Outcome, Reader
from seccheck.probes.tls.facts import SUITE_CLASSES
from seccheck.probes.tls.questions import Questions
from tests.probes.tls.servers import flight, message, record, retry

ASK = Questions("portal.example.vn")
VERSIONS = ("SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3")


def hello_of(offer) -> h.Hello:  # type: ignore[no-untyped-def]
    return offer.talk().reader.hello  # type: ignore[no-any-return]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_hello_reads_as_it_was_meant(version: str) -> None:
    offered = hello_of(ASK.version(version))
    data = offered.build()
    read = read_hello(data)

    assert read
    assert read.highest == h.NUMBERS[version]
    assert set(offered.suites) <= set(read.suites)
    assert read.groups == offered.groups
    assert (0 in read.extensions) == (version != "SSLv3")
    assert data != offered.build()  # fresh random


@pytest.mark.parametrize("version", ["SSLv3", "TLSv1.0", "TLSv1.1"])
def test_hellos_to_old_servers_are_short(version: str) -> None:
    assert len(hello_of(ASK.version(version)).build()) <= 300


def test_an_ssl_2_hello() -> None:
    read = read_hello(hello_of(ASK.version("SSLv2")).build())

    assert read
    assert read.highest == 2
    assert read.suites == tuple(suites.SSL2)


def test_every_suite_has_a_name_and_classes() -> None:
    for number in suites.names():
        assert suites.name(number).startswith(("TLS_", "SSL_"))
        assert set(suites.classes(number)) <= set(SUITE_CLASSES)
        assert bool(suites.classes(number)) == (number not in suites.TLS13)
        if "fs-aead" in suites.classes(number):
            assert suites.classes(number) == ("fs-aead",)


@pytest.mark.parametrize(
    ("number", "name", "classes"),
    [
        (0x000A, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", ("3des", "cbc", "static-rsa")),
        (0x0003, "TLS_RSA_EXPORT_WITH_RC4_40_MD5", ("export", "rc4", "md5", "static-rsa")),
        (0x0018, "TLS_DH_anon_WITH_RC4_128_MD5", ("anon", "rc4", "md5")),
        (0x0009, "TLS_RSA_WITH_DES_CBC_SHA", ("des", "cbc", "static-rsa")),
        (0x0007, "TLS_RSA_WITH_IDEA_CBC_SHA", ("idea", "cbc", "static-rsa")),
        (0x009C, "TLS_RSA_WITH_AES_128_GCM_SHA256", ("static-rsa", "other-aead")),
        (0x00A0, "TLS_DH_RSA_WITH_AES_128_GCM_SHA256", ("static-dh", "other-aead")),
        (0xC02F, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", ("fs-aead",)),
        (0xCCAA, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", ("fs-aead",)),
        (0xC0AE, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8", ("other-aead",)),
        (0xC013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", ("cbc",)),
        (0xC010, "TLS_ECDHE_RSA_WITH_NULL_SHA", ("null",)),
        (0x0700C0, "SSL_CK_DES_192_EDE3_CBC_WITH_MD5", ("3des", "md5", "cbc", "static-rsa")),
    ],
)
def test_classes_of_suites(number: int, name: str, classes: tuple[str, ...]) -> None:
    assert (suites.name(number), suites.classes(number)) == (name, classes)


def read(offer, *parts: bytes) -> Reader:  # type: ignore[no-untyped-def]
    reader = Reader(hello_of(offer))
    for part in parts:
        if reader.reply.outcome is None:
            reader.feed(part)
    return reader


def whole(version: int = 0x0303, suite: int = 0xC02F, **more: bytes) -> bytes:
    return flight(None, version, suite, (b"cert one", b"cert two"), **more)  # type: ignore[arg-type]


def test_a_flight_is_read_byte_by_byte() -> None:
    exchange = b"\x03\x00\x1d\x20" + bytes(32)
    data = whole(exchange=exchange, more=message(13, b"\x01\x01\0\0"), extensions=b"\xff\x01\x00\x01\x00")
    reply = read(ASK.version("TLSv1.2"), *(data[i : i + 1] for i in range(len(data)))).reply

    assert reply.outcome is Outcome.FLIGHT
    assert (reply.version, reply.suite, reply.group) == (0x0303, 0xC02F, 0x1D)
    assert reply.certificates == (b"cert one", b"cert two")
    assert reply.wants_certificate is True
    assert h.RENEGOTIATION in reply.extensions


def test_the_size_of_a_prime() -> None:
    prime = (1 << 1023).to_bytes(128, "big")
    exchange = b"\0\x80" + prime + b"\0\x01\x02\0\x01\x05"
    reply = read(ASK.version("TLSv1.2"), whole(suite=0x009E, exchange=exchange)).reply

    assert reply.dh_bits == 1024


def test_a_server_hello_alone_is_no_acceptance() -> None:
    reader = read(ASK.version("TLSv1.2"), whole()[:-9])
    reader.lost(Outcome.RESET)

    assert reader.reply.outcome is Outcome.RESET
    assert reader.reply.partial


def test_a_hello_retry_request() -> None:
    reply = read(ASK.version("TLSv1.3"), retry(None, 0x11EC)).reply  # type: ignore[arg-type]

    assert (reply.outcome, reply.version, reply.group) == (Outcome.FLIGHT, 0x0304, 0x11EC)


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        (bytes.fromhex("15030100020246"), Outcome.ALERT),
        (bytes.fromhex("1503010002 0170"), None),  # a warning: read on
        (b"HTTP/1.1 400 Bad Request\r\n", Outcome.PLAIN),
        (b"220-mail.example.vn ESMTP\r\n", Outcome.PLAIN),
        (bytes(range(64)), Outcome.GARBAGE),
        (whole(version=0x0304), Outcome.GARBAGE),
        (whole(suite=0xC0FF), Outcome.GARBAGE),
        (whole() + whole(), Outcome.FLIGHT),
        (record(22, 0x0303, message(11, b"\0\0\0")), Outcome.GARBAGE),
        (record(22, 0x0303, b"\x02\xff\xff\xff"), Outcome.GARBAGE),
        (retry(None, 0x4A4A), Outcome.GARBAGE),  # type: ignore[arg-type]
        (b"\x80\x03\x00\x00\x01", Outcome.CLOSED),  # an SSL 2.0 error
    ],
)
def test_answers_of_every_kind(data: bytes, outcome: Outcome | None) -> None:
    version = "TLSv1.3" if data[5:6] == b"\x02" and b"\x4a\x4a" in data else "TLSv1.2"

    assert read(ASK.version(version), data).reply.outcome is outcome


def test_an_endless_answer_is_cut() -> None:
    reader = read(ASK.version("TLSv1.2"), *[record(22, 0x0303, b"\0\0\0\0" * 4000)] * 40)

    assert reader.reply.outcome is Outcome.GARBAGE
    assert str(MAX_ANSWER) in reader.reply.detail


@given(st.lists(st.binary(max_size=200), max_size=20), st.sampled_from((*VERSIONS, "SSLv2")))
@example([bytes.fromhex("1603030004 02000000")], "TLSv1.2")
@example([b"\x80\x00\x04"], "SSLv2")
def test_no_bytes_are_an_error(parts: list[bytes], version: str) -> None:
    reader = read(ASK.version(version), *parts)
    reader.lost(Outcome.CLOSED)

    assert reader.reply.outcome is not None


@given(st.data())
def test_no_damage_is_an_error(data: st.DataObject) -> None:
    answer = bytearray(whole(exchange=b"\x03\x00\x1d\x20" + bytes(32), extensions=b"\xff\x01\x00\x01\x00"))
    for _ in range(data.draw(st.integers(1, 4))):
        answer[data.draw(st.integers(0, len(answer) - 1))] = data.draw(st.integers(0, 255))
    reader = read(ASK.version("TLSv1.2"), bytes(answer))
    reader.lost(Outcome.CLOSED)

    assert reader.reply.outcome is not None
