"""Workflow commands and the step summary: GitHub's limits are kept, and no text can break out."""

import re
from html import unescape

import pytest

from seccheck.reports import Options
from seccheck.reports.github import REPORT, SHOWN, command, literal
from seccheck.reports.run import RunFolder

COMMAND = re.compile(r"::(error|warning) ([^:]*)::(.*)")


def written(run, place, monkeypatch, **options):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place / "summary.md"))
    out = place / "github.txt"
    REPORT.save(RunFolder(run), out, Options(**{"language": "en", **options}))
    return out.read_text("utf-8").splitlines(), (place / "summary.md").read_text("utf-8")


@pytest.mark.parametrize("kind", ["run_folder", "hostile_run"])
@pytest.mark.parametrize("language", ["vi", "en"])
def test_every_line_is_one_command_within_githubs_limits(request, tmp_path, monkeypatch, kind, language):
    lines, _ = written(request.getfixturevalue(kind), tmp_path, monkeypatch, language=language)
    kinds = [COMMAND.fullmatch(line)[1] for line in lines]
    assert 0 < kinds.count("error") <= SHOWN
    assert kinds.count("warning") <= SHOWN


def test_the_gravest_are_shown_and_the_rest_counted(run_folder, tmp_path, monkeypatch):
    lines, summary = written(run_folder, tmp_path, monkeypatch)
    fails = sum(
        one.counted and one.verdict == "fail"
        for system in RunFolder(run_folder).systems()
        for one in system.findings
    )
    assert fails > SHOWN
    errors = [line for line in lines if line.startswith("::error")]
    assert errors[-1] == f"::error title=seccheck::and {fails - SHOWN + 1} more rows"
    assert all("file=registry.yaml,line=" in line for line in errors[:-1])
    rows = [line for line in summary.splitlines() if line.startswith("| ")]
    grave = [row.split("|")[1].strip() for row in rows[2:]]
    fails_first = grave[:fails]
    order = ["critical", "high", "medium", "low"]
    assert fails_first == sorted(fails_first, key=order.index)


def test_a_table_row_holds_whatever_a_server_says(hostile_run, tmp_path, monkeypatch):
    _, summary = written(hostile_run, tmp_path, monkeypatch)
    rows = [line for line in summary.splitlines() if line.startswith("| ")]
    assert len(rows) > 5
    assert {row.count("|") for row in rows} == {8}
    assert "<" not in summary
    assert "`" not in summary


@pytest.mark.parametrize(
    "text",
    ["<img src=x onerror=alert(1)>", "[a](javascript:x)", "a|b", "**x**", "`x`", "@everyone", "&lt;", "#1"],
)
def test_entities_mark_up_nothing_and_read_as_before(text):
    assert not set(literal(text)) & set("<>[]()|*`@!\\")
    assert unescape(literal(text)) == text


def test_a_command_cannot_be_ended_early():
    line = command("error", "a\n::error::b\r% c", {"title": "x,file=y::z"})
    assert line.count("\n") == 1
    assert line.startswith("::error title=x%2Cfile=y%3A%3Az::a%0A::error::b%0D%25 c")


def test_elsewhere_no_summary_is_written(run_folder, tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    REPORT.save(RunFolder(run_folder), tmp_path / "out.txt", Options())
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]
