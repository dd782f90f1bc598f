"""After the rows: everything that hangs on a table is built, repeated without harm, and reported where it cannot be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from mssql_pg_migrate.events import AnyEvent, Message, PhaseStarted, Retry
from mssql_pg_migrate.mapping.objects import MappedDatabase, MappedTable
from mssql_pg_migrate.model import Catalog, Check, ForeignKey, Index, KeyColumn, Module, Sequence, Table
from mssql_pg_migrate.target import ddl
from mssql_pg_migrate.target.finalize import Finalizer, maintenance_settings
from mssql_pg_migrate.target.problems import FinalizeResult
from schema_samples import catalog, column, key, mapped, only_table, table
from servers import PgDatabase

CUSTOMERS = table(
    "Customers",
    column("Id", "int", nullable=False, identity=(1, 1, 3)),
    column("Email", "nvarchar(50)"),
    primary_key=key("PK_Customers", "Id", primary=True),
    unique_keys=(key("UQ_Email", "Email"),),
    description="who buys",
)
ORDERS = table(
    "Orders",
    column("Id", "int", nullable=False, identity=(1, 1)),
    column("CustomerId", "int"),
    column("Total", "money", default="((0))"),
    column("Placed", "datetime", default="(getdate())"),
    primary_key=key("PK_Orders", "Id", primary=True),
    indexes=(Index("IX_Customer", (KeyColumn("CustomerId"),), filter="([CustomerId] IS NOT NULL)"),),
    foreign_keys=(ForeignKey("FK_Customer", ("CustomerId",), "dbo", "Customers", ("Id",), "CASCADE"),),
    checks=(Check("CK_Total", "([Total]>=(0))"),),
)


@pytest.fixture
def target_db(module_db: PgDatabase) -> PgDatabase:
    """The module's database, empty again."""
    module_db.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return module_db


def make_tables(target: PgDatabase, database: MappedDatabase) -> None:
    """What a run does before the rows: bare tables, without defaults."""
    with target.connect() as connection:
        for extension in database.extensions:
            connection.execute(ddl.create_extension(extension))
        for schema in database.schemas:
            connection.execute(ddl.create_schema(schema))
        for sequence in database.sequences:
            connection.execute(ddl.create_sequence(sequence))
        for item in database.tables:
            connection.execute(ddl.create_table(item, defaults=False))


def constraints(target: PgDatabase, kinds: str = "pucf") -> list[tuple[Any, ...]]:
    """Name, kind and validity of the constraints in public; NOT NULL, which PostgreSQL 18 lists too, aside."""
    return target.execute(
        "SELECT conname, contype::text, convalidated FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
        " AND strpos(%s, contype::text) > 0 ORDER BY 1",
        (kinds,),
    )


def finalize(
    target: PgDatabase, database: MappedDatabase, tables: list[MappedTable] | None = None, **options: Any
) -> FinalizeResult:
    return Finalizer(target.connect, database, tables or database.tables, **options).run()


def prepared(target: PgDatabase, *tables: Table, **options: Any) -> MappedDatabase:
    database = mapped(catalog(*tables), version_num=target.server.version * 10000, **options)
    make_tables(target, database)
    return database


