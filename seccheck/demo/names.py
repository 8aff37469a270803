"""The name server of the fleet: its own zones with their signatures, and nothing of anybody else's."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from seccheck.demo.loop import Talk
from seccheck.demo.zones import Served

if TYPE_CHECKING:
    import dns.message
    import dns.rdatatype
    import dns.rrset
    from dns.name import Name
    from dns.zone import Zone

_SMALLEST = 512
_LONGEST = 65535


class _Asks(NamedTuple):
    name: Name
    kind: dns.rdatatype.RdataType
    signed: bool
    """Whether signatures and proofs are wanted (the bit DO, RFC 4035 3.1)."""
    stream: bool
    """Whether it came over TCP."""


class NameServer:
    """Answers for its zones as RFC 1034, 4035 (3.1) and 5936 have it."""

    def __init__(self, zones: Iterable[Served]) -> None:
        self._zones = {one.zone.origin: _Answers(one) for one in zones}
        self._answer = lru_cache(4096)(self._made)  # the same is asked of the zone above for every unit

    def answer(self, query: bytes, *, stream: bool = False) -> bytes:
        """The response to one message; empty for what is no query."""
        response = self._answer(query[2:], stream=stream)
        return query[:2] + response[2:] if response else b""

    def _made(self, query: bytes, *, stream: bool) -> bytes:
        import dns.exception
        import dns.flags
        import dns.message
        import dns.rcode

        try:
            asked = dns.message.from_wire(b"\0\0" + query)
        except (dns.exception.DNSException, ValueError):
            return b""
        if asked.flags & dns.flags.QR or len(asked.question) != 1:
            return b""
        response = dns.message.make_response(asked, recursion_available=False)
        question = asked.question[0]
        asks = _Asks(question.name, question.rdtype, bool(asked.ednsflags & dns.flags.DO), stream)
        zone = self._zone(asks.name, asks.kind)
        if zone is None or not zone.answer(response, asks):
            response.set_rcode(dns.rcode.REFUSED)
        else:
            response.flags |= dns.flags.AA
        size = _LONGEST if stream else max(_SMALLEST, asked.payload)
        return response.to_wire(max_size=size, prefer_truncation=True)

    def _zone(self, name: Name, kind: dns.rdatatype.RdataType) -> _Answers | None:
        """The nearest zone at or above `name`; of a DS record, the one above (RFC 4035, 3.1.4.1)."""
        import dns.name
        import dns.rdatatype

        here = name.parent() if kind == dns.rdatatype.DS and name in self._zones else name
        while here not in self._zones and here != dns.name.root:
            here = here.parent()
        return self._zones.get(here)


class _Answers:
    """One zone, as it is asked."""

    def __init__(self, served: Served) -> None:
        self._zone: Zone = served.zone
        self._transfer = served.transfer
        self._names = sorted(self._zone.nodes)
        self._exist = {
            name.split(depth)[1] for name in self._names for depth in range(len(self.origin), len(name) + 1)
        }
        """Names that have records, and those between them and the zone's own."""

    @property
    def origin(self) -> Name:
        """The name of the zone."""
        assert self._zone.origin is not None  # noqa: S101 - every zone is made with one
        return self._zone.origin

    def answer(self, response: dns.message.Message, asks: _Asks) -> bool:
        """Fill in what the zone says; False when it refuses."""
        import dns.rcode
        import dns.rdatatype

        if asks.kind in {dns.rdatatype.AXFR, dns.rdatatype.IXFR}:
            given = asks.stream and self._transfer and asks.name == self.origin
            response.answer += self._whole() if given else []
            return given
        if self._add(response.answer, asks.name, asks.kind, signed=asks.signed):
            return True
        self._add(response.authority, self.origin, dns.rdatatype.SOA, signed=asks.signed)
        absent = asks.name not in self._exist
        if absent:
            response.set_rcode(dns.rcode.NXDOMAIN)
        if asks.signed:
            self._deny(response, asks.name, absent=absent)
        return True

    def _add(
        self, section: list[dns.rrset.RRset], name: Name, kind: dns.rdatatype.RdataType, *, signed: bool
    ) -> bool:
        """Add the records of `kind` at `name`, with their signatures; whether there are any."""
        import dns.rdatatype

        found = self._zone.get_rrset(name, kind)
        if found is None:
            return False
        if found not in section:
            section.append(found)
            signature = self._zone.get_rrset(name, dns.rdatatype.RRSIG, kind) if signed else None
            section += [signature] if signature else []
        return True

    def _deny(self, response: dns.message.Message, name: Name, *, absent: bool) -> None:
        """Prove that there is no such record, or no such name and no wildcard for it (RFC 4035, 3.1.3)."""
        import dns.name
        import dns.rdatatype

        denied = [name]
        if absent:
            encloser = name.parent()
            while encloser not in self._exist:
                encloser = encloser.parent()
            denied.append(dns.name.Name((b"*", *encloser.labels)))
        for one in denied:
            before = self._names[bisect_right(self._names, one) - 1]
            self._add(response.authority, before, dns.rdatatype.NSEC, signed=True)

    def _whole(self) -> list[dns.rrset.RRset]:
        """Everything, between two SOA records (RFC 5936, 2.2); one message holds it."""
        import dns.rdatatype
        import dns.rrset

        soa = self._zone.get_rrset(self.origin, dns.rdatatype.SOA)
        rest = [
            dns.rrset.from_rdata_list(name, rdataset.ttl, list(rdataset))
            for name, rdataset in self._zone.iterate_rdatasets()
            if rdataset.rdtype != dns.rdatatype.SOA
        ]
        return [one for one in (soa, *rest, soa) if one is not None]


class NameTalk(Talk):
    """The same over TCP, each message behind its length (RFC 7766)."""

    def __init__(self, server: NameServer) -> None:
        self._server = server
        self._buffer = b""

    def hear(self, data: bytes) -> bytes:
        """Answers every whole query that came."""
        self._buffer += data
        answer = b""
        while len(self._buffer) >= 2 and len(self._buffer) >= 2 + (size := _size(self._buffer)):
            query, self._buffer = self._buffer[2 : 2 + size], self._buffer[2 + size :]
            response = self._server.answer(query, stream=True)
            answer += struct.pack(">H", len(response)) + response if response else b""
            self.over = self.over or not response
        return answer


def _size(data: bytes) -> int:
    return int.from_bytes(data[:2], "big")
