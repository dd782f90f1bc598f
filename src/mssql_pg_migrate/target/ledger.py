"""The ledger: which chunks of which run are in the target, kept in the target itself.

A chunk's rows and its ledger row are one transaction, so the ledger is the truth about what arrived, whatever died
afterwards. Four tables in the (first) target schema, dropped when the run completes:

- ``_mpm_run``    one row: the run in progress;
- ``_mpm_table``  one row per table: its status and ``generation`` (incremented whenever the table begins anew);
- ``_mpm_range``  the key ranges, planned once per run;
- ``_mpm_chunk``  one row per committed chunk (``_mpm_chunk_unlogged`` for unlogged tables, so that a crash of the
  server empties both together).

Three rules make a repeated or belated write impossible:

1. A chunk transaction first locks its ``_mpm_table`` row FOR SHARE and compares the run and the generation: a table
   that began anew waits for writers of the old generation, and those that come later are turned away.
2. A chunk's sequence number is part of the primary key: of two writers of one chunk the second fails, and goes back to
   the ledger's position unless the first wrote the very same chunk.
3. Chunk n is only accepted where chunk n-1 is: commits lost in a crash (``synchronous_commit = off``, unlogged
   tables) are noticed at the next chunk, at the latest when the table is declared loaded.

Over 500 lines, because whether these rules hold is seen only where all statements on the four tables stand together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..errors import StateError
from ..model import KeyRange, KeyValue
from .ddl import quote_ident, quote_literal
from .exchange import exchange

if TYPE_CHECKING:
    import psycopg

    Connection: TypeAlias = psycopg.Connection[Any]
    Cursor: TypeAlias = psycopg.Cursor[Any]

Constraint: TypeAlias = tuple[str, str, str, str, bool]
"""(schema, table, name, definition, whether it was validated) of a foreign key set aside."""
TableStatus: TypeAlias = Literal["planned", "prepared", "loaded", "failed"]
Action: TypeAlias = Literal["create", "recreate", "truncate", "merge", "create_merge"]
"""What happens to the target table first: made new, dropped and made new, emptied, kept and merged into, or made new
with its primary key and merged into."""
LEDGER_TABLES = ("_mpm_chunk", "_mpm_chunk_unlogged", "_mpm_range", "_mpm_constraint", "_mpm_table", "_mpm_run")

LEDGER_RELATIONS = frozenset((*LEDGER_TABLES, *(f"{name}_pkey" for name in LEDGER_TABLES)))
"""All names the ledger uses in its schema."""


MOVED = "22012"
"""division_by_zero: how the ledger's conditions inside a message fail (`Ledger.fence`, `Ledger.set_loaded`)."""


class LedgerMovedError(Exception):
    """The ledger does not hold what the writer believed: its generation is over or its last chunk was lost."""


@dataclass(frozen=True, slots=True)
class LedgerTable:
    """A row of ``_mpm_table``."""

    table_id: int
    source: str
    target: str
    status: TableStatus
    generation: int
    unlogged: bool
    """Whether rows go to an unlogged table (and its chunks to the unlogged ledger table)."""
    restore_logged: bool
    """Whether SET LOGGED is due once the rows are there."""
    resumable: bool
    action: Action
    """Of the attempt that began the table: what a resumed run goes on with."""
    fingerprint: str
    rows: int = 0
    skipped: int = 0
    trial: str = ""
    """What the trial on sampled rows found before the run began."""

    @property
    def untouched(self) -> bool:
        """Whether the run has done nothing to the target's table yet: whatever is there is not its work."""
        return self.status == "planned" and self.generation == 0


@dataclass(frozen=True, slots=True)
class RangeProgress:
    """How far a range is: ``next_seq`` chunks are committed, the last one ended with ``last_key``."""

    next_seq: int = 0
    last_key: KeyValue | None = None
    rows: int = 0
    skipped: int = 0
    done: bool = False


@dataclass(frozen=True, slots=True)
class TableOverview:
    """What the ledger says of one table: no ranges until they are planned; those not begun have no progress."""

    entry: LedgerTable
    ranges: tuple[KeyRange, ...]
    progress: dict[int, RangeProgress]


