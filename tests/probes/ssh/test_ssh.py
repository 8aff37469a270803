"""The ssh probe against OpenSSH's sshd, and against sockets that behave as no sshd should."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seccheck.model import Reason
from seccheck.probes import Endpoint, ProbeFailed
from seccheck.probes.ssh import PROBE, SshFacts, SshParams, protocols
from seccheck.probes.ssh.transport import CIPHERS, KEX, MACS, Offer, safe_prime, string
from seccheck.scope import UNLIMITED, Context, Permission, Scope
from tests.tools import free_port, running, tool

BOTH = ("algorithms", "authentication")


@pytest.fixture
def context() -> Context:
    return Context(Scope(permissions=(Permission(network="127.0.0.0/8", limits=UNLIMITED),)))


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("hostkeys")
    made = {}
    for name, kind, bits in (("rsa", "rsa", "3072"), ("small", "rsa", "1024"), ("ed", "ed25519", "256")):
        made[name] = folder / name
        command = [tool("ssh-keygen"), "-q", "-t", kind, "-b", bits, "-N", "", "-f", str(made[name])]
        subprocess.run(command, check=True, capture_output=True)
    return made


@pytest.fixture
def sshd(tmp_path: Path, keys: dict[str, Path]) -> Iterator[Callable[..., int]]:
    """Start sshd with lines of configuration and the host keys named; returns its port."""
    with contextlib.suppress(OSError):
        Path("/run/sshd").mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:

        def start(*lines: str, host_keys: tuple[str, ...] = ("rsa", "ed")) -> int:
            port = free_port()
            configuration = tmp_path / f"sshd_{port}"
            fixed = [
                f"ListenAddress 127.0.0.1:{port}",
                f"PidFile {tmp_path}/pid",
                "UsePAM no",
                "StrictModes no",
                "LogLevel QUIET",
                *(f"HostKey {keys[name]}" for name in host_keys),
            ]
            configuration.write_text("\n".join((*lines, *fixed)) + "\n")
            stack.enter_context(running(tool("sshd"), "-D", "-e", "-f", configuration, ports=(port,)))
            return port

        yield start


def look(context: Context, port: int, *ask: str) -> SshFacts:
    assert PROBE.collect
    return PROBE.collect(Endpoint(address="127.0.0.1", port=port), SshParams(ask=ask or BOTH), context)  # type: ignore[arg-type]


def failure(context: Context, port: int) -> ProbeFailed:
    with pytest.raises(ProbeFailed) as caught:
        look(context, port)
    return caught.value


# ------------------------------------------------------------------------------------------------------ sshd


def test_sshd_as_it_comes(sshd: Callable[..., int], context: Context) -> None:
    facts = look(context, sshd())
    assert facts.identification is not None
    assert facts.identification.startswith("SSH-2.0-OpenSSH_")
    assert facts.protocols == ("2",)
    assert facts.kex is not None
    assert "curve25519-sha256" in facts.kex
    assert not [name for name in facts.kex if name.startswith(("ext-info", "kex-strict"))]
    assert facts.host_key_algorithms is not None
    assert set(facts.host_key_algorithms) == {"rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"}
    assert facts.ciphers is not None
    assert "chacha20-poly1305@openssh.com" in facts.ciphers
    assert facts.macs is not None
    assert "hmac-sha2-256" in facts.macs
    assert facts.rsa_host_key_bits == (3072,)
    assert facts.authentications == ("publickey", "password", "keyboard-interactive")
    assert facts.undecided == ()
    assert context.connections == 1


def test_only_what_is_asked(sshd: Callable[..., int], context: Context) -> None:
    port = sshd("PasswordAuthentication no", "KbdInteractiveAuthentication no")
    facts = look(context, port, "algorithms")
    assert facts.authentications is None
    assert facts.kex
    facts = look(context, port, "authentication")
    assert facts.authentications == ("publickey",)
    assert facts.kex is None
    assert facts.rsa_host_key_bits is None
    assert facts.undecided == ()


def test_a_small_rsa_key_and_none(sshd: Callable[..., int], context: Context) -> None:
    assert look(context, sshd(host_keys=("ed",))).rsa_host_key_bits == ()
    port = sshd("RequiredRSASize 1024", host_keys=("small",))
    assert look(context, port).rsa_host_key_bits == (1024,)


def test_a_server_that_asks_for_two_steps(sshd: Callable[..., int], context: Context) -> None:
    assert look(context, sshd("AuthenticationMethods publickey,password")).authentications == ("publickey",)


@pytest.mark.parametrize("name", [name for name in KEX if "group15" not in name and "group17" not in name])
def test_every_key_exchange(sshd: Callable[..., int], context: Context, name: str) -> None:
    """All but groups 15 and 17, which OpenSSH has not got; the groups themselves are checked below."""
    facts = look(context, sshd(f"KexAlgorithms {name}"))
    assert facts.kex == (name,)
    assert facts.rsa_host_key_bits == (3072,)
    assert facts.authentications is not None
    assert "password" in facts.authentications


@pytest.mark.parametrize("name", [name for name in CIPHERS if "rijndael" not in name])
def test_every_cipher(sshd: Callable[..., int], context: Context, name: str) -> None:
    """All but rijndael-cbc, the old name of aes256-cbc, which OpenSSH has dropped."""
    facts = look(context, sshd(f"Ciphers {name}"))
    assert facts.ciphers == (name,)
    assert facts.authentications is not None
    assert "password" in facts.authentications


@pytest.mark.parametrize("name", MACS)
def test_every_mac(sshd: Callable[..., int], context: Context, name: str) -> None:
    facts = look(context, sshd(f"MACs {name}", "Ciphers aes128-ctr,3des-cbc"))
    assert facts.macs == (name,)
    assert facts.authentications is not None
    assert "password" in facts.authentications


def test_nothing_in_common(sshd: Callable[..., int], context: Context) -> None:
    facts = look(context, sshd("KexAlgorithms sntrup761x25519-sha512@openssh.com"))
    assert facts.kex == ("sntrup761x25519-sha512@openssh.com",)
    assert facts.rsa_host_key_bits is None
    assert facts.authentications is None
    assert {(entry.fact, entry.reason) for entry in facts.undecided} == {
        ("rsa_host_key_bits", Reason.NOT_OFFERED),
        ("authentications", Reason.NOT_OFFERED),
    }


def test_maxstartups(sshd: Callable[..., int], context: Context) -> None:
    port = sshd("MaxStartups 1:100:1")
    with socket.create_connection(("127.0.0.1", port)) as held:
        held.recv(10)
        assert failure(context, port).reason is Reason.RATE_LIMITED


class NoKey(paramiko.RSAKey):
    """An RSA key that is listed, and is not there when it is needed."""

    def sign_ssh_data(self, *_: object, **__: object) -> paramiko.Message:
        raise OSError


class KeysAlone(paramiko.ServerInterface):
    def get_allowed_auths(self, username: str) -> str:
        return "publickey"


def test_a_server_that_lists_an_rsa_key_and_has_none(
    context: Context, keys: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """As dropbear 2022.83 does with an Ed25519 key alone: its child dies where RSA is agreed on."""
    caplog.set_level(logging.CRITICAL, "paramiko")
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:

        def serve() -> None:
            for _ in range(2):
                peer, _address = listener.accept()
                transport = paramiko.Transport(peer)
                stack.callback(transport.close)
                transport.add_server_key(paramiko.Ed25519Key.from_private_key_file(str(keys["ed"])))
                transport.add_server_key(NoKey.from_private_key_file(str(keys["rsa"])))
                transport.start_server(threading.Event(), KeysAlone())

        thread = threading.Thread(target=serve)
        thread.start()
        found = look(context, listener.getsockname()[1])
        thread.join(5)
    assert found.authentications == ("publickey",)
    assert {doubt.fact for doubt in found.undecided} == {"rsa_host_key_bits"}


def test_the_groups_are_those_of_the_rfc() -> None:
    """RFC 3526 and RFC 2409 print these; compared here by digest and by what primes must satisfy."""
    for group, bits in ((1, 1024), (14, 2048), (15, 3072), (16, 4096), (17, 6144), (18, 8192)):
        prime = safe_prime(group)
        assert prime.bit_length() == bits
        assert pow(2, prime - 1, prime) == 1 if bits <= 4096 else prime % 24 == 23
    assert safe_prime(14).to_bytes(256, "big")[:12].hex() == "ffffffffffffffffc90fdaa2"


# -------------------------------------------------------------------------------------- what is no good sshd


@pytest.fixture
def talk() -> Iterator[Callable[..., int]]:
    """A server that says some bytes to each connection, then closes (or waits for the peer to)."""
    with contextlib.ExitStack() as stack:

        def start(*parts: bytes, wait: bool = False) -> int:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def accept() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        connection, _ = listener.accept()
                        with contextlib.suppress(OSError), connection:
                            connection.settimeout(5)
                            for part in parts:
                                connection.sendall(part)
                            while wait and connection.recv(4096):
                                pass
                            connection.shutdown(socket.SHUT_WR)
                            connection.recv(4096)

            thread = threading.Thread(target=accept)
            thread.start()
            stack.callback(thread.join, 10)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            return int(listener.getsockname()[1])

        yield start


def kexinit(*lists: bytes, guesses: bool = False) -> bytes:
    payload = b"\x14" + bytes(16) + b"".join(string(names) for names in lists)
    payload += b"".join(string(b"") for _ in range(10 - len(lists))) + bytes([guesses]) + bytes(4)
    padding = 8 - (5 + len(payload)) % 8 + 8
    return string(bytes([padding]) + payload + bytes(padding))


OFFER = kexinit(
    b"diffie-hellman-group1-sha1,ext-info-s", b"ssh-dss", b"arcfour", b"3des-cbc", b"hmac-md5", b"none"
)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", Reason.RATE_LIMITED),
        (b"Exceeded MaxStartups\r\n", Reason.RATE_LIMITED),
        (b"Not allowed at this time\r\n", Reason.RATE_LIMITED),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Reason.NOT_OFFERED),
        (b"220 ftp ready\r\n", Reason.NOT_OFFERED),
        (b"x" * 20_000, Reason.NOT_OFFERED),
        (b"line\r\n" * 200, Reason.NOT_OFFERED),
        (b"SSH-two\r\n", Reason.NOT_OFFERED),
    ],
)
def test_no_identification(talk: Callable[..., int], context: Context, said: bytes, reason: Reason) -> None:
    assert failure(context, talk(said)).reason is reason


def test_nobody_there(context: Context) -> None:
    assert failure(context, free_port()).reason is Reason.UNREACHABLE


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"SSH-1.5-OpenSSH_3.9p1", ("1",)),
        (b"SSH-1.99-Cisco-1.25", ("1", "2")),
        (b"SSH-2.0-x", ("2",)),
    ],
)
def test_protocols(line: bytes, expected: tuple[str, ...]) -> None:
    assert protocols(line) == expected


def test_protocol_1_only(talk: Callable[..., int], context: Context) -> None:
    facts = look(context, talk(b"SSH-1.5-old\n", b"Protocol major versions differ.\n"))
    assert facts.protocols == ("1",)
    assert facts.kex is None
    assert {entry.reason for entry in facts.undecided} == {Reason.NOT_OFFERED}
    assert len(facts.undecided) == 6


def test_an_old_server_behind_a_notice(talk: Callable[..., int], context: Context) -> None:
    facts = look(context, talk(b"Authorised users only\r\n\r\n", b"SSH-1.99-old\r\n", OFFER))
    assert facts.protocols == ("1", "2")
    assert facts.kex == ("diffie-hellman-group1-sha1",)
    assert facts.host_key_algorithms == ("ssh-dss",)
    assert facts.ciphers == ("arcfour", "3des-cbc")
    assert facts.macs == ("hmac-md5", "none")
    assert facts.rsa_host_key_bits == ()
    assert [entry.fact for entry in facts.undecided] == ["authentications"]


@pytest.mark.parametrize(
    "after",
    [
        b"",
        b"\x00\x00\x00\x04abcd",
        b"\x7f\xff\xff\xff" + b"x" * 100,
        b"\x00\x00\x00\x0c\x04\x14abcdefghij",
        string(b"\xff\x14" + b"x" * 14),
        kexinit(b"a" * 60_000),
        string(b"\x04" + b"\x01" + struct.pack(">I", 2) + string(b"go away") + string(b"") + bytes(4)),
        string(b"\x04" + b"\x02" + bytes(10)) * 100,
    ],
)
def test_what_follows_the_identification_makes_no_sense(
    talk: Callable[..., int], context: Context, after: bytes
) -> None:
    facts = look(context, talk(b"SSH-2.0-x\r\n", after))
    assert facts.identification == "SSH-2.0-x"
    assert "authentications" in {entry.fact for entry in facts.undecided}
    assert facts.authentications is None


def test_too_many_connections(talk: Callable[..., int], context: Context) -> None:
    bye = string(b"\x04\x01" + struct.pack(">I", 12) + string(b"later") + string(b"") + bytes(4))
    facts = look(context, talk(b"SSH-2.0-x\r\n", bye))
    assert {entry.reason for entry in facts.undecided} == {Reason.RATE_LIMITED}


@given(st.binary(max_size=200))
def test_any_offer_is_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(ProbeFailed):
        Offer.read(b"\x14" + bytes(16) + raw)
