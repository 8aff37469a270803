"""Certificates to order: a root, an intermediate, good leaves, and every kind of bad one."""

from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.tools import tool

NOW = datetime.now(UTC).replace(microsecond=0)
_CURVES: dict[str, ec.EllipticCurve] = {
    "p256": ec.SECP256R1(),
    "p384": ec.SECP384R1(),
    "p521": ec.SECP521R1(),
    "p224": ec.SECP224R1(),
    "p192": ec.SECP192R1(),
    "bp256": ec.BrainpoolP256R1(),
}


@cache
def key(kind: str, number: int = 0) -> Any:
    """A key such as `rsa2048`, `p256`, `ed25519`; each made once, further ones by number."""
    del number
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:]))
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "ed448":
        return ed448.Ed448PrivateKey.generate()
    return ec.generate_private_key(_CURVES[kind])


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def key_pem(private: Any) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


class Authority:
    """A root, an intermediate and what they sign. Every chain is a PEM file, the key in front of it."""

    def __init__(self, folder: Path, title: str) -> None:
        self.folder = folder
        self.title = title
        self.root_key, self.middle_key = key("p256", hash(title)), key("p384", hash(title))
        self.root = self.sign(f"{title} root", self.root_key, f"{title} root", self.root_key, ca=True)
        self.middle = self.issuer()
        self.root_file = folder / f"{title}-root.pem"
        self.root_file.write_bytes(pem(self.root))

    def issuer(self, **options: Any) -> x509.Certificate:
        """Another certificate for the intermediate."""
        more = {"days": (-900, 900), "ca": True, **options}
        return self.sign(f"{self.title} middle", self.middle_key, f"{self.title} root", self.root_key, **more)

    def sign(
        self,
        subject: str,
        own: Any,
        issuer: str,
        signer: Any,
        *,
        ca: bool = False,
        hosts: Sequence[str] = (),
        days: tuple[float, float] = (-20, 70),
        purposes: Sequence[Any] = (),
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name(issuer))
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + timedelta(days=days[0]))
            .not_valid_after(NOW + timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if hosts:
            names = x509.SubjectAlternativeName([alternative(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        edwards = isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
        return builder.sign(signer, None if edwards else hashes.SHA256())

    def leaf(
        self,
        file: str,
        *hosts: str,
        kind: str = "rsa2048",
        subject: str = "",
        chain: str = "leaf middle",
        self_signed: bool = False,
        middle: x509.Certificate | None = None,
        **options: Any,
    ) -> Path:
        """A PEM file with a key and a chain for `hosts`; `chain` says what is sent, in which order."""
        own = key(kind)
        title = subject or (hosts[0] if hosts else file)
        if self_signed:
            leaf = self.sign(title, own, title, own, hosts=hosts, **options)
            parts = {"leaf": leaf}
            chain = "leaf"
        else:
            signed = self.sign(title, own, f"{self.title} middle", self.middle_key, hosts=hosts, **options)
            parts = {"leaf": signed, "middle": middle or self.middle, "root": self.root}
        path = self.folder / f"{file}.pem"
        path.write_bytes(key_pem(own) + pem(*(parts[part] for part in chain.split())))
        return path

    def weakly_signed(self, file: str, host: str, digest: str, *, whom: str = "leaf") -> Path:
        """A chain in which the leaf, or the intermediate, is signed with an old hash, by the command line."""
        work = self.folder / f"{file}-work"
        work.mkdir()
        (work / "root.pem").write_bytes(pem(self.root))
        (work / "root.key").write_bytes(key_pem(self.root_key))
        (work / "middle.key").write_bytes(key_pem(key("rsa2048", 1)))  # ECDSA knows no MD5
        (work / "leaf.key").write_bytes(key_pem(key("rsa2048")))
        hashed = {"leaf": "sha256", "middle": "sha256", whom: digest}
        (work / "ca.cnf").write_text("basicConstraints=critical,CA:TRUE\n")
        is_address = host[0].isdigit() or ":" in host
        (work / "leaf.cnf").write_text(f"subjectAltName={'IP' if is_address else 'DNS'}:{host}\n")
        for what, subject, issuer, extensions in (
            ("middle", f"{self.title} middle", "root", "ca.cnf"),
            ("leaf", host, "middle", "leaf.cnf"),
        ):
            openssl(
                "req",
                "-new",
                "-key",
                f"{what}.key",
                "-subj",
                f"/CN={subject}",
                "-out",
                f"{what}.csr",
                cwd=work,
            )
            openssl(
                *("x509", "-req", "-in", f"{what}.csr", "-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key"),
                *("-days", "60", f"-{hashed[what]}", "-extfile", extensions, "-out", f"{what}.pem"),
                *("-set_serial", str(x509.random_serial_number())),
                cwd=work,
            )
        path = self.folder / f"{file}.pem"
        parts = ("leaf.key", "leaf.pem", "middle.pem")
        path.write_bytes(b"".join((work / part).read_bytes() for part in parts))
        return path

    def staple(self, file: Path, state: str, *, age_days: float = 0.0) -> Path:
        """An OCSP answer (DER) of the intermediate about the leaf in `file`: good, revoked, unknown."""
        from cryptography.x509 import ocsp

        leaf = x509.load_pem_x509_certificates(file.read_bytes())[0]
        states = {
            "good": ocsp.OCSPCertStatus.GOOD,
            "revoked": ocsp.OCSPCertStatus.REVOKED,
            "unknown": ocsp.OCSPCertStatus.UNKNOWN,
        }
        moment = NOW - timedelta(days=age_days)
        answer = (
            ocsp.OCSPResponseBuilder()
            .add_response(
                cert=leaf,
                issuer=self.middle,
                algorithm=hashes.SHA256(),
                cert_status=states[state],
                this_update=moment - timedelta(days=1),
                next_update=moment + timedelta(days=3),
                revocation_time=moment - timedelta(days=5) if state == "revoked" else None,
                revocation_reason=None,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, self.middle)
            .sign(self.middle_key, hashes.SHA256())
        )
        path = file.with_suffix(f".{state}.ocsp")
        path.write_bytes(answer.public_bytes(serialization.Encoding.DER))
        return path


CLIENTS_ONLY = (ExtendedKeyUsageOID.CLIENT_AUTH,)


def openssl(*words: str | Path, cwd: Path | None = None) -> None:
    """Run the openssl command line; raises with what it said when that fails."""
    done = subprocess.run([tool("openssl"), *map(str, words)], cwd=cwd, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace"))
