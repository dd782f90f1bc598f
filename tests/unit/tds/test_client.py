"""The TDS client: encryption modes, logins, redirections, statements and lost connections."""

from __future__ import annotations

import ssl
import struct
from pathlib import Path

import pytest

from mssql_pg_migrate.tds import types as t
from mssql_pg_migrate.tds.browser import parse_response
from mssql_pg_migrate.tds.buffer import ProtocolError
from mssql_pg_migrate.tds.client import Client, ClientSettings, EncryptionFailure, ServerFailure
from mssql_pg_migrate.tds.login7 import FEATURE_FEDAUTH, FEATURE_UTF8, FEATURE_VECTOR
from mssql_pg_migrate.tds.metadata import ColumnMetadata, encode_colmetadata
from mssql_pg_migrate.tds.packets import PacketType
from mssql_pg_migrate.tds.prelogin import THREAD_ID, Encryption
from mssql_pg_migrate.tds.tokens import ENV_ROUTING, EnvChange
from scripted_server import OK, ScriptedServer, Session, acknowledgement, error, make_certificate

INT = ColumnMetadata(type_id=t.INT4, length=4, name="n")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


def settings(server: ScriptedServer, **changes: object) -> ClientSettings:
    """Plain settings for a server, with changes."""
    values: dict[str, object] = {
        "host": "localhost",
        "port": server.port,
        "user": "sa",
        "password": "secret",
        "database": "db",
        "encrypt": False,
        "login_timeout": 5.0,
        "read_timeout": 5.0,
    }
    return ClientSettings(**{**values, **changes})  # type: ignore[arg-type]


def test_a_plain_login() -> None:
    """User, database, program and the packet size arrive; what the server changes is taken over."""
    with ScriptedServer(packet_size=8000) as server:
        client = Client(settings(server, application_name="the program", read_only=True))
        login = server.sessions[0].login
        client.close()
    assert login is not None
    assert (login.user, login.password, login.database, login.app_name) == ("sa", "secret", "db", "the program")
    prelogin = server.sessions[0].prelogin
    assert prelogin is not None
    assert len(prelogin.options[THREAD_ID]) == 4  # [MS-TDS] 2.2.6.5: a ULONG; there are servers that read four bytes
    assert login.packet_size == 32767
    assert login.read_only
    assert login.features == {FEATURE_UTF8: b"\x01", FEATURE_VECTOR: b"\x01"}
    assert client.packet_size == 8000
    assert client.server_version == (16, 0, 1000)
    assert not client.encrypted


def test_the_settings_show_no_secret() -> None:
    """Neither password nor token is in the repr."""
    text = repr(ClientSettings("h", password="pw-hidden", access_token="tk-hidden"))
    assert "hidden" not in text


@pytest.mark.parametrize(
    ("encrypt", "offered", "session_encrypted", "packet_size"),
    [
        (True, Encryption.ON, True, 16383),
        (True, Encryption.REQUIRED, True, 16383),
        (False, Encryption.OFF, False, 32767),
        (False, Encryption.REQUIRED, True, 16383),
    ],
)
def test_encryption_modes(
    certificate: tuple[Path, Path], encrypt: bool, offered: Encryption, session_encrypted: bool, packet_size: int
) -> None:
    """All of the session, or the login alone."""
    with ScriptedServer(encryption=offered, certificate=certificate[1]) as server:
        client = Client(settings(server, encrypt=encrypt, ca_file=str(certificate[0])))
        client.execute("SET NOCOUNT OFF")
        client.close()
        session = server.sessions[0]
    assert client.encrypted is session_encrypted is session.encrypted
    assert session.login is not None
    assert session.login.packet_size == packet_size
    assert server.batches == ["SET NOCOUNT OFF"]


