# ruff: noqa: E501 (server configurations and truths stand as they are written)
"""Mail, files, directories and databases of Debian, with TLS behind STARTTLS or from the first byte."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from bench.fleet.truth import At, Case
from bench.fleet.yard import Yard
from tests.tools import tool

STRONG = "ECDHE+AESGCM:ECDHE+CHACHA20"
NO_TLS = "TLS-03 TLS-04 TLS-05 TLS-06 TLS-07 TLS-09 TLS-10 CRT-*"


def cases(yard: Yard) -> None:
    """All of them."""
    yard.folder.chmod(0o755)
    postfix(yard)
    dovecot(yard)
    vsftpd(yard)
    postgresql(yard)
    mariadb(yard)
    slapd(yard)


def owned(path: Path, user: str) -> Path:
    """A file or folder that belongs to `user`, where we may give it away."""
    if os.geteuid() == 0:
        shutil.chown(path, user)
    return path


def as_user(user: str) -> list[str]:
    """What to put before a command that does not run as root."""
    return (
        [tool("setpriv"), f"--reuid={user}", f"--regid={user}", "--clear-groups"] if os.geteuid() == 0 else []
    )


def copied(file: Path, to: Path, user: str) -> Path:
    """A copy of a key that only `user` may read, as PostgreSQL demands."""
    copy = to / file.name
    copy.write_bytes(file.read_bytes())
    copy.chmod(0o600)
    return owned(copy, user)


# ----------------------------------------------------------------------------------------------------- postfix


def postfix(yard: Yard) -> None:
    place = yard.folder / "postfix"
    for name in ("queue", "data"):
        (place / name).mkdir(parents=True)
    owned(place / "data", "postfix")
    lines = []
    listens = []

    def server(
        name: str, service: str, port: int, leaf: Path, *options: str, address: str = "", **truth: object
    ) -> None:
        own = address or yard.address()
        said = "".join(f" -o {{ {option} }}" for option in (f"smtpd_tls_chain_files = {leaf}", *options))
        lines.append(f"{own}:{port} inet n - n - - smtpd{said}")
        listens.append((own, port))
        yard.one(f"postfix-{name}", own, port, service, **truth)

    strong = (
        "smtpd_tls_exclude_ciphers = aNULL, kRSA, SHA1, SHA256, SHA384, CAMELLIA, ARIA, DHE",
        "tls_high_cipherlist = " + STRONG,
        "smtpd_tls_ciphers = high",
    )

    def leaf(name: str, **options: object) -> tuple[str, Path]:
        address = yard.address()
        return address, yard.good.leaf(f"postfix-{name}", address, **options)  # type: ignore[arg-type]

    address, file = leaf("strong")
    server("strong", "smtp", 2525, file, *strong, address=address)
    address, file = leaf("submission")
    server("submission", "submission", 1587, file, *strong, address=address)
    address, file = leaf("smtps")
    server("smtps", "smtps", 1465, file, "smtpd_tls_wrappermode = yes", *strong, address=address)
    address, file = leaf("smtps-expired", days=(-60, -1))
    server(
        "smtps-expired",
        "smtps",
        1465,
        file,
        "smtpd_tls_wrappermode = yes",
        *strong,
        address=address,
        fails="CRT-03 MAI-03",
    )
    address, file = leaf("expired", days=(-60, -1))
    server("expired", "smtp", 2525, file, *strong, address=address, fails="CRT-03 MAI-03")
    address, file = leaf("no-chain", chain="leaf")
    server("no-chain", "smtp", 2525, file, *strong, address=address, fails="CRT-01 MAI-03")
    address, file = leaf("no-tls")
    server(
        "no-tls",
        "smtp",
        2525,
        file,
        "smtpd_tls_security_level = none",
        address=address,
        fails="MAI-03",
        opens=NO_TLS,
    )
    address, file = leaf("usual")
    # the usual list of an opportunistic server has anonymous suites
    server("usual", "smtp", 2525, file, address=address, fails="TLS-05 TLS-06 MAI-03", free="TLS-03 TLS-07")
    address, file = leaf("names-itself")
    server(
        "names-itself",
        "smtp",
        2525,
        file,
        *strong,
        "smtpd_banner = mail.example.vn ESMTP Postfix 3.7.11 (Debian/GNU)",
        address=address,
        fails="PAT-04",
        free="PAT-01 PAT-02 PAT-03",
    )
    yard.file(
        "postfix/main.cf",
        f"compatibility_level = 3.6\nqueue_directory = {place}/queue\ndata_directory = {place}/data\n"
        "inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmydestination =\nmyhostname = mail.example.vn\n"
        "smtpd_tls_security_level = may\nsmtpd_tls_protocols = >=TLSv1.2\nsmtpd_client_connection_rate_limit = 0\n"
        f"maillog_file_prefixes = {place}\nmaillog_file = {place}/log\nalias_maps =\n"
        "smtpd_client_connection_count_limit = 0\nsmtpd_junk_command_limit = 1000\n",
    )
    yard.file(
        "postfix/master.cf",
        "\n".join(lines)
        + "\npostlog unix-dgram n - n - 1 postlogd\nanvil unix - - n - 1 anvil\nrewrite unix - - n - - trivial-rewrite\n"
        "tlsmgr unix - - n 1000? 1 tlsmgr\nproxymap unix - - n - - proxymap\n",
    )
    yard.run("postfix", "-c", place, "start-fg", listens=listens)
    yard.stack.callback(_end_master, place / "queue/pid/master.pid")


def _end_master(pid: Path) -> None:
    """End postfix's master, which does not end with the command that began it."""
    with contextlib.suppress(OSError, ValueError):
        number = int(pid.read_text())
        os.kill(number, signal.SIGTERM)
        give_up = time.monotonic() + 5
        while Path(f"/proc/{number}").exists() and time.monotonic() < give_up:
            time.sleep(0.05)


