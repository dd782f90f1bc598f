"""CREATE and DROP of everything that is not a table or an index."""

from __future__ import annotations

import datetime as dt
from typing import Any

from ..catalog.database import Database
from ..catalog.model import (
    NO_SCHEMA,
    Column,
    DefaultConstraint,
    Module,
    Principal,
    SchemaObject,
    Synonym,
    Table,
    UserType,
    column_place,
)
from ..catalog.model import Sequence as SequenceObject
from ..errors import SqlError, Unsupported
from ..tsql import nodes as n
from ..tsql import statements as sm
from ..values import sqltypes as st
from . import tracking
from .constraints import referencing
from .ddl import new_table
from .state import SessionState

_MODULE_KINDS = {"VIEW": "V", "PROCEDURE": "P", "TRIGGER": "TR"}
_FUNCTION_KINDS = {"SCALAR": "FN", "INLINE TABLE": "IF", "TABLE": "TF"}
_DROP_KINDS = {
    "TABLE": ("U",),
    "VIEW": ("V",),
    "PROCEDURE": ("P",),
    "FUNCTION": ("FN", "IF", "TF"),
    "TRIGGER": ("TR",),
    "SEQUENCE": ("SO",),
    "SYNONYM": ("SN",),
    "DEFAULT": ("D",),
}
_SEQUENCE_RANGES = {
    "tinyint": (0, 255),
    "smallint": (-(1 << 15), (1 << 15) - 1),
    "int": (-(1 << 31), (1 << 31) - 1),
    "bigint": (-(1 << 63), (1 << 63) - 1),
}


def run(session: SessionState, statement: sm.Statement) -> None:
    """Run one of these statements.

    Raises:
        SqlError: it cannot.
    """
    if isinstance(statement, sm.CreateModule):
        _create_module(session, statement)
    elif isinstance(statement, sm.CreateObject):
        _create(session, statement)
    elif isinstance(statement, sm.Drop):
        for number, name in enumerate(statement.names):
            _drop(session, statement, name, number)
    elif isinstance(statement, sm.Permission):
        _permission(session, statement)
    else:
        raise Unsupported(type(statement).__name__)


# --- modules ---------------------------------------------------------------------------------------------------


def _create_module(session: SessionState, node: sm.CreateModule) -> None:
    database = session.database
    kind = _MODULE_KINDS.get(node.kind) or _FUNCTION_KINDS[node.returns]
    schema = database.schema_id(node.name[-2] if len(node.name) > 1 else "dbo")
    existing = database.lookup(schema, node.name[-1])
    parent = 0
    if kind == "TR" and node.parent == ("",):
        # A trigger on the database is in no schema, nor in sys.objects ("sys.triggers", "OBJECT_ID").
        schema, existing = NO_SCHEMA, database.lookup(NO_SCHEMA, node.name[-1])
    elif kind == "TR":
        found = session.find_object(node.parent)
        if found is None:
            raise SqlError(
                8197, f"The object '{'.'.join(node.parent)}' does not exist or is invalid for this operation."
            )
        parent, schema = found.object_id, found.schema_id
        existing = database.lookup(schema, node.name[-1])
    columns = _view_columns(session, node) if kind == "V" else []
    if existing is not None and node.alter:
        if not isinstance(existing, Module):
            raise SqlError(
                2010, f"Cannot perform alter on '{node.name[-1]}' because it is an incompatible object type."
            )
        existing.node, existing.text, existing.columns = node, _created_text(node.text), columns
        existing.modified = dt.datetime.now().replace(microsecond=0)
        return
    if existing is None and not node.create:
        raise SqlError(208, f"Invalid object name '{'.'.join(node.name)}'.")
    module = Module(database.new_object_id(), schema, node.name[-1], kind, parent, node=node, columns=columns)
    module.text = node.text
    database.add(module)


def _created_text(text: str) -> str:
    # sys.sql_modules shows the text of the last CREATE or ALTER as CREATE.
    head, _, rest = text.partition(" ")
    return f"CREATE {rest.lstrip()}" if head.upper() == "ALTER" else text


def _view_columns(session: SessionState, node: sm.CreateModule) -> list[Column]:
    if node.query is None:
        return []
    compiled = session.compiler().query(node.query, None)
    names = node.columns or tuple(column.name for column in compiled.columns)
    found: list[Column] = []
    for number, (name, column) in enumerate(zip(names, compiled.columns, strict=False), 1):
        if not name:
            raise SqlError(4511, f"Create View failed because no column name was specified for column {number}.")
        found.append(Column(name, column.type, number, column.nullable))
    return found


# --- simple objects --------------------------------------------------------------------------------------------


