"""``sync``: the target follows a source that goes on changing; passes, status, preparation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from ..config.sync import SyncConfig
from ..errors import Cancelled, ConfigError, DataError, MigrationError
from ..events import EventSink, Message, PhaseStarted, SyncPassFinished
from ..mapping.objects import Note
from ..source.changes import ChangeSession
from ..source.reader import ReadLimits
from ..sync.choose import choose
from ..sync.passes import DefinitionChanged, PassOptions, PassResult, SyncPass
from ..sync.plan import Look, SyncPlan, SyncTablePlan, check_definitions, make_sync_plan, new_columns
from ..sync.readers import SyncReaders
from ..sync.schema import definition
from ..target.sync_ledger import PassEntry, SyncEntry, SyncLedger
from ..transfer.control import Control
from ..validation.target_side import TargetSide
from .ends import Ends

if TYPE_CHECKING:
    import psycopg

    from ..config.models import Config
    from ..mapping.objects import MappedDatabase
    from ..source.source import Source, SourceSession


@dataclass(frozen=True, slots=True)
class TableStatus:
    """One table of ``sync status``."""

    table: str
    method: str
    position: str | None
    lag_seconds: float | None
    """From the moment that the target stands for to now, by the source's clock; None before the first pass."""
    pending: int | None
    """Rows that changed at the source since; None where only a comparison could tell."""
    applied: int
    changed_at: datetime | None
    compared_at: datetime | None
    stale: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """How far the target follows its source."""

    last_pass: PassEntry | None
    tables: tuple[TableStatus, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class PrepareReport:
    """What ``sync prepare`` found and did."""

    statements: list[str] = field(default_factory=list)
    """That switch change tracking on."""
    applied: list[str] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    """Tables whose positions were recorded now: their contents are compared with the next pass."""
    notes: list[str] = field(default_factory=list)


class Sync:
    """Following the source of a configuration. ``wait(seconds)`` sleeps and returns True when it is to stop."""

    def __init__(self, config: Config, *, on_event: EventSink, wait: Callable[[float], bool]) -> None:
        self._config = config
        self._settings = config.sync or SyncConfig()
        self._emit = on_event
        self._wait = wait
        self.ends = Ends(config, on_event)
        """Where its sessions come from."""
        self._source: Source = self.ends.source

    # -- commands --------------------------------------------------------------------------------------------------

    def once(self, *, compare_all: bool = False) -> PassResult:
        """One pass. Raises MigrationError; nothing of a pass that failed is in the target."""
        with self.following(compare_now=True) as following:
            return following.one_pass(compare_all=compare_all)

    def watch(self, *, interval: float | None = None, on_pass: Callable[[PassResult], None] | None = None) -> int:
        """Passes until it is to stop; how many there were. Raises what ends a pass for good."""
        every = self._settings.interval if interval is None else interval
        passes = 0
        while not self._wait(0):
            try:
                with self.following(compare_now=False) as following:
                    while True:
                        began = time.monotonic()
                        result = following.one_pass()
                        passes += 1
                        if on_pass is not None:
                            on_pass(result)
                        if self._wait(max(0.0, every - (time.monotonic() - began))):
                            return passes
            except DefinitionChanged as error:
                self._emit(Message(level="warn", text=f"{error.message}; reading its new definition"))
        return passes

    def status(self) -> SyncStatus:
        """What the sync ledger says. Reads the target, and the source's catalog for names and clock."""
        with self.control() as control:
            plan = self._plan(control)
            ledger = SyncLedger(plan.schema, self._source.label)
            entries = control.call("reading the sync ledger", ledger.entries)
            last = control.call("reading the sync ledger", ledger.last_pass)
        lag = (datetime.now(timezone.utc) - last.moment).total_seconds() if last is not None else None
        pending = self._pending(plan, entries)
        tables = tuple(
            _table_status(table, entries.get(table.name), lag, pending.get(table.name)) for table in plan.tables
        )
        return SyncStatus(last, tables, tuple(f"{note.object}: {note.message}" for note in plan.notes))

    def _pending(self, plan: SyncPlan, entries: Mapping[str, SyncEntry]) -> dict[str, int]:
        """How many rows wait at the source, of the tables whose method can tell and whose position is good."""
        found = {}
        with closing(self.readers().open(one_moment=False)) as session:
            moment = session.begin(plan.followed, {name: entry.position for name, entry in entries.items()})
            for table in plan.tables:
                entry = entries.get(table.name)
                if entry is None or entry.position is None or entry.stale or table.name in moment.expired:
                    continue
                if entry.method != table.followed.method:
                    continue
                waiting = 0 if table.name in moment.unchanged else session.pending(table.followed, entry.position)
                if waiting is not None:
                    found[table.name] = waiting
        return found

    def prepare(self, *, apply: bool = False, compare: bool = False) -> PrepareReport:
        """Say, with ``apply`` carry out, what lets more changes be seen; with ``compare`` follow a target as it is.

        ``compare`` records positions now and has the next pass compare every table: for targets that another tool
        filled, or whose run had no ``sync`` section.
        """
        report = PrepareReport()
        with self.control() as control:
            plan = self._plan(control)
            report.statements = _enabling(plan)
            if apply:
                with closing(self._source.connect()) as session:
                    for statement in report.statements:
                        session.prepare(statement)
                        report.applied.append(statement)
                plan = self._plan(control)
            report.notes = [f"{note.object}: {note.message}" for note in (*_missing_rights(plan), *plan.notes)]
            if compare:
                control.lock(plan.schemas, patient=False)
                with closing(self.readers().open(one_moment=False)) as changes:
                    entries = first_positions(plan, changes, stale="its contents have not been compared yet")
                ledger = SyncLedger(plan.schema, self._source.label)
                control.call("recording positions", lambda target: ledger.follow(target, entries))
                report.recorded = [table.display for table in plan.tables]
        return report

    # -- parts -----------------------------------------------------------------------------------------------------

    @property
    def interval(self) -> float:
        """Seconds between the beginnings of two passes."""
        return self._settings.interval

    def source_read_only(self) -> bool:
        """Whether nothing can be written to the source database any more."""
        with closing(self._source.connect()) as session:
            return session.read_only()

    def database(self, control: Control) -> MappedDatabase:
        """What a run would make of the source as it is now: where its identities and sequences are."""
        with closing(self._source.connect()) as session:
            return control.call("reading the target's schema", lambda target: map_source(self._config, session, target))

    def control(self) -> Control:
        """A control connection, to be entered."""
        return Control(
            self.ends.target,
            retries=self._config.migration.retries,
            wait=self._wait,
            on_event=self._emit,
        )

    def readers(self) -> SyncReaders:
        """What opens sessions at the source."""
        return SyncReaders(self._source, self._limits(), self._emit)

    def _limits(self) -> ReadLimits:
        from ..config.tuning import tune

        tuning = tune(self._config)
        return ReadLimits(tuning.chunk_size, tuning.chunk_bytes, self._config.migration.on_nul)

    def look(self, control: Control) -> Look:
        """Both catalogs as they are now."""
        self._emit(PhaseStarted(phase="extract"))
        with closing(self._source.connect()) as session:
            return control.call("reading the target's schema", lambda target: look_at(self._config, session, target))

    def _plan(self, control: Control) -> SyncPlan:
        return make_sync_plan(self._settings, self.look(control))

    @contextmanager
    def following(self, *, compare_now: bool) -> Iterator[Following]:
        """Connected, locked, planned, and sure that the tables are what the ledger knows."""
        self._emit(PhaseStarted(phase="connect"))
        with self.control() as control:
            look = self.look(control)
            control.lock(look.schemas, patient=True)
            ledger = SyncLedger(look.schemas[0], self._source.label)
            if not control.call("reading the sync ledger", ledger.exists):
                raise ConfigError(
                    "the target follows nothing yet: no position is recorded",
                    hint="run the migration with a sync section in its configuration, or: sync prepare --compare",
                )
            if self._follow_definitions(control, look, ledger):
                look = self.look(control)
            plan = make_sync_plan(self._settings, look)
            target = TargetSide(self.ends.target, 2, control.live().info.server_version)
            with closing(target):
                options = PassOptions(
                    fire_triggers=self._settings.fire_triggers,
                    deletes=self._settings.deletes == "compare",
                    compare_every=self._settings.compare_every,
                    compare_now=compare_now,
                )
                yield Following(control, plan, ledger, target, options, self.readers(), self._emit, self._wait)

    def _follow_definitions(self, control: Control, look: Look, ledger: SyncLedger) -> bool:
        """New columns of the source are added where that is wanted (True); any other change stops the sync."""
        entries = control.call("reading the sync ledger", ledger.entries)
        added = check_definitions(look, entries)
        if not added:
            return False
        named = "; ".join(f"{name}: {', '.join(columns)}" for name, columns in added.items())
        if self._settings.on_schema_change == "stop":
            raise ConfigError(
                f"the source has new columns: {named}; nothing was applied",
                hint="add them to the target, or set sync.on_schema_change: add_columns",
            )

        def add(connection: psycopg.Connection[Any]) -> None:
            with connection.transaction():
                for table in look.tables:
                    name = table.source.full_name
                    if name in added:
                        new_columns(connection, table, look.existing[table.schema, table.name], added[name])
                        ledger.redefine(connection, name, definition(table), "it has new columns")

        control.call("adding columns", add)
        self._emit(Message(level="info", text=f"new columns of the source were added: {named}"))
        return True


class Following:
    """A sync under way: what its passes share."""

    def __init__(
        self,
        control: Control,
        plan: SyncPlan,
        ledger: SyncLedger,
        target: TargetSide,
        options: PassOptions,
        readers: SyncReaders,
        on_event: EventSink,
        wait: Callable[[float], bool],
    ) -> None:
        self.control = control
        self.plan = plan
        self.ledger = ledger
        self._readers = readers
        self._emit = on_event
        self._wait = wait
        self._pass = SyncPass(plan, ledger, target, options, on_event, self._check_stop, readers.prove)

    def one_pass(self, *, compare_all: bool = False) -> PassResult:
        """One pass, again after what passes by itself. Raises MigrationError, with the table marked in the ledger."""
        try:
            try:
                result = self._carried(compare_all=compare_all)
            except DataError as error:
                # A delete that no method has shown yet may be what is in the way, or a row of a table not compared yet.
                if compare_all or not self._pass.unseen:
                    raise
                text = f"{error.message}; tables whose deletes are found by comparing are compared now"
                self._emit(Message(level="warn", table=error.table, text=text))
                result = self._carried(compare_unseen=True)
        except Cancelled:
            raise
        except MigrationError as error:
            self._remember(error)
            raise
        self._emit(
            SyncPassFinished(
                number=result.number,
                tables={name: applied.total for name, applied in result.tables.items()},
                compared=list(result.compared),
                seconds=result.seconds,
                moment=result.moment.timestamp(),
            )
        )
        return result

    def _carried(self, *, compare_all: bool = False, compare_unseen: bool = False) -> PassResult:
        def attempt(connection: psycopg.Connection[Any]) -> PassResult:
            return self._attempt(connection, compare_all, compare_unseen)

        return self.control.call("applying a pass", attempt)

    def _attempt(self, connection: psycopg.Connection[Any], compare_all: bool, compare_unseen: bool) -> PassResult:
        work = partial(self._pass.run, connection, compare_all=compare_all, compare_unseen=compare_unseen)
        return self._readers.use(work, one_moment=self.plan.facts.one_moment)

    def _remember(self, error: MigrationError) -> None:
        """What stopped the pass, for ``sync status``; the error itself is what matters."""
        table = getattr(error, "table", None)
        names = {entry.name: entry.name for entry in self.plan.tables}
        names |= {".".join(entry.target): entry.name for entry in self.plan.tables}
        if table not in names:
            return
        try:
            self.ledger.mark_error(self.control.live(), names[table], error.message)
        except MigrationError as other:
            self._emit(Message(level="warn", text=f"the sync ledger could not be told: {other.message}"))

    def _check_stop(self) -> None:
        if self._wait(0):
            raise Cancelled("stopped in the middle of a pass", hint="nothing of it was applied; sync goes on from here")


def look_at(config: Config, session: SourceSession, target: psycopg.Connection[Any]) -> Look:
    """Both catalogs. Raises ConfigError, SchemaError, ConnectionFailed."""
    from ..target.inspect import read_existing
    from ..transfer.plan import display_names

    database = map_source(config, session, target)
    existing = read_existing(target, database.tables)
    facts = session.change_facts([table.source for table in database.tables])
    return Look(database.tables, display_names(database.tables), existing, facts, database.schemas)


def map_source(config: Config, session: SourceSession, target: psycopg.Connection[Any]) -> MappedDatabase:
    """The source's catalog as a run maps it. Raises ConfigError, SchemaError."""
    from ..mapping.build import build
    from ..target.inspect import read_abilities
    from .plan import mapping_options, read_source

    catalog, selected = read_source(config, session)
    return build(catalog, mapping_options(config, catalog, selected, read_abilities(target)))


def record_positions(
    config: Config, control: Control, database: MappedDatabase, on_event: EventSink, *, resumed: bool
) -> None:
    """The positions of a run's tables, before its first row is read. A resumed run has them already.

    Raises ConfigError for a ``sync`` section that does not fit the tables, TransientError, ConnectionFailed.
    """
    settings = config.sync
    if settings is None:
        return
    source = Ends(config, on_event).source
    ledger = SyncLedger(database.schemas[0], source.label)
    known = control.call("reading the sync ledger", ledger.entries) if resumed else {}
    missing = [table for table in database.tables if table.source.full_name not in known]
    if not missing:
        return
    with closing(source.connect()) as session:
        facts = session.change_facts([table.source for table in missing])
    followed = [choice.followed for choice in choose(database.tables, facts, settings)]
    limits = ReadLimits()
    with closing(SyncReaders(source, limits, on_event).open(one_moment=False)) as changes:
        moment = changes.begin(followed, {})
    stale = "rows were read before its position was recorded" if resumed else None
    if config.migration.target_mode == "upsert":
        stale = "the run was an upsert, which leaves rows that the source no longer has"
    entries = [
        SyncEntry(
            source_table=item.name,
            target_table=item.table.full_name,
            method=item.method,
            position=moment.positions.get(item.name),
            fingerprint=definition(item.table),
            stale=stale,
        )
        for item in followed
        if item.table in missing
    ]
    control.call("recording positions", lambda target: ledger.follow(target, entries))
    on_event(Message(level="info", text=f"the positions of {len(entries)} tables are recorded for the sync"))


def first_positions(plan: SyncPlan, session: ChangeSession, *, stale: str | None = None) -> list[SyncEntry]:
    """Where the changes of every table begin: to be recorded before its first row is read."""
    moment = session.begin(plan.followed, {})
    return [
        SyncEntry(
            source_table=table.name,
            target_table=".".join(table.target),
            method=table.followed.method,
            position=moment.positions.get(table.name),
            fingerprint=table.definition,
            stale=stale,
        )
        for table in plan.tables
    ]


def _enabling(plan: SyncPlan) -> list[str]:
    """The statements that switch change tracking on for the database and the tables that lack it."""
    statements = [plan.facts.enable] if plan.facts.enable else []
    for table in plan.tables:
        facts = plan.facts.tables.get(table.followed.source_name)
        if facts is not None and facts.enable and not facts.why_not:
            statements.append(facts.enable)
    return statements


def _missing_rights(plan: SyncPlan) -> list[Note]:
    """What would let more be seen, but is not for this login to do."""
    facts = {table.followed.name: plan.facts.tables.get(table.followed.source_name) for table in plan.tables}
    return [
        Note("info", name, f"{found.why_not}: {found.enable}")
        for name, found in facts.items()
        if found is not None and found.enable and found.why_not
    ]


def _table_status(table: SyncTablePlan, entry: SyncEntry | None, lag: float | None, pending: int | None) -> TableStatus:
    if entry is None:
        reason = "no position is recorded"
        return TableStatus(table.display, table.followed.method, None, None, None, 0, None, None, reason, None)
    if entry.method == "compare" and entry.compared_at is not None and lag is not None:
        lag = max(lag, (datetime.now(timezone.utc) - entry.compared_at).total_seconds())
    return TableStatus(
        table=table.display,
        method=entry.method,
        position=entry.position,
        lag_seconds=lag,
        pending=pending,
        applied=entry.applied,
        changed_at=entry.changed_at,
        compared_at=entry.compared_at,
        stale=entry.stale,
        error=entry.error,
    )
