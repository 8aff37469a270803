"""The gate: findings × threshold × baseline × waivers → exit status. Pure, and it fails closed.

0  met            1  a counted fail past the threshold
2  (not from here) could not run
3  nothing failed, but something counted is not concluded, or nothing was measured
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Literal

from pydantic import Field

from seccheck.errors import InputError
from seccheck.model import Model, Record
from seccheck.yamlfile import did_you_mean, read_yaml, validate

Severity = Literal["critical", "high", "medium", "low"]
FailOn = Literal["new", "regressed", "expired-waiver", "inconclusive"]
State = Literal["new", "regressed", "unchanged", "improved", ""]
"""How a finding stands against the baseline; empty without one."""


class Threshold(Model):
    """What blocks: a threshold file (`seccheck: gate/1`), or the strict default."""

    seccheck: Literal["gate/1"] = "gate/1"
    severities: list[Severity] = Field(default=["critical", "high", "medium", "low"], min_length=1)
    criteria: list[str] = Field(default=["*"], min_length=1)
    inconclusive: Literal["block", "warn"] = "block"
    fail_on: list[FailOn] | None = Field(default=None, min_length=1)
    """What makes exit status 1. None: every counted fail; with a baseline: new, regressed, expired-waiver."""


class Case(Record):
    """What the gate needs to know of one finding."""

    system: str
    criterion: str
    target: str | None
    severity: str
    verdict: str
    counted: bool
    fingerprint: str
    reason: str | None = None
    waiver_expired: bool = False
    """Whether a waiver that covered it has run out."""


class Decision(Record):
    """One finding and what the gate makes of it."""

    case: Case
    state: State
    effect: Literal["block", "open", "warn", "pass", "ignored"]
    """block: exit 1; open: exit 3; warn: said, no effect; ignored: not counted or outside the threshold."""


@dataclass(frozen=True)
class Outcome:
    """What the gate decided, and why."""

    status: Literal[0, 1, 3]
    decisions: tuple[Decision, ...]
    measured: int
    """Findings within the threshold that came to pass, fail or waived."""

    def with_effect(self, effect: str) -> list[Decision]:
        """The decisions with this effect."""
        return [one for one in self.decisions if one.effect == effect]


def load_threshold(path: Path, criteria: Iterable[str]) -> Threshold:
    """The threshold in `path`; `criteria` are the ids that its globs must match.

    Raises `InputError`: a typo never turns a gate green.
    """
    document = read_yaml(path)
    if not isinstance(document.data, dict) or "seccheck" not in document.data:
        raise InputError.at(document.name, "expected `seccheck: gate/1` at the top", line=1)
    threshold = validate(document, Threshold)
    known = list(criteria)
    for index, glob in enumerate(threshold.criteria):
        if not any(fnmatchcase(one, glob) for one in known):
            raise InputError.at(
                document.name,
                f"expected a glob that matches a criterion of this run, found {glob!r}",
                line=document.line(("criteria", index)),
                key=f"criteria[{index}]",
                hint=did_you_mean(glob, known),
            )
    return threshold


def decide(cases: Iterable[Case], threshold: Threshold, baseline: Mapping[str, str] | None = None) -> Outcome:
    """Hold `cases` against `threshold`, and against `baseline` (verdict by fingerprint) if there is one."""
    decisions = tuple(_decide(case, threshold, baseline) for case in cases)
    effects = {one.effect for one in decisions}
    within = [one for one in decisions if one.effect != "ignored"]
    measured = sum(one.case.verdict in {"pass", "fail", "waived"} for one in within)
    if "block" in effects:
        return Outcome(1, decisions, measured)
    return Outcome(3 if "open" in effects or not measured else 0, decisions, measured)


def _decide(case: Case, threshold: Threshold, baseline: Mapping[str, str] | None) -> Decision:
    state = _state(case, baseline)
    return Decision(case=case, state=state, effect=_effect(case, threshold, state))


def _state(case: Case, baseline: Mapping[str, str] | None) -> State:
    if baseline is None:
        return ""
    before = baseline.get(case.fingerprint)
    if before is None:
        return "new"
    if before == case.verdict:
        return "unchanged"
    if case.verdict == "fail":
        return "regressed"
    return "regressed" if case.verdict == "inconclusive" and before != "fail" else "improved"


def _effect(
    case: Case, threshold: Threshold, state: State
) -> Literal["block", "open", "warn", "pass", "ignored"]:
    if not case.counted or case.verdict == "not-applicable" or case.severity not in threshold.severities:
        return "ignored"
    if not any(fnmatchcase(case.criterion, glob) for glob in threshold.criteria):
        return "ignored"
    if case.verdict == "fail":
        return "block" if _fail_blocks(case, threshold, state) else "warn"
    if case.verdict == "inconclusive":
        if "inconclusive" in (threshold.fail_on or ()):
            return "block"
        return "open" if threshold.inconclusive == "block" else "warn"
    return "pass"


def _fail_blocks(case: Case, threshold: Threshold, state: State) -> bool:
    if not state:
        return True
    causes = threshold.fail_on or ["new", "regressed", "expired-waiver"]
    return state in causes or (case.waiver_expired and "expired-waiver" in causes)


def check_baseline(threshold: Threshold, *, baseline: bool) -> None:
    """Refuse a threshold that speaks of a baseline where there is none: it could never block."""
    needs = [one for one in threshold.fail_on or () if one in {"new", "regressed"}]
    if needs and not baseline:
        raise InputError.at("--threshold", f"fail_on: {needs[0]} needs a --baseline run to compare with")


def truth_table() -> Iterator[tuple[str, str, str, str, str, str]]:
    """Every combination that can meet the gate, with its effect: the table in the documentation.

    Columns: verdict, against the baseline, waiver ran out, fail_on, inconclusive, effect.
    """
    choices: list[list[FailOn] | None] = [None, ["new"], ["regressed"], ["expired-waiver"], ["inconclusive"]]
    states: tuple[State, ...] = ("", "new", "regressed", "unchanged")
    for verdict, state, expired, fail_on, mode in product(
        ("fail", "inconclusive", "waived", "pass"), states, (False, True), choices, ("block", "warn")
    ):
        if (verdict != "inconclusive" and mode == "warn") or (verdict != "fail" and expired):
            continue
        if verdict in {"waived", "pass"} and (fail_on or state):
            continue
        if not state and fail_on in (["new"], ["regressed"]):
            continue
        case = Case(
            system="s",
            criterion="C-01",
            target=None,
            severity="high",
            verdict=verdict,
            counted=True,
            fingerprint="f",
            waiver_expired=expired,
        )
        threshold = Threshold(fail_on=fail_on, inconclusive="warn" if mode == "warn" else "block")
        effect = _effect(case, threshold, state)
        yield (
            verdict,
            state or "no baseline",
            "yes" if expired else "no",
            ", ".join(fail_on) if fail_on else "default",
            mode,
            effect,
        )
