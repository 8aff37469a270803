"""Ports: our engine and nmap over the same loopback addresses and ports, in one run, in turn.

    python bench/ports.py [--addresses 256] [--ports 1000] [--runs 3] [--limit 3.0]

Both look at every port of every address, and must see the same. The best time of each counts, since only
other load on the machine makes a run slower. Exit status 1: they differ, or ours takes more than `--limit`
times as long as nmap's.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable

from seccheck.permission import Permission, Scope
from seccheck.probes import Answer, Endpoint, Look
from seccheck.probes.ports import PROBE
from seccheck.probes.ports.facts import PortsParams
from seccheck.probes.ports.nmap import port_list, read
from seccheck.scope import UNLIMITED, Context

Seen = dict[str, tuple[int, ...]]
"""The open ports of each address."""


class Listed:
    """A finished list of looks."""

    def __init__(self, looks: Iterable[Look]) -> None:
        self._left = deque(looks)

    def take(self, wait: float) -> Look | None:  # noqa: ARG002  (the interface of `Looks`)
        return self._left.popleft() if self._left else None

    @property
    def closed(self) -> bool:
        return not self._left


def ours(addresses: list[str], ports: tuple[int, ...], engine: str) -> Seen:
    """What the probe sees with one of its engines."""
    os.environ["SECCHECK_PORTS_ENGINE"] = engine
    context = Context(Scope(permissions=(Permission(network="127.0.0.0/8", limits=UNLIMITED),)))
    params = PortsParams(tcp=ports)
    found: dict[str, Answer] = {}
    looks = Listed(Look(key=at, endpoint=Endpoint(address=at), params=params) for at in addresses)
    PROBE.collect_many(looks, lambda answer: found.update({answer.key: answer}), context)
    return {address: found[address].facts.open for address in addresses}


def plain_nmap(addresses: list[str], ports: tuple[int, ...]) -> Seen:
    """What nmap sees by itself, with its own defaults."""
    command = ["nmap", "-sT", "-n", "-Pn", "-oX", "-", "-p", port_list(ports), *addresses]
    xml = subprocess.run(command, check=True, capture_output=True).stdout
    hosts = read(xml, ports)
    return {address: tuple(sorted(hosts[address].ports)) for address in addresses}


def best(looks: dict[str, Callable[[], Seen]], runs: int) -> tuple[dict[str, float], dict[str, Seen]]:
    """The best time of each way to look, and what it saw last; the ways take turns."""
    times: dict[str, float] = {}
    seen: dict[str, Seen] = {}
    for _ in range(runs):
        for name, look in looks.items():
            started = time.perf_counter()
            seen[name] = look()
            taken = time.perf_counter() - started
            times[name] = min(taken, times.get(name, taken))
            print(f"  {name:24} {taken:7.2f} s", file=sys.stderr)
    return times, seen


def main() -> int:
    parser = argparse.ArgumentParser(description="Ports: our engine against nmap.")
    parser.add_argument("--addresses", type=int, default=256)
    parser.add_argument("--ports", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--limit", type=float, default=3.0)
    given = parser.parse_args()
    if shutil.which("nmap") is None:
        print("nmap is missing; install it with: apt-get install nmap", file=sys.stderr)
        return 2
    addresses = [f"127.77.{number // 250}.{1 + number % 250}" for number in range(given.addresses)]
    ports = tuple(range(20000, 20000 + given.ports))
    servers = [socket.create_server((address, ports[7])) for address in addresses[::8]]
    try:
        times, seen = best(
            {
                "built-in engine": lambda: ours(addresses, ports, "connect"),
                "nmap": lambda: plain_nmap(addresses, ports),
                "nmap through the probe": lambda: ours(addresses, ports, "nmap"),
            },
            given.runs,
        )
    finally:
        for server in servers:
            server.close()
    agree = all(one == seen["nmap"] for one in seen.values())
    ratio = times["built-in engine"] / times["nmap"]
    print(f"{given.addresses} addresses x {given.ports} ports, best of {given.runs}")
    for name, taken in times.items():
        print(f"{name:24} {taken:7.2f} s   {taken / times['nmap']:5.2f} x nmap")
    print(f"all see the same: {'yes' if agree else 'NO'}")
    print(f"built-in engine within {given.limit} x nmap: {'yes' if ratio <= given.limit else 'NO'}")
    return 0 if agree and ratio <= given.limit else 1


if __name__ == "__main__":
    sys.exit(main())
