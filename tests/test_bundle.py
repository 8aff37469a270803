"""Bundles: what was signed is what is read; any change is found and named, any stranger is turned away."""

import hashlib
import io
import json
import random
import stat
import warnings
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from string import Formatter

import pytest

from seccheck import bundle, faults, keys
from seccheck.errors import InputError
from seccheck.faults import FaultError, fault
from seccheck.runfolder import RunFolder

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
PASSPHRASE = b"correct horse battery"
FILES = {
    "inputs/run.json": b'{"id":"r1"}\n',
    "journal.jsonl": b'{"journal":"seccheck.journal/1","plan":"sha256:0"}\n' * 5,
    "sessions.json": b'[{"started":"2026-11-22T22:00:00Z","ended":"2026-11-22T23:00:00Z"}]',
    "summary.json": b'{"tally":{"by_unit":{"mic":{"reported":2}}}}',
    "report/index.html": b"<!doctype html><title>r1</title>",
}


def finished(place: Path, files=FILES) -> Path:
    """A little run folder, complete with its manifest."""
    run = place / "run"
    for name, data in files.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(data)
    manifest = {
        "schema": "seccheck.manifest/1",
        "run": "r1",
        "seccheck": "0.1.0",
        "criteria": {"set": "project06-2024", "version": "1.0", "digest": "sha256:" + "a" * 64},
        "registry": "sha256:" + "b" * 64,
        "reference": {},
        "files": [
            {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in files.items()
        ],
    }
    (run / "MANIFEST.json").write_text(json.dumps(manifest))
    return run


def new_key(place: Path, name="mic", units=("mic",), since=date(2026, 1, 1), until=date(2027, 12, 31)):
    keys.generate(place / name, units, since, until, PASSPHRASE)
    return keys.read_secret(place / f"{name}.key", PASSPHRASE)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = tmp_path_factory.mktemp("bundle")
    signer = new_key(place / "keys")
    bundle.sign(finished(place), signer, place / "mic.zip", NOW)
    return place


@pytest.fixture(scope="module")
def known(made):
    return keys.read_keys(made / "keys")


def kinds(path, known, now=NOW, into=None):
    """The faults of a bundle by kind, with the file each is about."""
    with pytest.raises(FaultError) as caught:
        bundle.verify(path, known, now, into)
    return [(one.kind, one.values.get("name", "")) for one in caught.value.faults]


def test_what_was_signed_is_what_is_read(made, known, tmp_path):
    verified = bundle.verify(made / "mic.zip", known, NOW, tmp_path / "out")
    assert verified.says.run == "r1"
    assert verified.says.units == ("mic",)
    assert verified.says.observed == ("2026-11-22T22:00:00Z", "2026-11-22T23:00:00Z")
    assert verified.key.units == ("mic",)
    for name, data in FILES.items():
        assert (tmp_path / "out" / name).read_bytes() == data
    for path in [tmp_path / "out", *(tmp_path / "out").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_same_run_signed_at_the_same_time_gives_the_same_bytes(made, tmp_path):
    signer = keys.read_secret(made / "keys/mic.key", PASSPHRASE)
    bundle.sign(made / "run", signer, tmp_path / "again.zip", NOW)
    assert (tmp_path / "again.zip").read_bytes() == (made / "mic.zip").read_bytes()


def test_it_is_an_in_toto_statement_in_a_dsse_envelope(made):
    from securesystemslib.dsse import Envelope

    with zipfile.ZipFile(made / "mic.zip") as archive:
        assert archive.testzip() is None
        envelope = Envelope.from_dict(json.loads(archive.read("envelope.json")))
        inner = archive.read("run.zip")
    assert envelope.payload_type == "application/vnd.in-toto+json"
    statement = json.loads(envelope.payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    subjects = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    assert subjects["run.zip"] == hashlib.sha256(inner).hexdigest()
    assert subjects.keys() == {*FILES, "MANIFEST.json", "run.zip"}


def test_every_single_byte_that_is_changed_is_found(made, known, tmp_path):
    """Each byte of the bundle once, turned into one other value at random."""
    whole = (made / "mic.zip").read_bytes()
    path = tmp_path / "changed.zip"
    chance = random.Random(8)
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= chance.randrange(1, 256)
        path.write_bytes(changed)
        with pytest.raises(FaultError):
            bundle.verify(path, known, NOW)
    assert len(whole) > 2000


def test_every_length_but_its_own_is_found(made, known, tmp_path):
    whole = (made / "mic.zip").read_bytes()
    path = tmp_path / "cut.zip"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(FaultError):
            bundle.verify(path, known, NOW)
    for other in (whole + b"\0", b"\0" + whole, whole + whole):
        path.write_bytes(other)
        with pytest.raises(FaultError):
            bundle.verify(path, known, NOW)


def repacked(made, tmp_path, change):
    """The bundle with its inner files changed by `change`, under the envelope it had."""
    with zipfile.ZipFile(made / "mic.zip") as archive:
        envelope = archive.read("envelope.json")
        with zipfile.ZipFile(io.BytesIO(archive.read("run.zip"))) as run:
            files = {name: run.read(name) for name in run.namelist()}
    change(files)
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(bundle._entry(name, packed=True), data)
    bundle._write_outer(tmp_path / "forged.zip", envelope, inner)
    return tmp_path / "forged.zip"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda files: files.update({"summary.json": b"{}"}), ("changed", "summary.json")),
        (lambda files: files.update({"MANIFEST.json": b"{}"}), ("changed", "MANIFEST.json")),
        (lambda files: files.pop("journal.jsonl"), ("missing", "journal.jsonl")),
        (
            lambda files: files.update({"inputs/waivers.yaml": b"waivers: []"}),
            ("added", "inputs/waivers.yaml"),
        ),
        (lambda files: files.update({"MANIFEST.json": files.pop("MANIFEST.json")}), ("container", "")),
    ],
)
def test_what_was_done_to_it_is_named(made, known, tmp_path, change, expected):
    assert kinds(repacked(made, tmp_path, change), known) == [expected]


