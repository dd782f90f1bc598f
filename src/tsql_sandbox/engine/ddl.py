"""CREATE, ALTER and DROP: the catalog and DuckDB's tables change together."""

from __future__ import annotations

from ..catalog import graph
from ..catalog.database import Database
from ..catalog.model import (
    CheckConstraint,
    Column,
    DefaultConstraint,
    ForeignKey,
    Identity,
    Index,
    SchemaObject,
    Table,
    same_column,
)
from ..compiler.casts import Ex, cast
from ..compiler.outputs import OutputColumn
from ..compiler.scope import Scope, ScopeColumn, source_of
from ..errors import SqlError
from ..tsql import nodes as n
from ..tsql import statements as sm
from ..tsql.definitions import definition, filter_definition
from ..values import sqltypes as st
from . import constraints
from .state import SessionState

# --- tables ----------------------------------------------------------------------------------------------------


def create_table(session: SessionState, node: sm.CreateTable) -> Table:
    """CREATE TABLE, for temporary tables and table variables too."""
    temporary = node.name[-1].startswith(("#", "@"))
    database = session.server.find_database("tempdb") if temporary else session.database
    assert database is not None
    if not temporary:
        session.require_database("CREATE TABLE")
        if len(node.name) > 2 and node.name[-3] and node.name[-3].lower() != database.name.lower():
            with session.in_database(node.name[-3]):
                return create_table(session, _renamed(node, node.name[-2:]))
    table = new_table(session, database, node)
    if temporary:
        if node.name[-1].lower() in session.temporary and node.name[-1].startswith("#"):
            raise SqlError(2714, f"There is already an object named '{node.name[-1]}' in the database.")
        session.temporary[node.name[-1].lower()] = table
    else:
        database.add(table)
        session.lock(table, "Sch-M")
    try:
        _complete(session, database, table, node)
    except SqlError:
        if not temporary:
            database.remove(table)
        raise
    return table


def _renamed(node: sm.CreateTable, name: n.Name) -> sm.CreateTable:
    return sm.CreateTable(**{**node.__dict__, "name": name})


def new_table(session: SessionState, database: Database, node: sm.CreateTable) -> Table:
    """A table with its columns, not yet in the catalog."""
    schema = node.name[-2] if len(node.name) > 1 else "dbo"
    table = Table(
        database.new_object_id(),
        database.schema_id(schema),
        node.name[-1],
        "U",
        database_id=database.database_id,
        graph=node.graph,
        exact=database.exact,
        memory_optimized=node.memory_optimized,
    )
    if node.graph:
        graph.add_columns(table)
    for item in node.columns:
        add_column(session, database, table, item)
    if not table.columns:
        raise SqlError(1088, f"Table '{table.name}' has no columns.")
    return table


def _complete(session: SessionState, database: Database, table: Table, node: sm.CreateTable) -> None:
    keys = [(item, constraint) for item in node.columns for constraint in item.constraints]
    found: list[sm.ConstraintDef] = [constraint for _, constraint in keys] + node.constraints
    # The primary key first, so that unique constraints know whether a clustered index is taken.
    found.sort(key=lambda item: 0 if item.kind == "PRIMARY KEY" else 1)
    resolve_computed(session, table)
    columns = ", ".join(f"{column.physical} {column.type.storage}" for column in table.columns)
    session.execute_sql(f"CREATE TABLE {table.physical} ({columns})")
    clustered = any(item.clustered for item in found) or any(index.kind == "CLUSTERED" for index in _all_indexes(node))
    for constraint in found:
        add_constraint(session, database, table, constraint, has_clustered=clustered)
    for index in _all_indexes(node):
        create_index(session, table, index)
    if node.period is not None:
        set_period(table, node.period)
    if node.versioning:
        start_versioning(session, database, table, node.history)


def _all_indexes(node: sm.CreateTable) -> list[sm.IndexDef]:
    return node.indexes + [index for column in node.columns for index in column.indexes]


def add_column(session: SessionState, database: Database, table: Table, node: sm.ColumnDef) -> Column:
    """A column from its definition, appended to the table."""
    if any(same_column(column.name, node.name, table.exact) for column in table.columns):
        message = (
            f"Column names in each table must be unique. Column name '{node.name}' in table '{table.name}' is "
            "specified more than once."
        )
        raise SqlError(2705, message)
    if node.computed is not None:
        column = Column(node.name, st.INT, table.next_column_id, expr=node.computed, persisted=node.persisted)
        column.definition = definition(node.computed)
        column.nullable = node.nullable is not False
    else:
        column = _plain_column(session, database, table, node)
    table.next_column_id += 1
    table.columns.append(column)
    return column


