from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest

from seccheck.errors import InputError
from seccheck.model import as_dict
from seccheck.permission import UNLIMITED, Limits, Permission, Scope, Window, permission_for
from seccheck.registry import (
    AddressFacts,
    DomainFacts,
    Registry,
    RegistryReader,
    SystemFacts,
    TargetFacts,
    address_facts,
    domain_facts,
    iter_systems,
    load_registry,
    registry_from_json,
    registry_json,
    scope_of,
    system_facts,
    target_facts,
)
from tests.tools import tool

FULL = """\
seccheck: registry/1
name: {vi: "Rà soát quý II/2024", en: "Review, Q2 2024"}
language: vi
units: {use: vn-2024}
networks: [203.0.113.0/24, "2001:db8::/32"]
resolvers: [{address: 10.0.0.53, port: 5353}, {address: "2001:db8::53"}]
revocation: fetch
authorisation:
  approved_by: "Giám đốc"
  document: "123/QĐ"
  valid: {from: 2026-11-01, until: 2026-12-31}
  hours: "22:00-05:00 Asia/Ho_Chi_Minh"
limits: {connections_per_second: 5}
systems:
  - id: mic-portal
    unit: mic
    name: {vi: "Cổng", en: "Portal"}
    level: 3
    tags: [administrative-procedures, npd-connected]
    zone: internet
    targets:
      - https://portal.example.gov.vn/
      - {id: api, host: api.example.gov.vn, address: 203.0.113.7, port: 8443, service: https}
      - {id: ssh, host: 203.0.113.7, port: 22, service: ssh}
      - {host: MX.example.gov.vn, service: smtp}
      - http://portal.example.gov.vn/
    approved_ports: {203.0.113.7: [8443, 22, 443, 22]}
    domains: [example.gov.vn]
    evidence:
      LVL-01:
        {file: evidence/qd-123.pdf, sha256: "%s", issued: 2026-01-02, issuer: "Bộ", states: met}
    operated_by: "VNPT"
    contact: soc@example.vn
    client_certificate: {certificate: /etc/own.pem, key: env:KEY}
  - {id: fragile, unit: ha-noi, name: {vi: B, en: B}, level: 5, fragile: true, targets: [ssh://203.0.113.8]}
""" % ("a" * 64)

HEAD = """\
seccheck: registry/1
name: {vi: a, en: b}
units: [{id: u1, kind: ministry, name: {vi: Một, en: One}, contact: a@b.vn}]
"""
AUTHORISATION = "authorisation: {approved_by: x, document: y, valid: {from: 2026-01-01, until: 2026-12-31}}\n"
WINDOW = Window(since=date(2026, 1, 1), until=date(2026, 12, 31))

Load = Callable[..., Registry]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(tmp_path)

    def load(text: str, **options: bool) -> Registry:
        Path("r.yaml").write_text(text, encoding="utf-8")
        return load_registry("r.yaml", **options)

    return load


def system(line: str = "targets: [https://localhost]", id_: str = "s1") -> str:
    return f"- id: {id_}\n  unit: u1\n  name: {{vi: a, en: b}}\n  level: 3\n  {line}\n"


def one_system(line: str = "targets: [https://localhost]") -> str:
    return f"{HEAD}systems:\n{system(line)}"


