"""One login's session: where it is, its variables and settings, and running its batches."""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from ..catalog.model import Database, Login, Principal, SchemaObject, Synonym, Table, TableTracking
from ..catalog.model import Sequence as SequenceObject
from ..catalog.visibility import Sight
from ..compiler.casts import Ex, cast, constant
from ..compiler.queries import CompiledQuery, QueryCompiler
from ..compiler.scope import Scope, ScopeSource
from ..errors import SqlError
from ..generator.ready import slice_of
from ..tsql import nodes as n
from ..tsql.parser import parse_batch
from ..values import sqltypes as st
from ..values.convert import from_duckdb
from ..values.sqltypes import SqlType
from . import accumulate, control, dml, procedures, tracking
from .engine import Engine, translate
from .locks import CATALOG, Relocked
from .results import Sink

FETCH_ROWS = 2048
_STATEMENT_LEVEL = ("READ COMMITTED", "READ UNCOMMITTED")
"""Isolation levels at which each statement sees what is committed when it begins."""
_NOT_ROLLED_BACK = frozenset(("database_id", "name", "row_version", "tracking_version"))
"""Attributes of a database that a ROLLBACK leaves as they are."""
_READY = re.compile("\N{LEFT WHITE SQUARE BRACKET}(s[0-9]+)\N{RIGHT WHITE SQUARE BRACKET}")


