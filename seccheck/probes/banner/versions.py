"""What `nmap -sV` takes a service for, where we don't know it: a lead for whoever reads it, never a verdict.

Only open ports that stayed unknown are asked, many addresses in one run, and only where nmap is installed
and an address may be asked `CONNECTIONS` times within a second: nmap holds no pace while it does this,
though it opens one connection after the other.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from functools import cache
from typing import NamedTuple

from seccheck.model import Reason, safe_text
from seccheck.permission import Limits, parse_address
from seccheck.probes import Endpoint, ProbeFailed
from seccheck.probes.nmap import SLACK, Host, Nmap, Purpose, Reader
from seccheck.reference.product import GUESSED, Product
from seccheck.scope import Context

SOURCE = "nmap -sV"
CONNECTIONS = 10
"""More than nmap was seen to open to one port at this intensity: 2, up to 6 where many services are usual.
It reads the greeting and asks what is usual on the port's number; our own questions were asked before."""
HOST_SECONDS = 45
"""What one address may take; a service silent to every question took from 9 to 38 s."""
SECONDS = HOST_SECONDS + SLACK + 5
GATHER = 1.0
_OPTIONS = "-sT -sV --version-intensity 0 -n -Pn --unprivileged --max-retries 1"
_LONGEST = 128
_NUMBER = re.compile(r"\d[\w.+~-]*")
_SLUG = re.compile(r"[^a-z0-9]+")
_SYSTEMS = {"windows": "windows", "linux": "linux", "freebsd": "freebsd", "openbsd": "openbsd"}
_ENGINE_VARIABLE = "SECCHECK_PORTS_ENGINE"
_one_at_a_time = threading.Lock()


class Lead(NamedTuple):
    """What nmap says of one open port that it recognised by what was said there."""

    product: str
    version: str
    extra: str
    system: str
    cpe: str = ""


def ask(endpoint: Endpoint, context: Context) -> Product | None:
    """The product that nmap recognises at an open port; None when it does not, or may not be asked.

    Raises `ProbeFailed` when nmap died or had no time.
    """
    path = None if os.environ.get(_ENGINE_VARIABLE) == "connect" else shutil.which("nmap")
    address = str(parse_address(endpoint.address))
    if not path or not context.reserve(address, CONNECTIONS):
        return None
    with _one_at_a_time:
        runs = _runs(path)
    looked: Future[dict[int, Lead]] = runs.look(address, (endpoint.port,), context)
    try:
        lead = looked.result(timeout=SECONDS).get(endpoint.port)
    except TimeoutError:
        raise ProbeFailed(Reason.TIMEOUT, "nmap -sV did not end in time") from None
    return product(lead) if lead else None


@cache
def _runs(path: str) -> Nmap[Lead]:
    return Nmap(path, Purpose(options=options, read=read, gather=GATHER, connections=0))


def options(addresses: Sequence[str], _ports: int, _limits: Limits) -> tuple[str, int]:
    """The options of a run, and the deadline of one address."""
    six = " -6" if ":" in addresses[0] else ""
    groups = f"--min-hostgroup {len(addresses)} --host-timeout {HOST_SECONDS}s"
    return f"{_OPTIONS} {groups}{six}", HOST_SECONDS


def product(lead: Lead) -> Product:
    """A lead as a product, with a version only where nmap names a single one (`2.4.0 - 2.4.39` is none)."""
    parts = lead.cpe.split(":")
    name = parts[3] if len(parts) > 3 and parts[1] == "/a" else lead.product
    told = f"{lead.product} {lead.version}".strip()
    return Product(
        name=_SLUG.sub("-", name.lower()).strip("-") or "unknown",
        version=lead.version if _NUMBER.fullmatch(lead.version) else "",
        os=_SYSTEMS.get(lead.system.lower(), ""),
        source=SOURCE,
        raw=f"{told} ({lead.extra})" if lead.extra else told,
        confidence=GUESSED,
    )


class _Reader(Reader[Lead]):
    """The services that nmap recognised by what they said, not by their numbers."""

    def begin(self) -> None:
        self.leads: dict[int, Lead] = {}
        self.cpe = False

    def take(self, tag: str, given: dict[str, str]) -> None:
        if tag == "service" and self.port and given.get("method") == "probed" and given.get("product"):
            told = {name: safe_text(value, _LONGEST) for name, value in given.items()}
            self.leads[self.port] = Lead(
                told["product"], told.get("version", ""), told.get("extrainfo", ""), told.get("ostype", "")
            )
        self.cpe = tag == "cpe"

    def text(self, said: str) -> None:
        lead = self.leads.get(self.port)
        if self.cpe and lead and not lead.cpe:  # the first of several names the service
            self.leads[self.port] = lead._replace(cpe=safe_text(said.strip(), _LONGEST))

    def ports(self) -> dict[int, Lead]:
        return self.leads


def read(xml: bytes, _asked: Sequence[int]) -> dict[str, Host[Lead]]:
    """What nmap's XML says, by address; of XML that is cut short, the hosts that are complete."""
    return _Reader().read(xml)
