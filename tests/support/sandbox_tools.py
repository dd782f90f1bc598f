"""A bare TDS client for tests: answers as tokens and exact values, nothing hidden by a driver."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from mssql_pg_migrate.tds import tokens
from mssql_pg_migrate.tds.buffer import ByteReader
from mssql_pg_migrate.tds.login7 import Login7
from mssql_pg_migrate.tds.metadata import ColumnMetadata
from mssql_pg_migrate.tds.packets import PacketStream, PacketType
from mssql_pg_migrate.tds.prelogin import Encryption, Prelogin
from mssql_pg_migrate.tds.rpc import RpcCall, encode_batch, encode_rpc
from mssql_pg_migrate.tds.tls import SocketTransport, TlsTransport, limit_to_prelogin
from mssql_pg_migrate.tds.values import RowDecoder
from servers import MssqlServer


@dataclass
class Answer:
    """What a server said to one request."""

    columns: list[tuple[ColumnMetadata, ...]] = field(default_factory=list)
    rows: list[list[list[Any]]] = field(default_factory=list)
    errors: list[tokens.ServerMessage] = field(default_factory=list)
    infos: list[tokens.ServerMessage] = field(default_factory=list)
    done: list[tokens.Done] = field(default_factory=list)
    others: list[tokens.Token] = field(default_factory=list)
    compressed: int = 0
    """Rows that came as NBCROW."""
    payload: bytes = b""

    @property
    def numbers(self) -> list[int]:
        """The numbers of the errors."""
        return [error.number for error in self.errors]


class RawClient:
    """One connection."""

    def __init__(
        self,
        server: MssqlServer,
        database: str = "master",
        *,
        encrypt: bool = False,
        user: str | None = None,
        password: str | None = None,
        app_name: str = "raw",
        packet_size: int = 4096,
    ) -> None:
        self.socket = socket.create_connection((server.host, server.port), timeout=30)
        self.stream = PacketStream(SocketTransport(self.socket))
        wanted = Encryption.ON if encrypt else Encryption.NOT_SUPPORTED
        self.stream.write_message(PacketType.PRELOGIN, Prelogin(encryption=wanted).encode())
        self._message()
        if encrypt:
            context = limit_to_prelogin(ssl.create_default_context())
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.stream.transport = TlsTransport(self.socket, context)
        login = Login7(user or server.user, password or server.password, database, app_name, packet_size=packet_size)
        self.stream.write_message(PacketType.LOGIN7, login.encode())
        self.login = self.receive()
        for token in self.login.others:
            if isinstance(token, tokens.EnvChange) and token.kind == tokens.ENV_PACKET_SIZE:
                self.stream.packet_size = int(token.new)

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self.socket.close()

    def _message(self) -> bytes:
        message = self.stream.read_message()
        if message is None:
            raise ConnectionResetError("the server has closed the connection")
        return message[1]

    def send(self, sql: str) -> None:
        """Send a batch."""
        self.stream.write_message(PacketType.SQL_BATCH, encode_batch(sql))

    def attention(self) -> None:
        """Cancel."""
        self.stream.write_message(PacketType.ATTENTION, b"")

    def call(self, *calls: RpcCall) -> Answer:
        """Call procedures."""
        self.stream.write_message(PacketType.RPC, encode_rpc(list(calls)))
        return self.receive()

    def run(self, sql: str) -> Answer:
        """Send a batch and wait for its answer."""
        self.send(sql)
        return self.receive()

    def rows(self, sql: str) -> list[list[Any]]:
        """The rows of the first result of a batch without errors."""
        answer = self.run(sql)
        assert not answer.errors, answer.errors
        return answer.rows[0]

    def receive(self) -> Answer:
        """Read one answer."""
        answer = Answer(payload=self._message())
        reader = ByteReader(answer.payload, complete=True)
        decoder = RowDecoder(())
        while reader.remaining:
            if reader.data[reader.pos] in (tokens.ROW, tokens.NBCROW):
                compressed = reader.u8() == tokens.NBCROW
                answer.compressed += compressed
                answer.rows[-1].append(decoder.nbc_row(reader) if compressed else decoder.row(reader))
                continue
            token = tokens.read_token(reader)
            if isinstance(token, tokens.Columns):
                answer.columns.append(token.columns)
                answer.rows.append([])
                decoder = RowDecoder(token.columns)
            elif isinstance(token, tokens.ServerMessage):
                (answer.errors if token.is_error else answer.infos).append(token)
            elif isinstance(token, tokens.Done):
                answer.done.append(token)
            else:
                answer.others.append(token)
        return answer
