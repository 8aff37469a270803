"""What crosses between the coordinator of a scan and the workers in zones: small sealed JSON messages.

    coordinator → the queue of a zone    Order   some jobs, for whoever of the zone takes it
    coordinator → every worker           Call    once a second: this run goes on, in this session
    worker → the queue of the run        Told    a sign of life, an observation, or the end of an order

Everything that arrives is hostile until its seal, its size, its dates and its content are checked. The broker
carries; it decides nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from seccheck.model import Record, canonical, moment, safe_text, timestamp
from seccheck.observation import Observation
from seccheck.permission import Scope
from seccheck.plan import Job, job_for
from seccheck.probes import Probe
from seccheck.sealed import SealError, seal, unseal

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

    from seccheck.keys import PublicKey

T = TypeVar("T")
ORDER_SECONDS = 30
"""How long after its signature an order may be taken up. Orders are only sent to who is free."""
CALL_SECONDS = 8.0
"""Seconds without a call of the coordinator after which a worker begins nothing more for it."""
LOST_SECONDS = 15.0
"""Seconds without a word after which the coordinator takes a worker for lost: it has stopped by then."""
SKEW = timedelta(seconds=60)
"""How far the clocks of two machines may be apart."""
MAX_MESSAGE = 8_000_000
MAX_ORDER = 64_000_000
"""An order unpacked."""
MAX_JOBS = 128
"""In one order."""
PREFIX = "seccheck.1"
"""What the names at the broker begin with; the number is this protocol's."""


class WireError(Exception):
    """A message that is not believed, and why."""


class Order(Record, forbid_unknown_fields=True):
    """Jobs for one worker of a zone."""

    kind: Literal["order"] = "order"
    id: str
    plan: str
    session: str
    zone: str
    signed: str
    expires: str
    scope: Scope
    jobs: tuple[Job, ...]


class Call(Record, forbid_unknown_fields=True):
    """The coordinator is there. Orders of any other session of the plan are void."""

    kind: Literal["call"] = "call"
    plan: str
    session: str
    signed: str
    hold: bool = False
    """Finish what was begun, and begin nothing more."""


class Told(Record, forbid_unknown_fields=True):
    """What a worker tells: a sign of life, and what it has for the order."""

    kind: Literal["told"] = "told"
    plan: str
    worker: str
    zone: str
    seccheck: str
    slots: int = 0
    """How many more orders it would take; in a sign of life."""
    held: tuple[str, ...] = ()
    """The orders of this plan that it has; in a sign of life."""
    sources: tuple[str, ...] = ()
    """Its own addresses, as targets see them."""
    order: str = ""
    observation: Observation | None = None
    ended: Literal["", "done", "hours", "stopped", "refused"] = ""
    """Why the order is over."""
    why: str = ""


def queue_of_zone(zone: str) -> str:
    """The queue that the workers of a zone take orders from."""
    return f"{PREFIX}.zone.{zone}"


def queue_of_run(plan: str) -> str:
    """The queue that workers answer to."""
    return f"{PREFIX}.run.{plan.removeprefix('sha256:')[:40]}"


CALLS = f"{PREFIX}.calls"


def _kind(record: object) -> str:
    return f"application/vnd.seccheck.{type(record).__name__.lower()}+json"


def closed(record: Order | Call | Told, signer: CryptoSigner | None) -> str:
    """The sealed text of a message."""
    payload = zlib.compress(msgspec.json.encode(record), 6)
    return seal(payload, _kind(record), signer).decode("ascii")