class Session:
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
        self.transaction_depth: int = 0
        self.snapshots: dict[int, dict[str, Any]] = {}
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
        self._ready: dict[str, tuple[Table, ScopeSource]] = {}
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
        self.login_time = self.request_start = dt.datetime.now()
        self.request_end: dt.datetime | None = None
        self.command = ""
        """What the request that is running does now; empty between requests."""
        self.transaction_start: dt.datetime | None = None
        self.hidden: set[tuple[int, str]] = set()
        """Names of objects (database id, lower case) that the open transaction has dropped or renamed."""
        server.sessions[self.spid] = self

    def close(self) -> None:
        """End the session: roll back, drop its temporary tables."""
        with contextlib.suppress(duckdb.Error):
            self.rollback()
        for table in self.temporary.values():
            with contextlib.suppress(duckdb.Error):
                self.connection.execute(f"DROP TABLE IF EXISTS {table.physical}")
        self.server.locks.release(self.spid)
        self.server.sessions.pop(self.spid, None)
        self.connection.close()

    def reset(self, database: Database) -> None:
        """What a reset of a pooled connection does."""
        self.rollback()
        for table in self.temporary.values():
            self.execute_sql(f"DROP TABLE IF EXISTS {table.physical}")
        self.temporary.clear()
        self.prepared.clear()
        self.implicit_transactions = self.nocount = self.xact_abort = self.fmtonly = False
        self.identity_insert = None
        self.isolation = "READ COMMITTED"
        self.use(database)

    def request_begins(self) -> None:
        """A batch or call has arrived."""
        self.request_start = dt.datetime.now()
        self.command = "SELECT"

    def request_ends(self) -> None:
        """It has been answered."""
        self.request_end = dt.datetime.now()
        self.command = ""

    # --- place and rights ---

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

    # --- locks ---

    @property
    def lock_timeout(self) -> int:
        """SET LOCK_TIMEOUT: milliseconds, -1 for no end."""
        return int(self.options.get("LOCK_TIMEOUT", "-1"))

    def lock(self, item: SchemaObject, mode: str) -> None:
        """Take a lock of an object, after waiting for it if need be.

        Raises:
            Relocked: it was waited for, and what was known of the catalog may be wrong now.
            SqlError: 1222, 1205, 3617.
        """
        number = getattr(item, "database_id", 0) or self.database.database_id
        limit = self.lock_timeout
        timeout = None if limit < 0 else limit / 1000
        if self.server.locks.acquire(self.spid, (number, item.object_id), mode, timeout, self.sink.check):
            raise Relocked

    def lock_for(self, permission: str, item: SchemaObject, hints: Sequence[str] = ()) -> None:
        """Take the lock that using an object with a permission needs ("Transaction Locking and Row Versioning Guide").

        Raises:
            Relocked: as `lock`.
            SqlError: as `lock`.
        """
        if permission == "ALTER":
            self.lock(item, "Sch-M")
        elif permission in ("INSERT", "UPDATE", "DELETE"):
            self.lock(item, "IX")
        elif "TABLOCKX" in hints or ("TABLOCK" in hints and "XLOCK" in hints):
            self.lock(item, "X")
        elif "TABLOCK" in hints and not {"HOLDLOCK", "SERIALIZABLE", "REPEATABLEREAD"}.isdisjoint(hints):
            self.lock(item, "S")
        elif not {"UPDLOCK", "XLOCK"}.isdisjoint(hints):
            self.lock(item, "IX")
        else:
            self.lock(item, "IS" if self._reads_locks(item, hints) else "Sch-S")

    def _reads_locks(self, item: SchemaObject, hints: Sequence[str]) -> bool:
        """Whether a reader waits for changed rows: not where it reads versions of them, or does not care."""
        if not {"NOLOCK", "READUNCOMMITTED"}.isdisjoint(hints):
            return False
        if not {"READCOMMITTEDLOCK", "HOLDLOCK", "SERIALIZABLE", "REPEATABLEREAD"}.isdisjoint(hints):
            return True
        if self.isolation in ("READ UNCOMMITTED", "SNAPSHOT"):
            return False
        number = getattr(item, "database_id", 0)
        database = self.database if number in (0, self.database.database_id) else self.server.database_by_id(number)
        return self.isolation != "READ COMMITTED" or not (database or self.database).read_committed_snapshot

    def await_catalog(self, database: Database) -> bool:
        """Wait while another session's transaction has changed a database's catalog; returns whether it had to."""
        resource = (database.database_id, CATALOG)
        if not self.server.locks.held_by_others(self.spid, resource):
            return False
        limit = self.lock_timeout
        self.server.locks.acquire(self.spid, resource, "IS", None if limit < 0 else limit / 1000, self.sink.check)
        self.server.locks.release(self.spid, "Sch-S")
        return True

    def _release(self) -> None:
        self.hidden.clear()
        self.first_rowversions.clear()
        self.tracked.clear()
        self.tracking_begins.clear()
        self.server.locks.release(self.spid)

    def lock_catalog(self) -> None:
        """Mark the current database's catalog as changed by this transaction."""
        self.server.locks.acquire(self.spid, (self.database.database_id, CATALOG), "IX", None, self.sink.check)

    def end_statement(self) -> None:
        """Give back the locks that last as long as a statement."""
        if self.transaction_depth:
            self.server.locks.release(self.spid, "Sch-S")
        else:
            self._release()

    def require(self, permission: str, item: SchemaObject, hints: Sequence[str] = (), *, chained: bool = False) -> None:
        """Check a right, then take the lock that goes with it.

        `chained` is for what a view reads: it has the same owner, so the right on the view is enough ("Ownership
        Chains").

        Raises:
            Relocked: the lock was waited for.
            SqlError: 229, it is denied or was never granted; what the isolation level does not allow.
        """
        self._check_isolation(item)
        if item.object_id in {table.object_id for table in self.temporary.values()}:
            return
        if not chained and not self.database.has_some(self.principal, permission, item):
            schema = self.database.schemas.get(item.schema_id, "")
            raise SqlError(
                229,
                f"The {permission} permission was denied on the object '{item.name}', database "
                f"'{self.database.name}', schema '{schema}'.",
                14,
            )
        self.lock_for(permission, item, hints)

    def refused(self, permission: str, table: Table) -> dict[int, SqlError]:
        """Error 230 for the columns of a table that may not be used, by column id."""
        schema = self.database.schemas.get(table.schema_id, "")
        return {
            number: SqlError(
                230,
                f"The {permission} permission was denied on the column '{table.by_id(number).name}' of the object "
                f"'{table.name}', database '{self.database.name}', schema '{schema}'.",
                14,
            )
            for number in self.database.refused_columns(self.principal, permission, table)
        }

    def _check_isolation(self, item: SchemaObject) -> None:
        """Raises SqlError: 3952, 41332."""
        if self.isolation == "SNAPSHOT" and not self.database.snapshot_allowed:
            name = self.database.name
            raise SqlError(
                3952,
                f"Snapshot isolation transaction failed accessing database '{name}' because snapshot isolation is not "
                "allowed in this database. Use ALTER DATABASE to allow snapshot isolation.",
                16,
            )
        if isinstance(item, Table) and item.memory_optimized and self.isolation in ("SNAPSHOT", "READ UNCOMMITTED"):
            raise SqlError(
                41332,
                "Memory optimized tables and natively compiled modules cannot be accessed or created when the session "
                f"TRANSACTION ISOLATION LEVEL is set to {self.isolation}.",
                16,
            )

    def require_database(self, permission: str) -> None:
        """Check a right on the database.

        Raises:
            SqlError: 262, the login does not have it.
        """
        if not self.database.allowed(self.principal, permission) and "db_ddladmin" not in self.principal.roles:
            raise SqlError(262, f"{permission} permission denied in database '{self.database.name}'.", 14)

    def find_object(self, name: n.Name) -> SchemaObject | None:
        """The object of a name of one to three parts; temporary tables and table variables too."""
        short = name[-1].lower()
        if short.startswith(("#", "@")):
            return self.temporary.get(short)
        if len(name) > 3 and name[0]:
            raise SqlError(7202, f"Could not find server '{name[0]}' in sys.servers.", 11)
        database: Database | None = self.database
        if len(name) >= 3 and name[-3] and name[-3].lower() != self.database.name.lower():
            database = self.server.find_database(name[-3])
        if database is None:
            return None
        found = database.find(name[-2:])
        if found is None and self.server.is_hidden(self, database, short) and self.await_catalog(database):
            found = database.find(name[-2:])
        return found

    def table(self, name: n.Name) -> Table:
        """The table of a name, through a synonym if need be.

        Raises:
            SqlError: 208, there is none.
        """
        item = self.find_object(name)
        if isinstance(item, Synonym):
            return self.table(item.base)
        if not isinstance(item, Table):
            raise SqlError(208, f"Invalid object name '{'.'.join(name)}'.")
        return item

    # --- what expressions ask for ---

    def variable(self, name: str) -> Ex:
        """A variable, or one of the @@ functions.

        Raises:
            SqlError: 137, it is not declared.
        """
        if name.startswith("@@"):
            return procedures.global_variable(self, name)
        found = self.variables.get(name)
        if found is None:
            raise SqlError(137, f'Must declare the scalar variable "{name}".', 15)
        return found

    def next_value(self, name: n.Name) -> Ex:
        """NEXT VALUE FOR."""
        item = self.find_object(name)
        if not isinstance(item, SequenceObject) or item.type is None:
            raise SqlError(208, f"Invalid object name '{'.'.join(name)}'.")
        return cast(constant(item.next_value(), st.BIGINT), item.type)

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

    def row_count(self, table: Table) -> int:
        """The rows a table has now."""
        if table.ready is not None:
            return int(table.ready.row_count)
        (count,) = self.query_rows(f"SELECT count(*) FROM {table.physical}")[0]
        return int(count)

    # --- DuckDB ---

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
        from ..catalog.sysviews import storage_value

        arrays = [
            pa.array([storage_value(row.get(label), kind) for row in rows], arrow_type(kind)) for label, kind in columns
        ]
        table = pa.Table.from_arrays(arrays, names=[label for label, _ in columns])
        self.connection.register(name, table)

    # --- transactions ---

    def begin(self) -> None:
        """BEGIN TRANSACTION; nested ones only count."""
        if self.transaction_depth == 0:
            self.execute_sql("BEGIN TRANSACTION")
            self.changed_data = False
            self.xdes = self.server.new_transaction()
            self.transaction_start = dt.datetime.now()
        self.transaction_depth += 1

    def refresh(self) -> None:
        """Let a statement see what is committed now.

        Under READ COMMITTED a snapshot lasts as long as a statement; here only until the transaction changes something.
        """
        if self.transaction_depth and not self.changed_data and self.isolation in _STATEMENT_LEVEL:
            self.connection.execute("COMMIT")
            self.connection.execute("BEGIN TRANSACTION")

    def commit(self) -> None:
        """COMMIT of the innermost transaction."""
        if self.transaction_depth == 1:
            self.transaction_depth = 0
            self.snapshots.clear()
            try:
                if self.tracked:
                    tracking.commit(self)
                else:
                    self.connection.execute("COMMIT")
            except duckdb.Error as error:
                raise translate(error) from None
            finally:
                self._release()
        elif self.transaction_depth:
            self.transaction_depth -= 1

    def rollback(self) -> None:
        """ROLLBACK of everything, the catalog's changes included."""
        if self.transaction_depth:
            self.transaction_depth = 0
            with contextlib.suppress(duckdb.Error):
                self.connection.execute("ROLLBACK")
            for number, state in self.snapshots.items():
                database = self.server.database_by_id(number)
                if database is not None:
                    database.__dict__.update(state)
                    database.version += 1000
            self.snapshots.clear()
            for database in self.server.databases():
                for table in database.tables():
                    table.key_sets.clear()
            self._release()

    def changing(self) -> None:
        """To be called before the catalog changes: keeps what a rollback brings back."""
        if self.transaction_depth and self.database.database_id not in self.snapshots:
            for table in self.database.tables():
                table.key_sets.clear()
            state = {key: value for key, value in self.database.__dict__.items() if key not in _NOT_ROLLED_BACK}
            ready = {id(t.ready): t.ready for t in self.database.tables() if t.ready is not None}
            self.snapshots[self.database.database_id] = copy.deepcopy(state, ready)

    # --- batches ---

    def run_batch(self, sql: str) -> None:
        """Run a batch; results and errors go to the sink.

        Raises:
            SqlError: it was aborted; the error has not been sent yet.
        """
        self.text, self.reading = sql, ()
        statements = parse_batch(sql, self.quoted_identifiers)
        with contextlib.suppress(control.Return):
            control.run(self, statements)

    def compiler(self) -> QueryCompiler:
        """A compiler for one statement."""
        return QueryCompiler(self)

    # --- SELECT ---

    def select(self, query: n.Query) -> None:
        """Run a query and send its rows, or assign its variables, or make a table of it."""
        if isinstance(query, n.Select) and query.into is not None:
            dml.select_into(self, query)
            return
        if isinstance(query, n.Select) and any(item.variable for item in query.items):
            self._select_variables(query)
            return
        limited = self.fmtonly or self.options.get("ROWCOUNT", "0") != "0"
        found = None if limited else slice_of(self, query)
        if found is not None:
            self.reading = (found.table.name,)
            self.row_count_value = self.sink.ready(found)
            return
        compiler = self.compiler()
        compiled = compiler.query(query, None)
        limit = 0 if self.fmtonly else int(self.options.get("ROWCOUNT") or 0) or None
        sql = compiled.sql if limit is None else f"SELECT * FROM ({compiled.sql}) q LIMIT {limit}"
        self.reading = tuple(table.name for table in compiler.tables)
        self.row_count_value = self.send(compiled, sql)

    def send(self, compiled: CompiledQuery, sql: str) -> int:
        """Run compiled SQL and send its rows as they come; returns their number."""
        cursor = self.execute_sql(sql)
        self.sink.columns(compiled.columns)
        count = 0
        while True:
            try:
                batch = cursor.fetchmany(FETCH_ROWS)
            except duckdb.Error as error:
                raise self.failed(error) from None
            if not batch:
                break
            self.sink.rows(batch)
            count += len(batch)
            self.sink.check()
        self.sink.done(count, "SELECT")
        return count

    def _select_variables(self, query: n.Select) -> None:
        if not all(item.variable for item in query.items):
            raise SqlError(141, "A SELECT statement that assigns a value to a variable must not retrieve data.", 15)
        if accumulate.applies(query):
            self.row_count_value = accumulate.run(self, query)
            return
        plain = n.Select(**{**query.__dict__, "items": tuple(n.SelectItem(item.expr) for item in query.items)})
        compiled = self.compiler().query(plain, None)
        rows = self.query_rows(compiled.sql)
        self.row_count_value = len(rows)
        if rows:
            for item, column, value in zip(query.items, compiled.columns, rows[-1], strict=True):
                self.assign(item.variable or "", constant(from_duckdb(value, column.type), column.type))

    def scalar(self, expr: n.Expr) -> tuple[Any, SqlType | None]:
        """The value of an expression, and its type."""
        compiled = self.compiler().value(expr, Scope())
        return self.evaluate(compiled), compiled.type

    def constant_of(self, expr: n.Expr) -> Ex:
        """An expression without columns, evaluated."""
        compiled = self.compiler().value(expr, Scope())
        return compiled if compiled.is_const else constant(self.evaluate(compiled), compiled.type)

    def evaluate(self, ex: Ex) -> Any:
        """The value of a compiled expression that needs no table."""
        if ex.is_const:
            return ex.const
        if ex.type is None:
            return None
        return from_duckdb(self.query_rows(f"SELECT {ex.sql}")[0][0], ex.type)

    def condition(self, expr: n.Expr) -> bool:
        """Whether a condition is true."""
        return bool(self.query_rows(f"SELECT {self.compiler().predicate(expr, Scope())}")[0][0])

    # --- variables and control flow ---

    def assign(self, name: str, ex: Ex) -> None:
        """Give a variable a value, converted to its type."""
        kind = self.variable(name).type
        assert kind is not None
        value = ex if ex.is_const else constant(self.evaluate(ex), ex.type)
        self.variables[name] = cast(value, kind)

    def nested(self, sql: str) -> None:
        """Run a batch inside this one, with variables of its own."""
        outer, self.variables = self.variables, {}
        try:
            self.run_batch(sql)
        finally:
            self.variables = outer


def arrow_type(kind: SqlType) -> pa.DataType:
    """The Arrow type for rows that go into DuckDB."""
    storage = kind.storage
    if storage.startswith("DECIMAL"):
        return pa.decimal128(kind.precision, kind.scale)
    if storage.startswith("STRUCT"):
        return pa.struct([("u", pa.int64()), ("o", pa.int16())])
    return {
        "UTINYINT": pa.uint8(),
        "SMALLINT": pa.int16(),
        "INTEGER": pa.int32(),
        "BIGINT": pa.int64(),
        "FLOAT": pa.float32(),
        "DOUBLE": pa.float64(),
        "VARCHAR": pa.string(),
        "BLOB": pa.binary(),
    }[storage]
