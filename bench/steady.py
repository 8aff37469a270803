"""Hold the gate against the same target again and again, also on a busy machine: its answer must not change.

    python bench/steady.py [--times 50] [--busy 8]

`--busy` keeps so many processes computing meanwhile. Exit status 1 when two answers differ. The criteria
about open ports are left out: what else listens on this machine is nothing that holds still.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seccheck.demo.certificates import Authority

SELECT = "TLS-*,CRT-*,WEB-*,PAT-*"
NGINX = """
daemon off; worker_processes 1; pid {place}/pid; error_log {place}/log;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {place}/b; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f;
  uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
  server {{
    listen 127.0.0.1:{port} ssl; server_name localhost;
    ssl_certificate {place}/chain.pem; ssl_certificate_key {place}/chain.pem;
    ssl_protocols TLSv1.1 TLSv1.2 TLSv1.3; ssl_ciphers "ECDHE:!aNULL:@SECLEVEL=0";
    add_header Strict-Transport-Security "max-age=31536000; includeSubDomains" always;
    location / {{ return 200 "hello"; }}
  }}
}}
"""
Answer = tuple[int, tuple[tuple[str, str | None, str, str | None], ...]]
"""The exit status, and every finding: criterion, target, verdict, reason."""


@contextmanager
def target(place: Path) -> Iterator[str]:
    """An nginx that meets some criteria and fails others; its URL. Its root is in `place`/root.pem."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    authority = Authority()
    (place / "root.pem").write_bytes(authority.root_pem())
    (place / "chain.pem").write_bytes(authority.chain(("localhost",)).pem())
    (place / "nginx.conf").write_text(NGINX.format(place=place, port=port), encoding="utf-8")
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "nginx"
    command = [program, "-e", str(place / "log"), "-p", str(place), "-c", str(place / "nginx.conf")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            yield f"https://localhost:{port}"
        finally:
            server.terminate()


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that do nothing but compute."""
    spinning = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(processes)]
    for one in spinning:
        one.start()
    try:
        yield
    finally:
        for one in spinning:
            one.terminate()
            one.join()


def _spin() -> None:
    while True:
        sum(range(10_000))


def answer(url: str, root: Path, place: Path, select: str = SELECT) -> Answer:
    """What the gate says now."""
    run = place / "run"
    shutil.rmtree(run, ignore_errors=True)
    command = [sys.executable, "-m", "seccheck", "gate", "--target", url, "--trust", root, "--wait", "20s"]
    command += ["--as-level", "3", "-c", "project06-2026", "--select", select, "--out", run]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if not (run / "results.json").is_file():
        raise SystemExit(f"the gate ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    (system,) = json.loads((run / "results.json").read_bytes())["systems"]
    findings = (
        (one["criterion"], one["target"], one["verdict"], one["reason"]) for one in system["findings"]
    )
    return done.returncode, tuple(findings)


def main() -> int:
    """Ask, and say whether the answer held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--select", default=SELECT)
    options = parser.parse_args()
    answers: Counter[Answer] = Counter()
    seconds = []
    with tempfile.TemporaryDirectory() as folder, busy(options.busy), target(Path(folder)) as url:
        place = Path(folder)
        for _ in range(options.times):
            began = time.monotonic()
            answers[answer(url, place / "root.pem", place, options.select)] += 1
            seconds.append(time.monotonic() - began)
    for (status, findings), count in answers.most_common():
        verdicts = Counter(verdict for _, _, verdict, _ in findings)
        print(f"{count} times: exit status {status}, {dict(verdicts)}")
    if len(answers) > 1:
        sets = [set(findings) for _, findings in answers]
        for finding in sorted(set.union(*sets) - set.intersection(*sets), key=str):
            print("differs:", *finding)
    median = statistics.median(seconds)
    print(f"{options.busy} busy processes; {min(seconds):.1f}/{median:.1f}/{max(seconds):.1f} s a gate")
    return 0 if len(answers) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
