"""Translations are tried out on the server beforehand; what it refuses leaves the plan, and nothing stays behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg
import pytest

from mssql_pg_migrate.errors import TransientError
from mssql_pg_migrate.mapping import functions
from mssql_pg_migrate.mapping.build import build
from mssql_pg_migrate.mapping.objects import MappedDatabase
from mssql_pg_migrate.mapping.options import MappingOptions
from mssql_pg_migrate.mapping.values import INT, Value
from mssql_pg_migrate.model import Catalog, Check, Index, KeyColumn, Module, Sequence
from mssql_pg_migrate.target import verify as verification
from mssql_pg_migrate.target.inspect import read_abilities
from mssql_pg_migrate.target.verify import verify
from schema_samples import catalog, column, key, notes, only_table, table
from servers import PgDatabase


@pytest.fixture
def wrong_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that gives a function PostgreSQL does not have: what a mistake of ours would look like."""
    monkeypatch.setitem(functions.RULES, "sign", lambda *_: Value("no_such_function()", INT))


def verified(target: PgDatabase, source: Catalog, **options: Any) -> MappedDatabase:
    with target.connect() as connection:
        chosen = MappingOptions(schemas={"dbo": "app"}, abilities=read_abilities(connection), **options)
        return verify(connection, source, chosen, build(source, chosen))


SOURCE = catalog(
    table(
        "T",
        column("a", "int", nullable=False),
        column("good", "int", default="((1)+(2))"),
        column("bad", "int", default="(sign((1)))"),
        column("twice", "int", computed="([a]*(2))"),
        column("worse", "int", computed="(sign([a]))"),
        column("next", "int", default="(NEXT VALUE FOR [dbo].[Numbers])"),
        primary_key=key("PK", "a", primary=True),
        checks=(Check("CK_good", "([a]>(0))"), Check("CK_bad", "(sign([a])=(1))")),
        indexes=(
            Index("IX_good", (KeyColumn("a"),), filter="([a]>(0))"),
            Index("IX_bad", (KeyColumn("a"),), filter="(sign([a])=(1))"),
        ),
    ),
    modules=(
        Module("dbo", "Good", "view", "create view Good as select a, twice from T"),
        Module("dbo", "Bad", "view", "create view Bad as select sign(a) as s from T"),
    ),
    sequences=(Sequence("dbo", "Numbers", column("x", "int").type, 1, 1, 1, 100, False, 1),),
)


@pytest.mark.usefixtures("wrong_rule")
def test_what_the_server_refuses_leaves_the_plan_by_name(module_db: PgDatabase) -> None:
    database = verified(module_db, SOURCE, create_views=True)
    result = only_table(database)
    columns = {item.name: item for item in result.columns}
    assert columns["good"].default_sql == "1 + 2"
    assert columns["bad"].default_sql is None
    assert not columns["twice"].copied
    assert columns["worse"].copied, "its data is carried instead"
    assert columns["worse"].generated_sql is None
    assert columns["next"].default_sql is not None
    assert [item.name for item in result.checks] == ["CK_good"]
    assert [item.name for item in result.indexes] == ["IX_good"]
    assert [item.name for item in database.views] == ["Good"]
    refused = {note.object for note in database.notes if "no_such_function() does not exist" in note.message}
    assert refused == {"dbo.T.bad", "dbo.T.worse", "dbo.T constraint CK_bad", "dbo.T index IX_bad", "dbo.Bad"}


def test_a_plan_the_server_accepts_is_unchanged(module_db: PgDatabase) -> None:
    plain = replace(SOURCE, modules=SOURCE.modules[:1])
    before = verified(module_db, plain, create_views=True)
    assert notes(before, "not_carried") == []
    assert len(before.views) == 1


@pytest.mark.usefixtures("wrong_rule")
def test_a_refused_view_keeps_no_other_note_and_a_view_that_reads_it_names_it(module_db: PgDatabase) -> None:
    long = "c" * 70
    modules = (
        Module("dbo", "Base", "view", f"create view Base as select sign(a) as {long}, newid() as i from T"),
        Module("dbo", "Top", "view", f"create view Top as select max({long}) as m from Base"),
        Module("dbo", "Base2", "view", f"create view Base2 as select a as {long} from T"),
    )
    before = build(replace(SOURCE, modules=modules), MappingOptions(create_views=True))
    assert any(note.severity == "renamed" and note.object.startswith("dbo.Base.") for note in before.notes)
    database = verified(module_db, replace(SOURCE, modules=modules), create_views=True)
    assert [item.name for item in database.views] == ["Base2"]
    about = {note.object: note for note in database.notes if note.object.startswith(("dbo.Base", "dbo.Top"))}
    assert sorted(about) == ["dbo.Base", f"dbo.Base2.{long}", "dbo.Top"]
    assert "no_such_function" in about["dbo.Base"].message
    assert about["dbo.Top"].message == "view: it reads the view dbo.Base, which is not carried"
    assert not any("pg_temp" in note.message for note in database.notes)


