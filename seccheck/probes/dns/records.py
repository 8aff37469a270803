"""What resolvers give for a name: addresses, issuers, name servers, records that point nowhere."""

from __future__ import annotations

import struct
import time
from typing import Any, Literal

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype

from seccheck.model import Reason, safe_text
from seccheck.probes import ProbeFailed, Undecided
from seccheck.probes.dns.facts import Caa, Dangling, NameServer
from seccheck.probes.dns.trust import zone_of
from seccheck.resolve import Stub, sorted_addresses
from seccheck.scope import Connection, Context

Told = tuple[dict[str, Any], list[Undecided]]
Name = dns.name.Name
_MOST_SERVERS = 16
_TRANSFER_BYTES = 200_000


def text(name: Name) -> str:
    """A name for the record, without the last dot."""
    return safe_text(name.to_text(omit_final_dot=True), 255)


def existing(stub: Stub, name: Name) -> Name:
    """`name`, if it exists; raises `ProbeFailed` with the reason no-data when it does not."""
    if not stub.ask(name, "SOA").exists and not stub.ask(name, "SOA").aliases:
        raise ProbeFailed(Reason.NO_DATA, f"{text(name)} does not exist")
    return name


def addresses(stub: Stub, name: Name) -> Told:
    """The addresses of a name; that one kind can't be told leaves the other standing."""
    facts: dict[str, Any] = {}
    undecided: list[Undecided] = []
    for fact, kind in (("ipv4", "A"), ("ipv6", "AAAA")):
        try:
            reply = stub.ask(name, kind)
        except ProbeFailed as failure:
            undecided.append(
                Undecided(fact=fact, reason=failure.reason, detail=safe_text(failure.detail, 256))
            )
            continue
        facts[fact] = sorted_addresses(reply.texts())
        facts["exists"] = reply.exists or bool(reply.aliases)
        facts["aliases"] = tuple(text(alias) for alias in reply.aliases)
    if undecided:
        reason, detail = undecided[0].reason, undecided[0].detail
        missing = ["addresses", *(name for name in ("exists", "aliases") if name not in facts)]
        undecided += [Undecided(fact=name, reason=reason, detail=detail) for name in missing]
    else:
        facts["addresses"] = sorted_addresses((*facts["ipv4"], *facts["ipv6"]))
    return facts, undecided


def caa(stub: Stub, name: Name) -> Caa:
    """The CAA records that hold for `name`: its own, or those of the nearest name above (RFC 8659, 3)."""
    here = name
    while here != dns.name.root:
        found = stub.ask(here, "CAA").rrset
        if found:
            issue = [record.value for record in found if record.tag.lower() == b"issue"]
            wild = [record.value for record in found if record.tag.lower() == b"issuewild"]
            return Caa(
                present=True,
                at=text(here),
                issuers=_issuers(issue),
                wildcard_issuers=_issuers(wild),
                limits=bool(issue),
            )
        here = here.parent()
    return Caa()


def _issuers(values: list[bytes]) -> tuple[str, ...]:
    """The issuer domain names in property values; an empty one names nobody (RFC 8659, 4.2)."""
    names = {safe_text(value.partition(b";")[0].strip().lower(), 255) for value in values}
    return tuple(sorted(names - {""}))


def dangling(stub: Stub, name: Name) -> Told:
    """Records of the name (and of its zone, if it is one) whose targets do not exist.

    A target that could not be looked up leaves the fact open.
    """
    found: list[Dangling] = []
    undecided: list[Undecided] = []
    reply = stub.ask(name, "A")
    if reply.aliases and not reply.exists:
        target = reply.aliases[-1]
        found.append(
            Dangling(name=text(name), kind="CNAME", target=text(target), detail="the target does not exist")
        )
    targets: list[tuple[str, Name]] = []
    for kind, field in (("MX", "exchange"), ("NS", "target")):
        records = stub.ask(name, kind).rrset or ()
        targets += [(kind, getattr(record, field)) for record in list(records)[:_MOST_SERVERS]]
    for kind, target in targets:
        if target == dns.name.root:  # null MX (RFC 7505)
            continue
        try:
            problem = _problem(stub, target)
        except ProbeFailed as failure:
            detail = safe_text(f"{kind} {target}: {failure.detail}", 256)
            undecided.append(
                Undecided(fact="dangling", member=text(target), reason=failure.reason, detail=detail)
            )
            continue
        if problem:
            found.append(Dangling(name=text(name), kind=kind, target=text(target), detail=problem))  # type: ignore[arg-type]
    return {"dangling": tuple(sorted(found, key=lambda one: (one.kind, one.target)))}, undecided


