"""Nothing outside `networks` is ever touched: not by a name that changes its mind, not by a redirect."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from seccheck.assessment import collect, conclude, prepare
from seccheck.criteria import load_criteria
from seccheck.executors.local import LocalExecutor
from seccheck.permission import UNLIMITED, Permission, Scope
from seccheck.probes import Endpoint, load_probes
from seccheck.registry import load_registry, scope_of
from seccheck.resolve import resolve
from seccheck.scope import Context

INSIDE, OUTSIDE = "127.0.0.1", "127.9.9.9"


class Names:
    """A name server that says where a name is, and something else each further time."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def answer(self, query: bytes) -> bytes:
        import dns.flags
        import dns.message
        import dns.rrset

        message = dns.message.from_wire(query)
        response = dns.message.make_response(message)
        response.flags |= dns.flags.RA
        question = message.question[0]
        if question.rdtype == 1:  # A
            self.asked.append(str(question.name))
            address = self.answers[min(len(self.asked), len(self.answers)) - 1]
            response.answer.append(dns.rrset.from_text(question.name, 0, "IN", "A", address))
        return response.to_wire()


@contextmanager
def serving(names: Names) -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((INSIDE, 0))

        def serve() -> None:
            while True:
                query, peer = sock.recvfrom(4096)
                if query == b"end":
                    return
                sock.sendto(names.answer(query), peer)

        thread = threading.Thread(target=serve)
        thread.start()
        port = sock.getsockname()[1]
        try:
            yield port
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as goodbye:
                goodbye.sendto(b"end", (INSIDE, port))
            thread.join()


@contextmanager
def redirecting(*locations: str) -> Iterator[tuple[int, list[str]]]:
    """A web server inside that sends each visitor to the next of `locations`; the requests it gets."""
    asked: list[str] = []
    with socket.create_server((INSIDE, 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    peer.settimeout(5)
                    try:
                        request = peer.recv(65536)
                        if not request:
                            continue
                        form = locations[len(asked) % len(locations)]
                        location = form.replace("{port}", str(port)).replace("{next}", str(port + 1))
                        asked.append(request.split(b"\r\n")[0].decode("latin-1"))
                        peer.sendall(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n".encode())
                    except OSError:
                        continue

        port = listener.getsockname()[1]
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield port, asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def alarms(port: int) -> Iterator[list[str]]:
    """Listeners where nobody may come: outside at `port` and elsewhere, over IPv4 and IPv6."""
    touched: list[str] = []
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.create_server((address, number)))
            for address in (OUTSIDE, "127.0.0.2")
            for number in (port, port + 1)
        ]

        def wait(listener: socket.socket) -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                touched.append(str(peer.getsockname()))
                peer.close()

        threads = [threading.Thread(target=wait, args=(listener,)) for listener in listeners]
        for thread in threads:
            thread.start()
        try:
            yield touched
        finally:
            for listener in listeners:
                listener.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


REGISTRY = """
seccheck: registry/1
name: {{en: One, vi: Một}}
units: [{{id: red, kind: ministry, name: {{en: Red, vi: Đỏ}}}}]
networks: [127.0.0.1/32]
authorisation: {{approved_by: A, document: B, valid: {{from: 2020-01-01, until: 2099-12-31}}}}
resolvers: [{{address: 127.0.0.1, port: {resolver}}}]
systems:
- id: portal
  unit: red
  name: {{en: Portal, vi: Cổng}}
  level: 3
  targets:
  - "http://{host}:{port}/"
  - "https://{host}:{port}/"
  - "ssh://{host}:{port}/"
  - {{host: "{host}", port: {port}, service: tcp}}
"""


def scan(place, resolver, host, port):
    (place / "registry.yaml").write_text(REGISTRY.format(resolver=resolver, host=host, port=port))
    registry = load_registry(place / "registry.yaml")
    scope = scope_of(registry)
    criteria = load_criteria("project06-2026", load_probes(), profile="technical")
    folder = prepare(place / "run", registry, criteria, lambda names: resolve(names, scope))
    assert collect(folder, LocalExecutor(load_probes()), lambda *_: None)
    conclude(folder)
    return folder


def touched(folder):
    account = json.loads((folder.path / "touched.json").read_text())
    return {one["address"]: one["connections"] for one in account["addresses"]}


def test_a_name_that_changes_its_mind_leads_nowhere_else(tmp_path):
    """Rebinding: the first answer is inside, every later one outside; what was planned is what is dialled."""
    names = Names(INSIDE, OUTSIDE)
    with (
        serving(names) as resolver,
        redirecting("http://portal.test:{port}/again", "/later") as (port, asked),
        alarms(port) as alarm,
    ):
        folder = scan(tmp_path, resolver, "portal.test", port)
    assert asked
    assert alarm == []
    assert touched(folder).keys() == {INSIDE}


def test_a_name_that_points_outside_is_not_followed(tmp_path):
    with (
        serving(Names(OUTSIDE)) as resolver,
        redirecting("/") as (port, asked),
        alarms(port) as alarm,
    ):
        folder = scan(tmp_path, resolver, "portal.test", port)
    assert (alarm, asked) == ([], [])
    assert set(touched(folder).values()) == {0}
    system = json.loads((folder.path / "results.json").read_text())["systems"][0]
    reasons = {
        one["reason"] for one in system["findings"] if one["criterion"] in {"WEB-01", "TLS-03", "NET-01"}
    }
    assert reasons == {"out-of-scope"}


TRICKS = (
    f"http://{OUTSIDE}:{{port}}/",
    "http://2131307785:{port}/",  # 127.9.9.9 as one number
    "http://0177.011.011.011:{port}/",
    "http://0x7f.9.9.9:{port}/",
    "http://127.9.2313:{port}/",
    "http://[::ffff:127.9.9.9]:{port}/",
    "http://[::ffff:7f09:909]:{port}/",
    "http://[fe80::1%25lo]:{port}/",
    "http://127.0.0.1@127.9.9.9:{port}/",
    "http://127.9.9.9:{port}\\@127.0.0.1/",
    "http://127.9.9.9#@127.0.0.1:{port}/",
    "http:\\\\127.9.9.9:{port}\\",
    "//127.9.9.9:{port}/",
    "/\\127.9.9.9:{port}/",
    "\\\\127.9.9.9:{port}/",
    "http://portal.test.127.9.9.9.nip.test:{port}/",
    "https://portal.test:{next}/",
    "http://portal.test.:{port}/dot",
    "ftp://127.9.9.9:{port}/",
    "http://①②⑦.⑨.⑨.⑨:{port}/",
    "http://127。9。9。9:{port}/",
    "http://127.9.9.9:{port}/\r\nLocation: http://127.9.9.9/",
)


@pytest.mark.parametrize("host", ["portal.test", INSIDE])
def test_redirects_lead_nowhere_else_however_they_are_written(host):
    context = Context(Scope(permissions=(Permission(network=f"{INSIDE}/32", limits=UNLIMITED),)))
    http = load_probes()["http"]
    for trick in TRICKS:
        with redirecting(trick) as (port, asked), alarms(port) as alarm:
            look = Endpoint(host=host, address=INSIDE, port=port, service="http")
            facts = http.collect(look, http.params(ask=("answer",)), context)
        assert asked, trick
        assert alarm == [], trick
        assert facts.left_host or facts.redirect_loop or facts.final is None, trick
