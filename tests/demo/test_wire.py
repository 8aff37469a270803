"""Whether every defect is really on the wire, and nothing is wrong with the others."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.zone
import paramiko
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import SignatureAlgorithmOID

from seccheck.demo.defects import DEFECTS
from seccheck.demo.systems import DemoSystem
from seccheck.registry import load_registry
from tests.demo.conftest import Running, Spot
from tests.tools import tool

GOOD_GROUPS = struct.pack(">HHHHH", 10, 6, 4, 23, 29)
SIGNATURES = struct.pack(">HHHHH", 13, 6, 4, 0x0403, 0x0804)
FS_AEAD = [0xC02B, 0xC02C]
FS_AEAD_RSA = [0xC02F, 0xC030]


# ------------------------------------------------------------------------------------- looking, by hand


def place(spot: Spot) -> str:
    return f"[{spot.address}]:{spot.port}" if ":" in spot.address else f"{spot.address}:{spot.port}"


def s_client(spot: Spot, *options: str, said: str = "") -> str:
    """What `openssl s_client` prints about a connection."""
    command = [
        tool("openssl"),
        "s_client",
        "-connect",
        place(spot),
        "-servername",
        spot.host,
    ]
    done = subprocess.run(
        [*command, *options], input=said, capture_output=True, text=True, timeout=20, check=False
    )
    return done.stdout + done.stderr


def protocol(spot: Spot, *options: str) -> str:
    """The version that comes about, or nothing."""
    output = s_client(spot, *options, "-cipher", "ALL:eNULL:@SECLEVEL=0")
    if "Cipher is (NONE)" in output:
        return ""
    found = re.search(r"New, (\S+), Cipher is|Protocol  : (\S+)", output)
    return re.search(r"Protocol  : (\S+)", output).group(1) if "Protocol  :" in output else found.group(1)  # type: ignore[union-attr]


def cipher(spot: Spot, suites: str) -> str:
    """The TLS 1.2 suite that is taken of `suites`, or nothing."""
    output = s_client(spot, "-tls1_2", "-cipher", f"{suites}:@SECLEVEL=0")
    taken = re.search(r"Cipher is (\S+)", output)
    return "" if taken is None or taken.group(1) == "(NONE)" else taken.group(1)


def hello(version: int, suites: list[int], extensions: bytes = b"", compressions: bytes = b"\0") -> bytes:
    """A ClientHello, spelled out here so that it owes nothing to the fleet's own reader."""
    body = struct.pack(">H", version) + bytes(range(32)) + b"\0"
    body += struct.pack(f">H{len(suites)}H", 2 * len(suites), *suites)
    body += bytes((len(compressions),)) + compressions
    if extensions:
        body += struct.pack(">H", len(extensions)) + extensions
    message = b"\1" + len(body).to_bytes(3, "big") + body
    return struct.pack(">BHH", 22, min(version, 0x0301), len(message)) + message


def converse(spot: Spot, said: bytes, *, until: Callable[[bytes], bool] = lambda _heard: False) -> bytes:
    """What the server answers to `said`, until it closes or says what was waited for."""
    heard = b""
    with spot.connect() as sock:
        sock.sendall(said)
        try:
            while not until(heard) and (data := sock.recv(65536)):
                heard += data
        except TimeoutError:
            pass
    return heard


def messages(answer: bytes) -> dict[int, bytes]:
    """The handshake messages of an answer by type; an alert stands under 0."""
    found: dict[int, bytes] = {}
    stream = b""
    while answer:
        length = int.from_bytes(answer[3:5], "big")
        if answer[0] == 21:
            found[0] = answer[5 : 5 + length]
        else:
            stream += answer[5 : 5 + length]
        answer = answer[5 + length :]
    while stream:
        size = int.from_bytes(stream[1:4], "big")
        found[stream[0]] = stream[4 : 4 + size]
        stream = stream[4 + size :]
    return found


def offered(spot: Spot, said: bytes) -> dict[int, bytes]:
    return messages(converse(spot, said, until=lambda heard: heard.endswith(b"\x0e\0\0\0")))


