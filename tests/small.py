"""A small nation for tests: two units that report and one that does not, and a criteria set of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from seccheck.assessment import Narrowing, collect, conclude, prepare
from seccheck.criteria import load_criteria
from seccheck.executors.local import LocalExecutor
from seccheck.probes import load_probes
from seccheck.registry import load_registry
from seccheck.runfolder import RunFolder
from tests.tools import free_port, seccheck

EVERYTHING = Narrowing()
CRITERIA = """
seccheck: criteria/1
criteria:
- id: SNIFF-01
  statement: {en: "nosniff is sent", vi: "Có gửi nosniff"}
  rationale: {en: "Because.", vi: "Vì vậy."}
  remedy: {en: "Send it.", vi: "Hãy gửi."}
  basis: [{kind: project-choice, source: seccheck}]
  severity: low
  from_level: 1
  applies_if: {fact: target.web, equals: true}
  collect: {http: {ask: [answer]}}
  expect: {fact: http.nosniff, equals: true}
  evidence_months: 12
  examples:
  - {given: {http: {nosniff: true}}, then: pass}
  - {given: {http: {nosniff: false}}, then: fail}
  - {given: {http: {failed: timeout}}, then: inconclusive}
- id: PAPER-01
  statement: {en: "A plan is approved", vi: "Có kế hoạch được phê duyệt"}
  rationale: {en: "Because.", vi: "Vì vậy."}
  remedy: {en: "Approve one.", vi: "Hãy phê duyệt."}
  basis: [{kind: project-choice, source: seccheck}]
  severity: high
  from_level: 2
  collect: {evidence: {}}
  expect: {fact: evidence.states, equals: met}
  evidence_months: 12
  examples:
  - {given: {evidence: {states: met}}, then: pass}
  - {given: {evidence: {states: not-met}}, then: fail}
  - {given: {}, then: inconclusive}
"""
SET = """
seccheck: set/1
id: small
version: "1"
name: {en: "Small set", vi: "Bộ nhỏ"}
catalogue: [criteria.yaml]
criteria: [SNIFF-01, PAPER-01]
"""
REGISTRY = """
seccheck: registry/1
name: {{en: "Small nation", vi: "Nước nhỏ"}}
language: en
units:
- {{id: red, kind: ministry, name: {{en: Red, vi: Đỏ}}}}
- {{id: blue, kind: locality, name: {{en: Blue, vi: Xanh}}}}
- {{id: grey, kind: locality, name: {{en: Grey, vi: Xám}}}}
systems:
- id: good
  unit: red
  name: {{en: Good, vi: Tốt}}
  level: 1
  targets: ["http://127.0.0.1:{good}/"]
- id: bad
  unit: red
  name: {{en: Bad, vi: Xấu}}
  level: 1
  targets: ["http://127.0.0.1:{bad}/"]
- id: silent
  unit: blue
  name: {{en: Silent, vi: Im}}
  level: 1
  targets: ["http://127.0.0.1:{silent}/"]
- id: bare
  unit: blue
  name: {{en: Bare, vi: Trống}}
  level: 1
"""


@contextmanager
def web(*, nosniff: bool, server: str = "web", port: int = 0) -> Iterator[int]:
    """A web server on loopback that sends nosniff or not; its port."""

    class Handler(BaseHTTPRequestHandler):
        server_version = server
        sys_version = ""

        def do_GET(self) -> None:
            self.send_response(200)
            if nosniff:
                self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield listening.server_address[1]
        finally:
            listening.shutdown()
            thread.join()


def write_inputs(place: Path, good: int, bad: int, silent: int) -> tuple[Path, Path]:
    """The registry and the set as files in `place`."""
    (place / "criteria.yaml").write_text(CRITERIA, encoding="utf-8")
    (place / "set.yaml").write_text(SET, encoding="utf-8")
    (place / "registry.yaml").write_text(REGISTRY.format(good=good, bad=bad, silent=silent), encoding="utf-8")
    return place / "registry.yaml", place / "set.yaml"


@contextmanager
def scanned(place: Path) -> Iterator[Path]:
    """`place` with a finished run `run` of the inputs, made as a user makes it, while the servers are up."""
    with web(nosniff=True) as good, web(nosniff=False) as bad:
        write_inputs(place, good, bad, free_port())
        done = seccheck(
            "scan", "-r", "registry.yaml", "-c", "set.yaml", "--out", "run", "--format", "", cwd=place
        )
        assert done.returncode == 0, done.stderr
        yield place


def assess(
    out: Path,
    registry: Path,
    criteria: Path,
    *,
    narrowing: Narrowing = EVERYTHING,
    waivers: Path | None = None,
) -> RunFolder:
    """Run the whole pipeline into `out`."""
    folder = prepare(
        out,
        load_registry(registry),
        load_criteria(str(criteria), load_probes()),
        lambda _names: {},
        narrowing=narrowing,
        waivers=waivers,
        command="seccheck scan",
    )
    collect(folder, LocalExecutor(load_probes()), lambda *_: None)
    conclude(folder)
    return folder
