"""The run folder: what one run leaves behind, readable by its owner alone, every file whole or absent."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from seccheck.criteria import CriteriaSet, criteria_from_data
from seccheck.errors import UNREADABLE, InputError, JournalError
from seccheck.journal import Journal, sync_folder
from seccheck.lines import Lines
from seccheck.model import Record
from seccheck.permission import Scope
from seccheck.plan import Plan, read_plan
from seccheck.probes import load_probes
from seccheck.reference import Reference, load_reference_bytes, pack
from seccheck.registry import Registry, registry_from_json, registry_head
from seccheck.system import System
from seccheck.waivers import Waiver, load_waivers

T = TypeVar("T")
MANIFEST = "MANIFEST.json"
JOURNAL = "journal.jsonl"
STOP = "STOP"
"""A file of this name in the run folder stops the scan (the kill switch)."""
SESSIONS = "sessions.json"
"""When this run was at work, from where."""
_INPUTS = ("registry.json", "criteria.json", "reference.gz", "scope.json", "run.json", "waivers.yaml")


class Selection(Record):
    """What part of the registry and of the set a run was narrowed to."""

    profile: str
    select: str = ""
    system: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    level: tuple[int, ...] = ()
    systems: int = 0
    """Systems looked at."""
    systems_of: int = 0
    criteria: int = 0
    of: int = 0
    """Criteria of the set in this profile."""


class RunInfo(Record):
    """Who ran what, when: `inputs/run.json`."""

    id: str
    started: str
    command: str
    seccheck: str
    zone: str
    language: str
    selection: Selection
    reporting: tuple[str, ...]
    """The units that have registered systems, in the whole registry."""
    demonstration: bool = False
    registry_digest: str = ""
    zones: tuple[str, ...] = ()
    """Where else workers look from."""
    merged: tuple[str, ...] = ()
    """The runs it was merged from; each was judged in its own folder, so this one is not judged again."""


def write_private(path: Path, chunks: Iterable[bytes]) -> None:
    """Write `path` whole or not at all, for its owner's eyes (mode 0600)."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