def test_everything_is_there_afterwards(target_db: PgDatabase) -> None:
    database = prepared(target_db, CUSTOMERS, ORDERS)
    target_db.execute("INSERT INTO \"Customers\" VALUES (1, 'a@x'), (2, NULL)")
    target_db.execute('INSERT INTO "Orders" ("Id", "CustomerId", "Total") VALUES (10, 1, 5), (11, NULL, 0)')
    result = finalize(target_db, database)
    assert result.ok
    assert dict(result.created) == {
        "default": 2, "primary_key": 2, "unique": 1, "index": 1, "foreign_key": 1, "check": 1, "sequence": 2,
        "comment": 1,
    }  # fmt: skip
    assert constraints(target_db) == [
        ("CK_Total", "c", True),
        ("FK_Customer", "f", True),
        ("PK_Customers", "p", True),
        ("PK_Orders", "p", True),
        ("UQ_Email", "u", True),
    ]
    # and inserting goes on as in the source
    target_db.execute('INSERT INTO "Orders" ("CustomerId") VALUES (1)')
    (row,) = target_db.execute('SELECT "Id", "Total", "Placed" IS NOT NULL FROM "Orders" ORDER BY "Id" DESC LIMIT 1')
    assert (row[0], float(row[1]), row[2]) == (12, 0.0, True)
    assert target_db.execute('INSERT INTO "Customers" ("Email") VALUES (\'b@x\') RETURNING "Id"') == [(4,)]
    for bad, error in [
        ('INSERT INTO "Customers" ("Email") VALUES (\'a@x\')', psycopg.errors.UniqueViolation),
        ('INSERT INTO "Orders" ("CustomerId") VALUES (99)', psycopg.errors.ForeignKeyViolation),
        ('INSERT INTO "Orders" ("Total") VALUES (-1)', psycopg.errors.CheckViolation),
    ]:
        with pytest.raises(error):
            target_db.execute(bad)
    target_db.execute('DELETE FROM "Customers" WHERE "Id" = 1')
    assert target_db.execute('SELECT count(*) FROM "Orders"') == [(1,)]


def test_a_second_null_in_a_unique_column_is_refused_as_in_the_source(target_db: PgDatabase) -> None:
    if target_db.server.version < 15:
        pytest.skip("NULLS NOT DISTINCT needs PostgreSQL 15")
    database = prepared(target_db, CUSTOMERS)
    assert finalize(target_db, database).ok
    target_db.execute('INSERT INTO "Customers" ("Email") VALUES (NULL)')
    with pytest.raises(psycopg.errors.UniqueViolation):
        target_db.execute('INSERT INTO "Customers" ("Email") VALUES (NULL)')


def test_repeating_it_changes_nothing(target_db: PgDatabase) -> None:
    database = prepared(target_db, CUSTOMERS, ORDERS)
    finalize(target_db, database)
    before = target_db.execute("SELECT oid, conname FROM pg_constraint ORDER BY 1")
    again = finalize(target_db, database)
    assert again.ok
    assert dict(again.present) == {"primary_key": 2, "unique": 1, "index": 1, "foreign_key": 1, "check": 1}
    assert target_db.execute("SELECT oid, conname FROM pg_constraint ORDER BY 1") == before


def test_a_half_done_finalize_is_completed(target_db: PgDatabase) -> None:
    """The index of a key was built, the constraint not yet attached; a foreign key added, not yet validated."""
    database = prepared(target_db, CUSTOMERS, ORDERS)
    customers, orders = database.tables
    assert customers.primary_key is not None
    with target_db.connect() as connection:
        connection.execute(ddl.create_key_index(customers, customers.primary_key))
        connection.execute(ddl.attach_key(customers, customers.primary_key))
        connection.execute(ddl.create_key_index(customers, customers.unique_keys[0]))
        connection.execute(ddl.add_foreign_key(orders, orders.foreign_keys[0], not_valid=True))
    assert finalize(target_db, database).ok
    assert target_db.execute("SELECT convalidated FROM pg_constraint WHERE conname = 'FK_Customer'") == [(True,)]
    assert target_db.execute("SELECT contype::text FROM pg_constraint WHERE conname = 'UQ_Email'") == [("u",)]


def test_orphans_are_one_problem_with_a_sample_and_the_rows_stay(target_db: PgDatabase) -> None:
    database = prepared(target_db, CUSTOMERS, ORDERS)
    target_db.execute('INSERT INTO "Orders" ("Id", "CustomerId") SELECT n, n FROM generate_series(100, 150) n')
    result = finalize(target_db, database)
    (problem,) = result.problems
    assert problem.kind == "foreign_key"
    assert len(problem.sample) == 5
    assert all(item.startswith("CustomerId=1") for item in problem.sample)
    for part in ('"FK_Customer"', "public.Orders", "public.Customers", problem.sample[0], "VALIDATE CONSTRAINT"):
        assert part in problem.message
    assert target_db.execute('SELECT count(*) FROM "Orders"') == [(51,)]
    assert target_db.execute("SELECT convalidated FROM pg_constraint WHERE conname = 'FK_Customer'") == [(False,)]
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        target_db.execute('INSERT INTO "Orders" ("Id", "CustomerId") VALUES (999, 999)')
    # repaired by hand, a repeat validates it
    target_db.execute('DELETE FROM "Orders"')
    assert finalize(target_db, database).ok


