"""Criteria and sets from YAML: selected, dropped, parameterised, and compiled against the probes' fact types.

A criterion is YAML in `criteria/catalogue/`, a set is YAML that selects, drops and parameterises criteria.
Every mistake is found, with file and line, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from seccheck.criterion import LEVELS, by_level
from seccheck.criterion import Basis as Basis
from seccheck.criterion import CriteriaFile as CriteriaFile
from seccheck.criterion import CriteriaSet as CriteriaSet
from seccheck.criterion import Criterion as Criterion
from seccheck.criterion import CriterionText as CriterionText
from seccheck.criterion import DocumentFacts as DocumentFacts
from seccheck.criterion import Example as Example
from seccheck.criterion import FromParameter as FromParameter
from seccheck.criterion import SetEntry as SetEntry
from seccheck.criterion import SetFile as SetFile
from seccheck.errors import InputError, Problem
from seccheck.expect import Compiler, Fault
from seccheck.model import Text
from seccheck.probes import Params, Probe, Subject
from seccheck.registry import AddressFacts, DomainFacts, SystemFacts, TargetFacts
from seccheck.resources import bundled
from seccheck.yamlfile import Document, dotted, read_yaml, validate

REGISTRY_FACTS: dict[str, Any] = {
    "system": SystemFacts,
    "target": TargetFacts,
    "address": AddressFacts,
    "domain": DomainFacts,
}
"""What the registry declares is a fact too: the roots that need no probe."""


@dataclass
class _Written:
    """A criterion where it was written: for messages with file and line."""

    text: CriterionText
    document: Document
    path: tuple[str | int, ...]

    def problem(self, key: tuple[str | int, ...], message: str, hint: str = "") -> Problem:
        path = (*self.path, *key)
        return Problem(
            self.document.name, self.document.line(path), f"{self.text.id}: {dotted(key)}", message, hint
        )


def schema(probes: Mapping[str, Probe[Any, Any]]) -> dict[str, Any]:
    """The type behind every root of a fact path."""
    return {
        **REGISTRY_FACTS,
        **{name: probe.facts for name, probe in probes.items()},
        "evidence": DocumentFacts,
    }


def catalogue_files() -> list[Path]:
    """The catalogue files that ship with seccheck."""
    return sorted(bundled("criteria").joinpath("catalogue").glob("*.yaml"))


def bundled_sets() -> list[str]:
    """The ids of the criteria sets that ship with seccheck."""
    return sorted(path.stem for path in bundled("criteria").glob("*.yaml") if path.stem != "sources")


@cache
def load_sources() -> dict[str, Any]:
    """The legal and technical sources that a basis may cite, by key."""
    return dict(read_yaml(bundled("criteria") / "sources.yaml").data.get("sources", {}))


def read_criteria(files: Iterable[Path]) -> dict[str, _Written]:
    """The criteria written in `files`, by id, validated in form but not yet compiled."""
    found: dict[str, _Written] = {}
    problems: list[Problem] = []
    for path in files:
        try:
            document = read_yaml(path)
            parsed = validate(document, CriteriaFile)
        except InputError as error:
            problems += error.problems
            continue
        for index, text in enumerate(parsed.criteria):
            written = _Written(text, document, ("criteria", index))
            if text.id in found:
                other = found[text.id]
                place = f"{other.document.name}:{other.document.line(other.path)}"
                problems.append(
                    written.problem(("id",), f"expected a new id; {text.id} stands in {place} already")
                )
            found[text.id] = written
    if problems:
        raise InputError(problems)
    return found


def load_criteria(
    name: str,
    probes: Mapping[str, Probe[Any, Any]],
    *,
    profile: str = "full",
    select: str = "",
) -> CriteriaSet:
    """The criteria set `name` (a bundled id or a file), compiled.

    `profile` is `full` or `technical` (what needs no document); `select` comma-separated globs over ids.
    Raises `InputError` with every mistake in the set and its criteria.
    """
    if profile not in {"full", "technical"}:
        raise InputError.at("--profile", f"expected technical or full, found {profile!r}")
    document, parsed = _read_set(name)
    chain = [(document, parsed)]
    while chain[-1][1].extends:
        base = _read_set(chain[-1][1].extends, beside=chain[-1][0])
        if any(base[1].id == seen.id for _, seen in chain):
            raise InputError.at(
                chain[-1][0].name,
                f"expected a set that does not extend itself, found {base[1].id!r}",
                key="extends",
            )
        chain.append(base)
    extra = [Path(doc.name).parent / file for doc, one in chain for file in one.catalogue]
    written = read_criteria([*catalogue_files(), *extra])
    return _assemble(parsed, list(reversed(chain)), written, probes, profile, select)


def _read_set(name: str, beside: Document | None = None) -> tuple[Document, SetFile]:
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        path = bundled("criteria") / f"{name}.yaml"
        if name not in bundled_sets():
            near = get_close_matches(name, bundled_sets(), 1)
            hint = (
                f"did you mean {near[0]!r}?"
                if near
                else f"bundled sets: {', '.join(bundled_sets())}; or name a .yaml file"
            )
            raise InputError.at(
                beside.name if beside else "-c", f"expected a criteria set, found {name!r}", hint=hint
            )
    elif beside and not path.is_absolute():
        path = Path(beside.name).parent / path
    document = read_yaml(path)
    return document, validate(document, SetFile)


@dataclass
class _Choice:
    weight: Literal["counted", "advised"] = "counted"
    parameters: dict[str, Any] = field(default_factory=dict)
    effective_from: date | None = None
    grace_until: date | None = None


def _assemble(
    final: SetFile,
    chain: list[tuple[Document, SetFile]],
    written: Mapping[str, _Written],
    probes: Mapping[str, Probe[Any, Any]],
    profile: str,
    select: str,
) -> CriteriaSet:
    chosen: dict[str, _Choice] = {}
    dropped: dict[str, str] = {}
    problems: list[Problem] = []
    for document, one in chain:
        for index, entry in enumerate(one.criteria):
            place = Problem(document.name, document.line(("criteria", index)), f"criteria[{index}]", "")
            problems += _apply(
                SetEntry(use=entry) if isinstance(entry, str) else entry, written, chosen, dropped, place
            )
    compiled = []
    for identifier, choice in sorted(chosen.items()):
        criterion, found = _compile(written[identifier], choice, probes, load_sources())
        problems += found
        if criterion:
            compiled.append(criterion)
    if problems:
        raise InputError(problems)
    wanted = [one for one in compiled if profile == "full" or not one.needs_document]
    return CriteriaSet(
        id=final.id,
        version=final.version,
        name=final.name,
        note=final.note,
        profile=profile,
        criteria=tuple(_select(wanted, select)),
        sources=load_sources(),
        dropped=dropped,
        of=len(wanted),
    )


def _select(criteria: list[Criterion], select: str) -> list[Criterion]:
    globs = [glob.strip() for glob in select.split(",") if glob.strip()]
    for glob in globs:
        if not any(fnmatchcase(one.id, glob) for one in criteria):
            near = get_close_matches(glob, [one.id for one in criteria], 1)
            hint = f"did you mean {near[0]}?" if near else "`seccheck criteria list` shows the ids"
            raise InputError.at(
                "--select", f"expected globs that match criterion ids, but {glob!r} matches none", hint=hint
            )
    return [one for one in criteria if not globs or any(fnmatchcase(one.id, glob) for glob in globs)]


def _apply(
    entry: SetEntry,
    written: Mapping[str, _Written],
    chosen: dict[str, _Choice],
    dropped: dict[str, str],
    place: Problem,
) -> list[Problem]:
    """Carry out one line of a set; the mistakes in it."""

    def problem(message: str, hint: str = "") -> list[Problem]:
        return [Problem(place.file, place.line, place.key, message, hint)]

    if bool(entry.use) == bool(entry.drop):
        return problem("expected either `use` or `drop`")
    glob = entry.use or entry.drop
    matching = [one for one in (written if entry.use else chosen) if fnmatchcase(one, glob)]
    if not matching:
        near = get_close_matches(glob, list(written), 1)
        what = "a criterion" if entry.use else "a criterion that this set has"
        return problem(
            f"expected {what}, but {glob!r} matches none", f"did you mean {near[0]}?" if near else ""
        )
    if entry.drop:
        if not entry.reason:
            return problem("expected a `reason` beside `drop`")
        for one in matching:
            del chosen[one]
            dropped[one] = entry.reason if isinstance(entry.reason, str) else entry.reason.en
        return []
    problems = []
    for one in matching:
        unknown = [name for name in entry.parameters if name not in written[one].text.parameters]
        if unknown:
            known = ", ".join(written[one].text.parameters) or "none"
            problems += problem(f"expected parameters of {one} ({known}), found {unknown[0]!r}")
            continue
        choice = chosen.setdefault(one, _Choice())
        dropped.pop(one, None)
        choice.weight = entry.weight or choice.weight
        choice.parameters.update(entry.parameters)
        choice.effective_from = entry.effective_from or choice.effective_from
        choice.grace_until = entry.grace_until or choice.grace_until
    return problems


def _compile(
    written: _Written, choice: _Choice, probes: Mapping[str, Probe[Any, Any]], sources: Mapping[str, Any]
) -> tuple[Criterion | None, list[Problem]]:
    text = written.text
    parameters = {name: by_level({**text.parameters, **choice.parameters}[name]) for name in text.parameters}
    sample = {name: values[1] for name, values in parameters.items()}
    problems = _check_collect(written, parameters, probes)
    own = {name: probes[name] for name in text.collect if name in probes}
    judging = Compiler({**schema(own), **_only_evidence(text)}, sample)
    judge = judging.compile(text.expect, ("expect",))
    applying = Compiler(REGISTRY_FACTS, sample)
    applies = applying.compile(text.applies_if, ("applies_if",)) if text.applies_if else None
    faults: list[Fault] = [*judging.faults, *applying.faults]
    problems += [written.problem(fault.path, fault.message, fault.hint) for fault in faults]
    problems += _check_basis(written, sources) + _check_examples(written) + _check_months(written, parameters)
    if problems:
        return None, problems
    return Criterion(
        text=text,
        parameters=parameters,
        applies=applies,
        judge=judge,
        subject=_subject(own, judging.roots | applying.roots),
        applies_reads=_declared(applying.paths),
        reads=_declared(judging.paths),
        depends_on=judging.depends_on,
        weight=choice.weight,
        effective_from=choice.effective_from,
        grace_until=choice.grace_until,
    ), []


def _declared(paths: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Those of `paths` that the registry answers."""
    return tuple(sorted(path for path in paths if path[0] in REGISTRY_FACTS))


