"""Reading the catalog of the source database into the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from ...errors import SchemaError, TransferError
from ...model import Catalog, Loss, Table
from . import catalog_build as build
from . import catalog_code as code
from . import catalog_sql as q
from .catalog_types import TypeTable
from .classify import check_complete, describe, to_migration_error
from .dbapi import Connection
from .tsql import qualified_name
from .watch import Line

Row = dict[str, Any]


class CatalogSession:
    """Runs catalog queries over one connection and remembers, as sentences, what could not be read."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._line: Line = getattr(connection, "line", None) or Line()
        self.notes: list[str] = []
        self._answers: dict[str, list[tuple[Any, ...]]] = {}

    def ask_together(self, statements: Sequence[str]) -> bool:
        """Ask several questions in one batch, a round trip for all; `rows` then has their answers at hand.

        Each statement returns one result. Whether all were answered; where not, nothing of the batch is believed, and
        each question is asked by itself when its turn comes.

        Raises:
            TransientError: the connection failed.
        """
        cursor = self.connection.cursor()
        answers: list[list[tuple[Any, ...]]] = []
        try:
            cursor.execute(";\n".join(statements))
            more = True
            while more:
                answers.append([tuple(row) for row in cursor.fetchall()])
                check_complete(cursor)
                more = bool(cursor.nextset())
        except Exception as error:
            if describe(error).lost:
                raise to_migration_error(error) from error
            return False
        finally:
            cursor.close()
        if len(answers) != len(statements):
            return False
        self._answers.update(zip(statements, answers, strict=True))
        return True

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a statement; the driver's exceptions pass. Raises TransientError for a result cut short.

        An answer that `ask_together` has got is given once.
        """
        if sql in self._answers:
            return self._answers.pop(sql)
        cursor = self.connection.cursor()
        try:
            cursor.execute(sql)
            found = [tuple(row) for row in cursor.fetchall()]
            check_complete(cursor)
            return found
        finally:
            cursor.close()

    def required(self, query: q.CatalogQuery) -> list[Row]:
        """The rows of a query without which nothing can be migrated.

        Raises:
            TransferError, TransientError: the server does not answer it.
        """
        try:
            return self._read(query)
        except Exception as error:
            failure = to_migration_error(error)
            if isinstance(failure, TransferError) and not failure.retryable:
                raise SchemaError(
                    f"The catalog cannot be read: {query.subject}: {describe(error)}",
                    hint="The login needs to see the definitions of the tables to migrate (GRANT VIEW DEFINITION).",
                ) from error
            raise failure from error

    def optional(self, query: q.CatalogQuery) -> list[Row]:
        """The rows of a query the migration can do without; none, and a note, where the server refuses it.

        Raises:
            TransientError: the connection failed, so that nothing can be said of the query.
        """
        try:
            return self._read(query)
        except Exception as error:
            found = describe(error)
            if found.transient:
                raise to_migration_error(error) from error
            if query.since <= 2012:
                self.notes.append(f"The server does not tell {query.subject}; they are left out ({found}).")
            return []

    def scalar(self, sql: str) -> Any:
        """The first value of a statement's first row; None when it fails or returns nothing."""
        try:
            rows = self.rows(sql)
        except Exception as error:
            if describe(error).lost:
                raise to_migration_error(error) from error
            return None
        return rows[0][0] if rows else None

    def _read(self, query: q.CatalogQuery) -> list[Row]:
        self._line.at(f"reading {query.subject}")
        try:
            found = self.rows(query.sql())
        except Exception as error:
            if not query.newer or describe(error).lost:
                raise
            # One of the newer columns may be what the server does not know: find out which, and read without them.
            missing = [newer for newer in query.newer if not self._has(newer)]
            if not missing:
                raise
            found = self.rows(query.sql(missing))
        return [dict(zip(query.names, row, strict=True)) for row in found]

    def _has(self, newer: q.Newer) -> bool:
        try:
            self.rows(f"SELECT TOP (1) x.{newer.name} FROM {newer.view} AS x")
        except Exception as error:
            if describe(error).lost:
                raise
            return False
        return True


def read_catalog(connection: Connection, schemas: Sequence[str] | None = None) -> Catalog:
    """Everything the catalog says of the tables, sequences and code in the given schemas (None: in all).

    System tables and the database diagram tool's own objects are left out. What the server does not tell is a sentence
    in ``notes``; only schemas, tables, columns, types and keys are indispensable.

    Raises:
        SchemaError: one of those cannot be read, or a schema does not exist.
        TransientError: the connection failed.
    """
    session = CatalogSession(connection)
    # What every version knows, and what a server may refuse as a whole for one name that is new to it.
    session.ask_together([q.DATABASE, *(query.sql() for query in q.ALL if not query.may_be_unknown), *_VISIBILITY])
    session.ask_together([query.sql() for query in q.ALL if query.may_be_unknown])
    database, collation, version = _database(session)
    all_schemas = session.required(q.SCHEMAS)
    wanted = _wanted_schemas([row["name"] for row in all_schemas], schemas, database)
    types = TypeTable(session.required(q.TYPES), session.optional(q.CODE_PAGES))
    parts = _table_parts(session)
    modules = session.optional(q.MODULES)
    sequences = session.optional(q.SEQUENCES)
    synonyms = session.optional(q.SYNONYMS)
    losses: list[Loss] = []
    tables = build.build_tables(parts, types, wanted, session.notes, losses)
    uncounted = [_any_row(table) for table in tables if _to_be_counted(table)]
    for start in range(0, len(uncounted), _TOGETHER):
        session.ask_together(uncounted[start : start + _TOGETHER])
    tables = tuple(_counted(session, table) for table in tables)
    _note_visibility(session, database)
    _note_row_filters(session, tables)
    descriptions = parts.descriptions
    losses += types.losses(wanted)
    losses += code.property_losses_of(parts, modules, sequences, database, wanted)
    return Catalog(
        database=database,
        collation=collation,
        server_version=version,
        tables=tables,
        sequences=code.build_sequences(sequences, types, descriptions, wanted, losses),
        modules=code.build_modules(
            modules,
            synonyms,
            session.optional(q.VIEW_COLUMNS),
            session.optional(q.DATABASE_TRIGGERS),
            parts,
            wanted,
        ),
        alias_types=types.alias_types(wanted),
        notes=tuple(session.notes),
        losses=tuple(losses),
        description=descriptions.database,
        schema_descriptions=tuple(
            (str(row["name"]), text)
            for row in all_schemas
            if (wanted is None or row["name"] in wanted) and (text := descriptions.schema(row["schema_id"])) is not None
        ),
    )


