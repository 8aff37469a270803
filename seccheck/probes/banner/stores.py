"""How data stores name themselves to an anonymous client, and whether they serve one."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace

from seccheck.model import Reason, safe_text
from seccheck.probes import Endpoint, ProbeFailed
from seccheck.probes.banner.talk import MAX_BYTES, Heard, Lines, exactly, heard, part, text_of
from seccheck.scope import Connection

_TOO_MANY = {1040, 1203}
"""MySQL's errors for too many connections."""


def mysql(connection: Connection, _endpoint: Endpoint) -> Heard:
    """The version in MySQL's initial handshake, or in its refusal (protocol version 10)."""
    header = exactly(connection, 4)
    size = int.from_bytes(header[:3], "little")
    if not 4 < size <= MAX_BYTES - 4:
        raise ProbeFailed(Reason.CONTRADICTORY, "not a MySQL handshake")
    packet = exactly(connection, size)
    if packet[0] == 0xFF:
        (code,) = struct.unpack("<H", packet[1:3])
        if code in _TOO_MANY:
            raise ProbeFailed(Reason.RATE_LIMITED, safe_text(packet[3:], 80))
        return heard("mysql", text_of(packet[3:]))
    version, end, _ = packet[1:].partition(b"\0")
    if packet[0] != 10 or not end or len(version) > 256:
        raise ProbeFailed(Reason.CONTRADICTORY, "not a MySQL handshake")
    return heard("mysql", text_of(version))


def postgresql(connection: Connection, _endpoint: Endpoint) -> Heard:
    """The shape of PostgreSQL's refusal of a protocol that does not exist (ErrorResponse)."""
    connection.send(struct.pack("!II", 8, 255 << 16))
    kind = exactly(connection, 1)
    if kind != b"E":
        raise ProbeFailed(Reason.CONTRADICTORY, "not a PostgreSQL answer")
    start = exactly(connection, 4)
    size = int.from_bytes(start, "big")
    if 4 < size <= MAX_BYTES - 8:
        fields = exactly(connection, size - 4).split(b"\0")
        message = next((field[1:] for field in fields if field[:1] == b"M"), b"")
        return replace(heard("postgresql", text_of(message)), discloses=False)
    raise ProbeFailed(Reason.CONTRADICTORY, "not a PostgreSQL answer")


def redis(connection: Connection, _endpoint: Endpoint) -> Heard:
    """The version in Redis's INFO, where an anonymous client gets it; that it does is a fact of its own."""
    connection.send(b"INFO server\r\n")
    lines = Lines(connection)
    first = lines.next()
    if first.startswith(b"-"):
        return replace(heard("redis", text_of(first)), unauthenticated=False, discloses=False)
    size = int(first[1:7]) if first[:1] == b"$" and first[1:7].isdigit() else -1
    if size < 0:
        raise ProbeFailed(Reason.CONTRADICTORY, f"not an answer of Redis: {safe_text(first, 80)}")
    found = []
    while size > 0:
        line = lines.next()
        size -= len(line) + 2
        if line.partition(b":")[0] in {b"redis_version", b"valkey_version", b"dragonfly_version"}:
            found.append(text_of(line))
    part(connection, b"QUIT\r\n")
    named = next((line for line in found if not line.startswith("redis_")), found[0] if found else "")
    return replace(heard("redis", named), unauthenticated=True, discloses=False)


def memcached(connection: Connection, _endpoint: Endpoint) -> Heard:
    """The answer to memcached's `version`, which needs no login unless SASL is on (protocol.txt)."""
    connection.send(b"version\r\n")
    line = Lines(connection).next()
    if not line.startswith(b"VERSION "):
        raise ProbeFailed(Reason.CONTRADICTORY, f"not an answer of memcached: {safe_text(line, 80)}")
    return replace(heard("memcached", text_of(line)), unauthenticated=True, discloses=False)


# ----------------------------------------------------------------------------------------------- MongoDB

_OP_MSG, _OP_QUERY, _OP_REPLY = 2013, 2004, 1
_UNAUTHORIZED = 13
Value = str | int | float | bool


