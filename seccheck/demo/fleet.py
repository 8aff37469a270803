"""The demonstration fleet: one helper process that serves 124 systems on loopback.

`Fleet` starts and ends the helper; run as a module, this file is the helper. What the fleet gets wrong on
purpose is data: `systems` (who has which defect) and `defects` (what each defect does and breaks).
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from seccheck.errors import SeccheckError

_START_SECONDS = 60


class Fleet:
    """The running fleet, as a context manager. Nothing of it outlives the process that started it."""

    def __init__(
        self, *, extra_defects: Mapping[str, Iterable[str]] | None = None, one_address: bool | None = None
    ) -> None:
        """Take defects to add, by system; `one_address` forces the layout for 127.0.0.1 alone."""
        self._extra = {system: tuple(defects) for system, defects in (extra_defects or {}).items()}
        self._wanted_one_address = one_address
        self._helper: subprocess.Popen[bytes] | None = None
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
        command = [sys.executable, "-m", "seccheck.demo.fleet", str(folder.resolve())]
        if self._wanted_one_address is not None:
            command.append("--one-address" if self._wanted_one_address else "--many-addresses")
        for system, defects in self._extra.items():
            command += [f"--defect={system}={','.join(defects)}"]
        self._helper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        message = self._first_message()
        if "error" in message:
            self.stop()
            raise SeccheckError(message["error"], next_step=message["next_step"])
        self.one_address = message["one_address"]
        self.machine_ports = tuple(message["machine_ports"])
        self.waivers = Path(message["waivers"]) if message["waivers"] else None
        return Path(message["registry"])

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

    def stop(self) -> None:
        """End the helper and wait until it is gone."""
        helper, self._helper = self._helper, None
        if helper is None:
            return
        for stream in (helper.stdin, helper.stdout):
            if stream:
                stream.close()
        try:
            helper.wait(5)
        except subprocess.TimeoutExpired:
            helper.kill()
            helper.wait()

    @property
    def pid(self) -> int | None:
        """The helper's process id; None when it is not running."""
        return self._helper.pid if self._helper else None

    def expected(self) -> dict[str, set[str]]:
        """What each system fails by its defects, by system id."""
        return expected(extra_defects=self._extra, one_address=self.one_address)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def expected(
    *, extra_defects: Mapping[str, Iterable[str]] | None = None, one_address: bool = False
) -> dict[str, set[str]]:
    """The criteria each system fails, by the defects it was given: the truth to compare verdicts with."""
    from seccheck.demo.systems import systems

    return {one.id: one.fails() for one in systems(one_address=one_address, extra_defects=extra_defects)}


def main(arguments: list[str] | None = None) -> int:
    """Serve the fleet until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m seccheck.demo.fleet")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--defect", action="append", default=[], metavar="SYSTEM=DEFECT,...")
    parser.add_argument("--one-address", action="store_true", default=None)
    parser.add_argument("--many-addresses", dest="one_address", action="store_false")
    chosen = parser.parse_args(arguments)
    extra = {
        system: defects.split(",") for system, _, defects in (one.partition("=") for one in chosen.defect)
    }
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, whose end is ours
    _allow_many_sockets()
    try:
        _serve(chosen.folder, extra, chosen.one_address)
    except SeccheckError as error:
        _say({"error": error.message, "next_step": error.next_step})
        return 2
    return 0


def _serve(folder: Path, extra: Mapping[str, Iterable[str]], one_address: bool | None) -> None:
    from seccheck.demo import layout, machine, papers, serve
    from seccheck.demo.certificates import Authority
    from seccheck.demo.loop import Loop
    from seccheck.demo.systems import systems

    alone = not machine.many_addresses() if one_address is None else one_address
    wanted = systems(one_address=alone, extra_defects=extra)
    fleet = layout.bind(wanted, machine.look_at_machine(one_address=alone), one_address=alone)
    authority = Authority()
    loop = Loop()
    serve.serve(loop, fleet, authority)
    registry = papers.write(folder, fleet, authority)
    waivers = folder / "waivers.yaml"
    loop.stop_at_end_of(sys.stdin.buffer)
    _say(
        {
            "registry": str(registry),
            "one_address": alone,
            "machine_ports": fleet.machine.tcp,
            "waivers": str(waivers) if waivers.exists() else "",
        }
    )
    loop.run()


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _allow_many_sockets() -> None:
    """Raise the soft limit of open files, which is 256 on some systems."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main())