# ----------------------------------------------------------------------------------------------------- dovecot


def dovecot(yard: Yard) -> None:
    """Three servers: one that lets nobody log in without TLS, one that does, one without TLS."""
    for name, ssl, plain in (("strict", "required", "yes"), ("lax", "yes", "no"), ("bare", "no", "no")):
        address = yard.address()
        file = yard.good.leaf(f"dovecot-{name}", address)
        ports = {"imap": 1143, "imaps": 1993, "pop3": 1110, "pop3s": 1995}
        if ssl == "no":
            ports = {"imap": 1143, "pop3": 1110}
        place = yard.folder / f"dovecot-{name}"
        place.mkdir()
        listeners = {
            service: "".join(
                f" inet_listener {one} {{\n port = {ports.get(one, 0)}\n{' ssl = yes' if one[-1] == 's' else ''}\n }}\n"
                for one in (service, f"{service}s")
            )
            for service in ("imap", "pop3")
        }
        config = yard.file(
            f"dovecot-{name}/dovecot.conf",
            f"base_dir = {place}/run\nlog_path = {place}/log\nprotocols = imap pop3\nlisten = {address}\n"
            "default_internal_user = dovecot\ndefault_login_user = dovenull\n"
            "service anvil {\n chroot =\n}\nservice stats {\n chroot =\n}\n"
            f"service imap-login {{\n chroot =\n process_min_avail = 2\n{listeners['imap']}}}\n"
            f"service pop3-login {{\n chroot =\n process_min_avail = 2\n{listeners['pop3']}}}\n"
            f"ssl = {ssl}\nssl_cert = <{file}\nssl_key = <{file}\ndisable_plaintext_auth = {plain}\n"
            f"ssl_min_protocol = TLSv1.2\nssl_cipher_list = {STRONG}\nssl_options = no_ticket\n"
            "passdb {\n driver = static\n args = nopassword=y\n}\nuserdb {\n driver = static\n args = uid=0 gid=0\n}\n",
        )
        yard.run("dovecot", "-F", "-c", config, listens=[(address, port) for port in ports.values()])
        targets = []
        for service, port in ports.items():
            fails = "MAI-04" if plain == "no" and service[-1] != "s" else ""
            opens = ""
            if ssl == "no":
                fails, opens = "MAI-03 MAI-04", NO_TLS
            targets.append(At(address, port, service, "", service, fails=fails, opens=opens))
        yard.add(Case(f"dovecot-{name}", targets))


# ------------------------------------------------------------------------------------------------------ vsftpd


def vsftpd(yard: Yard) -> None:
    def server(name: str, service: str, port: int, lines: str, **truth: object) -> None:
        address = yard.address()
        file = yard.good.leaf(f"vsftpd-{name}", address)
        empty = yard.folder / "empty"
        empty.mkdir(exist_ok=True, mode=0o555)
        config = yard.file(
            f"vsftpd-{name}.conf",
            f"listen=YES\nlisten_address={address}\nlisten_port={port}\nbackground=NO\nanonymous_enable=YES\n"
            f"run_as_launching_user=YES\nsecure_chroot_dir={empty}\nanon_root={empty}\n"
            f"rsa_cert_file={file}\nrsa_private_key_file={file}\n{lines}\n",
        )
        yard.run("vsftpd", config, listens=[(address, port)])
        free = f"PAT-01 PAT-02 PAT-03 {truth.pop('free', '')}"
        yard.one(f"vsftpd-{name}", address, port, service, free=free, **truth)

    strong = f"ssl_enable=YES\nssl_ciphers={STRONG}"
    server("plain", "ftp", 2121, "", fails="NET-04 PAT-04", opens=NO_TLS)
    server("plain-odd-port", "ftp", 2100, "", fails="NET-04 PAT-04", opens=NO_TLS)
    server("plain-quiet", "ftp", 2121, "ftpd_banner=Welcome", fails="NET-04", opens=NO_TLS)
    server("tls", "ftp", 2121, strong, fails="NET-04 PAT-04", free="TLS-04")
    server("implicit", "ftps", 9900, f"{strong}\nimplicit_ssl=YES", fails="PAT-04", free="TLS-04 NET-04")


