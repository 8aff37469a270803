"""The chains a server served, each with what it is worth: trust, names, order, staple."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from seccheck.probes.tls import hello as h
from seccheck.probes.tls import names
from seccheck.probes.tls.answer import Reply
from seccheck.probes.tls.certificates import Parsed, parse
from seccheck.probes.tls.facts import Chain, Staple
from seccheck.probes.tls.questions import Kind, Offer
from seccheck.probes.tls.revocation import Revocation
from seccheck.probes.tls.staple import read_staple
from seccheck.probes.tls.trust import Anchors, find_route, in_order
from seccheck.probes.tls.visit import Visit


@dataclass
class _Served:
    """One chain, and all the offers that brought it."""

    certificates: tuple[bytes, ...]
    seen_with: set[str] = field(default_factory=set)
    judged: bool = False
    staples: set[bytes] = field(default_factory=set)
    scts: int = 0


AskIssuer = Callable[[Parsed, Parsed | None], Revocation]
"""Asks the issuer of a leaf whether it is revoked."""


def gather(
    visit: Visit, host: str, anchors: Anchors, now: datetime, ask_issuer: AskIssuer | None = None
) -> tuple[Chain, ...]:
    """Every chain that was seen, those served under the registered name first."""
    served: dict[tuple[bytes, ...], _Served] = {}
    for entry in visit.evidence.good:
        reply = entry.reply
        if not reply.certificates:
            continue
        chain = served.setdefault(reply.certificates, _Served(reply.certificates))
        chain.seen_with.add(_label(entry.offer, reply, visit))
        chain.judged |= entry.offer.kind is not Kind.NAMELESS and _carries_name(reply)
        chain.staples.add(reply.staple)
        chain.scts = max(chain.scts, _scts_beside(reply))
    if not any(chain.judged for chain in served.values()):
        for chain in served.values():  # SSL only, which knows no names: what there is must be judged
            chain.judged = True
    found = [_chain(each, host, anchors, now, ask_issuer) for each in served.values()]
    return tuple(sorted(found, key=lambda chain: (not chain.judged, chain.seen_with)))


def _label(offer: Offer, reply: Reply, visit: Visit) -> str:
    if offer.kind is Kind.NAMELESS:
        return "no-name"
    if visit.other_key and offer.key == visit.other_key.key:
        return "other-key"
    return h.NAMES[reply.version or 0]


def _carries_name(reply: Reply) -> bool:
    return (reply.version or 0) > h.SSL3


def _scts_beside(reply: Reply) -> int:
    """Timestamps in the TLS extension (RFC 6962 3.3.1)."""
    data, count, at = reply.extensions.get(h.SCT, b""), 0, 2
    while at + 2 <= len(data):
        at += 2 + (data[at] << 8 | data[at + 1])
        count += 1
    return count if at == len(data) else 0


def _chain(
    served: _Served, host: str, anchors: Anchors, now: datetime, ask_issuer: AskIssuer | None
) -> Chain:
    sent = [parse(der) for der in served.certificates[:20]]
    if sent[0] is None:
        return _unreadable(served)
    leaf, chain = sent[0], [cert for cert in sent if cert]
    route = find_route(chain, anchors, now)
    issuer = _issuer(leaf, route.path, anchors)
    staple = _best(read_staple(response, leaf, issuer, now) for response in served.staples)
    revocation: Revocation = "good" if staple == "good" else "revoked" if staple == "revoked" else None
    if revocation is None and ask_issuer and served.judged:
        revocation = ask_issuer(leaf, issuer)
    return Chain(
        seen_with=tuple(sorted(served.seen_with)),
        judged=served.judged,
        names_host=names.bears(host, *leaf.names),
        trusted=route.trusted,
        trust_problem=route.problem,
        complete=route.complete,
        ordered=len(chain) == len(sent) and in_order(chain),
        anchor=route.anchor,
        certificates=tuple(cert.record for cert in chain),
        path=tuple(cert.record for cert in route.path),
        stapled=staple,
        revocation=revocation,
        scts=leaf.scts + served.scts,
    )


def _unreadable(served: _Served) -> Chain:
    return Chain(
        seen_with=tuple(sorted(served.seen_with)),
        judged=served.judged,
        names_host=False,
        trusted=False,
        trust_problem="unreadable",
        complete=False,
        ordered=False,
        anchor="",
        certificates=(),
        path=(),
        stapled="none",
        revocation=None,
        scts=0,
    )


def _issuer(leaf: Parsed, path: tuple[Parsed, ...], anchors: Anchors) -> Parsed | None:
    if len(path) > 1:
        return path[1]
    return next(iter(anchors.named(leaf.issuer)), None)


def _best(staples: Iterable[Staple]) -> Staple:
    """A revocation outweighs all, and a good answer one that says nothing."""
    found = set(staples)
    order: tuple[Staple, ...] = ("revoked", "good", "unknown")
    return next((staple for staple in order if staple in found), "none")
