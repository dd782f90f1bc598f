"""Inline SVG for the report: the timeline of the tables and the throughput curves. Colours come from the page's CSS."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from .format import count, duration, nice_step, short_count, size
from .history import Incident, PhaseMark, RunHistory, TableHistory, Throughput

WIDTH = 960
LEFT = 190
RIGHT = 84
PLOT = WIDTH - LEFT - RIGHT
ROW = 22
TIMELINE_TABLES = 40
"""Most tables drawn; the longest are."""
MAX_POINTS = 160

PHASE_NAMES = {
    "connect": "Connect",
    "extract": "Read schema",
    "plan": "Plan",
    "prepare": "Prepare tables",
    "transfer": "Move rows",
    "indexes": "Keys and indexes",
    "constraints": "Constraints",
    "finish": "Finish",
    "validate": "Compare",
}


@dataclass(frozen=True, slots=True)
class _Axis:
    """Time of the run on the horizontal axis."""

    start: float
    seconds: float

    def x(self, at: float) -> float:
        share = (at - self.start) / self.seconds if self.seconds > 0 else 0.0
        return LEFT + PLOT * min(max(share, 0.0), 1.0)

    def grid(self, top: float, bottom: float) -> list[str]:
        """Vertical lines with the seconds since the start below them."""
        parts = []
        step = nice_step(self.seconds, 8, time=True)
        ticks = int(self.seconds / step + 1e-9) + 1
        for index in range(ticks):
            x = self.x(self.start + index * step)
            anchor = "start" if index == 0 else "middle"
            parts.append(f'<line class="grid" x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{bottom:.1f}"/>')
            label = _tick(index * step, step)
            parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 14:.1f}" text-anchor="{anchor}">{label}</text>')
        return parts


def _tick(seconds: float, step: float) -> str:
    if seconds == 0:
        return "0"
    if step < 1:
        return f"{seconds:.10g} s"
    if seconds < 60 or (step < 60 and seconds < 300):
        return f"{seconds:.0f} s"
    if step < 60:
        return f"{seconds // 60:.0f}:{seconds % 60:02.0f} min"
    if step < 3600:
        return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds // 3600:.0f}:{seconds % 3600 // 60:02.0f} h"
    return f"{seconds / 3600:.0f} h"


def _axis(history: RunHistory) -> _Axis:
    start = history.started or 0.0
    return _Axis(start, max((history.ended or start) - start, 0.001))


# -- timeline ------------------------------------------------------------------------------------------------------


def timeline(history: RunHistory) -> tuple[str, int]:
    """The Gantt chart of run phases and tables; returns the SVG and how many tables it leaves out."""
    axis = _axis(history)
    begun = [table for table in history.tables if table.started is not None]
    longest = sorted(begun, key=lambda table: _seconds(table, axis), reverse=True)[:TIMELINE_TABLES]
    shown = sorted(longest, key=lambda table: (table.started or 0.0, table.table))
    top = 6.0
    height = top + ROW * (len(shown) + 1) + 10
    parts = [
        *axis.grid(top, height),
        *_phases(history.phases, axis, top),
        f'<text x="{WIDTH - 6}" y="{top + 15:.1f}" text-anchor="end">rows</text>',
    ]
    for index, table in enumerate(shown):
        parts.extend(_table_row(table, axis, top + ROW * (index + 1) + 8))
    title = f"Timeline of {len(shown)} tables over {duration(axis.seconds)}"
    return _svg(height + 22, title, parts), len(begun) - len(shown)


def _seconds(table: TableHistory, axis: _Axis) -> float:
    return (table.finished or axis.start + axis.seconds) - (table.started or axis.start)


def _phases(marks: Sequence[PhaseMark], axis: _Axis, top: float) -> list[str]:
    """The first row: what the run as a whole was doing."""
    parts = [f'<text class="name strong" x="{LEFT - 10}" y="{top + 15:.1f}" text-anchor="end">Run</text>']
    for index, mark in enumerate(marks):
        end = marks[index + 1].at if index + 1 < len(marks) else axis.start + axis.seconds
        x, width = axis.x(mark.at), max(axis.x(end) - axis.x(mark.at), 0.0)
        name = PHASE_NAMES[mark.phase]
        tip = f"{name}: {duration(end - mark.at)}"
        parts.append(
            f'<rect class="bar {mark.phase}" x="{x:.1f}" y="{top + 3:.1f}" width="{max(width, 1.5):.1f}" height="16"'
            f' rx="2"><title>{escape(tip)}</title></rect>'
        )
        if width > 7.0 * len(name) + 8:
            parts.append(f'<text class="inbar" x="{x + 6:.1f}" y="{top + 15:.1f}">{escape(name)}</text>')
    return parts


def _table_row(table: TableHistory, axis: _Axis, top: float) -> list[str]:
    end = table.finished if table.finished is not None else axis.start + axis.seconds
    begin = table.started if table.started is not None else axis.start
    x, width = axis.x(begin), max(axis.x(end) - axis.x(begin), 2.0)
    state = {"completed": "done", "failed": "failed"}.get(table.status, "open")
    tip = f"{table.table}: {count(table.rows)} rows in {duration(end - begin)}"
    if table.error is not None:
        tip += f" - failed: {table.error}"
    parts = [
        f'<text class="name" x="{LEFT - 10}" y="{top + 13:.1f}" text-anchor="end">{escape(_shorten(table.table, 22))}'
        f"<title>{escape(table.table)}</title></text>",
        f'<rect class="bar {state}" x="{x:.1f}" y="{top + 3:.1f}" width="{width:.1f}" height="13" rx="2">'
        f"<title>{escape(tip)}</title></rect>",
    ]
    for mark in table.marks:
        if mark.phase not in ("indexes", "constraints"):
            continue
        at = axis.x(mark.at)
        text = f"{PHASE_NAMES[mark.phase]}: {mark.detail or table.table}"
        parts.append(
            f'<rect class="bar {mark.phase}" x="{at:.1f}" y="{top + 3:.1f}" width="3" height="13">'
            f"<title>{escape(text)}</title></rect>"
        )
    parts.append(
        f'<text class="value" x="{WIDTH - 6}" y="{top + 13:.1f}" text-anchor="end">{short_count(table.rows)}</text>'
    )
    return parts


def _shorten(text: str, limit: int) -> str:
    """Cut out the middle: long names of one database often begin alike. Wide (East Asian) characters count twice."""
    if _cells(text) <= limit:
        return text
    head, tail = text, ""
    while _cells(head) + _cells(tail) > limit - 1:
        if not tail:
            head, tail = text[: len(text) // 2], text[len(text) // 2 :]
        elif _cells(head) > _cells(tail):
            head = head[:-1]
        else:
            tail = tail[1:]
    return f"{head}…{tail}"


def _cells(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


# -- throughput ----------------------------------------------------------------------------------------------------


def throughput(history: RunHistory) -> str:
    """Rows per second and bytes per second over the time of the run, one above the other."""
    axis = _axis(history)
    curve = history.throughput
    retries = [incident for incident in history.incidents if incident.kind in ("retry", "reset")]
    rows = _curve(axis, _rates(curve, curve.rows, axis), 10.0, 150.0, "rows", lambda value: short_count(value))
    data = _curve(axis, _rates(curve, curve.bytes, axis), 190.0, 80.0, "bytes", size)
    captions = [
        f'<text class="name strong" x="{LEFT - 64}" y="26" text-anchor="end">Rows</text>',
        f'<text class="name" x="{LEFT - 64}" y="42" text-anchor="end">per second</text>',
        f'<text class="name strong" x="{LEFT - 64}" y="206" text-anchor="end">Data</text>',
        f'<text class="name" x="{LEFT - 64}" y="222" text-anchor="end">per second</text>',
    ]
    marks = _retry_marks(retries, axis, 160.0)
    return _svg(292, "Rows and data per second over the run", [*axis.grid(10, 270), *rows, *data, *captions, *marks])


def _rates(curve: Throughput, values: Sequence[int], axis: _Axis) -> list[tuple[float, float]]:
    """(middle of an interval as Unix seconds, amount per second); the last interval may be shorter than the others."""
    group = max(1, -(-len(values) // MAX_POINTS))
    points = []
    end = axis.start + axis.seconds
    for index in range(0, len(values), group):
        begin = curve.start + index * curve.width
        width = min(curve.width * group, max(end - begin, curve.width / 4))
        points.append((begin + width / 2, sum(values[index : index + group]) / width))
    covered = curve.start + len(values) * curve.width
    if points and covered < end:
        points += [(covered, 0.0), (end, 0.0)]
    return points


def _curve(
    axis: _Axis,
    points: list[tuple[float, float]],
    top: float,
    height: float,
    kind: str,
    show: Callable[[float], str],
) -> list[str]:
    base = top + height
    most = max((value for _, value in points), default=0.0)
    step = _step(most, kind)
    limit = step * max(-(-most * 1.12 // step), 1) if most > 0 else 1.0
    parts = []
    level = 0.0
    while level <= limit * 1.0001:
        y = base - height * level / limit
        css = "base" if level == 0 else "grid"
        parts.append(f'<line class="{css}" x1="{LEFT}" y1="{y:.1f}" x2="{LEFT + PLOT}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{show(level)}</text>')
        if most <= 0:
            break
        level += step
    if points:
        line = " ".join(f"{axis.x(at):.1f},{base - height * value / limit:.1f}" for at, value in points)
        first, last = axis.x(points[0][0]), axis.x(points[-1][0])
        parts.append(f'<polygon class="area {kind}" points="{first:.1f},{base:.1f} {line} {last:.1f},{base:.1f}"/>')
        parts.append(f'<polyline class="curve {kind}" points="{line}"/>')
        best_at, best = max(points, key=lambda point: point[1])
        x, y = axis.x(best_at), base - height * best / limit
        parts.append(f'<circle class="peak {kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
        parts.append(
            f'<text class="value halo" x="{min(max(x, LEFT + 45), LEFT + PLOT - 45):.1f}" y="{y - 7:.1f}"'
            f' text-anchor="middle">peak {show(best)}</text>'
        )
    return parts


def _step(most: float, kind: str) -> float:
    """Distance between horizontal lines; bytes are divided in powers of two."""
    if kind == "rows":
        return max(nice_step(most, 4), 1.0)
    unit = 1.0
    while most / unit >= 1024:
        unit *= 1024
    return nice_step(most / unit, 3) * unit


def _retry_marks(retries: Sequence[Incident], axis: _Axis, base: float) -> list[str]:
    parts = []
    for incident in retries[:80]:
        x = axis.x(incident.at)
        tip = f"{incident.table or 'run'}: {incident.text}"
        parts.append(f'<path class="retry" d="M{x:.1f} {base - 9:.1f}l5 9h-10z"><title>{escape(tip)}</title></path>')
    return parts


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title, quote=True)}">'
        f"{''.join(parts)}</svg>"
    )