def opened(
    raw: str | bytes, kind: type[T], keys: Mapping[str, PublicKey] | None
) -> tuple[T, PublicKey | None]:
    """The message of `kind` in `raw`, and whose key sealed it. Raises `WireError`."""
    if len(raw) > MAX_MESSAGE:
        raise WireError("it is too large")
    data = raw.encode("utf-8", "replace") if isinstance(raw, str) else raw
    try:
        payload, key = unseal(data, f"application/vnd.seccheck.{kind.__name__.lower()}+json", keys)
    except SealError as error:
        said = {
            "unknown-key": "it is signed by a key that is not trusted here",
            "signature": "its signature does not hold",
        }.get(error.code, "it is not one of ours")
        raise WireError(said) from None
    today = datetime.now(UTC).date()
    if key and not key.since <= today <= key.until:
        raise WireError(f"the key of {key.file.name} is valid from {key.since} to {key.until}")
    unpack = zlib.decompressobj()
    try:
        text = unpack.decompress(payload, MAX_ORDER)
        if unpack.unconsumed_tail or not unpack.eof:
            raise WireError("it is too large")
        return msgspec.json.decode(text, type=kind), key
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"its content is not as expected: {safe_text(str(error), 200)}") from None


def order_of(raw: str | bytes, keys: Mapping[str, PublicKey], zone: str, now: datetime) -> Order:
    """The order in `raw` for a worker of `zone`. Raises `WireError` for one that it may not carry out."""
    order, _ = opened(raw, Order, keys)
    if order.zone != zone:
        raise WireError(f"it is for the zone {safe_text(order.zone, 60)!r}")
    signed, expires = _moment(order.signed), _moment(order.expires)
    if signed > now + SKEW:
        raise WireError(f"it is dated {order.signed}, ahead of this machine's clock")
    if now > min(expires, signed + timedelta(seconds=ORDER_SECONDS)) + SKEW:
        raise WireError(f"it could be taken up until {order.expires}")
    if not 0 < len(order.jobs) <= MAX_JOBS:
        raise WireError(f"it has {len(order.jobs)} jobs")
    return order


def _moment(text: str) -> datetime:
    try:
        when = moment(text)
    except ValueError:
        raise WireError("its dates cannot be read") from None
    if when.tzinfo is None:
        raise WireError("its dates cannot be read")
    return when


def fault_of_job(job: Job, probes: Mapping[str, Probe[Any, Any]]) -> str:
    """Why `job` is not what this version of seccheck would do, or nothing."""
    probe = probes.get(job.probe)
    if probe is None or probe.version != job.version:
        return f"probe {safe_text(job.probe, 40)} {job.version} is not known here"
    if probe.subject == "document":
        return "documents are read by the coordinator"
    try:
        params = msgspec.convert(job.params, probe.params)
        again = job_for(probe, job.endpoint, params, job.zone)
    except Exception as error:  # noqa: BLE001  (a probe's own functions, asked with hostile parameters)
        return f"its parameters: {type(error).__name__}"
    return "" if canonical(again) == canonical(job) else "its key does not fit its content"


def fault_of_answer(
    job: Job, seen: Observation, probe: Probe[Any, Any], made: datetime, now: datetime
) -> str:
    """Why `seen` does not answer `job` of a plan `made` then, or nothing."""
    asked = (job.key, job.probe, job.version, job.endpoint, job.params)
    if (seen.job, seen.probe, seen.version, seen.endpoint, seen.params) != asked:
        return "it is not about the job"
    if (seen.facts is None) == (seen.failed is None):
        return "it has neither facts nor a reason, or both"
    if safe_text(seen.detail, 2048) != seen.detail:
        return "its detail is not safe text"
    try:
        started, finished = _moment(seen.started), _moment(seen.finished)
    except WireError as error:
        return str(error)
    if (timestamp(started), timestamp(finished)) != (seen.started, seen.finished):
        return "its dates are not in the one form"
    if not made - SKEW <= started <= finished <= now + SKEW:
        return f"it is dated {seen.started} to {seen.finished}: is the worker's clock right?"
    if not 0 <= seen.connections < 1_000_000:
        return "its count of connections"
    if seen.facts is not None:
        try:
            known = msgspec.convert(seen.facts, probe.facts)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            return f"its facts: {safe_text(str(error), 200)}"
        if canonical(known) != canonical(seen.facts):
            return "its facts hold more than the probe says"
    return ""
