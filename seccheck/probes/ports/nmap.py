"""The other engine: nmap, through python-nmap, many addresses in one run.

python-nmap hides what matters most (an address that timed out, ports that were only counted, a run that
died), so its raw XML is read here. Only addresses that were parsed and permitted reach the command line,
since python-nmap splits its `hosts` like a shell: a host name there could be an option.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple
from xml.parsers import expat

from seccheck.model import Reason
from seccheck.permission import UNLIMITED, Limits, parse_address
from seccheck.probes import ProbeFailed
from seccheck.probes.ports.look import REFUSED, SILENT, SYN_ACK, UNREACHABLE, Seen
from seccheck.probes.ports.table import ranges
from seccheck.scope import Context

CHUNK = 16384
"""Ports of one run, between two looks at the declared services."""
GATHER = 0.05
"""Seconds in which looks that can share a run are gathered."""
BATCH = 256
"""Addresses of one run."""
RUNS = 4
"""Runs at once, so that one slow address holds only those of its own batch."""
SLACK = 60.0


class _Wanted(NamedTuple):
    """A first look that waits for a run."""

    address: str
    context: Context
    future: Future[dict[int, Seen]]


class Nmap:
    """Gathers looks into runs of nmap; a thread gathers, a few others wait for the runs."""

    def __init__(self, path: str) -> None:
        import nmap

        self._path = path
        self.name = "nmap " + ".".join(map(str, nmap.PortScanner((path,)).nmap_version()))
        self._queue: queue.SimpleQueue[tuple[tuple[int, ...], Limits, _Wanted] | None] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(RUNS, "nmap")
        self._thread = threading.Thread(target=self._gather, name="nmap-gather", daemon=True)
        self._thread.start()

    def look(self, address: str, ports: tuple[int, ...], context: Context) -> Future[dict[int, Seen]]:
        """What a first look at `ports` sees, those that are not closed."""
        future: Future[dict[int, Seen]] = Future()
        self._queue.put((ports, context.permit(address).limits, _Wanted(address, context, future)))
        return future

    def close(self) -> None:
        """Begin no more runs; those under way end by their own deadline."""
        self._queue.put(None)
        self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _gather(self) -> None:
        while first := self._queue.get():
            time.sleep(GATHER)
            groups: defaultdict[tuple[Any, ...], list[_Wanted]] = defaultdict(list)
            item: Any = first
            while item:
                ports, limits, wanted = item
                groups[ports, limits, ":" in wanted.address].append(wanted)
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            for (ports, limits, _), members in groups.items():
                for at in range(0, len(members), BATCH):
                    self._pool.submit(self._run, members[at : at + BATCH], ports, limits)
            if item is None:
                return

    def _run(self, batch: Sequence[_Wanted], ports: tuple[int, ...], limits: Limits) -> None:
        """One run for `batch`; what it leaves unanswered is split and asked again, down to single ones."""
        allowed = [wanted for wanted in batch if self._permitted(wanted, len(ports))]
        if not allowed:
            return
        try:
            found = read(self._scan([wanted.address for wanted in allowed], ports, limits), ports)
        except Exception as error:  # noqa: BLE001  (whatever python-nmap raises must reach the waiting looks)
            failed = (
                error if isinstance(error, ProbeFailed) else ProbeFailed(Reason.CRASHED, f"nmap: {error}")
            )
            for wanted in allowed:
                wanted.future.set_exception(failed)
            return
        lost = []
        for wanted in allowed:
            seen = found.get(wanted.address)
            if seen is None:
                lost.append(wanted)
            elif seen.timed_out:
                problem = ProbeFailed(Reason.TIMEOUT, "nmap gave the address up at its deadline")
                wanted.future.set_exception(problem)
            else:
                wanted.future.set_result(seen.ports)
        if len(batch) == 1 and lost:
            lost[0].future.set_exception(ProbeFailed(Reason.CRASHED, "nmap ended without a result"))
        elif lost:
            half = (len(lost) + 1) // 2
            self._run(lost[:half], ports, limits)
            self._run(lost[half:], ports, limits)

    @staticmethod
    def _permitted(wanted: _Wanted, ports: int) -> bool:
        try:
            wanted.context.permit(wanted.address)
        except ProbeFailed as failure:
            wanted.future.set_exception(failure)
            return False
        wanted.context.connections += ports
        return True

    def _scan(self, addresses: Sequence[str], ports: tuple[int, ...], limits: Limits) -> bytes:
        """The raw XML of one run, whole or cut short."""
        import nmap

        scanner = nmap.PortScanner((self._path,))
        hosts = " ".join(str(parse_address(address)) for address in addresses)
        seconds = host_seconds(len(ports), limits)
        options = arguments(addresses, limits, seconds)
        try:
            scanner.scan(hosts, port_list(ports), options, timeout=seconds + SLACK)
        except nmap.PortScannerTimeout:
            raise ProbeFailed(Reason.TIMEOUT, "nmap did not end in time") from None
        except (nmap.PortScannerError, AttributeError):
            pass  # XML that was cut short: `read` tells what is missing
        output = scanner.get_nmap_last_output()
        return output.encode() if isinstance(output, str) else bytes(output or b"")


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


def port_list(ports: Sequence[int]) -> str:
    """The ports as nmap writes them, runs joined: `1-3,7`."""
    parts: list[list[int]] = []
    for port in sorted(ports):
        if parts and port == parts[-1][1] + 1:
            parts[-1][1] = port
        else:
            parts.append([port, port])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


class Host(NamedTuple):
    """What a run says of one address."""

    timed_out: bool
    ports: dict[int, Seen]
    """The ports that are not closed; those that nmap does not account for are taken as silent, to be looked
    at again."""


class _Reader:
    """Reads nmap's XML as it comes; a host counts once its element is complete."""

    def __init__(self, asked: Sequence[int]) -> None:
        self.asked = asked
        self.hosts: dict[str, Host] = {}
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.EntityDeclHandler = self._refuse
        self._begin()

    def _begin(self) -> None:
        self.address, self.timed_out = "", False
        self.states: dict[int, Seen] = {}
        self.port = 0
        self.counted = ""
        self.rest: list[Seen] = []

    @staticmethod
    def _refuse(*_: object) -> None:
        raise ValueError("nmap's XML declares no entities")

    def _start(self, tag: str, given: dict[str, str]) -> None:
        match tag:
            case "host":
                self._begin()
                self.timed_out = given.get("timedout") == "true"
            case "address" if given.get("addrtype") in {"ipv4", "ipv6"}:
                self.address = str(parse_address(given["addr"]))
            case "port" if given.get("protocol") == "tcp":
                self.port = int(given["portid"])
            case "state" if self.port:
                self.states[self.port] = _seen(given["state"], given.get("reason", ""))
            case "extraports":
                self.counted = given["state"]
                self.rest.append(_seen(self.counted, ""))
            case "extrareasons" if given.get("ports") and given.get("proto", "tcp") == "tcp":
                seen = _seen(self.counted, given.get("reason", ""))
                self.states.update((port, seen) for port in ranges(given["ports"]))

    def _end(self, tag: str) -> None:
        if tag == "port":
            self.port = 0
        elif tag == "host" and self.address:
            # Older versions count these ports without naming them: clear only when all are of one state.
            rest = self.rest[0] if len(self.rest) == 1 else SILENT
            seen = {port: self.states.get(port, rest) for port in self.asked}
            ports = {port: look for port, look in seen.items() if look is not REFUSED}
            self.hosts[self.address] = Host(self.timed_out, ports)


def _seen(state: str, reason: str) -> Seen:
    if state in {"open", "closed"}:
        return SYN_ACK if state == "open" else REFUSED
    return SILENT if reason in {"", "no-response"} else UNREACHABLE


def read(xml: bytes, asked: Sequence[int]) -> dict[str, Host]:
    """What nmap's XML says, by address; of XML that is cut short, the hosts that are complete."""
    reader = _Reader(asked)
    with contextlib.suppress(expat.ExpatError):
        reader.parser.Parse(xml, True)
    return reader.hosts
