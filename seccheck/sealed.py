"""A signed payload in its one canonical form: a DSSE envelope with one Ed25519 signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from seccheck.model import Record, canonical

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

    from seccheck.keys import PublicKey


Code = Literal["not-a-bundle", "signature", "unknown-key"]


class SealError(Exception):
    """An envelope that is not believed: `code` as in `faults`, `said` the detail, or the unknown key's id."""

    def __init__(self, code: Code, said: str = "") -> None:
        super().__init__(f"{code}: {said}" if said else code)
        self.code = code
        self.said = said


class _Signature(Record, forbid_unknown_fields=True):
    keyid: str
    sig: str


class _Envelope(Record, forbid_unknown_fields=True):
    payload: str
    payloadType: str  # noqa: N815  (DSSE's name)
    signatures: tuple[_Signature, ...]


def seal(payload: bytes, kind: str, signer: CryptoSigner | None) -> bytes:
    """The envelope around `payload`, signed; without a signature where there is no signer."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(payload, kind, {})
    if signer:
        envelope.sign(signer)
    return canonical(envelope.to_dict())


def unseal(raw: bytes, kind: str, keys: Mapping[str, PublicKey] | None) -> tuple[bytes, PublicKey | None]:
    """The payload of the envelope `raw`, and whose it is; `keys` None: whoever wrote it is believed.

    Raises `SealError`: not-a-bundle (no envelope), signature, or unknown-key.
    """
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError

    try:
        fields = msgspec.json.decode(raw, type=_Envelope)
        envelope = Envelope.from_dict(msgspec.to_builtins(fields))
        again = canonical(envelope.to_dict())
    except (msgspec.MsgspecError, ValueError, UnicodeError, RecursionError) as error:
        raise SealError("not-a-bundle", str(error)) from None
    if again != raw or envelope.payload_type != kind:
        raise SealError("signature")
    if keys is None:
        return envelope.payload, None
    if len(envelope.signatures) != 1:
        raise SealError("signature")
    (identifier,) = envelope.signatures
    key = keys.get(identifier)
    if key is None:
        raise SealError("unknown-key", identifier)
    try:
        envelope.verify([key.key], 1)
    except VerificationError:
        raise SealError("signature") from None
    return envelope.payload, key
