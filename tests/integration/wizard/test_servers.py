"""``init`` against servers: it connects as it goes, offers what is there, and its file is one that a run accepts."""

from __future__ import annotations

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from mssql_pg_migrate.config import Config
from mssql_pg_migrate.jobs.run import Migration
from mssql_pg_migrate.wizard import ask, write_config
from mssql_pg_migrate.wizard.answers import Answers, Variable
from mssql_pg_migrate.wizard.probe import look_at_source, look_at_target

ENTER, DOWN, CLEAR, SPACE = "\r", "\x1b[B", "\x15", " "

SCHEMA = """
CREATE TABLE dbo.Orders (Id int NOT NULL PRIMARY KEY, Total decimal(9, 2));
CREATE TABLE dbo.[Odd [name]]*] (Id int NOT NULL PRIMARY KEY);
CREATE TABLE dbo.Old_archive (Id int NOT NULL PRIMARY KEY);
INSERT INTO dbo.Orders VALUES (1, 2.50), (2, 3.00);
GO
CREATE SCHEMA sales;
GO
CREATE TABLE sales.Regions (Id int NOT NULL PRIMARY KEY);
"""


def typed(*answers: object) -> str:
    return "".join((CLEAR + str(answer) if answer != "" else "") + ENTER for answer in answers)


def interview(keys: str, environment: dict[str, str]) -> Answers:
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        pipe.send_text(keys)
        return ask(environment, advanced=False)


@pytest.fixture
def source(source_db):
    source_db.execute_script(SCHEMA)
    return source_db


def source_keys(source, *, trust: bool) -> str:
    """Host to connection; a server whose certificate is not trusted is accepted when that is offered first."""
    server = source.server
    keys = typed(server.host, server.port, source.name, server.user, server.password)
    return keys + (ENTER if trust else "")


def target_keys(target, *, plain: bool) -> str:
    keys = typed(target.host, target.port, target.name, target.user) + (CLEAR + target.password + ENTER)
    return keys + (ENTER if plain else "")


def _trust_is_asked(source) -> bool:
    """Whether the server's certificate is one that this machine does not trust."""
    from mssql_pg_migrate.errors import ConnectionFailed
    from mssql_pg_migrate.source.settings import SqlServerSettings
    from mssql_pg_migrate.source.sqlserver.connect import connect_source

    server = source.server
    settings = SqlServerSettings(server.host, source.name, server.user, server.password, port=server.port)
    try:
        connect_source(settings).close()
    except ConnectionFailed as error:
        return "certificate" in str(error)
    return False


def _tls_is_missing(target) -> bool:
    row = target.execute("SHOW ssl")
    return row == [("off",)]


def test_from_the_first_question_to_a_plan(source, target_db, tmp_path):
    trust, plain = _trust_is_asked(source), _tls_is_missing(target_db)
    keys = (
        source_keys(source, trust=trust)
        + ENTER  # dbo is picked already, sales is not
        + DOWN * 2  # all but those I pick
        + ENTER
        + DOWN  # "Odd ...", then Old_archive
        + SPACE
        + ENTER
        + target_keys(target_db, plain=plain)
        + typed("shop")
        + ENTER  # drop_recreate
    )
    answers = interview(keys, {})
    assert answers.source.get("trust_server_cert", False) is trust
    assert answers.target.get("ssl_mode") == ("prefer" if plain else None)
    assert answers.migration["exclude_tables"] == ["Old_archive"]
    assert answers.source["password"] == Variable("MSSQL_PASSWORD")
    path = tmp_path / "config.yaml"
    write_config(path, answers)
    assert source.server.password not in path.read_text(encoding="utf-8")
    plan = Migration(Config.load(path, environment=answers.secrets)).plan()
    assert sorted(table.display for table in plan.tables) == ["Odd [name]*", "Orders"]
    assert {table.table.schema for table in plan.tables} == {"shop"}


def test_several_schemas_and_picked_tables(source, target_db):
    trust, plain = _trust_is_asked(source), _tls_is_missing(target_db)
    keys = (
        source_keys(source, trust=trust)
        + DOWN
        + SPACE  # sales too
        + ENTER
        + DOWN  # only those I pick
        + ENTER
        + "a"  # all of them
        + ENTER
        + target_keys(target_db, plain=plain)
        + ENTER
    )
    answers = interview(keys, {})
    assert answers.source["schema"] == ["dbo", "sales"]
    assert answers.migration["include_tables"] == [
        "dbo.Odd [[]name]*".replace("*", "[*]"), "dbo.Old_archive", "dbo.Orders", "sales.Regions",
    ]  # fmt: skip
    assert "schema" not in answers.target


def test_a_wrong_password_can_be_corrected(source, target_db):
    trust, plain = _trust_is_asked(source), _tls_is_missing(target_db)
    server = source.server
    wrong = typed(server.host, server.port, source.name, server.user, "wrong")
    accept = ENTER if trust else ""
    keys = (
        wrong
        + accept
        + ENTER  # Change the answers
        + typed("", "", "", "")
        + CLEAR
        + server.password
        + ENTER
        + ENTER  # dbo
        + ENTER  # all tables
        + target_keys(target_db, plain=plain)
        + typed("")
        + ENTER
    )
    answers = interview(keys, {})
    assert answers.secrets["MSSQL_PASSWORD"] == server.password
    assert answers.source["database"] == source.name


def test_what_the_servers_say(source, target_db):
    from mssql_pg_migrate.source.settings import SqlServerSettings
    from mssql_pg_migrate.target.connect import TargetSettings

    server = source.server
    settings = SqlServerSettings(
        server.host, source.name, server.user, server.password, port=server.port, trust_server_cert=True
    )
    look = look_at_source(settings)
    assert look.schemas == {"dbo": 3, "sales": 1}
    assert {table.name: table.rows for table in look.tables}["Orders"] == 2
    target_db.execute("CREATE SCHEMA shop")
    target_db.execute("CREATE TABLE shop.orders (id int)")
    found = look_at_target(
        TargetSettings(target_db.host, target_db.port, target_db.name, target_db.user, target_db.password)
    )
    assert "shop" in found.schemas
    assert found.tables == {"shop": ("orders",)}
    assert found.may_create["shop"]
