"""Versions, suites, groups, certificates, features and known flaws of a TLS server."""

from __future__ import annotations

from collections.abc import Callable

from seccheck.probes import Answer, Looks, Probe
from seccheck.probes.tls.facts import TlsFacts, TlsParams
from seccheck.scope import Context

SECONDS = 45.0


def _collect_many(looks: Looks, emit: Callable[[Answer], None], context: Context) -> None:
    from seccheck.probes.tls.engine import collect_many

    collect_many(looks, emit, context)


PROBE = Probe(
    id="tls",
    version=1,
    subject="name",
    params=TlsParams,
    facts=TlsFacts,
    collect_many=_collect_many,
    seconds=lambda _endpoint, _params: SECONDS,
)
