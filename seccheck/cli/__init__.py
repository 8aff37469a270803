"""The command line: translates words into calls and results into words; decides nothing.

Verb files import what they need inside their functions, so that `--help` stays quick.
"""

from __future__ import annotations

import errno
import sys

import typer

from seccheck import __version__
from seccheck.cli import author, evidence, gating, keeping, run, show, zones
from seccheck.errors import SeccheckError

app = typer.Typer(
    name="seccheck",
    help="Measure information-security compliance, with the evidence behind every verdict.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (run, show, gating, author, evidence, keeping, zones):
    group.register(app)


_ROOM = "make room, then continue with: seccheck scan --resume RUN (nothing that was looked at is lost)"
_DISK = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EROFS: "choose a folder on a disk that can be written to",
}
"""What to do when the disk, rather than the program, is at fault."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"seccheck {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Take the options that stand before a command."""
    del version


def main() -> None:
    """Run the command line; exit statuses as the contract says (2 could not run, 130 interrupted)."""
    try:
        app(standalone_mode=True)
    except SeccheckError as error:
        print(f"seccheck: {error}", file=sys.stderr)  # noqa: T201  (the one place where errors are told)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(2)
    except OSError as error:
        if error.filename is None and error.errno not in _DISK:
            raise
        place = f"{error.filename}: " if error.filename else ""
        hint = _DISK.get(error.errno or 0, "check the path and its permissions")
        print(f"seccheck: {place}{error.strerror}\n  next: {hint}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
