"""Auto-tuning: from the machine and what is configured to the values in force, each with its reason.

The formulas for workers, readers, writers, buffers and the memory budget are those of the guide. Beyond them, all
chunks between source and target together are bounded in bytes: a migration gets no faster by holding more than a few
chunks per stream, and a row count alone says nothing about memory. ``tune_for`` is a pure function.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from .limits import Machine, detect

if TYPE_CHECKING:
    from .models import Config, MigrationConfig

FAR = 0.008
"""Seconds of a round trip from which on waiting for answers, not work, is what many small tables take time for."""
FAR_WORKERS = 16
KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

BASE_BYTES = 120 * MIB
"""Resident size of the tool with its libraries loaded, before the first row."""
SAFETY = 2
"""The guide's safety factor: buffers take at most half of the budget."""
CONTROL_CONNECTIONS = 1
"""To PostgreSQL, for the lock and the ledger; the others carry rows. The source needs none while rows move."""
ASSUMED_ROW_BYTES = KIB
"""For chunk_size, as long as nothing is known of the rows."""
CHUNKS_PER_STREAM = 3
"""One being read, one waiting, one being written. Far away fewer and larger ones: each waits for answers, and the bound
on all of them together stays."""
LARGEST_BUFFER = 256 * MIB
LARGEST_PER_STREAM = 12 * MIB
"""Measured: chunks of 7 MiB are no faster than those of 4 MiB."""
LARGEST_CHUNK = 8 * MIB
SMALLEST_CHUNK = 256 * KIB


@dataclass(frozen=True, slots=True)
class Tuning:
    """The values in force."""

    workers: int
    """Tables in flight."""
    parallel_readers: int
    """Concurrent source reads of one table."""
    write_ahead_writers: int
    """Concurrent target writes of one table."""
    streams: int
    """Ranges in flight over all tables; each holds at most one connection a side."""
    chunk_size: int
    """Rows a chunk holds at most."""
    chunk_bytes: int
    """COPY bytes after which a chunk ends."""
    read_ahead_buffers: int
    """Chunks of one range that may wait to be written."""
    chunks_in_flight: int
    """Chunks of one range on their way to the target at once, where there are connections to spare."""
    buffer_bytes: int
    """Bytes of all chunks between source and target together."""
    memory_budget_bytes: int
    """What the whole process should stay below."""
    max_mssql_connections: int
    max_pg_connections: int
    upsert_parallel_tasks: int
    """Concurrent merges of one table."""
    index_builds: int
    """Concurrent sessions that build indexes and constraints, after the rows."""
    maintenance_bytes: int
    """maintenance_work_mem of all these sessions together: memory of the target server, not of the tool."""
    source_round_trip_us: int | None
    """Microseconds of a question to the source and back, as measured; None where it was not."""
    target_round_trip_us: int | None
    machine: Machine
    why: Mapping[str, str] = field(default_factory=dict)
    """Name of a value -> why it is what it is."""
    warnings: tuple[str, ...] = ()

    def rows(self) -> list[tuple[str, str, str]]:
        """(name, value, reason) for people, in a fixed order."""
        return [(name, _show(name, getattr(self, name)), self.why[name]) for name in self._names]

    def to_dict(self) -> dict[str, dict[str, int | str]]:
        """``{name: {"value": ..., "why": ...}}`` for JSON."""
        return {name: {"value": getattr(self, name), "why": self.why[name]} for name in self._names}

    @property
    def _names(self) -> tuple[str, ...]:
        return (*_SHOWN, *(name for name in _MEASURED if getattr(self, name) is not None))


_SHOWN = (
    "workers",
    "parallel_readers",
    "write_ahead_writers",
    "streams",
    "chunk_size",
    "chunk_bytes",
    "read_ahead_buffers",
    "chunks_in_flight",
    "buffer_bytes",
    "memory_budget_bytes",
    "max_mssql_connections",
    "max_pg_connections",
    "upsert_parallel_tasks",
    "index_builds",
    "maintenance_bytes",
)
_MEASURED = ("source_round_trip_us", "target_round_trip_us")


def _show(name: str, value: int) -> str:
    if name.endswith("_us"):
        return f"{value / 1000:.1f} ms"
    return show_bytes(value) if name.endswith("_bytes") else f"{value:,}"


def show_bytes(value: float) -> str:
    """``2.7 MiB``."""
    for unit, size in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.0f} B"


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """Seconds of a question to each server and back, as measured; None where nobody has measured."""

    source: float | None = None
    target: float | None = None

    @property
    def longest(self) -> float:
        """The longer of the two, 0 where neither is known."""
        return max(self.source or 0.0, self.target or 0.0)


