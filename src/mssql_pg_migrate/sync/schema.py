"""The definition of a followed table as the ledger remembers it, and what a later one changed. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ..mapping.objects import MappedTable


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """What is different of a table at the source since it is followed."""

    added: tuple[str, ...] = ()
    """Columns that may be NULL."""
    other: tuple[str, ...] = ()
    """Everything else, as clauses."""

    def __bool__(self) -> bool:
        return bool(self.added or self.other)

    @property
    def clause(self) -> str:
        """All of it in words."""
        added = [f"column {name} is new" for name in self.added]
        return ", ".join([*added, *self.other])


def definition(table: MappedTable) -> str:
    """The columns and the key of a source table, as text."""
    key = table.source.primary_key
    columns = [[column.name, str(column.type), column.nullable] for column in table.source.columns]
    return json.dumps([columns, [part.name for part in key.columns] if key else []], ensure_ascii=False)


def changed(before: str, after: str) -> SchemaChange:
    """From one `definition` to another.

    Raises ValueError: ``before`` is none.
    """
    (old_columns, old_key), (new_columns, new_key) = json.loads(before), json.loads(after)
    old = {name: (kind, nullable) for name, kind, nullable in old_columns}
    new = {name: (kind, nullable) for name, kind, nullable in new_columns}
    added = tuple(name for name in new if name not in old and new[name][1])
    other = [f"column {name} is new and NOT NULL" for name in new if name not in old and not new[name][1]]
    other += [f"column {name} is gone" for name in old if name not in new]
    for name in old:
        if name not in new or old[name] == new[name]:
            continue
        if old[name][0] != new[name][0]:
            other.append(f"column {name} is {new[name][0]} and was {old[name][0]}")
        else:
            other.append(f"column {name} is {'NULL' if new[name][1] else 'NOT NULL'} now")
    if old_key != new_key:
        other.append(f"its primary key is ({', '.join(new_key)}) and was ({', '.join(old_key)})")
    return SchemaChange(added, tuple(other))
