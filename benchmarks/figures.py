"""Medians, ratios, and whether the figures that were set are reached. No I/O."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .parts import Part
from .whole import Case, Run

TOOL_CPU = {
    "wire": {"narrow": 0.25, "medium": 0.7, "wide": 3.0},
    "driver": {"narrow": 2.0, "medium": 4.5, "wide": 20.0},
}
"""CPU seconds of the tool per million rows at most."""
TLS_FACTOR = 2.0
SCHEDULE = 0.8
UPSERT = 0.6
PEAK = 250 << 20
EMPTY_SECONDS = 2.0
FEW_ROWS = 100_000
"""With fewer rows the cost of a row is lost in that of the start."""


@dataclass(frozen=True)
class Summary:
    """The repeats of one case: medians; ``spread`` is (largest - smallest) / median of the seconds."""

    case: Case
    repeats: int
    rows: int
    bytes: int
    seconds: float
    spread: float
    tool_cpu: float
    source_cpu: float | None
    target_cpu: float | None
    peak_bytes: int

    @property
    def rows_per_second(self) -> float:
        """Rows a second, the start of the process included."""
        return self.rows / self.seconds

    def per_million(self, seconds: float | None) -> float | None:
        """CPU seconds per million rows; None where there is nothing to divide."""
        return None if seconds is None or not self.rows else seconds * 1e6 / self.rows

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **asdict(self.case),
            **{name: value for name, value in asdict(self).items() if name != "case"},
            "rows_per_second": self.rows_per_second,
            "cpu_per_million_rows": {
                "tool": self.per_million(self.tool_cpu),
                "source": self.per_million(self.source_cpu),
                "target": self.per_million(self.target_cpu),
            },
        }


@dataclass(frozen=True)
class Figure:
    """One figure: what was wanted (at most or at least), what was measured."""

    name: str
    measured: float
    limit: float
    at_most: bool
    unit: str

    @property
    def reached(self) -> bool:
        """Whether the measured value is on the right side of the limit."""
        return self.measured <= self.limit if self.at_most else self.measured >= self.limit

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "reached": self.reached}


def summarize(case: Case, runs: Sequence[Run]) -> Summary:
    """Medians of the repeats; peak memory is the largest."""
    seconds = [run.seconds for run in runs]
    middle = statistics.median(seconds)
    return Summary(
        case,
        len(runs),
        runs[0].rows,
        runs[0].bytes,
        middle,
        (max(seconds) - min(seconds)) / middle,
        statistics.median(run.tool_cpu for run in runs),
        median_or_none([run.source_cpu for run in runs]),
        median_or_none([run.target_cpu for run in runs]),
        max(run.peak_bytes for run in runs),
    )


def median_or_none(values: Sequence[float | None]) -> float | None:
    """The median; None when a value is missing."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known and len(known) == len(values) else None


def median_part(parts: Sequence[Part]) -> Part:
    """Medians of the repeats of one side alone."""
    return Part(
        parts[0].rows,
        parts[0].bytes,
        statistics.median(part.seconds for part in parts),
        median_or_none([part.cpu for part in parts]),
        statistics.median(part.own_cpu for part in parts),
    )


def schedule_share(summary: Summary, drain: Part, load: Part, cores: int) -> float | None:
    """The ideal schedule's seconds over the measured ones: all CPU that is needed, spread evenly over the cores."""
    if drain.cpu is None or load.cpu is None:
        return None
    return (drain.cpu + load.cpu + summary.tool_cpu) / cores / summary.seconds


def figures(
    summaries: Sequence[Summary],
    empty: dict[tuple[str, int], Summary],
    drains: dict[str, Part],
    loads: dict[str, tuple[Part, Part]],
    cores: int,
) -> list[Figure]:
    """All figures that were measured. ``empty`` holds runs of empty tables by (reader, number of tables)."""
    found: list[Figure] = []
    by_case = {summary.case: summary for summary in summaries}
    for summary in summaries:
        case = summary.case
        limit = TOOL_CPU.get(case.reader, {}).get(case.scope)
        if limit is None or case.mode != "drop_recreate" or summary.rows < FEW_ROWS:
            continue
        limit *= TLS_FACTOR if case.tls else 1
        fixed = empty.get((case.reader, 1))
        cost = summary.per_million(summary.tool_cpu - (fixed.tool_cpu if fixed else 0.0))
        assert cost is not None
        less = ", start apart" if fixed else ""
        found.append(Figure(f"tool CPU per million rows, {label(case)}{less}", cost, limit, True, "s"))
    whole = by_case.get(Case("wire", "full", "drop_recreate", None)) or by_case.get(
        Case("wire", "full", "drop_recreate", False)
    )
    if whole is not None:
        if "full" in drains and "full" in loads:
            copied, keys = loads["full"]
            share = schedule_share(whole, drains["full"], copied, cores)
            if share is not None:
                found.append(Figure("share of the ideal schedule, keys not counted", share, SCHEDULE, False, ""))
                both = Part(0, 0, 0.0, (copied.cpu or 0.0) + (keys.cpu or 0.0), 0.0)
                share = schedule_share(whole, drains["full"], both, cores)
                assert share is not None
                found.append(Figure("share of the ideal schedule, keys counted", share, SCHEDULE, False, ""))
        found.append(Figure("peak memory of the tool", whole.peak_bytes / (1 << 20), PEAK / (1 << 20), True, "MiB"))
        truncate = by_case.get(Case("wire", "full", "truncate", whole.case.tls))
        for mode in ("upsert_empty", "upsert_unchanged"):
            upsert = by_case.get(Case("wire", "full", mode, whole.case.tls))
            if upsert is not None and truncate is not None:
                share = upsert.rows_per_second / truncate.rows_per_second
                found.append(Figure(f"rows/s of {mode} to truncate", share, UPSERT, False, ""))
    ten = empty.get(("wire", 10))
    if ten is not None:
        found.append(Figure("ten empty tables", ten.seconds, EMPTY_SECONDS, True, "s"))
    return found


def label(case: Case) -> str:
    """``narrow, wire, TLS``."""
    return f"{case.scope}, {case.reader}{', TLS' if case.tls else ''}"
