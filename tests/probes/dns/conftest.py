"""A tree of zones, signed by BIND's tools in ways that go right and wrong, on real name servers."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from seccheck.scope import UNLIMITED, Context, Permission, Resolver, Scope
from tests.tools import free_port, running, tool

SOA = """@ 60 IN SOA ns.{origin} host.{origin} 1 3600 600 86400 60
@ 60 IN NS ns.{origin}
ns.{origin} 60 IN A 127.0.0.1
"""
SITE = "www 60 IN A 127.0.0.9\nwww 60 IN AAAA ::1\n@ 60 IN A 127.0.0.8\n"
ZONES = {
    "signed.vn": SITE
    + "deep.empty 60 IN A 127.0.0.7\n*.wild 60 IN A 127.0.0.6\nalias 60 IN CNAME www\n"
    + "away 60 IN CNAME www.unsigned.vn.\ndangle 60 IN CNAME gone.unsigned.vn.\n"
    + '@ 60 IN CAA 0 issue "ca.example; account=1"\n@ 60 IN CAA 0 issuewild ";"\n'
    + '@ 60 IN CAA 0 iodef "mailto:a@b"\n'
    + "@ 60 IN MX 10 www\n@ 60 IN MX 20 gone\n",
    "nsec3.vn": SITE + "deep.empty 60 IN A 127.0.0.7\n" + '@ 60 IN CAA 0 issue ";"\n',
    "unsigned.vn": SITE + "@ 60 IN MX 0 .\n",
    "island.vn": SITE + '@ 60 IN CAA 0 iodef "mailto:a@b"\n',
    "expired.vn": SITE,
    "early.vn": SITE,
    "mismatch.vn": SITE,
    "stripped.vn": SITE,
    "changed.vn": SITE,
    "strange.vn": SITE,
    "given.vn": SITE,
    "lame.vn": SITE + "@ 60 IN NS ns.gone.vn.\n",
}


@dataclass(frozen=True)
class Tree:
    """The zone files by origin, and the trust anchor of their root."""

    files: dict[str, Path]
    anchor: str


def _run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, check=True, capture_output=True, text=True
    )
    return done.stdout


class _Signer:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def key(self, origin: str) -> str:
        made = _run(
            tool("dnssec-keygen"), "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", origin, cwd=self.folder
        )
        return made.strip()

    def ds(self, key: str) -> str:
        return _run(tool("dnssec-dsfromkey"), "-2", f"{key}.key", cwd=self.folder)

    def sign(self, origin: str, text: str, key: str, *options: str) -> Path:
        plain = self.folder / f"zone{origin}"
        plain.write_text(f"$ORIGIN {origin}\n{text}$INCLUDE {self.folder}/{key}.key\n")
        signed = self.folder / f"signed{origin}"
        _run(
            tool("dnssec-signzone"), "-P", "-z", "-o", origin, "-f", signed, *options, plain, key,
            cwd=self.folder,
        )  # fmt: skip
        return signed


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    folder = tmp_path_factory.mktemp("zones")
    signer = _Signer(folder)
    files: dict[str, Path] = {}
    delegations = ""
    for name, records in ZONES.items():
        origin = f"{name}."
        text = SOA.format(origin=origin) + records
        delegations += f"{origin} 60 IN NS ns.{origin}\nns.{origin} 60 IN A 127.0.0.1\n"
        if name in {"unsigned.vn", "given.vn", "lame.vn"}:
            files[origin] = folder / f"zone{origin}"
            files[origin].write_text(f"$ORIGIN {origin}\n{text}")
            continue
        key = signer.key(origin)
        options = {
            "nsec3.vn": ["-3", "AB12"],
            "expired.vn": ["-s", "20200101000000", "-e", "20200201000000"],
            "early.vn": ["-s", "20900101000000", "-e", "20910101000000"],
        }.get(name, [])
        files[origin] = signer.sign(origin, text, key, *options)
        if name == "mismatch.vn":
            delegations += signer.ds(signer.key(origin))
        elif name == "strange.vn":
            delegations += f"{origin} 60 IN DS 12345 200 2 {'AB' * 32}\n"
        elif name != "island.vn":
            delegations += signer.ds(key)
        if name == "stripped.vn":
            files[origin] = folder / f"stripped{origin}"
            files[origin].write_text(f"$ORIGIN {origin}\n{text}")
        if name == "changed.vn":
            changed = files[origin].read_text().replace("127.0.0.9", "127.0.0.10")
            files[origin].write_text(changed)
    key = signer.key("vn.")
    files["vn."] = signer.sign("vn.", SOA.format(origin="vn.") + delegations, key, "-3", "-", "-A")
    root = signer.key(".")
    text = (
        SOA.format(origin="root-servers.test.")
        + "vn. 60 IN NS ns.vn.\nns.vn. 60 IN A 127.0.0.1\n"
        + signer.ds(key)
    )
    text += "test. 60 IN NS ns.root-servers.test.\n"
    files["."] = signer.sign(".", text, root)
    return Tree(files, signer.ds(root))


@pytest.fixture(scope="session")
def nsd(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """NSD with the whole tree; `given.vn` may be transferred. Its port."""
    folder = tmp_path_factory.mktemp("nsd")
    port = free_port()
    lines = [
        "server:", f"  ip-address: 127.0.0.1@{port}", "  do-ip6: no", '  username: ""', '  chroot: ""',
        f'  pidfile: "{folder}/pid"', '  database: ""', f'  xfrdfile: "{folder}/xfrd"',
        f'  zonelistfile: "{folder}/l"',
        f'  xfrdir: "{folder}"', f'  zonesdir: "{folder}"', "  server-count: 1",
        "remote-control:", "  control-enable: no",
    ]  # fmt: skip
    for origin, path in tree.files.items():
        lines += ["zone:", f'  name: "{origin}"', f'  zonefile: "{path}"']
        if origin == "given.vn.":
            lines.append("  provide-xfr: 127.0.0.1 NOKEY")
    configuration = folder / "nsd.conf"
    configuration.write_text("\n".join(lines) + "\n")
    with running(tool("nsd"), "-d", "-c", configuration, ports=(port,)):
        yield port


@pytest.fixture(scope="session")
def knot(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Knot DNS with the whole tree. Its port."""
    folder = tmp_path_factory.mktemp("knot")
    port = free_port()
    zones = "".join(f'  - domain: "{origin}"\n    file: "{path}"\n' for origin, path in tree.files.items())
    configuration = folder / "knot.conf"
    configuration.write_text(
        f"server:\n  rundir: {folder}\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  tcp-workers: 1\n"
        f"  background-workers: 1\n"
        f"log:\n  - target: stderr\n    any: warning\ndatabase:\n  storage: {folder}\n"
        f"template:\n  - id: default\n    storage: {folder}\n    zonefile-load: whole\n"
        f"    journal-content: none\n"
        f"    semantic-checks: off\nzone:\n{zones}"
    )
    with running(tool("knotd"), "-c", configuration, ports=(port,)):
        yield port


