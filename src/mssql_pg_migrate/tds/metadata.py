"""What a column is: TYPE_INFO and the COLMETADATA token, both directions."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from . import types as t
from .buffer import ByteReader, ProtocolError, b_varchar, us_varchar

TOKEN_COLMETADATA = 0x81
NO_METADATA = 0xFFFF

FLAG_NULLABLE = 0x0001
FLAG_CASE_SENSITIVE = 0x0002
FLAG_UPDATEABLE = 0x0004
FLAG_UPDATEABLE_UNKNOWN = 0x0008
FLAG_IDENTITY = 0x0010
FLAG_COMPUTED = 0x0020
FLAG_FIXED_LEN_CLR = 0x0100
FLAG_SPARSE_COLUMN_SET = 0x0400
FLAG_HIDDEN = 0x2000
FLAG_KEY = 0x4000
FLAG_NULLABLE_UNKNOWN = 0x8000


@dataclass(frozen=True)
class UdtInfo:
    """The CLR type of a UDT column: geometry, geography, hierarchyid or a user's own."""

    database: str
    schema: str
    name: str
    assembly: str = ""


@dataclass(frozen=True)
class XmlSchemaInfo:
    """The XML schema collection of a typed xml column."""

    database: str
    schema: str
    collection: str


@dataclass(frozen=True, kw_only=True)
class TypeInfo:
    """A TYPE_INFO structure.

    `type_id` is a number of `tds.types`. `length` is the declared maximum in bytes (0xFFFF for the (max) types,
    0x7FFFFFFF and the like for text, ntext and image; for types without a declared length, the bytes of a value).
    `precision` is 0 except for decimals; `scale` is that of decimals and of time, datetime2 and datetimeoffset.
    `collation` has 5 bytes for character types and is None for all others.
    """

    type_id: int
    length: int = 0
    precision: int = 0
    scale: int = 0
    collation: bytes | None = None
    udt: UdtInfo | None = None
    xml: XmlSchemaInfo | None = None

    @property
    def is_plp(self) -> bool:
        """Whether values arrive as partially length-prefixed chunks."""
        if self.type_id in t.ALWAYS_PLP:
            return True
        return self.length == t.MAX_LENGTH and self.type_id in (t.BIGVARCHAR, t.BIGVARBINARY, t.NVARCHAR)

    @property
    def is_old_lob(self) -> bool:
        """Whether values are text, ntext or image, framed by text pointers."""
        return self.type_id in t.OLD_LOB

    @property
    def fixed_size(self) -> int | None:
        """Bytes of a value of a type without length prefix, None for all others."""
        return t.FIXED_SIZES.get(self.type_id)

    def encode_type_info(self, *, in_rpc: bool = False) -> bytes:
        """The bytes of this TYPE_INFO. A UDT has its assembly named in results but not in RPC parameters.

        Raises:
            ProtocolError: the type is unknown.
        """
        kind = self.type_id
        head = bytes((kind,))
        if kind in t.FIXED_SIZES or kind in (t.DATEN, t.JSON):
            return head
        if kind in t.SCALED_TIME:
            return head + bytes((self.scale,))
        if kind in t.DECIMALS:
            return head + bytes((self.length or t.decimal_size(self.precision), self.precision, self.scale))
        if kind == t.VECTOR:
            return head + struct.pack("<HB", self.length, self.scale)
        if kind in t.USHORT_LENGTH:
            return head + struct.pack("<H", self.length) + (self._collation() if kind in t.CHARACTER else b"")
        if kind in t.BYTE_LENGTH:
            return head + bytes((self.length,)) + (self._collation() if kind in t.CHARACTER else b"")
        if kind in t.OLD_LOB or kind == t.SQL_VARIANT:
            return head + struct.pack("<i", self.length) + (self._collation() if kind in t.CHARACTER else b"")
        if kind == t.XML:
            return head + self._encode_xml()
        if kind == t.UDT:
            return head + self._encode_udt(in_rpc)
        raise ProtocolError(f"unknown data type {kind:#04x}")

    def _collation(self) -> bytes:
        return self.collation if self.collation is not None else bytes(5)

    def _encode_xml(self) -> bytes:
        if self.xml is None:
            return b"\x00"
        info = self.xml
        return b"\x01" + b_varchar(info.database) + b_varchar(info.schema) + us_varchar(info.collection)

    def _encode_udt(self, in_rpc: bool) -> bytes:
        info = self.udt or UdtInfo("", "", "")
        names = b_varchar(info.database) + b_varchar(info.schema) + b_varchar(info.name)
        if in_rpc:
            return names
        return struct.pack("<H", self.length) + names + us_varchar(info.assembly)


