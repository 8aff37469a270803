# ruff: noqa: INP001 - a script beside its data
"""Make the two embedded faces from the full Be Vietnam Pro TrueType files (not run by seccheck itself).

    python build.py FOLDER_WITH_TTF     # needs fonttools and brotli; README.md says where the files are from

Keeps Latin, Vietnamese and the signs the report uses, drops hinting, and adds what the family lacks: tabular
figures (`tnum`), so that columns of numbers line up.
"""

from __future__ import annotations

import copy
import io
import sys
from pathlib import Path

from fontTools import subset
from fontTools.otlLib.builder import buildLookup, buildSingleSubstSubtable
from fontTools.ttLib import TTFont
from fontTools.ttLib.tables import otTables

UNICODES = (
    *range(0x20, 0x7F), *range(0xA0, 0x180), 0x1A0, 0x1A1, 0x1AF, 0x1B0, *range(0x300, 0x30D), 0x323,
    *range(0x1EA0, 0x1EFA), 0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2026, 0x20AB, 0x2212, 0x2264, 0x2265,
)  # fmt: skip
FACES = {"BeVietnamPro_400Regular.ttf": 400, "BeVietnamPro_600SemiBold.ttf": 600}


def add_tabular_figures(font: TTFont) -> None:
    """Digits of one width, as the OpenType feature `tnum`: the widest kept, the others centred in it."""
    names = font.getBestCmap()
    digits = [names[ord(digit)] for digit in "0123456789"]
    widest = max(font["hmtx"][name][0] for name in digits)
    mapping = {}
    for name in digits:
        width, bearing = font["hmtx"][name]
        shift = (widest - width) // 2
        glyph = copy.deepcopy(font["glyf"][name])
        glyph.coordinates.translate((shift, 0))
        glyph.recalcBounds(font["glyf"])
        mapping[name] = f"{name}.tnum"
        font["glyf"][mapping[name]] = glyph
        font["hmtx"][mapping[name]] = (widest, bearing + shift)
    table = font["GSUB"].table
    table.LookupList.Lookup.append(buildLookup([buildSingleSubstSubtable(mapping)]))
    table.LookupList.LookupCount = len(table.LookupList.Lookup)
    feature = otTables.FeatureRecord()
    feature.FeatureTag, feature.Feature = "tnum", otTables.Feature()
    feature.Feature.FeatureParams = None
    feature.Feature.LookupListIndex = [len(table.LookupList.Lookup) - 1]
    feature.Feature.LookupCount = 1
    table.FeatureList.FeatureRecord.append(feature)
    index = len(table.FeatureList.FeatureRecord) - 1
    for script in table.ScriptList.ScriptRecord:
        systems = [record.LangSys for record in script.Script.LangSysRecord]
        for system in filter(None, [script.Script.DefaultLangSys, *systems]):
            system.FeatureIndex.append(index)
            system.FeatureCount = len(system.FeatureIndex)


def main(folder: Path) -> None:
    """Write `be-vietnam-pro-<weight>.woff2` for both weights beside this file."""
    for name, weight in FACES.items():
        font = TTFont(next(folder.rglob(name)))
        add_tabular_figures(font)
        whole = io.BytesIO()
        font.save(whole)  # the subsetter goes by what is in the file
        font = TTFont(io.BytesIO(whole.getvalue()))
        options = subset.Options(
            hinting=False, flavor="woff2", layout_features=["kern", "mark", "mkmk", "ccmp", "locl", "tnum"]
        )
        options.notdef_outline = True
        subsetter = subset.Subsetter(options)
        subsetter.populate(unicodes=UNICODES)
        subsetter.subset(font)
        subset.save_font(font, str(Path(__file__).with_name(f"be-vietnam-pro-{weight}.woff2")), options)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
