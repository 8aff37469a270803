"""The documentation says what the code does: generated parts are fresh, links hold, examples run."""

import importlib.util
import re
from pathlib import Path

import pytest

from tests.tools import tool

ROOT = Path(__file__).parent.parent
SPEC = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
generate = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(generate)
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "criteria").rglob("*.md")])


def parts(page):
    return {match["name"]: match["text"].strip() for match in generate.PART.finditer(page)}


@pytest.mark.parametrize("name", sorted(set(generate.SECTIONS) - generate.SLOW))
def test_generated_parts_are_fresh(name):
    """Stale? `make docs` writes them anew."""
    found = [parts(text)[name] for _, text in generate.pages() if name in parts(text)]
    assert found, f"no page has the part {name}"
    assert {text.strip() for text in found} == {generate.SECTIONS[name]().strip()}


def test_every_mark_is_of_a_known_part():
    for path, text in generate.pages():
        assert text.count("<!-- generated: ") == len(parts(text)) == text.count("<!-- end -->"), path
        assert set(parts(text)) <= set(generate.SECTIONS), path


def test_the_pipeline_of_the_tutorial_runs_and_says_what_the_page_shows(tmp_path, monkeypatch):
    for program in ("nginx", "openssl"):
        tool(program)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    shown = parts((ROOT / "docs/pipeline.md").read_text("utf-8"))["pipeline-output"]
    assert generate.pipeline_output().strip() == shown
    assert list(tmp_path.iterdir()) == [], "the example, or a gate in it, left something behind"


def test_a_part_is_written_anew_and_a_mistaken_mark_is_told():
    text = "<!-- generated: gate-table -->\nold\n<!-- end -->\n"
    new = generate.rewritten(text)
    assert "| fail | yes |" in new
    assert generate.rewritten(new) == new
    with pytest.raises(SystemExit, match="no section"):
        generate.rewritten(text.replace("gate-table", "gate-tabel"))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(page):
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        path = target.partition("#")[0]
        if path and "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / path).exists(), f"{page.name} links to {target}"
