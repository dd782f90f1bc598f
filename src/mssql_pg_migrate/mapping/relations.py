"""Relations and result columns of queries: how they are named and typed on their way from T-SQL to PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..model import SqlType
from .parse import Untranslatable
from .quoting import quote_ident
from .values import INT, Value, common_type, fixed_length, kind_of


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """A column of a query or relation: its PostgreSQL name, its type (in ``value``), and the name T-SQL knows it by."""

    name: str
    value: Value
    source: str


@dataclass(frozen=True, slots=True)
class Query:
    """A translated query."""

    sql: str
    columns: tuple[OutputColumn, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """Something in FROM: its alias and its columns, by lower-case name."""

    alias: str
    columns: Mapping[str, OutputColumn]
    schema: str | None = None

    def answers_to(self, parts: Sequence[str]) -> bool:
        """Whether a column reference's qualifier means this relation."""
        if parts[-1].lower() != self.alias.lower():
            return False
        return len(parts) == 1 or self.schema is None or parts[-2].lower() == self.schema.lower()


@dataclass(frozen=True, slots=True)
class BaseRelation:
    """A table or view of the target: its quoted name and columns."""

    sql: str
    columns: tuple[OutputColumn, ...]


BaseLookup = Callable[[Sequence[str]], BaseRelation]
"""Finds a table or view by its (possibly qualified) source name; raises Untranslatable."""


def argument(node: Any, name: str) -> Any:
    """``from`` and ``with`` are called ``from_`` and ``with_`` by newer sqlglot releases."""
    found = node.args.get(f"{name}_")
    return node.args.get(name) if found is None else found


def _is_column(value: Value) -> bool:
    """Whether the text is a bare column name: every other expression ends differently."""
    return value.sql.endswith('"')


def qualified_column(relation: Relation, column: OutputColumn) -> Value:
    """A relation's column as an expression."""
    sql = f"{quote_ident(relation.alias)}.{quote_ident(column.name)}"
    plain = column.value.plain_text
    if plain is not None:
        plain = f"{sql}::text" if plain.endswith("::text") else f'({sql} COLLATE "default")'
    return replace(column.value, sql=sql, plain_text=plain, literal=None, atomic=True, folded=None, clock=False)


def output_sql(name: str, value: Value, padded: Callable[[Value], Value]) -> str:
    """An item of a SELECT list; ``padded`` gives a char(n) its trailing blanks."""
    if value.kind == "null":
        value = Value("NULL::integer", INT)
    elif fixed_length(value.type) is not None and not (value.trimmed and _is_column(value)):
        value = padded(value)
    return f"{value.sql} AS {quote_ident(name)}" if name else value.sql


def result_column(name: str, value: Value) -> OutputColumn:
    """What a query that selects ``value`` as ``name`` looks like from outside."""
    if value.kind == "null":
        value = Value("NULL", INT)
    is_column = _is_column(value)
    return OutputColumn(
        name,
        Value(
            quote_ident(name) if name else "",
            value.type,
            immutable=False,
            plain_text=value.plain_text if is_column else None,
            trimmed=value.trimmed and is_column,
        ),
        name,
    )


def renamed(columns: Sequence[OutputColumn], names: Sequence[str], what: str) -> tuple[OutputColumn, ...]:
    """The columns under the names of a column list, or their own where there is none."""
    if names and len(names) != len(columns):
        raise Untranslatable(f"{what} names {len(names)} columns but has {len(columns)}")
    chosen = names or [column.name for column in columns]
    result = tuple(replace(column, name=name, source=name) for name, column in zip(chosen, columns, strict=True))
    if any(not column.name for column in result):
        raise Untranslatable(f"{what} has a column without a name")
    return result


def united(left: Query, right: Query) -> tuple[OutputColumn, ...]:
    """The columns of a set operation."""
    if len(left.columns) != len(right.columns):
        raise Untranslatable("a set operation over different numbers of columns")
    columns = []
    for mine, theirs in zip(left.columns, right.columns, strict=True):
        kinds = {mine.value.kind, theirs.value.kind}
        if len(kinds) > 1 and not kinds <= {"int", "decimal", "money", "float"}:
            raise Untranslatable(f"a set operation mixes {mine.value.type} and {theirs.value.type}")
        if (fixed_length(mine.value.type) is None) != (fixed_length(theirs.value.type) is None):
            raise Untranslatable("a set operation mixes char and varchar")
        wider = mine.value if kind_of(mine.value.type) == theirs.value.kind else _wider(mine.value, theirs.value)
        columns.append(replace(mine, value=replace(wider, sql=mine.value.sql)))
    return tuple(columns)


def _wider(left: Value, right: Value) -> Value:
    target: SqlType = common_type([left, right])
    return replace(left, type=target)


def bracketed(node: Any, sql: str, *, right: bool) -> str:
    """A side of a set operation: in parentheses where its own TOP or ORDER BY would become that of the whole.

    The ``right`` one also when it is a set operation itself.
    """
    nested = right and type(node).__name__ in ("Union", "Except", "Intersect")
    own = any(node.args.get(name) is not None for name in ("limit", "offset", "order"))
    return f"({sql})" if nested or (own and type(node).__name__ == "Select") else sql


def mentions(node: Any, name: str) -> bool:
    """Whether a query reads the common table expression ``name`` (it then recurses)."""
    from sqlglot import exp

    return any(
        table.this.name.lower() == name.lower() and table.args.get("db") is None
        for table in node.find_all(exp.Table)
        if hasattr(table.this, "name")
    )
