"""PostgreSQL's side of a comparison: counts, and digests of tables read in parts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import TransientError
from ..mapping.objects import MappedTable
from ..mapping.quoting import qualified
from ..target.classify import is_transient, translated
from ..target.connect import TargetSettings, connect_target
from ..transfer.pool import Pool
from .columns import Comparison
from .copy_out import digest_copy
from .digest import Digest, malformed

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

_TID_RANGES = 140000
"""From this server_version_num on, conditions on ctid read only the pages they name."""


class TargetSession:
    """One pooled connection."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    @classmethod
    def open(cls, settings: TargetSettings) -> TargetSession:
        """Connect; raises ConnectionFailed."""
        return cls(connect_target(settings, purpose="validate"))

    @property
    def usable(self) -> bool:
        """Whether the session may serve again: open and outside a transaction."""
        from psycopg.pq import TransactionStatus

        return not self.connection.closed and self.connection.info.transaction_status == TransactionStatus.IDLE

    def abort(self) -> None:
        """End a running statement from another thread."""
        self.connection.cancel_safe(timeout=2.0)

    def close(self) -> None:
        """Close the connection; idempotent."""
        self.connection.close()


class SharedSnapshot:
    """One view of the database for all parts of a table: rows that move meanwhile are seen once.

    Holds a connection of its own, from the first table that is read in parts to the end.
    """

    def __init__(self, settings: TargetSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self._name: str | None = None

    def name(self, stale: str | None = None) -> str:
        """The snapshot's name; a new snapshot when there is none yet, or when ``stale`` is no longer known."""
        with self._lock:
            if self._name is None or self._name == stale:
                self._close()
                self._connection = connect_target(self._settings, purpose="snapshot")
                self._name = self._export(self._connection)
            return self._name

    @staticmethod
    def _export(connection: psycopg.Connection[Any]) -> str:
        connection.execute("SET idle_in_transaction_session_timeout = 0")
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        found = connection.execute("SELECT pg_export_snapshot()").fetchone()
        assert found is not None
        return str(found[0])

    def close(self) -> None:
        """Let the snapshot go; idempotent."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        connection, self._connection, self._name = self._connection, None, None
        if connection is not None:
            connection.close()


class TargetSide:
    """Questions to the target, over at most ``connections`` connections (the shared snapshot's included)."""

    def __init__(self, settings: TargetSettings, connections: int, version_num: int) -> None:
        self._settings = settings
        self._version_num = version_num
        self._pool: Pool[TargetSession] = Pool(max(1, connections - 1), usable=lambda session: session.usable)
        self._snapshot = SharedSnapshot(settings)

    def count(self, table: MappedTable) -> int:
        """The exact number of rows. Raises TransferError, TransientError, ConnectionFailed."""
        with self._session(table, "counting rows") as connection:
            found = connection.execute(f"SELECT count(*) FROM {qualified(table.schema, table.name)}").fetchone()
        assert found is not None
        return int(found[0])

    def parts(self, table: MappedTable, wanted: int) -> list[str]:
        """Conditions that cut the table into about ``wanted`` parts of equal size; one empty one for the whole."""
        if wanted < 2 or self._version_num < _TID_RANGES:
            return [""]
        with self._session(table, "reading its size") as connection:
            found = connection.execute(
                "SELECT pg_relation_size(c.oid) / current_setting('block_size')::int FROM pg_catalog.pg_class c"
                " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                " WHERE n.nspname = %s AND c.relname = %s AND c.relkind = 'r'",
                (table.schema, table.name),
            ).fetchone()
        pages = int(found[0]) if found is not None and found[0] is not None else 0
        step = -(-pages // wanted)
        if step == 0 or step >= pages or not self._can_share(table):
            return [""]
        starts = range(0, pages, step)
        # Open at both ends: the table may grow while it is read.
        return [
            " AND ".join(
                condition
                for condition in (
                    f"ctid >= '({start},0)'" if start else "",
                    f"ctid < '({start + step},0)'" if start + step < pages else "",
                )
                if condition
            )
            for start in starts
        ]

    def _can_share(self, table: MappedTable) -> bool:
        """Whether the server lets several sessions see one snapshot."""
        import psycopg

        with translated(table.full_name, "sharing a snapshot"):
            try:
                self._snapshot.name()
            except psycopg.errors.Error as error:
                if is_transient(error):
                    raise
                return False
        return True

    def digest(
        self,
        table: MappedTable,
        comparison: Comparison,
        part: str,
        digest: Digest,
        after_step: Callable[[], None],
        *,
        shared: bool,
    ) -> None:
        """Read the rows of one part into ``digest``; ``shared``: it is one of several parts of a table.

        Raises TransferError, TransientError, ConnectionFailed, and what ``after_step`` raises.
        """
        columns = ", ".join(column.target_sql for column in comparison.columns)
        where = f" WHERE {part}" if part else ""
        query = f"COPY (SELECT {columns} FROM {qualified(table.schema, table.name)}{where}) TO STDOUT (FORMAT binary)"
        with self._session(table, "reading rows") as connection:
            run = partial(self._copy, table, comparison, connection, query, digest, after_step)
            if shared:
                self._within_snapshot(table, connection, run)
            else:
                run()

    def _copy(
        self,
        table: MappedTable,
        comparison: Comparison,
        connection: psycopg.Connection[Any],
        query: str,
        digest: Digest,
        after_step: Callable[[], None],
    ) -> None:
        try:
            digest_copy(connection, query, digest, after_step)
        except ValueError as error:
            connection.close()
            raise malformed(error, table.full_name, comparison.names, "target") from error
        except BaseException:
            connection.close()  # in the middle of a COPY it can do nothing else
            raise

    def _within_snapshot(
        self, table: MappedTable, connection: psycopg.Connection[Any], work: Callable[[], None]
    ) -> None:
        from psycopg import errors

        name = self._snapshot.name()
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            connection.execute(f"SET TRANSACTION SNAPSHOT '{name}'")
        except (errors.InvalidParameterValue, errors.UndefinedObject, errors.ObjectNotInPrerequisiteState) as error:
            connection.execute("ROLLBACK")
            self._snapshot.name(stale=name)
            raise TransientError(
                f"table {table.full_name}: the shared snapshot is gone", side="target", table=table.full_name
            ) from error
        work()
        connection.execute("COMMIT")

    @contextmanager
    def _session(self, table: MappedTable, doing: str) -> Iterator[psycopg.Connection[Any]]:
        with (
            self._pool.use("validate", partial(TargetSession.open, self._settings)) as session,
            translated(table.full_name, doing),
        ):
            yield session.connection

    def abort(self) -> None:
        """Stop at once: end what the connections in use are doing."""
        self._pool.close(abort=lambda session: session.abort())

    def close(self) -> None:
        """Close all connections; idempotent."""
        self._pool.close()
        self._snapshot.close()