@dataclass(frozen=True, slots=True)
class ChunkPosition:
    """The identity of one chunk in the ledger."""

    table_id: int
    generation: int
    range_id: int
    seq: int
    unlogged: bool


class Ledger:
    """The ledger of one run in one schema. Holds no connection: every method takes the one to use."""

    def __init__(self, schema: str, run_id: str) -> None:
        self.schema = schema
        self.run_id = run_id

    def name(self, table: str) -> str:
        """The qualified, quoted name of a ledger table."""
        return f"{quote_ident(self.schema)}.{quote_ident(table)}"

    # -- the run ---------------------------------------------------------------------------------------------------

    def exists(self, connection: Connection) -> bool:
        """Whether any ledger is in the schema."""
        row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (self.name("_mpm_run"),)).fetchone()
        return bool(row and row[0])

    def current_run(self, connection: Connection) -> tuple[str, str] | None:
        """``(run id, config hash)`` of the run the ledger belongs to, None without a ledger."""
        if not self.exists(connection):
            return None
        row = connection.execute(f"SELECT run_id::text, config_hash FROM {self.name('_mpm_run')}").fetchone()
        return (row[0], row[1]) if row else None

    def create(
        self,
        connection: Connection,
        *,
        config_hash: str,
        mode: str,
        tool_version: str,
        tables: Sequence[LedgerTable] = (),
    ) -> None:
        """Replace whatever ledger there is by one of this run, with those tables as planned.

        One message, and so one transaction, or part of the caller's.
        """
        run = ", ".join(quote_literal(text) for text in (self.run_id, config_hash, mode, tool_version))
        statements = [
            f"DROP TABLE IF EXISTS {', '.join(self.name(table) for table in LEDGER_TABLES)}",
            f"CREATE TABLE {self.name('_mpm_run')} (run_id uuid PRIMARY KEY, config_hash text NOT NULL,"
            " mode text NOT NULL, tool_version text NOT NULL, started_at timestamptz NOT NULL DEFAULT now())",
            f"CREATE TABLE {self.name('_mpm_table')} (table_id integer PRIMARY KEY, source text NOT NULL,"
            " target text NOT NULL, status text NOT NULL, generation integer NOT NULL DEFAULT 0,"
            " unlogged boolean NOT NULL, restore_logged boolean NOT NULL, resumable boolean NOT NULL,"
            " action text NOT NULL, fingerprint text NOT NULL, rows bigint NOT NULL DEFAULT 0,"
            " skipped bigint NOT NULL DEFAULT 0, trial text NOT NULL)",
            f"CREATE TABLE {self.name('_mpm_range')} (table_id integer, range_id integer, after_key text,"
            " upto_key text, row_estimate bigint NOT NULL, PRIMARY KEY (table_id, range_id))",
            f"CREATE TABLE {self.name('_mpm_constraint')} (target_schema text NOT NULL, target_table text NOT NULL,"
            " name text NOT NULL, definition text NOT NULL, validated boolean NOT NULL,"
            " PRIMARY KEY (target_schema, target_table, name))",
        ]
        for unlogged, table in (("", "_mpm_chunk"), ("UNLOGGED ", "_mpm_chunk_unlogged")):
            statements.append(
                f"CREATE {unlogged}TABLE {self.name(table)} (table_id integer, generation integer,"
                " range_id integer, seq integer, last_key text, rows bigint NOT NULL, skipped bigint NOT NULL,"
                " done boolean NOT NULL, PRIMARY KEY (table_id, generation, range_id, seq))"
            )
        statements.append(
            f"INSERT INTO {self.name('_mpm_run')} (run_id, config_hash, mode, tool_version) VALUES ({run})"
        )
        if tables:
            statements.append(self._entering(tables))
        connection.execute("; ".join(statements).encode())

    def add_tables(self, connection: Connection, tables: Sequence[LedgerTable]) -> None:
        """Enter further tables as planned."""
        connection.execute(self._entering(tables).encode())

    def _entering(self, tables: Sequence[LedgerTable]) -> str:
        return (
            f"INSERT INTO {self.name('_mpm_table')} (table_id, source, target, status, unlogged, restore_logged,"
            f" resumable, action, fingerprint, trial) VALUES {', '.join(_row(table) for table in tables)}"
        )

    def drop(self, connection: Connection) -> None:
        """Remove the ledger; the run is complete or superseded."""
        connection.execute(f"DROP TABLE IF EXISTS {', '.join(self.name(table) for table in LEDGER_TABLES)}")

    # -- tables and ranges -----------------------------------------------------------------------------------------

    def tables(self, connection: Connection) -> dict[int, LedgerTable]:
        """All tables of the run by id; none when the ledger is of another run by now."""
        return {row[0]: LedgerTable(*row) for row in self._entries(connection)}

    def _entries(self, connection: Connection) -> Cursor:
        return connection.execute(
            "SELECT table_id, source, target, status, generation, unlogged, restore_logged, resumable, action,"
            " fingerprint, rows, skipped, trial"
            f" FROM {self.name('_mpm_table')} WHERE {self._ours}",
            (self.run_id,),
        )

    def keep_constraint(self, connection: Connection, constraint: Constraint) -> None:
        """Enter a foreign key that is to be put back, and validated, at the end of the run."""
        connection.execute(
            f"INSERT INTO {self.name('_mpm_constraint')} (target_schema, target_table, name, definition, validated)"
            " VALUES (%s, %s, %s, %s, %s)",
            constraint,
        )

    def constraints(self, connection: Connection) -> list[Constraint]:
        """Foreign keys set aside."""
        rows = connection.execute(
            "SELECT target_schema, target_table, name, definition, validated"
            f" FROM {self.name('_mpm_constraint')} ORDER BY 1, 2, 3"
        ).fetchall()
        return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]

    def forget_constraint(self, connection: Connection, schema: str, table: str, name: str) -> None:
        """The foreign key is back."""
        connection.execute(
            f"DELETE FROM {self.name('_mpm_constraint')} WHERE target_schema = %s AND target_table = %s AND name = %s",
            (schema, table, name),
        )

    def set_ranges(self, connection: Connection, table_id: int, ranges: tuple[KeyRange, ...]) -> None:
        """Store the plan of a table, durably; it stays the same for the rest of the run.

        Chunks mean nothing without the ranges they belong to: a crash must not take these alone. Raises
        StatementError: a unique violation when the table has ranges, `MOVED` when the ledger is of another run by now.
        """
        rows = [(str(item.id), _sql_key(item.after), _sql_key(item.upto), str(item.row_estimate)) for item in ranges]
        exchange(
            connection,
            [
                "BEGIN",
                "SET LOCAL synchronous_commit = on",
                f"SELECT 1 / count(*) FROM {self.name('_mpm_run')} WHERE run_id = {quote_literal(self.run_id)}::uuid",
                f"INSERT INTO {self.name('_mpm_range')} (table_id, range_id, after_key, upto_key, row_estimate) VALUES "
                + ", ".join(f"({table_id}, {', '.join(row)})" for row in rows),
                "COMMIT",
            ],
        )

    def ranges(self, connection: Connection, table_id: int) -> tuple[KeyRange, ...]:
        """The stored plan of a table, in range order; empty when it was not planned yet."""
        rows = connection.execute(
            f"SELECT range_id, after_key, upto_key, row_estimate FROM {self.name('_mpm_range')}"
            " WHERE table_id = %s ORDER BY range_id",
            (table_id,),
        ).fetchall()
        return tuple(KeyRange(row[0], _decode_key(row[1]), _decode_key(row[2]), row[3]) for row in rows)

    def overview(self, connection: Connection, single: Mapping[int, int] | None = None) -> dict[int, TableOverview]:
        """All that the ledger says, by table id, in one round trip.

        ``single`` are tables of one range, with their estimated rows: it is stored first, where there is none yet.
        """
        with connection.pipeline():
            if single:
                connection.execute(
                    f"INSERT INTO {self.name('_mpm_range')} (table_id, range_id, row_estimate)"
                    " SELECT id, 0, estimate FROM unnest(%s::int[], %s::bigint[]) AS given (id, estimate)"
                    f" WHERE NOT EXISTS (SELECT FROM {self.name('_mpm_range')} AS r WHERE r.table_id = given.id)"
                    f" AND {self._ours}",
                    (list(single), list(single.values()), self.run_id),
                )
            planned, begun, entered = self._questions(connection)
        tables = {row[0]: LedgerTable(*row) for row in entered}
        ranges: dict[int, list[KeyRange]] = {}
        for row in planned:
            ranges.setdefault(row[0], []).append(KeyRange(row[1], _decode_key(row[2]), _decode_key(row[3]), row[4]))
        progress: dict[int, dict[int, RangeProgress]] = {}
        for row in (row for cursor in begun for row in cursor):
            progress.setdefault(row[0], {})[row[1]] = RangeProgress(
                row[2], _decode_key(row[3]), int(row[4]), int(row[5]), row[6]
            )
        return {
            table_id: TableOverview(entry, tuple(ranges.get(table_id, ())), progress.get(table_id, {}))
            for table_id, entry in tables.items()
        }

    def _questions(self, connection: Connection) -> tuple[Cursor, list[Cursor], Cursor]:
        """Ranges, the progress of logged and unlogged tables, and the tables, of the whole ledger; not yet read."""
        planned = connection.execute(
            f"SELECT table_id, range_id, after_key, upto_key, row_estimate FROM {self.name('_mpm_range')}"
            " ORDER BY table_id, range_id"
        )
        begun = [
            connection.execute(
                "SELECT DISTINCT ON (table_id, range_id) table_id, range_id, seq + 1, last_key,"
                " sum(c.rows) OVER w, sum(c.skipped) OVER w, bool_or(done) OVER w"
                f" FROM {self._chunks(unlogged)} AS c JOIN {self.name('_mpm_table')} AS t USING (table_id, generation)"
                " WHERE t.unlogged = %s WINDOW w AS (PARTITION BY table_id, range_id)"
                " ORDER BY table_id, range_id, seq DESC",
                (unlogged,),
            )
            for unlogged in (False, True)
        ]
        return planned, begun, self._entries(connection)

    def set_prepared(self, table_id: int, *, unlogged: bool, restore_logged: bool) -> str:
        """The statement that says: the target table is empty (or, for upsert, checked) and ready for rows."""
        return (
            f"UPDATE {self.name('_mpm_table')} SET status = 'prepared', unlogged = {unlogged},"
            f" restore_logged = {restore_logged} WHERE table_id = {table_id}"
        )

    def set_action(self, connection: Connection, table_id: int, action: Action) -> None:
        """What is to be done first with a table that nothing was done with yet."""
        connection.execute(
            f"UPDATE {self.name('_mpm_table')} SET action = %s WHERE table_id = %s AND status = 'planned'"
            " AND generation = 0",
            (action, table_id),
        )

    def set_failed(self, connection: Connection, table_id: int) -> None:
        """The table failed for good in this attempt; ``resume`` tries it again from its last chunk."""
        connection.execute(f"UPDATE {self.name('_mpm_table')} SET status = 'failed' WHERE table_id = %s", (table_id,))

    def begin_again(self, connection: Connection, table_id: int) -> int:
        """Within the caller's transaction: forget all chunks of the table. Returns the new generation.

        The UPDATE waits for chunk transactions under way (they hold the row FOR SHARE).
        """
        row = connection.execute(
            f"UPDATE {self.name('_mpm_table')} SET generation = generation + 1, status = 'planned', rows = 0,"
            f" skipped = 0 WHERE table_id = %s AND {self._ours} RETURNING generation",
            (table_id, self.run_id),
        ).fetchone()
        if row is None:
            raise StateError("the ledger in the target no longer knows this run; start a new run")
        for table in ("_mpm_chunk", "_mpm_chunk_unlogged"):
            connection.execute(f"DELETE FROM {self.name(table)} WHERE table_id = %s", (table_id,))
        return int(row[0])

    def progress(self, connection: Connection, table: LedgerTable) -> dict[int, RangeProgress]:
        """Per range id, what is committed in the table's present generation; ranges not begun are absent."""
        rows = connection.execute(
            "SELECT DISTINCT ON (range_id) range_id, seq + 1, last_key,"
            " sum(rows) OVER w, sum(skipped) OVER w, bool_or(done) OVER w"
            f" FROM {self._chunks(table.unlogged)} WHERE table_id = %s AND generation = %s"
            " WINDOW w AS (PARTITION BY range_id) ORDER BY range_id, seq DESC",
            (table.table_id, table.generation),
        ).fetchall()
        return {row[0]: RangeProgress(row[1], _decode_key(row[2]), int(row[3]), int(row[4]), row[5]) for row in rows}

    def emptied(self, connection: Connection, table: LedgerTable) -> bool:
        """Whether a crash took the rows of a loaded table: the target has it as an unlogged one, and keeps it so."""
        return table.unlogged and not table.restore_logged and not self.progress(connection, table)

    def set_loaded(self, table: LedgerTable, range_ids: frozenset[int]) -> str:
        """The statement, in a transaction with synchronous_commit on, that declares all rows of the table present.

        It answers rows and skipped. It fails, by a division by zero, when a range is not done after all, which a crash
        of the server in between can cause, or when another attempt took over.
        """
        ids = ", ".join(str(range_id) for range_id in sorted(range_ids))
        return (
            "WITH found AS (SELECT coalesce(sum(rows), 0) AS rows, coalesce(sum(skipped), 0) AS skipped,"
            " array_agg(DISTINCT range_id ORDER BY range_id) FILTER (WHERE done) AS done"
            f" FROM {self._chunks(table.unlogged)} WHERE table_id = {table.table_id}"
            f" AND generation = {table.generation}), loaded AS ("
            f"UPDATE {self.name('_mpm_table')} AS t SET status = 'loaded', rows = found.rows, skipped = found.skipped"
            f" FROM found WHERE t.table_id = {table.table_id} AND t.generation = {table.generation}"
            f" AND found.done = ARRAY[{ids}]::integer[]"
            f" AND EXISTS (SELECT FROM {self.name('_mpm_run')} WHERE run_id = {quote_literal(self.run_id)}::uuid)"
            " RETURNING t.rows, t.skipped) SELECT max(rows), max(skipped), 1 / count(*) FROM loaded"
        )

    # -- chunks ----------------------------------------------------------------------------------------------------

    def fence(self, position: ChunkPosition) -> str:
        """First statement of a chunk transaction: hold off a new generation until this one commits.

        It fails, by a division by zero, when the table has begun anew or the run is over.
        """
        return (
            f"SELECT 1 / count(*) FROM (SELECT FROM {self.name('_mpm_table')} WHERE table_id = {position.table_id}"
            f" AND generation = {position.generation} AND EXISTS (SELECT FROM {self.name('_mpm_run')}"
            f" WHERE run_id = {quote_literal(self.run_id)}::uuid) FOR SHARE) AS mine"
        )

    def add_chunk(
        self,
        position: ChunkPosition,
        *,
        last_key: KeyValue | None,
        rows: int,
        done: bool,
        skipped: str = "0",
        unless: str = "false",
    ) -> str:
        """Last statement of a chunk transaction: its ledger row. ``skipped`` is an SQL expression.

        It fails for lack of a value: in column ``rows`` when the chunk before is not there, in column ``skipped`` when
        the condition ``unless`` holds. See `refused_chunk`.
        """
        chunks = self._chunks(position.unlogged)
        place = f"{position.table_id}, {position.generation}, {position.range_id}"
        chained = "true"
        if position.seq > 0:
            chained = (
                f"EXISTS (SELECT FROM {chunks} WHERE (table_id, generation, range_id, seq)"
                f" = ({place}, {position.seq - 1}))"
            )
        return (
            f"INSERT INTO {chunks} (table_id, generation, range_id, seq, last_key, rows, skipped, done) VALUES"
            f" ({place}, {position.seq}, {_sql_key(last_key)},"
            f" CASE WHEN {chained} THEN {rows} END, CASE WHEN {unless} THEN NULL ELSE {skipped} END, {done})"
        )

    def committed_chunk(
        self, connection: Connection, position: ChunkPosition, *, last_key: KeyValue | None, rows: int, done: bool
    ) -> int | None:
        """The skipped rows of that chunk if it is committed, else None: the question after a death during COMMIT.

        Raises LedgerMovedError when the chunk of that number is another one: a session believed dead has committed
        what an earlier attempt, with chunks of another size, had read.
        """
        row = connection.execute(
            f"SELECT skipped, last_key, rows, done FROM {self._chunks(position.unlogged)} WHERE table_id = %s"
            " AND generation = %s AND range_id = %s AND seq = %s",
            (position.table_id, position.generation, position.range_id, position.seq),
        ).fetchone()
        if row is None:
            return None
        if (row[1], row[2], row[3]) != (_encode_key(last_key), rows, done):
            raise LedgerMovedError("another session has written other rows as this chunk")
        return int(row[0])

    def range_progress(self, connection: Connection, position: ChunkPosition) -> RangeProgress:
        """How far one range is, asked again after LedgerMovedError."""
        table = self.tables(connection).get(position.table_id)
        if table is None or table.generation != position.generation:
            raise LedgerMovedError("the table began anew in another attempt")
        return self.progress(connection, table).get(position.range_id, RangeProgress())

    @property
    def _ours(self) -> str:
        """Condition: the ledger is of this run (one parameter). Another run may have replaced it."""
        return f"EXISTS (SELECT 1 FROM {self.name('_mpm_run')} WHERE run_id = %s::uuid)"

    def _chunks(self, unlogged: bool) -> str:
        return self.name("_mpm_chunk_unlogged" if unlogged else "_mpm_chunk")


