"""Many signed bundles, one national run folder: verified, checked against each other, judged once more.

Nothing a bundle says is believed because it is signed. Its results must follow from its evidence, so each is
judged again in its own folder, with its own inputs and this version's code; the figures of the nation are
added up from that. Whatever is wrong refuses the merge, all reasons at once; what merely overlaps is listed.
"""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from seccheck import __version__
from seccheck.assessment import judge, new_run_id, publish
from seccheck.bundle import Verified, verify
from seccheck.errors import InputError
from seccheck.faults import Fault, FaultError, fault
from seccheck.keys import PublicKey
from seccheck.lines import Lines
from seccheck.model import Record, Text, canonical, digest, moment, timestamp
from seccheck.permission import Scope
from seccheck.plan import Plan
from seccheck.registry import Registry, registry_pieces
from seccheck.resolution import Resolution
from seccheck.runfolder import SESSIONS, RunFolder, RunInfo
from seccheck.score import Counts, SystemResult
from seccheck.sorting import Sorted
from seccheck.system import System
from seccheck.touched import sessions
from seccheck.units import Unit

MERGED = "merge.json"
MAX_AGE = 92
"""Days that evidence may be old: a quarter."""
_encode = msgspec.json.Encoder(order="sorted").encode


class Part(Record):
    """One bundle that went into a merge."""

    file: str
    sha256: str
    key: str
    units: tuple[str, ...]
    run: str
    observed: tuple[str, str]
    signed: str
    systems: int
    seccheck: str
    zone: str


class Overlap(Record):
    """Something that more than one bundle speaks of, and what was done about it."""

    kind: Literal["same-bundle", "same-system", "conflict", "renamed"]
    system: str = ""
    kept: str
    """The file, or for `renamed` the new id, that stands."""
    left: str = ""


class Merged(Record):
    """`merge.json`: what the national run folder was made of."""

    schema: Literal["seccheck.merge/1"] = "seccheck.merge/1"
    parts: tuple[Part, ...]
    overlaps: tuple[Overlap, ...]


@dataclass
class _Part:
    """A bundle, unpacked."""

    bundle: Verified
    folder: RunFolder
    left: set[str] = field(default_factory=set)
    """Systems that another part speaks of later."""
    names: dict[str, str] = field(default_factory=dict)
    """New ids for systems whose id another unit uses as well."""

    @property
    def name(self) -> str:
        return self.bundle.file.name

    @property
    def observed(self) -> tuple[datetime, str]:
        """What tells the later of two bundles: when looking began, else the digest."""
        return moment(self.bundle.says.observed[0]), self.bundle.digest

    def systems(self) -> Iterator[System]:
        """The systems it still speaks for, under their new names."""
        for system in self.folder.systems:
            if system.id not in self.left:
                yield system.model_copy(update={"id": self.names.get(system.id, system.id)})


def merge(
    files: Sequence[Path],
    keys: Mapping[str, PublicKey],
    out: Path,
    *,
    criteria: str = "",
    max_age: int = MAX_AGE,
    now: datetime | None = None,
    language: str = "",
    command: str = "",
) -> tuple[RunFolder, Merged, dict[str, Any]]:
    """Make the national run folder `out` of bundles; the folder, what it was made of, and the summary.

    `criteria`: the set (id, or id and version) that all must be judged by; by default what most are. Raises
    `FaultError` with every reason to refuse, and leaves nothing behind then.
    """
    moment_now = now or datetime.now(UTC)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError.at(out, "expected a new or empty folder", hint="choose another --out")
    with tempfile.TemporaryDirectory(prefix="seccheck-merge-") as place:
        parts, overlaps, faults = _open(files, keys, Path(place), moment_now, criteria)
        faults += _mismatches(parts, max_age, moment_now)
        _share(parts)
        results = Sorted()
        counts = Counts()
        if not faults:
            overlaps += _settle(parts)
            for part in parts:
                faults += _judge_again(part, results, counts)
        if faults:
            raise FaultError(faults)
        folder = RunFolder.create(out)
        merged = Merged(parts=tuple(map(_told, parts)), overlaps=tuple(overlaps))
        _write(folder, parts, merged, moment_now, language, command)
        summary = publish(folder, _in_order(results, counts))
        results.close()
        return folder, merged, summary


