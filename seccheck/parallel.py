"""Work shared among forked processes, its results in the order of the work: the same bytes on any machine."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, TypeVar

_WORTH_WHILE = 8
"""Items for each process: fewer are done sooner than it is forked."""
T = TypeVar("T")
R = TypeVar("R")


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def batches(items: Sequence[T], size: int = 16) -> list[Sequence[T]]:
    """`items` in runs of `size`, so that handing over costs little beside the work."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def in_order(work: Callable[[T], R], items: Sequence[T], processes: int) -> Iterator[R]:
    """What `work` gives for each of `items`, in their order, done by so many processes.

    The processes are forked, so `work` may hold anything; what it gives is pickled. Each works a little ahead
    and then waits, so memory stays flat. An exception in one of them is raised here.
    """
    processes = min(processes, len(items) // _WORTH_WHILE)
    if processes < 2:
        yield from map(work, items)
        return
    crew: list[tuple[int, IO[bytes]]] = []
    try:
        for number in range(processes):
            crew.append(_start(work, items[number::processes], [one for _, one in crew]))
        for number in range(len(items)):
            yield _result(crew[number % processes][1])
    finally:
        for process, results in crew:
            results.close()
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _start(work: Callable[[T], R], items: Sequence[T], others: list[IO[bytes]]) -> tuple[int, IO[bytes]]:
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        _work(work, items, writing, [reading, *(one.fileno() for one in others)])
    os.close(writing)
    return process, os.fdopen(reading, "rb")


def _work(work: Callable[[T], R], items: Sequence[T], writing: int, foreign: list[int]) -> None:
    """Run in the forked process, and end it: when all is done, or when nobody reads any more."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for descriptor in foreign:
            os.close(descriptor)
        with os.fdopen(writing, "wb") as out:
            for item in items:
                _tell(out, work, item)
        status = 0
    finally:
        os._exit(status)


def _tell(out: IO[bytes], work: Callable[[T], R], item: T) -> None:
    answer: tuple[Any, BaseException | None]
    try:
        answer = work(item), None
    except Exception as error:  # noqa: BLE001  (raised again in the parent)
        answer = None, error
    pickle.dump(answer, out, pickle.HIGHEST_PROTOCOL)
    out.flush()


def _result(results: IO[bytes]) -> Any:
    try:
        result, error = pickle.load(results)  # noqa: S301  (from our own child, over our own pipe)
    except EOFError:
        raise RuntimeError("a process of this program ended unexpectedly") from None
    if error is not None:
        raise error
    return result
