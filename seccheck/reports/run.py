"""A finished run folder, as reports read it: inputs whole, results and journal line by line.

`results.json` is never held in memory. One pass remembers where each system's line stands; a page reads its
own line again. The same holds for the observations in the journal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec

from seccheck.errors import UNREADABLE, InputError, SeccheckError
from seccheck.lines import Lines, damaged, without
from seccheck.model import Record, digest_bytes

T = TypeVar("T")
SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""What may become a file name; ids of units, systems and criteria all match."""


class Name(Record):
    """A text in both languages."""

    vi: str = ""
    en: str = ""

    def get(self, language: str) -> str:
        """The text in `language`, or in the other one where it is missing."""
        return (self.vi or self.en) if language == "vi" else (self.en or self.vi)


class UnitEntry(Record):
    """A body that reports."""

    id: str
    kind: str = "other"
    name: Name = Name()
    contact: str | None = None


class TargetEntry(Record):
    """A service of a system."""

    id: str
    host: str | None = None
    address: str | None = None
    port: int | None = None
    service: str | None = None

    @property
    def place(self) -> str:
        """`https portal.example:443`, as people say it."""
        host = self.host or self.address or ""
        host = f"[{host}]" if ":" in host else host
        return f"{self.service or ''} {host}:{self.port}".strip() if self.port else host


class DocumentEntry(Record):
    """A document that answers what no probe can see."""

    file: str = ""
    issued: str | None = None
    issuer: str | None = None
    states: str = "met"


class SystemEntry(Record):
    """A system as the registry declares it."""

    id: str
    unit: str = ""
    name: Name = Name()
    level: int = 0
    zone: str = ""
    targets: tuple[TargetEntry, ...] = ()
    contact: str | None = None
    operated_by: str | None = None
    evidence: dict[str, DocumentEntry] = {}
    line: int = 0
    """Where it stands in the registry file."""


class Registry(Record):
    """`inputs/registry.json`."""

    name: Name = Name()
    language: str = "vi"
    unit_list: str | None = None
    units: tuple[UnitEntry, ...] = ()
    systems: tuple[SystemEntry, ...] = ()
    file: str = "registry.yaml"
    """The registry file as it was named."""


class BasisEntry(Record):
    """The clause a criterion rests on."""

    kind: str
    source: str
    clause: str = ""
    note: Any = ""

    def remark(self, language: str) -> str:
        """Its note; some are in both languages, some in one."""
        if isinstance(self.note, dict):
            return str(self.note.get(language) or "")
        return self.note or ""


class SourceEntry(Record):
    """A document that clauses are cited from."""

    title: Name = Name()
    number: str = ""


class CriterionEntry(Record):
    """One criterion of `inputs/criteria.json`."""

    id: str
    group: str = ""
    statement: Name = Name()
    rationale: Name = Name()
    remedy: dict[str, str] = {}
    basis: tuple[BasisEntry, ...] = ()
    comparable: tuple[str, ...] = ()
    severity: str = "medium"
    from_level: int = 1
    parameters: dict[str, Any] = {}
    weight: str = "counted"
    counted: bool | None = None
    advised_because: str | None = None
    effective_from: str | None = None
    grace_until: str | None = None
    evidence_months: Any = None

    @property
    def advised(self) -> bool:
        """Whether it is judged and shown without entering the tally."""
        return self.weight != "counted" if self.counted is None else not self.counted

    def at_level(self, level: int) -> dict[str, str]:
        """Its parameters for a system of `level`."""
        return {name: _text(_at_level(value, level)) for name, value in self.parameters.items()}

    def said(self, language: str, level: int = 0) -> str:
        """The statement with its parameters in place; without a level, every value they take."""
        return self.filled(self.statement.get(language), level)

    def filled(self, text: str, level: int = 0) -> str:
        """`text` with the parameters in place; without a level, every value they take."""
        for name, value in self.parameters.items():
            levels = [level] if level else range(1, 6)
            shown = "/".join(dict.fromkeys(_text(_at_level(value, at)) for at in levels))
            text = text.replace(f"{{{name}}}", shown)
        return text

    def months(self, level: int) -> int | None:
        """How many months a document answers it for a system of `level`."""
        months = self.evidence_months
        if isinstance(months, dict) and "parameter" in months:
            months = self.parameters.get(months["parameter"])
        months = _at_level(months, level)
        return months if isinstance(months, int) else None


