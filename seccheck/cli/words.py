"""What the command line says to people, in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STATUS = {
    "vi": {
        "meets": "đáp ứng toàn bộ tiêu chí",
        "does-not-meet": "không đáp ứng đủ",
        "not-concluded": "chưa kết luận",
        "unassessed": "chưa đánh giá",
    },
    "en": {
        "meets": "meets all criteria",
        "does-not-meet": "does not meet all",
        "not-concluded": "not concluded",
        "unassessed": "unassessed",
    },
}
KIND = {
    "vi": {
        "ministry": "bộ, ngành trung ương",
        "locality": "địa phương",
        "enterprise": "doanh nghiệp",
        "other": "đơn vị khác",
    },
    "en": {
        "ministry": "central bodies",
        "locality": "localities",
        "enterprise": "enterprises",
        "other": "others",
    },
}
VERDICT = {
    "vi": {
        "pass": "đạt",
        "fail": "không đạt",
        "inconclusive": "chưa kết luận",
        "not-applicable": "không áp dụng",
        "waived": "được miễn",
    },
    "en": {name: name for name in ("pass", "fail", "inconclusive", "not-applicable", "waived")},
}


TALLY = {
    "vi": {
        "all": "toàn bộ tiêu chí",
        "selected": "các tiêu chí được chọn",
        "figure": "{meets}/{total} hệ thống đáp ứng {what}; {rest} hệ thống không đáp ứng đủ "
        "({fail} không đạt, {unknown} chưa kết luận).",
        "reports": "Báo cáo từ {coverage}.",
        "bound": "Nếu tất cả hệ thống chưa kết luận đều đạt, kết quả là {most}/{total}.",
        "scope": "Phạm vi: {criteria}/{of} tiêu chí, {systems}/{systems_of} hệ thống.",
        "document": "{documents} hệ thống cần tài liệu chứng minh mức bản vá.",
    },
    "en": {
        "all": "all criteria",
        "selected": "the selected criteria",
        "figure": "{meets}/{total} systems meet {what}; {rest} do not "
        "({fail} fail, {unknown} not concluded).",
        "reports": "Reports from {coverage}.",
        "bound": "If every system not concluded were to pass, the figure would be {most}/{total}.",
        "scope": "Scope: {criteria} of {of} criteria, {systems} of {systems_of} systems.",
        "document": "{documents} systems need a document that shows their patch level.",
    },
}
OVERLAP = {
    "vi": {
        "same-bundle": "{left} trùng hoàn toàn với {kept}; chỉ tính một lần",
        "same-system": "hệ thống {system} có trong cả {kept} và {left}, kết quả như nhau; tính theo {kept}",
        "conflict": "hệ thống {system} có kết quả khác nhau trong {kept} và {left}; tính bản mới hơn: {kept}",
        "renamed": "mã hệ thống {system} được nhiều đơn vị dùng; ở đây ghi là {kept}",
    },
    "en": {
        "same-bundle": "{left} is the same as {kept}; counted once",
        "same-system": "the system {system} is in {kept} and in {left}, with equal results; {kept} counts",
        "conflict": "the system {system} has other results in {left} than in {kept}; the newer one counts",
        "renamed": "the id {system} is used by more than one unit; one of them is called {kept} here",
    },
}
"""What more than one bundle of a merge speaks of, and what was done about it."""
DECIDED = {
    "vi": {"probe": "kiểm tra từ xa", "document": "tài liệu", "registry": "danh mục hệ thống"},
    "en": {"probe": "a probe", "document": "a document", "registry": "the registry"},
}
PRUNE = {
    "vi": {
        "deleted": "đã xóa",
        "listed": "sẽ xóa",
        "end": "đã xóa {count} lượt quét",
        "ask": "{count} lượt quét sẽ bị xóa; thêm --yes để xóa",
    },
    "en": {
        "deleted": "deleted",
        "listed": "would be deleted",
        "end": "{count} runs deleted",
        "ask": "{count} runs would be deleted; --yes deletes them",
    },
}
"""What is said of old runs that go."""
EXPLAIN = {
    "vi": {
        "level": "cấp độ",
        "at": "tại",
        "advised": "khuyến nghị, không tính vào kết quả",
        "by": "căn cứ",
        "expected": "yêu cầu",
        "observed": "thực tế",
        "more": "và {n} dòng nữa",
        "waived": "được miễn đến {until}, người duyệt {by}: {reason}",
        "observation": "bằng chứng",
    },
    "en": {
        "level": "level",
        "at": "at",
        "advised": "advised, not counted",
        "by": "decided by",
        "expected": "expected",
        "observed": "observed",
        "more": "and {n} more",
        "waived": "waived until {until}, approved by {by}: {reason}",
        "observation": "observation",
    },
}


def verdict_line(finding: Mapping[str, Any], language: str) -> str:
    """A verdict, with its reason in a sentence where it is not concluded."""
    from seccheck.reports.words import Words

    verdict = VERDICT[language][finding["verdict"]]
    why = Words(language).reasons.get(finding["reason"] or "", finding["reason"] or "")
    return f"{verdict} ({finding['reason']}: {why.rstrip('.')})" if finding["reason"] else verdict


def status_line(status: str, level: int, language: str) -> str:
    """A system's status and level: level 3, does not meet all."""
    return f"{EXPLAIN[language]['level']} {level}, {STATUS[language][status]}"


