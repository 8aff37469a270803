# ruff: noqa: E501 (samples stand as they are sent)
"""HTTP as hostile servers speak it: heads, bodies, headers, cookies, pages, files full of numbers."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seccheck.probes.banner.web import read_answer
from seccheck.probes.http import client as http_client
from seccheck.probes.http import collect, headers
from seccheck.probes.http.answer import location, same_host
from seccheck.probes.http.client import BODY_BYTES, Answer, Client, Origin, tidy_head
from seccheck.probes.http.exposure import _questions, links, read_security_txt
from seccheck.probes.http.facts import HttpParams
from seccheck.probes.http.sample import count
from seccheck.probes.http.signatures import table
from tests.fuzz.properties import HERE, NOW, Recorded, bounded, endpoint, hostile, looked, sound, words

pytestmark = pytest.mark.fuzz
ORIGIN = Origin("www.example.vn", HERE, 8080, secure=False)
HEAD = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nStrict-Transport-Security: max-age=31536000; includeSubDomains\r\n"
    b"Content-Security-Policy: default-src 'self'; frame-ancestors 'none'\r\nX-Content-Type-Options: nosniff\r\n"
    b"Set-Cookie: JSESSIONID=a; Path=/; Secure; HttpOnly; SameSite=Lax; Expires=Mon, 23 Nov 2026 06:00:00 GMT\r\n"
    b"Date: Mon, 23 Nov 2026 06:00:00 GMT\r\nContent-Type: text/html; charset=utf-8\r\n"
)
PAGE = (
    b"<html><title>Cong</title><meta name='generator' content='WordPress 6.5'><a href='/danh-sach?x=1'>x</a>"
    b'<a href="http://www.example.vn:8080/a.csv">y</a><img src=//[::1/>BHXH 0123456789 001085123456 0912 345 678'
)
ANSWERS = (
    HEAD + b"Content-Length: %d\r\n\r\n" % len(PAGE) + PAGE,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
    HEAD + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + gzip.compress(PAGE * 20, mtime=0),
    b"HTTP/1.1 302 Found\r\nLocation: https://www.example.vn/x?a=b\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 301 Moved\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.0 500 x\r\n folded\r\nA : b\r\n\r\n" + PAGE,
    b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"",
)
SECURITY_TXT = (
    b"Contact: mailto:a@example.vn\nExpires: 2027-01-01T00:00:00Z\nPreferred-Languages: vi\n",
    b"Contact: x\r\nContact: tel:+84\r\nExpires: 0001-01-01T00:00:00+14:00\r\n",
    b"# c\nExpires: 9999-12-31T23:59:59-12:00\nContact: https://example.vn/\n",
)
HEADER_WORDS = (
    "max-age", "includeSubDomains", "preload", "31536000", "default-src", "script-src", "frame-ancestors",
    "'self'", "'none'", "'unsafe-inline'", "'nonce-a'", "'strict-dynamic'", "https:", "data:", "https://*:*", "*",
    "nosniff", "DENY", "SAMEORIGIN", "ALLOW-FROM", "JSESSIONID", "__Host-sid", "PHPSESSID", "Secure", "HttpOnly",
    "SameSite", "Lax", "Expires", "Max-Age", "Mon, 23 Nov 2026 06:00:00 GMT", "Thu, 01-Jan-1970 00:00:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 -1200", "Sat, 01 Jan 0001 00:00:00 +1400", "\u0661\u0662", "\u00b2",
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def out_of_breath() -> Iterator[None]:
    """No pause before a lost connection is tried again: there is nobody to be kind to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_client, "_BREATH", 0.0)
        yield


def answer(
    body: bytes, *fields: tuple[str, str], status: int = 200, target: str = "/", complete: bool = True
) -> Answer:
    return Answer(ORIGIN.url(target), target, status, fields, body, complete)


@given(hostile(*ANSWERS), st.sampled_from(("GET", "TRACE")))
def test_one_answer(data: bytes, method: str) -> None:
    with Client(Recorded(data, data), ORIGIN) as client:

        def ask() -> None:
            found = client.ask("/", method=method, body_bytes=4096)
            assert 200 <= found.status <= 999
            assert len(found.body) <= 4096
            assert len(found.content()) <= BODY_BYTES

        looked(ask)


@given(st.lists(hostile(*ANSWERS), min_size=1, max_size=4), st.data())
def test_a_whole_look(answers: list[bytes], data: st.DataObject) -> None:
    asks = tuple(data.draw(st.sets(st.sampled_from(("answer", "methods", "cors", "sample")), min_size=1)))
    look = HttpParams(ask=("answer", *asks))
    looked(lambda: collect(endpoint("http"), look, Recorded(*answers)), 5.0)


@given(hostile(*(one.partition(b"\r\n\r\n")[0] for one in ANSWERS[:8])))
def test_heads(head: bytes) -> None:
    def tidied() -> None:
        status, tidy, fields = tidy_head(head)
        assert 0 <= status <= 999
        assert len(tidy) <= len(head) + 4096
        assert len(fields) <= 200

    looked(tidied)


