# ruff: noqa: E501 (server configurations and truths stand as they are written)
"""The same on ::1: TLS of several strengths, plain HTTP, SSH, greetings."""

from __future__ import annotations

import socket
import ssl

from bench.fleet.servers import Handler, Site, answer, run, tls_context
from bench.fleet.ssh import key
from bench.fleet.tls_openssl import STRONG, WEB_BARE
from bench.fleet.truth import At, Case
from bench.fleet.yard import Yard
from tests.tools import free_port, tool

HERE = "::1"
SHARED = "NET-* ADM-01"
"""Of ::1 there is but one: its open ports are everybody's."""


def cases(yard: Yard) -> None:
    """All of them, each on a port of its own."""

    def system(name: str, service: str, port: int, host: str = HERE, **truth: str) -> None:
        free = f"{SHARED} {truth.pop('free', '')}"
        place = {} if host == HERE else {"address": HERE}
        yard.add(Case(f"ipv6-{name}", [At(host, port, service, **place)], free=free, **truth))  # type: ignore[arg-type]

    def site(name: str, host: str = HERE, leaf: dict[str, object] | None = None, **truth: str) -> None:
        file = yard.good.leaf(f"v6-{name}", host, **(leaf or {}))  # type: ignore[arg-type]
        tls: dict[str, object] = TLS.get(name, {})
        port = yard.serve(HERE, 0, Site({"/": answer()}, tls=tls_context(file, **tls))).port  # type: ignore[arg-type]
        system(name, "https", port, host, **truth)

    site("strong")
    site("named", host="portal.example.gov.vn")
    site("tls12", fails="TLS-04")
    site("tls10", fails="TLS-03 TLS-06")
    site("expired", leaf={"days": (-30, -3)}, fails="CRT-03")
    site("no-chain", leaf={"chain": "leaf"}, fails="CRT-01")
    other = yard.good.leaf("v6-other", "127.0.0.1")
    port = yard.serve(HERE, 0, Site({"/": answer()}, tls=tls_context(other))).port
    system("other-address", "https", port, fails="CRT-02")
    port = yard.serve(HERE, 0, Site({"/": answer()})).port
    system("plain", "http", port, fails="TLS-02")
    file = yard.good.leaf("v6-openssl", HERE)
    port = free_port(HERE)
    chain = ("-cert", file, "-key", file, "-cert_chain", file)
    options = ("-accept", f"[{HERE}]:{port}", "-www", *chain, *STRONG)
    run(yard.stack, yard.folder, "openssl", "s_server", *options, listens=[(HERE, port)])
    system("openssl", "https", port, fails=WEB_BARE)
    for name, said, truth in (
        ("mail-names-itself", b"220 mail.example.vn ESMTP Exim 4.96\r\n", {"fails": "PAT-04"}),
        ("mail", b"220 mail.example.vn ESMTP\r\n", {}),
    ):
        port = yard.serve(HERE, 0, _greets(said)).port
        system(name, "smtp", port, free="TLS-* CRT-* MAI-* PAT-01 PAT-02 PAT-03", **truth)
    for name, word, fails in (("ssh", "no", ""), ("ssh-password", "yes", "ADM-03")):
        port = free_port(HERE)
        config = yard.file(
            f"v6-{name}",
            f"ListenAddress [{HERE}]:{port}\nHostKey {key(yard, 'ed25519')}\nPidFile none\nUsePAM no\n"
            f"StrictModes no\nPasswordAuthentication {word}\nKbdInteractiveAuthentication no\nMaxStartups 200\n"
            "MACs hmac-sha2-256-etm@openssh.com\nKexAlgorithms curve25519-sha256\nCiphers aes256-gcm@openssh.com\n",
        )
        yard.run(tool("sshd"), "-D", "-e", "-f", config, listens=[(HERE, port)])
        system(name, "ssh", port, fails=fails, free="PAT-*")


TLS: dict[str, dict[str, object]] = {
    "tls12": {"highest": ssl.TLSVersion.TLSv1_2},
    "tls10": {"lowest": ssl.TLSVersion.TLSv1, "ciphers": "ECDHE+AESGCM:ECDHE-RSA-AES128-SHA:@SECLEVEL=0"},
}


def _greets(said: bytes) -> Handler:
    def handler(peer: socket.socket, _number: int) -> None:
        peer.sendall(said)
        while peer.recv(4096):
            pass

    return handler
