"""The report folder: numbers that re-add, links that lead somewhere, nothing from elsewhere or too much."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from seccheck.errors import SeccheckError
from seccheck.reports import Options, html
from seccheck.reports.run import RunFolder
from seccheck.reports.site import file_name
from seccheck.reports.words import Words
from tests.reports.sample import Sample, write_run

VOID = {"meta", "link", "br", "img", "input", "hr", "rect", "path", "circle", "use"}


class Page(HTMLParser):
    """What a page holds: ids, links, text, elements; and whether its elements are nested well."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.elements: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.source = path.read_text("utf-8")
        self.feed(self.source)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements[tag] += 1
        self.attributes += attrs
        named = dict(attrs)
        if "id" in named:
            self.ids.append(named["id"])
        if tag == "a":
            self.links.append(named["href"])
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data


def pages(folder):
    return {path: Page(path) for path in sorted(folder.rglob("*.html"))}


def write(run, out, **options):
    html.write(RunFolder(run), out, Options(**options))
    return out


def test_every_link_leads_somewhere(site):
    found = pages(site)
    ids = {path.resolve(): set(page.ids) for path, page in found.items()}
    assert len(found) > 250
    for path, page in found.items():
        assert len(page.ids) == len(set(page.ids)), path
        for link in page.links:
            place, _, name = unquote(link).partition("#")
            target = (path.parent / place).resolve() if place else path.resolve()
            assert target in ids, (path, link)
            assert not name or name in ids[target], (path, link)


def test_every_page_is_reached_from_the_first(site):
    found = {path.resolve(): page for path, page in pages(site).items()}
    seen, left = set(), [(site / "index.html").resolve()]
    while left:
        path = left.pop()
        if path not in seen:
            seen.add(path)
            left += [
                (path.parent / unquote(link).partition("#")[0]).resolve()
                for link in found[path].links
                if link[0] != "#"
            ]
    assert found.keys() - seen == set()


def test_pages_ask_for_nothing_and_run_nothing(site):
    for path, page in pages(site).items():
        assert page.elements["script"] == page.elements["iframe"] == page.elements["img"] == 0, path
        assert not [name for name, _ in page.attributes if name.startswith("on") or name == "style"], path
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page.source)[1]
        assert policy.startswith("default-src &#39;none&#39;; style-src"), path
        assert "unsafe" not in policy
        assert not re.search(r'(?:src|href)="(?:https?:)?//', page.source), path
    style = (site / "assets/report.css").read_text("utf-8")
    assert all(
        address.startswith("data:font/woff2") or address[0] == "#"
        for address in re.findall(r"url\(([^)]*)\)", style)
    )


def test_data_for_demonstration_says_so_everywhere(site):
    for path, page in pages(site).items():
        assert re.search(r"<title>\[(Trình diễn|Demonstration)\]", page.source), path
        assert page.elements["div"], path
        assert "Dữ liệu trình diễn" in page.text or "Demonstration data" in page.text, path
        assert path.name == "index.html" or ".demo." in path.name, path


def test_other_data_does_not(hostile_site):
    for path, page in pages(hostile_site).items():
        assert "trình diễn" not in page.text.lower(), path
        assert ".demo." not in path.name


def numbers(text):
    return [int(number.replace(".", "").replace(",", "")) for number in re.findall(r"\b\d[\d.,]*\b", text)]


def test_the_first_page_says_what_the_results_say(site, later_run):
    tally = json.loads((later_run / "results.json").read_bytes())["tally"]["systems"]
    page = Page(site / "index.html")
    figure = re.search(r'<div class="figure">.*?</div>', page.source)[0]
    assert numbers(re.sub("<[^>]*>", " ", figure)) == [tally["meets"], tally["reported"]]
    legend = re.search(r'<ul class="legend">.*?</ul>', page.source, re.DOTALL)[0]
    assert numbers(re.sub("<[^>]*>", " ", legend)) == [
        tally["meets"],
        tally["does_not_meet"],
        tally["not_concluded"],
    ]
    assert f"{tally['meets'] + tally['not_concluded']}/{tally['reported']}" in page.text
    assert "62/63" in page.text
    assert "22/28" in page.text
    assert (
        len(re.findall(r'<use href="#q-(?:meets|does-not-meet|not-concluded)" x=', page.source))
        == tally["reported"]
    )


