"""axe-core, the accessibility checker: fetched once with npm, kept in the user's cache, never shipped."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

VERSION = "4.14.1"
SHA512 = (
    "1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b73"
    "4f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5"
)
"""Of the package as the npm registry gives it out."""
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seccheck-tests"


def axe_source() -> str:
    """The script of axe-core; fails the test with the line that fetches it when it cannot be had."""
    script = CACHE / f"axe-core-{VERSION}.min.js"
    if not script.is_file():
        _fetch(script)
    return script.read_text("utf-8")


def _fetch(script: Path) -> None:
    command = f"npm pack axe-core@{VERSION}"
    npm = shutil.which("npm")
    if npm is None:
        pytest.fail(f"axe-core is missing and npm, which fetches it, too; apt-get install npm ({command})")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [npm, "pack", "--silent", f"axe-core@{VERSION}"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        package = Path(folder) / f"axe-core-{VERSION}.tgz"
        if not package.is_file():
            pytest.fail(f"axe-core could not be fetched by `{command}`:\n{done.stderr}")
        data = package.read_bytes()
        assert hashlib.sha512(data).hexdigest() == SHA512, "the package of axe-core is not the one expected"
        with tarfile.open(package) as archive:
            member = archive.extractfile("package/axe.min.js")
            assert member
            script.parent.mkdir(parents=True, exist_ok=True)
            draft = script.with_suffix(f".{os.getpid()}")
            draft.write_bytes(member.read())
            draft.replace(script)