def _problem(stub: Stub, target: Name) -> str:
    """Why a target is dead; empty when it lives."""
    replies = [stub.ask(target, kind) for kind in ("A", "AAAA")]
    if not all(reply.exists for reply in replies):
        return "the target does not exist"
    return "" if any(reply.rrset for reply in replies) else "the target has no address"


# ---------------------------------------------------------------------------------------------- zone transfer


def transfers(stub: Stub, name: Name, context: Context) -> Told:
    """What each name server of the zone answers to one AXFR question, inside the registered networks only."""
    zone = zone_of(stub, existing(stub, name))
    targets = sorted(record.target for record in stub.ask(zone, "NS").rrset or ())
    servers: list[NameServer] = []
    undecided: list[Undecided] = []
    for target in targets[:_MOST_SERVERS]:
        server, failure = _ask_server(stub, target, zone, context)
        servers.append(server)
        if failure:
            detail = safe_text(failure.detail, 256)
            undecided.append(
                Undecided(fact="transfer_allowed", member=server.name, reason=failure.reason, detail=detail)
            )
    if not servers:
        detail = "the zone names no name server"
        undecided.append(Undecided(fact="transfer_allowed", reason=Reason.NO_DATA, detail=detail))
    allowed = tuple(server.name for server in servers if server.transfer == "allowed")
    return {"zone": text(zone), "servers": tuple(servers), "transfer_allowed": allowed}, undecided


def _ask_server(
    stub: Stub, target: Name, zone: Name, context: Context
) -> tuple[NameServer, ProbeFailed | None]:
    """One name server, asked at the first of its addresses that answers, and why there is no answer."""
    found: tuple[str, ...] = ()
    problem: ProbeFailed | None = None
    try:
        found = sorted_addresses((*stub.ask(target, "A").texts(), *stub.ask(target, "AAAA").texts()))
    except ProbeFailed as failure:
        problem = failure
    for address in found:
        try:
            transfer = transfer_from(context, address, zone)
        except ProbeFailed as failure:
            problem = problem or failure
        else:
            return NameServer(name=text(target), addresses=found, asked=address, transfer=transfer), None
    problem = problem or ProbeFailed(Reason.NO_DATA, "the name server has no address")
    return NameServer(name=text(target), addresses=found), problem


def transfer_from(context: Context, address: str, zone: Name) -> Literal["allowed", "refused"]:
    """Whether a name server begins to give the zone away (RFC 5936); one that is a resolver, on its port.

    A server that refuses TCP refuses transfers, and so does one that closes without a word.
    """
    port = next((one.port for one in context.scope.resolvers if one.address == address), 53)
    try:
        with context.dial(address, port, seconds=10.0, max_bytes=_TRANSFER_BYTES) as connection:
            return "allowed" if _begins(connection, zone) else "refused"
    except ProbeFailed as failure:
        if "refused the connection" in failure.detail and _answers_datagrams(context, address, port, zone):
            return "refused"
        raise


def _answers_datagrams(context: Context, address: str, port: int, zone: Name) -> bool:
    """Whether a name server is there at all: what refuses TCP without one tells nothing of transfers."""
    while wait := context.admit(address):
        time.sleep(wait)
    try:
        dns.query.udp(
            dns.message.make_query(zone, "SOA"), address, timeout=3.0, port=port, ignore_errors=True
        )
    except (dns.exception.DNSException, OSError):
        return False
    return True


def _begins(connection: Connection, zone: Name) -> bool:
    question = dns.message.make_query(zone, "AXFR")
    wire = question.to_wire()
    connection.send(struct.pack(">H", len(wire)) + wire)
    data = b""
    records = 0
    while records < 2:  # the SOA alone may be all of a first message
        while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
            more = connection.receive()
            if not more:
                return False
            data += more
        size = 2 + int.from_bytes(data[:2], "big")
        answer = _read(data[2:size], question)
        if answer.rcode() == dns.rcode.SERVFAIL:
            raise ProbeFailed(Reason.CONTRADICTORY, "the name server answers SERVFAIL")
        if answer.rcode() != dns.rcode.NOERROR or not answer.answer:
            return False
        records += sum(len(rrset) for rrset in answer.answer)
        data = data[size:]
    return True


def _read(wire: bytes, question: dns.message.Message) -> dns.message.Message:
    try:
        answer = dns.message.from_wire(wire, xfr=True, one_rr_per_rrset=True, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError) as error:
        raise ProbeFailed(Reason.CONTRADICTORY, f"not a DNS answer: {type(error).__name__}") from None
    if answer.id != question.id:
        raise ProbeFailed(Reason.CONTRADICTORY, "an answer to another question")
    return answer
