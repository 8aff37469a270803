"""Strands that find suites, groups and DH primes by elimination: offer a whole set, drop what was taken."""

from __future__ import annotations

from collections.abc import Iterator

from seccheck.probes.tls import hello as h
from seccheck.probes.tls import suites
from seccheck.probes.tls.answer import Reply
from seccheck.probes.tls.known import Known, Strand
from seccheck.probes.tls.questions import TLS12_GROUPS, TLS13_GROUPS, Offer
from seccheck.probes.tls.refusal import Meaning, meaning

_MAX_GROUPS = 12


def find_suites(known: Known) -> Strand:
    """Every class of suites, in every accepted version that was not asked yet."""
    for version in known.accepted_old:
        if version not in known.last_suites:
            yield from eliminate(known, version)
    if known.accepts("TLSv1.2") and "fs-aead" not in known.classes():
        yield known.ask.suites("TLSv1.2", suites.strong_tls12())


def eliminate(known: Known, version: str) -> Strand:
    """Offer every suite that would show a class not seen yet, until none is taken."""
    pool = suites.weak_tls12() if version == "TLSv1.2" else suites.weak_old()
    while True:
        seen = known.classes()
        offered = [suite for suite in pool if not seen.issuperset(suites.classes(suite))]
        if not offered:
            known.last_suites[version] = None
            return
        offer = known.ask.suites(version, offered)
        known.last_suites[version] = offer
        known.note(offer, version)
        reply = yield offer
        if not reply.whole:
            return
        del known.needed[offer.key]


def find_groups(known: Known) -> Strand:
    """Offer the groups not seen yet, until none is taken. One ffdhe group stands for its family."""
    tls13 = known.accepts("TLSv1.3")
    version = known.old_version
    if not tls13 and version in {None, "SSLv3"}:
        return
    pool = TLS13_GROUPS if tls13 else TLS12_GROUPS
    for _ in range(_MAX_GROUPS):
        seen = known.groups()
        family = set(h.FFDHE_GROUPS) if seen & set(h.FFDHE_GROUPS) else set()
        left = [group for group in pool if group not in seen | family]
        if not left:
            known.last_groups = None
            return
        if tls13 or version is None:
            offer = known.ask.groups(left)
        else:
            offer = known.ask.curves(version, left, known.beside(version))
        known.last_groups = offer
        reply = yield offer
        if meaning(offer, reply) is Meaning.INSTEAD:
            return
        if not reply.whole:
            known.needed[offer.key] = offer
            known.enough_once.add(offer.key)
            return


def odd_exchanges(known: Known) -> list[Strand]:
    """Finite-field DH and weak curves, for every version that may have them and was not asked yet."""
    if "groups" not in known.wants:
        return []
    versions = [version for version in known.accepted_old if f"odd {version}" not in known.begun]
    known.begun.update(f"odd {version}" for version in versions)
    return [strand for version in versions for strand in _odd_exchange(known, version)]


def _odd_exchange(known: Known, version: str) -> Iterator[Strand]:
    if version == "SSLv3":  # which has no curves
        yield known.noted(known.ask.finite_field(version), version)
        return
    beside = known.curve_beside[version] = known.beside(version)
    if beside:
        yield known.noted(known.ask.curves(version, h.WEAK_CURVES, beside), version)
    other_key = known.other_key is not None and known.evidence.accepted(known.other_key) is not None
    if not beside or other_key or "anon" in known.classes():
        yield _both_odd(known, version)


def _both_odd(known: Known, version: str) -> Strand:
    """Both in one offer, and where it is accepted the other one alone."""
    both = known.ask.odd_exchange(version)
    known.note(both, version)
    reply = yield both
    if reply.whole:
        yield from _other_odd(known, both, version, reply)


def _other_odd(known: Known, both: Offer, version: str, reply: Reply) -> Strand:
    del known.needed[both.key]
    dh = reply.dh_bits is not None
    alone = known.ask.curves(version, h.WEAK_CURVES) if dh else known.ask.finite_field(version)
    yield from known.noted(alone, version)


def go_on(known: Known, offer: Offer) -> Strand:
    """What follows when a list was refused at first, and accepted when it was asked again."""
    reply = known.evidence.accepted(offer)
    if reply is None:
        return
    for version in known.accepted_old:
        if offer == known.ask.odd_exchange(version):
            yield from _other_odd(known, offer, version, reply)
            return
    for version, last in list(known.last_suites.items()):
        if last == offer:
            del known.needed[offer.key]
            yield from eliminate(known, version)
            return


def untold(known: Known, version: str) -> Iterator[tuple[str, Offer]]:
    """Of `groups` and `dh_bits`, what is not known of `version`, with the question that was to tell."""
    ask, refuses = known.ask, known.refuses
    both, field = ask.odd_exchange(version), ask.finite_field(version)
    beside = known.beside(version)
    replies = [e.reply for e in known.evidence.good if e.reply.version == h.NUMBERS[version]]
    plain_too = not beside or bool(known.evidence.of(both))
    weak_seen = any(reply.group in h.WEAK_CURVES for reply in replies)
    if version != "SSLv3" and not weak_seen:
        if plain_too and not refuses(both) and not refuses(ask.curves(version, h.WEAK_CURVES)):
            yield "groups", both
        with_own = ask.curves(version, h.WEAK_CURVES, beside)
        if beside and not refuses(with_own):
            yield "groups", with_own
    dh_told = any(reply.dh_bits for reply in replies) or refuses(both) or refuses(field)
    if plain_too and not dh_told:
        yield "dh_bits", both if known.evidence.of(both) else field
