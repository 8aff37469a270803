# ruff: noqa: E501 (server configurations stand as they are written)
"""The scan against servers from Debian with a written truth: no wrong pass, no wrong fail, little undecided.

Every system says which criteria it breaks; everything else that is asked of it must pass, or be on the
short list of what cannot be told there.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dh, ec, rsa

from seccheck.assessment import collect, conclude, prepare
from seccheck.criteria import load_criteria
from seccheck.executors.local import LocalExecutor
from seccheck.probes import load_probes
from seccheck.registry import load_registry
from tests.fleet.pki import Authority
from tests.fleet.servers import reset, speaker, sshd, tarpit
from tests.tools import running, tool

SELECT = "TLS-*,CRT-*,WEB-0[1-7],WEB-09,NET-0[1-6],ADM-0[23]"
MODERN = "ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;"
HEADERS = {
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass
class Case:
    """One system: how it is served, what it breaks, and what may stay open with which reason."""

    name: str
    fails: set[str] = field(default_factory=set)
    open: dict[str, str] = field(default_factory=dict)
    tls: str = MODERN
    headers: dict[str, str] = field(default_factory=dict)
    body: str = 'return 200 "hello";'
    leaf: dict = field(default_factory=dict)
    other_authority: bool = False
    level: int = 3
    address: str = ""
    tolerate: set[str] = field(default_factory=set)


def without(*names):
    return dict.fromkeys(names, "")


OLD = "ssl_ciphers ALL:@SECLEVEL=0;"
CASES = [
    Case("good"),
    Case("good-ec", leaf={"key": ec.generate_private_key(ec.SECP384R1())}),
    Case("good-tls13-only", tls="ssl_protocols TLSv1.3;"),
    Case("tls12-only", {"TLS-04"}, tls="ssl_protocols TLSv1.2; ssl_ciphers ECDHE+AESGCM;"),
    Case(
        "tls10",
        {"TLS-03", "TLS-06"},
        tls=f"ssl_protocols TLSv1 TLSv1.2 TLSv1.3; {OLD}",
        tolerate={"TLS-05", "TLS-07"},
    ),
    Case(
        "tls11",
        {"TLS-03", "TLS-06"},
        tls=f"ssl_protocols TLSv1.1 TLSv1.2 TLSv1.3; {OLD}",
        tolerate={"TLS-05", "TLS-07"},
    ),
    Case(
        "cbc",
        {"TLS-06"},
        tls="ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES128-GCM-SHA256;",
    ),
    Case(
        "static-rsa",
        {"TLS-06"},
        tls="ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256;",
    ),
    Case(
        "null-suite",
        {"TLS-05", "TLS-06"},
        tls="ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers NULL-SHA256:ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0;",
    ),
    Case(
        "anonymous",
        {"TLS-05", "TLS-06"},
        tls="ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers AECDH-AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0;",
    ),
    Case(
        "dh1024",
        {"TLS-07"},
        tls="ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers DHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0; ssl_dhparam @/group1024.pem;",
    ),
    Case(
        "dh2048",
        tls="ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers DHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256; ssl_dhparam @/group2048.pem;",
    ),
    Case("weak-curve", {"TLS-07"}, tls=f"{MODERN} ssl_ecdh_curve prime256v1:secp224r1;"),
    Case("expired", {"CRT-03"}, leaf={"days": (-90, -2)}),
    Case("not-yet", {"CRT-03"}, leaf={"days": (2, 90)}),
    Case("wrong-name", {"CRT-02"}, leaf={"host": "127.200.0.1"}),
    Case("self-signed", {"CRT-01"}, leaf={"self_signed": True}),
    Case("unknown-authority", {"CRT-01"}, other_authority=True),
    Case("no-intermediate", {"CRT-01"}, leaf={"middle": False}),
    Case(
        "rsa1024",
        {"CRT-04"},
        tls="ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers ECDHE+AESGCM:@SECLEVEL=0;",
        leaf={"key": rsa.generate_private_key(65537, 1024)},
    ),
    Case("no-hsts", {"TLS-08"}, headers=without("Strict-Transport-Security")),
    Case("short-hsts", {"TLS-08"}, headers={"Strict-Transport-Security": "max-age=86400; includeSubDomains"}),
    Case("hsts-host-alone", {"TLS-08"}, headers={"Strict-Transport-Security": "max-age=31536000"}),
    Case("hsts-host-alone-level2", headers={"Strict-Transport-Security": "max-age=31536000"}, level=2),
    Case("no-csp", {"WEB-01"}, headers=without("Content-Security-Policy")),
    Case(
        "wild-csp", {"WEB-01"}, headers={"Content-Security-Policy": "default-src *; frame-ancestors 'none'"}
    ),
    Case("no-nosniff", {"WEB-02"}, headers=without("X-Content-Type-Options")),
    Case(
        "framed", {"WEB-03"}, headers={"X-Frame-Options": "", "Content-Security-Policy": "default-src 'self'"}
    ),
    Case("framed-by-csp-alone", headers=without("X-Frame-Options")),
    Case("bare-cookie", {"WEB-04"}, headers={"Set-Cookie": "JSESSIONID=1; Path=/"}),
    Case("good-cookie", headers={"Set-Cookie": "JSESSIONID=1; Path=/; Secure; HttpOnly; SameSite=Lax"}),
    Case(
        "git",
        {"WEB-05"},
        body='location = /.git/HEAD { return 200 "ref: refs/heads/main\\n"; } location = /.git/config { return 200 "[core]\\n\\trepositoryformatversion = 0\\n"; } location / { return 404; }',
    ),
    Case(
        "soft-404",
        body='root @/empty; error_page 404 =200 /soft; location = /soft { return 200 "nothing here"; } location / { return 200 "nothing here"; }',
    ),
    Case("listing", {"WEB-06"}, body="root @/files; autoindex on;"),
    Case(
        "status-page",
        {"WEB-07"},
        body="location = /nginx_status { stub_status; } location = /server-status { stub_status; } location / { return 200 x; }",
    ),
    Case(
        "cors",
        {"WEB-09"},
        headers={"Access-Control-Allow-Origin": "$http_origin", "Access-Control-Allow-Credentials": "true"},
    ),
]
PORT = 8443
_START = (
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE"
)
OAKLEY = {
    1024: _START + "65381FFFFFFFFFFFFFFFF",
    2048: _START
    + "45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED52907709"
    "6966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718"
    "3995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF",
}
"""The MODP groups of RFC 2409 (6.2) and RFC 3526 (3)."""


def nginx_config(place: Path, authority: Authority, other: Authority) -> str:
    servers = []
    for number, case in enumerate(CASES, 1):
        case.address = f"127.9.{number // 200}.{number % 200 + 1}"
        leaf = {"host": case.address, **case.leaf}
        pem = (other if case.other_authority else authority).leaf(case.name, **leaf)
        sent = {**HEADERS, **case.headers}
        headers = "".join(f'add_header {name} "{value}" always;' for name, value in sent.items() if value)
        body = case.body if "location" in case.body else f"location / {{ {case.body} }}"
        servers.append(
            f"server {{ listen {case.address}:{PORT} ssl; server_name _; ssl_certificate {pem}; ssl_certificate_key {pem};"
            f"{case.tls} {headers} {body} }}"
        )
    return (
        f"daemon off; user root; worker_processes 1; pid {place}/pid; error_log {place}/error.log; events {{ worker_connections 1024; }}"
        f"http {{ access_log off; server_tokens off; default_type text/html; {' '.join(servers)} }}"
    )


def alert_always(peer, _stop):
    peer.recv(4096)
    peer.sendall(b"\x15\x03\x01\x00\x02\x02\x28")


def garbage(peer, _stop):
    peer.recv(4096)
    peer.sendall(b"\x00\xff" * 4000)


HOSTILE = {"reset": reset, "tarpit": tarpit, "alert-always": alert_always, "garbage": garbage}
SSH = {
    "ssh-good": (
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nKexAlgorithms curve25519-sha256\nCiphers aes256-gcm@openssh.com\nMACs hmac-sha2-256-etm@openssh.com\nHostKeyAlgorithms ssh-ed25519",
        set(),
    ),
    "ssh-cbc": (
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nKexAlgorithms curve25519-sha256\nCiphers aes128-cbc,aes256-ctr\nMACs hmac-sha2-256",
        {"ADM-02"},
    ),
    "ssh-sha1": (
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nKexAlgorithms diffie-hellman-group14-sha1,curve25519-sha256\nCiphers aes256-ctr\nMACs hmac-sha2-256",
        {"ADM-02"},
    ),
    "ssh-password": (
        "PasswordAuthentication yes\nKbdInteractiveAuthentication no\nKexAlgorithms curve25519-sha256\nCiphers aes256-ctr\nMACs hmac-sha2-256-etm@openssh.com",
        {"ADM-03"},
    ),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, dict]:
    place = tmp_path_factory.mktemp("fleet")
    (place / "empty").mkdir()
    (place / "files").mkdir()
    (place / "files" / "a.txt").write_text("a")
    for bits, prime in OAKLEY.items():
        parameters = dh.DHParameterNumbers(int(prime, 16), 2).parameters()
        pem = parameters.parameter_bytes(serialization.Encoding.PEM, serialization.ParameterFormat.PKCS3)
        (place / f"group{bits}.pem").write_bytes(pem)
    authority, other = Authority(place), Authority(place, "Other")
    (place / "nginx.conf").write_text(nginx_config(place, authority, other).replace("@/", f"{place}/"))
    place.chmod(0o755)
    for path in place.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    systems = [
        system(case.name, case.level, f"https://{case.address}:{PORT}/", case.address) for case in CASES
    ]
    with contextlib.ExitStack() as stack:
        seclevel = place / "openssl.cnf"
        seclevel.write_text(
            "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nCipherString = DEFAULT:@SECLEVEL=0\nMinProtocol = None\n"
        )
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("OPENSSL_CONF", str(seclevel))
        stack.enter_context(
            running(tool("nginx"), "-c", place / "nginx.conf", ports=(PORT,), address=CASES[0].address)
        )
        os.environ.pop("OPENSSL_CONF")
        for number, (name, (extra, _)) in enumerate(SSH.items(), 1):
            address = f"127.9.7.{number}"
            config = sshd(place, address, extra)
            stack.enter_context(
                running(tool("sshd"), "-D", "-e", "-f", config, ports=(2222,), address=address)
            )
            systems.append(
                system(name, 3, f"{{id: ssh, host: {address}, port: 2222, service: ssh}}", address)
            )
        for number, (name, handle) in enumerate(HOSTILE.items(), 1):
            speaker(stack, f"127.9.8.{number}", handle, PORT)
            systems.append(system(name, 3, f"https://127.9.8.{number}:{PORT}/", f"127.9.8.{number}"))
        stack.enter_context(
            running(
                tool("redis-server"),
                "--port",
                "6379",
                "--bind",
                "127.9.6.1",
                "--save",
                "",
                "--protected-mode",
                "no",
                ports=(6379,),
                address="127.9.6.1",
            )
        )
        systems.append(
            system("redis-open", 3, "{id: web, host: 127.9.6.1, port: 8443, service: https}", "127.9.6.1")
        )
        (place / "registry.yaml").write_text(REGISTRY.format(root=authority.root_file) + "".join(systems))
        folder = prepare(
            place / "run",
            load_registry(place / "registry.yaml"),
            load_criteria("project06-2024", load_probes(), profile="technical", select=SELECT),
            lambda _names: {},
        )
        collect(folder, LocalExecutor(load_probes()), lambda *_: None)
    conclude(folder)
    document = json.loads((folder.path / "results.json").read_text())
    return {one["id"]: one for one in document["systems"]}


REGISTRY = """\
seccheck: registry/1
name: {{en: Fleet, vi: Đội}}
units: [{{id: u, kind: other, name: {{en: U, vi: U}}}}]
networks: [127.9.0.0/16]
trust: ["{root}"]
systems:
"""


def system(name, level, target, address):
    quoted = target if target.startswith("{") else f'"{target}"'
    return (
        f"- {{id: {name}, unit: u, level: {level}, name: {{en: {name}, vi: {name}}}, targets: [{quoted}]}}\n"
    )


def verdicts(found):
    worst = {}
    rank = {"fail": 0, "inconclusive": 1, "pass": 2, "not-applicable": 3}
    for one in found["findings"]:
        if one["criterion"] not in worst or rank[one["verdict"]] < rank[worst[one["criterion"]]["verdict"]]:
            worst[one["criterion"]] = one
    return worst


ADVISED = {"CRT-06"}
BACKGROUND = {"NET-01", "NET-02", "NET-03", "NET-04", "NET-05", "NET-06"}
"""What this machine itself listens to on every loopback address is not of the fleet's making."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_web_server_is_judged_as_it_is(results, case):
    found = verdicts(results[case.name])
    asked = {name for name in found if name not in ADVISED | BACKGROUND | case.tolerate}
    failed = {name for name in asked if found[name]["verdict"] == "fail"}
    undecided = {
        name: (found[name]["reason"], found[name]["evidence"][:3])
        for name in asked
        if found[name]["verdict"] == "inconclusive"
    }
    assert failed == case.fails - case.tolerate, {
        name: found[name]["evidence"][:2] for name in failed ^ case.fails
    }
    assert set(undecided) <= set(case.open), undecided


@pytest.mark.parametrize("name", SSH)
def test_an_ssh_server_is_judged_as_it_is(results, name):
    found = verdicts(results[name])
    assert {one: found[one]["verdict"] for one in ("ADM-02", "ADM-03")} == {
        one: "fail" if one in SSH[name][1] else "pass" for one in ("ADM-02", "ADM-03")
    }, [found[one]["evidence"] for one in ("ADM-02", "ADM-03")]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_server_is_never_passed_nor_failed_on_tls(results, name):
    found = verdicts(results[name])
    told = {one: found[one]["verdict"] for one in found if one.startswith(("TLS-", "CRT-", "WEB-"))}
    allowed = {"inconclusive", "not-applicable"}
    if name in {"alert-always", "garbage"}:
        told.pop("TLS-01")  # a clean refusal of every version, or plain text on the port, is a finding
    assert {one: verdict for one, verdict in told.items() if verdict not in allowed} == {}


def test_an_open_database_is_found(results):
    assert verdicts(results["redis-open"])["NET-02"]["verdict"] == "fail"
    assert verdicts(results["redis-open"])["NET-01"]["verdict"] == "fail"
    assert verdicts(results["redis-open"])["TLS-01"]["verdict"] == "inconclusive"
