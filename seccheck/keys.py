"""The keys that bundles are signed with: Ed25519, the secret half as PEM under a passphrase.

The public half is a small file that names the units it speaks for and the days it is valid:

    seccheck: key/1
    units: [mic]
    valid: {from: 2026-11-23, until: 2028-11-22}
    public: |
      -----BEGIN PUBLIC KEY-----
      …
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from seccheck.errors import InputError
from seccheck.model import Model
from seccheck.system import Validity
from seccheck.units import Identifier, Line, Listed
from seccheck.yamlfile import read_yaml, validate

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from securesystemslib.signer import CryptoSigner, SSlibKey

PUBLIC = ".pub.yaml"
SECRET = ".key"  # noqa: S105  (the ending of a file name)
SHORTEST_PASSPHRASE = 12


class KeyFile(Model):
    """The public half of a key, as it is written."""

    seccheck: Literal["key/1"]
    name: Line = ""
    units: Listed[Identifier] = Field(min_length=1)
    valid: Validity
    public: str


@dataclass(frozen=True)
class PublicKey:
    """A key that somebody may have signed with."""

    file: Path
    units: tuple[str, ...]
    since: date
    until: date
    key: SSlibKey

    @property
    def id(self) -> str:
        """The fingerprint that signatures name it by."""
        return str(self.key.keyid)


def generate(stem: Path, units: tuple[str, ...], since: date, until: date, passphrase: bytes) -> PublicKey:
    """Make a new key: `STEM.key`, for its owner's eyes, and `STEM.pub.yaml`, for the centre.

    Raises `InputError` when a file is there already, or the passphrase is short.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from seccheck.runfolder import write_private

    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise InputError.at(
            "--passphrase", f"expected a passphrase of at least {SHORTEST_PASSPHRASE} characters"
        )
    secret, public = (stem.with_name(stem.name + suffix) for suffix in (SECRET, PUBLIC))
    for path in (secret, public):
        if path.exists():
            raise InputError.at(path, "this key exists already", hint="choose another name")
    private = Ed25519PrivateKey.generate()
    pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    indented = "".join(f"  {line}\n" for line in pem.decode().splitlines())
    text = (
        f"seccheck: key/1\nunits: [{', '.join(units)}]\nvalid: {{from: {since}, until: {until}}}\n"
        f"public: |\n{indented}"
    )
    stem.parent.mkdir(parents=True, exist_ok=True)
    write_private(
        secret,
        [
            private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(passphrase),
            )
        ],
    )
    public.write_text(text, encoding="utf-8")
    return read_key(public)


def read_key(path: Path) -> PublicKey:
    """The public key in a file. Raises `InputError` for one that is none."""
    document = read_yaml(path)
    written = validate(document, KeyFile)
    return PublicKey(
        file=path,
        units=tuple(sorted(set(written.units))),
        since=written.valid.since,
        until=written.valid.until,
        key=_public(path, written.public, document.line(("public",))),
    )


def _public(path: Path, pem: str, line: int) -> SSlibKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.signer import SSlibKey

    try:
        loaded: Ed25519PublicKey | object = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        loaded = None
    if not isinstance(loaded, Ed25519PublicKey):
        raise InputError.at(
            path, "expected an Ed25519 public key in PEM form", line=line, key="public"
        ) from None
    return SSlibKey.from_crypto(loaded)


def read_keys(folder: Path) -> dict[str, PublicKey]:
    """Every public key (`*.pub.yaml`) in a folder, by fingerprint. Raises `InputError` when there is none."""
    files = sorted(folder.glob(f"*{PUBLIC}")) if folder.is_dir() else []
    if not files:
        raise InputError.at(
            folder,
            f"expected a folder with public keys (*{PUBLIC})",
            hint="each unit makes one with: seccheck bundle keygen",
        )
    keys: dict[str, PublicKey] = {}
    for file in files:
        key = read_key(file)
        if key.id in keys:
            raise InputError.at(file, f"holds the same key as {keys[key.id].file.name}")
        keys[key.id] = key
    return keys


def read_secret(path: Path, passphrase: bytes) -> CryptoSigner:
    """The secret key in a PEM file. Raises `InputError` for a wrong passphrase, or a file that is no key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    try:
        private = load_pem_private_key(path.read_bytes(), passphrase)
    except OSError as error:
        raise InputError.at(path, f"cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError.at(
            path, "expected a secret key under this passphrase", hint="check the passphrase and the file"
        ) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise InputError.at(path, "expected an Ed25519 key", hint="make one with: seccheck bundle keygen")
    return CryptoSigner(private)
