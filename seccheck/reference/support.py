"""Is a product still maintained, by its vendor or by the distribution that built it (PAT-01)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from seccheck.model import Reason
from seccheck.reference.case import Case, Ruling, case_of, cycles_of, days_since, releases_with
from seccheck.reference.product import Product
from seccheck.reference.snapshot import Cycle, Reference
from seccheck.reference.versions import compare

RELEASE_DAYS = 60
"""Older than this, lists of releases and packages no longer support "nothing newer"."""
OPEN_SUPPORT_DAYS = 180
"""Older than this, "no end announced" is no longer believed; an end announced for a later day still is."""


def supported(product: Product | Mapping[str, Any], reference: Reference, at: datetime) -> Ruling:
    """Whether somebody still maintains `product` at `at` (PAT-01).

    An end announced for a later day is believed however old the data is: such days hardly ever move
    forward. "No end announced" is believed for `OPEN_SUPPORT_DAYS`.
    """
    case = case_of(product, reference, at)
    expected = f"still maintained on {case.today}"
    if not case.product.version:
        return case.open(Reason.UNDISCLOSED, expected, "no version is disclosed")
    if case.build.kind == "package":
        return _supported_release(case, expected)
    if case.build.kind == "follows" and (ruling := _supported_followed(case, expected)):
        return ruling
    states = [_state(case, cycle) for cycle in cycles_of(case)]
    observed = _branch_words(case)
    if all(state == "ended" for state in states) and states:
        return _ended(case, expected, observed)
    if _below_all(case):
        return _ended(case, expected, "older than every branch that is still known")
    if states and all(state == "open" for state in states):
        return _maintained(case, expected, observed)
    if len(set(states)) > 1:
        return case.open(Reason.UNDISCLOSED, expected, "the version does not tell which branch it is")
    if case.entry.no_build:
        return case.open(Reason.UNDISCLOSED, expected, "the banner does not tell which release it is")
    if case.build.kind != "upstream":
        return case.unseen(expected)
    if states and case.entry.policy == "newest-only":
        known = case.reference.complete_as_of(case.name)
        if days_since(case, known) > RELEASE_DAYS:
            return case.open(Reason.STALE, expected, f"the newest release known is of {known}")
        return case.passed(expected, "the newest release, which upstream maintains")
    return case.open(Reason.NO_DATA, expected, "nothing is known about the support of this version")


def _supported_release(case: Case, expected: str) -> Ruling:
    release = case.build.release
    extended = "+esm" in case.product.revision
    end = case.reference.support_ends(release, extended=extended)
    if end is None:
        return case.open(Reason.NO_DATA, expected, f"nothing is known about the support of {release}")
    if end is True or (isinstance(end, str) and end <= case.today):
        return case.failed(expected, f"{release} is no longer maintained (ended {_day(end)})")
    if end is False:
        return _still_open(case, expected, f"{release} is maintained, no end announced")
    return case.passed(expected, f"{release} is maintained until {end}")


def _ended(case: Case, expected: str, observed: str) -> Ruling:
    if case.build.kind == "upstream":
        return case.failed(expected, observed)
    if _all_shippers_past(case):
        shown = ", ".join(case.build.shippers)
        return case.failed(expected, f"{observed}, and so has every distribution known to ship it ({shown})")
    below = case.entry.unsupported_below
    if below and compare(case.product.version, below) < 0 and not case.build.shippers:
        return case.failed(expected, f"nobody known to us maintains versions below {below}")
    return case.unseen(expected)


def _maintained(case: Case, expected: str, observed: str) -> Ruling:
    """A branch that upstream maintains: enough unless a distribution that has ended may have built it."""
    if case.build.kind != "upstream":
        if case.build.kind == "distribution" and _all_shippers_past(case):
            shown = " or ".join(case.build.shippers)
            return case.failed(expected, f"a build of {shown}, which is no longer maintained")
        ended = any(_is_past(case, case.reference.support_ends(release)) for release in case.build.shippers)
        if ended or not case.build.shippers:
            return case.unseen(expected)
    if any(cycle.ended is False for cycle in cycles_of(case)):
        return _still_open(case, expected, observed)
    return case.passed(expected, observed)


def _all_shippers_past(case: Case) -> bool:
    """Whether every distribution known to ship this number has ended, paid extensions included."""
    ends = [case.reference.support_ends(release, extended=True) for release in case.build.shippers]
    return bool(ends) and all(_is_past(case, end) for end in ends)


def _supported_followed(case: Case, expected: str) -> Ruling | None:
    """A build whose number places it in some releases of its distribution, each maintained or not."""
    releases = releases_with(case)
    past = [release for release in releases if _is_past(case, case.reference.support_ends(release))]
    shown = " or ".join(releases)
    if not releases:
        return None
    if len(past) == len(releases):
        return case.failed(expected, f"of {shown}, which is no longer maintained")
    if past:
        return case.unseen(expected)
    return case.passed(expected, f"of {shown}, which is still maintained")


def _still_open(case: Case, expected: str, observed: str) -> Ruling:
    if case.reference.age("eol", case.at) > OPEN_SUPPORT_DAYS:
        return case.open(Reason.STALE, expected, f"{observed}; {case.old('eol')}")
    return case.passed(expected, observed)


def _is_past(case: Case, end: str | bool | None) -> bool:
    return end is True or (isinstance(end, str) and end <= case.today)


def _below_all(case: Case) -> bool:
    """Whether the version is older than the oldest branch listed, which has ended itself."""
    below = case.entry.unsupported_below
    if below and compare(case.product.version, below) < 0:
        return True
    cycles = [cycle for cycle in case.reference.cycles(case.name) if cycle.name[:1].isdigit()]
    if not cycles or case.entry.branches or not case.product.version[:1].isdigit() or cycles_of(case):
        return False
    oldest = cycles[0]
    for cycle in cycles:
        if compare(cycle.name, oldest.name) < 0:
            oldest = cycle
    return compare(case.product.version, oldest.name) < 0 and _state(case, oldest) == "ended"


def _state(case: Case, cycle: Cycle) -> Literal["ended", "open", "unknown"]:
    if cycle.ended is None:
        return "unknown"
    if cycle.ended is True or (isinstance(cycle.ended, str) and cycle.ended <= case.today):
        return "ended"
    return "open"


def _branch_words(case: Case) -> str:
    words = []
    for cycle in cycles_of(case)[:4]:
        match _state(case, cycle):
            case "ended":
                words.append(f"branch {cycle.name} ended {_day(cycle.ended)}")
            case "open":
                until = f"until {cycle.ended}" if isinstance(cycle.ended, str) else "no end announced"
                words.append(f"branch {cycle.name} is maintained, {until}")
            case _:
                words.append(f"branch {cycle.name}: no end is known")
    return "; ".join(words)


def _day(end: str | bool | None) -> str:
    return end if isinstance(end, str) else "some time ago"
