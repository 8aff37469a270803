"""What is served and should not be: real files behind nginx, and servers that answer 200 to anything."""

from __future__ import annotations

import io
import json
import re
import socket
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from seccheck.model import Reason
from seccheck.probes import Endpoint
from seccheck.probes.http import PROBE, HttpFacts, HttpParams
from seccheck.probes.http.client import Answer
from seccheck.probes.http.sample import count
from seccheck.probes.http.signatures import table
from seccheck.scope import UNLIMITED, Context, Permission, Scope
from tests.tools import free_port

Nginx = Callable[..., None]
Handle = Callable[[str, dict[str, str]], tuple[int, str, bytes]]


def look(context: Context, port: int, *ask: str, service: str = "http") -> HttpFacts:
    assert PROBE.collect
    endpoint = Endpoint(host="localhost", address="127.0.0.1", port=port, service=service)
    return PROBE.collect(endpoint, HttpParams(ask=ask or ("paths",)), context)  # type: ignore[arg-type]


def doubts(facts: HttpFacts) -> dict[str, Reason]:
    return {entry.fact: entry.reason for entry in facts.undecided}


def found(exposures: tuple[object, ...] | None) -> dict[str, str]:
    assert exposures is not None
    return {one.path: one.kind for one in exposures}  # type: ignore[attr-defined]


LEAKS = ("exposures", "listings", "debug_pages", "consoles", "devices")


@pytest.fixture
def site(serve: Callable[..., int]) -> Callable[[Handle], int]:
    """Start a server of kept connections that answers by a function of path and headers."""

    def start(handle: Handle) -> int:
        def talk(connection: socket.socket) -> None:
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    more = connection.recv(65536)
                    if not more:
                        return
                    data += more
                head, _, data = data.partition(b"\r\n\r\n")
                line, *fields = head.decode("latin-1").split("\r\n")
                method, path, _ = line.split(" ")
                named = {
                    name.lower(): value for name, _, value in (field.partition(": ") for field in fields)
                }
                status, extra, body = handle(
                    path, {**named, "method": method, "head": head.decode("latin-1")}
                )
                if status == 0:
                    return
                start = f"HTTP/1.1 {status} X\r\n{extra}Content-Length: {len(body)}\r\n\r\n".encode()
                connection.sendall(start + body)

        return serve(talk)

    return start


HTML = "Content-Type: text/html\r\n"


# ------------------------------------------------------------------------------------------------ real files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "www"
    files: dict[str, str | bytes] = {
        "index.html": '<title>Home</title><a href="/pages/one.html">one</a><img src="img/logo.png">',
        "pages/one.html": "one",
        "img/logo.png": b"\x89PNG",
        ".git/HEAD": "ref: refs/heads/main\n",
        ".git/config": "[core]\n\trepositoryformatversion = 0\n\tbare = false\n",
        ".env": "# settings\n\nAPP_KEY=base64:abcdef\nDB_PASSWORD=secret\n",
        ".htpasswd": "admin:$apr1$abcdefgh$ijklmnopqrstuvwx\n",
        "wp-config.php.bak": "<?php\ndefine('DB_PASSWORD', 'x');\n",
        "backup.sql": "-- MySQL dump 10.13\n--\n-- Host: localhost\n\nCREATE TABLE `users` (\n",
        "server.key": "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n",
        "phpinfo.php": "<html><head><title>PHP 8.2.7 - phpinfo()</title></head>",
        "adminer.php": "<title>Login - Adminer</title>",
        "wp-login.php": '<form name="loginform" id="loginform" method="post">',
        ".well-known/security.txt": "Contact: mailto:soc@example.gov.vn\nExpires: 2099-01-01T00:00:00Z\n",
        "localhost.zip": b"PK\x03\x04" + bytes(200_000),
    }
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(__file__, "a.py")
    files["backup.tar.gz"] = b"\x1f\x8b\x08" + bytes(100)
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    (root / "uploads").mkdir()
    return root


