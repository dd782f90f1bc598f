"""The syntax tree of T-SQL as the parser builds it: expressions and queries. Statements have their own module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..values.sqltypes import SqlType

Name = tuple[str, ...]
"""A name of one to four parts, outermost first; omitted parts are empty strings."""


# --- expressions -----------------------------------------------------------------------------------------------


class Expr:
    """Any expression or predicate."""

    __slots__ = ()


@dataclass(frozen=True)
class Literal(Expr):
    """A constant in its storage form, and its type; None for an untyped NULL."""

    value: Any
    type: SqlType | None


@dataclass(frozen=True)
class Column(Expr):
    """A column by name: the last part is the column, those before it the table."""

    parts: Name


@dataclass(frozen=True)
class Star(Expr):
    """`*` or `t.*` in a select list."""

    qualifier: Name = ()


@dataclass(frozen=True)
class Variable(Expr):
    """`@x` or `@@x`; the name in lower case, with its signs."""

    name: str


@dataclass(frozen=True)
class Unary(Expr):
    """`-x`, `+x`, `~x` or `NOT x`."""

    operator: str
    operand: Expr


@dataclass(frozen=True)
class Binary(Expr):
    """Arithmetic, comparison, AND or OR; the operator in upper case, `!=` as `<>`."""

    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Window:
    """OVER (...)."""

    partition: tuple[Expr, ...] = ()
    order: tuple[OrderItem, ...] = ()
    frame: str = ""


@dataclass(frozen=True)
class Call(Expr):
    """A function call; `name` in upper case for built-in functions, with its schema for others."""

    name: str
    arguments: tuple[Expr, ...] = ()
    distinct: bool = False
    window: Window | None = None
    order: tuple[OrderItem, ...] = ()
    parts: Name = ()


@dataclass(frozen=True)
class Cast(Expr):
    """CAST and CONVERT; `keyword` is CAST, CONVERT, TRY_CAST, TRY_CONVERT or PARSE."""

    operand: Expr
    type: TypeName
    style: Expr | None = None
    keyword: str = "CAST"


@dataclass(frozen=True)
class Case(Expr):
    """CASE, searched when `operand` is None."""

    operand: Expr | None
    branches: tuple[tuple[Expr, Expr], ...]
    default: Expr | None


@dataclass(frozen=True)
class In(Expr):
    """`x [NOT] IN (...)`."""

    operand: Expr
    items: tuple[Expr, ...] | Query
    negated: bool = False


@dataclass(frozen=True)
class Between(Expr):
    """`x [NOT] BETWEEN a AND b`."""

    operand: Expr
    low: Expr
    high: Expr
    negated: bool = False


@dataclass(frozen=True)
class Like(Expr):
    """`x [NOT] LIKE p [ESCAPE e]`."""

    operand: Expr
    pattern: Expr
    escape: Expr | None = None
    negated: bool = False


@dataclass(frozen=True)
class IsNull(Expr):
    """`x IS [NOT] NULL`."""

    operand: Expr
    negated: bool = False


@dataclass(frozen=True)
class Exists(Expr):
    """`EXISTS (query)`."""

    query: Query


@dataclass(frozen=True)
class Quantified(Expr):
    """`x > ALL (query)` or ANY."""

    operator: str
    operand: Expr
    quantifier: str
    query: Query


@dataclass(frozen=True)
class Subquery(Expr):
    """A query used as a value."""

    query: Query


@dataclass(frozen=True)
class Method(Expr):
    """`x.Name(...)`, or a property without parentheses when `arguments` is None."""

    operand: Expr
    name: str
    arguments: tuple[Expr, ...] | None


@dataclass(frozen=True)
class StaticMethod(Expr):
    """`geometry::STGeomFromText(...)` and the like."""

    type: str
    name: str
    arguments: tuple[Expr, ...] | None


@dataclass(frozen=True)
class Collate(Expr):
    """`x COLLATE name`."""

    operand: Expr
    collation: str


@dataclass(frozen=True)
class AtTimeZone(Expr):
    """`x AT TIME ZONE zone`."""

    operand: Expr
    zone: Expr


@dataclass(frozen=True)
class NextValue(Expr):
    """`NEXT VALUE FOR sequence`."""

    sequence: Name


@dataclass(frozen=True)
class Default(Expr):
    """DEFAULT in the place of a value."""


@dataclass(frozen=True)
class TypeName:
    """A type as written: its name, its arguments (-1 for max), and an XML schema collection."""

    name: Name
    arguments: tuple[int, ...] = ()
    xml_schema: Name = ()
    vector_base: str = ""


# --- queries ---------------------------------------------------------------------------------------------------


class Query:
    """Any query."""

    __slots__ = ()


@dataclass(frozen=True)
class OrderItem:
    """One expression of an ORDER BY."""

    expr: Expr
    descending: bool = False


@dataclass(frozen=True)
class SelectItem:
    """One expression of a select list; `variable` for `@x = expr`."""

    expr: Expr
    alias: str | None = None
    variable: str | None = None


class Source:
    """Anything in FROM."""

    __slots__ = ()


@dataclass(frozen=True)
class TableSource(Source):
    """A table or view by name; `sample` is the text of a TABLESAMPLE for DuckDB, `hints` are table hints."""

    name: Name
    alias: str | None = None
    sample: str = ""
    hints: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChangeTable(Source):
    """CHANGETABLE: CHANGES with `since`, or VERSION with the columns and values of a key."""

    table: Name
    alias: str
    since: Expr | None = None
    key: tuple[str, ...] = ()
    values: tuple[Expr, ...] = ()
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class PivotSource(Source):
    """PIVOT: `aggregate` of the rows for each of `values` of a column."""

    source: Source
    aggregate: Call
    column: str
    values: tuple[str, ...]
    alias: str


@dataclass(frozen=True)
class UnpivotSource(Source):
    """UNPIVOT: `columns` become rows, their values in `value` and their names in `name`."""

    source: Source
    value: str
    name: str
    columns: tuple[str, ...]
    alias: str


@dataclass(frozen=True)
class QuerySource(Source):
    """A derived table."""

    query: Query
    alias: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class FunctionSource(Source):
    """A table-valued function."""

    call: Call
    alias: str | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class JoinSource(Source):
    """A join; `kind` is INNER, LEFT, RIGHT, FULL, CROSS, CROSS APPLY or OUTER APPLY."""

    kind: str
    left: Source
    right: Source
    condition: Expr | None = None


@dataclass(frozen=True)
class CommonTable:
    """One table of a WITH clause."""

    name: str
    columns: tuple[str, ...]
    query: Query


@dataclass(frozen=True)
class Select(Query):
    """SELECT. `top` may be a percentage; `offset` and `fetch` belong to the order."""

    items: tuple[SelectItem, ...]
    source: Source | None = None
    where: Expr | None = None
    group: tuple[Expr, ...] = ()
    having: Expr | None = None
    order: tuple[OrderItem, ...] = ()
    distinct: bool = False
    top: Expr | None = None
    top_percent: bool = False
    top_ties: bool = False
    offset: Expr | None = None
    fetch: Expr | None = None
    into: Name | None = None
    tables: tuple[CommonTable, ...] = ()


@dataclass(frozen=True)
class SetQuery(Query):
    """UNION [ALL], EXCEPT or INTERSECT."""

    operator: str
    left: Query
    right: Query
    order: tuple[OrderItem, ...] = ()
    offset: Expr | None = None
    fetch: Expr | None = None
    tables: tuple[CommonTable, ...] = ()


@dataclass(frozen=True)
class ValuesQuery(Query):
    """VALUES (...), (...)."""

    rows: tuple[tuple[Expr, ...], ...]
