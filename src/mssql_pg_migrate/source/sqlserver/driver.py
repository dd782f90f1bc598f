"""The reader that always works: Microsoft's driver, through Arrow, to COPY bytes.

A request is one SELECT, fetched in batches whose size follows the rows seen so far, so that memory stays near the
chunk's size also with (max) columns. While it fetches a (max) value, Microsoft's driver holds Python's lock: readers of
such tables do not run in parallel in one process, and a server that stalls inside a row stalls the process with it.

Microsoft's driver turns what is not valid UTF-16 into U+FFFD without a word. A batch that shows U+FFFD is therefore
read again with that column as its UTF-16 bytes, which either are a true U+FFFD or name the row of a lone surrogate. In
a table without a key nothing can be read again; there the server counts the true ones at the end.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ...errors import DataError, MigrationError, TransferError, TransientError
from ...mapping.objects import MappedTable
from ...mapping.types import MappedColumn
from ...model import KeyValue
from .. import keys
from ..reader import Chunk, ReadRequest
from ..settings import SqlServerSettings
from . import classify
from .connect import cancel_statement, connect_source
from .dbapi import Connection, DriverConnection
from .encode import MAX_FIELD_BYTES, Encoder, EncodingError, adapt, contains, first_unfit, longest
from .query import KeyField, Layout, build_select, layout
from .tsql import qualified_name, quote_name
from .watch import Line

_REPLACEMENT = "\ufffd".encode()
_MARK = "\ufeff".encode()
_DAYS_TO_1970 = 719_162
_MICROSECONDS_PER_DAY = 86_400_000_000

_CHARACTER_TYPES = ("char", "varchar", "nchar", "nvarchar", "text", "ntext", "xml", "json", "sql_variant")
_SIZED_TEXT = ("char", "varchar", "nchar", "nvarchar")

_FIRST_ROWS = 1024
_MOST_ROWS = 16_384
# With a (max) column nothing limits a row: batches begin small, and stay small unless the rows seen so far are.
_FIRST_LOB_ROWS = 8
_MOST_LOB_ROWS = 512
_LOB_FETCH = 4 * 1024 * 1024
_MOST_DECLARED = 64 * 1024 * 1024
"""Bytes of a fetch if every column were as long as it is declared."""


class DriverReader:
    """Reads ranges over one connection of Microsoft's driver (see `reader.Reader`)."""

    name = "driver"

    def __init__(self, settings: SqlServerSettings, connection: DriverConnection | None = None) -> None:
        """Connect, or read over a connection that somebody else closes. Raises ConnectionFailed."""
        self._lent = connection is not None
        self._connection = connection or connect_source(settings)
        self._line = Line()
        if connection is None:
            self._line.register(settings, self._connection)
        self._cursor: Any = None
        self._usable = True
        self._cancelled = False
        # Held during every call into the driver, so that close() does not free what another thread uses.
        self._driver_lock = threading.Lock()
        # Held while a statement is cancelled, and to take the cursor away: what is being cancelled is not freed.
        self._cancel_lock = threading.Lock()

    @property
    def usable(self) -> bool:
        """Whether the connection may serve another request."""
        return self._usable

    @property
    def connection(self) -> Connection:
        """Its session, for questions between two requests, by the thread that reads."""
        return self._connection

    def chunks(self, request: ReadRequest) -> Generator[Chunk, None, None]:
        """Stream the rows of ``request`` in key order; see `reader.Reader.chunks`."""
        self._cancelled = False
        stream = _Stream(self, request)
        try:
            yield from stream.chunks()
        except MigrationError as error:
            if isinstance(error, TransientError):
                self._usable = False
            raise
        finally:
            self.close_cursor()

    def execute(self, sql: str, table: str) -> None:
        """Start a statement on a fresh cursor. Raises TransientError or TransferError."""
        self.close_cursor()
        self._check_cancelled(table)
        try:
            with self._driver_lock:
                self._cursor = self._connection.cursor()
                with self._line.at(f"reading {table}", table):
                    self._cursor.execute(sql)
                if self._cursor.description is None:
                    # A SELECT always has a result; without one, a stray cancellation reached this statement.
                    raise TransientError(f"Reading {table}: no result", side="source", table=table)
        except Exception as error:
            raise self._failure(error, table) from error

    def fetch(self, rows: int, table: str) -> Any:
        """Up to that many rows as an Arrow record batch; fewer only at the end. Raises as `execute`."""
        self._check_cancelled(table)
        try:
            with self._driver_lock:
                with self._line:
                    batch = self._cursor.arrow_batch(rows)
                if batch.num_rows < rows:
                    classify.check_complete(self._cursor, table=table)
        except Exception as error:
            raise self._failure(error, table) from error
        self._check_cancelled(table)
        return batch

    def count(self, sql: str, table: str) -> int:
        """The number a statement returns. Raises as `execute`."""
        self.execute(sql, table)
        try:
            with self._driver_lock:
                with self._line:
                    row = self._cursor.fetchone()
                classify.check_complete(self._cursor, table=table)
        except Exception as error:
            raise self._failure(error, table) from error
        return int(row[0])

    def _failure(self, error: Exception, table: str) -> MigrationError:
        if self._cancelled:
            return TransientError(f"Reading {table} was cancelled.", side="source", table=table)
        failure = classify.to_migration_error(error, table=table)
        if failure.retryable:
            self._usable = False
        return failure

    def _check_cancelled(self, table: str) -> None:
        if self._cancelled:
            raise TransientError(f"Reading {table} was cancelled.", side="source", table=table)

    def close_cursor(self) -> None:
        """End the running statement, if there is one: the driver tells the server to stop and drains the rest."""
        with self._driver_lock:
            with self._cancel_lock:
                cursor, self._cursor = self._cursor, None
            if cursor is None:
                return
            try:
                cursor.close()
            except Exception:
                self._usable = False  # its connection is gone, or in a state nobody knows

    def cancel(self) -> None:
        """End a running ``chunks`` soon, from another thread."""
        self._cancelled = True
        with self._cancel_lock:
            cancel_statement(self._cursor)

    def close(self) -> None:
        """Close the connection; idempotent."""
        self.cancel()
        self._usable = False
        self._line.closed = True
        self.close_cursor()
        if self._lent:
            return
        with self._driver_lock, contextlib.suppress(Exception):  # it may be broken already
            self._connection.close()


