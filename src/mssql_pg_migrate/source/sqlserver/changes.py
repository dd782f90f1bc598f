"""What changed in a SQL Server database: change tracking, rowversions, watermarks; one session, one moment.

Microsoft's pages: "Work with Change Tracking" (the order of the steps inside a snapshot transaction), "CHANGETABLE",
"CHANGE_TRACKING_MIN_VALID_VERSION", "CHANGE_TRACKING_CURRENT_VERSION", "MIN_ACTIVE_ROWVERSION", "SET TRANSACTION
ISOLATION LEVEL".
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, Protocol

from ...errors import TransferError, TransientError
from ...mapping.objects import MappedTable
from ...model import KeyRange, SqlType
from ..changes import OPERATION, Followed, Moment, staged_table
from ..reader import Chunk, Reader, ReadLimits, ReadRequest
from .classify import to_migration_error
from .dbapi import Connection
from .tsql import qualified_name, quote_name

_MODIFIED = (
    "SELECT s.name + N'.' + t.name AS name, t.object_id AS id, CONVERT(nvarchar(30), t.modify_date, 126) AS modified,"
    " c.many, c.last, c.types, c.lengths, c.nulls"
    " FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id JOIN (SELECT object_id,"
    " COUNT(*) AS many, MAX(column_id) AS last, SUM(CAST(system_type_id AS bigint) * column_id) AS types,"
    " SUM((CAST(max_length AS bigint) + precision + scale) * column_id) AS lengths,"
    " SUM(CAST(is_nullable AS bigint) * column_id) AS nulls FROM sys.columns GROUP BY object_id) AS c"
    " ON c.object_id = t.object_id"
)
"""When a table was altered, and what its columns come to: not every server keeps the date."""
_COLUMNS = (
    "SELECT s.name + N'.' + t.name AS name, t.object_id AS id, c.column_id, c.name AS column_name, c.system_type_id,"
    " c.max_length, c.precision, c.scale, c.is_nullable FROM sys.tables AS t"
    " JOIN sys.schemas AS s ON s.schema_id = t.schema_id JOIN sys.columns AS c ON c.object_id = t.object_id"
)
_DATES = ("date", "datetime", "smalldatetime", "datetime2", "datetimeoffset")


class SharedReader(Reader, Protocol):
    """A reader whose connection also takes questions, between two requests."""

    @property
    def connection(self) -> Connection:
        """Its session."""
        ...


class SqlServerChanges:
    """See `changes.ChangeSession`; over one reader's connection, so that rows and questions see one moment."""

    def __init__(self, reader: SharedReader, *, snapshot: bool, limits: ReadLimits) -> None:
        self._reader = reader
        self._snapshot = snapshot
        self._limits = limits
        self._marks_known = True

    # -- the moment ----------------------------------------------------------------------------------------------------

    def begin(self, followed: Sequence[Followed], positions: Mapping[str, str | None]) -> Moment:
        """See `changes.ChangeSession.begin`.

        The lowest active rowversion is asked first, outside the transaction: all rows below it are committed by then,
        so the snapshot, which begins with the first question that reads data, has them. @@DBTS would not do: it counts
        rowversions of transactions that are still open, whose rows would never be seen.
        """
        rowversion = self._rowversion() if any(item.method == "rowversion" for item in followed) else None
        # What a server may not know is asked outside of the transaction, which an error could end.
        marks = self.marks(followed)
        now = self._clock()
        if self._snapshot:
            self._execute("SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
            self._execute("BEGIN TRANSACTION")
        tracked = any(item.method == "change_tracking" for item in followed)
        version = self._question("SELECT CHANGE_TRACKING_CURRENT_VERSION() AS version")[0][0] if tracked else None
        valid = self._valid_versions() if tracked else {}
        current: dict[str, str] = {}
        expired: dict[str, str] = {}
        for item in followed:
            since = positions.get(item.name)
            reason = None
            if item.method == "change_tracking":
                reason = _tracking_expired(item, since, version, valid)
                if version is not None and item.name in valid:
                    current[item.name] = str(version)
            elif item.method == "rowversion":
                assert rowversion is not None
                current[item.name] = rowversion
                if since and since > rowversion:
                    reason = "the source's rowversions are older than the last pass: a backup was restored"
            elif item.method == "watermark":
                current[item.name] = self._highest(item)
            if reason is not None and since is not None:
                expired[item.name] = reason
        unchanged = frozenset(
            item.name
            for item in followed
            if item.method in ("change_tracking", "rowversion")
            and item.name not in expired
            and current.get(item.name) == positions.get(item.name)
        )
        return Moment(now, current, expired, unchanged, marks)

    def marks(self, followed: Sequence[Followed]) -> Mapping[str, str]:
        """sys.tables.modify_date, which ALTER TABLE changes ("sys.objects"), the identity, and sums over the columns.

        A server that does not tell when is asked what: the columns of every table.
        """
        wanted = {item.name for item in followed}
        if self._marks_known:
            try:
                found = self._question(_MODIFIED)
            except TransferError:
                self._marks_known = False
            else:
                return {name: " ".join(str(part) for part in parts) for name, *parts in found if name in wanted}
        columns: dict[str, list[str]] = {}
        for name, *parts in self._question(_COLUMNS):
            if name in wanted:
                columns.setdefault(name, []).append(" ".join(str(part) for part in parts))
        return {name: "; ".join(sorted(parts)) for name, parts in columns.items()}

    def _clock(self) -> datetime:
        """The source's time: "SYSUTCDATETIME", "GETUTCDATE"; this machine's where it tells neither."""
        for question in ("SELECT SYSUTCDATETIME() AS now", "SELECT GETUTCDATE() AS now"):
            try:
                return _utc(self._question(question)[0][0])
            except TransferError:
                continue
        return datetime.now(timezone.utc)

    def _rowversion(self) -> str:
        value = self._question("SELECT MIN_ACTIVE_ROWVERSION() AS lowest")[0][0]
        return bytes(value).hex().upper()

    def _valid_versions(self) -> dict[str, int | None]:
        found = self._question(
            "SELECT s.name + N'.' + t.name AS name, CHANGE_TRACKING_MIN_VALID_VERSION(t.object_id) AS version"
            " FROM sys.change_tracking_tables AS c JOIN sys.tables AS t ON t.object_id = c.object_id"
            " JOIN sys.schemas AS s ON s.schema_id = t.schema_id"
        )
        return {name: None if version is None else int(version) for name, version in found}

    def _highest(self, item: Followed) -> str:
        """The highest value of a watermark, as text that `_watermark` reads; empty for a table without any."""
        assert item.column is not None
        column = item.table.source.column(item.column)
        highest = f"MAX({quote_name(column.name)})"
        table = qualified_name(item.table.source.schema, item.table.source.name)
        style = ", 121" if column.type.name in _DATES else ""
        value = self._question(f"SELECT CONVERT(nvarchar(60), {highest}{style}) AS highest FROM {table}")[0][0]
        return "" if value is None else str(value)

    # -- rows ----------------------------------------------------------------------------------------------------------

    def changes(self, item: Followed, since: str, upto: str) -> Generator[Chunk, None, None]:
        """See `changes.ChangeSession.changes`."""
        if item.method == "change_tracking":
            relation = tracked_relation(item.table, since)
        elif item.method == "rowversion":
            assert item.column is not None
            column = quote_name(item.column)
            relation = _relation(item.table, f"{column} >= 0x{since} AND {column} < 0x{upto}")
        elif item.method == "watermark":
            relation = _relation(item.table, watermark_condition(item, since))
        else:
            raise ValueError(f"{item.method} has no changes to read")
        yield from self._read(staged_table(item.table), relation)

    def pending(self, item: Followed, since: str) -> int | None:
        """See `changes.ChangeSession.pending`: counted by change tracking, or by the rowversion column."""
        name = qualified_name(item.table.source.schema, item.table.source.name)
        if item.method == "change_tracking":
            relation = f"CHANGETABLE(CHANGES {name}, {int(since)}) AS c"
        elif item.method == "rowversion" and item.column is not None:
            relation = f"{name} WHERE {quote_name(item.column)} >= 0x{since}"
        else:
            return None
        return int(self._question(f"SELECT COUNT_BIG(*) AS pending FROM {relation}")[0][0])

    def rows(self, table: MappedTable) -> Generator[Chunk, None, None]:
        """See `changes.ChangeSession.rows`."""
        yield from self._read(table, None)

    def _read(self, table: MappedTable, relation: str | None) -> Generator[Chunk, None, None]:
        request = ReadRequest(
            table=table,
            range=KeyRange(id=0),
            chunk_rows=self._limits.chunk_rows,
            chunk_bytes=self._limits.chunk_bytes,
            on_nul=self._limits.on_nul,
            relation=relation,
        )
        yield from self._reader.chunks(request)

    # -- the connection ------------------------------------------------------------------------------------------------

    def _execute(self, sql: str) -> None:
        self._run(sql)

    def _question(self, sql: str) -> list[tuple[Any, ...]]:
        return self._run(sql)

    def _run(self, sql: str) -> list[tuple[Any, ...]]:
        if not self._reader.usable:
            raise TransientError("The question to the source was cancelled.", side="source")
        try:
            cursor = self._reader.connection.cursor()
            try:
                cursor.execute(sql)
                return [tuple(row) for row in cursor.fetchall()] if cursor.description is not None else []
            finally:
                cursor.close()
        except Exception as error:
            raise to_migration_error(error) from error

    def cancel(self) -> None:
        """See `changes.ChangeSession.cancel`."""
        self._reader.cancel()

    def close(self) -> None:
        """See `changes.ChangeSession.close`: the server ends the transaction with the session."""
        self._reader.close()


def _utc(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise TransferError(f"Reading the source: its clock says {value!r}")
    return value.replace(tzinfo=timezone.utc)


def _tracking_expired(
    item: Followed, since: str | None, version: int | None, valid: Mapping[str, int | None]
) -> str | None:
    """Why CHANGETABLE cannot be asked from a version on; None when it can."""
    least = valid.get(item.name)
    if version is None or least is None:
        return "change tracking is no longer on for the table"
    if since is None:
        return None
    if int(since) < least:
        return (
            f"the source no longer keeps its changes since version {since} (it keeps those since {least}):"
            " the retention period has passed, or the table was truncated"
        )
    if int(since) > int(version):
        return f"the source is at version {version}, before the last pass ({since}): a backup was restored"
    return None


def tracked_relation(table: MappedTable, since: str) -> str:
    """What change tracking says since a version, with the rows as they are now, as a derived table.

    A row that is not there (any more) counts as deleted whatever the operation says, so that a change made between two
    reads does no harm outside a snapshot either.
    """
    key = [part.name for part in table.source.primary_key.columns] if table.source.primary_key else []
    name = qualified_name(table.source.schema, table.source.name)
    first = quote_name(key[0])
    columns = [f"CASE WHEN t.{first} IS NULL THEN N'D' ELSE N'U' END AS {quote_name(OPERATION)}"]
    for column in table.copied_columns:
        quoted = quote_name(column.source.name)
        value = f"COALESCE(t.{quoted}, c.{quoted})" if column.source.name in key else f"t.{quoted}"
        columns.append(f"{value} AS {quoted}")
    join = " AND ".join(f"t.{quote_name(part)} = c.{quote_name(part)}" for part in key)
    return (
        f"(SELECT {', '.join(columns)} FROM CHANGETABLE(CHANGES {name}, {int(since)}) AS c"
        f" LEFT OUTER JOIN {name} AS t ON {join}) AS d"
    )


def _relation(table: MappedTable, condition: str) -> str:
    """The rows of a condition as changed ones, as a derived table."""
    columns = ", ".join(quote_name(column.source.name) for column in table.copied_columns)
    name = qualified_name(table.source.schema, table.source.name)
    return f"(SELECT N'U' AS {quote_name(OPERATION)}, {columns} FROM {name} WHERE {condition}) AS d"


def watermark_condition(item: Followed, since: str) -> str:
    """Rows whose watermark is not far behind ``since`` or beyond it; all rows while there was none."""
    assert item.column is not None
    column = item.table.source.column(item.column)
    quoted = quote_name(column.name)
    if not since:
        return f"{quoted} IS NOT NULL"
    return f"{quoted} >= {_watermark(column.type, since, item.overlap)}"


def _watermark(kind: SqlType, since: str, overlap: float) -> str:
    """``since`` less the overlap, in the column's own type so that an index on it serves.

    "DATEADD": the number is an int, and a date takes no parts of a day.
    """
    text = since.replace("'", "''")
    if kind.name == "date":
        return f"DATEADD(day, -{math.ceil(overlap / 86400)}, CONVERT(date, '{text}', 121))"
    if kind.name in _DATES:
        declared = str(replace(kind, alias=None))
        wide = "datetimeoffset(7)" if kind.name == "datetimeoffset" else "datetime2(7)"
        return f"CAST(DATEADD(second, -{math.ceil(overlap)}, CONVERT({wide}, '{text}', 121)) AS {declared})"
    if kind.name in ("decimal", "numeric"):
        return f"CAST('{text}' AS decimal(38,{kind.scale})) - {math.ceil(overlap)}"
    return f"CAST({max(int(since) - math.ceil(overlap), -(2**63))} AS bigint)"
