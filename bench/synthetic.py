"""A synthetic nation: a registry of any number of systems, and observations as a real scan leaves them.

Facts are made of the probes' own records, so they follow their schemas; an observation of tls, http, ports,
banner or ssh has 1.6 to 4 kB. What is seen depends on the system's number alone: the same number gives the
same bytes. Nothing is sent anywhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import yaml

from seccheck.model import Reason
from seccheck.observation import Observation
from seccheck.plan import Job
from seccheck.probes import Facts, Undecided
from seccheck.probes.banner.facts import BannerFacts
from seccheck.probes.dns.facts import Caa, DnsFacts, Dnssec, NameServer
from seccheck.probes.evidence import EvidenceFacts
from seccheck.probes.http.facts import Cookie, Cors, Csp, Header, Hop, Hsts, HttpFacts, Page, SampledPage
from seccheck.probes.ipv6 import Ipv6Facts
from seccheck.probes.mail.facts import DkimKey, Dmarc, MailFacts, Mx, Spf
from seccheck.probes.ports.facts import Port, PortsFacts, Service
from seccheck.probes.ssh.facts import SshFacts
from seccheck.probes.tls.facts import Certificate, Chain, Suite, TlsFacts
from seccheck.reference import Product
from seccheck.resolution import Resolution
from seccheck.units import load_units

STARTED = "2026-11-23T01:00:00Z"
UNITS = "vn-2025"
ISSUED = "2026-03-02"
PAPERS = (
    ("decision.pdf", ("LVL-01", "LVL-02", "LVL-03", "LVL-04")),
    ("plan.pdf", ("INC-01", "INC-02", "BAK-01", "BAK-02")),
    ("audit.pdf", ("LVL-05", "LVL-06", "LVL-07")),
)
"""The documents of a system, and the criteria that each answers."""


def host(number: int) -> str:
    """The name of a system's portal."""
    return f"portal{number}.agency{number % 97}.gov.vn"


def address(number: int) -> str:
    """The address of a system; every sixteenth shares that of the one before it."""
    number -= number % 16 == 15
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def resolve(names: list[str]) -> dict[str, Resolution]:
    """What the names of systems without an address of their own resolve to."""
    numbers = {name: int(name.partition(".")[0].removeprefix("portal")) for name in names}
    return {name: Resolution(name=name, addresses=(address(number),)) for name, number in numbers.items()}


def system(number: int, unit: str) -> dict[str, Any]:
    """A system as its operator would register it: a portal, half with ssh, a third with a mail domain."""
    own, name = address(number), host(number)
    named = number % 5 == 0
    places = [("https", 443), ("http", 80)][: 1 + (number % 4 == 0)]
    if number % 2 == 0:
        places.append(("ssh", 22))
    targets = [
        {"host": name, "port": port, "service": service} | ({} if named else {"address": own})
        for service, port in places
    ]
    papers = {
        criterion: {
            "file": f"evidence/s{number}/{file}",
            "sha256": _sha256(number, file),
            "issued": ISSUED,
            "issuer": "Cục An toàn thông tin",
            "states": "not-met" if (number + len(file)) % 11 == 0 else "met",
        }
        for file, criteria in PAPERS
        for criterion in criteria
    }
    made = {
        "id": f"s{number:06}",
        "unit": unit,
        "name": {"vi": f"Cổng dịch vụ số {number} của đơn vị", "en": f"Service portal {number}"},
        "level": 1 + number * 7 % 5,
        "targets": targets,
        "evidence": papers,
        "operated_by": "Trung tâm Công nghệ thông tin",
        "contact": f"soc{number}@agency{number % 97}.gov.vn",
    }
    if number % 3 == 0:
        made["domains"] = [name]
    return made


def write_registry(path: Path, systems: int, networks: tuple[str, ...] = ("10.0.0.0/8",)) -> None:
    """Write a registry of so many systems over all units of the list, a system at a time."""
    units = [unit.id for unit in load_units(UNITS)]
    head = {
        "seccheck": "registry/1",
        "name": {"vi": "Rà soát thử", "en": "Trial review"},
        "language": "vi",
        "networks": list(networks),
        "authorisation": {
            "approved_by": "Cục An toàn thông tin",
            "document": "12/QĐ-CATTT",
            "valid": {"from": date(2026, 1, 1), "until": date(2036, 12, 31)},
        },
        "units": {"use": UNITS},
    }
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(head, file, Dumper=yaml.CSafeDumper, allow_unicode=True, default_flow_style=None)
        file.write("systems:\n")
        for number in range(systems):
            entry = system(number, units[number % len(units)])
            text = msgspec.json.encode(entry).decode()
            file.write("- " + text.replace(f'"{ISSUED}"', f" {ISSUED}") + "\n")  # a date, not a text


