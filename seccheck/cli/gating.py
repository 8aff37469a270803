"""The verb that decides: gate. Whatever cannot be done is exit status 2, never 0."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seccheck.cli import comparing, gate_words
from seccheck.cli.progress import say, shown
from seccheck.errors import UNREADABLE

if TYPE_CHECKING:
    from seccheck.criteria import CriteriaSet
    from seccheck.gate import Case, Threshold
    from seccheck.registry import Registry
    from seccheck.reports import Report
    from seccheck.reports.run import RunFolder as Reading
    from seccheck.resolution import Resolution
    from seccheck.runfolder import RunFolder

_TARGET_ONLY = ("level", "criteria", "select", "trust", "wait", "authorised")
_POLL = 0.5


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    app.command()(gate)
    comparing.register(app)


@dataclass(frozen=True)
class _Limits:
    """What the outcome is measured by."""

    threshold: Threshold
    before: dict[str, str] | None
    """Verdicts of the baseline by fingerprint; None without one."""
    baseline: str = ""
    """The id of the baseline run."""


def gate(
    context: typer.Context,
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
    select: Annotated[str, typer.Option(help="Judge a --target by these criteria only (globs).")] = "",
    trust: Annotated[
        list[Path] | None, typer.Option(help="A PEM file with a root to trust; may be repeated.")
    ] = None,
    wait: Annotated[
        str, typer.Option(help="Wait up to this long for a --target to start, such as 60s or 2m.")
    ] = "",
    authorised: Annotated[
        str,
        typer.Option("--i-am-authorised", help="Who allowed scanning a public --target, and how."),
    ] = "",
    threshold: Annotated[Path | None, typer.Option(help="A threshold file (gate/1).")] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="An earlier run: only what is new or regressed blocks.")
    ] = None,
    waivers: Annotated[Path | None, typer.Option(help="A waiver file (waivers/1).")] = None,
    formats: Annotated[
        str,
        typer.Option("--format", help="Also write these reports: junit,sarif,… or junit=FILE,sarif=FILE."),
    ] = "",
    fails_only: Annotated[
        bool, typer.Option("--sarif-fails-only", help="SARIF with failures alone, for GitHub code scanning.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Where the run and its reports go; default: the reports here, the run nowhere."),
    ] = None,
    language: Annotated[str, typer.Option("--lang", help="Language of the reports: vi or en.")] = "",
) -> None:
    """Decide whether a pipeline may go on: exit 0 met, 1 failed, 2 could not run, 3 not concluded."""
    with _closed():
        if run == Path("explain"):
            _explain(threshold, criteria, baseline=baseline is not None)
            return
        _check_options(context, run, target)
        reports = _reports(formats, out, fails_only=fails_only)
        with _place(out) as place:
            if target:
                chosen = _criteria(criteria, select)
                limits = _limits(threshold, baseline, chosen)
                asked = _Asked(target, level, trust or [], authorised, _seconds(wait))
                folder = _scan(asked, chosen, select, waivers, place)
            else:
                assert run is not None  # noqa: S101  (`_check_options` saw to it)
                folder = _opened(run)
                limits = _limits(threshold, baseline, folder.criteria)
                if waivers:
                    folder = _judged_again(folder, place, waivers)
            status = _conclude(folder, limits, reports, language)
    raise typer.Exit(status)


# ------------------------------------------------------------------------------------------ before


@contextmanager
def _closed() -> Iterator[None]:
    """Whatever goes wrong here ends with status 2: 1 means a verdict, and Python's own status is 1."""
    from seccheck.errors import InputError, SeccheckError

    try:
        yield
    except (SeccheckError, typer.Exit, BrokenPipeError):
        raise
    except OSError as error:
        raise InputError.at(error.filename or "gate", error.strerror or str(error)) from None
    except Exception:  # noqa: BLE001  (a gate fails closed)
        traceback.print_exc()
        say("seccheck: the gate broke off, so nothing is decided; please report it")
        raise typer.Exit(2) from None


def _check_options(context: typer.Context, run: Path | None, target: list[str] | None) -> None:
    """Refuse what would be passed over in silence: a gate must not be other than its author thinks."""
    from seccheck.errors import InputError

    if bool(run) == bool(target):
        raise InputError.at(
            "gate", "expected either a run folder or --target URL", hint="seccheck gate --help"
        )
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        given = source is not None and source.name == "COMMANDLINE"
        if run and given and parameter.name in _TARGET_ONLY:
            raise InputError.at(
                parameter.opts[0],
                "belongs to --target; a run is judged as it was scanned",
                hint="seccheck rejudge judges it by other criteria",
            )


