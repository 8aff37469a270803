"""Feeds against a local server that speaks each publisher's format, well and badly."""

from __future__ import annotations

import gzip
import http.server
import io
import json
import lzma
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from seccheck.errors import SeccheckError
from seccheck.feeds import Outcome, fetch, import_file, publishers, status, update
from seccheck.feeds.publishers import PUBLISHERS, Publisher
from seccheck.probes.banner.fingerprints import parse
from seccheck.reference import (
    Product,
    Reference,
    at_newest_patch,
    free_of_known_exploited,
    pack,
    supported,
)
from seccheck.reference.snapshot import BUNDLED, load_reference, newest, read_folder

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)


def clock() -> datetime:
    return NOW


class Site(http.server.ThreadingHTTPServer):
    """A server whose answers are set by path; it remembers what it was asked."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Callable[[Handler], None]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def serve(self, path: str, body: object, *, code: int = 200, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()

        def answer(handler: Handler) -> None:
            if headers.get("ETag") and handler.headers.get("If-None-Match") == headers["ETag"]:
                handler.send_response(304)
                handler.end_headers()
                return
            handler.send_response(code)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(data)

        self.answers[path] = answer


class Handler(http.server.BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        answer = self.server.answers.get(self.path)
        if answer is None:
            self.send_error(404)
            return
        try:
            answer(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:
        return "Sun, 22 Nov 2026 10:00:00 GMT"


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as found:
        yield found


@contextmanager
def running_site() -> Iterator[Site]:
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def shipped() -> Reference:
    return load_reference(BUNDLED)


def bring(site: Site, folder: Path, *feeds: str) -> dict[str, Outcome]:
    bases = dict.fromkeys(PUBLISHERS, site.url)
    return {found.feed: found for found in update(feeds, bases, folder, now=clock)}


def in_use(folder: Path) -> Reference:
    return Reference(newest([read_folder(BUNDLED), read_folder(folder)]))


# -------------------------------------------------------------------- files as publishers write them

KEV_PATH = "/sites/default/files/feeds/known_exploited_vulnerabilities.json"
EOL_PATH = "/api/v1/products/full"
DEBIAN_PATH = "/tracker/data/json"
UBUNTU_PATH = "/osv/osv-all.tar.xz"
NVD_PATH = "/rest/json/cves/2.0?hasKev&resultsPerPage=2000&startIndex="


def kev(*more: tuple[str, str, str], released: str = "2026-11-20", count: int = 0) -> dict[str, Any]:
    found = [
        {
            "cveID": cve,
            "vendorProject": vendor,
            "product": product,
            "vulnerabilityName": f"{product} flaw",
            "dateAdded": released,
            "shortDescription": "…",
            "requiredAction": "…",
            "dueDate": released,
            "knownRansomwareCampaignUse": "Known",
            "notes": "",
            "cwes": ["CWE-787"],
        }
        for cve, vendor, product in (("CVE-2021-41773", "Apache", "HTTP Server"), *more)
    ]
    return {
        "title": "CISA Catalog of Known Exploited Vulnerabilities",
        "catalogVersion": released.replace("-", "."),
        "dateReleased": f"{released}T17:00:51.1234Z",
        "count": count or len(found),
        "vulnerabilities": found,
    }


def eol(generated: str = "2026-11-21", **fields: Any) -> dict[str, Any]:
    release = {
        "name": "1.30",
        "codename": None,
        "label": "1.30",
        "releaseDate": "2026-04-14",
        "isLts": False,
        "ltsFrom": None,
        "isEoas": False,
        "eoasFrom": None,
        "isEol": False,
        "eolFrom": None,
        "isEoes": None,
        "eoesFrom": None,
        "isMaintained": True,
        "latest": {"name": "1.30.9", "date": "2026-11-18", "link": "https://nginx.org/"},
        "custom": None,
    }
    product = {
        "name": "nginx",
        "aliases": [],
        "label": "nginx",
        "category": "server-app",
        "tags": [],
        "versionCommand": "nginx -v",
        "identifiers": [{"id": "cpe:2.3:a:f5:nginx", "type": "cpe"}],
        "labels": {"eol": "Supported"},
        "links": {"html": "https://endoflife.date/nginx"},
        "releases": [release | fields, {**release, "name": "1.29", "isEol": True, "eolFrom": "2026-05-13"}],
    }
    return {
        "schema_version": "1.2.1",
        "generated_at": f"{generated}T00:00:00+00:00",
        "total": 1,
        "result": [product],
    }


def debian(newest_version: str = "1:9.2p1-2+deb12u11") -> dict[str, Any]:
    repositories = {"bookworm": "1:9.2p1-2+deb12u10", "bookworm-security": newest_version}
    return {
        "openssh": {
            "CVE-2024-6387": {
                "description": "…",
                "debianbug": 1074668,
                "scope": "remote",
                "releases": {
                    "bookworm": {
                        "status": "resolved",
                        "repositories": repositories,
                        "fixed_version": "1:9.2p1-2+deb12u3",
                        "urgency": "not yet assigned",
                    },
                    "bullseye": {
                        "status": "resolved",
                        "repositories": {"bullseye": "1:8.4p1-5+deb11u3"},
                        "fixed_version": "0",
                        "urgency": "unimportant",
                    },
                    "sid": {"status": "open", "repositories": {"sid": "1:10.5p1-1"}, "urgency": "high"},
                },
            }
        },
        "php8.2": {
            "CVE-2024-4577": {
                "releases": {"bookworm": {"status": "open", "repositories": {"bookworm": "8.2.37-1~deb12u1"}}}
            }
        },
        "unrelated": {"CVE-2000-0001": {"releases": {}}},
    }


def nvd(start: int, total: int, *flaws: dict[str, Any]) -> dict[str, Any]:
    return {
        "resultsPerPage": len(flaws),
        "startIndex": start,
        "totalResults": total,
        "format": "NVD_CVE",
        "version": "2.0",
        "timestamp": "2026-11-22T10:00:00.000",
        "vulnerabilities": [{"cve": flaw} for flaw in flaws],
    }


def nvd_flaw(cve: str, *matches: dict[str, Any], operator: str = "OR") -> dict[str, Any]:
    nodes = [{"operator": "OR", "negate": False, "cpeMatch": [match]} for match in matches]
    return {"id": cve, "sourceIdentifier": "x", "configurations": [{"operator": operator, "nodes": nodes}]}


def cpe(criteria: str, *, vulnerable: bool = True, **bounds: str) -> dict[str, Any]:
    return {"vulnerable": vulnerable, "criteria": criteria, "matchCriteriaId": "x", **bounds}


def osv(
    name: str,
    *affected: dict[str, Any],
    published: str = "2026-11-01",
    upstream: tuple[str, ...] = (),
    **more: str,
) -> dict[str, Any]:
    return {
        "schema_version": "1.7.0",
        "id": name,
        "summary": "…",
        "details": "…",
        "aliases": [],
        "upstream": list(upstream),
        "related": [],
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        "published": f"{published}T09:06:31.434165Z",
        "modified": f"{published}T10:00:00Z",
        "affected": list(affected),
        "references": [{"type": "ADVISORY", "url": "https://ubuntu.com/security/notices/USN-6859-1"}],
        **more,
    }


def built(ecosystem: str, name: str, *versions: str, fixed: str = "") -> dict[str, Any]:
    events = [{"introduced": "0"}, {"fixed": fixed}] if fixed else [{"introduced": "0"}]
    return {
        "package": {
            "ecosystem": ecosystem,
            "name": name,
            "purl": f"pkg:deb/ubuntu/{name}@{fixed}?arch=source&distro=jammy",
        },
        "ranges": [{"type": "ECOSYSTEM", "events": events}],
        "versions": list(versions),
        "ecosystem_specific": {
            "binaries": [{"binary_name": name, "binary_version": fixed}],
            "availability": "No subscription required",
        },
    }


JAMMY, BIONIC, PRO = "Ubuntu:22.04:LTS", "Ubuntu:18.04:LTS", "Ubuntu:Pro:18.04:LTS"
OLD, FIXED, LATER = "1:8.9p1-3ubuntu0.9", "1:8.9p1-3ubuntu0.10", "1:8.9p1-3ubuntu0.16"
RECORDS = (
    osv("USN-6859-1", built(JAMMY, "openssh", OLD, fixed=FIXED), published="2024-07-01",
        upstream=("UBUNTU-CVE-2024-6387",)),
    osv("UBUNTU-CVE-2024-6387", built(JAMMY, "openssh", OLD, fixed=FIXED), published="2024-07-01",
        upstream=("CVE-2024-6387",)),
    osv("USN-9001-1", built(JAMMY, "openssh", OLD, FIXED, fixed=LATER), upstream=("UBUNTU-CVE-2026-1",)),
    osv("UBUNTU-CVE-2026-2", built(JAMMY, "openssh", OLD, LATER, "1:8.9p1-3ubuntu0.17"),
        published="2026-11-20"),
    osv("USN-9002-1", built(BIONIC, "openssh", fixed="1:7.6p1-4ubuntu0.7"), published="2022-01-01",
        upstream=("UBUNTU-CVE-2021-41617",)),
    osv("USN-9003-1", built(PRO, "openssh", fixed="1:7.6p1-4ubuntu0.7+esm4"), published="2026-01-01",
        upstream=("UBUNTU-CVE-2025-26465",)),
    osv("USN-9004-1", built("Ubuntu:Pro:FIPS-updates:22.04:LTS", "openssh", fixed="1:8.9p1-3ubuntu0.99")),
    osv("USN-9005-1", built("Ubuntu:24.04:LTS", "php8.3", fixed="8.3.6-0ubuntu0.24.04.9")),
    osv("USN-9006-1", built(JAMMY, "openssh", fixed="1:8.9p1-3ubuntu0.77"), withdrawn="2026-11-02T00:00:00Z"),
    osv("USN-9007-1", built(JAMMY, "linux", fixed="5.15.0-200.210"), published="2026-11-21"),
)  # fmt: skip


def archive(*records: dict[str, Any], name: str = "./osv/{}.json") -> bytes:
    """As `osv-all.tar.xz`."""
    with io.BytesIO() as raw:
        with tarfile.open(fileobj=raw, mode="w") as tar:
            for record in records:
                data = json.dumps(record, indent=2).encode()
                member = tarfile.TarInfo(name.format(record["id"]))
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        return lzma.compress(raw.getvalue())


UBUNTU = archive(*RECORDS)

# -------------------------------------------------------------------------------------- good answers


@pytest.fixture(scope="module")
def jammy(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The shipped data with Ubuntu's levels beside it."""
    folder = tmp_path_factory.mktemp("jammy")
    with running_site() as site:
        site.serve(UBUNTU_PATH, UBUNTU, Last_Modified="Sat, 21 Nov 2026 08:00:00 GMT")
        found = bring(site, folder, "ubuntu")["ubuntu"]
    assert (found.state, found.date) == ("updated", "2026-11-21")
    return in_use(folder)


