"""Loading, packing and checking the reference data."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from seccheck.errors import SeccheckError
from seccheck.reference import Reference, load_reference, load_reference_bytes, pack
from seccheck.reference.snapshot import BUNDLED, CONTENTS, read_folder


def write_folder(folder: Path, documents: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    feeds = []
    for feed, document in documents.items():
        data = json.dumps(document).encode()
        (folder / f"{feed}.json").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        feeds.append({"id": feed, "file": f"{feed}.json", "date": "2026-11-01", "sha256": digest})
    (folder / "manifest.json").write_text(json.dumps({"seccheck": "reference/1", "feeds": feeds}))


def support_feed(day: str, ended: str) -> dict[str, object]:
    cycles = [{"name": "1.30", "ended": ended}]
    return {
        "feed": "eol",
        "date": day,
        "source": "https://endoflife.date",
        "content": {"products": {"nginx": {"cycles": cycles}}},
    }


def test_what_ships(shipped: Reference) -> None:
    assert {info.id for info in shipped.feeds} == set(CONTENTS) - {"ubuntu"}
    for info in shipped.feeds:
        assert info.source
        assert info.licence
        assert info.entries > 0
        assert info.digest.startswith("sha256:")
    assert shipped.feed_date("kev") == "2026-08-20"
    assert shipped.exploited_ids["CVE-2021-41773"]
    for release in ("debian 12", "ubuntu 22.04", "rhel 9"):
        assert isinstance(shipped.support_ends(release), str)


def test_every_shipper_has_an_end_of_support(shipped: Reference) -> None:
    for row in shipped.builds.frozen:
        for release in row.shippers:
            assert shipped.support_ends(release) is not None, release


def test_every_named_product_is_unique(shipped: Reference) -> None:
    for name, entry in shipped.products.items():
        for alias in entry.aliases:
            assert alias not in shipped.products
            assert shipped.canonical_name(alias) == name


def test_packs_to_the_same_bytes(shipped: Reference) -> None:
    packed = pack(shipped)
    again = load_reference_bytes(packed)
    assert pack(again) == packed
    assert again.feeds == shipped.feeds


def test_the_later_date_wins_per_feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = tmp_path / "seccheck" / "reference"
    write_folder(folder, {"eol": support_feed("2026-11-01", "2030-01-01")})
    reference = load_reference()
    assert reference.feed_date("eol") == "2026-11-01"
    assert reference.feed_date("kev") == "2026-08-20"
    write_folder(folder, {"eol": support_feed("2020-01-01", "2030-01-01")})
    assert load_reference().feed_date("eol") == "2026-08-22"


def test_a_folder_named_is_taken_with_its_own_date(tmp_path: Path) -> None:
    write_folder(tmp_path, {"eol": support_feed("2020-01-01", "2030-01-01")})
    assert load_reference(tmp_path).feed_date("eol") == "2020-01-01"


Damage = Callable[[Path], object]


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "eol.json").write_text("{}"),
        lambda folder: (folder / "eol.json").unlink(),
        lambda folder: (folder / "manifest.json").write_text("{"),
        lambda folder: (folder / "manifest.json").write_text('{"seccheck": "reference/9", "feeds": []}'),
        lambda folder: write_folder(folder, {"eol": {**support_feed("2026-11-01", ""), "content": {}}}),
        lambda folder: write_folder(folder, {"eol": support_feed("yesterday", "2030-01-01")}),
    ],
)
def test_damage_is_told(damage: Damage, tmp_path: Path) -> None:
    write_folder(tmp_path, {"eol": support_feed("2026-11-01", "2030-01-01")})
    damage(tmp_path)
    with pytest.raises(SeccheckError) as caught:
        load_reference(tmp_path)
    assert caught.value.next_step


@pytest.mark.parametrize(
    "data", [b"", b"no gzip", gzip.compress(b"[]"), gzip.compress(b'{"eol": "{}"}'), gzip.compress(b"x")[:-9]]
)
def test_a_damaged_run_file_is_told(data: bytes) -> None:
    with pytest.raises(SeccheckError):
        load_reference_bytes(data)


def test_no_folder_no_feeds(tmp_path: Path) -> None:
    assert read_folder(tmp_path / "none") == {}
    assert read_folder(BUNDLED)
