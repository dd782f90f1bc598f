"""The pool never opens more connections than allowed, whatever its users do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from mssql_pg_migrate.transfer.pool import Pool, PoolClosedError


class Connection:
    opened = 0

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.closed = False
        counter.open(1)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.counter.open(-1)


class Counter:
    def __init__(self) -> None:
        self.now = self.most = self.total = 0
        self._lock = threading.Lock()

    def open(self, change: int) -> None:
        with self._lock:
            self.now += change
            self.total += max(change, 0)
            self.most = max(self.most, self.now)


def make_pool(limit: int) -> tuple[Pool[Connection], Counter]:
    return Pool(limit, usable=lambda connection: not connection.closed), Counter()


def test_connections_are_reused_and_never_more_than_the_limit() -> None:
    pool, counter = make_pool(3)

    def work(kind: str) -> None:
        for _ in range(20):
            with pool.use(kind, lambda: Connection(counter)):
                time.sleep(0.0005)

    threads = [threading.Thread(target=work, args=(f"kind{n % 2}",)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert counter.most <= 3
    pool.close()
    assert counter.now == 0


def test_a_connection_whose_user_failed_is_not_used_again() -> None:
    pool, counter = make_pool(1)
    with pytest.raises(RuntimeError), pool.use("a", lambda: Connection(counter)) as first:
        raise RuntimeError
    assert first.closed
    with pool.use("a", lambda: Connection(counter)) as second:
        assert second is not first


def test_a_failed_connect_gives_its_place_back() -> None:
    pool, counter = make_pool(1)

    def refuse() -> Connection:
        raise OSError("no")

    for _ in range(3):
        with pytest.raises(OSError, match="no"), pool.use("a", refuse):
            pass
    with pool.use("a", lambda: Connection(counter)):
        assert counter.now == 1


def test_an_idle_connection_of_another_kind_makes_room() -> None:
    pool, counter = make_pool(1)
    with pool.use("a", lambda: Connection(counter)) as first:
        pass
    with pool.use("b", lambda: Connection(counter)) as second:
        assert first.closed
        assert second is not first
    assert counter.most == 1


def test_closing_wakes_those_who_wait_and_aborts_those_at_work() -> None:
    pool, counter = make_pool(1)
    waiting = threading.Event()
    refused: list[bool] = []

    def wait_for_one() -> None:
        waiting.set()
        try:
            with pool.use("a", lambda: Connection(counter)):
                refused.append(False)
        except PoolClosedError:
            refused.append(True)

    aborted: list[Connection] = []
    with pool.use("a", lambda: Connection(counter)) as held:
        thread = threading.Thread(target=wait_for_one)
        thread.start()
        waiting.wait(5)
        time.sleep(0.05)
        pool.close(abort=aborted.append)
        thread.join(5)
    assert refused == [True]
    assert aborted == [held]
    assert counter.now == 0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_connections_opened_ahead_are_there_for_those_who_need_them() -> None:
    """They are waited for, not doubled; beyond them a user opens its own."""
    pool, counter = make_pool(3)
    gate = threading.Event()

    def slowly() -> Connection:
        gate.wait(10)
        return Connection(counter)

    pool.warm("a", slowly, 2)
    used: list[Connection] = []

    def use() -> None:
        with pool.use("a", lambda: Connection(counter)) as connection:
            used.append(connection)
            wait_until(lambda: len(used) == 3)

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: counter.total == 1)  # the third, for whom none is being opened
    gate.set()
    for thread in threads:
        thread.join(20)
    assert len(set(map(id, used))) == 3
    assert counter.total == 3
    pool.close()
    assert counter.now == 0


def test_no_more_are_opened_ahead_than_the_limit_and_a_failure_is_nobodys() -> None:
    pool, counter = make_pool(2)

    def fail() -> Connection:
        raise OSError("away")

    pool.warm("a", fail, 1)
    with pool.use("a", lambda: Connection(counter)):
        pool.warm("a", lambda: Connection(counter), 5)
        wait_until(lambda: counter.now == 2)
        time.sleep(0.05)
        assert counter.most == 2
    pool.close()
    assert counter.now == 0


def test_a_connection_that_opens_after_the_end_is_closed() -> None:
    pool, counter = make_pool(2)
    gate = threading.Event()

    def slowly() -> Connection:
        gate.wait(10)
        return Connection(counter)

    pool.warm("a", slowly, 1)
    pool.close()
    gate.set()
    wait_until(lambda: counter.total == 1 and counter.now == 0)


def test_only_a_connection_nobody_waits_for_is_spare() -> None:
    pool, counter = make_pool(2)
    assert pool.spare("a", lambda: Connection(counter)) is None  # but one is being opened
    wait_until(lambda: counter.now == 1)
    lease = None
    deadline = time.monotonic() + 10
    while lease is None:
        assert time.monotonic() < deadline
        lease = pool.spare("a", lambda: Connection(counter))
    lease.release(keep=True)
    with pool.use("a", lambda: Connection(counter)), pool.use("a", lambda: Connection(counter)):
        assert pool.spare("a", lambda: Connection(counter)) is None
    again = pool.spare("a", lambda: Connection(counter))
    assert again is not None
    again.release(keep=False)
    assert counter.now == 1
    pool.close()
    with pytest.raises(PoolClosedError):
        pool.spare("a", lambda: Connection(counter))
