"""Queries that a generated table answers with a slice of ready bytes.

That is `SELECT [TOP (n)] every column in its order FROM t [WHERE limits on the key] [ORDER BY the key]`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..catalog.model import Table
from ..compiler.outputs import OutputColumn
from ..compiler.scope import Scope
from ..errors import SqlError
from ..generator.rowstore import RowStore, Slice
from ..tsql import nodes as n
from ..values import sqltypes as st
from .state import SessionState

_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "="}


@dataclass
class Limits:
    """What a WHERE leaves of the keys: `low <= key <= high`."""

    low: int | None = None
    high: int | None = None

    def at_least(self, value: int) -> None:
        """Raise the lower limit."""
        self.low = value if self.low is None else max(self.low, value)

    def at_most(self, value: int) -> None:
        """Lower the upper limit."""
        self.high = value if self.high is None else min(self.high, value)


def slice_of(session: SessionState, query: n.Query) -> Slice | None:
    """The slice that is the query's answer; None when it is not one.

    Raises:
        SqlError: 229, the login may not read the table.
    """
    if not isinstance(query, n.Select) or not isinstance(query.source, n.TableSource):
        return None
    others = (query.group, query.having, query.distinct, query.top_percent, query.top_ties, query.offset, query.fetch)
    if any(others) or query.tables or query.source.sample:
        return None
    table = session.find_object(query.source.name)
    if not isinstance(table, Table) or not isinstance(table.ready, RowStore):
        return None
    if session.refused("SELECT", table):
        return None
    names = {(query.source.alias or query.source.name[-1]).lower()}
    columns = _all_columns(query, table, names)
    if columns is None or not _ordered_by_key(query, table, names):
        return None
    limits = Limits()
    if query.where is not None and not _limit(session, query.where, table, names, limits):
        return None
    session.require("SELECT", table, query.source.hints)
    first, last = table.ready.rows_between(limits.low, limits.high)
    if query.top is not None:
        top = session.scalar(query.top)[0]
        if not isinstance(top, int):
            return None
        last = min(last, first + top)
    return Slice(table, table.ready, columns, first, last)


def _is_column(expr: n.Expr, name: str, names: set[str]) -> bool:
    if not isinstance(expr, n.Column) or expr.parts[-1].lower() != name.lower():
        return False
    return len(expr.parts) == 1 or expr.parts[-2].lower() in names


def _all_columns(query: n.Select, table: Table, names: set[str]) -> list[OutputColumn] | None:
    assert isinstance(table.ready, RowStore)
    columns = table.ready.columns
    if len(query.items) == 1 and isinstance(query.items[0].expr, n.Star):
        return columns
    if len(query.items) != len(columns):
        return None
    found: list[OutputColumn] = []
    for item, column in zip(query.items, columns, strict=True):
        if item.variable or not _is_column(item.expr, column.name, names):
            return None
        found.append(column if item.alias is None else replace(column, name=item.alias))
    return found


def _ordered_by_key(query: n.Select, table: Table, names: set[str]) -> bool:
    if not query.order:
        return True
    if len(query.order) > 1 or query.order[0].descending:
        return False
    return _is_column(query.order[0].expr, table.columns[0].name, names)


def _limit(session: SessionState, expr: n.Expr, table: Table, names: set[str], limits: Limits) -> bool:
    """Take the limits of a condition; False when it says anything else."""
    if isinstance(expr, n.Binary) and expr.operator == "AND":
        return all(_limit(session, side, table, names, limits) for side in (expr.left, expr.right))
    key = table.columns[0].name
    if isinstance(expr, n.Between) and not expr.negated and _is_column(expr.operand, key, names):
        low, high = _whole(session, expr.low), _whole(session, expr.high)
        if low is None or high is None:
            return False
        limits.at_least(low)
        limits.at_most(high)
        return True
    if not isinstance(expr, n.Binary) or expr.operator not in _MIRRORED:
        return False
    operator, other = expr.operator, expr.right
    if not _is_column(expr.left, key, names):
        if not _is_column(expr.right, key, names):
            return False
        operator, other = _MIRRORED[operator], expr.left
    value = _whole(session, other)
    if value is None:
        return False
    if operator in (">", ">=", "="):
        limits.at_least(value + (operator == ">"))
    if operator in ("<", "<=", "="):
        limits.at_most(value - (operator == "<"))
    return True


def _whole(session: SessionState, expr: n.Expr) -> int | None:
    try:
        compiled = session.compiler().value(expr, Scope())
    except SqlError:
        return None
    if compiled.type is None or compiled.type.name not in st.INTEGERS or not compiled.is_const:
        return None
    return compiled.const if isinstance(compiled.const, int) else None
