"""Verbs for those who keep registry, criteria and machine: registry, criteria, feeds, probes, doctor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seccheck.cli.progress import say

if TYPE_CHECKING:
    from datetime import date

registry_app = typer.Typer(
    help="The registry of systems: check, import, template, list.", no_args_is_help=True
)
criteria_app = typer.Typer(help="Criteria and sets: check, list, show, schema.", no_args_is_help=True)
feeds_app = typer.Typer(help="Reference data: status, update, import.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    app.add_typer(registry_app, name="registry")
    app.add_typer(criteria_app, name="criteria")
    app.add_typer(feeds_app, name="feeds")
    app.command()(probes)
    app.command()(doctor)


@registry_app.command("check")
def registry_check(files: Annotated[list[Path], typer.Argument(help="Registry files.")]) -> None:
    """Check registry files; every mistake with file, line and what was expected."""
    from collections import Counter

    from seccheck.registry import RegistryReader

    for file in files:
        reader = RegistryReader(file)
        reporting = Counter(system.unit for system in reader)
        kinds = Counter(unit.kind for unit in reader.registry(()).units)
        typer.echo(
            f"{file}: {reporting.total()} systems of {len(reporting)} units; units: "
            + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        )


@registry_app.command("list")
def registry_list(file: Annotated[Path, typer.Argument(help="A registry file.")]) -> None:
    """The registered systems: tab-separated id, unit, level, targets."""
    from seccheck.registry import load_registry

    for system in load_registry(file).systems:
        targets = " ".join(f"{target.service}://{target.host}:{target.port}" for target in system.targets)
        typer.echo(f"{system.id}\t{system.unit}\t{system.level}\t{targets}")


@registry_app.command("template")
def registry_template(
    out: Annotated[Path, typer.Option("--out", help="systems.xlsx or systems.csv.")] = Path("systems.xlsx"),
) -> None:
    """Write the spreadsheet that an office fills in."""
    from seccheck.errors import InputError
    from seccheck.importers import template_csv, template_xlsx

    if out.suffix not in {".xlsx", ".csv"}:
        raise InputError.at("--out", f"expected a name that ends in .xlsx or .csv, found {out.name!r}")
    if out.exists():
        raise InputError.at("--out", f"{out} exists already", hint="choose another name")
    out.write_bytes(template_xlsx() if out.suffix == ".xlsx" else template_csv())
    say(f"written: {out}; fill it in, then: seccheck registry import {out} --out registry.yaml")


@registry_app.command("import")
def registry_import(
    table: Annotated[Path, typer.Argument(help="systems.xlsx or systems.csv.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The registry file to write; default: standard output.")
    ] = None,
) -> None:
    """Make a registry file from the spreadsheet that an office keeps."""
    from seccheck.errors import InputError
    from seccheck.importers import import_table

    text = import_table(table)
    if out is None:
        typer.echo(text, nl=False)
        return
    if out.exists():
        raise InputError.at(
            "--out",
            f"{out} exists already",
            hint="choose another name, or compare it with the output on stdout",
        )
    out.write_text(text, encoding="utf-8")
    say(f"written: {out}; next: seccheck registry check {out}")


@criteria_app.command("check")
def criteria_check(
    files: Annotated[list[str], typer.Argument(help="Criteria files, set files, or ids of bundled sets.")],
) -> None:
    """Check criteria and sets: form, fact paths, operators, examples."""
    from seccheck.authoring import check

    for name in files:
        typer.echo(check(name))


@criteria_app.command("list")
def criteria_list(
    name: Annotated[str, typer.Argument(help="A set: bundled id or file.")] = "project06-2026",
    profile: Annotated[str, typer.Option(help="technical or full.")] = "full",
    language: Annotated[str, typer.Option("--lang", help="vi or en.")] = "en",
) -> None:
    """The criteria of a set: tab-separated id, severity, level, weight, statement."""
    from seccheck.criteria import load_criteria
    from seccheck.probes import load_probes

    for one in load_criteria(name, load_probes(), profile=profile).criteria:
        typer.echo(
            f"{one.id}\t{one.text.severity}\t{one.text.from_level}\t{one.weight}\t{one.statement(language)}"
        )


@criteria_app.command("show")
def criteria_show(
    criterion: Annotated[str, typer.Argument(help="A criterion id.")],
    name: Annotated[
        str, typer.Option("--criteria", "-c", help="The set it is shown from.")
    ] = "project06-2026",
    language: Annotated[str, typer.Option("--lang", help="vi or en.")] = "en",
) -> None:
    """One criterion: statement, reason, basis, how it is judged, how to mend."""
    from seccheck.authoring import describe
    from seccheck.criteria import load_criteria
    from seccheck.probes import load_probes

    typer.echo(describe(load_criteria(name, load_probes()), criterion, language))


@criteria_app.command("schema")
def criteria_schema(
    what: Annotated[str, typer.Argument(help="criteria, set, registry, waivers or results.")] = "criteria",
) -> None:
    """The JSON Schema of a file format, for editors."""
    from seccheck.authoring import json_schema

    typer.echo(json_schema(what), nl=False)


@criteria_app.command("docs")
def criteria_docs(language: Annotated[str, typer.Option("--lang", help="vi or en.")] = "vi") -> None:
    """The catalogue as a page in Markdown."""
    from seccheck.authoring import catalogue_page

    typer.echo(catalogue_page(language))


@criteria_app.command("try")
def criteria_try(
    file: Annotated[Path, typer.Argument(help="A draft: a criteria file.")],
    against: Annotated[Path, typer.Option(help="A run folder.")],
) -> None:
    """Judge a draft against stored evidence: system, target, criterion, verdict, reason, observed."""
    from collections import Counter

    from seccheck.authoring import try_against
    from seccheck.runfolder import RunFolder

    counts: Counter[str] = Counter()
    for system, finding in try_against(file, RunFolder.open(against)):
        counts[finding.verdict] += 1
        telling = next(
            (row.observed for row in finding.evidence if row.verdict is finding.observed_verdict), ""
        )
        cells = (
            system,
            finding.target or "",
            finding.criterion,
            finding.verdict,
            finding.reason or "",
            telling,
        )
        typer.echo("\t".join(cells))
    say(", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())))


@feeds_app.command("status")
def feeds_status() -> None:
    """The reference data in use: tab-separated feed, date, age, entries, source."""
    from seccheck.feeds import PUBLISHERS, status

    found = status()
    for feed in found:
        old = "\told" if feed.old else ""
        typer.echo(
            f"{feed.id}\t{feed.date}\t{feed.age_days} days\t{feed.entries} entries\t{feed.source}{old}"
        )
    missing = PUBLISHERS.keys() - {feed.id for feed in found}
    for name in sorted(missing):
        typer.echo(f"{name}\tmissing\t\t0 entries\t{PUBLISHERS[name].url}")
    if missing or any(feed.old and feed.updatable for feed in found):
        say("newer data: seccheck feeds update, or without Internet: seccheck feeds import FILE")


@feeds_app.command("update")
def feeds_update(
    only: Annotated[list[str] | None, typer.Option(help="Only this feed; may be repeated.")] = None,
    mirror: Annotated[str, typer.Option(help="Ask this mirror instead of the publishers.")] = "",
) -> None:
    """Fetch newer reference data from its publishers; what cannot be had leaves what is there."""
    from seccheck.feeds import PUBLISHERS, update

    _outcomes(update(only or (), dict.fromkeys(PUBLISHERS, mirror) if mirror else None))


@feeds_app.command("import")
def feeds_import(
    file: Annotated[Path, typer.Argument(help="A file as its publisher writes it.")],
    as_of: Annotated[str, typer.Option(help="The day of the file, where it bears none: 2026-11-02.")] = "",
) -> None:
    """Take reference data from a file, for machines without Internet."""
    from seccheck.feeds import import_file

    _outcomes(import_file(file, as_of=parse_day("--as-of", as_of) if as_of else None))


def parse_day(option: str, text: str) -> date:
    """The day that an option names; raises `InputError`."""
    from datetime import date

    from seccheck.errors import InputError

    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError.at(option, f"expected a date such as 2026-11-02, found {text!r}") from None


def _outcomes(outcomes: Any) -> None:
    failed = False
    for one in outcomes:
        failed = failed or one.state == "failed"
        detail = f"\t{one.detail}" if one.detail else ""
        typer.echo(f"{one.feed}\t{one.state}\t{one.date}{detail}")
    if failed:
        raise typer.Exit(2)


def probes() -> None:
    """The installed probes: id, version, what one look is about, the facts they record."""
    from seccheck import facttypes
    from seccheck.probes import load_probes

    for probe in load_probes().values():
        typer.echo(f"{probe.id}\tv{probe.version}\tper {probe.subject}")
        for fact, kind in facttypes.fields(probe.facts).items():
            if fact != "undecided":
                typer.echo(f"  {probe.id}.{fact}: {facttypes.name(facttypes.plain(kind))}")


def doctor() -> None:
    """What this machine has and lacks for scanning. Exit 2 when a scan would not work."""
    from seccheck.doctor import examine

    healthy = True
    for line, good in examine():
        typer.echo(f"{'ok  ' if good else 'MISS'} {line}")
        healthy = healthy and good is not False
    sys.exit(0 if healthy else 2)
