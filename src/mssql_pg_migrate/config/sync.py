"""``sync``: how the target follows a source that goes on changing."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from .keys import AnyCase, Key, KeyProblems, Kind, Section, Text

MethodChoice: TypeAlias = Literal["auto", "change_tracking", "rowversion", "watermark", "compare"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")


def seconds(value: Any) -> Any:
    """``5s``, ``1.5h``, ``2d``, ``500ms`` or a number of seconds, as seconds. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("must be a duration such as 5s, 10m or 1h")  # noqa: TRY004 - pydantic collects ValueError only
    match = _DURATION.fullmatch(str(value).strip().lower())
    if match is None:
        raise ValueError("must be a duration such as 5s, 10m or 1h")
    return float(match[1]) * _UNITS[match[2] or "s"]


Duration: TypeAlias = Annotated[float, BeforeValidator(seconds), Kind("duration: `5s`, `10m`, `1h`, `2d`")]


def _names(value: dict[str, Any]) -> dict[str, Any]:
    for name in value:
        if not name.strip():
            raise ValueError("holds an empty name")
    return value


class SyncTable(Section):
    """An entry of ``sync.tables``: one table, or those a pattern matches."""

    method: Annotated[
        MethodChoice, AnyCase, Key("How changes of the table are found; `auto` takes the best there is.")
    ] = "auto"
    column: Annotated[
        Text | None,
        Key("The column whose values grow with every change: required for `watermark`, found for `rowversion`."),
    ] = None
    overlap: Annotated[
        Annotated[float, Field(ge=0)] | None,
        BeforeValidator(lambda value: value if value is None else seconds(value)),
        Kind("duration, or a number for columns that are numbers"),
        Key(
            "How far behind the highest value seen a `watermark` looks again: transactions commit in another order"
            " than their values. Not set: 5 minutes, or 1000 for numbers."
        ),
    ] = None

    @model_validator(mode="after")
    def _fits(self) -> SyncTable:
        if self.method == "watermark" and self.column is None:
            raise KeyProblems([("column", "is required for method: watermark")])
        if self.column is not None and self.method not in ("watermark", "rowversion"):
            raise KeyProblems([("column", f"has no meaning for method: {self.method}")])
        return self


class SyncConfig(Section):
    """``sync``: following the source after ``run``."""

    method: Annotated[
        Literal["auto", "change_tracking", "rowversion", "compare"],
        AnyCase,
        Key(
            "How changes are found: `auto` takes change tracking where it is on, else a rowversion column, else"
            " compares contents. `tables` decides for single ones."
        ),
    ] = "auto"
    tables: Annotated[
        dict[str, SyncTable],
        AfterValidator(_names),
        Kind("name or glob: settings"),
        Key("Settings for single tables, by name, `schema.name` or glob; the most exact name wins."),
    ] = Field(default_factory=dict)
    interval: Annotated[Duration, Key("Time between the beginnings of two passes of `sync --watch`.")] = 5.0
    deletes: Annotated[
        Literal["compare", "never"],
        AnyCase,
        Key(
            "Deletes that `rowversion` and `watermark` cannot see: found by comparing contents every `compare_every`,"
            " or never."
        ),
    ] = "compare"
    compare_every: Annotated[
        Duration,
        Key(
            "How often `sync --watch` compares the contents of tables to find deletes. Tables followed by `compare` are"
            " compared as soon as ten times the time of their last comparison has passed, at the latest after this."
        ),
    ] = 3600.0
    fire_triggers: Annotated[bool, Key("Let the target's triggers fire for rows that the sync brings.")] = False
    on_schema_change: Annotated[
        Literal["stop", "add_columns"],
        AnyCase,
        Key("A table of the source has other columns than before: stop, or add new nullable columns to the target."),
    ] = "stop"
