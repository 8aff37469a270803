"""The door: nothing outside the registered networks, dates and hours, whatever a name or a redirect says."""

import contextlib
import socket
import threading
import time
from datetime import UTC, date, datetime

import pytest

from seccheck.model import Reason
from seccheck.permission import UNLIMITED, Limits, Permission, Scope, Window, parse_address, permission_for
from seccheck.probes import ProbeFailed
from seccheck.scope import Context

LOOPBACK = Scope(permissions=(Permission(network="127.0.0.0/30", limits=UNLIMITED),))


@pytest.mark.parametrize(
    "text", ["0177.0.0.1", "2130706433", "127.1", "fe80::1%eth0", "localhost", "127.0.0.1 -oX", ""]
)
def test_only_plain_addresses_are_addresses(text):
    with pytest.raises(ValueError, match=r".*"):
        parse_address(text)
    assert permission_for(LOOPBACK, text) is None


def test_a_mapped_address_is_the_address_it_maps():
    assert permission_for(LOOPBACK, "::ffff:127.0.0.1") == LOOPBACK.permissions[0]
    assert permission_for(LOOPBACK, "::ffff:127.0.0.9") is None


def test_the_narrowest_network_decides():
    gentle = Permission(network="10.0.0.7/32", limits=Limits(connections_at_once=1))
    scope = Scope(permissions=(Permission(network="10.0.0.0/8"), gentle))
    assert permission_for(scope, "10.0.0.7") == gentle
    assert permission_for(scope, "10.0.0.8") == scope.permissions[0]
    assert permission_for(scope, "11.0.0.1") is None


def test_an_address_outside_is_never_touched():
    with socket.create_server(("127.0.0.9", 0)) as listener:
        listener.settimeout(0.2)
        with pytest.raises(ProbeFailed) as caught:
            Context(LOOPBACK).dial("127.0.0.9", listener.getsockname()[1])
        assert caught.value.reason is Reason.OUT_OF_SCOPE
        with pytest.raises(TimeoutError):
            listener.accept()


def at(text):
    return datetime.fromisoformat(text).astimezone(UTC)


NIGHT = Window(since=date(2026, 11, 1), until=date(2026, 11, 30), hours="22:00-05:00")


@pytest.mark.parametrize(
    ("moment", "opened"),
    [
        ("2026-11-10T21:59:00+07:00", False),
        ("2026-11-10T22:00:00+07:00", True),
        ("2026-11-11T00:00:00+07:00", True),
        ("2026-11-11T04:59:00+07:00", True),
        ("2026-11-11T05:00:00+07:00", False),
        ("2026-11-01T01:00:00+07:00", False),
        ("2026-12-01T04:00:00+07:00", True),
        ("2026-12-01T22:30:00+07:00", False),
    ],
)
def test_hours_may_pass_midnight_and_belong_to_the_evening(moment, opened):
    assert NIGHT.open_at(at(moment)) is opened


def test_outside_the_hours_nothing_is_dialled_even_in_the_middle_of_a_run():
    clock = [at("2026-11-10T23:00:00+07:00")]
    scope = Scope(permissions=(Permission(network="127.0.0.1/32", window=NIGHT, limits=UNLIMITED),))
    context = Context(scope, now=lambda: clock[0])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        context.dial("127.0.0.1", listener.getsockname()[1]).close()
        clock[0] = at("2026-11-11T05:00:01+07:00")
        with pytest.raises(ProbeFailed) as caught:
            context.dial("127.0.0.1", listener.getsockname()[1])
    assert caught.value.reason is Reason.NOT_PROBED


def test_connections_keep_the_pace_of_their_address():
    scope = Scope(permissions=(Permission(network="127.0.0.1/32", limits=Limits(connections_per_second=20)),))
    context = Context(scope)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        for _ in range(5):
            context.dial("127.0.0.1", listener.getsockname()[1]).close()
        assert time.monotonic() - began >= 4 / 20
    assert context.connections == 5


def test_connections_at_once_are_bounded():
    limits = Limits(connections_per_second=None, connections_at_once=2)
    context = Context(Scope(permissions=(Permission(network="127.0.0.1/32", limits=limits),)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        held = [context.dial("127.0.0.1", port), context.dial("127.0.0.1", port)]
        third = threading.Thread(target=lambda: context.dial("127.0.0.1", port).close())
        third.start()
        third.join(0.2)
        assert third.is_alive()
        held[0].close()
        third.join(5)
        assert not third.is_alive()
        held[1].close()


def test_a_byte_a_second_does_not_outlast_the_deadline():
    def drip(listener):
        peer, _ = listener.accept()
        with peer:
            for _ in range(100):
                try:
                    peer.send(b"x")
                except OSError:
                    return
                time.sleep(0.1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        began = time.monotonic()
        with (
            Context(LOOPBACK).dial("127.0.0.1", listener.getsockname()[1], seconds=0.5) as connection,
            pytest.raises(ProbeFailed) as caught,
        ):
            list(iter(connection.receive, b""))
        assert caught.value.reason is Reason.TIMEOUT
        assert time.monotonic() - began < 1.5
        thread.join()


def test_bytes_read_are_capped():
    def flood(listener):
        peer, _ = listener.accept()
        with peer:
            try:
                peer.sendall(b"x" * 1_000_000)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=flood, args=(listener,))
        thread.start()
        with Context(LOOPBACK).dial("127.0.0.1", listener.getsockname()[1], max_bytes=1000) as connection:
            total = 0
            while data := connection.receive():
                total += len(data)
        assert total == 1000
        thread.join()


def test_a_refused_port_is_said_to_be_refused():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ProbeFailed, match="refused the connection") as caught:
        Context(LOOPBACK).dial("127.0.0.1", port)
    assert caught.value.reason is Reason.UNREACHABLE


def test_endless_records_do_not_hold_a_handshake():
    """HelloRequests are skipped by OpenSSL one after the other, for as long as they come."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            sock, _ = listener.accept()
            with sock:
                sock.recv(4000)
                with contextlib.suppress(OSError):
                    while True:
                        sock.sendall(b"\x16\x03\x03\0\x04\0\0\0\0" * 1000)

        server = threading.Thread(target=serve)
        server.start()
        port = listener.getsockname()[1]
        with (
            Context(LOOPBACK).dial("127.0.0.1", port, seconds=20) as connection,
            pytest.raises(ProbeFailed) as caught,
        ):
            connection.start_tls("host.example.vn")
        server.join()

    assert "endless TLS records" in caught.value.detail
