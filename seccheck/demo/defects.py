"""The defects that demonstration systems have, and which criteria each of them breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ssl import TLSVersion
from typing import Literal

from seccheck.demo.certificates import Flaw
from seccheck.demo.conduct import Conduct, Door
from seccheck.demo.oldtls import (
    ECDHE_ECDSA_3DES_SHA,
    ECDHE_ECDSA_RC4_SHA,
    RSA_3DES_SHA,
    RSA_AES128_SHA,
    SSL2,
    SSL3,
    TLS12,
    Accepted,
)

Needs = Literal["system", "tls", "https", "http", "ssh", "address", "domain", "document"]
"""What a system must have for the defect to show: an address or a domain means one of its own. What a
document alone shows is not asked for in the profile `technical`."""

FROM_LEVEL = {
    "ADM-03": 2,
    "DNS-02": 2,
    "DNS-05": 2,
    "DNS-06": 2,
    "MAI-02": 3,
    "NET-07": 2,
    "PAT-03": 2,
    "TLS-04": 3,
    "TLS-06": 3,
    "TLS-08": 2,
    "TLS-09": 2,
    "WEB-01": 3,
}
"""The level from which a criterion is asked for, where that is not the first. Written here once more, so that
what is expected of the product does not come from the product."""


@dataclass(frozen=True)
class Defect:
    """One way to be wrong."""

    id: str
    criteria: tuple[str, ...]
    needs: Needs
    spoil: Callable[[Conduct], Conduct]

    def breaks(self, level: int) -> set[str]:
        """The criteria that a system of `level` fails by this defect."""
        return {one for one in self.criteria if level >= FROM_LEVEL.get(one, 1)}


def _change(**changes: object) -> Callable[[Conduct], Conduct]:
    return lambda conduct: replace(conduct, **changes)  # type: ignore[arg-type]


def _suite(*names: str) -> Callable[[Conduct], Conduct]:
    return lambda conduct: replace(conduct, weak_suites=conduct.weak_suites + names)


def _by_hand(*suites: tuple[int, int], rsa: bool = False) -> Callable[[Conduct], Conduct]:
    def spoil(conduct: Conduct) -> Conduct:
        accepted = replace(conduct.accepted, suites=conduct.accepted.suites + suites)
        return replace(conduct, accepted=accepted, key="rsa" if rsa else conduct.key)

    return spoil


def _certificate(flaw: Flaw) -> Callable[[Conduct], Conduct]:
    return lambda conduct: replace(conduct, certificate=conduct.certificate | {flaw})


def _domain(**changes: object) -> Callable[[Conduct], Conduct]:
    return lambda conduct: replace(conduct, domain=replace(conduct.domain, **changes))  # type: ignore[arg-type]


def _door(speaks: str, *ports: int, approved: bool = False) -> Callable[[Conduct], Conduct]:
    return lambda conduct: replace(conduct, doors=(*conduct.doors, Door(speaks, ports, approved)))


_ALL: tuple[Defect, ...] = (
    Defect("no-https", ("TLS-01", "TLS-02"), "http", _change(https=False, content_on_http=True)),
    Defect("plain-on-https", ("TLS-01", "DNS-06"), "https", _change(plain_on_https=True)),
    Defect("http-content", ("TLS-02",), "http", _change(content_on_http=True)),
    Defect("ssl2", ("TLS-03", "TLS-05", "TLS-06"), "tls", _by_hand((SSL2, 0), rsa=True)),
    Defect("ssl3", ("TLS-03", "TLS-06"), "tls", _by_hand((SSL3, RSA_AES128_SHA), rsa=True)),
    Defect(
        "ssl3-3des",
        ("TLS-03", "TLS-05", "TLS-06"),
        "tls",
        _by_hand((SSL3, RSA_AES128_SHA), (SSL3, RSA_3DES_SHA), rsa=True),
    ),
    # An old version has no AEAD suites, so whoever accepts it accepts CBC as well.
    Defect(
        "tls10",
        ("TLS-03", "TLS-06"),
        "tls",
        lambda conduct: replace(_suite("ECDHE-ECDSA-AES128-SHA")(conduct), oldest=TLSVersion.TLSv1),
    ),
    Defect(
        "tls11",
        ("TLS-03", "TLS-06"),
        "tls",
        lambda conduct: replace(_suite("ECDHE-ECDSA-AES128-SHA")(conduct), oldest=TLSVersion.TLSv1_1),
    ),
    Defect(
        "only-tls10",
        ("TLS-03", "TLS-04", "TLS-06"),
        "tls",
        lambda conduct: replace(
            _suite("ECDHE-ECDSA-AES128-SHA")(conduct), oldest=TLSVersion.TLSv1, newest=TLSVersion.TLSv1
        ),
    ),
    Defect("no-tls13", ("TLS-04",), "tls", _change(newest=TLSVersion.TLSv1_2)),
    Defect("3des", ("TLS-05", "TLS-06"), "tls", _by_hand((TLS12, ECDHE_ECDSA_3DES_SHA))),
    Defect("rc4", ("TLS-05", "TLS-06"), "tls", _by_hand((TLS12, ECDHE_ECDSA_RC4_SHA))),
    Defect("null", ("TLS-05", "TLS-06"), "tls", _suite("ECDHE-ECDSA-NULL-SHA")),
    Defect("anonymous", ("TLS-05", "TLS-06"), "tls", _suite("AECDH-AES128-SHA")),
    Defect("cbc", ("TLS-06",), "tls", _suite("ECDHE-ECDSA-AES128-SHA256")),
    Defect(
        "static-rsa",
        ("TLS-06",),
        "tls",
        lambda conduct: replace(_suite("AES128-GCM-SHA256")(conduct), key="rsa"),
    ),
    Defect(
        "short-dh",
        ("TLS-07",),
        "tls",
        lambda conduct: replace(_suite("DHE-RSA-AES128-GCM-SHA256")(conduct), key="rsa", short_dh=True),
    ),
    # With a P-256 certificate OpenSSL insists on a client that offers P-256 as well.
    Defect("short-curve", ("TLS-07",), "tls", _change(short_curve=True, key="rsa")),
    Defect("no-hsts", ("TLS-08",), "https", _change(hsts="")),
    Defect("short-hsts", ("TLS-08",), "https", _change(hsts="max-age=86400; includeSubDomains")),
    Defect("renegotiation", ("TLS-09",), "tls", _change(renegotiation=True)),
    Defect("compression", ("TLS-09",), "tls", _change(accepted=Accepted(compression=True))),
    Defect("self-signed", ("CRT-01",), "tls", _certificate("self-signed")),
    Defect("no-intermediate", ("CRT-01",), "tls", _certificate("no-intermediate")),
    Defect("wrong-name", ("CRT-02",), "tls", _certificate("wrong-name")),
    Defect("expired", ("CRT-03",), "tls", _certificate("expired")),
    Defect("short-key", ("CRT-04",), "tls", _change(key="rsa-1024")),
    Defect("sha1", ("CRT-05",), "tls", _certificate("sha1")),
    Defect("open-port", ("NET-01",), "address", _door("web", 8888, 9000, 8000)),
    Defect("database", ("NET-01", "NET-02"), "address", _door("redis", 6379, 27017, 9200)),
    Defect("approved-database", ("NET-02",), "address", _door("postgresql", 5432, 5433, approved=True)),
    Defect("desktop", ("NET-01", "NET-03"), "address", _door("rdp", 3389)),
    Defect("approved-desktop", ("NET-03",), "address", _door("vnc", 5900, 5901, 5902, approved=True)),
    Defect("ftp", ("NET-01", "NET-04"), "address", _door("ftp", 2121)),
    Defect("telnet", ("NET-01", "NET-04"), "address", _door("telnet", 2323)),
    Defect("docker", ("NET-01", "NET-05"), "address", _door("docker", 2375, 4243)),
    Defect("memcached", ("NET-06",), "address", _change(memcached=True)),
    Defect("other-address", ("NET-07",), "system", _change(other_address=True)),
    Defect("no-ipv6", ("DNS-06",), "https", _change(ipv6=False)),
    Defect("unsigned-zone", ("DNS-02",), "domain", _domain(signatures="none")),
    Defect("expired-zone", ("DNS-02",), "domain", _domain(signatures="expired")),
    Defect("zone-transfer", ("DNS-03",), "domain", _domain(transfer=True)),
    Defect("dead-exchanger", ("DNS-04",), "domain", _domain(dead_exchanger=True)),
    Defect("any-issuer", ("DNS-05",), "domain", _domain(issuer=False)),
    Defect("no-dmarc", ("MAI-02",), "domain", _domain(dmarc="")),
    Defect("dmarc-none", ("MAI-02",), "domain", _domain(dmarc="none")),
    Defect("restore-untested", ("BAK-03",), "document", _change(not_met=("BAK-03",))),
    Defect("php-unsupported", ("PAT-01",), "https", _change(powered_by="PHP/5.6.40")),
    Defect("apache-exploited", ("PAT-02", "PAT-03"), "https", _change(server="Apache/2.4.49 (Unix)")),
    Defect("apache-outdated", ("PAT-03",), "https", _change(server="Apache/2.4.62 (Debian)")),
    Defect("no-csp", ("WEB-01",), "https", _change(csp="")),
    Defect(
        "open-csp", ("WEB-01",), "https", _change(csp="default-src * 'unsafe-inline'; frame-ancestors 'none'")
    ),
    Defect("no-nosniff", ("WEB-02",), "https", _change(nosniff=False)),
    Defect("framing", ("WEB-03",), "https", _change(framing="", csp="default-src 'self'")),
    Defect("cookie", ("WEB-04",), "https", _change(cookie="JSESSIONID=6b1f0c3a; Path=/")),
    Defect(
        "old-ssh",
        ("ADM-02",),
        "ssh",
        lambda conduct: replace(
            conduct,
            ssh=conduct.ssh.with_weak(
                kex=("diffie-hellman-group14-sha1", "diffie-hellman-group1-sha1"),
                ciphers=("aes128-cbc", "3des-cbc"),
                macs=("hmac-sha1", "hmac-md5"),
            ),
        ),
    ),
    Defect(
        "ssh-password",
        ("ADM-03",),
        "ssh",
        lambda conduct: replace(conduct, ssh=replace(conduct.ssh, authentications=("publickey", "password"))),
    ),
)
DEFECTS = {defect.id: defect for defect in _ALL}
"""Every defect by id."""


def spoiled(conduct: Conduct, defects: Iterable[str]) -> Conduct:
    """`conduct` with every one of `defects`."""
    for one in defects:
        conduct = DEFECTS[one].spoil(conduct)
    return conduct
