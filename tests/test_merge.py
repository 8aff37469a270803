"""From 84 signed bundles to one nation, with the figures of one scan of all; what is wrong is refused."""

import json
import shutil
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from seccheck import bundle, keys
from seccheck.assessment import Narrowing, collect, conclude, prepare, rejudge
from seccheck.criteria import load_criteria
from seccheck.errors import InputError
from seccheck.executors.local import LocalExecutor
from seccheck.faults import FaultError
from seccheck.merge import merge
from seccheck.probes import load_probes
from seccheck.reference import Reference
from seccheck.registry import load_registry
from seccheck.reports import Options, load_reports
from seccheck.reports import run as reading
from seccheck.runfolder import RunFolder
from seccheck.units import load_units
from tests import small
from tests.tools import free_port

PASSPHRASE = b"correct horse battery"
REFERENCE = Reference({})
"""Nothing here is judged by the age of a version, and the bundled data takes its time to pack."""
HEAD = """
seccheck: registry/1
name: {en: Nation, vi: Quốc gia}
language: en
units: {use: vn-2024}
systems:
"""


def system(name, unit, port, level=1):
    return (
        f"- id: {name}\n  unit: {unit}\n  name: {{en: {name}, vi: {name}}}\n  level: {level}\n"
        f'  targets: ["http://127.0.0.1:{port}/"]\n'
    )


class Nation:
    """Keys and runs of units, on two web servers, one of which is at fault, and a port where nobody is."""

    def __init__(self, place: Path, ports: tuple[int, int, int]) -> None:
        self.place = place
        self.ports = ports
        (place / "criteria.yaml").write_text(small.CRITERIA, encoding="utf-8")
        (place / "set.yaml").write_text(small.SET, encoding="utf-8")
        self.criteria = load_criteria(str(place / "set.yaml"), load_probes())
        self.signers = {}
        self.serial = 0

    def signer(self, *units: str):
        name = "-".join(units)
        if name not in self.signers:
            keys.generate(self.place / "keys" / name, units, date(2020, 1, 1), date(2099, 12, 31), PASSPHRASE)
            self.signers[name] = keys.read_secret(self.place / "keys" / f"{name}.key", PASSPHRASE)
        return self.signers[name]

    @property
    def keys(self):
        return keys.read_keys(self.place / "keys")

    def run(self, systems: str, *, criteria=None, narrowing=Narrowing(), head=HEAD, select="") -> RunFolder:  # noqa: B008
        self.serial += 1
        (self.place / "registry.yaml").write_text(head + systems, encoding="utf-8")
        folder = prepare(
            self.place / f"run{self.serial}",
            load_registry(self.place / "registry.yaml"),
            criteria or self.criteria,
            lambda _names: {},
            narrowing=narrowing,
            select=select,
            reference=REFERENCE,
        )
        assert collect(folder, LocalExecutor(load_probes()), lambda *_: None)
        conclude(folder)
        return folder

    def bundle(self, folder: RunFolder, *units: str, now=None, name="") -> Path:
        path = self.place / (name or f"{folder.path.name}-{'-'.join(units)}.zip")
        path.unlink(missing_ok=True)
        bundle.sign(folder.path, self.signer(*units), path, now)
        return path


@pytest.fixture(scope="module")
def servers():
    with small.web(nosniff=True) as good, small.web(nosniff=False) as bad:
        yield good, bad, free_port()


@pytest.fixture
def nation(tmp_path, servers):
    return Nation(tmp_path, servers)


def verdicts(folder):
    told = ("criterion", "target", "verdict", "fingerprint")
    return {
        one["id"]: (one["status"], [tuple(finding[key] for key in told) for finding in one["findings"]])
        for one in json.loads((folder.path / "results.json").read_text())["systems"]
    }


def refused(nation, files, **options):
    with pytest.raises(FaultError) as caught:
        merge(files, nation.keys, nation.place / "out", **options)
    assert not (nation.place / "out").exists()
    return [(one.kind, Path(one.file).name) for one in caught.value.faults]


