"""The tls probe beside sslyze, nmap's scripts and testssl.sh, on the same servers, in one run.

    python bench/tls.py [--targets 1 10 124 500] [--peers core seccheck nmap …] [--delay] [--runs 3]

Prints for each way and number of targets: connections a target (counted by the server), seconds, CPU
seconds and peak memory of the scanner with its children, and how many targets it told the true versions
of; then the ratios that are claimed. Slow peers are asked about few targets (`MOST`). `--delay` adds a proxy
that holds every byte back for 30 ms each way, and a connection for a round trip. State ratios, not
seconds: they are of one run on one machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

ASKS = {
    "core": ("versions", "suites", "certificates"),
    "seccheck": ("offered", "versions", "suites", "groups", "certificates", "features"),
    "all": ("offered", "versions", "suites", "groups", "certificates", "features", "flaws", "fallback"),
}
"""What is asked: the core in seven connections; all of TLS-01 to TLS-09 and CRT; the known flaws as well."""
SSLYZE_ALL = ("--json_out=-",)
SSLYZE_MIN = (
    *SSLYZE_ALL, "--mozilla_config=disable", "--certinfo", "--http_headers",
    "--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3",
)  # fmt: skip
PEERS = {"nmap": 500, "sslyze-min": 124, "sslyze": 10, "testssl": 1}
OURS = ("core", "seccheck", "all", "scan")
MOST = dict.fromkeys(OURS, 1000) | PEERS
DELAY = 0.03
NEW, OLD = {"TLSv1.2", "TLSv1.3"}, {"TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"}


@dataclass(frozen=True)
class Measured:
    """One way of asking, once."""

    seconds: float
    cpu: float
    megabytes: float
    connections: float
    right: int


@dataclass(frozen=True)
class Yard:
    """The servers: addresses, the port, and where nginx counts."""

    addresses: list[str]
    port: int
    status: int

    def truth(self, address: str) -> set[str]:
        """The versions of a server: every fifth has old ones on."""
        return OLD if self.addresses.index(address) % 5 == 4 else NEW

    def accepted(self) -> int:
        """Connections that nginx has accepted, this one included."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status}/") as answer:
            return int(answer.read().split(b"\n")[2].split()[0])


@contextmanager
def served(folder: Path, number: int) -> Iterator[Yard]:
    """`number` addresses of one nginx."""
    from tests.probes.tls.servers import _free_ports, block

    run = subprocess.run
    files = folder / "chain.pem", folder / "key.pem"
    request = "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=bench"
    run(["openssl", *request.split(), "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    port, status = _free_ports(2)
    addresses = [f"127.1.{place // 200 + 1}.{place % 200 + 1}" for place in range(number)]
    old = {"protocols": "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3", "ciphers": "ECDHE+AESGCM:ECDHE+AES:@SECLEVEL=0"}
    blocks = [f"server {{ listen 127.0.0.1:{status}; location / {{ stub_status; }} }}"]
    for place, address in enumerate(addresses):
        text = block(*files, listen=f"{address}:{port}", **(old if place % 5 == 4 else {}))
        blocks.append(f"server {{ {text} location / {{ return 200 ok; }} }}")
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log;\n"
        "events { worker_connections 8192; }\n"
        f"http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        + "\n".join(blocks)
        + "\n}\n"
    )
    nginx = subprocess.Popen(["nginx", "-p", folder, "-c", config], env={**os.environ, "PATH": _PATH})
    yard = Yard(addresses, port, status)
    try:
        for _ in range(100):
            try:
                yard.accepted()
                break
            except OSError:
                time.sleep(0.05)
        yield yard
    finally:
        nginx.terminate()
        nginx.wait()


_PATH = os.environ.get("PATH", "") + ":/usr/sbin"


def measured(
    yard: Yard, addresses: list[str], command: list[str], read: Callable[[str], dict[str, set[str]]]
) -> Measured:
    """Run `command` once; `read` makes the versions by address of what it prints."""
    before = yard.accepted()
    with tempfile.TemporaryFile("w+") as out:
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PATH": _PATH},
        )
        _, _, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = 0
        out.seek(0)
        said = read(out.read())
    connections = yard.accepted() - before - 1
    right = sum(said.get(address) == yard.truth(address) for address in addresses)
    return Measured(
        seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, connections / len(addresses), right
    )


# -------------------------------------------------------------------------------------- the ways of asking


