"""The order of the questions: what is asked of one server, wave by wave, and when to stop asking.

A strand is a generator that yields offers and is sent the replies; a wave is a list of strands that run
side by side, a few connections at a time. The waves come one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from seccheck.probes.tls.answer import Outcome
from seccheck.probes.tls.beyond import certificates, features_and_flaws, other_key, static_rsa
from seccheck.probes.tls.exchanges import find_groups, find_suites, go_on, odd_exchanges
from seccheck.probes.tls.facts import TlsParams
from seccheck.probes.tls.known import OLD, Known, Strand, one
from seccheck.probes.tls.questions import Offer
from seccheck.probes.tls.refusal import Meaning, meaning

MAX_CONNECTIONS = 40
USED_UP = f"{MAX_CONNECTIONS} connections used up"
SECOND_VISIT = 8
"""Connections of a second visit, one at a time."""
ENOUGH_ALIVE = 6
"""Whole answers among the refusals of a thorough look: the fewer, the likelier that chance refused."""


class Visit(Known):
    """One look at one server."""

    def __init__(self, name: str, params: TlsParams, *, greets: bool = False, web: bool = False) -> None:
        super().__init__(name, params)
        self.greets = greets
        """Whether the server speaks first once TLS is there."""
        self.web = web
        """Whether it is a site, which may answer in clear."""
        self.over = ""
        """Why nothing more is asked; empty while it is."""
        self.connections = 0

    def may_ask(self, offer: Offer) -> bool:
        """Whether one more connection may be opened, for `offer`.

        The last one is kept for something known to be good: without it the refusals before would not count.
        """
        if self.connections >= MAX_CONNECTIONS:
            self.over = self.over or USED_UP
        spare = 0 if self.evidence.answered(offer) else 1
        return not self.over and self.connections + spare < MAX_CONNECTIONS

    # ------------------------------------------------------------------------------------ the waves

    def waves(self) -> Iterator[list[Strand]]:
        """The first visit."""
        yield [self._tls12()] if self._core else [one(self.ask.version("TLSv1.3")), self._tls12()]
        if self._hopeless():
            return
        if self._silent():
            yield [one(self.ask.version("TLSv1.0")), *self._plain()]
            if self._silent():
                return
        if self._past_contact or not self.evidence.anything:
            modern = {"TLSv1.3"} if self._core and self.evidence.anything else set()
            yield [one(offer) for offer in self._version_offers(without=modern) if self._unasked(offer)]
        if not self.evidence.anything:
            yield self._plain()
            if not self.served_in_clear():
                yield self._again(self._version_offers())
            return
        if self._something_lost():
            yield [self._canary()]
        yield self._deeper()
        yield odd_exchanges(self)
        if self._core and not self.evidence.of(self.ask.version("TLSv1.3")):
            yield [one(self.ask.version("TLSv1.3"))]
        yield from self._confirmations()
        if late := self._deeper():  # a version that showed itself only now
            yield late
            yield odd_exchanges(self)
            yield from self._confirmations()
        yield features_and_flaws(
            self, greets=self.greets
        )  # last: who bans us for these has answered the rest
        if self._unguarded(entry.offer for entry in self.evidence.entries):
            yield [self._canary()]

    @property
    def _core(self) -> bool:
        """Whether a few connections must do: then TLS 1.3 comes last, and is the canary as well."""
        return not self.thorough and self.wants <= {"offered", "versions", "suites", "certificates"}

    @property
    def _past_contact(self) -> bool:
        return bool(self.wants - {"offered", "certificates"})

    def _deeper(self) -> list[Strand]:
        """What the accepted versions are asked in detail; only what was not asked before."""
        strands: list[Strand] = []
        if "certificates" in self.wants:
            strands += certificates(self)
        if "suites" in self.wants and any(v not in self.last_suites for v in self.accepted_old):
            strands.append(find_suites(self))
        strands += static_rsa(self)
        if "groups" in self.wants and "groups" not in self.begun:
            self.begun.add("groups")
            strands.append(find_groups(self))
            if (version := self.old_version) and self.beside(version):
                strands += other_key(self)  # tells whether suites without that curve can be used, later
            else:
                strands += odd_exchanges(self)
        return strands

    def second_visit(self) -> Iterator[list[Strand]]:
        """A slower look later: only what is open, one connection at a time, until one is lost."""
        self.visits, self.over = 2, ""
        if not self.evidence.anything:
            modern = [self.ask.version(version) for version in ("TLSv1.3", "TLSv1.2")]
            for offer in (*(6 * modern), *self._version_offers(without=("TLSv1.3", "TLSv1.2"))):
                yield [one(offer)]
                if self.evidence.anything:
                    return
            return
        limit = self.connections + SECOND_VISIT
        yield [self._canary()]
        for _ in range(2):
            for offer in self._open():
                if self.connections >= limit or self._last_lost():
                    return
                yield [one(offer)]
            if self.connections >= limit or self._last_lost():
                return
            yield [self._canary()]

    def worth_a_second_visit(self) -> bool:
        """Whether something lost in this visit may be found in another."""
        if self.visits > 1 or not self.thorough:
            return False
        if self.served_in_clear():
            return False
        if not self.evidence.anything:
            meanings = {entry.meaning for entry in self.evidence.entries}
            return bool(meanings & {Meaning.SOFT, Meaning.REFUSED}) and not self._hopeless()
        return bool(self._open()) and self.connections < MAX_CONNECTIONS - 2

    def served_in_clear(self) -> bool:
        """Whether the site answered a request in clear, and no hello with anything of TLS."""
        in_clear = any(e.reply.outcome is Outcome.PLAIN for e in self.evidence.of(self.ask.plain()))
        return in_clear and not self.evidence.anything_of_tls

    # ------------------------------------------------------------------------------------ first contact

    def _tls12(self) -> Strand:
        reply = yield self.ask.version("TLSv1.2")
        if reply.outcome in {Outcome.ALERT, Outcome.CLOSED, Outcome.RESET} and not reply.partial:
            yield self.ask.tls12_short()

    def _version_offers(self, without: Iterable[str] = ()) -> list[Offer]:
        versions = [version for version in ("TLSv1.3", "TLSv1.2", *OLD) if version not in without]
        return [self.ask.version(version) for version in versions]

    def _outcomes(self) -> set[Outcome | None]:
        return {entry.reply.outcome for entry in self.evidence.entries}

    def _plain(self) -> list[Strand]:
        """Whether the site answers in clear; asked once, and only where nothing of TLS came back."""
        offer = self.ask.plain()
        if not self.web or self.evidence.of(offer) or self.evidence.anything_of_tls:
            return []
        return [one(offer)]

    def _hopeless(self) -> bool:
        """Whether the port has said, in one voice, that there is no TLS, or that nobody is there."""
        ends = {Outcome.NO_STARTTLS, Outcome.PLAIN, Outcome.BUSY, Outcome.UNREACHABLE, Outcome.NOT_ASKED}
        unknown_name = {entry.reply.alert for entry in self.evidence.entries} == {112}
        return unknown_name or self._outcomes() <= ends

    def _silent(self) -> bool:
        """Whether nothing came that could be an answer."""
        ends = {Outcome.TIMEOUT, Outcome.GARBAGE, Outcome.UNREACHABLE, Outcome.PLAIN, Outcome.NOT_ASKED}
        return self._outcomes() <= ends

    def _unasked(self, offer: Offer) -> bool:
        return not self.evidence.of(offer) and offer.version not in self.evidence.versions()

    def _something_lost(self) -> bool:
        """Whether old offers were not answered: by a server that drops them, or by a ban."""
        return any(entry.meaning in {Meaning.LOST, Meaning.SOFT} for entry in self.evidence.entries)

    # ------------------------------------------------------------------------------------ canaries

    def _known_good(self) -> Offer | None:
        offers = [*self._version_offers(), self.ask.tls12_short()]
        return next((offer for offer in offers if self.evidence.answered(offer)), None)

    def _canary(self) -> Strand:
        """Ask what is known to be good; when that fails twice, the look is being prevented: stop."""
        offer = self._known_good()
        if offer is None:
            return
        reply = yield offer
        if not reply.whole and reply.outcome is not Outcome.NOT_ASKED:
            reply = yield offer
            if not reply.whole:
                self.over = "the server stopped answering what it had answered before"

    def _last_lost(self) -> bool:
        return not self.evidence.entries or self.evidence.entries[-1].meaning is Meaning.LOST

    def _unguarded(self, offers: Iterable[Offer]) -> bool:
        """Whether nothing was answered whole since the last refusal of one of `offers`."""
        refusals = {Meaning.REFUSED, Meaning.SOFT}
        numbers = [e.number for offer in offers for e in self.evidence.of(offer) if e.meaning in refusals]
        return max(numbers, default=-1) > max((entry.number for entry in self.evidence.good), default=0)

    # ------------------------------------------------------------------------------------ asking again

    def _wanted_versions(self) -> list[Offer]:
        if not self._past_contact:
            return []
        offers = self._version_offers()
        return [offer for offer in offers if offer.version not in self.evidence.versions()]

    def _open(self) -> list[Offer]:
        """The offers a verdict may rest on that are neither accepted nor shown to be refused."""
        offers = [*self._wanted_versions(), *self.needed.values()]
        return [offer for offer in offers if not self.evidence.accepted(offer) and not self.refuses(offer)]

    def _unconfirmed(self) -> list[Offer]:
        if not self.thorough:
            return self._open()
        offers = [*self._wanted_versions(), *self.needed.values()]
        if self.whole:
            offers.append(self.whole)
        return [offer for offer in offers if not self.settled(offer)]

    def _confirmations(self) -> Iterator[list[Strand]]:
        """Ask again what was refused or lost, with something accepted in between."""
        if self._unguarded(self._unconfirmed()):
            yield [self._canary()]
        strands = self._again(self._unconfirmed())
        if self.thorough and strands:
            missing = ENOUGH_ALIVE - 1 - len(self.evidence.good)  # one more comes last
            for place in range(1, missing + 1):
                strands.insert(place * len(strands) // (missing + 1), self._canary())
        yield strands

    def _again(self, offers: Iterable[Offer]) -> list[Strand]:
        """The same questions once more, late and in another order, and in a row where once is not enough."""
        strands = []
        for offer in reversed(list(offers)):
            strands.append(self._repeat(offer))
            soft = any(entry.meaning is Meaning.SOFT for entry in self.evidence.of(offer))
            times = self.evidence.soft_times(self.times(offer)) if soft else self.times(offer)
            strands += [one(offer) for _ in range(times - 2)]
        return strands

    def _repeat(self, offer: Offer) -> Strand:
        reply = yield offer
        if meaning(offer, reply) is Meaning.LOST:
            reply = yield offer
        if reply.whole and offer.key in self.needed:
            yield from go_on(self, offer)
