from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from seccheck.model import Text
from seccheck.units import Unit, bundled_lists, find_unit, load_units, unit_hint
from seccheck.yamlfile import Mistake


def test_two_lists_ship() -> None:
    assert bundled_lists() == ("vn-2024", "vn-2025")


def test_the_list_of_2024_counts_63_localities_and_28_ministries() -> None:
    units = load_units("vn-2024")

    assert Counter(unit.kind for unit in units) == {"locality": 63, "ministry": 28, "other": 2}
    assert {unit.id for unit in units if unit.kind == "other"} == {"mod", "mps"}


def test_the_list_of_2025_counts_34_localities() -> None:
    assert Counter(unit.kind for unit in load_units("vn-2025")) == {"locality": 34, "ministry": 22}


@pytest.mark.parametrize("name", bundled_lists())
def test_ids_and_names_are_unique_within_a_list(name: str) -> None:
    units = load_units(name)

    assert len({unit.id for unit in units}) == len(units)
    assert len({unit.name.vi for unit in units}) == len(units)
    assert len({unit.name.en for unit in units}) == len(units)


def test_every_unit_of_2024_went_into_one_of_2025() -> None:
    merged = [old for unit in load_units("vn-2025") for old in unit.formed_from]

    assert sorted(merged) == sorted(unit.id for unit in load_units("vn-2024"))


def test_one_id_may_mean_two_territories() -> None:
    (new,) = [unit for unit in load_units("vn-2025") if unit.id == "tuyen-quang"]

    assert new.formed_from == ("ha-giang", "tuyen-quang")


def test_a_list_that_does_not_exist() -> None:
    with pytest.raises(Mistake) as caught:
        load_units("vn-2052")

    assert str(caught.value) == "expected a bundled unit list (vn-2024, vn-2025), found 'vn-2052'"
    assert caught.value.hint == "did you mean 'vn-2025'?"


@pytest.mark.parametrize("name", bundled_lists())
def test_every_unit_is_found_by_id_and_by_its_names(name: str) -> None:
    for unit in load_units(name):
        for wanted in (unit.id, unit.name.vi, unit.name.en, unit.name.vi.upper(), f"  {unit.name.vi} "):
            assert find_unit(wanted, load_units(name)) == unit


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("Ha Noi", "ha-noi"),
        ("UBND thành phố Hà Nội", "ha-noi"),
        ("UBND TP. Hồ Chí Minh", "ho-chi-minh"),
        ("TP Ho Chi Minh", "ho-chi-minh"),
        ("Ủy ban nhân dân tỉnh Bà Rịa – Vũng Tàu", "ba-ria-vung-tau"),
        ("dak lak", "dak-lak"),
        ("Đắk Lắk", "dak-lak"),
        ("Bộ TT&TT", None),
        ("bo y te", "moh"),
        ("Y tế", "moh"),
        ("Ministry of Justice", "moj"),
        ("MOJ", "moj"),
    ],
)
def test_units_are_found_as_offices_write_them(wanted: str, found: str | None) -> None:
    units = load_units("vn-2024")

    if found is None:
        with pytest.raises(Mistake, match="expected a reporting unit"):
            find_unit(wanted, units)
    else:
        assert find_unit(wanted, units).id == found


def test_a_misspelt_unit_is_told_with_the_nearest() -> None:
    with pytest.raises(Mistake) as caught:
        find_unit("Hà Nọii", load_units("vn-2024"))

    assert str(caught.value) == "expected a reporting unit, found 'Hà Nọii'"
    assert caught.value.hint == "did you mean 'Thành phố Hà Nội' (id ha-noi)?"


def test_a_merged_unit_is_told_with_its_heir() -> None:
    with pytest.raises(Mistake) as caught:
        find_unit("Tỉnh Hà Giang", load_units("vn-2025"))

    assert caught.value.hint == "it has become part of Tỉnh Tuyên Quang (id tuyen-quang)"
    assert unit_hint("ha-giang", load_units("vn-2025")) == (
        "'ha-giang' has become part of 'tuyen-quang' (Tỉnh Tuyên Quang)"
    )


def test_an_unknown_unit_is_told_how_to_go_on() -> None:
    with pytest.raises(Mistake) as caught:
        find_unit("qqqqqqqq", load_units("vn-2025"))

    assert caught.value.hint == "write the id or the name of a unit of the list"
    assert unit_hint("ha-noii", load_units("vn-2025")) == "did you mean 'ha-noi'?"
    assert unit_hint("qqqqqqqq", load_units("vn-2025")) == (
        "units: mod, mps, mofa; docs/unit-lists.md has all 56"
    )


def test_a_name_of_two_units_is_refused() -> None:
    twins = [
        Unit(id=one, kind="enterprise", name=Text(vi="Công ty A", en=f"Company {one}"))
        for one in ("a1", "a2")
    ]

    with pytest.raises(Mistake) as caught:
        find_unit("cong ty a", twins)

    assert str(caught.value) == (
        "expected one unit, found 'cong ty a', which may mean a1 (Công ty A), a2 (Công ty A)"
    )


@pytest.mark.parametrize("name", bundled_lists())
def test_the_documentation_lists_every_unit(name: str) -> None:
    text = (Path(__file__).parents[1] / "docs/unit-lists.md").read_text(encoding="utf-8")
    rows = text.partition(f"## All units of {name}\n")[2].partition("\n## ")[0]

    assert Counter(line.split("`")[1] for line in rows.splitlines() if line.startswith("| `")) == Counter(
        unit.id for unit in load_units(name)
    )
