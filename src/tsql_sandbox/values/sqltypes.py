"""The data types of T-SQL: ids and sizes as sys.types documents them, how each is stored in DuckDB and sent over TDS.

Storage is exact and orders as SQL Server orders:

| T-SQL | DuckDB |
| --- | --- |
| bit, tinyint, smallint, int, bigint | UTINYINT, UTINYINT, SMALLINT, INTEGER, BIGINT |
| decimal, money, smallmoney | DECIMAL(p,s), DECIMAL(19,4), DECIMAL(10,4) |
| real, float | FLOAT, DOUBLE |
| every character type, xml, json, vector | VARCHAR; UTF-16 code units that are no text are escaped, see `text` |
| binary types, rowversion, sql_variant (its TDS form), geometry, geography, hierarchyid (their CLR form) | BLOB |
| uniqueidentifier | BLOB, the bytes permuted into SQL Server's order of comparison |
| date | INTEGER, days since 0001-01-01 |
| time, datetime, smalldatetime, datetime2 | BIGINT, ticks of 100 ns since midnight or 0001-01-01 |
| datetimeoffset | STRUCT(u BIGINT, o SMALLINT), ticks in UTC and offset in minutes; compared by u |
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mssql_pg_migrate.tds import types as t
from mssql_pg_migrate.tds.collations import DEFAULT_NAME, Collation
from mssql_pg_migrate.tds.metadata import TypeInfo, UdtInfo
from mssql_pg_migrate.tds.values import frame

from ..errors import SqlError

UTF8_COLLATION = "Latin1_General_100_BIN2_UTF8"


TURKIC_LOWER = "lower(replace(replace({0}, 'İ', 'i'), 'I', 'ı'))"
TURKIC_UPPER = "upper(replace(replace({0}, 'i', 'İ'), 'ı', 'I'))"


def is_turkic(collation: str | None) -> bool:
    """Whether i and İ, ı and I are each other's other case, as in Turkish, and Azeri in Latin letters."""
    lowered = (collation or "").lower()
    return lowered.startswith(("turkish_", "azeri_latin_")) or "_cp1254_" in lowered


def is_supplementary(collation: str | None) -> bool:
    """Whether a collation takes a surrogate pair for one character: those with _SC, all of version 140 and of UTF-8
    ("Collation and Unicode support", supplementary characters)."""
    lowered = (collation or "").lower()
    return "_sc" in lowered or "_140_" in lowered or lowered.endswith("_utf8")


@dataclass(frozen=True)
class SystemType:
    """A row of sys.types: ids, and max_length, precision and scale where the declaration gives none."""

    name: str
    system_type_id: int
    user_type_id: int
    max_length: int
    precision: int = 0
    scale: int = 0


_SYSTEM = (
    SystemType("image", 34, 34, 16),
    SystemType("text", 35, 35, 16),
    SystemType("uniqueidentifier", 36, 36, 16),
    SystemType("date", 40, 40, 3, 10),
    SystemType("time", 41, 41, 5, 16, 7),
    SystemType("datetime2", 42, 42, 8, 27, 7),
    SystemType("datetimeoffset", 43, 43, 10, 34, 7),
    SystemType("tinyint", 48, 48, 1, 3),
    SystemType("smallint", 52, 52, 2, 5),
    SystemType("int", 56, 56, 4, 10),
    SystemType("smalldatetime", 58, 58, 4, 16),
    SystemType("real", 59, 59, 4, 24),
    SystemType("money", 60, 60, 8, 19, 4),
    SystemType("datetime", 61, 61, 8, 23, 3),
    SystemType("float", 62, 62, 8, 53),
    SystemType("sql_variant", 98, 98, 8016),
    SystemType("ntext", 99, 99, 16),
    SystemType("bit", 104, 104, 1, 1),
    SystemType("decimal", 106, 106, 17, 38, 38),
    SystemType("numeric", 108, 108, 17, 38, 38),
    SystemType("smallmoney", 122, 122, 4, 10, 4),
    SystemType("bigint", 127, 127, 8, 19),
    SystemType("hierarchyid", 240, 128, 892),
    SystemType("geometry", 240, 129, -1),
    SystemType("geography", 240, 130, -1),
    SystemType("varbinary", 165, 165, 8000),
    SystemType("varchar", 167, 167, 8000),
    SystemType("binary", 173, 173, 8000),
    SystemType("char", 175, 175, 8000),
    SystemType("timestamp", 189, 189, 8),
    SystemType("nvarchar", 231, 231, 8000),
    SystemType("nchar", 239, 239, 8000),
    SystemType("xml", 241, 241, -1),
    SystemType("sysname", 231, 256, 256),
    SystemType("json", 244, 244, -1),
    SystemType("vector", 165, 255, 8),
)
SYSTEM_TYPES: dict[str, SystemType] = {item.name: item for item in _SYSTEM}
_SYNONYMS = {
    "integer": "int",
    "dec": "decimal",
    "rowversion": "timestamp",
    "character": "char",
    "character varying": "varchar",
    "char varying": "varchar",
    "national character": "nchar",
    "national char": "nchar",
    "national character varying": "nvarchar",
    "national char varying": "nvarchar",
    "national text": "ntext",
    "binary varying": "varbinary",
    "double precision": "float",
}

