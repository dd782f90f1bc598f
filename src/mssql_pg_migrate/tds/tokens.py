"""The tokens of a server's answer, rows apart: encode for the server's role, decode for the client's.

`read_token` turns the token at a position into one of the dataclasses of this module. ROW and NBCROW are not read
here: `values.RowDecoder` (or a faster kernel) takes over at their token byte.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .buffer import ByteReader, NeedMoreData, ProtocolError, b_varchar, us_varchar
from .metadata import TOKEN_COLMETADATA, ColumnMetadata, TypeInfo, decode_colmetadata, decode_type_info
from .values import raw_value

RETURNSTATUS = 0x79
COLMETADATA = TOKEN_COLMETADATA
TABNAME = 0xA4
COLINFO = 0xA5
ORDER = 0xA9
ERROR = 0xAA
INFO = 0xAB
RETURNVALUE = 0xAC
LOGINACK = 0xAD
FEATUREEXTACK = 0xAE
ROW = 0xD1
NBCROW = 0xD2
ENVCHANGE = 0xE3
SESSIONSTATE = 0xE4
SSPI = 0xED
FEDAUTHINFO = 0xEE
DONE = 0xFD
DONEPROC = 0xFE
DONEINPROC = 0xFF

DONE_FINAL = 0x0000
DONE_MORE = 0x0001
DONE_ERROR = 0x0002
DONE_IN_TRANSACTION = 0x0004
DONE_COUNT = 0x0010
DONE_ATTENTION = 0x0020
DONE_SERVER_ERROR = 0x0100

CMD_SELECT = 0xC1
CMD_INSERT = 0xC3
CMD_DELETE = 0xC4
CMD_UPDATE = 0xC5

ENV_DATABASE = 1
ENV_LANGUAGE = 2
ENV_PACKET_SIZE = 4
ENV_COLLATION = 7
ENV_BEGIN_TRANSACTION = 8
ENV_COMMIT = 9
ENV_ROLLBACK = 10
ENV_RESET_ACK = 18
ENV_ROUTING = 20

TDS_74 = 0x74000004


@dataclass(frozen=True)
class ServerMessage:
    """An ERROR or INFO token. `severity` is the class of the message: 11 and more are errors."""

    number: int
    state: int
    severity: int
    text: str
    server: str = ""
    procedure: str = ""
    line: int = 1
    is_error: bool = True

    def encode(self) -> bytes:
        """The token's bytes."""
        body = struct.pack("<iBB", self.number, self.state, self.severity)
        body += us_varchar(self.text) + b_varchar(self.server) + b_varchar(self.procedure)
        body += struct.pack("<i", self.line)
        return struct.pack("<BH", ERROR if self.is_error else INFO, len(body)) + body


@dataclass(frozen=True)
class EnvChange:
    """An ENVCHANGE token: `old` and `new` as text, or bytes for collations and transaction descriptors."""

    kind: int
    new: str | bytes
    old: str | bytes = ""

    def encode(self) -> bytes:
        """The token's bytes."""
        body = bytes((self.kind,)) + _env_value(self.new) + _env_value(self.old)
        return struct.pack("<BH", ENVCHANGE, len(body)) + body


@dataclass(frozen=True)
class LoginAck:
    """A LOGINACK token. `version` is (major, minor, build)."""

    program: str
    version: tuple[int, int, int]
    tds_version: int = TDS_74
    interface: int = 1

    def encode(self) -> bytes:
        """The token's bytes."""
        major, minor, build = self.version
        body = struct.pack(">BI", self.interface, self.tds_version) + b_varchar(self.program)
        body += struct.pack(">BBH", major, minor, build)
        return struct.pack("<BH", LOGINACK, len(body)) + body


