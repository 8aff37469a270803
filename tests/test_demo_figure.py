"""The figure of the demonstration comes out of probing: every verdict is held against the defects planted."""

import json
from datetime import UTC, datetime

import pytest

from seccheck.assessment import Narrowing, collect, conclude, prepare
from seccheck.criteria import load_criteria
from seccheck.demo import Fleet
from seccheck.executors.local import LocalExecutor
from seccheck.probes import load_probes
from seccheck.reference import BUNDLED, load_reference
from seccheck.registry import load_registry, scope_of
from seccheck.resolve import resolve

EVERYTHING = Narrowing()


def assess(fleet, out, narrowing=EVERYTHING):
    registry = load_registry(fleet.registry)
    scope = scope_of(registry)
    folder = prepare(
        out,
        registry,
        load_criteria("project06-2024", load_probes(), profile="technical"),
        lambda names: resolve(names, scope),
        narrowing=narrowing,
        waivers=fleet.waivers,
        reference=load_reference(BUNDLED),
        now=datetime.now(UTC),
    )
    collect(folder, LocalExecutor(load_probes()), lambda *_: None)
    conclude(folder)
    return json.loads((folder.path / "results.json").read_text())


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    place = tmp_path_factory.mktemp("demo")
    with Fleet(place / "fleet") as fleet:
        document = assess(fleet, place / "run")
        return document, fleet.expected()


def test_the_figure_is_that_of_2024(results):
    tally = results[0]["tally"]
    counts = {
        key: tally["systems"][key]
        for key in ("reported", "meets", "does_not_meet", "not_concluded", "unassessed")
    }
    assert counts == {"reported": 124, "meets": 96, "does_not_meet": 28, "not_concluded": 0, "unassessed": 0}
    coverage = {kind: (entry["reported"], entry["total"]) for kind, entry in tally["units"].items()}
    assert coverage["locality"] == (62, 63)
    assert coverage["ministry"] == (22, 28)


def test_every_system_fails_what_it_breaks_and_nothing_else(results):
    document, expected = results
    found = {
        system["id"]: {
            one["criterion"] for one in system["findings"] if one["counted"] and one["verdict"] == "fail"
        }
        for system in document["systems"]
    }
    wrong = {
        name: (found[name], expected.get(name, set()))
        for name in found
        if found[name] != set(expected.get(name, ()))
    }
    assert wrong == {}
    assert len({criterion for failed in found.values() for criterion in failed}) >= 14


def test_one_more_defect_changes_the_figure(tmp_path):
    wanted = Narrowing(system=("ha-noi-dichvucong",))
    for name, defects, status in (
        ("good", {}, "meets"),
        ("worse", {"ha-noi-dichvucong": ("tls10",)}, "does-not-meet"),
    ):
        with Fleet(tmp_path / name, extra_defects=defects) as fleet:
            (system,) = assess(fleet, tmp_path / f"{name}-run", wanted)["systems"]
        assert system["status"] == status
