"""Time and memory of judging and reading runs of 1,000 / 10,000 / 100,000 systems × 91 criteria.

    python bench/scale.py build DIR [--systems 1000,10000,100000]
    python bench/scale.py measure DIR [--systems …] [--steps registry,rejudge,csv,…]

`build` makes synthetic run folders below DIR with all observations in, and is not measured. `measure` runs
what a user would, each command as processes of its own. Exit status 1 when a bound is broken. Linux only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.synthetic import observation, resolve, write_registry  # noqa: E402
from bench.watched import Cost, watched  # noqa: E402
from seccheck.assessment import conclude, prepare  # noqa: E402
from seccheck.criteria import load_criteria  # noqa: E402
from seccheck.journal import Head, Line  # noqa: E402
from seccheck.parallel import batches, in_order, processors  # noqa: E402
from seccheck.plan import Job  # noqa: E402
from seccheck.probes import load_probes  # noqa: E402
from seccheck.registry import load_registry  # noqa: E402
from seccheck.runfolder import RunFolder  # noqa: E402

CRITERIA = "project06-2026"
JUDGING = ("registry", "rejudge", "csv")
"""The steps that are bounded together: the registry read, all judged, results.json and CSV written."""
BOUNDS = {10_000: (15.0, 200.0), 100_000: (180.0, 300.0)}
"""Seconds and MB of `JUDGING` by number of systems."""
EXPLAIN = {10_000: 0.5, 100_000: 1.0}
"""Seconds of `explain`."""
PREPARE = """
import sys
from pathlib import Path
from bench.scale import prepared
prepared(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def prepared(registry: Path, out: Path) -> RunFolder:
    """A run folder of the registry in a file, planned."""
    return prepare(out, load_registry(registry), load_criteria(CRITERIA, load_probes()), resolve)


def build(place: Path, systems: int) -> None:
    """Make `place`: registry.yaml, and the finished run of it."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    write_registry(place / "registry.yaml", systems)
    folder = prepared(place / "registry.yaml", place / "run")
    with (folder.path / "journal.jsonl").open("wb") as journal:
        journal.write(msgspec.json.encode(Head(plan=folder.plan_digest)) + b"\n")
        for lines in _journal(folder):
            journal.writelines(lines)
    conclude(folder)


def _journal(folder: RunFolder) -> Iterator[list[bytes]]:
    """The lines of the journal: all jobs observed, a part of them at a time."""
    jobs = iter(folder.plan.jobs)
    while part := list(islice(jobs, 20_000)):
        yield from in_order(_lines, batches(part, 200), processors())


def _lines(jobs: Sequence[Job]) -> list[bytes]:
    lines = [Line(digest=one.digest, observation=one) for one in map(observation, jobs)]
    return [msgspec.json.encode(one, order="sorted") + b"\n" for one in lines]


def steps(place: Path, systems: int) -> dict[str, tuple[object, ...]]:
    """The commands that are measured, in the order they are run, by name."""
    seccheck = (sys.executable, "-m", "seccheck")
    run, again = place / "run", place / "again"
    explained = ("explain", run, f"s{systems * 2 // 3:06}")
    return {
        "registry": (*seccheck, "registry", "check", place / "registry.yaml"),
        "prepare": (sys.executable, "-c", PREPARE, place / "registry.yaml", place / "prepared"),
        "rejudge": (*seccheck, "rejudge", run, "--out", again, "--format", "json"),
        "csv": (*seccheck, "report", again, "--format", "csv", "--out", place / "findings.csv"),
        "explain": (*seccheck, *explained, "TLS-03"),
        "list": (*seccheck, "list", run, "--criterion", "TLS-*", "--verdict", "fail"),
        "technical": (
            *seccheck,
            "rejudge",
            run,
            "--profile",
            "technical",
            "--out",
            place / "technical",
            "--format",
            "json",
        ),
        "diff": (*seccheck, "diff", run, place / "technical"),
        "history": (*seccheck, "history", place),
        "html": (*seccheck, "report", run, "--format", "html", "--out", place / "html"),
    }


def measure(place: Path, systems: int, wanted: Sequence[str]) -> Iterator[str]:
    """Print what each step costs; the bounds that are broken."""
    costs: dict[str, Cost] = {}
    for made in ("prepared", "again", "technical", "html"):
        shutil.rmtree(place / made, ignore_errors=True)
    for name, command in steps(place, systems).items():
        if name not in wanted:
            continue
        cost = costs[name] = watched(command, place / f"{name}.out")
        print(
            f"{name:10} {systems:8} {cost.seconds:8.1f} {cost.cpu:8.1f} {cost.pss:8.0f} {cost.rss:8.0f} "
            f"{1000 * cost.seconds / systems:10.2f}",
            flush=True,
        )
    if systems in BOUNDS and all(one in costs for one in JUDGING):
        seconds = sum(costs[one].seconds for one in JUDGING)
        megabytes = max(costs[one].pss for one in JUDGING)
        print(f"{'together':10} {systems:8} {seconds:8.1f} {'':8} {megabytes:8.0f}")
        if seconds > BOUNDS[systems][0] or megabytes > BOUNDS[systems][1]:
            yield f"{systems} systems: {seconds:.1f} s, {megabytes:.0f} MB; allowed {BOUNDS[systems]}"
    if "explain" in costs and costs["explain"].seconds > EXPLAIN.get(systems, 1e9):
        yield f"{systems} systems: explain took {costs['explain'].seconds:.2f} s"


def main() -> None:
    """Build or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("build", "measure"))
    parser.add_argument("place", type=Path)
    parser.add_argument("--systems", default="1000,10000,100000")
    parser.add_argument("--steps", default="registry,prepare,rejudge,csv,explain,list,technical,diff,history")
    asked = parser.parse_args()
    sizes = list(map(int, asked.systems.split(",")))
    if asked.what == "build":
        for systems in sizes:
            build(asked.place / str(systems), systems)
        return
    print(f"{processors()} processors, load {os.getloadavg()[0]:.1f}")
    print(f"{'step':10} {'systems':>8} {'seconds':>8} {'CPU s':>8} {'PSS MB':>8} {'RSS MB':>8} ms/system")
    broken = [
        line
        for systems in sizes
        for line in measure(asked.place / str(systems), systems, asked.steps.split(","))
    ]
    if broken:
        sys.exit("\n".join(broken))


if __name__ == "__main__":
    main()
