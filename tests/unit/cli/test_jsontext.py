"""One-line JSON: exact for parsers, still valid after a shell has taken its backslashes."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssql_pg_migrate.cli.jsontext import one_line

AWKWARD = 'say "hi" \\ C:\\temp\\new \n\r\t\b\f / \x00 \x1f é 漢字 😀 \u2028 \x85'

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values)
def test_a_parser_sees_the_value(value: Any) -> None:
    text = one_line(value)
    assert len(text.splitlines()) == 1
    assert json.loads(text) == json.loads(text.encode("utf-8").decode("utf-8"))
    if "\\ud" not in json.dumps(value):
        assert json.loads(text) == value


@given(st.text())
def test_only_long_escapes(text: str) -> None:
    line = one_line(text)
    assert line.count("\\") == line.count("\\u")


def test_what_json_does_not_have() -> None:
    assert one_line([float("nan"), float("inf"), "\ud800"]) == '[null, null, "?"]'


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("echo", ["echo", "echo -e"])
def test_it_survives_read_and_echo(echo: str) -> None:
    line = one_line({"table": AWKWARD, "rows_transferred": 1})
    script = f'while read line; do {echo} "$line"; done'
    done = subprocess.run(["bash", "-c", script], input=f"{line}\n", capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["rows_transferred"] == 1


def test_text_that_is_not_ascii_stays_readable() -> None:
    assert one_line("Größe 漢字") == '"Größe 漢字"'
