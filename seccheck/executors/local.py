"""Jobs on this machine: threads and event loops inside worker processes that can be killed.

Each probe that keeps many endpoints in flight has a worker to itself; the others share one. Which job may
begin is said by `lanes`. A job that overstays its deadline, or takes its worker with it, costs itself: the
worker is killed, and what else was in flight is looked at once more, each by itself.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from seccheck.errors import ExecutorError
from seccheck.executors.lanes import Lanes
from seccheck.executors.worker import News, Order
from seccheck.model import Reason
from seccheck.observation import Observation, failure
from seccheck.permission import Scope
from seccheck.plan import Job
from seccheck.probes import Probe

GRACE = 5.0
"""Seconds a job may overstay the deadline that its probe keeps itself."""
SILENCE = 15.0
"""Seconds without a sign of life (there is one a second) after which a worker counts as hung."""
START = 60.0
"""Seconds a worker has to start."""
_TICK = 0.2
_TICK_SERVING = 0.03
"""Where jobs keep coming, none should wait for long to be noticed."""


@dataclass
class _Worker:
    """One worker process and the jobs it holds."""

    name: str
    scope: Scope
    inbox: queue.Queue[tuple[_Worker, News | None]]
    alone: bool = False
    """Whether it re-runs, one at a time, jobs that were in flight when another worker died."""
    given: dict[str, Job] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)
    spawned: float = field(default_factory=time.monotonic)
    heard: float | None = None

    def __post_init__(self) -> None:
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "seccheck.executors.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise ExecutorError(f"a worker process could not be started: {error}") from None
        self._send(Order(scope=self.scope))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout  # noqa: S101
        decoder = msgspec.json.Decoder(News)
        with contextlib.suppress(msgspec.DecodeError):  # killed in the middle of a line
            for line in self.process.stdout:
                self.inbox.put((self, decoder.decode(line)))
        self.process.stdout.close()
        self.inbox.put((self, None))

    def _send(self, order: Order) -> None:
        self._write(msgspec.json.encode(order) + b"\n")

    def _write(self, data: bytes) -> None:
        assert self.process.stdin  # noqa: S101
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return  # its end is noticed, and dealt with, where its news are read

    def hold(self) -> None:
        """Let it finish what it has begun, and nothing else."""
        self._send(Order(hold=True))

    def give(self, job: Job) -> None:
        self.given[job.key] = job
        self._send(Order(job=job))

    def hear(self, news: News) -> None:
        self.heard = time.monotonic()
        if news.started:
            self.begun[news.started] = self.heard
        if news.observation:
            self.given.pop(news.observation.job, None)
            self.begun.pop(news.observation.job, None)

    @property
    def gripped(self) -> bool:
        """Whether it shows no sign of life: native code holds the interpreter, or the process is stopped."""
        quiet = time.monotonic() - (self.heard or self.spawned)
        return quiet > (SILENCE if self.heard else START)

    def overdue(self) -> list[Job]:
        """The jobs that were past their deadline at the worker's last sign of life.

        Later than that nobody can be blamed: one job that holds the interpreter keeps all others from ending.
        """
        last = self.heard or self.spawned
        return [
            self.given[key]
            for key, begun in self.begun.items()
            if last - begun > self.given[key].seconds + GRACE
        ]

    def kill(self) -> None:
        """End it and what it has started (nmap): it leads a process group of its own."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def bury(self) -> None:
        """Leave nothing of a dead worker behind."""
        self._close()
        self.process.wait()

    def dismiss(self) -> None:
        """Say goodbye: the worker ends when what it holds is done."""
        self._write(b"\n\n")
        self._close()

    def _close(self) -> None:
        assert self.process.stdin  # noqa: S101
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()


class LocalExecutor:
    """Runs jobs in worker processes on this machine."""

    def __init__(self, probes: Mapping[str, Probe[Any, Any]]) -> None:
        self._probes = probes

    def run(self, jobs: Sequence[Job], scope: Scope, stopping: Callable[[], bool]) -> Iterator[Observation]:
        """Observations as they finish; see `Executor.run`."""
        if not jobs:
            return
        run = _Run(self._probes, scope, jobs)
        try:
            yield from run.observations(stopping)
        finally:
            run.end()

    def serve(
        self,
        more: Callable[[], Sequence[Job]],
        left: Callable[[str], None],
        scope: Scope,
        stopping: Callable[[], bool],
    ) -> Iterator[Observation]:
        """Observations of jobs that keep coming, until `stopping`; then what is in flight is finished.

        `more`: the jobs that came since. `left` is told the key of each that waits for authorised hours.
        """
        run = _Run(self._probes, scope, ())
        run.more, run.left_alone = more, left
        try:
            yield from run.observations(stopping)
        finally:
            run.end()


