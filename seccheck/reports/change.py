"""What changed since earlier runs: by system, and the figure over time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from seccheck.model import Status
from seccheck.reports.overview import Overview, Row
from seccheck.reports.run import RunFolder


@dataclass(frozen=True)
class Change:
    """What changed since an earlier run."""

    scan_id: str
    finished: str
    meets: int
    reported: int
    improved: list[Row]
    regressed: list[Row]
    new: list[Row]
    gone: list[str]
    same_criteria: bool


class Point(NamedTuple):
    """One run of the trend."""

    scan_id: str
    finished: str
    meets: int
    reported: int


def change_of(overview: Overview) -> Change | None:
    """What changed since the last of the earlier runs, or None when none was named."""
    if not overview.options.previous:
        return None
    earlier = RunFolder(overview.options.previous[-1])
    before = _statuses(earlier, overview.options.unit)
    improved, regressed, new = [], [], []
    for row in overview.rows:
        status = before.get(row.id)
        if status is None:
            new.append(row)
        elif row.status is Status.MEETS and status != Status.MEETS:
            improved.append(row)
        elif row.status is not Status.MEETS and status == Status.MEETS:
            regressed.append(row)
    return Change(
        scan_id=earlier.scan.id,
        finished=earlier.scan.finished,
        meets=sum(status == Status.MEETS for status in before.values()),
        reported=len(before),
        improved=improved,
        regressed=regressed,
        new=new,
        gone=sorted(before.keys() - overview.rows_by_id.keys()),
        same_criteria=earlier.scan.criteria.digest == overview.scan.criteria.digest,
    )


def trend_of(overview: Overview) -> list[Point]:
    """The figure of every earlier run and of this one, oldest first."""
    points = [_point(path, overview.options.unit) for path in overview.options.previous]
    counts = overview.counts
    points.append(Point(overview.scan.id, overview.scan.finished, counts.meets, counts.reported))
    return sorted(points, key=lambda point: point.finished)


def _point(path: Path, unit: str) -> Point:
    run = RunFolder(path)
    if not unit:
        systems = run.tally["systems"]
        return Point(run.scan.id, run.scan.finished, systems["meets"], systems["reported"])
    statuses = list(_statuses(run, unit).values())
    return Point(run.scan.id, run.scan.finished, statuses.count(Status.MEETS), len(statuses))


def _statuses(run: RunFolder, unit: str) -> dict[str, str]:
    return {head.id: head.status for _, _, head in run.heads() if not unit or head.unit == unit}
