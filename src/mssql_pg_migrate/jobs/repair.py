"""``validate --checksum --repair``: rows that differ are brought over, and no other row is touched."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import Cancelled
from ..events import EventSink, Message
from ..sync.apply import Applied, apply
from ..sync.compare import TableComparison
from ..sync.plan import Look, SyncPlan, make_sync_plan
from ..sync.readers import SyncReaders
from ..target.classify import translated
from ..target.relations import read_relations
from ..validation.target_side import TargetSide
from .sync import Sync

if TYPE_CHECKING:
    import psycopg

    from ..config.models import Config
    from ..source.changes import ChangeSession


@dataclass(slots=True)
class RepairReport:
    """What a repair did; by display name."""

    tables: dict[str, Applied] = field(default_factory=dict)
    """Tables with rows that were brought over: missing ones inserted, changed ones updated, extra ones deleted."""
    left: dict[str, str] = field(default_factory=dict)
    """Tables that cannot be repaired, and why."""

    @property
    def changes(self) -> int:
        """Rows inserted, updated and deleted."""
        return sum(applied.total for applied in self.tables.values())


def repair(config: Config, *, on_event: EventSink, wait: Callable[[float], bool]) -> RepairReport:
    """Compare every selected table and bring what differs over, all tables in one transaction.

    Raises MigrationError: nothing was changed then. Excludes runs and syncs on the same schemas.
    """
    report = RepairReport()
    sync = Sync(config, on_event=on_event, wait=wait)
    with sync.control() as control:
        look = sync.look(control)
        control.lock(look.schemas, patient=False)
        plan = _plan(look, report)
        readers = sync.readers()
        with closing(TargetSide(sync.ends.target, 2, control.live().info.server_version)) as target:
            carry = _Repair(plan, target, readers, on_event, wait)
            applied = control.call("repairing rows", carry.run)
    report.tables = {name: counts for name, counts in applied.items() if counts.total}
    return report


def _plan(look: Look, report: RepairReport) -> SyncPlan:
    """Tables that have a primary key and are there; the others are left, with the reason."""
    from ..config.sync import SyncConfig

    usable = []
    for table in look.tables:
        display = look.displays[table.source.schema, table.source.name]
        if table.source.primary_key is None:
            report.left[display] = "it has no primary key: its rows cannot be told apart"
        elif (table.schema, table.name) not in look.existing:
            report.left[display] = f"the target has no table {table.full_name}"
        else:
            usable.append(table)
    return make_sync_plan(SyncConfig(method="compare"), replace(look, tables=tuple(usable)))


class _Repair:
    def __init__(
        self,
        plan: SyncPlan,
        target: TargetSide,
        readers: SyncReaders,
        on_event: EventSink,
        wait: Callable[[float], bool],
    ) -> None:
        self._plan = plan
        self._target = target
        self._readers = readers
        self._emit = on_event
        self._wait = wait

    def run(self, connection: psycopg.Connection[Any]) -> dict[str, Applied]:
        """One attempt, in one transaction of the target."""
        work = partial(self._carry, connection)
        return self._readers.use(work, one_moment=self._plan.facts.one_moment)

    def _carry(self, connection: psycopg.Connection[Any], session: ChangeSession) -> dict[str, Applied]:
        session.begin(self._plan.followed, {})
        for table in self._plan.tables:
            self._readers.prove(table)
        with translated(None, "repairing rows"), connection.transaction():
            staged = []
            for table in self._plan.tables:
                comparison = TableComparison(session, self._target, table.staged, table.existing, self._check_stop)
                if comparison.stage(connection):
                    staged.append(table.staged)
                    text = f"table {table.display}: rows that differ are brought over"
                    self._emit(Message(level="info", table=table.display, text=text))
            if not staged:
                return {}
            relations = read_relations(connection, [table.target for table in self._plan.tables])
            applied = apply(connection, staged, relations)
        return {table.display: applied[table.target] for table in self._plan.tables if table.target in applied}

    def _check_stop(self) -> None:
        if self._wait(0):
            raise Cancelled("the repair was stopped", hint="nothing was changed")
