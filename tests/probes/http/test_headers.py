"""What header values mean, by the standards that browsers follow."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seccheck.probes.http import headers
from seccheck.probes.http.client import tidy_head

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "max_age", "subdomains", "valid"),
    [
        ("max-age=31536000; includeSubDomains; preload", 31536000, True, True),
        ('MAX-AGE="31536000" ;INCLUDESUBDOMAINS', 31536000, True, True),
        ("includeSubDomains", 0, False, False),
        ("max-age=1; max-age=31536000", 0, False, False),
        ("max-age=-1", 0, False, False),
        ("max-age=1.5", 0, False, False),
        ("max-age=٣", 0, False, False),
        ("max-age=0", 0, False, True),
        ("max-age=" + "9" * 6000, 2**53, False, True),
        ("max-age=31536000;;unknown=1;", 31536000, False, True),
        ("", 0, False, False),
    ],
)
def test_hsts(value: str, max_age: int, subdomains: bool, valid: bool) -> None:
    hsts = headers.hsts(value)
    assert hsts.present
    assert (hsts.max_age, hsts.include_subdomains, hsts.valid) == (max_age, subdomains, valid)


def test_no_hsts() -> None:
    assert not headers.hsts(None).present


@pytest.mark.parametrize(
    ("value", "wildcard"),
    [
        ("default-src 'self'", False),
        ("default-src 'none'; script-src 'self' https://cdn.example; img-src *", False),
        ("default-src *", True),
        ("default-src 'self'; script-src *", True),
        ("default-src 'self'; script-src https:", True),
        ("default-src 'self' https://*", True),
        ("default-src 'self'; script-src-elem http://*:*", True),
        ("script-src 'self' data:", True),
        ("script-src 'self'; object-src *", True),
        ("script-src 'strict-dynamic' 'nonce-abc' https: 'unsafe-inline'", False),
        ("script-src 'strict-dynamic' https:", True),
        ("upgrade-insecure-requests", True),
        ("frame-ancestors 'self'", True),
        ("img-src *", True),
        ("default-src 'self'; default-src *", False),
        ("default-src *, default-src 'self'", False),
        ("script-src *.example.com", False),
        ("DEFAULT-SRC 'SELF'", False),
    ],
)
def test_csp_wildcards(value: str, wildcard: bool) -> None:
    policy = headers.csp(value)
    assert policy.present
    assert policy.wildcard is wildcard


def test_csp_that_says_nothing() -> None:
    assert not headers.csp(None).present
    assert not headers.csp(" ; , ").present
    assert headers.csp(None, "default-src 'self'").report_only
    assert headers.csp("script-src 'self' 'unsafe-inline' 'unsafe-eval'").unsafe_inline
    assert headers.csp("script-src 'self' 'unsafe-inline' 'unsafe-eval'").unsafe_eval
    assert not headers.csp("script-src 'nonce-x' 'unsafe-inline'").unsafe_inline


@pytest.mark.parametrize(
    ("policy", "options", "expected"),
    [
        (None, None, ("none", False)),
        (None, "DENY", ("deny", True)),
        (None, "SameOrigin", ("sameorigin", True)),
        (None, "SAMEORIGIN, DENY", ("sameorigin", True)),
        (None, "ALLOW-FROM https://a.example", ("other", False)),
        (None, "ALLOWALL", ("other", False)),
        ("default-src 'self'", "DENY", ("deny", True)),
        ("frame-ancestors 'none'", None, ("frame-ancestors", True)),
        ("frame-ancestors 'self' https://a.example", None, ("frame-ancestors", True)),
        ("frame-ancestors *", "DENY", ("frame-ancestors", False)),
        ("frame-ancestors https:", None, ("frame-ancestors", False)),
        ("frame-ancestors https://*", None, ("frame-ancestors", False)),
        ("frame-ancestors", None, ("frame-ancestors", True)),
        ("frame-ancestors *, frame-ancestors 'self'", None, ("frame-ancestors", True)),
    ],
)
def test_framing(policy: str | None, options: str | None, expected: tuple[str, bool]) -> None:
    assert headers.framing(headers.csp(policy), options) == expected


SESSIONS = """PHPSESSID JSESSIONID ASP.NET_SessionId ASPSESSIONIDQQ .ASPXAUTH .AspNetCore.Cookies connect.sid
sessionid laravel_session ci_session __Host-session SSESS0a1b2c wordpress_logged_in_ab12 _app_session sid jwt
d41d8cd98f00b204e9800998ecf8427e remember_web_59ba36addc2b2f94"""
OTHERS = "lang theme XSRF-TOKEN csrftoken _ga BIGipServerpool TS01abcd visited cookieconsent"


def test_session_names() -> None:
    assert [name for name in SESSIONS.split() if not headers.is_session(name)] == []
    assert [name for name in OTHERS.split() if headers.is_session(name)] == []


def test_cookies() -> None:
    found = headers.cookies(
        [
            "b=1; path=/; SECURE; httponly; samesite=STRICT",
            "a=2; SameSite=maybe; Max-Age=60",
            "gone=; Max-Age=0",
            "old=x; expires=Thu, 01-Jan-1970 00:00:10 GMT",
            "stays=x; expires=Thu, 01 Jan 1970 00:00:10 GMT; Max-Age=60",
            "nameless",
            "",
            "a=3; Secure; SameSite=None",
        ],
        NOW,
    )
    assert [(c.name, c.secure, c.http_only, c.same_site) for c in found] == [
        ("", False, False, ""),
        ("a", True, False, "None"),
        ("b", True, True, "Strict"),
        ("stays", False, False, ""),
    ]
    assert headers.without_value("id=secret; Path=/; Secure") == "id=…; Path=/; Secure"
    assert headers.without_value("secret; Secure") == "…; Secure"


@given(st.text(max_size=200))
def test_any_value_is_read_without_an_error(text: str) -> None:
    headers.hsts(text)
    headers.framing(headers.csp(text), text)
    headers.cookies([text], NOW)
    headers.http_date(text)


@given(st.binary(max_size=300))
def test_any_head_comes_out_tidy(raw: bytes) -> None:
    status, tidy, fields = tidy_head(b"HTTP/1.1 200 OK\r\n" + raw)
    assert status == 200
    assert tidy.startswith(b"HTTP/1.1 200 \r\n")
    assert tidy.endswith(b"\r\n\r\n")
    assert all(name == name.lower() for name, _ in fields)