def test_files_that_should_not_be_served(nginx: Nginx, folder: Path, context: Context) -> None:
    port = free_port()
    nginx(f"server {{ listen 127.0.0.1:{port}; root {folder}; autoindex on; }}", port)
    facts = look(context, port)
    assert found(facts.exposures) == {
        "/.git/HEAD": "git",
        "/.git/config": "git",
        "/.env": "env",
        "/.htpasswd": "passwords",
        "/wp-config.php.bak": "backup",
        "/backup.sql": "dump",
        "/server.key": "private-key",
        "/localhost.zip": "backup",
        "/backup.tar.gz": "backup",
    }
    assert found(facts.listings) == {
        "/uploads/": "listing", "/.git/": "listing", "/pages/": "listing", "/img/": "listing",
    }  # fmt: skip
    assert found(facts.debug_pages) == {"/phpinfo.php": "phpinfo"}
    assert found(facts.consoles) == {"/adminer.php": "adminer", "/wp-login.php": "wordpress"}
    assert facts.devices == ()
    assert facts.security_txt is not None
    assert facts.security_txt.contacts == ("mailto:soc@example.gov.vn",)
    assert facts.security_txt.problems == ("not-https",)
    assert not facts.security_txt.expired
    assert facts.undecided == ()
    assert facts.paths_asked is not None
    assert facts.paths_asked > 150
    assert context.connections <= 6  # kept open; closed only where a body is longer than its bound
    assert "secret" not in str(facts)


def test_a_site_with_nothing_to_hide(nginx: Nginx, tmp_path: Path, context: Context) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "index.html").write_text("<title>Home</title>")
    port = free_port()
    nginx(f"server {{ listen 127.0.0.1:{port}; root {tmp_path}/www; }}", port)
    facts = look(context, port, "paths", "methods", "cors", "sample")
    assert [getattr(facts, name) for name in LEAKS] == [(), (), (), (), ()]
    assert facts.security_txt is not None
    assert not facts.security_txt.present
    assert facts.trace is False
    assert facts.cors is not None
    assert not facts.cors.reflects
    assert facts.people_on_one_page == 0
    assert facts.undecided == ()
    assert facts.hops is None


@pytest.mark.parametrize(
    "body",
    [
        b"<html><title>Not found</title>Nothing here",
        b"",
        b"{}",
        b"OK",
        b"<form><input type='password'></form>",
        b"PK\x03\x04 everything is an archive",
        b"APP=1\nKEY=2\n",
        b"<title>Index of /</title>",
    ],
)
def test_200_for_everything_proves_nothing(
    site: Callable[[Handle], int], context: Context, body: bytes
) -> None:
    facts = look(context, site(lambda path, _: (200, HTML, body)))
    assert facts.exposures == ()
    assert facts.debug_pages == ()
    assert facts.consoles == ()
    assert facts.devices == ()
    assert facts.listings in {(), *([facts.listings] if b"Index of" in body else [])}


def test_a_page_that_repeats_the_path_proves_nothing(site: Callable[[Handle], int], context: Context) -> None:
    def echo(path: str, _: dict[str, str]) -> tuple[int, str, bytes]:
        return 200, HTML, f"<title>{path} was not found</title><h1>Index: {path}</h1>".encode()

    facts = look(context, site(echo))
    assert [getattr(facts, name) for name in LEAKS] == [(), (), (), (), ()]


