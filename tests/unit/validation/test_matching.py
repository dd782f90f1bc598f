"""Finding the rows that differ: against a plain comparison of two multisets, in any order, with little memory."""

from __future__ import annotations

import random
import threading
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mssql_pg_migrate.validation.buckets import bitmap
from mssql_pg_migrate.validation.matching import SAMPLES, Differences, Matcher, Side

BITS = 4
Row = tuple[int, int]
"""A key and a version of its values."""

keyed_rows = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=60)


def record(row: Row, *, keyed: bool = True) -> bytes:
    key, version = row
    content = key * 10 + version
    bucket = key % 16 if keyed else content % 16
    label = b"\0\0\0\4" + key.to_bytes(4, "big")
    return bucket.to_bytes(4, "little") + label + content.to_bytes(16, "little")


def label_of(key: int) -> bytes:
    return b"\0\0\0\4" + key.to_bytes(4, "big")


def expected(source: list[Row], target: list[Row], *, keyed: bool, buckets: frozenset[int]) -> tuple[int, int, int]:
    """Missing, extra, changed, counted the plain way."""
    missing = extra = changed = 0
    only_source, only_target = Counter(source) - Counter(target), Counter(target) - Counter(source)
    keys = {key for key, _ in [*only_source, *only_target]}
    if not keyed:
        return (
            sum(count for row, count in only_source.items() if (row[0] * 10 + row[1]) % 16 in buckets),
            sum(count for row, count in only_target.items() if (row[0] * 10 + row[1]) % 16 in buckets),
            0,
        )
    for key in keys:
        if key % 16 not in buckets:
            continue
        left = sum(count for row, count in only_source.items() if row[0] == key)
        right = sum(count for row, count in only_target.items() if row[0] == key)
        both = min(left, right)
        changed, missing, extra = changed + both, missing + left - both, extra + right - both
    return missing, extra, changed


def at_once() -> bool:
    """``stopped`` for one thread that plays both sides: never wait for the other one."""
    return True


def counts(found: Differences) -> tuple[int, int, int]:
    return found.missing, found.extra, found.changed


@given(keyed_rows, keyed_rows, st.booleans(), st.randoms())
@settings(deadline=None)
def test_differences_are_those_of_the_multisets(
    source: list[Row], target: list[Row], keyed: bool, chance: random.Random
) -> None:
    """Both sides arrive in pieces, in any order; the limit is never reached."""
    buckets = frozenset(chance.sample(range(16), chance.randrange(1, 17)))
    matcher = Matcher(BITS, list(buckets), keyed=keyed, limit=1000)
    sides: list[tuple[Side, Row]] = [("source", row) for row in source] + [("target", row) for row in target]
    chance.shuffle(sides)
    for side, row in sides:
        made = record(row, keyed=keyed)
        if int.from_bytes(made[:4], "little") in buckets:
            matcher.add(side, [made], 1)
    assert counts(matcher.result()) == expected(source, target, keyed=keyed, buckets=buckets)
    assert matcher.buckets == tuple(buckets)
    assert matcher.version == 0


@given(st.sets(st.integers(0, 2000), max_size=300), st.randoms())
@settings(deadline=None)
def test_with_little_memory_some_buckets_are_exact(keys: set[int], chance: random.Random) -> None:
    """What does not fit is given up by whole buckets; the others are as exact as with much memory."""
    source = [(key, 0) for key in keys]
    target = [(key, chance.choice([0, 0, 1])) for key in keys if chance.random() < 0.7]
    matcher = Matcher(BITS, list(range(16)), keyed=True, limit=30)
    chance.shuffle(source)
    chance.shuffle(target)
    matcher.add("source", [record(row) for row in source], len(source), at_once)
    matcher.add("target", [record(row) for row in target], len(target), at_once)
    assert matcher.waiting <= 30 or len(matcher.buckets) == 1
    left = frozenset(matcher.buckets)
    assert left
    assert matcher.selection() == (matcher.version, bitmap(BITS, left))
    assert counts(matcher.result()) == expected(source, target, keyed=True, buckets=left)


