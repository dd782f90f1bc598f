"""The configuration hash: which keys make another migration, and which do not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mssql_pg_migrate.config import Config, config_hash
from mssql_pg_migrate.config.keys import key_of
from mssql_pg_migrate.config.load import sections


def build(**sections: dict[str, Any]) -> Config:
    data: dict[str, Any] = {
        "source": {"type": "mssql", "host": "s", "database": "d", "user": "u", "password": "p"},
        "target": {"type": "postgres", "host": "t", "database": "d", "user": "u", "password": "p"},
        "migration": {},
    }
    for name, changes in sections.items():
        data.setdefault(name, {}).update(changes)
    return Config.from_dict(data)


BASE = config_hash(build())

MATTERS: dict[str, Any] = {
    "source.host": "other",
    "source.port": 1434,
    "source.database": "other",
    "source.schema": "sales",
    "target.host": "other",
    "target.port": 5433,
    "target.database": "other",
    "target.schema": "other",
    "target.schema_map": {"dbo": "x"},
    "migration.target_mode": "truncate",
    "migration.use_unlogged_tables": True,
    "migration.include_tables": ["a*"],
    "migration.exclude_tables": ["a*"],
    "migration.create_indexes": False,
    "migration.create_foreign_keys": False,
    "migration.create_check_constraints": False,
    "migration.create_views": True,
    "migration.on_nul": "strip",
    "migration.identifier_case": "lower",
    "migration.collation": "citext",
}

DOES_NOT: dict[str, Any] = {
    "source.type": "sqlserver",
    "source.user": "other",
    "source.password": "other",
    "source.encrypt": False,
    "source.trust_server_cert": True,
    "source.host_name_in_certificate": "x",
    "source.reader": "driver",
    "source.isolation": "snapshot",
    "source.application_name": "x",
    "source.login_timeout": 1,
    "source.authentication": "ActiveDirectoryPassword",
    "source.options": {"ApplicationIntent": "ReadOnly"},
    "target.type": "postgresql",
    "target.user": "other",
    "target.password": "other",
    "target.ssl_mode": "prefer",
    "target.application_name": "x",
    "target.connect_timeout": 2,
    "migration.preflight_sample": 0,
    "migration.workers": 1,
    "migration.chunk_size": 10,
    "migration.parallel_readers": 1,
    "migration.write_ahead_writers": 1,
    "migration.memory_budget_percent": 10,
    "migration.read_ahead_buffers": 1,
    "migration.large_table_threshold": 10,
    "migration.max_partitions": 2,
    "migration.min_rows_per_partition": 10,
    "migration.max_mssql_connections": 10,
    "migration.max_pg_connections": 10,
    "migration.use_binary_copy": False,
    "migration.copy_buffer_rows": 10,
    "migration.upsert_batch_size": 10,
    "migration.upsert_parallel_tasks": 1,
    "migration.hooks": {"after_data": "SELECT 1"},
    "migration.retries": 2,
    "migration.on_refused_table": "skip",
    "sync.method": "compare",
    "sync.tables": {"Orders": {"method": "watermark", "column": "changed"}},
    "sync.interval": "1m",
    "sync.deletes": "never",
    "sync.compare_every": 60,
    "sync.fire_triggers": True,
    "sync.on_schema_change": "add_columns",
}
NOT_TRIED = {"source.access_token", "target.ssl_root_cert", "target.ssl_cert", "target.ssl_key"}
"""Not set by the base, and in need of files or other keys; all are secrets or encryption."""


def changed(path: str, value: Any) -> str:
    section, key = path.split(".")
    return config_hash(build(**{section: {key: value}}))


def test_form() -> None:
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", BASE)
    assert build().hash == BASE


@pytest.mark.parametrize(("path", "value"), MATTERS.items())
def test_keys_that_matter(path: str, value: Any) -> None:
    assert changed(path, value) != BASE


@pytest.mark.parametrize(("path", "value"), DOES_NOT.items())
def test_keys_that_do_not(path: str, value: Any) -> None:
    assert changed(path, value) == BASE


def test_every_key_is_decided() -> None:
    """A new key must be put on one of the lists above."""
    every = {
        f"{name}.{field.alias or python_name}"
        for name, section in sections(Config).items()
        for python_name, field in section.model_fields.items()
    }
    assert every == {*MATTERS, *DOES_NOT, *NOT_TRIED, "source.path"}
    hashed = {
        f"{name}.{field.alias or python_name}"
        for name, section in sections(Config).items()
        for python_name, field in section.model_fields.items()
        if key_of(section, python_name).in_hash
    }
    assert hashed == {*MATTERS, "source.path"}


def test_a_package_is_known_by_its_name(tmp_path: Path) -> None:
    """Wherever it lies: its data files are told by their checksums."""
    hashes = {}
    for name in ("a/x.bacpac", "b/x.bacpac", "b/y.bacpac"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        target = {"type": "postgres", "host": "h", "database": "d", "user": "u", "password": "p"}
        hashes[name] = config_hash(
            Config.from_dict({"source": {"type": "bacpac", "path": str(path)}, "target": target})
        )
    assert hashes["a/x.bacpac"] == hashes["b/x.bacpac"] != hashes["b/y.bacpac"]


def test_differences_that_mean_nothing() -> None:
    assert changed("source.host", "S") == BASE
    assert changed("source.schema", ["dbo"]) == BASE
    one = config_hash(build(migration={"include_tables": ["a", "B"]}, source={"schema": ["x", "y"]}))
    two = config_hash(build(migration={"include_tables": ["b", "A", "a"]}, source={"schema": ["y", "x"]}))
    assert one == two


def test_the_hash_stays_the_same_between_versions() -> None:
    """A run begun by an earlier version can be resumed by this one: change only together with hash._VERSION."""
    assert BASE == "sha256:fa3213e831a640b84b6041c0f8a89236ada699bb05e5245f9a40070753c7e29b"