def test_every_list_is_as_long_as_its_figure_says(site):
    for path in (site / "systems").iterdir():
        page = Page(path)
        heading = re.search(r"<h1>(.*?)</h1>", page.source)[1]
        assert numbers(heading)[-1] == max(0, page.elements["tr"] - 1), path


def test_unit_pages_and_unit_tables_re_add(site, later_run):
    systems = json.loads((later_run / "results.json").read_bytes())["systems"]
    for unit in {one["unit"] for one in systems}:
        own = [one for one in systems if one["unit"] == unit]
        page = Page(site / f"unit/{unit}.demo.html")
        figure = re.search(r'<div class="figure">.*?</div>', page.source)[0]
        assert numbers(re.sub("<[^>]*>", " ", figure)) == [
            sum(one["status"] == "meets" for one in own),
            len(own),
        ]
    table = Page(site / "units.demo.html")
    cells = [
        numbers(re.sub("<[^>]*>", " ", row))
        for row in re.findall(r'<td class="num">\d+</td><td class="num">\d+</td>', table.source)
    ]
    assert sum(reported for reported, _ in cells) == len(systems)
    assert sum(meets for _, meets in cells) == sum(one["status"] == "meets" for one in systems)


def test_criterion_pages_re_add(site, later_run):
    by_criterion = json.loads((later_run / "results.json").read_bytes())["tally"]["by_criterion"]
    for criterion, tally in by_criterion.items():
        page = Page(site / f"criterion/{criterion}.demo.html")
        for verdict in ("fail", "inconclusive", "waived", "pass"):
            section = re.search(
                rf'<section id="{verdict}"><h2>(.*?)</h2>(.*?)</section>', page.source, re.DOTALL
            )
            assert bool(section) == bool(tally[verdict]), (criterion, verdict)
            if section:
                assert numbers(section[1])[-1] == tally[verdict] == section[2].count("<a "), (
                    criterion,
                    verdict,
                )


def test_a_system_page_holds_every_finding_once(site, later_run):
    for system in json.loads((later_run / "results.json").read_bytes())["systems"]:
        page = Page(site / f"system/{system['unit']}/{system['id']}.demo.html")
        for finding in system["findings"]:
            name = (
                f"{finding['criterion']}.{finding['target']}" if finding["target"] else finding["criterion"]
            )
            assert page.ids.count(name) == (finding["verdict"] != "not-applicable")
        failed = [one for one in system["findings"] if one["verdict"] == "fail"]
        assert page.source.count('class="finding v-fail') == len(failed)
        for finding in failed:
            assert finding["evidence"][0]["observed"].replace("'", "&#39;") in page.source
            assert (
                f"seccheck explain runs/2024-09-08-quy-3 {system['id']} {finding['criterion']}" in page.text
            )


def test_same_input_same_bytes(tmp_path, run_folder):
    first, second = (write(run_folder, tmp_path / name, language="vi") for name in "ab")
    files = [path.relative_to(first) for path in sorted(first.rglob("*")) if path.is_file()]
    assert files == [path.relative_to(second) for path in sorted(second.rglob("*")) if path.is_file()]
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in files)


