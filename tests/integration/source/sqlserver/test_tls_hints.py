"""What a person is told when no encrypted connection comes about: only what can help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mssql_pg_migrate.errors import ConnectionFailed
from mssql_pg_migrate.source.settings import SqlServerSettings
from mssql_pg_migrate.source.sqlserver.connect import connect_source
from mssql_pg_migrate.source.sqlserver.wire_connect import open_client
from mssql_pg_migrate.tds.prelogin import Encryption
from scripted_server import ScriptedServer, make_certificate

READERS = pytest.mark.parametrize("connect", [connect_source, open_client], ids=["driver", "wire"])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))[1]


def refusal(connect: Callable[[SqlServerSettings], Any], server: ScriptedServer, **settings: Any) -> str:
    wanted = {"host": "127.0.0.1", "database": "d", "user": "u", "password": "p", "login_timeout": 10, **settings}
    with server, pytest.raises(ConnectionFailed) as caught:
        connect(SqlServerSettings(port=server.port, trust_server_cert=True, **wanted))
    assert not caught.value.retryable
    assert caught.value.side == "source"
    return str(caught.value)


@READERS
@pytest.mark.parametrize("encrypt", [True, False])
def test_a_server_with_old_tls_only(connect: Any, certificate: Path, encrypt: bool) -> None:
    server = ScriptedServer(encryption=Encryption.ON, certificate=certificate, old_tls=True)
    text = refusal(connect, server, encrypt=encrypt)
    assert "No value of source.encrypt changes that" in text
    assert "TLS 1.2" in text
    assert "trust_server_cert" not in text


@READERS
def test_strict_checks_the_certificate_in_any_case(connect: Any, certificate: Path) -> None:
    text = refusal(connect, ScriptedServer(strict=True, certificate=certificate), encrypt="strict")
    assert "strict always checks the certificate" in text
    assert "source.encrypt: true with source.trust_server_cert: true" in text


@READERS
def test_strict_with_a_server_that_is_too_old_for_it(connect: Any, certificate: Path) -> None:
    text = refusal(connect, ScriptedServer(encryption=Encryption.ON, certificate=certificate), encrypt="strict")
    assert "2022" in text
    assert "Set source.encrypt: true" in text


@READERS
def test_encryption_with_a_server_that_has_none(connect: Any) -> None:
    assert "source.encrypt: false" in refusal(connect, ScriptedServer(), encrypt=True)
