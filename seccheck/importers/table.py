"""A table of systems, as offices keep it, into the text of a registry file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from seccheck.errors import InputError, Problem
from seccheck.hosts import (
    DEFAULT_PORTS,
    SERVICES,
    Place,
    check_address,
    check_domain,
    check_host,
    check_network,
    is_address,
    parse_url,
)
from seccheck.importers.columns import BY_FIELD, SETTINGS, Header, find_header, recognise
from seccheck.importers.sheets import Sheet, read_sheets
from seccheck.system import Authorisation, System
from seccheck.units import Unit, find_unit, load_units, plain
from seccheck.yamlfile import Document, Mistake, did_you_mean, shown, validate

DEFAULT_LIST = "vn-2025"
EXAMPLE = ("vi du", "example", "vd")
"""How the first cell of a row begins that is only an example."""

_SERVICE_OF = {port: service for service, port in DEFAULT_PORTS.items() if service != "tls"}
_YES = {"x", "co", "yes", "y", "true", "1", "dung"}
_NO = {"", "khong", "no", "n", "false", "0", "sai"}
_LEVELS = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5}


def import_table(path: Path | str) -> str:
    """The registry file (YAML text) that a CSV or XLSX table of systems makes.

    Without who authorised the review, the text says where that is to be written. Raises `InputError` with
    every mistake and its cell.
    """
    path = Path(path)
    readings = read_sheets(path)
    best = max(readings, key=_fitness)
    reader = _Reader(path.name)
    reader.read(best)
    if reader.problems:
        raise InputError(reader.problems)
    return reader.text()


def _fitness(sheets: list[Sheet]) -> int:
    """How much of a reading is understood: what tells the delimiter of a CSV file."""
    return max((len(header.columns) for sheet in sheets if (header := find_header(sheet))), default=0)


@dataclass
class _Row:
    """The cells of a row, or of several that describe one system, by field."""

    sheet: Sheet
    number: int
    cells: dict[str, tuple[str, str]]
    """Text and place (`B7`) by field."""

    def text(self, name: str) -> str:
        return self.cells.get(name, ("", ""))[0]

    def place(self, name: str) -> str:
        return self.cells.get(name, ("", ""))[1]


@dataclass
class _System:
    """One system being put together: its main row, and its targets from all its rows."""

    row: _Row
    data: dict[str, Any] = field(default_factory=dict)


class _Reader:
    """Reads the sheets of one file and collects every mistake."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[Problem] = []
        self._settings: dict[str, tuple[str, str, int]] = {}
        self._systems: list[_System] = []
        self._ids: dict[str, str] = {}
        self._units: tuple[Unit, ...] = ()
        self._unread: list[str] = []
        self._head: dict[str, Any] = {}

    def read(self, sheets: list[Sheet]) -> None:
        """Read everything: what holds for the whole review first, then the systems."""
        headers = [(sheet, find_header(sheet)) for sheet in sheets]
        for sheet, header in headers:
            self._read_settings(sheet, header.row if header else None)
        self._check_settings()
        tables = [(sheet, header) for sheet, header in headers if header]
        if not tables:
            wanted = ", ".join(BY_FIELD[name].vi for name in ("unit", "name_vi", "level", "targets"))
            message = f"expected a header row with such columns as {wanted}, found none"
            hint = "seccheck registry template writes a table to fill in"
            self.problems.append(Problem(self.name, 0, "", message, hint))
            return
        for sheet, header in tables:
            self._read_systems(sheet, header)
        if not self._systems and not self.problems:
            row = tables[0][1].row
            self.problems.append(Problem(self.name, row, "", "expected systems below the header, found none"))

    def _tell(self, row: int, place: str, mistake: Mistake | str, hint: str = "") -> None:
        hint = mistake.hint if isinstance(mistake, Mistake) else hint
        self.problems.append(Problem(self.name, row, place, str(mistake), hint))

    def _read_settings(self, sheet: Sheet, before: int | None) -> None:
        for row, cells in sorted(sheet.cells.items()):
            if before is not None and row >= before:
                break
            columns = sorted(cells)
            label, value, place = cells[columns[0]], "", columns[0]
            if len(columns) > 1:
                value, place = cells[columns[1]], columns[1]
            else:
                label, _, value = label.partition(":")
            name = recognise(label, SETTINGS)
            if name and value and name not in self._settings:
                self._settings[name] = (value.strip(), sheet.place(row, place), row)

    def _setting(self, name: str) -> str:
        return self._settings.get(name, ("", "", 0))[0]

    def _check_settings(self) -> None:
        vi, en = self._setting("registry_vi"), self._setting("registry_en")
        default = "Rà soát an toàn thông tin", "Information security review"
        self._head["name"] = {"vi": vi or en or default[0], "en": en or vi or default[1]}
        use = self._setting("unit_list").lower() or DEFAULT_LIST
        self._head["units"] = {"use": use}
        try:
            self._units = load_units(use)
        except Mistake as mistake:
            _, place, row = self._settings["unit_list"]
            self._tell(row, place, mistake)
            self._units = load_units(DEFAULT_LIST)
        if networks := self._setting("networks"):
            _, place, row = self._settings["networks"]
            self._head["networks"] = []
            for text in _split(networks):
                try:
                    self._head["networks"].append(check_network(text))
                except Mistake as mistake:
                    self._tell(row, place, mistake)
        self._check_authorisation()

    def _check_authorisation(self) -> None:
        names = ("approved_by", "document", "valid_from", "valid_until")
        if not any(self._setting(name) for name in (*names, "hours")):
            return
        data: dict[str, Any] = {"valid": {}}
        before = len(self.problems)
        for name in names:
            text = self._setting(name)
            if not text:
                label = BY_FIELD[name].heading
                self._tell(0, "", f"expected {label!r} as well, since an authorisation was begun; found none")
            elif name.startswith("valid_"):
                try:
                    data["valid"][name.removeprefix("valid_")] = _date(text)
                except Mistake as mistake:
                    _, place, row = self._settings[name]
                    self._tell(row, place, mistake)
            else:
                data[name] = " ".join(text.split())
        if hours := self._setting("hours"):
            data["hours"] = hours
        if len(self.problems) > before:
            return
        try:
            validate(Document.of(data, self.name), Authorisation)
            self._head["authorisation"] = data
        except InputError as error:
            for problem in error.problems:
                name = "valid_until" if problem.key.startswith("valid") else problem.key
                _, place, row = self._settings[name]
                self._tell(row, place, problem.message, problem.hint)

    def _read_systems(self, sheet: Sheet, header: Header) -> None:
        self._unread += [heading for heading in header.unread if heading not in self._unread]
        current: _System | None = None
        for number, cells in sorted(sheet.cells.items()):
            if number <= header.row:
                continue
            row = self._row(sheet, header, number, cells)
            if not row.cells or _is_example(row) or _is_numbering(row):
                continue
            if current and self._continues(row, current.row):
                self._add_targets(current, row)
                continue
            current = _System(row)
            self._systems.append(current)
            self._describe(current, header)
        for system in self._systems:
            if system.row.sheet is sheet:
                self._complete(system)

    def _row(self, sheet: Sheet, header: Header, number: int, cells: Mapping[int, str]) -> _Row:
        named: dict[str, tuple[str, str]] = {}
        for column, text in cells.items():
            name = header.columns.get(column)
            if not name:
                continue
            place = sheet.place(number, column)
            if re.fullmatch(r"#(REF|VALUE|NAME|N/A|DIV/0|NULL|NUM)[!?]?", text):
                self._tell(number, place, f"expected a value, found the spreadsheet's error {text}")
                named[name] = ("", place)
            elif name in named:
                named[name] = (f"{named[name][0]}\n{text}", named[name][1])
            else:
                named[name] = (text, place)
        return _Row(sheet, number, named)

    def _continues(self, row: _Row, main: _Row) -> bool:
        """Whether `row` brings only more targets of the system above: cells merged downwards, or left out."""
        if row.sheet is not main.sheet or not {"targets", "address", "port"} & row.cells.keys():
            return False
        told = {"id", "name_vi", "name_en"} & row.cells.keys()
        return not told and all(row.text(name) in {"", main.text(name)} for name in ("unit", "level"))

    def _describe(self, system: _System, header: Header) -> None:
        row, data = system.row, system.data
        vi, en = (" ".join(row.text(name).split()) for name in ("name_vi", "name_en"))
        if vi or en:
            data["name"] = {"vi": vi or en, "en": en or vi}
        else:
            self._missing(row, header, "name_vi")
        if unit := row.text("unit"):
            try:
                data["unit"] = find_unit(unit, self._units).id
            except Mistake as mistake:
                self._tell(row.number, row.place("unit"), mistake)
        else:
            self._missing(row, header, "unit")
        if level := row.text("level"):
            try:
                data["level"] = _level(level)
            except Mistake as mistake:
                self._tell(row.number, row.place("level"), mistake)
        else:
            self._missing(row, header, "level")
        for name in ("operated_by", "contact"):
            if text := row.text(name):
                data[name] = "; ".join(line.strip() for line in text.splitlines() if line.strip())
        if zone := row.text("zone"):
            data["zone"] = _slug(zone)
        if tags := row.text("tags"):
            data["tags"] = list(dict.fromkeys(_slug(tag) for tag in _split(tags)))
        self._add_domains(row, data)
        self._add_fragile(row, data)
        self._add_targets(system, row)

    def _missing(self, row: _Row, header: Header, name: str) -> None:
        if name in row.cells:
            return  # an error of the spreadsheet, told already
        column = header.column_of(name)
        heading = BY_FIELD[name].heading
        if column:
            place = row.sheet.place(row.number, column)
            self._tell(row.number, place, f"expected a value for {heading!r}, found an empty cell")
        else:
            place = row.sheet.place(header.row, 1)
            message = f"expected a column {heading!r} in the header row, found none"
            if not any(problem.message == message for problem in self.problems):
                self._tell(header.row, place, message)

    def _add_domains(self, row: _Row, data: dict[str, Any]) -> None:
        for text in _split(row.text("domains")):
            try:
                data.setdefault("domains", []).append(check_domain(text.rpartition("@")[2]))
            except Mistake as mistake:
                self._tell(row.number, row.place("domains"), mistake)

    def _add_fragile(self, row: _Row, data: dict[str, Any]) -> None:
        text = plain(row.text("fragile"))
        if text in _YES:
            data["fragile"] = True
        elif text not in _NO:
            self._tell(
                row.number, row.place("fragile"), f"expected có or không, found {shown(row.text('fragile'))}"
            )

    def _add_targets(self, system: _System, row: _Row) -> None:
        known = system.data.setdefault("targets", [])
        try:
            for target in _targets(row):
                if target not in known:
                    known.append(target)
            if ports := row.text("approved_ports"):
                numbers = sorted({_port(text) for text in _split(ports)})
                for target in known:
                    system.data.setdefault("approved_ports", {}).setdefault(target["host"], numbers)
        except _CellMistake as mistake:
            self._tell(row.number, row.place(mistake.field) or row.place("targets"), mistake.mistake)
        except Mistake as mistake:
            self._tell(row.number, row.place("approved_ports"), mistake)

    def _complete(self, system: _System) -> None:
        """Give the system its id, and check it as a whole."""
        row, data = system.row, system.data
        if not {"name", "unit", "level"} <= data.keys():
            return
        if written := row.text("id"):
            data["id"] = _slug(written)
            if data["id"] in self._ids:
                other = self._ids[data["id"]]
                message = f"expected a unique id, found {shown(written)}, which stands in {other} too"
                self._tell(row.number, row.place("id"), message)
        else:
            data["id"] = self._free_id(f"{data['unit']}-{_slug(data['name']['vi'])}"[:60].rstrip("-"))
        self._ids.setdefault(data["id"], row.place("id") or row.place("name_vi"))
        try:
            self._check_places(row, validate(Document.of(data, self.name), System))
        except InputError as error:
            for problem in error.problems:
                place = row.place(re.split(r"[.\[]", problem.key)[0]) or row.sheet.place(row.number, 1)
                self._tell(row.number, place, problem.message, problem.hint)

    def _check_places(self, row: _Row, system: System) -> None:
        """What the registry would refuse for where the targets are."""
        networks = [ip_network(text) for text in self._head.get("networks", ())]
        for address in system.addresses():
            if networks and not any(ip_address(address) in network for network in networks):
                place = row.place("address") or row.place("targets")
                where = self._settings["networks"][1]
                self._tell(
                    row.number, place, f"expected an address inside the networks of {where}, found {address}"
                )
        named = next((one for one in system.targets if not one.literal_address and not one.loopback), None)
        if system.fragile and named:
            self._tell(
                row.number,
                row.place("fragile"),
                f"expected an IP address for {named.host}, since it is fragile; found only a name",
                f"fill in the column {BY_FIELD['address'].heading!r}",
            )

    def _free_id(self, wanted: str) -> str:
        taken = {_slug(system.row.text("id")) for system in self._systems if system.row.text("id")}
        free, count = wanted, 1
        while free in self._ids or free in taken:
            count += 1
            free = f"{wanted}-{count}"
        return free

    def text(self) -> str:
        """The registry file."""
        lines = [f"# Made by `seccheck registry import` from {_comment(self.name)}."]
        if self._unread:
            lines.append(f"# Columns that were not read: {_comment(', '.join(self._unread))}.")
        lines += ["seccheck: registry/1"]
        lines += [
            f"{key}: {_flow(self._head[key])}" for key in ("name", "units", "networks") if key in self._head
        ]
        if "networks" not in self._head:
            lines += [
                "# The networks that may be touched. Without them, only the addresses written below.",
                "# networks: [203.0.113.0/24]",
            ]
        if "authorisation" in self._head:
            lines.append(f"authorisation: {_flow(self._head['authorisation'])}")
        else:
            lines += [
                "# Nothing but loopback is scanned before this says who allowed it.",
                "# authorisation:",
                '#   {approved_by: "…", document: "…", valid: {from: 2026-01-01, until: 2026-12-31}}',
            ]
        lines.append("systems:")
        for system in self._systems:
            lines += _block(system.data)
        return "\n".join(lines) + "\n"