def _only_evidence(text: CriterionText) -> dict[str, Any]:
    return {"evidence": DocumentFacts} if "evidence" in text.collect else {}


def _subject(
    probes: Mapping[str, Probe[Any, Any]], roots: set[str]
) -> Literal["system", "target", "address", "domain"]:
    """What one finding is about: the narrowest thing that the criterion reads."""
    looks: set[Subject] = {probe.subject for probe in probes.values()}
    if looks & {"endpoint", "name"} or "target" in roots:
        return "target"
    if "address" in looks or "address" in roots:
        return "address"
    return "domain" if "domain" in looks or "domain" in roots else "system"


def _check_basis(written: _Written, sources: Mapping[str, Any]) -> list[Problem]:
    problems = []
    for index, basis in enumerate(written.text.basis):
        if basis.source not in sources:
            near = get_close_matches(basis.source, list(sources), 1)
            hint = f"did you mean {near[0]!r}?" if near else "add it to criteria/sources.yaml"
            problems.append(
                written.problem(
                    ("basis", index, "source"),
                    f"expected a key of sources.yaml, found {basis.source!r}",
                    hint,
                )
            )
    return problems


def _check_examples(written: _Written) -> list[Problem]:
    seen = {example.then for example in written.text.examples}
    missing = [verdict for verdict in ("pass", "fail", "inconclusive") if verdict not in seen]
    if not missing:
        return []
    expected = "expected at least one example each of pass, fail and inconclusive"
    return [written.problem(("examples",), f"{expected}; missing: {', '.join(missing)}")]