def _create(session: SessionState, node: sm.CreateObject) -> None:
    database = session.database
    name, options = node.name, node.options
    kind = node.kind
    if kind == "SCHEMA":
        database.add_schema(name[-1])
    elif kind == "DATABASE":
        session.server.create_database(name[-1], options.get("collation"))
    elif kind == "DATABASE OPTION":
        _set_database_option(session, name[-1], options)
    elif kind == "LOGIN":
        session.server.add_login(name[-1], options["password"])
    elif kind in ("USER", "ROLE"):
        number = max(p.principal_id for p in database.principals.values() if p.principal_id < 16384) + 1
        letter = "S" if kind == "USER" else "R"
        database.principals[name[-1].lower()] = Principal(number, name[-1], letter, options.get("login", ""))
    elif kind == "ROLE MEMBER":
        change_role(session, name[-1], options["member"], options["verb"] == "ADD")
    elif kind == "SYNONYM":
        schema = database.schema_id(name[-2] if len(name) > 1 else "dbo")
        database.add(Synonym(database.new_object_id(), schema, name[-1], "SN", base=options["base"]))
    elif kind == "DEFAULT":
        schema = database.schema_id(name[-2] if len(name) > 1 else "dbo")
        made = DefaultConstraint(database.new_object_id(), schema, name[-1], "D", expr=options["expr"])
        made.definition = options["text"]
        database.add(made)
    elif kind in ("TYPE", "TABLE TYPE"):
        _create_type(session, node)
    elif kind == "SEQUENCE":
        _create_sequence(session, node)
    elif kind == "ALTER SEQUENCE":
        _alter_sequence(session, node)
    elif kind == "XML SCHEMA COLLECTION":
        schema = database.schema_id(name[-2] if len(name) > 1 else "dbo")
        database.xml_collections[65536 + len(database.xml_collections)] = (schema, name[-1])
    elif kind == "SCHEMA TRANSFER":
        item = session.find_object(options["object"])
        if item is None:
            raise SqlError(15151, f"Cannot find the object '{options['object'][-1]}'.")
        item.schema_id = database.schema_id(name[-1])
        for child in database.every():
            if child.parent_id == item.object_id:
                child.schema_id = item.schema_id
    else:
        raise Unsupported(f"CREATE {kind}")


def _set_database_option(session: SessionState, name: str, options: dict[str, Any]) -> None:
    current = name.upper() == "CURRENT"
    database = session.database if current else session.server.find_database(name)
    if database is None:
        message = f"User does not have permission to alter database '{name}', the database does not exist, or the "
        raise SqlError(5011, message + "database is not in a state that allows access checks.", 14)
    if options["option"] == "CHANGE_TRACKING":
        tracking.alter_database(session, database, options["on"], options["settings"])
    elif options["option"] == "READ_COMMITTED_SNAPSHOT":
        database.read_committed_snapshot = bool(options["on"])
    elif options["option"] in ("READ_ONLY", "READ_WRITE"):
        database.read_only = bool(options["on"])
    else:
        database.snapshot_allowed = bool(options["on"])


def change_role(session: SessionState, role: str, member: str, add: bool) -> None:
    """Make a user a member of a role, or no more; sysadmin is the server's."""
    if role.lower() == "sysadmin":
        login = session.server.find_login(member)
        if login is not None:
            login.sysadmin = add
            session.server.rights_version += 1
        return
    principal = session.database.principals.get(member.lower())
    if principal is None or role.lower() not in session.database.principals:
        raise SqlError(15151, f"Cannot add the principal '{member}', because it does not exist.")
    if add:
        principal.roles.add(role.lower())
    else:
        principal.roles.discard(role.lower())
    session.database.changed()


def _create_type(session: SessionState, node: sm.CreateObject) -> None:
    database = session.database
    schema = database.schema_id(node.name[-2] if len(node.name) > 1 else "dbo")
    if database.find_type(node.name) is not None:
        raise SqlError(219, f"The type '{'.'.join(node.name)}' already exists.")
    number = database.new_type_id()
    if node.kind == "TABLE TYPE":
        table = new_table(session, database, node.options["table"])
        table.kind, table.name = "TT", f"TT_{node.name[-1]}_{table.object_id:08X}"
        database.types[number] = UserType(number, schema, node.name[-1], st.INT, False, table)
        database.objects[table.object_id] = table
        return
    base = session.compiler().type_of(node.options["base"])
    database.types[number] = UserType(number, schema, node.name[-1], base, node.options["nullable"])


