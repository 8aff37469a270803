"""For authors of criteria: check a file, run its examples, describe a criterion, give the JSON Schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from seccheck.assessment import judge
from seccheck.clashes import clashes, twin
from seccheck.criteria import (
    Basis,
    CriteriaFile,
    CriteriaSet,
    Criterion,
    Example,
    SetFile,
    Written,
    catalogue_files,
    compile_alone,
    criteria_of_set,
    load_criteria,
    load_sources,
    read_criteria,
    schema,
)
from seccheck.errors import InputError, Problem
from seccheck.finding import Finding
from seccheck.hosts import DIRECT_TLS, STARTTLS
from seccheck.judgement import Evidence, Failure
from seccheck.model import Model, Reason, Text, Verdict
from seccheck.probes import load_probes
from seccheck.reference import load_reference
from seccheck.registry import Registry
from seccheck.runfolder import RunFolder
from seccheck.yamlfile import read_yaml

_DEFAULTS: dict[str, dict[str, Any]] = {
    "system": {
        "id": "example",
        "unit": "example",
        "unit_kind": "ministry",
        "level": 3,
        "tags": [],
        "zone": "",
        "domains": [],
        "services": ["https"],
    },
    "target": {
        "id": "example",
        "host": "www.example.gov.vn",
        "port": 443,
        "service": "https",
        "has_https": True,
        "is_name": True,
    },
    "address": {
        "address": "203.0.113.7",
        "loopback": False,
        "approved_ports": [443],
        "declared_ports": [443],
    },
    "domain": {"name": "example.gov.vn"},
}
"""What an example need not say of the registry."""


@dataclass(frozen=True)
class Trial:
    """One example of a criterion: what it promises, and what the criterion says."""

    criterion: str
    index: int
    promised: tuple[str, str | None]
    found: tuple[str, str | None]

    @property
    def holds(self) -> bool:
        """Whether the promise is kept."""
        reason_fits = self.promised[1] is None or self.promised[1] == self.found[1]
        return self.promised[0] == self.found[0] and reason_fits


@cache
def _reference() -> Any:
    return load_reference()


def try_examples(criterion: Criterion) -> Iterator[Trial]:
    """Run the examples of a criterion, one by one."""
    for index, example in enumerate(criterion.text.examples):
        verdict, reason = _try(criterion, example)
        promised = (str(example.then), example.reason.value if example.reason else None)
        yield Trial(criterion.id, index, promised, (verdict.value, reason.value if reason else None))


def _try(criterion: Criterion, example: Example) -> tuple[Verdict, Reason | None]:
    given = example.given
    level = given.get("system", {}).get("level", max(3, criterion.text.from_level))
    if level < criterion.text.from_level:
        return Verdict.NOT_APPLICABLE, None
    registry = {root: {**facts, **given.get(root, {})} for root, facts in _DEFAULTS.items()}
    registry["system"]["level"] = level
    service = registry["target"]["service"]
    derived = {"tls": service in {*DIRECT_TLS, *STARTTLS}, "web": service in {"http", "https"}}
    registry["target"] = {**derived, **registry["target"]}
    looked: dict[str, Mapping[str, Any] | Failure] = {}
    for root, facts in given.items():
        if root not in registry:
            failed = facts.get("failed")
            looked[root] = Failure(Reason(failed), facts.get("detail", "")) if failed else facts
    recorded = datetime.fromisoformat(given["recorded"]["at"]) if "recorded" in given else datetime.now(UTC)
    evidence = Evidence({**registry, **looked}, recorded, criterion.at_level(level), _reference())
    if criterion.applies and criterion.applies(evidence).verdict is not Verdict.PASS:
        return Verdict.NOT_APPLICABLE, None
    judged = criterion.judge(evidence)
    return judged.verdict, judged.reason


def check(name: str) -> str:
    """Check a criteria file, a set file or a bundled set; a line that says what was checked.

    Raises `InputError` with every mistake, examples that do not hold included.
    """
    path, probes = Path(name), load_probes()
    lines = []
    if path.suffix in {".yaml", ".yml"} and _kind(path).startswith("criteria"):
        written = read_criteria([path])
        criteria = compile_alone(path, probes)
        files = [file for file in catalogue_files() if file.resolve() != path.resolve()]
        problems = list(_taken(written, read_criteria(files)))
        others = [one for file in files for one in compile_alone(file, probes)]
    else:
        loaded = load_criteria(name, probes)
        written, criteria, others, problems = criteria_of_set(name), list(loaded.criteria), [], []
        lines += [f"  {one}: left out: {reason}" for one, reason in sorted(loaded.dropped.items())]
        lines += [f"  {one}: asks less: {reason}" for one, reason in sorted(loaded.eased.items())]
    problems += _clashing(criteria, others, written)
    trials = [] if problems else [trial for one in criteria for trial in try_examples(one)]
    problems += [_broken(written[trial.criterion], trial) for trial in trials if not trial.holds]
    if problems:
        raise InputError(problems)
    return "\n".join([f"{name}: {len(criteria)} criteria, {len(trials)} examples hold", *lines])


def _taken(written: Mapping[str, Written], catalogue: Mapping[str, Written]) -> Iterator[Problem]:
    for name, one in written.items():
        if name in catalogue:
            message = f"expected an id that the catalogue does not have already, found {name}"
            yield one.problem(("id",), message, "take letters of your own, such as OWN-01")


def _clashing(
    criteria: Sequence[Criterion], others: Sequence[Criterion], written: Mapping[str, Written]
) -> Iterator[Problem]:
    types, sources = schema(load_probes()), load_sources()
    for index, one in enumerate(criteria):
        for path, message, hint in clashes(one, types, sources):
            yield written[one.id].problem(path, message, hint)
        if same := twin(one, [*others, *criteria[:index]]):
            message = f"expected a criterion that asks something new; {same.id} asks just the same"
            yield written[one.id].problem(
                ("expect",), message, "leave it out, or `use` the other with parameters"
            )


def _broken(written: Written, trial: Trial) -> Problem:
    promised, found = (" ".join(part for part in pair if part) for pair in (trial.promised, trial.found))
    return written.problem(
        ("examples", trial.index),
        f"expected {promised}, but the criterion says {found}",
        "mend the example, or what `expect` asks",
    )


def _kind(path: Path) -> str:
    data = read_yaml(path).data
    return str(data.get("seccheck", "")) if isinstance(data, dict) else ""


def describe(criteria: CriteriaSet, identifier: str, language: str) -> str:
    """A criterion in words: what, why, on what basis, how it is judged, how to mend."""
    one = criteria.by_id(identifier)
    level = f"{'từ cấp độ' if language == 'vi' else 'from level'} {one.text.from_level}"
    lines = [f"{one.id} ({one.text.severity}, {level}, {one.weight})"]
    lines += [one.statement(language), "", one.text.rationale.in_language(language), ""]
    for basis in one.text.basis:
        source = criteria.sources.get(basis.source, {})
        title = (
            source.get("title", {}).get(language, basis.source) if isinstance(source, dict) else basis.source
        )
        lines.append(f"{basis.kind}: {title} {basis.clause}".rstrip())
    lines += ["", f"collect: {json.dumps(one.text.collect, ensure_ascii=False)}"]
    if one.text.applies_if:
        lines.append(f"applies_if: {json.dumps(one.text.applies_if, ensure_ascii=False)}")
    lines += [
        f"expect: {json.dumps(one.text.expect, ensure_ascii=False)}",
        "",
        one.text.remedy.in_language(language),
    ]
    for product, setting in (one.text.remedy.model_extra or {}).items():
        lines.append(f"{product}: {setting}")
    return "\n".join(lines)


def try_against(path: Path, run: RunFolder) -> Iterator[tuple[str, Finding]]:
    """Judge the criteria of a draft file against the evidence of a stored run: system and finding.

    Nothing is written, nothing is looked at; what the draft needs and the run never collected is not-probed.
    """
    draft = CriteriaSet(
        id=path.stem,
        version="draft",
        name=Text(vi="Bản nháp", en="Draft"),
        profile="full",
        criteria=tuple(compile_alone(path, load_probes())),
        sources=load_sources(),
    )
    with run.journal() as journal:
        for result in judge(run, journal, draft):
            for finding in result.findings:
                yield result.id, finding


def catalogue_page(language: str) -> str:
    """The catalogue as a page in Markdown, generated: every criterion with its reason, basis and remedy."""
    vi = language == "vi"
    sources = load_sources()
    lines = ["# Danh mục tiêu chí" if vi else "# The catalogue of criteria", ""]
    lines += [
        "Trang này được tạo tự động từ `criteria/`." if vi else "This page is generated from `criteria/`.",
        "",
    ]
    for one in sorted(compile_all().values(), key=lambda each: each.id):
        level = f"{'từ cấp độ' if vi else 'from level'} {one.text.from_level}"
        lines += [f"## {one.id}: {one.statement(language)}", "", f"{one.text.severity}, {level}", ""]
        lines += [one.text.rationale.in_language(language).strip(), ""]
        lines += [f"- {basis_line(basis, sources, language)}" for basis in one.text.basis]
        lines += ["", one.text.remedy.in_language(language).strip(), ""]
    return "\n".join(lines)


def compile_all() -> dict[str, Criterion]:
    """Every criterion of the bundled catalogue, compiled with its own parameters."""
    return {one.id: one for path in catalogue_files() for one in compile_alone(path, load_probes())}


def basis_line(basis: Basis, sources: Mapping[str, Any], language: str) -> str:
    """The clause that a criterion rests on, and how binding it is."""
    from seccheck.reports.words import Words

    words = Words(language)
    source = sources.get(basis.source, {})
    title = source.get("title", {}).get(language, basis.source)
    return f"{words.bases[basis.kind]}: {words.cited(title, source.get('number', ''), basis.clause)}"


def json_schema(what: str) -> str:
    """The JSON Schema (draft 2020-12) of a file format, as text."""
    from seccheck.waivers import WaiverFile

    models: dict[str, type[Model]] = {
        "criteria": CriteriaFile,
        "set": SetFile,
        "registry": Registry,
        "waivers": WaiverFile,
    }
    if what == "results":
        return (Path(__file__).parent / "schemas" / "results-1.schema.json").read_text(encoding="utf-8")
    if what not in models:
        near = get_close_matches(what, [*models, "results"], 1)
        hint = f"did you mean {near[0]}?" if near else ""
        raise InputError.at(
            "criteria schema", f"expected one of {', '.join([*models, 'results'])}; found {what!r}", hint=hint
        )
    return json.dumps(models[what].model_json_schema(by_alias=True), indent=1, ensure_ascii=False) + "\n"
