"""The offers of the recipe: what is sent, and what kind of question it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from seccheck.probes.tls import hello as h
from seccheck.probes.tls import suites
from seccheck.probes.tls.hello import Hello
from seccheck.probes.tls.talk import HelloTalk, PlainGet, Talk


class Kind(Enum):
    """What a refusal of the offer would mean."""

    VERSION = "version"
    """The version is off."""
    LIST = "list"
    """None of the suites, groups or keys is accepted."""
    NAMELESS = "nameless"
    """The server wants a name."""
    FALLBACK = "fallback"
    """RFC 7507 is honoured."""
    DEEP = "deep"
    """Nothing by itself: the talk goes past the hello."""


@dataclass(frozen=True)
class Offer:
    """One question to a server; equal keys are the same question."""

    key: str
    kind: Kind
    version: int
    talk: Callable[[], Talk] = field(compare=False, repr=False)
    sure: bool = False
    """Whether the hello must be accepted, because one like it was."""
    beside: tuple[int, ...] = ()
    """Groups that stand beside those asked for: a certificate cannot be used without its own curve."""


TLS12_LONG, TLS12_SHORT = "version TLSv1.2", "version TLSv1.2 short"
MODERN_CURVES = tuple(h.STRONG_CURVES)
TLS13_GROUPS = (
    *h.MLKEM_GROUPS,
    *(g for g in h.STRONG_CURVES if g not in {0x1A, 0x1B, 0x1C}),
    *h.FFDHE_GROUPS,
)
"""Groups of TLS 1.3. Brainpool curves have numbers of their own there (RFC 8734)."""
TLS12_GROUPS = (*(g for g in h.STRONG_CURVES if g <= 0x1E), *h.WEAK_CURVES)
"""Curves of TLS 1.2 and before, strong ones first. No ffdhe: RFC 7919 would hide a configured prime."""
_OLD_CURVES = (0x17, 0x18, 0x19, 0x1D, *range(1, 15), 0x13, 0x15, 0x16)


class Questions:
    """The offers to one server, under one name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def version(self, version: str) -> Offer:
        """Whether `version` is on, with everything it can be offered."""
        return self._raw(f"version {version}", Kind.VERSION, self._whole(version))

    def tls12_short(self) -> Offer:
        """TLS 1.2 again with few suites, for stacks that choke on the long hello."""
        hello = Hello(h.TLS12, suites.strong_tls12(), MODERN_CURVES, self.name)
        return self._raw(TLS12_SHORT, Kind.VERSION, hello)

    def suites(self, version: str, offered: Iterable[int]) -> Offer:
        """Whether any of the suites `offered` is accepted in `version`."""
        offered = tuple(offered)
        mark = f"{len(offered)} from {suites.name(offered[0])} {hash(offered) & 0xFFFFFFFF:08x}"
        number = h.NUMBERS[version]
        groups = () if number == h.SSL3 else TLS12_GROUPS
        name = "" if number == h.SSL3 else self.name
        return self._raw(f"suites {version} {mark}", Kind.LIST, Hello(number, offered, groups, name))

    def odd_exchange(self, version: str) -> Offer:
        """Whether finite-field DH or a weak curve is accepted: all such suites, and weak curves only."""
        offered = suites.ephemeral_dh(version) + suites.ephemeral_ec(version)
        hello = Hello(h.NUMBERS[version], offered, tuple(h.WEAK_CURVES), self.name)
        return self._raw(f"odd exchange {version}", Kind.LIST, hello)

    def finite_field(self, version: str) -> Offer:
        """Whether finite-field DH is accepted, and with which prime: no groups, no curves."""
        offered = suites.ephemeral_dh(version)
        name = "" if version == "SSLv3" else self.name
        return self._raw(f"finite field {version}", Kind.LIST, Hello(h.NUMBERS[version], offered, (), name))

    def curves(self, version: str, groups: Iterable[int], beside: tuple[int, ...] = ()) -> Offer:
        """Whether any of the curves `groups` is accepted in `version`, up to TLS 1.2.

        `beside`: the curve of an EC certificate, which must be offered as well (RFC 8422 5.1.1), but last.
        """
        groups = tuple(group for group in groups if group not in beside)
        offered = suites.ephemeral_ec(version)
        mark = " ".join(f"{group:x}" for group in groups) + "".join(f" +{group:x}" for group in beside)
        hello = Hello(h.NUMBERS[version], offered, groups + beside, self.name)
        return self._raw(f"curves {version} {mark}", Kind.LIST, hello, beside)

    def groups(self, groups: Iterable[int]) -> Offer:
        """Whether any of `groups` is accepted in TLS 1.3; the answer needs no key share."""
        groups = tuple(groups)
        mark = " ".join(f"{group:x}" for group in groups)
        hello = Hello(h.TLS13, tuple(suites.TLS13), groups, self.name)
        return self._raw(f"groups {mark}", Kind.LIST, hello)

    def nameless(self, version: str) -> Offer:
        """What is served without a host name."""
        hello = self._whole(version)
        return self._raw(
            f"no name {version}", Kind.NAMELESS, Hello(hello.version, hello.suites, hello.groups)
        )

    def other_key(self, version: str, key: str) -> Offer:
        """Whether a certificate with another kind of key than `key` is served as well."""
        offered = suites.other_key(version, key)
        hello = Hello(h.NUMBERS[version], offered, TLS12_GROUPS, self.name)
        return self._raw(f"other key {version} than {key}", Kind.LIST, hello)

    def fallback(self, version: str) -> Offer:
        """Whether a downgrade to `version` is noticed (RFC 7507)."""
        hello = self._whole(version)
        marked = Hello(hello.version, hello.suites, hello.groups, hello.name, fallback=True)
        return self._raw(f"fallback {version}", Kind.FALLBACK, marked)

    def deep(self, key: str, version: str, talk: Callable[[], Talk], *, sure: bool = False) -> Offer:
        """A talk that goes past the hello."""
        return Offer(key, Kind.DEEP, h.NUMBERS[version], talk, sure)

    def plain(self) -> Offer:
        """Whether the front page is served in clear."""
        return Offer("plain", Kind.DEEP, 0, lambda: PlainGet(self.name))

    def _whole(self, version: str) -> Hello:
        number = h.NUMBERS[version]
        match version:
            case "SSLv2":
                return Hello(number, tuple(suites.SSL2))
            case "SSLv3":
                return Hello(number, suites.old())
            case "TLSv1.2":
                return Hello(number, suites.all_tls12(), TLS12_GROUPS, self.name)
            case "TLSv1.3":
                return Hello(number, tuple(suites.TLS13), TLS13_GROUPS, self.name)
            case _:
                return Hello(number, suites.old(), _OLD_CURVES, self.name)

    def _raw(self, key: str, kind: Kind, hello: Hello, beside: tuple[int, ...] = ()) -> Offer:
        return Offer(key, kind, hello.version, lambda: HelloTalk(hello), beside=beside)