def tune(config: Config, machine: Machine | None = None, round_trips: RoundTrips | None = None) -> Tuning:
    """The values in force for a configuration on this machine (``limits.detect``) or the one given."""
    return tune_for(
        config.migration,
        machine or detect(),
        all_local=is_near(config.source.host) and is_loopback(config.target.host),
        round_trips=round_trips or RoundTrips(),
    )


def is_near(host: str | None) -> bool:
    """Whether a source is on this machine: a file, which has no host, or a server at one of its own addresses."""
    return host is None or is_loopback(host)


def is_loopback(host: str) -> bool:
    """Whether a server's address, as configured, is this machine's own; names are not looked up."""
    if host.lower() == "localhost" or host.startswith("/"):  # a directory of Unix sockets
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def tune_for(
    options: MigrationConfig, machine: Machine, *, all_local: bool = False, round_trips: RoundTrips = RoundTrips()
) -> Tuning:
    """Find every value: what is configured wins, the connection limits cap it, the rest follows the machine.

    ``all_local``: both addresses are this machine's, so the servers share its cores, unless the measured round trips
    tell that a tunnel begins there.
    """
    far = round_trips.longest >= FAR
    all_local = all_local and not far
    why: dict[str, str] = {}
    cores = machine.cores
    parallel = _tune_parallelism(options, cores, why, far=far, round_trip=round_trips.longest, all_local=all_local)
    by_postgres = parallel.room_postgres

    why["index_builds"] = f"min(max(cores, 2), 8), {_cores(cores)}"
    builds = _cap(why, "index_builds", min(max(cores, 2), 8), by_postgres)
    # The target's own memory is not known; this machine's is taken for a hint of the scale, with care.
    maintenance = min(max(machine.memory_bytes // 16, 256 * MIB), 2 * GIB)
    why["maintenance_bytes"] = "memory / 16, 256 MiB to 2 GiB"

    why |= dict.fromkeys(_MEASURED, "measured at the connection")
    why["chunks_in_flight"] = "the next one is sent while the answer is on its way" if far else "answers come at once"
    memory = _tune_memory(options, machine, parallel.streams, why, chunks_per_stream=1 if far else CHUNKS_PER_STREAM)
    return Tuning(
        workers=parallel.workers,
        parallel_readers=parallel.readers,
        write_ahead_writers=parallel.writers,
        streams=parallel.streams,
        chunk_size=memory.chunk_size,
        chunk_bytes=memory.chunk_bytes,
        read_ahead_buffers=memory.read_ahead_buffers,
        chunks_in_flight=2 if far else 1,
        buffer_bytes=memory.buffer_bytes,
        memory_budget_bytes=memory.budget_bytes,
        max_mssql_connections=parallel.mssql,
        max_pg_connections=parallel.postgres,
        upsert_parallel_tasks=parallel.merges,
        index_builds=builds,
        maintenance_bytes=maintenance,
        source_round_trip_us=_microseconds(round_trips.source),
        target_round_trip_us=_microseconds(round_trips.target),
        machine=machine,
        why=MappingProxyType(why),
        warnings=memory.warnings,
    )


@dataclass(frozen=True, slots=True)
class _Parallelism:
    workers: int
    readers: int
    writers: int
    streams: int
    merges: int
    mssql: int
    postgres: int

    @property
    def room_postgres(self) -> tuple[int, str]:
        """Connections beside the control connection, and the key that allows them."""
        return max(self.postgres - CONTROL_CONNECTIONS, 1), "max_pg_connections"


def _cores(number: int) -> str:
    return f"{number} core{'s' if number > 1 else ''}"


def _cap(why: dict[str, str], name: str, value: int, *limits: tuple[int, str]) -> int:
    """The value within the limits, each with what sets it."""
    for room, limit in limits:
        if value > room:
            why[name] += f"; {value} capped to {room} by {limit}"
            value = room
    return value


def _tune_parallelism(
    options: MigrationConfig, cores: int, why: dict[str, str], *, far: bool, round_trip: float, all_local: bool
) -> _Parallelism:
    """Tables and ranges at once, and the connections for them: what is configured wins, the connections cap it."""
    shown = _cores(cores)

    def pick(name: str, configured: int | None, automatic: int, formula: str) -> int:
        why[name] = "configured" if configured is not None else formula
        return automatic if configured is None else configured

    if far:
        distance = f"{FAR_WORKERS}: a round trip takes {round_trip * 1000:.0f} ms, small tables are waiting"
        workers = pick("workers", options.workers, FAR_WORKERS, distance)
    else:
        workers = pick("workers", options.workers, min(max(cores // 2, 4), 8), f"min(max(cores/2, 4), 8), {shown}")
    readers = pick(
        "parallel_readers", options.parallel_readers, min(max(cores, 8), 16), f"min(max(cores, 8), 16), {shown}"
    )
    writers = pick(
        "write_ahead_writers",
        options.write_ahead_writers,
        min(max(2 * cores // 3, 6), 12),
        f"min(max(2*cores/3, 6), 12), {shown}",
    )
    mssql = pick(
        "max_mssql_connections",
        options.max_mssql_connections,
        workers + readers,
        "workers + parallel_readers",
    )
    postgres = pick(
        "max_pg_connections",
        options.max_pg_connections,
        workers + max(writers, readers) + CONTROL_CONNECTIONS,
        "workers + the greater of readers and writers + 1 for the ledger",
    )
    return _within(
        _Parallelism(workers, readers, writers, max(workers, readers), options.upsert_parallel_tasks, mssql, postgres),
        why,
        cores + 1 if all_local and options.workers is None and options.parallel_readers is None else None,
    )


def _within(found: _Parallelism, why: dict[str, str], most_streams: int | None) -> _Parallelism:
    """The same within the connections' limits; ``most_streams`` where both servers are on this machine."""
    by_mssql, by_postgres = (found.mssql, "max_mssql_connections"), found.room_postgres
    workers = _cap(why, "workers", found.workers, by_mssql, by_postgres)
    readers = _cap(why, "parallel_readers", found.readers, by_mssql)
    writers = _cap(why, "write_ahead_writers", found.writers, by_postgres)
    why["upsert_parallel_tasks"] = "configured or its default"
    merges = _cap(why, "upsert_parallel_tasks", found.merges, by_postgres)
    why["streams"] = "the greater of workers and parallel_readers"
    streams = _cap(why, "streams", max(workers, readers), by_mssql, by_postgres)
    if most_streams is not None:
        streams = _cap(why, "streams", streams, (most_streams, "cores + 1: both servers are on this machine"))
    return replace(found, workers=workers, readers=readers, writers=writers, streams=streams, merges=merges)


def _microseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1e6)


@dataclass(frozen=True, slots=True)
class _Memory:
    budget_bytes: int
    buffer_bytes: int
    chunk_bytes: int
    chunk_size: int
    read_ahead_buffers: int
    warnings: tuple[str, ...]


def _tune_memory(
    options: MigrationConfig, machine: Machine, streams: int, why: dict[str, str], *, chunks_per_stream: int
) -> _Memory:
    """Bytes first, then rows: the budget bounds the buffers, the buffers bound a chunk."""
    warnings: list[str] = []
    percent = options.memory_budget_percent
    budget = machine.memory_bytes * percent // 100
    why["memory_budget_bytes"] = f"{percent} % of {show_bytes(machine.memory_bytes)} ({machine.memory_from})"

    half = budget // SAFETY
    enough = min(max(16 * MIB * machine.cores, 64 * MIB), LARGEST_BUFFER, streams * LARGEST_PER_STREAM)
    least = streams * SMALLEST_CHUNK
    buffer = min(half - BASE_BYTES, enough)
    if buffer == enough:
        why["buffer_bytes"] = "16 MiB a core, 64 to 256 MiB, at most 12 MiB a stream: more would not be faster"
    else:
        why["buffer_bytes"] = f"half of the budget less {show_bytes(BASE_BYTES)} for the program"
    if buffer < least:
        buffer = least
        why["buffer_bytes"] = "the least that keeps every stream going"
        warnings.append(
            f"The memory budget of {show_bytes(budget)} is smaller than the program itself needs"
            f" (about {show_bytes(SAFETY * (BASE_BYTES + least))} with {streams} streams): raise memory_budget_percent"
            " or the memory limit, or lower workers and parallel_readers."
        )

    chunk_bytes = min(max(buffer // (streams * chunks_per_stream), SMALLEST_CHUNK), LARGEST_CHUNK)
    chunk_bytes -= chunk_bytes % (64 * KIB)
    why["chunk_bytes"] = f"buffer_bytes / ({streams} streams x {chunks_per_stream}), 256 KiB to 8 MiB"

    if options.read_ahead_buffers is not None:
        ahead = options.read_ahead_buffers
        why["read_ahead_buffers"] = "configured"
    else:
        ahead = min(max(machine.memory_bytes // (2 * GIB), 8), 32)
        why["read_ahead_buffers"] = f"one per 2 GiB of {show_bytes(machine.memory_bytes)}, 8 to 32"

    if options.chunk_size is not None:
        rows = options.chunk_size
        why["chunk_size"] = "configured; a chunk also ends at chunk_bytes"
    else:
        fitting = max(half - BASE_BYTES, 0) // (ahead * streams * ASSUMED_ROW_BYTES)
        rows = min(max(fitting // 1000 * 1000, 5_000), 100_000)
        why["chunk_size"] = "half of the budget / (read_ahead_buffers x streams x 1 KiB), 5,000 to 100,000"
    return _Memory(budget, buffer, chunk_bytes, rows, ahead, tuple(warnings))
