"""What a stapled OCSP response says of the leaf (RFC 6960), its signature checked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from seccheck.probes.tls.certificates import Parsed, parse, signed_by, verify
from seccheck.probes.tls.facts import Staple

_OCSP_SIGNING = "1.3.6.1.5.5.7.3.9"


def read_staple(response: bytes, leaf: Parsed, issuer: Parsed | None, now: datetime) -> Staple:
    """What a response says, if it is for `leaf`, in time and signed by `issuer`; else it is unknown."""
    if not response:
        return "none"
    try:
        return _read(response, leaf, issuer, now)
    except Exception:  # noqa: BLE001  # hostile bytes: whatever goes wrong means it says nothing
        return "unknown"


def _read(response: bytes, leaf: Parsed, issuer: Parsed | None, now: datetime) -> Staple:
    from cryptography.x509 import ocsp

    answer = ocsp.load_der_ocsp_response(response)
    if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL or issuer is None:
        return "unknown"
    if not _signed(answer, issuer):
        return "unknown"
    for single in answer.responses:
        if single.serial_number != leaf.cert.serial_number:
            continue
        until = single.next_update_utc
        if single.this_update_utc > now or (until is not None and until < now):
            return "unknown"
        match single.certificate_status:
            case ocsp.OCSPCertStatus.GOOD:
                return "good"
            case ocsp.OCSPCertStatus.REVOKED:
                return "revoked"
    return "unknown"


def _signed(answer: Any, issuer: Parsed) -> bool:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    scheme = (None, answer.signature_hash_algorithm)
    if verify(issuer.key, answer.signature, answer.tbs_response_bytes, scheme):
        return True
    for delegate in answer.certificates:
        parsed = parse(delegate.public_bytes(Encoding.DER))
        usage = parsed.extension(x509.ExtendedKeyUsage) if parsed else None
        may_sign = usage is not None and any(oid.dotted_string == _OCSP_SIGNING for oid in usage)
        if parsed and may_sign and signed_by(parsed, issuer):
            return verify(parsed.key, answer.signature, answer.tbs_response_bytes, scheme)
    return False
