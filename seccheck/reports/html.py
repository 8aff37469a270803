"""The report as a folder of linked pages: nation, units, systems with their findings, criteria.

Pages of systems are made by as many processes as there are processors, each reading its own lines of the
results, so that neither time nor memory grows with more than the number of systems.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from seccheck.errors import SeccheckError
from seccheck.reports import Options, Report
from seccheck.reports.overview import Overview, Row
from seccheck.reports.pages import Pages
from seccheck.reports.run import RunFolder
from seccheck.reports.site import Page, Site, system_key
from seccheck.reports.system_page import SystemPages

CHUNK = 50
SUBFOLDERS = ("unit/x", "criterion/x", "systems/x")
"""A page in each folder that pages of units, criteria and lists lie in."""
FEW = 4 * CHUNK
"""Up to this many systems, starting processes costs more than it saves."""


def write(run: RunFolder, out: Path, options: Options) -> None:
    """Write the report of `run` as the folder `out`: whole, or not at all.

    An earlier report in `out` is replaced, so that no page of a wider edition stays behind; a folder that
    holds anything else is refused.
    """
    if out.exists() and not _replaceable(out):
        raise SeccheckError(
            f"{out} is neither empty nor an earlier report", next_step="name a new folder with --out"
        )
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        _write(Site(Overview(run, options)), part)
        shutil.rmtree(out, ignore_errors=True)
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write(site: Site, folder: Path) -> None:
    (folder / "assets").mkdir(parents=True)
    (folder / "assets/report.css").write_text(site.style, "utf-8")
    rows = site.overview.rows
    for name in {Path(site.path(key)).parent for key in (*SUBFOLDERS, *map(system_key, rows))}:
        (folder / name).mkdir(parents=True, exist_ok=True)
    pages = Pages(site)
    # Read and counted once, before the processes part.
    site.overview.run.journal_index, pages.found, pages.steps, site.environment  # noqa: B018
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    _fan_out(_Writer(site, folder), [*pages.all(), *chunks], parallel=len(rows) > FEW)
    for key in SUBFOLDERS:
        path = folder / Path(key).parent
        if not any(path.iterdir()):
            path.rmdir()


class _Writer:
    """Writes one page, or the pages of some systems."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.folder = folder
        self.systems = SystemPages(site)

    def __call__(self, job: Job) -> None:
        if not isinstance(job, list):
            page = job()
            with self._path(page).open(
                "w", encoding="utf-8", errors="backslashreplace", newline="\n"
            ) as file:
                file.writelines(self.site.stream(page))
            return
        reader = self.site.overview.run.reader()
        try:
            for row in job:
                page = self.systems.page(row, reader)
                self._path(page).write_bytes(self.site.render(page).encode("utf-8", "backslashreplace"))
        finally:
            reader.close()

    def _path(self, page: Page) -> Path:
        return self.folder / self.site.path(page.key)


Job = Callable[[], Page] | list[Row]
_inherited: tuple[Callable[[Job], None], list[Job]] | None = None


def _do(place: int) -> None:
    assert _inherited  # noqa: S101 - set before the processes part
    work, jobs = _inherited
    work(jobs[place])


def _fan_out(work: Callable[[Job], None], jobs: list[Job], *, parallel: bool) -> None:
    """Do all jobs, in forked processes where that pays and the system can."""
    global _inherited  # noqa: PLW0603 - forked processes inherit the work; only numbers cross to them
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not parallel or count < 2 or "fork" not in multiprocessing.get_all_start_methods():
        for job in jobs:
            work(job)
        return
    _inherited = work, jobs
    gc.freeze()  # what the processes share stays shared
    try:
        with multiprocessing.get_context("fork").Pool(count) as pool:
            for _ in pool.imap_unordered(_do, range(len(jobs))):
                pass
    finally:
        gc.unfreeze()
        _inherited = None


def _replaceable(folder: Path) -> bool:
    """Whether `folder` is empty or an earlier report of ours."""
    if not folder.is_dir():
        return False
    index = folder / "index.html"
    if index.is_file() and (folder / "assets/report.css").is_file():
        return b'<meta name="generator" content="seccheck">' in index.read_bytes()[:4096]
    return not any(folder.iterdir())


REPORT = Report(id="html", extension="html", kind="folder", write=write)