def _plain_column(session: SessionState, database: Database, table: Table, node: sm.ColumnDef) -> Column:
    type_name = node.type or n.TypeName((node.name,))
    if node.type is None and node.name.lower() not in ("timestamp", "rowversion"):
        raise SqlError(173, f"The definition for column '{node.name}' must include a data type.")
    user = database.find_type(type_name.name) if type_name.name[-1].lower() not in st.SYSTEM_TYPES else None
    kind = session.compiler().type_of(type_name)
    if node.collation is not None:
        collation = database.collation if node.collation.lower() == "database_default" else node.collation
        try:
            st.with_collation(kind, collation).type_info()
        except ValueError:
            raise SqlError(448, f"Invalid collation '{collation}'.") from None
        kind = st.with_collation(kind, collation)
    column = Column(node.name, kind, table.next_column_id, user_type=user, bound=user.bound if user else None)
    sysname = type_name.name[-1].lower() == "sysname"
    default_nullable = user.nullable if user else not (sysname or kind.name == "timestamp")
    column.nullable = default_nullable if node.nullable is None else node.nullable
    if node.identity is not None:
        column.identity = Identity(
            int(node.identity[0]), int(node.identity[1]), None, node.identity_not_for_replication
        )
        column.nullable = False
    column.sparse, column.column_set, column.rowguid = node.sparse, node.column_set, node.rowguid
    column.filestream, column.hidden, column.masked = node.filestream, node.hidden, node.masked
    column.encrypted = node.encrypted
    column.generated_always = node.generated_always
    if node.generated_always:
        column.nullable = False
    if type_name.xml_schema:
        column.xml_collection = database.xml_collection(type_name.xml_schema)
    return column


def resolve_computed(session: SessionState, table: Table) -> None:
    """Give computed columns the type of their expression."""
    plain = [ScopeColumn(c.name, c.physical, c.type, c.nullable, c) for c in table.columns if not c.computed]
    scope = Scope([source_of(table, plain)])
    compiler = session.compiler()
    for column in table.columns:
        if column.expr is not None:
            ex = compiler.value(column.expr, scope)
            column.type = ex.type or st.INT
            # Arithmetic may overflow to NULL, so SQL Server takes every expression but ISNULL for nullable.
            sure = isinstance(column.expr, n.Column) or (
                isinstance(column.expr, n.Call) and column.expr.name == "ISNULL"
            )
            column.nullable = column.nullable and (ex.nullable or not sure)


def table_from_columns(session: SessionState, name: n.Name, columns: list[OutputColumn]) -> Table:
    """A table with the columns of a query, for SELECT ... INTO."""
    session.changing()
    temporary = name[-1].startswith("#")
    database = session.server.find_database("tempdb") if temporary else session.database
    assert database is not None
    schema = database.schema_id(name[-2] if len(name) > 1 else "dbo")
    table = Table(
        database.new_object_id(), schema, name[-1], "U", database_id=database.database_id, exact=database.exact
    )
    for item in columns:
        if not item.name:
            raise SqlError(1038, "An object or column name is missing or empty.")
        column = Column(item.name, item.type, table.next_column_id, item.nullable)
        table.next_column_id += 1
        table.columns.append(column)
    if temporary:
        session.temporary[name[-1].lower()] = table
    else:
        session.require_database("CREATE TABLE")
        session.lock_catalog()
        database.add(table)
        session.lock(table, "Sch-M")
    cells = ", ".join(f"{column.physical} {column.type.storage}" for column in table.columns)
    session.execute_sql(f"CREATE TABLE {table.physical} ({cells})")
    return table


# --- constraints -----------------------------------------------------------------------------------------------


def _system_name(prefix: str, table: Table, number: int, column: str = "") -> str:
    if prefix in ("PK", "UQ"):
        return f"{prefix}__{table.name[:9]}__{number:016X}"
    middle = f"__{column[:11]}" if column else ""
    return f"{prefix}__{table.name[:10]}{middle}__{number:08X}"


def add_constraint(
    session: SessionState,
    database: Database,
    table: Table,
    node: sm.ConstraintDef,
    *,
    has_clustered: bool = False,
    trusted: bool = True,
) -> SchemaObject:
    """Add a constraint; `trusted` rows are tested against it."""
    number = database.new_object_id()
    prefix = {"PRIMARY KEY": "PK", "UNIQUE": "UQ", "FOREIGN KEY": "FK", "CHECK": "CK", "DEFAULT": "DF"}[node.kind]
    column = node.columns[0][0] if node.columns and prefix in ("DF", "CK", "FK") else ""
    name = node.name or _system_name(prefix, table, number, column)
    if table.object_id in database.objects and database.lookup(table.schema_id, name) is not None:
        raise SqlError(2714, f"There is already an object named '{name}' in the database.")
    common = (number, table.schema_id, name)
    if node.kind in ("PRIMARY KEY", "UNIQUE"):
        item = _add_key(session, table, node, common, has_clustered)
    elif node.kind == "FOREIGN KEY":
        item = _add_foreign_key(session, database, table, node, common, trusted)
    elif node.kind == "CHECK":
        item = _add_check(session, table, node, common, trusted)
    else:
        item = _add_default(table, node, common)
    item.parent_id = table.object_id
    item.system_named = node.name is None
    if table.object_id in database.objects:
        database.objects[number] = item
    return item