def _check_months(written: _Written, parameters: Mapping[str, Mapping[int, Any]]) -> list[Problem]:
    months = written.text.evidence_months
    if not isinstance(months, FromParameter):
        return []
    key = ("evidence_months", "parameter")
    if months.parameter not in parameters:
        near = get_close_matches(months.parameter, list(parameters), 1)
        hint = f"did you mean {near[0]!r}?" if near else "declare it under `parameters`"
        return [
            written.problem(key, f"expected a parameter of this criterion, found {months.parameter!r}", hint)
        ]
    if not all(type(value) is int and value > 0 for value in parameters[months.parameter].values()):
        return [written.problem(key, f"expected months as whole numbers above 0 in {months.parameter!r}")]
    return []


def _check_collect(
    written: _Written, parameters: Mapping[str, Mapping[int, Any]], probes: Mapping[str, Probe[Any, Any]]
) -> list[Problem]:
    problems = []
    for name, params in written.text.collect.items():
        if name not in probes:
            near = get_close_matches(name, list(probes), 1)
            hint = f"did you mean {near[0]!r}?" if near else "`seccheck probes` lists them"
            problems.append(
                written.problem(("collect", name), f"expected an installed probe, found {name!r}", hint)
            )
            continue
        for level in LEVELS:
            values = {key: per_level[level] for key, per_level in parameters.items()}
            try:
                make_params(probes[name], params, values, {})
            except (msgspec.ValidationError, KeyError) as error:
                problems.append(
                    written.problem(("collect", name), f"expected parameters of the {name} probe: {error}")
                )
                break
    return problems


