"""What differs between a table at the source and in the target, staged as changes: rows that are missing, other, extra.

Both sides are read once and digested (`validation`); where buckets of rows differ, the rows of just these are read
again. The source's are staged as changed rows, the target's that the source lacks as deleted ones. Nothing needs to be
set up at the source, and a table that is equal costs a read on either side and no write.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ..errors import TransferError
from ..mapping.quoting import qualified, quote_ident
from ..source.changes import OPERATION, ChangeSession
from ..target.copy import copy_statement, copy_tuples
from ..target.inspect import ExistingTable
from ..validation.buckets import BucketTable, bitmap, bits_for
from ..validation.columns import Comparison, NotComparable, compare_columns, reduced
from ..validation.digest import Digest, malformed, new_key, open_digest
from ..validation.target_side import TargetSide
from .statements import DELETED, StagedTable, create_stage

if TYPE_CHECKING:
    import psycopg

    from ..mapping.objects import MappedTable


class TableComparison:
    """One table's comparison: both sides digested, then the differing rows staged."""

    def __init__(
        self,
        session: ChangeSession,
        target: TargetSide,
        staged: StagedTable,
        existing: ExistingTable,
        check_stop: Callable[[], None],
    ) -> None:
        self._session = session
        self._target = target
        self._staged = staged
        self._check_stop = check_stop
        try:
            table, comparison = compare_columns(staged.table, existing)
        except NotComparable as problem:
            name = staged.table.source.full_name
            raise TransferError(f"table {name}: {staged.table.full_name} {problem}", table=name) from None
        # What the target computes itself follows from the other columns, and cannot be brought over.
        self._comparison = comparison.without_computed()
        self._table = reduced(table, self._comparison.columns)
        self._key = new_key()
        self._bits = bits_for(staged.table.source.row_estimate)

    def stage(self, connection: psycopg.Connection[Any]) -> bool:
        """Stage what differs through ``connection``, inside its transaction; False when nothing does.

        Raises TransientError, TransferError, DataError as the readers do.
        """
        differing = self._differing()
        if not differing:
            return False
        chosen = bitmap(self._bits, differing)
        connection.execute(create_stage(self._staged))
        connection.execute(f"ALTER TABLE {self._staged.relation} ALTER COLUMN {OPERATION} SET DEFAULT 'U'")
        self._stage_source(connection, chosen)
        self._stage_deleted(connection, chosen)
        return True

    def _digest(self, *, target: bool) -> Digest:
        comparison = self._comparison
        kinds = comparison.target_kinds if target else comparison.source_kinds
        return open_digest(kinds, comparison.roles, self._key, self._bits, header=target)

    def _differing(self) -> list[int]:
        """The buckets whose rows are not the same; the two sides are read side by side."""
        with ThreadPoolExecutor(1, thread_name_prefix="compare") as other:
            theirs = other.submit(self._digest_target, self._digest(target=True), lambda: None)
            digest = self._digest(target=False)
            try:
                for _ in self._source_rows(digest):
                    pass
            except BaseException:
                self._target.abort()
                raise
            mine = BucketTable(self._bits, digest.buckets())
            return mine.differing(BucketTable(self._bits, theirs.result().buckets()))

    def _source_rows(self, digest: Digest) -> Any:
        """Read the source into the digest, chunk by chunk."""
        for chunk in self._session.rows(self._table):
            self._check_stop()
            try:
                digest.update(chunk.data)
            except ValueError as error:
                raise malformed(error, self._table.full_name, self._comparison.names, "source") from error
            yield

    def _digest_target(self, digest: Digest, after_step: Callable[[], None]) -> Digest:
        def step() -> None:
            self._check_stop()
            after_step()

        self._target.digest(self._table, self._comparison, "", digest, step, shared=False)
        return digest

    def _stage_source(self, connection: psycopg.Connection[Any], chosen: bytes) -> None:
        into = self._staged.relation
        copy = copy_statement(into, tuple(column.column.name for column in self._comparison.columns), "binary")
        digest = self._digest(target=False)
        digest.keep(chosen)
        for _ in self._source_rows(digest):
            _copy_kept(connection, copy, digest)

    def _stage_deleted(self, connection: psycopg.Connection[Any], chosen: bytes) -> None:
        """Rows of the target in those buckets whose key the source's rows do not have."""
        there = f"{self._staged.stage}_there"
        connection.execute(_create_there(there, self._table, self._comparison))
        copy = copy_statement(f"pg_temp.{quote_ident(there)}", _numbered(self._comparison), "binary")
        digest = self._digest(target=True)
        digest.keep(chosen)
        self._digest_target(digest, lambda: _copy_kept(connection, copy, digest))
        _copy_kept(connection, copy, digest)
        names = [column.column.name for column in self._comparison.columns]
        key = [(name, f"c{names.index(name)}") for name in self._staged.key]
        columns = ", ".join(quote_ident(name) for name, _ in key)
        join = " AND ".join(f"s.{quote_ident(name)} = k.{field}" for name, field in key)
        stage = self._staged.relation
        connection.execute(
            f"INSERT INTO {stage} ({OPERATION}, {columns}) SELECT '{DELETED}', {', '.join(f'k.{f}' for _, f in key)}"
            f" FROM pg_temp.{quote_ident(there)} k WHERE NOT EXISTS (SELECT FROM {stage} s WHERE {join})".encode()
        )
        connection.execute(f"DROP TABLE pg_temp.{quote_ident(there)}")


def _copy_kept(connection: psycopg.Connection[Any], statement: str, digest: Digest) -> None:
    data, rows = digest.kept()
    if rows:
        copy_tuples(connection, statement, data, "binary")


def _numbered(comparison: Comparison) -> tuple[str, ...]:
    return tuple(f"c{position}" for position in range(len(comparison.columns)))


def _create_there(name: str, table: MappedTable, comparison: Comparison) -> str:
    """A temporary table for the target's rows in the form they were read in."""
    fields = ", ".join(f"{column.target_sql} AS c{position}" for position, column in enumerate(comparison.columns))
    return (
        f"CREATE TEMPORARY TABLE {quote_ident(name)} ON COMMIT DROP AS"
        f" SELECT {fields} FROM {qualified(table.schema, table.name)} WITH NO DATA"
    )
