"""Choosing tables by the patterns of ``include_tables`` and ``exclude_tables``."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar


class Named(Protocol):
    """A table, as far as patterns are concerned."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def full_name(self) -> str:
        """``schema.name``."""
        ...


N = TypeVar("N", bound=Named)


def select_tables(tables: Iterable[N], include: Sequence[str] = (), exclude: Sequence[str] = ()) -> tuple[N, ...]:
    """The tables that match an include pattern (all when there is none) and no exclude pattern, in their order.

    Patterns are globs (``*``, ``?``, ``[abc]``), compared in any case as SQL Server compares names by default. A
    pattern with a dot is matched against ``schema.name``, and any pattern against the bare name.
    """
    return tuple(
        table
        for table in tables
        if (not include or any(_matches(table, pattern) for pattern in include))
        and not any(_matches(table, pattern) for pattern in exclude)
    )


def idle_patterns(tables: Sequence[Named], include: Sequence[str]) -> tuple[str, ...]:
    """The include patterns that match no table: misspelt, or of a table the login does not see."""
    return tuple(pattern for pattern in include if not any(_matches(table, pattern) for table in tables))


def _matches(table: Named, pattern: str) -> bool:
    wanted = pattern.casefold()
    if fnmatch.fnmatchcase(table.name.casefold(), wanted):
        return True
    return "." in wanted and fnmatch.fnmatchcase(table.full_name.casefold(), wanted)
