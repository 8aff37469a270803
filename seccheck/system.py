"""What the registry declares about one system: its targets, who allowed looking, what documents show."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import date, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from seccheck.hosts import (
    DEFAULT_PORTS,
    DIRECT_TLS,
    STARTTLS,
    Service,
    check_address,
    check_domain,
    check_host,
    derived_id,
    is_address,
    is_loopback,
    parse_url,
)
from seccheck.model import Model, Text
from seccheck.units import Identifier, Line, Listed
from seccheck.yamlfile import Mistake, shown

Said = Annotated[Line, StringConstraints(min_length=1)]
"""Free text on one line that must say something."""
Host = Annotated[
    str,
    AfterValidator(check_host),
    Field(json_schema_extra={"expected": "a host name or an address"}),
]
Domain = Annotated[str, AfterValidator(check_domain), Field(json_schema_extra={"expected": "a domain"})]
Address = Annotated[str, AfterValidator(check_address), Field(json_schema_extra={"expected": "an address"})]
Port = Annotated[int, Field(ge=1, le=65535)]
CriterionId = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Z][A-Z0-9]*-[A-Z0-9]+$"),
    Field(json_schema_extra={"expected": "a criterion's id such as LVL-01"}),
]


def _inside(text: str) -> str:
    if text.startswith(("/", "\\")) or ":" in text or "\\" in text or ".." in text.split("/"):
        raise Mistake(
            f"expected a file in or below the registry's folder, found {shown(text)}",
            hint="such as evidence/decision-123.pdf",
        )
    return text


OwnFile = Annotated[Said, AfterValidator(_inside)]
"""A file named relative to the registry's folder, and inside it."""