class _CellMistake(Exception):  # noqa: N818 (like Mistake)
    """A mistake in the cell of one field."""

    def __init__(self, field: str, mistake: Mistake) -> None:
        super().__init__(str(mistake))
        self.field = field
        self.mistake = mistake


def _targets(row: _Row) -> Iterator[dict[str, Any]]:
    """The targets of a row: what is in the target cell, else the addresses."""
    entries = _split(row.text("targets"))
    addresses = [_in("address", check_address, text) for text in _split(row.text("address"))]
    services = [_in("service", _service, text) for text in _split(row.text("service"))]
    ports = [_in("port", _port, text) for text in _split(row.text("port"))]
    if not entries:
        entries, addresses = addresses, []
    places = [_in("targets", _place, text) for text in entries]
    for index, (host, service, port) in enumerate(places):
        own = ports if len(places) == 1 and len(ports) > 1 else _nth("port", ports, index, len(places))
        for nth, given in enumerate(own or [None]):
            chosen = services[nth : nth + 1] if len(own) == len(services) > 1 else None
            chosen = chosen or _nth("service", services, index, len(places))
            place = _settle(host, service, port, chosen[0] if chosen else "", given)
            target: dict[str, Any] = {"host": place.host, "port": place.port, "service": place.service}
            named = [] if is_address(host) else _nth("address", addresses, index, len(places))
            if named:
                target["address"] = named[0]
            yield target


