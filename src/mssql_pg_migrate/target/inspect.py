"""What the target database already has: tables and their columns, keys, indexes and constraints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

    from ..mapping.objects import MappedTable


@dataclass(slots=True)
class BuiltObjects:
    """Indexes and constraints by table; keys are ``(schema, table, name)``."""

    indexes: set[tuple[str, str, str]] = field(default_factory=set)
    constraints: dict[tuple[str, str, str], bool] = field(default_factory=dict)
    """Whether the constraint is validated."""

    def has_index(self, table: MappedTable, name: str) -> bool:
        """Whether the table has a valid index of that name."""
        return (table.schema, table.name, name) in self.indexes

    def has_constraint(self, table: MappedTable, name: str) -> bool:
        """Whether the table has a constraint of that name."""
        return (table.schema, table.name, name) in self.constraints

    def needs_validation(self, table: MappedTable, name: str) -> bool:
        """Whether the constraint is there but NOT VALID."""
        return self.constraints.get((table.schema, table.name, name)) is False

    def add_constraint(self, table: MappedTable, name: str, *, valid: bool) -> None:
        """Remember a constraint that was just created or validated."""
        self.constraints[table.schema, table.name, name] = valid


def read_built_objects(connection: psycopg.Connection[Any], schemas: Sequence[str]) -> BuiltObjects:
    """The valid indexes and all constraints of every table in those schemas."""
    found = BuiltObjects()
    names = list(schemas)
    for schema, table, name in connection.execute(
        "SELECT n.nspname, t.relname, i.relname FROM pg_catalog.pg_index x"
        " JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid JOIN pg_catalog.pg_class t ON t.oid = x.indrelid"
        " JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = ANY (%s) AND x.indisvalid",
        (names,),
    ):
        found.indexes.add((schema, table, name))
    for schema, table, name, valid in connection.execute(
        "SELECT n.nspname, t.relname, c.conname, c.convalidated FROM pg_catalog.pg_constraint c"
        " JOIN pg_catalog.pg_class t ON t.oid = c.conrelid"
        " JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = ANY (%s)",
        (names,),
    ):
        found.constraints[schema, table, name] = valid
    return found
