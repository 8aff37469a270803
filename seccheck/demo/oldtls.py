"""Handshakes that a current OpenSSL refuses to serve: SSL 2 and 3, RC4, 3DES, TLS compression.

Only the first flight is made, which is where a server shows what it accepts. It is a true flight: the
versions, suites, certificates and signatures in it are what a server of that kind would send (RFC 5246,
RFC 6101 for SSL 3, RFC 8422 for elliptic curves, the SSL 2 draft of 1995).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

SSL2, SSL3, TLS10, TLS11, TLS12, TLS13 = 0x0002, 0x0300, 0x0301, 0x0302, 0x0303, 0x0304

RSA_RC4_SHA, RSA_3DES_SHA, RSA_AES128_SHA = 0x0005, 0x000A, 0x002F
ECDHE_ECDSA_RC4_SHA, ECDHE_ECDSA_3DES_SHA = 0xC007, 0xC008
ECDHE_ECDSA_AES128_GCM = 0xC02B
_ECDHE = {ECDHE_ECDSA_RC4_SHA, ECDHE_ECDSA_3DES_SHA, ECDHE_ECDSA_AES128_GCM}

_RENEGOTIATION_SCSV, _FALLBACK_SCSV = 0x00FF, 0x5600
_SERVER_NAME, _GROUPS, _POINT_FORMATS, _MASTER_SECRET, _VERSIONS, _RENEGOTIATION = 0, 10, 11, 23, 43, 0xFF01
_P256 = 23
_SSL2_KINDS = (0x0700C0, 0x010080)
"""DES-192-EDE3-CBC-WITH-MD5 and RC4-128-WITH-MD5."""

HANDSHAKE_FAILURE, UNRECOGNIZED_NAME = 40, 112


@dataclass(frozen=True)
class ClientHello:
    """What a client offers."""

    random: bytes
    highest: int
    suites: tuple[int, ...]
    compressions: bytes = b"\0"
    groups: tuple[int, ...] = ()
    extensions: frozenset[int] = frozenset()
    server_name: str = ""


def read_hello(data: bytes) -> ClientHello | None:
    """The ClientHello at the start of a connection, or None while it is incomplete.

    Raises ValueError for anything else.
    """
    if data[:1] and data[0] & 0x80:
        return _read_ssl2_hello(data)
    message = b""
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4], "big"):
        length = int.from_bytes(data[3:5], "big")
        if len(data) < 5 or len(data) < 5 + length:
            return None
        if data[0] != 22 or length == 0:
            raise ValueError("not a handshake record")
        message, data = message + data[5 : 5 + length], data[5 + length :]
    if message[0] != 1:
        raise ValueError("not a ClientHello")
    try:
        return _read_body(message[4 : 4 + int.from_bytes(message[1:4], "big")])
    except (IndexError, struct.error) as error:
        raise ValueError("a malformed ClientHello") from error


def _read_body(body: bytes) -> ClientHello:
    (version,) = struct.unpack_from(">H", body)
    at = 34
    at += 1 + body[at]
    (size,) = struct.unpack_from(">H", body, at)
    suites = struct.unpack_from(f">{size // 2}H", body, at + 2)
    at += 2 + size
    compressions = body[at + 1 : at + 1 + body[at]]
    at += 1 + body[at]
    groups: tuple[int, ...] = ()
    server_name = b""
    versions = (version,)
    extensions = []
    end = at + 2 + struct.unpack_from(">H", body, at)[0] if at < len(body) else at
    at += 2
    while at < end:
        kind, size = struct.unpack_from(">HH", body, at)
        extensions.append(kind)
        if kind == _SERVER_NAME and size:
            server_name = body[at + 9 : at + 9 + struct.unpack_from(">H", body, at + 7)[0]]
        elif kind == _GROUPS:
            groups = struct.unpack_from(f">{size // 2 - 1}H", body, at + 6)
        elif kind == _VERSIONS:
            versions = struct.unpack_from(f">{body[at + 4] // 2}H", body, at + 5)
        at += 4 + size
    return ClientHello(
        random=body[2:34],
        highest=max(one for one in versions if one & 0x0F0F != 0x0A0A or one >> 8 != one & 0xFF),  # RFC 8701
        suites=suites,
        compressions=compressions,
        groups=groups,
        extensions=frozenset(extensions),
        server_name=server_name.decode("latin-1").lower(),
    )


def _read_ssl2_hello(data: bytes) -> ClientHello | None:
    if len(data) < 11:
        return None
    length = int.from_bytes(data[:2], "big") & 0x7FFF
    if len(data) < 2 + length:
        return None
    if data[2] != 1:
        raise ValueError("not a CLIENT-HELLO")
    version, size, session, challenge = struct.unpack_from(">HHHH", data, 3)
    kinds = data[11 : 11 + size]
    return ClientHello(
        random=data[11 + size + session :][:challenge],
        highest=version,
        suites=tuple(int.from_bytes(kinds[at : at + 3], "big") for at in range(0, size, 3)),
    )


@dataclass(frozen=True)
class Accepted:
    """What a server accepts beyond what OpenSSL serves for it."""

    suites: tuple[tuple[int, int], ...] = ()
    """Pairs of version and suite, the preferred first. For SSL 2 the suite is 0: two kinds of its own."""
    compression: bool = False
    """DEFLATE on the forward-secret suites of TLS 1.2 (CRIME)."""


NOTHING_MORE = Accepted()


class OldTls:
    """Answers the hellos that only an old server would accept."""

    def __init__(
        self,
        accepted: Accepted,
        certificates: tuple[bytes, ...],
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
        served: frozenset[int],
    ) -> None:
        """Take the chain as DER, leaf first, and the suites that OpenSSL serves on the same port."""
        self._accepted = accepted
        self._certificates = certificates
        self._key = key
        self._served = served
        self._share = ec.generate_private_key(ec.SECP256R1()).public_key()

    def answer(self, hello: ClientHello) -> bytes | None:
        """The flight or alert for `hello`; None when OpenSSL is to answer it."""
        if hello.highest == SSL2:
            return self._ssl2_flight() if (SSL2, 0) in self._accepted.suites else None
        common = set(hello.suites) & self._served
        if hello.highest >= TLS12 and common:
            squeeze = (
                self._accepted.compression
                and hello.highest == TLS12
                and 1 in hello.compressions
                and ECDHE_ECDSA_AES128_GCM in common
                and _P256 in hello.groups
                and _FALLBACK_SCSV not in hello.suites
            )
            return self._flight(hello, TLS12, ECDHE_ECDSA_AES128_GCM, 1) if squeeze else None
        versions = [version for version, _ in self._accepted.suites if version <= min(hello.highest, TLS12)]
        if not versions or (hello.highest >= TLS12 and max(versions) < TLS12):
            return None
        for version, suite in self._accepted.suites:
            if version == max(versions) and suite in hello.suites and self._curve_agreed(hello, suite):
                return self._flight(hello, version, suite)
        return alert(HANDSHAKE_FAILURE, max(versions))

    def _curve_agreed(self, hello: ClientHello, suite: int) -> bool:
        return suite not in _ECDHE or _GROUPS not in hello.extensions or _P256 in hello.groups

    def _flight(self, hello: ClientHello, version: int, suite: int, compression: int = 0) -> bytes:
        random = os.urandom(32)
        extensions = b""
        if _RENEGOTIATION in hello.extensions or _RENEGOTIATION_SCSV in hello.suites:
            extensions += struct.pack(">HHB", _RENEGOTIATION, 1, 0)
        if _MASTER_SECRET in hello.extensions:
            extensions += struct.pack(">HH", _MASTER_SECRET, 0)
        if suite in _ECDHE and _POINT_FORMATS in hello.extensions:
            extensions += struct.pack(">HHBB", _POINT_FORMATS, 2, 1, 0)
        server_hello = struct.pack(">H32sBHB", version, random, 0, suite, compression)
        if extensions:
            server_hello += struct.pack(">H", len(extensions)) + extensions
        certificates = b"".join(_sized(one, 3) for one in self._certificates)
        messages = _message(2, server_hello) + _message(11, _sized(certificates, 3))
        if suite in _ECDHE:
            messages += _message(12, self._key_exchange(hello.random + random))
        return _record(22, version, messages + _message(14, b""))

    def _key_exchange(self, randoms: bytes) -> bytes:
        """The ServerKeyExchange of TLS 1.2 (RFC 8422 5.4): named curve P-256, ECDSA with SHA-256."""
        point = self._share.public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        params = struct.pack(">BH", 3, _P256) + _sized(point, 1)
        if not isinstance(self._key, ec.EllipticCurvePrivateKey):
            raise TypeError("an ECDHE-ECDSA suite needs an elliptic-curve key")
        signature = self._key.sign(randoms + params, ec.ECDSA(hashes.SHA256()))
        return params + b"\x04\x03" + _sized(signature, 2)

    def _ssl2_flight(self) -> bytes:
        """The SERVER-HELLO of SSL 2: certificate, cipher kinds, connection id, without a session."""
        kinds = b"".join(kind.to_bytes(3, "big") for kind in _SSL2_KINDS)
        leaf = self._certificates[0]
        head = struct.pack(">BBBHHHH", 4, 0, 1, SSL2, len(leaf), len(kinds), 16)
        body = head + leaf + kinds + os.urandom(16)
        return struct.pack(">H", 0x8000 | len(body)) + body


def alert(description: int, version: int) -> bytes:
    """A fatal alert record."""
    return _record(21, version, bytes((2, description)))


def _sized(data: bytes, width: int) -> bytes:
    return len(data).to_bytes(width, "big") + data


def _message(kind: int, body: bytes) -> bytes:
    return bytes((kind,)) + _sized(body, 3)


def _record(kind: int, version: int, payload: bytes) -> bytes:
    head = struct.pack(">BH", kind, version)
    return b"".join(head + _sized(payload[at : at + 16384], 2) for at in range(0, len(payload), 16384))