@pytest.mark.parametrize(
    ("path", "answer", "fact", "kind"),
    [
        ("/manager/html", (401, 'WWW-Authenticate: Basic realm="Tomcat Manager Application"\r\n', b""),
         "consoles", "tomcat-manager"),
        ("/login", (200, "X-Jenkins: 2.440\r\n", b"<title>Sign in [Jenkins]</title>"), "consoles", "jenkins"),
        ("/quantri/", (200, HTML, b'<input name="p" type="password">'), "consoles", "admin-login"),
        ("/admin/", (200, HTML, b'<h1 id="site-name"><a href="/admin/">Django administration</a></h1>'),
         "consoles", "django"),
        ("/actuator", (200, "", json.dumps({"_links": {"self": {}, "env": {"href": "http://h/actuator/env"}}}).encode()),
         "debug_pages", "actuator"),
        ("/actuator/env", (200, "", b'{"propertySources":[]}'), "debug_pages", "actuator-env"),
        ("/server-status", (200, HTML, b"<title>Apache Status</title>"), "debug_pages", "apache-status"),
        ("/nginx_status", (200, "", b"Active connections: 2 \nserver accepts handled requests\n"),
         "debug_pages", "nginx-status"),
        ("/metrics", (200, "", b"# HELP go_gc x\n"), "debug_pages", "metrics"),
        ("/", (200, HTML, b"<title>pfSense - Login</title>"), "devices", "pfsense"),
        ("/", (401, 'WWW-Authenticate: Basic realm="level_15_access"\r\n', b""), "devices", "router"),
        ("/", (200, "Server: App-webs/\r\n", b"x"), "devices", "hikvision"),
        ("/.svn/wc.db", (200, "", b"SQLite format 3\0" + bytes(100)), "exposures", "subversion"),
        ("/web.config", (200, "", b'<?xml version="1.0"?>\n<configuration>\n<appSettings>'),
         "exposures", "configuration"),
        ("/.aws/credentials", (206, "", b"[default]\naws_access_key_id = x\n"), "exposures", "credentials"),
        ("/dump.sql", (200, "", b"\xff\xfeU\0S\0E\0 \0[\0"), "exposures", "dump"),
        ("/", (200, HTML, b"<html><head><title>Index of /</title></head><body><h1>Index of /</h1>"),
         "listings", "listing"),
        ("/files/", (200, HTML, b'<pre><A HREF="/">[To Parent Directory]</A>'), "listings", "listing"),
    ],
)  # fmt: skip
def test_known_by_their_content(
    site: Callable[[Handle], int],
    context: Context,
    path: str,
    answer: tuple[int, str, bytes],
    fact: str,
    kind: str,
) -> None:
    facts = look(context, site(lambda asked, _: answer if asked == path else (404, "", b"no")))
    for name in LEAKS:
        assert found(getattr(facts, name)) == ({path: kind} if name == fact else {}), name


def test_what_is_refused_is_not_served(site: Callable[[Handle], int], context: Context) -> None:
    def refuse(path: str, _: dict[str, str]) -> tuple[int, str, bytes]:
        return (200, HTML, b"home") if path == "/" else (403, HTML, b"[core]\nrepositoryformatversion = 0")

    facts = look(context, site(refuse))
    assert [getattr(facts, name) for name in LEAKS] == [(), (), (), (), ()]
    assert facts.undecided == ()


def test_an_actuator_that_only_tells_its_health(site: Callable[[Handle], int], context: Context) -> None:
    body = json.dumps({"_links": {"self": {}, "health": {"href": "http://h/actuator/health"}}}).encode()
    assert look(context, site(lambda path, _: (200, "", body))).debug_pages == ()


@pytest.mark.parametrize(
    "page",
    [
        b"<b>Fatal error</b>: Uncaught Error in /var/www/x.php:3\nStack trace:\n#0",
        b"java.lang.NullPointerException\n\tat org.example.Servlet.doGet(Servlet.java:12)\n",
        b"Traceback (most recent call last):\n",
        b"You're seeing this error because you have <code>DEBUG = True</code> in your Django settings",
        b"Error: no\n    at Layer.handle (/srv/app/node_modules/express/lib/router/layer.js:95:5)",
        b"<b>Stack Trace:</b> <br>[HttpException]",
    ],
)
def test_stack_traces_on_paths_that_do_not_exist(
    site: Callable[[Handle], int], context: Context, page: bytes
) -> None:
    def handle(path: str, _: dict[str, str]) -> tuple[int, str, bytes]:
        return (200, HTML, b"home") if path == "/" else (404, HTML, page)

    facts = look(context, site(handle))
    assert facts.debug_pages is not None
    assert [page.kind for page in facts.debug_pages] == ["stack-trace"]


# ---------------------------------------------------------------------------------------- unwelcome visitors


def test_429_in_the_middle(site: Callable[[Handle], int], context: Context) -> None:
    seen: list[str] = []

    def limited(path: str, _: dict[str, str]) -> tuple[int, str, bytes]:
        seen.append(path)
        return (200 if len(seen) == 1 else 404 if len(seen) < 20 else 429, HTML, b"x")

    facts = look(context, site(limited))
    assert {doubts(facts)[name] for name in (*LEAKS, "security_txt")} == {Reason.RATE_LIMITED}
    assert len(seen) < 25


