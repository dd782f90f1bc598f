"""sql_variant: stored as TDS carries it, so that a result needs no work."""

from __future__ import annotations

import uuid
from typing import Any

from mssql_pg_migrate.tds import types as t
from mssql_pg_migrate.tds.collations import DEFAULT_NAME, Collation
from mssql_pg_migrate.tds.metadata import TypeInfo
from mssql_pg_migrate.tds.values import Variant, decode_variant, encode_variant

from ..errors import SqlError
from . import sqltypes as st
from .guids import guid_to_storage, guid_to_wire
from .sqltypes import SqlType

_NAMES = {
    t.BIT: "bit",
    t.INT1: "tinyint",
    t.INT2: "smallint",
    t.INT4: "int",
    t.INT8: "bigint",
    t.FLOAT4: "real",
    t.FLOAT8: "float",
    t.MONEY: "money",
    t.MONEY4: "smallmoney",
    t.DATETIME: "datetime",
    t.DATETIME4: "smalldatetime",
    t.DATEN: "date",
    t.TIMEN: "time",
    t.DATETIME2N: "datetime2",
    t.DATETIMEOFFSETN: "datetimeoffset",
    t.DECIMALN: "decimal",
    t.NUMERICN: "numeric",
    t.GUID: "uniqueidentifier",
    t.BIGVARCHAR: "varchar",
    t.BIGCHAR: "char",
    t.NVARCHAR: "nvarchar",
    t.NCHAR: "nchar",
    t.BIGVARBINARY: "varbinary",
    t.BIGBINARY: "binary",
}


def wrap(value: Any, source: SqlType) -> bytes:
    """A value and its type as a stored sql_variant.

    Raises:
        SqlError: 206, the type cannot be in one.
    """
    name = source.name
    forbidden = name in ("text", "ntext", "image", "xml", "timestamp", "json", "vector") or name in st.CLR
    if forbidden or source.is_max:
        raise SqlError(206, f"Operand type clash: {source} is incompatible with sql_variant")
    return encode_variant(Variant(source.type_info(nullable=False), to_wire(value, source)))


def to_wire(value: Any, source: SqlType) -> Any:
    """A stored value in the form `tds.values` encodes."""
    if value is None:
        return None
    if source.name == "uniqueidentifier":
        return uuid.UUID(bytes_le=guid_to_wire(value))
    return value


def from_wire(value: Any, target: SqlType) -> Any:
    """The reverse of `to_wire`."""
    if value is None:
        return None
    if target.name == "uniqueidentifier":
        return guid_to_storage(value.bytes_le)
    return int(value) if target.name == "bit" else value


def unwrap(payload: bytes) -> tuple[SqlType, Any]:
    """The type and value inside a stored sql_variant."""
    variant = decode_variant(payload)
    kind = type_of(variant.type)
    return kind, from_wire(variant.value, kind)


_NULLABLE = {
    (t.INTN, 1): "tinyint",
    (t.INTN, 2): "smallint",
    (t.INTN, 4): "int",
    (t.INTN, 8): "bigint",
    (t.BITN, 1): "bit",
    (t.FLOATN, 4): "real",
    (t.FLOATN, 8): "float",
    (t.MONEYN, 4): "smallmoney",
    (t.MONEYN, 8): "money",
    (t.DATETIMEN, 4): "smalldatetime",
    (t.DATETIMEN, 8): "datetime",
}
_LARGE = {t.TEXT: "text", t.NTEXT: "ntext", t.IMAGE: "image", t.XML: "xml", t.SQL_VARIANT: "sql_variant"}


def type_of(info: TypeInfo) -> SqlType:
    """The T-SQL type of a TYPE_INFO, as of a parameter.

    Raises:
        SqlError: 8009, there is none here (table types, a user's CLR types).
    """
    kind = info.type_id
    name = _NULLABLE.get((kind, info.length)) or _LARGE.get(kind) or _NAMES.get(kind)
    if kind == t.UDT and info.udt is not None and info.udt.name.lower() in st.CLR:
        name = info.udt.name.lower()
    if name is None:
        raise SqlError(8009, f"The sandbox does not know parameters of data type {kind:#04x}.")
    if name in st.DECIMALS:
        return st.make(name, info.precision, info.scale)
    if name in ("time", "datetime2", "datetimeoffset"):
        return st.make(name, info.scale)
    collation = None
    if info.collation is not None:
        collation = collation_name(info.collation)
    if name in ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary"):
        if info.length == t.MAX_LENGTH:
            return st.make(name, -1, collation=collation)
        return SqlType(name, max(info.length, 1), 0, 0, collation)
    return st.with_collation(st.make(name), collation)


def collation_name(data: bytes) -> str:
    """A name for five bytes of collation; the default's when it is not one of the common ones."""
    collation = Collation.decode(data)
    if collation.flags >> 26 & 1:
        return st.UTF8_COLLATION
    return DEFAULT_NAME
