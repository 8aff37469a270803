"""From the answers of a look to its facts: what was seen, and for the rest why it could not be told."""

from __future__ import annotations

from datetime import datetime

from seccheck.model import Reason, safe_text
from seccheck.probes import ProbeFailed, Undecided
from seccheck.probes.tls import hello as h
from seccheck.probes.tls import suites
from seccheck.probes.tls.answer import Outcome, Reply
from seccheck.probes.tls.chains import AskIssuer, gather
from seccheck.probes.tls.exchanges import untold
from seccheck.probes.tls.facts import SUITE_CLASSES, VERSIONS, Chain, Suite, TlsFacts
from seccheck.probes.tls.flaws import CLOSES
from seccheck.probes.tls.known import UP_TO_TLS12
from seccheck.probes.tls.questions import Offer
from seccheck.probes.tls.refusal import Meaning
from seccheck.probes.tls.trust import Anchors
from seccheck.probes.tls.visit import Visit

FIELDS = {
    "offered": ("offered",),
    "versions": ("versions",),
    "suites": ("suites", "suite_classes"),
    "groups": ("groups", "dh_bits"),
    "certificates": ("chains", "client_certificate", "needs_name"),
    "features": ("compression", "extended_master_secret", "secure_renegotiation", "client_renegotiation"),
    "flaws": ("heartbleed", "ccs_injection", "robot"),
    "fallback": ("fallback_scsv",),
}
"""Which facts answer which ask."""


def conclude(
    visit: Visit,
    host: str,
    *,
    starttls: bool,
    anchors: Anchors,
    now: datetime,
    ask_issuer: AskIssuer | None = None,
) -> TlsFacts:
    """The facts of a finished look; raises `ProbeFailed` when nothing at all could be told."""
    evidence = visit.evidence
    begun = any(e.reply.asked and e.meaning is not Meaning.NOT_ASKED for e in evidence.entries)
    if not evidence.anything:
        if not _not_offered(visit):
            raise _failure(visit)
        asked = [name for ask in sorted(visit.wants) for name in FIELDS[ask] if name != "offered"]
        doubts = tuple(Undecided(fact=name, reason=Reason.NOT_OFFERED) for name in asked)
        return TlsFacts(offered=False, starttls=begun if starttls else None, undecided=doubts)
    conclusion = _Conclusion(visit)
    conclusion.found["offered"] = True
    conclusion.found["starttls"] = True if starttls else None
    for ask in ("versions", "suites", "groups", "features", "flaws", "fallback"):
        if ask in visit.wants:
            getattr(conclusion, ask)()
    if "certificates" in visit.wants:
        conclusion.certificates(gather(visit, host, anchors, now, ask_issuer))
    return TlsFacts(undecided=tuple(conclusion.undecided), **conclusion.found)  # type: ignore[arg-type]


def _not_offered(visit: Visit) -> bool:
    """Whether the port said twice, and in one voice, that there is no TLS, or served its site in clear."""
    if visit.served_in_clear():
        return True
    asked = [e for e in visit.evidence.entries if e.meaning is not Meaning.NOT_ASKED]
    outcomes = {entry.reply.outcome for entry in asked}
    if len(asked) >= 2 and len(outcomes) == 1 and outcomes <= {Outcome.NO_STARTTLS, Outcome.PLAIN}:
        return True
    if not visit.ask.name or visit.evidence.contradiction():
        return False  # without a name: it may only want a name, which an address cannot give
    offers = [visit.ask.version(version) for version in VERSIONS]
    return all(_refused_cleanly(visit, offer) for offer in offers)


def _refused_cleanly(visit: Visit, offer: Offer) -> bool:
    """Asked at least twice and refused each time; SSL 2.0 has no alert of its own, so a close will do."""
    meanings = [entry.meaning for entry in visit.evidence.of(offer)]
    allowed = {Meaning.REFUSED, Meaning.SOFT} if offer.version == h.SSL2 else {Meaning.REFUSED}
    return len([m for m in meanings if m in allowed]) >= 2 and set(meanings) <= allowed | {Meaning.NOT_ASKED}


def _failure(visit: Visit) -> ProbeFailed:
    plain, entries = visit.ask.plain(), visit.evidence.entries
    asked = [e for e in entries if e.meaning is not Meaning.NOT_ASKED and e.offer != plain]
    if not asked:
        return ProbeFailed(Reason.NOT_PROBED, visit.over or "nothing was asked")
    alerts = {entry.reply.alert for entry in asked if entry.reply.outcome is Outcome.ALERT}
    if alerts == {112}:
        return ProbeFailed(Reason.ACCESS, "the server does not know this name (alert 112)")
    if alerts and not visit.ask.name:
        return ProbeFailed(Reason.ACCESS, "every hello without a host name was refused")
    reason, detail = visit.evidence.doubt(asked[-1].offer)
    return ProbeFailed(reason, safe_text(detail, 300))


