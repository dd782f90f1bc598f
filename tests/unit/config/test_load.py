"""Configuration files: what is accepted, and what is said about the rest."""

from __future__ import annotations

import json
import os
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mssql_pg_migrate.config import Config, InvalidConfig
from mssql_pg_migrate.errors import ConfigError, IoError
from mssql_pg_migrate.source.sqlserver.connect import keywords

COMPLETE = """\
source:
  type: mssql
  host: mssql.example.com
  port: 1433
  database: SourceDB
  user: sa
  password: "YourPassword"
  schema: dbo
  encrypt: true
  trust_server_cert: false
target:
  type: postgres
  host: postgres.example.com
  port: 5432
  database: target_db
  user: postgres
  password: "YourPassword"
  schema: public
  ssl_mode: require
migration:
  target_mode: upsert
  workers: 4
  chunk_size: 50000
  parallel_readers: 8
  write_ahead_writers: 4
  memory_budget_percent: 70
  read_ahead_buffers: 8
  large_table_threshold: 5000000
  max_partitions: 12
  min_rows_per_partition: 200000
  max_mssql_connections: 50
  max_pg_connections: 40
  use_binary_copy: true
  use_unlogged_tables: false
  copy_buffer_rows: 10000
  upsert_batch_size: 2000
  upsert_parallel_tasks: 4
  include_tables:
    - "sales_*"
    - "inventory_*"
  exclude_tables:
    - "*_archive"
    - "temp_*"
  create_indexes: true
  create_foreign_keys: true
  create_check_constraints: true
"""

MINIMAL = """\
source: {type: mssql, host: s, database: d, user: u, password: source-secret}
target: {type: postgres, host: t, database: d, user: u, password: target-secret}
"""


def minimal(**sections: dict[str, Any]) -> dict[str, Any]:
    """Plain data of a small valid configuration, changed where asked."""
    data: dict[str, Any] = {
        "source": {"type": "mssql", "host": "s", "database": "d", "user": "u", "password": "source-secret"},
        "target": {"type": "postgres", "host": "t", "database": "d", "user": "u", "password": "target-secret"},
        "migration": {},
    }
    for name, changes in sections.items():
        data[name].update(changes)
    return data