def test_duplicates_are_a_problem_that_names_the_values(target_db: PgDatabase) -> None:
    database = prepared(target_db, CUSTOMERS, ORDERS)
    target_db.execute("INSERT INTO \"Customers\" VALUES (1, 'same'), (2, 'same'), (3, 'other')")
    result = finalize(target_db, database)
    (problem,) = result.problems
    assert (problem.kind, problem.name, problem.sample) == ("unique", "UQ_Email", ("Email=same",))
    assert "ADD CONSTRAINT" in problem.message
    assert result.created["primary_key"] == 2, "the others are built all the same"


def test_a_foreign_key_to_a_key_that_failed_says_so(target_db: PgDatabase) -> None:
    database = prepared(target_db, CUSTOMERS, ORDERS)
    target_db.execute("INSERT INTO \"Customers\" VALUES (1, 'a'), (1, 'b')")
    kinds = {problem.kind: problem.message for problem in finalize(target_db, database).problems}
    assert set(kinds) == {"primary_key", "foreign_key"}
    assert "the key of public.Customers (Id) could not be created" in kinds["foreign_key"]


def test_a_foreign_key_to_a_table_that_did_not_arrive_says_so(target_db: PgDatabase) -> None:
    database = prepared(target_db, CUSTOMERS, ORDERS)
    (problem,) = finalize(target_db, database, [only_table(database, "Orders")]).problems
    assert "the rows of public.Customers did not arrive" in problem.message
    assert target_db.execute("SELECT count(*) FROM pg_constraint WHERE conname = 'PK_Customers'") == [(0,)]


def test_rows_that_break_a_check_are_named_by_key(target_db: PgDatabase) -> None:
    database = prepared(target_db, CUSTOMERS, ORDERS)
    target_db.execute('INSERT INTO "Orders" ("Id", "Total") VALUES (1, -5), (2, 5)')
    (problem,) = finalize(target_db, database).problems
    assert (problem.kind, problem.name, problem.sample) == ("check", "CK_Total", ("Id=1",))
    assert target_db.execute("SELECT convalidated FROM pg_constraint WHERE conname = 'CK_Total'") == [(False,)]


def test_a_check_that_fails_on_other_rows_is_a_problem_not_a_crash(target_db: PgDatabase) -> None:
    """The search for examples meets a row that the expression cannot be computed for."""
    checks = (Check("CK", "((10)/[a]>(1))"),)
    database = prepared(target_db, table("T", column("a", "int"), checks=checks))
    target_db.execute('INSERT INTO "T" VALUES (10), (0)')
    (problem,) = finalize(target_db, database).problems
    assert (problem.kind, problem.name, problem.sample) == ("check", "CK", ())


def test_untrusted_constraints_stay_not_valid(target_db: PgDatabase) -> None:
    orders = replace(
        ORDERS,
        foreign_keys=(replace(ORDERS.foreign_keys[0], not_trusted=True),),
        checks=(replace(ORDERS.checks[0], disabled=True),),
    )
    database = prepared(target_db, CUSTOMERS, orders)
    target_db.execute('INSERT INTO "Orders" ("Id", "CustomerId", "Total") VALUES (1, 77, -5)')
    assert finalize(target_db, database).ok
    assert constraints(target_db, "cf") == [("CK_Total", "c", False), ("FK_Customer", "f", False)]