def accepted(spot: Spot, version: int, *suites: int) -> bool:
    """Whether a first flight of that version comes back, with one of the suites and a certificate."""
    extensions = GOOD_GROUPS + SIGNATURES if version >= 0x0301 else b""
    flight = offered(spot, hello(version, list(suites), extensions))
    if 0 in flight:
        assert flight[0][0] == 2
        assert flight[0][1] in {40, 70}
        return False
    chosen = struct.unpack_from(">H", flight[2], 35)[0]
    assert struct.unpack_from(">H", flight[2])[0] == version
    assert chosen in suites
    x509.load_der_x509_certificate(leaf_of(flight))
    if 12 in flight:
        check_key_exchange(flight)
    return True


def leaf_of(flight: dict[int, bytes]) -> bytes:
    certificate = flight[11]
    return certificate[6 : 6 + int.from_bytes(certificate[3:6], "big")]


def check_key_exchange(flight: dict[int, bytes]) -> None:
    """The signature of an ECDHE-ECDSA key exchange holds."""
    exchange = flight[12]
    params = exchange[: 4 + exchange[3]]
    signature = exchange[len(params) + 4 :]
    key = x509.load_der_x509_certificate(leaf_of(flight)).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(signature, bytes(range(32)) + flight[2][2:34] + params, ec.ECDSA(hashes.SHA256()))


def ssl2(spot: Spot) -> bool:
    kinds = bytes.fromhex("0700c0010080")
    said = struct.pack(">BHHHH", 1, 2, len(kinds), 0, 16) + kinds + bytes(16)
    answer = converse(
        spot, struct.pack(">H", 0x8000 | len(said)) + said, until=lambda heard: len(heard) > 200
    )
    if answer[:1] == b"\x15":
        return False
    kind, _hit, _type, version, certificate, ciphers, session = struct.unpack_from(">BBBHHHH", answer, 2)
    x509.load_der_x509_certificate(answer[13 : 13 + certificate])
    return bool((kind, version, session) == (4, 2, 16) and ciphers)


def certificate(spot: Spot) -> x509.Certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with spot.connect() as sock, context.wrap_socket(sock, server_hostname=spot.host) as tls:
        return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")


def verification(running: Running, spot: Spot) -> int:
    """OpenSSL's verdict on the certificate: 0, or its number for what is wrong."""
    context = ssl.create_default_context(cafile=running.folder / "ca.pem")
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        with spot.connect() as sock, context.wrap_socket(sock, server_hostname=spot.host):
            return 0
    except ssl.SSLCertVerificationError as error:
        return error.verify_code


def fetch(spot: Spot, *, secure: bool = True, path: str = "/") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(spot.address, spot.port, timeout=5)
    with spot.connect() as sock:
        connection.sock = sock
        if secure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_ciphers("ALL:@SECLEVEL=0")
            connection.sock = context.wrap_socket(sock, server_hostname=spot.host)
        connection.request("GET", path, headers={"Host": spot.host, "Connection": "close"})
        response = connection.getresponse()
        response.read()
        connection.close()
        return response


def header(spot: Spot, name: str) -> str:
    return fetch(spot).getheader(name, "")


def renegotiates(spot: Spot) -> bool:
    command = [tool("openssl"), "s_client", "-connect", place(spot), "-tls1_2", "-crlf"]
    client = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert client.stdin
    assert client.stdout
    heard = ""
    while "Verify return code" not in heard:
        heard = client.stdout.readline()
    client.stdin.write("R\n")
    client.stdin.flush()
    time.sleep(0.3)  # `R` is a command only when it stands alone in what s_client reads
    with contextlib.suppress(BrokenPipeError):
        client.stdin.write("GET / HTTP/1.1\nHost: x\nConnection: close\n\n")
        client.stdin.flush()
    output = client.stdout.read()
    with contextlib.suppress(BrokenPipeError):
        client.stdin.close()
    client.stdout.close()
    client.wait(5)
    assert "RENEGOTIATING" in output
    return "HTTP/1.1 200" in output


