"""Translated expressions tried out on the target itself, before anything is touched.

Tables are made as temporary ones, with their computed columns, defaults, checks, filtered indexes and views, inside a
transaction that is rolled back. What PostgreSQL refuses leaves the plan as "not carried", with the server's reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..mapping.build import build
from ..mapping.columns import plain_column
from ..mapping.objects import MappedDatabase, MappedTable, Note
from ..mapping.options import MappingOptions
from ..mapping.types import MappedColumn
from ..model import Catalog
from . import ddl
from .classify import is_transient, translate

if TYPE_CHECKING:
    import psycopg

_TEMPORARY = "pg_temp"
"""PostgreSQL's name for the session's temporary schema, in qualified names too."""


@dataclass(slots=True)
class _Refusals:
    """Server messages, by source names."""

    columns: dict[tuple[str, str, str], str] = field(default_factory=dict)
    checks: dict[tuple[str, str, str], str] = field(default_factory=dict)
    indexes: dict[tuple[str, str, str], str] = field(default_factory=dict)
    views: dict[tuple[str, str], str] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)


def verify(
    connection: psycopg.Connection[Any], catalog: Catalog, options: MappingOptions, database: MappedDatabase
) -> MappedDatabase:
    """``database`` (built from ``catalog`` and ``options``) without what the server refuses, and with notes on it.

    ``connection`` must not be inside a transaction; it needs the right to create temporary tables, and without it the
    database is returned as it is, with a note. Raises TransientError when the connection is lost or the server is
    short of something.
    """
    import psycopg

    schemas = dict.fromkeys(_source_schemas(catalog), _TEMPORARY)
    trial = build(catalog, replace(options, schemas=schemas))
    if not trial.views and not trial.extensions and not trial.collations_sql and not any(map(_is_tried, trial.tables)):
        return database
    refusals = _Refusals()
    try:
        with connection.transaction(force_rollback=True):
            _try_all(connection, trial, refusals)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction) as error:
        text = f"the translated expressions were not tried out beforehand: {_reason(error)}"
        return replace(database, notes=(*database.notes, Note("info", "target", text)))
    except psycopg.Error as error:
        raise translate(error, table=None, doing="trying out the translated expressions") from error
    return _without(database, refusals)


def _source_schemas(catalog: Catalog) -> set[str]:
    return {item.schema for group in (catalog.tables, catalog.sequences, catalog.modules) for item in group}


def _is_tried(table: MappedTable) -> bool:
    return (
        bool(table.checks)
        or any(index.filter_sql is not None for index in table.indexes)
        or any(column.generated_sql is not None or _has_expression(column) for column in table.columns)
        or any(column.type_schema is not None for column in table.columns)
    )


_CONSTANT = re.compile(r"(-?\d+(\.\d+)?|E?'([^'\\]|''|\\\\)*'|'\\x[0-9a-f]*'|true|false|NULL)(::[a-z ]+)?")
_CLOCKS = re.compile(r"(LOCALTIMESTAMP|CURRENT_TIMESTAMP|\(now\(\) AT TIME ZONE 'UTC'\))(::(date|time|timestamp))?")


def _has_expression(column: MappedColumn) -> bool:
    """Whether the default is more than a constant, a clock or a new uuid, which any server takes."""
    default = column.default_sql
    if default is None or default == "gen_random_uuid()":
        return False
    return not (_CONSTANT.fullmatch(default) or _CLOCKS.fullmatch(default))


def _try_all(connection: psycopg.Connection[Any], trial: MappedDatabase, refusals: _Refusals) -> None:
    def attempt(statement: str) -> str | None:
        """Run a statement in a savepoint; the server's reason when it refuses, not when it is short of something."""
        import psycopg

        try:
            with connection.transaction():
                connection.execute(statement.encode())
        except psycopg.Error as error:
            if connection.closed or is_transient(error):
                raise
            return _reason(error)
        return None

    # The first temporary object shows whether the session may make any.
    connection.execute(f"CREATE TABLE {_TEMPORARY}._mpm_trial ()".encode())
    for extension in trial.extensions:
        reason = attempt(ddl.create_extension(extension))
        if reason is not None:
            asked = "collation" if extension == "citext" else extension
            refusals.notes.append(Note("error", asked, f"the extension {extension} is needed: {reason}"))
    for statement in trial.collations_sql:
        reason = attempt(statement)
        if reason is not None:
            refusals.notes.append(Note("error", "collation", f"a collation cannot be created: {reason}"))
    if refusals.notes:
        return
    for sequence in trial.sequences:
        attempt(ddl.create_sequence(sequence))
    for table in filter(_is_tried, trial.tables):
        # Every relation holds a lock to the end of its transaction, of which the server has room for a few thousand
        # in all its sessions together: going back to the savepoint lets go of them.
        with connection.transaction(force_rollback=True):
            _try_table(table, attempt, refusals)
    if trial.views:
        _try_views(connection, trial, attempt, refusals)


