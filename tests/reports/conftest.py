"""A sample run, made once for all tests of reports."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).parent


def _load(name: str):
    """Helper modules beside the tests: import mode `importlib` puts no folder on the path."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, _HERE / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


sample = _load("sample")
_load("catalogue")
_load("browser") if (_HERE / "browser.py").exists() else None


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    """124 systems for demonstration: 96 meet, 21 do not, 7 are not concluded."""
    return sample.write_run(tmp_path_factory.mktemp("runs") / "run")
