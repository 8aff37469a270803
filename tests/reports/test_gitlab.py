"""GitLab's code quality report: the fields that GitLab reads, for what is counted and open."""

import json

import jsonschema
import pytest

from seccheck.reports import Options
from seccheck.reports.gitlab import REPORT
from seccheck.reports.run import RunFolder

SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "additionalProperties": False,
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "minLength": 1},
            "fingerprint": {"type": "string", "minLength": 1},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": "^[^./]"},
                    "lines": {"type": "object", "properties": {"begin": {"type": "integer", "minimum": 1}}},
                },
            },
        },
    },
}
"""GitLab publishes no schema; this is its documentation ("Code Quality report format") as one."""


def written(run, place, **options):
    out = place / "gitlab.json"
    REPORT.save(RunFolder(run), out, Options(**{"language": "en", **options}))
    issues = json.loads(out.read_bytes())
    jsonschema.validate(issues, SCHEMA)
    return issues


@pytest.mark.parametrize("language", ["vi", "en"])
@pytest.mark.parametrize("kind", ["run_folder", "hostile_run"])
def test_every_issue_has_what_gitlab_reads(request, tmp_path, kind, language):
    assert written(request.getfixturevalue(kind), tmp_path, language=language)


def test_what_is_counted_and_open_is_listed_once(run_folder, tmp_path):
    issues = written(run_folder, tmp_path)
    findings = [one for system in RunFolder(run_folder).systems() for one in system.findings if one.counted]
    fails = [one for one in findings if one.verdict == "fail"]
    doubts = [one for one in findings if one.verdict == "inconclusive"]
    assert len(issues) == len(fails) + len(doubts)
    assert len({issue["fingerprint"] for issue in issues}) == len(issues)
    assert sum(issue["severity"] == "info" for issue in issues) == len(doubts)


def test_nothing_open_is_an_empty_list(run_folder, tmp_path):
    system = next(one for one in RunFolder(run_folder).systems() if one.status == "meets")
    only = [one for one in written(run_folder, tmp_path, unit=system.unit) if system.id in one["description"]]
    assert only == []
