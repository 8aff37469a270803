# ruff: noqa: E501 (server configurations and truths stand as they are written)
"""Accuracy: a fleet of real and hostile servers, scanned through the command line, against a written truth.

    python bench/accuracy.py [--part NAME]... [--runs 1] [--load] [--keep DIR]

Every verdict is compared. Exit status 1: a wrong pass, a wrong fail, or more than a twentieth of what can be
decided is left undecided. With `--runs 3` the verdicts of the runs are compared as well; `--load` keeps two
loops busy meanwhile. Servers that are not installed are left out, and named.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from bench.fleet.pki import Authority
from bench.fleet.truth import Tally
from bench.fleet.yard import Yard, everywhere

PARTS = (
    "tls_openssl",
    "tls_stacks",
    "tls_java",
    "web",
    "services",
    "ssh",
    "exposure",
    "bans",
    "ipv6",
    "names",
)


def build(folder: Path, stack: contextlib.ExitStack, parts: list[str]) -> Yard:
    """Start the servers of `parts`, and write the registry."""
    yard = Yard(folder, stack, Authority(folder, "Good"), Authority(folder, "Bad"))
    for part in parts:
        begun = time.monotonic()
        importlib.import_module(f"bench.fleet.{part}").cases(yard)
        print(f"{part}: {time.monotonic() - begun:.1f} s", file=sys.stderr)
    usual = everywhere()
    for case in yard.cases:
        case.approve(usual)
    head = {
        "seccheck": "registry/1",
        "name": {"en": "Fleet", "vi": "Đội"},
        "units": [
            {"id": "u", "kind": "other", "name": {"en": "U", "vi": "U"}},
            {"id": "m", "kind": "ministry", "name": {"en": "M", "vi": "M"}},
        ],
        "trust": [yard.good.root_file.name],
        "systems": [case.written() for case in yard.cases],
    }
    yard.file("registry.yaml", yaml.safe_dump(head | yard.head, allow_unicode=True, sort_keys=False))
    return yard


def scan(yard: Yard, out: Path) -> dict[str, Any]:
    """One scan by the command line: its results by system."""
    command = [sys.executable, "-m", "seccheck", "scan", "-r", str(yard.folder / "registry.yaml")]
    command += ["-c", "project06-2024", "--profile", "technical", "--out", str(out), "--format", "json"]
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"scan ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    print(f"scan: {len(yard.cases)} systems in {time.monotonic() - begun:.1f} s", file=sys.stderr)
    document = json.loads((out / "results.json").read_text())
    return {one["id"]: one for one in document["systems"]}


def compared(yard: Yard, results: dict[str, Any]) -> Tally:
    """Every verdict beside its truth."""
    tally = Tally()
    for case in yard.cases:
        tally.compare(case, results[case.id])
    return tally


def unsteady(runs: list[dict[str, Any]]) -> list[str]:
    """Verdicts that are not the same in every run."""
    lines = []
    for system in sorted(runs[0]):
        told: dict[tuple[str, str | None], list[str]] = {}
        for run in runs:
            for one in run[system]["findings"]:
                told.setdefault((one["criterion"], one["target"]), []).append(one["verdict"])
        lines += [
            f"{system} {place}: {', '.join(said)}" for place, said in told.items() if len(set(said)) > 1
        ]
    return lines


def rejudged(run: Path, folder: Path) -> bool:
    """Whether judging the stored run again gives the same bytes but for the head of the run."""
    command = [sys.executable, "-m", "seccheck", "rejudge", str(run), "--out", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    first, second = (json.loads((place / "results.json").read_text()) for place in (run, folder))
    for document in (first, second):
        for name in ("id", "started", "finished", "command"):
            document["scan"].pop(name, None)
    return bool(first == second)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part of the fleet")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--load", action="store_true", help="keep two loops busy while scanning")
    parser.add_argument("--keep", type=Path, help="keep the runs in this folder")
    wanted = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="seccheck-accuracy-")))
        folder.chmod(0o755)
        out = wanted.keep or folder
        yard = build(folder, stack, wanted.part or list(PARTS))
        if wanted.load:
            for _ in range(2):
                loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
                stack.callback(loop.wait)
                stack.callback(loop.kill)
        runs = [scan(yard, out / f"run{number}") for number in range(wanted.runs)]
        tallies = [compared(yard, run) for run in runs]
        same = rejudged(out / "run0", folder / "again")
        shaky = unsteady(runs)
    worst = 0
    for tally in tallies:
        print("\n".join(sorted(tally.lines)))
        counts = tally.counts
        print(
            f"{len(yard.cases)} systems, {sum(len(case.targets) for case in yard.cases)} targets; {dict(counts)}"
        )
        wrong = counts["wrong pass"] + counts["wrong fail"] + counts["missing"] + counts["out of place"]
        if wrong or 20 * counts["undecided"] > counts["decidable"]:
            worst = 1
    if wanted.runs > 1:
        print(f"not the same in every run: {len(shaky)}", *shaky, sep="\n  ")
    print(f"rejudge: {'the same' if same else 'DIFFERENT'}")
    return 1 if worst or not same else 0


if __name__ == "__main__":
    sys.exit(main())
