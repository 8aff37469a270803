"""The http probe: what a web server answers to a polite visitor, hop by hop and path by path."""

from __future__ import annotations

from seccheck.model import Reason
from seccheck.probes import Endpoint, Probe, ProbeFailed
from seccheck.probes.http.facts import HttpFacts, HttpParams
from seccheck.scope import Context


def collect(endpoint: Endpoint, params: HttpParams, context: Context) -> HttpFacts:
    """What the web server of `endpoint` answers."""
    raise ProbeFailed(Reason.BUG, "not written yet")


PROBE = Probe(id="http", version=1, subject="name", params=HttpParams, facts=HttpFacts, collect=collect)
