"""Stopped in any way at any moment, a scan goes on: nothing finished is lost or asked twice."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import counting
from tests.tools import wait_for

SYSTEMS = 16
SCAN = ("scan", "-r", "registry.yaml", "-c", "set.yaml", "--format", "", "--out", "run")


def start(*words, cwd, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "seccheck", *words],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def end(process, status=0):
    out, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    return out, err


def run(*words, cwd, status=0, **options):
    return end(start(*words, cwd=cwd, **options), status)


def observed(folder: Path) -> dict[str, bytes]:
    """The whole lines of the journal by the port they tell of."""
    path = folder / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)[1:] if path.exists() else []
    whole = [line for line in lines if line.endswith(b"\n")]
    found = {json.loads(line)["observation"]["endpoint"]["port"]: line for line in whole}
    assert len(found) == len(whole), "one job was observed twice"
    return found


def verdicts(folder: Path):
    systems = json.loads((folder / "results.json").read_text())["systems"]
    return [
        (one["id"], one["status"], [(f["criterion"], f["verdict"], f["reason"]) for f in one["findings"]])
        for one in systems
    ]


@pytest.fixture
def place(tmp_path):
    with counting.fleet(SYSTEMS) as fleet:
        counting.write_registry(tmp_path, fleet.ports, "  limits: {connections_per_second: 20}\n")
        yield tmp_path, fleet


def test_killed_again_and_again_it_loses_nothing_and_asks_nothing_twice(place):
    place, fleet = place
    run(*SCAN[:-1], "whole", cwd=place)
    fleet.connections.clear()
    chance = random.Random(8)
    words, kills = SCAN, 0
    before: dict[int, bytes] = {}
    asked: dict[int, int] = {}
    while True:
        process = start(*words, cwd=place)
        try:
            process.wait(chance.uniform(0.5, 2.5))
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        process.communicate()
        after = observed(place / "run")
        assert before.items() <= after.items(), "a finished observation was lost or written again"
        assert asked == {port: fleet.connections[port] for port in before}, (
            "what was finished was asked again"
        )
        before, asked = after, {port: fleet.connections[port] for port in after}
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        if (place / "run/inputs/run.json").exists():
            words = ("scan", "--resume", "run", "--format", "")
        else:
            shutil.rmtree(place / "run", ignore_errors=True)
    assert kills
    assert len(before) == SYSTEMS
    assert verdicts(place / "run") == verdicts(place / "whole")
    assert not list(place.rglob("*.part"))


def test_no_worker_outlives_a_killed_scan(place):
    place, fleet = place
    fleet.hold.clear()
    process = start(*SCAN, cwd=place)
    wait_for(lambda: sum(fleet.connections.values()) > 0)
    workers = _children(process.pid)
    assert workers
    process.kill()
    process.communicate()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), what="the end of the workers")


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_ctrl_c_once_ends_when_what_is_in_flight_is_done(place):
    place, fleet = place
    fleet.hold.clear()
    process = start(*SCAN, cwd=place)
    wait_for(lambda: sum(fleet.connections.values()) > 0)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None, "what is in flight is waited for"
    fleet.hold.set()
    _, err = end(process, 130)
    assert "once more stops at once" in err
    assert "seccheck scan --resume run" in err
    seen = observed(place / "run")
    assert set(seen) == {port for port, asked in fleet.connections.items() if asked}
    assert 0 < len(seen) < SYSTEMS
    assert json.loads((place / "run/touched.json").read_text())["connections"] == len(seen)
    run("scan", "--resume", "run", "--format", "", cwd=place)
    assert set(fleet.connections.values()) == {1}
    assert len(json.loads((place / "run/sessions.json").read_text())) == 2


def test_ctrl_c_once_leaves_what_only_waits_in_a_worker(tmp_path):
    """Without limits every look is with a worker at once; those it has not begun are left all the same."""
    with counting.fleet(60) as fleet:
        fleet.hold.clear()
        counting.write_registry(tmp_path, fleet.ports)
        process = start(*SCAN, cwd=tmp_path)
        wait_for(lambda: sum(fleet.connections.values()) >= 32)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        fleet.hold.set()
        end(process, 130)
        assert len(observed(tmp_path / "run")) == 32
        run("scan", "--resume", "run", "--format", "", cwd=tmp_path)
        assert set(fleet.connections.values()) == {1}


def test_ctrl_c_twice_stops_at_once(place):
    place, fleet = place
    fleet.hold.clear()
    process = start(*SCAN, cwd=place)
    wait_for(lambda: sum(fleet.connections.values()) > 0)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    end(process, 130)
    assert time.monotonic() - began < 5
    fleet.hold.set()
    run("scan", "--resume", "run", "--format", "", cwd=place)
    assert len(observed(place / "run")) == SYSTEMS


def test_a_file_called_stop_stops(place):
    place, fleet = place
    fleet.hold.clear()
    process = start(*SCAN, cwd=place)
    wait_for(lambda: sum(fleet.connections.values()) > 0)
    (place / "run/STOP").touch()
    fleet.hold.set()
    _, err = end(process, 130)
    assert "Remove it, then" in err
    assert len(observed(place / "run")) < SYSTEMS
    _, err = run("scan", "--resume", "run", "--format", "", cwd=place, status=130)
    assert "stopped by the file" in err
    (place / "run/STOP").unlink()
    run("scan", "--resume", "run", "--format", "", cwd=place)
    assert len(observed(place / "run")) == SYSTEMS


def test_two_scans_into_one_folder_are_refused(place):
    place, fleet = place
    fleet.hold.clear()
    process = start(*SCAN, cwd=place)
    wait_for(lambda: sum(fleet.connections.values()) > 0)
    for words in (SCAN, ("scan", "--resume", "run")):
        _, err = run(*words, cwd=place, status=2)
        assert "another scan is writing" in err or "expected a new or empty folder" in err
        assert "next:" in err
    fleet.hold.set()
    end(process)
    assert len(observed(place / "run")) == SYSTEMS


def limited(size):
    """As on a full disk: no file may grow beyond `size` bytes (the system then says EFBIG, not ENOSPC)."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size", [0, 700, 9_000, 400_000])
