"""Which answers count: the rules that tell a refusal from a look that was prevented.

A refusal is evidence of absence, and so the one thing a ban, a limiter or a broken path can forge. It
counts only

* before an offer of the same visit that was accepted whole, and after one unless it is the first of several
  (something of this server was alive before and after);
* asked twice, with something accepted in between; where most hangs on it three times, two of them in a row
  (no path that breaks every nth connection breaks both);
* as a TLS alert that this offer allows; a close or reset must come once more than that, and when in the whole
  look no offer was lost that is known to be good, and none was answered now with a close and now otherwise
  (real servers do drop old versions that way, but always);
* when nothing contradicts it: an offer known to be good that is answered by an alert, an offer answered by
  two different alerts, or a version said to be off that was seen, makes every refusal of the look worthless.

An acceptance counts once and for ever: nobody forges a whole flight by accident.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from seccheck.model import Reason
from seccheck.probes.tls import hello as h
from seccheck.probes.tls.answer import Outcome, Reply
from seccheck.probes.tls.questions import TLS12_LONG, TLS12_SHORT, Kind, Offer


class Meaning(Enum):
    """What one answer says about its offer."""

    ACCEPTED = auto()
    INSTEAD = auto()
    """A whole flight with something else: a lower version, or the curve that had to stand beside those asked
    for. What was asked for is off, beyond doubt."""
    REFUSED = auto()
    """The alert that this offer allows."""
    SOFT = auto()
    """A close, a reset, or an alert that is not quite a refusal."""
    LOST = auto()
    """No answer, or one that says nothing."""
    NOT_ASKED = auto()


# RFC 8446 6.2: handshake_failure 40, protocol_version 70, insufficient_security 71, unrecognized_name 112;
# RFC 7507: inappropriate_fallback 86.
_CLEAN = {
    Kind.VERSION: {40, 70, 71, 86},
    Kind.LIST: {40, 71},
    Kind.NAMELESS: {40, 112},
    Kind.FALLBACK: {86},
    Kind.DEEP: set[int](),
}
_NO_SSL2 = {True: {10, 47, 50}, False: set[int]()}
"""To a hello of SSL 2.0, which who speaks it answers in its own words: no hello of a version I know."""
_ABOUT_US = {10, 20, 22, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 90, 100, 109, 110, 112, 116}
"""Alerts that complain of our hello or of a certificate: never a refusal of what was offered."""
SOFT_TIMES = {1: 2, 2: 3, 3: 4}
"""By how many refusals are enough: how many closes or resets are."""
MUCH_ALIVE = 12
"""Whole answers in a look that make one close less enough.

