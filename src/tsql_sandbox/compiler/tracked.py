"""The tables of Change Tracking in DuckDB, and the questions about them as SQL.

Microsoft's pages: "CHANGETABLE", "CHANGE_TRACKING_CURRENT_VERSION". `engine.tracking` writes the tables.
"""

from __future__ import annotations

from ..catalog.database import Database
from ..catalog.model import Column, Table
from ..errors import SqlError
from ..tsql import nodes as n
from ..values import sqltypes as st
from .casts import Ex
from .context import Compiling
from .scope import Scope


def commits_of(database_id: int) -> str:
    """The table of a database's committed transactions and their versions."""
    return f'"db{database_id}".main."ct_commits"'


def side_of(table: Table) -> str:
    """The table of changed rows of a tracked table."""
    return f'"db{table.database_id}".main."ct{table.object_id}"'


def key_columns(table: Table) -> list[str]:
    """Physical names of the columns of the primary key."""
    key = table.primary_key
    return [] if key is None else [table.by_id(column_id).physical for column_id, _ in key.columns]


def current_version(database: Database) -> str | None:
    """CHANGE_TRACKING_CURRENT_VERSION as SQL, None where tracking is off: the version of the last committed transaction
    that the statement's snapshot sees."""
    if database.tracking is None:
        return None
    return f"(SELECT coalesce(max(version), 0) FROM {commits_of(database.database_id)})"


def changes(table: Table, same: str, since: str) -> str:
    """CHANGETABLE(CHANGES ...) as SQL, with the columns version, created, op, cols, context and the key's.

    `same` are the forms by which the key's columns compare, of the relation `e`. What a row's change is called depends
    on the baseline: the row was there then if the first thing done to it since is an update or a delete. A row that
    came and went since is a delete.
    """
    last = "(version, seq)"
    picked = ", ".join(f"arg_max({name}, {last}) AS {name}" for name in key_columns(table))
    commits = commits_of(table.database_id)
    return (
        "SELECT max(version) AS version, max(version) FILTER (WHERE op = 'I') AS created, "
        f"CASE WHEN arg_max(op, {last}) = 'D' THEN 'D' WHEN arg_min(op, {last}) = 'I' THEN 'I' ELSE 'U' END AS op, "
        "CASE WHEN bool_and(op = 'U' AND cols IS NOT NULL) THEN column_mask(string_agg(cols, ',')) END AS cols, "
        f"arg_max_null(context, {last}) AS context, {picked} "
        f"FROM (SELECT s.*, c.version FROM {side_of(table)} s JOIN {commits} c ON c.xdes = s.xdes "
        f"WHERE c.version > coalesce({since}, -1)) e GROUP BY {same}"
    )


def latest(table: Table, same: str) -> str:
    """The last change of each row that has one, for CHANGETABLE(VERSION ...): version, context and the key."""
    last = "(version, seq)"
    picked = ", ".join(f"arg_max({name}, {last}) AS {name}" for name in key_columns(table))
    commits = commits_of(table.database_id)
    return (
        f"SELECT max(version) AS version, arg_max_null(context, {last}) AS context, {picked} "
        f"FROM (SELECT s.*, c.version FROM {side_of(table)} s JOIN {commits} c ON c.xdes = s.xdes) e GROUP BY {same}"
    )


def row_version(
    compiler: Compiling, source: n.ChangeTable, table: Table, keys: list[Column], same: str, outer: Scope
) -> str:
    """CHANGETABLE(VERSION ...): one row for a key that is there, its version NULL when nothing is known of it."""
    if len(source.key) != len(source.values):
        raise SqlError(22103, "The arguments supplied are not valid for the VERSION option of CHANGETABLE.")
    named = [table.column(name) for name in source.key]
    for column in named:
        if column not in keys:
            message = f"The column '{column.name}' specified in the CHANGETABLE(VERSION ...) function is not part of"
            raise SqlError(22111, f"{message} the primary key for table '{table.name}'.")
    if len(named) != len(keys):
        message = "The number of columns specified in the CHANGETABLE(VERSION ...) function does not match the number"
        raise SqlError(22110, f"{message} of primary key columns for table '{table.name}'.")
    there = " AND ".join(
        compiler.compare("=", Ex(f"r.{column.physical}", column.type, column=column), compiler.value(value, outer))
        for column, value in zip(named, source.values, strict=True)
    )
    joined = " AND ".join(
        f"{compiler.key(Ex(f'r.{c.physical}', c.type))} = {compiler.key(Ex(f'v.{c.physical}', c.type))}" for c in keys
    )
    picked = ", ".join(f"r.{column.physical}" for column in keys)
    return (
        f"SELECT v.version, v.context, {picked} FROM {table.physical} r "
        f"LEFT JOIN ({latest(table, same)}) v ON {joined} WHERE {there}"
    )


def column_mask(listed: str) -> bytes:
    """SYS_CHANGE_COLUMNS: four bytes for each column, behind four; only the functions are meant to read it."""
    numbers = sorted({int(number) for number in listed.split(",")})
    return b"\x00\x00\x00\x00" + b"".join(number.to_bytes(4, "little") for number in numbers)


RESULT: tuple[tuple[str, str, st.SqlType], ...] = (
    ("SYS_CHANGE_VERSION", "version", st.BIGINT),
    ("SYS_CHANGE_CREATION_VERSION", "created", st.BIGINT),
    ("SYS_CHANGE_OPERATION", "op", st.make("nchar", 1)),
    ("SYS_CHANGE_COLUMNS", "cols", st.make("varbinary", 4100)),
    ("SYS_CHANGE_CONTEXT", "context", st.make("varbinary", 128)),
)
"""The columns of CHANGETABLE(CHANGES ...) before those of the key."""
