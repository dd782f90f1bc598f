"""The T-SQL functions that have a PostgreSQL form of the same meaning; all others are refused by name.

Each rule takes the translator and the unparsed arguments. Names are matched in lower case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..model import SqlType
from . import casts
from .datefunctions import DATE_RULES
from .literals import text_literal
from .parse import Untranslatable
from .values import (
    BIGINT,
    DATETIME,
    DATETIME2,
    FLOAT,
    INT,
    NUMERIC_KINDS,
    OFFSET,
    UUID,
    Value,
    collation_of,
    common_type,
    decimal_type,
    is_unicode,
    text_length,
    varchar,
)

if TYPE_CHECKING:
    from .expressions import ExpressionTranslator

Rule: TypeAlias = "Callable[[ExpressionTranslator, list[Any]], Value]"

_WHY_NOT = {
    "host_name": "PostgreSQL does not know the client's host name",
    "checksum": "PostgreSQL has no function with the same result",
    "binary_checksum": "PostgreSQL has no function with the same result",
    "hashbytes": "it hashes other bytes in PostgreSQL, which stores text as UTF-8",
    "isnumeric": "PostgreSQL has no function with the same result",
    "isdate": "PostgreSQL has no function with the same result",
    "rand": "PostgreSQL's random numbers are others",
}


def call(translator: ExpressionTranslator, name: str, arguments: list[Any]) -> Value:
    """The translated call.

    Raises:
        Untranslatable: there is no rule for the function, or none for these arguments.
    """
    rule = RULES.get(name)
    if rule is None:
        reason = _WHY_NOT.get(name, "PostgreSQL has no function of the same meaning")
        raise Untranslatable(f"it calls {name}(): {reason}")
    return rule(translator, arguments)


def _count(arguments: list[Any], *allowed: int) -> None:
    if len(arguments) not in allowed:
        raise Untranslatable(f"a function with {len(arguments)} arguments is not translated")


def _text(translator: ExpressionTranslator, node: Any) -> Value:
    value = translator.value(node)
    if value.kind != "str":
        raise Untranslatable(f"a text function over {value.type}")
    return value


def _int(translator: ExpressionTranslator, node: Any) -> Value:
    value = translator.value(node)
    if value.kind != "int":
        raise Untranslatable(f"a count of type {value.type}")
    return value


def _all_immutable(*values: Value) -> bool:
    return all(value.immutable for value in values)


# --- clock, identity of the session ----------------------------------------------------------------------------------


def _constant(sql: str, sql_type: SqlType, *, clock: bool = False) -> Rule:
    def rule(_translator: ExpressionTranslator, arguments: list[Any]) -> Value:
        _count(arguments, 0)
        return Value(sql, sql_type, immutable=False, clock=clock)

    return rule


def _new_uuid(remark: str | None = None) -> Rule:
    def rule(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
        _count(arguments, 0)
        if not translator.abilities.gen_random_uuid:
            raise Untranslatable("gen_random_uuid() needs PostgreSQL 13")
        if remark:
            translator.remark(remark)
        return Value("gen_random_uuid()", UUID, immutable=False)

    return rule


# --- text ------------------------------------------------------------------------------------------------------------


def _len(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
    _count(arguments, 1)
    value = _text(translator, arguments[0])
    translator.counting(value)
    return value.derived(f"length(rtrim({value.text}))", BIGINT if text_length(value.type) < 0 else INT)


_MULTIBYTE = (932, 936, 949, 950, 65001)
"""Code pages whose characters take different numbers of bytes: Japanese, Chinese, Korean, UTF-8."""


def _datalength(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
    _count(arguments, 1)
    value = translator.value(arguments[0])
    target = BIGINT if value.type.max_length == -1 else INT
    if value.kind == "bin":
        return value.derived(f"octet_length({value.text})", target)
    if value.kind == "str" and value.type.code_page not in _MULTIBYTE:
        text = translator.padded(value).text
        translator.counting(value)
        if is_unicode(value.type):
            return value.derived(f"(2 * length({text}))", target)
        return value.derived(f"length({text})", target)
    raise Untranslatable(f"DATALENGTH of {value.type}")


def _folded(function: Literal["upper", "lower"]) -> Rule:
    def rule(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
        _count(arguments, 1)
        translator.folding(value := _text(translator, arguments[0]))
        return replace(value.derived(f"{function}({value.text})"), folded=function, trimmed=value.trimmed)

    return rule


def _trim(function: str) -> Rule:
    def rule(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
        _count(arguments, 1)
        value = _text(translator, arguments[0])
        if function == "ltrim":
            value = translator.padded(value)
        sql_type = varchar(
            text_length(value.type),
            unicode=value.type.name in ("nchar", "nvarchar", "ntext"),
            collation=value.type.collation,
        )
        trimmed = function != "ltrim"
        return replace(value.derived(f"{function}({value.text})", sql_type), folded=value.folded, trimmed=trimmed)

    return rule


def _side(function: str) -> Rule:
    def rule(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
        _count(arguments, 2)
        value, count = translator.padded(_text(translator, arguments[0])), _int(translator, arguments[1])
        if not isinstance(count.literal, int) or count.literal < 0:
            raise Untranslatable(f"{function.upper()} with a length that is no positive constant")
        translator.counting(value)
        return value.derived(f"{function}({value.text}, {count.literal})", _shortened(value.type, count.literal))

    return rule


def _shortened(sql_type: SqlType, length: int) -> SqlType:
    have = text_length(sql_type)
    unicode = sql_type.name in ("nchar", "nvarchar", "ntext")
    return varchar(length if have < 0 else min(have, length), unicode=unicode, collation=sql_type.collation)


def _substring(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
    _count(arguments, 3)
    value = translator.padded(_text(translator, arguments[0]))
    start, length = _int(translator, arguments[1]), _int(translator, arguments[2])
    target = (
        _shortened(value.type, length.literal)
        if isinstance(length.literal, int)
        else _shortened(value.type, max(0, text_length(value.type)))
    )
    if text_length(value.type) < 0 and not isinstance(length.literal, int):
        target = varchar(-1, unicode=value.type.name[0] == "n", collation=value.type.collation)
    translator.counting(value)
    sql = f"substring({value.text}, {start.sql}, {length.sql})"
    if translator.when_read and length.literal is None:
        sql = f"CASE WHEN {length.operand} >= 0 THEN {sql} END"
    return Value(sql, target, _all_immutable(value, start, length), collated=value.collated)


def _has_letters(text: str) -> bool:
    return text.lower() != text.upper()


def _charindex(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
    _count(arguments, 2)
    wanted, value = _text(translator, arguments[0]), translator.padded(_text(translator, arguments[1]))
    if not isinstance(wanted.literal, str) or not wanted.literal:
        raise Untranslatable("CHARINDEX of something that is no constant")
    needle, text, how = wanted.sql, value.text, translator.sensitivity(wanted, value)
    if not how.case and _has_letters(wanted.literal):
        # PostgreSQL (15, say) cannot compute lower() of a constant while it looks at a generated column.
        ascii_only = wanted.literal.isascii()
        needle, text = text_literal(wanted.literal.lower()) if ascii_only else f"lower({needle})", f"lower({text})"
    if not how.accent and _has_letters(wanted.literal):
        translator.remark("accents are told apart where the source's collation ignores them")
    translator.counting(value)
    return value.derived(f"strpos({text}, {needle})", INT)


def _replace(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
    _count(arguments, 3)
    value = translator.padded(_text(translator, arguments[0]))
    old, new = _text(translator, arguments[1]), _text(translator, arguments[2])
    if not isinstance(old.literal, str) or not isinstance(new.literal, str):
        raise Untranslatable("REPLACE with something that is no constant")
    how = translator.sensitivity(value, old, new)
    if not (how.case and how.accent) and _has_letters(old.literal):
        raise Untranslatable("REPLACE ignores case or accents in the source")
    grows = len(new.literal) > len(old.literal)
    unicode = value.type.name in ("nchar", "nvarchar", "ntext")
    length = (4000 if unicode else 8000) if grows else text_length(value.type)
    sql = f"replace({value.text}, {old.sql}, {new.sql})"
    return value.derived(sql, varchar(length, unicode=unicode, collation=value.type.collation))


def _replicate(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
    _count(arguments, 2)
    value, count = translator.padded(_text(translator, arguments[0])), _int(translator, arguments[1])
    unicode = value.type.name in ("nchar", "nvarchar", "ntext")
    if isinstance(count.literal, int) and count.literal >= 0:
        length = max(1, text_length(value.type)) * count.literal
        sql = f"repeat({value.text}, {count.literal})"
    else:
        length = 8000
        sql = f"CASE WHEN {count.operand} >= 0 THEN repeat({value.text}, {count.sql}) END"
    target = varchar(min(length, 4000 if unicode else 8000), unicode=unicode, collation=value.type.collation)
    return Value(sql, target, _all_immutable(value, count), collated=value.collated)


def _space(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
    _count(arguments, 1)
    count = _int(translator, arguments[0])
    if not isinstance(count.literal, int) or count.literal < 0:
        raise Untranslatable("SPACE with a length that is no constant")
    text = " " * count.literal
    return Value(text_literal(text), varchar(max(1, len(text))), literal=text)


def _character(limit: int) -> Rule:
    def rule(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
        _count(arguments, 1)
        code = _int(translator, arguments[0]).literal
        if not isinstance(code, int) or not 0 < code < limit or 0xD800 <= code < 0xE000:
            raise Untranslatable("CHAR or NCHAR of something that is no plain constant")
        return Value(text_literal(chr(code)), varchar(1, unicode=limit > 128), literal=chr(code))

    return rule


def _reverse(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
    _count(arguments, 1)
    value = translator.padded(_text(translator, arguments[0]))
    translator.counting(value)
    return value.derived(f"reverse({value.text})")


def _concat(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
    """CONCAT takes NULL for an empty text."""
    parts = []
    for node in arguments:
        value = translator.value(node)
        if value.kind != "str":
            value = casts.convert(value, varchar(40))
        parts.append(translator.padded(value))
    if len(parts) < 2:
        raise Untranslatable("CONCAT of one argument")
    unicode = any(part.type.name in ("nchar", "nvarchar", "ntext") for part in parts)
    lengths = [text_length(part.type) for part in parts]
    if -1 not in lengths and sum(lengths) > (4000 if unicode else 8000):
        raise Untranslatable("the joined text may be longer than SQL Server allows")
    collation = collation_of(parts)
    sql = " || ".join(part.sql if part.literal is not None else f"coalesce({part.text}, '')" for part in parts)
    target = varchar(-1 if -1 in lengths else sum(lengths), unicode=unicode, collation=collation)
    collated = any(part.collated for part in parts)
    return Value(sql, target, _all_immutable(*parts), atomic=False, collated=collated)


# --- NULL and choice -------------------------------------------------------------------------------------------------


def _isnull(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
    """ISNULL has the type of its first argument, COALESCE the higher one."""
    _count(arguments, 2)
    first, second = translator.value(arguments[0]), translator.value(arguments[1])
    if first.kind == "null":
        return second
    other = casts.convert(second, first.type, explicit=first.kind == "str")
    mine, other = translator.padded(first), translator.padded(other)
    collated = first.collated
    return Value(f"coalesce({mine.item}, {other.item})", first.type, _all_immutable(first, other), collated=collated)


def _coalesce(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
    values = [translator.value(node) for node in arguments]
    target = common_type(values)
    members = [translator.as_member(value, target) for value in values]
    sql = f"coalesce({', '.join(member.item for member in members)})"
    return Value(sql, target, _all_immutable(*members), collated=any(member.collated for member in members))


def _nullif(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
    _count(arguments, 2)
    first, second = translator.value(arguments[0]), translator.value(arguments[1])
    equal = translator.compare("=", first, second)
    value = translator.padded(first)
    sql = f"CASE WHEN {equal.sql} THEN NULL ELSE {value.sql} END"
    return Value(sql, first.type, equal.immutable, collated=first.collated)


def _iif(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
    _count(arguments, 3)
    condition = translator.predicate(arguments[0])
    return translator.choose([condition], [translator.value(node) for node in arguments[1:]])


# --- numbers ---------------------------------------------------------------------------------------------------------


def _number(translator: ExpressionTranslator, node: Any) -> Value:
    value = translator.value(node)
    if value.kind not in NUMERIC_KINDS:
        raise Untranslatable(f"a numeric function over {value.type}")
    return value


def _abs(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
    _count(arguments, 1)
    value = _number(translator, arguments[0])
    return value.derived(f"abs({value.sql})")


def _whole(function: str) -> Rule:
    """CEILING and FLOOR."""

    def rule(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
        _count(arguments, 1)
        value = _number(translator, arguments[0])
        if value.kind == "int":
            return value
        target = decimal_type(value.type.precision, 0) if value.kind == "decimal" else value.type
        return value.derived(f"{function}({value.sql})", target)

    return rule


def _round(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
    _count(arguments, 2)
    value, digits = _number(translator, arguments[0]), _int(translator, arguments[1])
    if value.kind not in ("decimal", "money") or digits.literal is None:
        raise Untranslatable(f"ROUND of {value.type}")
    return value.derived(f"round({value.sql}, {digits.sql})")


def _float_function(template: str) -> Rule:
    def rule(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
        _count(arguments, 1)
        value = casts.convert(_number(translator, arguments[0]), FLOAT)
        sql = template.format(value.operand)
        if translator.when_read and template.startswith("sqrt"):
            sql = f"CASE WHEN {value.operand} >= 0 THEN {sql} END"
        return value.derived(sql, FLOAT)

    return rule


def _sign(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
    _count(arguments, 1)
    value = _number(translator, arguments[0])
    if value.kind != "int":
        raise Untranslatable(f"SIGN of {value.type}")
    return value.derived(f"sign({value.sql})::integer", value.type if value.type.name == "int" else BIGINT)


# --- JSON ------------------------------------------------------------------------------------------------------------


def _isjson(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
    _count(arguments, 1)
    value = _text(translator, arguments[0])
    if not translator.abilities.is_json:
        raise Untranslatable("IS JSON needs PostgreSQL 16")
    text = value.text
    return value.derived(
        f"CASE WHEN {text} IS JSON OBJECT OR {text} IS JSON ARRAY THEN 1 WHEN {text} IS NOT NULL THEN 0 END", INT
    )


def _json_path(node: Any) -> str:
    """``$.a.b`` or ``$.a[0]`` as a PostgreSQL text[] literal's elements."""
    import re

    path = node.literal if isinstance(node, Value) else None
    if not isinstance(path, str) or not re.fullmatch(r"(lax\s+)?\$((\.[A-Za-z_]\w*)|(\[\d+\]))+", path):
        raise Untranslatable("a JSON path that is not a plain chain of names")
    steps = re.findall(r"\.([A-Za-z_]\w*)|\[(\d+)\]", path)
    return ",".join(name or index for name, index in steps)


