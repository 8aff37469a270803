"""The SSH transport, client side, as far as a question needs it (RFC 4253, RFC 4252, RFC 5656, RFC 4419).

Our own because the libraries have dropped what old servers still speak, and a server that only speaks that
is what we look for. It keeps no secret worth protecting: it proves nobody's identity, checks no signature and
sends no credential, so it is fit for asking questions and for nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seccheck import __version__
from seccheck.model import Reason, safe_text
from seccheck.probes import ProbeFailed
from seccheck.scope import Connection

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import CipherContext

IDENTIFICATION = f"SSH-2.0-seccheck_{__version__}".encode()
_PREAMBLE_LINES = 50
_LINE = 8192
_PACKET = 64 * 1024
_NAMES = 200

DISCONNECT, IGNORE, DEBUG, SERVICE_REQUEST, SERVICE_ACCEPT, EXT_INFO = 1, 2, 4, 5, 6, 7
KEXINIT, NEWKEYS, KEX_INIT, KEX_REPLY, GEX_INIT, GEX_REPLY, GEX_REQUEST = 20, 21, 30, 31, 32, 33, 34
USERAUTH_REQUEST, USERAUTH_FAILURE, USERAUTH_SUCCESS, USERAUTH_BANNER = 50, 51, 52, 53
_TOO_MANY_CONNECTIONS = 12
_BY_APPLICATION = 11


# ------------------------------------------------------------------------------------------------------ wire


def string(data: bytes) -> bytes:
    """`data` with its length before it (RFC 4251, 5)."""
    return struct.pack(">I", len(data)) + data


def mpint(number: int) -> bytes:
    """A non-negative whole number (RFC 4251, 5)."""
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big") if number else b"")


class Reader:
    """Takes fields off a payload; a field that is not there raises `ProbeFailed`."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if size > len(self._data):
            raise ProbeFailed(Reason.CONTRADICTORY, "an SSH message ends before its fields do")
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def number(self) -> int:
        """The next uint32."""
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        """The next string."""
        return self.take(self.number())

    def mpint(self) -> int:
        """The next multiple-precision number."""
        return int.from_bytes(self.string(), "big", signed=True)

    def names(self) -> tuple[str, ...]:
        """The next list of names."""
        text = self.string()
        return tuple(safe_text(name, 128) for name in text.split(b",")[:_NAMES]) if text else ()


@dataclass(frozen=True)
class Offer:
    """A KEXINIT message (RFC 4253, 7.1); lists in the sender's order."""

    payload: bytes
    kex: tuple[str, ...]
    host_keys: tuple[str, ...]
    ciphers_out: tuple[str, ...]
    """Client to server."""
    ciphers_in: tuple[str, ...]
    macs_out: tuple[str, ...]
    macs_in: tuple[str, ...]
    compression_out: tuple[str, ...]
    compression_in: tuple[str, ...]
    guesses: bool
    """Whether a packet for the first method follows unasked."""

    @classmethod
    def read(cls, payload: bytes) -> Offer:
        """The offer that `payload` holds."""
        reader = Reader(payload)
        reader.take(1 + 16)
        lists = [reader.names() for _ in range(10)]
        return cls(
            payload=payload,
            kex=lists[0],
            host_keys=lists[1],
            ciphers_out=lists[2],
            ciphers_in=lists[3],
            macs_out=lists[4],
            macs_in=lists[5],
            compression_out=lists[6],
            compression_in=lists[7],
            guesses=reader.take(1) != b"\0",
        )


# --------------------------------------------------------------------------------------------------- ciphers