def test_84_bundles_make_62_of_63_localities_and_22_of_28_central_bodies(nation):
    """One scan of all, and one of each unit merged: the same verdicts, tally and fingerprints."""
    units = load_units("vn-2024")
    reporting = [one for one in units if one.kind == "ministry"][:22] + [
        one for one in units if one.kind == "locality"
    ][:62]
    systems = {
        unit.id: "".join(
            system(f"{unit.id}-{number}", unit.id, nation.ports[(number + place) % 3], 1 + place % 2)
            for number in range(1 + place % 2)
        )
        for place, unit in enumerate(reporting)
    }
    whole = nation.run("".join(systems.values()))
    files = []
    for unit, own in systems.items():
        nation.serial += 1
        (nation.place / "registry.yaml").write_text(HEAD + own, encoding="utf-8")
        folder = prepare(
            nation.place / f"run{nation.serial}",
            load_registry(nation.place / "registry.yaml"),
            nation.criteria,
            lambda _names: {},
            reference=REFERENCE,
        )
        with folder.journal(write=True) as journal, whole.journal() as seen:
            for job in folder.plan.jobs:
                line = seen.read(job.key)
                journal.append(line.observation)
        shutil.copyfile(whole.path / "sessions.json", folder.path / "sessions.json")
        conclude(folder)
        files.append(nation.bundle(folder, unit))
    assert len(files) == 84
    folder, merged, summary = merge(files, nation.keys, nation.place / "out", command="seccheck merge")
    assert verdicts(folder) == verdicts(whole)
    first = json.loads((whole.path / "summary.json").read_text())
    assert summary["tally"] == first["tally"]
    assert {kind: (one["reported"], one["total"]) for kind, one in summary["tally"]["units"].items()} == {
        "ministry": (22, 28),
        "locality": (62, 63),
        "other": (0, 2),
    }
    assert len(merged.parts) == 84
    assert merged.overlaps == ()
    for path in folder.path.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    report = nation.place / "report"
    load_reports()["html"].write(reading.RunFolder(folder.path), report, Options(language="vi"))
    assert (report / "index.html").exists()


def test_two_units_and_what_they_say_together(nation):
    good, bad, _ = nation.ports
    files = [
        nation.bundle(nation.run(system("portal", "mic", good)), "mic"),
        nation.bundle(nation.run(system("tax", "mof", bad)), "mof"),
    ]
    folder, merged, summary = merge(files, nation.keys, nation.place / "out")
    assert {name: status for name, (status, _) in verdicts(folder).items()} == {
        "portal": "meets",
        "tax": "does-not-meet",
    }
    assert summary["tally"]["systems"]["reported"] == 2
    assert [(part.units, part.systems) for part in merged.parts] == [(("mic",), 1), (("mof",), 1)]
    assert json.loads((folder.path / "merge.json").read_text())["schema"] == "seccheck.merge/1"
    account = json.loads((folder.path / "touched.json").read_text())
    assert len(account["sessions"]) == 2
    with pytest.raises(InputError, match="merged from 2"):
        rejudge(folder, nation.place / "again", None, None, "")
    with pytest.raises(InputError, match="merged from 2"):
        conclude(RunFolder.open(folder.path))
    assert folder.scope.permissions == ()
    with pytest.raises(InputError, match="new or empty folder"):
        merge(files, nation.keys, nation.place / "out")


def test_duplicates_and_conflicts_are_listed_and_the_later_bundle_counts(nation):
    good, bad, _ = nation.ports
    early = nation.run(system("portal", "mic", good) + system("old", "mic", good))
    late = nation.run(system("portal", "mic", bad) + system("new", "mic", good))
    earlier = nation.bundle(early, "mic", name="early.zip")
    copy = nation.place / "copy.zip"
    shutil.copyfile(earlier, copy)
    later_sessions = json.loads((late.path / "sessions.json").read_text())
    started = datetime.fromisoformat(later_sessions[0]["started"]) + timedelta(hours=1)
    later_sessions[0]["started"] = started.strftime("%Y-%m-%dT%H:%M:%SZ")
    (late.path / "sessions.json").write_text(json.dumps(later_sessions))
    late.write_manifest()
    later = nation.bundle(late, "mic", name="late.zip")
    folder, merged, _ = merge([earlier, later, copy], nation.keys, nation.place / "out")
    assert {name: status for name, (status, _) in verdicts(folder).items()} == {
        "new": "meets", "old": "meets", "portal": "does-not-meet",
    }  # fmt: skip
    assert [(one.kind, one.system, one.kept, one.left) for one in merged.overlaps] == [
        ("same-bundle", "", "early.zip", "copy.zip"),
        ("conflict", "portal", "late.zip", "early.zip"),
    ]


def test_an_id_that_two_units_use_is_told_apart(nation):
    good, bad, _ = nation.ports
    files = [
        nation.bundle(nation.run(system("portal", unit, port)), unit)
        for unit, port in (("mic", good), ("mof", bad))
    ]
    folder, merged, _ = merge(files, nation.keys, nation.place / "out")
    assert {name: status for name, (status, _) in verdicts(folder).items()} == {
        "mic.portal": "meets",
        "mof.portal": "does-not-meet",
    }
    assert [(one.kind, one.kept) for one in merged.overlaps] == [
        ("renamed", "mic.portal"),
        ("renamed", "mof.portal"),
    ]
    alone = nation.run(system("mic.portal", "mic", good))
    assert verdicts(alone)["mic.portal"] == verdicts(folder)["mic.portal"]


# --------------------------------------------------------------------------------------------- refusals


def test_a_unit_speaks_for_its_own_systems_only(nation):
    good, *_ = nation.ports
    folder = nation.run(system("portal", "mic", good) + system("tax", "mof", good))
    assert refused(nation, [nation.bundle(folder, "mic")]) == [("unit", "run1-mic.zip")]
    assert merge([nation.bundle(folder, "mic", "mof")], nation.keys, nation.place / "out")


