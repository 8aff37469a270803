# ruff: noqa: E501 (server configurations and systems stand as they are written)
"""DNS, mail, web content, SSH and exposure against servers of Debian with a written truth.

Every system says which of the criteria asked here it breaks and which cannot be told of it, with the
reason; everything else must pass. Each criterion is seen met, not met and undecided.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from seccheck.assessment import collect, conclude, prepare
from seccheck.criteria import load_criteria
from seccheck.demo.machine import UNUSED, look
from seccheck.demo.papers import machine_breaks
from seccheck.executors.local import LocalExecutor
from seccheck.probes import load_probes
from seccheck.registry import load_registry, scope_of
from seccheck.resolve import resolve
from tests.fleet.pki import Authority
from tests.fleet.servers import dovecot, opened, postfix, speaker, sshd, tarpit, vsftpd
from tests.fleet.zones import PAST, Tree, Zone, nsd, open_resolver
from tests.tools import free_port, running, tool

SHOWN = (
    *(f"DNS-0{number}" for number in range(1, 7)), *(f"MAI-0{number}" for number in range(1, 5)),
    "WEB-05", "WEB-06", "WEB-07", "WEB-08", "WEB-09", "WEB-10", "ADM-03", "ADM-04",
    "NET-04", "NET-05", "NET-06", "NET-07", "DAT-01",
)  # fmt: skip
PATHS = {"WEB-05", "WEB-06", "WEB-07", "WEB-08", "WEB-10", "ADM-04"}
"""What is told from one round of paths."""
WEB = {*PATHS, "WEB-09", "DAT-01"}
NAMES = {"DNS-01", "DNS-06", "NET-07"}
EXPOSURE = {"NET-04", "NET-05", "NET-06"}
NAME_SERVER = "127.10.255.53"
OUTSIDE = "127.99.0.1"
"""Not in the registered networks."""
PORT = 20443
PORT_IPV4_ALONE = 29443


@dataclass
class Case:
    """One system: what it declares, what it breaks, what stays open and why; `asked` are the others."""

    name: str
    asked: set[str]
    fails: set[str] = field(default_factory=set)
    open: dict[str, str] = field(default_factory=dict)
    targets: str = ""
    more: str = ""
    nginx: str = ""
    """What its web server does."""
    address: str = ""
    host: str = ""


# --------------------------------------------------------------------------------------------------- domains

MAIL = 'mail A 127.10.3.1\n@ MX 10 mail\n@ TXT "v=spf1 mx -all"\n'
REJECT = '_dmarc TXT "v=DMARC1; p=reject; rua=mailto:dmarc@good.gov.vn"\n'
NO_MAIL = f'@ MX 0 .\n@ TXT "v=spf1 -all"\n{REJECT}'
CAA = '@ CAA 0 issue "ca.example"\n'
KEY = 'mail._domainkey TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="\n'
HOSTS = f"""www A 127.10.1.1
www AAAA ::1
moved A 127.10.1.99
half A 127.10.1.6
half AAAA ::1
closed A 127.10.1.7
closed AAAA ::1
bare A 127.10.1.8
{"".join(f"web{number} A 127.10.2.{number}" + chr(10) for number in range(1, 40))}"""
ZONES = [
    Zone("good.gov.vn", MAIL + REJECT + CAA + KEY + HOSTS),
    Zone(
        "bad.gov.vn",
        '@ MX 10 gone\n@ TXT "v=spf1 ?all"\n_dmarc TXT "v=DMARC1; p=none"\n',
        signed=False,
        transfer=True,
    ),
    Zone("expired.gov.vn", NO_MAIL + CAA, options=PAST),
    Zone("hashed.gov.vn", f'@ MX 10 ns\n@ TXT "v=spf1 mx -all"\nsecret._domainkey TXT "v=DKIM1; p=AAAA"\n{CAA}_dmarc TXT "v=DMARC1; p=reject; t=y"\n', options=("-3", "AB12")),
    Zone("silent.gov.vn", NO_MAIL + CAA, broken=True),
    Zone(
        "elsewhere.gov.vn",
        '@ MX 10 mx.silent.gov.vn.\n@ TXT "v=spf1 mx:good.gov.vn -all"\nsecret._domainkey TXT "v=DKIM1; p=AAAA"\n' + REJECT + CAA,
        server=OUTSIDE,
    ),
    Zone("shop.example", "www A 127.10.1.2\n", signed=False),
]  # fmt: skip
DOMAIN = {"DNS-02", "DNS-03", "DNS-04", "DNS-05", "MAI-01", "MAI-02"}
DOMAINS = [
    Case("domain-good", DOMAIN, more="domains: [good.gov.vn]"),
    Case("domain-bad", DOMAIN, DOMAIN, more="domains: [bad.gov.vn]"),
    Case("domain-expired", DOMAIN, {"DNS-02"}, more="domains: [expired.gov.vn]"),
    Case("domain-testing", DOMAIN, {"MAI-02"}, {"MAI-01": "undisclosed"}, more="domains: [hashed.gov.vn]"),
    Case("domain-silent", DOMAIN, open=dict.fromkeys(DOMAIN, "resolver"), more="domains: [silent.gov.vn]"),
    Case(
        "domain-elsewhere",
        DOMAIN,
        open={"DNS-03": "out-of-scope", "DNS-04": "resolver", "MAI-01": "resolver"},
        more="domains: [elsewhere.gov.vn]",
    ),
]

# ----------------------------------------------------------------------------------------------------- names

PLAIN = 'location / { return 404; } location = / { return 200 "hello"; }'
LATER, EARLIER = (
    (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ") for days in (99, -9)
)
CONTACT = f'location = /.well-known/security.txt {{ default_type text/plain; return 200 "Contact: mailto:soc@good.gov.vn\\nExpires: {LATER}\\n"; }}'


def https(host: str, address: str = "", port: int = PORT) -> str:
    place = f", address: {address}" if address else ""
    return f"{{id: https, host: {host}{place}, port: {port}, service: https}}"


NAMED = [
    Case("name-good", NAMES, targets=https("www.good.gov.vn")),
    Case("name-foreign", NAMES, {"DNS-01", "DNS-06"}, targets=https("www.shop.example")),
    Case("name-elsewhere", NAMES, {"DNS-06", "NET-07"}, targets=https("moved.good.gov.vn", "127.10.1.3")),
    Case("name-gone", NAMES, NAMES, targets=https("nobody.good.gov.vn", "127.10.1.4")),
    Case(
        "name-silent",
        NAMES,
        open=dict.fromkeys(NAMES, "resolver"),
        targets=https("www.silent.gov.vn", "127.10.1.5"),
    ),
    # IPv6 is published, but nothing answers there on this port.
    Case(
        "name-half",
        NAMES,
        open={"DNS-06": "unreachable"},
        targets=https("half.good.gov.vn", port=PORT_IPV4_ALONE),
    ),
    Case(
        "name-half-declared",
        NAMES,
        open={"DNS-06": "unreachable"},
        targets=https("closed.good.gov.vn", "127.10.1.7", PORT_IPV4_ALONE),
    ),
    Case("name-ipv4-alone", NAMES, {"DNS-06"}, targets=https("bare.good.gov.vn")),
]
IPV4_ALONE = ("127.10.1.6", "127.10.1.7")

# ------------------------------------------------------------------------------------------------------- web

PEOPLE = "họ tên,cccd\\n" + "".join(
    f"Nguyễn Văn A,001{number % 2}{80 + number % 19}{100000 + 371 * number}\\n" for number in range(14)
)
FEW = "\\n".join(PEOPLE.split("\\n")[:5])
CORS = "add_header Access-Control-Allow-Origin $http_origin always; add_header Access-Control-Allow-Credentials true always;"
SITES = {
    "web-good": ("", set(), {}),
    "web-env": ('location = /.env { default_type text/plain; return 200 "APP_KEY=base64:abc\\nDB_PASSWORD=secret\\nDB_HOST=db\\n"; }', {"WEB-05"}, {}),
    "web-sql": ('location = /backup.sql { return 200 "-- MySQL dump 10.13\\n-- Host: db\\nCREATE TABLE `users` (id int);\\n"; }', {"WEB-05"}, {}),
    "web-listing": ("location /uploads/ { alias @/files/; autoindex on; }", {"WEB-06"}, {}),
    "web-traceback": ('location / { default_type text/plain; return 500 "Traceback (most recent call last):\\n  File a.py, line 1\\n"; }', {"WEB-07"}, {}),
    "web-phpmyadmin": ('location /phpmyadmin/ { return 200 "<html><title>phpMyAdmin</title><input name=pma_username></html>"; }', {"WEB-08"}, {}),
    "web-wordpress": ('location = /wp-admin/ { return 302 /wp-login.php; } location = /wp-login.php { return 200 "<form id=\'loginform\' action=/wp-login.php><input name=log><input type=password name=pwd></form>"; }', {"WEB-08"}, {}),
    "web-cors": (CORS, {"WEB-09"}, {}),
    "web-cors-public": ('add_header Access-Control-Allow-Origin "*" always;', set(), {}),
    "web-contact-expired": (CONTACT.replace(LATER, EARLIER), {"WEB-10"}, {}),
    "web-no-contact": ("#", set(), {"WEB-10": "no-valid-evidence"}),
    "web-fortigate": ('location = / { return 200 "<html><title>FortiGate</title><form action=/logincheck></form></html>"; }', {"ADM-04"}, {}),
    "web-people": (f'location = / {{ charset utf-8; return 200 "<a href=/danh-sach.csv>x</a>"; }} location = /danh-sach.csv {{ charset utf-8; return 200 "{PEOPLE}"; }}', {"DAT-01"}, {}),
    "web-few-people": (f'location = / {{ return 200 "<a href=/danh-sach.csv>x</a>"; }} location = /danh-sach.csv {{ charset utf-8; return 200 "{FEW}"; }}', set(), {}),
    "web-limited": ("root @/site; index index.html; limit_req zone=few; limit_req_status 429; location / { }", set(), dict.fromkeys(WEB, "rate-limited")),
    "web-client-certificate": ("ssl_client_certificate @/Fleet-root.pem; ssl_verify_client on;", set(), dict.fromkeys(WEB, "access")),
}  # fmt: skip


def site(behaviour: str) -> str:
    """The server's configuration: what is not said otherwise is a plain page, a contact, and 404."""
    rest = ""
    if "location = / " not in behaviour and "index.html" not in behaviour:
        rest += 'location = / { return 200 "hello"; } '
    if "location / " not in behaviour:
        rest += "location / { return 404; } "
    if "security.txt" not in behaviour and "index.html" not in behaviour and not behaviour.startswith("#"):
        rest += CONTACT
    return behaviour.removeprefix("#") + rest


