"""Verbs that read runs: report, explain, list."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from seccheck.criterion import Criterion
    from seccheck.runfolder import RunFolder

RunPath = Annotated[Path, typer.Argument(help="A run folder.", show_default=False)]
_FOLDERS = {"html": "report"}
_OPEN = {"fail", "inconclusive"}


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    app.command()(report)
    app.command()(explain)
    app.command("list")(list_findings)


def check_formats(formats: str) -> list[str]:
    """The report formats named in `formats`; raises `InputError` for an unknown one."""
    from seccheck.errors import InputError
    from seccheck.reports import load_reports
    from seccheck.yamlfile import did_you_mean

    wanted = [one.strip() for one in formats.split(",") if one.strip()]
    for one in wanted:
        if one not in load_reports():
            known = ", ".join(load_reports())
            raise InputError.at(
                "--format", f"expected some of {known}; found {one!r}", hint=did_you_mean(one, load_reports())
            )
    return wanted


def write_reports(folder: RunFolder, formats: str, language: str) -> None:
    """Write reports into a run folder: `report/` for HTML, files that name the run for the rest."""
    from seccheck.reports import Options, load_reports
    from seccheck.reports import run as reading
    from seccheck.reports.signature import merged_state

    source = reading.RunFolder(folder.path)
    spoken = _language(language)
    options = Options(language=spoken, signature=merged_state(source, spoken))
    os.umask(0o077)  # a run folder is its owner's alone
    for name in check_formats(formats):
        plugin = load_reports()[name]
        if name == "json":
            continue  # results.json is there already
        file = _FOLDERS.get(name, name) if plugin.kind == "folder" else plugin.file_name(source, options)
        plugin.save(source, folder.path / file, options)
    folder.write_manifest()


def _language(language: str) -> Any:
    from seccheck.errors import InputError

    if language not in {"vi", "en"}:
        raise InputError.at("--lang", f"expected vi or en, found {language!r}")
    return language


def report(
    run: RunPath,
    formats: Annotated[str, typer.Option("--format", help="One or more formats, comma-separated.")] = "html",
    language: Annotated[str, typer.Option("--lang", help="vi or en; default: the run's language.")] = "",
    unit: Annotated[str, typer.Option(help="Only what this unit may see.")] = "",
    public: Annotated[
        bool, typer.Option("--public", help="Without addresses, versions and evidence.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="A folder for html or several formats, else the file.")
    ] = None,
    previous: Annotated[
        list[Path] | None, typer.Option(help="An earlier run, for change and trend; may be repeated.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="The signed bundle of this run: the report says who signed it.")
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(help="A folder with public keys (*.pub.yaml), for --bundle.")
    ] = None,
) -> None:
    """Write a stored run in one or more formats."""
    from seccheck.errors import InputError
    from seccheck.reports import Options, load_reports
    from seccheck.reports import run as reading
    from seccheck.runfolder import RunFolder

    folder = RunFolder.open(run)
    if unit and unit not in {one.id for one in folder.registry_head.units}:
        from seccheck.yamlfile import did_you_mean

        raise InputError.at(
            "--unit",
            f"expected a unit of this run, found {unit!r}",
            hint=did_you_mean(unit, [one.id for one in folder.registry_head.units]),
        )
    wanted = [load_reports()[name] for name in check_formats(formats)]
    source = reading.RunFolder(run)
    spoken = _language(language or folder.info.language)
    options = Options(
        language=spoken,
        signature=_signature(source, bundle, keys, spoken),
        unit=unit,
        public=public,
        previous=tuple(previous or ()),
    )
    if len(wanted) == 1 and wanted[0].kind == "file" and out is None:
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / "report"
            wanted[0].write(source, file, options)
            data = file.read_bytes()
        if sys.stdout.isatty() and b"\0" in data[:4096]:
            raise InputError.at("--out", f"{wanted[0].id} is no text; expected --out FILE")
        sys.stdout.buffer.write(data)
        return
    if len(wanted) == 1:
        target = out or Path(wanted[0].file_name(source, options))
        target.parent.mkdir(parents=True, exist_ok=True)
        wanted[0].save(source, target, options)
        typer.echo(str(target / "index.html" if wanted[0].kind == "folder" else target), err=True)
        return
    _write_all(source, wanted, out or Path(), options)


def _signature(run: Any, bundle: Path | None, keys: Path | None, language: Any) -> str:
    """The state of the run's signature in words; a bundle that is not of this run is refused."""
    from seccheck.bundle import verify
    from seccheck.errors import InputError
    from seccheck.faults import FaultError
    from seccheck.keys import read_keys
    from seccheck.reports.signature import merged_state, verified_state

    if bundle is None:
        return merged_state(run, language)
    if keys is None:
        raise InputError.at("--bundle", "expected --keys FOLDER beside it", hint="the signers' public keys")
    try:
        verified = verify(bundle, read_keys(keys))
    except FaultError as error:
        print(f"seccheck: {error.text(language)}", file=sys.stderr)  # noqa: T201
        raise typer.Exit(2) from None
    if verified.files.get("results.json") != run.results_digest.removeprefix("sha256:"):
        raise InputError.at(
            str(bundle),
            f"expected a bundle of {run.path}, found the run {verified.says.run}, or other results",
        )
    key, says = verified.key, verified.says
    return verified_state(language, key=key.id, units=len(says.units), signed=says.signed)


