"""`nmap -sV` for open ports that stay unknown: batched, bounded, and never a verdict."""

from __future__ import annotations

import socket
import stat
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seccheck.model import Reason
from seccheck.permission import Limits
from seccheck.probes import Endpoint, ProbeFailed
from seccheck.probes.banner import PROBE, versions
from seccheck.probes.banner.facts import BannerFacts, BannerParams
from seccheck.probes.banner.versions import CONNECTIONS, Lead, options, product, read
from seccheck.reference import (
    Papers,
    Product,
    at_newest_patch,
    free_of_known_exploited,
    load_reference,
    settle,
    supported,
)
from seccheck.reference.snapshot import BUNDLED
from seccheck.scope import UNLIMITED, Context, Permission, Scope
from tests.probes.ports.servers import Place, some_address
from tests.tools import tool

INN = b"200 news.example InterNetNews NNRP server INN 2.5.4 ready (posting ok)\r\n"


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place(some_address())
    yield made
    made.close()


def look(address: str, port: int, limits: Limits = UNLIMITED) -> tuple[BannerFacts, int]:
    """What the probe says of a port, and how many connections it counts."""
    context = Context(Scope(permissions=(Permission(network="127.0.0.0/8", limits=limits),)))
    endpoint = Endpoint(address=address, host="www.example", port=port, service="tcp")
    assert PROBE.collect
    return PROBE.collect(endpoint, BannerParams(), context), context.connections


@pytest.fixture
def nmap_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Put a script in front of nmap; gives the file that its command lines are noted in."""
    versions._runs.cache_clear()

    def install(script: str = 'exec "$REAL" "$@"') -> Path:
        log = tmp_path / "calls"
        path = tmp_path / "nmap"
        path.write_text(f'#!/bin/sh\nREAL={tool("nmap")}\necho "$@" >> {log}\n{script}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.delenv("SECCHECK_PORTS_ENGINE")
        return log

    yield install
    versions._runs.cache_clear()


def runs(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if "-sV" in line]


def test_many_addresses_are_one_run_and_what_dies_costs_one(nmap_calls: Callable[[str], Path]) -> None:
    poison, *others = [Place(some_address()) for _ in range(3)]
    log = nmap_calls(
        f'case "$*" in *{poison.address}*) "$REAL" "$@" | head -c 700; kill -SEGV $$;; esac\n'
        'exec "$REAL" "$@"'
    )
    found: dict[str, tuple[BannerFacts, int]] = {}
    try:
        port = poison.greeting(INN)
        for place in others:
            place.greeting(INN, port)

        def ask(address: str) -> None:
            found[address] = look(address, port)

        threads = [threading.Thread(target=ask, args=(one.address,)) for one in (poison, *others)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for place in (poison, *others):
            place.close()
    for place in others:
        facts, connections = found[place.address]
        (lead,) = facts.products or ()
        assert (lead.name, lead.version, lead.confidence) == ("inn", "2.5.4", "guessed")
        assert lead.source == "nmap -sV"
        assert connections == 1 + CONNECTIONS
        assert facts.discloses == ()
    assert found[poison.address][0].products == ()
    first, *again = runs(log)
    assert all(one.address in first for one in (poison, *others))
    assert 1 <= len(again) <= 4  # halves, down to the one that dies
    words = first.split()
    assert sorted(words[words.index("-") + 1 : words.index("-p")]) == sorted(
        one.address for one in (poison, *others)
    )
    assert words[words.index("-p") + 2 :] == options(["127.0.0.1"] * 3, 1, UNLIMITED)[0].split()


def test_only_what_stays_unknown_is_asked(nmap_calls: Callable[..., Path], place: Place) -> None:
    log = nmap_calls("exit 0")
    look(place.address, place.greeting(b"220 ftp.example FTP server ready\r\n"))
    look(place.address, place.page(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    with pytest.raises(ProbeFailed):
        look(place.address, 1)
    assert not log.exists()


def test_the_pace_of_an_address_decides(nmap_calls: Callable[..., Path], place: Place) -> None:
    """Where so many connections in a second are too many, nothing is asked; else they are paid for."""
    log = nmap_calls()
    port = place.greeting(INN)
    facts, connections = look(place.address, port, Limits(connections_per_second=CONNECTIONS - 1))
    assert (facts.products, connections) == ((), 1)
    assert not log.exists()
    context = Context(
        Scope(permissions=(Permission(network="127.0.0.0/8", limits=Limits(connections_per_second=20)),))
    )
    assert context.reserve(place.address, CONNECTIONS)
    assert context.connections == CONNECTIONS
    assert 0.3 < context.admit(place.address) <= CONNECTIONS / 20


def test_without_nmap_it_stays_unknown(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SECCHECK_PORTS_ENGINE")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert look(place.address, place.greeting(INN))[0].products == ()


@pytest.mark.parametrize("name", ["127.0.0.1 --script=x", "localhost", "-oN=/tmp/x", "127.0.0.1/8"])
def test_only_addresses_pass(name: str, nmap_calls: Callable[..., Path]) -> None:
    log = nmap_calls()
    context = Context(Scope(permissions=(Permission(network="127.0.0.0/8", limits=UNLIMITED),)))
    with pytest.raises((ValueError, ProbeFailed)):
        versions.ask(Endpoint(address=name, port=80), context)
    assert not log.exists()


def test_what_is_silent_raises_no_hope(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lead for a service that told us nothing leaves in doubt what the silence left in doubt."""
    monkeypatch.setattr("seccheck.probes.banner.talk.QUIET", 0.2)
    monkeypatch.setattr("seccheck.probes.banner.talk.SECONDS", 0.3)
    lead = product(Lead("ActiveMQ OpenWire transport", "5.15.2", "", "", "cpe:/a:apache:activemq:5.15.2"))
    monkeypatch.setattr(versions, "ask", lambda *_: lead)

    def silent(client: socket.socket) -> None:
        while client.recv(4096):
            pass

    facts, _ = look(place.address, place.tcp(0, silent))
    assert facts.products == (lead,)
    assert [doubt.fact for doubt in facts.undecided] == ["discloses"]


