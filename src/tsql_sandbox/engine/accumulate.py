"""SELECT that assigns to a variable from itself: SELECT @s = @s + name FROM t.

Microsoft ("SELECT @local_variable") says that such a SELECT should not be used to gather rows, since expressions may be
evaluated more than once or not in the order asked for; without ORDER BY of an expression, DISTINCT or grouping, SQL
Server evaluates them once a row. That is done here, and the rest is refused.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from ..errors import Unsupported
from ..tsql import nodes as n
from ..values.convert import from_duckdb
from .state import SessionState


def applies(query: n.Select) -> bool:
    """Whether a value assigned depends on a variable assigned by the same SELECT."""
    names = {item.variable for item in query.items}
    return query.source is not None and any(_variables(item.expr) & names for item in query.items)


def run(session: SessionState, query: n.Select) -> int:
    """Assign row by row; returns the number of rows.

    Raises:
        Unsupported: what SQL Server would do is not documented.
    """
    ordered = all(isinstance(item.expr, n.Column) for item in query.order)
    if query.distinct or query.group or query.having or not ordered:
        raise Unsupported("SELECT @variable = @variable ... with DISTINCT, grouping or ORDER BY of an expression")
    columns: list[n.Column] = []
    for item in query.items:
        _columns(item.expr, columns)
    wanted = tuple(n.SelectItem(column) for column in columns) or (n.SelectItem(n.Literal(1, None)),)
    compiled = session.compiler().query(replace(query, items=wanted), None)
    rows = session.query_rows(compiled.sql)
    for row in rows:
        values: dict[n.Column, n.Literal] = {}
        for column, output, value in zip(columns, compiled.columns, row, strict=False):
            values[column] = n.Literal(from_duckdb(value, output.type), output.type)
        for item in query.items:
            session.assign(item.variable or "", session.constant_of(_filled(item.expr, values)))
    return len(rows)


def _children(node: Any) -> list[Any]:
    if isinstance(node, tuple):
        return list(node)
    return [getattr(node, item.name) for item in fields(node)] if is_dataclass(node) else []


def _variables(node: Any) -> set[str | None]:
    if isinstance(node, n.Variable):
        return {node.name}
    return {name for child in _children(node) for name in _variables(child)}


def _columns(node: Any, found: list[n.Column]) -> None:
    if isinstance(node, n.Subquery | n.Exists | n.Query) or (isinstance(node, n.Call) and node.window is not None):
        raise Unsupported("SELECT @variable = @variable ... with a subquery or a window")
    if isinstance(node, n.Column):
        if node not in found:
            found.append(node)
        return
    for child in _children(node):
        _columns(child, found)


def _filled(node: Any, values: dict[n.Column, n.Literal]) -> Any:
    if isinstance(node, n.Column):
        return values[node]
    if isinstance(node, tuple):
        return tuple(_filled(child, values) for child in node)
    if is_dataclass(node) and not isinstance(node, type):
        changed = {item.name: _filled(getattr(node, item.name), values) for item in fields(node)}
        return replace(node, **changed)
    return node
