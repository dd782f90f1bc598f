"""Conversions between T-SQL types as DuckDB SQL: in plain SQL where that is exact, by `convert` as a function else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mssql_pg_migrate.tds.collations import DEFAULT_NAME, Collation

from ..catalog.model import Column
from ..errors import SqlError
from ..values import sqltypes as st
from ..values import text
from ..values.convert import convert, to_duckdb
from ..values.datetimes import DAYS_1900
from ..values.sqltypes import SqlType

if TYPE_CHECKING:
    import duckdb

NOT_CONSTANT: Any = object()
_DAY = "864000000000"
_MINUTE = "600000000"
_TRY = 1024
"""Added to a style code by TRY_CAST and TRY_CONVERT."""


@dataclass(frozen=True)
class Ex:
    """A compiled expression: DuckDB SQL and its T-SQL type (None for an untyped NULL).

    `const` is the value when it is known; `column` the table column that the expression is.
    """

    sql: str
    type: SqlType | None
    nullable: bool = True
    const: Any = NOT_CONSTANT
    column: Column | None = field(default=None, compare=False)
    explicit_collation: bool = False

    @property
    def is_const(self) -> bool:
        """Whether the value is known."""
        return self.const is not NOT_CONSTANT


def constant(value: Any, kind: SqlType | None) -> Ex:
    """A constant as an expression."""
    return Ex(literal(value, kind), kind, value is None, value)


NULL = Ex("NULL", None, True, None)


def literal(value: Any, kind: SqlType | None) -> str:
    """A value in its storage form as DuckDB SQL."""
    if value is None or kind is None:
        return "NULL" if kind is None else f"CAST(NULL AS {kind.storage})"
    if kind.name in st.TEXTUAL:
        return text.literal(value)
    storage = kind.storage
    if storage == "BLOB":
        return f"unhex('{value.hex()}')" if value else "''::BLOB"
    if kind.name == "datetimeoffset":
        return f"{{'u': {value[0]}::BIGINT, 'o': {value[1]}::SMALLINT}}"
    if isinstance(value, Decimal):
        # As text: DuckDB makes a float of a number with more than 38 digits, a leading 0 counted.
        return f"CAST('{value:f}' AS {storage})"
    if isinstance(value, float):
        return f"CAST('{value!r}' AS {storage})"
    return f"CAST({int(value)} AS {storage})"


# --- functions in DuckDB ---------------------------------------------------------------------------------------

MACROS = (
    # Comparison forms of text: trailing blanks never count; case and accents by collation.
    "ci(x) AS lower(rtrim(x, ' '))",
    "ci_ai(x) AS strip_accents(lower(rtrim(x, ' ')))",
    "cs(x) AS rtrim(x, ' ')",
    "cs_ai(x) AS strip_accents(rtrim(x, ' '))",
    # The hexadecimal text of a uniqueidentifier in the order of its bytes on the wire.
    "guid_hex(h) AS h[25:32] || h[21:24] || h[17:20] || h[13:16] || h[1:12]",
    "guid_bytes(x) AS unhex(guid_hex(hex(x)))",
    "guid_text_of(h) AS h[31:32] || h[29:30] || h[27:28] || h[25:26] || '-' || h[23:24] || h[21:22] || '-' || "
    "h[19:20] || h[17:18] || '-' || h[13:16] || '-' || h[1:12]",
    "guid_text(x) AS guid_text_of(hex(x))",
    "guid_of(h) AS unhex(h[21:32] || h[17:20] || h[13:16] || h[9:12] || h[1:8])",
    "guid_from_bytes(x) AS guid_of(rpad(hex(x), 32, '0'))",
    "date_text(d) AS CAST(DATE '0001-01-01' + CAST(d AS INTEGER) AS VARCHAR)",
    "clock_text(t) AS printf('%02d:%02d:%02d', t // 36000000000, t // 600000000 % 60, t // 10000000 % 60)",
    f"ms_of(t) AS (t % {_DAY} + 5000) // 10000 % 1000",
    "units(x) AS length(x) + length(regexp_replace(x, '[^\\x{10000}-\\x{10EFFF}\\x{10F800}-\\x{10FFFF}]', '', 'g'))",
    "in_units(x) AS CASE WHEN units(x) = length(x) THEN x ELSE split_pairs(x) END",
    "int_divide(a, b) AS CASE WHEN b = 0 THEN error('[8134] Divide by zero error encountered.') "
    "WHEN (a < 0) = (b < 0) THEN abs(a) // abs(b) ELSE -(abs(a) // abs(b)) END",
    "nonzero(b) AS CASE WHEN b = 0 THEN error('[8134] Divide by zero error encountered.') ELSE b END",
    "money_of(x) AS CASE WHEN x NOT BETWEEN -922337203685477.5808 AND 922337203685477.5807 "
    "THEN error('[8115] Arithmetic overflow error converting expression to data type money.') "
    "ELSE CAST(x AS DECIMAL(19,4)) END",
    "smallmoney_of(x) AS CASE WHEN x NOT BETWEEN -214748.3648 AND 214748.3647 "
    "THEN error('[8115] Arithmetic overflow error converting expression to data type smallmoney.') "
    "ELSE CAST(x AS DECIMAL(10,4)) END",
)
"""Bodies of the macros every DuckDB instance gets."""

_CLASSES = {
    "i": "BIGINT",
    "d": "VARCHAR",
    "f": "DOUBLE",
    "s": "VARCHAR",
    "b": "BLOB",
    "o": "STRUCT(u BIGINT, o SMALLINT)",
}


def _class_of(kind: SqlType) -> str:
    if kind.name in st.DECIMALS or kind.name in st.MONEY:
        return "d"
    if kind.name in st.FLOATS:
        return "f"
    if kind.name in st.TEXTUAL:
        return "s"
    if kind.name == "datetimeoffset":
        return "o"
    return "b" if kind.storage == "BLOB" else "i"


@lru_cache(maxsize=1024)
def _descriptor(kind: SqlType) -> str:
    return f"{kind.name};{kind.length};{kind.precision};{kind.scale};{kind.collation or ''}"


@lru_cache(maxsize=1024)
def _described(descriptor: str) -> SqlType:
    name, length, precision, scale, collation = descriptor.split(";")
    return SqlType(name, int(length), int(precision), int(scale), collation or None)


def _to_python(value: Any, kind: str) -> Any:
    if kind == "s":
        return text.from_storage(value)
    if kind == "d":
        return Decimal(value)
    if kind == "o":
        return value["u"], value["o"]
    return value


def marked(error: SqlError) -> ValueError:
    """An error of T-SQL in the form in which it comes back out of DuckDB: its number in brackets."""
    return ValueError(f"[{error.number}] {error.text}")


def _converter(source_class: str, target_class: str) -> Callable[[Any, str, str, int], Any]:
    def function(value: Any, source: str, target: str, style: int) -> Any:
        if value is None:
            return None
        try:
            code = None if style in (-1, _TRY - 1) else style % _TRY
            plain = convert(_to_python(value, source_class), _described(source), _described(target), code)
        except SqlError as error:
            if style >= _TRY - 1:
                return None
            raise marked(error) from None
        return to_duckdb(plain, target_class)

    return function


def install(connection: duckdb.DuckDBPyConnection) -> None:
    """Give a DuckDB instance the macros and conversion functions of this module."""
    for macro in MACROS:
        connection.execute(f"CREATE MACRO {macro}")
    for source, source_type in _CLASSES.items():
        for target, target_type in _CLASSES.items():
            arguments: Any = [source_type, "VARCHAR", "VARCHAR", "INTEGER"]
            function: Any = _converter(source, target)
            connection.create_function(f"cv_{source}_{target}", function, arguments, target_type)
            # Conversions that may fail return NULL, which DuckDB takes from such functions only that get NULLs too.
            options: Any = {"null_handling": "special"}
            connection.create_function(f"tv_{source}_{target}", function, arguments, target_type, **options)


# --- casts -----------------------------------------------------------------------------------------------------


def cast(ex: Ex, target: SqlType, style: int | None = None, *, trying: bool = False) -> Ex:
    """An expression converted to a type; constants are converted at once.

    Raises:
        SqlError: a constant does not fit the type.
    """
    if ex.type is None:
        return constant(None, target)
    if ex.type == target and style is None:
        return ex
    if ex.is_const:
        try:
            return constant(convert(ex.const, ex.type, target, style), target)
        except SqlError:
            if trying:
                return constant(None, target)
            raise
    sql = None if trying else _native(ex.sql, ex.type, target, style)
    return Ex(sql or _by_function(ex, target, style, trying), target, ex.nullable or trying)


def _by_function(ex: Ex, target: SqlType, style: int | None, trying: bool) -> str:
    source = ex.type
    assert source is not None
    first, second = _class_of(source), _class_of(target)
    code = (-1 if style is None else style) + (_TRY if trying else 0)
    kinds = f"'{_descriptor(source)}', '{_descriptor(target)}'"
    sql = f"{'tv' if trying else 'cv'}_{first}_{second}(CAST({ex.sql} AS {_CLASSES[first]}), {kinds}, {code})"
    return sql if _CLASSES[second] == target.storage else f"CAST({sql} AS {target.storage})"


def _native(sql: str, source: SqlType, target: SqlType, style: int | None) -> str | None:
    if target.name in st.NUMBERS:
        return _to_number(sql, source, target)
    if target.name in st.TEXTUAL:
        return _to_text(sql, source, target, style)
    if target.name in st.TIMES:
        return _to_time(sql, source, target)
    if target.name in st.BINARY:
        return _to_binary(sql, source, target)
    if target.name == "uniqueidentifier" and source.name in st.BINARY:
        return f"guid_from_bytes({sql})"
    return sql if source.name == target.name else None


def _to_number(sql: str, source: SqlType, target: SqlType) -> str | None:
    if source.name not in st.NUMBERS:
        return None
    if target.name == "bit":
        return f"CAST({sql} <> 0 AS UTINYINT)"
    if target.name in st.INTEGERS and source.name in (st.DECIMALS | st.FLOATS):
        return f"CAST(trunc({sql}) AS {target.storage})"
    if target.name in st.MONEY and source.name != "smallmoney":
        return f"{target.name}_of(CAST({sql} AS DECIMAL(38,4)))"
    return f"CAST({sql} AS {target.storage})"


def _to_text(sql: str, source: SqlType, target: SqlType, style: int | None) -> str | None:
    if "vector" in (source.name, target.name):
        return None
    if target.name in ("xml", "json"):
        return sql if source.name in st.TEXTUAL and target.name != "xml" else None
    if target.name in ("char", "nchar"):
        return None
    plain: str | None = None
    size = 0
    if source.name in st.TEXTUAL:
        size = _most_chars(source, target)
        if size < 0:
            return None
        plain = sql
    elif source.name in st.INTEGERS:
        plain, size = f"CAST({sql} AS VARCHAR)", 20
    elif source.name in st.DECIMALS:
        plain, size = f"CAST({sql} AS VARCHAR)", source.precision + 3
    elif source.name in st.TIMES:
        plain, size = _time_text(sql, source, style), 40
    elif source.name == "uniqueidentifier":
        plain, size = f"guid_text({sql})", 36
    elif source.name in st.BINARY and style in (1, 2):
        plain, size = ("'0x' || " if style == 1 else "") + f"hex({sql})", 2 + 2 * max(source.length, 0)
        size = 1 << 30 if source.length < 0 or source.name == "image" else size
    if plain is None:
        return None
    return f"({plain})" if target.chars < 0 or target.name in ("text", "ntext") or size <= target.chars else None


@lru_cache(maxsize=256)
def _code_page(collation: str | None) -> int:
    return Collation.from_name(collation or DEFAULT_NAME).code_page


def _most_chars(source: SqlType, target: SqlType) -> int:
    """The most characters (bytes, for char and varchar) a text may have as another type; -1 when it may be changed."""
    open_end = source.chars < 0 or source.name in ("text", "ntext", "xml", "json", "vector")
    if target.name in st.UNICODE:
        return 1 << 30 if open_end else source.chars
    page = _code_page(target.collation)
    national = source.name in st.UNICODE
    if national or page != _code_page(source.collation):
        # Only UTF-8 has all characters; there up to three bytes stand for a unit of UTF-16.
        factor = 3 if national else 4
        return -1 if page != 65001 else 1 << 30 if open_end else source.chars * factor
    return 1 << 30 if open_end else source.chars


def is_multibyte(collation: str | None) -> bool:
    """Whether characters of varchar may take several bytes under a collation."""
    return _code_page(collation) in (932, 936, 949, 950, 65001)


def _time_text(sql: str, source: SqlType, style: int | None) -> str | None:
    name = source.name
    if name == "date":
        return f"date_text({sql})" if style in (None, 23, 120, 121, 126, 127) else None
    if name == "time" or name not in ("datetime", "datetime2"):
        return None
    if style == 0 or (name == "datetime" and style is None):
        return None
    date, rest = f"date_text(({sql}) // {_DAY})", f"({sql}) % {_DAY}"
    if name == "datetime":
        rest = f"(({rest} + 5000) // 10000 * 10000)"
        fraction = f"printf('.%03d', ({rest}) // 10000 % 1000)"
    elif source.scale == 0:
        fraction = "''"
    else:
        unit = 10 ** (7 - source.scale)
        fraction = f"printf('.%0{source.scale}d', ({rest}) % 10000000 // {unit})"
    clock = f"clock_text({rest})"
    if style in (None, 21, 25, 121):
        return f"{date} || ' ' || {clock} || {fraction}"
    if style in (20, 120):
        return f"{date} || ' ' || {clock}"
    if style in (126, 127):
        return f"{date} || 'T' || {clock} || CASE WHEN ({rest}) % 10000000 = 0 THEN '' ELSE {fraction} END"
    return date if style == 23 else None


def _to_time(sql: str, source: SqlType, target: SqlType) -> str | None:
    if source.name not in st.TIMES:
        return None
    if source.name == "datetimeoffset":
        if target.name == "datetimeoffset":
            rounded = _rounded(f"({sql}).u", target.scale)
            return f"CASE WHEN {sql} IS NULL THEN NULL ELSE {{'u': {rounded}, 'o': ({sql}).o}} END"
        ticks = f"(({sql}).u + ({sql}).o::BIGINT * {_MINUTE})"
    elif source.name == "date":
        ticks = f"(CAST({sql} AS BIGINT) * {_DAY})"
    elif source.name == "time":
        ticks = f"({sql})" if target.name == "time" else f"({sql} + {DAYS_1900} * {_DAY})"
    else:
        ticks = f"({sql})"
    if target.name == "date":
        return f"CAST({ticks} // {_DAY} AS INTEGER)"
    if target.name == "time":
        return f"({_rounded(f'({ticks} % {_DAY})', target.scale)} % {_DAY})"
    if target.name == "datetime2":
        return _rounded(ticks, target.scale)
    if target.name == "datetimeoffset":
        rounded = _rounded(ticks, target.scale)
        return f"CASE WHEN {sql} IS NULL THEN NULL ELSE {{'u': {rounded}, 'o': 0::SMALLINT}} END"
    return None


def _rounded(ticks: str, scale: int) -> str:
    unit = 10 ** (7 - scale)
    return ticks if unit == 1 else f"(({ticks} + {unit // 2}) // {unit} * {unit})"


def _to_binary(sql: str, source: SqlType, target: SqlType) -> str | None:
    if source.name == "uniqueidentifier" and target.name in ("binary", "varbinary") and target.length in (16, -1):
        return f"guid_bytes({sql})"
    large = target.length < 0 or target.name == "image"
    if source.name in st.CLR:
        return sql if large or (source.name == "hierarchyid" and target.length >= 892) else None
    if source.name in st.BINARY and target.name in ("varbinary", "image"):
        fits = large or (0 < source.length <= target.length and source.name != "image")
        return sql if fits else None
    return None


# --- types that meet -------------------------------------------------------------------------------------------


def common_type(types: list[SqlType | None]) -> SqlType | None:
    """The type values of these types have in common (CASE, COALESCE, UNION): by precedence, wide enough for all."""
    known = [kind for kind in types if kind is not None]
    if not known:
        return None
    result = known[0]
    for kind in known[1:]:
        result = _wider(result, kind)
    return result


def _wider(left: SqlType, right: SqlType) -> SqlType:
    if left == right:
        return left
    winner, loser = (left, right) if st.PRECEDENCE[left.name] <= st.PRECEDENCE[right.name] else (right, left)
    if winner.name in st.DECIMALS:
        loser = as_decimal(loser)
        if loser.name in st.DECIMALS:
            scale = max(winner.scale, loser.scale)
            whole = max(winner.precision - winner.scale, loser.precision - loser.scale)
            return st.make(winner.name, min(38, whole + scale), min(scale, 38 - min(whole, 38)))
        return winner
    if winner.name in ("time", "datetime2", "datetimeoffset"):
        return st.make(winner.name, max(winner.scale, loser.scale if loser.name in st.TIMES else 0))
    if winner.name in st.CHARACTER and loser.name in st.CHARACTER:
        chars = -1 if -1 in (winner.chars, loser.chars) else max(winner.chars, loser.chars)
        name = winner.name if winner.name not in ("sysname",) else "nvarchar"
        if name in ("text", "ntext"):
            return winner
        variable = {"char": "varchar", "nchar": "nvarchar"}.get(name, name)
        name = name if winner.length == loser.length and winner.name == loser.name else variable
        limit = 4000 if name in st.UNICODE else 8000
        return st.make(name, chars if chars <= limit else -1, collation=winner.collation or loser.collation)
    if winner.name in st.BINARY and loser.name in st.BINARY:
        if winner.name in ("image", "timestamp"):
            return winner
        return st.make("varbinary", -1 if -1 in (winner.length, loser.length) else max(winner.length, loser.length))
    return winner


def as_decimal(kind: SqlType) -> SqlType:
    """An exact numeric type as the decimal that holds it; other types as they are."""
    sizes = {
        "bit": (1, 0),
        "tinyint": (3, 0),
        "smallint": (5, 0),
        "int": (10, 0),
        "bigint": (19, 0),
        "money": (19, 4),
        "smallmoney": (10, 4),
    }
    return st.make("decimal", *sizes[kind.name]) if kind.name in sizes else kind


def arithmetic_type(operator: str, left: SqlType, right: SqlType) -> SqlType:
    """Precision and scale of decimal arithmetic as SQL Server documents them."""
    p1, s1, p2, s2 = left.precision, left.scale, right.precision, right.scale
    if operator in "+-":
        scale = max(s1, s2)
        precision = max(p1 - s1, p2 - s2) + scale + 1
    elif operator == "*":
        scale, precision = s1 + s2, p1 + p2 + 1
    elif operator == "/":
        scale = max(6, s1 + p2 + 1)
        precision = p1 - s1 + s2 + scale
    else:
        scale = max(s1, s2)
        precision = min(p1 - s1, p2 - s2) + scale
    if precision > 38:
        whole = precision - scale
        if operator in "*/":
            scale = max(38 - whole, min(scale, 6)) if whole < 38 or scale > 6 else scale
            scale = min(scale, 38)
        else:
            # "Precision, scale, and length": the places of the integral part are kept, the carry's is not counted.
            scale = max(min(scale, 38 - max(p1 - s1, p2 - s2)), 0)
        precision = 38
    return st.make("decimal", precision, scale)
