"""A pooled load session: a connection and what has been set up in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .connect import TargetSettings, connect_target
from .upsert import MERGE_SETTINGS, MergeStatements

if TYPE_CHECKING:
    import psycopg


class LoadSession:
    """One connection of the target pool, prepared lazily for the table it serves."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self._prepared = False
        self._stage: str | None = None
        self._merges = False

    @classmethod
    def open(cls, settings: TargetSettings) -> LoadSession:
        """Connect; raises ConnectionFailed."""
        return cls(connect_target(settings, purpose="load"))

    def preparation(self, *, lz4: bool, merge: MergeStatements | None) -> list[str]:
        """Statements due before a chunk: settings of a load session, and the staging table of the table it serves now.

        They are to be part of the chunk's message, and of its transaction: call `prepared` when that is committed.
        ``synchronous_commit = off`` is safe here: rows and ledger row are lost together in a crash, and the chain of
        chunk numbers shows it.
        """
        due = []
        if not self._prepared:
            due.append("SET synchronous_commit = off")
            if lz4:
                due.append("SET default_toast_compression = 'lz4'")
        stage = merge.stage_name if merge else None
        if stage != self._stage:
            if self._stage is not None:
                due.append(f"DROP TABLE IF EXISTS pg_temp.{self._stage}")
            if merge is not None:
                due += [*(() if self._merges else MERGE_SETTINGS), merge.create_stage]
        return due

    def prepared(self, merge: MergeStatements | None) -> None:
        """What `preparation` named is done."""
        self._prepared = True
        self._merges = self._merges or merge is not None
        self._stage = merge.stage_name if merge else None

    @property
    def usable(self) -> bool:
        """Whether the session may serve again: open and outside a transaction."""
        from psycopg.pq import TransactionStatus

        return not self.connection.closed and self.connection.info.transaction_status == TransactionStatus.IDLE

    def abort(self) -> None:
        """End a running statement from another thread; its transaction is undone."""
        self.connection.cancel_safe(timeout=2.0)

    def close(self) -> None:
        """Close the connection; idempotent."""
        self.connection.close()
