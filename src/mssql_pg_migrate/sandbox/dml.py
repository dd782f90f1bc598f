"""INSERT, UPDATE, DELETE, TRUNCATE and SELECT ... INTO, with the constraints SQL Server would hold them to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..tds.times import MAX_DAYS, TICKS_PER_DAY
from . import constraints, ddl, functions_time
from . import nodes as n
from . import sqltypes as st
from .casts import Ex, cast, constant, literal, to_duckdb
from .catalog import Column, SchemaObject, Table
from .compile_query import CompiledQuery, OutputColumn, QueryCompiler
from .convert import convert
from .errors import SqlError, Unsupported
from .results import Collector
from .scope import Scope, ScopeColumn, ScopeSource

if TYPE_CHECKING:
    from .session import Session

_END_OF_TIME = (MAX_DAYS + 1) * TICKS_PER_DAY - 1


def run(session: Session, statement: n.Statement) -> None:
    """Run a statement that changes data.

    Raises:
        SqlError: it cannot, or may not.
    """
    if isinstance(statement, n.Insert):
        _insert(session, statement)
    elif isinstance(statement, n.Update):
        _update(session, statement)
    elif isinstance(statement, n.Delete):
        _delete(session, statement)
    elif isinstance(statement, n.Truncate):
        _truncate(session, statement)


def _finish(session: Session, count: int, command: str) -> None:
    session.row_count_value = count
    session.sink.done(None if session.nocount else count, command)


def writable(session: Session, name: n.Name, permission: str) -> Table:
    """A table that is about to change; a generated one becomes an ordinary one.

    Raises:
        SqlError: 208 there is none, 229 it may not be changed.
    """
    item: SchemaObject | None = session.find_object(name)
    if item is not None and item.kind == "V":
        raise Unsupported("changing data through a view")
    table = session.table(name)
    session.require(permission, table)
    if table.ready is not None:
        table.ready.materialise()
        table.ready = None
    return table


# --- INSERT ----------------------------------------------------------------------------------------------------


def _insert(session: Session, statement: n.Insert) -> None:
    table = writable(session, statement.table, "INSERT")
    columns = _target_columns(session, table, statement)
    compiler = session.compiler()
    if statement.procedure is not None:
        stage, count = _stage_procedure(session, statement.procedure, columns)
    elif statement.source is None:
        stage, count = _stage_rows(session, [], [[]])
    elif isinstance(statement.source, n.ValuesQuery):
        stage, count = _stage_values(session, compiler, table, statement.source, columns)
    else:
        compiled = compiler.query(statement.source, None)
        stage, count = _stage_query(session, compiled, columns)
    if count:
        _insert_staged(session, compiler, table, columns, stage, count)
        _output(session, table, statement)
    _finish(session, count, "INSERT")


def _target_columns(session: Session, table: Table, statement: n.Insert) -> list[Column]:
    explicit_identity = session.identity_insert == table.object_id
    if statement.columns:
        columns = [table.column(name) for name in statement.columns]
        if len({column.column_id for column in columns}) < len(columns):
            raise SqlError(264, "A column name is specified more than once in the column list of an INSERT.")
    else:
        columns = [c for c in table.columns if _insertable(c) and (c.identity is None or explicit_identity)]
        if statement.source is None and statement.procedure is None:
            return []
    for column in columns:
        if column.identity is not None and not explicit_identity:
            message = (
                f"Cannot insert explicit value for identity column in table '{table.name}' when IDENTITY_INSERT is set "
                "to OFF."
            )
            raise SqlError(544, message)
        if column.computed:
            message = f'The column "{column.name}" cannot be modified because it is a computed column.'
            raise SqlError(271, message)
        if column.type.name == "timestamp":
            raise SqlError(273, "Cannot insert an explicit value into a timestamp column.")
        if column.generated_always:
            raise SqlError(
                13536, f"Cannot insert an explicit value into a GENERATED ALWAYS column in table '{table.name}'."
            )
    if explicit_identity and not statement.columns:
        message = (
            f"An explicit value for the identity column in table '{table.name}' can only be specified when a column "
            "list is used and IDENTITY_INSERT is ON."
        )
        raise SqlError(8101, message)
    return columns


def _insertable(column: Column) -> bool:
    return not (
        column.computed
        or column.type.name == "timestamp"
        or column.generated_always
        or column.graph_type is not None
        or column.column_set
    )


def _check_width(columns: list[Column], width: int) -> None:
    if width != len(columns):
        raise SqlError(213, "Column name or number of supplied values does not match table definition.")


def _stage_values(
    session: Session, compiler: QueryCompiler, table: Table, source: n.ValuesQuery, columns: list[Column]
) -> tuple[str, int]:
    rows: list[list[Any]] = []
    for row in source.rows:
        _check_width(columns, len(row))
        values: list[Any] = []
        for column, expr in zip(columns, row, strict=True):
            ex = _value(session, compiler, column, expr)
            if ex is None:
                return _stage_query(session, _values_query(compiler, source, columns), columns)
            values.append(stored(ex, column, table))
        rows.append(values)
    return _stage_rows(session, columns, rows)


def _value(session: Session, compiler: QueryCompiler, column: Column, expr: n.Expr) -> Ex | None:
    """A value that is known now, None for one only DuckDB can tell."""
    if isinstance(expr, n.Literal):
        return Ex("", expr.type, const=expr.value)
    if isinstance(expr, n.Default):
        if column.default is None:
            return Ex("", None, const=None)
        expr = column.default.expr
    ex = compiler.value(expr, Scope())
    if ex.is_const:
        return ex
    return constant(session.evaluate(ex), ex.type) if not _needs_duckdb(ex) else None


def _needs_duckdb(ex: Ex) -> bool:
    return ex.type is None or "uuid()" in ex.sql or "SELECT" in ex.sql


def _values_query(compiler: QueryCompiler, source: n.ValuesQuery, columns: list[Column]) -> CompiledQuery:
    lines: list[str] = []
    for row in source.rows:
        cells: list[str] = []
        for column, expr in zip(columns, row, strict=True):
            if isinstance(expr, n.Default):
                expr = column.default.expr if column.default is not None else n.Literal(None, None)
            cells.append(cast(compiler.value(expr, Scope()), column.type).sql)
        lines.append("(" + ", ".join(cells) + ")")
    outputs = [OutputColumn("", f"o{i}", column.type) for i, column in enumerate(columns, 1)]
    names = ", ".join(output.sql for output in outputs)
    return CompiledQuery(f"SELECT * FROM (VALUES {', '.join(lines)}) v({names})", outputs)


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
    if kind.name in ("char", "varchar", "nchar", "nvarchar") and kind.length > 0 and ex.type.name in st.TEXTUAL:
        whole = convert(
            value, ex.type, st.SqlType("nvarchar" if kind.name[0] == "n" else "varchar", -1, collation=kind.collation)
        )
        if whole.rstrip(" ") != converted.rstrip(" "):
            raise truncated(table, column, str(whole))
    elif (
        kind.name in ("binary", "varbinary")
        and kind.length > 0
        and ex.type.name in st.BINARY
        and len(value) > kind.length
    ):
        raise truncated(table, column, "")
    return converted


def truncated(table: Table, column: Column, value: str) -> SqlError:
    """Error 2628."""
    return SqlError(
        2628,
        f"String or binary data would be truncated in table '{table.name}', column '{column.name}'. "
        f"Truncated value: '{value[:100]}'.",
    )


def _stage_rows(session: Session, columns: list[Column], rows: list[list[Any]]) -> tuple[str, int]:
    """Rows of Python values as a relation, with their numbers from 1; its name and their count."""
    from .session import arrow_type

    arrays = [pa.array(range(1, len(rows) + 1), pa.int64())]
    for index, column in enumerate(columns):
        kind = column.type
        letter = "s" if kind.name in st.TEXTUAL else "o" if kind.name == "datetimeoffset" else ""
        values = [row[index] for row in rows]
        if letter:
            values = [to_duckdb(value, letter) for value in values]
        arrays.append(pa.array(values, arrow_type(kind)))
    names = ["rn", *(column.physical for column in columns)]
    session.connection.register(f"rows_{session.spid}", pa.Table.from_arrays(arrays, names=names))
    return f"rows_{session.spid}", len(rows)


def _stage_query(session: Session, compiled: CompiledQuery, columns: list[Column]) -> tuple[str, int]:
    """The rows of a query as a relation, converted to the columns and numbered; its name and their count."""
    _check_width(columns, len(compiled.columns))
    cells = []
    for column, output in zip(columns, compiled.columns, strict=True):
        cells.append(f"{_fitted(Ex(f'q.{output.sql}', output.type), column)} AS {column.physical}")
    body = ", ".join(["row_number() OVER () AS rn", *cells])
    stage = f"stage_{session.spid}"
    session.execute_sql(f"CREATE OR REPLACE TEMP TABLE {stage} AS SELECT {body} FROM ({compiled.sql}) q")
    (count,) = session.query_rows(f"SELECT count(*) FROM {stage}")[0]
    return stage, int(count)


def _fitted(ex: Ex, column: Column) -> str:
    """A value as a column stores it, in SQL: too long a text is an error, not cut."""
    converted = cast(ex, column.type)
    kind, source = column.type, ex.type
    if source is None or kind.name not in ("char", "varchar", "nchar", "nvarchar") or kind.length < 0:
        return converted.sql
    if source.name not in st.TEXTUAL or 0 < source.chars <= kind.chars:
        return converted.sql
    message = literal(f"[2628] String or binary data would be truncated in column '{column.name}'.", st.VARCHAR_MAX)
    return f"CASE WHEN units(rtrim({ex.sql}, ' ')) > {kind.chars} THEN error({message}) ELSE {converted.sql} END"


def _stage_procedure(session: Session, procedure: n.Statement, columns: list[Column]) -> tuple[str, int]:
    collector = Collector(session.sink)
    outer, session.sink = session.sink, collector
    try:
        session.run_one(procedure)
    finally:
        session.sink = outer
    from .session import from_duckdb

    rows: list[list[Any]] = []
    for outputs, found in collector.results:
        _check_width(columns, len(outputs))
        for row in found:
            values = (from_duckdb(value, output.type) for value, output in zip(row, outputs, strict=True))
            rows.append(
                [
                    convert(value, output.type, column.type)
                    for value, output, column in zip(values, outputs, columns, strict=True)
                ]
            )
    return _stage_rows(session, columns, rows)


def _insert_staged(
    session: Session, compiler: QueryCompiler, table: Table, columns: list[Column], stage: str, count: int
) -> None:
    """Complete staged rows (identity, defaults, computed columns), check them and put them into the table."""
    given = {column.column_id for column in columns}
    cells = ["rn"]
    for column in table.columns:
        if column.computed:
            continue
        if column.column_id in given:
            cells.append(f"s.{column.physical}")
        else:
            cells.append(f"{_missing(session, compiler, table, column, count)} AS {column.physical}")
    inner = f"SELECT {', '.join(cells)} FROM {stage} s"
    final = f"final_{session.spid}"
    session.execute_sql(f"CREATE OR REPLACE TEMP TABLE {final} AS {with_computed(compiler, table, inner)}")
    constraints.check_rows(session, table, final)
    names = ", ".join(column.physical for column in table.columns)
    session.execute_sql(f"INSERT INTO {table.physical} ({names}) SELECT {names} FROM {final} ORDER BY rn")
    _note_identity(session, table, final, given)


def _missing(session: Session, compiler: QueryCompiler, table: Table, column: Column, count: int) -> str:
    """SQL for a column an INSERT does not name."""
    kind = column.type
    if column.identity is not None:
        identity = column.identity
        first = identity.seed if identity.last is None else identity.last + identity.increment
        identity.last = first + identity.increment * (count - 1)
        session.last_identity = identity.last
        return f"CAST({first} + {identity.increment} * (rn - 1) AS {kind.storage})"
    if kind.name == "timestamp":
        first = session.database.row_version + 1
        session.database.row_version += count
        return f"unhex(lpad(hex({first} + rn - 1), 16, '0'))"
    if column.generated_always == 1:
        return cast(functions_time.now("datetime2", True), kind).sql
    if column.generated_always == 2:
        return literal(_END_OF_TIME // 10 ** (7 - kind.scale) * 10 ** (7 - kind.scale), kind)
    if column.graph_type is not None:
        return ddl.graph_value(session.database, table, column)
    if column.default is None:
        return literal(None, kind)
    if isinstance(column.default.expr, n.NextValue):
        values = [session.next_value(column.default.expr.sequence).const for _ in range(count)]
        step = values[1] - values[0] if count > 1 else 0
        return f"CAST({values[0]} + {step} * (rn - 1) AS {kind.storage})"
    return cast(compiler.value(column.default.expr, Scope()), kind).sql


def with_computed(compiler: QueryCompiler, table: Table, inner: str) -> str:
    """Rows of all stored columns, with the computed ones added."""
    computed = [column for column in table.columns if column.computed]
    if not computed:
        return inner
    plain = [
        ScopeColumn(column.name, f"r.{column.physical}", column.type, column.nullable, column)
        for column in table.columns
        if not column.computed
    ]
    scope = Scope([ScopeSource(((table.name.lower(),),), plain)])
    cells = []
    for column in computed:
        assert column.expr is not None
        cells.append(f"{cast(compiler.value(column.expr, scope), column.type).sql} AS {column.physical}")
    return f"SELECT r.*, {', '.join(cells)} FROM ({inner}) r"


def _note_identity(session: Session, table: Table, final: str, given: set[int]) -> None:
    """After explicit identity values the next one goes on from the largest."""
    column = table.identity
    if column is None or column.identity is None or column.column_id not in given:
        return
    identity = column.identity
    function = "max" if identity.increment > 0 else "min"
    (value,) = session.query_rows(f"SELECT {function}({column.physical}) FROM {final}")[0]
    if value is None:
        return
    value = int(value)
    session.last_identity = value
    if identity.last is None or (value - identity.last) * identity.increment > 0:
        identity.last = value


def _output(session: Session, table: Table, statement: n.Insert) -> None:
    if not statement.output:
        return
    compiler = session.compiler()
    columns = [ScopeColumn(c.name, f"i.{c.physical}", c.type, c.nullable, c) for c in table.columns]
    scope = Scope([ScopeSource((("inserted",),), columns)])
    found: list[tuple[str, Ex]] = []
    for item in statement.output:
        if isinstance(item.expr, n.Star):
            found += [(column.name, column.ex()) for column in columns]
        else:
            ex = compiler.value(item.expr, scope)
            found.append((item.alias or (ex.column.name if ex.column else ""), ex))
    outputs = [OutputColumn(name, f"o{i}", ex.type or st.INT, ex.nullable) for i, (name, ex) in enumerate(found, 1)]
    cells = ", ".join(f"{ex.sql} AS o{i}" for i, (_, ex) in enumerate(found, 1))
    sql = f"SELECT {cells} FROM final_{session.spid} i ORDER BY i.rn"
    session.send(CompiledQuery(sql, outputs), sql)


# --- UPDATE and DELETE -----------------------------------------------------------------------------------------


def _target(
    session: Session, compiler: QueryCompiler, name: n.Name, source: n.Source | None, permission: str
) -> tuple[Table, Scope, str, ScopeSource]:
    """The table to change, the scope of the statement, its FROM and the target's place in it."""
    scope = Scope()
    if source is None:
        table = writable(session, name, permission)
        text = compiler.table_source(table, None, name, scope)
        return table, scope, text, scope.sources[0]
    _materialise_sources(session, source)
    text = compiler.source(source, scope)
    lowered = name[-1].lower()
    matches = [s for s in scope.sources if s.table is not None and s.matches((lowered,))]
    if not matches:
        table = writable(session, name, permission)
        matches = [s for s in scope.sources if s.table is table]
    if not matches or matches[0].table is None:
        raise SqlError(208, f"Invalid object name '{'.'.join(name)}'.")
    session.require(permission, matches[0].table)
    return matches[0].table, scope, text, matches[0]


