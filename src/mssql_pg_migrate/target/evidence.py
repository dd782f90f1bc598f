"""What stands in the way of a constraint: a few rows or keys, found after PostgreSQL refused it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..mapping.objects import MappedCheck, MappedForeignKey, MappedTable
from .classify import is_transient
from .ddl import qualified, quote_ident, relation

if TYPE_CHECKING:
    import psycopg

SAMPLES = 5
_TIMEOUT = "30s"
_MAX_TEXT = 60


def orphans(connection: psycopg.Connection[Any], table: MappedTable, key: MappedForeignKey) -> tuple[str, ...]:
    """Distinct values of a foreign key's columns that the referenced table lacks: ``customer_id=7``."""
    columns = [quote_ident(name) for name in key.columns]
    matches = " AND ".join(
        f"p.{quote_ident(theirs)} = c.{ours}" for ours, theirs in zip(columns, key.referenced_columns, strict=True)
    )
    present = " AND ".join(f"c.{ours} IS NOT NULL" for ours in columns)
    values = ", ".join(f"c.{ours}" for ours in columns)
    return _sample(
        connection,
        key.columns,
        f"SELECT DISTINCT {values} FROM {relation(table)} AS c WHERE {present} AND NOT EXISTS (SELECT FROM"
        f" {qualified(key.referenced_schema, key.referenced_table)} AS p WHERE {matches}) LIMIT {SAMPLES}",
    )


def duplicates(
    connection: psycopg.Connection[Any],
    table: MappedTable,
    columns: tuple[str, ...],
    predicate: str | None,
    *,
    nulls_equal: bool,
) -> tuple[str, ...]:
    """Values that occur more than once in columns that should be unique."""
    names = ", ".join(quote_ident(name) for name in columns)
    conditions = [f"({predicate})"] if predicate else []
    if not nulls_equal:
        conditions += [f"{quote_ident(name)} IS NOT NULL" for name in columns]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return _sample(
        connection,
        columns,
        f"SELECT {names} FROM {relation(table)}{where} GROUP BY {names} HAVING count(*) > 1 LIMIT {SAMPLES}",
    )


def violations(connection: psycopg.Connection[Any], table: MappedTable, check: MappedCheck) -> tuple[str, ...]:
    """Keys of rows that break a check (whole rows where the table has no primary key)."""
    key = tuple(column.name for column in table.primary_key.columns) if table.primary_key else ()
    chosen = key or tuple(column.name for column in table.columns[:4])
    names = ", ".join(quote_ident(name) for name in chosen)
    return _sample(
        connection,
        chosen,
        f"SELECT {names} FROM {relation(table)} WHERE NOT ({check.expression_sql}) LIMIT {SAMPLES}",
    )


def _sample(connection: psycopg.Connection[Any], names: tuple[str, ...], query: str) -> tuple[str, ...]:
    """Rows of ``query`` as ``column=value`` text; none when it takes too long, may not be asked or fails on a row."""
    import psycopg

    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL statement_timeout = '{_TIMEOUT}'")
            rows = connection.execute(query.encode()).fetchall()
    except psycopg.Error as error:
        if is_transient(error):
            raise
        return ()
    return tuple(", ".join(f"{name}={_text(value)}" for name, value in zip(names, row, strict=True)) for row in rows)


def _text(value: object) -> str:
    if value is None:
        return "NULL"
    text = value.hex() if isinstance(value, (bytes, memoryview)) else str(value)
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."
