"""YAML with places: what people write, read from libyaml's events, every mistake told with file and line.

Events rather than PyYAML's loaders: every node keeps its line, duplicate keys are seen, aliases are counted,
and scalars follow the YAML 1.2 core schema, so that `no`, `on`, `22:30` and `010` stay text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any, TypeVar

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from yaml import cyaml

from seccheck.errors import InputError, Problem
from seccheck.model import Model, safe_text

MAX_BYTES = 8_000_000
MAX_ALIASES = 100
MAX_DEPTH = 50
MAX_ALIASED_NODES = 100_000
"""How many nodes all aliases together may stand for: what keeps a small file from growing large."""

Key = str | int
Path_ = tuple[Key, ...]
M = TypeVar("M", bound=Model)

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]{1,3})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class Mistake(ValueError):  # noqa: N818 (it is the user's mistake)
    """What a model's validator raises: the message as users read it, and what to try."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class _Place:
    """Where a node stands, and where its children do."""

    line: int
    children: dict[Key, _Place] | list[_Place] | None = None

    def child(self, key: Key) -> _Place | None:
        if isinstance(self.children, dict):
            return self.children.get(key)
        if isinstance(self.children, list) and isinstance(key, int) and 0 <= key < len(self.children):
            return self.children[key]
        return None


_NOWHERE = _Place(0)


class Document:
    """Plain data and the lines that it came from. `prefix` is where it stands in a larger file."""

    def __init__(self, name: str, data: Any, place: _Place = _NOWHERE, prefix: Path_ = ()) -> None:
        self.name = name
        self.data = data
        self.prefix = prefix
        self._place = place

    @classmethod
    def of(cls, data: Any, name: str) -> Document:
        """The document of data that came from elsewhere: every line is 0, the whole file."""
        return cls(name, data)

    @classmethod
    def join(cls, name: str, parts: Mapping[str, Document]) -> Document:
        """The document whose entries are `parts`, each with its own lines."""
        places: dict[Key, _Place] = {key: part._place for key, part in parts.items()}  # noqa: SLF001
        return cls(name, {key: part.data for key, part in parts.items()}, _Place(1, places))

    def line(self, path: Path_ = ()) -> int:
        """The line of what stands at `path`, or of the nearest thing above it that is there."""
        place = self._place
        for key in path:
            found = place.child(key)
            if found is None:
                break
            place = found
        return place.line

    def problem(self, path: Path_, message: str, hint: str = "") -> Problem:
        """The problem `message` with what stands at `path`."""
        return Problem(self.name, self.line(path), dotted(self.prefix + path), message, hint)


