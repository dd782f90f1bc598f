"""Keys, foreign keys, checks and NOT NULL, tested on rows before they enter a table."""

from __future__ import annotations

from ..catalog.database import Database
from ..catalog.model import CheckConstraint, Column, ForeignKey, Index, Table
from ..compiler.casts import Ex
from ..compiler.queries import QueryCompiler
from ..compiler.scope import Scope, ScopeColumn, source_of
from ..errors import SqlError
from ..values import sqltypes as st
from . import tracking
from .state import SessionState


def check_rows(
    session: SessionState, table: Table, rows: str, *, replacing: bool = False, changed: set[int] | None = None
) -> None:
    """Test new rows of a table. `rows` is a relation with the table's physical columns and `rn`.

    With `replacing`, they replace the rows whose rowid is `rn`, and only the columns `changed` differ.

    Raises:
        SqlError: 515 NULL in a NOT NULL column, 2627 or 2601 a key is there already, 547 a check or foreign key.
    """
    compiler = session.compiler()
    _check_not_null(session, table, rows)
    for index in table.indexes:
        if index.unique and not index.disabled and index.columns:
            if changed is not None and not changed & {column_id for column_id, _ in index.columns}:
                continue
            _check_unique(session, compiler, table, index, rows, replacing)
    check_conditions(session, table, rows)


def check_conditions(session: SessionState, table: Table, rows: str) -> None:
    """Test the checks and foreign keys of a table on new rows.

    Raises:
        SqlError: 547, one is violated.
    """
    compiler = session.compiler()
    for check in table.checks:
        if not check.disabled:
            check_constraint(session, compiler, table, check, rows)
    for key in table.foreign_keys:
        if not key.disabled:
            check_foreign_key(session, compiler, table, key, rows)


def null_refused(session: SessionState, table: Table, column: Column) -> SqlError:
    """Error 515."""
    schema = session.database.schemas.get(table.schema_id, "dbo")
    return SqlError(
        515,
        f"Cannot insert the value NULL into column '{column.name}', table "
        f"'{session.database.name}.{schema}.{table.name}'; column does not allow nulls. INSERT fails.",
    )


def _check_not_null(session: SessionState, table: Table, rows: str) -> None:
    needed = [column for column in table.columns if not column.nullable]
    if not needed:
        return
    sums = ", ".join(f"count({column.physical})" for column in needed)
    total, *counts = session.query_rows(f"SELECT count(*), {sums} FROM {rows}")[0]
    for column, count in zip(needed, counts, strict=True):
        if count < total:
            raise null_refused(session, table, column)


def key_sql(compiler: QueryCompiler, column: Column, alias: str) -> str:
    """The form of a column by which keys compare."""
    return compiler.key(Ex(f"{alias}.{column.physical}", column.type))


def scope_of(table: Table, alias: str) -> Scope:
    """A scope in which a table's columns are those of a relation."""
    columns = [ScopeColumn(c.name, f"{alias}.{c.physical}", c.type, c.nullable, c) for c in table.columns]
    return Scope([source_of(table, columns)])


def _check_unique(
    session: SessionState, compiler: QueryCompiler, table: Table, index: Index, rows: str, replacing: bool
) -> None:
    columns = [table.by_id(column_id) for column_id, _ in index.columns]
    new = ", ".join(f"{key_sql(compiler, column, 'n')} AS k{i}" for i, column in enumerate(columns))
    old = ", ".join(f"{key_sql(compiler, column, 't')} AS k{i}" for i, column in enumerate(columns))
    filter_new = filter_old = ""
    if index.filter_expr is not None:
        filter_new = f" WHERE {compiler.predicate(index.filter_expr, scope_of(table, 'n'))}"
        filter_old = f" AND {compiler.predicate(index.filter_expr, scope_of(table, 't'))}"
    keys = ", ".join(f"k{i}" for i in range(len(columns)))
    same = " AND ".join(f"a.k{i} IS NOT DISTINCT FROM b.k{i}" for i in range(len(columns)))
    stay = f" AND t.rowid NOT IN (SELECT rn FROM {rows})" if replacing else ""
    fresh = f"SELECT {new} FROM {rows} n{filter_new}"
    sql = (
        f"SELECT {keys} FROM ({fresh}) a GROUP BY ALL HAVING count(*) > 1 UNION ALL "
        f"SELECT {', '.join(f'a.k{i}' for i in range(len(columns)))} FROM (SELECT {old} FROM {table.physical} t "
        f"WHERE true{stay}{filter_old}) a JOIN ({fresh}) b ON {same} LIMIT 1"
    )
    found = session.query_rows(sql)
    if found:
        raise duplicate(session, table, index, found[0])