class RunFolder:
    """A run folder on disk. Everything read from it comes from files that earlier steps wrote."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """A new run folder at `path`, which must be new or empty; raises `InputError` otherwise."""
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError.at(
                path, "expected a new or empty folder", hint="choose another --out, or scan --resume it"
            )
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(0o700)
            (path / "inputs").mkdir(mode=0o700)
        except OSError as error:
            raise InputError.at(
                path, f"the folder cannot be made: {error.strerror}", hint="choose another --out"
            ) from None
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The run folder at `path`; raises `InputError` when it is none."""
        if not (path / "inputs" / "run.json").is_file():
            raise InputError.at(
                path,
                "expected a run folder (one with inputs/run.json)",
                hint="it was stopped before anything was looked at: remove it, and scan again"
                if (path / "inputs").is_dir()
                else "`seccheck scan --out` makes one",
            )
        return cls(path)

    def refuse_if_merged(self) -> None:
        """Raise `InputError` for a merged run, where only its parts can be looked at or judged again."""
        if self.info.merged:
            raise InputError.at(
                self.path,
                f"expected a run of one scan, found one merged from {len(self.info.merged)}",
                hint="go back to its parts, and merge them again",
            )

    def refuse_if_compressed(self) -> None:
        """Raise `JournalError` where the journal was compressed: looks are found, and added, by place."""
        packed = self.path / f"{JOURNAL}.gz"
        if packed.exists() and not (self.path / JOURNAL).exists():
            raise JournalError(
                f"{packed}: expected {JOURNAL}, found it compressed", next_step=f"first: gunzip {packed}"
            )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the one process that writes to this folder; the lock dies with its process.

        What a killed process left half written is removed. Raises `JournalError` when another process
        writes, or when nothing can be written.
        """
        try:
            descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(
                f"{self.path}: cannot be written: {error.strerror}",
                next_step="check the folder and its permissions, or copy it to where you may write",
            ) from None
        try:
            self._flock(descriptor)
            for draft in self.path.rglob(".*.part"):
                draft.unlink(missing_ok=True)
            yield
        finally:
            os.close(descriptor)

    def _flock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(
                f"{self.path}: another scan is writing to this run folder",
                next_step="wait for it to end, or choose another --out folder",
            ) from None

    # ---------------------------------------------------------------------------------------- writing

    def write(self, name: str, data: bytes) -> None:
        """Write one file of the folder."""
        self.write_pieces(name, [data])

    def write_pieces(self, name: str, pieces: Iterable[bytes]) -> None:
        """Write one file of the folder, piece by piece."""
        write_private(self.path / name, pieces)

    def write_json(self, name: str, value: Any) -> None:
        """Write one file as JSON, keys sorted, for people to read."""
        self.write(name, msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=1) + b"\n")

    def write_reference(self, reference: Reference) -> None:
        """Keep the reference data that this run is judged by."""
        self.write("inputs/reference.gz", pack(reference))

    def copy_evidence(self, other: RunFolder) -> None:
        """Take over what was looked at: inputs, plan and journal of another run folder."""
        for name in (*(f"inputs/{one}" for one in _INPUTS), "plan.json", JOURNAL, SESSIONS):
            if (other.path / name).exists():
                shutil.copyfile(other.path / name, self.path / name)
                (self.path / name).chmod(0o600)

    def write_manifest(self) -> None:
        """List every file with its size and digest; the last step of a run."""
        files = []
        for path in sorted(self.path.rglob("*")):
            name = path.relative_to(self.path).as_posix()
            if path.is_file() and name not in {MANIFEST, STOP} and not path.name.startswith("."):
                with path.open("rb") as file:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                files.append({"name": name, "size": path.stat().st_size, "sha256": sha256})
        info = self.info
        self.write_json(
            MANIFEST,
            {
                "schema": "seccheck.manifest/1",
                "run": info.id,
                "seccheck": info.seccheck,
                "criteria": {
                    "set": self.criteria.id,
                    "version": self.criteria.version,
                    "digest": self.criteria.digest,
                },
                "registry": info.registry_digest,
                "reference": {feed.id: feed.digest for feed in self.reference.feeds}
                if self.reference
                else {},
                "files": files,
            },
        )

    # ---------------------------------------------------------------------------------------- reading

    def _read(self, name: str, kind: type[T]) -> T:
        path = self.path / name
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except OSError as error:
            raise JournalError(
                f"{path}: cannot be read: {error.strerror}", next_step="use the folder as it was written"
            ) from None
        except UNREADABLE as error:
            raise JournalError(
                f"{path}: damaged: {error}", next_step="restore the run folder from a copy"
            ) from None

    @cached_property
    def info(self) -> RunInfo:
        """Who ran what."""
        return self._read("inputs/run.json", RunInfo)

    @cached_property
    def registry(self) -> Registry:
        """The registry of this run, with all its systems in memory."""
        return registry_from_json((self.path / "inputs/registry.json").read_bytes())

    @cached_property
    def registry_head(self) -> Registry:
        """The registry of this run without its systems."""
        return registry_head(self.path / "inputs/registry.json")

    @property
    def systems(self) -> Lines[System]:
        """The systems of this run, one at a time."""
        return Lines(self.path / "inputs/registry.json", "systems", System.model_validate_json)

    @cached_property
    def criteria(self) -> CriteriaSet:
        """The criteria of this run. Raises `JournalError` where they are of another form than ours."""
        file = self.path / "inputs/criteria.json"
        try:
            return criteria_from_data(self._read("inputs/criteria.json", dict), load_probes(), str(file))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise JournalError(
                f"{file}: damaged, or of another version of seccheck ({type(error).__name__}: {error})",
                next_step=f"use the version that {self.path / 'MANIFEST.json'} names, or scan again",
            ) from error

    @cached_property
    def scope(self) -> Scope:
        """What this run may touch."""
        return self._read("inputs/scope.json", Scope)

    @cached_property
    def plan(self) -> Plan:
        """The plan of this run."""
        return read_plan(self.path / "plan.json")

    @cached_property
    def plan_digest(self) -> str:
        """Digest of the file; the journal's first line carries it."""
        try:
            with (self.path / "plan.json").open("rb") as file:
                return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise JournalError(
                f"{self.path / 'plan.json'}: cannot be read: {error.strerror}",
                next_step="use the folder as it was written",
            ) from None

    @cached_property
    def reference(self) -> Reference | None:
        """The reference data this run is judged by."""
        path = self.path / "inputs/reference.gz"
        try:
            return load_reference_bytes(path.read_bytes()) if path.exists() else None
        except (gzip.BadGzipFile, EOFError) as error:
            raise JournalError(
                f"{path}: damaged: {error}", next_step="restore the run folder from a copy"
            ) from None

    @property
    def waivers(self) -> tuple[Waiver, ...]:
        """The waivers this run is judged under."""
        path = self.path / "inputs/waivers.yaml"
        return load_waivers(path) if path.exists() else ()

    def journal(self, *, write: bool = False, shared: bool = False) -> Journal:
        """The journal, for reading or (by one process at a time) for appending.

        `shared`: for reading by processes that are forked from here on, too.
        """
        self.refuse_if_compressed()
        return Journal(self.path / JOURNAL, self.plan_digest, write=write, shared=shared)
