"""UPDATE, DELETE, TRUNCATE and SELECT ... INTO, with the constraints SQL Server would hold them to."""

from __future__ import annotations

from dataclasses import replace

from ..catalog.model import Table
from ..compiler import functions_time
from ..compiler.casts import cast
from ..compiler.queries import QueryCompiler
from ..compiler.scope import Scope, ScopeSource
from ..errors import SqlError, Unsupported
from ..tsql import nodes as n
from ..tsql import statements as sm
from . import constraints, ddl, insert, tracking
from .insert import finish, fitted, stage_query, with_computed, writable
from .state import SessionState


def run(session: SessionState, statement: sm.Statement) -> None:
    """Run a statement that changes data.

    Raises:
        SqlError: it cannot, or may not.
    """
    if isinstance(statement, sm.Change):
        session.change_context = _context(session, statement)
    if isinstance(statement, sm.Insert):
        insert.run(session, statement)
    elif isinstance(statement, sm.Update):
        _update(session, statement)
    elif isinstance(statement, sm.Delete):
        _delete(session, statement)
    elif isinstance(statement, sm.Truncate):
        _truncate(session, statement)


def _context(session: SessionState, statement: sm.Change) -> bytes | None:
    if statement.context is None:
        return None
    value, kind = session.scalar(statement.context)
    if kind is not None and (kind.name not in ("binary", "varbinary") or not 0 < kind.length <= 128):
        message = (
            'The "context" argument for the CHANGE_TRACKING_CONTEXT WITH clause must be of type varbinary data type'
        )
        raise SqlError(22109, message + " with a maximum length of 128.")
    return None if value is None else bytes(value)


# --- UPDATE and DELETE -----------------------------------------------------------------------------------------


def _target(
    session: SessionState, compiler: QueryCompiler, name: n.Name, source: n.Source | None, permission: str
) -> tuple[Table, Scope, str, ScopeSource]:
    """The table to change, the scope of the statement, its FROM and the target's place in it."""
    scope = Scope()
    if source is None:
        table = writable(session, name, permission)
        text = compiler.table_source(table, None, name, scope)
        return table, scope, text, scope.sources[0]
    _materialise_sources(session, source)
    text = compiler.source(source, scope)
    matches = [s for s in scope.sources if s.table is not None and s.matches(name[-1:])]
    if not matches:
        table = writable(session, name, permission)
        matches = [s for s in scope.sources if s.table is table]
    if not matches or matches[0].table is None:
        raise SqlError(208, f"Invalid object name '{'.'.join(name)}'.")
    session.require(permission, matches[0].table)
    return matches[0].table, scope, text, matches[0]


def _materialise_sources(session: SessionState, source: n.Source) -> None:
    if isinstance(source, n.JoinSource):
        _materialise_sources(session, source.left)
        _materialise_sources(session, source.right)
    elif isinstance(source, n.TableSource):
        item = session.find_object(source.name)
        if isinstance(item, Table) and item.ready is not None:
            item.ready.materialise()
            item.ready = None


def _update(session: SessionState, statement: sm.Update) -> None:
    compiler = session.compiler()
    table, scope, source, place = _target(session, compiler, statement.table, statement.source, "UPDATE")
    table.key_sets.clear()
    assigned: dict[int, str] = {}
    refused = session.refused("UPDATE", table)
    for name, expr in statement.assignments:
        if name.startswith("@"):
            raise Unsupported("variables in UPDATE")
        column = table.column(name)
        if column.column_id in refused:
            raise refused[column.column_id]
        if column.identity is not None:
            raise SqlError(8102, f"Cannot update identity column '{column.name}'.")
        if column.computed or column.type.name == "timestamp":
            raise SqlError(271, f'The column "{column.name}" cannot be modified because it is a computed column.')
        if isinstance(expr, n.Default):
            expr = column.filling.expr if column.filling else n.Literal(None, None)
        value = compiler.value(expr, scope)
        assigned[column.column_id] = fitted(value, column)
    where = "" if statement.where is None else f" WHERE {compiler.predicate(statement.where, scope)}"
    limit = "" if statement.top is None else f" LIMIT {session.scalar(statement.top)[0]}"
    cells = [f"{place.alias}.rowid AS rn"]
    for column in table.columns:
        if column.computed:
            continue
        value_sql = assigned.get(column.column_id, f"{place.alias}.{column.physical}")
        if column.type.name == "timestamp":
            value_sql = "NULL::BLOB"
        if column.generated_always == 1:
            value_sql = cast(functions_time.now("datetime2", True), column.type).sql
        cells.append(f"{value_sql} AS {column.physical}")
    inner = f"SELECT DISTINCT ON (rn) * FROM (SELECT {', '.join(cells)} FROM {source}{where}{limit})"
    final = f"final_{session.spid}"
    session.execute_sql(f"CREATE OR REPLACE TEMP TABLE {final} AS {with_computed(compiler, table, inner)}")
    (count,) = session.query_rows(f"SELECT count(*) FROM {final}")[0]
    if count:
        _stamp(session, table, final, int(count))
        constraints.check_rows(session, table, final, replacing=True, changed=set(assigned))
        _keep_history(session, table, f"SELECT rn FROM {final}")
        changed = [
            c
            for c in table.columns
            if c.computed or c.column_id in assigned or c.type.name == "timestamp" or c.generated_always == 1
        ]
        pairs = ", ".join(f"{column.physical} = f.{column.physical}" for column in changed)
        tracking.updated(session, table, final, set(assigned), _same_key(compiler, table, set(assigned)))
        session.execute_sql(f"UPDATE {table.physical} SET {pairs} FROM {final} f WHERE {_bare(table)}.rowid = f.rn")
    finish(session, int(count), "UPDATE")


