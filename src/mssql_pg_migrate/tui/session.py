"""One migration at a time in a thread of its own: plan, start, pause, resume, cancel. Knows nothing of the screen."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..errors import Cancelled, MigrationError, StateError
from ..events import AnyEvent
from ..report.recorder import ReportRecorder
from .log import LogLine, describe

if TYPE_CHECKING:
    from ..config.models import Config
    from ..results import RunResult
    from ..transfer.plan import RunPlan

SessionState: TypeAlias = Literal[
    "planning",
    "ready",
    "running",
    "pausing",
    "cancelling",
    "paused",
    "cancelled",
    "completed",
    "invalid",
    "failed",
    "refused",
]
"""``refused``: the plan could not be made or names errors; ``invalid``: all rows are there, but there are problems."""

BUSY: frozenset[SessionState] = frozenset({"planning", "running", "pausing", "cancelling"})
MAX_LINES = 2000
"""Log lines kept while the screen does not take them."""


class Session:
    """``make`` builds a migration from (config, state_file=, on_event=, shutdown_timeout=), by default ``Migration``.

    Every method returns at once; ``state``, ``plan_made``, ``result`` and ``error`` tell what became of it.
    """

    def __init__(
        self,
        config: Config,
        state_file: Path,
        *,
        shutdown_timeout: float = 60.0,
        make: Callable[..., Any] | None = None,
    ) -> None:
        self.config = config
        self.state_file = state_file
        self.recorder = ReportRecorder()
        self.state: SessionState = "ready"
        self.plan_made: RunPlan | None = None
        self.result: RunResult | None = None
        self.error: MigrationError | None = None
        self.started: float | None = None
        """``time.time()`` of the last start or resume."""
        self.ended: float | None = None
        self._shutdown_timeout = shutdown_timeout
        self._make = make
        self._lines: deque[LogLine] = deque(maxlen=MAX_LINES)
        self._migration: Any = None
        self._thread: threading.Thread | None = None

    # -- questions ---------------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a thread is at work."""
        return self.state in BUSY

    @property
    def seconds(self) -> float:
        """How long the run under way, or the last one, took."""
        if self.started is None:
            return 0.0
        return (self.ended or time.time()) - self.started

    @property
    def exit_code(self) -> int:
        """The guide's exit code of what happened last."""
        if self.result is not None:
            return self.result.exit_code
        return self.error.exit_code if self.error is not None else 0

    def resumable(self) -> str | None:
        """The run id of an unfinished run of this configuration in the state file, else None."""
        from ..config.hash import config_hash
        from ..state import read_state

        if not self.state_file.exists():
            return None
        try:
            state = read_state(self.state_file)
        except StateError:
            return None
        return state.run_id if not state.finished and state.config_hash == config_hash(self.config) else None

    def take_lines(self) -> list[LogLine]:
        """Log lines since the last call."""
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        return lines

    # -- commands ----------------------------------------------------------------------------------------------------

    def plan(self) -> None:
        """Read both servers and decide what a run would do."""
        if not self.busy:
            self._begin("planning", self._plan)

    def start(self) -> None:
        """Run from the beginning."""
        if not self.busy:
            self._begin("running", lambda: self._run(lambda migration: migration.run()))

    def resume(self) -> None:
        """Go on with the run of the state file."""
        if not self.busy:
            self._begin("running", lambda: self._run(lambda migration: migration.resume()))

    def pause(self) -> None:
        """Stop when the chunks under way are committed."""
        self._stop("pausing", now=False)

    def cancel(self) -> None:
        """Stop at once: chunks under way are undone by the servers. What is committed stays."""
        self._stop("cancelling", now=True)

    def wait(self, timeout: float | None = None) -> bool:
        """Until nothing is at work; False when the timeout (seconds) passed before."""
        thread = self._thread
        if thread is None:
            return True
        thread.join(timeout)
        return not thread.is_alive()

    # -- the thread --------------------------------------------------------------------------------------------------

    def _begin(self, state: SessionState, work: Callable[[], None]) -> None:
        self.state = state
        self.result = None
        self.error = None
        if state == "running":
            self.recorder.reset()
            self.started, self.ended = time.time(), None
        self._migration = self._new_migration()
        # A plan changes nothing and may wait long for a server: it must not keep the program from ending.
        self._thread = threading.Thread(target=work, name="migration", daemon=state == "planning")
        self._thread.start()

    def _new_migration(self) -> Any:
        from ..jobs.run import Migration

        make = self._make or Migration
        return make(
            self.config,
            state_file=self.state_file,
            on_event=self._on_event,
            shutdown_timeout=self._shutdown_timeout,
        )

    def _plan(self) -> None:
        try:
            self.plan_made = self._migration.plan()
        except MigrationError as error:
            self._fail(error, "refused")
        except Exception as error:
            self._fail(_unexpected(error), "refused")
        else:
            self.state = "refused" if self.plan_made.errors else "ready"

    def _run(self, work: Callable[[Any], RunResult]) -> None:
        try:
            result = work(self._migration)
        except Cancelled as error:
            self.error = error
            self._end(self._stopped_state())
        except MigrationError as error:
            self._fail(error, "failed")
        except Exception as error:
            self._fail(_unexpected(error), "failed")
        else:
            self.result = result
            for problem in result.problems:
                self._lines.append(LogLine("error", problem))
            self._end(self._stopped_state() if result.status == "cancelled" else result.status)

    def _stopped_state(self) -> SessionState:
        return "cancelled" if self.state == "cancelling" else "paused"

    def _fail(self, error: MigrationError, state: SessionState) -> None:
        self.error = error
        self._lines.append(LogLine("error", str(error)))
        self._end(state)

    def _end(self, state: SessionState) -> None:
        self.ended = time.time()
        self.state = state

    def _stop(self, state: SessionState, *, now: bool) -> None:
        if self.state in ("running", "pausing", "cancelling"):
            if self.state != "cancelling":
                self.state = state
            # Cutting connections can take a moment; the screen must not wait for it.
            threading.Thread(target=self._migration.cancel, kwargs={"now": now}, daemon=True).start()

    def _on_event(self, event: AnyEvent) -> None:
        self.recorder(event)
        line = describe(event)
        if line is not None:
            self._lines.append(line)


def _unexpected(error: Exception) -> MigrationError:
    failure = MigrationError(f"unexpected {type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
