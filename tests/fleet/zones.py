"""Zones signed with BIND's tools below a root of their own, and the name servers that serve them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.tools import running, tool

SOA = "@ SOA ns.{origin} soc.{origin} 1 3600 600 86400 60\n@ NS ns.{origin}\n"
PAST = ("-s", "20200101000000", "-e", "20200201000000")


@dataclass
class Zone:
    """One zone below the root: its records, how it is signed, and who may have all of it."""

    name: str
    records: str = ""
    signed: bool = True
    options: tuple[str, ...] = ()
    """For dnssec-signzone, such as a time in the past, or NSEC3."""
    transfer: bool = False
    broken: bool = False
    """Whether its name server has lost it, and answers SERVFAIL."""
    server: str = ""
    """The address of its name server, where that is not the one of all."""


class Tree:
    """A root and the zones it delegates to, on disk."""

    def __init__(self, folder: Path, address: str, zones: list[Zone]) -> None:
        self.folder, self.zones = folder, zones
        self.files: dict[str, Path] = {}
        delegations = ""
        for zone in zones:
            origin = f"{zone.name}."
            place = zone.server or address
            delegations += f"{origin} NS ns.{origin}\nns.{origin} A {place}\n"
            text = SOA.format(origin=origin) + f"ns A {place}\n" + zone.records
            key = self._key(origin) if zone.signed else ""
            self.files[origin] = self._write(origin, text, key, *zone.options)
            delegations += self._ds(key) if key else ""
            if zone.broken:
                self.files[origin].unlink()
        key = self._key(".")
        root = SOA.format(origin="root.") + f"ns.root. A {address}\n" + delegations
        self.files["."] = self._write(".", root, key)
        self.anchor = folder / "anchor"
        """The trust anchor of the root."""
        self.anchor.write_text(self._ds(key))

    def _run(self, name: str, *options: str | Path) -> str:
        command = [tool(name), *map(str, options)]
        done = subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout

    def _key(self, origin: str) -> str:
        return self._run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", origin).strip()

    def _ds(self, key: str) -> str:
        return self._run("dnssec-dsfromkey", "-2", f"{key}.key")

    def _write(self, origin: str, text: str, key: str, *options: str) -> Path:
        plain, signed = self.folder / f"plain-{origin}zone", self.folder / f"signed-{origin}zone"
        plain.write_text(f"$ORIGIN {origin}\n$TTL 60\n{text}" + (f"$INCLUDE {key}.key\n" if key else ""))
        if not key:
            return plain
        self._run("dnssec-signzone", "-P", "-z", "-o", origin, "-f", signed, *options, plain)
        return signed


@contextmanager
def nsd(tree: Tree, address: str, port: int) -> Iterator[None]:
    """NSD with the whole tree."""
    folder = tree.folder
    lines = [
        "server:",
        f"  ip-address: {address}@{port}",
        '  username: ""',
        '  chroot: ""',
        '  database: ""',
        f'  pidfile: "{folder}/pid"',
        f'  xfrdfile: "{folder}/xfrd"',
        f'  zonelistfile: "{folder}/list"',
        f'  xfrdir: "{folder}"',
        "  server-count: 1",
        "remote-control:",
        "  control-enable: no",
    ]
    given = {f"{zone.name}." for zone in tree.zones if zone.transfer}
    for origin, path in tree.files.items():
        lines += ["zone:", f'  name: "{origin}"', f'  zonefile: "{path}"']
        lines += ["  provide-xfr: 127.0.0.0/8 NOKEY"] if origin in given else []
    (folder / "nsd.conf").write_text("\n".join(lines) + "\n")
    with running(tool("nsd"), "-d", "-c", folder / "nsd.conf", ports=(port,), address=address):
        yield


@contextmanager
def open_resolver(folder: Path, port: int, authority: tuple[str, int]) -> Iterator[None]:
    """BIND that answers everybody everything, by asking the authority; on 127.0.0.1, all it knows of here."""
    (folder / "named.conf").write_text(
        f'options {{ directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }};\n'
        f'listen-on-v6 {{ none; }}; pid-file none; session-keyfile "{folder}/session.key";\n'
        "recursion yes; allow-query { any; }; allow-recursion { any; };\n"
        "dnssec-validation no; empty-zones-enable no; forward only;\n"
        f"forwarders {{ {authority[0]} port {authority[1]}; }}; }};\ncontrols {{ }};\n"
    )
    command = (tool("named"), "-g", "-n", "1", "-c", folder / "named.conf")
    with running(*command, ports=(port,)):
        yield