# -------------------------------------------------------------------------------------- what is refused


def _open(
    files: Sequence[Path], keys: Mapping[str, PublicKey], place: Path, now: datetime, criteria: str
) -> tuple[list[_Part], list[Overlap], list[Fault]]:
    parts: dict[str, _Part] = {}
    overlaps: list[Overlap] = []
    faults: list[Fault] = []
    for number, file in enumerate(files):
        try:
            bundle = verify(file, keys, now, place / str(number), criteria=criteria)
        except FaultError as error:
            faults += error.faults
            continue
        same = next((one for one in parts.values() if one.bundle.files == bundle.files), None)
        if same:
            overlaps.append(Overlap(kind="same-bundle", kept=same.name, left=file.name))
            continue
        parts[bundle.digest] = _Part(bundle, RunFolder(place / str(number)))
    return list(parts.values()), overlaps, faults


def _mismatches(parts: Sequence[_Part], max_age: int, now: datetime) -> list[Fault]:
    """What keeps bundles from being added up: each by itself, then with the others."""
    faults = [one for part in parts for one in _own_faults(part, max_age, now)]
    faults += _criteria_faults(parts)
    units: dict[str, tuple[Unit, str]] = {}
    for part in parts:
        for unit in part.folder.registry_head.units:
            first, other = units.setdefault(unit.id, (unit, part.name))
            if (unit.kind, unit.name) != (first.kind, first.name):
                faults.append(fault("units-differ", part.name, unit=unit.id, other=other))
    return faults


def _own_faults(part: _Part, max_age: int, now: datetime) -> Iterator[Fault]:
    says, info = part.bundle.says, part.folder.info
    age = (now - moment(says.observed[0])).days
    if age > max_age:
        yield fault("stale", part.name, observed=says.observed[0], age=age, limit=max_age)
    found = Counter(system.unit for system in part.folder.systems)
    if set(found) != set(says.units):
        yield fault(
            "system-unit", part.name, said=", ".join(says.units), found=", ".join(sorted(found)) or "–"
        )
    selection = info.selection
    if selection.system or selection.level:
        option = "--system" if selection.system else "--level"
        of = selection.systems_of
        yield fault("narrowed", part.name, systems=selection.systems, of=of, option=option)
    if info.merged:
        yield fault("incomplete", part.name, why="it is itself merged; send the parts")
    if part.folder.criteria.digest != says.criteria.digest:
        yield fault("changed", part.name, name="inputs/criteria.json")


def _criteria_faults(parts: Sequence[_Part]) -> Iterator[Fault]:
    """All must be judged by one set, version and profile, narrowed alike: by what most are."""
    if parts:
        most = Counter(map(_judged_by, parts)).most_common(1)[0][0]
        for part in parts:
            if _judged_by(part) != most:
                yield fault("other-criteria", part.name, found=_judged_by(part), wanted=most)


def _judged_by(part: _Part) -> str:
    selection = part.folder.info.selection
    select = f" --select {selection.select}" if selection.select else ""
    return f"{part.bundle.says.criteria} {selection.profile}{select}"


def _share(parts: Sequence[_Part]) -> None:
    """Read criteria and reference data once where parts have the same."""
    known: dict[str, Any] = {}
    for part in parts:
        for name, attribute in (("inputs/criteria.json", "criteria"), ("inputs/reference.gz", "reference")):
            sha256 = part.bundle.files.get(name, "")
            if sha256 not in known:
                known[sha256] = getattr(part.folder, attribute)
            part.folder.__dict__[attribute] = known[sha256]


# -------------------------------------------------------------------------------------- what overlaps


