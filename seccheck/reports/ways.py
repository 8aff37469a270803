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

    @property
    def settles(self) -> bool:
        """Whether something has to be made clear first, so that the gain is only a possible one."""
        return any(verdict == "inconclusive" for _, verdict in self.criteria)


def way_up(
    lacking: Iterable[tuple[str, str, Iterable[Lack]]], figure: int, gravity: Callable[[str], int]
) -> list[Step]:
    """The steps from `figure` up, for (system, unit, what it lacks).

    Greedy: systems that are one criterion away come first; among equals the repair that serves most
    systems, then the graver one. Every step is as small as what the nearest systems lack.
    """
    lacks = _Lacks(gravity)
    left: dict[str, int] = {}
    systems: dict[int, list[str]] = defaultdict(list)
    units: dict[int, set[str]] = defaultdict(set)
    for system, unit, missing in lacking:
        bits = [lacks.bit(lack) for lack in missing]
        left[system] = sum(1 << bit for bit in bits)
        for bit in bits:
            systems[bit].append(system)
            units[bit].add(unit)
    steps: list[Step] = []
    while left:
        nearest = min(map(int.bit_count, left.values()))
        choices = Counter(mask for mask in left.values() if mask.bit_count() == nearest)
        best = min(choices, key=lambda mask: (-choices[mask], *lacks.order(mask)))
        gained = sorted(system for system, mask in left.items() if mask == best)
        bits = lacks.bits(best)
        steps.append(
            Step(
                criteria=lacks.named(best),
                before=figure,
                after=figure + len(gained),
                systems=tuple(gained),
                touched=len(set().union(*(systems[bit] for bit in bits))),
                units=len(set().union(*(units[bit] for bit in bits))),
            )
        )
        figure += len(gained)
        left = {system: mask & ~best for system, mask in left.items() if mask != best}
    return steps


class _Lacks:
    """What systems lack, as sets in the bits of an integer: a run may have a million of them."""

    def __init__(self, gravity: Callable[[str], int]) -> None:
        self._gravity = gravity
        self._bits: dict[Lack, int] = {}
        self._lacks: list[Lack] = []

    def bit(self, lack: Lack) -> int:
        """The bit of `lack`."""
        if lack not in self._bits:
            self._bits[lack] = len(self._lacks)
            self._lacks.append(lack)
        return self._bits[lack]

    def bits(self, mask: int) -> list[int]:
        """The bits that are set in `mask`."""
        return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]

    def named(self, mask: int) -> tuple[Lack, ...]:
        """The lacks of a set: what failed before what is open, then the gravest first."""
        lacks = (self._lacks[bit] for bit in self.bits(mask))
        return tuple(sorted(lacks, key=lambda lack: (lack[1] != "fail", self._gravity(lack[0]), lack)))

    def order(self, mask: int) -> tuple[int, tuple[Lack, ...]]:
        """Which of two sets comes first when both serve as many systems: the graver, then by name."""
        named = self.named(mask)
        return self._gravity(named[0][0]), named