WEBS = [
    Case(name, WEB, fails, open_, nginx=site(behaviour), address=f"127.10.2.{number}", host=f"web{number}.good.gov.vn",
         targets=https(f"web{number}.good.gov.vn", f"127.10.2.{number}"))
    for number, (name, (behaviour, fails, open_)) in enumerate(SITES.items(), 1)
] + [Case("web-silent", WEB, open=dict.fromkeys(WEB, "timeout"), targets=https("web39.good.gov.vn", "127.10.2.39"))]  # fmt: skip

# ------------------------------------------------------------------------------------------------------ mail

MAIL_PORTS = {"imap": 2143, "pop3": 2110, "imaps": 2993, "pop3s": 2995}


def mail_targets(address: str, *services: str) -> str:
    ports = {"smtp": 2525, **MAIL_PORTS}
    return ", ".join(
        f"{{id: {one}, host: mail.good.gov.vn, address: {address}, port: {ports[one]}, service: {one}}}"
        for one in services
    )


MAILS = [
    Case(
        "mail-good",
        {"MAI-03", "MAI-04"},
        targets=mail_targets("127.10.3.1", "smtp", "imap", "pop3", "imaps", "pop3s"),
    ),
    Case("mail-clear", {"MAI-03"}, {"MAI-03"}, targets=mail_targets("127.10.3.2", "smtp")),
    Case("imap-clear", {"MAI-04"}, {"MAI-04"}, targets=mail_targets("127.10.3.2", "imap")),
    Case("pop3-clear", {"MAI-04"}, {"MAI-04"}, targets=mail_targets("127.10.3.2", "pop3")),
    Case("imaps-beside-clear", {"MAI-03", "MAI-04"}, targets=mail_targets("127.10.3.2", "imaps", "pop3s")),
    Case(
        "mail-silent",
        {"MAI-03", "MAI-04"},
        open={"MAI-03": "timeout", "MAI-04": "timeout"},
        targets=mail_targets("127.10.3.3", "smtp", "imap"),
    ),
]

