"""A sample run, made once for all tests of reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reports.sample import write_run


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    """124 systems for demonstration: 96 meet, 21 do not, 7 are not concluded."""
    return write_run(tmp_path_factory.mktemp("runs") / "run")
