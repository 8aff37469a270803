"""Cipher suites by number: IANA's names, and the classes that criteria speak of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

TLS13 = {
    0x1301: "TLS_AES_128_GCM_SHA256",
    0x1302: "TLS_AES_256_GCM_SHA384",
    0x1303: "TLS_CHACHA20_POLY1305_SHA256",
    0x1304: "TLS_AES_128_CCM_SHA256",
    0x1305: "TLS_AES_128_CCM_8_SHA256",
}
SSL2 = {
    0x010080: "SSL_CK_RC4_128_WITH_MD5",
    0x020080: "SSL_CK_RC4_128_EXPORT40_WITH_MD5",
    0x030080: "SSL_CK_RC2_128_CBC_WITH_MD5",
    0x040080: "SSL_CK_RC2_128_CBC_EXPORT40_WITH_MD5",
    0x050080: "SSL_CK_IDEA_128_CBC_WITH_MD5",
    0x060040: "SSL_CK_DES_64_CBC_WITH_MD5",
    0x0700C0: "SSL_CK_DES_192_EDE3_CBC_WITH_MD5",
}
RENEGOTIATION_SCSV = 0x00FF
FALLBACK_SCSV = 0x5600

_AEAD = re.compile(r"GCM|CCM|POLY1305")
_MARKS = (
    ("null", re.compile(r"WITH_NULL")),
    ("anon", re.compile(r"_anon")),
    ("export", re.compile(r"EXPORT|DES40")),
    ("rc4", re.compile(r"RC4")),
    ("des", re.compile(r"(?<!3)DES(40)?_CBC|DES_64_CBC")),
    ("3des", re.compile(r"3DES|DES_192_EDE3")),
    ("md5", re.compile(r"MD5$")),
    ("rc2", re.compile(r"RC2")),
    ("idea", re.compile(r"IDEA")),
    ("cbc", re.compile(r"CBC")),
    ("static-rsa", re.compile(r"^(TLS|SSL)_RSA|^SSL_CK")),
    ("static-dh", re.compile(r"^TLS_(DH|ECDH)_(RSA|DSS|ECDSA)")),
)
_WEAKEST_FIRST = {name: place for place, (name, _) in enumerate(_MARKS)}


@cache
def names() -> dict[int, str]:
    """Every suite that can be offered, by number."""
    table = {**TLS13, **SSL2}
    exchange = ""
    for line in files(__package__).joinpath("suites.txt").read_text("ascii").splitlines():
        if line.startswith("#"):
            continue
        words = line.split()
        if not line.startswith(" "):
            exchange = words.pop(0)
        prefix = exchange if exchange.startswith("SSL_") else f"TLS_{exchange}"
        for word in words:
            number, _, cipher = word.partition(":")
            table[int(number, 16)] = f"{prefix}_WITH_{cipher}"
    return table


def name(suite: int) -> str:
    """IANA's name of `suite`, or its number."""
    return names().get(suite) or f"0x{suite:04x}"


@cache
def classes(suite: int) -> tuple[str, ...]:
    """The classes of `suite`; `fs-aead` alone for a forward-secret AEAD suite, none for one of TLS 1.3."""
    if suite in TLS13 or suite not in names():
        return ()
    text = names()[suite]
    found = [label for label, mark in _MARKS if mark.search(text)]
    if _AEAD.search(text):
        found.append("other-aead" if found or text.endswith("CCM_8") else "fs-aead")
    return tuple(found)


@cache
def is_ephemeral_dh(suite: int) -> bool:
    """Whether the server sends a finite-field Diffie-Hellman prime with `suite`."""
    return bool(re.match(r"TLS_(DHE|DH_anon)", name(suite)))


@cache
def is_ephemeral_ec(suite: int) -> bool:
    """Whether the server sends a curve with `suite`."""
    return bool(re.match(r"TLS_(ECDHE|ECDH_anon)", name(suite)))


