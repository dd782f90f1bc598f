"""What a sync follows and how: decided from both servers' catalogs before anything is read or touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..config.models import Config
from ..config.sync import SyncConfig
from ..errors import ConfigError, SchemaError
from ..mapping.objects import MappedTable, Note
from ..source.changes import ChangeFacts, Followed
from ..target.fit import check_fit
from ..target.inspect import ExistingTable
from ..target.relations import TableName
from ..target.upsert import key_columns
from .choose import Choice, choose
from .schema import definition
from .statements import StagedTable

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True, slots=True)
class SyncTablePlan:
    """One table to follow."""

    display: str
    followed: Followed
    """With the mapped table fitted to the columns that the target has."""
    existing: ExistingTable
    definition: str
    number: int

    @property
    def name(self) -> str:
        """``schema.name`` at the source."""
        return self.followed.name

    @property
    def target(self) -> TableName:
        """(schema, table) in the target."""
        return self.followed.table.schema, self.followed.table.name

    @property
    def staged(self) -> StagedTable:
        """Where its changes are staged."""
        table = self.followed.table
        return StagedTable(table, key_columns(table), f"_mpm_changes_{self.number}")


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """Everything a sync does; ``notes`` name what it cannot promise."""

    tables: tuple[SyncTablePlan, ...]
    facts: ChangeFacts
    notes: tuple[Note, ...]
    schema: str
    """The target schema that holds the sync ledger."""
    schemas: tuple[str, ...]
    """All target schemas: locked against runs and other syncs."""

    @property
    def followed(self) -> tuple[Followed, ...]:
        """All tables and their methods."""
        return tuple(table.followed for table in self.tables)


def fit_tables(
    tables: Sequence[MappedTable], existing: Mapping[TableName, ExistingTable]
) -> tuple[list[MappedTable], list[str]]:
    """The mapped tables in the form of those that are there, and why some cannot be followed, as sentences."""
    fitted, problems = [], []
    for table in tables:
        found = existing.get((table.schema, table.name))
        if found is None:
            problems.append(f"{table.source.full_name}: the target has no table {table.full_name}; run first")
            continue
        fit = check_fit(found, table, "upsert")
        problems += fit.problems
        fitted.append(fit.table)
    return fitted, problems


def make_sync_plan(
    config: Config,
    tables: Sequence[MappedTable],
    displays: Mapping[tuple[str, str], str],
    existing: Mapping[TableName, ExistingTable],
    facts: ChangeFacts,
    schemas: tuple[str, ...],
) -> SyncPlan:
    """Fit, choose, and say what cannot be promised. Raises ConfigError, SchemaError."""
    settings = config.sync or SyncConfig()
    choices = choose(tables, facts, settings)
    fitted, problems = fit_tables(tables, existing)
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise SchemaError(f"the target cannot follow:\n{listed}", hint="run the migration first, or mend the table")
    plans = [
        SyncTablePlan(
            display=displays[table.source.schema, table.source.name],
            followed=replace(choice.followed, table=table),
            existing=existing[table.schema, table.name],
            definition=definition(table),
            number=number,
        )
        for number, (table, choice) in enumerate(zip(fitted, choices, strict=True))
    ]
    if not plans:
        raise ConfigError("no table is selected", hint="check source.schema, include_tables and exclude_tables")
    return SyncPlan(tuple(plans), facts, tuple(_notes(choices, facts)), schemas[0], schemas)


def _notes(choices: Sequence[Choice], facts: ChangeFacts) -> list[Note]:
    notes = [note for choice in choices for note in choice.notes]
    if not facts.one_moment:
        text = (
            "tables are read one after the other, each exact, but not all at one moment: a row may arrive a pass before"
        )
        hint = f" ({facts.one_moment_hint})" if facts.one_moment_hint else ""
        notes.append(Note("warning", "sync", f"{text} the row it refers to{hint}"))
    return notes


def new_columns(
    connection: psycopg.Connection[Any], table: MappedTable, existing: ExistingTable, names: Sequence[str]
) -> list[str]:
    """Add new nullable columns of the source to the target's table; the statements that did it."""
    from ..target.ddl import column_definition, relation

    statements = []
    for name in names:
        column = table.mapped(name)
        if any(found.name == column.name for found in existing.columns):
            continue
        statement = f"ALTER TABLE {relation(table)} ADD COLUMN {column_definition(column)}"
        connection.execute(statement.encode())
        statements.append(statement)
    return statements