def _where_json(translator: ExpressionTranslator, value: Value, sql: str) -> str:
    """NULL for text that is no JSON: SQL Server computes such a column only when it is read, PostgreSQL when a row
    comes in, which one bad text must not prevent."""
    if not translator.abilities.is_json:
        raise Untranslatable("IS JSON needs PostgreSQL 16")
    return f"CASE WHEN {value.text} IS JSON THEN {sql} END"


def _json_value(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
    """A scalar as text; NULL where the path leads to an object, an array, nothing, or more than 4000 characters."""
    _count(arguments, 2)
    value, path = _text(translator, arguments[0]), _json_path(translator.value(arguments[1]))
    at = f"{value.text}::json #> '{{{path}}}'"
    found = f"({value.text}::json #>> '{{{path}}}')"
    inner = f"CASE WHEN json_typeof({at}) NOT IN ('object', 'array') AND length({found}) <= 4000 THEN {found} END"
    sql = _where_json(translator, value, inner)
    return value.derived(sql, varchar(4000, unicode=True, collation=value.type.collation))


def _json_query(translator: ExpressionTranslator, arguments: list[Any]) -> Value:
    """An object or array as it is written; NULL for scalars."""
    _count(arguments, 2)
    value, path = _text(translator, arguments[0]), _json_path(translator.value(arguments[1]))
    at = f"({value.text}::json #> '{{{path}}}')"
    inner = f"CASE WHEN json_typeof({at}) IN ('object', 'array') THEN {at}::text END"
    sql = _where_json(translator, value, inner)
    return value.derived(sql, varchar(-1, unicode=True, collation=value.type.collation))


_UTC = "(now() AT TIME ZONE 'UTC')"
_LOGIN = varchar(128, unicode=True)

RULES: dict[str, Rule] = {
    "getdate": _constant("LOCALTIMESTAMP", DATETIME, clock=True),
    "sysdatetime": _constant("LOCALTIMESTAMP", DATETIME2, clock=True),
    "getutcdate": _constant(_UTC, DATETIME, clock=True),
    "sysutcdatetime": _constant(_UTC, DATETIME2, clock=True),
    "sysdatetimeoffset": _constant("CURRENT_TIMESTAMP", OFFSET, clock=True),
    "newid": _new_uuid(),
    "newsequentialid": _new_uuid("newsequentialid() becomes gen_random_uuid(): new values are not in order"),
    "suser_sname": _constant("CURRENT_USER::text", _LOGIN),
    "suser_name": _constant("CURRENT_USER::text", _LOGIN),
    "user_name": _constant("CURRENT_USER::text", _LOGIN),
    "original_login": _constant("SESSION_USER::text", _LOGIN),
    "db_name": _constant("current_database()::text", _LOGIN),
    "app_name": _constant("current_setting('application_name')", _LOGIN),
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
    "charindex": _charindex,
    "replace": _replace,
    "replicate": _replicate,
    "space": _space,
    "char": _character(128),
    "nchar": _character(0x10000),
    "reverse": _reverse,
    "concat": _concat,
    "isnull": _isnull,
    "coalesce": _coalesce,
    "nullif": _nullif,
    "iif": _iif,
    "abs": _abs,
    "ceiling": _whole("ceil"),
    "floor": _whole("floor"),
    "round": _round,
    "sign": _sign,
    "sqrt": _float_function("sqrt({0})"),
    "square": _float_function("({0} * {0})"),
    "isjson": _isjson,
    "json_value": _json_value,
    "json_query": _json_query,
    **DATE_RULES,
}
