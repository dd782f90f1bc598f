"""One value of a row: its framing, and its conversion to and from Python, exactly.

Over 500 lines, because what a type is on the wire and in Python is said once, for both directions side by side.

Python forms of the SQL types (NULL is None for all):

| SQL type | Python |
| --- | --- |
| bit | bool |
| tinyint, smallint, int, bigint | int |
| decimal, numeric, money, smallmoney | Decimal, with the column's scale |
| real, float | float |
| char, varchar, nchar, nvarchar, text, ntext, xml, json | str; a lone surrogate stays one |
| binary, varbinary, image, rowversion, UDT, vector | bytes |
| uniqueidentifier | uuid.UUID |
| date | int: days since 0001-01-01 |
| time | int: ticks of 100 ns since midnight |
| datetime, smalldatetime, datetime2 | int: ticks of 100 ns since 0001-01-01 (1/300 s rounded) |
| datetimeoffset | (int, int): ticks as above in UTC, offset in minutes |
| sql_variant | Variant |

Times are integers because Python's own stop at microseconds; `times` turns them into text and datetime objects.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from . import types as t
from .buffer import ByteReader, ProtocolError, utf16
from .collations import decode_char, encode_char
from .metadata import TypeInfo

TICKS_PER_SECOND = 10_000_000
TICKS_PER_DAY = 86_400 * TICKS_PER_SECOND
DAYS_TO_1900 = 693_595
"""Days from 0001-01-01 to 1900-01-01, the epoch of datetime and smalldatetime."""
_TEXT_POINTER = b"\x10" + b"dummy textptr\x00\x00\x00" + b"dummyTS\x00"


@dataclass(frozen=True)
class Variant:
    """The value inside a sql_variant and its type."""

    type: TypeInfo
    value: Any


# --- framing ---------------------------------------------------------------------------------------------------


def raw_value(reader: ByteReader, info: TypeInfo) -> bytes:
    """The bytes of the next value as they stand in the row, length prefix included.

    Raises:
        NeedMoreData: the buffer ends inside the value.
    """
    start = reader.pos
    skip_value(reader, info)
    return bytes(reader.data[start : reader.pos])


def skip_value(reader: ByteReader, info: TypeInfo) -> None:
    """Pass over the next value of a ROW."""
    fixed = info.fixed_size
    if fixed is not None:
        reader.skip(fixed)
    elif info.is_plp:
        read_plp(reader)
    elif info.type_id in t.BYTE_LENGTH:
        reader.skip(reader.u8())
    elif info.type_id in t.USHORT_LENGTH:
        length = reader.u16()
        reader.skip(0 if length == 0xFFFF else length)
    elif info.is_old_lob:
        _read_old_lob(reader)
    elif info.type_id == t.SQL_VARIANT:
        reader.skip(reader.u32())
    else:
        raise ProtocolError(f"unknown data type {info.type_id:#04x}")


def payload_of(reader: ByteReader, info: TypeInfo) -> bytes | None:
    """The next value's bytes without its framing; None for NULL."""
    fixed = info.fixed_size
    if fixed is not None:
        return reader.raw(fixed) if info.type_id != t.NULL else None
    if info.is_plp:
        return read_plp(reader)
    if info.type_id in t.BYTE_LENGTH:
        length = reader.u8()
        return reader.raw(length) if length else None
    if info.type_id in t.USHORT_LENGTH:
        length = reader.u16()
        return None if length == 0xFFFF else reader.raw(length)
    if info.is_old_lob:
        return _read_old_lob(reader)
    if info.type_id == t.SQL_VARIANT:
        length = reader.u32()
        return reader.raw(length) if length else None
    raise ProtocolError(f"unknown data type {info.type_id:#04x}")


def frame(info: TypeInfo, payload: bytes | None) -> bytes:
    """A value's bytes with the framing a ROW wants.

    Raises:
        ValueError: NULL for a type that has none, or a payload longer than the framing allows.
    """
    kind = info.type_id
    if kind in t.FIXED_SIZES:
        if payload is None:
            raise ValueError(f"type {kind:#04x} cannot be NULL")
        return payload
    if info.is_plp:
        return encode_plp(payload)
    if kind in t.BYTE_LENGTH:
        return b"\x00" if payload is None else bytes((len(payload),)) + payload
    if kind in t.USHORT_LENGTH:
        if payload is None:
            return b"\xff\xff"
        if len(payload) > 8000:
            raise ValueError(f"{len(payload)} bytes do not fit a type of at most 8000")
        return struct.pack("<H", len(payload)) + payload
    if info.is_old_lob:
        return b"\x00" if payload is None else _TEXT_POINTER + struct.pack("<I", len(payload)) + payload
    if kind == t.SQL_VARIANT:
        return struct.pack("<I", 0) if payload is None else struct.pack("<I", len(payload)) + payload
    raise ProtocolError(f"unknown data type {kind:#04x}")


