"""Write the lock files: every package with its hashes, no index addresses."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
OPTIONS = (
    *("--generate-hashes", "--allow-unsafe", "--strip-extras", "--no-annotate", "--no-header", "--quiet"),
    *("--no-emit-index-url", "--no-emit-trusted-host", "--no-emit-find-links"),
)
BUILD = ("--build-deps-for", "editable", "--build-deps-for", "wheel")


def lock(name: str, *extra: str, source: str = "pyproject.toml") -> None:
    """Compile one lock file from what `source` asks for."""
    compiler = [sys.executable, "-m", "piptools", "compile", *OPTIONS, *extra, "-o", name, source]
    subprocess.run(compiler, cwd=ROOT, check=True)
    text = (ROOT / name).read_text(encoding="utf-8")
    if re.search(r"://|--(extra-)?index-url|--find-links", text):
        sys.exit(f"{name} names an index; it must not")


if __name__ == "__main__":
    lock("requirements.lock", *BUILD)
    lock("requirements-zones.lock", *BUILD, "--extra", "celery", "--extra", "sql")
    lock("requirements-dev.lock", *BUILD, "--extra", "dev")
    lock("tests/validators.lock", source="tests/validators.in")
