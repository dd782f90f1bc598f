"""${NAME} in values."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssql_pg_migrate.config import Config, InvalidConfig
from mssql_pg_migrate.config.expand import ExpansionError, expand

ENVIRONMENT = {"A": "alpha", "B": "${A}", "EMPTY": "", "YAML": 'p: "#{[&*!|>%@`\\'}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", ""),
        ("plain $A $ {A}", "plain $A $ {A}"),
        ("${A}", "alpha"),
        ("<${A}>${A}<", "<alpha>alpha<"),
        ("${B}", "${A}"),
        ("${EMPTY}", ""),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY-x}", ""),
        ("${NONE:-x}", "x"),
        ("${NONE-x}", "x"),
        ("${NONE:-}", ""),
        ("${A:-x}", "alpha"),
        ("${NONE:-a b:c-d{}e}", "a b:c-d{e}"),
        ("${NONE:-${A}}", "alpha"),
        ("${NONE:-<${NONE2:-${A}}>}", "<alpha>"),
        ("${A:-${NONE}}", "alpha"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("a$${b}c}", "a${b}c}"),
        ("${NONE:-$${x}", "${x"),
        ("${YAML}", 'p: "#{[&*!|>%@`\\'),
    ],
)
def test_forms(text: str, result: str) -> None:
    assert expand(text, ENVIRONMENT) == result


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${NONE}", "environment variable NONE is not set"),
        ("x${A}${none_2}", "environment variable none_2 is not set"),
        ("${NONE:-${NONE2}}", "environment variable NONE2 is not set"),
        ("${A", "not closed"),
        ("${A:-x", "not closed"),
        ("${}", "not followed by a variable name"),
        ("${1A}", "not followed by a variable name"),
        ("${A B}", "a variable is written"),
        ("${A:x}", "a variable is written"),
        ("hunter2${", "not followed by a variable name"),
    ],
)
def test_faults(text: str, said: str) -> None:
    with pytest.raises(ExpansionError, match=said) as caught:
        expand(text, ENVIRONMENT)
    assert "hunter2" not in str(caught.value)


@given(st.text())
def test_any_value_arrives_unchanged(value: str) -> None:
    assert expand("<${V}>", {"V": value}) == f"<{value}>"


@given(st.text().filter(lambda text: "${" not in text))
def test_text_without_variables_is_itself(text: str) -> None:
    assert expand(text, {}) == text


@given(st.text(alphabet="${}A:-x", max_size=20))
def test_no_other_exception(text: str) -> None:
    with contextlib.suppress(ExpansionError):
        expand(text, {"A": "1"})


def test_in_a_file(tmp_path: Path) -> None:
    """Before types are checked, in any value, safe for every character of a password."""
    path = tmp_path / "c.yaml"
    path.write_text(
        "source: {type: mssql, host: 'db-${STAGE:-test}.example', port: '${PORT}', database: d, user: u,"
        " password: '${PW}'}\n"
        "target: {type: postgres, host: t, database: d, user: u, password: 'x-${PW}-y', ssl_mode: '${MODE:-prefer}'}\n"
        "migration: {include_tables: ['${PREFIX}_*'], use_binary_copy: '${BINARY}', workers: '${WORKERS:-auto}'}\n"
    )
    awkward = "a: b #c\n- 'd' \"e\" {f} $g %h ${X} \\"
    environment = {"PORT": "1444", "PW": awkward, "PREFIX": "sales", "BINARY": "false"}
    config = Config.load(path, environment=environment)
    assert (config.source.host, config.source.port) == ("db-test.example", 1444)
    assert config.secrets() == (awkward, f"x-{awkward}-y")
    assert config.target.ssl_mode == "prefer"
    assert config.migration.include_tables == ("sales_*",)
    assert (config.migration.use_binary_copy, config.migration.workers) == (False, None)


def test_unset_variables_name_key_and_variable(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "source: {type: mssql, host: s, port: '${PORT}', database: d, user: u, password: '${PW}'}\n"
        "target: {type: postgres, host: t, database: d, user: u, password: p}\n"
        "migration: {include_tables: [a, '${T}']}\n"
    )
    with pytest.raises(InvalidConfig) as caught:
        Config.load(path, environment={})
    assert [line.strip() for line in str(caught.value).splitlines()[1:]] == [
        f"{path}:1: source.port: environment variable PORT is not set",
        f"{path}:1: source.password: environment variable PW is not set",
        f"{path}:3: migration.include_tables[1]: environment variable T is not set",
    ]


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPM_TEST_PASSWORD", "from-env")
    config = Config.from_dict(
        {
            "source": {"type": "mssql", "host": "s", "database": "d", "user": "u", "password": "${MPM_TEST_PASSWORD}"},
            "target": {"type": "postgres", "host": "t", "database": "d", "user": "u", "password": "p"},
        }
    )
    assert config.secrets()[0] == "from-env"
