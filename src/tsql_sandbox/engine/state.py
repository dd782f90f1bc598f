"""A session as statements see it: names, rights, variables, expressions; running statements is left to its end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import duckdb

from ..catalog.database import Database
from ..catalog.model import SchemaObject, Synonym, Table
from ..catalog.model import Sequence as SequenceObject
from ..compiler.casts import Ex, cast, constant
from ..compiler.outputs import CompiledQuery
from ..compiler.queries import QueryCompiler
from ..compiler.scope import Scope
from ..errors import SqlError
from ..tsql import nodes as n
from ..tsql import statements as sm
from ..values import sqltypes as st
from ..values.convert import from_duckdb
from ..values.sqltypes import SqlType
from .globals import global_variable
from .transactions import TransactionSession

FETCH_ROWS = 2048


class SessionState(TransactionSession):
    """A session that statements are run in."""

    @abstractmethod
    def run_batch(self, sql: str) -> None:
        """Run a batch; results and errors go to the sink.

        Raises:
            SqlError: it was aborted; the error has not been sent yet.
        """

    @abstractmethod
    def run_statement(self, statement: sm.Statement) -> None:
        """Run one statement.

        Raises:
            SqlError: it failed in a way that ends the batch.
        """

    @abstractmethod
    def run_statements(self, statements: Sequence[sm.Statement]) -> None:
        """Run statements one after the other; as `run_statement`."""

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

    def variable(self, name: str) -> Ex:
        """A variable, or one of the @@ functions.

        Raises:
            SqlError: 137, it is not declared.
        """
        if name.startswith("@@"):
            return global_variable(self, name)
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

    def compiler(self) -> QueryCompiler:
        """A compiler for one statement."""
        return QueryCompiler(self)

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