def _text(value: Any) -> str:
    """The value of a parameter as it stands in a sentence."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _at_level(value: Any, level: int) -> Any:
    """The value at `level` of a map by level (the entry at or below it), or the value itself."""
    if not isinstance(value, dict):
        return value
    levels = sorted(int(at) for at in value)
    at = max((one for one in levels if one <= level), default=levels[0])
    return value.get(str(at), value.get(at))


class SetEntry(Record):
    """Which set of criteria was applied."""

    id: str = ""
    version: str = ""
    name: Name = Name()


class Criteria(Record):
    """`inputs/criteria.json`."""

    set: SetEntry = SetEntry()
    profile: str = ""
    criteria: tuple[CriterionEntry, ...] = ()
    sources: dict[str, SourceEntry] = {}


class Selection(Record):
    """What the run was narrowed to."""

    profile: str = ""
    systems: int = 0
    systems_of: int = 0
    criteria: int = 0
    of: int = 0

    @property
    def narrowed(self) -> bool:
        """Whether fewer criteria were applied than the set has."""
        return self.criteria < self.of

    @property
    def partial(self) -> bool:
        """Whether fewer systems were looked at than are registered."""
        return self.systems < self.systems_of


class ScanCriteria(Record):
    """The criteria a scan names in its results."""

    set: str = ""
    version: str = ""
    profile: str = ""
    digest: str = ""


class ScanRegistry(Record):
    """The registry a scan names in its results."""

    digest: str = ""


class Scan(Record):
    """What a run says about itself."""

    id: str
    started: str = ""
    finished: str = ""
    seccheck: str = ""
    command: str | None = None
    demonstration: bool = False
    zone: str = ""
    criteria: ScanCriteria = ScanCriteria()
    selection: Selection = Selection()
    registry: ScanRegistry = ScanRegistry()
    reference: Any = None


class RunInfo(Record):
    """`inputs/run.json`, as far as reports need it."""

    reporting: tuple[str, ...] = ()
    """The units that have registered systems, whether or not this run looked at them."""


class Summary(Record):
    """`summary.json`: everything of the results but the systems."""

    scan: Scan
    tally: dict[str, Any] = {}


class Evidence(Record):
    """What was expected of one fact, and what was seen."""

    fact: str = ""
    operator: str = ""
    expected: str = ""
    observed: str = ""
    verdict: str = ""


class WaiverNote(Record):
    """Why somebody with the right to do so accepts a finding for a while."""

    reason: str = ""
    ticket: str | None = None
    approved_by: str = ""
    until: str | None = None


class Finding(Record):
    """What one criterion came to for one target."""

    criterion: str
    target: str | None = None
    verdict: str
    observed_verdict: str = ""
    reason: str | None = None
    severity: str = "medium"
    counted: bool = True
    decided_by: str = "probe"
    evidence: tuple[Evidence, ...] = ()
    evidence_omitted: int = 0
    detail: str = ""
    observations: tuple[str, ...] = ()
    waiver: WaiverNote | None = None
    fingerprint: str = ""


class SystemResult(Record):
    """One line of `results.json`: a system and all its findings."""

    id: str
    unit: str
    level: int
    status: str
    findings: tuple[Finding, ...]


class FindingHead(Record):
    """As much of a finding as counting needs; the rest is skipped unread."""

    criterion: str
    verdict: str
    target: str | None = None
    counted: bool = True
    reason: str | None = None


class SystemHead(Record):
    """As much of a system's line as counting needs."""

    id: str
    unit: str
    level: int
    status: str
    findings: tuple[FindingHead, ...]


class Place(Record):
    """Where an observation looked."""

    host: str = ""
    address: str = ""
    port: int = 0
    service: str = ""


class Seen(Record):
    """When and where an observation was made, and why it failed, without its facts."""

    probe: str
    endpoint: Place = Place()
    started: str = ""
    finished: str = ""
    failed: str | None = None
    detail: str = ""
    connections: int = 0


class _JournalLine(Record):
    digest: str
    observation: Seen


class _JournalKey(Record):
    digest: str


