"""The questions of ``init``, answered by keystrokes; no server runs, so every connection fails for real."""

from __future__ import annotations

import os
import pty
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from bcp_rows import Column
from mssql_pg_migrate.config import config_from_dict
from mssql_pg_migrate.errors import Cancelled, ConfigError, IoError
from mssql_pg_migrate.wizard import ask, run_wizard
from mssql_pg_migrate.wizard.answers import Answers, Variable, plain
from mssql_pg_migrate.wizard.render import render
from packages import Table, write_package

ENTER, DOWN, UP, CLEAR, INTERRUPT = "\r", "\x1b[B", "\x1b[A", "\x15", "\x03"


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def typed(*answers: str) -> str:
    """Each answer replaces the default and is confirmed; an empty one takes the default."""
    return "".join((CLEAR + answer if answer else "") + ENTER for answer in answers)


def interview(keys: str, *, advanced: bool = False, environment: dict[str, str] | None = None) -> Answers:
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        pipe.send_text(keys)
        return ask(environment or {}, advanced=advanced)


def source_keys(port: int) -> str:
    return typed("127.0.0.1", str(port), "Sales DB", "sa", "geheim")


def target_keys(port: int) -> str:
    return typed("127.0.0.1", str(port), "warehouse", "loader", "secret2")


SKIP = DOWN * 2 + ENTER  # "Go on without a connection"


def test_without_servers_the_answers_still_make_a_configuration(closed_port):
    keys = (
        source_keys(closed_port)
        + SKIP
        + typed("dbo")  # schemas
        + ENTER  # all tables
        + target_keys(closed_port)
        + SKIP
        + typed("sales")  # target schema
        + DOWN * 2
        + ENTER  # upsert
    )
    answers = interview(keys)
    assert answers.source == {
        "type": "mssql", "host": "127.0.0.1", "port": closed_port, "database": "Sales DB", "user": "sa",
        "password": Variable("MSSQL_PASSWORD"), "schema": "dbo",
    }  # fmt: skip
    assert answers.target["schema"] == "sales"
    assert answers.migration == {"target_mode": "upsert"}
    assert answers.secrets == {"MSSQL_PASSWORD": "geheim", "POSTGRES_PASSWORD": "secret2"}
    data = {name: plain(answers.section(name)) for name in ("source", "target", "migration")}
    config = config_from_dict(data, environment=answers.secrets)
    assert config.source.settings().password == "geheim"


def test_wrong_answers_can_be_corrected_and_old_ones_are_kept(closed_port):
    change = ENTER  # "Change the answers" comes first
    keys = (
        source_keys(closed_port)
        + change
        + typed("", "", "Other", "", "geheim3")
        + SKIP
        + typed("Sales, HR")
        + DOWN
        + ENTER  # patterns
        + typed("Order*, Customer?", "*_old")
        + target_keys(closed_port)
        + SKIP
        + ENTER  # drop_recreate
    )
    answers = interview(keys)
    assert (answers.source["database"], answers.source["user"]) == ("Other", "sa")
    assert answers.source["schema"] == ["Sales", "HR"]
    assert "schema" not in answers.target
    assert answers.migration["include_tables"] == ["Order*", "Customer?"]
    assert answers.migration["exclude_tables"] == ["*_old"]
    assert answers.secrets["MSSQL_PASSWORD"] == "geheim3"


def test_a_package_is_named_by_its_path(tmp_path, closed_port):
    """Where a host is asked for: its schemas are offered without a server, and the file is complete with it."""
    path = write_package(tmp_path / "shop.bacpac", [Table("T", [Column("int", name="a")], [[[1]]])])
    keys = typed(str(path)) + ENTER + target_keys(closed_port) + SKIP + typed("public") + ENTER
    answers = interview(keys)
    assert answers.source == {"type": "bacpac", "path": str(path), "schema": "dbo"}
    text = render(answers)
    assert "# The package to read." in text
    assert "trust_server_cert" not in text
    missing = interview(typed(f"{path}x.dacpac") + "\x7f" * 8 + ENTER + keys[len(typed(str(path))) :])
    assert missing.source == answers.source


def test_a_value_the_configuration_refuses_is_asked_again(closed_port):
    keys = (
        typed("localhost:1433")  # refused: a host alone
        + typed("127.0.0.1", "99999")  # refused: no port
        + typed(str(closed_port), "db", "sa", "x")
        + DOWN * 3
        + ENTER  # give up
    )
    with pytest.raises(Cancelled, match="nothing was written"):
        interview(keys)


def test_a_password_of_the_environment_is_not_asked_for(closed_port):
    keys = typed("127.0.0.1", str(closed_port), "db", "sa") + "y" + DOWN * 3 + ENTER
    with pytest.raises(Cancelled):
        interview(keys, environment={"MSSQL_PASSWORD": "there"})


