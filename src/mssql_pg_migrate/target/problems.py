"""What finalizing reports: objects PostgreSQL refused, each as a sentence for the person who must repair it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..mapping.objects import MappedCheck, MappedForeignKey, MappedTable

if TYPE_CHECKING:
    import psycopg

Kind: TypeAlias = Literal[
    "default", "primary_key", "unique", "index", "foreign_key", "check", "sequence", "comment", "view"
]

_WORDS: dict[Kind, str] = {
    "default": "default of column",
    "primary_key": "primary key",
    "unique": "unique constraint",
    "index": "index",
    "foreign_key": "foreign key",
    "check": "check",
    "sequence": "sequence",
    "comment": "comment",
    "view": "view",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """An object PostgreSQL refused; ``message`` is a full sentence that names it, the table and sample values."""

    kind: Kind
    table: str
    """Target table or view, ``schema.name``."""
    name: str
    message: str
    sample: tuple[str, ...] = ()
    sqlstate: str | None = None


@dataclass(slots=True)
class FinalizeResult:
    """What finalizing did. ``created`` and ``present`` count objects by kind; ``present`` were there already."""

    problems: list[Problem] = field(default_factory=list)
    created: Counter[Kind] = field(default_factory=Counter)
    present: Counter[Kind] = field(default_factory=Counter)
    cancelled: bool = False
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether everything is there."""
        return not self.problems and not self.cancelled


def refused(error: psycopg.Error, kind: Kind, owner: str, name: str, statement: str) -> Problem:
    """A statement the server did not accept."""
    text = error.diag.message_primary or str(error).strip()
    if error.diag.message_detail:
        text += f" ({error.diag.message_detail})"
    message = f'{_WORDS[kind]} "{name}" of {owner} was not created: {text}. The statement was: {statement};'
    return Problem(kind, owner, name, message, sqlstate=error.sqlstate)


def duplicate_rows(
    kind: Kind, table: MappedTable, name: str, columns: Sequence[str], sample: tuple[str, ...], statement: str
) -> Problem:
    """A unique index over rows that are not unique."""
    message = (
        f'{_WORDS[kind]} "{name}" of {table.full_name} ({", ".join(columns)}) was not created: the table holds'
        f" duplicates{_examples(sample)}. The rows stay; remove the duplicates, then run: {statement};"
    )
    return Problem(kind, table.full_name, name, message, sample, "23505")


def name_taken(kind: Kind, table: MappedTable, name: str, statement: str) -> Problem:
    """An index whose name another relation of the schema has."""
    message = (
        f'{_WORDS[kind]} "{name}" of {table.full_name} was not created: the target schema has another relation of'
        f" that name; drop or rename it, then run: {statement};"
    )
    return Problem(kind, table.full_name, name, message, sqlstate="42P07")


def not_referable(table: MappedTable, key: MappedForeignKey, reason: str, statement: str) -> Problem:
    """A foreign key whose other end is missing."""
    message = f'foreign key "{key.name}" of {table.full_name} was not created: {reason}. Afterwards run: {statement};'
    return Problem("foreign_key", table.full_name, key.name, message)


def orphan_rows(table: MappedTable, key: MappedForeignKey, sample: tuple[str, ...], statement: str) -> Problem:
    """A foreign key left NOT VALID."""
    message = (
        f'foreign key "{key.name}" of {table.full_name} ({", ".join(key.columns)}): rows refer to keys that'
        f" {key.referenced_schema}.{key.referenced_table} ({', '.join(key.referenced_columns)}) does not have"
        f"{_examples(sample)}. {_stays(statement)}"
    )
    return Problem("foreign_key", table.full_name, key.name, message, sample, "23503")


def violating_rows(table: MappedTable, check: MappedCheck, sample: tuple[str, ...], statement: str) -> Problem:
    """A check left NOT VALID."""
    message = (
        f'check "{check.name}" of {table.full_name}: rows do not satisfy {check.expression_sql}'
        f"{_examples(sample)}. {_stays(statement)}"
    )
    return Problem("check", table.full_name, check.name, message, sample, "23514")


def _stays(statement: str) -> str:
    return f"The rows stay and the constraint checks new rows only; repair the rows, then run: {statement};"


def _examples(sample: Sequence[str]) -> str:
    return f", for example {'; '.join(sample)}" if sample else ""
