"""What the gate says: the table of what is open, annotations on GitHub, and the truth table."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import typer

if TYPE_CHECKING:
    from seccheck.gate import Effect, Outcome, Threshold
    from seccheck.reports import Options
    from seccheck.reports.github import Kind
    from seccheck.reports.listing import Entry
    from seccheck.reports.run import RunFolder

ROWS = 50
"""How many findings the table has; reports have all."""
WHY = 200
"""How many characters of the evidence the table shows."""
STATUS = {0: "met", 1: "not met", 3: "not concluded"}
_EXIT = {"block": "1", "open": "3 unless something blocks", "warn": "0", "pass": "0"}
_COLOUR = {"block": "bold red", "open": "yellow", "warn": "cyan"}


class _Line(NamedTuple):
    """A finding as the table shows it."""

    effect: Effect
    cells: tuple[str, ...]
    why: str


def tell(outcome: Outcome, threshold: Threshold, run: RunFolder, options: Options) -> None:
    """Print what is open, gravest first, with what was seen; then the decision with its counts."""
    lines = list(_table(outcome, run, options)) if outcome.told else []
    if lines and sys.stdout.isatty():
        _print_table(lines)
    else:
        _print_plain(lines)
    if (more := len(outcome.told) - ROWS) > 0:
        typer.echo(f"and {more} more; `seccheck list` and the reports have all of them")
    if not outcome.measured:
        typer.echo("nothing within the threshold was measured, so nothing is met")
    if told := _narrowed(threshold):
        typer.echo(f"threshold: {told}")
    effects: tuple[Effect, ...] = ("block", "open", "warn", "pass", "ignored")
    counts = ", ".join(f"{outcome.counts.get(effect, 0)} {effect}" for effect in effects)
    typer.echo(f"gate {STATUS[outcome.status]}: {counts}")


def _table(outcome: Outcome, run: RunFolder, options: Options) -> Iterator[_Line]:
    """The first lines of what is told, with the evidence, which is read again for them alone."""
    from seccheck.reports.listing import Listing

    listing = Listing(run, options)
    shown = outcome.told[:ROWS]
    wanted = {_key(one.case.system, one.case.criterion, one.case.target) for one in shown}
    systems = {one.case.system for one in shown}
    entries = {
        key: entry
        for system in listing.systems()
        if system.id in systems
        for entry in listing.entries(system)
        if (key := _key(system.id, entry.finding.criterion, entry.finding.target)) in wanted
    }
    for one in shown:
        case = one.case
        entry = entries[_key(case.system, case.criterion, case.target)]
        verdict = ", ".join(part for part in (case.verdict, case.reason, one.state) if part)
        verdict += ", waiver ran out" if case.waiver_expired else ""
        place = [entry.endpoint] if listing.ad_hoc and entry.endpoint else [case.system, entry.endpoint]
        cells = (one.effect.upper(), case.severity, case.criterion, verdict, " ".join(place).strip())
        why = "; ".join(listing.because(entry)[:2])
        yield _Line(
            one.effect,
            (*cells, listing.statement(entry)),
            # Runners look for commands of their own anywhere in a line.
            (why if len(why) <= WHY else f"{why[:WHY]}…").replace("##[", "## ["),
        )


def _key(system: str, criterion: str, target: str | None) -> tuple[str, str, str]:
    return system, criterion, target or ""


def _print_plain(lines: list[_Line]) -> None:
    widths = [max(map(len, column)) for column in zip(*(line.cells for line in lines), strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line.cells, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
        if line.why:
            typer.echo(f"       why: {line.why}")


def _print_table(lines: list[_Line]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(5):
        table.add_column(no_wrap=True)
    table.add_column()
    for line in lines:
        asked = Text(line.cells[-1])
        if line.why:
            asked.append(f"\n{line.why}", style="dim")
        table.add_row(Text(line.cells[0], style=_COLOUR[line.effect]), *map(Text, line.cells[1:-1]), asked)
    Console().print(table)


def _narrowed(threshold: Threshold) -> str:
    """How a threshold differs from the strict default; empty when it does not."""
    from seccheck.gate import Threshold

    default = Threshold()
    parts = []
    if set(threshold.severities) != set(default.severities):
        parts.append(f"severities {', '.join(threshold.severities)}")
    if "*" not in threshold.criteria:
        parts.append(f"criteria {', '.join(threshold.criteria)}")
    if threshold.inconclusive == "warn":
        parts.append("inconclusive: warn, so what is not concluded does not stop the pipeline")
    if threshold.fail_on:
        parts.append(f"fail_on {', '.join(threshold.fail_on)}")
    return "; ".join(parts)


def tell_github(outcome: Outcome, run: RunFolder, options: Options) -> None:
    """Print annotations of what is open, and write the step summary when running in a step."""
    from seccheck.reports.github import Open, append_summary, commands, summary
    from seccheck.reports.listing import Listing

    kinds: dict[Effect, Kind] = {"block": "error", "open": "error", "warn": "warning"}
    told = {(one.case.system, one.case.fingerprint): kinds[one.effect] for one in outcome.told}

    def kind_of(entry: Entry) -> Kind | None:
        return told.get((entry.system.id, entry.fingerprint))

    listing = Listing(run, options)
    found = Open.of(listing, kind_of)
    for line in commands(listing, found):
        typer.echo(line, nl=False)
    append_summary(summary(listing, found, f"seccheck: gate {STATUS[outcome.status]}"))


def explain(threshold: Threshold | None, *, baseline: bool | None) -> None:
    """Print the truth table, of all settings or of one gate's."""
    from seccheck.gate import COLUMNS, truth_table

    typer.echo("\t".join([*COLUMNS, "effect"]))
    for row in truth_table(threshold, baseline=baseline):
        typer.echo("\t".join(row.cells()))
    for effect, status in _EXIT.items():
        typer.echo(f"{effect}: exit {status}", err=True)
    typer.echo("ignored: does not count as measured; nothing measured is exit 3", err=True)
    if threshold:
        covered = f"severities {', '.join(threshold.severities)}; criteria {', '.join(threshold.criteria)}"
        typer.echo(f"within: counted, {covered}", err=True)
