"""Finding the rows that differ: rows of both sides cancel each other out, what is left is the difference.

Pure logic, thread safe, bounded in memory; the rows come as the records of ``Digest.take``.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .buckets import bitmap

Side: TypeAlias = Literal["source", "target"]
Category: TypeAlias = Literal["missing", "extra", "changed"]
CATEGORIES: tuple[Category, ...] = ("missing", "extra", "changed")

SAMPLES = 10
"""Keys named per category."""
_HASH = 16
_BUCKET = 4
_PORTIONS = 8
"""Into how many pieces of the limit many records are cut, so that the sides take turns."""
_POLL = 0.1
"""Seconds between two looks at ``stopped`` while waiting."""


@dataclass(slots=True)
class Differences:
    """What was found in some buckets; ``samples`` are key or label fields in canonical form (see `texts`)."""

    missing: int = 0
    extra: int = 0
    changed: int = 0
    samples: dict[Category, list[bytes]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.changed)

    def add(self, other: Differences) -> None:
        """Add what was found in other buckets."""
        self.missing += other.missing
        self.extra += other.extra
        self.changed += other.changed
        for category, labels in other.samples.items():
            self.samples[category] = heapq.nsmallest(SAMPLES, [*self.samples.get(category, ()), *labels])

    def scaled(self, factor: float) -> Differences:
        """An estimate for all buckets from some of them; what was found stays at least one."""
        return Differences(
            round(self.missing * factor), round(self.extra * factor), round(self.changed * factor), dict(self.samples)
        )


class Matcher:
    """Takes the listed rows of both sides, in any order and from any thread.

    A row that both sides have costs memory only until its twin arrives. When more than ``limit`` rows wait, half of
    the buckets are given up (``buckets`` says which are left): the caller narrows the selection of its digests when
    ``version`` changes. The side that is far ahead waits for the other one.
    """

    def __init__(self, bits: int, buckets: Sequence[int], *, keyed: bool, limit: int) -> None:
        self._bits = bits
        self._keyed = keyed
        self._limit = limit
        self._buckets = list(buckets)
        self._chosen = frozenset(buckets)
        self._bitmap = bitmap(bits, buckets)
        self._waiting: dict[bytes, int] = {}
        self._seen: dict[Side, int] = {"source": 0, "target": 0}
        self._finished: set[Side] = set()
        self._changed = threading.Condition()
        self.version = 0

    @property
    def buckets(self) -> tuple[int, ...]:
        """The buckets whose rows are compared."""
        return tuple(self._buckets)

    @property
    def waiting(self) -> int:
        """Rows whose twin has not come."""
        return len(self._waiting)

    def selection(self) -> tuple[int, bytes]:
        """The version and the bitmap for ``Digest.select`` that belongs to it."""
        with self._changed:
            return self.version, self._bitmap

    def add(self, side: Side, records: Sequence[bytes], rows: int, stopped: Callable[[], bool] = lambda: False) -> None:
        """Take records of one side; ``rows`` is how many rows were read for them."""
        step = max(self._limit // _PORTIONS, 1)
        told = 0
        for start in range(0, len(records), step):
            end = min(start + step, len(records))
            share = rows * end // len(records)
            self._add_portion(side, records[start:end], share - told, stopped)
            told = share
        if told < rows:
            self._add_portion(side, (), rows - told, stopped)

    def _add_portion(self, side: Side, records: Iterable[bytes], rows: int, stopped: Callable[[], bool]) -> None:
        step = 1 if side == "source" else -1
        with self._changed:
            waiting = self._waiting
            if self.version:
                records = [record for record in records if self._is_chosen(record)]
            for record in records:
                count = waiting.get(record, 0) + step
                if count:
                    waiting[record] = count
                else:
                    del waiting[record]
            self._seen[side] += rows
            while len(waiting) > self._limit and len(self._buckets) > 1:
                self._give_up_half()
            self._changed.notify_all()
            self._wait_for_other(side, stopped)

    def finish(self, side: Side) -> None:
        """All rows of that side were added."""
        with self._changed:
            self._finished.add(side)
            self._changed.notify_all()

    def _is_chosen(self, record: bytes) -> bool:
        return int.from_bytes(record[:_BUCKET], "little") in self._chosen

    def _give_up_half(self) -> None:
        self._buckets = self._buckets[: len(self._buckets) // 2]
        self._chosen = frozenset(self._buckets)
        self._bitmap = bitmap(self._bits, self._buckets)
        for record in [record for record in self._waiting if not self._is_chosen(record)]:
            del self._waiting[record]
        self.version += 1

    def _wait_for_other(self, side: Side, stopped: Callable[[], bool]) -> None:
        """Hold back the side that is ahead while much is waiting; the other side always goes on."""
        other: Side = "target" if side == "source" else "source"
        while (
            len(self._waiting) > self._limit // 2
            and self._seen[side] > self._seen[other]
            and other not in self._finished
            and not stopped()
        ):
            self._changed.wait(_POLL)

    def result(self) -> Differences:
        """The differences in ``buckets``, once both sides are finished.

        Rows with the same key on both sides are changed; without a key there are only missing and extra rows.
        """
        left: dict[bytes, list[int]] = {}
        for record, count in self._waiting.items():
            label = record[_BUCKET:-_HASH] if self._keyed else record
            pair = left.setdefault(label, [0, 0])
            pair[0 if count > 0 else 1] += abs(count)
        found = Differences()
        labels: dict[Category, list[bytes]] = {category: [] for category in CATEGORIES}
        for label, (only_source, only_target) in left.items():
            changed = min(only_source, only_target) if self._keyed else 0
            found.changed += changed
            found.missing += only_source - changed
            found.extra += only_target - changed
            shown = label if self._keyed else label[_BUCKET:-_HASH]
            if changed:
                labels["changed"].append(shown)
            if only_source > changed:
                labels["missing"].append(shown)
            if only_target > changed:
                labels["extra"].append(shown)
        found.samples = {category: heapq.nsmallest(SAMPLES, items) for category, items in labels.items() if items}
        return found
