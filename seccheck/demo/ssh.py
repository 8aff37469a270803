"""A small SSH server: identification, key exchange and the refusal of every login (RFC 4253, RFC 4252)."""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from seccheck.demo.loop import Talk

_DISCONNECT, _UNIMPLEMENTED, _SERVICE_REQUEST, _SERVICE_ACCEPT = 1, 3, 5, 6
_KEXINIT, _NEWKEYS, _ECDH_INIT, _ECDH_REPLY = 20, 21, 30, 31
_USERAUTH_REQUEST, _USERAUTH_FAILURE = 50, 51
_KEX_FAILED, _PROTOCOL_ERROR, _MAC_ERROR = 3, 2, 5

_LONGEST = 35000
"""Bytes of one packet (RFC 4253 6.1)."""
_KEY_BYTES = {
    "aes128-gcm@openssh.com": 16,
    "aes256-gcm@openssh.com": 32,
    "aes128-ctr": 16,
    "aes256-ctr": 32,
}
_MACS = {"hmac-sha2-256-etm@openssh.com": "sha256", "hmac-sha2-512-etm@openssh.com": "sha512"}
_KEX = ("curve25519-sha256", "curve25519-sha256@libssh.org")
_STRICT = "kex-strict-{}-v00@openssh.com"
_CIPHERS, _MAC_LISTS = slice(2, 4), slice(4, 6)


@dataclass(frozen=True)
class SshOffer:
    """How the server names itself and what it offers; old algorithms it adds are never run."""

    identification: str = "SSH-2.0-OpenSSH"
    kex: tuple[str, ...] = _KEX
    host_keys: tuple[str, ...] = ("ssh-ed25519",)
    ciphers: tuple[str, ...] = tuple(_KEY_BYTES)
    macs: tuple[str, ...] = tuple(_MACS)
    authentications: tuple[str, ...] = ("publickey",)

    def with_weak(
        self,
        *,
        kex: tuple[str, ...] = (),
        host_keys: tuple[str, ...] = (),
        ciphers: tuple[str, ...] = (),
        macs: tuple[str, ...] = (),
    ) -> SshOffer:
        """The same offer with old algorithms at its end."""
        return replace(
            self,
            kex=self.kex + kex,
            host_keys=self.host_keys + host_keys,
            ciphers=self.ciphers + ciphers,
            macs=self.macs + macs,
        )


MODERN_SSH = SshOffer()