def test_a_block_in_the_middle_is_noticed(site: Callable[[Handle], int], context: Context) -> None:
    seen: list[str] = []

    def blocked(path: str, _: dict[str, str]) -> tuple[int, str, bytes]:
        seen.append(path)
        return (403, HTML, b"blocked") if len(seen) > 30 else (200 if path == "/" else 404, HTML, b"x")

    facts = look(context, site(blocked))
    assert doubts(facts)["exposures"] is Reason.RATE_LIMITED


def test_a_wall_that_cuts_off_bad_paths_refuses_them(site: Callable[[Handle], int], context: Context) -> None:
    def wall(path: str, _: dict[str, str]) -> tuple[int, str, bytes]:
        if path.startswith("/.git/"):
            return 0, "", b""
        return (200, HTML, b"home") if path == "/" else (404, HTML, b"")

    facts = look(context, site(wall))
    assert facts.exposures == ()
    assert facts.undecided == ()


def test_a_server_that_goes_away(serve: Callable[..., int], context: Context) -> None:
    seen = []

    def mortal(connection: socket.socket) -> None:
        while connection.recv(65536) and len(seen) < 20:
            seen.append(1)
            connection.sendall(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n")

    facts = look(context, serve(mortal))
    assert {doubts(facts)[name] for name in LEAKS} == {Reason.RATE_LIMITED}


def test_questions_keep_the_pace_of_connections(site: Callable[[Handle], int]) -> None:
    limits = UNLIMITED.__class__(connections_per_second=20, connections_at_once=1)
    context = Context(Scope(permissions=(Permission(network="127.0.0.0/8", limits=limits),)))
    times: list[float] = []

    def handle(path: str, _: dict[str, str]) -> tuple[int, str, bytes]:
        times.append(time.monotonic())
        return 429 if len(times) > 10 else 404, "", b""

    look(context, site(handle))
    assert times[10] - times[1] > 9 / 20 * 0.9


# ---------------------------------------------------------------------------------------------- security.txt

SECURITY = "Contact: https://example.gov.vn/report\nExpires: 2099-01-01T00:00:00+07:00\n"


def read(text: str, **more: str) -> tuple[bool, tuple[str, ...]]:
    from datetime import UTC, datetime

    from seccheck.probes.http.exposure import read_security_txt

    kind = more.get("kind", "text/plain; charset=utf-8")
    url = more.get("url", "https://h/.well-known/security.txt")
    answer = Answer(url, "/", 200, (("content-type", kind),), text.encode(), complete=True)
    found = read_security_txt(
        more.get("path", "/.well-known/security.txt"), answer, datetime(2026, 11, 23, tzinfo=UTC)
    )
    return found.present, (*found.problems, *(["expired"] if found.expired else []))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SECURITY, (True, ())),
        (SECURITY.replace("\n", "\r\n"), (True, ())),
        ("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n" + SECURITY, (True, ())),
        (SECURITY.replace("2099", "2020"), (True, ("expired",))),
        ("Contact: soc@example.gov.vn\n", (True, ("contact-not-uri", "no-expires"))),
        (SECURITY + "Expires: 2098-01-01T00:00:00Z\n", (True, ("several-expires",))),
        (SECURITY.replace("2099-01-01T00:00:00+07:00", "next year"), (True, ("expires-not-date",))),
        ("<html>Contact: us</html>", (False, ())),
        ("Nothing", (False, ())),
    ],
)
def test_security_txt(text: str, expected: tuple[bool, tuple[str, ...]]) -> None:
    assert read(text) == expected


def test_security_txt_served_wrongly() -> None:
    assert read(SECURITY, kind="text/html", url="http://h/security.txt", path="/security.txt") == (
        True,
        ("not-text-plain", "not-https", "not-well-known"),
    )


# -------------------------------------------------------------------------------------------- TRACE and CORS


def test_trace(site: Callable[[Handle], int], context: Context) -> None:
    def echo(path: str, request: dict[str, str]) -> tuple[int, str, bytes]:
        if request["method"] == "TRACE":
            return 200, "Content-Type: message/http\r\n", request["head"].encode()
        return 200, HTML, b"x"

    assert look(context, site(echo), "methods").trace is True
    assert look(context, site(lambda path, _: (200, HTML, b"x")), "methods").trace is False


