"""A fingerprint of a table's mapping: a resumed run must write the same columns in the same form."""

from __future__ import annotations

import hashlib
import json

from ..mapping.objects import MappedTable


def fingerprint(table: MappedTable) -> str:
    """Hex digest over the target name, the copied columns (names, types, encodings), the range key and the version."""
    key = table.range_key
    content: list[object] = [
        table.schema,
        table.name,
        [
            [column.source.name, column.name, str(column.source.type), column.encoding]
            for column in table.copied_columns
        ],
        [[column.name, column.descending] for column in key.columns] if key else None,
    ]
    if table.source.version is not None:
        content.append(table.source.version)
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
