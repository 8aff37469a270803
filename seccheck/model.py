"""Record types: pydantic for what people write, msgspec for what the program writes; verdicts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, dataclass_transform

import msgspec
from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """What people write: frozen, strict, unknown keys refused, every mistake reported at once."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


if TYPE_CHECKING:

    @dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
    class Record:
        """What the program writes: frozen and keyword-only, decoded with validation, encoded canonically."""

        def __init_subclass__(
            cls,
            *,
            forbid_unknown_fields: bool = False,
            cache_hash: bool = False,
            rename: str | None = None,
        ) -> None: ...

else:

    class _RecordMeta(msgspec.StructMeta):
        def __new__(mcs, name, bases, namespace, **config):
            return super().__new__(mcs, name, bases, namespace, **{"frozen": True, "kw_only": True, **config})

    class Record(msgspec.Struct, metaclass=_RecordMeta):
        """What the program writes: frozen and keyword-only, decoded with validation, encoded canonically."""


def as_dict(record: Record) -> dict[str, Any]:
    """The fields of `record` by name, nested records left as they are."""
    return {field: getattr(record, field) for field in record.__struct_fields__}  # type: ignore[attr-defined]


class Text(Model):
    """A sentence for users in both languages."""

    vi: str
    en: str

    def in_language(self, language: str) -> str:
        """The text in `language` ("vi" or "en")."""
        return self.vi if language == "vi" else self.en


class Verdict(StrEnum):
    """What a check came to (XCCDF: pass, fail, unknown, notapplicable)."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    NOT_APPLICABLE = "not-applicable"
    WAIVED = "waived"


class Reason(StrEnum):
    """Why something could not be told; the closed list of the results format."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate-limited"
    CONTRADICTORY = "contradictory"
    RESOLVER = "resolver"
    ACCESS = "access"
    NOT_OFFERED = "not-offered"
    OUT_OF_SCOPE = "out-of-scope"
    UNDISCLOSED = "undisclosed"
    BACKPORT_POSSIBLE = "backport-possible"
    STALE = "stale"
    NO_DATA = "no-data"
    NO_VALID_EVIDENCE = "no-valid-evidence"
    NOT_PROBED = "not-probed"
    CRASHED = "crashed"
    BUG = "bug"


class ProbeFailed(Exception):  # noqa: N818
    """Nothing could be told about the endpoint: the one exception a probe raises."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.value)
        self.reason = reason
        self.detail = detail


class Status(StrEnum):
    """Where a system stands against all its counted criteria."""

    MEETS = "meets"
    DOES_NOT_MEET = "does-not-meet"
    NOT_CONCLUDED = "not-concluded"
    UNASSESSED = "unassessed"


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Join verdicts that must all hold: any fail, else any inconclusive, else pass.

    A join over nothing is a pass; whoever must not accept nothing says so before (see `if_none`).
    """
    seen = set(verdicts)
    if Verdict.FAIL in seen:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE if Verdict.INCONCLUSIVE in seen else Verdict.PASS


def any_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Join verdicts of which one must hold: any pass, else any inconclusive, else fail."""
    seen = set(verdicts)
    if Verdict.PASS in seen:
        return Verdict.PASS
    return Verdict.INCONCLUSIVE if Verdict.INCONCLUSIVE in seen else Verdict.FAIL


def negation(verdict: Verdict) -> Verdict:
    """The verdict of "not": pass and fail change places, inconclusive stays."""
    match verdict:
        case Verdict.PASS:
            return Verdict.FAIL
        case Verdict.FAIL:
            return Verdict.PASS
        case _:
            return verdict


def canonical(value: Any) -> bytes:
    """The one byte form of `value`: compact JSON, keys sorted, no floats in what is digested."""
    return msgspec.json.encode(value, order="sorted")


def digest(value: Any) -> str:
    """SHA-256 over the canonical form, as `sha256:<64 hex digits>`."""
    return "sha256:" + hashlib.sha256(canonical(value)).hexdigest()


def digest_bytes(data: bytes) -> str:
    """SHA-256 of `data`, in the same form as `digest`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_of(pieces: Iterable[bytes]) -> str:
    """SHA-256 of `pieces` one after the other, in the same form."""
    sha256 = hashlib.sha256()
    for piece in pieces:
        sha256.update(piece)
    return f"sha256:{sha256.hexdigest()}"


def timestamp(moment: datetime) -> str:
    """`moment` in UTC to the second, as `2026-11-23T06:00:00Z` (RFC 3339)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """The time that `timestamp` wrote."""
    return datetime.fromisoformat(text)


_VISIBLE = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    for code in (
        *range(0x20),
        *range(0x7F, 0xA0),
        0x061C, 0x200B, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF,
        *range(0xFDD0, 0xFDF0), *(plane << 16 | low for plane in range(17) for low in (0xFFFE, 0xFFFF)),
        *range(0xD800, 0xE000),
    )
}  # fmt: skip
SAFE_LENGTH = 2048


def safe_text(raw: bytes | str, limit: int = SAFE_LENGTH) -> str:
    r"""Text from a server, made safe once, when it is recorded.

    Undecodable bytes, C0, DEL, C1, bidi controls and non-characters become visible escapes (`\x1b`);
    longer than `limit` characters is cut and says its true length.
    """
    text = raw if isinstance(raw, str) else raw[: limit * 4].decode("utf-8", "backslashreplace")
    length = len(raw)
    shown = text[: limit + 1].translate(_VISIBLE)
    if len(text) <= limit and len(shown) <= limit and (isinstance(raw, str) or len(raw) <= limit * 4):
        return shown
    return f"{shown[:limit]}… ({length} {'characters' if isinstance(raw, str) else 'bytes'})"
