"""Verbs that compare and decide: gate, diff, history."""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seccheck.cli.progress import say, shown

if TYPE_CHECKING:
    from seccheck.gate import Case, Outcome, Threshold
    from seccheck.runfolder import RunFolder

_EFFECTS = {"block": "BLOCK", "open": "OPEN ", "warn": "warn "}


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    app.command()(gate)
    app.command()(diff)
    app.command()(history)


def gate(
    run: Annotated[
        Path | None, typer.Argument(help="A run folder; or the word `explain` for the truth table.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Scan this URL and decide; may be repeated.")
    ] = None,
    level: Annotated[
        int, typer.Option("--as-level", min=1, max=5, help="The level to judge a --target by.")
    ] = 3,
    criteria: Annotated[
        str, typer.Option("--criteria", "-c", help="The set to judge a --target by.")
    ] = "project06-2026",
    select: Annotated[str, typer.Option(help="Only these criteria (globs).")] = "",
    trust: Annotated[
        list[Path] | None, typer.Option(help="A PEM file with a root to trust; may be repeated.")
    ] = None,
    wait: Annotated[
        str, typer.Option(help="Wait up to this long for a --target to start, such as 60s.")
    ] = "",
    reference: Annotated[
        str, typer.Option("--i-am-authorised", help="Who allowed scanning a public --target.")
    ] = "",
    threshold: Annotated[Path | None, typer.Option(help="A threshold file (gate/1).")] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="An earlier run: only what is new or regressed blocks.")
    ] = None,
    waivers: Annotated[Path | None, typer.Option(help="A waiver file (waivers/1).")] = None,
    formats: Annotated[str, typer.Option("--format", help="Also write these reports, comma-separated.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Where the run and its reports go; default: nowhere.")
    ] = None,
    language: Annotated[str, typer.Option("--lang", help="vi or en.")] = "en",
) -> None:
    """Decide whether a pipeline may go on: exit 0 met, 1 failed, 2 could not run, 3 not concluded."""
    from seccheck.errors import InputError
    from seccheck.runfolder import RunFolder

    if run == Path("explain"):
        _explain()
        return
    if bool(run) == bool(target):
        raise InputError.at(
            "gate", "expected either a run folder or --target URL", hint="seccheck gate --help"
        )
    with _place(out) as place:
        if target:
            folder = _scan_targets(
                target, level, criteria, select, trust or [], _seconds(wait), reference, waivers, place
            )
        elif run:
            folder = RunFolder.open(run)
            if waivers:
                folder = _judged_again(folder, place, waivers)
        outcome = _decide(folder, threshold, baseline)
        _tell(outcome)
        if formats:
            _write(folder, formats, out, language)
    raise typer.Exit(outcome.status)


@contextmanager
def _place(out: Path | None) -> Iterator[Path]:
    if out:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="seccheck-gate-") as place:
        yield Path(place) / "run"


def _seconds(text: str) -> float:
    from seccheck.errors import InputError

    if not text:
        return 0.0
    number, unit = text.rstrip("sm"), text[-1:]
    if not number.isdigit() or unit not in {"s", "m", *"0123456789"}:
        raise InputError.at("--wait", f"expected a time such as 60s or 2m, found {text!r}")
    return int(number) * (60 if unit == "m" else 1)


def _scan_targets(
    targets: list[str],
    level: int,
    criteria: str,
    select: str,
    trust: list[Path],
    wait: float,
    reference: str,
    waivers: Path | None,
    place: Path,
) -> RunFolder:
    from seccheck.adhoc import registry_for
    from seccheck.assessment import collect, conclude, prepare
    from seccheck.criteria import load_criteria
    from seccheck.executors.local import LocalExecutor
    from seccheck.probes import load_probes
    from seccheck.registry import scope_of
    from seccheck.resolve import resolve
    from seccheck.waivers import load_waivers

    chosen = load_criteria(criteria, load_probes(), profile="technical", select=select)
    if waivers:
        load_waivers(waivers)
    registry, names = registry_for(targets, level, trust, reference)
    for one in registry.systems[0].targets:
        address = one.literal_address or next(iter(names[one.host].addresses), "")
        _await(address, one.port, wait)
    scope = scope_of(registry)
    folder = prepare(
        place,
        registry,
        chosen,
        lambda wanted: {name: names[name] for name in wanted} if names else resolve(wanted, scope),
        select=select,
        waivers=waivers,
        command=shlex.join(["seccheck", *sys.argv[1:]]),
    )
    with shown(len(folder.plan.jobs)) as progress:
        collect(folder, LocalExecutor(load_probes()), progress)
    conclude(folder)
    return folder


def _await(address: str, port: int, wait: float) -> None:
    """Wait until something listens; whether it does in the end is the scan's to say."""
    import socket

    give_up = time.monotonic() + wait
    while address and time.monotonic() < give_up:
        try:
            socket.create_connection((address, port), timeout=2).close()
        except OSError:
            time.sleep(0.5)
        else:
            return


