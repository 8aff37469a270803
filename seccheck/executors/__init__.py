"""Where jobs are run: on this machine (`local`), or on others. Only JSON crosses either way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from seccheck.observation import Observation
from seccheck.permission import Scope
from seccheck.plan import Job


class Executor(Protocol):
    """The one port: runs jobs somewhere and gives their observations as they finish."""

    def run(self, jobs: Sequence[Job], scope: Scope, stopping: Callable[[], bool]) -> Iterator[Observation]:
        """Observations in the order they finish, one a job; fewer when `stopping` turned true meanwhile."""
