"""What the ports probe is asked, and what it answers."""

from __future__ import annotations

from typing import Literal

from seccheck.model import Record
from seccheck.probes import Facts, Params
from seccheck.probes.ports.table import UDP_SERVICES

State = Literal["open", "closed", "filtered"]
PortSet = Literal["table", "top-1000", "all"]


class PortsParams(Params):
    """Which ports of an address to look at: those named, those of the sets, and the declared ones."""

    tcp: tuple[int, ...] = ()
    tcp_sets: tuple[PortSet, ...] = ()
    """`table`: every port of our table; `top-1000`: the usual thousand; `all`: 1 to 65535."""
    udp: tuple[str, ...] = ()
    """UDP services to ask, as `dns` or, off the standard port, `dns:5353`."""
    declared: tuple[int, ...] = ()
    """TCP ports on which the registry declares a service: they prove, before and after, that the address
    still answers us, without which silence means nothing. They are looked at like the others."""

    def __post_init__(self) -> None:
        """Refuse what is no port and no service; raises ValueError."""
        for port in (*self.tcp, *self.declared):
            if not 1 <= port <= 65535:
                raise ValueError(f"{port} is not a port")
        for text in self.udp:
            udp_service(text)


def udp_service(text: str) -> tuple[str, int]:
    """The service and port that `text` names, such as `dns` or `dns:5353`; raises ValueError."""
    name, _, port = text.partition(":")
    if name not in UDP_SERVICES:
        raise ValueError(f"{name!r} is not one of {', '.join(UDP_SERVICES)}")
    number = int(port) if port else UDP_SERVICES[name]
    if not 1 <= number <= 65535:
        raise ValueError(f"{number} is not a port")
    return name, number


class Port(Record):
    """One TCP port that is not closed."""

    port: int
    state: State
    service: str
    """What our table calls the port; "" when it is not in the table. A number proves no service."""
    reason: str
    """What told the state: syn-ack, conn-refused, no-response, or the network's own refusal."""


class Service(Record):
    """One open TCP port, by its number and by what it said itself."""

    port: int
    service: str
    """By the number alone."""
    kind: str
    """By the number alone: a kind of the table, or ""."""
    state: State = "open"
    confirmed: str
    """The service that identified itself there (`ftp`, `telnet`, `docker-api` …); "" when it was not asked or
    said nothing that we know."""


class UdpService(Record):
    """One UDP service that was asked."""

    service: str
    port: int
    state: Literal["answered", "closed", "silent"]
    """`closed`: the host said so (ICMP port unreachable); `silent`: no answer to two packets."""
    detail: str = ""
    """What the answer was."""


class PortsFacts(Facts):
    """What is open, closed and filtered at an address; three different things (RFC 9293, RFC 792)."""

    tcp: tuple[Port, ...] | None = None
    """The open ports, and the filtered ones when they are few; the rest is counted."""
    open: tuple[int, ...] | None = None
    """Ports that completed the handshake twice. A port that could not be told is in `undecided`."""
    kinds: tuple[str, ...] | None = None
    """The kinds of the open ports, by their numbers alone."""
    services: tuple[Service, ...] | None = None
    """The open ports one by one."""
    identified: tuple[str, ...] | None = None
    """What identified itself on the open ports, whatever their numbers: the names of `Service.confirmed`."""
    looked_at: int = 0
    """How many TCP ports were looked at."""
    closed_count: int = 0
    filtered_count: int = 0
    reference_answered: bool | None = None
    """Whether a declared service of this address answered before and after, so that silence has a meaning."""
    engine: str = ""
    """`connect` (built in) or `nmap` with its version."""
    udp: tuple[UdpService, ...] | None = None
    udp_services: tuple[str, ...] | None = None
    """The UDP services that answered in the way that matters: dns = recursion for strangers (an open
    resolver; a server that refuses is not listed), ntp = control queries (mode 6 or 7), snmp = the community
    `public`, and memcached, cldap, ssdp, tftp by any answer of their protocol."""