def _materialise_sources(session: Session, source: n.Source) -> None:
    if isinstance(source, n.JoinSource):
        _materialise_sources(session, source.left)
        _materialise_sources(session, source.right)
    elif isinstance(source, n.TableSource):
        item = session.find_object(source.name)
        if isinstance(item, Table) and item.ready is not None:
            item.ready.materialise()
            item.ready = None


def _update(session: Session, statement: n.Update) -> None:
    compiler = session.compiler()
    table, scope, source, place = _target(session, compiler, statement.table, statement.source, "UPDATE")
    assigned: dict[int, str] = {}
    for name, expr in statement.assignments:
        if name.startswith("@"):
            raise Unsupported("variables in UPDATE")
        column = table.column(name)
        if column.identity is not None:
            raise SqlError(8102, f"Cannot update identity column '{column.name}'.")
        if column.computed or column.type.name == "timestamp":
            raise SqlError(271, f'The column "{column.name}" cannot be modified because it is a computed column.')
        if isinstance(expr, n.Default):
            expr = column.default.expr if column.default else n.Literal(None, None)
        value = compiler.value(expr, scope)
        assigned[column.column_id] = _fitted(value, column)
    where = "" if statement.where is None else f" WHERE {compiler.predicate(statement.where, scope)}"
    limit = "" if statement.top is None else f" LIMIT {session.scalar(statement.top)[0]}"
    cells = [f"{place.alias}.rowid AS rn"]
    for column in table.columns:
        if column.computed:
            continue
        value_sql = assigned.get(column.column_id, f"{place.alias}.{column.physical}")
        if column.type.name == "timestamp":
            first = session.database.row_version + 1
            value_sql = f"unhex(lpad(hex({first} + row_number() OVER ()), 16, '0'))"
        if column.generated_always == 1:
            value_sql = cast(functions_time.now("datetime2", True), column.type).sql
        cells.append(f"{value_sql} AS {column.physical}")
    inner = f"SELECT DISTINCT ON (rn) * FROM (SELECT {', '.join(cells)} FROM {source}{where}{limit})"
    final = f"final_{session.spid}"
    session.execute_sql(f"CREATE OR REPLACE TEMP TABLE {final} AS {with_computed(compiler, table, inner)}")
    (count,) = session.query_rows(f"SELECT count(*) FROM {final}")[0]
    if count:
        session.database.row_version += count + 1
        constraints.check_rows(session, table, final, replacing=True, changed=set(assigned))
        _keep_history(session, table, f"SELECT rn FROM {final}")
        changed = [
            c
            for c in table.columns
            if c.computed or c.column_id in assigned or c.type.name == "timestamp" or c.generated_always == 1
        ]
        pairs = ", ".join(f"{column.physical} = f.{column.physical}" for column in changed)
        session.execute_sql(f"UPDATE {table.physical} SET {pairs} FROM {final} f WHERE {_bare(table)}.rowid = f.rn")
    _finish(session, int(count), "UPDATE")


