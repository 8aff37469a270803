"""One job done: an observation, dated, with facts or the reason why there are none. Never raises."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from seccheck.model import Reason, Record, digest, moment, safe_text, timestamp
from seccheck.plan import Job
from seccheck.probes import Answer, Endpoint, Probe, ProbeFailed

if TYPE_CHECKING:
    from seccheck.scope import Context

log = logging.getLogger("seccheck")


class Observation(Record):
    """What one job saw: `facts`, or `failed` with its reason. The unit of evidence."""

    job: str
    """The key of the job it answers."""
    probe: str
    version: int
    endpoint: Endpoint
    params: Any
    started: str
    finished: str
    facts: dict[str, Any] | None = None
    failed: Reason | None = None
    detail: str = ""
    connections: int = 0

    @property
    def at(self) -> datetime:
        """When it was finished: the moment that dates are judged at."""
        return moment(self.finished)

    @property
    def digest(self) -> str:
        """Digest over the whole record; what findings cite."""
        return digest(self)


def observe(
    job: Job, answer: Answer, started: datetime, finished: datetime, connections: int = 0
) -> Observation:
    """The observation that `answer` is, for `job`; `connections` where the answer does not say itself."""
    facts = None if answer.facts is None else msgspec.to_builtins(answer.facts)
    return Observation(
        job=job.key,
        probe=job.probe,
        version=job.version,
        endpoint=job.endpoint,
        params=job.params,
        started=timestamp(started),
        finished=timestamp(finished),
        facts=facts,
        failed=answer.failed,
        detail=safe_text(answer.detail, 500),
        connections=answer.connections or connections,
    )


def failure(job: Job, reason: Reason, detail: str, started: datetime) -> Observation:
    """The observation of a job that told nothing."""
    return observe(job, Answer(key=job.key, failed=reason, detail=detail), started, datetime.now(UTC))


def perform(job: Job, probes: Mapping[str, Probe[Any, Any]], context: Context) -> Observation:
    """Do one job with a probe that looks at one endpoint at a time.

    Whatever happens becomes data: `ProbeFailed` its reason, anything else `bug` (traceback in the log).
    """
    probe = probes[job.probe]
    started = context.now()
    own = context.for_one_job()
    try:
        assert probe.collect is not None  # noqa: S101  (the worker gives streams to collect_many)
        facts = probe.collect(job.endpoint, msgspec.convert(job.params, probe.params), own)
        answer = Answer(key=job.key, facts=facts)
    except ProbeFailed as failed:
        answer = Answer(key=job.key, failed=failed.reason, detail=failed.detail)
    except Exception as error:
        log.warning("probe %s broke on %s", job.probe, job.endpoint, exc_info=True)
        answer = Answer(key=job.key, failed=Reason.BUG, detail=f"{type(error).__name__}: {error}")
    return observe(job, answer, started, context.now(), own.connections)