def _settle(parts: Sequence[_Part]) -> list[Overlap]:
    """Let the later bundle of a unit speak for a system that two have; name apart what only shares an id."""
    overlaps: list[Overlap] = []
    holders: defaultdict[str, dict[str, list[_Part]]] = defaultdict(lambda: defaultdict(list))
    for part in parts:
        for system in part.folder.systems:
            holders[system.id][system.unit].append(part)
    for system_id, by_unit in sorted(holders.items()):
        for unit, own in sorted(by_unit.items()):
            last = max(own, key=lambda part: part.observed)
            for part in own:
                if part is not last:
                    part.left.add(system_id)
                    same = _line_of(part, system_id) == _line_of(last, system_id)
                    kind: Literal["same-system", "conflict"] = "same-system" if same else "conflict"
                    overlaps.append(Overlap(kind=kind, system=system_id, kept=last.name, left=part.name))
            if len(by_unit) > 1:
                last.names[system_id] = _new_id(unit, system_id, holders)
                overlaps.append(Overlap(kind="renamed", system=system_id, kept=last.names[system_id]))
    return overlaps


def _new_id(unit: str, system: str, taken: Mapping[str, Any]) -> str:
    name = f"{unit}.{system}"
    while name in taken:
        name += "-2"
    return name


def _verdicts(result: SystemResult) -> tuple[Any, ...]:
    return result.status, tuple(
        (one.criterion, one.target, one.verdict, one.counted) for one in result.findings
    )


def _signed_results(part: _Part) -> Lines[SystemResult]:
    decode = msgspec.json.Decoder(SystemResult).decode
    return Lines(part.folder.path / "results.json", "systems", decode)


def _line_of(part: _Part, system: str) -> Any:
    results = _signed_results(part)
    place = next(((offset, size) for name, offset, size in results.ids() if name == system), None)
    return _verdicts(results.at(*place)) if place else None


# ----------------------------------------------------------------------------------------- judging again


def _judge_again(part: _Part, results: Sorted, counts: Counts) -> Iterator[Fault]:
    """Judge a part in its own folder and keep the results; a fault where its own say something else."""
    said = iter(_signed_results(part))
    with part.folder.journal() as journal:
        for found in judge(part.folder, journal):
            signed = next(said, None)
            if signed is None or signed.id != found.id:
                yield fault("evidence", part.name, where=found.id, said="–", found=found.status)
                return
            if _verdicts(signed) != _verdicts(found):
                where, before, after = _first_difference(signed, found)
                yield fault("evidence", part.name, where=where, said=before, found=after)
                return
            if found.id not in part.left:
                _keep(part, found, results, counts)
    if extra := next(said, None):
        yield fault("evidence", part.name, where=extra.id, said=extra.status, found="–")


def _first_difference(signed: SystemResult, found: SystemResult) -> tuple[str, str, str]:
    before = {(one.criterion, one.target): one.verdict for one in signed.findings}
    after = {(one.criterion, one.target): one.verdict for one in found.findings}
    for key in sorted({*before, *after}, key=lambda one: (one[0], one[1] or "")):
        if before.get(key) != after.get(key):
            place = f"{found.id} {key[0]}"
            return place, str(before.get(key, "–")), str(after.get(key, "–"))
    return found.id, str(signed.status), str(found.status)


def _keep(part: _Part, result: SystemResult, results: Sorted, counts: Counts) -> None:
    if new := part.names.get(result.id):
        result = _renamed(result, new)
    counts.add(result)
    results.add([(result.id.encode(), _encode(result))])


def _renamed(result: SystemResult, name: str) -> SystemResult:
    """`result` under another id, its fingerprints with it (see `finding`)."""
    findings = tuple(
        msgspec.structs.replace(
            one,  # type: ignore[type-var]
            fingerprint=digest({"system": name, "criterion": one.criterion, "target": one.target})[7:39],
        )
        for one in result.findings
    )
    return msgspec.structs.replace(result, id=name, findings=findings)  # type: ignore[type-var]


def _in_order(results: Sorted, counts: Counts) -> Iterator[tuple[list[bytes], Counts]]:
    yield [], counts
    for _, lines in results.groups():
        yield lines, Counts()


# ---------------------------------------------------------------------------------- the national folder