def refused_chunk(error: psycopg.Error) -> Literal["doubled", "unchained", "condition"] | None:
    """Why `Ledger.add_chunk` failed: the chunk is there already, the one before is not, or the condition held.

    None for an error that is not the ledger's.
    """
    if not (error.diag.table_name or "").startswith("_mpm_chunk"):
        return None
    if error.sqlstate == "23505":
        return "doubled"
    if error.sqlstate == "23502":
        return "unchained" if error.diag.column_name == "rows" else "condition"
    return None


def take_over(connection: Connection, mine: Ledger, targets: list[str]) -> list[str]:
    """Make an unfinished run whose ledger is in another schema begin those tables again that this run has too.

    Under the locks of the tables' schemas, one transaction for each other ledger. Returns their target names.
    """
    rows = connection.execute(
        "SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relname = '_mpm_table' AND c.relkind = 'r' AND n.nspname <> %s"
        " AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'UPDATE') ORDER BY 1",
        (mine.schema,),
    ).fetchall()
    taken: list[str] = []
    for (schema,) in rows:
        other = Ledger(schema, "")
        with connection.transaction():
            found = connection.execute(
                f"UPDATE {other.name('_mpm_table')} SET generation = generation + 1, status = 'planned', rows = 0,"
                " skipped = 0 WHERE target = ANY (%s) AND status <> 'planned' RETURNING table_id, target",
                (targets,),
            ).fetchall()
            for chunks in ("_mpm_chunk", "_mpm_chunk_unlogged"):
                connection.execute(
                    f"DELETE FROM {other.name(chunks)} WHERE table_id = ANY (%s)", ([row[0] for row in found],)
                )
        taken += [row[1] for row in found]
    return sorted(taken)


