"""The terminal UI: tables with bars, throughput, log; start, pause, resume, cancel. Fits 80x24."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import DataTable, Footer, RichLog, Sparkline, Static
from textual.widgets.data_table import RowKey

from ..errors import MigrationError
from ..mapping.folding import fold
from ..report.format import count, duration, plural, short_count, size
from ..report.history import RunHistory, TableHistory
from .dialogs import Question, Reading
from .log import LogLine
from .session import Session
from .view import Overall, Rates, bar, curve, overall, overall_line, percent, status_line, table_order, table_state

TICK = 0.25
"""Seconds between two looks at the run."""
_STYLES = {"info": "", "good": "green", "warn": "yellow", "error": "red"}
_FIXED = {"state": 12, "rows": 8, "rate": 8}
"""Widths of the columns; name and progress share the rest."""
_KEYS = ("name", "state", "progress", "rows", "rate")
_BAR = (12, 50)
"""Least and greatest width of a table's bar."""
_ALL = "\0run"
"""The run's own entry among the rates of the tables."""

_HELP = (
    ("s", "start from the beginning"),
    ("p", "pause: chunks under way are committed first"),
    ("r", "resume a paused, cancelled or failed run"),
    ("c", "cancel: chunks under way are undone; resume goes on later"),
    ("w", "write the HTML report of this run"),
    ("f", "follow the source: sync --watch, until Escape"),
    ("Enter", "the selected table in detail"),
    ("Up, Down, PgUp, PgDn", "select a table"),
    ("Tab", "go from the tables to the log and back"),
    ("q", "quit; a run under way is paused first"),
)