def test_an_index_that_a_session_without_a_client_still_builds_is_waited_for(target_db: PgDatabase) -> None:
    """``kill -9`` of the tool does not end a CREATE INDEX: the server notices when it is done."""
    database = prepared(target_db, CUSTOMERS)
    (customers,) = database.tables
    assert customers.primary_key is not None
    with target_db.connect(autocommit=False) as belated, ThreadPoolExecutor(1) as executor:
        belated.execute(ddl.create_key_index(customers, customers.primary_key))
        finalized = executor.submit(finalize, target_db, database)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'CREATE%INDEX%'"
        deadline = time.monotonic() + 20
        while target_db.execute(waiting) == [(0,)] and time.monotonic() < deadline:
            time.sleep(0.05)
        belated.commit()
        assert finalized.result(timeout=20).problems == []
    assert constraints(target_db, "p") == [("PK_Customers", "p", True)]


def test_a_name_another_relation_has_is_a_problem_not_a_crash(target_db: PgDatabase) -> None:
    database = prepared(target_db, CUSTOMERS, ORDERS)
    target_db.execute('CREATE TABLE elsewhere (a int); CREATE INDEX "IX_Customer" ON elsewhere (a)')
    (problem,) = finalize(target_db, database).problems
    assert "another relation of that name" in problem.message


def test_a_check_called_like_a_not_null_constraint_has_its_name(target_db: PgDatabase) -> None:
    """PostgreSQL 18 would name the NOT NULL constraint of T.a so; before, these have no names."""
    checks = (Check("T_a_not_null", "([a]>(0))"),)
    database = prepared(target_db, table("T", column("a", "int", nullable=False), checks=checks))
    result = finalize(target_db, database)
    assert result.ok
    assert result.created["check"] == 1
    assert constraints(target_db, "c") == [("T_a_not_null", "c", True)]


def test_existing_tables_keep_their_structure_but_identities_move_on(target_db: PgDatabase) -> None:
    database = prepared(target_db, CUSTOMERS, ORDERS)
    target_db.execute("INSERT INTO \"Customers\" VALUES (41, 'x')")
    result = finalize(target_db, database, existing={"public.Customers", "public.Orders"})
    assert dict(result.created) == {"sequence": 2}
    assert constraints(target_db) == []
    assert target_db.execute('INSERT INTO "Customers" ("Email") VALUES (\'y\') RETURNING "Id"') == [(42,)]


@pytest.mark.parametrize(
    ("identity", "rows", "expected"),
    [
        ((1, 1), [], 1),
        ((100, 10), [], 100),
        ((1, 1, 50), [], 51),
        ((1, 1, 50), [7], 51),
        ((1, 1, 3), [70], 71),
        ((1, 5, 11), [11], 16),
        ((-1, -1, -4), [-4], -5),
        ((-1, -1), [-9], -10),
        ((10, 1), [-5], 10),
        # set back to the other end of the type, once it was full
        ((1, 1, -(2**31)), [2**31 - 1, -(2**31)], -(2**31) + 1),
        ((1, 1, -100), [-100], -99),
        ((-1, -1, 100), [-(2**31), 100], 99),
    ],
)
def test_the_next_identity_value(
    target_db: PgDatabase, identity: tuple[int, ...], rows: list[int], expected: int
) -> None:
    source = table("T", column("Id", "int", nullable=False, identity=identity), column("x", "int"))
    database = prepared(target_db, source)
    for value in rows:
        target_db.execute('INSERT INTO "T" VALUES (%s)', (value,))
    assert finalize(target_db, database).ok
    assert target_db.execute('INSERT INTO "T" (x) VALUES (1) RETURNING "Id"') == [(expected,)]


def test_a_full_identity_fails_on_the_next_insert_as_in_the_source(target_db: PgDatabase) -> None:
    source = table("T", column("Id", "tinyint", nullable=False, identity=(1, 1, 255)), column("x", "int"))
    database = prepared(target_db, source)
    target_db.execute('INSERT INTO "T" VALUES (255, 1)')
    assert finalize(target_db, database).ok
    with pytest.raises(psycopg.errors.SequenceGeneratorLimitExceeded):
        target_db.execute('INSERT INTO "T" (x) VALUES (1)')


