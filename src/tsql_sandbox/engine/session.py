"""One login's session: running its batches, from its beginning to its end."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Sequence

import duckdb

from ..catalog.database import Database
from ..catalog.model import Login
from ..tsql import statements as sm
from ..tsql.parser import parse_batch
from . import control, flow
from .engine import Engine
from .state import SessionState


class Session(SessionState):
    """A session. Used by one thread at a time."""

    def __init__(
        self, server: Engine, login: Login, database: Database, app_name: str = "", host_name: str = ""
    ) -> None:
        super().__init__(server, login, database, app_name, host_name)
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

    def run_batch(self, sql: str) -> None:
        """Run a batch; results and errors go to the sink.

        Raises:
            SqlError: it was aborted; the error has not been sent yet.
        """
        self.text, self.reading = sql, ()
        statements = parse_batch(sql, self.quoted_identifiers)
        with contextlib.suppress(flow.Return):
            control.run(self, statements)

    def run_statement(self, statement: sm.Statement) -> None:
        """Run one statement."""
        control.run_one(self, statement)

    def run_statements(self, statements: Sequence[sm.Statement]) -> None:
        """Run statements one after the other."""
        control.run(self, statements)
