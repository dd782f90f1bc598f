"""How each table is followed, and what the plan says of it."""

from __future__ import annotations

from typing import Any

import pytest

from mssql_pg_migrate.config.sync import SyncConfig, SyncTable, seconds
from mssql_pg_migrate.errors import ConfigError
from mssql_pg_migrate.mapping.objects import MappedTable
from mssql_pg_migrate.source.changes import ChangeFacts, TableFacts
from mssql_pg_migrate.sync.choose import choose
from schema_samples import catalog, column, key, mapped, table

COLUMNS = (
    column("id", "int"),
    column("changed", "datetime2(3)"),
    column("rv", "timestamp"),
    column("t", "nvarchar(9)"),
)


def tables(*names: str, keyless: bool = False) -> tuple[MappedTable, ...]:
    primary = None if keyless else key("pk", "id", primary=True)
    return mapped(catalog(*(table(name, *COLUMNS, primary_key=primary) for name in names))).tables


def facts(**found: TableFacts) -> ChangeFacts:
    return ChangeFacts(True, "7 days", None, True, None, {("dbo", name): fact for name, fact in found.items()})


TRACKED = TableFacts(True, "rv", None)
VERSIONED = TableFacts(False, "rv", "ALTER TABLE ...")
BARE = TableFacts(False, None, "ALTER TABLE ...")


def methods(config: SyncConfig, **found: TableFacts) -> dict[str, str]:
    choices = choose(tables(*found), facts(**found), config)
    return {choice.followed.table.source.name: choice.followed.method for choice in choices}


def test_auto_takes_the_best_there_is() -> None:
    found = methods(SyncConfig(), A=TRACKED, B=VERSIONED, C=BARE)
    assert found == {"A": "change_tracking", "B": "rowversion", "C": "compare"}


def test_the_most_exact_name_wins() -> None:
    config = SyncConfig(
        method="compare",
        tables={
            "*": SyncTable(method="rowversion"),
            "Ord*": SyncTable(method="compare"),
            "orders": SyncTable(method="change_tracking"),
            "dbo.Orders": SyncTable(method="watermark", column="CHANGED"),
        },
    )
    assert methods(config, Orders=TRACKED, OrderLines=TRACKED, People=TRACKED) == {
        "Orders": "watermark",
        "OrderLines": "compare",
        "People": "rowversion",
    }


def test_what_a_method_cannot_see_is_said() -> None:
    config = SyncConfig(tables={"A": SyncTable(method="watermark", column="changed")})
    [choice] = choose(tables("A"), facts(A=BARE), config)
    assert choice.followed.column == "changed"
    assert choice.followed.overlap == 300
    said = " ".join(note.message for note in choice.notes)
    assert "does not raise changed" in said
    assert "deletes are not seen by watermark" in said
    [kept] = choose(tables("A"), facts(A=VERSIONED), SyncConfig(deletes="never"))
    assert "stay in the target" in kept.notes[0].message


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"tables": {"X*": {}}}, r"sync\.tables\.X\*: no selected table"),
        ({"tables": {"AA": {}}}, "did you mean A"),
        ({"tables": {"A": {"method": "watermark", "column": "chnged"}}}, "did you mean changed"),
        ({"tables": {"A": {"method": "watermark", "column": "t"}}}, "cannot be a watermark"),
        ({"tables": {"A": {"method": "rowversion", "column": "changed"}}}, "is not a rowversion"),
        ({"method": "change_tracking"}, "not on for this table"),
        ({"method": "rowversion"}, "no rowversion column"),
    ],
)
def test_what_does_not_fit(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        choose(tables("A"), facts(A=BARE), SyncConfig.model_validate(config))


def test_a_table_without_a_key() -> None:
    with pytest.raises(ConfigError, match="A has no primary key"):
        choose(tables("A", keyless=True), facts(A=BARE), SyncConfig())


@pytest.mark.parametrize(
    ("text", "value"), [("5s", 5), ("500ms", 0.5), ("1.5h", 5400), ("2d", 172800), (7, 7), ("7", 7), (" 10 M ", 600)]
)
def test_durations(text: Any, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "5x", "-1s", True, None, "s"])
def test_no_durations(text: Any) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        seconds(text)
