"""CONVERT, CAST and T-SQL's implicit conversions, where PostgreSQL can do exactly the same."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal

from ..model import SqlType
from .collation_names import MULTIBYTE, UTF8, codec_of
from .literals import number_from_text, text_literal
from .parse import Untranslatable
from .timecasts import to_temporal
from .values import INT_DIGITS, PG_INTS, Value, fixed_length, is_unicode, kind_of, text_length

_INT_RANGES = {
    "tinyint": (0, 255),
    "smallint": (-(2**15), 2**15 - 1),
    "int": (-(2**31), 2**31 - 1),
    "bigint": (-(2**63), 2**63 - 1),
}
_WIDE = Context(prec=100)
"""Digits enough for every decimal(38,s); Python's default is 28."""
_DATE_STYLES = {
    23: "YYYY-MM-DD",
    101: "MM/DD/YYYY",
    102: "YYYY.MM.DD",
    103: "DD/MM/YYYY",
    104: "DD.MM.YYYY",
    105: "DD-MM-YYYY",
    110: "MM-DD-YYYY",
    111: "YYYY/MM/DD",
    112: "YYYYMMDD",
    120: "YYYY-MM-DD HH24:MI:SS",
    20: "YYYY-MM-DD HH24:MI:SS",
    108: "HH24:MI:SS",
    8: "HH24:MI:SS",
}
"""Styles of CONVERT from a date or time to text, as to_char patterns; the others depend on the language."""


def convert(value: Value, target: SqlType, *, style: int | None = None, explicit: bool = True) -> Value:
    """The value as type ``target``.

    ``explicit`` False is an implicit conversion (assignment, comparison), which cuts no text.

    Raises:
        Untranslatable: PostgreSQL's conversion would give another value for some input, or there is none.
    """
    kind = kind_of(target)
    if value.kind == "null":
        return Value("NULL", target)
    if kind == "bit":
        return _to_bit(value, target)
    if kind == "int":
        return _to_int(value, target)
    if kind in ("decimal", "money"):
        return _to_decimal(value, target)
    if kind == "float":
        return _to_float(value, target)
    if kind == "str":
        return _to_text(value, target, style, explicit=explicit)
    if kind in ("date", "time", "datetime", "offset"):
        return to_temporal(value, target, style)
    if kind == "uuid":
        return _to_uuid(value, target)
    if kind == "bin":
        return _to_binary(value, target)
    if target.name in ("xml", "json") and isinstance(value.literal, str):
        return Value(text_literal(value.literal), target)
    raise _impossible(value, target)


def _impossible(value: Value, target: SqlType) -> Untranslatable:
    return Untranslatable(f"{value.type} becomes {target} in a way PostgreSQL does not know")


def _literal_number(value: Value) -> Decimal | None:
    if isinstance(value.literal, (int, Decimal)):
        return Decimal(value.literal)
    if isinstance(value.literal, str):
        return number_from_text(value.literal)
    return None


def _to_bit(value: Value, target: SqlType) -> Value:
    if value.kind == "bit":
        return value
    if isinstance(value.literal, str) and value.literal.strip().lower() in ("true", "false"):
        return Value(value.literal.strip().lower(), target)
    number = _literal_number(value)
    if number is not None:
        return Value("true" if number else "false", target)
    if value.kind in ("int", "decimal", "money", "float"):
        return value.derived(f"{value.operand} <> 0", target, atomic=False)
    raise _impossible(value, target)


def _to_int(value: Value, target: SqlType) -> Value:
    number = _literal_number(value)
    if number is not None and value.kind != "float":
        if value.kind == "str" and number != number.to_integral_value():
            raise Untranslatable(f"{value.literal!r} is not an integer")
        rounding = ROUND_HALF_UP if value.kind == "money" else ROUND_DOWN
        whole = int(number.to_integral_value(rounding))
        low, high = _INT_RANGES[target.name]
        if not low <= whole <= high:
            raise Untranslatable(f"{whole} is out of the range of {target.name}")
        return Value(str(whole), target, literal=whole, atomic=whole >= 0)
    pg_type = PG_INTS[target.name]
    if value.kind == "int":
        if PG_INTS[value.type.name] == pg_type:
            return replace(value, type=target)
        return value.derived(f"{value.operand}::{pg_type}", target)
    if value.kind == "bit":
        through = f"{value.operand}::integer"
        return value.derived(through if pg_type == "integer" else f"{through}::{pg_type}", target)
    if value.kind in ("decimal", "float"):
        return value.derived(f"trunc({value.sql})::{pg_type}", target)
    if value.kind == "money":
        return value.derived(f"{value.operand}::{pg_type}", target)
    raise _impossible(value, target)


