"""Translated expressions computed by PostgreSQL over rows of the source, and compared with the source's own values.

The rows travel as arrays, one per column, in the parameters of one SELECT per table: nothing is created, and no right
is needed beyond that to connect. The elements of a binary array have the form of the fields of a binary COPY
(PostgreSQL's ``array_recv`` and the receive functions of the types), so the readers' bytes are taken as they are.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..mapping.objects import MappedDatabase, MappedTable
from ..mapping.quoting import quote_ident, quote_literal
from ..mapping.types import MappedColumn
from . import ddl
from .classify import is_transient, translate
from .verify import reason_of

if TYPE_CHECKING:
    import psycopg

Row: TypeAlias = "tuple[bytes | None, ...]"
"""The fields of a COPY tuple."""

_ROW = "_mpm_row"
_SHOWN = 60
"""Characters of a value that are shown."""
_NAMED_BY = 3
"""Columns that name a row of a table without a key."""
_SIZED_TEXT = re.compile(r"(varchar|character varying)\(\d+\)")


class TimeUp(Exception):
    """The question was ended by the time limit of the session."""


@dataclass(frozen=True, slots=True)
class Trial:
    """An expression to compute: of a computed column, whose values the source has, or a check, which its rows pass."""

    kind: Literal["column", "check"]
    name: str
    """The source's."""
    sql: str
    column: MappedColumn | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """A trial that did not come out as in the source, with one row as an example."""

    trial: Trial
    row: str
    """``Id=5``: the key of the example."""
    source: str | None
    target: str | None
    rows: int
    """In how many rows of the sample, at least."""
    error: str | None = None
    """The server's words where it could not compute the row."""

    @property
    def clause(self) -> str:
        """What is to be said of it."""
        if self.error is not None:
            return f"PostgreSQL cannot compute it for the row {self.row}: {self.error}"
        count = "one row" if self.rows == 1 else f"{self.rows:,} rows"
        if self.trial.kind == "check":
            return f"its translation does not hold in {count} of a sample that the source lets pass, as in {self.row}"
        values = f"{_text(self.target)} and not {_text(self.source)}"
        return f"PostgreSQL computes other values in {count} of a sample: in {self.row} {values}"


def _text(value: str | None) -> str:
    if value is None:
        return "NULL"
    return f"'{value[:_SHOWN]}...'" if len(value) > _SHOWN else f"'{value}'"


def trials(table: MappedTable) -> tuple[Trial, ...]:
    """What can be tried of a table: not columns whose values the source does not tell, nor what reads them.

    Of checks that the source itself does not vouch for nothing is known.
    """
    untold = _untold(table)
    columns = [
        Trial("column", column.source.name, column.generated_sql, column)
        for column in table.columns
        if column.generated_sql is not None and column.name not in untold
    ]
    checks = [
        Trial("check", check.source.name, check.expression_sql)
        for check in table.checks
        if not check.not_valid and not any(quote_ident(name) in check.expression_sql for name in untold)
    ]
    return (*columns, *checks)


def _untold(table: MappedTable) -> set[str]:
    return {column.name for column in table.columns if table.source.column(column.source.name).untold}


def sampled(table: MappedTable, tried: Sequence[Trial]) -> MappedTable:
    """The table with those columns copied that the trials read or compare, and those that name a row."""
    needed = {trial.column.name for trial in tried if trial.column is not None}
    needed |= {column.name for column in table.columns if any(quote_ident(column.name) in one.sql for one in tried)}
    needed |= {column.name for column in _naming(table)}
    needed -= _untold(table)
    return replace(table, columns=tuple(replace(column, copied=column.name in needed) for column in table.columns))


def _naming(table: MappedTable) -> list[MappedColumn]:
    for key in (table.source.primary_key, table.range_key):
        if key is not None:
            names = [part.name for part in key.columns]
            return [column for column in table.columns if column.source.name in names]
    return [column for column in table.columns if column.generated_sql is None][:_NAMED_BY]


