"""The sentence of a wait, whatever the server tells of who holds the lock."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from mssql_pg_migrate.target.watch import describe

NOW = datetime.now().astimezone()


@pytest.mark.parametrize(
    ("answer", "seconds", "text"),
    [
        (
            ("public.a", 123, "psql", "idle in transaction", NOW),
            3.2,
            f"waiting for public.a, held by session 123 (psql, idle in transaction since {NOW:%H:%M:%S})",
        ),
        (
            ("public.a", 123, "", "active", NOW - timedelta(days=40)),
            3.2,
            f"waiting for public.a, held by session 123 (active since {NOW - timedelta(days=40):%Y-%m-%d %H:%M:%S})",
        ),
        (("public.a", 123, "psql", None, None), 3.2, "waiting for public.a, held by session 123 (psql)"),
        (("public.a", 123, None, None, None), 3.2, "waiting for public.a, held by session 123"),
        ((None, 123, None, None, None), 3.2, "waiting for a lock of the target, held by session 123"),
        (
            ("public.a", 0, None, None, None),
            61.0,
            "still waiting for public.a after 61 s, held by a prepared transaction (see pg_prepared_xacts)",
        ),
    ],
    ids=["today", "long ago", "no state", "no name", "no table", "prepared"],  # the texts hold the time of day
)
def test_the_sentence(answer: tuple[str, int, str, str, datetime], seconds: float, text: str) -> None:
    wait = describe(*answer, seconds=seconds)
    assert wait.text == text
    assert wait.held_by == (answer[1] or None)
    assert wait.since == (None if answer[4] is None else answer[4].timestamp())