def _reports(formats: str, out: Path | None, *, fails_only: bool) -> list[tuple[Report, Path]]:
    """The reports wanted and where they go; `github` is printed and goes nowhere."""
    from seccheck.cli.show import check_formats
    from seccheck.errors import InputError
    from seccheck.reports import load_reports

    wanted: list[tuple[Report, Path]] = []
    for one in formats.split(","):
        name, given, file = one.strip().partition("=")
        if given and not file:
            raise InputError.at("--format", f"expected {name}=FILE, found {one.strip()!r}")
        for known in check_formats(name):
            plugin = load_reports()["sarif-fails" if known == "sarif" and fails_only else known]
            wanted.append((plugin, Path(file) if given else (out or Path()) / _file_name(plugin)))
    if fails_only and not any(plugin.id == "sarif-fails" for plugin, _ in wanted):
        raise InputError.at("--sarif-fails-only", "expected --format sarif beside it")
    return wanted


def _file_name(plugin: Report) -> str:
    """A name that does not change from run to run, as pipelines need it."""
    if plugin.kind == "folder":
        return f"seccheck-{plugin.id}"
    middle = "" if plugin.id in {plugin.extension, f"{plugin.extension}-fails"} else f".{plugin.id}"
    return f"seccheck{middle}.{plugin.extension}"


@contextmanager
def _place(out: Path | None) -> Iterator[Path]:
    if out:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="seccheck-gate-") as place:
        yield Path(place) / "run"


def _seconds(text: str) -> float:
    from seccheck.errors import InputError

    number = text[:-1] if text[-1:] in {"s", "m"} else text
    if not text:
        return 0.0
    if not (number.isascii() and number.isdigit()):
        raise InputError.at("--wait", f"expected a time such as 60s or 2m, found {text!r}")
    return float(number) * (60 if text.endswith("m") else 1)


def _opened(path: Path) -> RunFolder:
    """A finished run whose results are the very ones it was finished with."""
    import msgspec

    from seccheck.errors import InputError
    from seccheck.reports.run import RunFolder as Reading
    from seccheck.runfolder import MANIFEST, RunFolder

    folder = RunFolder.open(path)
    digest = Reading(path).results_digest
    manifest = path / MANIFEST
    try:
        files = msgspec.json.decode(manifest.read_bytes())["files"]
        listed = {f"sha256:{one['sha256']}" for one in files if one["name"] == "results.json"}
    except (*UNREADABLE, KeyError, TypeError) as error:
        raise InputError.at(manifest, f"damaged: {error}", hint="restore the run from a copy") from None
    if listed != {digest}:
        raise InputError.at(
            path / "results.json",
            "is not the file that MANIFEST.json lists",
            hint="restore the run from a copy, or judge its evidence again: seccheck rejudge",
        )
    return folder


def _criteria(name: str, select: str) -> CriteriaSet:
    from seccheck.criteria import load_criteria
    from seccheck.probes import load_probes

    return load_criteria(name, load_probes(), profile="technical", select=select)


def _limits(threshold: Path | None, baseline: Path | None, criteria: CriteriaSet) -> _Limits:
    from seccheck.gate import Threshold, check_baseline, load_threshold
    from seccheck.reports.run import RunFolder as Reading

    chosen = Threshold()
    if threshold:
        chosen = load_threshold(threshold, [one.id for one in criteria.criteria])
    check_baseline(chosen, baseline=baseline is not None)
    if baseline is None:
        return _Limits(chosen, None)
    before = {
        one.fingerprint: sys.intern(one.verdict)
        for system in Reading(_opened(baseline).path).systems()
        for one in system.findings
        if one.counted
    }
    return _Limits(chosen, before, Reading(baseline).scan.id)


# ------------------------------------------------------------------------------------------ the run


@dataclass(frozen=True)
class _Asked:
    """What is to be scanned, and how."""

    urls: list[str]
    level: int
    trust: list[Path]
    authorised: str
    wait: float


def _scan(asked: _Asked, criteria: CriteriaSet, select: str, waivers: Path | None, place: Path) -> RunFolder:
    from seccheck.assessment import collect, conclude, prepare
    from seccheck.executors.local import LocalExecutor
    from seccheck.probes import load_probes
    from seccheck.waivers import load_waivers

    if waivers:
        load_waivers(waivers)
    registry, names = _started(asked)
    folder = prepare(
        place,
        registry,
        criteria,
        lambda wanted: {name: names[name] for name in wanted},
        select=select,
        waivers=waivers,
        command=shlex.join(["seccheck", *sys.argv[1:]]),
    )
    with shown(len(folder.plan.jobs)) as progress:
        collect(folder, LocalExecutor(load_probes()), progress)
    conclude(folder)
    return folder