def _in(name: str, parse: Any, text: str) -> Any:
    try:
        return parse(text)
    except Mistake as mistake:
        raise _CellMistake(name, mistake) from None


def _nth(name: str, values: list[Any], index: int, count: int) -> list[Any]:
    """What `values` says of target number `index`: the only one holds for all, else there is one for each."""
    if len(values) <= 1:
        return values
    if len(values) != count:
        raise _CellMistake(
            name, Mistake(f"expected one value, or one for each of {count} targets; found {len(values)}")
        )
    return values[index : index + 1]


def _place(text: str) -> tuple[str, str, int]:
    """Host, service and port that an entry names; what it leaves open is empty or 0."""
    if "://" in text:
        place = parse_url(text, any_path=True)
        port = place.port if re.search(r"://[^/?#]*:[0-9]+(?:[/?#]|$)", text) else 0
        return place.host, place.service, port
    bare = re.split(r"[/?#]", text, maxsplit=1)[0]
    with suppress(Mistake):
        return check_host(bare), "", 0
    place = parse_url(f"tcp://{bare}")
    return place.host, "", place.port


def _settle(host: str, service: str, port: int, cell_service: str, cell_port: int | None) -> Place:
    """The target that an entry and the cells beside it make. They may add to each other, not differ."""
    if service and cell_service and cell_service != service:
        raise _CellMistake(
            "service", Mistake(f"expected {service}, as the target says, found {shown(cell_service)}")
        )
    if port and cell_port and cell_port != port:
        raise _CellMistake("port", Mistake(f"expected {port}, as the target says, found {cell_port}"))
    port = port or cell_port or 0
    service = service or cell_service or (_SERVICE_OF.get(port, "") if port else "https")
    if not service:
        raise _CellMistake(
            "targets",
            Mistake(
                f"expected a service for port {port} of {host}, found none", hint="write https://host:port"
            ),
        )
    if not port and service not in DEFAULT_PORTS:
        raise _CellMistake("targets", Mistake(f"expected a port for {service} of {host}, found none"))
    return Place(service, host, port or DEFAULT_PORTS[service])