def test_rows_of_buckets_given_up_are_ignored() -> None:
    """A digest that has not seen the narrower selection yet still lists them."""
    matcher = Matcher(BITS, list(range(16)), keyed=True, limit=8)
    matcher.add("source", [record((key, 0)) for key in range(16)], 16, at_once)
    assert matcher.version == 1
    assert matcher.buckets == tuple(range(8))
    matcher.add("target", [record((key, 0)) for key in range(16)], 16, at_once)
    assert counts(matcher.result()) == (0, 0, 0)


def test_equal_rows_need_no_memory() -> None:
    matcher = Matcher(BITS, list(range(16)), keyed=True, limit=10)
    for start in range(0, 10_000, 5):
        rows = [record((key, 0)) for key in range(start, start + 5)]
        matcher.add("source", rows, 5, at_once)
        matcher.add("target", rows, 5)
        assert matcher.waiting == 0
    assert matcher.version == 0


def test_duplicates_are_counted() -> None:
    matcher = Matcher(BITS, list(range(16)), keyed=False, limit=100)
    matcher.add("source", [record((1, 1), keyed=False)] * 5 + [record((2, 0), keyed=False)], 6)
    matcher.add("target", [record((1, 1), keyed=False)] * 2 + [record((3, 0), keyed=False)] * 2, 4)
    found = matcher.result()
    assert counts(found) == (4, 2, 0)
    assert found.samples == {"missing": [label_of(1), label_of(2)], "extra": [label_of(3)]}


def test_samples_are_the_lowest_keys() -> None:
    matcher = Matcher(BITS, list(range(16)), keyed=True, limit=1000)
    matcher.add("source", [record((key, 0)) for key in range(100)], 100)
    matcher.add("target", [record((key, 1)) for key in range(50)], 50)
    found = matcher.result()
    assert counts(found) == (50, 0, 50)
    assert found.samples["changed"] == [label_of(key) for key in range(SAMPLES)]
    assert found.samples["missing"] == [label_of(key) for key in range(50, 50 + SAMPLES)]
    total = Differences()
    total.add(found)
    total.add(Differences(missing=1, samples={"missing": [label_of(7)]}))
    assert counts(total) == (51, 0, 50)
    assert total.samples["missing"] == [label_of(7), *(label_of(key) for key in range(50, 49 + SAMPLES))]
    assert counts(total.scaled(2.5)) == (128, 0, 125)


def test_the_side_ahead_waits_for_the_other() -> None:
    matcher = Matcher(BITS, list(range(16)), keyed=True, limit=20)
    went_on = threading.Event()

    def run_ahead() -> None:
        matcher.add("source", [record((key, 0)) for key in range(15)], 15)
        went_on.set()

    thread = threading.Thread(target=run_ahead)
    thread.start()
    assert not went_on.wait(0.3)
    matcher.add("target", [record((key, 0)) for key in range(10)], 10)
    assert went_on.wait(5)
    thread.join()
    assert matcher.waiting == 5


@pytest.mark.parametrize("why", ["finished", "stopped"])
def test_nobody_waits_for_a_side_that_will_not_come(why: str) -> None:
    matcher = Matcher(BITS, list(range(16)), keyed=True, limit=20)
    stopped = threading.Event()
    went_on = threading.Event()

    def run_ahead() -> None:
        matcher.add("source", [record((key, 0)) for key in range(15)], 15, stopped.is_set)
        went_on.set()

    thread = threading.Thread(target=run_ahead)
    thread.start()
    assert not went_on.wait(0.2)
    if why == "finished":
        matcher.finish("target")
    else:
        stopped.set()
    assert went_on.wait(5)
    thread.join()


def test_two_sides_in_large_pieces_take_turns() -> None:
    """Each side comes as one piece of many rows, far more than may wait: nothing has to be given up."""
    matcher = Matcher(BITS, list(range(16)), keyed=True, limit=100)
    rows = [record((key, 0)) for key in range(20_000)]
    changed = [record((key, 1)) if key % 1000 == 3 else made for key, made in enumerate(rows)]

    def play(side: Side, records: list[bytes]) -> None:
        matcher.add(side, records, len(records))
        matcher.finish(side)

    threads = [
        threading.Thread(target=play, args=("source", rows)),
        threading.Thread(target=play, args=("target", changed)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert matcher.version == 0
    assert counts(matcher.result()) == (0, 0, 20)
