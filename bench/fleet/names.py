# ruff: noqa: E501 (zones stand as they are written)
"""Domains on NSD below a root of their own: signed and not, good and bad mail records, given away and not."""

from __future__ import annotations

from bench.fleet.truth import Case
from bench.fleet.yard import Yard
from tests.fleet.zones import PAST, Tree, Zone, nsd

SPF = '@ TXT "v=spf1 -all"\n'
DMARC = '_dmarc TXT "v=DMARC1; p=reject"\n'
NULL = "@ MX 0 .\n"
CAA = '@ CAA 0 issue "ca.example"\n'
GOOD = NULL + SPF + DMARC + CAA
KEY = 'mail._domainkey TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="\n'
MAIL = "mail A 192.0.2.25\n@ MX 10 mail\n"


def _mail(spf: str, dmarc: str = "v=DMARC1; p=reject") -> str:
    return f'{MAIL}@ TXT "{spf}"\n_dmarc TXT "{dmarc}"\n{CAA}{KEY}'


CASES: tuple[tuple[str, dict[str, object], dict[str, str]], ...] = (
    ("good", {"records": GOOD}, {}),
    ("nsec3", {"records": GOOD, "options": ("-3", "AB12")}, {}),
    ("mail", {"records": _mail("v=spf1 mx -all")}, {}),
    ("soft", {"records": _mail("v=spf1 mx ~all")}, {}),
    ("unsigned", {"records": GOOD, "signed": False}, {"fails": "DNS-02"}),
    ("expired", {"records": GOOD, "options": PAST}, {"fails": "DNS-02"}),
    ("broken", {"records": GOOD, "broken": True}, {"opens": "DNS-* MAI-*"}),
    ("given-away", {"records": GOOD, "transfer": True}, {"fails": "DNS-03"}),
    ("dangling-mx", {"records": f"@ MX 10 gone\n{SPF}{DMARC}{CAA}{KEY}"}, {"fails": "DNS-04"}),
    ("no-caa", {"records": NULL + SPF + DMARC}, {"fails": "DNS-05"}),
    ("no-spf", {"records": MAIL + DMARC + CAA + KEY}, {"fails": "MAI-01"}),
    ("spf-neutral", {"records": _mail("v=spf1 mx ?all")}, {"fails": "MAI-01"}),
    ("spf-open", {"records": _mail("v=spf1 +all")}, {"fails": "MAI-01"}),
    ("spf-syntax", {"records": _mail("v=spf1 ip4:300.1.1.1 -all")}, {"fails": "MAI-01"}),
    ("spf-many-lookups", {"records": _mail("v=spf1 " + " ".join(f"a:h{n}.x.vn" for n in range(11)) + " -all")}, {"fails": "MAI-01"}),
    ("no-dkim", {"records": f"{MAIL}{SPF}{DMARC}{CAA}"}, {"fails": "MAI-01"}),
    ("hidden-dkim", {"records": f'{MAIL}{SPF}{DMARC}{CAA}s2026._domainkey TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="\n'}, {"opens": "MAI-01"}),
    ("dmarc-none", {"records": _mail("v=spf1 mx -all", "v=DMARC1; p=none")}, {"fails": "MAI-02"}),
    ("dmarc-quarantine", {"records": _mail("v=spf1 mx -all", "v=DMARC1; p=quarantine")}, {}),
    ("dmarc-half", {"records": _mail("v=spf1 mx -all", "v=DMARC1; p=reject; pct=50")}, {"free": "MAI-02"}),
    ("no-dmarc", {"records": f"{MAIL}{SPF}{CAA}{KEY}"}, {"fails": "MAI-02"}),
    ("dmarc-twice", {"records": f'{NULL}{SPF}{DMARC}_dmarc TXT "v=DMARC1; p=none"\n{CAA}'}, {"fails": "MAI-02"}),
)  # fmt: skip


def cases(yard: Yard) -> None:
    """One zone for each case."""
    address = yard.address()
    folder = yard.folder / "zones"
    folder.mkdir()
    zones = [Zone(f"{name}.gov.vn", **given) for name, given, _ in CASES]  # type: ignore[arg-type]
    tree = Tree(folder, address, zones)
    yard.stack.enter_context(nsd(tree, address, 5353))
    yard.head |= {"resolvers": [{"address": address, "port": 5353}], "trust_anchor": "zones/anchor"}
    yard.head |= {"networks": ["127.0.0.0/8", "::1/128"]}
    for name, _, truth in CASES:
        yard.add(
            Case(
                f"domain-{name}",
                [],
                more={"domains": [f"{name}.gov.vn"]},
                **truth,
            )
        )  # type: ignore[arg-type]
