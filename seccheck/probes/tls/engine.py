"""Many looks in flight in one loop: takes looks as they come, hands over each answer as it is ready."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count

from seccheck.model import Reason, safe_text
from seccheck.probes import Answer, Endpoint, Look, Looks, ProbeFailed
from seccheck.probes.tls.answer import Outcome, Reply
from seccheck.probes.tls.certificates import Parsed
from seccheck.probes.tls.chains import AskIssuer
from seccheck.probes.tls.conclude import conclude
from seccheck.probes.tls.facts import TlsFacts, TlsParams
from seccheck.probes.tls.known import Strand
from seccheck.probes.tls.loop import Loop
from seccheck.probes.tls.names import server_name
from seccheck.probes.tls.questions import Offer
from seccheck.probes.tls.revocation import Revocation, fetch
from seccheck.probes.tls.starttls import GREET_FIRST, PROLOGUES, StartTls
from seccheck.probes.tls.talk import Talk
from seccheck.probes.tls.trust import anchors
from seccheck.probes.tls.visit import MAX_CONNECTIONS, SECOND_VISIT, USED_UP, Visit
from seccheck.scope import Context

TARGETS = 128
"""Looks in flight at once: on a wide-area network this decides the speed."""
IN_FLIGHT = 4
"""Connections to one target at once."""
CONNECTION_SECONDS = 5.0
FIRST_VISIT_SECONDS = 15.0
PAUSE_SECONDS = 12.0
"""Before a second visit: longer than the usual windows of connection limiters."""
SECOND_VISIT_SECONDS = 10.0
SECONDS = 90.0
"""The deadline of one look. Only a slow pace set by the scope needs more than the sum of the above."""
_STRAIN = {Outcome.RESET, Outcome.TIMEOUT, Outcome.BUSY}
"""Ends of a connection after which the scope lets an address rest a little longer."""
_SPARE = 5.0
"""Seconds kept to conclude before that deadline."""


class Job:
    """One look under way: its strands, its deadline, its place in the loop."""

    def __init__(self, look: Look, params: TlsParams) -> None:
        self.look = look
        self.endpoint: Endpoint = look.endpoint
        greets = self.endpoint.service in GREET_FIRST
        web = self.endpoint.service == "https"
        self.visit = Visit(server_name(self.endpoint.host), params, greets=greets, web=web)
        self.waves: Iterator[list[Strand]] = self.visit.waves()
        self.waiting: deque[tuple[Strand, Offer]] = deque()
        self.strands = 0
        self.flying = 0
        self.at_once = IN_FLIGHT
        self.deadline: float | None = None
        """Set when the first connection may be opened: waiting for our own pace costs the target nothing."""
        self.give_up = time.monotonic() + SECONDS - _SPARE
        self.asleep = False

    def talk(self, offer: Offer) -> Talk:
        """The talk for `offer`, behind STARTTLS where the service begins in clear."""
        prologue = PROLOGUES.get(self.endpoint.service)
        return StartTls(prologue(), offer.talk()) if prologue else offer.talk()


class Engine:
    """The loop and the jobs in it."""

    def __init__(self, looks: Looks, emit: Callable[[Answer], None], context: Context) -> None:
        self._looks, self._context = looks, context
        self._out = _Emitter(emit)
        self._loop = Loop()
        self._jobs: set[Job] = set()
        self._resting = 0
        self._runnable: deque[Job] = deque()
        self._flying: Counter[str] = Counter()
        self._numbers = count()
        self._issuers = ThreadPoolExecutor(8)
        self._asking: list[tuple[Job, Future[TlsFacts]]] = []

    def run(self) -> None:
        """Until the looks are closed and all are answered."""
        try:
            while not (self._looks.closed and not self._jobs):
                self._take()
                self._pump()
                busy = self._loop.open or self._runnable or self._jobs
                if busy:
                    self._loop.step(0.05)
                self._heard_from_issuers()
                self._out.check()
        finally:
            self._loop.close()
            self._issuers.shutdown(cancel_futures=True)
            self._out.close()

    def _take(self) -> None:
        while len(self._jobs) - self._resting < TARGETS:
            look = self._looks.take(0.0 if self._jobs else 0.2)
            if look is None:
                return
            job = Job(look, look.params)
            self._jobs.add(job)
            self._guard(job, self._next_wave)

    # ------------------------------------------------------------------------------------ strands

    def _next_wave(self, job: Job) -> None:
        """Begin the next wave that has something to ask; conclude after the last."""
        while not job.strands:
            strands = next(job.waves, None)
            if strands is None:
                self._end_of_visit(job)
                return
            job.strands = len(strands)
            for strand in strands:
                self._advance(job, strand, None)
        self._runnable.append(job)

    def _advance(self, job: Job, strand: Strand, reply: Reply | None) -> None:
        """Send a reply into its strand, and queue the offer that comes out."""
        while True:
            try:
                offer = next(strand) if reply is None else strand.send(reply)
            except StopIteration:
                job.strands -= 1
                return
            if job.visit.may_ask(offer) and not self._late(job):
                job.waiting.append((strand, offer))
                return
            reply = self._unasked(job, offer)

    def _unasked(self, job: Job, offer: Offer) -> Reply:
        detail = "no time left" if self._late(job) else job.visit.over or USED_UP
        reply = Reply(outcome=Outcome.NOT_ASKED, detail=detail)
        job.visit.answered(next(self._numbers), offer, reply)
        return reply

    @staticmethod
    def _late(job: Job) -> bool:
        return job.deadline is not None and time.monotonic() >= job.deadline

    # ------------------------------------------------------------------------------------ connections

    def _pump(self) -> None:
        """Open what may be opened."""
        for _ in range(len(self._runnable)):
            job = self._runnable.popleft()
            if job in self._jobs:
                self._guard(job, self._open)

    def _open(self, job: Job) -> None:
        address = job.endpoint.address
        most = self._context.permit(address).limits.connections_at_once
        at_once = min(job.at_once, most)
        while job.waiting and job.flying < at_once and self._flying[address] < most:
            if not job.visit.may_ask(job.waiting[0][1]) or self._late(job):
                strand, offer = job.waiting.popleft()
                self._advance(job, strand, self._unasked(job, offer))
                if not job.strands:
                    self._next_wave(job)
                    return
                continue
            wait = self._context.admit(address)
            if wait:
                self._sleep(job, wait)
                return
            if not self._start(job):
                self._sleep(job, 0.05)
                return
        if job.waiting and not job.flying:  # the address is busy with other names
            self._sleep(job, 0.01)

    def _start(self, job: Job) -> bool:
        strand, offer = job.waiting.popleft()
        now = time.monotonic()
        if job.deadline is None:
            job.deadline = self._deadline(job, now)
        talk = job.talk(offer)
        number = next(self._numbers)

        def done(error: Exception | None) -> None:
            job.flying -= 1
            self._flying[job.endpoint.address] -= 1
            if error is not None:
                self._fail(job, Reason.BUG, error)
            if job in self._jobs:
                self._guard(job, lambda job: self._replied(job, strand, offer, talk.reply, number))

        endpoint = job.endpoint
        deadline = min(now + CONNECTION_SECONDS, job.deadline)
        if not self._loop.start(endpoint.address, endpoint.port, talk, deadline, done):
            job.waiting.appendleft((strand, offer))
            return False
        job.flying += 1
        self._flying[endpoint.address] += 1
        job.visit.connections += 1
        return True

    def _deadline(self, job: Job, now: float) -> float:
        """When this visit ends; a slow pace is our own doing, and its time is added."""
        first = job.visit.visits == 1
        rate = self._context.permit(job.endpoint.address).limits.connections_per_second
        pace = (MAX_CONNECTIONS if first else SECOND_VISIT) / rate if rate else 0.0
        return min(now + pace + (FIRST_VISIT_SECONDS if first else SECOND_VISIT_SECONDS), job.give_up)

    def _replied(self, job: Job, strand: Strand, offer: Offer, reply: Reply, number: int) -> None:
        job.visit.answered(number, offer, reply)
        self._context.strained(job.endpoint.address, reply.outcome in _STRAIN)
        self._advance(job, strand, reply)
        if job.visit.over or self._late(job):
            self._drop_waiting(job)
        self._go_on(job)

    def _go_on(self, job: Job) -> None:
        if job.strands:
            self._runnable.append(job)
        else:
            self._next_wave(job)

    def _drop_waiting(self, job: Job) -> None:
        """Answer what is still waiting with "not asked"."""
        while job.waiting:
            strand, offer = job.waiting.popleft()
            self._advance(job, strand, self._unasked(job, offer))

    def _sleep(self, job: Job, seconds: float) -> None:
        """Come back to this job in a while."""
        if not job.asleep:
            job.asleep = True
            self._loop.at(time.monotonic() + seconds, lambda: self._wake(job))

    def _wake(self, job: Job) -> None:
        job.asleep = False
        self._runnable.append(job)

    # ------------------------------------------------------------------------------------ endings

    def _end_of_visit(self, job: Job) -> None:
        visit = job.visit
        back = time.monotonic() + PAUSE_SECONDS
        if visit.worth_a_second_visit() and back < job.give_up:
            self._resting += 1
            self._loop.at(back, lambda: self._return(job))
            return
        self._guard(job, self._conclude)

    def _return(self, job: Job) -> None:
        self._resting -= 1
        job.at_once = 1
        job.deadline = None
        job.waves = job.visit.second_visit()
        self._guard(job, self._next_wave)

    def _conclude(self, job: Job) -> None:
        """Answer; in a thread where issuers are to be asked, which takes its time."""
        if self._context.scope.revocation == "fetch" and "certificates" in job.visit.wants:
            self._asking.append((job, self._issuers.submit(self._facts, job, self._ask_issuer)))
        else:
            self._answer(job, self._facts(job))

    def _facts(self, job: Job, ask_issuer: AskIssuer | None = None) -> TlsFacts:
        return conclude(
            job.visit,
            job.endpoint.host or job.endpoint.address,
            starttls=job.endpoint.service in PROLOGUES,
            anchors=anchors(self._context.scope.trust),
            now=self._context.now(),
            ask_issuer=ask_issuer,
        )

    def _ask_issuer(self, leaf: Parsed, issuer: Parsed | None) -> Revocation:
        return fetch(leaf, issuer, self._context)

    def _answer(self, job: Job, facts: TlsFacts) -> None:
        self._jobs.discard(job)
        self._out.put(Answer(key=job.look.key, facts=facts, connections=job.visit.connections))

    def _heard_from_issuers(self) -> None:
        """Answer the looks whose issuers have been asked."""
        done = [(job, future) for job, future in self._asking if future.done()]
        for job, future in done:
            self._asking.remove((job, future))
            self._guard(job, lambda job, future=future: self._answer(job, future.result()))  # type: ignore[misc]

    def _guard(self, job: Job, step: Callable[[Job], None]) -> None:
        """Do `step`; what goes wrong in it costs this look alone."""
        try:
            step(job)
        except ProbeFailed as failure:
            self._fail(job, failure.reason, failure)
        except Exception as error:  # noqa: BLE001  # one target's surprise must not end the others'
            self._fail(job, Reason.BUG, error)

    def _fail(self, job: Job, reason: Reason, error: Exception) -> None:
        if job not in self._jobs:
            return
        self._jobs.discard(job)
        job.waiting.clear()
        detail = str(error)
        if reason is Reason.BUG:
            place = traceback.extract_tb(error.__traceback__)[-1:]
            where = f" ({place[0].name}, line {place[0].lineno})" if place else ""
            detail = f"{type(error).__name__}: {error}{where}"
        self._out.put(
            Answer(
                key=job.look.key,
                failed=reason,
                detail=safe_text(detail, 500),
                connections=job.visit.connections,
            )
        )


class _Emitter:
    """Hands answers over in a thread of its own, so that a slow taker does not stop the clock of the loop."""

    def __init__(self, emit: Callable[[Answer], None]) -> None:
        self._queue: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._emit = emit
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="tls answers", daemon=True)
        self._thread.start()

    def put(self, answer: Answer) -> None:
        """Queue an answer."""
        self._queue.put(answer)

    def check(self) -> None:
        """Raise what went wrong in handing over."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Hand over what is left."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (answer := self._queue.get()) is not None:
                self._emit(answer)
        except BaseException as error:  # noqa: BLE001  # raised again in the loop's thread
            self._error = error


def collect_many(looks: Looks, emit: Callable[[Answer], None], context: Context) -> None:
    """Answer every look; see `Probe.collect_many`."""
    engine = Engine(looks, emit, context)
    engine.run()
