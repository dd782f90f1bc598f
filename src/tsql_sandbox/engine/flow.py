"""How control leaves a sequence of statements before its end."""

from __future__ import annotations


class Break(Exception):
    """BREAK in a WHILE."""


class Continue(Exception):
    """CONTINUE in a WHILE."""


class Return(Exception):
    """RETURN, with its value."""

    def __init__(self, value: int) -> None:
        super().__init__()
        self.value = value
