"""SARIF by the official schema, and by the rules of the standard that no schema can hold."""

import json
import shutil
from pathlib import Path

import jsonschema
import pytest

from seccheck.reports import Options
from seccheck.reports.run import RunFolder
from seccheck.reports.sarif import FAILS, REPORT, escaped
from seccheck.reports.words import Words

SCHEMA = json.loads((Path(__file__).parents[1] / "schemas/sarif-2.1.0.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft4Validator(SCHEMA, format_checker=jsonschema.FormatChecker())


def written(run: Path, place: Path, report=REPORT, **options):
    out = place / "out.sarif"
    report.save(RunFolder(run), out, Options(**{"language": "en", **options}))
    document = json.loads(out.read_bytes())
    VALIDATOR.validate(document)
    (only,) = document["runs"]
    return only


@pytest.mark.parametrize("language", ["vi", "en"])
@pytest.mark.parametrize("report", [REPORT, FAILS], ids=lambda one: one.id)
@pytest.mark.parametrize("kind", ["run_folder", "hostile_run"])
def test_the_official_schema_accepts_it(request, tmp_path, kind, report, language):
    run = written(request.getfixturevalue(kind), tmp_path, report, language=language)
    assert run["language"] == language
    assert run["results"]


def test_every_finding_is_a_result_of_its_kind(run_folder, tmp_path):
    results = written(run_folder, tmp_path)["results"]
    findings = [one for system in RunFolder(run_folder).systems() for one in system.findings]
    assert len(results) == len(findings)
    kinds = {"pass": "pass", "fail": "fail", "inconclusive": "review", "not-applicable": "notApplicable"}
    for result, finding in zip(results, findings, strict=True):
        assert result["kind"] == kinds[finding.observed_verdict]
        assert ("suppressions" in result) == (finding.verdict == "waived")


def test_only_a_fail_has_a_level(run_folder, tmp_path):
    """SARIF 3.27.10: a kind other than fail has the level none."""
    for result in written(run_folder, tmp_path)["results"]:
        assert (result["level"] == "none") == (result["kind"] != "fail")
        if result["kind"] == "fail" and not result["properties"]["counted"]:
            assert result["level"] == "note"


def test_fails_alone_are_what_counts_and_is_not_waived(run_folder, tmp_path):
    results = written(run_folder, tmp_path, FAILS)["results"]
    findings = [one for system in RunFolder(run_folder).systems() for one in system.findings]
    assert len(results) == sum(one.counted and one.verdict == "fail" for one in findings) > 0
    assert all(result["kind"] == "fail" and "suppressions" not in result for result in results)


def test_rules_are_found_by_their_index_and_carry_help(run_folder, tmp_path):
    run = written(run_folder, tmp_path, language="vi")
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    help_of = {rule["id"]: rule["help"]["markdown"] for rule in rules}
    say = Words("vi").gettext
    for part in ("Why", "Remedy", "Basis"):
        assert f"**{say(part)}:**" in help_of["TLS-05"]
    assert "    ssl_ciphers ECDHE" in help_of["TLS-05"]
    assert "Quy chuẩn kỹ thuật quốc gia QCVN 12:2026/BCA, mục 3.16.2.2.1" in help_of["TLS-05"]


def test_fingerprints_are_unique_and_the_same_in_the_next_run(run_folder, later_run, tmp_path):
    def prints(run):
        return {
            one["partialFingerprints"]["primaryLocationLineHash"]: (
                one["ruleId"],
                one["properties"]["system"],
            )
            for one in written(run, tmp_path)["results"]
        }

    first, later = prints(run_folder), prints(later_run)
    assert len(first) == sum(len(system.findings) for system in RunFolder(run_folder).systems())
    same = first.keys() & later.keys()
    assert len(same) > 0.9 * len(first)
    assert all(first[one] == later[one] for one in same)


def test_a_result_points_to_the_line_of_its_system(run_folder, tmp_path):
    registry = json.loads((run_folder / "inputs/registry.json").read_text("utf-8"))
    lines = {system["id"]: 100 + 10 * at for at, system in enumerate(registry["systems"])}
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    for system in registry["systems"]:
        system["line"] = lines[system["id"]]
    registry["file"] = "systems/register 2024.yaml"
    (run / "inputs/registry.json").write_text(json.dumps(registry), "utf-8")
    for result in written(run, tmp_path)["results"]:
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        assert physical["artifactLocation"]["uri"] == "systems/register%202024.yaml"
        assert physical["region"]["startLine"] == lines[result["properties"]["system"]]
        assert location["logicalLocations"][0]["fullyQualifiedName"].startswith(result["properties"]["unit"])


def test_text_can_be_neither_placeholder_nor_link():
    assert escaped("a {0} b") == "a {{0}} b"
    assert "](" not in escaped("[click](http://evil.example)")


def test_the_public_edition_has_no_address_and_no_evidence(run_folder, tmp_path):
    written(run_folder, tmp_path, public=True)
    text = (tmp_path / "out.sarif").read_text("utf-8")
    assert "example.gov.vn" not in text
    assert "TLSv1.0" not in text
    assert text.count('"suppressions"') == 1