def mistakes(load: Load, text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(text)
    return [str(problem) for problem in caught.value.problems]


def test_the_whole_contract_is_read(load: Load) -> None:
    registry = load(FULL)

    assert registry.unit_list == "vn-2024"
    assert len(registry.units) == 93
    assert [one.line for one in registry.systems] == [15, 35]
    portal = registry.systems[0]
    assert [(one.id, one.host, one.port, one.service, one.address) for one in portal.targets] == [
        ("portal.example.gov.vn-443", "portal.example.gov.vn", 443, "https", ""),
        ("api", "api.example.gov.vn", 8443, "https", "203.0.113.7"),
        ("ssh", "203.0.113.7", 22, "ssh", ""),
        ("mx.example.gov.vn-25", "mx.example.gov.vn", 25, "smtp", ""),
        ("portal.example.gov.vn-80", "portal.example.gov.vn", 80, "http", ""),
    ]
    assert portal.approved_ports == {"203.0.113.7": (22, 443, 8443)}
    assert portal.addresses() == ("203.0.113.7",)
    assert portal.evidence["LVL-01"].issued == date(2026, 1, 2)
    assert portal.client_certificate is not None
    assert portal.client_certificate.key == "env:KEY"
    assert registry.authorisation is not None
    assert registry.authorisation.valid.since == date(2026, 11, 1)


def test_units_may_stand_in_the_registry(load: Load) -> None:
    registry = load(one_system())

    assert registry.unit_list == ""
    assert [(unit.id, unit.kind, unit.contact) for unit in registry.units] == [("u1", "ministry", "a@b.vn")]


def test_a_registry_may_have_no_systems(load: Load) -> None:
    assert load(HEAD + "systems: []\n").systems == ()
    assert load(HEAD + "systems:\n").systems == ()


@pytest.mark.parametrize("indented", [False, True])
def test_systems_may_stand_before_the_rest(load: Load, indented: bool) -> None:
    text = f"systems:\n{system()}" + HEAD + AUTHORISATION
    if indented:
        text = "".join(f"  {line}\n" for line in text.splitlines())

    registry = load(text)

    assert [(one.id, one.unit, one.line) for one in registry.systems] == [("s1", "u1", 2)]


def test_json_is_yaml(load: Load) -> None:
    text = (
        '{"seccheck": "registry/1", "name": {"vi": "a", "en": "b"}, "units": {"use": "vn-2025"}, "systems":'
        ' [{"id": "s", "unit": "moj", "name": {"vi": "a", "en": "b"}, "level": 1}]}'
    )

    assert load(text).systems[0].unit == "moj"


def test_systems_come_one_by_one(load: Load) -> None:
    registry = load(FULL)

    assert tuple(iter_systems("r.yaml")) == registry.systems


def test_colliding_derived_ids_get_their_service(load: Load) -> None:
    registry = load(
        one_system(
            "targets: [https://localhost:99, tls://localhost:99, {id: x, host: '::1', port: 1, service: ssh}]"
        )
    )

    assert [one.id for one in registry.systems[0].targets] == ["localhost-99", "localhost-99-tls", "x"]


def test_a_given_id_is_kept_before_a_derived_one(load: Load) -> None:
    registry = load(
        one_system("targets: [https://localhost:9, {id: localhost-9, host: '::1', port: 1, service: ssh}]")
    )

    assert [one.id for one in registry.systems[0].targets] == ["localhost-9-https", "localhost-9"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "targets: [https://localhost, https://localhost/]",
            "targets: expected each target once, found https://localhost:443 twice",
        ),
        (
            "targets: [{id: a, host: '::1', service: ssh}, {id: a, host: '::1', port: 2, service: ssh}]",
            'targets: expected a unique id for each target, found "a" twice',
        ),
        ("targets: https://localhost", 'targets: expected a list, found "https://localhost"'),
        ("targets: [7]", "targets[0]: expected a mapping with id, host, port, service, address, found 7"),
        (
            "targets: [htps://x]",
            "targets[0]: expected a known service before ://, found \"htps\"\n  next: did you mean 'https'?",
        ),
        (
            "targets: [{hots: localhost, port: 1, service: ssh}]",
            [
                "targets[0].host: missing: expected a host name or an address",
                "targets[0].hots: unknown key\n  next: did you mean 'host'?",
            ],
        ),
        (
            "targets: [{host: '-oX', port: 1, service: ssh}]",
            'targets[0].host: expected a host name or an address, found "-oX", which looks like an option',
        ),
        (
            "targets: [{host: localhost, port: 70000, service: ssh}]",
            "targets[0].port: expected a whole number from 1 to 65535, found 70000",
        ),
        (
            "targets: [{host: localhost, service: tcp}]",
            "targets[0].port: missing: expected a whole number from 1 to 65535",
        ),
        (
            "targets: [{host: localhost, port: 5, service: postgres}]",
            (
                "targets[0].service: expected one of http, https, tls, ssh, smtp, smtps, submission, imap, "
                "imaps, pop3, pop3s, ftp, ftps, ldap, ldaps, postgresql, mysql, redis, mongodb, telnet, dns, "
                "tcp, found \"postgres\"\n  next: did you mean 'postgresql'?"
            ),
        ),
        (
            "targets: [{host: x.vn, address: x.vn, port: 5, service: ssh}]",
            (
                'targets[0].address: expected an address, found "x.vn"\n'
                "  next: such as 203.0.113.7 or 2001:db8::7"
            ),
        ),
        (
            "tags: [Big Tag]",
            "tags[0]: expected an id of lower-case letters, digits, '.', '_' and '-', found \"Big Tag\"",
        ),
        ("domains: [10.0.0.1]", "domains[0]: expected a domain, found the address 10.0.0.1"),
        ("fragile: yes", 'fragile: expected true or false, found "yes"'),
        ("line: 3", "line: unknown key"),
        ('contact: "a\\nb"', "contact: expected text on one line, found a line break or a control character"),
        (
            f"evidence: {{lvl-1: {{file: a.pdf, sha256: {'b' * 64}, issued: 2026-01-02, states: met}}}}",
            "evidence.lvl-1: expected a key like ^[A-Z][A-Z0-9]*-[A-Z0-9]+$",
        ),
        (
            "evidence: {LVL-01: {file: a.pdf, sha256: ABC, issued: 2026-01-02, states: met}}",
            'evidence.LVL-01.sha256: expected 64 hexadecimal digits in lower case, found "ABC"',
        ),
        (
            f"evidence: {{LVL-01: {{file: ../a.pdf, sha256: {'b' * 64}, issued: 2026-01-02, states: met}}}}",
            (
                'evidence.LVL-01.file: expected a file in or below the registry\'s folder, found "../a.pdf"\n'
                "  next: such as evidence/decision-123.pdf"
            ),
        ),
        (
            f"evidence: {{LVL-01: {{file: a.pdf, sha256: {'b' * 64}, issued: 2.1.2026, states: ok}}}}",
            [
                'evidence.LVL-01.issued: expected a date such as 2026-11-30, found "2.1.2026"',
                'evidence.LVL-01.states: expected one of met, not-met, found "ok"',
            ],
        ),
        (
            "client_certificate: {certificate: a.pem, key: secret}",
            'client_certificate.key: expected the variable that holds the key, as env:NAME, found "secret"',
        ),
        (
            "limits: {connections_at_once: 0}",
            "limits.connections_at_once: expected a whole number from 1 to 64 or nothing, found 0",
        ),
        (
            "authorisation: {approved_by: '', document: y, valid: {from: 2026-02-01, until: 2026-01-01}}",
            [
                'authorisation.approved_by: expected text that is not empty, found ""',
                "authorisation.valid: expected an end on or after 2026-02-01, found 2026-01-01",
            ],
        ),
        (
            (
                "authorisation: {approved_by: x, document: y, valid: {from: 2026-01-01, until: 2026-02-01},"
                " hours: 25:00-05:00}"
            ),
            (
                'authorisation.hours: expected hours HH:MM-HH:MM and a time zone, found "25:00-05:00"\n'
                "  next: such as 22:00-05:00 Asia/Ho_Chi_Minh"
            ),
        ),
        (
            (
                "authorisation: {approved_by: x, document: y, valid: {from: 2026-01-01, until: 2026-02-01},"
                " hours: 05:00-05:00}"
            ),
            (
                'authorisation.hours: expected hours with a beginning and an end, found "05:00-05:00"\n'
                "  next: such as 22:00-05:00 Asia/Ho_Chi_Minh"
            ),
        ),
        (
            (
                "authorisation: {approved_by: x, document: y, valid: {from: 2026-01-01, until: 2026-02-01},"
                " hours: 22:00-05:00 Asia/Hanoi}"
            ),
            (
                'authorisation.hours: expected a time zone of the IANA list, found "Asia/Hanoi"\n'
                "  next: such as 22:00-05:00 Asia/Ho_Chi_Minh"
            ),
        ),
        (
            "targets: [https://portal.vn]",
            (
                "targets[0]: expected an authorisation: this target is not loopback, and nobody has allowed "
                "scanning it\n  next: write authorisation: {approved_by: …, document: …, valid: {from: …, "
                "until: …}} for the registry or the system"
            ),
        ),
    ],
)
def test_each_mistake_in_a_system_has_its_message(load: Load, line: str, message: str | list[str]) -> None:
    expected = [message] if isinstance(message, str) else message

    assert mistakes(load, one_system(line)) == [f"r.yaml:9: systems[0].{one}" for one in expected]


