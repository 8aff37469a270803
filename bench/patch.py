"""Patch level: `seccheck scan` of the PAT criteria and `nmap -sV` over the same hosts and ports, in one run.

    python bench/patch.py [--hosts 124] [--runs 3] [--plain]

One nginx serves HTTP and HTTPS on every address. nmap runs tuned (`--min-parallelism 300`), and with
`--plain` once with its defaults, which takes about as many seconds as there are hosts. Every version that
nmap finds must be among the facts. Exit status 1: one is missing, or a ratio is below `--tuned`/`--default`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

import yaml

from tests.tools import free_port, running, tool

CRITERIA = "PAT-01,PAT-02,PAT-03,PAT-04"


@contextmanager
def hosts(folder: Path, addresses: list[str]) -> Iterator[tuple[int, int]]:
    """One nginx on all addresses; gives the ports of HTTP and HTTPS."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    made = [
        tool("openssl"),
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "30",
        "-subj",
        "/CN=bench",
    ]
    subprocess.run([*made, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    plain, secure = free_port(), free_port()
    listens = "".join(f"listen {at}:{plain}; listen {at}:{secure} ssl;" for at in addresses)
    temporary = "".join(
        f"{name}_temp_path {folder / name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit;"
        f"events {{ worker_connections 4096; }} http {{ access_log off; {temporary}"
        f"server {{ {listens} ssl_certificate {cert}; ssl_certificate_key {key}; return 200 ok; }} }}"
    )
    command = [tool("nginx"), "-p", folder, "-e", "stderr", "-c", configuration]
    with running(*command, ports=(plain, secure), address=addresses[0]):
        yield plain, secure


def registry(folder: Path, addresses: list[str], plain: int, secure: int) -> Path:
    """A registry of one system per address with both its services."""
    systems = [
        {
            "id": f"host-{number}",
            "unit": "bench",
            "name": {"vi": f"Máy {number}", "en": f"Host {number}"},
            "level": 3,
            "targets": [f"http://{address}:{plain}/", f"https://{address}:{secure}/"],
        }
        for number, address in enumerate(addresses, 1)
    ]
    document = {
        "seccheck": "registry/1",
        "name": {"vi": "Đo", "en": "Bench"},
        "units": [{"id": "bench", "kind": "ministry", "name": {"vi": "Đo", "en": "Bench"}}],
        "networks": ["127.0.0.0/8"],
        "systems": systems,
    }
    path = folder / "registry.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    return path


def scan(folder: Path, listed: Path, run: int) -> set[str]:
    """The versions among the facts of one scan."""
    out = folder / f"run-{run}"
    command = [sys.executable, "-m", "seccheck", "scan", "-r", str(listed), "-c", "project06-2024"]
    command += ["--select", CRITERIA, "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return versions_in(out / "journal.jsonl")


def versions_in(journal: Path) -> set[str]:
    """Every `product version` that was recorded, once per look."""
    found = []
    for line in journal.read_text(encoding="utf-8").splitlines():
        facts = json.loads(line).get("observation", {}).get("facts") or {}
        found += [f"{product['name']} {product['version']}" for product in facts.get("products") or ()]
    return {f"{len(found)} products", *found}


def nmap(addresses: list[str], ports: tuple[int, int], *options: str) -> set[str]:
    """The versions that nmap finds."""
    command = [tool("nmap"), "-sT", "-sV", "-n", "-Pn", "-oX", "-", "-p", f"{ports[0]},{ports[1]}", *options]
    xml = subprocess.run([*command, *addresses], check=True, capture_output=True).stdout
    services = ET.fromstring(xml).iter("service")
    found = [f"{service.get('product', '')} {service.get('version', '')}" for service in services]
    return {f"{len(found)} products", *found}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=int, default=124)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--plain", action="store_true", help="also measure nmap with its defaults (minutes)")
    parser.add_argument("--tuned", type=float, default=4.0, help="the least ratio to tuned nmap")
    parser.add_argument("--default", type=float, default=20.0, help="the least ratio to nmap's defaults")
    options = parser.parse_args()
    addresses = [f"127.77.{number // 250}.{number % 250 + 1}" for number in range(options.hosts)]
    took: dict[str, float] = {}
    seen: dict[str, set[str]] = {}

    def measure(name: str, found: set[str], started: float) -> None:
        seconds = time.perf_counter() - started
        took[name] = min(seconds, took.get(name, seconds))
        seen[name] = found
        print(f"  {name:16} {seconds:7.2f} s   {', '.join(sorted(found))}", file=sys.stderr)

    with tempfile.TemporaryDirectory() as name, hosts(Path(name), addresses) as ports:
        listed = registry(Path(name), addresses, *ports)
        for run in range(options.runs):
            started = time.perf_counter()
            measure("seccheck scan", scan(Path(name), listed, run), started)
            started = time.perf_counter()
            measure("nmap, tuned", nmap(addresses, ports, "--min-parallelism", "300"), started)
        if options.plain:
            started = time.perf_counter()
            measure("nmap, defaults", nmap(addresses, ports), started)
    limits = {"nmap, tuned": options.tuned, "nmap, defaults": options.default}
    ok = seen["seccheck scan"] == seen["nmap, tuned"]
    for peer, seconds in took.items():
        if peer in limits:
            ratio = seconds / took["seccheck scan"]
            ok &= ratio >= limits[peer]
            print(f"{peer}: {seconds:.1f} s, {ratio:.1f} times seccheck's time (wanted: {limits[peer]:g})")
    print(f"seccheck scan: {took['seccheck scan']:.2f} s for {options.hosts} hosts, two services each")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