def test_ubuntu(jammy: Reference, shipped: Reference) -> None:
    level = jammy.packages["openssh"]["ubuntu 22.04"]
    assert (level.newest, level.newest_date, level.seen) == (LATER, "2026-11-01", "1:8.9p1-3ubuntu0.17")
    assert [entry[:2] for entry in level.history] == [(LATER, "2026-11-01"), (FIXED, "2024-07-01")]
    assert level.fixed == {"CVE-2024-6387": FIXED}
    assert level.extended is None
    assert jammy.packages["php"]["ubuntu 24.04"].newest == "8.3.6-0ubuntu0.24.04.9"
    assert jammy.packages["openssh"]["debian 12"] == shipped.packages["openssh"]["debian 12"]
    assert "linux" not in jammy.packages


@pytest.mark.parametrize(
    ("revision", "expected"),
    [
        ("8.9p1 Ubuntu-3ubuntu0.9", "fail"),  # regreSSHion, 2024
        ("8.9p1 Ubuntu-3ubuntu0.10", "pass"),  # superseded 22 days ago
        ("8.9p1 Ubuntu-3ubuntu0.16", "pass"),
        ("8.9p1 Ubuntu-3ubuntu0.17", "pass"),  # an upload without a fix
        ("8.9p1 Ubuntu-3ubuntu0.18", "stale"),  # newer than the data
        ("8.9p1 Ubuntu-3ubuntu0.77", "stale"),  # withdrawn
        ("7.6p1 Ubuntu-4ubuntu0.7", "pass"),  # the newest without payment; PAT-01 fails it
        ("7.6p1 Ubuntu-4ubuntu0.7+esm3", "fail"),
        ("7.6p1 Ubuntu-4ubuntu0.7+esm4", "pass"),
        ("9.6p1 Ubuntu-3ubuntu13.99", "no-data"),  # a release that the file does not have
    ],
)
def test_ubuntu_revisions(revision: str, expected: str, jammy: Reference) -> None:
    (product,) = parse("ssh", f"SSH-2.0-OpenSSH_{revision}")
    ruling = at_newest_patch(product, jammy, NOW)
    assert (ruling.reason or ruling.verdict) == expected
    assert ruling.next_step or ruling.reason is None


