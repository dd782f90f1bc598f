"""Rows as DuckDB gives them into ROW and NBCROW tokens."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from decimal import Context, Decimal
from typing import Any

from mssql_pg_migrate.tds import types as t
from mssql_pg_migrate.tds.collations import codec_of, holes_of
from mssql_pg_migrate.tds.metadata import FLAG_IDENTITY, FLAG_NULLABLE, ColumnMetadata, TypeInfo
from mssql_pg_migrate.tds.tokens import NBCROW, ROW
from mssql_pg_migrate.tds.values import TICKS_PER_DAY, encode_plp, frame, payload_encoder

from ..compiler.outputs import OutputColumn
from ..values import sqltypes as st
from ..values import text
from ..values.guids import guid_to_wire
from ..values.sqltypes import SqlType, null_bytes
from ..values.vectors import payload, shown

ColumnEncoder = Callable[[Iterable[Any]], list[bytes]]

_UPDATEABLE_UNKNOWN = 0x08


def type_info_of(column: OutputColumn, vectors: bool) -> TypeInfo:
    """The type of a result's column; ``vectors`` for clients that take them in binary."""
    if vectors and column.type.name == "vector":
        return TypeInfo(type_id=t.VECTOR, length=column.type.length, scale=0)
    return column.type.type_info(column.nullable)


def metadata_of(column: OutputColumn, vectors: bool = False) -> ColumnMetadata:
    """How a result's column is announced."""
    info = type_info_of(column, vectors)
    identity = column.column is not None and column.column.identity is not None
    flags = (FLAG_NULLABLE if column.nullable else 0) | _UPDATEABLE_UNKNOWN | (FLAG_IDENTITY if identity else 0)
    name = column.name[:128]
    table = ("",) if info.is_old_lob else ()
    return ColumnMetadata(
        type_id=info.type_id,
        length=info.length,
        precision=info.precision,
        scale=info.scale,
        collation=info.collation,
        udt=info.udt,
        xml=info.xml,
        name=name,
        flags=flags,
        table=table,
    )


class RowEncoder:
    """Encodes the rows of one result. `compress` allows NBCROW for rows where it is the shorter form."""

    def __init__(self, columns: Sequence[OutputColumn], compress: bool = True, vectors: bool = False) -> None:
        self.columns = columns
        infos = [type_info_of(column, vectors) for column in columns]
        self._encoders = [column_encoder(c.type, info) for c, info in zip(columns, infos, strict=True)]
        self._nulls = [null_bytes(info) for info in infos]
        self._bitmap = (len(columns) + 7) // 8
        self._compress = compress and sum(map(len, self._nulls)) > self._bitmap

    def encode(self, rows: Sequence[tuple[Any, ...]]) -> bytes:
        """The tokens of some rows."""
        cells = [encode(column) for encode, column in zip(self._encoders, zip(*rows, strict=True), strict=True)]
        encoded = zip(*cells, strict=True)
        if not self._compress:
            return b"".join(part for row in encoded for part in (b"\xd1", *row))
        return b"".join(self._row(row, values) for row, values in zip(encoded, rows, strict=True))

    def _row(self, cells: tuple[bytes, ...], values: tuple[Any, ...]) -> bytes:
        if None in values:
            missing = [index for index, value in enumerate(values) if value is None]
            if sum(len(self._nulls[index]) for index in missing) > self._bitmap:
                bits = sum(1 << index for index in missing)
                present = (cell for cell, value in zip(cells, values, strict=True) if value is not None)
                return bytes((NBCROW,)) + bits.to_bytes(self._bitmap, "little") + b"".join(present)
        return bytes((ROW,)) + b"".join(cells)


def column_encoder(kind: SqlType, info: TypeInfo) -> ColumnEncoder:
    """A function that encodes a column's values, framing included."""
    null = null_bytes(info)
    special = _fast_encoder(kind, info, null)
    if special is not None:
        return special
    encode = payload_encoder(info)
    prepare = _preparation(kind, info)

    def column(values: Iterable[Any]) -> list[bytes]:
        return [null if value is None else frame(info, encode(prepare(value))) for value in values]

    return column


