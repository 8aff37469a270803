"""The maintained table of ports: which service is usual on each, of which kind, and why we look."""

from __future__ import annotations

UDP_SERVICES: dict[str, int] = {
    "dns": 53,
    "ntp": 123,
    "snmp": 161,
    "memcached": 11211,
    "cldap": 389,
    "ssdp": 1900,
    "tftp": 69,
}
"""The UDP services that can be asked, with their standard ports."""
