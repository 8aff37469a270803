"""What can be wrong with a bundle or a merge, as an officer is told: what it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from seccheck.errors import SeccheckError
from seccheck.model import Record, safe_text

Kind = Literal[
    "not-a-bundle", "too-large", "unknown-key", "signature", "expired-key", "key-not-yet", "dated-ahead",
    "statement", "changed", "missing", "added", "container", "unit", "criteria", "incomplete",
    "stale", "narrowed", "system-unit", "units-differ", "other-criteria", "evidence", "no-systems",
]  # fmt: skip

_WORDS: dict[Kind, dict[str, tuple[str, str]]] = {
    "not-a-bundle": {
        "en": ("this is not a bundle of seccheck: {why}", "ask the unit for the file again"),
        "vi": ("đây không phải gói kết quả của seccheck: {why}", "đề nghị đơn vị gửi lại tệp"),
    },
    "too-large": {
        "en": ("the bundle is larger than may be unpacked: {why}", "ask the unit what it sent"),
        "vi": ("gói kết quả vượt quá kích thước cho phép: {why}", "hỏi lại đơn vị đã gửi tệp nào"),
    },
    "unknown-key": {
        "en": (
            "it is signed with a key that is not among yours: {key}",
            "ask the unit for its .pub.yaml file, compare the fingerprint by telephone, put it into --keys",
        ),
        "vi": (
            "gói được ký bằng khóa chưa có trong danh sách của bạn: {key}",
            (
                "đề nghị đơn vị gửi tệp .pub.yaml, đối chiếu vân tay khóa qua điện thoại,"
                " rồi đặt vào thư mục --keys"
            ),
        ),
    },
    "signature": {
        "en": (
            "the signature does not fit: what was signed has been changed",
            "do not use it; ask the unit for it again",
        ),
        "vi": (
            "chữ ký không khớp: nội dung đã ký bị thay đổi",
            "không sử dụng gói này; đề nghị đơn vị gửi lại",
        ),
    },
    "expired-key": {
        "en": (
            "the unit's key ran out on {until}",
            (
                "ask the unit to sign with a new key;"
                " for a bundle from the archive, give --at the day it came in"
            ),
        ),
        "vi": (
            "khóa của đơn vị đã hết hạn ngày {until}",
            "đề nghị đơn vị ký bằng khóa mới; với gói lưu trữ, dùng --at kèm ngày tiếp nhận",
        ),
    },
    "key-not-yet": {
        "en": ("the unit's key is valid from {since} only", "check the dates in its .pub.yaml file"),
        "vi": ("khóa của đơn vị chỉ có hiệu lực từ {since}", "kiểm tra ngày trong tệp .pub.yaml"),
    },
    "dated-ahead": {
        "en": ("it says it was signed in the future: {signed}", "check the clock of the unit, and yours"),
        "vi": ("thời điểm ký nằm ở tương lai: {signed}", "kiểm tra đồng hồ của đơn vị và của bạn"),
    },
    "statement": {
        "en": ("what was signed cannot be read: {why}", "update seccheck here, or ask the unit to do so"),
        "vi": ("không đọc được nội dung đã ký: {why}", "cập nhật seccheck tại đây hoặc tại đơn vị"),
    },
    "changed": {
        "en": ("the file {name} was changed after it was signed", "do not use it; ask the unit for it again"),
        "vi": ("tệp {name} bị sửa sau khi ký", "không sử dụng gói này; đề nghị đơn vị gửi lại"),
    },
    "missing": {
        "en": ("the file {name} is missing", "ask the unit for the bundle again"),
        "vi": ("thiếu tệp {name}", "đề nghị đơn vị gửi lại gói"),
    },
    "added": {
        "en": ("the file {name} was added after signing", "do not use it; ask the unit for it again"),
        "vi": ("tệp {name} được thêm vào sau khi ký", "không sử dụng gói này; đề nghị đơn vị gửi lại"),
    },
    "container": {
        "en": (
            "the bundle was changed outside of its files, or repacked",
            "ask the unit for the file as seccheck wrote it",
        ),
        "vi": (
            "gói bị thay đổi bên ngoài các tệp, hoặc bị đóng gói lại",
            "đề nghị đơn vị gửi đúng tệp do seccheck tạo ra",
        ),
    },
    "unit": {
        "en": (
            "it speaks for {unit}, and its key may speak for {allowed} only",
            (
                "ask the unit for a bundle of its own systems;"
                " or add the unit to its .pub.yaml file, if that is right"
            ),
        ),
        "vi": (
            "gói báo cáo cho {unit}, trong khi khóa chỉ được báo cáo cho {allowed}",
            (
                "đề nghị đơn vị chỉ gửi hệ thống của mình;"
                " nếu đúng thẩm quyền thì bổ sung đơn vị vào tệp .pub.yaml"
            ),
        ),
    },
    "criteria": {
        "en": (
            "it was judged by {found}, and {wanted} is expected",
            "ask the unit to run: seccheck rejudge RUN -c {set} --out NEW, and to sign NEW",
        ),
        "vi": (
            "gói được đánh giá theo {found}, trong khi yêu cầu là {wanted}",
            "đề nghị đơn vị chạy: seccheck rejudge RUN -c {set} --out NEW rồi ký lại NEW",
        ),
    },
    "incomplete": {
        "en": ("the run is not finished: {why}", "finish it with: seccheck scan --resume RUN, then sign it"),
        "vi": ("lượt quét chưa hoàn tất: {why}", "chạy tiếp: seccheck scan --resume RUN, rồi ký"),
    },
    "stale": {
        "en": (
            "its evidence is from {observed}, {age} days old; at most {limit} are accepted",
            "ask the unit to scan again; or allow more with --max-age",
        ),
        "vi": (
            "bằng chứng thu thập ngày {observed}, đã {age} ngày; chỉ chấp nhận tối đa {limit} ngày",
            "đề nghị đơn vị quét lại; hoặc nới giới hạn bằng --max-age",
        ),
    },
    "narrowed": {
        "en": (
            "it holds {systems} of the unit's {of} systems (the scan was narrowed with {option})",
            "ask the unit to scan all of its systems",
        ),
        "vi": (
            "gói chỉ có {systems} trong {of} hệ thống của đơn vị (lượt quét bị giới hạn bằng {option})",
            "đề nghị đơn vị quét toàn bộ hệ thống của mình",
        ),
    },
    "system-unit": {
        "en": (
            "its statement names the units {said}, its systems belong to {found}",
            "do not use it; ask the unit for it again",
        ),
        "vi": (
            "bản ký nêu đơn vị {said}, nhưng các hệ thống thuộc {found}",
            "không sử dụng gói này; đề nghị đơn vị gửi lại",
        ),
    },
    "units-differ": {
        "en": (
            "it describes the unit {unit} otherwise than {other} does",
            "have all units use the same list, such as: units: {{use: vn-2025}}",
        ),
        "vi": (
            "gói mô tả đơn vị {unit} khác với {other}",
            "yêu cầu mọi đơn vị dùng chung một danh mục, ví dụ: units: {{use: vn-2025}}",
        ),
    },
    "other-criteria": {
        "en": (
            "it was judged by {found}; most of the others by {wanted}",
            "have all bundles judged by one set and version: seccheck rejudge RUN -c SET --out NEW",
        ),
        "vi": (
            "gói được đánh giá theo {found}; đa số gói khác theo {wanted}",
            "yêu cầu mọi gói dùng cùng bộ tiêu chí và phiên bản: seccheck rejudge RUN -c SET --out NEW",
        ),
    },
    "evidence": {
        "en": (
            (
                "its results do not follow from its evidence, first at {where}:"
                " it says {said}, the evidence {found}"
            ),
            "ask the unit to run: seccheck rejudge RUN --out NEW with this version, and to sign NEW",
        ),
        "vi": (
            (
                "kết quả không khớp bằng chứng, trước hết tại {where}:"
                " gói ghi {said}, bằng chứng cho thấy {found}"
            ),
            "đề nghị đơn vị chạy: seccheck rejudge RUN --out NEW với phiên bản này, rồi ký NEW",
        ),
    },
    "no-systems": {
        "en": ("it holds no system", "ask the unit to register its systems and to scan them"),
        "vi": ("gói không có hệ thống nào", "đề nghị đơn vị đăng ký hệ thống và quét"),
    },
}
_NEXT = {"en": "next", "vi": "việc cần làm"}


class Fault(Record):
    """One thing that is wrong, with the file it is wrong with."""

    kind: Kind
    file: str = ""
    values: dict[str, str] = {}

    def text(self, language: str) -> str:
        """What is wrong and the next step, on two lines. What a bundle says is shown made safe."""
        message, step = _WORDS[self.kind][language]
        values = {name: safe_text(value, 300) for name, value in self.values.items()}
        place = f"{safe_text(self.file, 300)}: " if self.file else ""
        return f"{place}{message.format(**values)}\n  {_NEXT[language]}: {step.format(**values)}"


class FaultError(SeccheckError):
    """A bundle that does not verify, or a merge that is refused; all reasons at once."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.text("en"))

    def text(self, language: str) -> str:
        """Every reason in `language`."""
        return "\n".join(fault.text(language) for fault in self.faults)


def fault(kind: Kind, file: Path | str = "", **values: object) -> Fault:
    """The fault of one kind."""
    return Fault(kind=kind, file=str(file), values={name: str(value) for name, value in values.items()})
