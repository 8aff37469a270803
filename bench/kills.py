"""Kill a scan of 124 systems at random moments, resume it, and compare with a scan that was left alone.

    python bench/kills.py [--kills 200] [--seed 8]

Exit status 1 when a finished observation was lost or looked at twice, or when results differ.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from seccheck.demo import Fleet

SET = ("-c", "project06-2024", "--profile", "technical", "--lang", "en")


def seccheck(*words: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "seccheck", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def observed(run: Path) -> dict[str, bytes]:
    """The whole lines of the journal by job; complains of a job that was observed twice."""
    path = run / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)[1:] if path.exists() else []
    whole = [line for line in lines if line.endswith(b"\n")]
    found = {json.loads(line)["observation"]["job"]: line for line in whole}
    if len(found) != len(whole):
        raise SystemExit(f"{len(whole) - len(found)} jobs were observed twice")
    return found


def verdicts(run: Path) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Every verdict with its reason, by system, criterion and target."""
    systems = json.loads((run / "results.json").read_text())["systems"]
    return {
        (system["id"], one["criterion"], one["target"]): (one["verdict"], one["reason"], one["counted"])
        for system in systems
        for one in system["findings"]
    }


def stage(run: Path) -> str:
    """How far a run has come."""
    if not (run / "inputs/run.json").exists():
        return "inputs"
    if not (run / "plan.json").exists():
        return "plan"
    if not (run / "results.json").exists():
        jobs = len(json.loads((run / "plan.json").read_text())["jobs"])
        return "looking" if len(observed(run)) < jobs else "judging"
    return "reports"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=8)
    chosen = parser.parse_args()
    chance = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory() as folder, Fleet(Path(folder) / "fleet") as fleet:
        place = Path(folder)
        scan = ("scan", "-r", fleet.registry, *SET, "--out")
        began = time.monotonic()
        if seccheck(*scan, place / "whole").wait():
            raise SystemExit("the scan that was left alone did not end well")
        whole = time.monotonic() - began
        expected = verdicts(place / "whole")
        print(f"left alone: {whole:.1f} s, {len(observed(place / 'whole'))} looks, {len(expected)} findings")
        kills, runs, lost, stages = 0, 0, 0, Counter[str]()
        different: Counter[str] = Counter()
        while kills < chosen.kills:
            run = place / "run"
            words, before = (*scan, run), {}
            while True:
                process = seccheck(*words)
                try:
                    process.wait(chance.uniform(0.0, whole / 4))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    kills += 1
                    stages[stage(run)] += 1
                after = observed(run)
                lost += len(before.items() - after.items())
                before = after
                if process.returncode == 0:
                    break
                if process.returncode > 0:
                    raise SystemExit(f"exit status {process.returncode} after {kills} kills")
                if (run / "inputs/run.json").exists():
                    words = ("scan", "--resume", run, "--lang", "en")
                else:
                    shutil.rmtree(run, ignore_errors=True)
            runs += 1
            found = verdicts(run)
            for key in expected.keys() | found.keys():
                if expected.get(key) != found.get(key):
                    different[f"{key}: {expected.get(key)} -> {found.get(key)}"] += 1
            shutil.rmtree(run)
        print(f"{kills} kills in {runs} runs, at: {dict(stages)}")
        print(f"finished observations lost or looked at twice: {lost}")
        print(f"findings that differ: {sum(different.values())} of {runs * len(expected)}")
        for line, count in different.most_common(20):
            print(f"  {count} x {line}")
        return int(bool(lost or different))


if __name__ == "__main__":
    sys.exit(main())
