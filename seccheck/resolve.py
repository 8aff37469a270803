"""Names to addresses, before a scan; and the stub resolver that the dns and mail probes ask through.

Resolvers are not bound to the registered networks, so this is the one place that sends packets without
asking `scope.Context`; it sends them to the registered resolvers only, or to the machine's own.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seccheck.model import ProbeFailed, Reason, safe_text
from seccheck.resolution import Resolution
from seccheck.scope import Scope

if TYPE_CHECKING:
    import dns.message
    import dns.name
    import dns.rdatatype
    import dns.rrset

_PACKET_SECONDS = 2.0
_QUESTION_SECONDS = 10.0
_ROUNDS = 2
_LONGEST_CHAIN = 8
_PAYLOAD = 1232
"""The EDNS buffer size that avoids fragments (DNS flag day 2020)."""
_NAMES_AT_ONCE = 16


@dataclass(frozen=True)
class Reply:
    """What the resolvers say to one question; that a name or a record is absent is an answer."""

    exists: bool
    """False: the name at the end of the aliases does not exist (NXDOMAIN)."""
    aliases: tuple[dns.name.Name, ...]
    """The targets of CNAME records passed on the way, in order."""
    rrset: dns.rrset.RRset | None
    message: dns.message.QueryMessage
    """The last message received."""

    def texts(self) -> list[str]:
        """The records in zone-file form, sorted."""
        return sorted(record.to_text() for record in self.rrset or ())


def name_of(text: str) -> dns.name.Name:
    """The absolute DNS name that `text` writes, internationalised labels encoded (RFC 5891).

    Raises `ProbeFailed` when it is none.
    """
    import dns.exception
    import dns.name

    try:
        return dns.name.from_text(text, idna_codec=dns.name.IDNA_2008_UTS_46)
    except (dns.exception.DNSException, UnicodeError, ValueError, struct.error) as error:
        raise ProbeFailed(Reason.RESOLVER, f"{safe_text(text, 256)} is not a DNS name: {error}") from None


def texts_at(stub: Stub, name: dns.name.Name) -> list[str]:
    """The TXT records at `name`, the strings of each joined, sorted."""
    records = stub.ask(name, "TXT").rrset or ()
    return sorted(b"".join(record.strings).decode("utf-8", "replace") for record in records)


class Stub:
    """Asks the registered resolvers, or the machine's own, and remembers what they said; for one thread.

    Silence, SERVFAIL and refusals of every resolver raise `ProbeFailed` with the reason resolver.
    """

    def __init__(self, scope: Scope) -> None:
        self._servers = [
            (resolver.address, resolver.port) for resolver in scope.resolvers
        ] or _system_servers()
        self._known: dict[tuple[dns.name.Name, int, bool], dns.message.QueryMessage | ProbeFailed] = {}

    def ask(self, name: dns.name.Name | str, kind: str) -> Reply:
        """The records of `kind` at `name`, aliases followed."""
        import dns.exception
        import dns.rcode
        import dns.rdatatype

        wanted = dns.rdatatype.from_text(kind)
        here = name_of(name) if isinstance(name, str) else name
        aliases: list[dns.name.Name] = []
        while True:
            message = self.message(here, wanted)
            try:
                chain = message.resolve_chaining()
            except dns.exception.DNSException as error:
                raise ProbeFailed(Reason.RESOLVER, f"unusable answer for {here}: {error}") from None
            aliases += [record.target for rrset in chain.cnames for record in rrset]
            if len(aliases) > _LONGEST_CHAIN:
                raise ProbeFailed(Reason.RESOLVER, f"more than {_LONGEST_CHAIN} aliases from {name}")
            exists = message.rcode() != dns.rcode.NXDOMAIN
            if chain.answer is not None or not exists or not chain.cnames:
                return Reply(exists, tuple(aliases), chain.answer, message)
            here = chain.canonical_name  # the resolver left the rest of the chain to us

    def message(
        self, name: dns.name.Name, kind: dns.rdatatype.RdataType, *, dnssec: bool = False
    ) -> dns.message.QueryMessage:
        """The NOERROR or NXDOMAIN message for one question; with `dnssec`, signatures and all."""
        key = (name, int(kind), dnssec)
        if key not in self._known:
            try:
                self._known[key] = self._ask_servers(name, kind, dnssec=dnssec)
            except ProbeFailed as failure:
                self._known[key] = failure
        known = self._known[key]
        if isinstance(known, ProbeFailed):
            raise known
        return known

    def _ask_servers(
        self, name: dns.name.Name, kind: dns.rdatatype.RdataType, *, dnssec: bool
    ) -> dns.message.QueryMessage:
        import dns.exception
        import dns.flags
        import dns.message
        import dns.query
        import dns.rcode

        question = dns.message.make_query(name, kind, use_edns=0, payload=_PAYLOAD, want_dnssec=dnssec)
        question.flags |= dns.flags.CD  # the checking is ours: a validating resolver would hide what is wrong
        give_up = time.monotonic() + _QUESTION_SECONDS
        said = "no resolver answered"
        for _ in range(_ROUNDS):
            for address, port in self._servers:
                left = give_up - time.monotonic()
                if left <= 0:
                    break
                try:
                    answer, _tcp = dns.query.udp_with_fallback(
                        question,
                        address,
                        min(left, _PACKET_SECONDS),
                        port,
                        ignore_unexpected=True,
                        ignore_errors=True,
                    )
                except (dns.exception.DNSException, OSError, EOFError, ValueError) as error:
                    said = f"{address}: {type(error).__name__}"
                    continue
                known = answer.rcode() in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}
                if known and isinstance(answer, dns.message.QueryMessage):
                    return answer
                said = f"{address} answered {dns.rcode.to_text(answer.rcode())}"
        raise ProbeFailed(Reason.RESOLVER, f"{name} {kind.name}: {said}")


def _system_servers() -> list[tuple[str, int]]:
    import dns.resolver

    try:
        resolver = dns.resolver.Resolver(configure=True)
    except dns.resolver.NoResolverConfiguration as error:
        raise ProbeFailed(Reason.RESOLVER, f"this machine has no resolver: {error}") from None
    return [(str(address), resolver.port) for address in resolver.nameservers]


def sorted_addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """Each address once, IPv4 first, each kind in numeric order."""
    unique = {ipaddress.ip_address(address) for address in addresses}
    return tuple(str(address) for address in sorted(unique, key=lambda one: (one.version, int(one))))


def resolve(names: Iterable[str], scope: Scope) -> dict[str, Resolution]:
    """The addresses of each of `names`, all of them looked up through the resolvers of `scope`.

    Without registered resolvers the machine resolves as it does for any program, its hosts file included.
    An address stands for itself. A name that does not exist is unreachable; that nobody would tell is a
    failure of the resolver. With `failed` set there may still be addresses: those of one kind.
    """
    look: Callable[[str], Resolution] = _by_resolvers(scope) if scope.resolvers else _by_machine
    wanted = sorted(set(names))
    with ThreadPoolExecutor(_NAMES_AT_ONCE) as pool:
        return dict(zip(wanted, pool.map(lambda name: _literal(name) or look(name), wanted), strict=True))


def _literal(name: str) -> Resolution | None:
    try:
        return Resolution(name=name, addresses=(str(ipaddress.ip_address(name.strip("[]"))),))
    except ValueError:
        return None


def _by_resolvers(scope: Scope) -> Callable[[str], Resolution]:
    def look(name: str) -> Resolution:
        if name.rstrip(".").lower() == "localhost" or name.rstrip(".").lower().endswith(".localhost"):
            return Resolution(name=name, addresses=("127.0.0.1", "::1"))  # RFC 6761, 6.3
        stub = Stub(scope)
        addresses: list[str] = []
        trouble: ProbeFailed | None = None
        for kind in ("A", "AAAA"):
            try:
                addresses += stub.ask(name, kind).texts()
            except ProbeFailed as failure:
                trouble = failure
                break
        return _resolution(name, addresses, trouble)

    return look


def _by_machine(name: str) -> Resolution:
    import idna

    try:
        ascii_name = name if name.isascii() else idna.encode(name, uts46=True).decode()
        found = socket.getaddrinfo(ascii_name, None, type=socket.SOCK_STREAM)
    except idna.IDNAError as error:
        return _resolution(name, [], ProbeFailed(Reason.RESOLVER, f"not a DNS name: {error}"))
    except (UnicodeError, ValueError) as error:
        return _resolution(name, [], ProbeFailed(Reason.RESOLVER, f"not a DNS name: {error}"))
    except socket.gaierror as error:
        absent = error.errno in {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
        trouble = None if absent else ProbeFailed(Reason.RESOLVER, str(error.strerror))
        return _resolution(name, [], trouble)
    except OSError as error:
        return _resolution(name, [], ProbeFailed(Reason.RESOLVER, str(error)))
    return _resolution(name, [str(info[4][0]).partition("%")[0] for info in found], None)


def _resolution(name: str, addresses: list[str], trouble: ProbeFailed | None) -> Resolution:
    if trouble:
        return Resolution(
            name=name,
            addresses=sorted_addresses(addresses),
            failed=trouble.reason,
            detail=safe_text(trouble.detail, 256),
        )
    if not addresses:
        return Resolution(name=name, failed=Reason.UNREACHABLE, detail="the name has no address")
    return Resolution(name=name, addresses=sorted_addresses(addresses))
