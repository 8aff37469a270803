"""Verbs that keep, send and join runs: bundle, merge."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seccheck.cli.progress import say

if TYPE_CHECKING:
    from seccheck.merge import Merged

bundle_app = typer.Typer(help="Signed bundles of runs: keygen, sign, verify.", no_args_is_help=True)
KeyFolder = Annotated[Path, typer.Option("--keys", help="A folder with the units' public keys (*.pub.yaml).")]
Passphrase = Annotated[
    str, typer.Option(help="Where the passphrase is: env:NAME or file:PATH; default: asked for.")
]
Language = Annotated[str, typer.Option("--lang", help="vi or en.")]
Day = Annotated[
    str, typer.Option("--at", help="The day to verify for, as 2026-11-30; default: today (for archives).")
]


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    bundle_app.command()(keygen)
    bundle_app.command()(sign)
    bundle_app.command("verify")(verify_bundle)
    app.add_typer(bundle_app, name="bundle")
    app.command()(merge)


@contextmanager
def _told(language: str) -> Iterator[None]:
    """Tell what is wrong with a bundle in `language`; exit status 2."""
    from seccheck.faults import FaultError

    try:
        yield
    except FaultError as error:
        print(f"seccheck: {error.text(language)}", file=sys.stderr)  # noqa: T201
        raise typer.Exit(2) from None


def _language(language: str) -> str:
    from seccheck.errors import InputError

    if language not in {"vi", "en"}:
        raise InputError.at("--lang", f"expected vi or en, found {language!r}")
    return language


def secret(option: str, where: str, *, twice: bool = False) -> bytes:
    """The secret of `option`, by reference or asked for: never an argument, which any process may read."""
    from seccheck.errors import InputError

    kind, _, name = where.partition(":")
    if kind == "env" and name:
        if name not in os.environ:
            raise InputError.at(option, f"the variable {name} is not set")
        return os.environ[name].encode()
    if kind == "file" and name:
        try:
            return Path(name).read_bytes().rstrip(b"\r\n")
        except OSError as error:
            raise InputError.at(option, f"{name}: {error.strerror}") from None
    if where:
        raise InputError.at(option, "expected env:NAME or file:PATH")
    if not sys.stdin.isatty():
        raise InputError.at(option, "expected a secret", hint=f"give {option} env:NAME or file:PATH")
    return str(typer.prompt("passphrase", hide_input=True, confirmation_prompt=twice, err=True)).encode()


def _day(text: str) -> datetime | None:
    """Noon of the day `text`, in UTC; None for today."""
    from datetime import UTC

    from seccheck.errors import InputError

    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InputError.at("--at", f"expected a day such as 2026-11-30, found {text!r}") from None
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def keygen(
    name: Annotated[Path, typer.Argument(help="The name of the key: NAME.key and NAME.pub.yaml are made.")],
    unit: Annotated[list[str], typer.Option(help="A unit that the key speaks for; may be repeated.")],
    years: Annotated[int, typer.Option(min=1, max=5, help="How long it is valid.")] = 2,
    passphrase: Passphrase = "",
) -> None:
    """Make a key to sign with. The .key file stays with the unit; the .pub.yaml file goes to the centre."""
    from datetime import UTC, timedelta

    from seccheck.keys import PUBLIC, SECRET, generate

    today = datetime.now(UTC).date()
    until = today + timedelta(days=365 * years)
    key = generate(name, tuple(unit), today, until, secret("--passphrase", passphrase, twice=True))
    typer.echo(f"{name}{SECRET}\tkeep it, and its passphrase, to yourselves")
    typer.echo(f"{name}{PUBLIC}\tfor the centre; valid until {until} for {', '.join(key.units)}")
    typer.echo(f"fingerprint\t{key.id}\tto be compared by telephone")


def sign(
    run: Annotated[Path, typer.Argument(help="A finished run folder.")],
    key: Annotated[Path, typer.Option("--key", help="The secret key (NAME.key).")],
    out: Annotated[Path, typer.Option("--out", help="The bundle to write, such as mic-2026q4.zip.")],
    passphrase: Passphrase = "",
    language: Language = "en",
) -> None:
    """Put a finished run into one signed file."""
    from seccheck.bundle import sign as write
    from seccheck.keys import read_secret
    from seccheck.runfolder import RunFolder

    with _told(_language(language)):
        signer = read_secret(key, secret("--passphrase", passphrase))
        says = write(RunFolder.open(run).path, signer, out)
    units = ", ".join(says.units)
    typer.echo(f"{out}\t{units}\t{says.criteria}\t{signer.public_key.keyid}")


def verify_bundle(
    bundles: Annotated[list[Path], typer.Argument(help="One or more bundles.")],
    keys: KeyFolder,
    criteria: Annotated[
        str, typer.Option("--criteria", "-c", help="The set that it must be judged by (id, or 'id version').")
    ] = "",
    at: Day = "",
    language: Language = "en",
) -> None:
    """Check signed bundles. Says what each holds, or what is wrong with it (exit 2)."""
    from seccheck.bundle import verify
    from seccheck.faults import FaultError
    from seccheck.keys import read_keys

    spoken, now, known = _language(language), _day(at), read_keys(keys)
    wrong = False
    for path in bundles:
        try:
            verified = verify(path, known, now, criteria=criteria)
        except FaultError as error:
            wrong = True
            typer.echo(error.text(spoken), err=True)
            continue
        says = verified.says
        cells = (path, "ok", ", ".join(says.units), says.criteria, says.observed[0], verified.key.file.name)
        typer.echo("\t".join(map(str, cells)))
    raise typer.Exit(2 if wrong else 0)


def merge(
    bundles: Annotated[list[Path], typer.Argument(help="The units' bundles.")],
    keys: KeyFolder,
    out: Annotated[Path, typer.Option("--out", help="A new or empty folder for the national run.")],
    criteria: Annotated[
        str, typer.Option("--criteria", "-c", help="The set all must be judged by; default: what most are.")
    ] = "",
    max_age: Annotated[
        str, typer.Option("--max-age", help="How old evidence may be, in days, such as 92d.")
    ] = "92d",
    at: Day = "",
    formats: Annotated[str, typer.Option("--format", help="Reports to write (comma-separated).")] = "html",
    language: Annotated[str, typer.Option("--lang", help="vi or en; default: the runs' language.")] = "",
) -> None:
    """Join the signed bundles of many units into one national run, which reports like any other."""
    import msgspec

    from seccheck.cli.show import check_formats, write_reports
    from seccheck.cli.words import tally_lines
    from seccheck.keys import read_keys
    from seccheck.merge import merge as join

    check_formats(formats)
    days = _days("--max-age", max_age)
    with _told(_language(language or "en")):
        folder, merged, summary = join(
            bundles,
            read_keys(keys),
            out,
            criteria=criteria,
            max_age=days,
            now=_day(at),
            language=language,
            command=shlex.join(["seccheck", *sys.argv[1:]]),
        )
    spoken = language or folder.info.language
    _tell_overlaps(merged, spoken)
    write_reports(folder, formats, spoken)
    plain: dict[str, Any] = msgspec.to_builtins(summary)
    for line in tally_lines(plain, spoken):
        typer.echo(line)


def _days(option: str, text: str) -> int:
    from seccheck.errors import InputError

    number = text.removesuffix("d")
    if not number.isdigit():
        raise InputError.at(option, f"expected a number of days such as 365d, found {text!r}")
    return int(number)


def _tell_overlaps(merged: Merged, language: str) -> None:
    from seccheck.cli.words import OVERLAP

    for one in merged.overlaps:
        say(OVERLAP[language][one.kind].format(system=one.system, kept=one.kept, left=one.left))
