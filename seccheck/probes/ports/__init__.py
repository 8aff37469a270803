"""Open, closed and filtered TCP ports of an address, and the UDP services that answer strangers.

Two engines, same facts: our own loop, and nmap through python-nmap for the first look at many ports.
`SECCHECK_PORTS_ENGINE=connect` or `=nmap` chooses by hand; `run.py` says what is chosen otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from seccheck.probes import Answer, Endpoint, Looks, Probe
from seccheck.probes.ports.facts import PortsFacts, PortsParams
from seccheck.probes.ports.table import ports_of
from seccheck.scope import Context


def collect_many(looks: Looks, hand_over: Callable[[Answer], None], context: Context) -> None:
    """Look at the addresses of `looks` as they come, many at once, and hand over each answer when ready."""
    from seccheck.probes.ports.run import run

    run(looks, hand_over, context, seconds)


@lru_cache(maxsize=1024)
def _count(params: PortsParams) -> int:
    return len(ports_of(params.tcp_sets) | {*params.tcp, *params.declared})


def connections(_endpoint: Endpoint, params: PortsParams) -> int:
    """How many connections one look makes: each port once, the declared ones twice, each UDP service once."""
    return _count(params) + len(params.declared) + len(params.udp)


def seconds(_endpoint: Endpoint, params: PortsParams) -> float:
    """The deadline of one look: every port silent twice at the default limits, with much to spare."""
    return 300.0 + 0.3 * _count(params)


PROBE = Probe(
    id="ports",
    version=1,
    subject="address",
    params=PortsParams,
    facts=PortsFacts,
    collect_many=collect_many,
    connections=connections,
    seconds=seconds,
)
