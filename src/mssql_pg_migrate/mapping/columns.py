"""Columns: type, collation, identity, default, computed expression, comment, and what is lost."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from ..model import HIDDEN, Column, Key, Table
from .collation_names import sensitivity
from .context import NOT_VISIBLE, Context
from .names import default_object_name
from .quoting import qualified, quote_literal
from .sequences import stand_in_for_identity
from .translate import Translator, Untranslatable
from .types import MappedColumn, UnsupportedColumn, map_type

_IDENTITY_TYPES = ("smallint", "integer", "bigint")
_BIGINT = (-(2**63), 2**63 - 1)
_PERIOD_END = "'9999-12-31 23:59:59.999999'"


def map_columns(context: Context, table: Table, range_key: Key | None) -> tuple[MappedColumn, ...]:
    """The columns of a table that are carried, in table order."""
    sources = _with_computed_types(context, table)
    mapped = [column for column in (_map_column(context, table, source) for source in sources) if column]
    translator = Translator(context, table, {column.source.name: column for column in mapped})
    key_names = {part.name for key in (table.primary_key, range_key) if key is not None for part in key.columns}
    return tuple(
        _with_value(context, table, column, translator, in_key=column.source.name in key_names) for column in mapped
    )


def _with_computed_types(context: Context, table: Table) -> tuple[Column, ...]:
    """The columns, with types of their expressions for computed ones whose types the source does not tell (a package).

    Of such a column there are no values either, so one that cannot be computed in PostgreSQL is left out.
    """
    if not any(column.untold for column in table.columns):
        return table.columns
    told = {column.name: column for column in table.columns if not column.untold}
    found = []
    for column in table.columns:
        if column.untold and column.computed is not None:
            label = f"{table.full_name}.{column.name}"
            definition = column.computed.definition
            try:
                translator = Translator(context, table, _plain(told))
                column = replace(column, type=translator.computed_type(definition))
                translator.computed(definition, _plain({column.name: column})[column.name])
            except (Untranslatable, UnsupportedColumn) as reason:
                text = f"computed column {definition}: {reason}; the source holds no values of it, it is left out"
                context.note("not_carried", label, text)
                continue
        found.append(column)
    return tuple(found)


def _plain(columns: dict[str, Column]) -> dict[str, MappedColumn]:
    """Columns as far as expressions are concerned."""
    mapped = {}
    for name, column in columns.items():
        with suppress(UnsupportedColumn):
            kind = map_type(column)
            mapped[name] = MappedColumn(source=column, name=name, pg_type=kind.pg_type, encoding=kind.encoding)
    return mapped


def _map_column(context: Context, table: Table, source: Column) -> MappedColumn | None:
    label = f"{table.full_name}.{source.name}"
    try:
        mapped = map_type(source, pgvector=context.options.abilities.pgvector)
    except UnsupportedColumn as problem:
        _note_unsupported(context, label, problem)
        return None
    names = context.names
    context.notes.extend(names.note_for("column", table.schema, table.name, source.name))
    pg_type, collation_sql = context.collation.apply(mapped.pg_type, source.type.collation)
    lossy = mapped.lossy
    if pg_type == "citext" and mapped.pg_type != "text":
        declared = f"its declared length ({mapped.pg_type}) is not enforced: citext has none"
        if source.type.name in ("char", "nchar"):
            declared += "; blanks at its end count in comparisons"
        lossy = f"{lossy}; {declared}" if lossy else declared
    if lossy:
        context.note("lossy", label, lossy)
    if pg_type == "citext" and sensitivity(source.type.collation).turkic:
        context.note("warning", label, "citext folds case by the target's rules: i and I, not i and İ, are one letter")
    for bound in source.bound:
        context.note("not_carried", label, bound)
    if source.type.name == "timestamp" and not source.nullable:
        context.note("warning", label, "rowversion, NOT NULL: PostgreSQL does not fill it, INSERTs must name it")
    if source.filestream:
        context.note("info", label, "FILESTREAM: its values become ordinary column values")
    if source.masked:
        context.note(
            "warning", label, "dynamic data masking is not carried; without the right UNMASK the masked values are read"
        )
    if source.type.alias is not None and source.type.name != source.type.alias.rpartition(".")[2]:
        context.note("info", label, f"alias type {source.type.alias} becomes {pg_type}")
    return MappedColumn(
        source=source,
        name=names.column(table.schema, table.name, source.name),
        pg_type=pg_type,
        encoding=mapped.encoding,
        driver_select=mapped.driver_select,
        wire_select=mapped.wire_select,
        nullable=source.nullable,
        collation_sql=collation_sql,
        lossy=lossy,
        comment=source.description,
        type_schema=context.options.abilities.extension_schemas.get(pg_type.partition("(")[0]),
        not_null_name=names.not_null(table.schema, table.name, source.name),
    )


def _note_unsupported(context: Context, label: str, problem: UnsupportedColumn) -> None:
    if problem.kind == "encrypted":
        hint = "exclude the table, or decrypt the column first"
        context.note("error", label, f"{problem.reason}; {hint}")
    elif problem.kind == "pseudo":
        context.note("info", label, f"{problem.reason}; it is left out")
    else:
        context.note("not_carried", label, f"{problem.reason}; the column is left out")


def _with_value(
    context: Context, table: Table, column: MappedColumn, translator: Translator, *, in_key: bool
) -> MappedColumn:
    """Add where new values come from: identity, computed expression, period or default."""
    source = column.source
    if source.identity is not None:
        return _with_identity(context, table, column)
    if source.computed is not None:
        return _with_computed(context, table, column, translator, in_key=in_key)
    if source.default is not None and not (source.default.definition == HIDDEN and source.generated_always):
        return _with_default(context, table, column, translator)
    if source.generated_always in (1, 2):
        default = "(now() AT TIME ZONE 'UTC')" if source.generated_always == 1 else f"{_PERIOD_END}::timestamp"
        context.note("info", f"{table.full_name}.{source.name}", "period column: a plain column with a default")
        return replace(column, default_sql=default)
    if source.generated_always:
        context.note(
            "not_carried",
            f"{table.full_name}.{source.name}",
            f"ledger column: PostgreSQL does not fill it; {plain_column(source)}",
        )
    return column


def plain_column(source: Column) -> str:
    """What becomes of a column that the source fills by itself and PostgreSQL does not, as the end of a sentence."""
    return "a plain column with its data" + ("" if source.nullable else ", which INSERTs must name")


def _with_identity(context: Context, table: Table, column: MappedColumn) -> MappedColumn:
    label = f"{table.full_name}.{column.source.name}"
    identity = column.source.identity
    assert identity is not None
    values = (identity.seed, identity.increment, identity.last_value or 0)
    if not all(_BIGINT[0] <= value <= _BIGINT[1] for value in values):
        context.note("not_carried", label, "identity: its values lie beyond bigint; the column keeps its data only")
        return column
    names = context.names
    name = names.identity(table.schema, table.name, column.source.name)
    context.notes.extend(names.note_for("identity", table.schema, table.name, column.source.name))
    if column.pg_type in _IDENTITY_TYPES:
        usual = default_object_name(names.table(table.schema, table.name), column.name, "seq")
        own = None if name == usual else (names.schema(table.schema), name)
        return replace(column, identity=True, sequence=own)
    sequence = stand_in_for_identity(context, table, column, identity, name)
    context.owned_sequences.append(sequence)
    context.note("info", label, f'identity of type {column.source.type}: fed by the sequence "{name}"')
    regclass = f"{quote_literal(qualified(sequence.schema, sequence.name))}::regclass"
    return replace(column, default_sql=f"nextval({regclass})")


def _with_computed(
    context: Context, table: Table, column: MappedColumn, translator: Translator, *, in_key: bool
) -> MappedColumn:
    label = f"{table.full_name}.{column.source.name}"
    computed = column.source.computed
    assert computed is not None
    if computed.definition == HIDDEN:
        text = f"computed column: {NOT_VISIBLE}; {plain_column(column.source)}"
        context.note("not_carried", label, text)
        return column
    if in_key:
        context.note(
            "not_carried",
            label,
            f"computed column {computed.definition}: part of the key, so {plain_column(column.source)}",
        )
        return column
    try:
        expression = translator.computed(computed.definition, column)
    except Untranslatable as reason:
        context.note(
            "not_carried", label, f"computed column {computed.definition}: {reason}; {plain_column(column.source)}"
        )
        return column
    _note_remarks(context, label, expression.remarks)
    return replace(column, generated_sql=expression.sql, copied=False)


def _with_default(context: Context, table: Table, column: MappedColumn, translator: Translator) -> MappedColumn:
    default = column.source.default
    assert default is not None
    label = f"{table.full_name}.{column.source.name}"
    if default.definition == HIDDEN:
        context.note("not_carried", label, f"{f'default {default.name}'.rstrip()}: {NOT_VISIBLE}")
        return column
    try:
        expression = translator.default(default.definition, column)
    except Untranslatable as reason:
        context.note("not_carried", label, f"default {default.definition}: {reason}")
        return column
    _note_remarks(context, label, expression.remarks)
    return replace(column, default_sql=expression.sql)


def _note_remarks(context: Context, label: str, remarks: tuple[str, ...]) -> None:
    for remark in remarks:
        context.note("warning", label, remark)