class _Stream:
    """One request under way: batches in, chunks out, and what it takes to go on after the last chunk."""

    def __init__(self, reader: DriverReader, request: ReadRequest) -> None:
        self._reader = reader
        self._request = request
        self._table: MappedTable = request.table
        self._name = request.table.source.full_name
        self._columns = request.table.copied_columns
        self._layout: Layout = layout(request.table, "driver")
        self._encoder = Encoder([column.encoding for column in self._columns], request.copy_format)
        self._last_key: KeyValue | None = request.after
        self._rows_left = request.limit
        self._rows = 0
        """Rows encoded before the current batch: what names a row of a table without a key."""
        # Positions read as UTF-16 bytes because the driver's text showed U+FFFD.
        self._raw: frozenset[int] = frozenset()
        # Tables without a key: how many U+FFFD each column showed.
        self._replaced: dict[int, int] = {}
        self._pacer = _Pacer(request)

    def chunks(self) -> Iterator[Chunk]:
        while True:
            suspects = yield from self._read()
            if not suspects:
                return
            self._raw |= suspects

    def _read(self) -> Generator[Chunk, None, frozenset[int]]:
        """Chunks until the end, or until columns turn out to need reading as bytes: those are returned."""
        self._reader.execute(self._sql(), self._name)
        filling = _Filling()
        while True:
            wanted = self._pacer.rows(filling.rows, filling.size)
            batch = self._reader.fetch(wanted, self._name)
            ended = batch.num_rows < wanted
            if batch.num_rows:
                batch = self._decoded(batch)
                suspects = self._suspects(batch)
                if suspects:
                    if filling.rows:
                        yield self._emit(filling)
                    return suspects
                data = self._encode(batch)
                self._rows += batch.num_rows
                self._pacer.saw(batch.num_rows, len(data))
                filling.add(data, batch.num_rows, self._key_of(batch, batch.num_rows - 1))
            if ended:
                self._check_replaced()
            if filling.rows and (ended or self._pacer.full(filling.rows, filling.size)):
                yield self._emit(filling)
            if ended:
                return frozenset()

    def _emit(self, filling: _Filling) -> Chunk:
        chunk = filling.take()
        self._last_key = chunk.last_key
        if self._rows_left is not None:
            self._rows_left -= chunk.rows
        return chunk

    def _sql(self) -> str:
        request = replace(self._request, after=self._last_key, limit=self._rows_left)
        return build_select(request, variant="driver", replaced=self._replacements())

    def _replacements(self) -> dict[int, str]:
        """Expressions that select suspect columns as the bytes of their UTF-16 text."""
        return {position: _utf16_bytes(self._source_column(position)) for position in self._raw}

    # --- text that is not text ---------------------------------------------------------------------------------------

    def _source_column(self, position: int) -> MappedColumn:
        return self._columns[position]

    def _suspects(self, batch: Any) -> frozenset[int]:
        """COPY fields of this batch whose text shows U+FFFD and was not read as bytes.

        In a table without a key they are counted instead.
        """
        found = frozenset(
            position
            for position, column in enumerate(self._columns)
            if position not in self._raw
            and column.source.type.name in _CHARACTER_TYPES
            and pa.types.is_large_string(batch.column(position).type)
            and contains(batch.column(position), _REPLACEMENT)
        )
        if not found or self._table.range_key is not None:
            return found
        for position in found:
            seen = pc.sum(pc.count_substring(batch.column(position), "\ufffd")).as_py() or 0
            self._replaced[position] = self._replaced.get(position, 0) + seen
        return frozenset()

    def _check_replaced(self) -> None:
        """At the end of a table without a key: does the server hold as many U+FFFD as were seen?"""
        relation = self._request.relation or qualified_name(self._table.source.schema, self._table.source.name)
        for position, seen in self._replaced.items():
            column = self._source_column(position)
            inner = column.driver_select.format(c=quote_name(column.source.name))
            mark = "NCHAR(65533)"
            true = self._reader.count(
                f"SELECT COALESCE(SUM(DATALENGTH(q.x) - DATALENGTH(REPLACE(q.x, {mark}, N''))), 0) / 2 AS found"
                f" FROM (SELECT CAST({inner} AS nvarchar(max)) COLLATE Latin1_General_BIN2 AS x"
                f" FROM {relation}) AS q"
                f" WHERE CHARINDEX({mark}, q.x) > 0",
                self._name,
            )
            if true < seen:
                raise DataError(
                    f"{self._name}.{column.source.name} holds text that is not valid UTF-16: about {seen - true} "
                    "lone surrogates; the table has no key that could name their rows.",
                    table=self._name,
                    column=column.source.name,
                    hint="Correct the values in the source, or exclude the table.",
                )

    def _decoded(self, batch: Any) -> Any:
        """The batch with the columns that were read as bytes made text again; a lone surrogate is an error."""
        for position in self._raw:
            texts: list[str | None] = []
            for row, value in enumerate(batch.column(position).to_pylist()):
                try:
                    texts.append(None if value is None else value.decode("utf-16-le"))
                except UnicodeDecodeError:
                    self._refuse(
                        batch,
                        position,
                        row,
                        "holds a lone surrogate, which is not text in UTF-8",
                        "Correct the value in the source.",
                    )
            batch = batch.set_column(position, batch.schema.field(position).name, pa.array(texts, pa.large_string()))
        return batch

    # --- encoding ----------------------------------------------------------------------------------------------------

    def _encode(self, batch: Any) -> bytes:
        arrays = []
        for position, column in enumerate(self._columns):
            try:
                array = adapt(batch.column(position), column.encoding)
            except EncodingError as error:
                row = first_unfit(batch.column(position), column.encoding)
                if row is not None:
                    self._refuse(batch, position, row, f"cannot be written to {column.pg_type}: {error}")
                raise TransferError(
                    f"{self._name}.{column.source.name} ({column.source.type}) cannot be written to "
                    f"{column.pg_type}: {error}",
                    table=self._name,
                ) from error
            if column.source.type.name == "xml":
                array = _without_mark(array)
            arrays.append(self._checked(batch, position, array))
        return self._encoder.encode(arrays, batch.num_rows)

    def _checked(self, batch: Any, position: int, array: Any) -> Any:
        """The column without values that PostgreSQL cannot hold: U+0000 (stripped or refused), 1 GB and more."""
        if not (pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)):
            return array
        row, size = longest(array)
        if size > MAX_FIELD_BYTES:
            self._refuse(batch, position, row, f"is {size} bytes long: PostgreSQL holds less than 1 GB in a value")
        if pa.types.is_large_string(array.type) and contains(array, b"\0"):
            if self._request.on_nul == "strip":
                return pc.replace_substring(array, "\0", "")
            row = pc.index(pc.fill_null(pc.match_substring(array, "\0"), False), True).as_py()
            self._refuse(
                batch,
                position,
                row,
                "holds the character U+0000, which PostgreSQL text cannot hold",
                "Set on_nul: strip to remove it, or correct the value in the source.",
            )
        return array

    def _refuse(self, batch: Any, position: int, row: int, reason: str, hint: str | None = None) -> None:
        column = self._source_column(position).source
        key = self._key_of(batch, row)
        names = [field.column.name for field in self._layout.key]
        text = ", ".join(f"{name}={value}" for name, value in zip(names, key or (), strict=False))
        number = f"row {self._rows + row + 1} as read"
        raise DataError(
            f"{self._name}.{column.name} in {f'the row with {text}' if text else number} {reason}.",
            table=self._name,
            column=column.name,
            key=text or number,
            hint=hint,
        )

    def _key_of(self, batch: Any, row: int) -> KeyValue | None:
        if not self._layout.key:
            return None
        return tuple(key_text(batch, field, row) for field in self._layout.key)


