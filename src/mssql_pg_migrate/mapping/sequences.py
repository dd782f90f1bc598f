"""Sequences of the catalog to PostgreSQL sequences."""

from __future__ import annotations

from dataclasses import replace

from ..model import Identity, Sequence, SqlType, Table
from .context import Context
from .objects import MappedSequence, MappedTable
from .quoting import qualified, quote_literal
from .types import MappedColumn

_BIGINT = (-(2**63), 2**63 - 1)
_TYPES = {"tinyint": "smallint", "smallint": "smallint", "int": "integer"}


def map_sequences(context: Context) -> list[MappedSequence]:
    """All sequences of the selected schemas, under their target names."""
    result = []
    for source in context.catalog.sequences:
        label = f"{source.schema}.{source.name}"
        if not _fits(source):
            context.note("not_carried", label, "sequence: its values lie beyond bigint, PostgreSQL's largest")
            continue
        clamped = replace(source, minimum=max(source.minimum, _BIGINT[0]), maximum=min(source.maximum, _BIGINT[1]))
        if clamped != source:
            context.note("warning", label, "sequence: its bounds are cut to those of bigint, PostgreSQL's largest")
        context.notes.extend(context.names.note_for("sequence", source.schema, source.name))
        result.append(
            MappedSequence(
                source=clamped,
                schema=context.names.schema(source.schema),
                name=context.names.sequence(source.schema, source.name),
                pg_type=_TYPES.get(source.type.name, "bigint"),
                is_called=_is_used(source),
            )
        )
    return result


def with_feeds(sequences: list[MappedSequence], tables: list[MappedTable]) -> list[MappedSequence]:
    """The sequences with the columns whose defaults draw from them."""
    result = []
    for sequence in sequences:
        call = f"nextval({quote_literal(qualified(sequence.schema, sequence.name))}::regclass)"
        feeds = tuple(
            (table.schema, table.name, column.name)
            for table in tables
            for column in table.columns
            if column.default_sql is not None and call in column.default_sql
        )
        result.append(replace(sequence, feeds=feeds))
    return result


def _is_used(source: Sequence) -> bool:
    """Whether ``current`` was handed out.

    sys.sequences shows START WITH as the current value of a sequence that was never used, and of one used once. From
    SQL Server 2017 on ``last_used_value`` tells them apart; before, the values in the columns it feeds
    (``target.finalize``).
    """
    return source.current != source.start or source.current == source.last_used


def _fits(source: Sequence) -> bool:
    low, high = _BIGINT
    return low <= source.start <= high and low <= source.current <= high and low <= source.increment <= high


def stand_in_for_identity(
    context: Context, table: Table, column: MappedColumn, identity: Identity, name: str
) -> MappedSequence:
    """The sequence that feeds a decimal identity: PostgreSQL's identities are smallint, integer or bigint only."""
    precision = column.source.type.precision
    bound = min(10**precision - 1, _BIGINT[1])
    schema = context.names.schema(table.schema)
    return MappedSequence(
        source=Sequence(
            schema=table.schema,
            name=name,
            type=SqlType("bigint", 8, 19),
            start=identity.seed,
            increment=identity.increment,
            minimum=min(1, identity.seed) if identity.increment > 0 else -bound,
            maximum=bound if identity.increment > 0 else max(-1, identity.seed),
            cycle=False,
            current=identity.seed,
        ),
        schema=schema,
        name=name,
        pg_type="bigint",
        is_called=False,
        owner=(schema, context.names.table(table.schema, table.name), column.name),
    )
