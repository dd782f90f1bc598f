"""Table-valued functions in FROM."""

from __future__ import annotations

from ..catalog.sysrows_others import list_properties
from ..catalog.sysviews import view_columns
from ..errors import Unsupported
from ..tsql import nodes as n
from ..values import sqltypes as st
from ..values.sqltypes import SqlType
from .casts import Ex
from .session import CompilerSession


def table_function(
    session: CompilerSession, name: n.Name, arguments: list[Ex]
) -> tuple[str, list[tuple[str, str, SqlType]]]:
    """A table-valued function in FROM: SQL, and its columns as (name, SQL name, type).

    Raises:
        Unsupported: the sandbox does not have it.
    """
    short = name[-1].lower()
    if short == "string_split":
        source = ", ".join(item.sql for item in arguments[:2])
        return f"SELECT unnest(string_split({source})) AS value", [("value", "value", st.make("nvarchar", 4000))]
    if short == "generate_series":
        low, high = arguments[0].sql, arguments[1].sql
        step = arguments[2].sql if len(arguments) > 2 else "1"
        kind = arguments[0].type or st.INT
        sql = f"SELECT CAST(generate_series AS {kind.storage}) AS value FROM generate_series({low}, {high}, {step})"
        return sql, [("value", "value", kind)]
    if short == "fn_listextendedproperty":
        columns = view_columns("objtype sysname, objname sysname, name sysname, value sql_variant")
        values = [item.const if item.is_const else None for item in arguments]
        session.register_rows("sys_fn_list", columns, list_properties(session, values))
        return "SELECT * FROM sys_fn_list", [(label, f'"{label}"', kind) for label, kind in columns]
    raise Unsupported(f"the table-valued function {'.'.join(name)}")
