# ruff: noqa: E501 (samples stand as they are written)
"""What the program wrote and somebody changed: run folders, journals, bundles, feeds of reference data."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import shutil
import tarfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope

from seccheck import bundle, keys
from seccheck.assessment import conclude
from seccheck.errors import SeccheckError
from seccheck.feeds import import_file, ubuntu
from seccheck.feeds.malformed import Malformed
from seccheck.journal import Journal
from seccheck.model import canonical, safe_text
from seccheck.observation import Observation
from seccheck.probes import Endpoint
from seccheck.reference import free_of_known_exploited, supported
from seccheck.reference.product import Product
from seccheck.reference.snapshot import load_reference, load_reference_bytes, pack, read_document
from seccheck.reports.run import RunFolder as Finished
from seccheck.runfolder import RunFolder
from tests import small
from tests.fuzz.properties import NOW, SLOW, damaged, hostile, read, words
from tests.test_bundle import FILES, PASSPHRASE, finished
from tests.tools import free_port

pytestmark = pytest.mark.fuzz
PLAN = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def run() -> Iterator[Path]:
    """A finished run of the small nation, in a folder of its own."""
    with TemporaryDirectory() as folder, small.web(nosniff=True) as good, small.web(nosniff=False) as bad:
        place = Path(folder)
        registry, criteria = small.write_inputs(place, good, bad, free_port())
        small.assess(place / "run", registry, criteria)
        yield place / "run"


def _everything(path: Path) -> None:
    """Read all that a run folder holds, as judging and reports do."""
    for one in (
        lambda folder: folder.info,
        lambda folder: folder.registry,
        lambda folder: folder.registry_head,
        lambda folder: list(folder.systems),
        lambda folder: folder.criteria,
        lambda folder: folder.scope,
        lambda folder: (list(folder.plan.jobs), list(folder.plan.names)),
        lambda folder: folder.reference,
        lambda folder: folder.waivers,
        lambda folder: _journal(folder),
    ):
        read(lambda one=one: one(RunFolder.open(path)))
    for other in (
        lambda finished: (finished.registry, finished.registry_head),
        lambda finished: list(finished.declared),
        lambda finished: list(finished.results),
        lambda finished: (list(finished.heads()), list(finished.systems())),
        lambda finished: (finished.criteria, finished.reporting),
        lambda finished: finished.journal_index,
    ):
        read(lambda other=other: other(Finished(path)))


def _journal(folder: RunFolder) -> list[Any]:
    with folder.journal() as journal:
        return list(journal.lines())


_JSON = (b"null", b"-1", b"1e999", b'"\\ud800"', b"[]", b"{}", b'"\xff"', b"[" * 2000, b'{"a":' * 1500, b"\0", b"9" * 5000)  # fmt: skip


@st.composite
def altered(draw: st.DrawFn, sample: bytes) -> bytes:
    """JSON with one value put in the place of another, or injuries of all kinds."""
    data = draw(damaged(sample, most=3))
    for _ in range(draw(st.integers(0, 2))):
        marks = [at for at, byte in enumerate(data[:20_000]) if byte in b":,["]
        if marks:
            at = draw(st.sampled_from(marks)) + 1
            end = next((i for i in range(at, len(data)) if data[i] in b",]}"), len(data))
            data = data[:at] + draw(st.sampled_from(_JSON)) + data[end:]
    return data


@SLOW
@given(st.data())
def test_a_run_folder_that_was_changed(run: Path, data: st.DataObject) -> None:
    files = sorted(path for path in run.rglob("*") if path.is_file() and path.name != "lock")
    chosen = data.draw(st.sampled_from(files))
    before = chosen.read_bytes()
    try:
        chosen.write_bytes(data.draw(altered(before[:59_000])) + before[59_000:])
        _everything(run)
    finally:
        chosen.write_bytes(before)


def test_judging_a_changed_run_again(run: Path, tmp_path: Path) -> None:
    """Each file of the run cut off in its middle: the run is judged as it was, or an error says what is wrong."""
    for number, chosen in enumerate(sorted(path for path in run.rglob("*") if path.is_file())):
        copy = tmp_path / str(number)
        shutil.copytree(run, copy)
        cut = copy / chosen.relative_to(run)
        cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
        read(lambda copy=copy: conclude(RunFolder.open(copy)), seconds=20.0)


# ---------------------------------------------------------------------------------------------- journal


def observation(number: int, text: str) -> Observation:
    return Observation(
        job=f"job-{number}",
        probe="http",
        version=1,
        endpoint=Endpoint(host=f"s{number}.example", address="127.0.0.1", port=443, service="https"),
        params={},
        started="2026-11-23T06:00:00Z",
        finished="2026-11-23T06:00:01Z",
        facts={"server": safe_text(text), "raw": text},
        detail=safe_text(text, 500),
    )


FORGED = json.dumps(
    {"digest": PLAN, "observation": {"job": "job-0", "probe": "http", "facts": {"server": "OTHER"}}}
)
HOSTILE_TEXT = words(
    "\n", "\r", "\u2028", "\0", '"', "\\", "}", "job-1", FORGED, '"}}\n' + FORGED + "\n", "\ud7ff"
)


@SLOW
@given(st.lists(HOSTILE_TEXT, min_size=1, max_size=5))
@example(['"}}\n' + FORGED + "\n", "mine"])
def test_what_one_target_says_stands_in_its_own_line(told: list[str]) -> None:
    """However a server words it: its bytes never become another target's observation."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        with Journal(path, PLAN) as journal:
            for number, text in enumerate(told):
                journal.append(observation(number, text))
        assert path.read_bytes().count(b"\n") == len(told) + 1
        with Journal(path, PLAN, write=False) as journal:
            for number, text in enumerate(told):
                one = observation(number, text)
                line = journal.read(f"job-{number}")
                assert line
                assert line.observation == one
                assert [each.observation for each in journal.of_look("http", one.endpoint)] == [one]


