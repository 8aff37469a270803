"""What a certificate says: read with `cryptography`, hostile until proven otherwise, never judged here."""

from __future__ import annotations

import hashlib
import ipaddress
import warnings
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from seccheck.model import safe_text, timestamp
from seccheck.probes.tls.facts import Certificate

if TYPE_CHECKING:
    from cryptography import x509

_MAX_NAMES = 2000
E = TypeVar("E")


@dataclass(frozen=True, eq=False)
class Parsed:
    """A certificate that could be read."""

    der: bytes
    cert: x509.Certificate

    @cached_property
    def sha256(self) -> str:
        """Its fingerprint, in hex."""
        return hashlib.sha256(self.der).hexdigest()

    @cached_property
    def subject(self) -> bytes:
        """The encoded subject, to compare."""
        return self.cert.subject.public_bytes()

    @cached_property
    def issuer(self) -> bytes:
        """The encoded issuer, to compare."""
        return self.cert.issuer.public_bytes()

    @cached_property
    def key(self) -> Any:
        """The public key, or None when it is of a kind nobody knows."""
        try:
            return self.cert.public_key()
        except Exception:  # noqa: BLE001  # ValueError, UnsupportedAlgorithm, TypeError: all mean unreadable
            return None

    def extension(self, kind: type[E]) -> E | None:
        """The extension of class `kind`, or None."""
        for extension in self.extensions:
            if isinstance(extension.value, kind):
                return extension.value
        return None

    @cached_property
    def extensions(self) -> tuple[Any, ...]:
        """Every extension; none when they cannot be read."""
        try:
            return tuple(self.cert.extensions)
        except Exception:  # noqa: BLE001  # a malformed extension must not hide the rest
            return ()

    @cached_property
    def is_ca(self) -> bool:
        """Whether it may certify others, by basicConstraints (RFC 5280 4.2.1.9)."""
        from cryptography import x509

        constraints = self.extension(x509.BasicConstraints)
        return bool(constraints and constraints.ca)

    @cached_property
    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The DNS names and the addresses of the subject alternative name."""
        from cryptography import x509

        san = self.extension(x509.SubjectAlternativeName)
        if san is None:
            return (), ()
        dns = [name.value for name in san if isinstance(name, x509.DNSName)]
        addresses = [
            str(name.value)
            for name in san
            if isinstance(name, x509.IPAddress)
            and isinstance(name.value, ipaddress.IPv4Address | ipaddress.IPv6Address)
        ]
        return tuple(dns[:_MAX_NAMES]), tuple(addresses[:_MAX_NAMES])

    @cached_property
    def self_issued(self) -> bool:
        """Whether subject and issuer are the same name."""
        return self.subject == self.issuer

    @cached_property
    def self_signed(self) -> bool:
        """Whether it is signed with its own key."""
        return self.self_issued and signed_by(self, self)

    @cached_property
    def scts(self) -> int:
        """How many certificate transparency timestamps it carries (RFC 6962 3.3)."""
        from cryptography import x509

        stamps = self.extension(x509.PrecertificateSignedCertificateTimestamps)
        return len(list(stamps)) if stamps else 0

    @cached_property
    def record(self) -> Certificate:
        """What it says, as a fact."""
        cert = self.cert
        kind, bits, curve = _key(self.key)
        return Certificate(
            subject=_name(cert, "subject"),
            issuer=_name(cert, "issuer"),
            serial=f"{cert.serial_number:x}",
            not_before=timestamp(cert.not_valid_before_utc),
            not_after=timestamp(cert.not_valid_after_utc),
            key_type=kind,
            key_bits=bits,
            curve=curve,
            signature_hash=_hash(cert),
            signature=_signature(cert),
            self_signed=self.self_signed,
            ca=self.is_ca,
            names=tuple(safe_text(name, 300) for names in self.names for name in names),
            sha256=self.sha256,
        )


def subject_of(der: bytes) -> bytes | None:
    """The encoded subject of the certificate in `der`, or None when it cannot be read."""
    from cryptography import x509

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return x509.load_der_x509_certificate(der).subject.public_bytes()
    except Exception:  # noqa: BLE001  # as below
        return None


@lru_cache(maxsize=4096)
def parse(der: bytes) -> Parsed | None:
    """The certificate in `der`, or None when it cannot be read."""
    from cryptography import x509

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old certificates break rules that cryptography warns of
            cert = x509.load_der_x509_certificate(der)
            parsed = Parsed(der, cert)
            _ = (parsed.subject, parsed.issuer, parsed.record)
    except Exception:  # noqa: BLE001  # hostile bytes: whatever goes wrong means unreadable
        return None
    return parsed


@lru_cache(maxsize=8192)
def signed_by(child: Parsed, parent: Parsed) -> bool:
    """Whether `parent`'s key made `child`'s signature, with whatever hash (SHA-1 is judged elsewhere)."""
    cert = child.cert
    try:
        return verify(parent.key, cert.signature, cert.tbs_certificate_bytes, _scheme(cert))
    except Exception:  # noqa: BLE001  # unknown algorithms and broken encodings verify nothing
        return False


def _scheme(cert: Any) -> tuple[Any, Any]:
    """The padding or scheme, and the hash, of a signed object."""
    return getattr(cert, "signature_algorithm_parameters", None), cert.signature_hash_algorithm


def verify(key: Any, signature: bytes, data: bytes, scheme: tuple[Any, Any]) -> bool:
    """Whether `signature` over `data` is `key`'s."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa

    parameters, digest = scheme
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, parameters or padding.PKCS1v15(), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(digest))
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, data)
        elif isinstance(key, dsa.DSAPublicKey):
            key.verify(signature, data, digest)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _key(key: Any) -> tuple[str, int, str]:
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

    match key:
        case rsa.RSAPublicKey():
            return "rsa", key.key_size, ""
        case ec.EllipticCurvePublicKey():
            return "ec", key.key_size, key.curve.name
        case ed25519.Ed25519PublicKey():
            return "ed25519", 256, ""
        case ed448.Ed448PublicKey():
            return "ed448", 456, ""
        case dsa.DSAPublicKey():
            return "dsa", key.key_size, ""
        case _:
            return "other", 0, ""