class SampleTrial:
    """Computes trials on one connection, which must not be inside a transaction.

    Extensions and collations that the run will create are there for the length of it, where the session may make them.
    ``seconds`` bounds each question.
    """

    def __init__(self, connection: psycopg.Connection[Any], trial: MappedDatabase, seconds: float) -> None:
        self.tables = trial.tables
        self._connection = connection
        self._trial = trial
        self._seconds = seconds
        self._oids: dict[str, int | None] = {}
        self._within = bool(trial.extensions or trial.collations_sql)

    @contextmanager
    def session(self) -> Iterator[SampleTrial]:
        """Set up, and undo all of it. Raises errors of this project."""
        import psycopg

        connection = self._connection
        outer: AbstractContextManager[object] = (
            connection.transaction(force_rollback=True) if self._within else nullcontext()
        )
        try:
            with outer:
                scope = "LOCAL " if self._within else ""
                connection.execute(f"SET {scope}statement_timeout = {max(1, int(self._seconds * 1000))}".encode())
                _send_arrays(connection)
                try:
                    self._make_surroundings()
                    yield self
                finally:
                    if not self._within and not connection.closed:
                        connection.execute("RESET statement_timeout")
        except psycopg.Error as error:
            raise translate(error, table=None, doing="computing over sampled rows") from error

    def _make_surroundings(self) -> None:
        import psycopg

        # The first temporary object makes the schema of the others.
        first = ["CREATE TEMPORARY TABLE _mpm_sample ()"] if self._within else []
        statements = [*first, *map(ddl.create_extension, self._trial.extensions), *self._trial.collations_sql]
        for statement in statements:
            try:
                with self._connection.transaction():
                    self._connection.execute(statement.encode())
            except psycopg.Error as error:
                if self._connection.closed or is_transient(error):
                    raise  # else `verify` has said it, and what needs it is not known here

    def compare(self, table: MappedTable, tried: Sequence[Trial], rows: Sequence[Row]) -> list[Difference]:
        """The trials that come out differently over ``rows``: the fields of the table's copied columns.

        Raises TimeUp, RefusedRows for rows that the server cannot take, LookupError for a type that is not there.
        """
        columns = table.copied_columns
        oids = self._oids_of(columns)
        if not rows:
            return []
        batch = _Batch(table, columns, oids, rows)
        try:
            return self._ask(batch, tried)
        except RefusedRows:
            self._ask(batch, ())  # the rows alone
        found = []
        for trial in tried:
            try:
                found += self._ask(batch, (trial,))
            except RefusedRows as refused:
                found.append(self._first_refused(batch, trial, str(refused)))
        return found

    def _first_refused(self, batch: _Batch, trial: Trial, reason: str) -> Difference:
        """The row that the server cannot compute: half of the rows, half of these, and so on."""
        while len(batch.rows) > 1:
            half = len(batch.rows) // 2
            try:
                self._ask(replace(batch, rows=batch.rows[:half]), (trial,))
            except RefusedRows as refused:
                batch, reason = replace(batch, rows=batch.rows[:half]), str(refused)
            else:
                batch = replace(batch, rows=batch.rows[half:])
        (named,) = self._run(batch.naming(), batch)
        return Difference(trial, named[0], None, None, 1, reason)

    def _ask(self, batch: _Batch, tried: Sequence[Trial]) -> list[Difference]:
        found: dict[int, Difference] = {}
        counts = [0] * len(tried)
        for named, *answers in self._run(batch.question(tried), batch):
            for position, trial in enumerate(tried):
                differs, source, target = answers[3 * position : 3 * position + 3]
                if differs:
                    counts[position] += 1
                    found.setdefault(position, Difference(trial, named, source, target, 1))
        return [replace(one, rows=counts[position]) for position, one in sorted(found.items())]

    def _run(self, sql: str, batch: _Batch) -> list[tuple[Any, ...]]:
        import psycopg

        inner = self._connection.transaction() if self._within else nullcontext()
        try:
            with inner:
                return self._connection.execute(sql.encode(), batch.parameters()).fetchall()
        except psycopg.errors.QueryCanceled as error:
            raise TimeUp from error
        except psycopg.Error as error:
            if self._connection.closed or is_transient(error):
                raise
            raise RefusedRows(reason_of(error)) from error

    def _oids_of(self, columns: Iterable[MappedColumn]) -> list[int]:
        """The types' numbers, which a binary array names. Raises LookupError for a type that is not there."""
        names = {ddl.type_name(column) for column in columns}
        unknown = sorted(names - self._oids.keys())
        if unknown:
            sql = "SELECT t, to_regtype(t)::oid FROM unnest(%s::text[]) AS u(t)"
            self._oids |= dict(self._connection.execute(sql, (unknown,)).fetchall())
        found = []
        for column in columns:
            oid = self._oids[ddl.type_name(column)]
            if oid is None:
                raise LookupError(f"there is no type {column.pg_type} yet")
            found.append(oid)
        return found


