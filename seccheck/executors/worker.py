"""A worker process: takes jobs as JSON lines on standard input, gives observations as JSON lines.

It is a process of its own so that it can be killed: native code that hangs or crashes costs the jobs in
flight and nothing else. It ends when its input ends, so it never outlives its master.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, BinaryIO

import msgspec

from seccheck.model import Reason, Record
from seccheck.observation import Observation, failure, observe, perform
from seccheck.permission import Scope
from seccheck.plan import Job
from seccheck.probes import Answer, Look, Probe, load_probes
from seccheck.scope import Context

THREADS = 32
"""Jobs at once for probes that look at one endpoint at a time."""
HEARTBEAT = 1.0
"""Seconds between signs of life; a native call that holds the interpreter stops them."""
BROKEN = 70
"""Exit status of a worker whose probe broke with many looks in flight (EX_SOFTWARE)."""
log = logging.getLogger("seccheck")


class Order(Record):
    """A line to the worker: the scope first, then jobs, or to take up no more of those that wait."""

    scope: Scope | None = None
    job: Job | None = None
    hold: bool = False


class News(Record):
    """A line from the worker: a job was begun, a job is done, or just a sign of life."""

    started: str = ""
    observation: Observation | None = None


class Stream:
    """The looks of one `collect_many` probe, fed from the worker's input."""

    def __init__(self, probe: Probe[Any, Any], tell: Callable[[News], None]) -> None:
        self._probe = probe
        self._tell = tell
        self._queue: queue.Queue[Job | None] = queue.Queue()
        self._begun: dict[str, tuple[Job, datetime]] = {}
        self._closed = False

    def put(self, job: Job | None) -> None:
        """Add a job, or None to close."""
        self._queue.put(job)

    def hold(self) -> None:
        """Give out no more looks, whatever waits."""
        self._closed = True
        self._queue.put(None)

    def take(self, wait: float) -> Look | None:
        """The next look, as the probe interface says."""
        if self._closed:
            return None
        try:
            job = self._queue.get(block=wait > 0, timeout=wait or None)
        except queue.Empty:
            return None
        if job is None or self._closed:
            self._closed = True
            return None
        params = self._params(job)
        if params is None:
            return None
        self._begun[job.key] = (job, datetime.now(UTC))
        self._tell(News(started=job.key))
        return Look(key=job.key, endpoint=job.endpoint, params=params)

    def _params(self, job: Job) -> Any:
        """The parameters of `job`; None, and it is answered, where this probe does not know them."""
        try:
            return msgspec.convert(job.params, self._probe.params)
        except msgspec.ValidationError as error:
            self._tell(News(observation=failure(job, Reason.BUG, str(error), datetime.now(UTC))))
            return None

    @property
    def closed(self) -> bool:
        """Whether no more looks will come."""
        return self._closed

    def answer(self, answer: Answer) -> None:
        """Report one answer."""
        job, started = self._begun.pop(answer.key)
        self._tell(News(observation=observe(job, answer, started, datetime.now(UTC))))

    def run(self, context: Context) -> None:
        """Let the probe work until its looks end, anew after each mistake of ours.

        One that breaks with many looks in flight cannot say whose fault it is: the worker ends, and its
        master has each of them looked at alone. One alone is its own fault.
        """
        assert self._probe.collect_many is not None  # noqa: S101
        while True:
            detail = "the probe ended without an answer"
            try:
                self._probe.collect_many(self, self.answer, context)
            except Exception as error:
                log.warning("probe %s broke", self._probe.id, exc_info=True)
                detail = f"{type(error).__name__}: {error}"
            if len(self._begun) > 1 and not self._closed:
                os._exit(BROKEN)
            if not self._begun:
                self.take(1.0)  # broken before it took any: whose turn it is pays for it
            for job, started in list(self._begun.values()):
                self._tell(News(observation=failure(job, Reason.BUG, detail, started)))
            self._begun.clear()
            if self._closed:
                return


def work(orders: BinaryIO, output: int) -> None:
    """Carry out orders until they end, writing news to the file descriptor `output`."""
    lock = threading.Lock()

    def tell(news: News) -> None:
        line = memoryview(msgspec.json.encode(news) + b"\n")
        with lock:
            while line:
                line = line[os.write(output, line) :]

    def beat() -> None:
        while True:
            tell(News())
            if done.wait(HEARTBEAT):
                return

    done = threading.Event()
    threading.Thread(target=beat, daemon=True).start()
    probes = load_probes()
    first = msgspec.json.decode(orders.readline(), type=Order)
    context = Context(first.scope or Scope())
    streams: dict[str, tuple[Stream, threading.Thread]] = {}
    pool = ThreadPoolExecutor(THREADS)

    def one(job: Job) -> None:
        tell(News(started=job.key))
        tell(News(observation=perform(job, probes, context)))

    for raw in orders:
        if not raw.strip():
            continue  # the goodbye
        order = msgspec.json.decode(raw, type=Order)
        if order.hold:
            for stream, _ in streams.values():
                stream.hold()
            pool.shutdown(wait=False, cancel_futures=True)
            break
        job = order.job
        if job is None:
            continue
        probe = probes[job.probe]
        if probe.collect_many is None:
            pool.submit(one, job)
            continue
        if job.probe not in streams:
            stream = Stream(probe, tell)
            thread = threading.Thread(target=stream.run, args=(context,), daemon=True)
            thread.start()
            streams[job.probe] = (stream, thread)
        streams[job.probe][0].put(job)
    for stream, thread in streams.values():
        stream.put(None)
        thread.join()
    pool.shutdown()
    done.set()


def _end_with_master(descriptor: int, feed: int) -> None:
    """Copy orders from `descriptor` to `feed`; end at once when the master goes without a goodbye."""
    said_goodbye = False
    with contextlib.suppress(BrokenPipeError), os.fdopen(feed, "wb", buffering=0) as out:
        while chunk := os.read(descriptor, 65536):
            said_goodbye = chunk.endswith(b"\n\n")
            out.write(chunk)
    if not said_goodbye:
        os.killpg(0, signal.SIGKILL)  # with what it has started, such as nmap: it leads its own group


def main() -> None:
    """Run as a worker on standard input and output; stray prints of libraries go to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.getpgid(0) != os.getpid():
        os.setsid()
    output = os.dup(1)
    os.dup2(2, 1)
    orders, feed = os.pipe()
    threading.Thread(target=_end_with_master, args=(0, feed), daemon=True).start()
    with os.fdopen(orders, "rb") as lines:
        work(lines, output)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
