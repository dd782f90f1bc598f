"""One pass: what changed since the last one, read as of one moment, applied in one transaction with the positions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ..errors import SchemaError, TransferError
from ..events import EventSink, Message
from ..source.changes import OPERATION, ChangeSession, Moment
from ..target.classify import translated
from ..target.copy import copy_statement, copy_tuples
from ..target.relations import read_relations
from ..target.sync_ledger import SyncEntry, SyncLedger
from ..validation.target_side import TargetSide
from .apply import Applied, apply
from .plan import SyncPlan, SyncTablePlan
from .spelling import respelled
from .statements import StagedTable, create_stage

if TYPE_CHECKING:
    import psycopg


_REST = 10.0
"""A table that is followed by comparing rests for so many times the time that its comparison took."""


@dataclass(frozen=True, slots=True)
class PassOptions:
    """What is the same for all passes of a sync."""

    fire_triggers: bool = False
    deletes: bool = True
    """Whether tables whose method cannot see deletes are compared from time to time."""
    compare_every: float = 3600.0
    """Seconds between two comparisons of a table."""
    compare_now: bool = False
    """Tables whose method is ``compare`` are compared in every pass."""


@dataclass(slots=True)
class PassResult:
    """What one pass did; ``tables`` holds those it changed, by display name."""

    number: int
    moment: datetime
    """The source's time that the target stands for now."""
    tables: dict[str, Applied] = field(default_factory=dict)
    compared: list[str] = field(default_factory=list)
    """Display names of the tables whose contents were compared."""
    seconds: float = 0.0

    @property
    def changes(self) -> int:
        """Rows inserted, updated and deleted."""
        return sum(applied.total for applied in self.tables.values())