@pytest.mark.parametrize(
    ("extra", "line", "message"),
    [
        (
            "",
            "approved_ports: {10.0.0.1: [22]}\n  targets: [{host: a.localhost, port: 1, service: ssh}]",
            (
                'r.yaml:9: systems[0].approved_ports["10.0.0.1"]: expected an address or host of a declared '
                "target, found '10.0.0.1'\n  next: declared: a.localhost"
            ),
        ),
        (
            'networks: ["::1/128"]\n',
            "targets: [ssh://127.0.0.1]",
            (
                "r.yaml:10: systems[0].targets[0]: expected an address inside `networks`, found 127.0.0.1\n"
                "  next: correct the address, or add its network"
            ),
        ),
        (
            AUTHORISATION,
            "fragile: true\n  targets: [https://localhost, https://portal.vn]",
            (
                "r.yaml:11: systems[0].targets[1]: expected an address, for fragile of a system holds by "
                "address; found only a name\n  next: write {host: …, address: …, port: …, service: …}"
            ),
        ),
        (
            "seccheck: registry/1\n",
            "",
            "r.yaml:4: duplicate key 'seccheck', which stands in line 1 too\n  next: keep one of the two",
        ),
        (
            "networks: [203.0.113.1/24]\n",
            "",
            'r.yaml:4: networks[0]: expected a network, found "203.0.113.1/24"\n  next: write 203.0.113.0/24',
        ),
        (
            "resolvers: [{address: ns.vn}]\n",
            "",
            (
                'r.yaml:4: resolvers[0].address: expected an address, found "ns.vn"\n'
                "  next: such as 203.0.113.7 or 2001:db8::7"
            ),
        ),
        (
            "network: [203.0.113.0/24]\n",
            "",
            "r.yaml:4: network: unknown key\n  next: did you mean 'networks'?",
        ),
        (
            "system: []\n",
            "",
            "r.yaml:4: system: unknown key\n  next: did you mean 'systems'?",
        ),
        (
            "language: fr\n",
            "",
            'r.yaml:4: language: expected one of vi, en, found "fr"',
        ),
        (
            "revocation: crl\n",
            "",
            'r.yaml:4: revocation: expected one of staple, fetch, found "crl"',
        ),
    ],
)
def test_each_mistake_in_the_rest_has_its_message(load: Load, extra: str, line: str, message: str) -> None:
    assert mistakes(load, f"{HEAD}{extra}systems:\n{system(line or 'tags: []')}") == [message]


