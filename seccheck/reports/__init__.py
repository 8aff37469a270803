"""Report plugins: each turns a run folder into one format, and is a value found through an entry point.

    REPORT = Report(id="csv", extension="csv", kind="file", write=write)

A report receives finished findings. It never judges, and never opens a connection.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from seccheck.plugins import load_plugins

if TYPE_CHECKING:
    from seccheck.reports.run import RunFolder

Language = Literal["vi", "en"]


@dataclass(frozen=True)
class Options:
    """What a reader asks of a report."""

    language: Language = "vi"
    unit: str = ""
    """Only what this unit may see: its own systems. Empty: everything."""
    public: bool = False
    """Leave out addresses, versions, evidence and contacts."""
    previous: tuple[Path, ...] = ()
    """Earlier run folders, oldest first: the trend, and the change since the last of them."""
    signature: str = ""
    """The state of the run folder's signature in words, when somebody verified it."""


@dataclass(frozen=True)
class Report:
    """One report plugin: writes a run in one format to a new folder or file."""

    id: str
    extension: str
    kind: Literal["folder", "file"]
    write: Callable[[RunFolder, Path, Options], None]

    def save(self, run: RunFolder, out: Path, options: Options) -> None:
        """Write to `out`, whole or not at all: an interrupt leaves the old file or the new one.

        Folders see to that themselves. What is no plain file (such as /dev/stdout) is written to as it is.
        """
        if self.kind == "folder" or (out.exists() and not out.is_file()):
            self.write(run, out, options)
            return
        out = out.resolve()
        draft = out.with_name(f".{out.name}.{os.getpid()}.part")
        try:
            self.write(run, draft, options)
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            draft.replace(out)
        finally:
            draft.unlink(missing_ok=True)

    def file_name(self, run: RunFolder, options: Options) -> str:
        """A name that says which run it is of, for whom, and whether its data is for demonstration."""
        parts = [run.scan.id, options.unit, "public" if options.public else "", options.language]
        if run.scan.demonstration:
            parts.append("demo")
        stem = "-".join(part for part in parts if part)
        return f"{stem}.{self.extension}" if self.kind == "file" else stem


@cache
def load_reports() -> dict[str, Report]:
    """Every installed report by id, built-in ones included; raises `PluginError` for a broken one."""
    return load_plugins("seccheck.reports", Report)
