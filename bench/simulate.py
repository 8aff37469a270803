"""How long 100,000 systems take over 40 zones: a simulation, the same at each run. Nothing is sent.

    python bench/simulate.py [--systems 100000] [--zones 40] [--workers 1] [--at-once 64]

An address is one unit of work: it is asked by one worker at a time and never faster than its limits (10
connections and 100 ports a second by default), which takes patience, and each connection takes some of a
processor. The processor times are assumptions, to be set to what was measured. A worker has `--at-once`
addresses in flight and one processor. How many connections an address gets is taken
from the plan of the synthetic registry. Zones are unequal, as ministries are: the largest has about ten
times the systems of the median.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.synthetic import resolve, write_registry  # noqa: E402
from seccheck.assessment import names_of, planner_for  # noqa: E402
from seccheck.criteria import load_criteria  # noqa: E402
from seccheck.plan import connections_by_address, make_plan  # noqa: E402
from seccheck.probes import load_probes  # noqa: E402
from seccheck.registry import load_registry  # noqa: E402

SAMPLE = 400
"""Systems that are planned; the others are drawn from them."""


@dataclass(frozen=True)
class Zone:
    """What became of one zone."""

    seconds: float
    """When it was done, or lost."""
    left: int
    """Addresses not looked at."""
    busy: float
    """Processor seconds of its workers."""


Work = tuple[float, float]
"""Seconds of patience, and of a processor, that an address takes."""


def planned(asked: argparse.Namespace) -> list[Work]:
    """The work at each address of a sample of systems."""
    with TemporaryDirectory() as place:
        path = Path(place) / "registry.yaml"
        write_registry(path, SAMPLE)
        registry = load_registry(path)
    criteria = load_criteria("project06-2026", load_probes())
    planner = planner_for(registry, criteria, "internet", datetime.now(UTC), resolve(names_of(registry)))
    counts = connections_by_address(make_plan(planner, registry.systems).jobs)
    return [_work(own, asked) for _, own in sorted(counts.items())]


def _work(connections: dict[str, int], asked: argparse.Namespace) -> Work:
    ports = connections.get("ports", 0)
    others = sum(connections.values()) - ports
    patience = ports / asked.ports_rate + others / asked.rate
    return patience, (ports * asked.port_ms + others * asked.cpu_ms) / 1000


def sizes(systems: int, zones: int, dice: random.Random) -> list[int]:
    """How many systems are in each zone, the largest first."""
    shares = sorted((dice.lognormvariate(0, 1) for _ in range(zones)), reverse=True)
    return [round(systems * one / sum(shares)) for one in shares]


def zone(work: list[Work], workers: int, asked: argparse.Namespace, lost: float = float("inf")) -> Zone:
    """Look at all addresses of a zone, which is cut off after `lost` seconds."""
    slots = [(0.0, number % workers) for number in range(workers * asked.at_once)]
    heapq.heapify(slots)
    processor = [0.0] * workers
    end, left, busy = 0.0, 0, 0.0
    for patience, cpu in work:
        free, worker = heapq.heappop(slots)
        processor[worker] = max(processor[worker], free) + cpu
        done = max(free + patience, processor[worker])
        heapq.heappush(slots, (done, worker))
        if done > lost:
            left += 1
        else:
            end, busy = max(end, done), busy + cpu
    return Zone(end, left, busy)


def main() -> None:
    """Simulate, and say what holds it up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--systems", type=int, default=100_000)
    parser.add_argument("--zones", type=int, default=40)
    parser.add_argument("--workers", type=int, default=1, help="in each zone")
    parser.add_argument("--at-once", type=int, default=64, help="addresses in flight in a worker")
    parser.add_argument("--rate", type=float, default=10, help="connections a second to an address")
    parser.add_argument("--cpu-ms", type=float, default=10, help="processor time of a connection")
    parser.add_argument("--ports-rate", type=float, default=100, help="ports a second of an address")
    parser.add_argument("--port-ms", type=float, default=0.2, help="processor time of a port")
    asked = parser.parse_args()
    dice = random.Random(9)
    sample = planned(asked)
    per_system = len(sample) / SAMPLE
    works = [
        dice.choices(sample, k=max(1, round(size * per_system)))
        for size in sizes(asked.systems, asked.zones, dice)
    ]
    addresses = sum(map(len, works))
    patience, cpu = (sum(one[kind] for work in works for one in work) / addresses for kind in (0, 1))
    print(f"{addresses} addresses; the mean one takes {patience:.0f} s, and {cpu:.1f} s of a processor")
    for label, shares in (
        (f"{asked.workers} worker(s) in each zone", [asked.workers] * len(works)),
        ("as many again, by size of the zone", _by_size(works, 2 * asked.workers * len(works))),
    ):
        done = [zone(work, workers, asked) for work, workers in zip(works, shares, strict=True)]
        hours = sorted(one.seconds / 3600 for one in done)
        last = max(done, key=lambda one: one.seconds)
        number = done.index(last)
        load = last.busy / (last.seconds * shares[number])
        print(
            f"{label}: done after {hours[-1]:.1f} h; half of the zones after {hours[len(hours) // 2]:.1f} h;"
            f"\n  the last zone has {len(works[number])} addresses, its processors are {load:.0%} busy"
        )
    whole = zone(works[0], asked.workers, asked)
    cut = zone(works[0], asked.workers, asked, lost=whole.seconds / 2)
    again = zone(works[0][-cut.left :], asked.workers, asked)
    print(
        f"the largest zone is lost half way: {cut.left} of its {len(works[0])} addresses"
        f" ({cut.left / addresses:.1%} of all)\n  are not-probed; the others lose nothing; its resumption"
        f" takes {again.seconds / 3600:.1f} h"
    )


def _by_size(works: list[list[Work]], workers: int) -> list[int]:
    """At least one worker for each zone, the others by what there is to do."""
    every = sum(map(len, works))
    return [max(1, round(workers * len(work) / every)) for work in works]


if __name__ == "__main__":
    main()