def test_an_unknown_unit_is_told_with_the_nearest(load: Load) -> None:
    text = one_system().replace("unit: u1", "unit: u2")

    assert mistakes(load, text) == [
        "r.yaml:6: systems[0].unit: expected a unit of the registry, found 'u2'\n  next: units: u1"
    ]


def test_ids_are_unique(load: Load) -> None:
    text = HEAD.replace("units: [", "units: [{id: u1, kind: other, name: {vi: a, en: b}}, ")

    assert mistakes(load, f"{text}systems:\n{system()}{system()}") == [
        "r.yaml:3: units[1].id: expected a unique id, found 'u1' twice",
        "r.yaml:10: systems[1].id: expected a unique id, found 's1', which stands in line 5 too",
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "name: {vi: a, en: b}\nunits: []\nsystems: []\n",
            ['r.yaml:1: seccheck: missing: expected "registry/1"'],
        ),
        (
            "seccheck: registry/2\nname: {vi: a, en: b}\nunits: []\nsystems: []\n",
            ['r.yaml:1: seccheck: expected "registry/1", found "registry/2"'],
        ),
        (HEAD, ["r.yaml:1: systems: missing: expected a list of systems"]),
        (HEAD + "systems: x\n", ['r.yaml:4: systems: expected a list of systems, found "x"']),
        (
            HEAD + "systems:\n- x\n",
            ['r.yaml:5: systems[0]: expected a mapping (key: value), found "x"'],
        ),
        (
            "seccheck: registry/1\nname: {vi: a, en: b}\nunits: {use: vn-2023}\nsystems: []\n",
            [
                (
                    "r.yaml:3: units: expected a bundled unit list (vn-2024, vn-2025), found 'vn-2023'\n"
                    "  next: did you mean 'vn-2025'?"
                )
            ],
        ),
        (
            "seccheck: registry/1\nname: {vi: a, en: b}\nunits: {used: vn-2024}\nsystems: []\n",
            [
                "r.yaml:3: units.use: missing: expected text",
                "r.yaml:3: units.used: unknown key\n  next: did you mean 'use'?",
            ],
        ),
        (
            (
                "seccheck: registry/1\nname: {vi: a, en: b}\n"
                "units: [{id: a, kind: ministy, name: {vi: a, en: b}}]\nsystems: []\n"
            ),
            [
                (
                    "r.yaml:3: units[0].kind: expected one of ministry, locality, enterprise, other, "
                    "found \"ministy\"\n  next: did you mean 'ministry'?"
                )
            ],
        ),
    ],
)
def test_each_mistake_in_the_frame_has_its_message(load: Load, text: str, found: list[str]) -> None:
    assert mistakes(load, text) == found


