"""What a client asks of a server after its login: SQL batches, procedure calls, transactions."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Any

from .buffer import ByteReader, ProtocolError, b_varchar, us_varchar, utf16
from .metadata import TypeInfo, decode_type_info
from .values import decode_value, encode_value

PARAMETER_BY_REF = 0x01
PARAMETER_DEFAULT = 0x02

_BATCH_FLAGS = (0x80, 0xFF)
_NO_EXEC = 0xFE
_PROC_ID_SWITCH = 0xFFFF


class ProcId(enum.IntEnum):
    """Procedures that are called by number."""

    CURSOR = 1
    CURSOR_OPEN = 2
    CURSOR_PREPARE = 3
    CURSOR_EXECUTE = 4
    CURSOR_PREPEXEC = 5
    CURSOR_UNPREPARE = 6
    CURSOR_FETCH = 7
    CURSOR_OPTION = 8
    CURSOR_CLOSE = 9
    EXECUTESQL = 10
    PREPARE = 11
    EXECUTE = 12
    PREPEXEC = 13
    PREPEXECRPC = 14
    UNPREPARE = 15


PROC_NAMES: dict[int, str] = {
    ProcId.CURSOR: "sp_cursor",
    ProcId.CURSOR_OPEN: "sp_cursoropen",
    ProcId.CURSOR_PREPARE: "sp_cursorprepare",
    ProcId.CURSOR_EXECUTE: "sp_cursorexecute",
    ProcId.CURSOR_PREPEXEC: "sp_cursorprepexec",
    ProcId.CURSOR_UNPREPARE: "sp_cursorunprepare",
    ProcId.CURSOR_FETCH: "sp_cursorfetch",
    ProcId.CURSOR_OPTION: "sp_cursoroption",
    ProcId.CURSOR_CLOSE: "sp_cursorclose",
    ProcId.EXECUTESQL: "sp_executesql",
    ProcId.PREPARE: "sp_prepare",
    ProcId.EXECUTE: "sp_execute",
    ProcId.PREPEXEC: "sp_prepexec",
    ProcId.PREPEXECRPC: "sp_prepexecrpc",
    ProcId.UNPREPARE: "sp_unprepare",
}


class TransactionRequest(enum.IntEnum):
    """Kinds of transaction manager requests."""

    GET_DTC_ADDRESS = 0
    PROPAGATE = 1
    BEGIN = 5
    PROMOTE = 6
    COMMIT = 7
    ROLLBACK = 8
    SAVE = 9


@dataclass(frozen=True)
class Parameter:
    """One parameter of a call. `value` is in the Python form of `values`; `name` has its `@` or is empty."""

    name: str
    type: TypeInfo
    value: Any
    status: int = 0

    @property
    def is_output(self) -> bool:
        """Whether the server sends the parameter's value back."""
        return bool(self.status & PARAMETER_BY_REF)


@dataclass(frozen=True)
class RpcCall:
    """One procedure call. `name` is `sp_executesql` and the like also when it was called by number."""

    name: str
    parameters: tuple[Parameter, ...] = ()
    options: int = 0


def all_headers(transaction: int = 0, outstanding: int = 1) -> bytes:
    """The ALL_HEADERS rule with the one header every request needs: the transaction descriptor."""
    return struct.pack("<IIHQI", 22, 18, 2, transaction, outstanding)


def skip_headers(reader: ByteReader) -> None:
    """Pass over ALL_HEADERS.

    Raises:
        ProtocolError: their length does not fit the message.
    """
    start = reader.pos
    total = reader.u32()
    if total < 4 or total > reader.end - start:
        raise ProtocolError(f"request headers of {total} bytes")
    reader.pos = start + total


def encode_batch(sql: str, transaction: int = 0) -> bytes:
    """The payload of a SQL batch."""
    return all_headers(transaction) + utf16(sql)


def decode_batch(payload: bytes) -> str:
    """The text of a SQL batch.

    Raises:
        ProtocolError: the message is malformed.
    """
    reader = ByteReader(payload, complete=True)
    skip_headers(reader)
    if reader.remaining % 2:
        raise ProtocolError("the batch is not UTF-16")
    return reader.utf16(reader.remaining // 2)


def encode_rpc(calls: list[RpcCall], transaction: int = 0) -> bytes:
    """The payload of an RPC request."""
    numbers = {name: number for number, name in PROC_NAMES.items()}
    parts = [all_headers(transaction)]
    for index, call in enumerate(calls):
        if index:
            parts.append(bytes(_BATCH_FLAGS[:1]))
        number = numbers.get(call.name)
        if number is None:
            parts.append(us_varchar(call.name))
        else:
            parts.append(struct.pack("<HH", _PROC_ID_SWITCH, number))
        parts.append(struct.pack("<H", call.options))
        for parameter in call.parameters:
            parts.append(b_varchar(parameter.name) + bytes((parameter.status,)))
            parts.append(parameter.type.encode_type_info(in_rpc=True))
            parts.append(encode_value(parameter.type, parameter.value))
    return b"".join(parts)


def decode_rpc(payload: bytes) -> list[RpcCall]:
    """The calls of an RPC request.

    Raises:
        ProtocolError: the message is malformed, or a parameter is of a type that is not known here
            (table-valued parameters are not).
    """
    reader = ByteReader(payload, complete=True)
    skip_headers(reader)
    calls: list[RpcCall] = []
    while reader.remaining:
        length = reader.u16()
        if length == _PROC_ID_SWITCH:
            number = reader.u16()
            name = PROC_NAMES.get(number, f"procedure {number}")
        else:
            name = reader.utf16(length)
        options = reader.u16()
        parameters: list[Parameter] = []
        while reader.remaining and reader.data[reader.pos] not in (*_BATCH_FLAGS, _NO_EXEC):
            parameters.append(_read_parameter(reader))
        if reader.remaining:
            reader.skip(1)
        calls.append(RpcCall(name, tuple(parameters), options))
    return calls


def _read_parameter(reader: ByteReader) -> Parameter:
    name, status = reader.b_varchar(), reader.u8()
    info = decode_type_info(reader, in_rpc=True)
    return Parameter(name, info, decode_value(reader, info), status)


def decode_transaction(payload: bytes) -> tuple[int, int]:
    """Kind and isolation level (0 unless a transaction begins) of a transaction manager request.

    Raises:
        ProtocolError: the message is malformed.
    """
    reader = ByteReader(payload, complete=True)
    skip_headers(reader)
    kind = reader.u16()
    return kind, reader.u8() if kind == TransactionRequest.BEGIN and reader.remaining else 0
