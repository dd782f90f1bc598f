"""Numbers, durations and sizes as people read them."""

from __future__ import annotations

KIB, MIB, GIB, TIB = 1024.0, 1024.0**2, 1024.0**3, 1024.0**4


def count(value: float) -> str:
    """``1,234,567``."""
    return f"{value:,.0f}"


def short_count(value: float) -> str:
    """``950``, ``12.3 k``, ``1.23 M``, ``4.56 G``: at most four digits."""
    if value < 9_999.5:  # four digits still read well
        return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"
    for unit, size in (("k", 1e3), ("M", 1e6)):
        if value < 999.5 * size:
            return f"{_three(value / size)} {unit}"
    return f"{_three(value / 1e9)} G"


def _three(value: float) -> str:
    """Three digits: ``1.23``, ``12.3``, ``123``."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def size(value: float) -> str:
    """``0 B``, ``512 KiB``, ``1.2 GiB``."""
    for unit, limit in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if value >= limit:
            return f"{value / limit:.1f} {unit}"
    return f"{value:.0f} B"


def duration(seconds: float) -> str:
    """``0.4 s``, ``12.3 s``, ``4 min 05 s``, ``3 h 07 min``, ``2 d 04 h``."""
    if seconds < 0:
        seconds = 0.0
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours:02d} h"


def clock(seconds: float) -> str:
    """``0:07``, ``12:34``, ``3:07:00``: for narrow places."""
    whole = max(round(seconds), 0)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def plural(number: int, word: str, words: str | None = None) -> str:
    """``1 table``, ``2 tables``."""
    return f"{count(number)} {word if number == 1 else words or word + 's'}"


def nice_step(span: float, steps: int, *, time: bool = False) -> float:
    """A round distance between ticks so that about ``steps`` of them fit in ``span``; seconds when ``time``."""
    if span <= 0:
        return 1.0
    wanted = span / max(steps, 1)
    if time and wanted > 1:
        rounds = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
        for step in rounds:
            if step >= wanted:
                return float(step)
        return 86400.0 * -(-wanted // 86400)
    power: float = 10.0 ** _floor_log10(wanted)
    for factor in (1, 2, 5, 10):
        if factor * power >= wanted * 0.999:
            return factor * power
    return 10 * power


def _floor_log10(value: float) -> int:
    import math

    return math.floor(math.log10(value))
