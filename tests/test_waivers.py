"""Waivers: dated, reasoned, approved by another person; what does nothing is said."""

from datetime import date

import pytest

from seccheck.errors import InputError
from seccheck.waivers import covering, load_waivers, remarks

ONE = {
    "criterion": "TLS-03",
    "system": "portal-*",
    "reason": "replaced in July",
    "requested_by": "A. Requester",
    "approved_by": "B. Approver",
    "from": "2026-01-01",
    "until": "2026-06-30",
}
DAY = date(2026, 3, 1)


def load(place, *entries, head="seccheck: waivers/1"):
    lines = [head, "waivers:"]
    for entry in entries:
        lines += [
            f"{'- ' if not at else '  '}{key}: {value}" for at, (key, value) in enumerate(entry.items())
        ]
    (place / "waivers.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_waivers(place / "waivers.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"aproved_by": "B"}, "unknown key"),
        ({"until": "2027-01-03"}, "at most 366 days"),
        ({"until": "2025-12-31"}, "on or after 2026-01-01"),
        ({"approved_by": "a.  requester"}, "another person than requested_by"),
        ({"reason": '""'}, "reason"),
        ({"until": "soon"}, "until"),
    ],
)
def test_a_mistake_is_refused_with_its_line(tmp_path, change, message):
    with pytest.raises(InputError) as caught:
        load(tmp_path, {**ONE, **change})
    assert message in str(caught.value)
    assert "waivers.yaml:" in str(caught.value)


@pytest.mark.parametrize(
    "missing", ["until", "from", "reason", "requested_by", "approved_by", "system", "criterion"]
)
def test_every_part_that_makes_it_accountable_is_required(tmp_path, missing):
    with pytest.raises(InputError, match=missing):
        load(tmp_path, {key: value for key, value in ONE.items() if key != missing})


def test_the_same_person_under_another_spelling_is_the_same_person(tmp_path):
    composed, decomposed = "Nguy\u1ec5n V\u0103n A", "Nguye\u0302\u0303n Va\u0306n A"
    with pytest.raises(InputError, match="another person"):
        load(tmp_path, {**ONE, "requested_by": composed, "approved_by": decomposed})


def test_a_year_and_a_day_can_be_waived(tmp_path):
    (waiver,) = load(tmp_path, {**ONE, "until": "2027-01-02"})
    assert waiver.state(date(2027, 1, 2)) == "live"


@pytest.mark.parametrize(
    ("day", "state"),
    [
        (date(2025, 12, 31), "not-yet-valid"),
        (date(2026, 1, 1), "live"),
        (date(2026, 6, 30), "live"),
        (date(2026, 7, 1), "expired"),
    ],
)
def test_both_days_are_included(tmp_path, day, state):
    (waiver,) = load(tmp_path, ONE)
    assert waiver.state(day) == state
    assert (covering([waiver], "TLS-03", "portal-1", None, day) is waiver) == (state == "live")


def test_it_covers_its_criterion_its_systems_and_its_target_alone(tmp_path):
    anywhere, one_target = load(tmp_path, ONE, {**ONE, "target": "web"})
    assert anywhere.matches("TLS-03", "portal-1", "web")
    assert anywhere.matches("TLS-03", "portal-2", None)
    assert not anywhere.matches("TLS-03", "mail", "web")
    assert not anywhere.matches("TLS-04", "portal-1", "web")
    assert one_target.matches("TLS-03", "portal-1", "web")
    assert not one_target.matches("TLS-03", "portal-1", "api")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"until": "2026-02-01"}, ["waiver of TLS-03 for portal-* expired on 2026-02-01"]),
        ({"from": "2026-04-01"}, ["waiver of TLS-03 for portal-* is not valid before 2026-04-01"]),
        ({"system": "mail"}, ["waiver of TLS-03 for mail matches nothing that was found wanting"]),
        (
            {"target": "api"},
            ["waiver of TLS-03 for portal-*, target api matches nothing that was found wanting"],
        ),
        ({"criterion": "WEB-01"}, ["waiver of WEB-01 for portal-* matches nothing that was found wanting"]),
        (
            {"criterion": "TSL-03"},
            ["waiver of TSL-03 for portal-* names no criterion of this run; did you mean 'TLS-03'?"],
        ),
    ],
)
def test_what_does_nothing_is_said(tmp_path, change, said):
    waivers = load(tmp_path, {**ONE, **change})
    assert remarks(waivers, [("TLS-03", "portal-1", "web")], DAY, ["TLS-03", "WEB-01"]) == said
