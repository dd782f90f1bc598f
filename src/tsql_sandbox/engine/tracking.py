"""Change Tracking: what a transaction has changed, kept with the version its commit gets.

Microsoft's pages: "About Change Tracking", "Work with Change Tracking", "Manage Change Tracking", "Enable and Disable
Change Tracking", "CHANGETABLE", "sys.change_tracking_tables". As there, a tracked table has a side table with a row for
each row a statement changed (its key, what was done, by which transaction), and the database a table of committed
transactions that gives each its version. Both are written in the transaction itself: what a snapshot sees of the data
it sees of the changes. A version is given at the commit, and commits with one are done one after the other, so that a
reader that has seen version n has seen all up to n.

TRUNCATE, and switching tracking on again, must make every version invalid that a client can have got so far; so both
get a version of their own, which is the least valid one from then on.
"""

from __future__ import annotations

import datetime as dt

import duckdb

from ..catalog.database import Database
from ..catalog.model import Table, TableTracking, Tracking
from ..compiler.tracked import commits_of, key_columns, side_of
from ..errors import SqlError, Unsupported
from .base import SessionBase

SYSTEM = frozenset(("master", "tempdb", "model", "msdb"))
_UNITS = {"MINUTES": 1, "HOURS": 2, "DAYS": 3}
_SECONDS = {1: 60, 2: 3600, 3: 86_400}
CLEANUP_SECONDS = 60.0
"""How often a commit looks whether changes have grown too old."""


# --- switching it on and off -----------------------------------------------------------------------------------


def alter_database(session: SessionBase, database: Database, on: bool | None, options: dict[str, str]) -> None:
    """ALTER DATABASE SET CHANGE_TRACKING; `on` is None where only options change.

    Raises:
        SqlError: 5088 it is on, 5089 it is off, 5090 a system database, 5092 a bad retention, 22115 tables track.
    """
    name = database.name
    if name.lower() in SYSTEM:
        message = f"Database '{name}' is a system database. Change tracking settings cannot be modified for system"
        raise SqlError(5090, message + " databases.")
    if on and database.tracking is not None:
        raise SqlError(5088, f"Change tracking is already enabled for database '{name}'.")
    if not on and database.tracking is None:
        message = f"Change tracking is disabled for database '{name}'. Change tracking must be enabled on a database to"
        raise SqlError(5089, message + " modify change tracking settings.")
    if on is False:
        if any(table.tracking is not None for table in database.tables()):
            message = f"Change tracking is enabled for one or more tables in database '{name}'. Disable change tracking"
            raise SqlError(22115, message + " on each table before disabling it for the database.")
        database.tracking = None
        session.execute_sql(f"DROP TABLE {commits_of(database.database_id)}")
        return
    settings = Tracking() if database.tracking is None else database.tracking
    if "CHANGE_RETENTION" in options:
        amount, unit = options["CHANGE_RETENTION"].split()
        if unit not in _UNITS:
            raise SqlError(155, f"'{unit}' is not a recognized CHANGE RETENTION UNIT option.", 15)
        if int(amount) < 1:
            message = (
                "The value for change tracking option 'CHANGE_RETENTION' is not valid. The value must be between 1"
            )
            raise SqlError(5092, message + " and 2147483647 minutes.", 15)
        settings.retention, settings.units = int(amount), _UNITS[unit]
    if "AUTO_CLEANUP" in options:
        settings.auto_cleanup = options["AUTO_CLEANUP"] == "ON"
    if database.tracking is None:
        session.execute_sql(
            f"CREATE TABLE {commits_of(database.database_id)} (xdes BIGINT, version BIGINT, committed TIMESTAMP)"
        )
        database.tracking = settings