def _bare(table: Table) -> str:
    return f'"t{table.object_id}"'


def _keep_history(session: Session, table: Table, rowids: str) -> None:
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


def _delete(session: Session, statement: n.Delete) -> None:
    compiler = session.compiler()
    table, scope, source, place = _target(session, compiler, statement.table, statement.source, "DELETE")
    where = "" if statement.where is None else f" WHERE {compiler.predicate(statement.where, scope)}"
    limit = "" if statement.top is None else f" LIMIT {session.scalar(statement.top)[0]}"
    final = f"final_{session.spid}"
    inner = f"SELECT DISTINCT {place.alias}.rowid AS rn FROM {source}{where}{limit}"
    session.execute_sql(f"CREATE OR REPLACE TEMP TABLE {final} AS {inner}")
    (count,) = session.query_rows(f"SELECT count(*) FROM {final}")[0]
    if count:
        constraints.before_delete(session, table, f"SELECT rn FROM {final}")
        _keep_history(session, table, f"SELECT rn FROM {final}")
        session.execute_sql(f"DELETE FROM {table.physical} WHERE rowid IN (SELECT rn FROM {final})")
    _finish(session, int(count), "DELETE")


def _truncate(session: Session, statement: n.Truncate) -> None:
    table = writable(session, statement.table, "ALTER")
    for key in constraints.referencing(session.database, table):
        if key.parent_id != table.object_id:
            message = (
                f"Cannot truncate table '{table.name}' because it is being referenced by a FOREIGN KEY constraint."
            )
            raise SqlError(4712, message)
    session.execute_sql(f"DELETE FROM {table.physical}")
    if table.identity is not None and table.identity.identity is not None:
        table.identity.identity.last = None
    session.sink.done(None, "TRUNCATE")


# --- SELECT INTO -------------------------------------------------------------------------------------------


def select_into(session: Session, query: n.Select) -> None:
    """SELECT ... INTO: a table made from a query."""
    from dataclasses import replace

    assert query.into is not None
    compiled = session.compiler().query(replace(query, into=None), None)
    table = ddl.table_from_columns(session, query.into, compiled.columns)
    stage, count = _stage_query(session, compiled, table.columns)
    names = ", ".join(column.physical for column in table.columns)
    session.execute_sql(f"INSERT INTO {table.physical} ({names}) SELECT {names} FROM {stage} ORDER BY rn")
    _finish(session, count, "SELECT")
