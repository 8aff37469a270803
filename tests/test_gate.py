"""The gate's truth table: what blocks, what stays open, and that nothing measured is never a pass."""

import itertools

import pytest

from seccheck.errors import InputError
from seccheck.gate import Case, Threshold, check_baseline, decide, load_threshold, truth_table


def case(verdict, **other):
    fields = {
        "system": "s",
        "criterion": "TLS-03",
        "target": "t",
        "severity": "critical",
        "verdict": verdict,
        "counted": True,
        "fingerprint": "f1",
    }
    return Case(**{**fields, **other})


def status(*cases, baseline=None, **threshold):
    return decide(cases, Threshold(**threshold), baseline).status


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["pass"], 0),
        (["pass", "fail"], 1),
        (["pass", "inconclusive"], 3),
        (["fail", "inconclusive"], 1),
        (["waived"], 0),
        (["pass", "not-applicable"], 0),
        (["not-applicable"], 3),
        (["inconclusive"], 3),
        ([], 3),
    ],
)
def test_without_a_threshold(verdicts, expected):
    assert status(*(case(verdict, fingerprint=verdict) for verdict in verdicts)) == expected


def test_what_does_not_count_neither_blocks_nor_passes():
    assert status(case("fail", counted=False)) == 3
    assert status(case("fail", counted=False), case("pass", fingerprint="g")) == 0


def test_severities_and_criteria_narrow_the_gate():
    low = case("fail", severity="low", criterion="WEB-02")
    good = case("pass", fingerprint="g")
    assert status(low, good, severities=["critical", "high"]) == 0
    assert status(low, good, criteria=["TLS-*"]) == 0
    assert status(low, severities=["critical"]) == 3, "nothing within the threshold was measured"


def test_inconclusive_may_be_a_warning():
    assert status(case("pass"), case("inconclusive", fingerprint="g"), inconclusive="warn") == 0
    assert status(case("inconclusive"), inconclusive="warn") == 3, "nothing was measured"
    assert status(case("pass"), case("inconclusive", fingerprint="g"), fail_on=["inconclusive"]) == 1


@pytest.mark.parametrize(
    ("before", "fail_on", "expected"),
    [
        ({}, None, 1),
        ({"f1": "pass"}, None, 1),
        ({"f1": "waived"}, None, 1),
        ({"f1": "fail"}, None, 0),
        ({"f1": "pass"}, ["new"], 0),
        ({}, ["regressed"], 0),
    ],
)
def test_with_a_baseline_only_what_is_new_or_regressed_blocks(before, fail_on, expected):
    assert status(case("fail"), baseline=before, fail_on=fail_on) == expected


def test_a_waiver_that_ran_out_blocks_although_nothing_changed():
    assert status(case("fail", waiver_expired=True), baseline={"f1": "fail"}) == 1


def test_a_baseline_does_not_excuse_what_is_not_concluded():
    assert status(case("inconclusive"), case("pass", fingerprint="g"), baseline={"f1": "inconclusive"}) == 3


def test_fail_on_new_needs_a_baseline():
    with pytest.raises(InputError, match="needs a --baseline run"):
        check_baseline(Threshold(fail_on=["new"]), baseline=False)
    check_baseline(Threshold(fail_on=["new"]), baseline=True)


def test_the_table_in_the_documentation_is_the_code():
    rows = list(truth_table())
    assert len(rows) == len(set(rows)) > 50
    effects = {row[-1] for row in rows}
    assert effects == {"block", "open", "warn", "pass"}
    assert all(row[-1] == "pass" for row in rows if row[0] in {"pass", "waived"})


def test_worsening_never_turns_a_gate_greener():
    """Replacing any verdict by a worse one never lowers the exit status towards 0."""
    order = ["pass", "inconclusive", "fail"]
    rank = {0: 0, 3: 1, 1: 2}
    for first, second in itertools.product(order, repeat=2):
        here = rank[status(case(first), case(second, fingerprint="g"))]
        for worse in order[order.index(first) :]:
            assert rank[status(case(worse), case(second, fingerprint="g"))] >= here


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("severities: [high]", "gate.yaml:1: expected `seccheck: gate/1`"),
        ("seccheck: gate/1\nseverity: [high]", "severities"),
        ("seccheck: gate/1\nseverities: [hihg]", "high"),
        ("seccheck: gate/1\nseverities: []", "severities"),
        ("seccheck: gate/1\ncriteria: [TSL-*]", "gate.yaml:2: criteria[0]"),
        ("seccheck: gate/1\ninconclusive: ignore", "inconclusive"),
        ("", "expected"),
        ("[1", "gate.yaml"),
    ],
)
def test_a_typo_never_turns_a_gate_green(tmp_path, text, message):
    path = tmp_path / "gate.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_threshold(path, ["TLS-03", "WEB-02"])
    assert message in str(caught.value)
