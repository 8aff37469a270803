"""Sample runs and reports, made once for all tests of reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from seccheck.reports import Options, html
from seccheck.reports.run import RunFolder
from tests.reports.sample import Sample, write_run


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    """124 systems for demonstration: 96 meet, 21 do not, 7 are not concluded."""
    return write_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="session")
def later_run(tmp_path_factory) -> Path:
    """The same a quarter later: 14 systems have been mended."""
    sample = Sample(better=14, scan_id="2024-09-08-quy-3", finished="2024-09-08T15:41:37Z")
    return write_run(tmp_path_factory.mktemp("runs") / "later", sample)


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory) -> Path:
    """Every text that a server or an office could have brought is an attack; not for demonstration."""
    return write_run(
        tmp_path_factory.mktemp("runs") / "hostile", Sample(hostile=True, demonstration=False, systems=40)
    )


@pytest.fixture(scope="session", params=["vi", "en"])
def site(request, tmp_path_factory, run_folder, later_run) -> Path:
    """The report folder of the later run, with the earlier one to compare with, in both languages."""
    out = tmp_path_factory.mktemp("site") / request.param
    html.write(RunFolder(later_run), out, Options(language=request.param, previous=(run_folder,)))
    return out


@pytest.fixture(scope="session")
def hostile_site(tmp_path_factory, hostile_run) -> Path:
    """The report folder of the hostile run."""
    out = tmp_path_factory.mktemp("site") / "hostile"
    html.write(RunFolder(hostile_run), out, Options(language="vi"))
    return out