def _started(asked: _Asked) -> tuple[Registry, dict[str, Resolution]]:
    """The registry of the targets, once their names resolve and all of them listen, or the time is up.

    Whether they answer in the end is the scan's to say.
    """
    from seccheck.adhoc import registry_for

    give_up = time.monotonic() + asked.wait
    while True:
        registry, names = registry_for(asked.urls, asked.level, asked.trust, asked.authorised)
        if time.monotonic() >= give_up or _listen(registry, names):
            return registry, names
        time.sleep(_POLL)


def _listen(registry: Registry, names: dict[str, Resolution]) -> bool:
    """Whether something accepts connections at every target."""
    from seccheck.model import ProbeFailed
    from seccheck.registry import scope_of
    from seccheck.scope import Context

    with Context(scope_of(registry)) as context:
        for target in registry.systems[0].targets:
            known = (target.literal_address,) if target.literal_address else names[target.host].addresses
            if not known:
                return False
            try:
                context.dial(known[0], target.port, seconds=2).close()
            except ProbeFailed:
                return False
    return True


def _judged_again(folder: RunFolder, place: Path, waivers: Path) -> RunFolder:
    from seccheck.assessment import conclude, rejudge
    from seccheck.waivers import load_waivers

    load_waivers(waivers)
    again = rejudge(folder, place, None, waivers, shlex.join(["seccheck", *sys.argv[1:]]))
    conclude(again)
    return again


# ------------------------------------------------------------------------------------------ after


def _conclude(folder: RunFolder, limits: _Limits, reports: list[tuple[Report, Path]], language: str) -> int:
    """Decide, write the reports, then tell, so that no fault follows a decision; the exit status."""
    from seccheck.errors import InputError
    from seccheck.gate import decide
    from seccheck.reports import Options
    from seccheck.reports.run import RunFolder as Reading

    spoken = language or folder.info.language
    if spoken not in {"vi", "en"}:
        raise InputError.at("--lang", f"expected vi or en, found {language!r}")
    options = Options(language="vi" if spoken == "vi" else "en")
    source = Reading(folder.path)
    if limits.baseline == source.scan.id:
        raise InputError.at("--baseline", "is the run itself; expected an earlier run")
    wanting: list[tuple[str, str, str | None]] = []
    outcome = decide(_cases(folder, source, wanting), limits.threshold, limits.before)
    for plugin, path in reports:
        if plugin.id != "github":
            path.parent.mkdir(parents=True, exist_ok=True)
            plugin.save(source, path, options)
            say(f"written: {path}")
    if any(path.is_relative_to(folder.path) for _, path in reports):
        folder.write_manifest()
    for remark in _remarks(folder, wanting):
        say(f"waivers: {remark}")
    gate_words.tell(outcome, limits.threshold, source, options)
    if os.environ.get("GITHUB_ACTIONS") == "true" or any(plugin.id == "github" for plugin, _ in reports):
        gate_words.tell_github(outcome, source, options)
    return outcome.status


def _cases(folder: RunFolder, source: Reading, wanting: list[tuple[str, str, str | None]]) -> Iterator[Case]:
    """Every finding as the gate sees it; those that are not met are noted in `wanting` on the way."""
    from seccheck.gate import Case
    from seccheck.model import moment

    waivers = folder.waivers
    day = moment(folder.plan.made).date() if waivers else None
    expired = [one for one in waivers if day and one.state(day) == "expired"]
    for system in source.systems():
        for one in system.findings:
            about = (one.criterion, system.id, one.target)
            if waivers and one.observed_verdict in {"fail", "inconclusive"}:
                wanting.append(about)
            yield Case(
                system=system.id,
                criterion=one.criterion,
                target=one.target,
                severity=one.severity,
                verdict=one.verdict,
                observed=one.observed_verdict,
                counted=one.counted,
                fingerprint=one.fingerprint,
                reason=one.reason,
                waiver_expired=any(
                    waiver.matches(one.criterion, system.id, one.target) for waiver in expired
                ),
            )


def _remarks(folder: RunFolder, wanting: list[tuple[str, str, str | None]]) -> list[str]:
    from seccheck.model import moment
    from seccheck.waivers import remarks

    if not folder.waivers:
        return []
    day = moment(folder.plan.made).date()
    return remarks(folder.waivers, wanting, day, [one.id for one in folder.criteria.criteria])


def _explain(threshold: Path | None, criteria: str, *, baseline: bool) -> None:
    """Print the truth table: all of it, or what applies under a threshold or with a baseline."""
    from seccheck.criteria import load_criteria
    from seccheck.gate import check_baseline, load_threshold
    from seccheck.probes import load_probes

    if threshold is None:
        gate_words.explain(None, baseline=True if baseline else None)
        return
    chosen = load_threshold(threshold, [one.id for one in load_criteria(criteria, load_probes()).criteria])
    check_baseline(chosen, baseline=baseline)
    gate_words.explain(chosen, baseline=baseline)
