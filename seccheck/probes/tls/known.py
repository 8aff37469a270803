"""What is known of one server while it is looked at, and which refusals are still to be confirmed."""

from __future__ import annotations

from collections.abc import Generator

from seccheck.probes.tls import hello as h
from seccheck.probes.tls import suites
from seccheck.probes.tls.answer import Reply
from seccheck.probes.tls.certificates import curve_of
from seccheck.probes.tls.facts import TlsParams
from seccheck.probes.tls.questions import Kind, Offer, Questions
from seccheck.probes.tls.refusal import Entry, Evidence, Meaning, meaning

Strand = Generator[Offer, Reply, None]
OLD = ("TLSv1.1", "TLSv1.0", "SSLv3", "SSLv2")
UP_TO_TLS12 = ("TLSv1.2", "TLSv1.1", "TLSv1.0", "SSLv3")


def one(offer: Offer) -> Strand:
    """A strand of one question."""
    yield offer


class Known:
    """The questions, the answers so far, and what is still open."""

    def __init__(self, name: str, params: TlsParams) -> None:
        self.wants = set(params.ask)
        self.thorough = params.thorough
        self.ask = Questions(name)
        self.evidence = Evidence()
        self.visits = 1
        self.needed: dict[str, Offer] = {}
        """Offers whose refusal a verdict may rest on, so that it is asked for twice."""
        self.crucial = {self.ask.version(version).key for version in ("TLSv1.3", "TLSv1.2", *OLD[:2])}
        """Of those, the ones that most verdicts hang on."""
        self.enough_once: set[str] = set()
        """Of those, the ones about a version that is a finding by itself: one refusal will do."""
        self.last_suites: dict[str, Offer | None] = {}
        """By version: the list that ended the elimination; None when no class was left to ask for."""
        self.last_groups: Offer | None = None
        self.begun: set[str] = set()
        """The parts of `groups` that were gone into."""
        self.curve_beside: dict[str, tuple[int, ...]] = {}
        self.other_key: Offer | None = None
        self.nameless: Offer | None = None
        self.whole: Offer | None = None
        self.static_rsa: Offer | None = None
        self.deep: dict[str, list[Offer]] = {}
        """By test: the talks that went past the hello."""

    # ------------------------------------------------------------------------------------ answers

    def answered(self, number: int, offer: Offer, reply: Reply) -> None:
        """Record the reply to an offer."""
        self.evidence.add(Entry(number, self.visits, offer, reply, meaning(offer, reply)))

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

    # ------------------------------------------------------------------------------------ what was seen

    @property
    def accepted_old(self) -> list[str]:
        """The accepted versions up to TLS 1.2 that have a ServerHello of TLS's kind, newest first."""
        return [version for version in UP_TO_TLS12 if self.accepts(version)]

    @property
    def old_version(self) -> str | None:
        """The newest of them."""
        return next(iter(self.accepted_old), None)

    def version_below(self) -> str | None:
        """The version a downgrade would lead to: the second newest that is on."""
        spoken = [version for version in ("TLSv1.3", *UP_TO_TLS12) if self.accepts(version)]
        return spoken[1] if len(spoken) > 1 else None

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

    def classes(self) -> set[str]:
        """Every class of suites seen so far, up to TLS 1.2."""
        replies = [entry.reply for entry in self.evidence.good]
        seen = {suite for reply in replies for suite in (*reply.kinds, reply.suite or 0)}
        return {label for suite in seen for label in suites.classes(suite)}

    def groups(self) -> set[int]:
        """Every named group seen so far."""
        return {entry.reply.group for entry in self.evidence.good if entry.reply.group is not None}

    def client_certificate_asked(self) -> bool:
        """Whether a client certificate was asked for."""
        replies = [entry.reply for entry in self.evidence.entries]
        return any(reply.wants_certificate for reply in replies if reply.version is not None)

    def does_without_certificate(self, version: str) -> bool:
        """Whether a handshake ends well without the client certificate asked for; not told of SSL 3.0."""
        needs = {entry.reply.needs_certificate for entry in self.evidence.entries} - {None}
        return needs == {False} and version != "SSLv3"

    def _certified(self, version: str) -> Reply | None:
        """The first reply in `version` that brought a certificate."""
        for entry in self.evidence.good:
            if entry.reply.version == h.NUMBERS[version] and entry.reply.certificates:
                return entry.reply
        return None

    def key(self, version: str) -> str:
        """The kind of key of the certificate that came with `version`."""
        reply = self._certified(version)
        return suites.key_of(reply.suite or 0) if reply else ""

    def beside(self, version: str) -> tuple[int, ...]:
        """The curve of the certificate of `version`, if it is an EC one; as known when first asked."""
        if version in self.curve_beside:
            return self.curve_beside[version]
        reply = self._certified(version)
        return curve_of(reply.certificates[0]) if reply else ()

    # ------------------------------------------------------------------------------------ what is needed

    def need(self, offer: Offer) -> Strand:
        """Ask something whose refusal a verdict may rest on."""
        self.needed[offer.key] = offer
        yield offer

    def note(self, offer: Offer, version: str) -> None:
        """Remember that a verdict may rest on the refusal of `offer`, which is about `version`."""
        self.needed[offer.key] = offer
        if version != self.old_version:
            self.enough_once.add(offer.key)
        elif offer.key.startswith(("suites", "odd", "curves")):
            self.crucial.add(offer.key)

    def noted(self, offer: Offer, version: str) -> Strand:
        """Ask it, and remember that."""
        self.note(offer, version)
        yield offer

    def settled(self, offer: Offer) -> bool:
        """Whether asking `offer` again could change nothing."""
        meanings = {entry.meaning for entry in self.evidence.of(offer)}
        once = offer.key in self.enough_once and Meaning.REFUSED in meanings
        return once or bool(meanings & {Meaning.ACCEPTED, Meaning.INSTEAD})
