"""Finished runs in a database, for analysts: SQLite where nothing else is named, PostgreSQL for many users.

The schema is documented in docs/export.md. A run is written in one transaction, some systems at a time;
one that is there already is replaced, so that exporting again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from seccheck.errors import ExecutorError, InputError
from seccheck.model import moment

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, MetaData

VERSION = 1
"""Of the schema."""
_ROWS = 500
"""Systems whose rows are held at once."""


def schema() -> MetaData:
    """The tables, as docs/export.md describes them."""
    from sqlalchemy import (
        Boolean,
        Column,
        DateTime,
        ForeignKeyConstraint,
        Index,
        Integer,
        MetaData,
        String,
        Table,
        Text,
    )

    found = MetaData()

    def run() -> Column[str]:
        return Column("run", String(64), primary_key=True)

    def of(table: str, *columns: str) -> ForeignKeyConstraint:
        return ForeignKeyConstraint(
            ["run", *columns], [f"{table}.run", *(f"{table}.id" for _ in columns)], ondelete="CASCADE"
        )

    Table("schema_version", found, Column("version", Integer, primary_key=True))
    Table(
        "runs", found, run(),
        Column("started", DateTime(timezone=True), nullable=False),
        Column("finished", DateTime(timezone=True), nullable=False),
        Column("seccheck", String(64), nullable=False),
        Column("zone", String(64), nullable=False),
        Column("demonstration", Boolean, nullable=False),
        Column("name_vi", Text, nullable=False), Column("name_en", Text, nullable=False),
        Column("criteria_set", String(128), nullable=False),
        Column("criteria_version", String(64), nullable=False),
        Column("criteria_digest", String(80), nullable=False),
        Column("registry_digest", String(80), nullable=False),
        Column("profile", String(32), nullable=False), Column("selection", Text, nullable=False),
        Column("systems", Integer, nullable=False), Column("meets", Integer, nullable=False),
        Column("does_not_meet", Integer, nullable=False), Column("not_concluded", Integer, nullable=False),
        Column("unassessed", Integer, nullable=False), Column("with_waivers", Integer, nullable=False),
    )  # fmt: skip
    Table(
        "units", found, run(), Column("id", String(128), primary_key=True),
        Column("kind", String(32), nullable=False), Column("reported", Boolean, nullable=False),
        Column("name_vi", Text, nullable=False), Column("name_en", Text, nullable=False),
        of("runs"),
    )  # fmt: skip
    Table(
        "criteria", found, run(), Column("id", String(64), primary_key=True),
        Column("criteria_group", String(32), nullable=False), Column("severity", String(16), nullable=False),
        Column("counted", Boolean, nullable=False), Column("from_level", Integer, nullable=False),
        Column("statement_vi", Text, nullable=False), Column("statement_en", Text, nullable=False),
        of("runs"),
    )  # fmt: skip
    Table(
        "systems", found, run(), Column("id", String(128), primary_key=True),
        Column("unit", String(128), nullable=False), Column("level", Integer, nullable=False),
        Column("status", String(16), nullable=False), Column("zone", String(64), nullable=False),
        Column("name_vi", Text, nullable=False), Column("name_en", Text, nullable=False),
        of("units", "unit"),
    )  # fmt: skip
    Table(
        "findings", found, run(), Column("fingerprint", String(32), primary_key=True),
        Column("system", String(128), nullable=False), Column("criterion", String(64), nullable=False),
        Column("target", String(256)), Column("verdict", String(16), nullable=False),
        Column("observed_verdict", String(16), nullable=False), Column("reason", String(32)),
        Column("severity", String(16), nullable=False), Column("counted", Boolean, nullable=False),
        Column("decided_by", String(16), nullable=False), Column("waiver_ticket", Text),
        of("systems", "system"), of("criteria", "criterion"),
        Index("findings_by_criterion", "run", "criterion", "verdict"),
        Index("findings_by_system", "run", "system"),
    )  # fmt: skip
    Table(
        "evidence", found, run(), Column("fingerprint", String(32), primary_key=True),
        Column("position", Integer, primary_key=True), Column("fact", Text, nullable=False),
        Column("operator", Text, nullable=False), Column("expected", Text, nullable=False),
        Column("observed", Text, nullable=False), Column("verdict", String(16), nullable=False),
        ForeignKeyConstraint(
            ["run", "fingerprint"], ["findings.run", "findings.fingerprint"], ondelete="CASCADE"
        ),
    )  # fmt: skip
    return found


class Database:
    """A database that runs are exported to."""

    def __init__(self, url: str, password: str = "") -> None:
        """Open `url`, with the tables made where they are missing.

        Raises `InputError` for a URL that is none or carries a password, `ExecutorError` without the extra
        seccheck[sql] and for a database that cannot be reached or holds another version of the schema.
        """
        try:
            from sqlalchemy.exc import SQLAlchemyError
        except ImportError:
            raise ExecutorError(
                "writing into a database needs SQLAlchemy", next_step="pip install 'seccheck[sql]'"
            ) from None
        self._errors = SQLAlchemyError
        self.tables = schema()
        self._engine = _engine(url, password)
        self.name = self._engine.url.render_as_string(hide_password=True)
        try:
            with self._engine.begin() as connection:
                self.tables.create_all(connection)
                self._check_version(connection)
        except SQLAlchemyError as error:
            self._engine.dispose()
            raise self._failed(error) from None

    def _check_version(self, connection: Connection) -> None:
        table = self.tables.tables["schema_version"]
        known = connection.execute(table.select()).scalar()
        if known is None:
            connection.execute(table.insert(), [{"version": VERSION}])
        elif known != VERSION:
            self._engine.dispose()
            raise ExecutorError(
                f"{self.name}: holds version {known} of the schema; this seccheck writes {VERSION}",
                next_step="export into a new database",
            )

    def _failed(self, error: Exception) -> ExecutorError:
        first = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        return ExecutorError(
            f"{self.name}: {first}", next_step="check --to, the password and the rights there"
        )

    def export(self, run: Path) -> tuple[int, int]:
        """Write the finished run in a folder; how many systems and findings it has.

        Raises `InputError` when it is not finished, `ExecutorError` when the database refuses.
        """
        from seccheck.runfolder import RunFolder

        folder = RunFolder.open(run)
        if not (run / "summary.json").is_file() or not (run / "results.json").is_file():
            raise InputError.at(
                run, "expected a finished run", hint=f"finish it with: seccheck scan --resume {run}"
            )
        try:
            with self._engine.begin() as connection:
                return self._write(connection, run, folder.info.id)
        except self._errors as error:
            raise self._failed(error) from None

    def _write(self, connection: Connection, run: Path, identifier: str) -> tuple[int, int]:
        table = self.tables.tables
        runs = table["runs"]
        connection.execute(runs.delete().where(runs.c.run == identifier))
        summary = msgspec.json.decode((run / "summary.json").read_bytes())
        connection.execute(runs.insert(), [_run_row(identifier, summary)])
        units, criteria = _head_rows(run, identifier, summary)
        for name, some in (("units", units), ("criteria", criteria)):
            if some:
                connection.execute(table[name].insert(), some)
        systems = findings = 0
        results = _results(run)
        while batch := list(islice(results, _ROWS)):
            rows = _rows(batch, identifier)
            for name, some in rows.items():
                if some:
                    connection.execute(table[name].insert(), some)
            systems += len(rows["systems"])
            findings += len(rows["findings"])
        return systems, findings

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _engine(url: str, password: str) -> Engine:
    from sqlalchemy import create_engine, event
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    example = "such as sqlite:///seccheck.db or postgresql://user@host/database"
    try:
        place = make_url(url)
        if place.password:
            raise InputError.at(
                "--to",
                "expected a database without a password: everybody on this machine sees it",
                hint="give --password env:NAME or file:PATH",
            )
        if place.drivername == "postgresql":
            place = place.set(drivername="postgresql+psycopg")
        engine = create_engine(place.set(password=password) if password else place)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError):
        raise InputError.at("--to", f"expected a database {example}") from None
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _strict(connection: Any, _record: Any) -> None:
            connection.execute("PRAGMA foreign_keys = ON")

    return engine


def _run_row(identifier: str, summary: dict[str, Any]) -> dict[str, Any]:
    scan, tally = summary["scan"], summary["tally"]["systems"]
    criteria, selection, registry = scan["criteria"], scan["selection"], scan["registry"]
    return {
        "run": identifier,
        "started": _when(scan["started"]),
        "finished": _when(scan["finished"]),
        "seccheck": scan["seccheck"],
        "zone": scan["zone"],
        "demonstration": scan["demonstration"],
        "name_vi": registry["name"]["vi"],
        "name_en": registry["name"]["en"],
        "criteria_set": criteria["set"],
        "criteria_version": criteria["version"],
        "criteria_digest": criteria["digest"],
        "registry_digest": registry["digest"],
        "profile": criteria["profile"],
        "selection": selection["select"],
        "systems": tally["reported"],
        **{
            name: tally.get(name, tally.get(name.replace("_", "-"), 0))
            for name in ("meets", "does_not_meet", "not_concluded", "unassessed", "with_waivers")
        },
    }


def _when(text: str) -> datetime:
    return moment(text)


def _head_rows(
    run: Path, identifier: str, summary: dict[str, Any]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from seccheck.reports.run import RunFolder

    source = RunFolder(run)
    reporting = set(summary["tally"]["by_unit"])
    units = [
        {
            "run": identifier,
            "id": one.id,
            "kind": one.kind,
            "reported": one.id in reporting,
            "name_vi": one.name.vi,
            "name_en": one.name.en,
        }
        for one in source.registry.units
    ]
    criteria = [
        {
            "run": identifier,
            "id": one.id,
            "criteria_group": one.group,
            "severity": one.severity,
            "counted": not one.advised,
            "from_level": one.from_level,
            "statement_vi": one.statement.vi,
            "statement_en": one.statement.en,
        }
        for one in source.criteria.criteria
    ]
    return units, criteria


def _results(run: Path) -> Iterator[tuple[Any, Any]]:
    """Each system's result, with the system as it was registered."""
    from seccheck.lines import Lines
    from seccheck.reports.run import SystemEntry
    from seccheck.score import SystemResult

    registered = Lines(run / "inputs/registry.json", "systems", msgspec.json.Decoder(SystemEntry).decode)
    places = {name: (offset, size) for name, offset, size in registered.ids()}
    results = Lines(run / "results.json", "systems", msgspec.json.Decoder(SystemResult).decode)
    for result in results:
        yield result, registered.at(*places[result.id])


