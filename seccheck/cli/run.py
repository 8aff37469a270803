"""Verbs that make runs: demo, scan, plan, rejudge."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seccheck.cli.progress import say, shown
from seccheck.cli.zones import (
    Away,
    BrokerCa,
    BrokerPassword,
    BrokerUrl,
    Passphrase,
    coordinator,
    say_unreached,
)

if TYPE_CHECKING:
    from seccheck.assessment import Narrowing
    from seccheck.criteria import CriteriaSet
    from seccheck.reference import Reference
    from seccheck.registry import Registry
    from seccheck.runfolder import RunFolder

RegistryFile = Annotated[Path, typer.Option("--registry", "-r", help="The registry file (YAML).")]
CriteriaName = Annotated[
    str, typer.Option("--criteria", "-c", help="A criteria set: a bundled id or a file.")
]
Profile = Annotated[str, typer.Option(help="technical (what probes can decide) or full.")]
Select = Annotated[
    str, typer.Option(help="Only these criteria: comma-separated globs, such as 'TLS-*,CRT-03'.")
]
SystemIds = Annotated[list[str] | None, typer.Option("--system", help="Only this system; may be repeated.")]
UnitIds = Annotated[
    list[str] | None, typer.Option("--unit", help="Only the systems of this unit; may be repeated.")
]
Levels = Annotated[
    list[int] | None, typer.Option("--level", help="Only systems of this level; may be repeated.")
]
Zone = Annotated[str, typer.Option(help="Where this machine looks from.")]
OutFolder = Annotated[
    Path | None, typer.Option("--out", help="A new or empty folder; default runs/<scan id>.")
]
Language = Annotated[str, typer.Option("--lang", help="vi or en; default: the registry's language.")]
Formats = Annotated[
    str, typer.Option("--format", help="Reports to write: html, json, csv, xlsx, … (comma-separated).")
]
WaiverFile = Annotated[Path | None, typer.Option("--waivers", help="A waiver file (YAML).")]


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    app.command()(demo)
    app.command()(scan)
    app.command()(plan)
    app.command()(rejudge)


def demo(
    out: OutFolder = None,
    profile: Profile = "full",
    keep: Annotated[bool, typer.Option("--keep", help="Leave the fleet running for experiments.")] = False,
    language: Language = "vi",
    open_report: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the report in a browser.")
    ] = True,
) -> None:
    """Start 124 systems on loopback, scan them, write the report, print the tally."""
    import tempfile

    from seccheck.criteria import load_criteria
    from seccheck.demo import Fleet
    from seccheck.probes import load_probes
    from seccheck.reference import BUNDLED, load_reference
    from seccheck.registry import load_registry

    criteria = load_criteria("project06-2024", load_probes(), profile=profile)
    with tempfile.TemporaryDirectory(prefix="seccheck-demo-") as place, Fleet(Path(place)) as fleet:
        say("demo: 124 systems are up on loopback; the names are real bodies, the findings are not")
        registry = load_registry(fleet.registry)
        folder = _scan(
            registry,
            criteria,
            out=out,
            language=language,
            formats="html",
            waivers=fleet.waivers,
            reference=load_reference(BUNDLED),
        )
        index = folder.path / "report" / "index.html"
        if open_report and sys.stdout.isatty() and index.exists():
            import webbrowser

            webbrowser.open(index.resolve().as_uri())
        if keep:
            say(f"demo: the fleet stays up; registry: {fleet.registry}; stop with Ctrl-C")
            fleet.wait()


def scan(
    registry: RegistryFile = Path("registry.yaml"),
    criteria: CriteriaName = "project06-2026",
    profile: Profile = "full",
    select: Select = "",
    system: SystemIds = None,
    unit: UnitIds = None,
    level: Levels = None,
    out: OutFolder = None,
    formats: Formats = "html",
    language: Language = "",
    zone: Zone = "internet",
    waivers: WaiverFile = None,
    notice: Annotated[
        Path | None, typer.Option(help="Write a notice for the target's security centre, then scan.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue the run in this folder.")] = None,
    executor: Annotated[
        str, typer.Option(help="local (this machine), or celery: workers in the zones of the systems.")
    ] = "local",
    broker: BrokerUrl = "",
    broker_password: BrokerPassword = "",
    broker_ca: BrokerCa = None,
    key: Annotated[Path | None, typer.Option("--key", help="celery: the secret key that signs jobs.")] = None,
    passphrase: Passphrase = "",
    workers: Annotated[
        Path | None, typer.Option(help="celery: a folder with the workers' public keys (*.pub.yaml).")
    ] = None,
    patience: Annotated[
        float, typer.Option(min=1, help="celery: seconds that a zone may be without a worker.")
    ] = 30.0,
) -> None:
    """Look at the registered systems, judge them, and write the reports."""
    away = coordinator(executor, broker, broker_password, broker_ca, key, passphrase, workers, patience)
    if resume:
        _resume(resume, formats, language, away)
        return
    loaded = _load(registry, criteria, profile, select)
    narrowing = _narrowing(system, unit, level)
    _scan(
        *loaded,
        narrowing=narrowing,
        select=select,
        out=out,
        language=language,
        formats=formats,
        zone=zone,
        waivers=waivers,
        notice=notice,
        away=away,
    )


def _load(registry: Path, criteria: str, profile: str, select: str) -> tuple[Registry, CriteriaSet]:
    from seccheck.criteria import load_criteria
    from seccheck.probes import load_probes
    from seccheck.registry import load_registry

    return load_registry(registry), load_criteria(criteria, load_probes(), profile=profile, select=select)


def _narrowing(system: list[str] | None, unit: list[str] | None, level: list[int] | None) -> Narrowing:
    from seccheck.assessment import Narrowing

    return Narrowing(tuple(system or ()), tuple(unit or ()), tuple(level or ()))


def _scan(
    registry: Registry,
    criteria: CriteriaSet,
    *,
    out: Path | None,
    language: str,
    formats: str,
    narrowing: Narrowing | None = None,
    select: str = "",
    zone: str = "internet",
    waivers: Path | None = None,
    notice: Path | None = None,
    reference: Reference | None = None,
    away: Away | None = None,
) -> RunFolder:
    """Prepare, collect, conclude, report; `away`: what makes the executor for a run, if not the local one."""
    from seccheck.assessment import Narrowing, prepare
    from seccheck.cli.show import check_formats
    from seccheck.registry import scope_of
    from seccheck.resolve import resolve
    from seccheck.waivers import load_waivers

    check_formats(formats)
    if waivers:
        load_waivers(waivers)
    scope = scope_of(registry, zone=zone)
    folder = prepare(
        out,
        registry,
        criteria,
        lambda names: resolve(names, scope),
        narrowing=narrowing or Narrowing(),
        select=select,
        zone=zone,
        zones=tuple(sorted({one.zone for one in registry.systems} - {""})) if away else (),
        language=language,
        command=shlex.join(["seccheck", *sys.argv[1:]]),
        waivers=waivers,
        reference=reference,
    )
    if notice:
        _write_notice(notice, folder, language or folder.info.language)
    return _finish(folder, formats, language, away)


def _resume(path: Path, formats: str, language: str, away: Away | None) -> None:
    from seccheck.assessment import ensure_plan
    from seccheck.cli.show import check_formats
    from seccheck.resolve import resolve
    from seccheck.runfolder import RunFolder

    check_formats(formats)
    folder = RunFolder.open(path)
    folder.refuse_if_merged()
    with folder.lock():
        ensure_plan(folder, lambda names: resolve(names, folder.scope))
        _finish_locked(folder, formats, language, away)


def _finish(folder: RunFolder, formats: str, language: str, away: Away | None) -> RunFolder:
    with folder.lock():
        return _finish_locked(folder, formats, language, away)


def _finish_locked(folder: RunFolder, formats: str, language: str, away: Away | None) -> RunFolder:
    from seccheck.assessment import collect, conclude
    from seccheck.cli.show import write_reports
    from seccheck.cli.words import tally_lines
    from seccheck.executors.local import LocalExecutor
    from seccheck.probes import load_probes
    from seccheck.runfolder import STOP
    from seccheck.touched import note_workers

    total = len(folder.plan.jobs)
    say(f"run {folder.info.id}: {total} looks at {folder.info.selection.systems} systems, into {folder.path}")
    executor = away(folder) if away else None
    status = (lambda: executor.status) if executor else str
    with _interruptible() as stopping, shown(total, status=status) as progress:
        try:
            complete = collect(folder, executor or LocalExecutor(load_probes()), progress, stopping)
        finally:
            if executor:
                note_workers(folder, executor.machines)
        asked = stopping() or (folder.path / STOP).exists()
    if executor and executor.unreached and not asked:
        say_unreached(folder, executor)
    elif not complete:
        _say_stopped(folder, asked=asked)
        raise typer.Exit(130)
    summary = conclude(folder)
    spoken = language or folder.info.language
    write_reports(folder, formats, spoken)
    for line in tally_lines(_plain(summary), spoken):
        typer.echo(line)
    if "html" in formats:
        say(f"report: {folder.path / 'report' / 'index.html'}")
    return folder


def _say_stopped(folder: RunFolder, *, asked: bool) -> None:
    """Why not everything was looked at, and how to go on."""
    from seccheck.runfolder import STOP
    from seccheck.touched import write_touched

    write_touched(folder)
    go_on = f"seccheck scan --resume {folder.path}"
    if (folder.path / STOP).exists():
        say(f"stopped by the file {folder.path / STOP}; nothing is lost. Remove it, then: {go_on}")
    elif asked:
        say(f"stopped; nothing is lost. Continue with: {go_on}")
    else:
        say(f"outside the authorised hours for what is left; nothing is lost. When they begin: {go_on}")


def _plain(summary: dict[str, Any]) -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(summary)
    return plain


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C (or SIGTERM) finishes what is in flight; the second stops at once."""
    asked = False

    def ask(_signal: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        say("stopping when what is in flight is done; once more stops at once")

    before = {one: signal.signal(one, ask) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _write_notice(path: Path, folder: RunFolder, language: str) -> None:
    from seccheck.touched import notice

    path.write_text(notice(folder, language), encoding="utf-8")
    say(f"notice: {path}")


def plan(
    registry: RegistryFile = Path("registry.yaml"),
    criteria: CriteriaName = "project06-2026",
    profile: Profile = "full",
    select: Select = "",
    system: SystemIds = None,
    unit: UnitIds = None,
    level: Levels = None,
    zone: Zone = "internet",
    resolve_names: Annotated[bool, typer.Option("--resolve", help="Ask name servers for addresses.")] = False,
) -> None:
    """Say what a scan would touch and with how many connections. Touches nothing."""
    from datetime import UTC, datetime

    from seccheck.assessment import names_of, planner_for
    from seccheck.plan import BESIDES, connections_by_address, make_plan
    from seccheck.registry import scope_of
    from seccheck.resolution import Resolution
    from seccheck.resolve import resolve
    from seccheck.touched import terms

    loaded, wanted = _load(registry, criteria, profile, select)
    narrowed = _narrowing(system, unit, level).apply(loaded)
    names = names_of(narrowed)
    if resolve_names:
        known = resolve(names, scope_of(loaded, zone=zone))
    else:
        known = {name: Resolution(name=name, addresses=(f"({name})",)) for name in names}
    made = make_plan(planner_for(narrowed, wanted, zone, datetime.now(UTC), known), narrowed.systems)
    counts = connections_by_address(made.jobs)
    scope = scope_of(loaded, zone=zone)
    above = 0
    for address, own in sorted(counts.items()):
        above += (more := own.pop(BESIDES, 0))
        by_probe = ", ".join(f"{probe} {count}" for probe, count in sorted(own.items()))
        how = "" if address.startswith("(") else terms(scope, address)
        if more:
            by_probe += f"; up to {more} more by {BESIDES}, for services that stay unknown"
        typer.echo(f"{address}\t{sum(own.values())} connections\t{by_probe}\t{how}")
    for name, resolution in sorted(known.items()):
        if resolution.failed:
            typer.echo(f"{name}\t{resolution.failed}\t{resolution.detail}")
    total = sum(sum(own.values()) for own in counts.values())
    looks = f"{len(narrowed.systems)} systems, {len(made.jobs)} looks"
    besides = f", and up to {above} more by {BESIDES}" if above else ""
    typer.echo(f"{looks}, {len(counts)} addresses, about {total} connections{besides}")
    if names and not resolve_names:
        say(f"{len(names)} names were not resolved; --resolve asks the name servers")


def rejudge(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[Path, typer.Option("--out", help="A new or empty folder.")],
    criteria: Annotated[
        str, typer.Option("--criteria", "-c", help="Another criteria set; default: the run's.")
    ] = "",
    profile: Annotated[str, typer.Option(help="technical or full; default: the run's.")] = "",
    select: Select = "",
    formats: Formats = "html",
    language: Language = "",
    waivers: WaiverFile = None,
) -> None:
    """Judge stored evidence again, under other criteria or waivers. No network; RUN stays as it is."""
    from seccheck.assessment import conclude
    from seccheck.assessment import rejudge as judge_again
    from seccheck.cli.show import check_formats, write_reports
    from seccheck.cli.words import tally_lines
    from seccheck.criteria import load_criteria
    from seccheck.probes import load_probes
    from seccheck.runfolder import RunFolder
    from seccheck.waivers import load_waivers

    check_formats(formats)
    before = RunFolder.open(run)
    chosen = None
    if criteria or profile or select:
        name = criteria or before.criteria.id
        chosen = load_criteria(name, load_probes(), profile=profile or before.criteria.profile, select=select)
    if waivers:
        load_waivers(waivers)
    folder = judge_again(before, out, chosen, waivers, shlex.join(["seccheck", *sys.argv[1:]]))
    summary = _plain(conclude(folder))
    spoken = language or folder.info.language
    write_reports(folder, formats, spoken)
    for line in tally_lines(summary, spoken):
        typer.echo(line)
