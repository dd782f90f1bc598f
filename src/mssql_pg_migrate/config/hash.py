"""The configuration hash: the same migration has the same hash.

It covers the keys that decide which rows go where and what the target looks like; not users, passwords, encryption,
reader or tuning: after an out-of-memory kill ``chunk_size`` may be lowered and the run resumed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from .keys import Section, key_of

_VERSION = 1
"""Raised when the meaning of a hashed key changes."""
_ANY_CASE = frozenset({"host"})
_SETS = frozenset({"include_tables", "exclude_tables"})


def config_hash(config: Section) -> str:
    """``sha256:`` and 64 hexadecimal digits."""
    hashed: dict[str, Any] = {"version": _VERSION}
    for name in ("source", "target", "migration"):
        section: Section = getattr(config, name)
        hashed[name] = {
            field.rstrip("_"): _canonical(field, getattr(section, field))
            for field in type(section).model_fields
            if key_of(type(section), field).in_hash and (field != "path" or getattr(section, field) is not None)
        }
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"sha256:{hashlib.sha256(text.encode('ascii')).hexdigest()}"


def _canonical(field: str, value: Any) -> Any:
    """The value without differences that mean nothing: order of globs and schemas, case of hosts and globs."""
    if field in _ANY_CASE and value is not None:
        return value.lower()
    if field == "path":  # wherever it lies: its data files are told by their checksums
        return Path(value).name
    if field in _SETS:
        return sorted({item.lower() for item in value})
    if isinstance(value, dict):
        return {key.lower(): item for key, item in value.items()}
    if isinstance(value, tuple):
        return sorted(value)
    return value
