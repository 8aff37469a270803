"""The gate's truth table: what blocks, what stays open, and that nothing measured is never a pass."""

import itertools

import pytest

from seccheck.errors import InputError
from seccheck.gate import COLUMNS, Case, Threshold, check_baseline, decide, load_threshold, truth_table


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


@pytest.mark.parametrize(("observed", "expected"), [("fail", 0), ("inconclusive", 3)])
def test_a_waiver_excuses_and_measures_nothing(observed, expected):
    """What nobody could look at is not measured because somebody waived it."""
    assert status(case("waived", observed=observed)) == expected
    assert status(case("waived", observed=observed), case("pass", fingerprint="g")) == 0


def test_what_is_told_comes_gravest_first_and_the_counts_add_up():
    cases = [
        case("inconclusive", criterion="B-1", fingerprint="1"),
        case("fail", criterion="C-1", severity="low", fingerprint="2"),
        case("fail", criterion="A-1", severity="critical", fingerprint="3"),
        case("pass", fingerprint="4"),
        case("fail", counted=False, fingerprint="5"),
    ]
    outcome = decide(cases, Threshold())
    assert [(one.effect, one.case.criterion) for one in outcome.told] == [
        ("block", "A-1"),
        ("block", "C-1"),
        ("open", "B-1"),
    ]
    assert sum(outcome.counts.values()) == len(cases)
    assert outcome.measured == 3


# ---------------------------------------------------------------------------------------- the truth table

STATES = {"none": None, "new": {}, "regressed": {"f1": "pass"}, "improved": {"f1": "gone"}}


def each(rows):
    """Every single combination that a row of the table speaks of, with its effect."""
    for row in rows:
        for combination in itertools.product(*row.values):
            yield dict(zip(COLUMNS, combination, strict=True)), row.effect


def test_the_table_has_every_combination_exactly_once():
    told = [tuple(combination.values()) for combination, _ in each(truth_table())]
    assert len(told) == len(set(told))
    assert set(told) == set(itertools.product(*COLUMNS.values()))


def test_the_exit_status_follows_the_table():
    for combination, effect in each(truth_table()):
        outcome = gated(combination)
        if outcome is not None:
            assert outcome.status == {"block": 1, "open": 3}.get(effect, 0), combination
            assert outcome.counts[effect] >= 1, combination


def gated(combination):
    """The outcome for one such finding, with a pass beside it so that something is measured."""
    found, waiver, baseline = (combination[name] for name in ("found", "waiver", "baseline"))
    waived = waiver == "in force" and found in {"fail", "inconclusive"}
    verdict = "waived" if waived else found
    if (baseline == "regressed" and verdict != "fail") or (baseline == "improved" and verdict == "fail"):
        return None  # these verdicts cannot stand so against a baseline
    before = {"f1": verdict} if baseline == "unchanged" else STATES[baseline]
    if baseline == "improved" and verdict == "inconclusive":
        before = {"f1": "fail"}
    fail_on = None if combination["fail_on"] == "default" else [combination["fail_on"]]
    threshold = Threshold(fail_on=fail_on, inconclusive=combination["inconclusive"])
    finding = case(
        verdict,
        observed=found,
        counted=combination["within"] == "yes",
        waiver_expired=waiver == "ran out",
    )
    both = None if before is None else {**before, "other": "pass"}
    return decide([finding, case("pass", fingerprint="other")], threshold, both)


@pytest.mark.parametrize("baseline", [False, True])
@pytest.mark.parametrize("mode", ["block", "warn"])
def test_a_list_under_fail_on_blocks_what_any_of_its_entries_blocks(baseline, mode):
    causes = ["new", "regressed", "expired-waiver", "inconclusive"]

    def blocked(fail_on):
        rows = truth_table(Threshold(fail_on=fail_on, inconclusive=mode), baseline=baseline)
        names = list(COLUMNS)
        return {
            tuple(combination[name] for name in names if name != "fail_on")
            for combination, effect in each(rows)
            if effect == "block"
        }

    single = {cause: blocked([cause]) for cause in causes}
    for size in (2, 3, 4):
        for chosen in itertools.combinations(causes, size):
            assert blocked(list(chosen)) == set().union(*(single[cause] for cause in chosen))


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