# --------------------------------------------------------------------------------------------------- databases


def postgresql(yard: Yard) -> None:
    initdb = Path(tool("postgres")).resolve().parent / "initdb"

    def server(name: str, port: int, settings: dict[str, str], **truth: object) -> None:
        address = yard.address()
        data = yard.folder / f"postgresql-{name}"
        data.mkdir()
        owned(data, "postgres")
        subprocess.run(
            [*as_user("postgres"), str(initdb), "-D", str(data), "-A", "trust", "--no-sync"],
            check=True, capture_output=True, cwd=data,
        )  # fmt: skip
        file = copied(yard.good.leaf(f"pg-{name}", address), data, "postgres")
        usual = {
            "port": str(port),
            "listen_addresses": address,
            "unix_socket_directories": str(data),
            "ssl_cert_file": str(file),
            "ssl_key_file": str(file),
        }
        options = [part for key, value in {**usual, **settings}.items() for part in ("-c", f"{key}={value}")]
        command = [*as_user("postgres"), tool("postgres"), "-D", str(data), *options]
        yard.run(*command, listens=[(address, port)], cwd=data)
        yard.one(f"postgresql-{name}", address, port, "postgresql", **truth)

    server("strong", 15432, {"ssl": "on", "ssl_ciphers": STRONG})
    server("usual", 5432, {"ssl": "on"}, fails="TLS-06 NET-02")
    server("plain", 5432, {"ssl": "off"}, fails="NET-02", opens=NO_TLS)


def mariadb(yard: Yard) -> None:
    def server(name: str, port: int, *more: str, **truth: object) -> None:
        address = yard.address()
        data = yard.folder / f"mariadb-{name}"
        (data / "mysql").mkdir(parents=True)
        owned(data, "mysql")
        owned(data / "mysql", "mysql")
        file = copied(yard.good.leaf(f"maria-{name}", address), data, "mysql")
        options = (
            "--no-defaults", f"--datadir={data}", f"--bind-address={address}", f"--port={port}", f"--socket={data}/s",
            "--skip-grant-tables", "--skip-networking=0", "--innodb=OFF", "--default-storage-engine=Aria",
            f"--aria-log-dir-path={data}", *(option.replace("FILE", str(file)) for option in more),
        )  # fmt: skip
        yard.run(*as_user("mysql"), tool("mariadbd"), *options, listens=[(address, port)])
        # the version of a MariaDB of Debian names its package, so the data may know it
        yard.one(f"mariadb-{name}", address, port, "mysql", free="PAT-01 PAT-02 PAT-03", **truth)

    tls = ("--ssl-cert=FILE", "--ssl-key=FILE")
    server("tls", 13306, *tls, f"--ssl-cipher={STRONG}", "--tls-version=TLSv1.2,TLSv1.3", fails="PAT-04")
    server(
        "old",
        3306,
        *tls,
        "--tls-version=TLSv1.1,TLSv1.2,TLSv1.3",
        "--ssl-cipher=DEFAULT:@SECLEVEL=0",
        fails="PAT-04 TLS-03 TLS-06 NET-02",
    )
    server("plain", 3306, "--skip-ssl", fails="PAT-04 NET-02", opens=NO_TLS)


def slapd(yard: Yard) -> None:
    def server(name: str, suites: str, **truth: object) -> None:
        address = yard.address()
        file = yard.good.leaf(f"slapd-{name}", address)
        chain = yard.file(
            f"slapd-{name}.chain", b"-----BEGIN CERT" + file.read_bytes().split(b"-----BEGIN CERT", 1)[1]
        )
        config = yard.file(
            f"slapd-{name}.conf",
            f"pidfile {yard.folder}/slapd-{name}.pid\nTLSCertificateFile {chain}\nTLSCertificateKeyFile {file}\n"
            f"TLSCipherSuite {suites}\ndatabase config\n",
        )
        urls = f"ldap://{address}:1389/ ldaps://{address}:1636/"
        yard.run("slapd", "-d", "0", "-f", config, "-h", urls, listens=[(address, 1389), (address, 1636)])
        targets = [
            At(address, 1389, "ldap", "", "starttls", **truth),
            At(address, 1636, "ldaps", "", "tls", **truth),
        ]  # type: ignore[arg-type]
        yard.add(Case(f"slapd-{name}", targets))

    # GnuTLS renegotiates as a client asks, and slapd has no setting against it (`openssl s_client`: R)
    modern = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
    server(
        "strong",
        f"{modern}:-RSA:-AES-128-CBC:-AES-256-CBC:-AES-128-CCM:-AES-256-CCM:-DHE-RSA",
        fails="TLS-09",
    )
    server("usual", modern, fails="TLS-06 TLS-09")
    server("old", "NORMAL:+VERS-TLS1.0:+VERS-TLS1.1", fails="TLS-03 TLS-06 TLS-09")
