"""Whether a chain leads to a root we trust: an own path search, so that every defect is told apart.

Signatures, names, basicConstraints, key usage and name constraints count (RFC 5280 6), and the dates of
issuers; the leaf's own dates, name, key and hash are facts of their own. Anchors: Mozilla's list as sslyze
ships it, the system's, and the registry's own.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from seccheck.model import safe_text
from seccheck.probes.tls.certificates import Parsed, parse, signed_by, subject_of

_MAX_DEPTH = 10
_MAX_STEPS = 100
_SERVER_AUTH = {"1.3.6.1.5.5.7.3.1", "2.5.29.37.0"}
_UNDERSTOOD = {
    "2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.32", "2.5.29.33", "2.5.29.36", "2.5.29.37",
    "2.5.29.54", "2.5.29.18", "2.5.29.14", "2.5.29.35", "2.5.29.31", "1.3.6.1.5.5.7.1.24",
    "1.3.6.1.5.5.7.1.1",
}  # fmt: skip


@dataclass(frozen=True)
class Route:
    """What the search for a path came to."""

    path: tuple[Parsed, ...]
    """From the leaf to below the root; as far as it goes when no root was reached."""
    anchor: str
    problem: str
    complete: bool

    @property
    def trusted(self) -> bool:
        """Whether the path leads to an anchor and nothing on it is wrong."""
        return bool(self.anchor) and not self.problem


class Anchors:
    """Trust anchors by subject. Of the many there are, only those that are asked for are read in full."""

    def __init__(self, pems: Iterable[bytes]) -> None:
        self._by_subject: dict[bytes, list[bytes]] = {}
        for der in dict.fromkeys(der for pem in pems for der in _ders(pem)):
            if (subject := subject_of(der)) is not None:
                self._by_subject.setdefault(subject, []).append(der)

    def named(self, subject: bytes) -> Sequence[Parsed]:
        """The anchors with that subject."""
        return [anchor for der in self._by_subject.get(subject, ()) if (anchor := parse(der))]

    def holds(self, cert: Parsed) -> bool:
        """Whether `cert` itself is an anchor."""
        return any(anchor.der == cert.der for anchor in self.named(cert.subject))


@cache
def anchors(own: tuple[str, ...]) -> Anchors:
    """The anchors of a scope: the public ones, and the PEM texts in `own`. Read once a process."""
    return Anchors([*(text.encode() for text in own), *_public()])


def mozilla_store() -> Path | None:
    """Mozilla's root list in the sslyze wheel, found without importing sslyze."""
    spec = find_spec("sslyze")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations)))
    store = folder / "plugins/certificate_info/trust_stores/pem_files/mozilla_nss.pem"
    return store if store.is_file() else None


def _public() -> Iterable[bytes]:
    if store := mozilla_store():
        yield store.read_bytes()
    system = ssl.get_default_verify_paths().cafile
    if system and Path(system).is_file():
        yield Path(system).read_bytes()


def _ders(pem: bytes) -> Iterable[bytes]:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    for block in pem.decode("utf-8", "replace").split(begin)[1:]:
        body, marker, _ = block.partition(end)
        if marker:
            try:
                yield ssl.PEM_cert_to_DER_cert(f"{begin}\n{body.strip()}\n{end}\n")
            except ValueError:
                continue


def find_route(chain: Sequence[Parsed], trusted: Anchors, now: datetime) -> Route:
    """The best path from `chain[0]` over what was sent to an anchor."""
    leaf = chain[0]
    if trusted.holds(leaf):
        return Route((leaf,), _label(leaf), _dates(leaf, now), complete=True)
    search = _Search(chain, trusted, now)
    search.extend((leaf,))
    if search.best:
        return search.best
    return search.dead_end()