def duplicate(session: SessionState, table: Table, index: Index, key: tuple[object, ...]) -> SqlError:
    """Error 2627 for a constraint, 2601 for an index."""
    where = f"{session.database.schemas.get(table.schema_id, 'dbo')}.{table.name}"
    text = ", ".join("<NULL>" if part is None else str(part) for part in key)
    if index.constraint is not None:
        kind = "PRIMARY KEY" if index.primary else "UNIQUE KEY"
        return SqlError(
            2627,
            f"Violation of {kind} constraint '{index.name}'. Cannot insert duplicate key in object '{where}'. "
            f"The duplicate key value is ({text}).",
            14,
        )
    return SqlError(
        2601,
        f"Cannot insert duplicate key row in object '{where}' with unique index '{index.name}'. "
        f"The duplicate key value is ({text}).",
        14,
    )


def check_constraint(
    session: SessionState, compiler: QueryCompiler, table: Table, check: CheckConstraint, rows: str
) -> None:
    """Test a check constraint on rows.

    Raises:
        SqlError: 547, it is violated.
    """
    condition = compiler.predicate(check.expr, scope_of(table, "n"))
    if session.query_rows(f"SELECT 1 FROM {rows} n WHERE NOT {condition} LIMIT 1"):
        raise SqlError(
            547,
            f'The statement conflicted with the CHECK constraint "{check.name}". The conflict occurred in database '
            f'"{session.database.name}", table "{session.database.full_name(table)}".',
        )


def check_foreign_key(session: SessionState, compiler: QueryCompiler, table: Table, key: ForeignKey, rows: str) -> None:
    """Test a foreign key on rows.

    Raises:
        SqlError: 547, a row has no parent.
    """
    parent = session.database.objects.get(key.referenced_id)
    if not isinstance(parent, Table):
        return
    if parent.ready is not None:
        parent.ready.materialise()
        parent.ready = None
    pairs = [(table.by_id(own), parent.by_id(other)) for own, other in key.columns]
    present = " AND ".join(f"n.{own.physical} IS NOT NULL" for own, _ in pairs)
    same = " AND ".join(_equal(compiler, own, "n", other, "p") for own, other in pairs)
    sources = [parent.physical] + ([rows] if parent is table else [])
    missing = " AND ".join(f"NOT EXISTS (SELECT 1 FROM {source} p WHERE {same})" for source in sources)
    if session.query_rows(f"SELECT 1 FROM {rows} n WHERE {present} AND {missing} LIMIT 1"):
        raise SqlError(
            547,
            f'The statement conflicted with the FOREIGN KEY constraint "{key.name}". The conflict occurred in '
            f'database "{session.database.name}", table "{session.database.full_name(parent)}".',
        )


def _equal(compiler: QueryCompiler, left: Column, left_alias: str, right: Column, right_alias: str) -> str:
    first = Ex(f"{left_alias}.{left.physical}", left.type, column=left)
    second = Ex(f"{right_alias}.{right.physical}", right.type, column=right)
    return compiler.compare("=", first, second)


def referencing(database: Database, table: Table) -> list[ForeignKey]:
    """The foreign keys that point at a table."""
    return [item for item in database.every() if isinstance(item, ForeignKey) and item.referenced_id == table.object_id]