def _table_parts(session: CatalogSession) -> build.TableParts:
    return build.TableParts(
        tables=session.required(q.TABLES),
        columns=session.required(q.COLUMNS),
        indexes=session.required(q.INDEXES),
        index_columns=session.required(q.INDEX_COLUMNS),
        key_constraints=session.optional(q.KEY_CONSTRAINTS),
        identities=session.optional(q.IDENTITIES),
        computed=session.optional(q.COMPUTED),
        defaults=session.optional(q.DEFAULTS),
        bound=session.optional(q.BOUND),
        fulltext=session.optional(q.FULLTEXT),
        foreign_keys=session.optional(q.FOREIGN_KEYS),
        foreign_key_columns=session.optional(q.FOREIGN_KEY_COLUMNS),
        checks=session.optional(q.CHECKS),
        rows=session.optional(q.ROWS),
        sizes=session.optional(q.SIZES),
        properties=session.optional(q.PROPERTIES),
        xml_schemas=session.optional(q.XML_SCHEMAS),
    )


def _database(session: CatalogSession) -> tuple[str, str | None, str]:
    try:
        name, collation, version = session.rows(q.DATABASE)[0]
    except Exception as error:
        if describe(error).lost:
            raise to_migration_error(error) from error
        return str(session.scalar("SELECT DB_NAME()") or ""), None, "unknown"
    return str(name), collation, str(version) if version else "unknown"


def _wanted_schemas(existing: Sequence[str], wanted: Sequence[str] | None, database: str) -> frozenset[str] | None:
    """The exact names of the wanted schemas; names match in any case unless one matches exactly."""
    if wanted is None:
        return None
    found: set[str] = set()
    for name in wanted:
        matches = [name] if name in existing else [one for one in existing if one.casefold() == name.casefold()]
        if not matches:
            usable = sorted(one for one in existing if not one.startswith("db_") and one not in _SYSTEM_SCHEMAS)
            raise SchemaError(
                f"The source database {database!r} has no schema {name!r}.",
                hint=f"Its schemas are: {', '.join(usable)}.",
            )
        found.update(matches)
    return frozenset(found)


_SYSTEM_SCHEMAS = frozenset({"sys", "INFORMATION_SCHEMA", "guest"})


_TOGETHER = 100
"""Tables asked for in one batch."""


def _to_be_counted(table: Table) -> bool:
    return table.row_estimate <= 0 and not table.external


def _any_row(table: Table) -> str:
    return f"SELECT TOP (1) 1 AS found FROM {qualified_name(table.schema, table.name)}"


def _counted(session: CatalogSession, table: Table) -> Table:
    """The table with its rows counted where the catalog's number is missing, negative or (perhaps stale) zero."""
    if not _to_be_counted(table):
        return table
    if session.scalar(_any_row(table)) is None:
        return replace(table, row_estimate=0)
    name = qualified_name(table.schema, table.name)
    counted = session.scalar(f"SELECT COUNT_BIG(*) AS row_count FROM {name}")
    return replace(table, row_estimate=int(counted or 0))


_VISIBILITY = (
    "SELECT CAST(SERVERPROPERTY('Babelfish') AS nvarchar(10)) AS babelfish",
    "SELECT HAS_PERMS_BY_NAME(QUOTENAME(DB_NAME()), 'DATABASE', 'VIEW DEFINITION') AS may",
)


def _note_visibility(session: CatalogSession, database: str) -> None:
    babelfish, view_definition = _VISIBILITY
    if session.scalar(babelfish) is not None:
        return  # PostgreSQL behind the protocol: it shows every definition and does not know the permission
    may = session.scalar(view_definition)
    if may is not None and int(may) == 0:
        session.notes.append(
            f"The login sees only a part of {database} (it lacks VIEW DEFINITION): what it has no right on is "
            "invisible to it, neither migrated nor named here, row-level security filters included; of defaults, "
            "checks, computed columns, index filters and views it sees no definition. GRANT VIEW DEFINITION to it."
        )


def _note_row_filters(session: CatalogSession, tables: Iterable[Table]) -> None:
    filtered = {row["target_object_id"] for row in session.optional(q.ROW_FILTERS)}
    for table in tables:
        if table.object_id in filtered:
            session.notes.append(
                f"{table.full_name} has a row-level security filter: only the rows that the login may see are migrated,"
                " and PostgreSQL gets no such filter: who may read the table sees all of them."
            )
