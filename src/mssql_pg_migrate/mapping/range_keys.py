"""Keys that ranges and resume can use: which of a table's, and why not another."""

from __future__ import annotations

from ..model import Column, Key, SqlType, Table

_INTEGERS = ("tinyint", "smallint", "int", "bigint")
_DECIMALS = ("decimal", "numeric", "money", "smallmoney")
_NARROW_TEXT = ("char", "varchar")
_WIDE_TEXT = ("nchar", "nvarchar")
_BINARY = ("binary", "varbinary")
_DATETIMES = ("datetime", "smalldatetime", "datetime2", "datetimeoffset")

_BYTES_WIDTH = {"bit": 1, "tinyint": 1, "smallint": 2, "int": 4, "bigint": 8, "uniqueidentifier": 16}


def unusable_reason(column: Column) -> str | None:
    """Why a key that holds this column cannot serve ranges and resume; None when it can."""
    name = column.type.name
    if column.nullable:
        return f"{column.name} may be NULL"
    if column.encrypted:
        return f"{column.name} is Always Encrypted"
    if column.graph_type is not None:
        return f"{column.name} is a pseudo-column of a graph table"
    if name in ("float", "real"):
        return f"{column.name} is {name}, whose values have no exact literal"
    if name == "timestamp":
        return f"{column.name} is a rowversion, which every update changes"
    if column.type.is_max or not is_key_type(name):
        return f"{column.name} is {column.type}"
    return None


def is_key_type(name: str) -> bool:
    """Whether values of a type (without (max)) have an exact text and an order on the server."""
    return (
        name in ("bit", "date", "time", "uniqueidentifier")
        or name in _INTEGERS
        or name in _DECIMALS
        or name in _DATETIMES
        or name in _NARROW_TEXT
        or name in _WIDE_TEXT
        or name in _BINARY
    )


def candidate_keys(table: Table) -> tuple[Key, ...]:
    """All unique keys of a table that ranges could use, best first.

    Primary key, unique constraints, and unique indexes without a filter; enabled, every column not null and of an
    orderable type. A clustered one comes first, because reading in its order needs neither a sort nor a lookup per row;
    then the primary key; then the one with fewer and narrower columns.
    """
    keys = [*([table.primary_key] if table.primary_key else ()), *table.unique_keys]
    keys += [
        Key(name=index.name, columns=index.columns, primary=False, clustered=index.clustered)
        for index in table.indexes
        if index.unique and index.filter is None and not index.disabled and index.kind in ("CLUSTERED", "NONCLUSTERED")
    ]
    columns = {column.name: column for column in table.columns}

    def usable(key: Key) -> bool:
        return (
            bool(key.columns)
            and not key.disabled
            and all(part.name in columns and unusable_reason(columns[part.name]) is None for part in key.columns)
        )

    def width(key: Key) -> int:
        return sum(_width(columns[part.name].type) for part in key.columns)

    usable_keys = [key for key in keys if usable(key)]
    usable_keys.sort(key=lambda key: (not key.clustered, not key.primary, len(key.columns), width(key), key.name))
    return tuple(usable_keys)


def choose_range_key(table: Table) -> Key | None:
    """The key that ranges and resume use (see `candidate_keys`); None streams the table whole."""
    keys = candidate_keys(table)
    return keys[0] if keys else None


def _width(sql_type: SqlType) -> int:
    return _BYTES_WIDTH.get(sql_type.name, sql_type.max_length)
