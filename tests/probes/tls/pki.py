"""Certificates of every kind, made as tests need them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)


def key(kind: str = "ec", size: int = 2048) -> Any:
    """A private key: `ec`, `rsa` or `ed25519`."""
    match kind:
        case "rsa":
            return rsa.generate_private_key(65537, size)
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Party:
    """A certificate and its key."""

    cert: x509.Certificate
    key: Any

    @property
    def der(self) -> bytes:
        return self.cert.public_bytes(Encoding.DER)

    @property
    def pem(self) -> str:
        return self.cert.public_bytes(Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def write(self, folder: Path, name: str, *more: Party) -> tuple[Path, Path]:
        """The chain and the key as files."""
        chain, secret = folder / f"{name}.pem", folder / f"{name}.key"
        chain.write_text("".join(party.pem for party in (self, *more)))
        secret.write_text(self.key_pem)
        return chain, secret


def issue(
    name: str,
    issuer: Party | None = None,
    *,
    names: tuple[str, ...] = (),
    ca: bool = False,
    path_length: int | None = None,
    private_key: Any = None,
    since: datetime = NOW - timedelta(days=30),
    until: datetime = NOW + timedelta(days=300),
    usages: tuple[Any, ...] = (ExtendedKeyUsageOID.SERVER_AUTH,),
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    digest: Any = None,
    basic: bool = True,
) -> Party:
    """A certificate for `name`, signed by `issuer` or by itself."""
    private_key = private_key or key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.cert.subject if issuer else subject)
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
    )
    if basic:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_name(n) for n in names]), critical=False
        )
    if usages and not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    signer = issuer.key if issuer else private_key
    plain = isinstance(signer, ed25519.Ed25519PrivateKey)
    return Party(builder.sign(signer, None if plain else digest or hashes.SHA256()), private_key)


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