def mongodb(connection: Connection, _endpoint: Endpoint) -> Heard:
    """MongoDB's build information, which it gives to anybody, and whether it serves clients without login."""
    build = _command(connection, {"buildInfo": 1, "$db": "admin"})
    version = build.get("version", "")
    told = heard("mongodb", f"version {version}" if version else "")
    told = replace(told, discloses=False)
    answer = _command(connection, {"getParameter": 1, "featureCompatibilityVersion": 1, "$db": "admin"})
    if answer.get("ok"):
        return replace(told, unauthenticated=True)
    return replace(told, unauthenticated=False) if answer.get("code") == _UNAUTHORIZED else told


def mongodb_before_3_6(connection: Connection, _endpoint: Endpoint) -> Heard:
    """The same from a server older than OP_MSG."""
    body = struct.pack("<i", 0) + b"admin.$cmd\0" + struct.pack("<ii", 0, -1) + encode({"buildInfo": 1})
    connection.send(struct.pack("<iiii", 16 + len(body), 1, 0, _OP_QUERY) + body)
    code, payload = _message(connection)
    if code != _OP_REPLY or len(payload) < 20:
        raise ProbeFailed(Reason.CONTRADICTORY, "not an answer of MongoDB")
    version = decode(payload[20:]).get("version", "")
    return replace(heard("mongodb", f"version {version}" if version else ""), discloses=False)


def _command(connection: Connection, command: Mapping[str, str | int]) -> dict[str, Value]:
    body = struct.pack("<IB", 0, 0) + encode(command)
    connection.send(struct.pack("<iiii", 16 + len(body), 1, 0, _OP_MSG) + body)
    code, payload = _message(connection)
    if code != _OP_MSG or len(payload) < 5:
        raise ProbeFailed(Reason.CONTRADICTORY, "not an answer of MongoDB")
    return decode(payload[5:])


def _message(connection: Connection) -> tuple[int, bytes]:
    size, _, _, code = struct.unpack("<iiii", exactly(connection, 16))
    if not 16 <= size <= MAX_BYTES // 2:
        raise ProbeFailed(Reason.CONTRADICTORY, "not an answer of MongoDB")
    return code, exactly(connection, size - 16)


def encode(document: Mapping[str, str | int]) -> bytes:
    """A BSON document of strings and small numbers (bsonspec.org)."""
    body = b""
    for name, value in document.items():
        key = name.encode() + b"\0"
        if isinstance(value, str):
            data = value.encode() + b"\0"
            body += b"\x02" + key + struct.pack("<i", len(data)) + data
        else:
            body += b"\x10" + key + struct.pack("<i", value)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


_FIXED = {0x01: "<d", 0x08: "<?", 0x10: "<i", 0x12: "<q"}
_SKIPPED = {0x07: 12, 0x09: 8, 0x0A: 0, 0x11: 8, 0x13: 16}


def decode(data: bytes) -> dict[str, Value]:
    """The strings, numbers and booleans at the top of a BSON document; ends where it is not understood."""
    found: dict[str, Value] = {}
    at = 4
    while at < len(data) and data[at]:
        kind = data[at]
        end = data.find(b"\0", at + 1)
        if end < 0:
            break
        name, at = text_of(data[at + 1 : end]), end + 1
        try:
            if kind in _FIXED:
                (found[name],) = struct.unpack_from(_FIXED[kind], data, at)
                at += struct.calcsize(_FIXED[kind])
            elif kind == 0x02:
                (size,) = struct.unpack_from("<i", data, at)
                found[name] = text_of(data[at + 4 : at + 4 + max(size, 1) - 1])
                at += 4 + max(size, 1)
            elif kind in {0x03, 0x04}:
                (size,) = struct.unpack_from("<i", data, at)
                at += max(size, 5)
            elif kind == 0x05:
                (size,) = struct.unpack_from("<i", data, at)
                at += 5 + max(size, 0)
            elif kind in _SKIPPED:
                at += _SKIPPED[kind]
            else:
                break
        except struct.error:
            break
    return found