def write(tmp_path: Path, text: str, name: str = "config.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def complaints(data: dict[str, Any] | Path, environment: dict[str, str] | None = None) -> dict[str, str]:
    """Key -> reason of everything that is said about a configuration."""
    build: Callable[..., Config] = Config.load if isinstance(data, Path) else Config.from_dict
    with pytest.raises(InvalidConfig) as caught:
        build(data, environment=environment or {})
    assert caught.value.exit_code == 1
    return {problem.key: problem.reason for problem in caught.value.problems}


def test_the_complete_example_of_the_guide(tmp_path: Path) -> None:
    config = Config.load(write(tmp_path, COMPLETE))
    source, target, migration = config.source, config.target, config.migration
    assert (source.host, source.port, source.database, source.user) == ("mssql.example.com", 1433, "SourceDB", "sa")
    assert source.password is not None
    assert source.password.get_secret_value() == "YourPassword"
    assert (source.schemas, source.encrypt, source.trust_server_cert) == (("dbo",), "true", False)
    assert (target.host, target.port, target.database, target.user) == (
        "postgres.example.com",
        5432,
        "target_db",
        "postgres",
    )
    assert (target.schema_, target.ssl_mode) == ("public", "require")
    assert migration.target_mode == "upsert"
    assert (migration.workers, migration.chunk_size, migration.parallel_readers) == (4, 50_000, 8)
    assert (migration.write_ahead_writers, migration.memory_budget_percent) == (4, 70)
    assert (migration.read_ahead_buffers, migration.large_table_threshold) == (8, 5_000_000)
    assert (migration.max_partitions, migration.min_rows_per_partition) == (12, 200_000)
    assert (migration.max_mssql_connections, migration.max_pg_connections) == (50, 40)
    assert (migration.use_binary_copy, migration.use_unlogged_tables) == (True, False)
    assert (migration.copy_buffer_rows, migration.upsert_batch_size) == (10_000, 2000)
    assert migration.upsert_parallel_tasks == 4
    assert migration.include_tables == ("sales_*", "inventory_*")
    assert migration.exclude_tables == ("*_archive", "temp_*")
    assert migration.create_indexes
    assert migration.create_foreign_keys
    assert migration.create_check_constraints


def test_defaults(tmp_path: Path) -> None:
    config = Config.load(write(tmp_path, MINIMAL))
    assert (config.source.port, config.source.schemas) == (1433, ("dbo",))
    assert (config.source.encrypt, config.source.trust_server_cert) == ("true", False)
    assert (config.target.port, config.target.schema_, config.target.ssl_mode) == (5432, "public", "require")
    migration = config.migration
    assert migration.target_mode == "drop_recreate"
    tuned = ("workers", "chunk_size", "parallel_readers", "write_ahead_writers", "read_ahead_buffers")
    assert all(getattr(migration, name) is None for name in (*tuned, "max_mssql_connections", "max_pg_connections"))
    assert (migration.large_table_threshold, migration.max_partitions) == (5_000_000, 12)
    assert (migration.min_rows_per_partition, migration.memory_budget_percent) == (200_000, 70)
    assert (migration.include_tables, migration.exclude_tables) == ((), ())


def test_json_and_yaml_mean_the_same(tmp_path: Path) -> None:
    data = minimal(migration={"workers": 3, "use_binary_copy": False, "include_tables": ["a", "b"]})
    by_json = Config.load(write(tmp_path, json.dumps(data), "c.json"))
    by_sniffing = Config.load(write(tmp_path, json.dumps(data), "c.conf"))
    by_yaml = Config.load(
        write(tmp_path, MINIMAL + "migration: {workers: 3, use_binary_copy: no, include_tables: [a, b]}")
    )
    assert by_json.migration == by_sniffing.migration == by_yaml.migration
    assert by_json.source == by_yaml.source


@pytest.mark.parametrize(
    ("source", "target"), [("mssql", "postgres"), ("sqlserver", "postgresql"), ("MSSQL", "Postgres")]
)
def test_type_aliases(source: str, target: str) -> None:
    Config.from_dict(minimal(source={"type": source}, target={"type": target}))


def test_wrong_types_are_refused() -> None:
    said = complaints(minimal(source={"type": "oracle"}, target={"type": "mysql"}))
    assert said["source.type"].startswith("must be one of mssql, sqlserver")
    assert said["target.type"].startswith("must be one of postgres, postgresql")


def test_scalars_keep_their_text(tmp_path: Path) -> None:
    """YAML would make numbers, booleans and dates of these."""
    text = """\
source: {type: mssql, host: 10.0.0.1, database: no, user: 1e3, password: 0123}
target: {type: postgres, host: t, database: 2010-01-01, user: null_user, password: 1_000.50, schema: 0x10}
"""
    config = Config.load(write(tmp_path, text))
    assert (config.source.database, config.source.user) == ("no", "1e3")
    assert config.secrets() == ("0123", "1_000.50")
    assert (config.target.database, config.target.schema_) == ("2010-01-01", "0x10")


def test_anchors_and_merge_keys(tmp_path: Path) -> None:
    text = """\
source: &login {type: mssql, host: s, database: d, user: u, password: &pw p1}
target: {<<: *login, type: postgres, host: t, password: *pw}
"""
    config = Config.load(write(tmp_path, text))
    assert (config.target.host, config.target.database, config.secrets()) == ("t", "d", ("p1", "p1"))


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = """\
source:
  type: mssql
  host: h
  prot: 1433
  database: ""
  user: u
  encrypt: maybe
target:
  type: postgres
  host: ${NO_SUCH_VARIABLE}
  port: 99999
  database: d
  user: u
  password: p
migration:
  target_mode: upser
  workers: 0
  hooks: {before_date: SELECT 1}
"""
    path = write(tmp_path, text)
    with pytest.raises(InvalidConfig) as caught:
        Config.load(path, environment={})
    heading, *lines = str(caught.value).splitlines()
    assert heading == "9 problems in the configuration:"
    assert [line.strip() for line in lines] == [
        f"{path}:1: source.password: is required",
        f"{path}:4: source.prot: unknown key; did you mean port?",
        f"{path}:5: source.database: must not be empty",
        f"{path}:7: source.encrypt: must be one of true, false, strict, not 'maybe'",
        f"{path}:10: target.host: environment variable NO_SUCH_VARIABLE is not set",
        f"{path}:11: target.port: must be at most 65535, not '99999'",
        f"{path}:16: migration.target_mode: must be one of drop_recreate, truncate, upsert, not 'upser';"
        " did you mean upsert?",
        f"{path}:17: migration.workers: must be at least 1, not '0'",
        f"{path}:18: migration.hooks.before_date: unknown key; did you mean before_data?",
    ]


@pytest.mark.parametrize(
    ("section", "wrong", "said"),
    [
        ("source", "hots", "unknown key; did you mean host?"),
        ("target", "sslmode", "unknown key; did you mean ssl_mode?"),
        ("target", "ssl-mode", "unknown key; did you mean ssl_mode?"),
        ("migration", "chunksize", "unknown key; did you mean chunk_size?"),
        ("source", "workers", "unknown key here; did you mean migration.workers?"),
        ("target", "trust_server_cert", "unknown key here; did you mean source.trust_server_cert?"),
        ("migration", "zzz", "unknown key; known are target_mode, workers"),
    ],
)
def test_an_unknown_key_names_the_nearest(section: str, wrong: str, said: str) -> None:
    assert complaints(minimal(**{section: {wrong: "x"}}))[f"{section}.{wrong}"].startswith(said)


def test_a_misspelt_section(tmp_path: Path) -> None:
    said = complaints(write(tmp_path, MINIMAL.replace("source:", "sorce:")))
    assert said == {"sorce": "unknown key; did you mean source?"}


def test_a_misspelt_required_key_is_one_mistake() -> None:
    data = minimal()
    data["source"]["pasword"] = data["source"].pop("password")
    assert complaints(data) == {"source.pasword": "unknown key; did you mean password?"}


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("source", "port", "abc", "must be a whole number, not 'abc'"),
        ("source", "port", 0, "must be at least 1, not 0"),
        ("source", "port", 1.5, "must be a whole number, not 1.5"),
        ("source", "host", "", "must not be empty"),
        ("source", "host", "   ", "must be a host name or IP address, without blanks"),
        ("source", "host", "db,1433", "must be a host name alone; set port: 1433"),
        ("source", "host", "tcp:x.database.windows.net,1433", "must be a host name alone; set port: 1433"),
        ("source", "host", "jdbc:sqlserver://x", "must be a host name or IP address, not a URL"),
        ("source", "host", "x;Encrypt=no", "must be a host name or IP address, without blanks"),
        ("source", "database", None, "has no value"),
        ("source", "trust_server_cert", "perhaps", "must be true or false, not 'perhaps'"),
        ("source", "reader", "fast", "must be one of auto, wire, driver, not 'fast'"),
        ("source", "schema", [], "must name at least one schema, or be '*'"),
        ("source", "schema", ["*", "dbo"], "must be either '*' alone or a list of names"),
        (
            "target",
            "ssl_mode",
            "on",
            "must be one of disable, allow, prefer, require, verify-ca, verify-full, not 'on'",
        ),
        ("target", "schema_map", ["a"], "must be a mapping of names to names"),
        ("migration", "memory_budget_percent", 100, "must be at most 95, not 100"),
        ("migration", "workers", "many", "must be a whole number, not 'many'"),
        ("migration", "chunk_size", -5, "must be at least 1, not -5"),
        ("migration", "target_mode", None, "has no value"),
        ("migration", "include_tables", ["a", " "], "holds an empty pattern"),
        ("migration", "on_nul", "drop", "must be one of error, strip, not 'drop'"),
        ("migration", "max_pg_connections", 1, "must be at least 2, not 1"),
    ],
)
def test_a_wrong_value_names_key_and_reason(section: str, key: str, value: Any, said: str) -> None:
    assert complaints(minimal(**{section: {key: value}})) == {f"{section}.{key}": said}


