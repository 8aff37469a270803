"""Which evidence documents are there, and what their digests are. Reads files, never the network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from seccheck.model import Reason
from seccheck.probes import Endpoint, Facts, Params, Probe, ProbeFailed
from seccheck.reference import Package, Statement, read_evidence

if TYPE_CHECKING:
    from seccheck.scope import Context

_MAX_BYTES = 200_000_000
_MAX_READ = 4_000_000
_MAX_LISTED = 5_000


class EvidenceParams(Params):
    """A document is asked for as a whole."""


class EvidenceFacts(Facts):
    """One document as it was found."""

    present: bool
    sha256: str = ""
    """Hexadecimal, lower-case."""
    size: int = 0
    packages: tuple[Package, ...] = ()
    """The packages that it lists, where it is a package list."""
    statements: tuple[Statement, ...] = ()
    """What it says of single flaws, where it is a VEX document."""


def collect(endpoint: Endpoint, _params: EvidenceParams, context: Context) -> EvidenceFacts:
    """Find the document `endpoint.host`, a path inside the folder of the registry file."""
    folder = Path(context.scope.documents).resolve()
    path = (folder / endpoint.host).resolve()
    if not path.is_relative_to(folder):
        raise ProbeFailed(Reason.OUT_OF_SCOPE, "the document lies outside the folder of the registry")
    if not path.is_file():
        return EvidenceFacts(present=False)
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise ProbeFailed(Reason.NO_VALID_EVIDENCE, f"the document has {size} bytes, more than {_MAX_BYTES}")
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            read = read_evidence(file.read(_MAX_READ))
    except OSError as error:
        raise ProbeFailed(
            Reason.NO_VALID_EVIDENCE, f"the document cannot be read: {error.strerror}"
        ) from None
    return EvidenceFacts(
        present=True,
        sha256=sha256,
        size=size,
        packages=read.packages[:_MAX_LISTED],
        statements=read.statements[:_MAX_LISTED],
    )


PROBE = Probe(
    id="evidence",
    version=2,
    subject="document",
    params=EvidenceParams,
    facts=EvidenceFacts,
    collect=collect,
    connections=lambda _endpoint, _params: 0,
)
