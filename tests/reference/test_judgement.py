"""What products come to: the table of banners, and rules that must hold for all of them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seccheck.model import Reason, Verdict
from seccheck.probes.banner.fingerprints import parse
from seccheck.reference import (
    Product,
    Reference,
    Ruling,
    at_newest_patch,
    free_of_known_exploited,
    supported,
)
from seccheck.reference.exploited import matches
from seccheck.reference.versions import compare

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 6, tzinfo=UTC)
QUESTIONS = {"supported": supported, "exploited": free_of_known_exploited, "newest": at_newest_patch}


def rows() -> list[dict[str, str]]:
    lines = (Path(__file__).parent / "banners.tsv").read_text(encoding="utf-8").splitlines()
    return list(
        csv.DictReader(
            (line for line in lines if not line.startswith("# ")), delimiter="\t", quoting=csv.QUOTE_NONE
        )
    )


ROWS = rows()


def product_of(row: dict[str, str]) -> Product:
    (product,) = [
        product
        for product in parse(row["source"], row["text"])
        if (product.name, product.version) == (row["product"], row["version"])
    ]
    return product


def outcome(ruling: Ruling) -> str:
    assert (ruling.reason is None) == (ruling.verdict is not Verdict.INCONCLUSIVE)
    assert ruling.expected
    assert ruling.observed
    assert ruling.next_step or ruling.reason is None
    return ruling.reason or ruling.verdict


@pytest.mark.parametrize("row", ROWS, ids=[f"{row['text'][:48]}:{row['product']}" for row in ROWS])
def test_banner(row: dict[str, str], fresh: Reference) -> None:
    product = product_of(row)
    for field in ("distribution", "release", "revision", "os"):
        assert getattr(product, field) == row[field]
    found = {question: outcome(ask(product, fresh, AT)) for question, ask in QUESTIONS.items()}
    assert found == {question: row[question] for question in QUESTIONS}


@pytest.mark.parametrize("row", ROWS, ids=[f"{row['text'][:48]}:{row['product']}" for row in ROWS])
def test_banner_with_old_data(row: dict[str, str], shipped: Reference) -> None:
    """Old data takes passes away and nothing else."""
    product = product_of(row)
    for question, ask in QUESTIONS.items():
        expected, found = row[question], outcome(ask(product, shipped, LATER))
        if expected == "pass":
            assert found in {"pass", "stale"}
        elif expected not in {"stale", "no-data"}:
            assert found in {expected, "stale"} if expected != "fail" else found == "fail"
    assert outcome(free_of_known_exploited(product, shipped, LATER)) != "pass"


def test_no_distributed_number_fails_for_a_flaw(fresh: Reference) -> None:
    """A number that distributions keep while patching never fails without package evidence."""
    for frozen in fresh.builds.frozen:
        product = Product(name=frozen.product, version=frozen.version.replace("*", "5"))
        for ask in (free_of_known_exploited, at_newest_patch):
            ruling = ask(product, fresh, AT)
            assert ruling.verdict is not Verdict.FAIL, (frozen, ruling)


@pytest.mark.parametrize(
    "marker", ["ubuntu", "rhel", "centos", "almalinux", "fedora", "amazon-linux", "sles"]
)
def test_no_marked_build_fails_for_a_flaw(marker: str, fresh: Reference) -> None:
    for name in ("apache-http-server", "nginx", "php", "openssl", "exim", "proftpd", "tomcat"):
        for version in [*fresh.numbers(name), "2.4.49", "4.91", "9.0.98"]:
            product = Product(name=name, version=version, distribution=marker, os="linux")
            for ask in (free_of_known_exploited, at_newest_patch):
                assert ask(product, fresh, AT).verdict is not Verdict.FAIL


def test_newest_packages_pass(fresh: Reference) -> None:
    """The newest package of a maintained release passes everything, as it would show itself."""
    for name, form in (("openssh", "SSH-2.0-OpenSSH_{0} Debian-{1}"), ("bind", "{0}-{1}-Debian")):
        for release, (_, level) in fresh.package_levels(name).items():
            number, _, revision = level.newest.split(":")[-1].rpartition("-")
            (product,) = parse("ssh" if name == "openssh" else "dns", form.format(number, revision))
            assert f"{product.distribution} {product.release}" == release
            assert at_newest_patch(product, fresh, AT).verdict is Verdict.PASS
            assert free_of_known_exploited(product, fresh, AT).verdict is Verdict.PASS
            expected = Verdict.FAIL if release == "debian 11" else Verdict.PASS
            assert supported(product, fresh, AT).verdict is expected


def test_every_range_ends_where_it_says(fresh: Reference) -> None:
    """The first version with the fix never has the flaw by its own range; the one before may."""
    checked = 0
    for name in fresh.products:
        entry = fresh.entry(name)
        for flaw in fresh.exploited(name):
            for row in flaw.affected:
                if row.fixed and len(flaw.affected) == 1:
                    assert matches(flaw, Product(name=name, version=row.fixed), entry) == "not", flaw.cve
                    checked += 1
                if row.since not in {"", "0"} and row.fixed and compare(row.since, row.fixed) < 0:
                    assert matches(flaw, Product(name=name, version=row.since), entry) != "not", flaw.cve
                    checked += 1
    assert checked > 200


@pytest.mark.parametrize(
    ("name", "version", "flaw"),
    [
        ("apache-http-server", "2.4.49", "CVE-2021-41773"),
        ("tomcat", "10.1.34", "CVE-2025-24813"),
        ("jenkins", "2.426.2", "CVE-2024-23897"),
        ("jenkins", "2.441", "CVE-2024-23897"),
        ("citrix-netscaler", "13.1-37.100", "CVE-2023-4966"),
        ("screenconnect", "23.9.7.8804", "CVE-2024-1709"),
        ("mongodb", "3.6.23", "CVE-2025-14847"),
    ],
)
def test_exploited(name: str, version: str, flaw: str, fresh: Reference) -> None:
    ruling = free_of_known_exploited(Product(name=name, version=version), fresh, AT)
    assert ruling.verdict is Verdict.FAIL
    assert flaw in ruling.candidates


@pytest.mark.parametrize(
    ("name", "version", "flaw"),
    [
        ("jenkins", "2.426.3", "CVE-2024-23897"),
        ("jenkins", "2.440.1", "CVE-2024-23897"),
        ("citrix-netscaler", "13.1-37.282", "CVE-2023-4966"),
        ("serv-u", "15.4.2.126", "CVE-2024-28995"),
        ("fortios", "7.0.12", "CVE-2024-55591"),
        ("zimbra", "8.8.15", "CVE-2022-27925"),
        ("exim", "4.92.3", "CVE-2019-10149"),
    ],
)
def test_not_known_to_be_exploited(name: str, version: str, flaw: str, fresh: Reference) -> None:
    """Fixed in its own train, at the edge of a hidden hotfix, or of a product that shows no patch level."""
    ruling = free_of_known_exploited(Product(name=name, version=version), fresh, AT)
    assert ruling.verdict is not Verdict.FAIL or flaw not in ruling.candidates


def test_flaws_outside_the_catalogue_are_not_called_exploited(fresh: Reference) -> None:
    for name in fresh.products:
        for flaw in fresh.notable(name):
            assert flaw.cve not in fresh.exploited_ids
    backdoor = free_of_known_exploited(Product(name="vsftpd", version="2.3.4"), fresh, AT)
    assert backdoor.verdict is Verdict.PASS
    assert supported(Product(name="vsftpd", version="2.3.4"), fresh, AT).verdict is Verdict.FAIL


def test_a_month_of_grace(dated: Callable[[str], Reference]) -> None:
    product = parse("ssh", "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u9")[0]
    reference = dated("2026-05-20")
    assert at_newest_patch(product, reference, datetime(2026, 6, 4, tzinfo=UTC)).verdict is Verdict.PASS
    assert at_newest_patch(product, reference, datetime(2026, 6, 5, tzinfo=UTC)).verdict is Verdict.FAIL
    assert at_newest_patch(product, reference, datetime(2026, 6, 4, tzinfo=UTC), 7).verdict is Verdict.FAIL


def test_ages_of_data(dated: Callable[[str], Reference]) -> None:
    newest = Product(name="nginx", version="1.30.4")
    for feed_day, expected in (("2026-10-23", "pass"), ("2026-10-22", "stale")):
        ruling = free_of_known_exploited(newest, dated(feed_day), AT)
        assert outcome(ruling) == expected
    for feed_day, expected in (("2026-09-23", "pass"), ("2026-09-22", "stale")):
        assert outcome(at_newest_patch(newest, dated(feed_day), AT)) == expected
    for feed_day, expected in (("2026-05-26", "pass"), ("2026-05-25", "stale")):
        assert outcome(supported(newest, dated(feed_day), AT)) == expected


def test_an_announced_end_is_believed_from_old_data(dated: Callable[[str], Reference]) -> None:
    php = Product(name="php", version="8.4.28")
    assert supported(php, dated("2026-01-01"), AT).verdict is Verdict.PASS
    assert supported(php, dated("2026-01-01"), datetime(2029, 1, 1, tzinfo=UTC)).verdict is Verdict.FAIL


def test_recorded_facts_are_taken_as_they_are(fresh: Reference) -> None:
    fact = {"name": "nginx", "version": "1.21.6", "source": "server"}
    assert supported(fact, fresh, AT).verdict is Verdict.FAIL
    assert supported({"name": "msexchange", "version": "15.2.1544.4"}, fresh, AT).verdict is Verdict.FAIL


def test_windows_settles_what_only_windows_has(fresh: Reference) -> None:
    php = {"name": "php", "version": "8.2.12"}
    assert outcome(free_of_known_exploited(php, fresh, AT)) == Reason.UNDISCLOSED
    assert outcome(free_of_known_exploited({**php, "os": "windows"}, fresh, AT)) == "fail"
    assert outcome(free_of_known_exploited({**php, "os": "linux"}, fresh, AT)) == "pass"


@given(
    st.sampled_from(["openssh", "nginx", "apache-http-server", "exchange", "unknown", "jenkins", "php", ""]),
    st.text(max_size=40),
    st.sampled_from(["", "debian", "ubuntu", "rhel", "freebsd", "of their own"]),
    st.text(max_size=20) | st.text(alphabet="0123456789deb+u~_.-:", max_size=12),
)
def test_no_text_breaks_it(
    fresh: Reference, name: str, version: str, distribution: str, revision: str
) -> None:
    product = Product(name=name, version=version, distribution=distribution, revision=revision)
    for ask in QUESTIONS.values():
        outcome(ask(product, fresh, AT))