def open_port(address: str, *ports: int) -> bool:
    for port in ports:
        try:
            socket.create_connection((address, port), timeout=2).close()
        except ConnectionRefusedError:
            continue
        return True
    return False


def says(address: str, port: int, said: bytes, answer: bytes) -> bool:
    if not open_port(address, port):
        return False
    heard = converse(Spot(address, port, ""), said, until=lambda heard: answer in heard)
    return answer in heard


def datagram(address: str, port: int, said: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2)
        sock.connect((address, port))
        sock.send(said)
        try:
            return sock.recv(4096)
        except ConnectionRefusedError:
            return b""


@cache
def name_server(folder: Path) -> tuple[str, int]:
    """Where the fleet's name server is, as the registry says."""
    [server] = load_registry(folder / "registry.yaml").resolvers
    return server.address, server.port


def ask_names(
    running: Running, name: str, kind: str, *, signed: bool = False, stream: bool = False
) -> dns.message.Message:
    address, port = name_server(running.folder)
    query = dns.message.make_query(name, kind, want_dnssec=signed)
    send = dns.query.tcp if stream else dns.query.udp
    return send(query, address, port=port, timeout=5)


def published(running: Running, host: str, kind: str) -> list[str]:
    response = ask_names(running, host, kind)
    assert ask_names(running, host, kind, stream=True).answer == response.answer
    return [record.to_text() for rrset in response.answer for record in rrset]


def delv(running: Running, name: str, kind: str) -> str:
    """What BIND's own validator thinks of an answer."""
    address, port = name_server(running.folder)
    match = re.fullmatch(r"(\S+) IN DS (\d+) (\d+) (\d+) (\S+)\n", (running.folder / "names.ds").read_text())
    assert match
    anchor = running.folder / "delv.anchor"
    anchor.write_text(
        f'trust-anchors {{ {match[1]} static-ds {match[2]} {match[3]} {match[4]} "{match[5]}"; }};\n'
    )
    root = f"+root={match[1]}"
    command = [tool("delv"), f"@{address}", "-p", str(port), "-a", str(anchor), root, name, kind]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout


def ssh_offer(spot: Spot) -> bytes:
    return converse(spot, b"", until=lambda heard: b"none" in heard)


def ssh_methods(spot: Spot) -> list[str]:
    with spot.connect() as sock:
        transport = paramiko.Transport(sock)
        try:
            transport.start_client(timeout=5)
            transport.auth_none("nobody")
        except paramiko.BadAuthenticationType as refused:
            return list(refused.allowed_types)
        finally:
            transport.close()
    return []


def tls_offered(spot: Spot) -> bool:
    return bool(s_client(spot).count("BEGIN CERTIFICATE"))


Check = Callable[[Running, DemoSystem], bool]


def on(service: str, check: Callable[[Spot], bool]) -> Check:
    return lambda running, system: check(running.spot(system.id, service))


def at_address(check: Callable[[str], bool]) -> Check:
    return lambda running, system: check(running.address(system.id))


def approves(port: int, check: Callable[[str], bool]) -> Check:
    def both(running: Running, system: DemoSystem) -> bool:
        address = running.address(system.id)
        listed = running.registered[system.id].approved_ports.get(address, ())
        return check(address) and port in listed

    return both


def verified(code: int) -> Check:
    return lambda running, system: verification(running, running.spot(system.id, "https")) == code


def in_zone(check: Callable[[Running, str], bool]) -> Check:
    return lambda running, system: check(running, system.domain)


def says_unmet(running: Running, system: DemoSystem) -> bool:
    return any(one.states == "not-met" for one in running.registered[system.id].evidence.values())


