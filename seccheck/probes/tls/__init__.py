"""Versions, suites, groups, certificates, features and known flaws of a TLS server."""

from __future__ import annotations

from collections.abc import Callable

from seccheck.probes import Answer, Endpoint, Looks, Probe
from seccheck.probes.tls.facts import TlsFacts, TlsParams
from seccheck.scope import Context

SECONDS = 90.0
_FIRST = {
    "versions": 4,
    "suites": 1,
    "groups": 7,
    "certificates": 3,
    "features": 1,
    "flaws": 2,
    "fallback": 1,
}
"""Connections for each ask, on a server of TLS 1.2 and 1.3 with six groups and one certificate."""
_AGAIN = {"versions": 6, "suites": 2, "groups": 2, "certificates": 1}
"""Those that ask a second and a third time."""


def _collect_many(looks: Looks, emit: Callable[[Answer], None], context: Context) -> None:
    from seccheck.probes.tls.engine import collect_many

    collect_many(looks, emit, context)


def planned_connections(_endpoint: Endpoint, params: TlsParams) -> int:
    """How many connections a look is expected to make; 40 at most, whatever the server."""
    asked = {str(ask) for ask in params.ask} - {"offered"}
    if asked - {"certificates"}:
        asked.add("versions")
    static_rsa = asked & {"suites", "flaws"} == {"flaws"}
    first = 2 + sum(_FIRST[ask] for ask in asked) + static_rsa
    last = not asked & {"features", "flaws"}
    if params.thorough:
        again = sum(_AGAIN.get(ask, 0) for ask in asked) + static_rsa
        canaries = last + ("groups" not in asked) + 2 * (not asked & {"groups", "certificates"})
        return first + (again + canaries if asked else 0)
    guarded = asked <= {"versions", "suites", "certificates", "groups"}  # by what is accepted last
    core = guarded and "groups" not in asked
    canaries = 0 if core else 1 + (last and not guarded)
    return first - (_FIRST["certificates"] if "certificates" in asked else 0) + canaries


PROBE = Probe(
    id="tls",
    version=1,
    subject="name",
    params=TlsParams,
    facts=TlsFacts,
    collect_many=_collect_many,
    connections=planned_connections,
    seconds=lambda _endpoint, _params: SECONDS,
)
