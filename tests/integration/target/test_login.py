"""Connections PostgreSQL refuses, classified by SQLSTATE: in English, and from a server that speaks German."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from mssql_pg_migrate.demo.embedded_pg import EmbeddedPostgres
from mssql_pg_migrate.errors import ConnectionFailed, IoError
from mssql_pg_migrate.target.connect import TargetSettings, connect_target
from servers import PgServer


@pytest.fixture(scope="module")
def german() -> Iterator[EmbeddedPostgres]:
    """A server of the system's packages, which have translations; the locale is made for it."""
    if shutil.which("localedef") is None:
        pytest.skip("needs localedef")
    # Not in pytest's folders: the server may be another user's, and pytest closes them to others whenever it starts.
    with tempfile.TemporaryDirectory(prefix="mpm-locales-") as folder:
        yield from _german(Path(folder))


def _german(locales: Path) -> Iterator[EmbeddedPostgres]:
    done = subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", str(locales / "de_DE.UTF-8")], check=False)
    if done.returncode != 0:
        pytest.skip("needs the definitions of locales")
    locales.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCPATH", str(locales))
        try:
            server = EmbeddedPostgres(kind="path", settings={"lc_messages": "de_DE.UTF-8", "max_connections": "8"})
        except IoError as error:
            pytest.skip(str(error))
        with server:
            with psycopg.connect(server.url(), autocommit=True) as connection:
                try:
                    connection.execute("SELECT * FROM nowhere")
                except psycopg.errors.UndefinedTable as error:
                    if "existiert nicht" not in str(error):
                        pytest.skip("the server's messages are not translated")
                connection.execute("CREATE ROLE closed LOGIN PASSWORD 'pw'; CREATE ROLE off NOLOGIN PASSWORD 'pw'")
                connection.execute("CREATE DATABASE shut")
                connection.execute("REVOKE CONNECT ON DATABASE shut FROM PUBLIC")
                connection.execute("CREATE ROLE single LOGIN PASSWORD 'pw' CONNECTION LIMIT 0")
            yield server


def refusal(settings: TargetSettings) -> ConnectionFailed:
    with pytest.raises(ConnectionFailed) as caught:
        connect_target(settings)
    assert settings.password not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("change", "code", "hint", "retryable"),
    [
        ({"password": "falsch"}, "28P01", "check target.user and target.password", False),
        ({"user": "niemand"}, "28P01", "check target.user and target.password", False),
        ({"database": "nirgends"}, "3D000", "correct target.database", False),
        ({"user": "off", "password": "pw"}, "28000", "does not admit this user", False),
        ({"user": "closed", "password": "pw", "database": "shut"}, "42501", "grant CONNECT", False),
        ({"user": "single", "password": "pw"}, "53300", "lower max_pg_connections", True),
    ],
)
def test_a_server_of_another_language(
    change: dict[str, str], code: str, hint: str, retryable: bool, german: EmbeddedPostgres
) -> None:
    error = refusal(replace(german.settings(), **change))  # type: ignore[arg-type]
    assert (error.code, error.retryable) == (code, retryable), error
    assert hint in str(error)
    assert "target.port" not in str(error)


def test_a_server_that_says_it_in_english(pg: PgServer) -> None:
    settings = TargetSettings(pg.host, pg.port, pg.admin_database, pg.user, "wrong-password")
    error = refusal(settings)
    assert (error.code, error.retryable) == ("28P01", False)
    error = refusal(replace(settings, password=pg.password, database="nowhere"))
    assert (error.code, error.retryable) == ("3D000", False)


def test_a_server_that_is_not_there(pg: PgServer) -> None:
    error = refusal(TargetSettings(pg.host, 1, pg.admin_database, pg.user, "pw-of-nobody"))
    assert (error.code, error.retryable) == (None, True)
    assert "check target.host and target.port" in str(error)
