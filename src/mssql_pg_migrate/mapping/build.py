"""Catalog in, target schema out: the table of contents of the mapping. Pure functions, no I/O."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..model import Catalog, Table
from .collation import CollationPlan, notes_on_keys
from .columns import map_columns
from .constraints import ConstraintMapper
from .context import Context
from .naming import NamePlan
from .objects import NO_PRIMARY_KEY, MappedDatabase, MappedTable, Note
from .options import MappingOptions
from .range_keys import choose_range_key
from .sequences import map_sequences, with_feeds
from .views import map_views

MAX_COLUMNS = 1600
"""MaxHeapAttributeNumber of PostgreSQL."""


def build(catalog: Catalog, options: MappingOptions) -> MappedDatabase:
    """Map the selected tables of a catalog, and all that belongs to them, to PostgreSQL.

    The result's notes list every rename, every loss and everything that is not carried, by source name; a note of
    severity ``error`` means that the run must not start.
    """
    names = NamePlan(
        catalog,
        options.schemas,
        options.identifier_case,
        views=options.create_views,
        taken=options.taken,
        reserved=options.reserved,
    )
    context = Context(catalog, options, names, CollationPlan(options, _collation_schema(catalog, options, names)))
    context.notes.extend(Note("warning", catalog.database, text) for text in catalog.notes)
    selected = _select(context)
    sequences = map_sequences(context)
    tables = [mapped for table in selected if (mapped := _map_table(context, table)) is not None]
    for loss in catalog.losses:
        if loss.table is None or loss.table in context.selected:
            context.note("not_carried", loss.object, loss.message)
    tables = _with_foreign_keys(context, tables)
    context.notes.extend(notes_on_keys(tables))
    sequences = with_feeds(sequences, tables)
    views = map_views(context, tables)
    _note_modules(context)
    schemas = dict.fromkeys([*(t.schema for t in tables), *(s.schema for s in sequences), *(v.schema for v in views)])
    for source in dict.fromkeys(table.schema for table in selected):
        context.notes.extend(names.note_for("schema", source))
    return MappedDatabase(
        tables=tuple(tables),
        sequences=(*sequences, *context.owned_sequences),
        views=tuple(views),
        schemas=tuple(schemas),
        extensions=(*context.collation.extensions, *_vector_extension(tables)),
        collations_sql=context.collation.statements,
        notes=tuple(dict.fromkeys((*context.collation.notes, *context.notes))),
        schema_comments=_schema_comments(context, schemas),
    )


def _vector_extension(tables: list[MappedTable]) -> tuple[str, ...]:
    return ("vector",) if any(column.encoding == "vector" for table in tables for column in table.columns) else ()


def _schema_comments(context: Context, schemas: Collection[str]) -> tuple[tuple[str, str], ...]:
    """Descriptions of the target schemas: of all source schemas that go there."""
    found: dict[str, list[str]] = {}
    for source, text in context.catalog.schema_descriptions:
        target = context.names.schema(source)
        if target in schemas:
            found.setdefault(target, []).append(text)
    return tuple((target, "\n".join(texts)) for target, texts in found.items())


def _collation_schema(catalog: Catalog, options: MappingOptions, names: NamePlan) -> str:
    """Where the database's collations are created: the target schema of the first table of the run."""
    for table in catalog.tables:
        if options.selected is None or table.full_name in options.selected:
            return names.schema(table.schema)
    return "public"


def _select(context: Context) -> list[Table]:
    """The tables of this run, in catalog order, without those that hold no rows of their own."""
    chosen = []
    for table in context.catalog.tables:
        if context.options.selected is not None and table.full_name not in context.options.selected:
            continue
        if table.external:
            context.note("not_carried", table.full_name, "external table: its rows live in another system")
            continue
        chosen.append(table)
    context.selected = frozenset(table.full_name for table in chosen)
    return chosen