@dataclass(frozen=True, kw_only=True)
class ColumnMetadata(TypeInfo):
    """One column of a result: its TYPE_INFO and its name.

    `flags` are the FLAG_ bits of this module; `user_type` the number of an alias type (0 for none);
    `table` the parts of the table's name, sent for text, ntext and image only.
    """

    name: str = ""
    flags: int = FLAG_NULLABLE
    user_type: int = 0
    table: tuple[str, ...] = field(default=())

    @property
    def nullable(self) -> bool:
        """Whether the server says that values may be NULL."""
        return bool(self.flags & FLAG_NULLABLE)


def decode_type_info(reader: ByteReader, *, in_rpc: bool = False) -> TypeInfo:
    """Read a TYPE_INFO.

    Raises:
        NeedMoreData: the buffer ends inside it.
        ProtocolError: the type is unknown.
    """
    kind = reader.u8()
    if kind in t.FIXED_SIZES:
        return TypeInfo(type_id=kind, length=t.FIXED_SIZES[kind])
    if kind == t.DATEN:
        return TypeInfo(type_id=kind, length=3)
    if kind in t.SCALED_TIME:
        return _decode_time(kind, reader.u8())
    if kind in t.DECIMALS:
        length, precision, scale = reader.u8(), reader.u8(), reader.u8()
        return TypeInfo(type_id=kind, length=length, precision=precision, scale=scale)
    if kind == t.VECTOR:
        return TypeInfo(type_id=kind, length=reader.u16(), scale=reader.u8())
    if kind in t.USHORT_LENGTH:
        length = reader.u16()
    elif kind in t.BYTE_LENGTH:
        length = reader.u8()
    elif kind in t.OLD_LOB or kind == t.SQL_VARIANT:
        length = reader.i32()
    elif kind == t.JSON:
        return TypeInfo(type_id=kind, length=t.MAX_LENGTH)
    elif kind == t.XML:
        return _decode_xml(reader)
    elif kind == t.UDT:
        return _decode_udt(reader, in_rpc)
    else:
        raise ProtocolError(f"unknown data type {kind:#04x}")
    collation = reader.raw(5) if kind in t.CHARACTER else None
    return TypeInfo(type_id=kind, length=length, collation=collation)


def _decode_time(kind: int, scale: int) -> TypeInfo:
    if scale > 7:
        raise ProtocolError(f"scale {scale} of a time type is over 7")
    extra = {t.TIMEN: 0, t.DATETIME2N: 3, t.DATETIMEOFFSETN: 5}[kind]
    return TypeInfo(type_id=kind, length=t.time_size(scale) + extra, scale=scale)


def _decode_xml(reader: ByteReader) -> TypeInfo:
    schema = None
    if reader.u8():
        schema = XmlSchemaInfo(reader.b_varchar(), reader.b_varchar(), reader.us_varchar())
    return TypeInfo(type_id=t.XML, length=t.MAX_LENGTH, xml=schema)


def _decode_udt(reader: ByteReader, in_rpc: bool) -> TypeInfo:
    length = t.MAX_LENGTH if in_rpc else reader.u16()
    names = reader.b_varchar(), reader.b_varchar(), reader.b_varchar()
    assembly = "" if in_rpc else reader.us_varchar()
    return TypeInfo(type_id=t.UDT, length=length, udt=UdtInfo(*names, assembly))


def encode_colmetadata(columns: Sequence[ColumnMetadata]) -> bytes:
    """The COLMETADATA token, its token byte included."""
    parts = [struct.pack("<BH", TOKEN_COLMETADATA, len(columns))]
    for column in columns:
        parts.append(struct.pack("<IH", column.user_type, column.flags))
        parts.append(column.encode_type_info())
        if column.is_old_lob:
            parts.append(bytes((len(column.table),)))
            parts.extend(us_varchar(part) for part in column.table)
        parts.append(b_varchar(column.name))
    return b"".join(parts)


def decode_colmetadata(reader: ByteReader) -> list[ColumnMetadata]:
    """Read a COLMETADATA token whose token byte has been read already. No columns when it says "no metadata".

    Raises:
        NeedMoreData: the buffer ends inside it; `reader.pos` is then undefined.
        ProtocolError: a type is unknown.
    """
    count = reader.u16()
    if count == NO_METADATA:
        return []
    return [_decode_column(reader) for _ in range(count)]


def _decode_column(reader: ByteReader) -> ColumnMetadata:
    user_type, flags = reader.u32(), reader.u16()
    info = decode_type_info(reader)
    table: tuple[str, ...] = ()
    if info.is_old_lob:
        table = tuple(reader.us_varchar() for _ in range(reader.u8()))
    return ColumnMetadata(
        type_id=info.type_id,
        length=info.length,
        precision=info.precision,
        scale=info.scale,
        collation=info.collation,
        udt=info.udt,
        xml=info.xml,
        name=reader.b_varchar(),
        flags=flags,
        user_type=user_type,
        table=table,
    )
