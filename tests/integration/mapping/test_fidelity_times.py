"""Times of any scale become times of a coarser one as SQL Server rounds them, though PostgreSQL has the cut ones.

Microsoft's "time", "datetime2" and "datetimeoffset": the fraction of seconds is rounded, its half up, to the scale of
the target. What PostgreSQL holds of a value of scale 7 is cut off after the sixth decimal.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from schema_samples import catalog, column, mapped, notes, only_table, table
from servers import PgServer

_SECOND = 10**7
"""In ticks of 100 ns."""
_DAY = 86_400 * _SECOND
_FIRST = dt.datetime(1, 1, 1)
_LAST_TICK = ((dt.datetime(9999, 12, 31) - _FIRST).days + 1) * _DAY - 1
_YEAR_2000 = (dt.datetime(2000, 1, 1) - _FIRST).days * _DAY


@pytest.fixture(scope="module")
def target(pg: PgServer) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database of the module's own."""
    database = pg.new_database()
    with database.connect() as connection:
        yield connection
    database.drop()


def rounded(ticks: int, scale: int) -> int:
    """Ticks at the nearest multiple of the scale's unit, halves up."""
    unit = 10 ** (7 - scale)
    return (ticks + unit // 2) // unit * unit


def as_datetime(ticks: int) -> dt.datetime:
    """As PostgreSQL keeps it: cut off at the microsecond."""
    return _FIRST + dt.timedelta(microseconds=ticks // 10)


def computed(declared: str, result: str) -> str:
    """The expression of a computed column that converts ``x``."""
    name, _, scale = result.partition("(")
    definition = f"(CONVERT([{name}]({scale},[x]))"
    database = mapped(catalog(table("T", column("x", declared), column("result", result, computed=definition))))
    sql = only_table(database).columns[1].generated_sql
    assert sql is not None, notes(database, "not_carried")
    return sql


_TICKS = st.one_of(
    st.integers(0, _LAST_TICK),
    # Around the boundaries of units: seconds and parts of them, near the start of PostgreSQL's count and the ends.
    st.builds(
        lambda start, scale, times, off: start + times * 10 ** (7 - scale) // 2 + off,
        st.sampled_from([0, _YEAR_2000, _LAST_TICK + 1]),
        st.integers(0, 6),
        st.integers(-20, 20),
        st.integers(-2, 2),
    ).filter(lambda ticks: 0 <= ticks <= _LAST_TICK),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(ticks=_YEAR_2000 - _SECOND // 2, scale=0)
@given(ticks=_TICKS, scale=st.integers(0, 5))
def test_datetime2(target: psycopg.Connection[Any], ticks: int, scale: int) -> None:
    expected = rounded(ticks, scale)
    assume(expected <= _LAST_TICK)
    sql = computed("datetime2(7)", f"datetime2({scale})")
    found = target.execute(f"SELECT {sql} FROM (SELECT %s::timestamp AS x) AS t".encode(), (as_datetime(ticks),))
    assert found.fetchone() == (as_datetime(expected),)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(ticks=_DAY - 1, scale=0, declared="time(7)")
@given(ticks=_TICKS, scale=st.integers(0, 5), declared=st.sampled_from(["time(7)", "datetime2(7)"]))
def test_time_ends_its_day_at_midnight(target: psycopg.Connection[Any], ticks: int, scale: int, declared: str) -> None:
    sql = computed(declared, f"time({scale})")
    kind = "timestamp" if declared.startswith("datetime2") else "time"
    value = as_datetime(ticks)
    found = target.execute(
        f"SELECT {sql} FROM (SELECT %s::{kind} AS x) AS t".encode(), (value if kind == "timestamp" else value.time(),)
    )
    assert found.fetchone() == (as_datetime(rounded(ticks % _DAY, scale) % _DAY).time(),)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ticks=_TICKS, scale=st.integers(0, 5))
def test_datetimeoffset(target: psycopg.Connection[Any], ticks: int, scale: int) -> None:
    expected = rounded(ticks, scale)
    assume(_DAY < expected < _LAST_TICK - _DAY)
    sql = computed("datetimeoffset(7)", f"datetimeoffset({scale})")
    value = as_datetime(ticks).replace(tzinfo=dt.timezone.utc)
    found = target.execute(f"SELECT ({sql}) = %s FROM (SELECT %s::timestamptz AS x) AS t".encode(),
                           (as_datetime(expected).replace(tzinfo=dt.timezone.utc), value))  # fmt: skip
    assert found.fetchone() == (True,)
