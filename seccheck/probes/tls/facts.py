"""What the tls probe is asked and what it says: the schema that criteria rest on."""

from __future__ import annotations

from typing import Literal

from seccheck.model import Record
from seccheck.probes import Facts, Params

VERSIONS = ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3")
"""Every version name, oldest first."""

SUITE_CLASSES = (
    "null", "anon", "export", "rc4", "des", "3des", "md5", "rc2", "idea",
    "cbc", "static-rsa", "static-dh", "fs-aead", "other-aead",
)  # fmt: skip
"""Every class of suites. A forward-secret AEAD suite has exactly `fs-aead`; the others have one or more."""

Ask = Literal["offered", "versions", "suites", "groups", "certificates", "features", "flaws", "fallback"]
Staple = Literal["good", "revoked", "unknown", "none"]


class TlsParams(Params):
    """Which groups of facts are wanted; only what is asked is asked on the wire."""

    ask: tuple[Ask, ...] = ("offered",)
    thorough: bool = True
    """Ask twice, far apart, wherever a verdict could rest on a refusal; look for second certificates and at
    what is served without a name. False: everything once, in 7 connections for versions, suites and
    certificates; a ban of two or three connections can then pass for a refusal."""


class Suite(Record):
    """A cipher suite that the server chose: the evidence behind `suite_classes`."""

    version: str
    name: str
    """IANA's name, or `0x....` for a number that has none."""
    classes: tuple[str, ...]


class Certificate(Record):
    """What one certificate says, without opinion."""

    subject: str
    issuer: str
    serial: str
    not_before: str
    not_after: str
    key_type: str
    """rsa, ec, ed25519, ed448, dsa or other."""
    key_bits: int
    curve: str
    signature_hash: str
    """sha1, md5, sha256, sha384, sha512, eddsa (which has none of its own), or other."""
    signature: str
    """The signature algorithm by its usual name, such as `sha256WithRSAEncryption`."""
    self_signed: bool
    ca: bool
    names: tuple[str, ...]
    """The DNS names and addresses of the subject alternative name; a common name is none (RFC 9525)."""
    sha256: str


class Chain(Record):
    """One chain the server served, and what became of it."""

    seen_with: tuple[str, ...]
    """The offers that brought it: `TLSv1.3`, `TLSv1.2`, ..., `no-name`, `other-key`."""
    judged: bool
    """Whether it is served with the registered name (not only without)."""
    names_host: bool
    """Whether the leaf bears the host (RFC 9525: subject alternative names only)."""
    trusted: bool | None
    trust_problem: str
    """Why it is not trusted: missing-issuer, self-signed, unknown-root, ...; empty when it is."""
    complete: bool
    """Whether no intermediate is missing from what was sent."""
    ordered: bool
    """Whether each certificate sent certifies the one before it (RFC 5246 7.4.2)."""
    anchor: str
    """The subject of the trust anchor that was reached; empty when none was."""
    certificates: tuple[Certificate, ...]
    """As sent, leaf first."""
    path: tuple[Certificate, ...]
    """As built, from the leaf to below the root; what was sent where nothing could be built."""
    stapled: Staple
    revocation: Literal["good", "revoked"] | None
    """None: not known from the staple, nor fetched."""
    scts: int


class TlsFacts(Facts):
    """What was seen of TLS on one endpoint under one name."""

    offered: bool | None = None
    """False: plain text on the port, or a clean refusal of every version."""
    starttls: bool | None = None
    """Whether the server agreed to STARTTLS; None where the service has TLS from the first byte."""
    versions: tuple[str, ...] | None = None
    suites: tuple[Suite, ...] | None = None
    suite_classes: tuple[str, ...] | None = None
    """The classes accepted in any version up to TLS 1.2."""
    groups: tuple[str, ...] | None = None
    """Named groups accepted, by IANA's names in lower case."""
    dh_bits: tuple[int, ...] | None = None
    """Sizes of the finite-field primes served up to TLS 1.2."""
    compression: bool | None = None
    extended_master_secret: bool | None = None
    secure_renegotiation: bool | None = None
    """RFC 5746."""
    client_renegotiation: bool | None = None
    fallback_scsv: bool | None = None
    """RFC 7507; None also where the server has one version only, and so nothing to fall back to."""
    heartbleed: bool | None = None
    ccs_injection: bool | None = None
    robot: bool | None = None
    client_certificate: Literal["none", "optional", "required"] | None = None
    needs_name: bool | None = None
    """Whether the server refuses a hello without the host name."""
    chains: tuple[Chain, ...] | None = None