def test_mistakes_of_the_whole_file_come_in_one_pass(load: Load) -> None:
    text = HEAD + "lang: vi\nsystems:\n" + system("levl: 3", "a") + system("zone: X y", "b")

    assert [line.partition(": ")[0] for line in mistakes(load, text)] == [
        "r.yaml:4",
        "r.yaml:10",
        "r.yaml:15",
    ]


def test_mistakes_without_end_are_cut(load: Load) -> None:
    text = HEAD + "systems:\n" + "".join(system("x: 1", f"s{n}") for n in range(500))

    assert len(mistakes(load, text)) == 100


def test_a_mistaken_registry_gives_no_system_after_the_mistake(load: Load) -> None:
    text = HEAD + "systems:\n" + system(id_="a") + system("x: 1", "b") + system(id_="c")
    with pytest.raises(InputError):
        load(text)

    given: list[str] = []
    with pytest.raises(InputError):
        given.extend(one.id for one in iter_systems("r.yaml"))
    assert given == ["a"]


def test_the_head_comes_after_the_systems(load: Load) -> None:
    load(FULL)

    with pytest.raises(RuntimeError):
        RegistryReader("r.yaml").registry(())


def test_an_authorisation_may_hold_all_day(load: Load) -> None:
    registry = load(HEAD + AUTHORISATION.replace("}}", "}, hours: ''}") + "systems: []\n")

    assert registry.authorisation is not None
    assert registry.authorisation.hours == ""