def test_a_decimal_identity_goes_on(target_db: PgDatabase) -> None:
    source = table("T", column("Id", "decimal(12,0)", nullable=False, identity=(1, 2, 9)), column("x", "int"))
    database = prepared(target_db, source)
    target_db.execute('INSERT INTO "T" VALUES (9, 1)')
    assert finalize(target_db, database).ok
    assert target_db.execute('INSERT INTO "T" (x) VALUES (1) RETURNING "Id"::text') == [("11",)]
    target_db.execute('DROP TABLE "T"')
    assert target_db.execute("SELECT count(*) FROM pg_class WHERE relkind = 'S'") == [(0,)], "its sequence went with it"


@pytest.mark.parametrize(("current", "rows", "expected"), [(5, [], 5), (5, [5], 6), (40, [], 41), (40, [99], 41)])
def test_a_sequence_goes_on_where_the_source_stood(
    target_db: PgDatabase, current: int, rows: list[int], expected: int
) -> None:
    """A sequence used once looks unused in the catalog; the column it feeds tells."""
    source = catalog(
        table("T", column("Id", "int", default="(NEXT VALUE FOR [dbo].[Numbers])"), column("x", "int")),
        sequences=(Sequence("dbo", "Numbers", column("x", "int").type, 5, 1, 1, 1000, False, current),),
    )
    database = mapped(source)
    make_tables(target_db, database)
    for value in rows:
        target_db.execute('INSERT INTO "T" VALUES (%s)', (value,))
    assert finalize(target_db, database).ok
    assert target_db.execute('INSERT INTO "T" (x) VALUES (1) RETURNING "Id"') == [(expected,)]


def test_a_used_up_sequence_hands_out_no_value_again(target_db: PgDatabase) -> None:
    def source(maximum: int) -> Catalog:
        return catalog(
            table("T", column("Id", "int", default="(NEXT VALUE FOR [dbo].[Numbers])"), column("x", "int")),
            sequences=(Sequence("dbo", "Numbers", column("x", "int").type, 5, 1, 1, maximum, False, 5),),
        )

    database = mapped(source(5))
    make_tables(target_db, database)
    target_db.execute('INSERT INTO "T" VALUES (5)')
    assert finalize(target_db, database).ok
    with pytest.raises(psycopg.errors.SequenceGeneratorLimitExceeded):
        target_db.execute('INSERT INTO "T" (x) VALUES (1)')
    target_db.execute('DROP TABLE "T"; DROP SEQUENCE "Numbers"')
    database = mapped(source(9))
    make_tables(target_db, database)
    target_db.execute('INSERT INTO "T" VALUES (5), (5000)')
    assert finalize(target_db, database).ok
    assert target_db.execute('INSERT INTO "T" (x) VALUES (1) RETURNING "Id"') == [(6,)]


def test_views_are_created_in_rounds_and_the_refused_one_is_named(target_db: PgDatabase) -> None:
    def view(name: str, select: str) -> Module:
        return Module("dbo", name, "view", f"create view [{name}] as {select}", description="seen")

    source = catalog(
        CUSTOMERS,
        modules=(view("B", "select Id from A"), view("A", "select Id from Customers")),
    )
    database = mapped(source, create_views=True)
    broken = replace(database.views[0], name="Broken", select_sql="SELECT missing FROM nowhere", columns=())
    shuffled = replace(database, views=(broken, *reversed(database.views)))
    make_tables(target_db, shuffled)
    result = finalize(target_db, shuffled)
    assert [problem.name for problem in result.problems] == ["Broken"]
    assert result.created["view"] == 2
    target_db.execute("INSERT INTO \"Customers\" VALUES (8, 'a')")
    assert target_db.execute('SELECT "Id" FROM "B"') == [(8,)]
    assert target_db.execute("SELECT obj_description('\"A\"'::regclass)") == [("seen",)]


def test_events_tell_what_is_being_built(target_db: PgDatabase) -> None:
    events: list[AnyEvent] = []
    database = prepared(target_db, CUSTOMERS, ORDERS)
    target_db.execute('INSERT INTO "Orders" ("Id", "CustomerId") VALUES (1, 5)')
    finalize(target_db, database, on_event=events.append)
    phases = [event.phase for event in events if isinstance(event, PhaseStarted) and event.table is None]
    assert phases == ["indexes", "constraints", "finish"]
    details = {event.detail for event in events if isinstance(event, PhaseStarted)}
    assert {"PK_Orders", "IX_Customer", "FK_Customer"} <= details
    assert [event.level for event in events if isinstance(event, Message)] == ["error"]


