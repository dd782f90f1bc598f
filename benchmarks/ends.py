"""The two ends of a benchmark: servers given by URL, or the sandbox and an embedded PostgreSQL of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import yaml

from mssql_pg_migrate.config.models import Config

SCHEMA = "mpm_benchmark"
"""Schema of the target that every run fills; dropped at the end."""
EMPTY_DATABASE = "TenEmptyTables"
_EMPTY = "".join(
    f"CREATE TABLE dbo.Empty{number} (Id int NOT NULL CONSTRAINT PK_Empty{number} PRIMARY KEY, Name nvarchar(50) NULL,"
    " Made datetime NOT NULL);\n"
    for number in range(1, 11)
)
_PG_SETTINGS = {
    # Vacuum and checkpoints come when they like; with them two runs would not be comparable.
    "autovacuum": "off",
    "shared_buffers": "512MB",
    "max_wal_size": "16GB",
    "min_wal_size": "4GB",  # segments are used again, as on a server that has been up for a while
    "checkpoint_timeout": "1h",
}


@dataclass(frozen=True)
class Ends:
    """Where from and where to. ``source`` and ``target`` are sections of a configuration without passwords; those are
    in ``secrets`` (environment variable -> value). ``*_pid`` is the server's process where it is on this machine."""

    source: dict[str, Any]
    target: dict[str, Any]
    secrets: dict[str, str] = field(repr=False)
    source_name: str = ""
    target_name: str = ""
    source_pid: int | None = None
    target_pid: int | None = None
    empty_database: str | None = None

    def document(self, *, reader: str, mode: str, tls: bool | None = None, **migration: Any) -> dict[str, Any]:
        """A configuration; ``tls`` None keeps what the source's URL says."""
        source = {**self.source, "reader": reader}
        if tls is not None:
            source["encrypt"] = tls
        return {
            "source": source,
            "target": {**self.target, "schema": SCHEMA},
            "migration": {"target_mode": mode, **migration},
        }

    def config(self, document: Mapping[str, Any]) -> Config:
        """The configuration as the tool's own model."""
        return Config.from_dict(document, environment={**os.environ, **self.secrets})

    def write(self, document: Mapping[str, Any], path: Path) -> None:
        """The configuration as a file, without secrets."""
        path.write_text(yaml.safe_dump(dict(document)))


@contextmanager
def open_ends(
    *,
    source_url: str | None,
    target_url: str | None,
    rows: int,
    postgres: Literal["any", "wheel", "path"] = "any",
    source_pid: int | None = None,
    target_pid: int | None = None,
    more: str = "",
) -> Iterator[Ends]:
    """Both ends, started where no URL is given and stopped at the end; ``more`` is a script for the own source.

    Raises:
        ValueError: a URL cannot be understood.
        SandboxError, IoError: a server did not start.
    """
    with ExitStack() as stack:
        empty = None
        if source_url is None:
            from tsql_sandbox.process import SandboxServer

            sandbox = SandboxServer(generate=rows)
            sandbox.start(timeout=60 + rows / 20_000)
            stack.callback(sandbox.stop)
            sandbox.run_script(f"CREATE DATABASE {EMPTY_DATABASE};\nGO\nUSE {EMPTY_DATABASE};\n{_EMPTY}")
            if more:
                sandbox.run_script(more)
            source_url, source_pid, source_name = sandbox.url("StackOverflow2010"), sandbox.pid, "sandbox"
            empty = EMPTY_DATABASE
        else:
            source_name = shown(source_url)
        if target_url is None:
            from mssql_pg_migrate.demo.embedded_pg import EmbeddedPostgres

            server = EmbeddedPostgres(kind=postgres, settings=_PG_SETTINGS)
            stack.callback(server.stop)
            server.start()
            target_url, target_pid, target_name = server.url(), server.pid, "embedded PostgreSQL"
        else:
            target_name = shown(target_url)
        source, source_secret = source_section(source_url)
        target, target_secret = target_section(target_url)
        yield Ends(
            source,
            target,
            {"BENCH_MSSQL_PASSWORD": source_secret, "BENCH_POSTGRES_PASSWORD": target_secret},
            source_name,
            target_name,
            source_pid,
            target_pid,
            empty,
        )


def shown(url: str) -> str:
    """A URL without its login."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or ''}{parts.path}"


def source_section(url: str) -> tuple[dict[str, Any], str]:
    """``mssql://user:password@host:port/database?encrypt=true&trust_server_cert=true`` as (section, password).

    Raises ValueError.
    """
    section, password, options = _split(url, ("mssql", "sqlserver"), 1433)
    section.update(type="mssql", password="${BENCH_MSSQL_PASSWORD}")
    for name, value in options.items():
        section[name] = {"true": True, "false": False}.get(value.lower(), value)
    return section, password


def target_section(url: str) -> tuple[dict[str, Any], str]:
    """``postgresql://user:password@host:port/database?sslmode=require`` as (section, password). Raises ValueError."""
    section, password, options = _split(url, ("postgresql", "postgres"), 5432)
    section.update(type="postgres", password="${BENCH_POSTGRES_PASSWORD}", ssl_mode=options.get("sslmode", "prefer"))
    return section, password


def _split(url: str, schemes: tuple[str, ...], port: int) -> tuple[dict[str, Any], str, dict[str, str]]:
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname or len(parts.path) < 2:
        raise ValueError(f"expected {schemes[0]}://user:password@host:port/database")
    section = {
        "host": unquote(parts.hostname),
        "port": parts.port or port,
        "database": unquote(parts.path[1:]),
        "user": unquote(parts.username or ""),
    }
    return section, unquote(parts.password or ""), dict(parse_qsl(parts.query))
