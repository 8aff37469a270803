"""The other engine: nmap takes the first look at many ports (how it is run: `probes.nmap`)."""

from __future__ import annotations

from collections.abc import Sequence

from seccheck.permission import UNLIMITED, Limits
from seccheck.probes.nmap import Host, Purpose, Reader
from seccheck.probes.nmap import Nmap as Runs
from seccheck.probes.nmap import port_list as port_list
from seccheck.probes.ports.look import REFUSED, SILENT, SYN_ACK, UNREACHABLE, Seen
from seccheck.probes.ports.table import ranges

CHUNK = 16384
"""Ports of one run, between two looks at the declared services."""
GATHER = 0.05


class Nmap(Runs[Seen]):
    """First looks by nmap: of each port that is not closed, what was seen.

    Ports that nmap does not account for are taken as silent, to be looked at again.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, Purpose(options=_options, read=read, gather=GATHER, connections=1))


def _options(addresses: Sequence[str], ports: int, limits: Limits) -> tuple[str, int]:
    seconds = host_seconds(ports, limits)
    return arguments(addresses, limits, seconds), seconds


def host_seconds(ports: int, limits: Limits) -> int:
    """The deadline of one address: every port silent, one after the other (what a scan delay means)."""
    return int(60 + ports * (1 / limits.ports_per_second + 0.25 if limits.ports_per_second else 0.02))


def arguments(addresses: Sequence[str], limits: Limits, seconds: int) -> str:
    """The options of a run: a plain TCP connect scan, with nothing guessed and nothing looked up.

    No retries: whatever is silent is looked at again anyway, with more patience. `--scan-delay` holds the
    rate of each address, `--max-rate` that of the run.
    """
    options = ["-sT", "-n", "-Pn", "--unprivileged", "--max-retries", "0", "--max-rtt-timeout", "1500ms"]
    options += ["--min-hostgroup", str(len(addresses)), "--host-timeout", f"{seconds}s"]
    if limits.ports_per_second:
        options += ["--scan-delay", f"{max(1, 1000 // limits.ports_per_second)}ms"]
        options += ["--max-rate", str(limits.ports_per_second * len(addresses))]
    if limits.connections_at_once < UNLIMITED.connections_at_once:
        options += ["--max-parallelism", str(limits.connections_at_once * len(addresses))]
    if ":" in addresses[0]:
        options.append("-6")
    return " ".join(options)


class _Reader(Reader[Seen]):
    """The states of the ports that were asked about."""

    def __init__(self, asked: Sequence[int]) -> None:
        self.asked = asked
        super().__init__()

    def begin(self) -> None:
        self.states: dict[int, Seen] = {}
        self.counted = ""
        self.rest: list[Seen] = []

    def take(self, tag: str, given: dict[str, str]) -> None:
        match tag:
            case "state" if self.port:
                self.states[self.port] = _seen(given["state"], given.get("reason", ""))
            case "extraports":
                self.counted = given["state"]
                self.rest.append(_seen(self.counted, ""))
            case "extrareasons" if given.get("ports") and given.get("proto", "tcp") == "tcp":
                seen = _seen(self.counted, given.get("reason", ""))
                self.states.update((port, seen) for port in ranges(given["ports"]))

    def ports(self) -> dict[int, Seen]:
        # Older versions count these ports without naming them: clear only when all are of one state.
        rest = self.rest[0] if len(self.rest) == 1 else SILENT
        seen = {port: self.states.get(port, rest) for port in self.asked}
        return {port: look for port, look in seen.items() if look is not REFUSED}


def _seen(state: str, reason: str) -> Seen:
    if state in {"open", "closed"}:
        return SYN_ACK if state == "open" else REFUSED
    return SILENT if reason in {"", "no-response"} else UNREACHABLE


def read(xml: bytes, asked: Sequence[int]) -> dict[str, Host[Seen]]:
    """What nmap's XML says, by address; of XML that is cut short, the hosts that are complete."""
    return _Reader(asked).read(xml)
