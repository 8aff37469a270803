"""The shortest way up: which repairs, in which order, bring most systems to meet all criteria."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

Lack = tuple[str, str]
"""A criterion that stands in the way, and how: (id, "fail" or "inconclusive")."""


class Step(NamedTuple):
    """One step: what to fix or settle, and the figure before and after."""

    criteria: tuple[Lack, ...]
    before: int
    after: int
    systems: tuple[str, ...]
    """The systems that meet all criteria once this step is done."""
    touched: int
    """All systems that have one of these findings."""
    units: int
    """The units of those systems."""


def way_up(
    lacking: Iterable[tuple[str, str, frozenset[Lack]]], figure: int, gravity: Callable[[str], int]
) -> list[Step]:
    """The steps from `figure` up, for (system, unit, what it lacks).

    Greedy: systems that are one criterion away come first; among equals the repair that serves most
    systems, then the graver one. Every step is as small as what the nearest systems lack.
    """
    left: dict[str, frozenset[Lack]] = {}
    touched: dict[Lack, set[str]] = defaultdict(set)
    unit_of: dict[str, str] = {}
    for system, unit, lacks in lacking:
        left[system], unit_of[system] = lacks, unit
        for lack in lacks:
            touched[lack].add(system)
    steps: list[Step] = []
    while left:
        nearest = min(map(len, left.values()))
        choices = Counter(lacks for lacks in left.values() if len(lacks) == nearest)
        best = min(
            choices,
            key=lambda lacks: (-choices[lacks], min(gravity(one) for one, _ in lacks), sorted(lacks)),
        )
        gained = sorted(system for system, lacks in left.items() if lacks == best)
        affected = set().union(*(touched[lack] for lack in best))
        steps.append(
            Step(
                criteria=tuple(sorted(best, key=lambda lack: (gravity(lack[0]), lack))),
                before=figure,
                after=figure + len(gained),
                systems=tuple(gained),
                touched=len(affected),
                units=len({unit_of[system] for system in affected}),
            )
        )
        figure += len(gained)
        left = {system: lacks - best for system, lacks in left.items() if lacks != best}
    return steps