def drop_left_over(connection: Connection, run_id: str) -> None:
    """Drop what a run that is complete has left of its ledger, in whichever schema that is."""
    rows = connection.execute(
        "SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relname = '_mpm_run' AND c.relkind = 'r' AND has_schema_privilege(n.oid, 'USAGE')"
        " AND has_table_privilege(c.oid, 'SELECT')"
    ).fetchall()
    for (schema,) in rows:
        ledger = Ledger(schema, run_id)
        current = ledger.current_run(connection)
        if current is not None and current[0] == run_id:
            ledger.drop(connection)


def _row(table: LedgerTable) -> str:
    """A new table's row for `Ledger.create`."""
    texts = [quote_literal(text) for text in (table.source, table.target, table.status)]
    flags = [str(flag) for flag in (table.unlogged, table.restore_logged, table.resumable)]
    rest = [quote_literal(text) for text in (table.action, table.fingerprint, table.trial)]
    return f"({', '.join([str(table.table_id), *texts, *flags, *rest])})"


def _encode_key(key: KeyValue | None) -> str | None:
    # JSON with ASCII escapes: U+0000 and lone surrogates, legal in SQL Server keys, pass through a text column.
    return None if key is None else json.dumps(list(key))


def _sql_key(key: KeyValue | None) -> str:
    text = _encode_key(key)
    return "NULL" if text is None else quote_literal(text)


def _decode_key(text: str | None) -> KeyValue | None:
    return None if text is None else tuple(json.loads(text))
