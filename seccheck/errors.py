"""What the operator must fix: every error that ends a run says where, what, and the next step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding JSON raises that is not as it should be: of another form, no UTF-8, nested without end."""


class SeccheckError(Exception):
    """An error the operator can act on; ends the run with exit status 2.

    `message` says what is wrong, `next_step` what to do about it.
    """

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message}\n  next: {self.next_step}" if self.next_step else self.message


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in an input file: where it stands, what was expected, and what to try."""

    file: str
    line: int
    """1-based; 0 when the mistake concerns the whole file."""
    key: str
    """The path of the mistaken key, such as `systems[3].level`."""
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        text = f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"
        return f"{text}\n  next: {self.hint}" if self.hint else text


class InputError(SeccheckError):
    """One or more mistakes in files the operator wrote, all of them found in one pass."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def at(cls, file: object, message: str, *, line: int = 0, key: str = "", hint: str = "") -> InputError:
        """The error for one mistake at one place."""
        return cls([Problem(str(file), line, key, message, hint)])


class PluginError(SeccheckError):
    """A probe or report plugin is missing, broken, or lacks an optional dependency."""


class JournalError(SeccheckError):
    """A run folder or its journal cannot be used: locked, damaged, or of another plan."""


class ExecutorError(SeccheckError):
    """The machinery that runs jobs could not start or was lost."""
