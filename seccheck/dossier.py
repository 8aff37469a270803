"""Add a document to a system: the registry file is edited in place, its comments and order untouched."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from seccheck.errors import InputError
from seccheck.registry import load_registry
from seccheck.yamlfile import Document, did_you_mean, read_yaml


@dataclass(frozen=True)
class Paper:
    """A document and what it says."""

    file: Path
    issued: date
    issuer: str
    states: Literal["met", "not-met"]


def add_document(registry: Path, system: str, criterion: str, paper: Paper) -> str:
    """Write `paper` under `evidence` of `system` in the file `registry`; the line that was written.

    Raises `InputError` when the file is not below the registry's folder, when the system has a document for
    the criterion already, or when the place cannot be edited safely; the registry is then unchanged.
    """
    document = read_yaml(registry, max_bytes=512_000_000)
    index = _index(document, system)
    entry = _entry(registry, criterion, paper)
    evidence = document.data["systems"][index].get("evidence") or {}
    if criterion in evidence:
        line = document.line(("systems", index, "evidence", criterion))
        message = f"{system} has a document for {criterion} already"
        raise InputError.at(registry, message, line=line, hint=f"replace that line by: {entry}")
    text = registry.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    lines.insert(*_insertion(document, index, lines, entry, has_evidence=bool(evidence)))
    _replace(registry, "".join(lines), system, criterion, entry)
    return entry


def _index(document: Document, system: str) -> int:
    ids = [str(one.get("id")) if isinstance(one, dict) else "" for one in document.data.get("systems") or []]
    if system not in ids:
        message = f"expected a system of this registry, found {system!r}"
        raise InputError.at(document.name, message, hint=did_you_mean(system, ids))
    return ids.index(system)


def _entry(registry: Path, criterion: str, paper: Paper) -> str:
    folder, file = registry.resolve().parent, paper.file.resolve()
    if not file.is_file():
        raise InputError.at(paper.file, "expected a file", hint="check the path")
    if not file.is_relative_to(folder):
        raise InputError.at(
            paper.file, f"expected a file below {folder}", hint="copy the document there first"
        )
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    quoted = {"file": file.relative_to(folder).as_posix(), "issuer": paper.issuer}
    name, issuer = (value.replace("\\", "\\\\").replace('"', '\\"') for value in quoted.values())
    return (
        f'{criterion}: {{file: "{name}", sha256: "{sha256}", issued: {paper.issued}, '
        f'issuer: "{issuer}", states: {paper.states}}}'
    )


def _insertion(
    document: Document, index: int, lines: list[str], entry: str, *, has_evidence: bool
) -> tuple[int, str]:
    """Where the new line goes, and the line: after `evidence:`, or at the end of the system's mapping."""
    system = document.data["systems"][index]
    first = document.line(("systems", index, next(iter(system))))
    indent = _indent(lines, document.line(("systems", index, list(system)[-1])), first)
    if "evidence" in system:
        at = document.line(("systems", index, "evidence"))
        if not has_evidence or lines[at - 1].split("#")[0].strip() != "evidence:":
            raise InputError.at(
                document.name, "this evidence is not written line by line", line=at, hint=f"add: {entry}"
            )
        inner = _indent(
            lines, document.line(("systems", index, "evidence", next(iter(system["evidence"])))), at
        )
        return at, f"{inner}{entry}\n"
    return first, f"{indent}evidence:\n{indent}  {entry}\n"


def _indent(lines: list[str], number: int, first: int) -> str:
    """The indentation of the keys of a block mapping, from a line of it; a `- ` counts as two spaces."""
    line = lines[number - 1]
    stripped = line.lstrip(" ")
    width = len(line) - len(stripped)
    if number == first and stripped.startswith("- "):
        width += len(stripped) - len(stripped[1:].lstrip(" "))
    return " " * width


def _replace(registry: Path, text: str, system: str, criterion: str, entry: str) -> None:
    """Put the new text in place of the old, whole or not at all, once it has been read back."""
    draft = registry.with_name(f".{registry.name}.{os.getpid()}.part")
    draft.write_text(text, encoding="utf-8")
    try:
        read = next((one for one in load_registry(draft, authorised=False).systems if one.id == system), None)
        if read is None or criterion not in read.evidence:
            raise InputError.at(
                registry, "the line could not be added in place", hint=f"add under evidence: {entry}"
            )
        draft.chmod(registry.stat().st_mode)
        draft.replace(registry)
    finally:
        draft.unlink(missing_ok=True)
