"""What is true of a server, written by hand from RFCs and from how the criteria are read; not from a scan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

PASS, FAIL, OPEN = "pass", "fail", "inconclusive"
PASS_OR_OPEN, FAIL_OR_OPEN, ANY = "pass or open", "fail or open", "any"
DOMAIN = ("DNS-02", "DNS-03", "DNS-04", "DNS-05", "MAI-01", "MAI-02")
ALLOWED = {
    PASS: {PASS},
    FAIL: {FAIL},
    OPEN: {OPEN},
    PASS_OR_OPEN: {PASS, OPEN},
    FAIL_OR_OPEN: {FAIL, OPEN},
    ANY: {PASS, FAIL, OPEN},
}

TLS_TOO = {
    "https", "tls", "smtps", "imaps", "pop3s", "ftps", "ldaps",
    "smtp", "submission", "imap", "pop3", "ftp", "ldap", "postgresql", "mysql",
}  # fmt: skip
MAIL = {"smtp", "smtps", "submission", "imap", "imaps", "pop3", "pop3s"}
_TLS = ("TLS-03", "TLS-04", "TLS-05", "TLS-06", "TLS-07", "TLS-09", "TLS-10")
_CRT = ("CRT-01", "CRT-02", "CRT-03", "CRT-04", "CRT-05", "CRT-06")
_WEB = (
    *("WEB-01", "WEB-02", "WEB-03", "WEB-04", "WEB-05", "WEB-06", "WEB-07", "WEB-08", "WEB-09", "WEB-10"),
    *("ADM-04", "DAT-01"),
)
_NET = ("NET-01", "NET-02", "NET-03", "NET-04", "NET-05", "NET-06", "ADM-01")
_FROM = {
    "TLS-04": 3, "TLS-06": 3, "TLS-08": 2, "TLS-09": 2, "CRT-06": 2, "WEB-01": 3, "WEB-09": 2, "WEB-10": 3,
    "PAT-03": 2, "PAT-04": 2, "ADM-01": 2, "ADM-03": 2, "NET-07": 2, "DNS-06": 2,
    "DNS-02": 2, "DNS-05": 2, "MAI-01": 2, "MAI-02": 3,
}  # fmt: skip
"""The lowest level for which a criterion is asked, where it is not 1."""
_USUAL = {"CRT-06": OPEN, "WEB-10": OPEN, "PAT-01": OPEN, "PAT-02": OPEN, "PAT-03": OPEN}
"""What is usual where nothing is stapled, no security.txt stands, no version is told."""
UNSEEN = {*_TLS, *_CRT}


@dataclass
class At:
    """One target, and what is true of it where that is not "pass" (or what is usual)."""

    host: str
    port: int
    service: str
    address: str = ""
    id: str = "t"
    fails: str = ""
    opens: str = ""
    """What can't be decided."""
    passes: str = ""
    unsure: str = ""
    """Decidable in principle, but a server that hides or flaps may keep it open: never wrong, though."""
    free: str = ""
    """Where this fleet has no opinion."""

    def written(self) -> dict[str, Any]:
        """As the registry says it."""
        entry = {"id": self.id, "host": self.host, "port": self.port, "service": self.service}
        return entry | ({"address": self.address} if self.address else {})


