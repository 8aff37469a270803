"""The report in a real Chromium: axe finds nothing, nothing is asked for, nothing runs."""

from __future__ import annotations

import json
import re

import pytest

from seccheck.reports import Options, difference, html_single
from seccheck.reports.run import RunFolder
from tests.reports.axe import axe_source
from tests.reports.browser import browser
from tests.reports.sample import Sample, write_run

AXE = """
axe.run(document, {runOnly: %s, resultTypes: ['violations']})
   .then(result => JSON.stringify(result.violations.map(one =>
      [one.id, one.nodes.length, one.nodes[0].html.slice(0, 300), one.nodes[0].failureSummary])))
"""
FONT = (
    """[...document.fonts].some(face => face.family.includes("Be Vietnam Pro") && face.status == "loaded")"""
)
RULES = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']"
LOOKED = json.dumps(
    [
        "color-contrast",
        "link-in-text-block",
        "target-size",
        "scrollable-region-focusable",
        "empty-table-header",
    ]
)
"""The rules that size, colours and medium have a say in."""
SIZES = {"desk": (1366, 768), "phone": (390, 844)}
PRINTED = json.dumps([rule for rule in json.loads(LOOKED) if rule != "target-size"])
"""Nothing is pressed on paper."""
LOOKS = (
    ("desk", {}), ("desk", {"scheme": "dark"}), ("phone", {}), ("desk", {"media": "print"}),
)  # fmt: skip


@pytest.fixture(scope="module")
def chromium():
    with browser() as one:
        yield one


def page_types(site):
    """One page of each type: the richest, where there are many."""

    def richest(pattern):
        return max(site.glob(pattern), key=lambda path: path.stat().st_size)

    names = ("index.html", "units.demo.html", "criteria.demo.html", "matrix.demo.html", "way-up.demo.html",
             "change.demo.html", "about.demo.html", "systems/does-not-meet.demo.html")  # fmt: skip
    found = [site / name for name in names]
    return [*found, richest("unit/*.html"), richest("system/*/*.html"), richest("criterion/*.html"),
            site / "unit/bac-lieu.demo.html"]  # fmt: skip


def rules_for(size, look):
    if look.get("media") == "print":
        return PRINTED
    return LOOKED if look or size != "desk" else RULES


def test_axe_finds_nothing(site, chromium):
    script = axe_source()
    for path in page_types(site):
        chromium.look(*SIZES["desk"])
        chromium.open(path)
        chromium.run(f"{script}; true")
        for size, look in LOOKS:
            chromium.look(*SIZES[size], **look)
            rules = rules_for(size, look)
            violations = json.loads(chromium.run(AXE % rules))
            assert violations == [], (path.name, size, look)


def test_pages_ask_for_nothing_but_their_style(site, chromium):
    chromium.look(*SIZES["desk"])
    style = (site / "assets/report.css").resolve().as_uri()
    for path in page_types(site):
        chromium.open(path)
        assert chromium.requests == [path.resolve().as_uri(), style]
        assert chromium.messages == []
        assert chromium.run(FONT)


def test_pages_fit_the_width_of_a_phone(site, chromium):
    chromium.look(*SIZES["phone"])
    for path in page_types(site):
        chromium.open(path)
        assert chromium.run("document.documentElement.scrollWidth") <= 390, path.name


def test_figures_are_tabular(site, chromium):
    chromium.look(*SIZES["desk"])
    chromium.open(site / "index.html")
    widths = chromium.run("""(() => {
        const box = document.createElement('span');
        document.querySelector('td.num').append(box);
        return [...'0123456789'].map(digit => {
            box.textContent = digit;
            return box.getBoundingClientRect().width;
        });
    })()""")
    assert len({round(width, 2) for width in widths}) == 1


def test_a_report_of_hostile_servers_runs_nothing(hostile_site, chromium):
    chromium.look(*SIZES["desk"])
    style = (hostile_site / "assets/report.css").resolve().as_uri()
    names = ("index.html", "criterion/TLS-03.html", "systems/all.html")
    systems = sorted(hostile_site.glob("system/*/*.html"), key=lambda path: -path.stat().st_size)
    units = sorted(hostile_site.glob("unit/*.html"), key=lambda path: -path.stat().st_size)
    for path in (*(hostile_site / name for name in names), *systems[:12], *units[:4]):
        chromium.open(path)
        assert chromium.requests == [path.resolve().as_uri(), style], path
        assert chromium.messages == [], path
        assert "owned" not in chromium.run("document.title.slice(0, 5)")
        assert chromium.run("document.querySelectorAll('script, img, [onload], [onerror]').length") == 0


def test_everything_is_reached_with_the_keyboard(site, chromium):
    chromium.look(*SIZES["desk"])
    chromium.open(site / "index.html")
    reached = []
    for _ in range(12):
        for kind in ("keyDown", "keyUp"):
            chromium.send("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(chromium.run("document.activeElement.getAttribute('href')"))
        assert chromium.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert reached[0] == "#content"
    assert "systems/meets.demo.html" in reached
    assert not [href for href in reached if href and href.startswith("system/")]


def test_one_finding_prints_on_one_sheet(site, chromium):
    systems = sorted(site.glob("system/*/*.html"))
    path = max(systems, key=lambda path: path.read_text("utf-8").count("v-fail"))
    anchors = re.findall(r'class="finding v-fail[^"]*" id="([^"]*)"', path.read_text("utf-8"))
    chromium.open(f"{path.resolve().as_uri()}#{anchors[-1]}")
    assert sheets(chromium.print()) == 1
    chromium.open(path)
    assert sheets(chromium.print()) > 1


def sheets(pdf):
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def test_the_page_of_changes_asks_for_nothing_and_passes_axe(tmp_path, chromium, run_folder, later_run):
    for language in ("vi", "en"):
        out = tmp_path / f"diff-{language}.html"
        difference.write(RunFolder(later_run), out, Options(language=language, previous=(run_folder,)))
        chromium.look(*SIZES["desk"])
        chromium.open(out)
        assert chromium.requests == [out.resolve().as_uri()]
        assert chromium.messages == []
        chromium.run(f"{axe_source()}; true")
        assert json.loads(chromium.run(AXE % RULES)) == []
        for size, look in LOOKS:
            chromium.look(*SIZES[size], **look)
            assert json.loads(chromium.run(AXE % rules_for(size, look))) == [], (language, size, look)
            assert chromium.run("document.documentElement.scrollWidth") <= SIZES[size][0]


def test_the_single_file_asks_for_nothing_and_passes_axe(tmp_path, chromium):
    run = write_run(tmp_path / "run", Sample(systems=12))
    for language in ("vi", "en"):
        out = tmp_path / f"report-{language}.html"
        html_single.write(RunFolder(run), out, Options(language=language))
        chromium.look(*SIZES["desk"])
        chromium.open(out)
        assert chromium.requests == [out.resolve().as_uri()]
        assert chromium.messages == []
        assert chromium.run(FONT)
    chromium.run(f"{axe_source()}; true")
    assert json.loads(chromium.run(AXE % RULES)) == []
