"""Extended properties: MS_Description by the object it describes, and what of all the others is lost.

Classes and what their ids mean: "sys.extended_properties" of Microsoft's documentation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from ...model import Loss
from .catalog_types import Row

_DESCRIPTION = "MS_Description"
_DIAGRAM_TOOL = "microsoft_database_tools_support"
_DATABASE, _OBJECT, _SCHEMA, _INDEX = 0, 1, 3, 7
_OTHER_CLASSES = {
    2: "parameters",
    4: "users and roles",
    6: "types",
    8: "columns of table types",
    10: "XML schema collections",
    19: "partition schemes",
    20: "files and filegroups",
    21: "partition functions",
    22: "files and filegroups",
}


class Descriptions:
    """MS_Description of everything in a database."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._texts: dict[tuple[int, int, int], str] = {}
        self._tool: set[int] = set()
        for row in rows:
            at = (int(row["class"]), int(row["major_id"]), int(row["minor_id"]))
            if row["name"] == _DIAGRAM_TOOL and at[0] == _OBJECT:
                self._tool.add(at[1])
            elif row["name"] == _DESCRIPTION and row["value"] is not None:
                self._texts[at] = str(row["value"])

    @property
    def tool_objects(self) -> frozenset[int]:
        """Objects that the database diagram tool put into the database."""
        return frozenset(self._tool)

    @property
    def database(self) -> str | None:
        """That of the database itself."""
        return self._texts.get((_DATABASE, 0, 0))

    def schema(self, schema_id: int) -> str | None:
        """That of a schema."""
        return self._texts.get((_SCHEMA, schema_id, 0))

    def of(self, object_id: int | None, column_id: int = 0) -> str | None:
        """That of a table, view, sequence or constraint, or of a column."""
        return None if object_id is None else self._texts.get((_OBJECT, object_id, column_id))

    def index(self, object_id: int, index_id: int) -> str | None:
        """That of an index of a table."""
        return self._texts.get((_INDEX, object_id, index_id))


def property_losses(
    rows: Iterable[Row], database: str, described: Collection[int], unwanted: Collection[int], kinds: Mapping[int, str]
) -> list[Loss]:
    """The properties that become no comment: one line for descriptions, one for all others, counted by name.

    ``described`` are the ids of objects whose descriptions the model holds, ``unwanted`` those of schemas that are not
    migrated; ``kinds`` names, in the plural, what other objects are.
    """
    others: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for row in rows:
        kind, major = int(row["class"]), int(row["major_id"])
        if row["name"] == _DIAGRAM_TOOL or (kind in (_OBJECT, 2, _INDEX) and major in unwanted):
            continue
        if row["name"] != _DESCRIPTION:
            others[str(row["name"])] += 1
        elif kind == _OBJECT and major not in described:
            lost[kinds.get(major, "other objects")] += 1
        elif kind not in (_DATABASE, _OBJECT, _SCHEMA, _INDEX):
            lost[_OTHER_CLASSES.get(kind, "other objects")] += 1
    losses = []
    if lost:
        text = f"descriptions of what PostgreSQL does not get or has none for: {_counted(lost)}"
        losses.append(Loss(database, text))
    if others:
        losses.append(Loss(database, f"extended properties other than {_DESCRIPTION}: {_counted(others)}"))
    return losses


def _counted(found: Counter[str]) -> str:
    return ", ".join(f"{name} ({number})" for name, number in sorted(found.items(), key=lambda one: (-one[1], one[0])))
