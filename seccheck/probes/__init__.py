"""The probe interface: a probe looks and never judges; it is a value found through an entry point.

    PROBE = Probe(id="ssh", version=1, subject="endpoint", params=SshParams, facts=SshFacts, collect=collect)

A probe states what it saw as `Facts`. What it was asked for and could not tell, it lists under
`undecided` with a reason: a refusal is a fact, silence is not. When it could tell nothing at all it
raises `ProbeFailed`. It dials only through its `Context`, which knows what may be touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from seccheck.model import ProbeFailed as ProbeFailed
from seccheck.model import Reason, Record, as_dict
from seccheck.plugins import load_plugins

if TYPE_CHECKING:
    from seccheck.scope import Context

Subject = Literal["address", "endpoint", "name", "domain", "document"]
"""What one look is about, and so which fields of an `Endpoint` it depends on:
`address` (address), `endpoint` (address, port, service), `name` (host as well: SNI, Host header),
`domain` (host = a DNS domain), `document` (host = a file under evidence). The other fields are empty."""


class Endpoint(Record, cache_hash=True):
    """Where a job looks. Only the fields its probe's subject names are set."""

    host: str = ""
    address: str = ""
    port: int = 0
    service: str = ""
    zone: str = ""
    """Where it is looked at from, when not from the zone of the run: zones may use the same addresses."""


class Params(Record, forbid_unknown_fields=True, cache_hash=True):
    """What a criterion asks of a probe. Tuples are merged by union when criteria share a look."""


class Undecided(Record):
    """Something asked for that could not be told.

    `fact` is the field's name; `member` the one element of a set-valued fact in doubt (a version, a class
    of suites, a port), or None when the whole fact is in doubt.
    """

    fact: str
    member: str | None = None
    reason: Reason
    detail: str = ""


class Facts(Record):
    """What a probe saw, without opinion. A field that was not asked for is None."""

    undecided: tuple[Undecided, ...] = ()


class Look(Record):
    """One look for a probe that takes many at once: `key` comes back with the answer."""

    key: str
    endpoint: Endpoint
    params: Any


class Looks(Protocol):
    """The stream of looks that `collect_many` takes from."""

    def take(self, wait: float) -> Look | None:
        """The next look, waiting at most `wait` seconds for one; None when there is none yet, or no more."""

    @property
    def closed(self) -> bool:
        """Whether no more looks will come."""


P = TypeVar("P", bound=Params)
F = TypeVar("F", bound=Facts)


class Answer(Record):
    """The answer to one look: facts or a failure, and the connections it took."""

    key: str
    facts: Any = None
    failed: Reason | None = None
    detail: str = ""
    connections: int = 0


@dataclass(frozen=True)
class Probe(Generic[P, F]):
    """One probe plugin. `version` is part of the job key: a changed probe never reuses old evidence."""

    id: str
    version: int
    subject: Subject
    params: type[P]
    facts: type[F]
    collect: Callable[[Endpoint, P, Context], F] | None = None
    """Looks once; raises `ProbeFailed`. Run in a thread of a killable worker."""
    collect_many: Callable[[Looks, Callable[[Answer], None], Context], None] | None = None
    """Takes looks as they come and hands over each answer as it is ready, until the looks are closed and all
    are answered. For probes that keep many endpoints in flight themselves; run in a killable worker."""
    connections: Callable[[Endpoint, P], int] = lambda _endpoint, _params: 1
    """How many connections one look is expected to make, for `seccheck plan`."""
    besides: Callable[[Endpoint, P], int] = lambda _endpoint, _params: 0
    """How many it may make besides, where the service can't be told otherwise."""
    seconds: Callable[[Endpoint, P], float] = lambda _endpoint, _params: 30.0
    """The wall-clock deadline of one look, enforced from outside, in seconds."""


def merge_params(probe: Probe[Any, Any], wanted: Iterable[Params]) -> list[Params]:
    """The fewest parameter records that cover all of `wanted`: tuples join, other fields must agree."""
    merged: list[dict[str, Any]] = []
    for params in wanted:
        fields = as_dict(params)
        for other in merged:
            if all(isinstance(value, tuple) or other[name] == value for name, value in fields.items()):
                for name, value in fields.items():
                    if isinstance(value, tuple):
                        other[name] = tuple(sorted({*other[name], *value}))
                break
        else:
            merged.append(
                {k: tuple(sorted(set(v))) if isinstance(v, tuple) else v for k, v in fields.items()}
            )
    return [probe.params(**fields) for fields in merged]


@lru_cache(maxsize=8192)
def covers(given: Params, wanted: Params) -> bool:
    """Whether a look with `given` also answers `wanted`."""
    have = as_dict(given)
    return all(
        set(value) <= set(have[name]) if isinstance(value, tuple) else have[name] == value
        for name, value in as_dict(wanted).items()
    )


@cache
def load_probes() -> dict[str, Probe[Any, Any]]:
    """Every installed probe by id, built-in ones included; raises `PluginError` for a broken one."""
    return load_plugins("seccheck.probes", Probe)
