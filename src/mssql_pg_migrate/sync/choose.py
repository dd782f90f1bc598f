"""How each table is followed: the configured method, or the best that the source offers. Pure."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass

from ..config.sync import SyncConfig, SyncTable
from ..errors import ConfigError
from ..mapping.objects import MappedTable, Note
from ..source.changes import ChangeFacts, Followed, TableFacts

_DATE_TYPES = ("datetime", "smalldatetime", "datetime2", "datetimeoffset", "date")
_NUMBER_TYPES = ("tinyint", "smallint", "int", "bigint", "decimal", "numeric")
_OVERLAP_SECONDS = 300.0
_OVERLAP_NUMBERS = 1000.0
_UNKNOWN = TableFacts(tracked=False, rowversion=None, enable=None)


@dataclass(frozen=True, slots=True)
class Choice:
    """How one table is followed, and what that cannot promise."""

    followed: Followed
    notes: tuple[Note, ...] = ()


def choose(tables: Sequence[MappedTable], facts: ChangeFacts, config: SyncConfig) -> list[Choice]:
    """The method of every table, in their order.

    Raises ConfigError: a name or pattern of ``sync.tables`` fits no table, a column is not there or cannot serve, or a
    method is wanted that the table does not have.
    """
    _check_names(tables, config)
    return [_choose(table, facts, _settings(table, config), config) for table in tables]


def _check_names(tables: Sequence[MappedTable], config: SyncConfig) -> None:
    names = [table.source.name for table in tables]
    for pattern in config.tables:
        if not any(_matches(pattern, table) for table in tables):
            close = difflib.get_close_matches(pattern.rpartition(".")[2].lower(), [name.lower() for name in names], n=1)
            meant = next((name for name in names if close and name.lower() == close[0]), None)
            raise ConfigError(
                f"sync.tables.{pattern}: no selected table has this name",
                hint=f"did you mean {meant}?" if meant else "see the tables of: mssql-pg-migrate plan",
            )


def _matches(pattern: str, table: MappedTable) -> bool:
    name = table.source.full_name if "." in pattern else table.source.name
    return fnmatch.fnmatchcase(name.lower(), pattern.lower())


def _exactness(pattern: str) -> tuple[bool, bool, int]:
    """Names before patterns, with a schema before without, longer before shorter."""
    literal = not any(char in pattern for char in "*?[")
    return literal, "." in pattern, len(pattern)


def _settings(table: MappedTable, config: SyncConfig) -> SyncTable:
    fitting = [pattern for pattern in config.tables if _matches(pattern, table)]
    return config.tables[max(fitting, key=_exactness)] if fitting else SyncTable(method=config.method)


def _choose(table: MappedTable, facts: ChangeFacts, wanted: SyncTable, config: SyncConfig) -> Choice:
    found = facts.tables.get((table.source.schema, table.source.name), _UNKNOWN)
    name = table.source.full_name
    method = wanted.method
    if table.source.primary_key is None:
        return _keyless(table, wanted)
    if method == "auto":
        method = "change_tracking" if found.tracked else "rowversion" if found.rowversion else "compare"
    if method == "change_tracking":
        if not found.tracked:
            raise ConfigError(
                f"table {name}: sync.method is change_tracking, but it is not on for this table"
                + (f": {found.why_not}" if found.why_not else ""),
                hint=found.enable or "use another method for it (sync.tables)",
            )
        return Choice(Followed(table, "change_tracking"))
    if method == "rowversion" and not facts.rowversions:
        text = (
            "cannot be followed by rowversion: the server does not know MIN_ACTIVE_ROWVERSION(), so nobody can say"
            " which rows are committed; its contents are compared instead"
        )
        return Choice(Followed(table, "compare"), (_note(name, text),))
    if method == "rowversion":
        column = wanted.column or found.rowversion
        if column is None:
            raise ConfigError(
                f"table {name}: sync.method is rowversion, but it has no rowversion column",
                hint="use another method for it (sync.tables)",
            )
        if table.source.column(_column(table, column)).type.name != "timestamp":
            raise ConfigError(f"table {name}: column {column} is not a rowversion", hint="use method: watermark")
        return Choice(Followed(table, "rowversion", _column(table, column)), _deletes(name, "rowversion", config))
    if method == "watermark":
        return _watermark(table, wanted, config)
    return Choice(
        Followed(table, "compare"), (_note(name, "is followed by comparing its contents: every pass reads it"),)
    )


def _keyless(table: MappedTable, wanted: SyncTable) -> Choice:
    name = table.source.full_name
    if wanted.method not in ("auto", "compare"):
        raise ConfigError(
            f"table {name} has no primary key: {wanted.method} cannot tell its rows apart",
            hint="leave it out (migration.exclude_tables), or give the source table a primary key",
        )
    raise ConfigError(
        f"table {name} has no primary key: a sync cannot tell its rows apart",
        hint="leave it out (migration.exclude_tables), or give the source table a primary key",
    )


def _watermark(table: MappedTable, wanted: SyncTable, config: SyncConfig) -> Choice:
    assert wanted.column is not None
    name = table.source.full_name
    column = table.source.column(_column(table, wanted.column))
    kind = column.type.name
    if kind not in _DATE_TYPES and kind not in _NUMBER_TYPES:
        raise ConfigError(
            f"table {name}: column {column.name} ({column.type}) cannot be a watermark",
            hint="a watermark is a date, a time stamp or a number that grows with every change",
        )
    overlap = wanted.overlap
    if overlap is None:
        overlap = _OVERLAP_SECONDS if kind in _DATE_TYPES else _OVERLAP_NUMBERS
    notes = [
        _note(name, f"a change that does not raise {column.name}, or raises it by less than the overlap too late,"
        " is not seen by watermark; comparing contents finds it"),
    ]  # fmt: skip
    if column.nullable:
        notes.append(_note(name, f"rows whose {column.name} is NULL are not seen by watermark"))
    return Choice(Followed(table, "watermark", column.name, overlap), (*notes, *_deletes(name, "watermark", config)))


def _column(table: MappedTable, name: str) -> str:
    """The column of that name, without regard to case. Raises ConfigError."""
    names = [column.name for column in table.source.columns]
    for existing in (
        *(each for each in names if each == name),
        *(each for each in names if each.lower() == name.lower()),
    ):
        return existing
    close = difflib.get_close_matches(name.lower(), [each.lower() for each in names], n=1)
    meant = next((each for each in names if close and each.lower() == close[0]), None)
    raise ConfigError(
        f"table {table.source.full_name} has no column {name} (sync.tables)",
        hint=f"did you mean {meant}?" if meant else None,
    )


def _deletes(name: str, method: str, config: SyncConfig) -> tuple[Note, ...]:
    if config.deletes == "never":
        return (_note(name, f"deletes are not seen by {method} and stay in the target (sync.deletes: never)"),)
    return (_note(name, f"deletes are not seen by {method}; comparing contents finds them (sync.compare_every)"),)


def _note(name: str, message: str) -> Note:
    return Note("warning", name, message)
