"""What names mean inside a query: the tables in FROM and their columns."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..catalog.model import Column, Table, same_column
from ..errors import SqlError
from ..tsql import nodes as n
from ..values.sqltypes import SqlType
from .casts import Ex


@dataclass
class ScopeColumn:
    """A column that can be named: its DuckDB SQL and its type."""

    name: str
    sql: str
    type: SqlType
    nullable: bool = True
    column: Column | None = None
    refused: SqlError | None = None
    """Why the column may not be read."""

    def ex(self) -> Ex:
        """The column as an expression."""
        return Ex(self.sql, self.type, self.nullable, column=self.column)


@dataclass
class ScopeSource:
    """A table in FROM. `names` are what its columns may be qualified with, in lower case unless the case counts."""

    names: tuple[n.Name, ...]
    columns: list[ScopeColumn]
    table: Table | None = None
    alias: str = ""
    """Its alias in DuckDB."""
    exact: bool = False
    """Whether the case of names counts."""
    used: set[str] = field(default_factory=set)
    """Physical names of the columns a query has asked for."""

    def matches(self, qualifier: n.Name) -> bool:
        """Whether `qualifier.column` may mean a column of this table."""
        wanted = qualifier if self.exact else tuple(part.lower() for part in qualifier)
        return any(name[-len(wanted) :] == wanted for name in self.names if name)

    def hide_not_null(self) -> None:
        """Every column may be NULL from now on: the table is on the outer side of a join."""
        for column in self.columns:
            column.nullable = True


def source_of(table: Table, columns: list[ScopeColumn]) -> ScopeSource:
    """A table by itself, its columns qualified with its name at most."""
    name = table.name if table.exact else table.name.lower()
    return ScopeSource(((name,),), columns, exact=table.exact)


@dataclass
class Scope:
    """The sources of one query, and the scope around it."""

    sources: list[ScopeSource] = field(default_factory=list)
    parent: Scope | None = None
    tables: dict[str, object] = field(default_factory=dict)
    """Common table expressions by lower-case name."""
    groups: dict[str, str] | None = None
    """SQL of the expressions grouped by -> what stands for them in the select list."""

    def find_table(self, name: str) -> object | None:
        """The common table expression of a name."""
        scope: Scope | None = self
        while scope is not None:
            if name.lower() in scope.tables:
                return scope.tables[name.lower()]
            scope = scope.parent
        return None

    def resolve(self, parts: n.Name) -> ScopeColumn:
        """The column of a name.

        Raises:
            SqlError: 207 it is in no table, 4104 there is no such table, 209 it is in several.
        """
        qualifier, name = parts[:-1], parts[-1]
        scope: Scope | None = self
        known = False
        while scope is not None:
            found: list[tuple[ScopeSource, ScopeColumn]] = []
            for source in scope.sources:
                if qualifier and not source.matches(qualifier):
                    continue
                known = known or bool(qualifier)
                found += [(source, column) for column in source.columns if same_column(column.name, name, source.exact)]
            if len(found) > 1:
                raise SqlError(209, f"Ambiguous column name '{parts[-1]}'.")
            if found:
                source, column = found[0]
                if column.refused is not None:
                    raise column.refused
                if column.column is not None:
                    source.used.add(column.column.physical)
                return column
            scope = scope.parent
        if qualifier and not known:
            raise SqlError(4104, f'The multi-part identifier "{".".join(parts)}" could not be bound.')
        raise SqlError(207, f"Invalid column name '{parts[-1]}'.")
