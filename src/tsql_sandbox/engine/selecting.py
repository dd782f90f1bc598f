"""SELECT: sending its rows, assigning its variables, or making a table of it."""

from __future__ import annotations

from ..compiler.casts import constant
from ..errors import SqlError
from ..tsql import nodes as n
from ..values.convert import from_duckdb
from . import accumulate, dml
from .ready import slice_of
from .state import SessionState


def select(session: SessionState, query: n.Query) -> None:
    """Run a query and send its rows, or assign its variables, or make a table of it."""
    if isinstance(query, n.Select) and query.into is not None:
        session.changed_data = True
        dml.select_into(session, query)
        return
    if isinstance(query, n.Select) and any(item.variable for item in query.items):
        _select_variables(session, query)
        return
    limited = session.fmtonly or session.options.get("ROWCOUNT", "0") != "0"
    found = None if limited else slice_of(session, query)
    if found is not None:
        session.reading = (found.table.name,)
        session.row_count_value = session.sink.ready(found)
        return
    compiler = session.compiler()
    compiled = compiler.query(query, None)
    limit = 0 if session.fmtonly else int(session.options.get("ROWCOUNT") or 0) or None
    sql = compiled.sql if limit is None else f"SELECT * FROM ({compiled.sql}) q LIMIT {limit}"
    session.reading = tuple(table.name for table in compiler.tables)
    session.row_count_value = session.send(compiled, sql)


def _select_variables(session: SessionState, query: n.Select) -> None:
    if not all(item.variable for item in query.items):
        raise SqlError(141, "A SELECT statement that assigns a value to a variable must not retrieve data.", 15)
    if accumulate.applies(query):
        session.row_count_value = accumulate.run(session, query)
        return
    plain = n.Select(**{**query.__dict__, "items": tuple(n.SelectItem(item.expr) for item in query.items)})
    compiled = session.compiler().query(plain, None)
    rows = session.query_rows(compiled.sql)
    session.row_count_value = len(rows)
    if rows:
        for item, column, value in zip(query.items, compiled.columns, rows[-1], strict=True):
            session.assign(item.variable or "", constant(from_duckdb(value, column.type), column.type))
