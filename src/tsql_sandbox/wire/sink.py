"""Results into packets, as they come, with the faults that were asked for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from mssql_pg_migrate.tds import tokens
from mssql_pg_migrate.tds.metadata import encode_colmetadata
from mssql_pg_migrate.tds.packets import HEADER_SIZE, STATUS_EOM, PacketHeader, PacketType
from mssql_pg_migrate.tds.tls import SocketTransport
from mssql_pg_migrate.tds.tokens import Done, EnvChange, ReturnStatus, ReturnValue
from mssql_pg_migrate.tds.values import encode_value

from ..compiler.outputs import OutputColumn
from ..engine.results import Sink
from ..engine.session import Session
from ..errors import SqlError
from ..faults import Fault
from ..generator.rowstore import Slice
from .peer import Peer
from .rows import RowEncoder, metadata_of

FLUSH_BYTES = 1 << 16
_PACKETS_AT_ONCE = 32
_PIECE_BYTES = 1 << 21
_COMMANDS = {
    "SELECT": tokens.CMD_SELECT,
    "INSERT": tokens.CMD_INSERT,
    "UPDATE": tokens.CMD_UPDATE,
    "DELETE": tokens.CMD_DELETE,
}
_TDS_73B = 0x730B0003
"""The version that brought NBCROW."""


class Hangup(Exception):
    """The connection is to end now."""


class TdsSink(Sink):
    """Writes results to a connection as they come."""

    def __init__(self, conversation: Peer, session: Session) -> None:
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
        self.session.request_ends()
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
        self._encoder = RowEncoder(columns, self.compress, session.vectors)
        self._slow = 0
        for fault in [fault for fault in self._faults if fault.kind == "slow"]:
            self._faults.remove(fault)
            if session.server.faults.strike(fault):
                self._slow = fault.bytes_per_second
        self._strike_at(0)
        self.write(encode_colmetadata([metadata_of(column, session.vectors) for column in columns]))

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
        self.write(self.conversation.info(5701, f"Changed database context to '{new}'."))

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
