"""The journal of a run: append-only JSON Lines of observations; what remains of a plan.

The first line names the plan. Every other line holds one observation and its digest, is handed to the
operating system before the observation is reported (so a killed process loses nothing) and is synced to
disk in small batches (so a power cut costs at most the last batch, which is looked at again).
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self, TypeVar

import msgspec

from seccheck.errors import UNREADABLE, JournalError
from seccheck.index import Entry, Index, Span, entry
from seccheck.judgement import Failure
from seccheck.model import Record, digest_bytes
from seccheck.observation import Observation
from seccheck.plan import Job
from seccheck.probes import Endpoint, Params, Probe, covers
from seccheck.questions import Want

T = TypeVar("T")
FORMAT: Literal["seccheck.journal/1"] = "seccheck.journal/1"
_SYNC_RECORDS = 64
_SYNC_SECONDS = 0.5


class Head(Record):
    """The first line: which plan the journal belongs to."""

    journal: Literal["seccheck.journal/1"] = FORMAT
    plan: str


class Line(Record):
    """Any other line. The digest is the line's checksum, and what findings cite."""

    digest: str
    observation: Observation


_decode = msgspec.json.Decoder(Line).decode
_OBSERVATION = len('{"digest":"sha256:","observation":') + 64
"""Where in a line the observation begins: its bytes are the canonical ones that the digest is of."""


class _Answered(msgspec.Struct):
    job: str
    probe: str
    endpoint: Endpoint


class _LineHead(msgspec.Struct):
    """Just enough of a line to index it, read without decoding the facts."""

    observation: _Answered


class Glance(msgspec.Struct):
    """When and by what one look was made, read without the facts."""

    probe: str
    started: str
    finished: str
    connections: int = 0


class _GlancedLine(msgspec.Struct):
    observation: Glance


_glance = msgspec.json.Decoder(_GlancedLine).decode


