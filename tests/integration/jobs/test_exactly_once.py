"""The ledger against belated, doubled and foreign writers, on a real PostgreSQL: nothing lost, nothing twice."""

from __future__ import annotations

import pickle
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from benchmarks.line import Line

from mssql_pg_migrate import Config, Migration
from mssql_pg_migrate.errors import StateError, TransferError
from mssql_pg_migrate.model import KeyRange
from mssql_pg_migrate.source.reader import Chunk
from mssql_pg_migrate.target.connect import connect_target
from mssql_pg_migrate.target.ledger import ChunkPosition, Ledger, LedgerMovedError
from mssql_pg_migrate.target.prepare import restore_foreign_keys, suspend_foreign_key
from mssql_pg_migrate.target.session import LoadSession
from mssql_pg_migrate.transfer.context import WorkerContext
from mssql_pg_migrate.transfer.control import Control
from mssql_pg_migrate.transfer.plan import RunPlan
from mssql_pg_migrate.transfer.pool import Pool
from mssql_pg_migrate.transfer.preparation import Preparation
from mssql_pg_migrate.transfer.retry import Backoff
from mssql_pg_migrate.transfer.tablework import TableWork, TransferOptions
from mssql_pg_migrate.transfer.tasks import Limits
from mssql_pg_migrate.transfer.writer import ChunkWriter, Pending, WriteOptions
from running import Tool
from servers import MssqlDatabase, PgDatabase

RUN, OTHER = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"


def ignore(*_: object) -> None:
    """A listener that does not listen."""


def briefly(_seconds: float) -> bool:
    time.sleep(0.01)
    return False


class Bench:
    """A prepared target table ``numbers (id)``, its ledger, and writers of any run."""

    def __init__(self, source: MssqlDatabase, target: PgDatabase, folder: Path) -> None:
        source.execute_script("CREATE TABLE dbo.numbers (id int NOT NULL PRIMARY KEY)")
        tool = Tool(folder, source, target)
        self.config = Config.load(tool.config, environment=tool.environment)
        self.plan: RunPlan = Migration(self.config).plan()
        self.target = target
        self.connect: Callable[[], psycopg.Connection[Any]] = partial(connect_target, self.config.target.settings())
        self.table = self.plan.tables[0].table
        self.pools: list[Pool[LoadSession]] = []
        self.begin(RUN)

    def begin(self, run_id: str) -> Ledger:
        """What a new run does first."""
        ledger = Ledger("public", run_id)
        with self.connect() as connection:
            preparation = Preparation(ledger, self.plan, ignore)
            ledger.create(
                connection, config_hash="", mode="drop_recreate", tool_version="", tables=preparation.entries()
            )
            preparation.prepare_tables(connection)
        return ledger

    def writer(self, run_id: str, *, sessions: int = 1, **changes: Any) -> ChunkWriter:
        settings = replace(self.config.target.settings(), **changes)
        pool: Pool[LoadSession] = Pool(sessions, usable=lambda session: session.usable)
        self.pools.append(pool)
        return ChunkWriter(
            pool, lambda: LoadSession.open(settings), Ledger("public", run_id), self.table, 0, WriteOptions()
        )

    def write(self, writer: ChunkWriter, seq: int, *ids: int, uncertain: bool = False) -> int:
        data = b"".join(struct.pack(">hii", 1, 4, number) for number in ids)
        return writer.write(
            ChunkPosition(0, 0, 0, seq, False),
            Chunk(data, len(ids), (str(ids[-1]),) if ids else None),
            done=False,
            backoff=Backoff(5, briefly),
            on_retry=ignore,
            uncertain=uncertain,
        )

    def ids(self) -> list[int]:
        return [row[0] for row in self.target.execute("SELECT id FROM numbers ORDER BY 1")]

    def work(self) -> TableWork:
        settings = replace(self.config.source.settings(), reader="driver"), self.config.target.settings()
        limits = Limits(2, 2, 2, 2, 1 << 20, 2, 5)
        context = WorkerContext(limits)
        self.pools.append(context.target)
        return TableWork(
            TransferOptions(RUN, "public", *settings, limits, WriteOptions(), 100, 1 << 20, "error"), context
        )

    def close(self) -> None:
        for pool in self.pools:
            pool.close()


