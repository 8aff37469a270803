from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.probes.tls import pki
from tests.probes.tls.looks import HOST
from tests.probes.tls.pki import Party
from tests.probes.tls.servers import block, nginx
from tests.tools import tool


@dataclass(frozen=True)
class Papers:
    """A root, an intermediate, and leaves for the host with an RSA and an EC key, also as files."""

    folder: Path
    root: Party
    middle: Party
    rsa: Party
    ec: Party
    rsa_chain: Path
    rsa_key: Path
    ec_chain: Path
    ec_key: Path


@pytest.fixture(scope="session")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    folder = tmp_path_factory.mktemp("papers")
    root = pki.issue("Test Root", ca=True)
    middle = pki.issue("Test Intermediate", root, ca=True, path_length=0)
    names = (HOST, "*.wild.example.vn", "127.0.0.1", "::1")
    rsa = pki.issue("rsa", middle, names=names, private_key=pki.key("rsa"))
    ec = pki.issue("ec", middle, names=names)
    rsa_chain, rsa_key = rsa.write(folder, "rsa", middle)
    ec_chain, ec_key = ec.write(folder, "ec", middle)
    return Papers(folder, root, middle, rsa, ec, rsa_chain, rsa_key, ec_chain, ec_key)


@dataclass(frozen=True)
class Ports:
    good: int
    bad: int
    old: int
    named: int
    common: int
    status: int


WEAK = "ALL:eNULL:@SECLEVEL=0"


@pytest.fixture(scope="session")
def ports(papers: Papers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    """One nginx: a sound server, a weak one, one of TLS 1.0 and 1.1 alone, and one that needs the name."""
    folder = tmp_path_factory.mktemp("nginx")
    files = papers.rsa_chain, papers.rsa_key
    dh = folder / "dh.pem"
    command = (tool("openssl"), "dhparam", "-dsaparam", "-out", str(dh), "1024")
    subprocess.run(command, check=True, capture_output=True)
    weak = f"ssl_dhparam {dh}; ssl_ecdh_curve secp224r1:prime256v1;"
    blocks = (
        block(*files),
        block(*files, protocols="TLSv1 TLSv1.2 TLSv1.3", ciphers=WEAK, more=weak),
        block(*files, protocols="TLSv1 TLSv1.1", ciphers="ALL:@SECLEVEL=0"),
        block(
            *files, more="ssl_reject_handshake on; } server { " + block(*files, more=f"server_name {HOST};")
        ),
        block(*files, ciphers="HIGH:!aNULL:!MD5"),  # nginx's own default
        "listen 127.0.0.1:{port}; location = /status { stub_status; }",
    )
    with nginx(folder, *blocks) as found:
        yield Ports(*found)


def accepted(ports: Ports) -> int:
    """How many connections the nginx of `ports` has accepted, this question's included."""
    with urllib.request.urlopen(f"http://127.0.0.1:{ports.status}/status") as answer:
        return int(answer.read().split(b"\n")[2].split()[0])