class RunFolder:
    """One run folder, opened for reading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not (path / "summary.json").is_file():
            raise SeccheckError(
                f"{path} is not a finished run folder: it has no summary.json",
                next_step="name the folder of a finished run, or finish it with `seccheck scan --resume`",
            )
        summary = self._read("summary.json", Summary)
        self.scan, self.tally = summary.scan, summary.tally

    @cached_property
    def registry(self) -> Registry:
        """The registry as the run used it, with all its systems in memory."""
        return self._read("inputs/registry.json", Registry)

    @cached_property
    def registry_head(self) -> Registry:
        """The registry as the run used it, without its systems."""
        path = self.path / "inputs/registry.json"
        return self._decoded(msgspec.json.Decoder(Registry), without(path, "systems"), path)

    @cached_property
    def declared(self) -> Lines[SystemEntry]:
        """The systems as the registry declares them, one at a time."""
        path = self.path / "inputs/registry.json"
        return Lines(path, "systems", msgspec.json.Decoder(SystemEntry).decode)

    @cached_property
    def results(self) -> Lines[SystemResult]:
        """The systems with their findings, where they stand in `results.json`."""
        return Lines(self.path / "results.json", "systems", msgspec.json.Decoder(SystemResult).decode)

    @cached_property
    def criteria(self) -> Criteria:
        """The criteria as the run used them."""
        criteria = self._read("inputs/criteria.json", Criteria)
        for criterion in criteria.criteria:
            check_id(criterion.id, self.path / "inputs/criteria.json")
        return criteria

    @cached_property
    def reporting(self) -> frozenset[str]:
        """The units that have registered systems, whether or not this run looked at them."""
        if not (self.path / "inputs/run.json").is_file():
            return frozenset()
        return frozenset(self._read("inputs/run.json", RunInfo).reporting)

    @cached_property
    def results_digest(self) -> str:
        """SHA-256 of `results.json`, as `sha256:<64 hex digits>`."""
        import hashlib

        with (self.path / "results.json").open("rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Where each system's line stands in `results.json`, and the line itself.

        Raises `InputError` when the file does not have one system per line, or lacks its end.
        """
        path = self.path / "results.json"
        with path.open("rb") as file:
            first = file.readline()
            if b'"systems":[]' in first:
                return
            if not first.rstrip().endswith(b'"systems":['):
                raise InputError.at(
                    path,
                    "expected one system per line, as seccheck writes it",
                    hint="write it again with `seccheck rejudge`",
                )
            offset = len(first)
            for line in file:
                if line.startswith(b"]"):
                    return
                yield offset, line
                offset += len(line)
        raise InputError.at(path, "ends too early: systems are missing", hint="restore it from a copy")

    def heads(self) -> Iterator[tuple[int, int, SystemHead]]:
        """Every system, without its evidence: offset and length of its line, and its head."""
        decoder = msgspec.json.Decoder(SystemHead)
        for offset, line in self.lines():
            head = self._decoded(decoder, line)
            check_id(head.id, self.path / "results.json")
            yield offset, len(line), head

    def systems(self) -> Iterator[SystemResult]:
        """Every system with all its findings, one at a time."""
        decoder = msgspec.json.Decoder(SystemResult)
        for _, line in self.lines():
            yield self._decoded(decoder, line)

    def _decoded(self, decoder: msgspec.json.Decoder[T], line: bytes, path: Path | None = None) -> T:
        try:
            return decoder.decode(line.rstrip(b",\r\n"))
        except UNREADABLE as error:
            raise InputError.at(
                path or self.path / "results.json",
                f"damaged: {error}",
                hint="write it again with `seccheck rejudge`",
            ) from None

    def reader(self) -> Reader:
        """A reader of single systems and observations; one for each process."""
        return Reader(self)

    @cached_property
    def journal_index(self) -> dict[bytes, int]:
        """Where each observation stands in the journal, by the first 16 bytes of its digest."""
        index: dict[bytes, int] = {}
        path = self.path / "journal.jsonl"
        if not path.is_file():
            return index
        decoder = msgspec.json.Decoder(_JournalKey)
        offset = 0
        with path.open("rb") as file:
            for line in file:
                try:
                    if line.startswith(b'{"digest":"sha256:'):
                        index[bytes.fromhex(line[18:50].decode())] = offset
                    elif b'"observation"' in line:
                        index[key_of(decoder.decode(line).digest)] = offset
                except (*UNREADABLE, ValueError) as error:
                    raise damaged(path, str(error)) from None
                offset += len(line)
        return index

    def _read(self, name: str, kind: type[T]) -> T:
        path = self.path / name
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError:
            raise SeccheckError(f"{path} is missing", next_step="name the folder of a finished run") from None
        except UNREADABLE as error:
            raise InputError.at(path, str(error), hint="the file is damaged or of another version") from error


class Reader:
    """Reads single systems and observations at their places."""

    def __init__(self, run: RunFolder) -> None:
        self._results: IO[bytes] = (run.path / "results.json").open("rb")
        journal = run.path / "journal.jsonl"
        self._index = run.journal_index
        self._journal: IO[bytes] | None = journal.open("rb") if journal.is_file() else None
        self._system = msgspec.json.Decoder(SystemResult)
        self._line = msgspec.json.Decoder(_JournalLine)

    def system(self, offset: int, length: int) -> SystemResult:
        """The system whose line stands at `offset`."""
        self._results.seek(offset)
        return self._system.decode(self._results.read(length).rstrip(b",\r\n"))

    def observation(self, digest: str) -> Seen | None:
        """The observation with this digest, or None when the journal has it not."""
        offset = self._index.get(key_of(digest))
        if offset is None or self._journal is None:
            return None
        self._journal.seek(offset)
        return self._line.decode(self._journal.readline()).observation

    def close(self) -> None:
        """Close both files."""
        self._results.close()
        if self._journal:
            self._journal.close()


def key_of(digest: str) -> bytes:
    """The first 16 bytes of a digest; of another text, of its own digest."""
    text = digest if digest.startswith("sha256:") else digest_bytes(digest.encode())
    try:
        return bytes.fromhex(text[7:39])
    except ValueError:
        return bytes.fromhex(digest_bytes(digest.encode())[7:39])


def check_id(name: str, path: Path) -> None:
    """Raise `InputError` for an id that must not become a file name."""
    if not SAFE_ID.fullmatch(name):
        raise InputError.at(
            path, f"expected an id of letters, digits, dot, dash and underscore, found {name!r:.80}"
        )