class MigrationApp(App[int]):
    """Shows one `Session`; returns the exit code of what happened last."""

    TITLE = "mssql-pg-migrate"
    CSS = """
    #title { height: 1; padding: 0 1; background: $primary-darken-2; color: $text; text-style: bold; }
    #status, #overall { height: 1; padding: 0 1; }
    #speed { height: 3; padding: 0 1; }
    #now { width: 18; }
    Sparkline { width: 1fr; height: 3; }
    Sparkline > .sparkline--max-color { color: $primary-lighten-1; }
    Sparkline > .sparkline--min-color { color: $primary-darken-1; }
    DataTable { height: 2fr; min-height: 5; background: $background; scrollbar-size-vertical: 1; margin-top: 1; }
    DataTable > .datatable--header { background: $background; color: $text-muted; text-style: none; }
    DataTable > .datatable--cursor { background: $foreground 8%; }
    DataTable:focus > .datatable--cursor { background: $foreground 16%; }
    RichLog {
        height: 1fr; min-height: 5; border-top: solid $foreground 25%; padding: 0 1; background: $background;
        scrollbar-size-vertical: 1;
    }
    DataTable, RichLog {
        scrollbar-background: $background; scrollbar-background-hover: $background;
        scrollbar-background-active: $background; scrollbar-color: $foreground 25%;
    }
    DataTable:focus { background-tint: transparent; }
    RichLog:focus { border-top: solid $primary; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "start", "Start"),
        Binding("p", "pause", "Pause"),
        Binding("r", "resume", "Resume"),
        Binding("c", "cancel", "Cancel"),
        Binding("w", "report", "Report"),
        Binding("f", "follow", "Follow", show=False),  # 80 columns hold no more; ? tells
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c,ctrl+q", "quit", "Quit", show=False, priority=True),
    ]

    def __init__(self, session: Session, *, report_path: Path) -> None:
        super().__init__()
        self._session = session
        self._report_path = report_path
        self._rates = Rates()
        self._rows: dict[str, RowKey] = {}
        self._shown: dict[str, tuple[str, ...]] = {}
        self._order: dict[str, int] = {}
        self._state = ""
        self._peak = 0.0
        self._bar_width = _BAR[0]
        self._unwritten: list[LogLine] = []
        self._quitting = False
        self._resumable: str | None = None

        self._table: DataTable[Text] = DataTable(
            cursor_type="row", cursor_foreground_priority="renderable", id="tables"
        )
        self._log_pane = RichLog(wrap=True, max_lines=5000, min_width=20, id="log")
        self._status = Static(id="status")
        self._overall = Static(id="overall")
        self._now = Static(id="now")
        self._curve = Sparkline([], id="curve")

    # -- layout ------------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield Static(self._route(), id="title")
        yield self._status
        yield self._overall
        with Horizontal(id="speed"):
            yield self._now
            yield self._curve
        with Vertical():
            yield self._table
            yield self._log_pane
        yield Footer()

    def on_mount(self) -> None:
        table = self._table
        for key, title in zip(_KEYS, ("Table", "State", "Progress", "Rows", "Rows/s"), strict=True):
            table.add_column(Text(title, justify="right" if key in ("rows", "rate") else "left"), key=key)
        self._fit_columns()
        table.focus()
        self._heed_signals()
        self.set_interval(TICK, self._tick)
        self._resumable = self._session.resumable()
        if self._resumable is not None:
            self._write_line(LogLine("warn", f"run {self._resumable} is not finished: r resumes it, s begins anew"))
        self._session.plan()
        self._tick()

    def _heed_signals(self) -> None:
        """SIGTERM, or a terminal that goes away, pauses the run and then quits."""
        if threading.current_thread() is not threading.main_thread():
            return
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None:
                with suppress(NotImplementedError):  # Windows' event loops know no signals
                    asyncio.get_running_loop().add_signal_handler(number, self._quit_confirmed, True)

    def on_resize(self) -> None:
        if self._table.columns:
            self._fit_columns()
            self._tick()

    def _route(self) -> Text:
        source, target = self._session.config.source, self._session.config.target
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(source.label)
        text.append(" → ", style="dim")
        text.append(f"{target.host}:{target.port}/{target.database}")
        return text

    def _fit_columns(self) -> None:
        """The name gets what it needs, the bar what is left, the name the rest again."""
        room = self.size.width - sum(_FIXED.values()) - 2 * len(_KEYS) - 2  # each column is padded; the scrollbar
        longest = max((len(name) for name in self._rows), default=20)
        least, greatest = _BAR[0] + 6, _BAR[1] + 6
        progress = min(max(room - max(longest, 14), least), greatest)
        self._bar_width = progress - 6
        widths = {**_FIXED, "progress": progress, "name": max(room - progress, 10)}
        for key, column in self._table.columns.items():
            column.width = widths[str(key.value)]
            column.auto_width = False
        self._shown.clear()  # the bars have another width now
        self._table.refresh(layout=True)

    # -- every tick --------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if not self._table.is_attached:  # the screen is being taken down
            return
        session = self._session
        self._unwritten += session.take_lines()
        self._write_lines()
        history = self._history()
        now = time.monotonic()
        rate = self._rates.add(_ALL, now, history.moved)
        totals = overall(history, rate if session.busy else 0.0)
        self._peak = max(self._peak, rate)
        mode = session.config.migration.target_mode
        self._status.update(status_line(session.state, history, session.seconds, totals, mode))
        self._overall.update(overall_line(totals, max(self.size.width - 2, 20), session.state))
        self._show_speed(history, totals)
        self._show_tables(history, now)
        if session.state != self._state:
            self._state = session.state
            self._changed_state()

    def _history(self) -> RunHistory:
        """The run's; before the first one, the plan's tables."""
        history = self._session.recorder.history()
        plan = self._session.plan_made
        if history.tables or plan is None:
            return history
        from dataclasses import replace

        tables = tuple(TableHistory(item.display, item.table.source.row_estimate) for item in plan.tables)
        return replace(history, tables=tables)

    def _show_speed(self, history: RunHistory, totals: Overall) -> None:
        text = Text(f"{short_count(totals.rate)} rows/s\n", style="bold", no_wrap=True)
        text.append(f"peak {short_count(self._peak)}\n", style="dim")
        text.append(f"{size(history.bytes)} moved", style="dim")
        self._now.update(text)
        self._curve.data = curve(history.throughput, max(self._curve.size.width, 20))

    def _show_tables(self, history: RunHistory, now: float) -> None:
        table = self._table
        names = {item.table for item in history.tables}
        if set(self._rows) - names:
            table.clear()
            self._rows.clear()
            self._shown.clear()
            self._order.clear()
        moved = added = False
        for item in history.tables:
            rate = self._rates.add(item.table, now, item.moved)
            cells = self._cells(item, rate)
            texts = tuple(cell.markup for cell in cells)
            if item.table not in self._rows:
                self._rows[item.table] = table.add_row(*cells, key=item.table)
                added = True
            elif self._shown.get(item.table) != texts:
                for key, cell in zip(_KEYS, cells, strict=True):
                    table.update_cell(item.table, key, cell)
            self._shown[item.table] = texts
            if self._order.get(item.table) != table_order(item):
                self._order[item.table] = table_order(item)
                moved = True
        if added:
            self._fit_columns()
        if moved:
            place = {item.table: number for number, item in enumerate(history.tables)}
            by_text = {name: (self._order[name], place[name]) for name in place}
            table.sort("name", key=lambda cell: by_text.get(cell.plain, (9, 0)))

    def _cells(self, item: TableHistory, rate: float) -> tuple[Text, ...]:
        words, style = table_state(item, self._session.state)
        progress = bar(item.share(), self._bar_width, "green" if item.status == "completed" else "cyan")
        progress.append(f" {percent(item.share())}")
        rows = item.rows if item.status != "pending" else item.estimated_rows
        if item.status == "completed" and item.started is not None and item.finished is not None:
            rate = item.moved / max(item.finished - item.started, 0.001)
        shown_rate = short_count(rate) if rate >= 1 and item.status in ("running", "completed") else ""
        pending = "dim" if item.status in ("pending", "completed") else ""
        return (
            Text(item.table, no_wrap=True, overflow="ellipsis"),
            Text(words, style=style, no_wrap=True),
            progress,
            Text(short_count(rows), style="dim" if item.status == "pending" else "", justify="right"),
            Text(shown_rate, style=pending, justify="right"),
        )

    def _write_line(self, line: LogLine) -> None:
        self._unwritten.append(line)
        self._write_lines()

    def _write_lines(self) -> None:
        width = self._log_pane.scrollable_content_region.width
        if width < 20:  # not laid out yet: the next tick writes them
            return
        lines, self._unwritten = self._unwritten, []
        for line in lines:
            text = Text(time.strftime("%H:%M:%S ", time.localtime(line.at)), style="dim")
            text.append(line.text, style=_STYLES[line.level])
            self._log_pane.write(text, width=width)

    def _changed_state(self) -> None:
        session = self._session
        self._resumable = None if session.busy else session.resumable()
        self.refresh_bindings()
        if session.state in ("ready", "refused"):
            self._log_plan()
        elif session.state == "paused":
            self._write_line(LogLine("warn", f"paused; the state is in {session.state_file}, r goes on"))
        elif session.state == "cancelled":
            text = f"cancelled; what is committed stays, the state is in {session.state_file}"
            self._write_line(LogLine("warn", text))
        elif session.state in ("completed", "invalid") and session.result is not None:
            result = session.result
            text = f"{count(result.rows)} rows of {plural(len(result.tables), 'table')} in {duration(result.seconds)}"
            self._write_line(LogLine("good", f"{text}; w writes the report"))
        if self._quitting and not session.busy:
            self.exit(session.exit_code)

    def _log_plan(self) -> None:
        plan = self._session.plan_made
        if plan is None:
            return
        for line in fold(plan.notes):
            if line.severity != "info":
                self._write_line(LogLine("error" if line.severity == "error" else "warn", line.text()))
        tables = plural(len(plan.tables), "table")
        estimated = sum(item.table.source.row_estimate for item in plan.tables)
        if self._session.state == "ready":
            self._write_line(LogLine("info", f"{tables}, about {short_count(estimated)} rows; s starts"))

    # -- keys --------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Which keys do something now; the footer dims the others."""
        del parameters
        session = self._session
        if action == "start":
            return None if session.busy else True
        if action == "pause":
            return True if session.state == "running" else None
        if action == "cancel":
            return True if session.state in ("running", "pausing") else None
        if action == "resume":
            return True if self._resumable is not None and not session.busy else None
        if action == "report":
            return True if session.started is not None and not session.busy else None
        return True

    async def action_start(self) -> None:
        session = self._session
        if session.busy:
            return
        if session.plan_made is None or session.state == "refused":
            self._write_line(LogLine("info", "reading both servers again"))
            session.plan()
            return
        mode = session.config.migration.target_mode
        tables = plural(len(session.plan_made.tables), "table")
        exist = sum(item.action in ("recreate", "truncate", "merge") for item in session.plan_made.tables)
        there = f"{count(exist)} of them exist in the target." if exist else "None of them exists in the target."
        consequence = {
            "drop_recreate": "Existing ones are dropped and made anew." if exist else "",
            "truncate": "Existing ones are emptied first." if exist else "",
            "upsert": "Existing rows stay; new and changed ones are written.",
        }[mode]
        if self._resumable is not None:
            consequence += "\nThe unfinished run is given up; r would resume it."
        text = f"Start {mode} of {tables}?\n{there} {consequence}".strip()
        danger = mode != "upsert" and (bool(exist) or self._resumable is not None)
        self.push_screen(Question(text, "Start", danger=danger), self._start_confirmed)

    def _start_confirmed(self, answer: bool | None) -> None:
        if answer:
            self._begin()
            self._session.start()

    def action_resume(self) -> None:
        self._begin()
        self._session.resume()

    def _begin(self) -> None:
        self._rates.clear()
        self._peak = 0.0

    def action_pause(self) -> None:
        self._session.pause()

    def action_cancel(self) -> None:
        text = "Cancel the run?\nChunks under way are undone; what is committed stays and r resumes."
        self.push_screen(Question(text, "Cancel the run", danger=True), self._cancel_confirmed)

    def _cancel_confirmed(self, answer: bool | None) -> None:
        if answer:
            self._session.cancel()

    def action_follow(self) -> None:
        """Show the sync, whose passes begin with the screen."""
        if self._session.busy:
            self._write_line(LogLine("warn", "a run is under way: it must end before its target can follow"))
            return
        from .following import Follower, FollowScreen

        self.push_screen(FollowScreen(Follower(self._session.config), self._route().plain))

    def action_report(self) -> None:
        from ..report import write_report

        session = self._session
        plan = session.plan_made
        try:
            write_report(
                self._report_path,
                session.recorder,
                session.result,
                notes=plan.notes if plan is not None else (),
                source=plan.source if plan is not None else None,
                target=plan.target if plan is not None else None,
                error=session.error,
            )
        except MigrationError as error:
            self._write_line(LogLine("error", str(error)))
        else:
            self._write_line(LogLine("good", f"report written to {self._report_path}"))

    def action_help(self) -> None:
        body = Text()
        for key, words in _HELP:
            body.append(f"{key:>20}  ", style="bold")
            body.append(f"{words}\n")
        self.push_screen(Reading("Keys", body))

    async def action_quit(self) -> None:
        session = self._session
        if not session.busy or session.state == "planning":
            self.exit(session.exit_code)
        elif self._quitting or session.state in ("pausing", "cancelling"):
            self._quitting = True
        else:
            text = "A run is under way.\nPause it and quit? It can be resumed."
            self.push_screen(Question(text, "Pause and quit"), self._quit_confirmed)

    def _quit_confirmed(self, answer: bool | None) -> None:
        if not answer:
            return
        self._quitting = True
        if self._session.state == "running":
            self._session.pause()
        elif not self._session.busy or self._session.state == "planning":
            self.exit(self._session.exit_code)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        name = event.row_key.value
        for item in self._history().tables:
            if item.table == name:
                self.push_screen(Reading(item.table, _details(item)))


def _details(item: TableHistory) -> Text:
    lines = [
        ("status", item.status),
        ("rows in the target", count(item.rows)),
        ("estimated", count(item.estimated_rows)),
        ("moved by this run", count(item.moved)),
    ]
    if item.skipped:
        lines.append(("unchanged", count(item.skipped)))
    if item.bytes:
        lines.append(("data", size(item.bytes)))
    if item.started is not None:
        lines.append(("time", duration((item.finished or time.time()) - item.started)))
    if item.reader is not None:
        lines += [("reader", item.reader), ("ranges", count(item.ranges))]
    if item.retries or item.resets:
        lines += [("retries", count(item.retries)), ("began again", count(item.resets))]
    built = [mark.detail for mark in item.marks if mark.detail]
    if built:
        lines.append(("built", ", ".join(built)))
    body = Text("\n".join(f"{name:>20}  {value}" for name, value in lines))
    if item.error is not None:
        body.append(f"\n\n{item.error}", style="red")
    return body
