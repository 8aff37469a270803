"""The same target gets the same answer, on a quiet and on a busy machine (fifty times: bench/steady.py)."""

import pytest

from bench import steady
from tests.tools import tool


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    tool("nginx")
    place = tmp_path_factory.mktemp("steady")
    with steady.target(place) as url:
        yield place, url


@pytest.fixture(scope="module")
def first(place):
    folder, url = place
    return steady.answer(url, folder / "root.pem", folder)


def test_the_target_meets_some_and_fails_others(first):
    status, findings = first
    verdicts = {criterion: verdict for criterion, _, verdict, _ in findings}
    assert status == 1
    assert verdicts["TLS-03"] == verdicts["WEB-01"] == "fail"
    assert verdicts["TLS-04"] == verdicts["CRT-01"] == verdicts["TLS-08"] == "pass"


@pytest.mark.parametrize(("busy", "times"), [(0, 2), (3, 2)])
def test_asked_again_it_says_the_same(place, first, busy, times):
    folder, url = place
    with steady.busy(busy):
        for _ in range(times):
            assert steady.answer(url, folder / "root.pem", folder) == first
