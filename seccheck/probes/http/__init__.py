"""The http probe: what a web server answers to a polite visitor, hop by hop and path by path.

GET, and one TRACE: nothing that changes anything, no login, no guessing beyond short fixed lists. Bodies are
read to a bound, looked at and forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seccheck.model import Reason, safe_text
from seccheck.probes import Endpoint, Probe, ProbeFailed, Undecided
from seccheck.probes.http import exposure
from seccheck.probes.http.answer import Walk, answer_facts, origin_of, shut_out, walk
from seccheck.probes.http.client import BODY_BYTES
from seccheck.probes.http.facts import HttpFacts, HttpParams
from seccheck.probes.http.sample import sample
from seccheck.scope import Context

Told = tuple[dict[str, Any], list[Undecided]]
_ACCESS = {401, 403, 407}


def collect(endpoint: Endpoint, params: HttpParams, context: Context) -> HttpFacts:
    """What the web server of `endpoint` answers."""
    origin = origin_of(endpoint)
    way = walk(context, origin, body_bytes=BODY_BYTES)
    asks: dict[str, tuple[tuple[str, ...], Callable[[], Told]]] = {
        "answer": ((), lambda: answer_facts(way, context.now())),
        "paths": (
            ("exposures", "listings", "debug_pages", "consoles", "devices", "security_txt"),
            lambda: exposure.path_facts(context, origin, context.now()),
        ),
        "methods": (("trace",), lambda: ({"trace": exposure.answers_trace(context, origin)}, [])),
        "cors": (("cors",), lambda: ({"cors": _cors(way, context)}, [])),
        "sample": (("sampled", "people_on_one_page"), lambda: _sample(way, context)),
    }
    facts: dict[str, Any] = {}
    undecided: list[Undecided] = []
    shut = shut_out(way.answers[-1][1])
    for ask in params.ask:
        names, look = asks[ask]
        try:
            if shut and ask != "answer":  # what is behind the certificate was not seen, so it is not absent
                raise shut
            told, doubts = look()
        except ProbeFailed as failure:
            told, doubts = {}, _open(names, failure)
        facts |= told
        undecided += doubts
    return HttpFacts(**facts, undecided=tuple(undecided))


def _open(names: tuple[str, ...], failure: ProbeFailed) -> list[Undecided]:
    detail = safe_text(failure.detail, 256)
    return [Undecided(fact=name, reason=failure.reason, detail=detail) for name in names]


def _cors(way: Walk, context: Context) -> Any:
    """Asked where a visitor ends up; where redirects lead away, at the first address."""
    origin, answer = way.answers[-1 if way.arrived else 0]
    return exposure.cors(context, origin, answer.target)


def _sample(way: Walk, context: Context) -> Told:
    if not way.arrived:
        raise way.failure or ProbeFailed(Reason.OUT_OF_SCOPE, "redirects lead away from the host")
    origin, front = way.answers[-1]
    pages, doubts = sample(context, origin, front, context.now().year)
    undecided = [
        Undecided(fact="sampled", member=path, reason=failure.reason, detail=safe_text(failure.detail, 256))
        for path, failure in doubts
    ]
    if not pages:
        if doubts:
            raise doubts[0][1]
        reason = Reason.ACCESS if front.status in _ACCESS else Reason.NO_DATA
        raise ProbeFailed(reason, f"no page to read: the front page answers {front.status}")
    return {"sampled": pages, "people_on_one_page": max(page.people for page in pages)}, undecided


def _connections(_endpoint: Endpoint, params: HttpParams) -> int:
    """Two for the way of a redirect to HTTPS, one for each further question; kept connections are reused."""
    return 2 + len(set(params.ask) - {"answer"})


def _seconds(_endpoint: Endpoint, params: HttpParams) -> float:
    """Six hops at worst; with paths, what all of them may take, and some time to end."""
    long = {"paths": exposure.SECONDS + 40.0, "sample": 120.0}
    return 60.0 + sum(long.get(ask, 30.0) for ask in set(params.ask) - {"answer"})


PROBE = Probe(
    id="http",
    version=1,
    subject="name",
    params=HttpParams,
    facts=HttpFacts,
    collect=collect,
    connections=_connections,
    seconds=_seconds,
)
