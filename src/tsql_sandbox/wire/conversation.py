"""One connection: prelogin, TLS, login, then requests and their answers."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import struct
from collections.abc import Callable
from contextlib import AbstractContextManager

from mssql_pg_migrate.tds import login7, tokens
from mssql_pg_migrate.tds.buffer import ProtocolError
from mssql_pg_migrate.tds.collations import Collation
from mssql_pg_migrate.tds.login7 import Login7
from mssql_pg_migrate.tds.packets import (
    MAX_PACKET_SIZE,
    MIN_PACKET_SIZE,
    STATUS_RESET_CONNECTION,
    STATUS_RESET_CONNECTION_KEEP_TRANSACTION,
    PacketStream,
    PacketType,
)
from mssql_pg_migrate.tds.prelogin import Encryption, Prelogin
from mssql_pg_migrate.tds.rpc import TransactionRequest, decode_batch, decode_rpc, decode_transaction
from mssql_pg_migrate.tds.tls import SocketTransport, TlsTransport
from mssql_pg_migrate.tds.tokens import Done, EnvChange, FeatureExtAck, LoginAck, ServerMessage

from ..engine.session import Session
from ..errors import SqlError
from . import calls
from .peer import Host
from .sink import Hangup, TdsSink

log = logging.getLogger(__name__)

LOGIN_SECONDS = 30.0
"""How long a client may take to log in."""
SERVER_VERSION = (16, 0, 1000)
_TLS_HANDSHAKE = 0x16


Watching = Callable[["Conversation"], AbstractContextManager[None]]
"""While a request runs, the server looks whether its client sends something or goes."""


class Conversation:
    """Serves one connection on the thread that calls `run`."""

    def __init__(self, server: Host, watching: Watching, sock: socket.socket) -> None:
        self.server = server
        self._watching = watching
        self.socket = sock
        self.stream = PacketStream(SocketTransport(sock))
        self.session: Session | None = None
        self.login: Login7 | None = None
        self._attention_seen = False

    def run(self) -> None:
        """Serve until either side ends it."""
        try:
            self.socket.settimeout(LOGIN_SECONDS)
            if self._open():
                self.socket.settimeout(None)
                while self._request():
                    pass
        except (Hangup, ConnectionError, TimeoutError, OSError) as error:
            log.debug("connection ended: %s", error)
        except ProtocolError as error:
            log.info("connection ended: %s", error)
        finally:
            self._leave()

    def _leave(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            self.server.engine.counters.leave(session.login.name, session.app_name)
            session.close()
        with contextlib.suppress(OSError):
            self.socket.close()

    # --- login ---

    def _open(self) -> bool:
        first = self.socket.recv(1, socket.MSG_PEEK)
        if not first:
            return False
        context = self.server.tls
        strict = first[0] == _TLS_HANDSHAKE
        if strict:
            if context is None:
                return False
            self.stream.transport = TlsTransport(
                self.socket, self.server.strict_tls(), server_side=True, in_prelogin=False
            )
        message = self.stream.read_message(1 << 16)
        if message is None or message[0].type != PacketType.PRELOGIN:
            return False
        asked = Prelogin.decode(message[1])
        answer = self._encryption(asked.encryption) if not strict else Encryption.ON
        reply = Prelogin(SERVER_VERSION, answer, fedauth_required=False if asked.fedauth_required else None)
        self.stream.write_message(PacketType.TABULAR_RESULT, reply.encode())
        if not strict and answer != Encryption.NOT_SUPPORTED and context is not None:
            self.stream.transport = TlsTransport(self.socket, context, server_side=True)
        message = self.stream.read_message(1 << 20)
        if message is None or message[0].type != PacketType.LOGIN7:
            return False
        if answer == Encryption.OFF:
            # Only the login was to be encrypted.
            self.stream.transport = SocketTransport(self.socket)
        return self._login(Login7.decode(message[1]))

    def _encryption(self, asked: Encryption) -> Encryption:
        if self.server.tls is None:
            return Encryption.NOT_SUPPORTED
        if asked in (Encryption.ON, Encryption.REQUIRED):
            return Encryption.ON
        if self.server.force_encryption:
            return Encryption.REQUIRED
        return asked

    def _login(self, login: Login7) -> bool:
        self.login = login
        engine = self.server.engine
        try:
            fault = engine.faults.for_login(login.app_name)
            if fault is not None:
                raise fault.sql_error(login.user, login.database)
            known = engine.find_login(login.user)
            if login.integrated or login.access_token is not None or known is None or known.password != login.password:
                raise SqlError(18456, f"Login failed for user '{login.user}'.", 14)
            database = engine.find_database(login.database or "master")
            denied = database is not None and database.database_id > 4 and database.principal_of(known) is None
            if database is None or denied:
                message = f'Cannot open database "{login.database}" requested by the login. The login failed.'
                self._refuse(SqlError(4060, message, 11), SqlError(18456, f"Login failed for user '{login.user}'.", 14))
                return False
            self.session = Session(engine, known, database, login.app_name, login.host_name)
        except SqlError as error:
            self._refuse(error)
            return False
        engine.counters.enter(known.name, login.app_name)
        self._accept(login, self.session)
        return True

    def _refuse(self, *errors: SqlError) -> None:
        payload = b"".join(self.message(error).encode() for error in errors)
        payload += Done(tokens.DONE_ERROR).encode()
        self.stream.write_message(PacketType.TABULAR_RESULT, payload)

    def message(self, error: SqlError, is_error: bool = True) -> ServerMessage:
        """An error or message as a token."""
        line = max(error.line, 1)
        return ServerMessage(
            error.number, error.state, error.severity, error.text[:4000], self.server.engine.name, "", line, is_error
        )

    def _accept(self, login: Login7, session: Session) -> None:
        size = min(max(login.packet_size or 4096, MIN_PACKET_SIZE), MAX_PACKET_SIZE)
        name = session.database.name
        collation = Collation.from_name(session.database.collation).encode()
        info = [
            EnvChange(tokens.ENV_DATABASE, name, "master").encode(),
            self.info(5701, f"Changed database context to '{name}'."),
            EnvChange(tokens.ENV_COLLATION, collation, b"").encode(),
            EnvChange(tokens.ENV_LANGUAGE, "us_english", "").encode(),
            self.info(5703, "Changed language setting to us_english."),
            LoginAck("Microsoft SQL Server", SERVER_VERSION, _acknowledged(login.tds_version)).encode(),
        ]
        if login.features:
            known = (login7.FEATURE_UTF8, login7.FEATURE_VECTOR)
            acknowledged = {feature: b"\x01" for feature in known if feature in login.features}
            session.vectors = login7.FEATURE_VECTOR in acknowledged
            info.append(FeatureExtAck(acknowledged).encode())
        info += [EnvChange(tokens.ENV_PACKET_SIZE, str(size), "4096").encode(), Done().encode()]
        self.stream.spid = session.spid
        self.stream.write_message(PacketType.TABULAR_RESULT, b"".join(info))
        self.stream.packet_size = size

    def info(self, number: int, text: str) -> bytes:
        """A message that is no error, as a token."""
        return self.message(SqlError(number, text, 10 if number else 0), False).encode()

    # --- requests ---

    def _request(self) -> bool:
        message = self.stream.read_message()
        if message is None or self.session is None or self.login is None:
            return False
        header, payload = message
        self._attention_seen = False
        sink = TdsSink(self, self.session)
        self.session.sink = sink
        if header.type == PacketType.ATTENTION:
            sink.cancelled()
            return True
        if header.status & (STATUS_RESET_CONNECTION | STATUS_RESET_CONNECTION_KEEP_TRANSACTION):
            database = self.server.engine.find_database(self.login.database or "master")
            self.session.reset(database or self.session.database)
            sink.write(EnvChange(tokens.ENV_RESET_ACK, b"", b"").encode())
        self.session.request_begins()
        try:
            with self._watching(self):
                self._answer(header.type, payload, sink, self.session)
        finally:
            self.session.request_ends()
        return True

    def _answer(self, kind: int, payload: bytes, sink: TdsSink, session: Session) -> None:
        try:
            if kind == PacketType.SQL_BATCH:
                text = decode_batch(payload)
                self.server.engine.counters.statement(text)
                session.variables = {}
                session.run_batch(text)
            elif kind == PacketType.RPC:
                sink.in_procedure = True
                for call in decode_rpc(payload):
                    self.server.engine.counters.statement(calls.describe(call))
                    calls.run(session, call, sink)
            elif kind == PacketType.TRANSACTION_MANAGER:
                self._transaction(payload, sink, session)
            else:
                raise SqlError(40517, f"The sandbox does not serve packets of type {kind:#x}.")
        except SqlError as error:
            if error.number == 3617:
                if not self._attention_seen:
                    # DuckDB was interrupted because something has arrived: that is the cancel.
                    self.attention()
                sink.cancelled()
                return
            sink.error(error)
            if error.severity >= 20:
                sink.finish()
                raise Hangup(error.text) from None
        except RecursionError:
            sink.error(SqlError(191, "Some part of your SQL statement is nested too deeply.", 15))
        except (Hangup, ProtocolError, OSError):
            raise
        except Exception as error:
            # A fault of the sandbox: the client is told, the connection goes on.
            log.exception("the sandbox failed at a request")
            sink.error(SqlError(40517, f"The sandbox failed at this: {type(error).__name__}: {error}"))
        sink.finish()

    def _transaction(self, payload: bytes, sink: TdsSink, session: Session) -> None:
        kind, _isolation = decode_transaction(payload)
        descriptor = struct.pack("<Q", session.spid)
        if kind == TransactionRequest.BEGIN:
            session.begin()
            sink.write(EnvChange(tokens.ENV_BEGIN_TRANSACTION, descriptor, b"").encode())
        elif kind == TransactionRequest.COMMIT:
            session.commit()
            sink.write(EnvChange(tokens.ENV_COMMIT, b"", descriptor).encode())
        elif kind == TransactionRequest.ROLLBACK:
            session.rollback()
            sink.write(EnvChange(tokens.ENV_ROLLBACK, b"", descriptor).encode())
        else:
            raise SqlError(40517, f"The sandbox does not know transaction requests of kind {kind}.")

    # --- cancelling ---

    def attention(self) -> bool:
        """Whether the client has cancelled, or gone.

        Raises:
            Hangup: it has gone.
        """
        transport = self.stream.transport
        waiting = isinstance(transport, TlsTransport) and transport.pending
        if not waiting and not select.select([self.socket], [], [], 0)[0]:
            return False
        packet = self.stream.read_packet()
        if packet is None:
            raise Hangup("the client has gone")
        self._attention_seen = packet[0].type == PacketType.ATTENTION
        return self._attention_seen


def _acknowledged(version: int) -> int:
    """The version LOGINACK names: numbers of 7.1 and later stand the other way round there than in LOGIN7."""
    return min(version, tokens.TDS_74) if version < 0x80000000 else tokens.TDS_74