def test_trace_that_is_cut_off_is_refused(site: Callable[[Handle], int], context: Context) -> None:
    def cut(path: str, request: dict[str, str]) -> tuple[int, str, bytes]:
        return (0, "", b"") if request["method"] == "TRACE" else (200, HTML, b"x")

    assert look(context, site(cut), "methods").trace is False


@pytest.mark.parametrize(
    ("allow", "credentials", "expected"),
    [
        (lambda origin: origin, True, (True, True)),
        (lambda origin: origin, False, (True, False)),
        (lambda origin: "*", True, (False, False)),
        (lambda origin: "null" if origin == "null" else "", True, (True, True)),
        (lambda origin: origin if re.match(r"https://localhost", origin) else "", True, (True, True)),
        (lambda origin: "https://partner.example.gov.vn", True, (False, False)),
        (lambda origin: "", False, (False, False)),
    ],
)
def test_cors(
    site: Callable[[Handle], int],
    context: Context,
    allow: Callable[[str], str],
    credentials: bool,
    expected: tuple[bool, bool],
) -> None:
    def handle(path: str, request: dict[str, str]) -> tuple[int, str, bytes]:
        named = allow(request["origin"]) if "origin" in request else ""
        fields = f"Access-Control-Allow-Origin: {named}\r\n" if named else ""
        return 200, fields + ("Access-Control-Allow-Credentials: true\r\n" if credentials else ""), b"x"

    cors = look(context, site(handle), "cors").cors
    assert cors is not None
    assert (cors.reflects, cors.reflects_with_credentials) == expected


# ----------------------------------------------------------------------------------------------- identifiers


def citizen(index: int) -> str:
    return f"0010{90 + index % 9}{index:06}"


def page_of(text: str | bytes) -> Answer:
    body = text if isinstance(text, bytes) else text.encode()
    return Answer("http://h/", "/", 200, (), body, complete=True)


def test_citizen_numbers_are_counted_once_each() -> None:
    text = f"{citizen(1)} {citizen(2)} {citizen(1)} 001 090 123 456 2024010112300 202401011230 000000000000"
    assert count("/", page_of(text), 2026).citizen_ids == 3
    assert count("/", page_of("001399123456"), 2026).citizen_ids == 0  # born in 2099
    assert count("/", page_of("001212123456"), 2026).citizen_ids == 1  # born in 2012
    assert count("/", page_of("003090123456"), 2026).citizen_ids == 0  # no such province
    assert count("/", page_of("0010901234567 x-001090123456-1 1.001090123456"), 2026).citizen_ids == 0


def test_insurance_and_phone_numbers() -> None:
    page = count("/", page_of("Mã số BHXH: 0123456789, 7912345678; GD4010123456789; 0912 345 678"), 2026)
    assert (page.insurance_numbers, page.phone_numbers) == (2, 1)
    assert count("/", page_of("Mã số thuế: 0123456789"), 2026).insurance_numbers == 0
    assert count("/", page_of("Hotline 0912.345.678, +84 912 345 678, 0987654321"), 2026).phone_numbers == 2


