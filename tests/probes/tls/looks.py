"""Look at servers with the tls probe as a worker does."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from seccheck.model import Reason
from seccheck.probes import Answer, Endpoint, Look
from seccheck.probes.tls import PROBE
from seccheck.probes.tls.facts import TlsFacts, TlsParams
from seccheck.scope import UNLIMITED, Context, Permission, Scope
from tests.probes.tls.pki import NOW

EVERYTHING = (
    "offered", "versions", "suites", "groups", "certificates", "features", "flaws", "fallback",
)  # fmt: skip
HOST = "portal.example.vn"


class Queue:
    """Looks that are all there from the start."""

    def __init__(self, looks: Iterable[Look]) -> None:
        self.looks = deque(looks)

    def take(self, wait: float) -> Look | None:
        return self.looks.popleft() if self.looks else None

    @property
    def closed(self) -> bool:
        return not self.looks


def context(*trust: str, permissions: tuple[Permission, ...] = ()) -> Context:
    loopback = tuple(Permission(network=net, limits=UNLIMITED) for net in ("127.0.0.0/8", "::1/128"))
    return Context(Scope(permissions=permissions or loopback, trust=trust), now=lambda: NOW)


def endpoint(port: int, *, host: str = HOST, address: str = "127.0.0.1", service: str = "https") -> Endpoint:
    return Endpoint(host=host, address=address, port=port, service=service)


def look_at(endpoints: Iterable[Endpoint], params: TlsParams, door: Context | None = None) -> list[Answer]:
    """The answers, in the order of `endpoints`."""
    looks = [Look(key=str(i), endpoint=each, params=params) for i, each in enumerate(endpoints)]
    answers: dict[str, Answer] = {}
    assert PROBE.collect_many
    PROBE.collect_many(
        Queue(looks), lambda answer: answers.__setitem__(answer.key, answer), door or context()
    )
    return [answers[look.key] for look in looks]


def answer_of(port: int, *ask: str, door: Context | None = None, **where: str) -> Answer:
    """The answer of one server, to everything unless `ask` says less."""
    params = TlsParams(ask=ask or EVERYTHING)  # type: ignore[arg-type]
    return look_at([endpoint(port, **where)], params, door)[0]


def facts_of(port: int, *ask: str, door: Context | None = None, **where: str) -> TlsFacts:
    """The facts of one server; fails where there are none."""
    answer = answer_of(port, *ask, door=door, **where)
    assert answer.failed is None, f"{answer.failed}: {answer.detail}"
    assert isinstance(answer.facts, TlsFacts)
    return answer.facts


def doubts(facts: TlsFacts, fact: str) -> dict[str | None, Reason]:
    """What is undecided about `fact`, by member."""
    return {entry.member: entry.reason for entry in facts.undecided if entry.fact == fact}