def read_plp(reader: ByteReader) -> bytes | None:
    """The chunks of a PLP value joined; None for NULL.

    Raises:
        ProtocolError: the chunks do not add up to the length announced.
    """
    total = reader.u64()
    if total == t.PLP_NULL:
        return None
    chunks: list[bytes] = []
    while length := reader.u32():
        chunks.append(reader.raw(length))
    data = b"".join(chunks)
    if total not in (t.PLP_UNKNOWN, len(data)):
        raise ProtocolError(f"a value announced with {total} bytes has {len(data)}")
    return data


def encode_plp(payload: bytes | None) -> bytes:
    """A PLP value in one chunk (none for an empty value)."""
    if payload is None:
        return struct.pack("<Q", t.PLP_NULL)
    if not payload:
        return struct.pack("<QI", 0, 0)
    return struct.pack("<QI", len(payload), len(payload)) + payload + b"\x00\x00\x00\x00"


def _read_old_lob(reader: ByteReader) -> bytes | None:
    pointer = reader.u8()
    if pointer == 0:
        return None
    reader.skip(pointer + 8)
    return reader.raw(reader.u32())


# --- payload -> Python -----------------------------------------------------------------------------------------

Decoder = Callable[[bytes], Any]
Encoder = Callable[[Any], bytes]


def _decode_int(data: bytes) -> int:
    return data[0] if len(data) == 1 else int.from_bytes(data, "little", signed=True)


def _decode_bit(data: bytes) -> bool:
    return data[0] != 0


def _decode_float(data: bytes) -> float:
    return float(struct.unpack("<f" if len(data) == 4 else "<d", data)[0])


def _decode_money(data: bytes) -> Decimal:
    if len(data) == 4:
        cents = int.from_bytes(data, "little", signed=True)
    else:
        cents = int.from_bytes(data[:4], "little", signed=True) << 32 | int.from_bytes(data[4:], "little")
    return _scaled(cents, 4)


def _scaled(number: int, scale: int) -> Decimal:
    return Decimal((number < 0, tuple(map(int, str(abs(number)))), -scale))


def _decode_datetime(data: bytes) -> int:
    if len(data) == 4:
        days, minutes = struct.unpack("<HH", data)
        return int((days + DAYS_TO_1900) * TICKS_PER_DAY + minutes * 60 * TICKS_PER_SECOND)
    days, thirds = struct.unpack("<iI", data)
    return (int(days) + DAYS_TO_1900) * TICKS_PER_DAY + (int(thirds) * 100_000 + 1) // 3


def _decode_guid(data: bytes) -> uuid.UUID:
    return uuid.UUID(bytes_le=data)


