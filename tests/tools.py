"""The programs of Debian that tests run against, and ports for them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

import pytest

PACKAGES = {
    "nginx": "nginx",
    "openssl": "openssl",
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "redis-server": "redis-server",
    "vsftpd": "vsftpd",
    "postgres": "postgresql",
    "nmap": "nmap",
    "stunnel4": "stunnel4",
    "chromium": "chromium",
    "postfix": "postfix",
    "dovecot": "dovecot-imapd",
    "knotd": "knot",
    "keymgr": "knot",
    "nsd": "nsd",
    "named": "bind9",
    "delv": "bind9-dnsutils",
    "dnssec-keygen": "bind9-utils",
    "dnssec-signzone": "bind9-utils",
    "memcached": "memcached",
    "slapd": "slapd",
    "snmpd": "snmpd",
    "mariadbd": "mariadb-server",
    "testssl": "testssl.sh",
}
_PLACES = "/usr/sbin:/usr/local/sbin:/sbin"


def tool(name: str) -> str:
    """The path of a program; fails the test with the line that installs it when it is missing."""
    path = shutil.which(name) or shutil.which(name, path=_PLACES)
    if path is None:
        pytest.fail(f"{name} is missing; install it with: apt-get install {PACKAGES.get(name, name)}")
    return path


def free_port(address: str = "127.0.0.1", kind: int = socket.SOCK_STREAM) -> int:
    """A port of `address` that nobody listens on, above 1023."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as sock:
        sock.bind((address, 0))
        return int(sock.getsockname()[1])


def wait_for(condition: Callable[[], bool], seconds: float = 15.0, what: str = "the server") -> None:
    """Wait until `condition` holds; fails the test when it does not in time."""
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            pytest.fail(f"{what} is not ready after {seconds} s")
        time.sleep(0.03)


def listens(port: int, address: str = "127.0.0.1") -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def running(
    *command: str | Path,
    ports: tuple[int, ...] = (),
    address: str = "127.0.0.1",
    cwd: Path | None = None,
    master: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in the foreground until the block ends; ready when it listens on `ports`.

    `master`: the file in which a server that leaves the process we started writes its own id.
    """
    with TemporaryFile() as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            start_new_session=True,
        )
        try:
            give_up = time.monotonic() + 30
            for port in ports:
                while not listens(port, address):
                    if process.poll() is not None or time.monotonic() > give_up:
                        log.seek(0)
                        said = log.read().decode(errors="replace")
                        pytest.fail(f"{command[0]} does not listen on {port}:\n{said}")
                    time.sleep(0.03)
            yield process
        finally:
            if master is not None and master.exists():
                with suppress(ProcessLookupError):
                    os.kill(int(master.read_text()), signal.SIGTERM)
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def seccheck(*words: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as its users run it, to its end; not as on GitHub, wherever the tests run."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GITHUB_")}
    return subprocess.run(
        [sys.executable, "-m", "seccheck", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**kept, **environment},
        check=False,
        timeout=120,
    )