SHOWS: dict[str, Check] = {
    "no-https": lambda running, system: (
        "https" not in {t.service for t in running.registered[system.id].targets}
    ),
    "plain-on-https": on(
        "https", lambda spot: not tls_offered(spot) and fetch(spot, secure=False).status == 200
    ),
    "http-content": on("http", lambda spot: fetch(spot, secure=False).status == 200),
    "ssl2": on("https", ssl2),
    "ssl3": on(
        "https", lambda spot: accepted(spot, 0x0300, 0x002F, 0x0035) and not accepted(spot, 0x0300, 0x0035)
    ),
    "ssl3-3des": on("https", lambda spot: accepted(spot, 0x0300, 0x000A)),
    "tls10": on("https", lambda spot: protocol(spot, "-tls1") == "TLSv1"),
    "tls11": on("https", lambda spot: protocol(spot, "-tls1_1") == "TLSv1.1" and not protocol(spot, "-tls1")),
    "only-tls10": on("https", lambda spot: protocol(spot) == "TLSv1"),
    "no-tls13": on("https", lambda spot: protocol(spot) == "TLSv1.2"),
    "3des": on("https", lambda spot: accepted(spot, 0x0303, 0xC008)),
    "rc4": on("https", lambda spot: accepted(spot, 0x0303, 0xC007)),
    "null": on("https", lambda spot: bool(cipher(spot, "eNULL"))),
    "anonymous": on("https", lambda spot: bool(cipher(spot, "aNULL"))),
    "cbc": on("https", lambda spot: bool(cipher(spot, "ECDHE-ECDSA-AES128-SHA256"))),
    "static-rsa": on("https", lambda spot: bool(cipher(spot, "kRSA"))),
    "short-dh": on(
        "https", lambda spot: "DH, 1024 bits" in s_client(spot, "-tls1_2", "-cipher", "DHE:@SECLEVEL=0")
    ),
    "short-curve": on(
        "https",
        lambda spot: (
            "secp224r1" in s_client(spot, "-tls1_2", "-curves", "P-224", "-cipher", "ALL:@SECLEVEL=0")
        ),
    ),
    "no-hsts": on("https", lambda spot: not header(spot, "Strict-Transport-Security")),
    "short-hsts": on("https", lambda spot: "max-age=86400" in header(spot, "Strict-Transport-Security")),
    "renegotiation": on("https", renegotiates),
    "compression": on(
        "https",
        lambda spot: (
            offered(spot, hello(0x0303, FS_AEAD + FS_AEAD_RSA, GOOD_GROUPS + SIGNATURES, b"\1\0"))[2][37] == 1
        ),
    ),
    "self-signed": verified(18),
    "no-intermediate": verified(20),
    "wrong-name": verified(62),
    "expired": verified(10),
    "short-key": on("https", lambda spot: certificate(spot).public_key().key_size == 1024),  # type: ignore[union-attr]
    "sha1": on(
        "https",
        lambda spot: certificate(spot).signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA1,
    ),
    "open-port": at_address(lambda address: open_port(address, 8888, 9000, 8000)),
    "database": at_address(lambda address: says(address, 6379, b"PING\r\n", b"-NOAUTH")),
    "approved-database": approves(
        5432, lambda address: says(address, 5432, bytes.fromhex("0000000804d2162f"), b"N")
    ),
    "desktop": at_address(
        lambda address: says(
            address, 3389, bytes.fromhex("0300000b06e00000000000"), b"\x03\x00\x00\x13\x0e\xd0"
        )
    ),
    "approved-desktop": approves(5900, lambda address: says(address, 5900, b"", b"RFB 003.008\n")),
    "ftp": at_address(lambda address: says(address, 2121, b"", b"220 FTP")),
    "telnet": at_address(lambda address: says(address, 2323, b"", b"login: ")),
    "docker": at_address(
        lambda address: says(address, 2375, b"GET /version HTTP/1.0\r\n\r\n", b'"ApiVersion"')
    ),
    "memcached": at_address(
        lambda address: b"VERSION" in datagram(address, 11211, b"\0\1\0\0\0\1\0\0version\r\n")
    ),
    "other-address": lambda running, system: (
        running.address(system.id) not in published(running, system.host, "A")
    ),
    "no-ipv6": lambda running, system: not published(running, system.host, "AAAA"),
    "unsigned-zone": in_zone(
        lambda running, domain: (
            not published(running, domain, "DNSKEY") and "; unsigned answer" in delv(running, domain, "SOA")
        )
    ),
    "expired-zone": in_zone(
        lambda running, domain: (
            bool(published(running, domain, "DNSKEY")) and not delv(running, domain, "SOA")
        )
    ),
    "zone-transfer": in_zone(
        lambda running, domain: len(ask_names(running, domain, "AXFR", stream=True).answer) > 2
    ),
    "dead-exchanger": in_zone(
        lambda running, domain: any(
            host != "." and not published(running, host, "A")
            for host in (text.split(" ")[1] for text in published(running, domain, "MX"))
        )
    ),
    "any-issuer": in_zone(
        lambda running, domain: not any(" issue " in text for text in published(running, domain, "CAA"))
    ),
    "no-dmarc": in_zone(lambda running, domain: not published(running, f"_dmarc.{domain}", "TXT")),
    "dmarc-none": in_zone(
        lambda running, domain: "p=none;" in "".join(published(running, f"_dmarc.{domain}", "TXT"))
    ),
    "restore-untested": says_unmet,
    "php-unsupported": on("https", lambda spot: header(spot, "X-Powered-By") == "PHP/5.6.40"),
    "apache-exploited": on("https", lambda spot: header(spot, "Server") == "Apache/2.4.49 (Unix)"),
    "apache-outdated": on("https", lambda spot: header(spot, "Server") == "Apache/2.4.62 (Debian)"),
    "no-csp": on("https", lambda spot: not header(spot, "Content-Security-Policy")),
    "open-csp": on("https", lambda spot: "default-src *" in header(spot, "Content-Security-Policy")),
    "no-nosniff": on("https", lambda spot: not header(spot, "X-Content-Type-Options")),
    "framing": on(
        "https",
        lambda spot: (
            not header(spot, "X-Frame-Options")
            and "frame-ancestors" not in header(spot, "Content-Security-Policy")
        ),
    ),
    "cookie": on("https", lambda spot: header(spot, "Set-Cookie").endswith("Path=/")),
    "old-ssh": on("ssh", lambda spot: b"diffie-hellman-group1-sha1" in ssh_offer(spot)),
    "ssh-password": on("ssh", lambda spot: "password" in ssh_methods(spot)),
}