def test_a_forged_unit_in_the_statement_is_found(nation):
    """A unit that signs a statement about itself over a registry of somebody else's systems."""
    good, *_ = nation.ports
    folder = nation.run(system("tax", "mof", good))
    summary = json.loads((folder.path / "summary.json").read_text())
    summary["tally"]["by_unit"] = {"mic": summary["tally"]["by_unit"]["mof"]}
    (folder.path / "summary.json").write_text(json.dumps(summary))
    folder.write_manifest()
    assert refused(nation, [nation.bundle(folder, "mic")]) == [("system-unit", "run1-mic.zip")]


def test_results_that_do_not_follow_from_the_evidence_are_refused(nation):
    """Signed by the right key, and still not believed."""
    _, bad, _ = nation.ports
    folder = nation.run(system("portal", "mic", bad))
    path = folder.path / "results.json"
    path.write_text(path.read_text().replace('"fail"', '"pass"').replace("does-not-meet", "meets"))
    folder.write_manifest()
    file = nation.bundle(folder, "mic")
    with pytest.raises(FaultError, match="first at portal SNIFF-01: it says pass, the evidence fail"):
        merge([file], nation.keys, nation.place / "out")


def test_evidence_that_was_changed_is_found(nation):
    _, bad, _ = nation.ports
    folder = nation.run(system("portal", "mic", bad))
    path = folder.path / "journal.jsonl"
    path.write_text(path.read_text().replace('"nosniff":false', '"nosniff":true '))
    folder.write_manifest()
    file = nation.bundle(folder, "mic")
    with pytest.raises(Exception, match="was changed after it was written"):
        merge([file], nation.keys, nation.place / "out")
    assert not (nation.place / "out").exists()


def test_stale_evidence_is_refused_however_fresh_its_judgement(nation):
    good, *_ = nation.ports
    folder = nation.run(system("portal", "mic", good))
    again = rejudge(folder, nation.place / "again", None, None, "")
    conclude(again)
    later = datetime.now(UTC) + timedelta(days=100)
    file = nation.bundle(again, "mic", now=later)
    assert refused(nation, [file], now=later) == [("stale", file.name)]
    assert merge([file], nation.keys, nation.place / "out", now=later, max_age=101)


def test_all_are_judged_by_one_set_and_version(nation):
    good, *_ = nation.ports
    (nation.place / "set.yaml").write_text(small.SET.replace('version: "1"', 'version: "2"'))
    other = load_criteria(str(nation.place / "set.yaml"), load_probes())
    narrower = load_criteria(str(nation.place / "set.yaml"), load_probes(), select="SNIFF-01")
    files = [
        nation.bundle(nation.run(system("portal", "mic", good)), "mic"),
        nation.bundle(nation.run(system("tax", "mof", good)), "mof"),
        nation.bundle(nation.run(system("bank", "sbv", good), criteria=other), "sbv"),
        nation.bundle(nation.run(system("road", "mot", good), criteria=narrower, select="SNIFF-01"), "mot"),
    ]
    assert refused(nation, files) == [("other-criteria", files[2].name), ("other-criteria", files[3].name)]
    assert refused(nation, files[:2], criteria="project06-2026") == [
        ("criteria", files[0].name),
        ("criteria", files[1].name),
    ]
    assert refused(nation, files[:2], criteria="small 2") == [
        ("criteria", files[0].name),
        ("criteria", files[1].name),
    ]
    assert merge(files[:2], nation.keys, nation.place / "out", criteria="small 1")


def test_a_part_of_a_unit_does_not_speak_for_it(nation):
    good, *_ = nation.ports
    systems = system("portal", "mic", good) + system("mail", "mic", good)
    folder = nation.run(systems, narrowing=Narrowing(system=("portal",)))
    assert refused(nation, [nation.bundle(folder, "mic")]) == [("narrowed", "run1-mic.zip")]


def test_units_that_are_described_otherwise_are_refused(nation):
    good, *_ = nation.ports
    own = HEAD.replace("{use: vn-2024}", "[{id: mic, kind: locality, name: {en: M, vi: M}}]")
    files = [
        nation.bundle(nation.run(system("tax", "mof", good)), "mof"),
        nation.bundle(nation.run(system("portal", "mic", good), head=own), "mic"),
    ]
    assert refused(nation, files) == [("units-differ", files[1].name)]


def test_every_reason_is_told_at_once(nation):
    good, *_ = nation.ports
    fine = nation.bundle(nation.run(system("portal", "mic", good)), "mic")
    foreign = nation.bundle(nation.run(system("tax", "mof", good)), "sbv")
    damaged = nation.place / "damaged.zip"
    data = bytearray(fine.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    with zipfile.ZipFile(nation.place / "none.zip", "w") as archive:
        archive.writestr("hello", b"")
    kinds = refused(nation, [fine, foreign, damaged, nation.place / "none.zip", nation.place / "absent.zip"])
    assert kinds[0] == ("unit", foreign.name)
    assert kinds[-2:] == [("not-a-bundle", "none.zip"), ("not-a-bundle", "absent.zip")]
    assert "damaged.zip" in {name for _, name in kinds}
