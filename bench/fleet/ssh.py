# ruff: noqa: E501 (server configurations and truths stand as they are written)
"""sshd of Debian with old and new algorithms and ways to log in, others where they are installed, and fakes."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

from bench.fleet.servers import there_is
from bench.fleet.yard import Yard
from tests.tools import tool

PORT = 2222
GOOD = {
    "KexAlgorithms": "curve25519-sha256,sntrup761x25519-sha512@openssh.com,ecdh-sha2-nistp256",
    "HostKeyAlgorithms": "ssh-ed25519,rsa-sha2-512,rsa-sha2-256",
    "Ciphers": "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-ctr",
    "MACs": "hmac-sha2-256-etm@openssh.com,hmac-sha2-512,umac-128-etm@openssh.com",
    "PasswordAuthentication": "no",
    "KbdInteractiveAuthentication": "no",
    "MaxStartups": "200",
}
ADM = "ADM-01"
"""SSH that anybody reaches: advised, and true of the whole fleet."""


def cases(yard: Yard) -> None:
    """All of them."""
    openssh(yard)
    if there_is("dropbear"):
        dropbear(yard)
    if there_is("tinysshd"):
        tinyssh(yard)
    fakes(yard)


def key(yard: Yard, kind: str, bits: int = 0) -> Path:
    path = yard.folder / f"ssh-{kind}-{bits}"
    if not path.exists():
        size = ["-b", str(bits)] if bits else []
        subprocess.run([tool("ssh-keygen"), "-q", "-t", kind, *size, "-N", "", "-f", str(path)], check=True)
    return path


def openssh(yard: Yard) -> None:
    Path("/run/sshd").mkdir(exist_ok=True)

    def server(
        name: str,
        keys: tuple[Path, ...] = (),
        port: int = PORT,
        level: int = 3,
        truth: str = "",
        opens: str = "",
        free: str = "",
        **changes: str,
    ) -> None:
        address = yard.address()
        used = keys or (key(yard, "ed25519"), key(yard, "rsa", 3072))
        lines = [f"ListenAddress {address}", f"Port {port}", "PidFile none", "UsePAM no", "StrictModes no"]
        lines += [f"HostKey {one}" for one in used]
        lines += [f"{word} {value}" for word, value in {**GOOD, **changes}.items() if value]
        config = yard.file(f"sshd-{name}.conf", "\n".join(lines) + "\n")
        yard.run(tool("sshd"), "-D", "-e", "-f", config, listens=[(address, port)])
        fails = f"{truth} {ADM}" if level > 1 else truth
        # Debian's revision stands in the identification, so the data may know it
        yard.one(
            f"sshd-{name}",
            address,
            port,
            "ssh",
            level=level,
            fails=fails,
            opens=opens,
            free=f"PAT-01 PAT-02 PAT-03 {free}",
        )

    server("good")
    server("good-level1", level=1)
    server("odd-port", port=4022)
    server("kex-group14-sha1", truth="ADM-02", KexAlgorithms="curve25519-sha256,diffie-hellman-group14-sha1")
    server("kex-group1-sha1", truth="ADM-02", KexAlgorithms="+diffie-hellman-group1-sha1")
    server(
        "kex-gex-sha1", truth="ADM-02", KexAlgorithms="diffie-hellman-group-exchange-sha1,curve25519-sha256"
    )
    server(
        "kex-group14-sha256",
        KexAlgorithms="diffie-hellman-group14-sha256,diffie-hellman-group16-sha512,diffie-hellman-group-exchange-sha256",
    )
    server("hostkey-ssh-rsa", truth="ADM-02", HostKeyAlgorithms="ssh-rsa,rsa-sha2-256")
    server("hostkey-ecdsa", (key(yard, "ecdsa", 256),), HostKeyAlgorithms="ecdsa-sha2-nistp256")
    server("hostkey-rsa2048", (key(yard, "rsa", 2048),), HostKeyAlgorithms="rsa-sha2-512")
    server(
        "hostkey-rsa1024",
        (key(yard, "rsa", 1024),),
        truth="ADM-02",
        HostKeyAlgorithms="rsa-sha2-512",
        RequiredRSASize="1024",
    )
    server(
        "hostkey-rsa1024-beside",
        (key(yard, "ed25519"), key(yard, "rsa", 1024)),
        truth="ADM-02",
        RequiredRSASize="1024",
    )
    server("cbc", truth="ADM-02", Ciphers="aes256-ctr,aes256-cbc")
    server("3des", truth="ADM-02", Ciphers="aes256-ctr,3des-cbc")
    server("mac-sha1", truth="ADM-02", MACs="hmac-sha2-256,hmac-sha1")
    server("mac-sha1-etm", truth="ADM-02", MACs="hmac-sha1-etm@openssh.com")
    server("mac-96", truth="ADM-02", MACs="hmac-sha2-256,hmac-sha1-96")
    server("mac-md5-96", truth="ADM-02", MACs="hmac-sha2-256,hmac-md5-96-etm@openssh.com")
    server("mac-umac64", truth="ADM-02", MACs="hmac-sha2-256,umac-64@openssh.com")
    server("mac-umac64-etm", truth="ADM-02", MACs="umac-64-etm@openssh.com")
    server(
        "usual",
        truth="ADM-02 ADM-03",
        KexAlgorithms="",
        HostKeyAlgorithms="",
        Ciphers="",
        MACs="",
        PasswordAuthentication="yes",
    )
    server("password", truth="ADM-03", PasswordAuthentication="yes")
    server("password-level1", level=1, PasswordAuthentication="yes")
    server("keyboard", opens="ADM-03", KbdInteractiveAuthentication="yes", UsePAM="no", free="ADM-03")
    server("password-alone", truth="ADM-03", PasswordAuthentication="yes", PubkeyAuthentication="no")
    server("key-then-password", PasswordAuthentication="yes", AuthenticationMethods="publickey,password")
    server(
        "password-then-key",
        truth="ADM-03",
        PasswordAuthentication="yes",
        AuthenticationMethods="password,publickey",
    )
    server("host-based", HostbasedAuthentication="yes")
    server("banner", Banner=str(yard.file("issue", "Authorised use only\n" * 200)))
    server(
        "all-old",
        truth="ADM-02 ADM-03",
        KexAlgorithms="+diffie-hellman-group1-sha1",
        Ciphers="+3des-cbc,aes128-cbc",
        MACs="+hmac-md5,hmac-sha1-96",
        HostKeyAlgorithms="+ssh-rsa",
        PasswordAuthentication="yes",
    )


def dropbear(yard: Yard) -> None:
    """A small server; its list of key exchanges has SHA-1 in it, its MACs as well."""

    def server(name: str, *options: str, fails: str) -> None:
        address = yard.address()
        made = yard.folder / f"dropbear-{name}.key"
        subprocess.run(["dropbearkey", "-t", "ed25519", "-f", str(made)], check=True, capture_output=True)
        yard.run(
            "dropbear",
            "-F",
            "-E",
            "-p",
            f"{address}:{PORT}",
            "-r",
            made,
            "-P",
            yard.folder / "db.pid",
            *options,
            listens=[(address, PORT)],
        )
        yard.one(
            f"dropbear-{name}", address, PORT, "ssh", fails=f"{fails} {ADM}", free="PAT-01 PAT-02 PAT-03"
        )

    server("password", fails="ADM-02 ADM-03")
    server("keys", "-s", fails="ADM-02")


def tinyssh(yard: Yard) -> None:
    """A server that knows Ed25519, Curve25519 and ChaCha20 alone, and public keys."""
    address = yard.address()
    folder = yard.folder / "tinyssh"
    subprocess.run(["tinysshd-makekey", str(folder)], check=True, capture_output=True)
    program = shutil.which("tinysshd")

    def handler(peer: socket.socket, _number: int) -> None:
        peer.settimeout(None)
        subprocess.run([str(program), "-q", str(folder)], stdin=peer, stdout=peer, check=False)

    yard.serve(address, PORT, handler)
    yard.one("tinyssh", address, PORT, "ssh", fails=ADM, free="PAT-01 PAT-02 PAT-03")


def fakes(yard: Yard) -> None:
    """What speaks SSH up to a point."""
    import itertools
    import time

    def server(name: str, handler: object, **truth: object) -> None:
        address = yard.address()
        yard.serve(address, PORT, handler)  # type: ignore[arg-type]
        yard.one(f"ssh-{name}", address, PORT, "ssh", free="PAT-* ADM-01 NET-04", **truth)

    both = "ADM-02 ADM-03"

    def says(text: bytes):  # type: ignore[no-untyped-def]
        def handler(peer: socket.socket, _number: int) -> None:
            peer.sendall(text)
            while peer.recv(4096):
                pass

        return handler

    server("protocol-1", says(b"SSH-1.5-1.2.27\n"), fails="ADM-02", opens="ADM-03")
    server("protocol-both", says(b"SSH-1.99-OpenSSH_2.9\n"), fails="ADM-02", opens="ADM-03")
    server("identifies-only", says(b"SSH-2.0-Silent\r\n"), opens=both)
    server("not-ssh", says(b"220 ftp ready\r\n"), opens=both)
    server(
        "endless-banner", lambda peer, _: [peer.sendall(b"hello\r\n") for _ in itertools.count()], opens=both
    )

    def slow(peer: socket.socket, _number: int) -> None:
        for byte in b"SSH-2.0-Slow\r\n":
            peer.sendall(bytes([byte]))
            time.sleep(1)
        time.sleep(30)

    server("byte-a-second", slow, opens=both)
    server("garbage", says(b"SSH-2.0-Odd\r\n" + bytes(range(256)) * 40), opens=both)
    server("busy", says(b"Exceeded MaxStartups\r\n"), opens=both)