def test_many_systems_are_written_by_processes_to_the_same_bytes(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", Sample(systems=html.FEW + 10))
    parallel = write(run, tmp_path / "parallel")
    monkeypatch.setattr(html, "FEW", 10_000)
    alone = write(run, tmp_path / "alone")
    files = [path.relative_to(alone) for path in sorted(alone.rglob("*")) if path.is_file()]
    assert all((alone / name).read_bytes() == (parallel / name).read_bytes() for name in files)
    assert len(list(parallel.rglob("*"))) == len(list(alone.rglob("*")))


def everything(folder):
    return "\n".join(
        path.read_text("utf-8") for path in sorted(folder.rglob("*")) if path.suffix in {".html", ".css"}
    )


def test_an_edition_for_one_unit_holds_nothing_of_others(tmp_path, run_folder, later_run):
    out = write(later_run, tmp_path / "unit", unit="ha-noi", previous=(run_folder,))
    text = everything(out)
    assert "ha-noi-tthc" in text
    registry = json.loads((later_run / "inputs/registry.json").read_bytes())
    for unit in registry["units"]:
        if unit["id"] != "ha-noi":
            assert unit["name"]["vi"] not in text
            assert f"unit/{unit['id']}." not in text
    for system in registry["systems"]:
        if system["unit"] != "ha-noi":
            assert system["id"] not in text
            assert system["name"]["vi"] not in text
            assert system["targets"][0]["host"] not in text
            assert not re.search(rf"\b{re.escape(system['targets'][0]['address'])}\b", text)
    found = pages(out)
    ids = {path.resolve(): page.ids for path, page in found.items()}
    for path, page in found.items():
        for link in page.links:
            place, _, name = link.partition("#")
            target = (path.parent / place).resolve() if place else path.resolve()
            assert target in ids, (path, link)
            assert not name or name in ids[target], (path, link)


def test_a_public_edition_holds_no_address_version_or_evidence(tmp_path, run_folder):
    out = write(run_folder, tmp_path / "public", public=True)
    text = everything(out)
    words = set(re.findall(r"[\w.@-]+", text))
    registry = json.loads((run_folder / "inputs/registry.json").read_bytes())
    for system in registry["systems"]:
        assert system["name"]["vi"] in text
        assert not words & {
            system["targets"][0]["host"],
            system["targets"][0]["address"],
            system["contact"],
        }
    shown = {
        row["observed"]
        for system in json.loads((run_folder / "results.json").read_bytes())["systems"]
        for finding in system["findings"]
        for row in finding["evidence"]
        if finding["verdict"] == "fail"
    }
    for observed in shown - {"true", "false", "sha1", "1024", "0"}:
        assert observed not in text
    assert "look-1" not in text
    assert "Trung tâm Công nghệ thông tin" not in text
    assert "ATTT-118" not in text


def test_hostile_text_stays_text(hostile_site):
    for path, page in pages(hostile_site).items():
        assert page.elements["script"] == page.elements["img"] == 0, path
        assert not [name for name, _ in page.attributes if name.startswith("on")], path
    text = everything(hostile_site)
    assert "&lt;script&gt;document.title" in text
    assert "\\u001b[31m\\u202egnp.exe" in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def test_an_earlier_report_is_replaced_whole_and_anything_else_is_refused(tmp_path, run_folder):
    out = write(run_folder, tmp_path / "report")
    assert (out / "unit/ca-mau.demo.html").exists()
    write(run_folder, out, unit="ha-noi")
    assert not (out / "unit").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("mine")
    with pytest.raises(SeccheckError, match="neither empty"):
        write(run_folder, other)
    assert (other / "letter.txt").read_text() == "mine"


def test_names_that_windows_keeps_for_itself_are_changed():
    assert [file_name(name) for name in ("con", "nul.x", "console", "com1", "a.")] == [
        "con~",
        "nul.x~",
        "console",
        "com1~",
        "a.~",
    ]


def test_a_narrowed_run_says_so_beside_its_figures(site):
    for path in (site / "index.html", site / "unit/ha-noi.demo.html"):
        text = Page(path).text
        assert (
            "đáp ứng các tiêu chí được chọn (32/90 tiêu chí)" in text
            or "meet the selected criteria (32 of 90 criteria)" in text
        )


def test_a_whole_run_says_all_criteria(tmp_path):
    run = write_run(tmp_path / "run", Sample(systems=5, of=0))
    text = Page(write(run, tmp_path / "out", language="vi") / "index.html").text
    assert "đáp ứng toàn bộ tiêu chí" in text


def test_sizes_stay_within_bounds(tmp_path):
    run = write_run(tmp_path / "run", Sample(systems=1000, criteria=90))
    out = write(run, tmp_path / "out")
    assert (out / "index.html").stat().st_size < 1_000_000
    assert max(path.stat().st_size for path in (out / "unit").iterdir()) < 2_000_000


def test_the_tables_of_criteria_and_units_re_add(site, later_run):
    document = json.loads((later_run / "results.json").read_bytes())
    counted = {}
    for system in document["systems"]:
        for finding in system["findings"]:
            if finding["counted"] and finding["verdict"] in {"fail", "inconclusive"}:
                counted.setdefault((finding["criterion"], system["unit"]), set()).add(system["id"])
    table = Page(site / "criteria.demo.html").source
    for criterion, tally in document["tally"]["by_criterion"].items():
        row = re.search(rf">{criterion}</a></td>.*?</tr>", table, re.DOTALL)[0]
        cells = [int(cell or 0) for cell in re.findall(r'<td class="num">(\d*)</td>', row)]
        judged = sum(tally.values()) - tally["not_applicable"]
        assert cells == [tally["fail"], tally["inconclusive"], judged], criterion
        shades = [int(cell or 0) for cell in re.findall(r'<td class="c h\d">(\d*)</td>', row)]
        assert sum(shades) == 2 * (cells[0] + cells[1]), criterion  # once by level, once by kind of unit
    matrix = Page(site / "matrix.demo.html").source
    columns = re.findall(r"criterion/([A-Z0-9-]+)\.demo\.html", matrix.partition("</thead>")[0])
    assert set(columns) == {criterion for criterion, _ in counted}
    lines = re.findall(r'<tr><th scope="row"><a href="unit/(.*?)\.demo\.html">.*?</tr>', matrix)
    for unit in lines:
        row = re.search(rf'<tr><th scope="row"><a href="unit/{unit}\.demo.*?</tr>', matrix)[0]
        cells = [int(cell or 0) for cell in re.findall(r'<td class="c h\d">(\d*)</td>', row)]
        assert cells == [len(counted.get((one, unit), ())) for one in columns], unit


def test_the_page_of_a_unit_tells_what_was_found_where(site, later_run):
    registry = json.loads((later_run / "inputs/registry.json").read_bytes())
    hosts = {one["id"]: one["targets"][0]["host"] for one in registry["systems"]}
    for system in json.loads((later_run / "results.json").read_bytes())["systems"]:
        text = Page(site / f"unit/{system['unit']}.demo.html").text
        for finding in system["findings"]:
            if finding["counted"] and finding["verdict"] == "fail":
                assert Words(site.name).value(finding["evidence"][0]["observed"]) in text
                if finding["target"] == "web":
                    assert hosts[system["id"]] in text


def test_one_reason_for_many_criteria_is_said_once(tmp_path, run_folder):
    run = tmp_path / "run"
    shutil.copytree(run_folder, run)
    document = json.loads((run / "results.json").read_bytes())
    system = document["systems"][0]
    doubtful = [one for one in system["findings"] if one["target"] == "web"][:6]
    for one in doubtful:
        one |= {"verdict": "inconclusive", "observed_verdict": "inconclusive", "reason": "timeout"}
        one |= {"observations": [], "counted": True, "waiver": None}
    head = {name: document[name] for name in ("scan", "schema")}
    body = b",\n".join(json.dumps(one, ensure_ascii=False).encode() for one in document["systems"])
    (run / "results.json").write_bytes(json.dumps(head).encode()[:-1] + b',"systems":[\n' + body + b"\n]}\n")
    out = write(run, tmp_path / "out", language="vi")
    page = Page(out / f"system/{system['unit']}/{system['id']}.demo.html")
    assert page.text.count("Dịch vụ không trả lời trong thời gian quy định.") == 1
    assert "6 tiêu chí chưa kết luận được vì cùng một lý do" in page.text
    for one in doubtful:
        assert page.ids.count(f"{one['criterion']}.web") == 1
