"""One migration, readable from top to bottom: connect, plan, lock, prepare, transfer, finalize, finish.

`Migration` is the Python API; the command line is a thin skin over it.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import Cancelled, ConfigError, MigrationError, StateError
from ..events import AnyEvent, EventSink, Message, PhaseStarted, Retry, RunFinished, RunStarted
from ..results import RunResult, TableResult, peak_memory
from ..state import Part, RunState, StateKeeper, TableState, existing_state, read_state, resumable_state, utc_now
from .ahead import Opening
from .ends import Ends
from .outcome import judge, left_out, missing_rows, new_result, result_of_state

if TYPE_CHECKING:
    from ..config.models import Config
    from ..results import CutoverReport, HealthReport, ValidationReport
    from ..source.source import SourceSession
    from ..sync.passes import PassResult
    from ..target.ledger import Ledger
    from ..transfer.control import Control
    from ..transfer.plan import RunPlan
    from .cutover import WaitFor
    from .finishing import Finishing
    from .moving import Moving
    from .repair import RepairReport
    from .sync import PrepareReport, Sync, SyncStatus


def _import_plan() -> None:
    """What planning needs, while servers answer the first questions."""
    from . import plan as plan


class Migration:
    """A configured migration. One command at a time; ``cancel`` may come from any thread or a signal handler.

    ``on_event`` receives every event of ``events.py``, from any thread. ``state_file`` None keeps no state on disk:
    the run cannot be resumed then. ``executor`` makes, from a number of ranges in flight, what runs the range tasks
    instead of threads of this process: any ``concurrent.futures.Executor`` (connection limits then hold per process of
    it, and a stop takes effect between ranges).
    """

    def __init__(
        self,
        config: Config,
        *,
        state_file: Path | None = None,
        on_event: EventSink | None = None,
        shutdown_timeout: float = 60.0,
        executor: Callable[[int], Executor] | None = None,
    ) -> None:
        self.config = config
        self.state_file = state_file
        self._on_event = on_event
        self._shutdown_timeout = shutdown_timeout
        self._executor = executor
        self.planned: RunPlan | None = None
        """The plan of ``run`` or ``resume``, from the moment it is made: its notes tell what does not arrive."""
        self._keeper: StateKeeper | None = None
        self._asked: SourceSession | None = None  # while the run is planned
        self._moving: Moving | None = None
        self._finishing: Finishing | None = None
        self._control: Control | None = None
        self._ends = Ends(config, self._emit)
        self._cancelled = threading.Event()
        self._retries = 0

    # -- commands --------------------------------------------------------------------------------------------------

    def plan(self, *, data_only: bool = False) -> RunPlan:
        """What ``run`` would do; changes nothing. Raises ConfigError, SchemaError, ConnectionFailed."""
        from ..config.tuning import RoundTrips, tune
        from ..target.connect import connect_target, round_trip
        from .plan import make_plan

        with self._source() as source, connect_target(self._ends.target, purpose="plan") as target:
            tuning = tune(self.config, round_trips=RoundTrips(source.round_trip, round_trip(target)))
            return make_plan(self.config, tuning, source, target, only="data" if data_only else None)

    def run(self, *, auto_resume: bool = False, schema_only: bool = False, data_only: bool = False) -> RunResult:
        """Carry out the migration from its beginning; with ``auto_resume`` go on with an unfinished run instead.

        Returns a result even when tables failed (``exit_code`` tells); raises MigrationError for what prevents the
        run as a whole.
        """
        from ..config.hash import config_hash

        only: Part | None = "schema" if schema_only else "data" if data_only else None
        if auto_resume:
            if self.state_file is None:
                raise ConfigError("--auto-resume needs a state file", hint="add --state-file PATH")
            found, why_not = resumable_state(self.state_file, config_hash(self.config), only)
            if found is not None:
                return self._execute(found, resumed=True)
            if why_not is not None:
                self._emit(Message(level="info", text=f"state file {self.state_file} is not resumed: {why_not}"))
        state = RunState(str(uuid.uuid4()), config_hash(self.config), started_at=utc_now(), only=only)
        return self._execute(state, resumed=False)

    def resume(self) -> RunResult:
        """Go on with the run of the state file. Raises StateError when there is none or its configuration differs."""
        from ..config.hash import config_hash

        if self.state_file is None:
            raise ConfigError("resume needs a state file", hint="name the interrupted run's: --state-file PATH")
        state = read_state(self.state_file)
        if state.config_hash != config_hash(self.config):
            raise StateError(
                "Config hash mismatch - cannot resume with different configuration",
                hint="use the original config, or start a new migration (delete the state file)",
            )
        return self._execute(state, resumed=True)

    def validate(self, *, checksum: bool = False) -> ValidationReport:
        """Compare source and target: exact row counts, with ``checksum`` the contents too."""
        from .validate import validate

        return validate(self.config, checksum=checksum, on_event=self._emit, stopped=self._cancelled.is_set)

    def sync(self, *, compare_all: bool = False) -> PassResult:
        """One pass of the sync; with ``compare_all`` every table's contents are compared. Needs positions."""
        return self._sync().once(compare_all=compare_all)

    def sync_watch(self, *, interval: float | None = None, on_pass: Callable[[PassResult], None] | None = None) -> int:
        """Passes every ``interval`` seconds until ``cancel``; how many there were."""
        return self._sync().watch(interval=interval, on_pass=on_pass)

    def sync_status(self) -> SyncStatus:
        """How far the target follows its source."""
        return self._sync().status()

    def sync_prepare(self, *, apply: bool = False, compare: bool = False) -> PrepareReport:
        """What lets more changes be seen; see ``jobs.sync.Sync.prepare``."""
        return self._sync().prepare(apply=apply, compare=compare)

    def repair(self) -> RepairReport:
        """Bring rows that differ over, and touch no other: missing, changed and extra ones."""
        from .repair import repair

        return repair(self.config, on_event=self._emit, wait=self._cancelled.wait)

    def cutover(self, *, rehearse: bool = False, wait_for: WaitFor | None = None) -> CutoverReport:
        """Passes until nothing is left, constraints, sequences, comparison: may the target take over?"""
        from .cutover import Cutover

        return Cutover(self.config, on_event=self._emit, wait=self._cancelled.wait).run(
            rehearse=rehearse, wait_for=wait_for
        )

    def _sync(self) -> Sync:
        from .sync import Sync

        return Sync(self.config, on_event=self._emit, wait=self._cancelled.wait)

    def health_check(self) -> HealthReport:
        """Reach both servers and see whether a run could work; never raises for a server that is down."""
        from .health import health_check

        return health_check(self.config, on_event=self._emit)

    def cancel(self, *, now: bool = False) -> None:
        """Stop: chunks under way may finish (for ``shutdown_timeout`` seconds); with ``now`` they are cut off."""
        self._cancelled.set()
        asked, moving, finishing, control = self._asked, self._moving, self._finishing, self._control
        if asked is not None:
            with suppress(Exception):  # its connection may be closing
                asked.cancel()
        if moving is not None:
            moving.stop(now=now)
        if finishing is not None:
            finishing.cancel()
        if control is not None:
            control.cancel(now=now)

    # -- one run ---------------------------------------------------------------------------------------------------

    def _execute(self, state: RunState, *, resumed: bool) -> RunResult:
        from ..target.ledger import Ledger
        from ..transfer.control import Control
        from .resume import rejoin_run

        started = time.monotonic()
        keeper = self._keeper = StateKeeper(self.state_file, state)
        keeper.on_failure = self.cancel
        if resumed and state.finished:
            return self._already_complete(state)
        if state.only != "schema":
            self._require_rows()
        if not resumed:
            self._announce(keeper)
        self._emit(PhaseStarted(phase="connect"))
        threading.Thread(target=_import_plan, name="import", daemon=True).start()
        with (
            Opening(self._ends.source.connect) as source,
            Control(
                self._ends.target,
                retries=self.config.migration.retries,
                wait=self._cancelled.wait,
                on_event=self._emit,
            ) as control,
        ):
            self._control = control
            run_id = state.run_id if resumed else None
            plan = self.planned = self._plan_under_lock(control, source, only=state.only, resumed=run_id)
            plan.refuse_errors()
            for warning in (*plan.tuning.warnings, *plan.warnings):
                self._emit(Message(level="warn", text=warning))
            self._check_cancelled()
            ledger = Ledger(plan.database.schemas[0], state.run_id)
            if resumed:
                plan = rejoin_run(control, ledger, plan, state, self._emit)
            self._begin(keeper, plan, resumed=resumed)
            try:
                result = self._carry_out(control, ledger, plan, state, resumed=resumed)
                result.seconds = time.monotonic() - started
                self._finish(control, ledger, keeper, result)
            except BaseException as error:
                if keeper.state.status == "running":
                    keeper.state.status = "cancelled" if isinstance(error, Cancelled) else "failed"
                    self._write_quietly(keeper)
                raise
        self._emit(
            RunFinished(
                run_id=state.run_id,
                status="completed" if result.status == "invalid" else result.status,
                seconds=result.seconds,
                rows=result.rows,
                skipped=result.skipped,
            )
        )
        return result

    def _begin(self, keeper: StateKeeper, plan: RunPlan, *, resumed: bool) -> None:
        """From here on there is a run: in its state file, and for those who watch it."""
        state = keeper.state
        state.status = "running"
        estimates = {item.display: item.table.source.row_estimate for item in plan.tables}
        for name, rows in estimates.items():
            state.tables.setdefault(name, TableState(total_rows=rows))
        keeper.write()
        self._emit(RunStarted(run_id=state.run_id, mode=plan.mode, resumed=resumed, tables=estimates))

    def _plan_under_lock(
        self, control: Control, opening: Opening[SourceSession], *, only: Part | None, resumed: str | None
    ) -> RunPlan:
        """The plan; the target stays locked against other runs from the moment it was looked at."""
        from ..config.tuning import RoundTrips, tune
        from .plan import make_plan

        lock = partial(control.lock, patient=resumed is not None)
        to_target = control.round_trip()
        with closing(opening.take()) as source:
            self._emit(PhaseStarted(phase="extract"))
            tuning = tune(self.config, round_trips=RoundTrips(source.round_trip, to_target))
            self._asked = source
            try:
                with control.stoppable("at once"):
                    return control.call(
                        "reading the target's schema",
                        lambda target: make_plan(
                            self.config, tuning, source, target, only=only, lock=lock, resumed=resumed
                        ),
                    )
            except MigrationError:
                self._check_cancelled()
                raise
            finally:
                self._asked = None

    def _carry_out(
        self, control: Control, ledger: Ledger, plan: RunPlan, state: RunState, *, resumed: bool
    ) -> RunResult:
        """From the lock to the last constraint; the ledger and the state file follow each step."""
        from .resume import begin_run

        schema_only = state.only == "schema"
        if not resumed:
            plan = begin_run(control, ledger, plan, state, self._emit)
        # No rows will come: tables that stay keep theirs.
        kept = replace(plan, tables=tuple(item for item in plan.tables if item.built), suspended=())
        prepared = kept if schema_only else plan
        control.belongs_to(ledger)
        with ExitStack() as stack:
            if not schema_only:
                moving = self._moving = self._move(plan)
                stack.callback(moving.close)
                moving.open_ahead(plan)
                self._record_positions(control, plan, resumed=resumed)
            return self._prepare_and_carry(control, ledger, plan, prepared, state, resumed=resumed)

    def _prepare_and_carry(
        self, control: Control, ledger: Ledger, plan: RunPlan, prepared: RunPlan, state: RunState, *, resumed: bool
    ) -> RunResult:
        from ..transfer.preparation import Preparation

        schema_only, data_only = state.only == "schema", state.only == "data"
        preparation = Preparation(ledger, prepared, self._emit, self._cancelled.is_set)
        if not data_only:
            control.call("creating schemas and sequences", preparation.create_surroundings)
        with self._ended_by_stop(control, "at once"):
            unprepared = control.call("preparing the tables", preparation.prepare_tables)
        self._check_cancelled()
        failed = left_out(plan, unprepared, self._emit)
        ready = replace(plan, tables=tuple(item for item in plan.tables if item.table_id not in unprepared))
        result = new_result(plan, state.run_id, resumed=resumed)
        if schema_only:
            result.tables = [TableResult(item.display, "completed") for item in ready.tables]
        else:
            self._run_hooks(control, "before_data")
            assert self._moving is not None
            if self._cancelled.is_set():
                self._moving.stop(now=False)
            result.tables = self._moving.carry(control, ledger, ready)
            result.problems += missing_rows(self._ends.source, ready, result)
            if not self._cancelled.is_set():
                self._run_hooks(control, "after_data")
        if not self._cancelled.is_set():
            self._finalize(control, ledger, plan, result, data_only=data_only)
        result.tables += failed
        self._judge(result)
        if result.status == "completed":
            self._run_hooks(control, "after_all")
        return result

    def _move(self, plan: RunPlan) -> Moving:
        from .moving import Moving

        return Moving(
            plan,
            self.config.migration,
            self._ends,
            on_event=self._emit,
            executor=self._executor,
            shutdown_timeout=self._shutdown_timeout,
        )

    def _record_positions(self, control: Control, plan: RunPlan, *, resumed: bool) -> None:
        """Where the changes begin that a later ``sync`` brings: before the first row is read."""
        if self.config.sync is not None:
            from .sync import record_positions

            record_positions(self.config, control, plan.database, self._emit, resumed=resumed)

    def _finalize(self, control: Control, ledger: Ledger, plan: RunPlan, result: RunResult, *, data_only: bool) -> None:
        """What hangs on the tables that arrived; a stop ends it."""
        from .finishing import Finishing

        finishing = self._finishing = Finishing(
            plan,
            self._ends.target,
            result,
            data_only=data_only,
            on_event=self._emit,
            stopped=self._cancelled.is_set,
            before_constraints=partial(self._run_hooks, control, "before_constraints"),
        )
        try:
            finishing.create()
        finally:
            self._finishing = None
        with self._ended_by_stop(control, "at once"):
            finishing.put_back(control, ledger)

    def _judge(self, result: RunResult) -> None:
        unwritten = self._keeper.failure if self._keeper is not None else None
        result.retries = self._retries
        judge(result, unwritten=unwritten, stopped=self._cancelled.is_set())

    def _finish(self, control: Control, ledger: Ledger, keeper: StateKeeper, result: RunResult) -> None:
        """Write the final state, then drop the ledger of a complete run (in this order: see ``resume``)."""
        result.peak_memory_bytes = peak_memory()
        if result.status == "invalid":
            keeper.state.problems = list(result.problems)
        if keeper.failure is not None:
            return
        if result.status in ("completed", "invalid"):
            keeper.close("completed")
            control.call("removing the ledger", ledger.drop)
        else:
            keeper.close("cancelled" if result.status == "cancelled" else "failed")

    # -- resume ----------------------------------------------------------------------------------------------------

    def _already_complete(self, state: RunState) -> RunResult:
        """``resume`` of a complete run: nothing to do, but a ledger it may have left is cleared away.

        What that run could not create is still missing: the result says so again.
        """
        from ..target.connect import connect_target
        from ..target.ledger import drop_left_over

        self._emit(Message(level="info", text=f"run {state.run_id} is complete: nothing to resume"))
        with connect_target(self._ends.target, purpose="control") as control:
            drop_left_over(control, state.run_id)
        result = result_of_state(state, self.config.migration.target_mode)
        self._judge(result)
        return result

    # -- small things ----------------------------------------------------------------------------------------------

    def _source(self) -> AbstractContextManager[SourceSession]:
        return closing(self._ends.source.connect())

    def _require_rows(self) -> None:
        source = self._ends.source
        if not source.holds_rows:
            raise ConfigError(f"{source.label} is a schema without rows", hint="add --schema-only")

    def _run_hooks(self, control: Control, moment: str) -> None:
        from .hooks import run_hooks

        statements = getattr(self.config.migration.hooks, moment)
        if statements:
            with self._ended_by_stop(control, "later"):
                run_hooks(control.live(), moment, statements, self._emit)

    @contextmanager
    def _ended_by_stop(self, control: Control, when: Literal["later", "at once"]) -> Iterator[None]:
        """A stop may end the block's statement, see ``Control.stoppable``: that is no failure."""
        try:
            with control.stoppable(when):
                yield
        except MigrationError as error:
            if not self._cancelled.is_set() or isinstance(error, Cancelled):
                raise
            raise Cancelled(f"stopped; meanwhile: {error.message}", hint="resume goes on from here") from error

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled("stopped before any row was moved")

    def _announce(self, keeper: StateKeeper) -> None:
        """Write the state file first, so that ``resume`` may follow a run that could not even connect.

        Not over the file of an unfinished run: until this one holds the lock, that one may still be resumed.
        """
        if self.state_file is not None:
            before = existing_state(self.state_file)
            if before is not None and not before.finished:
                return
        keeper.write()

    def _write_quietly(self, keeper: StateKeeper) -> None:
        """Save the state of a run that failed; the failure itself is what the user must see."""
        try:
            keeper.write()
        except MigrationError as error:
            self._emit(Message(level="error", text=str(error)))

    def _emit(self, event: AnyEvent) -> None:
        if isinstance(event, Retry):
            self._retries += 1
        if self._keeper is not None:
            self._keeper.on_event(event)
        if self._on_event is not None:
            self._on_event(event)
