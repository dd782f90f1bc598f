"""ALTER TABLE."""

from __future__ import annotations

from ..catalog.model import CheckConstraint, Column, ForeignKey, Module, Table
from ..compiler.casts import Ex, cast
from ..compiler.queries import QueryCompiler
from ..compiler.scope import Scope
from ..errors import SqlError
from ..tsql import statements as sm
from . import constraints, ddl, tracking
from .insert import writable
from .state import SessionState


def alter_table(session: SessionState, node: sm.AlterTable) -> None:
    """One action of ALTER TABLE, or ENABLE and DISABLE TRIGGER.

    Raises:
        SqlError: it cannot.
    """
    table = writable(session, node.name, "ALTER")
    table.key_sets.clear()
    action = node.action
    if action == "ADD":
        _add(session, table, node)
    elif action in ("CHECK", "NOCHECK"):
        _check(session, table, node)
    elif action == "DROP CONSTRAINT":
        for name in node.names:
            drop_constraint(session, table, name, node.if_exists)
    elif action == "DROP COLUMN":
        for name in node.names:
            _drop_column(session, table, name, node.if_exists)
    elif action == "ALTER COLUMN":
        _alter_column(session, table, node.columns[0])
    elif action.endswith("TRIGGER"):
        _triggers(session, table, node)
    elif action == "VERSIONING ON":
        ddl.start_versioning(session, session.database, table, node.history)
    elif action == "VERSIONING OFF":
        history = session.database.objects.get(table.history_id)
        if isinstance(history, Table):
            history.temporal_type = 0
        table.temporal_type = table.history_id = 0
    elif action == "DROP PERIOD":
        for column in table.columns:
            column.generated_always = 0
        table.period = None
    elif action == "TRACKING ON":
        tracking.enable(session, table, "COLUMNS" in node.names)
    elif action == "TRACKING OFF":
        tracking.disable(session, table)
    elif action.startswith("COLUMN "):
        _column_flag(table.column(node.names[0]), action)


def _column_flag(column: Column, action: str) -> None:
    verb, flag = action.split()[1:3]
    attribute = {"ROWGUIDCOL": "rowguid", "SPARSE": "sparse", "HIDDEN": "hidden", "PERSISTED": "persisted"}.get(flag)
    if attribute is not None:
        setattr(column, attribute, verb == "ADD")


def _add(session: SessionState, table: Table, node: sm.AlterTable) -> None:
    database = session.database
    for item in node.columns:
        column = ddl.add_column(session, database, table, item)
        try:
            _fill(session, table, column, item)
        except SqlError:
            table.columns.remove(column)
            raise
        for constraint in sorted(item.constraints, key=lambda c: c.kind != "DEFAULT"):
            if constraint.kind != "DEFAULT":
                ddl.add_constraint(session, database, table, constraint)
    for constraint in node.constraints:
        ddl.add_constraint(session, database, table, constraint, trusted=node.with_check is not False)
    if node.period is not None:
        ddl.set_period(table, node.period)


def _fill(session: SessionState, table: Table, column: Column, node: sm.ColumnDef) -> None:
    if column.computed:
        ddl.resolve_computed(session, table)
    session.execute_sql(f"ALTER TABLE {table.physical} ADD COLUMN {column.physical} {column.type.storage}")
    compiler = session.compiler()
    default = next((item for item in node.constraints if item.kind == "DEFAULT"), None)
    if default is not None:
        ddl.add_constraint(session, session.database, table, default)
    if column.expr is not None:
        _fill_computed(session, compiler, table, column)
    elif column.identity is not None:
        identity = column.identity
        count = session.row_count(table)
        session.execute_sql(
            f"UPDATE {table.physical} SET {column.physical} = {identity.seed} + {identity.increment} * rowid"
        )
        identity.last = identity.seed + identity.increment * (count - 1) if count else None
    elif column.default is not None and (not column.nullable or (default is not None and default.with_values)):
        ddl.fill_column(session, table, column, compiler.value(column.default.expr, Scope()))
    elif not column.nullable and session.row_count(table):
        message = (
            "ALTER TABLE only allows columns to be added that can contain nulls, or have a DEFAULT definition; column "
            f"'{column.name}' cannot be added to non-empty table '{table.name}' because it does neither."
        )
        raise SqlError(4901, message)


def _fill_computed(session: SessionState, compiler: QueryCompiler, table: Table, column: Column) -> None:
    assert column.expr is not None
    scope = constraints.scope_of(table, f'"t{table.object_id}"')
    value = cast(compiler.value(column.expr, scope), column.type)
    session.execute_sql(f"UPDATE {table.physical} SET {column.physical} = {value.sql}")


