"""Runs of nmap, through python-nmap: many addresses in one run, and what a run leaves unanswered asked again.

python-nmap hides what matters most (an address that timed out, ports that were only counted, a run that
died), so its raw XML is read. Only addresses that were parsed and permitted reach the command line, since
python-nmap splits its `hosts` like a shell: a host name there could be an option.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar
from xml.parsers import expat

from seccheck.model import Reason
from seccheck.permission import Limits, parse_address
from seccheck.probes import ProbeFailed
from seccheck.scope import Context

BATCH = 256
"""Addresses of one run."""
RUNS = 4
"""Runs at once, so that one slow address holds only those of its own batch."""
SLACK = 60.0
MAX_XML = 64 << 20
"""More than nmap writes of a batch with every port listed."""

T = TypeVar("T")


class Host(NamedTuple, Generic[T]):
    """What a run says of one address."""

    timed_out: bool
    ports: dict[int, T]


class _Wanted(NamedTuple):
    """An address that waits for a run."""

    address: str
    context: Context
    future: Future[Any]


@dataclass(frozen=True)
class Purpose(Generic[T]):
    """What nmap is run for."""

    options: Callable[[Sequence[str], int, Limits], tuple[str, int]]
    """The options for these addresses and so many ports, and the deadline of one address in seconds."""
    read: Callable[[bytes, Sequence[int]], dict[str, Host[T]]]
    """What the XML says, by address."""
    gather: float
    """Seconds in which looks that can share a run are gathered."""
    connections: int
    """How many connections count for each port; 0 where the caller has counted them."""


class Nmap(Generic[T]):
    """Gathers looks into runs of nmap; a thread gathers, a few others wait for the runs."""

    def __init__(self, path: str, purpose: Purpose[T]) -> None:
        import nmap

        self._path = path
        self._purpose = purpose
        self.name = "nmap " + ".".join(map(str, nmap.PortScanner((path,)).nmap_version()))
        self._queue: queue.SimpleQueue[tuple[tuple[int, ...], Limits, _Wanted] | None] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(RUNS, "nmap")
        self._thread = threading.Thread(target=self._gather, name="nmap-gather", daemon=True)
        self._thread.start()

    def look(self, address: str, ports: tuple[int, ...], context: Context) -> Future[dict[int, T]]:
        """What a run sees at `ports`; the future may bear a `ProbeFailed`."""
        future: Future[dict[int, T]] = Future()
        self._queue.put((ports, context.permit(address).limits, _Wanted(address, context, future)))
        return future

    def close(self) -> None:
        """Begin no more runs; those under way end by their own deadline."""
        self._queue.put(None)
        self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _gather(self) -> None:
        while first := self._queue.get():
            time.sleep(self._purpose.gather)
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
            xml = self._scan([wanted.address for wanted in allowed], ports, limits)
            found = self._purpose.read(xml, ports)
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

    def _permitted(self, wanted: _Wanted, ports: int) -> bool:
        try:
            wanted.context.permit(wanted.address)
        except ProbeFailed as failure:
            wanted.future.set_exception(failure)
            return False
        wanted.context.connections += ports * self._purpose.connections
        return True

    def _scan(self, addresses: Sequence[str], ports: tuple[int, ...], limits: Limits) -> bytes:
        """The raw XML of one run, whole or cut short."""
        import nmap

        scanner = nmap.PortScanner((self._path,))
        hosts = " ".join(str(parse_address(address)) for address in addresses)
        options, seconds = self._purpose.options(addresses, len(ports), limits)
        try:
            scanner.scan(hosts, port_list(ports), options, timeout=seconds + SLACK)
        except nmap.PortScannerTimeout:
            raise ProbeFailed(Reason.TIMEOUT, "nmap did not end in time") from None
        except (nmap.PortScannerError, AttributeError):
            pass  # XML that was cut short: `read` tells what is missing
        output = scanner.get_nmap_last_output()
        xml = output.encode() if isinstance(output, str) else bytes(output or b"")
        if len(xml) > MAX_XML:
            raise ProbeFailed(Reason.CRASHED, f"nmap wrote more than {MAX_XML} bytes")
        return xml


def port_list(ports: Sequence[int]) -> str:
    """The ports as nmap writes them, runs joined: `1-3,7`."""
    parts: list[list[int]] = []
    for port in sorted(ports):
        if parts and port == parts[-1][1] + 1:
            parts[-1][1] = port
        else:
            parts.append([port, port])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


class Reader(Generic[T]):
    """Reads nmap's XML as it comes; a host counts once its element is complete."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host[T]] = {}
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self.text
        self.parser.EntityDeclHandler = self._refuse
        self._begin()

    def _begin(self) -> None:
        self.address, self.timed_out = "", False
        self.port = 0
        self.begin()

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
            case _:
                self.take(tag, given)

    def _end(self, tag: str) -> None:
        if tag == "port":
            self.port = 0
        elif tag == "host" and self.address:
            self.hosts[self.address] = Host(self.timed_out, self.ports())

    def begin(self) -> None:
        """Forget the host before."""
        raise NotImplementedError

    def take(self, tag: str, given: dict[str, str]) -> None:
        """Take note of one element; `port` is the one it is in, or 0."""
        raise NotImplementedError

    def text(self, said: str) -> None:
        """Take note of text between elements."""

    def ports(self) -> dict[int, T]:
        """What was said of the host's ports."""
        raise NotImplementedError

    def read(self, xml: bytes) -> dict[str, Host[T]]:
        """What the XML says, by address; of XML that is cut short, the hosts that are complete."""
        with contextlib.suppress(expat.ExpatError):
            self.parser.Parse(xml, True)
        return self.hosts