class _Run:
    """One run of a list of jobs: who holds what."""

    def __init__(self, probes: Mapping[str, Probe[Any, Any]], scope: Scope, jobs: Sequence[Job]) -> None:
        self.probes = probes
        self.scope = scope
        self.inbox: queue.Queue[tuple[_Worker, News | None]] = queue.Queue()
        self.workers: dict[str, _Worker] = {}
        self.retries: deque[Job] = deque()
        self.lanes = Lanes(jobs, scope)
        self.left = len(jobs)
        self.more: Callable[[], Sequence[Job]] | None = None
        self.left_alone: Callable[[str], None] = lambda _: None

    def observations(self, stopping: Callable[[], bool]) -> Iterator[Observation]:
        stopped = False
        while self.left or self.more:
            if not stopped and stopping():
                stopped = True
                self._hold()
            if not stopped:
                self._take()
                self._dispatch()
            if self._idle and (stopped or (self.lanes.stuck and not self.more)):
                return
            if self._idle and self.left:
                self._leave_what_waits()
            yield from self._news(stopped=stopped)
            yield from self._watch(stopped=stopped)

    def _take(self) -> None:
        """Take up the jobs that came since."""
        for job in self.more() if self.more else ():
            self.lanes.add(job)
            self.left += 1

    def _leave_what_waits(self) -> None:
        """Where all that waits waits for authorised hours, leave it."""
        if self.lanes.stuck:
            for job in self.lanes.withdraw():
                self.left -= 1
                self.left_alone(job.key)

    @property
    def _idle(self) -> bool:
        return not self.retries and not any(worker.given for worker in self.workers.values())

    def _hold(self) -> None:
        """Finish what was begun; what waits in workers or for them is left."""
        self.retries.clear()
        for worker in self.workers.values():
            worker.hold()

    def _dispatch(self) -> None:
        for job in self.lanes.ready():
            self._worker(job).give(job)
        alone = self.workers.get("alone")
        if self.retries and not (alone and alone.given):
            job = self.retries.popleft()
            if alone is None:
                alone = self.workers["alone"] = _Worker("alone", self.scope, self.inbox, alone=True)
            alone.give(job)

    def _worker(self, job: Job) -> _Worker:
        name = job.probe if self.probes[job.probe].collect_many else "threads"
        if name not in self.workers:
            self.workers[name] = _Worker(name, self.scope, self.inbox)
        return self.workers[name]

    def _news(self, *, stopped: bool) -> Iterator[Observation]:
        try:
            tick = _TICK if self.more is None else _TICK_SERVING
            worker, news = self.inbox.get(timeout=min(tick, self.lanes.pause))
        except queue.Empty:
            return
        while True:
            if news is None:
                yield from self._died(worker, again=not stopped)
            elif self.workers.get(worker.name) is worker:
                held = news.observation is not None and news.observation.job in worker.given
                worker.hear(news)
                if held and news.observation:
                    yield from self._done(news.observation)
            try:
                worker, news = self.inbox.get_nowait()
            except queue.Empty:
                return

    def _done(self, observation: Observation) -> Iterator[Observation]:
        self.left -= 1
        self.lanes.done(observation)
        if self.lanes.cut_short(observation):
            self.left_alone(observation.job)
        else:
            yield observation

    def _watch(self, *, stopped: bool) -> Iterator[Observation]:
        for worker in list(self.workers.values()):
            # A worker without signs of life cannot say whose fault it is: what it holds is looked at alone.
            gripped = worker.gripped
            guilty = (
                list(worker.given.values())
                if gripped and worker.alone
                else []
                if gripped
                else worker.overdue()
            )
            if not guilty and not gripped:
                continue
            worker.kill()
            for job in guilty:
                del worker.given[job.key]
                yield from self._failed(job, Reason.TIMEOUT, "did not end by its deadline and was stopped")
            yield from self._died(worker, again=not stopped)

    def _died(self, worker: _Worker, *, again: bool = True) -> Iterator[Observation]:
        """Replace a worker that ended with jobs in hand; those it had begun run once more, each alone."""
        if self.workers.get(worker.name) is not worker:
            return
        del self.workers[worker.name]
        worker.bury()
        if not worker.given:
            return
        for key, job in worker.given.items():
            if worker.alone and (key in worker.begun or len(worker.given) == 1):
                yield from self._failed(
                    job, Reason.CRASHED, f"the worker ended with status {worker.process.returncode}"
                )
            elif not again:
                continue
            elif key in worker.begun:
                self.retries.append(job)
            else:
                self._worker(job).give(job)

    def _failed(self, job: Job, reason: Reason, detail: str) -> Iterator[Observation]:
        yield from self._done(failure(job, reason, detail, datetime.now(UTC)))

    def end(self) -> None:
        """Let idle workers go, kill busy ones."""
        for worker in self.workers.values():
            if worker.given:
                worker.kill()
            else:
                worker.dismiss()
        for worker in self.workers.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(timeout=5)
            worker.kill()
            worker.bury()
