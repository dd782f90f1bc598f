"""Fixtures all tests share: a source server, a target server, a fresh database in each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from mssql_pg_migrate.source.sqlserver import driver_libraries
from servers import (
    MssqlDatabase,
    MssqlServer,
    PgDatabase,
    PgServer,
    mssql_from_sandbox,
    mssql_from_url,
    pg_from_embedded,
    pg_from_url,
)

driver_libraries.supply_missing()  # tests connect with mssql-python themselves, too

_FAST = {
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what only the sandbox can do when the source is another server."""
    if "MSSQL_TEST_URL" in os.environ:
        skip = pytest.mark.skip(reason="needs the sandbox; MSSQL_TEST_URL names another server")
        for item in items:
            if "sandbox_only" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def mssql() -> Iterator[MssqlServer]:
    """The source server: a sandbox, or the one MSSQL_TEST_URL names."""
    url = os.environ.get("MSSQL_TEST_URL")
    if url:
        yield mssql_from_url(url)
        return
    from tsql_sandbox import SandboxServer

    with SandboxServer() as sandbox:
        yield mssql_from_sandbox(sandbox)


@pytest.fixture(scope="session")
def pg() -> Iterator[PgServer]:
    """The target server: an embedded PostgreSQL without fsync, or the one PG_TEST_URL names."""
    url = os.environ.get("PG_TEST_URL")
    if url:
        yield pg_from_url(url)
        return
    from mssql_pg_migrate.demo.embedded_pg import EmbeddedPostgres

    with EmbeddedPostgres(settings=_FAST) as embedded:
        yield pg_from_embedded(embedded)


@pytest.fixture
def source_db(mssql: MssqlServer) -> Iterator[MssqlDatabase]:
    """An empty source database of the test's own."""
    database = mssql.new_database()
    yield database
    database.drop()


@pytest.fixture
def target_db(pg: PgServer) -> Iterator[PgDatabase]:
    """An empty target database of the test's own."""
    database = pg.new_database()
    yield database
    database.drop()


@pytest.fixture(scope="module")
def module_db(pg: PgServer) -> Iterator[PgDatabase]:
    """One target database for a module: making one takes longer than most tests."""
    database = pg.new_database()
    yield database
    database.drop()


@pytest.fixture
def target(module_db: PgDatabase) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the module's database, empty again; it collects notices (PostgreSQL says when it cuts a name)."""
    module_db.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    with module_db.connect() as connection:
        yield connection


@pytest.fixture(autouse=True)
def _no_faults_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test leaves no fault behind in the shared sandbox."""
    yield
    if "mssql" in request.fixturenames:
        server: MssqlServer = request.getfixturevalue("mssql")
        if server.sandbox is not None:
            server.sandbox.faults.clear()
