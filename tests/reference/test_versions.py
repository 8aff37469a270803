"""The order of versions, on numbers that projects really use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seccheck.reference.versions import (
    compare,
    compare_packages,
    parts,
    reaches,
    revision,
    upstream,
    within,
)

ASCENDING = [
    "1.3.6rc1 1.3.6 1.3.6a 1.3.6b 1.3.6.1 1.3.7",
    "1.3.9~rc1 1.3.9",
    "2.0-alpha1 2.0-beta9 2.0-rc1 2.0 2.0.1 2.15.0",
    "9.0.0-M1 9.0.0-M12 9.0.0 9.0.1",
    "9.0.0.M1 9.0.0.M2 9.0.0",
    "8.0.0-RC1 8.0.0",
    "7.4.2 7.4.10",
    "9.9p1 9.9p2 10.0 10.0p1 10.0p2",
    "10.2.9 10.2.9-h1 10.2.9-h2 10.2.10",
    "9.1R9.2 9.1R14.4",
    "22.7R2 22.7R2.5 22.7R2.6",
    "8.0 8.0U1 8.0U3 8.0U3b",
    "8.8.15 8.8.15_P9 8.8.15_P46 9.0.0",
    "14.1 14.1-8.50 14.1-12.35 14.1-73.41",
    "2.3 2.3b 2.3m",
    "1.0.1 1.0.1e 1.0.1f 1.0.1g 1.0.2 1.0.2k 1.1.0 1.1.1w 3.0.0",
    "9.9.7 9.9.7-P1 9.9.7-P2 9.9.8",
    "15.2.1544.4 15.2.1544.11 15.2.2562.46",
    "11.3.4 11.3.4_23 11.3.5",
    "4.6 4.6-patch519 4.6.1",
    "6.5.4.14-44n 6.5.4.14-109n",
    "1.890 1.910 1.920 1.1000",
    "2022.83 2024.85 2025.89",
]


@pytest.mark.parametrize("line", ASCENDING)
def test_ascending(line: str) -> None:
    versions = line.split()
    for at, earlier in enumerate(versions):
        for later in versions[at + 1 :]:
            assert compare(earlier, later) < 0 < compare(later, earlier)


@pytest.mark.parametrize(("left", "right"), [("2.4", "2.4.0"), ("1.3.6", "1.3.6.0"), ("9.2p1", "9.2P1")])
def test_the_same(left: str, right: str) -> None:
    assert compare(left, right) == 0


@pytest.mark.parametrize(
    ("version", "bound", "expected"),
    [
        ("15.4.2.126", "15.4.2", True),
        ("15.4.2", "15.4.2", True),
        ("15.4.3", "15.4.2", False),
        ("4.2.25", "4.2.99", True),
        ("1.3.5e", "1.3.5", False),
        ("1.0.1g", "1.0.1f", False),
        ("9.0.0-M3", "9.0.0", True),
    ],
)
def test_reaches(version: str, bound: str, *, expected: bool) -> None:
    assert reaches(version, bound) is expected


@pytest.mark.parametrize(
    ("version", "branch", "expected"),
    [("2.4.71", "2.4", True), ("2.40.1", "2.4", False), ("2.4", "2.4", True), ("2", "2.4", False)],
)
def test_within(version: str, branch: str, *, expected: bool) -> None:
    assert within(version, branch) is expected


def test_package_versions() -> None:
    assert compare_packages("2.4.71-1~deb12u1", "2.4.71-1") < 0
    assert compare_packages("1:9.2p1-2+deb12u10", "1:9.2p1-2+deb12u3") > 0
    assert upstream("1:9.2p1-2+deb12u10") == "9.2p1"
    assert upstream("1.3.7a+dfsg-12+deb11u5") == "1.3.7a"
    assert revision("8.2.36-1~deb12u1") == "1~deb12u1"


VERSIONS = st.text(alphabet="0123456789.-_~+abcmprcRCPU ", max_size=20)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_is_an_order(a: str, b: str, c: str) -> None:
    assert compare(a, b) == -compare(b, a)
    if compare(a, b) <= 0 and compare(b, c) <= 0:
        assert compare(a, c) <= 0


@given(st.text(max_size=40), st.text(alphabet="0123456789deb+u~_.-:x", max_size=20))
def test_any_text_is_a_package_version(left: str, right: str) -> None:
    assert compare_packages(left, right) == -compare_packages(right, left)
    assert compare_packages(right, right) == 0


@given(st.text(max_size=200))
def test_any_text_has_parts(text: str) -> None:
    assert isinstance(parts(text), tuple)
    assert compare(text, text) == 0