def test_without_ubuntus_levels_the_next_step_names_them(shipped: Reference) -> None:
    (product,) = parse("ssh", "SSH-2.0-OpenSSH_8.9p1 Ubuntu-3ubuntu0.16")
    ruling = at_newest_patch(product, shipped, NOW)
    assert ruling.reason == "no-data"
    assert "seccheck feeds update" in ruling.next_step


def test_of_a_release_no_longer_published_what_was_there_stays(site: Site, tmp_path: Path) -> None:
    site.serve(UBUNTU_PATH, UBUNTU)
    bring(site, tmp_path, "ubuntu")
    left = [record for record in RECORDS if BIONIC not in str(record) and PRO not in str(record)]
    site.serve(UBUNTU_PATH, archive(*left, osv("USN-9100-1", published="2026-11-22")))
    assert bring(site, tmp_path, "ubuntu")["ubuntu"].date == "2026-11-22"
    assert in_use(tmp_path).packages["openssh"]["ubuntu 18.04"].newest == "1:7.6p1-4ubuntu0.7"


def test_kev(site: Site, tmp_path: Path, shipped: Reference) -> None:
    site.serve(KEV_PATH, kev(("CVE-2026-99999", "F5", "nginx"), ("CVE-2026-99998", "Nobody", "Nothing")))
    found = bring(site, tmp_path, "kev")["kev"]
    assert (found.state, found.date) == ("updated", "2026-11-20")
    reference = in_use(tmp_path)
    assert reference.exploited_ids["CVE-2026-99998"] == "2026-11-20"
    assert set(shipped.exploited_ids) <= set(reference.exploited_ids)
    fresh = free_of_known_exploited(Product(name="squid", version="7.6"), reference, NOW)
    assert fresh.verdict == "pass"


