"""Write the generated parts of the documentation (`make docs`); with `--check`, tell what is stale.

A page marks such a part with a pair of comments, and SECTIONS says what stands between them:

    <!-- generated: gate-table -->
    <!-- end -->

To add one, write a function that returns Markdown, give it a line in SECTIONS, and put its marks into a page.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PART = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n)(?P<text>.*?)(<!-- end -->)", re.DOTALL)


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def fenced(text: str, language: str = "") -> str:
    """A block of code or output."""
    return f"```{language}\n{text.strip()}\n```"


# ------------------------------------------------------------------------------------------ the gate


def gate_table() -> str:
    """The truth table of the gate, asked of the code that decides."""
    from seccheck.gate import truth_table

    heads = ["found", "within", "waiver", "baseline", "`fail_on`", "`inconclusive`", "effect"]
    return table(heads, [row.cells() for row in truth_table()])


def report_formats() -> str:
    """The installed report formats."""
    from seccheck.reports import load_reports

    rows = []
    for report in load_reports().values():
        whole = report.write.__name__ == "write"
        said = (sys.modules[report.write.__module__] if whole else report.write).__doc__ or ""
        kind = f"`.{report.extension}`" if report.kind == "file" else "folder"
        rows.append([f"`{report.id}`", kind, said.splitlines()[0].rstrip(".")])
    return table(["format", "file", "what it is"], rows)


def pipeline_script() -> str:
    """The pipeline of the tutorial."""
    return fenced((DOCS / "examples/pipeline.sh").read_text("utf-8"), "bash")


def pipeline_output() -> str:
    """What the pipeline of the tutorial says when it is run, now. Takes half a minute."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = str(sock.getsockname()[1])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GITHUB_")}
    done = subprocess.run(
        ["bash", str(DOCS / "examples/pipeline.sh")],
        env={**environment, "PORT": port, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    if done.returncode:
        raise SystemExit(f"docs/examples/pipeline.sh failed with {done.returncode}:\n{done.stderr}")
    return fenced(done.stdout.replace(f":{port}", ":8443"), "console")


def file_of(name: str) -> Callable[[], str]:
    """A file of the repository, as it is."""
    return lambda: fenced((ROOT / name).read_text("utf-8"), "yaml")


def catalogue(language: str) -> Callable[[], str]:
    """The catalogue of criteria in one language."""

    def page() -> str:
        from seccheck.authoring import catalogue_page

        return catalogue_page(language).rstrip()

    return page


def probe_facts() -> str:
    """The installed probes and the facts they record, asked of their types."""
    from seccheck import facttypes
    from seccheck.probes import load_probes

    parts = []
    for probe in load_probes().values():
        module = probe.facts.__module__
        said = (sys.modules[module.removesuffix(".facts")].__doc__ or "").splitlines()[0]
        rows = [
            [f"`{probe.id}.{fact}`", facttypes.name(facttypes.plain(kind))]
            for fact, kind in facttypes.fields(probe.facts).items()
            if fact != "undecided"
        ]
        about = f"{said}\nOne look is about: {probe.subject}."
        parts.append(f"## {probe.id}\n\n{about}\n\n{table(['fact', 'type'], rows)}")
    return "\n\n".join(parts)


SECTIONS: dict[str, Callable[[], str]] = {
    "catalogue-en": catalogue("en"),
    "catalogue-vi": catalogue("vi"),
    "gate-table": gate_table,
    "gitlab-template": file_of("ci/gitlab/seccheck.gitlab-ci.yml"),
    "pipeline-output": pipeline_output,
    "pipeline-script": pipeline_script,
    "probe-facts": probe_facts,
    "report-formats": report_formats,
}
SLOW = {"pipeline-output"}
"""What has to run something to be written."""


def pages() -> Iterator[tuple[Path, str]]:
    """The pages of the documentation that have generated parts, with their text."""
    for path in sorted([ROOT / "README.md", *DOCS.rglob("*.md")]):
        text = path.read_text("utf-8")
        if "<!-- generated: " in text:
            yield path, text


def rewritten(text: str, only: set[str] | None = None, made: dict[str, str] | None = None) -> str:
    """`text` with its generated parts written anew; `made` keeps what was generated already."""
    made = {} if made is None else made

    def part(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in SECTIONS:
            raise SystemExit(f"no section is called {name!r}; known: {', '.join(SECTIONS)}")
        if only is not None and name not in only:
            return match[0]
        if name not in made:
            made[name] = SECTIONS[name]()
        return f"{match[1]}\n{made[name]}\n\n{match[4]}"

    return PART.sub(part, text)


def main(words: list[str]) -> int:
    """Write all pages, or with `--check` say which are stale (status 1)."""
    stale = []
    made: dict[str, str] = {}
    for path, text in pages():
        new = rewritten(text, made=made)
        if new != text:
            stale.append(str(path.relative_to(ROOT)))
            if "--check" not in words:
                path.write_text(new, "utf-8")
    print("\n".join(stale) or "everything is up to date")
    return 1 if stale and "--check" in words else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
