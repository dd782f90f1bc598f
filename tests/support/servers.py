"""The servers tests run against: the sandbox and an embedded PostgreSQL, or those named by environment variables.

`MSSQL_TEST_URL` (`mssql://sa:pw@host:1433/db?encrypt=false`) and `PG_TEST_URL` (`postgresql://...`) name others.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import psycopg

from mssql_pg_migrate.demo.embedded_pg import EmbeddedPostgres
from tsql_sandbox import SandboxServer
from tsql_sandbox.tsql.lexer import split_batches

_numbers = itertools.count(1)


def fresh_name(prefix: str) -> str:
    """A database name no other test run uses."""
    return f"{prefix}_{os.getpid()}_{next(_numbers)}"


@dataclass
class MssqlDatabase:
    """One database of a source server."""

    server: MssqlServer
    name: str

    @property
    def url(self) -> str:
        """`mssql://...` of this database."""
        return self.server.url_of(self.name)

    def connect(self, **options: Any) -> Any:
        """An mssql-python connection, autocommit unless told otherwise."""
        return self.server.connect(self.name, **options)

    def section(self, password: str | None = None) -> dict[str, Any]:
        """``source`` of a configuration; ``password`` instead of the server's own (a variable's name)."""
        return {
            "type": "mssql",
            "host": self.server.host,
            "port": self.server.port,
            "database": self.name,
            "user": self.server.user,
            "password": self.server.password if password is None else password,
            "encrypt": self.server.encrypt,
            "trust_server_cert": True,
        }

    def execute_script(self, script: str) -> None:
        """Run a T-SQL script batch by batch (GO lines divide it) over TDS."""
        self.server.execute_script(script, self.name)

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        connection = self.connect()
        try:
            cursor = connection.cursor()
            cursor.execute(sql, *parameters)
            return [tuple(row) for row in cursor.fetchall()]
        finally:
            connection.close()

    def drop(self) -> None:
        """Drop the database."""
        self.server.drop_database(self.name)


@dataclass
class MssqlServer:
    """A source server. `sandbox` is None for one named by MSSQL_TEST_URL."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    encrypt: bool = False
    sandbox: SandboxServer | None = None

    @property
    def url(self) -> str:
        """`mssql://...` of the server's master database."""
        return self.url_of("master")

    def url_of(self, database: str) -> str:
        """`mssql://...` of a database."""
        options = f"encrypt={'true' if self.encrypt else 'false'}&trust_server_cert=true"
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"mssql://{login}@{self.host}:{self.port}/{quote(database)}?{options}"

    def connection_string(self, database: str = "master", *, encrypt: bool | None = None) -> str:
        """A connection string for mssql-python."""
        password = self.password.replace("}", "}}")
        wanted = self.encrypt if encrypt is None else encrypt
        return (
            f"Server=tcp:{self.host},{self.port};Database={{{database}}};UID={self.user};PWD={{{password}}};"
            f"Encrypt={'yes' if wanted else 'no'};TrustServerCertificate=yes"
        )

    def connect(self, database: str = "master", *, autocommit: bool = True, encrypt: bool | None = None) -> Any:
        """An mssql-python connection."""
        import mssql_python

        return mssql_python.connect(self.connection_string(database, encrypt=encrypt), autocommit=autocommit)

    def execute_script(self, script: str, database: str = "master") -> None:
        """Run a T-SQL script batch by batch (GO lines divide it) over TDS, with mssql-python."""
        connection = self.connect(database)
        try:
            cursor = connection.cursor()
            for batch in split_batches(script):
                cursor.execute(batch)
                # An error of a later statement shows only when its result is asked for.
                while cursor.nextset():
                    pass
        finally:
            connection.close()

    def new_database(self, collation: str | None = None) -> MssqlDatabase:
        """An empty database; `drop` it afterwards."""
        name = fresh_name("src")
        suffix = f" COLLATE {collation}" if collation else ""
        self.execute_script(f"CREATE DATABASE [{name}]{suffix}")
        return MssqlDatabase(self, name)

    def drop_database(self, name: str) -> None:
        """Drop a database, its connections too."""
        if self.sandbox is None:
            self.execute_script(
                f"ALTER DATABASE [{name}] SET SINGLE_USER WITH ROLLBACK IMMEDIATE\nGO\nDROP DATABASE [{name}]"
            )
        else:
            self.sandbox.run_script(f"EXEC sandbox_drop_database N'{name}'")


