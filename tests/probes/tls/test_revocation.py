"""Revocation, asked of issuers on loopback: by OCSP, by list, and when nobody answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from seccheck.probes.tls.facts import Chain
from seccheck.scope import UNLIMITED, Context, Permission, Scope
from tests.probes.tls.looks import HOST, facts_of
from tests.probes.tls.pki import NOW, Party, issue
from tests.probes.tls.servers import block, nginx

DAY = timedelta(days=1)
ROOT = issue("Root", ca=True)
GOOD, REVOKED = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED


class Issuer(ThreadingHTTPServer):
    """Answers every question with what it is given, and remembers who asked."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(f"{self.command} {self.path}")
        body = self.server.answers.get(self.path)
        self.send_response(200 if body else 404)
        self.end_headers()
        self.wfile.write(body or b"")

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def leaf(server: Issuer, *, responder: bool = True) -> Party:
    access = x509.AccessDescription(
        AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(f"{server.url}/ocsp")
    )
    point = x509.DistributionPoint(
        [x509.UniformResourceIdentifier(f"{server.url}/list.crl")], None, None, None
    )
    points = ((x509.CRLDistributionPoints([point]), False),)
    extensions = ((x509.AuthorityInformationAccess([access]), False), *points) if responder else points
    return issue("leaf", ROOT, names=(HOST,), extensions=extensions)


def answered(party: Party, status: ocsp.OCSPCertStatus) -> bytes:
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=party.cert,
        issuer=ROOT.cert,
        algorithm=hashes.SHA1(),
        cert_status=status,
        this_update=NOW - DAY,
        next_update=NOW + DAY,
        revocation_time=NOW - DAY if status is REVOKED else None,
        revocation_reason=None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, ROOT.cert)
    return builder.sign(ROOT.key, hashes.SHA256()).public_bytes(Encoding.DER)


def listed(*revoked: Party, signer: Party = ROOT, until: int = 1) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ROOT.cert.subject)
        .last_update(NOW - 2 * DAY)
        .next_update(NOW + until * DAY)
    )
    for party in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(party.cert.serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(NOW - DAY).build())
    return builder.sign(signer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def chain(party: Party, folder: Path, revocation: str = "fetch") -> Chain:
    """What is said of the one chain of a server with that certificate."""
    permissions = (Permission(network="127.0.0.0/8", limits=UNLIMITED),)
    scope = Scope(permissions=permissions, trust=(ROOT.pem,), revocation=revocation)  # type: ignore[arg-type]
    with nginx(folder, block(*party.write(folder, "leaf"))) as (port,):
        (found,) = facts_of(port, "certificates", door=Context(scope, now=lambda: NOW)).chains or ()
    return found


@pytest.mark.parametrize(("status", "expected"), [(GOOD, "good"), (REVOKED, "revoked")])
def test_the_responder_is_asked(
    issuer: Issuer, tmp_path: Path, status: ocsp.OCSPCertStatus, expected: str
) -> None:
    party = leaf(issuer)
    issuer.answers["/ocsp"] = answered(party, status)

    found = chain(party, tmp_path)
    assert (found.revocation, found.stapled) == (expected, "none")
    assert issuer.asked == ["POST /ocsp"]


def test_the_list_is_asked_where_there_is_no_responder(issuer: Issuer, tmp_path: Path) -> None:
    party = leaf(issuer, responder=False)
    issuer.answers["/list.crl"] = listed(party)
    assert chain(party, tmp_path).revocation == "revoked"

    issuer.answers["/list.crl"] = listed()
    assert chain(party, tmp_path).revocation == "good"


def test_the_list_is_asked_where_the_responder_says_nothing(issuer: Issuer, tmp_path: Path) -> None:
    party = leaf(issuer)
    issuer.answers |= {"/ocsp": b"nonsense", "/list.crl": listed(party)}

    assert chain(party, tmp_path).revocation == "revoked"


@pytest.mark.parametrize(
    "answer", [listed(until=-1), listed(signer=issue("Other", ca=True)), b"nonsense", b""]
)
def test_a_list_that_proves_nothing(issuer: Issuer, tmp_path: Path, answer: bytes) -> None:
    issuer.answers["/list.crl"] = answer

    assert chain(leaf(issuer), tmp_path).revocation is None


def test_nobody_is_asked_unless_the_registry_says_so(issuer: Issuer, tmp_path: Path) -> None:
    party = leaf(issuer)
    issuer.answers["/ocsp"] = answered(party, GOOD)

    assert chain(party, tmp_path, revocation="staple").revocation is None
    assert issuer.asked == []


def test_an_issuer_outside_the_scope_is_not_asked(issuer: Issuer, tmp_path: Path) -> None:
    party = leaf(issuer)
    issuer.answers["/ocsp"] = answered(party, GOOD)
    own = (Permission(network="127.0.0.2/32", limits=UNLIMITED),)
    scope = Scope(permissions=own, trust=(ROOT.pem,), revocation="fetch")
    text = block(*party.write(tmp_path, "leaf")) + "listen 127.0.0.2:{port} ssl;"
    with nginx(tmp_path, text) as (port,):
        door = Context(scope, now=lambda: NOW)
        (found,) = facts_of(port, "certificates", door=door, address="127.0.0.2").chains or ()

    assert found.revocation is None
    assert issuer.asked == []
