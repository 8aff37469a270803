"""What a report says about the signature of its run."""

from __future__ import annotations

import msgspec

from seccheck.errors import InputError
from seccheck.model import Record
from seccheck.reports import Language
from seccheck.reports.run import RunFolder
from seccheck.reports.words import Words


class _Merge(Record):
    """`merge.json`, as far as it is needed here: one part for each bundle that was verified."""

    parts: tuple[msgspec.Raw, ...] = ()


def merged_state(run: RunFolder, language: Language) -> str:
    """For a run merged from bundles, that each was verified then; empty for any other."""
    path = run.path / "merge.json"
    if not path.is_file():
        return ""
    try:
        parts = msgspec.json.decode(path.read_bytes(), type=_Merge).parts
    except msgspec.MsgspecError as error:
        raise InputError.at(path, str(error), hint="the file is damaged") from None
    words = Words(language)
    return words.ngettext(
        "merged from %(num)s signed bundle, verified on merging",
        "merged from %(num)s signed bundles, each verified on merging",
        len(parts),
    ) % {"num": words.number(len(parts))}


def verified_state(language: Language, *, key: str, units: int, signed: str) -> str:
    """That a bundle of this very run was verified: by which key, of how many units, when it was signed.

    The units are not named: an edition for one of them must not name the others.
    """
    words = Words(language)
    return words.ngettext(
        "valid: key %(key)s of %(units)s unit, signed %(day)s",
        "valid: key %(key)s of %(units)s units, signed %(day)s",
        units,
    ) % {
        "key": key[:16],
        "units": words.number(units),
        "day": words.day(signed),
    }
