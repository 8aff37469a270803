"""Verbs for documents: evidence add, evidence status."""

from __future__ import annotations

import csv
import io
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seccheck.cli.progress import say

if TYPE_CHECKING:
    from seccheck.documents import Item

evidence_app = typer.Typer(
    help="Documents that answer what no probe can see: add, status.", no_args_is_help=True
)
_HEADS = {
    "vi": ("Đơn vị", "Hệ thống", "Tiêu chí", "Nội dung", "Tình trạng", "Hết hạn", "Tệp", "Ghi chú"),
    "en": ("Unit", "System", "Criterion", "Statement", "State", "Expires", "File", "Remark"),
}
_STATES = {
    "vi": {
        "valid": "còn hạn",
        "expiring": "sắp hết hạn",
        "expired": "hết hạn",
        "missing": "còn thiếu",
        "wrong": "không hợp lệ",
        "not-met": "ghi nhận không đáp ứng",
    },
    "en": {name: name for name in ("valid", "expiring", "expired", "missing", "wrong", "not-met")},
}


_REMARKS = (
    (re.compile(r"the file is missing"), "không tìm thấy tệp"),
    (re.compile(r"the file is not the one .*"), "tệp không khớp mã băm (SHA-256) đã đăng ký"),
    (re.compile(r"issued on (\S+), after it was looked at"), r"ngày ban hành \1 sau ngày kiểm tra"),
    (re.compile(r"issued on (\S+), older than (\d+) months"), r"ban hành ngày \1, đã quá \2 tháng"),
)


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    app.add_typer(evidence_app, name="evidence")


@evidence_app.command("add")
def add(
    system: Annotated[str, typer.Argument(help="A system id.")],
    criterion: Annotated[str, typer.Argument(help="The criterion that the document answers.")],
    file: Annotated[Path, typer.Argument(help="The document, below the registry's folder.")],
    issued: Annotated[str, typer.Option(help="When it was issued, such as 2026-11-02.")],
    issuer: Annotated[str, typer.Option(help="Who issued it.")],
    states: Annotated[str, typer.Option(help="met or not-met: what the document says.")] = "met",
    registry: Annotated[Path, typer.Option("--registry", "-r", help="The registry file (YAML).")] = Path(
        "registry.yaml"
    ),
) -> None:
    """Register a document: its digest, dates and issuer go into the registry file."""
    from seccheck.cli.author import parse_day
    from seccheck.criteria import catalogue_files, read_criteria
    from seccheck.dossier import Paper, add_document
    from seccheck.errors import InputError
    from seccheck.yamlfile import did_you_mean

    if states not in {"met", "not-met"}:
        raise InputError.at("--states", f"expected met or not-met, found {states!r}")
    day = parse_day("--issued", issued)
    if day > datetime.now(UTC).date():
        raise InputError.at("--issued", f"expected a day that has come, found {day}", hint="check the year")
    known = read_criteria(catalogue_files())
    if criterion not in known:
        message = f"expected a criterion, found {criterion!r}"
        if criterion.partition("-")[0] in {one.partition("-")[0] for one in known}:
            hint = did_you_mean(criterion, known) or "`seccheck criteria list` shows the ids"
            raise InputError.at("criterion", message, hint=hint)
        say(f"note: {criterion} is not in the bundled catalogue; the set you use must have it")
    says: Any = states
    typer.echo(add_document(registry, system, criterion, Paper(file, day, issuer, says)))


@evidence_app.command("status")
def status(
    registry: Annotated[Path, typer.Option("--registry", "-r", help="The registry file (YAML).")] = Path(
        "registry.yaml"
    ),
    criteria: Annotated[str, typer.Option("--criteria", "-c", help="A criteria set.")] = "project06-2026",
    unit: Annotated[str, typer.Option(help="Only this unit.")] = "",
    within: Annotated[int, typer.Option(help="Days ahead that count as about to expire.")] = 60,
    everything: Annotated[bool, typer.Option("--all", help="Valid documents as well.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write a work list to send out: .csv or .xlsx.")] = None,
    language: Annotated[str, typer.Option("--lang", help="vi or en; default: the registry's.")] = "",
) -> None:
    """What is missing, wrong, expired or about to expire: tab-separated, or a work list per --out."""
    from seccheck.criteria import load_criteria
    from seccheck.documents import work_list
    from seccheck.errors import InputError
    from seccheck.model import as_dict
    from seccheck.probes import Endpoint, ProbeFailed, load_probes
    from seccheck.probes.evidence import EvidenceParams, collect
    from seccheck.registry import load_registry, scope_of
    from seccheck.scope import Context
    from seccheck.yamlfile import did_you_mean

    loaded = load_registry(registry, authorised=False)
    spoken = language or loaded.language
    ids = [one.id for one in loaded.units]
    if unit and unit not in ids:
        raise InputError.at(
            "--unit", f"expected a unit of this registry, found {unit!r}", hint=did_you_mean(unit, ids)
        )
    if out and out.suffix not in {".csv", ".xlsx"}:
        raise InputError.at("--out", f"expected a name that ends in .csv or .xlsx, found {out.name!r}")
    context = Context(scope_of(loaded))

    def look(entry: Any) -> dict[str, Any] | None:
        try:
            return as_dict(collect(Endpoint(host=entry.file), EvidenceParams(), context))
        except ProbeFailed:
            return None

    today = datetime.now(UTC).date()
    items = [
        item
        for item in work_list(
            loaded, load_criteria(criteria, load_probes()), look, today, within_days=within, language=spoken
        )
        if (not unit or item.unit == unit) and (everything or item.state != "valid")
    ]
    if out:
        _write(out, items, spoken)
        say(f"written: {out}, {len(items)} lines")
        return
    for row in _rows(items, spoken):
        typer.echo("\t".join(row))
    say(f"{len(items)} documents to see to")


def _rows(items: list[Item], language: str) -> list[tuple[str, ...]]:
    return [
        (
            item.unit,
            item.system,
            item.criterion,
            item.statement,
            _STATES[language][item.state],
            item.expires,
            item.file,
            _remark(item.remark, language),
        )
        for item in items
    ]


def _remark(remark: str, language: str) -> str:
    """Why a document decides nothing, in `language`; `documents.problem` says it in English."""
    for pattern, words in _REMARKS if language == "vi" else ():
        if found := pattern.fullmatch(remark):
            return found.expand(words)
    return remark


def _write(out: Path, items: list[Item], language: str) -> None:
    from seccheck.reports.tables import inert
    from seccheck.runfolder import write_private

    rows = [_HEADS[language], *([inert(cell) for cell in row] for row in _rows(items, language))]
    if out.suffix == ".csv":
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        write_private(out, [b"\xef\xbb\xbf", text.getvalue().encode()])
        return
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    if sheet is None:
        sys.exit(2)
    for row in rows:
        sheet.append(list(row))
    sheet.freeze_panes = "A2"
    sheet.auto_filter.ref = sheet.dimensions
    data = io.BytesIO()
    book.save(data)
    write_private(out, [data.getvalue()])