CHARACTER = frozenset(("char", "varchar", "nchar", "nvarchar", "text", "ntext", "sysname"))
UNICODE = frozenset(("nchar", "nvarchar", "ntext", "sysname", "xml"))
BINARY = frozenset(("binary", "varbinary", "image", "timestamp"))
INTEGERS = frozenset(("bit", "tinyint", "smallint", "int", "bigint"))
DECIMALS = frozenset(("decimal", "numeric"))
MONEY = frozenset(("money", "smallmoney"))
FLOATS = frozenset(("real", "float"))
NUMBERS = INTEGERS | DECIMALS | MONEY | FLOATS
TIMESTAMPS = frozenset(("datetime", "smalldatetime", "datetime2"))
TIMES = TIMESTAMPS | {"date", "time", "datetimeoffset"}
CLR = frozenset(("geometry", "geography", "hierarchyid"))
TEXTUAL = CHARACTER | {"xml", "json", "vector"}

_PRECEDENCE = """
    hierarchyid geometry geography sql_variant vector json xml datetimeoffset datetime2 datetime smalldatetime
    date time float real decimal numeric money smallmoney bigint int smallint tinyint bit ntext text image
    timestamp uniqueidentifier nvarchar sysname nchar varchar char varbinary binary
    """.split()  # noqa: SIM905

PRECEDENCE = {name: rank for rank, name in enumerate(_PRECEDENCE)}
"""Lower ranks win when two types meet."""

_INTEGER_STORAGE = {
    "bit": "UTINYINT",
    "tinyint": "UTINYINT",
    "smallint": "SMALLINT",
    "int": "INTEGER",
    "bigint": "BIGINT",
}
_INTEGER_BYTES = {"tinyint": 1, "smallint": 2, "int": 4, "bigint": 8}
_FIXED_IDS = {
    "bit": t.BIT,
    "tinyint": t.INT1,
    "smallint": t.INT2,
    "int": t.INT4,
    "bigint": t.INT8,
    "real": t.FLOAT4,
    "float": t.FLOAT8,
    "money": t.MONEY,
    "smallmoney": t.MONEY4,
    "datetime": t.DATETIME,
    "smalldatetime": t.DATETIME4,
}
_NULLABLE_IDS = {
    "bit": t.BITN,
    "real": t.FLOATN,
    "float": t.FLOATN,
    "money": t.MONEYN,
    "smallmoney": t.MONEYN,
    "datetime": t.DATETIMEN,
    "smalldatetime": t.DATETIMEN,
    **dict.fromkeys(_INTEGER_BYTES, t.INTN),
}
_ASSEMBLY = (
    "Microsoft.SqlServer.Types.{}, Microsoft.SqlServer.Types, Version=11.0.0.0, Culture=neutral, "
    "PublicKeyToken=89845dcd8080cc91"
)
_CLR_CLASSES = {"geometry": "SqlGeometry", "geography": "SqlGeography", "hierarchyid": "SqlHierarchyId"}