# ------------------------------------------------------------------------------------------------------- ssh

KEYS = "PasswordAuthentication no\nKbdInteractiveAuthentication no"
SSH = {
    "ssh-keys": (KEYS, set(), {}),
    "ssh-password": ("PasswordAuthentication yes\nKbdInteractiveAuthentication no", {"ADM-03"}, {}),
    "ssh-interactive": (
        "PasswordAuthentication no\nKbdInteractiveAuthentication yes",
        set(),
        {"ADM-03": "undisclosed"},
    ),
    "ssh-silent": ("", set(), {"ADM-03": "timeout"}),
}
SSHS = [
    Case(name, {"ADM-03"}, fails, open_, address=f"127.10.4.{number}",
         targets=f"{{id: ssh, host: 127.10.4.{number}, port: 2222, service: ssh}}")
    for number, (name, (_, fails, open_)) in enumerate(SSH.items(), 1)
]  # fmt: skip

# -------------------------------------------------------------------------------------------------- exposure

DOCKER = '{"Platform":{"Name":""},"Version":"20.10.24+dfsg1","ApiVersion":"1.41","MinAPIVersion":"1.12","GitCommit":"5d6db84","GoVersion":"go1.19.8","Os":"linux","Arch":"amd64","KernelVersion":"6.1.0"}'