def test_a_missing_file_is_told(load: Load) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: no such file"):
        load_registry("none.yaml")


def test_a_large_registry_is_refused_by_its_bytes(load: Load) -> None:
    load(one_system())

    with pytest.raises(InputError, match="expected at most 50 bytes"):
        load_registry("r.yaml", max_bytes=50)


def test_without_authorisation_it_can_be_worked_on(load: Load) -> None:
    registry = load(one_system("targets: [https://portal.vn, ssh://203.0.113.7]"), authorised=False)

    assert scope_of(registry).permissions == ()


def test_the_json_form_comes_back_as_it_went(load: Load) -> None:
    registry = load(FULL)

    data = registry_json(registry)
    back = registry_from_json(data)

    assert registry_json(back) == data
    assert back.digest == registry.digest
    assert (back.systems, back.units, back.unit_list) == (registry.systems, registry.units, "vn-2024")
    assert len(data.splitlines()) == 2 + len(registry.systems)
    assert msgspec.json.decode(data)["schema"] == "seccheck.registry/1"
    assert b"\n" in registry_json(load(HEAD + "systems: []\n"))


def test_the_digest_follows_a_narrowed_registry(load: Load) -> None:
    registry = load(FULL)
    before = registry.digest

    assert registry.model_copy(update={"systems": registry.systems[:1]}).digest != before


def test_the_json_form_says_nothing_of_this_machine(load: Load, tmp_path: Path) -> None:
    load(FULL)

    data = registry_json(load_registry(tmp_path / "r.yaml"))

    assert str(tmp_path).encode() not in data


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"schema":"seccheck.registry/2"}'])
def test_other_json_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match=r"registry\.json: expected a registry that seccheck wrote"):
        registry_from_json(data)


def test_networks_and_authorisation_make_the_scope(load: Load, tmp_path: Path) -> None:
    scope = scope_of(load(FULL))

    window = Window(since=date(2026, 11, 1), until=date(2026, 12, 31), hours="22:00-05:00")
    usual = Limits(connections_per_second=5)
    assert scope.permissions == (
        Permission(network="203.0.113.0/24", window=window, limits=usual),
        Permission(network="2001:db8::/32", window=window, limits=usual),
        Permission(
            network="203.0.113.8/32",
            window=window,
            limits=Limits(connections_per_second=5, connections_at_once=1),
        ),
    )
    assert [(one.address, one.port) for one in scope.resolvers] == [("10.0.0.53", 5353), ("2001:db8::53", 53)]
    assert (scope.revocation, scope.zone, scope.documents) == ("fetch", "internet", ".")
    assert scope_of(load_registry(tmp_path / "r.yaml"), zone="inside").documents == str(tmp_path)
    assert msgspec.json.decode(msgspec.json.encode(scope), type=Scope) == scope


def test_loopback_is_unlimited_and_always_open(load: Load) -> None:
    scope = scope_of(load(HEAD + "networks: [127.0.0.0/8]\nsystems:\n" + system()))

    assert scope.permissions == (Permission(network="127.0.0.0/8", limits=UNLIMITED),)


def test_without_networks_only_declared_addresses_are_in_scope(load: Load) -> None:
    line = "targets: [https://portal.vn, ssh://203.0.113.7, 'https://[2001:db8::7]', ssh://127.0.0.9]"

    scope = scope_of(load(HEAD + AUTHORISATION + "systems:\n" + system(line)))

    assert scope.permissions == (
        Permission(network="127.0.0.9/32", limits=UNLIMITED),
        Permission(network="203.0.113.7/32", window=WINDOW),
        Permission(network="2001:db8::7/128", window=WINDOW),
    )
    assert permission_for(scope, "203.0.113.8") is None
    assert permission_for(scope, "127.0.0.1") is None


