"""A session at its simplest: where it is, whose it is, and running DuckDB's SQL in it."""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from ..catalog.database import Database
from ..catalog.model import Login, Principal, Table, TableTracking
from ..catalog.sysviews import storage_value
from ..catalog.visibility import Sight
from ..compiler.casts import Ex
from ..compiler.scope import ScopeSource
from ..errors import SqlError
from ..values.arrow import arrow_type
from ..values.sqltypes import SqlType
from .engine import Engine, translate
from .results import Sink

_NOT_ROLLED_BACK = frozenset(("database_id", "name", "row_version", "tracking_version"))
"""Attributes of a database that a ROLLBACK leaves as they are."""
_READY = re.compile("\N{LEFT WHITE SQUARE BRACKET}(s[0-9]+)\N{RIGHT WHITE SQUARE BRACKET}")


class SessionBase(ABC):
    """A session. Used by one thread at a time."""

    def __init__(
        self, server: Engine, login: Login, database: Database, app_name: str = "", host_name: str = ""
    ) -> None:
        self.server = server
        self.login: Login = login
        self.app_name: str = app_name
        self.vectors = False
        """Whether the client takes vectors in binary."""
        self.host_name: str = host_name
        self.spid = server.new_spid()
        self.connection = server.duckdb.cursor()
        self.database = database
        self.principal = self._enter(database)
        self._sights: dict[int, tuple[tuple[int, int], Sight]] = {}
        self.variables: dict[str, Ex] = {}
        self.temporary: dict[str, Table] = {}
        self.registered: dict[str, tuple[int, int]] = {}
        self._ready: dict[str, tuple[Table, ScopeSource]] = {}
        self._settings()
        self._transaction()

    def _settings(self) -> None:
        """What SET changes, what the last statement left, and what the request that is running does."""
        self.implicit_transactions = False
        self.nocount = False
        self.xact_abort = False
        self.quoted_identifiers = True
        self.identity_insert: int | None = None
        self.last_identity: int | None = None
        self.row_count_value = 0
        self.last_error = 0
        self.caught: SqlError | None = None
        self.isolation = "READ COMMITTED"
        self.language = "us_english"
        self.options: dict[str, str] = {}
        self.fmtonly = False
        self.prepared: dict[int, tuple[str, list[tuple[str, SqlType]]]] = {}
        self.sink: Sink = Sink()
        self.reading: tuple[str, ...] = ()
        """Names of the tables the statement that is running reads, for faults."""
        self.text = ""
        """The batch that is running."""
        self.try_depth = 0
        """How many TRY blocks are open."""
        self.login_time = self.request_start = dt.datetime.now()
        self.request_end: dt.datetime | None = None
        self.command = ""
        """What the request that is running does now; empty between requests."""

    def _transaction(self) -> None:
        """The transaction that is open, if one is."""
        self.transaction_depth: int = 0
        self.snapshots: dict[int, dict[str, Any]] = {}
        self.changed_data = False
        """Whether the transaction has changed anything."""
        self.conflicts: list[tuple[int, int]] = []
        """Tables that were being changed when the last conflict with another session came up."""
        self.xdes = 0
        """The id of the open transaction."""
        self.tracked: set[int] = set()
        """Databases in which the open transaction has tracked changes."""
        self.tracking_begins: list[TableTracking] = []
        """Tables whose tracking begins with the commit of the open transaction."""
        self.change_context: bytes | None = None
        """WITH CHANGE_TRACKING_CONTEXT of the statement that is running."""
        self.first_rowversions: dict[int, int] = {}
        """The first rowversion the open transaction has used, by database."""
        self.transaction_start: dt.datetime | None = None
        self.hidden: set[tuple[int, str]] = set()
        """Names of objects (database id, lower case) that the open transaction has dropped or renamed."""

    def _enter(self, database: Database) -> Principal:
        principal = database.principal_of(self.login)
        if principal is None and database.database_id <= 4:
            principal = database.principals["guest"]
        if principal is None:
            raise SqlError(
                916,
                f'The server principal "{self.login.name}" is not able to access the database "{database.name}" '
                "under the current security context.",
                14,
            )
        return principal

    def use(self, database: Database) -> None:
        """Change the current database.

        Raises:
            SqlError: 916, the login is not let in.
        """
        self.principal = self._enter(database)
        self.database = database

    @contextlib.contextmanager
    def in_database(self, name: str | None) -> Iterator[None]:
        """Be in another database for a moment."""
        if name is None or name.lower() == self.database.name.lower():
            yield
            return
        database = self.server.find_database(name)
        if database is None:
            raise SqlError(911, f"Database '{name}' does not exist. Make sure that the name is entered correctly.")
        home, principal = self.database, self.principal
        self.use(database)
        try:
            yield
        finally:
            self.database, self.principal = home, principal

    @property
    def sight(self) -> Sight:
        """What the login sees of the current database."""
        return self.sight_of(self.database)

    def sight_of(self, database: Database) -> Sight:
        """What the login sees of a database; nothing of one it may not enter."""
        stamp = (database.version, self.server.rights_version)
        known = self._sights.get(database.database_id)
        if known is None or known[0] != stamp:
            principal = self.principal if database is self.database else database.principal_of(self.login)
            any_definition = self.server.holds(self.login, "VIEW ANY DEFINITION")
            known = stamp, Sight(database, principal or Principal(-1, ""), any_definition)
            self._sights[database.database_id] = known
        return known[1]

    def sees_database(self, database: Database) -> bool:
        """Whether sys.databases lists a database ("sys.databases", permissions)."""
        always = database is self.database or database.name in ("master", "tempdb")
        return always or self.server.holds(self.login, "VIEW ANY DATABASE")

    @property
    def lock_timeout(self) -> int:
        """SET LOCK_TIMEOUT: milliseconds, -1 for no end."""
        return int(self.options.get("LOCK_TIMEOUT", "-1"))

    def row_count(self, table: Table) -> int:
        """The rows a table has now."""
        if table.ready is not None:
            return int(table.ready.row_count)
        (count,) = self.query_rows(f"SELECT count(*) FROM {table.physical}")[0]
        return int(count)

    def physical(self, table: Table, source: ScopeSource) -> str:
        """Where DuckDB finds a table's rows.

        For a generated table that depends on the columns the query asks for, which are not known yet: a mark stands
        for it until the SQL is run.
        """
        if table.ready is None:
            return table.physical
        self._ready[source.alias] = (table, source)
        return f"\N{LEFT WHITE SQUARE BRACKET}{source.alias}\N{RIGHT WHITE SQUARE BRACKET}"

    def _place_ready(self, sql: str) -> str:
        def place(match: re.Match[str]) -> str:
            table, source = self._ready[match.group(1)]
            if table.ready is None:
                return table.physical
            fresh = not table.ready.loaded
            relation = str(table.ready.relation(source))
            if fresh and table.ready.loaded and self.transaction_depth and not self.changed_data:
                # What was loaded just now is newer than what this transaction sees: let it begin again.
                self.connection.execute("COMMIT")
                self.connection.execute("BEGIN TRANSACTION")
            return relation

        return _READY.sub(place, sql)

    def execute_sql(self, sql: str) -> duckdb.DuckDBPyConnection:
        """Run DuckDB SQL.

        Raises:
            SqlError: it failed.
        """
        try:
            return self.connection.execute(self._place_ready(sql) if self._ready else sql)
        except duckdb.Error as error:
            raise self.failed(error) from None

    def failed(self, error: duckdb.Error) -> SqlError:
        """An error of DuckDB in SQL Server's terms; a transaction that cannot go on is rolled back."""
        translated = translate(error)
        if translated.number == 1205 and self.isolation == "SNAPSHOT":
            translated = SqlError(
                3960,
                "Snapshot isolation transaction aborted due to update conflict. You cannot use snapshot isolation to "
                "change a row that another transaction has changed since this one began. Retry the transaction.",
            )
        if translated.number == 1205:
            self.conflicts = self.server.locks.written(self.spid)
        if self.transaction_depth:
            # DuckDB goes on with nothing after an error inside a transaction.
            self.rollback()
        return translated

    def query_rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a DuckDB query."""
        cursor = self.execute_sql(sql)
        try:
            return cursor.fetchall()
        except duckdb.Error as error:
            raise self.failed(error) from None

    def register_rows(
        self, name: str, columns: Sequence[tuple[str, SqlType]], rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Make rows readable in DuckDB under a name, for this session."""
        arrays = [
            pa.array([storage_value(row.get(label), kind) for row in rows], arrow_type(kind)) for label, kind in columns
        ]
        table = pa.Table.from_arrays(arrays, names=[label for label, _ in columns])
        self.connection.register(name, table)

    def changing(self) -> None:
        """To be called before the catalog changes: keeps what a rollback brings back."""
        if self.transaction_depth and self.database.database_id not in self.snapshots:
            for table in self.database.tables():
                table.key_sets.clear()
            state = {key: value for key, value in self.database.__dict__.items() if key not in _NOT_ROLLED_BACK}
            ready = {id(t.ready): t.ready for t in self.database.tables() if t.ready is not None}
            self.snapshots[self.database.database_id] = copy.deepcopy(state, ready)

    @abstractmethod
    def rollback(self) -> None:
        """ROLLBACK of everything, the catalog's changes included."""
