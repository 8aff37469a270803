"""The name server of the fleet: host names of its own zone, and nothing of anybody else's (RFC 1034)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import cached_property

from seccheck.demo.loop import Talk

ZONE = "seccheck-demo.gov.vn"
"""The zone of the demonstration; the fleet's own server alone knows it."""
_TTL = 60


class Zone:
    """Answers queries about `ZONE`: an A record and perhaps an AAAA record to each name."""

    def __init__(self, addresses: Mapping[str, Iterable[str]]) -> None:
        """Take the addresses of each host name."""
        self._addresses = {host: tuple(found) for host, found in addresses.items()}

    @cached_property
    def _between(self) -> set[str]:
        """Names that exist because names below them do."""
        labels = [host.split(".") for host in self._addresses]
        return {".".join(one[at:]) for one in labels for at in range(1, len(one))}

    def answer(self, query: bytes) -> bytes:
        """The response to one message; empty for what is no query."""
        import dns.exception
        import dns.flags
        import dns.message
        import dns.name
        import dns.rcode
        import dns.rdatatype
        import dns.rrset

        try:
            asked = dns.message.from_wire(query)
        except (dns.exception.DNSException, ValueError):
            return b""
        if asked.flags & dns.flags.QR or len(asked.question) != 1:
            return b""
        question = asked.question[0]
        host = question.name.to_text(omit_final_dot=True).lower()
        response = dns.message.make_response(asked, recursion_available=False)
        if host != ZONE and not host.endswith(f".{ZONE}"):
            response.set_rcode(dns.rcode.REFUSED)
            return response.to_wire()
        response.flags |= dns.flags.AA
        kind = dns.rdatatype.to_text(question.rdtype)
        records = self._records(host, kind)
        if records:
            response.answer.append(dns.rrset.from_text(question.name, _TTL, "IN", kind, *records))
        else:
            response.authority.append(dns.rrset.from_text(ZONE + ".", _TTL, "IN", "SOA", _SOA))
            if host not in self._addresses and host not in self._between:
                response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()

    def _records(self, host: str, kind: str) -> tuple[str, ...]:
        if host == ZONE:
            return {"SOA": (_SOA,), "NS": (f"ns.{ZONE}.",)}.get(kind, ())
        if kind not in {"A", "AAAA"}:
            return ()
        return tuple(one for one in self._addresses.get(host, ()) if (":" in one) == (kind == "AAAA"))


_SOA = f"ns.{ZONE}. soc.{ZONE}. 1 3600 600 86400 {_TTL}"


class ZoneTalk(Talk):
    """The same over TCP, each message behind its length (RFC 7766)."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._buffer = b""

    def hear(self, data: bytes) -> bytes:
        """Answers every whole query that came."""
        self._buffer += data
        answer = b""
        while len(self._buffer) >= 2 and len(self._buffer) >= 2 + (size := _size(self._buffer)):
            query, self._buffer = self._buffer[2 : 2 + size], self._buffer[2 + size :]
            response = self._zone.answer(query)
            answer += struct.pack(">H", len(response)) + response if response else b""
            self.over = self.over or not response
        return answer


def _size(data: bytes) -> int:
    return int.from_bytes(data[:2], "big")