def test_every_defect_has_its_check() -> None:
    assert set(SHOWS) == set(DEFECTS)


@pytest.mark.parametrize("defect", sorted(SHOWS))
def test_a_defect_is_on_the_wire_and_only_where_it_belongs(running: Running, defect: str) -> None:
    needs = DEFECTS[defect].needs
    service = needs if needs in {"http", "ssh"} else "https"
    assert SHOWS[defect](running, running.having(defect))
    assert not SHOWS[defect](running, running.good(service))


def test_a_system_with_a_weak_suite_still_serves_the_good_ones(running: Running) -> None:
    for defect in ("3des", "ssl3", "compression", "short-curve"):
        spot = running.spot(running.having(defect).id, "https")
        assert protocol(spot) == "TLSv1.3"
        assert "GCM" in cipher(spot, "ECDHE+AESGCM")


def test_the_sha1_signature_is_a_true_one(running: Running) -> None:
    spot = running.spot(running.having("sha1").id, "https")
    assert verification(running, spot) == 0


# ------------------------------------------------------------------------------------------- good systems


def test_every_system_without_defects_is_sound(running: Running) -> None:
    context = ssl.create_default_context(cafile=running.folder / "ca.pem")
    looked_at = 0
    for system in running.systems.values():
        if system.defects or "https" not in system.services:
            continue
        spot = running.spot(system.id, "https")
        with spot.connect() as sock, context.wrap_socket(sock, server_hostname=spot.host) as tls:
            assert tls.version() == "TLSv1.3"
        response = fetch(spot)
        assert response.status == 200
        assert response.getheader("Strict-Transport-Security") == "max-age=31536000; includeSubDomains"
        assert response.getheader("X-Content-Type-Options") == "nosniff"
        assert response.getheader("X-Frame-Options") == "DENY"
        assert "*" not in response.getheader("Content-Security-Policy", "*")
        assert response.getheader("Set-Cookie", "").endswith("Secure; HttpOnly; SameSite=Lax")
        looked_at += 1
    assert looked_at >= 70


