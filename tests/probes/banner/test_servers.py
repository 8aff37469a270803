"""The banner probe against the servers of Debian."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seccheck.probes import ProbeFailed
from seccheck.probes.banner.facts import BannerFacts
from tests.probes.banner.conftest import Look, as_user
from tests.tools import free_port, running, tool, wait_for


def named(facts: BannerFacts) -> dict[str, str]:
    assert facts.products is not None
    return {product.name: product.version for product in facts.products}


def installed(package: str) -> str:
    """The version of an installed Debian package, without epoch."""
    command = [tool("dpkg-query"), "-W", "-f", "${Version}", package]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split(":", 1)[-1]


def test_sshd(tmp_path: Path, look: Look) -> None:
    key = tmp_path / "key"
    subprocess.run([tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    lines = f"ListenAddress 127.0.0.1:{port}\nHostKey {key}\nPidFile none\nStrictModes no\nUsePAM no\n"
    (tmp_path / "config").write_text(lines)
    with running(tool("sshd"), "-D", "-e", "-f", tmp_path / "config", ports=(port,)):
        for service in ("ssh", "tcp"):
            facts = look(port, service)
            (product,) = facts.products or ()
            assert f"{product.version}-{product.revision}" == installed("openssh-server")
            assert product.distribution == "debian"
            assert product.release == "12"
            assert facts.discloses == ()


@pytest.fixture
def nginx(tmp_path: Path, certificate: Path) -> Iterator[dict[str, int]]:
    ports = {name: free_port() for name in ("http", "https", "quiet", "client")}
    tls = f"ssl_certificate {certificate}; ssl_certificate_key {certificate};"
    temporary = "".join(
        f"{name}_temp_path {tmp_path / name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    page = "<html><head><meta name='generator' content='WordPress 6.9.1'></head></html>"
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log stderr crit; events {{}} http {{"
        f"access_log off; default_type text/html; {temporary}"
        f"server {{ listen 127.0.0.1:{ports['http']}; add_header X-Powered-By PHP/8.1.2-1ubuntu2.29;"
        f'return 200 "{page}"; }}'
        f"server {{ listen 127.0.0.1:{ports['https']} ssl; {tls} }}"
        f"server {{ listen 127.0.0.1:{ports['quiet']}; server_tokens off; }}"
        f"server {{ listen 127.0.0.1:{ports['client']} ssl; {tls} ssl_verify_client on;"
        f" ssl_client_certificate {certificate}; }} }}"
    )
    command = [tool("nginx"), "-p", tmp_path, "-e", "stderr", "-c", tmp_path / "nginx.conf"]
    with running(*command, ports=tuple(ports.values())):
        yield ports


def test_nginx(nginx: dict[str, int], look: Look, impatient: None) -> None:
    number = installed("nginx").partition("-")[0]
    facts = look(nginx["http"], "http")
    assert named(facts) == {"nginx": number, "php": "8.1.2", "wordpress": "6.9.1"}
    assert facts.discloses == (f"nginx/{number}", "PHP/8.1.2")
    assert facts.greeting == f"server: nginx/{number}; x-powered-by: PHP/8.1.2-1ubuntu2.29"
    for service, port in (("https", "https"), ("tls", "https"), ("tcp", "http"), ("https", "client")):
        assert named(look(nginx[port], service))["nginx"] == number
    quiet = look(nginx["quiet"], "http")
    assert named(quiet) == {"nginx": ""}
    assert quiet.discloses == ()


def test_redis(tmp_path: Path, look: Look, impatient: None) -> None:
    number = installed("redis-server").partition("-")[0]
    opened, closed = free_port(), free_port()
    common = ("--bind", "127.0.0.1", "--save", "", "--dir", tmp_path)
    with (
        running(tool("redis-server"), "--port", str(opened), *common, ports=(opened,)),
        running(tool("redis-server"), "--port", str(closed), "--requirepass", "x", *common, ports=(closed,)),
    ):
        for service in ("redis", "tcp"):
            facts = look(opened, service)
            assert named(facts) == {"redis": number}
            assert facts.unauthenticated is True
            facts = look(closed, service)
            assert named(facts) == {"redis": ""}
            assert facts.unauthenticated is False


def test_memcached(look: Look, impatient: None) -> None:
    port = free_port()
    user = ("-u", "nobody") if os.geteuid() == 0 else ()
    with running(tool("memcached"), "-l", "127.0.0.1", "-p", str(port), "-U", "0", *user, ports=(port,)):
        facts = look(port, "tcp")
    assert named(facts) == {"memcached": installed("memcached").partition("-")[0]}
    assert facts.unauthenticated is True


def test_vsftpd(tmp_path: Path, look: Look) -> None:
    port = free_port()
    empty = tmp_path / "empty"
    empty.mkdir()
    configuration = tmp_path / "vsftpd.conf"
    configuration.write_text(
        f"listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\nanonymous_enable=YES\n"
        f"secure_chroot_dir={empty}\nrun_as_launching_user={'NO' if os.geteuid() == 0 else 'YES'}\n"
    )
    with running(tool("vsftpd"), configuration, ports=(port,)):
        facts = look(port, "ftp")
        number = installed("vsftpd").partition("-")[0]
        assert named(facts) == {"vsftpd": number}
        assert facts.discloses == (f"vsftpd {number}",)
        assert named(look(port, "tcp")) == {"vsftpd": number}


def test_named(tmp_path: Path, look: Look) -> None:
    port = free_port()
    (tmp_path / "named.conf").write_text(
        f'options {{ directory "{tmp_path}"; listen-on port {port} {{ 127.0.0.1; }};'
        " listen-on-v6 { none; };"
        f' pid-file none; recursion no; session-keyfile "{tmp_path}/session.key"; }}; controls {{ }};'
    )
    with running(tool("named"), "-g", "-c", tmp_path / "named.conf", ports=(port,)):
        wait_for(lambda: loaded(look, port), what="named")
        facts = look(port, "dns")
    (product,) = facts.products or ()
    assert product.name == "bind"
    assert f"{product.version}-{product.revision}" == installed("bind9")
    assert facts.discloses == ()


def loaded(look: Look, port: int) -> bool:
    """Whether named has read its configuration; it refuses or fails before."""
    try:
        return bool((look(port, "dns").products or ())[0].version)
    except ProbeFailed:
        return False


def test_mariadb(tmp_path: Path, look: Look) -> None:
    user = "mysql" if os.geteuid() == 0 else ""
    data = tmp_path / "data"
    data.mkdir()
    if user:
        shutil.chown(tmp_path, user)
        shutil.chown(data, user)
        for folder in tmp_path.parents[:2]:
            folder.chmod(folder.stat().st_mode | 0o055)
    port = free_port()
    command = [*as_user(user or "mysql"), tool("mariadbd"), "--no-defaults", f"--datadir={data}"]
    command += ["--bind-address=127.0.0.1", f"--port={port}", f"--socket={tmp_path}/s", "--skip-grant-tables"]
    command += [
        "--skip-networking=0",
        "--innodb=OFF",
        "--default-storage-engine=Aria",
        "--aria-log-dir-path=" + str(data),
    ]
    (data / "mysql").mkdir()
    if user:
        shutil.chown(data / "mysql", user)
    with running(*command, ports=(port,)):
        for service in ("mysql", "tcp"):
            facts = look(port, service)
            (product,) = facts.products or ()
            assert product.name == "mariadb"
            assert f"{product.version}-{product.revision}" == installed("mariadb-server")
            assert facts.discloses == (f"mariadb {product.version}",)


def test_postgresql(tmp_path: Path, look: Look) -> None:
    prefix = as_user("postgres")
    data = tmp_path / "data"
    data.mkdir()
    if prefix:
        shutil.chown(data, "postgres")
        for folder in (tmp_path, *tmp_path.parents[:2]):
            folder.chmod(folder.stat().st_mode | 0o055)
    initdb = Path(tool("postgres")).resolve().parent / "initdb"
    command = [*prefix, str(initdb), "-D", str(data), "-A", "trust", "--no-sync"]
    subprocess.run(command, check=True, capture_output=True, cwd=data)
    port = free_port()
    settings = (
        "-c",
        f"port={port}",
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        f"unix_socket_directories={data}",
    )
    with running(*prefix, tool("postgres"), "-D", data, *settings, ports=(port,), cwd=data):
        facts = look(port, "postgresql")
    assert named(facts) == {"postgresql": ""}
    assert "unsupported frontend protocol" in (facts.greeting or "")
    assert facts.discloses == ()


def test_dovecot(tmp_path: Path, look: Look, certificate: Path) -> None:
    ports = {name: free_port() for name in ("imap", "imaps", "pop3")}
    configuration = tmp_path / "dovecot.conf"
    root = os.geteuid() == 0
    internal, login = ("dovecot", "dovenull") if root else (getpass.getuser(),) * 2
    configuration.write_text(
        f"base_dir = {tmp_path}/run\nlog_path = {tmp_path}/log\nprotocols = imap pop3\nlisten = 127.0.0.1\n"
        f"default_internal_user = {internal}\ndefault_login_user = {login}\n"
        "service anvil {\n chroot =\n}\nservice imap-login {\n chroot =\n"
        f" inet_listener imap {{\n port = {ports['imap']}\n }}\n"
        f" inet_listener imaps {{\n port = {ports['imaps']}\n ssl = yes\n }}\n}}\n"
        "service pop3-login {\n chroot =\n"
        f" inet_listener pop3 {{\n port = {ports['pop3']}\n }}\n inet_listener pop3s {{\n port = 0\n }}\n}}\n"
        "service stats {\n chroot =\n}\n"
        f"ssl = required\nssl_cert = <{certificate}\nssl_key = <{certificate}\n"
        "passdb {\n driver = static\n args = nopassword=y\n}\n"
        "userdb {\n driver = static\n args = uid=0 gid=0\n}\n"
    )
    with running(tool("dovecot"), "-F", "-c", configuration, ports=tuple(ports.values())):
        for service in ("imap", "pop3"):
            facts = look(ports[service], service)
            (product,) = facts.products or ()
            assert (product.name, product.version, product.distribution) == ("dovecot", "", "debian")
            assert facts.plain_login is True  # dovecot takes a connection from its own address for secured
            assert facts.discloses == ()
        facts = look(ports["imaps"], "imaps")
        assert named(facts) == {"dovecot": ""}
        assert facts.plain_login is None


def test_ldap_is_asked_nothing(look: Look, says: Callable[..., int]) -> None:
    port = says()
    facts = look(port, "ldap")
    assert facts.products == ()
    assert facts.discloses == ()
