"""The strings that the report says, as Babel finds them in templates and code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from babel.messages.extract import extract
from babel.messages.pofile import read_po

ROOT = Path(__file__).parents[2]
KEYWORDS = {"_": None, "gettext": None, "say": None, "_say": None, "ngettext": (1, 2)}


def wanted() -> dict[str | tuple[str, str], str]:
    """Every source string (a pair for singular and plural), with one place where it stands."""
    found: dict[str | tuple[str, str], str] = {}
    for path in sorted((ROOT / "report_templates").rglob("*.html")):
        found |= dict(_strings(path, "jinja2.ext:babel_extract", {"silent": "false"}))
    for path in sorted((ROOT / "seccheck/reports").rglob("*.py")):
        found |= dict(_strings(path, "python", {}))
    return found


def _strings(path: Path, method: str, options: dict[str, str]) -> Iterator[tuple[str | tuple[str, str], str]]:
    with path.open("rb") as file:
        for line, message, _, _ in extract(method, file, keywords=KEYWORDS, options=options):
            yield message, f"{path.relative_to(ROOT)}:{line}"


def translated(language: str) -> dict[str | tuple[str, str], str]:
    """Every string of a catalogue with its translation; fuzzy ones and obsolete ones do not count."""
    path = ROOT / "report_templates/locale" / language / "LC_MESSAGES/report.po"
    with path.open("rb") as file:
        catalogue = read_po(file, locale=language)
    return {
        message.id if isinstance(message.id, str) else tuple(message.id): (
            message.string if isinstance(message.string, str) else message.string[0]
        )
        for message in catalogue
        if message.id and not message.fuzzy
    }


if __name__ == "__main__":
    have = translated("vi")
    for message, place in wanted().items():
        if message not in have:
            print(f"#: {place}\n{message!r}")
    for message in have:
        if message not in wanted():
            print(f"obsolete: {message!r}")