def declared(number: int) -> str:
    return f"{{id: https, host: 127.10.5.{number}, port: {PORT}, service: https}}"


EXPOSED = [
    Case("net-good", EXPOSURE, targets=declared(1)),
    Case("net-ftp", EXPOSURE, {"NET-04"}, targets=declared(2)),
    Case("net-docker", EXPOSURE, {"NET-05"}, targets=declared(3)),
    Case("net-memcached", EXPOSURE, {"NET-06"}, targets=declared(4)),
    Case(
        "net-silent",
        EXPOSURE,
        open={"NET-04": "timeout", "NET-05": "timeout", "NET-06": "timeout"},
        targets=declared(5),
    ),
    Case(
        "net-open-resolver",
        {"NET-06"},
        {"NET-06"},
        targets="{id: dns, host: 127.0.0.1, port: @resolver, service: dns}",
    ),
    Case("net-authority", EXPOSURE, targets=f"{{id: dns, host: {NAME_SERVER}, port: @names, service: dns}}"),
]

CASES = [*DOMAINS, *NAMED, *WEBS, *MAILS, *SSHS, *EXPOSED]


# -------------------------------------------------------------------------------------------------- the fleet


def nginx(folder: Path, authority: Authority) -> Path:
    servers = [
        f"server {{ listen {case.address}:{PORT} ssl; ssl_certificate {pem}; ssl_certificate_key {pem}; {case.nginx} }}"
        for case in WEBS
        if case.nginx
        for pem in (authority.leaf(case.name, host=case.host),)
    ]
    pem = authority.leaf("plain", host="www.good.gov.vn")
    tls = f"ssl_certificate {pem}; ssl_certificate_key {pem}; {PLAIN}"
    listen = "".join(f"listen 127.10.1.{number}:{PORT} ssl; " for number in (1, 2, 3, 4, 5, 8))
    listen += f"listen [::1]:{PORT} ssl; " + "".join(
        f"listen {one}:{PORT_IPV4_ALONE} ssl; " for one in IPV4_ALONE
    )
    listen += "".join(f"listen 127.10.5.{number}:{PORT} ssl; " for number in (1, 2, 3, 4))
    servers.append(f"server {{ {listen} {tls} }}")
    api = f"location / {{ return 404; }} location = /version {{ default_type application/json; return 200 '{DOCKER}'; }}"
    servers.append(f"server {{ listen 127.10.5.3:2375; {api} }}")
    path = folder / "nginx.conf"
    path.write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log; events {{ worker_connections 1024; }}"
        "http { access_log off; server_tokens off; default_type text/html; limit_req_zone $server_addr zone=few:1m rate=1r/m;"
        f"{' '.join(servers).replace('@/', f'{folder}/')} }}"
    )
    return path


