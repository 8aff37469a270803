"""Chains of every defect, and what is said of them."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from seccheck.probes.tls.certificates import parse
from seccheck.probes.tls.names import bears, server_name
from seccheck.probes.tls.staple import read_staple
from seccheck.probes.tls.trust import Anchors, Route, anchors, find_route, in_order, mozilla_store
from tests.probes.tls import pki
from tests.probes.tls.looks import HOST
from tests.probes.tls.pki import NOW, Party, issue
from tests.tools import tool

ROOT = issue("Root", ca=True)
MIDDLE = issue("Middle", ROOT, ca=True)
LEAF = issue("leaf", MIDDLE, names=(HOST,))
DAY = timedelta(days=1)


def route(*sent: Party, trusted: tuple[Party, ...] = (ROOT,)) -> Route:
    chain = [parse(party.der) for party in sent]
    return find_route([each for each in chain if each], Anchors([p.pem.encode() for p in trusted]), NOW)


def test_a_whole_chain_is_trusted() -> None:
    found = route(LEAF, MIDDLE)

    assert (found.trusted, found.complete, found.anchor, found.problem) == (True, True, "CN=Root", "")
    assert [cert.record.subject for cert in found.path] == ["CN=leaf", "CN=Middle"]


def test_the_root_may_be_sent_along_and_order_does_not_matter_for_trust() -> None:
    assert route(LEAF, ROOT, MIDDLE).trusted
    assert not in_order([parse(p.der) for p in (LEAF, ROOT, MIDDLE)])  # type: ignore[misc]
    assert in_order([parse(p.der) for p in (LEAF, MIDDLE, ROOT)])  # type: ignore[misc]


def test_a_missing_intermediate_is_said() -> None:
    found = route(LEAF)

    assert (found.trusted, found.complete, found.problem) == (False, False, "missing-issuer")


def test_a_self_signed_leaf_is_said_and_may_be_an_anchor_itself() -> None:
    lone = issue("lone", names=(HOST,))

    assert route(lone).problem == "self-signed"
    assert route(lone, trusted=(lone,)).trusted


def test_an_unknown_root_is_said() -> None:
    found = route(LEAF, MIDDLE, ROOT, trusted=())

    assert (found.trusted, found.complete, found.problem) == (False, True, "unknown-root")
    assert [cert.record.subject for cert in found.path] == ["CN=leaf", "CN=Middle"]


def test_a_signature_of_another_key_with_the_same_name_does_not_count() -> None:
    impostor = issue("Middle", ROOT, ca=True)

    assert route(LEAF, impostor).problem == "missing-issuer"
    assert route(LEAF, impostor, MIDDLE).trusted


def test_the_leafs_own_dates_do_not_touch_trust() -> None:
    expired = issue("leaf", MIDDLE, names=(HOST,), since=NOW - 90 * DAY, until=NOW - DAY)

    assert route(expired, MIDDLE).trusted


@pytest.mark.parametrize(
    ("middle", "problem"),
    [
        (issue("Middle", ROOT, ca=True, until=NOW - DAY), "expired-issuer"),
        (issue("Middle", ROOT, names=("a.vn",)), "issuer-is-no-ca"),
        (issue("Middle", ROOT, ca=True, basic=False), "issuer-is-no-ca"),
        (
            issue(
                "Middle",
                ROOT,
                ca=True,
                extensions=((x509.NameConstraints([x509.DNSName("gov.vn")], None), True),),
            ),
            "name-constraints",
        ),
        (
            issue(
                "Middle",
                ROOT,
                ca=True,
                extensions=((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0"), True),),
            ),
            "unknown-critical-extension",
        ),
    ],
)
def test_what_is_wrong_with_an_issuer(middle: Party, problem: str) -> None:
    leaf = issue("leaf", middle, names=(HOST,))

    found = route(leaf, middle)
    assert (found.trusted, found.problem, found.complete) == (False, problem, True)


def test_a_path_that_is_too_long() -> None:
    short = issue("Short", ROOT, ca=True, path_length=0)
    below = issue("Below", short, ca=True)
    leaf = issue("leaf", below, names=(HOST,))

    assert route(leaf, below, short).problem == "path-too-long"


def test_a_certificate_for_clients_only() -> None:
    leaf = issue("leaf", MIDDLE, names=(HOST,), usages=(ExtendedKeyUsageOID.CLIENT_AUTH,))

    assert route(leaf, MIDDLE).problem == "not-for-servers"


def test_an_expired_root() -> None:
    old = issue("Old", ca=True, since=NOW - 900 * DAY, until=NOW - DAY)

    assert route(issue("leaf", old, names=(HOST,)), trusted=(old,)).problem == "expired-root"


def test_a_better_path_is_preferred() -> None:
    old = issue("Cross", ROOT, ca=True, until=NOW - DAY)
    new = issue("Cross", ROOT, ca=True, private_key=old.key)
    leaf = issue("leaf", old, names=(HOST,))

    assert route(leaf, old, new).trusted


def test_a_maze_of_issuers_ends() -> None:
    key = pki.key()
    maze = [
        issue("Maze", issue("Maze", ca=True, private_key=key), ca=True, private_key=key) for _ in range(60)
    ]
    leaf = issue("leaf", maze[0], names=(HOST,))

    assert not route(leaf, *maze).trusted


def test_sha_1_does_not_touch_trust_and_is_a_fact(tmp_path: Path) -> None:
    root = tmp_path / "root.pem"
    command = (
        f"req -x509 -newkey rsa:2048 -nodes -keyout {tmp_path}/key -out {root} -sha1 -days 30 -subj /CN=Sha1"
    )
    subprocess.run([tool("openssl"), *command.split()], check=True, capture_output=True)
    parsed = parse(x509.load_pem_x509_certificate(root.read_bytes()).public_bytes(Encoding.DER))

    assert parsed
    assert parsed.record.signature_hash == "sha1"
    assert parsed.self_signed


def test_the_record_of_a_certificate() -> None:
    parsed = parse(
        issue("r", MIDDLE, names=("a.vn", "*.b.vn", "192.0.2.1"), private_key=pki.key("rsa", 1024)).der
    )

    assert parsed
    record = parsed.record
    assert (record.key_type, record.key_bits, record.curve) == ("rsa", 1024, "")
    assert record.names == ("a.vn", "*.b.vn", "192.0.2.1")
    assert (record.self_signed, record.ca) == (False, False)
    assert (record.not_before, record.not_after) == ("2026-10-24T06:00:00Z", "2027-09-19T06:00:00Z")
    eddsa = parse(issue("e", private_key=pki.key("ed25519")).der)
    assert eddsa
    assert (eddsa.record.key_type, eddsa.record.signature_hash) == ("ed25519", "eddsa")
    curve = parse(LEAF.der)
    assert curve
    assert (curve.record.key_type, curve.record.key_bits, curve.record.curve) == ("ec", 256, "secp256r1")


@given(st.binary(max_size=400))
def test_bytes_that_are_no_certificate_are_none(data: bytes) -> None:
    assert parse(data) is None


@given(st.integers(0, len(LEAF.der) - 1), st.integers(0, 255))
def test_a_damaged_certificate_never_raises(at: int, value: int) -> None:
    parsed = parse(LEAF.der[:at] + bytes((value,)) + LEAF.der[at + 1 :])
    if parsed:
        find_route([parsed], Anchors([ROOT.pem.encode()]), NOW)


# ---------------------------------------------------------------------------------- stores


def test_the_bundled_store_and_the_registrys_own_are_both_read() -> None:
    import sys

    assert mozilla_store() is not None
    store = anchors((ROOT.pem,))
    parsed = parse(ROOT.der)
    assert parsed
    assert store.holds(parsed)
    assert len(store._by_subject) > 100
    assert "sslyze" not in sys.modules


# ---------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("host", "pattern", "expected"),
    [
        ("a.gov.vn", "a.gov.vn", True),
        ("A.gov.vn.", "a.GOV.vn", True),
        ("a.gov.vn", "*.gov.vn", True),
        ("a.b.gov.vn", "*.gov.vn", False),
        ("gov.vn", "*.gov.vn", False),
        ("a.gov.vn", "a*.gov.vn", False),
        ("a.gov.vn", "*", False),
        ("a.vn", "*.vn", False),
        ("a.gov.vn", "*.*.vn", False),
        ("cổng.gov.vn", "xn--cng-qmz.gov.vn", True),
        ("cổng.gov.vn", "*.gov.vn", True),
    ],
)
def test_names_are_matched_as_rfc_9525_says(host: str, pattern: str, expected: bool) -> None:
    assert bears(host, (pattern,), ()) is expected


def test_addresses_match_addresses_only() -> None:
    assert bears("192.0.2.1", (), ("192.0.2.1",))
    assert bears("2001:db8::1", (), ("2001:db8:0:0::1",))
    assert not bears("192.0.2.1", ("192.0.2.1",), ())
    assert not bears("a.vn", (), ("192.0.2.1",))


def test_the_sni_is_never_an_address() -> None:
    assert server_name("192.0.2.1") == ""
    assert server_name("2001:db8::1") == ""
    assert server_name("cổng.gov.vn") == "xn--cng-qmz.gov.vn"


# ---------------------------------------------------------------------------------- staples


def _staple(
    status: ocsp.OCSPCertStatus, *, signer: Party = MIDDLE, serial_of: Party = LEAF, days: int = 1
) -> bytes:
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=serial_of.cert,
        issuer=MIDDLE.cert,
        algorithm=hashes.SHA256(),
        cert_status=status,
        this_update=NOW - 2 * DAY,
        next_update=NOW + days * DAY,
        revocation_time=NOW - DAY if status is ocsp.OCSPCertStatus.REVOKED else None,
        revocation_reason=None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, signer.cert)
    if signer is not MIDDLE:
        builder = builder.certificates([signer.cert])
    return builder.sign(signer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def _read(response: bytes) -> str:
    leaf, issuer = parse(LEAF.der), parse(MIDDLE.der)
    assert leaf
    return read_staple(response, leaf, issuer, NOW)


def test_staples() -> None:
    good, revoked = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED
    delegate = issue("responder", MIDDLE, usages=(ExtendedKeyUsageOID.OCSP_SIGNING,))
    stranger = issue("stranger", ROOT, usages=(ExtendedKeyUsageOID.OCSP_SIGNING,))

    assert _read(b"") == "none"
    assert _read(_staple(good)) == "good"
    assert _read(_staple(revoked)) == "revoked"
    assert _read(_staple(good, signer=delegate)) == "good"
    assert _read(_staple(good, signer=stranger)) == "unknown"
    assert _read(_staple(good, days=-1)) == "unknown"
    assert _read(_staple(good, serial_of=issue("other", MIDDLE))) == "unknown"
    assert _read(b"\x30\x03\x0a\x01\x06") == "unknown"
    assert _read(b"nonsense") == "unknown"
