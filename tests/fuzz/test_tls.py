"""TLS as hostile servers speak it: hellos, flights, SSL 2.0, the talk before STARTTLS, handshakes."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given
from hypothesis import strategies as st

from seccheck.probes.tls import hello as h
from seccheck.probes.tls import suites
from seccheck.probes.tls.answer import MAX_ANSWER, Reader, Reply
from seccheck.probes.tls.flaws import CcsInjection, Heartbleed, Robot, _rsa_key
from seccheck.probes.tls.handshake import Handshake, Renegotiation
from seccheck.probes.tls.questions import Questions
from seccheck.probes.tls.starttls import PROLOGUES, StartTls
from seccheck.probes.tls.talk import HelloTalk, Talk
from tests.fuzz.properties import NOW, bounded, hostile
from tests.probes.tls.pki import issue
from tests.probes.tls.servers import flight, message, record, retry

pytestmark = pytest.mark.fuzz
ASK = Questions("portal.example.vn")
VERSIONS = ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3")
ROOT = issue("Root", ca=True)
LEAF = issue("leaf", ROOT, names=("portal.example.vn",))
CHAIN = (LEAF.der, ROOT.der)
CURVE = b"\x03\x00\x1d\x20" + bytes(32)
PRIME = b"\0\x80" + (1 << 1023).to_bytes(128, "big") + b"\0\x01\x02\0\x01\x05"
SSL2 = bytes.fromhex("8010 04 00 01 0002 0001 0003 0000 30 0700c0")
ANSWERS = (
    flight(None, 0x0303, 0xC02F, CHAIN, exchange=CURVE, extensions=b"\xff\x01\x00\x01\x00"),  # type: ignore[arg-type]
    flight(None, 0x0303, 0x009E, (b"one",), exchange=PRIME, more=message(13, b"\x01\x01\0\0")),  # type: ignore[arg-type]
    flight(None, 0x0301, 0x002F, CHAIN, more=message(22, b"\x01\0\0\x03abc")),  # type: ignore[arg-type]
    flight(None, 0x0300, 0x000A, (b"x",)),  # type: ignore[arg-type]
    retry(None, 0x001D),  # type: ignore[arg-type]
    SSL2,
    b"\x80\x03\x00\x00\x01",
    record(21, 0x0303, b"\x02\x28") + record(21, 0x0303, b"\x01\x70"),
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
)
PIECES = st.lists(st.integers(1, 400), max_size=12)


def said(talk: Talk, data: bytes, sizes: list[int]) -> int:
    """Feed `data` in pieces, then end the connection; how many bytes the talk answered."""
    answered = len(talk.opening())
    at = 0
    for size in (*sizes, len(data) or 1):
        if talk.done or at >= len(data):
            break
        answered += len(talk.feed(data[at : at + size]))
        at += size
    if not talk.done:
        from seccheck.probes.tls.answer import Outcome

        talk.lost(Outcome.CLOSED, "closed")
    return answered


def well_formed(reply: Reply) -> None:
    """What a reply may hold, whatever was said."""
    assert reply.outcome is not None
    assert len(reply.detail) <= 4000
    assert reply.version is None or reply.version in h.NAMES
    assert reply.alert is None or 0 <= reply.alert <= 255
    assert sum(map(len, reply.certificates)) <= MAX_ANSWER


@given(st.sampled_from(VERSIONS), hostile(*ANSWERS), PIECES)
def test_answers_to_a_hello(version: str, data: bytes, sizes: list[int]) -> None:
    hello = ASK.version(version).talk().reader.hello  # type: ignore[attr-defined]
    talk = HelloTalk(hello)
    with bounded():
        said(talk, data, sizes)
    well_formed(talk.reply)
    if talk.reply.suite is not None:
        assert talk.reply.suite in hello.suites  # an answer outside the offer is no evidence


@given(hostile(*ANSWERS), hostile(*ANSWERS), st.data())
def test_two_answers_at_once_do_not_touch(one: bytes, other: bytes, data: st.DataObject) -> None:
    hello = ASK.version("TLSv1.2").talk().reader.hello  # type: ignore[attr-defined]
    alone = Reader(hello)
    alone.feed(other)
    first, second = Reader(hello), Reader(hello)
    first.feed(one[: data.draw(st.integers(0, len(one)))])
    second.feed(other)
    if first.reply.outcome is None:
        first.feed(one)

    assert second.reply == alone.reply


@given(
    st.sampled_from(VERSIONS[1:]), st.sampled_from(("heartbleed", "ccs", "robot")), hostile(*ANSWERS), PIECES
)
def test_what_comes_after_a_flight(version: str, flaw: str, data: bytes, sizes: list[int]) -> None:
    number = h.NUMBERS[version]
    if flaw == "robot" and number == h.TLS13:
        number = h.TLS12
    talk: Talk = {
        "heartbleed": lambda: Heartbleed(number, "portal.example.vn"),
        "ccs": lambda: CcsInjection(number, "portal.example.vn"),
        "robot": lambda: Robot(number, "portal.example.vn", "well padded"),
    }[flaw]()
    with bounded():
        said(talk, ANSWERS[2] + data, sizes)
    well_formed(talk.reply)


GREETINGS = {
    "smtp": (
        b"220 mx ESMTP\r\n250-mx\r\n250-SIZE\r\n250 STARTTLS\r\n220 go\r\n",
        b"421 busy\r\n",
        b"554 no\r\n",
    ),
    "ftp": (b"220-a\r\n220 ftp\r\n234 AUTH\r\n", b"120 wait\r\n220 x\r\n502 no\r\n"),
    "imap": (
        b"* OK ready\r\n* CAPABILITY X\r\na1 OK begin\r\n",
        b"* BYE later\r\n",
        b"* OK x\r\na1 BAD no\r\n",
    ),
    "pop3": (b"+OK ready\r\n+OK begin\r\n", b"-ERR busy\r\n"),
    "ldap": (
        bytes.fromhex("300c02010178070a010004000400"),
        bytes.fromhex("308400000010020101788400000007 0a010004000400".replace(" ", "")),
        bytes.fromhex("300c02010178070a013404000400"),
    ),
    "postgresql": (b"S", b"N", b"E\0\0\0\x08abc"),
    "mysql": (
        b"\x4a\0\0\0\x0a8.0.36\0" + bytes(13) + b"\xff\xff" + bytes(40),
        b"\x10\0\0\x01\xff\x10\x04Too many",
    ),
}


@given(st.sampled_from(sorted(GREETINGS)), st.data(), PIECES)
def test_the_talk_before_starttls(service: str, data: st.DataObject, sizes: list[int]) -> None:
    spoken = data.draw(hostile(*GREETINGS[service])) + data.draw(st.sampled_from((b"", ANSWERS[0])))
    hello = ASK.version("TLSv1.2").talk().reader.hello  # type: ignore[attr-defined]
    talk = StartTls(PROLOGUES[service](), HelloTalk(hello))
    with bounded():
        said(talk, spoken, sizes)
    well_formed(talk.reply)


@given(
    st.sampled_from(sorted(GREETINGS)),
    st.sampled_from((b"220-\n", b"220-\r\n", b"* \n", b"\n", b"220-a\n* x\n")),
)
@example("smtp", b"\n")
def test_a_greeting_of_many_short_lines(service: str, line: bytes) -> None:
    hello = ASK.version("TLSv1.2").talk().reader.hello  # type: ignore[attr-defined]
    talk = StartTls(PROLOGUES[service](), HelloTalk(hello))
    begin = {"smtp": b"220-\n", "ftp": b"220-\n", "imap": b"* OK\n", "pop3": b"+OK\n"}.get(service, b"")
    with bounded():
        said(talk, begin + line * (70_000 // len(line)), [4096] * 20)
    well_formed(talk.reply)


@given(st.sampled_from((h.TLS12, h.TLS13)), hostile(*ANSWERS), PIECES)
def test_answers_to_a_whole_handshake(version: int, data: bytes, sizes: list[int]) -> None:
    talk = Handshake(version, "portal.example.vn")
    with bounded():
        said(talk, data, sizes)
    well_formed(talk.reply)


@given(st.sampled_from((h.SSL3, h.TLS10, h.TLS12)), st.booleans(), hostile(*ANSWERS), PIECES)
def test_answers_to_a_handshake_of_old(version: int, legacy: bool, data: bytes, sizes: list[int]) -> None:
    talk = Renegotiation(version, "portal.example.vn", legacy=legacy)
    with bounded():
        said(talk, data, sizes)
    well_formed(talk.reply)


def absurd(bits: int, exponent: int) -> bytes:
    """A certificate whose RSA key has so many bits, and exponent."""
    public = rsa.RSAPublicNumbers(exponent, (1 << bits) - 159).public_key()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(ROOT.cert.subject).public_key(public)
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW)
    return builder.sign(ROOT.key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    "der", [absurd(65_536, (1 << 65_000) + 1), absurd(4096, (1 << 4000) + 1), absurd(300, 3)]
)
def test_keys_beyond_reason_are_not_computed_with(der: bytes) -> None:
    talk = Robot(h.TLS12, "portal.example.vn", "well padded")
    with bounded():
        said(talk, flight(None, 0x0303, 0x009C, (der,)), [])  # type: ignore[arg-type]
    well_formed(talk.reply)
    assert _rsa_key((der,)) is None


@given(st.integers(0, 0xFFFFFF))
def test_any_number_has_a_name_or_none(number: int) -> None:
    assert suites.name(number)
    assert isinstance(suites.classes(number), tuple)
