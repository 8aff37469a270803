"""Bundles: a finished run folder in one signed file, which another organisation can verify and read.

A bundle is a zip file of two members, stored as they are: `envelope.json`, a DSSE envelope around an in-toto
statement (its subjects are `run.zip` and every file in it), and `run.zip`, the run folder. Every byte is
accounted for: the envelope by its signature and its one canonical form, `run.zip` by its digest, and the
outer file because it is written anew and compared.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, TypeVar

import msgspec

from seccheck.errors import UNREADABLE, InputError
from seccheck.faults import Fault, FaultError, fault
from seccheck.keys import PublicKey
from seccheck.model import Record, canonical, moment, timestamp
from seccheck.runfolder import MANIFEST
from seccheck.sealed import SealError, seal, unseal

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

T = TypeVar("T")
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE: Literal["https://in-toto.io/Statement/v1"] = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Literal["urn:seccheck:run:1"] = "urn:seccheck:run:1"
ENVELOPE, INNER = "envelope.json", "run.zip"
MAX_BYTES = 4 * 1024**3
"""Of a bundle, and of everything in it unpacked."""
MAX_FILES = 200_000
MAX_ENVELOPE = 64 * 1024**2
AHEAD = timedelta(days=1)
"""How far a unit's clock may be ahead of ours."""
_CHUNK = 1024**2
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,150}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,150}){0,7}")
_DATE = (1980, 1, 1, 0, 0, 0)


class Criteria(Record, forbid_unknown_fields=True):
    """What a run was judged by."""

    set: str
    version: str
    digest: str

    def __str__(self) -> str:
        return f"{self.set} {self.version} ({self.digest[7:19]})"


class Predicate(Record, forbid_unknown_fields=True):
    """What the signer states about the run."""

    run: str
    seccheck: str
    criteria: Criteria
    registry: str
    units: tuple[str, ...]
    """The units whose systems it holds."""
    observed: tuple[str, str]
    """When looking began and ended."""
    signed: str


class Digests(Record, forbid_unknown_fields=True):
    """The digest of one file."""

    sha256: str


class Subject(Record, forbid_unknown_fields=True):
    """One file, by name and digest."""

    name: str
    digest: Digests


class Statement(Record, forbid_unknown_fields=True):
    """An in-toto statement, version 1."""

    type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type", default=STATEMENT_TYPE)
    subject: tuple[Subject, ...]
    predicateType: Literal["urn:seccheck:run:1"] = PREDICATE_TYPE  # noqa: N815  (in-toto's name)
    predicate: Predicate


@dataclass(frozen=True)
class Verified:
    """What a bundle that verifies says, and who says it."""

    file: Path
    digest: str
    """SHA-256 of the whole bundle."""
    key: PublicKey
    says: Predicate
    files: Mapping[str, str]
    """Names and SHA-256 of the files of the run folder."""


# ---------------------------------------------------------------------------------------------- signing


class _ManifestFile(Record):
    name: str
    size: int
    sha256: str


class _Manifest(Record):
    run: str
    seccheck: str
    criteria: Criteria
    registry: str
    files: tuple[_ManifestFile, ...]


class _Session(Record):
    started: str
    ended: str = ""


class _Summary(Record):
    tally: _Tally


class _Tally(Record):
    by_unit: dict[str, msgspec.Raw]


def sign(run: Path, signer: CryptoSigner, out: Path, now: datetime | None = None) -> Predicate:
    """Write the bundle of the finished run folder `run` to the new file `out`.

    Raises `FaultError` when the run is unfinished, or is not as its manifest says.
    """
    if out.exists():
        raise InputError.at(out, "expected the name of a new file", hint="choose another --out")
    files = _check_folder(run)
    says = _predicate(run, now or datetime.now(UTC))
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".bundle-") as place:
        inner, draft = Path(place) / INNER, Path(place) / "bundle"
        _write_inner(inner, run, sorted(files))
        files[INNER] = _sha256(inner)
        subjects = tuple(
            Subject(name=name, digest=Digests(sha256=files[name]))
            for name in sorted(files, key=lambda name: (name != INNER, name))
        )
        envelope = seal(canonical(Statement(subject=subjects, predicate=says)), PAYLOAD_TYPE, signer)
        _write_outer(draft, envelope, inner)
        draft.replace(out)
    return says


def _check_folder(run: Path) -> dict[str, str]:
    """The files of a run folder as its manifest lists them, itself included."""
    manifest = _read(run, MANIFEST, _Manifest)
    listed = {file.name: file.sha256 for file in manifest.files}
    there = {
        path.relative_to(run).as_posix()
        for path in run.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(run).parts)
    } - {MANIFEST, "STOP"}
    faults = [fault("missing", run, name=name) for name in sorted(listed.keys() - there)]
    faults += [fault("added", run, name=name) for name in sorted(there - listed.keys())]
    for name in sorted(listed.keys() & there):
        if not _NAME.fullmatch(name):
            faults.append(fault("added", run, name=name))
        elif _sha256(run / name) != listed[name]:
            faults.append(fault("changed", run, name=name))
    if faults:
        raise FaultError(faults)
    return {**listed, MANIFEST: _sha256(run / MANIFEST)}