@pytest.fixture
def bench(source_db: MssqlDatabase, target_db: PgDatabase, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(source_db, target_db, tmp_path)
    yield bench
    bench.close()


def belated(bench: Bench, seq: int, *ids: int) -> psycopg.Connection[Any]:
    """A session of a killed process that has done all but COMMIT."""
    connection = bench.connect()
    connection.autocommit = False
    ledger, position = Ledger("public", RUN), ChunkPosition(0, 0, 0, seq, False)
    connection.execute(ledger.fence(position))
    connection.execute("INSERT INTO numbers SELECT unnest(%s::int[])", (list(ids),))
    connection.execute(ledger.add_chunk(position, last_key=(str(ids[-1]),), rows=len(ids), done=False))
    return connection


def test_a_belated_chunk_of_the_same_rows_is_found_and_not_written_again(bench: Bench) -> None:
    belated(bench, 0, 1, 2, 3).commit()
    assert bench.write(bench.writer(RUN), 0, 1, 2, 3) == 0
    assert bench.ids() == [1, 2, 3]


@pytest.mark.parametrize("ids", [(1, 2), (1, 2, 3, 4, 5)], ids=["smaller", "larger"])
def test_a_belated_chunk_of_other_rows_sends_the_writer_back_to_the_ledger(bench: Bench, ids: tuple[int, ...]) -> None:
    belated(bench, 0, *ids).commit()
    with pytest.raises(LedgerMovedError):
        bench.write(bench.writer(RUN), 0, 1, 2, 3)
    with bench.connect() as connection:
        progress = Ledger("public", RUN).range_progress(connection, ChunkPosition(0, 0, 0, 0, False))
    assert (progress.next_seq, progress.last_key) == (1, (str(ids[-1]),))
    assert bench.ids() == list(ids)


def test_a_run_that_lost_its_place_cannot_write_into_the_ledger_of_the_next(bench: Bench) -> None:
    old = bench.writer(RUN)
    bench.write(old, 0, 1, 2)
    bench.begin(OTHER)
    bench.write(bench.writer(OTHER), 0, 1)
    with pytest.raises(LedgerMovedError):
        bench.write(old, 1, 3, 4)
    assert bench.ids() == [1]
    with pytest.raises(StateError, match="no longer knows this run"):
        bench.work().open_again(bench.plan.tables[0])
    assert bench.ids() == [1]


def test_preparing_again_waits_for_a_belated_first_chunk_and_forgets_it(bench: Bench) -> None:
    zombie = belated(bench, 0, 1, 2)
    ledger = Ledger("public", RUN)
    preparation = Preparation(ledger, bench.plan, ignore)
    with bench.connect() as connection:
        thread = threading.Thread(target=preparation.prepare_tables, args=(connection,))
        thread.start()
        deadline = time.monotonic() + 10
        while not bench.target.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            assert time.monotonic() < deadline
        zombie.commit()
        thread.join(10)
        assert not thread.is_alive()
        entry = ledger.tables(connection)[0]
        assert (bench.ids(), ledger.progress(connection, entry)) == ([], {})
    with pytest.raises(LedgerMovedError):
        bench.write(bench.writer(RUN), 0, 1, 2)


def test_ranges_whose_commit_was_not_answered_are_not_stored_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = (KeyRange(0, None, ("5",)), KeyRange(1, ("5",), None))
    original = Ledger.set_ranges

    def committed_unanswered(ledger: Ledger, connection: psycopg.Connection[Any], *arguments: Any) -> None:
        monkeypatch.setattr(Ledger, "set_ranges", original)
        with bench.connect() as other:
            original(ledger, other, 0, stored)
        bench.target.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
        original(ledger, connection, *arguments)

    monkeypatch.setattr(Ledger, "set_ranges", committed_unanswered)
    opened = bench.work().open(bench.plan.tables[0])
    assert tuple(task.range for task in opened.tasks) == stored


def test_a_foreign_key_whose_validation_was_interrupted_is_validated_in_the_end(bench: Bench) -> None:
    bench.target.execute(
        "ALTER TABLE numbers ADD UNIQUE (id); CREATE TABLE referring (n int CONSTRAINT refers REFERENCES numbers (id));"
        "CREATE FUNCTION interrupt() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF current_query() LIKE '%VALIDATE%' THEN RAISE 'as if' USING ERRCODE = '40P01'; END IF; END $$;"
        "CREATE EVENT TRIGGER interrupt ON ddl_command_end EXECUTE FUNCTION interrupt()"
    )
    ledger = Ledger("public", RUN)
    with bench.connect() as connection:
        with connection.transaction():
            suspend_foreign_key(connection, ledger, "public", "referring", "refers")
        with pytest.raises(psycopg.errors.DeadlockDetected):
            restore_foreign_keys(connection, ledger=ledger, validate=True)
        bench.target.execute("DROP EVENT TRIGGER interrupt")
        assert restore_foreign_keys(connection, ledger=ledger, validate=True) == []
    assert bench.target.execute("SELECT convalidated FROM pg_constraint WHERE conname = 'refers'") == [(True,)]


def test_a_run_that_was_cut_off_does_not_act_on_the_ledger_of_the_next(bench: Bench) -> None:
    """Its lock went with its connection; the other run is not even alive any more."""
    settings = bench.config.target.settings()
    mine = Ledger("public", RUN)
    with Control(settings, retries=3, wait=briefly, on_event=ignore) as control:
        control.lock(("public",), patient=False)
        control.belongs_to(mine)
        control.call("looking", mine.tables)
        pid = control.live().info.backend_pid
        bench.target.execute("SELECT pg_terminate_backend(%s)", (pid,))
        control.live()  # its own ledger: it goes on
        bench.target.execute("SELECT pg_terminate_backend(%s)", (control.live().info.backend_pid,))
        with bench.connect() as connection:
            Ledger("public", OTHER).create(connection, config_hash="x", mode="truncate", tool_version="1")
        with pytest.raises(StateError, match=f"run {OTHER} has taken over"):
            control.call("removing the ledger", mine.drop)
    with bench.connect() as connection:
        current = Ledger("public", OTHER).current_run(connection)
    assert current is not None
    assert current[0] == OTHER


def test_a_session_keeps_the_ledgers_rules_whatever_the_role_is_set_to(bench: Bench) -> None:
    name = bench.target.name
    for setting in ("default_transaction_isolation = serializable", "synchronous_commit = off"):
        bench.target.execute(f'ALTER DATABASE "{name}" SET {setting}')
    with connect_target(bench.config.target.settings()) as connection:
        assert connection.execute("SHOW transaction_isolation").fetchone() == ("read committed",)
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)