def test_without_networks_a_loopback_name_opens_loopback(load: Load) -> None:
    scope = scope_of(load(one_system("targets: [https://a.localhost]")))

    assert [one.network for one in scope.permissions] == ["127.0.0.0/8", "::1/128"]


def test_a_systems_own_terms_hold_for_its_addresses(load: Load) -> None:
    own = (
        "authorisation: {approved_by: x, document: y, valid: {from: 2026-05-01, until: 2026-05-31},"
        " hours: 01:00-02:00}\n  limits: {ports_per_second: 7}\n  targets: [ssh://203.0.113.7]"
    )

    scope = scope_of(load(HEAD + "networks: [203.0.113.0/24]\nsystems:\n" + system(own)))

    assert scope.permissions == (
        Permission(
            network="203.0.113.7/32",
            window=Window(since=date(2026, 5, 1), until=date(2026, 5, 31), hours="01:00-02:00"),
            limits=Limits(ports_per_second=7),
        ),
    )
    (permission,) = scope.permissions
    assert permission.window is not None
    assert permission.window.open_at(datetime(2026, 5, 2, 18, 30, tzinfo=UTC))


def test_systems_on_one_address_get_the_gentlest_terms(load: Load) -> None:
    systems = (
        system(
            "limits: {connections_per_second: 50, ports_per_second: 20}\n  targets: [ssh://203.0.113.7]", "a"
        )
        + system("fragile: true\n  targets: [https://203.0.113.7]", "b")
        + system("fragile: true\n  targets: [https://localhost]", "c")
    )

    scope = scope_of(load(HEAD + AUTHORISATION + "systems:\n" + systems))

    assert permission_for(scope, "203.0.113.7") == Permission(
        network="203.0.113.7/32",
        window=WINDOW,
        limits=Limits(connections_per_second=10, connections_at_once=1, ports_per_second=20),
    )
    for address, network in (("127.0.0.1", "127.0.0.1/32"), ("::1", "::1/128")):
        permission = permission_for(scope, address)
        assert permission == Permission(
            network=network,
            limits=Limits(
                connections_per_second=None,
                connections_at_once=1,
                ports_per_second=None,
                addresses_at_once=None,
            ),
        )


def test_one_address_under_two_authorisations_is_refused(load: Load) -> None:
    own = "authorisation: {approved_by: x, document: y, valid: {from: 2026-05-01, until: 2026-05-31}}"
    systems = system(f"{own}\n  targets: [ssh://203.0.113.7]", "a") + system(
        "targets: [https://203.0.113.7]", "b"
    )
    registry = load(HEAD + AUTHORISATION + "systems:\n" + systems)

    with pytest.raises(InputError) as caught:
        scope_of(registry)

    assert str(caught.value) == (
        "r.yaml:12: expected one authorisation for 203.0.113.7, found different ones in a and b\n"
        "  next: give the systems on one address the same authorisation"
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    arguments = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=root -keyout key.pem"
    )
    subprocess.run(
        [tool("openssl"), *arguments.split(), "-out", "root.pem"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    return tmp_path / "root.pem"


def test_trust_files_are_read(load: Load, root: Path) -> None:
    root.with_name("anchor").write_text(". IN DS 1 13 2 AA", encoding="utf-8")

    scope = scope_of(load(HEAD + "trust: [root.pem]\ntrust_anchor: anchor\nsystems: []\n"))

    assert scope.trust == (root.read_text(encoding="utf-8"),)
    assert scope.trust_anchor == ". IN DS 1 13 2 AA"


def test_trust_files_are_read_from_another_folder(load: Load, root: Path, tmp_path: Path) -> None:
    registry = registry_from_json(registry_json(load(HEAD + "trust: [root.pem]\nsystems: []\n")))

    assert len(scope_of(registry, tmp_path).trust) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            None,
            (
                "r.yaml:5: trust[0]: cannot read ca.pem: No such file or directory\n"
                "  next: the file is looked for relative to the registry file"
            ),
        ),
        (
            b"\xff\xfe\x00",
            (
                "r.yaml:5: trust[0]: cannot read ca.pem: it is not text\n"
                "  next: the file is looked for relative to the registry file"
            ),
        ),
        (
            b"hello\n",
            (
                "r.yaml:5: trust[0]: expected certificates in PEM form (-----BEGIN CERTIFICATE-----) in "
                "ca.pem\n  next: convert DER with: openssl x509 -inform DER -in FILE -out FILE.pem"
            ),
        ),
    ],
)
def test_a_bad_trust_file_is_told(load: Load, content: bytes | None, message: str) -> None:
    registry = load(HEAD + "trust:\n- ca.pem\nsystems: []\n")
    if content is not None:
        Path("ca.pem").write_bytes(content)

    with pytest.raises(InputError) as caught:
        scope_of(registry)

    assert str(caught.value) == message


