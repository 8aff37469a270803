"""Open, closed and filtered TCP ports of an address, and the UDP services that answer strangers."""

from __future__ import annotations

from seccheck.probes import Probe
from seccheck.probes.ports.facts import PortsFacts, PortsParams

PROBE = Probe(id="ports", version=1, subject="address", params=PortsParams, facts=PortsFacts)