def test_no_more_connections_than_allowed(target_db: PgDatabase) -> None:
    indexes = tuple(Index(f"IX{number}", (KeyColumn("CustomerId"),)) for number in range(12))
    database = prepared(target_db, CUSTOMERS, replace(ORDERS, indexes=indexes))
    opened: list[int] = []

    def connect() -> psycopg.Connection[Any]:
        opened.append(1)
        return target_db.connect()

    assert Finalizer(connect, database, database.tables, parallel=3).run().ok
    assert 1 <= len(opened) <= 3


def test_a_lost_connection_is_opened_again_and_the_work_goes_on(target_db: PgDatabase) -> None:
    database = prepared(target_db, CUSTOMERS, ORDERS)
    events: list[AnyEvent] = []
    killed = threading.Event()

    def listen(event: AnyEvent) -> None:
        events.append(event)
        if isinstance(event, PhaseStarted) and event.detail == "PK_Orders" and not killed.is_set():
            killed.set()
            target_db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'"
            )

    def connect() -> psycopg.Connection[Any]:
        return target_db.connect(application_name="victim")

    result = Finalizer(connect, database, database.tables, parallel=1, on_event=listen).run()
    assert killed.is_set()
    assert any(isinstance(event, Retry) for event in events)
    assert result.ok
    assert len(constraints(target_db, "p")) == 2


def slow_index(target: PgDatabase) -> MappedDatabase:
    """A table whose check takes long enough to be interrupted."""
    database = prepared(target, table("Slow", column("a", "int", nullable=False), checks=(Check("CK", "([a]>(0))"),)))
    target.execute('INSERT INTO "Slow" SELECT 1 FROM generate_series(1, 20)')
    target.execute(
        "CREATE FUNCTION slowly(int) RETURNS boolean LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_sleep(0.5); RETURN true; END'"
    )
    slow = only_table(database)
    check = replace(slow.checks[0], expression_sql='slowly("a")')
    return replace(database, tables=(replace(slow, checks=(check,)),))


def test_cancel_ends_the_running_statement(target_db: PgDatabase) -> None:
    database = slow_index(target_db)
    finalizer = Finalizer(target_db.connect, database, database.tables)
    timer = threading.Timer(0.7, finalizer.cancel)
    started = time.monotonic()
    timer.start()
    result = finalizer.run()
    timer.join()
    assert result.cancelled
    assert not result.ok
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("stop", [lambda: True])
def test_a_stop_before_the_start_touches_nothing(target_db: PgDatabase, stop: Callable[[], bool]) -> None:
    database = prepared(target_db, CUSTOMERS)
    assert finalize(target_db, database, stop=stop).cancelled
    assert constraints(target_db) == []


def test_the_hook_runs_between_indexes_and_constraints(target_db: PgDatabase) -> None:
    database = prepared(target_db, CUSTOMERS, ORDERS)
    target_db.execute('INSERT INTO "Orders" ("Id", "CustomerId") VALUES (1, 5)')
    seen: list[tuple[int, int]] = []

    def hook() -> None:
        seen.append((len(constraints(target_db, "p")), len(constraints(target_db, "f"))))
        target_db.execute("INSERT INTO \"Customers\" VALUES (5, 'late')")

    assert finalize(target_db, database, before_constraints=hook).ok
    assert seen == [(2, 0)]


def test_maintenance_memory_is_shared_and_bounded() -> None:
    assert maintenance_settings(256 * 2**20, 4)[0] == "SET maintenance_work_mem = '65536kB'"
    assert maintenance_settings(2**20, 4)[0] == "SET maintenance_work_mem = '16384kB'"
    assert maintenance_settings(2**40, 1)[0] == "SET maintenance_work_mem = '2097152kB'"
    assert "SET max_parallel_maintenance_workers = 3" in maintenance_settings(2**30, 1, parallel_workers=3)
