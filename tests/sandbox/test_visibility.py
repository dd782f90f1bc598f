"""What a login sees of the catalog, by the permissions it holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox_tools import RawClient
from servers import MssqlDatabase, MssqlServer

pytestmark = pytest.mark.sandbox_only
PASSWORD = "R3ader!pw"

SCHEMA = """
CREATE SCHEMA hr
GO
CREATE TABLE dbo.t (id int NOT NULL CONSTRAINT pk_t PRIMARY KEY, a int CONSTRAINT df_a DEFAULT 7,
 b AS (a + 1), e varchar(9) MASKED WITH (FUNCTION = 'default()') NULL, CONSTRAINT ck_a CHECK (a > 0))
CREATE UNIQUE INDEX ux ON dbo.t (e) WHERE a > 3
CREATE TABLE hr.pay (id int CONSTRAINT pk_pay PRIMARY KEY, x int CONSTRAINT df_x DEFAULT 1)
GO
CREATE VIEW dbo.v AS SELECT id FROM dbo.t
GO
CREATE PROCEDURE dbo.p AS SELECT 1
GO
CREATE TRIGGER dbo.tr ON dbo.t AFTER INSERT AS PRINT 'x'
GO
EXEC sp_addextendedproperty 'MS_Description', 'wages', 'SCHEMA', 'hr', 'TABLE', 'pay'
"""


@pytest.fixture(scope="module")
def place(mssql: MssqlServer) -> Iterator[MssqlDatabase]:
    database = mssql.new_database()
    database.execute_script(SCHEMA)
    yield database
    database.drop()


@pytest.fixture
def login(place: MssqlDatabase) -> Iterator[str]:
    name = f"eye_{place.name}"
    place.execute_script(f"CREATE LOGIN {name} WITH PASSWORD = '{PASSWORD}'\nGO\nCREATE USER {name} FOR LOGIN {name}")
    yield name
    place.execute_script(f"DROP USER {name}\nGO\nDROP LOGIN {name}")


def ask(place: MssqlDatabase, login: str, sql: str) -> list[list[Any]]:
    with RawClient(place.server, place.name, user=login, password=PASSWORD) as client:
        return client.rows(sql)


DEFINITIONS = {
    "default": "SELECT definition FROM sys.default_constraints WHERE name = 'df_a'",
    "check": "SELECT definition FROM sys.check_constraints",
    "computed": "SELECT definition FROM sys.computed_columns",
    "filter": "SELECT filter_definition FROM sys.indexes WHERE name = 'ux'",
    "view": "SELECT definition FROM sys.sql_modules WHERE object_id = OBJECT_ID('dbo.v')",
    "procedure": "SELECT definition FROM sys.sql_modules WHERE object_id = OBJECT_ID('dbo.p')",
    "trigger": "SELECT definition FROM sys.sql_modules WHERE object_id = OBJECT_ID('dbo.tr')",
    "information schema": "SELECT COLUMN_DEFAULT FROM INFORMATION_SCHEMA.COLUMNS WHERE COLUMN_NAME = 'a'",
    "OBJECT_DEFINITION": "SELECT OBJECT_DEFINITION(OBJECT_ID('dbo.v'))",
    "OBJECT_DEFINITION over rows": "SELECT OBJECT_DEFINITION(object_id) FROM sys.views",
}


@pytest.mark.parametrize("what", DEFINITIONS)
def test_a_reader_sees_that_a_definition_is_there_but_not_its_text(place: MssqlDatabase, login: str, what: str) -> None:
    place.execute_script(f"ALTER ROLE db_datareader ADD MEMBER {login}")
    assert ask(place, login, DEFINITIONS[what]) == [[None]]
    assert ask(place, login, "SELECT has_filter FROM sys.indexes WHERE name = 'ux'") == [[True]]
    place.execute_script(f"GRANT VIEW DEFINITION TO {login}")
    ((text,),) = ask(place, login, DEFINITIONS[what])
    assert text


@pytest.mark.parametrize(
    ("rights", "shown"),
    [
        ("GRANT VIEW DEFINITION ON dbo.t TO {0}", True),
        ("GRANT VIEW DEFINITION ON SCHEMA::dbo TO {0}", True),
        ("GRANT VIEW DEFINITION ON SCHEMA::hr TO {0}", False),
        ("GRANT ALTER ON dbo.t TO {0}", True),
        ("GRANT CONTROL ON dbo.t TO {0}", True),
        ("GRANT TAKE OWNERSHIP ON dbo.t TO {0}", True),
        ("GRANT ALTER ON dbo.t TO {0}; DENY VIEW DEFINITION ON dbo.t TO {0}", False),
        ("GRANT VIEW DEFINITION TO {0}; DENY VIEW DEFINITION ON dbo.t TO {0}", False),
        ("GRANT INSERT ON dbo.t TO {0}", False),
        ("ALTER ROLE db_ddladmin ADD MEMBER {0}", True),
        ("ALTER ROLE db_owner ADD MEMBER {0}", True),
        ("USE master; GRANT VIEW ANY DEFINITION TO {0}", True),
    ],
)
def test_who_sees_definitions(place: MssqlDatabase, login: str, rights: str, shown: bool) -> None:
    place.execute_script(f"ALTER ROLE db_datareader ADD MEMBER {login}\nGO\n{rights.format(login)}")
    ((text,),) = ask(place, login, "SELECT definition FROM sys.check_constraints")
    assert (text is not None) == shown


def test_without_a_permission_nothing_is_listed(place: MssqlDatabase, login: str) -> None:
    assert ask(place, login, "SELECT name FROM sys.objects") == []
    assert ask(place, login, "SELECT COUNT(*) FROM sys.columns") == [[0]]
    assert ask(place, login, "SELECT COUNT(*) FROM sys.indexes") == [[0]]
    assert ask(place, login, "SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES") == []
    assert ask(place, login, "SELECT OBJECT_ID('dbo.t'), OBJECT_NAME(1), COL_LENGTH('dbo.t', 'a')") == [[None] * 3]
    # Every user sees the schemas, and that there are rows somewhere.
    assert ["hr"] in ask(place, login, "SELECT name FROM sys.schemas")
    assert ask(place, login, "SELECT COUNT(*) FROM sys.partitions")[0][0] >= 2


def test_a_permission_shows_its_object_with_its_parts(place: MssqlDatabase, login: str) -> None:
    place.execute_script(f"GRANT INSERT ON dbo.t TO {login}")
    assert ask(place, login, "SELECT name FROM sys.objects ORDER BY name") == [
        [name] for name in ("ck_a", "df_a", "pk_t", "t", "tr")
    ]
    assert ask(place, login, "SELECT name FROM sys.indexes ORDER BY name") == [["pk_t"], ["ux"]]


def test_a_schemas_permission_shows_what_is_in_it(place: MssqlDatabase, login: str) -> None:
    place.execute_script(f"GRANT SELECT ON SCHEMA::hr TO {login}")
    assert ask(place, login, "SELECT name FROM sys.tables") == [["pay"]]
    assert ask(place, login, "SELECT CAST(value AS varchar(9)) FROM sys.extended_properties") == [["wages"]]


def test_a_denied_permission_hides(place: MssqlDatabase, login: str) -> None:
    place.execute_script(f"ALTER ROLE db_datareader ADD MEMBER {login}\nGO\nDENY SELECT ON hr.pay TO {login}")
    assert ask(place, login, "SELECT name FROM sys.tables") == [["t"]]
    assert ask(place, login, "SELECT value FROM sys.extended_properties") == []
    assert ask(place, login, "SELECT HAS_PERMS_BY_NAME('hr.pay', 'OBJECT', 'SELECT')") == [[0]]
    with RawClient(place.server, place.name, user=login, password=PASSWORD) as client:
        assert client.run("SELECT * FROM hr.pay").numbers == [229]


def test_rights_count_as_soon_as_they_are_given_or_taken(place: MssqlDatabase, login: str) -> None:
    with RawClient(place.server, place.name, user=login, password=PASSWORD) as client:
        for verb, names in (("ADD", [["pay"], ["t"]]), ("DROP", [])):
            place.execute_script(f"ALTER ROLE db_datareader {verb} MEMBER {login}")
            assert client.rows("SELECT name FROM sys.tables ORDER BY name") == names


def test_users_see_themselves_and_the_fixed_roles(place: MssqlDatabase, login: str) -> None:
    place.execute_script(f"CREATE USER other_user WITHOUT LOGIN\nGO\nGRANT SELECT ON dbo.t TO {login}, other_user")
    query = "SELECT COUNT(*) FROM sys.database_principals WHERE name IN ('{0}', 'other_user', 'db_owner')"
    try:
        assert ask(place, login, query.format(login)) == [[2]]
        assert ask(place, login, "SELECT COUNT(*) FROM sys.database_permissions") == [[1]]
        assert ask(place, login, "SELECT name FROM sys.server_principals") == [[login]]
    finally:
        place.execute_script("DROP USER other_user")


def test_permissions_on_the_server_are_given_in_master(place: MssqlDatabase, login: str) -> None:
    with RawClient(place.server, place.name) as owner:
        assert owner.run(f"GRANT VIEW ANY DEFINITION TO {login}").numbers == [4621]
        assert owner.run("USE master; GRANT VIEW ANY DEFINITION TO nobody_there").numbers == [15151]
        assert owner.run(f"USE master; GRANT CONNECT ANY DATABASE TO {login}").numbers == [40517]
        assert owner.run(f"USE master; DENY VIEW ANY DATABASE TO {login}").errors == []
    names = {name for (name,) in ask(place, login, "SELECT name FROM sys.databases")}
    assert names == {"master", "tempdb", place.name}


def test_only_the_owner_grants(place: MssqlDatabase, login: str) -> None:
    with RawClient(place.server, place.name, user=login, password=PASSWORD) as client:
        assert client.run(f"GRANT SELECT ON dbo.t TO {login}").numbers == [15151]
        assert client.run(f"USE master; GRANT VIEW ANY DEFINITION TO {login}").numbers == [4613]
