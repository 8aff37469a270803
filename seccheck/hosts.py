"""Names, addresses and services as a registry writes them: one plain form for each, tricks refused."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import idna

from seccheck.model import safe_text
from seccheck.permission import parse_address
from seccheck.yamlfile import Mistake, did_you_mean, shown

Service = Literal[
    "http", "https", "tls", "ssh", "smtp", "smtps", "submission", "imap", "imaps", "pop3", "pop3s", "ftp",
    "ftps", "ldap", "ldaps", "postgresql", "mysql", "redis", "mongodb", "telnet", "dns", "tcp",
]  # fmt: skip
SERVICES: tuple[str, ...] = get_args(Service)

DEFAULT_PORTS = {
    "http": 80, "https": 443, "tls": 443, "ssh": 22, "smtp": 25, "smtps": 465, "submission": 587, "imap": 143,
    "imaps": 993, "pop3": 110, "pop3s": 995, "ftp": 21, "ftps": 990, "ldap": 389, "ldaps": 636,
    "postgresql": 5432, "mysql": 3306, "redis": 6379, "mongodb": 27017, "telnet": 23, "dns": 53,
}  # fmt: skip
"""The port of a service where a target names none (IANA); `tcp` has none."""

DIRECT_TLS = frozenset({"https", "tls", "smtps", "imaps", "pop3s", "ftps", "ldaps"})
STARTTLS = frozenset({"smtp", "submission", "imap", "pop3", "ftp", "ldap", "postgresql", "mysql"})
"""Services that begin in clear text and change to TLS on the same port."""

_URL = re.compile(r"(?P<service>[A-Za-z][A-Za-z0-9+.-]*)://(?P<where>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_WHERE = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<host>[^:\[\]]*))(?::(?P<port>[^:]*))?", re.DOTALL)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")


@lru_cache(maxsize=65536)
def check_address(text: str) -> str:
    """`text` when it is an address of one machine in its one plain form. Raises `Mistake`."""
    try:
        address = parse_address(text)
    except ValueError:
        raise Mistake(
            f"expected an address, found {shown(text)}", hint="such as 203.0.113.7 or 2001:db8::7"
        ) from None
    if str(address) != text:
        raise Mistake(f"expected an address in its plain form, found {shown(text)}", hint=f"write {address}")
    if address.is_multicast or address.is_unspecified or text == "255.255.255.255":
        raise Mistake(f"expected the address of one machine, found {text}")
    return text


@lru_cache(maxsize=65536)
def check_host(text: str) -> str:
    """The host that `text` writes: an address in its plain form, or a name in lower-case ASCII (IDNA 2008).

    Raises `Mistake` for anything that a resolver, a shell or a program could take for something else.
    """
    if ":" in text and "/" not in text:
        if text.startswith("[") or re.search(r"[g-z.]", text.lower().rpartition(":")[0]):
            raise Mistake(f"expected a host alone, found {shown(text)}", hint="write the port as `port:`")
        return check_address(text)
    name = unicodedata.normalize("NFC", text).lower().removesuffix(".")
    if bad := next((c for c in name if not (c.isalnum() or c in "-." or unicodedata.combining(c))), None):
        hint = "write the name alone, without scheme, port or path" if bad in ":/" else ""
        raise Mistake(
            f"expected a host name or an address, found {shown(text)} with {safe_text(bad)!r}", hint=hint
        )
    if name.startswith("-"):
        raise Mistake(f"expected a host name or an address, found {shown(text)}, which looks like an option")
    # What ends in a number is an address to every resolver (WHATWG URL, "ends in a number").
    if _NUMERIC.fullmatch(name.rpartition(".")[2]):
        return check_address(text)
    return _check_name(name, text)


def _check_name(name: str, text: str) -> str:
    try:
        ascii_name = name if name.isascii() else idna.encode(name).decode("ascii")
        for label in ascii_name.split("."):
            if not _LABEL.fullmatch(label):
                raise Mistake(
                    f"expected a host name, found {shown(text)}: {safe_text(label)!r} cannot be a label"
                )
            if label.startswith("xn--"):
                idna.ulabel(label)
    except idna.IDNAError as error:
        raise Mistake(f"expected a host name, found {shown(text)}: {safe_text(str(error), 120)}") from None
    if len(ascii_name) > 253:
        raise Mistake(f"expected a host name of at most 253 characters, found {len(ascii_name)}")
    return ascii_name


def check_domain(text: str) -> str:
    """The DNS domain that `text` writes, in lower-case ASCII. Raises `Mistake`, for addresses too."""
    name = check_host(text)
    if is_address(name):
        raise Mistake(f"expected a domain, found the address {name}")
    return name


def check_network(text: str) -> str:
    """The network (CIDR) that `text` writes. Raises `Mistake`, also for one too wide to guard anything."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise Mistake(f"expected a network such as 203.0.113.0/24, found {shown(text)}") from None
    plain = str(network) if "/" in text else str(network.network_address)
    if plain != text:
        raise Mistake(f"expected a network, found {shown(text)}", hint=f"write {network}")
    if network.prefixlen < (8 if network.version == 4 else 16):
        raise Mistake(
            f"expected a network that guards something, found {text}", hint="list your own networks"
        )
    return str(network)


def is_address(host: str) -> bool:
    """Whether a checked host is an address, not a name."""
    return ":" in host or host.rpartition(".")[2].isdigit()


def is_loopback(host: str) -> bool:
    """Whether a checked host is this very machine: a loopback address, or `localhost` (RFC 6761, 6.3)."""
    if is_address(host):
        return parse_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


@dataclass(frozen=True)
class Place:
    """What the short form of a target says."""

    service: str
    host: str
    port: int


def parse_url(text: str, *, any_path: bool = False) -> Place:
    """What the target `text` (https://host:port/) says. Raises `Mistake`.

    A path beyond `/` is refused, unless `any_path` says to leave it out: a target is a whole service.
    """
    found = _URL.fullmatch(text)
    if not found:
        raise Mistake(f"expected a target such as https://portal.example.vn/, found {shown(text)}")
    service = found["service"].lower()
    if service not in SERVICES:
        hint = did_you_mean(service, SERVICES, "services")
        raise Mistake(f"expected a known service before ://, found {shown(service)}", hint=hint)
    if "@" in found["where"]:
        raise Mistake(
            f"expected a target without credentials, found {shown(text.partition('://')[0] + '://…@…')}"
        )
    if found["rest"] not in {"", "/"} and not any_path:
        raise Mistake(
            f"expected a target without a path, found {shown(text)}",
            hint=f"write {service}://{found['where']}/",
        )
    where = _WHERE.fullmatch(found["where"])
    if not where:
        raise Mistake(f"expected host or host:port after ://, found {shown(found['where'])}")
    host = check_address(where["six"]) if where["six"] is not None else check_host(where["host"])
    return Place(service, host, _port(where["port"], service, text))


def _port(written: str | None, service: str, text: str) -> int:
    if written is None:
        if service not in DEFAULT_PORTS:
            raise Mistake(
                f"expected a port, found none in {shown(text)}", hint=f"write {service}://host:port"
            )
        return DEFAULT_PORTS[service]
    if re.fullmatch(r"[1-9][0-9]{0,4}", written, re.ASCII) and int(written) < 65536:
        return int(written)
    raise Mistake(f"expected a port from 1 to 65535, found {shown(written)} in {shown(text)}")


def derived_id(host: str, port: int) -> str:
    """The id of a target that was given none: host and port."""
    return re.sub(r"[^a-z0-9._-]", "-", f"{host}-{port}").lstrip("-._")
