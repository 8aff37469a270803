"""Run folders with invented findings, in the shape that `seccheck scan` writes, for the tests and benchmarks.

`write_run(folder)` makes 124 systems of the 2024 unit list: 96 meet, 21 do not, 7 are not concluded.
Everything follows from the seed. The findings say nothing about the bodies whose names appear.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from seccheck.lines import lined
from seccheck.model import digest, digest_bytes

HERE = Path(__file__).parent
UNITS: dict[str, list[dict[str, Any]]] = json.loads((HERE / "units.json").read_text("utf-8"))
MISSING = ("bac-lieu", "vass", "oog", "mocst", "moit", "vov", "vtv")
STARTED, FINISHED = "2024-06-08T15:00:00Z", "2024-06-08T15:41:37Z"


@dataclass(frozen=True)
class Rule:
    """One criterion of the sample: what is looked at, and what a good and a bad server show."""

    id: str
    severity: str
    level: int
    en: str
    vi: str
    fact: str
    expected: str
    good: str
    bad: str
    remedy_en: str
    remedy_vi: str
    snippets: dict[str, str] = field(default_factory=dict)
    target: str | None = "web"
    counted: bool = True


RULES = tuple(Rule(**row) for row in json.loads((HERE / "rules.json").read_text("utf-8")))
DEFECTS = (
    ("CRT-03",),
    ("CRT-03",),
    ("CRT-03",),
    ("CRT-03",),
    ("CRT-03",),
    ("TLS-03",),
    ("TLS-03",),
    ("TLS-03",),
    ("TLS-03",),
    ("TLS-03", "TLS-05"),
    ("NET-03",),
    ("NET-03",),
    ("TLS-08",),
    ("TLS-08", "WEB-01"),
    ("PAT-02", "PAT-01"),
    ("WEB-04",),
    ("WEB-05",),
    ("NET-02", "ADM-03"),
    ("CRT-01",),
    ("TLS-02", "TLS-03", "TLS-08", "WEB-02", "WEB-03"),
    ("ADM-02", "PAT-01"),
)
DOUBTS = (
    ("TLS-03", "timeout"),
    ("PAT-02", "undisclosed"),
    ("NET-03", "rate-limited"),
    ("PAT-02", "stale"),
    ("CRT-01", "resolver"),
    ("NET-03", "unreachable"),
    ("WEB-04", "access"),
)
SYSTEM_NAMES = (
    ("tthc", "Hệ thống thông tin giải quyết thủ tục hành chính", "Administrative procedures system"),
    ("cong", "Cổng thông tin điện tử", "Information portal"),
    ("lgsp", "Nền tảng tích hợp, chia sẻ dữ liệu", "Data exchange platform"),
    (
        "dancu",
        "Hệ thống kết nối Cơ sở dữ liệu quốc gia về dân cư",
        "Gateway to the National Population Database",
    ),
)
HOSTILE = (
    "<script>document.title='owned'</script><svg onload=alert(1)>"
    "\x1b[31m\u202egnp.exe\u2066'\"><img src=x onerror=alert(2)>\x00\x9b"
)


def _criteria(count: int) -> list[dict[str, Any]]:
    """The sample criteria, filled up with documentary ones to `count`."""
    criteria = [
        {
            "id": rule.id,
            "group": rule.id[:3],
            "statement": {"en": rule.en, "vi": rule.vi},
            "parameters": {"rsa_bits": {"1": 2048, "4": 3072}} if rule.id == "CRT-04" else {},
            "rationale": {
                "en": "Whoever sits on the path can read or change what citizens send.",
                "vi": "Bên nằm trên đường truyền có thể đọc hoặc sửa dữ liệu người dân gửi đi.",
            },
            "remedy": {"en": rule.remedy_en, "vi": rule.remedy_vi, **rule.snippets},
            "basis": [
                {"kind": "by-analogy", "source": "qcvn-12-2026-bca", "clause": "3.16.2.2.1", "note": ""},
                {"kind": "binding", "source": "tcvn-11930-2017", "clause": "7.2.3.4", "note": ""},
            ],
            "comparable": ["internet.nl", "nist-sp-800-52r2"],
            "severity": rule.severity,
            "from_level": rule.level,
            "counted": rule.counted,
            "advised_because": "" if rule.counted else "weight",
            "evidence_months": {"1": 12, "3": 6},
        }
        for rule in RULES
    ]
    for number in range(len(RULES), count):
        criteria.append(
            {
                "id": f"DOC-{number:02d}",
                "group": "DOC",
                "statement": {
                    "en": f"A document in force answers question {number}",
                    "vi": f"Có văn bản còn hiệu lực trả lời nội dung số {number}",
                },
                "parameters": {},
                "rationale": {
                    "en": "No probe can see this from outside.",
                    "vi": "Không thể quan sát nội dung này từ bên ngoài.",
                },
                "remedy": {
                    "en": "Draw up the document, or renew it.",
                    "vi": "Ban hành mới hoặc cập nhật văn bản.",
                },
                "basis": [{"kind": "binding", "source": "tcvn-11930-2017", "clause": "7.1", "note": ""}],
                "comparable": [],
                "severity": "medium",
                "from_level": 1,
                "counted": True,
                "advised_because": "",
            }
        )
    return criteria[:count]


SOURCES = {
    "qcvn-12-2026-bca": {
        "title": {
            "vi": "Quy chuẩn kỹ thuật quốc gia QCVN 12:2026/BCA",
            "en": "National technical regulation QCVN 12:2026/BCA",
        },
        "number": "QCVN 12:2026/BCA",
    },
    "tcvn-11930-2017": {
        "title": {
            "vi": "Yêu cầu cơ bản về an toàn hệ thống thông tin theo cấp độ",
            "en": "Basic requirements for securing information systems by level",
        },
        "number": "TCVN 11930:2017",
    },
}


@dataclass
class Sample:
    """How a sample run is made."""

    systems: int = 124
    criteria: int = len(RULES)
    seed: int = 6
    demonstration: bool = True
    hostile: bool = False
    """Every text that a server or registry could have brought is an attack."""
    dense: bool = False
    """Every other finding is not a pass: the worst case for size."""
    unit_list: str = "vn-2024"
    scan_id: str = "2024-06-08-quy-2"
    finished: str = FINISHED
    of: int = 90
    better: int = 0
    """Turn this many defective systems good, for a later run to compare with."""


def _registry(sample: Sample) -> dict[str, Any]:
    units = UNITS[sample.unit_list]
    reporting = [unit for unit in units if unit["id"] not in MISSING and unit["kind"] != "other"]
    systems = []
    for number in range(sample.systems):
        unit = reporting[number % len(reporting)]
        turn = number // len(reporting)
        short, vi, en = SYSTEM_NAMES[turn % len(SYSTEM_NAMES)]
        suffix = f"-{turn // len(SYSTEM_NAMES)}" if turn >= len(SYSTEM_NAMES) else ""
        host = f"{short}{suffix}.{unit['id']}.example.gov.vn"
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        name = {"vi": f"{vi} {unit['name']['vi']}", "en": f"{en}, {unit['name']['en']}"}
        if sample.hostile:
            name = {"vi": f"{vi} {HOSTILE}", "en": f"{en} {HOSTILE}"}
        systems.append(
            {
                "id": f"{unit['id']}-{short}{suffix}",
                "unit": unit["id"],
                "name": name,
                "level": 2 + number % 3,
                "tags": ["administrative-procedures"],
                "zone": "internet",
                "targets": [
                    {"id": "web", "host": host, "address": address, "port": 443, "service": "https"},
                    {"id": "ssh", "host": address, "address": address, "port": 22, "service": "ssh"},
                ],
                "contact": f"attt@{unit['id']}.example.gov.vn",
                "operated_by": f"Trung tâm Công nghệ thông tin {HOSTILE if sample.hostile else ''}".strip(),
                "evidence": _documents(number),
            }
        )
    systems.sort(key=lambda system: system["id"])
    return {
        "name": {"vi": "Rà soát an toàn thông tin Đề án 06, quý II/2024", "en": "Project 06 review, Q2 2024"},
        "language": "vi",
        "unit_list": sample.unit_list,
        "units": units,
        "systems": systems,
    }


def _documents(number: int) -> dict[str, Any]:
    """A decision and a scan report for every third system."""
    if number % 3:
        return {}
    return {
        "PAT-01": {
            "file": f"evidence/{number}/qd-{100 + number}.pdf",
            "issued": f"2023-{1 + number % 12:02d}-15",
            "issuer": "Sở Thông tin và Truyền thông",
            "states": "met",
            "sha256": "0" * 64,
        }
    }


def _observations(system: dict[str, Any], sample: Sample, failed: dict[str, str]) -> list[tuple[str, bytes]]:
    web, ssh = system["targets"]
    rows = []
    for probe, target in (("tls", web), ("http", web), ("banner", web), ("ports", web), ("ssh", ssh)):
        reason = failed.get(probe)
        host = "" if probe in {"ports", "ssh"} else target["host"]
        port = 0 if probe == "ports" else target["port"]
        observation = {
            "job": digest([probe, system["id"]]),
            "probe": probe,
            "endpoint": {
                "host": host,
                "address": target["address"],
                "port": port,
                "service": "" if probe == "ports" else target["service"],
            },
            "started": "2024-06-08T15:12:04Z",
            "finished": "2024-06-08T15:12:09Z",
            "facts": None if reason else {"note": "x" * 900},
            "failed": reason,
            "detail": (HOSTILE if sample.hostile else "no answer within 30 s") if reason else "",
            "connections": 27 if probe == "tls" else 3,
        }
        body = msgspec.json.encode(observation, order="sorted")
        key = digest_bytes(body)
        rows.append((key, b'{"digest":"' + key.encode() + b'","observation":' + body + b"}"))
    return rows


def write_run(folder: Path, sample: Sample | None = None) -> Path:
    """A whole run folder in `folder`, which is made."""
    sample = sample or Sample()
    draw = random.Random(sample.seed)
    (folder / "inputs").mkdir(parents=True)
    registry = _registry(sample)
    criteria = _criteria(sample.criteria)
    if sample.hostile:
        criteria[2]["remedy"]["nginx"] = HOSTILE
    write = msgspec.json.encode
    rest = {key: value for key, value in registry.items() if key != "systems"}
    pieces = lined(rest, "systems", map(write, registry["systems"]))
    (folder / "inputs/registry.json").write_bytes(b"".join(pieces))
    (folder / "inputs/criteria.json").write_bytes(
        write(
            {
                "set": {
                    "id": "project06-2024",
                    "version": "1.0",
                    "name": {"vi": "Bộ tiêu chí Đề án 06 năm 2024", "en": "Project 06 criteria 2024"},
                },
                "profile": "technical",
                "criteria": criteria,
                "sources": SOURCES,
            }
        )
    )
    (folder / "plan.json").write_bytes(b"{}")
    plan = _plan(sample, draw)
    scan = {
        "id": sample.scan_id,
        "started": STARTED,
        "finished": sample.finished,
        "seccheck": "0.1.0",
        "command": "seccheck scan -r registry.yaml -c project06-2024 --profile technical",
        "demonstration": sample.demonstration,
        "zone": "internet",
        "criteria": {
            "set": "project06-2024",
            "version": "1.0",
            "profile": "technical",
            "digest": digest(criteria),
        },
        "selection": {
            "profile": "technical",
            "select": "",
            "systems": sample.systems,
            "systems_of": sample.systems,
            "criteria": len(criteria),
            "of": max(sample.of, len(criteria)),
        },
        "registry": {"name": registry["name"], "digest": digest(registry)},
        "reference": {
            "eol": {"date": "2024-06-01", "digest": digest("eol")},
            "kev": {"date": "2024-06-07", "digest": digest("kev")},
        },
    }
    tally: dict[str, Any] = {
        "systems": dict.fromkeys(
            ("reported", "meets", "does_not_meet", "not_concluded", "unassessed", "with_waivers"), 0
        ),
        "by_criterion": {},
    }
    with (folder / "results.json").open("wb") as results, (folder / "journal.jsonl").open("wb") as journal:
        head = write({"scan": scan, "schema": "seccheck.results/1"}, order="sorted")
        results.write(head[:-1] + b',"systems":[\n')
        for number, system in enumerate(registry["systems"]):
            bad, doubt, waived = plan.get(number, ((), None, ()))
            record, observations = _system(system, criteria, bad, doubt, waived, sample, draw)
            journal.writelines(line + b"\n" for _, line in observations)
            results.write((b",\n" if number else b"") + write(record, order="sorted"))
            _count(tally, record)
        results.write(b'\n],"tally":' + write(tally, order="sorted") + b"}\n")
    (folder / "summary.json").write_bytes(
        write({"schema": "seccheck.summary/1", "scan": scan, "tally": tally}, order="sorted")
    )
    return folder


def _plan(sample: Sample, draw: random.Random) -> dict[int, Any]:
    """Which systems are bad, and how: 28 in 124, and the same share of any other number."""
    scale = sample.systems / 124
    bad = [DEFECTS[n % len(DEFECTS)] for n in range(round(21 * scale))]
    doubts = [DOUBTS[n % len(DOUBTS)] for n in range(round(7 * scale))]
    chosen = draw.sample(range(sample.systems), len(bad) + len(doubts))
    plan: dict[int, Any] = {}
    for number, defects in zip(chosen, bad, strict=False):
        plan[number] = (defects, None, ())
    for number, doubt in zip(chosen[len(bad) :], doubts, strict=True):
        plan[number] = ((), doubt, ())
    for number in chosen[: sample.better]:
        plan[number] = ((), None, ())
    if waivable := next((n for n in range(sample.systems) if n not in plan), None):
        plan[waivable] = ((), None, ("WEB-02",))
    return plan


def _system(
    system: dict[str, Any],
    criteria: list[dict[str, Any]],
    bad: tuple[str, ...],
    doubt: tuple[str, str] | None,
    waived: tuple[str, ...],
    sample: Sample,
    draw: random.Random,
) -> tuple[dict[str, Any], list[tuple[str, bytes]]]:
    rules = {rule.id: rule for rule in RULES}
    level = system["level"]
    failed = {}
    if doubt and doubt[0] in rules and doubt[1] not in {"undisclosed", "stale"}:
        failed[rules[doubt[0]].fact.split(".")[0]] = doubt[1]
    observations = _observations(system, sample, failed)
    keys = dict(zip(("tls", "http", "banner", "ports", "ssh"), (key for key, _ in observations), strict=True))
    findings = []
    for criterion in criteria:
        rule = rules.get(criterion["id"])
        observed_verdict, reason = "pass", None
        if level < criterion["from_level"]:
            observed_verdict = "not-applicable"
        elif criterion["id"] in (*bad, *waived) or (criterion["id"] == "PAT-04" and draw.random() < 0.3):
            observed_verdict = "fail"
        elif doubt and criterion["id"] == doubt[0]:
            observed_verdict, reason = "inconclusive", doubt[1]
        elif sample.dense and draw.random() < 0.5:
            observed_verdict = draw.choice(("fail", "inconclusive"))
            reason = "timeout" if observed_verdict == "inconclusive" else None
        waiver = None
        if criterion["id"] in waived:
            waiver = {
                "reason": "Đang thay thế hệ thống, hoàn thành trong quý III/2024",
                "ticket": "ATTT-118",
                "approved_by": "Cục An toàn thông tin",
                "until": "2024-09-30",
            }
        findings.append(_finding(criterion, rule, system, observed_verdict, reason, waiver, keys, sample))
    counted = [f["verdict"] for f in findings if f["counted"] and f["verdict"] != "not-applicable"]
    status = "meets"
    if "fail" in counted:
        status = "does-not-meet"
    elif "inconclusive" in counted:
        status = "not-concluded"
    elif not counted:
        status = "unassessed"
    return {
        "id": system["id"],
        "unit": system["unit"],
        "level": level,
        "status": status,
        "findings": findings,
    }, observations


def _finding(
    criterion: dict[str, Any],
    rule: Rule | None,
    system: dict[str, Any],
    verdict: str,
    reason: str | None,
    waiver: dict[str, Any] | None,
    keys: dict[str, str],
    sample: Sample,
) -> dict[str, Any]:
    target = rule.target if rule and verdict != "not-applicable" else None
    evidence = []
    if rule and verdict != "not-applicable":
        observed = {"pass": rule.good, "fail": rule.bad}.get(verdict, "not told")
        if sample.hostile and verdict != "pass":
            observed = HOSTILE
        expected = rule.expected.replace("{rsa_bits}", "2048").replace("{hsts_seconds}", "31536000")
        evidence = [{"fact": rule.fact, "expected": expected, "observed": observed, "verdict": verdict}]
    probe = rule.fact.split(".")[0] if rule else ""
    return {
        "criterion": criterion["id"],
        "target": target,
        "verdict": "waived" if waiver else verdict,
        "observed_verdict": verdict,
        "reason": reason,
        "severity": criterion["severity"],
        "counted": criterion["counted"],
        "decided_by": "probe" if rule else "document",
        "evidence": evidence,
        "evidence_omitted": 0,
        "observations": [keys[probe]] if probe and verdict != "not-applicable" else [],
        "waiver": waiver,
        "fingerprint": digest([system["id"], criterion["id"], target]),
    }


def _count(tally: dict[str, Any], record: dict[str, Any]) -> None:
    systems = tally["systems"]
    systems["reported"] += 1
    systems[record["status"].replace("-", "_")] += 1
    systems["with_waivers"] += any(finding["verdict"] == "waived" for finding in record["findings"])
    for finding in record["findings"]:
        row = tally["by_criterion"].setdefault(
            finding["criterion"], {"pass": 0, "fail": 0, "inconclusive": 0, "not_applicable": 0, "waived": 0}
        )
        row[finding["verdict"].replace("-", "_")] += 1
