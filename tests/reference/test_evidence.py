"""Package lists and VEX documents: what they add to a banner."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seccheck.reference import (
    Package,
    Papers,
    Product,
    Reference,
    Ruling,
    packages_from,
    read_evidence,
    settle,
)
from tests.tools import tool

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
NGINX = Product(name="nginx", version="1.22.1", source="server")
DPKG = b"""Desired=Unknown/Install/Remove/Purge/Hold
||/ Name            Version               Architecture Description
+++-===============-=====================-============-=================================
ii  base-files      12.4+deb12u12         amd64        Debian base system
ii  libc6:amd64     2.36-9+deb12u10       amd64        GNU C Library
ii  nginx           1.22.1-9+deb12u11     amd64        small, powerful web server
rc  apache2         2.4.1-1               amd64        removed, configuration files left
"""


def outcome(ruling: Ruling) -> str:
    return ruling.reason or ruling.verdict


def test_dpkg_list() -> None:
    assert packages_from(DPKG) == (
        Package(name="base-files", version="12.4+deb12u12", distribution="debian", release="12"),
        Package(name="libc6", version="2.36-9+deb12u10", distribution="debian", release="12"),
        Package(name="nginx", version="1.22.1-9+deb12u11", distribution="debian", release="12"),
    )


def test_dpkg_query() -> None:
    """What the dpkg of this machine prints, in both forms."""
    for command in (["-W"], ["-l"]):
        listed = subprocess.run([tool("dpkg-query"), *command], check=True, capture_output=True).stdout
        names = {package.name: package for package in packages_from(listed)}
        assert names["openssl"].version[0].isdigit()
        assert len(names) > 50


def test_rpm() -> None:
    listed = b"openssh-server-8.7p1-38.el9_4.1.x86_64\nhttpd-2.4.57-8.el9.x86_64\nnoise\n"
    assert packages_from(listed)[:2] == (
        Package(name="openssh-server", version="8.7p1-38.el9_4.1", distribution="rhel", release="9"),
        Package(name="httpd", version="2.4.57-8.el9", distribution="rhel", release="9"),
    )


def test_cyclonedx() -> None:
    component = {
        "bom-ref": "a",
        "name": "nginx",
        "purl": "pkg:deb/debian/nginx@1.22.1-9%2Bdeb12u11?arch=amd64&distro=debian-12",
    }
    flaws = [
        {"id": "CVE-1", "analysis": {"state": "not_affected"}, "affects": [{"ref": "a"}]},
        {"id": "CVE-2", "analysis": {"state": "exploitable"}},
        {"id": "CVE-3"},
    ]
    document = {"bomFormat": "CycloneDX", "components": [component], "vulnerabilities": flaws}
    found = read_evidence(json.dumps(document).encode())
    assert found.packages[0].version == "1.22.1-9+deb12u11"
    assert found.packages[0].release == "12"
    assert [(said.cve, said.status) for said in found.statements] == [
        ("CVE-1", "not_affected"),
        ("CVE-2", "affected"),
    ]


def vex(*statements: tuple[str, str], product: str = "pkg:deb/ubuntu/apache2@2.4.52") -> bytes:
    return json.dumps(
        {
            "@context": "https://openvex.dev/ns/v0.2.0",
            "statements": [
                {"vulnerability": {"name": cve}, "products": [{"@id": product}], "status": status}
                for cve, status in statements
            ],
        }
    ).encode()


def test_a_list_settles_what_a_banner_leaves_open(fresh: Reference) -> None:
    evidence = read_evidence(DPKG)
    for question in ("supported", "exploited", "newest"):
        assert settle(question, NGINX, evidence, fresh, AT).verdict == "pass"
    old = read_evidence(DPKG.replace(b"1.22.1-9+deb12u11", b"1.22.1-9+deb12u1"))
    assert settle("newest", NGINX, old, fresh, AT).verdict == "fail"
    hidden = Product(name="nginx", source="server")
    assert settle("newest", hidden, evidence, fresh, AT).verdict == "pass"


def test_a_list_of_something_else_settles_nothing(fresh: Reference) -> None:
    other = read_evidence(DPKG.replace(b"1.22.1-9+deb12u11", b"1.26.3-3+deb13u11"))
    assert outcome(settle("newest", NGINX, other, fresh, AT)) == "contradictory"
    assert outcome(settle("newest", NGINX, Papers(), fresh, AT)) == "backport-possible"


def test_a_document_never_turns_a_fail(fresh: Reference) -> None:
    apache = Product(name="apache-http-server", version="2.4.49", os="unix")
    said = read_evidence(
        vex(("CVE-2021-41773", "not_affected"), ("CVE-2021-42013", "fixed"), ("CVE-2024-38475", "fixed"))
    )
    assert settle("exploited", apache, said, fresh, AT).verdict == "fail"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (vex(("CVE-2024-38475", "fixed")), "pass"),
        (vex(("CVE-2024-38475", "not_affected")), "pass"),
        (vex(("CVE-2024-38475", "affected")), "fail"),
        (vex(("CVE-2024-38475", "under_investigation")), "backport-possible"),
        (vex(("CVE-2024-38475", "fixed"), ("CVE-2024-38475", "affected")), "fail"),
        (vex(("CVE-2024-38475", "fixed"), product="pkg:deb/ubuntu/nginx@1"), "backport-possible"),
        (vex(("CVE-2024-00000", "fixed")), "backport-possible"),
    ],
)
def test_vex(document: bytes, expected: str, fresh: Reference) -> None:
    apache = Product(name="apache-http-server", version="2.4.52", distribution="ubuntu", os="linux")
    assert outcome(settle("exploited", apache, read_evidence(document), fresh, AT)) == expected


def test_vex_does_not_make_an_old_catalogue_new(shipped: Reference) -> None:
    apache = Product(name="apache-http-server", version="2.4.52", distribution="ubuntu", os="linux")
    said = read_evidence(vex(("CVE-2024-38475", "fixed")))
    assert outcome(settle("exploited", apache, said, shipped, AT)) == "stale"


def test_red_hat(fresh: Reference) -> None:
    openssh = Product(name="openssh", version="8.7", source="ssh")
    evidence = read_evidence(b"openssh-server-8.7p1-38.el9_4.1.x86_64\n")
    assert settle("supported", openssh, evidence, fresh, AT).verdict == "pass"
    assert outcome(settle("newest", openssh, evidence, fresh, AT)) == "no-data"
    lacking = read_evidence(b"openssh-server-8.7p1-30.el9_4.x86_64\n")
    assert settle("newest", openssh, lacking, fresh, AT).verdict == "fail"


def test_repacked_sources(fresh: Reference) -> None:
    proftpd = Product(name="proftpd", distribution="debian", source="ftp")
    evidence = read_evidence(b"proftpd-core\t1.3.8+dfsg-4+deb12u5\n")
    assert settle("newest", proftpd, evidence, fresh, AT).verdict == "pass"


@given(st.binary(max_size=400))
def test_any_bytes_are_read(data: bytes) -> None:
    read_evidence(data)
    read_evidence(b"{" + data)


@pytest.mark.parametrize(
    "document",
    [
        {"bomFormat": "CycloneDX", "components": "none", "vulnerabilities": [1, {"analysis": []}]},
        {"bomFormat": "CycloneDX", "components": [{"purl": 5}, {"purl": "pkg:npm/x@1"}]},
        {
            "@context": "https://openvex.dev/ns/v0.2.0",
            "statements": [{"vulnerability": 5, "status": "fixed"}, []],
        },
        {"@context": []},
        [],
    ],
)
def test_odd_documents_give_nothing(document: object) -> None:
    found = read_evidence(json.dumps(document).encode())
    assert found.packages == ()
