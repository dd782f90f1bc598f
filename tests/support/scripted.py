"""A TDS server whose answers a test writes token by token: for what no database can be made to send on demand.

It speaks the real protocol over a real socket, so drivers meet it as they meet any server: lone surrogates, code pages,
an error between two rows, a connection that dies in the middle of a value.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any

from mssql_pg_migrate.source.settings import SqlServerSettings
from mssql_pg_migrate.tds.login7 import Login7
from mssql_pg_migrate.tds.metadata import ColumnMetadata, encode_colmetadata
from mssql_pg_migrate.tds.packets import PacketStream, PacketType
from mssql_pg_migrate.tds.prelogin import Encryption, Prelogin
from mssql_pg_migrate.tds.rpc import decode_batch
from mssql_pg_migrate.tds.tls import SocketTransport
from mssql_pg_migrate.tds.tokens import Done, EnvChange, LoginAck, ServerMessage
from mssql_pg_migrate.tds.values import encode_value

Answer = Callable[[str], Iterable[bytes]]
"""From a statement to the tokens of its answer; each item holds whole tokens and is sent at once."""

DONE = Done(0, 0xC1, 0).encode()
FAILED = Done(0x02, 0xC1, 0).encode()


class Drop(Exception):
    """Raised by an answer: close the connection without another byte."""


class ScriptedServer:
    """Serves one `Answer` to every connection, in a process of its own: a driver may wait with Python's lock held."""

    def __init__(self, answer: Answer, *, refuse_login: bytes | None = None, always: bool = False) -> None:
        """``refuse_login`` holds ERROR tokens that answer logins to a database (``always``: all logins)."""
        fork = multiprocessing.get_context("fork")
        self._answer = answer
        self._refuse_login = refuse_login
        self._refuse_always = always
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._log = fork.SimpleQueue()
        self._heard: list[str] = []
        self.port: int = self._listener.getsockname()[1]
        self._process = fork.Process(target=self._listen, daemon=True)
        self._process.start()
        self._listener.close()

    def settings(self, **more: Any) -> SqlServerSettings:
        """How to connect."""
        return SqlServerSettings(
            host="127.0.0.1", port=self.port, database="db", user="u", password="p", encrypt=False, **more
        )

    @property
    def heard(self) -> list[str]:
        """What clients said so far: ``LOGIN user program database``, ``PASSWORD ...``, statements, ``ATTENTION``."""
        while not self._log.empty():
            self._heard.append(self._log.get())
        return self._heard

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process: its connections break; idempotent."""
        self._process.kill()
        self._process.join()

    def _listen(self) -> None:
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, Drop):
            stream = PacketStream(SocketTransport(connection))
            while (message := stream.read_message()) is not None:
                header, payload = message
                if header.type == PacketType.PRELOGIN:
                    reply = Prelogin((16, 0, 1000), Encryption.NOT_SUPPORTED).encode()
                    stream.write_message(PacketType.TABULAR_RESULT, reply)
                elif header.type == PacketType.LOGIN7:
                    login = Login7.decode(payload)
                    self._log.put(f"LOGIN {login.user} {login.app_name} {login.database}")
                    self._log.put(f"PASSWORD {login.password}")
                    if self._refuse_login is not None and (login.database or self._refuse_always):
                        stream.write_message(PacketType.TABULAR_RESULT, self._refuse_login + FAILED)
                        raise Drop
                    stream.write_message(PacketType.TABULAR_RESULT, _login_reply())
                elif header.type == PacketType.ATTENTION:
                    self._log.put("ATTENTION")
                    stream.write_message(PacketType.TABULAR_RESULT, Done(0x20).encode())
                elif header.type == PacketType.SQL_BATCH:
                    self._run(connection, stream, decode_batch(payload))
                else:
                    stream.write_message(PacketType.TABULAR_RESULT, Done(0).encode())
        connection.close()

    def _run(self, connection: socket.socket, stream: PacketStream, sql: str) -> None:
        self._log.put(sql)
        if sql.upper().startswith("SET "):
            stream.write_message(PacketType.TABULAR_RESULT, Done(0).encode())
            return
        packets = _Packets(connection)
        for tokens in self._answer(sql):
            packets.add(tokens)
            if select.select([connection], [], [], 0)[0]:  # only an attention can come now
                stream.read_packet()
                self._log.put("ATTENTION")
                packets.add(Done(0x20).encode())
                break
        packets.end()


def _end_with(parent: int) -> None:
    """A test process that crashes must not leave this one behind: it holds the pipe that tells pytest of the end."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


class _Packets:
    """One response message, sent while it is made."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._data = bytearray()
        self._number = 1

    def add(self, data: bytes) -> None:
        self._data += data
        while len(self._data) > 4088:
            self._send(bytes(self._data[:4088]), last=False)
            del self._data[:4088]

    def end(self) -> None:
        self._send(bytes(self._data), last=True)

    def _send(self, data: bytes, *, last: bool) -> None:
        head = bytes((PacketType.TABULAR_RESULT, int(last))) + (len(data) + 8).to_bytes(2, "big")
        self._connection.sendall(head + bytes((0, 0, self._number & 0xFF, 0)) + data)
        self._number += 1


def _login_reply() -> bytes:
    changes = [EnvChange(1, "db", "master"), EnvChange(7, bytes.fromhex("0904d00034")), EnvChange(4, "4096", "4096")]
    ack = LoginAck("Microsoft SQL Server", (16, 0, 1000))
    return b"".join(change.encode() for change in changes) + ack.encode() + Done(0).encode()


def columns(*infos: ColumnMetadata) -> bytes:
    """The COLMETADATA token."""
    return encode_colmetadata(list(infos))


def row(infos: Sequence[ColumnMetadata], values: Sequence[Any]) -> bytes:
    """A ROW token; values in the forms of ``tds.values``, bytes-of-a-value for text given as ``Raw``."""
    return b"\xd1" + b"".join(
        value.data if isinstance(value, Raw) else encode_value(info, value)
        for info, value in zip(infos, values, strict=True)
    )


class Raw:
    """The bytes of a value as they stand in a row, its length included."""

    def __init__(self, data: bytes) -> None:
        self.data = data


def error(number: int, text: str, severity: int = 16) -> bytes:
    """An ERROR token."""
    return ServerMessage(number, 1, severity, text, "scripted").encode()
