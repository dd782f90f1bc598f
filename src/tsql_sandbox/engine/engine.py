"""The data behind the server: one DuckDB with a database attached for each of ours, and the functions T-SQL needs."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterator
from decimal import ROUND_DOWN, Context, Decimal
from typing import Any, Protocol

import duckdb

from mssql_pg_migrate.tds.collations import DEFAULT_NAME, Collation, encode_char
from mssql_pg_migrate.tds.values import decode_variant

from ..catalog.database import Database
from ..catalog.model import Login
from ..compiler import casts, characters, functions, functions_time, tracked
from ..compiler import functions_catalog as metadata
from ..compiler.patterns import like_regex, like_regex_function, split_pairs
from ..compiler.session import CompilerSession
from ..errors import SqlError
from ..faults import Counters, Faults
from ..locks import Locks
from ..values import clr, json_text, text

SYSTEM_DATABASES = ("master", "tempdb", "model", "msdb")
_MAY_BE_NULL = frozenset(("nchar_of", "char_of", "code_of", "unicode_of", "text_json_value", "text_json_query"))
"""Functions in DuckDB that make NULL of something else."""
_COVERED_BY = {
    "VIEW SERVER PERFORMANCE STATE": ("VIEW SERVER STATE",),
    "VIEW SERVER SECURITY STATE": ("VIEW SERVER STATE",),
    "VIEW SERVER STATE": ("ALTER SERVER STATE",),
    "VIEW ANY DATABASE": ("ALTER ANY DATABASE",),
    "CREATE ANY DATABASE": ("ALTER ANY DATABASE",),
}
"""Permissions on the server, and those that imply them ("GRANT Server Permissions")."""
_WIDE = Context(prec=90, rounding=ROUND_DOWN)
_MARK = re.compile(r"\[(\d{2,6})\] (.*)", re.DOTALL)


class Member(CompilerSession, Protocol):
    """A session as the server it belongs to knows it."""

    database: Database
    hidden: set[tuple[int, str]]
    first_rowversions: dict[int, int]


class Engine:
    """All databases, logins and sessions of one sandbox server."""

    def __init__(self, name: str = "SANDBOX", collation: str = DEFAULT_NAME, threads: int = 1) -> None:
        self.name = name
        self.collation = collation
        self.lock = threading.RLock()
        """Held while the catalog changes."""
        self.sessions: dict[int, Member] = {}
        self._logins: dict[str, Login] = {}
        self._databases: dict[str, Database] = {}
        self.server_permissions: dict[tuple[str, str], str] = {}
        """(login in lower case, permission) -> GRANT or DENY."""
        self.rights_version = 0
        """Grows with every change of rights on the server."""
        self._ids = itertools.count(1)
        self._spids = itertools.count(51)
        self.locks = Locks()
        self.version_lock = threading.Lock()
        """Held while versions are given, of rows and of tracked changes."""
        self._changes = itertools.count(1)
        self._transactions = itertools.count(1)
        self.faults = Faults()
        self.counters = Counters()
        self.duckdb = duckdb.connect(":memory:", config={"threads": threads, "preserve_insertion_order": True})
        self._install()
        for system in SYSTEM_DATABASES:
            self.create_database(system)

    # --- logins and databases ---

    def add_login(self, name: str, password: str, sysadmin: bool = False) -> Login:
        """Make a login, or change its password."""
        login = Login(name, password, sysadmin)
        self._logins[name.lower()] = login
        return login

    def find_login(self, name: str) -> Login | None:
        """The login of a name."""
        return self._logins.get(name.lower())

    def drop_login(self, name: str) -> None:
        """Forget a login."""
        self._logins.pop(name.lower(), None)
        for place in [place for place in self.server_permissions if place[0] == name.lower()]:
            del self.server_permissions[place]
        self.rights_version += 1

    def grant_on_server(self, login: str, permission: str, verb: str) -> None:
        """GRANT, DENY or REVOKE a permission on the server.

        Raises:
            SqlError: 15151, there is no such login.
        """
        if self.find_login(login) is None and login.lower() != "public":
            raise SqlError(15151, f"Cannot find the login '{login}', because it does not exist.")
        if verb == "REVOKE":
            self.server_permissions.pop((login.lower(), permission), None)
        else:
            self.server_permissions[login.lower(), permission] = verb
        self.rights_version += 1

    def holds(self, login: Login, permission: str) -> bool:
        """Whether a login has a permission on the server.

        CONTROL SERVER covers all, and every login may connect and see the names of databases unless that is taken from
        it ("GRANT Server Permissions", "VIEW ANY DATABASE").
        """
        if login.sysadmin:
            return True
        wanted = (permission, *_COVERED_BY.get(permission, ()), "CONTROL SERVER")
        names = (login.name.lower(), "public")
        found = {self.server_permissions.get((name, item)) for name in names for item in wanted}
        if "DENY" in found:
            return False
        return "GRANT" in found or permission in ("CONNECT SQL", "VIEW ANY DATABASE")

    def logins(self) -> list[Login]:
        """All logins."""
        return list(self._logins.values())

    def create_database(self, name: str, collation: str | None = None) -> Database:
        """Make an empty database.

        Raises:
            SqlError: 1801 it is there already, 448 the collation is unknown.
        """
        with self.lock:
            if name.lower() in self._databases:
                raise SqlError(1801, f"Database '{name}' already exists. Choose a different database name.")
            try:
                Collation.from_name(collation or self.collation)
            except ValueError:
                raise SqlError(448, f"Invalid collation '{collation}'.") from None
            database = Database(next(self._ids), name, collation or self.collation)
            self.duckdb.cursor().execute(f"ATTACH ':memory:' AS {database.alias}")
            self._databases[name.lower()] = database
            return database

    def drop_database(self, name: str, *, force: bool = False) -> None:
        """Drop a database. With `force`, sessions in it find themselves in master.

        Raises:
            SqlError: 3701 there is none, 3702 somebody uses it.
        """
        with self.lock:
            database = self._databases.get(name.lower())
            if database is None or name.lower() in SYSTEM_DATABASES:
                raise SqlError(3701, f"Cannot drop the database '{name}', because it does not exist.", 11)
            users = [session for session in list(self.sessions.values()) if session.database is database]
            for session in users if force else ():
                session.database = self._databases["master"]
            if users and not force:
                raise SqlError(3702, f'Cannot drop database "{name}" because it is currently in use.')
            del self._databases[name.lower()]
            self.duckdb.cursor().execute(f"DETACH {database.alias}")

    def find_database(self, name: str) -> Database | None:
        """The database of a name."""
        return self._databases.get(name.lower())

    def database_by_id(self, number: int) -> Database | None:
        """The database of an id."""
        return next((item for item in list(self._databases.values()) if item.database_id == number), None)

    def databases(self) -> list[Database]:
        """All databases."""
        return list(self._databases.values())

    def is_hidden(self, session: Member, database: Database, name: str) -> bool:
        """Whether another session's open transaction has dropped or renamed something of that name."""
        place = (database.database_id, name.lower())
        return any(place in other.hidden for other in self.sessions.copy().values() if other is not session)

    def next_change(self) -> int:
        """A number for the changes of one statement, growing."""
        return next(self._changes)

    def new_transaction(self) -> int:
        """A fresh transaction id."""
        return next(self._transactions)

    def min_active_rowversion(self, database: Database) -> int:
        """MIN_ACTIVE_ROWVERSION: the lowest rowversion that an open transaction has used, else the next one."""
        with self.version_lock:
            used = [
                other.first_rowversions[database.database_id]
                for other in self.sessions.copy().values()
                if database.database_id in other.first_rowversions
            ]
            return min([*used, database.row_version + 1])

    def take_rowversions(self, session: Member, database: Database, count: int) -> int:
        """Use so many rowversions, active until the session's transaction ends; the first of them."""
        with self.version_lock:
            first = database.row_version + 1
            database.row_version += count
            session.first_rowversions.setdefault(database.database_id, first)
            return first

    def new_spid(self) -> int:
        """A fresh session id."""
        return next(self._spids)

    def close(self) -> None:
        """Let go of all data."""
        self.duckdb.close()

    # --- functions ---

    def _install(self) -> None:
        connection = self.duckdb
        casts.install(connection)
        for name, function, arguments, result in self._functions():
            # The functions of the catalog are asked anew each time and get NULLs as they are.
            asks, special = name.startswith("meta_"), name in _MAY_BE_NULL
            options: dict[str, Any] = {"null_handling": "special", "side_effects": asks} if asks or special else {}
            connection.create_function(name, function, arguments, result, **options)

    def _functions(self) -> Iterator[tuple[str, Any, Any, str]]:
        yield "decimal_divide", _divide, ["VARCHAR", "VARCHAR", "INTEGER"], "VARCHAR"
        yield "decimal_multiply", _multiply, ["VARCHAR", "VARCHAR", "INTEGER"], "VARCHAR"
        yield "text_cut", _text_cut, ["VARCHAR", "BIGINT", "BIGINT"], "VARCHAR"
        yield "blob_cut", _blob_cut, ["BLOB", "BIGINT", "BIGINT"], "BLOB"
        yield "replace_ci", _replace_ci, ["VARCHAR", "VARCHAR", "VARCHAR"], "VARCHAR"
        yield "patindex", _patindex, ["VARCHAR", "VARCHAR"], "BIGINT"
        yield "text_json_value", functions.json_function(json_text.json_value), ["VARCHAR", "VARCHAR"], "VARCHAR"
        yield "text_json_query", functions.json_function(json_text.json_query), ["VARCHAR", "VARCHAR"], "VARCHAR"
        yield "text_is_json", json_text.is_json, ["VARCHAR"], "BOOLEAN"
        yield "split_pairs", split_pairs, ["VARCHAR"], "VARCHAR"
        yield "char_index", characters.char_index, ["VARCHAR", "VARCHAR", "BIGINT"], "BIGINT"
        yield "reverse_units", characters.reverse_units, ["VARCHAR"], "VARCHAR"
        yield "nchar_of", characters.nchar_of, ["BIGINT", "BOOLEAN"], "VARCHAR"
        yield "char_of", characters.char_of, ["BIGINT", "VARCHAR"], "VARCHAR"
        yield "code_of", characters.code_of, ["VARCHAR", "VARCHAR"], "INTEGER"
        yield "unicode_of", characters.unicode_of, ["VARCHAR", "BOOLEAN"], "INTEGER"
        yield "like_regex", like_regex_function, ["VARCHAR", "VARCHAR"], "VARCHAR"
        yield "char_bytes", _char_bytes, ["VARCHAR", "VARCHAR"], "BIGINT"
        yield "column_mask", tracked.column_mask, ["VARCHAR"], "BLOB"
        yield "variant_length", _variant_length, ["BLOB"], "BIGINT"
        yield "sha512", functions.sha512, ["BLOB"], "BLOB"
        yield "add_months", functions_time.add_months, ["BIGINT", "BIGINT"], "BIGINT"
        yield "end_of_month", functions_time.end_of_month, ["BIGINT", "BIGINT"], "INTEGER"
        yield "geo_text", clr.to_wkt, ["BLOB", "BOOLEAN", "BOOLEAN"], "VARCHAR"
        yield "geo_binary", clr.to_wkb, ["BLOB", "BOOLEAN"], "BLOB"
        yield "geo_srid", clr.srid_of, ["BLOB"], "INTEGER"
        yield "geo_from_text", clr.from_wkt, ["VARCHAR", "INTEGER", "BOOLEAN"], "BLOB"
        yield "hierarchy_text", clr.hierarchy_text, ["BLOB"], "VARCHAR"
        yield "hierarchy_level", _hierarchy_level, ["BLOB"], "SMALLINT"
        yield "meta_s", self._metadata_text, ["INTEGER", "VARCHAR", "VARCHAR[]"], "VARCHAR"
        yield "meta_b", self._metadata_bytes, ["INTEGER", "VARCHAR", "VARCHAR[]"], "BLOB"

    def _metadata_text(self, spid: int, name: str, arguments: list[str | None]) -> str | None:
        result = metadata.evaluate(self.sessions[spid], name, arguments)
        return None if result is None else text.to_storage(str(result))

    def _metadata_bytes(self, spid: int, name: str, arguments: list[str | None]) -> bytes | None:
        result = metadata.evaluate(self.sessions[spid], name, arguments)
        return None if result is None else bytes(result)


