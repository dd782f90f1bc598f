"""A session's transactions: what it locks, what it sees, and how they end."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Sequence

import duckdb

from ..catalog.database import Database
from ..catalog.model import SchemaObject
from ..errors import SqlError
from ..locks import CATALOG, Relocked
from . import tracking
from .base import SessionBase
from .engine import translate

_STATEMENT_LEVEL = ("READ COMMITTED", "READ UNCOMMITTED")
"""Isolation levels at which each statement sees what is committed when it begins."""


def _refuse_change(database: Database) -> None:
    """Raises SqlError: 3906 for a read-only database ("Database Engine events and errors")."""
    if database.read_only:
        raise SqlError(3906, f'Failed to update database "{database.name}" because the database is read-only.')


class TransactionSession(SessionBase):
    """A session with transactions."""

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
            SqlError: as `lock`; 3906 for a change of a read-only database.
        """
        if permission in ("ALTER", "INSERT", "UPDATE", "DELETE"):
            self._refuse_read_only(item)
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

    def _refuse_read_only(self, item: SchemaObject) -> None:
        number = getattr(item, "database_id", 0) or self.database.database_id
        database = self.database if number == self.database.database_id else self.server.database_by_id(number)
        if database is not None and not item.name.startswith("#"):
            _refuse_change(database)

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
        """Mark the current database's catalog as changed by this transaction. Raises SqlError: 3906."""
        _refuse_change(self.database)
        self.server.locks.acquire(self.spid, (self.database.database_id, CATALOG), "IX", None, self.sink.check)

    def end_statement(self) -> None:
        """Give back the locks that last as long as a statement."""
        if self.transaction_depth:
            self.server.locks.release(self.spid, "Sch-S")
        else:
            self._release()

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
