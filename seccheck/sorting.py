"""Rows sorted on disk: any number of them, in little memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter


class Sorted:
    """Pairs of key and value, each once, in the order of their bytes.

    Kept in a temporary SQLite database, which has no name and goes with the process.
    """

    def __init__(self) -> None:
        self._rows = sqlite3.connect("", isolation_level=None)
        self._rows.execute("PRAGMA cache_size = -16000")
        self._rows.execute("CREATE TABLE row (key BLOB, value BLOB, PRIMARY KEY (key, value)) WITHOUT ROWID")

    def add(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Add some pairs; those that are there already change nothing."""
        self._rows.executemany("INSERT OR IGNORE INTO row VALUES (?, ?)", rows)

    def groups(self) -> Iterator[tuple[bytes, list[bytes]]]:
        """Each key with its values, as often as wanted."""
        rows = self._rows.execute("SELECT key, value FROM row ORDER BY key, value")
        for key, pairs in groupby(rows, itemgetter(0)):
            yield key, [value for _, value in pairs]

    def close(self) -> None:
        """Let the rows go."""
        self._rows.close()