def _judged_again(folder: RunFolder, place: Path, waivers: Path) -> RunFolder:
    from seccheck.assessment import conclude, rejudge
    from seccheck.waivers import load_waivers

    load_waivers(waivers)
    again = rejudge(folder, place, None, waivers, shlex.join(["seccheck", *sys.argv[1:]]))
    conclude(again)
    return again


def _decide(folder: RunFolder, threshold: Path | None, baseline: Path | None) -> Outcome:
    from seccheck.gate import Threshold, check_baseline, decide, load_threshold
    from seccheck.runfolder import RunFolder

    chosen: Threshold = Threshold()
    if threshold:
        chosen = load_threshold(threshold, [one.id for one in folder.criteria.criteria])
    check_baseline(chosen, baseline=baseline is not None)
    before = None
    if baseline:
        before = {one["fingerprint"]: one["verdict"] for _, one in _findings(RunFolder.open(baseline))}
    return decide(_cases(folder), chosen, before)


def _findings(folder: RunFolder) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    from seccheck.cli.show import findings_of

    return findings_of(folder)


def _cases(folder: RunFolder) -> Iterator[Case]:
    from seccheck.gate import Case
    from seccheck.model import moment

    day = moment(folder.plan.made).date()
    waivers = folder.waivers
    for system, one in _findings(folder):
        yield Case(
            system=system["id"],
            criterion=one["criterion"],
            target=one["target"],
            severity=one["severity"],
            verdict=one["verdict"],
            counted=one["counted"],
            fingerprint=one["fingerprint"],
            reason=one["reason"],
            waiver_expired=any(
                waiver.matches(one["criterion"], system["id"], one["target"])
                and waiver.state(day) == "expired"
                for waiver in waivers
            ),
        )


def _tell(outcome: Outcome) -> None:
    for decision in outcome.decisions:
        if decision.effect in _EFFECTS:
            case = decision.case
            place = f"{case.system}/{case.target}" if case.target else case.system
            because = f" ({case.reason})" if case.reason else ""
            state = f" {decision.state}" if decision.state else ""
            mark = _EFFECTS[decision.effect]
            typer.echo(
                f"{mark} {case.criterion:<8} {case.severity:<8} {case.verdict}{because}{state}  {place}"
            )
    verdict = {0: "met", 1: "not met", 3: "not concluded"}[outcome.status]
    counts = ", ".join(
        f"{len(outcome.with_effect(effect))} {effect}" for effect in ("block", "open", "warn", "pass")
    )
    typer.echo(f"gate {verdict}: {counts}")
    if not outcome.measured:
        typer.echo("nothing within the threshold was measured, so nothing is met")


def _write(folder: RunFolder, formats: str, out: Path | None, language: str) -> None:
    from seccheck.cli.show import write_files

    write_files(folder, formats, out.parent if out and out == folder.path else out or Path(), language)


def _explain() -> None:
    from seccheck.gate import truth_table

    typer.echo("verdict\tagainst the baseline\twaiver ran out\tfail_on\tinconclusive\teffect")
    for row in truth_table():
        typer.echo("\t".join(row))
    typer.echo(
        "effect: block = exit 1; open = exit 3 unless something blocks; warn and pass = exit 0", err=True
    )


def diff(
    old: Annotated[Path, typer.Argument(help="The earlier run folder.")],
    new: Annotated[Path, typer.Argument(help="The later run folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """What changed between two runs: regressed, improved, new, gone."""
    import msgspec

    from seccheck.comparison import compare
    from seccheck.reports.run import RunFolder as Reading
    from seccheck.runfolder import RunFolder

    runs = [Reading(RunFolder.open(path).path) for path in (old, new)]
    documents = [(msgspec.to_builtins(one) for one in run.systems()) for run in runs]
    comparison = compare(*documents)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(comparison), indent=1))
        return
    for system in comparison.systems:
        typer.echo(f"{system.change}\t{system.system}\t{system.before or '–'} → {system.after or '–'}")
    for finding in comparison.findings:
        cells = (finding.change, finding.system, finding.criterion, finding.target or "")
        typer.echo("\t".join((*cells, f"{finding.before or '–'} → {finding.after or '–'}")))
    say(f"{len(comparison.systems)} systems and {len(comparison.findings)} findings differ")


def history(folder: Annotated[Path, typer.Argument(help="A folder of run folders.")]) -> None:
    """The figure of each run below a folder, oldest first."""
    from seccheck.reports.run import RunFolder as Reading

    runs = [Reading(path.parent) for path in folder.glob("*/summary.json")]
    for run in sorted(runs, key=lambda one: one.scan.started):
        systems = run.tally["systems"]
        scope = f"{run.scan.criteria.set} {run.scan.criteria.version} {run.scan.criteria.profile}"
        figure = f"{systems['meets']}/{systems['reported']}"
        typer.echo(
            f"{run.scan.started}\t{figure}\t{systems['not_concluded']} not concluded\t{scope}\t{run.path}"
        )
