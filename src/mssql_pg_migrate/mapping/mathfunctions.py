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
        if value.kind == "int" or (value.kind == "decimal" and value.type.scale == 0):
            return value
        target = decimal_type(value.type.precision, 0) if value.kind == "decimal" else value.type
        return value.derived(f"{function}({value.sql})", target)

    return rule


def _round(place: Place, arguments: list[Any]) -> Value:
    """ROUND, or with a third argument other than 0 a cut; integers become int or bigint, smallmoney money."""
    expect(arguments, 2, 3)
    value, digits = number_argument(place, arguments[0]), int_argument(place, arguments[1])
    how = int_argument(place, arguments[2]).literal if len(arguments) == 3 else 0
    if not isinstance(digits.literal, int) or how is None:
        raise UnfitArguments("with something that is no constant is not translated")
    function = "round" if how == 0 else "trunc"
    if value.kind == "int":
        target = BIGINT if value.type.name == "bigint" else INT
        sql = f"{function}({value.operand}::numeric, {digits.sql})::{PG_INTS[target.name]}"
        return value.derived(sql, target)
    if value.kind == "float":
        if place.stored:
            raise UnfitArguments(f"of {value.type} rounds in a way of its own")
        place.remark("ROUND of float and real: by PostgreSQL's rules, on 15 digits")
        wide = place.convert(value, FLOAT)
        return value.derived(f"{function}({wide.operand}::numeric, {digits.sql})::double precision", FLOAT)
    return value.derived(f"{function}({value.sql}, {digits.sql})", MONEY if value.kind == "money" else value.type)


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
    if value.kind == "int":
        target = BIGINT if value.type.name == "bigint" else INT
        return value.derived(f"sign({value.sql})::{PG_INTS[target.name]}", target)
    if value.kind == "float":
        return value.derived(f"sign({place.convert(value, FLOAT).sql})", FLOAT)
    return value.derived(f"sign({value.sql})", MONEY if value.kind == "money" else value.type)


def _libm(template: str, count: int = 1) -> Rule:
    """A function of the mathematical library, in float; both servers' libraries agree but for the last digit."""

    def rule(place: Place, arguments: list[Any]) -> Value:
        expect(arguments, count)
        values = [place.convert(number_argument(place, node), FLOAT) for node in arguments]
        if place.when_read:
            raise UnfitArguments("fails for some numbers, which the source does only when the column is read")
        place.remark("mathematical functions are computed in floating point, their last digit may differ")
        return Value(template.format(*(value.operand for value in values)), FLOAT, all_immutable(*values))

    return rule


def _log(place: Place, arguments: list[Any]) -> Value:
    """LOG is the natural logarithm, or with a second argument the one to that base."""
    expect(arguments, 1, 2)
    return _libm("ln({0})" if len(arguments) == 1 else "(ln({0}) / ln({1}))", len(arguments))(place, arguments)


MATH_RULES: dict[str, Rule] = {
    "abs": _abs,
    "ceiling": _whole("ceil"),
    "floor": _whole("floor"),
    "round": _round,
    "sign": _sign,
    "sqrt": _float_function("sqrt({0})"),
    "square": _float_function("({0} * {0})"),
    "power": _power,
    "exp": _libm("exp({0})"),
    "log": _log,
    "log10": _libm("log({0})"),
    "pi": _libm("pi()", 0),
    "sin": _libm("sin({0})"),
    "cos": _libm("cos({0})"),
    "tan": _libm("tan({0})"),
    "cot": _libm("cot({0})"),
    "asin": _libm("asin({0})"),
    "acos": _libm("acos({0})"),
    "atan": _libm("atan({0})"),
    "atn2": _libm("atan2({0}, {1})", 2),
}