def _preparation(kind: SqlType, info: TypeInfo) -> Callable[[Any], Any]:
    if kind.name == "vector":
        return payload if info.type_id == t.VECTOR else shown
    if kind.name in st.TEXTUAL:
        return text.from_storage
    if kind.name == "datetimeoffset":
        return lambda value: (value["u"], value["o"])
    return lambda value: value


def _fast_encoder(kind: SqlType, info: TypeInfo, null: bytes) -> ColumnEncoder | None:
    name = kind.name
    if name in ("int", "bigint", "smallint", "tinyint", "bit", "float", "real"):
        size = kind.system.max_length
        letter = {"float": "d", "real": "f"}.get(name) or {1: "B", 2: "h", 4: "i", 8: "q"}[size]
        if info.fixed_size is not None:
            pack = struct.Struct(f"<{letter}").pack
            return lambda values: [pack(value) for value in values]
        pack_nullable = struct.Struct(f"<B{letter}").pack
        return lambda values: [null if value is None else pack_nullable(size, value) for value in values]
    if name == "uniqueidentifier":
        return lambda values: [null if value is None else b"\x10" + guid_to_wire(value) for value in values]
    if name == "sql_variant" or info.type_id == t.UDT:
        return lambda values: [null if value is None else frame(info, value) for value in values]
    encode = _cell_encoder(kind, info)
    if encode is None:
        return None
    return lambda values: [null if value is None else encode(value) for value in values]


def _cell_encoder(kind: SqlType, info: TypeInfo) -> Callable[[Any], bytes] | None:
    """A function from a value to its bytes with framing, for the types of which tables are full."""
    if kind.name in st.DECIMALS:
        return _decimal_cell(kind, info)
    if kind.name == "datetime2":
        return _datetime2_cell(kind.scale)
    if kind.name == "datetime":
        prefix = b"" if info.fixed_size is not None else b"\x08"
        payload = payload_encoder(info)
        return lambda value: prefix + payload(value)
    if kind.name in st.TEXTUAL and kind.name != "vector" and info.type_id in (t.NVARCHAR, t.BIGVARCHAR, t.XML):
        wide = info.type_id in t.UTF16
        codec = "utf-16-le" if wide else codec_of(info.collation)
        if codec == "cp936":
            return None  # The euro needs `encode_char`.
        errors = "surrogatepass" if wide else "replace" if codec == "utf-8" else holes_of(codec)
        return _large_text_cell(codec, errors) if info.is_plp else _text_cell(codec, errors)
    return None


def _text_cell(codec: str, errors: str) -> Callable[[Any], bytes]:
    from_storage = text.from_storage

    def encode(value: str) -> bytes:
        data = from_storage(value).encode(codec, errors)
        return len(data).to_bytes(2, "little") + data

    return encode


def _large_text_cell(codec: str, errors: str) -> Callable[[Any], bytes]:
    from_storage = text.from_storage

    def encode(value: str) -> bytes:
        return encode_plp(from_storage(value).encode(codec, errors))

    return encode


def _decimal_cell(kind: SqlType, info: TypeInfo) -> Callable[[Any], bytes]:
    scale = kind.scale
    size = info.length - 1
    positive, negative = bytes((info.length, 1)), bytes((info.length, 0))
    scaled = Context(prec=60).scaleb

    def encode(value: Decimal) -> bytes:
        number = int(scaled(value, scale))
        if number < 0:
            return negative + (-number).to_bytes(size, "little")
        return positive + number.to_bytes(size, "little")

    return encode


def _datetime2_cell(scale: int) -> Callable[[Any], bytes]:
    unit: int = 10 ** (7 - scale)
    size = t.time_size(scale)
    length = bytes((size + 3,))

    def encode(value: int) -> bytes:
        days: int = value // TICKS_PER_DAY
        ticks: int = value % TICKS_PER_DAY
        return length + (ticks // unit).to_bytes(size, "little") + days.to_bytes(3, "little")

    return encode