def _create_sequence(session: SessionState, node: sm.CreateObject) -> None:
    database = session.database
    options: dict[str, Any] = node.options
    schema = database.schema_id(node.name[-2] if len(node.name) > 1 else "dbo")
    user = database.find_type(options["type"].name) if "type" in options else None
    kind = session.compiler().type_of(options["type"]) if "type" in options else st.BIGINT
    low, high = _SEQUENCE_RANGES.get(kind.name, (-(10**kind.precision) + 1, 10**kind.precision - 1))
    increment = int(options.get("increment") or 1)
    limits = {"minimum": low, "maximum": high, **options}
    start = int({"start": limits["minimum" if increment > 0 else "maximum"], **options}["start"])
    sequence = SequenceObject(
        database.new_object_id(),
        schema,
        node.name[-1],
        "SO",
        type=kind,
        user_type=user,
        start=start,
        increment=increment,
        minimum=limits["minimum"],
        maximum=limits["maximum"],
        cycle=bool(options.get("cycle")),
        cache=options.get("cache"),
        current=start,
    )
    database.add(sequence)


def _alter_sequence(session: SessionState, node: sm.CreateObject) -> None:
    item = session.find_object(node.name)
    if not isinstance(item, SequenceObject):
        raise SqlError(15151, f"Cannot find the sequence '{'.'.join(node.name)}'.")
    options: dict[str, Any] = node.options
    if "restart" in options:
        item.current = item.start if options["restart"] is None else options["restart"]
        item.used = False
    for attribute in ("increment", "minimum", "maximum", "cycle", "cache"):
        if attribute in options:
            setattr(item, attribute, options[attribute])


# --- DROP ------------------------------------------------------------------------------------------------------


def _drop(session: SessionState, node: sm.Drop, name: n.Name, number: int) -> None:
    database = session.database
    if node.kind == "INDEX":
        parent = session.find_object(node.parents[number])
        if isinstance(parent, Table):
            _drop_index(parent, name[-1], node.if_exists)
        elif not node.if_exists:
            raise _missing("index", (*node.parents[number], name[-1]))
    elif node.kind == "DATABASE":
        if session.server.find_database(name[-1]) is not None or not node.if_exists:
            session.server.drop_database(name[-1])
    elif node.kind == "SCHEMA":
        _drop_schema(database, name[-1], node.if_exists)
    elif node.kind == "TYPE":
        found = database.find_type(name)
        if found is not None:
            del database.types[found.user_type_id]
        elif not node.if_exists:
            raise _missing("type", name)
    elif node.kind == "LOGIN":
        if session.server.find_login(name[-1]) is None:
            raise SqlError(15151, f"Cannot drop the login '{name[-1]}', because it does not exist.")
        session.server.drop_login(name[-1])
    elif node.kind in ("USER", "ROLE"):
        if database.principals.pop(name[-1].lower(), None) is None and not node.if_exists:
            raise _missing(node.kind.lower(), name)
        database.forget_permissions(principal=name[-1].lower())
    elif node.kind == "XML SCHEMA COLLECTION":
        del database.xml_collections[database.xml_collection(name)]
    elif node.kind in _DROP_KINDS:
        _drop_object(session, node, name)
    else:
        raise Unsupported(f"DROP {node.kind}")


def _missing(kind: str, name: n.Name) -> SqlError:
    text = ".".join(name)
    message = f"Cannot drop the {kind} '{text}', because it does not exist or you do not have permission."
    return SqlError(3701, message, 11)


def _drop_object(session: SessionState, node: sm.Drop, name: n.Name) -> None:
    if name[-1].startswith("#"):
        table = session.temporary.pop(name[-1].lower(), None)
        if table is not None:
            session.execute_sql(f"DROP TABLE {table.physical}")
        elif not node.if_exists:
            raise _missing("table", name)
        return
    item: SchemaObject | None = session.find_object(name)
    if node.on_database:
        item = session.database.lookup(NO_SCHEMA, name[-1])
    if item is None or item.kind not in _DROP_KINDS[node.kind]:
        if node.if_exists:
            return
        raise _missing(node.kind.lower(), name)
    if isinstance(item, DefaultConstraint):
        _check_unbound(session.database, item)
    session.require("ALTER", item)
    if isinstance(item, Table):
        if any(key.parent_id != item.object_id for key in referencing(session.database, item)):
            message = f"Could not drop object '{'.'.join(name)}' because it is referenced by a FOREIGN KEY constraint."
            raise SqlError(3726, message)
        if item.temporal_type == 2:
            raise SqlError(13552, f"Drop table operation failed on table '{item.name}' because it is system-versioned.")
        if item.ready is not None:
            item.ready.drop(session.connection)
        else:
            session.execute_sql(f"DROP TABLE {item.physical}")
        if item.tracking is not None:
            tracking.disable(session, item)
    session.database.remove(item)


