"""What answers on each place of the fleet: conduct turned into conversations."""

from __future__ import annotations

import base64
import ssl
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from seccheck.demo.certificates import Authority, Chain
from seccheck.demo.conduct import DOORS, Conduct
from seccheck.demo.layout import Layout, Place
from seccheck.demo.lines import ImapTalk, SmtpTalk, exchange_bus
from seccheck.demo.loop import Loop, Talk
from seccheck.demo.names import NameServer, NameTalk
from seccheck.demo.oldtls import NOTHING_MORE, TLS12, ClientHello, OldTls
from seccheck.demo.ssh import SshTalk
from seccheck.demo.systems import ServiceKind
from seccheck.demo.tls import ByName, Choice, StartTls, TlsTalk
from seccheck.demo.web import Site, WebTalk
from seccheck.demo.zones import ZoneKey, zones

_MODERN = "ECDHE+AESGCM:ECDHE+CHACHA20"
_ALLOW_CLIENT_RENEGOTIATION = 0x100
"""SSL_OP_ALLOW_CLIENT_RENEGOTIATION of OpenSSL 3, which Python has no name for."""
_GOOD_GROUPS = {23, 24, 25, 29, 30, 0x11EC, 0x11EB, 0x11ED, *range(256, 261)}
_P224 = 21

_GROUP_2 = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF",
    16,
)
"""The prime of 1024 bits of RFC 2409, 6.2."""


def serve(loop: Loop, layout: Layout, authority: Authority, zone_key: ZoneKey) -> None:
    """Make every socket of `layout` answer."""
    by_name: dict[int, dict[str, Callable[[], Talk]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for place in layout.places:
            tls = _Tls(place, authority, Path(folder))
            for kind, port in place.ports.items():
                talk = _talk(kind, place, tls)
                loop.listen(layout.streams[place.address, port], talk)
                if kind == "https" and place.ipv6:
                    by_name.setdefault(port, {})[place.system.host] = talk
            for door, port in place.doors:
                loop.listen(layout.streams[place.address, port], DOORS[door.speaks])
    for port, talks in by_name.items():
        loop.listen(layout.streams["::1", port], partial(ByName, talks))
    _serve_names(loop, layout, zone_key)
    for where, sock in layout.datagrams.items():
        if where != layout.name_server:
            loop.listen_datagrams(sock, _memcached)


def _serve_names(loop: Loop, layout: Layout, key: ZoneKey) -> None:
    server = NameServer(zones(layout.places, layout.name_server[0], key))
    loop.listen(layout.streams[layout.name_server], lambda: NameTalk(server))
    loop.listen_datagrams(layout.datagrams[layout.name_server], server.answer)


def _talk(kind: ServiceKind, place: Place, tls: _Tls) -> Callable[[], Talk]:
    system, host, conduct = place.system, place.system.host, place.system.conduct
    site = Site(name=system.name.vi, headers=conduct.headers(), cookie=conduct.cookie)
    match kind:
        case "http":
            if conduct.content_on_http:
                return lambda: WebTalk(site)
            to = replace(site, headers=(), redirect=f"https://{host}:{place.ports['https']}/")
            return lambda: WebTalk(to)
        case "https" if conduct.plain_on_https:
            return lambda: WebTalk(site)
        case "https":
            return tls.wrap(lambda: WebTalk(site))
        case "smtp":
            encrypted = tls.wrap(lambda: SmtpTalk(host, encrypted=True))
            return lambda: StartTls(SmtpTalk(host), encrypted)
        case "imaps":
            return tls.wrap(ImapTalk)
        case "ssh":
            return lambda: SshTalk(conduct.ssh)
        case "tcp":
            return lambda: exchange_bus(host)


class _Tls:
    """TLS as one system does it: its certificate, its contexts, what it answers by hand."""

    def __init__(self, place: Place, authority: Authority, folder: Path) -> None:
        conduct = place.system.conduct
        self._chain = authority.chain((place.system.host,), conduct.certificate, conduct.key)
        self._context = _context(conduct, self._chain, folder)
        self._choose = self._chooser(conduct, folder)

    def wrap(self, inner: Callable[[], Talk]) -> Callable[[], Talk]:
        """Conversations of `inner` over TLS."""
        return lambda: TlsTalk(self._context, inner, self._choose)

    def _chooser(self, conduct: Conduct, folder: Path) -> Choice | None:
        """Who answers which hello; None where OpenSSL answers all of them in one way."""
        if conduct.short_curve:
            curve = _context(conduct, self._chain, folder, curve="secp224r1")
            return lambda hello: curve if _only_small_curves(hello) else self._context
        if conduct.accepted == NOTHING_MORE:
            return None
        served = frozenset(cipher["id"] & 0xFFFF for cipher in self._context.get_ciphers())
        by_hand = OldTls(conduct.accepted, self._chain.certificates, self._chain.key, served)
        return lambda hello: by_hand.answer(hello) or self._context


def _only_small_curves(hello: ClientHello) -> bool:
    return hello.highest <= TLS12 and _P224 in hello.groups and not _GOOD_GROUPS & set(hello.groups)


def _context(conduct: Conduct, chain: Chain, folder: Path, *, curve: str = "") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    weak = bool(conduct.weak_suites or curve) or conduct.key == "rsa-1024" or "sha1" in conduct.certificate
    context.set_ciphers(":".join((_MODERN, *conduct.weak_suites, *(["@SECLEVEL=0"] if weak else []))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what a defect is about
        context.minimum_version, context.maximum_version = conduct.oldest, conduct.newest
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    if conduct.renegotiation:
        context.options |= _ALLOW_CLIENT_RENEGOTIATION
    else:
        context.options |= ssl.OP_NO_RENEGOTIATION
    pem = folder / "server.pem"  # the ssl module reads keys from files only
    pem.touch(mode=0o600)
    pem.write_bytes(chain.pem())
    context.load_cert_chain(pem)
    if conduct.short_dh:
        params = folder / "dh.pem"
        params.write_text(_dh_params(_GROUP_2))
        context.load_dh_params(str(params))
    if curve:
        context.set_ecdh_curve(curve)
    return context


def _dh_params(prime: int) -> str:
    """Diffie-Hellman parameters with generator 2 in PEM (PKCS #3)."""
    number = b"\0" + prime.to_bytes(prime.bit_length() // 8, "big")
    body = b"\x02\x81" + bytes((len(number),)) + number + b"\x02\x01\x02"
    der = b"\x30\x81" + bytes((len(body),)) + body
    return f"-----BEGIN DH PARAMETERS-----\n{base64.encodebytes(der).decode()}-----END DH PARAMETERS-----\n"


def _memcached(datagram: bytes) -> bytes:
    """The answer of a memcached that listens on UDP: a frame of 8 bytes, then the text protocol."""
    if len(datagram) < 8:
        return b""
    command = datagram[8:].strip().lower()
    if command == b"version":
        text = b"VERSION 1.6\r\n"
    else:
        text = b"STAT pid 1\r\nSTAT uptime 1\r\nEND\r\n" if command.startswith(b"stats") else b"ERROR\r\n"
    return datagram[:2] + b"\0\0\0\1\0\0" + text
