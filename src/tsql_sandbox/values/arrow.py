"""The Arrow types of rows that go into DuckDB."""

from __future__ import annotations

import pyarrow as pa

from .sqltypes import SqlType


def arrow_type(kind: SqlType) -> pa.DataType:
    """The Arrow type for rows that go into DuckDB."""
    storage = kind.storage
    if storage.startswith("DECIMAL"):
        return pa.decimal128(kind.precision, kind.scale)
    if storage.startswith("STRUCT"):
        return pa.struct([("u", pa.int64()), ("o", pa.int16())])
    return {
        "UTINYINT": pa.uint8(),
        "SMALLINT": pa.int16(),
        "INTEGER": pa.int32(),
        "BIGINT": pa.int64(),
        "FLOAT": pa.float32(),
        "DOUBLE": pa.float64(),
        "VARCHAR": pa.string(),
        "BLOB": pa.binary(),
    }[storage]
