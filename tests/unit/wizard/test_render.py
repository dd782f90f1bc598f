"""The configuration the wizard writes: it loads, means what was answered, and holds no password."""

from __future__ import annotations

import fnmatch
import re
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mssql_pg_migrate.config import Config, config_from_dict
from mssql_pg_migrate.config.document import parse
from mssql_pg_migrate.errors import IoError
from mssql_pg_migrate.source.selection import select_tables
from mssql_pg_migrate.source.source import SourceTable
from mssql_pg_migrate.wizard import write_config
from mssql_pg_migrate.wizard.answers import Answers, Variable, build, problem_with, table_patterns
from mssql_pg_migrate.wizard.render import render, scalar

ENVIRONMENT = {"MSSQL_PASSWORD": "s3cret: #1", "POSTGRES_PASSWORD": "pa$$ ${word}"}
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)


def answers(**migration) -> Answers:
    return Answers(
        source={
            "type": "mssql", "host": "mssql.example.com", "port": 1433, "database": "Source DB", "user": "sa",
            "password": Variable("MSSQL_PASSWORD"), "schema": "dbo",
        },
        target={
            "type": "postgres", "host": "10.0.0.7", "port": 5432, "database": "target_db", "user": "postgres",
            "password": Variable("POSTGRES_PASSWORD"), "schema": "public",
        },
        migration={"target_mode": "upsert", **migration},
        secrets=dict(ENVIRONMENT),
    )  # fmt: skip


def test_the_file_loads_and_means_what_was_answered(tmp_path):
    path = tmp_path / "config.yaml"
    given_answers = answers(include_tables=["Sales*", "dbo.Orders"], workers=3, create_views=True)
    write_config(path, given_answers)
    config = Config.load(path, environment=ENVIRONMENT)
    assert config.source.password.get_secret_value() == ENVIRONMENT["MSSQL_PASSWORD"]
    assert config.target.password.get_secret_value() == ENVIRONMENT["POSTGRES_PASSWORD"]
    assert (config.source.database, config.target.host, config.migration.workers) == ("Source DB", "10.0.0.7", 3)
    assert config.migration.include_tables == ("Sales*", "dbo.Orders")
    assert config.hash == build(given_answers, {}).hash


def test_no_password_is_written_and_only_the_owner_may_read(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("old")
    path.chmod(0o644)
    write_config(path, answers())
    text = path.read_text(encoding="utf-8")
    for secret in ENVIRONMENT.values():
        assert secret not in text
    assert "${MSSQL_PASSWORD}" in text
    assert "export POSTGRES_PASSWORD=..." in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_answers_show_no_secret():
    assert "s3cret" not in repr(answers())


def test_every_commented_key_is_valid_when_uncommented():
    """What the file offers as a default or example is a value the configuration takes."""
    text = re.sub(r"^  #(?=\w+: )", "  ", render(answers()), flags=re.MULTILINE)
    example = "ssl_root_cert: /etc/ssl/certs/company-ca.pem"
    assert example in text
    text = text.replace(example, "")
    data = parse(text, file="x", suffix=".yaml").data
    config = config_from_dict(data, environment=ENVIRONMENT)
    assert config.migration.workers is None
    assert config.migration.exclude_tables == ("*_archive", "temp_*")
    assert config.target.ssl_mode == "require"


@settings(deadline=None)
@given(TEXT)
def test_any_text_survives_as_a_scalar(text):
    assert parse(f"key: {scalar(text)}\n", file="x", suffix=".yaml").data == {"key": text}


@settings(deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=5, unique=True), st.booleans())
def test_picked_tables_are_matched_by_their_patterns(names, several):
    tables = [SourceTable("dbo", name) for name in names]
    others = [SourceTable("other", name) for name in names] if several else []
    schemas = ["dbo", "other"] if several else ["dbo"]
    picked = tables[: len(tables) // 2 + 1]
    patterns = table_patterns([(table.schema, table.name) for table in picked], schemas)
    data = parse(render(answers(include_tables=patterns)), file="x", suffix=".yaml").data
    loaded = config_from_dict(data, environment=ENVIRONMENT).migration.include_tables
    chosen = select_tables([*tables, *others], loaded)
    assert set(picked) <= set(chosen)
    folded = {table.name.casefold() for table in picked}
    for table in chosen:  # SQL Server's names differ by more than case, and dots divide schema and table
        assert table.name.casefold() in folded or any("." in name for name in names)
        assert table.schema == "dbo" or any("." in name for name in names)


def test_glob_characters_of_a_name_are_literal():
    (pattern,) = table_patterns([("dbo", "a[b]*?")], ["dbo"])
    assert fnmatch.fnmatchcase("a[b]*?", pattern)
    assert not fnmatch.fnmatchcase("ab", pattern)
    assert table_patterns([("dbo", "${x}")], ["dbo"]) == ["$${x}"]


@pytest.mark.parametrize(
    ("section", "key", "value", "reason"),
    [
        ("source", "port", "70000", "must be at most 65535, not '70000'"),
        ("source", "host", "tcp:server", "must be a host name alone, without 'tcp:'"),
        ("source", "database", "", "must not be empty"),
        ("target", "user", "", "must not be empty"),
        ("migration", "workers", "many", "must be a whole number, not 'many'"),
        ("migration", "workers", "auto", None),
        ("migration", "chunk_size", "5000", None),
        ("source", "host", "server\\instance", None),
    ],
)
def test_answers_are_checked_by_the_configuration_itself(section, key, value, reason):
    assert problem_with(section, key, value, {}) == reason


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(IoError, match="cannot be written"):
        write_config(tmp_path / "absent" / "config.yaml", answers())