def _add_key(
    session: SessionState, table: Table, node: sm.ConstraintDef, common: tuple[int, int, str], has_clustered: bool
) -> SchemaObject:
    primary = node.kind == "PRIMARY KEY"
    if primary and table.primary_key is not None:
        raise SqlError(1779, f"Table '{table.name}' already has a primary key defined on it.")
    columns = [(table.column(name), descending) for name, descending in node.columns]
    for column, _ in columns:
        constraints.require_keyable(column)
        if primary:
            column.nullable = False
    taken = has_clustered or any(index.kind.startswith("CLUSTERED") for index in table.indexes)
    clustered = node.clustered if node.clustered is not None else primary and not taken
    constraint = SchemaObject(*common, "PK" if primary else "UQ")
    index = Index(
        _index_id(table, clustered),
        common[2],
        "CLUSTERED" if clustered else "NONCLUSTERED",
        [(column.column_id, descending) for column, descending in columns],
        unique=True,
        primary=primary,
        constraint=constraint,
        ignore_dup_key=node.ignore_dup_key,
    )
    constraints.check_existing(session, table, index)
    table.indexes.append(index)
    return constraint


def _index_id(table: Table, clustered: bool) -> int:
    if clustered:
        if any(index.index_id == 1 for index in table.indexes):
            raise SqlError(1902, f"Cannot create more than one clustered index on table '{table.name}'.")
        return 1
    return max([1, *(index.index_id for index in table.indexes)]) + 1


def _add_check(
    session: SessionState, table: Table, node: sm.ConstraintDef, common: tuple[int, int, str], trusted: bool
) -> CheckConstraint:
    assert node.expr is not None
    column = table.column(node.columns[0][0]).column_id if node.columns else 0
    check = CheckConstraint(*common, "C", definition=definition(node.expr), expr=node.expr, column_id=column)
    check.not_for_replication = node.not_for_replication
    check.not_trusted = not trusted
    if trusted:
        constraints.check_constraint(session, session.compiler(), table, check, table.physical)
    table.checks.append(check)
    return check


def _add_default(table: Table, node: sm.ConstraintDef, common: tuple[int, int, str]) -> DefaultConstraint:
    assert node.expr is not None
    column = table.column(node.columns[0][0])
    if column.default is not None:
        raise SqlError(1781, "Column already has a DEFAULT bound to it.")
    default = DefaultConstraint(
        *common, "D", definition=definition(node.expr), expr=node.expr, column_id=column.column_id
    )
    column.default = default
    return default


def _add_foreign_key(
    session: SessionState,
    database: Database,
    table: Table,
    node: sm.ConstraintDef,
    common: tuple[int, int, str],
    trusted: bool,
) -> ForeignKey:
    parent = table
    if not (len(node.reference) == 1 and node.reference[0].lower() == table.name.lower()):
        found = database.find(node.reference[-2:])
        if not isinstance(found, Table):
            name = ".".join(node.reference)
            raise SqlError(1767, f"Foreign key '{common[2]}' references invalid table '{name}'.")
        parent = found
    if node.referenced_columns:
        referenced = [parent.column(name).column_id for name in node.referenced_columns]
    elif parent.primary_key is not None:
        referenced = [column_id for column_id, _ in parent.primary_key.columns]
    else:
        raise SqlError(1773, f"Foreign key '{common[2]}' references object '{parent.name}' which has no primary key.")
    own = [table.column(name).column_id for name, _ in node.columns]
    index = next(
        (i for i in parent.indexes if i.unique and {c for c, _ in i.columns} == set(referenced) and i.filter is None),
        None,
    )
    if index is None:
        message = (
            f"There are no primary or candidate keys in the referenced table '{'.'.join(node.reference)}' that match "
            f"the referencing column list in the foreign key '{common[2]}'."
        )
        raise SqlError(1776, message)
    key = ForeignKey(
        *common,
        "F",
        referenced_id=parent.object_id,
        key_index_id=index.index_id,
        columns=list(zip(own, referenced, strict=True)),
        on_delete=node.on_delete,
        on_update=node.on_update,
        not_for_replication=node.not_for_replication,
        not_trusted=not trusted,
    )
    if trusted:
        constraints.check_foreign_key(session, session.compiler(), table, key, table.physical)
    table.foreign_keys.append(key)
    return key