def _stamp(session: SessionState, table: Table, final: str, count: int) -> None:
    """New rowversions for the rows of an UPDATE."""
    stamp = next((column for column in table.columns if column.type.name == "timestamp"), None)
    if stamp is not None:
        first = session.server.take_rowversions(session, session.database, count)
        numbered = f"SELECT rn, row_number() OVER () - 1 AS k FROM {final}"
        value = f"unhex(lpad(hex({first} + n.k), 16, '0'))"
        session.execute_sql(
            f"UPDATE {final} SET {stamp.physical} = {value} FROM ({numbered}) n WHERE {final}.rn = n.rn"
        )


def _same_key(compiler: QueryCompiler, table: Table, assigned: set[int]) -> str:
    key = table.primary_key
    columns = [] if key is None else [table.by_id(column_id) for column_id, _ in key.columns]
    if not any(column.column_id in assigned for column in columns):
        return ""
    pairs = [
        (constraints.key_sql(compiler, column, "o"), constraints.key_sql(compiler, column, "f")) for column in columns
    ]
    return " AND ".join(f"{old} = {new}" for old, new in pairs)


def _bare(table: Table) -> str:
    return f'"t{table.object_id}"'


def _keep_history(session: SessionState, table: Table, rowids: str) -> None:
    """Old rows of a temporal table go to its history, ended now."""
    if table.temporal_type != 2 or table.period is None:
        return
    history = session.database.objects.get(table.history_id)
    if not isinstance(history, Table):
        return
    end = table.period[1]
    moment = cast(functions_time.now("datetime2", True), table.by_id(end).type).sql
    cells = ", ".join(moment if column.column_id == end else column.physical for column in table.columns)
    names = ", ".join(history.column(column.name).physical for column in table.columns)
    session.execute_sql(
        f"INSERT INTO {history.physical} ({names}) SELECT {cells} FROM {table.physical} WHERE rowid IN ({rowids})"
    )


def _delete(session: SessionState, statement: sm.Delete) -> None:
    compiler = session.compiler()
    table, scope, source, place = _target(session, compiler, statement.table, statement.source, "DELETE")
    table.key_sets.clear()
    where = "" if statement.where is None else f" WHERE {compiler.predicate(statement.where, scope)}"
    limit = "" if statement.top is None else f" LIMIT {session.scalar(statement.top)[0]}"
    final = f"final_{session.spid}"
    inner = f"SELECT DISTINCT {place.alias}.rowid AS rn FROM {source}{where}{limit}"
    session.execute_sql(f"CREATE OR REPLACE TEMP TABLE {final} AS {inner}")
    (count,) = session.query_rows(f"SELECT count(*) FROM {final}")[0]
    if count:
        constraints.before_delete(session, table, f"SELECT rn FROM {final}")
        _keep_history(session, table, f"SELECT rn FROM {final}")
        tracking.deleted(session, table, f"SELECT rn FROM {final}")
        session.execute_sql(f"DELETE FROM {table.physical} WHERE rowid IN (SELECT rn FROM {final})")
    finish(session, int(count), "DELETE")


def _truncate(session: SessionState, statement: sm.Truncate) -> None:
    table = writable(session, statement.table, "ALTER")
    for key in constraints.referencing(session.database, table):
        if key.parent_id != table.object_id:
            message = (
                f"Cannot truncate table '{table.name}' because it is being referenced by a FOREIGN KEY constraint."
            )
            raise SqlError(4712, message)
    session.execute_sql(f"DELETE FROM {table.physical}")
    tracking.truncated(session, table)
    table.key_sets.clear()
    if table.identity is not None and table.identity.identity is not None:
        table.identity.identity.last = None
    session.sink.done(None, "TRUNCATE")


# --- SELECT INTO -------------------------------------------------------------------------------------------


def select_into(session: SessionState, query: n.Select) -> None:
    """SELECT ... INTO: a table made from a query."""
    assert query.into is not None
    compiled = session.compiler().query(replace(query, into=None), None)
    table = ddl.table_from_columns(session, query.into, compiled.columns)
    stage, count = stage_query(session, compiled, table.columns)
    names = ", ".join(column.physical for column in table.columns)
    session.execute_sql(f"INSERT INTO {table.physical} ({names}) SELECT {names} FROM {stage} ORDER BY rn")
    finish(session, count, "SELECT")
