"""Where the lines of a journal stand: a throw-away SQLite database, built from the journal, never trusted.

A journal of a million lines is looked up in little memory. Whoever reads a line checks that it is the one.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

from seccheck.probes import Endpoint

Span = tuple[int, int]
"""Offset and length."""
Entry = tuple[bytes, bytes, int, int]


def entry(job: str, probe: str, endpoint: Endpoint, span: Span) -> Entry:
    """One line of the journal, as the index holds it."""
    return _key(job), _look(probe, endpoint), *span


def _key(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def _look(probe: str, endpoint: Endpoint) -> bytes:
    one = endpoint
    return _key("\0".join((probe, one.host, one.address, str(one.port), one.service, one.zone)))


class Index:
    """The lines of a journal by job and by look, the last of each job only.

    Without `path` it has no name on disk and belongs to this process; with `path`, processes that are forked
    later can read it as well, and `close` removes it.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._process = os.getpid()
        if path:
            path.unlink(missing_ok=True)
        self._lines = sqlite3.connect(path or "", isolation_level=None)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -16000"):
            self._lines.execute(f"PRAGMA {pragma}")
        self._lines.execute("CREATE TABLE line (job BLOB PRIMARY KEY, look BLOB, at INTEGER, size INTEGER)")
        self._count = 0
        self._by_look = False

    def fill(self, entries: Iterable[Entry]) -> None:
        """Take in many lines at once."""
        self._lines.execute("BEGIN")
        self._lines.executemany("INSERT OR REPLACE INTO line VALUES (?, ?, ?, ?)", entries)
        self._lines.execute("COMMIT")
        self._count = self._lines.execute("SELECT count(*) FROM line").fetchone()[0]

    def add(self, line: Entry) -> None:
        """Take in one line."""
        self._count += self._find(line[0]) is None
        self._lines.execute("INSERT OR REPLACE INTO line VALUES (?, ?, ?, ?)", line)

    def _find(self, job: bytes) -> Span | None:
        found: Span | None = self._own.execute("SELECT at, size FROM line WHERE job = ?", (job,)).fetchone()
        return found

    def of_job(self, job: str) -> Span | None:
        """Where the line of a job stands, or None."""
        return self._find(_key(job))

    def of_look(self, probe: str, endpoint: Endpoint) -> list[Span]:
        """Where the lines stand that tell what `probe` saw at `endpoint`."""
        if not self._by_look:
            self.share()
        look = _look(probe, endpoint)
        return self._own.execute("SELECT at, size FROM line WHERE look = ? ORDER BY at", (look,)).fetchall()

    def __iter__(self) -> Iterator[Span]:
        """Where every line stands, in the order they were written."""
        # `yield from` would close the cursor when it is left early, of a database that may be closed by then.
        for span in self._own.execute("SELECT at, size FROM line ORDER BY at"):  # noqa: UP028
            yield span

    def __len__(self) -> int:
        return self._count

    def share(self) -> None:
        """Be ready for looking up, also by processes that are forked from here on."""
        if not self._by_look:
            self._lines.execute("CREATE INDEX look ON line (look)")
            self._by_look = True

    @property
    def _own(self) -> sqlite3.Connection:
        """A connection of this very process: SQLite's do not survive a fork."""
        if self._process != os.getpid():
            if self._path is None:
                raise RuntimeError("an index without a path belongs to the process that made it")
            self._lines = sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
            self._process = os.getpid()
        return self._lines

    def close(self) -> None:
        """Let it go."""
        self._lines.close()
        if self._path:
            self._path.unlink(missing_ok=True)
