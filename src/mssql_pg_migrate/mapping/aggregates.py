"""Aggregates of queries, with the result types and the rounding of Microsoft's page on each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from .nodes import check_arguments
from .rules import Place, UnfitArguments
from .values import BIGINT, FLOAT, INT, MONEY, PG_INTS, Value, decimal_type, is_unicode, text_length, varchar

AggregateRule: TypeAlias = Callable[[Place, list[Any], str], Value]
"""Takes the place, the unparsed arguments and what follows the call: nothing, or a mark where OVER (...) goes."""


def _argument(place: Place, arguments: list[Any]) -> tuple[Value, str]:
    """The one argument and ``DISTINCT `` or nothing."""
    if len(arguments) != 1:
        raise UnfitArguments("of several arguments is not translated")
    node, word = arguments[0], ""
    if type(node).__name__ == "Distinct":
        check_arguments(node, frozenset({"expressions"}))
        if len(node.expressions) != 1:
            raise UnfitArguments("of several arguments is not translated")
        node, word = node.expressions[0], "DISTINCT "
    value = place.value(node)
    if word and value.kind == "str":
        place.compare("=", value, value)
    return value, word


def _unfit(value: Value) -> UnfitArguments:
    return UnfitArguments(f"of {value.type} is not translated")


def _count(big: bool) -> AggregateRule:
    def rule(place: Place, arguments: list[Any], over: str) -> Value:
        if len(arguments) == 1 and type(arguments[0]).__name__ == "Star":
            sql = f"count(*){over}"
        else:
            value, word = _argument(place, arguments)
            sql = f"count({word}{value.sql}){over}"
        return Value(sql if big else f"({sql})::integer", BIGINT if big else INT, immutable=False)

    return rule


def _sum(place: Place, arguments: list[Any], over: str) -> Value:
    """SUM of integers is an int or bigint, of decimals decimal(38,s), of money and smallmoney money, else float."""
    value, word = _argument(place, arguments)
    if value.kind == "int":
        target = BIGINT if value.type.name == "bigint" else INT
        return Value(f"(sum({word}{value.sql}){over})::{PG_INTS[target.name]}", target, immutable=False)
    if value.kind in ("decimal", "money"):
        target = decimal_type(38, value.type.scale) if value.kind == "decimal" else MONEY
        return Value(f"sum({word}{value.sql}){over}", target, immutable=False)
    if value.kind == "float":
        return Value(f"sum({word}{place.convert(value, FLOAT).sql}){over}", FLOAT, immutable=False)
    raise _unfit(value)


def _avg(place: Place, arguments: list[Any], over: str) -> Value:
    """AVG divides the sum by the count in the type of the sum, and cuts the quotient off.

    Integers give an integer, decimals at least six decimals, money its four: the page's average of 504 prices,
    438.66625, is 438.6662.
    """
    value, word = _argument(place, arguments)
    if value.kind == "float":
        return Value(f"avg({word}{place.convert(value, FLOAT).sql}){over}", FLOAT, immutable=False)
    total, number = f"sum({word}{value.sql}){over}", f"count({word}{value.sql}){over}"
    # Not PostgreSQL's avg(): it rounds at 16 digits or a few more, which may be up to the next one.
    if value.kind == "int":
        target = BIGINT if value.type.name == "bigint" else INT
        quotient = f"div({total}, {number})" if target == BIGINT else f"({total} / {number})"
        return Value(f"{quotient}::{PG_INTS[target.name]}", target, immutable=False)
    if value.kind in ("decimal", "money"):
        target = decimal_type(38, max(6, value.type.scale)) if value.kind == "decimal" else MONEY
        unit = f"0.{'0' * (target.scale - 1)}1"
        return Value(f"(div({total} * 1{'0' * target.scale}, {number}) * {unit})", target, immutable=False)
    raise _unfit(value)


def _extreme(name: str) -> AggregateRule:
    def rule(place: Place, arguments: list[Any], over: str) -> Value:
        value, word = _argument(place, arguments)
        if value.kind in ("uuid", "bin", "other", "bit"):
            raise _unfit(value)
        if value.kind == "str":
            place.remark("text is sorted by PostgreSQL's collation")
        return Value(f"{name}({word}{value.item}){over}", value.type, immutable=False)

    return rule


def _deviation(name: str) -> AggregateRule:
    """STDEV, STDEVP, VAR and VARP compute in float; those of a sample are NULL for a single value, as in PostgreSQL."""

    def rule(place: Place, arguments: list[Any], over: str) -> Value:
        value, word = _argument(place, arguments)
        if value.kind not in ("int", "decimal", "money", "float"):
            raise _unfit(value)
        place.remark("variances and standard deviations are computed in floating point, their last digits may differ")
        return Value(f"{name}({word}{place.convert(value, FLOAT).sql}){over}", FLOAT, immutable=False)

    return rule


def string_agg(place: Place, node: Any, separator: Any, order: str) -> Value:
    """STRING_AGG in the order of WITHIN GROUP; without one neither side promises any.

    The result has the longest type of its kind that is not (max), and (max) for a (max); what is no text becomes
    nvarchar.
    """
    value, mark = place.value(node), place.value(separator)
    if value.kind != "str":
        value = place.convert(value, varchar(4000, unicode=True), explicit=False)
    if not isinstance(mark.literal, str):
        raise UnfitArguments("with a separator that is no constant is not translated")
    unicode = is_unicode(value.type)
    length = -1 if text_length(value.type) < 0 else 4000 if unicode else 8000
    text = place.padded(value).item
    target = varchar(length, unicode=unicode, collation=value.type.collation, code_page=value.type.code_page)
    ordered = f" ORDER BY {order}" if order else ""
    return Value(f"string_agg({text}, {mark.sql}{ordered})", target, immutable=False)


AGGREGATES: dict[str, AggregateRule] = {
    "count": _count(big=False),
    "count_big": _count(big=True),
    "sum": _sum,
    "avg": _avg,
    "min": _extreme("min"),
    "max": _extreme("max"),
    "stdev": _deviation("stddev_samp"),
    "stdevp": _deviation("stddev_pop"),
    "var": _deviation("var_samp"),
    "varp": _deviation("var_pop"),
}
