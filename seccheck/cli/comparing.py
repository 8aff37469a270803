"""Verbs that compare runs: diff, history."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from seccheck.cli.progress import say


class _Show(TyperGroup):
    """`history DIR` is `history show DIR`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the first word as a folder unless it is a verb or an option."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


history_app = typer.Typer(
    cls=_Show, help="Runs below a folder: show (history DIR), prune.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    app.command()(diff)
    history_app.command("show")(history)
    history_app.command("prune")(prune)
    app.add_typer(history_app, name="history")


def diff(
    old: Annotated[Path, typer.Argument(help="The earlier run folder.")],
    new: Annotated[Path, typer.Argument(help="The later run folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    html: Annotated[Path | None, typer.Option("--html", help="As one page: the file to write.")] = None,
    language: Annotated[
        str, typer.Option("--lang", help="vi or en, of the page; default: the run's language.")
    ] = "",
) -> None:
    """What changed between two runs: regressed, improved, new, gone."""
    import msgspec

    from seccheck.comparison import compare
    from seccheck.reports.run import RunFolder as Reading
    from seccheck.runfolder import RunFolder

    if html:
        _page(old, new, html, language)
        return
    runs = [Reading(RunFolder.open(path).path) for path in (old, new)]
    documents = [(msgspec.to_builtins(one) for one in run.systems()) for run in runs]
    comparison = compare(*documents)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(comparison), indent=1))
        return
    for system in comparison.systems:
        typer.echo(f"{system.change}\t{system.system}\t{system.before or '–'} → {system.after or '–'}")
    for finding in comparison.findings:
        cells = (finding.change, finding.system, finding.criterion, finding.target or "")
        typer.echo("\t".join((*cells, f"{finding.before or '–'} → {finding.after or '–'}")))
    say(f"{len(comparison.systems)} systems and {len(comparison.findings)} findings differ")


def _page(old: Path, new: Path, out: Path, language: str) -> None:
    """Write what changed as one HTML page."""
    from seccheck.cli.show import _language
    from seccheck.reports import Options, difference
    from seccheck.reports.run import RunFolder as Reading
    from seccheck.runfolder import RunFolder

    earlier, later = RunFolder.open(old), RunFolder.open(new)
    options = Options(language=_language(language or later.info.language), previous=(earlier.path,))
    out.parent.mkdir(parents=True, exist_ok=True)
    difference.REPORT.save(Reading(later.path), out, options)
    say(str(out))


def history(folder: Annotated[Path, typer.Argument(help="A folder of run folders.")]) -> None:
    """The figure of each run below a folder, oldest first."""
    from seccheck.reports.run import RunFolder as Reading

    runs = [Reading(path.parent) for path in folder.glob("*/summary.json")]
    for run in sorted(runs, key=lambda one: one.scan.started):
        systems = run.tally["systems"]
        scope = f"{run.scan.criteria.set} {run.scan.criteria.version} {run.scan.criteria.profile}"
        figure = f"{systems['meets']}/{systems['reported']}"
        typer.echo(
            f"{run.scan.started}\t{figure}\t{systems['not_concluded']} not concluded\t{scope}\t{run.path}"
        )


def prune(
    folder: Annotated[Path, typer.Argument(help="A folder of run folders.")],
    older_than: Annotated[str, typer.Option("--older-than", help="How old, in days, such as 90d.")],
    yes: Annotated[bool, typer.Option("--yes", help="Delete them; without it they are only listed.")] = False,
    newest: Annotated[
        bool, typer.Option("--newest", help="Even the newest run of a registry, which is kept otherwise.")
    ] = False,
    language: Annotated[str, typer.Option("--lang", help="vi or en.")] = "en",
) -> None:
    """Delete finished runs that are older than wanted. Nothing but finished runs is ever deleted."""
    from datetime import UTC, datetime

    from seccheck.cli.keeping import _days
    from seccheck.cli.show import _language
    from seccheck.cli.words import PRUNE
    from seccheck.retention import remove, to_prune

    words = PRUNE[_language(language)]
    old = to_prune(folder, _days("--older-than", older_than), datetime.now(UTC), keep_newest=not newest)
    for run in old:
        if yes:
            remove(run)
        typer.echo(f"{run.path}\t{run.started:%Y-%m-%d}\t{words['deleted' if yes else 'listed']}")
    say(words["end" if yes else "ask"].format(count=len(old)))