@pytest.mark.usefixtures("wrong_rule")
def test_nothing_stays_behind(module_db: PgDatabase) -> None:
    verified(module_db, SOURCE, create_views=True, collation="citext")
    left = module_db.execute(
        "SELECT relname FROM pg_class WHERE relnamespace NOT IN"
        " (SELECT oid FROM pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema', 'pg_toast'))"
    )
    assert left == []
    assert module_db.execute("SELECT count(*) FROM pg_extension WHERE extname = 'citext'") == [(0,)]
    assert module_db.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'app'") == [(0,)]


def test_without_the_right_to_try_the_plan_says_so(module_db: PgDatabase) -> None:
    if module_db.server.embedded is None:
        pytest.skip("makes a role in the server")
    module_db.execute(
        f'DROP ROLE IF EXISTS poor; CREATE ROLE poor; REVOKE TEMPORARY ON DATABASE "{module_db.name}" FROM PUBLIC'
    )
    try:
        with module_db.connect() as connection:
            chosen = MappingOptions(schemas={"dbo": "app"}, abilities=read_abilities(connection))
            database = build(SOURCE, chosen)
            connection.execute("SET ROLE poor")
            result = verify(connection, SOURCE, chosen, database)
        assert result.tables == database.tables
        assert any("not tried out" in text for text in notes(result, "info", "target"))
    finally:
        module_db.execute(f'GRANT TEMPORARY ON DATABASE "{module_db.name}" TO PUBLIC; DROP ROLE poor')


def test_an_extension_that_may_not_be_created_refuses_the_run(module_db: PgDatabase) -> None:
    if module_db.server.embedded is None:
        pytest.skip("makes a role in the server")
    source = catalog(table("T", column("a", "varchar(9)")))
    module_db.execute("DROP ROLE IF EXISTS plain; CREATE ROLE plain")
    try:
        with module_db.connect() as connection:
            chosen = MappingOptions(schemas={"dbo": "app"}, collation="citext", abilities=read_abilities(connection))
            connection.execute("SET ROLE plain")
            result = verify(connection, source, chosen, build(source, chosen))
        assert any("extension citext" in text for text in notes(result, "error", "collation"))
    finally:
        module_db.execute("DROP ROLE plain")


def test_the_connection_can_go_on_afterwards(module_db: PgDatabase) -> None:
    with module_db.connect() as connection:
        chosen = MappingOptions(schemas={"dbo": "app"}, abilities=read_abilities(connection))
        verify(connection, SOURCE, chosen, build(SOURCE, chosen))
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_locks_do_not_add_up_over_the_tables(module_db: PgDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has room for a few thousand locks in all its sessions: a schema may have more tables than that."""
    many = catalog(*(table(f"T{n}", column("a", "int"), checks=(Check(f"CK{n}", "([a]>(0))"),)) for n in range(50)))
    held = []
    with module_db.connect(autocommit=True) as connection:
        try_table = verification._try_table

        def counted(*arguments: Any) -> None:
            try_table(*arguments)
            row = connection.execute("SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()").fetchone()
            assert row is not None
            held.append(row[0])

        monkeypatch.setattr(verification, "_try_table", counted)
        options = MappingOptions(schemas={"dbo": "app"}, abilities=read_abilities(connection))
        database = verify(connection, many, options, build(many, options))
    assert notes(database, "not_carried") == []
    assert len(held) == 50
    assert held[-1] == held[0]


def test_a_server_short_of_something_has_refused_nothing(
    module_db: PgDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a computed column would become a plain one because the server was busy."""
    monkeypatch.setattr(
        verification,
        "_bare",
        lambda _table: "DO $$ BEGIN RAISE EXCEPTION 'out of shared memory' USING ERRCODE = '53200'; END $$",
    )
    with pytest.raises(TransientError, match="out of shared memory"):
        verified(module_db, SOURCE)
    tables = replace(SOURCE, tables=(table("Plain", column("a", "int")),), modules=())
    view = Module("dbo", "V", "view", "create view V as select a from Plain")
    database = verified(module_db, replace(tables, modules=(view,)), create_views=True)
    assert [item.name for item in database.views] == ["V"]
    assert any("not tried out" in text for text in notes(database, "info"))
