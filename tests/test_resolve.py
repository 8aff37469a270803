"""Names to addresses: through a real name server, and as the machine does."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from seccheck.model import ProbeFailed, Reason
from seccheck.resolve import Stub, name_of, resolve, sorted_addresses
from seccheck.scope import Resolver, Scope
from tests.tools import free_port, running, tool

ZONE = """$ORIGIN example.vn.
@ 60 IN SOA ns h 1 2 3 4 5
@ 60 IN NS ns
both 60 IN A 127.0.0.9
both 60 IN A 127.0.0.10
both 60 IN AAAA ::1
six 60 IN AAAA ::2
text 60 IN TXT "no address"
alias 60 IN CNAME both
chain 60 IN CNAME alias
loop 60 IN CNAME pool
pool 60 IN CNAME loop
away 60 IN CNAME www.elsewhere.vn.
nowhere 60 IN CNAME gone
xn--dng-lva 60 IN A 127.0.0.11
"""
ELSEWHERE = "$ORIGIN elsewhere.vn.\n@ 60 IN SOA ns h 1 2 3 4 5\n@ 60 IN NS ns\nwww 60 IN A 127.0.0.12\n"


@pytest.fixture(scope="module")
def scope(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scope]:
    """A scope whose resolvers are a dead one and an NSD with two zones."""
    folder = tmp_path_factory.mktemp("nsd")
    port = free_port()
    files = {"pidfile": "pid", "xfrdfile": "xfrd", "zonelistfile": "list", "xfrdir": ".", "zonesdir": "."}
    lines = ["server:", f"  ip-address: 127.0.0.1@{port}", '  username: ""', '  database: ""']
    lines += [f'  {name}: "{folder}/{value}"' for name, value in files.items()]
    lines += ["remote-control:", "  control-enable: no"]
    for origin, text in (("example.vn", ZONE), ("elsewhere.vn", ELSEWHERE)):
        (folder / origin).write_text(text)
        lines += ["zone:", f"  name: {origin}", f'  zonefile: "{folder / origin}"']
    (folder / "nsd.conf").write_text("\n".join(lines) + "\n")
    dead = Resolver(address="127.0.0.1", port=free_port(kind=socket.SOCK_DGRAM))
    with running(tool("nsd"), "-d", "-c", folder / "nsd.conf", ports=(port,)):
        yield Scope(resolvers=(Resolver(address="127.0.0.1", port=port), dead))


def test_names_through_the_registered_resolvers(scope: Scope) -> None:
    names = ["both", "six", "alias", "chain", "away"]
    found = resolve([f"{name}.example.vn" for name in names], scope)
    assert {name.partition(".")[0]: found[name].addresses for name in found} == {
        "both": ("127.0.0.9", "127.0.0.10", "::1"),
        "six": ("::2",),
        "alias": ("127.0.0.9", "127.0.0.10", "::1"),
        "chain": ("127.0.0.9", "127.0.0.10", "::1"),
        "away": ("127.0.0.12",),
    }
    assert {one.failed for one in found.values()} == {None}


def test_names_without_an_address(scope: Scope) -> None:
    names = ["text.example.vn", "gone.example.vn", "nowhere.example.vn"]
    found = resolve(names, scope)
    assert {name: (found[name].addresses, found[name].failed) for name in names} == dict.fromkeys(
        names, ((), Reason.UNREACHABLE)
    )


def test_names_that_nobody_tells(scope: Scope) -> None:
    names = ["loop.example.vn", "other.test", "..", "a" * 70 + ".vn"]
    assert {one.failed for one in resolve(names, scope).values()} == {Reason.RESOLVER}


def test_addresses_stand_for_themselves(scope: Scope) -> None:
    for where in (scope, Scope()):
        found = resolve(["127.0.0.1", "::1", "[::1]"], where)
        assert [one.addresses for one in found.values()] == [("127.0.0.1",), ("::1",), ("::1",)]


def test_names_in_vietnamese(scope: Scope) -> None:
    found = resolve(["đăng.example.vn", "EXAMPLE.vn"], scope)
    assert name_of("đăng.example.vn").to_text().startswith("xn--")
    assert found["EXAMPLE.vn"].failed is Reason.UNREACHABLE


def test_localhost_is_this_machine(scope: Scope) -> None:
    assert "127.0.0.1" in resolve(["localhost"], scope)["localhost"].addresses
    assert "127.0.0.1" in resolve(["localhost"], Scope())["localhost"].addresses


def test_dead_resolvers_do_not_hold_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seccheck.resolve._PACKET_SECONDS", 0.2)
    dead = Scope(resolvers=(Resolver(address="127.0.0.1", port=free_port(kind=socket.SOCK_DGRAM)),))
    began = time.monotonic()
    found = resolve([f"h{index}.example.vn" for index in range(32)], dead)
    assert {one.failed for one in found.values()} == {Reason.RESOLVER}
    assert time.monotonic() - began < 5


def test_the_stub_remembers(scope: Scope) -> None:
    stub = Stub(scope)
    first = stub.ask("both.example.vn", "A")
    assert stub.ask("both.example.vn", "A").message is first.message
    with pytest.raises(ProbeFailed):
        stub.ask("a..b", "A")


def test_order() -> None:
    assert sorted_addresses(["::2", "10.0.0.10", "::1", "10.0.0.9", "10.0.0.9"]) == (
        "10.0.0.9", "10.0.0.10", "::1", "::2",
    )  # fmt: skip
