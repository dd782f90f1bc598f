"""Keys that are different in SQL Server and equal in PostgreSQL, which keeps less of some values.

Upsert tells rows apart by the primary key as the target holds it: of two rows that differ only in what is not kept,
the second would overwrite the first. Where a key has such a column, the server is asked beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...mapping.objects import MappedTable
from ...mapping.types import MappedColumn
from ..reader import OnNul
from ..source import Collision
from .catalog import CatalogSession
from .classify import describe, to_migration_error
from .dbapi import Connection
from .tsql import qualified_name, quote_name

_TEXT = ("char", "varchar", "nchar", "nvarchar")
_FINE = {
    "time": "LEFT(CONVERT(varchar(40), {c}, 121), 15)",
    "datetime2": "LEFT(CONVERT(varchar(40), {c}, 121), 26)",
    "datetimeoffset": "LEFT(CONVERT(varchar(40), SWITCHOFFSET({c}, '+00:00'), 121), 26)",
}
"""Values of scale 7 without the seventh decimal, as text (style 121 writes all decimals of a type)."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A key column as the target tells its values apart."""

    column: MappedColumn
    expression: str
    lost: str | None
    """What of it is not kept, None when all is."""
    utf16: bool = False


def key_collision(connection: Connection, table: MappedTable, on_nul: OnNul) -> Collision | None:
    """Whether rows of the table have one key in the target; None when they have not. Reads the key's columns once.

    Raises TransientError when the connection breaks.
    """
    primary = table.source.primary_key
    if primary is None:
        return None
    parts = [_part(table.mapped(column.name), on_nul) for column in primary.columns]
    lost = list(dict.fromkeys(part.lost for part in parts if part.lost is not None))
    if not lost:
        return None
    names = [f"c{number}" for number in range(len(parts))]
    inner = ", ".join(f"{part.expression} AS {name}" for part, name in zip(parts, names, strict=True))
    outer = ", ".join(f"q.{name}" for name in names)
    sql = (
        f"SELECT TOP (1) {outer}, COUNT_BIG(*) AS rows_ FROM (SELECT {inner}"
        f" FROM {qualified_name(table.source.schema, table.source.name)}) AS q"
        f" GROUP BY {outer} HAVING COUNT_BIG(*) > 1"
    )
    what = " and ".join(lost)
    try:
        rows = CatalogSession(connection).rows(sql)
    except Exception as error:
        found = describe(error)
        if found.transient:
            raise to_migration_error(error, table=table.source.full_name) from error
        return Collision(
            f"keys that differ only in {what} would become one row; looking for them failed: {found}", False
        )
    if not rows:
        return None
    *values, count = rows[0]
    key = ", ".join(_shown(values, parts))
    return Collision(
        f"{count} rows have primary keys that differ only in {what}: they would become one row in the target ({key});"
        " correct the keys in the source, or exclude the table",
        True,
    )


def _part(column: MappedColumn, on_nul: OnNul) -> _Part:
    kind, quoted = column.source.type, quote_name(column.source.name)
    if kind.name in _FINE and kind.scale == 7:
        return _Part(column, _FINE[kind.name].format(c=quoted), "the seventh decimal of seconds")
    if kind.name == "sql_variant":
        return _Part(column, column.driver_select.format(c=quoted), "the base type of a sql_variant")
    # As short as declared: the server reserves memory for the grouping by it.
    length = kind.char_length if 0 < kind.char_length < 4000 else 4000
    text = f"CAST({quoted} AS nvarchar({length}))"
    if kind.name in _TEXT and "citext" in column.pg_type and "CI" not in (kind.collation or "").upper().split("_"):
        return _Part(column, f"CAST(LOWER({text}) AS varbinary({2 * length}))", "the case of letters", utf16=True)
    if kind.name in _TEXT and "citext" not in column.pg_type and column.collation_sql is None:
        # The target compares bytes: letters that the source's collation holds for equal must not fall together here.
        if on_nul == "strip":
            text = f"REPLACE({text} COLLATE Latin1_General_BIN2, NCHAR(0), N'')"
        lost = "the characters U+0000 that on_nul: strip leaves out" if on_nul == "strip" else None
        return _Part(column, f"CAST({text} AS varbinary({2 * length}))", lost, utf16=True)
    return _Part(column, quoted, None)


def _shown(values: list[Any], parts: list[_Part]) -> Iterator[str]:
    for value, part in zip(values, parts, strict=True):
        if part.utf16:
            value = bytes(value).decode("utf-16-le", "replace")
        elif isinstance(value, (bytes, bytearray)):
            value = f"0x{bytes(value).hex().upper()}"
        yield f"{part.column.source.name}={value}"
