"""What the demonstration is made of, before anything is served."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest

from seccheck.criteria import load_criteria
from seccheck.demo.defects import DEFECTS, FROM_LEVEL
from seccheck.demo.fleet import expected
from seccheck.demo.systems import NOT_REPORTING, systems
from seccheck.errors import SeccheckError
from seccheck.probes import load_probes
from seccheck.units import load_units


@pytest.mark.parametrize("one_address", [False, True])
def test_28_of_124_systems_are_wrong_and_break_many_criteria(one_address: bool) -> None:
    truth = expected(one_address=one_address)
    assert len(truth) == 124
    assert sum(bool(broken) for broken in truth.values()) == 28
    assert len(set().union(*truth.values())) >= 14


@pytest.mark.parametrize("one_address", [False, True])
@pytest.mark.parametrize("name", ["project06-2024", "project06-2026"])
def test_every_wrong_system_fails_a_criterion_that_counts_without_documents(
    one_address: bool, name: str
) -> None:
    counted = {
        one.id
        for one in load_criteria(name, load_probes(), profile="technical").criteria
        if one.counts_on(date(2026, 8, 19))
    }
    for system, broken in expected(one_address=one_address).items():
        assert not broken or broken & counted, system


def test_what_only_a_document_shows_is_not_expected_of_probes() -> None:
    assert expected()["tay-ninh-dichvucong"] == {"NET-03", "BAK-03"}
    assert expected(profile="technical")["tay-ninh-dichvucong"] == {"NET-03"}
    documents = {
        one.id for one in load_criteria("project06-2024", load_probes()).criteria if one.needs_document
    }
    for defect in DEFECTS.values():
        assert (defect.needs == "document") == bool(set(defect.criteria) & documents), defect.id


def test_levels_of_criteria_are_those_of_the_catalogue() -> None:
    by_id = {one.id: one for one in load_criteria("project06-2024", load_probes()).criteria}
    for criterion in {one for defect in DEFECTS.values() for one in defect.criteria} & set(by_id):
        assert FROM_LEVEL.get(criterion, 1) == by_id[criterion].text.from_level, criterion


def test_62_localities_and_22_central_bodies_report_with_one_to_three_systems_each() -> None:
    kinds = {unit.id: unit.kind for unit in load_units("vn-2024")}
    reporting = Counter(one.unit for one in systems())
    assert Counter(kinds[unit] for unit in reporting) == {"locality": 62, "ministry": 22}
    assert set(reporting.values()) == {1, 2, 3}
    counted = {unit for unit, kind in kinds.items() if kind != "other"}
    assert counted - set(reporting) == set(NOT_REPORTING)
    assert "bac-lieu" in NOT_REPORTING


def test_systems_are_named_in_both_languages_and_mostly_of_level_3() -> None:
    made = systems()
    assert len({one.id for one in made}) == len({one.host for one in made}) == 124
    assert all(one.name.vi and one.name.en and one.name.vi != one.name.en for one in made)
    levels = Counter(one.level for one in made)
    assert set(levels) == {1, 2, 3, 4, 5}
    assert levels[3] > 62
    assert levels[4] + levels[5] == 3  # of these every port is looked at
    by_id = {one.id: one for one in made}
    assert by_id["ha-giang-dichvucong"].name.vi.endswith("tỉnh Hà Giang")
    assert by_id["moj-dichvucong"].name.en.endswith("of the Ministry of Justice")


def test_on_a_shared_address_no_system_has_all_its_ports_looked_at() -> None:
    assert {one.level for one in systems(one_address=True)} == {1, 2, 3}


def test_a_defect_breaks_only_what_is_asked_at_the_level() -> None:
    assert DEFECTS["tls10"].breaks(3) == {"TLS-03", "TLS-06"}
    assert DEFECTS["tls10"].breaks(2) == {"TLS-03"}


def test_weak_tls_breaks_what_is_asked_of_mail_servers_too() -> None:
    truth = expected(extra_defects={"nghe-an-mail": ("expired",), "ha-noi-dichvucong": ("expired",)})
    assert truth["nghe-an-mail"] == {"CRT-03", "MAI-03"}
    assert truth["ha-noi-dichvucong"] == {"CRT-03"}


def test_an_extra_defect_changes_the_truth() -> None:
    before, after = expected(), expected(extra_defects={"ha-noi-dichvucong": ("tls10",)})
    assert before["ha-noi-dichvucong"] == set()
    assert after["ha-noi-dichvucong"] == {"TLS-03", "TLS-06"}
    assert {one for one in before if before[one] != after[one]} == {"ha-noi-dichvucong"}


@pytest.mark.parametrize(
    ("extra", "one_address", "said"),
    [
        ({"ha-noi-dichvucon": ("tls10",)}, False, "did you mean 'ha-noi-dichvucong'"),
        ({"ha-noi-dichvucong": ("tls1",)}, False, "did you mean 'tls1"),
        ({"moh-tiemchung": ("http-content",)}, False, "has no http"),
        ({"ha-noi-dichvucong": ("database",)}, True, "has no address"),
        ({"ha-noi-dichvucong": ("no-dmarc",)}, False, "has no domain"),
    ],
)
def test_what_cannot_be_is_refused(extra: dict[str, tuple[str, ...]], one_address: bool, said: str) -> None:
    with pytest.raises(SeccheckError) as caught:
        systems(extra_defects=extra, one_address=one_address)
    assert said in str(caught.value)
