"""Scan 500 systems that answer after 30 ms with one worker and with two, and compare with a local scan.

    python bench/workers.py [--systems 500] [--delay 0.03] [--at-once 1] [--limit 60]

The targets are little web servers on 125 addresses of 125 networks, each looked at one by one and at no more
than 4 connections a second; what is measured is from the first connection to the last. A
worker carries out one order at a time here, so that it waits for answers and not for a processor. Exit
status 1 when two take more than `--limit` per cent of the time of one, or when results differ.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests import counting
from tests.tools import free_port, running, tool, wait_for

SECRET = {**os.environ, "SECRET": "correct horse battery"}


def seccheck(*words: object, cwd: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "seccheck", *map(str, words)], cwd=cwd, env=SECRET, stdout=out, stderr=out
        )


def results(run: Path) -> list[dict[str, Any]]:
    systems: list[dict[str, Any]] = json.loads((run / "results.json").read_text())["systems"]
    for one in systems:
        for finding in one["findings"]:
            del finding["observations"]  # digests of when it was looked at
    return systems


def scan(place: Path, name: str, fleets: list[counting.Counted], *words: object) -> float:
    """Seconds from the first connection to the last."""
    seen: list[float] = []
    for fleet in fleets:
        fleet.told = lambda: seen.append(time.monotonic())
    command = ("scan", "-r", "registry.yaml", "-c", "set.yaml", "--format", "", "--out", name, *words)
    if seccheck(*command, cwd=place, log=place / f"{name}.log").wait():
        raise SystemExit((place / f"{name}.log").read_text())
    return max(seen) - min(seen)


def register(place: Path, fleets: list[counting.Counted]) -> None:
    """A registry of all their servers, each limited."""
    ports = [port for fleet in fleets for port in fleet.ports]
    where = {str(port): number for number, fleet in enumerate(fleets) for port in fleet.ports}
    file = counting.write_registry(place, ports, "  limits: {connections_per_second: 4}\n")
    text = file.read_text()
    for port in ports:
        text = text.replace(f"127.0.0.1:{port}/", f"127.77.{where[str(port)]}.1:{port}/")
    file.write_text(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--systems", type=int, default=500)
    parser.add_argument("--delay", type=float, default=0.03)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--limit", type=float, default=60)
    chosen = parser.parse_args()
    port = free_port()
    broker = ("--broker", f"redis://127.0.0.1:{port}/0")
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        fleets = [
            stack.enter_context(
                counting.fleet(chosen.systems // 125, delay=chosen.delay, address=f"127.77.{number}.1")
            )
            for number in range(125)
        ]
        register(place, fleets)
        (place / "networks.yaml").write_text("seccheck: networks/1\nnetworks: [127.0.0.0/8]\n")
        stack.enter_context(
            running(tool("redis-server"), "--port", port, "--save", "", "--dir", place, ports=(port,))
        )
        keygen = ("bundle", "keygen", "centre", "--unit", "centre", "--passphrase", "env:SECRET")
        assert not seccheck(*keygen, cwd=place, log=place / "keygen.log").wait()
        away = ("--executor", "celery", *broker, "--key", "centre.key", "--passphrase", "env:SECRET")
        taken, workers = {}, []
        scan(place, "local", fleets)
        try:
            for count in (1, 2):
                log = place / f"worker{count}.log"
                own = (
                    "--trust",
                    "centre.pub.yaml",
                    "--networks",
                    "networks.yaml",
                    "--at-once",
                    chosen.at_once,
                )
                workers.append(seccheck("worker", "--zone", "internet", *broker, *own, cwd=place, log=log))
                wait_for(lambda log=log: "connected" in log.read_text(), 60, "the worker")
                taken[count] = scan(place, f"by{count}", fleets, *away)
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait()
        same = results(place / "by1") == results(place / "by2") == results(place / "local")
    share = 100 * taken[2] / taken[1]
    print(f"{chosen.systems} systems, {chosen.delay * 1000:.0f} ms to answer")
    print(f"one worker {taken[1]:.1f} s, two {taken[2]:.1f} s")
    print(
        f"two take {share:.0f} % of one (limit {chosen.limit:.0f} %); results {'equal' if same else 'DIFFER'}"
    )
    return int(share > chosen.limit or not same)


if __name__ == "__main__":
    sys.exit(main())
