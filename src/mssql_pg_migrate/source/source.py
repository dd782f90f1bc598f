"""The seam: all that jobs, transfer, validation and the wizard ask of a source, whatever kind it is.

A *source* knows its settings and holds nothing open. It opens *sessions*, for questions, and *readers* (`reader`), for
rows. Those who open them keep them in pools of their own and close them. Positions (`KeyRange`, `Chunk.last_key`) are
texts that only the source understands: what it said once, it is given back to read on from there.

`open.open_source` makes the source of settings; a kind of source is one package beside this file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from ..mapping.objects import MappedTable
from ..model import Catalog, KeyRange, Table
from .changes import ChangeFacts, ChangeSession
from .reader import CopyFormat, OnNul, Reader, ReadLimits

UseReader: TypeAlias = Callable[[str], AbstractContextManager[Reader]]
"""Lends a reader of that name for the length of a ``with``."""


@dataclass(frozen=True, slots=True)
class ChosenReader:
    """Which of a source's readers carries a table; plain data."""

    name: str
    """What ``Source.open_reader`` opens; shown in events and results."""
    reason: str | None = None
    """Why not a faster one, in words; None where there is none or it was not wanted."""
    surprising: bool = False
    """The reason is worth a warning: nobody asked for the slower reader."""
    everywhere: bool = False
    """The reason holds for all tables: once is enough."""


class Source(Protocol):
    """A database to read, by its settings. Thread safe; nothing is open until asked for."""

    @property
    def label(self) -> str:
        """What is read, for messages: server and database, or a file."""
        ...

    @property
    def readers(self) -> str:
        """Which readers will carry the rows, in words (for the health check)."""
        ...

    @property
    def fastest_reader(self) -> str:
        """The name of the reader to begin with, before any table has been looked at."""
        ...

    @property
    def holds_rows(self) -> bool:
        """Whether there are rows to read, and not a schema alone."""
        ...

    def discrepancy(self, rows: Mapping[str, int]) -> str | None:
        """What is wrong with the numbers of rows that were read, by full names of tables, as a sentence.

        None where the source tells no number to compare with, or it is right.
        """
        ...

    @property
    def likely_reader(self) -> str | None:
        """The reader that most tables will be carried by, to be opened ahead; None where that saves no time."""
        ...

    def connect(self) -> SourceSession:
        """A new session. Raises ConnectionFailed, and ConfigError for settings that cannot be used."""
        ...

    def open_reader(self, name: str) -> Reader:
        """A new reader (`ChosenReader.name`). Raises ConnectionFailed, ReaderUnsupported."""
        ...

    def choose_reader(
        self,
        table: MappedTable,
        name: str,
        use: UseReader,
        *,
        copy_format: CopyFormat,
        on_nul: OnNul,
        purpose: Literal["transfer", "comparison"],
    ) -> ChosenReader:
        """The reader for a table that messages call ``name``. It may read some rows to find out, through ``use``.

        For a comparison any reader that can read the table will do; a transfer raises ConfigError when the configured
        one cannot. Raises TransientError, ConnectionFailed, TransferError.
        """
        ...

    def open_changes(self, name: str, *, one_moment: bool, limits: ReadLimits) -> ChangeSession:
        """A session for a pass over the changes, read by the reader of that name. Raises as `open_reader`."""
        ...

    def other_reader(self, name: str, reason: str) -> ChosenReader:
        """What goes on with a table after its reader raised ReaderUnsupported. Raises ConfigError: nothing may."""
        ...


class SourceSession(Protocol):
    """Questions to a source; used by one thread at a time, except ``cancel``.

    Every method raises TransientError when the source breaks off (or after ``cancel``) and TransferError when it
    refuses.
    """

    @property
    def usable(self) -> bool:
        """Whether it may be asked further."""
        ...

    @property
    def round_trip(self) -> float | None:
        """Seconds that the shortest question has taken; None where there is no line."""
        ...

    def catalog(self, schemas: Sequence[str] | None) -> Catalog:
        """All that is there in the given schemas (None: in all). Raises SchemaError when a schema is not there."""
        ...

    def look(self) -> SourceLook:
        """Its tables at a glance, to offer them for choice. Raises SchemaError."""
        ...

    def health(self) -> SourceHealth:
        """What the session shows of its server."""
        ...

    def obstacles(self, tables: Iterable[Table]) -> tuple[Obstacle, ...]:
        """What keeps rows of the tables from being read as they are: rights, isolation, masks."""
        ...

    def read_only(self) -> bool:
        """Whether nobody can write to it now."""
        ...

    def prepare(self, statement: str) -> None:
        """Carry out one of the statements that ``change_facts`` offers. Raises TransferError when it is refused."""
        ...

    def key_collision(self, table: MappedTable, on_nul: OnNul) -> Collision | None:
        """Whether rows of the table would have one primary key in the target; None when they would not."""
        ...

    def count(self, table: MappedTable) -> int:
        """The exact number of rows."""
        ...

    def resumable(self, table: MappedTable) -> bool:
        """Whether reading can go on after any chunk. Else the table is one range, read from its beginning each time."""
        ...

    def plan_ranges(self, table: MappedTable, *, max_ranges: int, min_rows: int) -> list[KeyRange]:
        """At most ``max_ranges`` ranges that hold every row once, of about equal size, few below ``min_rows`` rows.

        One range where the table is not resumable.
        """
        ...

    def change_facts(self, tables: Iterable[Table]) -> ChangeFacts:
        """How the changes of these tables can be seen."""
        ...

    def sample(self, table: MappedTable, rows: int, *, on_nul: OnNul, seconds: float) -> bytes:
        """Binary COPY tuples of about so many rows from all over the table, fewer where they are wide.

        Raises TransferError also when they do not come within ``seconds``, DataError.
        """
        ...

    def cancel(self) -> None:
        """End a question under way soon, from another thread; the session is of no more use."""
        ...

    def close(self) -> None:
        """Close it, by the thread that uses it; idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """What a session shows of its server."""

    version: str
    latency_ms: float | None
    """Median round trip of an empty question; None where there is no line."""
    tls: str | None
    """Whether the line is encrypted, in words; None where there is none."""
    facts: dict[str, str]
    """Further facts by name, in the order to show them."""
    problems: tuple[str, ...] = ()
    """What is wrong with it, as clauses."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Something that cannot be read as it is; ``reason`` is a clause that follows its name."""

    kind: Literal["database", "table"]
    name: str
    reason: str
    remedy: str | None = None
    """What to do about it."""
    readable: bool = False
    """Rows can be read, but not as they are (masked)."""

    @property
    def clause(self) -> str:
        """Reason and remedy."""
        return f"{self.reason} ({self.remedy})" if self.remedy else self.reason


@dataclass(frozen=True, slots=True)
class Collision:
    """What is to be said of a table's primary key, as a sentence; ``certain``: such rows were found."""

    message: str
    certain: bool


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table of the source; ``rows`` is the catalog's count, None where it has none."""

    schema: str
    name: str
    rows: int | None = None

    @property
    def full_name(self) -> str:
        """``schema.name``."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class SourceLook:
    """The source database at a glance."""

    version: str
    tables: tuple[SourceTable, ...] = field(default=())

    @property
    def schemas(self) -> dict[str, int]:
        """Schema -> number of tables, ``dbo`` first."""
        counted = Counter(table.schema for table in self.tables)
        return {name: counted[name] for name in sorted(counted, key=lambda name: (name != "dbo", name.casefold()))}