def _filled() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        with Journal(path, PLAN) as journal:
            for number in range(4):
                journal.append(observation(number, "x" * number))
        return path.read_bytes()


LINES = _filled()


@given(altered(LINES) | hostile(LINES))
@example(LINES.replace(b"job-1", b"job-2"))
@example(LINES + b"{" * 30_000 + b"\n")
@example(LINES[:-20] + b'"a":' + b"[" * 30_000 + b"\n")
def test_journals_that_were_changed(data: bytes) -> None:
    """What is read back is what was written; anything else is an error."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        path.write_bytes(data)

        def lines() -> list[Observation]:
            with Journal(path, PLAN, write=False) as journal:
                return [line.observation for line in journal.lines()]

        honest = [observation(number, "x" * number) for number in range(4)]
        for one in read(lines) or ():
            assert one in honest or one.digest.encode() in data


# ---------------------------------------------------------------------------------------------- bundles


@pytest.fixture(scope="module")
def signed() -> Iterator[tuple[Path, dict[str, Any], Any]]:
    with TemporaryDirectory() as folder:
        place = Path(folder)
        keys.generate(place / "keys/mic", ("mic",), date(2026, 1, 1), date(2027, 12, 31), PASSPHRASE)
        signer = keys.read_secret(place / "keys/mic.key", PASSPHRASE)
        bundle.sign(finished(place), signer, place / "mic.zip", NOW)
        yield place / "mic.zip", keys.read_keys(place / "keys"), signer


@given(st.data())
def test_bundles_that_were_changed(signed: tuple[Path, dict[str, Any], Any], data: st.DataObject) -> None:
    """Nothing but the very bytes that were signed is ever accepted."""
    whole, known, _ = signed
    sample = whole.read_bytes()
    path = whole.with_name("changed.zip")
    path.write_bytes(data.draw(damaged(sample, most=4)))
    verified = read(lambda: bundle.verify(path, known, NOW))
    assert (verified is not None) == (path.read_bytes() == sample)


@given(st.data())
def test_statements_that_an_honest_key_signed(
    signed: tuple[Path, dict[str, Any], Any], data: st.DataObject
) -> None:
    """A signer whose statement is odd: an error, or what was signed."""
    import zipfile

    whole, known, signer = signed
    with zipfile.ZipFile(whole) as archive:
        envelope = json.loads(archive.read("envelope.json"))
        inner = archive.read("run.zip")
    payload = Envelope.from_dict(envelope).payload
    odd = Envelope(data.draw(altered(payload)), bundle.PAYLOAD_TYPE, {})
    odd.sign(signer)
    kept = whole.with_name("inner.zip")
    kept.write_bytes(inner)
    path = whole.with_name("odd.zip")
    bundle._write_outer(path, canonical(odd.to_dict()), kept)
    verified = read(lambda: bundle.verify(path, known, NOW))
    if verified is not None:
        assert set(verified.files) == {*FILES, "MANIFEST.json"}


# ------------------------------------------------------------------------------------------------ feeds

EOL = json.dumps({
    "schema_version": "1.2.0", "generated_at": "2027-01-01T00:00:00Z", "total": 1,
    "result": [{"name": "nginx", "label": "nginx", "releases": [
        {"name": "1.26", "releaseDate": "2024-04-23", "isEol": True, "eolFrom": "2025-04-23",
         "latest": {"name": "1.26.3", "date": "2025-02-05"}}]}],
}).encode()  # fmt: skip
KEV = json.dumps({
    "catalogVersion": "2027.01.01", "dateReleased": "2027-01-01T00:00:00Z", "count": 1,
    "vulnerabilities": [{"cveID": "CVE-2021-44228", "vendorProject": "Apache", "product": "Log4j2",
                         "vulnerabilityName": "x", "dateAdded": "2021-12-10"}],
}).encode()  # fmt: skip
NVD = json.dumps({
    "startIndex": 0, "totalResults": 1, "format": "NVD_CVE", "timestamp": "2027-01-01T00:00:00.000",
    "vulnerabilities": [{"cve": {"id": "CVE-2021-41773", "configurations": [{"nodes": [{"cpeMatch": [
        {"vulnerable": True, "criteria": "cpe:2.3:a:apache:http_server:2.4.49:*:*:*:*:*:*:*"},
        {"vulnerable": True, "criteria": "cpe:2.3:a:f5:nginx:*:*:*:*:*:*:*:*", "versionEndExcluding": "1.20.1"}]}]}]}}],
}).encode()  # fmt: skip
DEBIAN = json.dumps({
    "nginx": {"CVE-2021-23017": {"releases": {"bookworm": {
        "status": "resolved", "repositories": {"bookworm": "1.22.1-9"}, "fixed_version": "1.20.1-1"}}}},
}).encode()  # fmt: skip
PUBLISHED = {"eol": EOL, "kev": KEV, "nvd": NVD, "debian": DEBIAN}
OURS = load_reference()
DOCUMENTS = (
    tuple(data for data in OURS.files.values() if len(data) < 30_000) or tuple(OURS.files.values())[:1]
)
PRODUCTS = (
    Product(name="nginx", version="1.22.1", distribution="debian", release="debian 12", revision="1.22.1-9"),
    Product(name="nginx", version="1.26.0"),
    Product(name="apache-httpd", version="2.4.49"),
)


def ruled(folder: Path) -> None:
    """What was taken in can be judged by."""
    reference = load_reference(folder)
    for product in PRODUCTS:
        supported(product, reference, NOW)
        free_of_known_exploited(product, reference, NOW)


@given(st.sampled_from(sorted(PUBLISHED)), st.data())
def test_what_publishers_serve(kind: str, data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "feed.json"
        path.write_bytes(data.draw(altered(PUBLISHED[kind]) | hostile(PUBLISHED[kind])))
        place = Path(folder) / "taken"
        taken = read(
            lambda: import_file(path, place, as_of=date(2027, 1, 1), now=lambda: NOW + timedelta(days=90))
        )
        if taken and any(one.state == "updated" for one in taken):
            ruled(place)


def _archive(*records: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for number, data in enumerate(records):
            member = tarfile.TarInfo(f"./osv/{number}.json")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


OSV = json.dumps({
    "id": "USN-6859-1", "modified": "2027-01-01T00:00:00Z", "published": "2026-12-01T00:00:00Z",
    "related": ["CVE-2021-23017"], "affected": [{
        "package": {"ecosystem": "Ubuntu:22.04:LTS", "name": "nginx"}, "versions": ["1.18.0-6ubuntu14"],
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.18.0-6ubuntu14.5"}]}]}],
}).encode()  # fmt: skip


@given(st.data())
def test_archives_of_osv_records(data: st.DataObject) -> None:
    record = data.draw(altered(OSV))
    packed = lzma.compress(data.draw(damaged(_archive(OSV, record), most=2)), preset=0)
    packed = data.draw(damaged(packed, most=1))
    read(lambda: _levels(packed))


def _levels(packed: bytes) -> object:
    try:
        return ubuntu.packages(packed, OURS)
    except Malformed as error:  # as it is shown to who imports the file
        raise SeccheckError(str(error)) from None


@pytest.mark.parametrize("day", ["2027-99-99", "0000-00-00", "2025-02-30", "٢٠٢٥-01-01"])
def test_a_day_that_is_none_is_not_taken(day: str, tmp_path: Path) -> None:
    path = tmp_path / "feed.json"
    path.write_bytes(EOL.replace(b"2025-04-23", day.encode()))
    with pytest.raises(SeccheckError):
        import_file(path, tmp_path / "taken", now=lambda: NOW + timedelta(days=90))


@given(st.sampled_from(DOCUMENTS), st.data())
def test_documents_of_reference_data(sample: bytes, data: st.DataObject) -> None:
    changed = data.draw(altered(sample[:59_000]))
    read(lambda: read_document(changed, "the feed"))


PACKED = pack(OURS)


@SLOW
@given(st.data())
def test_packed_reference_data(data: st.DataObject) -> None:
    changed = data.draw(damaged(PACKED[:50_000], most=2)) + PACKED[50_000:]
    read(lambda: load_reference_bytes(changed), seconds=10.0)
    whole = gzip.compress(data.draw(altered(b'{"eol":{}}')), 1)
    read(lambda: load_reference_bytes(whole), seconds=10.0)