@cache
def key_of(suite: int) -> str:
    """The kind of certificate `suite` is signed or encrypted with: rsa, ecdsa, dss, or empty."""
    match = re.match(r"(?:TLS|SSL)_(?:ECDHE?_|DHE?_)?(RSA|ECDSA|DSS)", name(suite))
    return match[1].lower() if match else ""


@cache
def all_tls12() -> tuple[int, ...]:
    """Every suite of TLS 1.2, strong ones first."""
    return (*strong_tls12(), *_strongest_first(weak_tls12()))


@cache
def weak_tls12() -> tuple[int, ...]:
    """Everything TLS 1.2 can be offered but forward-secret AEAD, the weakest first.

    Suites with a DH prime come last of all: some servers have them on without a prime, and hang up as soon
    as they choose one, which would hide what else they accept.
    """
    weak = [suite for suite in _up_to_tls12() if classes(suite) != ("fs-aead",)]
    return tuple(sorted(weak, key=lambda suite: (is_ephemeral_dh(suite), _weakness(suite), suite)))


@cache
def strong_tls12() -> tuple[int, ...]:
    """The forward-secret AEAD suites only, for stacks that choke on a long list; a DH prime last here too."""
    strong = [suite for suite in _up_to_tls12() if classes(suite) == ("fs-aead",)]
    return tuple(sorted(strong, key=lambda suite: (is_ephemeral_dh(suite), suite)))


@cache
def old() -> tuple[int, ...]:
    """What SSL 3.0 to TLS 1.1 can be offered: no AEAD and no SHA-2 (RFC 5246 A.5), in a short list.

    ARIA and static DSS keys are left out: a hello of more than 255 bytes is too long for some old stacks.
    SSL 3.0 has no extensions and so no curves, and some servers speak it with suites that need them.
    """
    kept = [
        suite
        for suite in weak_tls12()
        if not re.search(r"SHA256|SHA384|GCM|CCM|ARIA|_DH_DSS|_DH_RSA|EXPORT1024|FIPS", name(suite))
    ]
    return _strongest_first(kept)


@cache
def weak_old() -> tuple[int, ...]:
    """Every suite that SSL 3.0 to TLS 1.1 can have, for a server that accepted the short list."""
    return tuple(s for s in weak_tls12() if not re.search(r"SHA256|SHA384|GCM|CCM", name(s)))


@cache
def of_version(version: str) -> tuple[int, ...]:
    """Every suite that `version` (SSLv3 to TLSv1.2) can have."""
    return all_tls12() if version == "TLSv1.2" else weak_old()


@cache
def ephemeral_dh(version: str) -> tuple[int, ...]:
    """Those with a finite-field Diffie-Hellman prime of the server's choice."""
    return tuple(suite for suite in of_version(version) if is_ephemeral_dh(suite))


@cache
def ephemeral_ec(version: str) -> tuple[int, ...]:
    """Those with a curve of the server's choice."""
    return tuple(suite for suite in of_version(version) if is_ephemeral_ec(suite))


@cache
def other_key(version: str, key: str) -> tuple[int, ...]:
    """Those that want a certificate with another kind of key than `key`."""
    return tuple(suite for suite in of_version(version) if key_of(suite) not in {"", key})


@cache
def static_rsa(*, tls12: bool) -> tuple[int, ...]:
    """The suites whose secret is encrypted to the server's RSA key; EXPORT ones use another key.

    GCM first: some servers have the ROBOT flaw with GCM only.
    """
    pool = weak_tls12() if tls12 else weak_old()
    found = [s for s in pool if "static-rsa" in classes(s) and "export" not in classes(s)]
    return tuple(sorted(found, key=lambda suite: "GCM" not in name(suite)))


def _strongest_first(weakest_first: Sequence[int]) -> tuple[int, ...]:
    found = list(reversed(weakest_first))
    found.sort(key=is_ephemeral_dh)
    return tuple(found)


def _up_to_tls12() -> list[int]:
    return [suite for suite in names() if suite not in TLS13 and suite not in SSL2]


def _weakness(suite: int) -> int:
    return min((_WEAKEST_FIRST.get(label, 99) for label in classes(suite)), default=99)
