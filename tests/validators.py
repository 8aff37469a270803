"""Validators that are not written here, in an environment of their own beside the one that tests run in."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from functools import cache
from pathlib import Path

import pytest

LOCK = Path(__file__).with_suffix(".lock")


@cache
def _environment() -> Path:
    """The folder with the validators' programs; made on first use, anew when the lock file changes."""
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    place = Path(sys.prefix) / "validators"
    stamp = place / "made-from"
    if not stamp.is_file() or stamp.read_text() != wanted:
        venv.create(place, clear=True, with_pip=True)
        install = [place / "bin/pip", "install", "--quiet", "--require-hashes", "-r", LOCK]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(f"the validators cannot be installed; is a package index reachable?\n{done.stderr}")
        stamp.write_text(wanted)
    return place / "bin"


def validator(program: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one of the validators' programs."""
    command = [_environment() / program, *words]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=120)