_AES = {f"aes{bits}-{mode}": (mode, bits // 8) for bits in (128, 192, 256) for mode in ("ctr", "cbc")}
_HASHES = {"sha1": hashlib.sha1, "md5": hashlib.md5, "sha2-256": hashlib.sha256, "sha2-512": hashlib.sha512}
CIPHERS = (
    "chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com", "aes256-gcm@openssh.com",
    "aes128-ctr", "aes192-ctr", "aes256-ctr", "aes128-cbc", "aes192-cbc", "aes256-cbc",
    "rijndael-cbc@lysator.liu.se", "3des-cbc",
)  # fmt: skip
"""Ciphers we can speak, those that need no MAC first."""
AEAD = frozenset(CIPHERS[:3])
MACS = tuple(
    f"hmac-{name}{cut}{etm}"
    for etm in ("", "-etm@openssh.com")
    for name, cut in (
        ("sha2-256", ""), ("sha2-512", ""), ("sha1", ""), ("md5", ""), ("sha1", "-96"), ("md5", "-96"),
    )
)  # fmt: skip
"""MACs we can speak."""


class Plain:
    """Packets before the keys are taken into use."""

    block = 8
    aad = 0
    """Bytes at the front that are padded around, not over."""

    def seal(self, packet: bytes, _sequence: int) -> bytes:
        """The packet (length first) as it goes on the wire."""
        return packet

    def read(self, take: Callable[[int], bytes], _sequence: int) -> bytes:
        """The next packet without its length: padding length, payload, padding."""
        return take(packet_length(take(4)))


def packet_length(field: bytes) -> int:
    """The length a packet claims, when it is a possible one."""
    length = int.from_bytes(field, "big")
    if not 5 <= length <= _PACKET:
        raise ProbeFailed(Reason.NOT_OFFERED, "what answers is not an SSH packet")
    return length


class Stream(Plain):
    """A stream or block cipher with a MAC, over the packet or (etm) over its encrypted form."""

    def __init__(self, cipher: CipherContext, block: int, mac: str, mac_key: bytes) -> None:
        self.block = max(8, block)
        self._cipher = cipher
        self._etm = mac.endswith("-etm@openssh.com")
        self.aad = 4 if self._etm else 0
        base = mac.removesuffix("-etm@openssh.com").removeprefix("hmac-")
        self._hash = _HASHES[base.removesuffix("-96")]
        self._size = 12 if base.endswith("-96") else self._hash().digest_size
        self._key = mac_key[: self._hash().digest_size]

    def _mac(self, data: bytes, sequence: int) -> bytes:
        return hmac.digest(self._key, struct.pack(">I", sequence) + data, self._hash)[: self._size]

    def seal(self, packet: bytes, sequence: int) -> bytes:
        """The packet encrypted, with its MAC."""
        if self._etm:
            data = packet[:4] + self._cipher.update(packet[4:])
            return data + self._mac(data, sequence)
        return self._cipher.update(packet) + self._mac(packet, sequence)

    def read(self, take: Callable[[int], bytes], sequence: int) -> bytes:
        """The next packet, its MAC checked: a wrong one means that we do not understand each other."""
        if self._etm:
            front = take(4)
            sealed = take(packet_length(front))
            packet = front + self._cipher.update(sealed)
            right = self._mac(front + sealed, sequence)
        else:
            first = self._cipher.update(take(self.block))
            length = packet_length(first[:4])
            if (length + 4) % self.block:
                raise ProbeFailed(Reason.CONTRADICTORY, "an SSH packet does not fill its blocks")
            packet = first + self._cipher.update(take(length + 4 - self.block))
            right = self._mac(packet, sequence)
        if take(self._size) != right:
            raise ProbeFailed(Reason.CONTRADICTORY, "an SSH packet has a wrong MAC")
        return packet[4:]


class Gcm(Plain):
    """AES-GCM (RFC 5647, as OpenSSH speaks it): the length is clear, the nonce counts."""

    block = 16
    aad = 4

    def __init__(self, key: bytes, iv: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(key)
        self._fixed = iv[:4]
        self._count = int.from_bytes(iv[4:12], "big")

    def _nonce(self) -> bytes:
        nonce = self._fixed + self._count.to_bytes(8, "big")
        self._count = (self._count + 1) % 2**64
        return nonce

    def seal(self, packet: bytes, _sequence: int) -> bytes:
        """The packet encrypted, with its tag."""
        return packet[:4] + self._cipher.encrypt(self._nonce(), packet[4:], packet[:4])

    def read(self, take: Callable[[int], bytes], _sequence: int) -> bytes:
        """The next packet, its tag checked."""
        from cryptography.exceptions import InvalidTag

        front = take(4)
        sealed = take(packet_length(front) + 16)
        try:
            return self._cipher.decrypt(self._nonce(), sealed, front)
        except InvalidTag:
            raise ProbeFailed(Reason.CONTRADICTORY, "an SSH packet has a wrong tag") from None


class ChaCha(Plain):
    """chacha20-poly1305@openssh.com: a key for the length, one for the rest; nonce: sequence number."""

    aad = 4

    def __init__(self, key: bytes) -> None:
        self._main, self._header = key[:32], key[32:64]

    @staticmethod
    def _stream(key: bytes, sequence: int, counter: int) -> CipherContext:
        from cryptography.hazmat.primitives.ciphers import Cipher
        from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

        nonce = struct.pack("<Q", counter) + struct.pack(">Q", sequence)
        return Cipher(ChaCha20(key, nonce), mode=None).encryptor()

    def _tag(self, data: bytes, sequence: int) -> bytes:
        from cryptography.hazmat.primitives.poly1305 import Poly1305

        return Poly1305.generate_tag(self._stream(self._main, sequence, 0).update(bytes(32)), data)

    def seal(self, packet: bytes, sequence: int) -> bytes:
        """The packet encrypted, with its tag."""
        front = self._stream(self._header, sequence, 0).update(packet[:4])
        data = front + self._stream(self._main, sequence, 1).update(packet[4:])
        return data + self._tag(data, sequence)

    def read(self, take: Callable[[int], bytes], sequence: int) -> bytes:
        """The next packet, its tag checked."""
        front = take(4)
        sealed = take(packet_length(self._stream(self._header, sequence, 0).update(front)))
        if take(16) != self._tag(front + sealed, sequence):
            raise ProbeFailed(Reason.CONTRADICTORY, "an SSH packet has a wrong tag")
        return self._stream(self._main, sequence, 1).update(sealed)


def sealer(
    cipher: str, mac: str, derive: Callable[[bytes, int], bytes], letters: bytes, *, out: bool
) -> Plain:
    """The protection of one direction: `letters` name its IV, key and MAC key (RFC 4253, 7.2)."""
    iv, key, mac_key = (letters[index : index + 1] for index in range(3))
    if cipher == "chacha20-poly1305@openssh.com":
        return ChaCha(derive(key, 64))
    if cipher.endswith("-gcm@openssh.com"):
        return Gcm(derive(key, 16 if "128" in cipher else 32), derive(iv, 12))
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
    from cryptography.hazmat.primitives.ciphers import Cipher, modes
    from cryptography.hazmat.primitives.ciphers.algorithms import AES

    algorithm: Any
    if cipher == "3des-cbc":
        mode, algorithm, block = "cbc", TripleDES(derive(key, 24)), 8
    else:
        mode, size = _AES[cipher.replace("rijndael-cbc@lysator.liu.se", "aes256-cbc")]
        algorithm, block = AES(derive(key, size)), 16
    start = derive(iv, block)
    both = Cipher(algorithm, modes.CTR(start) if mode == "ctr" else modes.CBC(start))
    return Stream(both.encryptor() if out else both.decryptor(), block, mac, derive(mac_key, 64))


# ---------------------------------------------------------------------------------------------- key exchange

_SAFE_PRIMES = {
    1: (1024, 129093), 14: (2048, 124476), 15: (3072, 1690314), 16: (4096, 240904), 17: (6144, 929484),
    18: (8192, 4743158),
}  # fmt: skip
"""The MODP groups by number: bits, and the constant in their formula (RFC 2409, RFC 3526)."""
_CURVES = {f"ecdh-sha2-nistp{bits}": f"SECP{bits}R1" for bits in (256, 384, 521)}
_GROUPS = {
    "diffie-hellman-group14-sha256": 14,
    **{f"diffie-hellman-group{number}-sha512": number for number in (15, 16, 17, 18)},
    **{f"diffie-hellman-group{number}-sha1": number for number in (14, 1)},
}
_KEX_HASHES = {
    "sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha512": hashlib.sha512,
    "nistp256": hashlib.sha256, "nistp384": hashlib.sha384, "nistp521": hashlib.sha512,
}  # fmt: skip
"""By the last part of a method's name."""
KEX = (
    "curve25519-sha256", "curve25519-sha256@libssh.org", *_CURVES, *_GROUPS,
    "diffie-hellman-group-exchange-sha256", "diffie-hellman-group-exchange-sha1",
)  # fmt: skip
"""Key exchange methods we can speak."""


def safe_prime(group: int) -> int:
    """The prime of a MODP group: 2^n - 2^(n-64) - 1 + 2^64 * ([2^(n-130) pi] + c) (RFC 3526)."""
    bits, constant = _SAFE_PRIMES[group]
    return (1 << bits) - (1 << (bits - 64)) - 1 + (1 << 64) * (_scaled_pi(bits - 130) + constant)


def _scaled_pi(bits: int) -> int:
    """The whole part of 2^bits times pi, by Machin's formula."""
    guard = 64
    unit: int = 1 << (bits + guard)

    def arctan_of_inverse(number: int) -> int:
        term = total = unit // number
        divisor, sign, square = 1, 1, number * number
        while term:
            term //= square
            divisor += 2
            sign = -sign
            total += sign * (term // divisor)
        return total

    return (16 * arctan_of_inverse(5) - 4 * arctan_of_inverse(239)) >> guard


@dataclass(frozen=True)
class Agreed:
    """What a key exchange gave."""

    host_key: bytes
    digest: Callable[[bytes], Any]
    secret: bytes
    """The shared secret as mpint."""
    exchanged: bytes
    """The method's own part of the exchange hash, from the host key on."""


class Session:
    """One connection to an SSH server of protocol 2."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._buffer = b""
        self._out: Plain = Plain()
        self._in: Plain = Plain()
        self._sent = 0
        self._received = 0
        self.identification = b""

    # --- lines and packets

    def _fill(self) -> None:
        more = self._connection.receive()
        if not more:
            raise ProbeFailed(Reason.UNREACHABLE, "the server closed the connection")
        self._buffer += more

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def greet(self) -> bytes:
        """Send our identification and read the server's, over lines that may stand before it (RFC 4253, 4.2).

        Raises `ProbeFailed`: rate-limited when the server turns us away before it says who it is (sshd's
        MaxStartups and PerSourcePenalties do), not-offered when it is no SSH server.
        """
        line = b""
        try:
            self._connection.send(IDENTIFICATION + b"\r\n")
            for _ in range(_PREAMBLE_LINES):
                line = self._line() or line
                if line.startswith(b"SSH-"):
                    self.identification = line
                    return line
        except ProbeFailed as failure:
            if failure.reason is Reason.UNREACHABLE:
                raise _turned_away(self._buffer or line) from None
            raise
        raise _not_ssh(line)

    def _line(self) -> bytes:
        while b"\n" not in self._buffer:
            if len(self._buffer) > _LINE:
                raise _not_ssh(self._buffer)
            self._fill()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.removesuffix(b"\r")

    def send(self, payload: bytes) -> None:
        """Send one message (RFC 4253, 6)."""
        block, front = self._out.block, 5 - self._out.aad
        padding = block - (front + len(payload)) % block
        padding += block if padding < 4 else 0
        body = bytes([padding]) + payload + secrets.token_bytes(padding)
        self._connection.send(self._out.seal(string(body), self._sent))
        self._sent += 1

    def receive(self, *wanted: int) -> bytes:
        """The next message that is one of `wanted`; what may stand between is passed over."""
        for _ in range(32):
            packet = self._in.read(self._take, self._received)
            self._received += 1
            payload = packet[1 : len(packet) - packet[0]]
            kind = payload[0] if payload else 0
            if kind in wanted:
                return payload
            if kind == DISCONNECT:
                raise _disconnected(Reader(payload[1:]))
            if kind not in {IGNORE, DEBUG, EXT_INFO, USERAUTH_BANNER}:
                raise ProbeFailed(Reason.CONTRADICTORY, f"SSH message {kind} where {wanted} was due")
        raise ProbeFailed(Reason.CONTRADICTORY, "the server talks on without answering")

    def disconnect(self) -> None:
        """Take leave."""
        self.send(bytes([DISCONNECT]) + struct.pack(">I", _BY_APPLICATION) + string(b"done") + string(b""))

    # --- key exchange

    def offer(self) -> Offer:
        """The server's KEXINIT."""
        return Offer.read(self.receive(KEXINIT))

    def agree(self, theirs: Offer, host_key: str) -> Agreed:
        """Exchange keys by a method that both speak, with the host key that is asked for.

        Raises `ProbeFailed` with the reason not-offered when there is none.
        """
        if host_key not in theirs.host_keys:
            raise ProbeFailed(Reason.NOT_OFFERED, "the server offers no host key")
        method = _first_common(KEX, theirs.kex, "key exchange method")
        cipher_out = _first_common(CIPHERS, theirs.ciphers_out, "cipher")
        cipher_in = _first_common(CIPHERS, theirs.ciphers_in, "cipher")
        mac_out = _mac_for(cipher_out, theirs.macs_out)
        mac_in = _mac_for(cipher_in, theirs.macs_in)
        for compression in (theirs.compression_out, theirs.compression_in):
            _first_common(("none",), compression, "compression")
        chosen = (method, host_key, cipher_out, cipher_in, mac_out, mac_in, "none", "none", "", "")
        ours = bytes([KEXINIT]) + secrets.token_bytes(16)
        ours += b"".join(string(name.encode()) for name in chosen) + bytes(5)
        self.send(ours)
        if theirs.guesses and (theirs.kex[0], theirs.host_keys[0]) != (method, host_key):
            self._in.read(self._take, self._received)  # a packet for a guess that was wrong (RFC 4253, 7)
            self._received += 1
        self._names = (cipher_out, mac_out, cipher_in, mac_in)
        self._inits = string(ours) + string(theirs.payload)
        return self._exchange(method)

    def _exchange(self, method: str) -> Agreed:
        digest = _KEX_HASHES[method.removesuffix("@libssh.org").rpartition("-")[2]]
        if "group-exchange" in method:
            return self._group_exchange(digest)
        if method in _GROUPS:
            return self._finite_field(digest, safe_prime(_GROUPS[method]), 2, KEX_INIT, KEX_REPLY, b"")
        return self._elliptic(method, digest)

    def _elliptic(self, method: str, digest: Callable[[bytes], Any]) -> Agreed:
        from cryptography.hazmat.primitives.asymmetric import ec, x25519
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        if method in _CURVES:
            private: Any = ec.generate_private_key(getattr(ec, _CURVES[method])())
            public = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        else:
            private = x25519.X25519PrivateKey.generate()
            public = private.public_key().public_bytes_raw()
        self.send(bytes([KEX_INIT]) + string(public))
        reply = Reader(self.receive(KEX_REPLY)[1:])
        host_key, point = reply.string(), reply.string()
        try:
            if method in _CURVES:
                peer = ec.EllipticCurvePublicKey.from_encoded_point(private.curve, point)
                shared = private.exchange(ec.ECDH(), peer)
            else:
                shared = private.exchange(x25519.X25519PublicKey.from_public_bytes(point))
        except ValueError:
            shared = b""  # the host key is told all the same; whoever goes on will fail at the first MAC
        secret = mpint(int.from_bytes(shared, "big"))
        return Agreed(host_key, digest, secret, string(host_key) + string(public) + string(point))

    def _finite_field(
        self, digest: Callable[[bytes], Any], prime: int, base: int, ask: int, answer: int, before: bytes
    ) -> Agreed:
        private = secrets.randbits(512)
        public = pow(base, private, prime)
        self.send(bytes([ask]) + mpint(public))
        reply = Reader(self.receive(answer)[1:])
        host_key, theirs = reply.string(), reply.mpint()
        secret = mpint(pow(theirs, private, prime)) if theirs > 0 else mpint(0)
        return Agreed(
            host_key, digest, secret, string(host_key) + before + mpint(public) + mpint(max(theirs, 0))
        )

    def _group_exchange(self, digest: Callable[[bytes], Any]) -> Agreed:
        sizes = struct.pack(">III", 1024, 2048, 8192)
        self.send(bytes([GEX_REQUEST]) + sizes)
        group = Reader(self.receive(KEX_REPLY)[1:])
        prime, base = group.mpint(), group.mpint()
        if not (1 < base < prime and 512 <= prime.bit_length() <= 8192):
            raise ProbeFailed(Reason.CONTRADICTORY, "the server sends no usable group")
        before = sizes + mpint(prime) + mpint(base)
        return self._finite_field(digest, prime, base, GEX_INIT, GEX_REPLY, before)

    def take_keys_into_use(self, agreed: Agreed) -> None:
        """Send and receive NEWKEYS; from here on everything is encrypted."""
        about = string(IDENTIFICATION) + string(self.identification) + self._inits
        exchange_hash = agreed.digest(about + agreed.exchanged + agreed.secret).digest()

        def derive(letter: bytes, size: int) -> bytes:
            key: bytes = agreed.digest(agreed.secret + exchange_hash + letter + exchange_hash).digest()
            while len(key) < size:
                key += agreed.digest(agreed.secret + exchange_hash + key).digest()
            return key[:size]

        self.send(bytes([NEWKEYS]))
        self.receive(NEWKEYS)
        cipher_out, mac_out, cipher_in, mac_in = self._names
        self._out = sealer(cipher_out, mac_out, derive, b"ACE", out=True)
        self._in = sealer(cipher_in, mac_in, derive, b"BDF", out=False)

    def methods_after_none(self, user: str) -> tuple[str, ...]:
        """The authentication methods that can continue after one `none` request, which carries no credential.

        ("none",) when the server lets anybody in.
        """
        self.send(bytes([SERVICE_REQUEST]) + string(b"ssh-userauth"))
        self.receive(SERVICE_ACCEPT)
        self.send(
            bytes([USERAUTH_REQUEST]) + string(user.encode()) + string(b"ssh-connection") + string(b"none")
        )
        answer = self.receive(USERAUTH_FAILURE, USERAUTH_SUCCESS)
        return ("none",) if answer[0] == USERAUTH_SUCCESS else Reader(answer[1:]).names()


def _first_common(ours: tuple[str, ...], theirs: tuple[str, ...], what: str) -> str:
    for name in ours:
        if name in theirs:
            return name
    raise ProbeFailed(Reason.NOT_OFFERED, f"no {what} that this probe speaks: {', '.join(theirs[:8])}")


def _mac_for(cipher: str, theirs: tuple[str, ...]) -> str:
    """A MAC both speak; for a cipher that needs none, any name of theirs will do."""
    return (theirs or ("none",))[0] if cipher in AEAD else _first_common(MACS, theirs, "MAC")


def _not_ssh(said: bytes) -> ProbeFailed:
    return ProbeFailed(Reason.NOT_OFFERED, f"what answers is not SSH: {safe_text(said, 100)}")


def _turned_away(said: bytes) -> ProbeFailed:
    """Closed before it said who it is: sshd's limits close at once, or after one line that says so."""
    if said and not re.search(rb"maxstartups|not allowed|too many", said, re.IGNORECASE):
        return _not_ssh(said)
    words = safe_text(said, 100) or "nothing"
    return ProbeFailed(Reason.RATE_LIMITED, f"the server said {words} and closed the connection")


def _disconnected(message: Reader) -> ProbeFailed:
    code = message.number()
    words = safe_text(message.string(), 200)
    reason = Reason.RATE_LIMITED if code == _TOO_MANY_CONNECTIONS else Reason.UNREACHABLE
    return ProbeFailed(reason, f"the server disconnected: {words}")