def _service(text: str) -> str:
    name = plain(text)
    if name not in SERVICES:
        raise Mistake(
            f"expected a known service, found {shown(text)}", hint=did_you_mean(name, SERVICES, "services")
        )
    return name


def _port(text: str) -> int:
    digits = re.fullmatch(r"(?:tcp|udp)?[ /:]*([0-9]{1,5})(?:/tcp)?", text.lower().strip(), re.ASCII)
    if digits and 1 <= int(digits[1]) <= 65535:
        return int(digits[1])
    raise Mistake(f"expected a port from 1 to 65535, found {shown(text)}")


def _level(text: str) -> int:
    found = re.fullmatch(r"(?:cap do|cap|level|muc)?\s*([1-5]|i{1,3}|iv|v)", plain(text))
    if not found:
        raise Mistake(f"expected a level from 1 to 5, found {shown(text)}")
    return _LEVELS.get(found[1]) or int(found[1])


def _date(text: str) -> date:
    """A date as offices write it: 2026-11-30, 30/11/2026, 30.11.2026, 30-11-2026."""
    with suppress(ValueError):
        if found := re.fullmatch(r"(\d{4})-(\d{1,2})-(\d{1,2})", text, re.ASCII):
            return date(int(found[1]), int(found[2]), int(found[3]))
        if found := re.fullmatch(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})", text, re.ASCII):
            return date(int(found[3]), int(found[2]), int(found[1]))
    raise Mistake(f"expected a date such as 30/11/2026, found {shown(text)}")


