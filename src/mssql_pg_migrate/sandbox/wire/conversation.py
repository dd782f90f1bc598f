"""One connection: prelogin, TLS, login, then requests and their answers."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import struct
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...tds import login7, tokens
from ...tds.buffer import ProtocolError
from ...tds.collations import Collation
from ...tds.login7 import Login7
from ...tds.metadata import encode_colmetadata
from ...tds.packets import (
    HEADER_SIZE,
    MAX_PACKET_SIZE,
    MIN_PACKET_SIZE,
    STATUS_EOM,
    STATUS_RESET_CONNECTION,
    STATUS_RESET_CONNECTION_KEEP_TRANSACTION,
    PacketHeader,
    PacketStream,
    PacketType,
)
from ...tds.prelogin import Encryption, Prelogin
from ...tds.rpc import TransactionRequest, decode_batch, decode_rpc, decode_transaction
from ...tds.tls import SocketTransport, TlsTransport
from ...tds.tokens import Done, EnvChange, FeatureExtAck, LoginAck, ReturnStatus, ReturnValue, ServerMessage
from ...tds.values import encode_value
from ..compiler.queries import OutputColumn
from ..engine.results import Sink
from ..engine.session import Session
from ..errors import SqlError
from ..faults import Fault
from . import calls
from .rows import RowEncoder, metadata_of

if TYPE_CHECKING:
    from ..generator.ready import Slice
    from .server import TdsServer

log = logging.getLogger(__name__)

FLUSH_BYTES = 1 << 16
LOGIN_SECONDS = 30.0
"""How long a client may take to log in."""
_PACKETS_AT_ONCE = 32
_PIECE_BYTES = 1 << 21
SERVER_VERSION = (16, 0, 1000)
_COMMANDS = {
    "SELECT": tokens.CMD_SELECT,
    "INSERT": tokens.CMD_INSERT,
    "UPDATE": tokens.CMD_UPDATE,
    "DELETE": tokens.CMD_DELETE,
}
_TLS_HANDSHAKE = 0x16
_TDS_73B = 0x730B0003


class Hangup(Exception):
    """The connection is to end now."""


class Conversation:
    """Serves one connection on the thread that calls `run`."""

    def __init__(self, server: TdsServer, sock: socket.socket) -> None:
        self.server = server
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
            self._info(5701, f"Changed database context to '{name}'."),
            EnvChange(tokens.ENV_COLLATION, collation, b"").encode(),
            EnvChange(tokens.ENV_LANGUAGE, "us_english", "").encode(),
            self._info(5703, "Changed language setting to us_english."),
            LoginAck("Microsoft SQL Server", SERVER_VERSION, _acknowledged(login.tds_version)).encode(),
        ]
        if login.features:
            acknowledged = {login7.FEATURE_UTF8: b"\x01"} if login7.FEATURE_UTF8 in login.features else {}
            info.append(FeatureExtAck(acknowledged).encode())
        info += [EnvChange(tokens.ENV_PACKET_SIZE, str(size), "4096").encode(), Done().encode()]
        self.stream.spid = session.spid
        self.stream.write_message(PacketType.TABULAR_RESULT, b"".join(info))
        self.stream.packet_size = size

    def _info(self, number: int, text: str) -> bytes:
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
        with self.server.watching(self):
            self._answer(header.type, payload, sink, self.session)
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


class TdsSink(Sink):
    """Writes results to a connection as they come."""

    def __init__(self, conversation: Conversation, session: Session) -> None:
        self.conversation = conversation
        self.session = session
        self.stream = conversation.stream
        self.in_procedure = False
        self._buffer = bytearray()
        self._packet = 0
        self._pending: Done | None = None
        self._encoder: RowEncoder | None = None
        self._faults: list[Fault] = []
        self._sent_rows = 0
        self._failed = False
        self._slow = 0
        self.compress = conversation.login is None or conversation.login.tds_version >= _TDS_73B

    # --- bytes ---

    def write(self, data: bytes | memoryview) -> None:
        """Add tokens; full packets are sent once enough have come together."""
        self._release(more=True)
        self._buffer += data
        if len(self._buffer) >= FLUSH_BYTES:
            self.flush()

    def _release(self, more: bool) -> None:
        done, self._pending = self._pending, None
        if done is not None:
            status = done.status | tokens.DONE_MORE if more else done.status
            self._buffer += Done(status, done.command, done.row_count, done.token).encode()

    def flush(self, last: bool = False, all_of_it: bool = False) -> None:
        """Send what makes full packets, or everything; `last` ends the message."""
        room = self.stream.packet_size - HEADER_SIZE
        size = len(self._buffer)
        packets: list[bytes | memoryview] = []
        view = memoryview(self._buffer)
        position = 0
        while size - position > room or (size - position and (last or all_of_it)) or (last and not position):
            part = view[position : position + room]
            position += len(part)
            ends = last and position == size
            packets += [self._header(len(part), ends), part]
            if ends:
                break
        if packets:
            self._send(b"".join(packets))
        del packets, view
        if position:
            part = memoryview(b"")
            del self._buffer[:position]

    def _header(self, size: int, last: bool) -> bytes:
        self._packet += 1
        status = STATUS_EOM if last else 0
        return PacketHeader(
            PacketType.TABULAR_RESULT, status, size + HEADER_SIZE, self.session.spid & 0xFFFF, self._packet
        ).encode()

    def _send(self, data: bytes | memoryview) -> None:
        if self._slow:
            step = max(self._slow // 20, 512)
            for start in range(0, len(data), step):
                self.stream.transport.sendall(data[start : start + step])
                time.sleep(min(step, len(data) - start) / self._slow)
            return
        self.stream.transport.sendall(data)

    def finish(self) -> None:
        """End the answer."""
        if self._pending is None:
            kind = tokens.DONEPROC if self.in_procedure else tokens.DONE
            self._pending = Done(tokens.DONE_ERROR if self._failed else 0, token=kind)
        self._release(more=False)
        self.flush(last=True)

    def cancelled(self) -> None:
        """Acknowledge an attention and end the answer."""
        self._pending = None
        self._buffer += Done(tokens.DONE_ATTENTION).encode()
        self.flush(last=True)

    # --- results ---

    def columns(self, columns: Sequence[OutputColumn]) -> None:
        """A result begins."""
        session = self.session
        faults = session.server.faults.for_result(session.reading, session.text, session.app_name)
        self._faults = sorted(faults, key=lambda fault: fault.after_rows)
        self._sent_rows = 0
        self._encoder = RowEncoder(columns, self.compress)
        self._slow = 0
        for fault in [fault for fault in self._faults if fault.kind == "slow"]:
            self._faults.remove(fault)
            if session.server.faults.strike(fault):
                self._slow = fault.bytes_per_second
        self._strike_at(0)
        self.write(encode_colmetadata([metadata_of(column) for column in columns]))

    def _strike_at(self, count: int) -> None:
        while self._faults and self._faults[0].after_rows <= count:
            fault = self._faults.pop(0)
            if self.session.server.faults.strike(fault):
                self._strike(fault)

    def _strike(self, fault: Fault) -> None:
        self.flush(all_of_it=True)
        if fault.kind == "stall":
            end = time.monotonic() + fault.seconds
            while (left := end - time.monotonic()) > 0:
                time.sleep(min(left, 0.05))
                self.check()
        elif fault.kind == "error":
            raise fault.sql_error(self.session.login.name, self.session.database.name)
        elif fault.kind == "drop":
            raise Hangup("the fault 'drop' was asked for")

    def rows(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows of a result."""
        assert self._encoder is not None
        while self._faults and self._sent_rows + len(rows) >= self._faults[0].after_rows:
            part = self._faults[0].after_rows - self._sent_rows
            if part:
                self.write(self._encoder.encode(rows[:part]))
            self._sent_rows += part
            rows = rows[part:]
            self._strike_at(self._sent_rows)
            if not rows:
                return
        self._sent_rows += len(rows)
        self.write(self._encoder.encode(rows))

    def ready(self, found: Slice) -> int:
        """Rows that are ready tokens."""
        self.columns(found.columns)
        store, first = found.store, found.first
        while first < found.last:
            # Pieces end with a row, so that a cancel between two leaves no half token behind.
            last = min(store.row_at(first, _PIECE_BYTES), found.last)
            if self._faults:
                last = min(last, found.first + self._faults[0].after_rows)
            self._write_large(store.tokens(first, last))
            self._sent_rows += last - first
            first = last
            self._strike_at(self._sent_rows)
            self.check()
        count = found.last - found.first
        self.done(count, "SELECT")
        return count

    def _write_large(self, data: memoryview) -> None:
        """Add tokens without copying them: whole packets are sent straight from where they are."""
        self._release(more=True)
        room = self.stream.packet_size - HEADER_SIZE
        position = 0
        if self._buffer:
            position = min((-len(self._buffer)) % room, len(data))
            self._buffer += data[:position]
            if position == len(data):
                return
            self.flush(all_of_it=True)
        while len(data) - position > room:
            packets: list[bytes | memoryview] = []
            for _ in range(_PACKETS_AT_ONCE):
                if len(data) - position <= room:
                    break
                packets += [self._header(room, False), data[position : position + room]]
                position += room
            self._send_parts(packets)
        self._buffer += data[position:]

    def _send_parts(self, parts: list[bytes | memoryview]) -> None:
        transport = self.stream.transport
        if self._slow or not isinstance(transport, SocketTransport):
            self._send(b"".join(parts))
            return
        sent = transport.socket.sendmsg(parts)
        whole = sum(map(len, parts))
        if sent < whole:
            transport.sendall(b"".join(parts)[sent:])

    def done(self, count: int | None, command: str) -> None:
        """A statement is done."""
        if count is None and command != "SELECT":
            return
        status = tokens.DONE_COUNT if count is not None else 0
        if self.session.transaction_depth:
            status |= tokens.DONE_IN_TRANSACTION
        kind = tokens.DONEINPROC if self.in_procedure else tokens.DONE
        self._hold(Done(status, _COMMANDS.get(command, 0), count or 0, kind))

    def _hold(self, done: Done) -> None:
        self._release(more=True)
        self._pending = done

    def info(self, number: int, text: str) -> None:
        """A message."""
        self.write(self.conversation.message(SqlError(number, text, 0), False).encode())

    def error(self, error: SqlError) -> None:
        """An error."""
        self.write(self.conversation.message(error).encode())
        self._failed = True
        kind = tokens.DONEINPROC if self.in_procedure else tokens.DONE
        self._hold(Done(tokens.DONE_ERROR, token=kind))

    def database_changed(self, old: str, new: str) -> None:
        """USE."""
        self.write(EnvChange(tokens.ENV_DATABASE, new, old).encode())
        self.write(self.conversation._info(5701, f"Changed database context to '{new}'."))

    def output(self, name: str, value: Any, kind: Any) -> None:
        """An output parameter."""
        info = kind.type_info()
        self.write(ReturnValue(0, name, info, encode_value(info, value)).encode())

    def procedure_done(self, status: int) -> None:
        """A procedure has returned."""
        self.write(ReturnStatus(status).encode())

    def call_done(self) -> None:
        """A call is done, its output parameters are sent."""
        self._hold(Done(tokens.DONE_ERROR if self._failed else 0, token=tokens.DONEPROC))

    def check(self) -> None:
        """Raise if the client has cancelled."""
        if self.conversation.attention():
            raise SqlError(3617, "The client has cancelled.", 11)