def test_a_session_is_not_ended_for_being_idle_or_long(bench: Bench) -> None:
    """The control connection, idle while rows move, holds the lock that keeps other runs away."""
    names = ["idle_session_timeout", "transaction_timeout"]
    known = bench.target.execute("SELECT name FROM pg_settings WHERE name = ANY (%s)", (names,))
    for (name,) in known:
        bench.target.execute(f"ALTER DATABASE {bench.target.name} SET {name} = '10min'")
    with bench.connect() as connection:
        found = connection.execute("SELECT setting FROM pg_settings WHERE name = ANY (%s)", (names,)).fetchall()
    assert found == [("0",)] * len(known)


def test_errors_of_a_worker_process_arrive_whole() -> None:
    from mssql_pg_migrate import errors

    for error in (
        errors.DataError("no", table="t", column="c", key="id=1", hint="look"),
        errors.ConnectionFailed("away", side="source", retryable=False),
        errors.TransientError("lost", side="target", code="08006", table="t"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def test_a_chunk_costs_two_turns_of_the_line(bench: Bench) -> None:
    """The go-ahead of its COPY, and the answer to everything."""
    settings = bench.config.target.settings()
    with Line(settings.host, settings.port) as line:
        writer = bench.writer(RUN, host=line.host, port=line.port)
        bench.write(writer, 0, 1)
        before = line.traffic()
        bench.write(writer, 1, *range(2, 5000))
        assert line.traffic().since(before).turns == 2
        before = line.traffic()
        bench.write(writer, 2)  # an empty chunk, as at the end of a range
        assert line.traffic().since(before).turns == 1
    assert bench.ids() == list(range(1, 5000))


def _trigger(bench: Bench, body: str) -> None:
    bench.target.execute(
        f"CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;"
        "CREATE TRIGGER watch BEFORE INSERT ON numbers FOR EACH ROW EXECUTE FUNCTION watch()"
    )


def test_rows_that_a_trigger_discards_are_missed_before_the_commit(bench: Bench) -> None:
    writer = bench.writer(RUN)
    bench.write(writer, 0, 1, 2)
    _trigger(bench, "IF new.id = 4 THEN RETURN NULL; END IF; RETURN new;")
    with pytest.raises(TransferError, match="kept 2 of 3 rows"):
        bench.write(writer, 1, 3, 4, 5)
    assert bench.ids() == [1, 2]
    bench.write(writer, 1, 3, 5)
    assert bench.ids() == [1, 2, 3, 5]


def test_a_trigger_that_keeps_every_row_is_let_be_and_may_talk(bench: Bench) -> None:
    _trigger(bench, "RAISE WARNING '%', repeat('listen ', 1000); RETURN new;")
    bench.write(bench.writer(RUN), 0, *range(2000))
    assert len(bench.ids()) == 2000


# --- two chunks of a range on their way at once ----------------------------------------------------------------------


def numbers(*ids: int) -> Chunk:
    return Chunk(b"".join(struct.pack(">hii", 1, 4, number) for number in ids), len(ids), (str(ids[-1]),))


def begun(writer: ChunkWriter, *chunks: Chunk) -> list[Pending]:
    """The chunks, sent one after the other without waiting for an answer."""
    sent = []
    for seq, chunk in enumerate(chunks):
        deadline = time.monotonic() + 20
        pending = None
        while pending is None:  # a session is being opened
            assert time.monotonic() < deadline
            pending = writer.begin(ChunkPosition(0, 0, 0, seq, False), chunk, done=False, follows=seq > 0)
        sent.append(pending)
    assert len({id(pending.lease) for pending in sent}) == len(chunks)
    return sent


def slow_rows(bench: Bench) -> None:
    """Rows take a second, so that what is sent meanwhile has to wait."""
    bench.target.execute(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;"
        "CREATE TRIGGER wait AFTER INSERT ON numbers FOR EACH STATEMENT EXECUTE FUNCTION wait()"
    )


def test_a_chunk_sent_behind_another_is_committed_behind_it(bench: Bench) -> None:
    writer = bench.writer(RUN, sessions=2)
    slow_rows(bench)
    first, second = begun(writer, numbers(1, 2), numbers(3))
    assert bench.ids() == []
    assert writer.finish(second) == 0  # it has waited, in the server, for the first
    assert bench.ids() == [1, 2, 3]
    assert writer.finish(first) == 0
    seen = bench.target.execute("SELECT seq, last_key FROM _mpm_chunk ORDER BY 1")
    assert seen == [(0, '["2"]'), (1, '["3"]')]


def test_a_chunk_behind_one_that_was_cut_off_does_not_arrive(bench: Bench) -> None:
    writer = bench.writer(RUN, sessions=2)
    slow_rows(bench)
    first, second = begun(writer, numbers(1, 2), numbers(3))
    bench.target.execute("SELECT pg_terminate_backend(%s)", (first.lease.connection.connection.info.backend_pid,))
    assert writer.finish(first) is None
    assert writer.finish(second) is None
    assert bench.ids() == []
    bench.target.execute("DROP TRIGGER wait ON numbers")
    bench.write(writer, 0, 1, 2, uncertain=True)
    bench.write(writer, 1, 3, uncertain=True)
    assert bench.ids() == [1, 2, 3]


def test_chunks_whose_answers_were_lost_are_found_in_the_ledger(bench: Bench) -> None:
    writer = bench.writer(RUN, sessions=2)
    slow_rows(bench)
    sent = begun(writer, numbers(1, 2), numbers(3))
    deadline = time.monotonic() + 20
    while len(bench.ids()) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for pending in sent:
        writer.discard(pending)  # unread
    assert bench.write(writer, 0, 1, 2, uncertain=True) == 0
    assert bench.write(writer, 1, 3, uncertain=True) == 0
    assert bench.ids() == [1, 2, 3]


def test_chunks_on_their_way_are_turned_away_when_the_table_began_anew(bench: Bench) -> None:
    writer = bench.writer(RUN, sessions=2)
    bench.target.execute("UPDATE _mpm_table SET generation = 1")
    for pending in begun(writer, numbers(1, 2), numbers(3)):
        assert writer.finish(pending) is None
    with pytest.raises(LedgerMovedError):
        bench.write(writer, 0, 1, 2, uncertain=True)
    assert bench.ids() == []


def test_a_chunk_whose_rows_a_trigger_may_discard_is_not_left_on_its_way(bench: Bench) -> None:
    writer = bench.writer(RUN, sessions=2)
    _trigger(bench, "IF new.id = 2 THEN RETURN NULL; END IF; RETURN new;")
    (pending,) = begun(writer, numbers(1, 2))
    assert writer.finish(pending) is None
    assert writer.begin(ChunkPosition(0, 0, 0, 0, False), numbers(1, 2), done=False, follows=False) is None
    with pytest.raises(TransferError, match="kept 1 of 2 rows"):
        bench.write(writer, 0, 1, 2, uncertain=True)
    assert bench.ids() == []