# ---------------------------------------------------------------------------------------------- observations


def observation(job: Job) -> Observation:
    """What looking would have seen: mostly good, partly bad, now and then nothing."""
    dice = random.Random(f"{job.probe} {job.endpoint}")
    failed, facts = None, None
    if job.probe != "evidence" and dice.random() < 0.02:
        failed = dice.choice((Reason.TIMEOUT, Reason.UNREACHABLE, Reason.RATE_LIMITED))
    else:
        facts = msgspec.to_builtins(_FACTS[job.probe](job, dice))
    return Observation(
        job=job.key,
        probe=job.probe,
        version=job.version,
        endpoint=job.endpoint,
        params=job.params,
        started=STARTED,
        finished=f"2026-11-23T01:{dice.randrange(60):02}:{dice.randrange(60):02}Z",
        facts=facts,
        failed=failed,
        detail="no answer before the deadline" if failed else "",
        connections=job.connections,
    )


def _sha256(number: int, file: str) -> str:
    return sha256(f"{number}/{file}".encode()).hexdigest()


def _often(dice: random.Random, chance: float = 0.85) -> bool:
    return dice.random() < chance


def _certificate(name: str, issuer: str, dice: random.Random, *, leaf: bool) -> Certificate:
    old = leaf and not _often(dice, 0.95)
    return Certificate(
        subject=f"CN={name},O=Cơ quan {dice.randrange(10**6)},C=VN",
        issuer=issuer,
        serial=f"{dice.getrandbits(128):x}",
        not_before="2026-01-05T00:00:00Z",
        not_after="2026-11-05T00:00:00Z" if old else "2027-02-05T00:00:00Z",
        key_type="rsa",
        key_bits=1024 if not _often(dice, 0.97) else 2048,
        curve="",
        signature_hash="sha256",
        signature="sha256WithRSAEncryption",
        self_signed=False,
        ca=not leaf,
        names=(name, f"www.{name}") if leaf else (),
        sha256=f"{dice.getrandbits(256):064x}",
    )