# --- indexes ---------------------------------------------------------------------------------------------------


def create_index(session: SessionState, table: Table, node: sm.IndexDef) -> None:
    """CREATE INDEX of any kind; DuckDB needs none of them."""
    session.require("ALTER", table)
    columns = [(table.column(name).column_id, descending) for name, descending in node.columns]
    if node.kind == "FULLTEXT":
        key = next((index for index in table.indexes if index.name.lower() == node.name.lower()), None)
        if key is None:
            raise SqlError(7653, f"'{node.name}' is not a valid index to enforce a full-text search key.")
        table.fulltext = (key.index_id, [column_id for column_id, _ in columns])
        return
    if any(index.name.lower() == node.name.lower() for index in table.indexes):
        message = (
            f"The operation failed because an index or statistics with name '{node.name}' already exists on table "
            f"'{table.name}'."
        )
        raise SqlError(1913, message)
    ordinary = node.kind in ("CLUSTERED", "NONCLUSTERED", "NONCLUSTERED HASH")
    if ordinary:
        for column_id, _ in columns:
            constraints.require_keyable(table.by_id(column_id))
    number = _index_id(table, node.kind.startswith("CLUSTERED"))
    if node.kind in ("XML", "SPATIAL"):
        base = 256_000 if node.kind == "XML" else 384_000
        number = max([base - 1, *(index.index_id for index in table.indexes)]) + 1
    if node.kind == "NONCLUSTERED COLUMNSTORE":
        columns = [(column_id, False) for column_id, _ in columns]
    index = Index(
        number,
        node.name,
        node.kind,
        columns,
        [table.column(name).column_id for name in node.included],
        node.unique,
        filter=None if node.filter is None else filter_definition(node.filter),
        filter_expr=node.filter,
        ignore_dup_key=node.options.get("IGNORE_DUP_KEY") == "ON",
        fill_factor=int(node.options.get("FILLFACTOR", "0")),
    )
    if index.unique:
        constraints.check_existing(session, table, index)
    table.indexes.append(index)


def alter_index(session: SessionState, statement: sm.AlterIndex) -> None:
    table = session.table(statement.table)
    for index in table.indexes:
        if statement.name is None or index.name.lower() == statement.name.lower():
            if statement.action == "DISABLE":
                index.disabled = True
            elif statement.action == "REBUILD":
                index.disabled = False


# --- temporal tables -------------------------------------------------------------------------------------------


def set_period(table: Table, period: tuple[str, str]) -> None:
    """PERIOD FOR SYSTEM_TIME."""
    first, second = (table.column(name) for name in period)
    first.generated_always = first.generated_always or 1
    second.generated_always = second.generated_always or 2
    table.period = (first.column_id, second.column_id)


def start_versioning(session: SessionState, database: Database, table: Table, history: n.Name) -> None:
    """SYSTEM_VERSIONING = ON: the history table is made unless it is there.

    Raises:
        SqlError: 13553, the table has no period.
    """
    if table.period is None or table.primary_key is None:
        raise SqlError(
            13553, f"System versioning cannot be turned on for table '{table.name}' without a period and key."
        )
    name = history or (database.schemas[table.schema_id], f"MSSQL_TemporalHistoryFor_{table.object_id}")
    found = database.find(name)
    if found is None:
        made = Table(database.new_object_id(), database.schema_id(name[-2] if len(name) > 1 else "dbo"), name[-1], "U")
        made.database_id, made.exact = database.database_id, database.exact
        for column in table.columns:
            copied = Column(column.name, column.type, column.column_id, column.nullable, column.user_type)
            made.columns.append(copied)
        made.next_column_id = table.next_column_id
        made.indexes.append(
            Index(1, f"ix_{made.name}", "CLUSTERED", [(table.period[1], False), (table.period[0], False)])
        )
        cells = ", ".join(f"{column.physical} {column.type.storage}" for column in made.columns)
        session.execute_sql(f"CREATE TABLE {made.physical} ({cells})")
        database.add(made)
        found = made
    if isinstance(found, Table):
        found.temporal_type = 1
        table.temporal_type = 2
        table.history_id = found.object_id


def fill_column(session: SessionState, table: Table, column: Column, value: Ex) -> None:
    """Give a new column a value in the rows there are."""
    session.execute_sql(f"UPDATE {table.physical} SET {column.physical} = {cast(value, column.type).sql}")
