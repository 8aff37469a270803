"""DNS answers of hostile servers, and the records of mail: SPF, DKIM, DMARC, MTA-STS."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import dns.exception
import dns.message
import dns.rcode
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seccheck.model import ProbeFailed, Reason
from seccheck.probes.dns import collect as collect_dns
from seccheck.probes.dns.facts import DnsParams
from seccheck.probes.dns.records import transfer_from
from seccheck.probes.mail import collect as collect_mail
from seccheck.probes.mail.facts import MailParams
from seccheck.probes.mail.organisation import organisational_domain
from seccheck.probes.mail.records import _bits, tags
from seccheck.resolve import Stub, name_of
from tests.fuzz.properties import HERE, SLOW, Recorded, bounded, damaged, endpoint, hostile, looked, words

pytestmark = pytest.mark.fuzz
NAME = "example.vn"
_HERE = b"\xc0\x0c"
_WORLD = struct.pack(">HI", 1, 300)
_LONG = b"\x3f" + b"x" * 63


def rr(kind: int, data: bytes, owner: bytes = _HERE) -> bytes:
    return owner + struct.pack(">H", kind) + _WORLD + struct.pack(">H", len(data)) + data


def txt(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")[:4000]
    parts = [raw[at : at + 255] for at in range(0, len(raw), 255)] or [b""]
    return rr(16, b"".join(bytes((len(part),)) + part for part in parts))


_SIGNED = struct.pack(">HBBIIIH", 1, 13, 2, 300, 1_800_000_000, 1_700_000_000, 1234) + b"\2vn\0" + bytes(64)
RECORDS = (
    rr(1, bytes((127, 0, 0, 1))),
    rr(28, bytes(16)),
    rr(5, b"\3www" + _HERE),
    rr(5, _HERE),
    rr(15, b"\0\x0a\2mx" + _HERE),
    rr(15, b"\0\0\0"),
    rr(2, b"\2ns" + _HERE),
    rr(6, b"\2ns" + _HERE + b"\1h" + _HERE + bytes(20)),
    rr(257, b"\0\5issueletsencrypt.org; x=y"),
    rr(257, b"\x80\x09issuewild;"),
    rr(43, struct.pack(">HBB", 1234, 13, 2) + bytes(32)),
    rr(48, struct.pack(">HBB", 257, 3, 13) + bytes(64)),
    rr(46, _SIGNED),
    rr(47, b"\1a" + _HERE + b"\0\6\x40\0\0\0\0\3"),
    rr(50, struct.pack(">BBHB", 1, 1, 100, 2) + b"ab" + b"\x14" + bytes(20) + b"\0\1\x40"),
    txt("v=spf1 include:x.example.vn -all"),
    rr(16, b""),
    rr(0xFFFE, b"x"),
)
SPF = (
    "v=spf1",
    " ",
    "-all",
    "~all",
    "+all",
    "?",
    "include:",
    "redirect=",
    "a",
    "mx",
    "ptr",
    "exists:",
    "ip4:",
    "ip6:",
    "192.0.2.0/24",
    "::/0",
    "/24",
    "//64",
    "%{i}",
    "example.vn",
    "a.b",
    "." * 3,
    "x" * 70,
)
DMARC = (
    "v=DMARC1",
    ";",
    "p=",
    "none",
    "reject",
    "quarantine",
    "sp=",
    "pct=",
    "50",
    "101",
    "\u0661\u0662",
    "rua=",
    "mailto:a@b.vn",
    ",",
    "t=y",
)
DKIM = (
    "v=DKIM1",
    ";",
    "k=",
    "rsa",
    "ed25519",
    "p=",
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A",
    "AAAA",
    "t=y:s",
    "=",
    " ",
)
OTHER = ("v=STSv1;", "id=", "20260101", "v=TLSRPTv1;", "rua=mailto:x")
TEXTS = words(*SPF) | words(*DMARC) | words(*DKIM) | words(*OTHER)


class Recording:
    """Stands for every resolver: gives the next of some answers to whatever is asked."""

    def __init__(self, answers: list[tuple[int, bytes, int]]) -> None:
        self._answers = cycle(answers)

    def __call__(self, _stub: Stub, name: Any, kind: Any, *, dnssec: bool) -> dns.message.QueryMessage:
        code, records, number = next(self._answers)
        question = dns.message.make_query(name, kind, want_dnssec=dnssec).to_wire()
        asked = question[12 : 12 + len(name.to_wire()) + 4]
        wire = struct.pack(">6H", 1, 0x8180 | code, 1, number, 0, 0) + asked + records
        try:
            answer = dns.message.from_wire(wire, ignore_trailing=True)
        except (dns.exception.DNSException, OSError, EOFError, ValueError) as error:
            raise ProbeFailed(Reason.RESOLVER, f"{HERE}: {type(error).__name__}") from None
        if answer.rcode() in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN} and isinstance(
            answer, dns.message.QueryMessage
        ):
            return answer
        raise ProbeFailed(Reason.RESOLVER, "no")


@st.composite
def answer(draw: st.DrawFn, *kinds: bytes) -> tuple[int, bytes, int]:
    records = draw(st.lists(st.sampled_from(kinds) | TEXTS.map(txt), max_size=6))
    if draw(st.integers(0, 3)) == 0:
        records = [draw(damaged(record)) for record in records]
    return draw(st.sampled_from((0, 0, 0, 3, 2))), b"".join(records), len(records)


@pytest.fixture(scope="module")
def resolvers() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


ALL_DNS = DnsParams(ask=("addresses", "dnssec", "caa", "dangling"))
ALL_MAIL = MailParams(ask=("spf", "dkim", "dmarc", "mta-sts", "mx"))


@SLOW
@given(st.lists(answer(*RECORDS), min_size=1, max_size=6))
def test_what_a_zone_says(resolvers: pytest.MonkeyPatch, answers: list[tuple[int, bytes, int]]) -> None:
    recording = Recording(answers)
    resolvers.setattr(Stub, "_ask_servers", lambda *args, **how: recording(*args, **how))
    looked(lambda: collect_dns(endpoint("dns", NAME), ALL_DNS, Recorded(b"")), 5.0)


@SLOW
@given(st.lists(answer(*RECORDS[:6]), min_size=1, max_size=6))
@example([(0, txt("v=spf1 " + "include:a.vn " * 300 + "-all"), 1)])
@example([(0, txt("v=spf1 redirect=" + "a." * 120 + "vn"), 1)])
@example([(0, b"".join(txt(f"v=spf1 include:{n}.vn") for n in range(9)), 9)])
def test_what_mail_publishes(resolvers: pytest.MonkeyPatch, answers: list[tuple[int, bytes, int]]) -> None:
    recording = Recording(answers)
    resolvers.setattr(Stub, "_ask_servers", lambda *args, **how: recording(*args, **how))
    looked(lambda: collect_mail(endpoint("smtp", NAME), ALL_MAIL, Recorded(b"")), 5.0)


def framed(wire: bytes) -> bytes:
    return struct.pack(">H", len(wire)) + wire


_ASKED = b"\7example\2vn\0\0\xfc\0\1"
TRANSFERS = tuple(
    framed(struct.pack(">6H", 0, flags, 1, number, 0, 0) + _ASKED + b"".join(RECORDS[7:8] * number))
    for flags, number in ((0x8480, 2), (0x8480, 1), (0x8485, 0), (0x8482, 0), (0xA880, 1))
)


@given(hostile(*TRANSFERS))
@example(framed(TRANSFERS[4][2:]) * 200)
def test_a_transfer(data: bytes) -> None:
    looked(lambda: transfer_from(Recorded(data), HERE, name_of(NAME)))


@given(
    hostile(
        TRANSFERS[0][2:],
        *(struct.pack(">6H", 7, 0x8180, 1, 1, 0, 0) + b"\7example\2vn\0\0\1\0\1" + one for one in RECORDS),
    )
)
def test_messages(wire: bytes) -> None:
    """What the library may raise is what `Stub` expects of it."""
    with bounded():
        try:
            answer = dns.message.from_wire(wire)
            if isinstance(answer, dns.message.QueryMessage):
                answer.resolve_chaining()
        except (dns.exception.DNSException, OSError, EOFError, ValueError):
            pass


@example("\\999.vn")
@given(words("example", ".", "vn", "gov", "xn--", "\u1ea1", "-", "_", "\\", "x" * 64, "\u3002", "*", "\0"))
def test_names(text: str) -> None:
    def read() -> None:
        name_of(text)
        organisational_domain(text)

    looked(read)


@given(words(*DKIM, "\u0661"), st.sampled_from(("rsa", "ed25519", "x")))
def test_keys(text: str, kind: str) -> None:
    with bounded():
        found = tags(text)
        assert _bits(kind, found.get("p", "")) >= 0
