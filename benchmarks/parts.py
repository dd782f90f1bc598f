"""Each side alone: rows drained from the source by nobody, ready bytes copied into the target from nowhere."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg

from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.model import KeyRange
from mssql_pg_migrate.source.open import open_source
from mssql_pg_migrate.source.reader import ReadRequest
from mssql_pg_migrate.source.settings import SqlServerSettings
from mssql_pg_migrate.source.sqlserver.query import build_select
from mssql_pg_migrate.source.sqlserver.wire_connect import open_client
from mssql_pg_migrate.target import ddl
from mssql_pg_migrate.target.connect import TargetSettings, connect_target, read_server_facts
from mssql_pg_migrate.target.copy import copy_statement, copy_tuples
from mssql_pg_migrate.target.finalize import maintenance_settings

from .meters import ProcessMeter, difference

_HEADER = 8
_BUFFER = 1 << 18
_CHUNK_BYTES = 4 << 20
_MAINTENANCE = 256 << 20


@dataclass(frozen=True)
class Part:
    """One side alone. ``bytes`` are those on the wire of that side; ``own_cpu`` is the benchmark's, ``cpu`` the
    server's."""

    rows: int
    bytes: int
    seconds: float
    cpu: float | None
    own_cpu: float


@dataclass(frozen=True)
class Recording:
    """The COPY tuples of one table in a file: chunks of (rows, bytes)."""

    table: MappedTable
    path: Path
    chunks: tuple[tuple[int, int], ...]

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return sum(rows for rows, _ in self.chunks)

    @property
    def size(self) -> int:
        """Bytes of COPY data."""
        return sum(size for _, size in self.chunks)

    def read(self) -> Iterator[bytes]:
        """The chunks."""
        with self.path.open("rb") as file:
            for _, size in self.chunks:
                yield file.read(size)


def record(table: MappedTable, settings: SqlServerSettings, reader: str, path: Path) -> Recording:
    """Read a table once, as a migration would, into a file."""
    chunks = []
    request = ReadRequest(table=table, range=KeyRange(0), chunk_bytes=_CHUNK_BYTES)
    with (
        closing(open_source(settings).open_reader("driver" if reader == "driver" else "wire")) as source,
        path.open("wb") as file,
    ):
        for chunk in source.chunks(request):
            file.write(chunk.data)
            chunks.append((chunk.rows, len(chunk.data)))
    return Recording(table, path, tuple(chunks))


def drain(recordings: Sequence[Recording], settings: SqlServerSettings, server: ProcessMeter) -> Part:
    """Ask for the rows of each table, one after the other on one connection, and look at packet headers only."""
    with closing(open_client(settings)) as client:
        before, began, own = server.cpu(), time.monotonic(), time.process_time()
        total = 0
        buffer = memoryview(bytearray(_BUFFER))
        for recording in recordings:
            request = ReadRequest(table=recording.table, range=KeyRange(0))
            answer = client.query(build_select(request, variant="wire"))
            if answer is None:
                raise RuntimeError(f"{recording.table.source.full_name}: no rows in the answer")
            total += len(answer.payload)
            walk = PacketWalk(answer.last)
            while not walk.ended:
                count = client.recv_into(buffer)
                walk.feed(buffer[:count])
                total += count
        own, seconds = time.process_time() - own, time.monotonic() - began
        return Part(sum(item.rows for item in recordings), total, seconds, difference(server.cpu(), before), own)


class PacketWalk:
    """Follows TDS packets by their headers until the one that ends the message."""

    def __init__(self, ended: bool) -> None:
        self.ended = ended
        self._left = 0
        self._last = False
        self._header = b""

    def feed(self, data: memoryview) -> None:
        """The next bytes, cut anywhere."""
        at, end = 0, len(data)
        while at < end:
            if self._left:
                step = min(self._left, end - at)
                self._left -= step
                at += step
            else:
                step = min(_HEADER - len(self._header), end - at)
                self._header += bytes(data[at : at + step])
                at += step
                if len(self._header) == _HEADER:
                    _, status, length = struct.unpack_from(">BBH", self._header)
                    self._header, self._left, self._last = b"", length - _HEADER, bool(status & 1)
            if self._last and not self._left and not self._header:
                self.ended = True


def load(
    recordings: Sequence[Recording], settings: TargetSettings, server: ProcessMeter, *, connections: int
) -> tuple[Part, Part]:
    """Make the tables, COPY the recorded bytes on so many connections, build the primary keys; (COPY, keys) apart.

    As many connections as cores: where two of them are threads of one core, work on both takes more CPU time than the
    same work on one, and a whole migration keeps both busy.
    """
    with connect_target(settings, purpose="benchmark") as connection:
        schema = recordings[0].table.schema
        connection.execute(f"DROP SCHEMA IF EXISTS {ddl.quote_ident(schema)} CASCADE".encode())
        connection.execute(f"CREATE SCHEMA {ddl.quote_ident(schema)}".encode())
        for recording in recordings:
            connection.execute(ddl.create_table(recording.table).encode())
        settle(connection)
        lz4 = read_server_facts(connection).lz4
        before, began, own = server.cpu(), time.monotonic(), time.process_time()
        with ThreadPoolExecutor(connections) as threads:
            list(threads.map(lambda part: _copy(recordings, settings, lz4, part, connections), range(connections)))
        middle, copied, own = server.cpu(), time.monotonic(), time.process_time() - own
        rows, size = sum(item.rows for item in recordings), sum(item.size for item in recordings)
        for statement in maintenance_settings(_MAINTENANCE, 1):
            connection.execute(statement.encode())
        for recording in recordings:
            key = recording.table.primary_key
            if key is not None:
                connection.execute(ddl.create_key_index(recording.table, key).encode())
                connection.execute(ddl.attach_key(recording.table, key).encode())
        built = time.monotonic()
        return (
            Part(rows, size, copied - began, difference(middle, before), own),
            Part(rows, size, built - copied, difference(server.cpu(), middle), 0.0),
        )


def settle(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Write out what earlier measurements left behind, where the role may ask for it."""
    try:
        connection.execute("CHECKPOINT")
    except psycopg.errors.InsufficientPrivilege:
        return


def _copy(recordings: Sequence[Recording], settings: TargetSettings, lz4: bool, part: int, parts: int) -> None:
    """Every ``parts``-th chunk, each in a transaction of its own."""
    with connect_target(settings, purpose="benchmark") as connection:
        connection.execute("SET synchronous_commit = off")
        if lz4:
            connection.execute("SET default_toast_compression = 'lz4'")
        for recording in recordings:
            table = recording.table
            columns = tuple(column.name for column in table.copied_columns)
            statement = copy_statement(ddl.relation(table), columns, "binary")
            for number, data in enumerate(recording.read()):
                if number % parts == part:
                    with connection.transaction():
                        copy_tuples(connection, statement, data, "binary")
