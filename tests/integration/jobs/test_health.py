"""`health-check` against real servers: what it tells, and every right a run would miss."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mssql_pg_migrate import Config, Migration
from mssql_pg_migrate.demo.embedded_pg import EmbeddedPostgres
from mssql_pg_migrate.errors import SchemaError
from mssql_pg_migrate.results import SideHealth
from servers import MssqlDatabase, MssqlServer, PgDatabase, PgServer

SCRIPT = """
CREATE TABLE dbo.Users (Id int NOT NULL CONSTRAINT PK_Users PRIMARY KEY,
    Name nvarchar(50) COLLATE Latin1_General_CI_AS);
CREATE TABLE dbo.Orders (Id int NOT NULL CONSTRAINT PK_Orders PRIMARY KEY,
    UserId int NULL CONSTRAINT FK_Orders_Users REFERENCES dbo.Users (Id));
GO
INSERT INTO dbo.Users VALUES (1, N'Ann'), (2, N'Bo');
GO
"""


@dataclass
class Place:
    """A source and a target, and how to log in to them."""

    source: MssqlDatabase
    target: PgDatabase
    logins: dict[str, dict[str, Any]] = field(default_factory=dict)

    def config(self, **sections: dict[str, Any]) -> Config:
        """A configuration; ``source``, ``target`` and ``migration`` take changes."""
        data: dict[str, dict[str, Any]] = {
            "source": self.source.section(),
            "target": self.target.section(),
            "migration": {},
        }
        for changes in (self.logins, sections):
            for section, values in changes.items():
                data[section].update(values)
        return Config.from_dict(data)

    def check(self, **sections: dict[str, Any]) -> tuple[SideHealth, SideHealth]:
        """Both sides."""
        report = Migration(self.config(**sections)).health_check()
        source, target = report.sides
        assert (source.side, target.side) == ("source", "target")
        assert report.ok == (source.ok and target.ok)
        for side in report.sides:
            assert side.ok == (side.error is None)
        return source, target


@pytest.fixture(scope="module")
def shop_source(mssql: MssqlServer) -> Iterator[MssqlDatabase]:
    database = mssql.new_database()
    database.execute_script(SCRIPT)
    yield database
    database.drop()


@pytest.fixture
def place(shop_source: MssqlDatabase, target_db: PgDatabase) -> Place:
    return Place(shop_source, target_db)


@pytest.fixture
def poor(place: Place, pg: PgServer) -> Iterator[Place]:
    """The same, with a role in the target that may only log in; its name is in ``logins``."""
    name, password = f"poor_{secrets.token_hex(4)}", secrets.token_hex(8)
    pg.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    place.logins["target"] = {"user": name, "password": password}
    place.target.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    place.target.execute(f'REVOKE ALL ON DATABASE "{place.target.name}" FROM PUBLIC')
    place.target.execute(f'GRANT CONNECT ON DATABASE "{place.target.name}" TO {name}')
    yield place
    place.target.drop()
    pg.execute(f"DROP ROLE {name}")


# --- what it tells ----------------------------------------------------------------------------------------------------


def test_two_servers_in_good_health(place: Place) -> None:
    source, target = place.check()
    assert (source.error, target.error) == (None, None)
    assert source.ok
    assert target.ok
    assert source.version
    assert source.version[0].isdigit()
    assert source.server.endswith(f"/{place.source.name}")
    assert source.facts["database"] == place.source.name
    assert source.facts["tables"].startswith("2, about 2 rows")
    assert source.latency_ms is not None
    assert 0 < source.latency_ms < 5000
    assert target.latency_ms is not None
    assert 0 < target.latency_ms < 5000
    assert target.facts["encoding"] == "UTF8"
    assert target.facts["database"] == place.target.name
    assert target.facts["lz4"] in ("yes", "no")
    assert "of" in target.facts["free connections"]
    assert target.version is not None
    assert target.version.split(".")[0].isdigit()
    assert not target.warnings


def test_encryption_is_shown(place: Place) -> None:
    with place.target.connect() as connection:
        encrypted = connection.pgconn.ssl_in_use
    source, target = place.check(source={"encrypt": True})
    assert source.tls is not None
    assert source.tls.startswith("in use")
    assert target.tls is not None
    assert target.tls.startswith("TLS") if encrypted else target.tls == "none"
    source, _ = place.check(source={"encrypt": False})
    assert source.tls is not None
    assert source.tls.startswith("none")


def test_no_password_is_shown(place: Place) -> None:
    for side in place.check():
        for password in (place.source.server.password, place.target.password):
            assert password not in repr(side)


@pytest.mark.parametrize(("reader", "says"), [("driver", "driver, as configured"), ("auto", "wire"), ("wire", "wire")])
def test_the_reader_is_named(place: Place, reader: str, says: str) -> None:
    source, _ = place.check(source={"reader": reader})
    assert source.facts["reader"].startswith(says)


# --- servers that are not there ---------------------------------------------------------------------------------------


def test_each_side_is_tried_whatever_the_other_says(place: Place) -> None:
    source, target = place.check(source={"port": 1})
    assert not source.ok
    assert source.error is not None
    assert "refuses connections" in source.error
    assert target.ok
    assert target.warnings == ["rights on the tables were not checked: the source did not name them"]
    source, target = place.check(target={"port": 1})
    assert source.ok
    assert not target.ok
    assert "cannot connect to PostgreSQL" in str(target.error)
    source, target = place.check(source={"password": "wr0ng!"}, target={"database": "nowhere"})
    assert "Login failed" in str(source.error)
    assert '"nowhere" does not exist' in str(target.error)


def test_a_selection_of_nothing(place: Place) -> None:
    source, target = place.check(migration={"include_tables": ["nothing"]})
    assert "no table" in str(source.error)
    assert source.version is not None
    assert target.ok
    source, _ = place.check(source={"schema": "nowhere"})
    assert "nowhere" in str(source.error)


# --- rights in the source ---------------------------------------------------------------------------------------------


def test_tables_that_may_not_be_read_are_named(place: Place, source_db: MssqlDatabase) -> None:
    source_db.execute_script(SCRIPT)
    login = f"reader_{secrets.token_hex(4)}"
    source_db.execute_script(
        f"CREATE LOGIN {login} WITH PASSWORD = 'Read-0nly!'\nGO\nCREATE USER {login} FOR LOGIN {login}\nGO\n"
        f"GRANT SELECT ON SCHEMA::dbo TO {login}\nGO\nDENY SELECT ON dbo.Orders TO {login}\nGO\n"
        f"GRANT VIEW DEFINITION TO {login}"
    )
    narrow = Place(source_db, place.target, {"source": {"user": login, "password": "Read-0nly!"}})
    source, target = narrow.check()
    assert not source.ok
    assert "table dbo.Orders cannot be read" in str(source.error)
    assert "dbo.Users" not in str(source.error)
    assert target.ok
    source, _ = narrow.check(migration={"exclude_tables": ["Orders"]})
    assert source.ok


def test_snapshot_isolation_has_to_be_allowed(place: Place) -> None:
    for option, allowed in (("OFF", False), ("ON", True)):
        place.source.execute_script(f"ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION {option}")
        source, _ = place.check(source={"isolation": "snapshot"})
        assert source.ok == allowed
        assert source.ok or "ALLOW_SNAPSHOT_ISOLATION" in str(source.error)


# --- rights in the target ---------------------------------------------------------------------------------------------


def test_a_schema_without_rights(poor: Place) -> None:
    _, target = poor.check()
    assert "may not create tables in schema public" in str(target.error)
    _, target = poor.check(target={"schema": "elsewhere"})
    assert "schema elsewhere does not exist and the user may not create it" in str(target.error)
    user = poor.logins["target"]["user"]
    poor.target.execute(f'GRANT CREATE ON DATABASE "{poor.target.name}" TO {user}')
    _, target = poor.check(target={"schema": "elsewhere"})
    assert target.ok
    poor.target.execute(f"GRANT CREATE, USAGE ON SCHEMA public TO {user}")
    _, target = poor.check()
    assert target.ok


def test_rights_on_existing_tables(poor: Place) -> None:
    user = poor.logins["target"]["user"]
    poor.target.execute(f"GRANT CREATE, USAGE ON SCHEMA public TO {user}")
    poor.target.execute('CREATE TABLE "Users" ("Id" int PRIMARY KEY, "Name" varchar(50))')
    poor.target.execute('CREATE TABLE "Orders" ("Id" int PRIMARY KEY, "UserId" int REFERENCES "Users")')
    _, target = poor.check()
    assert "dbo.Orders: public.Orders: must be owned by the target user, its owner is" in str(target.error)
    assert "dbo.Users: public.Users: must be owned" in str(target.error)

    truncate = {"target_mode": "truncate"}
    _, target = poor.check(migration=truncate)
    assert "dbo.Users: public.Users: the target user lacks INSERT, TRUNCATE on it" in str(target.error)
    poor.target.execute(f'GRANT TRUNCATE, INSERT ON "Users", "Orders" TO {user}')
    _, target = poor.check(migration=truncate)
    assert str(target.error).startswith("dbo.Orders: public.Orders: must be owned by the target user"), (
        "only the owner may set its foreign key aside"
    )
    assert "Users" not in str(target.error)

    upsert = {"target_mode": "upsert"}
    _, target = poor.check(migration=upsert)
    assert "the user may not create temporary tables" in str(target.error)
    assert "dbo.Users: public.Users: the target user lacks SELECT, UPDATE on it" in str(target.error)
    poor.target.execute(f'GRANT SELECT, UPDATE ON "Users", "Orders" TO {user}')
    poor.target.execute(f'GRANT TEMPORARY ON DATABASE "{poor.target.name}" TO {user}')
    _, target = poor.check(migration=upsert)
    assert target.ok

    poor.target.execute(f'ALTER TABLE "Users" OWNER TO {user}')
    poor.target.execute(f'ALTER TABLE "Orders" OWNER TO {user}')
    for mode in ("drop_recreate", "truncate", "upsert"):
        _, target = poor.check(migration={"target_mode": mode})
        assert target.error is None, mode


def test_what_is_said_holds(poor: Place, tmp_path: Path) -> None:
    """A role that health-check finds sufficient can carry out the run; one that it does not, cannot."""
    user = poor.logins["target"]["user"]
    poor.target.execute(f"GRANT CREATE, USAGE ON SCHEMA public TO {user}")
    _, target = poor.check()
    assert target.ok
    result = Migration(poor.config(), state_file=tmp_path / "one.state").run()
    assert (result.status, result.problems) == ("completed", [])
    upsert = {"target_mode": "upsert"}
    poor.target.execute(f'GRANT TEMPORARY ON DATABASE "{poor.target.name}" TO {user}')
    _, target = poor.check(migration=upsert)
    assert target.ok
    result = Migration(poor.config(migration=upsert)).run()
    assert (result.status, result.skipped) == ("completed", 2)
    poor.target.execute(f'REVOKE TEMPORARY ON DATABASE "{poor.target.name}" FROM {user}')
    _, target = poor.check(migration=upsert)
    assert not target.ok
    plan = Migration(poor.config(migration=upsert)).plan()
    assert [note.message for note in plan.errors] == [target.error]
    with pytest.raises(SchemaError, match="may not create temporary tables"):
        Migration(poor.config(migration=upsert)).run()


@pytest.mark.parametrize("mode", ["drop_recreate", "truncate", "upsert"])
def test_the_plan_and_a_run_say_what_health_check_says(mode: str, poor: Place) -> None:
    """A role that may connect and nothing else, then one that may look into the schema but not create in it."""
    user = poor.logins["target"]["user"]
    poor.target.execute('CREATE TABLE "Users" ("Id" int PRIMARY KEY, "Name" varchar(50))')
    poor.target.execute('INSERT INTO "Users" VALUES (7, NULL)')
    options = {"target_mode": mode}
    for grant in ("", f"GRANT USAGE ON SCHEMA public TO {user}"):
        if grant:
            poor.target.execute(grant)
        _, target = poor.check(migration=options)
        migration = Migration(poor.config(migration=options))
        said = [note.message for note in migration.plan().errors if note.object == "target"]
        assert (
            f"the user may not create tables in schema public: GRANT USAGE, CREATE ON SCHEMA public TO {user}" in said
        )
        assert all(text in str(target.error) for text in said)
        with pytest.raises(SchemaError) as caught:
            migration.run()
        assert all(text in str(caught.value) for text in said)
    assert poor.target.execute('SELECT "Id" FROM "Users"') == [(7,)]


def test_a_read_only_target_is_an_error_of_the_plan(place: Place) -> None:
    place.target.execute(f'ALTER DATABASE "{place.target.name}" SET default_transaction_read_only = on')
    _, target = place.check()
    plan = Migration(place.config()).plan()
    assert [note.message for note in plan.errors] == [target.error]
    with pytest.raises(SchemaError, match="nothing can be written: default_transaction_read_only is on"):
        Migration(place.config()).run()


def test_a_standby_is_an_error_of_the_plan(place: Place) -> None:
    """A real one: a copy of a server's files that goes on recovering."""
    with EmbeddedPostgres() as primary:
        with psycopg.connect(primary.url(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE shop")
        primary.crash()
        (primary.folder / "data" / "standby.signal").touch()
        primary.start()
        config = place.config(
            target={"host": primary.host, "port": primary.port, "database": "shop", "user": primary.user,
                    "password": primary.password, "ssl_mode": "disable"}
        )  # fmt: skip
        said = "nothing can be written: the server is a standby, which is read-only; connect to the primary"
        assert [note.message for note in Migration(config).plan().errors] == [said]
        assert said == Migration(config).health_check().sides[1].error
        with pytest.raises(SchemaError, match="is a standby"):
            Migration(config).run()


def test_an_extension_that_may_not_be_created(poor: Place) -> None:
    user = poor.logins["target"]["user"]
    poor.target.execute(f"GRANT CREATE, USAGE ON SCHEMA public TO {user}")
    _, target = poor.check(migration={"collation": "citext"})
    assert "may not create the extension citext" in str(target.error)
    poor.target.execute("CREATE EXTENSION citext")
    _, target = poor.check(migration={"collation": "citext"})
    assert target.ok


def test_a_database_that_cannot_take_the_rows(place: Place, pg: PgServer) -> None:
    name = f"latin_{secrets.token_hex(4)}"
    pg.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    try:
        _, target = place.check(target={"database": name})
        assert "encoding is LATIN1" in str(target.error)
    finally:
        pg.execute(f"DROP DATABASE {name} WITH (FORCE)")
    place.target.execute(f'ALTER DATABASE "{place.target.name}" SET default_transaction_read_only = on')
    _, target = place.check()
    assert "default_transaction_read_only" in str(target.error)


def test_sessions_of_other_roles_count(poor: Place) -> None:
    def free() -> int:
        _, target = poor.check()
        return int(target.facts["free connections"].split()[0])

    before = free()
    with ExitStack() as stack:
        for _ in range(7):
            stack.enter_context(poor.target.connect())
        assert free() <= before - 5, "others may have come and gone meanwhile"


def test_too_few_connections_are_a_warning(poor: Place, pg: PgServer) -> None:
    user = poor.logins["target"]["user"]
    poor.target.execute(f"GRANT CREATE, USAGE ON SCHEMA public TO {user}")
    pg.execute(f"ALTER ROLE {user} CONNECTION LIMIT 3")
    _, target = poor.check(migration={"max_pg_connections": 4})
    assert target.ok
    assert target.facts["free connections"].startswith("2 of ")
    assert target.warnings == [
        "a run would open up to 4 connections, and the server has 2 to spare: lower max_pg_connections"
    ]
    _, target = poor.check(migration={"max_pg_connections": 2})
    assert not target.warnings
