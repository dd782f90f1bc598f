"""Typed pieces of translated expressions: PostgreSQL text with the T-SQL type it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal, TypeAlias

from ..model import SqlType
from .collation_names import code_page_of
from .parse import Untranslatable

Kind: TypeAlias = Literal[
    "bit",
    "int",
    "decimal",
    "money",
    "float",
    "str",
    "bin",
    "date",
    "time",
    "datetime",
    "offset",
    "uuid",
    "null",
    "other",
]

_KINDS: dict[str, Kind] = {
    "bit": "bit",
    "tinyint": "int",
    "smallint": "int",
    "int": "int",
    "bigint": "int",
    "decimal": "decimal",
    "numeric": "decimal",
    "money": "money",
    "smallmoney": "money",
    "float": "float",
    "real": "float",
    "char": "str",
    "varchar": "str",
    "nchar": "str",
    "nvarchar": "str",
    "text": "str",
    "ntext": "str",
    "binary": "bin",
    "varbinary": "bin",
    "image": "bin",
    "date": "date",
    "time": "time",
    "datetime": "datetime",
    "smalldatetime": "datetime",
    "datetime2": "datetime",
    "datetimeoffset": "offset",
    "uniqueidentifier": "uuid",
    "null": "null",
}

TINYINT = SqlType("tinyint", 1, 3)
INT = SqlType("int", 4, 10)
BIGINT = SqlType("bigint", 8, 19)
BIT = SqlType("bit", 1, 1)
FLOAT = SqlType("float", 8, 53)
REAL = SqlType("real", 4, 24)
MONEY = SqlType("money", 8, 19, 4)
SMALLMONEY = SqlType("smallmoney", 4, 10, 4)
DATE = SqlType("date", 3, 10)
DATETIME = SqlType("datetime", 8, 23, 3)
DATETIME2 = SqlType("datetime2", 8, 27, 7)
OFFSET = SqlType("datetimeoffset", 10, 34, 7)
UUID = SqlType("uniqueidentifier", 16)
NULL = SqlType("null")

INT_ORDER = ("tinyint", "smallint", "int", "bigint")
INT_DIGITS = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}
PG_INTS = {"tinyint": "smallint", "smallint": "smallint", "int": "integer", "bigint": "bigint"}
NUMERIC_KINDS: tuple[Kind, ...] = ("int", "decimal", "money", "float")
TEMPORAL_KINDS: tuple[Kind, ...] = ("date", "time", "datetime", "offset")


def kind_of(sql_type: SqlType) -> Kind:
    """The family of a T-SQL type; ``other`` for those no expression is translated over."""
    return _KINDS.get(sql_type.name, "other")


def decimal_type(precision: int, scale: int) -> SqlType:
    """decimal(p,s)."""
    return SqlType("decimal", 17, precision, scale)


def varchar(
    length: int, *, unicode: bool = False, collation: str | None = None, code_page: int | None = None
) -> SqlType:
    """varchar(n) or nvarchar(n); length in characters, -1 for max."""
    if unicode:
        return SqlType("nvarchar", length if length < 0 else length * 2, collation=collation)
    return SqlType("varchar", length, collation=collation, code_page=code_page)


def fixed_length(sql_type: SqlType) -> int | None:
    """Characters (bytes under a code page of several) of a char or nchar, None for other types."""
    return sql_type.char_length if sql_type.name in ("char", "nchar") else None


def is_unicode(sql_type: SqlType) -> bool:
    """Whether it is text in UTF-16."""
    return sql_type.name in ("nchar", "nvarchar", "ntext")


def text_length(sql_type: SqlType) -> int:
    """Characters at most; -1 without a limit."""
    if sql_type.name in ("text", "ntext"):
        return -1
    return sql_type.char_length


@dataclass(frozen=True, slots=True)
class Value:
    """A scalar: PostgreSQL text whose value equals that of the T-SQL expression of type ``type``.

    For char and nchar the text may lack the trailing blanks (PostgreSQL drops them whenever it can); functions that see
    them must ask for `ExpressionTranslator.padded`.
    """

    sql: str
    type: SqlType
    immutable: bool = True
    literal: int | Decimal | str | bytes | None = None
    """The value of a literal; None for anything else (and for NULL)."""
    atomic: bool = True
    """Whether ``sql`` binds tighter than any operator."""
    plain_text: str | None = None
    """For a citext or ICU column: its text without the special comparison."""
    folded: Literal["upper", "lower"] | None = None
    clock: bool = False
    """A reading of the server's clock: PostgreSQL has one clock, so it may take any temporal type."""
    generated: bool = False
    """A column PostgreSQL computes."""
    collated: bool = False
    """Under an explicit COLLATE, which outranks the collations of columns it is compared with."""
    trimmed: bool = False
    """Trailing blanks are gone, or PostgreSQL's char ignores them: a comparison need not cut them."""

    @property
    def kind(self) -> Kind:
        """The family of its type."""
        return kind_of(self.type)

    @property
    def operand(self) -> str:
        """``sql``, in parentheses where an operator could tear it apart."""
        return self.sql if self.atomic else f"({self.sql})"

    @property
    def item(self) -> str:
        """``text`` where no operator can tear it apart: an argument, a branch of CASE."""
        return self.plain_text or self.sql

    @property
    def text(self) -> str:
        """``operand`` as ordinary text, without a case-insensitive type or collation."""
        return self.plain_text or self.operand

    def derived(self, sql: str, sql_type: SqlType | None = None, *, atomic: bool = True) -> Value:
        """Another value computed from this one alone."""
        return Value(sql, sql_type or self.type, self.immutable, atomic=atomic, collated=self.collated)