@contextlib.contextmanager
def serving(folder: Path, authority: Authority) -> Iterator[tuple[Tree, int, int]]:
    """Everything, and where the names are: the tree, the name server's port, the open resolver's."""
    for name in ("files", "zones", "resolver", "site"):
        (folder / name).mkdir()
    (folder / "files" / "danh-sach.txt").write_text("a")
    (folder / "site" / "index.html").write_text("<html>hello</html>")
    with contextlib.ExitStack() as stack:
        start = stack.enter_context
        tree = Tree(folder / "zones", NAME_SERVER, ZONES)
        names, resolver = free_port(NAME_SERVER), free_port()
        start(nsd(tree, NAME_SERVER, names))
        start(open_resolver(folder / "resolver", resolver, (NAME_SERVER, names)))
        configuration = nginx(folder, authority)
        pem = authority.leaf("mail", host="mail.good.gov.vn")
        opened(folder)
        start(running(tool("nginx"), "-c", configuration, ports=(PORT,), address="127.10.2.1"))
        start(postfix(folder / "postfix-good", "127.10.3.1", 2525, pem))
        start(postfix(folder / "postfix-clear", "127.10.3.2", 2525, None))
        start(dovecot(folder / "dovecot-good", "127.10.3.1", MAIL_PORTS, pem, clear=False))
        start(dovecot(folder / "dovecot-clear", "127.10.3.2", MAIL_PORTS, pem, clear=True))
        for case in SSHS:
            if case.name != "ssh-silent":
                config = sshd(folder, case.address, SSH[case.name][0])
                start(running(tool("sshd"), "-D", "-e", "-f", config, ports=(2222,), address=case.address))
        start(vsftpd(folder / "vsftpd", "127.10.5.2", 2121))
        memcached = (tool("memcached"), "-u", "nobody", "-l", "127.10.5.4", "-p", "11211", "-U", "11211")
        start(running(*memcached, ports=(11211,), address="127.10.5.4"))
        for address, port in (("127.10.2.39", PORT), ("127.10.3.3", 2525), ("127.10.3.3", 2143), ("127.10.4.4", 2222),
                              ("127.10.5.5", 2121), ("127.10.5.5", 2375)):  # fmt: skip
            speaker(stack, address, tarpit, port)
        start(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.10.5.5", 11211))
        yield tree, names, resolver


REGISTRY = """\
seccheck: registry/1
name: {{en: Fleet, vi: Đội}}
units: [{{id: u, kind: ministry, name: {{en: U, vi: U}}}}]
networks: [127.10.0.0/16, 127.0.0.1/32, "::1/128"]
resolvers: [{{address: {server}, port: {port}}}]
trust_anchor: zones/anchor
trust: [Fleet-root.pem]
authorisation: {{approved_by: x, document: x, valid: {{from: 2020-01-01, until: 2099-01-01}}}}
systems:
"""
SET = """\
seccheck: set/1
id: fleet
version: "1"
name: {{en: Fleet, vi: Đội}}
extends: project06-2024
criteria:
- use: NET-06
  parameters: {{udp: [memcached, "dns:{resolver}", "dns:{names}"]}}
  reason: {{en: The servers of the fleet answer on free ports., vi: Các máy chủ thử nghiệm dùng cổng còn trống.}}
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, dict]:
    folder = tmp_path_factory.mktemp("fleet")
    authority = Authority(folder)
    with serving(folder, authority) as (_tree, names, resolver):
        (folder / "set.yaml").write_text(SET.format(resolver=resolver, names=names))
        systems = [
            f"- {{id: {case.name}, unit: u, level: 3, name: {{en: x, vi: x}}, targets: [{case.targets}]"
            f"{', ' * bool(case.more)}{case.more}}}\n".replace("@names", str(names)).replace(
                "@resolver", str(resolver)
            )
            for case in CASES
        ]
        registry = REGISTRY.format(server=NAME_SERVER, port=names)
        (folder / "registry.yaml").write_text(registry + "".join(systems))
        loaded = load_registry(folder / "registry.yaml")
        run = prepare(
            folder / "run",
            loaded,
            load_criteria(str(folder / "set.yaml"), load_probes(), select=",".join(SHOWN)),
            lambda wanted: resolve(wanted, scope_of(loaded)),
        )
        collect(run, LocalExecutor(load_probes()), lambda *_: None)
    conclude(run)
    document = json.loads((run.path / "results.json").read_text())
    return {one["id"]: one for one in document["systems"]}


@pytest.fixture(scope="module")
def broken_here() -> set[str]:
    """What this machine itself breaks on every loopback address."""
    return set(machine_breaks(look(UNUSED)))


def told(system: dict) -> dict[str, list[dict]]:
    """The findings of a system by criterion."""
    found = defaultdict(list)
    for finding in system["findings"]:
        found[finding["criterion"]].append(finding)
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_system_is_judged_as_it_is(results, broken_here, case):
    found = told(results[case.name])
    wrong = {}
    for criterion in case.asked - broken_here:
        verdicts = {finding["verdict"] for finding in found[criterion]}
        reasons = {finding["reason"] for finding in found[criterion]}
        if criterion in case.open:
            right = verdicts == {"inconclusive"} and reasons == {case.open[criterion]}
        else:
            right = verdicts == {"fail" if criterion in case.fails else "pass"}
        if not right:
            wrong[criterion] = [
                (one["verdict"], one["reason"], one["evidence"][:3]) for one in found[criterion]
            ]
    assert wrong == {}


@pytest.mark.parametrize("criterion", SHOWN)
def test_every_criterion_is_seen_met_not_met_and_undecided(criterion):
    asked = [case for case in CASES if criterion in case.asked]
    assert any(criterion in case.fails for case in asked)
    assert any(criterion in case.open for case in asked)
    assert any(criterion not in case.fails and criterion not in case.open for case in asked)