def test_a_new_entry_without_ranges_ends_passing(site: Site, tmp_path: Path) -> None:
    site.serve(KEV_PATH, kev(("CVE-2026-99999", "Apache", "Tomcat")))
    bring(site, tmp_path, "kev")
    ruling = free_of_known_exploited(Product(name="tomcat", version="11.0.25"), in_use(tmp_path), NOW)
    assert (ruling.verdict, ruling.reason) == ("inconclusive", "no-data")
    assert ruling.candidates == ("CVE-2026-99999",)


def test_eol(site: Site, tmp_path: Path) -> None:
    site.serve(EOL_PATH, eol())
    assert bring(site, tmp_path, "eol")["eol"].state == "updated"
    reference = in_use(tmp_path)
    assert reference.feed_date("eol") == "2026-11-21"
    assert supported({"name": "nginx", "version": "1.30.9"}, reference, NOW).verdict == "pass"
    assert supported({"name": "nginx", "version": "1.29.8"}, reference, NOW).verdict == "fail"
    site.serve(EOL_PATH, eol("2026-11-22", isEol=True, eolFrom="2026-11-01"))
    bring(site, tmp_path, "eol")
    assert supported({"name": "nginx", "version": "1.30.9"}, in_use(tmp_path), NOW).verdict == "fail"


