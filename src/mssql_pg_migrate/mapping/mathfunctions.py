"""T-SQL's functions of numbers, with the result types of Microsoft's pages on each."""

from __future__ import annotations

from typing import Any

from .rules import Place, Rule, UnfitArguments, all_immutable, expect, int_argument, number_argument
from .values import BIGINT, FLOAT, INT, MONEY, PG_INTS, Value, decimal_type


def _abs(place: Place, arguments: list[Any]) -> Value:
    expect(arguments, 1)
    value = number_argument(place, arguments[0])
    return value.derived(f"abs({value.sql})")


def _whole(function: str) -> Rule:
    """CEILING and FLOOR."""

    def rule(place: Place, arguments: list[Any]) -> Value:
        expect(arguments, 1)
        value = number_argument(place, arguments[0])
        if value.kind == "int":
            return value
        target = decimal_type(value.type.precision, 0) if value.kind == "decimal" else value.type
        return value.derived(f"{function}({value.sql})", target)

    return rule


def _round(place: Place, arguments: list[Any]) -> Value:
    expect(arguments, 2)
    value, digits = number_argument(place, arguments[0]), int_argument(place, arguments[1])
    if value.kind not in ("decimal", "money") or digits.literal is None:
        raise UnfitArguments(f"of {value.type} is not translated")
    return value.derived(f"round({value.sql}, {digits.sql})")


def _float_function(template: str) -> Rule:
    def rule(place: Place, arguments: list[Any]) -> Value:
        expect(arguments, 1)
        value = place.convert(number_argument(place, arguments[0]), FLOAT)
        sql = template.format(value.operand)
        if place.when_read and template.startswith("sqrt"):
            sql = f"CASE WHEN {value.operand} >= 0 THEN {sql} END"
        return value.derived(sql, FLOAT)

    return rule


def _power(place: Place, arguments: list[Any]) -> Value:
    """POWER computes in float; its result has the type of the first argument ("POWER": Return types).

    A decimal keeps its scale, an integer what is left without a fraction (2 to the power of -1 is 0). Whole powers of
    integers are exact, everything else depends on the last digit of the float.
    """
    expect(arguments, 2)
    base, exponent = place.value(arguments[0]), number_argument(place, arguments[1])
    if base.kind == "bit":
        base = place.convert(base, FLOAT)
    if base.kind not in ("int", "decimal", "money", "float"):
        raise UnfitArguments(f"of {base.type} is not translated")
    both = [place.convert(side, FLOAT) for side in (base, exponent)]
    sql = _where_defined(place, base, exponent, f"power({both[0].sql}, {both[1].sql})")
    immutable = all_immutable(base, exponent)
    whole = isinstance(exponent.literal, int) and exponent.literal >= 0
    if base.kind == "int":
        target = BIGINT if base.type.name == "bigint" else INT
        sql = f"trunc({sql})::{PG_INTS[target.name]}"
        if whole and target == INT:
            return Value(sql, target, immutable)
    elif base.kind == "float":
        target = FLOAT
    else:
        target = decimal_type(38, base.type.scale) if base.kind == "decimal" else MONEY
        sql = f"round(({sql})::numeric, {target.scale})"
    if place.stored and base.kind != "float":
        raise UnfitArguments(f"of {base.type} is computed in float and rounded in a way PostgreSQL may not have")
    place.remark("POWER: the last digit may be another, both servers compute it in floating point")
    return Value(sql, target, immutable)


def _where_defined(place: Place, base: Value, exponent: Value, sql: str) -> str:
    """NULL instead of an error where the source computes the value only when it is read."""
    if not place.when_read or isinstance(exponent.literal, int):
        return sql
    b, e = base.operand, exponent.operand
    return f"CASE WHEN {b} > 0 OR ({b} = 0 AND {e} >= 0) OR ({b} < 0 AND {e} = trunc({e})) THEN {sql} END"


def _sign(place: Place, arguments: list[Any]) -> Value:
    expect(arguments, 1)
    value = number_argument(place, arguments[0])
    if value.kind != "int":
        raise UnfitArguments(f"of {value.type} is not translated")
    return value.derived(f"sign({value.sql})::integer", value.type if value.type.name == "int" else BIGINT)


MATH_RULES: dict[str, Rule] = {
    "abs": _abs,
    "ceiling": _whole("ceil"),
    "floor": _whole("floor"),
    "round": _round,
    "sign": _sign,
    "sqrt": _float_function("sqrt({0})"),
    "square": _float_function("({0} * {0})"),
    "power": _power,
}
