"""Connecting to the source: what the server is told, and what a user is told when it fails."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import mssql_python
import pytest

from mssql_pg_migrate.errors import ConnectionFailed, TransientError
from mssql_pg_migrate.source.settings import SqlServerSettings
from mssql_pg_migrate.source.sqlserver import connect
from mssql_pg_migrate.source.sqlserver.connect import connect_source
from mssql_pg_migrate.source.sqlserver.health import check_health
from mssql_pg_migrate.source.sqlserver.session import SqlServerSession
from mssql_pg_migrate.tds import types as t
from mssql_pg_migrate.tds.buffer import ProtocolError
from mssql_pg_migrate.tds.metadata import ColumnMetadata
from scripted import DONE, ScriptedServer, columns, error, row
from servers import MssqlDatabase
from source_tools import settings_of

ONE = ColumnMetadata(type_id=t.INTN, length=4, name="one")


@pytest.fixture(autouse=True)
def _nothing_was_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scripted server may get the port of an earlier one."""
    monkeypatch.setattr(connect, "_opened", set())


def one(_sql: str) -> Iterator[bytes]:
    yield columns(ONE) + row([ONE], (1,)) + DONE


def test_the_server_sees_who_asks_and_how_it_wants_to_read() -> None:
    with ScriptedServer(one) as server:
        connection = connect_source(server.settings(application_name="Nightly load;x={1}", isolation="snapshot"))
        cursor = connection.cursor()
        cursor.execute("SELECT 1 AS one")
        assert [tuple(found) for found in cursor.fetchall()] == [(1,)]
        connection.close()
        heard = server.heard
    assert heard[0] == "LOGIN u Nightly load;x={1} db"
    assert heard[2].startswith("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; ")
    assert heard[2].endswith("; SET LANGUAGE us_english")


@pytest.mark.parametrize("password", ["p;{x}=}y", "{", "}", " spaced ", "'\"", "Пароль", "a=b;PWD=c"])
def test_any_password_reaches_the_server_as_it_is(password: str) -> None:
    with ScriptedServer(one) as server:
        settings = replace(server.settings(), password=password, user="o'br}ie;n")
        connect_source(settings).close()
        heard = server.heard
    assert heard[0] == "LOGIN o'br}ie;n mssql-pg-migrate db"
    assert heard[1] == f"PASSWORD {password}"


@pytest.mark.parametrize(
    ("tokens", "says", "retryable"),
    [
        (
            error(4060, 'Cannot open database "db" requested by the login. The login failed.', 11),
            ["'db'", "source.database"],
            False,
        ),
        (
            error(40613, "Database 'db' on server 's' is not currently available.  Please retry later.", 17),
            ["not currently available"],
            True,
        ),
        (
            error(
                40615,
                "Cannot open server 'shop' requested by the login. Client with IP address '203.0.113.7' is not allowed "
                "to access the server.",
                14,
            ),
            ["203.0.113.7", "firewall"],
            False,
        ),
    ],
    ids=["4060", "40613", "40615"],
)
def test_a_refused_login(tokens: bytes, says: list[str], retryable: bool) -> None:
    with ScriptedServer(one, refuse_login=tokens) as server, pytest.raises(ConnectionFailed) as caught:
        connect_source(replace(server.settings(), password="Very-Secret", login_timeout=5))
    assert all(text in str(caught.value) for text in says)
    assert caught.value.retryable is retryable
    assert caught.value.side == "source"
    assert "Very-Secret" not in str(caught.value)


def test_a_wrong_password() -> None:
    refusal = error(18456, "Login failed for user 'u'.", 14)
    with ScriptedServer(one, refuse_login=refusal, always=True) as server, pytest.raises(ConnectionFailed) as caught:
        connect_source(server.settings(login_timeout=5))
    assert "Login failed for user 'u'" in str(caught.value)
    assert "source.password" in str(caught.value)
    assert not caught.value.retryable