def _predicate(run: Path, now: datetime) -> Predicate:
    manifest = _read(run, MANIFEST, _Manifest)
    sessions = _read(run, "sessions.json", tuple[_Session, ...]) if (run / "sessions.json").exists() else ()
    units = tuple(sorted(_read(run, "summary.json", _Summary).tally.by_unit))
    if not units:
        raise FaultError([fault("no-systems", run)])
    never = timestamp(now)
    return Predicate(
        run=manifest.run,
        seccheck=manifest.seccheck,
        criteria=manifest.criteria,
        registry=manifest.registry,
        units=units,
        observed=(
            sessions[0].started if sessions else never,
            (sessions[-1].ended or sessions[-1].started) if sessions else never,
        ),
        signed=timestamp(now),
    )


def _read(run: Path, name: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode((run / name).read_bytes(), type=kind)
    except OSError as error:
        raise FaultError([fault("incomplete", run, why=f"{name}: {error.strerror}")]) from None
    except UNREADABLE as error:
        raise FaultError([fault("incomplete", run, why=f"{name}: {error}")]) from None


def _entry(name: str, *, packed: bool) -> zipfile.ZipInfo:
    """A zip entry that is the same on every machine."""
    entry = zipfile.ZipInfo(name, _DATE)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFREG | 0o600) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    return entry


def _add(archive: zipfile.ZipFile, name: str, source: IO[bytes], size: int, *, packed: bool) -> None:
    entry = _entry(name, packed=packed)
    entry.file_size = size
    with archive.open(entry, "w") as target:
        shutil.copyfileobj(source, target, _CHUNK)


def _write_inner(path: Path, run: Path, names: list[str]) -> None:
    with zipfile.ZipFile(path, "w", compresslevel=6) as archive:
        for name in names:
            with (run / name).open("rb") as source:
                _add(archive, name, source, (run / name).stat().st_size, packed=True)


