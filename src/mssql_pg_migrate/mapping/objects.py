"""The target schema as plain data: what will be created, under which names, and what will not.

Built by ``mapping.build`` from a ``model.Catalog``; read by the plan, the DDL writer, the readers and the writers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..model import Check, ForeignKey, Index, Key, Module, ReferentialAction, Sequence, Table
from .types import MappedColumn

Severity: TypeAlias = Literal["error", "not_carried", "lossy", "renamed", "warning", "info"]


NO_PRIMARY_KEY = "has no primary key, required for upsert mode"
"""How the notes of tables end that upsert cannot carry."""


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the plan: what is lost, renamed, refused or worth knowing, by name.

    ``error`` refuses the run before anything is touched.
    """

    severity: Severity
    object: str
    """The source object: ``dbo.Orders``, ``dbo.Orders.Total``, ``dbo.Orders index IX_a``."""
    message: str


@dataclass(frozen=True, slots=True)
class TargetKeyColumn:
    """A column (target name) of a key or index, with its direction."""

    name: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class MappedKey:
    """A primary key or unique constraint under its target name."""

    source: Key
    name: str
    columns: tuple[TargetKeyColumn, ...]
    primary: bool
    nulls_not_distinct: bool = False


@dataclass(frozen=True, slots=True)
class MappedIndex:
    """An index under its target name; ``filter_sql`` is the translated predicate."""

    source: Index
    name: str
    columns: tuple[TargetKeyColumn, ...]
    included: tuple[str, ...] = ()
    unique: bool = False
    filter_sql: str | None = None
    nulls_not_distinct: bool = False


@dataclass(frozen=True, slots=True)
class MappedForeignKey:
    """A foreign key in target names; ``not_valid`` when the source does not vouch for its rows."""

    source: ForeignKey
    name: str
    columns: tuple[str, ...]
    referenced_schema: str
    referenced_table: str
    referenced_columns: tuple[str, ...]
    on_delete: ReferentialAction = "NO_ACTION"
    on_update: ReferentialAction = "NO_ACTION"
    not_valid: bool = False


@dataclass(frozen=True, slots=True)
class MappedCheck:
    """A check constraint with its translated expression."""

    source: Check
    name: str
    expression_sql: str
    not_valid: bool = False


@dataclass(frozen=True, slots=True)
class MappedTable:
    """One table of the run: its source, its target name and columns, and what is built on it afterwards."""

    source: Table
    schema: str
    name: str
    columns: tuple[MappedColumn, ...]
    range_key: Key | None = None
    """The primary or unique not-null key that ranges and resume use; None streams the table whole."""
    primary_key: MappedKey | None = None
    unique_keys: tuple[MappedKey, ...] = ()
    indexes: tuple[MappedIndex, ...] = ()
    foreign_keys: tuple[MappedForeignKey, ...] = ()
    checks: tuple[MappedCheck, ...] = ()
    comment: str | None = None

    @property
    def copied_columns(self) -> tuple[MappedColumn, ...]:
        """The columns whose data is transferred, in table order: the fields of a COPY tuple."""
        return tuple(column for column in self.columns if column.copied)

    @property
    def full_name(self) -> str:
        """``schema.name`` in the target, for people."""
        return f"{self.schema}.{self.name}"

    def mapped(self, source_name: str) -> MappedColumn:
        """The mapped column of that source column; KeyError when it is not carried."""
        for column in self.columns:
            if column.source.name == source_name:
                return column
        raise KeyError(f"{self.source.full_name} carries no column {source_name}")


@dataclass(frozen=True, slots=True)
class MappedSequence:
    """A sequence under its target name."""

    source: Sequence
    schema: str
    name: str
    pg_type: str
    is_called: bool = True
    """Whether ``source.current`` was handed out already: the next value follows it."""
    owner: tuple[str, str, str] | None = None
    """Target schema, table and column whose identity this sequence stands in for (decimal identities)."""
    feeds: tuple[tuple[str, str, str], ...] = ()
    """Target schema, table and column of every default that takes its values."""


@dataclass(frozen=True, slots=True)
class MappedView:
    """A translated view, to be created after the data, in dependency order."""

    source: Module
    schema: str
    name: str
    select_sql: str
    columns: tuple[str, ...] = ()
    """Target column names, in order; empty leaves them to the query."""
    depends_on: tuple[str, ...] = ()
    """Target full names of the tables and views it reads."""


@dataclass(frozen=True, slots=True)
class MappedDatabase:
    """All that one run creates, and the notes on what it does not."""

    tables: tuple[MappedTable, ...]
    sequences: tuple[MappedSequence, ...] = ()
    views: tuple[MappedView, ...] = ()
    schemas: tuple[str, ...] = ()
    """Target schemas, in the order of their first table."""
    extensions: tuple[str, ...] = ()
    """PostgreSQL extensions the DDL needs (citext)."""
    collations_sql: tuple[str, ...] = ()
    """CREATE COLLATION statements the DDL needs."""
    schema_comments: tuple[tuple[str, str], ...] = ()
    """Target schema and its description."""
    comment: tuple[str, str] | None = None
    """Target database and its description (`target.comments`)."""
    notes: tuple[Note, ...] = field(default=())
