"""The dns probe: what the domain name system publishes for a name, and whether it proves it.

That a name or a record does not exist is an answer. SERVFAIL and silence are none: what hangs on them is
undecided.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from seccheck.model import Reason, safe_text
from seccheck.probes import Endpoint, Probe, ProbeFailed, Undecided
from seccheck.probes.dns.facts import DnsFacts, DnsParams
from seccheck.scope import Context

Told = tuple[dict[str, Any], list[Undecided]]
_FACTS = {
    "addresses": ("exists", "aliases", "ipv4", "ipv6", "addresses"),
    "dnssec": ("dnssec",),
    "caa": ("caa",),
    "transfer": ("zone", "servers", "transfer_allowed"),
    "dangling": ("dangling",),
}


def collect(endpoint: Endpoint, params: DnsParams, context: Context) -> DnsFacts:
    """What the domain name system publishes for the host of `endpoint`."""
    from seccheck.probes.dns import records
    from seccheck.probes.dns.trust import dnssec_status
    from seccheck.resolve import Stub, name_of

    if _is_address(endpoint.host):
        raise ProbeFailed(Reason.NO_DATA, f"{endpoint.host} is an address, not a name")
    name = name_of(endpoint.host)
    stub = Stub(context.scope)
    moment = context.now().timestamp()
    looks: dict[str, Callable[[], Told]] = {
        "addresses": lambda: records.addresses(stub, name),
        "dnssec": lambda: (
            {"dnssec": dnssec_status(stub, records.existing(stub, name), context.scope.trust_anchor, moment)},
            [],
        ),
        "caa": lambda: ({"caa": records.caa(stub, name)}, []),
        "transfer": lambda: records.transfers(stub, name, context),
        "dangling": lambda: records.dangling(stub, name),
    }
    facts: dict[str, Any] = {}
    undecided: list[Undecided] = []
    for ask in params.ask:
        try:
            told, doubts = looks[ask]()
        except ProbeFailed as failure:
            told, doubts = {}, undecided_all(_FACTS[ask], failure)
        facts |= told
        undecided += doubts
    return DnsFacts(**facts, undecided=tuple(undecided))


def undecided_all(names: tuple[str, ...], failure: ProbeFailed) -> list[Undecided]:
    """Every one of `names` in doubt for the reason of `failure`."""
    detail = safe_text(failure.detail, 256)
    return [Undecided(fact=name, reason=failure.reason, detail=detail) for name in names]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


PROBE = Probe(
    id="dns",
    version=1,
    subject="domain",
    params=DnsParams,
    facts=DnsFacts,
    collect=collect,
    connections=lambda _endpoint, params: 2 if "transfer" in params.ask else 0,
    seconds=lambda _endpoint, params: 60.0 * max(1, len(params.ask)),
)
