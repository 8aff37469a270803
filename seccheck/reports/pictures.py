"""What the pictures of a report show: the map of localities in tiles, shades of tables."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from seccheck.reports.counts import Counts, VerdictCounts
from seccheck.reports.overview import Overview
from seccheck.reports.words import Words
from seccheck.resources import bundled

SHADES = (0.1, 0.25, 0.5)
"""Shares up to which a cell has the first, second and third shade; above, the fourth."""


FEW = 9
"""Up to so many systems, a tile shows the worst of them; of more, the shares."""


class Tile(NamedTuple):
    """A locality on the map."""

    unit: str
    column: int
    row: int
    lines: list[str]
    value: str
    shape: str
    title: str
    counts: Counts | None


class Tiles(NamedTuple):
    """The map."""

    width: int
    height: int
    tiles: list[Tile]

    @property
    def mixed(self) -> bool:
        """Whether tiles show shares."""
        return any(tile.shape == "mixed" for tile in self.tiles)


def tiles_of(overview: Overview, words: Words) -> Tiles | None:
    """The map of localities in their rough places, for the unit lists that have a layout."""
    layouts = json.loads((bundled("report_templates") / "tiles.json").read_text("utf-8"))
    layout = layouts.get(overview.run.registry.unit_list or "")
    if not layout:
        return None
    tiles = []
    for unit in overview.units.values():
        if unit.kind == "locality" and unit.id in layout:
            column, row = layout[unit.id]
            counts = overview.by_unit.get(unit.id)
            name = unit.name.get(words.language)
            short = layouts["short"].get(unit.id, {}).get(words.language)
            shape, value = "missing", "–"
            said = words.gettext("has not reported")
            if counts:
                shape, value, said = _tile(counts, words)
            elif unit.id in overview.reporting:
                said = words.gettext("not looked at in this run")
            lines = [short] if short else _two_lines(name)
            tiles.append(Tile(unit.id, column, row, lines, value, shape, f"{name}: {said}", counts))
    if not tiles:
        return None
    return Tiles(max(tile.column for tile in tiles) + 1, max(tile.row for tile in tiles) + 1, tiles)


def _tile(counts: Counts, words: Words) -> tuple[str, str, str]:
    """The shape of a tile, what stands in it, and what is said of it: of many systems, the shares."""
    said = f"{words.number(counts.meets)}/{words.number(counts.reported)}"
    if counts.reported <= FEW:
        return _unit_shape(counts), said, said
    short = said if len(said) <= 5 else words.percent(counts.meets, counts.reported)
    return "mixed", short, said


def _unit_shape(counts: Counts) -> str:
    """How a unit looks as a whole: by its worst system."""
    if counts.does_not_meet:
        return "does-not-meet"
    if counts.not_concluded:
        return "not-concluded"
    return "meets" if counts.meets else "unassessed"


def shade(counts: VerdictCounts | None, whole: int = 0) -> tuple[int, int]:
    """How dark a cell is (0 to 4) by the share that does not pass, and the number in it."""
    if counts is None or not counts.open:
        return 0, 0
    share = counts.open / (whole or counts.applicable)
    return 1 + sum(share > limit for limit in SHADES), counts.open


def _two_lines(name: str) -> list[str]:
    """The bare name of a locality in at most two lines."""
    bare = re.sub(r"^(Tỉnh|Thành phố) | (Province|City)$", "", name)
    words = bare.split()
    if len(words) < 2:
        return [bare]
    half = (len(words) + 1) // 2
    return [" ".join(words[:half]), " ".join(words[half:])]
