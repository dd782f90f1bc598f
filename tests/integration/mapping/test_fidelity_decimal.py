"""Decimal arithmetic: random expressions give the digits that SQL Server's rules of precision and scale give.

The rules are those of Microsoft's "Precision, scale, and length": products that must lose digits are rounded, quotients
are cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from schema_samples import catalog, column, mapped, notes, only_table, table
from servers import PgServer

_EXACT = Context(prec=200)


@pytest.fixture(scope="module")
def target(pg: PgServer) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database of the module's own."""
    database = pg.new_database()
    with database.connect() as connection:
        yield connection
    database.drop()


@dataclass(frozen=True)
class Number:
    """A T-SQL decimal expression: its text, value, precision and scale."""

    text: str
    value: Decimal
    precision: int
    scale: int


def _limited(operator: str, precision: int, scale: int, whole: int) -> tuple[int, int]:
    """The type after a result of ``whole`` integral digits is fitted into 38 digits."""
    if precision <= 38:
        return precision, scale
    if operator in "+-":
        return 38, min(scale, 38 - whole)
    integral = precision - scale
    return 38, min(scale, 38 - integral) if integral < 32 else min(scale, 6)


def combine(operator: str, left: Number, right: Number) -> Number | None:
    """T-SQL's result; None where it is an error (overflow, division by zero)."""
    p1, s1, p2, s2 = left.precision, left.scale, right.precision, right.scale
    text = f"({left.text}{operator}{right.text})"
    whole = max(p1 - s1, p2 - s2)
    if operator in "+-":
        precision, scale = _limited(operator, max(s1, s2) + whole + 1, max(s1, s2), whole)
        value = (_EXACT.add if operator == "+" else _EXACT.subtract)(left.value, right.value)
        rounded = value.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, _EXACT)
    elif operator == "*":
        precision, scale = _limited(operator, p1 + p2 + 1, s1 + s2, whole)
        value = _EXACT.multiply(left.value, right.value)
        rounded = value.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, _EXACT)
    else:
        if right.value == 0:
            return None
        scale = max(6, s1 + p2 + 1)
        precision, scale = _limited(operator, p1 - s1 + s2 + scale, scale, whole)
        value = _EXACT.divide(left.value, right.value)
        rounded = value.quantize(Decimal(1).scaleb(-scale), ROUND_DOWN, _EXACT)
    if len(rounded.as_tuple().digits) > precision:
        return None
    return Number(text, rounded, precision, scale)


_COLUMNS = {
    "[a]": ("decimal(10,2)", 10, 2),
    "[b]": ("decimal(6,4)", 6, 4),
    "[c]": ("decimal(38,10)", 38, 10),
    "[d]": ("decimal(18,0)", 18, 0),
}
_ROW = {
    "[a]": st.decimals(-(10**8) + 1, 10**8 - 1, places=2),
    "[b]": st.decimals(-99, 99, places=4),
    "[c]": st.decimals(-(10**6), 10**6, places=10),
    "[d]": st.integers(-(10**9), 10**9).map(Decimal),
}


@st.composite
def expressions(draw: st.DrawFn, row: dict[str, Decimal], depth: int = 0) -> Number:
    """A random expression over the row, or an assumption failed where T-SQL has an error."""
    if depth == 3 or draw(st.integers(0, 2)) == 0:
        if draw(st.booleans()):
            name = draw(st.sampled_from(sorted(_COLUMNS)))
            return Number(name, row[name], *_COLUMNS[name][1:])
        text = draw(st.sampled_from(["(2.0)", "(1.5)", "(0.001)", "(3.)", "(100.00)"]))
        digits = text.strip("()")
        fraction = digits.partition(".")[2]
        precision = len(digits.replace(".", "").lstrip("0"))
        return Number(text, Decimal(digits), max(precision, len(fraction)), len(fraction))
    left = draw(expressions(row, depth + 1))
    right = draw(expressions(row, depth + 1))
    result = combine(draw(st.sampled_from("+-*/")), left, right)
    assume(result is not None)
    assert result is not None
    return result


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(data=st.data())
def test_decimal_arithmetic(target: psycopg.Connection[Any], data: st.DataObject) -> None:
    row = {name: data.draw(strategy) for name, strategy in _ROW.items()}
    number = data.draw(expressions(row))
    assume("[" in number.text)
    declared = f"decimal({number.precision},{number.scale})"
    source = catalog(
        table(
            "T",
            *(column(name.strip("[]"), kind[0]) for name, kind in _COLUMNS.items()),
            column("result", declared, computed=number.text),
        )
    )
    database = mapped(source)
    sql = only_table(database).columns[-1].generated_sql
    assert sql is not None, (number, notes(database, "not_carried"))
    values = ", ".join(f'{value}::numeric AS "{name.strip("[]")}"' for name, value in row.items())
    found = target.execute(
        f"SELECT ({sql})::numeric({number.precision},{number.scale}) FROM (SELECT {values}) AS t".encode()
    )
    assert found.fetchone() == (number.value,), (number.text, row, sql)
