"""What the catalog's views ask of a session: a small protocol, so that nothing here knows the engine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ..locks import Locks
from ..values.sqltypes import SqlType
from .database import Database
from .model import Login, Principal, Table
from .visibility import Sight


class CatalogServer(Protocol):
    """The server as its catalog shows it."""

    rights_version: int
    locks: Locks

    @property
    def sessions(self) -> Mapping[int, CatalogSession]:
        """Sessions there are, by id."""
        ...

    def holds(self, login: Login, permission: str) -> bool:
        """Whether a login has a permission on the server."""
        ...

    def logins(self) -> list[Login]:
        """All logins."""
        ...

    def databases(self) -> list[Database]:
        """All databases."""
        ...


class CatalogSession(Protocol):
    """A session as the catalog sees it: who asks, and what it does now."""

    spid: int
    login: Login
    principal: Principal
    database: Database
    app_name: str
    host_name: str
    language: str
    isolation: str
    command: str
    quoted_identifiers: bool
    transaction_depth: int
    transaction_start: dt.datetime | None
    changed_data: bool
    row_count_value: int
    last_error: int
    login_time: dt.datetime
    request_start: dt.datetime
    request_end: dt.datetime | None
    registered: dict[str, tuple[int, int]]

    @property
    def server(self) -> CatalogServer:
        """The server."""
        ...

    @property
    def sight(self) -> Sight:
        """What the login sees of the current database."""
        ...

    @property
    def lock_timeout(self) -> int:
        """SET LOCK_TIMEOUT in milliseconds."""
        ...

    def sees_database(self, database: Database) -> bool:
        """Whether a database is listed."""
        ...

    def row_count(self, table: Table) -> int:
        """The rows a table has now."""
        ...

    def in_database(self, name: str | None) -> AbstractContextManager[None]:
        """Be in another database for a moment."""
        ...

    def await_catalog(self, database: Database) -> bool:
        """Wait while another transaction has changed the catalog."""
        ...

    def register_rows(
        self, name: str, columns: Sequence[tuple[str, SqlType]], rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Make rows readable in DuckDB."""
        ...