def _split(text: str) -> list[str]:
    """The entries of a cell, separated by line breaks, semicolons or commas."""
    return [part.strip() for part in re.split(r"[;,\n]|\s(?=\w+://)", text) if part.strip()]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9._]+", "-", _bare(text)).strip("-._") or "x"


def _bare(text: str) -> str:
    return "".join(c if c in "._-" else plain(c) or " " for c in text)


def _is_example(row: _Row) -> bool:
    return any(plain(row.text(name)).startswith(EXAMPLE) for name in ("number", "id"))


def _is_numbering(row: _Row) -> bool:
    """A row that says nothing: a number alone, or the (1) (2) (3) under the header of official forms."""
    if set(row.cells) == {"number"}:
        return True
    texts = [text.strip("() ") for text, _ in row.cells.values()]
    if len(texts) < 3 or not all(re.fullmatch("[0-9]{1,3}", text, re.ASCII) for text in texts):
        return False
    numbers = [int(text) for text in texts]
    return numbers == sorted(set(numbers)) and numbers[-1] - numbers[0] <= 2 * len(numbers)


def _comment(text: str) -> str:
    return " ".join(text.split())


def _flow(value: Any) -> str:
    """A value as one line of YAML: JSON, with dates plain."""
    match value:
        case dict():
            return "{" + ", ".join(f"{_key(key)}: {_flow(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_flow, value)) + "]"
        case date():
            return value.isoformat()
        case _:
            return json.dumps(value, ensure_ascii=False)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[a-z_]+", key) else json.dumps(key)


def _block(data: Mapping[str, Any]) -> Iterator[str]:
    yield f"  - id: {_flow(data['id'])}"
    order = ("unit", "name", "level", "tags", "zone", "targets", "approved_ports", "domains", "operated_by")
    for key in (*order, "contact", "fragile"):
        if key not in data or data[key] == []:
            continue
        if key == "targets":
            yield "    targets:"
            yield from (f"      - {_target(target)}" for target in data["targets"])
        else:
            yield f"    {key}: {_flow(data[key])}"


def _target(target: Mapping[str, Any]) -> str:
    """A target in its short form where that says all."""
    if "address" in target:
        return _flow(target)
    host = f"[{target['host']}]" if ":" in target["host"] else target["host"]
    port = "" if DEFAULT_PORTS.get(target["service"]) == target["port"] else f":{target['port']}"
    return _flow(f"{target['service']}://{host}{port}/")