def look(arguments: list[str]) -> None:
    """Be the scanner: the probe in this process, as a worker runs it."""
    from collections import deque

    from seccheck.probes import Answer, Endpoint, Look
    from seccheck.probes.tls import PROBE
    from seccheck.probes.tls.facts import TlsParams
    from seccheck.scope import UNLIMITED, Context, Permission, Scope

    name, port, *addresses = arguments
    params = TlsParams(ask=ASKS[name], thorough=name != "core")  # type: ignore[arg-type]

    class Looks:
        left: deque[Look] = deque()

        def take(self, wait: float) -> Look | None:  # noqa: ARG002
            return self.left.popleft() if self.left else None

        @property
        def closed(self) -> bool:
            return not self.left

    for address in addresses:
        endpoint = Endpoint(host="bench.example.vn", address=address, port=int(port), service="https")
        Looks.left.append(Look(key=address, endpoint=endpoint, params=params))
    said: dict[str, list[str]] = {}

    def emit(answer: Answer) -> None:
        said[answer.key] = list(answer.facts.versions) if answer.facts else []

    assert PROBE.collect_many
    scope = Scope(permissions=(Permission(network="127.0.0.0/8", limits=UNLIMITED),))
    PROBE.collect_many(Looks(), emit, Context(scope))
    print(json.dumps(said))


def _seccheck(
    name: str,
) -> Callable[[list[str], int], tuple[list[str], Callable[[str], dict[str, set[str]]]]]:
    def way(addresses: list[str], port: int) -> tuple[list[str], Callable[[str], dict[str, set[str]]]]:
        command = [sys.executable, __file__, "--look", name, str(port), *addresses]
        return command, lambda text: {key: set(value) for key, value in json.loads(text).items()}

    return way


def _scan(addresses: list[str], port: int) -> tuple[list[str], Callable[[str], dict[str, set[str]]]]:
    """The whole program, from start to report."""
    folder = Path(tempfile.mkdtemp())
    registry = folder / "registry.yaml"
    systems = [
        f"- {{id: s{place}, unit: u, name: {{en: B, vi: B}}, level: 3, targets: [{{id: t, "
        f"host: bench.example.vn, address: {address}, port: {port}, service: https}}]}}\n"
        for place, address in enumerate(addresses)
    ]
    registry.write_text(
        "seccheck: registry/1\nname: {en: Bench, vi: Bench}\n"
        "units: [{id: u, kind: other, name: {en: U, vi: U}}]\nsystems:\n" + "".join(systems)
    )

    def read(_text: str) -> dict[str, set[str]]:
        found = {}
        for line in (folder / "run/journal.jsonl").read_text().splitlines():
            look = json.loads(line).get("observation", {})
            if look.get("probe") == "tls":
                found[look["endpoint"]["address"]] = set((look["facts"] or {}).get("versions", ()))
        return found

    command = [sys.executable, "-m", "seccheck", "scan", "-r", str(registry), "-c", "project06-2024"]
    return [*command, "--select", "TLS-0*,CRT-*", "--out", str(folder / "run")], read


_SSLYZE_NAMES = {"tls_1_0": "TLSv1.0", "tls_1_1": "TLSv1.1", "tls_1_2": "TLSv1.2", "tls_1_3": "TLSv1.3"}


def _sslyze(options: tuple[str, ...]):  # type: ignore[no-untyped-def]
    def read(text: str) -> dict[str, set[str]]:
        said = {}
        for one in json.loads(text)["server_scan_results"]:
            result = one["scan_result"] or {}
            found = {
                name
                for key, name in _SSLYZE_NAMES.items()
                if ((result.get(f"{key}_cipher_suites") or {}).get("result") or {}).get(
                    "accepted_cipher_suites"
                )
            }
            said[one["server_location"]["ip_address"]] = found
        return said

    def way(addresses: list[str], port: int) -> tuple[list[str], Callable[[str], dict[str, set[str]]]]:
        targets = [f"bench.example.vn:{port}{{{address}}}" for address in addresses]
        return [sys.executable, "-m", "sslyze", *options, *targets], read

    return way


def _nmap(addresses: list[str], port: int) -> tuple[list[str], Callable[[str], dict[str, set[str]]]]:
    def read(text: str) -> dict[str, set[str]]:
        hosts = re.split(r"Nmap scan report for ", text)[1:]
        found = {}
        for host in hosts:
            address = re.search(r"127\.[\d.]+", host)
            if address:
                found[address[0]] = {
                    f"TLSv{v}" for v in re.findall(r"^\|\s+TLSv(1\.\d):", host, re.MULTILINE)
                }
        return found

    options = ["-Pn", "-n", "-sT", "-p", str(port), "--script", "+ssl-enum-ciphers,+ssl-cert"]
    return ["nmap", *options, *addresses], read


