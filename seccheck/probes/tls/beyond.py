"""Strands about certificates, and those that go past the hello: whole handshakes, renegotiation, flaws."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from seccheck.probes.tls import hello as h
from seccheck.probes.tls import suites
from seccheck.probes.tls.answer import Outcome
from seccheck.probes.tls.flaws import CLOSES, PADDINGS, CcsInjection, Heartbleed, Robot
from seccheck.probes.tls.handshake import Handshake, Renegotiation
from seccheck.probes.tls.known import Known, Strand, one
from seccheck.probes.tls.questions import Offer
from seccheck.probes.tls.talk import Talk


def certificates(known: Known) -> list[Strand]:
    """What TLS 1.3 serves, what is served without a name, and with another kind of key."""
    version, tls13 = known.old_version, known.accepts("TLSv1.3")
    strands: list[Strand] = []
    if not known.whole and (known.thorough or not version):
        if tls13:
            known.whole = _handshake(known, "TLSv1.3")
        elif version == "TLSv1.2" and known.client_certificate_asked():
            known.whole = _handshake(known, "TLSv1.2")
        if known.whole:
            strands.append(one(known.whole))
    if not known.thorough:
        return strands
    if known.ask.name and not known.nameless and (tls13 or version not in {None, "SSLv3"}):
        known.nameless = known.ask.nameless(version or "TLSv1.3")
        strands.append(one(known.nameless))
    return strands + other_key(known)


def other_key(known: Known) -> list[Strand]:
    """Whether there is a second certificate; asked once."""
    version = known.old_version
    if not version or version == "SSLv3" or known.other_key or not (key := known.key(version)):
        return []
    known.other_key = known.ask.other_key(version, key)
    return [known.need(known.other_key)]


def _handshake(known: Known, version: str) -> Offer:
    talk = partial(Handshake, h.NUMBERS[version], known.ask.name)
    return known.ask.deep(f"handshake {version}", version, talk)


def static_rsa(known: Known) -> list[Strand]:
    """Whether static RSA is on, which ROBOT needs; where no elimination of suites tells."""
    version = known.old_version
    if "flaws" not in known.wants or "suites" in known.wants or known.static_rsa or not version:
        return []
    offered = suites.static_rsa(tls12=version == "TLSv1.2")
    known.static_rsa = known.ask.suites(version, offered)
    return [known.need(known.static_rsa)]


def features_and_flaws(known: Known, *, greets: bool) -> list[Strand]:
    """Fallback, renegotiation, Heartbleed, CCS injection, ROBOT; `greets`: the server speaks first."""
    version, name = known.old_version, known.ask.name
    strands: list[Strand] = []
    if "fallback" in known.wants and (below := known.version_below()):
        strands.append(one(known.ask.fallback(below)))
    if version:
        number = h.NUMBERS[version]
        if "features" in known.wants:
            legacy = not known.secure_renegotiation(version)
            again = partial(Renegotiation, number, name, legacy=legacy, greets=greets)
            strands.append(_provoked(known, "renegotiation", version, lambda _: again(), sure=False))
        if "flaws" in known.wants:
            heartbleed, ccs = partial(Heartbleed, number, name), partial(CcsInjection, number, name)
            strands.append(_provoked(known, "heartbleed", version, lambda alone: heartbleed(alone=alone)))
            strands.append(_provoked(known, "ccs", version, lambda alone: ccs(alone=alone)))
            strands.append(_robot(known))
    return strands


def _provoked(
    known: Known, key: str, version: str, talk: Callable[[bool], Talk], *, sure: bool = True
) -> Strand:
    """A talk past the hello; again where the connection ended on it, more gently where that was a reset."""
    alone, closed = False, 0
    for turn in ("", " again", " once more"):
        offer = known.ask.deep(key + turn, version, partial(talk, alone), sure=sure)
        known.deep.setdefault(key, []).append(offer)
        reply = yield offer
        closed += reply.verdict == Outcome.CLOSED
        if closed == CLOSES or (reply.whole and not isinstance(reply.verdict, str)):
            return
        alone = alone or reply.verdict == Outcome.RESET


def _robot(known: Known) -> Strand:
    """One connection for each padding, only where static RSA is on; all again where answers differ."""
    version = _version_with_static_rsa(known)
    if version is None or (known.client_certificate_asked() and not known.does_without_certificate(version)):
        return
    for turn in ("robot first", "robot second"):
        offers = [_padded(known, turn, version, padding) for padding in PADDINGS]
        known.deep[turn] = offers
        answers = set()
        for offer in offers:
            reply = yield offer
            answers.add(reply.verdict)
        if len(answers) == 1:
            return


def _padded(known: Known, turn: str, version: str, padding: str) -> Offer:
    talk = partial(Robot, h.NUMBERS[version], known.ask.name, padding)
    return known.ask.deep(f"{turn} {padding}", version, talk, sure=True)


def _version_with_static_rsa(known: Known) -> str | None:
    found = [
        entry.reply.version
        for entry in known.evidence.good
        if "static-rsa" in suites.classes(entry.reply.suite or 0) and not entry.reply.kinds
    ]
    return h.NAMES[max(number for number in found if number)] if found else None