def dotted(path: Iterable[Key]) -> str:
    """A path as users read it: `systems[3].level`, counted from 0."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif re.fullmatch(r"[A-Za-z_][\w-]*", key):
            text += f".{key}" if text else key
        else:
            text += f'["{safe_text(key, 60)}"]'
    return text


def read_yaml(source: Path | str | bytes, name: str = "", *, max_bytes: int = MAX_BYTES) -> Document:
    """The one YAML document in a file, or in bytes called `name`.

    Raises `InputError` for anything but UTF-8, duplicate keys, merge keys, tags, and what is too large.
    """
    name = name or ("input" if isinstance(source, bytes) else str(source))
    with closing(_open(source, name, max_bytes)) as stream:
        builder = _Builder(stream, name)
        data, place = builder.whole()
    return Document(name, data, place)


def read_parts(path: Path | str, name: str, items: str, *, max_bytes: int) -> Iterator[tuple[str, Document]]:
    """The entries of a file's top mapping in their order, those under `items` one at a time.

    Nothing is kept: what makes a registry of any size readable in little memory. An `items` that is empty
    or no list comes whole. Raises `InputError` like `read_yaml`, possibly after some entries.
    """
    with closing(_open(path, name, max_bytes)) as stream:
        yield from _Builder(stream, name).parts(items)


class _Bounded(io.RawIOBase):
    """A stream that refuses to give more than so many bytes, and counts the lines that it gave."""

    def __init__(self, stream: IO[bytes], name: str, max_bytes: int) -> None:
        self._stream, self._name, self._max, self._left = stream, name, max_bytes, max_bytes
        self._chunk, self._offset, self._line = b"", 0, 1
        self._head = stream.read(4)
        if self._head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in self._head:
            self.close()
            raise InputError.at(
                name, "expected UTF-8, found UTF-16 or binary data", line=1, hint="save the file as UTF-8"
            )

    def read(self, size: int = -1) -> bytes:
        data, self._head = self._head or self._stream.read(size), b""
        self._offset += len(self._chunk)
        self._line += self._chunk.count(b"\n")
        self._chunk = data
        self._left -= len(data)
        if self._left < 0:
            raise InputError.at(
                self._name, f"expected at most {self._max:,} bytes, found more", hint="split the file"
            )
        return data

    def line_at(self, position: int) -> int:
        """The line of a byte that was read lately."""
        return self._line + self._chunk.count(b"\n", 0, max(0, position - self._offset))

    def close(self) -> None:
        self._stream.close()
        super().close()


def _open(source: Path | str | bytes, name: str, max_bytes: int) -> _Bounded:
    if isinstance(source, bytes):
        return _Bounded(io.BytesIO(source), name, max_bytes)
    try:
        return _Bounded(Path(source).open("rb"), name, max_bytes)
    except FileNotFoundError:
        raise InputError.at(name, "no such file", hint="check the path") from None
    except OSError as error:
        raise InputError.at(name, f"cannot be read: {error.strerror}", hint="check the path") from None


class _Builder:
    """Builds plain data from libyaml's events, holding to the limits."""

    def __init__(self, stream: _Bounded, name: str) -> None:
        self._name, self._stream = name, stream
        self._parser: Any = cyaml.CParser(stream)  # type: ignore[attr-defined] # types-PyYAML leaves it out
        self._anchors: dict[str, tuple[Any, _Place, int] | None] = {}
        self._aliases = self._aliased_nodes = self._nodes = 0

    def whole(self) -> tuple[Any, _Place]:
        """The one document of the stream."""
        first = self._begin()
        if first is None:
            return None, _Place(1)
        data, place = self._node(first, 1)
        self._end()
        return data, place

    def parts(self, items: str) -> Iterator[tuple[str, Document]]:
        """The entries of the top mapping, those under `items` one by one."""
        first = self._begin()
        if not isinstance(first, yaml.MappingStartEvent):
            message = "expected keys at the top level (seccheck: ..., name: ..., ...)"
            raise InputError.at(self._name, message, line=first.start_mark.line + 1 if first else 1)
        self._check_tag(first)
        seen: dict[Key, _Place] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key, line = self._key(event, seen)
            seen[key] = _Place(line)
            value = self._next()
            if key == items and isinstance(value, yaml.SequenceStartEvent):
                self._check_tag(value)
                index = 0
                while not isinstance(item := self._next(), yaml.SequenceEndEvent):
                    data, place = self._node(item, 3)
                    yield items, Document(self._name, data, place, (items, index))
                    index += 1
                if not index:
                    yield items, Document(self._name, [], _Place(line), (items,))
            else:
                data, place = self._node(value, 2)
                yield str(key), Document(self._name, data, _Place(line, place.children), (key,))
        self._end()

    def _next(self) -> Any:
        try:
            return self._parser.get_event()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise self._error(
                f"expected YAML: {_plainly(error)}", mark.line + 1 if mark else 0, _yaml_hint(error)
            ) from None
        except yaml.reader.ReaderError as error:
            raise self._error(
                f"expected UTF-8 text: {error.reason}",
                self._stream.line_at(error.position),
                "save the file as UTF-8 without control characters",
            ) from None

    def _begin(self) -> Any | None:
        self._next()  # the start of the stream
        event = self._next()
        return None if isinstance(event, yaml.StreamEndEvent) else self._next()

    def _end(self) -> None:
        self._next()  # the end of the document
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._error(
                "expected one document, found another after '---'",
                event.start_mark.line + 1,
                "keep one document in a file",
            )

    def _error(self, message: str, line: int, hint: str = "") -> InputError:
        return InputError.at(self._name, message, line=line, hint=hint)

    def _check_tag(self, event: Any) -> None:
        if event.tag is not None:
            raise self._error(
                f"tags are not used here, found {safe_text(event.tag, 60)!r}",
                event.start_mark.line + 1,
                "write the value without the tag",
            )

    def _node(self, event: Any, depth: int) -> tuple[Any, _Place]:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, line)
        self._check_tag(event)
        self._nodes += 1
        first = self._nodes
        anchor = event.anchor
        if anchor is not None:
            self._anchors[anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            data: Any = _scalar(event)
            place = _Place(line)
        elif depth > MAX_DEPTH:
            raise self._error(f"expected at most {MAX_DEPTH} levels of nesting", line, "flatten this")
        elif isinstance(event, yaml.SequenceStartEvent):
            data, place = self._sequence(line, depth)
        else:
            data, place = self._mapping(line, depth)
        if anchor is not None:
            self._anchors[anchor] = (data, place, self._nodes - first + 1)
        return data, place

    def _sequence(self, line: int, depth: int) -> tuple[list[Any], _Place]:
        data: list[Any] = []
        places: list[_Place] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            item, place = self._node(event, depth + 1)
            data.append(item)
            places.append(place)
        return data, _Place(line, places)

    def _mapping(self, line: int, depth: int) -> tuple[dict[Key, Any], _Place]:
        data: dict[Key, Any] = {}
        places: dict[Key, _Place] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key, at = self._key(event, places)
            data[key], place = self._node(self._next(), depth + 1)
            # A problem with a value is looked for at its key.
            places[key] = _Place(at, place.children)
        return data, _Place(line, places)

    def _key(self, event: Any, seen: dict[Key, _Place]) -> tuple[Key, int]:
        line = event.start_mark.line + 1
        if not isinstance(event, yaml.ScalarEvent):
            raise self._error("expected a plain key, found a list, a mapping or an alias", line)
        self._check_tag(event)
        if event.value == "<<" and event.implicit[0]:
            raise self._error(
                "merge keys (<<) are not used here", line, "write the keys out, or use an alias for a value"
            )
        scalar = _scalar(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = (scalar, _Place(line), 1)
        # A key is text or a whole number (a level, a port); anything else is meant as it is written.
        key: Key = scalar if isinstance(scalar, int) and not isinstance(scalar, bool) else event.value
        twin: Key = str(key) if isinstance(key, int) else int(key) if _INT.fullmatch(key) else key
        for same in (key, twin):
            if same in seen:
                raise self._error(
                    f"duplicate key {safe_text(str(key), 60)!r}, which stands in line {seen[same].line} too",
                    line,
                    "keep one of the two",
                )
        return key, line

    def _alias(self, event: Any, line: int) -> tuple[Any, _Place]:
        anchor = safe_text(event.anchor, 60)
        if event.anchor not in self._anchors:
            raise self._error(f"alias *{anchor} has no anchor &{anchor} before it", line)
        target = self._anchors[event.anchor]
        if target is None:
            raise self._error(f"alias *{anchor} contains itself", line, "write the value out")
        data, place, nodes = target
        self._aliases += 1
        self._aliased_nodes += nodes
        self._nodes += nodes
        if self._aliases > MAX_ALIASES or self._aliased_nodes > MAX_ALIASED_NODES:
            raise self._error(
                f"expected at most {MAX_ALIASES} aliases that stand for {MAX_ALIASED_NODES:,} values at most",
                line,
                "write the values out",
            )
        return data, _Place(line, place.children)


def _scalar(event: Any) -> Any:
    """The value of a scalar, by the YAML 1.2 core schema (1.2.2, 10.3) and dates; quoted is always text."""
    text: str = event.value
    if not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _DATE.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            return text
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if abs(number) != float("inf") else text
    return text


def _plainly(error: yaml.MarkedYAMLError) -> str:
    parts = (error.context, error.problem)
    return safe_text(", ".join(part for part in parts if part), 200)


def _yaml_hint(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or ""
    if "cannot start any token" in problem:
        return "indent with spaces, never tabs; put text that begins with @, ` or % in quotes"
    if "mapping values are not allowed" in problem:
        return "put text that contains ': ' in quotes, and align keys of one level"
    return "check the indentation and the quotes around this line"


def validate(document: Document, model: type[M], path: Path_ = ()) -> M:
    """What stands at `path` of the document, as a `model`.

    Raises `InputError` with every mistake: its line, what was expected, what was found, what to try.
    """
    data = document.data
    for key in path:
        data = data[key]
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InputError(_explain(error, document, model, data, path)) from None


@dataclass(frozen=True)
class _Found:
    """One of pydantic's errors, its path told apart from the names of a union's branches."""

    path: Path_
    union: Path_ | None
    branch: str
    error: ErrorDetails

    @property
    def is_key(self) -> bool:
        """Whether the key itself is mistaken, not its value."""
        return "[key]" in self.error["loc"]


def _explain(
    error: ValidationError, document: Document, model: type[Model], data: Any, path: Path_
) -> Iterator[Problem]:
    schema = _Schema(model)
    found = [_locate(item, data) for item in error.errors(include_url=False)]
    told: set[tuple[str, str]] = set()
    for one in _best_branches(found):
        problem = _problem(one, document, schema, path)
        if (problem.key, problem.message) not in told:
            told.add((problem.key, problem.message))
            yield problem


def _locate(error: ErrorDetails, data: Any) -> _Found:
    """Follow pydantic's location through the data; what leads nowhere is the name of a union's branch."""
    path: list[Key] = []
    union: Path_ | None = None
    branch = ""
    for index, part in enumerate(error["loc"]):
        last = index == len(error["loc"]) - 1
        inside = (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int)
        )
        if inside:
            path.append(part)
            data = data[part]
        elif last and error["type"] == "missing":
            path.append(part)
        elif part != "[key]" and union is None:
            union, branch = tuple(path), str(part)
    return _Found(tuple(path), union, branch, error)


def _best_branches(found: list[_Found]) -> Iterator[_Found]:
    """Of a union, only the branch that was meant: the one with mistakes deeper inside, else all of them."""
    unions: dict[Path_, dict[str, list[_Found]]] = {}
    for one in found:
        if one.union is not None:
            unions.setdefault(one.union, {}).setdefault(one.branch, []).append(one)
    for one in found:
        if one.union is None:
            yield one
            continue
        branches = unions[one.union]
        deeper = [
            branch
            for branch, errors in branches.items()
            if any(len(error.path) > len(one.union) for error in errors)
        ]
        if not deeper:
            # A branch that took the value in and then refused it was meant, rather than one of another type.
            refused = [found.error for errors in branches.values() for found in errors]
            meant = [error for error in refused if error["type"] == "value_error"]
            if not meant or one.error in meant:
                yield _Found(one.union, None, "", one.error)
        elif one.branch == min(deeper, key=lambda branch: len(branches[branch])):
            yield one


def _problem(found: _Found, document: Document, schema: _Schema, prefix: Path_) -> Problem:
    error, path = found.error, prefix + found.path
    match error["type"]:
        case "missing":
            return document.problem(path, f"missing: expected {schema.expected(found.path)}")
        case "extra_forbidden":
            keys = schema.keys(found.path[:-1])
            return document.problem(
                path, "unknown key", did_you_mean(str(found.path[-1]), keys, "the keys here")
            )
        case "value_error" | "assertion_error":
            reason = error.get("ctx", {}).get("error")
            return document.problem(path, str(reason), getattr(reason, "hint", ""))
    hint = ""
    if error["type"] in {"literal_error", "enum"} and isinstance(error["input"], str):
        hint = did_you_mean(error["input"], schema.values(found.path))
    elif found.is_key:
        pattern = error.get("ctx", {}).get("pattern")
        return document.problem(path, f"expected a key like {pattern}" if pattern else error["msg"])
    elif error["type"] == "string_too_long":
        return document.problem(path, f"expected text of at most {error['ctx']['max_length']} characters")
    elif error["type"] == "string_type" and isinstance(error["input"], int | float | date):
        hint = "put it in quotes to make it text"
    expected = schema.expected(found.path) or error["msg"]
    return document.problem(path, f"expected {expected}, found {shown(error['input'])}", hint)


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """What to try instead of `word`: the nearest of `known`, else all of them, called `otherwise`."""
    known = list(known)
    lowered = {one.lower(): one for one in reversed(known)}
    near = get_close_matches(word.lower(), lowered, 1, 0.6)
    if near:
        return f"did you mean {lowered[near[0]]!r}?"
    return f"{otherwise}: {', '.join(known)}" if otherwise and known else ""


def shown(value: Any) -> str:
    """A value as a message shows it: short, and on one line."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return f'"{safe_text(value, 60)}"'
        case list() | tuple():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return safe_text(str(value), 60)


class _Schema:
    """What a model expects at a path, in words, from its JSON Schema; made only once something is wrong."""

    def __init__(self, model: type[Model]) -> None:
        self._root = model.model_json_schema()

    def expected(self, path: Path_) -> str:
        return " or ".join(dict.fromkeys(_words(node) for node in self._at(path)))

    def values(self, path: Path_) -> list[str]:
        return [str(value) for node in self._at(path) for value in node.get("enum", ())]

    def keys(self, path: Path_) -> list[str]:
        return [key for node in self._at(path) for key in node.get("properties", ())]

    def _at(self, path: Path_) -> list[dict[str, Any]]:
        nodes = self._open(self._root)
        for key in path:
            nodes = [
                found
                for node in nodes
                for child in (_member(node, key),)
                if isinstance(child, dict)
                for found in self._open(child)
            ]
        return nodes

    def _open(self, node: dict[str, Any]) -> list[dict[str, Any]]:
        if "expected" in node:
            return [node]
        if "$ref" in node:
            return self._open(self._root["$defs"][node["$ref"].rpartition("/")[2]])
        for union in ("anyOf", "oneOf"):
            if union in node:
                return [found for part in node[union] for found in self._open(part)]
        return [node]


def _member(node: dict[str, Any], key: Key) -> Any:
    if isinstance(key, str) and key in node.get("properties", {}):
        return node["properties"][key]
    if node.get("type") == "array":
        return node.get("items") if isinstance(key, int) else None
    return next(iter(node.get("patternProperties", {}).values()), node.get("additionalProperties"))


def _words(node: dict[str, Any]) -> str:
    """A JSON Schema node in words. A field may bring its own: json_schema_extra={"expected": "..."}."""
    if "expected" in node:
        return str(node["expected"])
    if "const" in node:
        return shown(node["const"])
    if "enum" in node:
        return "one of " + ", ".join(str(value) for value in node["enum"])
    match node.get("type"):
        case "integer" | "number" as kind:
            return ("a whole number" if kind == "integer" else "a number") + _range(node)
        case "string":
            return _text(node)
        case "boolean":
            return "true or false"
        case "array":
            return "a list"
        case "object":
            keys = node.get("properties", {})
            return f"a mapping with {', '.join(keys)}" if 0 < len(keys) <= 6 else "a mapping (key: value)"
        case "null":
            return "nothing"
        case _:
            return "a value"


def _range(node: dict[str, Any]) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    return f" of {low} or more" if low is not None else f" up to {high}" if high is not None else ""


def _text(node: dict[str, Any]) -> str:
    if node.get("format") == "date":
        return "a date such as 2026-11-30"
    if "pattern" in node:
        return f"text like {node['pattern']}"
    return "text that is not empty" if node.get("minLength") else "text"
