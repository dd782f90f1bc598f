"""Texts for people: tables that fit a terminal, or whole ones when piped; numbers with units."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Align: TypeAlias = Literal["left", "right"]


def size(count: float) -> str:
    """``1.5 MiB``."""
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= scale:
            return f"{count / scale:,.1f} {unit}"
    return f"{count:.0f} B"


def duration(seconds: float) -> str:
    """``0.42 s``, ``12.3 s``, ``4 min 05 s``, ``2 h 10 min``."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """``1 table``, ``2 tables``, ``1,234 rows``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


@dataclass(slots=True)
class TextTable:
    """A table with a heading per column; cells are texts."""

    headings: Sequence[str]
    align: Sequence[Align]
    rows: list[Sequence[str]] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        """Append a row; None is an empty cell."""
        self.rows.append(tuple("" if cell is None else str(cell) for cell in cells))


Block: TypeAlias = "str | TextTable"


def show(blocks: Sequence[Block]) -> None:
    """Print to stdout: fitted and styled on a terminal, complete and plain otherwise."""
    if sys.stdout.isatty():
        _show_rich(blocks)
    else:
        sys.stdout.write(plain(blocks))
    sys.stdout.flush()


def plain(blocks: Sequence[Block]) -> str:
    """The blocks as plain text, nothing cut off, blank lines around tables."""
    parts: list[str] = []
    for block in blocks:
        parts.append(f"{block}\n" if isinstance(block, str) else f"\n{_plain_table(block)}\n")
    return "".join(parts).lstrip("\n").rstrip("\n") + "\n"


def _plain_table(table: TextTable) -> str:
    lines = [tuple(table.headings), *table.rows]
    cells = [[_single_line(cell) for cell in line] for line in lines]
    widths = [max(len(line[index]) for line in cells) for index in range(len(table.headings))]
    texts = []
    for line in cells:
        padded = [
            cell.rjust(width) if align == "right" else cell.ljust(width)
            for cell, width, align in zip(line, widths, table.align, strict=True)
        ]
        texts.append("  ".join(padded).rstrip())
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([texts[0], rule, *texts[1:]]) + "\n"


def _single_line(cell: str) -> str:
    return " ".join(cell.split()) if "\n" in cell or "\r" in cell or "\t" in cell else cell


def _show_rich(blocks: Sequence[Block]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for block in blocks:
        if isinstance(block, str):
            console.print(Text(block))
            continue
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for heading, align in zip(block.headings, block.align, strict=True):
            table.add_column(heading, justify=align, overflow="fold")
        for row in block.rows:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