def test_a_good_system_answers_every_refused_offer_with_an_alert(running: Running) -> None:
    spot = running.spot(running.good().id, "https")
    legacy = [0x002F, 0x0035, 0x000A, 0x0005, 0xC009, 0xC00A, 0x00FF]
    for version in (0x0300, 0x0301, 0x0302):
        assert offered(spot, hello(version, legacy, GOOD_GROUPS))[0] in {b"\x02\x46", b"\x02\x28"}
    weak = [*legacy, 0xC023, 0xC024, 0x003C, 0x009C]
    assert offered(spot, hello(0x0303, weak, GOOD_GROUPS + SIGNATURES))[0] == b"\x02\x28"
    assert not ssl2(spot)
    fallback = hello(0x0303, [*FS_AEAD, 0x5600], GOOD_GROUPS + SIGNATURES)
    assert offered(spot, fallback)[0] == b"\x02\x56"
    assert messages(converse(spot, b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"))[0][0] == 2


def test_a_first_flight_says_secure_renegotiation_and_no_compression(running: Running) -> None:
    spot = running.spot(running.good().id, "https")
    extensions = GOOD_GROUPS + SIGNATURES + struct.pack(">HHB", 0xFF01, 1, 0) + struct.pack(">HH", 23, 0)
    server_hello = offered(spot, hello(0x0303, FS_AEAD, extensions, b"\1\0"))[2]
    assert server_hello[35 + server_hello[34] + 2] == 0
    assert b"\xff\x01\x00\x01\x00" in server_hello
    assert b"\x00\x17\x00\x00" in server_hello


def test_plain_http_only_redirects_to_the_same_name(running: Running) -> None:
    for system in running.systems.values():
        if "http" in system.services and not system.defects:
            spot = running.spot(system.id, "http")
            response = fetch(spot, secure=False, path="/a?b=c")
            assert response.status == 301
            port = running.spot(system.id, "https").port
            assert response.getheader("Location") == f"https://{spot.host}:{port}/a?b=c"
            assert response.getheader("Content-Length") == "0"


def test_mail_starts_tls_and_drops_what_was_said_before(running: Running) -> None:
    spot = running.spot("thai-nguyen-mail", "smtp")
    output = s_client(
        spot,
        "-starttls",
        "smtp",
        "-CAfile",
        str(running.folder / "ca.pem"),
        "-verify_return_error",
        said="EHLO x\r\n",
    )
    assert "Verify return code: 0 (ok)" in output
    with spot.connect() as sock:
        assert sock.recv(999).startswith(b"220 mail.thai-nguyen.seccheck-demo.gov.vn ESMTP")
        sock.sendall(b"EHLO x\r\n")
        assert b"250 STARTTLS\r\n" in sock.recv(999)
        sock.sendall(b"STARTTLS\r\nMAIL FROM:<x@y>\r\n")
        assert sock.recv(999) == b"220 2.0.0 Ready to start TLS\r\n"


def test_imap_and_the_bus_greet(running: Running) -> None:
    imaps = running.spot("thai-nguyen-mail", "imaps")
    assert "* OK [CAPABILITY IMAP4rev1" in s_client(imaps, "-quiet", said="a LOGOUT\r\n")
    bus = running.spot("mic-ndxp", "tcp")
    assert converse(bus, b"", until=lambda heard: b"\n" in heard).startswith(b"+READY ")


def test_a_page_that_is_not_there_says_so_and_nothing_else(running: Running) -> None:
    spot = running.spot(running.good().id, "https")
    for path in ("/.git/config", "/.env", "/server-status", "/actuator", "/admin/", "/phpinfo.php"):
        assert fetch(spot, path=path).status == 404
    assert fetch(spot, path="/.well-known/security.txt").status == 200
    assert b"405 Method Not Allowed" in converse(
        running.spot(running.good("http").id, "http"),
        b"TRACE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )


def test_names_are_published_with_the_registered_address_and_served_over_ipv6(running: Running) -> None:
    context = ssl.create_default_context(cafile=running.folder / "ca.pem")
    for system in running.systems.values():
        if system.defects or "https" not in system.services:
            continue
        port = running.spot(system.id, "https").port
        if ask_names(running, system.host, "AAAA").answer:
            with (
                socket.create_connection(("::1", port), timeout=5) as sock,
                context.wrap_socket(sock, server_hostname=system.host) as tls,
            ):
                assert tls.version() == "TLSv1.3"
    assert published(running, system.host, "A") == [running.address(system.id)]


def test_the_name_server_knows_its_own_zones_only(running: Running) -> None:
    for name, code in (
        ("nobody.seccheck-demo.gov.vn", "NXDOMAIN"),
        ("nobody.ha-noi.seccheck-demo.gov.vn", "NXDOMAIN"),
        ("_domainkey.nghe-an.seccheck-demo.gov.vn", "NOERROR"),
        ("example.org", "REFUSED"),
        ("gov.vn", "REFUSED"),
    ):
        assert dns.rcode.to_text(ask_names(running, name, "A").rcode()) == code
    with socket.create_connection(name_server(running.folder), timeout=5) as sock:
        sock.sendall(b"\0\x03abc")
        assert sock.recv(9) == b""


def test_another_validator_finds_the_zones_secure(running: Running) -> None:
    """BIND's, on answers and on proofs that there is none, but for what the two defects say."""
    host = running.good().host
    for name, kind in ((host, "A"), (running.good().domain, "MX"), ("seccheck-demo.gov.vn", "NS")):
        assert "; fully validated" in delv(running, name, kind)
    for name, kind in ((host, "TXT"), (f"nobody.{host}", "A"), ("yen-bai.seccheck-demo.gov.vn", "DS")):
        assert "; negative response, fully validated" in delv(running, name, kind)


def test_a_zone_is_given_away_by_its_defect_only_and_then_whole(running: Running) -> None:
    zone = dns.zone.Zone(running.having("zone-transfer").domain + ".")
    address, port = name_server(running.folder)
    dns.query.inbound_xfr(address, zone, port=port, timeout=5)
    given = {dns.rdatatype.to_text(rdataset.rdtype) for _name, rdataset in zone.iterate_rdatasets()}
    assert {"SOA", "NS", "MX", "TXT", "CAA", "A", "DNSKEY", "RRSIG", "NSEC"} <= given
    for refused in (
        ask_names(running, running.good().domain, "AXFR", stream=True),
        ask_names(running, "seccheck-demo.gov.vn", "AXFR", stream=True),
        ask_names(running, running.having("zone-transfer").domain, "IXFR"),
    ):
        assert (dns.rcode.to_text(refused.rcode()), refused.answer) == ("REFUSED", [])


def test_mail_of_every_unit_is_protected_and_only_some_take_any(running: Running) -> None:
    for system in running.systems.values():
        if system.defects:
            continue
        [spf] = published(running, system.domain, "TXT")
        [exchanger] = published(running, system.domain, "MX")
        assert "p=reject" in published(running, f"_dmarc.{system.domain}", "TXT")[0]
        key = published(running, f"mail._domainkey.{system.domain}", "TXT")
        if "smtp" in system.services:
            assert (spf, exchanger, bool(key)) == ('"v=spf1 mx -all"', f"10 {system.host}.", True)
        elif exchanger == "0 .":
            assert (spf, key) == ('"v=spf1 -all"', [])


def test_a_port_shared_by_name_refuses_hellos_without_a_known_one(running: Running) -> None:
    spot = running.spot(running.good().id, "https")
    if published(running, spot.host, "AAAA"):
        shared = Spot("::1", spot.port, "nobody.example")
        assert offered(shared, hello(0x0303, FS_AEAD, GOOD_GROUPS + SIGNATURES))[0] == b"\x02\x70"
        assert "unrecognized name" in s_client(shared)
