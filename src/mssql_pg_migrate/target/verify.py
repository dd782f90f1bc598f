"""Translated expressions tried out on the target itself, before anything is touched.

Tables are made as temporary ones, with their computed columns, defaults, checks, filtered indexes and views, inside a
transaction that is rolled back. What PostgreSQL refuses leaves the plan as "not carried", with the server's reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..mapping.build import build
from ..mapping.objects import MappedDatabase, MappedTable, Note
from ..mapping.options import MappingOptions
from ..mapping.types import MappedColumn
from ..model import Catalog
from . import ddl
from .classify import is_transient, translate
from .refusals import Refusals, without

if TYPE_CHECKING:
    import psycopg

_TEMPORARY = "pg_temp"
"""PostgreSQL's name for the session's temporary schema, in qualified names too."""
_REFUSED = "PostgreSQL refuses its translation"


def verify(
    connection: psycopg.Connection[Any], catalog: Catalog, options: MappingOptions, database: MappedDatabase
) -> MappedDatabase:
    """``database`` (built from ``catalog`` and ``options``) without what the server refuses, and with notes on it.

    ``connection`` must not be inside a transaction; it needs the right to create temporary tables, and without it the
    database is returned as it is, with a note. Raises TransientError when the connection is lost or the server is
    short of something.
    """
    import psycopg

    trial = trial_of(catalog, options)
    if not trial.views and not trial.extensions and not trial.collations_sql and not any(map(_is_tried, trial.tables)):
        return database
    refusals = Refusals()
    try:
        with connection.transaction(force_rollback=True):
            _try_all(connection, trial, refusals)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction) as error:
        text = f"the translated expressions were not tried out beforehand: {reason_of(error)}"
        return replace(database, notes=(*database.notes, Note("info", "target", text)))
    except psycopg.Error as error:
        raise translate(error, table=None, doing="trying out the translated expressions") from error
    return _without(database, refusals)


def trial_of(catalog: Catalog, options: MappingOptions) -> MappedDatabase:
    """The target as it would be in the session's temporary schema."""
    return build(catalog, replace(options, schemas=dict.fromkeys(_source_schemas(catalog), _TEMPORARY)))


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


def _try_all(connection: psycopg.Connection[Any], trial: MappedDatabase, refusals: Refusals) -> None:
    def attempt(statement: str) -> str | None:
        """Run a statement in a savepoint; the server's reason when it refuses, not when it is short of something."""
        import psycopg

        try:
            with connection.transaction():
                connection.execute(statement.encode())
        except psycopg.Error as error:
            if connection.closed or is_transient(error):
                raise
            return reason_of(error)
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
    refusals: Refusals,
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
                    reason = reason and f"{_REFUSED}: {reason}"
                if reason:
                    refusals.views[view.source.schema, view.source.name] = reason
                    refused[f"{view.schema}.{view.name}"] = f"{view.source.schema}.{view.source.name}"
    except psycopg.errors.OutOfMemory as error:
        refusals.views.clear()
        text = f"the views were not tried out beforehand, they read too many tables: {reason_of(error)}"
        refusals.notes.append(Note("info", "target", text))


def _bare(table: MappedTable) -> str:
    plain = replace(table, columns=tuple(replace(column, generated_sql=None) for column in table.columns))
    return ddl.create_table(plain, defaults=False)


def _try_table(table: MappedTable, attempt: Callable[[str], str | None], refusals: Refusals) -> None:
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
            refusals.columns[schema, name, column.source.name] = f"{_REFUSED}: {reason}"
    for check in table.checks:
        reason = attempt(ddl.add_check(table, check))
        if reason is not None:
            refusals.checks[schema, name, check.source.name] = f"{_REFUSED}: {reason}"
    for index in table.indexes:
        reason = attempt(ddl.create_index(table, index)) if index.filter_sql is not None else None
        if reason is not None:
            refusals.indexes[schema, name, index.source.name] = f"{_REFUSED}: {reason}"


def _without(database: MappedDatabase, refusals: Refusals) -> MappedDatabase:
    notes = list(refusals.notes)
    tables = tuple(without(table, refusals, notes) for table in database.tables)
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


def reason_of(error: psycopg.Error) -> str:
    """The server's words."""
    reason = error.diag.message_primary or str(error).strip() or type(error).__name__
    return reason.replace(f"{_TEMPORARY}.", "")
