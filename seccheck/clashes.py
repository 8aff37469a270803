"""What is wrong with criteria though each part is well formed: contradictions, duplicates, empty promises."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import product
from typing import Any

from seccheck import facttypes
from seccheck.criterion import LEVELS, Criterion
from seccheck.hosts import DIRECT_TLS, STARTTLS
from seccheck.judgement import Evidence
from seccheck.model import Verdict, canonical
from seccheck.yamlfile import did_you_mean

Path = tuple[str | int, ...]
Clash = tuple[Path, str, str]
"""Where in a criterion, what was expected, what to try."""

_VIETNAMESE = re.compile(
    "[àáảãạăằắẳẵặâầấẩẫậđèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵ]", re.IGNORECASE
)
_LONG = 12
"""Characters from which on no Vietnamese text does without a letter that only Vietnamese writes."""
_SERVICES = (*DIRECT_TLS, *STARTTLS, "http", "ssh", "telnet", "dns", "tcp")


def clashes(criterion: Criterion, types: Mapping[str, Any], sources: Mapping[str, Any]) -> Iterator[Clash]:
    """Everything that is wrong with one criterion. `types`: the record behind each root of a fact path."""
    yield from _language(criterion)
    yield from _statement(criterion)
    yield from _basis(criterion, sources)
    yield from _contradictions(criterion, criterion.text.expect, ("expect",))
    if criterion.text.applies_if:
        yield from _contradictions(criterion, criterion.text.applies_if, ("applies_if",))
        yield from _unreachable(criterion)
    yield from _given(criterion, types)


def twin(criterion: Criterion, others: Iterable[Criterion]) -> Criterion | None:
    """The one of `others` that asks just the same."""
    return next((one for one in others if one.id != criterion.id and _asks(one) == _asks(criterion)), None)


def _asks(criterion: Criterion) -> bytes:
    text = criterion.text
    said = text.statement.en if criterion.needs_document else ""
    parameters = [[name, sorted(values.items())] for name, values in sorted(criterion.parameters.items())]
    return canonical([text.applies_if, text.expect, text.collect, said, parameters])


# ------------------------------------------------------------------------------------------------- language


def _language(criterion: Criterion) -> Iterator[Clash]:
    for key in ("statement", "rationale", "remedy"):
        text = getattr(criterion.text, key)
        for language, own in (("vi", True), ("en", False)):
            words = text.in_language(language)
            if not words.strip():
                yield (key, language), "expected a sentence, found nothing", ""
            elif own and len(words) >= _LONG and not _VIETNAMESE.search(words):
                yield (
                    (key, language),
                    "expected Vietnamese with its diacritics",
                    "write dấu: Phiên TLS, not Phien TLS",
                )
            elif not own and _VIETNAMESE.search(words):
                yield (
                    (key, language),
                    "expected English, found Vietnamese letters",
                    "vi and en may be exchanged",
                )


def _statement(criterion: Criterion) -> Iterator[Clash]:
    for language in ("vi", "en"):
        for name in re.findall(r"\{(\w+)\}", criterion.text.statement.in_language(language)):
            if name not in criterion.parameters:
                known = ", ".join(criterion.parameters) or "it has none"
                hint = did_you_mean(name, criterion.parameters) or "declare it under `parameters`"
                yield (
                    ("statement", language),
                    f"expected parameters of this criterion ({known}), found {{{name}}}",
                    hint,
                )


def _basis(criterion: Criterion, sources: Mapping[str, Any]) -> Iterator[Clash]:
    """No clause binds that was not read (criteria/README.md, Basis)."""
    for index, basis in enumerate(criterion.text.basis):
        source = sources.get(basis.source, {})
        if not source.get("cite", True):
            message = f"expected a source that was read; {basis.source} may not be cited"
            yield ("basis", index, "source"), message, "kind: project-choice, source: seccheck"
        elif source.get("found") == "second-hand" and basis.kind != "interpretation":
            message = (
                f"expected interpretation, since {basis.source} is known second-hand; found {basis.kind}"
            )
            yield ("basis", index, "kind"), message, "kind: interpretation, with a note that says so"


# --------------------------------------------------------------------------------------------- contradictions


def _contradictions(criterion: Criterion, node: Any, path: Path) -> Iterator[Clash]:
    """Parts of one `all` that no value can meet together."""
    if isinstance(node, list):
        for index, part in enumerate(node):
            yield from _contradictions(criterion, part, (*path, index))
    if not isinstance(node, dict):
        return
    for key in ("all", "any", "not", "where", "expect"):
        if key in node:
            yield from _contradictions(criterion, node[key], (*path, key))
    parts = list(_conjuncts(node.get("all", ()), (*path, "all")))
    for number, (at, later) in enumerate(parts):
        for _, earlier in parts[:number]:
            if any(
                _exclude(_filled(earlier, criterion, level), _filled(later, criterion, level))
                for level in LEVELS
            ):
                message = f"expected what can hold together with {_told(earlier)}, found {_told(later)}"
                yield at, message, "leave out one of the two, or put them under `any`"
                return


def _conjuncts(parts: Sequence[Any], path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for index, part in enumerate(parts):
        if isinstance(part, dict) and "all" in part:
            yield from _conjuncts(part["all"], (*path, index, "all"))
        elif isinstance(part, dict) and "fact" in part:
            yield (*path, index), part


def _filled(part: Mapping[str, Any], criterion: Criterion, level: int) -> dict[str, Any]:
    """A comparison with the value of its parameter; without its operator where another fact decides."""
    filled = {"fact": part["fact"]}
    for key, value in part.items():
        if isinstance(value, dict):
            if "parameter" in value:
                filled[key] = criterion.parameters[value["parameter"]][level]
        else:
            filled[key] = value
    return filled


def _exclude(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether no value of the fact meets both comparisons."""
    if one["fact"] != other["fact"]:
        return False
    both = {**one, **other}
    values = [set(_values(part)) for part in (one, other) if {"equals", "in"} & part.keys()]
    if len(values) == 2:
        return not values[0] & values[1]
    if values:
        return not any(
            value >= both.get("at_least", value) and value <= both.get("at_most", value)
            for value in values[0]
            if type(value) is int
        ) and bool({"at_least", "at_most"} & both.keys())
    if {"at_least", "at_most"} <= both.keys():
        return bool(both["at_least"] > both["at_most"])
    if "contains" in both:
        allowed, refused = both.get("subset_of"), both.get("disjoint_from", ())
        outside = allowed is not None and both["contains"] not in allowed
        return outside or both["contains"] in refused or both.get("empty") is True
    return {"after", "before"} <= both.keys() or one.get("empty", both.get("empty")) != both.get("empty")


