"""Numbers of the TDS data types and how the values of each are framed in a row."""

from __future__ import annotations

NULL = 0x1F
INT1 = 0x30
BIT = 0x32
INT2 = 0x34
INT4 = 0x38
DATETIME4 = 0x3A
FLOAT4 = 0x3B
MONEY = 0x3C
DATETIME = 0x3D
FLOAT8 = 0x3E
MONEY4 = 0x7A
INT8 = 0x7F

GUID = 0x24
INTN = 0x26
DATEN = 0x28
TIMEN = 0x29
DATETIME2N = 0x2A
DATETIMEOFFSETN = 0x2B
BITN = 0x68
DECIMALN = 0x6A
NUMERICN = 0x6C
FLOATN = 0x6D
MONEYN = 0x6E
DATETIMEN = 0x6F
LEGACY_VARBINARY = 0x25
LEGACY_VARCHAR = 0x27
LEGACY_BINARY = 0x2D
LEGACY_CHAR = 0x2F
LEGACY_DECIMAL = 0x37
LEGACY_NUMERIC = 0x3F

BIGVARBINARY = 0xA5
BIGVARCHAR = 0xA7
BIGBINARY = 0xAD
BIGCHAR = 0xAF
NVARCHAR = 0xE7
NCHAR = 0xEF

IMAGE = 0x22
TEXT = 0x23
NTEXT = 0x63
SQL_VARIANT = 0x62
UDT = 0xF0
XML = 0xF1
JSON = 0xF4
VECTOR = 0xF5

FIXED_SIZES: dict[int, int] = {
    NULL: 0,
    INT1: 1,
    BIT: 1,
    INT2: 2,
    INT4: 4,
    DATETIME4: 4,
    FLOAT4: 4,
    MONEY: 8,
    DATETIME: 8,
    FLOAT8: 8,
    MONEY4: 4,
    INT8: 8,
}
"""Bytes of the types that are never NULL and have no length in the row."""

BYTE_LENGTH = frozenset(
    (
        GUID,
        INTN,
        DATEN,
        TIMEN,
        DATETIME2N,
        DATETIMEOFFSETN,
        BITN,
        DECIMALN,
        NUMERICN,
        FLOATN,
        MONEYN,
        DATETIMEN,
        LEGACY_VARBINARY,
        LEGACY_VARCHAR,
        LEGACY_BINARY,
        LEGACY_CHAR,
        LEGACY_DECIMAL,
        LEGACY_NUMERIC,
    )
)
"""Types whose values begin with a 1-byte length; 0 is NULL."""

USHORT_LENGTH = frozenset((BIGVARBINARY, BIGVARCHAR, BIGBINARY, BIGCHAR, NVARCHAR, NCHAR, VECTOR))
"""Types whose values begin with a 2-byte length, 0xFFFF is NULL; PLP when declared (max)."""

SCALED_TIME = frozenset((TIMEN, DATETIME2N, DATETIMEOFFSETN))
DECIMALS = frozenset((DECIMALN, NUMERICN, LEGACY_DECIMAL, LEGACY_NUMERIC))
CHARACTER = frozenset((BIGVARCHAR, BIGCHAR, NVARCHAR, NCHAR, TEXT, NTEXT, LEGACY_CHAR, LEGACY_VARCHAR))
"""Types that carry a collation."""
UTF16 = frozenset((NVARCHAR, NCHAR, NTEXT, XML))
OLD_LOB = frozenset((TEXT, NTEXT, IMAGE))
"""Types whose values begin with a text pointer and a time stamp; pointer length 0 is NULL."""
ALWAYS_PLP = frozenset((XML, UDT, JSON))
MAX_LENGTH = 0xFFFF
"""Declared length that marks varchar(max), nvarchar(max) and varbinary(max)."""

PLP_NULL = 0xFFFFFFFFFFFFFFFF
PLP_UNKNOWN = 0xFFFFFFFFFFFFFFFE


def time_size(scale: int) -> int:
    """Bytes of the time part of time, datetime2 and datetimeoffset at a scale of 0-7."""
    return 3 if scale <= 2 else 4 if scale <= 4 else 5


def decimal_size(precision: int) -> int:
    """Bytes of a decimal (sign included) of the given precision, as SQL Server declares it."""
    return 5 if precision <= 9 else 9 if precision <= 19 else 13 if precision <= 28 else 17