@dataclass(frozen=True)
class SqlType:
    """A type as declared. `length` is in bytes as in sys.columns, -1 for (max); `name` is never a synonym."""

    name: str
    length: int = 0
    precision: int = 0
    scale: int = 0
    collation: str | None = None

    @property
    def storage(self) -> str:
        """The DuckDB type that holds values of this type."""
        name = self.name
        if name in _INTEGER_STORAGE:
            return _INTEGER_STORAGE[name]
        if name in DECIMALS or name in MONEY:
            return f"DECIMAL({self.precision},{self.scale})"
        if name in FLOATS:
            return "FLOAT" if name == "real" else "DOUBLE"
        if name in TEXTUAL:
            return "VARCHAR"
        if name == "date":
            return "INTEGER"
        if name == "datetimeoffset":
            return "STRUCT(u BIGINT, o SMALLINT)"
        return "BIGINT" if name in TIMES else "BLOB"

    @property
    def is_max(self) -> bool:
        """Whether the declared length is (max)."""
        return self.length == -1

    @property
    def chars(self) -> int:
        """Declared length in UTF-16 units (n-types) or bytes; -1 for (max)."""
        return self.length // 2 if self.length > 0 and self.name in UNICODE else self.length

    @property
    def system(self) -> SystemType:
        """The row of sys.types behind this type."""
        return SYSTEM_TYPES[self.name]

    def type_info(self, nullable: bool = True) -> TypeInfo:
        """How a column of this type is announced in COLMETADATA."""
        name = self.name
        if name in _FIXED_IDS:
            if not nullable:
                return TypeInfo(type_id=_FIXED_IDS[name], length=self.system.max_length)
            return TypeInfo(type_id=_NULLABLE_IDS[name], length=self.system.max_length)
        if name in DECIMALS:
            kind = t.DECIMALN if name == "decimal" else t.NUMERICN
            size = t.decimal_size(self.precision)
            return TypeInfo(type_id=kind, length=size, precision=self.precision, scale=self.scale)
        if name in TEXTUAL:
            return self._character_info()
        if name in BINARY:
            return self._binary_info()
        if name in CLR:
            udt = UdtInfo("", "sys", name, _ASSEMBLY.format(_CLR_CLASSES[name]))
            return TypeInfo(type_id=t.UDT, length=892 if name == "hierarchyid" else t.MAX_LENGTH, udt=udt)
        if name == "uniqueidentifier":
            return TypeInfo(type_id=t.GUID, length=16)
        if name == "sql_variant":
            return TypeInfo(type_id=t.SQL_VARIANT, length=8009)
        kinds = {"date": t.DATEN, "time": t.TIMEN, "datetime2": t.DATETIME2N, "datetimeoffset": t.DATETIMEOFFSETN}
        return TypeInfo(type_id=kinds[name], length=self.length, scale=self.scale)

    def _character_info(self) -> TypeInfo:
        name = self.name
        if name == "xml":
            return TypeInfo(type_id=t.XML, length=t.MAX_LENGTH)
        if name in ("json", "vector"):
            # What SQL Server 2025 sends to clients that did not ask for the new types.
            collation = Collation.from_name(UTF8_COLLATION).encode()
            return TypeInfo(type_id=t.BIGVARCHAR, length=t.MAX_LENGTH, collation=collation)
        collation = Collation.from_name(self.collation or DEFAULT_NAME).encode()
        if name == "text":
            return TypeInfo(type_id=t.TEXT, length=0x7FFFFFFF, collation=collation)
        if name == "ntext":
            return TypeInfo(type_id=t.NTEXT, length=0x7FFFFFFE, collation=collation)
        kinds = {"char": t.BIGCHAR, "varchar": t.BIGVARCHAR, "nchar": t.NCHAR}
        length = t.MAX_LENGTH if self.is_max else max(self.length, 1)
        return TypeInfo(type_id=kinds.get(name, t.NVARCHAR), length=length, collation=collation)

    def _binary_info(self) -> TypeInfo:
        if self.name == "image":
            return TypeInfo(type_id=t.IMAGE, length=0x7FFFFFFF)
        if self.name == "varbinary":
            return TypeInfo(type_id=t.BIGVARBINARY, length=t.MAX_LENGTH if self.is_max else max(self.length, 1))
        return TypeInfo(type_id=t.BIGBINARY, length=self.length)

    def __str__(self) -> str:
        name = self.name
        if name in ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary"):
            return f"{name}({'max' if self.is_max else self.chars})"
        if name in DECIMALS:
            return f"{name}({self.precision},{self.scale})"
        if name in ("time", "datetime2", "datetimeoffset"):
            return f"{name}({self.scale})"
        return name


