"""What a command costs: time, processor time, and the most memory that it and its children hold together."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Cost:
    """Seconds, processor seconds, and MB at the worst moment.

    `pss` counts a page that processes share once (their proportional set sizes), `rss` in each of them.
    """

    seconds: float
    cpu: float
    pss: float
    rss: float


def watched(command: Sequence[object], out: Path | None = None) -> Cost:
    """What `command` costs, sampled every 50 ms; what it says goes to the file `out`. Linux only.

    Ends the program when `command` fails.
    """
    started, before, pss, rss = time.monotonic(), os.times(), 0.0, 0.0
    with (out or Path(os.devnull)).open("wb") as file:
        process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=file)
        while process.poll() is None:
            held = [_held(one) for one in _family(process.pid)]
            pss = max(pss, sum(one[0] for one in held))
            rss = max(rss, sum(one[1] for one in held))
            time.sleep(0.05)
    if process.returncode:
        sys.exit(f"ended with {process.returncode}: {' '.join(map(str, command))}")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(time.monotonic() - started, cpu, pss, rss)


def _family(process: int) -> list[int]:
    """A process and what descends from it."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return [process]
    return [process, *(one for child in children for one in _family(int(child)))]


def _held(process: int) -> tuple[float, float]:
    """Proportional and resident set size in MB."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    sizes = {
        name: int(rest.split()[0]) / 1024 for name, _, rest in (line.partition(":") for line in lines[1:])
    }
    return sizes.get("Pss", 0.0), sizes.get("Rss", 0.0)
