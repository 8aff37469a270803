"""Criteria and sets from YAML: selected, dropped, parameterised, and compiled against the probes' fact types.

A criterion is YAML in `criteria/catalogue/`, a set is YAML that selects, drops and parameterises criteria.
Every mistake is found, with file and line, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from seccheck.criterion import LEVELS, by_level, is_by_level
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
from seccheck.expect import Compiler, Expectation, Fault
from seccheck.model import Text
from seccheck.probes import Params, Probe, Subject
from seccheck.registry import AddressFacts, DomainFacts, SystemFacts, TargetFacts
from seccheck.resources import bundled
from seccheck.selection import Assembly, Choice, shown_value
from seccheck.yamlfile import Document, did_you_mean, dotted, read_yaml, shown, validate

_Read = tuple[Document, SetFile]

REGISTRY_FACTS: dict[str, Any] = {
    "system": SystemFacts,
    "target": TargetFacts,
    "address": AddressFacts,
    "domain": DomainFacts,
}
"""What the registry declares is a fact too: the roots that need no probe."""


@dataclass
class Written:
    """A criterion where it was written: for messages with file and line."""

    text: CriterionText
    document: Document
    path: tuple[str | int, ...]

    def problem(self, key: tuple[str | int, ...], message: str, hint: str = "") -> Problem:
        """The problem `message` with what stands at `key` of the criterion."""
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


def read_criteria(files: Iterable[Path]) -> dict[str, Written]:
    """The criteria written in `files`, by id, validated in form but not yet compiled."""
    found: dict[str, Written] = {}
    problems: list[Problem] = []
    for path in files:
        try:
            document = read_yaml(path)
            parsed = validate(document, CriteriaFile)
        except InputError as error:
            problems += error.problems
            continue
        for index, text in enumerate(parsed.criteria):
            written = Written(text, document, ("criteria", index))
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
    chain = _chain(name)
    written = read_criteria([*catalogue_files(), *_own_catalogues(chain)])
    return _assemble(list(reversed(chain)), written, probes, profile, select)


def criteria_of_set(name: str) -> dict[str, Written]:
    """Every criterion that the set `name` may use, where it is written."""
    return read_criteria([*catalogue_files(), *_own_catalogues(_chain(name))])


def _chain(name: str) -> list[_Read]:
    """The set `name` and those that it extends, one after the other."""
    chain = [_read_set(name)]
    while chain[-1][1].extends:
        chain.append(_extended(chain))
    return chain


def _extended(chain: list[_Read]) -> _Read:
    """The set that the last of `chain` extends."""
    document, parsed = chain[-1]
    read = _read_set(parsed.extends, beside=document)
    if any(_same_file(read[0], seen) for seen, _ in chain):
        path = " extends ".join(Path(one.name).name for one, _ in [*chain, read])
        message = f"expected a set that does not extend itself, but {path}"
        raise InputError([document.problem(("extends",), message, "extend a bundled set, or none")])
    return read


def _same_file(one: Document, other: Document) -> bool:
    return Path(one.name).resolve() == Path(other.name).resolve()


def _own_catalogues(chain: list[_Read]) -> list[Path]:
    """The files named under `catalogue`, each once; raises `InputError` for one that is not there."""
    found: dict[Path, Path] = {}
    problems = []
    for document, parsed in chain:
        for index, file in enumerate(parsed.catalogue):
            path = Path(document.name).parent / file
            found.setdefault(path.resolve(), path)
            if not path.is_file():
                hint = _nearby(path, "a path is taken from the folder of the set")
                message = f"expected a file of criteria, but there is no {path}"
                problems.append(document.problem(("catalogue", index), message, hint))
    if problems:
        raise InputError(problems)
    bundled_ones = {path.resolve() for path in catalogue_files()}
    return [path for resolved, path in found.items() if resolved not in bundled_ones]


def _nearby(path: Path, otherwise: str) -> str:
    """The file beside `path` that was meant, perhaps."""
    names = [one.name for one in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
    return did_you_mean(path.name, names) or otherwise


def _read_set(name: str, beside: Document | None = None) -> _Read:
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        path = bundled("criteria") / f"{name}.yaml"
        if name not in bundled_sets():
            hint = did_you_mean(name, bundled_sets()) or (
                f"bundled sets: {', '.join(bundled_sets())}; or name a .yaml file"
            )
            message = f"expected a criteria set, found {name!r}"
            if beside:
                raise InputError([beside.problem(("extends",), message, hint)])
            raise InputError.at("-c", message, hint=hint)
    elif beside:
        path = Path(beside.name).parent / path
        if not path.is_file():
            message = f"expected a criteria set, but there is no {path}"
            hint = _nearby(path, "a path is taken from the folder of the set")
            raise InputError([beside.problem(("extends",), message, hint)])
    document = read_yaml(path)
    return document, validate(document, SetFile)


def _assemble(
    chain: list[_Read],
    written: Mapping[str, Written],
    probes: Mapping[str, Probe[Any, Any]],
    profile: str,
    select: str,
) -> CriteriaSet:
    """The set that the last of `chain` makes of those before it."""
    assembly = Assembly({name: one.text for name, one in written.items()})
    for document, parsed in chain:
        assembly.add(document, parsed)
    problems = list(assembly.problems)
    compiled = []
    for identifier, choice in sorted(assembly.chosen.items()):
        criterion, found = _compile(written[identifier], choice, probes, load_sources())
        problems += found
        if criterion:
            compiled.append(criterion)
    problems += assembly.eased_in_silence({one.id: one for one in compiled})
    if not problems and not compiled:
        message = "expected at least one criterion that is used"
        problems = [chain[-1][0].problem(("criteria",), message, 'such as: - use: "TLS-*"')]
    if problems:
        raise InputError(problems)
    wanted = [one for one in compiled if profile == "full" or not one.needs_document]
    final = chain[-1][1]
    return CriteriaSet(
        id=final.id,
        version=final.version,
        name=final.name,
        note=final.note,
        profile=profile,
        criteria=tuple(_select(wanted, select)),
        sources=load_sources(),
        dropped=assembly.dropped,
        eased=assembly.eased,
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


def _compile(
    written: Written, choice: Choice, probes: Mapping[str, Probe[Any, Any]], sources: Mapping[str, Any]
) -> tuple[Criterion | None, list[Problem]]:
    """The criterion with what a set chose for it, and every mistake in either."""
    text = written.text
    own = {name: by_level(value) for name, value in text.parameters.items()}
    problems = _check_levels(written) + _check_values(written, own, probes)
    problems += _check_basis(written, sources) + _check_examples(written)
    if not problems:
        problems = list(_check_chosen(written, own, choice, probes))
    if problems:
        return None, problems
    compiled = _Compiled.of(text, own, 1, probes)
    changed = {name: by_level(value) for name, value in choice.parameters.items()}
    uses = {name: set(found) for name, found in compiled.judging.uses.items()}
    if isinstance(text.evidence_months, FromParameter):
        uses.setdefault(text.evidence_months.parameter, set()).add(("at_most", 1))
    for name in _collected(text):
        uses.setdefault(name, set()).add(("looks_at", 1))
    return Criterion(
        text=text,
        parameters={**own, **changed},
        applies=compiled.applies,
        judge=compiled.judge,
        subject=_subject(compiled.probes, compiled.judging.roots | compiled.applying.roots),
        applies_reads=_declared(compiled.applying.paths),
        reads=_declared(compiled.judging.paths),
        depends_on=compiled.judging.depends_on,
        weight=choice.weight,
        effective_from=choice.effective_from,
        grace_until=choice.grace_until,
        until_then={name: by_level(value) for name, value in choice.until_then.items()},
        grace_for=choice.grace_for,
        uses={name: frozenset(found) for name, found in uses.items()},
    ), []


@dataclass
class _Compiled:
    """The expectations of a criterion, compiled with the parameters of one level."""

    probes: Mapping[str, Probe[Any, Any]]
    judging: Compiler
    applying: Compiler
    judge: Expectation
    applies: Expectation | None

    @classmethod
    def of(
        cls,
        text: CriterionText,
        parameters: Mapping[str, Mapping[int, Any]],
        level: int,
        probes: Mapping[str, Probe[Any, Any]],
    ) -> _Compiled:
        sample = {name: values[level] for name, values in parameters.items()}
        own = {name: probes[name] for name in text.collect if name in probes}
        judging = Compiler({**schema(own), **_only_evidence(text)}, sample)
        judge = judging.compile(text.expect, ("expect",))
        applying = Compiler(REGISTRY_FACTS, sample)
        applies = applying.compile(text.applies_if, ("applies_if",)) if text.applies_if else None
        return cls(own, judging, applying, judge, applies)

    @property
    def faults(self) -> list[Fault]:
        return [*self.judging.faults, *self.applying.faults]


def _check_values(
    written: Written, parameters: Mapping[str, Mapping[int, Any]], probes: Mapping[str, Probe[Any, Any]]
) -> list[Problem]:
    """What is wrong with a criterion when its parameters have these values."""
    faults = {
        fault: None
        for level in (LEVELS if parameters else LEVELS[:1])
        for fault in _Compiled.of(written.text, parameters, level, probes).faults
    }
    problems = [written.problem(fault.path, fault.message, fault.hint) for fault in faults]
    return problems + _check_collect(written, parameters, probes) + _check_months(written, parameters)


def _check_chosen(
    written: Written,
    own: Mapping[str, Mapping[int, Any]],
    choice: Choice,
    probes: Mapping[str, Probe[Any, Any]],
) -> Iterator[Problem]:
    """What is wrong with the values that a set gives, told at the place in the set."""
    for chosen, key in ((choice.parameters, "parameters"), (choice.until_then, "until_then")):
        for name, value in chosen.items():
            at = choice.places.get((key, name))
            if at is None:  # read back from a run, where it was checked
                continue
            if unlike := _unlike(own[name][1], value):
                yield at.problem(f"expected {unlike} for {name} of {written.text.id}, found {shown(value)}")
            elif found := _check_values(written, {**own, name: by_level(value)}, probes):
                yield at.problem(f"{name} of {written.text.id}: {found[0].message}", found[0].hint)
            elif key == "until_then" and name in _collected(written.text):
                yield at.problem(
                    f"expected a parameter that only `expect` uses; {name} decides what is looked at",
                    "leave the grace to the whole criterion",
                )


def _unlike(sample: Any, value: Any) -> str:
    """What was expected instead of `value` for a parameter whose own value is `sample`; empty: it fits."""
    values = value.values() if is_by_level(value) else [value]
    if is_by_level(value) and not set(value) <= set(LEVELS):
        return "levels from 1 to 5"
    if all(type(one) is type(sample) for one in values):
        return ""
    kinds = {int: "a whole number", str: "text", bool: "true or false", list: "a list"}
    return f"{kinds.get(type(sample), 'a value like the one it has')} such as {shown_value(sample)}"


def _collected(text: CriterionText) -> set[str]:
    """The parameters that decide what is looked at."""
    return {
        value["parameter"]
        for params in text.collect.values()
        for value in params.values()
        if isinstance(value, dict) and set(value) == {"parameter"}
    }


def _check_levels(written: Written) -> list[Problem]:
    problems = []
    for name, value in written.text.parameters.items():
        own = next(iter(value.values())) if is_by_level(value) and value else value
        if unlike := _unlike(own, value):
            problems.append(written.problem(("parameters", name), f"expected {unlike} at every level"))
    return problems


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


def _check_basis(written: Written, sources: Mapping[str, Any]) -> list[Problem]:
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


def _check_examples(written: Written) -> list[Problem]:
    seen = {example.then for example in written.text.examples}
    missing = [verdict for verdict in ("pass", "fail", "inconclusive") if verdict not in seen]
    if not missing:
        return []
    expected = "expected at least one example each of pass, fail and inconclusive"
    return [written.problem(("examples",), f"{expected}; missing: {', '.join(missing)}")]


def _check_months(written: Written, parameters: Mapping[str, Mapping[int, Any]]) -> list[Problem]:
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
    written: Written, parameters: Mapping[str, Mapping[int, Any]], probes: Mapping[str, Probe[Any, Any]]
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
        parameters = _levels({**entry["parameters"], **entry.get("afterwards", {})})
        if isinstance(months := own.get("evidence_months"), dict) and "parameter" not in months:
            own["evidence_months"] = {int(at): v for at, v in months.items()}
        text = CriterionText.model_validate({**own, "parameters": parameters})
        choice = Choice(
            weight=entry["weight"],
            effective_from=date.fromisoformat(entry["effective_from"]) if entry["effective_from"] else None,
            grace_until=date.fromisoformat(entry["grace_until"]) if entry["grace_until"] else None,
            until_then=_levels(entry["until_then"]),
            grace_for=entry["grace_for"],
        )
        written = Written(text, Document.of(data, name), ("criteria", index))
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
        eased=head["eased"],
        of=head["of"],
    )


def _levels(parameters: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[int, Any]]:
    return {name: {int(at): value for at, value in values.items()} for name, values in parameters.items()}


def compile_alone(path: Path, probes: Mapping[str, Probe[Any, Any]]) -> list[Criterion]:
    """The criteria of one file, compiled with their own parameters, without a set."""
    compiled: list[Criterion] = []
    problems: list[Problem] = []
    for written in read_criteria([path]).values():
        criterion, found = _compile(written, Choice(), probes, load_sources())
        problems += found
        if criterion:
            compiled.append(criterion)
    if problems:
        raise InputError(problems)
    return compiled
