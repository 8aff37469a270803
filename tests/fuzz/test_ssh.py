# ruff: noqa: E501 (samples stand as they are sent)
"""SSH as hostile servers speak it: identification, KEXINIT, key exchange, packets under every cipher."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seccheck.probes.ssh import collect, protocols, rsa_bits
from seccheck.probes.ssh.facts import SshParams
from seccheck.probes.ssh.transport import CIPHERS, KEX, MACS, Offer, Session, mpint, sealer, string
from tests.fuzz.properties import Recorded, endpoint, heard, hostile, looked

pytestmark = pytest.mark.fuzz
BOTH = SshParams(ask=("algorithms", "authentication"))
HOST_KEYS = ("ssh-ed25519", "rsa-sha2-512", "ssh-rsa")


def packet(payload: bytes) -> bytes:
    padding = 8 - (5 + len(payload)) % 8
    padding += 8 if padding < 4 else 0
    return struct.pack(">IB", 1 + len(payload) + padding, padding) + payload + bytes(padding)


def kexinit(kex: str = "curve25519-sha256", keys: str = "ssh-ed25519,rsa-sha2-512", cipher: str = "aes128-ctr", mac: str = "hmac-sha2-256", guesses: bool = False) -> bytes:  # fmt: skip
    lists = (kex, keys, cipher, cipher, mac, mac, "none", "none", "", "")
    return (
        b"\x14" + bytes(16) + b"".join(string(one.encode()) for one in lists) + bytes((guesses,)) + bytes(4)
    )


RSA_KEY = string(b"ssh-rsa") + mpint(65537) + mpint((1 << 2047) + 1)
REPLIES = (
    b"\x1f" + string(RSA_KEY) + string(bytes(range(32))) + string(b"signature"),
    b"\x1f" + string(RSA_KEY) + mpint(1 << 2000) + string(b"signature"),
    b"\x1f" + mpint((1 << 2047) | 1) + mpint(2),
    b"\x21" + string(RSA_KEY) + mpint(1 << 2000) + string(b"x"),
    b"\x1f" + string(RSA_KEY) + mpint(0) + string(b"x"),
    b"\x1f" + string(RSA_KEY) + string(b"\x04" + bytes(64)) + string(b"x"),
    b"\x15",
    b"\x01" + struct.pack(">I", 12) + string(b"Too many connections") + string(b""),
    b"\x02" + string(b"ignored"),
)
GREETING = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"
TALKS = (
    *(
        GREETING
        + packet(kexinit(method, guesses=guesses))
        + b"".join(packet(reply) for reply in REPLIES[at:])
        for method, at, guesses in (
            ("curve25519-sha256", 0, False),
            ("curve25519-sha256", 0, True),
            ("diffie-hellman-group14-sha256", 1, False),
            ("diffie-hellman-group-exchange-sha256", 2, False),
            ("ecdh-sha2-nistp256", 5, False),
            ("diffie-hellman-group1-sha1", 4, False),
            ("unknown", 6, False),
        )
    ),
    b"Exceeded MaxStartups\r\n",
    b"hello\r\nthere\r\nSSH-1.99-x\r\n",
    b"SSH-1.5-1.2.27\n",
    b"SSH-2.0-" + b"x" * 300,
)


@given(hostile(*TALKS), hostile(*TALKS))
@example(b"\n" * 8000, b"")
@example(GREETING + packet(b"\x02" + string(b"x")) * 3000, b"")
@example(GREETING + packet(kexinit(",".join("x" * 60 for _ in range(800)), "")), b"")
@example(TALKS[0][:-200] + packet(b"\x14"), b"")
def test_a_whole_look(data: bytes, again: bytes) -> None:
    looked(lambda: collect(endpoint("ssh"), BOTH, Recorded(data, again)))


@given(hostile(*(kexinit(method, guesses=True) for method in KEX[:3])))
def test_offers(payload: bytes) -> None:
    def read() -> None:
        offer = Offer.read(payload)
        assert len(offer.kex) <= 200

    looked(read)


@given(hostile(GREETING, b"SSH-1.99-x\r\n", b"SSH-99999999999999999999.1-x", "SSH-\u0661.\u0662-".encode()))
def test_identifications(line: bytes) -> None:
    looked(lambda: protocols(line))


@given(hostile(RSA_KEY, string(b"ssh-rsa") + mpint(3) + b"\x7f\xff\xff\xff"))
def test_host_keys(blob: bytes) -> None:
    looked(lambda: rsa_bits(blob))


def derive(letter: bytes, size: int) -> bytes:
    return (letter * size)[:size]


@given(
    st.sampled_from(CIPHERS),
    st.sampled_from(MACS),
    hostile(bytes(range(256)), packet(b"\x06x")),
    st.booleans(),
)
def test_packets_under_keys(cipher: str, mac: str, data: bytes, sealed: bool) -> None:
    """What comes under keys: noise, and packets that were sealed as they should be."""
    both = sealer(cipher, mac, derive, b"ACE", out=True), sealer(cipher, mac, derive, b"ACE", out=False)
    if sealed:
        body = data[:200]
        front = 5 - both[0].aad
        padding = both[0].block - (front + len(body)) % both[0].block + both[0].block
        whole = string(bytes([padding]) + body + bytes(padding))
        data = both[0].seal(whole, 0)

    def read() -> None:
        session = Session(connection)
        session._in = both[1]
        if sealed and body[:1] == b"\x06":
            assert session.receive(6) == body
        else:
            session.receive(6)

    with heard(data) as connection:
        looked(read)
