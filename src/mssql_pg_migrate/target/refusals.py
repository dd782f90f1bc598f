"""What becomes of expressions that PostgreSQL refuses, or computes to other values than the source."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..mapping.columns import plain_column
from ..mapping.objects import MappedTable, Note


@dataclass(slots=True)
class Refusals:
    """Why expressions are not carried, as clauses, by source names (schema, table, object)."""

    columns: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """Computed columns and defaults."""
    checks: dict[tuple[str, str, str], str] = field(default_factory=dict)
    indexes: dict[tuple[str, str, str], str] = field(default_factory=dict)
    views: dict[tuple[str, str], str] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)


def without(table: MappedTable, refusals: Refusals, notes: list[Note]) -> MappedTable:
    """The table with plain columns, and without checks and indexes, where something was refused; adds to ``notes``."""
    schema, name, full_name = table.source.schema, table.source.name, table.source.full_name
    columns = []
    for column in table.columns:
        reason = refusals.columns.get((schema, name, column.source.name))
        if reason is None:
            columns.append(column)
            continue
        label = f"{full_name}.{column.source.name}"
        if column.generated_sql is not None:
            told = not table.source.column(column.source.name).untold
            then = plain_column(column.source) if told else "an empty column: the source holds no values of it"
            text = f"computed column: {reason}; {then}"
            nullable = column.nullable or not told
            columns.append(replace(column, generated_sql=None, copied=told, nullable=nullable))
        else:
            text = f"default: {reason}"
            columns.append(replace(column, default_sql=None))
        notes.append(Note("not_carried", label, text))
    checks = []
    for check in table.checks:
        reason = refusals.checks.get((schema, name, check.source.name))
        if reason is None:
            checks.append(check)
        else:
            text = f"check {check.source.definition}: {reason}"
            notes.append(Note("not_carried", f"{full_name} constraint {check.source.name}", text))
    indexes = []
    for index in table.indexes:
        reason = refusals.indexes.get((schema, name, index.source.name))
        if reason is None:
            indexes.append(index)
        else:
            text = f"filtered index WHERE {index.source.filter}: {reason}"
            notes.append(Note("not_carried", f"{full_name} index {index.source.name}", text))
    return replace(table, columns=tuple(columns), checks=tuple(checks), indexes=tuple(indexes))
