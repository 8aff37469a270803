from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from seccheck.errors import InputError, Problem
from seccheck.model import Model, Text
from seccheck.yamlfile import Document, Mistake, did_you_mean, dotted, read_parts, read_yaml, validate


def problems(text: bytes, **options: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_yaml(text, "f.yaml", **options)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("~", None),
        ("null", None),
        ("", None),
        ("true", True),
        ("FALSE", False),
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("22:30", "22:30"),
        ("22:30:15", "22:30:15"),
        ("0", 0),
        ("-7", -7),
        ("+7", 7),
        ("01", "01"),
        ("0o14", "0o14"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("1" * 19, "1" * 19),
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("1e3", 1000.0),
        ("1e999", "1e999"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1.2.3", "1.2.3"),
        ("203.0.113.7", "203.0.113.7"),
        ("2026-11-30", date(2026, 11, 30)),
        ("2026-02-31", "2026-02-31"),
        ("2026-11-30T10:00:00Z", "2026-11-30T10:00:00Z"),
        ("'5'", "5"),
        ('"true"', "true"),
        ("'2026-11-30'", "2026-11-30"),
        ("=", "="),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    found = read_yaml(f"a: {text}\n".encode(), "f.yaml").data["a"]

    assert found == value
    assert type(found) is type(value)


def test_every_node_keeps_its_line() -> None:
    document = read_yaml(b"# c\na: 1\nb:\n  - x\n  - k: v\n    l:\n      2\n22: {443: y}\n", "f.yaml")

    assert document.data == {"a": 1, "b": ["x", {"k": "v", "l": 2}], 22: {443: "y"}}
    assert [
        document.line(path)
        for path in ((), ("a",), ("b",), ("b", 0), ("b", 1), ("b", 1, "k"), ("b", 1, "l"), (22,), (22, 443))
    ] == [2, 2, 3, 4, 5, 5, 6, 8, 8]


def test_what_is_not_there_has_the_line_of_what_is_above_it() -> None:
    document = read_yaml(b"a:\n- b: 1\n", "f.yaml")

    assert document.line(("a", 0, "c", "d")) == 2
    assert document.line(("a", 7)) == 1
    assert document.line(("z",)) == 1


def test_a_byte_order_mark_and_crlf_are_accepted() -> None:
    document = read_yaml(b"\xef\xbb\xbfa: 1\r\nb: Vi\xe1\xbb\x87t\r\n", "f.yaml")

    assert document.data == {"a": 1, "b": "Việt"}
    assert document.line(("b",)) == 2


def test_an_empty_file_is_nothing() -> None:
    assert read_yaml(b"", "f.yaml").data is None
    assert read_yaml(b"# only a comment\n", "f.yaml").data is None


def test_an_alias_stands_for_its_anchor_and_its_lines() -> None:
    document = read_yaml(b"a: &x\n  k: 1\nb: *x\nc: &y 3\nd: *y\n", "f.yaml")

    assert document.data == {"a": {"k": 1}, "b": {"k": 1}, "c": 3, "d": 3}
    assert document.line(("b",)) == 3
    assert document.line(("b", "k")) == 2


def test_a_key_may_carry_an_anchor() -> None:
    assert read_yaml(b"&k key: *k\n", "f.yaml").data == {"key": "key"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            b"a: 1\nb: 2\na: 3\n",
            "f.yaml:3: duplicate key 'a', which stands in line 1 too\n  next: keep one of the two",
        ),
        (
            b"x:\n  1: a\n  '1': b\n",
            "f.yaml:3: duplicate key '1', which stands in line 2 too\n  next: keep one of the two",
        ),
        (
            b"'1': a\n1: b\n",
            "f.yaml:2: duplicate key '1', which stands in line 1 too\n  next: keep one of the two",
        ),
        (
            b"a: &x {b: 1}\nc:\n  <<: *x\n",
            (
                "f.yaml:3: merge keys (<<) are not used here\n"
                "  next: write the keys out, or use an alias for a value"
            ),
        ),
        (
            b"a: !!python/object:os.system x\n",
            (
                "f.yaml:1: tags are not used here, found 'tag:yaml.org,2002:python/object:os.system'\n"
                "  next: write the value without the tag"
            ),
        ),
        (
            b"a:\n  !secret [x]\n",
            "f.yaml:2: tags are not used here, found '!secret'\n  next: write the value without the tag",
        ),
        (
            b"a: !x {}\n",
            "f.yaml:1: tags are not used here, found '!x'\n  next: write the value without the tag",
        ),
        (
            b"!k a: 1\n",
            "f.yaml:1: tags are not used here, found '!k'\n  next: write the value without the tag",
        ),
        (b"a: *x\n", "f.yaml:1: alias *x has no anchor &x before it"),
        (b"a: &x\n- *x\n", "f.yaml:2: alias *x contains itself\n  next: write the value out"),
        (b"? [a]\n: 1\n", "f.yaml:1: expected a plain key, found a list, a mapping or an alias"),
        (
            b"---\na: 1\n---\nb: 1\n",
            "f.yaml:3: expected one document, found another after '---'\n  next: keep one document in a file",
        ),
        (
            b"a:\n\tb: 1\n",
            (
                "f.yaml:2: expected YAML: while scanning for the next token, found character that cannot "
                "start any token\n  next: indent with spaces, never tabs; "
                "put text that begins with @, ` or % in quotes"
            ),
        ),
        (
            b"a: b: c\n",
            (
                "f.yaml:1: expected YAML: mapping values are not allowed in this context\n"
                "  next: put text that contains ': ' in quotes, and align keys of one level"
            ),
        ),
        (
            b"a: 1\nb: [1, 2\n",
            (
                "f.yaml:3: expected YAML: while parsing a flow sequence, did not find expected ',' or ']'\n"
                "  next: check the indentation and the quotes around this line"
            ),
        ),
        (
            b"a: 1\nb: \xff\n",
            (
                "f.yaml:2: expected UTF-8 text: invalid leading UTF-8 octet\n"
                "  next: save the file as UTF-8 without control characters"
            ),
        ),
        (
            b"a: \x1b[31m\n",
            (
                "f.yaml:1: expected UTF-8 text: control characters are not allowed\n"
                "  next: save the file as UTF-8 without control characters"
            ),
        ),
        (
            "a: 1\n".encode("utf-16"),
            "f.yaml:1: expected UTF-8, found UTF-16 or binary data\n  next: save the file as UTF-8",
        ),
        (
            "a: 1\n".encode("utf-16-be"),
            "f.yaml:1: expected UTF-8, found UTF-16 or binary data\n  next: save the file as UTF-8",
        ),
        (b"[" * 60, "f.yaml:1: expected at most 50 levels of nesting\n  next: flatten this"),
    ],
)
def test_what_is_refused_is_told_with_its_line(text: bytes, message: str) -> None:
    assert problems(text) == [message]


def test_bad_bytes_far_into_a_file_are_told_with_their_line() -> None:
    assert problems(b"#x\n" * 20_000 + b"b: \xff\n") == [
        (
            "f.yaml:20001: expected UTF-8 text: invalid leading UTF-8 octet\n"
            "  next: save the file as UTF-8 without control characters"
        )
    ]


def test_too_many_bytes_are_refused() -> None:
    assert read_yaml(b"a: 123456\n", "f.yaml", max_bytes=10).data == {"a": 123456}
    assert problems(b"a: 1234567\n", max_bytes=10) == [
        "f.yaml: expected at most 10 bytes, found more\n  next: split the file"
    ]


def test_fifty_levels_are_enough() -> None:
    assert read_yaml(b"[" * 50 + b"]" * 50, "f.yaml").data


def test_a_hundred_aliases_are_enough_and_one_more_is_not() -> None:
    text = "a: &x 1\nb: [" + ", ".join(["*x"] * 100) + "]\n"

    assert read_yaml(text.encode(), "f.yaml").data["b"] == [1] * 100
    assert problems(text.replace("]", ", *x]").encode()) == [
        (
            "f.yaml:2: expected at most 100 aliases that stand for 100,000 values at most\n"
            "  next: write the values out"
        )
    ]


def test_a_bomb_of_few_aliases_is_refused() -> None:
    lines = ["a0: &a0 [" + ", ".join("x" * 9) + "]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]

    (problem,) = problems("\n".join(lines).encode())

    assert problem.startswith("f.yaml:6: expected at most 100 aliases that stand for 100,000 values")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.yaml", "none.yaml: no such file\n  next: check the path"),
        ("folder", "folder: cannot be read: Is a directory\n  next: check the path"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(InputError) as caught:
        read_yaml(tmp_path / name, name)

    assert str(caught.value) == message


def test_a_file_is_called_as_it_was_named(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a: 1\n", encoding="utf-8")

    assert read_yaml(file).name == str(file)
    assert read_yaml(b"a: 1").name == "input"


_plain = st.text(
    st.characters(codec="ascii", categories=["L", "N"]) | st.sampled_from(" đệĐ-_:'\"#\n"), max_size=20
)
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | _plain
    | st.dates(min_value=date(1000, 1, 1)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_plain, inner, max_size=4),
    max_leaves=20,
)


@given(_values, st.booleans())
def test_what_pyyaml_writes_is_read_as_pyyaml_reads_it(value: Any, flow: bool) -> None:
    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    text = yaml.dump(value, Dumper=Dumper, default_flow_style=flow, allow_unicode=True)

    ours = read_yaml(text.encode(), "f.yaml").data

    assert ours == yaml.safe_load(text) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_data_or_an_input_error(data: bytes) -> None:
    try:
        read_yaml(data, "f.yaml")
    except InputError as error:
        assert str(error).startswith("f.yaml")  # noqa: PT017 (either outcome is right)


@given(st.text("&*ab!{}[]:,-? \n#'\"|>%<~1", max_size=60))
def test_any_yaml_is_data_or_an_input_error(text: str) -> None:
    try:
        data = read_yaml(text.encode(), "f.yaml").data
    except InputError:
        return
    assert not isinstance(data, float) or not math.isnan(data)


class Inner(Model):
    host: str
    port: int = Field(ge=1, le=65535)


class Outer(Model):
    level: int = Field(ge=1, le=5)
    name: Text
    kind: Literal["ministry", "locality"] = "ministry"
    day: date | None = None
    inner: list[str | Inner] = []
    ports: dict[str, int] = {}
    count: int = Field(default=1, ge=1)
    most: int = Field(default=1, le=9)
    share: float = 0.5
    on: bool = False
    said: str = Field(default="x", min_length=1)
    short: str = Field(default="x", max_length=5)
    code: str = Field(default="x", pattern="^x")
    any: Any = None
    version: Literal["v/1"] = "v/1"

    @field_validator("any")
    @classmethod
    def _not_seven(cls, value: Any) -> Any:
        if value == 7:
            raise PydanticCustomError("seven", "Seven is refused")
        return value

    @field_validator("said")
    @classmethod
    def _polite(cls, said: str) -> str:
        if said == "no":
            raise Mistake("expected a yes", hint="say yes")
        if said == "never":
            raise ValueError("expected a yes by all means")
        return said


GOOD = b"level: 3\nname: {vi: a, en: b}\n"


def mistakes(text: bytes) -> list[str]:
    with pytest.raises(InputError) as caught:
        validate(read_yaml(text, "f.yaml"), Outer)
    return [str(problem) for problem in caught.value.problems]


def test_data_as_yaml_gives_it_becomes_a_model() -> None:
    text = GOOD + b"day: 2026-11-30\ninner: [a, {host: h, port: 1}]\nports: {10.0.0.1: 22}\nshare: 1\n"

    outer = validate(read_yaml(text, "f.yaml"), Outer)

    assert outer.day == date(2026, 11, 30)
    assert outer.inner == ["a", Inner(host="h", port=1)]
    assert outer.ports == {"10.0.0.1": 22}


def test_a_part_of_a_document_becomes_a_model() -> None:
    document = read_yaml(b"a:\n- {host: h, port: 1}\n- {host: h, port: 0}\n", "f.yaml")

    assert validate(document, Inner, ("a", 0)).port == 1
    with pytest.raises(InputError) as caught:
        validate(document, Inner, ("a", 1))
    assert str(caught.value) == "f.yaml:3: a[1].port: expected a whole number from 1 to 65535, found 0"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("level: 3a", 'level: expected a whole number from 1 to 5, found "3a"'),
        ("level: 6", "level: expected a whole number from 1 to 5, found 6"),
        ("level: '3'", 'level: expected a whole number from 1 to 5, found "3"'),
        ("level: 3.5", "level: expected a whole number from 1 to 5, found 3.5"),
        ("level:", "level: expected a whole number from 1 to 5, found nothing"),
        ("level: [3]", "level: expected a whole number from 1 to 5, found a list"),
        ("count: 0", "count: expected a whole number of 1 or more, found 0"),
        ("most: 10", "most: expected a whole number up to 9, found 10"),
        ("share: much", 'share: expected a number, found "much"'),
        ("on: yes", 'on: expected true or false, found "yes"'),
        ("day: 2026-02-31", 'day: expected a date such as 2026-11-30 or nothing, found "2026-02-31"'),
        (
            "kind: locallity",
            "kind: expected one of ministry, locality, found \"locallity\"\n  next: did you mean 'locality'?",
        ),
        ("kind: {a: 1}", "kind: expected one of ministry, locality, found a mapping"),
        ("name: x", 'name: expected a mapping with vi, en, found "x"'),
        ("name: {vi: x}", "name.en: missing: expected text"),
        (
            "name: {vi: 1.10, en: x}",
            "name.vi: expected text, found 1.1\n  next: put it in quotes to make it text",
        ),
        (
            "name: {vi: 2026-01-02, en: x}",
            "name.vi: expected text, found 2026-01-02\n  next: put it in quotes to make it text",
        ),
        ("name: {vi: x, en: y, fr: z}", "name.fr: unknown key\n  next: the keys here: vi, en"),
        ("levl: 3", "levl: unknown key\n  next: did you mean 'level'?"),
        ("inner: x", 'inner: expected a list, found "x"'),
        (
            "inner: [a, {host: h, port: 99999}]",
            "inner[1].port: expected a whole number from 1 to 65535, found 99999",
        ),
        ("inner: [[]]", "inner[0]: expected text or a mapping with host, port, found a list"),
        ("ports: {10.0.0.1: x}", 'ports["10.0.0.1"]: expected a whole number, found "x"'),
        ("said: ''", 'said: expected text that is not empty, found ""'),
        ("said: no", "said: expected a yes\n  next: say yes"),
        ("said: never", "said: expected a yes by all means"),
        ("short: abcdef", "short: expected text of at most 5 characters"),
        ("any: 7", "any: expected a value, found 7"),
        ("version: v/2", 'version: expected "v/1", found "v/2"'),
        ("version: [true]", 'version: expected "v/1", found a list'),
        ("kind:", "kind: expected one of ministry, locality, found nothing"),
        ("kind: true", "kind: expected one of ministry, locality, found true"),
        ("code: y", 'code: expected text like ^x, found "y"'),
    ],
)
def test_each_mistake_has_its_message(line: str, message: str) -> None:
    key = line.partition(":")[0]
    good = {"level": b"name: {vi: a, en: b}\n", "name": b"level: 3\n"}.get(key, GOOD)

    assert mistakes(good + line.encode() + b"\n") == [f"f.yaml:{1 + len(good.splitlines())}: {message}"]


def test_all_mistakes_come_in_one_pass_in_the_order_of_the_file() -> None:
    assert mistakes(b"day: soon\nlevl: 3\nkind: x\n") == [
        'f.yaml:1: day: expected a date such as 2026-11-30 or nothing, found "soon"',
        "f.yaml:1: level: missing: expected a whole number from 1 to 5",
        "f.yaml:1: name: missing: expected a mapping with vi, en",
        "f.yaml:2: levl: unknown key\n  next: did you mean 'level'?",
        'f.yaml:3: kind: expected one of ministry, locality, found "x"',
    ]


def test_an_empty_file_lacks_everything() -> None:
    assert mistakes(b"") == ["f.yaml:1: expected a mapping (key: value), found nothing"]


def test_found_text_is_shown_safe_and_short() -> None:
    (message,) = mistakes(GOOD + 'kind: "a\\e[31m\\u202e{}"\n'.replace("{}", "x" * 100).encode())

    assert "\x1b" not in message
    assert "\u202e" not in message
    assert len(message) < 200


def test_parts_come_one_at_a_time_with_their_place(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("a: {b: 1}\nsystems:\n- x: 1\n- x: 2\nz: 3\n", encoding="utf-8")

    parts = list(read_parts(file, "f.yaml", "systems", max_bytes=1000))

    assert [(key, part.data, part.prefix, part.line()) for key, part in parts] == [
        ("a", {"b": 1}, ("a",), 1),
        ("systems", {"x": 1}, ("systems", 0), 3),
        ("systems", {"x": 2}, ("systems", 1), 4),
        ("z", 3, ("z",), 5),
    ]
    assert parts[2][1].problem(("x",), "odd") == Problem("f.yaml", 4, "systems[1].x", "odd")
    joined = Document.join("f.yaml", {"a": parts[0][1], "z": parts[3][1]})
    assert (joined.data, joined.line(("a", "b")), joined.line(("z",))) == ({"a": {"b": 1}, "z": 3}, 1, 5)


@pytest.mark.parametrize(
    ("text", "line"), [("", 1), ("\n- a\n", 2), ("text\n", 1)], ids=["nothing", "a list", "text"]
)
def test_parts_need_keys_at_the_top(tmp_path: Path, text: str, line: int) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(InputError) as caught:
        list(read_parts(file, "f.yaml", "systems", max_bytes=1000))

    assert str(caught.value) == (
        f"f.yaml:{line}: expected keys at the top level (seccheck: ..., name: ..., ...)"
    )


def test_a_document_of_other_data_has_no_lines() -> None:
    assert Document.of({"a": 1}, "f.json").line(("a",)) == 0


def test_paths_are_written_as_users_read_them() -> None:
    assert dotted(("systems", 3, "approved_ports", "203.0.113.7", 0)) == (
        'systems[3].approved_ports["203.0.113.7"][0]'
    )


def test_a_near_word_is_offered_else_all_of_them() -> None:
    assert did_you_mean("HTTPSS", ["https", "ssh"]) == "did you mean 'https'?"
    assert did_you_mean("zzz", ["https", "ssh"]) == ""
    assert did_you_mean("zzz", ["https", "ssh"], "services") == "services: https, ssh"
