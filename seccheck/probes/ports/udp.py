"""One well-formed question to each UDP service, chosen so that the answer is no larger than it must be.

`question` makes the packets, `read` says what an answer means. Neither opens a socket.
"""

from __future__ import annotations

import re
import secrets
import struct
from typing import NamedTuple

from seccheck.model import Reason, safe_text

LOOSE = {"tftp", "ssdp"}
"""Services that answer from a port of their own choice (RFC 1350, 4; UPnP 1.1, 1.3.3)."""
STRANGER = "example.com"
"""A name that no server we look at answers for itself (RFC 6761, 6.5)."""


class Reply(NamedTuple):
    """What an answer means: `yes` counts for `udp_services`, `doubt` leaves it open, neither is a no."""

    detail: str
    yes: bool = False
    doubt: Reason | None = None


class Question(NamedTuple):
    """What is sent to one service, and the number that its answer must bear."""

    service: str
    packets: tuple[bytes, ...]
    number: int


def question(service: str, address: str, port: int) -> Question:
    """The packets that ask `service`, with a fresh number."""
    number = 0x100 + secrets.randbelow(0x7E00)
    return Question(service, _ASK[service](number, address, port), number)


def read(asked: Question, data: bytes) -> Reply | None:
    """What `data` says in answer to `asked`; None when it is no answer to it."""
    try:
        return _READ[asked.service](asked.number, data[:4096])
    except (struct.error, IndexError, ValueError):
        return None


# ------------------------------------------------------------------------------------------------------- dns


def _ask_dns(number: int, _address: str, _port: int) -> tuple[bytes, ...]:
    name = b"".join(bytes([len(label)]) + label.encode() for label in STRANGER.split("."))
    return (struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + name + b"\0" + struct.pack("!2H", 1, 1),)


def _read_dns(number: int, data: bytes) -> Reply | None:
    """An open resolver says that recursion is available and answers (RFC 1035, 4.1.1; RFC 5358)."""
    identity, flags, _, answers, _, _ = struct.unpack_from("!6H", data)
    if identity != number or not flags & 0x8000:
        return None
    available, code = bool(flags & 0x0080), flags & 0xF
    detail = f"recursion {'available' if available else 'not available'}, rcode {code}, {answers} answers"
    if not available or code == 5:
        return Reply(detail)
    if (code == 0 and answers) or code == 3:
        return Reply(detail, yes=True)
    if flags & 0x0200:
        return Reply(f"{detail}, truncated", doubt=Reason.RATE_LIMITED)
    return Reply(detail, doubt=Reason.RESOLVER if code == 2 else Reason.CONTRADICTORY)


# ------------------------------------------------------------------------------------------------------- ntp


def _ask_ntp(number: int, _address: str, _port: int) -> tuple[bytes, ...]:
    """A control question for one short variable (RFC 9327), and a private one that no server knows.

    A server with monlist answers the second with an error of the same eight bytes; asking for the list
    itself would bring up to a hundred packets.
    """
    control = struct.pack("!BB5H", 0x16, 2, number, 0, 0, 0, 4) + b"leap"
    return control, struct.pack("!4BHH", 0x17, 0, 3, 255, 0, 0)


def _read_ntp(number: int, data: bytes) -> Reply | None:
    mode = data[0] & 7
    if mode == 6 and data[1] & 0x80 and struct.unpack_from("!H", data, 2)[0] == number:
        return Reply("control queries (mode 6) are answered", yes=True)
    if mode == 7 and data[0] & 0x80 and len(data) >= 8:
        return Reply("private queries (mode 7, monlist) are answered", yes=True)
    return None


# ------------------------------------------------------------------------------------------- BER: snmp, cldap


def _ber(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) > 127:
        raise ValueError("our questions are short")
    return bytes([tag, len(body)]) + body


def _value(data: bytes, at: int, tag: int) -> tuple[int, int]:
    """Where the value of the element at `at` begins and ends; ValueError when it is not a `tag` in bounds."""
    if data[at] != tag:
        raise ValueError(f"tag {data[at]:#x} instead of {tag:#x}")
    length, start = data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, start = int.from_bytes(data[start : start + count], "big"), start + count
    if start + length > len(data):
        raise ValueError("cut short")
    return start, start + length


_SYS_DESCR = bytes.fromhex("2b06010201010100")


def _ask_snmp(number: int, _address: str, _port: int) -> tuple[bytes, ...]:
    """One GetRequest for sysDescr.0 in each of the versions without protection (RFC 1157, RFC 3416)."""
    binding = _ber(0x30, _ber(0x30, _ber(0x06, _SYS_DESCR), b"\x05\0"))
    identity = _ber(0x02, number.to_bytes(2, "big"))
    pdu = _ber(0xA0, identity, _ber(0x02, b"\0"), _ber(0x02, b"\0"), binding)
    return tuple(_ber(0x30, _ber(0x02, bytes([version])), _ber(0x04, b"public"), pdu) for version in (1, 0))