@dataclass
class Case:
    """One system of the fleet."""

    id: str
    targets: list[At]
    level: int = 3
    fails: str = ""
    opens: str = ""
    passes: str = ""
    unsure: str = ""
    free: str = ""
    """As in `At`, for the system as a whole, and for all its targets."""
    approved: dict[str, list[int]] = field(default_factory=dict)
    unit: str = "u"
    more: dict[str, Any] = field(default_factory=dict)
    """Further keys of the registry."""
    never: str = ""
    """What may fail or stay open, and never pass, whatever else is free."""

    def approve(self, ports: list[int]) -> None:
        """Approve `ports` besides those approved or declared, on every address."""
        for target in self.targets:
            place = target.address or target.host
            if place not in self.approved:
                own = [t.port for t in self.targets if place in {t.address, t.host}]
                self.approved[place] = own
        self.approved = {place: sorted({*own, *ports}) for place, own in self.approved.items()}

    def written(self) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "id": self.id,
            "unit": self.unit,
            "level": self.level,
            "name": {"en": self.id, "vi": self.id},
            "targets": [target.written() for target in self.targets],
        }
        if self.approved:
            entry["approved_ports"] = self.approved
        return entry | self.more

    def expected(self) -> dict[tuple[str, str | None], str]:
        """By criterion and target what must come out."""
        truth: dict[tuple[str, str | None], str] = {}
        for criterion in _NET if self.targets else ():
            if self.level >= _FROM.get(criterion, 1):
                truth[criterion, None] = self._said(criterion, PASS, self)
        for _ in self.more.get("domains", ())[:1]:
            for criterion in DOMAIN:
                if self.level >= _FROM.get(criterion, 1):
                    truth[criterion, None] = self._said(criterion, PASS, self)
        for target in self.targets:
            for criterion in self._asked(target):
                if self.level >= _FROM.get(criterion, 1):
                    usual = self._usual(criterion, target)
                    truth[criterion, target.id] = self._said(criterion, usual, self, target)
        return truth

    def _asked(self, target: At) -> Iterator[str]:
        https = {one.host for one in self.targets if one.service == "https"}
        alone = target.service == "http" and target.host not in https
        if target.service in {"https", "tls"} or alone:
            yield "TLS-01"
        if target.service == "http":
            yield "TLS-02"
        if target.service in TLS_TOO:
            yield from (*_TLS, *_CRT)
        if target.service == "https":
            yield "TLS-08"
        if target.service == "https" or alone:
            yield from _WEB
        if target.service == "ssh":
            yield from ("ADM-02", "ADM-03")
        if target.service in MAIL:
            yield "MAI-03"
        if target.service in {"imap", "imaps", "pop3", "pop3s"}:
            yield "MAI-04"
        yield from ("PAT-01", "PAT-02", "PAT-03")
        if target.service not in {"ssh", "dns"}:
            yield "PAT-04"

    def _usual(self, criterion: str, target: At) -> str:
        if criterion == "TLS-01" and target.service == "http":
            return FAIL
        return _USUAL.get(criterion, PASS)

    def _said(self, criterion: str, usual: str, *places: Any) -> str:
        said = usual
        for place in places:
            if _names(place.passes, criterion):
                said = PASS
            if _names(place.fails, criterion):
                said = FAIL
            if _names(place.opens, criterion):
                said = OPEN
            if _names(place.unsure, criterion):
                said = {PASS: PASS_OR_OPEN, FAIL: FAIL_OR_OPEN}.get(said, said)
            if _names(place.free, criterion):
                said = ANY
        for place in places:
            if _names(getattr(place, "never", ""), criterion):
                said = FAIL_OR_OPEN
        return said


def _names(text: str, criterion: str) -> bool:
    return any(
        word == criterion or (word[-1] == "*" and criterion.startswith(word[:-1])) for word in text.split()
    )


@dataclass
class Tally:
    """How a scan did against the truth."""

    counts: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)

    def compare(self, case: Case, system: dict[str, Any]) -> None:
        """Add every verdict about one system."""
        expected = case.expected()
        told = {(one["criterion"], one["target"]): one for one in system["findings"]}
        for place, truth in expected.items():
            found = told.pop(place, None)
            if found is None:
                self._note("missing", case, place, truth, {"verdict": "no finding", "reason": None})
                continue
            verdict = found["verdict"]
            self.counts["compared"] += truth != ANY
            self.counts["decidable"] += truth in {PASS, FAIL}
            if verdict in ALLOWED[truth]:
                self.counts["right"] += truth != ANY
            elif verdict == PASS:
                self._note("wrong pass", case, place, truth, found)
            elif verdict == FAIL:
                self._note("wrong fail", case, place, truth, found)
            elif verdict == OPEN:
                self._note("undecided", case, place, truth, found)
            else:
                self._note("out of place", case, place, truth, found)
        for place, found in told.items():
            if found["verdict"] != "not-applicable" and not place[0].startswith(
                ("DNS", "MAI-01", "MAI-02", "NET-07")
            ):
                self._note("out of place", case, place, "not asked", found)

    def _note(
        self, what: str, case: Case, place: tuple[str, str | None], truth: str, found: dict[str, Any]
    ) -> None:
        self.counts[what] += 1
        evidence = "; ".join(f"{one['fact']}={one['observed']}" for one in found.get("evidence", [])[:3])
        reason = found.get("reason") or ""
        self.lines.append(
            f"{what:12} {case.id:28} {place[0]} {place[1] or '-':8} truth {truth:12} "
            f"found {found['verdict']} {reason} [{evidence[:150]}]"
        )
