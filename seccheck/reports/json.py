"""The results as JSON, in the format of `results.json`: byte for byte, or what one reader may see of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec

from seccheck.reports import Options, Report
from seccheck.reports.counts import Counts
from seccheck.reports.overview import Overview
from seccheck.reports.run import RunFolder
from seccheck.reports.tables import Tables


def write(run: RunFolder, out: Path, options: Options) -> None:
    """Write the results of `run` to the file `out`."""
    if not options.unit and not options.public:
        shutil.copyfile(run.path / "results.json", out)
        return
    tables = Tables(run, options)
    encode = msgspec.json.Encoder(order="sorted").encode
    scan = msgspec.to_builtins(run.scan)
    del scan["command"]  # it may name what others own
    with out.open("wb") as file:
        head = encode({"schema": "seccheck.results/1", "scan": scan})
        file.write(head[:-1] + b',"systems":[\n')
        for number, system in enumerate(tables.findings.systems()):
            file.write((b",\n" if number else b"") + encode(system))
        file.write(b'\n],"tally":' + encode(_tally(tables.overview)) + b"}\n")


def _tally(overview: Overview) -> dict[str, Any]:
    """The tally of what the reader may see, counted again from its systems."""
    return {
        "systems": _counts(overview.counts),
        "units": {
            part.kind: {
                "reported": part.reported,
                "total": part.total,
                "missing": [unit.id for unit in part.missing],
            }
            for part in overview.coverage()
        },
        "by_criterion": {
            criterion: {verdict.replace("-", "_"): number for verdict, number in counts.parts}
            for criterion, counts in sorted(overview.by_criterion.items())
            if counts.applicable or counts.of("not-applicable")
        },
        "by_unit": {unit: _counts(counts) for unit, counts in sorted(overview.by_unit.items())},
        "by_level": {str(level): _counts(counts) for level, counts in sorted(overview.by_level.items())},
    }


def _counts(counts: Counts) -> dict[str, int]:
    return {"reported": counts.reported, **vars(counts)}


REPORT = Report(id="json", extension="json", kind="file", write=write)
