"""What comes after the rows: keys, indexes, constraints, sequences, views; foreign keys set aside are put back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ..events import EventSink
from ..results import RunResult
from ..target.connect import TargetSettings, connect_target
from ..target.finalize import Finalizer
from ..target.prepare import restore_foreign_keys

if TYPE_CHECKING:
    from ..target.ledger import Ledger
    from ..transfer.control import Control
    from ..transfer.plan import RunPlan


class Finishing:
    """The end of one run. ``before_constraints`` is called when all indexes are there."""

    def __init__(
        self,
        plan: RunPlan,
        target: TargetSettings,
        result: RunResult,
        *,
        data_only: bool,
        on_event: EventSink,
        stopped: Callable[[], bool],
        before_constraints: Callable[[], None],
    ) -> None:
        self._plan = plan
        self._result = result
        self._stopped = stopped
        self._complete = {table.table for table in result.tables if table.status == "completed"}
        self._finalizer = Finalizer(
            partial(connect_target, target, purpose="finalize"),
            plan.database,
            [item.table for item in plan.tables if item.display in self._complete],
            existing={item.table.full_name for item in plan.tables if data_only or not item.built},
            parallel=plan.tuning.index_builds,
            memory_bytes=plan.tuning.maintenance_bytes,
            on_event=on_event,
            stop=stopped,
            before_constraints=before_constraints,
            replace_views=plan.mode == "drop_recreate",
        )

    def cancel(self) -> None:
        """Start nothing more and end the running statements; callable from any thread."""
        self._finalizer.cancel()

    def create(self) -> None:
        """Everything that hangs on the tables that arrived. What cannot be created is a problem of the result."""
        self._result.problems += [problem.message for problem in self._finalizer.run().problems]

    def put_back(self, control: Control, ledger: Ledger) -> None:
        """Constraints of tables that stay, which were set aside for the load; named as problems until all rows are."""
        if not self._stopped() and len(self._complete) == len(self._plan.tables):
            restore = partial(restore_foreign_keys, ledger=ledger, validate=True)
            self._result.problems += control.call("putting foreign keys back", restore)
        else:
            self._result.problems += [
                f"constraint {name} of {schema}.{table} is set aside until the run is resumed and complete"
                for schema, table, name in self._plan.suspended
            ]
