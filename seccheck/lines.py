"""JSON documents that hold a list with one record a line: whole JSON for others, a stream for us.

The line before the first record ends with the list's key and its bracket, the line after the last begins
with the closing one.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from seccheck.errors import UNREADABLE, JournalError

T = TypeVar("T")


def listed(records: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of a JSON list with one of `records` a line."""
    separator = b"[\n"
    for record in records:
        yield separator + record
        separator = b",\n"
    yield b"[]" if separator == b"[\n" else b"\n]"


def lined(fields: Mapping[str, Any], key: str, records: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of a JSON object of `fields`, sorted, and under `key` the list of `records`, one a line."""
    before = msgspec.json.encode({one: value for one, value in fields.items() if one < key}, order="sorted")
    after = msgspec.json.encode({one: value for one, value in fields.items() if one > key}, order="sorted")
    yield before[:-1] + (b"," if len(before) > 2 else b"") + f'"{key}":'.encode()
    yield from listed(records)
    yield (b"," if len(after) > 2 else b"") + after[1:] + b"\n"


def without(path: Path, key: str) -> bytes:
    """The document that `lined` wrote to a file, its list left empty; the list is not read."""
    opening = f'"{key}":['.encode()
    with path.open("rb") as file:
        first = file.readline()
        if not first.endswith(opening + b"\n"):
            if opening + b"]" not in first:
                raise damaged(path, "it has not one record a line")
            return first
        size, back, last = file.seek(0, os.SEEK_END), 65536, b""
        while b"\n]" not in last and len(last) < size:
            file.seek(max(0, size - back))
            last = file.read()
            back *= 4
    return first[:-1] + b"]" + last.rpartition(b"\n]")[2]


def damaged(path: Path, why: str) -> JournalError:
    """The error for a file of a run folder that is not as it was written."""
    return JournalError(f"{path}: damaged: {why}", next_step="restore the run folder from a copy")


class _Identified(msgspec.Struct):
    id: str


_identified = msgspec.json.Decoder(_Identified).decode


class Lines(Collection[T]):
    """The records of one such list in a file, read one at a time, as often as wanted.

    Reading raises `JournalError` where the file is not as it was written.
    """

    def __init__(self, path: Path, key: str, decode: Callable[[bytes], T]) -> None:
        self.path = path
        self._key = f'"{key}":['.encode()
        self._decode = decode
        self._count: int | None = None
        self._file: int | None = None

    def __iter__(self) -> Iterator[T]:
        return (self.decoded(line) for _, line in self.places())

    def __len__(self) -> int:
        if self._count is None:
            self._count = sum(1 for _ in self.places())
        return self._count

    def __contains__(self, record: object) -> bool:
        return any(one == record for one in self)

    def at(self, offset: int, size: int) -> T:
        """The record that stands there."""
        if self._file is None:
            self._file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            weakref.finalize(self, os.close, self._file)
        return self.decoded(os.pread(self._file, size, offset))

    def ids(self) -> Iterator[tuple[str, int, int]]:
        """The `id` of each record, where it stands, and its size."""
        return ((self._id(line), offset, len(line)) for offset, line in self.places())

    def named(self, name: str) -> T | None:
        """The record with the `id` `name`, or None; the others are passed over undecoded."""
        wanted = b'"id":' + msgspec.json.encode(name)
        for _, line in self.places():
            if wanted in line and self._id(line) == name:
                return self.decoded(line)
        return None

    def named_in_order(self, name: str) -> T | None:
        """The same where the list is in order of id: halved until found, so hardly any of it is read."""
        try:
            with self.path.open("rb") as file:
                low, high = len(file.readline()), file.seek(0, os.SEEK_END)
                while low < high:
                    middle = (low + high) // 2
                    file.seek(middle - 1)
                    file.readline()
                    start, line = file.tell(), file.readline()
                    if start >= high or line.startswith(b"]"):
                        high = middle
                        continue
                    line = line.rstrip(b",\n")
                    found = self._id(line)
                    if found == name:
                        return self.decoded(line)
                    if found < name:
                        low = file.tell()
                    else:
                        high = middle
        except OSError as error:
            raise damaged(self.path, error.strerror or str(error)) from None
        return None

    def _id(self, line: bytes) -> str:
        try:
            return _identified(line).id
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise damaged(self.path, str(error)) from None

    def decoded(self, line: bytes) -> T:
        """The record of a line that `places` gave."""
        try:
            return self._decode(line)
        except (*UNREADABLE, ValueError) as error:
            raise damaged(self.path, str(error)) from None

    def places(self) -> Iterator[tuple[int, bytes]]:
        """Where each record stands in the file, and its bytes."""
        offset, inside = 0, False
        try:
            with self.path.open("rb") as file:
                for line in file:
                    if not inside:
                        inside = line.endswith(self._key + b"\n")
                        if self._key + b"]" in line:
                            return
                    elif line.startswith(b"]"):
                        return
                    else:
                        yield offset, line.rstrip(b",\n")
                    offset += len(line)
        except OSError as error:
            raise damaged(self.path, error.strerror or str(error)) from None
        raise damaged(self.path, "it ends too early" if inside else "it has not one record a line")