def enable(session: SessionBase, table: Table, columns: bool) -> None:
    """ALTER TABLE ENABLE CHANGE_TRACKING.

    Raises:
        SqlError: 1718 it is off for the database, 4996 it is on, 4997 the table has no primary key.
        Unsupported: tables whose keys or kinds the sandbox does not follow.
    """
    database = session.database
    if database.tracking is None:
        message = f"Change tracking must be enabled on database '{database.name}' before it can be enabled on table"
        raise SqlError(1718, f"{message} '{table.name}'.")
    if table.tracking is not None:
        raise SqlError(4996, f"Change tracking is already enabled for table '{table.name}'.")
    if table.primary_key is None:
        message = (
            f"Cannot enable change tracking on table '{table.name}'. Change tracking requires a primary key on the"
        )
        raise SqlError(4997, message + " table. Create a primary key on the table before enabling change tracking.")
    if table.memory_optimized or table.graph:
        raise Unsupported("change tracking of such a table")
    keys = [table.by_id(column_id) for column_id, _ in table.primary_key.columns]
    cells = ", ".join(f"{column.physical} {column.type.storage}" for column in keys)
    session.execute_sql(
        f"CREATE TABLE {side_of(table)} (xdes BIGINT, seq BIGINT, op VARCHAR, cols VARCHAR, context BLOB, {cells})"
    )
    table.tracking = TableTracking(columns)
    _reset_at_commit(session, table.tracking)


def disable(session: SessionBase, table: Table) -> None:
    """ALTER TABLE DISABLE CHANGE_TRACKING.

    Raises:
        SqlError: 4998, it is off.
    """
    if table.tracking is None:
        raise SqlError(4998, f"Change tracking is not enabled on table '{table.name}'.")
    table.tracking = None
    session.execute_sql(f"DROP TABLE {side_of(table)}")


def truncated(session: SessionBase, table: Table) -> None:
    """TRUNCATE TABLE: as if tracking had just been switched on."""
    if table.tracking is not None:
        session.changing()
        session.execute_sql(f"DELETE FROM {side_of(table)}")
        _reset_at_commit(session, table.tracking)


def _reset_at_commit(session: SessionBase, tracking: TableTracking) -> None:
    session.tracked.add(session.database.database_id)
    session.tracking_begins.append(tracking)


# --- what statements change ------------------------------------------------------------------------------------


def _record(session: SessionBase, table: Table, rows: str, operation: str, columns: str = "", first: int = 0) -> None:
    """Note changed rows; `rows` is a relation with the columns of the primary key."""
    context = "NULL::BLOB" if session.change_context is None else f"unhex('{session.change_context.hex()}')"
    listed = f"'{columns}'" if columns else "NULL"
    sequence = session.server.next_change() * 2 + first
    keys = ", ".join(key_columns(table))
    if not session.transaction_depth:
        raise Unsupported("changing a tracked table of another database outside a transaction")
    session.execute_sql(
        f"INSERT INTO {side_of(table)} (xdes, seq, op, cols, context, {keys}) "
        f"SELECT {session.xdes}, {sequence}, '{operation}', {listed}, {context}, {keys} FROM {rows} ct_rows"
    )
    session.tracked.add(table.database_id)


def inserted(session: SessionBase, table: Table, rows: str) -> None:
    """INSERT: `rows` is the relation that was inserted."""
    if table.tracking is not None:
        _record(session, table, rows, "I")


def deleted(session: SessionBase, table: Table, rowids: str) -> None:
    """DELETE, before it is done: `rowids` is a query of the rows that go."""
    if table.tracking is not None:
        _record(session, table, f"(SELECT * FROM {table.physical} WHERE rowid IN ({rowids}))", "D")