def before_delete(session: SessionState, table: Table, rowids: str, depth: int = 0) -> None:
    """Do for the children of rows what their foreign keys say.

    Raises:
        SqlError: 547, NO ACTION and there are children.
    """
    if depth > 32:
        raise SqlError(547, "Cascading deletes nest too deep.")
    compiler = session.compiler()
    for key in referencing(session.database, table):
        child = session.database.objects.get(key.parent_id)
        if key.disabled or not isinstance(child, Table):
            continue
        pairs = [(child.by_id(own), table.by_id(other)) for own, other in key.columns]
        same = " AND ".join(_equal(compiler, own, "c", other, "p") for own, other in pairs)
        orphans = f"SELECT c.rowid FROM {child.physical} c, {table.physical} p WHERE p.rowid IN ({rowids}) AND {same}"
        if child is table:
            orphans += f" AND c.rowid NOT IN ({rowids})"
        if not session.query_rows(f"{orphans} LIMIT 1"):
            continue
        child.key_sets.clear()
        if key.on_delete == "CASCADE":
            before_delete(session, child, orphans, depth + 1)
            tracking.deleted(session, child, orphans)
            session.execute_sql(f"DELETE FROM {child.physical} WHERE rowid IN ({orphans})")
        elif key.on_delete == "SET_NULL":
            _set_null(session, child, [own for own, _ in pairs], orphans)
        else:
            raise SqlError(
                547,
                f'The DELETE statement conflicted with the REFERENCE constraint "{key.name}". The conflict occurred in '
                f'database "{session.database.name}", table "{session.database.full_name(child)}".',
            )


def _set_null(session: SessionState, child: Table, columns: list[Column], orphans: str) -> None:
    """ON DELETE SET NULL of the rows of a query of rowids."""
    rows = f"(SELECT * FROM {child.physical} WHERE rowid IN ({orphans}))"
    tracking.updated(session, child, rows, {column.column_id for column in columns}, "")
    values = [f"{column.physical} = NULL" for column in columns]
    stamp = next((column for column in child.columns if column.type.name == "timestamp"), None)
    if stamp is not None:
        (count,) = session.query_rows(f"SELECT count(*) FROM ({orphans})")[0]
        first = session.server.take_rowversions(session, session.database, int(count))
        values.append(f"{stamp.physical} = unhex(lpad(hex({first} + n.k), 16, '0'))")
    numbered = f"SELECT o.rowid AS r, row_number() OVER () - 1 AS k FROM (SELECT DISTINCT rowid FROM ({orphans})) o"
    session.execute_sql(
        f'UPDATE {child.physical} SET {", ".join(values)} FROM ({numbered}) n WHERE "t{child.object_id}".rowid = n.r'
    )


def check_existing(session: SessionState, table: Table, index: Index) -> None:
    """Test a new unique index on the rows there are.

    Raises:
        SqlError: 1505, there are duplicates.
    """
    compiler = session.compiler()
    columns = [table.by_id(column_id) for column_id, _ in index.columns]
    keys = ", ".join(key_sql(compiler, column, "t") for column in columns)
    where = ""
    if index.filter_expr is not None:
        where = f" WHERE {compiler.predicate(index.filter_expr, scope_of(table, 't'))}"
    sql = f"SELECT 1 FROM {table.physical} t{where} GROUP BY {keys} HAVING count(*) > 1 LIMIT 1"
    if session.query_rows(sql):
        raise SqlError(
            1505,
            f"The CREATE UNIQUE INDEX statement terminated because a duplicate key was found for the object name "
            f"'{session.database.full_name(table)}' and the index name '{index.name}'.",
        )


_KEYABLE = st.NUMBERS | st.TIMES | st.CHARACTER | st.BINARY | {"uniqueidentifier", "hierarchyid", "sql_variant"}


def require_keyable(column: Column) -> None:
    """Refuse a column that cannot be in a key.

    Raises:
        SqlError: 1919, its type cannot.
    """
    large = column.type.is_max or column.type.name in ("text", "ntext", "image")
    if column.type.name not in _KEYABLE or large:
        raise SqlError(
            1919, f"Column '{column.name}' is of a type that is invalid for use as a key column in an index."
        )