def _numeric_name(target: SqlType) -> str:
    if target.name == "money":
        return "numeric(19,4)"
    if target.name == "smallmoney":
        return "numeric(10,4)"
    return f"numeric({target.precision},{target.scale})"


def _to_decimal(value: Value, target: SqlType) -> Value:
    scale = 4 if kind_of(target) == "money" else target.scale
    number = _literal_number(value)
    if number is not None and value.kind != "float":
        rounded = number.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, _WIDE)
        text = f"{rounded:f}"
        return Value(text, target, literal=rounded, atomic=not text.startswith("-"))
    if value.type == target or (
        value.kind == "decimal" == kind_of(target)
        and (value.type.precision, value.type.scale) == (target.precision, target.scale)
    ):
        return value
    if value.kind == "bit":
        return value.derived(f"{value.operand}::integer::{_numeric_name(target)}", target)
    if value.kind in ("int", "decimal", "money"):
        return value.derived(f"{value.operand}::{_numeric_name(target)}", target)
    raise _impossible(value, target)


def _to_float(value: Value, target: SqlType) -> Value:
    name = "real" if target.name == "real" else "double precision"
    if value.type == target:
        return value
    if isinstance(value.literal, str):
        return Value(f"'{number_from_text(value.literal)}'::{name}", target)
    if value.kind == "bit":
        return value.derived(f"{value.operand}::integer::{name}", target)
    if value.kind in ("int", "decimal", "money", "float"):
        return value.derived(f"{value.operand}::{name}", target)
    raise _impossible(value, target)


# --- text ------------------------------------------------------------------------------------------------------------


def _to_text(value: Value, target: SqlType, style: int | None, *, explicit: bool) -> Value:
    length = text_length(target)
    if value.kind == "str":
        return _text_to_text(value, target, length, explicit=explicit)
    if isinstance(value.literal, int):
        text = str(value.literal)
        _must_fit(len(text), length, value, target)
        return Value(text_literal(text), target, literal=text)
    sql, needed = _text_of(value, style)
    if value.kind == "int" and 0 <= length < needed:
        # Too long for a varchar an integer shows as *, for an nvarchar it is an error.
        if target.name in ("char", "varchar"):
            sql = f"CASE WHEN length({sql}) > {length} THEN '*' ELSE {sql} END"
        return Value(sql, target, value.immutable)
    if value.kind in ("date", "time", "datetime") and explicit and 0 < length < needed:
        sql = f"left({sql}, {length})"  # the usual way to cut a date out of a longer style
    else:
        _must_fit(needed, length, value, target)
    immutable = value.immutable and value.kind not in ("date", "time", "datetime")
    return Value(sql, target, immutable)


def _must_fit(needed: int, length: int, value: Value, target: SqlType) -> None:
    if 0 <= length < needed:
        raise Untranslatable(f"{target} may be too short for a {value.type}")


def _text_to_text(value: Value, target: SqlType, length: int, *, explicit: bool) -> Value:
    collation = value.type.collation or target.collation
    page = None if is_unicode(target) else target.code_page or value.type.code_page
    target = replace(target, collation=collation, code_page=page)
    if isinstance(value.literal, str):
        if fixed_length(value.type) is not None and fixed_length(target) is None:
            value = padded(value)
        assert isinstance(value.literal, str)
        text = cut_constant(value.literal, target, length)
        if text != value.literal and not explicit and value.literal[len(text) :].strip(" "):
            raise Untranslatable(f"{value.literal!r} is longer than {target}")
        return Value(text_literal(text), target, literal=text)
    source_fixed, source_length = fixed_length(value.type), text_length(value.type)
    if length < 0 or 0 <= source_length <= length:
        if source_fixed is not None and fixed_length(target) is None:
            return replace(padded(value), type=target)
        return replace(value, type=target)
    if not explicit:
        return replace(value, type=target)
    text = padded(value).text
    if is_unicode(target) and (is_unicode(value.type) or value.type.code_page == UTF8):
        return value.derived(_left_units(text, length), target)
    return value.derived(f"left({text}, {length})", target)


def _left_units(sql: str, length: int) -> str:
    """``sql`` cut after ``length`` UTF-16 units: characters of two are counted with a mark behind each of them.

    One that is cut in its middle is left out; PostgreSQL has no half of it.
    """
    wide, mark = "[\\U00010000-\\U0010FFFF]", "\\uFFFF"
    marked = f"regexp_replace({sql}, '({wide})', '\\1' || chr(65535), 'g')"
    return f"regexp_replace(left({marked}, {length}), '{wide}$|{mark}', '', 'g')"


