"""Kill workers, the broker and the coordinator of a scan at random moments; compare with one left alone.

    python bench/zone_kills.py [--kills 20] [--seed 9]

Exit status 1 when a finished observation was lost, or is there twice, or when results differ.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests import counting
from tests.tools import free_port, listens, tool, wait_for

SECRET = {**os.environ, "SECRET": "correct horse battery"}
SYSTEMS = 60


class Stage:
    """The processes of one scan."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.port = free_port()
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def seccheck(self, *words: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "seccheck", *map(str, words)]
        with (self.place / "log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.place, env=SECRET, stdout=log, stderr=log, start_new_session=True
            )

    def ensure(self, name: str) -> None:
        """Start what was killed."""
        process = self.running.get(name)
        if process is not None and process.poll() is None:
            return
        broker = ("--broker", f"redis://127.0.0.1:{self.port}/0")
        if name == "broker":
            command = [tool("redis-server"), "--port", str(self.port), "--save", "", "--dir", str(self.place)]
            self.running[name] = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            wait_for(lambda: listens(self.port))
        elif name.startswith("worker"):
            own = ("--trust", "centre.pub.yaml", "--networks", "networks.yaml")
            self.running[name] = self.seccheck("worker", "--zone", "internet", *broker, *own)
        else:
            there = (self.place / "run/inputs/run.json").exists()
            if not there:
                shutil.rmtree(self.place / "run", ignore_errors=True)
            what = ("--resume", "run") if there else ("-r", "registry.yaml", "-c", "set.yaml", "--out", "run")
            away = ("--executor", "celery", *broker, "--key", "centre.key", "--passphrase", "env:SECRET")
            self.running[name] = self.seccheck("scan", *what, "--format", "", *away)

    def kill(self, name: str) -> None:
        process = self.running[name]
        if process.poll() is None:
            if name == "broker":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def observed(run: Path) -> dict[str, bytes]:
    path = run / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)[1:] if path.exists() else []
    whole = [line for line in lines if line.endswith(b"\n")]
    found = {json.loads(line)["observation"]["job"]: line for line in whole}
    if len(found) != len(whole):
        raise SystemExit("an observation is there twice")
    return found


def results(run: Path) -> list[Any]:
    systems: list[Any] = json.loads((run / "results.json").read_text())["systems"]
    for one in systems:
        for finding in one["findings"]:
            del finding["observations"]
    return systems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=9)
    chosen = parser.parse_args()
    chance = random.Random(chosen.seed)
    names = ["broker", "worker1", "worker2", "coordinator"]
    killed: Counter[str] = Counter()
    lost = runs = asked = different = 0
    with tempfile.TemporaryDirectory() as folder, counting.fleet(SYSTEMS, delay=0.3) as fleet:
        place = Path(folder)
        counting.write_registry(place, fleet.ports, "  limits: {connections_per_second: 10}\n")
        (place / "networks.yaml").write_text("seccheck: networks/1\nnetworks: [127.0.0.0/8]\n")
        stage = Stage(place)
        stage.seccheck("bundle", "keygen", "centre", "--unit", "centre", "--passphrase", "env:SECRET").wait()
        words = ("scan", "-r", "registry.yaml", "-c", "set.yaml", "--format", "", "--out", "alone")
        stage.seccheck(*words).wait()
        expected = results(place / "alone")
        fleet.connections.clear()
        try:
            while sum(killed.values()) < chosen.kills:
                before: dict[str, bytes] = {}
                while True:
                    for name in names:
                        stage.ensure(name)
                    give_up = time.monotonic() + chance.uniform(4, 20)
                    while time.monotonic() < give_up and stage.running["coordinator"].poll() is None:
                        time.sleep(0.1)
                    after = observed(place / "run")
                    lost += len(before.items() - after.items())
                    before = after
                    if stage.running["coordinator"].poll() == 0 and len(after) == SYSTEMS:
                        break
                    victim = chance.choice(names)
                    stage.kill(victim)
                    killed[victim] += 1
                runs += 1
                different += results(place / "run") != expected
                asked += sum(fleet.connections.values())
                fleet.connections.clear()
                shutil.rmtree(place / "run")
        finally:
            for name in reversed(names):
                stage.kill(name)
    print(
        f"killed: {dict(killed)}, in {runs} runs of {SYSTEMS} looks; connections {asked} for {runs * SYSTEMS}"
    )
    print(f"most at once at the one address: {fleet.most}")
    print(f"finished observations lost: {lost}; runs whose results differ: {different}")
    return int(bool(lost or different))


if __name__ == "__main__":
    sys.exit(main())