class _Conclusion:
    """Collects facts and doubts, one ask after the other."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.evidence = visit.evidence
        self.found: dict[str, object] = {}
        self.undecided: list[Undecided] = []
        self.open_versions = [
            version
            for version in VERSIONS
            if not visit.accepts(version) and not visit.refuses(visit.ask.version(version))
        ]

    def doubt(self, fact: str, offer: Offer, member: str | None = None) -> None:
        """Say that `fact` could not be told because of what became of `offer`."""
        reason, detail = self.evidence.doubt(offer)
        self.add(fact, reason, detail, member)

    def add(self, fact: str, reason: Reason, detail: str = "", member: str | None = None) -> None:
        """Say that `fact`, or one member of it, could not be told."""
        entry = Undecided(fact=fact, member=member, reason=reason, detail=safe_text(detail, 300))
        if entry not in self.undecided:
            self.undecided.append(entry)

    def _open_old_version(self) -> Offer | None:
        """The question about a version up to TLS 1.2 that stayed open, which may hide anything.

        SSL 2.0 is none: it has no groups, no DH primes, and few suites.
        """
        old = [version for version in self.open_versions if version in UP_TO_TLS12]
        return self.visit.ask.version(old[-1]) if old else None

    def versions(self) -> None:
        """Accepted versions; those in doubt one by one."""
        self.found["versions"] = tuple(version for version in VERSIONS if self.visit.accepts(version))
        for version in self.open_versions:
            self.doubt("versions", self.visit.ask.version(version), version)

    def suites(self) -> None:
        """Classes and suites seen; the classes that may be hidden still."""
        seen = self.visit.classes()
        self.found["suite_classes"] = tuple(name for name in SUITE_CLASSES if name in seen)
        self.found["suites"] = self._seen_suites()
        hidden = [name for name in SUITE_CLASSES if name not in seen]
        if why := self._hidden_suites():
            for name in hidden:
                if name != "fs-aead" or "TLSv1.2" in self.open_versions:
                    self.add("suite_classes", *why, member=name)
        elif "SSLv2" in self.open_versions:
            told = {label for kind in suites.SSL2 for label in suites.classes(kind)}
            for name in hidden:
                if name in told:
                    self.doubt("suite_classes", self.visit.ask.version("SSLv2"), name)

    def _hidden_suites(self) -> tuple[Reason, str] | None:
        """Why some class may be accepted without having been seen; None when that cannot be."""
        for version in UP_TO_TLS12:
            if self.visit.accepts(version):
                last = self.visit.last_suites.get(version)
                if version not in self.visit.last_suites or (last and not self.visit.refuses(last)):
                    return self.evidence.doubt(last)
        offer = self._open_old_version()
        return self.evidence.doubt(offer) if offer else None

    def _seen_suites(self) -> tuple[Suite, ...]:
        seen: set[tuple[int, int]] = set()
        for entry in self.evidence.good:
            numbers = entry.reply.kinds or ((entry.reply.suite,) if entry.reply.suite is not None else ())
            seen.update((entry.reply.version or 0, number) for number in numbers)
        return tuple(
            Suite(version=h.NAMES[version], name=suites.name(number), classes=suites.classes(number))
            for version, number in sorted(seen, reverse=True)
        )

    def groups(self) -> None:
        """Named groups, and the sizes of DH primes."""
        visit, evidence = self.visit, self.evidence
        self.found["groups"] = tuple(sorted(h.GROUP_NAMES.get(g, f"0x{g:04x}") for g in visit.groups()))
        sizes = {entry.reply.dh_bits for entry in evidence.good if entry.reply.dh_bits is not None}
        self.found["dh_bits"] = tuple(sorted(sizes))
        if "groups" not in visit.begun:
            self.add("groups", *evidence.doubt(None))
        elif visit.last_groups and not visit.refuses(visit.last_groups):
            self.doubt("groups", visit.last_groups)
        for version in UP_TO_TLS12:
            if visit.accepts(version):
                for fact, offer in untold(visit, version):
                    self.doubt(fact, offer)
        if offer_open := self._open_old_version():
            self.doubt("groups", offer_open)
            self.doubt("dh_bits", offer_open)

    def features(self) -> None:
        """Compression, RFC 7627, RFC 5746 and renegotiation, by the newest version up to TLS 1.2."""
        version = self.visit.old_version
        flight = self.visit.flight(version) if version else None
        if version and flight:
            self.found["compression"] = any(entry.reply.compression for entry in self.evidence.good)
            self.found["extended_master_secret"] = h.MASTER_SECRET in flight.extensions
            self.found["secure_renegotiation"] = self.visit.secure_renegotiation(version)
            self._told("client_renegotiation", "renegotiation")
        elif offer := self._open_old_version():
            for fact in FIELDS["features"]:
                self.doubt(fact, offer)
        else:  # TLS 1.3 has neither compression nor renegotiation (RFC 8446 1.2)
            modern = self.visit.accepts("TLSv1.3")
            self.found |= {"compression": False, "client_renegotiation": False}
            self.found |= {"extended_master_secret": modern, "secure_renegotiation": modern}

    def _told(self, fact: str, key: str) -> None:
        """The verdict of a talk that went past the hello."""
        offers = self.visit.deep.get(key, [])
        replies = [entry.reply for offer in offers for entry in self.evidence.of(offer)]
        verdicts = [reply.verdict for reply in replies if reply.whole]
        if any(isinstance(verdict, bool) for verdict in verdicts) or verdicts.count(Outcome.CLOSED) >= CLOSES:
            self.found[fact] = True in verdicts
        elif not replies:
            self.add(fact, Reason.NOT_PROBED, self.visit.over)
        elif any(verdicts):
            self.add(fact, Reason.RATE_LIMITED, "the connection was broken off there, by whom is not known")
        elif replies[-1].whole:
            self.add(fact, Reason.TIMEOUT, replies[-1].detail or "no answer after the handshake")
        elif replies[-1].outcome is Outcome.ALERT and self.visit.client_certificate_asked():
            self.add(fact, Reason.ACCESS, "no handshake could be finished without a client certificate")
        else:
            self.doubt(fact, offers[-1])

    def flaws(self) -> None:
        """Heartbleed, CCS injection and ROBOT; all three are flaws of versions up to TLS 1.2."""
        if self.visit.old_version:
            self._told("heartbleed", "heartbleed")
            self._told("ccs_injection", "ccs")
            self._robot()
        elif offer := self._open_old_version():
            for fact in FIELDS["flaws"]:
                self.doubt(fact, offer)
        else:
            self.found |= {"heartbleed": False, "ccs_injection": False, "robot": False}

    def _robot(self) -> None:
        """No static RSA, no ROBOT; else the answers to all paddings must be the same."""
        visit, evidence = self.visit, self.evidence
        turns = [visit.deep[key] for key in ("robot first", "robot second") if key in visit.deep]
        if not turns:
            why = self._hidden_suites()
            if visit.static_rsa:
                why = None if visit.refuses(visit.static_rsa) else evidence.doubt(visit.static_rsa)
            if "static-rsa" in visit.classes():
                why = Reason.NOT_PROBED, visit.over or "no time left"
                if visit.client_certificate_asked() and not visit.does_without_certificate("TLSv1.2"):
                    why = Reason.ACCESS, "a client certificate is wanted before the key exchange"
            if why:
                self.add("robot", *why)
            else:
                self.found["robot"] = False
            return
        answers = [[_verdict(evidence.accepted(offer)) for offer in offers] for offers in turns]
        if None in answers[0] or None in answers[-1]:
            lost = next(o for offers in turns for o in offers if _verdict(evidence.accepted(o)) is None)
            self.doubt("robot", lost)
        elif len(set(answers[0])) == 1:
            self.found["robot"] = False
        elif answers[0] == answers[-1]:
            self.found["robot"] = True
        else:
            self.add("robot", Reason.CONTRADICTORY, "the server answers differently from time to time")

    def fallback(self) -> None:
        """RFC 7507: only the alert of its own shows it."""
        below = self.visit.version_below()
        if below is None:
            if offer := self._open_old_version():
                self.doubt("fallback_scsv", offer)
            return
        offer = self.visit.ask.fallback(below)
        if self.evidence.accepted(offer):
            self.found["fallback_scsv"] = False
        elif self.evidence.refused(offer, 1):
            self.found["fallback_scsv"] = True
        else:
            self.doubt("fallback_scsv", offer)

    def certificates(self, chains: tuple[Chain, ...]) -> None:
        """Chains, the demand for a client certificate, and whether a name is needed."""
        visit, evidence = self.visit, self.evidence
        only_anonymous = all("anon" in suites.classes(entry.reply.suite or 0) for entry in evidence.good)
        self.found["chains"] = chains if chains or only_anonymous else None
        if visit.whole and not evidence.accepted(visit.whole):
            self.doubt("chains", visit.whole, h.NAMES[visit.whole.version])
        elif self.found["chains"] is None:
            self.add("chains", Reason.CONTRADICTORY, "no certificate was seen")
        if (other := visit.other_key) and not evidence.accepted(other) and not visit.refuses(other):
            self.doubt("chains", other, "other-key")
        self._client_certificate()
        if nameless := visit.nameless:
            if evidence.accepted(nameless):
                self.found["needs_name"] = False
            elif evidence.refused(nameless, 1):
                self.found["needs_name"] = True
            else:
                self.doubt("needs_name", nameless)
        elif visit.ask.name and visit.thorough:
            self.found["needs_name"] = False  # SSL only, which knows no names

    def _client_certificate(self) -> None:
        replies = [entry.reply for entry in self.evidence.entries if entry.reply.version is not None]
        needs = {reply.needs_certificate for reply in replies} - {None}
        if needs:
            self.found["client_certificate"] = "required" if True in needs else "optional"
        elif self.visit.client_certificate_asked():
            self.add("client_certificate", Reason.TIMEOUT, "asked for; whether it is a must was not told")
        elif any(reply.certificates for reply in replies) or self.found["chains"] == ():
            self.found["client_certificate"] = "none"
        else:
            self.add("client_certificate", Reason.CONTRADICTORY, "no whole handshake was seen")


def _verdict(reply: Reply | None) -> bool | str | None:
    return reply.verdict if reply else None
