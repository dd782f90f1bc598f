"""INSERT: rows are staged, completed (identity, defaults, computed columns), checked and put into the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..catalog import graph
from ..catalog.model import Column, SchemaObject, Table
from ..compiler import casts, functions_time
from ..compiler.casts import Ex, cast, constant, literal
from ..compiler.outputs import CompiledQuery, OutputColumn
from ..compiler.queries import QueryCompiler
from ..compiler.scope import Scope, ScopeColumn, ScopeSource, source_of
from ..errors import SqlError, Unsupported
from ..tsql import nodes as n
from ..tsql import statements as sm
from ..values import sqltypes as st
from ..values.convert import collation_of, convert, from_duckdb
from . import constraints, insert_known, tracking
from .insert_known import END_OF_TIME, stored
from .results import Collector
from .state import SessionState


def finish(session: SessionState, count: int, command: str) -> None:
    """Tell how many rows a statement touched."""
    session.row_count_value = count
    session.sink.done(None if session.nocount else count, command)


def writable(session: SessionState, name: n.Name, permission: str) -> Table:
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


def run(session: SessionState, statement: sm.Insert) -> None:
    """Run an INSERT.

    Raises:
        SqlError: it cannot, or may not.
    """
    table = writable(session, statement.table, "INSERT")
    columns = _target_columns(session, table, statement)
    compiler = session.compiler()
    rows = _known_rows(session, compiler, table, statement, columns)
    simple = bool(rows) and not statement.output and insert_known.suits(table)
    if simple and insert_known.insert(session, compiler, table, columns, rows):
        finish(session, len(rows), "INSERT")
        return
    table.key_sets.clear()
    if statement.procedure is not None:
        stage, count = _stage_procedure(session, statement.procedure, columns)
    elif rows or statement.source is None:
        stage, count = _stage_rows(session, columns, rows)
    elif isinstance(statement.source, n.ValuesQuery):
        stage, count = stage_query(session, _values_query(compiler, statement.source, columns), columns)
    else:
        compiled = compiler.query(statement.source, None)
        stage, count = stage_query(session, compiled, columns)
    if count:
        _insert_staged(session, compiler, table, columns, stage, count)
        _output(session, table, statement)
    finish(session, count, "INSERT")


def alike(statements: Sequence[sm.Statement], position: int) -> list[sm.Insert]:
    """The INSERT ... VALUES at a position and those right behind it that name the same table and columns."""
    found: list[sm.Insert] = []
    for statement in statements[position:]:
        if not isinstance(statement, sm.Insert) or not isinstance(statement.source, n.ValuesQuery):
            break
        if statement.output or statement.context is not None:
            break
        if found and (statement.table, statement.columns) != (found[0].table, found[0].columns):
            break
        found.append(statement)
    return found


def run_together(session: SessionState, statements: Sequence[sm.Insert]) -> bool:
    """Run INSERTs of known values as one; False, and nothing done, when they must be run one by one."""
    session.sink.check()
    first = statements[0]
    table = session.find_object(first.table)
    if not isinstance(table, Table) or table.ready is not None or not insert_known.suits(table):
        return False
    identity = table.identity.identity if table.identity is not None else None
    before = (identity.last if identity else None, session.last_identity)
    compiler = session.compiler()
    try:
        session.require("INSERT", table)
        columns = _target_columns(session, table, first)
        rows: list[list[Any]] = []
        for statement in statements:
            rows += _known_rows(session, compiler, table, statement, columns)
        counts = [len(s.source.rows) for s in statements if isinstance(s.source, n.ValuesQuery)]
        done = len(rows) == sum(counts) and insert_known.insert(session, compiler, table, columns, rows)
    except SqlError:
        done = False
    if not done:
        # One of them fails: the others must not, and the error must be told for the right one.
        last, session.last_identity = before
        if identity is not None:
            identity.last = last
        return False
    for count in counts:
        finish(session, count, "INSERT")
    return True


def _target_columns(session: SessionState, table: Table, statement: sm.Insert) -> list[Column]:
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
        or not graph.can_be_inserted(column)
        or column.column_set
    )


def _check_width(columns: list[Column], width: int) -> None:
    if width != len(columns):
        raise SqlError(213, "Column name or number of supplied values does not match table definition.")


def _known_rows(
    session: SessionState, compiler: QueryCompiler, table: Table, statement: sm.Insert, columns: list[Column]
) -> list[list[Any]]:
    """The rows of VALUES (one row of nothing for DEFAULT VALUES) as they are stored; none when not all are known."""
    if not isinstance(statement.source, n.ValuesQuery):
        return [[]] if statement.source is None and statement.procedure is None else []
    rows: list[list[Any]] = []
    for row in statement.source.rows:
        _check_width(columns, len(row))
        values: list[Any] = []
        for column, expr in zip(columns, row, strict=True):
            ex = _value(session, compiler, column, expr)
            if ex is None:
                return []
            values.append(stored(ex, column, table))
        rows.append(values)
    return rows


def _stage_rows(session: SessionState, columns: list[Column], rows: list[list[Any]]) -> tuple[str, int]:
    by_column = {column.column_id: [row[k] for row in rows] for k, column in enumerate(columns)}
    return insert_known.register(session, columns, by_column, len(rows)), len(rows)


def _value(session: SessionState, compiler: QueryCompiler, column: Column, expr: n.Expr) -> Ex | None:
    """A value that is known now, None for one only DuckDB can tell."""
    if isinstance(expr, n.Literal):
        return Ex("", expr.type, const=expr.value)
    if isinstance(expr, n.Default):
        if column.filling is None:
            return Ex("", None, const=None)
        expr = column.filling.expr
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
                expr = column.filling.expr if column.filling is not None else n.Literal(None, None)
            cells.append(cast(compiler.value(expr, Scope()), column.type).sql)
        lines.append("(" + ", ".join(cells) + ")")
    outputs = [OutputColumn("", f"o{i}", column.type) for i, column in enumerate(columns, 1)]
    names = ", ".join(output.sql for output in outputs)
    return CompiledQuery(f"SELECT * FROM (VALUES {', '.join(lines)}) v({names})", outputs)


def stage_query(session: SessionState, compiled: CompiledQuery, columns: list[Column]) -> tuple[str, int]:
    """The rows of a query as a relation, converted to the columns and numbered; its name and their count."""
    _check_width(columns, len(compiled.columns))
    cells = []
    for column, output in zip(columns, compiled.columns, strict=True):
        cells.append(f"{fitted(Ex(f'q.{output.sql}', output.type), column)} AS {column.physical}")
    body = ", ".join(["row_number() OVER () AS rn", *cells])
    stage = f"stage_{session.spid}"
    session.execute_sql(f"CREATE OR REPLACE TEMP TABLE {stage} AS SELECT {body} FROM ({compiled.sql}) q")
    (count,) = session.query_rows(f"SELECT count(*) FROM {stage}")[0]
    return stage, int(count)


def fitted(ex: Ex, column: Column) -> str:
    """A value as a column stores it, in SQL: too long a text is an error, not cut."""
    converted = cast(ex, column.type)
    kind, source = column.type, ex.type
    by_bytes = kind.name in ("char", "varchar") and casts.is_multibyte(kind.collation)
    if source is None or kind.length < 0 or (0 < source.chars <= kind.chars and not by_bytes):
        return converted.sql
    message = literal(f"[2628] String or binary data would be truncated in column '{column.name}'.", st.VARCHAR_MAX)
    if kind.name in ("binary", "varbinary") and source.name in st.BINARY:
        return f"CASE WHEN octet_length({ex.sql}) > {kind.length} THEN error({message}) ELSE {converted.sql} END"
    if kind.name not in ("char", "varchar", "nchar", "nvarchar") or source.name not in st.TEXTUAL:
        return converted.sql
    size = f"units(rtrim({ex.sql}, ' '))"
    if by_bytes:
        size = f"char_bytes(rtrim({ex.sql}, ' '), '{collation_of(kind).hex()}')"
    return f"CASE WHEN {size} > {kind.chars} THEN error({message}) ELSE {converted.sql} END"


def _stage_procedure(session: SessionState, procedure: sm.Statement, columns: list[Column]) -> tuple[str, int]:
    collector = Collector(session.sink)
    outer, session.sink = session.sink, collector
    try:
        session.run_statement(procedure)
    finally:
        session.sink = outer
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
    session: SessionState, compiler: QueryCompiler, table: Table, columns: list[Column], stage: str, count: int
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
    tracking.inserted(session, table, final)
    _note_identity(session, table, final, given)


def _missing(session: SessionState, compiler: QueryCompiler, table: Table, column: Column, count: int) -> str:
    """SQL for a column an INSERT does not name."""
    kind = column.type
    if column.identity is not None:
        identity = column.identity
        first = identity.draw(count)
        session.last_identity = identity.last
        return f"CAST({first} + {identity.increment} * (rn - 1) AS {kind.storage})"
    if kind.name == "timestamp":
        first = session.server.take_rowversions(session, session.database, count)
        return f"unhex(lpad(hex({first} + rn - 1), 16, '0'))"
    if column.generated_always == 1:
        return cast(functions_time.now("datetime2", True), kind).sql
    if column.generated_always == 2:
        return literal(END_OF_TIME // 10 ** (7 - kind.scale) * 10 ** (7 - kind.scale), kind)
    if column.graph_type is not None:
        return graph.value(session.database, table, column)
    if column.filling is None:
        return literal(None, kind)
    if isinstance(column.filling.expr, n.NextValue):
        values = [session.next_value(column.filling.expr.sequence).const for _ in range(count)]
        step = values[1] - values[0] if count > 1 else 0
        return f"CAST({values[0]} + {step} * (rn - 1) AS {kind.storage})"
    return cast(compiler.value(column.filling.expr, Scope()), kind).sql


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
    scope = Scope([source_of(table, plain)])
    cells = []
    for column in computed:
        assert column.expr is not None
        cells.append(f"{cast(compiler.value(column.expr, scope), column.type).sql} AS {column.physical}")
    return f"SELECT r.*, {', '.join(cells)} FROM ({inner}) r"


def _note_identity(session: SessionState, table: Table, final: str, given: set[int]) -> None:
    column = table.identity
    if column is None or column.identity is None or column.column_id not in given:
        return
    values = session.query_rows(f"SELECT min({column.physical}), max({column.physical}) FROM {final}")[0]
    insert_known.note_identity(session, column, [int(value) for value in values if value is not None])


def _output(session: SessionState, table: Table, statement: sm.Insert) -> None:
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
