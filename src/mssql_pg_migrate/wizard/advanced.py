"""The further questions of ``init --advanced``; what keeps its default is not written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from ..config import Config
from ..config.keys import key_of
from . import prompts
from .answers import Answers

_NUMBERS = (
    "workers",
    "chunk_size",
    "parallel_readers",
    "write_ahead_writers",
    "memory_budget_percent",
    "read_ahead_buffers",
    "large_table_threshold",
    "max_partitions",
    "min_rows_per_partition",
    "max_mssql_connections",
    "max_pg_connections",
)
_UPSERT_NUMBERS = ("upsert_batch_size", "upsert_parallel_tasks")
_SWITCHES = ("create_indexes", "create_foreign_keys", "create_check_constraints", "create_views")
_CHOICES = ("identifier_case", "collation", "on_nul")


def ask_source_details(source: dict[str, Any], old: Mapping[str, Any]) -> None:
    """Encryption, isolation and reader."""
    for key in ("encrypt", "trust_server_cert", "isolation", "reader"):
        _ask_switch_or_choice("source", key, source, old)


def ask_target_details(target: dict[str, Any], old: Mapping[str, Any]) -> None:
    """TLS."""
    _ask_switch_or_choice("target", "ssl_mode", target, old)
    if target.get("ssl_mode") in ("verify-ca", "verify-full"):
        path = prompts.text("PEM file of the certificate authority", str(old.get("ssl_root_cert", "")))
        if path:
            target["ssl_root_cert"] = path


def ask_migration_details(answers: Answers, check: Callable[[str, str], prompts.Check]) -> None:
    """Objects to create, names, and tuning."""
    migration = answers.migration
    for key in (*_SWITCHES, *_CHOICES):
        _ask_switch_or_choice("migration", key, migration, {})
    if migration["target_mode"] != "upsert":
        _ask_switch_or_choice("migration", "use_unlogged_tables", migration, {})
    numbers = _NUMBERS + (_UPSERT_NUMBERS if migration["target_mode"] == "upsert" else ())
    model = _model("migration")
    for key in numbers:
        default = model.model_fields[key].default
        shown = "auto" if default is None else str(default)
        given = prompts.number(_question(model, key), shown, check=check("migration", key))
        if given != shown:
            migration[key] = int(given)


def _model(section: str) -> type[BaseModel]:
    model: type[BaseModel] = Config.model_fields[section].annotation  # type: ignore[assignment]
    return model


def _question(model: type[BaseModel], key: str) -> str:
    about = key_of(model, key).about.replace("`", "'").rstrip(".")
    return f"{key}: {about}"


def _ask_switch_or_choice(section: str, key: str, values: dict[str, Any], old: Mapping[str, Any]) -> None:
    model = _model(section)
    field = model.model_fields[key]
    default = old.get(key, field.default)
    answer: Any
    if field.annotation is bool:
        answer = prompts.confirm(_question(model, key), default=default)
    else:
        options = [(str(option), str(option)) for option in get_args(field.annotation)]
        answer = prompts.choose(_question(model, key), options, default=str(default))
    if answer != field.default:
        values[key] = answer
