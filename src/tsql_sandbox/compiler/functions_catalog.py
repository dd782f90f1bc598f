"""Functions that ask about the server and its catalog: OBJECT_ID, DB_NAME, SERVERPROPERTY, HAS_PERMS_BY_NAME ..."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mssql_pg_migrate.tds.collations import Collation

from ..catalog.database import Database
from ..catalog.model import SchemaObject, Table
from ..catalog.sysviews import view_id
from ..errors import SqlError
from ..tsql.parse_base import TokenParser
from ..values import sqltypes as st
from ..values.sqltypes import SqlType
from ..values.variants import unwrap, wrap
from .casts import Ex, cast, constant
from .context import Compiling
from .session import CompilerSession

PRODUCT_VERSION = "16.0.1000.6"
VERSION_TEXT = (
    "Microsoft SQL Server 2022 (RTM) - 16.0.1000.6 (X64) - in truth the mssql-pg-migrate sandbox, "
    "which is not SQL Server"
)
_NAME = st.make("nvarchar", 128)

Function = Callable[["CompilerSession", list[Any]], Any]


def parse_name(text: str) -> tuple[str, ...]:
    """A dotted name with optional brackets; empty for what is none."""
    try:
        parser = TokenParser(text)
        name = parser.name()
        return name if parser.at_end else ()
    except SqlError:
        return ()


def _object(session: CompilerSession, number: Any, database: Any = None) -> SchemaObject | None:
    target = session.server.database_by_id(int(database)) if database is not None else session.database
    item = None if number is None or target is None else target.objects.get(int(number))
    return item if item is not None and target is not None and session.sight_of(target).sees(item) else None


def _object_id(session: CompilerSession, a: list[Any]) -> int | None:
    database, item, number = _named(session, a)
    if item is not None and database is not None and not session.sight_of(database).sees(item):
        return None
    return number


def _named(session: CompilerSession, a: list[Any]) -> tuple[Database | None, SchemaObject | None, int | None]:
    """The object of a name whether or not it is seen, its database and its id."""
    name = parse_name(str(a[0])) if a[0] is not None else ()
    if not name:
        return None, None, None
    if name[-1].startswith("#"):
        table = session.temporary.get(name[-1].lower())
        return None, None, table.object_id if table else None
    database = session.database
    if len(name) == 3 and name[0]:
        found = session.server.find_database(name[0])
        if found is None:
            return None, None, None
        database = found
    item = database.find(name[-2:])
    kind = str(a[1]).strip().upper() if len(a) > 1 and a[1] is not None else ""
    if item is None or (kind and item.kind.strip() != kind):
        return database, None, view_id(name) if item is None and not kind else None
    return database, item, item.object_id


def _object_name(session: CompilerSession, a: list[Any]) -> str | None:
    item = _object(session, *a[:2])
    return item.name if item else None


def _object_schema_name(session: CompilerSession, a: list[Any]) -> str | None:
    item = _object(session, *a[:2])
    return session.database.schemas.get(item.schema_id) if item else None


def _schema_id(session: CompilerSession, a: list[Any]) -> int | None:
    return 1 if not a else session.database.find_schema(str(a[0])) if a[0] is not None else None


def _schema_name(session: CompilerSession, a: list[Any]) -> str | None:
    return "dbo" if not a else session.database.schemas.get(int(a[0])) if a[0] is not None else None


def _database(session: CompilerSession, value: Any) -> Database | None:
    if isinstance(value, str):
        return session.server.find_database(value)
    return session.server.database_by_id(int(value)) if value is not None else None


def _db_id(session: CompilerSession, a: list[Any]) -> int | None:
    database = session.database if not a else _database(session, str(a[0]))
    return database.database_id if database else None


def _db_name(session: CompilerSession, a: list[Any]) -> str | None:
    database = session.database if not a else _database(session, a[0])
    return database.name if database else None


def _type_id(session: CompilerSession, a: list[Any]) -> int | None:
    name = parse_name(str(a[0]))
    user = session.database.find_type(name) if name else None
    if user is not None:
        return user.user_type_id
    system = st.SYSTEM_TYPES.get(name[-1].lower()) if name else None
    return system.user_type_id if system else None


def _type_name(session: CompilerSession, a: list[Any]) -> str | None:
    for system in st.SYSTEM_TYPES.values():
        if system.user_type_id == a[0]:
            return system.name
    user = session.database.types.get(int(a[0])) if a[0] is not None else None
    return user.name if user else None


def _table(session: CompilerSession, number: Any) -> Table | None:
    item = _object(session, number)
    return item if isinstance(item, Table) else None


def _col_name(session: CompilerSession, a: list[Any]) -> str | None:
    table = _table(session, a[0])
    found = [c.name for c in table.columns if c.column_id == a[1]] if table else []
    return found[0] if found else None


def _col_length(session: CompilerSession, a: list[Any]) -> int | None:
    table = _table(session, _object_id(session, [a[0]]))
    found = [c for c in table.columns if c.name.lower() == str(a[1]).lower()] if table else []
    return found[0].type.length if found else None


def _columnproperty(session: CompilerSession, a: list[Any]) -> int | None:
    table = _table(session, a[0])
    found = [c for c in table.columns if c.name.lower() == str(a[1]).lower()] if table else []
    if not found:
        return None
    column = found[0]
    return {
        "isidentity": int(column.identity is not None),
        "iscomputed": int(column.computed),
        "allowsnull": int(column.nullable),
        "ishidden": int(column.hidden),
        "issparse": int(column.sparse),
        "iscolumnset": int(column.column_set),
        "columnid": column.column_id,
        "ordinal": column.column_id,
        "precision": column.type.chars or column.type.precision,
        "scale": column.type.scale,
        "charmaxlen": column.type.chars,
        "generatedalwaystype": column.generated_always,
        "isrowguidcol": int(column.rowguid),
    }.get(str(a[2]).lower())


def _objectproperty(session: CompilerSession, a: list[Any]) -> int | None:
    item = _object(session, a[0])
    if item is None:
        return None
    name = str(a[1]).lower()
    kinds = {"isusertable": "U", "istable": "U", "isview": "V", "isprocedure": "P", "isprimarykey": "PK"}
    if name in kinds:
        return int(item.kind == kinds[name])
    if name == "ismsshipped":
        return 0
    if isinstance(item, Table):
        return {
            "tablehasprimarykey": int(item.primary_key is not None),
            "tablehasidentity": int(item.identity is not None),
            "tablehasclustindex": int(any(index.kind == "CLUSTERED" for index in item.indexes)),
            "tabletemporaltype": item.temporal_type,
        }.get(name)
    return None


def _indexproperty(session: CompilerSession, a: list[Any]) -> int | None:
    table = _table(session, a[0])
    found = [i for i in table.indexes if i.name.lower() == str(a[1]).lower()] if table else []
    if not found:
        return None
    index = found[0]
    return {
        "isunique": int(index.unique),
        "isclustered": int(index.kind == "CLUSTERED"),
        "isdisabled": int(index.disabled),
        "indexid": index.index_id,
    }.get(str(a[2]).lower())


def _object_definition(session: CompilerSession, a: list[Any]) -> str | None:
    item = _object(session, a[0])
    if item is None or not session.sight.defines(item):
        return None
    for name in ("definition", "text"):
        if getattr(item, name, None):
            return str(getattr(item, name))
    return None


def _ident(what: str) -> Function:
    def function(session: CompilerSession, a: list[Any]) -> Any:
        table = _table(session, _object_id(session, [a[0]]))
        identity = table.identity.identity if table and table.identity else None
        if identity is None:
            return None
        if what == "current":
            return identity.seed if identity.last is None else identity.last
        return identity.seed if what == "seed" else identity.increment

    return function


def _is_server_wide(permission: str) -> bool:
    return "SERVER" in permission or " ANY " in permission


def _has_perms(session: CompilerSession, a: list[Any]) -> int | None:
    securable, kind, permission = a[0], str(a[1] or "").upper(), str(a[2] or "").upper()
    principal = session.principal
    if kind == "DATABASE" and securable is not None and len(parse_name(str(securable))) != 1:
        return None  # a name with a dot in it that is not quoted
    if kind == "SERVER" or (not kind and securable is None):
        return int(session.server.holds(session.login, permission))
    if kind in ("DATABASE", "") or securable is None:
        held = session.database.allowed(principal, permission) or permission == "CONNECT"
        defines = permission == "VIEW DEFINITION" and session.server.holds(session.login, "VIEW ANY DEFINITION")
        return int(held or defines or (_is_server_wide(permission) and session.server.holds(session.login, permission)))
    if kind == "SCHEMA":
        number = session.database.find_schema(str(securable))
        if number is None:
            return None
        return int(session.database.allowed(principal, permission, SchemaObject(-1, number, "", "")))
    _, item, number = _named(session, [securable])
    if item is None:
        return None if number is None else 1
    if permission == "VIEW DEFINITION" and session.server.holds(session.login, "VIEW ANY DEFINITION"):
        return 1
    return int(session.database.allowed(principal, permission, item))


def _database_property(session: CompilerSession, a: list[Any]) -> bytes | None:
    database = _database(session, str(a[0])) if a[0] is not None else None
    if database is None:
        return None
    values: dict[str, Any] = {
        "collation": database.collation,
        "status": "ONLINE",
        "updateability": "READ_ONLY" if database.read_only else "READ_WRITE",
        "useraccess": "MULTI_USER",
        "recovery": "SIMPLE",
        "version": 957,
        "isautoclose": 0,
        "isfulltextenabled": 0,
        "comparisonstyle": 196609,
        "lcid": Collation.from_name(database.collation).lcid,
    }
    return _variant(values.get(str(a[1]).lower()))


def _server_property(session: CompilerSession, a: list[Any]) -> bytes | None:
    values: dict[str, Any] = {
        "productversion": PRODUCT_VERSION,
        "productmajorversion": "16",
        "productminorversion": "0",
        "productlevel": "RTM",
        "edition": "Sandbox Edition (64-bit)",
        "engineedition": 3,
        "servername": session.server.name,
        "machinename": session.server.name,
        "collation": session.server.collation,
        "isclustered": 0,
        "ishadrenabled": 0,
        "isintegratedsecurityonly": 0,
        "issingleuser": 0,
        "sqlcharsetname": "iso_1",
    }
    return _variant(values.get(str(a[0]).lower()))


def _variant(value: Any) -> bytes | None:
    if value is None:
        return None
    return wrap(value, _NAME if isinstance(value, str) else st.INT)


def _collation_property(_session: CompilerSession, a: list[Any]) -> bytes | None:
    try:
        collation = Collation.from_name(str(a[0]))
    except ValueError:
        return None
    style = (collation.flags >> 20 & 1) | (collation.flags >> 21 & 1) << 1
    style |= (collation.flags >> 22 & 1) << 16 | (collation.flags >> 23 & 1) << 17
    values = {
        "codepage": collation.code_page,
        "lcid": collation.lcid,
        "comparisonstyle": 0 if collation.is_binary else style,
        "version": collation.version,
    }
    return _variant(values.get(str(a[1]).lower()))


def _variant_property(_session: CompilerSession, a: list[Any]) -> bytes | None:
    if a[0] is None:
        return None
    kind, _ = unwrap(a[0])
    values: dict[str, Any] = {
        "basetype": kind.name,
        "precision": kind.precision,
        "scale": kind.scale,
        "maxlength": kind.length,
        "collation": kind.collation,
    }
    return _variant(values.get(str(a[1]).lower()))


def _login(session: CompilerSession, _a: list[Any]) -> str:
    return session.login.name


def _user(session: CompilerSession, _a: list[Any]) -> str:
    return session.principal.name


def _is_member(session: CompilerSession, a: list[Any]) -> int | None:
    role = str(a[0]).lower()
    if role == "public":
        return 1
    return int(session.principal.name == "dbo" or role in session.principal.roles)


def _error(what: str) -> Function:
    def function(session: CompilerSession, _a: list[Any]) -> Any:
        error = session.caught
        return None if error is None else getattr(error, what)

    return function


def _min_valid_version(session: CompilerSession, a: list[Any]) -> int | None:
    """CHANGE_TRACKING_MIN_VALID_VERSION: NULL where tracking is off, or without the right to see changes."""
    table = _table(session, a[0])
    if table is None or table.tracking is None:
        return None
    rights = ("SELECT", "VIEW CHANGE TRACKING")
    if not all(session.database.allowed(session.principal, right, table) for right in rights):
        return None
    return table.tracking.min_valid


def _min_active_rowversion(session: CompilerSession, _a: list[Any]) -> bytes:
    return session.server.min_active_rowversion(session.database).to_bytes(8, "big")


_VARIANT = st.make("sql_variant")
_FUNCTIONS: dict[str, tuple[Function, SqlType]] = {
    "OBJECT_ID": (_object_id, st.INT),
    "OBJECT_NAME": (_object_name, _NAME),
    "OBJECT_SCHEMA_NAME": (_object_schema_name, _NAME),
    "OBJECT_DEFINITION": (_object_definition, st.NVARCHAR_MAX),
    "SCHEMA_ID": (_schema_id, st.INT),
    "SCHEMA_NAME": (_schema_name, _NAME),
    "DB_ID": (_db_id, st.INT),
    "DB_NAME": (_db_name, _NAME),
    "TYPE_ID": (_type_id, st.INT),
    "TYPE_NAME": (_type_name, _NAME),
    "COL_NAME": (_col_name, _NAME),
    "COL_LENGTH": (_col_length, st.make("smallint")),
    "COLUMNPROPERTY": (_columnproperty, st.INT),
    "OBJECTPROPERTY": (_objectproperty, st.INT),
    "OBJECTPROPERTYEX": (_objectproperty, st.INT),
    "INDEXPROPERTY": (_indexproperty, st.INT),
    "IDENT_CURRENT": (_ident("current"), st.make("numeric", 38, 0)),
    "IDENT_SEED": (_ident("seed"), st.make("numeric", 38, 0)),
    "IDENT_INCR": (_ident("increment"), st.make("numeric", 38, 0)),
    "HAS_PERMS_BY_NAME": (_has_perms, st.INT),
    "HAS_DBACCESS": (lambda s, a: int(_database(s, str(a[0])) is not None), st.INT),
    "DATABASEPROPERTYEX": (_database_property, _VARIANT),
    "SERVERPROPERTY": (_server_property, _VARIANT),
    "COLLATIONPROPERTY": (_collation_property, _VARIANT),
    "SQL_VARIANT_PROPERTY": (_variant_property, _VARIANT),
    "CHANGE_TRACKING_MIN_VALID_VERSION": (_min_valid_version, st.BIGINT),
    "MIN_ACTIVE_ROWVERSION": (_min_active_rowversion, st.make("binary", 8)),
    "SUSER_SNAME": (_login, _NAME),
    "SUSER_NAME": (_login, _NAME),
    "ORIGINAL_LOGIN": (_login, _NAME),
    "SYSTEM_USER": (_login, _NAME),
    "USER_NAME": (_user, _NAME),
    "CURRENT_USER": (_user, _NAME),
    "SESSION_USER": (_user, _NAME),
    "USER": (_user, _NAME),
    "APP_NAME": (lambda s, _: s.app_name, _NAME),
    "HOST_NAME": (lambda s, _: s.host_name, _NAME),
    "IS_MEMBER": (_is_member, st.INT),
    "IS_ROLEMEMBER": (_is_member, st.INT),
    "IS_SRVROLEMEMBER": (lambda s, _: int(s.login.sysadmin), st.INT),
    "SCOPE_IDENTITY": (lambda s, _: s.last_identity, st.make("numeric", 38, 0)),
    "XACT_STATE": (lambda s, _: int(s.transaction_depth > 0), st.make("smallint")),
    "ERROR_NUMBER": (_error("number"), st.INT),
    "ERROR_MESSAGE": (_error("text"), st.make("nvarchar", 4000)),
    "ERROR_SEVERITY": (_error("severity"), st.INT),
    "ERROR_STATE": (_error("state"), st.INT),
    "ERROR_LINE": (_error("line"), st.INT),
}
NAMES = frozenset(_FUNCTIONS)


def call(compiler: Compiling, name: str, arguments: list[Ex]) -> Ex:
    """One of these functions: at once when its arguments are constants, else as a function in DuckDB."""
    function, kind = _FUNCTIONS[name]
    session = compiler.session
    if all(item.is_const for item in arguments):
        values = [_plain(item) for item in arguments]
        result = function(session, values)
        return cast(constant(result, st.BIGINT), kind) if kind.name == "numeric" else constant(result, kind)
    slots = [item if item.type is not None else constant(None, st.INT) for item in arguments]
    encoded = ", ".join(_encode(item) for item in slots)
    sql = f"meta_{'b' if kind.storage == 'BLOB' else 's'}({session.spid}, '{name}', [{encoded}])"
    return Ex(sql if kind.storage in ("BLOB", "VARCHAR") else f"CAST({sql} AS {kind.storage})", kind)


def _plain(item: Ex) -> Any:
    return item.const if not isinstance(item.const, str) else item.const.rstrip(" ")


def _encode(item: Ex) -> str:
    # Arguments travel as text with a letter for their kind: i a number, s text, b bytes in hexadecimal.
    assert item.type is not None
    if item.type.name in st.NUMBERS:
        return f"'i' || CAST({item.sql} AS VARCHAR)"
    if item.type.storage == "BLOB":
        return f"'b' || hex({item.sql})"
    return f"'s' || {cast(item, st.NVARCHAR_MAX).sql}"


def _decode(value: str | None) -> Any:
    if value is None:
        return None
    if value[0] == "i":
        return int(float(value[1:])) if "." in value else int(value[1:])
    return bytes.fromhex(value[1:]) if value[0] == "b" else value[1:]


def evaluate(session: CompilerSession, name: str, arguments: list[str | None]) -> Any:
    """A function called from DuckDB, with its encoded arguments."""
    values = [_decode(item) for item in arguments]
    if values and values[0] is None:
        return None
    return _FUNCTIONS[name][0](session, values)
