"""Documents as evidence: when one decides a criterion, when it runs out, and what is still to be sent in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from typing import Any, Literal

from seccheck.criteria import CriteriaSet
from seccheck.judgement import Evidence
from seccheck.model import Record, Verdict, as_dict
from seccheck.registry import Registry, system_facts
from seccheck.system import Evidence as Entry
from seccheck.system import System

State = Literal["valid", "expiring", "expired", "missing", "wrong", "not-met"]


def expires(issued: date, months: int) -> date:
    """The last day of a document issued on `issued`: the same day `months` later, or that month's last."""
    year, month = divmod(issued.month - 1 + months, 12)
    for day in (issued.day, 30, 29, 28):
        try:
            return date(issued.year + year, month + 1, day)
        except ValueError:
            continue
    raise ValueError(issued)


def problem(facts: Mapping[str, Any] | None, entry: Entry, months: int, day: date) -> str:
    """Why the document of `entry` decides nothing on `day`; empty when it is valid.

    `facts` are those of the evidence probe, or None when it could not tell.
    """
    if not facts or not facts.get("present"):
        return "the file is missing"
    if facts["sha256"] != entry.sha256:
        return "the file is not the one whose digest is registered"
    if entry.issued > day:
        return f"issued on {entry.issued}, after it was looked at"
    if expires(entry.issued, months) < day:
        return f"issued on {entry.issued}, older than {months} months"
    return ""


class Item(Record):
    """One line of the work list: a document that a system needs, and where it stands."""

    unit: str
    system: str
    criterion: str
    statement: str
    state: State
    expires: str
    file: str
    remark: str


def work_list(
    registry: Registry,
    criteria: CriteriaSet,
    look: Callable[[Entry], Mapping[str, Any] | None],
    day: date,
    *,
    within_days: int = 60,
    language: str = "vi",
) -> Iterator[Item]:
    """The documents that the registered systems need under `criteria`, in order of unit, system, criterion.

    `look` gives the evidence probe's facts of a document. A valid document that runs out within
    `within_days` is `expiring`.
    """
    units = {unit.id: unit for unit in registry.units}
    held = criteria.on(day).criteria
    for system in sorted(registry.systems, key=lambda one: (one.unit, one.id)):
        facts = {"system": as_dict(system_facts(system, units[system.unit]))}
        for criterion in held:
            entry = system.evidence.get(criterion.id)
            months = criterion.months(system.level)
            if months is None or system.level < criterion.text.from_level:
                continue
            if entry is None and not criterion.needs_document:
                continue
            if criterion.applies and criterion.subject == "system":
                applies = criterion.applies(
                    Evidence(facts, datetime.combine(day, time(), UTC), criterion.at_level(system.level))
                )
                if applies.verdict is not Verdict.PASS:
                    continue
            yield _item(
                system,
                criterion.id,
                criterion.statement(language, system.level),
                entry,
                months,
                look,
                day,
                within_days,
            )


def _item(
    system: System,
    criterion: str,
    statement: str,
    entry: Entry | None,
    months: int,
    look: Callable[[Entry], Mapping[str, Any] | None],
    day: date,
    within_days: int,
) -> Item:
    state: State = "missing"
    remark = last = ""
    if entry:
        end = expires(entry.issued, months)
        last = end.isoformat()
        remark = problem(look(entry), entry, months, day)
        if remark:
            state = "expired" if end < day else "missing" if "missing" in remark else "wrong"
        elif entry.states == "not-met":
            state = "not-met"
        else:
            state = "expiring" if (end - day).days <= within_days else "valid"
    return Item(
        unit=system.unit,
        system=system.id,
        criterion=criterion,
        statement=statement,
        state=state,
        expires=last,
        file=entry.file if entry else "",
        remark=remark,
    )
