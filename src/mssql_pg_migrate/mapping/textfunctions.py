"""T-SQL's functions of text, where PostgreSQL gives exactly the same.

Positions and lengths are those of Microsoft's pages on each function: characters of the code page for char and
varchar; UTF-16 units for nchar and nvarchar, unless the collation counts supplementary characters once (``_SC``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from ..model import SqlType
from .collation_names import MULTIBYTE, UTF8, FoldFunction, fold_constant
from .literals import text_literal
from .rules import Place, Rule, UnfitArguments, all_immutable, expect, int_argument, text_argument
from .values import BIGINT, INT, Value, collation_of, fixed_length, is_unicode, text_length, varchar


def _length_sql(place: Place, value: Value, sql: str) -> str:
    """The number of characters of ``sql`` as the source counts those of ``value``."""
    if not place.counts_units(value):
        return f"length({sql})"
    return f"length(regexp_replace({sql}, '[\\U00010000-\\U0010FFFF]', '??', 'g'))"


def _len(place: Place, arguments: list[Any]) -> Value:
    expect(arguments, 1)
    value = text_argument(place, arguments[0])
    sql = _length_sql(place, value, f"rtrim({value.text})")
    return value.derived(sql, BIGINT if text_length(value.type) < 0 else INT)


def _datalength(place: Place, arguments: list[Any]) -> Value:
    """Bytes: two for each UTF-16 unit, whatever the collation; those of the code page for char and varchar."""
    expect(arguments, 1)
    value = place.value(arguments[0])
    target = BIGINT if value.type.max_length == -1 else INT
    if value.kind == "bin":
        return value.derived(f"octet_length({value.text})", target)
    if value.kind != "str":
        raise UnfitArguments(f"of {value.type} is not translated")
    if fixed_length(value.type) is not None and value.literal is None:
        return value.derived(f"CASE WHEN {value.operand} IS NOT NULL THEN {value.type.max_length} END", target)
    text = place.padded(value).text
    if is_unicode(value.type):
        plain = replace(value, type=replace(value.type, collation=None))
        return value.derived(f"(2 * {_length_sql(place, plain, text)})", target)
    page = place.code_page(value)
    if page == UTF8 and place.abilities.encoding == "UTF8":
        return value.derived(f"octet_length({text})", target)
    if page in MULTIBYTE:
        raise UnfitArguments(f"of text in code page {page} is not translated: PostgreSQL does not know its bytes")
    return value.derived(f"length({text})", target)


def _folded(function: FoldFunction) -> Rule:
    def rule(place: Place, arguments: list[Any]) -> Value:
        expect(arguments, 1)
        value = text_argument(place, arguments[0])
        sql = place.fold(value.text, function, value)
        return replace(value.derived(sql), folded=function, trimmed=value.trimmed)

    return rule


def _trim(function: str) -> Rule:
    def rule(place: Place, arguments: list[Any]) -> Value:
        expect(arguments, 1)
        value = text_argument(place, arguments[0])
        if function == "ltrim":
            value = place.padded(value)
        sql_type = varchar(
            text_length(value.type), unicode=is_unicode(value.type), collation=value.type.collation,
            code_page=value.type.code_page,
        )  # fmt: skip
        trimmed = function != "ltrim"
        return replace(value.derived(f"{function}({value.text})", sql_type), folded=value.folded, trimmed=trimmed)

    return rule


def _side(function: Literal["left", "right"]) -> Rule:
    """LEFT and RIGHT; a negative length is an error there, where PostgreSQL counts from the other end."""

    def rule(place: Place, arguments: list[Any]) -> Value:
        expect(arguments, 2)
        value, count = place.padded(text_argument(place, arguments[0])), int_argument(place, arguments[1])
        if isinstance(count.literal, int) and count.literal < 0:
            raise UnfitArguments("with a negative length is an error")
        place.counting(value)
        if isinstance(count.literal, int):
            sql = f"{function}({value.text}, {count.literal})"
            return value.derived(sql, _shortened(value.type, count.literal))
        sql = f"{function}({value.text}, {count.sql})"
        if function == "left" and not place.when_read:
            sql = f"substring({value.text}, 1, {count.sql})"  # which fails as LEFT does
        else:
            sql = f"CASE WHEN {count.operand} >= 0 THEN {sql} END"
        target = _resized(value.type, text_length(value.type))
        return Value(sql, target, all_immutable(value, count), collated=value.collated)

    return rule


def _resized(sql_type: SqlType, length: int) -> SqlType:
    """The varchar or nvarchar of another length, under the same collation."""
    return varchar(
        length, unicode=is_unicode(sql_type), collation=sql_type.collation, code_page=sql_type.code_page
    )  # fmt: skip


def _shortened(sql_type: SqlType, length: int) -> SqlType:
    have = text_length(sql_type)
    return _resized(sql_type, length if have < 0 else min(have, length))


def _most(sql_type: SqlType) -> int:
    """Characters of the longest type that is not (max)."""
    return 4000 if is_unicode(sql_type) else 8000


def _substring(place: Place, arguments: list[Any]) -> Value:
    expect(arguments, 3)
    value = place.padded(text_argument(place, arguments[0]))
    start, length = int_argument(place, arguments[1]), int_argument(place, arguments[2])
    target = (
        _shortened(value.type, length.literal)
        if isinstance(length.literal, int)
        else _resized(value.type, text_length(value.type))
    )
    place.counting(value)
    sql = f"substring({value.text}, {start.sql}, {length.sql})"
    if place.when_read and length.literal is None:
        sql = f"CASE WHEN {length.operand} >= 0 THEN {sql} END"
    return Value(sql, target, all_immutable(value, start, length), collated=value.collated)


def _stuff(place: Place, arguments: list[Any]) -> Value:
    """NULL where the start is before or behind the text or the length is negative; a NULL text inserts nothing.

    The page says what is larger than the type's maximum is an error; that it is no longer than both texts together.
    """
    expect(arguments, 4)
    value = place.padded(text_argument(place, arguments[0]))
    start, length = int_argument(place, arguments[1]), int_argument(place, arguments[2])
    inserted = place.value(arguments[3])
    if inserted.kind not in ("str", "null"):
        raise UnfitArguments(f"with {inserted.type} as the text to insert is not translated")
    place.counting(value)
    size = _length_sql(place, value, value.text)
    conditions = []
    if not (isinstance(start.literal, int) and start.literal > 0):
        conditions.append(f"{start.operand} > 0")
    conditions.append(f"{start.operand} <= {size}")
    if not (isinstance(length.literal, int) and length.literal >= 0):
        conditions.append(f"{length.operand} >= 0")
    if inserted.kind == "null":
        new, added, unicode = "''", 0, False
    else:
        inserted = place.padded(inserted)
        new = inserted.sql if inserted.literal is not None else f"coalesce({inserted.text}, '')"
        added, unicode = text_length(inserted.type), is_unicode(inserted.type)
    sql = f"overlay({value.text} PLACING {new} FROM {start.sql} FOR {length.sql})"
    have = text_length(value.type)
    unicode = unicode or is_unicode(value.type)
    total = -1 if -1 in (have, added) else min(have + added, 4000 if unicode else 8000)
    target = varchar(total, unicode=unicode, collation=collation_of([value, inserted]), code_page=value.type.code_page)
    return Value(
        f"CASE WHEN {' AND '.join(conditions)} THEN {sql} END",
        target,
        all_immutable(value, start, length, inserted),
        collated=value.collated,
    )


def _has_letters(text: str) -> bool:
    return text.lower() != text.upper()


def _charindex(place: Place, arguments: list[Any]) -> Value:
    expect(arguments, 2)
    wanted, value = text_argument(place, arguments[0]), place.padded(text_argument(place, arguments[1]))
    if not isinstance(wanted.literal, str) or not wanted.literal:
        raise UnfitArguments("of something that is no constant is not translated")
    needle, text, how = wanted.sql, value.text, place.sensitivity(wanted, value)
    if not how.case and _has_letters(wanted.literal):
        # PostgreSQL (15, say) cannot compute lower() of a constant while it looks at a generated column.
        constant = fold_constant(wanted.literal, "lower", turkic=how.turkic)
        needle = place.fold(needle, "lower", wanted, value) if constant is None else text_literal(constant)
        text = place.fold(text, "lower", wanted, value)
    if not how.accent and _has_letters(wanted.literal):
        place.remark("accents are told apart where the source's collation ignores them")
    place.counting(value)
    return value.derived(f"strpos({text}, {needle})", INT)


def _replace(place: Place, arguments: list[Any]) -> Value:
    expect(arguments, 3)
    value = place.padded(text_argument(place, arguments[0]))
    old, new = text_argument(place, arguments[1]), text_argument(place, arguments[2])
    if not isinstance(old.literal, str) or not isinstance(new.literal, str):
        raise UnfitArguments("with something that is no constant is not translated")
    how = place.sensitivity(value, old, new)
    if not (how.case and how.accent) and _has_letters(old.literal):
        raise UnfitArguments("ignores case or accents in the source, and not in PostgreSQL")
    sql, have, most = f"replace({value.text}, {old.sql}, {new.sql})", text_length(value.type), _most(value.type)
    if have < 0 or not old.literal or len(new.literal) <= len(old.literal):
        return value.derived(sql, _resized(value.type, have))
    times, rest = divmod(have, len(old.literal))
    if times * len(new.literal) + rest > most:
        sql = _cut_off(place, value, sql)
    return value.derived(sql, _resized(value.type, most))


def _cut_off(place: Place, value: Value, sql: str) -> str:
    """``sql`` cut off at 8,000 bytes, as REPLACE and REPLICATE do it unless the text is of a (max) type."""
    if place.code_page(value) in MULTIBYTE:
        raise UnfitArguments("may be longer than 8000 bytes, where the source cuts it off")
    place.counting(value)
    return f"left({sql}, {_most(value.type)})"


def _replicate(place: Place, arguments: list[Any]) -> Value:
    expect(arguments, 2)
    value, count = place.padded(text_argument(place, arguments[0])), int_argument(place, arguments[1])
    most, unlimited = _most(value.type), text_length(value.type) < 0
    if isinstance(count.literal, int) and count.literal >= 0:
        length = max(1, text_length(value.type)) * count.literal
        sql = f"repeat({value.text}, {count.literal})"
    else:
        length = most + 1
        sql = f"CASE WHEN {count.operand} >= 0 THEN repeat({value.text}, {count.sql}) END"
    if length > most and not unlimited:
        sql = _cut_off(place, value, sql)
    target = _resized(value.type, -1 if unlimited else min(length, most))
    return Value(sql, target, all_immutable(value, count), collated=value.collated)


def _space(place: Place, arguments: list[Any]) -> Value:
    expect(arguments, 1)
    count = int_argument(place, arguments[0])
    if not isinstance(count.literal, int) or count.literal < 0:
        raise UnfitArguments("with a length that is no constant is not translated")
    text = " " * count.literal
    return Value(text_literal(text), varchar(max(1, len(text))), literal=text)


def _character(limit: int) -> Rule:
    def rule(place: Place, arguments: list[Any]) -> Value:
        expect(arguments, 1)
        code = int_argument(place, arguments[0]).literal
        if not isinstance(code, int) or not 0 < code < limit or 0xD800 <= code < 0xE000:
            raise UnfitArguments("of something that is no plain constant is not translated")
        return Value(text_literal(chr(code)), varchar(1, unicode=limit > 128), literal=chr(code))

    return rule


def _reverse(place: Place, arguments: list[Any]) -> Value:
    expect(arguments, 1)
    value = place.padded(text_argument(place, arguments[0]))
    place.counting(value)
    return value.derived(f"reverse({value.text})")


def _concat(place: Place, arguments: list[Any]) -> Value:
    """CONCAT takes NULL for an empty text."""
    if len(arguments) < 2:
        expect(arguments)
    parts = []
    for node in arguments:
        value = place.value(node)
        if value.kind != "str":
            value = place.convert(value, varchar(40))
        parts.append(place.padded(value))
    unicode = any(is_unicode(part.type) for part in parts)
    lengths = [text_length(part.type) for part in parts]
    if -1 not in lengths and sum(lengths) > (4000 if unicode else 8000):
        raise UnfitArguments("may be longer than SQL Server allows")
    sql = " || ".join(part.sql if part.literal is not None else f"coalesce({part.text}, '')" for part in parts)
    target = varchar(-1 if -1 in lengths else sum(lengths), unicode=unicode, collation=collation_of(parts))
    collated = any(part.collated for part in parts)
    return Value(sql, target, all_immutable(*parts), atomic=False, collated=collated)


def _concat_ws(place: Place, arguments: list[Any]) -> Value:
    """CONCAT_WS leaves out NULLs and their separators; PostgreSQL's takes any type and so is not immutable."""
    if len(arguments) < 3:
        expect(arguments)
    mark, joined = text_argument(place, arguments[0]), _concat(place, arguments[1:])
    if not isinstance(mark.literal, str):
        raise UnfitArguments("with a separator that is no constant is not translated")
    parts = [place.value(node) for node in arguments[1:]]
    if any(part.kind not in ("str", "null") for part in parts):
        raise UnfitArguments("of something that is no text is not translated")
    listed = ", ".join(place.padded(part).item for part in parts)
    length = text_length(joined.type)
    target = _resized(joined.type, -1 if length < 0 else length + len(mark.literal) * (len(parts) - 1))
    if text_length(target) > _most(target):
        raise UnfitArguments("may be longer than SQL Server allows")
    return Value(f"concat_ws({mark.sql}, {listed})", target, immutable=False, collated=joined.collated)


TEXT_RULES: dict[str, Rule] = {
    "len": _len,
    "datalength": _datalength,
    "upper": _folded("upper"),
    "lower": _folded("lower"),
    "ltrim": _trim("ltrim"),
    "rtrim": _trim("rtrim"),
    "trim": _trim("btrim"),
    "left": _side("left"),
    "right": _side("right"),
    "substring": _substring,
    "stuff": _stuff,
    "charindex": _charindex,
    "replace": _replace,
    "replicate": _replicate,
    "space": _space,
    "char": _character(128),
    "nchar": _character(0x10000),
    "reverse": _reverse,
    "concat": _concat,
    "concat_ws": _concat_ws,
}