def workbook(*values: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(
            "xl/sharedStrings.xml", "<sst>" + "".join(f"<si><t>{v}</t></si>" for v in values) + "</sst>"
        )
        archive.writestr("xl/worksheets/sheet1.xml", "<sheet/>" * 1000)
    return stream.getvalue()


def test_spreadsheets_are_read() -> None:
    numbers = [citizen(index) for index in range(50)]
    assert count("/a.xlsx", page_of(workbook(*numbers)), 2026).citizen_ids == 50
    assert count("/a.xlsx", page_of(workbook(*numbers)[:400]), 2026).citizen_ids <= 50
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", b"0" * 50_000_000)
    began = time.monotonic()
    assert count("/b.xlsx", page_of(bomb.getvalue()), 2026).citizen_ids == 0
    assert time.monotonic() - began < 5


def test_a_list_behind_a_link(site: Callable[[Handle], int], context: Context) -> None:
    people = "\n".join(f"{citizen(index)},Nguyễn Văn A,09123456{index:02}" for index in range(40))
    pages = {
        "/": b'<a href="/tin-tuc">x</a><a href="/danh-sach">y</a><a href="/logout">z</a><a href="http://evil.example/">',
        "/danh-sach": b'<a href="/files/danh%20sach%20001090000001.csv?x=1&amp;y=2">csv</a>',
        "/tin-tuc": b"001090000001",
        "/files/danh%20sach%20001090000001.csv?x=1&y=2": people.encode(),
    }
    asked: list[str] = []

    def handle(path: str, _: dict[str, str]) -> tuple[int, str, bytes]:
        asked.append(path)
        return (200, HTML, pages[path]) if path in pages else (404, HTML, b"001090000001")

    facts = look(context, site(handle), "sample")
    assert facts.sampled is not None
    worst = facts.sampled[0]
    assert (worst.citizen_ids, worst.phone_numbers, worst.people) == (40, 40, 40)
    assert worst.path == "/files/danh%20sach%20….csv?x=1&y=2"
    assert facts.people_on_one_page == 40
    assert len(facts.sampled) == 4
    assert "/logout" not in asked
    assert "001090" not in str(facts)  # no value is kept, wherever it stood


def test_a_list_whose_numbers_stand_after_a_comma() -> None:
    for before in ("Nguyễn Văn A,", "7,", '"A","', "A;", "A\t"):
        people = "\n".join(f"{before}{citizen(index)},x" for index in range(40))
        assert count("/a.csv", page_of(people), 2026).people == 40, before
    insured = "BHXH\n" + "\n".join(f"{index},01{index:08}" for index in range(40))
    assert count("/a.csv", page_of(insured), 2026).insurance_numbers == 40


def test_a_sample_that_was_cut_short_is_in_doubt(site: Callable[[Handle], int], context: Context) -> None:
    asked: list[str] = []

    def handle(path: str, _: dict[str, str]) -> tuple[int, str, bytes]:
        asked.append(path)
        return (200, HTML, b"<a href=/a>x</a>") if path == "/" else (429, HTML, b"")

    facts = look(context, site(handle), "sample")
    assert [(one.fact, one.member, one.reason) for one in facts.undecided] == [
        ("sampled", "/a", Reason.RATE_LIMITED)
    ]
    assert [page.path for page in facts.sampled or ()] == ["/"]
    assert asked == ["/", "/a"]  # who has had enough is left alone


def test_behind_a_client_certificate_nothing_was_seen(
    site: Callable[[Handle], int], context: Context
) -> None:
    page = b"<html><center>No required SSL certificate was sent</center></html>"
    facts = look(context, site(lambda path, _: (400, HTML, page)), "paths", "methods", "cors", "sample")
    assert set(doubts(facts).values()) == {Reason.ACCESS}
    assert {"exposures", "listings", "debug_pages", "consoles", "devices", "trace", "cors", "sampled"} <= set(
        doubts(facts)
    )
    assert facts.exposures is None


def test_nothing_to_sample(site: Callable[[Handle], int], context: Context) -> None:
    facts = look(context, site(lambda path, _: (403, HTML, b"")), "sample")
    assert doubts(facts) == {"sampled": Reason.ACCESS, "people_on_one_page": Reason.ACCESS}
    facts = look(context, site(lambda path, _: (500, HTML, b"")), "sample")
    assert doubts(facts)["sampled"] is Reason.NO_DATA


# ------------------------------------------------------------------------------------------------- the table


def test_every_signature_is_usable_and_safe_on_hostile_text() -> None:
    signatures = (*table().by_path, table().listing, table().stack_trace)
    assert len(signatures) > 130
    fuel = [b"<title>" * 9000, b"at a(" * 13000, b'"_links"' * 8000, b"[core]\n" * 9000, b" - /" * 16000]
    fuel += [
        b"Uncaught Error" * 4600,
        b"Warning</b>:" * 5400,
        b"-- MySQL " * 7000,
        b"A=" * 32000,
        b"\n" * 65536,
    ]
    began = time.monotonic()
    for signature in signatures:
        assert signature.paths or signature.kind == "stack-trace"
        assert all(path.startswith("/") for path in signature.paths)
        for text in fuel:
            signature.pattern.search(text[:65536])
    assert time.monotonic() - began < 20