def _write_outer(path: Path, envelope: bytes, inner: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive, inner.open("rb") as source:
        archive.writestr(_entry(ENVELOPE, packed=False), envelope)
        _add(archive, INNER, source, inner.stat().st_size, packed=False)
    path.chmod(0o600)


def _digest(source: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return _digest(file)


# -------------------------------------------------------------------------------------------- verifying


def verify(
    path: Path,
    keys: Mapping[str, PublicKey],
    now: datetime | None = None,
    into: Path | None = None,
    *,
    criteria: str = "",
) -> Verified:
    """What the bundle at `path` says, when everything about it is right; unpacked `into` a new folder.

    `criteria`: the set that it must be judged by, as its id, or id and version. Raises `FaultError` with
    every reason why something is wrong, and leaves nothing behind then.
    """
    with tempfile.TemporaryDirectory(prefix="seccheck-bundle-") as place:
        raw, inner = _parts(path, Path(place))
        statement, key = _signed(path, raw, keys)
        faults = list(_key_faults(path, statement.predicate, key, now or datetime.now(UTC)))
        faults += _criteria_faults(path, statement.predicate.criteria, criteria)
        faults += _file_faults(path, statement, inner)
        if not faults and not _as_written(path, raw, inner, Path(place)):
            faults = [fault("container", path)]
        if faults:
            raise FaultError(faults)
        if into:
            _unpack(inner, into)
    files = {one.name: one.digest.sha256 for one in statement.subject if one.name != INNER}
    return Verified(path, _sha256(path), key, statement.predicate, files)


@contextmanager
def _zip(path: Path, shown: Path) -> Iterator[zipfile.ZipFile]:
    """A zip file that somebody else wrote: whatever is wrong with it is one fault."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FaultError:
        raise
    except Exception as error:  # noqa: BLE001  (zipfile raises many kinds on damaged files, zlib and struct too)
        raise FaultError([fault("not-a-bundle", shown, why=str(error) or type(error).__name__)]) from None


def _parts(path: Path, place: Path) -> tuple[bytes, Path]:
    """The envelope, and `run.zip` as a file of its own."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise FaultError([fault("not-a-bundle", path, why=error.strerror)]) from None
    if size > MAX_BYTES:
        raise FaultError([fault("too-large", path, why=f"{size} bytes")])
    inner = place / INNER
    with _zip(path, path) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if names != [ENVELOPE, INNER]:
            raise FaultError([fault("not-a-bundle", path, why=f"expected {ENVELOPE} and {INNER} in it")])
        if entries[0].file_size > MAX_ENVELOPE or any(entry.file_size > size for entry in entries):
            raise FaultError([fault("not-a-bundle", path, why="its members are not stored as they are")])
        with archive.open(INNER) as source, inner.open("wb") as target:
            shutil.copyfileobj(source, target, _CHUNK)
        return archive.read(ENVELOPE), inner


def _signed(path: Path, raw: bytes, keys: Mapping[str, PublicKey]) -> tuple[Statement, PublicKey]:
    """The statement in the envelope, and the key that signed it."""
    try:
        payload, key = unseal(raw, PAYLOAD_TYPE, keys)
    except SealError as error:
        said = {"unknown-key": {"key": error.said}, "signature": {}}.get(
            error.code, {"why": f"{ENVELOPE}: {error.said}"}
        )
        raise FaultError([fault(error.code, path, **said)]) from None
    assert key  # noqa: S101  (keys were given)
    try:
        return msgspec.json.decode(payload, type=Statement), key
    except UNREADABLE as error:
        raise FaultError([fault("statement", path, why=str(error))]) from None


def _key_faults(path: Path, says: Predicate, key: PublicKey, now: datetime) -> Iterator[Fault]:
    """What is wrong with who signed, and when."""
    try:
        signed, *_ = [_written_moment(text) for text in (says.signed, *says.observed)]
    except (ValueError, OverflowError) as error:
        yield fault("statement", path, why=error)
        return
    for day in sorted({signed.date(), now.date()}):
        if day > key.until:
            yield fault("expired-key", path, until=key.until)
            break
        if day < key.since:
            yield fault("key-not-yet", path, since=key.since)
            break
    if signed > now + AHEAD:
        yield fault("dated-ahead", path, signed=says.signed)
    for unit in says.units:
        if unit not in key.units:
            yield fault("unit", path, unit=unit, allowed=", ".join(key.units))


def _written_moment(text: str) -> datetime:
    """The time that `timestamp` wrote, and nobody else."""
    found = moment(text)
    if found.tzinfo is None or timestamp(found) != text:
        raise ValueError(f"{text[:40]!r} is no time as seccheck writes it")
    return found


def _criteria_faults(path: Path, found: Criteria, wanted: str) -> Iterator[Fault]:
    if wanted and wanted not in {found.set, f"{found.set} {found.version}"}:
        yield fault("criteria", path, found=found, wanted=wanted, set=wanted.partition(" ")[0])


def _file_faults(path: Path, statement: Statement, inner: Path) -> list[Fault]:
    """Which files are not as they were signed. The zip file is read even when its own digest is wrong."""
    signed = {one.name: one.digest.sha256 for one in statement.subject}
    if len(signed) != len(statement.subject) or INNER not in signed or MANIFEST not in signed:
        return [fault("statement", path, why="its subjects are not those of a run folder")]
    whole = signed.pop(INNER)
    try:
        found = _digests(path, inner)
    except FaultError as error:
        return list(error.faults)
    faults = [fault("changed", path, name=n) for n in sorted(signed) if n in found and found[n] != signed[n]]
    faults += [fault("missing", path, name=name) for name in sorted(signed.keys() - found.keys())]
    faults += [fault("added", path, name=name) for name in sorted(found.keys() - signed.keys())]
    if not faults and _sha256(inner) != whole:
        faults.append(fault("container", path))
    return faults


def _digests(path: Path, inner: Path) -> dict[str, str]:
    """The SHA-256 of every file in `inner`, read within bounds."""
    digests: dict[str, str] = {}
    with _zip(inner, path) as archive:
        for entry in _safe_entries(path, archive):
            try:
                with archive.open(entry) as source:
                    digests[entry.filename] = _digest(source)
            except Exception:  # noqa: BLE001  (a member that cannot be read is a changed one)
                digests[entry.filename] = ""
    return digests


def _safe_entries(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members of a zip file that may be unpacked: plain files with plain names, each once, in bounds."""
    entries = archive.infolist()
    if len(entries) > MAX_FILES or sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise FaultError([fault("too-large", path, why=f"{len(entries)} files")])
    seen: set[str] = set()
    for entry in entries:
        mode = entry.external_attr >> 16
        plain = stat.S_ISREG(mode) and _NAME.fullmatch(entry.filename) and entry.filename not in seen
        if not plain or entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise FaultError([fault("not-a-bundle", path, why=f"{entry.filename!r} is no plain file")])
        seen.add(entry.filename)
    return entries


def _as_written(path: Path, raw: bytes, inner: Path, place: Path) -> bool:
    """Whether the bundle is, byte for byte, what its two parts make."""
    again = place / "again"
    _write_outer(again, raw, inner)
    with path.open("rb") as one, again.open("rb") as other:
        while True:
            chunk = one.read(_CHUNK)
            if chunk != other.read(_CHUNK):
                return False
            if not chunk:
                return True


def _unpack(inner: Path, into: Path) -> None:
    """Write the files of a verified bundle into the new folder `into`, for its owner's eyes."""
    into.mkdir(mode=0o700, parents=True)
    with zipfile.ZipFile(inner) as archive:
        for entry in archive.infolist():
            target = into / entry.filename
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with archive.open(entry) as source, os.fdopen(descriptor, "wb") as file:
                shutil.copyfileobj(source, file, _CHUNK)
