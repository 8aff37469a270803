"""Is a product at the newest patch level of its branch or distribution package (PAT-03)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from seccheck.model import Reason
from seccheck.reference.case import (
    Case,
    Ruling,
    bare,
    case_of,
    cycles_of,
    days_since,
    level_of,
    order,
    releases_with,
    repaired,
    too_short,
)
from seccheck.reference.exploited import matches
from seccheck.reference.product import Product
from seccheck.reference.snapshot import PackageLevel, Reference
from seccheck.reference.support import RELEASE_DAYS
from seccheck.reference.versions import compare, compare_packages, upstream, within


def at_newest_patch(
    product: Product | Mapping[str, Any], reference: Reference, at: datetime, days: int = 30
) -> Ruling:
    """Whether `product` is at its newest patch level, or that is overdue by at most `days` (PAT-03)."""
    case = case_of(product, reference, at)
    expected = f"the newest patch level, or one superseded at most {days} days ago"
    if not case.product.version:
        return case.open(Reason.UNDISCLOSED, expected, "no version is disclosed")
    if case.entry.no_build or too_short(case):
        return case.open(Reason.UNDISCLOSED, expected, "the version is not complete")
    match case.build.kind:
        case "package":
            return _newest_package(case, expected, days)
        case "follows":
            return _newest_followed(case, expected, days)
        case "distribution" | "shipped":
            flaws = (*reference.exploited(case.name), *reference.notable(case.name))
            known = [flaw.cve for flaw in flaws if matches(flaw, case.product, case.entry) != "not"]
            return case.unseen(expected, sorted(known))
        case _:
            return _newest_release(case, expected, days)


@dataclass(frozen=True)
class _Level:
    """Where a version stands against one line of releases or uploads."""

    newest: str
    newer_since: str | None
    """The day of the first newer one; "" when that is not known; None when there is none."""
    beyond: bool = False
    """Newer than all that the data knows."""


def _newest_package(case: Case, expected: str, days: int) -> Ruling:
    level = level_of(case)
    notable = sorted(
        flaw.cve
        for flaw in (*case.reference.notable(case.name), *case.reference.exploited(case.name))
        if repaired(case, flaw.cve) is False
    )
    if level is None or not level.newest:
        return _without_level(case, expected, days, notable)
    standing = _package_level(case.build.version, level)
    known = case.reference.packages_date(case.build.release)
    return _age(case, expected, days, standing, known, notable)


def _package_level(version: str, level: PackageLevel) -> _Level:
    uploads = {bare(level.newest): level.newest_date}
    for number, day, _ in level.history:
        uploads[bare(number)] = uploads.get(bare(number)) or day
    standing = _stand(version, uploads, compare_packages)
    if standing.beyond and level.seen and compare_packages(version, bare(level.seen)) <= 0:
        return _Level(standing.newest, None)  # a later upload without a fix
    return standing


def _stand(version: str, dated: Mapping[str, str], order: Callable[[str, str], int]) -> _Level:
    newer = {number: day for number, day in dated.items() if order(number, version) > 0}
    newest = ""
    for number in dated:
        if not newest or order(number, newest) > 0:
            newest = number
    if newer:
        known = [day for day in newer.values() if day]
        return _Level(newest, min(known, default=""))
    return _Level(newest, None, beyond=order(version, newest) > 0 if newest else True)


def _without_level(case: Case, expected: str, days: int, lacking: list[str]) -> Ruling:
    """A release whose package levels are not in the data: only a known fix it lacks can decide."""
    dates = [
        fix.date
        for fix in case.reference.builds.fixes
        if fix.product == case.name and fix.release == case.build.release and fix.cve in lacking
    ]
    if dates and days_since(case, min(dates)) > days:
        return case.failed(
            expected, f"lacks the fix of {', '.join(lacking)}, out since {min(dates)}", lacking
        )
    return case.open(
        Reason.NO_DATA,
        expected,
        f"the newest package of {case.build.release} is not in the data",
        step=case.levels_step(),
    )


def _newest_followed(case: Case, expected: str, days: int) -> Ruling:
    """A build whose number is its level in some releases: judged in each release it can belong to."""
    levels = case.reference.package_levels(case.name)
    rulings = []
    for release in releases_with(case):
        _, level = levels[release]
        dated: dict[str, str] = {}
        for number, day, _ in (*level.history, (level.newest, level.newest_date, ())):
            before = dated.get(upstream(number))
            dated[upstream(number)] = min(before, day) if before and day else before or day
        standing = _stand(case.product.version, dated, compare)
        known = case.reference.packages_date(release)
        rulings.append(_age(case, expected, days, standing, known, ()))
    if not rulings:
        return case.open(Reason.STALE, expected, f"newer than every package known; {case.old('debian')}")
    same = len({ruling.verdict for ruling in rulings}) == 1
    return rulings[0] if same else case.unseen(expected)


def _newest_release(case: Case, expected: str, days: int) -> Ruling:
    cycles = cycles_of(case)
    newest_only = case.entry.policy == "newest-only"
    if len(cycles) != 1 and not newest_only:
        return case.open(Reason.NO_DATA, expected, "no release of its branch is known")
    numbers = case.reference.numbers(case.name)
    if not newest_only:
        names = [prefix for prefix, name in case.entry.branches if name == cycles[0].name] or [cycles[0].name]
        numbers = {
            number: day for number, day in numbers.items() if any(within(number, name) for name in names)
        }
    if not numbers:
        return case.open(Reason.NO_DATA, expected, "no release of its branch is known")
    standing = _stand(case.product.version, numbers, lambda a, b: order(case.entry, a, b))
    flaws = (*case.reference.notable(case.name), *case.reference.exploited(case.name))
    has = sorted(flaw.cve for flaw in flaws if matches(flaw, case.product, case.entry) == "has")
    known = case.reference.complete_as_of(case.name)
    closed = cycles and known and isinstance(cycles[0].ended, str) and cycles[0].ended <= known
    if closed and standing.newer_since is None and not standing.beyond:
        return case.passed(expected, f"{standing.newest} is the last release of its branch")
    return _age(case, expected, days, standing, known, has)


def _age(
    case: Case, expected: str, days: int, standing: _Level, known: str, candidates: Iterable[str]
) -> Ruling:
    """The ruling on a level by data that was complete on the day `known`."""
    if standing.newer_since == "":
        return case.open(Reason.NO_DATA, expected, f"{standing.newest} is newer, since when is not known")
    if standing.newer_since is not None:
        age = days_since(case, standing.newer_since)
        observed = f"{standing.newest} is newest; superseded {standing.newer_since}, {age} days ago"
        if age > days:
            return case.failed(expected, observed, candidates)
    else:
        observed = f"{standing.newest} is newest in the data of {known}"
    if not known:
        return case.open(Reason.NO_DATA, expected, "its releases are not known completely")
    if standing.beyond:
        return case.open(Reason.STALE, expected, f"newer than the data of {known}")
    if days_since(case, known) > RELEASE_DAYS:
        return case.open(Reason.STALE, expected, f"{observed}; that is {days_since(case, known)} days old")
    return case.passed(expected, observed)
