"""The chain of trust from an anchor down to a name, walked and checked by ourselves (RFC 4035, RFC 5155).

The resolvers only fetch: what they think of a signature is not asked, so it does not matter whether one
validates, or would hide what it finds wrong.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator

import dns.dnssec
import dns.dnssectypes
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.zonefile
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.ANY.DS import DS
from dns.rdtypes.ANY.NSEC import NSEC
from dns.rdtypes.ANY.NSEC3 import NSEC3

from seccheck.model import Reason, safe_text
from seccheck.probes import ProbeFailed
from seccheck.probes.dns.facts import Dnssec
from seccheck.resolve import Stub

ROOT_ANCHORS = """
. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
. IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16
"""
"""The keys of the public root: KSK-2017 and KSK-2024 (IANA root-anchors.xml)."""
_ALGORITHMS = {5, 7, 8, 10, 13, 14, 15, 16}
_DIGESTS = {1, 2, 4}
_MOST_ITERATIONS = 150
"""More rounds of NSEC3 count as unsigned, as with the validators in use (RFC 9276, 3.2)."""
_MOST_KEYS = 24
_MOST_SIGNATURES = 8
_ZONE_KEY = 0x0100
_OPT_OUT = 0x01

Name = dns.name.Name
Keys = dns.rrset.RRset


class Bogus(Exception):  # noqa: N818
    """Something that should validate does not."""


class Stripped(ProbeFailed):
    """The resolver keeps DNSSEC records from us, so that their absence says nothing."""


class Insecure(Exception):  # noqa: N818
    """The chain ends, as its last secure zone says: nothing below is signed, or not so that one can check."""


def dnssec_status(stub: Stub, name: Name, anchors: str, now: float) -> Dnssec:
    """Whether what stands at `name` is signed from a trust anchor down.

    Raises `ProbeFailed` when the resolvers don't give what is needed, or no anchor covers a signed zone.
    """
    zone = zone_of(stub, name)
    keys = _answer(_ask(stub, zone, "DNSKEY"), zone, dns.rdatatype.DNSKEY)
    algorithms = sorted({_algorithm(key) for key in keys or ()})

    def told(status: str, detail: str) -> Dnssec:
        return Dnssec(
            status=status,  # type: ignore[arg-type]
            signed=keys is not None,
            zone=zone.to_text(),
            detail=safe_text(detail, 500),
            algorithms=tuple(algorithms),
        )

    try:
        _Chain(stub, anchors, now).check(name, zone)
    except Bogus as bogus:
        return told("bogus", str(bogus))
    except Insecure as insecure:
        return told("insecure", str(insecure))
    except Stripped:
        raise
    except ProbeFailed:
        if keys is None:  # however the chain would end: without keys nothing validates
            return told("insecure", "the zone has no DNSKEY")
        raise
    return told("secure", "")


def zone_of(stub: Stub, name: Name) -> Name:
    """The zone that holds `name`: the owner of the SOA that is given for it."""
    message = _ask(stub, name, "SOA")
    alias = _answer(message, name, dns.rdatatype.CNAME)  # then the SOA given is that of its target
    for rrset in () if alias else (*message.answer, *message.authority):
        if rrset.rdtype == dns.rdatatype.SOA and name.is_subdomain(rrset.name):
            return rrset.name
    if name == dns.name.root:
        raise ProbeFailed(Reason.RESOLVER, "the resolver gives no SOA record")
    return zone_of(stub, name.parent())


def _ask(stub: Stub, name: Name, kind: str) -> dns.message.QueryMessage:
    return stub.message(name, dns.rdatatype.from_text(kind), dnssec=True)


def _answer(message: dns.message.Message, name: Name, kind: int) -> dns.rrset.RRset | None:
    return next((rrset for rrset in message.answer if (rrset.name, rrset.rdtype) == (name, kind)), None)


def _algorithm(key: dns.rdata.Rdata) -> str:
    try:
        return dns.dnssec.algorithm_to_text(key.algorithm)  # type: ignore[attr-defined]
    except ValueError:
        return "unknown"


class _Chain:
    """Walks from the nearest anchor above a name down to its zone."""

    def __init__(self, stub: Stub, anchors: str, now: float) -> None:
        self._stub = stub
        self._now = now
        try:
            self._anchors = dns.zonefile.read_rrsets(
                anchors.strip() or ROOT_ANCHORS, default_ttl=0, rdclass=None, rdtype=None
            )
        except (dns.exception.DNSException, ValueError) as error:
            raise ProbeFailed(Reason.NO_DATA, f"the trust anchor cannot be read: {error}") from None

    def check(self, name: Name, zone: Name) -> None:
        """Return when `name` is secure; raises `Bogus` or `Insecure`."""
        here, keys = self._start(zone)
        for depth in range(len(here) + 1, len(zone) + 1):
            child = zone.split(depth)[1]
            secured = self._below(here, keys, child)
            if secured is not None:
                here, keys = child, secured
        if here != zone:
            raise Bogus(f"{zone} is a zone of its own, but {here} denies that it is delegated")
        self._check_data(name, zone, keys)

    def _start(self, zone: Name) -> tuple[Name, Keys]:
        """The nearest anchored zone at or above `zone`, and its keys."""
        owners = {rrset.name for rrset in self._anchors if zone.is_subdomain(rrset.name)}
        if not owners:
            raise ProbeFailed(Reason.NO_DATA, f"no trust anchor covers {zone}")
        owner = max(owners, key=len)
        trusted = [rdata for rrset in self._anchors if rrset.name == owner for rdata in rrset]
        message = _ask(self._stub, owner, "DNSKEY")
        keys = _answer(message, owner, dns.rdatatype.DNSKEY)
        if keys is None:
            raise Stripped(Reason.RESOLVER, f"the resolver gives no keys of {owner}, a trust anchor")
        try:
            return owner, self._trusted_keys(message, keys, trusted)
        except (Bogus, Insecure) as problem:
            # Not the domain's fault: a resolver that strips signatures, our anchor, or our clock.
            raise ProbeFailed(Reason.RESOLVER, f"the trust anchor does not hold: {problem}") from None

    def _below(self, zone: Name, keys: Keys, child: Name) -> Keys | None:
        """The keys of `child` if it is a zone that `zone` vouches for; None if it is no zone of its own."""
        message = _ask(self._stub, child, "DS")
        ds = _answer(message, child, dns.rdatatype.DS)
        if ds is None:
            alias = _answer(message, child, dns.rdatatype.CNAME)
            if alias is not None:
                self._check_signed(message.answer, alias, zone, keys)
            elif self._is_unsigned_delegation(message, zone, keys, child):
                raise Insecure(f"{zone} says that {child} is not signed")
            return None
        self._check_signed(message.answer, ds, zone, keys)
        answer = _ask(self._stub, child, "DNSKEY")
        found = _answer(answer, child, dns.rdatatype.DNSKEY)
        if found is None:
            raise Bogus(f"{zone} has a DS record for {child}, which has no DNSKEY")
        return self._trusted_keys(answer, found, ds)

    def _trusted_keys(
        self, message: dns.message.Message, keys: Keys, trusted: Iterable[dns.rdata.Rdata]
    ) -> Keys:
        """`keys`, once a key that `trusted` (DS or DNSKEY records) names has signed them (RFC 4035, 5.2)."""
        wanted = list(trusted)
        usable = [
            one for one in wanted
            if one.algorithm in _ALGORITHMS and (not isinstance(one, DS) or one.digest_type in _DIGESTS)  # type: ignore[attr-defined]
        ]  # fmt: skip
        if not usable:
            raise Insecure(f"{keys.name} is signed with algorithms that we do not know")
        entry = [
            key for key in list(keys)[:_MOST_KEYS]
            if isinstance(key, DNSKEY)
            and key.flags & _ZONE_KEY
            and any(_names(one, keys.name, key) for one in usable)
        ]  # fmt: skip
        if not entry:
            raise Bogus(f"no key of {keys.name} is the one that the zone above names")
        self._check_signed(
            message.answer, keys, keys.name, dns.rrset.from_rdata_list(keys.name, keys.ttl, entry)
        )
        kept = [key for key in list(keys)[:_MOST_KEYS] if key.flags & _ZONE_KEY]
        return dns.rrset.from_rdata_list(keys.name, keys.ttl, kept)

    def _check_signed(
        self, section: list[dns.rrset.RRset], rrset: dns.rrset.RRset, zone: Name, keys: Keys
    ) -> None:
        """Return when a signature of `zone` over `rrset` is good; raises `Bogus`."""
        about = f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)}"
        signatures = [
            signature
            for other in section
            if (other.name, other.rdtype, other.covers) == (rrset.name, dns.rdatatype.RRSIG, rrset.rdtype)
            for signature in other
            if signature.signer == zone
        ]
        said = "no signature"
        for signature in signatures[:_MOST_SIGNATURES]:
            try:
                dns.dnssec.validate_rrsig(rrset, signature, {zone: keys}, now=self._now)
            except (dns.exception.DNSException, ValueError) as error:
                said = str(error) or type(error).__name__
            else:
                return
        raise Bogus(f"{about}: {said}")

    def _check_data(self, name: Name, zone: Name, keys: Keys) -> None:
        """Return when the SOA record and what addresses the name has are signed by its zone."""
        soa = _ask(self._stub, zone, "SOA")
        found = _answer(soa, zone, dns.rdatatype.SOA)
        if found is None:
            raise Bogus(f"{zone} has no SOA record")
        self._check_signed(soa.answer, found, zone, keys)
        for kind in ("A", "AAAA"):
            message = _ask(self._stub, name, kind)
            for rrset in message.answer:
                if rrset.name == name and rrset.rdtype != dns.rdatatype.RRSIG:
                    self._check_signed(message.answer, rrset, zone, keys)

    # --- proofs of absence

    def _is_unsigned_delegation(
        self, message: dns.message.Message, zone: Name, keys: Keys, child: Name
    ) -> bool:
        """Whether `zone` proves that `child` is delegated without DS; False: that it is not delegated."""
        plain = list(self._proven(message, zone, keys, dns.rdatatype.NSEC))
        if plain:
            return _nsec_says_unsigned(plain, child)
        hashed = list(self._proven(message, zone, keys, dns.rdatatype.NSEC3))
        if hashed:
            return _nsec3_says_unsigned(hashed, zone, child)
        raise Bogus(f"no proof that {zone} has no DS record for {child}")

    def _proven(
        self, message: dns.message.Message, zone: Name, keys: Keys, kind: dns.rdatatype.RdataType
    ) -> Iterator[tuple[Name, dns.rdata.Rdata]]:
        for rrset in message.authority:
            if rrset.rdtype == kind and rrset.name.is_subdomain(zone):
                self._check_signed(message.authority, rrset, zone, keys)
                yield rrset.name, rrset[0]


def _names(trusted: dns.rdata.Rdata, owner: Name, key: DNSKEY) -> bool:
    """Whether a trust anchor or DS record stands for `key`."""
    if isinstance(trusted, DNSKEY):
        return (trusted.algorithm, trusted.key) == (key.algorithm, key.key)
    if not isinstance(trusted, DS) or (trusted.algorithm, trusted.key_tag) != (
        key.algorithm,
        dns.dnssec.key_id(key),
    ):
        return False
    try:
        return bool(dns.dnssec.make_ds(owner, key, trusted.digest_type, validating=True) == trusted)
    except (dns.exception.DNSException, ValueError):
        return False


def _has(record: NSEC | NSEC3, kind: int) -> bool:
    """Whether the bitmap of an NSEC or NSEC3 record names a type."""
    window, bit = divmod(kind, 256)
    return any(
        number == window and bit // 8 < len(bits) and bool(bits[bit // 8] & (0x80 >> bit % 8))
        for number, bits in record.windows
    )


def _unsigned_here(record: NSEC | NSEC3, child: Name) -> bool:
    """What the record at `child` itself says: delegated without DS, or not delegated."""
    if _has(record, dns.rdatatype.DS):
        raise Bogus(f"the DS record of {child} is withheld")
    return _has(record, dns.rdatatype.NS) and not _has(record, dns.rdatatype.SOA)


def _nsec_says_unsigned(proofs: list[tuple[Name, dns.rdata.Rdata]], child: Name) -> bool:
    for owner, record in proofs:
        assert isinstance(record, NSEC)  # noqa: S101
        if owner == child:
            return _unsigned_here(record, child)
        after = record.next
        inside = owner < child < after or (after <= owner and (owner < child or child < after))
        if inside:  # the name does not exist, or only has names below it: no delegation either way
            return False
    raise Bogus(f"the NSEC records given say nothing of {child}")


def _nsec3_says_unsigned(proofs: list[tuple[Name, dns.rdata.Rdata]], zone: Name, child: Name) -> bool:
    records = {_hash_of(owner.labels[0].decode("ascii", "replace")): record for owner, record in proofs}
    first = proofs[0][1]
    assert isinstance(first, NSEC3)  # noqa: S101
    if first.iterations > _MOST_ITERATIONS:
        raise Insecure(f"{zone} uses NSEC3 with {first.iterations} iterations")

    def digest(name: Name) -> bytes:
        return _hash_of(dns.dnssec.nsec3_hash(name, first.salt, first.iterations, first.algorithm))

    exact = records.get(digest(child))
    if isinstance(exact, NSEC3):
        return _unsigned_here(exact, child)
    next_closer = child
    while len(next_closer) > len(zone):
        if digest(next_closer.parent()) in records:  # the closest encloser (RFC 5155, 8.3)
            wanted = digest(next_closer)
            for owner, record in records.items():
                if isinstance(record, NSEC3) and _between(owner, wanted, record.next):
                    return bool(record.flags & _OPT_OUT)
        next_closer = next_closer.parent()
    raise Bogus(f"the NSEC3 records given say nothing of {child}")


def _hash_of(label: str) -> bytes:
    try:
        return base64.b32hexdecode(label, casefold=True)
    except ValueError:
        return b""


def _between(owner: bytes, wanted: bytes, after: bytes) -> bool:
    return owner < wanted < after or (after <= owner and (owner < wanted or wanted < after))
