"""Versions, suites, groups, certificates, features and known flaws of a TLS server."""

from __future__ import annotations

from seccheck.probes import Probe
from seccheck.probes.tls.facts import TlsFacts, TlsParams

PROBE = Probe(id="tls", version=1, subject="name", params=TlsParams, facts=TlsFacts)