A path that loses a share p of all connections closes n times in a row on one offer, and loses none of k known
to be good, with a chance of p^n (1-p)^k: at most 1 in 300 for n=3, k=6, and for n=2, k=12; 1 in 800 for n=4,
k=6, and 1 in 1400 for n=3, k=12.
"""


def meaning(offer: Offer, reply: Reply) -> Meaning:
    """What `reply` says about `offer`, taken alone."""
    match reply.outcome:
        case Outcome.FLIGHT if reply.group is not None and reply.group in offer.beside:
            return Meaning.INSTEAD
        case Outcome.FLIGHT:
            lower = offer.kind is Kind.VERSION and reply.version != offer.version
            return Meaning.INSTEAD if lower else Meaning.ACCEPTED
        case Outcome.NOT_ASKED:
            return Meaning.NOT_ASKED
        case _ if offer.kind is Kind.DEEP or reply.partial or not reply.asked:
            return Meaning.LOST
        case Outcome.CLOSED | Outcome.RESET:
            return Meaning.SOFT
        case Outcome.ALERT if reply.alert in _CLEAN[offer.kind] | _NO_SSL2[offer.version == h.SSL2]:
            return Meaning.REFUSED
        case Outcome.ALERT if reply.alert not in _ABOUT_US:
            return Meaning.SOFT
        case _:
            return Meaning.LOST


@dataclass(frozen=True)
class Entry:
    """One offer that was made. `number` is the order in which connections were opened."""

    number: int
    visit: int
    offer: Offer
    reply: Reply
    meaning: Meaning

    @property
    def how(self) -> tuple[Outcome | None, int | None]:
        """The answer in short, to compare two."""
        return self.reply.outcome, self.reply.alert


class Evidence:
    """Everything a look brought, and what may be concluded from it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.good: list[Entry] = []
        """The offers that were answered whole."""
        self._by_key: dict[str, list[Entry]] = {}
        self._accepted: dict[str, Reply] = {}
        self._answered: set[str] = set()
        self._versions: set[int] = set()
        self._alive: dict[int, tuple[int, int]] = {}
        """By visit: the first and the last connection that was answered whole."""
        self._memo: dict[str, Any] = {}

    def add(self, entry: Entry) -> None:
        """Record one more answer."""
        self._memo.clear()
        self.entries.append(entry)
        self._by_key.setdefault(entry.offer.key, []).append(entry)
        if entry.meaning is Meaning.ACCEPTED:
            self._accepted.setdefault(entry.offer.key, entry.reply)
        if entry.meaning is Meaning.ACCEPTED or entry.meaning is Meaning.INSTEAD:
            self.good.append(entry)
            self._answered.add(entry.offer.key)
            if entry.reply.version is not None:
                self._versions.add(entry.reply.version)
            first, last = self._alive.get(entry.visit, (entry.number, entry.number))
            self._alive[entry.visit] = min(first, entry.number), max(last, entry.number)

    def of(self, offer: Offer) -> list[Entry]:
        """Every answer to `offer`."""
        return self._by_key.get(offer.key, [])

    def accepted(self, offer: Offer) -> Reply | None:
        """The first whole answer that accepted `offer`."""
        return self._accepted.get(offer.key)

    def answered(self, offer: Offer) -> bool:
        """Whether `offer` was ever answered whole, with what it asked for or with something else."""
        return offer.key in self._answered

    @property
    def anything(self) -> bool:
        """Whether any offer at all was answered whole."""
        return bool(self.good)

    @property
    def anything_of_tls(self) -> bool:
        """Whether anything at all came that is TLS: an alert, or the beginning of an answer."""
        return any(e.reply.whole or e.reply.alert is not None or e.reply.partial for e in self.entries)

    def versions(self) -> set[int]:
        """Every version the server was seen to speak."""
        return self._versions

    def refused(self, offer: Offer, times: int) -> bool:
        """Whether the server has been shown, `times` times, to refuse `offer`."""
        entries = self.of(offer)
        if any(entry.meaning is Meaning.ACCEPTED for entry in entries):
            return False
        if any(entry.meaning is Meaning.INSTEAD for entry in entries):
            return True
        if self.contradiction():
            return False
        if offer.kind is Kind.LIST and self.long_hellos_fail():
            return False
        guarded = [entry for entry in entries if self._guarded(entry, times)]
        clean = [entry for entry in guarded if entry.meaning is Meaning.REFUSED]
        if len(clean) >= times and self._apart(clean) >= min(times, 2):
            return True
        soft = [entry for entry in guarded if entry.meaning is Meaning.SOFT]
        same = len({entry.how for entry in soft}) == 1 and len(soft) == len(entries)
        return same and len(soft) >= self.soft_times(times) and self._apart(soft) >= 2 and not self.flaky()

    def soft_times(self, times: int) -> int:
        """How many closes or resets are enough, where `times` refusals are."""
        return SOFT_TIMES[times] - (times > 1 and len(self.good) >= MUCH_ALIVE)

    def _apart(self, refusals: Iterable[Entry]) -> int:
        """How many of `refusals` have something accepted between them."""
        alive = self._alive_numbers()
        return len({bisect(alive, entry.number) for entry in refusals})

    def _alive_numbers(self) -> list[int]:
        if "alive" not in self._memo:
            self._memo["alive"] = sorted(entry.number for entry in self.good)
        return list(self._memo["alive"])

    def _guarded(self, entry: Entry, times: int) -> bool:
        first, last = self._alive.get(entry.visit, (0, 0))
        return entry.number < last and (times > 1 or first < entry.number)

    def long_hellos_fail(self) -> bool:
        """Whether TLS 1.2 was accepted with a short list of suites only: a refused long list says nothing."""
        return TLS12_SHORT in self._accepted and TLS12_LONG not in self._accepted

    def _failed_although_good(self) -> list[Entry]:
        fine = {Meaning.ACCEPTED, Meaning.INSTEAD, Meaning.NOT_ASKED}
        return [
            entry
            for entry in self.entries
            if (entry.offer.sure or entry.offer.key in self._answered)
            and entry.meaning not in fine
            and (entry.offer.sure or entry.offer.kind is not Kind.DEEP)
        ]

    def flaky(self) -> bool:
        """Whether anything was lost that the path or the server should have let through."""
        unreachable = any(entry.reply.outcome is Outcome.UNREACHABLE for entry in self.entries)
        return unreachable or bool(self._failed_although_good()) or any(map(_wavers, self._by_key.values()))

    def contradiction(self) -> str:
        """What in the answers cannot all be true, so that no refusal can be believed; or nothing."""
        if "contradiction" not in self._memo:
            self._memo["contradiction"] = self._find_contradiction()
        return str(self._memo["contradiction"])

    def _find_contradiction(self) -> str:
        if any(entry.reply.outcome is Outcome.ALERT for entry in self._failed_although_good()):
            return "an offer that was accepted before was answered with an alert"
        for entries in self._by_key.values():
            if len({entry.reply.alert for entry in entries if entry.reply.outcome is Outcome.ALERT}) > 1:
                return "the same offer was answered with different alerts"
        seen = self.versions()
        for entry in self.entries:
            if entry.reply.alert == 70 and entry.offer.kind in {Kind.LIST, Kind.NAMELESS}:
                return f"{h.NAMES[entry.offer.version]} is on, and was refused by alert 70"
            if entry.offer.kind is not Kind.VERSION or entry.meaning is not Meaning.REFUSED:
                continue
            version = entry.offer.version
            if version == h.TLS12 and self.long_hellos_fail():
                continue
            if version in seen and self.accepted(entry.offer) is None:
                return f"{h.NAMES[version]} was refused, and spoken"
            if version == h.TLS12 and h.TLS13 in seen and seen & {h.TLS10, h.TLS11}:
                return "TLSv1.2 was refused, with versions below and above it on"
        return ""

    def doubt(self, offer: Offer | None) -> tuple[Reason, str]:
        """Why nothing can be said about `offer`; None: about something that was never asked."""
        entries = self.of(offer) if offer else []
        if why := self.contradiction():
            return Reason.CONTRADICTORY, why
        asked = [entry for entry in entries if entry.meaning is not Meaning.NOT_ASKED]
        lost = [entry for entry in asked if entry.meaning in {Meaning.LOST, Meaning.SOFT}]
        if lost:
            return _reason(lost[-1].reply, anything=self.anything)
        if failed := self._failed_although_good():
            return _reason(failed[-1].reply, anything=self.anything)
        if asked and entries[-1].meaning is Meaning.NOT_ASKED:
            return Reason.NOT_PROBED, entries[-1].reply.detail
        if asked:
            return Reason.RATE_LIMITED, "the refusal could not be confirmed"
        last = [entry for entry in self.entries if entry.meaning is Meaning.LOST]
        if last:
            return _reason(last[-1].reply, anything=self.anything)
        return Reason.NOT_PROBED, entries[-1].reply.detail if entries else "not asked"


def _wavers(entries: list[Entry]) -> bool:
    """Whether an offer was answered now with a close or reset, and now otherwise."""
    meanings = {entry.meaning for entry in entries}
    return Meaning.SOFT in meanings and bool(meanings & {Meaning.REFUSED, Meaning.ACCEPTED, Meaning.INSTEAD})


def _reason(reply: Reply, *, anything: bool) -> tuple[Reason, str]:
    detail = f"{reply.outcome}" + (f": {reply.detail}" if reply.detail else "")
    match reply.outcome:
        case Outcome.TIMEOUT:
            return Reason.TIMEOUT, "no answer before the deadline" if not reply.detail else detail
        case Outcome.BUSY:
            return Reason.RATE_LIMITED, reply.detail
        case Outcome.UNREACHABLE | Outcome.CLOSED | Outcome.RESET:
            return (Reason.RATE_LIMITED if anything else Reason.UNREACHABLE), detail
        case Outcome.ALERT:
            return Reason.CONTRADICTORY, f"alert {reply.alert}"
        case _:
            return Reason.CONTRADICTORY, detail
