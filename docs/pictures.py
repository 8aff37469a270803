"""Write the pictures of the readme (`make docs`): pages of the demonstration in a real Chromium."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
PAGES = {"first-page": ("index.html", 1200), "unit-page": ("unit/ha-giang.demo.html", 900)}


def main() -> None:
    """Scan the demonstration, and picture its report."""
    from tests.reports.browser import browser

    (ROOT / "docs/images").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        words = [sys.executable, "-m", "seccheck", "demo", "--out", str(run), "--no-open", "--lang", "vi"]
        subprocess.run(words, check=True, cwd=place)
        with browser() as page:
            for name, (file, height) in PAGES.items():
                page.open(run / "report" / file)
                page.look(1200, height)
                page.picture(ROOT / f"docs/images/{name}.png", whole=False)


if __name__ == "__main__":
    main()