def make(name: str, *arguments: int, collation: str | None = None) -> SqlType:
    """A type from its declaration, for example `make("decimal", 10, 2)`; -1 stands for max.

    Raises:
        SqlError: there is no such type, or an argument is out of its range.
    """
    name = _SYNONYMS.get(name.lower(), name.lower())
    if name not in SYSTEM_TYPES:
        raise SqlError(2715, f"Cannot find data type {name}.")
    first = arguments[0] if arguments else None
    if name in DECIMALS:
        precision = first if first is not None else 18
        scale = arguments[1] if len(arguments) > 1 else 0
        if not 1 <= precision <= 38 or not 0 <= scale <= precision:
            raise SqlError(2750, f"Specified column precision {precision} or scale {scale} is out of range.")
        return SqlType(name, t.decimal_size(precision), precision, scale)
    if name == "float":
        name = "real" if first is not None and first <= 24 else "float"
    if name in ("time", "datetime2", "datetimeoffset"):
        return _time_type(name, 7 if first is None else first)
    if name == "vector":
        return SqlType(name, 8 + 4 * (first or 1), 0, 0)
    if name in ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary"):
        return _sized_type(name, 1 if first is None else first, collation)
    system = SYSTEM_TYPES[name]
    return SqlType(name, system.max_length, system.precision, system.scale, collation if name in CHARACTER else None)


def _time_type(name: str, scale: int) -> SqlType:
    if not 0 <= scale <= 7:
        raise SqlError(1002, f"Line 1: Specified scale {scale} is invalid.")
    extra, digits = {"time": (0, 8), "datetime2": (3, 19), "datetimeoffset": (5, 26)}[name]
    return SqlType(name, t.time_size(scale) + extra, digits + (scale + 1 if scale else 0), scale)


def _sized_type(name: str, size: int, collation: str | None) -> SqlType:
    limit = 4000 if name in ("nchar", "nvarchar") else 8000
    if size == -1 and name in ("varchar", "nvarchar", "varbinary"):
        length = -1
    elif 1 <= size <= limit:
        length = size * (2 if limit == 4000 else 1)
    else:
        raise SqlError(131, f"The size ({size}) given to the type '{name}' exceeds the maximum allowed ({limit}).")
    return SqlType(name, length, 0, 0, collation if name in CHARACTER else None)


def with_collation(kind: SqlType, collation: str | None) -> SqlType:
    """The type under another collation; types without one stay as they are."""
    return replace(kind, collation=collation) if kind.name in CHARACTER and collation else kind


INT = make("int")
BIGINT = make("bigint")
BIT = make("bit")
FLOAT = make("float")
NVARCHAR_MAX = make("nvarchar", -1)
VARCHAR_MAX = make("varchar", -1)
VARBINARY_MAX = make("varbinary", -1)
SYSNAME = make("nvarchar", 128)
DATETIME = make("datetime")


def null_bytes(info: TypeInfo) -> bytes:
    """NULL as it stands in a ROW; nothing for types that have none."""
    return b"" if info.fixed_size is not None else frame(info, None)