def _try_views(
    connection: psycopg.Connection[Any],
    trial: MappedDatabase,
    attempt: Callable[[str], str | None],
    refusals: _Refusals,
) -> None:
    import psycopg

    read = {name for view in trial.views for name in view.depends_on}
    try:
        with connection.transaction():
            for table in trial.tables:
                if table.full_name in read:
                    attempt(_bare(table))
            refused: dict[str, str] = {}
            for view in trial.views:
                read_in_vain = next((refused[name] for name in view.depends_on if name in refused), None)
                if read_in_vain is not None:
                    reason: str | None = f"it reads the view {read_in_vain}, which is not carried"
                else:
                    reason = attempt(ddl.create_view(view))
                    reason = reason and f"PostgreSQL refuses its translation: {reason}"
                if reason:
                    refusals.views[view.source.schema, view.source.name] = reason
                    refused[f"{view.schema}.{view.name}"] = f"{view.source.schema}.{view.source.name}"
    except psycopg.errors.OutOfMemory as error:
        refusals.views.clear()
        text = f"the views were not tried out beforehand, they read too many tables: {_reason(error)}"
        refusals.notes.append(Note("info", "target", text))


def _bare(table: MappedTable) -> str:
    plain = replace(table, columns=tuple(replace(column, generated_sql=None) for column in table.columns))
    return ddl.create_table(plain, defaults=False)


def _try_table(table: MappedTable, attempt: Callable[[str], str | None], refusals: _Refusals) -> None:
    schema, name = table.source.schema, table.source.name
    reason = attempt(_bare(table))
    if reason is not None:
        # Else the run itself will say why, where it matters. A type of an extension may be out of the user's reach.
        if any(column.type_schema is not None for column in table.columns):
            refusals.notes.append(Note("error", table.source.full_name, f"PostgreSQL refuses its columns: {reason}"))
        return
    for position, column in enumerate(table.columns):
        reason = None
        if column.generated_sql is not None:
            probe = replace(column, name=f"_mpm_{position}", nullable=True)
            reason = attempt(f"ALTER TABLE {ddl.relation(table)} ADD COLUMN {ddl.column_definition(probe)}")
            if reason is None:
                attempt(f"ALTER TABLE {ddl.relation(table)} DROP COLUMN {ddl.quote_ident(probe.name)}")
        elif not column.identity and _has_expression(column):
            reason = attempt(ddl.add_default(table, column))
        if reason is not None:
            refusals.columns[schema, name, column.source.name] = reason
    for check in table.checks:
        reason = attempt(ddl.add_check(table, check))
        if reason is not None:
            refusals.checks[schema, name, check.source.name] = reason
    for index in table.indexes:
        reason = attempt(ddl.create_index(table, index)) if index.filter_sql is not None else None
        if reason is not None:
            refusals.indexes[schema, name, index.source.name] = reason


def _without(database: MappedDatabase, refusals: _Refusals) -> MappedDatabase:
    notes = list(refusals.notes)
    tables = tuple(_table_without(table, refusals, notes) for table in database.tables)
    views = []
    refused = []
    for view in database.views:
        reason = refusals.views.get((view.source.schema, view.source.name))
        if reason is None:
            views.append(view)
        else:
            refused.append(f"{view.source.schema}.{view.source.name}")
            notes.append(Note("not_carried", refused[-1], f"view: {reason}"))
    # What was said of a refused view, its new name say, and of its columns, is about nothing now.
    kept = [note for note in database.notes if not any(_is_about(note.object, label) for label in refused)]
    return replace(database, tables=tables, views=tuple(views), notes=(*kept, *notes))


def _is_about(label: str, view: str) -> bool:
    return label == view or label.startswith(f"{view}.")


def _table_without(table: MappedTable, refusals: _Refusals, notes: list[Note]) -> MappedTable:
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
            text = f"computed column: PostgreSQL refuses its translation: {reason}; {then}"
            nullable = column.nullable or not told
            columns.append(replace(column, generated_sql=None, copied=told, nullable=nullable))
        else:
            text = f"default: PostgreSQL refuses its translation: {reason}"
            columns.append(replace(column, default_sql=None))
        notes.append(Note("not_carried", label, text))
    checks = []
    for check in table.checks:
        reason = refusals.checks.get((schema, name, check.source.name))
        if reason is None:
            checks.append(check)
        else:
            text = f"check {check.source.definition}: PostgreSQL refuses its translation: {reason}"
            notes.append(Note("not_carried", f"{full_name} constraint {check.source.name}", text))
    indexes = []
    for index in table.indexes:
        reason = refusals.indexes.get((schema, name, index.source.name))
        if reason is None:
            indexes.append(index)
        else:
            text = f"filtered index WHERE {index.source.filter}: PostgreSQL refuses its translation: {reason}"
            notes.append(Note("not_carried", f"{full_name} index {index.source.name}", text))
    return replace(table, columns=tuple(columns), checks=tuple(checks), indexes=tuple(indexes))


def _reason(error: psycopg.Error) -> str:
    reason = error.diag.message_primary or str(error).strip() or type(error).__name__
    return reason.replace(f"{_TEMPORARY}.", "")