def service(inner: str, cpe: str = "", *, end: str = "</host></nmaprun>") -> bytes:
    return (
        '<?xml version="1.0"?><nmaprun><host><address addr="127.0.0.9" addrtype="ipv4"/><ports>'
        f'<port protocol="tcp" portid="80"><state state="open"/><service {inner}>{cpe}</service></port>'
        f"</ports>{end}"
    ).encode()


def lead_of(inner: str, cpe: str = "") -> Product | None:
    found = read(service(inner, cpe), (80,))["127.0.0.9"].ports
    return product(found[80]) if found else None


@pytest.mark.parametrize(
    ("told", "name", "version"),
    [
        ('product="Apache httpd" version="2.4.0 - 2.4.39"', "apache-httpd", ""),
        ('product="PostgreSQL DB" version="9.6.0 or later"', "postgresql-db", ""),
        ('product="OpenLDAP" version="2.2.X - 2.3.X"', "openldap", ""),
        ('product="Zeus" version="1.2.3-4+b1" ostype="Linux"', "zeus", "1.2.3-4+b1"),
        ('product="&lt;script&gt;"', "script", ""),
        ('product="!!!"', "unknown", ""),
    ],
)
def test_leads(told: str, name: str, version: str) -> None:
    found = lead_of(f'name="x" method="probed" conf="10" {told}')
    assert found is not None
    assert (found.name, found.version, found.confidence) == (name, version, "guessed")


def test_the_first_cpe_names_the_product() -> None:
    cpes = "<cpe>cpe:/a:igor_sysoev:nginx:1.2</cpe><cpe>cpe:/o:linux:linux_kernel</cpe>"
    found = lead_of('name="http" product="nginx" version="1.2" method="probed" conf="10"', cpes)
    assert found is not None
    assert found.name == "nginx"


@pytest.mark.parametrize(
    "told",
    [
        'name="http" method="table" conf="3" product="Apache"',  # by the number alone
        'name="tcpwrapped" method="probed" conf="8"',
        'name="ssh" method="probed" conf="10" product=""',
    ],
)
def test_what_is_no_lead(told: str) -> None:
    assert lead_of(told) is None


def test_hostile_xml() -> None:
    long = lead_of(f'name="x" method="probed" product="{"A" * 100_000}" version="{"1." * 9999}"')
    assert long is not None
    assert len(long.raw) < 400
    with pytest.raises(ValueError, match="entities"):
        read(b'<!DOCTYPE n [<!ENTITY a "aaaa">]><nmaprun>&a;</nmaprun>', (80,))
    whole = service('name="x" method="probed" product="P"')
    assert all(read(whole[:cut], (80,)) in ({}, read(whole, (80,))) for cut in range(0, len(whole), 5))


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    assert read(service("")[:60] + data, (80,)) == {}


@pytest.mark.parametrize(
    ("name", "version"),
    [("nginx", "1.30.4"), ("nginx", "1.21.6"), ("apache-http-server", "2.4.49"), ("openssh", "10.5")],
)
def test_a_lead_decides_nothing(name: str, version: str) -> None:
    """Neither a pass nor a fail; the package list of the host decides."""
    reference = load_reference(BUNDLED)
    at = datetime(2026, 8, 25, tzinfo=UTC)
    lead = Product(name=name, version=version, source="nmap -sV", confidence="guessed")
    for ask in (supported, free_of_known_exploited, at_newest_patch):
        ruling = ask(lead, reference, at)
        assert ruling.verdict == "inconclusive"
        assert ruling.next_step
        assert ruling.reason is not Reason.BUG
    assert settle("supported", lead, Papers(), reference, at).verdict == "inconclusive"
