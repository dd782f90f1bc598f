"""The last phase of finalizing: sequences set past the data, comments, views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..mapping.objects import MappedDatabase, MappedSequence, MappedTable
from ..mapping.types import MappedColumn
from . import ddl
from .classify import is_transient
from .jobs import JobPool
from .statements import StatementRunner

if TYPE_CHECKING:
    import psycopg


class Ending(StatementRunner):
    """Runs after keys and constraints. ``loaded`` tables have their rows, ``built`` ones were made by this run."""

    pool: JobPool
    database: MappedDatabase
    loaded: list[MappedTable]
    built: list[MappedTable]
    replace_views: bool

    def set_sequences(self) -> None:
        """Identities and sequences go on past the data."""
        jobs: list[Callable[[psycopg.Connection[Any]], None]] = []
        for table in self.loaded:
            for column in table.columns:
                if ddl.has_identity(column):
                    jobs.append(self._identity_job(table, column.name))
        for sequence in self.database.sequences:
            if sequence.owner is None:
                jobs.append(self._sequence_job(sequence))
        self.pool.run(jobs)

    def _sequence_job(self, sequence: MappedSequence) -> Callable[[psycopg.Connection[Any]], None]:
        name = f"{sequence.schema}.{sequence.name}"
        loaded = {(table.schema, table.name) for table in self.loaded}
        feeds = tuple(feed for feed in sequence.feeds if feed[:2] in loaded)
        # Rows the run found in the target may be ahead of the source's sequence.
        kept = loaded - {(table.schema, table.name) for table in self.built}
        mixed = any(feed[:2] in kept for feed in feeds)

        def run(connection: psycopg.Connection[Any]) -> None:
            import psycopg

            value, is_called = ddl.sequence_position(sequence)
            question = ddl.next_fed_value(replace(sequence, feeds=feeds), always=mixed)
            if question is not None:
                try:
                    row = connection.execute(question.encode()).fetchone()
                except psycopg.Error as error:
                    self.refuse(error, "sequence", name, sequence.name, question)
                    return
                assert row is not None
                low, high = sequence.source.minimum, sequence.source.maximum
                following = int(row[0])
                if not low <= following <= high:  # values that did not come from it, or its last one
                    following = sequence.source.current + sequence.source.increment
                value = min(max(following, low), high)
                # Beyond its bounds: used up, as in the source.
                is_called = value != following
            expression = f"{ddl.quote_literal(ddl.relation(sequence))}::regclass"
            statement = ddl.set_sequence_value(expression, value, is_called=is_called)
            if self.execute(connection, "sequence", name, sequence.name, statement):
                self.count("created", "sequence")

        return run

    def _identity_job(self, table: MappedTable, column_name: str) -> Callable[[psycopg.Connection[Any]], None]:
        column = next(column for column in table.columns if column.name == column_name)

        def run(connection: psycopg.Connection[Any]) -> None:
            import psycopg

            sequence = ddl.identity_sequence(table, column)
            try:
                found = connection.execute(
                    "SELECT s.seqmin, s.seqmax, s.seqrelid::regclass::text FROM pg_catalog.pg_sequence s"
                    f" WHERE s.seqrelid = {sequence}::regclass".encode()
                ).fetchone()
                if found is None:
                    return  # a table the run found: its column draws its values from elsewhere
                low, high, _ = found
                row = connection.execute(ddl.next_identity_value(table, column).encode()).fetchone()
                assert row is not None
                following = _within(int(row[0]), low, high, column)
                value = min(max(following, low), high)
                # Beyond the type: the next insert fails, as it does in the source.
                exhausted = following > high or following < low
                statement = ddl.set_sequence_value(sequence, value, is_called=exhausted)
                connection.execute(statement.encode())
                self.count("created", "sequence")
            except psycopg.Error as error:
                self.refuse(error, "sequence", table.full_name, column_name, f"the identity of {column_name}")

        return run

    def write_comments(self) -> None:
        """Descriptions of tables and what hangs on them; of schemas and the database, where tables were made."""

        def job(owner: str, statements: Sequence[str]) -> Callable[[psycopg.Connection[Any]], None]:
            def run(connection: psycopg.Connection[Any]) -> None:
                for statement in statements:
                    self.comment(connection, owner, statement)

            return run

        comments = [(table.full_name, tuple(ddl.comments(table))) for table in self.built]
        if self.built:
            comments.append(("the database", tuple(ddl.comments_around(self.database))))
        self.pool.run([job(owner, statements) for owner, statements in comments if statements])

    def comment(self, connection: psycopg.Connection[Any], owner: str, statement: str) -> None:
        """COMMENT ON; nothing where the object is not there, which has been said where it was refused."""
        import psycopg

        try:
            connection.execute(statement.encode())
        except (psycopg.errors.UndefinedObject, psycopg.errors.UndefinedTable):
            return
        except psycopg.Error as error:
            self.refuse(error, "comment", owner, "comment", statement)
            return
        self.count("created", "comment")

    def create_views(self) -> None:
        """Views read each other: go round until a round creates none.

        A run that built no table (all were there) leaves the target's views as they are, and only drop_recreate
        replaces those that are there: they may have been changed by hand.
        """
        import psycopg

        waiting = list(self.database.views) if self.built else []
        refused: dict[str, psycopg.Error] = {}

        def run(connection: psycopg.Connection[Any]) -> None:
            nonlocal waiting
            progress = True
            while waiting and progress:
                progress = False
                for view in list(waiting):
                    try:
                        connection.execute(ddl.create_view(view, or_replace=self.replace_views).encode())
                    except psycopg.errors.DuplicateTable:
                        waiting.remove(view)
                        self.count("present", "view")
                        continue
                    except psycopg.Error as error:
                        if is_transient(error) or isinstance(error, psycopg.errors.QueryCanceled):
                            raise
                        refused[f"{view.schema}.{view.name}"] = error
                        continue
                    waiting.remove(view)
                    progress = True
                    self.count("created", "view")
                    for statement in ddl.comments_on_view(view):
                        self.comment(connection, f"{view.schema}.{view.name}", statement)

        if waiting:
            self.pool.run([run])
        for view in waiting:
            name = f"{view.schema}.{view.name}"
            self.refuse(refused[name], "view", name, view.name, ddl.create_view(view))


def _within(following: int, low: int, high: int, column: MappedColumn) -> int:
    """The next identity value; where the values in the table leave no room behind them, the source's own next one.

    An identity that has used up its type is often set back to the other end of it (DBCC CHECKIDENT ... RESEED).
    """
    identity = column.source.identity
    if low <= following <= high or identity is None or identity.last_value is None:
        return following
    own = identity.last_value + identity.increment
    return own if low <= own <= high else following
