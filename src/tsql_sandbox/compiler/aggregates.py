"""Aggregates and window functions."""

from __future__ import annotations

from dataclasses import replace

from ..errors import SqlError, Unsupported
from ..tsql import nodes as n
from ..values import sqltypes as st
from ..values.sqltypes import SqlType
from .casts import Ex, cast
from .context import Compiling
from .scope import Scope

_AGGREGATES = frozenset(
    "COUNT COUNT_BIG SUM AVG MIN MAX STDEV STDEVP VAR VARP STRING_AGG CHECKSUM_AGG".split()  # noqa: SIM905
)
_RANKING = {"ROW_NUMBER": "row_number", "RANK": "rank", "DENSE_RANK": "dense_rank", "NTILE": "ntile"}
_OFFSETS = {"LAG": "lag", "LEAD": "lead", "FIRST_VALUE": "first_value", "LAST_VALUE": "last_value"}
_FRACTIONS = {"PERCENT_RANK": "percent_rank", "CUME_DIST": "cume_dist"}
NAMES = _AGGREGATES | set(_RANKING) | set(_OFFSETS) | set(_FRACTIONS)


def call(compiler: Compiling, expr: n.Call, scope: Scope) -> Ex:
    """An aggregate, or a function with OVER.

    Raises:
        Unsupported: the sandbox does not have the function.
    """
    over = "" if expr.window is None else f" OVER ({_window(compiler, expr.window, scope)})"
    inner = replace(scope, groups=None) if expr.name in _AGGREGATES and expr.window is None else scope
    arguments = [compiler.value(item, inner) for item in expr.arguments if not isinstance(item, n.Star)]
    if expr.name in _RANKING:
        inside = "" if not arguments else f"CAST({arguments[0].sql} AS BIGINT)"
        return Ex(f"{_RANKING[expr.name]}({inside}){over}", st.BIGINT, False)
    if expr.name in _FRACTIONS:
        return Ex(f"{_FRACTIONS[expr.name]}(){over}", st.FLOAT, False)
    if expr.name in _OFFSETS:
        inside = ", ".join([arguments[0].sql, *(f"CAST({a.sql} AS BIGINT)" for a in arguments[1:2])])
        if len(arguments) > 2:
            inside += f", {cast(arguments[2], arguments[0].type or st.INT).sql}"
        return Ex(f"{_OFFSETS[expr.name]}({inside}){over}", arguments[0].type)
    if expr.name not in _AGGREGATES:
        raise Unsupported(f"the function {expr.name} with OVER")
    return _aggregate(compiler, expr, arguments, over, inner)


def _window(compiler: Compiling, window: n.Window, scope: Scope) -> str:
    parts: list[str] = []
    if window.partition:
        keys = ", ".join(compiler.key(compiler.value(item, scope)) for item in window.partition)
        parts.append(f"PARTITION BY {keys}")
    if window.order:
        parts.append("ORDER BY " + ", ".join(order_sql(compiler, item, scope) for item in window.order))
    if window.frame:
        parts.append(window.frame)
    return " ".join(parts)


def order_sql(compiler: Compiling, item: n.OrderItem, scope: Scope) -> str:
    """One item of an ORDER BY; NULL sorts as the smallest value."""
    if isinstance(item.expr, n.Subquery):
        # "(SELECT NULL)" says that the order does not matter.
        return "1"
    key = compiler.key(compiler.value(item.expr, scope))
    return f"{key} {'DESC NULLS LAST' if item.descending else 'ASC NULLS FIRST'}"


def _aggregate(compiler: Compiling, expr: n.Call, arguments: list[Ex], over: str, scope: Scope) -> Ex:
    name = expr.name
    distinct = "DISTINCT " if expr.distinct else ""
    if name in ("COUNT", "COUNT_BIG"):
        result = st.INT if name == "COUNT" else st.BIGINT
        inside = "*" if not arguments else distinct + compiler.key(arguments[0])
        return Ex(f"CAST(count({inside}){over} AS {result.storage})", result, False)
    argument = arguments[0]
    kind = argument.type or st.INT
    if name in ("MIN", "MAX"):
        if kind.name in ("bit", "xml", "text", "ntext", "image", "geometry", "geography"):
            raise SqlError(8117, f"Operand data type {kind.name} is invalid for {name.lower()} operator.")
        key = compiler.key(argument)
        if key != argument.sql:
            return Ex(f"arg_{name.lower()}({argument.sql}, {key}){over}", kind)
        return Ex(f"{name.lower()}({argument.sql}){over}", kind)
    if name == "STRING_AGG":
        separator = cast(arguments[1], st.NVARCHAR_MAX).sql
        order = ", ".join(order_sql(compiler, item, scope) for item in expr.order)
        order = f" ORDER BY {order}" if order else ""
        return Ex(f"string_agg({cast(argument, st.NVARCHAR_MAX).sql}, {separator}{order}){over}", st.NVARCHAR_MAX)
    if name == "CHECKSUM_AGG":
        return Ex(f"CAST(bit_xor({cast(argument, st.INT).sql}){over} AS INTEGER)", st.INT)
    if kind.name not in st.NUMBERS or kind.name == "bit":
        raise SqlError(8117, f"Operand data type {kind.name} is invalid for {name.lower()} operator.")
    if name in ("STDEV", "STDEVP", "VAR", "VARP"):
        function = {"STDEV": "stddev_samp", "STDEVP": "stddev_pop", "VAR": "var_samp", "VARP": "var_pop"}[name]
        return Ex(f"{function}({distinct}{cast(argument, st.FLOAT).sql}){over}", st.FLOAT)
    return _sum_or_average(name, distinct, argument, kind, over)


def _sum_or_average(name: str, distinct: str, argument: Ex, kind: SqlType, over: str) -> Ex:
    total = f"sum({distinct}{argument.sql}){over}"
    if kind.name in st.FLOATS:
        sql = total if name == "SUM" else f"avg({distinct}{argument.sql}){over}"
        return Ex(sql, st.FLOAT)
    if kind.name in st.DECIMALS:
        scale = kind.scale if name == "SUM" else max(kind.scale, 6)
        result = st.make("decimal", 38, scale)
    elif kind.name in st.MONEY:
        result = st.make("money")
    else:
        result = st.BIGINT if kind.name == "bigint" else st.INT
    if name == "SUM":
        return Ex(f"CAST({total} AS {result.storage})", result)
    count = f"count({distinct}{argument.sql}){over}"
    if kind.name in st.INTEGERS:
        return Ex(f"CAST(int_divide({total}, {count}) AS {result.storage})", result)
    return Ex(f"decimal_divide(({total})::VARCHAR, ({count})::VARCHAR, {result.scale})::{result.storage}", result)
