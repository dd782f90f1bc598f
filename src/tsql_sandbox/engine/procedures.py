"""System procedures, SET options, @@ functions, and procedures of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..catalog.model import DefaultConstraint, ExtendedProperty, Module, SchemaObject, Table
from ..compiler.casts import Ex, cast, constant
from ..compiler.functions_catalog import parse_name
from ..compiler.outputs import OutputColumn
from ..errors import SqlError, Unsupported
from ..tsql import lexer
from ..tsql import nodes as n
from ..tsql import statements as sm
from ..tsql.parse_query import QueryParser
from ..values import sqltypes as st
from ..values.convert import convert
from ..values.variants import wrap
from . import ddl_objects, tracking
from .flow import Return
from .state import SessionState

Arguments = dict[str, tuple[Any, Any]]
"""Parameter name in lower case (or its position from 1, as text) -> value and type."""


# --- SET and @@ ------------------------------------------------------------------------------------------------


def set_option(session: SessionState, statement: sm.SetOption) -> None:
    """SET of an option; those that mean nothing here are accepted.

    Raises:
        Unsupported: nobody knows the option.
    """
    on = statement.value == "ON"
    for word in statement.words:
        if word == "NOCOUNT":
            session.nocount = on
        elif word == "XACT_ABORT":
            session.xact_abort = on
        elif word == "IMPLICIT_TRANSACTIONS":
            session.implicit_transactions = on
        elif word == "QUOTED_IDENTIFIER":
            session.quoted_identifiers = on
        elif word == "FMTONLY":
            session.fmtonly = on
        elif word == "ISOLATION":
            session.isolation = statement.value
        elif word == "IDENTITY_INSERT":
            table = session.table(statement.table)
            if on and table.identity is None:
                raise SqlError(8106, f"Table '{table.name}' does not have the identity property.")
            if on and session.identity_insert not in (None, table.object_id):
                raise SqlError(8107, f"IDENTITY_INSERT is already ON for another table than '{table.name}'.")
            session.identity_insert = table.object_id if on else None
        elif word == "LOCK_TIMEOUT":
            session.options[word] = str(int(statement.value))
        elif word in _ACCEPTED:
            session.options[word] = statement.value
        else:
            raise Unsupported(f"SET {word}")


_ACCEPTED = frozenset(
    """ANSI_NULLS ANSI_PADDING ANSI_WARNINGS ANSI_NULL_DFLT_ON ANSI_NULL_DFLT_OFF ANSI_DEFAULTS ARITHABORT ARITHIGNORE
    CONCAT_NULL_YIELDS_NULL NUMERIC_ROUNDABORT TEXTSIZE DEADLOCK_PRIORITY ROWCOUNT DATEFORMAT DATEFIRST
    LANGUAGE CURSOR_CLOSE_ON_COMMIT STATISTICS SHOWPLAN_ALL SHOWPLAN_TEXT NOEXEC PARSEONLY CONTEXT_INFO NO_BROWSETABLE
    QUERY_GOVERNOR_COST_LIMIT FIPS_FLAGGER REMOTE_PROC_TRANSACTIONS FORCEPLAN""".split()  # noqa: SIM905
)


# --- EXEC ------------------------------------------------------------------------------------------------------


def execute(session: SessionState, statement: sm.Execute) -> None:
    """EXEC of a system procedure or one of the user's.

    Raises:
        SqlError: 2812, there is none.
    """
    name = statement.procedure
    if name[-1].startswith("@"):
        name = parse_name(str(session.variable(name[-1].lower()).const))
    short = name[-1].lower()
    handler = _PROCEDURES.get(short)
    if handler is not None:
        result = handler(session, _arguments(session, statement))
        if statement.result is not None:
            session.assign(statement.result, constant(result or 0, st.INT))
        return
    item = session.find_object(name)
    if not isinstance(item, Module) or item.kind != "P":
        raise SqlError(2812, f"Could not find stored procedure '{'.'.join(name)}'.", 16)
    session.require("EXECUTE", item)
    _call_procedure(session, item, statement)


def _arguments(session: SessionState, statement: sm.Execute) -> Arguments:
    found: Arguments = {}
    for position, (name, expr, _) in enumerate(statement.arguments, 1):
        value, kind = session.scalar(expr) if not isinstance(expr, n.Default) else (None, None)
        found[name or str(position)] = (value, kind)
    return found


def _call_procedure(session: SessionState, item: Module, statement: sm.Execute) -> None:
    node = item.node
    if node is None or node.body_error:
        raise SqlError(40517, f"Procedure '{item.name}' cannot be run: {node.body_error if node else ''}")
    inner: dict[str, Ex] = {}
    outputs: list[tuple[str, str]] = []
    given = dict(enumerate(statement.arguments))
    named = {name: (expr, out) for name, expr, out in statement.arguments if name}
    for position, (name, type_name, default, _) in enumerate(node.parameters):
        kind = session.compiler().type_of(type_name)
        expr: n.Expr | None = default
        if name in named:
            expr, out = named[name]
        elif position in given and given[position][0] is None:
            _, expr, out = given[position]
        else:
            out = False
        if expr is None:
            message = f"Procedure or function '{item.name}' expects parameter '{name}', which was not supplied."
            raise SqlError(201, message)
        if out and isinstance(expr, n.Variable):
            outputs.append((name, expr.name))
        value, source = session.scalar(expr if not isinstance(expr, n.Default) else default or n.Literal(None, None))
        inner[name] = cast(constant(value, source), kind) if source is not None else constant(None, kind)
    outer, session.variables = session.variables, inner
    result = 0
    try:
        session.run_statements(node.body)
    except Return as returned:
        result = returned.value
    finally:
        finished, session.variables = session.variables, outer
    for name, target in outputs:
        session.assign(target, finished[name])
    if statement.result is not None:
        session.assign(statement.result, constant(result, st.INT))


def _text(arguments: Arguments, name: str, position: int, default: str | None = None) -> str | None:
    value, kind = arguments.get(name, arguments.get(str(position), (None, None)))
    if value is None or kind is None:
        return default
    return str(convert(value, kind, st.NVARCHAR_MAX))


# --- extended properties ---------------------------------------------------------------------------------------


def _securable(session: SessionState, arguments: Arguments, shift: int) -> tuple[int, int, int]:
    """Class, major and minor id of what an extended property belongs to."""
    levels = []
    for level in range(3):
        kind = _text(arguments, f"@level{level}type", shift + level * 2)
        name = _text(arguments, f"@level{level}name", shift + 1 + level * 2)
        if kind is not None and name is not None:
            levels.append((kind.upper(), name))
    database = session.database
    if not levels:
        return 0, 0, 0
    if levels[0][0] not in ("SCHEMA", "USER"):
        raise Unsupported(f"extended properties of {levels[0][0]}")
    schema = database.schema_id(levels[0][1])
    if len(levels) == 1:
        return 3, schema, 0
    if levels[1][0] == "TYPE":
        found = database.find_type((levels[0][1], levels[1][1]))
        if found is None:
            raise _no_property(levels[1][1])
        return 6, found.user_type_id, 0
    item = database.lookup(schema, levels[1][1])
    if item is None:
        raise _no_property(levels[1][1])
    if len(levels) == 2:
        return 1, item.object_id, 0
    return _child(session, item, *levels[2])


def _child(session: SessionState, item: SchemaObject, kind: str, name: str) -> tuple[int, int, int]:
    if kind == "COLUMN" and isinstance(item, Table | Module):
        found = [column for column in item.columns if column.name.lower() == name.lower()]
        if found:
            return 1, item.object_id, found[0].column_id
    if kind == "INDEX" and isinstance(item, Table):
        indexes = [index for index in item.indexes if index.name.lower() == name.lower()]
        if indexes:
            return 7, item.object_id, indexes[0].index_id
    if kind in ("CONSTRAINT", "TRIGGER"):
        child = session.database.lookup(item.schema_id, name)
        if child is not None:
            return 1, child.object_id, 0
    raise _no_property(name)


def _no_property(name: str) -> SqlError:
    return SqlError(
        15135, f"Object is invalid. Extended properties are not permitted on '{name}', or it does not exist."
    )


def _add_property(session: SessionState, arguments: Arguments) -> int:
    name = _text(arguments, "@name", 1) or ""
    value, kind = arguments.get("@value", arguments.get("2", (None, None)))
    stored = None if value is None or kind is None else wrap(value, _bounded(kind))
    place = _securable(session, arguments, 3)
    session.changing()
    if _find_property(session, place, name) is not None:
        raise SqlError(15233, f"Property cannot be added. Property '{name}' already exists.")
    session.database.properties.append(ExtendedProperty(*place, name, stored))
    session.database.changed()
    return 0


def _bounded(kind: Any) -> Any:
    return st.make(kind.name, 4000 if kind.name == "nvarchar" else 8000) if kind.is_max else kind


def _find_property(session: SessionState, place: tuple[int, int, int], name: str) -> ExtendedProperty | None:
    for item in session.database.properties:
        if (item.kind, item.major_id, item.minor_id) == place and item.name.lower() == name.lower():
            return item
    return None


def _update_property(session: SessionState, arguments: Arguments) -> int:
    name = _text(arguments, "@name", 1) or ""
    found = _find_property(session, _securable(session, arguments, 3), name)
    if found is None:
        raise SqlError(15217, f"Property cannot be updated or deleted. Property '{name}' does not exist.")
    session.changing()
    value, kind = arguments.get("@value", arguments.get("2", (None, None)))
    found.value = None if value is None or kind is None else wrap(value, _bounded(kind))
    session.database.changed()
    return 0


def _drop_property(session: SessionState, arguments: Arguments) -> int:
    name = _text(arguments, "@name", 1) or ""
    found = _find_property(session, _securable(session, arguments, 2), name)
    if found is None:
        raise SqlError(15217, f"Property cannot be updated or deleted. Property '{name}' does not exist.")
    session.changing()
    session.database.properties.remove(found)
    session.database.changed()
    return 0


# --- other system procedures -----------------------------------------------------------------------------------


def _rename(session: SessionState, arguments: Arguments) -> int:
    old = parse_name(_text(arguments, "@objname", 1) or "")
    new = _text(arguments, "@newname", 2) or ""
    kind = (_text(arguments, "@objtype", 3) or "OBJECT").upper()
    held = session.find_object(old if kind == "OBJECT" else old[:-1]) if kind in ("OBJECT", "COLUMN", "INDEX") else None
    if held is not None:
        session.lock(held, "Sch-M")
        session.lock_catalog()
        session.hidden.add((session.database.database_id, held.name.lower()))
    session.changing()
    if kind == "COLUMN":
        session.table(old[:-1]).column(old[-1]).name = new
    elif kind == "INDEX":
        table = session.table(old[:-1])
        for index in table.indexes:
            if index.name.lower() == old[-1].lower():
                index.name = new
                if index.constraint is not None:
                    index.constraint.name = new
    elif kind in ("OBJECT", "USERDATATYPE"):
        item = session.find_object(old)
        if item is None:
            raise SqlError(
                15225, f"No item by the name of '{'.'.join(old)}' could be found in the current database.", 11
            )
        item.name = new
        parent = session.database.objects.get(item.parent_id)
        for index in parent.indexes if isinstance(parent, Table) else ():
            if index.constraint is item:
                index.name = new
    session.database.changed()
    session.sink.info(15477, "Caution: Changing any part of an object name could break scripts and stored procedures.")
    return 0


def _add_type(session: SessionState, arguments: Arguments) -> int:
    name = _text(arguments, "@typename", 1) or ""
    base = QueryParser(_text(arguments, "@phystype", 2) or "").type_name()
    nullable = (_text(arguments, "@nulltype", 3) or "NULL").upper() != "NOT NULL"
    ddl_objects.run(session, sm.CreateObject("TYPE", (name,), {"base": base, "nullable": nullable}))
    session.database.changed()
    return 0


def _execute_sql(session: SessionState, arguments: Arguments) -> int:
    sql = _text(arguments, "@stmt", 1) or _text(arguments, "@statement", 1) or ""
    declared = declarations(session, _text(arguments, "@params", 2) or _text(arguments, "@parameters", 2) or "")
    inner: dict[str, Ex] = {}
    for position, (name, kind) in enumerate(declared, 3):
        value, source = arguments.get(name, arguments.get(str(position), (None, None)))
        inner[name] = cast(constant(value, source), kind) if source is not None else constant(None, kind)
    outer, session.variables = session.variables, inner
    try:
        session.run_batch(sql)
    finally:
        session.variables = outer
    return 0


def declarations(session: SessionState, text: str) -> list[tuple[str, Any]]:
    """A parameter list such as `@a int, @b nvarchar(10) OUTPUT` as names and types."""
    parser = QueryParser(text)
    found: list[tuple[str, Any]] = []
    compiler = session.compiler()
    while parser.token.kind == lexer.VARIABLE:
        name = parser.take().value.lower()
        parser.accept("AS")
        found.append((name, compiler.type_of(parser.type_name())))
        if parser.accept("="):
            parser.expression()
        parser.accept_any("OUTPUT", "OUT", "READONLY")
        if not parser.accept(","):
            break
    return found


def _nothing(_session: SessionState, _arguments: Arguments) -> int:
    return 0


def _add_role_member(session: SessionState, arguments: Arguments) -> int:
    ddl_objects.change_role(
        session, _text(arguments, "@rolename", 1) or "", _text(arguments, "@membername", 2) or "", True
    )
    return 0


def _fault(session: SessionState, arguments: Arguments) -> int:
    return session.server.faults.set_by_arguments(
        {
            name: (None if kind is None else convert(value, kind, st.NVARCHAR_MAX))
            for name, (value, kind) in arguments.items()
        }
    )


def _drop_database(session: SessionState, arguments: Arguments) -> int:
    session.server.drop_database(_text(arguments, "@name", 1) or "", force=True)
    return 0


def _counters(session: SessionState, _arguments: Arguments) -> int:
    columns = [
        OutputColumn("login", "o1", st.SYSNAME),
        OutputColumn("app_name", "o2", st.SYSNAME),
        OutputColumn("connections", "o3", st.INT),
        OutputColumn("most_connections", "o4", st.INT),
        OutputColumn("logins", "o5", st.INT),
    ]
    rows = session.server.counters.rows()
    session.sink.columns(columns)
    session.sink.rows(rows)
    session.sink.done(len(rows), "SELECT")
    return 0


def _bind_default(session: SessionState, arguments: Arguments) -> int:
    """sp_bindefault: a default of CREATE DEFAULT for a column, or for an alias type and the columns of it."""
    item = session.find_object(parse_name(_text(arguments, "@defname", 1) or ""))
    if not isinstance(item, DefaultConstraint) or item.parent_id:
        raise SqlError(15016, f"The default '{_text(arguments, '@defname', 1)}' does not exist.")
    only_future = (_text(arguments, "@futureonly", 3) or "").lower() == "futureonly"
    _bind(session, _text(arguments, "@objname", 2) or "", item, only_future)
    return 0


def _unbind_default(session: SessionState, arguments: Arguments) -> int:
    """sp_unbindefault."""
    only_future = (_text(arguments, "@futureonly", 2) or "").lower() == "futureonly"
    _bind(session, _text(arguments, "@objname", 1) or "", None, only_future)
    return 0


def _bind(session: SessionState, text: str, item: DefaultConstraint | None, only_future: bool) -> None:
    name = parse_name(text)
    session.changing()
    user = session.database.find_type(name) if len(name) < 3 else None
    if user is not None:
        columns = [column for table in session.database.tables() for column in table.columns]
        for column in columns if not only_future else ():
            if column.user_type is user and column.bound is user.bound:
                column.bound = item
        user.bound = item
    else:
        column = session.table(name[:-1]).column(name[-1])
        if item is not None and column.identity is not None:
            raise SqlError(15102, "Cannot bind a default to an identity column.")
        if item is not None and column.default is not None:
            raise SqlError(15103, "Cannot bind a default to a column created with or altered to have a default value.")
        column.bound = item
    session.database.changed()


def _clean_changes(session: SessionState, arguments: Arguments) -> int:
    """Change tracking's clean-up now: by the retention period, or of all older than @seconds."""
    database = session.database
    if database.tracking is None:
        message = f"Change tracking is disabled for database '{database.name}'. Change tracking must be enabled on a"
        raise SqlError(5089, message + " database to modify change tracking settings.")
    seconds = float((arguments.get("@seconds") or (tracking.retention_seconds(database.tracking), None))[0])
    name = _text(arguments, "@tabletoclean", 1)
    table = session.table(parse_name(name)) if name else None
    tracking.clean(session, database, seconds, table)
    return 0


_PROCEDURES: dict[str, Callable[[Any, Arguments], int]] = {
    "sp_addextendedproperty": _add_property,
    "sp_updateextendedproperty": _update_property,
    "sp_dropextendedproperty": _drop_property,
    "sp_rename": _rename,
    "sp_addtype": _add_type,
    "sp_executesql": _execute_sql,
    "sp_addrolemember": _add_role_member,
    "sp_reset_connection": _nothing,
    "sp_dboption": _nothing,
    "sp_db_vardecimal_storage_format": _nothing,
    "sp_tableoption": _nothing,
    "sp_fulltext_database": _nothing,
    "sp_updatestats": _nothing,
    "sp_refreshview": _nothing,
    "sp_flush_ct_internal_table_on_demand": _clean_changes,
    "sandbox_clean_changes": _clean_changes,
    "sp_bindefault": _bind_default,
    "sp_unbindefault": _unbind_default,
    "sandbox_fault": _fault,
    "sandbox_counters": _counters,
    "sandbox_drop_database": _drop_database,
}