def _write(
    folder: RunFolder,
    parts: Sequence[_Part],
    merged: Merged,
    now: datetime,
    language: str,
    command: str,
) -> None:
    """Write everything but the results: inputs, plan, journal, and what they were merged from."""
    newest = max(parts, key=lambda part: part.observed)
    systems = sorted((system for part in parts for system in part.systems()), key=lambda one: one.id)
    registry = _registry(parts, newest, systems)
    folder.write_pieces("inputs/registry.json", registry_pieces(registry))
    for name in ("inputs/criteria.json", "inputs/reference.gz"):
        if (newest.folder.path / name).exists():
            folder.write(name, (newest.folder.path / name).read_bytes())
    folder.write_json("inputs/scope.json", Scope())  # nothing may be looked at from here
    zones = sorted({part.folder.info.zone for part in parts})
    info = newest.folder.info
    units = tuple(sorted({system.unit for system in systems}))
    selection = msgspec.structs.replace(  # type: ignore[type-var]
        info.selection, unit=(), systems=len(systems), systems_of=len(systems)
    )
    folder.write_json(
        "inputs/run.json",
        RunInfo(
            id=new_run_id(now),
            started=timestamp(now),
            command=command,
            seccheck=__version__,
            zone=zones[0] if len(zones) == 1 else "several",
            language=language or info.language,
            selection=selection,
            reporting=units,
            demonstration=any(part.folder.info.demonstration for part in parts),
            registry_digest=registry.digest,
            zones=tuple(zones),
            merged=tuple(part.bundle.says.run for part in parts),
        ),
    )
    folder.write_json(MERGED, merged)
    every = sorted((one for part in parts for one in sessions(part.folder)), key=lambda one: one.started)
    folder.write_json(SESSIONS, every)
    folder.write_pieces("plan.json", _plan(parts, newest, zones).document())
    written: set[str] = set()
    with folder.journal(write=True) as journal:
        for part in parts:
            with part.folder.journal() as own:
                for line in own.lines():
                    if line.digest not in written:
                        journal.append(line.observation)
                        written.add(line.digest)


def _registry(parts: Sequence[_Part], newest: _Part, systems: list[System]) -> Registry:
    heads = [part.folder.registry_head for part in parts]
    names = {canonical(head.name.model_dump()) for head in heads}
    name = Text(vi=f"Tổng hợp từ {len(parts)} gói", en=f"Merged from {len(parts)} bundles")
    lists = {head.unit_list for head in heads}
    return newest.folder.registry_head.model_copy(
        update={
            "name": heads[0].name if len(names) == 1 else name,
            "units": tuple({unit.id: unit for head in heads for unit in head.units}.values()),
            "unit_list": lists.pop() if len(lists) == 1 else "",
            "systems": tuple(systems),
            "networks": (),
            "resolvers": (),
            "authorisation": None,
            "limits": None,
            "trust": (),
            "trust_anchor": "",
            "demonstration": any(head.demonstration for head in heads),
        }
    )


def _plan(parts: Sequence[_Part], newest: _Part, zones: Sequence[str]) -> Plan:
    """All the looking of the parts, each look once."""
    plans = [part.folder.plan for part in parts]
    names: dict[str, Resolution] = {one.name: one for plan in plans for one in plan.names}
    jobs = {job.key: job for plan in plans for job in plan.jobs}
    return Plan(
        made=newest.folder.plan.made,
        zone=zones[0] if len(zones) == 1 else "several",
        zones=tuple(zones),
        names=[names[name] for name in sorted(names)],
        jobs=sorted(jobs.values(), key=lambda job: (job.endpoint.address, job.probe, job.key)),
    )


def _told(part: _Part) -> Part:
    says = part.bundle.says
    return Part(
        file=part.name,
        sha256=part.bundle.digest,
        key=part.bundle.key.id,
        units=says.units,
        run=says.run,
        observed=says.observed,
        signed=says.signed,
        systems=sum(1 for _ in part.systems()),
        seccheck=says.seccheck,
        zone=part.folder.info.zone,
    )
