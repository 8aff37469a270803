"""Whatever a real server is configured to be, that is what is said of it.

Configurations are drawn at random (versions × suites × DH × curves × certificate) and served by nginx.
"""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from seccheck.probes.tls.facts import TlsParams
from tests.probes.tls import pki
from tests.probes.tls.looks import HOST, context, endpoint, look_at
from tests.probes.tls.pki import NOW, Party
from tests.probes.tls.servers import block, nginx
from tests.tools import tool

NUMBER = 60
DAY = timedelta(days=1)
PROTOCOLS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
NAMES = {"TLSv1": "TLSv1.0"}
OLD = {"TLSv1", "TLSv1.1"}
SUITES = {
    "rsa": {
        "ECDHE-RSA-AES128-GCM-SHA256": ("fs-aead",),
        "ECDHE-RSA-CHACHA20-POLY1305": ("fs-aead",),
        "DHE-RSA-AES256-GCM-SHA384": ("fs-aead",),
        "ECDHE-RSA-AES128-SHA": ("cbc",),
        "ECDHE-RSA-AES256-SHA384": ("cbc",),
        "DHE-RSA-AES128-SHA": ("cbc",),
        "AES128-GCM-SHA256": ("static-rsa", "other-aead"),
        "AES256-SHA": ("cbc", "static-rsa"),
        "CAMELLIA128-SHA": ("cbc", "static-rsa"),
        "NULL-SHA": ("null", "static-rsa"),
        "NULL-MD5": ("null", "md5", "static-rsa"),
        "AECDH-AES128-SHA": ("anon", "cbc"),
    },
    "ec": {
        "ECDHE-ECDSA-AES128-GCM-SHA256": ("fs-aead",),
        "ECDHE-ECDSA-AES256-CCM": ("fs-aead",),
        "ECDHE-ECDSA-AES256-CCM8": ("other-aead",),
        "ECDHE-ECDSA-AES128-SHA": ("cbc",),
        "ECDHE-ECDSA-AES128-SHA256": ("cbc",),
        "ECDHE-ECDSA-NULL-SHA": ("null",),
        "AECDH-AES256-SHA": ("anon", "cbc"),
    },
}
ONLY_TLS12 = ("GCM", "CHACHA", "CCM", "SHA256", "SHA384")
CURVES = (
    "prime256v1",
    "prime256v1:secp384r1",
    "secp224r1:prime256v1",
    "X25519:prime256v1",
    "secp521r1:prime256v1",
)


@dataclass(frozen=True)
class Served:
    """One configuration, and what is true of it."""

    protocols: tuple[str, ...]
    key: str
    suites: tuple[str, ...]
    dh: int
    curves: str
    defect: str

    def suites_of(self, protocol: str) -> list[str]:
        old = protocol in OLD
        return [s for s in self.suites if not (old and s.endswith(ONLY_TLS12)) and not (old and _modern(s))]

    @property
    def versions(self) -> set[str]:
        return {NAMES.get(p, p) for p in self.protocols if p == "TLSv1.3" or self.suites_of(p)}

    @property
    def classes(self) -> set[str]:
        return {
            label
            for protocol in self.protocols
            if protocol != "TLSv1.3"
            for suite in self.suites_of(protocol)
            for label in SUITES[self.key][suite]
        }

    @property
    def has_dh(self) -> bool:
        old = [p for p in self.protocols if p != "TLSv1.3"]
        return any(suite.startswith("DHE") for protocol in old for suite in self.suites_of(protocol))


def _modern(suite: str) -> bool:
    return any(mark in suite for mark in ("GCM", "CHACHA", "CCM"))


def _draw(dice: random.Random) -> Served:
    while True:
        key = dice.choice(("rsa", "rsa", "ec"))
        lowest, highest = sorted(dice.choices(range(4), k=2))  # OpenSSL serves no range with a hole in it
        pool = sorted(SUITES[key])
        found = Served(
            protocols=PROTOCOLS[lowest : highest + 1],
            key=key,
            suites=tuple(dice.sample(pool, dice.randint(1, 5))),
            dh=dice.choice((1024, 2048)),
            curves=dice.choice(CURVES),
            defect=dice.choice(sorted(DEFECTS)),
        )
        if NAMES.get(PROTOCOLS[highest], PROTOCOLS[highest]) in found.versions:
            return found