def finding_lines(finding: Mapping[str, Any], language: str) -> list[str]:
    """One finding with its evidence, as lines."""
    from seccheck.reports.words import Words

    say, words = EXPLAIN[language], Words(language)
    head = verdict_line(finding, language)
    if finding["target"]:
        head += f" {say['at']} {finding['target']}"
    if not finding["counted"]:
        head += f" ({say['advised']})"
    lines = ["", f"{head}; {say['by']} {DECIDED[language][finding['decided_by']]}"]
    for row in finding["evidence"]:
        expected = f"{say['expected']} {words.expected(row['expected'])}, " if row["expected"] else ""
        observed = f"{say['observed']} {words.value(row['observed'])}"
        lines.append(f"  {row['fact']}: {expected}{observed} [{VERDICT[language][row['verdict']]}]")
    if finding["evidence_omitted"]:
        lines.append("  " + say["more"].format(n=finding["evidence_omitted"]))
    if waiver := finding["waiver"]:
        said = say["waived"].format(until=waiver["until"], by=waiver["approved_by"], reason=waiver["reason"])
        lines.append(f"  {said}")
    return [*lines, *(f"  {say['observation']} {digest}" for digest in finding["observations"])]


def tally_lines(summary: Mapping[str, Any], language: str) -> list[str]:
    """The figure, its split and its coverage, as lines."""
    systems, selection = summary["tally"]["systems"], summary["scan"]["selection"]
    narrowed = selection["criteria"] < selection["of"] or selection["systems"] < selection["systems_of"]
    total, meets = systems["reported"], systems["meets"]
    unknown = systems["not_concluded"] + systems["unassessed"]
    coverage = ", ".join(
        f"{entry['reported']}/{entry['total']} {KIND[language][kind]}"
        for kind, entry in summary["tally"]["units"].items()
        if kind in {"locality", "ministry"} or entry["reported"]
    )
    say = TALLY[language]
    values = {
        "meets": meets,
        "total": total,
        "rest": total - meets,
        "fail": systems["does_not_meet"],
        "unknown": unknown,
        "most": meets + unknown,
        "what": say["selected" if narrowed else "all"],
        "coverage": coverage,
        "documents": systems["needs_document"],
        **selection,
    }
    wanted = {
        "figure": True,
        "reports": True,
        "bound": unknown,
        "scope": narrowed,
        "document": systems["needs_document"],
    }
    return [say[name].format(**values) for name, shown in wanted.items() if shown]
