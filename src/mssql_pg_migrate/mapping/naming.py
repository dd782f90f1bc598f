"""Every target name of one database, allocated once for the whole catalog.

All tables of the catalog take part, not only the selected ones, so that a name does not depend on which tables a run
includes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from types import MappingProxyType

from ..model import Catalog, Table
from .names import SYSTEM_COLUMNS, IdentifierCase, Namespace, byte_length, default_object_name, fold
from .objects import Note

_NOT_NULL = re.compile(r"_not_null\d*$")
"""How PostgreSQL 18 names the NOT NULL constraints that nobody named: table, column and this."""


class NamePlan:
    """Source names to target names.

    ``taken`` are names that only tables may have, by target schema; ``reserved`` the same in every schema of tables.
    Lookups raise KeyError for an object that is not in the catalog. ``notes`` maps the source object's key to the note
    of its renaming; `note_for` picks those of carried objects.
    """

    def __init__(
        self,
        catalog: Catalog,
        schemas: Mapping[str, str],
        case: IdentifierCase,
        *,
        views: bool = False,
        taken: Mapping[str, Collection[str]] = MappingProxyType({}),
        reserved: Collection[str] = (),
    ) -> None:
        self._case = case
        self._explicit = dict(schemas)
        self._schemas: dict[str, str] = {}
        self._names: dict[tuple[str, ...], str] = {}
        self._notes: dict[tuple[str, ...], Note] = {}
        self._relations: dict[str, Namespace] = defaultdict(lambda: Namespace(case))
        tables = sorted(catalog.tables, key=lambda table: (table.schema, table.name))
        for table in tables:
            self._relation(("table", table.schema, table.name), table.name, table.schema, table.full_name)
        for schema in {*self._relations, *taken}:
            for name in (*reserved, *taken.get(schema, ())):
                self._relations[schema].reserve(name)
        if views:
            for module in sorted(catalog.modules, key=lambda module: (module.schema, module.name)):
                if module.kind == "view":
                    label = f"{module.schema}.{module.name}"
                    self._relation(("view", module.schema, module.name), module.name, module.schema, label)
        for sequence in sorted(catalog.sequences, key=lambda sequence: (sequence.schema, sequence.name)):
            label = f"{sequence.schema}.{sequence.name}"
            self._relation(("sequence", sequence.schema, sequence.name), sequence.name, sequence.schema, label)
        for table in tables:
            self._columns(table)
        for table in tables:
            for key in (table.primary_key, *table.unique_keys):
                if key is not None:
                    self._table_object(table, "key", key.name, "constraint")
        for table in tables:
            for index in sorted(table.indexes, key=lambda index: index.name):
                self._table_object(table, "index", index.name, "index")
        for table in tables:
            self._constraints(table)

    # -- lookups ---------------------------------------------------------------------------------------------------

    def schema(self, source: str) -> str:
        """Target schema of a source schema."""
        if source not in self._schemas:
            chosen = self._explicit.get(source)
            if chosen is None:
                chosen = fold(source, self._case)
                if chosen.startswith("pg_") or chosen == "information_schema" or byte_length(chosen) > 63:
                    namespace = Namespace("preserve")
                    chosen, _ = namespace.allocate(f"s_{chosen}", source)
                    reason = "PostgreSQL keeps names beginning with pg_ to itself"
                    if byte_length(source) > 60:
                        reason = "its name is too long"
                    self._notes[("schema", source)] = Note("renamed", source, f'schema becomes "{chosen}": {reason}')
            self._schemas[source] = chosen
        return self._schemas[source]

    def table(self, schema: str, table: str) -> str:
        """Target name of a table."""
        return self._names["table", schema, table]

    def column(self, schema: str, table: str, column: str) -> str:
        """Target name of a column."""
        return self._names["column", schema, table, column]

    def key(self, table: Table, name: str) -> str:
        """Target name of a primary key or unique constraint (and of its index)."""
        return self._names["key", table.schema, table.name, name]

    def index(self, table: Table, name: str) -> str:
        """Target name of an index."""
        return self._names["index", table.schema, table.name, name]

    def constraint(self, table: Table, name: str) -> str:
        """Target name of a check or foreign key constraint."""
        return self._names["constraint", table.schema, table.name, name]

    def sequence(self, schema: str, name: str) -> str:
        """Target name of a sequence."""
        return self._names["sequence", schema, name]

    def identity(self, schema: str, table: str, column: str) -> str:
        """Target name of the sequence behind an identity column."""
        return self._names["identity", schema, table, column]

    def not_null(self, schema: str, table: str, column: str) -> str | None:
        """A name for the column's NOT NULL constraint, where the one PostgreSQL 18 would choose may be taken."""
        return self._names.get(("not_null", schema, table, column))

    def view(self, schema: str, name: str) -> str:
        """Target name of a view."""
        return self._names["view", schema, name]

    def note_for(self, *key: str) -> list[Note]:
        """The renaming note of one object, as a list of none or one."""
        note = self._notes.get(key)
        return [] if note is None else [note]

    # -- allocation ------------------------------------------------------------------------------------------------

    def _relation(self, key: tuple[str, ...], name: str, schema: str, label: str) -> None:
        target, reason = self._relations[self.schema(schema)].allocate(name, label)
        self._record(key, target, reason, label, key[0])

    def _columns(self, table: Table) -> None:
        namespace = Namespace(self._case, SYSTEM_COLUMNS)
        target_table = self.table(table.schema, table.name)
        for column in table.columns:
            label = f"{table.full_name}.{column.name}"
            target, reason = namespace.allocate(column.name, label)
            if reason and fold(column.name, self._case) in SYSTEM_COLUMNS:
                reason = "PostgreSQL uses that name for a system column"
            self._record(("column", table.schema, table.name, column.name), target, reason, label, "column")
            if column.identity is not None:
                wanted = default_object_name(target_table, target, "seq")
                sequence, reason = self._relations[self.schema(table.schema)].allocate(wanted, label, folded=True)
                key = ("identity", table.schema, table.name, column.name)
                self._record(key, sequence, reason, label, "the sequence of its identity")

    def _table_object(self, table: Table, kind: str, name: str, word: str) -> None:
        label = f"{table.full_name} {word} {name}"
        target, reason = self._relations[self.schema(table.schema)].allocate(name, f"{table.full_name}.{name}")
        self._record((kind, table.schema, table.name, name), target, reason, label, word)

    def _constraints(self, table: Table) -> None:
        keys = [key for key in (table.primary_key, *table.unique_keys) if key is not None]
        namespace = Namespace(self._case, frozenset(self.key(table, key.name) for key in keys))
        for name in (*(key.name for key in table.foreign_keys), *(check.name for check in table.checks)):
            target, reason = namespace.allocate(name, f"{table.full_name}.{name}")
            label = f"{table.full_name} constraint {name}"
            key = ("constraint", table.schema, table.name, name)
            self._record(key, target, reason, label, "constraint")
        if any(_NOT_NULL.search(name) for name in namespace.names):
            self._name_not_nulls(table, namespace)

    def _name_not_nulls(self, table: Table, namespace: Namespace) -> None:
        """One of the table's constraints is called as PostgreSQL 18 calls a NOT NULL: these get names of their own."""
        target_table = self.table(table.schema, table.name)
        for column in table.columns:
            target_column = self.column(table.schema, table.name, column.name)
            wanted = default_object_name(target_table, target_column, "not_null")
            target, _ = namespace.allocate(wanted, f"{table.full_name}.{column.name}", folded=True)
            self._names["not_null", table.schema, table.name, column.name] = target

    def _record(self, key: tuple[str, ...], target: str, reason: str | None, label: str, word: str) -> None:
        self._names[key] = target
        if reason is not None:
            self._notes[key] = Note("renamed", label, f'{word} becomes "{target}": {reason}')
