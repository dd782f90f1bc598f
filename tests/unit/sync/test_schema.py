"""What changed of a followed table's definition."""

from __future__ import annotations

from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.model import Column
from mssql_pg_migrate.sync.schema import SchemaChange, changed, definition
from schema_samples import catalog, column, key, mapped, only_table, table

ID, NAME = column("id", "int", nullable=False), column("name", "nvarchar(10)")


def made(*columns: Column, primary: str = "id") -> MappedTable:
    return only_table(mapped(catalog(table("T", *columns, primary_key=key("pk", primary, primary=True)))))


BEFORE = definition(made(ID, NAME))


def test_nothing_changed() -> None:
    assert not changed(BEFORE, definition(made(ID, NAME)))


def test_a_new_column_that_may_be_null() -> None:
    change = changed(BEFORE, definition(made(ID, NAME, column("extra", "int"))))
    assert change == SchemaChange(added=("extra",))
    assert change.clause == "column extra is new"


def test_everything_else() -> None:
    wider = column("name", "nvarchar(20)", nullable=False)
    after = definition(made(ID, wider, column("must", "int", nullable=False), primary="must"))
    assert changed(BEFORE, after).other == (
        "column must is new and NOT NULL",
        "column name is nvarchar(20) and was nvarchar(10)",
        "its primary key is (must) and was (id)",
    )
    assert changed(BEFORE, definition(made(ID))).other == ("column name is gone",)
    required = column("name", "nvarchar(10)", nullable=False)
    assert changed(BEFORE, definition(made(ID, required))).other == ("column name is NOT NULL now",)