def test_encryption_that_the_server_does_not_have() -> None:
    """encrypt: true insists; encrypt: false goes on without any."""
    with ScriptedServer() as server:
        with pytest.raises(EncryptionFailure, match="does not support encryption"):
            Client(settings(server, encrypt=True))
        Client(settings(server)).close()


def test_certificates_are_checked(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    """An unknown authority and another name are refused, trust_server_cert takes both."""
    _, other = make_certificate(tmp_path, "elsewhere.example")
    with ScriptedServer(encryption=Encryption.ON, certificate=certificate[1]) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            Client(settings(server, encrypt=True))
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            Client(
                settings(server, encrypt=True, ca_file=str(certificate[0]), host_name_in_certificate="other.example")
            )
        Client(settings(server, encrypt=True, ca_file=str(certificate[0]), host="127.0.0.1")).close()
        Client(settings(server, encrypt=True, trust_server_cert=True)).close()
    ca_file = str(tmp_path / "elsewhere.example.crt")
    with ScriptedServer(encryption=Encryption.ON, certificate=other) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            Client(settings(server, encrypt=True, ca_file=ca_file))
        named = settings(server, encrypt=True, ca_file=ca_file, host_name_in_certificate="elsewhere.example")
        Client(named).close()


def test_strict_is_tls_before_anything(certificate: tuple[Path, Path]) -> None:
    """TDS 8.0: the certificate counts even with trust_server_cert, and a plain server is refused."""
    with ScriptedServer(strict=True, certificate=certificate[1]) as server:
        client = Client(settings(server, encrypt="strict", ca_file=str(certificate[0])))
        client.execute("SELECT")
        client.close()
        login = server.sessions[0].login
        with pytest.raises(ssl.SSLCertVerificationError):
            Client(settings(server, encrypt="strict", trust_server_cert=True))
    assert client.encrypted
    assert login is not None
    assert login.tds_version == 0x08000000
    with ScriptedServer() as plain, pytest.raises((ssl.SSLError, OSError)):
        Client(settings(plain, encrypt="strict", login_timeout=1.0))


def test_an_access_token_instead_of_a_password() -> None:
    """The token is in the FEDAUTH feature, which echoes the server's flag; user and password stay away."""
    with ScriptedServer() as server:
        Client(settings(server, access_token="tökén")).close()
        session = server.sessions[0]
    assert session.prelogin is not None
    assert session.prelogin.fedauth_required
    assert session.login is not None
    assert (session.login.user, session.login.password) == ("", "")
    data = "tökén".encode("utf-16-le")
    assert session.login.features[FEATURE_FEDAUTH] == struct.pack("<BI", 3, len(data)) + data
    assert session.login.access_token == "tökén"


def test_a_refused_login() -> None:
    """The server's number and text, and no connection left open."""

    def refuse(_session: Session) -> bytes:
        return error(18456, "Login failed for user 'sa'.", 14) + OK

    with ScriptedServer(login=refuse) as server, pytest.raises(ServerFailure, match="Login failed") as caught:
        Client(settings(server))
    assert caught.value.error.number == 18456
    assert "secret" not in str(caught.value)


def test_an_answer_that_is_no_login_answer() -> None:
    """Neither acknowledgement nor error; or not TDS at all."""
    with ScriptedServer(login=lambda _: OK) as server, pytest.raises(ProtocolError, match="neither"):
        Client(settings(server))
    with ScriptedServer() as server:
        server.sessions.clear()
    with pytest.raises(ConnectionRefusedError):
        Client(settings(server, login_timeout=1.0))


def test_redirections_are_followed() -> None:
    """As Azure SQL sends its clients to the node that has the database; but not for ever."""
    with ScriptedServer() as node:
        route = struct.pack("<HBH", 0, 0, node.port) + struct.pack("<H", 9) + "localhost".encode("utf-16-le")
        route = struct.pack("<H", len(route) - 2) + route[2:]
        token = struct.pack("<BHB", 0xE3, 1 + len(route) + 2, ENV_ROUTING) + route + bytes(2)
        with ScriptedServer(login=lambda _: acknowledgement()[:-13] + token + OK) as gateway:
            client = Client(settings(gateway))
            client.execute("at the node")
            client.close()
        assert gateway.batches == []
        assert node.batches == ["at the node"]

    def again(session: Session) -> bytes:
        port = session.sock.getsockname()[1]
        body = struct.pack("<HBHH", 5 + 18, 0, port, 9) + "localhost".encode("utf-16-le")
        return struct.pack("<BHB", 0xE3, 1 + len(body) + 2, ENV_ROUTING) + body + bytes(2) + OK

    with ScriptedServer(login=again) as server, pytest.raises(ProtocolError, match="more than 10 times"):
        Client(settings(server))


def test_statements_and_their_errors() -> None:
    """The first error counts, all are kept; the connection goes on."""

    def script(session: Session, sql: str) -> None:
        if sql == "bad":
            session.answer(error(8134, "Divide by zero."), error(3621, "Terminated."), OK)
        else:
            session.answer(EnvChange(1, "other", "db").encode(), OK)

    with ScriptedServer(script) as server:
        client = Client(settings(server))
        with pytest.raises(ServerFailure, match="Divide by zero") as caught:
            client.execute("bad")
        assert [message.number for message in caught.value.errors] == [8134, 3621]
        client.execute("USE other")
        assert client.database == "other"
        client.close()


def test_rows_are_left_to_the_caller() -> None:
    """A query stops behind its column metadata, wherever packets cut it."""
    metadata = encode_colmetadata([INT] * 40)
    rows = b"\xd1" + bytes(160)

    def script(session: Session, sql: str) -> None:
        session.stream.packet_size = int(sql)
        session.answer(EnvChange(1, "db", "db").encode(), metadata, rows, OK)

    for size in (512, 600, 32767):
        with ScriptedServer(script) as server:
            client = Client(settings(server))
            stream = client.query(str(size))
            assert stream is not None
            assert len(stream.columns) == 40
            raw = bytearray()
            while not stream.last and len(stream.payload) + len(raw) < len(rows) + 13:
                buffer = bytearray(4096)
                raw += buffer[: client.recv_into(memoryview(buffer))]
            assert (stream.payload + bytes(raw)).endswith(OK)
            client.close()


def test_lost_connections() -> None:
    """The server goes away inside an answer, or says nothing for too long."""

    def cut(session: Session, _sql: str) -> None:
        session.stream.transport.sendall(b"\x04\x01\x01\x00\x00\x00\x00\x00" + bytes(10))
        session.sock.close()

    with ScriptedServer(cut) as server:
        client = Client(settings(server))
        with pytest.raises(ConnectionResetError, match="ended inside a packet"):
            client.execute("x")
        client.close()
    with ScriptedServer(lambda *_: None) as server:
        client = Client(settings(server, read_timeout=0.2))
        with pytest.raises(TimeoutError):
            client.execute("x")
        client.close()
        client.close()
        assert client.closed


def test_an_answer_of_another_kind() -> None:
    """A packet type that no answer has."""

    def script(session: Session, _sql: str) -> None:
        session.stream.write_message(PacketType.SQL_BATCH, b"x")

    with ScriptedServer(script) as server:
        client = Client(settings(server))
        with pytest.raises(ProtocolError, match="packet of type"):
            client.execute("x")
        client.close()


def test_the_answer_of_sql_server_browser() -> None:
    """Its pairs, and nonsense."""
    text = b"ServerName;BOX;InstanceName;SQL1;IsClustered;No;Version;16.0.1000.6;tcp;51433;;"
    found = parse_response(b"\x05" + struct.pack("<H", len(text)) + text)
    assert found["tcp"] == "51433"
    assert found["instancename"] == "SQL1"
    with pytest.raises(ProtocolError):
        parse_response(b"\x07\x00")
