"""Make sure the servers that the tests run against are there; install them where that is possible."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

LIST = Path(__file__).parent.parent / "tests" / "debian-packages.txt"


def missing() -> list[str]:
    """The Debian packages whose command is not found. A line of the list: package, command."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    lines = [
        line.split() for line in LIST.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"
    ]
    return [package for package, command in lines if not _there(command, path)]


def _there(command: str, path: str) -> bool:
    return bool(shutil.which(command, path=path)) or any(Path("/").glob(command.lstrip("/")))


def main() -> None:
    """Install what is missing as root on Debian; say the line to type anywhere else."""
    packages = missing()
    if not packages:
        return
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit(f"the tests need servers that are not here. Install them: sudo {' '.join(install)}")
    guard = Path("/usr/sbin/policy-rc.d")
    ours = not guard.exists()
    if ours:
        # The tests start their own servers on loopback; the packages' own services must not start.
        guard.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
        guard.chmod(0o755)
    try:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=True, env=environment)
        subprocess.run([*install, "-qq"], check=True, env=environment, stdout=subprocess.DEVNULL)
    except subprocess.CalledProcessError as error:
        sys.exit(f"apt-get failed ({error.returncode}). The tests need: {' '.join(packages)}")
    finally:
        if ours:
            guard.unlink()
    if still := missing():
        sys.exit(f"installed, yet their commands are not found: {' '.join(still)}")


if __name__ == "__main__":
    main()