_CURVE_NUMBERS = {
    "secp224r1": 0x15,
    "secp256k1": 0x16,
    "secp256r1": 0x17,
    "secp384r1": 0x18,
    "secp521r1": 0x19,
    "brainpoolP256r1": 0x1A,
    "brainpoolP384r1": 0x1B,
    "brainpoolP512r1": 0x1C,
}


def curve_of(der: bytes) -> tuple[int, ...]:
    """The number of the curve (RFC 8422 5.1.1) of an EC certificate; none for another key."""
    parsed = parse(der)
    curve = parsed.record.curve if parsed else ""
    return (_CURVE_NUMBERS[curve],) if curve in _CURVE_NUMBERS else ()


_HASHES = {"md5", "sha1", "sha224", "sha256", "sha384", "sha512"}
_EDDSA = {"1.3.101.112", "1.3.101.113"}
_MD5_RSA = "1.2.840.113549.1.1.4"


def _hash(cert: x509.Certificate) -> str:
    oid = cert.signature_algorithm_oid.dotted_string
    if oid in _EDDSA:
        return "eddsa"
    if oid == _MD5_RSA:
        return "md5"
    try:
        algorithm = cert.signature_hash_algorithm
    except Exception:  # noqa: BLE001  # UnsupportedAlgorithm, ValueError
        return "other"
    return algorithm.name if algorithm and algorithm.name in _HASHES else "other"


def _signature(cert: x509.Certificate) -> str:
    oid = cert.signature_algorithm_oid
    return oid._name if oid._name != "Unknown OID" else oid.dotted_string  # noqa: SLF001  # no public name


def _name(cert: x509.Certificate, which: str) -> str:
    try:
        return safe_text(getattr(cert, which).rfc4514_string(), 500)
    except Exception:  # noqa: BLE001  # a name that cannot be decoded
        return ""
