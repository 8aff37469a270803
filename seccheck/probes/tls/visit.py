"""The order of the questions: what is asked of one server, wave by wave, and when to stop asking.

A strand is a generator that yields offers and is sent the replies; a wave is a list of strands that run
side by side, a few connections at a time. The waves come one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial

from seccheck.probes.tls import hello as h
from seccheck.probes.tls import suites
from seccheck.probes.tls.answer import Outcome, Reply
from seccheck.probes.tls.certificates import curve_of
from seccheck.probes.tls.facts import TlsParams
from seccheck.probes.tls.flaws import PADDINGS, CcsInjection, Heartbleed, Robot
from seccheck.probes.tls.handshake import Handshake, Renegotiation
from seccheck.probes.tls.questions import TLS12_GROUPS, TLS13_GROUPS, Kind, Offer, Questions
from seccheck.probes.tls.refusal import SOFT_TIMES, Entry, Evidence, Meaning, meaning
from seccheck.probes.tls.talk import Talk

Strand = Generator[Offer, Reply, None]
OLD = ("TLSv1.1", "TLSv1.0", "SSLv3", "SSLv2")
UP_TO_TLS12 = ("TLSv1.2", "TLSv1.1", "TLSv1.0", "SSLv3")
MAX_CONNECTIONS = 40
SECOND_VISIT = 8
"""Connections of a second visit, one at a time."""
_MAX_GROUPS = 12


class Visit:
    """One look at one server: the questions, the answers so far, and what is still open."""

    def __init__(self, name: str, params: TlsParams, *, greets: bool = False) -> None:
        self.greets = greets
        self.wants = set(params.ask)
        self.thorough = params.thorough
        self.ask = Questions(name)
        self.evidence = Evidence()
        self.over = ""
        """Why nothing more is asked; empty while it is."""
        self.stopped_by: Reply | None = None
        self.visits = 1
        self.connections = 0
        self.last_suites: dict[str, Offer | None] = {}
        """By version: the list that ended the elimination; None when no class was left to ask for."""
        self.begun: set[str] = set()
        """The parts of `groups` that were gone into."""
        self.last_groups: Offer | None = None
        self.needed: dict[str, Offer] = {}
        """Offers whose refusal a verdict may rest on, so that it is asked for twice."""
        self.crucial = {self.ask.version(version).key for version in ("TLSv1.3", "TLSv1.2", *OLD[:2])}
        """Of those, the ones that most verdicts hang on."""
        self.enough_once: set[str] = set()
        """Of those, the ones about a version that is a finding by itself: one refusal will do."""
        self.curve_beside: dict[str, tuple[int, ...]] = {}
        self.other_key: Offer | None = None
        self.nameless: Offer | None = None
        self.whole: Offer | None = None
        self.static_rsa: Offer | None = None
        self.deep: dict[str, list[Offer]] = {}

    # ------------------------------------------------------------------------------------ taking answers

    def answered(self, number: int, offer: Offer, reply: Reply) -> None:
        """Record the reply to an offer."""
        self.evidence.add(Entry(number, self.visits, offer, reply, meaning(offer, reply)))

    def may_ask(self) -> bool:
        """Whether one more connection may be opened."""
        if self.connections >= MAX_CONNECTIONS:
            self.over = self.over or f"{MAX_CONNECTIONS} connections used up"
        return not self.over

    def accepts(self, version: str) -> bool:
        """Whether the server was seen to speak `version`."""
        return h.NUMBERS[version] in self.evidence.versions()

    def refuses(self, offer: Offer) -> bool:
        """Whether the server has been shown to refuse `offer`."""
        return self.evidence.refused(offer, self.times(offer))

    def times(self, offer: Offer) -> int:
        """How often `offer` must be refused before that counts."""
        if not self.thorough or offer.key in self.enough_once:
            return 1
        return 3 if offer.key in self.crucial else 2

    @property
    def old_version(self) -> str | None:
        """The newest accepted version up to TLS 1.2 that has a ServerHello of TLS's kind."""
        return next((version for version in UP_TO_TLS12 if self.accepts(version)), None)

    # ------------------------------------------------------------------------------------ the waves

    def waves(self) -> Iterator[list[Strand]]:
        """The first visit."""
        yield [self._tls12()] if self._core else [self._one(self.ask.version("TLSv1.3")), self._tls12()]
        if self._hopeless():
            return
        if self._silent():
            yield [self._one(self.ask.version("TLSv1.0"))]
            if self._silent():
                return
        if self._past_contact or not self.evidence.anything:
            modern = {"TLSv1.3"} if self._core and self.evidence.anything else set()
            yield [self._one(offer) for offer in self._version_offers(without=modern) if self._unasked(offer)]
        if not self.evidence.anything:
            yield self._again(self._version_offers())
            return
        if self._something_lost():
            yield [self._canary()]
        yield self._deeper()
        yield self._odd_exchanges()
        if self._core and not self.evidence.of(self.ask.version("TLSv1.3")):
            yield [self._one(self.ask.version("TLSv1.3"))]
        yield from self._confirmations()
        if late := self._deeper():  # a version that showed itself only now
            yield late
            yield self._odd_exchanges()
            yield from self._confirmations()
        yield self._flaws()  # last: who bans us for these has answered the rest
        if self._unguarded(entry.offer for entry in self.evidence.entries):
            yield [self._canary()]

    @property
    def _core(self) -> bool:
        """Whether a few connections must do: then TLS 1.3 comes last, and is the canary as well."""
        return not self.thorough and self.wants <= {"offered", "versions", "suites", "certificates"}

    def second_visit(self) -> Iterator[list[Strand]]:
        """A slower look later: only what is open, one connection at a time, until one is lost."""
        self.visits, self.over = 2, ""
        if not self.evidence.anything:
            for offer in 2 * self._version_offers():
                yield [self._one(offer)]
            return
        limit = self.connections + SECOND_VISIT
        yield [self._canary()]
        for _ in range(2):
            for offer in self._open():
                if self.connections >= limit or self._last_lost():
                    return
                yield [self._one(offer)]
            if self.connections >= limit or self._last_lost():
                return
            yield [self._canary()]

    def worth_a_second_visit(self) -> bool:
        """Whether something lost in this visit may be found in another."""
        if self.visits > 1 or not self.thorough:
            return False
        if not self.evidence.anything:
            meanings = {entry.meaning for entry in self.evidence.entries}
            return bool(meanings & {Meaning.SOFT, Meaning.REFUSED}) and not self._hopeless()
        return bool(self._open()) and self.connections < MAX_CONNECTIONS - 2

    # ------------------------------------------------------------------------------------ first contact

    def _one(self, offer: Offer) -> Strand:
        yield offer

    def _tls12(self) -> Strand:
        reply = yield self.ask.version("TLSv1.2")
        if reply.outcome in {Outcome.ALERT, Outcome.CLOSED, Outcome.RESET} and not reply.partial:
            yield self.ask.tls12_short()

    @property
    def _past_contact(self) -> bool:
        return bool(self.wants - {"offered", "certificates"})

    def _outcomes(self) -> set[Outcome | None]:
        return {entry.reply.outcome for entry in self.evidence.entries}

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

    def _version_offers(self, without: Iterable[str] = ()) -> list[Offer]:
        return [
            self.ask.version(version) for version in ("TLSv1.3", "TLSv1.2", *OLD) if version not in without
        ]

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
                self.stopped_by = reply

    def _last_lost(self) -> bool:
        return not self.evidence.entries or self.evidence.entries[-1].meaning is Meaning.LOST

    def _unguarded(self, offers: Iterable[Offer]) -> bool:
        """Whether nothing was answered whole since the last refusal of one of `offers`."""
        refusals = {Meaning.REFUSED, Meaning.SOFT}
        numbers = [e.number for offer in offers for e in self.evidence.of(offer) if e.meaning in refusals]
        return max(numbers, default=-1) > max((entry.number for entry in self.evidence.good), default=0)

    # ------------------------------------------------------------------------------------ going deep

    def _deeper(self) -> list[Strand]:
        """What the accepted versions are asked in detail; only what was not asked before."""
        strands: list[Strand] = []
        if "certificates" in self.wants:
            strands += self._certificates()
        if "suites" in self.wants and any(v not in self.last_suites for v in self._accepted_old()):
            strands.append(self._suites())
        rsa_unasked = "suites" not in self.wants and not self.static_rsa
        if "flaws" in self.wants and rsa_unasked and (version := self.old_version):
            self.static_rsa = self.ask.suites(version, suites.static_rsa(tls12=version == "TLSv1.2"))
            strands.append(self._need(self.static_rsa))
        if "groups" in self.wants and "groups" not in self.begun:
            self.begun.add("groups")
            strands.append(self._groups())
            if (version := self.old_version) and self._beside(version):
                strands += self._other_key()  # tells whether suites without that curve can be used, later
            else:
                strands += self._odd_exchanges()
        return strands

    def _accepted_old(self) -> list[str]:
        return [version for version in UP_TO_TLS12 if self.accepts(version)]

    def _certificates(self) -> list[Strand]:
        version = self.old_version
        tls13 = self.accepts("TLSv1.3")
        strands: list[Strand] = []
        if not self.whole:
            if tls13 and (self.thorough or not version):
                self.whole = self._handshake("TLSv1.3")
            elif not tls13 and version == "TLSv1.2" and self.client_certificate_asked():
                self.whole = self._handshake("TLSv1.2")
            if self.whole:
                strands.append(self._one(self.whole))
        if not self.thorough:
            return strands
        if self.ask.name and not self.nameless and (tls13 or version not in {None, "SSLv3"}):
            self.nameless = self.ask.nameless(version or "TLSv1.3")
            strands.append(self._one(self.nameless))
        strands += self._other_key()
        return strands

    def _other_key(self) -> list[Strand]:
        version = self.old_version
        if not version or version == "SSLv3" or self.other_key or not (key := self._key(version)):
            return []
        self.other_key = self.ask.other_key(version, key)
        return [self._need(self.other_key)]

    def _handshake(self, version: str) -> Offer:
        talk = partial(Handshake, h.NUMBERS[version], self.ask.name)
        return self.ask.deep(f"handshake {version}", version, talk)

    def client_certificate_asked(self) -> bool:
        """Whether a client certificate was asked for."""
        return any(
            entry.reply.version is not None and entry.reply.wants_certificate
            for entry in self.evidence.entries
        )

    def _key(self, version: str) -> str:
        """The kind of key of the certificate that came with `version`."""
        number = h.NUMBERS[version]
        for entry in self.evidence.good:
            if entry.reply.version == number and entry.reply.certificates:
                return suites.key_of(entry.reply.suite or 0)
        return ""

    def _need(self, offer: Offer) -> Strand:
        self.needed[offer.key] = offer
        yield offer

    def classes(self) -> set[str]:
        """Every class of suites seen so far, up to TLS 1.2."""
        seen = {
            suite for entry in self.evidence.good for suite in (*entry.reply.kinds, entry.reply.suite or 0)
        }
        return {label for suite in seen for label in suites.classes(suite)}

    def _suites(self) -> Strand:
        for version in self._accepted_old():
            if version not in self.last_suites:
                yield from self._eliminate(version)
        if self.accepts("TLSv1.2") and "fs-aead" not in self.classes():
            yield self.ask.suites("TLSv1.2", suites.strong_tls12())

    def _eliminate(self, version: str) -> Strand:
        """Offer every suite that would show a class not seen yet, until none is taken."""
        pool = suites.weak_tls12() if version == "TLSv1.2" else suites.weak_old()
        while True:
            seen = self.classes()
            offered = [suite for suite in pool if not seen.issuperset(suites.classes(suite))]
            if not offered:
                self.last_suites[version] = None
                return
            offer = self.ask.suites(version, offered)
            self.last_suites[version] = offer
            self._note(offer, version)
            reply = yield offer
            if not reply.whole:
                return
            del self.needed[offer.key]

    def groups(self) -> set[int]:
        """Every named group seen so far."""
        return {entry.reply.group for entry in self.evidence.good if entry.reply.group is not None}

    def _groups(self) -> Strand:
        """Offer the groups not seen yet, until none is taken. One ffdhe group stands for its family."""
        tls13 = self.accepts("TLSv1.3")
        version = None if tls13 else self.old_version
        if not tls13 and version in {None, "SSLv3"}:
            return
        pool = TLS13_GROUPS if tls13 else TLS12_GROUPS
        for _ in range(_MAX_GROUPS):
            seen = self.groups()
            family = set(h.FFDHE_GROUPS) if seen & set(h.FFDHE_GROUPS) else set()
            left = [group for group in pool if group not in seen | family]
            if not left:
                self.last_groups = None
                return
            self.last_groups = (
                self.ask.groups(left)
                if version is None
                else self.ask.curves(version, left, self._beside(version))
            )
            reply = yield self.last_groups
            if meaning(self.last_groups, reply) is Meaning.INSTEAD:
                return
            if not reply.whole:
                self.needed[self.last_groups.key] = self.last_groups
                self.enough_once.add(self.last_groups.key)
                return

    def _beside(self, version: str) -> tuple[int, ...]:
        """The curve of the certificate of `version`, if it is an EC one; as known when first asked."""
        if version in self.curve_beside:
            return self.curve_beside[version]
        for entry in self.evidence.good:
            if entry.reply.version == h.NUMBERS[version] and entry.reply.certificates:
                return curve_of(entry.reply.certificates[0])
        return ()

    def _odd_exchanges(self) -> list[Strand]:
        """Finite-field DH and weak curves, for every version that may have them."""
        if "groups" not in self.wants:
            return []
        versions = [version for version in self._accepted_old() if f"odd {version}" not in self.begun]
        self.begun.update(f"odd {version}" for version in versions)
        return [strand for version in versions for strand in self._odd_exchange(version)]

    def _odd_exchange(self, version: str) -> Iterator[Strand]:
        if version == "SSLv3":  # which has no curves
            yield self._noted(self.ask.finite_field(version), version)
            return
        beside = self.curve_beside[version] = self._beside(version)
        if beside:
            yield self._noted(self.ask.curves(version, h.WEAK_CURVES, beside), version)
        if (
            not beside
            or "anon" in self.classes()
            or (self.other_key and self.evidence.accepted(self.other_key))
        ):
            yield self._both_odd(version)

    def _both_odd(self, version: str) -> Strand:
        """Both in one offer, and where it is accepted the other one alone."""
        both = self.ask.odd_exchange(version)
        self._note(both, version)
        reply = yield both
        if reply.whole:
            yield from self._other_odd(both, version, reply)

    def _other_odd(self, both: Offer, version: str, reply: Reply) -> Strand:
        del self.needed[both.key]
        dh = reply.dh_bits is not None
        alone = self.ask.curves(version, h.WEAK_CURVES) if dh else self.ask.finite_field(version)
        yield from self._noted(alone, version)

    def untold_exchanges(self, version: str) -> Iterator[tuple[str, Offer]]:
        """Of `groups` and `dh_bits`, what is not known of `version`, with the question that was to tell."""
        both, field = self.ask.odd_exchange(version), self.ask.finite_field(version)
        beside = self._beside(version)
        curves = self.ask.curves(version, h.WEAK_CURVES, beside)
        seen = [entry.reply for entry in self.evidence.good if entry.reply.version == h.NUMBERS[version]]
        weak = any(reply.group in h.WEAK_CURVES for reply in seen)
        plain_too = not beside or self.evidence.of(both)
        if version != "SSLv3" and not weak:
            if (
                plain_too
                and not self.refuses(both)
                and not self.refuses(self.ask.curves(version, h.WEAK_CURVES))
            ):
                yield "groups", both
            if beside and not self.refuses(curves):
                yield "groups", curves
        dh_told = any(reply.dh_bits for reply in seen) or self.refuses(both) or self.refuses(field)
        if plain_too and not dh_told:
            yield "dh_bits", both if self.evidence.of(both) else field

    def _noted(self, offer: Offer, version: str) -> Strand:
        self._note(offer, version)
        yield offer

    def _note(self, offer: Offer, version: str) -> None:
        """Remember that a verdict may rest on the refusal of `offer`."""
        self.needed[offer.key] = offer
        if version != self.old_version:
            self.enough_once.add(offer.key)
        elif offer.key.startswith(("suites", "odd", "curves")):
            self.crucial.add(offer.key)

    # ------------------------------------------------------------------------------------ asking again

    def _open(self) -> list[Offer]:
        """The offers a verdict may rest on that are neither accepted nor shown to be refused."""
        offers = [*self._wanted_versions(), *self.needed.values()]
        return [offer for offer in offers if not self.evidence.accepted(offer) and not self.refuses(offer)]

    def _wanted_versions(self) -> list[Offer]:
        if not self._past_contact:
            return []
        offers = self._version_offers()
        return [offer for offer in offers if offer.version not in self.evidence.versions()]

    def _unconfirmed(self) -> list[Offer]:
        offers = [*self._wanted_versions(), *self.needed.values()]
        if self.whole:
            offers.append(self.whole)
        return [offer for offer in offers if not self._settled(offer)]

    def _settled(self, offer: Offer) -> bool:
        meanings = {entry.meaning for entry in self.evidence.of(offer)}
        once = offer.key in self.enough_once and Meaning.REFUSED in meanings
        return once or bool(meanings & {Meaning.ACCEPTED, Meaning.INSTEAD})

    def _confirmations(self) -> Iterator[list[Strand]]:
        """Ask again what was refused or lost, with something accepted in between."""
        offers = self._unconfirmed() if self.thorough else self._open()
        if self._unguarded(offers):
            yield [self._canary()]
            offers = self._unconfirmed() if self.thorough else self._open()
        yield self._again(offers)

    def _again(self, offers: Iterable[Offer]) -> list[Strand]:
        """The same questions once more, late and in another order, and in a row where once is not enough."""
        strands = []
        for offer in reversed(list(offers)):
            strands.append(self._repeat(offer))
            soft = any(entry.meaning is Meaning.SOFT for entry in self.evidence.of(offer))
            times = SOFT_TIMES[self.times(offer)] if soft else self.times(offer)
            strands += [self._one(offer)] * (times - 2)
        return strands

    def _repeat(self, offer: Offer) -> Strand:
        reply = yield offer
        if meaning(offer, reply) is Meaning.LOST:
            reply = yield offer
        if reply.whole and offer.key in self.needed:
            yield from self._after_late_acceptance(offer)

    def _after_late_acceptance(self, offer: Offer) -> Strand:
        for version in self._accepted_old():
            reply = self.evidence.accepted(offer)
            if reply and offer == self.ask.odd_exchange(version):
                yield from self._other_odd(offer, version, reply)
                return
        for version, last in list(self.last_suites.items()):
            if last == offer:
                del self.needed[offer.key]
                yield from self._eliminate(version)
                return

    # ------------------------------------------------------------------------------------ features, flaws

    def _flaws(self) -> list[Strand]:
        version = self.old_version
        strands: list[Strand] = []
        if "fallback" in self.wants and (below := self.version_below()):
            strands.append(self._one(self.ask.fallback(below)))
        if version:
            number, name = h.NUMBERS[version], self.ask.name
            if "features" in self.wants:
                legacy = not self.secure_renegotiation(version)
                talk = partial(Renegotiation, number, name, legacy=legacy, greets=self.greets)
                strands.append(self._deep("renegotiation", version, talk))
            if "flaws" in self.wants:
                strands.append(self._deep("heartbleed", version, partial(Heartbleed, number, name)))
                strands.append(self._deep("ccs", version, partial(CcsInjection, number, name)))
                strands.append(self._robot())
        return strands

    def flight(self, version: str) -> Reply | None:
        """The first flight read in clear in `version`."""
        for entry in self.evidence.good:
            if entry.reply.version == h.NUMBERS[version] and entry.offer.kind is not Kind.DEEP:
                return entry.reply
        return None

    def secure_renegotiation(self, version: str) -> bool:
        """Whether RFC 5746 is spoken in `version`."""
        flight = self.flight(version)
        return flight is not None and h.RENEGOTIATION in flight.extensions

    def version_below(self) -> str | None:
        """The version a downgrade would lead to: the second newest that is on."""
        spoken = [v for v in ("TLSv1.3", *UP_TO_TLS12) if self.accepts(v)]
        return spoken[1] if len(spoken) > 1 else None

    def _deep(self, key: str, version: str, talk: Callable[[], Talk]) -> Strand:
        offer = self.ask.deep(key, version, talk, sure=key != "renegotiation")
        self.deep[key] = [offer]
        reply = yield offer
        if not reply.whole:
            yield offer

    def _robot(self) -> Strand:
        """One connection for each padding, only where static RSA is on; all again where answers differ."""
        version_with_rsa = self._version_with_static_rsa()
        if version_with_rsa is None or self.client_certificate_asked():
            return
        number = h.NUMBERS[version_with_rsa]
        for turn in ("first", "second"):
            talks = [(padding, partial(Robot, number, self.ask.name, padding)) for padding in PADDINGS]
            offers = [
                self.ask.deep(f"robot {turn} {pad}", version_with_rsa, talk, sure=True) for pad, talk in talks
            ]
            self.deep["robot " + turn] = offers
            answers = set()
            for offer in offers:
                reply = yield offer
                answers.add(reply.verdict)
            if len(answers) == 1:
                return

    def _version_with_static_rsa(self) -> str | None:
        found = [
            entry.reply.version
            for entry in self.evidence.good
            if "static-rsa" in suites.classes(entry.reply.suite or 0) and not entry.reply.kinds
        ]
        return h.NAMES[max(number for number in found if number)] if found else None