def test_a_missing_trust_anchor_is_told(load: Load) -> None:
    registry = load(HEAD + "trust_anchor: root.key\nsystems: []\n")

    with pytest.raises(InputError, match=r"r\.yaml:4: trust_anchor: cannot read root\.key: No such file"):
        scope_of(registry)


def test_facts_are_what_the_registry_declares(load: Load) -> None:
    registry = load(FULL)
    portal, fragile = registry.systems
    units = {unit.id: unit for unit in registry.units}

    assert system_facts(portal, units["mic"]) == SystemFacts(
        id="mic-portal",
        unit="mic",
        unit_kind="ministry",
        level=3,
        tags=("administrative-procedures", "npd-connected"),
        zone="internet",
        domains=("example.gov.vn",),
        fragile=False,
        operated_by="VNPT",
        services=("http", "https", "smtp", "ssh"),
    )
    assert target_facts(portal, portal.targets[4]) == TargetFacts(
        id="portal.example.gov.vn-80",
        host="portal.example.gov.vn",
        port=80,
        service="http",
        tls=False,
        starttls=False,
        web=True,
        has_https=True,
        is_name=True,
    )
    mail = target_facts(portal, portal.targets[3])
    assert (mail.tls, mail.starttls, mail.web, mail.has_https) == (True, True, False, False)
    assert not target_facts(portal, portal.targets[2]).is_name
    assert address_facts(portal, "203.0.113.7", portal.targets[1:3]) == AddressFacts(
        address="203.0.113.7",
        loopback=False,
        approved_ports=(22, 443, 8443),
        declared_ports=(22, 8443),
        services=("https", "ssh"),
    )
    assert address_facts(fragile, "203.0.113.8", fragile.targets).approved_ports == (22,)
    assert domain_facts(portal, "example.gov.vn") == DomainFacts(name="example.gov.vn")
    assert as_dict(domain_facts(portal, "x.vn")) == {"name": "x.vn"}


def test_ports_approved_for_a_host_hold_for_its_address(load: Load) -> None:
    (one,) = load(
        one_system("approved_ports: {A.localhost: [443, 80]}\n  targets: [https://a.localhost]")
    ).systems

    assert address_facts(one, "127.0.0.1", one.targets).approved_ports == (80, 443)
    assert address_facts(one, "127.0.0.1", one.targets).loopback


@pytest.mark.parametrize(
    ("service", "tls", "starttls"),
    [
        ("https", True, False),
        ("tls", True, False),
        ("smtp", True, True),
        ("postgresql", True, True),
        ("mysql", True, True),
        ("ftps", True, False),
        ("ssh", False, False),
        ("redis", False, False),
        ("http", False, False),
        ("dns", False, False),
    ],
)
def test_which_services_speak_tls(load: Load, service: str, tls: bool, starttls: bool) -> None:
    (one,) = load(one_system(f"targets: ['{service}://localhost']")).systems

    assert (one.targets[0].tls, one.targets[0].starttls) == (tls, starttls)