def _tls(job: Job, dice: random.Random) -> Facts:
    authority = "CN=RapidSSL TLS RSA CA G1,O=DigiCert Inc,C=US"
    root = "CN=DigiCert Global Root G2,O=DigiCert Inc,C=US"
    chain = (
        _certificate(job.endpoint.host, authority, dice, leaf=True),
        _certificate("RapidSSL TLS RSA CA G1", root, dice, leaf=False),
    )
    good = _often(dice)
    versions = ("TLSv1.2", "TLSv1.3") if good else ("TLSv1.0", "TLSv1.1", "TLSv1.2")
    suites = [
        ("TLSv1.2", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", ("fs-aead",)),
        ("TLSv1.2", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", ("fs-aead",)),
        ("TLSv1.2", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", ("fs-aead",)),
        ("TLSv1.2", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", ("fs-aead",)),
    ]
    if good:
        suites += [
            ("TLSv1.3", "TLS_AES_256_GCM_SHA384", ("fs-aead",)),
            ("TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256", ("fs-aead",)),
        ]
    else:
        suites += [
            (version, name, ("cbc", "static-rsa"))
            for version in versions
            for name in ("TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_RSA_WITH_AES_256_CBC_SHA")
        ]
    silent = () if _often(dice, 0.95) else ("TLSv1.0", "SSLv3")
    return TlsFacts(
        offered=True,
        versions=versions,
        suites=tuple(Suite(version=one[0], name=one[1], classes=one[2]) for one in suites),
        suite_classes=tuple(sorted({name for one in suites for name in one[2]})),
        groups=("x25519", "secp256r1", "secp384r1"),
        dh_bits=(2048,),
        compression=False,
        extended_master_secret=True,
        secure_renegotiation=True,
        client_renegotiation=False,
        fallback_scsv=True if not good else None,
        heartbleed=False,
        ccs_injection=False,
        robot=False,
        client_certificate="none",
        needs_name=False,
        chains=(
            Chain(
                seen_with=("TLSv1.3", "TLSv1.2", "no-name"),
                judged=True,
                names_host=_often(dice, 0.97),
                trusted=_often(dice, 0.95),
                trust_problem="",
                complete=True,
                ordered=True,
                anchor=root,
                certificates=chain,
                path=chain,
                stapled="none",
                revocation=None,
                scts=2,
            ),
        ),
        undecided=tuple(
            Undecided(fact="versions", member=one, reason=Reason.TIMEOUT, detail="silent twice")
            for one in silent
        ),
    )


def _http(job: Job, dice: random.Random) -> Facts:
    secure = job.endpoint.service == "https"
    url = f"{job.endpoint.service}://{job.endpoint.host}/"
    headers = {
        "server": "nginx/1.22.1",
        "date": "Mon, 23 Nov 2026 01:00:00 GMT",
        "content-type": "text/html; charset=utf-8",
        "content-length": str(dice.randrange(10_000, 90_000)),
        "connection": "keep-alive",
        "vary": "Accept-Encoding",
        "cache-control": "private, no-cache, no-store, must-revalidate",
        "etag": f'"{dice.getrandbits(64):x}"',
        "strict-transport-security": "max-age=31536000; includeSubDomains",
        "content-security-policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'self'",
        "x-content-type-options": "nosniff",
        "x-frame-options": "SAMEORIGIN",
        "referrer-policy": "strict-origin-when-cross-origin",
        "set-cookie": f"JSESSIONID=…; Path=/; Secure; HttpOnly; SameSite=Lax; k={dice.getrandbits(32):x}",
    }
    page = Page(
        url=url,
        status=200,
        secure=secure,
        headers=tuple(Header(name=name, value=value) for name, value in headers.items()),
        content_type="text/html",
    )
    hsts = _often(dice, 0.7)
    return HttpFacts(
        hops=(
            Hop(url=url, status=301, location=f"https://{job.endpoint.host}/vi", same_host=True),
            Hop(url=f"https://{job.endpoint.host}/vi", status=200, secure=True),
        ),
        final=page,
        first_secure=page if secure else None,
        left_host=False,
        redirect_loop=False,
        redirects_to_https=not secure and _often(dice),
        content_bytes=dice.randrange(90_000),
        hsts=Hsts(present=hsts, valid=hsts, max_age=31_536_000 if hsts else 0, include_subdomains=hsts),
        csp=Csp(present=_often(dice, 0.6), frame_ancestors=("'self'",)),
        nosniff=_often(dice, 0.7),
        framing="sameorigin",
        framing_refused=True,
        cookies=(
            Cookie(name="JSESSIONID", session=True, secure=_often(dice), http_only=True, same_site="Lax"),
        ),
        server="nginx/1.22.1",
        powered_by="",
        clock_skew=dice.randrange(3),
        paths_asked=58,
        exposures=(),
        listings=(),
        debug_pages=(),
        consoles=(),
        devices=(),
        trace=False,
        cors=Cors(),
        sampled=(
            SampledPage(path="/", size=4096, citizen_ids=0, insurance_numbers=0, phone_numbers=2, people=0),
        ),
        people_on_one_page=0,
    )


def _ports(_job: Job, dice: random.Random) -> Facts:
    opened = [22, 80, 443] + ([3306] if not _often(dice) else []) + ([8080] if not _often(dice) else [])
    names = {22: "ssh", 80: "http", 443: "https", 3306: "mysql", 8080: "http-alt"}
    filtered = [port for port in (21, 23, 135, 139, 445, 1433, 3389, 5432) if not _often(dice, 0.6)]
    states = [(port, "open", "syn-ack") for port in opened]
    states += [(port, "filtered", "no-response") for port in filtered]
    return PortsFacts(
        tcp=tuple(
            Port(port=port, state=state, service=names.get(port, "filtered"), reason=reason)
            for port, state, reason in sorted(states)
        ),
        open=tuple(opened),
        kinds=("web",),
        services=tuple(
            Service(port=port, service=names[port], kind="web", confirmed=names[port]) for port in opened
        ),
        identified=("ssh", "http"),
        looked_at=212,
        closed_count=212 - len(states),
        filtered_count=len(filtered),
        reference_answered=True,
        engine="connect",
        udp=(),
        udp_services=(),
        undecided=tuple(
            Undecided(fact="open", member=str(port), reason=Reason.TIMEOUT, detail="no answer to two packets")
            for port in filtered
        ),
    )


_SERVERS = (
    ("nginx", "1.22.1", "debian", "12", "nginx/1.22.1"),
    ("nginx", "", "", "", "nginx"),
    ("apache-http-server", "2.4.62", "debian", "12", "Apache/2.4.62 (Debian)"),
    ("microsoft-iis", "8.5", "", "", "Microsoft-IIS/8.5"),
)


def _banner(job: Job, dice: random.Random) -> Facts:
    if job.endpoint.service == "ssh":
        made = ("openssh", "9.2p1", "debian", "12", "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3")
    else:
        made = dice.choice(_SERVERS)
    name, version, distribution, release, raw = made
    headers = [f"Server: {raw}", "X-Powered-By: PHP/8.2.7", "Set-Cookie: PHPSESSID", "Via: 1.1 varnish"]
    lines = headers + [f"X-Cache-{n}: {dice.getrandbits(64):x}" for n in range(12)]
    product = Product(
        name=name,
        version=version,
        distribution=distribution,
        release=release,
        revision="2+deb12u3" if job.endpoint.service == "ssh" else "",
        os="linux",
        source="ssh" if job.endpoint.service == "ssh" else "server",
        raw=raw,
    )
    return BannerFacts(
        greeting="\\x0d\\x0a".join(lines), products=(product,), discloses=(raw,) if "." in version else ()
    )


def _ssh(_job: Job, dice: random.Random) -> Facts:
    good = _often(dice)
    weak = () if good else ("diffie-hellman-group14-sha1", "diffie-hellman-group1-sha1")
    return SshFacts(
        identification="SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3",
        protocols=("2",),
        kex=(
            "sntrup761x25519-sha512@openssh.com", "curve25519-sha256", "curve25519-sha256@libssh.org",
            "ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521",
            "diffie-hellman-group-exchange-sha256", "diffie-hellman-group16-sha512", *weak,
        ),
        host_key_algorithms=("rsa-sha2-512", "rsa-sha2-256", "ecdsa-sha2-nistp256", "ssh-ed25519"),
        ciphers=(
            "chacha20-poly1305@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr",
            "aes128-gcm@openssh.com", "aes256-gcm@openssh.com",
        ),
        macs=(
            "umac-64-etm@openssh.com", "umac-128-etm@openssh.com", "hmac-sha2-256-etm@openssh.com",
            "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512",
        ),
        rsa_host_key_bits=(3072,),
        authentications=("publickey",) if good else ("publickey", "password"),
    )  # fmt: skip


def _dns(job: Job, dice: random.Random) -> Facts:
    name = job.endpoint.host
    zone = name.partition(".")[2] or name
    servers = tuple(
        NameServer(
            name=f"ns{n}.{zone}", addresses=(f"10.250.{n}.1",), asked=f"10.250.{n}.1", transfer="refused"
        )
        for n in (1, 2)
    )
    return DnsFacts(
        exists=True,
        aliases=(),
        ipv4=("10.0.0.1",),
        ipv6=("2001:db8::1",) if _often(dice, 0.4) else (),
        addresses=("10.0.0.1",),
        dnssec=Dnssec(status="secure" if _often(dice, 0.3) else "insecure", signed=False, zone=zone),
        caa=Caa(present=_often(dice, 0.3), at=zone, issuers=("digicert.com",), limits=_often(dice, 0.3)),
        zone=zone,
        servers=servers,
        transfer_allowed=(),
        dangling=(),
    )


def _ipv6(_job: Job, dice: random.Random) -> Facts:
    found = ("2001:db8::1",) if _often(dice, 0.4) else ()
    return Ipv6Facts(addresses=found, secure=found, plain=())


def _mail(job: Job, dice: random.Random) -> Facts:
    policy = "reject" if _often(dice, 0.4) else "none"
    return MailFacts(
        spf=Spf(
            present=True, valid=True, record="v=spf1 include:_spf.gov.vn mx -all", ending="-all", lookups=3
        ),
        dkim=(DkimKey(selector="mail", key_type="rsa", bits=2048, revoked=False),),
        dmarc=Dmarc(
            present=True, valid=True, at=job.endpoint.host, policy=policy, record=f"v=DMARC1; p={policy}"
        ),
        organisational_domain=job.endpoint.host,
        tls_reporting=False,
        mx=(Mx(preference=10, host=f"mx.{job.endpoint.host}", addresses=("10.0.0.9",)),),
        receives_mail=True,
    )


def _evidence(job: Job, dice: random.Random) -> Facts:
    number, file = job.endpoint.host.removeprefix("evidence/s").split("/")
    return EvidenceFacts(
        present=True,
        sha256=_sha256(int(number), file) if _often(dice, 0.98) else "0" * 64,
        size=dice.randrange(10**5, 10**7),
    )


_FACTS: dict[str, Callable[[Job, random.Random], Facts]] = {
    "tls": _tls,
    "http": _http,
    "ports": _ports,
    "banner": _banner,
    "ssh": _ssh,
    "dns": _dns,
    "ipv6": _ipv6,
    "mail": _mail,
    "evidence": _evidence,
}