def cut_constant(text: str, target: SqlType, length: int) -> str:
    """The text cut to ``length`` as a constant of type ``target``: UTF-16 units, or bytes of its code page.

    Raises:
        Untranslatable: the code page lacks a character of it, of which the source may make another.
    """
    page = target.code_page
    if not is_unicode(target) and page and not text.isascii():
        try:
            data = text.encode(codec_of(page))
        except UnicodeEncodeError as error:
            raise Untranslatable(f"{text!r} has characters that code page {page} lacks") from error
        return text if length < 0 else data[:length].decode(codec_of(page), "ignore")
    if length < 0:
        return text
    if is_unicode(target):
        return text.encode("utf-16-le", "surrogatepass")[: 2 * length].decode("utf-16-le", "ignore")
    return text[:length]


def padded(value: Value) -> Value:
    """A char(n) or nchar(n) value with its trailing blanks, which PostgreSQL drops from char on any use.

    Raises:
        Untranslatable: its blanks fill bytes of a code page that PostgreSQL does not count.
    """
    length = fixed_length(value.type)
    if length is None:
        return value
    page = None if is_unicode(value.type) else value.type.code_page
    if isinstance(value.literal, str):
        size = len(value.literal.encode(codec_of(page), "replace")) if page in MULTIBYTE else len(value.literal)
        text = value.literal + " " * (length - size)
        return replace(value, sql=text_literal(text), literal=text)
    text = value.text if value.text.endswith("::text") else f"{value.text}::text"
    if page == UTF8:
        return value.derived(f"rpad({text}, {length} - octet_length({text}) + length({text}))")
    if page in MULTIBYTE:
        raise Untranslatable(f"the blanks at the end of {value.type} fill bytes of code page {page}")
    return value.derived(f"rpad({text}, {length})")


def _text_of(value: Value, style: int | None) -> tuple[str, int]:
    """Text of a number, date or uniqueidentifier, and the most characters it takes."""
    if value.kind == "bit":
        return f"CASE {value.operand} WHEN true THEN '1' WHEN false THEN '0' END", 1
    if value.kind == "int":
        return f"{value.operand}::text", INT_DIGITS[value.type.name] + 1
    if value.kind == "decimal":
        precision, scale = value.type.precision, value.type.scale
        return f"{value.operand}::numeric({precision},{scale})::text", precision + 2
    if value.kind == "money" and style in (None, 0):
        # Style 0 shows two decimals: -922337203685477.58 is the longest.
        return f"round({value.sql}, 2)::text", 10 if value.type.name == "smallmoney" else 19
    if value.kind == "uuid":
        return f"upper({value.operand}::text)", 36
    if value.kind == "date" and style is None:
        style = 23
    if (
        value.kind in ("date", "datetime")
        and style in _DATE_STYLES
        and not (value.kind == "date" and style in (8, 108))
    ):
        pattern = _DATE_STYLES[style][:10] if value.kind == "date" else _DATE_STYLES[style]
        return f"to_char({value.sql}, '{pattern}')", len(pattern.replace("HH24", "HH"))
    raise Untranslatable(
        f"the text form of {value.type}{f' in style {style}' if style is not None else ''} has no equal"
    )


# --- others ----------------------------------------------------------------------------------------------------------


def _to_uuid(value: Value, target: SqlType) -> Value:
    if value.kind == "uuid":
        return value
    if isinstance(value.literal, str):
        import uuid

        try:
            return Value(f"'{uuid.UUID(value.literal.strip())}'::uuid", target)
        except ValueError as error:
            raise Untranslatable(f"{value.literal!r} is not a uniqueidentifier") from error
    raise _impossible(value, target)


def _to_binary(value: Value, target: SqlType) -> Value:
    if isinstance(value.literal, bytes):
        data = value.literal
        if target.max_length > 0:
            data = data[: target.max_length]
            if target.name == "binary":
                data = data.ljust(target.max_length, b"\0")
        return Value(f"'\\x{data.hex()}'::bytea", target, literal=data)
    if isinstance(value.literal, int) and value.type.name == "int":
        # An int's four bytes, most significant first; a shorter target keeps the last, a longer binary pads in front.
        data = value.literal.to_bytes(4, "big", signed=True)
        if target.max_length > 0:
            data = data[-target.max_length :]
            if target.name == "binary":
                data = data.rjust(target.max_length, b"\0")
        return Value(f"'\\x{data.hex()}'::bytea", target, literal=data)
    if value.kind == "bin" and target.name != "binary" and target.max_length in (-1, value.type.max_length):
        return replace(value, type=target)
    raise _impossible(value, target)