# What each defect makes of (trusted, complete, names_host, expired).
DEFECTS = {
    "none": (True, True, True, False),
    "expired": (True, True, True, True),
    "other name": (True, True, False, False),
    "self-signed": (False, True, True, False),
    "missing intermediate": (False, False, True, False),
    "unknown root": (False, False, True, False),
    "expired intermediate": (False, True, True, False),
    "for clients": (False, True, True, False),
}


def _certify(defect: str, kind: str, root: Party, folder: Path, name: str) -> tuple[Path, Path]:
    middle = pki.issue("Middle", root, ca=True)
    names, more = (HOST,), [middle]
    options: dict[str, object] = {"private_key": pki.key(kind)}
    match defect:
        case "expired":
            options |= {"since": NOW - 90 * DAY, "until": NOW - DAY}
        case "other name":
            names = ("other.example.vn",)
        case "missing intermediate":
            more = []
        case "expired intermediate":
            middle = pki.issue("Middle", root, ca=True, until=NOW - DAY)
            more = [middle]
        case "unknown root":
            middle = pki.issue("Middle", pki.issue("Nobody", ca=True), ca=True)
            more = [middle]
        case "for clients":
            options["usages"] = (pki.ExtendedKeyUsageOID.CLIENT_AUTH,)
    issuer = None if defect == "self-signed" else middle
    leaf = pki.issue(name, issuer, names=names, **options)  # type: ignore[arg-type]
    return leaf.write(folder, name, *(more if issuer else ()))


@pytest.fixture(scope="module")
def primes(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("primes")
    found = {size: folder / f"{size}.pem" for size in (1024, 2048)}
    for size, path in found.items():
        command = (tool("openssl"), "dhparam", "-dsaparam", "-out", str(path), str(size))
        subprocess.run(command, check=True, capture_output=True)
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_random_configurations(seed: int, tmp_path: Path, primes: dict[int, Path]) -> None:
    dice = random.Random(seed)
    root = pki.issue("Root", ca=True)
    served = [_draw(dice) for _ in range(NUMBER)]
    blocks = [
        block(
            *_certify(each.defect, each.key, root, tmp_path, f"leaf{number}"),
            protocols=" ".join(each.protocols),
            ciphers=":".join(each.suites) + ":@SECLEVEL=0",
            more=f"ssl_dhparam {primes[each.dh]}; ssl_ecdh_curve {each.curves};",
        )
        for number, each in enumerate(served)
    ]
    ask = "offered", "versions", "suites", "groups", "certificates"
    with nginx(tmp_path, *blocks) as ports:
        answers = look_at([endpoint(port) for port in ports], TlsParams(ask=ask), context(root.pem))  # type: ignore[arg-type]

    for each, answer in zip(served, answers, strict=True):
        facts = answer.facts
        assert answer.failed is None, (each, answer.detail)
        assert facts.undecided == (), each
        assert set(facts.versions) == each.versions, each
        assert set(facts.suite_classes) == each.classes, each
        assert facts.dh_bits == ((each.dh,) if each.has_dh else ()), each
        weak = "secp224r1" in facts.groups
        assert weak == (each.curves.startswith("secp224r1") and _uses_curves(each)), each
        if each.classes == {"anon"} or not facts.chains:
            continue
        (chain,) = facts.chains
        trusted, complete, named, expired = DEFECTS[each.defect]
        assert (chain.trusted, chain.complete, chain.names_host) == (trusted, complete, named), each
        assert (chain.certificates[0].not_after < "2026-11-23") == expired, each
        assert chain.certificates[0].key_type == each.key


def _uses_curves(served: Served) -> bool:
    """Whether any suite up to TLS 1.2 has a curve; an EC certificate's own is offered along."""
    old = [p for p in served.protocols if p != "TLSv1.3"]
    return any("ECDH" in suite for protocol in old for suite in served.suites_of(protocol))
