"""Certificates that are hard to read or never end, and the clear-text flight of TLS 1.2 that carries them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_NOW = datetime.now(UTC).replace(microsecond=0)


@cache
def _key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    del number
    return ec.generate_private_key(ec.SECP256R1())


def _made(
    subject: str, issuer: str, key: int, signer: int, names: list[str], *, authority: bool = False
) -> x509.Certificate:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:60] or "-")])

    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(_key(key).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW - timedelta(days=1))
        .not_valid_after(_NOW + timedelta(days=90))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False
        )
    return builder.sign(_key(signer), hashes.SHA256())


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


@cache
def _sound() -> bytes:
    return _der(_made("localhost", "localhost", 0, 0, ["localhost"]))


def sound() -> list[bytes]:
    """A chain that anybody can read."""
    return [_sound()]


def pem() -> bytes:
    """The same with its key."""
    private = _key(0).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + x509.load_der_x509_certificate(_sound()).public_bytes(serialization.Encoding.PEM)


@cache
def _thousand() -> bytes:
    return _der(_made("many", "many", 0, 0, [f"n{number}.example.test" for number in range(1000)]))


def a_thousand_names() -> list[bytes]:
    """A certificate for a thousand names."""
    return [_thousand()]


@cache
def _cycle() -> tuple[bytes, ...]:
    """A, issued by B, issued by C, issued by A."""
    return (
        _der(_made("leaf", "A", 9, 1, ["localhost"])),
        _der(_made("A", "B", 1, 2, [], authority=True)),
        _der(_made("B", "C", 2, 3, [], authority=True)),
        _der(_made("C", "A", 3, 1, [], authority=True)),
    )


def cyclic() -> list[bytes]:
    """A chain that leads back to itself."""
    return [*_cycle(), *_cycle()]


@cache
def _biting(texts: tuple[str, ...]) -> tuple[bytes, ...]:
    printable = ["".join(c for c in text if " " < c < "\x7f") for text in texts]
    return tuple(
        _der(_made(text, text, 0, 0, [one[:200] or "x"])) for text, one in zip(texts, printable, strict=True)
    )


def names_that_bite(*texts: str) -> list[bytes]:
    """Certificates whose names are `texts`."""
    return list(_biting(texts))


@cache
def _hundred() -> tuple[bytes, ...]:
    return tuple(
        _der(_made(f"c{number}", f"c{number + 1}", number % 5, (number + 1) % 5, [], authority=number > 0))
        for number in range(100)
    )


def a_hundred() -> list[bytes]:
    """A chain of a hundred, which an eager path search would try in every order."""
    return list(_hundred())


def odd(number: int) -> list[bytes]:
    """ASN.1 that is wrong in one of several ways, the same for the same number."""
    good = bytearray(_sound())
    match number:
        case 0:
            return [b""]
        case 1:
            return [b"\x30\x80" + bytes(100)]  # indefinite length
        case 2:
            return [b"\x30\x84\xff\xff\xff\xff" + bytes(50)]  # longer than it is
        case 3:
            return [b"\x30\x83\x00\x00\x02" * 3000]  # nested without end
        case 4:
            return [bytes(good[: len(good) // 2])]
        case 5:
            return [bytes(good) + b"\0" * 5000]
        case _:
            chance = random.Random(number)
            for _ in range(40):
                good[chance.randrange(len(good))] = chance.randrange(256)
            return [bytes(good)]


def flight(chain: list[bytes]) -> bytes:
    """ServerHello, Certificate, ServerHelloDone of TLS 1.2 (RFC 5246, 7.4), static RSA with AES-GCM."""
    hello = b"\x03\x03" + bytes(range(32)) + b"\x00" + b"\x00\x9c" + b"\x00"
    listed = b"".join(len(one).to_bytes(3, "big") + one for one in chain)
    body = _message(2, hello) + _message(11, len(listed).to_bytes(3, "big") + listed) + _message(14, b"")
    records = [body[at : at + 16000] for at in range(0, len(body), 16000)]
    return b"".join(b"\x16\x03\x03" + len(one).to_bytes(2, "big") + one for one in records)


def _message(kind: int, body: bytes) -> bytes:
    return bytes((kind,)) + len(body).to_bytes(3, "big") + body
