"""Workers in zones: a real Redis, workers as processes, and everything that may go wrong between them."""

import json
import os
import random
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from seccheck.boundary import load_networks
from seccheck.errors import InputError
from seccheck.executors.broker import Broker
from seccheck.executors.celery import CeleryExecutor
from seccheck.executors.wire import (
    Order,
    Told,
    WireError,
    closed,
    fault_of_answer,
    fault_of_job,
    opened,
    order_of,
    queue_of_run,
    queue_of_zone,
)
from seccheck.keys import generate, read_key, read_secret
from seccheck.model import timestamp
from seccheck.observation import Observation
from seccheck.permission import UNLIMITED, Limits, Permission, Resolver, Scope, Window, narrowed
from seccheck.plan import job_for
from seccheck.probes import Endpoint, load_probes
from tests import counting
from tests.tools import free_port, running, tool, wait_for

SECRET = "correct horse battery"
SET = ("-c", "set.yaml", "--format", "")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Keys of a coordinator, of workers of two zones, and of somebody else."""
    place = tmp_path_factory.mktemp("keys")
    today = datetime.now(UTC).date()
    for name, unit in (("centre", "centre"), ("a", "zone-a"), ("b", "zone-b"), ("other", "centre")):
        generate(place / name / name, (unit,), today, today + timedelta(days=9), SECRET.encode())
    (place / "workers").mkdir()
    for name in ("a", "b"):
        (place / "workers" / f"{name}.pub.yaml").write_bytes((place / name / f"{name}.pub.yaml").read_bytes())
    return place


def signer(keys, name="centre"):
    return read_secret(keys / name / f"{name}.key", SECRET.encode())


def public(keys, name="centre"):
    key = read_key(keys / name / f"{name}.pub.yaml")
    return {key.id: key}


# ------------------------------------------------------------------------------------------ what crosses


def a_job(zone="zone-a", port=443):
    probe = load_probes()["http"]
    endpoint = Endpoint(host="h.example", address="127.0.0.1", port=port, service="https", zone=zone)
    return msgspec.json.decode(
        msgspec.json.encode(job_for(probe, endpoint, probe.params(), zone)), type=object
    )


def as_job(plain):
    from seccheck.plan import Job

    return msgspec.convert(plain, Job)


def an_order(**changes):
    now = datetime.now(UTC)
    fields = {
        "id": "1", "plan": "sha256:" + "0" * 64, "session": "s", "zone": "zone-a",
        "signed": timestamp(now), "expires": timestamp(now + timedelta(seconds=30)),
        "scope": Scope(), "jobs": (as_job(a_job()),),
    }  # fmt: skip
    return Order(**{**fields, **changes})


def test_an_order_is_believed_from_a_trusted_key_for_the_own_zone_in_its_time(keys):
    now = datetime.now(UTC)
    sealed = closed(an_order(), signer(keys))
    assert order_of(sealed, public(keys), "zone-a", now).jobs == (as_job(a_job()),)
    for raw, zone, moment, why in (
        (closed(an_order(), signer(keys, "other")), "zone-a", now, "not trusted"),
        (closed(an_order(), None), "zone-a", now, "signature"),
        (sealed.replace("payload", "Payload", 1), "zone-a", now, "not one of ours"),
        (sealed[:-20], "zone-a", now, "not one of ours"),
        ("[" * 5000, "zone-a", now, "not one of ours"),
        ("x" * 9_000_000, "zone-a", now, "too large"),
        (sealed, "zone-b", now, "for the zone"),
        (sealed, "zone-a", now + timedelta(minutes=3), "could be taken up until"),
        (sealed, "zone-a", now - timedelta(minutes=3), "ahead of this machine's clock"),
        (closed(an_order(jobs=()), signer(keys)), "zone-a", now, "has 0 jobs"),
        (closed(an_order(signed="yesterday"), signer(keys)), "zone-a", now, "dates cannot be read"),
    ):
        with pytest.raises(WireError, match=why):
            order_of(raw, public(keys), zone, moment)
    far = an_order(expires=timestamp(now + timedelta(days=9)))
    with pytest.raises(WireError, match="could be taken up until"):
        order_of(closed(far, signer(keys)), public(keys), "zone-a", now + timedelta(minutes=3))


def test_a_changed_byte_anywhere_is_noticed(keys):
    sealed = closed(an_order(), signer(keys)).encode()
    chance = random.Random(9)
    for _ in range(200):
        place = chance.randrange(len(sealed))
        changed = sealed[:place] + bytes([sealed[place] ^ 1 << chance.randrange(8)]) + sealed[place + 1 :]
        with pytest.raises(WireError):
            opened(changed, Order, public(keys))


def test_a_message_of_one_kind_is_not_taken_for_another(keys):
    told = Told(plan="p", worker="w", zone="zone-a", seccheck="1")
    with pytest.raises(WireError):
        opened(closed(told, signer(keys)), Order, public(keys))


def test_a_key_that_ran_out_is_not_trusted(keys, tmp_path):
    generate(tmp_path / "old", ("centre",), date(2020, 1, 1), date(2020, 2, 1), SECRET.encode())
    key = read_key(tmp_path / "old.pub.yaml")
    sealed = closed(an_order(), read_secret(tmp_path / "old.key", SECRET.encode()))
    with pytest.raises(WireError, match="valid from"):
        opened(sealed, Order, {key.id: key})


@pytest.mark.parametrize(
    "change",
    [
        {"key": "sha256:" + "1" * 64}, {"seconds": 999_999}, {"version": 99}, {"probe": "shell"},
        {"params": {"run": "id"}}, {"params": 7}, {"zone": "zone-b"},
    ],
)  # fmt: skip
def test_a_worker_does_only_what_its_own_seccheck_would_do(change):
    plain = a_job()
    assert fault_of_job(as_job(plain), load_probes()) == ""
    plain["endpoint"]["zone"] = "" if "zone" in change else plain["endpoint"]["zone"]
    changed = as_job({**plain, **change})
    if "zone" not in change:
        assert fault_of_job(changed, load_probes())


def test_a_worker_reads_no_files():
    probe = load_probes()["evidence"]
    job = job_for(probe, Endpoint(host="../../etc/passwd"), probe.params(), "zone-a")
    assert "documents" in fault_of_job(job, load_probes())


def test_an_answer_is_held_against_its_job():
    now = datetime.now(UTC)
    job = as_job(a_job())
    good = Observation(
        job=job.key, probe=job.probe, version=job.version, endpoint=job.endpoint, params=job.params,
        started=timestamp(now), finished=timestamp(now), failed="timeout", detail="no answer",
    )  # fmt: skip
    good = msgspec.convert(msgspec.to_builtins(good), Observation)
    probe = load_probes()[job.probe]

    def fault(**changes):
        seen = msgspec.structs.replace(good, **changes)
        return fault_of_answer(job, seen, probe, now - timedelta(minutes=5), now)

    assert fault() == ""
    assert "not about the job" in fault(endpoint=Endpoint(address="127.0.0.2"))
    assert "not about the job" in fault(params={"other": 1})
    assert "neither" in fault(failed=None)
    assert "neither" in fault(facts={})
    assert "safe text" in fault(detail="\x1b[31m")
    assert "clock" in fault(finished=timestamp(now + timedelta(days=1)))
    assert "clock" in fault(started=timestamp(now - timedelta(days=1)))
    assert "dates" in fault(started="soon")
    assert "facts" in fault(failed=None, detail="", facts={"status": "two hundred"})
    assert "facts" in fault(failed=None, detail="", facts={"invented": True})


def test_the_owner_of_a_worker_has_the_last_word():
    night = Window(since=date(2026, 1, 1), until=date(2026, 12, 31), hours="22:00-05:00")
    year = Window(since=date(2026, 1, 1), until=date(2026, 12, 31))
    run = Scope(
        permissions=(
            Permission(network="10.0.0.0/8", window=year),
            Permission(network="10.1.0.5/32", window=year, limits=Limits(connections_at_once=1)),
            Permission(network="192.0.2.0/24", window=year),
        ),
        resolvers=(Resolver(address="10.1.0.53"), Resolver(address="198.51.100.1")),
        documents="/etc",
    )
    own = (
        Permission(network="10.1.0.0/16", window=night, limits=Limits(connections_per_second=3)),
        Permission(network="127.0.0.0/8", limits=UNLIMITED),
    )
    scope = narrowed(run, own, "zone-a")
    by_network = {one.network: one for one in scope.permissions}
    assert set(by_network) == {"10.1.0.0/16", "10.1.0.5/32"}
    assert by_network["10.1.0.5/32"].limits == Limits(connections_at_once=1, connections_per_second=3)
    noon, midnight = (datetime(2026, 5, 5, hour, tzinfo=UTC) for hour in (5, 17))
    assert not by_network["10.1.0.0/16"].open_at(noon)
    assert by_network["10.1.0.0/16"].opens_later(noon)
    assert by_network["10.1.0.0/16"].open_at(midnight)
    assert [one.address for one in scope.resolvers] == ["10.1.0.53"]
    assert (scope.documents, scope.zone) == ("", "zone-a")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("networks: [10.0.0.0/8]", "nobody has allowed"),
        ("networks: []", "networks"),
        ("networks: [10.0.0.1/8]", "network"),
        ("networks: [127.0.0.0/8]\nhours: all", "unknown key"),
    ],
)
def test_a_mistake_in_the_networks_of_a_worker_is_told(tmp_path, text, said):
    file = tmp_path / "networks.yaml"
    file.write_text(f"seccheck: networks/1\n{text}\n")
    with pytest.raises(InputError, match=said):
        load_networks(file)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://broker.example:6379/0", "has no TLS"),
        ("rediss://:word@broker.example", "without a password"),
        ("http://127.0.0.1", "expected an address such as"),
        ("redis://127.0.0.1:port", "expected an address such as"),
    ],
)
def test_a_broker_elsewhere_needs_tls_and_no_url_holds_a_password(url, said):
    with pytest.raises(InputError, match=said):
        Broker(url)


# ------------------------------------------------------------------------------------------ real workers


@contextmanager
def redis(port, place, *more):
    with running(
        tool("redis-server"), "--port", port, "--save", "", "--dir", place, *more, ports=(port,)
    ) as process:
        yield process


class Place:
    """A fleet, a broker, keys, and a folder to scan in."""

    def __init__(self, path, keys, fleet, port):
        self.path, self.keys, self.fleet, self.port = path, keys, fleet, port
        self.workers = []

    @property
    def broker(self):
        return ("--broker", f"redis://127.0.0.1:{self.port}/0")

    def start(self, *words):
        return subprocess.Popen(
            [sys.executable, "-m", "seccheck", *map(str, words)],
            cwd=self.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "SECRET": SECRET},
        )

    def worker(self, zone, key="", name="w"):
        log = self.path / f"{name}{len(self.workers)}.log"
        words = ["worker", "--zone", zone, *self.broker, "--networks", "networks.yaml", "--trust",
                 self.keys / "centre/centre.pub.yaml"]  # fmt: skip
        if key:
            words += ["--key", self.keys / key / f"{key}.key", "--passphrase", "env:SECRET"]
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "seccheck", *map(str, words)],
                cwd=self.path, stdout=out, stderr=out, env={**os.environ, "SECRET": SECRET},
                start_new_session=True,
            )  # fmt: skip
        self.workers.append(process)
        wait_for(lambda: "connected" in log.read_text(), 60, "the worker")
        return process, log

    def scan(self, *words):
        return self.start(
            "scan", *words, "--executor", "celery", *self.broker, "--patience", "3",
            "--key", self.keys / "centre/centre.key", "--passphrase", "env:SECRET",
        )  # fmt: skip

    def end(self):
        for process in self.workers:
            if process.poll() is None:
                process.terminate()
        for process in self.workers:
            assert process.wait(30) in {0, -signal.SIGKILL, -signal.SIGTERM}


def end(process, status=0, seconds=150):
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == status, err
    assert SECRET not in out + err
    return err


def observed(run):
    path = run / "journal.jsonl"
    lines = [one for one in path.read_bytes().splitlines(keepends=True)[1:] if one.endswith(b"\n")]
    found = {json.loads(line)["observation"]["job"]: line for line in lines}
    assert len(found) == len(lines), "one job was observed twice"
    return found


def findings(run):
    systems = json.loads((run / "results.json").read_text())["systems"]
    for one in systems:
        for finding in one["findings"]:
            del finding["observations"]  # digests of when it was looked at
    return systems


@contextmanager
def a_place(path, keys, count=24, delay=0.05, zones=("zone-a", "zone-b"), terms=""):
    port = free_port()
    with ExitStack() as stack:
        fleet = stack.enter_context(counting.fleet(count, delay=delay))
        counting.write_registry(path, fleet.ports, terms)
        text = (path / "registry.yaml").read_text()
        for number in range(count):
            text = text.replace(
                f"  name: {{en: S{number},", f"  zone: {zones[number % len(zones)]}\n  name: {{en: S{number},"
            )
        (path / "registry.yaml").write_text(text)
        (path / "networks.yaml").write_text("seccheck: networks/1\nnetworks: [127.0.0.0/8]\n")
        place = Place(path, keys, fleet, port)
        try:
            yield place
        finally:
            fleet.hold.set()
            place.end()


def test_two_zones_give_what_a_local_scan_gives_and_garbage_harms_nothing(tmp_path, keys):
    """Poison goes to the queues before and between; a zone that nobody looks from is done on resuming."""
    from redis import Redis

    with a_place(tmp_path, keys) as place, redis(place.port, tmp_path):
        with Redis(port=place.port) as client:
            _, log = place.worker("zone-a", "a")
            forged = closed(an_order(), signer(keys, "other"))
            for poison in (b"garbage", b"{}", b"[[[[", b'{"body": 1, "properties": {}}', b"\xff" * 1000):
                client.lpush(queue_of_zone("zone-a"), poison)
            Broker(f"redis://127.0.0.1:{place.port}/0").app.send_task(
                "seccheck.look", args=(forged,), queue=queue_of_zone("zone-a")
            )
            Broker(f"redis://127.0.0.1:{place.port}/0").app.send_task(
                "os.system", args=("id",), queue=queue_of_zone("zone-a")
            )
            err = end(place.scan("-r", "registry.yaml", *SET, "--out", "run", "--workers", keys / "workers"))
            assert "zone zone-b: 12 looks were not made" in err
            assert "scan --resume run" in err
            reasons = {
                (one["id"], finding["verdict"], finding["reason"])
                for one in findings(tmp_path / "run")
                for finding in one["findings"]
                if finding["verdict"] != "not-applicable"
            }
            assert sum(verdict == "pass" for _, verdict, _ in reasons) == 12
            assert sum(reason == "not-probed" for _, _, reason in reasons) == 12
            said = log.read_text()
            assert said.count("no message was thrown away") >= 4
            assert "an order was thrown away: it is signed by a key that is not trusted here" in said
            place.worker("zone-b", "b")
            client.lpush(queue_of_run(plan_of(tmp_path / "run")), b"garbage")
            err = end(place.scan("--resume", "run", "--format", "", "--workers", keys / "workers"))
            assert len(observed(tmp_path / "run")) == 24
            assert set(place.fleet.connections.values()) == {1}, "something was looked at twice"
            assert client.keys("seccheck.1.run.*") == []
        end(place.start("scan", "-r", "registry.yaml", *SET, "--zone", "zone-a", "--out", "half"))
        everywhere = (tmp_path / "registry.yaml").read_text()
        for zone in ("zone-a", "zone-b"):
            everywhere = everywhere.replace(f"  zone: {zone}\n", "")
        (tmp_path / "plain.yaml").write_text(everywhere)
        end(place.start("scan", "-r", "plain.yaml", *SET, "--out", "local"))
        assert findings(tmp_path / "run") == findings(tmp_path / "local")
        sessions = json.loads((tmp_path / "run/sessions.json").read_text())
        assert {one["zone"] for session in sessions for one in session["workers"]} == {"zone-a", "zone-b"}
        for path in (tmp_path / "run").rglob("*"):
            assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def plan_of(run):
    from seccheck.runfolder import RunFolder

    return RunFolder.open(run).plan_digest


def test_a_worker_that_another_zone_trusts_is_not_believed(tmp_path, keys):
    """With the key of zone b, a worker that says it is in zone a gets no word in."""
    with a_place(tmp_path, keys, count=4, zones=("zone-a",)) as place, redis(place.port, tmp_path):
        place.worker("zone-a", "b")
        err = end(place.scan("-r", "registry.yaml", *SET, "--out", "run", "--workers", keys / "workers"))
        assert "b.pub.yaml speaks for zone-b, not for 'zone-a'" in err
        assert observed(tmp_path / "run") == {}
        assert not place.fleet.connections


def test_killed_worker_broker_and_coordinator_lose_nothing(tmp_path, keys):
    """Each is killed in the middle of looking; what was finished is kept, and nothing is kept twice."""
    with a_place(tmp_path, keys, count=60, delay=0.2, zones=("zone-a",)) as place:
        with redis(place.port, tmp_path) as broker:
            first, _ = place.worker("zone-a")
            place.worker("zone-a")
            place.fleet.told = gate(place.fleet, 12)
            scan = place.scan("-r", "registry.yaml", *SET, "--out", "run")
            wait_for(lambda: sum(place.fleet.connections.values()) >= 12, 60, "the looks")
            scan.kill()
            scan.communicate()
            place.fleet.hold.set()
            kept = observed(tmp_path / "run")
            place.fleet.told = gate(place.fleet, sum(place.fleet.connections.values()) + 8)
            scan = place.scan("--resume", "run", "--format", "")
            seen = sum(place.fleet.connections.values())
            wait_for(lambda: sum(place.fleet.connections.values()) >= seen + 8, 90, "the looks")
            os.killpg(first.pid, signal.SIGKILL)
            broker.kill()
            broker.wait()
            place.fleet.hold.set()
        with redis(place.port, tmp_path):
            end(scan)
    after = observed(tmp_path / "run")
    assert kept.items() <= after.items()
    assert len(after) == 60
    assert all(one["status"] == "meets" for one in findings(tmp_path / "run"))


def gate(fleet, count):
    """Answers stop coming at the `count`th connection, so that something is in the middle of looking."""

    def told():
        if sum(fleet.connections.values()) == count:
            fleet.hold.clear()

    return told


def test_a_broker_over_tls_with_a_password_that_nobody_sees(tmp_path, keys):
    """Two workers share the looks at one address, which never meets more than one connection at once."""
    port, plain = free_port(), 0
    subprocess.run(
        [tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", "tls.key", "-out", "tls.pem", "-days", "2", "-subj", "/CN=broker",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "redis.conf").write_text("requirepass open-sesame-1\n")
    with running(
        tool("redis-server"), tmp_path / "redis.conf", "--port", plain, "--tls-port", port, "--save", "",
        "--tls-cert-file", tmp_path / "tls.pem", "--tls-key-file", tmp_path / "tls.key",
        "--tls-ca-cert-file", tmp_path / "tls.pem", "--tls-auth-clients", "no", "--dir", tmp_path,
        ports=(port,),
    ), a_place(
        tmp_path, keys, count=9, zones=("zone-a",), terms="  limits: {connections_per_second: 50}\n"
    ) as place:  # fmt: skip
        url = ("--broker", f"rediss://127.0.0.1:{port}/0")
        (tmp_path / "word").write_text("open-sesame-1\n")
        Place.broker = property(
            lambda _: (
                *url,
                "--broker-ca",
                str(tmp_path / "tls.pem"),
                "--broker-password",
                f"file:{tmp_path}/word",
            )
        )
        try:
            worker, log = place.worker("zone-a", "a")
            place.worker("zone-a", "a")
            scan = place.scan("-r", "registry.yaml", *SET, "--out", "run", "--workers", keys / "workers")
            lines = [Path(f"/proc/{process.pid}/cmdline").read_text() for process in (worker, scan)]
            err = end(scan)
        finally:
            Place.broker = property(lambda self: ("--broker", f"redis://127.0.0.1:{self.port}/0"))
        assert len(observed(tmp_path / "run")) == 9
        assert place.fleet.most == 1
        everything = [err, log.read_text(), *lines] + [
            path.read_text("utf-8", "replace") for path in (tmp_path / "run").rglob("*") if path.is_file()
        ]
        assert not any("open-sesame-1" in one for one in everything)
        (tmp_path / "word").write_text("wrong\n")
        ends = place.start(
            "scan", "-r", "registry.yaml", *SET, "--out", "no", "--executor", "celery", *url, "--broker-ca",
            tmp_path / "tls.pem", "--broker-password", f"file:{tmp_path}/word", "--key",
            keys / "centre/centre.key", "--passphrase", "env:SECRET",
        )  # fmt: skip
        assert "cannot be reached" in end(ends, 2)
        ends = place.start(
            "scan", "-r", "registry.yaml", *SET, "--out", "no2", "--executor", "celery", *url,
            "--key", keys / "centre/centre.key", "--passphrase", "env:SECRET",
        )  # fmt: skip
        assert "cannot be reached" in end(ends, 2), "a certificate that nobody vouches for"


def test_without_a_broker_nothing_is_looked_at(tmp_path, keys):
    executor = CeleryExecutor(
        Broker(f"redis://127.0.0.1:{free_port()}/0"), load_probes(), plan="sha256:" + "0" * 64,
        made=timestamp(datetime.now(UTC)), signer=signer(keys), workers=None, again=False,
    )  # fmt: skip
    from seccheck.errors import ExecutorError

    with pytest.raises(ExecutorError, match="cannot be reached"):
        list(executor.run([as_job(a_job())], Scope(), lambda: False))
