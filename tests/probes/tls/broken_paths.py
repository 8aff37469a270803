"""Seeded cases of broken paths, and what would be a false pass or a false fail on them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seccheck.model import Reason
from seccheck.probes import Answer
from seccheck.probes.tls.facts import SUITE_CLASSES, VERSIONS, TlsFacts
from tests.probes.tls.breaking_proxy import STYLES

FOR_EVER = 10_000


def cases(seed: int, number: int) -> list[dict[str, Any]]:
    """`number` broken paths in front of a good and of a bad server, in turn."""
    dice = random.Random(seed)
    return [_case(dice, place) for place in range(number)]


def _case(dice: random.Random, place: int) -> dict[str, Any]:
    kind = dice.choice(("window", "window", "window", "every", "share"))
    if kind == "window":
        length = dice.choice((1, 2, 3, 4, 5, 8, 12, FOR_EVER))
        when: dict[str, Any] = {"kind": kind, "after": dice.randrange(34), "for": length}
    elif kind == "every":
        every = dice.randrange(2, 7)
        when = {"kind": kind, "every": every, "offset": dice.randrange(every)}
    else:
        when = {"kind": kind, "share": dice.choice((0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7))}
    style = dice.choice(STYLES)
    if style in {"alert-40", "alert-70"} and when.get("for") == FOR_EVER:
        when["after"] += 1  # alerts to everything from the first connection on are a refusal, by definition
    return {"style": style, "when": when, "seed": dice.random(), "bad": place % 2 == 1}


@contextmanager
def proxied(specs: list[dict[str, Any]], address: str) -> Iterator[list[int]]:
    """The ports of one breaking proxy for each of `specs`."""
    program = Path(__file__).with_name("breaking_proxy.py")
    with subprocess.Popen(
        [sys.executable, str(program), address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(specs) + "\n")
        process.stdin.flush()
        yield json.loads(process.stdout.readline())
        process.stdin.close()


def truth_of(facts: TlsFacts) -> TlsFacts:
    """The facts that a clear look brought, as the truth to hold others against."""
    assert facts.undecided == ()
    return facts


_WEAK_GROUPS = {"secp224r1", "secp192r1"}
_FLAGS = (
    "compression", "extended_master_secret", "secure_renegotiation", "client_renegotiation",
    "heartbleed", "ccs_injection", "robot", "fallback_scsv", "client_certificate", "needs_name",
)  # fmt: skip


def mistakes(answer: Answer, truth: TlsFacts) -> list[str]:
    """What in the answer is wrong: a weakness denied (false pass), or one invented (false fail)."""
    if answer.failed is not None:
        return ["a bug: " + answer.detail] if answer.failed is Reason.BUG else []
    facts: TlsFacts = answer.facts
    if facts.offered is not True:
        return [f"offered is {facts.offered}"]
    wrong = [
        f"{flag}: {getattr(facts, flag)}"
        for flag in _FLAGS
        if getattr(facts, flag) not in {None, getattr(truth, flag)}
    ]
    wrong += _set_mistakes(facts, truth, "versions", set(VERSIONS))
    wrong += _set_mistakes(facts, truth, "suite_classes", set(SUITE_CLASSES))
    wrong += _set_mistakes(facts, truth, "groups", _WEAK_GROUPS)
    wrong += _set_mistakes(facts, truth, "dh_bits", set(truth.dh_bits or ()))
    if facts.chains is not None and truth.chains is not None:
        keys = {chain.certificates[0].sha256 for chain in truth.chains}
        if invented := {chain.certificates[0].sha256 for chain in facts.chains} - keys:
            wrong.append(f"chains: {invented} invented")
    return wrong


def _set_mistakes(facts: TlsFacts, truth: TlsFacts, fact: str, told: set[Any]) -> list[str]:
    """Members invented, and members among `told` that are denied without a doubt."""
    if getattr(facts, fact) is None:
        return []
    said, true = set(getattr(facts, fact)), set(getattr(truth, fact))
    doubts = {entry.member for entry in facts.undecided if entry.fact == fact}
    wrong = [f"{fact}: {sorted(said - true)} invented"] if said - true else []
    denied = (true & told) - said - doubts
    return wrong + ([f"{fact}: {sorted(denied)} denied"] if denied and None not in doubts else [])


def decided(answer: Answer) -> bool:
    """Whether everything was told."""
    return answer.facts is not None and not answer.facts.undecided
