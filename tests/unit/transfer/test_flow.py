"""Memory bound, channel and back-off: what keeps a slow target from filling memory, and failures from looping."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssql_pg_migrate.errors import Cancelled, ConnectionFailed, TransferError, TransientError
from mssql_pg_migrate.transfer.channel import Channel
from mssql_pg_migrate.transfer.memory import MemoryGate
from mssql_pg_migrate.transfer.retry import LONGEST_DELAY, Backoff


def test_the_gate_stalls_readers_until_memory_is_given_back() -> None:
    gate = MemoryGate(100)
    assert gate.acquire(60)
    passed = threading.Event()

    def ask() -> None:
        assert gate.acquire(60)
        passed.set()

    thread = threading.Thread(target=ask)
    thread.start()
    assert not passed.wait(0.1)
    gate.release(60)
    assert passed.wait(5)
    thread.join()
    assert gate.held == 60


def test_one_value_larger_than_the_whole_budget_passes_alone() -> None:
    gate = MemoryGate(10)
    assert gate.acquire(1000)
    assert not gate.acquire(1, stopped=lambda: True)
    gate.release(1000)
    assert gate.acquire(1)


def test_a_closed_gate_refuses() -> None:
    gate = MemoryGate(10)
    gate.acquire(10)
    threading.Timer(0.05, gate.close).start()
    assert not gate.acquire(5)


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 5))
def test_a_channel_hands_over_everything_in_order(items: list[int], capacity: int) -> None:
    channel: Channel[int] = Channel(capacity)
    received: list[int] = []

    def consume() -> None:
        while len(received) < len(items):
            item = channel.get()
            assert item is not None
            received.append(item)

    thread = threading.Thread(target=consume)
    thread.start()
    for item in items:
        assert channel.put(item)
    thread.join(10)
    assert received == items


def test_closing_a_channel_frees_its_producer_and_returns_what_was_left() -> None:
    channel: Channel[int] = Channel(1)
    assert channel.put(1)
    outcome: list[bool] = []
    thread = threading.Thread(target=lambda: outcome.append(channel.put(2)))
    thread.start()
    time.sleep(0.05)
    assert channel.close() == [1]
    thread.join(5)
    assert outcome == [False]
    assert channel.get() is None


def test_a_channel_gives_what_is_there_and_what_is_wanted() -> None:
    channel: Channel[int] = Channel(2)
    assert channel.poll() is None
    channel.put(1)
    assert channel.take_if(lambda item: item > 1, 0.0) is None
    assert channel.poll() == 1
    late = threading.Timer(0.05, channel.put, (2,))
    late.start()
    assert channel.take_if(lambda item: item > 1, 10.0) == 2
    channel.close()
    assert channel.take_if(bool, 10.0) is None
    assert channel.poll() is None


def lost() -> TransientError:
    return TransientError("table a: connection lost", side="target", table="a")


def test_attempts_are_bounded_and_the_last_error_is_final() -> None:
    backoff = Backoff(4, lambda _seconds: False)
    delays = [backoff.next_delay(lost()) for _ in range(3)]
    assert all(0 < delay <= LONGEST_DELAY for delay in delays)
    with pytest.raises(TransferError, match="gave up after 4 attempts") as caught:
        backoff.next_delay(lost())
    assert caught.value.table == "a"
    assert caught.value.exit_code == 3


def test_a_server_that_stays_away_is_a_connection_error_in_the_end() -> None:
    backoff = Backoff(1, lambda _seconds: False)
    with pytest.raises(ConnectionFailed) as caught:
        backoff.next_delay(ConnectionFailed("refused", side="source"))
    assert caught.value.exit_code == 2


def test_progress_forgives_earlier_failures() -> None:
    backoff = Backoff(2, lambda _seconds: False)
    for _ in range(10):
        backoff.next_delay(lost())
        backoff.progress()
    assert backoff.total == 10


def test_a_stop_during_a_wait_cancels() -> None:
    backoff = Backoff(5, lambda _seconds: True)
    calls = []

    def work() -> None:
        calls.append(1)
        raise lost()

    with pytest.raises(Cancelled):
        backoff.call(work, lambda _error, _delay: None)
    assert len(calls) == 1


def test_what_a_stop_cuts_off_is_not_told_as_a_failure() -> None:
    stopping = threading.Event()
    told: list[object] = []

    def work() -> None:
        stopping.set()
        raise TransientError("Reading T was cancelled.", side="source")

    with pytest.raises(Cancelled):
        Backoff(5, stopping.wait).call(work, lambda error, _delay: told.append(error))
    assert told == []
