# ruff: noqa: E501 (samples stand as they are sent)
"""Certificates, OCSP answers and revocation lists, broken byte by byte and element by element."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from seccheck.probes.tls import hello as h
from seccheck.probes.tls.answer import Outcome, Reply
from seccheck.probes.tls.certificates import curve_of, parse
from seccheck.probes.tls.chains import gather
from seccheck.probes.tls.facts import TlsParams
from seccheck.probes.tls.flaws import _rsa_key
from seccheck.probes.tls.names import bears, server_name
from seccheck.probes.tls.revocation import _allowed, _lists, _read_list, _request, _responders
from seccheck.probes.tls.staple import read_staple
from seccheck.probes.tls.trust import Anchors, find_route, in_order
from seccheck.probes.tls.visit import Visit
from tests.fuzz.properties import NOW, Recorded, bounded, hostile, sound, words
from tests.hostile import certificates as odd
from tests.probes.tls.pki import issue, key

pytestmark = pytest.mark.fuzz
DAY = timedelta(days=1)
HOST = "portal.example.vn"
ROOT = issue("Root", ca=True)
MIDDLE = issue("Middle", ROOT, ca=True, path_length=1)
_ACCESS = x509.AccessDescription(
    x509.oid.AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier("http://127.0.0.1:9/ocsp")
)
_POINT = x509.DistributionPoint(
    [x509.UniformResourceIdentifier("http://127.0.0.1:9/list.crl")], None, None, None
)
_CONSTRAINTS = x509.NameConstraints([x509.DNSName("example.vn")], [x509.DNSName("bad.vn")])
LEAF = issue(
    "leaf",
    MIDDLE,
    names=(HOST, "*.example.vn", "192.0.2.1", "2001:db8::1"),
    extensions=(
        (x509.AuthorityInformationAccess([_ACCESS]), False),
        (x509.CRLDistributionPoints([_POINT]), False),
        (x509.KeyUsage(True, False, True, False, False, False, False, False, False), True),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0"), False),
    ),
)
LIMITED = issue("Limited", ROOT, ca=True, extensions=((_CONSTRAINTS, True),))
RSA = issue("rsa", MIDDLE, names=(HOST,), private_key=key("rsa", 1024))
EDWARDS = issue("ed", MIDDLE, names=(HOST,), private_key=key("ed25519"))
DERS = tuple(one.der for one in (LEAF, MIDDLE, ROOT, RSA, EDWARDS, LIMITED))
ANCHORS = Anchors([ROOT.pem.encode()])
PARSED = [parse(one.der) for one in (LEAF, MIDDLE, ROOT)]


def staple(status: ocsp.OCSPCertStatus) -> bytes:
    gone = NOW - 5 * DAY if status is ocsp.OCSPCertStatus.REVOKED else None
    answer = ocsp.OCSPResponseBuilder().add_response(
        cert=LEAF.cert,
        issuer=MIDDLE.cert,
        algorithm=hashes.SHA256(),
        cert_status=status,
        this_update=NOW - DAY,
        next_update=NOW + DAY,
        revocation_time=gone,
        revocation_reason=None,
    )
    answer = answer.responder_id(ocsp.OCSPResponderEncoding.HASH, MIDDLE.cert).certificates([MIDDLE.cert])
    return answer.sign(MIDDLE.key, hashes.SHA256()).public_bytes(Encoding.DER)


STAPLES = tuple(staple(status) for status in ocsp.OCSPCertStatus)
_GONE = x509.RevokedCertificateBuilder().serial_number(LEAF.cert.serial_number).revocation_date(NOW - DAY)
LISTS = tuple(
    builder.sign(MIDDLE.key, hashes.SHA256()).public_bytes(Encoding.DER)
    for empty in (
        x509.CertificateRevocationListBuilder()
        .issuer_name(MIDDLE.cert.subject)
        .last_update(NOW - DAY)
        .next_update(NOW + DAY),
    )
    for builder in (empty, empty.add_revoked_certificate(_GONE.build()))
)


# ------------------------------------------------------------------------------ DER, element by element


def elements(data: bytes) -> list[Any]:
    """DER as a tree: [tag, children or bytes]; bit and octet strings that hold DER are opened as well."""
    found: list[Any] = []
    at = 0
    while at < len(data):
        tag, size, start = data[at], data[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            size, start = int.from_bytes(data[start : start + count], "big"), start + count
        if start + size > len(data) or size == 0x80:
            raise ValueError
        body = data[start : start + size]
        inside: Any = body
        if tag & 0x20 or tag == 0x04:
            try:
                inside = elements(body) or body
            except (ValueError, IndexError):
                inside = body
        found.append([tag, inside])
        at = start + size
    return found


def encoded(tree: list[Any]) -> bytes:
    out = b""
    for tag, inside in tree:
        body = inside if isinstance(inside, bytes) else encoded(inside)
        length = (len(body).bit_length() + 7) // 8
        size = (
            bytes([len(body)])
            if len(body) < 128
            else bytes([0x80 | length]) + len(body).to_bytes(length, "big")
        )
        out += bytes([tag]) + size + body
    return out


def copied(tree: list[Any]) -> list[Any]:
    return [[tag, inside if isinstance(inside, bytes) else copied(inside)] for tag, inside in tree]


def nodes(tree: list[Any]) -> list[tuple[list[Any], int]]:
    """Every element, as its siblings and its place among them."""
    found = []
    for number, (_, inside) in enumerate(tree):
        found.append((tree, number))
        if not isinstance(inside, bytes):
            found += nodes(inside)
    return found


_TAGS = st.sampled_from(
    (1, 2, 3, 4, 5, 6, 10, 12, 19, 22, 23, 24, 28, 30, 0x30, 0x31, 0x80, 0x82, 0x86, 0xA0, 0xA3)
)
_VALUES = st.binary(max_size=40) | st.sampled_from(
    (
        b"",
        b"\0",
        b"\xff" * 200,
        b"99991231235959Z",
        b"00000101000000Z",
        b"490101000000Z",
        b"*.vn",
        b"\0*\xff",
        b"x" * 5000,
    )
)


@st.composite
def rebuilt(draw: st.DrawFn, *samples: bytes) -> bytes:
    """DER whose lengths are right, after some elements were changed, moved, repeated or dropped."""
    tree = copied(TREES[draw(st.sampled_from(samples))])
    for _ in range(draw(st.integers(1, 4))):
        places = nodes(tree)
        if not places:
            break
        siblings, at = places[draw(st.integers(0, len(places) - 1))]
        match draw(st.integers(0, 5)):
            case 0:
                siblings[at][1] = draw(_VALUES)
            case 1:
                siblings[at][0] = draw(_TAGS)
            case 2:
                del siblings[at]
            case 3:
                siblings[at:at] = copied([siblings[at]]) * draw(st.integers(1, 4))
            case 4:
                other, place = places[draw(st.integers(0, len(places) - 1))]
                siblings[at] = copied([other[place]])[0]
            case _:
                siblings[at] = [draw(_TAGS), [siblings[at]]]
    return encoded(tree)[:60_000]


TREES = {sample: elements(sample) for sample in (*DERS, *STAPLES, *LISTS)}


def broken(*samples: bytes) -> st.SearchStrategy[bytes]:
    return rebuilt(*samples) | hostile(*samples)


def test_the_samples_are_rebuilt_as_they_were() -> None:
    for sample, tree in TREES.items():
        assert encoded(tree) == sample
        assert encoded(copied(tree)) == sample


# --------------------------------------------------------------------------------------- what is read


@given(st.lists(broken(*DERS) | st.sampled_from(DERS), min_size=1, max_size=5))
def test_chains(ders: list[bytes]) -> None:
    with bounded():
        read = [parse(der) for der in ders]
        chain = [one for one in read if one]
        for one in chain:
            sound(one.record)
            assert isinstance(bears(HOST, *one.names), bool)
            list(_responders(one)), list(_lists(one)), one.scts
            _allowed(_responders(one), Recorded(b""))
        curve_of(ders[0])
        _rsa_key(tuple(ders))
        if chain:
            route = find_route(chain, ANCHORS, NOW)
            in_order(chain)
            if route.trusted:  # nothing but a chain of signatures to the root makes trust
                assert chain[0].der == ROOT.der or chain[0].issuer in {ROOT.cert.subject.public_bytes(), MIDDLE.cert.subject.public_bytes()}  # fmt: skip


@given(st.lists(broken(*DERS[:3]) | st.sampled_from(DERS), min_size=1, max_size=4), broken(*STAPLES))
def test_the_facts_of_chains(ders: list[bytes], stapled: bytes) -> None:
    visit = Visit(HOST, TlsParams(ask=("certificates",)))
    reply = Reply(outcome=Outcome.FLIGHT, version=h.TLS12, certificates=tuple(ders), staple=stapled)
    visit.answered(1, visit.ask.version("TLSv1.2"), reply)
    with bounded():
        sound(gather(visit, HOST, ANCHORS, NOW))


@pytest.mark.parametrize("number", range(12))
def test_the_odd_ones_of_the_corpus(number: int) -> None:
    with bounded():
        for der in odd.odd(number):
            if found := parse(der):
                sound(found.record)


@given(broken(*STAPLES), st.sampled_from((0, 1, None)))
def test_ocsp_answers(data: bytes, issuer: int | None) -> None:
    leaf = PARSED[0]
    assert leaf
    with bounded():
        said = read_staple(data, leaf, None if issuer is None else PARSED[1 + issuer], NOW)
    if said in {"good", "revoked"}:  # whose signature holds
        assert issuer == 0


@given(broken(*LISTS))
def test_revocation_lists(data: bytes) -> None:
    leaf, middle, root = PARSED
    assert leaf
    assert middle
    assert root
    with bounded():
        _read_list(data, leaf, middle, NOW)
        assert _read_list(data, leaf, root, NOW) is None


@given(broken(*DERS))
def test_a_question_about_a_certificate(der: bytes) -> None:
    leaf, issuer = parse(der), PARSED[1]
    assert issuer
    if leaf:
        with bounded():
            _request(leaf, issuer)


@given(
    words("xn--", "*.", "portal", ".vn", "\u1ea1", "\u200d", "[", "]", "::1", "127.0.0.1", "x" * 70, ".."),
    st.lists(words("*.", "vn", "xn--"), max_size=4),
)
def test_names(host: str, patterns: list[str]) -> None:
    with bounded():
        server_name(host)
        assert isinstance(bears(host, patterns, patterns), bool)
