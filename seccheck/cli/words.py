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


def tally_lines(summary: Mapping[str, Any], language: str) -> list[str]:
    """The figure, its split and its coverage, as lines."""
    systems, scan = summary["tally"]["systems"], summary["scan"]
    selection = scan["selection"]
    narrowed = selection["criteria"] < selection["of"] or selection["systems"] < selection["systems_of"]
    total, meets = systems["reported"], systems["meets"]
    rest = total - meets
    open_ = systems["not_concluded"] + systems["unassessed"]
    coverage = [
        (KIND[language][kind], entry["reported"], entry["total"])
        for kind, entry in summary["tally"]["units"].items()
        if kind in {"locality", "ministry"} or entry["reported"]
    ]
    if language == "vi":
        what = "các tiêu chí được chọn" if narrowed else "toàn bộ tiêu chí"
        lines = [
            f"{meets}/{total} hệ thống đáp ứng {what}; {rest} hệ thống không đáp ứng đủ "
            f"({systems['does_not_meet']} không đạt, {open_} chưa kết luận).",
            "Báo cáo từ " + ", ".join(f"{got}/{of} {kind}" for kind, got, of in coverage) + ".",
        ]
        if open_:
            lines.append(f"Nếu tất cả hệ thống chưa kết luận đều đạt, kết quả là {meets + open_}/{total}.")
        if narrowed:
            lines.append(
                f"Phạm vi: {selection['criteria']}/{selection['of']} tiêu chí, {selection['systems']}/{selection['systems_of']} hệ thống."
            )
        if systems["needs_document"]:
            lines.append(f"{systems['needs_document']} hệ thống cần tài liệu chứng minh mức bản vá.")
        return lines
    what = "the selected criteria" if narrowed else "all criteria"
    lines = [
        f"{meets}/{total} systems meet {what}; {rest} do not ({systems['does_not_meet']} fail, {open_} not concluded).",
        "Reports from " + ", ".join(f"{got}/{of} {kind}" for kind, got, of in coverage) + ".",
    ]
    if open_:
        lines.append(
            f"If every system not concluded were to pass, the figure would be {meets + open_}/{total}."
        )
    if narrowed:
        lines.append(
            f"Scope: {selection['criteria']} of {selection['of']} criteria, {selection['systems']} of {selection['systems_of']} systems."
        )
    if systems["needs_document"]:
        lines.append(f"{systems['needs_document']} systems need a document that shows their patch level.")
    return lines
