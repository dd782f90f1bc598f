"""Change capture, as the seam offers it: what changed in a source since a position, all tables as of one moment.

A *position* is a text that only the source understands: everything up to it has been seen. It is taken before rows are
read, so what a read already shows of later changes comes again with the next pass and changes nothing then.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from ..mapping.objects import MappedTable
from ..mapping.types import MappedColumn
from ..model import ChangeMethod, Column, SqlType
from .reader import Chunk

OPERATION = "_mpm_op"
"""The first field of a staged row: ``D`` for a row that is gone (only its key is filled), else ``I`` or ``U``."""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """How the changes of one table can be seen."""

    tracked: bool
    """Change tracking is on for it."""
    rowversion: str | None
    """Its rowversion column."""
    enable: str | None
    """The statement that would switch change tracking on; None where it is on, or cannot be."""
    why_not: str | None = None
    """Why change tracking cannot be switched on, in words."""


@dataclass(frozen=True, slots=True)
class ChangeFacts:
    """How the changes of a database can be seen; the keys of ``tables`` are ``(schema, name)`` at the source."""

    tracking: bool
    """Change tracking is on for the database."""
    retention: str | None
    """How long changes are kept, in words."""
    enable: str | None
    """The statement that would switch it on; None where it is on, or the source has no such thing."""
    one_moment: bool
    """All tables can be read as of one moment."""
    one_moment_hint: str | None
    """What to do where they cannot."""
    tables: Mapping[tuple[str, str], TableFacts] = field(default_factory=dict)
    rowversions: bool = True
    """The source tells up to which rowversion everything is committed."""


@dataclass(frozen=True, slots=True)
class Followed:
    """One table and how its changes are found; plain data."""

    table: MappedTable
    method: ChangeMethod
    column: str | None = None
    """The source column of a rowversion or watermark."""
    overlap: float = 0.0
    """Of a watermark: how far behind the last value it looks again, in seconds or in the column's own unit."""

    @property
    def name(self) -> str:
        """``schema.name`` at the source: what the ledger calls it."""
        return self.table.source.full_name

    @property
    def source_name(self) -> tuple[str, str]:
        """(schema, name) at the source."""
        return self.table.source.schema, self.table.source.name


@dataclass(frozen=True, slots=True)
class Moment:
    """What a session sees: the source's clock (UTC), and the current position of every followed table."""

    at: datetime
    positions: Mapping[str, str]
    """By name. A table whose method is ``compare`` has none."""
    expired: Mapping[str, str]
    """By name: why the position it was given is no longer good, in words."""
    unchanged: frozenset[str]
    """Names whose current position shows, without another question, that nothing changed."""
    marks: Mapping[str, str]
    """By name: a text that is another one after a change of the table's definition."""


class ChangeSession(Protocol):
    """One pass over the changes; used by one thread, except ``cancel``. Leaves no lock at the source.

    Every method raises TransientError when the source breaks off, TransferError when it refuses.
    """

    def begin(self, followed: Sequence[Followed], positions: Mapping[str, str | None]) -> Moment:
        """Fix the moment; where the source allows it, all that follows reads the database as it is now."""
        ...

    def changes(self, item: Followed, since: str, upto: str) -> Generator[Chunk, None, None]:
        """The rows that changed after ``since`` and up to ``upto``, in the staged form of `staged_table`."""
        ...

    def pending(self, item: Followed, since: str) -> int | None:
        """How many rows changed after ``since``; None where that cannot be known without reading the table."""
        ...

    def rows(self, table: MappedTable) -> Generator[Chunk, None, None]:
        """All rows of a table, as COPY tuples of its copied columns, in the order of its key."""
        ...

    def marks(self, followed: Sequence[Followed]) -> Mapping[str, str]:
        """`Moment.marks` as they are now, not as of the moment. A table that is gone has none."""
        ...

    def cancel(self) -> None:
        """End a question under way soon, from another thread; the session is of no more use."""
        ...

    def close(self) -> None:
        """End the moment; idempotent."""
        ...


def staged_table(table: MappedTable) -> MappedTable:
    """The table as its changes are staged: the operation, then the copied columns; in no order."""
    from dataclasses import replace

    return replace(table, columns=(OPERATION_COLUMN, *table.copied_columns), range_key=None)


OPERATION_COLUMN = MappedColumn(
    source=Column(OPERATION, SqlType("nchar", 2), nullable=False),
    name=OPERATION,
    pg_type="text",
    encoding="text",
    nullable=False,
)
