"""OSCAL assessment results as compliance-trestle reads them, and what its three words leave to be said."""

import json
from pathlib import Path

import pytest

from seccheck.errors import SeccheckError
from seccheck.reports import Options
from seccheck.reports.oscal import NAMESPACE, REPORT
from seccheck.reports.run import RunFolder
from tests.validators import validator

CHECK = Path(__file__).with_name("trestle_check.py")


def written(run: Path, place: Path, **options):
    out = place / "oscal.json"
    REPORT.save(RunFolder(run), out, Options(**{"language": "en", **options}))
    return json.loads(out.read_bytes())["assessment-results"]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("run_folder", {}),
        ("run_folder", {"language": "vi", "public": True}),
        ("hostile_run", {}),
        ("hostile_run", {"language": "vi"}),
    ],
)
def test_trestle_accepts_it(request, tmp_path, kind, options):
    document = written(request.getfixturevalue(kind), tmp_path, **options)
    done = validator("python", CHECK, tmp_path / "oscal.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"valid: {len(document['results'])} results"


def props(entry):
    return {one["name"]: one["value"] for one in entry.get("props", []) if one.get("ns") == NAMESPACE}


def test_a_result_for_each_system_with_every_finding_that_applies(run_folder, tmp_path):
    results = {props(one)["system"]: one for one in written(run_folder, tmp_path)["results"]}
    for system in RunFolder(run_folder).systems():
        applicable = [one for one in system.findings if one.verdict != "not-applicable"]
        findings = results[system.id]["findings"]
        assert [props(one)["fingerprint"] for one in findings] == [one.fingerprint for one in applicable]
        assert [props(one)["verdict"] for one in findings] == [one.verdict for one in applicable]


def test_only_what_passed_is_satisfied(run_folder, tmp_path):
    states = {
        (props(one)["verdict"], one["target"]["status"]["state"], one["target"]["status"]["reason"])
        for result in written(run_folder, tmp_path)["results"]
        for one in result["findings"]
    }
    assert states == {
        ("pass", "satisfied", "pass"),
        ("fail", "not-satisfied", "fail"),
        ("inconclusive", "not-satisfied", "other"),
        ("waived", "not-satisfied", "fail"),
    }


def test_what_does_not_apply_is_left_out_of_the_controls(run_folder, tmp_path):
    for result in written(run_folder, tmp_path)["results"]:
        (selection,) = result["reviewed-controls"]["control-selections"]
        reviewed = {one["control-id"] for one in selection["include-controls"]}
        absent = {one["control-id"] for one in selection.get("exclude-controls", [])}
        assert reviewed == {one["target"]["target-id"] for one in result["findings"]}
        assert not reviewed & absent


def test_a_waiver_is_an_approved_deviation_until_its_day(run_folder, tmp_path):
    (risk,) = (
        risk for result in written(run_folder, tmp_path)["results"] for risk in result.get("risks", [])
    )
    assert risk["status"] == "deviation-approved"
    assert risk["deadline"] == "2024-09-30T23:59:59Z"
    assert props(risk) == {"approved-by": "Cục An toàn thông tin", "ticket": "ATTT-118"}


def test_findings_lead_to_the_observations_they_rest_on(run_folder, tmp_path):
    for result in written(run_folder, tmp_path)["results"]:
        known = {one["uuid"] for one in result["observations"]}
        named = {
            one["observation-uuid"]
            for entry in result["findings"]
            for one in entry.get("related-observations", [])
        }
        assert named == known


def test_the_same_run_gives_the_same_bytes(run_folder, tmp_path):
    written(run_folder, tmp_path)
    first = (tmp_path / "oscal.json").read_bytes()
    written(run_folder, tmp_path)
    assert (tmp_path / "oscal.json").read_bytes() == first


def test_the_public_edition_has_no_address_and_no_evidence(run_folder, tmp_path):
    written(run_folder, tmp_path, public=True)
    text = (tmp_path / "oscal.json").read_text("utf-8")
    assert "example.gov.vn" not in text
    assert "TLSv1.0" not in text


def test_no_system_is_an_error_and_leaves_no_file(run_folder, tmp_path):
    with pytest.raises(SeccheckError, match="no system"):
        written(run_folder, tmp_path, unit="bac-lieu")
    assert list(tmp_path.iterdir()) == []
