"""The helper process of the demonstration fleet: serves 124 systems until its standard input ends."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from seccheck.errors import SeccheckError


def main(arguments: list[str] | None = None) -> int:
    """Serve the fleet until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m seccheck.demo")
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
    from seccheck.demo.zones import ZoneKey

    alone = not machine.many_addresses() if one_address is None else one_address
    wanted = systems(one_address=alone, extra_defects=extra)
    fleet = layout.bind(wanted, machine.look_at_machine(one_address=alone), one_address=alone)
    authority, zone_key = Authority(), ZoneKey()
    loop = Loop()
    serve.serve(loop, fleet, authority, zone_key)
    registry = papers.write(folder, fleet, authority, zone_key)
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
