"""What open ports say themselves: real servers, the words of cluster APIs, and servers that talk too much."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seccheck.model import Reason
from seccheck.probes.ports.facts import PortsParams
from seccheck.probes.ports.identify import Identity, askable, expected, identify, recognise
from seccheck.probes.ports.table import TABLE
from tests.probes.ports.servers import Place, context, doubts, facts
from tests.tools import free_port, running, tool, wait_for


def answer(body: str, *, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n{body}".encode()


def said(place: Place, port: int) -> Identity:
    return identify(context(), place.address, port)


DOCKER = json.dumps({"Platform": {"Name": "Docker Engine"}, "Version": "24.0.7", "ApiVersion": "1.43",
                     "MinAPIVersion": "1.12", "Os": "linux", "KernelVersion": "6.1.0"})  # fmt: skip
KUBERNETES = json.dumps({"major": "1", "gitVersion": "v1.29.2", "goVersion": "go1.21.7"}, indent=2)
FORBIDDEN = json.dumps(
    {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403}, indent=2
)


@pytest.mark.parametrize(
    ("port", "reply", "name"),
    [
        (2375, answer(DOCKER), "docker-api"),
        (2379, answer('{"etcdserver":"3.5.9","etcdcluster":"3.5.0"}'), "etcd"),
        (6443, answer(KUBERNETES), "kubernetes-api"),
        (6443, answer(FORBIDDEN, status="403 Forbidden"), "kubernetes-api"),
        (10250, answer("Forbidden (user=system:anonymous, verb=get)", status="403 Forbidden"), "kubelet"),
        (10250, answer("Unauthorized", status="401 Unauthorized"), "kubelet"),
        (10255, answer('{"kind":"PodList","apiVersion":"v1","items":[]}'), "kubelet"),
        (8500, answer('"10.0.0.5:8300"', headers="X-Consul-Index: 1\r\n"), "consul"),
        (4646, answer('"10.0.0.5:4647"'), "nomad"),
        (8200, answer('{"initialized":true,"sealed":false,"standby":false}'), "vault"),
        (8080, answer("", status="403 Forbidden", headers="X-Jenkins: 2.426\r\n"), "jenkins"),
        (8111, answer("", headers='WWW-Authenticate: Basic realm="TeamCity"\r\n'), "teamcity"),
        (8081, answer("", headers="Server: Nexus/3.61.0-02 (OSS)\r\n"), "nexus"),
        (9000, answer("<html><head><title>Portainer</title>"), "portainer"),
        (8443, answer("<title>Kubernetes Dashboard</title>"), "kubernetes-dashboard"),
        (8080, answer("<title>Cổng dịch vụ công</title>"), "http"),
        (2375, answer("<title>Welcome</title>"), "http"),
        (8080, b"220 (vsFTPd 3.0.3)\r\n", "ftp"),
    ],
)  # fmt: skip
def test_a_get_is_answered_as_the_service_answers(port: int, reply: bytes, name: str, place: Place) -> None:
    place.page(reply, port)
    assert said(place, port).confirmed == name


@pytest.mark.parametrize(
    ("greeting", "name"),
    [
        (b"220 (vsFTPd 3.0.3)\r\n", "ftp"),
        (b"220-Welcome\r\n220-to this\r\n220 ProFTPD Server ready.\r\n", "ftp"),
        (b"220 Xin chao\r\n", "ftp"),  # settled by SYST, refused before the login
        (b"220 mx.example.gov.vn ESMTP Postfix\r\n", "smtp"),
        (b"\xff\xfd\x18\xff\xfd\x20\xff\xfd\x23\xff\xfd\x27", "telnet"),
        (b"\r\nswitch-3 login: ", "telnet"),
        (b"User Access Verification\r\n\r\nUsername: ", "telnet"),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", "ssh"),
        (b"RFB 003.008\n", "vnc"),
        (b"@RSYNCD: 31.0\n", "rsync"),
        (b"+OK Dovecot ready.\r\n", "pop3"),
        (b"* OK [CAPABILITY IMAP4rev1] ready\r\n", "imap"),
        (b"J\0\0\0\n5.7.44-log\0", "mysql"),
        (b"something else\r\n", ""),
    ],
)
def test_greetings(greeting: bytes, name: str, place: Place) -> None:
    """On a port that our table does not know, as a declared service off its standard port is."""
    assert said(place, place.greeting(greeting)).confirmed == name


def test_vsftpd(tmp_path: Path, place: Place) -> None:
    port = free_port(place.address)
    (tmp_path / "conf").write_text(
        f"listen=YES\nlisten_address={place.address}\nlisten_port={port}\nbackground=NO\nanonymous_enable=YES\n"
        f"secure_chroot_dir={tmp_path}\nftpd_banner=Chao mung\nseccomp_sandbox=NO\n"
    )
    with running(tool("vsftpd"), tmp_path / "conf", ports=(port,), address=place.address):
        found = facts(place.address, PortsParams(tcp=(port,), declared=(port,)))
    assert found.identified == ("ftp",)
    assert [service.confirmed for service in found.services or ()] == ["ftp"]
    assert found.undecided == ()


def certificate(folder: Path) -> Path:
    path = folder / "both.pem"
    subprocess.run(
        [tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3", "-subj", "/CN=api",
         "-keyout", path, "-out", folder / "cert.pem"], check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + (folder / "cert.pem").read_text())
    return path


@pytest.mark.parametrize("port", [6443, 2376, 2375])
def test_an_api_behind_tls_is_asked_over_tls(port: int, tmp_path: Path, place: Place) -> None:
    """2375 as well, where TLS is unusual: what is not HTTP is asked again the other way."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate(tmp_path))

    def handle(client: socket.socket) -> None:
        with server.wrap_socket(client, server_side=True) as secured:
            secured.recv(4096)
            secured.sendall(answer(KUBERNETES if port == 6443 else DOCKER))

    place.tcp(port, handle)
    assert said(place, port).confirmed == ("kubernetes-api" if port == 6443 else "docker-api")


