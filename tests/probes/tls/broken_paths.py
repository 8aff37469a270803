"""Seeded cases of broken paths, and what would be a false pass or a false fail on them."""

from __future__ import annotations

import random
from typing import Any

from seccheck.model import Reason
from seccheck.probes import Answer
from seccheck.probes.tls.facts import SUITE_CLASSES, VERSIONS
from tests.probes.tls.breaking_proxy import STYLES


def cases(seed: int, number: int) -> list[dict[str, Any]]:
    """`number` broken paths in front of a good and of a bad server, in turn."""
    dice = random.Random(seed)
    return [_case(dice, place) for place in range(number)]


def _case(dice: random.Random, place: int) -> dict[str, Any]:
    kind = dice.choice(("window", "window", "window", "every", "share"))
    if kind == "window":
        length = dice.choice((1, 2, 3, 4, 5, 8, 12, 10_000))
        when: dict[str, Any] = {"kind": kind, "after": dice.randrange(34), "for": length}
    elif kind == "every":
        every = dice.randrange(2, 7)
        when = {"kind": kind, "every": every, "offset": dice.randrange(every)}
    else:
        when = {"kind": kind, "share": dice.choice((0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7))}
    return {"style": dice.choice(STYLES), "when": when, "seed": dice.random(), "bad": place % 2 == 1}


def mistakes(answer: Answer, truth: dict[str, set[str]]) -> list[str]:
    """What in the answer is wrong: a weakness denied (false pass), or one invented (false fail)."""
    if answer.failed is not None:
        return ["a bug: " + answer.detail] if answer.failed is Reason.BUG else []
    facts = answer.facts
    if facts.offered is not True:
        return [f"offered is {facts.offered}"]
    wrong = []
    for fact, members in (("versions", VERSIONS), ("suite_classes", SUITE_CLASSES), ("groups", None)):
        said = set(getattr(facts, fact) or ())
        doubts = {entry.member for entry in facts.undecided if entry.fact == fact}
        if invented := said - truth[fact]:
            wrong.append(f"{fact}: {sorted(invented)} invented")
        if None in doubts or members is None:
            continue
        if denied := truth[fact] - said - doubts:
            wrong.append(f"{fact}: {sorted(denied)} denied")
    sizes = {str(bits) for bits in facts.dh_bits or ()}
    if "dh_bits" not in {entry.fact for entry in facts.undecided} and sizes != truth["dh_bits"]:
        wrong.append(f"dh_bits: {sorted(sizes)}")
    weak = truth["groups"] & {"secp224r1", "secp192r1", "sect233k1"}
    if "groups" not in {entry.fact for entry in facts.undecided} and not weak <= set(facts.groups or ()):
        wrong.append(f"groups: {sorted(weak)} denied")
    return wrong


def decided(answer: Answer) -> bool:
    """Whether everything was told."""
    return answer.facts is not None and not answer.facts.undecided
