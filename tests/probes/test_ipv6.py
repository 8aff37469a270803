"""IPv6 by name: a real name server, a real web server on ::1, and what is not there."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from seccheck.model import Reason
from seccheck.probes import Endpoint, ProbeFailed
from seccheck.probes.ipv6 import PROBE, Ipv6Facts, Ipv6Params
from seccheck.scope import UNLIMITED, Context, Permission, Resolver, Scope
from tests.fleet.zones import Tree, Zone, nsd
from tests.tools import free_port, running, tool

RECORDS = (
    "six AAAA ::1\nfour A 127.0.0.9\nboth AAAA ::1\nboth A 127.0.0.9\naway AAAA 2001:db8::7\nmany AAAA ::1\n"
)
RECORDS += "many AAAA 2001:db8::8\nalias CNAME six\n"


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a name server on 127.0.0.1."""
    tree = Tree(
        tmp_path_factory.mktemp("names"),
        "127.0.0.1",
        [Zone("a.vn", RECORDS, signed=False), Zone("lost.vn", broken=True)],
    )
    port = free_port()
    with nsd(tree, "127.0.0.1", port):
        yield port


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """Ports of ::1 by what is served there: TLS, TLS for those with a certificate, clear text."""
    place = tmp_path_factory.mktemp("web")
    pem = certificate(place)
    ports = {name: free_port("::1") for name in ("tls", "mutual", "plain")}
    tls = f"ssl_certificate {pem}; ssl_certificate_key {pem};"
    (place / "nginx.conf").write_text(
        f"daemon off; pid {place}/pid; error_log {place}/log; events {{ }} http {{ access_log off;"
        f"server {{ listen [::1]:{ports['tls']} ssl; {tls} }}"
        f"server {{ listen [::1]:{ports['mutual']} ssl; {tls}"
        f" ssl_client_certificate {pem}; ssl_verify_client on; }}"
        f"server {{ listen [::1]:{ports['plain']}; }} }}"
    )
    command = (tool("nginx"), "-p", place, "-c", place / "nginx.conf")
    with running(*command, ports=tuple(ports.values()), address="::1"):
        yield ports


def certificate(place: Path) -> Path:
    path = place / "both.pem"
    command = [tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3"]
    command += ["-subj", "/CN=six.a.vn", "-keyout", str(path), "-out", str(place / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + (place / "cert.pem").read_text())
    return path


def look(names: int, host: str, port: int) -> Ipv6Facts:
    networks = ("127.0.0.0/8", "::1/128")
    scope = Scope(
        permissions=tuple(Permission(network=network, limits=UNLIMITED) for network in networks),
        resolvers=(Resolver(address="127.0.0.1", port=names),),
    )
    assert PROBE.collect
    endpoint = Endpoint(host=host, address="127.0.0.9", port=port, service="https")
    return PROBE.collect(endpoint, Ipv6Params(), Context(scope))


@pytest.mark.parametrize("host", ["six.a.vn", "both.a.vn", "alias.a.vn"])
def test_tls_at_the_published_address(host: str, names: int, web: dict[str, int]) -> None:
    for served in ("tls", "mutual"):
        facts = look(names, host, web[served])
        assert (facts.addresses, facts.secure, facts.plain, facts.undecided) == (("::1",), ("::1",), (), ())


def test_clear_text_there(names: int, web: dict[str, int]) -> None:
    facts = look(names, "six.a.vn", web["plain"])
    assert (facts.secure, facts.plain, facts.undecided) == ((), ("::1",), ())


@pytest.mark.parametrize("host", ["four.a.vn", "nobody.a.vn"])
def test_no_address_is_an_answer(host: str, names: int, web: dict[str, int]) -> None:
    facts = look(names, host, web["tls"])
    assert (facts.addresses, facts.secure, facts.plain, facts.undecided) == ((), (), (), ())


def doubts(facts: Ipv6Facts) -> list[tuple[str, str | None, Reason]]:
    return [(one.fact, one.member, one.reason) for one in facts.undecided]


def test_a_port_that_refuses_tells_nothing(names: int) -> None:
    facts = look(names, "six.a.vn", free_port("::1"))
    assert facts.addresses == ("::1",)
    assert (facts.secure, facts.plain) == ((), ())
    assert doubts(facts) == [("plain", "::1", Reason.UNREACHABLE)]


def test_silence_tells_nothing(names: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seccheck.probes.ipv6._SECONDS", 0.5)
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as silent:
        facts = look(names, "six.a.vn", silent.getsockname()[1])
    assert doubts(facts) == [("plain", "::1", Reason.TIMEOUT)]


def test_a_close_in_the_handshake_tells_nothing(names: int) -> None:
    """A ban ends it like that, too."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as banning:
        thread = threading.Thread(target=close_after_hello, args=(banning,))
        thread.start()
        facts = look(names, "six.a.vn", banning.getsockname()[1])
        thread.join()
    assert (facts.secure, facts.plain) == ((), ())
    assert doubts(facts) == [("plain", "::1", Reason.UNREACHABLE)]


def close_after_hello(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)


def test_what_is_not_registered_is_not_touched(names: int, web: dict[str, int]) -> None:
    facts = look(names, "many.a.vn", web["tls"])
    assert facts.secure == ("::1",)
    assert doubts(facts) == [("plain", "2001:db8::8", Reason.OUT_OF_SCOPE)]


def test_a_resolver_that_fails_tells_nothing(names: int, web: dict[str, int]) -> None:
    with pytest.raises(ProbeFailed) as caught:
        look(names, "www.lost.vn", web["tls"])
    assert caught.value.reason is Reason.RESOLVER