def _check_unbound(database: Database, item: DefaultConstraint) -> None:
    columns = [column for table in database.tables() for column in table.columns]
    if item.parent_id or any(column.bound is item for column in columns):
        raise SqlError(3716, f"The default '{item.name}' cannot be dropped because it is bound to one or more column.")
    if any(user.bound is item for user in database.types.values()):
        raise SqlError(3716, f"The default '{item.name}' cannot be dropped because it is bound to one or more types.")


def _drop_index(table: Table, name: str, if_exists: bool) -> None:
    found = next((index for index in table.indexes if index.name.lower() == name.lower()), None)
    if found is None:
        if if_exists:
            return
        raise _missing("index", (table.name, name))
    if found.constraint is not None:
        raise SqlError(3723, f"An explicit DROP INDEX is not allowed on index '{table.name}.{name}'.")
    table.indexes.remove(found)


def _drop_schema(database: Database, name: str, if_exists: bool) -> None:
    number = database.find_schema(name)
    if number is None:
        if if_exists:
            return
        raise _missing("schema", (name,))
    users = [item for item in database.every() if item.schema_id == number]
    if users:
        message = f"Cannot drop schema '{name}' because it is being referenced by object '{users[0].name}'."
        raise SqlError(3729, message)
    del database.schemas[number]
    database.forget_permissions(securable=("SCHEMA", number))


# --- rights ----------------------------------------------------------------------------------------------------


_SERVER_PERMISSIONS = frozenset(
    (
        "CONNECT SQL",
        "CONTROL SERVER",
        "CREATE ANY DATABASE",
        "VIEW SERVER STATE",
        "VIEW SERVER PERFORMANCE STATE",
        "VIEW SERVER SECURITY STATE",
        "ALTER SERVER STATE",
        "VIEW ANY DATABASE",
        "VIEW ANY DEFINITION",
        "ALTER ANY DATABASE",
        "ALTER ANY LOGIN",
    )
)


_SERVER_UNKNOWN = ("VIEW ANY ", "CONNECT ANY ", "SELECT ALL ", "IMPERSONATE ANY ", "ADMINISTER BULK ")
"""Beginnings of permissions on the server that would change what a login may do here, and do not."""


def _is_of_server(permission: str) -> bool:
    if permission not in _SERVER_PERMISSIONS and permission.startswith(_SERVER_UNKNOWN):
        raise Unsupported(f"the permission {permission}")
    return permission in _SERVER_PERMISSIONS


def _permission_on_server(session: SessionState, node: sm.Permission) -> None:
    # "GRANT Server Permissions": only in master, only for logins, and only by who has CONTROL SERVER here.
    if session.database.name.lower() != "master":
        text = "Permissions at the server scope can only be granted when the current database is master."
        raise SqlError(4621, text)
    if not session.server.holds(session.login, "CONTROL SERVER"):
        raise SqlError(4613, "Grantor does not have GRANT permission.", 14)
    for login in node.principals:
        for permission in node.permissions:
            session.server.grant_on_server(login, permission, node.verb)


def _permission(session: SessionState, node: sm.Permission) -> None:
    database = session.database
    kind, name = node.securable
    if kind == "DATABASE" and not name and all(_is_of_server(permission) for permission in node.permissions):
        _permission_on_server(session, node)
        return
    major = 0
    if kind == "SCHEMA":
        major = database.schema_id(name[-1])
    elif kind == "OBJECT":
        item = session.find_object(name)
        if item is None:
            raise SqlError(15151, f"Cannot find the object '{'.'.join(name)}', because it does not exist.")
        major = item.object_id
    for principal in node.principals:
        if not database.owned_by(session.principal):
            raise SqlError(15151, f"Cannot find the {kind.lower()} '{'.'.join(name)}', because it does not exist.")
        if principal.lower() not in database.principals:
            raise SqlError(15151, f"Cannot find the user '{principal}', because it does not exist.")
        for permission, columns in zip(node.permissions, node.columns, strict=True):
            wanted = ("SELECT", "INSERT", "UPDATE", "DELETE") if permission == "ALL" else (permission,)
            places = [(kind if kind != "TYPE" else "OBJECT", major)]
            if columns:
                places = [("COLUMN", number) for number in _columns_of(session, name, wanted, columns)]
            for single in wanted:
                for place in places:
                    database.permit(principal.lower(), single, place, node.verb)


def _columns_of(
    session: SessionState, name: n.Name, permissions: tuple[str, ...], columns: tuple[str, ...]
) -> list[int]:
    # "GRANT Object Permissions": SELECT, REFERENCES and UPDATE can be about columns.
    if not set(permissions) <= {"SELECT", "REFERENCES", "UPDATE"}:
        raise SqlError(1020, "Sub-entity lists (such as column or security expressions) cannot be specified here.", 15)
    table = session.table(name)
    return [column_place(table.object_id, table.column(column).column_id) for column in columns]
