"""What an operator may be applied to: the types of facts, checked before anything is sent."""

from __future__ import annotations

import re
import types
import typing
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal, get_args, get_origin

import msgspec

from seccheck.reference import Product

VERSION_OPERATORS = ("supported", "free_of_known_exploited", "newest_within_days")
"""Operators that hold a product against the reference data."""
TIME_OPERATORS = ("after", "before")
"""Operators that hold a time against the moment of the look."""
_LISTS = {"subset_of", "disjoint_from", "contains"}

_hints = cache(typing.get_type_hints)

Complaint = tuple[str, str]
"""What was expected, and a hint (or "")."""


def plain(kind: Any) -> Any:
    """`kind` without `None`."""
    if get_origin(kind) in {types.UnionType, typing.Union}:
        rest = [part for part in get_args(kind) if part is not type(None)]
        return rest[0] if len(rest) == 1 else kind
    return kind


def fields(kind: Any) -> dict[str, Any]:
    """The facts inside a record type, by name; none for any other type."""
    return _hints(kind) if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else {}


def member_type(kind: Any) -> Any:
    """The type of a list fact's members, or None when it is no list."""
    return plain(get_args(kind)[0]) if get_origin(kind) in {tuple, list} else None


def name(kind: Any) -> str:
    """The type in words."""
    member = member_type(kind)
    if member is not None:
        return f"a list of {name(member)}"
    words = {str: "text", int: "a whole number", bool: "true or false"}
    return words.get(kind) or str(getattr(kind, "__name__", kind))


def mismatch(operator: str, kind: Any, sample: Any) -> Complaint | None:
    """What is wrong with `operator` and the operand `sample` on a fact of type `kind`.

    `sample` is None when the operand is another fact, whose value is not known yet.
    """
    member = member_type(kind)
    if operator in VERSION_OPERATORS:
        return _version_mismatch(operator, kind, sample)
    if operator in TIME_OPERATORS:
        fits = sample == "recorded" and kind is str
        return None if fits else (f"`{operator}: recorded` on a time fact; this fact is {name(kind)}", "")
    if operator == "empty":
        fits = member is not None and isinstance(sample, bool)
        return None if fits else ("true or false, on a list fact", "")
    if operator in _LISTS:
        if member is None:
            return f"a list fact for {operator}; this fact is {name(kind)}", "use equals or in"
        return (
            None if sample is None else _wrong_values(member, [sample] if operator == "contains" else sample)
        )
    if member is not None:
        return f"a single value for {operator}; this fact is {name(kind)}", "use subset_of, contains or each"
    if operator == "matches":
        return _bad_pattern(kind, sample)
    if operator in {"at_least", "at_most"} and kind is not int:
        return f"a whole-number fact for {operator}; this fact is {name(kind)}", ""
    return None if sample is None else _wrong_values(kind, sample if operator == "in" else [sample])


def _version_mismatch(operator: str, kind: Any, sample: Any) -> Complaint | None:
    if kind is not Product:
        return f"a product record for {operator}; this fact is {name(kind)}", ""
    wanted: type = int if operator == "newest_within_days" else bool
    return None if type(sample) is wanted and sample is not False else (name(wanted), "")


def _bad_pattern(kind: Any, sample: Any) -> Complaint | None:
    if kind is not str or not isinstance(sample, str):
        return f"a pattern on a text fact; this fact is {name(kind)}", ""
    try:
        re.compile(sample)
    except re.error as error:
        return f"a regular expression: {error}", ""
    return None


def _wrong_values(kind: Any, values: Any) -> Complaint | None:
    if not isinstance(values, list | tuple):
        return f"a list of {name(kind)}", ""
    if get_origin(kind) is Literal:
        known = [str(value) for value in get_args(kind)]
        wrong = [str(value) for value in values if value not in known]
        if not wrong:
            return None
        near = get_close_matches(wrong[0], known, 1)
        return f"one of {', '.join(known)}; found {wrong[0]!r}", f"did you mean {near[0]!r}?" if near else ""
    if kind not in {str, int, bool}:
        return None
    wrong = [str(value) for value in values if type(value) is not kind]
    if not wrong:
        return None
    return (
        f"{name(kind)}, found {wrong[0]!r}",
        "put text that looks like a number in quotes" if kind is str else "",
    )
