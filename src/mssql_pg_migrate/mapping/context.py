"""What the steps of one mapping share: the catalog, the options, the names and the growing list of notes."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..model import Catalog
from .collation import CollationPlan
from .naming import NamePlan
from .objects import MappedSequence, Note, Severity
from .options import MappingOptions

NOT_VISIBLE = "its definition is not visible to the login (GRANT VIEW DEFINITION)"
"""Why something whose definition is `model.HIDDEN` is not carried."""


@dataclass(slots=True)
class Context:
    """Mutable only while `mapping.build.build` runs."""

    catalog: Catalog
    options: MappingOptions
    names: NamePlan
    collation: CollationPlan
    notes: list[Note] = field(default_factory=list)
    owned_sequences: list[MappedSequence] = field(default_factory=list)
    selected: frozenset[str] = frozenset()
    """``schema.table`` of the tables that are carried."""

    def note(self, severity: Severity, label: str, message: str) -> None:
        """Add one line to the plan."""
        self.notes.append(Note(severity, label, message))
