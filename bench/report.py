"""Time, memory and size of reports at 124, 1,000 and 10,000 systems × 90 criteria, and that growth is linear.

    python bench/report.py [--systems 124,1000,10000] [--formats html,csv,xlsx] [--dense] [--keep DIR]

Each report is written by a fresh process; memory is the sum of the proportional set sizes (PSS, pages shared
between processes counted once) of it and its children, sampled every 50 ms: Linux only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.watched import watched  # noqa: E402
from tests.reports.sample import Sample, write_run  # noqa: E402

WRITE = """
import sys
from pathlib import Path
from seccheck.reports import Options, load_reports
from seccheck.reports.run import RunFolder
load_reports()[sys.argv[1]].write(RunFolder(Path(sys.argv[2])), Path(sys.argv[3]), Options(language="vi"))
"""
BOUNDS = {"html": (25.0, 200)}
"""Seconds and MB at 10,000 systems (issue: scale of the report)."""


def main() -> None:
    """Measure, print a table, and fail when a bound is broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--systems", default="124,1000,10000")
    parser.add_argument("--formats", default="html,html-single,csv,xlsx")
    parser.add_argument("--dense", action="store_true", help="every other finding is not a pass")
    parser.add_argument("--keep", type=Path)
    wanted = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    print(
        f"{'format':12} {'systems':>8} {'seconds':>8} {'CPU s':>7} {'MB':>5} {'size MB':>8} {'ms/system':>10}"
    )
    broken = []
    with tempfile.TemporaryDirectory() as scratch:
        place = wanted.keep or Path(scratch)
        for systems in map(int, wanted.systems.split(",")):
            run = place / f"run-{systems}"
            shutil.rmtree(run, ignore_errors=True)
            write_run(run, Sample(systems=systems, criteria=90, dense=wanted.dense))
            for name in wanted.formats.split(","):
                out = place / f"{name}-{systems}"
                cost = watched([sys.executable, "-c", WRITE, name, run, out])
                seconds, megabytes = cost.seconds, cost.pss
                print(
                    f"{name:12} {systems:8} {seconds:8.1f} {cost.cpu:7.1f} {megabytes:5.0f} {size(out):8.1f} "
                    f"{1000 * seconds / systems:10.2f}",
                    flush=True,
                )
                if name == "html":
                    first, unit = biggest(out)
                    print(f"{'':21} first page {first / 1e6:.2f} MB, largest unit page {unit / 1e6:.2f} MB")
                most = BOUNDS.get(name)
                if most and systems == 10_000 and (seconds > most[0] or megabytes > most[1]):
                    broken.append(
                        f"{name}: {seconds:.1f} s, {megabytes:.0f} MB; allowed {most[0]} s, {most[1]} MB"
                    )
    if broken:
        sys.exit("\n".join(broken))


def size(out: Path) -> float:
    """MB on disk."""
    files = [out] if out.is_file() else [path for path in out.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files) / 1e6


def biggest(out: Path) -> tuple[int, int]:
    """Size of the first page and of the largest unit page."""
    return (out / "index.html").stat().st_size, max(path.stat().st_size for path in (out / "unit").iterdir())


if __name__ == "__main__":
    main()