@pytest.mark.parametrize(("database_id", "says"), [(None, "no database 'db'"), (5, "may not use database 'db'")])
def test_a_missing_database_is_told_from_a_wrong_password(database_id: int | None, says: str) -> None:
    """SQL Server answers with 4060 and 18456, the driver shows 18456; the login works without a database."""

    def answer(_sql: str) -> Iterator[bytes]:
        yield columns(ONE) + row([ONE], (database_id,)) + DONE

    refusal = error(4060, 'Cannot open database "db" requested by the login. The login failed.', 11)
    refusal += error(18456, "Login failed for user 'u'.", 14)
    with ScriptedServer(answer, refuse_login=refusal) as server, pytest.raises(ConnectionFailed) as caught:
        connect_source(server.settings(login_timeout=5))
    assert says in str(caught.value)
    assert "source.database" in str(caught.value)
    assert not caught.value.retryable


def test_a_server_without_tls_is_refused_when_encryption_is_asked_for() -> None:
    with ScriptedServer(one) as server, pytest.raises(ConnectionFailed, match=r"source\.encrypt"):
        connect_source(replace(server.settings(), encrypt=True, login_timeout=5))


@pytest.mark.parametrize("reader", ["driver", "auto"])
def test_a_question_under_way_is_ended_when_a_run_is_stopped_at_once(reader: Literal["driver", "auto"]) -> None:
    """Closing the connection alone would wait for the answer, and under a call of the driver ends the process."""

    def slowly(_sql: str) -> Iterator[bytes]:
        for _ in range(100):
            time.sleep(0.1)
            yield b""
        yield DONE

    with ScriptedServer(slowly) as server:

        def ask(control: SqlServerSession) -> None:
            cursor = control.cursor()
            with contextlib.suppress(mssql_python.Error, OSError, ProtocolError):  # cancelled
                cursor.execute("SELECT 1 AS one")
            control.close()

        for attempt in range(30):
            control = SqlServerSession(server.settings(reader=reader))
            asking = threading.Thread(target=ask, args=(control,))
            asking.start()
            time.sleep(0.1 + attempt % 5 * 0.01)
            start = time.monotonic()
            control.cancel()
            asking.join()
            assert time.monotonic() - start < 5
            with pytest.raises(TransientError, match="cancelled"):
                control.cursor()
        if reader == "driver":
            assert server.heard.count("ATTENTION") == 30


def test_a_closed_port_is_told_at_once() -> None:
    with socket.socket() as bound:  # taken, but nothing listens
        bound.bind(("127.0.0.1", 0))
        settings = SqlServerSettings(
            host="127.0.0.1", port=bound.getsockname()[1], database="db", user="u", password="p"
        )
        with pytest.raises(ConnectionFailed, match="nothing listens there"):
            connect_source(replace(settings, login_timeout=30))


def test_an_unknown_host_is_told_by_name() -> None:
    with ScriptedServer(one) as server:
        settings = replace(server.settings(), host="no-such-host.invalid")
        with pytest.raises(ConnectionFailed, match=r"no-such-host\.invalid.*does not resolve"):
            connect_source(settings)


# --- against the test server -----------------------------------------------------------------------------------------


def test_a_wrong_password_and_a_missing_database(source_db: MssqlDatabase) -> None:
    settings = settings_of(source_db)
    with pytest.raises(ConnectionFailed, match=r"source\.password") as caught:
        connect_source(replace(settings, password="Not-the-p4ssword"))
    assert "Not-the-p4ssword" not in str(caught.value)
    with pytest.raises(ConnectionFailed, match="'NoSuchDatabase'") as caught:
        connect_source(replace(settings, database="NoSuchDatabase"))
    assert not caught.value.retryable


def test_a_database_that_was_open_is_waited_for(source_db: MssqlDatabase) -> None:
    """A server that recovers its databases after a restart refuses them as it refuses a misspelled one."""
    other = source_db.server.new_database()
    settings = settings_of(other)
    connect_source(settings).close()
    other.drop()
    with pytest.raises(ConnectionFailed, match=other.name) as caught:
        connect_source(settings)
    assert caught.value.retryable


@pytest.mark.sandbox_only
def test_an_untrusted_certificate_is_refused_unless_told_otherwise(source_db: MssqlDatabase) -> None:
    settings = settings_of(source_db, encrypt=True, trust_server_cert=False, login_timeout=10)
    with pytest.raises(ConnectionFailed, match=r"certificate.*not trusted") as caught:
        connect_source(settings)
    assert "trust_server_cert" in str(caught.value)
    assert not caught.value.retryable
    connection = connect_source(replace(settings, trust_server_cert=True))
    try:
        assert str(check_health(connection, settings).tls).startswith("in use")
    finally:
        connection.close()
