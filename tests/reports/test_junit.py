"""JUnit XML as junitparser reads it: a suite for each system, and every finding under its own kind."""

from collections import Counter
from pathlib import Path

import junitparser
import pytest

from seccheck.reports import Options
from seccheck.reports.junit import REPORT
from seccheck.reports.run import RunFolder

KIND = {"fail": "Failure", "inconclusive": "Error", "pass": None}


def written(run: Path, place: Path, **options) -> list[junitparser.TestSuite]:
    out = place / "junit.xml"
    REPORT.save(RunFolder(run), out, Options(**{"language": "en", **options}))
    return list(junitparser.JUnitXml.fromfile(str(out)))


def kinds(suite):
    return [type(case.result[0]).__name__ if case.result else None for case in suite]


def expected(finding):
    counted = finding.verdict in KIND and (finding.counted or finding.verdict == "pass")
    return KIND[finding.verdict] if counted else "Skipped"


def test_a_suite_for_each_system_and_a_case_for_each_finding(run_folder, tmp_path):
    suites = {suite.name: suite for suite in written(run_folder, tmp_path)}
    systems = list(RunFolder(run_folder).systems())
    assert list(suites) == [system.id for system in systems]
    for system in systems:
        assert kinds(suites[system.id]) == [expected(one) for one in system.findings]


def test_the_counts_of_a_suite_are_those_of_its_cases(run_folder, tmp_path):
    for suite in written(run_folder, tmp_path):
        counts = Counter(kinds(suite))
        assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (
            sum(counts.values()),
            counts["Failure"],
            counts["Error"],
            counts["Skipped"],
        )


def test_a_failure_says_what_was_expected_what_was_seen_and_what_to_do(run_folder, tmp_path):
    case = next(
        case
        for suite in written(run_folder, tmp_path)
        for case in suite
        if case.name.startswith("TLS-03") and case.result and isinstance(case.result[0], junitparser.Failure)
    )
    (failure,) = case.result
    assert failure.type == "critical"
    assert (
        failure.message
        == "Fail: tls.versions – Expected: only: TLSv1.2, TLSv1.3; Observed: TLSv1.0, TLSv1.1, TLSv1.2"
    )
    assert failure.text.splitlines()[-1].strip()


def test_what_is_waived_is_skipped_and_says_by_whom(run_folder, tmp_path):
    messages = [
        case.result[0]
        for suite in written(run_folder, tmp_path)
        for case in suite
        if case.result and case.result[0].message.startswith("Waived")
    ]
    (waived,) = messages
    assert isinstance(waived, junitparser.Skipped)
    assert "Cục An toàn thông tin" in waived.text
    assert "2024-09-30" in waived.text


def test_what_is_advised_makes_no_build_red(run_folder, tmp_path):
    advised = [
        case.result[0]
        for suite in written(run_folder, tmp_path)
        for case in suite
        if case.name.startswith("PAT-04") and case.result
    ]
    assert advised
    assert all(isinstance(one, junitparser.Skipped) for one in advised)


@pytest.mark.parametrize("language", ["vi", "en"])
def test_hostile_text_stays_text(hostile_run, tmp_path, language):
    """The parser refuses what is no XML, so reading it back with every system is the proof."""
    suites = written(hostile_run, tmp_path, language=language)
    assert len(suites) == 40
    assert any("<script>" in (case.result[0].text or "") for suite in suites for case in suite if case.result)


def test_one_unit_sees_its_own_systems_alone(run_folder, tmp_path):
    unit = next(RunFolder(run_folder).systems()).unit
    suites = written(run_folder, tmp_path, unit=unit)
    assert suites
    assert {prop.value for suite in suites for prop in suite.properties() if prop.name == "unit"} == {unit}


def test_the_public_edition_has_no_address_and_no_evidence(run_folder, tmp_path):
    written(run_folder, tmp_path, public=True)
    text = (tmp_path / "junit.xml").read_text("utf-8")
    assert "example.gov.vn" not in text
    assert "TLSv1.0" not in text.replace("TLS 1.0", "")
