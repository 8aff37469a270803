"""Bans, limiters and flaky paths in front of sound and weak servers: no false pass, no false fail."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest

from seccheck.probes import Answer
from seccheck.probes.tls import engine
from seccheck.probes.tls.facts import TlsFacts, TlsParams
from tests.probes.tls.broken_paths import cases, decided, mistakes, proxied, truth_of
from tests.probes.tls.conftest import Ports
from tests.probes.tls.looks import EVERYTHING, endpoint, facts_of, look_at

ADDRESS = f"127.{100 + os.getpid() % 100}.{os.getpid() // 100 % 250}.1"
"""An address of our own, where nobody else's port scan is counted as a connection."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(engine, "CONNECTION_SECONDS", 0.6)


def _look_through(specs: list[dict[str, Any]], *ask: str) -> list[Answer]:
    with proxied(specs, ADDRESS) as ports:
        endpoints = [endpoint(port, address=ADDRESS) for port in ports]
        return look_at(endpoints, TlsParams(ask=ask))  # type: ignore[arg-type]


def _check(
    specs: list[dict[str, Any]], answers: list[Answer], truths: tuple[TlsFacts, TlsFacts]
) -> Counter[str]:
    tally: Counter[str] = Counter()
    wrong = []
    for spec, answer in zip(specs, answers, strict=True):
        found = mistakes(answer, truths[spec["bad"]])
        wrong += [f"{spec}: {found}"] if found else []
        assert answer.connections <= 40
        tally["decided"] += decided(answer)
        failed = bool(answer.facts and answer.facts.versions and "TLSv1.0" in answer.facts.versions)
        tally["weakness found"] += failed
    assert not wrong, "\n".join(wrong)
    return tally


def test_two_thousand_broken_paths(ports: Ports) -> None:
    ask = "offered", "versions", "suites", "groups"
    truths = truth_of(facts_of(ports.good, *ask)), truth_of(facts_of(ports.bad, *ask))
    specs = cases(seed=20261123, number=2000)
    for spec in specs:
        spec |= {"backend": ports.bad if spec["bad"] else ports.good, "replay": True}
    tally = _check(specs, _look_through(specs, *ask), truths)

    # Honest is not the same as mute.
    assert tally["weakness found"] >= 800
    assert tally["decided"] >= 300


def test_broken_paths_when_everything_is_asked(ports: Ports) -> None:
    truths = truth_of(facts_of(ports.good)), facts_of(ports.bad)
    specs = cases(seed=7, number=120)
    for spec in specs:
        spec["backend"] = ports.bad if spec["bad"] else ports.good
    tally = _check(specs, _look_through(specs, *EVERYTHING), truths)

    assert tally["weakness found"] >= 40


STYLES_OF_REFUSAL = ("reset", "close", "close-notify", "alert-80", "alert-40", "alert-70")