def test_everything_that_is_wrong_is_told_at_once(made, known, tmp_path):
    def change(files):
        files["summary.json"] = b"{}"
        del files["journal.jsonl"]
        files["more"] = b""

    path = repacked(made, tmp_path, change)
    assert set(kinds(path, known, NOW + timedelta(days=900))) == {
        ("expired-key", ""),
        ("changed", "summary.json"),
        ("missing", "journal.jsonl"),
        ("added", "more"),
    }


def test_a_stranger_is_turned_away(made, tmp_path):
    new_key(tmp_path / "others", "other")
    assert kinds(made / "mic.zip", keys.read_keys(tmp_path / "others")) == [("unknown-key", "")]


def test_another_signature_under_a_known_name_is_found(made, known, tmp_path):
    """A forger who signs with a key of his own, and names ours."""
    forger = new_key(tmp_path / "forger")
    bundle.sign(made / "run", forger, tmp_path / "forged.zip", NOW)
    (ours,) = known
    data = (tmp_path / "forged.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        fields = json.loads(archive.read("envelope.json"))
        (tmp_path / "inner.zip").write_bytes(archive.read("run.zip"))
    fields["signatures"][0]["keyid"] = ours
    envelope = json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()
    bundle._write_outer(tmp_path / "named.zip", envelope, tmp_path / "inner.zip")
    assert kinds(tmp_path / "named.zip", known) == [("signature", "")]


@pytest.mark.parametrize(
    ("since", "until", "now", "kind"),
    [
        (date(2026, 1, 1), date(2026, 11, 22), NOW, "expired-key"),
        (date(2026, 1, 1), date(2026, 11, 23), NOW + timedelta(days=1), "expired-key"),
        (date(2026, 11, 24), date(2027, 11, 24), NOW, "key-not-yet"),
        (date(2026, 1, 1), date(2027, 1, 1), NOW - timedelta(days=3), "dated-ahead"),
    ],
)
def test_a_key_signs_in_its_days_only(made, tmp_path, since, until, now, kind):
    signer = new_key(tmp_path / "keys", since=since, until=until)
    bundle.sign(made / "run", signer, tmp_path / "mic.zip", NOW)
    assert kinds(tmp_path / "mic.zip", keys.read_keys(tmp_path / "keys"), now) == [(kind, "")]


def test_a_key_speaks_for_its_own_units_only(made, tmp_path):
    signer = new_key(tmp_path / "keys", units=("mof", "sbv"))
    bundle.sign(made / "run", signer, tmp_path / "mic.zip", NOW)
    with pytest.raises(FaultError, match="speaks for mic, and its key may speak for mof, sbv only"):
        bundle.verify(tmp_path / "mic.zip", keys.read_keys(tmp_path / "keys"), NOW)


# ------------------------------------------------------------------------------------------- unpacking


def hostile(place, name, *, signer, build):
    """A bundle that a known key signed over an inner zip that is out to do harm."""
    from securesystemslib.dsse import Envelope

    inner = place / "inner.zip"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
            build(archive)
    with zipfile.ZipFile(inner) as archive:
        digests = {one.filename: hashlib.sha256(archive.read(one)).hexdigest() for one in archive.infolist()}
    digests |= {"run.zip": hashlib.sha256(inner.read_bytes()).hexdigest()}
    digests.setdefault("MANIFEST.json", "0" * 64)
    says = bundle.Predicate(
        run="r", seccheck="0", criteria=bundle.Criteria(set="s", version="1", digest="sha256:0"), registry="",
        units=("mic",), observed=("2026-11-22T22:00:00Z",) * 2, signed="2026-11-23T06:00:00Z",
    )  # fmt: skip
    subjects = tuple(
        bundle.Subject(name=name, digest=bundle.Digests(sha256=value)) for name, value in digests.items()
    )
    envelope = Envelope(
        bundle.canonical(bundle.Statement(subject=subjects, predicate=says)), bundle.PAYLOAD_TYPE, {}
    )
    envelope.sign(signer)
    bundle._write_outer(place / name, bundle.canonical(envelope.to_dict()), inner)
    return place / name


def member(name, mode=stat.S_IFREG | 0o600):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    return entry


@pytest.mark.parametrize(
    "entry",
    [
        member("../outside"),
        member("/etc/outside"),
        member("inputs/../../outside"),
        member("C:\\outside"),
        member("..\\outside"),
        member(".hidden"),
        member("a/.hidden/b"),
        member("a//b"),
        member("a\nb"),
        member("a" * 300),
        member("link", stat.S_IFLNK | 0o777),
        member("device", stat.S_IFCHR | 0o600),
        member("folder/", stat.S_IFDIR | 0o700),
    ],
    ids=lambda entry: repr(entry.filename[:20]),
)
def test_nothing_is_unpacked_outside_the_folder(made, known, tmp_path, entry):
    signer = keys.read_secret(made / "keys/mic.key", PASSPHRASE)

    def build(archive):
        archive.writestr(member("MANIFEST.json"), b"{}")
        archive.writestr(entry, b"/etc/passwd")

    path = hostile(tmp_path, "bad.zip", signer=signer, build=build)
    assert kinds(path, known, into=tmp_path / "out" / "in") == [("not-a-bundle", "")]
    assert {one.name for one in tmp_path.iterdir()} == {"bad.zip", "inner.zip"}


def test_a_name_that_comes_twice_is_refused(made, known, tmp_path):
    signer = keys.read_secret(made / "keys/mic.key", PASSPHRASE)

    def build(archive):
        for data in (b"{}", b"{ }"):
            archive.writestr(member("MANIFEST.json"), data)

    assert kinds(hostile(tmp_path, "bad.zip", signer=signer, build=build), known) == [("not-a-bundle", "")]


def test_a_bomb_is_refused_unopened(made, known, tmp_path, monkeypatch):
    signer = keys.read_secret(made / "keys/mic.key", PASSPHRASE)
    monkeypatch.setattr(bundle, "MAX_BYTES", 1_000_000)
    monkeypatch.setattr(bundle, "MAX_FILES", 100)

    def large(archive):
        archive.writestr(member("MANIFEST.json"), bytes(2_000_000))

    def many(archive):
        for number in range(101):
            archive.writestr(member(f"f{number}"), b"")

    for build in (large, many):
        assert kinds(hostile(tmp_path, "bad.zip", signer=signer, build=build), known) == [("too-large", "")]


# --------------------------------------------------------------------------------------------- signing


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (lambda run: (run / "summary.json").write_bytes(b"{}"), "changed"),
        (lambda run: (run / "journal.jsonl").unlink(), "missing"),
        (lambda run: (run / "more.txt").write_bytes(b""), "added"),
        (lambda run: (run / "MANIFEST.json").unlink(), "incomplete"),
    ],
)
def test_only_a_finished_run_as_it_was_written_is_signed(made, tmp_path, spoil, kind):
    run = finished(tmp_path)
    spoil(run)
    signer = keys.read_secret(made / "keys/mic.key", PASSPHRASE)
    with pytest.raises(FaultError) as caught:
        bundle.sign(run, signer, tmp_path / "mic.zip", NOW)
    assert [one.kind for one in caught.value.faults] == [kind]
    assert not (tmp_path / "mic.zip").exists()


