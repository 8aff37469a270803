"""The whole pipeline, on one screen: registry × criteria → plan → collect → evaluate → score → results.

Each step reads only the files that earlier steps wrote into the run folder, so a run can be resumed at
any point and judged again years later. Systems are planned and judged one by one, never held together.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from seccheck import __version__
from seccheck.criteria import CriteriaSet
from seccheck.criterion import plain_levels
from seccheck.errors import InputError
from seccheck.executors import Executor
from seccheck.finding import Judge
from seccheck.journal import Journal, Observed
from seccheck.lines import listed
from seccheck.model import moment, timestamp
from seccheck.observation import Observation
from seccheck.parallel import batches, in_order, processors
from seccheck.plan import make_plan
from seccheck.probes import load_probes
from seccheck.questions import Planner
from seccheck.reference import Reference, load_reference
from seccheck.registry import Registry, registry_pieces, scope_of
from seccheck.resolution import Resolution
from seccheck.runfolder import STOP, RunFolder, RunInfo, Selection
from seccheck.score import Counts, Score, SystemResult, result_of
from seccheck.touched import session, write_touched
from seccheck.yamlfile import did_you_mean

_encode = msgspec.json.Encoder(order="sorted").encode
Resolve = Callable[[list[str]], dict[str, Resolution]]
Progress = Callable[[Observation, int, int], None]
"""Told of each observation, how many are done, and of how many."""


@dataclass(frozen=True)
class Narrowing:
    """The part of a registry that is wanted; empty means all."""

    system: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    level: tuple[int, ...] = ()

    def apply(self, registry: Registry) -> Registry:
        """`registry` with the wanted systems only; raises `InputError` for what names nothing."""
        _known("--system", self.system, [system.id for system in registry.systems])
        _known("--unit", self.unit, [unit.id for unit in registry.units])
        wanted = [
            system
            for system in registry.systems
            if (not self.system or system.id in self.system)
            and (not self.unit or system.unit in self.unit)
            and (not self.level or system.level in self.level)
        ]
        if not wanted:
            raise InputError.at(
                "--system, --unit, --level", "expected a selection that some registered system meets"
            )
        return registry.model_copy(update={"systems": tuple(wanted)})


def _known(option: str, wanted: tuple[str, ...], known: list[str]) -> None:
    for one in wanted:
        if one not in known:
            raise InputError.at(
                option, f"expected an id of the registry, found {one!r}", hint=did_you_mean(one, known)
            )


def planner_for(
    registry: Registry,
    criteria: CriteriaSet,
    zone: str,
    made: datetime,
    names: dict[str, Resolution] | None = None,
    zones: tuple[str, ...] = (),
) -> Planner:
    """The planner of these inputs; `zones`: where else there are workers to look from."""
    return Planner(
        registry.units,
        criteria.on(made.date()),
        load_probes(),
        names or {},
        zone,
        tuple(sorted({zone, *zones})),
        made,
    )


def names_of(registry: Registry) -> list[str]:
    """The host names that have to be resolved before looking."""
    hosts = {
        target.host for system in registry.systems for target in system.targets if not target.literal_address
    }
    return sorted(hosts)


def new_run_id(now: datetime) -> str:
    """An id for a run begun at `now`: sortable, unique."""
    return f"{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"


def prepare(
    out: Path | None,
    registry: Registry,
    criteria: CriteriaSet,
    resolve: Resolve,
    *,
    narrowing: Narrowing = Narrowing(),
    select: str = "",
    zone: str = "internet",
    zones: tuple[str, ...] = (),
    language: str = "",
    command: str = "",
    waivers: Path | None = None,
    reference: Reference | None = None,
    now: datetime | None = None,
) -> RunFolder:
    """Make the run folder (default: `runs/<id>`) with its inputs and its plan. Only name servers are asked.

    Raises `InputError` for a selection that names nothing or a folder that is in use.
    """
    made = now or datetime.now(UTC)
    narrowed = narrowing.apply(registry)
    identifier = new_run_id(made)
    folder = RunFolder.create(out or Path("runs") / identifier)
    folder.write_pieces("inputs/registry.json", registry_pieces(narrowed))
    write_criteria(folder, criteria, made)
    folder.write_json("inputs/scope.json", scope_of(registry, zone=zone))
    folder.write_reference(reference or load_reference())
    if waivers:
        folder.write("inputs/waivers.yaml", waivers.read_bytes())
    folder.write_json(
        "inputs/run.json",
        RunInfo(
            id=identifier,
            started=timestamp(made),
            command=command,
            seccheck=__version__,
            zone=zone,
            language=language or registry.language,
            selection=Selection(
                profile=criteria.profile,
                select=select,
                system=narrowing.system,
                unit=narrowing.unit,
                level=narrowing.level,
                systems=len(narrowed.systems),
                systems_of=len(registry.systems),
                criteria=len(criteria.criteria),
                of=criteria.of,
            ),
            reporting=tuple(sorted({system.unit for system in registry.systems})),
            demonstration=registry.demonstration,
            registry_digest=registry.digest,
            zones=zones,
        ),
    )
    _plan(folder, narrowed, criteria, resolve)
    return folder


def _plan(folder: RunFolder, registry: Registry, criteria: CriteriaSet, resolve: Resolve) -> None:
    names = resolve(names_of(registry))
    made = moment(folder.info.started)
    planner = planner_for(registry, criteria, folder.info.zone, made, names, folder.info.zones)
    plan = make_plan(planner, registry.systems)
    folder.write_pieces("plan.json", plan.document())


def ensure_plan(folder: RunFolder, resolve: Resolve) -> None:
    """Make the plan of a run that was stopped before it had one; `run.json`, the last input, was there."""
    if not (folder.path / "plan.json").exists():
        _plan(folder, folder.registry, folder.criteria, resolve)


def write_criteria(folder: RunFolder, criteria: CriteriaSet, made: datetime) -> None:
    """Keep the criteria of a run, with what counts and which values hold on its day."""
    day = made.date()
    data = criteria.as_data()
    for entry, one in zip(data["criteria"], criteria.criteria, strict=True):
        entry["counted"] = one.counts_on(day)
        if (held := one.on(day)) is not one:
            entry["afterwards"] = {name: entry["parameters"][name] for name in one.until_then}
            entry["parameters"] = plain_levels(held.parameters)
    folder.write_json("inputs/criteria.json", data)


def collect(
    folder: RunFolder, executor: Executor, progress: Progress, stopping: Callable[[], bool] = lambda: False
) -> bool:
    """Do the jobs that have no observation yet, the only step on the network; whether all are done."""
    jobs = folder.plan.jobs

    def stop() -> bool:
        return stopping() or (folder.path / STOP).exists()

    with folder.journal(write=True) as journal:
        if remaining := list(journal.remaining(jobs)):
            with session(folder):
                for observation in executor.run(remaining, folder.scope, stop):
                    journal.append(observation)
                    progress(observation, len(journal), len(jobs))
        return len(journal) >= len(jobs)


def judge(folder: RunFolder, journal: Journal, criteria: CriteriaSet | None = None) -> Iterator[SystemResult]:
    """The result of each system, in order of id: the same folder gives the same results.

    `criteria`: others than the run's own.
    """
    court = _Court(folder, journal, criteria or folder.criteria)
    return (court.result(place) for place in court.places)


class _Court:
    """Judges one system of a run at a time."""

    def __init__(self, folder: RunFolder, journal: Journal, criteria: CriteriaSet) -> None:
        plan, made = folder.plan, moment(folder.plan.made)
        names = {one.name: one for one in plan.names}
        self._planner = planner_for(folder.registry_head, criteria, plan.zone, made, names, plan.zones)
        observed = Observed(journal, self._planner.probes)
        self._judge = Judge(observed, folder.reference, made, criteria.profile, folder.waivers)
        self._systems = folder.systems
        self.places = [(offset, size) for _, offset, size in sorted(self._systems.ids())]
        """Where the systems stand, in order of id."""

    def result(self, place: tuple[int, int]) -> SystemResult:
        """The result of the system that stands at `place`."""
        system = self._systems.at(*place)
        return result_of(system, [self._judge.evaluate(one) for one in self._planner.questions(system)])

    def lines(self, places: Sequence[tuple[int, int]]) -> tuple[list[bytes], Counts]:
        """The lines of some systems, and what they count."""
        counts, lines = Counts(), []
        for place in places:
            result = self.result(place)
            counts.add(result)
            lines.append(_encode(result))
        return lines, counts


def conclude(folder: RunFolder, processes: int = 0) -> dict[str, Any]:
    """Judge the run and write results.json, summary.json, touched.json and the manifest; the summary.

    `processes`: how many work on it; 0: as many as there are processors, where it is worth while.
    """
    folder.refuse_if_merged()
    return publish(folder, _judged(folder, processes))


def publish(folder: RunFolder, judged: Iterable[tuple[Sequence[bytes], Counts]]) -> dict[str, Any]:
    """Write what `conclude` writes, of results in order of id that come with their counts; the summary."""
    score = Score(folder.registry_head.units, frozenset(folder.info.reporting))
    scan = _scan(folder)
    folder.write_pieces("results.json", _results(judged, score, scan))
    summary = {"schema": "seccheck.summary/1", "scan": scan, "tally": score.tally()}
    folder.write_json("summary.json", summary)
    write_touched(folder)
    folder.write_manifest()
    return summary


def _judged(folder: RunFolder, processes: int) -> Iterator[tuple[list[bytes], Counts]]:
    with folder.journal(shared=True) as journal:
        court = _Court(folder, journal, folder.criteria)
        yield from in_order(court.lines, batches(court.places), processes or processors())


def _results(
    judged: Iterable[tuple[Sequence[bytes], Counts]], score: Score, scan: dict[str, Any]
) -> Iterator[bytes]:
    """The document in pieces: sorted keys, one system per line, so that it streams both ways."""
    yield b'{"scan":' + _encode(scan) + b',"schema":"seccheck.results/1","systems":'
    yield from listed(_counted(judged, score))
    yield b',"tally":' + _encode(score.tally()) + b"}\n"


def _counted(judged: Iterable[tuple[Sequence[bytes], Counts]], score: Score) -> Iterator[bytes]:
    for lines, counts in judged:
        score.counts.join(counts)
        yield from lines


def _scan(folder: RunFolder) -> dict[str, Any]:
    info, criteria, reference = folder.info, folder.criteria, folder.reference
    return {
        "id": info.id,
        "started": info.started,
        "finished": timestamp(datetime.now(UTC)),
        "seccheck": info.seccheck,
        "command": info.command,
        "zone": info.zone,
        "demonstration": info.demonstration,
        "criteria": {
            "set": criteria.id,
            "version": criteria.version,
            "profile": criteria.profile,
            "digest": criteria.digest,
        },
        "selection": info.selection,
        "registry": {"name": folder.registry_head.name.model_dump(), "digest": info.registry_digest},
        "reference": {
            feed.id: {"date": feed.date, "digest": feed.digest}
            for feed in (reference.feeds if reference else ())
        },
    }


def rejudge(
    run: RunFolder, out: Path, criteria: CriteriaSet | None, waivers: Path | None, command: str
) -> RunFolder:
    """Judge the evidence of `run` again, under other criteria or waivers, into the new folder `out`.

    What those criteria need and was never collected is inconclusive: not-probed. `run` stays as it is.
    """
    run.refuse_if_merged()
    run.refuse_if_compressed()
    judged_by = criteria or run.criteria
    folder = RunFolder.create(out)
    folder.copy_evidence(run)
    now = datetime.now(UTC)
    info = run.info
    selection = info.selection
    if criteria:
        write_criteria(folder, criteria, moment(run.plan.made))
        selection = msgspec.structs.replace(  # type: ignore[type-var]
            selection, profile=judged_by.profile, criteria=len(judged_by.criteria), of=judged_by.of
        )
    if waivers:
        folder.write("inputs/waivers.yaml", waivers.read_bytes())
    changed = {
        "id": new_run_id(now),
        "started": timestamp(now),
        "command": command,
        "selection": selection,
    }
    folder.write_json("inputs/run.json", msgspec.structs.replace(info, **changed))  # type: ignore[type-var]
    return folder
