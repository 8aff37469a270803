"""The gate: findings × threshold × baseline × waivers → exit status. Pure, and it fails closed.

0  met            1  a counted fail past the threshold
2  (not from here) could not run
3  nothing failed, but something counted is not concluded, or nothing was measured
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from seccheck.errors import InputError
from seccheck.model import Model, Record
from seccheck.yamlfile import did_you_mean, read_yaml, validate

Severity = Literal["critical", "high", "medium", "low"]
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low")
FailOn = Literal["new", "regressed", "expired-waiver", "inconclusive"]
State = Literal["new", "regressed", "unchanged", "improved", ""]
"""How a finding stands against the baseline; empty without one."""
Effect = Literal["block", "open", "warn", "pass", "ignored"]
"""block: exit 1. open: exit 3. warn: said, no effect. ignored: not counted, or outside the threshold."""
TOLD: tuple[Effect, ...] = ("block", "open", "warn")
"""The effects that a reader is told of one by one, gravest first."""


class Threshold(Model):
    """What blocks: a threshold file (`seccheck: gate/1`), or the strict default."""

    seccheck: Literal["gate/1"] = "gate/1"
    severities: list[Severity] = Field(default=[*SEVERITIES], min_length=1)
    criteria: list[str] = Field(default=["*"], min_length=1)
    inconclusive: Literal["block", "warn"] = "block"
    fail_on: list[FailOn] | None = Field(default=None, min_length=1)
    """What makes exit status 1. None: every counted fail; with a baseline: new, regressed, expired-waiver."""

    def covers(self, criterion: str, severity: str) -> bool:
        """Whether it speaks of this criterion."""
        return severity in self.severities and any(fnmatchcase(criterion, glob) for glob in self.criteria)


class Case(Record):
    """What the gate needs to know of one finding."""

    system: str
    criterion: str
    target: str | None
    severity: str
    verdict: str
    observed: str = ""
    """What the evidence says; empty: the same as the verdict. It differs under a waiver."""
    counted: bool
    fingerprint: str
    reason: str | None = None
    waiver_expired: bool = False
    """Whether a waiver that covered it has run out."""


class Decision(Record):
    """One finding and what the gate makes of it."""

    case: Case
    state: State
    effect: Effect


@dataclass(frozen=True)
class Outcome:
    """What the gate decided, and why."""

    status: Literal[0, 1, 3]
    counts: Mapping[Effect, int]
    """Findings by effect."""
    told: tuple[Decision, ...]
    """What blocks, is open or is warned of, in that order, the gravest first."""
    measured: int
    """Findings within the threshold that the evidence decided: pass or fail, also under a waiver."""


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


def check_baseline(threshold: Threshold, *, baseline: bool) -> None:
    """Refuse a threshold that speaks of a baseline where there is none: it could never block."""
    needs = [one for one in threshold.fail_on or () if one in {"new", "regressed"}]
    if needs and not baseline:
        raise InputError.at("--threshold", f"fail_on: {needs[0]} needs a --baseline run to compare with")


def decide(cases: Iterable[Case], threshold: Threshold, baseline: Mapping[str, str] | None = None) -> Outcome:
    """Hold `cases` against `threshold`, and against `baseline` if there is one.

    `baseline` holds the verdict of each counted finding of the earlier run, by fingerprint.
    """
    counts: Counter[Effect] = Counter()
    told: list[Decision] = []
    measured = 0
    for case in cases:
        state = _state(case, baseline)
        effect = _effect(case, threshold, state)
        counts[effect] += 1
        measured += effect != "ignored" and (case.observed or case.verdict) in {"pass", "fail"}
        if effect in TOLD:
            told.append(Decision(case=case, state=state, effect=effect))
    told.sort(key=_gravest_first)
    if counts["block"]:
        return Outcome(1, counts, tuple(told), measured)
    return Outcome(3 if counts["open"] or not measured else 0, counts, tuple(told), measured)


def _gravest_first(decision: Decision) -> tuple[int, int, str, str, str]:
    case = decision.case
    grave = (*SEVERITIES, case.severity).index(case.severity)
    return TOLD.index(decision.effect), grave, case.criterion, case.system, case.target or ""


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


def _effect(case: Case, threshold: Threshold, state: State) -> Effect:
    covered = threshold.covers(case.criterion, case.severity)
    if not case.counted or not covered or case.verdict == "not-applicable":
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


# ------------------------------------------------------------------------------------------ the truth table

COLUMNS: dict[str, tuple[str, ...]] = {
    "found": ("fail", "inconclusive", "pass", "not-applicable"),
    "within": ("yes", "no"),
    "waiver": ("none", "in force", "ran out"),
    "baseline": ("none", "new", "regressed", "unchanged", "improved"),
    "fail_on": ("default", "new", "regressed", "expired-waiver", "inconclusive"),
    "inconclusive": ("block", "warn"),
}
"""What the truth table is about, and every value. A list under `fail_on` blocks what any of its entries does.
A waiver that is not valid yet is none. Within: counted, and covered by the threshold."""
_ORDER = (1, 2, 4, 0, 3, 5)
"""In which order rows are joined: of all orders, one that leaves fewest rows."""


class Row(NamedTuple):
    """One line of the truth table: for each column the values it speaks of, and what becomes of them."""

    values: tuple[tuple[str, ...], ...]
    effect: Effect

    def cells(self) -> list[str]:
        """The row in words; "any" for all values of a column."""
        shown = zip(self.values, COLUMNS.values(), strict=True)
        return [*("any" if own == known else ", ".join(own) for own, known in shown), self.effect]


def truth_table(threshold: Threshold | None = None, *, baseline: bool | None = None) -> list[Row]:
    """Every combination that can meet the gate, with its effect; rows that say the same are one row.

    `threshold` and `baseline` (whether there is one) narrow it to the settings of one gate.
    """
    columns = dict(COLUMNS)
    if threshold:
        columns["fail_on"] = (", ".join(threshold.fail_on) if threshold.fail_on else "default",)
        columns["inconclusive"] = (threshold.inconclusive,)
    if baseline is not None:
        columns["baseline"] = COLUMNS["baseline"][1:] if baseline else ("none",)
    rows = [Row(tuple((value,) for value in one), _effect_of(*one)) for one in product(*columns.values())]
    joined: list[Row] = []
    while len(joined) != len(rows):
        joined = rows
        for place in _ORDER:
            rows = _joined(rows, place, list(columns.values())[place])
    return rows


def _effect_of(
    found: str, within: str, waiver: str, baseline: str, fail_on: str, inconclusive: str
) -> Effect:
    """The effect of one combination, asked of the code that decides."""
    causes = None if fail_on == "default" else fail_on.split(", ")
    threshold = Threshold.model_validate({"fail_on": causes, "inconclusive": inconclusive})
    waived = waiver == "in force" and found in {"fail", "inconclusive"}
    case = Case(
        system="s",
        criterion="C-01",
        target=None,
        severity="high",
        verdict="waived" if waived else found,
        observed=found,
        counted=within == "yes",
        fingerprint="f",
        waiver_expired=waiver == "ran out",
    )
    states: dict[str, State] = {"new": "new", "regressed": "regressed", "unchanged": "unchanged"}
    return _effect(case, threshold, "" if baseline == "none" else states.get(baseline, "improved"))


def _joined(rows: Iterable[Row], place: int, known: Sequence[str]) -> list[Row]:
    """`rows`, those that differ in the column at `place` alone made one."""
    groups: dict[tuple[tuple[tuple[str, ...], ...], Effect], set[str]] = {}
    for row in rows:
        rest = row.values[:place] + row.values[place + 1 :]
        groups.setdefault((rest, row.effect), set()).update(row.values[place])
    return [
        Row((*rest[:place], tuple(one for one in known if one in values), *rest[place:]), effect)
        for (rest, effect), values in groups.items()
    ]
