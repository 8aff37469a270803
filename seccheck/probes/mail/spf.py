"""SPF records, followed as a receiver would, but for what hangs on one sender's address (RFC 7208)."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal

import dns.name

from seccheck.model import safe_text
from seccheck.probes import ProbeFailed
from seccheck.probes.mail.facts import Spf
from seccheck.resolve import Stub, name_of, texts_at

Ending = Literal["-all", "~all", "?all", "+all", "none", ""]
MOST_LOOKUPS = 10
"""Of terms that ask the domain name system (RFC 7208, 4.6.4)."""
_TERM = re.compile(r"([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?:(:|(?=/))(\S*))?", re.IGNORECASE)
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9._-]*)=(\S*)")
_HARMLESS = {"ptr", "macro"}
"""Problems that leave the record valid: discouraged, or not to be followed without a sender."""


def read_spf(stub: Stub, domain: dns.name.Name) -> Spf:
    """The SPF record of `domain`; raises `ProbeFailed` when the resolvers can't tell all it refers to."""
    found = _records(stub, domain)
    if not found:
        return Spf()
    if len(found) > 1:
        return Spf(present=True, record=safe_text(found[0], 512), problems=("several-records",))
    walk = _Walk(stub)
    ending = walk.follow(found[0])
    problems = tuple(dict.fromkeys(walk.problems))
    return Spf(
        present=True,
        valid=not set(problems) - _HARMLESS,
        record=safe_text(found[0], 512),
        ending=ending,
        lookups=walk.lookups,
        problems=problems,
    )


def _records(stub: Stub, domain: dns.name.Name) -> list[str]:
    return [text for text in texts_at(stub, domain) if re.match(r"v=spf1(?: |$)", text, re.IGNORECASE)]


def _is_network(name: str, argument: str) -> bool:
    try:
        return name == f"ip{ipaddress.ip_network(argument, strict=False).version}"
    except ValueError:
        return False


class _Walk:
    """Counts lookups and gathers problems over a record and those it includes."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self.lookups = 0
        self.problems: list[str] = []

    def follow(self, record: str) -> Ending:
        """What `record` says of everybody else, once its terms are looked at in order."""
        redirect = ""
        for term in record.split(" ")[1:]:
            mechanism = _TERM.fullmatch(term)
            modifier = _MODIFIER.fullmatch(term)
            if mechanism:
                qualifier, name, _, argument = mechanism.groups()
                if name.lower() == "all":
                    return self._all(qualifier, argument)
                self._mechanism(name.lower(), argument or "")
            elif modifier:
                if modifier[1].lower() == "redirect":
                    redirect = modifier[2]
            elif term:
                self.problems.append("syntax")
        return self._elsewhere(redirect, "redirect") if redirect else "none"

    def _all(self, qualifier: str, argument: str | None) -> Ending:
        if argument is not None:
            self.problems.append("syntax")
        endings: dict[str, Ending] = {"-": "-all", "~": "~all", "?": "?all"}
        return endings.get(qualifier, "+all")

    def _mechanism(self, name: str, argument: str) -> None:
        if name in {"ip4", "ip6"}:
            if not _is_network(name, argument):
                self.problems.append("syntax")
            return
        if name == "include":
            self._elsewhere(argument, "include")
            return
        if name == "ptr":
            self.problems.append("ptr")
        elif name == "exists" and not argument:
            self.problems.append("syntax")
        self._count()

    def _count(self) -> bool:
        """Count one lookup; whether there is room for it."""
        self.lookups += 1
        if self.lookups > MOST_LOOKUPS:
            self.problems.append("too-many-lookups")
        return self.lookups <= MOST_LOOKUPS

    def _elsewhere(self, target: str, kind: str) -> Ending:
        """Go on at another domain's record."""
        if not self._count():
            return ""
        if "%" in target:
            self.problems.append("macro")
            return ""
        try:
            domain = name_of(target)
        except ProbeFailed:
            domain = None
        if not target or domain is None:
            self.problems.append("syntax")
            return ""
        found = _records(self._stub, domain)
        if len(found) != 1:
            self.problems.append(f"{kind}-without-record" if not found else "several-records")
            return ""
        return self.follow(found[0])
