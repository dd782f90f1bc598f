"""What compiling a query gives: its SQL and its columns."""

from __future__ import annotations

from dataclasses import dataclass

from ..catalog.model import Column
from ..values.sqltypes import SqlType


@dataclass(frozen=True)
class OutputColumn:
    """A column of a result: its name for the client, its name in the SQL, its type."""

    name: str
    sql: str
    type: SqlType
    nullable: bool = True
    column: Column | None = None


@dataclass
class CompiledQuery:
    """A query as DuckDB SQL and its columns."""

    sql: str
    columns: list[OutputColumn]
    order_columns: tuple[int, ...] = ()
