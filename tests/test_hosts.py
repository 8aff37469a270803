from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seccheck.hosts import (
    DEFAULT_PORTS,
    SERVICES,
    Place,
    check_address,
    check_domain,
    check_host,
    check_network,
    derived_id,
    is_address,
    is_loopback,
    parse_url,
)
from seccheck.yamlfile import Mistake


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("portal.example.gov.vn", "portal.example.gov.vn"),
        ("Portal.Example.GOV.vn.", "portal.example.gov.vn"),
        ("localhost", "localhost"),
        ("cổng.vn", "xn--cng-qmz.vn"),
        ("CỔNG.vn", "xn--cng-qmz.vn"),
        ("co\u0302\u0309ng.vn", "xn--cng-qmz.vn"),
        ("xn--cng-qmz.vn", "xn--cng-qmz.vn"),
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("::1", "::1"),
        ("a-b.1c.vn", "a-b.1c.vn"),
    ],
)
def test_a_host_has_one_plain_form(text: str, host: str) -> None:
    assert check_host(text) == host
    assert check_host(host) == host


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "expected a host name, found \"\": '' cannot be a label", ""),
        ("-oX", 'expected a host name or an address, found "-oX", which looks like an option', ""),
        ("a b", "expected a host name or an address, found \"a b\" with ' '", ""),
        ("a;id", "expected a host name or an address, found \"a;id\" with ';'", ""),
        ("$(id)", "expected a host name or an address, found \"$(id)\" with '$'", ""),
        ("a\n", "expected a host name or an address, found \"a\\x0a\" with '\\\\x0a'", ""),
        (
            "https://x",
            "expected a host name or an address, found \"https://x\" with ':'",
            "write the name alone, without scheme, port or path",
        ),
        (
            "x/y",
            "expected a host name or an address, found \"x/y\" with '/'",
            "write the name alone, without scheme, port or path",
        ),
        ("x.vn:443", 'expected a host alone, found "x.vn:443"', "write the port as `port:`"),
        ("[::1]:443", 'expected a host alone, found "[::1]:443"', "write the port as `port:`"),
        ("10.0.0.1:443", 'expected a host alone, found "10.0.0.1:443"', "write the port as `port:`"),
        ("_dmarc.x.vn", "expected a host name or an address, found \"_dmarc.x.vn\" with '_'", ""),
        ("a..vn", "expected a host name, found \"a..vn\": '' cannot be a label", ""),
        ("-a.vn", 'expected a host name or an address, found "-a.vn", which looks like an option', ""),
        ("a-.vn", "expected a host name, found \"a-.vn\": 'a-' cannot be a label", ""),
        ("*.x.vn", "expected a host name or an address, found \"*.x.vn\" with '*'", ""),
        ("0177.0.0.1", 'expected an address, found "0177.0.0.1"', "such as 203.0.113.7 or 2001:db8::7"),
        ("2130706433", 'expected an address, found "2130706433"', "such as 203.0.113.7 or 2001:db8::7"),
        ("0x7f000001", 'expected an address, found "0x7f000001"', "such as 203.0.113.7 or 2001:db8::7"),
        ("127.1", 'expected an address, found "127.1"', "such as 203.0.113.7 or 2001:db8::7"),
        ("x.0x7f", 'expected an address, found "x.0x7f"', "such as 203.0.113.7 or 2001:db8::7"),
        ("fe80::1%eth0", 'expected an address, found "fe80::1%eth0"', "such as 203.0.113.7 or 2001:db8::7"),
        ("2001:DB8::1", 'expected an address in its plain form, found "2001:DB8::1"', "write 2001:db8::1"),
        (
            "::ffff:10.0.0.1",
            'expected an address in its plain form, found "::ffff:10.0.0.1"',
            "write 10.0.0.1",
        ),
        ("0.0.0.0", "expected the address of one machine, found 0.0.0.0", ""),
        ("::", "expected the address of one machine, found ::", ""),
        ("224.0.0.1", "expected the address of one machine, found 224.0.0.1", ""),
        ("255.255.255.255", "expected the address of one machine, found 255.255.255.255", ""),
        ("a" * 64 + ".vn", f'expected a host name, found "{"a" * 60}… (67 characters)"', ""),
        (".".join(["a" * 60] * 5), "expected a host name of at most 253 characters, found 304", ""),
        ("xn--a.vn", 'expected a host name, found "xn--a.vn"', ""),
        ("a\u200db.vn", "expected a host name or an address, found", ""),
    ],
)
def test_what_is_no_host_is_refused(text: str, message: str, hint: str) -> None:
    with pytest.raises(Mistake) as caught:
        check_host(text)

    assert str(caught.value).startswith(message)
    assert caught.value.hint == hint


