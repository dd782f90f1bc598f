"""Aggregates and ranking functions of queries, with T-SQL's result types."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from . import casts
from .nodes import check_arguments
from .parse import Untranslatable
from .values import BIGINT, FLOAT, INT, PG_INTS, Value, decimal_type, varchar

if TYPE_CHECKING:
    from .queries import QueryTranslator

WINDOW_MARK = "\0over\0"
"""Stands where OVER (...) goes in a windowed aggregate; U+0000 cannot occur in translated text otherwise."""

Rule: TypeAlias = "Callable[[QueryTranslator, list[Any], str], Value]"


def call(translator: QueryTranslator, name: str, arguments: list[Any]) -> Value:
    """An aggregate without OVER."""
    return AGGREGATES[name](translator, arguments, "")


def windowed(translator: QueryTranslator, node: Any) -> Value:
    """The function before OVER, with `WINDOW_MARK` where the window belongs."""
    name = str(node.this).lower() if type(node).__name__ == "Anonymous" else type(node).__name__.lower()
    if type(node).__name__ == "Anonymous" and name in _RANKING and not node.expressions:
        return Value(f"{name}(){WINDOW_MARK}", BIGINT, immutable=False)
    rule = AGGREGATES.get(name)
    if type(node).__name__ != "Anonymous" or rule is None:
        raise Untranslatable(f"{name}() OVER is not translated")
    return rule(translator, node.expressions, WINDOW_MARK)


_RANKING = ("row_number", "rank", "dense_rank")


def _argument(translator: QueryTranslator, arguments: list[Any]) -> tuple[Value, str]:
    """The one argument and ``DISTINCT `` or nothing."""
    if len(arguments) != 1:
        raise Untranslatable("an aggregate of several arguments")
    node, word = arguments[0], ""
    if type(node).__name__ == "Distinct":
        check_arguments(node, frozenset({"expressions"}))
        if len(node.expressions) != 1:
            raise Untranslatable("an aggregate of several arguments")
        node, word = node.expressions[0], "DISTINCT "
    value = translator.value(node)
    if word and value.kind == "str":
        translator.compare("=", value, value)
    return value, word


def _count(big: bool) -> Rule:
    def rule(translator: QueryTranslator, arguments: list[Any], over: str) -> Value:
        if len(arguments) == 1 and type(arguments[0]).__name__ == "Star":
            sql = f"count(*){over}"
        else:
            value, word = _argument(translator, arguments)
            sql = f"count({word}{value.sql}){over}"
        return Value(sql if big else f"({sql})::integer", BIGINT if big else INT, immutable=False)

    return rule


def _sum(translator: QueryTranslator, arguments: list[Any], over: str) -> Value:
    value, word = _argument(translator, arguments)
    if value.kind == "int":
        target = BIGINT if value.type.name == "bigint" else INT
        return Value(f"(sum({word}{value.sql}){over})::{PG_INTS[target.name]}", target, immutable=False)
    if value.kind == "decimal":
        target = decimal_type(38, value.type.scale)
        return Value(f"sum({word}{value.sql}){over}", target, immutable=False)
    if value.kind == "money":
        return Value(f"sum({word}{value.sql}){over}", value.type, immutable=False)
    if value.kind == "float":
        return Value(f"sum({word}{casts.convert(value, FLOAT).sql}){over}", FLOAT, immutable=False)
    raise Untranslatable(f"SUM of {value.type}")


def _avg(translator: QueryTranslator, arguments: list[Any], over: str) -> Value:
    """AVG of integers is an integer; of decimals it is cut off at six decimals or the scale."""
    value, word = _argument(translator, arguments)
    if value.kind == "int":
        target = BIGINT if value.type.name == "bigint" else INT
        return Value(f"trunc(avg({word}{value.sql}){over})::{PG_INTS[target.name]}", target, immutable=False)
    if value.kind == "decimal":
        scale = max(6, value.type.scale)
        return Value(f"trunc(avg({word}{value.sql}){over}, {scale})", decimal_type(38, scale), immutable=False)
    if value.kind == "money":
        translator.remark("money is rounded to four decimals by PostgreSQL's rules")
        return Value(f"round(avg({word}{value.sql}){over}, 4)", value.type, immutable=False)
    if value.kind == "float":
        return Value(f"avg({word}{casts.convert(value, FLOAT).sql}){over}", FLOAT, immutable=False)
    raise Untranslatable(f"AVG of {value.type}")


def _extreme(name: str) -> Rule:
    def rule(translator: QueryTranslator, arguments: list[Any], over: str) -> Value:
        value, word = _argument(translator, arguments)
        if value.kind in ("uuid", "bin", "other", "bit"):
            raise Untranslatable(f"{name.upper()} of {value.type}")
        if value.kind == "str":
            translator.remark("text is sorted by PostgreSQL's collation")
        return Value(f"{name}({word}{value.item}){over}", value.type, immutable=False)

    return rule


def string_agg(translator: QueryTranslator, node: Any, separator: Any) -> Value:
    """STRING_AGG without an order: neither side promises one."""
    value, mark = translator.value(node), translator.value(separator)
    if value.kind != "str" or not isinstance(mark.literal, str):
        raise Untranslatable("STRING_AGG of something that is no text")
    unicode = value.type.name in ("nchar", "nvarchar", "ntext")
    text = translator.padded(value).item
    target = varchar(-1, unicode=unicode, collation=value.type.collation)
    return Value(f"string_agg({text}, {mark.sql})", target, immutable=False)


AGGREGATES: dict[str, Rule] = {
    "count": _count(big=False),
    "count_big": _count(big=True),
    "sum": _sum,
    "avg": _avg,
    "min": _extreme("min"),
    "max": _extreme("max"),
}
