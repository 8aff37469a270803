"""A throw-away certificate authority, made anew at each start: its root is trusted by nobody but the demo."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Flaw = Literal["self-signed", "no-intermediate", "wrong-name", "expired", "sha1"]
KeyKind = Literal["ec", "rsa", "rsa-1024"]

_DAY = timedelta(days=1)
_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_ECDSA_SHA1 = bytes.fromhex("300906072a8648ce3d0401")


@dataclass(frozen=True)
class Chain:
    """What a server sends, leaf first, and the key of the leaf."""

    certificates: tuple[bytes, ...]
    key: Key

    def pem(self) -> bytes:
        """Key and chain in one PEM text, as OpenSSL loads it."""
        chain = b"".join(
            x509.load_der_x509_certificate(one).public_bytes(serialization.Encoding.PEM)
            for one in self.certificates
        )
        return chain + self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


class Authority:
    """A root, an intermediate below it, and the leaves the intermediate signs."""

    def __init__(self, now: datetime | None = None) -> None:
        self._now = (now or datetime.now(UTC)).replace(microsecond=0)
        root_key = ec.generate_private_key(ec.SECP256R1())
        root_name = _name("seccheck demonstration root (trust nowhere else)")
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("seccheck demonstration issuer")
        self.root = self._sign_ca(root_name, root_name, root_key.public_key(), root_key, path_length=1)
        self._intermediate = self._sign_ca(
            self._name, root_name, self._key.public_key(), root_key, path_length=0
        )
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())

    @cached_property
    def _rsa(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, 2048)

    @cached_property
    def _weak_rsa(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, 1024)  # noqa: S505 - a weak key is what CRT-04 is to find

    def root_pem(self) -> bytes:
        """The root certificate, for the registry's `trust`."""
        return self.root.public_bytes(serialization.Encoding.PEM)

    def chain(
        self, names: tuple[str, ...], flaws: frozenset[Flaw] = frozenset(), key: KeyKind = "ec"
    ) -> Chain:
        """A certificate for `names` and what is sent with it, with the flaws asked for."""
        private: Key = self._leaf_key
        if key != "ec":
            private = self._rsa if key == "rsa" else self._weak_rsa
        leaf = self._leaf(names, flaws, private)
        intermediate = self._intermediate.public_bytes(serialization.Encoding.DER)
        alone = flaws & {"self-signed", "no-intermediate"}
        return Chain((leaf,) if alone else (leaf, intermediate), private)

    def _leaf(self, names: tuple[str, ...], flaws: frozenset[Flaw], key: Key) -> bytes:
        if "wrong-name" in flaws:
            names = ("localhost.localdomain",)
        since, until = self._now - 30 * _DAY, self._now + 90 * _DAY
        if "expired" in flaws:
            since, until = self._now - 400 * _DAY, self._now - 35 * _DAY
        subject = _name(names[0])
        issuer, signer = (subject, key) if "self-signed" in flaws else (self._name, self._key)
        builder = _builder(subject, issuer, key.public_key(), signer.public_key(), since, until)
        for extension, critical in (
            (x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False),
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_key_usage(encipherment=isinstance(key, rsa.RSAPrivateKey)), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        ):
            builder = builder.add_extension(extension, critical)
        certificate = builder.sign(signer, hashes.SHA256())
        if "sha1" in flaws:
            return _signed_with_sha1(certificate, self._key)
        return certificate.public_bytes(serialization.Encoding.DER)

    def _sign_ca(
        self,
        subject: x509.Name,
        issuer: x509.Name,
        key: ec.EllipticCurvePublicKey,
        signer: Key,
        path_length: int,
    ) -> x509.Certificate:
        builder = _builder(
            subject, issuer, key, signer.public_key(), self._now - 60 * _DAY, self._now + 365 * _DAY
        )
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=path_length), critical=True
        )
        return builder.add_extension(_key_usage(authority=True), critical=True).sign(signer, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "VN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "seccheck demonstration"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    signer: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    since: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )


def _key_usage(*, authority: bool = False, encipherment: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _signed_with_sha1(certificate: x509.Certificate, signer: ec.EllipticCurvePrivateKey) -> bytes:
    """The same certificate signed again with ecdsa-with-SHA1 (RFC 3279), which no library does any more."""
    body = _content(certificate.tbs_certificate_bytes).replace(_ECDSA_SHA256, _ECDSA_SHA1, 1)
    tbs = _der(0x30, body)
    signature = signer.sign(tbs, ec.ECDSA(hashes.SHA1()))  # noqa: S303 - a weak hash is what CRT-05 is to find
    return _der(0x30, tbs + _ECDSA_SHA1 + _der(0x03, b"\0" + signature))


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + content


def _content(element: bytes) -> bytes:
    """What is inside one DER element."""
    return element[2 + (element[1] & 0x7F if element[1] & 0x80 else 0) :]