def test_a_full_disk_costs_nothing_but_time(place, size):
    place, _ = place
    process = start(*SCAN, cwd=place, preexec_fn=limited(size))
    _, err = end(process, 2) if size < 400_000 else process.communicate(timeout=60)
    if process.returncode:
        assert "File too large" in err
        assert "make room" in err
        assert "Traceback" not in err
    before = observed(place / "run")
    if not (place / "run/inputs/run.json").exists():
        shutil.rmtree(place / "run", ignore_errors=True)
        run(*SCAN, cwd=place)
    else:
        run("scan", "--resume", "run", "--format", "", cwd=place)
    after = observed(place / "run")
    assert len(after) == SYSTEMS
    assert before.items() <= after.items()


def test_a_disk_that_fills_in_the_middle(place):
    """The journal alone meets the end of the disk: half of it is written, and kept."""
    place, fleet = place
    (place / "run").mkdir()
    run(*SCAN, cwd=place)
    whole = (place / "run/journal.jsonl").stat().st_size
    shutil.rmtree(place / "run")
    fleet.connections.clear()
    fleet.hold.clear()
    process = start(*SCAN, cwd=place)
    wait_for(lambda: sum(fleet.connections.values()) > 0)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (whole // 2, whole // 2))
    fleet.hold.set()
    _, err = end(process, 2)
    assert "journal.jsonl: cannot be written: File too large" in err
    assert "seccheck scan --resume" in err
    before = observed(place / "run")
    assert 0 < len(before) < SYSTEMS
    run("scan", "--resume", "run", "--format", "", cwd=place)
    assert before.items() <= observed(place / "run").items()
    assert len(observed(place / "run")) == SYSTEMS


def unprivileged():
    """The command prefix under which file modes hold for root as well."""
    if os.geteuid():
        return []
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]


def test_a_read_only_folder_is_said_to_be_one(place):
    place, _ = place
    run(*SCAN, cwd=place)
    folders = [place / "run", *(path for path in (place / "run").rglob("*") if path.is_dir())]
    for path in [*folders, place / "run/journal.jsonl"]:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        for words in (("scan", "--resume", "run"), (*SCAN[:-1], "run/inside")):
            done = subprocess.run(
                [*unprivileged(), sys.executable, "-m", "seccheck", *words],
                cwd=place, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 2, done.stderr
            assert "Permission denied" in done.stderr
            assert "next:" in done.stderr
            assert "Traceback" not in done.stderr
    finally:
        for path in folders:
            path.chmod(0o700)


def test_stopped_before_the_plan_it_is_planned_on_resuming(place):
    place, _ = place
    run(*SCAN, cwd=place)
    expected = verdicts(place / "run")
    for name in (
        "plan.json",
        "journal.jsonl",
        "results.json",
        "summary.json",
        "MANIFEST.json",
        "sessions.json",
    ):
        (place / "run" / name).unlink()
    run("scan", "--resume", "run", "--format", "", cwd=place)
    assert verdicts(place / "run") == expected
    (place / "run/inputs/run.json").unlink()
    _, err = run("scan", "--resume", "run", cwd=place, status=2)
    assert "remove it, and scan again" in err


def test_everything_in_a_run_folder_is_its_owners_alone(place):
    place, _ = place
    run(*SCAN, cwd=place, umask=0)
    for path in [place / "run", *(place / "run").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
