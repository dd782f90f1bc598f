"""The expressions of one table: defaults, checks, index predicates and computed columns, translated to PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..model import SqlType, Table
from . import casts
from .context import Context
from .expressions import ExpressionTranslator, assigned
from .parse import Untranslatable, bounded_depth, parse_expression
from .quoting import qualified, quote_ident
from .types import MappedColumn
from .values import Value, kind_of

__all__ = ["Translation", "Translator", "Untranslatable"]


@dataclass(frozen=True, slots=True)
class Translation:
    """PostgreSQL text and what a reader of the plan should know about it."""

    sql: str
    remarks: tuple[str, ...] = ()


class Translator:
    """Translates the expressions of one table; ``columns`` are the carried ones, by source name."""

    def __init__(self, context: Context, table: Table, columns: Mapping[str, MappedColumn]) -> None:
        self._context = context
        self._table = table
        self._columns = columns

    def default(self, text: str, column: MappedColumn) -> Translation:
        """A DEFAULT, converted to the column's type as an INSERT would.

        Raises:
            Untranslatable: PostgreSQL has no expression of the same meaning (so with all methods here).
        """
        place = _TableExpressions(self._context, self._table, {})
        with bounded_depth():
            value = _stored(place.value(parse_expression(text)), column)
        return Translation(value.sql, tuple(place.remarks))

    def check(self, text: str) -> Translation:
        """The condition of a check constraint."""
        place = _TableExpressions(self._context, self._table, self._columns)
        with bounded_depth():
            condition = place.predicate(parse_expression(text))
        return Translation(condition.sql, tuple(place.remarks))

    def filter(self, text: str, *, unique: bool) -> Translation:
        """The predicate of a filtered index.

        A unique index must hold exactly the source's rows. For another one PostgreSQL's own comparison is better: the
        planner uses the index only for queries that repeat its predicate.
        """
        place = _TableExpressions(self._context, self._table, self._columns, exact_text=unique)
        with bounded_depth():
            condition = place.predicate(parse_expression(text))
        if not condition.immutable:
            raise Untranslatable("an index predicate must not depend on the clock or the session")
        return Translation(condition.sql, tuple(place.remarks))

    def computed(self, text: str, column: MappedColumn) -> Translation:
        """The expression of a generated column."""
        place = _TableExpressions(self._context, self._table, self._columns)
        place.stored = True
        place.when_read = column.source.computed is not None and not column.source.computed.persisted
        with bounded_depth():
            value = place.value(parse_expression(text))
        declared = column.source.type
        if not value.immutable:
            raise Untranslatable("it depends on the clock, the session or a setting, which a generated column must not")
        if value.kind != kind_of(declared):
            raise Untranslatable(f"its type is {declared}, which the translation does not give")
        given, wanted = value.type, declared
        if (value.kind == "int" and given.name != wanted.name and value.literal is None) or (
            value.kind == "decimal" and (given.precision, given.scale) != (wanted.precision, wanted.scale)
        ):
            raise Untranslatable(f"its type is {declared}, the translation gives {value.type}")
        return Translation(_stored(value, column).sql, tuple(place.remarks))

    def computed_type(self, text: str) -> SqlType:
        """The T-SQL type of a computed column's expression."""
        place = _TableExpressions(self._context, self._table, self._columns)
        place.stored = True
        with bounded_depth():
            value = place.value(parse_expression(text))
        if value.kind in ("null", "other"):
            raise Untranslatable("its type cannot be told from its expression")
        return value.type

    def not_null_columns(self, text: str) -> frozenset[str]:
        """Columns (source names) that the predicate of a filtered index keeps from being NULL."""
        try:
            with bounded_depth():
                return frozenset(self._not_null(parse_expression(text)))
        except Untranslatable:
            return frozenset()

    def _not_null(self, node: Any) -> set[str]:
        kind = type(node).__name__
        if kind == "Paren":
            return self._not_null(node.this)
        if kind == "And":
            return self._not_null(node.this) | self._not_null(node.expression)
        target: Any = None
        if kind == "Not" and type(node.this).__name__ == "Is":
            target = node.this.this
        elif kind in ("EQ", "NEQ", "GT", "GTE", "LT", "LTE", "In"):
            target = node.this
        while type(target).__name__ == "Paren":
            target = target.this
        if type(target).__name__ != "Column":
            return set()
        return {column for column in self._columns if column.lower() == target.name.lower()}


def _stored(value: Value, column: MappedColumn) -> Value:
    """The value as the column holds it: with the blanks of a char(n), which citext does not add by itself."""
    value = assigned(value, column.source.type)
    return casts.padded(value) if column.pg_type == "citext" else value


class _TableExpressions(ExpressionTranslator):
    """Names are columns of one table."""

    def __init__(
        self, context: Context, table: Table, columns: Mapping[str, MappedColumn], *, exact_text: bool = True
    ) -> None:
        super().__init__(context.options.abilities, context.catalog.collation, exact_text=exact_text)
        self._context = context
        self._table = table
        self._columns = columns

    def column(self, parts: Sequence[str]) -> Value:
        return column_value(_find(self._columns, parts[-1]), quote_ident(_find(self._columns, parts[-1]).name))

    def sequence(self, parts: Sequence[str]) -> str:
        return find_sequence(self._context, parts, self._table.schema)


def _find(columns: Mapping[str, MappedColumn], name: str) -> MappedColumn:
    if name in columns:
        return columns[name]
    folded = [column for source, column in columns.items() if source.lower() == name.lower()]
    if len(folded) != 1:
        raise Untranslatable(f"it refers to {name}, which is not carried")
    return folded[0]


def column_value(column: MappedColumn, sql: str) -> Value:
    """The value of a mapped column under the (quoted) name ``sql``."""
    plain = None
    if column.pg_type == "citext":
        plain = f"{sql}::text"
    elif column.collation_sql is not None:
        plain = f'({sql} COLLATE "default")'
    return Value(
        sql,
        column.source.type,
        plain_text=plain,
        generated=column.source.computed is not None,
        trimmed=column.pg_type.startswith("char("),
    )


def find_sequence(context: Context, parts: Sequence[str], schema: str) -> str:
    """The quoted target name of the sequence a NEXT VALUE FOR names (in ``schema`` or dbo when unqualified)."""
    name = parts[-1].lower()
    schemas = [parts[-2].lower()] if len(parts) > 1 else [schema.lower(), "dbo"]
    for wanted in schemas:
        for sequence in context.catalog.sequences:
            if (sequence.schema.lower(), sequence.name.lower()) == (wanted, name):
                return qualified(
                    context.names.schema(sequence.schema), context.names.sequence(sequence.schema, sequence.name)
                )
    raise Untranslatable(f"it takes values from the sequence {'.'.join(parts)}, which is not carried")