def test_values_that_are_understood() -> None:
    config = Config.from_dict(
        minimal(
            source={"port": "1444", "encrypt": "Strict", "schema": "*", "host": "fe80::1"},
            target={"ssl_mode": "VERIFY-FULL", "host": "/var/run/postgresql"},
            migration={"workers": "auto", "use_binary_copy": "off", "include_tables": "one*", "exclude_tables": None},
        )
    )
    assert (config.source.port, config.source.encrypt, config.source.schemas) == (1444, "strict", None)
    assert config.target.ssl_mode == "verify-full"
    assert (config.migration.workers, config.migration.use_binary_copy) == (None, False)
    assert (config.migration.include_tables, config.migration.exclude_tables) == (("one*",), ())


@pytest.mark.parametrize("value", [True, "true", "yes", "Mandatory"])
def test_encrypt_true(value: Any) -> None:
    assert Config.from_dict(minimal(source={"encrypt": value})).source.settings().encrypt is True


@pytest.mark.parametrize("value", [False, "false", "no", "OPTIONAL"])
def test_encrypt_false(value: Any) -> None:
    assert Config.from_dict(minimal(source={"encrypt": value})).source.settings().encrypt is False


def test_duplicate_keys_are_refused(tmp_path: Path) -> None:
    text = MINIMAL + "migration:\n  workers: 2\n  chunk_size: 1\n  workers: 3\n"
    assert complaints(write(tmp_path, text)) == {"migration.workers": "the key is given twice, first in line 4"}
    text = '{"source": {}, "source": {}}'
    assert complaints(write(tmp_path, text, "c.json"))["source"] == "the key is given twice in the same object"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("source:\n  host: a\n bad: b\n", 3, "not valid YAML"),
        ("source:\n\thost: a\n", 2, "a tab is used for indentation"),
        ("source:\n  host: %a\n", 2, "begins with %"),
        ("source:\n  password: *hunter2\n", 2, "begins with *"),
        ("source:\n  password: !hunter2!x y\n", 2, "begins with !"),
        ("source: a: b\n", 1, "unexpected ':'"),
        ('source:\n  password: "hunter2\\x"\n', 2, "not valid YAML"),
        ("source: {password: [hunter2}\n", 1, "not valid YAML"),
        ("a: 1\n---\nb: 2\n", 2, "only one YAML document"),
    ],
)
def test_yaml_errors_show_the_line_but_no_text(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        Config.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: not valid YAML")
    assert said in message
    assert "hunter2" not in message


def test_a_tagged_value_is_refused_without_showing_it(tmp_path: Path) -> None:
    said = complaints(write(tmp_path, "source:\n  password: !hunter2\n"))
    assert said["source.password"].startswith("YAML tags are not supported")
    assert "hunter2" not in str(said)


def test_json_errors_show_the_line(tmp_path: Path) -> None:
    path = write(tmp_path, '{\n "source": hunter2\n}', "c.json")
    with pytest.raises(ConfigError) as caught:
        Config.load(path)
    assert str(caught.value) == f"{path}:2: not valid JSON: Expecting value"


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "null"])
def test_an_empty_file(tmp_path: Path, text: str) -> None:
    assert "is empty" in complaints(write(tmp_path, text))[""]


