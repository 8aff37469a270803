"""Whether a certificate is revoked, asked of its issuer (RFC 6960, RFC 5280 5), where the registry says so.

Only the addresses that the certificate itself names are asked, over plain HTTP, and only through the
`Context`: what the scope does not allow stays unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit

from seccheck.probes import ProbeFailed
from seccheck.probes.tls.certificates import Parsed
from seccheck.probes.tls.staple import read_staple
from seccheck.resolve import resolve
from seccheck.scope import USER_AGENT, Context

Revocation = Literal["good", "revoked"] | None
_SECONDS = 8.0
_MAX_ANSWER = 20_000_000
_MOST = 3
"""Addresses asked of each kind."""


def fetch(leaf: Parsed, issuer: Parsed | None, context: Context) -> Revocation:
    """What the issuer says of `leaf`, by OCSP, else by its list; None when nothing can be had."""
    if issuer is None:
        return None
    now = context.now()
    for url in _allowed(_responders(leaf), context):
        answer = _http(url, _request(leaf, issuer), context)
        match read_staple(answer, leaf, issuer, now):
            case "good":
                return "good"
            case "revoked":
                return "revoked"
    for url in _allowed(_lists(leaf), context):
        found = _read_list(_http(url, b"", context), leaf, issuer, now)
        if found:
            return found
    return None


def _responders(leaf: Parsed) -> Iterator[str]:
    from cryptography import x509
    from cryptography.x509.oid import AuthorityInformationAccessOID

    access = leaf.extension(x509.AuthorityInformationAccess)
    for entry in access or ():
        if entry.access_method == AuthorityInformationAccessOID.OCSP:
            location = entry.access_location
            if isinstance(location, x509.UniformResourceIdentifier):
                yield location.value


def _lists(leaf: Parsed) -> Iterator[str]:
    from cryptography import x509

    points = leaf.extension(x509.CRLDistributionPoints)
    for point in points or ():
        for name in point.full_name or ():
            if isinstance(name, x509.UniformResourceIdentifier):
                yield name.value


def _allowed(urls: Iterator[str], context: Context) -> list[str]:
    """Plain HTTP only (these answers are signed); of a list that the scope gives, only what is on it."""
    listed = context.scope.revocation_urls
    found = [url for url in urls if url.startswith("http://") and (not listed or url in listed)]
    return found[:_MOST]


def _request(leaf: Parsed, issuer: Parsed) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import ocsp

    # SHA-1 names the certificate here and protects nothing; not every responder knows another (RFC 5019).
    builder = ocsp.OCSPRequestBuilder().add_certificate(leaf.cert, issuer.cert, SHA1())  # noqa: S303
    return builder.build().public_bytes(Encoding.DER)


def _http(url: str, body: bytes, context: Context) -> bytes:
    """The body of the answer, POSTing where there is something to say; empty when there is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        addresses = resolve([host], context.scope)[host].addresses
        lines = [
            f"{'POST' if body else 'GET'} {path} HTTP/1.0",
            f"Host: {parts.netloc}",
            f"User-Agent: {USER_AGENT}",
            *(["Content-Type: application/ocsp-request", f"Content-Length: {len(body)}"] if body else []),
        ]
        request = ("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + body
        for address in addresses[:1]:
            with context.dial(address, port, seconds=_SECONDS, max_bytes=_MAX_ANSWER) as connection:
                connection.send(request)
                answer = bytearray()
                while data := connection.receive():
                    answer += data
            head, _, content = bytes(answer).partition(b"\r\n\r\n")
            return content if head.split(b" ", 2)[1:2] == [b"200"] else b""
    except (ProbeFailed, ValueError, KeyError):
        return b""
    return b""


def _read_list(data: bytes, leaf: Parsed, issuer: Parsed, now: datetime) -> Revocation:
    from cryptography import x509

    try:
        revoked = x509.load_der_x509_crl(data)
        until = revoked.next_update_utc
        sound = revoked.issuer == issuer.cert.subject and revoked.is_signature_valid(issuer.key)
        if not sound or revoked.last_update_utc > now or (until is not None and until < now):
            return None
        entry = revoked.get_revoked_certificate_by_serial_number(leaf.cert.serial_number)
    except Exception:  # noqa: BLE001  # hostile bytes: whatever goes wrong means it says nothing
        return None
    return "good" if entry is None else "revoked"