def _map_table(context: Context, table: Table) -> MappedTable | None:
    """The table, or None (and a note) when none of its columns holds data to carry: an edge without attributes, say."""
    names = context.names
    context.notes.extend(names.note_for("table", table.schema, table.name))
    _note_table_kind(context, table)
    range_key = choose_range_key(table)
    columns = map_columns(context, table, range_key)
    if not any(column.copied for column in columns):
        context.note("not_carried", table.full_name, "table: none of its columns can be carried; it is left out")
        context.selected -= {table.full_name}
        return None
    if context.options.mode == "upsert" and (table.primary_key is None or table.primary_key.disabled):
        context.note("error", table.full_name, f"Table '{table.name}' {NO_PRIMARY_KEY}")
    if len(columns) > MAX_COLUMNS:
        context.note("error", table.full_name, f"has {len(columns)} columns, PostgreSQL allows {MAX_COLUMNS}")
    mapped = MappedTable(
        source=table,
        schema=names.schema(table.schema),
        name=names.table(table.schema, table.name),
        columns=columns,
        range_key=range_key,
        comment=table.description,
    )
    return ConstraintMapper(context, mapped).add_keys_indexes_checks()


def _with_foreign_keys(context: Context, tables: list[MappedTable]) -> list[MappedTable]:
    """Add the foreign keys, which need both tables mapped, and drop the unique constraints nobody wants."""
    by_source = {(table.source.schema, table.source.name): table for table in tables}
    result = []
    for table in tables:
        mapper = ConstraintMapper(context, table)
        result.append(replace(table, foreign_keys=mapper.foreign_keys(by_source)))
    return [_without_unwanted_uniques(context, table, result) for table in result]


def _without_unwanted_uniques(context: Context, table: MappedTable, tables: list[MappedTable]) -> MappedTable:
    """``create_indexes: false`` leaves out unique constraints and indexes, except those a foreign key refers to."""
    if context.options.create_indexes:
        return table
    needed = {
        frozenset(foreign_key.referenced_columns)
        for other in tables
        for foreign_key in other.foreign_keys
        if (foreign_key.referenced_schema, foreign_key.referenced_table) == (table.schema, table.name)
    }
    uniques = tuple(k for k in table.unique_keys if frozenset(c.name for c in k.columns) in needed)
    indexes = tuple(i for i in table.indexes if i.unique and frozenset(c.name for c in i.columns) in needed)
    dropped = [k.source.name for k in table.unique_keys if k not in uniques]
    dropped += [i.source.name for i in table.indexes if i not in indexes]
    if dropped:
        context.note(
            "not_carried",
            table.source.full_name,
            f"create_indexes is false: no index or unique constraint {', '.join(dropped)}",
        )
    return replace(table, unique_keys=uniques, indexes=indexes)


def _note_table_kind(context: Context, table: Table) -> None:
    name = table.full_name
    if table.temporal == "versioned":
        context.note(
            "not_carried",
            name,
            f"system versioning: PostgreSQL will not write history; {table.history_table or 'the history table'}"
            " is a plain table",
        )
    elif table.temporal == "history":
        context.note("info", name, "history table of a temporal table: carried as a plain table")
    if table.graph != "none":
        lost = "the node's identity" if table.graph == "node" else "which nodes an edge connects"
        context.note(
            "not_carried", name, f"graph {table.graph} table: its pseudo-columns are left out, and with them {lost}"
        )
    if table.fulltext:
        columns = ", ".join(table.fulltext)
        context.note(
            "not_carried",
            name,
            f"full-text index on {columns}: PostgreSQL's full-text search (tsvector) works otherwise",
        )
    if table.memory_optimized:
        context.note("info", name, "memory-optimized table: becomes an ordinary table")
    if table.filetable:
        context.note("warning", name, "FileTable: its rows are carried, the file share is not")


_MODULE_WORDS = {
    "procedure": "stored procedure: T-SQL code is not translated",
    "function": "function: T-SQL code is not translated",
    "trigger": "trigger: T-SQL code is not translated",
    "synonym": "synonym: PostgreSQL has none",
}


def _note_modules(context: Context) -> None:
    for module in context.catalog.modules:
        if module.kind == "view":
            continue
        text = _MODULE_WORDS[module.kind]
        if module.kind == "trigger" and module.parent:
            if context.catalog.tables and module.parent not in context.selected:
                continue
            text = f"trigger on {module.parent}: T-SQL code is not translated"
        elif module.kind == "trigger":
            # A trigger on the database has no schema, one whose table is not known has one.
            what = "trigger" if module.schema else "trigger on the database"
            text = f"{what}: T-SQL code is not translated"
        elif module.kind == "synonym" and module.definition:
            text = f"synonym for {module.definition}: PostgreSQL has none"
        label = f"{module.schema}.{module.name}" if module.schema else module.name
        context.note("not_carried", label, text)
