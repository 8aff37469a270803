"""The demonstration fleet as its user sees it: 124 systems on loopback, served by one helper process.

The helper is `python -m seccheck.demo`. What the fleet gets wrong on purpose is data: `systems` (who has
which defect) and `defects` (what each defect does and breaks).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from seccheck.errors import SeccheckError

if TYPE_CHECKING:
    from seccheck.demo.systems import Profile


class Fleet:
    """The running fleet, as a context manager. Nothing of it outlives the process that started it."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        extra_defects: Mapping[str, Iterable[str]] | None = None,
        one_address: bool | None = None,
    ) -> None:
        """Take a folder to start in when entered, and defects to add, by system.

        `one_address` forces the layout for machines with 127.0.0.1 alone.
        """
        self._folder = folder
        self._extra = {system: tuple(defects) for system, defects in (extra_defects or {}).items()}
        self._wanted_one_address = one_address
        self._helper: subprocess.Popen[bytes] | None = None
        self.registry = Path()
        """The registry that was written."""
        self.one_address = False
        """Whether all systems share 127.0.0.1."""
        self.machine_ports: tuple[int, ...] = ()
        """TCP ports that this machine showed on every loopback address before; the registry approves them."""
        self.waivers: Path | None = None
        """A waiver file, when the machine's own ports break criteria for every system."""

    def start(self, folder: Path) -> Path:
        """Start serving; writes the registry and what it needs into `folder` and gives its path.

        Raises `SeccheckError` when the fleet cannot be had.
        """
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "seccheck.demo", str(folder.resolve())]
        if self._wanted_one_address is not None:
            command.append("--one-address" if self._wanted_one_address else "--many-addresses")
        for system, defects in self._extra.items():
            command += [f"--defect={system}={','.join(defects)}"]
        self._helper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            message = self._first_message()
        except BaseException:
            self.stop()
            raise
        if "error" in message:
            self.stop()
            raise SeccheckError(message["error"], next_step=message["next_step"])
        self.one_address = message["one_address"]
        self.machine_ports = tuple(message["machine_ports"])
        self.waivers = Path(message["waivers"]) if message["waivers"] else None
        self.registry = Path(message["registry"])
        return self.registry

    def _first_message(self) -> dict[str, Any]:
        if self._helper is None or self._helper.stdout is None:
            raise RuntimeError("start the fleet first")
        line = self._helper.stdout.readline()
        if not line:
            return {
                "error": f"the demonstration fleet ended at its start (exit status {self._helper.wait()})",
                "next_step": "see its message above",
            }
        message: dict[str, Any] = json.loads(line)
        return message

    def wait(self) -> None:
        """Wait until the helper ends, which it does not do by itself."""
        if self._helper:
            self._helper.wait()

    def stop(self) -> None:
        """End the helper and wait until it is gone."""
        helper, self._helper = self._helper, None
        if helper is None:
            return
        for stream in (helper.stdin, helper.stdout):
            if stream:
                stream.close()
        helper.terminate()  # a forked worker of ours may still hold the other end of its input
        helper.wait()

    @property
    def pid(self) -> int | None:
        """The helper's process id; None when it is not running."""
        return self._helper.pid if self._helper else None

    def expected(self, profile: Profile = "full") -> dict[str, set[str]]:
        """What each system fails by its defects, by system id."""
        return expected(extra_defects=self._extra, one_address=self.one_address, profile=profile)

    def __enter__(self) -> Self:
        if self._folder:
            self.start(self._folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def expected(
    *,
    extra_defects: Mapping[str, Iterable[str]] | None = None,
    one_address: bool = False,
    profile: Profile = "full",
) -> dict[str, set[str]]:
    """The criteria each system fails, by the defects it was given: the truth to compare verdicts with."""
    from seccheck.demo.systems import systems

    made = systems(one_address=one_address, extra_defects=extra_defects)
    return {one.id: one.fails(profile) for one in made}
