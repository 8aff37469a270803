"""Servers of Debian as the fleet tests run them, and a few that say nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tools import running, tool

Handler = Callable[[socket.socket, threading.Event], None]


# ---------------------------------------------------------------------------------------------- by hand


def speaker(stack: contextlib.ExitStack, address: str, handle: Handler, port: int) -> None:
    """A server by hand on `port` of `address`, until the stack is closed."""
    listener = stack.enter_context(socket.create_server((address, port)))
    stop = threading.Event()

    def one(peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            handle(peer, stop)

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(peer,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    stack.callback(stop.set)
    stack.callback(listener.shutdown, socket.SHUT_RDWR)


def reset(peer: socket.socket, _stop: threading.Event) -> None:
    """Reset at the first byte."""
    peer.recv(1)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def tarpit(_peer: socket.socket, stop: threading.Event) -> None:
    """Take the connection and never say a word."""
    stop.wait(60)


# ---------------------------------------------------------------------------------------------- of Debian


def opened(folder: Path) -> None:
    """Let servers that drop their rights come to everything in `folder`."""
    for path in (folder, *folder.rglob("*"), *folder.parents[:3]):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))


def sshd(place: Path, address: str, extra: str) -> Path:
    """The configuration of an sshd on port 2222 of `address`."""
    key = place / f"{address}.key"
    subprocess.run([tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    config = place / f"{address}.sshd"
    config.write_text(
        f"ListenAddress {address}\nPort 2222\nHostKey {key}\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"MaxStartups 100\n{extra}\n"
    )
    key.chmod(0o600)
    Path("/run/sshd").mkdir(exist_ok=True)
    return config


@contextmanager
def postfix(folder: Path, address: str, port: int, pem: Path | None) -> Iterator[None]:
    """Postfix that takes mail for nobody; with STARTTLS when it has a certificate."""
    for name in ("queue", "data"):
        (folder / name).mkdir(parents=True)
    if os.geteuid() == 0:
        shutil.chown(folder / "data", "postfix")
    opened(folder)
    tls = f"smtpd_tls_chain_files = {pem}\nsmtpd_tls_security_level = may\n" if pem else ""
    (folder / "main.cf").write_text(
        f"compatibility_level = 3.6\nqueue_directory = {folder}/queue\ndata_directory = {folder}/data\n"
        "inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmydestination =\n"
        f"myhostname = mail.example.vn\n{tls}"
        f"maillog_file_prefixes = {folder}\nmaillog_file = {folder}/log\nalias_maps =\n"
        "smtpd_client_connection_rate_limit = 0\n"
        "smtpd_tls_protocols = >=TLSv1.2\nsmtpd_tls_ciphers = high\nsmtpd_tls_exclude_ciphers = aNULL\n"
    )
    (folder / "master.cf").write_text(
        f"{address}:{port} inet n - n - - smtpd\n"
        "postlog unix-dgram n - n - 1 postlogd\nanvil unix - - n - 1 anvil\n"
        "rewrite unix - - n - - trivial-rewrite\ntlsmgr unix - - n 1000? 1 tlsmgr\n"
        "proxymap unix - - n - - proxymap\n"
    )
    command, master = (tool("postfix"), "-c", folder, "start-fg"), folder / "queue/pid/master.pid"
    with running(*command, ports=(port,), address=address, master=master):
        yield


@contextmanager
def dovecot(folder: Path, address: str, ports: dict[str, int], pem: Path, *, clear: bool) -> Iterator[None]:
    """Dovecot with IMAP and POP3; `clear`: whether it takes passwords before STARTTLS."""
    folder.mkdir(parents=True)
    opened(folder)
    rules = "ssl = yes\ndisable_plaintext_auth = no\n" if clear else "ssl = required\n"
    listeners = "".join(
        f"service {kind}-login {{\n chroot =\n process_min_avail = 1\n"
        f" inet_listener {kind} {{\n port = {ports.get(kind, 0)}\n }}\n"
        f" inet_listener {kind}s {{\n port = {ports.get(kind + 's', 0)}\n ssl = yes\n }}\n}}\n"
        for kind in ("imap", "pop3")
    )
    (folder / "dovecot.conf").write_text(
        f"base_dir = {folder}/run\nlog_path = {folder}/log\nprotocols = imap pop3\nlisten = {address}\n"
        "default_internal_user = dovecot\ndefault_login_user = dovenull\n"
        f"service anvil {{\n chroot =\n}}\nservice stats {{\n chroot =\n}}\n{listeners}"
        f"{rules}ssl_cert = <{pem}\nssl_key = <{pem}\nssl_min_protocol = TLSv1.2\n"
        "passdb {\n driver = static\n args = nopassword=y\n}\n"
        "userdb {\n driver = static\n args = uid=0 gid=0\n}\n"
    )
    command = (tool("dovecot"), "-F", "-c", folder / "dovecot.conf")
    with running(*command, ports=tuple(ports.values()), address=address):
        yield


@contextmanager
def vsftpd(folder: Path, address: str, port: int) -> Iterator[None]:
    """An FTP server without TLS."""
    empty = folder / "empty"
    empty.mkdir(parents=True)
    (folder / "vsftpd.conf").write_text(
        f"listen=YES\nlisten_address={address}\nlisten_port={port}\nbackground=NO\nanonymous_enable=YES\n"
        f"secure_chroot_dir={empty}\nseccomp_sandbox=NO\nrun_as_launching_user=YES\nanon_root={empty}\n"
    )
    with running(tool("vsftpd"), folder / "vsftpd.conf", ports=(port,), address=address):
        yield
