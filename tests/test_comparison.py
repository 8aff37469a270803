"""What changed between two runs, read side by side."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seccheck.comparison import compare


def system(name, status="meets", **verdicts):
    findings = [{"criterion": one, "target": None, "verdict": verdict} for one, verdict in verdicts.items()]
    return {"id": name, "status": status, "findings": findings}


def changes(old, new):
    found = compare(old, new)
    return [(one.system, one.change) for one in found.systems], [
        (one.system, one.criterion, one.change) for one in found.findings
    ]


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ("pass", "fail", "regressed"),
        ("pass", "inconclusive", "regressed"),
        ("waived", "fail", "regressed"),
        ("fail", "waived", "improved"),
        ("fail", "pass", "improved"),
        ("not-applicable", "fail", "new"),
        ("pass", "not-applicable", "gone"),
    ],
)
def test_a_verdict_that_moved_is_told(before, after, change):
    assert changes([system("a", C=before)], [system("a", C=after)])[1] == [("a", "C", change)]


def test_what_stayed_is_not_told():
    same = [system("a", C="fail"), system("b", C="not-applicable")]
    assert changes(same, same) == ([], [])


def test_systems_come_and_go():
    old = [system("a"), system("b", "does-not-meet"), system("d")]
    new = [system("b", "meets"), system("c", "not-concluded"), system("d")]
    assert changes(old, new)[0] == [("a", "gone"), ("b", "improved"), ("c", "new")]


NAMES = st.lists(st.text("abc", min_size=1, max_size=3), unique=True).map(sorted)


@given(NAMES, NAMES)
def test_each_system_is_looked_at_once_and_with_its_own_earlier_self(old, new):
    found = compare(iter([system(name) for name in old]), iter([system(name) for name in new]))
    expected = sorted(
        [(name, "gone") for name in old if name not in new]
        + [(name, "new") for name in new if name not in old]
    )
    assert [(one.system, one.change) for one in found.systems] == expected
    assert all(first.system < second.system for first, second in pairwise(found.systems))