class RefusedRows(Exception):
    """The server does not take the rows, or cannot compute over them."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows of a table as the parameters of a question."""

    table: MappedTable
    columns: Sequence[MappedColumn]
    oids: Sequence[int]
    rows: Sequence[Row]

    def parameters(self) -> list[_Array]:
        """One array per column."""
        return [_Array(oid, [row[position] for row in self.rows]) for position, oid in enumerate(self.oids)]

    def relation(self) -> str:
        """The rows as a relation with the columns of the target table."""
        names = ", ".join(quote_ident(column.name) for column in self.columns)
        arrays = ", ".join(f"%b::{_escaped(ddl.type_name(column))}[]" for column in self.columns)
        typed = ", ".join(map(_typed, self.columns))
        return (
            f'(SELECT {typed}, "{_ROW}" FROM unnest({arrays}) WITH ORDINALITY AS u({_escaped(names)}, "{_ROW}")) AS t'
        )

    def naming(self) -> str:
        """What names the first row."""
        return f'SELECT {self._label()} FROM {self.relation()} ORDER BY "{_ROW}" LIMIT 1'

    def question(self, tried: Sequence[Trial]) -> str:
        """The rows in which a trial differs: the row's name; per trial whether, the source's value, the target's."""
        items = [f"{self._label()} AS named", f'"{_ROW}"']
        for position, trial in enumerate(tried):
            items += [f"{item} AS {kind}{position}" for kind, item in zip("dst", _computed(trial), strict=True)]
        shown = ", ".join(
            f"d{position}, left(s{position}, {_SHOWN + 1}), left(t{position}, {_SHOWN + 1})"
            for position in range(len(tried))
        )
        any_differs = " OR ".join(f"d{position}" for position in range(len(tried))) or "false"
        return (
            f"SELECT named{', ' if shown else ''}{shown} FROM (SELECT {', '.join(items)} FROM {self.relation()}) AS q"
            f' WHERE {any_differs} ORDER BY "{_ROW}"'
        )

    def _label(self) -> str:
        copied = {column.name for column in self.columns}
        parts = [
            f"{_escaped(quote_literal(column.source.name))} || '=' ||"
            f" coalesce(left({_escaped(quote_ident(column.name))}::text, {_SHOWN}), 'NULL')"
            for column in _naming(self.table)
            if column.name in copied
        ]
        return " || ', ' || ".join(parts) or "'?'"


def _typed(column: MappedColumn) -> str:
    name = _escaped(quote_ident(column.name))
    collate = f" COLLATE {_escaped(column.collation_sql)}" if column.collation_sql is not None else ""
    return f"{name}::{_escaped(ddl.type_name(column))}{collate} AS {name}"


def _computed(trial: Trial) -> tuple[str, str, str]:
    """Whether the trial differs in a row, the source's value and the target's, as expressions over the relation."""
    if trial.column is None:
        return f"(({_escaped(trial.sql)}) IS FALSE)", "NULL::text", "NULL::text"
    # A text too long for its column is refused by an assignment, and would be cut by a cast to it.
    wanted = _SIZED_TEXT.sub(r"\1", ddl.type_name(trial.column))
    # As texts: not every type has an equality, nor every collation one of bytes.
    source = f'({_escaped(quote_ident(trial.column.name))}::text COLLATE "C")'
    target = f'((({_escaped(trial.sql)})::{_escaped(wanted)})::text COLLATE "C")'
    return f"({source} IS DISTINCT FROM {target})", source, target


def _escaped(sql: str) -> str:
    """For psycopg, which takes a percent sign for a parameter."""
    return sql.replace("%", "%%")


@dataclass(frozen=True, slots=True)
class _Array:
    """A parameter: one binary array."""

    oid: int
    values: Sequence[bytes | None]

    def data(self) -> bytes:
        """One dimension, numbered from 1."""
        parts = [struct.pack(">iiIii", 1, int(None in self.values), self.oid, len(self.values), 1)]
        for value in self.values:
            parts.append(struct.pack(">i", -1 if value is None else len(value)))
            if value is not None:
                parts.append(value)
        return b"".join(parts)


def _send_arrays(connection: psycopg.Connection[Any]) -> None:
    """Let the session send `_Array` parameters."""
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    class ArrayDumper(Dumper):
        format = Format.BINARY

        def dump(self, obj: _Array) -> bytes:
            return obj.data()

    connection.adapters.register_dumper(_Array, ArrayDumper)
