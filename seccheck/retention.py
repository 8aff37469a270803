"""Which finished runs are old enough to go, and their going. Nothing else is ever deleted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from seccheck.errors import InputError
from seccheck.model import Record, moment
from seccheck.runfolder import MANIFEST, RunFolder

_PARTS = ("inputs/run.json", "plan.json", "journal.jsonl", "results.json", "summary.json", MANIFEST)


class _Scan(Record):
    id: str
    started: str
    registry: dict[str, msgspec.Raw]


class _Summary(Record):
    scan: _Scan


class Old(Record):
    """A finished run: where it is, when it was begun, of which registry."""

    path: Path
    started: datetime
    registry: bytes


def _finished(path: Path) -> Old | None:
    """The finished run in the folder `path`; None where there is none, or only a link to one."""
    if path.is_symlink() or not path.is_dir():
        return None
    parts = [path / "inputs", *(path / name for name in _PARTS)]
    if not all(part.exists() and not part.is_symlink() for part in parts):
        return None
    try:
        scan = msgspec.json.decode((path / "summary.json").read_bytes(), type=_Summary).scan
        if scan.id != RunFolder.open(path).info.id:
            return None
        return Old(path=path, started=moment(scan.started), registry=bytes(scan.registry["name"]))
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, KeyError, OSError):
        return None


def to_prune(folder: Path, days: int, now: datetime, *, keep_newest: bool = True) -> list[Old]:
    """The finished runs directly below `folder` that were begun more than `days` ago, oldest first.

    `keep_newest`: the newest run of each registry (by its name) stays, however old it is. Raises `InputError`
    when `folder` is no folder.
    """
    if not folder.is_dir():
        raise InputError.at(folder, "expected a folder of run folders")
    runs = sorted(_finished_below(folder), key=lambda one: (one.started, one.path))
    newest = {one.registry: one.path for one in runs} if keep_newest else {}
    kept = set(newest.values())
    return [one for one in runs if now - one.started > timedelta(days=days) and one.path not in kept]


def _finished_below(folder: Path) -> Iterator[Old]:
    for path in folder.iterdir():
        if found := _finished(path):
            yield found


def remove(run: Old) -> None:
    """Delete one run, links in it unfollowed; raises `JournalError` while somebody writes to it."""
    with RunFolder.open(run.path).lock():
        shutil.rmtree(run.path)