def test_releases(site: Site, tmp_path: Path, shipped: Reference) -> None:
    for slug in shipped.listed_releases():
        body = {"releases": {}, "versions": {"1.30.9": {"name": "1.30.9", "date": "2026-11-18"}}}
        site.serve(f"/endoflife-date/release-data/main/releases/{slug}.json", body)
    del site.answers["/endoflife-date/release-data/main/releases/squid.json"]
    found = bring(site, tmp_path, "releases")["releases"]
    assert (found.state, found.date) == ("updated", "2026-11-22")
    assert in_use(tmp_path).releases("nginx") == {"1.30.9": "2026-11-18"}
    assert in_use(tmp_path).releases("squid") == {}
    site.serve("/endoflife-date/release-data/main/releases/nginx.json", b"oops", code=500)
    assert bring(site, tmp_path, "releases")["releases"].state == "failed"
    assert in_use(tmp_path).releases("nginx") == {"1.30.9": "2026-11-18"}


def test_debian(site: Site, tmp_path: Path) -> None:
    site.serve(DEBIAN_PATH, debian(), Last_Modified="Sun, 22 Nov 2026 08:00:00 GMT")
    found = bring(site, tmp_path, "debian")["debian"]
    assert (found.state, found.date) == ("updated", "2026-11-22")
    openssh = in_use(tmp_path).packages["openssh"]
    level = openssh["debian 12"]
    assert (level.newest, level.newest_date) == ("1:9.2p1-2+deb12u11", "2026-11-22")
    assert level.history[1][:2] == ("1:9.2p1-2+deb12u10", "2026-05-05")
    assert level.fixed == {"CVE-2024-6387": "1:9.2p1-2+deb12u3"}
    assert openssh["debian 11"].newest == "1:8.4p1-5+deb11u7"
    assert openssh["debian 11"].not_affected == ("CVE-2024-6387",)
    assert in_use(tmp_path).packages["php"]["debian 12"].newest == "8.2.37-1~deb12u1"


def test_ranges(site: Site, tmp_path: Path, shipped: Reference) -> None:
    tomcat = cpe(
        "cpe:2.3:a:apache:tomcat:*:*:*:*:*:*:*:*", versionStartIncluding="9.0.0", versionEndExcluding="9.0.99"
    )
    exact = cpe("cpe:2.3:a:apache:tomcat:9.0.0:milestone1:*:*:*:*:*:*")
    iis = cpe("cpe:2.3:a:microsoft:internet_information_services:10.0:*:*:*:*:*:*:*")
    php = cpe("cpe:2.3:a:php:php:*:*:*:*:*:*:*:*", versionStartExcluding="8.4.0", versionEndIncluding="8.4.2")
    windows = cpe("cpe:2.3:o:microsoft:windows:-:*:*:*:*:*:*:*", vulnerable=False)
    site.serve(
        f"{NVD_PATH}0",
        nvd(0, 3, nvd_flaw("CVE-2025-24813", tomcat, exact), nvd_flaw("CVE-2026-99990", iis)),
    )
    site.serve(f"{NVD_PATH}2", nvd(2, 3, nvd_flaw("CVE-2026-99991", php, windows, operator="AND")))
    found = bring(site, tmp_path, "ranges")["ranges"]
    assert (found.state, found.date) == ("updated", "2026-11-22")
    reference = in_use(tmp_path)
    tomcats = {flaw.cve: flaw for flaw in reference.all_ranges() if flaw.product == "tomcat"}
    renewed = tomcats["CVE-2025-24813"]
    assert renewed.source == "nvd"
    assert renewed.condition
    assert {(row.since, row.fixed, row.exact) for row in renewed.affected} == {
        ("9.0.0", "9.0.99", ""),
        ("", "", "9.0.0-milestone1"),
    }
    (new,) = [flaw for flaw in reference.all_ranges() if flaw.cve == "CVE-2026-99991"]
    assert (new.product, new.decisive, new.requires_os) == ("php", "os", "windows")
    assert (new.affected[0].after, new.affected[0].through) == ("8.4.0", "8.4.2")
    assert not [flaw for flaw in reference.all_ranges() if flaw.cve == "CVE-2026-99990"]
    assert len(reference.all_ranges()) == len(shipped.all_ranges()) + 1


