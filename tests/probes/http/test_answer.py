"""Real servers: nginx as it is configured in offices, and raw sockets that misbehave."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from seccheck.model import Reason
from seccheck.probes import Endpoint, ProbeFailed
from seccheck.probes.http import PROBE, HttpFacts, HttpParams
from seccheck.scope import UNLIMITED, Context, Permission, Scope
from tests.tools import free_port, running, tool

Answers = Callable[..., int]
HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"


def look(context: Context, port: int, service: str = "http", host: str = "localhost") -> HttpFacts:
    assert PROBE.collect
    endpoint = Endpoint(host=host, address="127.0.0.1", port=port, service=service)
    return PROBE.collect(endpoint, HttpParams(ask=("answer",)), context)


def failure(context: Context, port: int, service: str = "http") -> ProbeFailed:
    with pytest.raises(ProbeFailed) as caught:
        look(context, port, service)
    return caught.value


def doubts(facts: HttpFacts) -> dict[str, Reason]:
    return {entry.fact: entry.reason for entry in facts.undecided}


WEB = {"csp", "nosniff", "framing", "framing_refused", "cookies"}


# --------------------------------------------------------------------------------------------- a good portal


def test_a_portal_that_does_everything_right(nginx: Callable[..., None], context: Context) -> None:
    plain, secure = free_port(), free_port()
    nginx(
        f"""
        server {{ listen 127.0.0.1:{plain}; return 301 https://$host:{secure}$request_uri; }}
        server {{
          listen 127.0.0.1:{secure} ssl; CERTIFICATE server_tokens off;
          add_header Strict-Transport-Security "max-age=31536000; includeSubDomains" always;
          add_header Content-Security-Policy "default-src 'self'; frame-ancestors 'none'" always;
          add_header X-Content-Type-Options nosniff always;
          add_header Set-Cookie "PHPSESSID=secret123; Path=/; Secure; HttpOnly; SameSite=Lax" always;
          add_header X-Powered-By PHP/8.2.7;
          location / {{ return 200 "hello"; default_type text/html; }}
        }}""",
        plain,
        secure,
    )
    facts = look(context, plain)
    assert facts.redirects_to_https is True
    assert facts.content_bytes is not None
    assert 0 < facts.content_bytes < 400
    assert facts.hops is not None
    assert [(hop.status, hop.secure, hop.same_host) for hop in facts.hops] == [
        (301, False, True),
        (200, True, True),
    ]
    assert facts.hops[0].location == f"https://localhost:{secure}/"
    assert facts.final is not None
    assert facts.final.url == f"https://localhost:{secure}/"
    assert facts.final == facts.first_secure
    assert facts.final.content_type == "text/html"
    assert facts.hsts is not None
    assert (facts.hsts.max_age, facts.hsts.include_subdomains) == (31536000, True)
    assert facts.csp is not None
    assert (facts.csp.present, facts.csp.wildcard) == (True, False)
    assert facts.nosniff is True
    assert (facts.framing, facts.framing_refused) == ("frame-ancestors", True)
    assert facts.cookies is not None
    (cookie,) = facts.cookies
    assert (cookie.name, cookie.session, cookie.secure, cookie.http_only, cookie.same_site) == (
        "PHPSESSID", True, True, True, "Lax",
    )  # fmt: skip
    assert facts.server == "nginx"
    assert facts.powered_by == "PHP/8.2.7"
    assert facts.clock_skew is not None
    assert abs(facts.clock_skew) <= 2
    assert facts.undecided == ()
    assert "secret123" not in str(facts)  # the value of a cookie is not kept
    assert context.connections == 2

    again = look(context, secure, "https")
    assert again.redirects_to_https is None
    assert again.hsts == facts.hsts


def test_a_server_as_it_comes(nginx: Callable[..., None], context: Context) -> None:
    port = free_port()
    nginx(f'server {{ listen 127.0.0.1:{port} ssl; CERTIFICATE location / {{ return 404 "no"; }} }}', port)
    facts = look(context, port, "https")
    assert facts.final is not None
    assert facts.final.status == 404
    assert facts.hsts is not None
    assert not facts.hsts.present
    assert facts.csp is not None
    assert not facts.csp.present
    assert facts.nosniff is False
    assert (facts.framing, facts.framing_refused) == ("none", False)
    assert facts.cookies == ()
    assert facts.server is not None
    assert facts.server.startswith("nginx/1.")


def test_headers_are_read_at_the_end_of_the_way(nginx: Callable[..., None], context: Context) -> None:
    port = free_port()
    nginx(
        f"""server {{ listen 127.0.0.1:{port} ssl; CERTIFICATE absolute_redirect off;
        location = / {{ add_header X-Frame-Options DENY always; return 302 /login?next=%2F; }}
        location /login {{ add_header X-Frame-Options ALLOWALL; return 200 "login"; }} }}""",
        port,
    )
    facts = look(context, port, "https")
    assert facts.final is not None
    assert facts.final.url == f"https://localhost:{port}/login?next=%2F"
    assert (facts.framing, facts.framing_refused) == ("other", False)


def test_over_ipv6(nginx: Callable[..., None], context: Context) -> None:
    port = free_port("::1")
    other = free_port()
    nginx(
        f"""server {{ listen [::1]:{port}; listen 127.0.0.1:{other};
        location / {{ return 200 "$http_host"; }} }}""",
        other,
    )
    assert PROBE.collect
    endpoint = Endpoint(host="::1", address="::1", port=port, service="http")
    facts = PROBE.collect(endpoint, HttpParams(), context)
    assert facts.final is not None
    assert facts.final.url == f"http://[::1]:{port}/"
    assert facts.content_bytes == len(f"[::1]:{port}")


# ------------------------------------------------------------------------------------------------- redirects


def redirect(to: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/",
        "//evil.example/",
        "https:\\\\evil.example\\",
        "/\\evil.example/",
        "https://localhost@evil.example/",
        "https://localhost.evil.example/",
        "ftp://localhost/",
        "javascript:alert(1)",
        "http://[::1",
        "http://localhost:99999/",
        "http://localhost:25/",
        "http://127.0.0.2/",
    ],
)
def test_a_redirect_that_leaves_is_not_followed(answers: Answers, context: Context, to: str) -> None:
    facts = look(context, answers(redirect(to)))
    assert facts.left_host is True
    assert facts.redirects_to_https is False
    assert facts.final is None
    assert {doubts(facts)[name] for name in WEB} == {Reason.OUT_OF_SCOPE}
    assert doubts(facts)["hsts"] is Reason.NOT_OFFERED
    assert facts.hsts is None
    assert context.connections == 1


def test_hsts_is_told_by_the_first_https_answer_when_a_redirect_leaves(
    answers: Answers, context: Context
) -> None:
    port = answers(
        b"HTTP/1.1 302 Found\r\nLocation: https://sso.example/\r\n"
        b"Strict-Transport-Security: max-age=63072000\r\nContent-Length: 0\r\n\r\n",
        secure=True,
    )
    facts = look(context, port, "https")
    assert facts.hsts is not None
    assert facts.hsts.max_age == 63072000
    assert "hsts" not in doubts(facts)
    assert doubts(facts)["csp"] is Reason.OUT_OF_SCOPE


def test_a_loop_and_an_endless_way(serve: Callable[..., int], context: Context) -> None:
    def endless(connection: socket.socket) -> None:
        path = read(connection).split()[1].decode()
        connection.sendall(redirect(path + "x"))

    port = serve(endless)
    facts = look(context, port)
    assert facts.redirect_loop is True
    assert facts.hops is not None
    assert len(facts.hops) == 6
    assert context.connections == 6
    assert doubts(facts)["nosniff"] is Reason.OUT_OF_SCOPE

    def loop(connection: socket.socket) -> None:
        read(connection)
        connection.sendall(redirect("/"))

    facts = look(context, serve(loop))
    assert facts.redirect_loop is True
    assert facts.hops is not None
    assert len(facts.hops) == 1


def read(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(4096)
    return data


def test_a_redirect_to_a_place_that_does_not_answer(answers: Answers, context: Context) -> None:
    closed = free_port()
    facts = look(context, answers(redirect(f"https://localhost:{closed}/")))
    assert facts.redirects_to_https is True
    assert {doubts(facts)[name] for name in WEB} == {Reason.UNREACHABLE}
    assert facts.left_host is False


def test_a_redirect_is_dialled_at_the_address_of_the_target_only(answers: Answers) -> None:
    """The scope allows one address, and the name in the redirect is not resolved."""
    port = answers(HTML + b"\r\nok", secure=True)
    first = answers(redirect(f"https://LOCALHOST.:{port}/a b?c=d e#f"))
    context = Context(Scope(permissions=(Permission(network="127.0.0.1/32", limits=UNLIMITED),)))
    facts = look(context, first)
    assert facts.final is not None
    assert facts.final.url == f"https://localhost:{port}/a%20b?c=d%20e"


# ------------------------------------------------------------------------------------ servers that misbehave


def test_a_sloppy_head_is_still_read(answers: Answers, context: Context) -> None:
    port = answers(
        b"HTTP/1.1 200\nContent-Type : text/html\nthis is no header\nX-Frame-Options: DENY\n"
        b"X-Frame-Options: ALLOWALL\nContent-Security-Policy: default-src 'self';\n   img-src *\n"
        b"Bad Name: x\nX-Bell: \x07\x00\x1b[31m\nContent-Length: 4\nContent-Length: 9\n\nbody"
    )
    facts = look(context, port)
    assert facts.final is not None
    assert facts.final.content_type == "text/html"
    assert facts.framing == "deny"  # of a header sent twice the first counts
    assert facts.csp is not None
    assert not facts.csp.wildcard
    assert facts.content_bytes == 4
    bell = next(header.value for header in facts.final.headers if header.name == "x-bell")
    assert "\x1b" not in bell


def test_an_answer_in_crumbs_and_chunks(serve: Callable[..., int], context: Context) -> None:
    text = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + HTML +
        b"Transfer-Encoding: chunked\r\nX-Content-Type-Options: NoSniff, x\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )  # fmt: skip

    def crumbs(connection: socket.socket) -> None:
        read(connection)
        for index in range(len(text)):
            connection.sendall(text[index : index + 1])

    facts = look(context, serve(crumbs))
    assert facts.final is not None
    assert facts.final.status == 200
    assert facts.content_bytes == 5
    assert facts.nosniff is True


def test_broken_chunks_keep_the_headers(answers: Answers, context: Context) -> None:
    facts = look(
        context, answers(HTML + b"Transfer-Encoding: chunked\r\nX-Frame-Options: deny\r\n\r\n5\r\nhelloZZ")
    )
    assert facts.framing == "deny"
    assert facts.content_bytes == 5


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", Reason.NOT_OFFERED),
        (b"<html>no head</html>\r\n\r\n", Reason.NOT_OFFERED),
        (b"HTTP/1.1 abc\r\n\r\n", Reason.NOT_OFFERED),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000, Reason.NOT_OFFERED),
        (b"HTTP/1.1 200 OK\r\nX-Frame-Options: DENY\r\n", Reason.UNREACHABLE),
        (b"", Reason.UNREACHABLE),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 9, Reason.NOT_OFFERED),
        (b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n", Reason.RATE_LIMITED),
    ],
)
def test_what_is_no_answer_is_a_failure_with_a_reason(
    answers: Answers, context: Context, said: bytes, reason: Reason
) -> None:
    assert failure(context, answers(said)).reason is reason


def test_bodies_are_bounded(answers: Answers, context: Context) -> None:
    port = answers(HTML + b"\r\n", *[b"x" * 100_000] * 50)
    began = time.monotonic()
    facts = look(context, port)
    assert facts.content_bytes == 64 * 1024
    assert time.monotonic() - began < 5


def test_a_compressed_bomb_is_not_unpacked(answers: Answers, context: Context) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    facts = look(context, answers(head + bomb))
    assert facts.final is not None
    assert facts.content_bytes == len(bomb)


def test_one_lost_connection_is_tried_again(serve: Callable[..., int], context: Context) -> None:
    seen = []

    def flaky(connection: socket.socket) -> None:
        seen.append(read(connection))
        if len(seen) > 1:
            connection.sendall(HTML + b"Content-Length: 2\r\n\r\nok")

    facts = look(context, serve(flaky))
    assert facts.final is not None
    assert len(seen) == 2


def test_nobody_there_and_out_of_scope(context: Context, answers: Answers) -> None:
    assert failure(context, free_port()).reason is Reason.UNREACHABLE
    port = answers(HTML + b"\r\n")
    assert failure(Context(Scope()), port).reason is Reason.OUT_OF_SCOPE


def test_https_that_is_not(nginx: Callable[..., None], context: Context) -> None:
    port = free_port()
    nginx(f"server {{ listen 127.0.0.1:{port}; }}", port)
    assert failure(context, port, "https").reason is Reason.NOT_OFFERED


def test_a_slow_talker_does_not_hold_us(
    serve: Callable[..., int], context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seccheck.probes.http.client.SECONDS", 1.0)

    def slow(connection: socket.socket) -> None:
        read(connection)
        for _ in range(40):
            connection.sendall(b"H")
            time.sleep(0.1)

    began = time.monotonic()
    assert failure(context, serve(slow)).reason is Reason.TIMEOUT
    assert time.monotonic() - began < 6


# -------------------------------------------------------------------------------- client certificates, clock


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_nginx_that_wants_a_client_certificate(
    nginx: Callable[..., None], context: Context, certificate: Path, version: str
) -> None:
    port = free_port()
    nginx(
        f"""server {{ listen 127.0.0.1:{port} ssl; CERTIFICATE ssl_protocols {version};
        ssl_verify_client on; ssl_client_certificate {certificate}; location / {{ return 200 "in"; }} }}""",
        port,
    )
    facts = look(context, port, "https")
    assert facts.final is not None
    assert facts.final.status == 400
    assert {doubts(facts)[name] for name in (*WEB, "hsts")} == {Reason.ACCESS}


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_handshake_that_wants_a_client_certificate(
    context: Context, certificate: Path, version: str
) -> None:
    port = free_port()
    command = [
        "s_server",
        "-accept",
        f"127.0.0.1:{port}",
        "-cert",
        certificate,
        "-key",
        certificate,
        "-Verify",
        "1",
    ]
    with running(tool("openssl"), *command, "-www", version, ports=(port,)):
        assert failure(context, port, "https").reason is Reason.ACCESS


def test_the_clock_of_the_server(answers: Answers, context: Context) -> None:
    ahead = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    facts = look(context, answers(HTML + f"Date: {ahead}\r\n\r\n".encode()))
    assert facts.clock_skew is not None
    assert 595 < facts.clock_skew < 605
    facts = look(context, answers(HTML + b"Date: yesterday\r\n\r\n"))
    assert facts.clock_skew is None
    assert doubts(facts)["clock_skew"] is Reason.UNDISCLOSED
