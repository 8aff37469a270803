"""Host names as TLS wants them: the SNI to send, and whether a certificate bears the host."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from seccheck.scope import parse_address


@lru_cache(maxsize=65536)
def server_name(host: str) -> str:
    """What to send as SNI for `host`: its A-labels (RFC 5890), or nothing for an address (RFC 6066 3)."""
    if is_address(host):
        return ""
    return ascii_name(host)


def is_address(host: str) -> bool:
    """Whether `host` is an address literal."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def ascii_name(host: str) -> str:
    """`host` in lower-case A-labels (IDNA 2008 with the mapping of UTS 46); as it is when it is no IDN."""
    import idna

    host = host.rstrip(".").lower()
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError:
        return ""


def bears(host: str, dns_names: Iterable[str], addresses: Iterable[str]) -> bool:
    """Whether a certificate with these subject alternative names is for `host` (RFC 9525 6)."""
    if is_address(host):
        wanted = parse_address(host.strip("[]"))
        return any(is_address(address) and parse_address(address) == wanted for address in addresses)
    name = ascii_name(host)
    return bool(name) and any(_matches(name, pattern) for pattern in dns_names)


def _matches(name: str, pattern: str) -> bool:
    """One DNS name against one pattern; `*` only as the whole left-most label (RFC 9525 6.3)."""
    pattern = pattern.rstrip(".").lower()
    if pattern.startswith("*."):
        _, _, parent = name.partition(".")
        return "." in parent and "*" not in pattern[2:] and parent == pattern[2:]
    return "*" not in pattern and name == pattern