def make_params(
    probe: Probe[Any, Any],
    written: Mapping[str, Any],
    parameters: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> Params:
    """The probe's parameters, with {parameter: NAME} and {fact: PATH of the registry} filled in.

    Raises msgspec.ValidationError or KeyError when they do not fit the probe.
    """

    def fill(value: Any) -> Any:
        if isinstance(value, dict) and set(value) == {"parameter"}:
            return parameters[value["parameter"]]
        if isinstance(value, dict) and set(value) == {"fact"}:
            root, _, key = value["fact"].partition(".")
            return facts.get(root, {}).get(key, ())
        return value

    params: Params = msgspec.convert({key: fill(value) for key, value in written.items()}, probe.params)
    return params


def criteria_from_data(
    data: Mapping[str, Any], probes: Mapping[str, Probe[Any, Any]], name: str = "criteria.json"
) -> CriteriaSet:
    """The set that `CriteriaSet.as_data` wrote, compiled again.

    Raises `InputError` when it does not fit the installed probes.
    """
    head = data["set"]
    compiled: list[Criterion] = []
    problems: list[Problem] = []
    for index, entry in enumerate(data["criteria"]):
        own = {key: value for key, value in entry.items() if key in CriterionText.model_fields}
        parameters = {
            key: {int(at): v for at, v in values.items()} for key, values in entry["parameters"].items()
        }
        if isinstance(months := own.get("evidence_months"), dict) and "parameter" not in months:
            own["evidence_months"] = {int(at): v for at, v in months.items()}
        text = CriterionText.model_validate({**own, "parameters": parameters})
        choice = _Choice(
            entry["weight"],
            {},
            date.fromisoformat(entry["effective_from"]) if entry["effective_from"] else None,
            date.fromisoformat(entry["grace_until"]) if entry["grace_until"] else None,
        )
        written = _Written(text, Document.of(data, name), ("criteria", index))
        criterion, found = _compile(written, choice, probes, data["sources"])
        problems += found
        if criterion:
            compiled.append(criterion)
    if problems:
        raise InputError(problems)
    return CriteriaSet(
        id=head["id"],
        version=head["version"],
        name=Text(**head["name"]),
        note=Text(**head["note"]) if head["note"] else None,
        profile=data["profile"],
        criteria=tuple(compiled),
        sources=data["sources"],
        dropped=head["dropped"],
        of=head["of"],
    )


def compile_alone(path: Path, probes: Mapping[str, Probe[Any, Any]]) -> list[Criterion]:
    """The criteria of one file, compiled with their own parameters, without a set."""
    compiled: list[Criterion] = []
    problems: list[Problem] = []
    for written in read_criteria([path]).values():
        criterion, found = _compile(written, _Choice(), probes, load_sources())
        problems += found
        if criterion:
            compiled.append(criterion)
    if problems:
        raise InputError(problems)
    return compiled