def _divide(left: str, right: str, scale: int) -> str:
    divisor = Decimal(right)
    if not divisor:
        raise casts.marked(SqlError(8134, "Divide by zero error encountered."))
    return f"{_WIDE.divide(Decimal(left), divisor).quantize(Decimal(1).scaleb(-scale), ROUND_DOWN, _WIDE):f}"


def _multiply(left: str, right: str, scale: int) -> str:
    product = _WIDE.multiply(Decimal(left), Decimal(right))
    return f"{product.quantize(Decimal(1).scaleb(-scale), 'ROUND_HALF_UP', _WIDE):f}"


def _text_cut(value: str, start: int, length: int) -> str:
    plain = text.from_storage(value)
    if length < 0:
        raise casts.marked(SqlError(537, "Invalid length parameter passed to the LEFT or SUBSTRING function."))
    first = max(start, 1)
    return text.to_storage(text.cut(plain, first - 1, max(start + length - first, 0)))


def _blob_cut(value: bytes, start: int, length: int) -> bytes:
    first = max(start, 1)
    return value[first - 1 : max(start + length - 1, 0)]


def _replace_ci(value: str, old: str, new: str) -> str:
    return re.sub(re.escape(old), lambda _: new, value, flags=re.IGNORECASE) if old else value


def _patindex(pattern: str, value: str) -> int:
    inner = pattern.removeprefix("%").removesuffix("%")
    regex = ("" if pattern.startswith("%") else "^") + like_regex(inner) + ("" if pattern.endswith("%") else "$")
    found = re.search(regex, value, re.IGNORECASE | re.DOTALL)
    return found.start() + 1 if found else 0


