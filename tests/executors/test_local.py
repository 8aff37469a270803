"""The local executor: a probe that crashes, hangs or breaks costs itself; gentle addresses have turns."""

import os
import sys
import textwrap
import time
from pathlib import Path

import msgspec
import pytest

from seccheck.executors import local
from seccheck.executors.local import LocalExecutor
from seccheck.model import Reason, digest
from seccheck.permission import UNLIMITED, Limits, Permission, Scope
from seccheck.plan import Job
from seccheck.probes import Endpoint

PLUGIN = """
import ctypes, time
from seccheck.model import Reason
from seccheck.probes import Answer, Facts, Params, Probe, ProbeFailed

class OddParams(Params):
    pass

class OddFacts(Facts):
    said: str = ""
    began: str = ""
    ended: str = ""

def behave(endpoint):
    began = repr(time.monotonic())
    match endpoint.host:
        case "crash":
            ctypes.string_at(0)
        case "hang":
            time.sleep(60)
        case "grip":
            ctypes.PyDLL(None).usleep(60_000_000)
        case "break":
            raise ValueError("our own bug")
        case "silent":
            raise ProbeFailed(Reason.TIMEOUT, "no answer\\x1b[31m")
        case "slow":
            time.sleep(0.2)
    print("a library that prints to standard output")
    return OddFacts(said=endpoint.host, began=began, ended=repr(time.monotonic()))

def collect(endpoint, params, context):
    return behave(endpoint)

def collect_many(looks, emit, context):
    held = []
    while True:
        look = looks.take(0.2)
        if look is None:
            while held:
                emit(held.pop())
            if looks.closed:
                return
            continue
        if look.endpoint.host == "forget":
            continue
        if look.endpoint.host == "burst":
            raise ValueError("our own bug, with others in flight")
        answer = Answer(key=look.key, facts=behave(look.endpoint), connections=1)
        held.append(answer) if look.endpoint.host.startswith("held") else emit(answer)

SHAPE = dict(version=1, subject="name", params=OddParams, facts=OddFacts, seconds=lambda e, p: 1.0)
ODD = Probe(id="odd", collect=collect, **SHAPE)
MANY = Probe(id="many", collect_many=collect_many, **SHAPE)
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory) -> Path:
    """A third-party distribution with two probes, as an installer would leave it."""
    place = tmp_path_factory.mktemp("site")
    (place / "oddprobes.py").write_text(textwrap.dedent(PLUGIN))
    info = place / "oddprobes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: oddprobes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[seccheck.probes]\nodd = oddprobes:ODD\nmany = oddprobes:MANY\n")
    return place


@pytest.fixture
def executor(plugin, monkeypatch) -> LocalExecutor:
    monkeypatch.setenv("PYTHONPATH", f"{plugin}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.syspath_prepend(str(plugin))
    monkeypatch.setattr(local, "GRACE", 1.0)
    monkeypatch.setattr(local, "SILENCE", 4.0)
    import oddprobes

    return LocalExecutor({"odd": oddprobes.ODD, "many": oddprobes.MANY})


def job(host, probe="odd", address="127.0.0.1"):
    endpoint = Endpoint(host=host, address=address, port=443, service="https")
    return Job(
        key=digest([probe, host, address]), probe=probe, version=1, endpoint=endpoint, params={}, seconds=1
    )


def run(executor, jobs, scope=None, stopping=lambda: False):
    scope = scope or Scope(permissions=(Permission(network="127.0.0.0/8", limits=UNLIMITED),))
    return {seen.endpoint.host: seen for seen in executor.run(jobs, scope, stopping)}


@pytest.mark.parametrize("probe", ["odd", "many"])
def test_a_crash_costs_one_job(executor, probe):
    seen = run(executor, [job(host, probe) for host in ("a", "crash", "b", "c")])
    assert {host: one.failed for host, one in seen.items()} == {
        "a": None,
        "b": None,
        "c": None,
        "crash": Reason.CRASHED,
    }
    assert seen["b"].facts["said"] == "b"


@pytest.mark.parametrize("host", ["hang", "grip"])
def test_a_hang_is_stopped_from_outside(executor, host):
    began = time.monotonic()
    seen = run(executor, [job("a"), job(host), job("b")])
    assert time.monotonic() - began < 45
    assert seen[host].failed is Reason.TIMEOUT
    assert seen["a"].failed is None
    assert seen["b"].failed is None


def test_a_bug_and_a_failure_are_data(executor):
    seen = run(executor, [job("break"), job("silent"), job("a")])
    assert (seen["break"].failed, seen["break"].detail) == (Reason.BUG, "ValueError: our own bug")
    assert (seen["silent"].failed, seen["silent"].detail) == (Reason.TIMEOUT, r"no answer\x1b[31m")


def test_a_probe_that_forgets_a_look_is_found_out(executor):
    seen = run(executor, [job("a", "many"), job("forget", "many")])
    assert seen["forget"].failed in {Reason.TIMEOUT, Reason.BUG}


def test_a_probe_that_breaks_with_many_in_flight_costs_one_look(executor):
    """Others are in flight when it breaks, and others wait: none is blamed, none forgotten."""
    hosts = [f"held{number}" for number in range(3)] + ["burst"] + [f"h{number}" for number in range(5)]
    seen = run(executor, [job(host, "many") for host in hosts])
    assert {host: one.failed for host, one in seen.items() if one.failed} == {"burst": Reason.BUG}
    assert seen["burst"].detail == "ValueError: our own bug, with others in flight"
    assert len(seen) == len(hosts)


def test_parameters_that_a_probe_does_not_know_cost_one_look(executor):
    wrong = msgspec.structs.replace(job("wrong", "many"), params={"no": "such"})
    seen = run(executor, [job("a", "many"), wrong, job("b", "many")])
    assert {host: one.failed for host, one in seen.items()} == {"a": None, "b": None, "wrong": Reason.BUG}


def test_an_address_with_limits_is_looked_at_by_one_job_at_a_time(executor):
    limits = Limits(connections_per_second=1000)
    scope = Scope(permissions=(Permission(network="127.0.0.0/8", limits=limits),))
    jobs = [
        job("slow", address="127.0.0.2"),
        job("slow", "many", address="127.0.0.2"),
        job("slow", address="127.0.0.3"),
    ]
    spans = [
        (seen.endpoint.address, float(seen.facts["began"]), float(seen.facts["ended"]))
        for seen in executor.run(jobs, scope, lambda: False)
    ]
    (first, second) = sorted(span for span in spans if span[0] == "127.0.0.2")
    assert first[2] <= second[1]
    assert len(spans) == 3


def test_stopping_finishes_what_is_in_flight_and_leaves_the_rest(executor):
    limits = Limits(connections_per_second=1000)
    scope = Scope(permissions=(Permission(network="127.0.0.0/8", limits=limits),))
    jobs = [job(f"h{number}") for number in range(50)]
    seen = []
    for one in executor.run(jobs, scope, lambda: len(seen) >= 3):
        seen.append(one)
    assert 3 <= len(seen) < 50


def test_no_worker_outlives_the_run(executor):
    run(executor, [job("a"), job("a", "many")])
    time.sleep(0.2)
    workers = [
        path
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"seccheck.executors.worker" in path.read_bytes()
        and f"PPid:\t{os.getpid()}" in path.with_name("status").read_text()
    ]
    assert workers == []
    assert sys.executable