def _testssl(addresses: list[str], port: int) -> tuple[list[str], Callable[[str], dict[str, set[str]]]]:
    names = {"TLS1": "TLSv1.0", "TLS1_1": "TLSv1.1", "TLS1_2": "TLSv1.2", "TLS1_3": "TLSv1.3"}
    report = Path(tempfile.mkdtemp()) / "testssl.json"

    def read(_text: str) -> dict[str, set[str]]:
        rows = json.loads(report.read_text())
        found = {
            names[row["id"]] for row in rows if row["id"] in names and row["finding"].startswith("offered")
        }
        return {addresses[0]: found}

    command = ["testssl", "--quiet", "--jsonfile", str(report), "-p", "-S", "-h", f"{addresses[0]}:{port}"]
    return command, read


WAYS = {
    "core": _seccheck("core"),
    "seccheck": _seccheck("seccheck"),
    "all": _seccheck("all"),
    "scan": _scan,
    "nmap": _nmap,
    "sslyze-min": _sslyze(SSLYZE_MIN),
    "sslyze": _sslyze(SSLYZE_ALL),
    "testssl": _testssl,
}


# -------------------------------------------------------------------------------------- delay


async def _hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: float) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time() + first
    try:
        while data := await reader.read(65536):
            due = max(due, loop.time() + DELAY)
            await asyncio.sleep(due - loop.time())
            writer.write(data)
            await writer.drain()
        await asyncio.sleep(DELAY)
    except OSError:
        pass
    writer.close()


def delay(arguments: list[str]) -> None:
    """Be the proxy: every byte waits 30 ms each way, and the first a round trip more, for the connection."""
    port, to, *addresses = arguments
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("sockname")[0]
        try:
            far_reader, far_writer = await asyncio.open_connection(address, int(to))
        except OSError:
            writer.close()
            return
        await asyncio.gather(_hold(reader, far_writer, 3 * DELAY), _hold(far_reader, writer, 0.0))

    async def main() -> None:
        for address in addresses:
            await asyncio.start_server(serve, address, int(port), backlog=256)
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

    asyncio.run(main())


@contextmanager
def delayed(yard: Yard) -> Iterator[int]:
    """The port of a delaying proxy before every address."""
    from tests.probes.tls.servers import _free_ports

    (port,) = _free_ports(1)
    command = [sys.executable, __file__, "--be-slow", str(port), str(yard.port), *yard.addresses]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdin  # noqa: PT018
        process.stdout.readline()
        yield port
        process.stdin.close()


# -------------------------------------------------------------------------------------- the table


def show(name: str, number: int, found: list[Measured]) -> Measured:
    """Print the medians of some runs, and give them."""
    middle = Measured(
        *(
            statistics.median(getattr(one, field) for one in found)
            for field in ("seconds", "cpu", "megabytes", "connections")
        ),
        right=min(one.right for one in found),
    )
    print(
        f"{name:<20}{number:>5} targets {middle.connections:>7.1f} connections {middle.seconds:>8.2f} s"
        f" {middle.cpu:>7.2f} s CPU {middle.megabytes:>6.0f} MB   {middle.right} of {number} right",
        flush=True,
    )
    return middle


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--targets", type=int, nargs="+", default=[1, 10, 124, 500])
    parser.add_argument("--peers", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--delay", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), max(options.targets)) as yard:
        medians: dict[tuple[str, int], Measured] = {}
        for number in options.targets:
            addresses = yard.addresses[:number]
            for name in options.peers:
                if number > MOST[name]:
                    continue
                runs = options.runs if name in {*OURS, "nmap"} else 1
                found = [measured(yard, addresses, *WAYS[name](addresses, yard.port)) for _ in range(runs)]
                medians[name, number] = show(name, number, found)
            for peer, way in product(PEERS, OURS):
                if {(peer, number), (way, number)} <= medians.keys():
                    times = medians[peer, number].seconds / medians[way, number].seconds
                    print(f"  {way} is {times:.1f} times as fast as {peer} at {number} targets")
        if options.delay:
            with delayed(yard) as port:
                for name in [name for name in (*OURS, "nmap") if name in options.peers]:
                    addresses = yard.addresses[:124]
                    show(
                        f"{name} (30 ms)",
                        len(addresses),
                        [measured(yard, addresses, *WAYS[name](addresses, port))],
                    )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    if sys.argv[1:2] == ["--look"]:
        look(sys.argv[2:])
    elif sys.argv[1:2] == ["--be-slow"]:
        delay(sys.argv[2:])
    else:
        main()
