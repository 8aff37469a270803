"""The printed document as PDF, by the Chromium or Chrome of this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from seccheck.errors import PluginError
from seccheck.reports import Options, Report, document
from seccheck.reports.run import RunFolder

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
SECONDS = 600
_OBJECT = re.compile(rb"(?:^|\n)(\d+) 0 obj\n(.*?)\nendobj", re.DOTALL)
_KIDS = re.compile(rb"/Kids \[([^\]]*)\]")
_PLACE = re.compile(rb"/([^\s/\[\]<>()]+) \[(\d+) 0 R /XYZ")
_ESCAPE = re.compile(r"#([0-9A-Fa-f]{2})")


def write(run: RunFolder, out: Path, options: Options) -> None:
    """Write the report of `run` as the PDF `out`. Raises `PluginError` where no browser can print it.

    It is printed twice: only the first print tells on which sheet each page begins.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise PluginError(
            "no Chromium or Chrome was found, which PDF is printed with",
            next_step="apt-get install chromium, or write --format html-single and print it from a browser",
        )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        page, printed = Path(folder) / "report.html", Path(folder) / "report.pdf"
        document.write(run, page, options, {})
        _print(browser, page, printed)
        if places := sheets(printed.read_bytes()):
            document.write(run, page, options, places)
            _print(browser, page, printed)
        shutil.move(printed, out)


def _print(browser: str, page: Path, printed: Path) -> None:
    printed.unlink(missing_ok=True)
    flags = [
        "--headless", "--disable-gpu", "--disable-extensions", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--no-first-run", "--no-pdf-header-footer",
        "--generate-pdf-document-outline", f"--user-data-dir={page.parent}/profile",
        f"--print-to-pdf={printed}",
    ]  # fmt: skip
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium refuses its sandbox to root; the page is ours, without script
    try:
        done = subprocess.run(
            [browser, *flags, page.as_uri()], capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise PluginError(f"{browser} did not print the report within {SECONDS} s") from None
    if not printed.is_file():
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise PluginError(
            f"{browser} did not print the report: {' '.join(said) or done.returncode}",
            next_step="write --format html-single and print it from a browser",
        )


def sheets(pdf: bytes) -> dict[str, int]:
    """On which sheet, from 1, each place lies that the document links to; empty where that cannot be told.

    Chromium writes the objects that say so uncompressed (ISO 32000-1, 7.7.3 page tree, 12.3.2 destinations).
    """
    objects = {int(number): body for number, body in _OBJECT.findall(pdf)}
    root = next((n for n, body in objects.items() if b"/Type /Pages" in body and b"/Parent" not in body), 0)
    order: dict[int, int] = {}
    left = [root]
    while left:
        number = left.pop()
        if kids := _KIDS.search(objects.get(number, b"")):
            left += [int(kid) for kid in reversed(re.findall(rb"(\d+) 0 R", kids[1]))]
        elif number:
            order[number] = len(order) + 1
    return {
        _ESCAPE.sub(lambda code: chr(int(code[1], 16)), name.decode("ascii", "replace")): order[int(page)]
        for name, page in _PLACE.findall(pdf)
        if int(page) in order
    }


REPORT = Report(id="pdf", extension="pdf", kind="file", write=write)
