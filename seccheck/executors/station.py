"""A worker in a zone: takes orders from the queue of its zone, looks, and tells what was seen.

It carries out only what a trusted key has signed, for its own zone, within the networks and hours of its
owner, and only while it hears the coordinator call: whoever is cut off stops. Its looking is that of a local
scan (`local`), in processes that can be killed.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import signal
import socket
import threading
import time
import warnings
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from seccheck import __version__
from seccheck.errors import InputError
from seccheck.executors.broker import TASK, Broker
from seccheck.executors.line import Line, Lost
from seccheck.executors.local import LocalExecutor
from seccheck.executors.wire import (
    CALL_SECONDS,
    SKEW,
    Call,
    Order,
    Told,
    WireError,
    closed,
    fault_of_job,
    opened,
    order_of,
    queue_of_run,
    queue_of_zone,
)
from seccheck.model import digest, moment
from seccheck.observation import Observation
from seccheck.permission import Permission, Scope, narrowed
from seccheck.plan import Job
from seccheck.probes import Probe
from seccheck.scope import source_address

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

    from seccheck.keys import PublicKey

log = logging.getLogger("seccheck")
ZONE = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
REMEMBERED = 5_000
"""Observations that are kept to answer an order that comes again without looking again."""
_IDLE = 60.0
"""Seconds after which processes that look for a run that asks no more are let go."""
_WAIT_FOR_CALL = 3.0


@dataclass
class _Held:
    """An order in hand."""

    order: Order
    left: set[str]
    """The keys of the jobs that have no answer yet."""
    shut: bool = False
    """Whether some of them wait for authorised hours."""
    over: threading.Event = field(default_factory=threading.Event)


@dataclass
class _Session:
    """What was last heard of the coordinator of a plan."""

    id: str
    signed: datetime
    heard: float
    hold: bool

    def alive(self) -> bool:
        return not self.hold and time.monotonic() - self.heard < CALL_SECONDS


class Station:
    """A worker of `zone`; `own` is what its owner allows it to touch, `keys` whom it takes orders from."""

    def __init__(
        self,
        broker: Broker,
        zone: str,
        probes: Mapping[str, Probe[Any, Any]],
        *,
        keys: Mapping[str, PublicKey],
        own: tuple[Permission, ...],
        signer: CryptoSigner | None,
        slots: int = 8,
    ) -> None:
        if not ZONE.fullmatch(zone):
            raise InputError.at("--zone", f"expected a name such as ministry-a, found {zone!r}")
        self.broker = broker
        self.zone = zone
        self.probes = probes
        self.keys = keys
        self.own = own
        self.signer = signer
        self.slots = slots
        self.name = f"{zone}-{socket.gethostname()[:40]}-{os.getpid()}-{os.urandom(3).hex()}"
        self.ending = False
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._sessions: dict[str, _Session] = {}
        self._engines: dict[tuple[str, str, str], _Engine] = {}
        self._known: OrderedDict[tuple[str, str], Observation] = OrderedDict()
        self._sources: dict[str, None] = {}
        self._outbox: deque[tuple[str, str]] = deque()

    # ------------------------------------------------------------------------------------------ orders

    def look(self, raw: object, *, again: bool) -> None:
        """Carry out the sealed order `raw`; returns when it is over. Whatever is wrong with it is logged."""
        try:
            order = order_of(str(raw), self.keys, self.zone, datetime.now(UTC))
        except WireError as error:
            log.warning("an order was thrown away: %s", error)
            return
        if again:
            log.warning("order %s: delivered again by the broker; its coordinator decides", order.id[:12])
            return
        if not self._awaited(order):
            log.warning("order %s: nobody waits for it any more", order.id[:12])
            return
        with self._lock:
            if order.id in self._seen:
                log.warning("order %s: came twice", order.id[:12])
                return
            self._seen[order.id] = None
            while len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        if fault := next(filter(None, (fault_of_job(job, self.probes) for job in order.jobs)), ""):
            log.warning("order %s refused: %s", order.id[:12], fault)
            self._tell(order.plan, order=order.id, ended="refused", why=fault)
            return
        self._carry_out(order)

    def _awaited(self, order: Order) -> bool:
        """Whether the coordinator is heard, in the session of `order`."""
        give_up = time.monotonic() + _WAIT_FOR_CALL
        while time.monotonic() < give_up:
            session = self._sessions.get(order.plan)
            if session and session.id == order.session and session.alive():
                return not self.ending
            time.sleep(0.05)
        return False

    def _carry_out(self, order: Order) -> None:
        held = _Held(order, {job.key for job in order.jobs})
        with self._lock:
            self._held[order.id] = held
        self._beat(order.plan)
        fresh = []
        for job in order.jobs:
            known = self._known.get((order.plan, job.key))
            if known:
                self._answered(held, known)
            else:
                fresh.append(job)
        if fresh:
            self._sources.update((source_address(job.endpoint.address), None) for job in fresh[:8])
            self._engine(order).put(held, fresh)
            held.over.wait()
        ended: Literal["done", "hours", "stopped"] = (
            "done" if not held.left else "hours" if held.shut else "stopped"
        )
        with self._lock:
            del self._held[order.id]
        self._tell(order.plan, order=order.id, ended=ended)
        self._beat(order.plan)

    def _engine(self, order: Order) -> _Engine:
        scope = narrowed(order.scope, self.own, self.zone)
        key = (order.plan, order.session, digest(scope))
        with self._lock:
            engine = self._engines.get(key)
            if engine is None or not engine.is_alive():
                engine = self._engines[key] = _Engine(self, order.plan, order.session, scope)
                engine.start()
            return engine

    def answered(self, held: _Held, seen: Observation) -> None:
        """Tell an observation, and remember it."""
        with self._lock:
            self._known[held.order.plan, seen.job] = seen
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._answered(held, seen)

    def _answered(self, held: _Held, seen: Observation) -> None:
        held.left.discard(seen.job)
        self._tell(held.order.plan, order=held.order.id, observation=seen)

    def alive(self, plan: str, session: str) -> bool:
        """Whether looking for this session goes on."""
        known = self._sessions.get(plan)
        return bool(not self.ending and known and known.id == session and known.alive())

    # ------------------------------------------------------------------------------------------ the broker

    def _tell(self, plan: str, **content: Any) -> None:
        told = Told(plan=plan, worker=self.name, zone=self.zone, seccheck=__version__, **content)
        self._outbox.append((queue_of_run(plan), closed(told, self.signer)))

    def _beat(self, plan: str) -> None:
        with self._lock:
            held = tuple(one.order.id for one in self._held.values() if one.order.plan == plan)
            free = 0 if self.ending else self.slots - len(self._held)
        self._tell(plan, slots=max(free, 0), held=held, sources=tuple(filter(None, self._sources))[:16])

    def _heard(self, raw: str | bytes) -> None:
        try:
            call, _ = opened(raw, Call, self.keys)
            signed = moment(call.signed)
            away = abs(datetime.now(UTC) - signed)
        except (WireError, ValueError, TypeError) as error:
            log.warning("a call was passed over: %s", error)
            return
        if away > SKEW:
            log.warning("a call was passed over: it is dated %s: are the clocks right?", call.signed)
            return
        known = self._sessions.get(call.plan)
        if known and signed < known.signed:
            return  # said before what is known already
        if known is None or known.id != call.session:
            log.info("run %s: there", call.plan[7:19])
        self._sessions[call.plan] = _Session(call.session, signed, time.monotonic(), call.hold)
        self._beat(call.plan)

    def correspond(self, ended: threading.Event) -> None:
        """Send what is told and hear what is called, until `ended`; anew whenever the broker was lost."""
        while not ended.is_set():
            line = None
            try:
                line = Line(self.broker)
                line.listen(self.name, self._heard)
                log.info("broker %s: connected", self.broker.name)
                while not ended.is_set() or self._outbox:
                    while self._outbox:
                        where, text = self._outbox[0]
                        line.answer(where, text)
                        self._outbox.popleft()
                    line.hear(0.02)
            except Lost as error:
                log.warning("broker %s: %s; trying again", self.broker.name, error)
                ended.wait(1.0)
            except Exception:
                log.exception("broker %s: unexpected; trying again", self.broker.name)
                ended.wait(1.0)
            finally:
                if line is not None:
                    line.close()

    def run(self) -> None:
        """Work until a signal ends it: what was begun is finished, what waits is left to others."""
        from celery import signals
        from kombu import Queue

        app = self.broker.app
        place = queue_of_zone(self.zone)
        app.conf.task_queues = [Queue(place, durable=True)]
        app.conf.task_default_queue = place

        @app.task(  # type: ignore[untyped-decorator]
            name=TASK, bind=True, acks_late=True, ignore_result=True, max_retries=0
        )
        def look(task: Any, raw: object = None, *_: object, **__: object) -> None:
            again = bool((task.request.delivery_info or {}).get("redelivered"))
            self.look(raw, again=again)

        def end(**_: object) -> None:
            self.ending = True

        def keep_log(**_: object) -> None:
            """Leave the log as it is; Celery would set its own."""

        signals.worker_shutting_down.connect(end, weak=False)
        signals.setup_logging.connect(keep_log, weak=False)
        done = threading.Event()
        post = threading.Thread(target=self.correspond, args=(done,))
        post.start()
        worker = app.Worker(
            hostname=self.name,
            queues=[place],
            pool="threads",
            concurrency=self.slots,
            loglevel="WARNING",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
        )
        log.info("worker %s: waits for orders at %s", self.name, self.broker.name)
        try:
            worker.start()
        finally:
            self.ending = True
            for engine in list(self._engines.values()):
                engine.join()
            done.set()
            post.join(10)


class _Engine(threading.Thread):
    """The looking for one session of a plan, in one scope."""

    def __init__(self, station: Station, plan: str, session: str, scope: Scope) -> None:
        super().__init__(daemon=True)
        self.station = station
        self.plan = plan
        self.session = session
        self.scope = scope
        self.inbox: queue.Queue[tuple[_Held, list[Job]]] = queue.Queue()
        self.holders: dict[str, _Held] = {}
        self.asked = time.monotonic()

    def put(self, held: _Held, jobs: list[Job]) -> None:
        """Add the jobs of an order."""
        self.inbox.put((held, jobs))

    def run(self) -> None:
        """Look until the session is over, or asks no more; what was not answered is left."""
        try:
            executor = LocalExecutor(self.station.probes)
            for seen in executor.serve(self._more, self._left, self.scope, self._over):
                if held := self.holders.pop(seen.job, None):
                    self.station.answered(held, seen)
                    if not held.left:
                        held.over.set()
                self.asked = time.monotonic()
        except Exception:
            log.exception("looking ended unexpectedly; what was in hand goes to others")
        finally:
            while True:
                for held in list(self.holders.values()):
                    held.over.set()
                self.holders.clear()
                if self.inbox.empty():
                    break
                self._more()

    def _more(self) -> Sequence[Job]:
        jobs: list[Job] = []
        while not self.inbox.empty():
            held, new = self.inbox.get_nowait()
            jobs += new
            self.holders.update((job.key, held) for job in new)
            self.asked = time.monotonic()
        return jobs

    def _left(self, key: str) -> None:
        """A job waits for authorised hours."""
        held = self.holders.pop(key, None)
        if held is not None:
            held.shut = True
            if not any(one is held for one in self.holders.values()):
                held.over.set()

    def _over(self) -> bool:
        idle = not self.holders and self.inbox.empty() and time.monotonic() - self.asked > _IDLE
        return idle or not self.station.alive(self.plan, self.session)


def run_station(make: Callable[[], Station]) -> None:
    """Run a worker until a signal ends it, with its log on standard error."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    warnings.filterwarnings("ignore", module="celery")
    logging.getLogger("py.warnings").setLevel(logging.ERROR)
    logging.getLogger("kombu").setLevel(logging.ERROR)
    logging.getLogger("celery").setLevel(logging.CRITICAL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    make().run()
