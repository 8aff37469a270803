"""A fleet of servers that are out to do harm: they cost a scan nothing but their own verdicts."""

import csv
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import counting
from tests.hostile.servers import MARK, fleet
from tests.reports.browser import browser

HEALTHY = "127.0.77.1"
SELECT = "TLS-*,CRT-*,WEB-*,PAT-*,ADM-02,ADM-03"
RAW = {chr(code) for code in (*range(9), *range(11, 32), *range(0x7F, 0xA0), 0x202E)}


def system(name, host, port, service):
    return (
        f"- id: {name}\n  unit: red\n  name: {{en: {name}, vi: {name}}}\n  level: 3\n"
        f"  targets: [{{id: t, host: localhost, address: {host}, port: {port}, service: {service}}}]\n"
    )


def registry(path, systems):
    units = "units: [{id: red, kind: ministry, name: {en: Red, vi: Đỏ}}]\n"
    head = "seccheck: registry/1\nname: {en: Hostile, vi: Hostile}\nlanguage: en\n"
    path.write_text(head + units + "systems:\n" + "".join(systems), encoding="utf-8")


def call(*words, cwd):
    return subprocess.run(
        [sys.executable, "-m", "seccheck", *words],
        cwd=cwd, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def scan(place, name):
    words = ("scan", "-r", f"{name}.yaml", "-c", "project06-2024", "--profile", "technical",
             "--select", SELECT, "--format", "html,csv,xlsx", "--out", name)  # fmt: skip
    return [sys.executable, "-m", "seccheck", *words]


def tree(pid):
    """A process and all it has started."""
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            yield from tree(child)


def memory(pid):
    """Bytes of memory that a process and all it has started hold."""
    pages = 0
    for one in tree(pid):
        try:
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except OSError:
            continue
    return pages * os.sysconf("SC_PAGE_SIZE")


def systems(run):
    document = json.loads((run / "results.json").read_text())
    return {one["id"]: one for one in document["systems"]}


def verdicts(one):
    return [(f["criterion"], f["target"], f["verdict"], f["reason"], f["counted"]) for f in one["findings"]]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The same healthy systems, scanned alone and among hostile ones."""
    place = tmp_path_factory.mktemp("hostile")
    held = []
    with counting.fleet(8, address=HEALTHY) as healthy, fleet() as hostile:
        good = [system(f"good{n}", HEALTHY, port, "http") for n, port in enumerate(healthy.ports)]
        bad = [
            system(f"bad-{name}-{service}", "127.0.0.1", port, service)
            for name, (port, services) in hostile.items()
            for service in services
        ]
        registry(place / "alone.yaml", good)
        registry(place / "among.yaml", good + bad)
        done = subprocess.run(
            scan(place, "alone"), cwd=place, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr
        process = subprocess.Popen(
            scan(place, "among"), cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        ended = threading.Event()

        def sample():
            while not ended.wait(0.25):
                held.append(memory(process.pid))

        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            said, _ = process.communicate(timeout=300)
        finally:
            process.kill()
            ended.set()
            sampler.join()
        assert process.returncode == 0, said
    return SimpleNamespace(place=place, said=said.decode(), held=held, names=tuple(hostile))


def test_healthy_systems_are_judged_as_without_the_others(run):
    alone, among = systems(run.place / "alone"), systems(run.place / "among")
    assert len(alone) == 8
    for name, one in alone.items():
        assert verdicts(among[name]) == verdicts(one)
        assert any(f["verdict"] == "pass" for f in one["findings"])


def test_no_server_meets_what_it_did_not_show(run):
    """Only those that shake hands in earnest meet anything about TLS; a part of a handshake shows nothing."""
    for name, one in systems(run.place / "among").items():
        met = {f["criterion"] for f in one["findings"] if f["verdict"] == "pass"} - {"TLS-01"}
        if name.startswith("bad-") and any(one.startswith(("TLS-", "CRT-")) for one in met):
            assert "-tls-https" in name, (name, met)


def test_every_look_ended_by_itself_and_in_time(run):
    lines = (run.place / "among/journal.jsonl").read_text().splitlines()[1:]
    seen = [json.loads(line)["observation"] for line in lines]
    assert len(seen) > 150
    for one in seen:
        assert one["failed"] not in {"crashed", "bug"}, one
        assert "did not end by its deadline" not in one["detail"], one


def test_memory_is_bounded_and_flat(run):
    half = len(run.held) // 2
    assert max(run.held[half:]) < 1.3 * max(run.held[:half])
    assert max(run.held) < 1_000_000_000


def test_nothing_that_a_server_says_reaches_a_terminal_raw(run):
    said = [run.said]
    said.append(call("list", "among", cwd=run.place).stdout)
    among = systems(run.place / "among")
    for name in ("escapes-ftp", "escapes-ssh", "html-smtp", "odd-headers-http", "formulae-ftp"):
        criteria = [one["criterion"] for one in among[f"bad-{name}"]["findings"] if one["evidence"]]
        said.append(call("explain", "among", f"bad-{name}", criteria[0], cwd=run.place).stdout)
        assert said[-1]
    for text in said:
        assert not RAW & set(text)


def test_no_cell_of_a_table_is_a_formula(run):
    from openpyxl import load_workbook

    (table,) = (run.place / "among").glob("*.csv")
    with table.open(encoding="utf-8-sig", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    (book,) = (run.place / "among").glob("*.xlsx")
    for sheet in load_workbook(book).worksheets:
        for row in sheet.iter_rows():
            assert not [cell.coordinate for cell in row if cell.data_type == "f"]
    assert any(MARK in cell for cell in cells)
    assert not [cell for cell in cells if cell[:1] in {"=", "+", "-", "@", "\t", "\r"}]


def test_the_report_is_inert(run):
    """In a real browser: nothing of what the servers said runs, asks for anything, or opens a dialog."""
    report = run.place / "among/report"
    pages = [page for page in report.rglob("*.html") if MARK in page.read_text(encoding="utf-8")]
    assert pages
    with browser() as chromium:
        for page in [report / "index.html", *pages[:20]]:
            chromium.open(page)
            assert all(one.startswith(report.as_uri()) for one in chromium.requests), chromium.requests
            assert chromium.messages == [], page
            assert (
                chromium.run(f"document.documentElement.outerHTML.includes('{MARK}')")
                or page.name == "index.html"
            )
            assert chromium.run("[...document.querySelectorAll('*')].every(one => "
                                "one.getAttributeNames().every(name => !name.startsWith('on')))")  # fmt: skip
            assert chromium.run(f"[...document.scripts].every(one => !one.text.includes('{MARK}'))")
