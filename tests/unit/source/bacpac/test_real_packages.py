"""Packages that SQL Server and Azure SQL wrote, in the folder that MSSQL_PG_MIGRATE_PACKAGES names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mssql_pg_migrate.mapping.build import build
from mssql_pg_migrate.mapping.options import MappingOptions
from mssql_pg_migrate.model import KeyRange
from mssql_pg_migrate.source.bacpac.catalog import read_contents
from mssql_pg_migrate.source.bacpac.columns import stored_columns
from mssql_pg_migrate.source.bacpac.counting import count_rows
from mssql_pg_migrate.source.bacpac.rows import BcpReader, members_of
from mssql_pg_migrate.source.reader import ReadRequest

_FOLDER = os.environ.get("MSSQL_PG_MIGRATE_PACKAGES")
PACKAGES = sorted(Path(_FOLDER).glob("*.bacpac")) if _FOLDER else []
pytestmark = pytest.mark.skipif(not PACKAGES, reason="no packages (MSSQL_PG_MIGRATE_PACKAGES)")


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: path.name)
def test_every_file_ends_at_a_row_and_all_rows_are_there(path: Path) -> None:
    """Counted and read: as many rows as Origin.xml tells of, and no data file of an unknown table."""
    contents = read_contents(str(path))
    assert contents.package.origin.model_checksum == contents.package.model_digest()
    assert (contents.data.unknown, contents.data.missing) == ((), {})
    counted = 0
    for table in contents.catalog.tables:
        for member in members_of(contents, table):
            counted += count_rows(str(path), table.full_name, member, stored_columns(table))
    assert counted == contents.package.origin.rows
    reader = BcpReader(lambda: contents)
    read = 0
    for mapped in build(contents.catalog, MappingOptions()).tables:
        chunks = reader.chunks(ReadRequest(table=mapped, range=KeyRange(0), chunk_rows=1000))
        read += sum(chunk.rows for chunk in chunks)
    assert read == counted
