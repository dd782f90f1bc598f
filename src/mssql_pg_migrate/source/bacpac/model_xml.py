"""The elements of a package's model.xml, read in one pass and kept by their types.

An element has properties (a value as attribute, a script as text), relationships (to names, or to elements of its own)
and annotations. A property that has its type's default is usually not written. What this package reads of each type is
asked for by `Node`; what nobody asks for is named by `Model.unread`, so that nothing vanishes unseen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from ...errors import SchemaError
from ...model import Loss
from .xml import Element, stream_xml

_NAMED = 3
"""Names given of elements that are not migrated."""

# Properties and relationships that say nothing PostgreSQL could be given, or repeat what is read elsewhere.
_SILENT = frozenset(
    (
        # how a statement was compiled, what it refers to, and where it stood in its script
        "IsAnsiNullsOn", "IsQuotedIdentifierOn", "BodyDependencies", "QueryDependencies", "ExpressionDependencies",
        "CheckExpressionDependencies", "FilterDependencies", "DynamicObjects", "Schema", "Authorizer", "Parameters",
        "Type", "IsNativelyCompiled", "IsSchemaBound", "ReturnTableVariable", "ReturnsNullOnNullInput",
        "SqlTriggerType", "IsInsertTrigger", "IsUpdateTrigger", "IsDeleteTrigger", "ExecuteAsOption", "IsCaller",
        # where and how pages are kept
        "Filegroup", "FilegroupForTextImage", "FileStreamFilegroup", "DefaultFilegroup", "FillFactor", "DoPadIndex",
        "IsPadded", "DisallowRowLocks", "DisallowPageLocks", "DoRecomputeStatistics", "DoIncrementalStatistics",
        "DataCompressionOptions", "LockEscalation", "LargeValueTypesOutOfRow", "TextInRowSize", "Durability",
        "OptimizeForSequentialKey", "VardecimalStorageFormat", "CompressionDelay", "DataSpace", "BucketCount",
    )
)  # fmt: skip


# What is read of annotations, and where in a script something stood.
_ANNOTATIONS = frozenset(
    (
        "SqlInlineConstraintAnnotation", "SqlInlineIndexAnnotation", "IsNotTrustedPropertyAnnotation",
        "OnlinePropertyAnnotation", "SysCommentsObjectAnnotation", "PersistedResolvableAnnotation",
    )
)  # fmt: skip


def split_name(text: str) -> tuple[str, ...]:
    """The parts of a name such as ``[dbo].[Odd]]Name].[c]``.

    Raises:
        SchemaError: it is not written like that.
    """
    parts: list[str] = []
    at = 0
    while at < len(text):
        end = text.find("]", at)
        while end != -1 and text[end : end + 2] == "]]":
            end = text.find("]", end + 2)
        if text[at] != "[" or end == -1 or text[end + 1 : end + 2] not in ("", "."):
            raise SchemaError(f"The package's model holds the name {text!r}, which cannot be taken apart.")
        parts.append(text[at + 1 : end].replace("]]", "]"))
        at = end + 2
    return tuple(parts)


class Node:
    """One element of the model, which remembers what was asked of it."""

    __slots__ = ("_asked", "_element", "_properties", "_relations", "type")

    def __init__(self, element: Element) -> None:
        self._element = element
        self.type = element.attributes.get("Type", "")
        self._properties: dict[str, Element] = {}
        self._relations: dict[str, list[Element]] = {}
        self._asked: set[str] = set()
        for child in element.children:
            if child.name == "Property":
                self._properties[child.attributes.get("Name", "")] = child
            elif child.name == "Relationship":
                self._relations[child.attributes.get("Name", "")] = [
                    one for entry in child.children if entry.name == "Entry" for one in entry.children
                ]

    @property
    def name(self) -> tuple[str, ...]:
        """The parts of its name; of an unnamed constraint, those of the name the server gave it; else none."""
        name = self._element.attributes.get("Name")
        if name is None:
            inline = self.annotation("SqlInlineConstraintAnnotation")
            name = inline.attributes.get("Name") if inline is not None else None
        return split_name(name) if name else ()

    @property
    def label(self) -> str:
        """Its name for messages, whatever its form; empty where it has none."""
        with suppress(SchemaError):
            return ".".join(self.name)
        return self._element.attributes.get("Name", "")

    @property
    def schema_and_name(self) -> tuple[str, str]:
        """The two parts of the name of something that lies in a schema. Raises SchemaError."""
        parts = self.name
        if len(parts) != 2:
            raise SchemaError(f"The package's model: {self.type} {self.label!r} has no name of schema and object.")
        return parts[0], parts[1]

    def text(self, *names: str) -> str | None:
        """The first of these properties that is there: its value, or its script."""
        for name in names:
            self._asked.add(name)
            found = self._properties.get(name)
            if found is not None:
                value = found.attributes.get("Value")
                return value if value is not None else "".join(child.text for child in found.children) or found.text
        return None

    def flag(self, *names: str, default: bool = False) -> bool:
        """A property that is True or False."""
        text = self.text(*names)
        return default if text is None else text.casefold() == "true"

    def number(self, *names: str) -> int | None:
        """A property that is a whole number. Raises SchemaError: it is none."""
        text = self.text(*names)
        if text is None:
            return None
        try:
            return int(text)
        except ValueError:
            raise SchemaError(
                f"The package's model: {names[0]} of {self.type} {self.label} is {text[:40]!r}, not a number."
            ) from None

    def references(self, relation: str) -> list[tuple[str, ...]]:
        """The names a relationship refers to."""
        self._asked.add(relation)
        return [
            split_name(one.attributes["Name"])
            for one in self._relations.get(relation, ())
            if one.name == "References" and "Name" in one.attributes
        ]

    def reference(self, relation: str) -> tuple[str, ...]:
        """The one name a relationship refers to; empty when there is none."""
        return next(iter(self.references(relation)), ())

    def leaf(self, relation: str) -> str:
        """The last part of the one name a relationship refers to. Raises SchemaError: there is none."""
        parts = self.reference(relation)
        if not parts:
            raise SchemaError(f"The package's model: {self.type} {self.label!r} refers to nothing as its {relation}.")
        return parts[-1]

    def mentions(self, word: str) -> bool:
        """Whether a property or relationship with that word in its name is set to something."""
        found = [name for name in (*self._properties, *self._relations) if word in name]
        return any(name in self._relations or self.text(name) not in ("", "0", "False") for name in found)

    def built_in(self, relation: str) -> bool:
        """Whether what a relationship refers to is part of SQL Server itself."""
        return any(one.attributes.get("ExternalSource") == "BuiltIns" for one in self._relations.get(relation, ()))

    def parts(self, relation: str) -> list[Node]:
        """The elements a relationship holds."""
        self._asked.add(relation)
        return [Node(one) for one in self._relations.get(relation, ()) if one.name == "Element"]

    def annotation(self, kind: str) -> Element | None:
        """Its annotation of that type."""
        for child in self._element.children:
            if child.name == "Annotation" and child.attributes.get("Type") == kind:
                return child
        return None

    def disabled(self) -> bool:
        """Whether it is switched off; the name of the mark differs between versions."""
        marks = [child.attributes.get("Type", "") for child in self._element.children if child.name == "Annotation"]
        return self.flag("IsDisabled", "Disabled") or any("Disabled" in mark for mark in marks)

    def unread(self) -> Iterator[str]:
        """Properties and relationships that nobody asked for."""
        for name in (*self._properties, *self._relations):
            if name not in self._asked and name not in _SILENT:
                yield name
        for child in self._element.children:
            kind = child.attributes.get("Type", "")
            if child.name == "Annotation" and kind not in _ANNOTATIONS and "Disabled" not in kind:
                yield kind


@dataclass(slots=True)
class Model:
    """All elements by type, and the attributes of the whole."""

    attributes: dict[str, str]
    nodes: dict[str, list[Node]] = field(default_factory=lambda: defaultdict(list))
    _taken: set[str] = field(default_factory=set)

    def take(self, *types: str) -> list[Node]:
        """The elements of these types, in the model's order within each; they count as read."""
        self._taken.update(types)
        return [node for kind in types for node in self.nodes.get(kind, ())]

    @property
    def schema_provider(self) -> str:
        """``Microsoft.Data.Tools.Schema.Sql.Sql150DatabaseSchemaProvider`` or the like."""
        return self.attributes.get("DspName", "")

    def untaken(self) -> list[Loss]:
        """The types of elements nobody has taken."""
        losses = []
        for kind in sorted(set(self.nodes) - self._taken):
            nodes = self.nodes[kind]
            names = [node.label for node in nodes if node.label][:_NAMED]
            which = f" ({', '.join(names)}{', ...' if len(nodes) > len(names) else ''})" if names else ""
            count = f"{len(nodes)} elements" if len(nodes) > 1 else "an element"
            losses.append(Loss(f"model element {kind}", f"{count} of the package's model{which}"))
        return losses


def unread(nodes: Iterable[Node]) -> list[Loss]:
    """What is set on the nodes and was not read."""
    counted: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], str] = {}
    for node in nodes:
        for name in node.unread():
            counted[node.type, name] += 1
            first.setdefault((node.type, name), node.label)
    losses = []
    for (kind, name), count in sorted(counted.items()):
        more = f", here and in {count - 1} more" if count > 1 else ""
        losses.append(Loss(first[kind, name] or kind, f"{name} ({kind}): set by the package's model{more}"))
    return losses


def read_model(pieces: Iterable[bytes], what: str) -> Model:
    """The model of a package. Raises SchemaError: the text is no model, or not one to be trusted."""
    model = Model({})
    found: dict[str, list[Node]] = model.nodes

    def take(element: Element) -> None:
        node = Node(element)
        if element.name == "Element":
            found[node.type].append(node)

    root = stream_xml(pieces, what, "Model", take)
    if root.name != "DataSchemaModel":
        raise SchemaError(f"{what} is no model of a database: its root element is {root.name}.")
    model.attributes = root.attributes
    return model