@pytest.mark.parametrize("text", ["just words", "- a\n- b\n", "[1]"])
def test_something_else_than_sections(tmp_path: Path, text: str) -> None:
    assert "must consist of the sections" in complaints(write(tmp_path, text))[""]


def test_a_section_that_is_no_mapping() -> None:
    data = minimal()
    data["source"] = "mssql://sa:hunter2@host/db"
    said = complaints(data)
    assert said["source"] == "must be a mapping of keys to values"


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file") as caught:
        Config.load(tmp_path / "absent.yaml")
    assert caught.value.exit_code == 1
    assert caught.value.hint is not None
    with pytest.raises(ConfigError, match="is a directory"):
        Config.load(tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs file permissions that bind")
def test_an_unreadable_file_is_an_io_error(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    path.chmod(0)
    with pytest.raises(IoError):
        Config.load(path)


def test_other_encodings(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    assert Config.load(path).source.host == "s"
    path.write_bytes(MINIMAL.encode("utf-16"))
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        Config.load(path)


def test_files_are_relative_to_the_configuration(tmp_path: Path) -> None:
    write(tmp_path, "CERT", "root.pem")
    write(tmp_path, "SELECT 2", "after.sql")
    text = MINIMAL + "migration: {hooks: {before_data: SELECT 1, after_data: [after.sql, 'VACUUM;']}}"
    text = text.replace("password: target-secret", "password: x, ssl_mode: verify-full, ssl_root_cert: root.pem")
    config = Config.load(write(tmp_path, text))
    assert config.target.settings().ssl_root_cert == str(tmp_path / "root.pem")
    hooks = config.migration.hooks
    assert [hook.text() for hook in hooks.before_data] == ["SELECT 1"]
    assert [hook.text() for hook in hooks.after_data] == ["SELECT 2", "VACUUM;"]
    assert hooks.after_data[0].label == str(tmp_path / "after.sql")


def test_a_home_that_nobody_knows() -> None:
    said = complaints(minimal(target={"ssl_root_cert": "~nosuchuser/ca.pem"}))
    assert said == {"target.ssl_root_cert": "the home directory in ~nosuchuser/ca.pem is not known; write the path out"}


@pytest.mark.parametrize(
    ("sql", "label"),
    [
        ("ALTER ROLE a PASSWORD '${HOOK}'", "ALTER ROLE a PASSWORD '...'"),
        ("SELECT 'it''s', E'\\'${HOOK}', 1", "SELECT '...', E'...', 1"),
        ("DO $x$ BEGIN PERFORM '${HOOK}'; END $x$; ANALYZE", "DO '...'; ANALYZE"),
        ("SELECT $1, '${HOOK}", "SELECT $1, '..."),
    ],
)
def test_a_hook_is_logged_without_its_literals(sql: str, label: str) -> None:
    config = Config.from_dict(minimal(migration={"hooks": {"after_all": sql}}), environment={"HOOK": "hook-secret"})
    (hook,) = config.migration.hooks.after_all
    assert "hook-secret" in hook.text()
    assert hook.label.removesuffix("'") == label.removesuffix("'")


@pytest.mark.skipif(os.name != "posix", reason="bytes of the environment")
def test_variables_that_the_locale_cannot_decode() -> None:
    undecoded = "zo\N{LATIN SMALL LETTER E WITH DIAERESIS}".encode().decode("ascii", "surrogateescape")
    data = minimal(source={"password": "${PW}"})
    password = Config.from_dict(data, environment={"PW": undecoded}).source.password
    assert password is not None
    assert password.get_secret_value() == "zoë"
    with pytest.raises(ConfigError, match=r"source\.password: the environment variable holds bytes that are not UTF-8"):
        Config.from_dict(data, environment={"PW": "a\udcfc"})


def test_files_that_are_not_there() -> None:
    said = complaints(
        minimal(
            target={"ssl_root_cert": "no.pem", "ssl_cert": "no.crt", "ssl_key": "no.key"},
            migration={"hooks": {"after_all": ["SELECT 1", "no.sql"]}},
        )
    )
    assert said == {
        "target.ssl_root_cert": "there is no file no.pem",
        "target.ssl_cert": "there is no file no.crt",
        "target.ssl_key": "there is no file no.key",
        "migration.hooks.after_all": "there is no file no.sql",
    }


def test_client_certificate_needs_its_key(tmp_path: Path) -> None:
    cert = write(tmp_path, "CERT", "c.pem")
    assert complaints(minimal(target={"ssl_cert": str(cert)})) == {
        "target.ssl_cert": "ssl_cert and ssl_key belong together"
    }


class TestLogin:
    """user and password are required unless the kind of login needs none."""

    def test_both_are_required(self) -> None:
        data = minimal()
        del data["source"]["user"], data["source"]["password"], data["target"]["password"]
        assert complaints(data) == {
            "source.user": "is required",
            "source.password": "is required",
            "target.password": "is required",
        }

    def test_empty_passwords_are_allowed(self) -> None:
        assert Config.from_dict(minimal(source={"password": ""}, target={"password": ""})).secrets() == ("", "")

    def test_a_password_without_value_is_not(self) -> None:
        said = complaints(minimal(source={"password": None}, target={"password": None}))
        assert said == {"source.password": "is required", "target.password": "has no value"}

    def test_entra_needs_none(self) -> None:
        data = minimal(source={"authentication": "activedirectorydefault"})
        del data["source"]["user"], data["source"]["password"]
        settings = Config.from_dict(data).source.settings()
        assert (settings.authentication, settings.user, settings.password) == ("ActiveDirectoryDefault", None, None)

    def test_a_token_stands_alone(self) -> None:
        said = complaints(minimal(source={"access_token": "secret-token"}))
        assert said == {"source.access_token": "give either the token or user and password, not both"}
        data = minimal(source={"access_token": "secret-token"})
        del data["source"]["user"], data["source"]["password"]
        config = Config.from_dict(data)
        assert config.source.settings().access_token == "secret-token"
        assert "secret-token" not in repr(config) + repr(config.source.settings())


class TestSecrets:
    """No text that a configuration gives away holds a password."""

    def test_repr_and_dump(self) -> None:
        config = Config.from_dict(minimal())
        texts = (repr(config), str(config), repr(config.source), str(config.model_dump()), config.model_dump_json())
        assert not any("source-secret" in text or "target-secret" in text for text in texts)
        assert "source-secret" not in repr(config.source.settings())
        assert "target-secret" not in repr(config.target.settings())

    def test_pickle_keeps_it(self) -> None:
        config = Config.from_dict(minimal())
        assert pickle.loads(pickle.dumps(config)).secrets() == ("source-secret", "target-secret")

    @pytest.mark.parametrize("value", [["hunter2"], {"hunter2": 1}, True, {"a": "hunter2"}])
    def test_a_password_of_the_wrong_kind(self, value: Any) -> None:
        with pytest.raises(ConfigError) as caught:
            Config.from_dict(minimal(source={"password": value}))
        text = "".join(traceback.format_exception(caught.value))
        assert "source.password: must be text" in text
        assert "hunter2" not in text

    def test_a_password_from_the_environment_in_the_wrong_place(self) -> None:
        environment = {"PW": "-".join(["hunter", "2"])}
        data = minimal(source={"port": "${PW}"}, migration={"target_mode": "x${PW}"})
        with pytest.raises(ConfigError) as caught:
            Config.from_dict(data, environment=environment)
        text = "".join(traceback.format_exception(caught.value))
        assert "source.port: must be a whole number" in text
        assert environment["PW"] not in text

    def test_other_problems_do_not_show_it(self) -> None:
        with pytest.raises(ConfigError) as caught:
            Config.from_dict(minimal(source={"nope": 1}, target={"port": "x"}))
        text = "".join(traceback.format_exception(caught.value))
        assert "source-secret" not in text
        assert "target-secret" not in text

    def test_a_model_made_directly_hides_it_too(self) -> None:
        from pydantic import ValidationError

        data = minimal(source={"nope": "hunter2"})
        with pytest.raises(ValidationError) as caught:
            Config.model_validate(data)
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))


class TestOverrides:
    """--source-schema, --target-schema, --workers."""

    def test_values(self) -> None:
        config = Config.from_dict(minimal(target={"schema_map": {"dbo": "x"}}))
        changed = config.with_overrides(source_schema="sales", target_schema="app", workers=3)
        assert (changed.source.schemas, changed.target.schema_, changed.migration.workers) == (("sales",), "app", 3)
        assert changed.schema_mapping(["sales"]) == {"sales": "app"}
        assert changed.secrets() == config.secrets()
        assert config.migration.workers is None
        assert config.with_overrides(source_schema="a, b").source.schemas == ("a", "b")

    def test_the_file_and_its_hooks_stay(self, tmp_path: Path) -> None:
        write(tmp_path, "SELECT 2", "x.sql")
        config = Config.load(write(tmp_path, MINIMAL + "migration: {hooks: {after_data: x.sql}}"))
        changed = config.with_overrides(workers=2)
        assert (changed.file, changed.migration.hooks) == (config.file, config.migration.hooks)

    def test_wrong_values_name_the_flag(self) -> None:
        config = Config.from_dict(minimal())
        with pytest.raises(ConfigError, match=r"^command line: --workers: must be at least 1, not 0$"):
            config.with_overrides(workers=0)
        with pytest.raises(ConfigError, match="--target-schema: needs a single source schema"):
            config.with_overrides(source_schema="*", target_schema="x")
        with pytest.raises(ConfigError, match="--source-schema: must name at least one schema"):
            config.with_overrides(source_schema=" ")


class TestSchemaMapping:
    """Where the tables of each source schema go."""

    def test_one_schema_goes_to_the_target_schema(self) -> None:
        config = Config.from_dict(minimal(source={"schema": "Sales"}, target={"schema": "app"}))
        assert config.schema_mapping(["Sales"]) == {"Sales": "app"}

    def test_several_keep_their_names(self) -> None:
        config = Config.from_dict(minimal(source={"schema": ["dbo", "Sales"]}))
        assert config.schema_mapping(["dbo", "Sales"]) == {}

    def test_the_map_comes_first(self) -> None:
        config = Config.from_dict(minimal(source={"schema": "*"}, target={"schema_map": {"DBO": "public"}}))
        assert config.schema_mapping(["dbo", "Sales"]) == {"dbo": "public"}


def test_settings_for_both_sides() -> None:
    config = Config.from_dict(
        minimal(
            source={"login_timeout": 5, "isolation": "snapshot", "options": {"ApplicationIntent": "ReadOnly"}},
            target={"connect_timeout": 7},
        )
    )
    source, target = config.source.settings(), config.target.settings()
    assert (source.login_timeout, source.isolation, source.authentication) == (5, "snapshot", None)
    assert source.options == (("ApplicationIntent", "ReadOnly"),)
    assert keywords(source)["ApplicationIntent"] == "ReadOnly"
    assert (target.connect_timeout, target.password) == (7, "target-secret")
