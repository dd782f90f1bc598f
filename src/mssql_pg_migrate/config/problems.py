"""What is wrong with a configuration: every problem with its file, line, key and reason, all at once."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault. ``key`` is the dotted path (``source.port``), empty for the file as a whole."""

    key: str
    reason: str
    line: int | None = None

    def render(self, file: str) -> str:
        """``file:line: key: reason``."""
        place = file if self.line is None else f"{file}:{self.line}"
        return f"{place}: {self.key}: {self.reason}" if self.key else f"{place}: {self.reason}"


class InvalidConfig(ConfigError):
    """A configuration that cannot be used; ``problems`` lists everything wrong with it."""

    def __init__(self, file: str, problems: list[Problem], *, hint: str | None = None) -> None:
        lines = [problem.render(file) for problem in problems]
        text = lines[0] if len(lines) == 1 else "\n  ".join([f"{len(lines)} problems in the configuration:", *lines])
        super().__init__(text, hint=hint)
        self.file = file
        self.problems = tuple(problems)
