"""The wheel works from an empty folder: criteria, templates and data are inside."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (built,) = place.glob("*.whl")
    return built


def test_the_wheel_carries_criteria_templates_and_data(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for part in ("criteria/project06-2024.yaml", "criteria/catalogue/TLS.yaml", "criteria/sources.yaml"):
        assert f"seccheck/_data/{part}" in names
    assert any(name.startswith("seccheck/_data/report_templates/") for name in names)
    assert "seccheck/_units/vn-2024.yaml" in names
    assert "seccheck/schemas/results-1.schema.json" in names


def test_the_wheel_works_from_an_empty_folder(wheel, tmp_path):
    site = tmp_path / "site"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(install, check=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import seccheck;"
        f"assert {str(site)!r} in seccheck.__file__; from seccheck.cli import main;"
        "sys.argv = ['seccheck', 'criteria', 'check', 'project06-2024']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=empty, capture_output=True, text=True, check=False
    )
    assert "examples hold" in done.stdout, done.stderr
    assert list(empty.iterdir()) == []
