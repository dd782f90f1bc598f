"""The result as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table: the first column to the left, the others to the right."""
    widths = [max(len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    for row in (header, *rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()


def number(value: float | None, digits: int = 2) -> str:
    """A number, or a dash for None."""
    return "-" if value is None else f"{value:,.{digits}f}"


def report(result: dict[str, Any]) -> Iterator[str]:
    """All lines of a result as ``json`` has it."""
    machine = result["machine"]
    yield f"{machine['cores']} cores, {machine['system']}; source {result['source']}, target {result['target']}"
    yield f"{result['rows']:,} rows; medians of {result['repeats']} runs; CPU in seconds per million rows"
    yield ""
    yield f"Each side alone: drain on one connection, copy on {machine['cores']}, keys on one"
    yield from table(
        ("", "rows/s", "MB/s", "server CPU", "own CPU"),
        [_part(f"{name} {scope}", part) for name in ("drain", "copy", "keys") for scope, part in result[name].items()],
    )
    yield ""
    yield "Whole migrations"
    header = ("", "rows/s", "MB/s", "seconds", "spread", "tool", "source", "target", "peak MiB", "to drop_recreate")
    yield from table(header, list(_runs(result["runs"])))
    if result["empty"]:
        yield ""
        yield "Empty tables, start to end"
        yield from table(
            ("", "seconds", "spread", "tool CPU s", "peak MiB"),
            [
                (
                    f"{item['tables']} tables, {item['reader']}",
                    number(item["seconds"]),
                    f"{item['spread']:.0%}",
                    number(item["tool_cpu"]),
                    number(item["peak_bytes"] / (1 << 20), 0),
                )
                for item in result["empty"]
            ],
        )
    if result["figures"]:
        yield ""
        yield "Figures"
        yield from table(
            ("", "measured", "wanted", ""),
            [
                (
                    item["name"],
                    f"{number(item['measured'])} {item['unit']}".rstrip(),
                    f"{'<=' if item['at_most'] else '>='} {number(item['limit'])} {item['unit']}".rstrip(),
                    "reached" if item["reached"] else "MISSED",
                )
                for item in result["figures"]
            ],
        )


def _part(name: str, part: dict[str, Any]) -> tuple[str, ...]:
    millions = part["rows"] / 1e6
    return (
        name,
        number(part["rows"] / part["seconds"], 0),
        number(part["bytes"] / part["seconds"] / 1e6, 0),
        number(None if part["cpu"] is None else part["cpu"] / millions),
        number(part["own_cpu"] / millions),
    )


def _runs(runs: Sequence[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    base = {
        (run["reader"], run["scope"], run["tls"]): run["rows_per_second"]
        for run in runs
        if run["mode"] == "drop_recreate"
    }
    for run in runs:
        cost = run["cpu_per_million_rows"]
        first = base.get((run["reader"], run["scope"], run["tls"]))
        yield (
            f"{run['scope']} {run['mode']} {run['reader']}{' TLS' if run['tls'] else ''}",
            number(run["rows_per_second"], 0),
            number(run["bytes"] / run["seconds"] / 1e6, 0),
            number(run["seconds"]),
            f"{run['spread']:.0%}",
            number(cost["tool"]),
            number(cost["source"]),
            number(cost["target"]),
            number(run["peak_bytes"] / (1 << 20), 0),
            number(run["rows_per_second"] / first if first else None),
        )