@pytest.fixture(scope="session")
def named(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """BIND with the whole tree. Its port."""
    with _bind(tmp_path_factory.mktemp("named"), _zones(tree)) as port:
        yield port


@pytest.fixture(scope="session")
def validator(tree: Tree, nsd: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """BIND as offices run it: a resolver that validates by itself, in front of NSD. Its port."""
    match = re.search(r"DS (\d+) (\d+) (\d+) ([0-9A-F ]+)", tree.anchor)
    assert match
    anchor = f'trust-anchors {{ . static-ds {match[1]} {match[2]} {match[3]} "{match[4]}"; }};'
    with _bind(tmp_path_factory.mktemp("validator"), anchor, forward=nsd) as port:
        yield port


def _zones(tree: Tree) -> str:
    return "".join(
        f'zone "{origin}" {{ type primary; file "{path}"; masterfile-format text; check-names ignore; '
        f"check-integrity no; allow-transfer {{ {'any' if origin == 'given.vn.' else 'none'}; }}; }};\n"
        for origin, path in tree.files.items()
    )


@contextlib.contextmanager
def _bind(folder: Path, more: str, forward: int = 0) -> Iterator[int]:
    port = free_port()
    options = f"forward only; forwarders {{ 127.0.0.1 port {forward}; }};" if forward else "recursion no;"
    configuration = folder / "named.conf"
    configuration.write_text(
        f'options {{ directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; '
        f'pid-file none; session-keyfile "{folder}/session.key"; notify no; dnssec-validation yes; '
        f"empty-zones-enable no; {options} }};\ncontrols {{ }};\n{more}"
    )
    with running(tool("named"), "-g", "-n", "1", "-c", configuration, ports=(port,)):
        yield port


@pytest.fixture
def context_for(tree: Tree) -> Callable[..., Context]:
    """A context that asks the resolver on a port, with the tree's trust anchor unless another is given."""

    def make(port: int, *, anchor: str | None = None, network: str = "127.0.0.0/8") -> Context:
        return Context(
            Scope(
                permissions=(Permission(network=network, limits=UNLIMITED),),
                resolvers=(Resolver(address="127.0.0.1", port=port),),
                trust_anchor=tree.anchor if anchor is None else anchor,
            )
        )

    return make
