"""Merging a chunk into a table that has rows: only new and changed rows reach the INSERT.

``ON CONFLICT DO UPDATE ... WHERE`` locks, and so dirties, each row it turns away. The chunk is therefore staged in a
temporary table and joined to the target first; unchanged rows are only read. ``ON CONFLICT`` remains for rows that
another session inserts at the same moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..mapping.objects import MappedTable
from .ddl import quote_ident, relation
from .exchange import Reply

if TYPE_CHECKING:
    import psycopg

_PAGE = 8192


@dataclass(frozen=True, slots=True)
class MergeStatements:
    """The SQL of one table's merge; between ``before`` and ``after`` comes the choice of staged rows."""

    stage_name: str
    create_stage: str
    before: str
    after: str

    def batches(self, rows: int, batch_rows: int) -> list[str]:
        """Statements that merge ``rows`` staged rows in batches of about ``batch_rows``, cut by the pages (TID ranges).

        Each answers how many rows it touched and how many of those were new. All they touched is counted in the
        transaction's setting `TOUCHED`, for the ledger row that follows in the same message.
        """
        count = max(1, -(-rows // max(1, batch_rows)))
        pages = f"pg_relation_size('pg_temp.{self.stage_name}'::regclass) / {_PAGE}"
        return [
            f"{self.before}s.ctid >= (SELECT format('(%s,0)', {pages} * {number} / {count}))::tid"
            f" AND s.ctid < (SELECT format('(%s,0)', {pages} * {number + 1} / {count}))::tid{self.after}"
            for number in range(count)
        ]


def merge_statements(table: MappedTable, table_id: int, *, partitioned: bool = False) -> MergeStatements:
    """Build the statements for a table whose target has a unique constraint over the primary key's columns.

    The staging table takes the target's own column types, so that both sides compare in one type. Values are
    compared exactly: text as bytes (a case-insensitive collation or citext would hide a changed letter), json, which
    has no equality, by its text, floating point numbers by their binary form (0 and -0 are equal otherwise).
    """
    target = relation(table)
    stage = f"_mpm_stage_{table_id}"
    columns = [column.name for column in table.copied_columns]
    names = ", ".join(quote_ident(name) for name in columns)
    key = key_columns(table)
    join = " AND ".join(f"t.{quote_ident(name)} = s.{quote_ident(name)}" for name in key)
    changes = " OR ".join(
        differs(quote_ident(column.name), column.encoding, column.pg_type)
        for column in table.copied_columns
        if column.name not in key
    )
    # A row with the same key under a case-insensitive comparison may spell the key differently: that is a change.
    texts = [column for column in table.copied_columns if column.name in key and column.encoding == "text"]
    spelled = " OR ".join(differs(quote_ident(column.name), column.encoding, column.pg_type) for column in texts)
    updated = [name for name in columns if name not in key] + [column.name for column in texts]
    updates = ", ".join(f"{quote_ident(name)} = EXCLUDED.{quote_ident(name)}" for name in updated)
    changed = " OR ".join(part for part in (changes, spelled) if part) or "false"
    action = f"DO UPDATE SET {updates}" if updates else "DO NOTHING"
    overriding = " OVERRIDING SYSTEM VALUE" if any(column.identity for column in table.columns) else ""
    # PostgreSQL shows no system columns of partitioned tables here: their rows all count as updated.
    new = "false" if partitioned else "d.xmax = 0"
    return MergeStatements(
        stage_name=stage,
        create_stage=(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {stage} ON COMMIT DELETE ROWS AS"
            f" SELECT {names} FROM {target} WITH NO DATA"
        ),
        before=(
            f"WITH merged AS (INSERT INTO {target} AS d ({names}){overriding}"
            f" SELECT {', '.join(f's.{quote_ident(name)}' for name in columns)}"
            f" FROM pg_temp.{stage} s LEFT JOIN {target} t ON {join} WHERE "
        ),
        after=(
            f" AND (t.{quote_ident(key[0])} IS NULL OR {changed})"
            f" ON CONFLICT ({', '.join(quote_ident(name) for name in key)}) {action} RETURNING {new} AS new)"
            " SELECT count(*), count(*) FILTER (WHERE new),"
            f" set_config('{TOUCHED}', ({touched_so_far()} + count(*))::text, true) FROM merged"
        ),
    )


TOUCHED = "mpm.touched"
"""A setting of the chunk's transaction: rows that its merges have inserted or updated."""
TOUCHED_NONE = f"SET LOCAL {TOUCHED} = 0"


def touched_so_far() -> str:
    """An SQL expression for the value of `TOUCHED`."""
    return f"current_setting('{TOUCHED}')::bigint"


def key_columns(table: MappedTable) -> tuple[str, ...]:
    """Target names of the primary key's columns: what identifies a row in upsert mode."""
    primary = table.source.primary_key
    if primary is None:
        raise ValueError(f"{table.source.full_name} has no primary key")
    return tuple(table.mapped(column.name).name for column in primary.columns)


def differs(name: str, encoding: str, pg_type: str) -> str:
    """A condition: column ``name`` (quoted) of ``t`` and ``s`` is not the very same value; see `merge_statements`."""
    if encoding == "text":
        if pg_type in ("json", "xml", "citext") or pg_type.endswith(".citext"):
            return f't.{name}::text COLLATE "C" IS DISTINCT FROM s.{name}::text COLLATE "C"'
        return f't.{name} COLLATE "C" IS DISTINCT FROM s.{name} COLLATE "C"'
    if encoding == "float8":
        return f"float8send(t.{name}) IS DISTINCT FROM float8send(s.{name})"
    if encoding == "float4":
        return f"float4send(t.{name}) IS DISTINCT FROM float4send(s.{name})"
    return f"t.{name} IS DISTINCT FROM s.{name}"


@dataclass(frozen=True, slots=True)
class Merged:
    """What merging a chunk did: ``inserted`` rows were new, ``updated`` ones had changed."""

    inserted: int
    updated: int


def merged(replies: Sequence[Reply]) -> Merged:
    """What the statements of `MergeStatements.batches` did."""
    touched = sum(int(reply.first[0] or 0) for reply in replies)
    inserted = sum(int(reply.first[1] or 0) for reply in replies)
    return Merged(inserted, touched - inserted)


MERGE_SETTINGS = (
    # Each staged row is looked up in the key's index. Without statistics (a table just filled) the planner would
    # rather scan the target once per batch; with seqscan's penalty in the costs it would compile every statement.
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
    "SET enable_seqscan = off",
    "SET enable_material = off",
    "SET jit = off",
)
"""Settings of a session that merges."""


class NewRows:
    """Guesses, for one range, whether the next chunk holds new rows only: then it can be copied straight in.

    True as long as the target is empty or whole chunks turn out to be new. A wrong guess costs the rows copied before
    the first duplicate, so each doubles the number of new chunks asked for before the next one.
    """

    def __init__(self) -> None:
        self._guess: bool | None = None
        self._seen = 0
        self._wanted = 1

    def guess(self, connection: psycopg.Connection[Any], table: MappedTable) -> bool:
        """Whether to try; asks the target once, whether it is empty."""
        if self._guess is None:
            row = connection.execute(f"SELECT NOT EXISTS (SELECT 1 FROM {relation(table)})").fetchone()
            self._guess = bool(row and row[0])
        return self._guess

    def wrong(self) -> None:
        """A copied chunk met a row that is there already."""
        self._guess = False
        self._seen = 0
        self._wanted *= 2

    def merged(self, merged: Merged, rows: int) -> None:
        """A chunk was merged."""
        self._seen = self._seen + 1 if merged.inserted == rows else 0
        self._guess = self._seen >= self._wanted
