"""What tests of the source package share: settings of a test database, mapped tables, whole reads."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.mapping.range_keys import choose_range_key
from mssql_pg_migrate.mapping.types import MappedColumn, UnsupportedColumn, map_type
from mssql_pg_migrate.model import Table
from mssql_pg_migrate.source.reader import Chunk
from mssql_pg_migrate.source.settings import SqlServerSettings
from mssql_pg_migrate.source.sqlserver.catalog import read_catalog
from mssql_pg_migrate.source.sqlserver.connect import connect_source
from servers import MssqlDatabase


def settings_of(database: MssqlDatabase, **more: Any) -> SqlServerSettings:
    """How to connect to a test database."""
    server = database.server
    wanted: dict[str, Any] = {
        "host": server.host,
        "port": server.port,
        "database": database.name,
        "user": server.user,
        "password": server.password,
        "encrypt": server.encrypt,
        "trust_server_cert": True,
    }
    return SqlServerSettings(**(wanted | more))


def tables_of(database: MssqlDatabase) -> dict[str, MappedTable]:
    """All tables of a test database by full name, every column that can be carried mapped to one of the same name."""
    connection = connect_source(settings_of(database))
    try:
        catalog = read_catalog(connection)
    finally:
        connection.close()
    return {table.full_name: mapped(table) for table in catalog.tables}


def mapped(table: Table) -> MappedTable:
    """A table as it would be carried, under its own names."""
    columns = []
    for column in table.columns:
        try:
            kind = map_type(column)
        except UnsupportedColumn:
            continue
        columns.append(
            MappedColumn(column, column.name, kind.pg_type, kind.encoding, kind.driver_select, kind.wire_select)
        )
    return MappedTable(table, "public", table.name, tuple(columns), range_key=choose_range_key(table))


def fields(chunks: Iterable[Chunk]) -> list[tuple[bytes | None, ...]]:
    """The fields of binary COPY data, row by row."""
    rows = []
    for chunk in chunks:
        data, position = bytes(chunk.data), 0
        while position < len(data):
            (count,) = struct.unpack_from(">h", data, position)
            position += 2
            found: list[bytes | None] = []
            for _ in range(count):
                (size,) = struct.unpack_from(">i", data, position)
                position += 4
                found.append(None if size < 0 else data[position : position + size])
                position += max(size, 0)
            rows.append(tuple(found))
    return rows


def copy_into(connection: Any, table: str, data: bytes, copy_format: str = "binary") -> None:
    """COPY tuples (binary, without header and trailer) or lines (text) into a PostgreSQL table."""
    header, trailer = (b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff") if copy_format == "binary" else (b"", b"")
    with connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT {copy_format})") as copy:
        copy.write(header + data + trailer)
