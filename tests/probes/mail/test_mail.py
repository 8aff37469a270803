"""The mail probe on a real name server with domains that publish well, badly and nothing."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from seccheck.model import Reason
from seccheck.probes import Endpoint
from seccheck.probes.mail import PROBE, MailFacts, MailParams
from seccheck.probes.mail.organisation import organisational_domain
from seccheck.probes.mail.spf import MOST_LOOKUPS
from seccheck.scope import Context, Resolver, Scope
from tests.tools import free_port, running, tool


def rsa_key(bits: int) -> str:
    public = rsa.generate_private_key(65537, bits).public_key()
    return base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def quoted(text: str) -> str:
    return " ".join(f'"{text[start : start + 200]}"' for start in range(0, len(text), 200))


def zone(key: str, edwards: str) -> dict[str, list[tuple[str, str, str]]]:
    """Records of gov.vn: name, type, data."""
    many = " ".join(f"a:h{index}.many.gov.vn" for index in range(12))
    deep = [
        (f"d{index}.gov.vn.", "TXT", quoted(f"v=spf1 include:d{index + 1}.gov.vn ?all"))
        for index in range(14)
    ]
    texts = {
        "good": "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 a mx include:_spf.good.gov.vn -all",
        "_spf.good": "v=spf1 ip4:198.51.100.7 ?all",
        "_dmarc.good": "v=DMARC1; p=reject; sp=quarantine; pct=50; rua=mailto:d@good.gov.vn,mailto:e@x.vn",
        "_mta-sts.good": "v=STSv1; id=20260101;",
        "_smtp._tls.good": "v=TLSRPTv1; rua=mailto:t@good.gov.vn",
        "default._domainkey.good": f"v=DKIM1; k=rsa; t=s:y; p={key}",
        "own._domainkey.good": f"k=ed25519; p={edwards}",
        "s1._domainkey.good": "v=DKIM1; p=",
        "soft": "V=SPF1 ~all",
        "open": "v=spf1 +all",
        "bare": "v=spf1 all",
        "neutral": "v=spf1 ip4:192.0.2.1",
        "after": "v=spf1 -all include:nothing.gov.vn",
        "redirect": "v=spf1 redirect=good.gov.vn",
        "redirectaway": "v=spf1 redirect=nothing.gov.vn",
        "both": "v=spf1 ?all redirect=good.gov.vn",
        "away": "v=spf1 include:nothing.gov.vn -all",
        "badip": "v=spf1 ip4:192.0.2.300 -all",
        "badterm": "v=spf1 ipv4:192.0.2.3 -all",
        "macro": "v=spf1 exists:%{i}.x.gov.vn include:%{d}.x.gov.vn -all",
        "ptr": "v=spf1 ptr -all",
        "many": f"v=spf1 {many} -all",
        "loop": "v=spf1 include:loop.gov.vn -all",
        "deep": "v=spf1 include:d0.gov.vn -all",
        "spf10": "v=spf10 -all",
        "_dmarc.soft": "v=DMARC1; p=none",
        "_dmarc.open": "v=DMARC1; p=nothing",
        "_dmarc.bare": "v=DMARC1; p=nothing; rua=mailto:a@bare.gov.vn",
        "_dmarc.neutral": "v=DMARC1;p=quarantine;pct=900;t=y",
        "_dmarc.after": "v=DMARC2; p=reject",
        "_dmarc.both": "p=reject; v=DMARC1",
        "x._domainkey.both": "v=spf1 -all",
        "_domainkey.soft": "o=~",
    }
    records = [(f"{name}.gov.vn.", "TXT", quoted(text)) for name, text in texts.items()]
    records += deep
    records += [
        ("two.gov.vn.", "TXT", '"v=spf1 -all"'), ("two.gov.vn.", "TXT", '"v=spf1 ~all"'),
        ("_dmarc.two.gov.vn.", "TXT", '"v=DMARC1; p=none"'),
        ("_dmarc.two.gov.vn.", "TXT", '"v=DMARC1; p=reject"'),
        ("good.gov.vn.", "TXT", '"some=thing else"'),
        ("good.gov.vn.", "MX", "20 mx2.good.gov.vn."), ("good.gov.vn.", "MX", "10 mx1.good.gov.vn."),
        ("mx1.good.gov.vn.", "A", "192.0.2.25"), ("mx1.good.gov.vn.", "AAAA", "2001:db8::25"),
        ("null.gov.vn.", "MX", "0 ."), ("implicit.gov.vn.", "A", "192.0.2.1"), ("soft.gov.vn.", "TXT", '"x"'),
        ("s2._domainkey.implicit.gov.vn.", "CNAME", "default._domainkey.good.gov.vn."),
    ]  # fmt: skip
    return {"gov.vn.": records}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """NSD with gov.vn."""
    folder = tmp_path_factory.mktemp("mail")
    edwards = base64.b64encode(ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
    lines = []
    for origin, records in zone(rsa_key(1024), edwards).items():
        text = f"{origin} 60 IN SOA ns.{origin} h.{origin} 1 2 3 4 5\n{origin} 60 IN NS ns.{origin}\n"
        text += "".join(f"{name} 60 IN {kind} {data}\n" for name, kind, data in records)
        path = folder / f"zone{origin}"
        path.write_text(text)
        lines += ["zone:", f'  name: "{origin}"', f'  zonefile: "{path}"']
    number = free_port()
    with running(tool("nsd"), "-d", "-c", configuration(folder, number, lines), ports=(number,)):
        yield number


def configuration(folder: Path, port: int, zones: list[str]) -> Path:
    path = folder / "nsd.conf"
    files = {"pidfile": "pid", "xfrdfile": "xfrd", "zonelistfile": "list", "xfrdir": ".", "zonesdir": "."}
    lines = ["server:", f"  ip-address: 127.0.0.1@{port}", '  username: ""', '  database: ""']
    lines += [f'  {name}: "{folder}/{value}"' for name, value in files.items()]
    path.write_text("\n".join([*lines, "remote-control:", "  control-enable: no", *zones]) + "\n")
    return path


@pytest.fixture
def ask(port: int) -> Callable[..., MailFacts]:
    def look(domain: str, *what: str, selectors: tuple[str, ...] = ()) -> MailFacts:
        assert PROBE.collect
        context = Context(Scope(resolvers=(Resolver(address="127.0.0.1", port=port),)))
        params = MailParams(ask=what, selectors=selectors)  # type: ignore[arg-type]
        return PROBE.collect(Endpoint(host=domain), params, context)

    return look


Ask = Callable[..., MailFacts]


@pytest.mark.parametrize(
    ("domain", "valid", "ending", "problems"),
    [
        ("good", True, "-all", ()),
        ("soft", True, "~all", ()),
        ("open", True, "+all", ()),
        ("bare", True, "+all", ()),
        ("neutral", True, "none", ()),
        ("after", True, "-all", ()),
        ("redirect", True, "-all", ()),
        ("redirectaway", False, "", ("redirect-without-record",)),
        ("both", True, "?all", ()),
        ("away", False, "-all", ("include-without-record",)),
        ("badip", False, "-all", ("syntax",)),
        ("badterm", False, "-all", ("syntax",)),
        ("macro", True, "-all", ("macro",)),
        ("ptr", True, "-all", ("ptr",)),
        ("many", False, "-all", ("too-many-lookups",)),
        ("loop", False, "-all", ("too-many-lookups",)),
        ("deep", False, "-all", ("too-many-lookups",)),
        ("two", False, "", ("several-records",)),
    ],
)
def test_spf(ask: Ask, domain: str, valid: bool, ending: str, problems: tuple[str, ...]) -> None:
    spf = ask(f"{domain}.gov.vn", "spf").spf
    assert spf is not None
    assert spf.present
    assert (spf.valid, spf.ending, spf.problems) == (valid, ending, problems)
    assert spf.lookups <= MOST_LOOKUPS + 3


def test_spf_counts_what_asks(ask: Ask) -> None:
    spf = ask("good.gov.vn", "spf").spf
    assert spf is not None
    assert spf.lookups == 3
    assert spf.record.startswith("v=spf1 ip4:")


@pytest.mark.parametrize("domain", ["spf10.gov.vn", "nothing.gov.vn", "null.gov.vn"])
def test_no_spf(ask: Ask, domain: str) -> None:
    spf = ask(domain, "spf").spf
    assert spf is not None
    assert not spf.present


def test_dmarc(ask: Ask) -> None:
    own = ask("good.gov.vn", "dmarc").dmarc
    assert own is not None
    assert (own.policy, own.subdomain_policy, own.percent, own.at) == (
        "reject",
        "quarantine",
        50,
        "good.gov.vn",
    )
    assert own.reports_to == ("mailto:d@good.gov.vn", "mailto:e@x.vn")
    below = ask("mail.dept.good.gov.vn", "dmarc")
    assert below.organisational_domain == "good.gov.vn"
    assert below.dmarc is not None
    assert (below.dmarc.policy, below.dmarc.at, below.dmarc.valid) == ("quarantine", "good.gov.vn", True)


@pytest.mark.parametrize(
    ("domain", "present", "valid", "policy", "problems"),
    [
        ("soft", True, True, "none", ()),
        ("open", True, False, "", ("unknown-policy",)),
        ("bare", True, True, "none", ("unknown-policy",)),
        ("neutral", True, True, "quarantine", ("pct-no-percentage",)),
        ("two", True, False, "", ("several-records",)),
        ("after", False, False, "", ()),
        ("both", False, False, "", ()),
        ("nothing", False, False, "", ()),
    ],
)
def test_dmarc_that_is_weak_or_wrong(
    ask: Ask, domain: str, present: bool, valid: bool, policy: str, problems: tuple[str, ...]
) -> None:
    found = ask(f"{domain}.gov.vn", "dmarc").dmarc
    assert found is not None
    assert (found.present, found.valid, found.policy, found.problems) == (present, valid, policy, problems)
    assert found.testing is (domain == "neutral")


def test_dkim(ask: Ask) -> None:
    keys = ask("good.gov.vn", "dkim", selectors=("own",)).dkim
    assert keys is not None
    assert [(key.selector, key.key_type, key.bits, key.revoked, key.testing) for key in keys] == [
        ("own", "ed25519", 256, False, False),
        ("default", "rsa", 1024, False, True),
        ("s1", "rsa", 0, True, False),
    ]
    alias = ask("implicit.gov.vn", "dkim").dkim
    assert alias is not None
    assert [key.selector for key in alias] == ["s2"]


def test_no_dkim_key_found_means_nothing_unless_there_can_be_none(ask: Ask) -> None:
    assert ask("open.gov.vn", "dkim").dkim == ()
    for domain in ("soft.gov.vn", "both.gov.vn"):
        facts = ask(domain, "dkim")
        assert facts.dkim is None
        assert [(entry.fact, entry.reason) for entry in facts.undecided] == [("dkim", Reason.UNDISCLOSED)]


def test_transport(ask: Ask) -> None:
    facts = ask("good.gov.vn", "mta-sts", "mx")
    assert facts.mta_sts is not None
    assert (facts.mta_sts.present, facts.mta_sts.id) == (True, "20260101")
    assert facts.tls_reporting is True
    assert facts.mx is not None
    assert [(mx.preference, mx.host, mx.addresses) for mx in facts.mx] == [
        (10, "mx1.good.gov.vn", ("192.0.2.25", "2001:db8::25")),
        (20, "mx2.good.gov.vn", ()),
    ]
    assert facts.receives_mail is True
    for domain, receives in (("null", False), ("implicit", True), ("soft", False)):
        facts = ask(f"{domain}.gov.vn", "mta-sts", "mx")
        assert facts.receives_mail is receives
        assert facts.mx == ()
        assert facts.mta_sts is not None
        assert not facts.mta_sts.present
        assert facts.tls_reporting is False


def test_a_resolver_that_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seccheck.resolve._PACKET_SECONDS", 0.1)
    assert PROBE.collect
    silent = Resolver(address="127.0.0.1", port=free_port(kind=socket.SOCK_DGRAM))
    params = MailParams(ask=("spf", "dkim", "dmarc", "mta-sts", "mx"))
    facts = PROBE.collect(Endpoint(host="a.gov.vn"), params, Context(Scope(resolvers=(silent,))))
    assert {entry.fact for entry in facts.undecided} == {
        "spf", "dkim", "dmarc", "mta_sts", "tls_reporting", "mx", "receives_mail",
    }  # fmt: skip
    assert {entry.reason for entry in facts.undecided} == {Reason.RESOLVER}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mail.a.b.example.gov.vn", "example.gov.vn"),
        ("example.gov.vn", "example.gov.vn"),
        ("gov.vn", "gov.vn"),
        ("www.example.vn", "example.vn"),
        ("www.example.hanoi.vn", "example.hanoi.vn"),
        ("www.example.com", "example.com"),
        ("a.example.co.uk", "example.co.uk"),
        ("Example.Gov.VN.", "example.gov.vn"),
        ("vn", "vn"),
    ],
)
def test_organisational_domains(name: str, expected: str) -> None:
    assert organisational_domain(name) == expected