def test_an_api_that_wants_a_certificate_is_told_apart(tmp_path: Path, place: Place) -> None:
    path = certificate(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    server.load_verify_locations(path)
    server.verify_mode = ssl.CERT_REQUIRED
    server.maximum_version = ssl.TLSVersion.TLSv1_2

    def handle(client: socket.socket) -> None:
        with server.wrap_socket(client, server_side=True) as secured:
            secured.recv(4096)

    place.tcp(2376, handle)
    assert said(place, 2376) == Identity("", Reason.ACCESS)


def test_a_port_that_keeps_quiet_leaves_its_service_in_doubt(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seccheck.probes.ports.identify.SECONDS", 1.0)
    quiet = place.tcp(2323, lambda client: time.sleep(2))
    found = facts(place.address, PortsParams(tcp=(2323,), declared=(place.tcp(),)))
    assert quiet in (found.open or ())
    assert doubts(found, "identified") == {("telnet", "timeout")}


def test_a_declared_service_that_waits_is_spoken_to(place: Place) -> None:
    """A web server refuses the word at once; an FTP server that looks up our name first greets late."""

    def refuse(client: socket.socket) -> None:
        if client.recv(512):
            client.sendall(answer("", status="400 Bad Request"))

    def look_up(client: socket.socket) -> None:
        time.sleep(2)
        client.sendall(b"220 FTP\r\n")

    for handle, name in ((refuse, "http"), (look_up, "ftp")):
        port = place.tcp(0, handle)
        assert identify(context(), place.address, port, declared=True).confirmed == name


def test_a_strange_port_is_left_alone_if_it_waits(place: Place) -> None:
    heard = []

    def note(client: socket.socket) -> None:
        heard.append(client.recv(512))

    port = place.tcp(0, note)
    started = time.monotonic()
    assert said(place, port) == Identity("", Reason.TIMEOUT)
    assert time.monotonic() - started < 2.5
    wait_for(lambda: heard == [b""])


def test_a_greeting_without_end_is_cut(place: Place) -> None:
    """Endless `220-` lines bring nmap 7.93 down with a segmentation fault."""

    def endless(client: socket.socket) -> None:
        while True:
            client.sendall(b"220-and on, and on, with this ftp server\r\n" * 100)

    started = time.monotonic()
    assert said(place, place.tcp(0, endless)).confirmed == "ftp"
    assert time.monotonic() - started < 3


def test_a_page_without_end_is_cut(place: Place) -> None:
    def endless(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\nX-Jenkins: 2.1\r\n\r\n")
        while True:
            client.sendall(os.urandom(4096))

    place.tcp(8080, endless)
    assert said(place, 8080).confirmed == "jenkins"


def test_no_port_but_a_printer_s_is_left_unheard() -> None:
    assert not any(map(askable, (9100, 9107)))
    assert all(map(askable, (80, 443, 3306, 8080, 40404)))
    assert expected(2375) == "docker-api"
    assert expected(40404) == expected(8080) == ""


@pytest.mark.parametrize("port", [8021, 3306, 8080, 8443])
def test_clear_text_is_found_on_the_numbers_of_others(place: Place, port: int) -> None:
    """By what answers, whatever the number: a Freeswitch, a database, a site, one with TLS."""

    def ftp(client: socket.socket) -> None:
        client.sendall(b"220 ready\r\n")
        while client.recv(512):
            client.sendall(b"530 Please log in\r\n")

    def telnet(client: socket.socket) -> None:
        client.sendall(b"\r\nwelcome\r\nlogin: ")
        while data := client.recv(512):
            client.sendall(data)

    place.tcp(port, ftp)
    assert said(place, port).confirmed == "ftp"
    other = port + 1 if port in {8080, 8443} else 1883
    place.tcp(other, telnet)
    assert said(place, other).confirmed == "telnet"


@given(st.binary(max_size=2000), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"220-", b"\xff\xfd"]))
def test_nothing_that_is_said_breaks_the_reader(data: bytes, start: bytes) -> None:
    assert isinstance(recognise(start + data), str)


def test_recognising_is_quick_whatever_is_said() -> None:
    started = time.process_time()
    for piece in (b'"gitVersion"', b'"kind"', b"220-", b"\r\n", b"login", b"a", b"\n" * 7 + b" "):
        recognise(b"HTTP/1.1 200 OK\r\n" + piece * 2000)
        recognise(b"220 " + piece * 2000)
        recognise(piece * 2000)
    assert time.process_time() - started < 0.5


def test_every_expectation_is_of_a_service_in_the_table() -> None:
    from seccheck.probes.ports.identify import _GREETING, _HTTP, EXPECTED

    services = {entry.service for entry in TABLE.values()}
    assert set(EXPECTED) <= services
    assert set(_HTTP) <= services
    assert set(EXPECTED) <= set(_HTTP) | _GREETING