def test_advanced_questions(closed_port):
    keys = (
        typed("127.0.0.1", str(closed_port), "db")
        + ENTER  # SQL login
        + typed("sa", "SRC_PW", "geheim")
        + DOWN * 2
        + ENTER  # encrypt: strict
        + "n"  # trust_server_cert
        + DOWN
        + ENTER  # isolation: snapshot
        + ENTER  # reader: auto
        + SKIP
        + typed("dbo")
        + ENTER  # all tables
        + typed("127.0.0.1", str(closed_port), "pg", "loader", "", "x")
        + ENTER  # ssl_mode: require
        + SKIP
        + typed("")  # public
        + ENTER  # drop_recreate
        + "yyyn"  # indexes, foreign keys, checks, views
        + DOWN
        + ENTER  # identifier_case: lower
        + ENTER * 2  # collation, on_nul
        + "n"  # unlogged
        + typed("6", "20000", "", "", "50", "", "", "", "", "", "")
    )
    answers = interview(keys, advanced=True)
    assert answers.source["password"] == Variable("SRC_PW")
    assert (answers.source["encrypt"], answers.source["isolation"]) == ("strict", "snapshot")
    assert "reader" not in answers.source
    assert answers.migration == {
        "target_mode": "drop_recreate", "identifier_case": "lower", "workers": 6, "chunk_size": 20_000,
        "memory_budget_percent": 50,
    }  # fmt: skip


def test_ctrl_c_stops_at_once():
    with pytest.raises(KeyboardInterrupt):
        interview(typed("127.0.0.1") + INTERRUPT)


def test_without_a_terminal_it_says_how_to_do_without(tmp_path):
    code = "import sys; from pathlib import Path; from mssql_pg_migrate.wizard import run_wizard\n"
    code += "from mssql_pg_migrate.errors import ConfigError\n"
    code += "try:\n    run_wizard(Path(sys.argv[1]))\nexcept ConfigError as error:\n    print(error); sys.exit(1)\n"
    path = tmp_path / "config.yaml"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "needs a terminal" in done.stdout
    assert "password: ${MSSQL_PASSWORD}" in done.stdout
    assert not path.exists()


@pytest.mark.usefixtures("on_a_terminal")
def test_places_that_cannot_be_written_are_refused_before_the_first_question(tmp_path):
    with pytest.raises(IoError, match="no folder"):
        run_wizard(tmp_path / "absent" / "config.yaml")
    with pytest.raises(IoError, match="is a directory"):
        run_wizard(tmp_path)


@pytest.mark.usefixtures("on_a_terminal")
@pytest.mark.parametrize("keys", [ENTER, "n", INTERRUPT])
def test_an_existing_file_is_left_alone_unless_confirmed(tmp_path, keys):
    path = tmp_path / "config.yaml"
    path.write_text("mine")
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        pipe.send_text(keys)
        with pytest.raises(Cancelled, match="nothing was written"):
            run_wizard(path)
    assert path.read_text() == "mine"


@pytest.fixture
def on_a_terminal(monkeypatch):
    for name in ("stdin", "stdout"):
        monkeypatch.setattr(getattr(sys, name), "isatty", lambda: True, raising=False)


@pytest.mark.usefixtures("on_a_terminal")
def test_a_missing_package_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "questionary", None)
    with pytest.raises(ConfigError, match="questionary, which is not installed"):
        run_wizard(tmp_path / "config.yaml")


def test_on_a_real_terminal(tmp_path, closed_port):
    """The whole command in a pseudo-terminal: questions appear, the file is written, no password is echoed."""
    path = tmp_path / "config.yaml"
    code = f"from pathlib import Path; from mssql_pg_migrate.wizard import run_wizard; run_wizard(Path({str(path)!r}))"
    dialog = [
        ("Host", "127.0.0.1"), ("Port", str(closed_port)), ("Database", "db"), ("User", "sa"), ("Password", "geheim"),
        ("What now?", None), ("Schemas", "dbo"), ("Which tables?", ""),
        ("Host", "127.0.0.1"), ("Port", str(closed_port)), ("Database", "pg"), ("User", "loader"),
        ("Password", "secret2"), ("What now?", None), ("Schema for", "public"), ("Target mode", ""),
    ]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if not key.endswith("_PASSWORD")}
    master, worker = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=worker, stdout=worker, stderr=worker, env={**environment, "TERM": "xterm"}
    )
    os.close(worker)
    shown = ""
    try:
        for question, answer in dialog:
            shown += _read_until(master, question)
            os.write(master, (SKIP if answer is None else (CLEAR + answer if answer else "") + ENTER).encode())
        shown += _read_until(master, "changes nothing")
        assert process.wait(20) == 0, shown
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(master)
    assert "drop_recreate: make the tables new" in shown
    assert "export MSSQL_PASSWORD=..." in shown
    assert "geheim" not in shown
    assert "secret2" not in shown
    assert Path(path).stat().st_mode & 0o077 == 0


def _read_until(master: int, words: str) -> str:
    """What the program shows until these words and the prompt behind them are there."""
    text = ""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        ready, _, _ = select.select([master], [], [], 0.05)
        if not ready:
            if words in text:
                return text
            continue
        try:
            data = os.read(master, 65536)
        except OSError:  # the program has ended
            break
        if b"\x1b[6n" in data:  # prompt_toolkit asks where the cursor is
            os.write(master, b"\x1b[1;1R")
        text += data.decode(errors="replace")
    assert words in text, f"{words!r} did not appear in {text!r}"
    return text
