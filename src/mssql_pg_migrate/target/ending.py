"""The last phase of finalizing: sequences set past the data, comments, views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ..mapping.objects import MappedDatabase, MappedSequence, MappedTable
from ..mapping.types import MappedColumn
from . import ddl
from .classify import is_transient
from .exchange import each
from .statements import AT_ONCE, Order, StatementRunner

if TYPE_CHECKING:
    import psycopg


class Ending(StatementRunner):
    """Runs after keys and constraints. ``loaded`` tables have their rows, ``built`` ones were made by this run."""

    database: MappedDatabase
    loaded: list[MappedTable]
    built: list[MappedTable]
    replace_views: bool

    def set_sequences(self) -> None:
        """Identities and sequences go on past the data."""
        self._identities()
        jobs: list[Callable[[psycopg.Connection[Any]], None]] = []
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

    def _identities(self) -> None:
        """The identities of all tables: one message asks where each goes on, another sets them."""
        due = [(table, column) for table in self.loaded for column in table.columns if ddl.has_identity(column)]
        share = max(1, min(-(-len(due) // self.pool.parallel), AT_ONCE))
        self.pool.run([partial(self._set_identities, due[at : at + share]) for at in range(0, len(due), share)])

    def _set_identities(self, due: list[tuple[MappedTable, MappedColumn]], connection: psycopg.Connection[Any]) -> None:
        import psycopg

        def refused(error: psycopg.Error, table: MappedTable, column: MappedColumn) -> None:
            self.refuse(error, "sequence", table.full_name, column.name, f"the identity of {column.name}")

        setting: list[str] = []
        chosen: list[tuple[MappedTable, MappedColumn]] = []
        questions = [ddl.identity_position(table, column) for table, column in due]
        for (table, column), found in zip(due, each(connection, questions), strict=True):
            if isinstance(found, psycopg.Error):
                refused(found, table, column)
                continue
            if not found.first:
                continue  # a table the run found: its column draws its values from elsewhere
            low, high, following = (int(value or 0) for value in found.first)
            following = _within(following, low, high, column)
            value = min(max(following, low), high)
            # Beyond the type: the next insert fails, as it does in the source.
            exhausted = following > high or following < low
            sequence = ddl.identity_sequence(table, column)
            setting.append(ddl.set_sequence_value(sequence, value, is_called=exhausted))
            chosen.append((table, column))
        for (table, column), done in zip(chosen, each(connection, setting), strict=True):
            if isinstance(done, psycopg.Error):
                refused(done, table, column)
            else:
                self.count("created", "sequence")

    def write_comments(self) -> None:
        """Descriptions of tables and what hangs on them; of schemas and the database, where tables were made."""
        comments = [(table.full_name, statement) for table in self.built for statement in ddl.comments(table)]
        if self.built:
            comments += [("the database", statement) for statement in ddl.comments_around(self.database)]
        self.carry_out([self._comment(owner, statement) for owner, statement in comments])

    def _comment(self, owner: str, statement: str) -> Order:
        """COMMENT ON; nothing where the object is not there, which has been said where it was refused."""
        order = self.order("comment", owner, "comment", statement)

        def refused(connection: psycopg.Connection[Any], error: psycopg.Error) -> None:
            import psycopg

            if not isinstance(error, (psycopg.errors.UndefinedObject, psycopg.errors.UndefinedTable)):
                order.refused(connection, error)

        return Order(statement, order.accepted, refused)

    def create_views(self) -> None:
        """Views read each other: go round until a round creates none.

        A run that built no table (all were there) leaves the target's views as they are, and only drop_recreate
        replaces those that are there: they may have been changed by hand.
        """
        import psycopg

        waiting = list(self.database.views) if self.built else []
        comments: list[Order] = []
        refused: dict[str, psycopg.Error] = {}

        def run(connection: psycopg.Connection[Any]) -> None:
            progress = True
            while waiting and progress:
                progress = False
                for start in range(0, len(waiting), AT_ONCE):
                    views = waiting[start : start + AT_ONCE]
                    statements = [ddl.create_view(view, or_replace=self.replace_views) for view in views]
                    for view, outcome in zip(views, each(connection, statements), strict=True):
                        name = f"{view.schema}.{view.name}"
                        if isinstance(outcome, psycopg.errors.DuplicateTable):
                            done.setdefault(name, "present")
                        elif not isinstance(outcome, psycopg.Error):
                            done.setdefault(name, "created")
                            comments.extend(self._comment(name, text) for text in ddl.comments_on_view(view))
                        elif is_transient(outcome) or isinstance(outcome, psycopg.errors.QueryCanceled):
                            raise outcome
                        else:
                            refused[name] = outcome
                            continue
                        progress = True
                waiting[:] = [view for view in waiting if f"{view.schema}.{view.name}" not in done]

        done: dict[str, Literal["created", "present"]] = {}
        if waiting:
            self.pool.run([run])
        for how in done.values():
            self.count(how, "view")
        self.carry_out(comments)
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