class SyncPass:
    """Carries out passes over one control connection, which holds the lock."""

    def __init__(
        self,
        plan: SyncPlan,
        ledger: SyncLedger,
        target: TargetSide,
        options: PassOptions,
        on_event: EventSink,
        check_stop: Callable[[], None],
        prove: Callable[[SyncTablePlan], None],
    ) -> None:
        self._prove = prove
        self._plan = plan
        self._ledger = ledger
        self._target = target
        self._options = options
        self._emit = on_event
        self._check_stop = check_stop
        self._marks: Mapping[str, str] | None = None
        self._compared: dict[str, tuple[float, float]] = {}
        """By name: when its comparison ended, and how long it took (seconds)."""
        self.unseen = False
        """A table whose method does not see everything was not compared in the last pass."""
        self._by_name = {table.name: table for table in plan.tables}

    def run(
        self,
        connection: psycopg.Connection[Any],
        session: ChangeSession,
        *,
        compare_all: bool = False,
        compare_unseen: bool = False,
    ) -> PassResult:
        """One pass; a session serves one. With ``compare_all`` every table is compared, whatever its method, with
        ``compare_unseen`` those whose method does not see everything.

        Raises SchemaError (a table's definition changed), DataError, TransferError (a row cannot be applied; nothing
        is), TransientError (the same pass may be made again), StateError (another sync came between).
        """
        started = time.monotonic()
        entries = self._ledger.entries(connection)
        last = self._ledger.last_pass(connection)
        missing = [table.display for table in self._plan.tables if table.name not in entries]
        if missing:
            raise TransferError(
                f"no position is known for {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}",
                hint="run the migration with the sync section in its configuration, or: sync prepare --compare",
            )
        methods = {table.name: table.followed.method for table in self._plan.tables}
        positions = {
            name: entry.position if not entry.stale and entry.method == methods.get(name) else None
            for name, entry in entries.items()
        }
        moment = session.begin(self._plan.followed, positions)
        self._check_definitions(moment.marks)
        for name, reason in moment.expired.items():
            text = f"{reason}; its contents are compared instead"
            self._emit(Message(level="warn", table=self._by_name[name].display, text=text))
        due, reading = self._chosen(entries, moment, compare_all=compare_all, compare_unseen=compare_unseen)
        for table in (*due, *reading):
            self._prove(table)
        number = last.number if last is not None else 0
        result = PassResult(number, moment.at)
        with translated(None, "applying a pass"), connection.transaction():
            self._ledger.begin_pass(connection, number)
            if due or reading:
                due = self._carry(connection, session, moment, positions, due, reading, result)
            result.number += 1
            self._ledger.advance(
                connection,
                result.number,
                moment.at,
                {name: moment.positions[name] for name in self._by_name if name in moment.positions},
                {
                    table.name: result.tables[table.display].total
                    for table in self._plan.tables
                    if table.display in result.tables
                },
                {table.name: table.followed.method for table in due},
            )
        result.compared = [table.display for table in due]
        result.seconds = time.monotonic() - started
        return result

    def _chosen(
        self, entries: Mapping[str, SyncEntry], moment: Moment, *, compare_all: bool, compare_unseen: bool
    ) -> tuple[list[SyncTablePlan], list[SyncTablePlan]]:
        """The tables to compare, and those whose changes are to be read."""
        due = [
            table
            for table in self._plan.tables
            if compare_all
            or (compare_unseen and self._sees_too_little(table))
            or self._due(table, entries[table.name], moment)
        ]
        comparing = {table.name for table in due}
        self.unseen = any(self._sees_too_little(item) and item.name not in comparing for item in self._plan.tables)
        reading = [
            table
            for table in self._plan.tables
            if table.name not in comparing and table.followed.method != "compare" and table.name not in moment.unchanged
        ]
        return due, reading

    def _sees_too_little(self, table: SyncTablePlan) -> bool:
        method = table.followed.method
        return method == "compare" or (method != "change_tracking" and self._options.deletes)

    def _due(self, table: SyncTablePlan, entry: SyncEntry, moment: Moment) -> bool:
        """Whether the table's contents must be compared in this pass."""
        method = table.followed.method
        lost = entry.position is None or table.name not in moment.positions
        other = entry.method != method  # a position of another method says nothing
        if entry.stale or other or table.name in moment.expired or (lost and method != "compare"):
            return True
        if method == "change_tracking" or (method != "compare" and not self._options.deletes):
            return False
        if entry.compared_at is None or (method == "compare" and self._options.compare_now):
            return True  # what was deleted since the run began is not known
        if method == "compare":
            ended, took = self._compared.get(table.name, (-math.inf, 0.0))
            return time.monotonic() - ended >= min(self._options.compare_every, took * _REST)
        return (datetime.now(timezone.utc) - entry.compared_at).total_seconds() >= self._options.compare_every

    def _carry(
        self,
        connection: psycopg.Connection[Any],
        session: ChangeSession,
        moment: Moment,
        positions: Mapping[str, str | None],
        due: Sequence[SyncTablePlan],
        reading: Sequence[SyncTablePlan],
        result: PassResult,
    ) -> list[SyncTablePlan]:
        """Stage everything, then apply it; inside the pass's transaction. Returns the tables that were compared."""
        staged: list[StagedTable] = []
        due = list(due)
        for table in reading:
            since = positions[table.name]
            assert since is not None
            if not self._stage_changes(connection, session, table, since, moment.positions[table.name]):
                continue
            if self._respelled(connection, table):
                due.append(table)
            else:
                staged.append(table.staged)
        if due:
            from .compare import TableComparison  # numpy comes with it: most passes compare nothing
        for table in due:
            began = time.monotonic()
            comparison = TableComparison(session, self._target, table.staged, table.existing, self._check_stop)
            if comparison.stage(connection):
                staged.append(table.staged)
            self._compared[table.name] = (time.monotonic(), time.monotonic() - began)
        self._check_definitions(session.marks(self._plan.followed))
        if not staged:
            return due
        relations = read_relations(connection, [table.target for table in self._plan.tables])
        applied = apply(connection, staged, relations, fire_triggers=self._options.fire_triggers)
        for table in self._plan.tables:
            found = applied.get(table.target)
            if found is not None and found.total:
                result.tables[table.display] = found
        return due

    def _respelled(self, connection: psycopg.Connection[Any], table: SyncTablePlan) -> bool:
        """Whether the staged changes may leave an old spelling of a key behind: then the staging table is gone, and
        the table is to be compared. Where deletes are not wanted, old spellings stay as well."""
        if table.followed.method != "change_tracking" and not self._options.deletes:
            return False
        if not respelled(connection, table.staged):
            return False
        connection.execute(f"DROP TABLE {table.staged.relation}")
        text = "a key may have changed its spelling only: its contents are compared"
        self._emit(Message(level="info", table=table.display, text=text))
        return True

    def _stage_changes(
        self, connection: psycopg.Connection[Any], session: ChangeSession, table: SyncTablePlan, since: str, upto: str
    ) -> int:
        """Stage the changes of one table; how many rows that were."""
        staged = table.staged
        copy = copy_statement(staged.relation, (OPERATION, *staged.columns), "binary")
        rows = 0
        with translated(table.followed.table.full_name, "staging changes"):
            for chunk in session.changes(table.followed, since, upto):
                self._check_stop()
                if not rows:
                    connection.execute(create_stage(staged))
                copied = copy_tuples(connection, copy, chunk.data, "binary")
                if copied != chunk.rows:
                    raise TransferError(
                        f"table {table.name}: the target staged {copied} of {chunk.rows} rows", table=table.name
                    )
                rows += copied
        return rows

    def _check_definitions(self, marks: Mapping[str, str]) -> None:
        """Raises SchemaError when a table is another one than when this sync read the catalog."""
        if self._marks is None:
            self._marks = dict(marks)
        for name, table in self._by_name.items():
            if marks.get(name) != self._marks.get(name) or name not in marks:
                what = "is gone" if name not in marks else "was altered"
                raise DefinitionChanged(
                    f"table {table.display} {what} at the source while it is followed",
                    table=name,
                    hint="nothing was applied; start the sync again: it reads the new definition",
                )


class DefinitionChanged(SchemaError):
    """A followed table was altered at the source: its definition must be read again before the next pass."""