@dataclass(frozen=True, slots=True)
class Predicate:
    """A condition."""

    sql: str
    immutable: bool = True
    atomic: bool = False

    @property
    def operand(self) -> str:
        """``sql``, in parentheses where AND, OR or NOT could tear it apart."""
        return self.sql if self.atomic else f"({self.sql})"


def precedence(kind: Kind) -> int:
    """T-SQL's data type precedence among the families handled here: the higher one wins."""
    order: tuple[Kind, ...] = (
        "null", "bin", "str", "uuid", "bit", "int", "money", "decimal", "float", "time", "date", "datetime", "offset",
    )  # fmt: skip
    if kind not in order:
        raise Untranslatable("it mixes types PostgreSQL does not mix")
    return order.index(kind)


def as_decimal(value: Value) -> SqlType:
    """The decimal type a number takes beside a decimal (a constant has just the digits it needs).

    Raises:
        Untranslatable: it is no number.
    """
    if value.kind == "decimal":
        return value.type
    if value.kind == "money":
        return decimal_type(10 if value.type.name == "smallmoney" else 19, 4)
    if value.kind == "bit":
        return decimal_type(1, 0)
    if isinstance(value.literal, int):
        return decimal_type(max(1, len(str(abs(value.literal)))), 0)
    if value.kind != "int":
        raise Untranslatable(f"{value.type} beside a decimal")
    return decimal_type(INT_DIGITS[value.type.name], 0)


def decimal_result(operator: Literal["+", "-", "*", "/", "%"], left: SqlType, right: SqlType) -> tuple[SqlType, bool]:
    """Type of a decimal operation, and whether its scale was cut to fit 38 digits.

    The rules are those of Microsoft's "Precision, scale, and length": for * and / a scale is cut down to 6 digits at
    least, for + and - as far as the integral part needs.
    """
    p1, s1, p2, s2 = left.precision, left.scale, right.precision, right.scale
    if operator in "+-":
        scale = max(s1, s2)
        precision = scale + max(p1 - s1, p2 - s2) + 1
    elif operator == "*":
        precision, scale = p1 + p2 + 1, s1 + s2
    elif operator == "/":
        scale = max(6, s1 + p2 + 1)
        precision = p1 - s1 + s2 + scale
    else:
        scale = max(s1, s2)
        precision = min(p1 - s1, p2 - s2) + scale
    if precision <= 38:
        return decimal_type(precision, scale), False
    if operator in "*/":
        integral = precision - scale
        cut = min(scale, 38 - integral) if integral < 32 else min(scale, 6)
    else:
        cut = min(scale, 38 - max(p1 - s1, p2 - s2))
    return decimal_type(38, cut), cut != scale


def common_type(values: list[Value]) -> SqlType:
    """The type CASE, COALESCE and comparisons bring their operands to."""
    known = [value for value in values if value.kind != "null"]
    if not known:
        raise Untranslatable("it has NULLs only")
    top = max((value.kind for value in known), key=precedence)
    if top == "decimal":
        types = [as_decimal(value) for value in known]
        scale = max(item.scale for item in types)
        return decimal_type(min(38, scale + max(item.precision - item.scale for item in types)), scale)
    same = [value for value in known if value.kind == top]
    if top == "str":
        return _common_text(same)
    if top == "int":
        return max((value.type for value in same), key=lambda item: INT_ORDER.index(item.name))
    if top == "datetime":
        names = ("smalldatetime", "datetime", "datetime2")
        return max((value.type for value in same), key=lambda item: (names.index(item.name), item.scale))
    if top == "float":
        return max((value.type for value in same), key=lambda item: item.name == "float")
    if top == "money":
        return max((value.type for value in same), key=lambda item: item.name == "money")
    return max((value.type for value in same), key=lambda item: item.scale)


def _common_text(values: list[Value]) -> SqlType:
    unicode = any(value.type.name in ("nchar", "nvarchar", "ntext") for value in values)
    lengths = [text_length(value.type) for value in values]
    collation = collation_of(values)
    if all(value.type.name in ("char", "nchar") for value in values):
        name, length = ("nchar" if unicode else "char"), max(lengths)
        return SqlType(name, length * (2 if unicode else 1), collation=collation)
    return varchar(-1 if -1 in lengths else max(lengths), unicode=unicode, collation=collation)


def collation_of(values: Sequence[Value]) -> str | None:
    """The collation T-SQL compares and joins these texts by: an explicit COLLATE, else a column's."""
    ranked = sorted(values, key=lambda value: not value.collated)
    return next((value.type.collation for value in ranked if value.type.collation), None)


def with_collation(value: Value, collation: str) -> Value:
    """The value under an explicit COLLATE."""
    page = None if is_unicode(value.type) else code_page_of(collation)
    return replace(value, type=replace(value.type, collation=collation, code_page=page), collated=True, folded=None)