def _values(part: Mapping[str, Any]) -> list[Any]:
    return list(part["in"]) if "in" in part else [part["equals"]]


def _told(part: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in part.items()) + "}"


# -------------------------------------------------------------------------------------------------- reaching


def _unreachable(criterion: Criterion) -> Iterator[Clash]:
    """`applies_if` that no system can meet, whatever its level, services and kind of unit."""
    assert criterion.applies is not None  # noqa: S101
    now = datetime.now(UTC)
    levels = range(criterion.text.from_level, max(LEVELS) + 1)
    kinds = ("ministry", "locality", "enterprise", "other")
    for level, kind, service, flag in product(levels, kinds, _SERVICES, (True, False)):
        tls, web = service in {*DIRECT_TLS, *STARTTLS}, service in {"http", "https"}
        facts: dict[str, Mapping[str, Any]] = {
            "system": {"level": level, "unit_kind": kind},
            "target": {"service": service, "tls": tls, "web": web, "has_https": flag, "is_name": flag},
            "address": {"loopback": flag},
            "domain": {},
        }
        if criterion.applies(Evidence(facts, now, criterion.at_level(level))).verdict is not Verdict.FAIL:
            return
    message = "expected a condition that some system of this level can meet; this one never holds"
    yield ("applies_if",), message, "services, levels and kinds of unit exclude each other here"


# -------------------------------------------------------------------------------------------------- examples


def _given(criterion: Criterion, types: Mapping[str, Any]) -> Iterator[Clash]:
    """Facts in examples that there are not: such an example shows nothing."""
    for index, example in enumerate(criterion.text.examples):
        for root, facts in example.given.items():
            at: Path = ("examples", index, "given", root)
            if root == "recorded":
                continue
            if root not in types:
                yield at, f"expected one of {', '.join(sorted(types))}, recorded", did_you_mean(root, types)
                continue
            known = facttypes.fields(types[root])
            for name in facts:
                if known and name not in {*known, "failed", "detail", "undecided"}:
                    hint = did_you_mean(name, known)
                    yield (*at, name), f"expected a fact of {root}, found {name!r}", hint
