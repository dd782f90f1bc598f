"""INSERT of rows whose values are all known: nothing is staged, and keys are compared in Python.

That is the INSERT of scripts, thousands of which a database's script may hold.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from mssql_pg_migrate.tds.collations import DEFAULT_NAME, Collation
from mssql_pg_migrate.tds.times import MAX_DAYS, TICKS_PER_DAY

from ..catalog.model import Column, Index, Table
from ..compiler import functions_time
from ..compiler.casts import Ex, cast, literal
from ..compiler.functions import new_guid
from ..compiler.queries import QueryCompiler
from ..compiler.scope import Scope
from ..errors import SqlError
from ..tsql import nodes as n
from ..values import sqltypes as st
from ..values.arrow import arrow_type
from ..values.convert import convert, from_duckdb, to_duckdb
from . import constraints, tracking
from .state import SessionState

END_OF_TIME = (MAX_DAYS + 1) * TICKS_PER_DAY - 1
"""The end of a period that has not ended, in ticks."""
_INLINE_ROWS = 20
"""Up to so many rows go to DuckDB as text, more as an Arrow table."""
_NEW_GUID = frozenset(("NEWID", "NEWSEQUENTIALID"))


# --- values ----------------------------------------------------------------------------------------------------


def stored(ex: Ex, column: Column, table: Table) -> Any:
    """A constant as a column stores it.

    Raises:
        SqlError: 2628 it is too long, or it does not convert.
    """
    value = ex.const
    if value is None:
        return None
    kind = column.type
    assert ex.type is not None
    converted = convert(value, ex.type, kind)
    if kind.length <= 0:
        return converted
    if kind.name in ("char", "varchar", "nchar", "nvarchar") and ex.type.name in st.TEXTUAL:
        open_end = st.SqlType("nvarchar" if kind.name[0] == "n" else "varchar", -1, collation=kind.collation)
        whole = convert(value, ex.type, open_end)
        if whole.rstrip(" ") != converted.rstrip(" "):
            raise truncated(table, column, str(whole))
    elif kind.name in ("binary", "varbinary") and ex.type.name in st.BINARY and len(value) > kind.length:
        raise truncated(table, column, "0x" + value.hex())
    return converted


def truncated(table: Table, column: Column, value: str) -> SqlError:
    """Error 2628."""
    return SqlError(
        2628,
        f"String or binary data would be truncated in table '{table.name}', column '{column.name}'. "
        f"Truncated value: '{value[:100]}'.",
    )


def _default_values(session: SessionState, compiler: QueryCompiler, table: Table, column: Column, count: int) -> Any:
    """Values for a column that an INSERT does not name, or None when only DuckDB can tell."""
    kind = column.type
    if column.identity is not None:
        identity = column.identity
        first = identity.draw(count)
        session.last_identity = identity.last
        values = [first + identity.increment * k for k in range(count)]
        return values if kind.name in st.INTEGERS else [convert(v, st.make("decimal", 38, 0), kind) for v in values]
    if kind.name == "timestamp":
        start = session.server.take_rowversions(session, session.database, count)
        return [(start + k).to_bytes(8, "big") for k in range(count)]
    if column.generated_always == 1:
        return [cast(functions_time.now("datetime2", True), kind).const] * count
    if column.generated_always == 2:
        unit = 10 ** (7 - kind.scale)
        return [END_OF_TIME // unit * unit] * count
    if column.filling is None:
        return [None] * count
    expr = column.filling.expr
    if isinstance(expr, n.NextValue):
        return [cast(session.next_value(expr.sequence), kind).const for _ in range(count)]
    if isinstance(expr, n.Call) and expr.name in _NEW_GUID and kind.name == "uniqueidentifier":
        return [new_guid() for _ in range(count)]
    ex = compiler.value(expr, Scope())
    return [stored(ex, column, table)] * count if ex.is_const else None


# --- keys ------------------------------------------------------------------------------------------------------


def _key_part(value: Any, kind: st.SqlType) -> Any:
    """A value in the form in which keys compare; the same as `ExprCompiler.key` makes in DuckDB."""
    if kind.name in st.TEXTUAL and value is not None:
        trimmed = value.rstrip(" ")
        collation = Collation.from_name(kind.collation or DEFAULT_NAME)
        return trimmed if collation.is_binary or not collation.ignore_case else trimmed.lower()
    if kind.name == "datetimeoffset" and value is not None:
        return value[0]
    return value


def _compares_in_python(table: Table, index: Index) -> bool:
    kinds = [table.by_id(column_id).type for column_id, _ in index.columns]
    accents = any(
        kind.name in st.TEXTUAL and Collation.from_name(kind.collation or DEFAULT_NAME).ignore_accent for kind in kinds
    )
    return index.filter_expr is None and not accents and not any(kind.name in st.FLOATS for kind in kinds)


def _known_keys(session: SessionState, table: Table, index: Index) -> set[tuple[Any, ...]]:
    """The keys an index has, kept between INSERTs of this kind; every other change of the table forgets them."""
    found = table.key_sets.get(index.index_id)
    if found is None:
        columns = [table.by_id(column_id) for column_id, _ in index.columns]
        names = ", ".join(column.physical for column in columns)
        rows = session.query_rows(f"SELECT {names} FROM {table.physical}")
        found = {
            tuple(_key_part(from_duckdb(v, c.type), c.type) for v, c in zip(row, columns, strict=True)) for row in rows
        }
        table.key_sets[index.index_id] = found
    return found


def _check_keys(session: SessionState, table: Table, rows: list[dict[int, Any]]) -> list[tuple[set[Any], set[Any]]]:
    """Compare the new rows' keys; pairs of an index's keys and those to be added to them.

    Raises:
        SqlError: 2627 or 2601, a key is there already.
    """
    fresh: list[tuple[set[Any], set[Any]]] = []
    for index in table.indexes:
        if not index.unique or index.disabled or not index.columns:
            continue
        known = _known_keys(session, table, index)
        added: set[Any] = set()
        columns = [(column_id, table.by_id(column_id).type) for column_id, _ in index.columns]
        for row in rows:
            key = tuple(_key_part(row[column_id], kind) for column_id, kind in columns)
            if key in known or key in added:
                raise constraints.duplicate(session, table, index, tuple(row[column_id] for column_id, _ in columns))
            added.add(key)
        fresh.append((known, added))
    return fresh


# --- the statement ---------------------------------------------------------------------------------------------


def suits(table: Table) -> bool:
    """Whether rows of a table can be completed and checked here."""
    if any(c.computed or c.graph_type is not None or c.column_set for c in table.columns):
        return False
    unique = [index for index in table.indexes if index.unique and not index.disabled and index.columns]
    return all(_compares_in_python(table, index) for index in unique)


def insert(
    session: SessionState, compiler: QueryCompiler, table: Table, columns: list[Column], given: list[list[Any]]
) -> bool:
    """Insert rows of known values; False (and nothing done) when a default needs DuckDB.

    Raises:
        SqlError: a constraint is violated.
    """
    by_column: dict[int, Any] = {}
    named = {column.column_id: position for position, column in enumerate(columns)}
    for column in table.columns:
        position = named.get(column.column_id)
        if position is not None:
            by_column[column.column_id] = [row[position] for row in given]
            continue
        values = _default_values(session, compiler, table, column, len(given))
        if values is None:
            return False
        by_column[column.column_id] = values
    for column in table.columns:
        if not column.nullable and None in by_column[column.column_id]:
            raise constraints.null_refused(session, table, column)
    rows = [dict(zip(by_column, values, strict=True)) for values in zip(*by_column.values(), strict=True)]
    fresh = _check_keys(session, table, rows)
    relation = _relation(session, table, by_column, len(rows))
    constraints.check_conditions(session, table, relation)
    names = ", ".join(column.physical for column in table.columns)
    session.execute_sql(f"INSERT INTO {table.physical} ({names}) SELECT {names} FROM {relation}")
    tracking.inserted(session, table, relation)
    for known, added in fresh:
        known |= added
    _note_identity(session, table, named, by_column)
    return True


def _relation(session: SessionState, table: Table, by_column: dict[int, Any], count: int) -> str:
    if count > _INLINE_ROWS:
        return register(session, table.columns, by_column, count)
    lines = []
    for k in range(count):
        cells = ", ".join(literal(by_column[column.column_id][k], column.type) for column in table.columns)
        lines.append(f"({cells})")
    names = ", ".join(column.physical for column in table.columns)
    return f"(SELECT * FROM (VALUES {', '.join(lines)}) AS v({names}))"


def register(session: SessionState, columns: list[Column], by_column: dict[int, Any], count: int) -> str:
    """Rows as a relation of this session, numbered from 1 in `rn`; its name."""
    arrays = [pa.array(range(1, count + 1), pa.int64())]
    for column in columns:
        kind = column.type
        values = by_column[column.column_id]
        letter = "s" if kind.name in st.TEXTUAL else "o" if kind.name == "datetimeoffset" else ""
        if letter:
            values = [to_duckdb(value, letter) for value in values]
        arrays.append(pa.array(values, arrow_type(kind)))
    names = ["rn", *(column.physical for column in columns)]
    session.connection.register(f"rows_{session.spid}", pa.Table.from_arrays(arrays, names=names))
    return f"rows_{session.spid}"


def _note_identity(session: SessionState, table: Table, named: dict[int, int], by_column: dict[int, Any]) -> None:
    column = table.identity
    if column is None or column.identity is None or column.column_id not in named:
        return
    values = [int(value) for value in by_column[column.column_id] if value is not None]
    note_identity(session, column, values)


def note_identity(session: SessionState, column: Column, values: list[int]) -> None:
    """After explicit identity values the next one goes on from the largest (the smallest when they count down)."""
    identity = column.identity
    if identity is None or not values:
        return
    value = max(values) if identity.increment > 0 else min(values)
    session.last_identity = value
    if identity.last is None or (value - identity.last) * identity.increment > 0:
        identity.last = value
