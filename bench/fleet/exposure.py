"""Open ports: databases, caches, clear-text services, approved or not, on every level."""

from __future__ import annotations

import socket

from bench.fleet.servers import Site, answer, tls_context
from bench.fleet.truth import At, Case
from bench.fleet.yard import Yard

WEB = 8443


def cases(yard: Yard) -> None:
    """All of them."""
    redis(yard)
    memcached(yard)
    others(yard)
    resolvers(yard)


def web(yard: Yard, name: str) -> str:
    """An address with a good site on it, so that there is a declared service."""
    address = yard.address()
    context = tls_context(yard.good.leaf(f"x-{name}", address))
    yard.serve(address, WEB, Site({"/": answer()}, tls=context))
    return address


def beside(
    yard: Yard, name: str, port: int, address: str, *, level: int = 3, approved: bool = False, **truth: str
) -> None:
    """A case of a site with something else open beside it."""
    ports = [WEB, port] if approved else [WEB]
    yard.add(
        Case(f"open-{name}", [At(address, WEB, "https")], level=level, approved={address: ports}, **truth)
    )  # type: ignore[arg-type]


def redis(yard: Yard) -> None:
    for name, port, approved, level, more, fails in (
        ("redis", 6379, False, 3, (), "NET-01 NET-02"),
        ("redis-approved", 6379, True, 3, (), "NET-02"),
        ("redis-password", 6379, False, 2, ("--requirepass", "x"), "NET-01 NET-02"),
        ("redis-odd-port", 16380, True, 3, (), ""),
        ("redis-level1", 6379, True, 1, (), "NET-02"),
        ("redis-sentinel-port", 26379, False, 4, (), "NET-01 NET-02"),
    ):
        address = web(yard, name)
        folder = yard.folder / name
        folder.mkdir()
        yard.run(
            "redis-server",
            "--port",
            str(port),
            "--bind",
            address,
            "--save",
            "",
            "--protected-mode",
            "no",
            "--dir",
            str(folder),
            *more,
            listens=[(address, port)],
        )
        beside(yard, name, port, address, level=level, approved=approved, fails=fails)
    # a database declared as a target: still a database on the Internet
    address = yard.address()
    folder = yard.folder / "redis-declared"
    folder.mkdir()
    yard.run(
        "redis-server",
        "--port",
        "6379",
        "--bind",
        address,
        "--save",
        "",
        "--protected-mode",
        "no",
        "--dir",
        str(folder),
        listens=[(address, 6379)],
    )
    yard.one("redis-declared", address, 6379, "redis", fails="NET-02", free="PAT-01 PAT-02 PAT-03")


def memcached(yard: Yard) -> None:
    for name, udp, fails in (
        ("memcached", "0", "NET-01 NET-02"),
        ("memcached-udp", "11211", "NET-01 NET-02 NET-06"),
    ):
        address = web(yard, name)
        yard.run(
            "memcached", "-l", address, "-p", "11211", "-U", udp, "-u", "nobody", listens=[(address, 11211)]
        )
        beside(yard, name, 11211, address, fails=fails)


def says(text: bytes):  # type: ignore[no-untyped-def]
    """A service that greets and then listens."""

    def handler(peer: socket.socket, _number: int) -> None:
        peer.sendall(text)
        while peer.recv(4096):
            pass

    return handler


def silent(peer: socket.socket, _number: int) -> None:
    """A service that waits for us."""
    while peer.recv(4096):
        pass