def test_conditional_requests(site: Site, tmp_path: Path) -> None:
    site.serve(KEV_PATH, kev(), ETag='"one"')
    assert bring(site, tmp_path, "kev")["kev"].state == "updated"
    assert bring(site, tmp_path, "kev")["kev"].state == "unchanged"
    assert site.asked[-1][1]["If-None-Match"] == '"one"'
    site.serve(KEV_PATH, kev(released="2026-11-22"), ETag='"two"')
    assert bring(site, tmp_path, "kev")["kev"].date == "2026-11-22"
    assert site.asked[0][1]["User-Agent"].startswith("seccheck/")


def test_the_same_content_is_unchanged(site: Site, tmp_path: Path) -> None:
    site.serve(KEV_PATH, kev())
    assert bring(site, tmp_path, "kev")["kev"].state == "updated"
    assert bring(site, tmp_path, "kev")["kev"].state == "unchanged"


def test_compressed(site: Site, tmp_path: Path) -> None:
    site.serve(KEV_PATH, gzip.compress(json.dumps(kev()).encode()), Content_Encoding="gzip")
    assert bring(site, tmp_path, "kev")["kev"].state == "updated"


# --------------------------------------------------------------------------------------- bad answers


def endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 65536)


def broken_off(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.wfile.write(json.dumps(kev()).encode())


def broken_chunks(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b'5\r\n{"cat\r\n')


def bomb(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.end_headers()
    handler.wfile.write(gzip.compress(b" " * 30_000_000))


def half_gzip(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.end_headers()
    handler.wfile.write(gzip.compress(json.dumps(kev()).encode())[:-12])


def redirect(to: str) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.end_headers()

    return answer


def body(data: object, **headers: str) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        raw = data if isinstance(data, bytes) else json.dumps(data).encode()
        handler.send_response(200)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(raw)

    return answer


WHOLE = json.dumps(kev()).encode()
BAD_KEV = {
    "endless": endless,
    "broken off": broken_off,
    "broken chunks": broken_chunks,
    "a bomb": bomb,
    "half of a gzip": half_gzip,
    "another protocol": redirect("ftp://127.0.0.1/kev.json"),
    "round in circles": redirect(KEV_PATH),
    "no JSON": body(b"<html>maintenance</html>"),
    "truncated": body(WHOLE[: len(WHOLE) // 2]),
    "empty": body(b""),
    "another form": body({"vulnerabilities": "none"}),
    "no entries": body({**kev(), "vulnerabilities": [], "count": 0}),
    "fewer than announced": body(kev(count=7)),
    "older than ours": body(kev(released="2026-08-19")),
    "of a day to come": body(kev(released="2026-12-24")),
    "without a date": body({**kev(), "dateReleased": "some day"}),
    "bad day inside": body(
        {**kev(), "vulnerabilities": [{**kev()["vulnerabilities"][0], "dateAdded": "11/20/2026"}], "count": 1}
    ),
    "not UTF-8": body(WHOLE.replace(b"flaw", b"fl\xffw")),
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small limits, so that large answers need not be so large."""
    for feed, publisher in PUBLISHERS.items():
        monkeypatch.setitem(PUBLISHERS, feed, Publisher(publisher.url, 2_000_000, publisher.licence))


@pytest.mark.parametrize("case", BAD_KEV)
def test_what_was_there_stays(case: str, site: Site, tmp_path: Path, small: None) -> None:
    site.answers[KEV_PATH] = BAD_KEV[case]
    before = in_use(tmp_path).files
    found = bring(site, tmp_path, "kev")["kev"]
    assert found.state == "failed"
    assert found.date == "2026-08-20"
    assert found.detail
    assert in_use(tmp_path).files == before
    site.serve(KEV_PATH, kev())
    assert bring(site, tmp_path, "kev")["kev"].state == "updated"
    good = in_use(tmp_path).files
    site.answers[KEV_PATH] = BAD_KEV[case]
    assert bring(site, tmp_path, "kev")["kev"].state == "failed"
    assert in_use(tmp_path).files == good


@pytest.mark.parametrize(
    ("feed", "path", "data"),
    [
        ("eol", EOL_PATH, {**eol(), "total": 400}),
        ("eol", EOL_PATH, {**eol(), "result": []}),
        ("eol", EOL_PATH, {**eol(), "result": [], "total": 0}),
        ("eol", EOL_PATH, eol(eolFrom="soon")),
        ("eol", EOL_PATH, eol("2026-08-01")),
        ("debian", DEBIAN_PATH, {}),
        ("debian", DEBIAN_PATH, {"openssh": []}),
        ("debian", DEBIAN_PATH, {"unrelated": {}}),
        ("ranges", f"{NVD_PATH}0", nvd(0, 5, nvd_flaw("CVE-2026-99991"))),
        ("ranges", f"{NVD_PATH}0", {**nvd(0, 0), "format": "NVD_CPE"}),
        ("ranges", f"{NVD_PATH}0", {"vulnerabilities": []}),
        ("ubuntu", UBUNTU_PATH, UBUNTU[: len(UBUNTU) // 2]),
        ("ubuntu", UBUNTU_PATH, UBUNTU[:-40]),
        ("ubuntu", UBUNTU_PATH, b""),
        ("ubuntu", UBUNTU_PATH, lzma.compress(b"no archive")),
        ("ubuntu", UBUNTU_PATH, archive()),
        ("ubuntu", UBUNTU_PATH, archive(RECORDS[-1])),
        ("ubuntu", UBUNTU_PATH, archive(*RECORDS, {"id": "USN-1"})),
        ("ubuntu", UBUNTU_PATH, archive(*RECORDS, osv("USN-1", published="soon"))),
        ("ubuntu", UBUNTU_PATH, archive(*RECORDS, osv("USN-1", published="2027-01-01"))),
        ("ubuntu", UBUNTU_PATH, archive({**RECORDS[0], "affected": "none"})),
    ],
)
def test_other_publishers(feed: str, path: str, data: object, site: Site, tmp_path: Path) -> None:
    site.answers[path] = body(data)
    assert bring(site, tmp_path, feed)[feed].state == "failed"
    assert read_folder(tmp_path) == {}


def test_an_archive_that_unpacks_to_too_much(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.serve(UBUNTU_PATH, UBUNTU)
    for name in ("MAX_RECORD", "MAX_UNPACKED"):
        with monkeypatch.context() as patch:
            patch.setattr(f"seccheck.feeds.ubuntu.{name}", 2000 if name == "MAX_UNPACKED" else 500)
            found = bring(site, tmp_path, "ubuntu")["ubuntu"]
            assert (found.state, "too large" in found.detail) == ("failed", True)
    assert bring(site, tmp_path, "ubuntu")["ubuntu"].state == "updated"
    site.serve(UBUNTU_PATH, archive(RECORDS[0], osv("USN-9", published="2026-11-22")))
    assert "where ours has" in bring(site, tmp_path, "ubuntu")["ubuntu"].detail
    site.serve(UBUNTU_PATH, archive(*RECORDS[:-1]))
    assert "older than ours" in bring(site, tmp_path, "ubuntu")["ubuntu"].detail
    assert in_use(tmp_path).packages["openssh"]["ubuntu 22.04"].newest == LATER


def test_a_publisher_that_stalls(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PAUSE", 0.3)
    release = threading.Event()

    def stall(handler: Handler) -> None:
        release.wait(5)

    site.answers[KEV_PATH] = stall
    began = time.monotonic()
    assert bring(site, tmp_path, "kev")["kev"].state == "failed"
    release.set()
    assert time.monotonic() - began < 3


def test_one_publisher_that_fails_stops_no_other(site: Site, tmp_path: Path) -> None:
    site.serve(KEV_PATH, kev())
    found = bring(site, tmp_path, "kev", "eol", "debian")
    assert {feed: outcome.state for feed, outcome in found.items()} == {
        "kev": "updated",
        "eol": "failed",
        "debian": "failed",
    }


def test_nobody_answers(tmp_path: Path) -> None:
    (found,) = update(["kev"], {"kev": "http://127.0.0.1:1"}, tmp_path, now=clock)
    assert found.state == "failed"


def test_unknown_feed(tmp_path: Path) -> None:
    with pytest.raises(SeccheckError) as caught:
        update(["kevs"], {}, tmp_path)
    assert "kev" in caught.value.next_step


def test_addresses() -> None:
    for publisher in PUBLISHERS.values():
        assert publisher.url.startswith("https://")


# --------------------------------------------------------------------------------- status and import


def test_status(site: Site, tmp_path: Path) -> None:
    site.serve(KEV_PATH, kev())
    bring(site, tmp_path, "kev")
    found = {feed.id: feed for feed in status(tmp_path, now=clock)}
    assert found["kev"].origin == "fetched"
    assert found["kev"].age_days == 3
    assert not found["kev"].old
    assert found["eol"].origin == "shipped"
    assert found["eol"].age_days == 93
    assert found["eol"].old
    assert [feed for feed, row in found.items() if not row.updatable] == ["builds", "products"]


@pytest.mark.parametrize(
    ("feed", "data", "day"),
    [
        ("kev", kev(), "2026-11-20"),
        ("eol", eol(), "2026-11-21"),
        ("ranges", nvd(0, 1, nvd_flaw("CVE-2026-99991")), "2026-11-22"),
        ("debian", debian(), "2026-11-23"),
        ("ubuntu", UBUNTU, "2026-11-21"),
    ],
)
def test_import_of_publishers_files(feed: str, data: object, day: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    as_of = date(2026, 11, 23) if feed == "debian" else None
    (found,) = import_file(path, tmp_path / "data", as_of=as_of, now=clock)
    assert (found.feed, found.state if feed != "ranges" else "updated", found.date) == (feed, "updated", day)


def test_import_of_a_run_s_reference_data(site: Site, tmp_path: Path) -> None:
    site.serve(KEV_PATH, kev())
    bring(site, tmp_path / "there", "kev")
    carried = tmp_path / "reference.json.gz"
    carried.write_bytes(pack(in_use(tmp_path / "there")))
    found = {outcome.feed: outcome.state for outcome in import_file(carried, tmp_path / "here", now=clock)}
    assert found.pop("kev") == "updated"
    assert set(found.values()) == {"unchanged"}
    assert in_use(tmp_path / "here").feed_date("kev") == "2026-11-20"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no JSON",
        b"[]",
        b"{}",
        b"\x1f\x8bdamaged",
        b'{"feed": "kev", "content": {}}',
        b'{"feed": "none", "date": "2026-11-22", "source": "x", "content": {}}',
        json.dumps(debian()).encode(),
        UBUNTU[:200],
        json.dumps(kev(released="2026-01-01")).encode(),
    ],
)
def test_import_of_something_else(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(data)
    with pytest.raises(SeccheckError) as caught:
        import_file(path, tmp_path / "data", now=clock)
    assert caught.value.next_step
    assert read_folder(tmp_path / "data") == {}


def test_import_of_no_file(tmp_path: Path) -> None:
    with pytest.raises(SeccheckError):
        import_file(tmp_path / "missing", tmp_path / "data")


def test_a_folder_left_half_written_is_read_as_before(site: Site, tmp_path: Path) -> None:
    site.serve(KEV_PATH, kev())
    bring(site, tmp_path, "kev")
    before = in_use(tmp_path).files
    (tmp_path / "kev-0123456789abcdef.json").write_text("half")
    (tmp_path / ".manifest.json.1").write_text("{")
    assert in_use(tmp_path).files == before
    site.serve(KEV_PATH, kev(released="2026-11-22"))
    assert bring(site, tmp_path, "kev")["kev"].state == "updated"
    assert not (tmp_path / "kev-0123456789abcdef.json").exists()


def test_two_at_once(site: Site, tmp_path: Path) -> None:
    site.serve(KEV_PATH, kev())
    site.serve(EOL_PATH, eol())
    threads = [threading.Thread(target=bring, args=(site, tmp_path, feed)) for feed in ("kev", "eol")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(read_folder(tmp_path)) == {"kev", "eol"}


def test_malformed_is_told_by_name(shipped: Reference) -> None:
    with pytest.raises(publishers.Malformed):
        publishers.exploited(b"{}", shipped)
