"""Reporting units: the ministries and localities that owe a review, in lists that ship with seccheck.

An id means something only inside its list: `tuyen-quang` of `vn-2024` and of `vn-2025` are different
territories. Where the lists come from, and what in them is inferred: docs/unit-lists.md.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, StringConstraints

from seccheck.model import Model, Text
from seccheck.yamlfile import Mistake, did_you_mean, read_yaml, validate

T = TypeVar("T")

Listed = Annotated[tuple[T, ...], Field(strict=False)]
"""A YAML list, kept as a tuple."""

Identifier = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=128),
    Field(json_schema_extra={"expected": "an id of lower-case letters, digits, '.', '_' and '-'"}),
]


def _one_line(text: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise Mistake("expected text on one line, found a line break or a control character")
    return text


Line = Annotated[str, StringConstraints(max_length=500), AfterValidator(_one_line)]
"""Free text on one line."""

Kind = Literal["ministry", "locality", "enterprise", "other"]


class Unit(Model):
    """A body that owns systems and reports on them."""

    id: Identifier
    kind: Kind
    name: Text
    contact: Line = ""
    formed_from: Listed[Identifier] = ()
    """The units of the list before this one that were merged into it."""


class _UnitsFile(Model):
    seccheck: Literal["units/1"]
    units: Listed[Unit]


_FOLDER = Path(__file__).parent / "_units"


@cache
def bundled_lists() -> tuple[str, ...]:
    """The names of the lists that ship with seccheck."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


@cache
def load_units(name: str) -> tuple[Unit, ...]:
    """The units of the bundled list `name`. Raises `Mistake` for a list that does not exist."""
    if name not in bundled_lists():
        known = ", ".join(bundled_lists())
        hint = did_you_mean(name, bundled_lists())
        raise Mistake(f"expected a bundled unit list ({known}), found {name!r}", hint=hint)
    document = read_yaml(_FOLDER / f"{name}.yaml", f"{name}.yaml")
    return validate(document, _UnitsFile).units


def unit_hint(wanted: str, units: Sequence[Unit]) -> str:
    """What to write instead of the unknown unit `wanted`: the nearest id, or what it was merged into."""
    for unit in units:
        if wanted in unit.formed_from:
            return f"{wanted!r} has become part of {unit.id!r} ({unit.name.vi})"
    ids = [unit.id for unit in units]
    some = f"{', '.join(ids[:3])}; docs/unit-lists.md has all {len(ids)}" if len(ids) > 20 else ", ".join(ids)
    return did_you_mean(wanted, ids) or f"units: {some}"


def plain(text: str) -> str:
    """`text` for comparing: lower-case, without diacritics and punctuation."""
    bare = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    kept = "".join(c if c.isalnum() else " " for c in bare if unicodedata.category(c) != "Mn")
    return " ".join(kept.casefold().split())


_TITLES = ("bo ", "ubnd ", "uy ban nhan dan ", "tinh ", "thanh pho ", "tp ", "ministry of ", "province of ")
_TAILS = (" province", " city")


def _short(text: str) -> str:
    """A unit's name without what offices write or leave out: UBND, tỉnh, thành phố, bộ, Province."""
    text = plain(text)
    shortened = True
    while shortened:
        shortened = False
        for title in _TITLES:
            if text.startswith(title) and len(text) > len(title):
                text, shortened = text[len(title) :], True
        for tail in _TAILS:
            if text.endswith(tail) and len(text) > len(tail):
                text, shortened = text[: -len(tail)], True
    return text


def find_unit(wanted: str, units: Iterable[Unit]) -> Unit:
    """The unit that `wanted` means: an id, or a name with or without diacritics and titles.

    Raises `Mistake` when it means none, or more than one, and names the nearest.
    """
    units = tuple(units)
    for unit in units:
        if wanted.strip().lower() == unit.id:
            return unit
    for simplify in (plain, _short):
        key = simplify(wanted)
        found = [unit for unit in units if key in {simplify(unit.name.vi), simplify(unit.name.en)}]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(f"{unit.id} ({unit.name.vi})" for unit in found)
            raise Mistake(f"expected one unit, found {wanted!r}, which may mean {names}", hint="write the id")
    names_to_unit = {_short(name): unit for unit in units for name in (unit.name.en, unit.name.vi, unit.id)}
    merged = {_short(old): unit for unit in units for old in unit.formed_from}
    if heir := merged.get(_short(wanted)):
        hint = f"it has become part of {heir.name.vi} (id {heir.id})"
    else:
        near = get_close_matches(_short(wanted), names_to_unit, 1, 0.6)
        hint = (
            f"did you mean {names_to_unit[near[0]].name.vi!r} (id {names_to_unit[near[0]].id})?"
            if near
            else "write the id or the name of a unit of the list"
        )
    raise Mistake(f"expected a reporting unit, found {wanted!r}", hint=hint)
