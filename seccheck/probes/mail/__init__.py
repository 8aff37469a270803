"""The mail probe: the records by which a domain says who may send its mail, and how to reach it safely.

STARTTLS of the mail servers themselves is asked by the tls probe, of targets with the service smtp.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seccheck.model import safe_text
from seccheck.probes import Endpoint, Probe, ProbeFailed, Undecided
from seccheck.probes.mail.facts import MailFacts, MailParams
from seccheck.scope import Context

_FACTS = {
    "spf": ("spf",),
    "dkim": ("dkim",),
    "dmarc": ("dmarc",),
    "mta-sts": ("mta_sts", "tls_reporting"),
    "mx": ("mx", "receives_mail"),
}


def collect(endpoint: Endpoint, params: MailParams, context: Context) -> MailFacts:
    """What the domain of `endpoint` publishes about its mail."""
    from seccheck.probes.mail import records
    from seccheck.probes.mail.organisation import organisational_domain
    from seccheck.probes.mail.spf import read_spf
    from seccheck.resolve import Stub, name_of

    stub = Stub(context.scope)
    domain = name_of(endpoint.host)
    looks: dict[str, Callable[[], dict[str, Any]]] = {
        "spf": lambda: {"spf": read_spf(stub, domain)},
        "dkim": lambda: {"dkim": records.dkim(stub, domain, params.selectors)},
        "dmarc": lambda: {"dmarc": records.dmarc(stub, domain)},
        "mta-sts": lambda: records.transport_policies(stub, domain),
        "mx": lambda: records.exchangers(stub, domain),
    }
    facts: dict[str, Any] = {"organisational_domain": safe_text(organisational_domain(endpoint.host), 255)}
    undecided: list[Undecided] = []
    for ask in params.ask:
        try:
            facts |= looks[ask]()
        except ProbeFailed as failure:
            detail = safe_text(failure.detail, 256)
            undecided += [Undecided(fact=name, reason=failure.reason, detail=detail) for name in _FACTS[ask]]
    return MailFacts(**facts, undecided=tuple(undecided))


PROBE = Probe(
    id="mail",
    version=1,
    subject="domain",
    params=MailParams,
    facts=MailFacts,
    collect=collect,
    connections=lambda _endpoint, _params: 0,
    seconds=lambda _endpoint, params: 60.0 + 30.0 * len(params.ask),
)