@dataclass
class PgDatabase:
    """One database of a target server."""

    server: PgServer
    name: str

    @property
    def host(self) -> str:
        """Host name or address."""
        return self.server.host

    @property
    def port(self) -> int:
        """Port."""
        return self.server.port

    @property
    def user(self) -> str:
        """User."""
        return self.server.user

    @property
    def password(self) -> str:
        """Password."""
        return self.server.password

    @property
    def conninfo(self) -> str:
        """A conninfo string for psycopg."""
        return self.server.conninfo(self.name)

    def section(self, password: str | None = None) -> dict[str, Any]:
        """``target`` of a configuration; ``password`` instead of the server's own (a variable's name)."""
        return {
            "type": "postgres",
            "host": self.host,
            "port": self.port,
            "database": self.name,
            "user": self.user,
            "password": self.password if password is None else password,
            "ssl_mode": "prefer",
        }

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """A psycopg connection, autocommit unless told otherwise."""
        return psycopg.connect(self.conninfo, **{"autocommit": True, **options})

    def execute(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Run a statement; its rows, if it has any."""
        with self.connect() as connection:
            cursor = connection.execute(sql, parameters)  # type: ignore[call-overload]
            return list(cursor.fetchall()) if cursor.description else []

    def drop(self) -> None:
        """Drop the database, its connections too."""
        self.server.execute(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')


@dataclass
class PgServer:
    """A target server. `embedded` is None for one named by PG_TEST_URL."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    admin_database: str = "postgres"
    embedded: EmbeddedPostgres | None = None

    def conninfo(self, database: str | None = None) -> str:
        """A conninfo string for psycopg."""
        return psycopg.conninfo.make_conninfo(
            "", host=self.host, port=self.port, user=self.user, password=self.password,
            dbname=database or self.admin_database,
        )  # fmt: skip

    def execute(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Run a statement in the administrative database; its rows, if it has any."""
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            cursor = connection.execute(sql, parameters)  # type: ignore[call-overload]
            return list(cursor.fetchall()) if cursor.description else []

    def new_database(self) -> PgDatabase:
        """An empty database; `drop` it afterwards."""
        name = fresh_name("dst")
        # The copy through the WAL is much quicker than by files for so small a template.
        strategy = " STRATEGY wal_log" if self.version >= 15 else ""
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE template0{strategy}')
        return PgDatabase(self, name)

    @property
    def version(self) -> int:
        """The major version."""
        with psycopg.connect(self.conninfo()) as connection:
            return connection.info.server_version // 10000


def mssql_from_url(url: str) -> MssqlServer:
    """The server of an `mssql://` URL."""
    parts = urlsplit(url)
    encrypt = parse_qs(parts.query).get("encrypt", ["true"])[0].lower() in ("true", "yes", "1")
    return MssqlServer(
        parts.hostname or "localhost",
        parts.port or 1433,
        unquote(parts.username or "sa"),
        unquote(parts.password or ""),
        encrypt,
    )


def mssql_from_sandbox(sandbox: SandboxServer) -> MssqlServer:
    """A sandbox as a source server."""
    return MssqlServer(sandbox.host, sandbox.port, sandbox.user, sandbox.password, sandbox=sandbox)


def pg_from_url(url: str) -> PgServer:
    """The server of a `postgresql://` URL."""
    info = psycopg.conninfo.conninfo_to_dict(url)
    return PgServer(
        str(info.get("host") or "localhost"),
        int(info.get("port") or 5432),
        str(info.get("user") or "postgres"),
        str(info.get("password") or ""),
        str(info.get("dbname") or "postgres"),
    )


def pg_from_embedded(embedded: EmbeddedPostgres) -> PgServer:
    """An embedded PostgreSQL as a target server."""
    return PgServer(embedded.host, embedded.port, embedded.user, embedded.password, embedded=embedded)
