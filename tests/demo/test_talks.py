"""The conversations of the fleet without a network: bytes in, bytes out."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import paramiko
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seccheck.demo.lines import PostgresTalk, SmtpTalk, VncTalk
from seccheck.demo.loop import Loop, Talk
from seccheck.demo.oldtls import read_hello
from seccheck.demo.ssh import MODERN_SSH, SshOffer, SshTalk
from seccheck.demo.web import Site, WebTalk
from tests.tools import tool

SITE = Site("Cổng thử nghiệm", cookie="a=b")


# ----------------------------------------------------------------------------------------------------- web


def test_a_connection_is_kept_for_many_requests_and_closed_when_asked() -> None:
    talk = WebTalk(SITE)
    answer = talk.hear(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert not talk.over
    assert b"Connection: close" in talk.hear(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert talk.over


def test_a_request_may_come_byte_by_byte() -> None:
    talk = WebTalk(SITE)
    said = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = b"".join(talk.hear(said[at : at + 1]) for at in range(len(said)))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")


def test_the_body_of_a_request_is_not_taken_for_a_request() -> None:
    talk = WebTalk(SITE)
    answer = talk.hear(
        b"POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"
    )
    assert answer.count(b"HTTP/1.1 405") == 1
    assert answer.count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01", b"400"),
        (b"GET /\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20000, b"431"),
    ],
)
def test_what_is_no_request_is_refused_and_ends(said: bytes, status: bytes) -> None:
    talk = WebTalk(SITE)
    assert talk.hear(said).startswith(b"HTTP/1.1 " + status)
    assert talk.over


# ------------------------------------------------------------------------------------------------ the loop


class Echo(Talk):
    def hear(self, data: bytes) -> bytes:
        if data == b"fail":
            raise RuntimeError("broken on purpose")
        self.over = data == b"bye"
        return data


@contextmanager
def serving(*talks: type[Talk] | object) -> Iterator[list[tuple[str, int]]]:
    """A loop in a thread that serves `talks` until the block ends."""
    loop, places = Loop(), []
    for talk in talks:
        sock = socket.create_server(("127.0.0.1", 0))
        loop.listen(sock, talk)  # type: ignore[arg-type]
        places.append(sock.getsockname())
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as stream:
        loop.stop_at_end_of(stream)
        thread = threading.Thread(target=loop.run)
        thread.start()
        try:
            yield places
        finally:
            os.close(writing)
            thread.join(10)


def test_the_loop_carries_many_conversations_and_large_ones() -> None:
    with serving(Echo) as [place]:
        clients = [socket.create_connection(place, timeout=5) for _ in range(50)]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
        for number, client in enumerate(clients):
            assert client.recv(9) == b"%d" % number
            client.close()
        with socket.create_connection(place, timeout=5) as client:
            size = 8_000_000
            sender = threading.Thread(target=client.sendall, args=(b"x" * size,))
            sender.start()
            heard = 0
            while heard < size:
                heard += len(client.recv(1 << 20))
            sender.join()


def test_a_last_word_arrives_before_the_end() -> None:
    with serving(Echo) as [place], socket.create_connection(place, timeout=5) as client:
        client.sendall(b"bye")
        assert client.recv(9) == b"bye"
        assert client.recv(9) == b""


def test_a_conversation_that_breaks_ends_alone(capfd: pytest.CaptureFixture[str]) -> None:
    with serving(Echo) as [place]:
        with socket.create_connection(place, timeout=5) as client:
            client.sendall(b"fail")
            assert client.recv(9) == b""
        with socket.create_connection(place, timeout=5) as client:
            client.sendall(b"on")
            assert client.recv(9) == b"on"
    assert "broken on purpose" in capfd.readouterr().err


# ----------------------------------------------------------------------------------------------------- ssh


@pytest.mark.parametrize("cipher", MODERN_SSH.ciphers)
@pytest.mark.parametrize("mac", MODERN_SSH.macs)
def test_openssh_gets_as_far_as_the_refusal_of_its_login(cipher: str, mac: str) -> None:
    with serving(lambda: SshTalk(MODERN_SSH)) as [(address, port)]:
        done = subprocess.run(
            [
                *(tool("ssh"), "-v", "-F", "none", "-p", str(port), "-c", cipher, "-m", mac),
                *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
                *("-o", "BatchMode=yes", f"nobody@{address}"),
            ],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert "can continue: publickey\n" in done.stderr
    assert f"cipher: {cipher} " in done.stderr


def test_weak_algorithms_are_offered_last_and_never_run() -> None:
    offer = MODERN_SSH.with_weak(ciphers=("3des-cbc",), macs=("hmac-md5",))
    with serving(lambda: SshTalk(offer)) as [place], socket.create_connection(place, timeout=5) as sock:
        transport = paramiko.Transport(sock)
        transport.get_security_options().ciphers = ("3des-cbc",)
        with pytest.raises((paramiko.SSHException, EOFError)):
            transport.start_client(timeout=5)
        transport.close()


def packets(data: bytes) -> list[int]:
    """The message numbers of unencrypted packets."""
    kinds = []
    while data:
        (length,) = struct.unpack_from(">I", data)
        kinds.append(data[5])
        data = data[4 + length :]
    return kinds


def test_a_client_that_is_not_ssh_is_sent_away() -> None:
    talk = SshTalk(MODERN_SSH)
    talk.greet()
    assert talk.hear(b"GET / HTTP/1.1\r\n\r\n") == b"Protocol mismatch.\n"
    assert talk.over


@pytest.mark.parametrize(
    "packet",
    [
        b"\xff\xff\xff\xff",
        struct.pack(">IB", 12, 4) + b"\x14" + bytes(10),
        struct.pack(">IBB", 12, 4, 30) + bytes(10),
        struct.pack(">IB", 4, 200) + b"\x14\0\0",
    ],
)
def test_malformed_packets_end_the_conversation_or_are_not_understood(packet: bytes) -> None:
    talk = SshTalk(MODERN_SSH)
    talk.greet()
    answer = talk.hear(b"SSH-2.0-x\r\n" + packet)
    assert packets(answer) in ([1], [3])


@given(st.binary(max_size=200))
def test_ssh_takes_any_bytes(data: bytes) -> None:
    talk = SshTalk(SshOffer())
    talk.greet()
    talk.hear(b"SSH-2.0-x\r\n" + data)


# ----------------------------------------------------------------------------------------------- the others


def test_openssl_hellos_are_read_as_they_were_meant() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    command = [tool("openssl"), "s_client", "-connect", f"127.0.0.1:{port}"]
    options = ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:AES128-SHA", "-curves", "P-256:P-384"]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with listener, subprocess.Popen([*command, *options], **quiet) as client:
        with listener.accept()[0] as sock:
            data = sock.recv(4096)
        client.wait(5)
    hello = read_hello(data)
    assert hello
    assert hello.highest == 0x0303
    assert hello.suites == (0xC009, 0x002F, 0x00FF)
    assert hello.groups == (23, 24)
    assert read_hello(data[:50]) is None
    assert read_hello(data[:3]) is None
    split = (
        data[:5][:3]
        + struct.pack(">H", 10)
        + data[5:15]
        + data[:3]
        + struct.pack(">H", len(data) - 15)
        + data[15:]
    )
    assert read_hello(split) == hello


@given(
    st.binary(max_size=300)
    | st.binary(max_size=300).map(lambda body: b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc" + body)
)
def test_any_bytes_are_a_hello_incomplete_or_refused(data: bytes) -> None:
    with suppress(ValueError):
        read_hello(data)


def test_a_mail_server_takes_no_mail() -> None:
    talk = SmtpTalk("mx.demo", encrypted=True)
    assert b"STARTTLS" not in talk.hear(b"EHLO x\r\n")
    assert talk.hear(b"MAIL FROM:<a@b>\r\n").startswith(b"554")
    assert talk.hear(b"QUIT\r\n").startswith(b"221")
    assert talk.over


def test_a_database_and_a_desktop_say_what_such_servers_say() -> None:
    assert PostgresTalk().hear(struct.pack(">II", 8, 80877103)) == b"N"
    assert PostgresTalk().hear(struct.pack(">II", 30, 196608)).startswith(b"R\0\0\0\x08\0\0\0\x03")
    assert VncTalk().hear(b"RFB 003.008\n").endswith(b"Too many attempts")
