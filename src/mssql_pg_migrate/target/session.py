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

    def prepare(self, *, lz4: bool, merge: MergeStatements | None) -> None:
        """Settings of a load session, once, and the staging table of the table it serves now.

        ``synchronous_commit = off`` is safe here: rows and ledger row are lost together in a crash, and the chain of
        chunk numbers shows it.
        """
        if not self._prepared:
            self.connection.execute("SET synchronous_commit = off")
            if lz4:
                self.connection.execute("SET default_toast_compression = 'lz4'")
            self._prepared = True
        stage = merge.stage_name if merge else None
        if stage == self._stage:
            return
        if self._stage is not None:
            self.connection.execute(f"DROP TABLE IF EXISTS pg_temp.{self._stage}")
            self._stage = None
        if merge is not None:
            if not self._merges:
                self.connection.execute("; ".join(MERGE_SETTINGS))
                self._merges = True
            self.connection.execute(merge.create_stage)
            self._stage = merge.stage_name

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