def _read_snmp(number: int, data: bytes) -> Reply | None:
    at, _ = _value(data, 0, 0x30)
    start, end = _value(data, at, 0x02)
    version = {0: "1", 1: "2c"}.get(int.from_bytes(data[start:end], "big"))
    _, at = _value(data, end, 0x04)
    at, _ = _value(data, at, 0xA2)
    start, end = _value(data, at, 0x02)
    if version is None or int.from_bytes(data[start:end], "big") != number:
        return None
    detail = f"SNMP {version}, community public"
    found = data.find(_ber(0x06, _SYS_DESCR))
    if found >= 0:
        start, end = _value(data, found + 2 + len(_SYS_DESCR), 0x04)
        detail += ": " + safe_text(data[start:end], 120)
    return Reply(detail, yes=True)


def _ask_cldap(number: int, _address: str, _port: int) -> tuple[bytes, ...]:
    """A search of the root entry for one short attribute (RFC 4511, 4.5.1; MS-ADTS 7.3.3)."""
    request = _ber(
        0x63, _ber(0x04), _ber(0x0A, b"\0"), _ber(0x0A, b"\0"), _ber(0x02, b"\0"), _ber(0x02, b"\0"),
        _ber(0x01, b"\0"), _ber(0x87, b"objectClass"), _ber(0x30, _ber(0x04, b"supportedLDAPVersion")),
    )  # fmt: skip
    return (_ber(0x30, _ber(0x02, number.to_bytes(2, "big")), request),)


def _read_cldap(number: int, data: bytes) -> Reply | None:
    at, _ = _value(data, 0, 0x30)
    start, end = _value(data, at, 0x02)
    if int.from_bytes(data[start:end], "big") != number or data[end] not in {0x64, 0x65}:
        return None
    return Reply("the root entry is answered", yes=True)


# -------------------------------------------------------------------------------------- memcached, ssdp, tftp


def _ask_memcached(number: int, _address: str, _port: int) -> tuple[bytes, ...]:
    return (struct.pack("!4H", number, 0, 1, 0) + b"version\r\n",)


def _read_memcached(number: int, data: bytes) -> Reply | None:
    if struct.unpack_from("!H", data)[0] != number or not data[8:].startswith((b"VERSION ", b"ERROR")):
        return None
    return Reply(safe_text(data[8:].strip(), 60), yes=True)


def _ask_ssdp(_number: int, address: str, port: int) -> tuple[bytes, ...]:
    host = f"[{address}]" if ":" in address else address
    lines = (
        "M-SEARCH * HTTP/1.1",
        f"HOST: {host}:{port}",
        'MAN: "ssdp:discover"',
        "MX: 1",
        "ST: upnp:rootdevice",
    )
    return ("\r\n".join((*lines, "", "")).encode(),)


def _read_ssdp(_number: int, data: bytes) -> Reply | None:
    if not re.match(rb"HTTP/1\.[01] 200", data) or not re.search(rb"(?im)^(USN|ST):", data):
        return None
    server = re.search(rb"(?im)^SERVER:[ \t]*([^\r\n]*)", data)
    return Reply(safe_text(server[1], 120) if server else "answers a search", yes=True)


def _ask_tftp(_number: int, _address: str, _port: int) -> tuple[bytes, ...]:
    """A read of a file that does not exist (RFC 1350): the honest answer is an error."""
    return (b"\0\1seccheck-" + secrets.token_hex(8).encode() + b"\0octet\0",)


def _read_tftp(_number: int, data: bytes) -> Reply | None:
    operation = struct.unpack_from("!H", data)[0]
    if operation not in {3, 5, 6}:
        return None
    told = safe_text(data[4:100].rstrip(b"\0"), 96) if operation == 5 else "a file that should not exist"
    return Reply(told, yes=True)


TFTP_STOP = b"\0\5\0\0\0"
"""Ends a transfer that a server began although the file should not exist."""

_ASK = {
    "dns": _ask_dns,
    "ntp": _ask_ntp,
    "snmp": _ask_snmp,
    "cldap": _ask_cldap,
    "memcached": _ask_memcached,
    "ssdp": _ask_ssdp,
    "tftp": _ask_tftp,
}
_READ = {
    "dns": _read_dns,
    "ntp": _read_ntp,
    "snmp": _read_snmp,
    "cldap": _read_cldap,
    "memcached": _read_memcached,
    "ssdp": _read_ssdp,
    "tftp": _read_tftp,
}