class _Search:
    def __init__(self, chain: Sequence[Parsed], trusted: Anchors, now: datetime) -> None:
        self.sent = chain[1:]
        self.trusted, self.now = trusted, now
        self.best: Route | None = None
        self.longest: tuple[Parsed, ...] = (chain[0],)
        self.steps = 0

    def extend(self, path: tuple[Parsed, ...]) -> None:
        """Try every issuer of the last certificate on `path`, anchors first."""
        self.steps += 1
        if len(path) > len(self.longest):
            self.longest = path
        if self.steps > _MAX_STEPS or len(path) > _MAX_DEPTH or (self.best and self.best.trusted):
            return
        last = path[-1]
        for anchor in self.trusted.named(last.issuer):
            if signed_by(last, anchor):
                self._keep(path, anchor)
        for issuer in self.sent:
            if issuer.subject == last.issuer and issuer not in path and signed_by(last, issuer):
                if self.trusted.holds(issuer):
                    continue  # the root itself was sent along, and is on the path as an anchor
                self.extend((*path, issuer))

    def _keep(self, path: tuple[Parsed, ...], anchor: Parsed) -> None:
        problem = _problem(path, anchor, self.now)
        if self.best is None or (self.best.problem and not problem):
            self.best = Route(path, _label(anchor), problem, complete=True)

    def dead_end(self) -> Route:
        """What to say where no anchor was reached."""
        path = self.longest
        last = path[-1]
        if len(path) == 1 and last.self_signed:
            return Route(path, "", "self-signed", complete=True)
        if last.self_signed:
            return Route(path[:-1], "", "unknown-root", complete=True)
        return Route(path, "", "missing-issuer", complete=False)


def _problem(path: tuple[Parsed, ...], anchor: Parsed, now: datetime) -> str:
    """What is wrong with a path whose signatures hold; empty when nothing is."""
    for depth, issuer in enumerate(path[1:]):
        if problem := _issuer_problem(issuer, depth, now):
            return problem
    if _dates(anchor, now):
        return "expired-root"
    for cert in path:
        if not _for_servers(cert):
            return "not-for-servers"
        if _unknown_critical(cert):
            return "unknown-critical-extension"
    if any(not _permits(issuer, path[0]) for issuer in (*path[1:], anchor)):
        return "name-constraints"
    return ""


def _issuer_problem(issuer: Parsed, below: int, now: datetime) -> str:
    from cryptography import x509

    constraints = issuer.extension(x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        return "issuer-is-no-ca"
    if constraints.path_length is not None and below > constraints.path_length:
        return "path-too-long"
    usage = issuer.extension(x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        return "issuer-may-not-sign"
    return "expired-issuer" if _dates(issuer, now) else ""


def _dates(cert: Parsed, now: datetime) -> str:
    inside = cert.cert.not_valid_before_utc <= now <= cert.cert.not_valid_after_utc
    return "" if inside else "expired"


def _for_servers(cert: Parsed) -> bool:
    from cryptography import x509

    usage = cert.extension(x509.ExtendedKeyUsage)
    return usage is None or any(oid.dotted_string in _SERVER_AUTH for oid in usage)


def _unknown_critical(cert: Parsed) -> bool:
    unreadable = not cert.extensions and cert.cert.version.name == "v3" and not _readable(cert)
    return unreadable or any(
        extension.critical and extension.oid.dotted_string not in _UNDERSTOOD for extension in cert.extensions
    )


def _readable(cert: Parsed) -> bool:
    try:
        _ = cert.cert.extensions
    except Exception:  # noqa: BLE001  # any malformed extension
        return False
    return True


def _permits(issuer: Parsed, leaf: Parsed) -> bool:
    """Whether the issuer's name constraints allow the leaf's DNS names (RFC 5280 4.2.1.10)."""
    from cryptography import x509

    constraints = issuer.extension(x509.NameConstraints)
    if constraints is None:
        return True
    names = [name.lower().removeprefix("*.") for name in leaf.names[0]]
    permitted = _dns(constraints.permitted_subtrees)
    excluded = _dns(constraints.excluded_subtrees)
    allowed = not permitted or all(any(_under(name, base) for base in permitted) for name in names)
    return allowed and not any(_under(name, base) for name in names for base in excluded)


def _dns(subtrees: Any) -> list[str]:
    from cryptography import x509

    return [name.value.lower().lstrip(".") for name in subtrees or () if isinstance(name, x509.DNSName)]


def _under(name: str, base: str) -> bool:
    return not base or name == base or name.endswith(f".{base}")


def _label(cert: Parsed) -> str:
    return cert.record.subject or safe_text(cert.sha256)


def in_order(chain: Sequence[Parsed]) -> bool:
    """Whether each certificate sent certifies the one before it (RFC 5246 7.4.2)."""
    return all(below.issuer == above.subject for below, above in pairwise(chain))