def updated(session: SessionBase, table: Table, final: str, changed: set[int], same_key: str) -> None:
    """UPDATE, before it is done: `final` has the new rows and the rowids (`rn`) of those they replace.

    A row whose key changes is deleted and another one inserted ("CHANGETABLE", remarks). `same_key` compares the old
    row `o` with the new row `f`; empty when the key is not touched.
    """
    if table.tracking is None:
        return
    columns = _listed(table, changed)
    if not same_key:
        _record(session, table, final, "U", columns)
        return
    pairs = f"{final} f JOIN {table.physical} o ON o.rowid = f.rn"
    stays = f"coalesce({same_key}, false)"
    _record(session, table, f"(SELECT f.* FROM {pairs} WHERE {stays})", "U", columns)
    _record(session, table, f"(SELECT o.* FROM {pairs} WHERE NOT {stays})", "D", first=0)
    _record(session, table, f"(SELECT f.* FROM {pairs} WHERE NOT {stays})", "I", first=1)


def _listed(table: Table, changed: set[int]) -> str:
    """The columns an UPDATE sets, where they are tracked; nothing when it sets all that are not in the key."""
    if table.tracking is None or not table.tracking.columns:
        return ""
    key = {column_id for column_id, _ in table.primary_key.columns} if table.primary_key else set()
    others = {c.column_id for c in table.columns if not c.computed and c.column_id not in key}
    return "" if others <= changed else ",".join(str(number) for number in sorted(changed - key))


# --- commit ----------------------------------------------------------------------------------------------------


def commit(session: SessionBase) -> None:
    """COMMIT of a transaction with tracked changes: its version is given and it becomes visible in one step."""
    server = session.server
    with server.version_lock:
        for number in session.tracked:
            database = server.database_by_id(number)
            if database is None or database.tracking is None:
                continue
            version, moment = database.tracking_version + 1, dt.datetime.now().isoformat(" ")
            session.connection.execute(
                f"INSERT INTO {commits_of(database.database_id)} VALUES ({session.xdes}, {version}, '{moment}')"
            )
            database.tracking_version = version
            for tracking in session.tracking_begins:
                tracking.begin = tracking.min_valid = version
        session.connection.execute("COMMIT")
    for number in list(session.tracked):
        database = server.database_by_id(number)
        if database is not None and database.tracking is not None and database.tracking.auto_cleanup:
            _clean_now_and_then(session, database)


def _clean_now_and_then(session: SessionBase, database: Database) -> None:
    now = dt.datetime.now()
    assert database.tracking is not None
    last = database.tracking.cleaned
    if last is None or (now - last).total_seconds() >= CLEANUP_SECONDS:
        database.tracking.cleaned = now
        if last is not None:
            clean(session, database, retention_seconds(database.tracking))


def retention_seconds(tracking: Tracking) -> int:
    """How long changes are kept."""
    return tracking.retention * _SECONDS[tracking.units]


def clean(session: SessionBase, database: Database, seconds: float, table: Table | None = None) -> int:
    """Remove changes that were committed longer ago than that; returns how many.

    Versions up to the newest one removed are not valid any more for the tables that are cleaned; equal to it is
    ("sys.change_tracking_tables", min_valid_version).
    """
    cursor = session.server.duckdb.cursor()
    removed = 0
    commits = commits_of(database.database_id)
    try:
        moment = dt.datetime.now() - dt.timedelta(seconds=max(seconds, 0))
        old = f"committed <= '{moment.isoformat(' ')}'"
        (newest,) = cursor.execute(f"SELECT max(version) FROM {commits} WHERE {old}").fetchall()[0]
        if newest is None:
            return 0
        for item in [table] if table is not None else [t for t in database.tables() if t.tracking is not None]:
            if item.tracking is None:
                continue
            gone = f"xdes IN (SELECT xdes FROM {commits} WHERE version <= {newest})"
            (count,) = cursor.execute(f"DELETE FROM {side_of(item)} WHERE {gone}").fetchall()[0]
            removed += count
            item.tracking.cleanup = max(item.tracking.cleanup, newest)
            item.tracking.min_valid = max(item.tracking.min_valid, newest)
        if table is None:
            # The newest stays: it is the current version.
            cursor.execute(f"DELETE FROM {commits} WHERE version < {newest}")
    except duckdb.TransactionException:
        return removed  # Somebody else is cleaning.
    finally:
        cursor.close()
    return removed