def test_the_stop_file_the_lock_and_drafts_are_not_part_of_a_run(made, known, tmp_path):
    run = finished(tmp_path)
    for name in ("STOP", ".lock", ".results.json.77.part"):
        (run / name).touch()
    bundle.sign(run, keys.read_secret(made / "keys/mic.key", PASSPHRASE), tmp_path / "mic.zip", NOW)
    assert set(bundle.verify(tmp_path / "mic.zip", known, NOW).files) == {*FILES, "MANIFEST.json"}


# ------------------------------------------------------------------------------------------------ keys


def test_a_secret_key_is_its_owners_alone_and_under_its_passphrase(tmp_path):
    new_key(tmp_path)
    pem = (tmp_path / "mic.key").read_text()
    assert pem.startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert (tmp_path / "mic.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(InputError, match="expected a secret key under this passphrase"):
        keys.read_secret(tmp_path / "mic.key", b"another passphrase")
    with pytest.raises(InputError, match="this key exists already"):
        new_key(tmp_path)
    with pytest.raises(InputError, match="at least 12 characters"):
        keys.generate(tmp_path / "short", ("mic",), NOW.date(), NOW.date(), b"short")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seccheck: key/2", "key/1"),
        ("seccheck: key/1\nunits: []\nvalid: {from: 2026-01-01, until: 2026-02-01}\npublic: x", "units"),
        (
            "seccheck: key/1\nunits: [mic]\nvalid: {from: 2026-03-01, until: 2026-02-01}\npublic: x",
            "on or after",
        ),
        ("seccheck: key/1\nunits: [mic]\nvalid: {from: 2026-01-01, until: 2026-02-01}\npublic: x", "Ed25519"),
    ],
)
def test_a_key_file_that_is_none_is_refused(tmp_path, text, message):
    (tmp_path / "bad.pub.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        keys.read_keys(tmp_path)


def test_a_folder_without_keys_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match="seccheck bundle keygen"):
        keys.read_keys(tmp_path)


