"""Functions before OVER: ranking, LAG and its kin, and windowed aggregates, with T-SQL's result types.

Both servers have the same default frame where a window is ordered: RANGE from the start of the partition to the
current row and its equals ("SELECT - OVER Clause").
"""

from __future__ import annotations

from typing import Any

from .aggregates import AGGREGATES, AggregateRule
from .nodes import describe
from .parse import Untranslatable
from .rules import Place, UnfitArguments, expect, int_argument
from .types import pg_type_of, rule_of
from .values import BIGINT, FLOAT, NUMERIC_KINDS, Value

MARK = "\0over\0"
"""Stands where OVER (...) goes; U+0000 cannot occur in translated text otherwise."""


def windowed(place: Place, node: Any) -> Value:
    """The function before OVER, with `MARK` where the window belongs.

    Raises:
        Untranslatable: there is no rule for it.
    """
    if type(node).__name__ == "RespectNulls":
        node = node.this
    if type(node).__name__ != "Anonymous":
        raise Untranslatable(f"{describe(node)} OVER is not translated")
    name = str(node.this).lower()
    rule = WINDOWS.get(name) or AGGREGATES.get(name)
    if rule is None:
        raise Untranslatable(f"{name.upper()}() OVER is not translated")
    try:
        return rule(place, node.expressions, MARK)
    except UnfitArguments as reason:
        raise reason.named(name) from reason


def frame(spec: Any) -> str:
    """ROWS or RANGE of a window, which PostgreSQL spells alike."""

    def bound(name: str) -> str:
        value, side = spec.args.get(name), spec.args.get(f"{name}_side")
        if value is None:
            return ""
        text = value if isinstance(value, str) else str(value.this)
        if not (text.isdigit() or text.upper() in ("UNBOUNDED", "CURRENT ROW")):
            raise Untranslatable("a window's frame with something that is no constant is not translated")
        return f"{text} {side or ''}".strip().upper()

    kind, start, end = str(spec.args.get("kind") or "").upper(), bound("start"), bound("end")
    if kind not in ("ROWS", "RANGE") or not start or spec.args.get("exclude"):
        raise Untranslatable(f"the window's frame {describe(spec)} is not translated")
    return f"{kind} BETWEEN {start} AND {end}" if end else f"{kind} {start}"


def _rank(name: str) -> AggregateRule:
    def rule(_place: Place, arguments: list[Any], over: str) -> Value:
        expect(arguments, 0)
        return Value(f"{name}(){over}", BIGINT, immutable=False)

    return rule


def _share(name: str) -> AggregateRule:
    """PERCENT_RANK and CUME_DIST: float(53), double precision."""

    def rule(_place: Place, arguments: list[Any], over: str) -> Value:
        expect(arguments, 0)
        return Value(f"{name}(){over}", FLOAT, immutable=False)

    return rule


def _ntile(place: Place, arguments: list[Any], over: str) -> Value:
    expect(arguments, 1)
    count = int_argument(place, arguments[0])
    return Value(f"(ntile({count.operand}::integer){over})::bigint", BIGINT, immutable=False)


def _neighbour(name: str) -> AggregateRule:
    """LAG and LEAD: the default is converted to the type of the value, see the third example on LAG's page."""

    def rule(place: Place, arguments: list[Any], over: str) -> Value:
        expect(arguments, 1, 2, 3)
        value = place.padded(place.value(arguments[0]))
        parts = [value.item]
        if len(arguments) > 1:
            offset = int_argument(place, arguments[1])
            if isinstance(offset.literal, int) and offset.literal < 0:
                raise UnfitArguments("with a negative offset is an error")
            parts.append(str(offset.literal) if isinstance(offset.literal, int) else f"{offset.operand}::integer")
        if len(arguments) > 2:
            default = place.convert(place.value(arguments[2]), value.type, explicit=False)
            parts.append(_typed(place.padded(default)))
        return Value(f"{name}({', '.join(parts)}){over}", value.type, immutable=False, collated=value.collated)

    return rule


def _typed(value: Value) -> str:
    """A number in the PostgreSQL type of its column: before version 14 both arguments must have exactly the same."""
    rule = rule_of(value.type)
    if value.kind not in NUMERIC_KINDS or rule is None:
        return value.item
    return f"{value.operand}::{pg_type_of(value.type, rule)}"


def _edge(name: str) -> AggregateRule:
    """FIRST_VALUE and LAST_VALUE."""

    def rule(place: Place, arguments: list[Any], over: str) -> Value:
        expect(arguments, 1)
        value = place.padded(place.value(arguments[0]))
        return Value(f"{name}({value.item}){over}", value.type, immutable=False, collated=value.collated)

    return rule


WINDOWS: dict[str, AggregateRule] = {
    "row_number": _rank("row_number"),
    "rank": _rank("rank"),
    "dense_rank": _rank("dense_rank"),
    "percent_rank": _share("percent_rank"),
    "cume_dist": _share("cume_dist"),
    "ntile": _ntile,
    "lag": _neighbour("lag"),
    "lead": _neighbour("lead"),
    "first_value": _edge("first_value"),
    "last_value": _edge("last_value"),
}
