"""Whether a service answers with TLS at every IPv6 address that is published for its name.

Asked by name even where the registry fixes an address, for that one is seldom the IPv6 one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seccheck.model import Reason, safe_text
from seccheck.probes import Endpoint, Facts, Params, Probe, ProbeFailed, Undecided

if TYPE_CHECKING:
    from seccheck.scope import Context

_MOST_ADDRESSES = 8
_SECONDS = 10.0


class Ipv6Params(Params):
    """Every published address is asked."""


class Ipv6Facts(Facts):
    """The IPv6 addresses of a name, and what answers at them on the port of the service."""

    addresses: tuple[str, ...] | None = None
    """What DNS publishes (AAAA records); none is an answer, a resolver's failure is not."""
    secure: tuple[str, ...] | None = None
    """Where TLS is spoken; whether the certificate is good is for others to tell."""
    plain: tuple[str, ...] | None = None
    """Where something answers, but not with TLS. Silence, and a port that refuses, is in `undecided`."""


def collect(endpoint: Endpoint, _params: Ipv6Params, context: Context) -> Ipv6Facts:
    """Ask for the IPv6 addresses of the host, then for a TLS handshake at each of them."""
    from seccheck.resolve import Stub, sorted_addresses

    found = sorted_addresses(Stub(context.scope).ask(endpoint.host, "AAAA").texts())
    answers: dict[bool, list[str]] = {True: [], False: []}
    undecided = [
        Undecided(fact="plain", member=address, reason=Reason.NOT_PROBED, detail="more addresses than asked")
        for address in found[_MOST_ADDRESSES:]
    ]
    for address in found[:_MOST_ADDRESSES]:
        try:
            answers[_speaks_tls(context, address, endpoint)].append(address)
        except ProbeFailed as failure:
            detail = safe_text(failure.detail, 256)
            undecided.append(Undecided(fact="plain", member=address, reason=failure.reason, detail=detail))
    return Ipv6Facts(
        addresses=found,
        secure=tuple(answers[True]),
        plain=tuple(answers[False]),
        undecided=tuple(undecided),
    )


def _speaks_tls(context: Context, address: str, endpoint: Endpoint) -> bool:
    """Whether a TLS handshake comes about; raises `ProbeFailed` when nobody answers."""
    with context.dial(address, endpoint.port, seconds=_SECONDS) as connection:
        try:
            connection.start_tls(endpoint.host)
        except ProbeFailed as failure:
            if failure.reason is Reason.NOT_OFFERED:
                return False
            if failure.reason is not Reason.ACCESS:  # who asks for a client certificate speaks TLS
                raise
        return True


PROBE = Probe(
    id="ipv6",
    version=1,
    subject="name",
    params=Ipv6Params,
    facts=Ipv6Facts,
    collect=collect,
    seconds=lambda _endpoint, _params: 30.0 + _MOST_ADDRESSES * _SECONDS,
)