class Target(Model):
    """One service to look at. `host` is also the SNI, the Host header and the name a certificate bears."""

    id: Identifier
    host: Host
    port: Port
    service: Service
    address: Address | Literal[""] = ""
    """Where to connect; empty: what the host resolves to."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        """The short form, a URL, written out; a port or id left out is filled in."""
        if isinstance(data, str):
            place = parse_url(data)
            data = {"host": place.host, "port": place.port, "service": place.service}
        if not isinstance(data, dict):
            return data
        data = dict(data)
        service = data.get("service")
        if "port" not in data and isinstance(service, str) and service in DEFAULT_PORTS:
            data["port"] = DEFAULT_PORTS[service]
        if "id" not in data:
            # A host that is missing or refused is told of by its own field; the id is then of no matter.
            data["id"] = "unnamed"
            with suppress(Mistake, KeyError, TypeError):
                data["id"] = derived_id(check_host(data["host"]), data["port"])
        return data

    @property
    def tls(self) -> bool:
        """Whether the service can speak TLS, STARTTLS included."""
        return self.service in DIRECT_TLS or self.service in STARTTLS

    @property
    def starttls(self) -> bool:
        """Whether TLS begins inside a clear-text conversation."""
        return self.service in STARTTLS

    @property
    def literal_address(self) -> str:
        """The address the registry declares for it; empty when a name must be resolved."""
        return self.address or (self.host if is_address(self.host) else "")

    @property
    def loopback(self) -> bool:
        """Whether it is this very machine, as declared."""
        return is_loopback(self.literal_address or self.host)


class Evidence(Model):
    """A document that answers what no probe can see. Whether the file is there is looked at in the scan."""

    file: OwnFile
    sha256: Annotated[
        str,
        StringConstraints(pattern=r"^[0-9a-f]{64}$"),
        Field(json_schema_extra={"expected": "64 hexadecimal digits in lower case"}),
    ]
    issued: date
    issuer: Line = ""
    states: Literal["met", "not-met"]


class Validity(Model):
    """The days on which an authorisation holds, both included."""

    since: date = Field(alias="from")
    until: date

    @model_validator(mode="after")
    def _ordered(self) -> Validity:
        if self.until < self.since:
            raise Mistake(f"expected an end on or after {self.since}, found {self.until}")
        return self


_HOURS = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d( [A-Za-z0-9_+/-]+)?", re.ASCII)
DEFAULT_ZONE = "Asia/Ho_Chi_Minh"


class Authorisation(Model):
    """Who allowed looking, by which document, when."""

    approved_by: Said
    document: Said
    valid: Validity
    hours: str = ""
    """`22:00-05:00 Asia/Ho_Chi_Minh`; empty: all day."""

    @field_validator("hours")
    @classmethod
    def _known_zone(cls, hours: str) -> str:
        example = "such as 22:00-05:00 Asia/Ho_Chi_Minh"
        if not hours:
            return hours
        if not _HOURS.fullmatch(hours):
            raise Mistake(f"expected hours HH:MM-HH:MM and a time zone, found {shown(hours)}", hint=example)
        times, _, zone = hours.partition(" ")
        if times[:5] == times[6:]:
            raise Mistake(f"expected hours with a beginning and an end, found {shown(hours)}", hint=example)
        zone = zone or DEFAULT_ZONE
        try:
            datetime.now(ZoneInfo(zone))
        except (OSError, ValueError, KeyError):
            raise Mistake(
                f"expected a time zone of the IANA list, found {shown(zone)}", hint=example
            ) from None
        return f"{times} {zone}"


class LimitSettings(Model):
    """How gently an address is treated; what is not given is the default."""

    connections_per_second: int | None = Field(default=None, ge=1, le=10_000)
    connections_at_once: int | None = Field(default=None, ge=1, le=64)
    ports_per_second: int | None = Field(default=None, ge=1, le=100_000)
    addresses_at_once: int | None = Field(default=None, ge=1, le=1000)
    """Of one network (/24, /48): its budget is so many times that of an address."""


class ClientCertificate(Model):
    """A certificate to show to servers that ask for one; the key only by reference."""

    certificate: Said
    key: Annotated[
        str,
        StringConstraints(pattern=r"^env:[A-Za-z_][A-Za-z0-9_]*$"),
        Field(json_schema_extra={"expected": "the variable that holds the key, as env:NAME"}),
    ]


class System(Model):
    """One information system of a unit, with its level and everything that is looked at for it."""

    id: Identifier
    unit: Identifier
    name: Text
    level: int = Field(ge=1, le=5)
    tags: Listed[Identifier] = ()
    zone: Identifier | Literal[""] = ""
    """Where it must be looked at from; empty: anywhere."""
    targets: Listed[Target] = ()
    approved_ports: dict[str, Listed[Port]] = {}
    """Ports that may be open, by address or host; default: the declared targets."""
    domains: Listed[Domain] = ()
    evidence: dict[CriterionId, Evidence] = {}
    operated_by: Line = ""
    contact: Line = ""
    fragile: bool = False
    client_certificate: ClientCertificate | None = None
    authorisation: Authorisation | None = None
    limits: LimitSettings | None = None
    line: int = 0
    """Where it stands in the registry file."""

    @field_validator("targets")
    @classmethod
    def _distinct(cls, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        """Every target once, under an id of its own: a derived id that is taken gets the service added."""
        named = {target.id for target in targets if target.id != derived_id(target.host, target.port)}
        seen: set[tuple[str, int, str, str]] = set()
        ids: set[str] = set()
        distinct: list[Target] = []
        for target in targets:
            what = (target.host, target.port, target.service, target.address)
            if what in seen:
                raise Mistake(
                    f"expected each target once, found {target.service}://{target.host}:{target.port} twice"
                )
            seen.add(what)
            derived = target.id == derived_id(target.host, target.port)
            own = f"{target.id}-{target.service}" if derived and target.id in ids | named else target.id
            if own in ids:
                raise Mistake(f"expected a unique id for each target, found {shown(own)} twice")
            ids.add(own)
            distinct.append(target if own == target.id else target.model_copy(update={"id": own}))
        return tuple(distinct)

    @field_validator("approved_ports")
    @classmethod
    def _hosts(cls, ports: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        return {check_host(host): tuple(sorted(set(numbers))) for host, numbers in ports.items()}

    def addresses(self) -> tuple[str, ...]:
        """The addresses that it declares literally, sorted."""
        return tuple(sorted({target.literal_address for target in self.targets} - {""}))


def ports_of(targets: Iterable[Target]) -> tuple[int, ...]:
    """The ports of `targets`, sorted."""
    return tuple(sorted({target.port for target in targets}))
