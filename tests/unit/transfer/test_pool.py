"""The pool never opens more connections than allowed, whatever its users do."""

from __future__ import annotations

import threading
import time

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