def others(yard: Yard) -> None:
    def case(
        name: str, port: int, handler: object, *, approved: bool = False, level: int = 3, **truth: str
    ) -> None:
        address = web(yard, name)
        yard.serve(address, port, handler)  # type: ignore[arg-type]
        beside(yard, name, port, address, approved=approved, level=level, **truth)

    case("telnet", 2323, says(b"\xff\xfd\x18\xff\xfd\x20\xff\xfb\x01login: "), fails="NET-01 NET-04")
    case("telnet-plain", 2323, says(b"\r\nWelcome\r\nlogin: "), approved=True, fails="NET-04")
    case("telnet-odd-port", 4000, says(b"\xff\xfd\x18\xff\xfb\x01login: "), fails="NET-01 NET-04")
    case("ftp-odd-port", 8021, says(b"220 FTP server ready\r\n"), approved=True, fails="NET-04")
    case("ftp-slow-port", 2121, says(b"220 (vsFTPd 3.0.5)\r\n"), fails="NET-01 NET-04")
    case("ftp-quiet-web-port", 8080, says(b"220 ready\r\n"), approved=True, free="NET-04")
    case("telnet-web-port", 8081, says(b"\r\nlogin: "), fails="NET-01 NET-04")
    case("telnet-broker-port", 1883, says(b"\xff\xfd\x18login: "), fails="NET-01 NET-04")
    case("ftp-database-port", 3306, says(b"220 FTP ready\r\n"), fails="NET-01 NET-02 NET-04")
    case("mysql", 3306, says(b"J\x00\x00\x00\x0a8.0.36\x00" + bytes(60)), fails="NET-01 NET-02")
    case("mongodb", 27017, silent, fails="NET-01 NET-02")
    case("mongodb-approved", 27017, silent, approved=True, fails="NET-02")
    case("oracle", 1521, silent, fails="NET-01 NET-02")
    case(
        "elasticsearch",
        9200,
        Site(
            {
                "/": answer(
                    headers={},
                    content_type="application/json",
                    body=b'{"version":{"number":"7.10.2"},"tagline":"You Know, for Search"}',
                )
            }
        ),
        fails="NET-01 NET-02",
    )
    case("rdp", 3389, silent, fails="NET-01 NET-03")
    case("vnc", 5901, says(b"RFB 003.008\n"), fails="NET-01 NET-03")
    case("winrm", 5985, silent, approved=True, fails="NET-03")
    case(
        "docker",
        2375,
        Site(
            {
                "/version": answer(
                    headers={},
                    content_type="application/json",
                    body=b'{"ApiVersion":"1.41","MinAPIVersion":"1.12","KernelVersion":"5.10"}',
                )
            }
        ),
        fails="NET-01 NET-05",
    )
    case("jenkins", 8080, Site({"/": answer(headers={"X-Jenkins": "2.4"})}), approved=True, fails="NET-05")
    case("plain-site", 8080, Site({"/": answer()}), fails="NET-01")
    case("plain-site-approved", 8080, Site({"/": answer()}), approved=True)
    case("ssh", 2222, says(b"SSH-2.0-OpenSSH_9.6\r\n"), fails="NET-01 ADM-01")
    case("ssh-odd-port", 8022, says(b"SSH-2.0-OpenSSH_9.6\r\n"), approved=True, fails="ADM-01")
    case("unlisted-port", 45678, silent)
    case("unlisted-port-level4", 45678, silent, level=4, fails="NET-01")
    case("unlisted-port-level5", 45678, silent, level=5, approved=True)
    # approved and closed is no fault
    address = web(yard, "approved-closed")
    yard.add(Case("open-approved-closed", [At(address, WEB, "https")], approved={address: [WEB, 5432, 22]}))
    # many open ports, all approved
    address = web(yard, "many")
    ports = [*range(9001, 9010), 8000, 8001, 8088]
    for port in ports:
        yard.serve(address, port, silent)
    yard.add(
        Case(
            "open-many-approved",
            [At(address, WEB, "https")],
            approved={address: [WEB, *ports]},
            free="NET-05",
        )
    )


def resolvers(yard: Yard) -> None:
    """UDP: services that answer strangers."""
    import threading

    def udp(address: str, port: int, reply) -> None:  # type: ignore[no-untyped-def]
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address, port))
        yard.stack.callback(sock.close)

        def serve() -> None:
            while True:
                try:
                    data, peer = sock.recvfrom(4096)
                    said = reply(data)
                    if said:
                        sock.sendto(said, peer)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()

    def ssdp(_data: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nUSN: uuid:1\r\nSERVER: x UPnP/1.0\r\n\r\n"

    address = web(yard, "ssdp")
    udp(address, 1900, ssdp)
    yard.add(Case("udp-ssdp", [At(address, WEB, "https")], fails="NET-06"))
    address = web(yard, "udp-silent")
    udp(address, 1900, lambda _: b"")
    udp(address, 11211, lambda _: b"")
    yard.add(Case("udp-silent", [At(address, WEB, "https")]))
    address = web(yard, "udp-noise")
    udp(address, 1900, lambda _: b"\x00garbage")
    yard.add(Case("udp-noise", [At(address, WEB, "https")], free="NET-06"))