def _check(session: SessionState, table: Table, node: sm.AlterTable) -> None:
    wanted = {name.lower() for name in node.names}
    every: list[CheckConstraint | ForeignKey] = [*table.checks, *table.foreign_keys]
    found = [item for item in every if not wanted or item.name.lower() in wanted]
    if wanted and len(found) < len(wanted):
        missing = wanted - {item.name.lower() for item in found}
        raise SqlError(4917, f"Constraint '{missing.pop()}' does not exist.")
    compiler = session.compiler()
    for item in found:
        if node.action == "NOCHECK":
            item.disabled = item.not_trusted = True
            continue
        if node.with_check:
            if isinstance(item, CheckConstraint):
                constraints.check_constraint(session, compiler, table, item, table.physical)
            else:
                constraints.check_foreign_key(session, compiler, table, item, table.physical)
            item.not_trusted = False
        item.disabled = False


def drop_constraint(session: SessionState, table: Table, name: str, if_exists: bool = False) -> None:
    """DROP CONSTRAINT.

    Raises:
        SqlError: 3728 there is none, 3725 a foreign key refers to it.
    """
    lowered = name.lower()
    children = [item for item in session.database.every() if item.parent_id == table.object_id]
    found = [child for child in children if child.name.lower() == lowered]
    if not found:
        if if_exists:
            return
        raise SqlError(3728, f"'{name}' is not a constraint.")
    item = found[0]
    index = next((i for i in table.indexes if i.constraint is item), None)
    if index is not None:
        if index.primary and table.tracking is not None:
            message = f"The primary key constraint '{name}' on table '{table.name}' cannot be dropped because change"
            raise SqlError(3735, message + " tracking is enabled on the table.")
        for key in constraints.referencing(session.database, table):
            if key.key_index_id == index.index_id:
                raise SqlError(
                    3725, f"The constraint '{name}' is being referenced by foreign key constraint '{key.name}'."
                )
        table.indexes.remove(index)
    table.checks = [check for check in table.checks if check is not item]
    table.foreign_keys = [key for key in table.foreign_keys if key is not item]
    for column in table.columns:
        if column.default is item:
            column.default = None
    session.database.remove(item)


def _drop_column(session: SessionState, table: Table, name: str, if_exists: bool) -> None:
    try:
        column = table.column(name)
    except SqlError:
        if if_exists:
            return
        raise
    number = column.column_id
    users = [i.name for i in table.indexes if number in [*(c for c, _ in i.columns), *i.included]]
    users += [key.name for key in table.foreign_keys if number in [own for own, _ in key.columns]]
    users += [column.default.name] if column.default else []
    if users:
        message = (
            f"The object '{users[0]}' is dependent on column '{name}'. ALTER TABLE DROP COLUMN {name} failed because "
            "one or more objects access this column."
        )
        raise SqlError(5074, message)
    if len(table.columns) == 1:
        raise SqlError(
            4923, f"ALTER TABLE DROP COLUMN failed because '{name}' is the only data column in table '{table.name}'."
        )
    session.execute_sql(f"ALTER TABLE {table.physical} DROP COLUMN {column.physical}")
    table.columns.remove(column)
    properties = session.database.properties
    session.database.properties = [p for p in properties if (p.major_id, p.minor_id) != (table.object_id, number)]


def _alter_column(session: SessionState, table: Table, node: sm.ColumnDef) -> None:
    column = table.column(node.name)
    if column.computed:
        raise SqlError(4928, f"Cannot alter column '{node.name}' because it is computed.")
    scratch = Table(-1, table.schema_id, table.name, "U", next_column_id=column.column_id)
    fresh = ddl.add_column(session, session.database, scratch, node)
    old = Ex(column.physical, column.type)
    if not fresh.nullable:
        (nulls,) = session.query_rows(f"SELECT count(*) - count({column.physical}) FROM {table.physical}")[0]
        if nulls:
            raise SqlError(515, f"Cannot insert the value NULL into column '{node.name}', table '{table.name}'.")
    if fresh.type.storage != column.type.storage or fresh.type.name != column.type.name:
        using = cast(old, fresh.type).sql
        session.execute_sql(
            f"ALTER TABLE {table.physical} ALTER {column.physical} TYPE {fresh.type.storage} USING {using}"
        )
    column.type, column.nullable, column.user_type = fresh.type, fresh.nullable, fresh.user_type
    if node.sparse:
        column.sparse = True


def _triggers(session: SessionState, table: Table, node: sm.AlterTable) -> None:
    wanted = {name.lower() for name in node.names}
    for item in session.database.every():
        if not isinstance(item, Module) or item.kind != "TR" or item.parent_id != table.object_id:
            continue
        if not wanted or item.name.lower() in wanted:
            item.disabled = node.action.startswith("DISABLE")
