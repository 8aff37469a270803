"""A throw-away certificate authority for the fleet: good certificates, and every kind of bad one."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

NOW = datetime.now(UTC)
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class Authority:
    """A root, an intermediate, and leaves to order."""

    def __init__(self, folder: Path, name: str = "Fleet") -> None:
        self.folder = folder
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.root_key, self.middle_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.root = self._sign(f"{name} root", self.root_key, f"{name} root", self.root_key, ca=True)
        self.middle = self._sign(f"{name} middle", self.middle_key, f"{name} root", self.root_key, ca=True)
        self.root_file = folder / f"{name}-root.pem"
        self.root_file.write_bytes(_pem(self.root))

    def _sign(
        self,
        subject: str,
        key: Key,
        issuer: str,
        signer: Key,
        *,
        ca: bool = False,
        hosts: tuple[str, ...] = (),
        days: tuple[int, int] = (-10, 80),
    ) -> x509.Certificate:
        names = [
            x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
            for host in hosts
        ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + timedelta(days=days[0]))
            .not_valid_after(NOW + timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(signer, hashes.SHA256())

    def leaf(
        self,
        file: str,
        host: str,
        *,
        key: Key | None = None,
        days: tuple[int, int] = (-10, 80),
        middle: bool = True,
        self_signed: bool = False,
    ) -> Path:
        """A PEM file with key and chain for `host`."""
        own = key or self.rsa
        if self_signed:
            leaf = self._sign(host, own, host, own, hosts=(host,), days=days)
        else:
            issuer = self.middle.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
            leaf = self._sign(host, own, str(issuer), self.middle_key, hosts=(host,), days=days)
        private = own.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self.folder / f"{file}.pem"
        path.write_bytes(private + _pem(leaf) + (_pem(self.middle) if middle and not self_signed else b""))
        return path