@dataclass(frozen=True)
class Done:
    """A DONE, DONEPROC or DONEINPROC token; `token` says which."""

    status: int = DONE_FINAL
    command: int = 0
    row_count: int = 0
    token: int = DONE

    def encode(self) -> bytes:
        """The token's bytes."""
        return struct.pack("<BHHQ", self.token, self.status, self.command, self.row_count)

    @property
    def more(self) -> bool:
        """Whether more results follow in this answer."""
        return bool(self.status & DONE_MORE)

    @property
    def failed(self) -> bool:
        """Whether the statement ended in an error."""
        return bool(self.status & (DONE_ERROR | DONE_SERVER_ERROR))

    @property
    def cancelled(self) -> bool:
        """Whether this acknowledges an attention."""
        return bool(self.status & DONE_ATTENTION)


@dataclass(frozen=True)
class ReturnStatus:
    """The RETURN value of a procedure."""

    value: int

    def encode(self) -> bytes:
        """The token's bytes."""
        return struct.pack("<Bi", RETURNSTATUS, self.value)


@dataclass(frozen=True)
class ReturnValue:
    """An output parameter. `data` is the value as it stands in a row (with its length prefix)."""

    ordinal: int
    name: str
    type: TypeInfo
    data: bytes
    status: int = 1
    user_type: int = 0
    flags: int = 0

    def encode(self) -> bytes:
        """The token's bytes."""
        head = struct.pack("<BH", RETURNVALUE, self.ordinal) + b_varchar(self.name)
        head += struct.pack("<BIH", self.status, self.user_type, self.flags)
        return head + self.type.encode_type_info(in_rpc=True) + self.data


@dataclass(frozen=True)
class Order:
    """The ORDER token: the ordinals (from 1) of the columns a result is ordered by."""

    columns: tuple[int, ...]

    def encode(self) -> bytes:
        """The token's bytes."""
        count = len(self.columns)
        return struct.pack(f"<BH{count}H", ORDER, count * 2, *self.columns)


@dataclass(frozen=True)
class FeatureExtAck:
    """What the server acknowledges of the features asked for in LOGIN7: feature number -> its data."""

    features: dict[int, bytes] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The token's bytes."""
        body = b"".join(struct.pack("<BI", key, len(data)) + data for key, data in self.features.items())
        return bytes((FEATUREEXTACK,)) + body + b"\xff"


@dataclass(frozen=True)
class Columns:
    """A COLMETADATA token."""

    columns: tuple[ColumnMetadata, ...]


@dataclass(frozen=True)
class Opaque:
    """A token whose contents are of no interest here: SSPI, FEDAUTHINFO, SESSIONSTATE, TABNAME, COLINFO."""

    token: int
    data: bytes


Token = (
    ServerMessage | EnvChange | LoginAck | Done | ReturnStatus | ReturnValue | Order | FeatureExtAck | Columns | Opaque
)


def _env_value(value: str | bytes) -> bytes:
    if isinstance(value, bytes):
        return bytes((len(value),)) + value
    return b_varchar(value)


def _read_message(reader: ByteReader, token: int) -> ServerMessage:
    body = reader.sub(reader.u16())
    number, state, severity = body.i32(), body.u8(), body.u8()
    text, server, procedure, line = body.us_varchar(), body.b_varchar(), body.b_varchar(), body.i32()
    return ServerMessage(number, state, severity, text, server, procedure, line, token == ERROR)


_BINARY_ENV = frozenset((ENV_COLLATION, ENV_BEGIN_TRANSACTION, ENV_COMMIT, ENV_ROLLBACK, 11, 12, 16, 17))


def _read_envchange(reader: ByteReader, _token: int) -> EnvChange:
    body = reader.sub(reader.u16())
    kind = body.u8()
    if kind in _BINARY_ENV:
        new: str | bytes = body.b_varbyte()
        return EnvChange(kind, new, body.b_varbyte() if body.remaining else b"")
    if kind == ENV_ROUTING or kind not in (ENV_DATABASE, ENV_LANGUAGE, ENV_PACKET_SIZE, 3, 5, 6, 13, 19):
        return EnvChange(kind, body.raw(body.remaining), b"")
    text = body.b_varchar()
    return EnvChange(kind, text, body.b_varchar() if body.remaining else "")


