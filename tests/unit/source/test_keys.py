"""The exact text of key values."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from mssql_pg_migrate.source import keys


@given(st.integers(-(10**38) + 1, 10**38 - 1), st.integers(0, 38))
def test_decimals(unscaled: int, scale: int) -> None:
    text = keys.format_decimal(unscaled, scale)
    digits = tuple(int(digit) for digit in str(abs(unscaled)))
    assert Decimal(text) == Decimal((int(unscaled < 0), digits, -scale))
    assert -int(Decimal(text).as_tuple().exponent) == scale
    assert ("." in text) == (scale > 0)


@given(st.dates())
def test_dates(day: dt.date) -> None:
    assert keys.format_date(day.toordinal() - 1) == day.isoformat()


@given(st.datetimes())
def test_datetime2_with_microseconds(moment: dt.datetime) -> None:
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    ticks = (moment - midnight) // dt.timedelta(microseconds=1) * 10
    assert keys.format_datetime(moment.toordinal() - 1, ticks, 6) == moment.isoformat(timespec="microseconds")
    assert keys.format_datetime(moment.toordinal() - 1, ticks, 7) == moment.isoformat(timespec="microseconds") + "0"
    assert keys.format_datetime(moment.toordinal() - 1, ticks, 0) == moment.isoformat(timespec="seconds")


def test_the_last_tick_of_a_day() -> None:
    assert keys.format_time(863_999_999_999, 7) == "23:59:59.9999999"
    assert keys.format_time(863_999_999_999, 0) == "23:59:59"


@given(st.uuids())
def test_uniqueidentifiers(value: uuid.UUID) -> None:
    assert keys.format_uniqueidentifier(value.bytes_le) == str(value).upper()


@given(st.text(st.characters(codec=None), max_size=30))
def test_any_text_comes_back_and_fits_any_store(value: str) -> None:
    text = keys.format_text(value)
    assert keys.parse_text(text) == value
    assert "\0" not in text
    text.encode("utf-8")


def test_text_that_looks_like_the_escaped_form() -> None:
    assert keys.parse_text(keys.format_text("\\x00")) == "\\x00"