def _decode_days(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _decode_utf16(data: bytes) -> str:
    return data.decode("utf-16-le", "surrogatepass")


def _decode_xml(data: bytes) -> str:
    return _decode_utf16(data).removeprefix("\ufeff")


def _decimal_decoder(info: TypeInfo) -> Decoder:
    scale = info.scale

    def decode(data: bytes) -> Decimal:
        number = int.from_bytes(data[1:], "little")
        return _scaled(number if data[0] else -number, scale)

    return decode


def _time_decoder(info: TypeInfo) -> Decoder:
    unit: int = 10 ** (7 - info.scale)

    def time(data: bytes) -> int:
        return int.from_bytes(data, "little") * unit

    def datetime2(data: bytes) -> int:
        return time(data[:-3]) + int.from_bytes(data[-3:], "little") * TICKS_PER_DAY

    def offset(data: bytes) -> tuple[int, int]:
        return datetime2(data[:-2]), int.from_bytes(data[-2:], "little", signed=True)

    decoders: dict[int, Decoder] = {t.TIMEN: time, t.DATETIME2N: datetime2, t.DATETIMEOFFSETN: offset}
    return decoders[info.type_id]


_SIMPLE_DECODERS: dict[int, Decoder] = {
    **dict.fromkeys((t.INT1, t.INT2, t.INT4, t.INT8, t.INTN), _decode_int),
    **dict.fromkeys((t.BIT, t.BITN), _decode_bit),
    **dict.fromkeys((t.FLOAT4, t.FLOAT8, t.FLOATN), _decode_float),
    **dict.fromkeys((t.MONEY, t.MONEY4, t.MONEYN), _decode_money),
    **dict.fromkeys((t.DATETIME, t.DATETIME4, t.DATETIMEN), _decode_datetime),
    **dict.fromkeys((t.NVARCHAR, t.NCHAR, t.NTEXT), _decode_utf16),
    **dict.fromkeys((t.BIGVARBINARY, t.BIGBINARY, t.IMAGE, t.UDT, t.VECTOR), bytes),
    **dict.fromkeys((t.LEGACY_BINARY, t.LEGACY_VARBINARY), bytes),
    t.GUID: _decode_guid,
    t.DATEN: _decode_days,
    t.XML: _decode_xml,
    t.JSON: bytes.decode,
}


def payload_decoder(info: TypeInfo) -> Decoder:
    """A function from a value's payload (never NULL) to its Python form.

    Raises:
        ProtocolError: the type is unknown.
    """
    kind = info.type_id
    if kind in _SIMPLE_DECODERS:
        return _SIMPLE_DECODERS[kind]
    if kind in t.DECIMALS:
        return _decimal_decoder(info)
    if kind in t.SCALED_TIME:
        return _time_decoder(info)
    if kind in t.CHARACTER:
        collation = info.collation
        return lambda data: decode_char(data, collation)
    if kind == t.SQL_VARIANT:
        return decode_variant
    raise ProtocolError(f"unknown data type {kind:#04x}")


def decode_value(reader: ByteReader, info: TypeInfo) -> Any:
    """The next value of a ROW in its Python form."""
    payload = payload_of(reader, info)
    return None if payload is None else payload_decoder(info)(payload)


class RowDecoder:
    """Rows of one result as lists of Python values. Slow and plain: the reference for faster readers."""

    def __init__(self, columns: Sequence[TypeInfo]) -> None:
        self._columns = [(info, None if info.type_id == t.NULL else payload_decoder(info)) for info in columns]

    def row(self, reader: ByteReader) -> list[Any]:
        """A ROW whose token byte has been read."""
        return [self._value(reader, info, decode) for info, decode in self._columns]

    def nbc_row(self, reader: ByteReader) -> list[Any]:
        """An NBCROW whose token byte has been read."""
        bitmap = reader.raw((len(self._columns) + 7) // 8)
        return [
            None if bitmap[index >> 3] >> (index & 7) & 1 else self._value(reader, info, decode)
            for index, (info, decode) in enumerate(self._columns)
        ]

    @staticmethod
    def _value(reader: ByteReader, info: TypeInfo, decode: Decoder | None) -> Any:
        payload = payload_of(reader, info)
        return None if payload is None or decode is None else decode(payload)


# --- Python -> payload -----------------------------------------------------------------------------------------


def _int_encoder(info: TypeInfo) -> Encoder:
    size = info.fixed_size or info.length
    signed = size > 1

    def encode(value: Any) -> bytes:
        return int(value).to_bytes(size, "little", signed=signed)

    return encode


def _float_encoder(info: TypeInfo) -> Encoder:
    return struct.Struct("<f" if (info.fixed_size or info.length) == 4 else "<d").pack


def _money_encoder(info: TypeInfo) -> Encoder:
    small = (info.fixed_size or info.length) == 4

    def encode(value: Any) -> bytes:
        cents = int(Decimal(value).scaleb(4).to_integral_value())
        if small:
            return cents.to_bytes(4, "little", signed=True)
        data = cents.to_bytes(8, "little", signed=True)
        return data[4:] + data[:4]

    return encode


def _unscaled(value: Any, scale: int) -> int:
    exact = Decimal(value)
    if not exact.is_finite():
        raise ValueError(f"{value} is not a finite number")
    sign, digits, exponent = exact.as_tuple()
    number = int("".join(map(str, digits)) or "0")
    shift = int(exponent) + scale
    if shift < 0:
        number, rest = divmod(number, 10**-shift)
        if rest:
            raise ValueError(f"{value} has more than {scale} decimals")
    else:
        number *= 10**shift
    return int(-number if sign else number)


def _decimal_encoder(info: TypeInfo) -> Encoder:
    scale = info.scale
    size = (info.length or t.decimal_size(info.precision)) - 1

    def encode(value: Any) -> bytes:
        number = _unscaled(value, scale)
        return bytes((number >= 0,)) + abs(number).to_bytes(size, "little")

    return encode


def _encode_datetime(value: int) -> bytes:
    days, ticks = divmod(value, TICKS_PER_DAY)
    thirds = (ticks * 3 + 50_000) // 100_000
    days, thirds = (days + 1, 0) if thirds == 25_920_000 else (days, thirds)
    return struct.pack("<iI", days - DAYS_TO_1900, thirds)


def _encode_smalldatetime(value: int) -> bytes:
    days, ticks = divmod(value, TICKS_PER_DAY)
    return struct.pack("<HH", days - DAYS_TO_1900, ticks // (60 * TICKS_PER_SECOND))


def _datetime_encoder(info: TypeInfo) -> Encoder:
    return _encode_smalldatetime if (info.fixed_size or info.length) == 4 else _encode_datetime


def _time_encoder(info: TypeInfo) -> Encoder:
    unit: int = 10 ** (7 - info.scale)
    size = t.time_size(info.scale)

    def time(value: int) -> bytes:
        return (value // unit).to_bytes(size, "little")

    def datetime2(value: int) -> bytes:
        days, ticks = divmod(value, TICKS_PER_DAY)
        return time(ticks) + days.to_bytes(3, "little")

    def offset(value: tuple[int, int]) -> bytes:
        return datetime2(value[0]) + value[1].to_bytes(2, "little", signed=True)

    encoders: dict[int, Encoder] = {t.TIMEN: time, t.DATETIME2N: datetime2, t.DATETIMEOFFSETN: offset}
    return encoders[info.type_id]


def _encode_bit(value: Any) -> bytes:
    return b"\x01" if value else b"\x00"


def _encode_guid(value: uuid.UUID) -> bytes:
    return value.bytes_le


def _encode_date(value: int) -> bytes:
    return value.to_bytes(3, "little")


_ENCODERS: dict[int, Callable[[TypeInfo], Encoder]] = {
    **dict.fromkeys((t.INT1, t.INT2, t.INT4, t.INT8, t.INTN), _int_encoder),
    **dict.fromkeys((t.FLOAT4, t.FLOAT8, t.FLOATN), _float_encoder),
    **dict.fromkeys((t.MONEY, t.MONEY4, t.MONEYN), _money_encoder),
    **dict.fromkeys((t.DATETIME, t.DATETIME4, t.DATETIMEN), _datetime_encoder),
    **dict.fromkeys(t.DECIMALS, _decimal_encoder),
    **dict.fromkeys(t.SCALED_TIME, _time_encoder),
}
_SIMPLE_ENCODERS: dict[int, Encoder] = {
    **dict.fromkeys((t.BIT, t.BITN), _encode_bit),
    **dict.fromkeys(t.UTF16, utf16),
    **dict.fromkeys((t.BIGVARBINARY, t.BIGBINARY, t.IMAGE, t.UDT, t.VECTOR), bytes),
    **dict.fromkeys((t.LEGACY_BINARY, t.LEGACY_VARBINARY), bytes),
    t.GUID: _encode_guid,
    t.DATEN: _encode_date,
    t.JSON: str.encode,
}


def payload_encoder(info: TypeInfo) -> Encoder:
    """A function from a Python form (never None) to the payload of a value.

    Raises:
        ProtocolError: the type is unknown.
    """
    kind = info.type_id
    if kind in _SIMPLE_ENCODERS:
        return _SIMPLE_ENCODERS[kind]
    if kind in _ENCODERS:
        return _ENCODERS[kind](info)
    if kind in t.CHARACTER:
        collation = info.collation
        return lambda text: encode_char(text, collation)
    if kind == t.SQL_VARIANT:
        return encode_variant
    raise ProtocolError(f"unknown data type {kind:#04x}")


def encode_value(info: TypeInfo, value: Any) -> bytes:
    """A value as it stands in a ROW, framing included."""
    return frame(info, None if value is None else payload_encoder(info)(value))


# --- sql_variant -----------------------------------------------------------------------------------------------


def decode_variant(payload: bytes) -> Variant:
    """Take a sql_variant's payload apart: base type, its properties, its value.

    Raises:
        ProtocolError: the payload is malformed.
    """
    reader = ByteReader(payload, complete=True)
    kind = reader.u8()
    properties = reader.sub(reader.u8())
    size = reader.remaining
    precision = scale = 0
    collation = None
    if kind in t.SCALED_TIME:
        scale = properties.u8()
    elif kind in t.DECIMALS:
        precision, scale = properties.u8(), properties.u8()
    elif kind in t.CHARACTER:
        collation, size = properties.raw(5), properties.u16()
    elif kind in (t.BIGVARBINARY, t.BIGBINARY):
        size = properties.u16()
    info = TypeInfo(type_id=kind, length=size, precision=precision, scale=scale, collation=collation)
    return Variant(info, payload_decoder(info)(reader.raw(reader.remaining)))


def encode_variant(variant: Variant) -> bytes:
    """A sql_variant's payload. The base type must be one that SQL Server allows there, in its fixed form."""
    info = variant.type
    kind = info.type_id
    if kind in t.SCALED_TIME:
        properties = bytes((info.scale,))
    elif kind in t.DECIMALS:
        properties = bytes((info.precision, info.scale))
    elif kind in t.CHARACTER:
        properties = (info.collation or bytes(5)) + struct.pack("<H", info.length)
    elif kind in (t.BIGVARBINARY, t.BIGBINARY):
        properties = struct.pack("<H", info.length)
    else:
        properties = b""
    return bytes((kind, len(properties))) + properties + payload_encoder(info)(variant.value)
