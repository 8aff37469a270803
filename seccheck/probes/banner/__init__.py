"""The banner probe: how a service names itself (product, version, package revision) to anybody who connects."""

from __future__ import annotations

from seccheck.model import Reason
from seccheck.probes import Endpoint, Probe, ProbeFailed
from seccheck.probes.banner.facts import BannerFacts, BannerParams
from seccheck.scope import Context


def collect(endpoint: Endpoint, params: BannerParams, context: Context) -> BannerFacts:
    """The names that the service of `endpoint` gives itself."""
    raise ProbeFailed(Reason.BUG, "not written yet")


PROBE = Probe(id="banner", version=1, subject="name", params=BannerParams, facts=BannerFacts, collect=collect)
