"""What a sync follows and how: decided from both servers' catalogs before anything is read or touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..config.sync import SyncConfig
from ..errors import SchemaError
from ..mapping.objects import MappedTable, Note
from ..source.changes import ChangeFacts, Followed
from ..target.fit import check_fit
from ..target.inspect import ExistingTable
from ..target.relations import TableName
from ..target.sync_ledger import SyncEntry
from ..target.upsert import key_columns
from .choose import Choice, choose
from .schema import changed, definition
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
        fit = check_fit(found, _as_it_is(table, found), "upsert")
        problems += fit.problems
        fitted.append(fit.table)
    return fitted, problems


def _as_it_is(table: MappedTable, existing: ExistingTable) -> MappedTable:
    """A computed column that is a plain one in the target is copied."""
    plain = {column.name for column in existing.columns if not column.generated}
    columns = tuple(
        replace(column, copied=True, generated_sql=None) if not column.copied and column.name in plain else column
        for column in table.columns
    )
    return replace(table, columns=columns)


@dataclass(frozen=True, slots=True)
class Look:
    """Both servers' tables as they are, before anything is decided."""

    tables: tuple[MappedTable, ...]
    displays: Mapping[tuple[str, str], str]
    """(schema, name) at the source -> the name in messages."""
    existing: Mapping[TableName, ExistingTable]
    facts: ChangeFacts
    schemas: tuple[str, ...]


def make_sync_plan(settings: SyncConfig, look: Look) -> SyncPlan:
    """Fit, choose, and say what cannot be promised. Raises ConfigError, SchemaError."""
    choices = choose(look.tables, look.facts, settings)
    fitted, problems = fit_tables(look.tables, look.existing)
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise SchemaError(f"the target cannot follow:\n{listed}", hint="run the migration first, or mend the table")
    plans = [
        SyncTablePlan(
            display=look.displays[table.source.schema, table.source.name],
            followed=replace(choice.followed, table=table),
            existing=look.existing[table.schema, table.name],
            definition=definition(table),
            number=number,
        )
        for number, (table, choice) in enumerate(zip(fitted, choices, strict=True))
    ]
    notes = tuple(_notes(choices, look.facts))
    return SyncPlan(tuple(plans), look.facts, notes, look.schemas[0], look.schemas)


def check_definitions(look: Look, entries: Mapping[str, SyncEntry]) -> dict[str, tuple[str, ...]]:
    """Compare the definitions of the ledger with those of now.

    Returns new nullable columns by table; raises SchemaError for every other change.
    """
    problems, added = [], {}
    for table in look.tables:
        entry = entries.get(table.source.full_name)
        if entry is None:
            continue
        change = changed(entry.fingerprint, definition(table))
        if change.other:
            problems.append(f"{table.source.full_name}: {change.clause}")
        elif change.added:
            added[table.source.full_name] = change.added
    gone = sorted(set(entries) - {table.source.full_name for table in look.tables})
    problems += [f"{name} is gone, or no longer selected" for name in gone]
    if problems:
        raise SchemaError(
            "the source's tables are no longer what the target follows; nothing was applied: " + "; ".join(problems),
            hint="bring the target's tables in line, then: sync prepare --compare; or load these tables again with run",
        )
    return added


def planned_notes(tables: Sequence[MappedTable], facts: ChangeFacts, settings: SyncConfig) -> list[Note]:
    """What the plan of a run says of the sync to come: methods, what they cannot see, what would switch on more.

    Raises ConfigError for a ``sync`` section that does not fit the tables.
    """
    choices = choose(tables, facts, settings)
    notes = [Note("info", choice.followed.name, f"sync: followed by {choice.followed.method}") for choice in choices]
    if facts.enable:
        notes.append(Note("info", "sync", f"change tracking is off; it would be switched on by: {facts.enable}"))
    for choice in choices:
        table = choice.followed.table.source
        found = facts.tables.get((table.schema, table.name))
        if found is not None and found.enable and choice.followed.method != "change_tracking":
            why = f" ({found.why_not})" if found.why_not else ""
            notes.append(Note("info", table.full_name, f"sync: for change tracking{why}: {found.enable}"))
    return [*notes, *_notes(choices, facts)]


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
