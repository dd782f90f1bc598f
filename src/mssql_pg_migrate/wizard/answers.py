"""What the wizard was told, in the words of the configuration, and whether a value is allowed. No prompts, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..config import Config, InvalidConfig, config_from_dict
from ..config.values import PACKAGES

SECTIONS = ("source", "target", "migration")


@dataclass(frozen=True, slots=True)
class Variable:
    """A value that is read from the environment: written as ``${name}``."""

    name: str

    def __str__(self) -> str:
        return f"${{{self.name}}}"


@dataclass(slots=True)
class Answers:
    """The keys that were answered, by section, in the order of the questions.

    Values are texts, numbers, booleans, lists of texts, or `Variable`. ``secrets`` holds the values of variables typed
    in during the interview: they test the connections and are never written.
    """

    source: dict[str, Any] = field(default_factory=dict)
    target: dict[str, Any] = field(default_factory=dict)
    migration: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    def section(self, name: str) -> dict[str, Any]:
        """``source``, ``target`` or ``migration``."""
        values: dict[str, Any] = getattr(self, name)
        return values


_COMPLETE: dict[str, dict[str, Any]] = {
    "source": {"type": "mssql", "host": "h", "database": "d", "user": "u", "password": "p"},
    "target": {"type": "postgres", "host": "h", "database": "d", "user": "u", "password": "p"},
    "migration": {},
}
"""A valid configuration, to check one section or one key by itself."""


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """A section as data for ``config_from_dict``: variables as ``${name}``."""
    return {key: str(value) if isinstance(value, Variable) else value for key, value in values.items()}


def build(answers: Answers, environment: Mapping[str, str], *sections: str) -> Config:
    """A configuration of the named sections (all by default); the others are filled in so that they are valid.

    Raises:
        InvalidConfig: what was answered is not a configuration.
    """
    wanted = sections or SECTIONS
    data = {name: plain(answers.section(name)) if name in wanted else _COMPLETE[name] for name in SECTIONS}
    return config_from_dict(data, environment={**environment, **answers.secrets})


def package_kind(text: str) -> str | None:
    """``bacpac`` or ``dacpac`` for the path of one, by its ending; None for anything else."""
    ending = text.strip().lower().rpartition(".")[2]
    return ending if ending in PACKAGES and text.strip().lower() != ending else None


def problem_with(section: str, key: str, value: Any, environment: Mapping[str, str]) -> str | None:
    """Why the configuration would refuse this value of this key; None when it would take it."""
    data: dict[str, dict[str, Any]] = {name: dict(values) for name, values in _COMPLETE.items()}
    data[section][key] = value
    try:
        config_from_dict(data, environment=environment)
    except InvalidConfig as error:
        path = f"{section}.{key}"
        for problem in error.problems:
            if problem.key == path or problem.key.startswith((f"{path}.", f"{path}[")):
                return problem.reason
    return None


def table_patterns(names: Sequence[tuple[str, str]], schemas: Sequence[str]) -> list[str]:
    """Patterns that match exactly these (schema, table) pairs; qualified when several schemas are migrated.

    ``*``, ``?``, ``[`` and blanks at the ends of a name are put in brackets, so that fnmatch takes them as they are;
    what UTF-8 cannot hold becomes ``?``.
    """
    qualified = len(schemas) != 1 or "*" in schemas
    patterns = []
    for schema, table in names:
        text = f"{schema}.{table}" if qualified or "." in table else table
        inner = range(len(text) - len(text.lstrip()), len(text.rstrip()))
        escaped = "".join(f"[{char}]" if char in "*?[" or at not in inner else char for at, char in enumerate(text))
        escaped = "".join("?" if "\ud800" <= char <= "\udfff" else char for char in escaped)
        patterns.append(escaped.replace("${", "$${"))
    return patterns
