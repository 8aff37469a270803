"""The table of fingerprints: what it may contain, and what counts as disclosed."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seccheck.model import canonical
from seccheck.probes import load_probes
from seccheck.probes.banner.fingerprints import beyond_major, disclosed, parse, sources


def test_the_probe_is_found() -> None:
    assert load_probes()["banner"].subject == "name"


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.22.1", True),
        ("8.2", True),
        ("10.0", False),
        ("2", False),
        ("", False),
        ("2.3m", True),
        ("10.0.0", False),
    ],
)
def test_beyond_the_major_release(version: str, *, expected: bool) -> None:
    assert beyond_major(version) is expected


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("server", "nginx/1.22.1", ("nginx/1.22.1",)),
        ("server", "Microsoft-IIS/10.0", ()),
        ("server", "Apache", ()),
        ("server", "Apache/2", ()),
        ("server", "Apache/2.4", ("Apache/2.4",)),
        (
            "server",
            "Apache/2.4.58 (Win64) OpenSSL/3.1.3 mod_fcgid/2.3.10",
            ("Apache/2.4.58", "OpenSSL/3.1.3", "mod_fcgid/2.3.10"),
        ),
        ("server", "HFS 2.3m", ("hfs 2.3m",)),
        ("x-powered-by", "PHP/8.2", ("PHP/8.2",)),
        ("x-powered-by", "ASP.NET", ()),
        ("smtp", "220 m1.2.example ESMTP ready 22 Nov 2026 09:00:00 +0000", ()),
        ("smtp", "220 m ESMTP Exim 4.96 Sun", ("exim 4.96",)),
        ("ftp", "220 ProFTPD Server [192.0.2.1]", ()),
        ("mysql", "8.0.36", ("mysql 8.0.36",)),
    ],
)
def test_disclosed(source: str, text: str, expected: tuple[str, ...]) -> None:
    assert disclosed(source, text) == expected


@given(st.sampled_from(sorted(sources())), st.text(max_size=400))
def test_any_text_is_read(source: str, text: str) -> None:
    for product in parse(source, text):
        assert product.name
        assert "\x1b" not in canonical(product).decode()
    disclosed(source, text)


HOSTILE = [
    "NS1.1: Build " * 400,
    "GlassFish Server " * 300,
    '"version":{"number":"1.1"' * 400,
    "SSH-2.0-OpenSSH_9.2p1 " + "Debian-" * 600,
    "220 " + "Exim 4." * 700,
    "1." * 2000,
    "Liferay " * 500,
    "Apache/" + "1" * 4000,
    "5.5.5-" * 700 + "-MariaDB",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_takes_long(text: str) -> None:
    began = time.process_time()
    for source in sources():
        parse(source, text)
        disclosed(source, text)
    assert time.process_time() - began < 1.5