def _rows(batch: list[tuple[Any, Any]], run: str) -> dict[str, list[dict[str, Any]]]:
    systems, findings, evidence = [], [], []
    for result, entry in batch:
        systems.append(
            {
                "run": run,
                "id": result.id,
                "unit": result.unit,
                "level": result.level,
                "status": result.status.value,
                "zone": entry.zone or "",
                "name_vi": entry.name.vi,
                "name_en": entry.name.en,
            }
        )
        for one in result.findings:
            findings.append(
                {
                    "run": run,
                    "fingerprint": one.fingerprint,
                    "system": result.id,
                    "criterion": one.criterion,
                    "target": one.target,
                    "verdict": one.verdict.value,
                    "observed_verdict": one.observed_verdict.value,
                    "reason": one.reason.value if one.reason else None,
                    "severity": one.severity,
                    "counted": one.counted,
                    "decided_by": one.decided_by,
                    "waiver_ticket": one.waiver.ticket if one.waiver else None,
                }
            )
            evidence += [
                {
                    "run": run,
                    "fingerprint": one.fingerprint,
                    "position": position,
                    "fact": row.fact,
                    "operator": row.operator,
                    "expected": row.expected,
                    "observed": row.observed,
                    "verdict": row.verdict.value,
                }
                for position, row in enumerate(one.evidence)
            ]
    return {"systems": systems, "findings": findings, "evidence": evidence}
