"""The sentence of a wait for SQL Server, and who of a queue is named in it."""

from __future__ import annotations

import pytest

from mssql_pg_migrate.source.sqlserver.watch import _Holder, _root, describe


def holder(session: int, **fields: object) -> _Holder:
    values = {"application": None, "status": None, "transactions": None, "seconds": None, **fields}
    return _Holder(session, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("table", "found", "seconds", "text"),
    [
        (None, None, 3.0, "waiting for the source: reading the columns"),
        (None, None, 64.4, "still waiting for the source: reading the columns after 64 s"),
        ("dbo.a", holder(52), 3.0, "waiting for dbo.a, held by session 52"),
        (
            "dbo.a",
            holder(52, application="app", status="running"),
            3.0,
            "waiting for dbo.a, held by session 52 (app, running)",
        ),
        ("dbo.a", holder(-2), 3.0, "waiting for dbo.a, held by an orphaned distributed transaction"),
        (
            None,
            holder(-4),
            3.0,
            "waiting for the source: reading the columns, held by a latch whose owner the server does not know",
        ),
    ],
)
def test_the_sentence(table: str | None, found: _Holder | None, seconds: float, text: str) -> None:
    wait = describe("reading the columns", table, found, seconds=seconds)
    assert wait.text == text
    assert wait.side == "source"
    assert wait.held_by == (found.session if found is not None and found.session > 0 else None)


def test_an_idle_transaction_is_called_one() -> None:
    wait = describe("x", "dbo.a", holder(52, status="sleeping", transactions=1, seconds=5), seconds=3.0)
    assert "(sleeping with an open transaction since " in wait.text
    assert wait.state == "sleeping with an open transaction"


def test_the_root_of_a_queue_is_named() -> None:
    blocked = {60: holder(61), 61: holder(62), 70: holder(0)}
    assert _root(60, blocked) == holder(62)
    assert _root(61, blocked) == holder(62)
    assert _root(70, blocked) is None
    circle = {60: holder(61), 61: holder(60)}
    assert _root(60, circle) is not None
