"""The single-file report as PDF, printed by the Chromium or Chrome of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from seccheck.errors import PluginError
from seccheck.reports import Options, Report, html_single
from seccheck.reports.run import RunFolder

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
SECONDS = 600


def write(run: RunFolder, out: Path, options: Options) -> None:
    """Write the report of `run` as the PDF `out`. Raises `PluginError` where no browser can print it."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise PluginError(
            "no Chromium or Chrome was found, which PDF is printed with",
            next_step="apt-get install chromium, or write --format html-single and print it from a browser",
        )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        page = Path(folder) / "report.html"
        html_single.write(run, page, options)
        printed = Path(folder) / "report.pdf"
        flags = [
            "--headless", "--disable-gpu", "--disable-extensions", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--no-first-run", "--no-pdf-header-footer",
            f"--user-data-dir={folder}/profile", f"--print-to-pdf={printed}",
        ]  # fmt: skip
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            flags.append(
                "--no-sandbox"
            )  # Chromium refuses its sandbox to root; the page is ours and has no script
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
        shutil.move(printed, out)


REPORT = Report(id="pdf", extension="pdf", kind="file", write=write)
