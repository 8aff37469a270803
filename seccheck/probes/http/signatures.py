"""What should not be served, and by what content it is known: the table `signatures.yaml`, compiled."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from seccheck.probes.http.client import Answer

_TABLE = Path(__file__).with_name("signatures.yaml")
_TEXT_BYTES = 64 * 1024
FACTS = ("exposures", "listings", "debug_pages", "consoles", "devices")
"""The facts that the entries feed; stack traces are debug pages."""


@dataclass(frozen=True)
class Signature:
    """One thing to look for: on which paths, and by what it is known."""

    fact: str
    kind: str
    paths: tuple[str, ...]
    pattern: re.Pattern[bytes]
    tells: str
    """What the pattern finds, for the record."""
    header: str = ""
    """The header that bears the pattern; empty: the body."""

    def found_in(self, answer: Answer) -> bool:
        """Whether `answer` bears it. The path that was asked is taken out first: error pages repeat it."""
        if self.header:
            return any(self.pattern.search(value.encode("latin-1")) for value in answer.every(self.header))
        if answer.status not in self._statuses and self.kind != "stack-trace":
            return False
        path = answer.target.rstrip("/").encode()
        text = answer.content()[:_TEXT_BYTES]
        return bool(self.pattern.search(text.replace(path, b"") if path else text))

    @property
    def _statuses(self) -> set[int]:
        return {200, 206} if self.fact == "exposures" else {200, 401}


@dataclass(frozen=True)
class Table:
    """All signatures: those with paths of their own, and the two that are looked for by place."""

    by_path: tuple[Signature, ...]
    listing: Signature
    stack_trace: Signature


@cache
def table() -> Table:
    """The table that ships with seccheck."""
    groups = yaml.safe_load(_TABLE.read_bytes())
    made = {
        group: tuple(
            _signature("debug_pages" if group == "stack_traces" else group, entry) for entry in entries
        )
        for group, entries in groups.items()
    }
    (listing,), (stack_trace,) = made.pop("listings"), made.pop("stack_traces")
    return Table(tuple(one for group in made.values() for one in group), listing, stack_trace)


def _signature(fact: str, entry: dict[str, object]) -> Signature:
    matches = entry["matches"]
    patterns = matches if isinstance(matches, list) else [matches]
    flags = re.MULTILINE if fact == "exposures" else re.IGNORECASE | re.DOTALL
    paths = entry["paths"]
    header = str(entry.get("header", ""))
    return Signature(
        fact=fact,
        kind=str(entry["kind"]),
        paths=tuple(map(str, paths)) if isinstance(paths, list) else (),
        pattern=re.compile("|".join(f"(?:{pattern})" for pattern in patterns).encode(), flags),
        tells=str(entry.get("tells") or (f"the header {header}" if header else "the text of the page")),
        header=header,
    )