def _char_bytes(value: str, collation: str) -> int:
    return len(encode_char(text.from_storage(value), bytes.fromhex(collation)))


def _variant_length(value: bytes) -> int:
    variant = decode_variant(value)
    return len(value) - 2 - value[1] if variant is not None else 0


def _hierarchy_level(value: bytes) -> int:
    return clr.hierarchy_text(value).count("/") - 1


def translate(error: duckdb.Error) -> SqlError:
    """An error of DuckDB in SQL Server's terms."""
    message = str(error)
    found = _MARK.search(message)
    if found:
        return SqlError(int(found.group(1)), found.group(2).split("\n")[0])
    if "Division by zero" in message:
        return SqlError(8134, "Divide by zero error encountered.")
    if isinstance(error, duckdb.InterruptException):
        return SqlError(3617, "The attention was acknowledged.", 11)
    if isinstance(error, duckdb.TransactionException) and "onflict" in message:
        return SqlError(
            1205,
            "Transaction was deadlocked on lock resources with another process and has been chosen as the deadlock "
            "victim. Rerun the transaction.",
            13,
        )
    if isinstance(error, duckdb.OutOfRangeException):
        return SqlError(8115, f"Arithmetic overflow error: {message.splitlines()[0]}")
    if isinstance(error, duckdb.ConversionException):
        overflow = "out of range" in message or "Could not cast" in message
        return SqlError(8115 if overflow else 245, f"Conversion failed: {message.splitlines()[0]}")
    return SqlError(40517, f"The sandbox could not run this: {message.splitlines()[0]}")