class _Failure(Exception):  # noqa: N818 - it ends a conversation, nothing else
    def __init__(self, reason: int, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class _Cipher(Protocol):
    """One direction of the packet protocol."""

    def seal(self, number: int, payload: bytes) -> bytes: ...

    def open(self, number: int, data: bytes) -> tuple[bytes, int] | None:
        """The payload of the first packet in `data` and the bytes it took; None while it is incomplete."""


def _padded(payload: bytes, block: int, clear: int) -> bytes:
    """Payload with its padding; `clear` bytes of the packet stand outside the blocks."""
    padding = block - (5 - clear + len(payload)) % block
    if padding < 4:
        padding += block
    return bytes((padding,)) + payload + os.urandom(padding)


def _unpadded(packet: bytes) -> bytes:
    return packet[1 : len(packet) - packet[0]]


def _length(data: bytes) -> int | None:
    if len(data) < 4:
        return None
    (length,) = struct.unpack_from(">I", data)
    if not 2 <= length <= _LONGEST:
        raise _Failure(_PROTOCOL_ERROR, "bad packet length")
    return int(length)


class _Plain:
    def seal(self, number: int, payload: bytes) -> bytes:  # noqa: ARG002
        return _string(_padded(payload, 8, 0))

    def open(self, number: int, data: bytes) -> tuple[bytes, int] | None:  # noqa: ARG002
        length = _length(data)
        if length is None or len(data) < 4 + length:
            return None
        return _unpadded(data[4 : 4 + length]), 4 + length


class _Gcm:
    """AES-GCM (RFC 5647 as OpenSSH does it: the length is authenticated, not encrypted)."""

    def __init__(self, key: bytes, iv: bytes) -> None:
        self._cipher = AESGCM(key)
        self._fixed = iv[:4]
        self._count = int.from_bytes(iv[4:12], "big")

    def _nonce(self) -> bytes:
        nonce = self._fixed + self._count.to_bytes(8, "big")
        self._count = (self._count + 1) & (2**64 - 1)
        return nonce

    def seal(self, number: int, payload: bytes) -> bytes:  # noqa: ARG002
        packet = _padded(payload, 16, 4)
        head = struct.pack(">I", len(packet))
        return head + self._cipher.encrypt(self._nonce(), packet, head)

    def open(self, number: int, data: bytes) -> tuple[bytes, int] | None:  # noqa: ARG002
        length = _length(data)
        if length is None or len(data) < 4 + length + 16:
            return None
        try:
            packet = self._cipher.decrypt(self._nonce(), data[4 : 20 + length], data[:4])
        except InvalidTag:
            raise _Failure(_MAC_ERROR, "bad tag") from None
        return _unpadded(packet), 20 + length


class _Ctr:
    """AES-CTR with a MAC over the encrypted packet (`-etm@openssh.com`)."""

    def __init__(self, key: bytes, iv: bytes, mac_key: bytes, mac: str) -> None:
        self._stream: CipherContext = Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor()
        self._mac_key = mac_key
        self._mac = mac

    def _tag(self, number: int, data: bytes) -> bytes:
        return hmac.digest(self._mac_key, struct.pack(">I", number) + data, self._mac)

    def seal(self, number: int, payload: bytes) -> bytes:
        sealed = _string(self._stream.update(_padded(payload, 16, 4)))
        return sealed + self._tag(number, sealed)

    def open(self, number: int, data: bytes) -> tuple[bytes, int] | None:
        length = _length(data)
        size = hashlib.new(self._mac).digest_size
        if length is None or len(data) < 4 + length + size:
            return None
        if not hmac.compare_digest(
            self._tag(number, data[: 4 + length]), data[4 + length : 4 + length + size]
        ):
            raise _Failure(_MAC_ERROR, "bad MAC")
        return _unpadded(self._stream.update(data[4 : 4 + length])), 4 + length + size


@dataclass
class _Direction:
    cipher: _Cipher = field(default_factory=_Plain)
    number: int = 0

    def count(self) -> int:
        number = self.number
        self.number = (number + 1) & 0xFFFFFFFF
        return number


@cache
def _host_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


class SshTalk(Talk):
    """One SSH connection, up to the answer that no login is possible this way."""

    def __init__(self, offer: SshOffer) -> None:
        self._offer = offer
        self._buffer = b""
        self._peer = b""
        self._peer_init = b""
        self._session = b""
        self._strict = False
        self._skip_guess = False
        self._in = _Direction()
        self._out = _Direction()
        self._next_in: _Cipher | None = None

    def greet(self) -> bytes:
        """The identification string and the KEXINIT, at once."""
        lists = [
            (*self._offer.kex, _STRICT.format("s")),
            self._offer.host_keys,
            self._offer.ciphers,
            self._offer.ciphers,
            self._offer.macs,
            self._offer.macs,
            ("none",),
            ("none",),
            (),
            (),
        ]
        names = b"".join(_string(",".join(one).encode()) for one in lists)
        self._init = bytes((_KEXINIT,)) + os.urandom(16) + names + bytes(5)
        return self._offer.identification.encode() + b"\r\n" + self._send(self._init)

    def hear(self, data: bytes) -> bytes:
        """Answers whatever whole packets have come."""
        self._buffer += data
        answer = b""
        try:
            if not self._peer:
                line, newline, rest = self._buffer.partition(b"\n")
                if not newline:
                    self.over = len(line) > 255
                    return b""
                self._peer, self._buffer = line.rstrip(b"\r"), rest
                if not self._peer.startswith((b"SSH-2.0-", b"SSH-1.99-")):
                    self.over = True
                    return b"Protocol mismatch.\n"
            while not self.over and (opened := self._in.cipher.open(self._in.number, self._buffer)):
                payload, taken = opened
                self._buffer = self._buffer[taken:]
                self._in.count()
                answer += self._message(payload)
        except _Failure as failure:
            answer += self._disconnect(failure.reason, str(failure))
        except (IndexError, struct.error, ValueError, UnicodeDecodeError):
            answer += self._disconnect(_PROTOCOL_ERROR, "malformed message")
        return answer

    def _send(self, payload: bytes) -> bytes:
        return self._out.cipher.seal(self._out.count(), payload)

    def _disconnect(self, reason: int, text: str) -> bytes:
        self.over = True
        return self._send(struct.pack(">BI", _DISCONNECT, reason) + _string(text.encode()) + _string(b""))

    def _message(self, payload: bytes) -> bytes:
        kind = payload[0]
        if self._skip_guess and 30 <= kind <= 49:
            self._skip_guess = False
            return b""
        if kind == _DISCONNECT:
            self.over = True
            return b""
        if kind in {2, 4, 7, _UNIMPLEMENTED}:  # ignore, debug, ext-info
            return b""
        if kind == _KEXINIT and not self._peer_init:
            return self._negotiate(payload)
        if kind == _ECDH_INIT and self._peer_init and not self._session:
            return self._exchange(_read_string(payload, 1)[0])
        if kind == _NEWKEYS and self._next_in:
            self._in.cipher, self._next_in = self._next_in, None
            if self._strict:
                self._in.number = 0
            return b""
        if kind == _SERVICE_REQUEST and self._session:
            return self._send(bytes((_SERVICE_ACCEPT,)) + _string(_read_string(payload, 1)[0]))
        if kind == _USERAUTH_REQUEST and self._session:
            methods = ",".join(self._offer.authentications).encode()
            return self._send(bytes((_USERAUTH_FAILURE,)) + _string(methods) + b"\0")
        return self._send(struct.pack(">BI", _UNIMPLEMENTED, (self._in.number - 1) & 0xFFFFFFFF))

    def _negotiate(self, payload: bytes) -> bytes:
        self._peer_init = payload
        lists: list[list[str]] = []
        at = 17
        for _ in range(10):
            names, at = _read_string(payload, at)
            lists.append(names.decode().split(","))
        own = [self._offer.kex, self._offer.host_keys, *[self._offer.ciphers] * 2, *[self._offer.macs] * 2]
        agreed = [
            next((name for name in theirs if name in ours), "")
            for theirs, ours in zip(lists, own, strict=False)
        ]
        self._strict = _STRICT.format("c") in lists[0]
        self._skip_guess = bool(payload[at]) and (
            lists[0][0] != self._offer.kex[0] or lists[1][0] != self._offer.host_keys[0]
        )
        self._agreed_ciphers, self._agreed_macs = agreed[_CIPHERS], agreed[_MAC_LISTS]
        served = (
            agreed[0] in _KEX
            and agreed[1] == "ssh-ed25519"
            and all(
                cipher in _KEY_BYTES and ("gcm" in cipher or mac in _MACS)
                for cipher, mac in zip(self._agreed_ciphers, self._agreed_macs, strict=True)
            )
        )
        return b"" if served else self._disconnect(_KEX_FAILED, "no common algorithm")

    def _exchange(self, their_share: bytes) -> bytes:
        private = X25519PrivateKey.generate()
        own_share = private.public_key().public_bytes_raw()
        secret = _mpint(private.exchange(X25519PublicKey.from_public_bytes(their_share)))
        key = _host_key()
        host_key = _string(b"ssh-ed25519") + _string(key.public_key().public_bytes_raw())
        identification = self._offer.identification.encode()
        spoken = (self._peer, identification, self._peer_init, self._init, host_key, their_share, own_share)
        exchange_hash = hashlib.sha256(b"".join(map(_string, spoken)) + secret).digest()
        self._session = exchange_hash
        signature = _string(b"ssh-ed25519") + _string(key.sign(exchange_hash))
        reply = bytes((_ECDH_REPLY,)) + _string(host_key) + _string(own_share) + _string(signature)
        answer = self._send(reply) + self._send(bytes((_NEWKEYS,)))

        def cipher(direction: int) -> _Cipher:
            def derive(letter: str, size: int) -> bytes:
                made = hashlib.sha256(secret + exchange_hash + letter.encode() + self._session).digest()
                while len(made) < size:
                    made += hashlib.sha256(secret + exchange_hash + made).digest()
                return made[:size]

            name = self._agreed_ciphers[direction]
            iv, key = derive("AB"[direction], 16), derive("CD"[direction], _KEY_BYTES[name])
            if "gcm" in name:
                return _Gcm(key, iv)
            mac = _MACS[self._agreed_macs[direction]]
            return _Ctr(key, iv, derive("EF"[direction], hashlib.new(mac).digest_size), mac)

        self._next_in = cipher(0)
        self._out.cipher = cipher(1)
        if self._strict:
            self._out.number = 0
        return answer


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _read_string(data: bytes, at: int) -> tuple[bytes, int]:
    (size,) = struct.unpack_from(">I", data, at)
    if at + 4 + size > len(data):
        raise ValueError("string runs past the packet")
    return data[at + 4 : at + 4 + size], at + 4 + size


def _mpint(number: bytes) -> bytes:
    stripped = number.lstrip(b"\0")
    return _string(b"\0" + stripped if stripped and stripped[0] & 0x80 else stripped)
