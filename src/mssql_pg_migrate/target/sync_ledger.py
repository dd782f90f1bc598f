"""The sync ledger: up to where the target has followed its source, kept in the target itself and for good.

Two tables in the first target schema:

- ``_mpm_sync``        one row per table: the method that follows it and its *position*, a text only the source
  understands (a change tracking version, a rowversion, a watermark);
- ``_mpm_sync_pass``   one row per source: the number of the last pass, and the moment it stands for.

A pass applies its rows and moves the positions in one transaction, under the lock that excludes runs and other syncs;
its number is compared first. So a pass is there once or not at all, and the next one needs nothing but the target.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import StateError
from ..model import ChangeMethod
from .ddl import quote_ident

if TYPE_CHECKING:
    import psycopg

    Connection: TypeAlias = psycopg.Connection[Any]

_DDL = """
CREATE TABLE IF NOT EXISTS {sync} (
    source text NOT NULL, source_table text NOT NULL, target_table text NOT NULL, method text NOT NULL,
    position text, fingerprint text NOT NULL, applied bigint NOT NULL DEFAULT 0,
    changed_at timestamptz, compared_at timestamptz, stale text, error text,
    PRIMARY KEY (source, source_table));
CREATE TABLE IF NOT EXISTS {passes} (
    source text PRIMARY KEY, number bigint NOT NULL, moment timestamptz NOT NULL, applied_at timestamptz NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class SyncEntry:
    """A table that is followed, as the ledger has it."""

    source_table: str
    """``schema.name`` at the source."""
    target_table: str
    """``schema.name`` in the target."""
    method: ChangeMethod
    position: str | None
    """Everything up to here is in the target; None: nobody knows, the table must be compared."""
    fingerprint: str
    """Of its columns and key when the position was written."""
    applied: int = 0
    """Rows inserted, updated and deleted by all passes."""
    changed_at: datetime | None = None
    """When a pass last changed rows of it."""
    compared_at: datetime | None = None
    """When source and target were last compared."""
    stale: str | None = None
    """Why the position is no longer good for going on: the next pass compares the table."""
    error: str | None = None
    """What stopped the last pass at this table."""


@dataclass(frozen=True, slots=True)
class PassEntry:
    """The last pass."""

    number: int
    moment: datetime
    """The source's time that the target stands for (where one moment could be read)."""
    applied_at: datetime


class SyncLedger:
    """The sync ledger of one source in one schema. Holds no connection: every method takes the one to use."""

    def __init__(self, schema: str, source: str) -> None:
        self._sync = f"{quote_ident(schema)}.{quote_ident('_mpm_sync')}"
        self._passes = f"{quote_ident(schema)}.{quote_ident('_mpm_sync_pass')}"
        self._source = source

    def exists(self, connection: Connection) -> bool:
        """Whether anything is followed in this schema."""
        row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (self._sync,)).fetchone()
        return bool(row and row[0])

    def create(self, connection: Connection) -> None:
        """Make the tables where they are missing."""
        if not self.exists(connection):
            with connection.transaction():
                connection.execute(_DDL.format(sync=self._sync, passes=self._passes))

    def entries(self, connection: Connection) -> dict[str, SyncEntry]:
        """Every table that is followed, by its name at the source."""
        if not self.exists(connection):
            return {}
        rows = connection.execute(
            "SELECT source_table, target_table, method, position, fingerprint, applied, changed_at, compared_at,"
            f" stale, error FROM {self._sync} WHERE source = %s ORDER BY source_table",
            (self._source,),
        ).fetchall()
        return {row[0]: SyncEntry(*row) for row in rows}

    def last_pass(self, connection: Connection) -> PassEntry | None:
        """The last pass; None before the first."""
        if not self.exists(connection):
            return None
        row = connection.execute(
            f"SELECT number, moment, applied_at FROM {self._passes} WHERE source = %s", (self._source,)
        ).fetchone()
        return PassEntry(*row) if row else None

    def follow(self, connection: Connection, entries: Sequence[SyncEntry]) -> None:
        """Begin to follow tables from their positions, in one transaction; others that were followed stay."""
        self.create(connection)
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {self._sync} (source, source_table, target_table, method, position, fingerprint, stale)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (source, source_table) DO UPDATE SET"
                " target_table = EXCLUDED.target_table, method = EXCLUDED.method, position = EXCLUDED.position,"
                " fingerprint = EXCLUDED.fingerprint, applied = 0, changed_at = NULL, compared_at = NULL,"
                " stale = EXCLUDED.stale, error = NULL",
                [
                    (
                        self._source,
                        item.source_table,
                        item.target_table,
                        item.method,
                        item.position,
                        item.fingerprint,
                        item.stale,
                    )
                    for item in entries
                ],
            )

    def forget(self, connection: Connection, source_tables: Iterable[str]) -> None:
        """No longer follow these tables."""
        connection.execute(
            f"DELETE FROM {self._sync} WHERE source = %s AND source_table = ANY (%s)",
            (self._source, list(source_tables)),
        )

    def begin_pass(self, connection: Connection, expected: int) -> None:
        """Inside the pass's transaction: lock its row. Raises StateError when another pass came between."""
        connection.execute(
            f"INSERT INTO {self._passes} VALUES (%s, 0, now(), now()) ON CONFLICT DO NOTHING", (self._source,)
        )
        row = connection.execute(
            f"SELECT number FROM {self._passes} WHERE source = %s FOR UPDATE", (self._source,)
        ).fetchone()
        if row is None or row[0] != expected:
            raise StateError(
                f"pass {expected + 1} of the sync from {self._source} is in the target already",
                hint="another sync is at work; let it go on alone",
                retryable=True,
            )

    def advance(
        self,
        connection: Connection,
        number: int,
        moment: datetime,
        positions: dict[str, str],
        applied: dict[str, int],
        compared: Mapping[str, ChangeMethod],
    ) -> None:
        """Inside the pass's transaction: the positions behind it, the rows it changed, the tables it compared.

        A compared table is followed by the method given for it from now on.
        """
        connection.execute(
            f"UPDATE {self._passes} SET number = %s, moment = %s, applied_at = clock_timestamp() WHERE source = %s",
            (number, moment, self._source),
        )
        names = sorted({*positions, *applied})
        connection.execute(
            f"UPDATE {self._sync} t SET position = coalesce(n.position, t.position), applied = t.applied + n.rows,"
            " changed_at = CASE WHEN n.rows > 0 THEN clock_timestamp() ELSE t.changed_at END, error = NULL"
            " FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS n (name, position, rows)"
            " WHERE t.source = %s AND t.source_table = n.name"
            " AND (n.rows > 0 OR t.error IS NOT NULL OR t.position IS DISTINCT FROM n.position)",
            (names, [positions.get(name) for name in names], [applied.get(name, 0) for name in names], self._source),
        )
        connection.execute(
            f"UPDATE {self._sync} t SET compared_at = clock_timestamp(), stale = NULL, method = n.method"
            " FROM unnest(%s::text[], %s::text[]) AS n (name, method) WHERE t.source = %s AND t.source_table = n.name",
            (list(compared), list(compared.values()), self._source),
        )

    def redefine(self, connection: Connection, source_table: str, fingerprint: str, stale: str) -> None:
        """The table has another definition from now on, and is compared next."""
        connection.execute(
            f"UPDATE {self._sync} SET fingerprint = %s, stale = %s WHERE source = %s AND source_table = %s",
            (fingerprint, stale, self._source, source_table),
        )

    def mark_error(self, connection: Connection, source_table: str, error: str) -> None:
        """What stopped a pass at this table, for ``sync status``."""
        connection.execute(
            f"UPDATE {self._sync} SET error = %s WHERE source = %s AND source_table = %s",
            (error, self._source, source_table),
        )