def sync_folder(path: Path) -> None:
    """Bring the names in the folder `path` to the disk: a new file is else unknown after a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _in_last_batch(rest: IO[bytes]) -> bool:
    """Whether no more lines follow than are written between two syncs."""
    return sum(1 for _ in islice(rest, _SYNC_RECORDS)) < _SYNC_RECORDS


class Journal:
    """An open journal: appended to by one process at a time, read by job key."""

    def __init__(self, path: Path, plan: str, *, write: bool = True, shared: bool = False) -> None:
        """Open or create the journal of the plan with the digest `plan`.

        `shared`: processes that are forked from here on read it as well.

        A torn end is cut off: the last line where a process was killed, up to the last batch where the power
        went (blocks that were never written read as zeros). Raises `JournalError` when another process holds
        the journal, when it belongs to another plan, or when a line is damaged in any other way.
        """
        self.path = path
        self._write = write
        self._unsynced = 0
        self._synced_at = time.monotonic()
        flags = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
        try:
            self._fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(
                f"{path}: cannot be opened: {error.strerror}",
                next_step="check the folder and its permissions",
            ) from None
        self._index = Index(path.with_name(f".{path.name}.{os.getpid()}.part") if shared else None)
        try:
            if write:
                self._lock()
            self._index.fill(self._entries(plan))
            if shared:
                self._index.share()
            self._ready(plan)
        except OSError as error:
            self._abandon()
            raise self._unwritten(error) from None
        except BaseException:
            self._abandon()
            raise

    def _abandon(self) -> None:
        os.close(self._fd)
        self._index.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise JournalError(
                f"{self.path}: another scan is writing to this run folder",
                next_step="wait for it to end, or choose another --out folder",
            ) from None

    def _entries(self, plan: str) -> Iterator[Entry]:
        """Where each observation stands, up to a torn end."""
        decoder = msgspec.json.Decoder(_LineHead)
        self._end = position = 0
        with os.fdopen(os.dup(self._fd), "rb") as file:
            file.seek(0)
            for number, raw in enumerate(file, 1):
                if not raw.endswith(b"\n") or (b"\0" in raw and _in_last_batch(file)):
                    break  # torn: never finished, or never on the disk
                try:
                    if number == 1:
                        self._check_head(msgspec.json.decode(raw, type=Head), plan)
                    else:
                        seen = decoder.decode(raw).observation
                        yield entry(seen.job, seen.probe, seen.endpoint, (position, len(raw)))
                except UNREADABLE:
                    raise self._damaged(number) from None
                position += len(raw)
                self._end = position

    def _ready(self, plan: str) -> None:
        """Cut off a torn end, begin a new journal."""
        if self._write:
            os.ftruncate(self._fd, self._end)
            os.lseek(self._fd, 0, os.SEEK_END)
            if self._end == 0:
                os.write(self._fd, msgspec.json.encode(Head(plan=plan)) + b"\n")
                os.fsync(self._fd)
                sync_folder(self.path.parent)

    def _check_head(self, head: Head, plan: str) -> None:
        if head.plan != plan:
            raise JournalError(
                f"{self.path}: belongs to another plan", next_step="use the run folder as it was written"
            )

    def _damaged(self, number: int) -> JournalError:
        return JournalError(
            f"{self.path}:{number}: this line is damaged",
            next_step="restore the run folder from a copy, or scan again into a new folder",
        )

    def append(self, observation: Observation) -> None:
        """Write one observation; when this returns, the operating system has it."""
        line = (
            msgspec.json.encode(Line(digest=observation.digest, observation=observation), order="sorted")
            + b"\n"
        )
        position = os.lseek(self._fd, 0, os.SEEK_END)
        try:
            written = os.write(self._fd, line)
            while written < len(line):
                written += os.write(self._fd, line[written:])
        except OSError as error:
            os.ftruncate(self._fd, position)
            raise self._unwritten(error) from None
        self._index.add(
            entry(observation.job, observation.probe, observation.endpoint, (position, len(line)))
        )
        self._unsynced += 1
        if self._unsynced >= _SYNC_RECORDS or time.monotonic() - self._synced_at > _SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Bring everything written so far to the disk; raises `JournalError` when it does not go there."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise self._unwritten(error) from None
        self._unsynced = 0
        self._synced_at = time.monotonic()

    def _unwritten(self, error: OSError) -> JournalError:
        return JournalError(
            f"{self.path}: cannot be written: {error.strerror}",
            next_step=f"make room, then continue with: seccheck scan --resume {self.path.parent}",
        )

    def lines(self) -> Iterator[Line]:
        """The line of every job, in the order they were written; raises `JournalError` as `read` does."""
        return map(self._line, self._index)

    def read(self, key: str) -> Line | None:
        """The line of the job `key`, or None; raises `JournalError` when it was changed."""
        span = self._index.of_job(key)
        return self._line(span) if span else None

    def glance(self, key: str) -> Glance | None:
        """When and by what the job `key` was done, or None; whether the line was changed is not checked."""
        span = self._index.of_job(key)
        return self._decoded(_glance, self._bytes(span), span).observation if span else None

    def of_look(self, probe: str, endpoint: Endpoint) -> list[Line]:
        """What `probe` saw at `endpoint`, a line for each set of parameters it was asked with."""
        return [self._line(span) for span in self._index.of_look(probe, endpoint)]

    def _line(self, span: Span) -> Line:
        raw = self._bytes(span)
        line = self._decoded(_decode, raw, span)
        if digest_bytes(raw[_OBSERVATION:-2]) != line.digest:
            raise JournalError(
                f"{self.path}: the record at byte {span[0]} was changed after it was written",
                next_step="restore the run folder from a copy",
            )
        return line

    def _bytes(self, span: Span) -> bytes:
        return os.pread(self._fd, span[1], span[0])

    def _decoded(self, decode: Callable[[bytes], T], raw: bytes, span: Span) -> T:
        try:
            return decode(raw)
        except UNREADABLE:
            raise JournalError(f"{self.path}: the record at byte {span[0]} is damaged") from None

    def remaining(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """The jobs that have no observation yet."""
        return (job for job in jobs if self._index.of_job(job.key) is None)

    def __len__(self) -> int:
        return len(self._index)

    def close(self) -> None:
        """Sync and close."""
        try:
            if self._write:
                self.sync()
        finally:
            self._abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Seen(msgspec.Struct, frozen=True):
    """What was seen by one look, ready to be judged."""

    digest: str
    facts: Mapping[str, Any] | Failure
    observation: Observation


class Observed:
    """What was observed, found by what is wanted to be known."""

    def __init__(self, journal: Journal, probes: Mapping[str, Probe[Any, Any]]) -> None:
        self._journal = journal
        self._probes = probes
        self._at = lru_cache(maxsize=256)(self._all_at)

    def _all_at(self, name: str, endpoint: Endpoint) -> list[tuple[Params, Seen]]:
        probe = self._probes[name]
        lines = [
            one for one in self._journal.of_look(name, endpoint) if one.observation.version == probe.version
        ]
        lines.sort(key=lambda line: line.observation.job)
        return [(msgspec.convert(line.observation.params, probe.params), _seen(line)) for line in lines]

    def seen(self, want: Want) -> Seen | None:
        """What answers `want`, or None while nothing does."""
        name, endpoint, params = want
        for given, seen in self._at(name, endpoint):
            if covers(given, params):
                return seen
        return None


def _seen(line: Line) -> Seen:
    one = line.observation
    facts = Failure(one.failed, one.detail) if one.failed else one.facts or {}
    return Seen(line.digest, facts, one)
