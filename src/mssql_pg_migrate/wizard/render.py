"""From answers to a commented configuration file. The comments are the models' own words, so they cannot go stale."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from ..config import Config
from ..config.keys import key_of
from .answers import SECTIONS, Answers, Variable

_WIDTH = 110
_COLUMN = 32
_PLAIN_KEYS = frozenset({"type", "path", "host", "port", "database", "user", "password"})
"""Keys that need no explanation."""
_HEADINGS = {
    "source": "The SQL Server database to read.",
    "target": "The PostgreSQL database to fill.",
    "migration": "What is done, and how hard.",
}
_SUGGESTED = {
    "source": ("schema", "encrypt", "trust_server_cert", "isolation"),
    "target": ("schema", "schema_map", "ssl_mode", "ssl_root_cert"),
    "migration": (
        "include_tables",
        "exclude_tables",
        "create_indexes",
        "create_foreign_keys",
        "create_check_constraints",
        "create_views",
        "identifier_case",
        "workers",
        "chunk_size",
        "parallel_readers",
        "memory_budget_percent",
        "use_unlogged_tables",
    ),
}
"""Keys shown as comments when they were not answered: those people look for first."""
_EXAMPLES = {
    "ssl_root_cert": "/etc/ssl/certs/company-ca.pem",
    "schema_map": "{dbo: public, Sales: sales}",
    "include_tables": '["Sales*", "dbo.Orders"]',
    "exclude_tables": '["*_archive", "temp_*"]',
}


def render(answers: Answers) -> str:
    """The file's text: every answered key, then the keys most people look for, commented out, with their defaults."""
    variables = sorted({value.name for name in SECTIONS for value in answers.section(name).values()
                        if isinstance(value, Variable)})  # fmt: skip
    lines = ["# Configuration of mssql-pg-migrate, written by `mssql-pg-migrate init`."]
    if variables:
        lines += ["#", "# It holds no password. Before a run, set in the environment:"]
        lines += [f"#   export {name}=..." for name in variables]
    lines += ["#", "# A line like '#workers: auto' shows a key that is not set, with its default or an example."]
    for name in SECTIONS:
        lines += ["", *_section(name, answers.section(name))]
    return "\n".join(lines) + "\n"


def _section(name: str, values: Mapping[str, Any]) -> list[str]:
    model: type[BaseModel] = Config.model_fields[name].annotation  # type: ignore[assignment]
    fields = {field.alias or attribute: attribute for attribute, field in model.model_fields.items()}
    package = "path" in values
    lines = [f"# {'The package to read.' if package else _HEADINGS[name]}", f"{name}:"]
    for key, value in values.items():
        lines += _described(_entry(key, value), "" if key in _PLAIN_KEYS else key_of(model, fields[key]).about)
    for key in ("schema",) if package else _SUGGESTED[name]:
        if key not in values:
            field = model.model_fields[fields[key]]
            about = key_of(model, fields[key])
            default = _default(key, field.default, automatic=about.automatic is not None)
            lines += _described([f"  #{key}: {default}"], about.about)
    return lines


def _described(entry: list[str], about: str) -> list[str]:
    """The entry with its meaning: behind it where there is room, else above it."""
    text = about.replace("`", "'")
    if not text:
        return entry
    beside = f"{entry[0]:<{_COLUMN}}  # {text}"
    if len(entry) == 1 and len(beside) <= _WIDTH:
        return [beside]
    return [*(f"  # {line}" for line in textwrap.wrap(text, _WIDTH - 4)), *entry]


def _default(key: str, value: Any, *, automatic: bool) -> str:
    if key in _EXAMPLES:
        return _EXAMPLES[key]
    if automatic:
        return "auto"
    if isinstance(value, tuple):
        return scalar(value[0]) if len(value) == 1 else "[]"
    return scalar(value)


def _entry(key: str, value: Any) -> list[str]:
    if isinstance(value, (list, tuple)):
        if not value:
            return [f"  {key}: []"]
        return [f"  {key}:", *(f"    - {scalar(item)}" for item in value)]
    return [f"  {key}: {scalar(value)}"]


_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*|[0-9]+(\.[0-9]+){3}|/[A-Za-z0-9_./\-]+")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def scalar(value: Any) -> str:
    """A YAML scalar that reads back as this value: plain where no YAML reader can mistake it, else double-quoted."""
    if isinstance(value, Variable):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if text in ("true", "false"):  # the models keep some switches as words
        return text
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return quoted(text)


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quoted(text: str) -> str:
    """A double-quoted YAML scalar (YAML 1.2, section 5.7: escaped characters)."""
    parts = []
    for char in text:
        code = ord(char)
        if char in _ESCAPES:
            parts.append(_ESCAPES[char])
        elif char == " " or char.isprintable():
            parts.append(char)
        else:
            parts.append(f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}")
    return '"' + "".join(parts) + '"'