def _write_all(source: Any, wanted: list[Any], place: Path, options: Any) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for plugin in wanted:
        target = place / plugin.file_name(source, options)
        plugin.save(source, target, options)
        typer.echo(str(target), err=True)


def findings_of(folder: RunFolder) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every finding of a run, with its system."""
    from seccheck.reports.run import RunFolder as Reading

    for system in Reading(folder.path).systems():
        plain = _builtins(system)
        for finding in plain["findings"]:
            yield plain, finding


def _builtins(record: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(record)


def explain(
    run: RunPath,
    system: Annotated[str, typer.Argument(help="A system id.", show_default=False)],
    criterion: Annotated[
        str, typer.Argument(help="A criterion id; default: all that is not met or not concluded.")
    ] = "",
    language: Annotated[str, typer.Option("--lang", help="vi or en; default: the run's language.")] = "",
) -> None:
    """Why a system got this verdict: evidence, rule, clause, remedy."""
    from seccheck.cli.words import finding_lines, status_line
    from seccheck.errors import InputError
    from seccheck.runfolder import RunFolder
    from seccheck.yamlfile import did_you_mean

    folder = RunFolder.open(run)
    spoken = _language(language or folder.info.language)
    criteria = folder.criteria
    if criterion:
        criteria.by_id(criterion)
    entry = folder.systems.named(system)
    if entry is None:
        raise InputError.at(
            str(run),
            f"expected a system of this run, found {system!r}",
            hint=did_you_mean(system, [name for name, *_ in folder.systems.ids()]),
        )
    status, shown = _findings_about(folder, system, criterion)
    typer.echo(f"{entry.id}: {entry.name.in_language(spoken)} ({status_line(status, entry.level, spoken)})")
    for name in [criterion] if criterion else dict.fromkeys(one["criterion"] for one in shown):
        rule = criteria.by_id(name)
        typer.echo(f"\n{rule.id}: {rule.statement(spoken, entry.level)}")
        for finding in shown:
            if finding["criterion"] == name:
                typer.echo("\n".join(finding_lines(finding, spoken)))
    if criterion:
        _explain_rule(rule, criteria.sources, spoken)


def _findings_about(folder: RunFolder, system: str, criterion: str) -> tuple[str, list[dict[str, Any]]]:
    """A system's status, and its findings by `criterion`; by none given, those not met or not concluded."""
    from seccheck.reports.run import RunFolder as Reading

    result = Reading(folder.path).results.named_in_order(system)
    if result is None:
        return "unassessed", []
    shown = [
        finding
        for finding in _builtins(result)["findings"]
        if (finding["criterion"] == criterion if criterion else finding["verdict"] in _OPEN)
    ]
    return result.status, shown


def _explain_rule(rule: Criterion, sources: Mapping[str, Any], language: str) -> None:
    """Why the rule is there, what it rests on, and how to mend."""
    from seccheck.authoring import basis_line

    typer.echo(f"\n{rule.text.rationale.in_language(language)}")
    for basis in rule.text.basis:
        typer.echo("  " + basis_line(basis, sources, language))
    typer.echo(f"\n{rule.text.remedy.in_language(language)}")
    for product, setting in (rule.text.remedy.model_extra or {}).items():
        typer.echo(f"  {product}:\n    " + str(setting).strip().replace("\n", "\n    "))


def list_findings(
    run: RunPath,
    criterion: Annotated[str, typer.Option(help="Only these criteria (globs).")] = "*",
    verdict: Annotated[
        str, typer.Option(help="Only this verdict: pass, fail, inconclusive, not-applicable, waived.")
    ] = "",
) -> None:
    """Who has this finding: tab-separated system, unit, target, criterion, verdict, reason, observed."""
    from fnmatch import fnmatchcase

    from seccheck.errors import InputError
    from seccheck.model import Verdict
    from seccheck.runfolder import RunFolder
    from seccheck.yamlfile import did_you_mean

    folder = RunFolder.open(run)
    if verdict and verdict not in set(Verdict):
        raise InputError.at(
            "--verdict",
            f"expected one of {', '.join(Verdict)}; found {verdict!r}",
            hint=did_you_mean(verdict, list(Verdict)),
        )
    globs = [one.strip() for one in criterion.split(",")]
    if not any(fnmatchcase(one.id, glob) for one in folder.criteria.criteria for glob in globs):
        folder.criteria.by_id(criterion)
    for system, finding in findings_of(folder):
        if verdict and finding["verdict"] != verdict:
            continue
        if not any(fnmatchcase(finding["criterion"], glob) for glob in globs):
            continue
        telling = next(
            (row["observed"] for row in finding["evidence"] if row["verdict"] == finding["observed_verdict"]),
            "",
        )
        cells = (
            system["id"],
            system["unit"],
            finding["target"] or "",
            finding["criterion"],
            finding["verdict"],
            finding["reason"] or "",
            telling,
        )
        typer.echo("\t".join(cells))
