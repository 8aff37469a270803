"""What changed between two assessments, finding by finding and system by system."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from seccheck.model import Record

Change = Literal["regressed", "improved", "new", "gone"]
_RANK = {"fail": 0, "inconclusive": 1, "waived": 2, "pass": 3}
_STATUS = {"does-not-meet": 0, "not-concluded": 1, "unassessed": 1, "meets": 2}


class FindingChange(Record):
    """One finding that differs between two runs."""

    system: str
    criterion: str
    target: str | None
    change: Change
    before: str | None
    after: str | None


class SystemChange(Record):
    """One system whose status differs between two runs."""

    system: str
    change: Change
    before: str | None
    after: str | None


class Comparison(Record):
    """Everything that differs, in order of system, criterion and target."""

    systems: tuple[SystemChange, ...]
    findings: tuple[FindingChange, ...]

    def count(self, change: Change) -> int:
        """How many systems changed this way."""
        return sum(one.change == change for one in self.systems)


def compare(old: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]]) -> Comparison:
    """Compare the systems of two results documents, both in order of id, as they are written.

    One system of each is held at a time.
    """
    systems: list[SystemChange] = []
    findings: list[FindingChange] = []
    for was, is_ in _pairs(iter(old), iter(new)):
        name = (was or is_ or {})["id"]
        status = (was["status"] if was else None, is_["status"] if is_ else None)
        if change := _change(*status, _STATUS):
            systems.append(SystemChange(system=name, change=change, before=status[0], after=status[1]))
        if was and is_:
            findings += _findings(name, was["findings"], is_["findings"])
    return Comparison(systems=tuple(systems), findings=tuple(findings))


def _pairs(
    old: Iterator[Mapping[str, Any]], new: Iterator[Mapping[str, Any]]
) -> Iterator[tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]]:
    """The same system of both runs, or one that only one of them has."""
    was, is_ = next(old, None), next(new, None)
    while was or is_:
        if is_ is None or (was and was["id"] < is_["id"]):
            yield was, None
            was = next(old, None)
        elif was is None or is_["id"] < was["id"]:
            yield None, is_
            is_ = next(new, None)
        else:
            yield was, is_
            was, is_ = next(old, None), next(new, None)


def _findings(
    system: str, old: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]]
) -> list[FindingChange]:
    before, after = (
        {(one["criterion"], one["target"]): one["verdict"] for one in findings} for findings in (old, new)
    )
    changes = []
    for criterion, target in sorted({*before, *after}, key=lambda one: (one[0], one[1] or "")):
        was, is_ = before.get((criterion, target)), after.get((criterion, target))
        if change := _change(was, is_, _RANK):
            changes.append(
                FindingChange(
                    system=system, criterion=criterion, target=target, change=change, before=was, after=is_
                )
            )
    return changes


def _change(before: str | None, after: str | None, rank: Mapping[str, int]) -> Change | None:
    """How a verdict moved; to or from not-applicable is new or gone."""
    was = rank.get(before) if before else None
    now = rank.get(after) if after else None
    if was == now:
        return None
    if was is None:
        return "new"
    if now is None:
        return "gone"
    return "improved" if now > was else "regressed"