def key_text(batch: Any, field: KeyField, row: int) -> str:
    """The canonical text (see `keys`) of one key column in one row of a driver's record batch.

    Raises:
        ValueError: the column arrived as a type that keys of its kind do not have.
    """
    sql_type = field.column.type
    array = batch.column(field.position)
    kind = array.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return str(int(array[row].as_py()))
    if pa.types.is_decimal(kind):
        # Decimal's own arithmetic rounds to 28 digits.
        sign, digits, _ = array[row].as_py().as_tuple()
        unscaled = int("".join(map(str, digits)))
        return keys.format_decimal(-unscaled if sign else unscaled, kind.scale)
    if pa.types.is_large_string(kind):
        return keys.format_text(array[row].as_py())
    if pa.types.is_large_binary(kind):
        value = array[row].as_py()
        if sql_type.name == "uniqueidentifier":
            return keys.format_uniqueidentifier(value)
        return keys.format_binary(value)
    if pa.types.is_date32(kind):
        return keys.format_date(array[row].cast(pa.int32()).as_py() + _DAYS_TO_1970)
    if pa.types.is_time64(kind):
        return keys.format_time(array[row].cast(pa.int64()).as_py() // 100, keys.scale_of(sql_type))
    if pa.types.is_timestamp(kind):
        days, microseconds = divmod(array[row].cast(pa.int64()).as_py(), _MICROSECONDS_PER_DAY)
        ticks = microseconds * 10
        if field.nanosecond is not None:
            ticks += batch.column(field.nanosecond)[row].as_py() // 100 % 10
        write = keys.format_datetimeoffset if sql_type.name == "datetimeoffset" else keys.format_datetime
        return write(days + _DAYS_TO_1970, ticks, keys.scale_of(sql_type))
    raise ValueError(f"key column {field.column.name} arrived as Arrow type {kind}")


class _Filling:
    """The chunk being filled."""

    def __init__(self) -> None:
        self.rows = 0
        self.size = 0
        self._parts: list[bytes] = []
        self._last_key: KeyValue | None = None

    def add(self, data: bytes, rows: int, last_key: KeyValue | None) -> None:
        self._parts.append(data)
        self.rows += rows
        self.size += len(data)
        self._last_key = last_key

    def take(self) -> Chunk:
        """The chunk; the filling is empty afterwards."""
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        chunk = Chunk(data=data, rows=self.rows, last_key=self._last_key)
        self.rows, self.size, self._parts, self._last_key = 0, 0, [], None
        return chunk


class _Pacer:
    """How many rows to fetch next, so that chunks fill to their limits and one fetch stays small.

    Begins small and at most doubles; from then on follows the largest bytes per row of the recent batches.
    """

    def __init__(self, request: ReadRequest) -> None:
        self._chunk_rows = max(1, request.chunk_rows)
        self._chunk_bytes = max(1, request.chunk_bytes)
        columns = request.table.copied_columns
        self._lob = any(_is_lob(column) for column in columns)
        if self._lob:
            self._next, self._most = _FIRST_LOB_ROWS, _MOST_LOB_ROWS
        else:
            declared = sum(max(8, column.source.type.max_length) for column in columns)
            self._most = max(_FIRST_LOB_ROWS, min(_MOST_ROWS, _MOST_DECLARED // max(1, declared)))
            self._next = min(_FIRST_ROWS, self._most)
        self._row_bytes = 0.0

    def saw(self, rows: int, size: int) -> None:
        """A batch of that many rows became that many bytes."""
        self._row_bytes = max(size / rows, self._row_bytes * 0.75)
        self._next = min(self._next * 2, self._most)

    def rows(self, filled_rows: int, filled_bytes: int) -> int:
        """Rows of the next fetch for a chunk that holds so much already."""
        wanted = min(self._next, self._chunk_rows - filled_rows)
        if self._row_bytes:
            room = self._chunk_bytes - filled_bytes
            if self._lob:
                room = min(room, _LOB_FETCH)
            wanted = min(wanted, int(room / self._row_bytes) + 1)
        return max(1, wanted)

    def full(self, rows: int, size: int) -> bool:
        """Whether a chunk is complete; a remainder too small for a fetch worth its cost is not waited for."""
        return rows >= self._chunk_rows or size >= self._chunk_bytes


def _is_lob(column: MappedColumn) -> bool:
    """Whether the driver fetches a table with this column row by row."""
    kind = column.source.type
    return kind.is_max or kind.name in ("text", "ntext", "image", "xml") or "(max)" in column.driver_select.lower()


def _without_mark(array: Any) -> Any:
    """xml without the byte order mark that a server may send before it: it is not part of the value."""
    if not contains(array, _MARK):
        return array
    return pc.if_else(pc.starts_with(array, "\ufeff"), pc.utf8_slice_codeunits(array, 1), array)


def _utf16_bytes(column: MappedColumn) -> str:
    """An expression for the UTF-16 bytes of a text column, short enough to stay an ordinary column where it can."""
    expression = column.driver_select.format(c=quote_name(column.source.name))
    length = column.source.type.char_length
    if column.source.type.name in _SIZED_TEXT and 0 < length <= 4000:
        return f"CAST({expression} AS varbinary({length * 2}))"
    return f"CAST(CAST({expression} AS nvarchar(max)) AS varbinary(max))"
