"""Sending and joining runs from the command line: plain words, both languages, secrets never shown."""

import subprocess
import sys

import pytest

from tests import small
from tests.tools import seccheck

PASSPHRASE = "correct horse battery"
SIGN = ("bundle", "sign", "run", "--key", "keys/both.key", "--out", "c.zip")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A finished run of two units, and their key, made as an officer would make them."""
    with small.scanned(tmp_path_factory.mktemp("keeping")) as place:
        done = call(place, "bundle", "keygen", "keys/both", "--unit", "red", "--unit", "blue")
        assert done.returncode == 0, done.stderr
        assert "fingerprint\t" in done.stdout
        done = call(place, "bundle", "sign", "run", "--key", "keys/both.key", "--out", "b.zip")
        assert done.returncode == 0, done.stderr
        return place


def call(place, *words):
    more = ("--passphrase", "env:SECRET") if words[1] in {"keygen", "sign"} else ()
    return seccheck(*words, *more, cwd=place, SECRET=PASSPHRASE)


def test_a_bundle_is_signed_verified_and_merged(place):
    done = call(place, "bundle", "verify", "b.zip", "--keys", "keys", "-c", "small 1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("b.zip\tok\tblue, red\tsmall 1 (")
    done = call(place, "merge", "b.zip", "--keys", "keys", "--out", "nation", "--format", "", "--lang", "vi")
    assert done.returncode == 0, done.stderr
    assert "1/4 hệ thống đáp ứng" in done.stdout
    done = seccheck("scan", "--resume", "nation", cwd=place)
    assert done.returncode == 2
    assert "merged from 1" in done.stderr


@pytest.mark.parametrize(
    ("language", "message", "step"),
    [
        (
            "en",
            "it was judged by small 1",
            "next: ask the unit to run: seccheck rejudge RUN -c other --out NEW",
        ),
        ("vi", "gói được đánh giá theo small 1", "việc cần làm: đề nghị đơn vị chạy: seccheck rejudge"),
    ],
)
def test_what_is_wrong_is_told_in_the_officers_language(place, language, message, step):
    for words in (
        ("bundle", "verify", "b.zip", "--keys", "keys", "-c", "other", "--lang", language),
        ("merge", "b.zip", "--keys", "keys", "--out", "no", "-c", "other", "--lang", language),
    ):
        done = call(place, *words)
        assert done.returncode == 2
        assert message in done.stderr
        assert step in done.stderr
        assert not done.stdout
    assert not (place / "no").exists()


def test_an_expired_key_and_the_archive(place):
    done = call(place, "bundle", "verify", "b.zip", "--keys", "keys", "--at", "2099-01-01")
    assert done.returncode == 2
    assert "the unit's key ran out on" in done.stderr
    assert "--at" in done.stderr


def test_the_passphrase_is_shown_nowhere(place):
    """Not in any file, not on the command line; and none is taken from there."""
    for path in place.rglob("*"):
        assert not path.is_file() or PASSPHRASE.encode() not in path.read_bytes(), path
    done = call(place, "bundle", "verify", "b.zip", "--keys", "keys")
    assert PASSPHRASE not in done.stdout + done.stderr
    for given, message in (
        (PASSPHRASE, "expected env:NAME or file:PATH"),
        ("env:UNSET_VARIABLE", "the variable UNSET_VARIABLE is not set"),
        ("file:absent", "No such file"),
    ):
        done = seccheck(*SIGN, "--passphrase", given, cwd=place)
        assert done.returncode == 2
        assert message in done.stderr
        assert PASSPHRASE not in done.stderr


def test_a_passphrase_is_not_read_from_a_pipe(place):
    done = subprocess.run(
        [sys.executable, "-m", "seccheck", *SIGN],
        cwd=place, capture_output=True, text=True, check=False, input=PASSPHRASE,
    )  # fmt: skip
    assert done.returncode == 2
    assert "give --passphrase env:NAME or file:PATH" in done.stderr


def test_a_wrong_passphrase_is_said_to_be_one(place):
    (place / "other").write_text("something else here\n")
    done = seccheck(*SIGN, "--passphrase", "file:other", cwd=place)
    assert done.returncode == 2
    assert "expected a secret key under this passphrase" in done.stderr
    assert not (place / "c.zip").exists()
