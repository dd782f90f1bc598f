"""A generated table: its rows as ready tokens in a file, an index by key, and DuckDB where that is not enough."""

from __future__ import annotations

import mmap
import tempfile
import threading
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from ..catalog.model import Table
from ..compiler.outputs import OutputColumn
from ..compiler.scope import ScopeSource
from ..values import text
from .rowbytes import encode_chunk
from .stackoverflow import AnyColumn, DateColumn, Generator, IntColumn, TextColumn

_TICKS_PER_DAY = 864_000_000_000
_DAYS_TO_1900 = 693_595


class RowStore:
    """The rows of one table, in the order of its key, the first column."""

    def __init__(self, data: duckdb.DuckDBPyConnection, table: Table, generator: Generator) -> None:
        self._data = data
        self._table = table
        self._generator = generator
        self._lock = threading.Lock()
        self._loaded = False
        self.keys: np.ndarray[Any, np.dtype[np.int32]] = generator.ids[table.name]
        self.row_count = len(self.keys)
        self.columns = [OutputColumn(c.name, "", c.type, c.nullable, c) for c in table.columns]
        self.offsets, self.data = self._write()
        cursor = data.cursor()
        cursor.register("keys_of_table", pa.table({"c1": self.keys}))
        cursor.execute(f"CREATE TABLE {self._keys_name} AS SELECT c1 FROM keys_of_table")
        cursor.close()

    @property
    def _keys_name(self) -> str:
        return f'"db{self._table.database_id}".main."k{self._table.object_id}"'

    def _write(self) -> tuple[np.ndarray[Any, np.dtype[np.int64]], memoryview]:
        """Write the tokens to a file without a name; where each row begins (and the end), and the file's bytes."""
        infos = [column.type.type_info(column.nullable) for column in self._table.columns]
        lengths: list[Any] = []
        with tempfile.TemporaryFile(prefix="sandbox-rows-") as file:
            for _, columns in self._generator.chunks(self._table.name):
                data, sizes = encode_chunk(columns, infos)
                file.write(data)
                lengths.append(sizes)
            file.flush()
            size = file.tell()
            mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(lengths))]), memoryview(mapped)

    def rows_between(self, low: int | None, high: int | None) -> tuple[int, int]:
        """The rows with `low <= key <= high`, as positions; None is no limit."""
        first = 0 if low is None else int(np.searchsorted(self.keys, low, side="left"))
        last = self.row_count if high is None else int(np.searchsorted(self.keys, high, side="right"))
        return first, max(first, last)

    def tokens(self, first: int, last: int) -> memoryview:
        """The tokens of the rows from `first` up to but without `last`."""
        return self.data[int(self.offsets[first]) : int(self.offsets[last])]

    def row_at(self, first: int, size: int) -> int:
        """The row some bytes after row `first`, at least the next one."""
        return max(first + 1, int(np.searchsorted(self.offsets, self.offsets[first] + size, side="right")) - 1)

    # --- DuckDB ---

    def relation(self, source: ScopeSource) -> str:
        """Where DuckDB finds the rows: the keys alone if the query asks for nothing else."""
        if source.used <= {"c1"}:
            return self._keys_name
        self.load()
        return self._table.physical

    @property
    def loaded(self) -> bool:
        """Whether DuckDB has all columns."""
        return self._loaded

    def load(self) -> None:
        """Give DuckDB all columns, once."""
        with self._lock:
            if self._loaded:
                return
            cursor = self._data.cursor()
            names = [column.physical for column in self._table.columns]
            cursor.execute("BEGIN")
            for _, columns in self._generator.chunks(self._table.name):
                batch = pa.table([_arrow(column) for column in columns], names=names)
                cursor.register("chunk_of_table", batch)
                cursor.execute(f"INSERT INTO {self._table.physical} SELECT * FROM chunk_of_table")
            cursor.execute("COMMIT")
            cursor.close()
            self._loaded = True

    def materialise(self) -> None:
        """Make an ordinary table of it: DuckDB has the rows, the tokens are of no use any more."""
        self.load()

    def drop(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Drop DuckDB's tables."""
        connection.execute(f"DROP TABLE {self._table.physical}")
        connection.execute(f"DROP TABLE {self._keys_name}")


@dataclass
class Slice:
    """Rows of a generated table, ready to be sent."""

    table: Table
    store: RowStore
    columns: list[OutputColumn]
    first: int
    last: int


def _arrow(column: AnyColumn) -> pa.Array:
    if isinstance(column, TextColumn):
        values = [None if v is None else text.to_storage(v.decode("utf-16-le", "surrogatepass")) for v in column.values]
        return pa.array(values, pa.string())
    if isinstance(column, IntColumn):
        return pa.array(column.values, pa.int32(), mask=column.missing)
    assert isinstance(column, DateColumn)
    days = (column.days.astype(np.int64) + _DAYS_TO_1900) * _TICKS_PER_DAY
    ticks = days + (column.thirds.astype(np.int64) * 100_000 + 1) // 3
    return pa.array(ticks, pa.int64(), mask=column.missing)
