"""The view of a sync: every table with its method, lag and rows, while passes go on in a thread."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static

from ..errors import Cancelled, MigrationError
from ..report.format import count, duration

if TYPE_CHECKING:
    from ..config.models import Config
    from ..jobs.run import Migration
    from ..jobs.sync import SyncStatus
    from ..sync.passes import PassResult

_TICK = 0.25
_COLUMNS = ("Table", "Method", "Lag", "Rows", "State")


class Follower:
    """``sync --watch`` in a thread of its own. Knows nothing of the screen."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._migration: Migration | None = None
        self._thread: threading.Thread | None = None
        self.status: SyncStatus | None = None
        self.last: PassResult | None = None
        self.error: MigrationError | None = None
        self.passes = 0
        self.changes: dict[str, int] = {}
        """Rows brought over since the start, by display name."""
        self.compared: dict[str, float] = {}
        """When a table was last compared, by this process's clock."""

    @property
    def running(self) -> bool:
        """Whether passes go on."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def lag(self) -> float | None:
        """Seconds between the moment that the target stands for and now."""
        latest = self.last or (self.status.last_pass if self.status is not None else None)
        return None if latest is None else max(0.0, time.time() - latest.moment.timestamp())

    def start(self) -> None:
        """Begin; returns at once."""
        from ..jobs.run import Migration

        self._migration = Migration(self._config)
        self._thread = threading.Thread(target=self._run, args=(self._migration,), name="following", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the pass under way, or in the middle of it: nothing of it is applied then."""
        if self._migration is not None:
            self._migration.cancel()

    def wait(self, seconds: float) -> bool:
        """Wait for the end; whether it came."""
        if self._thread is not None:
            self._thread.join(seconds)
        return not self.running

    def _run(self, migration: Migration) -> None:
        try:
            self.status = migration.sync_status()
            migration.sync_watch(on_pass=self._passed)
        except Cancelled:
            return
        except MigrationError as error:
            self.error = error

    def _passed(self, result: PassResult) -> None:
        self.passes += 1
        self.last = result
        for name, applied in result.tables.items():
            self.changes[name] = self.changes.get(name, 0) + applied.total
        for name in result.compared:
            self.compared[name] = time.time()


class FollowScreen(Screen[None]):
    """Shows a `Follower`, which begins with the screen and ends with it."""

    DEFAULT_CSS = """
    FollowScreen #follow-title { height: 1; padding: 0 1; background: $primary-darken-2; text-style: bold; }
    FollowScreen #follow-line { height: 2; padding: 0 1; }
    FollowScreen DataTable { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "leave", "Stop following")]

    def __init__(self, follower: Follower, title: str) -> None:
        super().__init__()
        self._follower = follower
        self._title = title
        self._line = Static(id="follow-line")
        self._table: DataTable[Text] = DataTable(cursor_type="row", id="followed")

    def compose(self) -> ComposeResult:
        yield Static(self._title, id="follow-title", markup=False)
        yield self._line
        yield self._table
        yield Footer()

    def on_mount(self) -> None:
        for name in _COLUMNS:
            self._table.add_column(name, key=name)
        self._follower.start()
        self.set_interval(_TICK, self._tick)
        self._tick()

    def action_leave(self) -> None:
        self._follower.stop()
        self.dismiss()

    def _tick(self) -> None:
        follower = self._follower
        self._line.update(Text(headline(follower), style="red" if follower.error else ""))
        if follower.status is None:
            return
        for item in follower.status.tables:
            cells = table_cells(follower, item.table)
            if item.table not in self._table.rows:
                self._table.add_row(*cells, key=item.table)
            else:
                for column, cell in zip(_COLUMNS, cells, strict=True):
                    self._table.update_cell(item.table, column, cell)


def headline(follower: Follower) -> str:
    """What there is to say of all tables together."""
    if follower.error is not None:
        return f"stopped: {follower.error}"
    if follower.last is None:
        return "connecting ..." if follower.status is None else "the first pass is under way ..."
    last = follower.last
    lag = follower.lag or 0.0
    return (
        f"pass {last.number}, {count(last.changes)} rows in {duration(last.seconds)};"
        f" the target is {duration(lag)} behind; {follower.passes} passes since the start"
    )


def table_cells(follower: Follower, name: str) -> tuple[Text, ...]:
    """One row of the table."""
    assert follower.status is not None
    item = next(table for table in follower.status.tables if table.table == name)
    lag = follower.lag
    state = Text("follows", style="green")
    if item.error:
        state = Text(item.error, style="red")
    elif item.stale and name not in follower.compared:
        state = Text(f"will be compared: {item.stale}", style="yellow")
    elif name in follower.compared:
        state = Text(f"compared {duration(time.time() - follower.compared[name])} ago", style="green")
    rows = item.applied + follower.changes.get(name, 0)
    return Text(name), Text(item.method), Text("" if lag is None else duration(lag)), Text(count(rows)), state