@given(st.text(max_size=40))
def test_a_host_is_refused_or_harmless(text: str) -> None:
    try:
        host = check_host(text)
    except Mistake:
        return
    assert host.isascii()
    assert not host.startswith("-")
    assert not set(host) - set("abcdefghijklmnopqrstuvwxyz0123456789-.:")
    assert check_host(host) == host


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("https://portal.example.gov.vn/", Place("https", "portal.example.gov.vn", 443)),
        ("https://portal.example.gov.vn", Place("https", "portal.example.gov.vn", 443)),
        ("HTTP://Portal.vn:8080", Place("http", "portal.vn", 8080)),
        ("ssh://203.0.113.7", Place("ssh", "203.0.113.7", 22)),
        ("https://[2001:db8::7]:8443/", Place("https", "2001:db8::7", 8443)),
        ("tls://x.vn:9000", Place("tls", "x.vn", 9000)),
        ("tcp://x.vn:9000", Place("tcp", "x.vn", 9000)),
    ],
)
def test_the_short_form_is_a_url(text: str, place: Place) -> None:
    assert parse_url(text) == place


@pytest.mark.parametrize("service", sorted(set(SERVICES) - {"tcp"}))
def test_every_service_but_tcp_has_a_port(service: str) -> None:
    assert parse_url(f"{service}://x.vn") == Place(service, "x.vn", DEFAULT_PORTS[service])


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("portal.vn", 'expected a target such as https://portal.example.vn/, found "portal.vn"', ""),
        ("htps://x.vn", 'expected a known service before ://, found "htps"', "did you mean 'https'?"),
        ("gopher://x.vn", 'expected a known service before ://, found "gopher"', None),
        ("https://u:p@x.vn/", 'expected a target without credentials, found "https://…@…"', ""),
        ("https://x.vn/a", 'expected a target without a path, found "https://x.vn/a"', "write https://x.vn/"),
        (
            "https://x.vn/?q",
            'expected a target without a path, found "https://x.vn/?q"',
            "write https://x.vn/",
        ),
        ("https://x.vn:0/", 'expected a port from 1 to 65535, found "0" in "https://x.vn:0/"', ""),
        ("https://x.vn:65536", 'expected a port from 1 to 65535, found "65536" in "https://x.vn:65536"', ""),
        ("https://x.vn:", 'expected a port from 1 to 65535, found "" in "https://x.vn:"', ""),
        ("https://x.vn:４43", 'expected a port from 1 to 65535, found "４43" in "https://x.vn:４43"', ""),
        ("tcp://x.vn", 'expected a port, found none in "tcp://x.vn"', "write tcp://host:port"),
        ("https://::1/", 'expected host or host:port after ://, found "::1"', ""),
        ("https://[x.vn]/", 'expected an address, found "x.vn"', "such as 203.0.113.7 or 2001:db8::7"),
        ("https:///", "expected a host name, found \"\": '' cannot be a label", ""),
    ],
)
def test_what_is_no_target_is_refused(text: str, message: str, hint: str | None) -> None:
    with pytest.raises(Mistake) as caught:
        parse_url(text)

    assert str(caught.value) == message
    assert hint is None or caught.value.hint == hint


def test_a_path_is_left_out_where_that_is_asked() -> None:
    assert parse_url("https://x.vn/a?b#c", any_path=True) == Place("https", "x.vn", 443)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("203.0.113.1/24", 'expected a network, found "203.0.113.1/24"', "write 203.0.113.0/24"),
        ("x", 'expected a network such as 203.0.113.0/24, found "x"', ""),
        ("203.0.113.0/33", 'expected a network such as 203.0.113.0/24, found "203.0.113.0/33"', ""),
        (
            "0.0.0.0/0",
            "expected a network that guards something, found 0.0.0.0/0",
            "list your own networks",
        ),
        ("::/0", "expected a network that guards something, found ::/0", "list your own networks"),
    ],
)
def test_what_is_no_network_is_refused(text: str, message: str, hint: str) -> None:
    with pytest.raises(Mistake) as caught:
        check_network(text)

    assert (str(caught.value), caught.value.hint) == (message, hint)


def test_a_single_address_is_a_network() -> None:
    assert check_network("203.0.113.7") == "203.0.113.7/32"
    assert check_network("2001:db8::/32") == "2001:db8::/32"


def test_a_domain_is_not_an_address() -> None:
    assert check_domain("Example.gov.vn") == "example.gov.vn"
    with pytest.raises(Mistake, match=r"expected a domain, found the address 203\.0\.113\.7"):
        check_domain("203.0.113.7")
    with pytest.raises(Mistake, match=r'expected an address, found "x\.vn"'):
        check_address("x.vn")


def test_names_and_addresses_are_told_apart() -> None:
    assert [is_address(host) for host in ("x.vn", "203.0.113.7", "::1", "localhost")] == [
        False,
        True,
        True,
        False,
    ]
    assert [
        is_loopback(host)
        for host in ("localhost", "a.localhost", "127.8.8.8", "::1", "10.0.0.1", "localhost.vn")
    ] == [True, True, True, True, False, False]


def test_derived_ids_are_safe() -> None:
    assert derived_id("portal.vn", 443) == "portal.vn-443"
    assert derived_id("2001:db8::7", 22) == "2001-db8--7-22"
    assert derived_id("::1", 22) == "1-22"
