"""What compiling asks of a session: a small protocol, so that nothing here knows the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..catalog.database import Database
from ..catalog.model import SchemaObject, Table
from ..catalog.session import CatalogServer, CatalogSession
from ..catalog.visibility import Sight
from ..errors import SqlError
from ..tsql import nodes as n
from .casts import Ex
from .scope import ScopeSource


class CompilerServer(CatalogServer, Protocol):
    """The server as functions about it see it."""

    name: str
    collation: str

    def find_database(self, name: str) -> Database | None:
        """The database of a name."""
        ...

    def database_by_id(self, number: int) -> Database | None:
        """The database of an id."""
        ...

    def min_active_rowversion(self, database: Database) -> int:
        """MIN_ACTIVE_ROWVERSION."""
        ...


class CompilerSession(CatalogSession, Protocol):
    """A session as the compiler sees it: what names mean in it, and what it may use."""

    temporary: dict[str, Table]
    caught: SqlError | None
    last_identity: int | None

    @property
    def server(self) -> CompilerServer:
        """The server."""
        ...

    def sight_of(self, database: Database) -> Sight:
        """What the login sees of a database."""
        ...

    def require(self, permission: str, item: SchemaObject, hints: Sequence[str] = (), *, chained: bool = False) -> None:
        """Check a right, and take the lock that goes with it."""
        ...

    def refused(self, permission: str, table: Table) -> dict[int, SqlError]:
        """The columns of a table that may not be used, by column id."""
        ...

    def find_object(self, name: n.Name) -> SchemaObject | None:
        """The object of a name."""
        ...

    def variable(self, name: str) -> Ex:
        """A variable, or one of the @@ functions."""
        ...

    def next_value(self, name: n.Name) -> Ex:
        """NEXT VALUE FOR."""
        ...

    def physical(self, table: Table, source: ScopeSource) -> str:
        """Where DuckDB finds a table's rows."""
        ...
