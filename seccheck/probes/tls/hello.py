"""ClientHello messages of every version, built by hand (RFC 8446 4.1.2, RFC 5246 7.4.1.2, RFC 6101 5.6.1.2).

A hello of our own can offer what no library of today would: SSL 2.0, EXPORT suites, any set of suites or
groups, compression, and a TLS 1.3 hello without a key share, which the server answers with a
HelloRetryRequest before it signs anything (RFC 8446 4.1.4).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache

from seccheck.probes.tls import suites

SSL2, SSL3, TLS10, TLS11, TLS12, TLS13 = 0x0002, 0x0300, 0x0301, 0x0302, 0x0303, 0x0304
NUMBERS = {
    "SSLv2": SSL2,
    "SSLv3": SSL3,
    "TLSv1.0": TLS10,
    "TLSv1.1": TLS11,
    "TLSv1.2": TLS12,
    "TLSv1.3": TLS13,
}
NAMES = {number: name for name, number in NUMBERS.items()}

SERVER_NAME, STATUS_REQUEST, GROUPS, POINT_FORMATS, SIGNATURES = 0, 5, 10, 11, 13
HEARTBEAT, SCT, MASTER_SECRET, VERSIONS, KEY_SHARE, RENEGOTIATION = 15, 18, 23, 43, 51, 0xFF01

MLKEM_GROUPS = {
    0x0200: "mlkem512",
    0x0201: "mlkem768",
    0x0202: "mlkem1024",
    0x11EB: "secp256r1mlkem768",
    0x11EC: "x25519mlkem768",
    0x11ED: "secp384r1mlkem1024",
    0x6399: "x25519kyber768draft00",
}
FFDHE_GROUPS = {0x0100 + i: f"ffdhe{bits}" for i, bits in enumerate((2048, 3072, 4096, 6144, 8192))}
STRONG_CURVES = {
    0x001D: "x25519",
    0x0017: "secp256r1",
    0x001E: "x448",
    0x0018: "secp384r1",
    0x0019: "secp521r1",
    0x001A: "brainpoolp256r1",
    0x001B: "brainpoolp384r1",
    0x001C: "brainpoolp512r1",
    0x001F: "brainpoolp256r1tls13",
    0x0020: "brainpoolp384r1tls13",
    0x0021: "brainpoolp512r1tls13",
    0x0029: "curvesm2",
}
WEAK_CURVES = dict(
    enumerate(
        (
            "sect163k1", "sect163r1", "sect163r2", "sect193r1", "sect193r2", "sect233k1", "sect233r1",
            "sect239k1", "sect283k1", "sect283r1", "sect409k1", "sect409r1", "sect571k1", "sect571r1",
            "secp160k1", "secp160r1", "secp160r2", "secp192k1", "secp192r1", "secp224k1", "secp224r1",
            "secp256k1",
        ),
        start=1,
    )
)  # fmt: skip
"""Curves nobody should need today: binary ones and those under 256 bits (RFC 8422 5.1.1 deprecates them)."""
GROUP_NAMES = {**MLKEM_GROUPS, **FFDHE_GROUPS, **STRONG_CURVES, **WEAK_CURVES}

_SIGNATURES = bytes.fromhex(
    "0403 0503 0603 0807 0808 0804 0805 0806 0809 080a 080b 0401 0501 0601 081a 081b 081c"
    "0402 0502 0602 0303 0301 0302 0203 0201 0202 0101"
)
"""rsa_pss and today's others first, SHA-1 and MD5 last: a server that knows only those must not look shut."""


@dataclass(frozen=True)
class Hello:
    """One offer to a server. `name` is the SNI: a host name, empty to leave it out."""

    version: int
    suites: tuple[int, ...]
    groups: tuple[int, ...] = ()
    """Empty: no supported_groups, so that RFC 7919 does not hide a configured DH prime."""
    name: str = ""
    fallback: bool = False
    heartbeat: bool = False

    def build(self) -> bytes:
        """The record to send, fresh random values in it."""
        if self.version == SSL2:
            return _ssl2(self.suites)
        offered, extensions = _static(
            self.version, self.suites, self.groups, fallback=self.fallback, heartbeat=self.heartbeat
        )
        if self.name and self.version != SSL3:
            name = self.name.encode("ascii")
            extensions = _extension(SERVER_NAME, _short(b"\x00" + _short(name))) + extensions
        body = _u16(min(self.version, TLS12)) + os.urandom(32)
        # RFC 8446 D.4: a session id makes a TLS 1.3 hello look like a resumption to middleboxes.
        body += b"\x20" + os.urandom(32) if self.version == TLS13 else b"\x00"
        body += offered
        if extensions:
            body += _short(extensions)
        message = b"\x01" + len(body).to_bytes(3, "big") + body
        return b"\x16" + _u16(min(self.version, TLS10)) + _short(message)


def _ssl2(kinds: tuple[int, ...]) -> bytes:
    """CLIENT-HELLO of SSL 2.0 (draft-hickman-netscape-ssl 5.5.1)."""
    specs = b"".join(kind.to_bytes(3, "big") for kind in kinds)
    body = b"\x01\x00\x02" + _u16(len(specs)) + b"\x00\x00\x00\x10" + specs + os.urandom(16)
    return _u16(0x8000 | len(body)) + body


@lru_cache(maxsize=512)
def _static(
    version: int, offered: tuple[int, ...], groups: tuple[int, ...], *, fallback: bool, heartbeat: bool
) -> tuple[bytes, bytes]:
    """Suites with compression, and the extensions but the name: what is the same for every server."""
    if version == SSL3:
        offered += (suites.RENEGOTIATION_SCSV,)
    if fallback:
        offered += (suites.FALLBACK_SCSV,)
    compression = b"\x01\x00" if version == TLS13 else b"\x02\x01\x00"  # DEFLATE, null
    listed = _short(b"".join(map(_u16, offered))) + compression
    return listed, b"" if version == SSL3 else _extensions(version, groups, heartbeat=heartbeat)


def _extensions(version: int, groups: tuple[int, ...], *, heartbeat: bool) -> bytes:
    parts = []
    if groups:
        parts.append((GROUPS, _short(b"".join(map(_u16, groups)))))
    if version == TLS13:
        parts += [(VERSIONS, b"\x02\x03\x04"), (SIGNATURES, _short(_SIGNATURES)), (KEY_SHARE, b"\x00\x00")]
    else:
        if groups:
            parts.append((POINT_FORMATS, b"\x01\x00"))
        parts += [(MASTER_SECRET, b""), (RENEGOTIATION, b"\x00")]
        if version == TLS12:
            parts += [
                (SIGNATURES, _short(_SIGNATURES)),
                (STATUS_REQUEST, b"\x01\x00\x00\x00\x00"),
                (SCT, b""),
            ]
        if heartbeat:
            parts.append((HEARTBEAT, b"\x01"))
    return b"".join(_extension(kind, body) for kind, body in parts)


def _extension(kind: int, body: bytes) -> bytes:
    return _u16(kind) + _short(body)


def _short(data: bytes) -> bytes:
    return _u16(len(data)) + data


def _u16(number: int) -> bytes:
    return number.to_bytes(2, "big")
