"""Merging a chunk into a table that has rows: only new and changed rows reach the INSERT.

``ON CONFLICT DO UPDATE ... WHERE`` locks, and so dirties, each row it turns away. The chunk is therefore staged in a
temporary table and joined to the target first; unchanged rows are only read. ``ON CONFLICT`` remains for rows that
another session inserts at the same moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..mapping.objects import MappedTable
from .ddl import quote_ident, relation

if TYPE_CHECKING:
    import psycopg

_PAGE = 8192


@dataclass(frozen=True, slots=True)
class MergeStatements:
    """The SQL of one table's merge; ``merge`` takes the parameters ``first`` and ``last`` (tid bounds as text)."""

    stage_name: str
    create_stage: str
    merge: str


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
        merge=_escaped(
            f"WITH merged AS (INSERT INTO {target} AS d ({names}){overriding}"
            f" SELECT {', '.join(f's.{quote_ident(name)}' for name in columns)}"
            f" FROM pg_temp.{stage} s LEFT JOIN {target} t ON {join} WHERE "
        )
        + "s.ctid >= %(first)s::tid AND s.ctid < %(last)s::tid"
        + _escaped(
            f" AND (t.{quote_ident(key[0])} IS NULL OR {changed})"
            f" ON CONFLICT ({', '.join(quote_ident(name) for name in key)}) {action} RETURNING {new} AS new)"
            " SELECT count(*), count(*) FILTER (WHERE new) FROM merged"
        ),
    )


def _escaped(text: str) -> str:
    """Part of a statement with parameters, in which a % of a name would begin one."""
    return text.replace("%", "%%")


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


def merge_staged(
    connection: psycopg.Connection[Any], statements: MergeStatements, rows: int, batch_rows: int
) -> Merged:
    """Merge the staged rows in batches of about ``batch_rows``, cut by the staging table's pages (TID ranges)."""
    found = connection.execute(f"SELECT pg_relation_size('pg_temp.{statements.stage_name}'::regclass)").fetchone()
    pages = (found[0] if found else 0) // _PAGE
    step = max(1, round(pages * min(1.0, batch_rows / rows)))
    touched = inserted = 0
    for first in range(0, pages, step):
        done = connection.execute(
            statements.merge, {"first": f"({first},0)", "last": f"({min(first + step, pages)},0)"}
        ).fetchone()
        assert done is not None
        touched += done[0]
        inserted += done[1]
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
