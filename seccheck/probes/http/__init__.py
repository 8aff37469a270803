"""The http probe: what a web server answers to a polite visitor, hop by hop and path by path.

GET, and one TRACE: nothing that changes anything, no login, no guessing beyond short fixed lists. Bodies are
read to a bound, looked at and forgotten.
"""

from __future__ import annotations

from typing import Any

from seccheck.probes import Endpoint, Probe, Undecided
from seccheck.probes.http.answer import MAX_REDIRECTS, answer_facts, origin_of, walk
from seccheck.probes.http.facts import HttpFacts, HttpParams
from seccheck.scope import Context


def collect(endpoint: Endpoint, params: HttpParams, context: Context) -> HttpFacts:
    """What the web server of `endpoint` answers."""
    origin = origin_of(endpoint)
    facts: dict[str, Any] = {}
    undecided: list[Undecided] = []
    way = walk(context, origin)
    if "answer" in params.ask:
        told, doubts = answer_facts(way, context.now())
        facts |= told
        undecided += doubts
    return HttpFacts(**facts, undecided=tuple(undecided))


PROBE = Probe(
    id="http",
    version=1,
    subject="name",
    params=HttpParams,
    facts=HttpFacts,
    collect=collect,
    connections=lambda _endpoint, _params: 1 + MAX_REDIRECTS,
    seconds=lambda _endpoint, _params: 60.0,
)
