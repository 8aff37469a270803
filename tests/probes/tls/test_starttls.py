"""STARTTLS with the servers of Debian, and with servers that say no, later, or nonsense."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from seccheck.demo.oldtls import ClientHello, alert
from seccheck.model import Reason
from seccheck.probes.tls.facts import TlsFacts
from tests.probes.banner.conftest import as_user
from tests.probes.tls.conftest import Papers
from tests.probes.tls.looks import answer_of, context, doubts, facts_of
from tests.probes.tls.servers import answering, behaving, retry
from tests.tools import free_port, running, tool

ASK = "offered", "versions", "suites", "certificates"


def check(facts: TlsFacts, papers: Papers) -> None:
    assert facts.offered is True
    assert facts.starttls is True
    assert facts.versions
    assert {"TLSv1.2", "TLSv1.3"} <= set(facts.versions)
    assert doubts(facts, "versions") == {}
    assert [chain.trusted for chain in facts.chains or ()] == [True]
    assert (facts.chains or ())[0].certificates[0].subject == "CN=rsa"


def opened(folder: Path, user: str) -> None:
    """Let `user` own `folder`, and come to it."""
    if os.geteuid() == 0:
        shutil.chown(folder, user)
        for above in (folder, *folder.parents[:3]):
            above.chmod(above.stat().st_mode | 0o055)


def copied(papers: Papers, folder: Path, user: str) -> tuple[Path, Path]:
    """Chain and key where `user` may read them."""
    files = shutil.copy(papers.rsa_chain, folder), shutil.copy(papers.rsa_key, folder)
    for file in files:
        Path(file).chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(file, user)
    return Path(files[0]), Path(files[1])


def test_dovecot(tmp_path: Path, papers: Papers) -> None:
    ports = {name: free_port() for name in ("imap", "pop3")}
    root = os.geteuid() == 0
    internal, login = ("dovecot", "dovenull") if root else (getpass.getuser(),) * 2
    configuration = tmp_path / "dovecot.conf"
    configuration.write_text(
        f"base_dir = {tmp_path}/run\nlog_path = {tmp_path}/log\nprotocols = imap pop3\nlisten = 127.0.0.1\n"
        f"default_internal_user = {internal}\ndefault_login_user = {login}\n"
        "service anvil {\n chroot =\n}\nservice stats {\n chroot =\n}\n"
        "service imap-login {\n chroot =\n process_min_avail = 1\n"
        f" inet_listener imap {{\n port = {ports['imap']}\n }}\n inet_listener imaps {{\n port = 0\n }}\n}}\n"
        "service pop3-login {\n chroot =\n process_min_avail = 1\n"
        f" inet_listener pop3 {{\n port = {ports['pop3']}\n }}\n inet_listener pop3s {{\n port = 0\n }}\n}}\n"
        f"ssl = required\nssl_cert = <{papers.rsa_chain}\nssl_key = <{papers.rsa_key}\n"
        "passdb {\n driver = static\n args = nopassword=y\n}\n"
        "userdb {\n driver = static\n args = uid=0 gid=0\n}\n"
    )
    with running(tool("dovecot"), "-F", "-c", configuration, ports=tuple(ports.values())):
        for service, port in ports.items():
            check(facts_of(port, *ASK, service=service, door=context(papers.root.pem)), papers)


def test_vsftpd(tmp_path: Path, papers: Papers) -> None:
    port = free_port()
    (tmp_path / "empty").mkdir(mode=0o555)
    configuration = tmp_path / "vsftpd.conf"
    configuration.write_text(
        "listen=YES\nlisten_address=127.0.0.1\nbackground=NO\nanonymous_enable=YES\nrun_as_launching_user=YES\n"
        f"listen_port={port}\nsecure_chroot_dir={tmp_path}/empty\nanon_root={tmp_path}/empty\n"
        f"ssl_enable=YES\nrsa_cert_file={papers.rsa_chain}\nrsa_private_key_file={papers.rsa_key}\n"
        "ssl_tlsv1=YES\nssl_ciphers=HIGH\n"
    )
    with running(tool("vsftpd"), configuration, ports=(port,)):
        check(facts_of(port, *ASK, service="ftp", door=context(papers.root.pem)), papers)


def test_postgresql(tmp_path: Path, papers: Papers) -> None:
    data = tmp_path / "data"
    data.mkdir()
    opened(data, "postgres")
    prefix = as_user("postgres")
    initdb = Path(tool("postgres")).resolve().parent / "initdb"
    command = [*prefix, str(initdb), "-D", str(data), "-A", "trust", "--no-sync"]
    subprocess.run(command, check=True, capture_output=True, cwd=data)
    chain, key = copied(papers, data, "postgres")
    port = free_port()
    settings = (
        f"port={port}",
        "listen_addresses=127.0.0.1",
        f"unix_socket_directories={data}",
        "ssl=on",
        f"ssl_cert_file={chain}",
        f"ssl_key_file={key}",
    )
    options = [part for setting in settings for part in ("-c", setting)]
    with running(*prefix, tool("postgres"), "-D", data, *options, ports=(port,), cwd=data):
        check(facts_of(port, *ASK, service="postgresql", door=context(papers.root.pem)), papers)


def test_mariadb(tmp_path: Path, papers: Papers) -> None:
    data = tmp_path / "data"
    (data / "mysql").mkdir(parents=True)
    opened(data, "mysql")
    if os.geteuid() == 0:
        shutil.chown(data / "mysql", "mysql")
    chain, key = copied(papers, data, "mysql")
    port = free_port()
    options = (
        "--no-defaults",
        f"--datadir={data}",
        "--bind-address=127.0.0.1",
        f"--port={port}",
        f"--socket={data}/s",
        "--skip-grant-tables",
        "--skip-networking=0",
        "--innodb=OFF",
        "--default-storage-engine=Aria",
        f"--aria-log-dir-path={data}",
        f"--ssl-cert={chain}",
        f"--ssl-key={key}",
        f"--ssl-ca={chain}",
    )
    with running(*as_user("mysql"), tool("mariadbd"), *options, ports=(port,)):
        check(facts_of(port, *ASK, service="mysql", door=context(papers.root.pem)), papers)


def test_slapd(tmp_path: Path, papers: Papers) -> None:
    port = free_port()
    configuration = tmp_path / "slapd.conf"
    configuration.write_text(
        f"pidfile {tmp_path}/pid\n"
        f"TLSCertificateFile {papers.rsa_chain}\nTLSCertificateKeyFile {papers.rsa_key}\n"
        "TLSCipherSuite NORMAL\ndatabase config\n"
    )
    command = (tool("slapd"), "-d", "0", "-f", configuration, "-h", f"ldap://127.0.0.1:{port}/")
    with running(*command, ports=(port,)):
        facts = facts_of(port, *ASK, service="ldap", door=context(papers.root.pem))

    check(facts, papers)


@contextmanager
def postfix(tmp_path: Path, papers: Papers) -> Iterator[int]:
    port = free_port()
    for name in ("queue", "data"):
        (tmp_path / name).mkdir()
    opened(tmp_path / "data", "postfix")
    tmp_path.chmod(0o755)
    (tmp_path / "main.cf").write_text(
        f"compatibility_level = 3.6\nqueue_directory = {tmp_path}/queue\ndata_directory = {tmp_path}/data\n"
        "inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmydestination =\nmyhostname = mail.example.vn\n"
        f"smtpd_tls_chain_files = {papers.rsa_key}, {papers.rsa_chain}\nsmtpd_tls_security_level = may\n"
        f"maillog_file_prefixes = {tmp_path}\nmaillog_file = {tmp_path}/log\nalias_maps =\n"
        "smtpd_client_connection_rate_limit = 0\n"
    )
    (tmp_path / "master.cf").write_text(
        f"127.0.0.1:{port} inet n - n - - smtpd\n"
        "postlog unix-dgram n - n - 1 postlogd\nanvil unix - - n - 1 anvil\n"
        "rewrite unix - - n - - trivial-rewrite\ntlsmgr unix - - n 1000? 1 tlsmgr\n"
        "proxymap unix - - n - - proxymap\n"
    )
    master = tmp_path / "queue/pid/master.pid"
    with running(tool("postfix"), "-c", tmp_path, "start-fg", ports=(port,), master=master):
        yield port


def test_postfix(tmp_path: Path, papers: Papers) -> None:
    with postfix(tmp_path, papers) as port:
        check(facts_of(port, *ASK, service="smtp", door=context(papers.root.pem)), papers)
        check(facts_of(port, *ASK, service="submission", door=context(papers.root.pem)), papers)


# ------------------------------------------------------------------------------ who says no, or later


def talking(*words: bytes, greeting: bool = True):  # type: ignore[no-untyped-def]
    """A server that says `words`, one for each thing it hears, the first of its own accord."""

    def talk(sock: socket.socket) -> None:
        said = list(words)
        if greeting:
            sock.sendall(said.pop(0))
        while said and sock.recv(4096):
            sock.sendall(said.pop(0))
        sock.recv(4096)

    return talk


NO = {
    "smtp": talking(b"220 mail ESMTP\r\n", b"250-mail\r\n250-PIPELINING\r\n250 8BITMIME\r\n"),
    "submission": talking(b"220 mail\r\n", b"250-mail\r\n250 STARTTLS\r\n", b"502 no\r\n"),
    "imap": talking(b"* OK ready\r\n", b"a1 BAD unknown command\r\n"),
    "pop3": talking(b"+OK ready\r\n", b"-ERR unknown command\r\n"),
    "ftp": talking(b"220-hello\r\n220 ready\r\n", b"530 Please login with USER and PASS.\r\n"),
    "ldap": talking(bytes.fromhex("300c02010178070a010204000400"), greeting=False),
    "postgresql": talking(b"N", greeting=False),
    "mysql": talking(
        (77).to_bytes(3, "little") + b"\0\x0a8.0.0\0" + bytes(4 + 8 + 1) + b"\xff\xf7" + bytes(55), b""
    ),
}


@pytest.mark.parametrize("service", sorted(NO))
def test_no_starttls_is_no_offer(service: str) -> None:
    with behaving(NO[service]) as port:
        facts = facts_of(port, *ASK, service=service)

    assert (facts.offered, facts.starttls) == (False, False)
    assert set(doubts(facts, "versions").values()) == {Reason.NOT_OFFERED}


LATER = {
    "smtp": talking(b"421 too many connections\r\n"),
    "submission": talking(b"220 mail\r\n", b"250-mail\r\n250 STARTTLS\r\n", b"454 TLS not available\r\n"),
    "imap": talking(b"* BYE overloaded\r\n"),
    "pop3": talking(b"-ERR busy\r\n"),
    "ftp": talking(b"421 Service not available\r\n"),
    "ldap": talking(bytes.fromhex("300c02010178070a013304000400"), greeting=False),
    "mysql": talking(b"\x17\0\0\0\xff\x10\x04Too many connections"),
}


@pytest.mark.parametrize("service", sorted(LATER))
def test_come_back_later_is_a_limit_and_no_verdict(service: str) -> None:
    with behaving(LATER[service]) as port:
        answer = answer_of(port, *ASK, service=service)

    assert answer.failed is Reason.RATE_LIMITED


@pytest.mark.parametrize("service", sorted(NO))
def test_nonsense_says_nothing(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seccheck.probes.tls.engine.CONNECTION_SECONDS", 0.5)
    with behaving(
        talking(b"\x01\x02 what?\r\n" * 20, b"!\r\n", b"!\r\n", greeting=service != "ldap")
    ) as port:
        answer = answer_of(port, *ASK, service=service)

    assert answer.failed in {Reason.CONTRADICTORY, Reason.TIMEOUT}


def test_bytes_in_clear_after_the_yes_are_refused() -> None:
    with behaving(talking(b"S" + b"\x15\x03\x01\0\x02\x02\x28", greeting=False)) as port:
        assert answer_of(port, *ASK, service="postgresql").failed is Reason.CONTRADICTORY


def test_a_limiter_in_the_middle_leaves_what_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """421 after a few connections: what was seen stays, the rest is inconclusive."""
    monkeypatch.setattr("seccheck.probes.tls.engine.PAUSE_SECONDS", 0.1)
    count = 0

    def talk(sock: socket.socket) -> None:
        nonlocal count
        count += 1
        if count > 3:
            sock.sendall(b"421 too many connections\r\n")
            return
        sock.sendall(b"220 mail\r\n")
        sock.recv(1000)
        sock.sendall(b"250-mail\r\n250 STARTTLS\r\n")
        sock.recv(1000)
        sock.sendall(b"220 go\r\n")
        modern(sock)

    def answer(hello: ClientHello) -> bytes:
        return retry(hello, hello.groups[0]) if hello.highest == 0x0304 else alert(70, 0x0303)

    modern = answering(answer)
    with behaving(talk) as port:
        facts = facts_of(port, "versions", service="smtp")

    assert facts.versions == ("TLSv1.3",)
    assert doubts(facts, "versions")["TLSv1.0"] is Reason.RATE_LIMITED