def _read_loginack(reader: ByteReader, _token: int) -> LoginAck:
    body = reader.sub(reader.u16())
    interface = body.u8()
    tds_version = int.from_bytes(body.raw(4), "big")
    program = body.b_varchar()
    major, minor, high, low = body.u8(), body.u8(), body.u8(), body.u8()
    return LoginAck(program, (major, minor, high << 8 | low), tds_version, interface)


def _read_done(reader: ByteReader, token: int) -> Done:
    return Done(reader.u16(), reader.u16(), reader.u64(), token)


def _read_returnvalue(reader: ByteReader, _token: int) -> ReturnValue:
    ordinal, name, status = reader.u16(), reader.b_varchar(), reader.u8()
    user_type, flags = reader.u32(), reader.u16()
    info = decode_type_info(reader, in_rpc=True)
    return ReturnValue(ordinal, name, info, raw_value(reader, info), status, user_type, flags)


def _read_order(reader: ByteReader, _token: int) -> Order:
    body = reader.sub(reader.u16())
    return Order(tuple(body.u16() for _ in range(body.remaining // 2)))


def _read_feature_ack(reader: ByteReader, _token: int) -> FeatureExtAck:
    features: dict[int, bytes] = {}
    while (key := reader.u8()) != 0xFF:
        features[key] = reader.raw(reader.u32())
    return FeatureExtAck(features)


def _read_columns(reader: ByteReader, _token: int) -> Columns:
    return Columns(tuple(decode_colmetadata(reader)))


def _read_short_opaque(reader: ByteReader, token: int) -> Opaque:
    return Opaque(token, reader.raw(reader.u16()))


def _read_long_opaque(reader: ByteReader, token: int) -> Opaque:
    return Opaque(token, reader.raw(reader.u32()))


def _read_returnstatus(reader: ByteReader, _token: int) -> ReturnStatus:
    return ReturnStatus(reader.i32())


_READERS: dict[int, Callable[[ByteReader, int], Token]] = {
    ERROR: _read_message,
    INFO: _read_message,
    ENVCHANGE: _read_envchange,
    LOGINACK: _read_loginack,
    DONE: _read_done,
    DONEPROC: _read_done,
    DONEINPROC: _read_done,
    RETURNSTATUS: _read_returnstatus,
    RETURNVALUE: _read_returnvalue,
    ORDER: _read_order,
    FEATUREEXTACK: _read_feature_ack,
    COLMETADATA: _read_columns,
    SSPI: _read_short_opaque,
    TABNAME: _read_short_opaque,
    COLINFO: _read_short_opaque,
    FEDAUTHINFO: _read_long_opaque,
    SESSIONSTATE: _read_long_opaque,
}


def read_token(reader: ByteReader) -> Token:
    """Read the token at the reader's position, which must not be a row.

    Raises:
        NeedMoreData: the buffer ends inside the token; `reader.pos` is back at the token's first byte.
        ProtocolError: the token is unknown or malformed.
    """
    start = reader.pos
    token = reader.u8()
    read = _READERS.get(token)
    if read is None:
        raise ProtocolError(f"unexpected token {token:#04x} in the server's answer")
    try:
        return read(reader, token)
    except NeedMoreData:
        reader.pos = start
        raise


def read_tokens(data: bytes | memoryview) -> Sequence[Token]:
    """All tokens of an answer that holds no rows (a login's, for example).

    Raises:
        ProtocolError: a token is unknown or malformed, or the data ends inside one.
    """
    reader = ByteReader(data, complete=True)
    tokens: list[Token] = []
    while reader.remaining:
        tokens.append(read_token(reader))
    return tokens