@given(words(*HEADER_WORDS), words(*HEADER_WORDS), st.lists(words(*HEADER_WORDS), max_size=5))
def test_header_values(one: str, other: str, several: list[str]) -> None:
    with bounded():
        sound(headers.hsts(one))
        policy = headers.csp(one, other)
        sound(policy)
        headers.framing(policy, other)
        headers.nosniff(one)
        sound(headers.cookies(several, NOW))
        for value in several:
            headers.without_value(value)


@given(words("Mon,", " 23 ", "Nov", " 2026 ", "06:00:00", "GMT", "-", "+0700", "99999", "-0000"))
@example("Sat, 01 Jan 0001 00:00:00 +1400")
@example("Fri, 31 Dec 9999 23:59:59 -1200")
def test_dates(text: str) -> None:
    moment = headers.http_date(text)
    if moment:
        assert isinstance((moment - NOW).total_seconds(), float)
        assert isinstance(moment <= NOW, bool)


@given(
    words(
        "https://",
        "http:",
        "//",
        "www.example.vn",
        "[::1]",
        "[",
        "]",
        ":8080",
        ":99999",
        "..",
        "\\",
        "?",
        "#",
        "%2e",
        "@",
        "xn--",
        "\u1ea1",
        "javascript:",
    ),
    st.sampled_from((301, 302, 200)),
)
@example("//" + "a." * 4000, 302)
@example("http://" + "\u1ea1" * 5000, 302)
def test_redirects(value: str, status: int) -> None:
    with bounded():
        place = location(answer(b"", ("location", value), status=status))
        if place:
            same_host(place.host, ORIGIN.host)
            assert place.target.isascii()


@given(hostile(*SECURITY_TXT), st.sampled_from(("text/plain", "text/html", "", "text/plain; charset=x")))
@example(SECURITY_TXT[1], "text/plain")
@example(b"Contact: x\nExpires: 9999-12-31T23:59:59-12:00\n", "text/plain")
def test_security_txt(body: bytes, kind: str) -> None:
    with bounded():
        sound(read_security_txt("/.well-known/security.txt", answer(body, ("content-type", kind)), NOW))


@given(hostile(PAGE, PAGE * 30, ANSWERS[0]), words("<a href=", "'", "&amp;", "//[", "http://", ":x", "#"))
@example(b"<" * 40_000 + b"href=" * 4000, "")
@example(b"a href='" * 8000, " " * 60_000)
@example(b"1" * 60_000, "&#" * 20_000)
@example((b"0123456789 " * 6000), "BHXH")
def test_pages(body: bytes, more: str) -> None:
    page = answer(body + more.encode("utf-8", "replace"))
    with bounded():
        found = links(ORIGIN, page)
        assert len(found) <= 500
        assert len(list(_questions(ORIGIN, page))) < 1000
        sound(count("/danh-sach/0123456789", page, 2026))
        for signature in (*table().by_path, table().listing, table().stack_trace):
            signature.found_in(page)


def test_links_in_vietnamese_are_followed_as_a_browser_does() -> None:
    page = "<a href='/tra-cứu?tên=Hà'>x</a><a href='/a?b=\x7f\x01'>y</a>".encode()
    assert links(ORIGIN, answer(page)) == ["/tra-c%E1%BB%A9u?t%C3%AAn=H%C3%A0", "/a?b=%7F%01"]
    said = HEAD + b"Content-Length: %d\r\n\r\n" % len(page) + page
    facts = looked(lambda: collect(endpoint("http"), HttpParams(ask=("sample",)), Recorded(said)))
    assert len(facts.sampled) == 9  # both links, and the places where interfaces answer in bulk


def _office() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", "<t>001085123456</t><t>0912345678</t>" * 50)
        archive.writestr("xl/worksheets/sheet1.xml", "<c>x</c>" * 50)
    return made.getvalue()


OFFICE = _office()
BOMB = OFFICE[:30] + b"xl/sharedStrings.xml" + zlib.compress(bytes(30_000_000), 9)[2:-4]


@given(hostile(OFFICE, b"\xff\xfe0\0001\0", b"\xfe\xff" + PAGE, b"BHXH 0112345678;0212345678\n" * 20))
@example(BOMB)
@example(b"PK\x03\x04" * 15_000)
def test_files(body: bytes) -> None:
    with bounded():
        sound(count("/a.xlsx", answer(body), 2026))


@given(st.lists(hostile(*ANSWERS), max_size=4))
def test_how_a_web_server_names_itself(parts: list[bytes]) -> None:
    from seccheck.probes.banner import facts

    looked(lambda: facts(read_answer(parts)))


@given(st.sampled_from(("gzip", "deflate", "x-gzip")), st.binary(max_size=200))
@example("gzip", gzip.compress(bytes(50_000_000), 1, mtime=0))
def test_packed_bodies(coding: str, body: bytes) -> None:
    with bounded():
        assert len(answer(body, ("content-encoding", coding)).content()) <= BODY_BYTES
