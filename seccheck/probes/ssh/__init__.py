"""The ssh probe: the algorithms an SSH server offers, and how it lets users log in, without logging in.

One connection answers it all: sshd counts connections that do not log in, and penalises who makes many. A
second one is made only where the server breaks off over the RSA key that it said it had.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any

from seccheck.model import Reason, safe_text
from seccheck.probes import Endpoint, Probe, ProbeFailed, Undecided
from seccheck.probes.ssh.facts import SshFacts, SshParams
from seccheck.probes.ssh.transport import Reader, Session
from seccheck.scope import Context

USER = "seccheck-probe"
"""Whom the `none` request names (contract, ADM-03)."""
_SECONDS = 25.0
_MAX_BYTES = 300_000
_RSA = ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")
_MARKERS = re.compile(r"ext-info-[cs]|kex-strict-[cs]-v\d\d@openssh\.com")
_FACTS = {
    "algorithms": ("kex", "host_key_algorithms", "ciphers", "macs", "rsa_host_key_bits"),
    "authentication": ("authentications",),
}


def collect(endpoint: Endpoint, params: SshParams, context: Context) -> SshFacts:
    """What the SSH server of `endpoint` offers."""
    facts: dict[str, Any] = {}
    failure = _look(endpoint, params, context, facts)
    undecided = _open(params, facts, failure)
    keys = set(facts.get("host_key_algorithms", ()))
    broken_off = failure and failure.reason is Reason.UNREACHABLE and "rsa_host_key_bits" not in facts
    if broken_off and "authentication" in params.ask and keys & set(_RSA) and keys - set(_RSA):
        # dropbear lists RSA keys that it has not, and dies where one is agreed on
        with contextlib.suppress(ProbeFailed):
            _look(endpoint, SshParams(ask=("authentication",)), context, facts)
            undecided = tuple(doubt for doubt in undecided if doubt.fact not in facts)
    return SshFacts(**facts, undecided=undecided)


def _open(params: SshParams, facts: dict[str, Any], failure: ProbeFailed | None) -> tuple[Undecided, ...]:
    """What stays open where the server broke off."""
    if failure is None:
        return ()
    return tuple(
        Undecided(fact=name, reason=failure.reason, detail=safe_text(failure.detail, 500))
        for ask in params.ask
        for name in _FACTS[ask]
        if name not in facts
    )


def _look(
    endpoint: Endpoint, params: SshParams, context: Context, facts: dict[str, Any]
) -> ProbeFailed | None:
    """One connection: puts into `facts` what it tells; gives what ended it early."""
    with context.dial(endpoint.address, endpoint.port, seconds=_SECONDS, max_bytes=_MAX_BYTES) as connection:
        session = Session(connection)
        identification = session.greet()
        facts["identification"] = safe_text(identification, 255)
        facts["protocols"] = protocols(identification)
        try:
            _ask(session, params, facts)
        except ProbeFailed as failure:
            return failure
    return None


def protocols(identification: bytes) -> tuple[str, ...]:
    """The protocol versions that an identification string announces (RFC 4253, 4.2 and 5.1)."""
    version = re.match(rb"SSH-(\d+)\.(\d+)-", identification)
    if not version:
        raise ProbeFailed(Reason.NOT_OFFERED, f"no SSH version in {safe_text(identification, 100)}")
    if version[1] == b"1":
        return ("1", "2") if version[2] == b"99" else ("1",)
    return ("2",)


def _ask(session: Session, params: SshParams, facts: dict[str, Any]) -> None:
    """Put into `facts` what is asked for, as it is told; raises `ProbeFailed` where that ends early."""
    if "2" not in facts["protocols"]:
        raise ProbeFailed(Reason.NOT_OFFERED, "the server speaks protocol 1 only")
    offer = session.offer()
    rsa = next((name for name in _RSA if name in offer.host_keys), None)
    if "algorithms" in params.ask:
        facts["kex"] = tuple(name for name in offer.kex if not _MARKERS.fullmatch(name))
        facts["host_key_algorithms"] = offer.host_keys
        facts["ciphers"] = _union(offer.ciphers_out, offer.ciphers_in)
        facts["macs"] = _union(offer.macs_out, offer.macs_in)
        if rsa is None:
            facts["rsa_host_key_bits"] = ()
    if "authentication" in params.ask or (rsa and "algorithms" in params.ask):
        agreed = session.agree(offer, _host_key(offer.host_keys, rsa if "algorithms" in params.ask else None))
        if rsa and "algorithms" in params.ask:
            facts["rsa_host_key_bits"] = (rsa_bits(agreed.host_key),)
        if "authentication" in params.ask:
            session.take_keys_into_use(agreed)
            facts["authentications"] = session.methods_after_none(USER)
    with contextlib.suppress(ProbeFailed):
        session.disconnect()


def _host_key(offered: tuple[str, ...], wanted: str | None) -> str:
    """The host key to agree on: the one wanted, else one that is not RSA, else any."""
    return wanted or next((name for name in offered if name not in _RSA), next(iter(offered), ""))


def _union(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def rsa_bits(host_key: bytes) -> int:
    """The size of the modulus of an ssh-rsa host key (RFC 4253, 6.6)."""
    reader = Reader(host_key)
    kind = reader.string()
    if kind != b"ssh-rsa":
        raise ProbeFailed(Reason.CONTRADICTORY, f"an RSA key was agreed on, {safe_text(kind, 64)} was sent")
    reader.mpint()
    return reader.mpint().bit_length()


PROBE = Probe(
    id="ssh",
    version=1,
    subject="endpoint",
    params=SshParams,
    facts=SshFacts,
    collect=collect,
    seconds=lambda _endpoint, _params: _SECONDS + 15.0,
)
