"""How a wait is shown: a bar with counts and time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seccheck.assessment import Progress
    from seccheck.observation import Observation

_EVERY = 10.0


def say(line: str) -> None:
    """A notice for people, on standard error."""
    print(line, file=sys.stderr)  # noqa: T201


@contextmanager
def shown(total: int, done: int = 0, status: Callable[[], str] = str) -> Iterator[Progress]:
    """A progress callback, shown while the context lasts; `status` says who is looking."""
    if sys.stderr.isatty():
        with _bar(total, done, status) as callback:
            yield callback
    else:
        yield _lines(total, status)


@contextmanager
def _bar(total: int, done: int, status: Callable[[], str]) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("looking"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]} without answer  {task.fields[status]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("looking", total=total, completed=done, failed=0, status="")
        failed = 0

        def told(observation: Observation, finished: int, _of: int) -> None:
            nonlocal failed
            failed += observation.failed is not None
            progress.update(task, completed=finished, failed=failed, status=status())

        yield told


def _lines(total: int, status: Callable[[], str]) -> Progress:
    began = last = time.monotonic()
    failed = 0

    def told(observation: Observation, finished: int, _of: int) -> None:
        nonlocal last, failed
        failed += observation.failed is not None
        now = time.monotonic()
        if now - last >= _EVERY or finished == total:
            last = now
            left = (now - began) / max(finished, 1) * (total - finished)
            who = f"; {status()}" if status() else ""
            say(f"looked {finished}/{total}, {failed} without answer, about {left:.0f} s left{who}")

    return told