def test_every_fault_is_said_in_both_languages():
    fields = {
        field
        for words in faults._WORDS.values()
        for text in words["en"]
        for _, field, *_ in Formatter().parse(text)
    }
    values = dict.fromkeys(fields - {None}, "\x1b[31m<x>")
    for kind in faults._WORDS:
        for language in ("en", "vi"):
            text = fault(kind, "b.zip", **values).text(language)
            assert text.startswith("b.zip: ")
            assert "\x1b" not in text
            assert "{" not in text.replace("{use: vn-2025}", "")


def test_a_real_run_can_be_sent(tmp_path):
    from tests import small

    with small.web(nosniff=True) as good, small.web(nosniff=False) as bad:
        folder = small.assess(tmp_path / "run", *small.write_inputs(tmp_path, good, bad, 1))
    signer = new_key(tmp_path / "keys", units=("red", "blue"), since=date.min, until=date.max)
    bundle.sign(folder.path, signer, tmp_path / "b.zip")
    says = bundle.verify(tmp_path / "b.zip", keys.read_keys(tmp_path / "keys"), into=tmp_path / "copy").says
    assert says.units == ("blue", "red")
    assert says.criteria.digest == folder.criteria.digest
    assert RunFolder.open(tmp_path / "copy").info == folder.info
